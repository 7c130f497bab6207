/* s3_list - which objects lie under a prefix, page by page, in one order. */
#include "crawl/s3.h"
#include "crawl/s3_sign.h"
#include "crawl/s3_xml.h"

#include "core/err.h"

#include <stdlib.h>

enum {
    PAGE_BYTES_MAX = 16 << 20, /* 1000 keys of at most 1024 bytes, percent-encoded, and more */
    URL_MAX = 8 << 10,
    KEY_MAX = 1024, /* S3's own limit */
};

struct listing {
    struct arena *arena;
    struct str bucket;
    struct s3_object *object;
    size_t count, cap;
};

static int listing_add(struct listing *l, struct str key, uint64_t bytes)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 1024;
        struct s3_object *grown = realloc(l->object, cap * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "s3: no memory for a list of %zu objects", cap);
        l->object = grown;
        l->cap = cap;
    }
    if (l->count == S3_LIST_MAX)
        return err_set(ERR_LIMIT, "s3: more than %d objects: give a longer prefix", S3_LIST_MAX);
    char url[URL_MAX];
    int len = snprintf(url, sizeof url, "s3://%.*s/%.*s", STR_ARG(l->bucket), STR_ARG(key));
    if (len < 0 || (size_t)len >= sizeof url)
        return err_set(ERR_FORMAT, "s3: a listing names a key of %zu bytes", key.len);
    const char *kept = arena_strdup(l->arena, (struct str){url, (size_t)len});
    if (!kept)
        return ERR_LIMIT;
    l->object[l->count++] = (struct s3_object){kept, bytes};
    return 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* With encoding-type=url keys come as in a form: %XX, and + for a blank (so measured of Amazon's,
 * backlot issue 178; MinIO does the same). A plus itself always comes as %2B. */
static void key_decode(struct buf *to, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
        int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
        if (text.ptr[i] == '%' && high >= 0 && low >= 0) {
            buf_char(to, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_char(to, text.ptr[i] == '+' ? ' ' : text.ptr[i]);
        }
    }
}

/* A key with a NUL or a line feed names no file of ours, and no other program writes one. */
static int add_one(struct listing *l, struct str content, bool encoded)
{
    struct buf text = {.max = 16 * KEY_MAX}, key = {.max = 16 * KEY_MAX};
    uint64_t bytes = 0;
    xml_text(&text, xml_find(content, "Key"));
    if (encoded)
        key_decode(&key, buf_view(&text));
    else
        buf_str(&key, buf_view(&text));
    bool sized = str_u64(str_trim(xml_find(content, "Size")), &bytes);
    struct str name = buf_view(&key);
    int rc = 0;
    if (key.failed || text.failed || !sized || !name.len || memchr(name.ptr, 0, name.len) ||
        memchr(name.ptr, '\n', name.len))
        rc = err_set(ERR_FORMAT,
                     "s3: the listing of bucket %.*s has an entry that is no key with "
                     "a size",
                     STR_ARG(l->bucket));
    else if (bytes || name.ptr[name.len - 1] != '/')
        rc = listing_add(l, name, bytes);
    buf_free(&text);
    buf_free(&key);
    return rc;
}

/* One page; *token becomes that of the next, empty at the end. */
static int page_read(struct listing *l, struct str page, struct buf *token)
{
    struct str rest = xml_find(page, "ListBucketResult"), content;
    if (!rest.ptr)
        return err_set(ERR_FORMAT,
                       "s3: the answer to a listing of bucket %.*s is no listing: is "
                       "the endpoint an S3 server?",
                       STR_ARG(l->bucket));
    bool encoded = str_is(xml_find(rest, "EncodingType"), "url");
    bool more = str_is(xml_find(rest, "IsTruncated"), "true");
    struct str next = xml_find(rest, "NextContinuationToken");
    while (xml_next(&rest, "Contents", &content))
        TRY(add_one(l, content, encoded));
    struct buf fresh = {.max = URL_MAX};
    xml_text(&fresh, next);
    int rc = 0;
    if (fresh.failed)
        rc = err_set(ERR_FORMAT, "s3: a listing's continuation token is too long");
    else if (more && (!fresh.len || str_eq(buf_view(&fresh), buf_view(token))))
        rc = err_set(ERR_FORMAT, "s3: the listing of bucket %.*s goes on but does not say where",
                     STR_ARG(l->bucket));
    buf_clear(token);
    if (rc == 0 && more)
        buf_str(token, buf_view(&fresh));
    buf_free(&fresh);
    return rc;
}

static int by_url(const void *a, const void *b)
{
    const struct s3_object *x = a, *y = b;
    return strcmp(x->url, y->url);
}

/* Errors speak of the URL that was asked for, not of the request made of it. */
static int ask_page(const struct fetch_conf *conf, const char *url, const char *ask, char **page,
                    size_t *len)
{
    int rc = fetch_memory(conf, ask, PAGE_BYTES_MAX, page, len);
    const char *inner = rc < 0 ? strstr(err_text(), "s3list://") : NULL;
    const char *reason = inner ? strstr(inner, ": ") : NULL;
    if (!reason)
        return rc;
    char text[1024];
    snprintf(text, sizeof text, "%s", reason + 2);
    return err_set(rc, "crawl: listing %.1000s: %s", url, text);
}

int s3_list(const struct fetch_conf *conf, const char *url, struct arena *a,
            struct s3_object **objects, size_t *count)
{
    struct str prefix, rest = str_of(url);
    struct listing l = {.arena = a};
    struct buf token = {0}, ask = {.max = URL_MAX};
    *objects = NULL;
    *count = 0;
    if (!s3_is_url(url))
        return err_set(ERR_USAGE, "s3: \"%.200s\" is no s3://bucket/prefix", url);
    l.bucket = str_cut(str_slice(rest, 5, rest.len), '/', &prefix);
    int rc = 0;
    do {
        char *page;
        size_t len;
        buf_clear(&ask);
        buf_printf(&ask, "s3list://%.*s/", STR_ARG(l.bucket));
        sign_encode(&ask, buf_view(&token), false);
        buf_char(&ask, '/');
        buf_str(&ask, prefix);
        TRY_OUT(ask_page(conf, url, buf_cstr(&ask), &page, &len));
        rc = page_read(&l, (struct str){page, len}, &token);
        free(page);
    } while (rc == 0 && token.len);
    if (rc == 0 && l.count) {
        qsort(l.object, l.count, sizeof *l.object, by_url);
        *objects = arena_array(a, struct s3_object, l.count);
        rc = *objects ? 0 : ERR_LIMIT;
    }
    if (rc == 0) {
        if (l.count)
            memcpy(*objects, l.object, l.count * sizeof *l.object);
        *count = l.count;
    }
out:
    buf_free(&token);
    buf_free(&ask);
    free(l.object);
    return rc;
}
