/* libcurl - finds libcurl's functions when the first of them is needed. */
#define CURL_DISABLE_TYPECHECK /* which makes macros of some */
#include "crawl/libcurl.h"

#include "core/err.h"
#include "core/io.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

/* The name that belongs to the headers' ABI; unchanged since 2006. */
static const char library[] = "libcurl.so.4";

#define FUNCTIONS(ROW)                                                                             \
    ROW(curl_global_init)                                                                          \
    ROW(curl_easy_init)                                                                            \
    ROW(curl_easy_setopt)                                                                          \
    ROW(curl_easy_perform)                                                                         \
    ROW(curl_easy_getinfo)                                                                         \
    ROW(curl_easy_header)                                                                          \
    ROW(curl_easy_pause)                                                                           \
    ROW(curl_easy_reset)                                                                           \
    ROW(curl_easy_cleanup)                                                                         \
    ROW(curl_easy_strerror)                                                                        \
    ROW(curl_multi_init)                                                                           \
    ROW(curl_multi_setopt)                                                                         \
    ROW(curl_multi_add_handle)                                                                     \
    ROW(curl_multi_remove_handle)                                                                  \
    ROW(curl_multi_perform)                                                                        \
    ROW(curl_multi_poll)                                                                           \
    ROW(curl_multi_info_read)                                                                      \
    ROW(curl_multi_cleanup)                                                                        \
    ROW(curl_slist_append)                                                                         \
    ROW(curl_slist_free_all)                                                                       \
    ROW(curl_getdate)

static struct {
#define ROW(name) __typeof__(name) *name;
    FUNCTIONS(ROW)
#undef ROW
} call;
static char problem[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find(void *from, const char *name, void *to)
{
    void *found = dlsym(from, name);
    memcpy(to, &found, sizeof found); /* POSIX has functions in a void *, C has no cast for it */
    if (!found && !problem[0])
        snprintf(problem, sizeof problem, "%s has no %s", library, name);
}

static void load(void)
{
    void *from = dlopen(library, RTLD_LAZY | RTLD_LOCAL); /* for as long as the process lives */
    if (!from) {
        snprintf(problem, sizeof problem, "%s", dlerror());
        return;
    }
#define ROW(name) find(from, #name, &call.name);
    FUNCTIONS(ROW)
#undef ROW
    if (!problem[0] && call.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        snprintf(problem, sizeof problem, "%s does not start", library);
}

int libcurl_ready(void)
{
    pthread_once(&once, load);
    if (problem[0])
        return err_set(ERR_LIMIT,
                       "crawl: nothing can be fetched, libcurl is not here: %s: install "
                       "it (Debian: libcurl4)",
                       problem);
    return 0;
}

int libcurl_check_ca(const char *ca_file)
{
    uint64_t bytes;
    if (!ca_file || !ca_file[0])
        return 0;
    int fd = io_open_file(ca_file, &bytes);
    if (fd < 0)
        return err_in(fd, "crawl: ca_file, the certificates to trust");
    close(fd);
    return bytes ? 0 : err_set(ERR_USAGE, "crawl: ca_file %s is empty", ca_file);
}

void libcurl_request(CURL *easy, const struct libcurl_request *r)
{
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, r->user_agent);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, r->on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, r->self);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, r->on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, r->self);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, r->on_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, r->self);
    if (r->on_debug) {
        curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L); /* for the function, which alone sees it */
        curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, r->on_debug);
        curl_easy_setopt(easy, CURLOPT_DEBUGDATA, r->self);
    }
    if (r->ca_file && r->ca_file[0])
        curl_easy_setopt(easy, CURLOPT_CAINFO, r->ca_file);
}

/* ---- the functions, as curl/curl.h declares them; those that give the first thing load ---- */
CURL *curl_easy_init(void) { return libcurl_ready() < 0 ? NULL : call.curl_easy_init(); }

/* Whatever an option takes, it is one register wide: a long, a curl_off_t or a pointer. */
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    va_list args;
    va_start(args, option);
    void *value = va_arg(args, void *);
    va_end(args);
    return call.curl_easy_setopt(easy, option, value);
}

CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    va_list args;
    va_start(args, info);
    void *to = va_arg(args, void *);
    va_end(args);
    return call.curl_easy_getinfo(easy, info, to);
}

CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
    va_list args;
    va_start(args, option);
    void *value = va_arg(args, void *);
    va_end(args);
    return call.curl_multi_setopt(multi, option, value);
}

CURLcode curl_easy_perform(CURL *easy) { return call.curl_easy_perform(easy); }
CURLcode curl_easy_pause(CURL *easy, int what) { return call.curl_easy_pause(easy, what); }
void curl_easy_reset(CURL *easy) { call.curl_easy_reset(easy); }
const char *curl_easy_strerror(CURLcode code) { return call.curl_easy_strerror(code); }

CURLHcode curl_easy_header(CURL *easy, const char *name, size_t index, unsigned origin, int request,
                           struct curl_header **out)
{
    return call.curl_easy_header(easy, name, index, origin, request, out);
}

void curl_easy_cleanup(CURL *easy)
{
    if (easy)
        call.curl_easy_cleanup(easy);
}

CURLM *curl_multi_init(void) { return libcurl_ready() < 0 ? NULL : call.curl_multi_init(); }

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    return call.curl_multi_add_handle(multi, easy);
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy)
{
    return call.curl_multi_remove_handle(multi, easy);
}

CURLMcode curl_multi_perform(CURLM *multi, int *running)
{
    return call.curl_multi_perform(multi, running);
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd fds[], unsigned int count, int ms,
                          int *ready)
{
    return call.curl_multi_poll(multi, fds, count, ms, ready);
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
    return call.curl_multi_info_read(multi, left);
}

CURLMcode curl_multi_cleanup(CURLM *multi)
{
    return multi ? call.curl_multi_cleanup(multi) : CURLM_OK;
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *line)
{
    return libcurl_ready() < 0 ? NULL : call.curl_slist_append(list, line);
}

void curl_slist_free_all(struct curl_slist *list)
{
    if (list)
        call.curl_slist_free_all(list);
}

time_t curl_getdate(const char *text, const time_t *unused)
{
    return libcurl_ready() < 0 ? -1 : call.curl_getdate(text, unused);
}
