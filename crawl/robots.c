/* robots - reads robots.txt by RFC 9309 and answers for one crawler. */
#include "crawl/robots.h"

#include "core/err.h"

#include <stdio.h>
#include <stdlib.h>

/* Rules of all groups that concern us are kept in one array, each with the names its group was
 * under: ours, "*", or both. Only at the end is it known whether a group of our own exists; then
 * only its rules count. Patterns and targets are compared in one canonical form: unreserved
 * characters bare, everything odd as upper-case %XX, a literal * or $ as %2A and %24, so that a
 * bare * in a pattern is always the wildcard. */
enum {
    FOR_ALL = 1, /* the group named "*" */
    FOR_US = 2,  /* the group named us */
    NAME_MAX_BYTES = 64,
};
enum rule_kind { RULE_ALLOW, RULE_DISALLOW, RULE_TRAIN_YES, RULE_TRAIN_NO };
struct rule {
    uint32_t start, len; /* in text */
    enum rule_kind kind;
    unsigned names;
    bool anchored; /* ended in $ */
};
struct robots {
    char agent[NAME_MAX_BYTES];
    struct buf text; /* patterns, one behind the other */
    struct rule *rule;
    size_t rule_count, rule_room;
    bool named; /* a group of our own was seen */
    int64_t delay_all_ms, delay_us_ms;
    char *sitemap[ROBOTS_SITEMAPS_MAX];
    size_t sitemap_count;
    bool failed; /* no memory */
    /* of the group being read */
    unsigned names;
    bool grouped;    /* a user-agent line was seen */
    bool rules_seen; /* the next user-agent line starts a new group */
    /* RFC 9309 2.2.4: other records may not end a group. For themselves they do: the delay of one
     * agent is not that of the next, whatever the rules behind them both are for. */
    unsigned other_names;
    bool others_seen;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

void robots_token(const char *user_agent, char *to, size_t room)
{
    size_t n = 0;
    while (n + 1 < room && (is_token(user_agent[n]) || is_digit(user_agent[n]))) {
        to[n] = user_agent[n];
        n++;
    }
    to[n] = 0;
}

/* ---- canonical form ---- */
static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void canon_byte(struct buf *to, unsigned char c)
{
    static const char hex[] = "0123456789ABCDEF";
    const char code[3] = {'%', hex[c >> 4], hex[c & 15]};
    bool unreserved = is_token((char)c) || is_digit((char)c) || c == '.' || c == '~';
    buf_add(to, unreserved ? (const char *)&c : code, unreserved ? 1 : 3);
}

/* wild: a bare * stays one. */
static void canon_add(struct buf *to, struct str raw, bool wild)
{
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        int high = c == '%' && i + 2 < raw.len ? hex_value(raw.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_value(raw.ptr[i + 2]) : -1;
        if (low >= 0) {
            canon_byte(to, (unsigned char)(high << 4 | low));
            i += 2;
        } else if ((c == '*' && !wild) || c == '$' || c <= ' ' || c >= 127 ||
                   memchr("\"%<>\\^`{|}", c, 10)) {
            canon_byte(to, c);
        } else {
            buf_char(to, (char)c);
        }
    }
}

/* ---- lines ---- */
/* The next line and what stands behind it; any of \n, \r\n and \r ends one. */
static struct str line_cut(struct str *rest)
{
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != '\n' && rest->ptr[n] != '\r')
        n++;
    struct str line = str_slice(*rest, 0, n);
    n += n + 1 < rest->len && rest->ptr[n] == '\r' && rest->ptr[n + 1] == '\n';
    *rest = str_slice(*rest, n + (n < rest->len), rest->len);
    return line;
}

/* "Name: value" or, as people write it, "Name value"; false: neither. */
static bool line_split(struct str line, struct str *name, struct str *value)
{
    size_t hash = str_find_char(line, '#');
    line = str_trim(str_slice(line, 0, hash));
    size_t colon = str_find_char(line, ':');
    if (colon != SIZE_MAX) {
        *name = str_trim(str_slice(line, 0, colon));
        *value = str_trim(str_slice(line, colon + 1, line.len));
        return name->len > 0;
    }
    size_t blank = 0;
    while (blank < line.len && line.ptr[blank] != ' ' && line.ptr[blank] != '\t')
        blank++;
    *name = str_slice(line, 0, blank);
    *value = str_trim(str_slice(line, blank, line.len));
    return value->len > 0 && str_find_char(*value, ' ') == SIZE_MAX &&
           str_find_char(*value, '\t') == SIZE_MAX;
}

