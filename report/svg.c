/* svg - bars, histograms and lines that stretch with the page.
 *
 * Places are percentages of the drawing, sizes of text are not: a chart narrows without shrinking
 * its letters. Polylines cannot be given in percent, so they stand in an inner drawing of 1000 x
 * 1000 units that is stretched, with strokes that are not. */
#include "report/hypertext.h"
#include "report/report.h"

#include <assert.h>
#include <math.h>

enum { BAR_PITCH = 40, LABEL_POINTS = 46, HIST_HEIGHT = 120, LINES_HEIGHT = 230, TICKS_MAX = 12 };

static void open_svg(struct buf *to, const char *kind, int height, const char *title)
{
    buf_printf(to, "<svg class=\"%s\" height=\"%d\" role=\"img\" aria-label=\"", kind, height);
    html_text(to, title);
    buf_text(to, "\">");
}

void svg_bars(struct buf *to, const char *title, const struct svg_bar *bars, int count)
{
    double most = 0;
    for (int i = 0; i < count; i++)
        most = bars[i].value > most ? bars[i].value : most;
    open_svg(to, "bars", count * BAR_PITCH, title);
    for (int i = 0; i < count; i++) {
        int top = i * BAR_PITCH;
        double share = most > 0 && bars[i].value > 0 ? 100 * bars[i].value / most : 0;
        buf_printf(to, "<text class=\"l\" x=\"0\" y=\"%d\">", top + 14);
        html_clip(to, bars[i].label, LABEL_POINTS);
        buf_printf(to, "</text><text x=\"100%%\" y=\"%d\" text-anchor=\"end\">", top + 14);
        html_escape(to, bars[i].note);
        buf_printf(
            to,
            "</text><rect class=\"t\" x=\"0\" y=\"%d\" width=\"100%%\" height=\"10\" rx=\"2\"/>",
            top + 20);
        buf_printf(to,
                   "<rect class=\"k\" x=\"0\" y=\"%d\" width=\"%.2f%%\" height=\"10\" rx=\"2\"/>",
                   top + 20, share);
    }
    buf_text(to, "</svg>\n");
}

/* ---- ticks ---- */
/* Round numbers that part [low, high] into at most max steps; returns how many. */
static int round_ticks(double low, double high, int max, double *tick)
{
    static const double steps[] = {1, 2, 2.5, 5, 10};
    double span = high - low, rough = span / max;
    if (!(span > 0) || !isfinite(span))
        return 0;
    double power = pow(10, floor(log10(rough))), step = power * 10;
    for (size_t i = 0; i < COUNT_OF(steps); i++)
        if (power * steps[i] >= rough * 0.999) {
            step = power * steps[i];
            break;
        }
    int count = 0;
    double first = ceil(low / step - 1e-9);
    for (int i = 0; i <= max && count < TICKS_MAX; i++) {
        double at = (first + i) * step;
        if (at > high + step * 1e-9)
            break;
        tick[count++] = fabs(at) < step * 1e-9 ? 0 : at;
    }
    return count;
}

/* Powers of ten within (low, high), thinned to at most max. */
static int log_ticks(double low, double high, int max, double *tick)
{
    int count = 0, first = low > 0 ? (int)ceil(log10(low) - 1e-9) : 0;
    int last = (int)floor(log10(high) + 1e-9), every = 1;
    while ((last - first) / every + 1 > max)
        every++;
    for (int power = first; power <= last && count < TICKS_MAX; power += every)
        tick[count++] = pow(10, power);
    if (low <= 0 && first == 0 && count > 0 && count < TICKS_MAX && last > 0) {
        for (int i = count; i > 0; i--)
            tick[i] = tick[i - 1];
        tick[0] = 0;
        count++;
    }
    return count;
}

/* ---- histograms ---- */
/* Place of a value on the axis of equally wide bins, in percent, held within the drawing. */
static double hist_place(const struct svg_hist *h, double value)
{
    if (!(value > h->edges[0]))
        return 0;
    if (value >= h->edges[h->bins])
        return 100;
    int low = 0, high = h->bins;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (value < h->edges[middle])
            high = middle;
        else
            low = middle;
    }
    double inside = (value - h->edges[low]) / (h->edges[low + 1] - h->edges[low]);
    return 100 * (low + inside) / h->bins;
}

