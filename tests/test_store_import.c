/* test_store_import - token files of others: written by the formats' definitions here and read
 * back, there and back through a store, and every kind of damage. */
#include "store/exchange.h"
#include "tests/test.h"

#include "core/io.h"

#include <fcntl.h>
#include <unistd.h>

enum { DOCS = 300, SEPARATOR = 7, VOCAB = 50000 };

/* A test is a process: what it holds until its end stays within reach of the leak checker. */
static void *keep(void *memory)
{
    static void *kept[512];
    static size_t count;
    CHECK(memory && count < COUNT_OF(kept));
    return kept[count++] = memory;
}

/* ---- documents, and files of them by the formats' definitions ---- */
struct texts {
    uint32_t *ids; /* all documents, one after the other, without separators */
    uint64_t start[DOCS + 1];
    uint32_t count;
};

static struct texts texts_make(uint64_t seed, uint32_t vocab, uint32_t least)
{
    struct texts t = {.count = DOCS};
    uint64_t total = 0;
    for (uint32_t i = 0; i < DOCS; i++) {
        uint64_t kind = test_random(&seed) % 20;
        t.start[i] = total;
        total += kind == 0   ? least
                 : kind == 1 ? 20000 + test_random(&seed) % 60000
                             : least + test_random(&seed) % 300;
    }
    t.start[DOCS] = total;
    t.ids = keep(malloc(sizeof *t.ids * (total + 1)));
    for (uint64_t i = 0; i < total; i++) {
        t.ids[i] = (uint32_t)(test_random(&seed) % vocab);
        t.ids[i] += t.ids[i] == SEPARATOR;
    }
    return t;
}

static const char *path_of(const char *name)
{
    char path[IO_PATH_MAX];
    CHECK_OK(io_path(path, "%s/%s", test_dir(), name));
    return keep(strdup(path));
}

static void put_id(struct buf *b, uint64_t id, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_char(b, (char)(id >> 8 * i));
}
static void put_doc(struct buf *b, const struct texts *t, uint32_t doc, int bytes)
{
    for (uint64_t i = t->start[doc]; i < t->start[doc + 1]; i++)
        put_id(b, t->ids[i], bytes);
}
static const char *put_file(const char *name, struct buf *b)
{
    const char *path = path_of(name);
    CHECK(!b->failed);
    CHECK_OK(io_write_file(path, buf_view(b)));
    buf_clear(b);
    return path;
}

/* ---- reading ---- */
static struct import_conf conf_of(enum store_format format)
{
    return (struct import_conf){
        .format = format, .vocab_size = VOCAB, .separator = SEPARATOR, .width = 2};
}

/* Reads the files and checks that they hold exactly the documents of t, in places that ascend. */
static void check_reads(const struct import_conf *conf, const struct import_file *file,
                        uint32_t files, const struct texts *t)
{
    struct import *in;
    struct import_doc doc;
    uint64_t place = 0;
    int rc;
    CHECK_OK(import_open(&in, conf, file, files));
    for (uint32_t i = 0; i < t->count; i++) {
        CHECK_INT(import_next(in, &doc), 1);
        CHECK_INT(doc.count, t->start[i + 1] - t->start[i]);
        CHECK(memcmp(doc.ids, t->ids + t->start[i], sizeof *doc.ids * doc.count) == 0);
        CHECK(i == 0 || ((uint64_t)doc.file << 32 | doc.record) > place);
        place = (uint64_t)doc.file << 32 | doc.record;
    }
    CHECK_OK(rc = import_next(in, &doc));
    CHECK_INT(rc, 0);
    import_close(in);
}

/* Error of reading a pair to its end; *text: its message. */
static int read_error(const struct import_conf *conf, const char *tokens, const char *index)
{
    struct import *in;
    struct import_doc doc;
    struct import_file file = {tokens, index};
    int rc = import_open(&in, conf, &file, 1);
    if (rc < 0)
        return rc;
    while ((rc = import_next(in, &doc)) > 0)
        for (uint32_t i = 0; i < doc.count; i++)
            CHECK(doc.ids[i] < conf->vocab_size);
    import_close(in);
    return rc;
}
static void check_refused(const struct import_conf *conf, const char *tokens, const char *index,
                          const char *says)
{
    CHECK_ERR(read_error(conf, tokens, index), ERR_FORMAT);
    if (!strstr(err_text(), says))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", err_text(), says);
    CHECK(strstr(err_text(), tokens) || (index && strstr(err_text(), index)));
}

