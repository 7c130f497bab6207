/* test_core_io - reading streams: round trips, cuts at every byte, flipped bits, lines. */
#include "core/io.h"
#include "tests/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

static const char *const endings[] = {"", ".zst", ".gz"};

/* Half text, half noise: compressible and not. */
static char *sample(size_t len, uint64_t seed)
{
    char *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        uint64_t draw = test_random(&seed);
        bytes[i] = i / 5000 % 2 ? (char)draw : "the quick brown fox\n"[draw % 20];
    }
    return bytes;
}

static void write_sample(const char *path, enum io_format format, const char *bytes, size_t len,
                         struct io_info *info)
{
    struct io_writer *w;
    uint64_t seed = 9;
    CHECK_OK(io_create(&w, path, format, 0));
    for (size_t at = 0; at < len;) {
        size_t piece = test_random(&seed) % 100000;
        piece = piece < len - at ? piece : len - at;
        CHECK_OK(io_write(w, bytes + at, piece));
        at += piece;
    }
    CHECK(io_written(w) == len);
    CHECK_OK(io_commit(w, info));
}

/* Reads all in pieces of at most `piece` bytes: 0, or the error. *len: how much came. */
static int read_all(const char *path, char *to, size_t room, size_t piece, size_t *len)
{
    struct io_reader *r;
    int64_t got;
    *len = 0;
    TRY(io_open(&r, path));
    while ((got = io_read(r, to + *len, room - *len < piece ? room - *len : piece)) > 0)
        *len += (size_t)got;
    CHECK(io_offset(r) == *len);
    io_close(r);
    return (int)got;
}

TEST(core_io_round_trip)
{
    static const size_t sizes[] = {0, 1, 100, 262143, 262144, 262145, 1500000};
    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        char *bytes = sample(sizes[s], s), *back = malloc(sizes[s] + 100);
        for (int f = IO_PLAIN; f <= IO_GZIP; f++) {
            char path[IO_PATH_MAX], again[IO_PATH_MAX];
            struct io_info info, info2, hashed;
            uint64_t size;
            size_t len;
            CHECK_OK(io_path(path, "%s/deep/er/a%s", test_dir(), endings[f]));
            CHECK_OK(io_path(again, "%s/b%s", test_dir(), endings[f]));
            write_sample(path, (enum io_format)f, bytes, sizes[s], &info);
            CHECK_OK(read_all(path, back, sizes[s] + 100, s % 2 ? 7777 : SIZE_MAX, &len));
            CHECK_INT(len, sizes[s]);
            CHECK(memcmp(bytes, back, len) == 0);
            /* What the writer says of the file is what lies there, and twice the same. */
            CHECK_OK(io_hash_file(path, &hashed));
            CHECK_OK(io_size(path, &size));
            CHECK(info.bytes == size && hashed.bytes == size);
            CHECK(info.hash.low == hashed.hash.low && info.hash.high == hashed.hash.high);
            write_sample(again, (enum io_format)f, bytes, sizes[s], &info2);
            CHECK(info2.hash.low == info.hash.low && info2.hash.high == info.hash.high);
        }
        free(bytes);
        free(back);
    }
}

