/* surt - the sort keys of web archive indexes: a URL with its host turned round, made canonical. */
#include "crawl/warc.h"

#include "core/unicode.h"

#include <arpa/inet.h>
#include <stdlib.h>

/* The rules are those of the Internet Archive's canonicalizers (GoogleURLCanonicalizer, then
 * IAURLCanonicalizer), which pywb, cdxj-indexer and Common Crawl's index follow through the Python
 * package surt: escapes undone as often as it goes and put back once, "." and ".." segments
 * resolved, numbers as hosts read as IPv4, "www." and its numbered forms cut, session ids cut,
 * everything in lower case, query arguments in order. Hosts in other scripts become punycode after
 * lower-casing; nameprep's further foldings (full-width letters) are not done. */
enum { LABEL_MAX = 63, HOST_WIDE_MAX = 1024 };

/* ---- bytes ---- */
static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool is_alnum(char c)
{
    char low = (char)(c | 0x20);
    return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z');
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* %XX undone until none is left. Looking back at what was just written makes one pass enough:
 * escapes never overlap, so the order in which they are undone does not matter. */
static void unescape_all(struct buf *to, struct str from)
{
    size_t start = to->len;
    for (size_t i = 0; i < from.len; i++) {
        buf_char(to, from.ptr[i]);
        while (!to->failed && to->len - start >= 3 && to->ptr[to->len - 3] == '%') {
            int high = hex_of(to->ptr[to->len - 2]), low = hex_of(to->ptr[to->len - 1]);
            if (high < 0 || low < 0)
                break;
            to->len -= 2;
            to->ptr[to->len - 1] = (char)(high * 16 + low);
        }
    }
}

/* Escapes what is not printable ASCII, and # and %; lower-cases all. */
static void escape_lower(struct buf *to, struct str from)
{
    for (size_t i = 0; i < from.len; i++) {
        unsigned char c = (unsigned char)from.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '%')
            buf_printf(to, "%%%02x", c);
        else
            buf_char(to, lower((char)c));
    }
}

/* ---- hosts ---- */
/* RFC 3492, section 6.3. */
static void punycode(struct buf *to, const uint32_t *cp, size_t count)
{
    enum { BASE = 36, T_MIN = 1, T_MAX = 26, SKEW = 38, DAMP = 700 };
    uint32_t next = 128, bias = 72;
    uint64_t delta = 0;
    size_t basic = 0;
    for (size_t i = 0; i < count; i++)
        if (cp[i] < 128) {
            buf_char(to, (char)cp[i]);
            basic++;
        }
    size_t done = basic;
    if (basic)
        buf_char(to, '-');
    while (done < count) {
        uint32_t least = UINT32_MAX;
        for (size_t i = 0; i < count; i++)
            if (cp[i] >= next && cp[i] < least)
                least = cp[i];
        delta += (uint64_t)(least - next) * (done + 1);
        next = least;
        for (size_t i = 0; i < count; i++) {
            delta += cp[i] < next;
            if (cp[i] != next)
                continue;
            uint64_t left = delta;
            for (uint32_t k = BASE;; k += BASE) {
                uint32_t t = k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
                uint64_t digit = left < t ? left : t + (left - t) % (BASE - t);
                buf_char(to, (char)(digit < 26 ? 'a' + digit : '0' + digit - 26));
                if (left < t)
                    break;
                left = (left - t) / (BASE - t);
            }
            delta = done == basic ? delta / DAMP : delta / 2;
            delta += delta / (done + 1);
            uint32_t k = 0;
            for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
                delta /= BASE - T_MIN;
            bias = k + (uint32_t)((BASE - T_MIN + 1) * delta / (delta + SKEW));
            delta = 0;
            done++;
        }
        delta++;
        next++;
    }
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] & 0x80)
            return false;
    return true;
}

