/* jsonld - what JSON-LD says of a page: the thing it is about, by schema.org's types. */
/* A page often carries several things (site, organisation, breadcrumbs, the article). The one that
 * is the page is told by its type; at the same rank the first one wins. Only places where that
 * thing stands are looked at: the top, @graph and mainEntity; what is nested deeper is about others
 * (comments, related articles, products of a list). */
#include "core/err.h"
#include "extract/metadata.h"

enum {
    THINGS_MAX = 256, /* objects looked at */
    AUTHORS_MAX = 8,
    SCRIPT_MAX = 2 << 20, /* bytes; parsing takes arena of about ten times */
};

struct graph {
    const struct json *thing[THINGS_MAX];
    uint32_t count;
};

/* ---- reading a script ---- */
static struct str strip_wrappers(struct str s)
{
    static const char *const head[] = {"<!--",          "//<![CDATA[",     "// <![CDATA[",
                                       "/*<![CDATA[*/", "/* <![CDATA[ */", "<![CDATA[",
                                       "\xEF\xBB\xBF"};
    static const char *const tail[] = {"-->",     "//-->",     "//]]>", "// ]]>",
                                       "/*]]>*/", "/* ]]> */", "]]>",   ";"};
    for (bool again = true; again;) {
        again = false;
        s = str_trim(s);
        for (size_t i = 0; i < COUNT_OF(head); i++)
            if (str_starts(s, head[i])) {
                s = str_slice(s, strlen(head[i]), s.len);
                again = true;
            }
        for (size_t i = 0; i < COUNT_OF(tail); i++)
            if (str_ends(s, tail[i])) {
                s = str_slice(s, 0, s.len - strlen(tail[i]));
                again = true;
            }
    }
    return s;
}

/* A copy in which a strict reader finds no fault that templates commonly make: raw line ends and
 * tabs in strings, \' and other escapes that are none, commas before a closing bracket. */
static struct str repair(struct arena *a, struct str s)
{
    char *out = arena_push(a, s.len + 1, 1);
    size_t len = 0;
    bool in_string = false;
    for (size_t i = 0; out && i < s.len; i++) {
        char c = s.ptr[i];
        if (in_string && c == '\\' && i + 1 < s.len) {
            char next = s.ptr[++i];
            if (memchr("\"\\/bfnrtu", next, 9))
                out[len++] = '\\';
            c = next;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == '}' || c == ']')) {
            size_t back = len;
            while (back > 0 && (unsigned char)out[back - 1] <= ' ')
                back--;
            if (back > 0 && out[back - 1] == ',')
                len = back - 1;
        }
        out[len++] = (unsigned char)c < ' ' ? ' ' : c;
    }
    return (struct str){out, out ? len : 0};
}

const struct json *jsonld_parse(struct arena *a, struct str script)
{
    struct json *value = NULL;
    script = strip_wrappers(script);
    if (script.len == 0 || script.len > SCRIPT_MAX)
        return NULL;
    size_t mark = arena_mark(a);
    if (json_parse(a, script, &value) >= 0)
        return value;
    err_clear();
    arena_reset(a, mark);
    if (json_parse(a, repair(a, script), &value) >= 0)
        return value;
    err_clear();
    arena_reset(a, mark);
    return NULL;
}

/* ---- finding the things ---- */
static bool has_type(const struct json *thing, const char *name)
{
    return str_is(json_str(thing, "@type", (struct str){0}), name);
}

static void add_thing(struct graph *g, const struct json *value)
{
    if (value && value->type == JSON_OBJECT && g->count < THINGS_MAX)
        g->thing[g->count++] = value;
}

static void add_all(struct graph *g, const struct json *value)
{
    if (value && value->type == JSON_ARRAY)
        for (const struct json *child = value->child; child; child = child->next)
            add_thing(g, child);
    else
        add_thing(g, value);
}

