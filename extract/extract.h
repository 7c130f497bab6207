/* extract - from the bytes of a web page to its main text in UTF-8. */
#ifndef SLUICE_EXTRACT_EXTRACT_H
#define SLUICE_EXTRACT_EXTRACT_H
#include "core/arena.h"
#include "core/pipe.h"
#include "extract/metadata.h"

/* The stage `extract`: charset -> skeleton -> Gumbo in a capped arena -> main text. Drops with the
 * rules extract.too_deep, extract.timeout, extract.memory, extract.empty; measures
 * extract.html_bytes, extract.text_bytes, extract.link_density, extract.blocks, extract.depth,
 * extract.replaced (bytes replaced by U+FFFD). Documents of text are only converted. */
extern const struct stage_type stage_extract;

/* Charset to UTF-8 (extract/charset.c), once, at the door: BOM > HTTP > meta in the first 1024
 * bytes > valid UTF-8 > detector > windows-1252, labels by the WHATWG table. Output is valid UTF-8
 * in the arena (or raw itself when it was valid already); *name the encoding used (static),
 * *replaced the bytes that became U+FFFD. Bytes that are valid UTF-8 beyond ASCII overrule a label,
 * see charset.c. ERR_LIMIT when a is full. */
int charset_to_utf8(struct arena *a, struct str raw, struct str http_charset, struct str *text,
                    const char **name, uint64_t *replaced);

/* Main text of one UTF-8 page. Scratch is per thread; limits make hostile pages a verdict. */
/* memory_max bounds all scratch: three eighths of it the parse tree. Tags nested
 * beyond depth_max are left out and their text kept; with drop_deep such a page is a verdict
 * instead. mode is one of the names below, borrowed until the scratch is open; NULL is main:
 *   main       the choice of blocks with the highest expected F1
 *   precision  fewer blocks, surer ones    recall  more blocks, likely ones
 *   all        every visible block, menus and footers included
 * format is "text" or "markdown"; NULL is text. links and images: Markdown's links and pictures are
 * kept, else only their text. */
struct extract_conf {
    int64_t depth_max;
    uint64_t memory_max;
    int64_t time_max_ms;
    const char *mode;
    bool drop_deep;
    const char *format;
    bool links, images;
};
/* What a page is for, as the judge sees it. */
enum page_kind {
    PAGE_ARTICLE, PAGE_COLLECTION, PAGE_DOCUMENTATION, PAGE_FORUM, PAGE_LISTING, PAGE_PRODUCT,
    PAGE_SERVICE, PAGE_KIND_COUNT,
};
/* "article", "collection" ...; static. */
const char *page_kind_name(enum page_kind kind);
enum extract_verdict {
    EXTRACT_OK, EXTRACT_TOO_DEEP, EXTRACT_MEMORY, EXTRACT_TIMEOUT, EXTRACT_EMPTY,
};
struct extract_out {
    struct str text, title;
    float link_density; uint32_t blocks, depth;
    enum page_kind kind; float kind_share; /* the likeliest kind and its probability; mode all: 0 */
};
struct extract_scratch;
int extract_scratch_open(struct extract_scratch **out, const struct extract_conf *conf);
void extract_scratch_close(struct extract_scratch *s);
/* text and title are pushed on a. Deterministic: the deadline is only a last resort (the caps on
 * bytes, depth and nodes come first), since a verdict that depends on the clock would differ
 * between runs. */
enum extract_verdict extract_main(struct extract_scratch *s, struct arena *a, struct str html_utf8,
                                  struct extract_out *out);
/* The same, and what the page says of itself (meta may be NULL), read whatever the verdict on its
 * text is. url (may be empty) is where it was found: for links and addresses. */
enum extract_verdict extract_read(struct extract_scratch *s, struct arena *a, struct str html_utf8,
                                  struct str url, struct extract_out *out, struct page_meta *meta);
#endif
