/* cmd_generate - `sluice generate`: continues a prompt with a trained model. */
#include "command/command.h"
#include "core/err.h"
#include "model/model.h"
#include "tokenize/tokenize.h"

struct generate_flags {
    const char *model, *prompt;
    int64_t tokens, seed, threads;
    double temperature, top_p;
};
static const struct opt generate_flag_opts[] = {
    OPT_ROW(OPT_STR, struct generate_flags, model, NULL, 0, 0, NULL,
            "folder with config.json, model.safetensors, tokenizer.json", NULL),
    OPT_ROW(OPT_STR, struct generate_flags, prompt, NULL, 0, 0, NULL, "text to continue", NULL),
    OPT_ROW(OPT_INT, struct generate_flags, tokens, "128", 1, 1e6, "tokens", "stop after so many",
            NULL),
    OPT_ROW(OPT_FLOAT, struct generate_flags, temperature, "0.8", 0, 10, NULL,
            "0: always the likeliest token", NULL),
    OPT_ROW(OPT_FLOAT, struct generate_flags, top_p, "0.95", 0.01, 1, NULL,
            "draw from the likeliest tokens that make up so much", "arXiv:1904.09751"),
    OPT_ROW(OPT_INT, struct generate_flags, seed, "1", 0, 1e15, NULL, "seed of the draws", NULL),
    OPT_ROW(OPT_INT, struct generate_flags, threads, "0", 0, 256, "threads", "0: one a core", NULL),
    OPT_LAST,
};

/* Bytes wait until they are whole UTF-8 characters, so that a terminal never sees half of one. */
struct speech {
    const struct tokenizer *tokenizer;
    struct buf bytes;
};

static int speak(void *arg, uint32_t token)
{
    struct speech *s = arg;
    buf_str(&s->bytes, tokenizer_bytes(s->tokenizer, token));
    size_t whole = 0;
    while (whole < s->bytes.len) {
        uint32_t cp;
        int len = utf8_decode(s->bytes.ptr + whole, s->bytes.ptr + s->bytes.len, &cp);
        if (len == 1 && cp == 0xFFFD && s->bytes.len - whole < 4)
            break;
        char out[4];
        bool control =
            (cp < 32 && cp != '\n' && cp != '\t') || cp == 127 || (cp >= 0x80 && cp < 0xA0);
        if (!control)
            fwrite(out, 1, (size_t)utf8_encode(cp, out), stdout);
        whole += (size_t)len;
    }
    memmove(s->bytes.ptr, s->bytes.ptr + whole, s->bytes.len - whole);
    s->bytes.len -= whole;
    fflush(stdout);
    return 0;
}

static int continue_prompt(struct model *m, const struct tokenizer *t,
                           const struct generate_flags *flags, struct arena *a)
{
    struct encoder *e;
    struct speech s = {.tokenizer = t};
    const uint32_t *ids;
    uint32_t count, *prompt;
    TRY(encoder_open(&e, t));
    int rc = encoder_encode(e, str_of(flags->prompt), a, &ids, &count);
    encoder_close(e);
    TRY(rc);
    prompt = arena_array(a, uint32_t, count + 1);
    if (!prompt)
        return ERR_LIMIT;
    prompt[0] = tokenizer_eot(t); /* every document began with it */
    memcpy(prompt + 1, ids, sizeof *ids * count);
    struct generate_conf conf = {.tokens = flags->tokens,
                                 .temperature = flags->temperature,
                                 .top_p = flags->top_p,
                                 .seed = flags->seed};
    printf("%s", flags->prompt);
    rc = generate(m, prompt, count + 1, tokenizer_eot(t), &conf, speak, &s);
    printf("\n");
    buf_free(&s.bytes);
    return rc;
}

/* A run's folder, or any other without a model in it. */
static int model_folder_check(const char *folder)
{
    char path[IO_PATH_MAX];
    TRY(io_path(path, "%s/config.json", folder));
    if (io_exists(path))
        return 0;
    TRY(io_path(path, "%s/train/model", folder));
    if (io_exists(path))
        return err_set(ERR_USAGE, "generate: %s is a run: its model is --model=%s", folder, path);
    return err_set(ERR_USAGE,
                   "generate: there is no %s/config.json: name a model folder, as RUN/train/model",
                   folder);
}

static int command_generate_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct generate_flags *flags = conf;
    struct tokenizer *t = NULL;
    struct stream *stream = NULL;
    struct model *m = arena_push_zero(a, sizeof *m, 16);
    bool open = false;
    int rc;
    UNUSED(argv);
    if (argc != 0 || !flags->model || !flags->model[0])
        return err_set(ERR_USAGE, "generate: name a model folder: sluice generate "
                                  "--model=RUN/train/model --prompt=\"The\"");
    if (!m)
        return ERR_LIMIT;
    TRY(model_folder_check(flags->model));
    TRY_OUT(tokenizer_open(&t, flags->model));
    TRY_OUT(device_open(&stream, DEV_CPU, (int)flags->threads));
    TRY_OUT(model_load(m, flags->model, stream, false));
    open = true;
    rc = continue_prompt(m, t, flags, a);
out:
    if (open)
        model_close(m);
    if (stream)
        device_close(stream);
    if (t)
        tokenizer_close(t);
    return rc;
}

const struct command command_generate = {
    .name = "generate",
    .group = "training",
    .usage = "generate --model=DIR --prompt=TEXT [--tokens=N] [--temperature=T]",
    .help = "continue a prompt with a trained model",
    .opts = generate_flag_opts,
    .conf_size = sizeof(struct generate_flags),
    .run = command_generate_main,
};