/* Behind each thing those of its @graph and mainEntity, so that the list grows while it is read. */
static void collect(struct graph *g, const struct json *root)
{
    uint32_t next = g->count;
    add_all(g, root);
    for (; next < g->count; next++) {
        const struct json *thing = g->thing[next];
        add_all(g, json_get(thing, "@graph"));
        if (!has_type(thing, "FAQPage")) /* its questions are parts, none of them the page */
            add_all(g, json_get(thing, "mainEntity"));
        const struct json *of = json_get(thing, "mainEntityOfPage");
        if (of && of->type == JSON_OBJECT && json_get(of, "mainEntity"))
            add_all(g, json_get(of, "mainEntity"));
    }
}

/* ---- types ---- */
static int rank_of_name(struct str type)
{
    static const struct {
        const char *name;
        int rank;
    } exact[] = {
        {"Question", 8},
        {"QAPage", 7},
        {"Recipe", 8},
        {"HowTo", 6},
        {"Product", 7},
        {"ProductGroup", 7},
        {"Event", 7},
        {"JobPosting", 7},
        {"Book", 6},
        {"Movie", 6},
        {"Course", 6},
        {"Dataset", 6},
        {"VideoObject", 4},
        {"SoftwareApplication", 6},
        {"SoftwareSourceCode", 6},
        {"Report", 8},
        {"Review", 5},
        {"CreativeWork", 5},
        {"Service", 5},
        {"APIReference", 8},
        {"PodcastEpisode", 6},
        {"FAQPage", 3},
        {"AboutPage", 3},
        {"ItemPage", 3},
        {"CollectionPage", 3},
        {"ProfilePage", 3},
        {"ContactPage", 3},
        {"WebPage", 3},
    };
    struct str prefix = STR("http://schema.org/");
    if (str_starts(type, "https://schema.org/"))
        type = str_slice(type, prefix.len + 1, type.len);
    else if (str_starts(type, prefix.ptr))
        type = str_slice(type, prefix.len, type.len);
    if (str_ends(type, "Article") || str_ends(type, "Posting") || str_ends(type, "ArticleObject"))
        return str_is(type, "JobPosting") ? 7 : 9;
    for (size_t i = 0; i < COUNT_OF(exact); i++)
        if (str_is(type, exact[i].name))
            return exact[i].rank;
    return 0;
}

static int rank_of(const struct json *thing)
{
    const struct json *type = json_get(thing, "@type");
    int best = 0;
    if (type && type->type == JSON_STRING)
        return rank_of_name(type->string);
    for (const struct json *t = type && type->type == JSON_ARRAY ? type->child : NULL; t;
         t = t->next)
        if (t->type == JSON_STRING && rank_of_name(t->string) > best)
            best = rank_of_name(t->string);
    return best;
}

/* ---- members ---- */
static const struct json *by_id(const struct graph *g, struct str id)
{
    for (uint32_t i = 0; id.len && i < g->count; i++)
        if (json_get(g->thing[i], "name") &&
            str_eq(json_str(g->thing[i], "@id", (struct str){0}), id))
            return g->thing[i];
    return NULL;
}

/* A member that is text, or a language-tagged {"@value": text}, or the first of a list of these. */
static struct str text_of(const struct json *thing, const char *key)
{
    const struct json *value = json_get(thing, key);
    if (value && value->type == JSON_ARRAY)
        value = value->child;
    if (value && value->type == JSON_OBJECT)
        value = json_get(value, "@value");
    return value && value->type == JSON_STRING ? str_trim(value->string) : (struct str){0};
}

static struct str name_of(struct arena *a, const struct graph *g, const struct json *who)
{
    struct str name = {0};
    if (who->type == JSON_STRING)
        return str_trim(who->string);
    if (who->type != JSON_OBJECT)
        return name;
    name = text_of(who, "name");
    const struct json *other = name.len ? NULL : by_id(g, json_str(who, "@id", (struct str){0}));
    if (other)
        name = text_of(other, "name");
    struct str given = text_of(who, "givenName"), family = text_of(who, "familyName");
    if (!name.len && given.len && family.len) {
        char *both = arena_push(a, given.len + family.len + 1, 1);
        if (both) {
            memcpy(both, given.ptr, given.len);
            both[given.len] = ' ';
            memcpy(both + given.len + 1, family.ptr, family.len);
            name = (struct str){both, given.len + family.len + 1};
        }
    }
    return name;
}