/* The host in punycode; as it is when a label has no such form. */
static void add_ascii_host(struct buf *to, struct str host)
{
    uint32_t cp[LABEL_MAX];
    size_t count = 0, start = to->len;
    const char *at = host.ptr, *end = host.ptr + host.len;
    bool wide = false, bad = host.len > HOST_WIDE_MAX;
    while (!bad) {
        uint32_t one = '.';
        int step = at < end ? utf8_decode(at, end, &one) : 0;
        bool dot = step == 0 || one == '.' || one == 0x3002 || one == 0xff0e || one == 0xff61;
        if (!dot && one == 0xfffd && step == 1) { /* no UTF-8: left out */
            at++;
            continue;
        }
        if (dot) {
            if (wide)
                buf_text(to, "xn--");
            for (size_t i = 0; i < count && !wide; i++)
                buf_char(to, (char)cp[i]);
            if (wide)
                punycode(to, cp, count);
            bad = count == 0 && step != 0; /* an empty label, but for the one at the end */
            if (step == 0)
                break;
            buf_char(to, '.');
            count = 0;
            wide = false;
        } else if (count + 2 > LABEL_MAX) {
            bad = true;
        } else if (one == 0xdf) { /* sharp s, as IDNA 2003 folds it */
            cp[count++] = 's';
            cp[count++] = 's';
        } else {
            cp[count++] = one == 0x3c2 ? 0x3c3 : uc_lower(one);
            wide |= one >= 128;
        }
        at += step;
    }
    if (bad && !to->failed) {
        to->len = start;
        buf_str(to, host);
    }
}

/* 2130706433 and 0177.1 are addresses as much as 127.0.0.1. */
static bool as_address(const char *host, char out[INET_ADDRSTRLEN])
{
    size_t digits = strspn(host, "0123456789"), dots = 0;
    struct in_addr address;
    uint32_t number = 0;
    if (digits == 0)
        return false;
    if (!host[digits]) {
        for (size_t i = 0; i < digits; i++)
            number = number * 10 + (uint32_t)(host[i] - '0');
        address.s_addr = htonl(number);
    } else {
        for (size_t i = 0; host[i]; i++) {
            dots += host[i] == '.';
            if ((host[i] != '.' && (host[i] < '0' || host[i] > '9')) ||
                (host[i] == '.' && (host[i + 1] == '.' || !host[i + 1])))
                return false;
        }
        if (dots > 3 || !inet_aton(host, &address))
            return false;
    }
    return inet_ntop(AF_INET, &address, out, INET_ADDRSTRLEN) != NULL;
}

static struct str without_www(struct str host)
{
    size_t i = 3;
    if (!str_starts(host, "www"))
        return host;
    while (i < host.len && host.ptr[i] >= '0' && host.ptr[i] <= '9')
        i++;
    return i < host.len && host.ptr[i] == '.' ? str_slice(host, i + 1, host.len) : host;
}

/* "www.example.com" as "com,example". */
static void add_host(struct buf *to, struct str raw)
{
    struct buf plain = {0}, ascii = {0}, made = {0};
    char address[INET_ADDRSTRLEN];
    unescape_all(&plain, raw);
    if (is_ascii(buf_view(&plain)))
        buf_str(&ascii, buf_view(&plain));
    else
        add_ascii_host(&ascii, buf_view(&plain));
    buf_clear(&plain);
    for (size_t i = 0; i < ascii.len; i++) {
        buf_char(&plain, ascii.ptr[i]);
        i += i + 1 < ascii.len && ascii.ptr[i] == '.' && ascii.ptr[i + 1] == '.';
    }
    struct str host = buf_view(&plain);
    while (host.len && host.ptr[0] == '.')
        host = str_slice(host, 1, host.len);
    while (host.len && host.ptr[host.len - 1] == '.')
        host.len--;
    buf_str(&made, host);
    if (as_address(buf_cstr(&made), address)) {
        host = str_of(address);
    } else {
        buf_clear(&ascii);
        escape_lower(&ascii, host);
        host = without_www(buf_view(&ascii));
    }
    for (size_t end = host.len;;) {
        size_t dot = end;
        while (dot > 0 && host.ptr[dot - 1] != '.')
            dot--;
        buf_str(to, str_slice(host, dot, end));
        if (dot == 0)
            break;
        buf_char(to, ',');
        end = dot - 1;
    }
    buf_free(&plain);
    buf_free(&ascii);
    buf_free(&made);
}

/* ---- paths ---- */
/* "." dropped, ".." with the segment before it (an empty one counts), then empty segments but for
 * the last: a slash at the end stays. */
