/* weburl - cuts absolute URLs as found on the web into their parts. */
#include "crawl/crawl.h"

static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* Length of the scheme in front of ':', or 0. */
static size_t scheme_length(struct str url)
{
    size_t n = 0;
    if (url.len == 0 || !is_alpha(url.ptr[0]))
        return 0;
    while (n < url.len && (is_alpha(url.ptr[n]) || (url.ptr[n] >= '0' && url.ptr[n] <= '9')
                           || url.ptr[n] == '+' || url.ptr[n] == '-' || url.ptr[n] == '.'))
        n++;
    return n < url.len && url.ptr[n] == ':' ? n : 0;
}

static bool is_mark(char c) { return c == '?' || c == '#'; }
static bool is_slash(char c) { return c == '/' || c == '\\'; /* browsers read both alike */ }

/* "user:pass@host:port" into host and port; a host in brackets is an IPv6 address. */
static void split_authority(struct str authority, struct url_parts *out)
{
    for (size_t i = authority.len; i > 0; i--)
        if (authority.ptr[i - 1] == '@') {
            authority = str_slice(authority, i, authority.len);
            break;
        }
    bool bracket = authority.len && authority.ptr[0] == '[';
    size_t close = bracket ? str_find_char(authority, ']') : SIZE_MAX;
    size_t colon = authority.len;
    for (size_t i = close == SIZE_MAX ? 0 : close; i < authority.len; i++)
        if (authority.ptr[i] == ':') {
            colon = i;
            break;
        }
    out->host = close == SIZE_MAX ? str_slice(authority, 0, colon) : str_slice(authority, 1, close);
    out->port = str_slice(authority, colon + (colon < authority.len), authority.len);
}

bool url_split(struct str url, struct url_parts *out)
{
    memset(out, 0, sizeof *out);
    url = str_trim(url);
    size_t n = scheme_length(url);
    if (n == 0 || n + 2 >= url.len || !is_slash(url.ptr[n + 1]) || !is_slash(url.ptr[n + 2]))
        return false;
    out->scheme = str_slice(url, 0, n);
    struct str rest = str_slice(url, n + 3, url.len);
    size_t end = 0;
    while (end < rest.len && !is_slash(rest.ptr[end]) && !is_mark(rest.ptr[end]))
        end++;
    split_authority(str_slice(rest, 0, end), out);
    rest = str_slice(rest, end, rest.len);
    rest = str_slice(rest, 0, str_find_char(rest, '#'));
    size_t mark = str_find_char(rest, '?');
    out->path = str_slice(rest, 0, mark);
    if (mark != SIZE_MAX)
        out->query = str_slice(rest, mark + 1, rest.len);
    return out->host.len > 0 || str_eq_nocase(out->scheme, STR("file"));
}

struct str url_host_lower(struct arena *a, struct str url)
{
    struct url_parts parts;
    struct str host = {0};
    if (!url_split(url, &parts) || !parts.host.len)
        return host;
    char *at = arena_strdup(a, parts.host);
    if (!at)
        return host;
    for (size_t i = 0; i < parts.host.len; i++)
        if (at[i] >= 'A' && at[i] <= 'Z')
            at[i] = (char)(at[i] + 32);
    return (struct str){at, parts.host.len};
}
