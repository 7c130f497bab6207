/* recipe - reads a run's TOML, fills every default, checks every key, and writes the resolved form.
 */
#include "command/recipe.h"

#include "classify/classify.h"
#include "command/mixture.h"
#include "command/views.h"
#include "core/err.h"
#include "core/log.h"
#include "extract/extract.h"
#include "filter/filter.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct opt run_opts[] = {
    OPT_ROW(OPT_STR, struct run_conf, name, "run", 0, 0, NULL, "name of the run, for people", NULL),
    OPT_ROW(OPT_INT, struct run_conf, seed, "1", 0, 1e15, NULL, "seed of every random draw", NULL),
    OPT_ROW(OPT_INT, struct run_conf, threads, "0", 0, POOL_THREADS_MAX, "threads",
            "worker threads; 0: one a core", NULL),
    OPT_ROW(OPT_INT, struct run_conf, shards, "1", 1, 100000, "shards",
            "tasks the input files are dealt to", NULL),
    OPT_ROW(OPT_SIZE, struct run_conf, memory, "2G", 16 << 20, 1e15, "bytes",
            "memory the passes and sorts may use", NULL),
    OPT_LAST,
};
static const struct opt source_opts[] = {
    OPT_ROW(OPT_LIST, struct source_conf, path, NULL, 0, 0, NULL,
            "files, folders, globs, https or s3 URLs (s3://bucket/prefix/): WARC, WET, "
            "jsonl(.gz/.zst), Parquet, text",
            NULL),
    OPT_ROW(OPT_SIZE, struct source_conf, record_max, "8M", 1 << 10, 64 << 20, "bytes",
            "larger records are dropped as source.too_large", NULL),
    OPT_ROW(OPT_BOOL, struct source_conf, keep_truncated, "true", 0, 1, NULL,
            "false: pages their crawler cut short are dropped as source.truncated", NULL),
    OPT_LAST,
};
static const struct opt quality_train_opts[] = {
    OPT_ROW(OPT_LIST, struct quality_train_conf, positive, NULL, 0, 0, NULL,
            "globs over URLs: pages like these are wanted", NULL),
    OPT_ROW(OPT_LIST, struct quality_train_conf, positive_text, NULL, 0, 0, NULL,
            "text files of wanted text, documents parted by blank lines", NULL),
    OPT_ROW(OPT_INT, struct quality_train_conf, documents, "2000", 10, 1e7, "documents",
            "at most so many of each class, drawn by hash", NULL),
    OPT_ROW(OPT_INT, struct quality_train_conf, epoch, "5", 1, 100, NULL,
            "passes of fastText over its lines", NULL),
    OPT_ROW(OPT_INT, struct quality_train_conf, dim, "32", 2, 300, NULL, "size of word vectors",
            NULL),
    OPT_ROW(OPT_INT, struct quality_train_conf, word_ngrams, "2", 1, 5, NULL, "longest word n-gram",
            "arXiv:2406.11794 appendix"),
    OPT_ROW(OPT_INT, struct quality_train_conf, bucket, "50000", 0, 1e8, NULL,
            "hash buckets of n-grams", NULL),
    OPT_ROW(OPT_FLOAT, struct quality_train_conf, lr, "0.3", 1e-4, 5, NULL, "learning rate", NULL),
    OPT_LAST,
};
static const struct opt domain_opts[] = {
    OPT_ROW(OPT_STR, struct domain_conf, name, NULL, 0, 0, NULL, "name of the domain", NULL),
    OPT_ROW(OPT_LIST, struct domain_conf, lang, NULL, 0, 0, NULL, "languages; empty: any", NULL),
    OPT_ROW(OPT_LIST, struct domain_conf, host, NULL, 0, 0, NULL, "globs over hosts; empty: any",
            NULL),
    OPT_ROW(OPT_STR, struct domain_conf, signal, NULL, 0, 0, NULL,
            "a signal that must lie in [min, max]", NULL),
    OPT_ROW(OPT_FLOAT, struct domain_conf, min, "-1e30", -1e30, 1e30, NULL,
            "least value of the signal", NULL),
    OPT_ROW(OPT_FLOAT, struct domain_conf, max, "1e30", -1e30, 1e30, NULL,
            "greatest value of the signal", NULL),
    OPT_LAST,
};
static const struct opt heldout_opts[] = {
    OPT_ROW(OPT_FLOAT, struct heldout_conf, share, "0.01", 0, 0.5, NULL,
            "share of kept documents held out by hash, never trained on", NULL),
    OPT_ROW(OPT_INT, struct heldout_conf, documents_max, "2000", 0, 1e7, "documents",
            "at most so many a domain are scored", NULL),
    OPT_LAST,
};
static const struct opt tokenizer_opts[] = {
    OPT_ROW(OPT_STR, struct tokenizer_conf, path, NULL, 0, 0, NULL,
            "a tokenizer.json or .tiktoken to use; empty: train one on the kept text", NULL),
    OPT_ROW(OPT_INT, struct tokenizer_conf, vocab_size, "8192", 257, 1000000, "tokens",
            "size of the vocabulary, specials included", NULL),
    OPT_ROW(OPT_ENUM, struct tokenizer_conf, pretok, "cl100k", 0, 0,
            "gpt2|cl100k|o200k|qwen2|deepseek-v3", "how text is split before merging", NULL),
    OPT_ROW(OPT_ENUM, struct tokenizer_conf, digits, "pattern", 0, 0, "pattern|1|1-3|any",
            "how many digits may share a token; pattern: as pretok has it", NULL),
    OPT_ROW(OPT_INT, struct tokenizer_conf, pair_min, "2", 1, 1e12, "times",
            "a pair seen less often is not merged", NULL),
    OPT_ROW(OPT_LIST, struct tokenizer_conf, special_tokens, NULL, 0, 0, NULL,
            "added tokens behind <|endoftext|>, in this order", NULL),
    OPT_ROW(OPT_ENUM, struct tokenizer_conf, weights, "mixture", 0, 0, "mixture|text",
            "domains count as the mixture will draw them (where it names weights), or as they have "
            "text",
            NULL),
    OPT_ROW(OPT_SIZE, struct tokenizer_conf, sample_bytes, "256M", 1 << 10, 1e13, "bytes",
            "text the training looks at; of more, documents drawn by hash of seed and id", NULL),
    OPT_ROW(OPT_LIST, struct tokenizer_conf, compare, NULL, 0, 0, NULL,
            "vocabularies beside which RUN/tokenizer/report.json shows the new one, on held-out "
            "text",
            NULL),
    OPT_LAST,
};
static const struct opt corpus_opts[] = {
    OPT_ROW(OPT_BOOL, struct corpus_conf, write, "true", 0, 1, NULL,
            "write the kept text as RUN/corpus/*.jsonl.zst", NULL),
    OPT_LAST,
};
static const struct opt store_opts[] = {
    OPT_ROW(OPT_STR, struct store_conf, path, NULL, 0, 0, NULL,
            "folder of a run (or of sluice store import): train on its store, tokenizer, held-out "
            "text and ledger; nothing is read or copied",
            NULL),
    OPT_LAST,
};
static const struct opt eval_opts[] = {
    OPT_ROW(OPT_INT, struct bpb_conf, batch, "16", 1, 4096, "windows",
            "at most so many are scored at a time",
            NULL),
    OPT_ROW(OPT_INT, struct bpb_conf, documents_max, "0", 0, 1e6, "documents",
            "at most so many a domain, also while training; 0: all", NULL),
    OPT_LAST,
};
static const char *const sections[] = {
    "run",     "source", "stage", "quality_train", "domain", "heldout", "tokenizer", "corpus",
    "mixture", "phase",  "model", "train",         "eval",   "store",   "view",      NULL};