static void normalize_path(struct buf *to, struct str path)
{
    struct buf kept = {0};
    struct str rest;
    str_cut(path, '/', &rest);
    while (rest.ptr) {
        struct str part = str_cut(rest, '/', &rest);
        if (str_is(part, "."))
            continue;
        if (str_is(part, "..") && kept.len) {
            while (kept.ptr[--kept.len] != '/')
                continue;
            continue;
        }
        buf_char(&kept, '/');
        buf_str(&kept, part);
    }
    struct str all = buf_view(&kept);
    buf_char(to, '/');
    for (size_t i = 1; i < all.len; i++)
        if (all.ptr[i] != '/' || all.ptr[i - 1] != '/')
            buf_char(to, all.ptr[i]);
    to->failed |= kept.failed;
    buf_free(&kept);
}

/* Length of "(s(24 letters))/" or "(24 letters)/" at `at`, or 0. */
static size_t path_session(struct str at, bool lettered)
{
    size_t i = 1, groups = 0, run = 0;
    if (!at.len || at.ptr[0] != '(')
        return 0;
    for (; lettered && i + 27 <= at.len && at.ptr[i] >= 'a' && at.ptr[i] <= 'z'; groups++) {
        for (run = 0; run < 24 && is_alnum(at.ptr[i + 2 + run]); run++)
            continue;
        if (at.ptr[i + 1] != '(' || run < 24 || at.ptr[i + 26] != ')')
            break;
        i += 27;
    }
    for (run = 0; !lettered && run < 24 && i < at.len && is_alnum(at.ptr[i]); run++)
        i++;
    bool whole = lettered ? groups > 0 : run == 24;
    return whole && i + 1 < at.len && at.ptr[i] == ')' && at.ptr[i + 1] == '/' ? i + 2 : 0;
}

/* Cuts the last ASP.NET session segment in front of a ".aspx" out of path, in place. Going from the
 * right, the nearest "?" and the two nearest ".aspx" are known at every place: linear time. */
static size_t cut_path_session(char *path, size_t len, bool lettered)
{
    size_t mark = len, page[2] = {len, len};
    for (size_t i = len; i > 0; i--) {
        struct str at = {path + i, len - i};
        mark = at.len && *at.ptr == '?' ? i : mark;
        if (str_starts(at, ".aspx")) {
            page[1] = page[0];
            page[0] = i;
        }
        size_t session = path[i - 1] == '/' ? path_session(at, lettered) : 0;
        size_t behind = i + session; /* at least one letter stands in front of the page's ending */
        if (!session || (page[0] > behind ? page[0] : page[1]) >= mark)
            continue;
        memmove(path + i, path + behind, len - behind);
        return len - session;
    }
    return len;
}

/* ---- queries ---- */
/* Length of "name=" and `digits` letters or digits at the front of at, to the end or a &; or 0. */
static size_t query_session(struct str at, const char *name, size_t letters, size_t digits)
{
    size_t i = strlen(name);
    if (!str_starts_nocase(at, name) || at.len < i + letters + 1 + digits)
        return 0;
    for (size_t end = i + letters; i < end; i++)
        if (!is_alnum(at.ptr[i]) || (at.ptr[i] >= '0' && at.ptr[i] <= '9'))
            return 0;
    if (at.ptr[i++] != '=')
        return 0;
    for (size_t end = i + digits; i < end; i++)
        if (!is_alnum(at.ptr[i]) || (letters && at.ptr[i] >= '0' && at.ptr[i] <= '9'))
            return 0;
    return i == at.len || at.ptr[i] == '&' ? i : 0;
}

/* Length of "cfid=...&cftoken=..." at i; amp: places of the next two & behind it. */
static size_t cold_fusion(struct str query, size_t i, const size_t amp[2])
{
    if (!str_starts_nocase(str_slice(query, i, query.len), "cfid=") || amp[0] == query.len)
        return 0;
    struct str token = str_slice(query, amp[0] + 1, amp[1]);
    bool good = amp[0] > i + 5 && str_starts_nocase(token, "cftoken=") && token.len > 8;
    return good ? amp[1] - i : 0;
}