static bool is_one_of(struct str name, const char *const *known)
{
    for (size_t i = 0; known[i]; i++)
        if (str_eq_nocase(name, str_of(known[i])))
            return true;
    return false;
}

/* ---- what the lines mean ---- */
static void on_agent(struct robots *r, struct str value)
{
    if (r->rules_seen) {
        r->names = 0;
        r->rules_seen = false;
    }
    if (r->others_seen) {
        r->other_names = 0;
        r->others_seen = false;
    }
    r->grouped = true;
    unsigned names = 0;
    if (str_starts(value, "*") && (value.len == 1 || value.ptr[1] == ' ' || value.ptr[1] == '\t'))
        names |= FOR_ALL;
    size_t letters = 0, all = 0;
    while (letters < value.len && is_token(value.ptr[letters]))
        letters++;
    while (all < value.len && (is_token(value.ptr[all]) || is_digit(value.ptr[all])))
        all++;
    struct str agent = str_of(r->agent);
    if (agent.len && (str_eq_nocase(str_slice(value, 0, letters), agent) ||
                      str_eq_nocase(str_slice(value, 0, all), agent))) {
        names |= FOR_US;
        r->named = true;
    }
    r->names |= names;
    r->other_names |= names;
}

static void rule_add(struct robots *r, enum rule_kind kind, struct str pattern, unsigned names)
{
    if (names == 0 || pattern.len == 0)
        return;
    if (r->rule_count == r->rule_room) {
        size_t room = r->rule_room ? r->rule_room * 2 : 64;
        struct rule *grown = realloc(r->rule, room * sizeof *grown);
        r->failed |= !grown;
        if (!grown)
            return;
        r->rule = grown;
        r->rule_room = room;
    }
    bool anchored = pattern.ptr[pattern.len - 1] == '$';
    size_t start = r->text.len;
    if (pattern.ptr[0] != '/' && pattern.ptr[0] != '*')
        buf_char(&r->text, '/');
    canon_add(&r->text, str_slice(pattern, 0, pattern.len - anchored), true);
    r->rule[r->rule_count++] =
        (struct rule){(uint32_t)start, (uint32_t)(r->text.len - start), kind, names, anchored};
}

static void delay_note(struct robots *r, double seconds)
{
    if (!(seconds > 0))
        return;
    double most = ROBOTS_DELAY_MAX_MS;
    int64_t ms = (int64_t)(seconds * 1000 < most ? seconds * 1000 : most);
    if (r->other_names & FOR_ALL && ms > r->delay_all_ms)
        r->delay_all_ms = ms;
    if (r->other_names & FOR_US && ms > r->delay_us_ms)
        r->delay_us_ms = ms;
}

/* The number in front ("10", "0.5", "10s"); 0 when there is none. */
static double number_in_front(struct str s, struct str *rest)
{
    size_t n = 0;
    double value = 0;
    while (n < s.len && n < 32 && (is_digit(s.ptr[n]) || s.ptr[n] == '.'))
        n++;
    if (!str_f64(str_slice(s, 0, n), &value))
        value = 0;
    *rest = str_slice(s, n, s.len);
    return value;
}

/* "1/5", "10/1m", "30/1h 0600-0845": documents in a time; the hours of the day are not looked at.
 */
static void on_request_rate(struct robots *r, struct str value)
{
    struct str time, rest;
    double count = number_in_front(str_cut(value, '/', &time), &rest);
    double seconds = number_in_front(time, &rest);
    if (rest.len && (rest.ptr[0] | 32) == 'm')
        seconds *= 60;
    if (rest.len && (rest.ptr[0] | 32) == 'h')
        seconds *= 3600;
    if (count > 0)
        delay_note(r, seconds / count);
}

