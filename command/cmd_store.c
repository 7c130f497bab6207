/* cmd_store - `sluice store ls|verify|trace|mix|find|export|import`: looks into the tokens of a
 * run. */
#include "command/command.h"
#include "command/store_tool.h"
#include "core/err.h"

static const struct opt store_opts[] = {
    OPT_ROW(OPT_STR, struct store_flags, run, NULL, 0, 0, NULL,
            "folder of the run; for ls, verify and export its store/ will do", NULL),
    OPT_ROW(OPT_STR, struct store_flags, domain, NULL, 0, 0, NULL,
            "find, export: only this domain; empty: all; import: the name it gets", NULL),
    OPT_ROW(OPT_STR, struct store_flags, view, NULL, 0, 0, NULL,
            "export: only this view of the run, or a .view file", NULL),
    OPT_ROW(OPT_STR, struct store_flags, name, NULL, 0, 0, NULL,
            "view: write it as RUN/views/NAME.view, for export --view", NULL),
    OPT_ROW(OPT_INT, struct store_flags, step, "1", 1, 1e15, NULL,
            "trace: the training step, from 1 as in train.jsonl", NULL),
    OPT_ROW(OPT_INT, struct store_flags, row, "-1", -1, 1e9, NULL,
            "trace: only this row of the step; -1: all", NULL),
    OPT_ROW(OPT_INT, struct store_flags, limit, "20", 1, 1e9, NULL, "find: show so many places",
            NULL),
    OPT_ROW(OPT_ENUM, struct store_flags, format, "llmc", 0, 0,
            "llmc|nanogpt|megatron|datatrove|jsonl",
            "export: for which trainer, or as text; import: whose files", NULL),
    OPT_ROW(OPT_STR, struct store_flags, out, ".", 0, 0, NULL,
            "export: folder to write to, jsonl also -; import: folder to make", NULL),
    OPT_ROW(OPT_STR, struct store_flags, prefix, "tokens", 0, 0, NULL,
            "export: beginning of the files' names", NULL),
    OPT_ROW(OPT_STR, struct store_flags, tokenizer, NULL, 0, 0, NULL,
            "import: the tokenizer that made the ids; export as jsonl: instead of the run's", NULL),
    OPT_ROW(OPT_INT, struct store_flags, separator, "-1", -1, STORE_VOCAB_MAX, NULL,
            "import: the id between documents; -1: the tokenizer's <|endoftext|>", NULL),
    OPT_ROW(OPT_INT, struct store_flags, width, "0", 0, 4, "bytes",
            "import of nanogpt: bytes of an id, 2 or 4; 0: by the vocabulary", NULL),
    OPT_ROW(OPT_FLOAT, struct store_flags, heldout, "0", 0, 0.5, NULL,
            "import: share of the documents kept apart, as text, to evaluate on", NULL),
    OPT_ROW(OPT_STR, struct store_flags, from, NULL, 0, 0, NULL,
            "append: the run whose documents are to be appended", NULL),
    OPT_ROW(OPT_STR, struct store_flags, ids, NULL, 0, 0, NULL,
            "remove: file of document ids, one a line as `sluice why` prints them, or JSON lines "
            "with an \"id\"; -: standard input", NULL),
    OPT_ROW(OPT_BOOL, struct store_flags, dry_run, "false", 0, 1, NULL,
            "mix: say what would be drawn; it never does more", NULL),
    OPT_ROW(OPT_BOOL, struct store_flags, json, "false", 0, 1, NULL, "print JSON", NULL),
    OPT_LAST,
};

/* ---- ls and verify ---- */
/* What was removed from it and appended to it since it was built. */
static void ls_changes(const struct store *s)
{
    const struct store_meta *meta = store_meta(s);
    uint32_t count;
    const struct store_origin *origin = store_origins(s, &count);
    for (uint32_t d = 0; d < meta->domain_count; d++)
        if (meta->domain[d].removed_documents)
            printf("removed from %s: %llu documents, %llu tokens, which are counted above\n",
                   meta->domain[d].name, (unsigned long long)meta->domain[d].removed_documents,
                   (unsigned long long)meta->domain[d].removed_tokens);
    for (uint32_t i = 0; i < count; i++)
        printf("appended: inputs %u to %llu are those of %s\n", origin[i].first_item,
               (unsigned long long)origin[i].first_item + origin[i].item_count - 1, origin[i].run);
}

