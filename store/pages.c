/* pages - checks the trees of an LMDB file before LMDB follows them.
 *
 * LMDB trusts its file: a file cut short is a SIGBUS, a node that points outside its page reads
 * other memory, and some damage ends in abort(). So every branch and leaf page is checked here
 * first; they are one page in about 9000 (a block of 64 pages needs 40 bytes in a leaf). The format
 * is that of LMDB 0.9 on 64-bit little-endian machines:
 *
 *   page    u64 number, u16 pad, u16 flags, u16 lower, u16 upper; then u16 offsets of nodes up to
 *           `lower`; nodes from `upper` to the end
 *   node    u16 low, u16 high, u16 flags, u16 key bytes, key, data. Branch: low, high and flags are
 *           the child's number. Leaf: low and high are the data's bytes; flag BIG: the data is the
 *           number of the first of its own pages; flag SUB: the data is a struct tree
 *   pages 0 and 1 hold a header and a struct env each; the one with the greater txnid counts. */
#include "store/layout.h"

#include "core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INTEGER_KEYS = 8, /* flag of the tree of free pages */
    PAGE_HEADER = 16,
    NODE_HEADER = 8,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_META = 8,
    PAGE_DIRTY = 0x10, /* stays set in pages on disk */
    NODE_BIG = 1,
    NODE_SUB = 2,
    ENV_FIXED_MAP = 1,
    PAGE_BYTES_MAX = 65536,
    DEPTH_MAX = 32, /* of LMDB's cursors */
};
#define ENV_MAGIC 0xBEEFC0DEu
#define NO_PAGE UINT64_MAX

struct tree {
    uint32_t pad;
    uint16_t flags, depth;
    uint64_t branch_pages, leaf_pages, overflow_pages, entries, root;
};
struct env {
    uint32_t magic, version;
    uint64_t address, map_bytes;
    struct tree tree[2]; /* free pages, main */
    uint64_t last_page, txnid;
};
struct walker {
    const char *path;
    uint64_t *used;   /* a bit a page that a tree holds; NULL: nobody asks */
    uint64_t *listed; /* a bit a page that the tree of free pages lists */
    uint64_t txnid;   /* of the newest env */
    bool free_tree;   /* it is the one that is walked */
    int fd;
    uint64_t page_bytes, page_count; /* of the file as its newest env says */
    uint64_t visited;
    bool wipe; /* gaps inside pages */
    uint64_t gaps;
    unsigned char *page[DEPTH_MAX];
};

static int damaged(const struct walker *w, uint64_t page, const char *what)
{
    return err_set(ERR_FORMAT, "store: %s: page %llu: %s: " STORE_REBUILD, w->path,
                   (unsigned long long)page, what);
}

