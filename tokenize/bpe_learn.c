/* bpe_learn - merges learned from counted words: the commonest pair of neighbours, again and again.
 *
 * Words lie behind each other in one array: count, length, symbols. Each pair that is watched has
 * its count and the list of the words it may stand in, so that a merge visits those words alone; a
 * heap of (count, pair) gives the commonest, and is put right lazily: an entry whose count is out
 * of date goes back in with the true one.
 *
 * What keeps it small and fast is that a pair's count can only fall. A pair is born when the newer
 * of its two symbols is made, and is whole at the end of that merge. So a pair that is born with
 * fewer than `start` occurrences, or falls below, can be forgotten, as long as commoner ones are
 * left: nearly all pairs of a large text are such. When none is left, `start` is lowered and the
 * words are looked through anew. Also, all pairs that a merge of (a, b) changes are of the kinds
 * (x, a), (b, y), (x, new), (new, y): one array by x and one by y add them up, and the table of
 * pairs is asked once for each.
 *
 * Counts are sums over words, and ties go to the smaller (left, right) ids: the order of words
 * does not matter. (The rule of Hugging Face's trainer and of rustbpe: count down, then pair up.)
 */
#include "tokenize/bpe_learn.h"

#include "core/err.h"
#include "core/pipe.h"

#include <assert.h>
#include <stdlib.h>

enum {
    HEAD = 3, /* in front of a word's symbols: count (two); room for symbols, and how many */
    PAIRS_START = 1 << 12,
    BYTE_PAIRS = 1 << 16,
    SKETCH = 1 << 22, /* sums of pairs that share a place: no pair's count is above its place's */
    LOWER_BY = 16,
    AHEAD = 12, /* words between asking for one and using it */
};
#define PAIR_FREE (~(uint64_t)0)

struct watched {
    uint64_t key;  /* PAIR_FREE: free */
    int64_t count; /* 0: merged, or too rare to be watched any more */
    uint32_t *list;
    uint32_t words, last; /* words in the list; the last one counted */
};
struct candidate {
    int64_t count;
    uint64_t key;
};
/* What the merge at hand does to the pairs of one neighbour. */
struct change {
    int64_t born, gone;
    uint32_t words, last; /* words with the new pair; the last one counted */
    uint32_t *fill;       /* where the next one goes */
    bool touched;
};
struct event {
    uint32_t neighbour, word;
};
struct side {
    struct change *change; /* [ids] */
    uint32_t *touched, touched_count;
    struct event *event;
    size_t events, events_max;
};
struct bpe_learner {
    struct bpe_learn_conf conf;
    uint32_t *text; /* the words */
    size_t used, size;
    uint64_t weight; /* sum of counts times symbols */
    struct watched *pair;
    uint64_t pair_mask, pairs;
    uint32_t *lists; /* the block that the lists of a look-through share */
    size_t lists_count;
    struct candidate *heap;
    size_t heap_count, heap_max;
    struct side left, right;
    struct bpe_pair *merge;
    uint32_t merges;
    uint64_t last;
};

static int no_memory(void)
{
    return err_set(ERR_LIMIT, "tokenizer: no memory to learn merges: train on less text");
}

uint64_t bpe_learner_memory(const struct bpe_learn_conf *conf)
{
    uint64_t ids = (uint64_t)conf->first_id + conf->merges_max;
    uint64_t text = (conf->words * HEAD + conf->symbols) * sizeof(uint32_t);
    uint64_t lists = conf->symbols * 2 * sizeof(uint32_t);
    uint64_t each_id = 2 * (sizeof(struct change) + sizeof(uint32_t)) + sizeof(struct bpe_pair);
    return text + lists + SKETCH * sizeof(uint64_t) + ids * each_id;
}

