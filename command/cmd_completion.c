/* cmd_completion - `sluice completion bash|zsh|fish|man`: what shells and man(1) want to know, from
 * the rows that --help prints. */
#include "command/command.h"
#include "core/err.h"

#include <string.h>

enum { FLAG_MAX = 64 };

/* The flag as it is typed: rows have underscores, people type hyphens. */
static const char *flag_of(const struct opt *row, char flag[FLAG_MAX])
{
    snprintf(flag, FLAG_MAX, "%s", row->name);
    for (char *c = flag; *c; c++)
        *c = *c == '_' ? '-' : *c;
    return flag;
}

/* The verbs of "store ls|verify|find TEXT --run=DIR": those words of the alternatives that are in
 * lower case; empty when the usage has none. */
static struct str verbs_of(const struct command *c)
{
    struct str rest = str_slice(str_of(c->usage), strlen(c->name), strlen(c->usage));
    size_t end = 0;
    rest = str_trim(rest);
    while (end < rest.len && ((rest.ptr[end] >= 'a' && rest.ptr[end] <= 'z') ||
                              (rest.ptr[end] >= 'A' && rest.ptr[end] <= 'Z') ||
                              rest.ptr[end] == '|' || rest.ptr[end] == ' '))
        end++;
    rest = str_slice(rest, 0, end);
    if (str_find_char(rest, '|') == SIZE_MAX)
        rest.len = 0;
    return rest;
}

/* The next verb of rest, which moves on; empty at the end. Words in capitals are arguments. */
static struct str verb_next(struct str *rest)
{
    while (rest->len) {
        struct str part = str_cut(*rest, '|', rest), none;
        struct str word = str_cut(str_trim(part), ' ', &none);
        if (word.len && word.ptr[0] >= 'a')
            return word;
    }
    return (struct str){0};
}

static void print_verbs(const struct command *c, const char *before, const char *after)
{
    struct str rest = verbs_of(c), word;
    while ((word = verb_next(&rest)).len)
        printf("%s%.*s%s", before, STR_ARG(word), after);
}

/* ---- bash, and zsh by its own bashcompinit ---- */
static void print_bash(void)
{
    char flag[FLAG_MAX];
    printf("# sluice completion for bash: eval \"$(sluice completion bash)\"\n"
           "_sluice() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
           "        words='");
    for (int i = 0; commands[i]; i++)
        printf("%s ", commands[i]->name);
    printf("'\n    else case ${COMP_WORDS[1]} in\n");
    for (int i = 0; commands[i]; i++) {
        printf("        %s) words='", commands[i]->name);
        print_verbs(commands[i], "", " ");
        for (const struct opt *row = commands[i]->opts; row && row->type != OPT_END; row++)
            printf("--%s%s ", flag_of(row, flag), row->type == OPT_BOOL ? "" : "=");
        printf("--help%s' ;;\n", commands[i]->assignments ? " --set" : "");
    }
    printf(
        "    esac; fi\n"
        "    if [[ $cur = --*=* ]]; then COMPREPLY=($(compgen -f -- \"${cur#*=}\")); return; fi\n"
        "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
        "    [[ $cur = -* ]] || COMPREPLY+=($(compgen -f -- \"$cur\"))\n"
        "    [[ ${COMPREPLY[0]} = *= ]] && compopt -o nospace\n"
        "}\n"
        "complete -o filenames -F _sluice sluice\n");
}

/* ---- fish ---- */
static void print_quoted(const char *text)
{
    for (putchar('\''); *text; text++)
        printf(*text == '\'' || *text == '\\' ? "\\%c" : "%c", *text);
    putchar('\'');
}

