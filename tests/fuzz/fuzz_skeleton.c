/* fuzz_skeleton - any bytes through the pass in front of Gumbo: bounded, repeatable, within its
 * limits. */
#include "extract/extract.h"
#include "extract/parts.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void check(struct arena *a, struct str html, const struct skeleton_limits *limits)
{
    struct skeleton_facts one, two;
    struct str out, again;
    if (skeleton_limited(a, html, limits, &out, &one) < 0 ||
        skeleton_limited(a, html, limits, &again, &two) < 0)
        abort(); /* there is room: nothing else may fail */
    if (!str_eq(out, again) || one.depth != two.depth || one.tags != two.tags ||
        one.flattened != two.flattened)
        abort();
    if (out.len > html.len)
        abort();
    if (utf8_valid(html) && !utf8_valid(out))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct skeleton_limits limits[] = {
        {SKELETON_DEPTH_MAX, SKELETON_TAGS_MAX}, {16, 100}, {2, 1}};
    struct str html = {(const char *)data, size};
    struct arena a;
    if (arena_open(&a, 64 << 20) < 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        check(&a, html, &limits[i]);
        arena_reset(&a, 0);
    }
    arena_close(&a);
    return 0;
}
