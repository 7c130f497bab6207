/* test_crawl_warc - WARC files good and odd against a slow reader: any buffer, pipes, offsets. */
#include "tests/warc_made.h"

#include "core/io.h"
#include "core/log.h"
#include "crawl/crawl.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- the slow reader: whole file in memory by zlib, Content-Length believed, nothing forgiven
 * ---- */
static bool slow_load(const char *path, struct buf *to)
{
    gzFile f = gzopen(path, "rb");
    CHECK(f);
    int got;
    do {
        char *at = buf_room(to, 1 << 16);
        CHECK(at);
        got = gzread(f, at, 1 << 16);
        buf_grown(to, got > 0 ? (size_t)got : 0);
    } while (got > 0);
    bool clean = got == 0;
    return gzclose(f) == Z_OK && clean;
}

static bool slow_next(struct str *rest, struct seen *out)
{
    size_t end = str_find(*rest, STR("\r\n\r\n"));
    if (!str_starts(*rest, "WARC/") || end == SIZE_MAX)
        return false;
    struct str head = str_slice(*rest, 0, end + 4), line = head;
    memset(out, 0, sizeof *out);
    uint64_t length = UINT64_MAX;
    while (line.len) {
        struct str more, value, one = str_cut(line, '\n', &more), name = str_cut(one, ':', &value);
        line = more;
        if (line.len && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
            return false;
        if (str_eq_nocase(name, STR("Content-Length")) && !str_u64(str_trim(value), &length))
            return false;
        if (str_eq_nocase(name, STR("WARC-Type")) && !out->type[0])
            snprintf(out->type, sizeof out->type, "%.*s", STR_ARG(str_trim(value)));
        value = str_trim(value);
        if (value.len > 1 && value.ptr[0] == '<')
            value = str_slice(value, 1, value.len - 1);
        if (str_eq_nocase(name, STR("WARC-Target-URI")) && !out->uri[0])
            snprintf(out->uri, sizeof out->uri, "%.*s", STR_ARG(value));
    }
    if (length > rest->len - head.len)
        return false;
    struct str body = str_slice(*rest, head.len, head.len + (size_t)length);
    *rest = str_slice(*rest, head.len + body.len, rest->len);
    if (!str_starts(*rest, "\r\n\r\n"))
        return false;
    *rest = str_slice(*rest, 4, rest->len);
    out->body = body.len;
    out->hash = hash_str(body, head.len);
    return true;
}

/* Calls fn with every file of warc/cc and warc/odd. */
static int each_sample(int (*fn)(const char *path))
{
    struct arena a;
    CHECK_OK(arena_open(&a, 1 << 20));
    int total = 0;
    const char *folder[] = {"warc/cc", "warc/odd"};
    for (size_t i = 0; i < COUNT_OF(folder); i++) {
        const char **path;
        size_t count;
        CHECK_OK(io_glob(test_data(folder[i]), &a, &path, &count));
        for (size_t k = 0; k < count; k++)
            total += fn(path[k]);
    }
    arena_close(&a);
    return total;
}

static int compare_slow(const char *path)
{
    struct buf all = {0};
    struct result fast = read_all(path, BODY_MAX, 64);
    struct str rest = {0};
    bool good = slow_load(path, &all);
    rest = buf_view(&all);
    size_t count = 0;
    struct seen want;
    for (; good && rest.len && (good = slow_next(&rest, &want)); count++)
        if (count >= fast.count || !same_seen(&want, &fast.rec[count]) || fast.rec[count].damaged)
            test_fail(__FILE__, __LINE__, "%s: record %zu differs from the slow reader's", path,
                      count);
    good = good && count && rest.len == 0;
    bool garbage = strstr(path, "corrupted"); /* behind the last member: zlib ignores it silently */
    if (good && (fast.count != count || fast.rc != 0 || (fast.stats.damaged > 0) != garbage))
        test_fail(__FILE__, __LINE__, "%s: %zu records, not %zu", path, fast.count, count);
    result_free(&fast);
    buf_free(&all);
    return good;
}

TEST(crawl_warc_agrees_with_the_slow_reader)
{
    log_open(LOG_QUIET);
    int agreed = each_sample(compare_slow);
    CHECK(agreed >= 75); /* of 180 files, those whose every length is right */
}

static int compare_buffers(const char *path)
{
    static const size_t buffer[] = {1, 3, 17, 4096, 32768};
    struct result want = read_all(path, BODY_MAX, 256 << 10);
    CHECK(want.rc == 0 || want.rc == ERR_FORMAT);
    CHECK(want.rc == 0 || strlen(err_text()) > 20);
    for (size_t i = 0; i < COUNT_OF(buffer); i++) {
        struct result got = read_all(path, BODY_MAX, buffer[i]);
        bool same =
            got.rc == want.rc && got.count == want.count && got.stats.damaged == want.stats.damaged;
        for (size_t k = 0; same && k < got.count; k++)
            same = same_seen(&got.rec[k], &want.rec[k]) &&
                   got.rec[k].offset == want.rec[k].offset &&
                   got.rec[k].damaged == want.rec[k].damaged && got.rec[k].cut == want.rec[k].cut;
        if (!same)
            test_fail(__FILE__, __LINE__, "%s: buffers of %zu bytes give another result", path,
                      buffer[i]);
        result_free(&got);
    }
    result_free(&want);
    return 1;
}

TEST(crawl_warc_buffers_of_any_size_give_the_same)
{
    log_open(LOG_QUIET);
    CHECK(each_sample(compare_buffers) >= 150);
}

/* Records that are stepped over are the same records: a wrong length inside a stream is the one
 * thing that cannot be found again in bytes no longer held. */
static int compare_unheld(const char *path)
{
    struct result want = read_all(path, BODY_MAX, 4096);
    static const size_t max[] = {0, 7};
    bool early = false;
    for (size_t k = 0; k < want.count; k++)
        early |= want.rec[k].damaged && strstr(path, ".gz");
    for (size_t i = 0; i < COUNT_OF(max) && !early; i++) {
        struct result got = read_all(path, max[i], 4096);
        bool same = got.rc == want.rc && got.count == want.count;
        for (size_t k = 0; same && k < got.count; k++) {
            const struct seen *a = &got.rec[k], *b = &want.rec[k];
            same = a->offset == b->offset && a->length == b->length && a->damaged == b->damaged &&
                   strcmp(a->type, b->type) == 0 && strcmp(a->uri, b->uri) == 0 &&
                   a->body == (b->body < max[i] ? b->body : max[i]);
        }
        if (!same)
            test_fail(__FILE__, __LINE__, "%s: other records with bodies of %zu bytes", path,
                      max[i]);
        result_free(&got);
    }
    result_free(&want);
    return 1;
}

TEST(crawl_warc_unheld_bodies_give_the_same)
{
    log_open(LOG_QUIET);
    CHECK(each_sample(compare_unheld) >= 150);
}

/* The same bytes through a pipe, in pieces of every size: the same records. */
static struct result read_pipe(struct str bytes, const char *name, size_t step)
{
    struct result out = {0};
    struct warc_reader *r;
    struct warc_record rec;
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(ends[0]);
        for (size_t at = 0; at < bytes.len;) {
            ssize_t put =
                write(ends[1], bytes.ptr + at, bytes.len - at < step ? bytes.len - at : step);
            if (put <= 0)
                _exit(1);
            at += (size_t)put;
        }
        _exit(0);
    }
    close(ends[1]);
    out.rec = calloc(4096, sizeof *out.rec);
    CHECK(out.rec);
    out.rc = warc_open_fd(&r, ends[0], name, BODY_MAX);
    while (out.rc >= 0 && (out.rc = warc_next(r, &rec)) > 0 && out.count < 4096) {
        struct seen *s = &out.rec[out.count++];
        snprintf(s->type, sizeof s->type, "%.*s", STR_ARG(rec.type));
        snprintf(s->uri, sizeof s->uri, "%.*s", STR_ARG(rec.target_uri));
        s->offset = rec.offset;
        s->body = rec.body.len;
        s->hash = hash_str(rec.body, rec.header.len);
        s->damaged = rec.damaged;
    }
    if (r)
        out.stats = *warc_stats(r);
    warc_close(r);
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return out;
}

