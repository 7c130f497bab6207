/* special - added tokens: found in text that may hold them, and told from the rest when decoding.
 */
#include "core/err.h"
#include "core/unicode.h"
#include "tokenize/bpe.h"

/* ---- finding ---- */
/* The added tokens stand in the order of their bytes, so that those which share a prefix are
 * neighbours: each byte of the text narrows the range. The longest whole match, NULL: none. */
static const struct added_token *added_at(const struct tokenizer *t, struct str text, size_t pos)
{
    const struct added_token *found = NULL;
    uint32_t low = 0, high = t->added_count;
    for (size_t i = 0; pos + i <= text.len; i++) {
        if (t->added[low].text.len == i)
            found = &t->added[low++];
        if (low == high || pos + i == text.len)
            break;
        unsigned char c = (unsigned char)text.ptr[pos + i];
        uint32_t end = high;
        while (low < end) { /* the first that has at least c at i */
            uint32_t mid = low + (end - low) / 2;
            if ((unsigned char)t->added[mid].text.ptr[i] < c)
                low = mid + 1;
            else
                end = mid;
        }
        for (uint32_t first = low, last = high; first < last;) { /* and the first above c */
            uint32_t mid = first + (last - first) / 2;
            if ((unsigned char)t->added[mid].text.ptr[i] <= c)
                first = mid + 1;
            else
                last = mid;
            high = last;
        }
        if (low >= high)
            break;
    }
    return found;
}

static bool is_word_at(struct str text, size_t pos)
{
    uint32_t cp;
    if (pos >= text.len)
        return false;
    utf8_decode(text.ptr + pos, text.ptr + text.len, &cp);
    return uc_is_letter(cp) || uc_is_number(cp) || cp == '_';
}

static size_t char_start(struct str text, size_t pos)
{
    for (pos--; pos && (text.ptr[pos] & 0xC0) == 0x80; pos--)
        ;
    return pos;
}

static bool is_alone(const struct added_token *token, struct str text, size_t pos)
{
    return !token->single_word || (!is_word_at(text, pos + token->text.len) &&
                                   (pos == 0 || !is_word_at(text, char_start(text, pos))));
}

static size_t space_back(struct str text, size_t from, size_t pos)
{
    while (pos > from) {
        uint32_t cp;
        size_t before = char_start(text, pos);
        utf8_decode(text.ptr + before, text.ptr + text.len, &cp);
        if (!uc_is_space(cp))
            break;
        pos = before;
    }
    return pos;
}

static size_t space_on(struct str text, size_t pos)
{
    while (pos < text.len) {
        uint32_t cp;
        int len = utf8_decode(text.ptr + pos, text.ptr + text.len, &cp);
        if (!uc_is_space(cp))
            break;
        pos += (size_t)len;
    }
    return pos;
}

static int append(struct encoder *e, struct str text, struct arena *a, struct buf *all)
{
    const uint32_t *ids;
    uint32_t count;
    size_t mark = arena_mark(a);
    if (!text.len)
        return 0;
    TRY(encoder_encode(e, text, a, &ids, &count));
    buf_add(all, ids, sizeof *ids * count);
    arena_reset(a, mark);
    return 0;
}

static int encode_parts(struct encoder *e, struct str text, struct arena *a, struct buf *all)
{
    const struct tokenizer *t = encoder_tokenizer(e);
    size_t from = 0;
    for (size_t pos = 0; pos < text.len;) {
        const struct added_token *token =
            t->added_first[(unsigned char)text.ptr[pos]] ? added_at(t, text, pos) : NULL;
        if (!token || !is_alone(token, text, pos)) {
            pos++;
            continue;
        }
        size_t end = pos + token->text.len;
        TRY(append(e, str_slice(text, from, token->lstrip ? space_back(text, from, pos) : pos), a,
                   all));
        buf_add(all, &token->id, sizeof token->id);
        from = pos = token->rstrip ? space_on(text, end) : end;
    }
    return append(e, str_slice(text, from, text.len), a, all);
}

