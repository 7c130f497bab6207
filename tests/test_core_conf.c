/* test_core_conf - TOML read, refused, set from the command line and written in one form. */
#include "core/io.h"
#include "tests/conf_canonical.h"
#include "tests/test.h"

#include <math.h>

static struct arena arena;

static int parse(const char *text, struct conf_node **root)
{
    if (!arena.base)
        CHECK_OK(arena_open(&arena, 64 << 20));
    arena_reset(&arena, 0);
    struct str s = str_of(text);
    char *copy = malloc(s.len + 1); /* the exact size, for ASan; and gone afterwards */
    memcpy(copy, text, s.len);
    int rc = conf_parse(&arena, "r.toml", (struct str){copy, s.len}, root);
    free(copy);
    return rc;
}

static struct conf_node *parsed(const char *text)
{
    struct conf_node *root;
    CHECK_OK(parse(text, &root));
    return root;
}

/* The document in canonical form must be want. */
static void check_canonical(const struct conf_node *root, const char *want)
{
    struct buf text = {0};
    conf_canonical(root, &text);
    CHECK(!text.failed);
    CHECK_STR(buf_view(&text), want);
    buf_free(&text);
}

/* The example of the TOML 1.0 specification's front page, without its dates. */
TEST(core_conf_spec_example)
{
    struct conf_node *root = parsed(
        "# This is a TOML document\ntitle = \"TOML Example\"\n[owner]\nname = \"Tom\"\n"
        "[database]\nenabled = true\nports = [ 8000, 8001, 8002 ]\n"
        "data = [ [\"delta\", \"phi\"], [3.14] ]\ntemp_targets = { cpu = 79.5, case = 72.0 }\n"
        "[servers]\n  [servers.alpha]\n  ip = \"10.0.0.1\"\n  role = \"frontend\"\n"
        "  [servers.beta]\r\n  ip = \"10.0.0.2\" # comment\r\n");
    CHECK_STR(conf_path(root, "servers.alpha.role")->string, "frontend");
    CHECK_INT(conf_path(root, "servers.beta.ip")->line, 15);
    CHECK_NUM(conf_path(root, "database.temp_targets.cpu")->number, 79.5, 0);
    CHECK(conf_path(root, "servers.gamma.role") == NULL && conf_path(root, "title.x") == NULL);
    check_canonical(root,
        "title = \"TOML Example\"\n\n[database]\ndata = [[\"delta\", \"phi\"], [3.14]]\n"
        "enabled = true\nports = [8000, 8001, 8002]\n\n[database.temp_targets]\ncase = 72.0\n"
        "cpu = 79.5\n\n[owner]\nname = \"Tom\"\n\n[servers.alpha]\nip = \"10.0.0.1\"\n"
        "role = \"frontend\"\n\n[servers.beta]\nip = \"10.0.0.2\"\n");
}

TEST(core_conf_strings)
{
    struct conf_node *root = parsed(
        "a = \"\\b\\t\\n\\f\\r\\\"\\\\\\u00e9\\U0001F600\"\n"
        "b = 'C:\\x \"q\"'\n"
        "c = \"\"\"\nfirst\r\n  \"two\" \"\"quotes\"\" \\\n\n   folded\\u0021\"\"\"\"\"\n"
        "d = '''\nraw \\n 'x' '''''\n"
        "e = \"\"\n\"quoted key\" = 1\n'' = 2\nf = \"\"\"\"\"\"\n");
    CHECK_STR(conf_get(root, "a")->string, "\b\t\n\f\r\"\\\xC3\xA9\xF0\x9F\x98\x80");
    CHECK_STR(conf_get(root, "b")->string, "C:\\x \"q\"");
    CHECK_STR(conf_get(root, "c")->string, "first\n  \"two\" \"\"quotes\"\" folded!\"\"");
    CHECK_STR(conf_get(root, "d")->string, "raw \\n 'x' ''");
    CHECK_INT(conf_get(root, "e")->line, 10);
    CHECK_INT(conf_get(root, "quoted key")->integer, 1);
    CHECK_INT(conf_get(root, "")->integer, 2);
    CHECK_STR(conf_get(root, "f")->string, "");
}

