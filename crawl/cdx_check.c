/* cdx_check - inflates a member, reads its record and compares it with the index. */
#include "crawl/cdx_check.h"
#include "crawl/cdx_piece.h"

#include "core/err.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The record goes through the archive reader by way of a file in memory, so that what is taken here
 * is what that reader will take later. */
struct cdx_check {
    int fd;
    struct buf text;
};

int cdx_check_open(struct cdx_check **out)
{
    struct cdx_check *c = calloc(1, sizeof *c);
    *out = NULL;
    if (!c)
        return err_set(ERR_LIMIT, "crawl: no memory to check records");
    c->text.max = CDX_DECODED_MAX;
    c->fd = memfd_create("record.warc", MFD_CLOEXEC);
    if (c->fd < 0) {
        free(c);
        return err_sys("crawl: a file in memory");
    }
    *out = c;
    return 0;
}

void cdx_check_close(struct cdx_check *c)
{
    if (!c)
        return;
    close(c->fd);
    buf_free(&c->text);
    free(c);
}

static int put_text(struct cdx_check *c)
{
    if (ftruncate(c->fd, 0) < 0)
        return err_sys("crawl: a file in memory");
    for (size_t done = 0; done < c->text.len;) {
        ssize_t wrote = pwrite(c->fd, c->text.ptr + done, c->text.len - done, (off_t)done);
        if (wrote < 0 && errno != EINTR)
            return err_sys("crawl: a file in memory");
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return 0;
}

static struct str digest_value(struct str digest)
{
    struct str rest, head = str_cut(digest, ':', &rest);
    return rest.ptr ? rest : head;
}

static bool is_url(const struct cdx_row *row, struct str uri)
{
    if (str_eq(uri, row->url))
        return true;
    struct buf key = {.max = 64 << 10};
    url_surt(uri, &key);
    bool same = str_eq(buf_view(&key), row->key);
    buf_free(&key);
    return same;
}

static const char *compare(const struct cdx_row *row, const struct warc_record *rec)
{
    struct str said = digest_value(row->digest), has = digest_value(rec->payload_digest);
    if (rec->damaged)
        return "the record is damaged";
    if (!is_url(row, rec->target_uri))
        return "the record is of another URL";
    if (said.len && has.len && !str_eq_nocase(said, has))
        return "the record's digest is not the index's";
    if (rec->payload_check == WARC_DIGEST_BAD || rec->block_check == WARC_DIGEST_BAD)
        return "the record's bytes do not have its digest";
    return NULL;
}

int cdx_check_record(struct cdx_check *c, const struct cdx_row *row, struct str member,
                     const char **why)
{
    struct warc_reader *reader;
    struct warc_record rec;
    *why = NULL;
    buf_clear(&c->text);
    c->text.failed = false;
    if (!cdx_piece_inflate(member, &c->text))
        *why = c->text.failed ? "it inflates to too much" : "it is no whole gzip member";
    else if (!str_starts(buf_view(&c->text), "WARC/"))
        *why = "it is no WARC record";
    if (*why)
        return 0;
    TRY(put_text(c));
    TRY(warc_open_fd(&reader, c->fd, "a fetched record", CDX_DECODED_MAX));
    warc_check_digests(reader);
    int rc = warc_next(reader, &rec);
    if (rc > 0)
        *why = compare(row, &rec);
    else if (rc == 0 || rc == ERR_FORMAT)
        *why = "it is no WARC record";
    if (rc > 0 && !*why) {
        rc = warc_next(reader, &rec);
        if (rc > 0)
            *why = "it holds more than one record";
        else if (rc == 0 && warc_stats(reader)->damaged)
            *why = "there is more in it than its record";
    }
    warc_close(reader);
    if (*why)
        err_clear();
    return *why ? 0 : rc < 0 ? rc : 1;
}