static int compare_pipe(const char *path)
{
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    struct result want = read_all(path, BODY_MAX, 256 << 10);
    for (int i = 0; i < 2; i++) {
        struct result got = read_pipe((struct str){bytes, len}, path, i ? 1000 : 1 << 16);
        bool same =
            got.rc == want.rc && got.count == want.count && got.stats.records == want.stats.records;
        for (size_t k = 0; same && k < got.count; k++)
            same = same_seen(&got.rec[k], &want.rec[k]) &&
                   got.rec[k].offset == want.rec[k].offset &&
                   got.rec[k].damaged == want.rec[k].damaged;
        if (!same)
            test_fail(__FILE__, __LINE__, "%s: other records through a pipe: %zu, not %zu", path,
                      got.count, want.count);
        result_free(&got);
    }
    result_free(&want);
    free(bytes);
    return 1;
}

TEST(crawl_warc_pipes_give_the_same)
{
    log_open(LOG_QUIET);
    CHECK(each_sample(compare_pipe) >= 150);
}

TEST(crawl_warc_samples_have_these_counts)
{
    /* Counted with zlib and grep: zgrep -ac '^WARC/1'; damage as the samples' names and projects
     * say. */
    static const struct {
        const char *path;
        size_t records;
        uint64_t responses, damaged;
    } want[] = {
        {"warc/cc/commoncrawl+whirlwind-python__whirlwind.warc.gz", 4, 1, 0},
        {"warc/cc/commoncrawl+whirlwind-python__whirlwind.warc.wet.gz", 2, 0, 0},
        {"warc/cc/commoncrawl+ia-web-commons__IAH-urls-wget.warc.gz", 36, 16, 0},
        {"warc/odd/chatnoir-eu+chatnoir-resiliparse__block-sized-records.warc", 3, 0, 0},
        {"warc/odd/chatnoir-eu+chatnoir-resiliparse__clipped.warc.gz", 1, 1, 1},
        {"warc/odd/internetarchive+gowarc__corrupted-mid-record.warc.gz.open", 12, 12, 1},
        {"warc/odd/internetarchive+gowarc__corrupted-trailing-bytes.warc.gz.open", 30, 30, 1},
        {"warc/odd/webrecorder+warcio__example-bad-non-chunked.warc.gz", 6, 1, 0},
        {"warc/odd/webrecorder+warcio__example-trunc.warc", 4, 1, 1},
        {"warc/odd/webrecorder+warcio.js__example-bad-length.warc", 6, 1, 1},
        {"warc/odd/richardlehane+webarchive__valid-warcfile-upper-lower-case.warc", 5, 4, 0},
        {"warc/odd/oduwsdl+ipwb__baconIpsum_chunked_httpTrailors.warc", 6, 1, 0},
        /* ARC, as warcio counts them and sees them end (with its arc2warc: a warcinfo first) */
        {"warc/odd/webrecorder+warcio__example.arc", 2, 1, 0},
        {"warc/odd/webrecorder+warcio__example.arc.gz", 2, 1, 0},
        {"warc/odd/webrecorder+warcio__example-space-in-url.arc", 2, 1, 1},
        {"warc/odd/richardlehane+webarchive__hello-world.arc", 2, 1, 0},
        {"warc/odd/richardlehane+webarchive__hello-world2.arc", 2, 1, 0}, /* version 2 */
        {"warc/odd/webrecorder+warcio__bad.arc", 4, 0, 3},
        {"warc/odd/iipc+webarchive-commons__IAH-20080430204825-00000-blackbook-truncated.arc", 9, 7,
         0},
    };
    log_open(LOG_QUIET);
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        struct result got = read_all(test_data(want[i].path), BODY_MAX, 4096);
        if (got.count != want[i].records || got.stats.responses != want[i].responses ||
            got.stats.damaged != want[i].damaged || got.rc != 0)
            test_fail(__FILE__, __LINE__, "%s: %zu records, %d responses, %d damaged", want[i].path,
                      got.count, (int)got.stats.responses, (int)got.stats.damaged);
        result_free(&got);
    }
}

/* Every offset of a per-record file opens a gzip member that zlib inflates to a WARC record. */
TEST(crawl_warc_offsets_open_members)
{
    const char *path = test_data("warc/cc/commoncrawl+ia-web-commons__IAH-urls-wget.warc.gz");
    char *bytes;
    size_t len;
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    struct result got = read_all(path, BODY_MAX, 256 << 10);
    CHECK_INT(got.count, 36);
    for (size_t i = 0; i < got.count; i++) {
        CHECK(i == 0 || got.rec[i].offset > got.rec[i - 1].offset);
        CHECK(got.rec[i].offset < len);
        char head[16] = {0};
        z_stream z = {.next_in = (Bytef *)bytes + got.rec[i].offset,
                      .avail_in = (uInt)(len - got.rec[i].offset),
                      .next_out = (Bytef *)head,
                      .avail_out = sizeof head - 1};
        CHECK(inflateInit2(&z, 31) == Z_OK);
        CHECK(inflate(&z, Z_NO_FLUSH) == Z_OK && str_starts(str_of(head), "WARC/1.0"));
        inflateEnd(&z);
    }
    result_free(&got);
    free(bytes);
}