TEST(core_conf_numbers)
{
    static const struct { const char *text; int64_t value; } ints[] = {
        {"0", 0}, {"+99", 99}, {"-17", -17}, {"-0", 0}, {"1_000", 1000},
        {"0xDEAD_beef", 0xDEADBEEF},
        {"0o755", 493}, {"0b1101", 13}, {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN}, {"0x7fffffffffffffff", INT64_MAX}};
    static const struct { const char *text; double value; } floats[] = {
        {"+1.0", 1}, {"3.1415", 3.1415}, {"-0.01", -0.01}, {"5e+22", 5e22}, {"1e06", 1e6},
        {"-2E-2", -0.02}, {"6.626e-34", 6.626e-34}, {"224_617.445_991", 224617.445991},
        {"inf", INFINITY}, {"-inf", -INFINITY}};
    char line[64];
    for (size_t i = 0; i < COUNT_OF(ints); i++) {
        snprintf(line, sizeof line, "x=%s", ints[i].text);
        struct conf_node *x = conf_get(parsed(line), "x");
        CHECK(x->type == CONF_INT && x->integer == ints[i].value);
        CHECK_STR(x->string, ints[i].text);
    }
    for (size_t i = 0; i < COUNT_OF(floats); i++) {
        snprintf(line, sizeof line, "x=%s", floats[i].text);
        struct conf_node *x = conf_get(parsed(line), "x");
        CHECK(x->type == CONF_FLOAT && x->number == floats[i].value);
    }
    CHECK(isnan(conf_get(parsed("x=-nan"), "x")->number));
    CHECK_NUM(conf_get(parsed("x=3"), "x")->number, 3, 0);
}

