/* component - who stays of documents that edges join, and who goes with whom.
 *
 * Members are taken from the best on by the policy. Each joins the first survivor that it is like,
 * or becomes a survivor. To ask every survivor would be quadratic where a component is a long chain
 * (a page that changes a little from crawl to crawl); so the first DEDUP_SURVIVORS_MAX are asked
 * always, which settles nearly all components, and later ones only if they share a band or the
 * whole text with the member: they stand in a table by those keys. */
#include "dedup/component.h"

#include "core/err.h"

#include <assert.h>
#include <stdlib.h>

enum policy { POLICY_FIRST, POLICY_LONGEST, POLICY_QUALITY, POLICY_NEWEST };
enum { NOBODY = -1, ASKED_MAX = 64, TABLE_MIN = 1024 };

struct entry {
    uint64_t key;
    int64_t survivor; /* index of a member; NOBODY: free */
};
struct component {
    const struct dedup_conf *conf;
    struct sketch_set *set;
    member_fn *fn;
    void *arg;
    enum policy policy;
    uint32_t values; /* of a document */
    struct member *member;
    int64_t count, cap;
    int64_t *order, *survivor; /* by policy; of each member */
    uint32_t *size;            /* of each survivor's cluster */
    int64_t first[DEDUP_SURVIVORS_MAX];
    int first_count;
    uint32_t *first_values, *own, *other;
    bool first_loaded[DEDUP_SURVIVORS_MAX];
    struct entry *entry;
    size_t entry_cap, entry_used;
};
/* The member at hand: what was already read or asked for it. */
struct asking {
    int64_t index;
    bool loaded;
    int asked_count;
    int64_t asked[ASKED_MAX];
};

int component_open(struct component **out, const struct dedup_conf *conf, struct sketch_set *set,
                   member_fn *fn, void *arg)
{
    struct component *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(ERR_LIMIT, "dedup: no memory for components");
    c->conf = conf;
    c->set = set;
    c->fn = fn;
    c->arg = arg;
    c->policy = strcmp(conf->policy, "longest") == 0   ? POLICY_LONGEST
                : strcmp(conf->policy, "quality") == 0 ? POLICY_QUALITY
                : strcmp(conf->policy, "newest") == 0  ? POLICY_NEWEST
                                                       : POLICY_FIRST;
    c->values = sketch_values_count(conf);
    size_t rows = DEDUP_SURVIVORS_MAX + 2;
    c->first_values = malloc((rows * c->values + 1) * sizeof *c->first_values);
    if (!c->first_values) {
        component_close(c);
        return err_set(ERR_LIMIT, "dedup: no memory to compare sketches");
    }
    c->own = c->first_values + (size_t)DEDUP_SURVIVORS_MAX * c->values;
    c->other = c->own + c->values;
    *out = c;
    return 0;
}

void component_close(struct component *c)
{
    if (!c)
        return;
    free(c->member);
    free(c->order);
    free(c->survivor);
    free(c->size);
    free(c->first_values);
    free(c->entry);
    free(c);
}

static int grow(struct component *c)
{
    int64_t cap = c->cap ? c->cap * 2 : 256;
    struct member *member = realloc(c->member, (size_t)cap * sizeof *member);
    c->member = member ? member : c->member;
    int64_t *order = realloc(c->order, (size_t)cap * sizeof *order);
    c->order = order ? order : c->order;
    int64_t *survivor = realloc(c->survivor, (size_t)cap * sizeof *survivor);
    c->survivor = survivor ? survivor : c->survivor;
    uint32_t *size = realloc(c->size, (size_t)cap * sizeof *size);
    c->size = size ? size : c->size;
    if (!member || !order || !survivor || !size)
        return err_set(ERR_LIMIT, "dedup: no memory for a component of %lld documents",
                       (long long)cap);
    c->cap = cap;
    return 0;
}

int component_add(struct component *c, const struct member *m)
{
    if (c->count == c->cap)
        TRY(grow(c));
    c->member[c->count++] = *m;
    return 0;
}

/* ---- policy ---- */

static int quality_compare(float a, float b)
{
    bool a_known = a == a, b_known = b == b; /* NaN: not measured, behind all others */
    if (a_known != b_known)
        return a_known ? -1 : 1;
    return a_known && a > b ? -1 : a_known && a < b;
}