static int page_read(const struct walker *w, void *to, uint64_t bytes, uint64_t at)
{
    char *into = to;
    while (bytes) {
        ssize_t done = pread(w->fd, into, bytes, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return err_sys("store: read %s", w->path);
        if (done == 0)
            return err_set(ERR_FORMAT, "store: %s is cut short: " STORE_REBUILD, w->path);
        into += done;
        at += (uint64_t)done;
        bytes -= (uint64_t)done;
    }
    return 0;
}

static int bytes_write(const struct walker *w, const unsigned char *bytes, uint64_t len,
                       uint64_t at)
{
    while (len) {
        ssize_t done = pwrite(w->fd, bytes, len, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return err_sys("store: write %s", w->path);
        bytes += done;
        at += (uint64_t)done;
        len -= (uint64_t)done;
    }
    return 0;
}

static uint16_t get16(const unsigned char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t get64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- the two env pages ---- */

static int env_read(struct walker *w, uint64_t at, struct env *env)
{
    unsigned char bytes[PAGE_HEADER + sizeof *env];
    TRY(page_read(w, bytes, sizeof bytes, at));
    memcpy(env, bytes + PAGE_HEADER, sizeof *env);
    if (!(get16(bytes + 10) & PAGE_META) || env->magic != ENV_MAGIC || env->version != 1)
        return err_set(ERR_FORMAT, "store: %s is no LMDB file of this kind of machine", w->path);
    if (env->tree[0].flags & ENV_FIXED_MAP)
        return damaged(w, at > 0, "asks for a fixed address");
    uint64_t page = env->tree[0].pad;
    if (page < 512 || page > PAGE_BYTES_MAX || (page & (page - 1)) != 0)
        return damaged(w, at > 0, "impossible page size");
    if (w->page_bytes && w->page_bytes != page)
        return damaged(w, 1, "another page size than page 0");
    w->page_bytes = page;
    return 0;
}

static int env_pick(struct walker *w, struct env *env)
{
    struct env other;
    struct stat st;
    TRY(env_read(w, 0, env));
    TRY(env_read(w, w->page_bytes, &other));
    if (other.txnid > env->txnid)
        *env = other;
    if (fstat(w->fd, &st) != 0)
        return err_sys("store: stat %s", w->path);
    uint64_t pages = (uint64_t)st.st_size / w->page_bytes;
    if (env->last_page >= pages)
        return err_set(ERR_FORMAT,
                       "store: %s has %llu pages and should have %llu: it is cut short: build the "
                       "store again",
                       w->path, (unsigned long long)pages, (unsigned long long)env->last_page + 1);
    w->page_count = env->last_page + 1;
    if (env->map_bytes < w->page_count * w->page_bytes || env->map_bytes > 1ull << 46)
        return damaged(w, 0, "impossible map size");
    return 0;
}

/* ---- trees ---- */

/* Notes pages as held by a tree; one that already is would be written by two. */
static int pages_mark(struct walker *w, uint64_t first, uint64_t count)
{
    if (!w->used)
        return 0;
    for (uint64_t page = first; page < first + count; page++) {
        uint64_t bit = (uint64_t)1 << page % 64;
        if (w->used[page / 64] & bit)
            return damaged(w, page, "it has two owners");
        w->used[page / 64] |= bit;
    }
    return 0;
}

/* Where node `index` of a page lies, header and key inside the page; 0: it does not. */
static uint64_t node_at(const struct walker *w, const unsigned char *page, unsigned index)
{
    uint64_t at = get16(page + PAGE_HEADER + 2 * index);
    if (at < get16(page + 12) || at + NODE_HEADER > w->page_bytes)
        return 0;
    return at + NODE_HEADER + get16(page + at + 6) <= w->page_bytes ? at : 0;
}

/* A list of free pages, under the number of the transaction that freed them: their count, then
 * their numbers, descending. LMDB writes to these pages, whatever they are. */
static int list_check(struct walker *w, uint64_t number, uint64_t key, uint64_t at, uint64_t bytes)
{
    enum { CHUNK = 512 };
    uint64_t chunk[CHUNK], count, last = w->page_count;
    if (bytes < sizeof count || bytes % sizeof count || key > w->txnid)
        return damaged(w, number, "a damaged list of free pages");
    TRY(page_read(w, &count, sizeof count, at));
    if (count > bytes / sizeof count - 1)
        return damaged(w, number, "a list of free pages of an impossible length");
    for (uint64_t done = 0; done < count;) {
        uint64_t now = count - done < CHUNK ? count - done : CHUNK;
        TRY(page_read(w, chunk, now * sizeof *chunk, at + (1 + done) * sizeof *chunk));
        for (uint64_t i = 0; i < now; i++) {
            uint64_t page = chunk[i], bit = (uint64_t)1 << page % 64;
            if (page < 2 || page >= last || (w->listed[page / 64] & bit))
                return damaged(w, number, "a list of free pages with impossible numbers");
            w->listed[page / 64] |= bit;
            last = page;
        }
        done += now;
    }
    return 0;
}

static int leaf_check(struct walker *w, uint64_t number, const unsigned char *page, unsigned index,
                      bool main)
{
    uint64_t at = node_at(w, page, index);
    if (!at)
        return damaged(w, number, "an entry lies outside");
    uint64_t bytes = get16(page + at) | (uint64_t)get16(page + at + 2) << 16;
    uint16_t flags = get16(page + at + 4);
    uint64_t data = at + NODE_HEADER + get16(page + at + 6);
    uint64_t key = 0;
    if (w->free_tree && get16(page + at + 6) != sizeof key)
        return damaged(w, number, "a damaged list of free pages");
    if (w->free_tree)
        memcpy(&key, page + at + NODE_HEADER, sizeof key);
    uint64_t inside = flags & NODE_BIG ? sizeof(uint64_t) : bytes;
    if (data + inside > w->page_bytes)
        return damaged(w, number, "a value lies outside");
    if (flags & NODE_BIG) {
        uint64_t first = get64(page + data);
        uint64_t pages = (PAGE_HEADER - 1 + bytes) / w->page_bytes + 1;
        if (flags != NODE_BIG || first < 2 || first >= w->page_count ||
            pages > w->page_count - first)
            return damaged(w, number, "a value's pages lie outside the file");
        TRY(pages_mark(w, first, pages));
        return w->free_tree ? list_check(w, number, key, first * w->page_bytes + PAGE_HEADER, bytes)
                            : 0;
    }
    if (w->free_tree)
        return flags == 0 ? list_check(w, number, key, number * w->page_bytes + data, bytes)
                          : damaged(w, number, "an entry of unknown kind");
    if (!main || !(flags & NODE_SUB))
        return flags == 0 ? 0 : damaged(w, number, "an entry of unknown kind");
    if (flags != NODE_SUB || bytes != sizeof(struct tree))
        return damaged(w, number, "a damaged database entry");
    return 0;
}

/* Between the offsets of nodes and the nodes there may be what once was one. */
static int gap_visit(struct walker *w, uint64_t number, unsigned char *page, uint16_t lower,
                     uint16_t upper)
{
    bool dirty = false;
    for (unsigned i = lower; i < upper; i++)
        dirty |= page[i] != 0;
    if (!dirty)
        return 0;
    w->gaps++;
    if (!w->wipe)
        return 0;
    memset(page + lower, 0, upper - lower);
    return bytes_write(w, page + lower, upper - lower, number * w->page_bytes + lower);
}

/* Reads and checks page `number`, which stands `level` below the root of a tree of `depth`. */
static int page_check(struct walker *w, uint64_t number, unsigned level, unsigned depth)
{
    unsigned char *page = w->page[level];
    if (number < 2 || number >= w->page_count)
        return damaged(w, number, "lies outside the file");
    if (++w->visited > w->page_count)
        return damaged(w, number, "the tree has more pages than the file");
    TRY(pages_mark(w, number, 1));
    TRY(page_read(w, page, w->page_bytes, number * w->page_bytes));
    uint16_t lower = get16(page + 12), upper = get16(page + 14);
    unsigned kind = level + 1 == depth ? PAGE_LEAF : PAGE_BRANCH;
    if (get64(page) != number || (get16(page + 10) & ~PAGE_DIRTY) != (int)kind)
        return damaged(w, number, "not the page its parent means");
    if (lower < PAGE_HEADER || lower % 2 || lower > upper || upper > w->page_bytes)
        return damaged(w, number, "impossible bounds");
    /* LMDB asserts that a branch has two children. */
    unsigned least = kind == PAGE_BRANCH ? 2 : 1;
    if ((lower - PAGE_HEADER) / 2u < least)
        return damaged(w, number, "too few entries");
    return w->used ? gap_visit(w, number, page, lower, upper) : 0;
}

/* Depth first. A level is entered once a page of the level above, and `visited` bounds the sum, so
 * that trees which share pages cannot make the walk longer than the file. */
static int tree_walk(struct walker *w, const struct tree *t, bool main)
{
    unsigned next[DEPTH_MAX] = {0}, level = 0;
    uint64_t number[DEPTH_MAX];
    if (t->flags != 0 || t->depth > DEPTH_MAX || (t->root == NO_PAGE) != (t->depth == 0))
        return err_set(ERR_FORMAT, "store: %s: a damaged database entry: " STORE_REBUILD, w->path);
    if (t->depth == 0)
        return 0;
    number[0] = t->root;
    TRY(page_check(w, t->root, 0, t->depth));
    for (;;) {
        const unsigned char *page = w->page[level];
        unsigned count = (get16(page + 12) - PAGE_HEADER) / 2u;
        if (next[level] == count) {
            if (level-- == 0)
                return 0;
            continue;
        }
        unsigned index = next[level]++;
        if (level + 1u == t->depth) {
            TRY(leaf_check(w, number[level], page, index, main));
            continue;
        }
        uint64_t at = node_at(w, page, index);
        if (!at)
            return damaged(w, number[level], "an entry lies outside");
        uint64_t child = get16(page + at) | (uint64_t)get16(page + at + 2) << 16 |
                         (uint64_t)get16(page + at + 4) << 32;
        level++;
        number[level] = child;
        next[level] = 0;
        TRY(page_check(w, child, level, t->depth));
    }
}

/* The databases named in the main tree. It has a handful of entries: a root that is a leaf. */
static int subs_walk(struct walker *w, const struct tree *main)
{
    if (main->depth != 1)
        return damaged(w, main->root, "not the main database of a store");
    unsigned char *names = malloc(w->page_bytes);
    if (!names)
        return err_set(ERR_LIMIT, "store: no memory to check %s", w->path);
    int rc = page_read(w, names, w->page_bytes, main->root * w->page_bytes);
    unsigned count = rc < 0 ? 0 : (get16(names + 12) - PAGE_HEADER) / 2u;
    for (unsigned i = 0; i < count && rc >= 0; i++) {
        struct tree sub;
        uint64_t at = node_at(w, names, i);
        if (!(get16(names + at + 4) & NODE_SUB))
            continue;
        memcpy(&sub, names + at + NODE_HEADER + get16(names + at + 6), sizeof sub);
        rc = tree_walk(w, &sub, false);
    }
    free(names);
    return rc;
}

/* Checks the trees of the newest env, and with w->used those of free pages too. */
static int file_walk(struct walker *w, struct env *env)
{
    int rc = 0;
    for (int i = 0; i < DEPTH_MAX; i++) {
        w->page[i] = malloc(w->page_bytes);
        if (!w->page[i]) {
            rc = err_set(ERR_LIMIT, "store: no memory to check %s", w->path);
            goto out;
        }
    }
    TRY_OUT(tree_walk(w, &env->tree[1], true));
    TRY_OUT(subs_walk(w, &env->tree[1]));
    if (w->used) {
        if (env->tree[0].flags != INTEGER_KEYS) {
            rc = damaged(w, 0, "a damaged tree of free pages");
            goto out;
        }
        env->tree[0].flags = 0;
        w->free_tree = true;
        w->txnid = env->txnid;
        TRY_OUT(tree_walk(w, &env->tree[0], false));
        for (uint64_t i = 0; i < w->page_count && rc >= 0; i += 64)
            if (w->used[i / 64] & w->listed[i / 64])
                rc = damaged(w, i, "it or one behind it is listed as free and is not");
    }
out:
    for (int i = 0; i < DEPTH_MAX; i++)
        free(w->page[i]);
    return rc;
}

int pages_check(const char *path, int fd)
{
    struct env env;
    struct walker w = {.path = path, .fd = fd};
    TRY(env_pick(&w, &env));
    return file_walk(&w, &env);
}

/* ---- what no tree holds ---- */

static int free_pages_visit(const struct walker *w, bool wipe, struct pages_free *out)
{
    unsigned char *page = malloc(w->page_bytes), *zeros = calloc(1, w->page_bytes);
    int rc = page && zeros ? 0 : err_set(ERR_LIMIT, "store: no memory to read %s", w->path);
    for (uint64_t i = 2; i < w->page_count && rc >= 0; i++) {
        if (w->used[i / 64] >> i % 64 & 1)
            continue;
        out->count++;
        rc = page_read(w, page, w->page_bytes, i * w->page_bytes);
        if (rc < 0 || memcmp(page, zeros, w->page_bytes) == 0)
            continue;
        out->dirty++;
        if (wipe)
            rc = bytes_write(w, zeros, w->page_bytes, i * w->page_bytes);
    }
    free(page);
    free(zeros);
    return rc;
}

int pages_free(const char *path, int fd, enum pages_what what, struct pages_free *out)
{
    int rc = 0;
    bool wipe = what == PAGES_WIPE;
    struct env env;
    struct stat st;
    struct walker w = {.path = path, .fd = fd, .wipe = wipe};
    *out = (struct pages_free){0};
    TRY(env_pick(&w, &env));
    w.used = calloc(w.page_count / 64 + 1, sizeof *w.used);
    w.listed = calloc(w.page_count / 64 + 1, sizeof *w.listed);
    if (!w.used || !w.listed) {
        rc = err_set(ERR_LIMIT, "store: no memory for a bit a page of %s", path);
        goto out;
    }
    TRY_OUT(file_walk(&w, &env));
    if (what == PAGES_OWNERS)
        goto out;
    TRY_OUT(free_pages_visit(&w, wipe, out));
    uint64_t end = w.page_count * w.page_bytes;
    rc = fstat(fd, &st) == 0 ? 0 : err_sys("store: stat %s", path);
    /* What a killed writer left behind the last page is in no tree either. */
    if (rc >= 0 && (uint64_t)st.st_size > end) {
        out->dirty += ((uint64_t)st.st_size - end + w.page_bytes - 1) / w.page_bytes;
        if (wipe && ftruncate(fd, (off_t)end) != 0)
            rc = err_sys("store: cut %s", path);
    }
    if (rc >= 0 && wipe && fsync(fd) != 0)
        rc = err_sys("store: sync %s", path);
    out->pages = w.page_count;
    out->dirty += w.gaps;
out:
    free(w.used);
    free(w.listed);
    return rc;
}
