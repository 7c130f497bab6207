/* urljoin - RFC 3986 resolution and the normal form of URLs that crawlers key on. */
#include "crawl/urljoin.h"
#include "crawl/urlhost.h"

/* Three steps: text is cleaned as browsers do, cut into the five components of RFC 3986 appendix B,
 * and put together again. Hosts are the subject of urlhost.c. */

enum { JOIN_BYTES_MAX = 4 * URL_BYTES_MAX, SEGMENTS_MAX = 512 };

/* Text on the stack; full: something did not fit. */
struct text {
    size_t len;
    bool full;
    char at[JOIN_BYTES_MAX];
};
static struct str text_view(const struct text *t) { return (struct str){t->at, t->len}; }

/* Components; ptr is NULL where the component, with its mark, is absent (path never is). */
struct parts {
    struct str scheme, authority, path, query, fragment;
};

static bool is_alpha(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_web(struct str scheme)
{
    return str_eq_nocase(scheme, STR("http")) || str_eq_nocase(scheme, STR("https"));
}
static void text_str(struct text *t, struct str s)
{
    t->full |= s.len > JOIN_BYTES_MAX - t->len;
    if (t->full || s.len == 0)
        return;
    memcpy(t->at + t->len, s.ptr, s.len);
    t->len += s.len;
}
static void text_char(struct text *t, char c) { text_str(t, (struct str){&c, 1}); }

/* ---- cutting ---- */
/* Length of the scheme in front of ':', or 0. */
static size_t scheme_length(struct str url)
{
    size_t n = 0;
    if (url.len == 0 || !is_alpha(url.ptr[0]))
        return 0;
    while (n < url.len && (is_alpha(url.ptr[n]) || is_digit(url.ptr[n]) || url.ptr[n] == '+' ||
                           url.ptr[n] == '-' || url.ptr[n] == '.'))
        n++;
    return n < url.len && url.ptr[n] == ':' ? n : 0;
}

/* Everything behind the scheme. Browsers take any number of slashes for two. */
static void cut_hierarchy(struct str rest, bool web, struct parts *out)
{
    size_t hash = str_find_char(rest, '#');
    if (hash != SIZE_MAX)
        out->fragment = str_slice(rest, hash + 1, rest.len);
    rest = str_slice(rest, 0, hash);
    size_t mark = str_find_char(rest, '?');
    if (mark != SIZE_MAX)
        out->query = str_slice(rest, mark + 1, rest.len);
    rest = str_slice(rest, 0, mark);
    if (str_starts(rest, "//")) {
        size_t start = 2, end;
        while (web && start < rest.len && rest.ptr[start] == '/')
            start++;
        for (end = start; end < rest.len && rest.ptr[end] != '/';)
            end++;
        out->authority = (struct str){rest.ptr + start, end - start};
        rest = str_slice(rest, end, rest.len);
    }
    out->path = rest;
}

/* An absolute URL. */
static bool cut(struct str url, struct parts *out)
{
    size_t n = scheme_length(url);
    if (n == 0)
        return false;
    out->scheme = str_slice(url, 0, n);
    cut_hierarchy(str_slice(url, n + 1, url.len), is_web(out->scheme), out);
    return true;
}

/* The text without what browsers ignore; \ in front of ? and # becomes / in URLs of the web. */
static bool clean(struct str url, bool web, struct text *to)
{
    size_t start = 0, end = url.len;
    to->len = 0;
    to->full = false;
    while (start < end && (unsigned char)url.ptr[start] <= ' ')
        start++;
    while (end > start && (unsigned char)url.ptr[end - 1] <= ' ')
        end--;
    bool path = true;
    for (size_t i = start; i < end && !to->full; i++) {
        char c = url.ptr[i];
        if (c == '\t' || c == '\n' || c == '\r' || c == 0)
            continue;
        path = path && c != '?' && c != '#';
        text_char(to, c == '\\' && web && path ? '/' : c);
    }
    return !to->full;
}

/* ---- RFC 3986 5.2 ---- */
/* Number of dots when the segment is "." or ".." ("%2e" is a dot, as in browsers), else 0. */
static size_t dots_of(struct str segment)
{
    size_t dots = 0, i = 0;
    while (i < segment.len) {
        bool coded = i + 2 < segment.len && segment.ptr[i] == '%' && segment.ptr[i + 1] == '2' &&
                     (segment.ptr[i + 2] | 32) == 'e';
        if ((!coded && segment.ptr[i] != '.') || ++dots > 2)
            return 0;
        i += coded ? 3 : 1;
    }
    return dots;
}

/* Appends a path without its dot segments; false: too deep. */
static bool add_path(struct str path, struct buf *to)
{
    size_t start[SEGMENTS_MAX], count = 0;
    bool slash = path.len && path.ptr[0] == '/';
    if (slash)
        buf_char(to, '/');
    path = str_slice(path, slash, path.len);
    while (path.ptr) {
        struct str rest, segment = str_cut(path, '/', &rest);
        size_t dots = dots_of(segment);
        if (dots == 2 && count)
            to->len = start[--count];
        if (dots == 0) {
            if (count == SEGMENTS_MAX)
                return false;
            start[count++] = to->len;
            buf_str(to, segment);
            if (rest.ptr)
                buf_char(to, '/');
        }
        path = rest;
    }
    return true;
}

static bool put_together(const struct parts *p, struct buf *to)
{
    buf_clear(to);
    buf_str(to, p->scheme);
    buf_char(to, ':');
    if (p->authority.ptr) {
        buf_text(to, "//");
        buf_str(to, p->authority);
    }
    if (!add_path(p->path, to))
        return false;
    if (p->query.ptr) {
        buf_char(to, '?');
        buf_str(to, p->query);
    }
    if (p->fragment.ptr) {
        buf_char(to, '#');
        buf_str(to, p->fragment);
    }
    return !to->failed;
}

/* 5.2.3: the reference's path behind the base's last slash. */
static struct str merge(const struct parts *base, struct str path, struct text *room)
{
    size_t end = base->path.len;
    while (end > 0 && base->path.ptr[end - 1] != '/')
        end--;
    if (end == 0 && base->authority.ptr)
        text_str(room, STR("/"));
    text_str(room, str_slice(base->path, 0, end));
    text_str(room, path);
    return text_view(room);
}

bool url_join(struct str base, struct str ref, struct buf *to)
{
    struct text base_text, ref_text, merged;
    merged.len = 0;
    merged.full = false;
    struct parts b = {0}, r = {0};
    if (!clean(base, true, &base_text) || !cut(text_view(&base_text), &b))
        return false;
    if (!clean(ref, false, &ref_text))
        return false;
    size_t n = scheme_length(text_view(&ref_text));
    if (is_web(n ? str_slice(text_view(&ref_text), 0, n) : b.scheme) &&
        !clean(ref, true, &ref_text))
        return false;
    struct str cleaned = text_view(&ref_text);
    bool same = n && is_web(b.scheme) && str_eq_nocase(str_slice(cleaned, 0, n), b.scheme) &&
                !str_starts(str_slice(cleaned, n + 1, cleaned.len), "//");
    if (n && !same)
        return cut(cleaned, &r) && put_together(&r, to);
    cut_hierarchy(str_slice(cleaned, n + same, cleaned.len), is_web(b.scheme), &r);
    r.scheme = b.scheme;
    if (!r.authority.ptr) {
        r.authority = b.authority;
        if (r.path.len == 0) {
            r.path = b.path;
            r.query = r.query.ptr ? r.query : b.query;
        } else if (r.path.ptr[0] != '/') {
            r.path = merge(&b, r.path, &merged);
        }
    }
    return !merged.full && put_together(&r, to);
}

/* ---- the normal form ---- */
static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_unreserved(unsigned char c)
{
    return is_alpha((char)c) || is_digit((char)c) || memchr("-._~", c, 4);
}

static void add_code(unsigned char c, struct text *to)
{
    static const char hex[] = "0123456789ABCDEF";
    text_str(to, (struct str){(const char[]){'%', hex[c >> 4], hex[c & 15]}, 3});
}

/* What may not stand bare is coded, what need not be coded is bare, the rest stays. A % that codes
 * nothing becomes %25: else the form would not be the form of itself. */
static void add_coded(struct str s, struct text *to)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        int high = c == '%' && i + 2 < s.len ? hex_value(s.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.ptr[i + 2]) : -1;
        if (low >= 0) {
            c = (unsigned char)(high << 4 | low);
            i += 2;
        }
        bool odd = c <= ' ' || c >= 127 || memchr("\"%<>\\^`{|}", c, 10);
        if (is_unreserved(c) || (low < 0 && !odd))
            text_char(to, (char)c);
        else
            add_code(c, to);
    }
}