int encoder_encode_special(struct encoder *e, struct str text, struct arena *a,
                           const uint32_t **ids, uint32_t *count)
{
    struct buf all = {.max = (size_t)4 << 30};
    int rc = encode_parts(e, text, a, &all);
    if (rc >= 0 && all.failed)
        rc = err_set(ERR_LIMIT, "encoder: no memory for the ids of %zu bytes", text.len);
    uint32_t total = (uint32_t)(all.len / sizeof(uint32_t));
    uint32_t *out = rc >= 0 ? arena_array(a, uint32_t, total ? total : 1) : NULL;
    if (out) {
        if (total)
            memcpy(out, all.ptr, all.len);
        *ids = out;
        *count = total;
    }
    buf_free(&all);
    return rc < 0 ? rc : out ? 0 : ERR_LIMIT;
}

/* ---- decoding ---- */
static const struct added_token *added_by_id(const struct tokenizer *t, uint32_t id)
{
    for (uint32_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == id)
            return &t->added[i];
    return NULL;
}

struct str tokenizer_bytes(const struct tokenizer *t, uint32_t id)
{
    const struct added_token *added;
    if (id >= t->vocab)
        return (struct str){0};
    if (t->token[id].ptr)
        return t->token[id];
    added = added_by_id(t, id);
    return added && !added->special ? added->text : (struct str){0};
}

struct str tokenizer_text(const struct tokenizer *t, uint32_t id)
{
    const struct added_token *added = added_by_id(t, id);
    return added ? added->text : tokenizer_bytes(t, id);
}

static int decode(const struct tokenizer *t, const uint32_t *ids, uint32_t count, bool special,
                  struct buf *to)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] >= t->vocab)
            return err_set(ERR_FORMAT, "tokenizer: id %u at %u, the vocabulary has %u", ids[i], i,
                           t->vocab);
        if (t->token[ids[i]].ptr)
            buf_str(to, t->token[ids[i]]);
        else
            buf_str(to, special ? tokenizer_text(t, ids[i]) : tokenizer_bytes(t, ids[i]));
    }
    return to->failed ? err_set(ERR_LIMIT, "tokenizer: no memory for the text of %u tokens", count)
                      : 0;
}

int tokenizer_decode(const struct tokenizer *t, const uint32_t *ids, uint32_t count, struct buf *to)
{
    return decode(t, ids, count, false, to);
}

int tokenizer_decode_special(const struct tokenizer *t, const uint32_t *ids, uint32_t count,
                             struct buf *to)
{
    return decode(t, ids, count, true, to);
}

/* How many bytes the character that begins with this byte has; 1 for what begins none. */
static uint32_t char_bytes(unsigned char first)
{
    return first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1;
}

int decoder_push(struct decoder *d, const struct tokenizer *t, uint32_t id, struct buf *to)
{
    size_t before = to->len;
    buf_add(to, d->held, d->held_count);
    d->held_count = 0;
    TRY(tokenizer_decode(t, &id, 1, to));
    /* An unfinished character can only be the last one: its first byte is one of the last three. */
    for (uint32_t back = 1; back < 4 && to->len - before >= back; back++) {
        unsigned char c = (unsigned char)to->ptr[to->len - back];
        if ((c & 0xC0) == 0x80)
            continue;
        if (char_bytes(c) > back) {
            memcpy(d->held, to->ptr + to->len - back, back);
            d->held_count = back;
            to->len -= back;
        }
        break;
    }
    return 0;
}

void decoder_finish(struct decoder *d, struct buf *to)
{
    buf_add(to, d->held, d->held_count);
    d->held_count = 0;
}

/* ---- looking ---- */
enum pretok tokenizer_pretok(const struct tokenizer *t) { return t->pretok; }
bool tokenizer_nfc(const struct tokenizer *t) { return t->nfc; }
uint64_t tokenizer_merges(const struct tokenizer *t) { return t->merges.count; }
uint32_t tokenizer_added_count(const struct tokenizer *t) { return t->added_count; }

struct str tokenizer_added(const struct tokenizer *t, uint32_t index, uint32_t *id, bool *special)
{
    *id = t->added[index].id;
    *special = t->added[index].special;
    return t->added[index].text;
}
