/* test_extract - pages to main text: what is printed how, verdicts, the stage. */
#include "extract/extract.h"

#include "tests/test.h"

static const struct extract_conf preset = {
    .depth_max = 512, .memory_max = 64u << 20, .time_max_ms = 10000};
static const struct extract_conf keep_all = {
    .depth_max = 512, .memory_max = 64u << 20, .time_max_ms = 10000, .mode = "all"};

struct bench {
    struct extract_scratch *scratch;
    struct arena out;
};

static void bench_open(struct bench *b, const struct extract_conf *conf)
{
    CHECK_OK(arena_open(&b->out, 256u << 20));
    CHECK_OK(extract_scratch_open(&b->scratch, conf));
}

static void bench_close(struct bench *b)
{
    extract_scratch_close(b->scratch);
    arena_close(&b->out);
}

static enum extract_verdict run(struct bench *b, struct str html, struct extract_out *out)
{
    arena_reset(&b->out, 0);
    enum extract_verdict verdict = extract_main(b->scratch, &b->out, html, out);
    CHECK(utf8_valid(out->text));
    CHECK(utf8_valid(out->title));
    for (size_t i = 0; i < out->text.len; i++) {
        unsigned char c = (unsigned char)out->text.ptr[i];
        CHECK(c >= ' ' || c == '\n' || c == '\t');
        CHECK(c != 0x7F);
    }
    return verdict;
}

/* In mode all the text of a page is exactly defined: blocks in order, one a line. */
static void check_all(const char *html, const char *want)
{
    struct bench b;
    struct extract_out out;
    bench_open(&b, &keep_all);
    CHECK_INT(run(&b, str_of(html), &out), EXTRACT_OK);
    CHECK_STR(out.text, want);
    bench_close(&b);
}

TEST(extract_prints_blocks)
{
    check_all("<p>one\n  two</p>\n\n<p>three<br>four<br><br>five</p>six",
              "one two\nthree\nfour\nfive\nsix");
    check_all("<h1>Title</h1><div>a<span>b</span><i>c</i> d</div>", "Title\nabc d");
    check_all("<ul><li>one<li><p>two</p><p>more</p><ul><li>deep</ul></ul>",
              "- one\n- two\n  more\n  - deep");
    check_all("<table><tr><th>a<th>b<tr><td>1<td>2<td></table>", "a\tb\n1\t2");
    check_all("<table><tr><td><p>layout</p><p>table</p><td>x</table>", "layout\ntable\nx");
    check_all("<dl><dt>term<dd>meaning</dl>", "term\nmeaning");
    check_all("x<pre>\nint main()\n{\n    return 0;\n\n}\n</pre>y",
              "x\nint main()\n{\n    return 0;\n\n}\ny");
    check_all("a&nbsp;b\xE2\x80\x8B"
              "c\xC2\xAD"
              "d \xEF\xBB\xBF"
              "e\x01"
              "f\xEE\x80\x80g",
              "a bcd efg");
    check_all("<a href=/a>Home</a><a href=/b>About</a>", "Home About");
    check_all("<p>seen<p style='display:none'>hidden<p hidden>too", "seen");
    check_all("<p>part <span hidden>not</span> shown<p><span hidden>all hidden</span>",
              "part not shown"); /* a block is hidden when all of it is */
    check_all("<p>&lt;b&gt; &amp; &copy; &#x4e2d;", "<b> & © 中");
    check_all("<x-card>one</x-card><x-card>two</x-card>", "one two");
}

static const char article[] = "<html><head><title> A  title\n| Site</title></head><body>"
                              "<nav class=menu><ul><li><a href=/>Home</a><li><a "
                              "href=/n>News</a><li><a href=/c>Contact</a></ul></nav>"
                              "<div class=sidebar><h3>Most read</h3><ul><li><a href=/1>Ten things "
                              "you missed</a><li><a href=/2>Why it matters"
                              "</a><li><a href=/3>The end of an era</a></ul></div>"
                              "<article class=post><h1>A title</h1><p>The council met on Tuesday "
                              "to decide what should become of the old mill, "
                              "which has stood empty for eleven years, and the vote was closer "
                              "than anyone had expected.</p><p>Supporters of the "
                              "plan said that housing was needed; opponents feared for the river. "
                              "In the end, seven of thirteen members voted to "
                              "keep the building as it is, at least until a survey of its "
                              "foundations has been made.</p><p>\xE2\x80\x9CWe will "
                              "be back,\xE2\x80\x9D said the mayor, who had hoped for a decision. "
                              "Work on the survey starts in spring.</p>"
                              "</article><footer><p>Copyright 2024 Example Media. All rights "
                              "reserved.</p><a href=/p>Privacy</a> "
                              "<a href=/t>Terms</a></footer></body></html>";

