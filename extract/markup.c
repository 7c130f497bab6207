/* markup - prints chosen blocks: lists with "- ", table rows as "a | b", code as it stands. */
#include "core/err.h"
#include "extract/parts.h"

#include <assert.h>

struct printer {
    const struct page *p;
    char *out; size_t len;
    uint32_t row;       /* the table row the last block was printed for, NO_NODE: none */
    uint32_t item;      /* the list item that already has its dash */
};

static bool is_cell(GumboTag tag) { return tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH; }

/* Nearest element named tag around node, not beyond `levels` others; NO_NODE when there is none. */
static uint32_t around(const struct page *p, uint32_t node, GumboTag tag, int levels)
{
    for (int up = 0; up <= levels && node != NO_NODE; up++, node = p->node[node].parent)
        if (p->node[node].tag == tag)
            return node;
    return NO_NODE;
}

/* A row of data: at least two cells with text and no cell with more than one block. Layout tables
 * fail this. */
static bool is_data_row(const struct page *p, uint32_t row)
{
    uint32_t filled = 0;
    for (uint32_t cell = row + 1; cell < p->node[row].end; cell = p->node[cell].end) {
        if (!is_cell(p->node[cell].tag) || p->node[cell].blocks > 1)
            return false;
        filled += p->node[cell].blocks;
    }
    return filled > 1;
}

static uint32_t row_of(const struct page *p, const struct block *b)
{
    uint32_t cell = b->node;
    for (int up = 0; up < 3 && !is_cell(p->node[cell].tag); up++)
        if ((cell = p->node[cell].parent) == NO_NODE)
            return NO_NODE;
    if (!is_cell(p->node[cell].tag))
        return NO_NODE;
    uint32_t row = p->node[cell].parent;
    if (row == NO_NODE || p->node[row].tag != GUMBO_TAG_TR)
        return NO_NODE;
    return row;
}

static void put(struct printer *to, const char *bytes, size_t len)
{
    memcpy(to->out + to->len, bytes, len);
    to->len += len;
}

/* Empty lines mean nothing outside code, and a line break in a cell would break the row. */
static void put_folded(struct printer *to, struct str text, bool one_line)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '\n' && (one_line || (to->len > 0 && to->out[to->len - 1] == '\n')))
            c = one_line ? ' ' : 0;
        if (c)
            to->out[to->len++] = c;
    }
}

static void put_block(struct printer *to, const struct block *b, bool data_row, bool same_row)
{
    const struct page *p = to->p;
    struct str text = block_text(p, b);
    if (to->len > 0)
        put(to, same_row ? " | " : "\n", same_row ? 3 : 1);
    uint32_t item = data_row ? NO_NODE : around(p, b->node, GUMBO_TAG_LI, 3);
    if (item != NO_NODE && item != to->item && !b->level) {
        to->item = item;
        put(to, "- ", 2);
    }
    if (b->flags & BLOCK_PRE)
        put(to, text.ptr, text.len);
    else
        put_folded(to, text, data_row);
}

enum extract_verdict page_print(struct arena *a, const struct page *p, const bool *chosen,
                                struct str *text)
{
    uint64_t room = 1;
    for (uint32_t i = 0; i < p->block_count; i++)
        room += chosen[i] ? (uint64_t)p->block[i].len + 5 : 0;
    struct printer to = {.p = p, .row = NO_NODE, .item = NO_NODE};
    size_t mark = arena_mark(a);
    to.out = arena_push(a, room, 1);
    if (!to.out)
        return EXTRACT_MEMORY;
    uint32_t checked =
        NO_NODE; /* the last row looked at: rows are long, and asked about by every cell */
    bool checked_data = false;
    for (uint32_t i = 0; i < p->block_count; i++) {
        if (!chosen[i])
            continue;
        uint32_t row = row_of(p, &p->block[i]);
        if (row != NO_NODE && row != checked) {
            checked = row;
            checked_data = is_data_row(p, row);
        }
        bool data = row != NO_NODE && checked_data;
        put_block(&to, &p->block[i], data, data && row == to.row);
        to.row = data ? row : NO_NODE;
    }
    assert(to.len <= room);
    arena_reset(a, mark);
    *text = (struct str){arena_push(a, to.len, 1), to.len};
    return EXTRACT_OK;
}
