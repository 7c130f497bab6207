/* dates - ISO 8601 and RFC 822 whole, and the dates of running text in the words of 24 languages.
 */
/* Text is cut into numbers, words and single signs; a date is one of a few shapes of such tokens.
 * A year of two digits is never a date, nor is a year alone: footers are full of them. */
#include "extract/dates.h"

#include "core/hash.h"
#include "core/unicode.h"

#include <pthread.h>
#include <stdio.h>

enum { MONTH_SLOTS = 1024, MONTH_BYTES = 32, AHEAD = 8, SHORT_NAME = 3 };

/* Names and customary short forms, lower case, in nominative and genitive. */
static const char *const months[12] = {
    "january jan januar jänner janvier janv enero ene gennaio gen janeiro januari styczeń stycznia "
    "stycz январь января янв січень січня leden ledna ocak tammikuu tammikuuta ianuarie január "
    "januára ianouarios ιανουαρίου ιανουάριος gener januára sausio janvāris jaanuar siječnja "
    "januarie يناير",
    "february feb februar feber février févr fév fevrier febrero febbraio febr fevereiro fev "
    "februari luty lutego февраль февраля фев лютий лютого únor února şubat helmikuu helmikuuta "
    "februarie február februára φεβρουαρίου φεβρουάριος febrer vasario veljače فبراير",
    "march mar märz mrz mars marzo março maart mrt marts marzec marca март марта мар березень "
    "березня březen března mart maaliskuu maaliskuuta martie március marec μαρτίου μάρτιος març "
    "kovo ožujka مارس maret",
    "april apr avril avr abril abr aprile kwiecień kwietnia апрель апреля апр квітень квітня duben "
    "dubna nisan huhtikuu huhtikuuta aprilie április apríl apríla απριλίου απρίλιος balandžio "
    "travnja أبريل",
    "may mai mayo maggio mag maio mei maj maja май мая травень травня květen května mayıs toukokuu "
    "toukokuuta május mája μαΐου μάιος maig gegužės svibnja مايو",
    "june jun juni juin junio giugno giu junho czerwiec czerwca июнь июня июн червень червня "
    "červen "
    "června haziran kesäkuu kesäkuuta iunie június jún júna ιουνίου ιούνιος juny birželio lipnja "
    "يونيو",
    "july jul juli juillet juil julio luglio lug julho lipiec lipca июль июля июл липень липня "
    "červenec července temmuz heinäkuu heinäkuuta iulie július júl júla ιουλίου ιούλιος juliol "
    "liepos srpnja يوليو",
    "august aug août aout agosto ago augustus augusti sierpień sierpnia август августа авг серпень "
    "серпня srpen srpna ağustos elokuu elokuuta augusztus augusta αυγούστου αύγουστος agost "
    "rugpjūčio kolovoza agustus أغسطس",
    "september sep sept septembre septiembre setiembre settembre set setembro wrzesień września "
    "сентябрь сентября сен сент вересень вересня září eylül syyskuu syyskuuta septembrie "
    "szeptember septembra σεπτεμβρίου σεπτέμβριος setembre rugsėjo rujna سبتمبر",
    "october oct oktober okt octobre octubre ottobre ott outubro out październik października "
    "октябрь октября окт жовтень жовтня říjen října ekim lokakuu lokakuuta octombrie október "
    "októbra οκτωβρίου οκτώβριος spalio listopada أكتوبر",
    "november nov novembre noviembre novembro listopad ноябрь ноября ноя листопад листопада kasım "
    "marraskuu marraskuuta noiembrie novembra νοεμβρίου νοέμβριος lapkričio studenoga نوفمبر",
    "december dec dezember dez décembre déc decembre diciembre dic dicembre dezembro grudzień "
    "grudnia декабрь декабря дек грудень грудня prosinec prosince aralık joulukuu joulukuuta "
    "decembrie decembra δεκεμβρίου δεκέμβριος desembre gruodžio prosinca desember des ديسمبر",
};
/* listopad is October in Croatian and November in Polish and Czech, whose genitive is listopadu:
 * Croatian writes listopada. */

struct month_slot {
    uint64_t key;
    int month;
};
static struct month_slot slots[MONTH_SLOTS]; /* filled once, then only read */
static pthread_once_t slots_once = PTHREAD_ONCE_INIT;

static struct month_slot *slot_of(struct str word)
{
    uint64_t key = hash_str(word, 0) | 1, at = key >> 32;
    for (at %= MONTH_SLOTS; slots[at].key && slots[at].key != key;)
        at = (at + 1) % MONTH_SLOTS;
    return &slots[at];
}

