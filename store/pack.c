/* pack - best-fit-decreasing over document lengths with one list of rows per room left. */
#include "store/pack.h"

#include "core/err.h"

#include <assert.h>
#include <stdlib.h>

enum { NONE = 0xFFFFFFFF, LEVELS = 4 }; /* 64^4 = STORE_SEQUENCE_MAX */
static_assert(1 << 6 * LEVELS == STORE_SEQUENCE_MAX, "every room must have its bit");

struct packed {
    uint64_t start;
    uint32_t count;
    uint32_t at; /* its row while packing, its place in the row afterwards */
};
struct pack {
    struct packed *piece; /* row after row */
    uint32_t *first;      /* of each row, and one behind the last */
    uint32_t pieces, max, rows, sequence;
};

/* ---- which rooms have a row: bits, and above them bits for 64 of those ---- */
struct rooms {
    uint64_t *bit[LEVELS];
    uint32_t *head; /* by room: the row used last, and from it the one before */
    uint32_t *next; /* by row */
};

static void rooms_close(struct rooms *r)
{
    for (int level = 0; level < LEVELS; level++)
        free(r->bit[level]);
    free(r->head);
    free(r->next);
}

static int rooms_open(struct rooms *r, uint32_t sequence, uint32_t rows)
{
    bool good = true;
    *r = (struct rooms){.head = NULL};
    for (int level = 0; level < LEVELS; level++) {
        r->bit[level] = calloc(((size_t)sequence >> 6 * (level + 1)) + 1, sizeof(uint64_t));
        good &= r->bit[level] != NULL;
    }
    r->head = malloc(((size_t)sequence + 1) * sizeof *r->head);
    r->next = malloc(((size_t)rows + 1) * sizeof *r->next);
    if (!good || !r->head || !r->next) {
        rooms_close(r);
        return err_set(ERR_LIMIT, "loader: no memory to pack %u documents", rows);
    }
    memset(r->head, 0xFF, ((size_t)sequence + 1) * sizeof *r->head);
    return 0;
}

static void rooms_put(struct rooms *r, uint32_t room, uint32_t row)
{
    r->next[row] = r->head[room];
    r->head[room] = row;
    for (int level = 0; level < LEVELS; level++, room >>= 6)
        r->bit[level][room >> 6] |= 1ull << (room & 63);
}

static void rooms_take(struct rooms *r, uint32_t room)
{
    r->head[room] = r->next[r->head[room]];
    if (r->head[room] != NONE)
        return;
    for (int level = 0; level < LEVELS; level++, room >>= 6)
        if (r->bit[level][room >> 6] &= ~(1ull << (room & 63)))
            return;
}

/* The least room of at least `least` that some row has; NONE: there is no such row. */
static uint32_t rooms_find(const struct rooms *r, uint32_t least, uint32_t sequence)
{
    int level = 0;
    uint32_t at = least;
    for (;;) {
        if (level == LEVELS || at > sequence >> 6 * level)
            return NONE;
        uint64_t bits = r->bit[level][at >> 6] >> (at & 63);
        if (bits) {
            at += (uint32_t)__builtin_ctzll(bits);
            break;
        }
        at = (at >> 6) + 1;
        level++;
    }
    while (level-- > 0)
        at = at << 6 | (uint32_t)__builtin_ctzll(r->bit[level][at]);
    return at;
}

/* ---- the documents ---- */

static int piece_add(struct pack *p, uint64_t start, uint32_t count)
{
    if (p->pieces == p->max) {
        uint64_t max = p->max ? (uint64_t)p->max * 2 : 1024;
        max = max < NONE ? max : NONE - 1;
        struct packed *grown = p->pieces < max ? realloc(p->piece, max * sizeof *grown) : NULL;
        if (!grown)
            return err_set(ERR_LIMIT,
                           "loader: no memory to pack more than %u documents: use "
                           "packing \"concat\"",
                           p->pieces);
        p->piece = grown;
        p->max = (uint32_t)max;
    }
    p->piece[p->pieces++] = (struct packed){start, count, NONE};
    return 0;
}

static int gather_extent(struct pack *p, struct store *s, const struct extent *e)
{
    struct store_doc doc;
    uint64_t index, end = e->start + e->count;
    TRY(store_doc_of(s, e->domain, e->start, &index, &doc));
    for (uint64_t at = e->start; at < end; index++) {
        TRY(store_doc_at(s, e->domain, index, &doc));
        uint64_t start = e->before + (at - e->start);
        for (uint32_t left = doc.token_count; left;) {
            uint32_t now = left < p->sequence ? left : p->sequence;
            TRY(piece_add(p, start, now));
            start += now;
            left -= now;
        }
        assert(doc.token_start == at);
        at += doc.token_count;
    }
    return 0;
}

