/* addresses - links of a page: resolved against the page's own address, and told by host. */
#include "extract/metadata.h"

enum { SEGMENTS_MAX = 256 };

struct address {
    struct str scheme, authority, path, query;
    bool has_authority, has_query;
};

static bool is_alpha(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/* "scheme:" at the start: its length without the colon, 0 when there is none. */
static size_t scheme_length(struct str s)
{
    size_t i = 0;
    while (i < s.len && (is_alpha(s.ptr[i]) ||
                         (i > 0 && ((s.ptr[i] >= '0' && s.ptr[i] <= '9') || s.ptr[i] == '+' ||
                                    s.ptr[i] == '-' || s.ptr[i] == '.'))))
        i++;
    return i > 0 && i < s.len && s.ptr[i] == ':' ? i : 0;
}

/* RFC 3986, appendix B, fragment cut off. */
static struct address address_split(struct str s)
{
    struct address out = {0};
    size_t hash = str_find_char(s, '#');
    s = str_slice(s, 0, hash < s.len ? hash : s.len);
    size_t scheme = scheme_length(s);
    if (scheme) {
        out.scheme = str_slice(s, 0, scheme);
        s = str_slice(s, scheme + 1, s.len);
    }
    size_t query = str_find_char(s, '?');
    if (query != SIZE_MAX) {
        out.query = str_slice(s, query + 1, s.len);
        out.has_query = true;
        s = str_slice(s, 0, query);
    }
    if (str_starts(s, "//")) {
        s = str_slice(s, 2, s.len);
        size_t slash = str_find_char(s, '/');
        out.authority = str_slice(s, 0, slash < s.len ? slash : s.len);
        out.has_authority = true;
        s = str_slice(s, out.authority.len, s.len);
    }
    out.path = s;
    return out;
}

/* RFC 3986, 5.2.4; a path in its parts, "." and ".." taken out. Writes at most path.len + 1 bytes.
 */
static size_t put_path(char *to, struct str path)
{
    size_t start[SEGMENTS_MAX], count = 0, len = 0;
    bool slash = path.len > 0 && path.ptr[0] == '/';
    struct str rest = slash ? str_slice(path, 1, path.len) : path;
    bool more = path.len > 0;
    while (more) {
        struct str segment = str_cut(rest, '/', &rest);
        more = rest.ptr != NULL;
        bool up = str_is(segment, "..");
        if (up && count > 0)
            len = start[--count];
        if (up || str_is(segment, ".")) {
            if (!more) /* the path ends in a folder */
                to[len++] = '/';
            continue;
        }
        if (count < SEGMENTS_MAX)
            start[count++] = len;
        to[len++] = '/';
        memcpy(to + len, segment.ptr, segment.len);
        len += segment.len;
    }
    if (len == 0)
        to[len++] = '/';
    return len;
}

static size_t put(char *to, struct str s)
{
    if (s.len)
        memcpy(to, s.ptr, s.len);
    return s.len;
}

struct str link_resolve(struct arena *a, struct str base, struct str ref)
{
    struct address b = address_split(str_trim(base)), r = address_split(str_trim(ref)), t = r;
    bool http = str_eq_nocase(b.scheme, STR("http")) || str_eq_nocase(b.scheme, STR("https"));
    char merged[META_URL_MAX * 2 + 2], out[META_URL_MAX * 2 + 16];
    size_t len = 0;
    if (base.len > META_URL_MAX || ref.len > META_URL_MAX)
        return (struct str){0};
    if (!r.scheme.len) {
        if (!http)
            return (struct str){0};
        t.scheme = b.scheme;
        if (!r.has_authority) {
            t.authority = b.authority;
            t.has_authority = b.has_authority;
            if (!r.path.len) {
                t.path = b.path;
                if (!r.has_query) {
                    t.query = b.query;
                    t.has_query = b.has_query;
                }
            } else if (r.path.ptr[0] != '/') {
                size_t keep = b.path.len;
                while (keep > 0 && b.path.ptr[keep - 1] != '/')
                    keep--;
                size_t size = put(merged, keep ? str_slice(b.path, 0, keep) : STR("/"));
                size += put(merged + size, r.path);
                t.path = (struct str){merged, size};
            }
        }
    }
    http = str_eq_nocase(t.scheme, STR("http")) || str_eq_nocase(t.scheme, STR("https"));
    if (!http || !t.authority.len)
        return (struct str){0};
    len += put(out, t.scheme);
    len += put(out + len, STR("://"));
    len += put(out + len, t.authority);
    len += put_path(out + len, t.path);
    if (t.has_query) {
        out[len++] = '?';
        len += put(out + len, t.query);
    }
    if (len > META_URL_MAX)
        return (struct str){0};
    for (size_t i = 0; i < len; i++) /* no address: what it would break is not worth it */
        if ((unsigned char)out[i] <= ' ' || out[i] == 0x7F)
            return (struct str){0};
    return arena_str(a, (struct str){out, len});
}

struct str link_host(struct str url)
{
    struct str host = address_split(str_trim(url)).authority;
    size_t user = str_find_char(host, '@');
    if (user != SIZE_MAX)
        host = str_slice(host, user + 1, host.len);
    if (host.len && host.ptr[0] == '[') {
        size_t end = str_find_char(host, ']');
        return str_slice(host, 1, end < host.len ? end : host.len);
    }
    size_t port = str_find_char(host, ':');
    host = str_slice(host, 0, port < host.len ? port : host.len);
    return str_starts_nocase(host, "www.") ? str_slice(host, 4, host.len) : host;
}

static bool is_below(struct str host, struct str parent)
{
    size_t more = host.len - parent.len;
    return host.len > parent.len && host.ptr[more - 1] == '.' &&
           str_eq_nocase(str_slice(host, more, host.len), parent);
}

bool link_same_site(struct str host, struct str other)
{
    return str_eq_nocase(host, other) || is_below(host, other) || is_below(other, host);
}