/* ---- what the formats hold ---- */
static void llmc_head(struct buf *b, int32_t magic, int32_t version, int64_t tokens)
{
    put_id(b, (uint32_t)magic, 4);
    put_id(b, (uint32_t)version, 4);
    put_id(b, (uint64_t)tokens, 4);
    for (int i = 3; i < 256; i++)
        put_id(b, 0, 4);
}

TEST(store_import_llmc_in_shards)
{
    struct texts t = texts_make(1, VOCAB - 1, 0);
    static struct buf ids, b;
    struct import_file file[40];
    uint32_t files = 0;
    for (uint32_t i = 0; i < t.count; i++) {
        put_id(&ids, SEPARATOR, 2);
        put_doc(&ids, &t, i, 2);
    }
    /* As others cut shards: wherever one is full, in a document or not; one of them is empty. */
    for (size_t at = 0, now = 0; at < ids.len; at += now, files++) {
        char name[32];
        now = files == 3 ? 0 : 2 * (size_t)(1000 + 7919 * files);
        now = now < ids.len - at ? now : ids.len - at;
        llmc_head(&b, 20240520, 1, (int64_t)now / 2);
        buf_add(&b, ids.ptr + at, now);
        snprintf(name, sizeof name, "shard-%02u.bin", files);
        CHECK(files < COUNT_OF(file));
        file[files] = (struct import_file){put_file(name, &b), NULL};
    }
    CHECK(files > 5);
    struct import_conf conf = conf_of(STORE_LLMC);
    check_reads(&conf, file, files, &t);
}

TEST(store_import_llmc_of_llama3)
{
    struct texts t = texts_make(2, 128256, 1);
    static struct buf b;
    struct import_conf conf = conf_of(STORE_LLMC);
    conf.vocab_size = 128257;
    llmc_head(&b, 20240801, 7, (int64_t)(t.start[DOCS] + DOCS));
    for (uint32_t i = 0; i < t.count; i++) {
        put_id(&b, SEPARATOR, 4);
        put_doc(&b, &t, i, 4);
    }
    check_reads(&conf, &(struct import_file){put_file("llama3.bin", &b), NULL}, 1, &t);
}

TEST(store_import_nanogpt_separators_before_or_behind)
{
    struct texts t = texts_make(3, VOCAB - 1, 1);
    static struct buf b;
    struct import_conf conf = conf_of(STORE_NANOGPT);
    for (int way = 0; way < 3; way++) { /* before; behind; between */
        for (uint32_t i = 0; i < t.count; i++) {
            if (way == 0 || (way == 2 && i))
                put_id(&b, SEPARATOR, 2);
            put_doc(&b, &t, i, 2);
            if (way == 1)
                put_id(&b, SEPARATOR, 2);
        }
        check_reads(&conf, &(struct import_file){put_file("nano.bin", &b), NULL}, 1, &t);
    }
    for (uint32_t i = 0; i < t.count; i++) {
        put_doc(&b, &t, i, 4);
        put_id(&b, SEPARATOR, 4);
    }
    conf.width = 4;
    check_reads(&conf, &(struct import_file){put_file("nano.bin", &b), NULL}, 1, &t);
}

/* Ids whose bytes are gzip's magic number are ids all the same. */
TEST(store_import_raw_ids_are_not_unpacked)
{
    static const uint16_t ids[] = {0x8b1f, 0x0008, 5, 0x9999, SEPARATOR, 0xb528, 0xfd2f, 3};
    struct import_conf conf = conf_of(STORE_NANOGPT);
    struct import_file file = {path_of("odd.bin"), NULL};
    struct import *in;
    struct import_doc doc;
    conf.vocab_size = 65536;
    CHECK_OK(io_write_file(file.tokens, (struct str){(const char *)ids, sizeof ids}));
    CHECK_OK(import_open(&in, &conf, &file, 1));
    CHECK_INT(import_next(in, &doc), 1);
    CHECK_INT(doc.count, 4);
    CHECK_INT(doc.ids[0], 0x8b1f);
    CHECK_INT(import_next(in, &doc), 1);
    CHECK_INT(doc.ids[0], 0xb528);
    CHECK_INT(import_next(in, &doc), 0);
    import_close(in);
}

