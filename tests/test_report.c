/* test_report - a made-up run whose every figure is counted again here, and pages full of hostile
 * text. */
#include "report/report.h"
#include "core/hash.h"
#include "core/json.h"
#include "tests/test.h"

#include <math.h>

enum { ROWS = 6000, FILES = 2, CLUSTER_EVERY = 40 };
enum { S_SCORE, S_WORDS, S_LENGTH, S_SYMBOLS, S_QUALITY, S_NEVER, S_FIXED, SIGNALS };
enum {
    R_URL = 1,
    R_LANG,
    R_SHORT,
    R_LONG,
    R_LENGTH_LOW,
    R_LENGTH_HIGH,
    R_SYMBOLS,
    R_QUALITY,
    R_DUP,
    R_IDLE,
    RULES
};

static const struct {
    const char *stage, *name;
    int signal;
    double threshold;
    int sense;
} rules[RULES] = {
    [R_URL] = {"source", "source.status", -1, NAN, 0},
    [R_LANG] = {"language", "language.low_score", S_SCORE, 0.65, -1},
    [R_SHORT] = {"gopher", "gopher.min_words", S_WORDS, 50, -1},
    [R_LONG] = {"gopher", "gopher.max_words", S_WORDS, 100000, 1},
    [R_LENGTH_LOW] = {"gopher", "gopher.min_mean_word_length", S_LENGTH, 3, -1},
    [R_LENGTH_HIGH] = {"gopher", "gopher.max_mean_word_length", S_LENGTH, 10, 1},
    [R_SYMBOLS] = {"gopher", "gopher.max_symbol_word_ratio", S_SYMBOLS, 0.1, 1},
    [R_QUALITY] = {"quality", "quality.min_score", S_QUALITY, 0.35, -1},
    [R_DUP] = {"dedup_minhash", "dedup.near_duplicate", -1, NAN, 0},
    [R_IDLE] = {"exact", "exact.never", -1, NAN, 0},
};

/* What the report must say. */
struct truth {
    uint64_t kept, heldout, dropped, tokens, kept_text, duplicates, clusters;
    uint64_t first[RULES], total[RULES], only[RULES], en_kept, en_dropped;
    double words_least, words_most;
    uint64_t words_measured;
};

static void make_schema(struct schema *s)
{
    static const char *const signal[SIGNALS][2] = {{"language.score", "probability"},
                                                   {"gopher.words", "words"},
                                                   {"gopher.mean_word_length", "letters"},
                                                   {"gopher.symbol_word_ratio", "ratio"},
                                                   {"quality.score", "probability"},
                                                   {"exact.never", ""},
                                                   {"exact.fixed", "things"}};
    schema_init(s);
    for (int i = 0; i < SIGNALS; i++)
        CHECK_INT(schema_signal(s, signal[i][0], signal[i][1]), i);
    for (int i = 1; i < RULES; i++)
        CHECK_INT(schema_rule(s, rules[i].stage, rules[i].name, rules[i].signal, rules[i].threshold,
                              rules[i].sense),
                  i);
}