const struct recipe_section recipe_sections[] = {
    {"[run]", "the run itself; only the seed changes its bytes", run_opts},
    {"[source]", "where pages come from: files of your own", source_opts},
    {"[source]", "or a crawl of Common Crawl or a mirror of it", crawl_opts},
    {"[source]", "how a crawl is fetched; it changes no byte of the run", crawl_how_opts},
    {"[quality_train]", "makes the quality classifier from the input, before pass 1",
     quality_train_opts},
    {"[[domain]]", "a domain of the store; the first that matches a page takes it", domain_opts},
    {"[heldout]", "text that neither tokenizer nor model ever sees", heldout_opts},
    {"[tokenizer]", "trained on the kept text, or given", tokenizer_opts},
    {"[corpus]", "the kept text as files", corpus_opts},
    {"[store]", "in place of [source]: a store that is there already", store_opts},
    {"[view.NAME]", "a subset of the store that a mixture may name like a domain", view_opts},
    {"[mixture]",
     "with [mixture.stable] and [mixture.anneal]: source = weight, [mixture.epochs]: "
     "source = times",
     mixture_opts},
    {"[[phase]]",
     "in place of stable and anneal: any phases, each with mixture = { source = weight }",
     phase_opts},
    {"[model]", "what is trained", model_opts},
    {"[train]", "how it is trained; without this table a run stops at the store", train_opts},
    {"[eval]", "scoring of held-out text", eval_opts},
    {NULL, NULL, NULL},
};

