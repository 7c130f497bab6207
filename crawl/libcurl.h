/* libcurl - the library loaded when it is first needed: four fifths of a command's start were its
 * thirty dependencies, and most commands never ask for a URL. */
#ifndef SLUICE_CRAWL_LIBCURL_H
#define SLUICE_CRAWL_LIBCURL_H
#include <curl/curl.h>
#include <stdint.h>

/* Inside crawl/ only. crawl/libcurl.c defines the functions that are used here under their own
 * names and passes calls on, so code reads as with any libcurl; one more function is one more row
 * there (the linker asks for it). Loads and starts the library, once for all threads; call it
 * before the first handle, for its message: ERR_LIMIT when this machine has no libcurl. */
int libcurl_ready(void);
/* ERR_USAGE when the certificates to trust cannot be read: libcurl would blame each host. */
int libcurl_check_ca(const char *ca_file);

/* What every request has, set on a handle that is reset first. What it points at must live as long
 * as the request, but for the texts, which libcurl copies. */
struct libcurl_request {
    const char *url, *user_agent;
    const char *ca_file; /* NULL or "": the system's */
    struct curl_slist *headers;
    int64_t connect_ms;
    char *error; /* CURL_ERROR_SIZE bytes */
    void *self;  /* of the callbacks */
    size_t (*on_header)(char *bytes, size_t size, size_t count, void *self);
    size_t (*on_body)(char *bytes, size_t size, size_t count, void *self);
    curl_socket_t (*on_socket)(void *self, curlsocktype purpose, struct curl_sockaddr *address);
    int (*on_debug)(CURL *easy, curl_infotype type, char *bytes, size_t len, void *self); /* or
                                                                                           * NULL */
};
void libcurl_request(CURL *easy, const struct libcurl_request *r);
#endif