static double normal(uint64_t seed, uint64_t id)
{
    double u = hash_unit(seed, id) + 1e-12, v = hash_unit(seed + 1000, id);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* Rules that hold for a row, as bits; stages behind the first that drops are not asked. */
static unsigned judge(uint32_t i, float *signal)
{
    unsigned fired = 0;
    for (int s = 0; s < SIGNALS; s++)
        signal[s] = NAN;
    signal[S_FIXED] = 7;
    if (hash_unit(1, i) < 0.04)
        return 1u << R_URL;
    signal[S_SCORE] = (float)(1 - 0.5 * pow(hash_unit(2, i), 6));
    if (signal[S_SCORE] < 0.65f)
        return 1u << R_LANG;
    signal[S_WORDS] = (float)floor(exp(5.4 + 1.3 * normal(3, i)));
    signal[S_LENGTH] = (float)(4.9 + 0.9 * normal(4, i));
    signal[S_SYMBOLS] = (float)(0.02 * exp(normal(5, i)));
    fired |= signal[S_WORDS] < 50 ? 1u << R_SHORT : 0;
    fired |= signal[S_WORDS] > 100000 ? 1u << R_LONG : 0;
    fired |= signal[S_LENGTH] < 3 ? 1u << R_LENGTH_LOW : 0;
    fired |= signal[S_LENGTH] > 10 ? 1u << R_LENGTH_HIGH : 0;
    fired |= signal[S_SYMBOLS] > 0.1f ? 1u << R_SYMBOLS : 0;
    if (fired)
        return fired;
    signal[S_QUALITY] = (float)(1 / (1 + exp(-1.1 - 1.4 * normal(6, i))));
    return signal[S_QUALITY] < 0.35f ? 1u << R_QUALITY : 0;
}

static const char *const hostile_url =
    "http://evil.example/<script>alert(1)</script>?q=\"'&\xE2\x80\xAEgpj.exe";

static void add_row(struct ledger_writer *w, uint32_t i, struct truth *t)
{
    float signal[SIGNALS];
    char url[256], survivor[256], also[512] = "";
    unsigned fired = judge(i, signal);
    /* rows 1 to 7 of every CLUSTER_EVERY are copies of row 0, when both passed the filters */
    float unused[SIGNALS];
    uint32_t head = i / CLUSTER_EVERY * CLUSTER_EVERY;
    uint32_t size = 2 + (head / CLUSTER_EVERY) % 6;
    bool in_cluster = i - head < size && judge(head, unused) == 0 && fired == 0;
    if (in_cluster && i != head)
        fired = 1u << R_DUP;
    int rule = fired ? __builtin_ctz(fired) : 0;
    snprintf(url, sizeof url, "https://site%u.example/page/%u", i % 700, i);
    snprintf(survivor, sizeof survivor, "https://site%u.example/page/%u", head % 700, head);
    for (int r = 1; r < RULES; r++)
        if (fired >> r & 1)
            snprintf(also + strlen(also), sizeof also - strlen(also), "%s%s", *also ? " " : "",
                     rules[r].name);
    bool heldout = !fired && !in_cluster && i % 50 == 3;
    struct ledger_row row = {.id = hash_mix(i),
                             .offset = i * 100ull,
                             .record = i,
                             .raw_bytes = 20000,
                             .text_bytes = 1000 + i,
                             .url = i % 97 == 5 ? str_of(hostile_url) : str_of(url),
                             .host = str_of(url + 8),
                             .lang = i % 9 == 0  ? STR("")
                                     : i % 7 < 4 ? STR("en")
                                     : i % 7 < 6 ? STR("de")
                                                 : STR("fr"),
                             .verdict = fired     ? STR("dropped")
                                        : heldout ? STR("heldout")
                                                  : STR("kept"),
                             .stage = str_of(rule ? rules[rule].stage : ""),
                             .rule = str_of(rule ? rules[rule].name : ""),
                             .value =
                                 rule && rules[rule].signal >= 0 ? signal[rules[rule].signal] : NAN,
                             .threshold = rule ? (float)rules[rule].threshold : NAN,
                             .also = str_of(also),
                             .dup_of = rule == R_DUP ? str_of(survivor) : STR(""),
                             .cluster = in_cluster ? head + 1u : 0,
                             .cluster_size = in_cluster ? size : 0,
                             .domain = STR("web"),
                             .tokens = fired ? 0 : 250,
                             .signal = signal};
    row.host = str_slice(row.host, 0, str_find_char(row.host, '/'));
    CHECK_OK(ledger_add(w, &row));
    t->kept += !fired && !heldout;
    t->heldout += heldout;
    t->dropped += fired != 0;
    t->tokens += row.tokens;
    t->kept_text += fired ? 0 : row.text_bytes;
    t->duplicates += rule == R_DUP;
    t->clusters += in_cluster && i == head;
    t->first[rule]++;
    for (int r = 1; r < RULES; r++) {
        t->total[r] += fired >> r & 1;
        t->only[r] += fired == 1u << r;
    }
    t->en_kept += str_is(row.lang, "en") && !fired;
    t->en_dropped += str_is(row.lang, "en") && fired;
    if (!isnan(signal[S_WORDS])) {
        t->words_measured++;
        t->words_least = fmin(t->words_least, signal[S_WORDS]);
        t->words_most = fmax(t->words_most, signal[S_WORDS]);
    }
}

static void write_ledger(const char *run, uint32_t rows, struct truth *t)
{
    struct schema *schema = malloc(sizeof *schema);
    char path[IO_PATH_MAX];
    *t = (struct truth){.words_least = INFINITY, .words_most = -INFINITY};
    CHECK(schema != NULL);
    make_schema(schema);
    for (uint32_t file = 0; file < FILES; file++) {
        struct ledger_writer *w;
        char source[64];
        snprintf(source, sizeof source, "part-%u.warc.gz", file);
        CHECK_OK(io_path(path, "%s/ledger/%05u.parquet", run, file));
        CHECK_OK(ledger_create(&w, path, source, schema));
        for (uint32_t i = rows * file / FILES; i < rows * (file + 1) / FILES; i++)
            add_row(w, i, t);
        CHECK_OK(ledger_commit(w, NULL));
    }
    free(schema);
}

static void write_text(const char *run, const char *name, struct str text)
{
    char path[IO_PATH_MAX];
    CHECK_OK(io_path(path, "%s/%s", run, name));
    CHECK_OK(io_write_file(path, text));
}

static void write_samples(const char *run)
{
    struct buf text = {0};
    for (int i = 0; i < 60; i++) {
        struct json_writer w;
        bool kept = i % 3 == 0;
        const int rule = 1 + i % (RULES - 2);
        json_begin(&w, &text);
        json_open(&w, '{');
        json_key(&w, "url");
        json_put_str(&w, i % 8 == 1 ? str_of(hostile_url)
                                    : STR("https://example.org/a/rather/long/path/of/a/page.html"));
        json_key(&w, "verdict");
        json_put_str(&w, kept ? STR("kept") : STR("dropped"));
        json_key(&w, "stage");
        json_put_str(&w, str_of(rules[rule].stage));
        json_key(&w, "rule");
        json_put_str(&w, str_of(rules[rule].name));
        json_key(&w, "value");
        json_put_num(&w, rules[rule].threshold * 0.95);
        json_key(&w, "threshold");
        json_put_num(&w, rules[rule].threshold);
        json_key(&w, "lang");
        json_put_str(&w, STR("en"));
        json_key(&w, "text");
        json_put_str(
            &w,
            i % 5 == 2
                ? STR("</div></details><script>alert('x')</script><img src=x onerror=alert(1)> "
                      "\x01\x02 "
                      "\xE2\x80\xAE\xE2\x81\xA6"
                      "reversed Z\xCC\x81\xCC\x82\xCC\x83\xCC\x84\xCC\x85\xCC\x86\xCC\x87 \xFF")
                : STR("The quick brown fox jumps over the lazy dog.\n\nA second paragraph, with a "
                      "longer line that "
                      "has to be wrapped somewhere on every screen, because it goes on and on."));
        json_close(&w, '}');
        buf_char(&text, '\n');
    }
    write_text(run, "samples.jsonl", buf_view(&text));
    buf_free(&text);
}

static void write_training(const char *run, int steps)
{
    struct buf text = {0};
    for (int i = 0; i < steps; i++) {
        bool anneal = i >= steps * 4 / 5;
        double lr = i < 100 ? i / 100.0 * 6e-4 : anneal ? 6e-4 * (steps - i) / (steps / 5.0) : 6e-4;
        double loss = 2.9 + 7.5 * exp(-i / 180.0) -
                      (anneal ? 0.3 * (i - steps * 0.8) / (steps * 0.2) : 0) +
                      0.03 * normal(9, (uint64_t)i);
        buf_printf(&text,
                   "{\"step\":%d,\"phase\":\"%s\",\"loss\":%.5f,\"lr\":%.8f,\"grad_norm\":%.4f}\n",
                   i, anneal ? "anneal" : "stable", loss, lr,
                   0.4 + exp(-i / 60.0) * 3 + 0.05 * fabs(normal(10, (uint64_t)i)));
        if (i % 500 == 499)
            buf_printf(&text, "{\"step\":%d,\"eval\":{\"web\":%.4f,\"<i>books\":%.4f}}\n", i,
                       loss / 2.4, loss / 2.7);
    }
    write_text(run, "train/train.jsonl", buf_view(&text));
    buf_free(&text);
}

static void write_all(const char *run, struct truth *t)
{
    write_ledger(run, ROWS, t);
    write_samples(run);
    write_training(run, 5000);
    write_text(run, "run.json",
               STR("{\"name\":\"fineweb <small> & co\",\"version\":\"sluice "
                   "0.1.0\",\"command\":\"sluice run recipes/fineweb.toml "
                   "--gopher.min_words=50\",\"recipe_hash\":\"9f2c51d0a7\",\"recipe\":\"[[stage]]"
                   "\\nuse = \\\"gopher\\\"\\nmin_words = 50\\n\","
                   "\"inputs\":2,\"shards\":2,\"stages\":[\"url\",\"charset\",\"extract\","
                   "\"language\",\"gopher\",\"exact\",\"quality\"]}"));
    write_text(
        run, "store.json",
        STR("{\"tokens\":1234567,\"vocab\":32768,\"phases\":[{\"name\":\"stable\",\"steps\":900},"
            "{\"name\":\"long<context\",\"steps\":50},{\"name\":\"anneal\",\"steps\":100}],"
            "\"domains\":[{\"name\":\"web\",\"documents\":4000,\"tokens\":1000000,"
            "\"bytes\":4300000,\"shares\":[0.8,0.5,0.3],\"epochs\":[1.25,0.1,0.2]},"
            "{\"name\":\"<b>books</b>\",\"documents\":40,\"tokens\":234567,\"bytes\":1000000,"
            "\"shares\":[0.2,0.5,0.5],\"epochs\":[2,0.1,1.9]}],"
            "\"views\":[{\"name\":\"good\",\"documents\":7,\"tokens\":4321,"
            "\"where\":\"words < 5 and lang == 'en'\",\"shares\":[0,0,0.2],\"epochs\":[0,0]}]}"));
    write_text(run, "eval.json",
               STR("{\"rows\":[{\"domain\":\"web\",\"documents\":80,\"bytes\":412000,\"tokens\":"
                   "98000,\"bits_per_byte\":1.2345,"
                   "\"before_anneal_bits_per_byte\":1.3012,\"unigram\":2.4101,\"xz\":2.0444},"
                   "{\"domain\":\"books\",\"documents\":8,\"bytes\":99000,\"tokens\":21000,\"bits_"
                   "per_byte\":1.1105,"
                   "\"before_anneal_bits_per_byte\":1.2087,\"unigram\":2.3999,\"xz\":2.2210}],"
                   "\"loss_before_anneal\":3.1021,\"loss_after_anneal\":2.9507}"));
    write_text(run, "tokenizer/report.json",
               STR("{\"trained_documents\":7654,\"trained_bytes\":2500000,\"merges\":32511,"
                   "\"last_merge_count\":198,\"weights\":\"mixture\",\"held_out\":{"
                   "\"tokenizers\":[{\"path\":\"tokenizer\",\"vocab\":32768},"
                   "{\"path\":\"<i>cl100k\",\"vocab\":100277}],\"groups\":["
                   "{\"domain\":\"web\",\"lang\":\"en\",\"documents\":60,\"bytes\":300000,"
                   "\"tokens\":[70000,69000],\"bytes_per_token\":[4.281,4.3478],"
                   "\"tokens_per_word\":[1.312,1.2934]},"
                   "{\"domain\":\"<b>books\",\"lang\":\"ja\",\"documents\":8,\"bytes\":99000,"
                   "\"tokens\":[30000,40000],\"bytes_per_token\":[3.3,2.475],"
                   "\"tokens_per_word\":[0.91,null]}],"
                   "\"all\":{\"documents\":68,\"bytes\":399000,\"tokens\":[100000,109000],"
                   "\"bytes_per_token\":[3.99,3.6605],\"tokens_per_word\":[1.2,1.3]}}}"));
}

static struct arena memory;

static struct str read_text(const char *run, const char *name)
{
    char path[IO_PATH_MAX], *bytes;
    size_t len;
    CHECK_OK(io_path(path, "%s/%s", run, name));
    if (!memory.base)
        CHECK_OK(arena_open(&memory, 256 << 20));
    CHECK_OK(io_read_file(path, 64 << 20, &bytes, &len));
    struct str text = arena_str(&memory, (struct str){bytes, len});
    free(bytes);
    return text;
}

static const struct json *read_json(const char *run)
{
    struct json *root;
    CHECK_OK(json_parse(&memory, read_text(run, "report.json"), &root));
    return root;
}

static bool has(struct str page, const char *text)
{
    return str_find(page, str_of(text)) != SIZE_MAX;
}

/* Every tag closed in order, no attribute left open, no control or bidi character: what a browser
 * needs so that text stays text. */
static void check_page(struct str page)
{
    static const char *const empty[] = {"meta", "br", "!doctype"};
    static const char *const banned[] = {
        "<script",      "<img",        "<iframe", "<link",   "<object",
        "<form",        "<base",       "url(",    "@import", "http-equiv=\"refresh",
        "\xE2\x80\xAE", "\xE2\x81\xA6"};
    static const char *const attribute[] = {" src=", " onerror", " onload", " href=\"h",
                                            " href=\"j"};
    char open[64][24];
    int depth = 0;
    CHECK(utf8_valid(page));
    for (size_t i = 0; i < COUNT_OF(banned); i++)
        if (has(page, banned[i]))
            test_fail(__FILE__, __LINE__, "the page has %s", banned[i]);
    for (size_t i = 0; i < page.len; i++) {
        unsigned char c = (unsigned char)page.ptr[i];
        CHECK(c >= 32 || c == '\n' || c == '\t');
        if (c != '<')
            continue;
        bool closes = page.ptr[i + 1] == '/', quoted = false;
        size_t start = i + 1 + closes, end = start;
        while (page.ptr[end] != ' ' && page.ptr[end] != '>' && page.ptr[end] != '/')
            end++;
        struct str name = {page.ptr + start, end - start};
        CHECK(name.len > 0 && name.len < sizeof open[0]);
        for (i = end; quoted || page.ptr[i] != '>'; i++) {
            CHECK(i + 1 < page.len && (quoted || page.ptr[i] != '<'));
            quoted ^= page.ptr[i] == '"';
        }
        for (size_t k = 0; k < COUNT_OF(attribute); k++)
            CHECK(!has(str_slice(page, start, i), attribute[k]));
        bool is_empty = page.ptr[i - 1] == '/';
        for (size_t k = 0; k < COUNT_OF(empty); k++)
            is_empty |= str_is(name, empty[k]);
        if (closes) {
            if (depth == 0 || !str_is(name, open[depth - 1]))
                test_fail(__FILE__, __LINE__, "</%.*s> closes <%s>", STR_ARG(name),
                          depth ? open[depth - 1] : "");
            depth--;
        } else if (!is_empty) {
            CHECK(depth < 64);
            snprintf(open[depth++], sizeof open[0], "%.*s", STR_ARG(name));
        }
    }
    CHECK_INT(depth, 0);
}

static uint64_t count_of(const struct json *object, const char *key)
{
    uint64_t value = UINT64_MAX;
    if (!json_u64(json_get(object, key), &value))
        test_fail(__FILE__, __LINE__, "no count %s", key);
    return value;
}

static const struct json *named(const struct json *array, const char *key, const char *name)
{
    for (const struct json *v = array->child; v; v = v->next)
        if (str_is(json_str(v, key, STR("")), name))
            return v;
    test_fail(__FILE__, __LINE__, "nothing named %s", name);
}

/* The same shares as in store.json, of phases and views too. */
TEST(report_mixture)
{
    struct truth t;
    const char *run = test_dir();
    CHECK_OK(arena_open(&memory, 256 << 20));
    write_all(run, &t);
    CHECK_OK(report_write(run));
    const struct json *mixture = json_get(read_json(run), "mixture");
    const struct json *phases = json_get(mixture, "phases"), *views = json_get(mixture, "views");
    const struct json *books = json_get(mixture, "domains")->child->next;
    CHECK_INT(phases->count, 3);
    CHECK_STR(phases->child->next->string, "long<context");
    CHECK_STR(json_str(books, "name", STR("")), "<b>books</b>");
    CHECK_NUM(json_get(books, "epochs")->child->next->next->number, 1.9, 0);
    CHECK_INT(views->count, 1);
    CHECK_STR(json_str(views->child, "where", STR("")), "words < 5 and lang == 'en'");
    CHECK_NUM(json_get(views->child, "shares")->child->next->next->number, 0.2, 0);
}

/* The table of tokenizer/report.json, also in a run on the store of another; what is no table is
 * left out. */
TEST(report_vocabulary)
{
    struct truth t;
    const char *run = test_dir();
    CHECK_OK(arena_open(&memory, 256 << 20));
    write_all(run, &t);
    CHECK_OK(report_write(run));
    const struct json *v = json_get(read_json(run), "vocabulary");
    CHECK_STR(json_get(v, "tokenizers")->child->next->string, "<i>cl100k");
    const struct json *books = named(json_get(v, "groups"), "domain", "<b>books");
    CHECK_NUM(json_get(books, "bytes_per_token")->child->next->number, 2.475, 0);
    CHECK_NUM(json_get(json_get(v, "all"), "tokens_per_word")->child->number, 1.2, 0);
    struct buf base = {0};
    char other[IO_PATH_MAX];
    buf_printf(&base, "{\"path\":\"%s\"}", run);
    write_text(run, "other/base.json", buf_view(&base));
    buf_free(&base);
    CHECK_OK(io_path(other, "%s/other", run));
    CHECK_OK(report_write(other));
    CHECK(has(read_text(run, "other/report.html"), "<section id=\"vocabulary\">"));
    static const char *const odd[] = {"[]", "{\"held_out\":[]}",
                                      "{\"held_out\":{\"tokenizers\":[],\"groups\":[{}]}}",
                                      "{\"held_out\":{\"tokenizers\":{\"a\":{}},\"groups\":[1]}}"};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        write_text(run, "tokenizer/report.json", str_of(odd[i]));
        CHECK_OK(report_write(run));
        check_page(read_text(run, "report.html"));
        CHECK(!has(read_text(run, "report.html"), "<section id=\"vocabulary\">"));
    }
    write_text(
        run, "tokenizer/report.json",
        STR("{\"held_out\":{\"tokenizers\":[3],\"groups\":[1,{\"bytes\":-5}],\"all\":\"\"}}"));
    CHECK_OK(report_write(run));
    check_page(read_text(run, "report.html"));
}

