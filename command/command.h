/* command - what a user can type: one file and one row of commands.def each; may include every
 * room. */
#ifndef SLUICE_COMMAND_COMMAND_H
#define SLUICE_COMMAND_COMMAND_H
#include "core/opt.h"

struct command {
    const char *name, *group; /* group: "corpus", "training", "looking", "files" */
    const char *usage;        /* "run RECIPE [--run=DIR] [--set KEY=VALUE ...]" */
    const char *help;         /* one line */
    const char *text;         /* a paragraph or two for --help, with examples */
    const struct opt *opts;
    size_t conf_size;
    bool
        assignments; /* takes --set KEY=VALUE (and --a.b=c): they arrive in argv as set:KEY=VALUE */
    /* conf is filled from the flags; argv holds what is left. Returns 0 or an err. */
    int (*run)(void *conf, int argc, char **argv, struct arena *a);
};
#define COMMAND(name) extern const struct command command_##name;
#include "command/commands.def"
#undef COMMAND
extern const struct command *const commands[]; /* NULL-ended */
#endif
