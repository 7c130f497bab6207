/* doc - a document and the batch that owns its memory: the only currency between stages. */
#ifndef SLUICE_CORE_DOC_H
#define SLUICE_CORE_DOC_H
#include "core/arena.h"
#include "core/str.h"

enum {
    BATCH_DOCS_MAX = 512,        /* documents in one batch */
    BATCH_RAW_MAX = 2 << 20,     /* a batch is closed once its raw bytes pass this */
    DOC_RAW_MAX = 8 << 20,       /* preset cap of one record's kept body, bytes; beyond: verdict */
    BATCH_ARENA_MAX = 256 << 20, /* addresses reserved; pages commit on touch and are trimmed */
    SIGNALS_MAX = 96,            /* columns a run may have */
    RULES_MAX = 256,             /* rules a run may have */
};

/* ---- what a run can measure and why it can drop: filled while stages open, then read-only ---- */
/* Signals are f32 columns of the ledger; rules are the reasons of verdicts. Names look like
 * "gopher.words" and "gopher.min_words". Index and id follow the order of registration, that is of
 * the recipe's stages: the same in every run of one recipe. Rule id 0 means kept. */
struct signal_info {
    char name[48];
    const char *unit;
};
struct rule_info {
    char name[48];
    char stage[32];
    int signal; /* its signal or -1 */
    double threshold;
    int sense; /* +1 drops above, -1 below, 0 other */
};
struct schema {
    struct signal_info signal[SIGNALS_MAX];
    int signal_count;
    struct rule_info rule[RULES_MAX];
    int rule_count; /* rule[0] is "" = kept */
};
void schema_init(struct schema *s);
/* Column of the signal, registering it if new. Names and units must outlive the schema or be short.
 */
int schema_signal(struct schema *s, const char *name, const char *unit);
/* Rule id >= 1. signal -1 when the rule rests on no single number. The threshold is what the report
 * draws and `why` prints; sense +1: drops when the value is above it, -1: below. */
int schema_rule(struct schema *s, const char *stage, const char *name, int signal, double threshold,
                int sense);
int schema_find_signal(const struct schema *s, const char *name); /* -1 when absent */
int schema_find_rule(const struct schema *s, const char *name);   /* -1 when absent */

/* ---- documents ---- */
enum doc_kind { DOC_HTML, DOC_TEXT, DOC_OTHER }; /* what raw holds; TEXT needs no extraction */
struct doc {
    /* place: the key. item = index of the input file in the frozen list; record = number in it,
     * from 0 */
    uint32_t item, record;
    uint64_t offset; /* of the record in its file as stored (gzip member start), bytes */
    uint64_t id;     /* hash64(url, seed = hash of item's name and record): for people and seeds */
    enum doc_kind kind;
    struct str url;                /* as captured, brackets stripped; any bytes */
    bool url_is_name;              /* url is a line's id or a file's path: no address to judge */
    struct str host;               /* lower-cased host of url, no port; empty when it has none */
    struct str http_charset;       /* from the HTTP Content-Type header, may be empty */
    struct str date;               /* WARC-Date as found */
    struct str raw;                /* the body, transfer and content encodings removed */
    struct str text;               /* valid UTF-8, empty until extracted */
    struct str title;              /* of the page, valid UTF-8, may be empty */
    struct str meta;               /* what the page says of itself: a JSON object, or empty */
    struct view words;             /* views of text: span NULL until doc_words(), */
    struct view lines;             /* doc_lines() built them */
    char lang[8];                  /* ISO code, "" until known */
    float *signal;                 /* [SIGNALS_MAX], NaN until measured */
    uint16_t rule;                 /* 0 = kept, else the rule that dropped it (the first one) */
    float value;                   /* what that rule saw ... */
    float threshold;               /* ... and its limit */
    uint64_t also[RULES_MAX / 64]; /* every rule that would have dropped it: bit set by rule id */
    void *sketch;
    uint32_t sketch_bytes; /* what dedup.sign left for the sink, in the batch arena */
};
struct batch {
    struct arena arena;
    uint64_t seq; /* reading order within the item, from 0 */
    struct doc doc[BATCH_DOCS_MAX];
    int doc_count;
    uint16_t live[BATCH_DOCS_MAX];
    int live_count; /* indexes of kept docs, ascending */
    uint64_t raw_bytes;
    float signals[BATCH_DOCS_MAX][SIGNALS_MAX];
};
int batch_open(struct batch **out); /* one mapping; reused by batch_clear */
void batch_clear(struct batch *b);
void batch_close(struct batch *b);
/* A new document, zeroed, signals NaN, live. NULL when the batch holds BATCH_DOCS_MAX. */
struct doc *batch_add(struct batch *b);
static inline bool batch_full(const struct batch *b)
{
    return b->doc_count >= BATCH_DOCS_MAX || b->raw_bytes >= BATCH_RAW_MAX;
}
/* Drops d for rule (first verdict stays; later ones are only noted in `also`). live[] is rebuilt by
 * batch_sweep, which the runner calls after every stage. */
void doc_drop(struct doc *d, int rule, double value, double threshold);
void batch_sweep(struct batch *b);

/* Replaces the text (bytes must be valid UTF-8 and live in the batch arena or longer); voids views.
 */
void doc_set_text(struct doc *d, struct str text);

/* ---- shared views: built once, kept in the batch arena; no memory: NULL span, count 0 ---- */
/* Lines: text split at \n (the \n not included; a last empty line after a final \n is not counted).
 */
struct view doc_lines(struct batch *b, struct doc *d);
/* Words of the native dialect `sluice@1`, after UAX #29: maximal runs of letters, marks and
 * numbers; between two letters or two numbers an apostrophe or full stop joins, between two numbers
 * a comma; in spaceless scripts each letter with its marks is a word; every other run of one class
 * (punctuation, symbols, the rest) is a word of its own (a symbol word). Invisible format
 * characters never part or make a word. */
struct view doc_words(struct batch *b, struct doc *d);
/* The same over any text, for tests and for text outside batches. */
int text_words(struct arena *a, struct str text, struct view *out);
int text_lines(struct arena *a, struct str text, struct view *out);
static inline struct str span_str(struct str text, struct span s)
{
    return (struct str){text.ptr + s.start, s.len};
}
/* True when the word starts with a letter, mark or number: false for symbol words. */
bool word_is_alnum(struct str word);
#endif
