/* dedup - the options, the stage that signs, and who is in which band. */
#include "dedup/sketch.h"

#include "core/err.h"

#include <assert.h>
#include <stdlib.h>

static const struct dedup_method *const dedups[] = {
#define DEDUP(name) &dedup_##name,
#include "dedup/dedups.def"
#undef DEDUP
};
enum { METHODS = COUNT_OF(dedups) };

#define ROW(kind, field, preset, min, max, unit, help, source)                                     \
    OPT_ROW(kind, struct dedup_conf, field, preset, min, max, unit, help, source)
const struct opt dedup_opts[] = {
    ROW(OPT_BOOL, exact, "true", 0, 1, NULL, "drop texts that are equal but for white space", NULL),
    ROW(OPT_BOOL, minhash, "true", 0, 1, NULL, "drop near-duplicates found by MinHash", NULL),
    ROW(OPT_INT, bands, "14", 1, DEDUP_BANDS_MAX, "bands",
        "bands of MinHash values; one equal band makes a candidate", "arXiv:2406.17557"),
    ROW(OPT_INT, rows, "8", 1, 64, "values", "MinHash values in a band", "arXiv:2406.17557"),
    ROW(OPT_INT, shingle, "5", 1, 64, "words", "words of a shingle", "arXiv:2406.17557"),
    ROW(OPT_FLOAT, verify, "0.7", 0, 1, "share",
        "least share of equal MinHash values of a pair, and of a document with its survivor (0: no "
        "check)",
        "1/bands^(1/rows) = .72 is where banding finds half the pairs"),
    ROW(OPT_INT, seed, "1", 0, 9007199254740992.0, NULL, "of the hash functions", NULL),
    ROW(OPT_ENUM, policy, "longest", 0, 0, "longest|first|quality|newest",
        "who stays of a cluster; ties go to the first in input order", NULL),
    ROW(OPT_SIZE, memory, "1G", 65536, 1e15, "bytes", "memory for sorting bands; more goes to disk",
        NULL),
    OPT_LAST,
};

static const char *const policies[] = {"longest", "first", "quality", "newest"};

int dedup_check(const struct dedup_conf *conf)
{
    if (!conf->exact && !conf->minhash)
        return err_set(
            ERR_USAGE,
            "dedup: neither exact nor minhash is on: switch one on or leave the stage out");
    if (conf->minhash && (conf->bands < 1 || conf->rows < 1 || conf->shingle < 1))
        return err_set(ERR_USAGE, "dedup: bands %lld, rows %lld and shingle %lld must be 1 or more",
                       (long long)conf->bands, (long long)conf->rows, (long long)conf->shingle);
    if (conf->minhash &&
        (conf->bands > DEDUP_BANDS_MAX || conf->shingle > 64 || conf->rows > DEDUP_VALUES_MAX ||
         conf->bands * conf->rows > DEDUP_VALUES_MAX))
        return err_set(
            ERR_USAGE,
            "dedup: %lld bands of %lld values over shingles of %lld words: at most %d bands, "
            "%d values in all and 64 words",
            (long long)conf->bands, (long long)conf->rows, (long long)conf->shingle,
            DEDUP_BANDS_MAX, DEDUP_VALUES_MAX);
    if (!(conf->verify >= 0 && conf->verify <= 1))
        return err_set(ERR_USAGE, "dedup: verify is a share from 0 to 1, not %g", conf->verify);
    for (size_t i = 0; i < COUNT_OF(policies); i++)
        if (conf->policy && strcmp(conf->policy, policies[i]) == 0)
            return 0;
    return err_set(ERR_USAGE, "dedup: no policy '%s': longest, first, quality or newest",
                   conf->policy ? conf->policy : "");
}

int dedup_band_count(const struct dedup_conf *conf)
{
    int bands = 0;
    for (int i = 0; i < METHODS; i++)
        if (dedups[i]->sketch_bytes(conf) > 0)
            bands += dedups[i]->bands ? dedups[i]->bands : (int)conf->bands;
    return bands;
}

/* ---- the stage ---- */

static int sign_open(struct stage *s, struct schema *schema)
{
    UNUSED(schema);
    return dedup_check(s->conf);
}

/* Thread-local memory: the methods' parts one after the other, each aligned. */
static size_t local_offset(int method)
{
    size_t at = 0;
    for (int i = 0; i < method; i++)
        at += (dedups[i]->local_size + 63) / 64 * 64;
    return at;
}

static int sign_local_open(struct stage *s, void *local)
{
    UNUSED(s);
    void **parts = local;
    *parts = calloc(1, local_offset(METHODS) + 64);
    return *parts ? 0 : err_set(ERR_LIMIT, "dedup: no memory for a thread's tables");
}

static void sign_local_close(struct stage *s, void *local)
{
    UNUSED(s);
    void **parts = local;
    free(*parts);
    *parts = NULL;
}

static int sign_doc(const struct dedup_conf *conf, unsigned char *parts, struct batch *b,
                    struct doc *d)
{
    uint32_t bytes = 0;
    for (int i = 0; i < METHODS; i++)
        bytes += dedups[i]->sketch_bytes(conf);
    struct sketch_pack *pack = arena_push_zero(&b->arena, sizeof *pack + bytes, alignof(uint64_t));
    if (!pack)
        return err_in(ERR_LIMIT, "dedup: sketch of %u bytes", bytes);
    pack->bytes = bytes;
    uint32_t at = 0;
    for (int i = 0; i < METHODS; i++) {
        uint32_t slot = dedups[i]->sketch_bytes(conf);
        if (!slot)
            continue;
        TRY(dedups[i]->sign(conf, parts + local_offset(i), b, d));
        if (d->sketch) {
            assert(d->sketch_bytes == slot);
            memcpy(pack->slot + at, d->sketch, slot);
            pack->has |= 1u << i;
        }
        at += slot;
    }
    d->sketch = pack->has ? pack : NULL;
    d->sketch_bytes = pack->has ? (uint32_t)sizeof *pack + bytes : 0;
    return 0;
}

static int sign_run(struct stage *s, void *local, struct batch *b)
{
    for (int i = 0; i < b->live_count; i++)
        TRY(sign_doc(s->conf, *(void **)local, b, &b->doc[b->live[i]]));
    return 0;
}

const struct stage_type stage_dedup = {
    .name = "dedup",
    .help = "signs documents so that equal and nearly equal ones are found when the run settles",
    .source = "arXiv:2406.17557",
    .opts = dedup_opts,
    .conf_size = sizeof(struct dedup_conf),
    .local_size = sizeof(void *),
    .open = sign_open,
    .local_open = sign_local_open,
    .run = sign_run,
    .local_close = sign_local_close,
};