static int store_ls(const struct store_flags *flags)
{
    struct store *s;
    TRY(store_of_run(flags, &s));
    const struct store_meta *meta = store_meta(s);
    if (flags->json)
        printf("{\"vocab\":%u,\"token_bytes\":%u,\"eot\":%u,\"tokenizer\":\"%016llx%016llx\","
               "\"domains\":[",
               meta->vocab_size, meta->token_bytes, meta->eot,
               (unsigned long long)meta->tokenizer_hash.high,
               (unsigned long long)meta->tokenizer_hash.low);
    else
        printf("%-24s %12s %16s %16s %8s\n", "domain", "documents", "tokens", "bytes", "B/token");
    for (uint32_t d = 0; d < meta->domain_count; d++) {
        double bytes = (double)meta->domain[d].bytes, tokens = (double)meta->domain[d].tokens;
        printf(flags->json ? "%s{\"name\":\"%s\",\"documents\":%llu,\"tokens\":%llu,\"bytes\":%llu,"
                             "\"bytes_per_token\":%.4f,"
                           : "%s%-24s %12llu %16llu %16llu %8.3f\n",
               flags->json && d ? "," : "", meta->domain[d].name,
               (unsigned long long)meta->domain[d].documents,
               (unsigned long long)meta->domain[d].tokens,
               (unsigned long long)meta->domain[d].bytes, tokens > 0 ? bytes / tokens : 0);
        if (flags->json)
            printf("\"removed_documents\":%llu,\"removed_tokens\":%llu}",
                   (unsigned long long)meta->domain[d].removed_documents,
                   (unsigned long long)meta->domain[d].removed_tokens);
    }
    if (flags->json)
        printf("],\"views\":[");
    int rc = store_list_views(flags, s);
    if (flags->json)
        printf("]}\n");
    else
        printf("vocabulary %u, %u bytes a token, <|endoftext|> %u, tokenizer %016llx%016llx\n",
               meta->vocab_size, meta->token_bytes, meta->eot,
               (unsigned long long)meta->tokenizer_hash.high,
               (unsigned long long)meta->tokenizer_hash.low);
    if (!flags->json)
        ls_changes(s);
    store_close(s);
    return rc;
}

static int store_check(const struct store_flags *flags)
{
    struct store *s;
    TRY(store_of_run(flags, &s));
    int rc = store_verify(s);
    store_close(s);
    if (rc >= 0 && flags->json)
        printf("{\"good\":true}\n");
    else if (rc >= 0)
        printf("every block, document and count of %s is as it was written\n", flags->run);
    return rc;
}

static int command_store_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct store_flags *flags = conf;
    const char *verb = argc ? argv[0] : "";
    if (strcmp(verb, "find") == 0 && argc == 2)
        return store_find(flags, argv[1]);
    if (argc == 1 && strcmp(verb, "ls") == 0)
        return store_ls(flags);
    if (argc == 1 && strcmp(verb, "verify") == 0)
        return store_check(flags);
    if (argc == 1 && strcmp(verb, "trace") == 0)
        return store_trace(flags, a);
    if (argc == 1 && strcmp(verb, "mix") == 0)
        return store_mix(flags, a);
    if ((argc == 1 || argc == 2) && strcmp(verb, "view") == 0)
        return store_view(flags, argc == 2 ? argv[1] : NULL);
    if (argc == 1 && strcmp(verb, "append") == 0)
        return store_append_run(flags, a);
    if (argc == 1 && strcmp(verb, "remove") == 0)
        return store_remove_ids(flags, a);
    if (argc == 1 && strcmp(verb, "export") == 0)
        return store_write_files(flags);
    if (argc >= 1 && strcmp(verb, "import") == 0)
        return store_read_files(flags, argv + 1, argc - 1, a);
    return err_set(ERR_USAGE, "store: say what: ls, verify, trace, mix, view, find TEXT, export, "
                              "import FILE..., append or remove");
}

const struct command command_store = {
    .name = "store",
    .group = "looking",
    .usage = "store ls|verify|trace|mix|view PREDICATE|find TEXT|export|import FILE...|append|"
             "remove --run=DIR [FLAGS]",
    .help =
        "the tokens of a run: what there is, which pages a step reads, files for other trainers",
    .text =
        "  sluice store ls --run=r                       documents and tokens of each domain\n"
        "  sluice store trace --run=r --step=100 --row=3 the pages behind a row of a batch\n"
        "  sluice store mix --run=r --dry-run            what each phase draws, in epochs\n"
        "  sluice store view --run=r                     columns, signals and rules to ask by\n"
        "  sluice store view --run=r \"lang == 'en' and quality.score > 0.5\" --name=good\n"
        "  sluice store find --run=r ' the same words'   where exactly these tokens stand\n"
        "  sluice store export --run=r --format=megatron --out=tok\n"
        "  sluice store export --run=r --format=jsonl --out=- | head   text back from tokens\n"
        "  sluice store import --format=llmc --tokenizer=r50k.tiktoken --domain=web --out=theirs "
        "*.bin\n"
        "  sluice store append --run=r --from=r2         r2's documents behind r's, in place\n"
        "  sluice store remove --run=r --ids=list.txt    takes documents out, and proves it\n"
        "  sluice store verify --run=r                   every checksum",
    .opts = store_opts,
    .conf_size = sizeof(struct store_flags),
    .run = command_store_main,
};
