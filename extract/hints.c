/* hints - what tells a page's kind: its address, the software that made it, its outermost names. */
/* Read by the forest of kinds alone (model.c): a block's judgement gets it as seven probabilities,
 * so that no block is judged by the site it stands on. Without an address the page's own one is
 * taken (canonical link, og:url); without any the numbers are those of an empty path. */
#include "extract/judge.h"

#include <assert.h>

enum { TOKEN_BYTES = 24, CALL_WORDS = 4, WIDE_SHARE = 8, DEEP_MAX = 16 };

/* Words of paths and host names, by the kind of page they stand for. */
static const char *const address_words[HINT_SETS] = {
    "forum forums thread threads topic topics community communities discuss discussion discussions "
    "viewtopic showthread questions question talk bbs comments board boards answers t r u "
    "forumdisplay messageboard",
    "product products item items itm p pr dp app sku prod buy detail",
    "collection collections category categories c b catalog shop store browse genre plp "
    "departments cat subcategory",
    "tag tags list lists directory search results archive archives index chart charts top best "
    "listing listings jobs browse categories category author page",
    "docs doc documentation api reference manual wiki guide guides man latest stable tutorial "
    "tutorials userguide dev developer developers sdk readme learn book",
    "blog blogs news article articles story stories post posts opinion magazine press journal "
    "politics business sports world science health tech technology entertainment",
    "services service about pricing solutions features platform company contact plans why use "
    "products careers software enterprise",
};

/* Words of a generator's name. */
static const char *const generator_words[] = {
    "discourse vbulletin xenforo phpbb mybb flarum invision vanilla smf punbb fluxbb nodebb",
    "docusaurus mkdocs sphinx hugo gitbook mediawiki docfx vitepress vuepress javadoc doxygen "
    "antora mdbook dokuwiki asciidoctor jekyll docbook",
    "woocommerce shopify prestashop magento opencart bigcommerce shopware squarespace",
    "wordpress ghost blogger drupal joomla typepad medium movable",
};

static const char *const calls[] = {
    "cart basket bag buy warenkorb panier carrito cesta carrello winkelwagen koszyka",
    "reply quote joined replies upvote posts antworten citer responder zitieren cytuj",
};

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* Whether one of the blank-separated words, which are lower case, is the token, case aside. */
static bool listed(const char *words, struct str token)
{
    if (token.len == 0 || token.len > TOKEN_BYTES)
        return false;
    for (struct str rest = str_of(words); rest.ptr;)
        if (str_eq_nocase(str_cut(rest, ' ', &rest), token))
            return true;
    return false;
}

/* The next run of letters and digits of *rest; empty at the end. */
static struct str next_token(struct str *rest)
{
    size_t from = 0;
    while (from < rest->len && !is_alnum(rest->ptr[from]))
        from++;
    size_t to = from;
    while (to < rest->len && is_alnum(rest->ptr[to]))
        to++;
    struct str token = str_slice(*rest, from, to);
    *rest = str_slice(*rest, to, rest->len);
    return token;
}

static bool any_listed(const char *words, struct str text)
{
    struct str token;
    while ((token = next_token(&text)).len)
        if (listed(words, token))
            return true;
    return false;
}

/* ---- the address ---- */
static struct str address_of(const struct page *p, const struct asides *asides)
{
    if (p->url.len)
        return p->url;
    for (uint32_t i = 0; asides && i < asides->count; i++)
        if (asides->list[i].kind == ASIDE_LINK &&
            str_eq_nocase(asides->list[i].name, STR("canonical")))
            return str_trim(asides->list[i].value);
    const struct aside *og = asides ? asides_find(asides, ASIDE_META, "og:url") : NULL;
    return og ? str_trim(og->value) : (struct str){0};
}

struct address {
    struct str host, path;
};

static struct address address_parts(struct str url)
{
    size_t scheme = str_find(url, STR("//"));
    struct address out = {.path = url};
    if (scheme != SIZE_MAX && scheme < 8) {
        out.path = str_slice(url, scheme + 2, url.len);
        size_t slash = 0;
        while (slash < out.path.len && !strchr("/?#", out.path.ptr[slash]))
            slash++;
        out.host = str_slice(out.path, 0, slash);
        out.path = str_slice(out.path, slash, out.path.len);
    }
    size_t end = 0;
    while (end < out.path.len && out.path.ptr[end] != '?' && out.path.ptr[end] != '#')
        end++;
    out.path = str_slice(out.path, 0, end);
    return out;
}

static bool is_year(struct str segment)
{
    uint64_t year;
    return segment.len == 4 && str_u64(segment, &year) && year >= 1900 && year < 2100;
}

