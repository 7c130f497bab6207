/* urlhost - one form for every host name, with IDNA's A-labels made here. */
#include "crawl/urlhost.h"

#include "core/unicode.h"

#include <arpa/inet.h>

/* ---- RFC 3492 ---- */
enum {
    PUNY_BASE = 36,
    PUNY_TMIN = 1,
    PUNY_TMAX = 26,
    PUNY_SKEW = 38,
    PUNY_DAMP = 700,
    PUNY_BIAS = 72,
    PUNY_FIRST = 128,
};

static char puny_digit(uint32_t value)
{
    return (char)(value < 26 ? 'a' + value : '0' + value - 26);
}

static uint32_t puny_adapt(uint32_t delta, uint32_t count, bool first)
{
    uint32_t steps = 0;
    delta = first ? delta / PUNY_DAMP : delta / 2;
    delta += delta / count;
    for (; delta > (PUNY_BASE - PUNY_TMIN) * PUNY_TMAX / 2; steps += PUNY_BASE)
        delta /= PUNY_BASE - PUNY_TMIN;
    return steps + (PUNY_BASE - PUNY_TMIN + 1) * delta / (delta + PUNY_SKEW);
}

static void puny_number(uint32_t value, uint32_t bias, struct buf *to)
{
    for (uint32_t k = PUNY_BASE;; k += PUNY_BASE) {
        uint32_t t = k <= bias ? PUNY_TMIN : k >= bias + PUNY_TMAX ? PUNY_TMAX : k - bias;
        if (value < t)
            break;
        buf_char(to, puny_digit(t + (value - t) % (PUNY_BASE - t)));
        value = (value - t) / (PUNY_BASE - t);
    }
    buf_char(to, puny_digit(value));
}

/* At most HOST_LABEL_MAX code points below 110000: nothing can overflow 32 bits. */
static void puny_add(const uint32_t *cp, uint32_t count, struct buf *to)
{
    uint32_t next = PUNY_FIRST, delta = 0, bias = PUNY_BIAS, done = 0;
    for (uint32_t i = 0; i < count; i++)
        if (cp[i] < 128) {
            buf_char(to, (char)cp[i]);
            done++;
        }
    uint32_t plain = done;
    if (plain)
        buf_char(to, '-');
    while (done < count) {
        uint32_t least = UINT32_MAX;
        for (uint32_t i = 0; i < count; i++)
            if (cp[i] >= next && cp[i] < least)
                least = cp[i];
        delta += (least - next) * (done + 1);
        next = least;
        for (uint32_t i = 0; i < count; i++) {
            if (cp[i] < next)
                delta++;
            if (cp[i] == next) {
                puny_number(delta, bias, to);
                bias = puny_adapt(delta, done + 1, done == plain);
                delta = 0;
                done++;
            }
        }
        delta++;
        next++;
    }
}

/* ---- labels ---- */
static bool is_host_char(uint32_t cp)
{
    return (cp >= 'a' && cp <= 'z') || (cp >= '0' && cp <= '9') || cp == '-' || cp == '_';
}

/* Compatibility forms (full-width, ligatures, styled letters) would need IDNA's tables. */
static bool is_idn_char(uint32_t cp)
{
    enum uc_class c = uc_class(cp);
    bool word = (c >= UC_UPPER && c <= UC_MARK) || uc_is_decimal(cp) || cp == 0xB7 || cp == 0x30FB;
    return word && !(cp >= 0xFB00 && cp <= 0xFFEF) && !(cp >= 0x1D400 && cp <= 0x1D7FF) &&
           !uc_is_ignorable(cp);
}

static bool label_add(struct str label, struct buf *to)
{
    uint32_t cp[HOST_LABEL_MAX], count = 0;
    bool ascii = true;
    size_t start = to->len;
    const char *at = label.ptr, *end = label.ptr + label.len;
    while (at < end) {
        uint32_t c;
        int len = utf8_decode(at, end, &c);
        if (c == 0xFFFD || count == HOST_LABEL_MAX)
            return false;
        at += len;
        c = uc_lower(c);
        if (c < 128 ? !is_host_char(c) : !is_idn_char(c))
            return false;
        ascii = ascii && c < 128;
        cp[count++] = c;
    }
    if (!ascii)
        buf_text(to, "xn--");
    for (uint32_t i = 0; i < count && ascii; i++)
        buf_char(to, (char)cp[i]);
    if (!ascii)
        puny_add(cp, count, to);
    return count > 0 && to->len - start <= HOST_LABEL_MAX;
}

/* ---- addresses ---- */
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* WHATWG: a host whose last label is a number is an IPv4 address, or none. */
static bool ends_in_number(struct str host)
{
    size_t start = host.len;
    while (start > 0 && host.ptr[start - 1] != '.')
        start--;
    struct str last = str_slice(host, start, host.len);
    bool digits = last.len > 0;
    for (size_t i = 0; i < last.len; i++)
        digits = digits && is_digit(last.ptr[i]);
    return digits || str_starts(last, "0x");
}