TEST(report_figures)
{
    struct truth t;
    const char *run = test_dir();
    write_all(run, &t);
    CHECK_OK(report_write(run));
    const struct json *root = read_json(run), *pages = json_get(root, "pages");
    CHECK_INT(count_of(pages, "in"), ROWS);
    CHECK_INT(count_of(pages, "kept"), t.kept);
    CHECK_INT(count_of(pages, "heldout"), t.heldout);
    CHECK_INT(count_of(pages, "dropped"), t.dropped);
    CHECK_INT(count_of(pages, "tokens"), t.tokens);
    CHECK_INT(count_of(pages, "kept_text_bytes"), t.kept_text);
    CHECK_NUM(json_num(pages, "hosts_about", 0), 700, 14);
    for (int r = 1; r < RULES; r++) {
        const struct json *rule = named(json_get(root, "rules"), "name", rules[r].name);
        CHECK_INT(count_of(rule, "first"), t.first[r]);
        CHECK_INT(count_of(rule, "total"), t.total[r]);
        CHECK_INT(count_of(rule, "only"), t.only[r]);
        CHECK_STR(json_str(rule, "stage", STR("")), rules[r].stage);
    }
    const struct json *en = named(json_get(root, "languages"), "lang", "en");
    CHECK_INT(count_of(en, "kept"), t.en_kept);
    CHECK_INT(count_of(en, "dropped"), t.en_dropped);
    const struct json *duplicates = json_get(root, "duplicates");
    CHECK_INT(count_of(duplicates, "pages"), t.duplicates);
    CHECK_INT(count_of(duplicates, "clusters"), t.clusters);
    /* stages: the recipe's order, then the ledger's; what is left at the end was kept */
    static const char *const order[] = {"source", "url",   "charset", "extract",      "language",
                                        "gopher", "exact", "quality", "dedup_minhash"};
    const struct json *stage = json_get(root, "stages")->child;
    for (size_t i = 0; i < COUNT_OF(order); i++, stage = stage->next) {
        CHECK_STR(json_str(stage, "name", STR("")), order[i]);
        if (!stage->next)
            CHECK_INT(count_of(stage, "left"), t.kept + t.heldout);
    }
}

