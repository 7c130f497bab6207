/* proxy - the addresses of the proxies that the environment names: where private means nothing. */
#include "crawl/address.h"

#include "core/str.h"
#include "crawl/crawl.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libcurl looks at; HTTP_PROXY is not, as servers put a request's "Proxy" field there. */
static const char *const variables[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
enum { ADDRESSES_MAX = 32 };
static struct sockaddr_storage known[ADDRESSES_MAX];
static int known_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* "http://user:password@host:3128/", "host:3128", "[::1]:3128"; without a port it is 1080. */
static void look_up(const char *value)
{
    struct url_parts parts;
    struct buf url = {0};
    char host[256], port[8];
    bool schemed = strstr(value, "://") != NULL;
    buf_printf(&url, "%s%s", schemed ? "" : "http://", value);
    bool split = !url.failed && url_split(buf_view(&url), &parts) && parts.host.len &&
                 parts.host.len < sizeof host && parts.port.len < sizeof port;
    if (split) {
        struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
        bool https = str_eq_nocase(parts.scheme, STR("https"));
        snprintf(host, sizeof host, "%.*s", STR_ARG(parts.host));
        snprintf(port, sizeof port, "%.*s", STR_ARG(parts.port));
        const char *service = parts.port.len ? port : https ? "443" : "1080";
        if (getaddrinfo(host, service, &hints, &found) != 0)
            found = NULL;
        for (struct addrinfo *at = found; at && known_count < ADDRESSES_MAX; at = at->ai_next)
            if (at->ai_addrlen <= sizeof known[0])
                memcpy(&known[known_count++], at->ai_addr, at->ai_addrlen);
        if (found)
            freeaddrinfo(found);
    }
    buf_free(&url);
}

static void look_up_all(void)
{
    for (size_t i = 0; i < COUNT_OF(variables); i++) {
        const char *value = getenv(variables[i]);
        if (value && value[0])
            look_up(value);
    }
}

bool proxy_is_set(void)
{
    for (size_t i = 0; i < COUNT_OF(variables); i++)
        if (getenv(variables[i]) && getenv(variables[i])[0])
            return true;
    return false;
}

static bool same_place(const struct sockaddr_storage *a, const struct sockaddr *b)
{
    if (a->ss_family != b->sa_family)
        return false;
    if (b->sa_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_addr.s_addr == y->sin_addr.s_addr && x->sin_port == y->sin_port;
    }
    if (b->sa_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
        return memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0 &&
               x->sin6_port == y->sin6_port;
    }
    return false;
}

bool proxy_is_at(const struct sockaddr *address)
{
    pthread_once(&once, look_up_all);
    for (int i = 0; i < known_count; i++)
        if (same_place(&known[i], address))
            return true;
    return false;
}

bool proxy_is_text(const char *ip, int port)
{
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, ip, &four.sin_addr) == 1)
        return proxy_is_at((const struct sockaddr *)(const void *)&four);
    if (inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
        return proxy_is_at((const struct sockaddr *)(const void *)&six);
    return false;
}
