/* cmd_crawl - `sluice crawl`: fetches a sample of a crawl's files from Common Crawl or a mirror of
 * it. */
#include "command/command.h"
#include "core/err.h"
#include "core/log.h"
#include "crawl/crawl.h"

static int command_crawl_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct crawl_conf *crawl = conf;
    const char **path;
    size_t count;
    UNUSED(argv);
    if (argc != 0 || !crawl->crawl || !crawl->crawl[0])
        return err_set(ERR_USAGE, "crawl: name a crawl: sluice crawl --crawl=CC-MAIN-2024-22 "
                                  "--files=1 --user_agent='me/1.0 (+me@example.org)'");
    TRY(crawl_files(crawl, a, &path, &count));
    for (size_t i = 0; i < count; i++)
        printf("%s\n", path[i]);
    log_info("%zu files are here", count);
    return 0;
}

const struct command command_crawl = {
    .name = "crawl",
    .group = "files",
    .usage = "crawl --crawl=CC-MAIN-YYYY-WW [--kind=warc|wet] [--files=N] [--seed=S] [--base=URL] "
             "[--cache=DIR]",
    .help = "fetch a crawl's archives, checked and resumable; prints their paths",
    .opts = crawl_opts,
    .conf_size = sizeof(struct crawl_conf),
    .run = command_crawl_main,
};