/* Sequences per document drawn from 1 to 3; the end of each document is a separator or is not. */
static void megatron_files(const struct texts *t, int type, int bytes, const char **bin,
                           const char **idx)
{
    static struct buf b, lengths, pointers, bounds;
    buf_clear(&lengths);
    buf_clear(&pointers);
    buf_clear(&bounds);
    uint64_t sequences = 0, seed = 9;
    put_id(&bounds, 0, 8);
    for (uint32_t i = 0; i < t->count; i++) {
        uint64_t from = b.len, count, parts = 1 + test_random(&seed) % 3;
        put_doc(&b, t, i, bytes);
        if (test_random(&seed) % 2)
            put_id(&b, SEPARATOR, bytes);
        count = (b.len - from) / (uint64_t)bytes;
        for (uint64_t p = 0; p < parts; p++) {
            uint64_t first = count * p / parts, end = count * (p + 1) / parts;
            put_id(&lengths, end - first, 4);
            put_id(&pointers, from + first * (uint64_t)bytes, 8);
            sequences++;
        }
        put_id(&bounds, sequences, 8);
    }
    *bin = put_file("mega.bin", &b);
    buf_add(&b, "MMIDIDX\0\0", 9);
    put_id(&b, 1, 8);
    put_id(&b, (uint64_t)type, 1);
    put_id(&b, sequences, 8);
    put_id(&b, t->count + 1, 8);
    buf_str(&b, buf_view(&lengths));
    buf_str(&b, buf_view(&pointers));
    buf_str(&b, buf_view(&bounds));
    *idx = put_file("mega.idx", &b);
}

TEST(store_import_megatron_types)
{
    static const struct {
        int type, bytes;
        uint32_t vocab;
    } kinds[] = {{1, 1, 255},     {2, 1, 127},     {3, 2, 32767},
                 {4, 4, 1 << 24}, {5, 8, 1 << 24}, {8, 2, 65535}};
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct texts t = texts_make(4 + k, kinds[k].vocab, 0);
        struct import_conf conf = conf_of(STORE_MEGATRON);
        struct import_file file;
        conf.vocab_size = kinds[k].vocab + (kinds[k].vocab < STORE_VOCAB_MAX);
        for (uint64_t i = 0; i < t.start[DOCS]; i++)
            t.ids[i] -= t.ids[i] == conf.vocab_size;
        megatron_files(&t, kinds[k].type, kinds[k].bytes, &file.tokens, &file.index);
        check_reads(&conf, &file, 1, &t);
    }
}

TEST(store_import_datatrove)
{
    struct texts t = texts_make(10, VOCAB - 1, 0);
    static struct buf b, ends;
    struct import_conf conf = conf_of(STORE_DATATROVE);
    for (int bytes = 2; bytes <= 4; bytes += 2) {
        struct import_file file[2];
        for (uint32_t i = 0; i < t.count; i++) {
            put_doc(&b, &t, i, bytes);
            put_id(&b, SEPARATOR, bytes);
            put_id(&ends, b.len / (uint64_t)bytes, 8);
        }
        file[0] = (struct import_file){put_file("d.ds", &b), put_file("d.ds.index", &ends)};
        check_reads(&conf, file, 1, &t);
    }
    /* A second file with nothing in it, and one document cut by a separator inside. */
    struct import_file two[] = {{put_file("e.ds", &b), put_file("e.ds.index", &ends)},
                                {path_of("f.ds"), path_of("f.ds.index")}};
    static const uint16_t ids[] = {SEPARATOR, 1, 2, SEPARATOR, SEPARATOR, 3, SEPARATOR};
    buf_add(&b, ids, sizeof ids);
    put_file("f.ds", &b);
    put_id(&ends, COUNT_OF(ids), 8);
    put_file("f.ds.index", &ends);
    struct texts want = {.ids = (uint32_t[]){1, 2, 3}, .start = {0, 2, 2, 3}, .count = 3};
    check_reads(&conf, two, 2, &want);
}