static void fill_slots(void)
{
    for (int i = 0; i < 12; i++) {
        struct str rest = str_of(months[i]);
        while (rest.ptr) {
            struct str word = str_cut(rest, ' ', &rest);
            struct month_slot *s = slot_of(word);
            s->key = hash_str(word, 0) | 1;
            s->month = i + 1;
        }
    }
}

/* 0: no month. */
static int month_of(struct str word)
{
    char lower[MONTH_BYTES + 4];
    size_t len = 0;
    if (word.len > MONTH_BYTES || word.len < SHORT_NAME)
        return 0;
    for (const char *at = word.ptr, *end = at + word.len; at < end && len < MONTH_BYTES;) {
        uint32_t cp;
        at += utf8_decode(at, end, &cp);
        len += (size_t)utf8_encode(uc_lower(cp), lower + len);
    }
    pthread_once(&slots_once, fill_slots);
    const struct month_slot *s = slot_of((struct str){lower, len});
    return s->key ? s->month : 0;
}

static int days_in(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool is_day(int year, int month, int day)
{
    return year >= DATE_YEAR_MIN && year <= DATE_YEAR_MAX && month >= 1 && month <= 12 &&
           day >= 1 && day <= days_in(year, month);
}

static bool set_day(struct date *d, int year, int month, int day)
{
    if (!is_day(year, month, day))
        return false;
    *d = (struct date){.year = year, .month = month, .day = day};
    return true;
}

/* ---- what programs write ---- */
struct scan {
    const char *at, *end;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Exactly count digits, else false and nothing is taken. */
static bool take_digits(struct scan *s, int count, int *value)
{
    int v = 0;
    if (s->end - s->at < count)
        return false;
    for (int i = 0; i < count; i++) {
        if (!is_digit(s->at[i]))
            return false;
        v = v * 10 + (s->at[i] - '0');
    }
    s->at += count;
    *value = v;
    return true;
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static void take_blanks(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
        s->at++;
}

static bool take_zone(struct scan *s, struct date *d)
{
    int hours, minutes = 0;
    take_blanks(s);
    if (s->at == s->end)
        return true;
    struct str rest = {s->at, (size_t)(s->end - s->at)};
    if (str_eq_nocase(rest, STR("z")) || str_eq_nocase(rest, STR("utc")) ||
        str_eq_nocase(rest, STR("gmt"))) {
        d->zoned = true;
        s->at = s->end;
        return true;
    }
    if (*s->at != '+' && *s->at != '-')
        return false;
    int sign = *s->at++ == '-' ? -1 : 1;
    if (!take_digits(s, 2, &hours))
        return false;
    take(s, ':');
    take_digits(s, 2, &minutes);
    if (hours > 14 || minutes > 59 || s->at != s->end)
        return false;
    d->zone = sign * (hours * 60 + minutes);
    d->zoned = true;
    return true;
}

/* hh:mm[:ss[.fff]] and a zone; what does not read as one leaves the day alone. */
static void take_time(struct scan *s, struct date *d)
{
    struct date timed = *d;
    if (!take_digits(s, 2, &timed.hour))
        return;
    bool colon = take(s, ':');
    if (!take_digits(s, 2, &timed.minute))
        return;
    if ((take(s, ':') || !colon) && take_digits(s, 2, &timed.second) &&
        (take(s, '.') || take(s, ',')))
        while (s->at < s->end && is_digit(*s->at))
            s->at++;
    if (timed.hour > 23 || timed.minute > 59 || timed.second > 60 || !take_zone(s, &timed))
        return;
    timed.timed = true;
    *d = timed;
}

static bool read_iso(struct scan s, struct date *out)
{
    int year, month = 0, day = 0;
    if (!take_digits(&s, 4, &year) || year < DATE_YEAR_MIN || year > DATE_YEAR_MAX)
        return false;
    *out = (struct date){.year = year};
    if (s.at == s.end)
        return true;
    bool dash = take(&s, '-') || take(&s, '/') || take(&s, '.');
    if (!take_digits(&s, 2, &month) || month < 1 || month > 12)
        return false;
    out->month = month;
    if (s.at == s.end)
        return dash; /* 202405 is no month */
    if (dash && !take(&s, '-') && !take(&s, '/') && !take(&s, '.'))
        return false;
    if (!take_digits(&s, 2, &day) || !set_day(out, year, month, day))
        return false;
    if (s.at == s.end)
        return true;
    if (!take(&s, 'T') && !take(&s, 't') && !take(&s, ' '))
        return false;
    take_blanks(&s);
    take_time(&s, out);
    return true;
}

static struct str take_word(struct scan *s)
{
    const char *start = s->at;
    while (s->at < s->end && *s->at != ' ' && *s->at != ',')
        s->at++;
    struct str word = {start, (size_t)(s->at - start)};
    while (s->at < s->end && (*s->at == ' ' || *s->at == ','))
        s->at++;
    return word;
}

/* "Sat, 18 May 2024 10:20:30 +0200", "Sat May 18 10:20:30 UTC 2024" and both without the weekday.
 */
static bool read_rfc822(struct scan s, struct date *out)
{
    uint64_t day, year;
    struct str time = {0};
    struct str first = take_word(&s);
    if (!str_u64(first, &day) && !month_of(first))
        first = take_word(&s);
    struct str second = take_word(&s), third = take_word(&s);
    int month = month_of(first);
    struct str number = month ? second : first;
    month = month ? month : month_of(second);
    if (!str_u64(number, &day) || day > 31 || !month)
        return false;
    if (str_find_char(third, ':') != SIZE_MAX) { /* asctime: the year stands last */
        time = third;
        third = take_word(&s);
        if (!str_u64(third, &year))
            third = take_word(&s);
        s = (struct scan){time.ptr, time.ptr + time.len};
    }
    if (!str_u64(third, &year) || year > DATE_YEAR_MAX || !set_day(out, (int)year, month, (int)day))
        return false;
    take_time(&s, out);
    return true;
}

bool date_read(struct str s, struct date *out)
{
    s = str_trim(s);
    struct scan scan = {s.ptr, s.ptr + s.len};
    return s.len >= 4 && s.len < 64 && (read_iso(scan, out) || read_rfc822(scan, out));
}

/* ---- running text ---- */
enum token_type { TOKEN_END, TOKEN_NUMBER, TOKEN_WORD, TOKEN_SIGN };
struct token {
    enum token_type type;
    struct str text;
    int value, digits;
};

static bool is_word_cp(uint32_t cp)
{
    return cp < 0x80 ? (cp | 32) >= 'a' && (cp | 32) <= 'z' : uc_is_letter(cp);
}

/* Blanks are skipped; a CJK sign is a token of its own. */
static struct token next_token(const char **from, const char *end)
{
    const char *at = *from;
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n'))
        at++;
    struct token t = {.type = TOKEN_END, .text = {at, 0}};
    if (at < end && is_digit(*at)) {
        t.type = TOKEN_NUMBER;
        for (; at < end && is_digit(*at); at++, t.digits++)
            t.value = t.digits < 6 ? t.value * 10 + (*at - '0') : t.value;
    } else if (at < end) {
        uint32_t cp;
        int len = utf8_decode(at, end, &cp);
        t.type = is_word_cp(cp) ? TOKEN_WORD : TOKEN_SIGN;
        at += len;
        while (t.type == TOKEN_WORD && !uc_is_spaceless(cp) && at < end) {
            len = utf8_decode(at, end, &cp);
            if (!is_word_cp(cp) || uc_is_spaceless(cp))
                break;
            at += len;
        }
    }
    t.text.len = (size_t)(at - t.text.ptr);
    *from = at;
    return t;
}

static bool is_year(const struct token *t)
{
    return t->type == TOKEN_NUMBER && t->digits == 4 && t->value >= DATE_YEAR_MIN &&
           t->value <= DATE_YEAR_MAX;
}
static bool is_short(const struct token *t) { return t->type == TOKEN_NUMBER && t->digits <= 2; }
static bool is_text(const struct token *t, const char *text) { return str_is(t->text, text); }

/* Signs and words that may stand between the parts of a written date. */
static int skip_between(const struct token *t, int i)
{
    static const char *const words[] = {",",  ".",  "-",  "/", "de", "del", "of", "st",  "nd",
                                        "rd", "th", "er", "º", "ª",  "den", "le", "the", "o"};
    for (int skipped = 0; skipped < 2 && i < AHEAD; skipped++) {
        bool found = false;
        for (size_t w = 0; w < COUNT_OF(words) && !found; w++)
            found = str_eq_nocase(t[i].text, str_of(words[w])) && t[i].type != TOKEN_NUMBER;
        if (!found)
            break;
        i++;
    }
    return i;
}

/* "2023 Jan 7", as libraries have it. */
static bool year_first(const struct token *t, struct date *out)
{
    int month = is_year(&t[0]) && t[1].type == TOKEN_WORD ? month_of(t[1].text) : 0;
    int i = skip_between(t, 2);
    return month && i < AHEAD && is_short(&t[i]) && set_day(out, t[0].value, month, t[i].value);
}

/* t[0] is the day or the month's name. */
static bool named_date(const struct token *t, struct date *out)
{
    int month = t[0].type == TOKEN_WORD ? month_of(t[0].text) : 0;
    const struct token *day = &t[0];
    int i = skip_between(t, 1);
    if (i >= AHEAD)
        return false;
    if (month) {
        day = &t[i];
    } else {
        month = t[i].type == TOKEN_WORD ? month_of(t[i].text) : 0;
    }
    if (!month || !is_short(day))
        return false;
    i = skip_between(t, i + 1);
    return i < AHEAD && is_year(&t[i]) && set_day(out, t[i].value, month, day->value);
}

static bool numbers_date(const struct token *t, enum date_order order, struct date *out)
{
    const struct token *sign = &t[1], *second = &t[2], *third = &t[4];
    if (!is_text(sign, "-") && !is_text(sign, "/") && !is_text(sign, ".") && !is_text(sign, "年") &&
        !is_text(sign, "년"))
        return false;
    bool cjk = is_text(sign, "年") || is_text(sign, "년");
    if (second->type != TOKEN_NUMBER || third->type != TOKEN_NUMBER)
        return false;
    if (cjk ? !is_text(&t[3], "月") && !is_text(&t[3], "월") : !str_eq(t[3].text, sign->text))
        return false;
    if (is_year(&t[0]) && is_short(second) && is_short(third))
        return set_day(out, t[0].value, second->value, third->value);
    if (cjk || !is_short(&t[0]) || !is_short(second) || !is_year(third))
        return false;
    if (is_text(sign, ".") || t[0].value > 12)
        return set_day(out, third->value, second->value, t[0].value);
    if (second->value > 12 || order == DATE_MONTH_FIRST)
        return set_day(out, third->value, t[0].value, second->value);
    return order == DATE_DAY_FIRST && set_day(out, third->value, second->value, t[0].value);
}

bool date_find(struct str text, enum date_order order, struct date *out, size_t *at)
{
    struct token t[AHEAD];
    const char *from = text.ptr, *end = text.ptr + text.len;
    if (!text.len)
        return false;
    for (int i = 0; i < AHEAD; i++)
        t[i] = next_token(&from, end);
    while (t[0].type != TOKEN_END) {
        bool starts = t[0].type == TOKEN_WORD || (t[0].type == TOKEN_NUMBER && t[0].digits <= 4);
        const char *before = t[0].text.ptr - 1; /* "12.5.1.2024" is a version */
        bool inside = before >= text.ptr && t[0].type == TOKEN_NUMBER && strchr("./-", *before);
        if (starts && (named_date(t, out) || year_first(t, out) ||
                       (t[0].type == TOKEN_NUMBER && !inside && numbers_date(t, order, out)))) {
            if (at)
                *at = (size_t)(t[0].text.ptr - text.ptr);
            return true;
        }
        memmove(t, t + 1, sizeof t - sizeof t[0]);
        t[AHEAD - 1] = next_token(&from, end);
    }
    return false;
}

bool date_in_url(struct str url, struct date *out)
{
    for (size_t i = 0; i + 11 <= url.len; i++) {
        const char *p = url.ptr + i;
        int year, month, day;
        struct scan s = {p + 1, url.ptr + url.len};
        if ((p[0] != '/' && p[0] != '-' && p[0] != '_') || !take_digits(&s, 4, &year) ||
            s.at == s.end)
            continue;
        char sign = *s.at++;
        if ((sign == '/' || sign == '-' || sign == '_') && take_digits(&s, 2, &month) &&
            take(&s, sign) && take_digits(&s, 2, &day) && (s.at == s.end || !is_digit(*s.at)) &&
            set_day(out, year, month, day))
            return true;
    }
    return false;
}

const char *date_print(const struct date *d, char to[DATE_TEXT_MAX])
{
    int len = snprintf(to, DATE_TEXT_MAX, "%04d", d->year);
    if (d->month)
        len += snprintf(to + len, (size_t)(DATE_TEXT_MAX - len), "-%02d", d->month);
    if (d->day)
        len += snprintf(to + len, (size_t)(DATE_TEXT_MAX - len), "-%02d", d->day);
    if (!d->timed)
        return to;
    len += snprintf(to + len, (size_t)(DATE_TEXT_MAX - len), "T%02d:%02d:%02d", d->hour, d->minute,
                    d->second);
    int zone = d->zone < 0 ? -d->zone : d->zone;
    if (d->zoned && zone == 0)
        snprintf(to + len, (size_t)(DATE_TEXT_MAX - len), "Z");
    else if (d->zoned)
        snprintf(to + len, (size_t)(DATE_TEXT_MAX - len), "%c%02d:%02d", d->zone < 0 ? '-' : '+',
                 zone / 60, zone % 60);
    return to;
}
