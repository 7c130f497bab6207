/* tokenize_verbs - the verbs of `sluice tokenize` that have a file of their own. */
#ifndef SLUICE_COMMAND_TOKENIZE_VERBS_H
#define SLUICE_COMMAND_TOKENIZE_VERBS_H
#include "command/token_kept.h"
#include "command/token_lines.h"

/* Each is given what stands behind the verb; without any, "-". */
int tokenize_train(const struct token_flags *flags, const char *const *paths, int count);
int tokenize_compare(const struct token_flags *flags, const char *const *paths, int count);

/* The first members of report.json: what was trained on and what came of it. */
void train_counts_json(struct json_writer *w, const struct bpe_train_stats *s,
                       const struct kept_texts *held);
/* Splitters by name and by how many digits may share a piece: "pattern" (as the pattern has it),
 * "1", "1-3", "any". ERR_USAGE when there is no such splitter. */
int train_pretok(const char *pattern, const char *digits, enum pretok *out);
#endif
