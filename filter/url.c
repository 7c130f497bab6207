/* url - judges a page by its address alone, before a byte of HTML is parsed.
 *
 * Follows the URL stage of FineWeb and RefinedWeb (arXiv:2306.01116, section 3.1 and appendix
 * G.1): listed domains, listed addresses, banned words, pairs of suspicious words, banned
 * substrings. The lists are files in UT1's format, one entry a line; none is built in but 40
 * words of spam and adult trade that count as soft words.
 *
 * Where we differ from datatrove:
 * - every name under a listed name is listed (datatrove blocks children of registered domains
 *   only);
 * - the address is lower-cased before words are looked for (datatrove compares mixed case and
 *   misses some);
 * - an address is compared without scheme, "www.", fragment and closing slash;
 * - two soft words are two different ones;
 * - texts of one's own (JSON lines without a URL, plain files) have no address: none of this is
 *   measured of them.
 *
 * Lists are sorted arrays of 64-bit hashes: 4.6 million domains take 37 MB and 22 steps a
 * look-up. A false match among 10^10 looked-up names is less likely than one in 10^3. */
#include "filter/filter.h"

#include "core/err.h"
#include "core/hash.h"
#include "core/io.h"

#include <assert.h>
#include <stdlib.h>

enum {
    PAIRS = 256 * 256,
    SUBWORD_MIN = 3,
    URL_SEEN_MAX = 8192,
    SOFT_SEEN_MAX = 32,
    SET_STEP = 4096
};

struct hash_set {
    uint64_t *hash;
    size_t count;
}; /* ascending */
struct subword {
    struct str word;
    struct subword *next;
};
struct url_conf {
    double require_http, require_host, max_ip, max_bytes, max_listed, max_listed_url,
        max_banned_words, max_soft_words, max_subwords;
    struct opt_list domains, urls, banned_words, soft_words, subwords;
    struct hash_set domain_set, url_set, banned_set, soft_set; /* filled by lists_open */
    struct subword **subword_head; /* by the first two bytes; NULL: no list */
};
enum { HTTP, HOST, IP, BYTES, LISTED, LISTED_URL, BANNED, SOFT, SUBWORDS };

#define SOURCE "arXiv:2306.01116 appendix G.1"
#define NUMBER(field, preset, max, unit, help, source)                                             \
    OPT_ROW(OPT_FLOAT, struct url_conf, field, preset, 0, max, unit, help, source)
#define FILES(field, help)                                                                         \
    OPT_ROW(OPT_LIST, struct url_conf, field, NULL, 0, 0, "files", help, SOURCE)
static const struct opt opts[] = {
    NUMBER(require_http, "1", 1, NULL, "1: drop addresses that are neither http nor https", NULL),
    NUMBER(require_host, "1", 1, NULL, "1: drop addresses without a host", NULL),
    NUMBER(max_ip, "0", 1, NULL, "0: drop hosts that are bare IP addresses; 1: keep them", NULL),
    NUMBER(max_bytes, "2048", 1e9, "bytes", "longer addresses drop", NULL),
    NUMBER(max_listed, "0", 1, NULL, "0: drop names on a domain list; 1: only measure", SOURCE),
    NUMBER(max_listed_url, "0", 1, NULL, "0: drop addresses on a list; 1: only measure", SOURCE),
    NUMBER(max_banned_words, "0", 1e6, "words", "more banned words drop", SOURCE),
    NUMBER(max_soft_words, "1", 1e6, "words", "more different soft words drop", SOURCE),
    NUMBER(max_subwords, "0", 1e6, "words", "more banned substrings drop", SOURCE),
    FILES(domains, "domain lists (UT1: one name a line)"),
    FILES(urls, "address lists (UT1: host/path a line)"),
    FILES(banned_words, "word lists: one such word in the address drops"),
    FILES(soft_words, "word lists: two different ones drop, with the built-in words"),
    FILES(subwords,
          "lists of substrings (3 letters at least) looked for in the address without punctuation"),
    OPT_LAST,
};
static const char *const signals[] = {"http",     "host",       "ip",           "bytes",
                                      "listed",   "listed_url", "banned_words", "soft_words",
                                      "subwords", NULL};
