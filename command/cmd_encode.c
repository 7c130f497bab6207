/* cmd_encode - `sluice encode`: text on standard input to token ids, one a line or as JSON. */
#include "command/command.h"
#include "core/err.h"
#include "tokenize/tokenize.h"

#include <stdlib.h>

struct encode_flags {
    const char *tokenizer;
    bool json;
};
static const struct opt encode_flag_opts[] = {
    OPT_ROW(OPT_STR, struct encode_flags, tokenizer, NULL, 0, 0, NULL,
            "tokenizer.json, .tiktoken, or a folder with one", NULL),
    OPT_ROW(OPT_BOOL, struct encode_flags, json, "false", 0, 1, NULL, "print one JSON list", NULL),
    OPT_LAST,
};

static int read_stdin(struct buf *text)
{
    for (;;) {
        char *at = buf_room(text, 1 << 16);
        if (!at)
            return err_set(ERR_LIMIT, "encode: more than 1 GiB on standard input: split it");
        size_t got = fread(at, 1, 1 << 16, stdin);
        buf_grown(text, got);
        if (got == 0)
            return ferror(stdin) ? err_sys("encode: standard input") : 0;
    }
}

static int command_encode_main(void *conf, int argc, char **argv, struct arena *unused)
{
    const struct encode_flags *flags = conf;
    struct tokenizer *t = NULL;
    struct encoder *e = NULL;
    struct buf text = {0};
    struct arena a = {0};
    const uint32_t *ids;
    uint32_t count;
    int rc;
    UNUSED(argv);
    UNUSED(unused);
    if (argc != 0 || !flags->tokenizer || !flags->tokenizer[0])
        return err_set(ERR_USAGE,
                       "encode: name a tokenizer: sluice encode --tokenizer=RUN/tokenizer < TEXT");
    TRY_OUT(tokenizer_open(&t, flags->tokenizer));
    TRY_OUT(encoder_open(&e, t));
    TRY_OUT(read_stdin(&text));
    TRY_OUT(arena_open(&a, text.len * sizeof *ids + 4096));
    TRY_OUT(encoder_encode(e, buf_view(&text), &a, &ids, &count));
    if (flags->json)
        putchar('[');
    for (uint32_t i = 0; i < count; i++)
        printf(flags->json ? "%s%u" : "%s%u\n", flags->json && i ? "," : "", ids[i]);
    if (flags->json)
        printf("]\n");
out:
    arena_close(&a);
    buf_free(&text);
    encoder_close(e);
    tokenizer_close(t);
    return rc < 0 ? rc : 0;
}

const struct command command_encode = {
    .name = "encode",
    .group = "looking",
    .usage = "encode --tokenizer=FILE [--json] < TEXT",
    .help = "text on standard input to token ids",
    .opts = encode_flag_opts,
    .conf_size = sizeof(struct encode_flags),
    .run = command_encode_main,
};
