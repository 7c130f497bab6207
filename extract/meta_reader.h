/* meta_reader - what the readers of a page's metadata share: where to look, and clean values. */
#ifndef SLUICE_EXTRACT_META_READER_H
#define SLUICE_EXTRACT_META_READER_H
#include "extract/metadata.h"
#include "extract/parts.h"

enum {
    BYLINE_CHARS = 140,      /* a longer block is no byline or date line */
    BYLINE_BEHIND = 20,      /* blocks behind the headline that may be one */
    BYLINE_BEFORE = 5,
};
struct meta_reader {
    struct arena *a, *scratch;
    const struct asides *asides;
    const struct page *page;
    struct str url;
    struct jsonld json;
    uint32_t headline;       /* block of the h1, UINT32_MAX: none */
    struct page_meta *out;
};
/* References decoded (twice where they were encoded twice), white space folded, tags and what
 * nobody sees taken out, cut at a character to max bytes. Pushed on to. */
struct str meta_clean(struct meta_reader *r, struct arena *to, struct str raw, size_t max);
/* The first non-empty meta element with one of the names (NULL-ended), in the names' order. */
struct str meta_of(struct meta_reader *r, const char *const *names, size_t max);
/* Block `step` of those around the headline, nearest ones behind it first; step counts from 0 to
 * BYLINE_BEHIND + BYLINE_BEFORE. False when there is none. */
bool meta_near_headline(const struct meta_reader *r, uint32_t step, uint32_t *index);
/* Equal but for case, blanks and ASCII punctuation. */
bool meta_same_words(struct str a, struct str b);

/* ---- headline.c ---- */
void meta_find_headline(struct meta_reader *r);
void meta_read_title(struct meta_reader *r);
/* ---- bylines.c ---- */
void meta_read_author(struct meta_reader *r);
#endif
