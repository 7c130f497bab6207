/* command - the table of commands, made from the rows of commands.def. */
#include "command/command.h"

const struct command *const commands[] = {
#define COMMAND(name) &command_##name,
#include "command/commands.def"
#undef COMMAND
    NULL,
};