/* "host:port" behind any user; false: no host, or a port that cannot be. */
static bool add_authority(struct str authority, bool tls, struct buf *to)
{
    for (size_t i = authority.len; i > 0; i--)
        if (authority.ptr[i - 1] == '@') {
            authority = str_slice(authority, i, authority.len);
            break;
        }
    struct str host = authority, port = {0};
    for (size_t i = authority.len; i > 0 && authority.ptr[i - 1] != ']'; i--)
        if (authority.ptr[i - 1] == ':') {
            host = str_slice(authority, 0, i - 1);
            port = str_slice(authority, i, authority.len);
            break;
        }
    uint64_t number = tls ? 443 : 80, usual = number;
    if ((port.len && (!str_u64(port, &number) || !is_digit(port.ptr[0]))) || number > 65535)
        return false;
    if (!host.len || !url_host_add(host, to))
        return false;
    if (number != usual)
        buf_printf(to, ":%u", (unsigned)number);
    return true;
}

/* ---- what only tells visitors apart ---- */
static bool is_one_of(struct str name, const char *const *known)
{
    for (size_t i = 0; known[i]; i++)
        if (str_eq_nocase(name, str_of(known[i])))
            return true;
    return false;
}

/* At least 16 letters and digits, digits among them: an id somebody drew, no word. */
static bool looks_drawn(struct str value)
{
    size_t digits = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_alpha(value.ptr[i]) && !is_digit(value.ptr[i]))
            return false;
        digits += is_digit(value.ptr[i]);
    }
    return value.len >= 16 && digits > 0;
}

