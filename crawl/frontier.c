/* frontier - every URL once, queued by host, and a journal to make it again from. */
#include "crawl/frontier.h"

#include "core/err.h"
#include "core/hash.h"
#include "crawl/urljoin.h"

#include <assert.h>
#include <stdlib.h>

/* Pages and hosts are arrays that grow; texts lie in an arena and never move. Two kinds of heap: of
 * pages in each host, of hosts that are in and have pages (`line`). Journal lines:
 *   u VIA HOP URL                    a page was added; its number is how many came before it
 *   d PAGE END STATUS BYTES DIGEST   a page is finished */
enum { TEXT_BYTES_EACH = 256 }; /* of address space; URLs are about 80 bytes long */

struct frontier {
    const struct frontier_conf *conf;
    struct journal *journal;
    struct scope *scope;
    struct arena text;
    struct page *page;
    uint32_t page_count, page_room;
    struct host *host;
    uint32_t host_count, host_room;
    struct hash_set urls, origins; /* origins: index + 1 */
    uint32_t *line, line_count, line_room;
    struct frontier_counts counts;
};

const char *const page_end_name[PAGE_ENDS] = {
    "written",   "revisit", "robots_excluded", "opted_out", "wrong_type",
    "no_answer", "no_host", "unreachable",     "private",   "over_limit",
};

/* ---- heaps ---- */
static bool page_before(const struct frontier *f, uint32_t a, uint32_t b)
{
    const struct page *one = &f->page[a], *two = &f->page[b];
    return one->depth != two->depth ? one->depth < two->depth : a < b;
}

static bool host_before(const struct frontier *f, uint32_t a, uint32_t b)
{
    uint64_t one = f->host[a].due_ns, two = f->host[b].due_ns;
    return one != two ? one < two : a < b;
}

