/* remote - inputs that lie elsewhere: single URLs, and all objects below a prefix of a bucket. */
#ifndef SLUICE_CRAWL_REMOTE_H
#define SLUICE_CRAWL_REMOTE_H
#include "crawl/crawl.h"

/* An http, https or s3 URL, in place of a path. */
bool remote_is_url(const char *text);
/* The files url stands for, as crawl_fetch takes them: one, or, for s3://bucket/prefix/ (with the
 * slash) every object below it, and for an s3 URL with * or ? behind the bucket those whose key
 * fits (stars also stand for slashes). In the order of their URLs, all in the arena. They land at
 * <conf->cache>/remote/SCHEME/HOST/PATH, where a segment that is no safe file name (empty, dots,
 * odd bytes) is written in % codes, so that no two URLs share a file. A prefix without any object
 * is ERR_USAGE. Of conf only cache and fetch are used. */
int remote_files(const struct crawl_conf *conf, const char *url, struct arena *a,
                 struct crawl_file **file, size_t *count);
/* The path below the cache that a URL lands at, appended. */
void remote_name(struct buf *to, const char *url);
#endif
