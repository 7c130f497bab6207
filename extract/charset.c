/* charset - any bytes to valid UTF-8: who is believed about the encoding, and the conversion. */
/* Order of belief: byte order mark, the bytes themselves when they are UTF-8, the HTTP header, the
 * meta element (WHATWG prescan), a detector, windows-1252. The bytes come before the labels because
 * text in another encoding is almost never valid UTF-8 by accident, while servers with a fixed
 * "charset=ISO-8859-1" in front of UTF-8 pages are common. A label is also dropped when converting
 * by it fails for a tenth of the non-ASCII bytes. */
#include "core/err.h"
#include "extract/parts.h"

#include <assert.h>
#include <iconv.h>
#include <uchardet/uchardet.h>

enum {
    PRESCAN_MAX = 1024,    /* bytes, as the standard says */
    LATE_MAX = 64 << 10,   /* bytes in which a parser would meet the meta and change over */
    DETECT_MAX = 16 << 10, /* bytes the detector sees */
    LABEL_MAX = 64,        /* bytes of the longest label worth looking up */
    MULTI_CHANCE_MIN = 4,  /* sequences with which UTF-8 overrules a multi-byte label */
};
enum kind {
    KIND_UTF8,
    KIND_UTF16LE,
    KIND_UTF16BE,
    KIND_UTF32LE,
    KIND_UTF32BE,
    KIND_SINGLE,
    KIND_MULTI,
    KIND_ISO2022,
    KIND_NONE,
};
struct encoding {
    const char *name, *iconv_name;
    enum kind kind;
    const char *labels;
};

/* The label table of the WHATWG Encoding standard, with a few names that detectors print (cp949,
 * uhc, ...). */