int bpe_learner_open(struct bpe_learner **out, const struct bpe_learn_conf *conf)
{
    struct bpe_learner *l = calloc(1, sizeof *l);
    uint64_t ids = (uint64_t)conf->first_id + conf->merges_max;
    if (!l)
        return no_memory();
    l->conf = *conf;
    if (l->conf.least == 0)
        l->conf.least = 1;
    l->size = conf->words * HEAD + conf->symbols;
    if (l->size >= UINT32_MAX || ids >= VOCAB_MAX) {
        free(l);
        return err_set(ERR_LIMIT,
                       "tokenizer: %llu symbols in %llu words for %llu ids are too many: train on "
                       "less text",
                       (unsigned long long)conf->symbols, (unsigned long long)conf->words,
                       (unsigned long long)ids);
    }
    l->text = malloc((l->size + 1) * sizeof *l->text);
    l->merge = calloc((size_t)conf->merges_max + 1, sizeof *l->merge);
    l->left.change = calloc(ids + 1, sizeof *l->left.change);
    l->right.change = calloc(ids + 1, sizeof *l->right.change);
    l->left.touched = calloc(ids + 1, sizeof *l->left.touched);
    l->right.touched = calloc(ids + 1, sizeof *l->right.touched);
    if (!l->text || !l->merge || !l->left.change || !l->right.change || !l->left.touched ||
        !l->right.touched) {
        bpe_learner_close(l);
        return no_memory();
    }
    *out = l;
    return 0;
}

int bpe_learner_word(struct bpe_learner *l, const uint32_t *symbol, uint32_t count, uint64_t times)
{
    if (count < 2)
        return 0;
    assert(count <= BPE_WORD_MAX);
    if (l->used + HEAD + count > l->size)
        return err_set(ERR_LIMIT, "tokenizer: more words than were announced");
    uint32_t *to = l->text + l->used;
    memcpy(to, &times, sizeof times);
    to[2] = count << 16 | count;
    memcpy(to + HEAD, symbol, sizeof *symbol * count);
    l->used += HEAD + count;
    l->weight += times * count;
    return 0;
}

static inline int64_t word_times(const uint32_t *word)
{
    int64_t times;
    memcpy(&times, word, sizeof times);
    return times;
}

/* Merged words are shorter, but stay where they are. */
static inline uint32_t word_room(const uint32_t *word) { return word[2] >> 16; }
static inline uint32_t word_length(const uint32_t *word) { return word[2] & BPE_WORD_MAX; }

/* ---- the table of watched pairs ---- */
static inline struct watched *pair_place(struct watched *table, uint64_t mask, uint64_t key)
{
    uint64_t at = (key * 0x9E3779B97F4A7C15u ^ key >> 29) >> 17 & mask;
    while (table[at].key != PAIR_FREE && table[at].key != key)
        at = (at + 1) & mask;
    return &table[at];
}

static struct watched *pair_get(struct bpe_learner *l, uint64_t key)
{
    struct watched *w = pair_place(l->pair, l->pair_mask, key);
    return w->key == key && w->count > 0 ? w : NULL;
}

/* A list is a memory block of its own, or part of the one that a look-through made. */
static void list_free(const struct bpe_learner *l, uint32_t *list)
{
    if (list < l->lists || list >= l->lists + l->lists_count)
        free(list);
}

static void pair_forget(const struct bpe_learner *l, struct watched *w)
{
    list_free(l, w->list);
    w->list = NULL;
    w->words = 0;
    w->count = 0;
}

static void pairs_forget(struct bpe_learner *l)
{
    for (uint64_t i = 0; l->pair && i <= l->pair_mask; i++)
        list_free(l, l->pair[i].list);
    free(l->pair);
    free(l->lists);
    l->pair = NULL;
    l->lists = NULL;
    l->lists_count = 0;
    l->pairs = 0;
    l->heap_count = 0;
}

/* A table for twice as many pairs as are still watched. */
static int pairs_resize(struct bpe_learner *l)
{
    uint64_t alive = 0, size = PAIRS_START;
    for (uint64_t i = 0; l->pair && i <= l->pair_mask; i++)
        alive += l->pair[i].key != PAIR_FREE && l->pair[i].count > 0;
    while (size < alive * 4)
        size *= 2;
    struct watched *table = malloc(size * sizeof *table);
    if (!table)
        return no_memory();
    for (uint64_t i = 0; i < size; i++)
        table[i] = (struct watched){.key = PAIR_FREE};
    for (uint64_t i = 0; l->pair && i <= l->pair_mask; i++)
        if (l->pair[i].key != PAIR_FREE && l->pair[i].count > 0)
            *pair_place(table, size - 1, l->pair[i].key) = l->pair[i];
    free(l->pair);
    l->pair = table;
    l->pair_mask = size - 1;
    l->pairs = alive;
    return 0;
}

