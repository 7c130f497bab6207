/* test_extract_gold - main text against annotated pages, by kind of page. */
#include "core/hash.h"
#include "core/log.h"
#include "core/unicode.h"
#include "extract/judge.h"
#include "tests/extract_pages.h"

#include <time.h>

static const struct extract_conf conf = {
    .depth_max = 512, .memory_max = 64u << 20, .time_max_ms = 10000};

/* A multiset of words as hashes, sorted: `\w+`, lower-cased, as the data's README defines the
 * metric. */
struct words {
    uint64_t *word;
    size_t count;
};

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static struct words words_of(struct arena *a, struct str text)
{
    struct words out = {arena_array(a, uint64_t, text.len / 2 + 2), 0};
    uint64_t hash = 0;
    bool open = false;
    CHECK(out.word != NULL);
    for (const char *at = text.ptr, *end = at + text.len; at < end;) {
        uint32_t cp;
        at += utf8_decode(at, end, &cp);
        bool word = cp == '_' || uc_is_letter(cp) || uc_is_number(cp);
        if (word)
            hash = hash_mix((open ? hash : 1) ^ uc_lower(cp));
        else if (open)
            out.word[out.count++] = hash;
        open = word;
    }
    if (open)
        out.word[out.count++] = hash;
    qsort(out.word, out.count, sizeof *out.word, by_value);
    return out;
}

static double f1_of(struct arena *a, struct str got, struct str want)
{
    size_t mark = arena_mark(a), common = 0;
    struct words g = words_of(a, got), w = words_of(a, want);
    for (size_t i = 0, k = 0; i < g.count && k < w.count;) {
        if (g.word[i] == w.word[k])
            common++, i++, k++;
        else if (g.word[i] < w.word[k])
            i++;
        else
            k++;
    }
    arena_reset(a, mark);
    if (g.count + w.count == 0)
        return 1; /* nothing was to be said, and nothing was */
    return 2.0 * (double)common / (double)(g.count + w.count);
}

struct kind {
    const char *name;
    double f1;
    int pages;
};

static void add(struct kind *kinds, const char *name, double f1)
{
    while (kinds->name && strcmp(kinds->name, name) != 0)
        kinds++;
    kinds->name = name;
    kinds->f1 += f1;
    kinds->pages++;
}

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The trees were fitted to these very pages, so this guards against regressions of code; the honest
 * figure on unseen sites comes from make bench-extract (0.862, docs/SPEED.md).
 * Trafilatura has 0.791 on the set these pages are from. */
TEST_LIMIT(extract_gold_f1, 120)
{
    struct pages pages;
    struct gold gold;
    struct extract_scratch *scratch;
    struct arena a;
    struct kind kinds[16] = {{0}};
    struct str url, html;
    double sum = 0, seconds = 0;
    uint64_t bytes = 0, lost = 0, shown = 0, with = 0, without = 0, with_found = 0,
             without_found = 0;
    int count = 0;
    pages_open(&pages);
    gold_open(&gold);
    CHECK_OK(arena_open(&a, 512u << 20));
    CHECK_OK(extract_scratch_open(&scratch, &conf));
    while (pages_next(&pages, &url, &html)) {
        const struct json *row = gold_find(&gold, url);
        struct extract_out out;
        struct str utf8;
        const char *name;
        uint64_t replaced;
        CHECK(row != NULL);
        arena_reset(&a, 0);
        double start = cpu_seconds();
        CHECK_OK(charset_to_utf8(&a, html, (struct str){0}, &utf8, &name, &replaced));
        enum extract_verdict verdict = extract_main(scratch, &a, utf8, &out);
        seconds += cpu_seconds() - start;
        CHECK(verdict == EXTRACT_OK || verdict == EXTRACT_EMPTY);
        CHECK(utf8_valid(out.text));
        CHECK(utf8_valid(out.title));
        lost += verdict != EXTRACT_OK;
        bytes += html.len;
        double f1 = f1_of(&a, out.text, json_str(row, "main_content", (struct str){0}));
        add(kinds, json_str(row, "page_type", STR("none")).ptr, f1);
        const struct json *list = json_get(row, "with");
        for (const struct json *s = list ? list->child : NULL; s; s = s->next, with++)
            with_found += str_find(out.text, s->string) != SIZE_MAX;
        list = json_get(row, "without");
        for (const struct json *s = list ? list->child : NULL; s; s = s->next, without++)
            without_found += str_find(out.text, s->string) != SIZE_MAX;
        shown += out.text.len;
        sum += f1;
        count++;
    }
    for (struct kind *k = kinds; k->name; k++)
        printf("    %-14s %4d pages  F1 %.3f\n", k->name, k->pages, k->f1 / k->pages);
    printf(
        "    all %d pages  F1 %.4f  with %.3f  without %.3f  empty %d  %.0f pages/s  %.1f MB/s\n",
        count, sum / count, with ? (double)with_found / (double)with : 0,
        without ? (double)without_found / (double)without : 0, (int)lost, count / seconds,
        (double)bytes / 1e6 / seconds);
    CHECK(shown > 0);
    CHECK_INT(count, 448);
    CHECK(sum / count > 0.90);
    CHECK(lost < 20);
    extract_scratch_close(scratch);
    arena_close(&a);
    arena_close(&gold.arena);
    pages_close(&pages);
}

