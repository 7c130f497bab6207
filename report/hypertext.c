/* hypertext - escaping, numbers and the frame with its style sheet. */
#include "report/hypertext.h"

#include "core/unicode.h"
#include "report/report.h"

#include <math.h>
#include <stdio.h>

enum { MARKS_MAX = 4 }; /* marks on one letter: more is a tower that runs over other lines */

static const char style[] =
    ":root{color-scheme:light dark;--page:#fbfbf9;--card:#fff;--ink:#1d2125;--soft:#5d646d;"
    "--line:#e2e3df;--kept:#2c6fb3;--drop:#d9713c;--shade:#d9713c1f;--warn:#8a5a00;--warnbg:#"
    "fff6e0;"
    "--s1:#2f8f6b;--s2:#a3569b;--s3:#c79a16}"
    "@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1b1f23;--ink:#e4e6e8;"
    "--soft:#9aa2ab;--line:#2e343a;--kept:#6caaf0;--drop:#eb8f5c;--shade:#eb8f5c2b;--warn:#f0c877;"
    "--warnbg:#2b2414;--s1:#63c4a0;--s2:#d18bca;--s3:#e0bf55}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif;-webkit-text-size-adjust:100%}"
    "main,header,footer{max-width:1080px;margin:0 auto;padding:0 20px}"
    "header{padding-top:36px}h1{font-size:28px;line-height:1.2;margin:0 0 "
    "4px;letter-spacing:-.01em;"
    "overflow-wrap:anywhere}"
    "h2{font-size:19px;margin:0 0 4px;letter-spacing:-.005em}h3{font-size:15px;margin:24px 0 8px}"
    "section{margin:44px 0}p{margin:0 0 12px;max-width:72ch}.soft{color:var(--soft)}"
    "nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:18px 0 0;padding:10px 0;font-size:14px;"
    "border-top:1px solid var(--line);border-bottom:1px solid var(--line)}"
    "a{color:var(--kept);text-decoration:none}a:hover{text-decoration:underline}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;"
    "margin:24px 0 0}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px "
    "16px}"
    ".card b{display:block;font-size:24px;line-height:1.25;font-weight:600;"
    "font-variant-numeric:tabular-nums}.card span{color:var(--soft);font-size:13px}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,310px),1fr));gap:"
    "16px}"
    ".two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:12px "
    "36px}"
    ".grid .card h3{margin:0;overflow-wrap:anywhere;font-size:14px}"
    ".card ul{margin:8px 0 0;padding:0;list-style:none;font-size:13px;color:var(--soft)}"
    ".card li{margin:2px 0;overflow-wrap:anywhere}.card li b{display:inline;font-size:13px;"
    "color:var(--ink)}"
    ".scroll{overflow-x:auto;margin:8px 0 0}"
    "table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}"
    "th,td{padding:6px 12px 6px 0;text-align:left;border-bottom:1px solid var(--line);"
    "vertical-align:baseline}"
    "th{font-weight:600;color:var(--soft);font-size:13px;white-space:nowrap}"
    "td.n,th.n{text-align:right;white-space:nowrap;padding-left:12px}td:last-child,th:last-child"
    "{padding-right:0}td.w{overflow-wrap:anywhere;min-width:180px}tr.sum td{font-weight:600}"
    "td.bar{width:22%;min-width:90px}td.bar i{display:block;height:9px;border-radius:2px;"
    "background:var(--drop);min-width:1px}"
    "svg{display:block;width:100%;overflow:visible}svg text{fill:var(--soft);font-size:12px;"
    "font-family:inherit;font-variant-numeric:tabular-nums}"
    "svg.bars text{font-size:13px}svg.bars text.l{fill:var(--ink)}"
    "svg.plot{margin:14px 14px 46px 58px;width:calc(100% - 72px)}svg.hist{margin:10px 0 24px}"
    ".grid-line{stroke:var(--line)}.axis{stroke:var(--soft)}.k{fill:var(--kept)}.d{fill:var(--drop)"
    "}"
    ".t{fill:var(--line)}.shade{fill:var(--shade)}.mark{stroke:var(--drop);stroke-width:1.5;"
    "stroke-dasharray:4 3}"
    ".s{fill:none;stroke-width:1.6;stroke-linejoin:round}.s0{stroke:var(--kept)}.s1{stroke:var(--"
    "s1)}"
    ".s2{stroke:var(--s2)}.s3{stroke:var(--s3)}"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);"
    "margin:0 0 10px}"
    ".legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px;"
    "vertical-align:-1px}"
    ".i0{background:var(--kept)}.i1{background:var(--s1)}.i2{background:var(--s2)}"
    ".i3{background:var(--s3)}.ik{background:var(--kept)}.id{background:var(--drop)}"
    ".is{background:var(--shade);border:1px dashed var(--drop)}"
    ".warn{background:var(--warnbg);border:1px solid var(--line);border-radius:10px;padding:12px "
    "18px}"
    ".warn li{margin:3px 0;overflow-wrap:anywhere}.warn ul{margin:4px 0;padding-left:20px}"
    ".warn h2{color:var(--warn)}"
    "details{border-bottom:1px solid var(--line);padding:7px 0}summary{cursor:pointer;"
    "overflow-wrap:anywhere}"
    "summary .soft{font-size:13px}"
    ".tag{display:inline-block;font-size:12px;border-radius:4px;padding:0 6px;margin-right:6px;"
    "border:1px solid currentColor}.tag.keep{color:var(--kept)}.tag.drop{color:var(--drop)}"
    ".doc{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;font-size:14px;"
    "max-height:340px;overflow:auto;background:var(--card);border:1px solid var(--line);"
    "border-radius:8px;padding:10px 14px;margin:8px 0 6px;contain:paint}"
    "pre.doc{font:12.5px/1.5 ui-monospace,Consolas,'DejaVu Sans Mono',monospace}"
    ".url{unicode-bidi:isolate;direction:ltr;overflow-wrap:anywhere;font-size:14px}"
    "footer{color:var(--soft);font-size:13px;padding-bottom:40px}"
    "@media(max-width:560px){header{padding-top:22px}h1{font-size:23px}main,header,footer"
    "{padding-left:14px;padding-right:14px}.cards{grid-template-columns:repeat(2,1fr)}"
    "td.w{min-width:120px}td.bar,th.bar{display:none}table{font-size:13px}.card{padding:10px "
    "12px}.card b{font-size:20px}section{margin:34px 0}}"
    "@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#ccc;--kept:#1f5c9e;"
    "--drop:#b8501e;--warn:#6b4500;--warnbg:#fff}nav{display:none}body{font-size:12px}"
    "section,.card,tr,details,svg{break-inside:avoid}section.long{break-inside:auto}"
    "main,header,footer{max-width:none}.doc{max-height:none;overflow:visible}"
    "details::details-content{content-visibility:visible;display:block}"
    "*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}";

