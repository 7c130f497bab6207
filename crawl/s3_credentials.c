/* s3_credentials - finds AWS keys and keeps them where no core dump looks. */
#include "crawl/s3_credentials.h"
#include "crawl/s3_machine.h"

#include "core/err.h"
#include "core/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20 };

/* ---- memory for secrets ---- */
/* Pages that are in no core dump; locked when RLIMIT_MEMLOCK lets us, which is not needed. */
static void *secret_map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        err_set(ERR_LIMIT, "s3: no memory for credentials");
        return NULL;
    }
    madvise(at, bytes, MADV_DONTDUMP);
    mlock(at, bytes);
    return at;
}

static void secret_unmap(void *at, size_t bytes)
{
    explicit_bzero(at, bytes);
    munmap(at, bytes);
}

struct s3_keys *s3_keys_new(void) { return secret_map(sizeof(struct s3_keys)); }

void s3_keys_free(struct s3_keys *keys)
{
    if (keys)
        secret_unmap(keys, sizeof *keys);
}

bool s3_keys_same(const struct s3_keys *a, const struct s3_keys *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->secret, b->secret) == 0 &&
           strcmp(a->token, b->token) == 0;
}

/* ---- one value ---- */
/* Keys are printable and hold no blank: anything else is a slip of the hand, or an attack on the
 * header it goes into. */
static int take(char *to, size_t room, struct str value, const char *what, const char *where)
{
    if (value.len >= room)
        return err_set(ERR_USAGE, "s3: %s in %s is %zu bytes long; %zu are the most", what, where,
                       value.len, room - 1);
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] <= ' ' || value.ptr[i] > '~')
            return err_set(ERR_USAGE,
                           "s3: %s in %s holds a blank or an unprintable character at "
                           "its place %zu: copy it again",
                           what, where, i + 1);
    if (value.len)
        memcpy(to, value.ptr, value.len);
    to[value.len] = 0;
    return 0;
}

static int incomplete(const char *where)
{
    return err_set(ERR_USAGE,
                   "s3: %s gives only one of aws_access_key_id and "
                   "aws_secret_access_key: give both, or neither",
                   where);
}

/* ---- environment ---- */
/* The value's own pages of the environment block leave core dumps too. */
static struct str secret_env(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        return (struct str){0};
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)value / page * page;
    size_t bytes = (uintptr_t)value + strlen(value) + 1 - start;
    madvise((void *)start, bytes, MADV_DONTDUMP);
    return str_of(value);
}

static bool has_env(const char *name)
{
    const char *value = getenv(name);
    return value && value[0];
}

/* 1 found, 0 not there. */
static int load_env(struct s3_keys *k)
{
    static const char where[] = "the environment";
    bool id = has_env("AWS_ACCESS_KEY_ID"), secret = has_env("AWS_SECRET_ACCESS_KEY");
    if (!id && !secret)
        return 0;
    if (!id || !secret)
        return incomplete(where);
    TRY(take(k->id, sizeof k->id, secret_env("AWS_ACCESS_KEY_ID"), "AWS_ACCESS_KEY_ID", where));
    TRY(take(k->secret, sizeof k->secret, secret_env("AWS_SECRET_ACCESS_KEY"),
             "AWS_SECRET_ACCESS_KEY", where));
    TRY(take(k->token, sizeof k->token, secret_env("AWS_SESSION_TOKEN"), "AWS_SESSION_TOKEN",
             where));
    snprintf(k->origin, sizeof k->origin, "%s", where);
    return 1;
}

/* ---- files ---- */
struct secret_text {
    char *map;
    size_t bytes, len;
};

/* 1 read, 0 when there is no such file. */
static int text_open(struct secret_text *t, const char *path)
{
    struct stat st;
    *t = (struct secret_text){0};
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys("s3: opening %s", path);
    if (fstat(fd, &st) < 0) {
        rc = err_sys("s3: looking at %s", path);
    } else if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX) {
        rc = err_set(ERR_USAGE, "s3: %s is no file of at most %d bytes, so it holds no credentials",
                     path, FILE_BYTES_MAX);
    } else if (!(t->map = secret_map(t->bytes = (size_t)st.st_size + 1))) {
        rc = ERR_LIMIT;
    } else {
        ssize_t got = 1;
        while (t->len + 1 < t->bytes && got > 0) {
            got = read(fd, t->map + t->len, t->bytes - 1 - t->len);
            t->len += got > 0 ? (size_t)got : 0;
        }
        rc = got < 0 ? err_sys("s3: reading %s", path) : 1;
    }
    close(fd);
    return rc;
}

