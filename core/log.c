/* log - lines and progress on stderr for people, rows of metrics.jsonl for programs. */
#include "core/log.h"

#include "core/err.h"
#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, COLUMNS_PRESET = 100 };
static const uint64_t second = 1000000000u;

/* lock guards what is on the screen; nothing is computed while it is held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum log_level level = LOG_INFO;
static bool terminal, colour;
static bool drawn; /* a progress line without its \n is on the screen */

void log_open(enum log_level wanted)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    bool dumb = !term || !*term || strcmp(term, "dumb") == 0;
    level = wanted;
    terminal = isatty(STDERR_FILENO) && !dumb;
    colour = terminal && !(no_colour && *no_colour);
}

bool log_is_terminal(void) { return terminal; }

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * second + (uint64_t)now.tv_nsec;
}

/* One screen line: URLs and error texts come from strangers, so control characters (which move
 * cursors and set titles), their C1 forms, bytes that are not UTF-8 and the marks that turn the
 * direction of text become '?'; a line end becomes a space. */
static size_t clean(const char *from, char *to, size_t to_bytes)
{
    const char *end = from + strlen(from);
    size_t len = 0;
    while (from < end && len + 4 < to_bytes) {
        uint32_t cp;
        int taken = utf8_decode(from, end, &cp);
        bool broken = taken == 1 && cp == 0xFFFD;
        bool bidi = (cp >= 0x202A && cp <= 0x202E) || (cp >= 0x2066 && cp <= 0x2069);
        if (cp == '\n' || cp == '\t' || cp == '\r') {
            to[len++] = ' ';
        } else if (cp < 0x20 || (cp >= 0x7F && cp < 0xA0) || broken || bidi) {
            to[len++] = '?';
        } else {
            memcpy(to + len, from, (size_t)taken);
            len += (size_t)taken;
        }
        from += taken;
    }
    to[len] = 0;
    return len;
}

/* stderr may be a closed pipe or a full disk: then there is nobody left to tell. */
static void write_all(const char *bytes, size_t len)
{
    while (len) {
        ssize_t put = write(STDERR_FILENO, bytes, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return;
        bytes += put;
        len -= (size_t)put;
    }
}

static void say(const char *mark, const char *mark_colour, const char *fmt, va_list args)
{
    char raw[LINE_MAX_BYTES], line[LINE_MAX_BYTES], whole[LINE_MAX_BYTES + 64];
    vsnprintf(raw, sizeof raw, fmt, args);
    clean(raw, line, sizeof line);
    pthread_mutex_lock(&lock);
    int len = snprintf(whole, sizeof whole, "%s%s%s%s%s\n", drawn ? "\r\033[K" : "",
                       colour ? mark_colour : "", mark, colour && *mark_colour ? "\033[0m" : "",
                       line);
    drawn = false;
    write_all(whole, (size_t)len);
    pthread_mutex_unlock(&lock);
}

void log_info(const char *fmt, ...)
{
    if (level < LOG_INFO)
        return;
    va_list args;
    va_start(args, fmt);
    say("", "", fmt, args);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    if (level < LOG_WARN)
        return;
    va_list args;
    va_start(args, fmt);
    say("warning: ", "\033[33m", fmt, args);
    va_end(args);
}

void log_debug(const char *fmt, ...)
{
    if (level < LOG_DEBUG)
        return;
    va_list args;
    va_start(args, fmt);
    say("debug: ", "\033[2m", fmt, args);
    va_end(args);
}

/* ---- progress ---- */

/* 950, 4.1k, 12M, 3.5B: rates move, more figures would only flicker. */
static void print_short(char out[16], double value)
{
    static const char unit[] = " kMBT";
    int i = 0;
    while (value >= 999.5 && i < 4) {
        value /= 1000;
        i++;
    }
    if (i == 0)
        snprintf(out, 16, value < 10 && value != floor(value) ? "%.1f" : "%.0f", value);
    else
        snprintf(out, 16, value < 9.95 ? "%.1f%c" : "%.0f%c", value, unit[i]);
}

/* 412, 99999, 1.23M: counts are exact while they are short. */
static void print_count(char out[24], uint64_t value)
{
    static const char unit[] = "kMBT";
    double scaled = (double)value / 1000;
    int i = 0;
    if (value < 100000) {
        snprintf(out, 24, "%llu", (unsigned long long)value);
        return;
    }
    for (; scaled >= 999.5 && i < 3; i++)
        scaled /= 1000;
    snprintf(out, 24, "%.*f%c", scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0, scaled, unit[i]);
}

static void print_bytes(char out[24], double value)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    int i = 0;
    while (value >= 999.5 && i < 5) {
        value /= 1000;
        i++;
    }
    snprintf(out, 24, i && value < 99.95 ? "%.1f %s" : "%.0f %s", value, unit[i]);
}