/* Cuts the last session argument of each kind, with the & behind it. */
static void cut_query_sessions(struct buf *query)
{
    static const struct {
        const char *name;
        size_t letters, digits;
    } kind[] = {
        {"jsessionid", 0, 32},   {"phpsessid", 0, 32}, {"sid", 0, 32},
        {"aspsessionid", 8, 24}, {NULL, 0, 0},
    };
    for (size_t k = 0; k < COUNT_OF(kind); k++) {
        size_t amp[2] = {query->len, query->len};
        for (size_t i = query->len; i-- > 0;) {
            struct str at = str_slice(buf_view(query), i, query->len);
            if (*at.ptr == '&') {
                amp[1] = amp[0];
                amp[0] = i;
            }
            size_t len = kind[k].name
                             ? query_session(at, kind[k].name, kind[k].letters, kind[k].digits)
                             : cold_fusion(buf_view(query), i, amp);
            if (!len)
                continue;
            len += len < at.len;
            memmove(query->ptr + i, query->ptr + i + len, query->len - i - len);
            query->len -= len;
            break;
        }
    }
}

struct argument {
    struct str name, value; /* value.ptr NULL: no = */
};

static int compare_arguments(const void *one, const void *two)
{
    const struct argument *a = one, *b = two;
    int order = str_cmp(a->name, b->name);
    if (order)
        return order;
    if (!a->value.ptr || !b->value.ptr)
        return (a->value.ptr != NULL) - (b->value.ptr != NULL);
    return str_cmp(a->value, b->value);
}

static void add_sorted(struct buf *to, struct str query)
{
    size_t count = 1, at = 0;
    for (size_t i = 0; i < query.len; i++)
        count += query.ptr[i] == '&';
    struct argument *arg = query.len > 1 ? malloc(count * sizeof *arg) : NULL;
    if (!arg) {
        to->failed |= query.len > 1;
        buf_str(to, query);
        return;
    }
    for (struct str rest = query; rest.ptr; at++)
        arg[at].name = str_cut(str_cut(rest, '&', &rest), '=', &arg[at].value);
    qsort(arg, count, sizeof *arg, compare_arguments);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_char(to, '&');
        buf_str(to, arg[i].name);
        if (arg[i].value.ptr)
            buf_char(to, '=');
        buf_str(to, arg[i].value);
    }
    free(arg);
}

/* ---- whole URLs ---- */
struct pieces {
    struct str scheme, host, port, path, query;
    bool bad;
};

static size_t scheme_end(struct str url)
{
    size_t i = 0;
    char low = url.len ? (char)(url.ptr[0] | 0x20) : 0;
    if (low < 'a' || low > 'z')
        return 0;
    while (i < url.len && (is_alnum(url.ptr[i]) || memchr("+-.", url.ptr[i], 3)))
        i++;
    return i < url.len && url.ptr[i] == ':' ? i : 0;
}

static void cut_authority(struct str authority, struct pieces *out)
{
    while (authority.len && authority.ptr[authority.len - 1] == ':')
        authority.len--;
    struct str info = authority;
    for (size_t i = authority.len; i > 0; i--)
        if (authority.ptr[i - 1] == '@') {
            info = str_slice(authority, i, authority.len);
            break;
        }
    size_t open = str_find_char(info, '[');
    if (open != SIZE_MAX) {
        struct str rest = str_slice(info, open + 1, info.len);
        out->host = str_cut(rest, ']', &rest);
        str_cut(rest.ptr ? rest : STR(""), ':', &out->port);
    } else {
        out->host = str_cut(info, ':', &out->port);
    }
    uint64_t port = 0;
    bool digits = out->port.len > 0;
    for (size_t i = 0; i < out->port.len; i++)
        digits &= out->port.ptr[i] >= '0' && out->port.ptr[i] <= '9';
    while (out->port.len > 1 && out->port.ptr[0] == '0')
        out->port = str_slice(out->port, 1, out->port.len);
    out->bad = out->port.len && (!digits || !str_u64(out->port, &port) || port > 65535);
    if (port == 0 || (port == 80 && str_eq_nocase(out->scheme, STR("http"))) ||
        (port == 443 && str_eq_nocase(out->scheme, STR("https"))))
        out->port.len = 0;
}

