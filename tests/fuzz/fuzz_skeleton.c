/* fuzz_skeleton - any bytes through the pass in front of Gumbo: bounded, repeatable, within its
 * limits, and every piece, mark and segment inside its array. */
#include "extract/extract.h"
#include "extract/parts.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static void must(bool true_thing)
{
    if (!true_thing)
        abort();
}

static void check_parts(const struct skeleton *sk, const struct skeleton_limits *limits)
{
    must(sk->facts.tags <= limits->tags_max && sk->handed_count <= sk->facts.tags);
    must(sk->html.len <= 8 * sk->page.len + 64);
    must(sk->segment_count <= SEGMENTS_MAX);
    for (uint32_t i = 0; i < sk->segment_count; i++)
        must(sk->segment[i].from < sk->segment[i].to && sk->segment[i].to <= sk->piece_count);
    for (uint32_t i = 0; i < sk->piece_count; i++) {
        struct piece p = sk->piece[i];
        if (piece_kind(p) == PIECE_OPEN)
            must(p.at < sk->mark_count);
        else
            must(p.at + (uint64_t)piece_len(p) <= sk->page.len);
    }
    for (uint32_t i = 0; i < sk->handed_count; i++) {
        must(sk->handed[i] < sk->mark_count);
        must(sk->mark[sk->handed[i]].out < sk->html.len);
        must(i == 0 || sk->mark[sk->handed[i]].out > sk->mark[sk->handed[i - 1]].out);
    }
}

static void check(struct arena *a, struct str html, const struct skeleton_limits *limits)
{
    struct skeleton one, two;
    must(skeleton_make(a, html, limits, &one) == 0); /* there is room: nothing else may fail */
    check_parts(&one, limits);
    must(skeleton_make(a, html, limits, &two) == 0);
    must(str_eq(one.html, two.html) && one.piece_count == two.piece_count);
    must(one.facts.depth == two.facts.depth && one.facts.flattened == two.facts.flattened);
    must(utf8_valid(one.html));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct skeleton_limits limits[] = {
        {SKELETON_DEPTH_MAX, SKELETON_TAGS_MAX, false}, {16, 100, true}, {2, 1, false}};
    struct str html = {(const char *)data, size};
    static struct arena a; /* its pages are kept: mapping them anew took half the time */
    if (!a.base && arena_open(&a, 64 << 20) < 0)
        return 0;
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        check(&a, html, &limits[i]);
        arena_reset(&a, 0);
    }
    arena_reset(&a, 0);
    return 0;
}