TEST(report_signals)
{
    struct truth t;
    const char *run = test_dir();
    write_all(run, &t);
    CHECK_OK(report_write(run));
    const struct json *root = read_json(run);
    const struct json *words = named(json_get(root, "signals"), "name", "gopher.words");
    CHECK_INT(count_of(words, "measured"), t.words_measured);
    CHECK_NUM(json_num(words, "min", NAN), t.words_least, 0);
    CHECK_NUM(json_num(words, "max", NAN), t.words_most, 0);
    uint64_t all = 0, kept = 0;
    for (const struct json *c = json_get(words, "counts")->child; c; c = c->next)
        all += (uint64_t)c->number;
    for (const struct json *c = json_get(words, "kept")->child; c; c = c->next)
        kept += (uint64_t)c->number;
    CHECK_INT(all, t.words_measured);
    CHECK_INT(kept, t.kept + t.heldout);
    /* the median of exp(5.4 + 1.3 normal) is exp(5.4) = 221; the sample holds every row here */
    const struct json *median = json_get(words, "quantiles")->child->next->next->next->next;
    CHECK_NUM(median->child->number, 0.5, 0);
    CHECK_NUM(median->child->next->number, 221, 15);
    /* bins below the threshold hold exactly the pages below it when it is an edge or between
     * integers */
    const struct json *edge = json_get(words, "edges")->child;
    CHECK(edge->next->number > edge->number);
    CHECK_INT(json_get(named(json_get(root, "signals"), "name", "exact.never"), "counts")->count,
              0);
    CHECK_INT(json_get(named(json_get(root, "signals"), "name", "exact.fixed"), "counts")->count,
              0);
}