static struct pieces cut_url(struct str url)
{
    struct pieces out = {0};
    size_t scheme = scheme_end(url);
    out.scheme = scheme ? str_slice(url, 0, scheme) : STR("http");
    struct str rest = scheme ? str_slice(url, scheme + 1, url.len) : url;
    bool slashes = !scheme || str_starts(rest, "//");
    rest = str_slice(rest, scheme && slashes ? 2 : 0, rest.len);
    rest = str_slice(rest, 0, str_find_char(rest, '#'));
    size_t mark = str_find_char(rest, '?');
    if (mark != SIZE_MAX)
        out.query = str_slice(rest, mark + 1, rest.len);
    rest = str_slice(rest, 0, mark);
    size_t slash = slashes ? str_find_char(rest, '/') : 0;
    out.path = slash == SIZE_MAX ? STR("") : str_slice(rest, slash, rest.len);
    if (slashes)
        cut_authority(str_slice(rest, 0, slash), &out);
    if (!out.host.len && out.path.len && str_starts(out.scheme, "http")) { /* http:////host/path */
        while (out.path.len && out.path.ptr[0] == '/')
            out.path = str_slice(out.path, 1, out.path.len);
        slash = str_find_char(out.path, '/');
        out.host = str_slice(out.path, 0, slash);
        out.path = slash == SIZE_MAX ? STR("/") : str_slice(out.path, slash, out.path.len);
    }
    return out;
}

static void add_path(struct buf *to, struct str raw, bool host)
{
    struct buf plain = {0}, made = {0};
    unescape_all(&plain, raw);
    if (host)
        normalize_path(&made, buf_view(&plain));
    else
        buf_str(&made, buf_view(&plain));
    buf_clear(&plain);
    escape_lower(&plain, buf_view(&made));
    for (int lettered = 1; lettered >= 0 && plain.len; lettered--)
        plain.len = cut_path_session(plain.ptr, plain.len, lettered);
    if (plain.len > 1 && plain.ptr[plain.len - 1] == '/')
        plain.len--;
    buf_str(to, buf_view(&plain));
    to->failed |= plain.failed | made.failed;
    buf_free(&plain);
    buf_free(&made);
}

static void add_query(struct buf *to, struct str raw, bool path)
{
    struct buf plain = {0}, made = {0};
    unescape_all(&plain, raw);
    escape_lower(&made, buf_view(&plain));
    cut_query_sessions(&made);
    if (made.len) {
        buf_text(to, path ? "?" : "/?");
        add_sorted(to, buf_view(&made));
    }
    to->failed |= plain.failed | made.failed;
    buf_free(&plain);
    buf_free(&made);
}

/* Blanks at the ends and line ends inside go; of "http://https://" the last stays. */
static void clean_url(struct buf *to, struct str url)
{
    url = str_trim(url);
    for (size_t i = 0; i < url.len; i++)
        if (!memchr("\n\r\t", url.ptr[i], 3))
            buf_char(to, url.ptr[i]);
    struct str all = buf_view(to);
    size_t last = 0;
    for (size_t at = 0; at < all.len;) {
        struct str rest = str_slice(all, at, all.len);
        size_t step = str_starts(rest, "http://") ? 7 : str_starts(rest, "https://") ? 8 : 0;
        if (!step)
            break;
        last = at;
        at += step;
    }
    if (last) {
        memmove(to->ptr, to->ptr + last, to->len - last);
        to->len -= last;
    }
}

void url_surt(struct str url, struct buf *to)
{
    struct buf clean = {0};
    if (!url.len || str_starts(url, "filedesc")) {
        buf_str(to, url.len ? url : STR("-"));
        return;
    }
    clean_url(&clean, url);
    struct pieces p = cut_url(buf_view(&clean));
    if (p.bad) { /* no key can be made: the URL, with what would end the key escaped */
        for (size_t i = 0; i < url.len; i++)
            if ((unsigned char)url.ptr[i] <= 0x20)
                buf_printf(to, "%%%02x", (unsigned char)url.ptr[i]);
            else
                buf_char(to, url.ptr[i]);
        buf_free(&clean);
        return;
    }
    size_t start = to->len;
    add_host(to, p.host);
    bool host = to->len > start;
    if (host) {
        if (p.port.len)
            buf_printf(to, ":%.*s", STR_ARG(p.port));
        buf_char(to, ')');
    } else {
        buf_str(to, p.scheme);
        buf_char(to, ':');
    }
    start = to->len;
    add_path(to, p.path, host);
    if (p.query.len)
        add_query(to, p.query, to->len > start);
    to->failed |= clean.failed;
    buf_free(&clean);
}

void warc_date14(struct str date, char out[15])
{
    size_t made = 0;
    for (size_t i = 0; i < date.len && made < 14; i++)
        if (date.ptr[i] >= '0' && date.ptr[i] <= '9')
            out[made++] = date.ptr[i];
    out[made] = 0;
}
