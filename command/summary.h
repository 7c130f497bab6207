/* summary - a finished run on one screen or as one JSON object. */
#ifndef SLUICE_COMMAND_SUMMARY_H
#define SLUICE_COMMAND_SUMMARY_H
#include "command/run.h"

/* RUN/store.json: documents, tokens, bytes, weights and epochs per domain; the report and people
 * read it. */
int summary_store_json(struct run *r);
/* To stdout: text for people, or JSON. */
int summary_print(struct run *r, bool json);
#endif