/* Negative when member *a comes before *b. Rows are unique, so the order is total. */
static int by_policy(const void *a, const void *b, void *component)
{
    const struct component *c = component;
    const struct member *one = &c->member[*(const int64_t *)a];
    const struct member *two = &c->member[*(const int64_t *)b];
    int order = 0;
    if (c->policy == POLICY_LONGEST)
        order = one->text_bytes > two->text_bytes ? -1 : one->text_bytes < two->text_bytes;
    else if (c->policy == POLICY_NEWEST)
        order = one->date > two->date ? -1 : one->date < two->date;
    else if (c->policy == POLICY_QUALITY)
        order = quality_compare(one->quality, two->quality);
    if (order == 0)
        order = one->row < two->row ? -1 : one->row > two->row;
    return order;
}

/* ---- likeness ---- */

static bool same_text(const struct member *a, const struct member *b)
{
    return (a->has & b->has & SKETCH_EXACT) && a->exact.low == b->exact.low &&
           a->exact.high == b->exact.high;
}

static int load_own(struct component *c, struct asking *ask)
{
    const struct member *m = &c->member[ask->index];
    if (ask->loaded)
        return 0;
    ask->loaded = true;
    return sketch_set_values(c->set, m->row, m->values_hash, c->own);
}

/* 1 when it follows without looking at values, 0 when it cannot be, -1 when they must be read. */
static int like_at_once(const struct component *c, const struct member *a, const struct member *b)
{
    if (same_text(a, b))
        return 1;
    if (!(a->has & b->has & SKETCH_MINHASH))
        return 0;
    return c->conf->verify <= 0 || a->values_hash == b->values_hash ? 1 : -1;
}

/* Asks one of the first survivors, whose values stay in memory. */
static int like_first(struct component *c, struct asking *ask, int which)
{
    const struct member *s = &c->member[c->first[which]];
    uint32_t *values = c->first_values + (size_t)which * c->values;
    int like = like_at_once(c, s, &c->member[ask->index]);
    if (like >= 0)
        return like;
    if (!c->first_loaded[which])
        TRY(sketch_set_values(c->set, s->row, s->values_hash, values));
    c->first_loaded[which] = true;
    TRY(load_own(c, ask));
    return sketch_share(values, c->own, c->values) >= c->conf->verify;
}

/* Asks a survivor of the table, once. */
static int like_later(struct component *c, struct asking *ask, int64_t survivor)
{
    const struct member *s = &c->member[survivor];
    for (int i = 0; i < ask->asked_count; i++)
        if (ask->asked[i] == survivor)
            return 0;
    if (ask->asked_count == ASKED_MAX)
        return 0;
    ask->asked[ask->asked_count++] = survivor;
    int like = like_at_once(c, s, &c->member[ask->index]);
    if (like >= 0)
        return like;
    TRY(sketch_set_values(c->set, s->row, s->values_hash, c->other));
    TRY(load_own(c, ask));
    return sketch_share(c->other, c->own, c->values) >= c->conf->verify;
}

/* ---- the table of later survivors ---- */

/* Key `which` of the member at hand: its bands (whose values must be loaded), then its text. */
static uint64_t key_of(const struct component *c, const struct asking *ask, int64_t which)
{
    size_t rows = (size_t)c->conf->rows;
    if (which == c->conf->bands)
        return hash_mix(c->member[ask->index].exact.low);
    return hash64(c->own + (size_t)which * rows, rows * sizeof *c->own, (uint64_t)which);
}

static bool has_key(const struct component *c, const struct asking *ask, int64_t which)
{
    uint32_t method = which == c->conf->bands ? SKETCH_EXACT : SKETCH_MINHASH;
    return c->member[ask->index].has & method;
}

/* First free slot for key, or NULL when DEDUP_HUBS_MAX survivors have it already. */
static struct entry *table_slot(struct component *c, uint64_t key)
{
    size_t at = (size_t)hash_mix(key);
    int same = 0;
    for (;; at++) {
        struct entry *e = &c->entry[at & (c->entry_cap - 1)];
        if (e->survivor == NOBODY)
            return e;
        same += e->key == key;
        if (same == DEDUP_HUBS_MAX)
            return NULL;
    }
}

