/* parts - what the files of extract/ share with one another and with their tests, nobody else. */
#ifndef SLUICE_EXTRACT_PARTS_H
#define SLUICE_EXTRACT_PARTS_H
#include "extract/extract.h"
#include "extract/nesting.h"

#include <gumbo.h>

/* ---- charset.c ---- */
/* Canonical WHATWG name of a label ("latin1" -> "windows-1252"), NULL when the table has none.
 * Static. */
const char *charset_label(struct str label);
/* The encoding that a meta element in the first max bytes declares, by the WHATWG prescan
 * (whose max is 1024); NULL when none. */
const char *charset_prescan(struct str raw, size_t max);

/* ---- bytescan.c ---- */
/* high: bytes of 80 and above; sequences: valid ones of UTF-8; bad: what becomes one U+FFFD each.
 * The last two are exact unless bad is more than a BYTES_SCARSth of sequences: then it stays so. */
enum { BYTES_SCARS = 10 };
struct byte_facts { uint64_t high, sequences, bad; bool nul, escape; };
struct byte_facts bytes_look(struct str raw);
struct byte_facts bytes_look_slowly(struct str raw); /* the same */
/* Length of the valid UTF-8 sequence at s, or minus the bytes that become one U+FFFD. */
int utf8_step(const unsigned char *s, const unsigned char *end);
/* The first byte that is not ASCII, or end. */
const unsigned char *skip_ascii(const unsigned char *s, const unsigned char *end);

/* ---- tags.c: the tokenizer's view of a page ---- */
/* Attributes whose words are cues. */
enum attribute_slot {
    SLOT_CLASS, SLOT_ID, SLOT_ROLE, SLOT_ITEMPROP, SLOT_ITEMTYPE, SLOT_NAMES,
    SLOT_LABEL = SLOT_NAMES, /* aria-label */
    SLOT_TEST, /* names for testers (data-testid ...), where classes are numbers */
    SLOT_CUES,
};
enum { ATTRIBUTE_MAX = 400 }; /* bytes looked at of one such value */
struct tag {
    const char *name; uint32_t name_len;
    struct element element;
    const char *end;               /* behind '>' */
    bool closing, self_closing;
    bool shadow;                   /* shadowrootmode */
    bool hidden;                   /* the attribute, or a style that hides */
    uint32_t slots;                /* how many of slot[] below SLOT_NAMES are there */
    /* values as they stand, undecoded; ptr NULL when absent */
    struct str slot[SLOT_CUES], type, rel, href, alt;
};
/* What stands at a '<'. A declaration is a comment, a doctype, <?...> or </ and no letter. */
enum markup { MARKUP_TAG, MARKUP_DECLARATION, MARKUP_TEXT };
enum markup markup_at(const char *at, const char *end);
/* Reads the tag at `at`. False when the page ends inside: then nothing of it counts. */
bool tag_read(const char *at, const char *end, struct tag *t);
/* The attribute at or behind `at`, which stands behind a tag's name or another attribute; end is
 * behind the tag's '>'. Returns the place behind it, NULL when there is none left. */
const char *attribute_next(const char *at, const char *end, struct str *name, struct str *value);
/* Behind the declaration at `at`. Only foreign content (svg, MathML) has CDATA sections. */
const char *declaration_end(const char *at, const char *end, bool foreign);
/* The next "</name" followed by a blank, '/' or '>'; NULL when none comes. */
const char *raw_end(const char *at, const char *end, const char *name, size_t len);
/* The end tag of a script whose content starts at `at`, by its own rules; NULL when none comes. */
const char *script_end(const char *at, const char *end);

/* ---- entities.c ---- */
/* The character reference at the '&' at `at`: its length and one or two code points (cp[1] 0 when
 * one); 0 when it is only text. attribute: by the stricter rule of attribute values. */
size_t entity_read(const char *at, const char *end, bool attribute, uint32_t cp[2]);