static const struct encoding encodings[] = {
    {"UTF-8", "UTF-8", KIND_UTF8,
     "utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8"},
    {"windows-1252", "WINDOWS-1252", KIND_SINGLE,
     "windows-1252 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 "
     "iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252"},
    {"IBM866", "IBM866", KIND_SINGLE, "866 cp866 csibm866 ibm866"},
    {"ISO-8859-2", "ISO-8859-2", KIND_SINGLE,
     "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2"},
    {"ISO-8859-3", "ISO-8859-3", KIND_SINGLE,
     "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3"},
    {"ISO-8859-4", "ISO-8859-4", KIND_SINGLE,
     "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4"},
    {"ISO-8859-5", "ISO-8859-5", KIND_SINGLE,
     "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 "
     "iso_8859-5:1988"},
    {"ISO-8859-6", "ISO-8859-6", KIND_SINGLE,
     "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e "
     "iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987"},
    {"ISO-8859-7", "ISO-8859-7", KIND_SINGLE,
     "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 "
     "iso_8859-7 iso_8859-7:1987 sun_eu_greek"},
    {"ISO-8859-8", "ISO-8859-8", KIND_SINGLE,
     "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 "
     "iso_8859-8 iso_8859-8:1988 visual"},
    {"ISO-8859-8-I", "ISO-8859-8", KIND_SINGLE, "csiso88598i iso-8859-8-i logical"},
    {"ISO-8859-10", "ISO-8859-10", KIND_SINGLE,
     "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6"},
    {"ISO-8859-13", "ISO-8859-13", KIND_SINGLE, "iso-8859-13 iso8859-13 iso885913"},
    {"ISO-8859-14", "ISO-8859-14", KIND_SINGLE, "iso-8859-14 iso8859-14 iso885914"},
    {"ISO-8859-15", "ISO-8859-15", KIND_SINGLE,
     "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9"},
    {"ISO-8859-16", "ISO-8859-16", KIND_SINGLE, "iso-8859-16"},
    {"KOI8-R", "KOI8-R", KIND_SINGLE, "cskoi8r koi koi8 koi8-r koi8_r"},
    {"KOI8-U", "KOI8-U", KIND_SINGLE, "koi8-ru koi8-u"},
    {"macintosh", "MACINTOSH", KIND_SINGLE, "csmacintosh mac macintosh x-mac-roman"},
    {"windows-874", "CP874", KIND_SINGLE,
     "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874"},
    {"windows-1250", "WINDOWS-1250", KIND_SINGLE, "cp1250 windows-1250 x-cp1250"},
    {"windows-1251", "WINDOWS-1251", KIND_SINGLE, "cp1251 windows-1251 x-cp1251"},
    {"windows-1253", "WINDOWS-1253", KIND_SINGLE, "cp1253 windows-1253 x-cp1253"},
    {"windows-1254", "WINDOWS-1254", KIND_SINGLE,
     "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 "
     "latin5 windows-1254 x-cp1254"},
    {"windows-1255", "WINDOWS-1255", KIND_SINGLE, "cp1255 windows-1255 x-cp1255"},
    {"windows-1256", "WINDOWS-1256", KIND_SINGLE, "cp1256 windows-1256 x-cp1256"},
    {"windows-1257", "WINDOWS-1257", KIND_SINGLE, "cp1257 windows-1257 x-cp1257"},
    {"windows-1258", "WINDOWS-1258", KIND_SINGLE, "cp1258 windows-1258 x-cp1258"},
    {"x-mac-cyrillic", "MAC-CYRILLIC", KIND_SINGLE, "x-mac-cyrillic x-mac-ukrainian mac-cyrillic"},
    {"GBK", "GB18030", KIND_MULTI,
     "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk cp936"},
    {"gb18030", "GB18030", KIND_MULTI, "gb18030"},
    {"Big5", "BIG5-HKSCS", KIND_MULTI, "big5 big5-hkscs cn-big5 csbig5 x-x-big5 cp950"},
    {"EUC-JP", "EUC-JP-MS", KIND_MULTI, "cseucpkdfmtjapanese euc-jp x-euc-jp"},
    {"ISO-2022-JP", "EUC-JP-MS", KIND_ISO2022, "csiso2022jp iso-2022-jp"},
    {"Shift_JIS", "CP932", KIND_MULTI,
     "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis cp932"},
    {"EUC-KR", "UHC", KIND_MULTI,
     "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 "
     "ksc_5601 windows-949 uhc cp949"},
    {"UTF-16BE", NULL, KIND_UTF16BE, "unicodefffe utf-16be"},
    {"UTF-16LE", NULL, KIND_UTF16LE,
     "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le"},
    {"UTF-32LE", NULL, KIND_UTF32LE, ""},
    {"UTF-32BE", NULL, KIND_UTF32BE, ""},
    /* The standard turns these into one U+FFFD, against cross-site scripting; a corpus ignores
     * the label. */
    {"replacement", NULL, KIND_NONE,
     "csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr replacement"},
    {"x-user-defined", NULL, KIND_NONE, "x-user-defined"},
};
static const struct encoding *const utf8 = &encodings[0];
static const struct encoding *const windows_1252 = &encodings[1];

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}
static char to_lower(char c) { return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c); }

static bool has_word(const char *words, struct str word)
{
    for (const char *at = words; *at;) {
        const char *end = strchr(at, ' ');
        size_t len = end ? (size_t)(end - at) : strlen(at);
        if (str_eq_nocase((struct str){at, len}, word))
            return true;
        at += len + (end != NULL);
    }
    return false;
}

static const struct encoding *by_label(struct str label)
{
    while (label.len && is_space(label.ptr[0]))
        label.ptr++, label.len--;
    while (label.len && is_space(label.ptr[label.len - 1]))
        label.len--;
    if (label.len == 0 || label.len > LABEL_MAX)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(encodings); i++)
        if (has_word(encodings[i].labels, label))
            return &encodings[i];
    return NULL;
}

const char *charset_label(struct str label)
{
    const struct encoding *found = by_label(label);
    return found ? found->name : NULL;
}

/* ---- the prescan of the HTML standard, section 13.2.3.2 ---- */
struct cursor {
    const char *at, *end;
};