TEST(extract_main_finds_article)
{
    struct bench b;
    struct extract_out out;
    bench_open(&b, &preset);
    CHECK_INT(run(&b, STR(article), &out), EXTRACT_OK);
    CHECK_STR(out.title, "A title | Site");
    CHECK(str_find(out.text, STR("The council met on Tuesday")) != SIZE_MAX);
    CHECK(str_find(out.text, STR("starts in spring.")) != SIZE_MAX);
    CHECK(str_find(out.text, STR("Copyright")) == SIZE_MAX);
    CHECK(str_find(out.text, STR("Contact")) == SIZE_MAX);
    CHECK(str_find(out.text, STR("Ten things")) == SIZE_MAX);
    CHECK(out.link_density < 0.05f);
    CHECK(out.blocks >= 3);
    bench_close(&b);
}

/* The same page twice, with another in between, gives the same bytes: nothing leaks through the
 * scratch. */
TEST(extract_main_repeats)
{
    struct bench b;
    struct extract_out out;
    char first[4096];
    bench_open(&b, &preset);
    CHECK_INT(run(&b, STR(article), &out), EXTRACT_OK);
    size_t len = out.text.len;
    CHECK(len < sizeof first);
    memcpy(first, out.text.ptr, len);
    run(&b, STR("<p>something else entirely, with a little more text than nothing at all"), &out);
    CHECK_INT(run(&b, STR(article), &out), EXTRACT_OK);
    CHECK_INT(out.text.len, len);
    CHECK(memcmp(first, out.text.ptr, len) == 0);
    bench_close(&b);
}

TEST(extract_main_reads_json)
{
    static const char page[] =
        "<title>t</title><script "
        "type='application/ld+json'>{\"@graph\":[{\"@type\":\"Article\",\"articleBody\":\"The "
        "council met on Tuesday to decide what should become of the old mill, <b>which</b> has "
        "stood empty for eleven "
        "years, and the vote was closer than anyone had expected.\\nSupporters of the plan said "
        "that housing was "
        "needed; opponents feared for the river.\"}]}</script><div id=root></div><p>Loading";
    struct bench b;
    struct extract_out out;
    bench_open(&b, &preset);
    CHECK_INT(run(&b, STR(page), &out), EXTRACT_OK);
    CHECK(str_starts(out.text, "The council met on Tuesday"));
    CHECK(str_find(out.text, STR("old mill, which has")) != SIZE_MAX);
    CHECK(str_find(out.text, STR("expected.\nSupporters")) != SIZE_MAX);
    CHECK_INT(
        run(&b, STR("<script type=application/ld+json>{\"text\":</script><p>broken JSON"), &out),
        EXTRACT_OK);
    CHECK_STR(out.text, "broken JSON");
    bench_close(&b);
}

TEST(extract_main_verdicts)
{
    struct bench b;
    struct extract_out out;
    struct extract_conf deep = {.depth_max = 16,
                                .memory_max = 64u << 20,
                                .time_max_ms = 10000,
                                .drop_deep = true},
                        tiny = {.depth_max = 512, .memory_max = 2u << 20, .time_max_ms = 10000};
    bench_open(&b, &preset);
    CHECK_INT(run(&b, STR(""), &out), EXTRACT_EMPTY);
    CHECK_INT(run(&b, STR("<script>only()</script>"), &out), EXTRACT_EMPTY);
    CHECK_INT(run(&b, STR("x"), &out), EXTRACT_OK);
    bench_close(&b);
    char page[1000] = "";
    for (int i = 0; i < 40; i++)
        memcpy(page + i * 5, "<div>", 6);
    memcpy(page + 200, "text", 5);
    bench_open(&b, &deep);
    CHECK_INT(run(&b, str_of(page), &out), EXTRACT_TOO_DEEP);
    CHECK_INT(out.depth, 40);
    CHECK_INT(run(&b, STR("<p>flat"), &out), EXTRACT_OK);
    bench_close(&b);
    bench_open(&b, &tiny);
    char *large = malloc(800000);
    CHECK(large != NULL);
    memset(large, 'x', 800000);
    CHECK_INT(run(&b, (struct str){large, 800000}, &out), EXTRACT_MEMORY);
    CHECK_INT(run(&b, STR("<p>the next page is fine"), &out), EXTRACT_OK);
    free(large);
    bench_close(&b);
}

