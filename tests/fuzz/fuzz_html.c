/* fuzz_html - any bytes as a web page, to its main text and metadata, in every mode and format. */
#include "core/hash.h"
#include "extract/extract.h"
#include "extract/metadata.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

enum { GROWTH_MAX = 32, GROWTH_SPARE = 4096 };

static const struct extract_conf confs[] = {
    {.depth_max = 512, .memory_max = 64 << 20, .time_max_ms = 4000, .mode = "main"},
    {.depth_max = 16, .memory_max = 8 << 20, .time_max_ms = 4000, .mode = "precision"},
    {.depth_max = 512,
     .memory_max = 64 << 20,
     .time_max_ms = 4000,
     .mode = "recall",
     .format = "markdown",
     .links = true,
     .images = true},
    {.depth_max = 512,
     .memory_max = 64 << 20,
     .time_max_ms = 4000,
     .mode = "all",
     .format = "markdown"},
};

static void check_field(struct str field, size_t max)
{
    if (field.len > max || !utf8_valid(field))
        abort();
    for (size_t i = 0; i < field.len; i++)
        if ((unsigned char)field.ptr[i] < ' ' || field.ptr[i] == 0x7F)
            abort();
}

static void check_meta(const struct page_meta *m)
{
    check_field(m->title, META_TITLE_MAX);
    check_field(m->author, META_AUTHOR_MAX);
    check_field(m->date, META_TEXT_MAX);
    check_field(m->modified, META_TEXT_MAX);
    check_field(m->language, META_TEXT_MAX);
    check_field(m->canonical, META_URL_MAX);
    check_field(m->site, META_TEXT_MAX);
    check_field(m->description, META_TEXT_MAX);
    check_field(m->licence, META_TEXT_MAX);
    check_field(m->licence_url, META_URL_MAX);
}

static void check_page(struct extract_scratch *scratch, struct arena *a, struct str page)
{
    struct extract_out out, again;
    struct page_meta meta;
    struct str url = STR("https://www.example.org/a/b.html?c");
    enum extract_verdict verdict = extract_read(scratch, a, page, url, &out, &meta);
    check_meta(&meta);
    if (!utf8_valid(out.title))
        abort();
    if (verdict == EXTRACT_OK) {
        if (!out.text.len || !utf8_valid(out.text) || memchr(out.text.ptr, 0, out.text.len))
            abort();
        if (out.text.len > GROWTH_MAX * page.len + GROWTH_SPARE)
            abort();
    }
    /* The same page after itself: nothing is left of it in the scratch. */
    if (extract_read(scratch, a, page, url, &again, NULL) != verdict)
        abort();
    if (verdict == EXTRACT_OK && !str_eq(out.text, again.text))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct extract_scratch *scratch[COUNT_OF(confs)];
    struct str text;
    static struct arena a; /* its pages are kept: mapping them anew took half the time */
    const char *name;
    uint64_t replaced, choice = hash_mix(size + (size ? data[size / 2] : 0)) % COUNT_OF(confs);
    if (!scratch[choice] && extract_scratch_open(&scratch[choice], &confs[choice]) < 0)
        return 0;
    if (!a.base && arena_open(&a, 256 << 20) < 0)
        return 0;
    if (charset_to_utf8(&a, (struct str){(const char *)data, size}, (struct str){0}, &text, &name,
                        &replaced) >= 0) {
        if (!utf8_valid(text))
            abort();
        check_page(scratch[choice], &a, text);
    }
    arena_reset(&a, 0);
    return 0;
}