static void hist_shade(struct buf *to, const struct svg_hist *h, const struct svg_mark *mark)
{
    double at = hist_place(h, mark->at), from = mark->sense > 0 ? at : 0;
    double width = mark->sense > 0 ? 100 - at : at;
    if (mark->sense && width > 0)
        buf_printf(to,
                   "<rect class=\"shade\" x=\"%.2f%%\" y=\"0\" width=\"%.2f%%\" height=\"100%%\"/>",
                   from, width);
}

static void hist_bin(struct buf *to, const struct svg_hist *h, int bin, uint64_t most)
{
    static const char *const rect =
        "<rect class=\"%s\" x=\"%.2f%%\" y=\"%.2f%%\" width=\"%.2f%%\" height=\"%.2f%%\"/>";
    double width = 100.0 / h->bins, gap = h->bins > 80 ? 0 : width * 0.12;
    double all = most ? 100.0 * (double)h->counts[bin] / (double)most : 0;
    double kept = h->kept && h->counts[bin] ? all * (double)h->kept[bin] / (double)h->counts[bin]
                  : h->kept                 ? 0
                                            : all;
    if (h->counts[bin] && all < 0.8) { /* what is there is seen */
        kept = kept > 0 ? kept / all * 0.8 : 0;
        all = 0.8;
    }
    if (all > kept)
        buf_printf(to, rect, "d", bin * width + gap / 2, 100 - all, width - gap, all - kept);
    if (kept > 0)
        buf_printf(to, rect, "k", bin * width + gap / 2, 100 - kept, width - gap, kept);
}

static void hist_ticks(struct buf *to, const struct svg_hist *h)
{
    double tick[TICKS_MAX + 1], low = h->edges[0], high = h->edges[h->bins];
    bool is_log = h->edges[h->bins] - h->edges[h->bins - 1] > 3 * (h->edges[1] - h->edges[0]);
    int count = is_log ? log_ticks(low, high, 5, tick) : round_ticks(low, high, 5, tick);
    double last = -100;
    for (int i = 0; i < count; i++) {
        double at = hist_place(h, tick[i]);
        if (at - last < 12) /* no room for the number */
            continue;
        last = at;
        buf_printf(to, "<line class=\"axis\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>", at,
                   at, HIST_HEIGHT, HIST_HEIGHT + 4);
        buf_printf(to, "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"%s\">", at, HIST_HEIGHT + 17,
                   at < 6    ? "start"
                   : at > 94 ? "end"
                             : "middle");
        html_num(to, tick[i]);
        buf_text(to, "</text>");
    }
}

void svg_hist(struct buf *to, const struct svg_hist *h)
{
    uint64_t most = 0;
    assert(h->bins > 0);
    for (int i = 0; i < h->bins; i++)
        most = h->counts[i] > most ? h->counts[i] : most;
    open_svg(to, "hist", HIST_HEIGHT, h->title);
    for (int i = 0; i < h->mark_count; i++)
        hist_shade(to, h, &h->marks[i]);
    for (int i = 0; i < h->bins; i++)
        hist_bin(to, h, i, most);
    buf_text(to, "<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"100%\" y2=\"100%\"/>");
    for (int i = 0; i < h->mark_count; i++) {
        double at = hist_place(h, h->marks[i].at);
        if (h->marks[i].at < h->edges[0] || h->marks[i].at > h->edges[h->bins])
            continue;
        buf_printf(to, "<line class=\"mark\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"-4\" y2=\"100%%\"/>",
                   at, at);
    }
    hist_ticks(to, h);
    buf_text(to, "</svg>\n");
}

/* ---- lines ---- */
struct frame {
    double x_low, x_high, y_low, y_high;
};

static void widen(double *low, double *high, double value)
{
    if (!isfinite(value))
        return;
    *low = value < *low ? value : *low;
    *high = value > *high ? value : *high;
}

static bool find_frame(const struct svg_series *series, int count, struct frame *f)
{
    *f = (struct frame){INFINITY, -INFINITY, INFINITY, -INFINITY};
    for (int i = 0; i < count; i++)
        for (int k = 0; k < series[i].count; k++) {
            widen(&f->x_low, &f->x_high, series[i].x[k]);
            widen(&f->y_low, &f->y_high, series[i].y[k]);
        }
    if (!(f->x_low <= f->x_high) || !(f->y_low <= f->y_high))
        return false;
    double pad = (f->y_high - f->y_low) * 0.04;
    if (pad == 0)
        pad = f->y_high != 0 ? fabs(f->y_high) * 0.1 : 1;
    f->y_low = f->y_low >= 0 && f->y_low < pad ? 0 : f->y_low - pad;
    f->y_high += pad;
    if (f->x_low == f->x_high) {
        f->x_low -= 0.5;
        f->x_high += 0.5;
    }
    return true;
}

