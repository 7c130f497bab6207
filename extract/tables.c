/* tables - tells tables of data from those that only place things, and prints them in columns. */
/* Columns follow from the cells before: a cell that spans rows keeps its columns busy below. Spans
 * are cut to what the page holds and to COLUMNS_MAX, so that rowspan=1e9 costs nothing. A spanned
 * place stays empty: to repeat the text would say it twice. */
#include "extract/printing.h"

enum {
    COLUMNS_MAX = 64, /* columns followed; a cell beyond stands in the last one */
    LONG_CELL = 600,  /* characters: prose */
    CELL_BLOCKS = 2,  /* more blocks in a cell: layout */
};

static uint32_t span_of(const struct page *p, uint32_t cell, const char *name, uint32_t most)
{
    struct str text = str_trim(outline_attribute(p, cell, name));
    uint64_t value;
    if (!text.len || !str_u64(text, &value) || value < 1)
        return 1;
    return value < most ? (uint32_t)value : most;
}

/* ---- is it data? ---- */
struct census {
    uint32_t rows, full_rows, filled, big, several;
    bool nested, code;
};

static void count_cell(const struct page *p, uint32_t cell, struct census *c, uint32_t *in_row)
{
    const struct node *n = &p->node[cell];
    c->several += n->blocks > 1;
    c->filled += n->blocks > 0;
    *in_row += n->blocks > 0;
    c->big += n->blocks > CELL_BLOCKS || n->chars > LONG_CELL;
}

static bool is_data(const struct page *p, uint32_t table)
{
    struct census c = {0};
    uint32_t in_row = 0;
    for (uint32_t i = table + 1; i < p->node[table].end; i++) {
        uint8_t tag = p->node[i].tag;
        c.nested |= tag == GUMBO_TAG_TABLE;
        c.code |= p->node[i].pre;
        if (c.nested || c.code)
            return false;
        if (tag == GUMBO_TAG_TR) {
            c.full_rows += in_row > 1;
            in_row = 0;
            c.rows++;
        } else if (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) {
            count_cell(p, i, &c, &in_row);
        }
    }
    c.full_rows += in_row > 1;
    struct str role = str_trim(outline_attribute(p, table, "role"));
    if (str_eq_nocase(role, STR("presentation")) || str_eq_nocase(role, STR("none")))
        return false;
    if (c.rows < 2 && c.several > 0)
        return false;
    return c.full_rows > 0 && c.big * 4 <= c.filled;
}

/* ---- rows and columns ---- */
static void place_cells(const struct page *p, struct place *place, uint32_t table)
{
    uint32_t busy[COLUMNS_MAX] = {0}; /* the row below which each column is free again */
    uint32_t row = 0, column = 0, rows = 0;
    for (uint32_t i = table + 1; i < p->node[table].end; i++)
        rows += p->node[i].tag == GUMBO_TAG_TR;
    for (uint32_t i = table + 1; i < p->node[table].end; i++) {
        uint8_t tag = p->node[i].tag;
        if (tag == GUMBO_TAG_TR) {
            row++;
            column = 0;
        }
        if (tag != GUMBO_TAG_TD && tag != GUMBO_TAG_TH)
            continue;
        while (column + 1 < COLUMNS_MAX && busy[column] > row)
            column++;
        uint32_t wide = span_of(p, i, "colspan", COLUMNS_MAX - column);
        uint32_t tall = span_of(p, i, "rowspan", rows - row + 1);
        place[i].row = row;
        place[i].column = column;
        for (uint32_t k = 0; k < wide; k++)
            busy[column + k] = row + tall;
        column = column + wide < COLUMNS_MAX ? column + wide : COLUMNS_MAX - 1;
    }
}

enum table_kind table_read(const struct page *p, struct place *place, uint32_t table)
{
    struct place *at = &place[table];
    if (at->table_kind != TABLE_UNKNOWN)
        return at->table_kind;
    at->table_kind = !p->node[table].pre && is_data(p, table) ? TABLE_DATA : TABLE_LAYOUT;
    if (at->table_kind == TABLE_DATA)
        place_cells(p, place, table);
    return at->table_kind;
}

