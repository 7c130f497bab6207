/* markup - the chosen blocks as one text, plain or in Markdown. */
/* Plain: a line a block; "- " and numbers before list items, deeper lists indented; tables of data
 * with tabs between cells; code as it stands. Markdown (CommonMark with GitHub's tables, definition
 * lists as Markdown Extra has them): the same with its signs, blocks parted by empty lines but for
 * the items of a list. Layout tables, and lists whose items hold headings, are only containers. */
#include "extract/printing.h"

enum {
    LANGUAGE_MAX = 20,
    ROOM_STEP = 32 << 10,
    PREFIX_MAX = OUTLINE_QUOTES_MAX * 2 + OUTLINE_INDENT_MAX + 1
};

void out_put(struct out *o, const char *bytes, size_t len)
{
    if (o->room - o->len < len && !o->full) {
        size_t more = len + (o->len < ROOM_STEP ? ROOM_STEP : o->len);
        if (arena_push(o->a, more, 1)) {
            o->room += more;
        } else if (arena_push(o->a, len, 1)) { /* what is left of it */
            o->room += len;
        } else {
            o->full = true;
        }
    }
    if (o->full || len == 0)
        return;
    memcpy(o->ptr + o->len, bytes, len);
    o->len += len;
}

/* ---- what stands in front of lines ---- */
static struct str prefix_of(const struct printer *to, const struct place *at,
                            char buffer[PREFIX_MAX], bool item_line)
{
    size_t len = 0, indent = at->indent;
    for (uint8_t i = 0; to->markdown && i < at->quotes; i++) {
        memcpy(buffer + len, "> ", 2);
        len += 2;
    }
    if (item_line)
        indent = indent >= at->marker ? indent - at->marker : 0;
    memset(buffer + len, ' ', indent);
    return (struct str){buffer, len + indent};
}

static GumboTag tag_of(const struct printer *to, const struct block *b)
{
    return (GumboTag)to->p->node[b->node].tag;
}

/* dd around the block, not beyond two elements. */
static bool is_definition(const struct printer *to, const struct block *b)
{
    uint32_t node = b->node;
    for (int up = 0; up < 3 && node != NO_NODE; up++, node = to->p->node[node].parent)
        if (to->p->node[node].tag == GUMBO_TAG_DD)
            return true;
    return false;
}

/* ---- one after the other ---- */
enum line { LINE_OTHER, LINE_ITEM, LINE_TERM, LINE_MEANING };
struct before {
    uint32_t item;
    bool any;
    enum line line;
    uint8_t quotes;
};

/* The line end, or in Markdown the empty line, between two blocks. Items of a list follow each
 * other without one, and so do a term and its meaning. */
static void part(struct printer *to, const struct before *last, const struct before *next)
{
    if (!last->any)
        return;
    out_text(&to->out, "\n");
    bool items = last->line == LINE_ITEM && next->line == LINE_ITEM;
    bool meaning = next->line == LINE_MEANING && last->line >= LINE_TERM;
    if (!to->markdown || items || meaning)
        return;
    uint8_t common = last->quotes < next->quotes ? last->quotes : next->quotes;
    for (uint8_t i = 0; i < common; i++)
        out_text(&to->out, i + 1 < common ? "> " : ">");
    out_text(&to->out, "\n");
}

/* ---- code ---- */
/* The attribute names that say the language of code, the class first. */
static struct str language_at(const struct page *p, uint32_t at)
{
    static const char *const names[] = {"data-lang", "data-language", "lang"};
    struct str found = code_language(tag_attribute(p, at, "class"));
    for (size_t i = 0; i < COUNT_OF(names) && !found.len; i++)
        found = str_trim(tag_attribute(p, at, names[i]));
    return found.len <= LANGUAGE_MAX ? found : (struct str){0};
}

