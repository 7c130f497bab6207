/* scan - walks over the markup of a page: next tag, and what is skipped with its content. */
#ifndef SLUICE_EXTRACT_SCAN_H
#define SLUICE_EXTRACT_SCAN_H
#include "extract/nesting.h"
#include "extract/parts.h"

/* What is done with a tag's element. */
enum act {
    ACT_ELEMENT,
    ACT_INNER,
    ACT_FORMAT,
    ACT_SPAN,
    ACT_BREAK,
    ACT_RULE,
    ACT_VOID,
    ACT_RAW,
    ACT_SCRIPT,
    ACT_TITLE,
    ACT_XMP,
    ACT_PLAINTEXT,
    ACT_SELECT,
    ACT_SVG,
    ACT_MATH,
    ACT_TEMPLATE,
    ACT_BODY,
};
extern const uint8_t tag_acts[GUMBO_TAG_LAST]; /* enum act of every tag, in skeleton.c */

struct scan {
    const char *at, *end;
    const char *raw_close; /* the '<' of the end tag of the last raw text skipped */
    const struct nesting *nesting;
    uint16_t inner[GUMBO_TAG_LAST]; /* inline elements open in the segment, by name */
    uint32_t spans;                 /* open spans, whether handed on or not */
    bool endless[GUMBO_TAG_LAST];   /* no end tag of this name comes any more: searched once */
};
/* Skips the content and end tag of a raw-text element; false when its end never comes (then nothing
 * is skipped). */
bool scan_raw(struct scan *s, const struct tag *t);
/* Each skips an element whose start tag is t, up to behind its end or to the tag that ends it. A
 * select or template that is never closed loses its tag only. */
void scan_svg(struct scan *s, const struct tag *t);
void scan_template(struct scan *s, const struct tag *t);
void scan_select(struct scan *s, const struct tag *t);
/* As scan_svg for a formula; returns what stands in it. */
struct str scan_math(struct scan *s, const struct tag *t);
#endif
