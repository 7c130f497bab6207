/* report - pages people look at: one self-contained report.html from a run's ledger and logs. */
#ifndef SLUICE_REPORT_REPORT_H
#define SLUICE_REPORT_REPORT_H
#include "core/ledger.h"
#include "core/str.h"

/* Reads RUN/{run.json,ledger/,store.json,train/train.jsonl,eval.json,samples.jsonl,
 * tokenizer/report.json} (ledger and tokenizer of the run that this one is on); what is absent
 * leaves its section out, what is damaged but the ledger is told in the page's warnings. Writes
 * RUN/report.html (offline, no script, Content-Security-Policy, all text escaped, light and dark,
 * printable) and RUN/report.json with the same figures. The ledger is walked twice; memory does not
 * grow with it. */
int report_write(const char *run_dir);

/* ---- SVG pieces (report/svg.c): HTML fragments appended to buf. Charts take the width of their
 * container while text keeps its size, so they read the same on a phone; colours come from CSS
 * classes. ---- */
struct svg_bar {
    struct str label;
    double value;
    struct str note; /* at the right end of the label's line; may be empty */
};
/* Bars from zero, longest = the largest value; label and note stand above their bar. */
void svg_bars(struct buf *to, const char *title, const struct svg_bar *bars, int count);

struct svg_mark {
    double at; /* on the x axis */
    int sense; /* +1: the side above is shaded as dropping, -1: the side below, 0: only a line */
};
struct svg_hist {
    const char *title;
    const double *edges;    /* [bins + 1], ascending; bins are drawn equally wide */
    const uint64_t *counts; /* [bins] */
    const uint64_t *kept;   /* [bins] part of counts drawn as kept; NULL: no parts */
    int bins;
    const struct svg_mark *marks; /* those outside of the edges have no line */
    int mark_count;
};
void svg_hist(struct buf *to, const struct svg_hist *hist);

struct svg_series {
    const char *name;
    const double *x, *y; /* NaN in y breaks the line */
    int count;
};
struct svg_plot {
    const struct svg_series *series; /* [count] */
    int count;
    const char *x_label, *y_label;
    double mark_x;          /* a vertical line there; NaN: none */
    const char *mark_label; /* beside it; NULL: nothing */
};
/* Lines over linear axes; nothing where no point is finite. */
void svg_lines(struct buf *to, const struct svg_plot *plot);

/* Text of the web, made safe: markup escaped; control characters, bidi controls and other invisible
 * formats and bytes that are not UTF-8 become U+FFFD; towers of marks are cut. Newlines stay. */
void html_escape(struct buf *to, struct str s);
#endif
