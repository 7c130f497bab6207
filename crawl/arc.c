/* arc - reads ARC URL-record lines, strictly enough to find them in the middle of a page. */
#include "crawl/arc.h"

#include "core/str.h"

#include <stdio.h>

enum { DATE_MIN = 12, DATE_MAX = 18, FIELDS_MAX = 12 };

static bool all_digits(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

/* An IPv4 or IPv6 address, or the "-" and "0" of those who did not know it. */
static bool is_address(struct str s)
{
    size_t marks = 0;
    if (str_is(s, "-") || str_is(s, "0"))
        return true;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], low = (char)(c | 0x20);
        marks += c == '.' || c == ':';
        if (c != '.' && c != ':' && (c < '0' || c > '9') && (low < 'a' || low > 'f'))
            return false;
    }
    return marks > 0 && s.len <= 45;
}

/* scheme: at the front, or "filedesc:", as URLs of archives have. */
static bool is_url(struct str s)
{
    size_t i = 0;
    while (i < s.len && (((s.ptr[i] | 0x20) >= 'a' && (s.ptr[i] | 0x20) <= 'z') ||
                         (i && s.ptr[i] >= '0' && s.ptr[i] <= '9')))
        i++;
    return i > 1 && i < s.len && s.ptr[i] == ':';
}

/* Cuts the last word off. */
static struct str last_word(struct str *line)
{
    size_t i = line->len;
    while (i > 0 && line->ptr[i - 1] != ' ')
        i--;
    struct str word = str_slice(*line, i, line->len);
    line->len = i ? i - 1 : 0;
    return word;
}

size_t arc_line(struct str text, struct arc_line *out)
{
    text = str_slice(text, 0, ARC_LINE_MAX);
    size_t end = str_find_char(text, '\n');
    if (end == SIZE_MAX || !is_url(text))
        return 0;
    struct str rest = str_slice(text, 0, end), word[FIELDS_MAX] = {{0}};
    rest.len -= rest.len && rest.ptr[rest.len - 1] == '\r';
    int count = 0;
    while (rest.len && count < FIELDS_MAX) {
        word[count++] = last_word(&rest);
        bool dated = all_digits(word[count - 1]) && word[count - 1].len >= DATE_MIN &&
                     word[count - 1].len <= DATE_MAX && count >= 3;
        struct str before = rest, ip = dated ? last_word(&before) : (struct str){0};
        if (!dated || !is_address(ip) || !before.len)
            continue;
        *out = (struct arc_line){.url = before,
                                 .ip = ip,
                                 .date = word[count - 1],
                                 .type = word[count - 2],
                                 .about = str_starts(before, "filedesc:")};
        out->known = all_digits(word[0]) && str_u64(word[0], &out->length);
        return end + 1;
    }
    return 0;
}

void arc_date(struct str date, char out[ARC_DATE_BYTES])
{
    char full[15] = "00000101000000";
    memcpy(full, date.ptr, date.len < 14 ? date.len : 14);
    snprintf(out, 24, "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", full, full + 4, full + 6, full + 8,
             full + 10, full + 12);
}
