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
            opt_print_help(rows, stdout);
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

static int command_keys_main(void *conf, int argc, char **argv, struct arena *a)
{
    const struct keys_flags *flags = conf;
    UNUSED(argv);
    UNUSED(a);
    if (argc != 0)
        return err_set(ERR_USAGE, "keys: takes no arguments: sluice keys");
    if (flags->markdown)
        printf("# Every key of a recipe\n\nMade by `sluice keys --markdown` from the rows that "
               "read recipes; a test "
               "compares them. A recipe is TOML;\n`--set table.key=value` changes one key, stages "
               "by the name in "
               "their `use`. Unknown keys are errors.\n");
    for (int i = 0; recipe_sections[i].name; i++)
        print_table(recipe_sections[i].name, recipe_sections[i].help, recipe_sections[i].opts,
                    flags->markdown);
    for (int i = 0; filters[i]; i++)
        if (filters[i]->before_extract)
            print_stage(filter_stage(filters[i]->name), flags->markdown);
    for (int i = 0; recipe_stages[i]; i++)
        print_stage(recipe_stages[i], flags->markdown);
    for (int i = 0; filters[i]; i++)
        if (!filters[i]->before_extract)
            print_stage(filter_stage(filters[i]->name), flags->markdown);
    return 0;
}

const struct command command_keys = {
    .name = "keys",
    .group = "looking",
    .usage = "keys [--markdown]",
    .help = "every table, stage and key a recipe may have, with preset, range and source",
    .opts = keys_flag_opts,
    .conf_size = sizeof(struct keys_flags),
    .run = command_keys_main,
};