/* One attribute, name and value lower-cased into fixed buffers (cut there: nothing longer is of
 * interest). */
struct attribute {
    char name[LABEL_MAX];
    size_t name_len;
    char value[256];
    size_t value_len;
};

static void attribute_put(char *to, size_t *len, size_t max, char c)
{
    if (*len < max)
        to[(*len)++] = to_lower(c);
}

static bool attribute_value(struct cursor *c, struct attribute *a)
{
    while (c->at < c->end && is_space(*c->at))
        c->at++;
    if (c->at == c->end)
        return false;
    char quote = *c->at;
    if (quote == '"' || quote == '\'') {
        for (c->at++; c->at < c->end && *c->at != quote; c->at++)
            attribute_put(a->value, &a->value_len, sizeof a->value, *c->at);
        if (c->at == c->end)
            return false;
        c->at++;
        return true;
    }
    for (; c->at < c->end && !is_space(*c->at) && *c->at != '>'; c->at++)
        attribute_put(a->value, &a->value_len, sizeof a->value, *c->at);
    return c->at < c->end;
}

/* False at the end of the tag (c stands on '>' or at the end of the bytes). */
static bool next_attribute(struct cursor *c, struct attribute *a)
{
    a->name_len = a->value_len = 0;
    while (c->at < c->end && (is_space(*c->at) || *c->at == '/'))
        c->at++;
    if (c->at == c->end || *c->at == '>')
        return false;
    for (bool first = true; c->at < c->end; c->at++, first = false) {
        if (*c->at == '=' && !first)
            break;
        if (*c->at == '/' || *c->at == '>')
            return true;
        if (is_space(*c->at)) {
            while (c->at < c->end && is_space(*c->at))
                c->at++;
            if (c->at == c->end || *c->at != '=')
                return true;
            break;
        }
        attribute_put(a->name, &a->name_len, sizeof a->name, *c->at);
    }
    if (c->at == c->end)
        return false;
    c->at++;
    return attribute_value(c, a);
}

/* "text/html; charset=x": the standard's algorithm for extracting an encoding from a meta element.
 */
static struct str charset_of_content(struct str content)
{
    for (size_t at = 0; at + 7 <= content.len;) {
        size_t found = str_find(str_slice(content, at, content.len), STR("charset"));
        if (found == SIZE_MAX)
            break;
        at += found + 7;
        while (at < content.len && is_space(content.ptr[at]))
            at++;
        if (at >= content.len || content.ptr[at] != '=')
            continue;
        at++;
        while (at < content.len && is_space(content.ptr[at]))
            at++;
        if (at >= content.len)
            break;
        char quote = content.ptr[at];
        if (quote == '"' || quote == '\'') {
            struct str rest = str_slice(content, at + 1, content.len);
            size_t end = str_find_char(rest, quote);
            return end == SIZE_MAX ? (struct str){0} : str_slice(rest, 0, end);
        }
        size_t end = at;
        while (end < content.len && !is_space(content.ptr[end]) && content.ptr[end] != ';')
            end++;
        return str_slice(content, at, end);
    }
    return (struct str){0};
}

static const struct encoding *meta_encoding(struct cursor *c)
{
    struct attribute a;
    bool pragma = false, from_content = false, named = false, seen_equiv = false,
         seen_content = false;
    const struct encoding *found = NULL;
    while (next_attribute(c, &a)) {
        struct str name = {a.name, a.name_len}, value = {a.value, a.value_len};
        if (str_is(name, "http-equiv") && !seen_equiv) {
            seen_equiv = true;
            pragma = str_is(value, "content-type");
        } else if (str_is(name, "content") && !seen_content && !found) {
            seen_content = true;
            found = by_label(charset_of_content(value));
            from_content = found != NULL;
        } else if (str_is(name, "charset") && !named) {
            named = true;
            found = by_label(value);
            from_content = false;
        }
    }
    if (c->at == c->end || !found || (from_content && !pragma))
        return NULL; /* a tag cut off by the 1024 bytes counts for nothing */
    if (found->kind == KIND_UTF16LE || found->kind == KIND_UTF16BE)
        return utf8; /* the prescan read it as ASCII, so it cannot be UTF-16 */
    return str_is(str_of(found->name), "x-user-defined") ? windows_1252 : found;
}