TEST(report_page)
{
    struct truth t;
    const char *run = test_dir();
    write_all(run, &t);
    CHECK_OK(report_write(run));
    struct str page = read_text(run, "report.html");
    check_page(page);
    static const char *const wanted[] = {
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'",
        "prefers-color-scheme:dark",
        "fineweb &lt;small&gt; &amp; co",
        "&lt;b&gt;books&lt;/b&gt;",
        "6,000",
        "1.23\u202FM",
        "1.2345",
        "1.3012",
        "Rules that never fired: gopher.max_words, gopher.max_mean_word_length, exact.never.",
        "Stage exact removed 0 of 6000 pages.",
        "Signals that were never measured: exact.never.",
        "Signals with one value on all pages: exact.fixed (7).",
        "annealing from step 4,000",
        "gopher.min_words",
        "below 50",
        "above 100,000",
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;",
        "3.1021 to 2.9507",
        "near the line",
        "Held-out bits per byte",
        "&lt;i&gt;books",
        "weight, long&lt;context</th>",
        "view good<br><span class=\"soft\">words &lt; 5 and lang == &#39;en&#39;</span>",
        "held out for evaluation",
        "min_words = 50",
        "32,511 merges, learned from 7,654 documents (2.50\u202FMB)",
        "each domain counted as the mixture will draw it. The last merge was seen 198 times.",
        "<th class=\"n\">&lt;i&gt;cl100k<br><span class=\"soft\">100,277 tokens</span></th>",
        "<td class=\"n\">4.28</td><td class=\"n\"><b>4.35</b></td></tr>",
        "<td class=\"n\">1.31</td><td class=\"n\"><b>1.29</b></td></tr>",
        "&lt;b&gt;books</td><td>ja</td><td class=\"n\">8</td>",
        "<td class=\"n\"><b>0.91</b></td><td class=\"n\"></td></tr>"};
    for (size_t i = 0; i < COUNT_OF(wanted); i++)
        if (!has(page, wanted[i]))
            test_fail(__FILE__, __LINE__, "the page lacks %s", wanted[i]);
    for (const char *const *id =
             (const char *const[]){"funnel", "rules", "languages", "signals", "samples",
                                   "duplicates", "vocabulary", "mixture", "training", "heldout",
                                   "provenance", NULL};
         *id; id++) {
        char link[64];
        snprintf(link, sizeof link, "<a href=\"#%s\">", *id);
        CHECK(has(page, link));
    }
}

