/* test_filter_twin - slow twins: the rules once more, naively, by comparing strings instead of
 * hashes, over random texts with many repeats and over real pages. They share only core's word
 * and line views. */
#include "core/io.h"
#include "core/unicode.h"
#include "filter/text_scan.h"
#include "tests/filter_run.h"

#include <math.h>

enum { PIECES_MAX = 4000 };
/* A text cut into pieces, each with its characters. */
struct pieces {
    struct str piece[PIECES_MAX];
    int count;
};

static double chars_of(struct str s)
{
    double count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return count;
}

static bool is_blank(uint32_t cp)
{
    return uc_is_space(cp) || cp == 0x200B || (cp > 127 && uc_is_ignorable(cp));
}

static struct str slow_trim(struct str s)
{
    size_t start = s.len, end = 0;
    for (size_t at = 0; at < s.len;) {
        uint32_t cp;
        size_t len = (size_t)utf8_decode(s.ptr + at, s.ptr + s.len, &cp);
        if (!is_blank(cp)) {
            start = at < start ? at : start;
            end = at + len;
        }
        at += len;
    }
    return end ? str_slice(s, start, end) : (struct str){s.ptr, 0};
}

static void slow_lines(struct str text, struct pieces *out)
{
    struct str rest = text;
    out->count = 0;
    while (rest.ptr) {
        struct str line = slow_trim(str_cut(rest, '\n', &rest));
        CHECK(out->count < PIECES_MAX);
        if (line.len)
            out->piece[out->count++] = line;
    }
}

/* Paragraphs keep their inner line breaks; no text here has blanks at the ends of inner lines. */
static void slow_paragraphs(struct str text, struct pieces *out)
{
    struct str rest = text, open = {0};
    out->count = 0;
    while (rest.ptr) {
        struct str line = slow_trim(str_cut(rest, '\n', &rest));
        if (line.len)
            open =
                open.ptr ? (struct str){open.ptr, (size_t)(line.ptr + line.len - open.ptr)} : line;
        if ((line.len == 0 || !rest.ptr) && open.ptr) {
            CHECK(out->count < PIECES_MAX);
            out->piece[out->count++] = open;
            open = (struct str){0};
        }
    }
}

static void slow_copies(const struct pieces *p, struct str text, double *share, double *chars)
{
    int copies = 0;
    *chars = 0;
    for (int i = 0; i < p->count; i++) {
        int k = 0;
        while (k < i && !str_eq(p->piece[k], p->piece[i]))
            k++;
        copies += k < i;
        *chars += k < i ? chars_of(p->piece[i]) : 0;
    }
    *share = p->count ? (double)copies / p->count : 0;
    *chars /= text.len ? chars_of(text) : 1;
}

static bool same_gram(const struct pieces *p, int a, int b, int n)
{
    for (int k = 0; k < n; k++)
        if (!str_eq(p->piece[a + k], p->piece[b + k]))
            return false;
    return true;
}

static double gram_chars(const struct pieces *p, int at, int n)
{
    double chars = 0;
    for (int k = 0; k < n; k++)
        chars += chars_of(p->piece[at + k]);
    return chars;
}

static double slow_top(const struct pieces *p, int n)
{
    int best = 0, best_at = 0;
    for (int i = 0; i + n <= p->count; i++) {
        int count = 0;
        for (int k = 0; k + n <= p->count; k++)
            count += same_gram(p, i, k, n);
        if (count > best) {
            best = count;
            best_at = i;
        }
    }
    return best ? (gram_chars(p, best_at, n) + n - 1) * best : 0;
}

static double slow_dup(const struct pieces *p, int n)
{
    double chars = 0;
    bool visited[PIECES_MAX] = {0};
    for (int i = 0; i + n <= p->count;) {
        int k = 0;
        while (k < i && !(visited[k] && same_gram(p, k, i, n)))
            k++;
        if (k < i) {
            chars += gram_chars(p, i, n);
            i += n;
        } else {
            visited[i++] = true;
        }
    }
    return chars;
}

static void check_repetition(struct filter_run *r, struct str text)
{
    static struct pieces words, lines, paragraphs;
    struct doc *d = filter_run_text(r, text, "en");
    struct view view = doc_words(r->batch, d);
    CHECK(view.count < PIECES_MAX);
    words.count = (int)view.count;
    for (uint32_t i = 0; i < view.count; i++)
        words.piece[i] = span_str(text, view.span[i]);
    double len = text.len ? chars_of(text) : 1, share, chars;
    slow_lines(text, &lines);
    slow_copies(&lines, text, &share, &chars);
    CHECK_NUM(filter_run_signal(r, d, "gopher_repetition.dup_lines"), share, 1e-6);
    CHECK_NUM(filter_run_signal(r, d, "gopher_repetition.dup_line_chars"), chars, 1e-6);
    slow_paragraphs(text, &paragraphs);
    slow_copies(&paragraphs, text, &share, &chars);
    CHECK_NUM(filter_run_signal(r, d, "gopher_repetition.dup_paragraphs"), share, 1e-6);
    CHECK_NUM(filter_run_signal(r, d, "gopher_repetition.dup_paragraph_chars"), chars, 1e-6);
    for (int n = 2; n <= 10; n++) {
        char name[64];
        snprintf(name, sizeof name,
                 n <= 4 ? "gopher_repetition.top_%d_gram" : "gopher_repetition.dup_%d_grams", n);
        double want = (n <= 4 ? slow_top(&words, n) : slow_dup(&words, n)) / len;
        CHECK_NUM(filter_run_signal(r, d, name), want < 1 ? want : 1, 1e-6);
    }
}