static double x_place(const struct frame *f, double x)
{
    return (x - f->x_low) / (f->x_high - f->x_low);
}

static double y_place(const struct frame *f, double y)
{
    return (f->y_high - y) / (f->y_high - f->y_low);
}

static void lines_axes(struct buf *to, const struct frame *f, const struct svg_plot *plot)
{
    double tick[TICKS_MAX + 1];
    int count = round_ticks(f->y_low, f->y_high, 5, tick);
    for (int i = 0; i < count; i++) {
        double at = 100 * y_place(f, tick[i]);
        buf_printf(to,
                   "<line class=\"grid-line\" x1=\"0\" x2=\"100%%\" y1=\"%.2f%%\" y2=\"%.2f%%\"/>",
                   at, at);
        buf_printf(to, "<text x=\"-8\" y=\"%.2f%%\" dy=\"4\" text-anchor=\"end\">", at);
        html_num(to, tick[i]);
        buf_text(to, "</text>");
    }
    count = round_ticks(f->x_low, f->x_high, 5, tick);
    for (int i = 0; i < count; i++) {
        double at = 100 * x_place(f, tick[i]);
        buf_printf(to, "<line class=\"axis\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>", at,
                   at, LINES_HEIGHT, LINES_HEIGHT + 4);
        buf_printf(to, "<text x=\"%.2f%%\" y=\"%d\" text-anchor=\"middle\">", at,
                   LINES_HEIGHT + 17);
        if (tick[i] < 1e6)
            html_num(to, tick[i]);
        else
            html_big(to, tick[i]);
        buf_text(to, "</text>");
    }
    buf_text(to, "<line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"100%\" y2=\"100%\"/>");
    buf_printf(to, "<text x=\"50%%\" y=\"%d\" text-anchor=\"middle\">", LINES_HEIGHT + 36);
    html_text(to, plot->x_label);
    buf_text(to, "</text><text x=\"-50\" y=\"-6\">");
    html_text(to, plot->y_label);
    buf_text(to, "</text>");
}

static void lines_series(struct buf *to, const struct frame *f, const struct svg_series *s,
                         int index)
{
    bool open = false;
    for (int k = 0; k < s->count; k++) {
        if (!isfinite(s->y[k]) || !isfinite(s->x[k])) {
            buf_text(to, open ? "\"/>" : "");
            open = false;
            continue;
        }
        if (!open)
            buf_printf(to,
                       "<polyline class=\"s s%d\" vector-effect=\"non-scaling-stroke\" points=\"",
                       index % 4);
        open = true;
        buf_printf(to, "%.1f,%.1f ", 1000 * x_place(f, s->x[k]), 1000 * y_place(f, s->y[k]));
    }
    buf_text(to, open ? "\"/>" : "");
}

static void lines_mark(struct buf *to, double place, const char *label)
{
    bool left = place > 0.7;
    buf_printf(to, "<line class=\"mark\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"-2\" y2=\"100%%\"/>",
               100 * place, 100 * place);
    buf_printf(to, "<text x=\"%.2f%%\" dx=\"%d\" y=\"-6\" text-anchor=\"%s\">", 100 * place,
               left ? 4 : -4, left ? "end" : "start");
    html_text(to, label ? label : "");
    buf_text(to, "</text>");
}

void svg_lines(struct buf *to, const struct svg_plot *plot)
{
    struct frame f;
    if (!find_frame(plot->series, plot->count, &f))
        return;
    if (plot->count > 1) {
        buf_text(to, "<div class=\"legend\">");
        for (int i = 0; i < plot->count; i++) {
            buf_printf(to, "<span><i class=\"i%d\"></i>", i % 4);
            html_text(to, plot->series[i].name);
            buf_text(to, "</span>");
        }
        buf_text(to, "</div>");
    }
    open_svg(to, "plot", LINES_HEIGHT, plot->y_label);
    lines_axes(to, &f, plot);
    buf_text(to, "<svg width=\"100%\" height=\"100%\" viewBox=\"0 0 1000 1000\" "
                 "preserveAspectRatio=\"none\">");
    for (int i = 0; i < plot->count; i++)
        lines_series(to, &f, &plot->series[i], i);
    buf_text(to, "</svg>");
    if (plot->mark_x >= f.x_low && plot->mark_x <= f.x_high)
        lines_mark(to, x_place(&f, plot->mark_x), plot->mark_label);
    buf_text(to, "</svg>\n");
}