static void text_close(struct secret_text *t)
{
    if (t->map)
        secret_unmap(t->map, t->bytes);
}

/* Is this the profile's section? In the config file all but "default" stand as "profile NAME". */
static bool is_section(struct str line, const char *profile, bool config)
{
    struct str rest, name = str_cut(str_slice(line, 1, line.len), ']', &rest);
    name = str_trim(name);
    bool prefixed = config && str_starts(name, "profile ");
    if (prefixed)
        name = str_trim(str_slice(name, 8, name.len));
    return str_is(name, profile) && (!config || prefixed || str_is(name, "default"));
}

/* The value of a key in the profile's section(s), the last one given; false: not there. Indented
 * lines belong to a nested setting ("s3 =") and are none of ours. */
static bool find_value(const struct secret_text *t, const char *profile, bool config,
                       const char *name, struct str *value)
{
    bool inside = false, found = false;
    struct str rest = {t->map, t->len};
    while (rest.ptr) {
        struct str raw = str_cut(rest, '\n', &rest), line = str_trim(raw), right;
        if (!line.len || line.ptr[0] == '#' || line.ptr[0] == ';')
            continue;
        if (line.ptr[0] == '[') {
            inside = is_section(line, profile, config);
            continue;
        }
        struct str left = str_cut(line, '=', &right);
        if (inside && right.ptr && raw.ptr[0] != ' ' && raw.ptr[0] != '\t' &&
            str_eq_nocase(str_trim(left), str_of(name))) {
            *value = str_trim(right);
            found = true;
        }
    }
    return found;
}

static bool has_section(const struct secret_text *t, const char *profile, bool config)
{
    struct str rest = {t->map, t->len};
    while (rest.ptr) {
        struct str line = str_trim(str_cut(rest, '\n', &rest));
        if (line.len && line.ptr[0] == '[' && is_section(line, profile, config))
            return true;
    }
    return false;
}

static int file_path(char *out, const char *variable, const char *below_home)
{
    const char *path = getenv(variable), *home = getenv("HOME");
    if (path && path[0] == '~' && path[1] == '/' && home)
        return io_path(out, "%s%s", home, path + 1);
    if (path && path[0])
        return io_path(out, "%s", path);
    return io_path(out, "%s/.aws/%s", home ? home : "", below_home);
}

static const char *profile_name(const char *given)
{
    if (given && given[0])
        return given;
    return has_env("AWS_PROFILE") ? getenv("AWS_PROFILE") : "default";
}

/* Keys other programs would have to be asked for are told from no keys at all. */
static int refuse_indirect(const struct secret_text *t, const char *profile, bool config,
                           const char *path)
{
    static const char *const indirect[] = {"sso_session", "sso_start_url", "role_arn",
                                           "credential_process", "web_identity_token_file"};
    struct str value;
    for (size_t i = 0; i < COUNT_OF(indirect); i++)
        if (find_value(t, profile, config, indirect[i], &value))
            return err_set(ERR_USAGE,
                           "s3: profile %s in %s gets its keys by %s, which is not "
                           "done here: export them first, as with \"eval $(aws configure "
                           "export-credentials --format env)\"",
                           profile, path, indirect[i]);
    return 0;
}

/* 1 found, 0 not there. *seen: the profile stands in this file. last: no other file is left that
 * could hold the keys themselves. */