/* A text of words drawn from few, so that n-grams of every length repeat. */
static void random_text(uint64_t *state, struct buf *out)
{
    static const char *const words[] = {"a",  "the",   "of", "house", "naïve", "的",  "是",
                                        "x1", "don't", "…",  "--",    "Über",  "3.14"};
    int vocabulary = 2 + (int)(test_random(state) % (COUNT_OF(words) - 1)),
        count = (int)(test_random(state) % 250);
    buf_clear(out);
    for (int i = 0; i < count; i++) {
        uint64_t draw = test_random(state);
        buf_text(out, words[draw % (uint64_t)vocabulary]);
        draw = draw >> 32 & 15;
        buf_text(out, draw == 0   ? "\n\n"
                      : draw <= 2 ? "\n"
                      : draw == 3 ? ". "
                      : draw == 4 ? "\n \n"
                                  : " ");
    }
}

TEST(filter_twin_repetition)
{
    struct filter_run r;
    struct buf text = {0};
    uint64_t state = 1;
    filter_run_start(&r, "gopher_repetition", NULL);
    for (int i = 0; i < 300; i++) {
        random_text(&state, &text);
        check_repetition(&r, line_trim(buf_view(&text)));
    }
    buf_free(&text);
    filter_run_close(&r);
}

static void check_lines(struct filter_run *r, struct str text)
{
    static struct pieces lines;
    struct doc *d = filter_run_text(r, text, "en");
    slow_lines(text, &lines);
    double ended = 0, brief = 0, share, chars, breaks = 0;
    slow_copies(&lines, text, &share, &chars);
    for (int i = 0; i < lines.count; i++) {
        double width = chars_of(lines.piece[i]);
        uint32_t cp, last = 0;
        for (size_t at = 0; at < lines.piece[i].len;
             at += (size_t)utf8_decode(lines.piece[i].ptr + at,
                                       lines.piece[i].ptr + lines.piece[i].len, &cp)) {
            utf8_decode(lines.piece[i].ptr + at, lines.piece[i].ptr + lines.piece[i].len, &cp);
            width += uc_is_spaceless(cp) ? 2 : 0;
            last = char_closes(cp) ? last : cp;
        }
        ended += last == '.';
        brief += width <= 30;
    }
    for (size_t i = 0; i < text.len; i++)
        breaks += text.ptr[i] == '\n';
    double total = lines.count ? lines.count : 1, len = chars_of(text);
    CHECK_NUM(filter_run_signal(r, d, "fineweb.lines"), lines.count, 0);
    CHECK_NUM(filter_run_signal(r, d, "fineweb.line_punct"), ended / total, 1e-6);
    CHECK_NUM(filter_run_signal(r, d, "fineweb.short_lines"), brief / total, 1e-6);
    if (len > breaks)
        CHECK_NUM(filter_run_signal(r, d, "fineweb.char_dup"), chars * len / (len - breaks), 1e-6);
    double words = doc_words(r->batch, d).count;
    if (words > 0)
        CHECK_NUM(filter_run_signal(r, d, "fineweb.list_ratio"), breaks / words, 1e-6);
    else
        CHECK(isnan(filter_run_signal(r, d, "fineweb.list_ratio")));
}

TEST(filter_twin_fineweb)
{
    struct filter_run r;
    struct buf text = {0};
    uint64_t state = 2;
    filter_run_start(&r, "fineweb", NULL);
    for (int i = 0; i < 1000; i++) {
        random_text(&state, &text);
        check_lines(&r, line_trim(buf_view(&text)));
    }
    buf_free(&text);
    filter_run_close(&r);
}

/* A document in a batch, after others in the same scratch, measures as it does alone. */
TEST(filter_twin_batch_equals_alone)
{
    enum { DOCS = 60 };
    for (int f = 0; filters[f]; f++) {
        struct filter_run many, one;
        static char *texts[DOCS];
        struct buf text = {0};
        uint64_t state = 3;
        filter_run_start(&many, filters[f]->name, NULL);
        filter_run_start(&one, filters[f]->name, NULL);
        for (int i = 0; i < DOCS; i++) {
            random_text(&state, &text);
            buf_text(&text, "\nlast line with javascript in it");
            texts[i] = strdup(buf_cstr(&text));
            struct doc *d = batch_add(many.batch);
            d->url = STR("https://example.com/");
            d->host = STR("example.com");
            snprintf(d->lang, sizeof d->lang, "en");
            doc_set_text(d, str_of(texts[i]));
        }
        CHECK_OK(many.stage.type->run(&many.stage, many.local, many.batch));
        for (int i = 0; i < DOCS; i++) {
            struct doc *alone = filter_run_text(&one, str_of(texts[i]), "en"),
                       *d = &many.batch->doc[i];
            CHECK(memcmp(alone->signal, d->signal, SIGNALS_MAX * sizeof d->signal[0]) == 0);
            CHECK(alone->rule == d->rule && memcmp(alone->also, d->also, sizeof d->also) == 0);
            CHECK(str_eq(alone->text, d->text));
            free(texts[i]);
        }
        buf_free(&text);
        filter_run_close(&many);
        filter_run_close(&one);
    }
}
