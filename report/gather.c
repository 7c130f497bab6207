/* gather - counts, a sample for quantiles, and histograms whose edges follow from the sample.
 *
 * The first walk counts everything that needs no range, keeps the signals of the GATHER_SAMPLE rows
 * with the least hash of their id (so the same rows whatever the order) and the largest clusters.
 * Quantiles of the sample then set each histogram's edges, and the second walk fills the bins with
 * every row and finds urls of the clusters' members. */
#include "report/gather.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/heap.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { HLL_BITS = 14, HLL_REGISTERS = 1 << HLL_BITS, PLAIN_BINS = 48 };

const double gather_quantile_at[GATHER_QUANTILES] = {0.01, 0.05, 0.10, 0.25, 0.50,
                                                     0.75, 0.90, 0.95, 0.99};

struct hyperloglog {
    uint8_t rank[HLL_REGISTERS];
};

struct sampled {
    uint64_t key;
    uint32_t place;
}; /* place: of its signals in the sample */

struct gather_work {
    struct hyperloglog hosts, kept_hosts;
    struct sampled heap[GATHER_SAMPLE]; /* the greatest key on top */
    size_t heap_count;
    float sample[GATHER_SAMPLE][SIGNALS_MAX];
    char source[IO_PATH_MAX]; /* whose schema was compared last */
    bool schema_known;
};

/* ---- names ---- */
static uint32_t names_slot(const struct names *n, struct str name)
{
    uint32_t slot = (uint32_t)hash_str(name, 0) % COUNT_OF(n->slot);
    while (n->slot[slot] && !str_is(name, n->name[n->slot[slot] - 1]))
        slot = (slot + 1) % COUNT_OF(n->slot);
    return slot;
}

int names_find(const struct names *n, struct str name)
{
    name = str_slice(name, 0, sizeof n->name[0] - 1);
    return (int)n->slot[names_slot(n, name)] - 1;
}

int names_index(struct names *n, struct str name)
{
    name = str_slice(name, 0, sizeof n->name[0] - 1);
    uint32_t slot = names_slot(n, name);
    if (n->slot[slot])
        return n->slot[slot] - 1;
    if (n->count == GATHER_NAMES_MAX - 1)
        name = STR("(others)");
    if (n->count == GATHER_NAMES_MAX)
        return n->count - 1;
    if (name.len)
        memcpy(n->name[n->count], name.ptr, name.len);
    slot = names_slot(n, name);
    if (!n->slot[slot])
        n->slot[slot] = (uint16_t)++n->count;
    return n->slot[slot] - 1;
}

/* ---- distinct hosts: HyperLogLog, Flajolet et al. 2007, with linear counting for small counts
 * ---- */
static void hll_add(struct hyperloglog *h, struct str value)
{
    uint64_t hash = hash_str(value, 0);
    uint64_t rest = hash << HLL_BITS | (uint64_t)1 << (HLL_BITS - 1);
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);
    uint8_t *at = &h->rank[hash >> (64 - HLL_BITS)];
    *at = rank > *at ? rank : *at;
}

static double hll_count(const struct hyperloglog *h)
{
    double m = HLL_REGISTERS, sum = 0;
    int zero = 0;
    for (int i = 0; i < HLL_REGISTERS; i++) {
        sum += ldexp(1, -h->rank[i]);
        zero += h->rank[i] == 0;
    }
    double estimate = 0.7213 / (1 + 1.079 / m) * m * m / sum;
    return estimate <= 2.5 * m && zero ? m * log(m / zero) : estimate;
}

/* ---- the sample ---- */
static void sample_row(struct gather *g, const struct ledger_row *row)
{
    struct gather_work *w = g->work;
    uint64_t key = hash_mix(row->id ^ hash_mix((uint64_t)row->record << 32 ^ row->offset));
    uint32_t place = (uint32_t)w->heap_count;
    if (w->heap_count < GATHER_SAMPLE) {
        w->heap[w->heap_count++] = (struct sampled){key, place};
        heap_up(w->heap, sizeof *w->heap, w->heap_count);
    } else if (key < w->heap[0].key) {
        place = w->heap[0].place;
        w->heap[0].key = key;
        heap_down(w->heap, sizeof *w->heap, w->heap_count);
    } else {
        return;
    }
    memcpy(w->sample[place], row->signal, (size_t)g->signal_count * sizeof(float));
}