/* An article cut anywhere still gives a verdict, and text as soon as there is some. */
TEST(extract_truncated_anywhere)
{
    struct bench b;
    struct extract_out out;
    bench_open(&b, &preset);
    for (size_t len = 0; len < sizeof article; len++) {
        if (((unsigned char)article[len] & 0xC0) == 0x80)
            continue; /* the caller promises UTF-8: not half a character */
        char *exact = malloc(len ? len : 1);
        CHECK(exact != NULL);
        memcpy(exact, article, len);
        enum extract_verdict verdict = run(&b, (struct str){exact, len}, &out);
        CHECK(verdict == EXTRACT_OK || verdict == EXTRACT_EMPTY);
        /* a menu alone is no main text; the sidebar is better than nothing */
        CHECK(verdict == EXTRACT_OK || len < (size_t)(strstr(article, "Most read") - article) + 9);
        free(exact);
    }
    bench_close(&b);
}

/* Bytes of the article flipped at random: never a crash, always valid output. Input must be UTF-8,
 * as promised. */
TEST(extract_mutated)
{
    struct bench b;
    struct extract_out out;
    char page[sizeof article];
    uint64_t state = 11;
    bench_open(&b, &preset);
    for (int round = 0; round < 1500; round++) {
        memcpy(page, article, sizeof page);
        for (uint64_t flips = 1 + test_random(&state) % 40; flips > 0; flips--)
            page[test_random(&state) % (sizeof page - 1)] =
                "<>/'\"=&;!- abpdiv\n"[test_random(&state) % 18];
        struct arena utf8;
        struct str text;
        const char *name;
        uint64_t replaced;
        CHECK_OK(arena_open(&utf8, 1 << 20));
        CHECK_OK(charset_to_utf8(&utf8, (struct str){page, sizeof page - 1}, STR("utf-8"), &text,
                                 &name, &replaced));
        run(&b, text, &out);
        arena_close(&utf8);
    }
    bench_close(&b);
}

/* ---- the stage ---- */
static struct schema schema;

static void add_doc(struct batch *b, enum doc_kind kind, struct str raw, const char *charset)
{
    struct doc *d = batch_add(b);
    CHECK(d != NULL);
    d->kind = kind;
    d->raw = raw;
    d->http_charset = str_of(charset);
}

static float signal_of(const struct doc *d, const char *name)
{
    int column = schema_find_signal(&schema, name);
    CHECK(column >= 0);
    return d->signal[column];
}

TEST(extract_stage_batch)
{
    struct extract_conf conf;
    struct stage stage = {.type = &stage_extract, .name = "extract", .conf = &conf};
    struct arena strings;
    struct batch *b;
    unsigned char *local = calloc(1, stage_extract.local_size);
    CHECK(local != NULL);
    CHECK_OK(arena_open(&strings, 1 << 20));
    stage.arena = &strings;
    CHECK_OK(opt_defaults(stage_extract.opts, &conf, &strings));
    CHECK_INT(conf.depth_max, 512);
    CHECK_INT(conf.memory_max, 64 << 20);
    CHECK_STR(str_of(conf.mode), "main");
    CHECK(!conf.drop_deep);
    schema_init(&schema);
    CHECK_OK(stage_extract.open(&stage, &schema));
    CHECK_OK(stage_extract.local_open(&stage, local));
    CHECK_OK(batch_open(&b));
    add_doc(b, DOC_HTML, STR(article), "utf-8");
    add_doc(b, DOC_TEXT, STR("na\xEFve \xE9t\xE9"), "latin1");
    add_doc(b, DOC_HTML, STR("<script>x</script>"), "");
    add_doc(b, DOC_OTHER, STR("%PDF-1.4"), "");
    add_doc(b, DOC_TEXT,
            STR("broken \xFF\xFF and caf\xC3\xA9 caf\xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 "
                "\xC3\xA9"
                " \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 "
                "\xC3\xA9"
                " \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9 \xC3\xA9"),
            "utf-8");
    CHECK_OK(stage_extract.run(&stage, local, b));
    batch_sweep(b);
    CHECK_INT(b->live_count, 3);
    CHECK(str_find(b->doc[0].text, STR("The council met")) != SIZE_MAX);
    CHECK_STR(b->doc[0].title, "A title");
    CHECK_NUM(signal_of(&b->doc[0], "extract.html_bytes"), sizeof article - 1, 0);
    CHECK_NUM(signal_of(&b->doc[0], "extract.text_bytes"), (double)b->doc[0].text.len, 0);
    CHECK(signal_of(&b->doc[0], "extract.blocks") >= 3);
    CHECK(signal_of(&b->doc[0], "extract.depth") >= 3);
    CHECK_STR(b->doc[1].text, "naïve été");
    CHECK_INT(b->doc[2].rule, schema_find_rule(&schema, "extract.empty"));
    CHECK_INT(b->doc[3].rule, schema_find_rule(&schema, "extract.empty"));
    CHECK_NUM(signal_of(&b->doc[4], "extract.replaced"), 2, 0);
    batch_close(b);
    stage_extract.local_close(&stage, local);
    stage_extract.local_close(&stage, local); /* bears a second call, as after a failed open */
    arena_close(&strings);
    free(local);
}