/* ---- asides.c: what a page says of itself outside its visible text ---- */
enum aside_kind {
    ASIDE_JSON,      /* name: the script's type; value: a JSON-LD script, nothing decoded in it */
    ASIDE_MATH,      /* name: the script's type (math/tex; mode=display ...); value: its text */
    ASIDE_NOSCRIPT,  /* value: the HTML inside a short noscript (a long one is part of the page) */
    ASIDE_META,      /* name: property, name, itemprop or http-equiv (one each); value: content */
    ASIDE_LINK,      /* name: rel with canonical, license, author ...; value: href */
    ASIDE_LICENSE,   /* <a rel=license>: name: rel; value: href */
    ASIDE_TIME,      /* name: itemprop, else class; value: datetime */
    ASIDE_LANG,      /* <html lang> */
    ASIDE_BASE,      /* <base href> */
    ASIDE_TITLE,     /* the first <title> */
    ASIDE_KINDS,
};
enum {
    ASIDE_BYTES_MAX = 4 << 20,     /* all values together; what would pass it is not kept */
    ASIDE_LINKS_MAX = 20000,
};
/* Borrowed from the page as it came: character references are not decoded, blanks not folded. */
struct aside { enum aside_kind kind; struct str name, value; };
/* In page order; list and href live in the arena. */
struct asides {
    struct aside *list; uint32_t count;
    struct str *href; uint32_t href_count; /* of links, undecoded; the first ASIDE_LINKS_MAX */
    uint32_t href_seen;                    /* links with href on the page */
    size_t bytes;
    uint16_t kinds[ASIDE_KINDS];           /* how many of each */
};
int asides_open(struct asides *out, struct arena *a);
void asides_add(struct asides *to, enum aside_kind kind, struct str name, struct str value);
/* Keeps what a start tag says: meta, link, a, base, html, time; others are nothing. */
void asides_tag(struct asides *to, const struct tag *t);
/* The first of a kind, with this name unless name is NULL (ASCII case aside); NULL when none. */
const struct aside *asides_find(const struct asides *from, enum aside_kind kind, const char *name);
/* The value as text: character references decoded, white space folded, control characters gone.
 * Not for ASIDE_JSON, ASIDE_MATH and ASIDE_NOSCRIPT. Pushed on a; empty when a is full. */
struct str aside_text(struct arena *a, const struct aside *aside);

/* ---- skeleton.c: a page as the few tags that the tree builder has to see, and the rest ---- */
enum {
    NO_NODE = UINT32_MAX,
    SKELETON_DEPTH_MAX = 512,     /* open elements Gumbo may see: it is quadratic in them */
    SKELETON_TAGS_MAX = 30000,    /* elements Gumbo may see: about 250 bytes of its memory each */
    SKELETON_JSON_MAX = 8,        /* JSON-LD blocks remembered */
    SKELETON_PAGE_MAX = 256 << 20, /* bytes */
};
/* What stands between two tags that Gumbo sees, in page order. at is an offset in the page. */
enum piece_kind {
    PIECE_TEXT,    /* text, its character references undecoded */
    PIECE_SPACED,  /* PIECE_SPACE and then PIECE_TEXT */
    PIECE_BROKEN,  /* PIECE_BREAK and then PIECE_TEXT */
    PIECE_RAW,     /* text in which nothing is to be decoded (xmp) */
    PIECE_MATH,    /* a formula from <math on, without its end tag */
    PIECE_SCRIPT,  /* a formula in TeX: from <script on, without its end tag */
    PIECE_PICTURE, /* a formula as a picture, <img ...> whole: its TeX stands in alt */
    PIECE_OPEN,    /* an inline element opens: at is the index of its mark */
    PIECE_CLOSE,   /* the innermost of them closes */
    PIECE_BREAK,   /* br */
    PIECE_SPACE,   /* left out is something that a browser shows, or a tag that parts words */
    PIECE_NOTHING, /* a tag left out at which the tree builder reopens a link */
    PIECE_CARET,   /* an exponent of so many bytes comes (not with limits.formats) */
    PIECE_FORMAT,  /* a formatting tag or img (only with limits.formats): at is its '<' */
};
struct piece { uint32_t at, word; }; /* word: length * 16 + kind */
static inline enum piece_kind piece_kind(struct piece p) { return (enum piece_kind)(p.word & 15); }
static inline uint32_t piece_len(struct piece p) { return p.word >> 4; }
/* Pieces from..to-1; Gumbo sees one private-use character in their place. */
struct segment { uint32_t from, to; };
enum { SEGMENTS_MAX = 6400 + 2 * 65534 };
static inline uint32_t segment_char(uint32_t index)
{
    return index < 6400           ? 0xE000 + index
           : index < 6400 + 65534 ? 0xF0000 + (index - 6400)
                                  : 0x100000 + (index - 6400 - 65534);
}
static inline uint32_t segment_index(uint32_t cp)
{
    return cp < 0xF0000 ? cp - 0xE000 : cp < 0x100000 ? cp - 0xF0000 + 6400
                                                      : cp - 0x100000 + 6400 + 65534;
}
/* PLACE: a link inside the page; SKIP: its text is not the page's; PRE: its blanks count */
enum mark_flag { MARK_LINK = 1, MARK_PLACE = 2, MARK_HIDDEN = 4, MARK_SKIP = 8, MARK_PRE = 16 };
/* An element's attributes, looked at. */
struct mark {
    uint32_t at, out;             /* its '<' in the page and in html; out NO_NODE: in no tag */
    uint32_t cues, signature;     /* signature: of tag and class */
    uint8_t tag, flags;
};
struct skeleton_limits { uint32_t depth_max, tags_max; bool formats; };
struct skeleton_facts {
    uint32_t depth;               /* deepest nesting in the page as it came */
    uint32_t tags;                /* start tags handed on */
    uint32_t flattened;           /* start tags left out because of a limit; their text stays */
    struct asides asides;         /* what was kept aside, borrowed from the page */
    struct str json[SKELETON_JSON_MAX]; uint32_t json_count; /* the ASIDE_JSON of them */
};
struct skeleton {
    struct str page;              /* borrowed */
    struct str html;              /* what Gumbo sees */
    struct piece *piece; uint32_t piece_count;
    struct segment *segment; uint32_t segment_count;
    struct mark *mark; uint32_t mark_count;
    uint32_t *handed; uint32_t handed_count; /* marks of the tags handed on, ascending in out */
    uint32_t body;                /* mark of the body's own tag, NO_NODE when it has none */
    uint32_t formats;             /* at most so many of struct format can come of it */
    uint32_t maths_max;           /* bytes of the longest formula */
    struct skeleton_facts facts;
};
/* One linear pass. Everything is pushed on a; the page must stay. Nothing is larger than a fixed
 * multiple of the page or of the limits. ERR_LIMIT when a is full. */
