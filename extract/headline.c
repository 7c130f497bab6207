/* headline - which heading is the page's, and its title without the name of the site. */
#include "extract/meta_reader.h"

#include "core/hash.h"
#include "core/unicode.h"

enum {
    HEADLINE_BLOCKS = 400, /* blocks among which the headline is looked for */
    TITLE_PART_MIN = 4,
    LOWER_MIN = 12,
    TITLE_WORDS_MAX = 64,
};
static const double TITLE_SHARED = 0.5; /* of an h1's words, in the title tag: it is the headline */

/* ---- the headline ---- */
/* The longest h1 that the title tag repeats, for a logo is often an h1 too and titles name the
 * site; else another heading that it repeats (forums have h2 and h3); else the first h1. */
void meta_find_headline(struct meta_reader *r)
{
    const struct page *p = r->page;
    uint32_t count = p->block_count < HEADLINE_BLOCKS ? p->block_count : HEADLINE_BLOCKS;
    uint32_t first = UINT32_MAX, lower = UINT32_MAX, best = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct block *b = &p->block[i];
        if (!b->level || b->level > 3 || (b->flags & BLOCK_HIDDEN) || b->len < TITLE_PART_MIN)
            continue;
        bool titled = p->title.len && str_find(p->title, block_text(p, b)) != SIZE_MAX;
        if (b->level == 1 && titled && (best == UINT32_MAX || b->len > p->block[best].len))
            best = i;
        if (b->level == 1 && first == UINT32_MAX)
            first = i;
        if (titled && b->len >= LOWER_MIN && lower == UINT32_MAX)
            lower = i;
    }
    r->headline = best != UINT32_MAX ? best : lower != UINT32_MAX ? lower : first;
}

/* ---- title ---- */
/* Whether a part of a title is the site: its name, or the name in its host (example in
 * www.example.co.uk). */
static bool is_site(const struct meta_reader *r, struct str part)
{
    char squeezed[64];
    size_t len = 0;
    part = str_trim(part);
    if (r->out->site.len && meta_same_words(part, r->out->site))
        return true;
    struct str host = link_host(r->url.len ? r->url : r->out->canonical);
    for (size_t i = 0; i < part.len && len < sizeof squeezed; i++) {
        char c = part.ptr[i];
        c = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        if ((unsigned char)c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            squeezed[len++] = c;
    }
    char plain[128];
    size_t plain_len = 0;
    for (size_t i = 0; i < host.len && plain_len < sizeof plain; i++)
        if (host.ptr[i] != '-')
            plain[plain_len++] =
                (char)(host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? host.ptr[i] + 32 : host.ptr[i]);
    return len >= 3 &&
           str_find((struct str){plain, plain_len}, (struct str){squeezed, len}) != SIZE_MAX;
}

/* The separator at s: its length, 0 when none. Dashes need blanks around them, bars do not. */
static size_t separator_at(struct str s)
{
    static const char *const signs[] = {" | ",  " - ", " – ", " — ", " · ", " • ", " » ", " « ",
                                        " :: ", " / ", "｜",  " ⋅ ", " ~ ", " › ", "|",   " : "};
    for (size_t i = 0; i < COUNT_OF(signs); i++)
        if (str_starts(s, signs[i]))
            return strlen(signs[i]);
    return 0;
}

/* Takes the site's name off either end of a title, as often as it stands there. */
static struct str without_site(const struct meta_reader *r, struct str title)
{
    for (bool again = true; again;) {
        again = false;
        size_t first = SIZE_MAX, first_end = 0, last = SIZE_MAX, last_end = 0;
        for (size_t i = 0; i < title.len; i++) {
            size_t len = separator_at(str_slice(title, i, title.len));
            if (!len)
                continue;
            if (first == SIZE_MAX) {
                first = i;
                first_end = i + len;
            }
            last = i;
            last_end = i + len;
            i += len - 1;
        }
        if (last == SIZE_MAX)
            break;
        if (is_site(r, str_slice(title, last_end, title.len)) && last > 0) {
            title = str_trim(str_slice(title, 0, last));
            again = true;
        } else if (is_site(r, str_slice(title, 0, first)) && first_end < title.len) {
            title = str_trim(str_slice(title, first_end, title.len));
            again = true;
        }
    }
    return title;
}

static uint64_t fold_word(struct str title, size_t *at)
{
    uint64_t hash = 0;
    while (*at < title.len) {
        uint32_t cp;
        *at += (size_t)utf8_decode(title.ptr + *at, title.ptr + title.len, &cp);
        bool word = uc_is_letter(cp) || uc_is_number(cp);
        if (!word && hash)
            return hash;
        if (word)
            hash = hash_mix(hash ^ uc_lower(cp)) | 1;
        if (word && uc_is_spaceless(cp))
            return hash;
    }
    return hash;
}

/* The share of the words of part that stand in whole. */
static double shared_words(struct str part, struct str whole)
{
    int words = 0, found = 0;
    uint64_t word, other;
    for (size_t at = 0; (word = fold_word(part, &at)) != 0 && words < TITLE_WORDS_MAX; words++)
        for (size_t i = 0; (other = fold_word(whole, &i)) != 0;)
            if (word == other) {
                found++;
                break;
            }
    return words ? (double)found / words : 0;
}

/* Signs that programs put around headings: permalinks, the forum's word for a topic. */
static struct str without_trimmings(struct str s)
{
    static const char *const head[] = {"Thread: ", "View topic - ", "Topic: ", "Subject: "};
    static const char *const tail[] = {"\xC2\xB6", "#", "\xE2\x80\x8B", ":"};
    for (size_t i = 0; i < COUNT_OF(head); i++)
        if (str_starts(s, head[i]))
            s = str_slice(s, strlen(head[i]), s.len);
    for (size_t i = 0; i < COUNT_OF(tail); i++)
        if (s.len > TITLE_PART_MIN && str_ends(s, tail[i]))
            s = str_trim(str_slice(s, 0, s.len - strlen(tail[i])));
    return s;
}

/* The headline of an article by JSON-LD; else the h1, as long as it is about what the title tag or
 * og:title is about (a shop's first h1 may be a question, a home page's a slogan); else these. */
void meta_read_title(struct meta_reader *r)
{
    static const char *const og[] = {"og:title",      "twitter:title", "citation_title", "dc.title",
                                     "dcterms.title", "parsely-title", "sailthru.title", NULL};
    struct str json = without_site(r, meta_clean(r, r->a, r->json.headline, META_TITLE_MAX));
    struct str whole = meta_clean(r, r->a, r->page->title, META_TITLE_MAX);
    struct str tag = without_site(r, whole), h1 = {0};
    struct str said = without_site(r, meta_of(r, og, META_TITLE_MAX));
    if (r->headline != UINT32_MAX)
        h1 = meta_clean(r, r->a, block_text(r->page, &r->page->block[r->headline]), META_TITLE_MAX);
    if (is_site(r, said) && (h1.len || tag.len)) /* some name only the site there */
        said = (struct str){0};
    if (is_site(r, h1) && tag.len)
        h1 = (struct str){0};
    if (h1.len && (tag.len || said.len) && shared_words(h1, whole) < TITLE_SHARED &&
        shared_words(h1, said) < TITLE_SHARED)
        h1 = (struct str){0};
    struct str order[] = {r->json.rank >= 7 ? json : (struct str){0}, h1, said, tag, json};
    for (size_t i = 0; i < COUNT_OF(order) && !r->out->title.len; i++)
        r->out->title = without_trimmings(order[i]);
}