static bool is_stripped(struct str pair, unsigned strip)
{
    static const char *const session[] = {"jsessionid", "phpsessid", "cfid",
                                          "cftoken",    "sessionid", "session_id",
                                          "oscsid",     "zenid",     NULL};
    static const char *const drawn[] = {"sid", "s", "session", "sess", "phpsid", NULL};
    static const char *const tracking[] = {
        "gclid",   "gclsrc",  "dclid",      "gbraid",      "wbraid",    "fbclid", "msclkid",
        "yclid",   "twclid",  "ttclid",     "igshid",      "igsh",      "mc_cid", "mc_eid",
        "_hsenc",  "_hsmi",   "mkt_tok",    "vero_id",     "wt_mc",     "_ga",    "_gl",
        "srsltid", "ref_src", "oly_enc_id", "oly_anon_id", "_openstat", NULL};
    struct str value, name = str_cut(pair, '=', &value);
    if (strip & URL_STRIP_SESSION &&
        (is_one_of(name, session) || str_starts_nocase(name, "aspsessionid") ||
         (is_one_of(name, drawn) && looks_drawn(value))))
        return true;
    return strip & URL_STRIP_TRACKING &&
           (is_one_of(name, tracking) || str_starts_nocase(name, "utm_"));
}

static void strip_query(struct str query, unsigned strip, struct text *to)
{
    for (bool first = true; query.ptr;) {
        struct str rest, pair = str_cut(query, '&', &rest);
        if (!is_stripped(pair, strip)) {
            if (!first)
                text_char(to, '&');
            text_str(to, pair);
            first = false;
        }
        query = rest;
    }
}

/* "/(S(4hqa0555fwsecu455xqckv45))/": sessions without cookies as ASP.NET has them. */
static bool is_asp_session(struct str segment)
{
    return segment.len >= 20 && segment.ptr[0] == '(' && is_alpha(segment.ptr[1]) &&
           segment.ptr[2] == '(' && str_ends(segment, "))");
}

static void strip_path(struct str path, unsigned strip, struct text *to)
{
    while (path.ptr) {
        struct str rest, parameters;
        struct str segment = str_cut(path, '/', &rest);
        bool dropped = strip & URL_STRIP_SESSION && is_asp_session(segment);
        text_str(to, str_cut(dropped ? (struct str){0} : segment, ';', &parameters));
        while (parameters.ptr && !dropped) {
            struct str one = str_cut(parameters, ';', &parameters);
            if (!is_stripped(one, strip)) {
                text_char(to, ';');
                text_str(to, one);
            }
        }
        if (rest.ptr && !dropped)
            text_char(to, '/');
        path = rest;
    }
}

bool url_normalise(struct str url, unsigned strip, struct buf *to)
{
    struct text text, kept, coded;
    struct parts p = {0};
    if (!clean(url, true, &text) || !cut(text_view(&text), &p) || !is_web(p.scheme) ||
        !p.authority.len)
        return false;
    bool tls = p.scheme.len == 5;
    buf_clear(to);
    buf_text(to, tls ? "https://" : "http://");
    if (!add_authority(p.authority, tls, to))
        return false;
    kept.len = coded.len = 0;
    kept.full = coded.full = false;
    add_coded(p.path.len ? p.path : STR("/"), &coded);
    strip_path(text_view(&coded), strip, &kept);
    if (!add_path(text_view(&kept), to))
        return false;
    kept.len = coded.len = 0;
    add_coded(p.query, &coded);
    strip_query(text_view(&coded), strip, &kept);
    if (kept.len) {
        buf_char(to, '?');
        buf_str(to, text_view(&kept));
    }
    return !to->failed && !kept.full && !coded.full && to->len <= URL_BYTES_MAX;
}

bool url_resolve(struct str base, struct str ref, unsigned strip, struct buf *to)
{
    struct buf joined = {.max = JOIN_BYTES_MAX};
    bool good = url_join(base, ref, &joined) && url_normalise(buf_view(&joined), strip, to);
    buf_free(&joined);
    return good;
}

struct str url_origin(struct str url)
{
    size_t n = str_find(url, STR("://"));
    n = n == SIZE_MAX ? 0 : n + 3;
    while (n < url.len && url.ptr[n] != '/')
        n++;
    return str_slice(url, 0, n);
}

struct str url_host(struct str url)
{
    struct str origin = url_origin(url);
    size_t n = str_find(origin, STR("://"));
    origin = str_slice(origin, n == SIZE_MAX ? 0 : n + 3, origin.len);
    for (size_t i = origin.len; i > 0 && origin.ptr[i - 1] != ']'; i--)
        if (origin.ptr[i - 1] == ':')
            return str_slice(origin, 0, i - 1);
    return origin;
}

struct str url_target(struct str url) { return str_slice(url, url_origin(url).len, url.len); }