/* ---- packing ---- */

/* Numbers of the pieces, longest first, those of one length in the view's order. */
static int order_by_length(const struct pack *p, uint32_t **out)
{
    uint32_t *place = calloc((size_t)p->sequence + 2, sizeof *place);
    uint32_t *order = malloc(((size_t)p->pieces + 1) * sizeof *order);
    if (!place || !order) {
        free(place);
        free(order);
        return err_set(ERR_LIMIT, "loader: no memory to pack %u documents", p->pieces);
    }
    for (uint32_t i = 0; i < p->pieces; i++)
        place[p->sequence - p->piece[i].count + 1]++;
    for (uint32_t i = 0; i < p->sequence; i++)
        place[i + 1] += place[i];
    for (uint32_t i = 0; i < p->pieces; i++)
        order[place[p->sequence - p->piece[i].count]++] = i;
    free(place);
    *out = order;
    return 0;
}

static void assign(struct pack *p, struct rooms *rooms, const uint32_t *order)
{
    for (uint32_t i = 0; i < p->pieces; i++) {
        struct packed *piece = &p->piece[order[i]];
        uint32_t room = rooms_find(rooms, piece->count, p->sequence), row;
        if (room == NONE) {
            row = p->rows++;
            room = p->sequence;
        } else {
            row = rooms->head[room];
            rooms_take(rooms, room);
        }
        piece->at = row;
        if (room > piece->count)
            rooms_put(rooms, room - piece->count, row);
    }
}

/* Lays the pieces row after row, in the order in which they were assigned. */
static int lay(struct pack *p, const uint32_t *order)
{
    uint32_t *fill = calloc((size_t)p->rows + 1, sizeof *fill);
    uint32_t *used = calloc((size_t)p->rows + 1, sizeof *used);
    struct packed *laid = malloc(((size_t)p->pieces + 1) * sizeof *laid);
    p->first = calloc((size_t)p->rows + 1, sizeof *p->first);
    if (!fill || !used || !laid || !p->first) {
        free(fill);
        free(used);
        free(laid);
        return err_set(ERR_LIMIT, "loader: no memory to pack %u documents", p->pieces);
    }
    for (uint32_t i = 0; i < p->pieces; i++)
        p->first[p->piece[i].at + 1]++;
    for (uint32_t row = 0; row < p->rows; row++) {
        p->first[row + 1] += p->first[row];
        fill[row] = p->first[row];
    }
    for (uint32_t i = 0; i < p->pieces; i++) {
        const struct packed *piece = &p->piece[order[i]];
        uint32_t row = piece->at;
        laid[fill[row]++] = (struct packed){piece->start, piece->count, used[row]};
        used[row] += piece->count;
    }
    free(p->piece);
    p->piece = laid;
    free(fill);
    free(used);
    return 0;
}

int pack_open(struct pack **out, struct store *s, const struct token_view *v, uint32_t sequence)
{
    struct pack *p = calloc(1, sizeof *p);
    struct rooms rooms = {.head = NULL};
    uint32_t *order = NULL;
    int rc;
    if (!p)
        return err_set(ERR_LIMIT, "loader: no memory to pack %s", v->name);
    p->sequence = sequence;
    for (uint64_t i = 0; i < v->extent_count; i++)
        TRY_OUT(gather_extent(p, s, &v->extent[i]));
    TRY_OUT(order_by_length(p, &order));
    TRY_OUT(rooms_open(&rooms, sequence, p->pieces));
    assign(p, &rooms, order);
    rc = lay(p, order);
out:
    rooms_close(&rooms);
    free(order);
    if (rc < 0)
        pack_close(p);
    else
        *out = p;
    return rc;
}

uint64_t pack_rows(const struct pack *p) { return p->rows; }

bool pack_piece(const struct pack *p, uint64_t row, uint32_t index, struct loader_piece *out)
{
    assert(row < p->rows);
    uint64_t at = (uint64_t)p->first[row] + index;
    if (at >= p->first[row + 1])
        return false;
    *out = (struct loader_piece){p->piece[at].start, p->piece[at].at, p->piece[at].count};
    return true;
}

void pack_close(struct pack *p)
{
    if (!p)
        return;
    free(p->piece);
    free(p->first);
    free(p);
}