/* What must be refused, with the line and a word of the message. */
TEST(core_conf_refuses)
{
    static const struct { const char *text; int line; const char *word; } bad[] = {
        {"a", 1, "'='"}, {"a =", 1, "a value"}, {"= 1", 1, "a key"},
        {"\n\na = 1 b", 3, "end of the line"},
        {"a = \"x", 1, "end"}, {"a = \"x\ny\"", 1, "end on its line"}, {"a = 'x", 1, "end"},
        {"a = \"\"\"x\n\n", 3, "line 1"}, {"a = \"\\q\"", 1, "backslash"},
        {"a = \"\\u12\"", 1, "hex"},
        {"a = \"\\ud800\"", 1, "U+D800"}, {"a = \"\x01\"", 1, "control"}, {"# \x7F", 1, "control"},
        {"a = 01", 1, "not a value"}, {"a = 1__0", 1, "not a value"}, {"a = _1", 1, "not a value"},
        {"a = 1_", 1, "not a value"}, {"a = 1.", 1, "not a value"}, {"a = .5", 1, "not a value"},
        {"a = 1.e3", 1, "not a value"}, {"a = 0x", 1, "not a value"},
        {"a = 0x_F", 1, "not a value"}, {"a = +0x1", 1, "not a value"},
        {"a = 0xg", 1, "base 16"}, {"a = 9223372036854775808", 1, "too large"},
        {"a = 1e999", 1, "too large"}, {"a = True", 1, "quotes"}, {"a = hello", 1, "quotes"},
        {"a = 1979-05-27", 1, "dates"}, {"a = 07:32:00", 1, "dates"}, {"a = [1 2]", 1, "','"},
        {"a = [1,,2]", 1, "a value"}, {"a = [\n1\n", 3, "line 1"}, {"a = {b = 1,}", 1, "a key"},
        {"a = {b = 1\n}", 1, "inline"}, {"a = {b = 1", 1, "text ends"}, {"[a", 1, "']'"},
        {"[]", 1, "a key"}, {"[[a]", 1, "']]'"}, {"[a] x", 1, "end of the line"},
        {"a.b = 1\na.b = 2", 2, "line 1"},
        {"a = 1\na = 2", 2, "line 1"}, {"[a]\n[a]", 2, "line 1"}, {"a = 1\n[a]", 2, "line 1"},
        {"a = {}\n[a.b]", 2, "line 1"}, {"a = {b = 1}\na.c = 2", 2, "line 1"},
        {"a = []\n[[a]]", 2, "line 1"},
        {"[[a]]\n[a]", 2, "line 1"}, {"[a]\n[[a]]", 2, "line 1"}, {"a.b = 1\n[a]", 2, "line 1"},
        {"[a.b]\n[a]\nb.c = 1", 3, "line 1"}, {"[a.b.c.d]\nz = 9\n[a]\nb.c.d.k = 8", 4, "line 1"},
        {"a = 1\n\"a\" = 2", 2, "line 1"}, {"a = {b = 1, b = 2}", 1, "line 1"},
        {"\rb = 1", 1, "a key"},
        {"a = 1\r", 1, "end of the line"}, {"a = \"\xFF\"", 1, "UTF-8"}, {"\n\n\xC3", 3, "UTF-8"},
        {"\"a\\u0000\" = 1", 1, "zero"}, {"\"\"\"a\"\"\" = 1", 1, "'='"},
        {"a = \"\"\"x\"\"\"\"\"\"", 1, "end of the"},
        {"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q = 1", 1, "16"},
        {"a = [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", 1, "deeper"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct conf_node *root;
        char where[32];
        int rc = parse(bad[i].text, &root);
        snprintf(where, sizeof where, "r.toml:%d: ", bad[i].line);
        struct str message = str_of(err_text());
        if (rc != ERR_USAGE || !str_starts(message, where) || !strstr(message.ptr, bad[i].word))
            test_fail(__FILE__, __LINE__, "[%s]: want %s...%s, got %d %s", bad[i].text, where,
                      bad[i].word, rc, err_text());
    }
}

TEST(core_conf_tables)
{
    check_canonical(parsed("[a.b]\nx=1\n[a]\ny=2\n[a.b.c]\nz=3\n"),
                    "[a]\ny = 2\n\n[a.b]\nx = 1\n\n[a.b.c]\nz = 3\n");
    /* Dots may add to a table that a deeper header implied, which then is defined. */
    check_canonical(parsed("[a.b.c]\n[a]\nb.d = 1\n"), "[a.b]\nd = 1\n\n[a.b.c]\n");
    check_canonical(parsed("a.b.c = 1\na.b.d = 2\n[a.e]\n"), "[a.b]\nc = 1\nd = 2\n\n[a.e]\n");
    check_canonical(parsed("[[s]]\nn=1\n[s.t]\nx=1\n[[s.u]]\n[[s]]\n[s.t]\nx=2\n"),
                    "[[s]]\nn = 1\n\n[s.t]\nx = 1\n\n[[s.u]]\n\n[[s]]\n\n[s.t]\nx = 2\n");
    /* The same data in other clothes writes to the same text. */
    check_canonical(parsed("s = [{t = {x = 2}, \"n\" = 0x1}, ]\n'e e' = [ # c\n ]\n"),
                    "\"e e\" = []\n\n[[s]]\nn = 1\n\n[s.t]\nx = 2\n");
    check_canonical(parsed(""), "");
    check_canonical(parsed("a=[{x=[{}]}, 1]"), "a = [{x = [{}]}, 1]\n");
    check_canonical(parsed("a = \"\\u0001\\u007f\\n\"\nb = 1e3\nc = -inf\n"),
                    "a = \"\\u0001\\u007F\\n\"\nb = 1000.0\nc = -inf\n");
}

static const char recipe[] =
    "[run]\nname = \"x\"\n[[stage]]\nuse = \"gopher_quality\"\nmin_words = 50\n"
    "[[stage]]\nuse = \"c4\"\nname = \"first\"\n[[stage]]\nuse = \"c4\"\nname = \"second\"\n";

static const char *value_of(const struct conf_node *root, const char *path)
{
    const struct conf_node *node = conf_path(root, path);
    CHECK(node);
    return node->string.ptr;
}

TEST(core_conf_set)
{
    struct conf_node *root = parsed(recipe);
    CHECK_OK(conf_set(&arena, root, "gopher_quality.min_words=40"));
    CHECK_OK(conf_set(&arena, root, "stage.gopher_quality.max_words = 1_000"));
    CHECK_OK(conf_set(&arena, root, "second.x.y=text with = and # no quotes"));
    CHECK_OK(conf_set(&arena, root, "source.path=x"));
    CHECK_OK(conf_set(&arena, root, "source.list=[\"a\", \"b\"]"));
    CHECK_OK(conf_set(&arena, root, "run.name=\"quoted\""));
    CHECK_OK(conf_set(&arena, root, "run.date=2024-05-01"));
    CHECK_OK(conf_set(&arena, root, "run.empty="));
    CHECK_OK(conf_set(&arena, root, "run.lines=a\nb=1"));
    CHECK_OK(conf_set(&arena, root, "source.path=y"));
    CHECK_OK(conf_set(&arena, root, "\"odd key\".a=true"));
    check_canonical(root,
        "[\"odd key\"]\na = true\n\n"
        "[run]\ndate = \"2024-05-01\"\nempty = \"\"\nlines = \"a\\nb=1\"\nname = \"quoted\"\n\n"
        "[source]\nlist = [\"a\", \"b\"]\npath = \"y\"\n\n"
        "[[stage]]\nmax_words = 1000\nmin_words = 40\nuse = \"gopher_quality\"\n\n"
        "[[stage]]\nname = \"first\"\nuse = \"c4\"\n\n"
        "[[stage]]\nname = \"second\"\nuse = \"c4\"\n\n[stage.x]\n"
        "y = \"text with = and # no quotes\"\n");
    CHECK_INT(conf_path(root, "source.path")->line, 0);
    CHECK_STR(str_of(value_of(root, "stage.second.use")), "c4");
}

TEST(core_conf_set_refuses)
{
    static const struct { const char *text, *word; } bad[] = {
        {"x", "KEY=VALUE"}, {"=1", "KEY=VALUE"}, {"[a]=1", "KEY=VALUE"}, {"#a=1", "KEY=VALUE"},
        {"a b=1", "'='"}, {"a..b=1", "a key"}, {"c4.x=1", "2 tables have use"},
        {"stage.x=1", "NAME"},
        {"stage.other.x=1", "no [[stage]]"}, {"run.name.x=1", "not a table"},
        {"a.b\n.c=1", "KEY=VALUE"},
        {"stage.c4.x=1", "give each its own"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct conf_node *root = parsed(recipe);
        CHECK_ERR(conf_set(&arena, root, bad[i].text), ERR_USAGE);
        if (!strstr(err_text(), bad[i].word) || !strstr(err_text(), "--set"))
            test_fail(__FILE__, __LINE__, "[%s]: want %s, got %s", bad[i].text, bad[i].word,
                      err_text());
        check_canonical(root, "[run]\nname = \"x\"\n\n[[stage]]\nmin_words = 50\n"
                        "use = \"gopher_quality\"\n\n[[stage]]\nname = \"first\"\nuse = \"c4\"\n\n"
                        "[[stage]]\nname = \"second\"\nuse = \"c4\"\n");
    }
}

/* A table of the name at the top goes before a stage of that name. */
TEST(core_conf_set_table_before_stage)
{
    struct conf_node *root = parsed("[[stage]]\nuse = \"dedup\"\n[dedup]\n");
    CHECK_OK(conf_set(&arena, root, "dedup.x=1"));
    check_canonical(root, "[dedup]\nx = 1\n\n[[stage]]\nuse = \"dedup\"\n");
}

TEST(core_conf_unused)
{
    static const char *const known[] = {"source", "tokenizer", "store", NULL};
    struct conf_node *root = parsed("[source]\n[tokeniser]\n[zzz]\n");
    CHECK(conf_get(root, "source") && !conf_get(root, "sauce"));
    CHECK_ERR(conf_check_unused(root, known), ERR_USAGE);
    CHECK_STR(str_of(err_text()), "r.toml:2: unknown key 'tokeniser': did you mean 'tokenizer'?");
    conf_get(root, "tokeniser");
    CHECK_ERR(conf_check_unused(root, known), ERR_USAGE);
    CHECK_STR(str_of(err_text()), "r.toml:3: unknown key 'zzz': remove it");
    conf_get(root, "zzz");
    CHECK_OK(conf_check_unused(root, known));
    CHECK_OK(conf_check_unused(NULL, NULL));
}

TEST(core_conf_limits)
{
    struct buf text = {0};
    struct conf_node *root;
    for (int i = 0; i < 4096; i++)
        buf_printf(&text, "k%d=1\n", i);
    CHECK_OK(parse(buf_cstr(&text), &root));
    buf_text(&text, "one_more=1\n");
    CHECK_ERR(parse(buf_cstr(&text), &root), ERR_USAGE);
    CHECK(strstr(err_text(), "4096"));
    buf_clear(&text);
    for (int i = 0; i < (1 << 20) / 2; i++)
        buf_text(&text, "#\n");
    CHECK_OK(parse(buf_cstr(&text), &root));
    buf_text(&text, "#");
    CHECK_ERR(parse(buf_cstr(&text), &root), ERR_USAGE);
    buf_free(&text);
}

/* Mutations: what is accepted writes to a text that reads and writes as itself. */
TEST(core_conf_mutations)
{
    static const char base[] = "a.b = 1\nc = \"x\\n\" # c\n[t]\nd = [1.5, {e = 'f'}]\n"
                               "[[s]]\nu = \"\"\"\ng\"\"\"\n[[s]]\n[s.v]\nw = 0x1F\nx = true\n";
    uint64_t seed = 8;
    int accepted = 0;
    for (int i = 0; i < 40000; i++) {
        char text[sizeof base];
        struct buf once = {0}, twice = {0};
        struct conf_node *root;
        memcpy(text, base, sizeof base);
        for (uint64_t k = test_random(&seed) % 3; k < 3; k++) {
            uint64_t draw = test_random(&seed);
            char other = (char)(draw >> 40);
            if (draw >> 32 & 1)
                other = "[]{}\"'=.,\\\n# \t1s"[(draw >> 40) % 16];
            text[draw % (sizeof base - 1)] = other ? other : ' ';
        }
        int rc = parse(text, &root);
        CHECK(rc == 0 || rc == ERR_USAGE);
        if (rc == 0) {
            accepted++;
            conf_canonical(root, &once);
            CHECK_OK(parse(buf_cstr(&once), &root));
            conf_canonical(root, &twice);
            CHECK(str_eq(buf_view(&once), buf_view(&twice)));
        }
        buf_free(&once);
        buf_free(&twice);
    }
    CHECK(accepted > 1000);
}