const struct stage_type *const recipe_stages[] = {&stage_extract, &stage_language, &stage_quality,
                                                  &stage_dedup, NULL};

/* The names of all rows of [source], for each of the sets that share the table. */
static const char *const *source_names(struct arena *a, const struct opt *const *sets)
{
    int count = 0, at = 0;
    for (int i = 0; sets[i]; i++)
        for (const struct opt *row = sets[i]; row->type != OPT_END; row++)
            count++;
    const char **name = arena_array(a, const char *, count + 1);
    for (int i = 0; name && sets[i]; i++)
        for (const struct opt *row = sets[i]; row->type != OPT_END; row++)
            name[at++] = row->name;
    if (name)
        name[count] = NULL;
    return name;
}

static int read_table(struct recipe *r, const char *key, const struct opt *rows, void *conf,
                      bool *present)
{
    struct conf_node *table = conf_get(r->root, key);
    if (present)
        *present = table != NULL;
    if (table)
        table->used = true;
    TRY(opt_defaults(rows, conf, &r->arena));
    return opt_from_recipe(rows, conf, table, NULL, &r->arena);
}

/* What a recipe says ends in recipe.toml, run.json and the report. */
static int refuse_secrets(const char *key, const char *url)
{
    char shown[IO_PATH_MAX];
    if (!url || strcmp(fetch_url_shown(url, shown), url) == 0 || !strstr(url, "://"))
        return 0;
    return err_set(ERR_USAGE,
                   "recipe: source.%s, %s, holds a password or a key, which the run's files and "
                   "report would show: put it into ~/.netrc (machine HOST login NAME password "
                   "WORD), or fetch with `sluice crawl URL` and name the files",
                   key, shown);
}

static int read_source(struct recipe *r)
{
    struct conf_node *table = conf_get(r->root, "source");
    if (!table)
        return err_set(
            ERR_USAGE,
            "recipe: no [source]: give it path = \"FILE.warc.gz\" or crawl = \"CC-MAIN-...\"");
    table->used = true;
    const struct opt *const set[] = {source_opts, crawl_opts, crawl_how_opts, NULL};
    void *const conf[] = {&r->source, &r->source.crawl, &r->source.crawl};
    const char *const *names = source_names(&r->arena, set);
    if (!names)
        return ERR_LIMIT;
    for (int i = 0; set[i]; i++) {
        TRY(opt_defaults(set[i], conf[i], &r->arena));
        TRY(opt_from_recipe(set[i], conf[i], table, names, &r->arena));
    }
    const struct crawl_conf *from = &r->source.crawl;
    TRY(refuse_secrets("base", from->base));
    for (size_t i = 0; i < r->source.path.count; i++)
        TRY(refuse_secrets("path", r->source.path.item[i]));
    bool crawl = (from->crawl && from->crawl[0]) || (from->paths && from->paths[0]);
    if (!crawl && r->source.path.count == 0)
        return err_set(
            ERR_USAGE,
            "recipe: [source] has neither path nor crawl: add --set source.path=FILE.warc.gz");
    if (crawl && r->source.path.count)
        return err_set(ERR_USAGE, "recipe: [source] has both path and crawl: keep one");
    return 0;
}

