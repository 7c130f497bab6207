/* store_io - `sluice store export`: a store's tokens for other trainers, or its text. */
#include "command/run.h"
#include "command/store_tool.h"
#include "core/err.h"
#include "store/exchange.h"

#include <stdio.h>
#include <stdlib.h>

int store_format_find(const char *name)
{
    static const char *const names[] = {"llmc", "nanogpt", "megatron", "datatrove"};
    for (int i = 0; i < (int)COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return err_set(ERR_USAGE, "store: %s is no format of token files", name);
}

int store_of_run(const struct store_flags *flags, struct store **s)
{
    char path[IO_PATH_MAX], inside[IO_PATH_MAX];
    TRY(run_flag_check("store", flags->run));
    TRY(io_path(inside, "%s/data.mdb", flags->run));
    TRY(io_exists(inside) ? io_path(path, "%s", flags->run) : base_store(flags->run, path));
    return store_open(s, path);
}

int store_domain_flag(const struct store_flags *flags, const struct store *s, int *domain)
{
    *domain = -1;
    if (!flags->domain || !flags->domain[0])
        return 0;
    *domain = store_domain(s, flags->domain);
    return *domain >= 0
               ? 0
               : err_set(ERR_USAGE, "store: there is no domain \"%s\": see sluice store ls",
                         flags->domain);
}

/* ---- export ---- */
static void print_snippet(const struct store_exported *x, enum store_format format, uint32_t width)
{
    const char *type = width == 2 ? "uint16" : "uint32";
    int stem = (int)strlen(x->file[0]) - 4; /* without .bin */
    switch (format) {
    case STORE_LLMC:
        printf("# numpy: t = np.fromfile(\"%s\", np.%s, offset=1024)\n", x->file[0], type);
        break;
    case STORE_NANOGPT:
        printf("# numpy: t = np.memmap(\"%s\", np.%s, \"r\")\n", x->file[0], type);
        break;
    case STORE_MEGATRON:
        printf("# Megatron-LM: IndexedDataset(\"%.*s\")[0]; --data-path %.*s\n", stem, x->file[0],
               stem, x->file[0]);
        break;
    default:
        printf("# numpy: e = np.fromfile(\"%s\", np.uint64); t = np.memmap(\"%s\", np.%s, \"r\"); "
               "t[e[0]:e[1]] is document 1\n",
               x->file[1], x->file[0], type);
    }
}

/* The documents that --domain or --view asks for, or all. */
static int view_of_flags(const struct store_flags *flags, struct store *s, struct token_view *v)
{
    char path[IO_PATH_MAX];
    int domain;
    bool named = flags->view && flags->view[0];
    TRY(store_domain_flag(flags, s, &domain));
    if (named && domain >= 0)
        return err_set(ERR_USAGE, "store export: --domain or --view, not both");
    if (!named)
        return domain < 0 ? token_view_make(v, s, "all", NULL, NULL)
                          : token_view_domain(v, s, (uint32_t)domain);
    if (strchr(flags->view, '/'))
        return token_view_open(v, flags->view, s);
    TRY(io_path(path, "%s/views/%s.view", flags->run, flags->view));
    return token_view_open(v, path, s);
}

/* llm.c's and nanoGPT's files have the name of the first of Megatron's two. */
static int check_pair(const struct store_flags *flags, int format)
{
    char index[IO_PATH_MAX];
    TRY(io_path(index, "%s/%s.idx", flags->out, flags->prefix));
    if ((format == STORE_LLMC || format == STORE_NANOGPT) && io_exists(index))
        return err_set(ERR_USAGE,
                       "store export: %s is there: %s.bin beside it is Megatron's: choose another "
                       "--prefix or --out, or delete both",
                       index, flags->prefix);
    return 0;
}

static int write_tokens(const struct store_flags *flags, struct store *s,
                        const struct token_view *view)
{
    struct store_exported *x = calloc(1, sizeof *x);
    int rc, format = 0;
    TRY_OUT(x ? 0 : err_set(ERR_LIMIT, "store export: no memory"));
    TRY_OUT(format = store_format_find(flags->format));
    TRY_OUT(check_pair(flags, format));
    TRY_OUT(store_export(s, view, (enum store_format)format, flags->out, flags->prefix, x));
    printf("%s%s%s: %llu documents, %llu tokens\n", x->file[0], x->file[1][0] ? " and " : "",
           x->file[1], (unsigned long long)x->documents, (unsigned long long)x->tokens);
    print_snippet(x, (enum store_format)format, store_meta(s)->token_bytes);
out:
    free(x);
    return rc < 0 ? rc : 0;
}

static int write_text(const struct store_flags *flags, struct store *s,
                      const struct token_view *view)
{
    char path[IO_PATH_MAX];
    uint64_t tokens;
    bool to_stdout = strcmp(flags->out, "-") == 0;
    TRY(to_stdout ? io_path(path, "-")
                  : io_path(path, "%s/%s.jsonl.zst", flags->out, flags->prefix));
    TRY(store_write_jsonl(flags, s, view, path, &tokens));
    if (!to_stdout)
        printf("%s: %llu documents, %llu tokens\n"
               "# datasets: load_dataset(\"json\", data_files=\"%s\")\n",
               path, (unsigned long long)view->documents, (unsigned long long)tokens, path);
    return 0;
}

int store_write_files(const struct store_flags *flags)
{
    struct store *s = NULL;
    struct token_view view = {0};
    int rc;
    TRY_OUT(store_of_run(flags, &s));
    TRY_OUT(view_of_flags(flags, s, &view));
    rc = strcmp(flags->format, "jsonl") == 0 ? write_text(flags, s, &view)
                                             : write_tokens(flags, s, &view);
out:
    token_view_close(&view);
    store_close(s);
    return rc < 0 ? rc : 0;
}
