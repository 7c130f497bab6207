/* scope - place, patterns, types and traps of a focused crawl. */
#include "crawl/scope.h"

#include "core/err.h"
#include "core/hash.h"
#include "crawl/urlhost.h"
#include "crawl/urljoin.h"

#include <assert.h>
#include <stdlib.h>

struct scope {
    const struct scope_conf *conf;
    struct hash_set places;   /* hosts, domains or folders */
    struct hash_set patterns; /* how many URLs were taken of each */
};

/* ---- sets ---- */
enum { SET_FIRST = 1024 };

static int set_grow(struct hash_set *set)
{
    size_t room = set->room ? set->room * 2 : SET_FIRST;
    struct hash_set grown = {calloc(room, sizeof *grown.key), calloc(room, sizeof *grown.value),
                             set->used, room};
    if (!grown.key || !grown.value) {
        hash_set_free(&grown);
        return err_set(ERR_LIMIT, "crawl: no memory for %zu URLs", room);
    }
    for (size_t i = 0; i < set->room; i++) {
        size_t at = set->key[i] & (room - 1);
        if (!set->key[i])
            continue;
        while (grown.key[at])
            at = (at + 1) & (room - 1);
        grown.key[at] = set->key[i];
        grown.value[at] = set->value[i];
    }
    free(set->key);
    free(set->value);
    *set = grown;
    return 0;
}

uint32_t *hash_set_at(struct hash_set *set, uint64_t key, bool *is_new)
{
    if (2 * (set->used + 1) > set->room && set_grow(set) < 0)
        return NULL;
    key += key == 0;
    size_t at = key & (set->room - 1);
    while (set->key[at] && set->key[at] != key)
        at = (at + 1) & (set->room - 1);
    *is_new = set->key[at] == 0;
    set->used += *is_new;
    set->key[at] = key;
    return &set->value[at];
}

uint32_t hash_set_get(const struct hash_set *set, uint64_t key)
{
    key += key == 0;
    size_t at = set->room ? key & (set->room - 1) : 0;
    while (set->room && set->key[at] && set->key[at] != key)
        at = (at + 1) & (set->room - 1);
    return set->room && set->key[at] ? set->value[at] : 0;
}

void hash_set_free(struct hash_set *set)
{
    free(set->key);
    free(set->value);
    memset(set, 0, sizeof *set);
}

/* ---- places ---- */
/* Behind "http://" or "https://". */
static struct str without_scheme(struct str url)
{
    size_t n = str_find(url, STR("://"));
    return str_slice(url, n == SIZE_MAX ? 0 : n + 3, url.len);
}

static struct str path_of(struct str url)
{
    struct str target = url_target(url);
    return str_slice(target, 0, str_find_char(target, '?'));
}

int scope_seed(struct scope *s, struct str url)
{
    struct str place = without_scheme(url);
    if (s->conf->kind == SCOPE_HOST)
        place = without_scheme(url_origin(url));
    else if (s->conf->kind == SCOPE_DOMAIN)
        place = url_domain(url_host(url));
    else if (s->conf->kind == SCOPE_PREFIX) {
        size_t end = url_origin(url).len + path_of(url).len;
        while (end > 0 && url.ptr[end - 1] != '/')
            end--;
        place = without_scheme(str_slice(url, 0, end));
    }
    bool is_new;
    uint32_t *at = hash_set_at(&s->places, hash_str(place, 0), &is_new);
    if (!at)
        return ERR_LIMIT;
    *at = 1;
    return 0;
}

static bool in_place(const struct scope *s, struct str url)
{
    switch (s->conf->kind) {
    case SCOPE_ANY: return true;
    case SCOPE_HOST:
        return hash_set_get(&s->places, hash_str(without_scheme(url_origin(url)), 0)) != 0;
    case SCOPE_DOMAIN: return hash_set_get(&s->places, hash_str(url_domain(url_host(url)), 0)) != 0;
    case SCOPE_PREFIX: break;
    }
    struct str whole = without_scheme(url);
    size_t end = whole.len - url_target(url).len + path_of(url).len;
    for (size_t i = 0; i < end; i++)
        if (whole.ptr[i] == '/' &&
            hash_set_get(&s->places, hash_str(str_slice(whole, 0, i + 1), 0)))
            return true;
    return false;
}