/* ---- the first walk ---- */
static int take_schema(struct gather *g, const struct schema *s)
{
    for (int i = 0; i < s->signal_count; i++) {
        struct signal_about *a = &g->signal[i];
        snprintf(a->name, sizeof a->name, "%s", s->signal[i].name);
        snprintf(a->unit, sizeof a->unit, "%s", s->signal[i].unit ? s->signal[i].unit : "");
        a->least = INFINITY;
        a->most = -INFINITY;
    }
    g->signal_count = s->signal_count;
    for (int i = 1; i < s->rule_count; i++) {
        const struct rule_info *r = &s->rule[i];
        int index = names_index(&g->rule, str_of(r->name));
        g->rule_about[index] = (struct rule_about){names_index(&g->stage, str_of(r->stage)),
                                                   r->signal, r->sense, r->threshold, true};
    }
    g->work->schema_known = true;
    return 0;
}

/* All files of a run share one recipe; signals of another would be counted under wrong names. */
static int check_schema(struct gather *g, struct str source, const struct schema *s)
{
    struct gather_work *w = g->work;
    if (w->schema_known && str_is(source, w->source))
        return 0;
    source = str_slice(source, 0, sizeof w->source - 1);
    if (source.len)
        memcpy(w->source, source.ptr, source.len);
    w->source[source.len] = 0;
    if (!w->schema_known)
        return take_schema(g, s);
    bool same = s->signal_count == g->signal_count;
    for (int i = 0; same && i < s->signal_count; i++)
        same = strcmp(s->signal[i].name, g->signal[i].name) == 0;
    return same ? 0
                : err_set(ERR_FORMAT,
                          "report: the ledger of %s has other signals than the one before: "
                          "it is not of this run",
                          w->source);
}

/* Every rule named in `also`, and the one shown, once each. */
static void count_rules(struct gather *g, const struct ledger_row *row)
{
    enum { SEEN_MAX = 64 };
    int seen[SEEN_MAX], count = 0;
    struct str rest = row->also;
    if (row->rule.len) {
        seen[count++] = names_index(&g->rule, row->rule);
        g->rule_count[seen[0]].first++;
    }
    while (rest.ptr && rest.len && count < SEEN_MAX) {
        struct str name = str_cut(rest, ' ', &rest);
        int index = name.len ? names_index(&g->rule, name) : -1;
        bool is_new = index >= 0;
        for (int i = 0; i < count; i++)
            is_new &= seen[i] != index;
        if (is_new)
            seen[count++] = index;
    }
    for (int i = 0; i < count; i++)
        g->rule_count[seen[i]].total++;
    if (count == 1)
        g->rule_count[seen[0]].only++;
}

static int size_class(uint32_t size)
{
    int index = size <= 2 ? 0 : 32 - __builtin_clz(size - 1) - 1;
    return index < GATHER_SIZES ? index : GATHER_SIZES - 1;
}

void gather_size_class(int index, uint32_t *first, uint32_t *last)
{
    *first = index == 0 ? 2 : ((uint32_t)1 << index) + 1;
    *last = index == GATHER_SIZES - 1 ? UINT32_MAX : (uint32_t)1 << (index + 1);
}

static void copy_url(char to[GATHER_URL_BYTES], struct str url)
{
    url = str_slice(url, 0, GATHER_URL_BYTES - 1);
    if (url.len)
        memcpy(to, url.ptr, url.len);
    to[url.len] = 0;
}

static void count_cluster(struct gather *g, const struct ledger_row *row)
{
    if (row->dup_of.len) {
        g->duplicates++;
        g->duplicate_bytes += row->text_bytes;
        return;
    }
    if (row->cluster_size < 2)
        return;
    g->clusters++;
    g->cluster_sizes[size_class(row->cluster_size)]++;
    if (row->cluster_size > g->largest_cluster)
        g->largest_cluster = row->cluster_size;
    int at = g->cluster_count;
    while (at > 0 &&
           (g->cluster[at - 1].size < row->cluster_size ||
            (g->cluster[at - 1].size == row->cluster_size && g->cluster[at - 1].id > row->cluster)))
        at--;
    if (at == GATHER_CLUSTERS)
        return;
    if (g->cluster_count < GATHER_CLUSTERS)
        g->cluster_count++;
    memmove(&g->cluster[at + 1], &g->cluster[at],
            (size_t)(g->cluster_count - 1 - at) * sizeof g->cluster[0]);
    g->cluster[at] = (struct cluster){.id = row->cluster, .size = row->cluster_size};
    copy_url(g->cluster[at].survivor, row->url);
}