/* Tables that decided what the store holds when it was made. */
static const char *const corpus_sections[] = {"source",  "stage",     "quality_train", "domain",
                                              "heldout", "tokenizer", "corpus"};

/* [store] path: a recipe that made a store serves, with this one key, to train on it; what it says
 * of the making does nothing, and that is said. */
static int read_borrowed(struct recipe *r)
{
    struct buf idle = {0};
    for (size_t i = 0; i < COUNT_OF(corpus_sections); i++) {
        struct conf_node *table = conf_get(r->root, corpus_sections[i]);
        if (!table)
            continue;
        table->used = true;
        buf_printf(&idle, "%s[%s]", idle.len ? ", " : "", corpus_sections[i]);
    }
    if (idle.len)
        log_info("[store] path = \"%s\": that store is used as it is; %s of this recipe %s "
                 "nothing",
                 r->store.path, buf_cstr(&idle), strchr(buf_cstr(&idle), ',') ? "do" : "does");
    buf_free(&idle);
    TRY(opt_defaults(source_opts, &r->source, &r->arena));
    TRY(opt_defaults(crawl_opts, &r->source.crawl, &r->arena));
    TRY(opt_defaults(crawl_how_opts, &r->source.crawl, &r->arena));
    TRY(opt_defaults(heldout_opts, &r->heldout, &r->arena));
    TRY(opt_defaults(tokenizer_opts, &r->tokenizer, &r->arena));
    return opt_defaults(corpus_opts, &r->corpus, &r->arena);
}

static const struct stage_type *stage_find(const char *name)
{
    for (int i = 0; recipe_stages[i]; i++)
        if (strcmp(recipe_stages[i]->name, name) == 0)
            return recipe_stages[i];
    return filter_stage(name);
}

static int unknown_stage(const struct conf_node *at, const char *name)
{
    const char *best = "extract";
    int best_distance = str_distance(str_of(name), str_of(best));
    static const char *const own[] = {"language", "quality", "dedup"};
    for (size_t i = 0; i < COUNT_OF(own); i++) {
        int distance = str_distance(str_of(name), str_of(own[i]));
        if (distance < best_distance)
            best_distance = distance, best = own[i];
    }
    for (int i = 0; filters[i]; i++) {
        int distance = str_distance(str_of(name), str_of(filters[i]->name));
        if (distance < best_distance)
            best_distance = distance, best = filters[i]->name;
    }
    return err_set(ERR_USAGE, "%s:%d: there is no stage \"%s\": did you mean \"%s\"?", at->file,
                   at->line, name, best);
}

static int read_stage(struct recipe *r, struct conf_node *table)
{
    static const char *const also[] = {"use", "name", NULL};
    struct conf_node *use = conf_get(table, "use"), *name = conf_get(table, "name");
    if (!use || use->type != CONF_STRING)
        return err_set(ERR_USAGE, "%s:%d: a [[stage]] needs use = \"NAME\"", table->file,
                       table->line);
    if (r->stage_count == RECIPE_STAGES_MAX)
        return err_set(ERR_LIMIT, "%s:%d: more than %d stages", table->file, table->line,
                       RECIPE_STAGES_MAX);
    const char *use_name = arena_strdup(&r->arena, use->string);
    const struct stage_type *type = stage_find(use_name);
    if (!type)
        return unknown_stage(use, use_name);
    struct stage *s = &r->stage[r->stage_count];
    *s = (struct stage){.type = type,
                        .name = name ? arena_strdup(&r->arena, name->string) : type->name,
                        .arena = &r->arena};
    s->conf = arena_push_zero(&r->arena, type->conf_size ? type->conf_size : 1, 16);
    if (!s->conf)
        return ERR_LIMIT;
    use->used = true;
    if (name)
        name->used = true;
    if (type->opts) {
        TRY(opt_defaults(type->opts, s->conf, &r->arena));
        TRY(opt_from_recipe(type->opts, s->conf, table, also, &r->arena));
    }
    if (type == &stage_dedup) {
        r->has_dedup = true;
        r->dedup = *(const struct dedup_conf *)s->conf;
        r->dedup.seed = r->run.seed;
        *(struct dedup_conf *)s->conf = r->dedup;
    }
    r->stage_count++;
    return 0;
}