TEST(report_same_bytes)
{
    struct truth t;
    const char *run = test_dir();
    write_all(run, &t);
    CHECK_OK(report_write(run));
    struct str first = read_text(run, "report.html"), first_json = read_text(run, "report.json");
    CHECK_OK(report_write(run));
    CHECK(str_eq(first, read_text(run, "report.html")) &&
          str_eq(first_json, read_text(run, "report.json")));
}

TEST(report_empty_run)
{
    struct truth t;
    const char *run = test_dir();
    CHECK_OK(report_write(run));
    struct str page = read_text(run, "report.html");
    check_page(page);
    CHECK(!has(page, "<section"));
    write_ledger(run, 0, &t);
    CHECK_OK(report_write(run));
    page = read_text(run, "report.html");
    check_page(page);
    CHECK(has(page, "The ledger has no rows"));
    write_ledger(run, 2, &t);
    CHECK_OK(report_write(run));
    check_page(read_text(run, "report.html"));
}

TEST(report_damaged_inputs)
{
    struct truth t;
    const char *run = test_dir();
    write_all(run, &t);
    write_text(run, "store.json", STR("{\"tokens\":"));
    write_text(run, "eval.json", STR("[]"));
    write_text(run, "run.json", STR("{\"name\":5,\"stages\":{\"a\":[1]},\"recipe\":null}"));
    write_text(run, "samples.jsonl", STR("{\"verdict\":\"dropped\",\"text\":3}\nnonsense\n"));
    write_text(run, "train/train.jsonl",
               STR("{\"step\":1,\"loss\":2.5}\n{\"step\":2,\"loss\":null}\n{\"ste"));
    CHECK_OK(report_write(run));
    struct str page = read_text(run, "report.html");
    check_page(page);
    CHECK(has(page, "store.json was left out") && has(page, "eval.json was left out"));
    CHECK(has(page, "samples.jsonl was read in part") && has(page, "line 2"));
    CHECK(has(page, "The loss was not a number in 1 of 2 steps."));
    write_text(run, "ledger/00000.parquet", STR("PAR1 but no more"));
    CHECK_ERR(report_write(run), ERR_FORMAT);
}