static bool at_meta(struct cursor c)
{
    struct str rest = {c.at, (size_t)(c.end - c.at)};
    return str_starts_nocase(rest, "<meta") && rest.len > 5 &&
           (is_space(rest.ptr[5]) || rest.ptr[5] == '/');
}

static void skip_tag(struct cursor *c)
{
    struct attribute a;
    while (c->at < c->end && !is_space(*c->at) && *c->at != '>')
        c->at++;
    while (next_attribute(c, &a))
        continue;
}

static const struct encoding *prescan(struct str raw, size_t max)
{
    struct cursor c = {raw.ptr, raw.ptr + (raw.len < max ? raw.len : max)};
    for (; c.at < c.end; c.at++) {
        const char *open = memchr(c.at, '<', (size_t)(c.end - c.at));
        if (!open || c.end - open < 2)
            return NULL;
        c.at = open;
        struct str rest = {open, (size_t)(c.end - open)};
        char next = to_lower(open[1]), after = rest.len > 2 ? to_lower(open[2]) : 0;
        if (str_starts(rest, "<!--")) {
            size_t end = str_find(str_slice(rest, 2, rest.len), STR("-->"));
            if (end == SIZE_MAX)
                return NULL;
            c.at = open + 2 + end + 2;
        } else if (at_meta(c)) {
            c.at += 5;
            const struct encoding *found = meta_encoding(&c);
            if (found)
                return found;
        } else if ((next >= 'a' && next <= 'z') || (next == '/' && after >= 'a' && after <= 'z')) {
            skip_tag(&c);
        } else if (next == '!' || next == '/' || next == '?') {
            const char *end = memchr(open, '>', rest.len);
            if (!end)
                return NULL;
            c.at = end;
        }
    }
    return NULL;
}

const char *charset_prescan(struct str raw, size_t max)
{
    const struct encoding *found = raw.len ? prescan(raw, max) : NULL;
    return found ? found->name : NULL;
}

/* ---- conversion: each writes at most 3 bytes a byte into out and returns the length ---- */
static size_t put_bad(char *out)
{
    memcpy(out, "\xEF\xBF\xBD", 3);
    return 3;
}

static size_t from_utf8(struct str raw, char *out, uint64_t *replaced)
{
    const unsigned char *s = (const unsigned char *)raw.ptr, *end = s + raw.len;
    size_t len = 0;
    while (s < end) {
        const unsigned char *plain = skip_ascii(s, end);
        memcpy(out + len, s, (size_t)(plain - s));
        len += (size_t)(plain - s);
        if ((s = plain) == end)
            break;
        int step = utf8_step(s, end);
        if (step > 0) {
            memcpy(out + len, s, (size_t)step);
            len += (size_t)step;
            s += step;
        } else {
            len += put_bad(out + len);
            *replaced += (uint64_t)-step;
            s += -step;
        }
    }
    return len;
}

static uint32_t unit_at(const unsigned char *s, int bytes, bool big)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint32_t)s[i] << 8 * (big ? bytes - 1 - i : i);
    return value;
}

static size_t from_wide(struct str raw, enum kind kind, char *out, uint64_t *replaced)
{
    int bytes = kind == KIND_UTF32LE || kind == KIND_UTF32BE ? 4 : 2;
    bool big = kind == KIND_UTF16BE || kind == KIND_UTF32BE;
    const unsigned char *s = (const unsigned char *)raw.ptr, *end = s + raw.len;
    size_t len = 0;
    while (end - s >= bytes) {
        uint32_t cp = unit_at(s, bytes, big);
        s += bytes;
        if (bytes == 2 && cp >= 0xD800 && cp < 0xDC00 && end - s >= 2) {
            uint32_t low = unit_at(s, 2, big);
            if (low >= 0xDC00 && low < 0xE000) {
                cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
                s += 2;
            }
        }
        if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) {
            *replaced += (uint64_t)bytes;
            cp = 0xFFFD;
        }
        len += (size_t)utf8_encode(cp, out + len);
    }
    if (s < end) {
        *replaced += (uint64_t)(end - s);
        len += put_bad(out + len);
    }
    return len;
}