static int first_walk(void *arg, const struct ledger_row *row, struct str source,
                      const struct schema *schema)
{
    struct gather *g = arg;
    TRY(check_schema(g, source, schema));
    bool kept = str_is(row->verdict, "kept"), heldout = str_is(row->verdict, "heldout");
    struct lang_count *lang = &g->lang_count[names_index(&g->lang, row->lang)];
    g->rows++;
    g->raw_bytes += row->raw_bytes;
    g->text_bytes += row->text_bytes;
    g->tokens += row->tokens;
    lang->tokens += row->tokens;
    if (row->host.len)
        hll_add(&g->work->hosts, row->host);
    if (kept || heldout) {
        g->kept += kept;
        g->heldout += heldout;
        g->kept_text_bytes += row->text_bytes;
        lang->kept++;
        if (row->host.len)
            hll_add(&g->work->kept_hosts, row->host);
    } else {
        g->dropped++;
        g->stage_dropped[names_index(&g->stage, row->stage.len ? row->stage : STR("(no stage)"))]++;
        lang->dropped++;
    }
    count_rules(g, row);
    count_cluster(g, row);
    for (int i = 0; i < g->signal_count; i++) {
        double value = row->signal[i];
        if (isnan(value))
            continue;
        g->signal[i].measured++;
        if (isfinite(value)) {
            g->signal[i].least = fmin(g->signal[i].least, value);
            g->signal[i].most = fmax(g->signal[i].most, value);
        }
    }
    sample_row(g, row);
    return 0;
}

/* ---- edges ---- */
static int by_value(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static double quantile(const float *sorted, int count, double share)
{
    double at = share * (count - 1);
    int low = (int)at;
    double next = low + 1 < count ? sorted[low + 1] : sorted[low];
    return sorted[low] + (at - low) * (next - sorted[low]);
}

/* The range drawn: 1st to 99th percentile, and the thresholds that are not far outside. */
static void find_range(const struct gather *g, int signal, double *low, double *high)
{
    const struct signal_about *s = &g->signal[signal];
    double from = s->quantile[0], to = s->quantile[GATHER_QUANTILES - 1];
    if (from == to) {
        from = s->least;
        to = s->most;
    }
    double slack = s->is_log ? INFINITY : to - from;
    *low = from;
    *high = to;
    for (int i = 0; i < g->rule.count; i++) {
        const struct rule_about *r = &g->rule_about[i];
        if (!r->known || r->signal != signal || !isfinite(r->threshold))
            continue;
        if (r->threshold < *low && r->threshold >= from - slack && (r->threshold >= 0 || from < 0))
            *low = r->threshold;
        if (r->threshold > *high && r->threshold <= to + slack &&
            (!s->is_log || r->threshold < 1e9 * to))
            *high = r->threshold;
    }
}

/* Edges for whole numbers lie between them, so that no bin holds fewer numbers by chance. */
static void set_whole_edges(struct signal_about *s, double low, double high)
{
    double first = floor(low), last = ceil(high), next = first;
    double step = ceil((last - first + 1) / PLAIN_BINS),
           power = log((last + 1) / (first + 1)) / PLAIN_BINS;
    s->bins = 0;
    s->edges[0] = first - 0.5;
    while (next <= last && s->bins < GATHER_BINS_MAX) {
        double wide = s->is_log ? floor((next + 1) * expm1(power)) : step;
        next += wide > 1 ? wide : 1;
        s->edges[++s->bins] = next - 0.5;
    }
}

static void set_edges(struct signal_about *s, double low, double high, bool whole)
{
    if (whole) {
        set_whole_edges(s, low, high);
        return;
    }
    s->bins = PLAIN_BINS;
    for (int i = 0; i <= s->bins; i++) {
        double share = (double)i / s->bins;
        s->edges[i] = s->is_log ? expm1(log1p(low) + share * (log1p(high) - log1p(low)))
                                : low + share * (high - low);
    }
    s->edges[0] = low;
    s->edges[s->bins] = high;
    for (int i = 0; i < s->bins; i++)
        if (!(s->edges[i] < s->edges[i + 1])) /* a range too small to be parted */
            s->bins = 0;
}

static void find_edges(struct gather *g, int signal, float *values)
{
    struct signal_about *s = &g->signal[signal];
    int count = 0;
    double low, high;
    bool whole = true;
    for (size_t i = 0; i < g->work->heap_count; i++) {
        float value = g->work->sample[i][signal];
        if (!isfinite(value))
            continue;
        whole &= value == floorf(value) && fabsf(value) < 1e6f;
        values[count++] = value;
    }
    for (int i = 0; i < GATHER_QUANTILES; i++)
        s->quantile[i] = NAN;
    if (count == 0 || !(s->least < s->most))
        return;
    qsort(values, (size_t)count, sizeof *values, by_value);
    for (int i = 0; i < GATHER_QUANTILES; i++)
        s->quantile[i] = quantile(values, count, gather_quantile_at[i]);
    /* Heavy tailed: the upper half spreads twenty times as far as the lower, over large numbers. */
    double middle = s->quantile[GATHER_QUANTILES / 2], most = s->quantile[GATHER_QUANTILES - 1];
    s->is_log = s->least >= 0 && most >= 50 && most - middle > 8 * (middle - s->quantile[0]);
    s->is_log |= s->least >= 0 && most >= 200 && most > 8 * middle;
    find_range(g, signal, &low, &high);
    whole &= fabs(low) < 1e9 && fabs(high) < 1e9;
    if (low < high)
        set_edges(s, low, high, whole);
}

/* ---- the second walk ---- */
static int find_bin(const struct signal_about *s, double value)
{
    int low = 0, high = s->bins;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (value < s->edges[middle])
            high = middle;
        else
            low = middle;
    }
    return low;
}

