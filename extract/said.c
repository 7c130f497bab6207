/* said - the words a page uses of itself: title, descriptions, JSON-LD, and its longer texts. */
#include "core/err.h"
#include "core/hash.h"
#include "core/json.h"
#include "extract/judge.h"

enum {
    SAID_BYTES = 24 << 10, /* read of one text */
    SAID_WORDS = 8192,     /* remembered of a page; what comes later is not looked for */
    TOPIC_WORDS = 8192,    /* of its long blocks */
    WORD_BYTES = 40,
    STACK = 256, /* JSON values waiting to be looked at */
    LONG_CHARS = 80,
    TOPIC = 16,
    TOPIC_TWICE = 32, /* besides enum said_from */
};

/* ---- words ---- */
struct words {
    const char *at, *end;
};

/* The next word as a hash, ASCII case aside; letters of scripts without spaces are words each.
 * Words of one byte are left out. 0 at the end. */
static uint64_t next_word(struct words *w)
{
    char word[WORD_BYTES];
    size_t len = 0;
    while (w->at < w->end) {
        unsigned char c = (unsigned char)*w->at;
        uint32_t cp = c;
        int step = c < 0x80 ? 1 : utf8_decode(w->at, w->end, &cp);
        bool wide = cp >= 0x2E80 && cp <= 0xD7FF && !(cp >= 0x3000 && cp < 0x3040);
        bool letter =
            wide || (c < 0x80 ? (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z')
                              : cp >= 0xC0 && !(cp >= 0x2000 && cp < 0x2C00) &&
                                    !(cp >= 0x3000 && cp < 0x3040) && cp < 0xFF00);
        if (wide && len > 0)
            break;
        if (letter && len + (size_t)step <= sizeof word) {
            if (c < 0x80)
                word[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
            else
                for (int i = 0; i < step; i++)
                    word[len++] = w->at[i];
        }
        w->at += step;
        if (wide || (!letter && len > 1))
            break;
        if (!letter)
            len = 0;
    }
    return len > 1 ? hash64(word, len, 0) | 1 : 0;
}

static struct said_word *slot_for(const struct said *s, uint64_t key)
{
    uint64_t at = key >> 24 & s->mask;
    while (s->table[at].key && s->table[at].key != key)
        at = (at + 1) & s->mask;
    return &s->table[at];
}

static uint64_t pair_of(uint64_t left, uint64_t right) { return hash_mix(left * 3 ^ right) | 1; }

struct filling {
    struct said *s;
    uint32_t room;
};

static void add_key(struct filling *f, uint64_t key, uint32_t from)
{
    struct said_word *w = slot_for(f->s, key);
    if (!w->key) {
        if (f->room == 0)
            return;
        f->room--;
        w->key = key;
    }
    w->from |= from;
}

/* Single words of names, pairs of running text: a word alone says little there. */
static uint32_t add_text(struct filling *f, struct str text, uint32_t from)
{
    struct words w = {text.ptr, text.ptr + (text.len > SAID_BYTES ? SAID_BYTES : text.len)};
    uint64_t last = 0, word;
    uint32_t count = 0;
    for (; (word = next_word(&w)); last = word, count++) {
        if (from & (SAID_TITLE | SAID_NAME))
            add_key(f, word, from);
        else if (last)
            add_key(f, pair_of(last, word), from);
    }
    return count;
}

/* ---- JSON-LD ---- */
struct type_name {
    const char *part;
    uint32_t kind;
};
static const struct type_name type_names[] = {
    {"Article", JSON_ARTICLE}, {"BlogPosting", JSON_ARTICLE}, {"Report", JSON_ARTICLE},
    {"Product", JSON_PRODUCT}, {"Offer", JSON_PRODUCT},       {"Discussion", JSON_FORUM},
    {"QAPage", JSON_FORUM},    {"Question", JSON_FORUM},      {"ItemList", JSON_LIST},
    {"Collection", JSON_LIST}, {"SearchResults", JSON_LIST},  {"FAQPage", JSON_FAQ},
};

static uint32_t kind_of_type(const struct json *type)
{
    uint32_t kinds = 0;
    if (type && type->type == JSON_ARRAY)
        type = type->child;
    if (!type || type->type != JSON_STRING)
        return 0;
    for (size_t i = 0; i < COUNT_OF(type_names); i++)
        if (str_find(type->string, str_of(type_names[i].part)) != SIZE_MAX)
            kinds |= type_names[i].kind;
    return kinds & JSON_FAQ ? JSON_FAQ : kinds;
}

static void read_object(struct filling *f, const struct json *object)
{
    static const struct {
        const char *key;
        uint32_t from;
    } keys[] = {
        {"headline", SAID_TITLE},    {"name", SAID_NAME},  {"articleBody", SAID_ABOUT},
        {"description", SAID_ABOUT}, {"text", SAID_ABOUT}, {"reviewBody", SAID_REVIEW},
    };
    struct said *s = f->s;
    s->json |= JSON_ANY;
    for (const struct json *member = object->child; member; member = member->next) {
        if (str_eq(member->key, STR("@type")))
            s->json |= kind_of_type(member);
        for (size_t i = 0; i < COUNT_OF(keys) && member->type == JSON_STRING; i++) {
            if (!str_eq(member->key, str_of(keys[i].key)))
                continue;
            uint32_t words = add_text(f, member->string, keys[i].from);
            s->about_words += keys[i].from == SAID_ABOUT ? words : 0;
            s->review_words += keys[i].from == SAID_REVIEW ? words : 0;
            s->items += keys[i].from == SAID_NAME;
        }
    }
}

static void read_json(struct filling *f, struct arena *a, struct str text)
{
    const struct json *stack[STACK];
    size_t depth = 0, mark = arena_mark(a);
    struct json *value;
    if (json_parse(a, text, &value) < 0) {
        err_clear();
        arena_reset(a, mark);
        return;
    }
    stack[depth++] = value;
    while (depth > 0) {
        const struct json *at = stack[--depth];
        if (at->type == JSON_OBJECT)
            read_object(f, at);
        for (const struct json *child = at->child; child && depth < STACK; child = child->next)
            if (child->type == JSON_OBJECT || child->type == JSON_ARRAY)
                stack[depth++] = child;
    }
    arena_reset(a, mark);
}

/* ---- the page ---- */
static void read_meta(struct filling *f, const struct aside *m)
{
    static const struct {
        const char *name;
        uint32_t from;
    } names[] = {
        {"og:title", SAID_TITLE},
        {"twitter:title", SAID_TITLE},
        {"og:description", SAID_ABOUT},
        {"description", SAID_ABOUT},
        {"twitter:description", SAID_ABOUT},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_eq_nocase(m->name, str_of(names[i].name)))
            f->s->about_words +=
                add_text(f, m->value, names[i].from) * (names[i].from == SAID_ABOUT);
    if (str_eq_nocase(m->name, STR("og:type"))) {
        f->s->og_article |= str_find(m->value, STR("article")) != SIZE_MAX;
        f->s->og_product |= str_find(m->value, STR("product")) != SIZE_MAX;
        f->s->og_website |= str_find(m->value, STR("website")) != SIZE_MAX;
    }
}

/* The words of longer texts, with the block each was first seen in: a block is on the page's topic
 * when other blocks use its words. */
static void read_topic(struct said *s, const struct page *p)
{
    struct filling f = {s, TOPIC_WORDS};
    for (uint32_t i = 0; i < p->block_count && f.room > 0; i++) {
        const struct block *b = &p->block[i];
        if (b->chars < LONG_CHARS || b->link_chars * 3 >= b->chars)
            continue;
        struct str text = block_text(p, b);
        struct words w = {text.ptr, text.ptr + text.len};
        for (uint64_t word; (word = next_word(&w)) && f.room > 0;) {
            struct said_word *slot = slot_for(s, word);
            if (!slot->key) {
                f.room--;
                slot->key = word;
            }
            if (!(slot->from & TOPIC))
                slot->first = i;
            else if (slot->first != i)
                slot->from |= TOPIC_TWICE;
            slot->from |= TOPIC;
        }
    }
}

bool said_open(struct arena *a, const struct page *p, const struct asides *asides, struct said *out)
{
    uint64_t most = (uint64_t)p->text_len / 3 + 4096, size = 4096;
    if (most > SAID_WORDS + TOPIC_WORDS)
        most = SAID_WORDS + TOPIC_WORDS;
    while (size < most * 3 / 2)
        size *= 2;
    *out = (struct said){.table = arena_array_zero(a, struct said_word, size), .mask = size - 1};
    if (!out->table)
        return false;
    struct filling f = {out, (uint32_t)(most / 2)};
    out->title_words = add_text(&f, p->title, SAID_TITLE);
    for (uint32_t i = 0; asides && i < asides->count; i++)
        if (asides->list[i].kind == ASIDE_META)
            read_meta(&f, &asides->list[i]);
    for (uint32_t i = 0; asides && i < asides->count; i++)
        if (asides->list[i].kind == ASIDE_JSON)
            read_json(&f, a, asides->list[i].value);
    read_topic(out, p);
    return true;
}

struct said_shares said_of_block(const struct said *s, const struct page *p, uint32_t index)
{
    struct str text = block_text(p, &p->block[index]);
    struct words w = {text.ptr, text.ptr + text.len};
    uint32_t count = 0, title = 0, name = 0, about = 0, review = 0, topic = 0;
    uint64_t last = 0, word;
    for (; (word = next_word(&w)); last = word, count++) {
        const struct said_word *one = slot_for(s, word);
        const struct said_word *two = last ? slot_for(s, pair_of(last, word)) : NULL;
        title += one->from & SAID_TITLE;
        name += (one->from & SAID_NAME) != 0;
        topic += (one->from & TOPIC_TWICE) || ((one->from & TOPIC) && one->first != index);
        about += two && (two->from & SAID_ABOUT);
        review += two && (two->from & SAID_REVIEW);
    }
    struct said_shares out = {0};
    if (count == 0)
        return out;
    float words = (float)count, pairs = count > 1 ? (float)(count - 1) : 1;
    out.title = (float)title / words;
    out.name = (float)name / words;
    out.topic = (float)topic / words;
    out.about = (float)about / pairs;
    out.review = (float)review / pairs;
    out.title_covered = s->title_words ? (float)title / (float)s->title_words : 0;
    return out;
}
