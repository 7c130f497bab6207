/* bylines - who wrote a page: JSON-LD, metas, then the lines by the headline. */
#include "extract/meta_reader.h"

#include "core/unicode.h"
#include "extract/dates.h"

enum {
    NAME_WORDS_MAX = 6,
    NAME_BYTES_MAX = 60,
    FORUM_NEAR = 8, /* levels up to an element that says forum */
};

/* ---- authors ---- */
static struct str drop_prefix(struct str s)
{
    static const char *const words[] = {
        "written by",  "posted by",  "published by", "article by", "story by", "words by",
        "reviewed by", "author:",    "authors:",     "author",     "by:",      "by",
        "von",         "par",        "por",          "di",         "da",       "door",
        "av",          "af",         "autor:",       "autor",      "auteur",   "автор:",
        "text:",       "started by", "asked by",     "@",
    };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        size_t len = strlen(words[i]);
        if (!str_starts_nocase(s, words[i]) || len >= s.len)
            continue;
        if (s.ptr[len] == ' ' || s.ptr[len] == '\n' || words[i][len - 1] == ':' ||
            words[i][len - 1] == '@')
            return str_trim(str_slice(s, len, s.len));
    }
    return s;
}

/* What could be people: no address, no site, no sentence. */
static bool is_name(const struct meta_reader *r, struct str s)
{
    static const char *const never[] = {
        "admin",        "administrator", "editor",    "guest",  "unknown",  "author",  "user",
        "root",         "webmaster",     "anonymous", "share",  "follow",   "menu",    "subscribe",
        "reply",        "null",          "sign in",   "log in", "login",    "price",   "category",
        "view profile", "comment",       "comments",  "rate",   "facebook", "twitter", "wishlist",
        "more",         "join now",      "staff"};
    size_t words = 1;
    if (s.len < 2 || s.len > META_AUTHOR_MAX || str_find(s, STR("://")) != SIZE_MAX ||
        str_starts_nocase(s, "www.") || str_find(s, STR("{")) != SIZE_MAX)
        return false;
    for (size_t i = 0; i < COUNT_OF(never); i++)
        if (str_eq_nocase(s, str_of(never[i])))
            return false;
    for (size_t i = 0; i < s.len; i++)
        words += s.ptr[i] == ' ';
    return words <= 40 && !(r->out->site.len && meta_same_words(s, r->out->site));
}

/* A person's name in a byline: cut where something else begins. */
static struct str name_in(struct str s)
{
    static const char *const ends[] = {" | ",      " · ",        " • ",        " on ", " in ",
                                       "\n",       " - ",        " – ",        " — ",  ", updated",
                                       " Updated", " Published", " published", "•",    "|",
                                       " am ",     " le ",       " el ",       " (",   ":"};
    s = drop_prefix(str_trim(s));
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        size_t at = str_find(s, str_of(ends[i]));
        if (at != SIZE_MAX)
            s = str_slice(s, 0, at);
    }
    struct date date; /* "By Jane Doe May 6, 2023" */
    size_t dated;
    if (date_find(s, DATE_ORDER_UNKNOWN, &date, &dated))
        s = str_slice(s, 0, dated);
    s = str_trim(s);
    while (s.len && (s.ptr[s.len - 1] == ',' || s.ptr[s.len - 1] == '.' || s.ptr[s.len - 1] == '-'))
        s.len--;
    size_t words = 1, digits = 0;
    for (size_t i = 0; i < s.len; i++) {
        words += s.ptr[i] == ' ';
        digits += s.ptr[i] >= '0' && s.ptr[i] <= '9';
    }
    bool user = words == 1; /* a user name may hold digits, a person's does not */
    return s.len >= 2 && s.len <= NAME_BYTES_MAX && words <= NAME_WORDS_MAX &&
                   (digits == 0 || (user && digits < s.len))
               ? s
               : (struct str){0};
}

static bool says_by(struct str s)
{
    static const char *const words[] = {
        "by ",  "by\n",    "written by", "posted by", "von ",  "par ",
        "por ", "author:", "autor:",     "автор:",    "door ", "@"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_starts_nocase(s, words[i]))
            return true;
    return false;
}

/* Where "by" stands inside a line, names follow it and no sentence: every word has a capital but
 * those that stand between names. */
static bool all_names(struct str text)
{
    static const char *const between[] = {"and", "und", "et", "y",   "e",   "&",  "de", "der",
                                          "van", "von", "la", "le",  "du",  "da", "di", "del",
                                          "dos", "bin", "al", "den", "ter", "af", "zu", "do"};
    for (struct str rest = text, word; rest.ptr;) {
        uint32_t cp = 0;
        bool known = false;
        word = str_cut(rest, ' ', &rest);
        for (size_t i = 0; i < COUNT_OF(between); i++)
            known |= str_is(word, between[i]);
        if (word.len)
            utf8_decode(word.ptr, word.ptr + word.len, &cp);
        if (!known && uc_class(cp) == UC_LOWER)
            return false;
    }
    return true;
}

