/* warc_check - digests of blocks and payloads, held or streaming past. */
#include "crawl/warc_check.h"

#include "crawl/http_chunks.h"

#include <assert.h>

static enum warc_digest expect(struct str field, struct digest *d, unsigned char *want)
{
    if (!field.len)
        return WARC_DIGEST_NONE;
    enum digest_kind kind = digest_parse(field, want);
    if (kind == DIGEST_UNKNOWN)
        return WARC_DIGEST_UNKNOWN;
    digest_begin(d, kind);
    return WARC_DIGEST_GOOD;
}

void check_begin(struct warc_check *c, const struct warc_record *rec)
{
    c->streaming = false;
    c->request = str_eq_nocase(rec->type, STR("request"));
    if (!c->on)
        return;
    c->block_state = expect(rec->block_digest, &c->block, c->block_want);
    c->payload_state = expect(rec->payload_digest, &c->payload, c->payload_want);
    /* A revisit's digest is that of another record's payload, a segment's that of the whole. */
    if (c->payload_state == WARC_DIGEST_GOOD &&
        (str_eq_nocase(rec->type, STR("revisit")) || rec->segment.len))
        c->payload_state = WARC_DIGEST_UNCHECKED;
}

/* What stands behind the HTTP header. */
static struct str payload_of(const struct warc_check *c, struct str block)
{
    struct str body;
    if (c->request) {
        size_t end = str_find(block, STR("\r\n\r\n"));
        return end == SIZE_MAX ? block : str_slice(block, end + 4, block.len);
    }
    http_header(block, &body);
    return body;
}

static void add_if(enum warc_digest state, struct digest *d, struct str bytes)
{
    if (state == WARC_DIGEST_GOOD && bytes.len)
        digest_add(d, bytes.ptr, bytes.len);
}

void check_stream(struct warc_check *c, struct str held, struct str bytes)
{
    if (!c->on)
        return;
    if (!c->streaming) {
        /* A header that is not held to its end hides where the payload starts. */
        struct str payload = payload_of(c, held);
        c->streaming = true;
        c->streamed = held.len;
        c->payload_split = payload.len > 0;
        add_if(c->block_state, &c->block, held);
        add_if(c->payload_state, &c->payload, payload);
    }
    add_if(c->block_state, &c->block, bytes);
    add_if(c->payload_state, &c->payload, bytes);
    c->streamed += bytes.len;
}

static enum warc_digest verdict(enum warc_digest state, struct digest *d, const unsigned char *want)
{
    unsigned char sum[DIGEST_BYTES_MAX];
    if (state != WARC_DIGEST_GOOD)
        return state;
    size_t bytes = digest_bytes(d->kind);
    digest_end(d, sum);
    return memcmp(sum, want, bytes) == 0 ? WARC_DIGEST_GOOD : WARC_DIGEST_BAD;
}

/* The payload as it is stored, or, as some writers digest it, with its chunks joined. */
static enum warc_digest payload_verdict(struct warc_check *c, struct str payload)
{
    enum digest_kind kind = c->payload.kind;
    add_if(c->payload_state, &c->payload, payload);
    enum warc_digest found = verdict(c->payload_state, &c->payload, c->payload_want);
    if (found != WARC_DIGEST_BAD)
        return found;
    struct http_chunks chunks = {.body = payload};
    struct str piece;
    digest_begin(&c->payload, kind);
    while (http_chunk_next(&chunks, &piece))
        digest_add(&c->payload, piece.ptr, piece.len);
    return chunks.lied ? found : verdict(c->payload_state, &c->payload, c->payload_want);
}

void check_end(struct warc_check *c, struct warc_record *rec, uint64_t total)
{
    rec->block_check = rec->block_digest.len ? WARC_DIGEST_UNCHECKED : WARC_DIGEST_NONE;
    rec->payload_check = rec->payload_digest.len ? WARC_DIGEST_UNCHECKED : WARC_DIGEST_NONE;
    if (!c->on)
        return;
    if (!c->streaming) {
        assert(!rec->cut);
        add_if(c->block_state, &c->block, rec->body);
        rec->block_check = verdict(c->block_state, &c->block, c->block_want);
        rec->payload_check = payload_verdict(c, payload_of(c, rec->body));
        return;
    }
    if (total != c->streamed) /* what streamed past was more than the record */
        return;
    rec->block_check = verdict(c->block_state, &c->block, c->block_want);
    if (c->payload_split || c->payload_state != WARC_DIGEST_GOOD)
        rec->payload_check = verdict(c->payload_state, &c->payload, c->payload_want);
    if (rec->payload_check == WARC_DIGEST_BAD) /* it may have been made of joined chunks */
        rec->payload_check = WARC_DIGEST_UNCHECKED;
}