/* zlib and libzstd read what was written, at every level, headers included. */
TEST(core_io_others_read_ours)
{
    size_t len = 300000, stored;
    char *bytes = sample(len, 5), *back = malloc(len + 1), *file;
    for (int level = 1; level <= 9; level++) {
        struct io_writer *w;
        CHECK_OK(io_create(&w, test_path("a.gz"), IO_GZIP, level));
        CHECK_OK(io_write(w, bytes, len));
        CHECK_OK(io_commit(w, NULL));
        gzFile gz = gzopen(test_path("a.gz"), "rb");
        CHECK_INT(gzread(gz, back, (unsigned)len + 1), len);
        CHECK(gzclose(gz) == Z_OK);
        CHECK(memcmp(bytes, back, len) == 0);
        CHECK_OK(io_read_file(test_path("a.gz"), 1 << 20, &file, &stored));
        CHECK(memcmp(file + 4, "\0\0\0\0", 4) == 0); /* no time: the same bytes tomorrow */
        free(file);
        CHECK_OK(io_create(&w, test_path("a.zst"), IO_ZSTD, level * 2));
        CHECK_OK(io_write(w, bytes, len));
        CHECK_OK(io_commit(w, NULL));
        CHECK_OK(io_read_file(test_path("a.zst"), 1 << 20, &file, &stored));
        CHECK(ZSTD_decompress(back, len, file, stored) == len);
        CHECK(memcmp(bytes, back, len) == 0);
        CHECK((file[4] & 4) != 0); /* RFC 8878: the flag for a content checksum */
        free(file);
    }
    free(bytes);
    free(back);
}