static int check_stage_order(const struct recipe *r)
{
    int extract = recipe_stage_index(r, "extract");
    if (extract < 0)
        return err_set(ERR_USAGE,
                       "recipe: no [[stage]] use = \"extract\": without it pages have no text");
    for (int i = 0; i < r->stage_count; i++) {
        bool url_only = strcmp(r->stage[i].type->name, "url") == 0;
        if (i < extract && !url_only)
            return err_set(
                ERR_USAGE,
                "recipe: stage %s stands before extract but looks at text: move it behind",
                r->stage[i].type->name);
        for (int j = 0; j < i; j++)
            if (r->stage[j].type == r->stage[i].type)
                return err_set(ERR_USAGE, "recipe: stage %s stands there twice",
                               r->stage[i].type->name);
    }
    if (r->has_dedup && strcmp(r->stage[r->stage_count - 1].type->name, "dedup") != 0)
        return err_set(
            ERR_USAGE,
            "recipe: dedup must be the last [[stage]]: what it signs must be the final text");
    return 0;
}

static int read_domains(struct recipe *r)
{
    struct conf_node *list = conf_get(r->root, "domain");
    if (list && list->type != CONF_ARRAY)
        return err_set(ERR_USAGE, "%s:%d: domains are written [[domain]]", list->file, list->line);
    if (list)
        list->used = true;
    for (struct conf_node *table = list ? list->child : NULL; table; table = table->next) {
        if (r->domain_count == STORE_DOMAINS_MAX - 1)
            return err_set(ERR_LIMIT, "%s:%d: more than %d domains", table->file, table->line,
                           STORE_DOMAINS_MAX - 1);
        struct domain_conf *d = &r->domain[r->domain_count++];
        table->used = true;
        TRY(opt_defaults(domain_opts, d, &r->arena));
        TRY(opt_from_recipe(domain_opts, d, table, NULL, &r->arena));
        if (!d->name || !d->name[0] || strlen(d->name) >= 48)
            return err_set(ERR_USAGE, "%s:%d: a [[domain]] needs a name of 1 to 47 characters",
                           table->file, table->line);
        for (const char *c = d->name; *c; c++)
            if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_'))
                return err_set(
                    ERR_USAGE,
                    "%s:%d: domain \"%s\": names are made of a-z 0-9 - _ (they name files)",
                    table->file, table->line, d->name);
    }
    struct domain_conf *rest = &r->domain[r->domain_count++];
    TRY(opt_defaults(domain_opts, rest, &r->arena));
    rest->name = "web";
    return 0;
}

static void write_section(struct recipe *r, const char *head, const struct opt *rows,
                          const void *conf)
{
    buf_printf(&r->resolved, "\n%s\n", head);
    opt_write(rows, conf, &r->resolved);
}

/* What the store will hold; *how and *how_end: the part of it that changes no byte. */
static void resolve_corpus(struct recipe *r, size_t *how, size_t *how_end)
{
    write_section(r, "[source]", source_opts, &r->source);
    opt_write(crawl_opts, &r->source.crawl, &r->resolved);
    *how = r->resolved.len;
    opt_write(crawl_how_opts, &r->source.crawl, &r->resolved);
    *how_end = r->resolved.len;
    for (int i = 0; i < r->stage_count; i++) {
        buf_printf(&r->resolved, "\n[[stage]]\nuse = \"%s\"\n", r->stage[i].type->name);
        if (r->stage[i].type->opts)
            opt_write(r->stage[i].type->opts, r->stage[i].conf, &r->resolved);
    }
    if (r->has_quality)
        write_section(r, "[quality_train]", quality_train_opts, &r->quality);
    for (int i = 0; i + 1 < r->domain_count; i++)
        write_section(r, "[[domain]]", domain_opts, &r->domain[i]);
    write_section(r, "[heldout]", heldout_opts, &r->heldout);
    write_section(r, "[tokenizer]", tokenizer_opts, &r->tokenizer);
    write_section(r, "[corpus]", corpus_opts, &r->corpus);
}

