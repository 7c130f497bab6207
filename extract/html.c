/* html - runs Gumbo inside an arena that it cannot leave: a limit ends the parse only. */
#include "core/err.h"
#include "core/log.h"
#include "extract/parts.h"

#include <setjmp.h>
#include <stdalign.h>

enum { CLOCK_EVERY = 4096 }; /* allocations between two looks at the clock */

struct parse {
    struct arena *tree;
    size_t last;          /* where the newest allocation starts */
    uint64_t deadline_ns;
    uint32_t ticks;
    enum extract_verdict verdict;
    jmp_buf out;
};

static void *allocate(void *self, size_t size)
{
    struct parse *p = self;
    if (++p->ticks % CLOCK_EVERY == 0 && clock_ns() > p->deadline_ns) {
        p->verdict = EXTRACT_TIMEOUT;
        longjmp(p->out, 1);
    }
    char *at = arena_push(p->tree, size, alignof(max_align_t));
    if (!at) {
        err_clear();
        p->verdict = EXTRACT_MEMORY;
        longjmp(p->out, 1);
    }
    p->last = (size_t)((unsigned char *)at - p->tree->base);
    return at;
}

/* Gumbo frees most of its scratch right after asking for it: the newest allocation can be taken
 * back. */
static void release(void *self, void *ptr)
{
    struct parse *p = self;
    if (ptr && (unsigned char *)ptr == p->tree->base + p->last && p->last < p->tree->used)
        arena_reset(p->tree, p->last);
}

const GumboOutput *html_parse(struct arena *tree, struct str html, int64_t time_max_ms,
                              enum extract_verdict *verdict)
{
    arena_reset(tree, 0);
    struct parse *p = arena_array_zero(tree, struct parse, 1);
    if (!p) {
        err_clear();
        *verdict = EXTRACT_MEMORY;
        return NULL;
    }
    p->tree = tree;
    p->last = SIZE_MAX;
    p->deadline_ns = clock_ns() + (uint64_t)time_max_ms * 1000000u;
    GumboOptions options = kGumboDefaultOptions;
    options.allocator = allocate;
    options.deallocator = release;
    options.userdata = p;
    options.max_errors = 0;
    /* p and verdict do not change after setjmp: their values are sound on the way back. */
    if (setjmp(p->out)) {
        *verdict = p->verdict;
        return NULL;
    }
    *verdict = EXTRACT_OK;
    return gumbo_parse_with_options(&options, html.ptr ? html.ptr : "", html.len);
}