/* Names of one or several people or organisations, joined by "; ". */
static struct str names_of(struct arena *a, const struct graph *g, const struct json *thing,
                           const char *key)
{
    const struct json *who = json_get(thing, key);
    struct str name[AUTHORS_MAX] = {{0}};
    uint32_t count = 0;
    size_t total = 0;
    const struct json *first = who && who->type == JSON_ARRAY ? who->child : who;
    for (const struct json *one = first; one && count < AUTHORS_MAX; one = one->next) {
        name[count] = name_of(a, g, one);
        bool seen = name[count].len == 0 || name[count].len > META_AUTHOR_MAX;
        for (uint32_t i = 0; i < count && !seen; i++)
            seen = str_eq(name[i], name[count]);
        if (!seen)
            total += name[count++].len + 2;
        if (first == who)
            break;
    }
    if (count < 2)
        return count ? name[0] : (struct str){0};
    char *out = arena_push(a, total, 1);
    size_t len = 0;
    for (uint32_t i = 0; out && i < count; i++) {
        if (i > 0) {
            memcpy(out + len, "; ", 2);
            len += 2;
        }
        memcpy(out + len, name[i].ptr, name[i].len);
        len += name[i].len;
    }
    return (struct str){out, out ? len : 0};
}

static struct str url_of(const struct json *thing, const char *key)
{
    struct str url = text_of(thing, key);
    const struct json *value = json_get(thing, key);
    if (!url.len && value && value->type == JSON_OBJECT) {
        url = text_of(value, "url");
        url = url.len ? url : json_str(value, "@id", (struct str){0});
    }
    return url;
}

static void prefer(struct str *to, struct str from)
{
    if (!to->len)
        *to = from;
}

static void read_thing(struct arena *a, const struct graph *g, const struct json *thing, int rank,
                       struct jsonld *out)
{
    prefer(&out->headline, text_of(thing, "headline"));
    if (rank > 3 || !text_of(thing, "headline").len)
        prefer(&out->headline, text_of(thing, "name"));
    prefer(&out->author, names_of(a, g, thing, "author"));
    prefer(&out->author, rank >= 5 ? names_of(a, g, thing, "creator") : (struct str){0});
    prefer(&out->published, text_of(thing, "datePublished"));
    prefer(&out->published, text_of(thing, "datePosted"));
    prefer(&out->published, text_of(thing, "uploadDate"));
    prefer(&out->created, text_of(thing, "dateCreated"));
    prefer(&out->modified, text_of(thing, "dateModified"));
    prefer(&out->language, text_of(thing, "inLanguage"));
    prefer(&out->description, text_of(thing, "description"));
    prefer(&out->licence, url_of(thing, "license"));
}

void jsonld_read(struct arena *a, const struct str *script, uint32_t count, struct jsonld *out)
{
    struct graph *g = arena_array_zero(a, struct graph, 1);
    *out = (struct jsonld){0};
    if (!g) {
        err_clear();
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        collect(g, jsonld_parse(a, script[i]));
    /* The surest thing first; what it leaves open, lesser ones may say. */
    for (int rank = 9; rank >= 3; rank--)
        for (uint32_t i = 0; i < g->count; i++)
            if (rank_of(g->thing[i]) == rank) {
                out->rank = out->rank ? out->rank : rank;
                out->article |= rank == 9;
                read_thing(a, g, g->thing[i], rank, out);
            }
    for (uint32_t i = 0; i < g->count; i++) {
        const struct json *publisher = json_get(g->thing[i], "publisher");
        if (has_type(g->thing[i], "WebSite"))
            prefer(&out->site, text_of(g->thing[i], "name"));
        else if (publisher && rank_of(g->thing[i]) > 3)
            prefer(&out->site, names_of(a, g, g->thing[i], "publisher"));
    }
}
