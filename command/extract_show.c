/* extract_show - a page's blocks as aligned lines: kept or not, score, tag, text, and why. */
#include "command/extract_show.h"

#include "core/unicode.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MIN = 60, COLUMNS_PLAIN = 120, REASONS_SHOWN = 2, INDENT = 22 };

void show_terminal(struct show_conf *out)
{
    const char *term = getenv("TERM"), *columns = getenv("COLUMNS"), *no = getenv("NO_COLOR");
    struct winsize size;
    int64_t wide = 0;
    bool tty = isatty(STDOUT_FILENO) != 0;
    out->colour = tty && !(no && no[0]) && !(term && strcmp(term, "dumb") == 0);
    out->columns = COLUMNS_PLAIN;
    if (columns && str_i64(str_of(columns), &wide) && wide > 0 && wide < 10000)
        out->columns = (int)wide;
    else if (tty && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        out->columns = size.ws_col;
    if (out->columns < COLUMNS_MIN)
        out->columns = COLUMNS_MIN;
}

/* What would move a terminal's cursor, turn its text round or hide in it. */
static bool is_control(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || (cp >= 0x200B && cp <= 0x200F) ||
           (cp >= 0x2028 && cp <= 0x202E) || (cp >= 0x2060 && cp <= 0x206F) || cp == 0xFEFF ||
           cp == 0xFFFD;
}

/* Columns a character takes: 0, 1 or 2 (East Asian and pictures). */
static int width_of(uint32_t cp)
{
    if (uc_is_nonspacing(cp))
        return 0;
    bool wide = (cp >= 0x1100 && cp <= 0x115F) || (cp >= 0x2E80 && cp <= 0xA4CF) ||
                (cp >= 0xAC00 && cp <= 0xD7A3) || (cp >= 0xF900 && cp <= 0xFAFF) ||
                (cp >= 0xFE30 && cp <= 0xFE6F) || (cp >= 0xFF00 && cp <= 0xFF60) ||
                (cp >= 0xFFE0 && cp <= 0xFFE6) || (cp >= 0x1F300 && cp <= 0x1FAFF) ||
                (cp >= 0x20000 && cp <= 0x3FFFD);
    return wide ? 2 : 1;
}

/* On one line, at most `columns` wide (0: any), with an ellipsis where it was cut. */
static void put_line(struct buf *to, struct str text, int columns)
{
    int used = 0;
    bool blank = false;
    for (const char *at = text.ptr, *end = text.ptr + text.len; at < end;) {
        uint32_t cp;
        const char *from = at;
        at += utf8_decode(at, end, &cp);
        if (cp == '\n' || cp == '\t' || cp == ' ') {
            blank = used > 0;
            continue;
        }
        if (is_control(cp))
            continue;
        int wide = width_of(cp) + blank;
        if (columns && used + wide > columns - 1 && at < end) {
            buf_text(to, "\xE2\x80\xA6");
            return;
        }
        if (blank)
            buf_char(to, ' ');
        blank = false;
        buf_add(to, from, (size_t)(at - from));
        used += wide;
    }
}

static void put_style(struct buf *to, const struct show_conf *conf, const char *style)
{
    if (conf->colour)
        buf_printf(to, "\x1b[%sm", style);
}

static void put_field(struct buf *to, const struct show_conf *conf, const char *name,
                      struct str value)
{
    if (value.len == 0)
        return;
    put_style(to, conf, "2");
    buf_printf(to, "%-12s", name);
    put_style(to, conf, "0");
    put_line(to, value, conf->columns - 12);
    buf_char(to, '\n');
}

static void put_meta(struct buf *to, const struct show_conf *conf, const struct page_meta *m)
{
    put_field(to, conf, "title", m->title);
    put_field(to, conf, "author", m->author);
    if (m->date.len) {
        char date[128];
        snprintf(date, sizeof date, "%.*s (from %s)", (int)(m->date.len < 40 ? m->date.len : 40),
                 m->date.ptr, m->date_from);
        put_field(to, conf, "date", str_of(date));
    }
    put_field(to, conf, "modified", m->modified);
    put_field(to, conf, "language", m->language);
    put_field(to, conf, "site", m->site);
    put_field(to, conf, "canonical", m->canonical);
    put_field(to, conf, "licence", m->licence.len ? m->licence : m->licence_url);
    put_field(to, conf, "description", m->description);
}

static void put_kinds(struct buf *to, const struct show_conf *conf, const struct explain *e)
{
    char text[200];
    int len = 0;
    bool shown[PAGE_KIND_COUNT] = {false};
    for (int rank = 0; rank < 3; rank++) {
        int best = -1;
        for (int i = 0; i < PAGE_KIND_COUNT; i++)
            if (!shown[i] && (best < 0 || e->kind_share[i] > e->kind_share[best]))
                best = i;
        if (best < 0 || e->kind_share[best] < 0.01f)
            break;
        shown[best] = true;
        len += snprintf(text + len, sizeof text - (size_t)len, "%s%s %.0f %%", rank ? ", " : "",
                        page_kind_name((enum page_kind)best), 100.0 * (double)e->kind_share[best]);
    }
    put_field(to, conf, "kind", (struct str){text, (size_t)len});
}

/* The strongest on lines of their own; all of them with --whole. */
static void put_reasons(struct buf *to, const struct show_conf *conf, const struct explain_block *b)
{
    uint32_t shown =
        conf->whole || b->reason_count < REASONS_SHOWN ? b->reason_count : REASONS_SHOWN;
    for (uint32_t i = 0; i < shown; i++) {
        char text[160];
        int len = snprintf(text, sizeof text, "%+.1f  %s: %.3g", (double)b->reason[i].weight,
                           b->reason[i].name, (double)b->reason[i].value);
        put_style(to, conf, "2");
        buf_printf(to, "%*s", INDENT, "");
        put_line(to, (struct str){text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1},
                 conf->columns - INDENT);
        put_style(to, conf, "0");
        buf_char(to, '\n');
    }
}

static void put_block(struct buf *to, const struct show_conf *conf, const struct explain_block *b)
{
    put_style(to, conf, b->kept ? "32" : "31");
    buf_printf(to, "%s %.2f", b->kept ? "keep" : "drop", (double)b->score);
    put_style(to, conf, "0");
    buf_printf(to, "  %-11.10s", b->tag);
    if (!b->kept)
        put_style(to, conf, "2");
    put_line(to, b->text, conf->whole ? 0 : conf->columns - INDENT);
    put_style(to, conf, "0");
    buf_char(to, '\n');
    bool plain = strcmp(b->decided, b->kept ? "likely" : "unlikely") == 0;
    if (!plain) {
        put_style(to, conf, "33");
        buf_printf(to, "%*s%s\n", INDENT, "", b->decided);
        put_style(to, conf, "0");
    }
    put_reasons(to, conf, b);
}

void show_page(struct buf *to, const struct show_conf *conf, struct str url,
               enum extract_verdict verdict, const struct explain *e, const struct extract_out *out,
               const struct page_meta *meta)
{
    static const char *const verdicts[] = {"kept", "nested too deep", "too large for its memory",
                                           "too slow", "no main text"};
    uint32_t kept = 0;
    char text[160];
    put_field(to, conf, "url", url);
    put_meta(to, conf, meta);
    put_kinds(to, conf, e);
    for (uint32_t i = 0; i < e->count; i++)
        kept += e->block[i].kept;
    int len = snprintf(text, sizeof text, "%s; %u of %u blocks, %zu bytes", verdicts[verdict], kept,
                       e->count, out->text.len);
    put_field(to, conf, "verdict", (struct str){text, (size_t)len});
    if (e->count) {
        len = snprintf(text, sizeof text, "%.3f and above; text from the %s", (double)e->threshold,
                       e->source ? e->source : "page");
        put_field(to, conf, "kept from", (struct str){text, (size_t)len});
    }
    len = snprintf(text, sizeof text, "%u to this site, %u to others", meta->links_internal,
                   meta->links_external);
    put_field(to, conf, "links", (struct str){text, (size_t)len});
    buf_char(to, '\n');
    for (uint32_t i = 0; i < e->count; i++)
        put_block(to, conf, &e->block[i]);
}