/* The pair's entry, made when it is new. Moves entries: what was found before is not valid. */
static int pair_make(struct bpe_learner *l, uint64_t key, struct watched **out)
{
    if (!l->pair || (l->pairs + 1) * 2 > l->pair_mask + 1)
        TRY(pairs_resize(l));
    struct watched *w = pair_place(l->pair, l->pair_mask, key);
    if (w->key != key) {
        *w = (struct watched){.key = key};
        l->pairs++;
    }
    *out = w;
    return 0;
}

/* ---- the heap ---- */
static bool candidate_before(const struct candidate *a, const struct candidate *b)
{
    return a->count != b->count ? a->count > b->count : a->key < b->key;
}

static int candidate_push(struct bpe_learner *l, struct candidate c)
{
    if (l->heap_count == l->heap_max) {
        size_t max = l->heap_max ? l->heap_max * 2 : PAIRS_START;
        struct candidate *grown = realloc(l->heap, max * sizeof *grown);
        if (!grown)
            return no_memory();
        l->heap = grown;
        l->heap_max = max;
    }
    size_t at = l->heap_count++;
    for (; at && candidate_before(&c, &l->heap[(at - 1) / 2]); at = (at - 1) / 2)
        l->heap[at] = l->heap[(at - 1) / 2];
    l->heap[at] = c;
    return 0;
}

static struct candidate candidate_pop(struct bpe_learner *l)
{
    struct candidate top = l->heap[0], last = l->heap[--l->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= l->heap_count)
            break;
        if (child + 1 < l->heap_count && candidate_before(&l->heap[child + 1], &l->heap[child]))
            child++;
        if (!candidate_before(&l->heap[child], &last))
            break;
        l->heap[at] = l->heap[child];
        at = child;
    }
    l->heap[at] = last;
    return top;
}

/* ---- looking through all words ---- */
static inline uint32_t sketch_place(uint32_t left, uint32_t right)
{
    if ((left | right) < 256)
        return left << 8 | right;
    return BYTE_PAIRS +
           (uint32_t)((pair_key(left, right) * 0x9E3779B97F4A7C15u) >> 33) % (SKETCH - BYTE_PAIRS);
}

static uint64_t *sketch_make(const struct bpe_learner *l)
{
    uint64_t *sketch = calloc(SKETCH, sizeof *sketch);
    for (size_t at = 0; sketch && at < l->used;) {
        const uint32_t *word = l->text + at;
        uint64_t times = (uint64_t)word_times(word);
        for (uint32_t i = HEAD; i + 1 < HEAD + word_length(word); i++)
            sketch[sketch_place(word[i], word[i + 1])] += times;
        at += HEAD + word_room(word);
    }
    return sketch;
}

/* Counts the pairs whose place in the sketch holds enough, and forgets those that turn out rarer.
 */
static int pairs_count(struct bpe_learner *l, const uint64_t *sketch, uint64_t start)
{
    struct watched *w;
    for (size_t at = 0; at < l->used;) {
        const uint32_t *word = l->text + at;
        for (uint32_t i = HEAD; i + 1 < HEAD + word_length(word); i++) {
            if (sketch[sketch_place(word[i], word[i + 1])] < start)
                continue;
            TRY(pair_make(l, pair_key(word[i], word[i + 1]), &w));
            w->count += word_times(word);
            w->words += w->last != at + 1;
            w->last = (uint32_t)at + 1;
        }
        at += HEAD + word_room(word);
    }
    for (uint64_t i = 0; l->pair && i <= l->pair_mask; i++) {
        w = &l->pair[i];
        if (w->key == PAIR_FREE)
            continue;
        if (w->count < (int64_t)start)
            w->count = w->words = 0;
        l->lists_count += w->words;
    }
    return 0;
}

