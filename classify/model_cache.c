/* model_cache - where downloaded models lie, and which ones we know by size and SHA-256. */
#include "classify/classify.h"

#include "core/err.h"
#include "core/io.h"

#include <stdio.h>
#include <stdlib.h>

static const struct pinned_model pinned[] = {
    {
        .name = "lid176",
        .file = "lid.176.ftz",
        .url = "https://dl.fbaipublicfiles.com/fasttext/supervised-models/lid.176.ftz",
        .sha256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
        .licence = "CC-BY-SA-3.0",
        .bytes = 938013,
    },
};

const struct pinned_model *pinned_model(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(pinned); i++)
        if (strcmp(pinned[i].name, name) == 0)
            return &pinned[i];
    return NULL;
}

static const char *set_variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

int model_cache_path(const char *file, char *out, size_t out_bytes)
{
    const char *models = set_variable("SLUICE_MODELS"), *cache = set_variable("XDG_CACHE_HOME");
    const char *home = set_variable("HOME");
    int len;
    if (models)
        len = snprintf(out, out_bytes, "%s/%s", models, file);
    else if (cache)
        len = snprintf(out, out_bytes, "%s/sluice/models/%s", cache, file);
    else if (home)
        len = snprintf(out, out_bytes, "%s/.cache/sluice/models/%s", home, file);
    else
        return err_set(ERR_USAGE,
                       "model cache: none of SLUICE_MODELS, XDG_CACHE_HOME and HOME is set: "
                       "set SLUICE_MODELS to a folder");
    if (len < 0 || (size_t)len >= out_bytes)
        return err_set(ERR_LIMIT,
                       "model cache: the path of %s has %d bytes, %zu fit: set SLUICE_MODELS to a "
                       "shorter one",
                       file, len, out_bytes - 1);
    return 0;
}

int pinned_model_check(const struct pinned_model *pin, const char *path)
{
    char *bytes = NULL, hex[65];
    size_t len = 0;
    TRY(io_read_file(path, (size_t)pin->bytes * 2 + 1, &bytes, &len));
    sha256_hex(bytes, len, hex);
    free(bytes);
    if (len != pin->bytes)
        return err_set(ERR_FORMAT, "%s: has %zu bytes, %s has %llu: remove it and get it again",
                       path, len, pin->name, (unsigned long long)pin->bytes);
    if (strcmp(hex, pin->sha256) != 0)
        return err_set(ERR_FORMAT,
                       "%s: SHA-256 is %s, that of %s is %s: remove it and get it again", path, hex,
                       pin->name, pin->sha256);
    return 0;
}