/* Where iconv and the Encoding standard's index files differ. */
static const struct {
    const char *iconv_name;
    uint8_t byte;
    uint16_t cp;
} repairs[] = {
    {"KOI8-U", 0xAE, 0x45E},     {"KOI8-U", 0xBE, 0x40E},        {"MACINTOSH", 0xC6, 0x2206},
    {"MACINTOSH", 0xF0, 0xF8FF}, {"MAC-CYRILLIC", 0xFF, 0x20AC}, {"WINDOWS-1255", 0xCA, 0x5BA},
};

/* What each byte becomes, padded to four bytes; bad: it becomes U+FFFD. */
struct single {
    char to[256][4];
    uint8_t len[256];
    bool bad[256];
};

/* One byte at a time through iconv fills the table; undefined bytes 80..9F are C1 controls by the
 * standard. */
static bool single_table(const char *iconv_name, struct single *t)
{
    iconv_t cd = iconv_open("UTF-8", iconv_name);
    if (cd == (iconv_t)-1)
        return false;
    memset(t, 0, sizeof *t);
    for (int i = 0; i < 256; i++) {
        char in[1] = {(char)i}, *from = in, *to = t->to[i];
        size_t in_left = 1, out_left = 3;
        iconv(cd, NULL, NULL, NULL, NULL);
        size_t rc = iconv(cd, &from, &in_left, &to, &out_left);
        /* Vietnamese and Hebrew code pages hold a letter back for its mark: flush it out. */
        t->bad[i] = rc == (size_t)-1 || iconv(cd, NULL, NULL, &to, &out_left) == (size_t)-1;
        t->len[i] = (uint8_t)(to - t->to[i]);
        if (t->bad[i] && i >= 0x80 && i < 0xA0) {
            t->len[i] = (uint8_t)utf8_encode((uint32_t)i, t->to[i]);
            t->bad[i] = false;
        } else if (t->bad[i]) {
            t->len[i] = (uint8_t)put_bad(t->to[i]);
        }
    }
    iconv_close(cd);
    for (size_t i = 0; i < COUNT_OF(repairs); i++) {
        uint8_t byte = repairs[i].byte;
        if (!str_is(str_of(iconv_name), repairs[i].iconv_name))
            continue;
        t->len[byte] = (uint8_t)utf8_encode(repairs[i].cp, t->to[byte]);
        t->bad[byte] = false;
    }
    return true;
}

static bool from_single(struct str raw, const char *iconv_name, char *out, size_t *out_len,
                        uint64_t *replaced)
{
    struct single t;
    if (!single_table(iconv_name, &t))
        return false;
    const unsigned char *s = (const unsigned char *)raw.ptr, *end = s + raw.len;
    uint64_t bad = 0;
    char *to = out;
    while (s < end) {
        const unsigned char *plain = skip_ascii(s, end);
        memcpy(to, s, (size_t)(plain - s));
        to += plain - s;
        for (s = plain; s < end && (*s >= 0x80 || *s == ' '); s++) {
            memcpy(to, t.to[*s], 4); /* there is room: out has 8 bytes more than needed */
            to += t.len[*s];
            bad += t.bad[*s];
        }
    }
    *replaced = bad;
    *out_len = (size_t)(to - out);
    return true;
}

/* ---- ISO-2022-JP, as the standard decodes it: what iconv lacks is katakana, and its characters
 * are those of EUC-JP ---- */