static int second_walk(void *arg, const struct ledger_row *row, struct str source,
                       const struct schema *schema)
{
    struct gather *g = arg;
    bool kept = !str_is(row->verdict, "dropped");
    UNUSED(source);
    UNUSED(schema);
    for (int i = 0; i < g->signal_count; i++) {
        struct signal_about *s = &g->signal[i];
        if (s->bins == 0 || isnan(row->signal[i]))
            continue;
        int bin = find_bin(s, row->signal[i]);
        s->all[bin]++;
        s->kept[bin] += kept;
    }
    for (int i = 0; row->dup_of.len && i < g->cluster_count; i++) {
        struct cluster *c = &g->cluster[i];
        if (c->id == row->cluster && c->members < GATHER_MEMBERS)
            copy_url(c->member[c->members++], row->url);
    }
    return 0;
}

static int has_ledger(const char *run_dir)
{
    char base[IO_PATH_MAX], path[IO_PATH_MAX];
    struct arena a;
    const char **found;
    size_t count = 0;
    TRY(ledger_base(run_dir, base));
    TRY(io_path(path, "%s/ledger/*.parquet", base));
    TRY(arena_open(&a, 64 << 20));
    int rc = io_glob(path, &a, &found, &count);
    arena_close(&a);
    if (rc == ERR_USAGE) { /* nothing matches */
        err_clear();
        return 0;
    }
    return rc < 0 ? rc : count > 0;
}

static int gather_rows(struct gather *g, const char *run_dir)
{
    float *values = NULL;
    int rc;
    TRY_OUT(ledger_walk(run_dir, first_walk, g));
    g->hosts = hll_count(&g->work->hosts);
    g->kept_hosts = hll_count(&g->work->kept_hosts);
    values = malloc(GATHER_SAMPLE * sizeof *values);
    if (!values) {
        rc = err_set(ERR_LIMIT, "report: no memory");
        goto out;
    }
    for (int i = 0; i < g->signal_count; i++)
        find_edges(g, i, values);
    TRY_OUT(ledger_walk(run_dir, second_walk, g));
    rc = 1;
out:
    free(values);
    return rc;
}

int gather_ledger(const char *run_dir, struct gather **out)
{
    struct gather *g = calloc(1, sizeof *g);
    if (g)
        g->work = calloc(1, sizeof *g->work);
    if (!g || !g->work) {
        free(g);
        return err_set(ERR_LIMIT, "report: no memory");
    }
    int rc = has_ledger(run_dir);
    if (rc > 0)
        rc = gather_rows(g, run_dir);
    free(g->work);
    g->work = NULL;
    if (rc < 0) {
        gather_free(g);
        return rc;
    }
    *out = g;
    return rc;
}

void gather_free(struct gather *g)
{
    if (g)
        free(g->work);
    free(g);
}