static int table_grow(struct component *c)
{
    size_t old_cap = c->entry_cap, cap = old_cap ? old_cap * 2 : TABLE_MIN;
    struct entry *old = c->entry, *fresh = malloc(cap * sizeof *fresh);
    if (!fresh)
        return err_set(ERR_LIMIT, "dedup: no memory for %zu keys of a component", cap);
    for (size_t i = 0; i < cap; i++)
        fresh[i].survivor = NOBODY;
    c->entry = fresh;
    c->entry_cap = cap;
    for (size_t i = 0; i < old_cap; i++) {
        struct entry *slot = old[i].survivor == NOBODY ? NULL : table_slot(c, old[i].key);
        if (slot)
            *slot = old[i];
    }
    free(old);
    return 0;
}

static int table_add(struct component *c, struct asking *ask)
{
    TRY(c->values ? load_own(c, ask) : 0);
    for (int64_t which = 0; which <= c->conf->bands; which++) {
        if (!has_key(c, ask, which))
            continue;
        if (c->entry_used * 2 >= c->entry_cap)
            TRY(table_grow(c));
        uint64_t key = key_of(c, ask, which);
        struct entry *slot = table_slot(c, key);
        if (!slot)
            continue;
        *slot = (struct entry){key, ask->index};
        c->entry_used++;
    }
    return 0;
}

/* Survivors that share `key`, in the order they came. */
static int64_t table_find(struct component *c, struct asking *ask, uint64_t key)
{
    for (size_t at = (size_t)hash_mix(key);; at++) {
        const struct entry *e = &c->entry[at & (c->entry_cap - 1)];
        if (e->survivor == NOBODY)
            return NOBODY;
        if (e->key != key)
            continue;
        int like = like_later(c, ask, e->survivor);
        if (like < 0)
            return like - 1; /* an error, apart from NOBODY */
        if (like)
            return e->survivor;
    }
}

/* ---- settling ---- */

/* Index of the survivor that the member goes with, NOBODY, or an error less 1. */
static int64_t survivor_of(struct component *c, struct asking *ask)
{
    for (int i = 0; i < c->first_count; i++) {
        int like = like_first(c, ask, i);
        if (like < 0)
            return like - 1;
        if (like)
            return c->first[i];
    }
    if (c->entry_used == 0)
        return NOBODY;
    for (int64_t which = c->conf->bands; which >= 0; which--) {
        if (!has_key(c, ask, which))
            continue;
        int rc = which < c->conf->bands ? load_own(c, ask) : 0;
        if (rc < 0)
            return rc - 1;
        int64_t found = table_find(c, ask, key_of(c, ask, which));
        if (found != NOBODY)
            return found;
    }
    return NOBODY;
}

static int member_place(struct component *c, int64_t index)
{
    struct asking ask = {.index = index};
    int64_t survivor = survivor_of(c, &ask);
    if (survivor < NOBODY)
        return (int)(survivor + 1);
    c->survivor[index] = survivor == NOBODY ? index : survivor;
    c->size[c->survivor[index]]++;
    if (survivor != NOBODY)
        return 0;
    if (c->first_count < DEDUP_SURVIVORS_MAX) {
        c->first_loaded[c->first_count] = false;
        c->first[c->first_count++] = index;
        return 0;
    }
    return table_add(c, &ask);
}

int component_settle(struct component *c)
{
    if (c->count == 0)
        return 0;
    c->first_count = 0;
    for (size_t i = 0; c->entry_used > 0 && i < c->entry_cap; i++)
        c->entry[i].survivor = NOBODY;
    c->entry_used = 0;
    for (int64_t i = 0; i < c->count; i++) {
        c->order[i] = i;
        c->size[i] = 0;
    }
    qsort_r(c->order, (size_t)c->count, sizeof *c->order, by_policy, c);
    for (int64_t i = 0; i < c->count; i++)
        TRY(member_place(c, c->order[i]));
    for (int64_t i = 0; i < c->count; i++) {
        const struct member *m = &c->member[i], *s = &c->member[c->survivor[i]];
        uint32_t size = c->size[c->survivor[i]];
        if (size > 1)
            TRY(c->fn(c->arg, s, m, size, s != m && same_text(s, m)));
    }
    c->count = 0;
    return 0;
}