/* Turns the codes into EUC-JP in place: never longer. What is no code at all becomes FF, which EUC
 * has not. */
static size_t euc_of_iso2022(struct str raw, char *out)
{
    enum { ASCII, KATAKANA, DOUBLE } state = ASCII;
    const char *at = raw.ptr, *end = at + raw.len;
    size_t len = 0;
    while (at < end) {
        struct str rest = {at, (size_t)(end - at)};
        if (*at == 0x1B && (str_starts(rest, "\x1B(B") || str_starts(rest, "\x1B(J"))) {
            state = ASCII;
            at += 3;
        } else if (*at == 0x1B && str_starts(rest, "\x1B(I")) {
            state = KATAKANA;
            at += 3;
        } else if (*at == 0x1B && (str_starts(rest, "\x1B$@") || str_starts(rest, "\x1B$B"))) {
            state = DOUBLE;
            at += 3;
        } else if (*at == '\n' || state == ASCII || (unsigned char)*at < 0x21) {
            out[len++] =
                (unsigned char)*at >= 0x80 || *at == 0x0E || *at == 0x0F ? (char)0xFF : *at;
            at++;
        } else if (state == DOUBLE && rest.len > 1 && (unsigned char)at[1] > 0x20 &&
                   (unsigned char)at[1] < 0x7F && (unsigned char)*at < 0x7F) {
            out[len++] = (char)(*at++ | 0x80);
            out[len++] = (char)(*at++ | 0x80);
        } else {
            bool good = state == KATAKANA && (unsigned char)*at < 0x60;
            if (good)
                out[len++] = (char)0x8E;
            out[len++] = good ? (char)(*at | 0x80) : (char)0xFF;
            at++;
        }
    }
    return len;
}

static bool from_multi(struct str raw, const char *iconv_name, char *out, size_t *out_len,
                       uint64_t *replaced)
{
    iconv_t cd = iconv_open("UTF-8", iconv_name);
    if (cd == (iconv_t)-1)
        return false;
    bool gb = str_is(str_of(iconv_name), "GB18030");
    union {
        const char *in;
        char *iconv;
    } from = {raw.ptr}; /* iconv's prototype lacks a const */
    char *to = out;
    size_t in_left = raw.len, out_left = raw.len * 3;
    while (in_left && iconv(cd, &from.iconv, &in_left, &to, &out_left) == (size_t)-1 &&
           out_left >= 3) {
        if (in_left == 0)
            break;
        unsigned char first = (unsigned char)*from.in;
        /* A start takes its second byte with it unless that is ASCII: the standard's rule. */
        bool pair =
            first > 0x80 && first < 0xFF && in_left > 1 && (unsigned char)from.in[1] >= 0x80;
        if (gb && first == 0x80) {
            memcpy(to, "\xE2\x82\xAC", 3); /* GBK's euro sign, which GB18030 lacks */
        } else {
            put_bad(to);
            *replaced += pair + 1u;
        }
        to += 3;
        out_left -= 3;
        from.in += pair + 1;
        in_left -= pair + 1u;
    }
    iconv(cd, NULL, NULL, &to, &out_left);
    iconv_close(cd);
    *out_len = (size_t)(to - out);
    return true;
}

static bool from_iso2022(struct arena *a, struct str raw, const struct encoding *enc, char *out,
                         size_t *len, uint64_t *replaced)
{
    size_t mark = arena_mark(a);
    char *euc = arena_push(a, raw.len * 2, 1); /* a katakana becomes two bytes */
    bool done = euc && from_multi((struct str){euc, euc_of_iso2022(raw, euc)}, enc->iconv_name, out,
                                  len, replaced);
    if (!euc)
        err_clear();
    arena_reset(a, mark);
    return done;
}