/* Of the code element inside a pre, of the pre, or of a highlighter's box around it. */
static struct str language_of(const struct printer *to, const struct block *b, uint32_t pre)
{
    const struct page *p = to->p;
    for (uint32_t i = formats_from(p, b->start);
         i < p->format_count && p->format[i].start <= b->start + b->len; i++) {
        struct str found =
            p->format[i].tag == GUMBO_TAG_CODE ? language_at(p, p->format[i].at) : (struct str){0};
        if (found.len)
            return found;
    }
    for (int i = 0; i < 3 && pre != NO_NODE; i++, pre = p->node[pre].parent) {
        struct str found = language_at(p, p->node[pre].at);
        if (found.len && (i == 0 || code_language(tag_attribute(p, p->node[pre].at, "class")).len))
            return found;
    }
    return (struct str){0};
}

/* Longer than any run of backticks inside, at least three. */
static size_t fence_length(struct str code)
{
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < code.len; i++) {
        run = code.ptr[i] == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest + 1;
}

static void put_code_lines(struct printer *to, struct str code, struct str prefix)
{
    for (struct str rest = code; rest.ptr;) {
        struct str line = str_cut(rest, '\n', &rest);
        out_put(&to->out, line.ptr, line.len);
        if (!rest.ptr)
            break;
        out_text(&to->out, "\n");
        if (rest.len && rest.ptr[0] != '\n')
            out_put(&to->out, prefix.ptr, prefix.len);
    }
}

static void put_fence(struct printer *to, size_t length, struct str language)
{
    for (size_t i = 0; i < length; i++)
        out_text(&to->out, "`");
    for (size_t i = 0; i < language.len;
         i++) /* no blanks or backticks: it comes from an attribute */
        if ((unsigned char)language.ptr[i] > ' ' && language.ptr[i] != '`')
            out_put(&to->out, language.ptr + i, 1);
}

/* The chosen blocks [from, end) of one pre. */
static void print_code(struct printer *to, uint32_t from, uint32_t end, struct str prefix)
{
    uint32_t pre = to->place[to->p->block[from].node].pre;
    size_t fence = 3;
    struct str none = {"", 0};
    for (uint32_t i = from; i < end; i++)
        if (to->chosen[i] && fence_length(block_text(to->p, &to->p->block[i])) > fence)
            fence = fence_length(block_text(to->p, &to->p->block[i]));
    if (to->markdown) {
        put_fence(to, fence, language_of(to, &to->p->block[from], pre));
        out_text(&to->out, "\n");
        out_put(&to->out, prefix.ptr, prefix.len);
    }
    for (uint32_t i = from, printed = 0; i < end; i++) {
        if (!to->chosen[i])
            continue;
        if (printed++ > 0) {
            out_text(&to->out, "\n");
            out_put(&to->out, to->markdown ? prefix.ptr : "", to->markdown ? prefix.len : 0);
        }
        put_code_lines(to, block_text(to->p, &to->p->block[i]), to->markdown ? prefix : none);
    }
    if (to->markdown) {
        out_text(&to->out, "\n");
        out_put(&to->out, prefix.ptr, prefix.len);
        put_fence(to, fence, none);
    }
}

/* Blocks of the same pre that follow each other: behind the last. */
static uint32_t code_end(const struct printer *to, uint32_t from)
{
    uint32_t pre = to->place[to->p->block[from].node].pre, end = from + 1;
    while (pre != NO_NODE && end < to->p->block_count &&
           to->place[to->p->block[end].node].pre == pre)
        end++;
    return end;
}

static bool is_code(const struct printer *to, uint32_t index)
{
    return index < to->p->block_count && (to->p->block[index].flags & BLOCK_PRE);
}

/* Numbers of lines beside code are none of it. */
static bool is_gutter(const struct printer *to, uint32_t index)
{
    bool beside = is_code(to, index + 1) || (index > 0 && is_code(to, index - 1));
    return is_code(to, index) && beside && code_is_numbers(block_text(to->p, &to->p->block[index]));
}

