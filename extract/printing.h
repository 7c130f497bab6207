/* printing - what the printers of text share: where each block stands, and bytes going out. */
#ifndef SLUICE_EXTRACT_PRINTING_H
#define SLUICE_EXTRACT_PRINTING_H
#include "extract/parts.h"

/* ---- outline.c: lists, quotes, tables and code around each element ---- */
enum {
    OUTLINE_INDENT_MAX = 40,     /* columns; lists nested deeper are not indented further */
    OUTLINE_QUOTES_MAX = 8,
};
struct place {
    uint32_t item;       /* nearest list item, NO_NODE: none */
    uint32_t table;      /* nearest table */
    uint32_t cell;       /* nearest cell of that table */
    uint32_t pre;        /* nearest pre */
    uint32_t row, column; /* of a cell; set by table_read */
    int32_t number;      /* of an item; of a numbered list: its next item's */
    uint8_t quotes;      /* block quotes around it */
    uint8_t indent;      /* columns in front of an item's marker; inside it, in front of text */
    uint8_t marker;      /* columns of an item's marker */
    char style;          /* of an item: '-', or '1', 'a', 'A', 'i', 'I' */
    uint8_t table_kind;  /* of a table: enum table_kind, TABLE_UNKNOWN until asked */
    bool descending;     /* a list that counts down */
    bool layout;         /* a list whose items are no points: they hold headings */
    bool seen;
};
/* Of every element, in the arena; NULL when it is full. Linear in the page. numbers_only: lists
 * that count in letters count in numbers. */
struct place *outline_read(struct arena *a, const struct page *p, bool numbers_only);
/* An attribute of the element's start tag as it stands in the page, not decoded; ptr NULL when it
 * has none or the tag was implied. */
struct str outline_attribute(const struct page *p, uint32_t node, const char *name);
/* The same of the tag at an offset of page.html. */
struct str tag_attribute(const struct page *p, uint32_t at, const char *name);
/* The first format that ends at or behind an offset of page.text. */
uint32_t formats_from(const struct page *p, uint32_t at);
/* "3. ", "- ", "iv. ": into to, its length. */
enum { OUTLINE_MARKER_MAX = 24 };
size_t outline_marker(char style, int32_t number, char to[OUTLINE_MARKER_MAX]);

/* ---- bytes going out: the last thing in the arena, so that it can grow in place ---- */
struct out {
    struct arena *a;
    char *ptr; size_t len, room;
    bool full;           /* the arena is: what came later is lost */
};
void out_put(struct out *o, const char *bytes, size_t len);
static inline void out_text(struct out *o, const char *text) { out_put(o, text, strlen(text)); }

/* ---- printing ---- */
struct printer {
    const struct page *p;
    const bool *chosen;
    struct place *place;
    struct out out;
    struct arena *scratch;
    struct str url;      /* of the page, may be empty */
    bool markdown, links, images;
};
/* Block's text as one line or several: marked up and escaped in Markdown, where lines continue
 * behind prefix (quote signs and blanks). one_line: line ends become blanks, or <br> in tables. */
struct inline_conf { struct str prefix; bool one_line, in_table; };
void print_inline(struct printer *to, const struct block *b, const struct inline_conf *conf);

/* ---- tables.c ---- */
enum table_kind { TABLE_UNKNOWN, TABLE_LAYOUT, TABLE_DATA };
/* Whether it holds data in rows and columns (else it only places things on the page). The first
 * call finds row and column of its cells, spans counted. */
enum table_kind table_read(const struct page *p, struct place *place, uint32_t table);
/* Prints the chosen blocks [from, to) of a data table: tabs between cells, or a pipe table. False
 * when no row has two cells chosen: then nothing is printed. */
bool table_print(struct printer *to, uint32_t from, uint32_t end, struct str prefix);

/* ---- code.c ---- */
/* The language that a class or data attribute names ("language-c", "brush: js", "highlight-source-
 * rust"), as it stands; empty when none. */
struct str code_language(struct str classes);
/* A column of line numbers beside code: at least three lines, each the number behind the one
 * before. */
bool code_is_numbers(struct str text);
#endif