static bool address_add(int family, struct str text, struct buf *to)
{
    char copy[64], shown[INET6_ADDRSTRLEN];
    unsigned char address[16];
    if (text.len >= sizeof copy)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = 0;
    bool good = family == AF_INET ? inet_aton(copy, (struct in_addr *)(void *)address) == 1
                                  : inet_pton(AF_INET6, copy, address) == 1;
    if (!good || !inet_ntop(family, address, shown, sizeof shown))
        return false;
    buf_printf(to, family == AF_INET ? "%s" : "[%s]", shown);
    return true;
}

/* ---- hosts ---- */
static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX undone, and the dots of other scripts made plain; false: too long. */
static bool host_plain(struct str host, char *to, size_t room, size_t *len)
{
    static const char *const dots[] = {"\xE3\x80\x82", "\xEF\xBC\x8E", "\xEF\xBD\xA1"};
    size_t n = 0;
    for (size_t i = 0; i < host.len; i++) {
        int high = host.ptr[i] == '%' && i + 2 < host.len ? hex_value(host.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(host.ptr[i + 2]) : -1;
        if (n == room)
            return false;
        to[n] = host.ptr[i];
        if (low >= 0) {
            to[n] = (char)(high << 4 | low);
            i += 2;
        }
        n++;
        for (size_t d = 0; d < COUNT_OF(dots) && n >= 3; d++)
            if (memcmp(to + n - 3, dots[d], 3) == 0) {
                n -= 2;
                to[n - 1] = '.';
            }
    }
    *len = n;
    return true;
}

bool url_host_add(struct str host, struct buf *to)
{
    char room[4 * HOST_BYTES_MAX];
    size_t start = to->len;
    struct str plain = {room, 0};
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return address_add(AF_INET6, str_slice(host, 1, host.len - 1), to);
    if (!host_plain(host, room, sizeof room, &plain.len))
        return false;
    if (plain.len && plain.ptr[plain.len - 1] == '.')
        plain.len--;
    while (plain.ptr) {
        struct str rest;
        if (!label_add(str_cut(plain, '.', &rest), to))
            return false;
        if (rest.ptr)
            buf_char(to, '.');
        plain = rest;
    }
    if (to->failed || to->len - start > HOST_BYTES_MAX)
        return false;
    struct str made = str_slice(buf_view(to), start, to->len);
    if (!ends_in_number(made))
        return true;
    char copy[HOST_BYTES_MAX + 1];
    memcpy(copy, made.ptr, made.len);
    to->len = start;
    return address_add(AF_INET, (struct str){copy, made.len}, to);
}

/* Second-level names under which countries register: com.au, co.uk, ac.jp and their like. */
static bool is_second_level(struct str label)
{
    static const char *const known[] = {"co", "com", "net", "org", "edu", "gov", "gob", "gouv",
                                        "ac", "or",  "ne",  "go",  "mil", "sch", "nom"};
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_is(label, known[i]))
            return true;
    return false;
}

/* Domains of which every name below belongs to somebody else: where sites are hosted for free. */
static bool is_shared(struct str domain)
{
    static const char *const known[] = {
        "github.io",         "gitlab.io",      "pages.dev",     "workers.dev",     "web.app",
        "firebaseapp.com",   "netlify.app",    "vercel.app",    "herokuapp.com",   "onrender.com",
        "fly.dev",           "surge.sh",       "glitch.me",     "repl.co",         "appspot.com",
        "azurewebsites.net", "cloudfront.net", "amazonaws.com", "readthedocs.io",  "gitbook.io",
        "blogspot.com",      "wordpress.com",  "tumblr.com",    "livejournal.com", "typepad.com",
        "substack.com",      "weebly.com",     "wixsite.com",   "webnode.com",     "jimdofree.com",
        "neocities.org",     "altervista.org", "over-blog.com", "canalblog.com",   "hatenablog.com",
        "myshopify.com",     "notion.site",    "ghost.io",      "bitbucket.io",    "sourceforge.io",
        "webflow.io",        "carrd.co",
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_is(domain, known[i]))
            return true;
    return false;
}

struct str url_domain(struct str host)
{
    if (host.len == 0 || host.ptr[0] == '[' || ends_in_number(host))
        return host;
    size_t dot[3] = {0}, found = 0; /* start of the last, second and third label from the end */
    for (size_t i = host.len; i > 0 && found < 3; i--)
        if (host.ptr[i - 1] == '.')
            dot[found++] = i;
    if (found < 2)
        return host;
    struct str top = str_slice(host, dot[0], host.len);
    struct str second = str_slice(host, dot[1], dot[0] - 1);
    bool country = top.len == 2 && is_second_level(second);
    if (!country && !is_shared(str_slice(host, dot[1], host.len)))
        return str_slice(host, dot[1], host.len);
    return found == 3 ? str_slice(host, dot[2], host.len) : host;
}