static int load_file(struct s3_keys *k, const char *path, const char *profile, bool config,
                     bool last, bool *seen)
{
    struct secret_text t;
    struct str id = {0}, secret = {0}, token = {0};
    int rc = text_open(&t, path);
    if (rc <= 0)
        goto out;
    *seen |= has_section(&t, profile, config);
    bool has_id = find_value(&t, profile, config, "aws_access_key_id", &id) && id.len;
    bool has_secret =
        find_value(&t, profile, config, "aws_secret_access_key", &secret) && secret.len;
    if (!find_value(&t, profile, config, "aws_session_token", &token))
        find_value(&t, profile, config, "aws_security_token", &token);
    rc = has_id != has_secret ? incomplete(path) : has_id;
    if (rc == 0 && last)
        rc = refuse_indirect(&t, profile, config, path);
    if (rc > 0) {
        TRY_OUT(take(k->id, sizeof k->id, id, "aws_access_key_id", path));
        TRY_OUT(take(k->secret, sizeof k->secret, secret, "aws_secret_access_key", path));
        TRY_OUT(take(k->token, sizeof k->token, token, "aws_session_token", path));
        snprintf(k->origin, sizeof k->origin, "profile %s of %.200s", profile, path);
        rc = 1;
    }
out:
    text_close(&t);
    return rc;
}

static int load_files(struct s3_keys *k, const char *profile)
{
    char shared[IO_PATH_MAX], config[IO_PATH_MAX];
    bool seen = false;
    TRY(file_path(shared, "AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    TRY(file_path(config, "AWS_CONFIG_FILE", "config"));
    int rc = load_file(k, shared, profile, false, false, &seen);
    if (rc == 0)
        rc = load_file(k, config, profile, true, true, &seen);
    if (rc == 0) /* what it says of other ways */
        rc = load_file(k, shared, profile, false, true, &seen);
    if (rc == 0 && !seen && strcmp(profile, "default") != 0)
        rc = err_set(ERR_USAGE, "s3: there is no profile %s in %s or %s", profile, shared, config);
    return rc;
}

bool s3_setting(const char *profile, const char *name, char *out, size_t room)
{
    char path[IO_PATH_MAX];
    struct secret_text t = {0};
    struct str value = {0};
    bool found = file_path(path, "AWS_CONFIG_FILE", "config") == 0 && text_open(&t, path) > 0 &&
                 find_value(&t, profile_name(profile), true, name, &value) && value.len &&
                 value.len < room;
    if (found) {
        memcpy(out, value.ptr, value.len);
        out[value.len] = 0;
    }
    text_close(&t);
    return found;
}

/* ---- the chain ---- */
static int none_found(const char *from, const char *profile)
{
    if (has_env("AWS_WEB_IDENTITY_TOKEN_FILE")) /* as on EKS, with a role of the service account */
        return err_set(ERR_USAGE,
                       "s3: AWS_WEB_IDENTITY_TOKEN_FILE names a token that keys could be "
                       "had for, which is not done here: export them first, as with \"eval $(aws "
                       "configure export-credentials --format env)\"");
    return err_set(ERR_USAGE,
                   "s3: no AWS credentials (looked in: %s, profile %s): set "
                   "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, write ~/.aws/credentials, or "
                   "say s3_anonymous for a bucket that is open to all",
                   from, profile);
}

int s3_keys_load(struct s3_keys *k, const char *from, const char *profile)
{
    from = from && from[0] ? from : "auto";
    bool is_auto = strcmp(from, "auto") == 0, named = profile && profile[0];
    int rc = 0;
    explicit_bzero(k, sizeof *k);
    if (strlen(profile_name(profile)) >= S3_PROFILE_MAX)
        return err_set(ERR_USAGE, "s3: the profile's name is longer than %d bytes",
                       S3_PROFILE_MAX - 1);
    profile = profile_name(profile);
    if ((is_auto && !named) || strcmp(from, "env") == 0)
        rc = load_env(k);
    if (rc == 0 && (is_auto || strcmp(from, "file") == 0))
        rc = load_files(k, profile);
    if (rc == 0 && ((is_auto && s3_machine_container()) || strcmp(from, "container") == 0))
        rc = s3_machine_keys(k, true);
    if (rc == 0 && strcmp(from, "instance") == 0)
        rc = s3_machine_keys(k, false);
    if (rc == 0)
        rc = none_found(is_auto ? "environment, files" : from, profile);
    return rc < 0 ? rc : 0;
}
