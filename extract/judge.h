/* judge - what the files that decide which blocks are main text share with one another. */
#ifndef SLUICE_EXTRACT_JUDGE_H
#define SLUICE_EXTRACT_JUDGE_H
#include "extract/parts.h"

/* ---- groups.c: what repeats on the page ---- */
/* Siblings of one parent that look alike (rows of a listing, posts of a forum), or blocks anywhere
 * on the page that stand under the same names. Sums are over all members. */
struct group {
    uint32_t units;               /* members that hold text */
    uint32_t blocks, first, last; /* the blocks in them: how many, the first, the last */
    uint32_t longest;             /* characters of the longest member */
    uint64_t chars, link_chars, ends, words;
    uint64_t fresh; /* of blocks: FRESH for each text that stands nowhere else, less for copies */
};
enum { NO_GROUP = UINT32_MAX, FRESH = 4096 };
struct groups {
    struct group *list;
    uint32_t count;
    uint32_t *same;  /* of each element: its group of siblings with the same tag and class */
    uint32_t *alike; /* of each element: its group of siblings with the same tag */
    uint32_t *path;  /* of each block: the blocks under the same three names */
    uint32_t *unit;  /* of each element: the nearest of its line in an `alike` of >= 3 */
    uint32_t main;   /* the `same` group with most text besides its longest member */
};
/* Pushed on a. range gives each element's blocks. False when a is full. */
struct range {
    uint32_t from, to;
};
bool groups_find(struct arena *a, const struct page *p, const struct range *range,
                 struct groups *out);

/* ---- said.c: the words a page uses of itself ---- */
enum said_from { SAID_TITLE = 1, SAID_ABOUT = 2, SAID_REVIEW = 4, SAID_NAME = 8 };
enum json_kind {
    JSON_ARTICLE = 1,
    JSON_PRODUCT = 2,
    JSON_FORUM = 4,
    JSON_LIST = 8,
    JSON_FAQ = 16,
    JSON_ANY = 32,
};
struct said_word {
    uint64_t key;
    uint32_t from, first;
};
struct said {
    struct said_word *table;
    uint64_t mask;
    uint32_t json;  /* json_kind bits: the types the page's JSON-LD names */
    uint32_t items; /* objects with a name in its JSON-LD */
    uint32_t about_words, review_words, title_words;
    bool og_article, og_product, og_website;
};
/* What a block's words have in common with what the page says of itself; shares of its words. */
struct said_shares {
    float title, name, about, review, topic, title_covered;
};
/* JSON-LD is parsed with a as scratch. Pushed on a; false when a is full. asides may be NULL. */
bool said_open(struct arena *a, const struct page *p, const struct asides *asides,
               struct said *out);
struct said_shares said_of_block(const struct said *s, const struct page *p, uint32_t index);

/* ---- titles.c: what the titles over a block say ---- */
enum { TITLES_BLOCK = 2 * TOPIC_COUNT + 5, HEADING_LEVELS = 6 };
/* The innermost element with a title around an element, and levels up to one of each topic. */
struct titled {
    uint32_t node; /* NO_NODE: none */
    uint8_t near[TOPIC_COUNT];
};
struct above {
    /* by level, those whose section a block stands in; UINT32_MAX: none */
    uint32_t heading[HEADING_LEVELS + 1];
};
struct titles {
    const struct page *p;
    const struct range *range;
    struct titled *part; /* of each element */
    uint16_t *topics;    /* of each block that may be a title */
    struct above *above; /* of each block */
    uint32_t *end;       /* of each block: where its section ends if it is a heading */
};
/* Pushed on a; p and range must stay. False when a is full. */
bool titles_find(struct arena *a, const struct page *p, const struct range *range,
                 struct titles *out);
float *titles_block(float *f, const struct titles *t, uint32_t index);
/* The innermost part with a title around a block, and the section of the widest heading above it
 * but the page's own; the whole page where there is none. */
struct range titles_part(const struct titles *t, uint32_t index);
struct range titles_chapter(const struct titles *t, uint32_t index);

/* ---- surround.c: where a block stands among groups, headings and long texts ---- */
enum { ASPECT_TAGS = 8 };
/* What the names above an element say, those that hold nearly the whole page left out: a class of
 * <body> ("has-sidebar") says nothing of its parts. */
struct aspect {
    uint8_t near[CUE_COUNT];  /* levels up to the cue, NEAR_NONE: none */
    uint8_t tag[ASPECT_TAGS]; /* levels up to nav, header, footer, aside, main, article, form, li */
};
/* What stands in the text of a block: a price, a date or time of day, an unfilled {{name}}; the
 * bytes of its longest run of ASCII without a blank. */
struct marks {
    bool price, date, placeholder;
    uint32_t run;
};
/* The heading that repeats the page's titles, and the elements around it from the inside out. */
enum { HEADLINE_LEVELS = 64, HEADLINE_BLOCK = 6 };
struct headline {
    uint32_t block, levels; /* block: UINT32_MAX: none */
    uint32_t above[HEADLINE_LEVELS];
};
struct surround {
    const struct page *p;
    struct aspect *aspect; /* of each element */
    struct range *range;   /* of each element: the blocks in it */
    struct groups groups;
    struct titles titles;
    struct said said;
    uint32_t *long_before, *long_after; /* the nearest long blocks, UINT32_MAX: none */
    uint32_t *section_end;              /* of each block: the next heading, or the page's end */
    uint32_t *link_run;                 /* blocks of links alone around it, itself included */
    struct marks *marks;                /* of each block */
    struct headline headline;
};
enum { SURROUND_BLOCK = 49 + ASPECT_TAGS + TITLES_BLOCK + HEADLINE_BLOCK, SURROUND_PAGE = 26 };
/* Pushed on a; p and asides (may be NULL) must stay. NULL when a is full. */
struct surround *surround_open(struct arena *a, const struct page *p, const struct asides *asides);
/* A block of running text: long, and few of its characters in links. */
bool block_is_long(const struct block *b);
float *surround_block(float *f, const struct surround *s, uint32_t index);
float *surround_page(float *f, const struct surround *s);

