/* remote - tells which files a URL stands for and where each lands in the cache. */
#include "crawl/remote.h"
#include "crawl/fetched.h"
#include "crawl/s3.h"
#include "crawl/s3_sign.h"

#include "core/err.h"

enum { SEGMENT_MAX = 200, SEGMENT_KEPT = 120 };

bool remote_is_url(const char *text)
{
    struct str t = str_of(text);
    return str_starts_nocase(t, "https://") || str_starts_nocase(t, "http://") || s3_is_url(text);
}

/* One part of a path as a file name: "%" for an empty one, dots as codes when there is nothing but
 * dots, a long one cut and told from others by its hash. */
static void add_segment(struct buf *to, struct str segment)
{
    size_t start = to->len, dots = 0;
    while (dots < segment.len && segment.ptr[dots] == '.')
        dots++;
    for (size_t i = 0; dots == segment.len && i < dots; i++)
        buf_text(to, "%2E");
    if (dots != segment.len)
        sign_encode(to, segment, false);
    else if (!dots)
        buf_char(to, '%');
    if (!to->failed && to->len - start > SEGMENT_MAX) {
        char hex[33];
        hash_hex(hash128(segment.ptr, segment.len), hex);
        to->len = start + SEGMENT_KEPT;
        buf_printf(to, "%%%s", hex);
    }
}

void remote_name(struct buf *to, const char *url)
{
    struct str rest, scheme = str_cut(str_of(url), ':', &rest);
    buf_text(to, "remote/");
    for (size_t i = 0; i < scheme.len; i++)
        buf_char(to, scheme.ptr[i] >= 'A' && scheme.ptr[i] <= 'Z' ? (char)(scheme.ptr[i] + 32)
                                                                  : scheme.ptr[i]);
    rest = str_slice(rest, 2, rest.len);
    while (rest.ptr) {
        buf_char(to, '/');
        add_segment(to, str_cut(rest, '/', &rest));
    }
}

static int add_file(const struct crawl_conf *conf, const struct fetched *table, struct arena *a,
                    const char *url, uint64_t bytes, struct crawl_file *out)
{
    char path[IO_PATH_MAX];
    struct buf name = {.max = IO_PATH_MAX};
    remote_name(&name, url);
    int rc = name.failed ? err_set(ERR_LIMIT, "crawl: the name of %.200s is too long", url)
                         : io_path(path, "%s/%s", conf->cache, buf_cstr(&name));
    buf_free(&name);
    TRY(rc);
    out->path = arena_strdup(a, str_of(path));
    out->url = arena_strdup(a, str_of(url));
    if (!out->path || !out->url)
        return ERR_LIMIT;
    out->name = out->path + strlen(conf->cache) + 1;
    out->here = fetched_is_here(table, out->name, out->path, &out->bytes);
    if (!out->here)
        out->bytes = bytes;
    return 0;
}

/* The part of an s3 URL that can be listed: up to the first star, or the whole. */
static bool listed(const char *url, char *prefix, size_t room)
{
    const char *slash = s3_is_url(url) ? strchr(url + 5, '/') : NULL;
    size_t len = strlen(url), end = slash ? (size_t)(slash - url) + strcspn(slash, "*?") : len;
    bool is = s3_is_url(url) && (!slash || end < len || url[len - 1] == '/');
    if (is)
        snprintf(prefix, room, "%.*s%s", (int)end, url, slash ? "" : "/");
    return is && end + 2 < room;
}

static int list_prefix(const struct crawl_conf *conf, const struct fetched *table, const char *url,
                       const char *prefix, struct arena *a, struct crawl_file **file, size_t *count)
{
    struct s3_object *object;
    size_t found;
    bool glob = strlen(prefix) < strlen(url) && strpbrk(url, "*?");
    TRY(s3_list(&conf->fetch, prefix, a, &object, &found));
    *file = arena_array_zero(a, struct crawl_file, found ? found : 1);
    if (!*file)
        return ERR_LIMIT;
    for (size_t i = 0; i < found; i++)
        if (!glob || str_glob(url, str_of(object[i].url)))
            TRY(add_file(conf, table, a, object[i].url, object[i].bytes, &(*file)[(*count)++]));
    if (*count == 0)
        return err_set(ERR_USAGE, "crawl: nothing lies at %s (%zu objects begin so)", url, found);
    return 0;
}

int remote_files(const struct crawl_conf *conf, const char *url, struct arena *a,
                 struct crawl_file **file, size_t *count)
{
    char prefix[IO_PATH_MAX];
    struct fetched *table;
    *file = NULL;
    *count = 0;
    TRY(fetched_open(&table, conf->cache));
    int rc = 0;
    if (listed(url, prefix, sizeof prefix)) {
        rc = list_prefix(conf, table, url, prefix, a, file, count);
    } else {
        *file = arena_array_zero(a, struct crawl_file, 1);
        rc = *file ? add_file(conf, table, a, url, 0, *file) : ERR_LIMIT;
        *count = rc == 0;
    }
    fetched_close(table);
    return rc;
}
