/* explain - what the judge thought of every block of one page, and why. */
#ifndef SLUICE_EXTRACT_EXPLAIN_H
#define SLUICE_EXTRACT_EXPLAIN_H
#include "extract/extract.h"

enum { EXPLAIN_REASONS = 4 };

/* A measure that moved the score. weight is in logits: above 0 it spoke for main text. name is
 * static and plain ("link share of the text", "class or id says nav"); value is what was measured,
 * in the unit that the name implies. */
struct explain_reason {
    const char *name;
    float value, weight;
};

struct explain_block {
    struct str text; /* as on the page, white space folded; lives in the arena given */
    const char *tag; /* "p", "li", "h2" ...; static */
    float score;     /* 0..1: the share of its words thought to be main text */
    bool kept;       /* stands in the text that extract_main gives in the same mode */
    bool hidden;     /* not shown by a browser */
    const char *decided; /* static: "likely", "unlikely", "copy", "hidden", "shell" */
    struct explain_reason reason[EXPLAIN_REASONS];
    uint32_t reason_count; /* strongest first */
};

struct explain {
    struct explain_block *block;
    uint32_t count;                    /* in page order, in the arena given */
    float kind_share[PAGE_KIND_COUNT]; /* probabilities, sum 1 */
    enum page_kind kind;               /* the likeliest */
    float threshold;                   /* the lowest score that was kept; 1 when none was */
    const char *source;                /* where the text came from: "page" or "json-ld"; static */
};

/* As extract_read with the same scratch, mode and url, but tells how. A block costs about ten
 * times what it costs in extract_read; in mode all the blocks are judged too. *out is empty (count
 * 0) for any verdict but OK and EMPTY. One thread. */
enum extract_verdict extract_explain(struct extract_scratch *s, struct arena *a,
                                     struct str html_utf8, struct str url, struct explain *out);
#endif
