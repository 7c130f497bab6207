/* s3_sign - canonical request, string to sign and signature of AWS Signature Version 4. */
#include "crawl/s3_sign.h"

#include "core/err.h"
#include "core/hash.h"

#include <stdio.h>

enum { DAY_CHARS = 8, SECRET_MAX = 1024 };

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void sign_encode(struct buf *to, struct str raw, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        if (is_unreserved(raw.ptr[i]) || (keep_slash && c == '/'))
            buf_char(to, raw.ptr[i]);
        else
            buf_add(to, (char[3]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

/* Where a pair's canonical name and value lie in a buffer. */
struct place {
    size_t name, name_len, value, value_len;
};

static struct str at(const struct buf *b, size_t start, size_t len)
{
    return len ? (struct str){b->ptr + start, len} : (struct str){0};
}

/* By name, then by value, or, for headers, in the order given. A few pairs: insertion sort. */
static void sort_places(const struct buf *b, struct place *place, size_t count, bool by_value)
{
    for (size_t i = 1; i < count; i++) {
        struct place one = place[i];
        size_t k = i;
        for (; k > 0; k--) {
            const struct place *before = &place[k - 1];
            int order =
                str_cmp(at(b, before->name, before->name_len), at(b, one.name, one.name_len));
            if (order == 0 && by_value)
                order = str_cmp(at(b, before->value, before->value_len),
                                at(b, one.value, one.value_len));
            if (order <= 0)
                break;
            place[k] = place[k - 1];
        }
        place[k] = one;
    }
}

static int check_count(size_t count, const char *what)
{
    if (count > SIGN_PAIRS_MAX)
        return err_set(ERR_LIMIT, "s3: a request with %zu %s; at most %d can be signed", count,
                       what, SIGN_PAIRS_MAX);
    return 0;
}

static int check_buf(const struct buf *b)
{
    return b->failed ? err_set(ERR_LIMIT, "s3: no memory to sign a request") : 0;
}

int sign_query(struct buf *to, const struct sign_pair *query, size_t count)
{
    struct place place[SIGN_PAIRS_MAX];
    struct buf text = {0};
    TRY(check_count(count, "query parameters"));
    for (size_t i = 0; i < count; i++) {
        place[i].name = text.len;
        sign_encode(&text, query[i].name, false);
        place[i].name_len = text.len - place[i].name;
        place[i].value = text.len;
        sign_encode(&text, query[i].value, false);
        place[i].value_len = text.len - place[i].value;
    }
    int rc = check_buf(&text);
    if (rc == 0) {
        sort_places(&text, place, count, true);
        for (size_t i = 0; i < count; i++) {
            if (i)
                buf_char(to, '&');
            buf_str(to, at(&text, place[i].name, place[i].name_len));
            buf_char(to, '=');
            buf_str(to, at(&text, place[i].value, place[i].value_len));
        }
        rc = check_buf(to);
    }
    buf_free(&text);
    return rc;
}

/* Blanks at both ends go, runs of them (line folds included) become one. */
static void add_header_value(struct buf *to, struct str value)
{
    bool blank = false;
    value = str_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        bool is_blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (is_blank && !blank)
            buf_char(to, ' ');
        else if (!is_blank)
            buf_char(to, c);
        blank = is_blank;
    }
}

static int add_headers(struct buf *to, struct buf *names, const struct sign_request *r)
{
    struct place place[SIGN_PAIRS_MAX];
    struct buf text = {0};
    TRY(check_count(r->header_count, "headers"));
    for (size_t i = 0; i < r->header_count; i++) {
        struct str name = r->header[i].name;
        place[i].name = text.len;
        for (size_t j = 0; j < name.len; j++) {
            char c = name.ptr[j];
            buf_char(&text, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
        }
        place[i].name_len = text.len - place[i].name;
        place[i].value = text.len;
        add_header_value(&text, r->header[i].value);
        place[i].value_len = text.len - place[i].value;
    }
    int rc = check_buf(&text);
    if (rc == 0)
        sort_places(&text, place, r->header_count, false);
    for (size_t i = 0; rc == 0 && i < r->header_count; i++) {
        struct str name = at(&text, place[i].name, place[i].name_len);
        bool same = i && str_eq(name, at(&text, place[i - 1].name, place[i - 1].name_len));
        if (!same) {
            if (i) {
                buf_char(to, '\n');
                buf_char(names, ';');
            }
            buf_str(to, name);
            buf_str(names, name);
        }
        buf_char(to, same ? ',' : ':');
        buf_str(to, at(&text, place[i].value, place[i].value_len));
    }
    buf_char(to, '\n');
    buf_free(&text);
    return rc;
}

int sign_canonical(struct buf *to, struct buf *names, const struct sign_request *r)
{
    buf_text(to, r->method);
    buf_char(to, '\n');
    sign_encode(to, r->path, true);
    buf_char(to, '\n');
    TRY(sign_query(to, r->query, r->query_count));
    buf_char(to, '\n');
    TRY(add_headers(to, names, r));
    buf_char(to, '\n');
    buf_str(to, buf_view(names));
    buf_char(to, '\n');
    buf_text(to, r->payload);
    TRY(check_buf(names));
    return check_buf(to);
}

static void add_scope(struct buf *to, const struct sign_scope *s)
{
    buf_printf(to, "%.*s/%s/%s/aws4_request", DAY_CHARS, s->time, s->region, s->service);
}

void sign_string(struct buf *to, const struct sign_scope *scope, struct str canonical)
{
    char hex[65];
    sha256_hex(canonical.ptr, canonical.len, hex);
    buf_printf(to, "AWS4-HMAC-SHA256\n%s\n", scope->time);
    add_scope(to, scope);
    buf_printf(to, "\n%s", hex);
}

int sign_signature(char out[65], const struct sign_scope *scope, struct str secret,
                   struct str string)
{
    char first[SECRET_MAX + 4];
    unsigned char key[2][32];
    if (secret.len > SECRET_MAX)
        return err_set(ERR_USAGE, "s3: a secret key of %zu bytes; %d are the most", secret.len,
                       SECRET_MAX);
    memcpy(first, "AWS4", 4);
    if (secret.len)
        memcpy(first + 4, secret.ptr, secret.len);
    struct str step[] = {{scope->time, DAY_CHARS},
                         str_of(scope->region),
                         str_of(scope->service),
                         STR("aws4_request"),
                         string};
    int rc = hmac_sha256((struct str){first, secret.len + 4}, step[0], key[0]);
    for (size_t i = 1; i < COUNT_OF(step) && rc == 0; i++)
        rc = hmac_sha256((struct str){(const char *)key[(i - 1) % 2], 32}, step[i], key[i % 2]);
    for (int i = 0; i < 32 && rc == 0; i++)
        snprintf(out + i * 2, 3, "%02x", key[(COUNT_OF(step) - 1) % 2][i]);
    explicit_bzero(first, sizeof first);
    explicit_bzero(key, sizeof key);
    return rc;
}

int sign_authorize(struct buf *to, const struct sign_request *r, const struct sign_scope *scope,
                   struct str key_id, struct str secret)
{
    struct buf canonical = {0}, names = {0}, string = {0};
    char signature[65];
    int rc = sign_canonical(&canonical, &names, r);
    if (rc == 0)
        sign_string(&string, scope, buf_view(&canonical));
    if (rc == 0)
        rc = check_buf(&string);
    if (rc == 0)
        rc = sign_signature(signature, scope, secret, buf_view(&string));
    if (rc == 0) {
        buf_printf(to, "AWS4-HMAC-SHA256 Credential=%.*s/", STR_ARG(key_id));
        add_scope(to, scope);
        buf_printf(to, ", SignedHeaders=%.*s, Signature=%s", STR_ARG(names), signature);
        rc = check_buf(to);
    }
    buf_free(&canonical);
    buf_free(&names);
    buf_free(&string);
    return rc;
}