static void put_u32(FILE *out, uint32_t v) { CHECK(fwrite(&v, 4, 1, out) == 1); }

static void put_bytes(FILE *out, const void *bytes, size_t len)
{
    CHECK(fwrite(bytes, 1, len, out) == len);
}

static void put_blocks(FILE *out, const struct features *f, const struct page *p)
{
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        struct pools pools = features_pools(f, i);
        for (int k = 0; k < POOLS; k++) {
            put_u32(out, pools.range[k].from);
            put_u32(out, pools.range[k].to);
        }
        put_u32(out, pools.path);
        put_u32(out, pools.heading);
        put_u32(out, pools.long_before);
        put_u32(out, pools.long_after);
        put_u32(out, b->chars);
        put_u32(out, b->len);
    }
    for (uint32_t i = 0; i < p->block_count; i++)
        put_bytes(out, p->text + p->block[i].start, p->block[i].len);
}

static void put_features(FILE *out, struct arena *a, struct str url, const struct page *p,
                         const struct asides *asides)
{
    struct features *f = features_open(a, p, asides);
    float row[FEATURES_FIRST], page[FEATURES_PAGE];
    CHECK(f != NULL);
    put_u32(out, (uint32_t)url.len);
    put_u32(out, p->block_count);
    put_u32(out, FEATURES_FIRST);
    put_u32(out, FEATURES_SECOND);
    put_u32(out, FEATURES_PAGE);
    put_bytes(out, url.ptr, url.len);
    features_page(f, page);
    put_bytes(out, page, sizeof page);
    for (uint32_t i = 0; i < p->block_count; i++) {
        features_first(f, i, row);
        for (int c = 0; c < FEATURES_FIRST; c++)
            CHECK(row[c] > -1e9f && row[c] < 1e9f);
        put_bytes(out, row, sizeof row);
    }
    put_blocks(out, f, p);
}

/* Writes what the trainer needs; every number must be finite, which is what is tested when nothing
 * is written. */
TEST_LIMIT(extract_gold_features, 120)
{
    const char *path = getenv("SLUICE_FEATURES");
    struct pages pages;
    struct arena tree, work;
    struct str url, html, utf8;
    const char *name;
    uint64_t replaced;
    int count = 0;
    FILE *out = path ? fopen(path, "wb") : tmpfile();
    CHECK(out != NULL);
    pages_open(&pages);
    CHECK_OK(arena_open(&tree, 256u << 20));
    CHECK_OK(arena_open(&work, 512u << 20));
    while (pages_next(&pages, &url, &html) && (path || count < 40)) {
        struct skeleton_limits limits = {SKELETON_DEPTH_MAX, SKELETON_TAGS_MAX, false};
        struct skeleton sk;
        enum extract_verdict verdict;
        struct page page;
        arena_reset(&work, 0);
        CHECK_OK(charset_to_utf8(&work, html, (struct str){0}, &utf8, &name, &replaced));
        CHECK_OK(skeleton_make(&work, utf8, &limits, &sk));
        const GumboOutput *parsed = html_parse(&tree, sk.html, 10000, &verdict);
        CHECK(parsed != NULL);
        CHECK_INT(page_read(&work, parsed, &sk, &page), EXTRACT_OK);
        page.url = url;
        put_features(out, &work, url, &page, &sk.facts.asides);
        count++;
    }
    CHECK(fclose(out) == 0);
    CHECK(count >= 40);
    arena_close(&tree);
    arena_close(&work);
    pages_close(&pages);
}