/* ---- patterns and types ---- */
static bool matches_any(const struct opt_list *list, struct str url)
{
    for (size_t i = 0; i < list->count; i++)
        if (str_glob(list->item[i], url))
            return true;
    return false;
}

static bool is_skipped_type(const struct opt_list *list, struct str url)
{
    struct str path = path_of(url);
    size_t dot = path.len;
    while (dot > 0 && path.ptr[dot - 1] != '.' && path.ptr[dot - 1] != '/')
        dot--;
    if (dot == 0 || path.ptr[dot - 1] != '.')
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (str_eq_nocase(str_slice(path, dot, path.len), str_of(list->item[i])))
            return true;
    return false;
}

/* ---- traps ---- */
/* Too many segments, or a run of them that stands SCOPE_REPEATS_MAX times in a row. */
static bool is_pathological(struct str url)
{
    struct str path = path_of(url), segment[SCOPE_SEGMENTS_MAX + 1];
    size_t count = 0;
    path = str_slice(path, 1, path.len);
    while (path.ptr && path.len) {
        if (count > SCOPE_SEGMENTS_MAX - 1)
            return true;
        segment[count++] = str_cut(path, '/', &path);
    }
    for (size_t period = 1; period * SCOPE_REPEATS_MAX <= count; period++) {
        size_t same = 0;
        for (size_t i = period; i < count; i++) {
            same = str_eq(segment[i], segment[i - period]) ? same + 1 : 0;
            if (same == period * (SCOPE_REPEATS_MAX - 1))
                return true;
        }
    }
    return false;
}

/* Of the origin, and the target with every run of digits as one 0 and names of the query only. */
static uint64_t pattern_hash(struct str url)
{
    char text[URL_BYTES_MAX];
    size_t n = url_origin(url).len; /* digits of a host are its name */
    bool query = false, value = false;
    assert(url.len <= sizeof text);
    memcpy(text, url.ptr, n);
    for (size_t i = n; i < url.len; i++) {
        char c = url.ptr[i];
        bool digit = c >= '0' && c <= '9';
        if (query && (c == '=' || c == '&'))
            value = c == '=';
        query = query || c == '?';
        if (value && c != '=')
            continue;
        if (digit && text[n - 1] == '0')
            continue;
        text[n++] = digit ? '0' : c;
    }
    return hash64(text, n, 0);
}

void scope_count(struct scope *s, struct str url)
{
    bool is_new;
    uint32_t *seen =
        s->conf->pattern_max ? hash_set_at(&s->patterns, pattern_hash(url), &is_new) : NULL;
    if (seen && *seen < UINT32_MAX)
        ++*seen;
}

enum scope_verdict scope_judge(struct scope *s, struct str url)
{
    if (!in_place(s, url))
        return SCOPE_OUT;
    if ((s->conf->include.count && !matches_any(&s->conf->include, url)) ||
        matches_any(&s->conf->exclude, url))
        return SCOPE_EXCLUDED;
    if (is_skipped_type(&s->conf->skip_types, url))
        return SCOPE_TYPE;
    if (is_pathological(url))
        return SCOPE_TRAP;
    if (s->conf->pattern_max &&
        hash_set_get(&s->patterns, pattern_hash(url)) >= (uint64_t)s->conf->pattern_max)
        return SCOPE_TRAP;
    scope_count(s, url);
    return SCOPE_IN;
}

int scope_open(struct scope **out, const struct scope_conf *conf)
{
    *out = calloc(1, sizeof **out);
    if (!*out)
        return err_set(ERR_LIMIT, "crawl: no memory for the scope");
    (*out)->conf = conf;
    return 0;
}

void scope_close(struct scope *s)
{
    if (!s)
        return;
    hash_set_free(&s->places);
    hash_set_free(&s->patterns);
    free(s);
}