static void print_time(char out[24], double seconds)
{
    uint64_t s = seconds < 0 ? 0 : seconds > 3.6e8 ? 360000000 : (uint64_t)(seconds + 0.5);
    unsigned days = (unsigned)(s / 86400), hours = (unsigned)(s / 3600 % 24);
    unsigned minutes = (unsigned)(s / 60 % 60), rest = (unsigned)(s % 60);
    if (days)
        snprintf(out, 24, "%ud%02uh", days, hours);
    else if (hours)
        snprintf(out, 24, "%uh%02um", hours, minutes);
    else if (minutes)
        snprintf(out, 24, "%um%02us", minutes, rest);
    else
        snprintf(out, 24, "%us", rest);
}

/* Share done, by bytes where their total is known (files and records differ too much), or -1. */
static double share_done(const struct progress *p, uint64_t done, uint64_t bytes)
{
    double share = -1;
    if (p->bytes_total)
        share = (double)bytes / (double)p->bytes_total;
    else if (p->total)
        share = (double)done / (double)p->total;
    return share > 1 ? 1 : share;
}

void progress_text(const struct progress *p, uint64_t elapsed_ns, bool final, struct buf *to)
{
    char a[24], b[24];
    uint64_t done = atomic_load(&p->done), bytes = atomic_load(&p->bytes);
    uint64_t kept = atomic_load(&p->kept);
    double seconds = (double)elapsed_ns / (double)second;
    double share = share_done(p, done, bytes);
    print_count(a, done);
    buf_printf(to, "%s  %s", p->what, a);
    if (p->total) {
        print_count(b, p->total);
        buf_printf(to, "/%s", b);
    }
    buf_printf(to, " %s", p->unit);
    if (share >= 0 && !final)
        buf_printf(to, "  %d%%", (int)(share * 100));
    if (bytes && final) {
        print_bytes(b, (double)bytes);
        buf_printf(to, "  %s", b);
    }
    if (seconds > 0.05 && bytes) {
        print_bytes(b, (double)bytes / seconds);
        buf_printf(to, "  %s/s", b);
    }
    if (seconds > 0.05 && done) {
        print_short(a, (double)done / seconds);
        buf_printf(to, "  %s %s/s", a, p->unit);
    }
    if (p->show_kept && done)
        buf_printf(to, "  kept %.1f%%", 100.0 * (double)kept / (double)done);
    print_time(a, seconds);
    if (final) {
        buf_printf(to, "  in %s", a);
    } else if (share > 0 && seconds > 1) {
        print_time(b, seconds * (1 - share) / share);
        buf_printf(to, "  ETA %s", b);
    }
}

static size_t screen_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 10)
        return size.ws_col;
    return COLUMNS_PRESET;
}

/* Cuts at the last column: a wrapped line could not be drawn over. */
static size_t cut_columns(const char *line, size_t len, size_t columns)
{
    size_t at = 0;
    while (at < len && columns--) {
        uint32_t cp;
        at += (size_t)utf8_decode(line + at, line + len, &cp);
    }
    return at;
}

