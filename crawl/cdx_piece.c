/* cdx_piece - reads ranges of local files, and inflates members with zlib, which checks their CRC.
 */
#include "crawl/cdx_piece.h"

#include "core/err.h"
#include "core/io.h"

#include <errno.h>
#include <unistd.h>
#include <zlib.h>

enum { STEP = 64 << 10 };

const char *cdx_piece_path(const char *where)
{
    if (str_starts_nocase(str_of(where), "file://"))
        return where + 7;
    return strstr(where, "://") ? NULL : where;
}

int cdx_piece_read(const char *path, uint64_t offset, uint64_t length, struct buf *out)
{
    uint64_t bytes, done = 0;
    if (length > SIZE_MAX / 2 || offset > INT64_MAX - length)
        return err_set(ERR_FORMAT, "crawl: %s: a range of %llu bytes at %llu", path,
                       (unsigned long long)length, (unsigned long long)offset);
    char *room = buf_room(out, (size_t)length);
    if (!room)
        return err_set(ERR_LIMIT, "crawl: no memory for %llu bytes of %s",
                       (unsigned long long)length, path);
    int rc = 0, fd = io_open_file(path, &bytes);
    if (fd < 0)
        return fd;
    while (rc == 0 && done < length) {
        ssize_t got = pread(fd, room + done, (size_t)(length - done), (off_t)(offset + done));
        if (got > 0)
            done += (uint64_t)got;
        else if (got == 0)
            rc = err_set(ERR_FORMAT,
                         "crawl: %s ends at byte %llu, before byte %llu that the index "
                         "speaks of",
                         path, (unsigned long long)bytes, (unsigned long long)(offset + length));
        else if (errno != EINTR)
            rc = err_sys("crawl: reading %s", path);
    }
    if (rc == 0)
        buf_grown(out, (size_t)length);
    close(fd);
    return rc;
}

bool cdx_piece_inflate(struct str member, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)member.ptr, .avail_in = (uInt)member.len};
    if (member.len > UINT32_MAX || inflateInit2(&z, 31) != Z_OK)
        return false;
    int said = Z_OK;
    while (said == Z_OK) {
        char *room = buf_room(out, STEP);
        if (!room)
            break;
        z.next_out = (Bytef *)room;
        z.avail_out = STEP;
        said = inflate(&z, Z_NO_FLUSH); /* Z_BUF_ERROR at the end of a member that is cut short */
        buf_grown(out, STEP - z.avail_out);
    }
    bool whole = said == Z_STREAM_END && z.avail_in == 0;
    inflateEnd(&z);
    return whole;
}