static void print_fish(void)
{
    char flag[FLAG_MAX];
    printf("# sluice completion for fish: sluice completion fish | source\n");
    for (int i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        printf("complete -c sluice -n __fish_use_subcommand -a %s -d ", c->name);
        print_quoted(c->help);
        putchar('\n');
        struct str rest = verbs_of(c), word;
        while ((word = verb_next(&rest)).len)
            printf("complete -c sluice -n '__fish_seen_subcommand_from %s' -a %.*s\n", c->name,
                   STR_ARG(word));
        for (const struct opt *row = c->opts; row && row->type != OPT_END; row++) {
            printf("complete -c sluice -n '__fish_seen_subcommand_from %s' -l %s%s -d ", c->name,
                   flag_of(row, flag), row->type == OPT_BOOL ? "" : " -r");
            print_quoted(row->help);
            if (row->type == OPT_ENUM) {
                printf(" -fa '");
                for (const char *at = row->unit; *at; at++)
                    putchar(*at == '|' ? ' ' : *at);
                putchar('\'');
            }
            putchar('\n');
        }
    }
}

/* ---- man ---- */
/* Text as roff: no line may begin with a dot or an apostrophe, hyphens stay hyphens. */
static void print_roff(const char *text)
{
    bool start = true;
    for (; text && *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            printf("\\&");
        if (*text == '\\')
            printf("\\e");
        else if (*text == '-')
            printf("\\-");
        else
            putchar(*text);
        start = *text == '\n';
    }
}

static void print_man_command(const struct command *c)
{
    char flag[FLAG_MAX];
    printf(".SS ");
    print_roff(c->name);
    printf("\n.B sluice ");
    print_roff(c->usage);
    printf("\n.PP\n");
    print_roff(c->help);
    printf(".\n");
    if (c->text) {
        printf(".PP\n.nf\n");
        print_roff(c->text);
        printf("\n.fi\n");
    }
    for (const struct opt *row = c->opts; row && row->type != OPT_END; row++) {
        printf(".TP\n.B \\-\\-");
        print_roff(flag_of(row, flag));
        printf("\n");
        print_roff(row->help);
        if (row->type == OPT_ENUM) {
            printf(" (");
            print_roff(row->unit);
            putchar(')');
        }
        if (row->preset && row->preset[0] && row->type != OPT_BOOL) {
            printf("; preset ");
            print_roff(row->preset);
        }
        printf("\n");
    }
}

static void print_man(void)
{
    printf(".TH SLUICE 1\n.SH NAME\nsluice \\- from web archives to a trained language model\n"
           ".SH SYNOPSIS\n.B sluice\n.I COMMAND\n[\\-\\-flags] [files]\n.SH COMMANDS\n");
    for (int i = 0; commands[i]; i++)
        print_man_command(commands[i]);
    printf(".SH EXIT STATUS\n0 done, 1 failed, 2 misused, 3 bad input data, 4 a quality gate "
           "failed, 75 try again, 130 stopped.\n");
}

static int completion_main(void *conf, int argc, char **argv, struct arena *a)
{
    static const char *const names[] = {"bash", "zsh", "fish", "man"};
    static void (*const print[])(void) = {print_bash, print_bash, print_fish, print_man};
    UNUSED(conf);
    UNUSED(a);
    for (size_t i = 0; argc == 1 && i < COUNT_OF(names); i++) {
        if (strcmp(argv[0], names[i]) != 0)
            continue;
        if (strcmp(names[i], "zsh") == 0)
            printf("#compdef sluice\nautoload -U +X bashcompinit && bashcompinit\n");
        print[i]();
        return 0;
    }
    return err_set(ERR_USAGE, "completion: say for what: bash, zsh, fish or man");
}

const struct command command_completion = {
    .name = "completion",
    .group = "looking",
    .usage = "completion bash|zsh|fish|man",
    .help = "completion of flags for a shell, or the manual page, to stdout",
    .text = "  eval \"$(sluice completion bash)\"       in ~/.bashrc; `make install` puts all in "
            "place\n"
            "  sluice completion man | man -l -       the manual page",
    .run = completion_main,
};
