/* extract_show - `sluice extract --explain`: every block of a page, its score, and why. */
#ifndef SLUICE_COMMAND_EXTRACT_SHOW_H
#define SLUICE_COMMAND_EXTRACT_SHOW_H
#include "core/str.h"
#include "extract/explain.h"

struct show_conf {
    bool colour;
    int columns;             /* of the terminal; lines are cut to it */
    bool whole;              /* blocks are not cut */
};
/* Colour and width of the terminal on standard output: NO_COLOR, TERM, COLUMNS, the window. */
void show_terminal(struct show_conf *out);
/* One page: head, metadata, blocks in page order. Control characters of the page never reach the
 * output. */
void show_page(struct buf *to, const struct show_conf *conf, struct str url,
               enum extract_verdict verdict, const struct explain *e, const struct extract_out *out,
               const struct page_meta *meta);
#endif