int skeleton_make(struct arena *a, struct str page, const struct skeleton_limits *limits,
                  struct skeleton *out);

/* ---- html.c ---- */
/* Parses into tree (reset first). The output lives until tree is reset; gumbo_destroy_output is
 * never called (it recurses over the page's depth). NULL with *verdict EXTRACT_MEMORY or
 * EXTRACT_TIMEOUT at a limit. */
const GumboOutput *html_parse(struct arena *tree, struct str html, int64_t time_max_ms,
                              enum extract_verdict *verdict);

/* ---- cues.c: words in class, id, role and itemprop that say what a part of a page is for ---- */
/* One bit each; X(NAME). A tag name can set them too (nav, footer, article ...). */
#define CUES(X) \
    X(NAV) X(HEADER) X(FOOTER) X(SIDE) X(COMMENT) X(SHARE) X(AD) X(RELATED) X(META) X(CONTENT) \
    X(ARTICLE) X(FORUM) X(PRODUCT) X(LIST) X(ITEM) X(HIDDEN) X(MODAL) X(SEARCH) X(PAGER) \
    X(BUTTON) X(CAPTION) X(CODE) X(DOCS) X(REVIEW) X(TITLE) X(TEXT) X(AUTHOR) X(TAGS) X(CTA) \
    X(LEGAL) X(TABS) X(HERO)
enum cue {
#define CUE_ENUM(name) CUE_##name,
    CUES(CUE_ENUM)
#undef CUE_ENUM
    CUE_COUNT
};
/* The cues of one attribute value: words are cut at punctuation and at camelCase. */
uint32_t cues_of(struct str value);
uint32_t cues_of_tag(GumboTag tag);
/* Boilerplate words of page furniture ("cookie", "subscribe", "copyright" ...) among the first
 * words of text. */
uint32_t cues_furniture(struct str text);
/* What a title says of the text below it. */
#define TOPICS(X) \
    X(RELATED) X(COMMENTS) X(REVIEWS) X(SPECS) X(LEGAL) X(SIGNUP) X(BROWSE) X(CONTENTS) X(FAQ) \
    X(REFERENCES) X(AUTHOR) X(SHARE)