/* The tokenizer of this run follows from its mixture. */
static bool mixture_makes_tokenizer(const struct recipe *r)
{
    double weight[STORE_DOMAINS_MAX];
    bool trained = !r->borrowed && (!r->tokenizer.path || !r->tokenizer.path[0]);
    return trained && strcmp(r->tokenizer.weights, "mixture") == 0 && mixture_weights(r, weight);
}

/* Hashes of the resolved text without [how, how_end), and of all but the mixture. */
static void recipe_hash(struct recipe *r, size_t how, size_t how_end, size_t mix, size_t mix_end)
{
    struct str all = buf_view(&r->resolved);
    struct buf *hashed = &r->decides;
    buf_printf(hashed, "seed %lld\n", (long long)r->run.seed);
    buf_str(hashed, str_slice(all, 0, how));
    buf_str(hashed, str_slice(all, how_end, mix));
    size_t at = hashed->len;
    buf_str(hashed, str_slice(all, mix, mix_end));
    size_t end = hashed->len;
    buf_str(hashed, str_slice(all, mix_end, all.len));
    r->resolved.failed |= hashed->failed;
    if (hashed->failed)
        return;
    hash_hex(hash128(hashed->ptr, hashed->len), r->train_hash);
    if (!mixture_makes_tokenizer(r)) {
        memmove(hashed->ptr + at, hashed->ptr + end, hashed->len - end);
        hashed->len -= end - at;
    }
    hash_hex(hash128(hashed->ptr, hashed->len), r->hash);
}

/* What decides the bytes goes into the hash: everything but name, threads, shards and memory, how a
 * crawl is fetched, and where a borrowed store lies (RUN/base.json says which one it is). */
static int recipe_resolve(struct recipe *r)
{
    size_t how = 0, how_end = 0, mix;
    if (r->borrowed) {
        write_section(r, "[store]", store_opts, &r->store);
        how_end = r->resolved.len;
    } else {
        resolve_corpus(r, &how, &how_end);
    }
    views_resolve(r, &r->resolved);
    mix = r->resolved.len;
    mixture_resolve(r, &r->resolved);
    size_t mix_end = r->resolved.len;
    if (r->has_train) {
        write_section(r, "[model]", model_opts, &r->model);
        write_section(r, "[train]", train_opts, &r->train);
    }
    write_section(r, "[eval]", eval_opts, &r->eval);
    if (!r->resolved.failed)
        recipe_hash(r, how, how_end, mix, mix_end);
    write_section(r, "[run]", run_opts, &r->run);
    if (r->resolved.failed)
        return err_set(ERR_LIMIT, "recipe: no memory for its resolved form");
    return 0;
}

/* An impossible training is refused before the first page is read, not hours later. */
static int check_training(const struct recipe *r)
{
    struct model_conf model = r->model;
    struct train_conf conf = r->train;
    if (model.vocab == 0)
        model.vocab = r->tokenizer.vocab_size;
    TRY(model_conf_check(&model));
    return train_conf_check(&conf, &model);
}

/* A misspelt table is named before another is missed. */
static int check_sections(const struct recipe *r)
{
    for (struct conf_node *n = r->root->child; n; n = n->next) {
        const char *near = n->key ? conf_nearest(n->key, sections) : NULL;
        if (near && strcmp(near, n->key) != 0)
            return err_set(ERR_USAGE, "%s:%d: unknown key '%s': did you mean '%s'?", n->file,
                           n->line, n->key, near);
    }
    return 0;
}

/* All that decides what the store will hold. */
static int read_corpus(struct recipe *r)
{
    TRY(read_source(r));
    if (strcmp(r->source.crawl.kind, "wat") == 0)
        return err_set(ERR_USAGE, "source.kind = \"wat\" is metadata without a text: give warc or "
                                  "wet (`sluice crawl --kind=wat` fetches it)");
    struct conf_node *list = conf_get(r->root, "stage");
    if (list)
        list->used = true;
    for (struct conf_node *table = list ? list->child : NULL; table; table = table->next) {
        table->used = true;
        TRY(read_stage(r, table));
    }
    TRY(check_stage_order(r));
    TRY(read_table(r, "quality_train", quality_train_opts, &r->quality, &r->has_quality));
    TRY(read_domains(r));
    TRY(read_table(r, "heldout", heldout_opts, &r->heldout, NULL));
    TRY(read_table(r, "tokenizer", tokenizer_opts, &r->tokenizer, NULL));
    TRY(tokenizer_conf_check(&r->tokenizer));
    return read_table(r, "corpus", corpus_opts, &r->corpus, NULL);
}

