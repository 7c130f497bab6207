/* test_command_token_file - tokens between pass 2 and the store: there and back, every byte that
 * may change or be missing, and the files of an older version. */
#include "command/token_file.h"
#include "core/hash.h"
#include "tests/test.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DOCS = 40 };

struct made {
    struct token_head head[DOCS];
    uint32_t *ids[DOCS];
};

static void made_free(struct made *m)
{
    for (uint32_t i = 0; i < DOCS; i++)
        free(m->ids[i]);
}

static struct made make(uint64_t seed, uint32_t vocab)
{
    struct made m = {0};
    for (uint32_t i = 0; i < DOCS; i++) {
        uint32_t count = i == 7 ? 0 : i == 9 ? 20000 : (uint32_t)(test_random(&seed) % 50);
        m.head[i] = (struct token_head){.id = test_random(&seed),
                                        .record = 3 * i,
                                        .domain = i % 3,
                                        .count = count,
                                        .text_bytes = 5 * count,
                                        .lang = "ab",
                                        .lang_score = (float)i,
                                        .score = i % 2 ? NAN : -1};
        m.ids[i] = malloc(sizeof(uint32_t) * (count + 1));
        CHECK(m.ids[i]);
        for (uint32_t k = 0; k < count; k++)
            m.ids[i][k] = (uint32_t)(test_random(&seed) % vocab);
    }
    return m;
}

static const char *path_of(const char *end)
{
    static char path[IO_PATH_MAX];
    CHECK_OK(io_path(path, "%s/tokens/00005.%s", test_dir(), end));
    return path;
}

static void write_new(const struct made *m, uint32_t vocab)
{
    struct io_writer *w;
    CHECK_OK(io_create(&w, path_of("bin"), IO_PLAIN, 0));
    CHECK_OK(token_file_begin(w, vocab));
    for (uint32_t i = 0; i < DOCS; i++) {
        struct token_head head = m->head[i];
        uint32_t *ids = malloc(sizeof *ids * (head.count + 1)); /* they are used up */
        CHECK(ids);
        memcpy(ids, m->ids[i], sizeof *ids * head.count);
        CHECK_OK(token_file_put(w, vocab, &head, ids));
        free(ids);
    }
    CHECK_OK(io_commit(w, NULL));
}

static void check_reads(const struct made *m, int version)
{
    struct token_file *f;
    struct token_head head;
    const uint32_t *ids;
    CHECK_OK(token_file_open(&f, test_dir(), 5));
    for (uint32_t i = 0; i < DOCS; i++) {
        CHECK_INT(token_file_next(f, &head, &ids), 1);
        CHECK(head.id == m->head[i].id && head.record == m->head[i].record);
        CHECK(head.domain == m->head[i].domain && head.text_bytes == m->head[i].text_bytes);
        CHECK_INT(head.count, m->head[i].count);
        const struct token_head *want = &m->head[i];
        CHECK_STR(str_of(head.lang), version < 3 ? "" : want->lang);
        CHECK(version < 3 ? isnan(head.lang_score) : head.lang_score == want->lang_score);
        CHECK(version < 3 || isnan(want->score) ? isnan(head.score) : head.score == want->score);
        CHECK(memcmp(ids, m->ids[i], sizeof *ids * head.count) == 0);
    }
    CHECK_INT(token_file_next(f, &head, &ids), 0);
    token_file_close(f);
}

TEST(command_token_file_there_and_back)
{
    static const uint32_t vocabs[] = {300, 65536, 65537, 1 << 24};
    for (size_t i = 0; i < COUNT_OF(vocabs); i++) {
        struct made m = make(i + 1, vocabs[i]);
        uint64_t bytes, ids = 0;
        write_new(&m, vocabs[i]);
        check_reads(&m, 3);
        for (uint32_t k = 0; k < DOCS; k++)
            ids += m.head[k].count;
        CHECK_OK(io_size(path_of("bin"), &bytes));
        CHECK_INT(bytes, 8 + DOCS * sizeof(struct token_head) + ids * (i < 2 ? 2 : 4));
        made_free(&m);
    }
}

/* Version 2: heads end behind the sum, which is over so much of them. */
TEST(command_token_file_of_version_2)
{
    struct made m = make(8, 70000);
    const uint32_t width = 4;
    struct io_writer *w;
    CHECK_OK(io_create(&w, path_of("bin"), IO_PLAIN, 0));
    CHECK_OK(io_write(w, "STK2", 4));
    CHECK_OK(io_write(w, &width, 4));
    for (uint32_t i = 0; i < DOCS; i++) {
        size_t len = sizeof(uint32_t) * m.head[i].count;
        m.head[i].sum = 0;
        m.head[i].sum = hash64(m.ids[i], len, hash64(&m.head[i], 32, 0));
        CHECK_OK(io_write(w, &m.head[i], 32));
        CHECK_OK(io_write(w, m.ids[i], len));
    }
    CHECK_OK(io_commit(w, NULL));
    check_reads(&m, 2);
    made_free(&m);
}

TEST(command_token_file_of_an_older_version)
{
    struct made m = make(9, 40000);
    struct io_writer *w;
    CHECK_OK(io_create(&w, path_of("zst"), IO_ZSTD, 1));
    CHECK_OK(io_write(w, "STK1", 4));
    for (uint32_t i = 0; i < DOCS; i++) {
        CHECK_OK(io_write(w, &m.head[i], 24));
        CHECK_OK(io_write(w, m.ids[i], sizeof(uint32_t) * m.head[i].count));
    }
    CHECK_OK(io_commit(w, NULL));
    check_reads(&m, 1);
    made_free(&m);
}

/* Reads to the end: 0, or the error; *documents: those that were whole. */
static int read_all(uint32_t *documents)
{
    struct token_file *f;
    struct token_head head;
    const uint32_t *ids;
    int rc;
    *documents = 0;
    TRY(token_file_open(&f, test_dir(), 5));
    while ((rc = token_file_next(f, &head, &ids)) > 0)
        ++*documents;
    token_file_close(f);
    return rc;
}

TEST(command_token_file_every_changed_byte_is_found)
{
    struct made m = make(11, 500);
    uint32_t documents;
    uint64_t bytes, tried = 0;
    write_new(&m, 500);
    CHECK_OK(io_size(path_of("bin"), &bytes));
    int fd = open(path_of("bin"), O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    for (uint64_t at = 0; at < bytes; at += at < 2000 ? 1 : 997, tried++) {
        unsigned char byte, changed;
        CHECK(pread(fd, &byte, 1, (off_t)at) == 1);
        changed = byte ^ (unsigned char)(1 << at % 8);
        CHECK(pwrite(fd, &changed, 1, (off_t)at) == 1);
        CHECK_ERR(read_all(&documents), ERR_FORMAT);
        CHECK(strstr(err_text(), "00005.bin"));
        CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
    }
    CHECK(tried > 2000);
    CHECK_OK(read_all(&documents));
    /* Cut anywhere it is damaged, but between two documents, which the manifest's size is for. */
    uint64_t ends = 0;
    for (uint64_t cut = bytes - 1; cut > 0; cut -= cut < 2000 ? 1 : 1 + cut / 100) {
        CHECK(ftruncate(fd, (off_t)cut) == 0);
        int rc = read_all(&documents);
        ends += rc == 0;
        CHECK(rc == 0 || rc == ERR_FORMAT);
    }
    CHECK(ends <= DOCS);
    close(fd);
    made_free(&m);
}
