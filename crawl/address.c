/* address - tells private addresses from public ones, and hides what is secret in a URL. */
#include "crawl/address.h"

#include "core/hash.h"
#include "core/str.h"
#include "crawl/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

static bool is_private_v4(uint32_t ip)
{
    static const struct {
        uint32_t net;
        int bits;
    } range[] = {
        {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8},  {0xa9fe0000, 16},
        {0xac100000, 12}, {0xc0000000, 24}, {0xc0a80000, 16}, {0xc6120000, 15}, {0xe0000000, 3},
    };
    for (size_t i = 0; i < COUNT_OF(range); i++)
        if (((ip ^ range[i].net) >> (32 - range[i].bits)) == 0)
            return true;
    return false;
}

static uint32_t read_v4(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_private_v6(const uint8_t *ip)
{
    static const uint8_t zeros[12], mapped[12] = {[10] = 0xff, [11] = 0xff},
                                    nat64[12] = {0x00, 0x64, 0xff, 0x9b};
    if (memcmp(ip, zeros, 12) == 0 || memcmp(ip, mapped, 12) == 0 || memcmp(ip, nat64, 12) == 0)
        return is_private_v4(read_v4(ip + 12)); /* :: and ::1 are of 0.0.0.0/8 so */
    if (ip[0] == 0x20 && ip[1] == 0x02)
        return is_private_v4(read_v4(ip + 2));
    bool link = ip[0] == 0xfe && (ip[1] & 0xc0) >= 0x80;
    return link || (ip[0] & 0xfe) == 0xfc || ip[0] == 0xff;
}

bool address_is_private(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_private_v4(
            ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
    if (address->sa_family == AF_INET6)
        return is_private_v6(
            ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
    return true;
}

/* 1 private, 0 public, -1 the text is no address. */
static int judge_text(const char *ip, bool (*is_private)(const struct sockaddr *))
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, ip, &four.sin_addr) == 1)
        return is_private((const struct sockaddr *)(const void *)&four);
    if (inet_pton(AF_INET6, ip, &six.sin6_addr) == 1)
        return is_private((const struct sockaddr *)(const void *)&six);
    return -1;
}

bool address_text_is_private(const char *ip, bool (*is_private)(const struct sockaddr *))
{
    return judge_text(ip, is_private) != 0;
}

bool address_host_is_private(struct str host, bool (*is_private)(const struct sockaddr *))
{
    char text[64];
    if (str_eq_nocase(host, STR("localhost")))
        return true;
    if (host.len >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", STR_ARG(host));
    return judge_text(text, is_private) == 1;
}

uint64_t address_hash(const struct sockaddr *address)
{
    struct str bytes = {(const char *)address, sizeof address->sa_family};
    if (address->sa_family == AF_INET)
        bytes = (struct str){
            (const char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr,
            sizeof(struct in_addr)};
    else if (address->sa_family == AF_INET6)
        bytes = (struct str){
            (const char *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
            sizeof(struct in6_addr)};
    return hash_str(bytes, 0) | 1;
}

/* ---- what may be shown ---- */
static bool is_secret_key(struct str key)
{
    static const char *const part[] = {"sig",    "token",    "secret",     "key",
                                       "passwo", "credenti", "securityto", "auth"};
    for (size_t i = 0; i < COUNT_OF(part); i++)
        for (size_t at = 0; at + strlen(part[i]) <= key.len; at++)
            if (str_starts_nocase(str_slice(key, at, key.len), part[i]))
                return true;
    return false;
}

const char *fetch_url_shown(const char *url, char *to)
{
    struct buf out = {.max = IO_PATH_MAX - 1};
    struct str rest = str_of(url), query = {0};
    size_t scheme = str_find(rest, STR("://"));
    if (scheme != SIZE_MAX) {
        buf_str(&out, str_slice(rest, 0, scheme + 3));
        rest = str_slice(rest, scheme + 3, rest.len);
        size_t host_end = 0, at = SIZE_MAX;
        for (; host_end < rest.len && !strchr("/?#", rest.ptr[host_end]); host_end++)
            if (rest.ptr[host_end] == '@')
                at = host_end;
        if (at != SIZE_MAX) {
            buf_text(&out, "***");
            rest = str_slice(rest, at, rest.len);
        }
    }
    rest = str_cut(rest, '?', &query);
    buf_str(&out, rest);
    for (char before = '?'; query.ptr; before = '&') {
        struct str value, pair = str_cut(query, '&', &query);
        struct str key = str_cut(pair, '=', &value);
        buf_char(&out, before);
        buf_str(&out, value.ptr && is_secret_key(key) ? key : pair);
        if (value.ptr && is_secret_key(key))
            buf_text(&out, "=***");
    }
    snprintf(to, IO_PATH_MAX, "%.*s%s", STR_ARG(buf_view(&out)), out.failed ? "..." : "");
    buf_free(&out);
    return to;
}