/* ---- tables ---- */
/* Behind the last block of the data table that block `from` stands in; from when it is in none. */
static uint32_t table_end(const struct printer *to, uint32_t from)
{
    uint32_t table = to->place[to->p->block[from].node].table, end = from;
    if (table == NO_NODE || table_read(to->p, to->place, table) != TABLE_DATA)
        return from;
    while (end < to->p->block_count && to->place[to->p->block[end].node].table == table)
        end++;
    return end;
}

/* ---- paragraphs, headings, items ---- */
static void print_block(struct printer *to, const struct block *b, const struct place *at,
                        bool first_of_item, bool behind_term, struct str prefix)
{
    char marker[OUTLINE_MARKER_MAX];
    struct inline_conf conf = {prefix, b->level > 0 && to->markdown, false};
    if (first_of_item)
        out_put(&to->out, marker, outline_marker(at->style, at->number, marker));
    if (to->markdown && b->level) {
        out_put(&to->out, "######", b->level);
        out_text(&to->out, " ");
    } else if (to->markdown && behind_term) {
        out_text(&to->out, ": ");
    }
    print_inline(to, b, &conf);
}

/* Prints what begins with block i; returns behind it. */
static uint32_t print_next(struct printer *to, uint32_t i, struct before *last)
{
    char buffer[PREFIX_MAX], first_buffer[PREFIX_MAX];
    const struct block *b = &to->p->block[i];
    const struct place *at = &to->place[b->node];
    bool item_starts = at->item != NO_NODE && at->item != last->item && !b->level;
    bool meaning = last->line >= LINE_TERM && is_definition(to, b) && tag_of(to, b) != GUMBO_TAG_LI;
    struct before next = {.item = at->item, .any = true, .quotes = at->quotes};
    uint32_t end = table_end(to, i);
    bool code = end == i && (b->flags & BLOCK_PRE);
    bool marked = item_starts && end == i && !code;
    next.line = marked                          ? LINE_ITEM
                : meaning                       ? LINE_MEANING
                : tag_of(to, b) == GUMBO_TAG_DT ? LINE_TERM
                                                : LINE_OTHER;
    size_t mark = to->out.len;
    struct str prefix = prefix_of(to, at, buffer, false);
    struct str first = prefix_of(to, at, first_buffer, marked);
    if (!to->markdown && code)
        prefix = first = (struct str){"", 0};
    part(to, last, &next);
    out_put(&to->out, first.ptr, first.len);
    if (end > i && table_print(to, i, end, prefix)) {
        *last = next;
        return end;
    }
    if (end > i) { /* a table of which only one column was chosen: as text */
        to->place[at->table].table_kind = TABLE_LAYOUT;
        to->out.len = mark;
        return i;
    }
    end = code ? code_end(to, i) : i + 1;
    if (code)
        print_code(to, i, end, prefix);
    else
        print_block(to, b, &to->place[at->item == NO_NODE ? b->node : at->item], marked,
                    next.line == LINE_MEANING, prefix);
    *last = next;
    return end;
}

enum extract_verdict page_print(struct arena *a, struct arena *scratch, const struct page *p,
                                const bool *chosen, const struct print_conf *conf, struct str *text)
{
    struct printer to = {.p = p,
                         .chosen = chosen,
                         .markdown = conf->markdown,
                         .links = conf->links,
                         .images = conf->images,
                         .scratch = scratch,
                         .url = conf->url};
    struct before last = {.item = NO_NODE};
    size_t mark = arena_mark(scratch), start = arena_mark(a);
    to.place = outline_read(scratch, p, conf->markdown);
    to.out = (struct out){.a = a, .ptr = arena_push(a, 0, 1)};
    bool full = !to.place || !to.out.ptr;
    for (uint32_t i = 0; i < p->block_count && !full;) {
        if (chosen[i] && !is_gutter(&to, i))
            i = print_next(&to, i, &last);
        else
            i++;
        full = to.out.full;
    }
    arena_reset(scratch, mark);
    arena_reset(a, start);
    if (full)
        return EXTRACT_MEMORY;
    *text = (struct str){arena_push(a, to.out.len, 1), to.out.len};
    return EXTRACT_OK;
}
