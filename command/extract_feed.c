/* extract_feed - opens one input behind the other: files, standard input, addresses. */
#include "command/extract_feed.h"

#include "core/err.h"
#include "core/log.h"
#include "crawl/fetch.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static bool is_address(const char *input)
{
    struct str s = str_of(input);
    return str_starts_nocase(s, "http://") || str_starts_nocase(s, "https://") ||
           str_starts_nocase(s, "s3://") || str_starts_nocase(s, "file://");
}

static void keep_charset(struct feed *f, const struct fetch_answer *answer)
{
    struct str type = fetch_answer_header(answer, "Content-Type"), value;
    size_t at = 0;
    while (at < type.len && !str_starts_nocase(str_slice(type, at, type.len), "charset="))
        at++;
    value = str_slice(type, at + 8 < type.len ? at + 8 : type.len, type.len);
    size_t end = str_find_char(value, ';');
    value = str_trim(str_slice(value, 0, end < value.len ? end : value.len));
    if (value.len > 1 && value.ptr[0] == '"')
        value = str_slice(value, 1, value.len - 1);
    snprintf(f->charset, sizeof f->charset, "%.*s", (int)(value.len < 60 ? value.len : 60),
             value.len ? value.ptr : "");
}

/* What the address gives becomes a file in memory. */
static int fetch_input(struct feed *f, const char *url)
{
    struct fetch_conf conf = {.user_agent = f->user_agent, .file_max = FEED_URL_MAX, .retries = 2};
    struct buf bytes = {.max = FEED_URL_MAX};
    struct fetch_answer answer = {0};
    struct fetch_item item = {.url = url, .memory = &bytes, .answer = &answer};
    char shown[IO_PATH_MAX];
    int rc = fetch_all(&conf, &item, 1, NULL);
    if (rc == ERR_LIMIT) /* an archive: file_max is no flag here */
        rc = err_set(ERR_LIMIT,
                     "extract: %s is over %d MiB, more than a page has: stream an archive with "
                     "sluice crawl URL --stdout | sluice extract -",
                     fetch_url_shown(url, shown), FEED_URL_MAX >> 20);
    if (rc >= 0)
        keep_charset(f, &answer);
    f->fd = rc < 0 ? -1 : memfd_create("page", MFD_CLOEXEC);
    if (rc >= 0 && f->fd < 0)
        rc = err_sys("extract: memory for %s", url);
    for (size_t done = 0; rc >= 0 && done < bytes.len;) {
        ssize_t wrote = write(f->fd, bytes.ptr + done, bytes.len - done);
        if (wrote <= 0)
            rc = err_sys("extract: %s", url);
        else
            done += (size_t)wrote;
    }
    fetch_answer_free(&answer);
    buf_free(&bytes);
    return rc;
}

static int open_next(struct feed *f)
{
    const char *input = f->input[f->next];
    char path[64];
    f->charset[0] = 0;
    if (is_address(input)) {
        TRY(fetch_input(f, input));
        snprintf(path, sizeof path, "/proc/self/fd/%d", f->fd);
        input = path;
    }
    return source_open(&f->open, input, (uint32_t)f->next, f->record_max, f->schema);
}

static void close_input(struct feed *f)
{
    if (f->open)
        f->bytes += source_bytes(f->open);
    source_close(f->open);
    f->open = NULL;
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* True when the others can go on without this input. */
static bool leave_input(struct feed *f, int rc)
{
    if (f->count == 1 || (rc != ERR_FORMAT && rc != ERR_USAGE && rc != ERR_IO))
        return false;
    log_warn("%s", err_text());
    err_clear();
    f->failed++;
    close_input(f);
    f->next++;
    return true;
}

int feed_open(struct feed *f)
{
    f->open = NULL;
    f->fd = -1;
    f->next = f->failed = 0;
    int rc = open_next(f);
    if (rc < 0)
        return leave_input(f, rc) ? 0 : rc;
    return f->count == 1 && source_is_page(f->open);
}

/* A page alone has no record that tells its address. */
static int name_page(struct feed *f, struct doc *d, struct batch *b)
{
    const char *input = f->input[d->item];
    const char *url = f->url && f->url[0] ? f->url : is_address(input) ? input : "";
    d->url = arena_str(&b->arena, str_of(url));
    d->http_charset = arena_str(&b->arena, str_of(f->charset));
    if (!d->url.ptr || !d->http_charset.ptr)
        return ERR_LIMIT;
    d->host = url_host_lower(&b->arena, d->url);
    return 0;
}

int feed_fill(void *self, struct batch *b)
{
    struct feed *f = self;
    while (!batch_full(b)) {
        if (!f->open && f->next == f->count)
            return 0;
        int before = b->doc_count, rc = f->open ? 0 : open_next(f);
        if (rc >= 0)
            rc = source_fill(f->open, b);
        for (int i = before; f->open && i < b->doc_count && source_is_page(f->open); i++)
            TRY(name_page(f, &b->doc[i], b));
        if (rc < 0 && !leave_input(f, rc))
            return rc;
        if (rc == 0) {
            close_input(f);
            f->next++;
        }
    }
    return 1;
}

void feed_close(struct feed *f) { close_input(f); }