static float *put_address(float *f, struct str url)
{
    const struct address at = address_parts(url);
    struct str segment = {0}, last = {0}, rest = at.path;
    float *whole = f + 2 * HINT_SETS;
    float segments = 0, dated = 0, joints = 0, digits = 0;
    for (int i = 0; i < HINT_SETS; i++) {
        f[i] = any_listed(address_words[i], at.host);
        f[HINT_SETS + i] = any_listed(address_words[i], at.path);
        whole[i] = 0;
    }
    for (int n = 0; rest.ptr && n < DEEP_MAX; n++) {
        segment = str_cut(rest, '/', &rest);
        if (segment.len == 0)
            continue;
        segments++;
        dated = is_year(segment) ? 1 : dated;
        last = segment;
        for (int i = 0; i < HINT_SETS; i++)
            whole[i] = listed(address_words[i], segment) ? 1 : whole[i];
    }
    for (size_t i = 0; i < last.len; i++) {
        joints += last.ptr[i] == '-' || last.ptr[i] == '_';
        digits += last.ptr[i] >= '0' && last.ptr[i] <= '9';
    }
    f += 3 * HINT_SETS;
    *f++ = segments;
    *f++ = joints;
    *f++ = (float)last.len;
    *f++ = digits;
    *f++ = dated;
    *f++ = str_find_char(last, '.') != SIZE_MAX;
    return f;
}

/* ---- names ---- */
static float *put_generator(float *f, const struct asides *asides)
{
    const struct aside *made = asides ? asides_find(asides, ASIDE_META, "generator") : NULL;
    for (size_t i = 0; i < COUNT_OF(generator_words); i++)
        *f++ = made && any_listed(generator_words[i], made->value);
    return f;
}

/* Classes of <body> and of what holds nearly all of the page: "single-product", "archive". */
static float *put_outermost(float *f, const struct page *p)
{
    static const uint8_t cues[HINT_OUTER] = {CUE_FORUM, CUE_PRODUCT, CUE_LIST, CUE_ARTICLE,
                                             CUE_DOCS,  CUE_REVIEW,  CUE_HERO, CUE_TAGS};
    uint32_t all = 0;
    for (uint32_t i = 0; i < p->node_count; i++)
        if ((uint64_t)p->node[i].chars * 10 > p->chars * WIDE_SHARE)
            all |= p->node[i].cues;
    for (size_t i = 0; i < HINT_OUTER; i++)
        *f++ = (float)(all >> cues[i] & 1);
    return f;
}

/* How much of the page stands below names of each sort. */
static float *put_shares(float *f, const struct page *p, const struct aspect *aspect)
{
    static const uint8_t cues[HINT_SHARES] = {
        CUE_FORUM,   CUE_PRODUCT, CUE_LIST, CUE_ITEM, CUE_ARTICLE, CUE_DOCS,
        CUE_COMMENT, CUE_REVIEW,  CUE_CODE, CUE_HERO, CUE_AUTHOR,  CUE_TEXT,
    };
    uint64_t chars[HINT_SHARES] = {0};
    for (uint32_t i = 0; i < p->block_count; i++) {
        const struct block *b = &p->block[i];
        for (size_t c = 0; c < HINT_SHARES; c++)
            if (aspect[b->node].near[cues[c]] < NEAR_NONE)
                chars[c] += b->chars;
    }
    for (size_t c = 0; c < HINT_SHARES; c++)
        *f++ = p->chars ? (float)((double)chars[c] / (double)p->chars) : 0.0f;
    return f;
}

/* Short lines that call for something: one "Add to cart" is a product, thirty are a shelf. */
static float *put_calls(float *f, const struct page *p)
{
    uint32_t count[COUNT_OF(calls)] = {0};
    for (uint32_t i = 0; i < p->block_count; i++)
        for (size_t c = 0; c < COUNT_OF(calls) && p->block[i].words <= CALL_WORDS; c++)
            count[c] += any_listed(calls[c], block_text(p, &p->block[i]));
    for (size_t c = 0; c < COUNT_OF(calls); c++)
        *f++ = (float)count[c];
    return f;
}

float *hints_page(float *f, const struct page *p, const struct asides *asides,
                  const struct aspect *aspect)
{
    const float *start = f;
    f = put_address(f, address_of(p, asides));
    f = put_generator(f, asides);
    f = put_outermost(f, p);
    f = put_shares(f, p, aspect);
    f = put_calls(f, p);
    assert(f - start == HINTS_PAGE);
    UNUSED(start);
    return f;
}