static int recipe_read(struct recipe *r)
{
    TRY(check_sections(r));
    TRY(read_table(r, "run", run_opts, &r->run, NULL));
    TRY(read_table(r, "store", store_opts, &r->store, NULL));
    r->borrowed = r->store.path && r->store.path[0];
    TRY(r->borrowed ? read_borrowed(r) : read_corpus(r));
    TRY(views_read(r));
    TRY(read_table(r, "eval", eval_opts, &r->eval, NULL));
    TRY(read_table(r, "model", model_opts, &r->model, NULL));
    TRY(read_table(r, "train", train_opts, &r->train, &r->has_train));
    TRY(mixture_read(r));
    TRY(conf_check_unused(r->root, sections));
    if (r->has_train)
        TRY(check_training(r));
    return recipe_resolve(r);
}

int recipe_load_text(struct recipe *r, const char *name, struct str text,
                     const char *const *assignments, int count)
{
    memset(r, 0, sizeof *r);
    r->resolved.max = 16 << 20;
    TRY(arena_open(&r->arena, RECIPE_ARENA));
    TRY(conf_parse(&r->arena, name, text, &r->root));
    for (int i = 0; i < count; i++)
        TRY(conf_set(&r->arena, r->root, assignments[i]));
    return recipe_read(r);
}

int recipe_load(struct recipe *r, const char *path, const char *const *assignments, int count)
{
    char *text;
    size_t len;
    memset(r, 0, sizeof *r);
    TRY(io_read_file(path, 4 << 20, &text, &len));
    int rc = recipe_load_text(r, path, (struct str){text, len}, assignments, count);
    free(text);
    return rc;
}

int recipe_stage_index(const struct recipe *r, const char *type)
{
    for (int i = 0; i < r->stage_count; i++)
        if (strcmp(r->stage[i].type->name, type) == 0)
            return i;
    return -1;
}

static int resolve_domains(struct recipe *r)
{
    for (int i = 0; i < r->domain_count; i++) {
        const char *name = r->domain[i].signal;
        r->domain_signal[i] = name && name[0] ? schema_find_signal(&r->schema, name) : -1;
        if (name && name[0] && r->domain_signal[i] < 0)
            return err_set(ERR_USAGE,
                           "recipe: domain %s asks for signal \"%s\", which no stage measures",
                           r->domain[i].name, name);
    }
    return 0;
}

int recipe_open_stages(struct recipe *r, const char *run_dir, int limit)
{
    if (!r->schema.rule_count) {
        schema_init(&r->schema);
        TRY(source_rules(&r->schema, (size_t)r->source.record_max, r->source.keep_truncated));
    }
    for (; r->opened < r->stage_count && r->opened < limit; r->opened++) {
        struct stage *s = &r->stage[r->opened];
        s->run_dir = run_dir;
        int rc = s->type->open ? s->type->open(s, &r->schema) : 0;
        if (rc < 0) {
            if (s->type->close)
                s->type->close(s);
            return err_in(rc, "stage %s", s->name);
        }
    }
    if (r->opened < r->stage_count)
        return 0;
    TRY(resolve_domains(r));
    if (r->has_dedup) {
        TRY(r->rule_dup_exact = schema_rule(&r->schema, "dedup", "dedup.exact", -1, NAN, 0));
        TRY(r->rule_dup_near =
                schema_rule(&r->schema, "dedup", "dedup.near", -1, r->dedup.verify, 0));
    }
    return r->borrowed ? 0 : views_check(r);
}

void recipe_close(struct recipe *r)
{
    for (int i = 0; i < r->opened; i++)
        if (r->stage[i].type->close)
            r->stage[i].type->close(&r->stage[i]);
    r->opened = 0;
    buf_free(&r->resolved);
    buf_free(&r->decides);
    arena_close(&r->arena);
}