/* Steps written twice, more steps than points: the last log wins, the means stay true. */
TEST(report_curves)
{
    const char *run = test_dir();
    struct buf text = {0};
    for (int i = 0; i < 30000; i++)
        buf_printf(&text, "{\"step\":%d,\"phase\":0,\"loss\":9,\"lr\":0.1}\n", i);
    for (int i = 20000; i < 40000; i++)
        buf_printf(&text, "{\"step\":%d,\"phase\":%d,\"loss\":%d,\"lr\":0.1}\n", i, i >= 35000, 2);
    write_text(run, "train/train.jsonl", buf_view(&text));
    buf_free(&text);
    CHECK_OK(report_write(run));
    const struct json *training = json_get(read_json(run), "training");
    CHECK_INT(count_of(training, "last_step"), 39999);
    CHECK_NUM(json_num(training, "last_loss", NAN), 2, 0);
    CHECK_INT(count_of(training, "anneal_step"), 35000);
    struct str page = read_text(run, "report.html");
    check_page(page);
    CHECK(page.len < 200000);
}

TEST(report_escape)
{
    struct buf to = {0};
    html_escape(&to, STR("<a href=\"x\">'&'</a>\n\ttext"));
    CHECK_STR(buf_view(&to), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;\n\ttext");
    buf_clear(&to);
    html_escape(
        &to, STR("\x01\x1B[31m\x7F\xC2\x85\xE2\x80\xAE\xE2\x81\xA9\xE2\x80\x8F\xEF\xBB\xBF\xFF"));
    CHECK_STR(buf_view(&to), "\uFFFD\uFFFD[31m\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
    buf_clear(&to);
    html_escape(&to, STR("می\u200Cخواهم \U0001F469\u200D\U0001F4BB")); /* joiners stay */
    CHECK_STR(buf_view(&to), "می\u200Cخواهم \U0001F469\u200D\U0001F4BB");
    buf_clear(&to);
    html_escape(&to, STR("a\u0301\u0302\u0303\u0304\u0305\u0306\u0307b"));
    CHECK_STR(buf_view(&to), "a\u0301\u0302\u0303\u0304b");
    buf_free(&to);
}

TEST(report_svg)
{
    static const double edges[] = {0, 1, 10, 100, 1000}, x[] = {0, 1, 2}, y[] = {3, NAN, 1},
                        same[] = {5, 5, 5};
    static const uint64_t counts[] = {1, 5, 0, 2}, none[] = {0, 0, 0, 0};
    struct svg_series series[] = {{"a<b", x, y, 3}, {"flat", x, same, 3}};
    struct svg_bar bars[] = {{STR("<x>"), 5, STR("5 & 6")}, {STR("none"), 0, STR("")}};
    struct buf to = {0};
    svg_bars(&to, "bars", bars, 2);
    svg_bars(&to, "no bars", bars, 0);
    const struct svg_hist hists[] = {
        {"words", edges, counts, NULL, 4, &(struct svg_mark){10, -1}, 1},
        {"words", edges, none, NULL, 4, &(struct svg_mark){1e9, 1}, 1},
        {"words", edges, counts, NULL, 4, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(hists); i++)
        svg_hist(&to, &hists[i]);
    svg_lines(&to, &(struct svg_plot){series, 2, "step", "loss", 1, "anneal"});
    svg_lines(&to, &(struct svg_plot){series + 1, 1, "step", "loss", NAN, NULL});
    svg_lines(&to, &(struct svg_plot){series, 0, "step", "loss", NAN, NULL});
    check_page(buf_view(&to));
    CHECK(has(buf_view(&to), "a&lt;b") && has(buf_view(&to), "&lt;x&gt;") &&
          has(buf_view(&to), "5 &amp; 6"));
    /* the threshold 10 is the second of four equally wide edges: the left half drops */
    CHECK(has(buf_view(&to), "class=\"shade\" x=\"0.00%\" y=\"0\" width=\"50.00%\""));
    CHECK(!has(buf_view(&to), "nan") && !has(buf_view(&to), "inf"));
    buf_free(&to);
}
