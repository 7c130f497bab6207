/* s3_credentials - AWS keys from environment, files or the machine, kept out of logs and cores. */
#ifndef SLUICE_CRAWL_S3_CREDENTIALS_H
#define SLUICE_CRAWL_S3_CREDENTIALS_H
#include "core/str.h"

/* Inside crawl/ only. Keys lie in pages of their own that no core dump holds (MADV_DONTDUMP, and
 * locked where the limits allow it) and are wiped before the pages go back; the pages of the
 * environment that hold a key are marked likewise. No error text names a value. */
enum { S3_ID_MAX = 256, S3_SECRET_MAX = 1024, S3_TOKEN_MAX = 8192, S3_PROFILE_MAX = 256 };
struct s3_keys {
    char id[S3_ID_MAX], secret[S3_SECRET_MAX];
    char token[S3_TOKEN_MAX]; /* of temporary keys; "" for lasting ones */
    int64_t expires;          /* seconds since 1970; 0: not known */
    char origin[512];         /* where they came from, for messages: a path or a name */
};
struct s3_keys *s3_keys_new(void);       /* NULL with err_set when there is no memory */
void s3_keys_free(struct s3_keys *keys); /* wiped; NULL is fine */

/* Fills keys. from: "env" AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN; "file" the
 * profile in $AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), then in $AWS_CONFIG_FILE
 * (~/.aws/config); "container" the address in $AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI;
 * "instance" the machine's metadata service (IMDSv2); "auto" (or NULL) env, then file, then
 * container if its variable is set, never instance. profile NULL or "": $AWS_PROFILE, then
 * "default"; one that is named passes the environment's keys over. ERR_USAGE says where was looked
 * and what to do; a profile that gets its keys by SSO, a role, a process or a web identity is
 * refused with how to export them. Blocks at most 5 s (container, instance). */
int s3_keys_load(struct s3_keys *keys, const char *from, const char *profile);
bool s3_keys_same(const struct s3_keys *a, const struct s3_keys *b);

/* A setting of the profile in the config file ("region", "endpoint_url"); false: not there. */
bool s3_setting(const char *profile, const char *name, char *out, size_t room);
#endif