/* False when this system's iconv does not know the encoding, or when a is full. */
static bool convert(struct arena *a, struct str raw, const struct encoding *enc, char *out,
                    size_t *len, uint64_t *replaced)
{
    *replaced = 0;
    switch (enc->kind) {
    case KIND_UTF8: *len = from_utf8(raw, out, replaced); return true;
    case KIND_SINGLE: return from_single(raw, enc->iconv_name, out, len, replaced);
    case KIND_MULTI: return from_multi(raw, enc->iconv_name, out, len, replaced);
    case KIND_ISO2022: return from_iso2022(a, raw, enc, out, len, replaced);
    case KIND_NONE: return false;
    default: *len = from_wide(raw, enc->kind, out, replaced); return true;
    }
}

/* ---- who is believed ---- */
static const struct encoding *detect(struct str raw)
{
    size_t start = (size_t)(skip_ascii((const unsigned char *)raw.ptr,
                                       (const unsigned char *)raw.ptr + raw.len) -
                            (const unsigned char *)raw.ptr);
    struct str part = str_slice(raw, start, start + DETECT_MAX);
    uchardet_t detector = uchardet_new();
    if (!detector)
        return windows_1252;
    const struct encoding *found = NULL;
    if (uchardet_handle_data(detector, part.ptr, part.len) == 0) {
        uchardet_data_end(detector);
        found = by_label(str_of(uchardet_get_charset(detector)));
    }
    uchardet_delete(detector);
    return found && found->kind != KIND_NONE ? found : windows_1252;
}

/* A byte order mark, or the ASCII '<' of a page that starts as wide units without one. */
static const struct encoding *by_start(struct str raw, size_t *skip)
{
    static const struct {
        const char *bytes;
        size_t len, skip;
        enum kind kind;
    } starts[] = {
        {"\xEF\xBB\xBF", 3, 3, KIND_UTF8},        {"\x00\x00\xFE\xFF", 4, 4, KIND_UTF32BE},
        {"\xFF\xFE\x00\x00", 4, 4, KIND_UTF32LE}, {"\xFE\xFF", 2, 2, KIND_UTF16BE},
        {"\xFF\xFE", 2, 2, KIND_UTF16LE},         {"<\x00\x00\x00", 4, 0, KIND_UTF32LE},
        {"\x00\x00\x00<", 4, 0, KIND_UTF32BE},
    };
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        if (raw.len < starts[i].len || memcmp(raw.ptr, starts[i].bytes, starts[i].len) != 0)
            continue;
        *skip = starts[i].skip;
        for (size_t e = 0; e < COUNT_OF(encodings); e++)
            if (encodings[e].kind == starts[i].kind)
                return &encodings[e];
    }
    if (raw.len >= 4 && raw.ptr[0] == '<' && !raw.ptr[1] && raw.ptr[2] && !raw.ptr[3])
        return by_label(STR("utf-16le"));
    if (raw.len >= 4 && !raw.ptr[0] && raw.ptr[1] == '<' && !raw.ptr[2] && raw.ptr[3])
        return by_label(STR("utf-16be"));
    return NULL;
}

static bool is_wide(const struct encoding *enc)
{
    return enc->kind >= KIND_UTF16LE && enc->kind <= KIND_UTF32BE;
}

/* ESC $ B (or @), an even number of printable bytes on one line, ESC ( B (or J), all the way: pages
 * of Japan without a label would be "$B9A$NNr;K" else. */
static bool shifts_to_kanji(struct str raw)
{
    enum { LOOKED_AT = 64 << 10 };
    const char *at = raw.ptr, *end = at + (raw.len < LOOKED_AT ? raw.len : LOOKED_AT);
    size_t runs = 0;
    while ((at = memchr(at, 0x1B, (size_t)(end - at))) && end - at > 3) {
        struct str rest = {at, (size_t)(end - at)};
        at += 3;
        if (!str_starts(rest, "\x1B$B") && !str_starts(rest, "\x1B$@"))
            continue;
        const char *from = at;
        while (at != end && *at >= '!' && *at <= '~')
            at++;
        if (end - at < 3)
            break; /* cut */
        struct str behind = {at, 3};
        bool back = str_starts(behind, "\x1B(B") || str_starts(behind, "\x1B(J") ||
                    str_starts(behind, "\x1B(I") || str_starts(behind, "\x1B$");
        if (!back || (at - from) % 2)
            return false;
        runs += at > from;
    }
    return runs > 0;
}