static void draw(const struct progress *p, uint64_t now, bool final, const char *tail)
{
    struct buf text = {.max = LINE_MAX_BYTES};
    char line[LINE_MAX_BYTES];
    if (level < LOG_INFO)
        return;
    progress_text(p, now - p->start_ns, final, &text);
    if (tail)
        buf_printf(&text, "  %s", tail);
    size_t len = clean(buf_cstr(&text), line, sizeof line);
    buf_clear(&text);
    bool moving = terminal && !final;
    if (moving)
        len = cut_columns(line, len, screen_columns() - 1);
    pthread_mutex_lock(&lock);
    if (drawn || moving)
        buf_text(&text, "\r\033[K");
    buf_add(&text, line, len);
    if (!moving)
        buf_char(&text, '\n');
    drawn = moving;
    write_all(text.ptr, text.len);
    pthread_mutex_unlock(&lock);
    buf_free(&text);
}

void progress_begin(struct progress *p, const char *what, const char *unit, uint64_t total)
{
    snprintf(p->what, sizeof p->what, "%s", what);
    p->unit = unit;
    p->total = total;
    p->bytes_total = 0;
    p->show_kept = false;
    atomic_init(&p->done, 0);
    atomic_init(&p->bytes, 0);
    atomic_init(&p->kept, 0);
    p->start_ns = clock_ns();
    atomic_init(&p->shown_ns, p->start_ns);
}

/* True for the one thread that may draw now. */
static bool is_due(struct progress *p, uint64_t now)
{
    uint64_t pause = terminal ? second / 5 : 30 * second;
    uint64_t shown = atomic_load_explicit(&p->shown_ns, memory_order_relaxed);
    return now > shown && now - shown >= pause &&
           atomic_compare_exchange_strong(&p->shown_ns, &shown, now);
}

void progress_add(struct progress *p, uint64_t done, uint64_t bytes, uint64_t kept)
{
    atomic_fetch_add_explicit(&p->done, done, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->kept, kept, memory_order_relaxed);
    uint64_t now = clock_ns();
    if (is_due(p, now))
        draw(p, now, false, NULL);
}

void progress_note(struct progress *p, const char *fmt, ...)
{
    char tail[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(tail, sizeof tail, fmt, args);
    va_end(args);
    uint64_t now = clock_ns();
    atomic_store(&p->shown_ns, now);
    draw(p, now, false, tail);
}

void progress_end(struct progress *p) { draw(p, clock_ns(), true, NULL); }

/* ---- metrics ---- */

static pthread_mutex_t metrics_lock = PTHREAD_MUTEX_INITIALIZER;
static int metrics_fd = -1;

int metrics_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_sys("open %s", path);
    /* A kill may have left half a row: end it, so that only that one is lost. */
    off_t size = lseek(fd, 0, SEEK_END);
    char last = '\n';
    if (size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n' && write(fd, "\n", 1) < 0) {
        int rc = err_sys("write %s", path);
        close(fd);
        return rc;
    }
    pthread_mutex_lock(&metrics_lock);
    if (metrics_fd >= 0)
        close(metrics_fd);
    metrics_fd = fd;
    pthread_mutex_unlock(&metrics_lock);
    return 0;
}

void metric(const char *name, double value, const char *unit)
{
    struct timespec now;
    struct buf row = {.max = LINE_MAX_BYTES};
    struct json_writer json;
    clock_gettime(CLOCK_REALTIME, &now);
    json_begin(&json, &row);
    json_open(&json, '{');
    json_field_num(&json, "time", (double)now.tv_sec + floor((double)now.tv_nsec / 1e6) / 1e3);
    json_field_text(&json, "name", name);
    json_field_num(&json, "value", value);
    json_field_text(&json, "unit", unit);
    json_close(&json, '}');
    buf_char(&row, '\n');
    pthread_mutex_lock(&metrics_lock);
    /* One write a row, appended: rows of several processes never mix. What goes wrong here is said
     * once and stops nothing. */
    if (metrics_fd >= 0 && !row.failed && write(metrics_fd, row.ptr, row.len) < 0) {
        log_warn("metrics: cannot be written any more: %s", strerror(errno));
        close(metrics_fd);
        metrics_fd = -1;
    }
    pthread_mutex_unlock(&metrics_lock);
    buf_free(&row);
}

void metrics_close(void)
{
    pthread_mutex_lock(&metrics_lock);
    if (metrics_fd >= 0)
        close(metrics_fd);
    metrics_fd = -1;
    pthread_mutex_unlock(&metrics_lock);
}