/* ---- there and back ---- */
TEST(store_import_gives_back_what_was_exported)
{
    struct texts t = texts_make(11, VOCAB - 1, 1);
    struct store_meta meta = {.vocab_size = VOCAB, .domain_count = 2, .eot = SEPARATOR};
    struct store_writer *w;
    struct store *s;
    struct token_view view;
    struct store_exported *x = keep(malloc(sizeof *x));
    snprintf(meta.domain[0].name, sizeof meta.domain[0].name, "a");
    snprintf(meta.domain[1].name, sizeof meta.domain[1].name, "b");
    CHECK_OK(store_create(&w, path_of("store"), &meta));
    for (uint32_t i = 0; i < t.count; i++) {
        struct store_doc doc = {
            .id = i, .record = i, .token_count = (uint32_t)(t.start[i + 1] - t.start[i])};
        CHECK_OK(store_append(w, i >= t.count / 2, &doc, t.ids + t.start[i]));
    }
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_open(&s, path_of("store")));
    CHECK_OK(token_view_make(&view, s, "all", NULL, NULL));
    for (int format = STORE_LLMC; format <= STORE_DATATROVE; format++) {
        struct import_conf conf = conf_of((enum store_format)format);
        CHECK_OK(store_export(s, &view, conf.format, path_of("out"), "x", x));
        CHECK_INT(x->documents, t.count);
        CHECK_INT(x->tokens, t.start[DOCS] + DOCS);
        struct import_file file = {x->file[0], x->file[1][0] ? x->file[1] : NULL};
        check_reads(&conf, &file, 1, &t);
    }
    token_view_close(&view);
    /* One domain alone, the second, which does not begin at the store's first token. */
    CHECK_OK(token_view_domain(&view, s, 1));
    struct texts half = {.ids = t.ids, .count = t.count - t.count / 2};
    memcpy(half.start, t.start + t.count / 2, sizeof *t.start * (half.count + 1));
    for (int format = STORE_LLMC; format <= STORE_DATATROVE; format++) {
        struct import_conf conf = conf_of((enum store_format)format);
        CHECK_OK(store_export(s, &view, conf.format, path_of("out"), "y", x));
        struct import_file file = {x->file[0], x->file[1][0] ? x->file[1] : NULL};
        check_reads(&conf, &file, 1, &half);
    }
    token_view_close(&view);
    store_close(s);
}

/* A view with holes: every third document, so that extents begin and end inside domains. */
static bool pick_third(void *arg, uint32_t domain, uint64_t index, const struct store_doc *doc)
{
    UNUSED(arg);
    UNUSED(domain);
    UNUSED(doc);
    return index % 3 == 1;
}
TEST(store_export_writes_a_view)
{
    struct texts t = texts_make(12, VOCAB - 1, 1), third = {0};
    struct store_meta meta = {.vocab_size = VOCAB, .domain_count = 1, .eot = SEPARATOR};
    struct store_writer *w;
    struct store *s;
    struct token_view view;
    struct store_exported *x = keep(malloc(sizeof *x));
    third.ids = keep(malloc(sizeof *t.ids * t.start[DOCS]));
    snprintf(meta.domain[0].name, sizeof meta.domain[0].name, "a");
    CHECK_OK(store_create(&w, path_of("store"), &meta));
    for (uint32_t i = 0; i < t.count; i++) {
        uint32_t count = (uint32_t)(t.start[i + 1] - t.start[i]);
        struct store_doc doc = {.id = i, .record = i, .token_count = count};
        CHECK_OK(store_append(w, 0, &doc, t.ids + t.start[i]));
        if (i % 3 != 1)
            continue;
        memcpy(third.ids + third.start[third.count], t.ids + t.start[i], sizeof *t.ids * count);
        third.start[third.count + 1] = third.start[third.count] + count;
        third.count++;
    }
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_open(&s, path_of("store")));
    CHECK_OK(token_view_make(&view, s, "third", pick_third, NULL));
    for (int format = STORE_LLMC; format <= STORE_DATATROVE; format++) {
        struct import_conf conf = conf_of((enum store_format)format);
        CHECK_OK(store_export(s, &view, conf.format, path_of("out"), "x", x));
        CHECK_INT(x->documents, third.count);
        struct import_file file = {x->file[0], x->file[1][0] ? x->file[1] : NULL};
        check_reads(&conf, &file, 1, &third);
    }
    token_view_close(&view);
    store_close(s);
}