void html_head(struct buf *to, struct str title)
{
    buf_text(to, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                 "<meta http-equiv=\"Content-Security-Policy\" "
                 "content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                 "<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
    html_escape(to, title);
    buf_text(to, "</title>\n<style>");
    buf_text(to, style);
    buf_text(to, "</style>\n</head>\n<body>\n");
}

void html_foot(struct buf *to)
{
    buf_text(to, "<footer><p>Made by sluice " SLUICE_VERSION
                 ". This page loads nothing and runs nothing; its figures stand in report.json."
                 "</p></footer>\n</body>\n</html>\n");
}

static bool is_hidden(uint32_t cp)
{
    return (cp < 32 && cp != '\n' && cp != '\t') || (cp >= 0x7F && cp < 0xA0) || cp == 0xFFFD ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x200B || (cp & 0xFFFE) == 0xFFFE ||
           (cp >= 0xFDD0 && cp < 0xFDF0) || (cp >= 0xFFF9 && cp < 0xFFFC);
}

/* Joiners and soft hyphens do no harm and many scripts need them; direction controls do. */
static bool is_harmless_format(uint32_t cp) { return cp == 0xAD || cp == 0x200C || cp == 0x200D; }

static void escape_point(struct buf *to, uint32_t cp)
{
    char bytes[4];
    if (cp == '<')
        buf_text(to, "&lt;");
    else if (cp == '>')
        buf_text(to, "&gt;");
    else if (cp == '&')
        buf_text(to, "&amp;");
    else if (cp == '"')
        buf_text(to, "&quot;");
    else if (cp == '\'')
        buf_text(to, "&#39;");
    else if (is_hidden(cp) || (uc_is_ignorable(cp) && !is_harmless_format(cp)))
        buf_text(to, "\xEF\xBF\xBD");
    else
        buf_add(to, bytes, (size_t)utf8_encode(cp, bytes));
}

static bool escape_some(struct buf *to, struct str s, size_t max)
{
    int marks = 0;
    size_t points = 0;
    const char *at = s.ptr, *end = s.ptr + s.len;
    for (; at < end && points < max; points++) {
        uint32_t cp;
        at += utf8_decode(at, end, &cp);
        marks = uc_class(cp) == UC_MARK ? marks + 1 : 0;
        if (marks <= MARKS_MAX)
            escape_point(to, cp);
    }
    return at < end;
}

void html_escape(struct buf *to, struct str s) { escape_some(to, s, SIZE_MAX); }

void html_text(struct buf *to, const char *text) { html_escape(to, str_of(text)); }

void html_clip(struct buf *to, struct str s, size_t max)
{
    if (escape_some(to, s, max))
        buf_text(to, "\u2026");
}

void html_count(struct buf *to, uint64_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf_char(to, ',');
        buf_char(to, digits[i]);
    }
}