/* ---- printing ---- */
struct grid {
    uint32_t first, columns, rows;
    bool paired;
};

static uint32_t cell_of(const struct printer *to, uint32_t block)
{
    return to->place[to->p->block[block].node].cell;
}

/* Which columns the chosen cells take, and whether any row has two of them. */
static struct grid measure(const struct printer *to, uint32_t from, uint32_t end)
{
    struct grid g = {.first = COLUMNS_MAX};
    uint32_t row = UINT32_MAX, column = 0;
    for (uint32_t i = from; i < end; i++) {
        uint32_t cell = to->chosen[i] ? cell_of(to, i) : NO_NODE;
        if (cell == NO_NODE)
            continue;
        const struct place *at = &to->place[cell];
        g.paired |= at->row == row && at->column != column;
        g.rows += at->row != row;
        row = at->row;
        column = at->column;
        g.first = column < g.first ? column : g.first;
        g.columns = column + 1 > g.columns ? column + 1 : g.columns;
    }
    return g;
}

static void put_many(struct printer *to, const char *text, uint32_t count)
{
    while (count-- > 0)
        out_text(&to->out, text);
}

/* Ends a row of a pipe table whose next column would be `column`. The first row is the head. */
static void end_row(struct printer *to, const struct grid *g, uint32_t column, bool head,
                    struct str prefix)
{
    if (!to->markdown)
        return;
    out_text(&to->out, " |");
    put_many(to, "  |", g->columns - column - 1);
    if (head) {
        out_text(&to->out, "\n");
        out_put(&to->out, prefix.ptr, prefix.len);
        out_text(&to->out, "|");
        put_many(to, " --- |", g->columns - g->first);
    }
}

/* Captions and whatever else stands in no cell. */
static void print_outside(struct printer *to, uint32_t from, uint32_t end, struct str prefix)
{
    struct inline_conf conf = {prefix, true, false};
    bool any = false;
    for (uint32_t i = from; i < end; i++) {
        if (!to->chosen[i] || cell_of(to, i) != NO_NODE)
            continue;
        if (any) {
            out_text(&to->out, "\n");
            out_put(&to->out, prefix.ptr, prefix.len);
        }
        print_inline(to, &to->p->block[i], &conf);
        any = true;
    }
    if (!any)
        return;
    if (to->markdown) {
        out_text(&to->out, "\n");
        out_put(&to->out, prefix.ptr, prefix.len);
    }
    out_text(&to->out, "\n");
    out_put(&to->out, prefix.ptr, prefix.len);
}

bool table_print(struct printer *to, uint32_t from, uint32_t end, struct str prefix)
{
    struct grid g = measure(to, from, end);
    uint32_t row = UINT32_MAX, column = 0, rows = 0;
    bool pipes = to->markdown && g.rows > 1;
    struct inline_conf conf = {prefix, true, pipes};
    if (!g.paired)
        return false;
    print_outside(to, from, end, prefix);
    for (uint32_t i = from; i < end; i++) {
        uint32_t cell = to->chosen[i] ? cell_of(to, i) : NO_NODE;
        if (cell == NO_NODE)
            continue;
        const struct place *at = &to->place[cell];
        if (at->row == row && at->column == column) {
            out_text(&to->out, pipes ? "<br>" : " ");
        } else if (at->row == row) {
            if (pipes)
                out_text(&to->out, " |"), put_many(to, "  |", at->column - column - 1);
            put_many(to, to->markdown ? " | " : "\t", pipes ? 0 : at->column - column);
            out_text(&to->out, pipes ? " " : "");
        } else {
            if (rows > 0) {
                if (pipes)
                    end_row(to, &g, column, rows == 1, prefix);
                out_text(&to->out, "\n");
                out_put(&to->out, prefix.ptr, prefix.len);
            }
            rows++;
            out_text(&to->out, pipes ? "|" : "");
            put_many(to, pipes ? "  |" : to->markdown ? "" : "\t", at->column - g.first);
            out_text(&to->out, pipes ? " " : "");
        }
        row = at->row;
        column = at->column;
        print_inline(to, &to->p->block[i], &conf);
    }
    if (pipes)
        end_row(to, &g, column, rows == 1, prefix);
    return true;
}
