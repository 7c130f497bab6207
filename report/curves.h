/* curves - a training log of any length as some thousand points. */
#ifndef SLUICE_REPORT_CURVES_H
#define SLUICE_REPORT_CURVES_H
#include "core/base.h"

enum { CURVE_POINTS = 1024, CURVE_EVALS = 256, CURVE_DOMAINS = 8 };
/* Means over runs of equally many rows; NaN where no row had the number. */
struct curves {
    int count;
    double step[CURVE_POINTS], loss[CURVE_POINTS], lr[CURVE_POINTS], grad_norm[CURVE_POINTS];
    uint64_t rows, not_finite;   /* rows with a loss that is no number */
    double tokens;               /* trained on, in all rows */
    double last_step, last_loss; /* last_loss: mean of the last point */
    double anneal_step;          /* first row of the anneal; NaN when there is none */
    /* Bits per byte of held-out texts while training, of the first domains seen. */
    int eval_count, domain_count;
    double eval_step[CURVE_EVALS], eval[CURVE_DOMAINS][CURVE_EVALS];
    char domain[CURVE_DOMAINS][48];
};
/* 1 when RUN/train/train.jsonl was read, 0 when there is none. Where a resumed run wrote steps
 * again, the later ones count. */
int curves_read(const char *run_dir, struct curves *out);
#endif
