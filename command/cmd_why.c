/* cmd_why - `sluice why URL`: the ledger's word on one page: stage, rule, value, threshold, and
 * every signal. */
#include "command/command.h"
#include "command/where.h"
#include "core/err.h"
#include "core/json.h"
#include "core/ledger.h"
#include "core/log.h"

#include <math.h>

struct why_flags {
    const char *run, *where;
    bool json;
    int64_t limit;
};
static const struct opt why_flag_opts[] = {
    OPT_ROW(OPT_STR, struct why_flags, run, NULL, 0, 0, NULL, "folder of the run", NULL),
    OPT_ROW(OPT_STR, struct why_flags, where, NULL, 0, 0, NULL,
            "only records this holds of: lang == 'de' and rule('c4.curly_bracket') and tokens > 9; "
            "names: sluice store view --run=DIR",
            NULL),
    OPT_ROW(OPT_BOOL, struct why_flags, json, "false", 0, 1, NULL, "print JSON, a line a record",
            NULL),
    OPT_ROW(OPT_INT, struct why_flags, limit, "20", 1, 1e9, "records",
            "show at most so many records", NULL),
    OPT_LAST,
};

struct why {
    const struct why_flags *flags;
    const char *pattern;
    enum { MATCH_EXACT, MATCH_GLOB, MATCH_LOOSE } match;
    bool more; /* than limit records match */
    struct where *where; /* NULL: all */
    struct where_names names;
    const struct schema *bound; /* the schema that names are of */
    int64_t found;
};

static void clean(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        putchar((unsigned char)s.ptr[i] < 32 || s.ptr[i] == 127 ? '?' : s.ptr[i]);
}

/* Each signal with the limits of the rules that rest on it. */
static void print_signal(const struct schema *schema, int signal, double value)
{
    enum { LIMITS_COLUMN = 66 };
    const struct signal_info *info = &schema->signal[signal];
    char text[64];
    const char *between = " drops ";
    snprintf(text, sizeof text, "%.*g %s", value == floor(value) ? 12 : 6, value,
             info->unit ? info->unit : "");
    int used = printf("    %-37s %s", info->name, text);
    for (int i = 1; i < schema->rule_count; i++) {
        const struct rule_info *rule = &schema->rule[i];
        if (rule->signal != signal || rule->sense == 0 || isnan(rule->threshold))
            continue;
        if (used)
            printf("%*s", used < LIMITS_COLUMN ? LIMITS_COLUMN - used : 0, "");
        used = 0;
        printf("%s%s %.12g", between, rule->sense > 0 ? "above" : "below", rule->threshold);
        between = ", ";
    }
    printf("\n");
}

static void print_row(const struct ledger_row *row, struct str source, const struct schema *schema)
{
    clean(row->url);
    printf("\n  verdict    %.*s", STR_ARG(row->verdict));
    if (row->domain.len)
        printf(" into domain %.*s, %u tokens", STR_ARG(row->domain), row->tokens);
    if (row->rule.len) {
        printf("\n  stage      %.*s\n  rule       %.*s", STR_ARG(row->stage), STR_ARG(row->rule));
        if (!isnan(row->value))
            printf("\n  value      %g", (double)row->value);
        if (!isnan(row->threshold))
            printf("\n  threshold  %g", (double)row->threshold);
        if (row->also.len && !str_eq(row->also, row->rule))
            printf("\n  all rules  %.*s", STR_ARG(row->also));
    }
    if (row->dup_of.len) {
        printf("\n  copy of    ");
        clean(row->dup_of);
    }
    if (row->cluster_size)
        printf("\n  cluster    %u pages alike", row->cluster_size);
    printf("\n  language   %.*s\n  record     %u at byte %llu of %.*s\n  bytes      %u raw, %u of "
           "text\n  id         %016llx\n",
           STR_ARG(row->lang), row->record, (unsigned long long)row->offset, STR_ARG(source),
           row->raw_bytes, row->text_bytes, (unsigned long long)row->id);
    printf("  signals\n");
    for (int i = 0; i < schema->signal_count; i++)
        if (!isnan(row->signal[i]))
            print_signal(schema, i, (double)row->signal[i]);
}

static int print_row_json(const struct ledger_row *row, struct str source,
                          const struct schema *schema)
{
    struct buf out = {0};
    struct json_writer w;
    char id[17];
    snprintf(id, sizeof id, "%016llx", (unsigned long long)row->id);
    json_begin(&w, &out);
    json_open(&w, '{');
    const struct {
        const char *key;
        struct str value;
    } text[] = {{"url", row->url},       {"source", source},      {"verdict", row->verdict},
                {"stage", row->stage},   {"rule", row->rule},     {"also", row->also},
                {"dup_of", row->dup_of}, {"domain", row->domain}, {"lang", row->lang}};
    json_field_text(&w, "id", id);
    for (size_t i = 0; i < COUNT_OF(text); i++)
        json_field_str(&w, text[i].key, text[i].value);
    const struct {
        const char *key;
        double value;
    } number[] = {{"value", (double)row->value}, {"threshold", (double)row->threshold},
                  {"record", row->record},       {"offset", (double)row->offset},
                  {"raw_bytes", row->raw_bytes}, {"text_bytes", row->text_bytes},
                  {"tokens", row->tokens},       {"cluster_size", row->cluster_size}};
    for (size_t i = 0; i < COUNT_OF(number); i++)
        json_field_num(&w, number[i].key, number[i].value);
    json_field_open(&w, "signals", '{');
    for (int i = 0; i < schema->signal_count; i++)
        json_field_num(&w, schema->signal[i].name, (double)row->signal[i]);
    json_close(&w, '}');
    json_close(&w, '}');
    printf("%s\n", buf_cstr(&out));
    buf_free(&out);
    return 0;
}