/* ---- hints.c: what tells a page's kind ---- */
enum {
    HINT_SETS = 7,
    HINT_OUTER = 8,
    HINT_SHARES = 12,
    HINTS_PAGE = 3 * HINT_SETS + 6 + 4 + HINT_OUTER + HINT_SHARES + 2,
};
/* Writes HINTS_PAGE numbers. asides may be NULL; aspect: of each element. */
float *hints_page(float *f, const struct page *p, const struct asides *asides,
                  const struct aspect *aspect);

/* ---- features.c: what is measured of each block ---- */
/* MEMBERS: judges that are fitted alike but for their random numbers, and whose mean is taken. */
enum { POOLS = 10, MEMBERS = 4 };
enum {
    FEATURES_FIRST = 164 + SURROUND_BLOCK + SURROUND_PAGE,
    FEATURES_SECOND = 19 + POOLS + PAGE_KIND_COUNT,
    FEATURES_PAGE = 13 + SURROUND_PAGE + HINTS_PAGE,
    FEATURES_PAGE_JUDGED = FEATURES_PAGE + 6,
};
/* The blocks whose opinions count for one block: ranges around it, and single ones. */
struct pools {
    struct range range[POOLS];
    uint32_t path, heading, long_before, long_after;
};
struct features;
/* Pushed on a; p and asides (may be NULL) must stay. NULL when a is full. */
struct features *features_open(struct arena *a, const struct page *p, const struct asides *asides);
/* Writes FEATURES_FIRST numbers: what can be said of a block before any is judged. */
void features_first(const struct features *f, uint32_t index, float *row);
/* The block stands in nav, footer, or a header that is no article's. */
bool features_furniture(const struct features *f, uint32_t index);
struct pools features_pools(const struct features *f, uint32_t index);
/* FEATURES_PAGE numbers of the page as a whole. */
void features_page(const struct features *f, float *row);
/* Takes one member's first judgement of every block (borrowed), on which what follows rests. */
void features_judged(struct features *f, int member, const float *keep);
/* Fills up a row of features_page to FEATURES_PAGE_JUDGED numbers, by which a member tells the
 * page's kind. */
void features_page_judged(const struct features *f, int member, float *row);
/* FEATURES_SECOND numbers of a block for each member; kinds: what each takes the probability of
 * every kind for. */
void features_second(const struct features *f, uint32_t index,
                     const float kinds[MEMBERS][PAGE_KIND_COUNT], float *row);

/* ---- model.c: the share of each block's words that belongs to the main text, 0..1 ---- */
struct judgement {
    float *keep;
    float kind_share[PAGE_KIND_COUNT];
    enum page_kind kind;
    struct features *features; /* for model_reasons, as is what each member says of the kind */
    float kinds[MEMBERS][PAGE_KIND_COUNT];
};
/* keep is pushed on a, one for every block. False when a is full. asides may be NULL. */
bool model_judge(struct arena *a, const struct page *p, const struct asides *asides,
                 struct judgement *out);
/* How much each measure moved the judgement of one block, in logits, and what was measured: both of
 * FEATURES_FIRST + FEATURES_SECOND numbers, means over the members, named by feature_name (names.c;
 * static). Returns what is thought of a block before anything is measured; with all weights it is
 * the logit of keep. */
double model_reasons(const struct judgement *j, uint32_t index, float *weight, float *row);
const char *feature_name(int column);

/* How much a block counts: its words. */
static inline double block_weight(const struct block *b) { return b->words ? b->words : 0.5; }

/* ---- choose.c: which blocks are printed ---- */
enum decision { UNLIKELY, LIKELY, COPY, UNSEEN, SHELL };
struct choice_conf {
    bool all, explained;
    double beta;
}; /* explained: judged in mode all too */
struct choice {
    struct judgement judged;
    uint8_t *decision; /* of each block: enum decision */
    bool *chosen;      /* decision is LIKELY */
    float threshold;   /* the lowest keep that was taken; 1 when none was */
};
/* Everything is pushed on a; false when it is full. beta: the weight of recall in the F measure
 * whose expectation is made largest. */
bool choice_make(struct arena *a, const struct page *p, const struct asides *asides,
                 const struct choice_conf *conf, struct choice *out);

/* ---- whole.c: what is read together or not at all ---- */
/* Data tables (rows of short cells): all of a table whose blocks are as likely on average as the
 * threshold, nothing of others. False when a, where scratch is taken, is full. */
bool whole_tables(struct arena *a, const struct page *p, const float *keep, float threshold,
                  uint8_t *decision);
/* For pages of documentation, of which each line was written for its place: where nearly all from
 * the first block taken to the last is taken, what lies between and is half as likely as the
 * threshold is taken too, but for links, menus and hidden blocks. */
void whole_manual(const struct page *p, const struct judgement *j, float threshold,
                  uint8_t *decision);
/* Drops a heading that ends the text, unless a heading stands before it: then they are names. */
void whole_headings(const struct page *p, uint8_t *decision);
/* Of an article: drops what stands behind its last long text in a row of three or more blocks of
 * links alone. They are the most read or the latest of other pages. */
void whole_articles(const struct page *p, uint8_t *decision);
#endif