/* Gives each watched pair its part of one block, and notes the words. */
static int lists_fill(struct bpe_learner *l)
{
    size_t next = 0;
    l->lists = malloc((l->lists_count + 1) * sizeof *l->lists);
    if (!l->lists)
        return no_memory();
    for (uint64_t i = 0; i <= l->pair_mask; i++) {
        struct watched *w = &l->pair[i];
        if (w->key == PAIR_FREE || w->count == 0)
            continue;
        w->list = l->lists + next;
        next += w->words;
        w->words = w->last = 0;
        TRY(candidate_push(l, (struct candidate){w->count, w->key}));
    }
    for (size_t at = 0; at < l->used;) {
        const uint32_t *word = l->text + at;
        for (uint32_t i = HEAD; i + 1 < HEAD + word_length(word); i++) {
            struct watched *w = pair_get(l, pair_key(word[i], word[i + 1]));
            if (!w || w->last == at + 1)
                continue;
            w->list[w->words++] = (uint32_t)at;
            w->last = (uint32_t)at + 1;
        }
        at += HEAD + word_room(word);
    }
    return 0;
}

static int look_through(struct bpe_learner *l, uint64_t start)
{
    pairs_forget(l);
    uint64_t *sketch = sketch_make(l);
    if (!sketch)
        return no_memory();
    int rc = pairs_resize(l);
    if (rc >= 0)
        rc = pairs_count(l, sketch, start);
    free(sketch);
    TRY(rc);
    return lists_fill(l);
}

/* ---- one merge ---- */
static struct change *side_touch(struct side *side, uint32_t neighbour)
{
    struct change *c = &side->change[neighbour];
    if (!c->touched) {
        c->touched = true;
        side->touched[side->touched_count++] = neighbour;
    }
    return c;
}

/* A new pair with this neighbour stands in the word. */
static int side_born(struct side *side, uint32_t neighbour, int64_t times, uint32_t word)
{
    struct change *c = side_touch(side, neighbour);
    c->born += times;
    if (c->last == word + 1)
        return 0;
    c->last = word + 1;
    c->words++;
    if (side->events == side->events_max) {
        size_t max = side->events_max ? side->events_max * 2 : 4096;
        struct event *grown = realloc(side->event, max * sizeof *grown);
        if (!grown)
            return no_memory();
        side->event = grown;
        side->events_max = max;
    }
    side->event[side->events++] = (struct event){neighbour, word};
    return 0;
}

static int word_merge(struct bpe_learner *l, uint32_t at, struct bpe_pair pair, uint32_t id)
{
    uint32_t *word = l->text + at, *s = word + HEAD, kept = 0, len = word_length(word);
    int64_t times = word_times(word);
    for (uint32_t i = 0; i < len; i++) {
        if (i + 1 >= len || s[i] != pair.left || s[i + 1] != pair.right) {
            s[kept++] = s[i];
            continue;
        }
        /* s[0, kept) is done; what follows i + 1 is not looked at yet. */
        if (kept && s[kept - 1] == id) /* then (id, left) was noted, and is no more */
            side_touch(&l->right, pair.left)->born -= times;
        else if (kept)
            side_touch(&l->left, s[kept - 1])->gone += times;
        if (kept)
            TRY(side_born(&l->left, s[kept - 1], times, at));
        if (i + 2 < len) {
            side_touch(&l->right, s[i + 2])->gone += times;
            TRY(side_born(&l->right, s[i + 2], times, at));
        }
        s[kept++] = id;
        i++;
    }
    word[2] = word_room(word) << 16 | kept;
    return 0;
}