static const char *const units[] = {"0 or 1", "0 or 1", "0 or 1", "bytes", "0 or 1",
                                    "0 or 1", "words",  "words",  "words", NULL};
#define RULE(name, signal, sense, field) \
    {name, signal, sense, offsetof(struct url_conf, field)}
static const struct filter_rule rules[] = {
    RULE("scheme", HTTP, -1, require_http),
    RULE("no_host", HOST, -1, require_host),
    RULE("ip_host", IP, +1, max_ip),
    RULE("too_long", BYTES, +1, max_bytes),
    RULE("domain", LISTED, +1, max_listed),
    RULE("address", LISTED_URL, +1, max_listed_url),
    RULE("banned_word", BANNED, +1, max_banned_words),
    RULE("soft_words", SOFT, +1, max_soft_words),
    RULE("subword", SUBWORDS, +1, max_subwords),
};

static const char *const builtin_soft[] = {
    "adult",    "anal",    "babes",   "bdsm",    "bet",      "betting",  "bingo",    "blowjob",
    "boobs",    "bukkake", "cams",    "camgirl", "casino",   "casinos",  "cialis",   "cumshot",
    "dildo",    "erotic",  "escort",  "escorts", "fetish",   "gambling", "gangbang", "hentai",
    "hookup",   "jackpot", "levitra", "milf",    "naked",    "nude",     "orgasm",   "payday",
    "pharmacy", "poker",   "porn",    "porno",   "roulette", "sex",      "sexy",     "slots",
    "slut",     "viagra",  "webcam",  "whore",   "xanax",    "xxx",
};

static char lower_byte(char c) { return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c); }
static bool is_word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool set_has(const struct hash_set *set, uint64_t hash)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->hash[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < set->count && set->hash[low] == hash;
}

/* ---- addresses in one form ---- */

/* "HTTPS://user@www.Example.com:80/a/#b" -> "example.com:80/a", lower-cased into room
 * (URL_SEEN_MAX). */
static struct str url_normal(struct str url, char *room)
{
    size_t len = 0;
    if (str_starts_nocase(url, "http://"))
        url = str_slice(url, 7, url.len);
    else if (str_starts_nocase(url, "https://"))
        url = str_slice(url, 8, url.len);
    size_t slash = str_find_char(url, '/'), at = str_find_char(url, '@');
    if (at != SIZE_MAX && at < slash)
        url = str_slice(url, at + 1, url.len);
    if (str_starts_nocase(url, "www."))
        url = str_slice(url, 4, url.len);
    url = str_slice(url, 0, str_find_char(url, '#'));
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    for (; len < url.len && len < URL_SEEN_MAX; len++)
        room[len] = lower_byte(url.ptr[len]);
    return (struct str){room, len};
}

static struct str host_normal(struct str host, char *room)
{
    size_t len = 0;
    while (host.len && host.ptr[host.len - 1] == '.')
        host.len--;
    if (str_starts_nocase(host, "www."))
        host = str_slice(host, 4, host.len);
    for (; len < host.len && len < URL_SEEN_MAX; len++)
        room[len] = lower_byte(host.ptr[len]);
    return (struct str){room, len};
}

/* ---- lists ---- */

static uint64_t domain_hash(struct str line)
{
    char room[URL_SEEN_MAX];
    return hash_str(host_normal(line, room), 0);
}

static uint64_t url_hash(struct str line)
{
    char room[URL_SEEN_MAX];
    return hash_str(url_normal(line, room), 0);
}

static uint64_t word_hash(struct str line)
{
    char room[URL_SEEN_MAX];
    size_t len = 0;
    for (; len < line.len && len < URL_SEEN_MAX; len++)
        room[len] = lower_byte(line.ptr[len]);
    return hash64(room, len, 0);
}

/* Calls each() for every line of a list that holds something; "#" starts a comment. */
struct lines_to {
    int (*each)(struct lines_to *to, struct str line);
    struct arena *arena;
    void *set;
    uint64_t (*hash)(struct str line);
    size_t room; /* entries the set has space for */
};