static void put_scaled(struct buf *to, double value, const char *const *unit, int units)
{
    int step = 0;
    while (step + 1 < units && fabs(value) >= 999.5) {
        value /= 1000;
        step++;
    }
    int digits = step == 0 ? 0 : fabs(value) < 9.995 ? 2 : fabs(value) < 99.95 ? 1 : 0;
    buf_printf(to, "%.*f\u202F%s", digits, value, unit[step]);
}

void html_big(struct buf *to, double value)
{
    static const char *const unit[] = {"", "K", "M", "B", "T", "Q"};
    if (!isfinite(value))
        buf_text(to, "\u2013");
    else if (value >= 0 && value < 1e6)
        html_count(to, (uint64_t)llround(value));
    else
        put_scaled(to, value, unit, COUNT_OF(unit));
}

void html_bytes(struct buf *to, double value)
{
    static const char *const unit[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    if (isfinite(value))
        put_scaled(to, value, unit, COUNT_OF(unit));
    else
        buf_text(to, "\u2013");
}

void html_num(struct buf *to, double value)
{
    if (!isfinite(value))
        buf_text(to, isnan(value) ? "\u2013" : value > 0 ? "\u221E" : "\u2212\u221E");
    else if (value >= 1000 && value < 1e15)
        html_count(to, (uint64_t)llround(value));
    else if (value < 0)
        buf_printf(to, "\u2212%.4g", -value);
    else
        buf_printf(to, "%.4g", value);
}

void html_rough(struct buf *to, double value)
{
    double whole = fabs(value) >= 100 ? round(value) : value;
    if (fabs(whole) < 100)
        buf_printf(to, whole < 0 ? "\u2212%.2g" : "%.2g", fabs(whole));
    else
        html_num(to, whole);
}

void html_share(struct buf *to, uint64_t part, uint64_t whole)
{
    double percent = whole ? 100.0 * (double)part / (double)whole : 0;
    if (whole == 0)
        buf_text(to, "\u2013");
    else if (part && percent < 0.1)
        buf_text(to, "&lt;0.1\u202F%");
    else if (part < whole && percent > 99.9)
        buf_text(to, "&gt;99.9\u202F%");
    else
        buf_printf(to, "%.1f\u202F%%", percent);
}

void html_count_cell(struct buf *to, uint64_t value)
{
    buf_text(to, "<td class=\"n\">");
    html_count(to, value);
    buf_text(to, "</td>");
}

void html_num_cell(struct buf *to, double value)
{
    buf_text(to, "<td class=\"n\">");
    html_num(to, value);
    buf_text(to, "</td>");
}