/* An address as people write it: no scheme, no www., no fragment, no slash at the end. */
static struct str bare_url(struct str url)
{
    size_t scheme = str_find(url, STR("://"));
    if (scheme != SIZE_MAX)
        url = str_slice(url, scheme + 3, url.len);
    if (str_starts_nocase(url, "www."))
        url = str_slice(url, 4, url.len);
    url = str_slice(url, 0, str_find_char(url, '#'));
    while (url.len && url.ptr[url.len - 1] == '/')
        url.len--;
    return url;
}

static bool is_asked_for(const struct why *w, struct str url)
{
    switch (w->match) {
    case MATCH_GLOB: return str_glob(w->pattern, url);
    case MATCH_LOOSE: return str_eq_nocase(bare_url(url), bare_url(str_of(w->pattern)));
    default: return str_is(url, w->pattern);
    }
}

static int why_row(void *arg, const struct ledger_row *row, struct str source,
                   const struct schema *schema)
{
    struct why *w = arg;
    if (w->where && schema != w->bound) {
        TRY(where_bind(w->where, schema, false, &w->names));
        w->bound = schema;
    }
    if (w->where && !where_true(w->where, &w->names, row, source))
        return 0;
    if (!is_asked_for(w, row->url))
        return 0;
    w->more = w->found >= w->flags->limit;
    if (w->more)
        return 1;
    if (w->flags->json)
        print_row_json(row, source, schema);
    else
        print_row(row, source, schema);
    w->found++;
    return 0;
}

/* The ledger is pass 2's: until that is done there is nothing to ask. */
static int ledger_check(const char *run)
{
    char base[IO_PATH_MAX], path[IO_PATH_MAX];
    TRY(ledger_base(run, base));
    TRY(io_path(path, "%s/ledger", base));
    if (io_exists(path))
        return 0;
    return err_set(ERR_USAGE, "why: %s has no ledger yet: name a run whose pass2 is done (`sluice "
                              "status --run=DIR` says)",
                   base);
}

static int command_why_main(void *conf, int argc, char **argv, struct arena *a)
{
    struct why w = {.flags = conf};
    const char *where = w.flags->where && w.flags->where[0] ? w.flags->where : NULL;
    UNUSED(a);
    if (argc > 1 || (argc == 0 && !where) || !w.flags->run || !w.flags->run[0])
        return err_set(
            ERR_USAGE,
            "why: name a run and one URL or pattern: sluice why --run=DIR 'https://example.com/*'");
    w.pattern = argc ? argv[0] : "*";
    w.match = strpbrk(w.pattern, "*?") ? MATCH_GLOB : MATCH_EXACT;
    if (where) {
        int rc = where_parse(&w.where, where);
        if (rc < 0)
            return err_in(rc, "why: --where");
    }
    int rc = ledger_check(w.flags->run);
    if (rc >= 0)
        rc = ledger_walk(w.flags->run, why_row, &w);
    if (rc >= 0 && w.found == 0 && w.match == MATCH_GLOB && !strchr(w.pattern, '*')) {
        w.match = MATCH_EXACT; /* a URL may hold a plain question mark */
        rc = ledger_walk(w.flags->run, why_row, &w);
    }
    if (rc >= 0 && w.found == 0 && w.match == MATCH_EXACT) {
        w.match = MATCH_LOOSE;
        rc = ledger_walk(w.flags->run, why_row, &w);
    }
    if (rc >= 0 && w.more)
        log_info("why: the first %lld that match; --limit=N shows more", (long long)w.found);
    where_free(w.where);
    if (rc >= 0 && w.found == 0 && where)
        return err_set(ERR_USAGE, "why: no record of %s matches %s and has %s", w.flags->run,
                       w.pattern, where);
    if (rc >= 0 && w.found == 0)
        return err_set(
            ERR_USAGE,
            "why: no record of %s matches %s: it was not in the input, or another pattern finds it "
            "(* and ? match any bytes)",
            w.flags->run, w.pattern);
    return rc;
}

const struct command command_why = {
    .name = "why",
    .group = "looking",
    .usage = "why --run=DIR URL-OR-PATTERN [--where=PREDICATE] [--json] [--limit=N]",
    .help = "why a page was kept or dropped: stage, rule, value, threshold and all its signals",
    .text = "Reads RUN/ledger/*.parquet, which DuckDB, pandas and Spark open too. Patterns take * "
            "and ?; an\naddress is found without scheme, www. and closing slash, too.",
    .opts = why_flag_opts,
    .conf_size = sizeof(struct why_flags),
    .run = command_why_main,
};