static int list_read(const char *path, struct lines_to *to)
{
    struct io_reader *r = NULL;
    struct str line;
    int rc = io_open(&r, path);
    while (rc >= 0 && (rc = io_read_line(r, &line)) > 0) {
        line = str_trim(line);
        if (line.len && line.ptr[0] != '#')
            rc = to->each(to, line);
    }
    io_close(r);
    return rc < 0 ? err_in(rc, "url list %s", path) : 0;
}

static int lists_read(const struct opt_list *paths, struct lines_to *to)
{
    for (size_t i = 0; i < paths->count; i++)
        TRY(list_read(paths->item[i], to));
    return 0;
}

/* The set grows at the top of the arena, where nobody else pushes meanwhile: steps are
 * contiguous. */
static int set_add(struct lines_to *to, struct str line)
{
    struct hash_set *set = to->set;
    if (set->count == to->room) {
        uint64_t *more = arena_array(to->arena, uint64_t, SET_STEP);
        if (!more)
            return err_in(ERR_LIMIT, "list entry %zu", set->count + 1);
        if (!set->hash)
            set->hash = more;
        assert(more == set->hash + to->room);
        to->room += SET_STEP;
    }
    set->hash[set->count++] = to->hash(line);
    return 0;
}

static int set_open(struct hash_set *set, const struct opt_list *paths,
                    uint64_t (*hash)(struct str), struct arena *a, bool builtin)
{
    struct lines_to to = {.each = set_add, .arena = a, .set = set, .hash = hash};
    *set = (struct hash_set){0};
    for (size_t i = 0; builtin && i < COUNT_OF(builtin_soft); i++)
        TRY(set_add(&to, str_of(builtin_soft[i])));
    TRY(lists_read(paths, &to));
    if (set->count)
        qsort(set->hash, set->count, sizeof set->hash[0], by_value);
    return 0;
}

static size_t pair_of(const char *s)
{
    return (size_t)(unsigned char)s[0] << 8 | (unsigned char)s[1];
}

static int subword_add(struct lines_to *to, struct str line)
{
    struct subword **head = to->set, *entry = arena_array(to->arena, struct subword, 1);
    char *room = entry ? arena_push(to->arena, line.len, 1) : NULL;
    size_t len = 0;
    if (!room)
        return ERR_LIMIT;
    for (size_t i = 0; i < line.len; i++) {
        room[len] = lower_byte(line.ptr[i]);
        len += is_word_byte(room[len]);
    }
    if (len < SUBWORD_MIN)
        return err_set(ERR_USAGE,
                       "\"%.*s\" has fewer than %d letters and digits: it would drop nearly every "
                       "address: take it out",
                       STR_ARG(line), SUBWORD_MIN);
    *entry = (struct subword){{room, len}, head[pair_of(room)]};
    head[pair_of(room)] = entry;
    return 0;
}

static int lists_open(void *conf, struct arena *a)
{
    struct url_conf *c = conf;
    TRY(set_open(&c->domain_set, &c->domains, domain_hash, a, false));
    TRY(set_open(&c->url_set, &c->urls, url_hash, a, false));
    TRY(set_open(&c->banned_set, &c->banned_words, word_hash, a, false));
    TRY(set_open(&c->soft_set, &c->soft_words, word_hash, a, true));
    c->subword_head = NULL;
    if (c->subwords.count == 0)
        return 0;
    c->subword_head = arena_array_zero(a, struct subword *, PAIRS);
    if (!c->subword_head)
        return ERR_LIMIT;
    struct lines_to to = {.each = subword_add, .arena = a, .set = c->subword_head};
    return lists_read(&c->subwords, &to);
}

/* ---- measuring ---- */

/* The name itself, then each name above it: a.b.example.com, b.example.com, example.com, com. */
static bool host_is_listed(const struct url_conf *c, struct str host)
{
    char room[URL_SEEN_MAX];
    if (c->domain_set.count == 0)
        return false;
    struct str name = host_normal(host, room);
    while (name.ptr && name.len) {
        struct str above;
        if (set_has(&c->domain_set, hash_str(name, 0)))
            return true;
        str_cut(name, '.', &above);
        name = above;
    }
    return false;
}

