/* main - finds the command, runs it, and is the only place that prints an error and exits. */
#include "command/command.h"
#include "core/err.h"
#include "core/log.h"
#include "core/pipe.h"
#include "kernels/tensor.h"

#include <curl/curl.h>
#include <lmdb.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

enum { MAIN_ARENA = 64 << 20 };

/* First signal: finish the batch in flight, save, say how to go on. Second: leave at once. */
static void on_signal(int signal_number)
{
    static const char text[] = "\nstopping after what is in flight; press again to quit now; the "
                               "same command goes on later\n";
    if (pipe_stop)
        _exit(128 + signal_number);
    pipe_stop = 1;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        return;
}

static void print_commands(FILE *to)
{
    static const char *const groups[] = {"corpus", "training", "looking", "files"};
    fprintf(to,
            "sluice %s - wash the web, keep the gold, train on it\n\nusage: sluice COMMAND "
            "[--flags] [files]\n",
            SLUICE_VERSION);
    for (size_t g = 0; g < COUNT_OF(groups); g++) {
        fprintf(to, "\n%s\n", groups[g]);
        for (int i = 0; commands[i]; i++)
            if (strcmp(commands[i]->group, groups[g]) == 0)
                fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->help);
    }
    fprintf(to, "\nsluice COMMAND --help   how to use it\nsluice --version        what is in this "
                "build\n\nfor example\n"
                "  sluice run recipes/warc.toml --set source.path=FILE.warc.gz --run=out\n"
                "  sluice why --run=out https://example.com/page\n"
                "  sluice generate --model=out/train/model --prompt=\"The\"\n");
}

static int print_version(void)
{
    printf("sluice %s\nfeatures:", SLUICE_VERSION);
    printf(" +zstd(%s) +curl(%s) +lmdb(%d.%d.%d) +gumbo +isal +fasttext", ZSTD_versionString(),
           LIBCURL_VERSION, MDB_VERSION_MAJOR, MDB_VERSION_MINOR,
           MDB_VERSION_PATCH);
    printf(" %cmpi", HAVE_MPI ? '+' : '-');
    printf(" %ccuda", HAVE_CUDA ? '+' : '-');
#if defined(__x86_64__)
    printf(" %cavx2(runtime) %cavx512(runtime)", __builtin_cpu_supports("avx2") ? '+' : '-',
           __builtin_cpu_supports("avx512f") ? '+' : '-');
#endif
    printf("\ndevice: %s\n", HAVE_CUDA ? cuda_describe() : "CPU (built without CUDA)");
    return 0;
}

static void print_help(const struct command *c)
{
    printf("usage: sluice %s\n\n%s.\n", c->usage, c->help);
    if (c->text)
        printf("\n%s\n", c->text);
    if (c->opts && c->opts[0].type != OPT_END) {
        printf("\nflags\n");
        opt_print_help(c->opts, stdout);
    }
}

static int unknown_command(const char *name)
{
    enum { NEAR_EDITS = 2 };
    const struct command *best = NULL;
    int best_edits = NEAR_EDITS + 1;
    for (int i = 0; commands[i]; i++) {
        int edits = str_distance(str_of(name), str_of(commands[i]->name));
        if (edits < best_edits) {
            best = commands[i];
            best_edits = edits;
        }
    }
    if (!best)
        return err_set(ERR_USAGE, "there is no command \"%s\": `sluice` alone lists them all",
                       name);
    return err_set(
        ERR_USAGE,
        "there is no command \"%s\": did you mean \"sluice %s\"? `sluice` alone lists them all",
        name, best->name);
}

static const struct command *command_find(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Rewrites --set K=V, --set=K=V and --a.b=V as set:K=V, in place. */
static int lift_assignments(int *argc, char **argv, struct arena *a)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        const char *text = argv[i];
        const char *equals = strchr(text, '='), *dot = strchr(text, '.');
        if (strcmp(text, "--") == 0) {
            while (i < *argc)
                argv[kept++] = argv[i++];
            break;
        }
        if (strcmp(text, "--set") == 0) {
            if (++i == *argc)
                return err_set(ERR_USAGE, "--set: KEY=VALUE is missing behind it");
            text = argv[i];
        } else if (strncmp(text, "--set=", 6) == 0) {
            text += 6;
        } else if (strncmp(text, "--", 2) == 0 && equals && dot && dot < equals) {
            text += 2;
        } else {
            argv[kept++] = argv[i];
            continue;
        }
        if (!strchr(text, '='))
            return err_set(ERR_USAGE,
                           "--set %s: write KEY=VALUE, for example source.path=FILE.warc.gz", text);
        size_t size = strlen(text) + 5;
        char *lifted = arena_push(a, size, 1);
        if (!lifted)
            return ERR_LIMIT;
        snprintf(lifted, size, "set:%s", text);
        argv[kept++] = lifted;
    }
    *argc = kept;
    return 0;
}

static int dispatch(int argc, char **argv, struct arena *a)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_commands(argc < 2 ? stderr : stdout);
        return argc < 2 ? err_set(ERR_USAGE, "no command given") : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)
        return print_version();
    bool help = strcmp(argv[1], "help") == 0;
    const char *name = help ? argv[2] : argv[1];
    const struct command *c = command_find(name);
    if (!c)
        return unknown_command(name);
    if (help || wants_help(argc - 2, argv + 2)) {
        print_help(c);
        return 0;
    }
    argc -= 2;
    argv += 2;
    void *conf = arena_push_zero(a, c->conf_size ? c->conf_size : 1, 16);
    if (!conf)
        return ERR_LIMIT;
    if (c->assignments)
        TRY(lift_assignments(&argc, argv, a));
    if (c->opts) {
        TRY(opt_defaults(c->opts, conf, a));
        TRY(opt_from_args(c->opts, conf, &argc, argv, a));
    }
    return c->run(conf, argc, argv, a);
}

/* `| head` has seen enough: the reader of standard output is gone, which is no error. */
static bool reader_is_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

/* The command's answer, or what became of its output. */
static int finish_output(int rc)
{
    if (rc >= 0 && fflush(stdout) != 0)
        rc = err_sys("standard output");
    else if (rc >= 0 && ferror(stdout))
        rc = err_set(ERR_IO, "standard output did not take all that was written");
    return rc == ERR_IO && ferror(stdout) && reader_is_gone() ? 0 : rc;
}

int main(int argc, char **argv)
{
    struct arena a = {0};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    log_open(LOG_INFO);
    int rc = arena_open(&a, MAIN_ARENA);
    if (rc >= 0)
        rc = dispatch(argc, argv, &a);
    rc = finish_output(rc);
    if (rc < 0)
        fprintf(stderr, "sluice: error: %s\n", err_text());
    arena_close(&a);
    return err_exit_code(rc);
}