/* ---- damage ---- */
TEST(store_import_says_what_a_wrong_file_is)
{
    static const struct {
        const char *bytes;
        size_t count;
        const char *says;
    } wrong[] = {{"MMIDIDX\0\0", 9, "index of Megatron"},
                 {"TNTIDX\0\0", 8, "first kind"},
                 {"\x88\xd8\x34\x01\1\0\0\0", 8, "llm.c"},
                 {"\x93NUMPY\1\0", 8, ".tofile"},
                 {"\x1f\x8b\x08\0\0\0\0\0\0\3aaaaaaaaaaaa", 22, "gzip"},
                 {"\xfd"
                  "7zXZ\0",
                  6, "xz"}};
    static struct buf b;
    struct import_conf nano = conf_of(STORE_NANOGPT), llmc = conf_of(STORE_LLMC);
    struct import_conf mega = conf_of(STORE_MEGATRON);
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        buf_add(&b, wrong[i].bytes, wrong[i].count);
        while (b.len < 2048)
            buf_char(&b, 1);
        const char *path = put_file("wrong", &b);
        check_refused(&nano, path, NULL, wrong[i].says);
        if (i != 2)
            check_refused(&llmc, path, NULL, wrong[i].says);
        if (i != 0)
            check_refused(&mega, path, path, wrong[i].says);
    }
    for (int i = 0; i < 200; i++)
        buf_text(&b, "{\"text\": \"na\xc3\xafve\"}\n");
    const char *text = put_file("wrong", &b);
    check_refused(&nano, text, NULL, "text: sluice");
    check_refused(&llmc, text, NULL, "text: sluice");
    buf_add(&b, "\1\2\3\4\5", 5);
    check_refused(&llmc, put_file("wrong", &b), NULL, "begins with 01 02 03 04 05");
    check_refused(&llmc, put_file("wrong", &b), NULL, "it is empty");
    CHECK_ERR(read_error(&nano, "/dev/zero", NULL), ERR_USAGE);
    CHECK_ERR(read_error(&nano, path_of("absent"), NULL), ERR_USAGE);
    CHECK_ERR(read_error(&nano, test_dir(), NULL), ERR_USAGE);
}

TEST(store_import_ids_must_be_in_the_vocabulary)
{
    static struct buf b;
    struct import_conf nano = conf_of(STORE_NANOGPT);
    for (int i = 0; i < 200000; i++)
        put_id(&b, i == 131073 ? VOCAB : 300, 2);
    const char *path = put_file("ids.bin", &b);
    check_refused(&nano, path, NULL, "token 131073 has id 50000, the tokenizer has 50000");
    nano.vocab_size++;
    CHECK_OK(read_error(&nano, path, NULL));
    for (int i = 0; i < 3000; i++)
        put_id(&b, 300 + (uint64_t)i, 4);
    path = put_file("ids.bin", &b);
    check_refused(&nano, path, NULL, "--width=4");
    nano.width = 4;
    CHECK_OK(read_error(&nano, path, NULL));
    put_id(&b, 70000, 3);
    check_refused(&nano, put_file("ids.bin", &b), NULL, "no whole number");
    /* A negative id of a signed type is none. */
    struct texts t = texts_make(20, 100, 1);
    struct import_conf mega = conf_of(STORE_MEGATRON);
    struct import_file file;
    for (int type = 2; type <= 5; type++) {
        static const int bytes[] = {0, 1, 1, 2, 4, 8};
        megatron_files(&t, type, bytes[type], &file.tokens, &file.index);
        CHECK_OK(read_error(&mega, file.tokens, file.index));
        int fd = open(file.tokens, O_WRONLY | O_CLOEXEC);
        CHECK(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", (size_t)bytes[type], 80) > 0);
        close(fd);
        check_refused(&mega, file.tokens, file.index, "another tokenizer");
    }
}

TEST_LIMIT(store_import_one_endless_document_is_refused, 180)
{
    struct import_conf nano = conf_of(STORE_NANOGPT);
    const char *path = path_of("sparse.bin");
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    if (ftruncate(fd, 2 * ((off_t)IMPORT_DOC_TOKENS_MAX + 1)) != 0)
        test_skip("no sparse files here");
    close(fd);
    CHECK_ERR(read_error(&nano, path, NULL), ERR_LIMIT);
    CHECK(strstr(err_text(), "no separator"));
}

static void patch_u64(const char *path, uint64_t at, uint64_t value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0 && pwrite(fd, &value, 8, (off_t)at) == 8);
    close(fd);
}

TEST(store_import_llmc_header_must_fit)
{
    static const int64_t counts[] = {99, 101, -1, INT32_MAX, INT32_MIN, 0};
    struct import_conf conf = conf_of(STORE_LLMC);
    static struct buf b;
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        llmc_head(&b, 20240520, 1, counts[i]);
        for (int k = 0; k < 100; k++)
            put_id(&b, 1, 2);
        check_refused(&conf, put_file("h.bin", &b), NULL, "header counts");
    }
    llmc_head(&b, 20240520, 2, 0);
    check_refused(&conf, put_file("h.bin", &b), NULL, "it looks like");
    llmc_head(&b, 20240520, 1, 0);
    b.len = 1023;
    check_refused(&conf, put_file("h.bin", &b), NULL, "no llm.c token file");
}