/* "search=yes, ai-train=no": is key there, and with which value? -1 absent, 0 no, 1 yes. */
static int signal_of(struct str value, const char *key)
{
    int found = -1;
    while (value.ptr && value.len) {
        struct str rest, answer;
        struct str name = str_trim(str_cut(str_cut(value, ',', &rest), '=', &answer));
        answer = str_trim(answer);
        if (answer.len && str_eq_nocase(name, str_of(key)))
            found = (answer.ptr[0] | 32) == 'n' ? 0 : 1;
        value = rest;
    }
    return found;
}

static void on_training(struct robots *r, struct str value, const char *key)
{
    struct str path = STR("/");
    if (value.len && value.ptr[0] == '/') {
        size_t n = 0;
        while (n < value.len && value.ptr[n] != ' ' && value.ptr[n] != '\t')
            n++;
        path = str_slice(value, 0, n);
        value = str_slice(value, n, value.len);
    }
    int answer = signal_of(value, key);
    if (answer >= 0)
        rule_add(r, answer ? RULE_TRAIN_YES : RULE_TRAIN_NO, path,
                 r->grouped ? r->other_names : (unsigned)(FOR_ALL | FOR_US));
}

static void on_sitemap(struct robots *r, struct str value)
{
    if (r->sitemap_count == ROBOTS_SITEMAPS_MAX || value.len == 0)
        return;
    char *copy = malloc(value.len + 1);
    r->failed |= !copy;
    if (!copy)
        return;
    memcpy(copy, value.ptr, value.len);
    copy[value.len] = 0;
    r->sitemap[r->sitemap_count++] = copy;
}

static void on_line(struct robots *r, struct str name, struct str value)
{
    static const char *const agent[] = {"user-agent", "useragent", "user agent", NULL};
    static const char *const disallow[] = {"disallow", "dissallow", "dissalow", "disalow",
                                           "diasllow", "disallaw",  NULL};
    static const char *const sitemap[] = {"sitemap", "site-map", "sitemaps", NULL};
    static const char *const delay[] = {"crawl-delay", "crawldelay", "crawl delay", NULL};
    struct str rest;
    if (is_one_of(name, agent)) {
        on_agent(r, value);
        return;
    }
    if (is_one_of(name, sitemap)) {
        on_sitemap(r, value);
        return;
    }
    bool allow = str_eq_nocase(name, STR("allow"));
    if (allow || is_one_of(name, disallow)) {
        r->rules_seen = true;
        rule_add(r, allow ? RULE_ALLOW : RULE_DISALLOW, value, r->names);
    } else if (is_one_of(name, delay)) {
        delay_note(r, number_in_front(value, &rest));
    } else if (str_eq_nocase(name, STR("request-rate"))) {
        on_request_rate(r, value);
    } else if (str_eq_nocase(name, STR("content-signal"))) {
        on_training(r, value, "ai-train");
    } else if (str_eq_nocase(name, STR("content-usage"))) {
        on_training(r, value, "train-ai");
    } else {
        return;
    }
    r->others_seen = true;
}

int robots_parse(struct robots **out, struct str text, const char *agent)
{
    struct robots *r = calloc(1, sizeof *r);
    *out = r;
    if (!r)
        return err_set(ERR_LIMIT, "crawl: no memory for a robots.txt");
    snprintf(r->agent, sizeof r->agent, "%s", agent);
    if (text.len > ROBOTS_MAX) { /* a line cut in half may mean anything: it goes as well */
        size_t end = ROBOTS_MAX;
        while (end > 0 && text.ptr[end - 1] != '\n' && text.ptr[end - 1] != '\r')
            end--;
        text = str_slice(text, 0, end);
    }
    static const char mark[] = "\xEF\xBB\xBF";
    for (size_t i = 0; i < 3 && text.len && text.ptr[0] == mark[i]; i++)
        text = str_slice(text, 1, text.len);
    while (text.len) {
        struct str name, value, line = line_cut(&text);
        if (line_split(line, &name, &value))
            on_line(r, name, value);
    }
    if (!r->failed && !r->text.failed)
        return 0;
    robots_close(r);
    *out = NULL;
    return err_set(ERR_LIMIT, "crawl: no memory for a robots.txt");
}

/* ---- matching ---- */
/* Pieces between stars are found one behind the other, each as early as it can: nothing is tried
 * twice. */