/* A gzip member with every optional header field, as RFC 1952 lays them out. */
static size_t odd_member(const char *text, size_t len, unsigned char *out, size_t room)
{
    z_stream z = {0};
    gz_header header = {.text = 1, .time = 12345, .os = 7, .extra = (unsigned char *)"ab\3\0xyz",
                        .extra_len = 7, .name = (unsigned char *)"name",
                        .comment = (unsigned char *)"a comment", .hcrc = 1};
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    CHECK(deflateSetHeader(&z, &header) == Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (uInt)len;
    z.next_out = out;
    z.avail_out = (uInt)room;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    size_t made = z.total_out;
    deflateEnd(&z);
    return made;
}

struct feed { const char *path; const unsigned char *bytes; size_t len, piece; };

static void *feed_main(void *arg)
{
    struct feed *f = arg;
    int fd = open(f->path, O_WRONLY);
    for (size_t at = 0; at < f->len; at += f->piece)
        if (write(fd, f->bytes + at, f->len - at < f->piece ? f->len - at : f->piece) < 0)
            break;
    close(fd);
    return NULL;
}

/* Members with odd headers, arriving in pieces of 1 to 20 bytes: every state of the decoder is left
 * and entered again at every byte. */
TEST(core_io_gzip_members_by_byte)
{
    unsigned char stored[4096];
    size_t stored_len = 0, want_len = 0;
    char want[4096], back[4096], text[64];
    for (int i = 0; i < 12; i++) {
        int len = snprintf(text, sizeof text, i % 4 == 3 ? "" : "member %d and its text\n", i);
        stored_len += odd_member(text, (size_t)len, stored + stored_len,
                                 sizeof stored - stored_len);
        memcpy(want + want_len, text, (size_t)len);
        want_len += (size_t)len;
    }
    for (size_t piece = 1; piece <= 20; piece++) {
        struct feed feed = {test_path("fifo"), stored, stored_len, piece};
        pthread_t thread;
        size_t len;
        CHECK(mkfifo(feed.path, 0600) == 0);
        CHECK(pthread_create(&thread, NULL, feed_main, &feed) == 0);
        CHECK_OK(read_all(feed.path, back, sizeof back, SIZE_MAX, &len));
        pthread_join(thread, NULL);
        unlink(feed.path);
        CHECK_INT(len, want_len);
        CHECK(memcmp(back, want, len) == 0);
    }
}

/* Cut at every byte: an error that names the file and the place, and never a wrong byte before. */
static void check_cuts(const char *name, enum io_format format)
{
    char *bytes = sample(700, 11), back[1000], *file;
    size_t file_len, len;
    write_sample(test_path(name), format, bytes, 700, NULL);
    CHECK_OK(io_read_file(test_path(name), 1 << 20, &file, &file_len));
    CHECK(file_len > 100);
    for (size_t cut = 0; cut < file_len; cut++) {
        test_write(test_path(name), file, cut);
        CHECK_ERR(read_all(test_path(name), back, sizeof back, SIZE_MAX, &len), ERR_FORMAT);
        CHECK(strstr(err_text(), name));
        CHECK(memcmp(back, bytes, len) == 0);
        if (cut >= 4) {
            const char *at = strstr(err_text(), "at byte ");
            CHECK(at);
            CHECK_INT(strtoull(at + 8, NULL, 10), cut);
        }
    }
    free(bytes);
    free(file);
}

TEST(core_io_gzip_cut) { check_cuts("a.gz", IO_GZIP); }
TEST(core_io_zstd_cut) { check_cuts("a.zst", IO_ZSTD); }

/* Every bit flipped: an error, or the same bytes where the flip is in a field without meaning. */
static void check_flips(const char *name, enum io_format format, int harmless_max)
{
    char *bytes = sample(300, 12), back[2000], *file;
    size_t file_len, len;
    int harmless = 0;
    write_sample(test_path(name), format, bytes, 300, NULL);
    CHECK_OK(io_read_file(test_path(name), 1 << 20, &file, &file_len));
    /* The first bytes decide what the file is: without them it is plain. */
    for (size_t bit = format == IO_GZIP ? 16 : 32; bit < file_len * 8; bit++) {
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
        test_write(test_path(name), file, file_len);
        int rc = read_all(test_path(name), back, sizeof back, SIZE_MAX, &len);
        CHECK(rc == 0 || rc == ERR_FORMAT);
        if (rc == 0) {
            harmless++;
            CHECK_INT(len, 300);
            CHECK(memcmp(back, bytes, len) == 0);
        }
        file[bit / 8] = (char)(file[bit / 8] ^ 1 << bit % 8);
    }
    CHECK(harmless <= harmless_max);
    free(bytes);
    free(file);
}

/* gzip: 4 bytes of time, one of flags, two of no consequence, and the deflate padding bits. */
TEST(core_io_gzip_flip) { check_flips("a.gz", IO_GZIP, 7 * 8 + 16); }
TEST(core_io_zstd_flip) { check_flips("a.zst", IO_ZSTD, 24); }

TEST(core_io_what_follows_a_member)
{
    unsigned char stored[600];
    char back[100];
    size_t len, made = odd_member("text", 4, stored, 200);
    memset(stored + made, 0, 300);
    CHECK_OK(io_write_file(test_path("a"), (struct str){(char *)stored, made + 300}));
    CHECK_OK(read_all(test_path("a"), back, sizeof back, SIZE_MAX, &len));
    CHECK_INT(len, 4);
    stored[made + 299] = 'x';
    CHECK_OK(io_write_file(test_path("a"), (struct str){(char *)stored, made + 300}));
    CHECK_ERR(read_all(test_path("a"), back, sizeof back, SIZE_MAX, &len), ERR_FORMAT);
    CHECK_INT(len, 4);
}

/* 100,000 empty members hold nothing and cost linear time. */
TEST_LIMIT(core_io_empty_members, 20)
{
    unsigned char one[64];
    size_t made = odd_member("", 0, one, sizeof one), len;
    struct buf all = {0};
    char back[8];
    for (int i = 0; i < 100000; i++)
        buf_add(&all, one, made);
    CHECK_OK(io_write_file(test_path("a"), buf_view(&all)));
    CHECK_OK(read_all(test_path("a"), back, sizeof back, SIZE_MAX, &len));
    CHECK_INT(len, 0);
    buf_free(&all);
}

TEST(core_io_zstd_frames_and_window)
{
    char packed[400], back[300];
    size_t len, at = ZSTD_compress(packed, 200, "first\n", 6, 3);
    memcpy(packed + at, "\x5A\x2A\x4D\x18\x03\0\0\0xyz", 11); /* a skippable frame */
    at += 11;
    at += ZSTD_compress(packed + at, 100, "second\n", 7, 19);
    CHECK_OK(io_write_file(test_path("a"), (struct str){packed, at}));
    CHECK_OK(read_all(test_path("a"), back, sizeof back, SIZE_MAX, &len));
    CHECK_STR(((struct str){back, len}), "first\nsecond\n");
    CHECK_OK(io_write_file(test_path("a"), (struct str){packed, at - 3}));
    CHECK_ERR(read_all(test_path("a"), back, sizeof back, SIZE_MAX, &len), ERR_FORMAT);
    /* A frame that asks for a window of 2 GiB: RFC 8878 3.1.1.1.2, exponent 21. */
    static const char huge[] = "\x28\xB5\x2F\xFD\x00\xA8\x01\x00\x00";
    CHECK_OK(io_write_file(test_path("a"), (struct str){huge, sizeof huge - 1}));
    CHECK_ERR(read_all(test_path("a"), back, sizeof back, SIZE_MAX, &len), ERR_FORMAT);
    CHECK(strstr(err_text(), "memory"));
}

TEST(core_io_other_compressions)
{
    struct io_reader *r;
    CHECK_OK(io_write_file(test_path("a"), STR("\xFD"
                                               "7zXZ\0\0\4abcdef")));
    CHECK_ERR(io_open(&r, test_path("a")), ERR_FORMAT);
    CHECK(strstr(err_text(), "xz"));
    CHECK_OK(io_write_file(test_path("a"), STR("BZh91AY&SY\1\2\3")));
    CHECK_ERR(io_open(&r, test_path("a")), ERR_FORMAT);
    CHECK(strstr(err_text(), "bzip2"));
    CHECK_OK(io_write_file(test_path("a"), STR("BZh9 is how a text may start")));
    CHECK_OK(io_open(&r, test_path("a")));
    io_close(r);
}

/* Lines against a slow twin that cuts the whole text, through refills and both line ends. */
TEST(core_io_lines_twin)
{
    uint64_t seed = 77;
    struct buf text = {0};
    while (text.len < 1200000) {
        size_t len = test_random(&seed) % (test_random(&seed) % 50 == 0 ? 600000 : 60);
        for (size_t i = 0; i < len; i++)
            buf_char(&text, "ab\r "[test_random(&seed) % 4]);
        buf_text(&text, test_random(&seed) % 3 ? "\n" : "\r\n");
    }
    buf_text(&text, "no end");
    for (int f = IO_PLAIN; f <= IO_GZIP; f++) {
        struct io_reader *r;
        struct str line, rest = buf_view(&text);
        write_sample(test_path("lines"), (enum io_format)f, text.ptr, text.len, NULL);
        CHECK_OK(io_open(&r, test_path("lines")));
        while (rest.ptr) {
            struct str want = str_cut(rest, '\n', &rest);
            if (want.len && want.ptr[want.len - 1] == '\r')
                want.len--;
            CHECK_INT(io_read_line(r, &line), 1);
            CHECK(str_eq(line, want));
            CHECK(io_offset(r) == (rest.ptr ? (uint64_t)(rest.ptr - text.ptr) : text.len));
        }
        CHECK_INT(io_read_line(r, &line), 0);
        CHECK_INT(io_read_line(r, &line), 0);
        io_close(r);
    }
    buf_free(&text);
}

TEST(core_io_lines_then_bytes)
{
    struct io_reader *r;
    struct str line;
    char back[16];
    CHECK_OK(io_write_file(test_path("a"), STR("\n\nhead\nbody")));
    CHECK_OK(io_open(&r, test_path("a")));
    for (int i = 0; i < 3; i++)
        CHECK_INT(io_read_line(r, &line), 1);
    CHECK_STR(line, "head");
    CHECK_INT(io_read(r, back, sizeof back), 4);
    CHECK(memcmp(back, "body", 4) == 0);
    CHECK_INT(io_read_line(r, &line), 0);
    io_close(r);
}

TEST(core_io_standard_input)
{
    struct io_reader *r;
    struct str line;
    write_sample(test_path("a"), IO_GZIP, "from a pipe\n", 12, NULL);
    int fd = open(test_path("a"), O_RDONLY);
    CHECK(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    CHECK_OK(io_open(&r, "-"));
    CHECK_INT(io_read_line(r, &line), 1);
    CHECK_STR(line, "from a pipe");
    io_close(r);
    CHECK(fcntl(STDIN_FILENO, F_GETFD) >= 0);
}

TEST(core_io_line_limit)
{
    struct io_writer *w;
    struct io_reader *r;
    struct str line;
    char *zeros = calloc(1, 1 << 20);
    for (int over = 0; over < 2; over++) {
        CHECK_OK(io_create(&w, test_path("a.zst"), IO_ZSTD, 1));
        for (int i = 0; i < IO_LINE_MAX >> 20; i++)
            CHECK_OK(io_write(w, zeros, 1 << 20));
        CHECK_OK(io_write_str(w, over ? STR("x\ny\n") : STR("\ny\n")));
        CHECK_OK(io_commit(w, NULL));
        CHECK_OK(io_open(&r, test_path("a.zst")));
        if (over) {
            CHECK_ERR(io_read_line(r, &line), ERR_FORMAT);
            CHECK(strstr(err_text(), "longer than"));
        } else {
            CHECK_INT(io_read_line(r, &line), 1);
            CHECK_INT(line.len, IO_LINE_MAX);
            CHECK_INT(io_read_line(r, &line), 1);
            CHECK_STR(line, "y");
        }
        io_close(r);
    }
    free(zeros);
}

TEST(core_io_open_errors)
{
    struct io_reader *r;
    char *out;
    size_t len;
    uint64_t size;
    CHECK_ERR(io_open(&r, test_path("missing")), ERR_USAGE);
    CHECK(strstr(err_text(), "missing") && strstr(err_text(), "no such file"));
    CHECK_ERR(io_open(&r, test_dir()), ERR_USAGE);
    CHECK(strstr(err_text(), "is a directory"));
    CHECK_ERR(io_size(test_path("missing"), &size), ERR_USAGE);
    CHECK_ERR(io_read_file(test_dir(), 10, &out, &len), ERR_USAGE);
    CHECK_OK(io_write_file(test_path("a"), STR("0123456789")));
    CHECK_ERR(io_read_file(test_path("a"), 9, &out, &len), ERR_LIMIT);
    CHECK(strstr(err_text(), "10 bytes"));
    CHECK_OK(io_read_file(test_path("a"), 10, &out, &len));
    CHECK_STR(((struct str){out, len}), "0123456789");
    CHECK_INT(out[10], 0);
    free(out);
    /* /proc files say size 0 and hold more. */
    CHECK_OK(io_read_file("/proc/self/status", 1 << 20, &out, &len));
    CHECK(len > 100);
    free(out);
    CHECK_ERR(io_read_file("/proc/self/status", 50, &out, &len), ERR_LIMIT);
    if (geteuid() != 0) {
        CHECK(chmod(test_path("a"), 0) == 0);
        CHECK_ERR(io_open(&r, test_path("a")), ERR_IO);
        CHECK(strstr(err_text(), "mode"));
    }
}

/* Real files of others' making: decoded the same as zlib decodes them. */
TEST(core_io_real_gzip)
{
    const char *path = test_data("warc/cc/commoncrawl+ia-web-commons__IAH-urls-wget.warc.gz");
    enum { ROOM = 1 << 20 };
    char *ours = malloc(ROOM), *theirs = malloc(ROOM);
    size_t len;
    CHECK_OK(read_all(path, ours, ROOM, 1000, &len));
    gzFile gz = gzopen(path, "rb");
    CHECK_INT(gzread(gz, theirs, ROOM), len);
    gzclose(gz);
    CHECK(len > 100000);
    CHECK(memcmp(ours, theirs, len) == 0);
    free(ours);
    free(theirs);
}