TEST(store_import_megatron_index_must_fit)
{
    struct texts t = texts_make(30, VOCAB - 1, 1);
    struct import_conf conf = conf_of(STORE_MEGATRON);
    struct import_file f;
    static struct buf b;
    uint64_t sequences, bytes;
    char *index;
    size_t len;
    megatron_files(&t, 8, 2, &f.tokens, &f.index);
    CHECK_OK(io_read_file(f.index, 1 << 20, &index, &len));
    keep(index);
    memcpy(&sequences, index + 18, 8);
    CHECK_OK(io_size(f.tokens, &bytes));
    uint64_t pointers = 34 + 4 * sequences, bounds = pointers + 8 * sequences;
    const struct {
        uint64_t at, value;
        const char *says;
    } damage[] = {{9, 2, "version 2"},
                  {18, sequences + 1, "cut or damaged"},
                  {18, UINT64_MAX / 12 + 2, "cut or damaged"},
                  {26, 0, "cut or damaged"},
                  {26, UINT64_MAX, "cut or damaged"},
                  {26, 1ull << 61, "cut or damaged"},
                  {pointers, 2, "it is damaged"},
                  {pointers + 80, UINT64_MAX - 1, "it is damaged"},
                  {bounds - 8, UINT64_MAX - 1, "do not belong together"},
                  {bounds, 1, "begin at sequence 1"},
                  {bounds + 80, UINT64_MAX, "it is damaged"},
                  {bounds + 80, 0, "it is damaged"},
                  {34 + 40, 0xffffffff00000001, "it is damaged"},
                  {bounds + 8 * (uint64_t)DOCS, sequences - 1, "end at sequence"}};
    for (size_t i = 0; i < COUNT_OF(damage); i++) {
        CHECK_OK(io_write_file(f.index, (struct str){index, len}));
        CHECK_OK(read_error(&conf, f.tokens, f.index));
        patch_u64(f.index, damage[i].at, damage[i].value);
        check_refused(&conf, f.tokens, f.index, damage[i].says);
    }
    /* Types that are no ids, and every length the file might have been cut to. */
    CHECK_OK(io_write_file(f.index, (struct str){index, len}));
    for (uint64_t type = 0; type < 256; type++) {
        uint64_t head;
        memcpy(&head, index + 17, 8);
        patch_u64(f.index, 17, (head & ~0xffull) | type);
        if (type != 8 && type != 3)
            CHECK_ERR(read_error(&conf, f.tokens, f.index), ERR_FORMAT);
    }
    CHECK_OK(io_write_file(f.index, (struct str){index, len}));
    for (size_t cut = len - 1; cut > 10; cut -= 1 + cut / 9) {
        CHECK(truncate(f.index, (off_t)cut) == 0);
        CHECK_ERR(read_error(&conf, f.tokens, f.index), ERR_FORMAT);
    }
    /* With a mode for every sequence, as multimodal data has it. */
    buf_add(&b, index, len);
    for (uint64_t i = 0; i < sequences; i++)
        buf_char(&b, 0);
    put_file("mega.idx", &b);
    check_refused(&conf, f.tokens, f.index, "multimodal");
    CHECK_OK(io_write_file(f.index, (struct str){index, len}));
    CHECK(truncate(f.tokens, (off_t)bytes - 2) == 0);
    check_refused(&conf, f.tokens, f.index, "do not belong together");
}

TEST(store_import_datatrove_index_must_fit)
{
    static const uint64_t ends[][4] = {{10, 5, 50, 100},          {10, 200, 50, 100},
                                       {10, UINT64_MAX, 50, 100}, {10, 20, 50, 99},
                                       {10, 20, 50, UINT64_MAX},  {10, 20, 50, 1ull << 63}};
    struct import_conf conf = conf_of(STORE_DATATROVE);
    static struct buf b, e;
    for (int i = 0; i < 100; i++)
        put_id(&b, 300, 2);
    const char *tokens = put_file("d.ds", &b);
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        for (int k = 0; k < 4; k++)
            put_id(&e, ends[i][k], 8);
        check_refused(&conf, tokens, put_file("d.ds.index", &e), "d.ds");
    }
    put_id(&e, 100, 8);
    put_id(&e, 100, 7);
    check_refused(&conf, tokens, put_file("d.ds.index", &e), "no whole number");
    check_refused(&conf, tokens, put_file("d.ds.index", &e), "do not belong together");
}