enum topic {
#define TOPIC_ENUM(name) TOPIC_##name,
    TOPICS(TOPIC_ENUM)
#undef TOPIC_ENUM
    TOPIC_COUNT
};
/* Bits of the topics that a quarter of the words of a title or more belong to; none when it has
 * more words than a title has. */
uint32_t cues_topics(struct str text);

/* ---- blocks.c: the page as flat arrays ---- */
enum { NEAR_NONE = 31 }; /* levels up to a cue: none */
struct node {
    uint32_t parent, end;      /* indexes; end: one behind the last descendant */
    uint32_t at;               /* its start tag in page.html (tag_read); NO_NODE: implied */
    uint16_t depth; uint8_t tag; bool hidden, inline_;
    bool pre;                  /* blanks and line ends count in it */
    uint32_t cues;
    uint32_t signature;        /* of tag and class: equal siblings are a list */
    uint32_t twins, rank;      /* other siblings with this signature, and its place among them */
    /* sums over the subtree; long_chars: of blocks with at least 80 characters */
    uint32_t chars, link_chars, links, words, ends, blocks, long_chars;
    uint8_t near[CUE_COUNT];   /* levels up to the nearest element with the cue, itself 0 */
};
enum block_flag { BLOCK_PRE = 1, BLOCK_HIDDEN = 2, BLOCK_BREAKS = 4 };
struct block {
    uint32_t start, len;       /* in page.text */
    uint32_t node;             /* the block element it stands in */
    uint32_t inner_cues;       /* of the inline elements inside it */
    uint32_t chars, words, letters, upper, digits, commas, ends, links, link_chars;
    uint32_t place_chars;      /* in links to places on the page itself */
    uint32_t furniture;
    uint32_t copies;           /* blocks of the page with the same text */
    uint32_t heading;          /* the last heading before it, UINT32_MAX: none */
    uint32_t before;           /* characters before it on the page */
    uint8_t tag, level;        /* what it is: P, LI, TD, PRE, H1 ..; level of headings 1..6 */
    uint8_t flags;
    bool sentence;             /* ends like a sentence */
};
/* What formatting elements and links cover of the text of a block; img: nothing, its place. */
struct format {
    uint32_t start, end;       /* in page.text */
    uint32_t at;               /* its start tag in page.html (tag_read, attribute_next) */
    uint8_t tag;
};
struct page {
    struct str html;           /* the page itself, borrowed */
    struct format *format; uint32_t format_count; /* by end; only with skeleton_limits.formats */
    struct node *node; uint32_t node_count;
    struct block *block; uint32_t block_count;
    char *text; uint32_t text_len;
    struct str title;
    struct str url;            /* where it was found, borrowed; empty when nobody said */
    uint64_t chars, link_chars;
};
/* Everything is pushed on a; url stays empty. EXTRACT_MEMORY when a is full. */
enum extract_verdict page_read(struct arena *a, const GumboOutput *html,
                               const struct skeleton *from, struct page *out);
static inline struct str block_text(const struct page *p, const struct block *b)
{
    return (struct str){p->text + b->start, b->len};
}

/* ---- code.c: what classes say of code and formulas ---- */
/* RENDERED: a formula drawn by MathJax or KaTeX, whose source stands beside it, and MediaWiki's
 * edit links in headings: no text; SHOWN: a formula's source that is hidden in favour of a picture;
 * GUTTER: numbers of lines, where code is; TEX: of a picture, that its alt is TeX;
 * LINES: code in rows or divisions, a line each, whose blanks a style sheet keeps. */
enum class_flag {
    CLASS_RENDERED = 1, CLASS_SHOWN = 2, CLASS_GUTTER = 4, CLASS_TEX = 8, CLASS_LINES = 16
};
uint8_t class_flags(struct str classes);

/* ---- markup.c: the chosen blocks as text ---- */
/* url (may be empty): what addresses of links are relative to. */
struct print_conf { bool markdown, links, images; struct str url; };
/* text is pushed on a; scratch is for what is thrown away. EXTRACT_MEMORY when one is full. */
enum extract_verdict page_print(struct arena *a, struct arena *scratch, const struct page *p,
                                const bool *chosen, const struct print_conf *conf,
                                struct str *text);
#endif