static bool url_is_listed(const struct url_conf *c, struct str url)
{
    char room[URL_SEEN_MAX];
    if (c->url_set.count == 0 || url.len > URL_SEEN_MAX)
        return false;
    return set_has(&c->url_set, hash_str(url_normal(url, room), 0));
}

/* IPv6 stands in brackets; IPv4 has digits and dots only (decimal, octal and short forms too). */
static bool host_is_ip(struct str host)
{
    if (host.len == 0)
        return false;
    if (host.ptr[0] == '[')
        return true;
    for (size_t i = 0; i < host.len; i++)
        if ((host.ptr[i] < '0' || host.ptr[i] > '9') && host.ptr[i] != '.')
            return false;
    return true;
}

/* lower: the address in lower case. Soft words count once each. */
static void words_measure(const struct url_conf *c, struct str lower, float *out)
{
    uint64_t seen[SOFT_SEEN_MAX];
    uint32_t banned = 0, soft = 0;
    for (size_t at = 0; at < lower.len;) {
        size_t end = at;
        while (end < lower.len && is_word_byte(lower.ptr[end]))
            end++;
        if (end == at) {
            at++;
            continue;
        }
        uint64_t hash = hash64(lower.ptr + at, end - at, 0);
        at = end;
        banned += c->banned_set.count && set_has(&c->banned_set, hash);
        if (soft == SOFT_SEEN_MAX || !set_has(&c->soft_set, hash))
            continue;
        uint32_t k = 0;
        while (k < soft && seen[k] != hash)
            k++;
        if (k == soft)
            seen[soft++] = hash;
    }
    out[BANNED] = (float)banned;
    out[SOFT] = (float)soft;
}

/* How many listed substrings stand in the address once all but letters and digits are gone.
 * squeezed is overwritten. Bounded by its length times the entries that share their first two
 * letters. */
static uint32_t subwords_count(const struct url_conf *c, char *squeezed, size_t len)
{
    uint32_t count = 0;
    size_t kept = 0;
    if (!c->subword_head)
        return 0;
    for (size_t i = 0; i < len; i++)
        if (is_word_byte(squeezed[i]))
            squeezed[kept++] = squeezed[i];
    for (size_t i = 0; i + 1 < kept; i++)
        for (const struct subword *s = c->subword_head[pair_of(squeezed + i)]; s; s = s->next)
            count += s->word.len <= kept - i && memcmp(s->word.ptr, squeezed + i, s->word.len) == 0;
    return count;
}

static void measure(struct batch *b, struct doc *d, const void *conf, void *scratch, float *out)
{
    UNUSED(b);
    UNUSED(scratch);
    const struct url_conf *c = conf;
    char lower[URL_SEEN_MAX];
    struct str url = d->url;
    if (d->url_is_name)
        return; /* nothing is measured, so no rule drops it */
    size_t len = url.len < URL_SEEN_MAX ? url.len : URL_SEEN_MAX;
    for (size_t i = 0; i < len; i++)
        lower[i] = lower_byte(url.ptr[i]);
    out[HTTP] = str_starts_nocase(url, "http://") || str_starts_nocase(url, "https://");
    out[HOST] = d->host.len > 0;
    out[IP] = host_is_ip(d->host);
    out[BYTES] = (float)url.len;
    out[LISTED] = host_is_listed(c, d->host);
    out[LISTED_URL] = url_is_listed(c, url);
    words_measure(c, (struct str){lower, len}, out);
    out[SUBWORDS] = (float)subwords_count(c, lower, len);
}

const struct filter filter_url = {
    .name = "url",
    .help = "listed domains and addresses, spam words, bare IP addresses, odd schemes",
    .source = SOURCE,
    .opts = opts,
    .conf_size = sizeof(struct url_conf),
    .signals = signals,
    .units = units,
    .rules = rules,
    .rule_count = COUNT_OF(rules),
    .measure = measure,
    .open = lists_open,
    .before_extract = true,
};