static const struct encoding *choose(struct str raw, struct str http, const struct byte_facts *f)
{
    const struct encoding *label = by_label(http);
    if (label && label->kind == KIND_NONE)
        label = NULL;
    if (label && is_wide(label) && !f->nul)
        label = NULL; /* wide text without one NUL among its markup is not wide */
    if (!label)
        label = prescan(raw, PRESCAN_MAX);
    if (!label && f->bad > 0)
        label = prescan(raw, LATE_MAX);
    if (label && label->kind == KIND_NONE)
        label = NULL;
    if (f->high == 0 && f->escape && shifts_to_kanji(raw))
        return by_label(STR("iso-2022-jp")); /* whatever is said: nothing else has such codes */
    if (f->high == 0)
        return label && (is_wide(label) || (label->kind == KIND_ISO2022 && f->escape)) ? label
                                                                                       : utf8;
    if (f->bad == 0) {
        /* A handful of double bytes may be valid UTF-8 by accident; a single-byte text hardly ever
         * is. */
        bool doubt = label && (is_wide(label) ||
                               (label->kind == KIND_MULTI && f->sequences < MULTI_CHANCE_MIN));
        return doubt ? label : utf8;
    }
    if (label && label->kind != KIND_UTF8)
        return label;
    if ((label || f->sequences) && f->bad * BYTES_SCARS <= f->sequences)
        return utf8; /* UTF-8 with scars: a cut, one pasted piece */
    return detect(raw);
}

/* Removes NUL bytes in place: no text has them and many tools stop there. */
static size_t drop_nul(char *text, size_t len)
{
    size_t kept = 0;
    for (size_t i = 0; i < len; i++)
        if (text[i])
            text[kept++] = text[i];
    return kept;
}

int charset_to_utf8(struct arena *a, struct str raw, struct str http_charset, struct str *text,
                    const char **name, uint64_t *replaced)
{
    *replaced = 0;
    *text = (struct str){raw.ptr, 0};
    *name = utf8->name;
    if (raw.len == 0)
        return 0;
    size_t skip = 0;
    const struct encoding *enc = by_start(raw, &skip);
    raw = str_slice(raw, skip, raw.len);
    struct byte_facts f = bytes_look(raw);
    bool sure = enc != NULL;
    if (!sure)
        enc = choose(raw, http_charset, &f);
    *name = enc->name;
    if (enc->kind == KIND_UTF8 && f.bad == 0 && !f.nul) {
        *text = raw;
        return 0;
    }
    if (raw.len > (SIZE_MAX - 8) / 3)
        return err_set(ERR_LIMIT, "charset: a page of %zu bytes", raw.len);
    size_t mark = arena_mark(a), len = 0;
    char *out = arena_push(a, raw.len * 3 + 8, 1);
    if (!out)
        return err_in(ERR_LIMIT, "charset: converting %zu bytes", raw.len);
    bool done = convert(a, raw, enc, out, &len, replaced);
    uint64_t coded = enc->kind == KIND_ISO2022 ? raw.len : f.high; /* bytes that are not ASCII */
    if (!sure && (!done || *replaced * 10 > coded)) {
        uint64_t labelled = done ? *replaced : UINT64_MAX;
        const struct encoding *other = detect(raw);
        if (!convert(a, raw, other, out, &len, replaced))
            convert(a, raw, other = utf8, out, &len, replaced);
        if (*replaced >= labelled)
            convert(a, raw, enc, out, &len, replaced);
        else
            enc = other;
    }
    *name = enc->name;
    if (f.nul)
        len = drop_nul(out, len);
    assert(len <= raw.len * 3 + 8);
    arena_reset(a, mark);
    *text = (struct str){arena_push(a, len, 1), len};
    return 0;
}