static bool rule_matches(const struct robots *r, const struct rule *rule, struct str target)
{
    struct str pattern = {r->text.ptr + rule->start, rule->len}, rest;
    struct str piece = str_cut(pattern, '*', &rest);
    if (piece.len > target.len || (piece.len && memcmp(piece.ptr, target.ptr, piece.len) != 0))
        return false;
    size_t at = piece.len;
    bool starred = rest.ptr != NULL;
    while (rest.ptr) {
        piece = str_cut(rest, '*', &rest);
        if (!rest.ptr && rule->anchored)
            return piece.len <= target.len - at &&
                   (piece.len == 0 ||
                    memcmp(target.ptr + target.len - piece.len, piece.ptr, piece.len) == 0);
        size_t found = piece.len ? str_find(str_slice(target, at, target.len), piece) : 0;
        if (found == SIZE_MAX)
            return false;
        at += found + piece.len;
    }
    return starred || !rule->anchored || at == target.len;
}

/* Length of the longest pattern of that kind that matches, -1 for none. */
static int64_t longest(const struct robots *r, enum rule_kind kind, struct str target)
{
    unsigned names = r->named ? FOR_US : FOR_ALL;
    int64_t best = -1;
    for (size_t i = 0; i < r->rule_count; i++) {
        const struct rule *rule = &r->rule[i];
        int64_t len = (int64_t)rule->len + rule->anchored;
        if (rule->kind == kind && rule->names & names && len > best &&
            rule_matches(r, rule, target))
            best = len;
    }
    return best;
}

static bool target_canon(struct buf *to, struct str target)
{
    canon_add(to, target.len ? target : STR("/"), false);
    return !to->failed;
}

bool robots_allows(const struct robots *r, struct str target)
{
    if (str_is(target, "/robots.txt"))
        return true;
    struct buf canon = {0};
    bool yes = target_canon(&canon, target) && longest(r, RULE_ALLOW, buf_view(&canon)) >=
                                                   longest(r, RULE_DISALLOW, buf_view(&canon));
    buf_free(&canon);
    return yes;
}

bool robots_no_training(const struct robots *r, struct str target)
{
    struct buf canon = {0};
    int64_t no = -1, yes = -1;
    if (target_canon(&canon, target)) {
        no = longest(r, RULE_TRAIN_NO, buf_view(&canon));
        yes = longest(r, RULE_TRAIN_YES, buf_view(&canon));
    }
    buf_free(&canon);
    return no >= 0 && no >= yes;
}

int64_t robots_delay_ms(const struct robots *r)
{
    return r->named ? r->delay_us_ms : r->delay_all_ms;
}

size_t robots_sitemaps(const struct robots *r, const char *const **url)
{
    *url = (const char *const *)r->sitemap;
    return r->sitemap_count;
}

void robots_close(struct robots *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->sitemap_count; i++)
        free(r->sitemap[i]);
    buf_free(&r->text);
    free(r->rule);
    free(r);
}

/* ---- directives of pages ---- */
static unsigned directive_of(struct str word)
{
    static const struct {
        const char *name;
        unsigned flags;
    } known[] = {
        {"noindex", ROBOTS_NOINDEX},     {"nofollow", ROBOTS_NOFOLLOW},
        {"noarchive", ROBOTS_NOARCHIVE}, {"nocache", ROBOTS_NOARCHIVE},
        {"noai", ROBOTS_NOAI},           {"none", ROBOTS_NOINDEX | ROBOTS_NOFOLLOW},
    };
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (str_eq_nocase(word, str_of(known[i].name)))
            return known[i].flags;
    return 0;
}

unsigned robots_directives(struct str value, const char *agent)
{
    static const char *const valued[] = {"unavailable_after", "max-snippet", "max-image-preview",
                                         "max-video-preview", NULL};
    unsigned flags = 0;
    bool ours = true;
    while (value.ptr && value.len) {
        struct str rest, behind;
        struct str word = str_trim(str_cut(value, ',', &rest));
        struct str name = str_trim(str_cut(word, ':', &behind));
        if (behind.ptr && !is_one_of(name, valued)) {
            ours = str_eq_nocase(name, str_of(agent));
            word = str_trim(behind);
        }
        if (ours)
            flags |= directive_of(word);
        value = rest;
    }
    return flags;
}