/* Two to four words with capitals, or, where people meet under user names, one word. */
static bool looks_like_person(const struct node *n, struct str name)
{
    int words = 0, capitals = 0;
    for (struct str rest = name; rest.ptr; words++) {
        struct str word = str_cut(rest, ' ', &rest);
        uint32_t cp = 0;
        if (word.len)
            utf8_decode(word.ptr, word.ptr + word.len, &cp);
        enum uc_class class = uc_class(cp);
        capitals += class == UC_UPPER || class == UC_LETTER;
        if (class == UC_SYMBOL || (cp < 0x80 && class == UC_PUNCT))
            return false;
    }
    if (words == 1)
        return n->near[CUE_FORUM] <= FORUM_NEAR && n->near[CUE_AUTHOR] <= 1 && name.len > 2;
    return words <= 4 && capitals == words;
}

/* The name in one block of text: behind "by", or all of it in an element for authors. */
static struct str author_in(struct meta_reader *r, uint32_t index)
{
    const struct block *b = &r->page->block[index];
    const struct node *n = &r->page->node[b->node];
    struct str text = block_text(r->page, b);
    bool inside = false,
         own = (n->cues | b->inner_cues) >> CUE_AUTHOR & 1 || n->near[CUE_AUTHOR] <= 2;
    bool by = says_by(text);
    if (b->chars > BYLINE_CHARS || b->level)
        return (struct str){0};
    size_t inner = str_find(text, STR(" by "));
    if (!by && inner != SIZE_MAX && inner < 60) {
        text = str_slice(text, inner + 1, text.len);
        by = inside = true;
    }
    if (!by && !own)
        return (struct str){0};
    struct str name = meta_clean(r, r->a, name_in(text), META_AUTHOR_MAX);
    uint32_t first = 0;
    if (name.len)
        utf8_decode(name.ptr, name.ptr + name.len, &first);
    by = by && uc_class(first) != UC_LOWER; /* "by insurance", "by your side" */
    if (inside && str_find(name, STR(" ")) != SIZE_MAX && !all_names(name))
        by = false;
    return is_name(r, name) && (by || looks_like_person(n, name)) ? name : (struct str){0};
}

/* "Written by" alone, the name in the next block. */
static bool is_label(struct str text)
{
    static const char *const labels[] = {
        "by",          "by:",    "written by", "written by:", "author", "author:", "posted by",
        "authored by", "writer", "words by",   "contributor", "autor",  "autor:"};
    for (size_t i = 0; i < COUNT_OF(labels); i++)
        if (str_eq_nocase(str_trim(text), str_of(labels[i])))
            return true;
    return false;
}

static struct str visible_author(struct meta_reader *r)
{
    uint32_t index;
    for (uint32_t step = 0; step < BYLINE_BEHIND + BYLINE_BEFORE; step++) {
        if (!meta_near_headline(r, step, &index))
            continue;
        struct str name = {0};
        if (!is_label(block_text(r->page, &r->page->block[index]))) {
            name = author_in(r, index);
        } else if (index + 1 < r->page->block_count) {
            const struct block *next = &r->page->block[index + 1];
            name = meta_clean(r, r->a, name_in(block_text(r->page, next)), META_AUTHOR_MAX);
            name = is_name(r, name) && next->chars <= NAME_BYTES_MAX ? name : (struct str){0};
        }
        if (name.len)
            return name;
    }
    return (struct str){0};
}

/* Papers name each author in a meta of its own. */
static struct str cited_authors(struct meta_reader *r)
{
    struct buf all = {.max = META_AUTHOR_MAX};
    for (uint32_t i = 0; i < r->asides->count; i++) {
        const struct aside *aside = &r->asides->list[i];
        if (aside->kind != ASIDE_META || !str_eq_nocase(aside->name, STR("citation_author")))
            continue;
        struct str name = meta_clean(r, r->scratch, aside->value, NAME_BYTES_MAX), given;
        struct str family = str_cut(name, ',', &given); /* "Shannon, Claude E." */
        if (all.len + name.len + 4 > META_AUTHOR_MAX)
            break;
        buf_text(&all, all.len ? "; " : "");
        if (given.len) {
            buf_str(&all, str_trim(given));
            buf_char(&all, ' ');
        }
        buf_str(&all, str_trim(family));
    }
    struct str out = all.len && !all.failed ? arena_str(r->a, buf_view(&all)) : (struct str){0};
    buf_free(&all);
    return out;
}

void meta_read_author(struct meta_reader *r)
{
    static const char *const names[] = {"author",
                                        "article:author",
                                        "citation_author",
                                        "parsely-author",
                                        "dc.creator",
                                        "dcterms.creator",
                                        "sailthru.author",
                                        "byl",
                                        "dc.creator.personalname",
                                        "og:author",
                                        "article.author",
                                        "book:author",
                                        "twitter:data1",
                                        NULL};
    struct str json = meta_clean(r, r->a, r->json.author, META_AUTHOR_MAX);
    if (json.len &&
        (is_name(r, json) || (r->json.article && meta_same_words(json, r->out->site)))) {
        r->out->author = json;
        return;
    }
    r->out->author = cited_authors(r);
    for (size_t i = 0; names[i] && !r->out->author.len; i++) {
        const char *one[] = {names[i], NULL};
        static const char *const label[] = {"twitter:label1", NULL};
        if (strcmp(names[i], "twitter:data1") == 0) {
            struct str says = meta_of(r, label, 64);
            if (!str_starts_nocase(says, "written by") && !str_starts_nocase(says, "by"))
                continue;
        }
        struct str value = drop_prefix(meta_of(r, one, META_AUTHOR_MAX));
        if (is_name(r, value))
            r->out->author = value;
    }
    if (!r->out->author.len)
        r->out->author = visible_author(r);
}