/* One heap for both: before() orders. *room is the array's. */
static int heap_push(struct frontier *f, uint32_t **heap, uint32_t *count, uint32_t *room,
                     uint32_t value, bool (*before)(const struct frontier *, uint32_t, uint32_t))
{
    if (*count == *room) {
        uint32_t more = *room ? *room * 2 : 8;
        uint32_t *grown = realloc(*heap, more * sizeof *grown);
        if (!grown)
            return err_set(ERR_LIMIT, "crawl: no memory for a queue of %u", more);
        *heap = grown;
        *room = more;
    }
    uint32_t at = (*count)++;
    while (at > 0 && before(f, value, (*heap)[(at - 1) / 2])) {
        (*heap)[at] = (*heap)[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    (*heap)[at] = value;
    return 0;
}

static uint32_t heap_pop(const struct frontier *f, uint32_t *heap, uint32_t *count,
                         bool (*before)(const struct frontier *, uint32_t, uint32_t))
{
    uint32_t top = heap[0], last = heap[--*count], at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= *count)
            break;
        if (child + 1 < *count && before(f, heap[child + 1], heap[child]))
            child++;
        if (!before(f, heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static int line_push(struct frontier *f, uint32_t host)
{
    return heap_push(f, &f->line, &f->line_count, &f->line_room, host, host_before);
}

static int queue_push(struct frontier *f, uint32_t page)
{
    uint32_t index = f->page[page].host;
    struct host *h = &f->host[index];
    bool first = h->queued == 0 && !h->out;
    TRY(heap_push(f, &h->queue, &h->queued, &h->room, page, page_before));
    return first ? line_push(f, index) : 0;
}

/* ---- pages and hosts ---- */
uint32_t frontier_host_find(struct frontier *f, struct str origin)
{
    bool is_new;
    uint32_t *at = hash_set_at(&f->origins, hash_str(origin, 0), &is_new);
    if (!at)
        return FRONTIER_NONE;
    if (*at)
        return *at - 1;
    if (f->host_count == f->host_room) {
        uint32_t room = f->host_room ? f->host_room * 2 : 64;
        struct host *grown = realloc(f->host, room * sizeof *grown);
        if (!grown) {
            err_set(ERR_LIMIT, "crawl: no memory for %u hosts", room);
            return FRONTIER_NONE;
        }
        f->host = grown;
        f->host_room = room;
    }
    const char *text = arena_strdup(&f->text, origin);
    if (!text)
        return FRONTIER_NONE;
    f->host[f->host_count] = (struct host){.origin = text};
    *at = ++f->host_count;
    return f->host_count - 1;
}

static int page_room_make(struct frontier *f)
{
    if (f->page_count < f->page_room)
        return 0;
    uint32_t room = f->page_room ? f->page_room * 2 : 1024;
    struct page *grown = realloc(f->page, room * sizeof *grown);
    if (!grown)
        return err_set(ERR_LIMIT, "crawl: no memory for %u URLs", room);
    f->page = grown;
    f->page_room = room;
    return 0;
}

/* Depth and redirects of a page found so; false: too deep. What a sitemap lists is one link away
 * from the seeds; sitemaps in sitemaps count as redirects do. */
static bool place_of(const struct frontier *f, uint32_t via, enum hop hop, struct page *out)
{
    unsigned depth = 0, redirects = 0;
    if (via != FRONTIER_NONE) {
        bool same = hop == HOP_REDIRECT || f->page[via].hop == HOP_SITEMAP;
        depth = f->page[via].depth + (same ? 0u : 1u);
        redirects = hop == HOP_REDIRECT || hop == HOP_SITEMAP ? f->page[via].redirects + 1u : 0;
    } else if (hop != HOP_SEED) {
        depth = 1;
    }
    out->depth = (uint8_t)(depth < 255 ? depth : 255);
    out->redirects = (uint8_t)redirects;
    return depth <= (unsigned)f->conf->depth && depth <= FRONTIER_DEPTH_MAX &&
           redirects <= FRONTIER_REDIRECTS_MAX;
}

/* The URL is new and wanted. */
static int page_insert(struct frontier *f, struct str url, uint32_t via, enum hop hop,
                       struct page place)
{
    TRY(page_room_make(f));
    uint32_t host = frontier_host_find(f, url_origin(url));
    if (host == FRONTIER_NONE)
        return ERR_LIMIT;
    char *text = arena_push(&f->text, url.len, 1);
    if (!text)
        return ERR_LIMIT;
    memcpy(text, url.ptr, url.len);
    place.text = (uint64_t)((unsigned char *)text - f->text.base);
    place.length = (uint16_t)url.len;
    place.via = via;
    place.host = host;
    place.hop = (uint8_t)hop;
    place.tries = 0;
    place.end = PAGE_ENDS;
    f->page[f->page_count++] = place;
    f->counts.waiting++;
    return 0;
}

/* Seeds, and what they redirect to, say where the crawl may go. */
static int widen(struct frontier *f, struct str url, uint32_t via, enum hop hop)
{
    bool root = hop == HOP_SEED || (hop == HOP_REDIRECT && f->page[via].depth == 0);
    return root ? scope_seed(f->scope, url) : 0;
}

int frontier_add(struct frontier *f, struct str url, uint32_t via, enum hop hop)
{
    bool is_new;
    struct page place;
    assert(url.len <= URL_BYTES_MAX);
    assert(via == FRONTIER_NONE || via < f->page_count);
    if (hash_set_get(&f->urls, hash_str(url, 0))) {
        f->counts.refused[FRONTIER_KNOWN]++;
        return hop == HOP_SEED ? widen(f, url, via, hop) : FRONTIER_KNOWN;
    }
    int verdict = FRONTIER_ADDED;
    if (!place_of(f, via, hop, &place))
        verdict = FRONTIER_DEEP;
    else if (f->page_count >= (uint64_t)f->conf->urls_max ||
             f->text.size_max - f->text.used < 4 * URL_BYTES_MAX)
        verdict = FRONTIER_FULL;
    else
        TRY(widen(f, url, via, hop));
    if (verdict == FRONTIER_ADDED && hop != HOP_SEED && hop != HOP_SITEMAP) {
        enum scope_verdict judged = scope_judge(f->scope, url);
        verdict = judged == SCOPE_IN ? FRONTIER_ADDED : (int)judged;
    }
    if (verdict != FRONTIER_ADDED) {
        f->counts.refused[verdict]++;
        return verdict;
    }
    uint32_t *at = hash_set_at(&f->urls, hash_str(url, 0), &is_new);
    if (!at)
        return ERR_LIMIT;
    *at = 1;
    TRY(page_insert(f, url, via, hop, place));
    if (f->journal)
        journal_line(f->journal, "u %lld %c %.*s", via == FRONTIER_NONE ? -1LL : (long long)via,
                     hop, STR_ARG(url));
    TRY(queue_push(f, f->page_count - 1));
    return FRONTIER_ADDED;
}

/* ---- taking and giving back ---- */
uint32_t frontier_take(struct frontier *f, uint64_t now_ns)
{
    if (f->line_count == 0 || f->host[f->line[0]].due_ns > now_ns)
        return FRONTIER_NONE;
    struct host *h = &f->host[heap_pop(f, f->line, &f->line_count, host_before)];
    assert(!h->out);
    assert(h->queued);
    h->out = true;
    return heap_pop(f, h->queue, &h->queued, page_before);
}

uint64_t frontier_wait(const struct frontier *f, uint64_t now_ns)
{
    if (f->line_count == 0)
        return UINT64_MAX;
    uint64_t due = f->host[f->line[0]].due_ns;
    return due > now_ns ? due - now_ns : 0;
}

static int host_back(struct frontier *f, uint32_t index, uint64_t due_ns)
{
    struct host *h = &f->host[index];
    assert(h->out);
    h->out = false;
    h->due_ns = due_ns;
    return h->queued ? line_push(f, index) : 0;
}

static void page_finish(struct frontier *f, uint32_t page, enum page_end end)
{
    assert(f->page[page].end == PAGE_ENDS);
    f->page[page].end = (uint8_t)end;
    f->counts.end[end]++;
    f->counts.waiting--;
    if (end == PAGE_WRITTEN || end == PAGE_REVISIT)
        f->host[f->page[page].host].pages++;
}

/* Ends that say nothing of the page: the line or the host was down, or a bound was lower. */
static bool is_passing(unsigned end)
{
    return end == PAGE_FAILED || end == PAGE_NO_HOST || end == PAGE_UNREACHABLE ||
           end == PAGE_OVER_LIMIT;
}

static void page_reopen(struct frontier *f, uint32_t page)
{
    f->counts.end[f->page[page].end]--;
    f->counts.waiting++;
    f->page[page].end = PAGE_ENDS;
}

int frontier_done(struct frontier *f, uint32_t page, enum page_end end, int status, uint64_t bytes,
                  const char *digest, uint64_t due_ns)
{
    page_finish(f, page, end);
    if (f->journal)
        journal_line(f->journal, "d %u %d %d %llu %s", page, (int)end, status,
                     (unsigned long long)bytes, digest);
    return host_back(f, f->page[page].host, due_ns);
}

int frontier_later(struct frontier *f, uint32_t page, uint64_t due_ns)
{
    struct host *h = &f->host[f->page[page].host];
    TRY(heap_push(f, &h->queue, &h->queued, &h->room, page, page_before));
    return host_back(f, f->page[page].host, due_ns);
}

/* ---- playing back ---- */
static bool replay_add(struct frontier *f, struct str rest)
{
    int64_t via;
    bool is_new;
    struct page place;
    struct str number = str_cut(rest, ' ', &rest), letter = str_cut(rest, ' ', &rest);
    if (!str_i64(number, &via) || via >= (int64_t)f->page_count || letter.len != 1 || !rest.len ||
        rest.len > URL_BYTES_MAX)
        return false;
    enum hop hop = (enum hop)letter.ptr[0];
    uint32_t from = via < 0 ? FRONTIER_NONE : (uint32_t)via;
    if (hop == HOP_REDIRECT && from == FRONTIER_NONE)
        return false;
    (void)place_of(f, from, hop, &place);
    if (widen(f, rest, from, hop) < 0)
        return false;
    if (hop != HOP_SEED && hop != HOP_SITEMAP)
        scope_count(f->scope, rest);
    uint32_t *at = hash_set_at(&f->urls, hash_str(rest, 0), &is_new);
    if (!at || !is_new)
        return false;
    *at = 1;
    return page_insert(f, rest, from, hop, place) == 0;
}

bool frontier_replay(struct frontier *f, struct str line)
{
    uint64_t page, end;
    if (str_starts(line, "u "))
        return replay_add(f, str_slice(line, 2, line.len));
    if (!str_starts(line, "d "))
        return false;
    struct str rest = str_slice(line, 2, line.len);
    if (!str_u64(str_cut(rest, ' ', &rest), &page) || !str_u64(str_cut(rest, ' ', &rest), &end) ||
        page >= f->page_count || end >= PAGE_ENDS)
        return false;
    if (is_passing(f->page[page].end)) /* another run asked again */
        page_reopen(f, (uint32_t)page);
    if (f->page[page].end != PAGE_ENDS)
        return false;
    page_finish(f, (uint32_t)page, (enum page_end)end);
    return true;
}

int frontier_ready(struct frontier *f)
{
    for (uint32_t i = 0; i < f->page_count; i++) {
        if (is_passing(f->page[i].end))
            page_reopen(f, i);
        if (f->page[i].end == PAGE_ENDS)
            TRY(queue_push(f, i));
    }
    return 0;
}

/* ---- looking ---- */
const struct page *frontier_page(const struct frontier *f, uint32_t page)
{
    assert(page < f->page_count);
    return &f->page[page];
}

struct page *frontier_page_of(struct frontier *f, uint32_t page)
{
    assert(page < f->page_count);
    return &f->page[page];
}

struct str frontier_url(const struct frontier *f, uint32_t page)
{
    const struct page *p = frontier_page(f, page);
    return (struct str){(const char *)f->text.base + p->text, p->length};
}

struct host *frontier_host(struct frontier *f, uint32_t host)
{
    assert(host < f->host_count);
    return &f->host[host];
}

uint32_t frontier_host_count(const struct frontier *f) { return f->host_count; }

void frontier_path(const struct frontier *f, uint32_t page, char out[FRONTIER_PATH_MAX + 1],
                   uint32_t *seed)
{
    size_t at = FRONTIER_PATH_MAX;
    out[FRONTIER_PATH_MAX] = 0;
    while (f->page[page].hop != HOP_SEED) {
        if (at > 0)
            out[--at] = (char)f->page[page].hop;
        if (f->page[page].via == FRONTIER_NONE)
            break;
        page = f->page[page].via; /* always a smaller number: this ends */
    }
    memmove(out, out + at, FRONTIER_PATH_MAX + 1 - at);
    if (seed)
        *seed = page;
}

const struct frontier_counts *frontier_counts(const struct frontier *f) { return &f->counts; }

/* ---- life ---- */
void frontier_journal(struct frontier *f, struct journal *j) { f->journal = j; }

int frontier_open(struct frontier **out, const struct frontier_conf *conf)
{
    *out = NULL;
    struct frontier *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(ERR_LIMIT, "crawl: no memory for a frontier");
    f->conf = conf;
    int rc = scope_open(&f->scope, &conf->scope);
    if (rc == 0)
        rc = arena_open(&f->text, (size_t)conf->urls_max * TEXT_BYTES_EACH + (1 << 20));
    if (rc < 0) {
        frontier_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void frontier_close(struct frontier *f)
{
    if (!f)
        return;
    for (uint32_t i = 0; i < f->host_count; i++)
        free(f->host[i].queue);
    hash_set_free(&f->urls);
    hash_set_free(&f->origins);
    scope_close(f->scope);
    arena_close(&f->text);
    free(f->line);
    free(f->host);
    free(f->page);
    free(f);
}
