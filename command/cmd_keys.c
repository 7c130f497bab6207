/* cmd_keys - `sluice keys`: every table, stage and key a recipe may have, from the rows that read
 * it. */
#include "command/command.h"
#include "command/recipe.h"
#include "core/err.h"
#include "filter/filter.h"

struct keys_flags {
    bool markdown;
};
static const struct opt keys_flag_opts[] = {
    OPT_ROW(OPT_BOOL, struct keys_flags, markdown, "false", 0, 1, NULL,
            "print the page docs/RECIPE.md", NULL),
    OPT_LAST,
};

static const char *kind_of(const struct opt *row)
{
    switch (row->type) {
    case OPT_BOOL: return "true or false";
    case OPT_INT: return "whole number";
    case OPT_FLOAT: return "number";
    case OPT_SIZE: return "bytes, as 64M";
    case OPT_ENUM: return row->unit;
    case OPT_LIST: return "list";
    default: return "text";
    }
}

/* A vertical bar would end the cell of a table. */
static void print_cell(const char *text)
{
    for (; text && *text; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void print_row(const struct opt *row)
{
    bool number = row->type == OPT_INT || row->type == OPT_FLOAT || row->type == OPT_SIZE;
    printf("| `%s` | ", row->name);
    print_cell(row->preset ? row->preset : "");
    printf(" | ");
    if (number && (row->min != 0 || row->max != 0))
        printf("%g to %g", row->min, row->max);
    else
        print_cell(kind_of(row));
    printf(" | ");
    print_cell(row->help);
    if (row->source) {
        printf(" (");
        print_cell(row->source);
        putchar(')');
    }
    printf(" |\n");
}

static void print_table(const char *head, const char *help, const struct opt *rows, bool markdown)
{
    if (!markdown) {
        printf("\n%s  %s\n", head, help);
        if (rows && rows[0].type != OPT_END)
            opt_print_keys(rows, stdout);
        return;
    }
    printf("\n## `%s`\n%s.\n\n| key | preset | range | what |\n|---|---|---|---|\n", head, help);
    for (int i = 0; rows && rows[i].type != OPT_END; i++)
        print_row(&rows[i]);
}

static void print_stage(const struct stage_type *type, bool markdown)
{
    char head[96];
    snprintf(head, sizeof head, "[[stage]] use = \"%s\"", type->name);
    print_table(head, type->help ? type->help : "", type->opts, markdown);
}

/* "[[domain]]" and "[view.NAME]" are asked for as domain and view. */
static struct str bare_name(const char *head)
{
    struct str name = str_of(head);
    while (name.len && *name.ptr == '[')
        name = str_slice(name, 1, name.len);
    return str_slice(name, 0, strcspn(name.ptr, ".]"));
}

static bool is_wanted(int argc, char **argv, struct str name)
{
    for (int i = 0; i < argc; i++)
        if (str_eq(bare_name(argv[i]), name))
            return true;
    return argc == 0;
}

/* Every name that is asked for must be there. */
static int check_names(int argc, char **argv)
{
    enum { KNOWN_MAX = 64, NAME_MAX = 32 };
    char name[KNOWN_MAX][NAME_MAX];
    const char *known[KNOWN_MAX + 1] = {NULL};
    int count = 0;
    for (int i = 0; recipe_sections[i].name && count < KNOWN_MAX; i++, count++)
        snprintf(name[count], NAME_MAX, "%.*s", STR_ARG(bare_name(recipe_sections[i].name)));
    for (int i = 0; recipe_stages[i] && count < KNOWN_MAX; i++, count++)
        snprintf(name[count], NAME_MAX, "%s", recipe_stages[i]->name);
    for (int i = 0; filters[i] && count < KNOWN_MAX; i++, count++)
        snprintf(name[count], NAME_MAX, "%s", filters[i]->name);
    for (int i = 0; i < count; i++)
        known[i] = name[i];
    for (int i = 0; i < argc; i++) {
        int at = 0;
        while (at < count && !str_is(bare_name(argv[i]), name[at]))
            at++;
        const char *near = at < count ? NULL : conf_nearest(argv[i], known);
        if (at == count)
            return err_set(ERR_USAGE, "keys: there is no table and no stage \"%s\"%s%s%s", argv[i],
                           near ? ": did you mean \"" : ": sluice keys lists them all",
                           near ? near : "", near ? "\"?" : "");
    }
    return 0;
}

static int command_keys_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct keys_flags *flags = conf;
    UNUSED(a);
    TRY(check_names(argc, argv));
    if (flags->markdown)
        printf("# Every key of a recipe\n\nMade by `sluice keys --markdown` from the rows that "
               "read recipes; a test "
               "compares them. A recipe is TOML;\n`--set table.key=value` changes one key, stages "
               "by the name in "
               "their `use`. Unknown keys are errors.\n");
    for (int i = 0; recipe_sections[i].name; i++)
        if (is_wanted(argc, argv, bare_name(recipe_sections[i].name)))
            print_table(recipe_sections[i].name, recipe_sections[i].help, recipe_sections[i].opts,
                        flags->markdown);
    for (int i = 0; filters[i]; i++)
        if (filters[i]->before_extract && is_wanted(argc, argv, str_of(filters[i]->name)))
            print_stage(filter_stage(filters[i]->name), flags->markdown);
    for (int i = 0; recipe_stages[i]; i++)
        if (is_wanted(argc, argv, str_of(recipe_stages[i]->name)))
            print_stage(recipe_stages[i], flags->markdown);
    for (int i = 0; filters[i]; i++)
        if (!filters[i]->before_extract && is_wanted(argc, argv, str_of(filters[i]->name)))
            print_stage(filter_stage(filters[i]->name), flags->markdown);
    return 0;
}

const struct command command_keys = {
    .name = "keys",
    .group = "looking",
    .usage = "keys [TABLE-OR-STAGE ...] [--markdown]",
    .help = "every table, stage and key a recipe may have, with preset, range and source",
    .text = "  sluice keys gopher_quality train      these only; sluice run --set "
            "gopher_quality.min_words=40 sets one",
    .opts = keys_flag_opts,
    .conf_size = sizeof(struct keys_flags),
    .run = command_keys_main,
};
