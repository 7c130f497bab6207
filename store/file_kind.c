/* file_kind - tells common files by their first bytes. */
#include "store/file_kind.h"

#include "core/str.h"

#include <stdio.h>
#include <unistd.h>

enum { HEAD = 4096, SAMPLE = 512, WIDE_SAMPLE = 256, UPPER_MAX = 16 };

struct mark {
    uint32_t at, count;
    const char *bytes;
    bool sure; /* long enough to rule out ids */
    const char *what;
};
#define MARK(at, text, sure, what)                                                                 \
    {                                                                                              \
        at, sizeof(text) - 1, text, sure, what                                                     \
    }
static const struct mark marks[] = {
    MARK(0, "MMIDIDX\0\0", true, "an index of Megatron: --format=megatron, with its .bin"),
    MARK(0, "TNTIDX\0\0", true,
         "an index of fairseq's or Megatron's first kind: convert it with Megatron's own tools"),
    MARK(0, "\x88\xd8\x34\x01\x01\0\0\0", true, "a token file of llm.c: --format=llmc"),
    MARK(0, "\xa1\xd9\x34\x01\x07\0\0\0", true, "a token file of llm.c: --format=llmc"),
    MARK(0, "\x8a\xd8\x34\x01", false, "an evaluation file of llm.c, which holds questions"),
    MARK(0, "\xc6\xd7\x34\x01", false, "a model of llm.c"),
    MARK(0, "\x93NUMPY", true, "a numpy .npy file: write its numbers alone (.tofile)"),
    MARK(0, "\x1f\x8b\x08", false, "gzip: unpack it first"),
    MARK(0, "\x28\xb5\x2f\xfd", false, "zstd: unpack it first"),
    MARK(0,
         "\xfd"
         "7zXZ\0",
         true, "xz: unpack it first"),
    MARK(0, "PK\3\4", false, "a zip file (numpy's .npz, PyTorch's .pt)"),
    MARK(0, "PAR1", false, "Parquet"),
    MARK(0, "ARROW1\0\0", true, "Arrow"),
    MARK(0, "\x89HDF\r\n\x1a\n", true, "HDF5"),
    MARK(0, "GGUF", false, "a GGUF model"),
    MARK(0,
         "\x7f"
         "ELF\2\1\1",
         true, "a program"),
    MARK(16, "\xde\xc0\xef\xbe\1\0\0\0", true, "an LMDB file: perhaps a store's data.mdb"),
    MARK(0, "\x80\4\x95", false, "a Python pickle"),
};

static size_t head_read(int fd, uint64_t bytes, unsigned char *to)
{
    size_t want = bytes < HEAD ? (size_t)bytes : HEAD;
    ssize_t got = pread(fd, to, want, 0);
    return got > 0 ? (size_t)got : 0;
}

static const struct mark *mark_find(const unsigned char *head, size_t have, bool sure)
{
    for (size_t i = 0; i < COUNT_OF(marks); i++) {
        const struct mark *m = &marks[i];
        if ((m->sure || !sure) && have >= m->at + m->count &&
            memcmp(head + m->at, m->bytes, m->count) == 0)
            return m;
    }
    return NULL;
}

/* Hundreds of bytes of text without a control character: as ids they would all have a printable
 * upper half. */
static bool is_text(const unsigned char *head, size_t have)
{
    size_t want = have < SAMPLE ? have : SAMPLE;
    for (size_t i = 0; i < want; i++)
        if (head[i] < 32 && head[i] != '\n' && head[i] != '\t' && head[i] != '\r')
            return false;
    while (want && (head[want - 1] & 0xC0) == 0x80) /* a character cut by the sample's end */
        want--;
    if (want && head[want - 1] >= 0xC0)
        want--;
    return want && utf8_valid((struct str){(const char *)head, want});
}

/* gzip's flags, and its fields of level and system, hold few values. */
static bool is_gzip(const unsigned char *head, size_t have)
{
    return have >= 18 && memcmp(head, "\x1f\x8b\x08", 3) == 0 && head[3] < 32 &&
           (head[8] == 0 || head[8] == 2 || head[8] == 4) && (head[9] < 14 || head[9] == 255);
}

bool file_kind_is_other(int fd, uint64_t bytes)
{
    unsigned char head[HEAD];
    size_t have = head_read(fd, bytes, head);
    return mark_find(head, have, true) || is_gzip(head, have) ||
           (have >= SAMPLE && is_text(head, have));
}

void file_kind(int fd, uint64_t bytes, char out[FILE_KIND_MAX])
{
    unsigned char head[HEAD];
    size_t have = head_read(fd, bytes, head);
    const struct mark *m = mark_find(head, have, false);
    if (bytes == 0)
        snprintf(out, FILE_KIND_MAX, "nothing: it is empty");
    else if (m)
        snprintf(out, FILE_KIND_MAX, "%s", m->what);
    else if (is_text(head, have))
        snprintf(out, FILE_KIND_MAX, "text: sluice run and sluice tokenize read text");
    else {
        int at = snprintf(out, FILE_KIND_MAX, "something unknown: it begins with");
        for (size_t i = 0; i < have && i < 8; i++)
            at += snprintf(out + at, (size_t)(FILE_KIND_MAX - at), " %02x", head[i]);
    }
}

bool file_kind_wide_ids(int fd, uint64_t bytes)
{
    unsigned char head[HEAD];
    size_t have = head_read(fd, bytes, head) / 4, low_over = 0;
    for (size_t i = 0; i < have; i++) {
        uint16_t low, high;
        memcpy(&low, head + 4 * i, 2);
        memcpy(&high, head + 4 * i + 2, 2);
        if (high >= UPPER_MAX)
            return false;
        low_over += low >= UPPER_MAX;
    }
    return have >= WIDE_SAMPLE && low_over > have / 2;
}
