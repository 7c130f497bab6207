/* test_extract_metadata - what pages say of themselves: published examples, and annotated pages. */
#include "extract/metadata.h"

#include "core/unicode.h"
#include "extract/dates.h"
#include "extract/extract.h"
#include "tests/extract_pages.h"

static const struct extract_conf conf = {
    .depth_max = 512, .memory_max = 96u << 20, .time_max_ms = 10000};

/* ---- against the annotations ---- */
static size_t letters_of(struct str s, uint32_t *to, size_t max)
{
    size_t count = 0;
    for (const char *at = s.ptr, *end = at + s.len; at < end && count < max;) {
        uint32_t cp;
        at += utf8_decode(at, end, &cp);
        if (uc_is_letter(cp) || uc_is_number(cp))
            to[count++] = uc_lower(cp);
    }
    return count;
}

/* Equal but for case, blanks and punctuation. */
static bool same(struct str a, struct str b)
{
    uint32_t left[600], right[600];
    size_t n = letters_of(a, left, 600);
    return n == letters_of(b, right, 600) && memcmp(left, right, n * sizeof *left) == 0;
}

struct score {
    int right, wrong, missed, extra;
};

static void judge(struct score *s, const char *what, struct str url, struct str got,
                  struct str want)
{
    bool good = got.len && want.len && same(got, want);
    s->right += good;
    s->wrong += got.len && want.len && !good;
    s->missed += !got.len && want.len;
    s->extra += got.len && !want.len;
    if (!good && (got.len || want.len) && getenv("SLUICE_SHOW"))
        printf("%s\t%.*s\t%.*s\t%.*s\n", what, STR_ARG(url), STR_ARG(got), STR_ARG(want));
}

static double f1(const struct score *s)
{
    return 2.0 * s->right / (2.0 * s->right + 2.0 * s->wrong + s->missed + s->extra);
}

TEST_LIMIT(extract_metadata_gold, 120)
{
    struct pages pages;
    struct gold gold;
    struct extract_scratch *scratch;
    struct arena a;
    struct str url, html;
    struct score title = {0}, author = {0}, date = {0};
    int count = 0;
    pages_open(&pages);
    gold_open(&gold);
    CHECK_OK(arena_open(&a, 512u << 20));
    CHECK_OK(extract_scratch_open(&scratch, &conf));
    while (pages_next(&pages, &url, &html)) {
        const struct json *row = gold_find(&gold, url);
        struct extract_out out;
        struct page_meta meta;
        struct str utf8;
        const char *name;
        uint64_t replaced;
        arena_reset(&a, 0);
        CHECK_OK(charset_to_utf8(&a, html, (struct str){0}, &utf8, &name, &replaced));
        extract_read(scratch, &a, utf8, url, &out, &meta);
        judge(&title, "title", url, meta.title, json_str(row, "title", (struct str){0}));
        judge(&author, "author", url, meta.author, json_str(row, "author", (struct str){0}));
        judge(&date, "date", url, str_slice(meta.date, 0, 10),
              json_str(row, "publish_date", (struct str){0}));
        count++;
    }
    const struct score *all[] = {&title, &author, &date};
    for (int i = 0; i < 3; i++)
        printf("    %-7s right %d wrong %d missed %d extra %d  F1 %.3f\n",
               (const char *[]){"title", "author", "date"}[i], all[i]->right, all[i]->wrong,
               all[i]->missed, all[i]->extra, f1(all[i]));
    CHECK_INT(count, 448);
    extract_scratch_close(scratch);
    arena_close(&a);
    arena_close(&gold.arena);
    pages_close(&pages);
}