/* Takes what is gone from an old pair, and begins to watch a new one that is common enough. */
static int change_apply(struct bpe_learner *l, struct change *c, uint64_t old, uint64_t fresh,
                        uint64_t merged, uint64_t start)
{
    struct watched *w = c->gone && old != merged ? pair_get(l, old) : NULL;
    if (w) {
        w->count -= c->gone;
        if (w->count < (int64_t)start)
            pair_forget(l, w);
    }
    if (c->born < (int64_t)start)
        return 0;
    TRY(pair_make(l, fresh, &w));
    assert(w->count == 0);
    w->list = malloc(sizeof *w->list * c->words);
    if (!w->list)
        return no_memory();
    w->count = c->born;
    w->words = c->words;
    c->fill = w->list;
    return candidate_push(l, (struct candidate){w->count, fresh});
}

static void side_end(struct side *side)
{
    for (size_t i = 0; i < side->events; i++) {
        struct change *c = &side->change[side->event[i].neighbour];
        if (c->fill)
            *c->fill++ = side->event[i].word;
    }
    for (uint32_t i = 0; i < side->touched_count; i++)
        side->change[side->touched[i]] = (struct change){0};
    side->touched_count = 0;
    side->events = 0;
}

static int pair_merge(struct bpe_learner *l, struct watched *w, uint64_t start)
{
    uint64_t key = w->key;
    struct bpe_pair pair = {(uint32_t)(key >> 32), (uint32_t)key};
    uint32_t id = l->conf.first_id + l->merges, words = w->words, *list = w->list;
    int rc = 0;
    l->last = (uint64_t)w->count;
    l->merge[l->merges++] = pair;
    w->list = NULL;
    pair_forget(l, w);
    for (uint32_t i = 0; i < words && rc >= 0; i++) {
        if (i + AHEAD < words)
            __builtin_prefetch(l->text + list[i + AHEAD]);
        rc = word_merge(l, list[i], pair, id);
    }
    for (uint32_t i = 0; i < l->left.touched_count && rc >= 0; i++) {
        uint32_t x = l->left.touched[i];
        rc = change_apply(l, &l->left.change[x], pair_key(x, pair.left), pair_key(x, id), key,
                          start);
    }
    for (uint32_t i = 0; i < l->right.touched_count && rc >= 0; i++) {
        uint32_t y = l->right.touched[i];
        rc = change_apply(l, &l->right.change[y], pair_key(pair.right, y), pair_key(id, y), key,
                          start);
    }
    side_end(&l->left);
    side_end(&l->right);
    list_free(l, list);
    return rc;
}

/* A pair that will be among so many merges is hardly rarer than this: the counts of merges fall
 * about as one through their number. */
static uint64_t start_guess(const struct bpe_learner *l)
{
    return l->weight / ((uint64_t)l->conf.merges_max * 64 + 1);
}

int bpe_learner_run(struct bpe_learner *l)
{
    uint64_t start = l->conf.start ? l->conf.start : start_guess(l);
    if (start < l->conf.least)
        start = l->conf.least;
    TRY(look_through(l, start));
    while (l->merges < l->conf.merges_max) {
        if (pipe_stop)
            return err_set(ERR_STOP, "stopped by a signal");
        if (l->heap_count == 0) {
            if (start == l->conf.least)
                break;
            start = start / LOWER_BY > l->conf.least ? start / LOWER_BY : l->conf.least;
            TRY(look_through(l, start));
            continue;
        }
        struct candidate c = candidate_pop(l);
        struct watched *w = pair_get(l, c.key);
        if (!w)
            continue;
        if (w->count == c.count)
            TRY(pair_merge(l, w, start));
        else
            TRY(candidate_push(l, (struct candidate){w->count, c.key}));
    }
    return 0;
}

const struct bpe_pair *bpe_learner_merges(const struct bpe_learner *l, uint32_t *count)
{
    *count = l->merges;
    return l->merge;
}

uint64_t bpe_learner_last(const struct bpe_learner *l) { return l->last; }

void bpe_learner_close(struct bpe_learner *l)
{
    if (!l)
        return;
    pairs_forget(l);
    free(l->heap);
    free(l->text);
    free(l->merge);
    free(l->left.change);
    free(l->left.touched);
    free(l->left.event);
    free(l->right.change);
    free(l->right.touched);
    free(l->right.event);
    free(l);
}
