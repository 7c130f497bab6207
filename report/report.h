/* report - pages people look at: one self-contained report.html from a run's ledger, metrics and training log. */
#ifndef SLUICE_REPORT_REPORT_H
#define SLUICE_REPORT_REPORT_H
#include "core/ledger.h"
#include "core/str.h"

/* Reads RUN/{run.json,ledger/,dedup/clusters.bin,store.json,train/train.jsonl,eval.json,samples.jsonl} (what is absent
 * leaves its section out) and writes RUN/report.html and RUN/report.json. Offline, no script needed to read it, CSP,
 * everything escaped, light and dark. */
int report_write(const char *run_dir);

/* ---- SVG pieces (report/svg.c): appended to buf, sized by viewBox, colours by CSS classes ---- */
struct svg_bar { struct str label; double value; struct str note; };
void svg_bars(struct buf *to, const char *title, const struct svg_bar *bars, int count);
void svg_histogram(struct buf *to, const double *edges, const uint64_t *counts, int bins, double threshold, int sense, const char *unit);
struct svg_series { const char *name; const double *x, *y; int count; };
void svg_lines(struct buf *to, const struct svg_series *series, int count, const char *x_label, const char *y_label,
               double mark_x, const char *mark_label);
void html_escape(struct buf *to, struct str s);   /* also drops control characters */
#endif
