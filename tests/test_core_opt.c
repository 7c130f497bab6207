/* test_core_opt - parameters from presets, recipes and flags; ranges, suggestions, help. */
#include "core/opt.h"
#include "tests/test.h"

struct sample {
    bool fast, loud;
    int64_t words, free;
    double share;
    uint64_t memory;
    const char *text, *kind;
    struct opt_list lang;
};
#define ROW(kind, field, preset, min, max, unit, help, source) \
    OPT_ROW(kind, struct sample, field, preset, min, max, unit, help, source)
static const struct opt rows[] = {
    ROW(OPT_BOOL, fast, "false", 0, 1, NULL, "skip the slow part", NULL),
    ROW(OPT_BOOL, loud, "true", 0, 1, NULL, "say everything", NULL),
    ROW(OPT_INT, words, "50", 0, 100000, "words", "fewest words of a document",
        "arXiv:2112.11446 A1"),
    ROW(OPT_INT, free, NULL, 0, 0, NULL, "any number", NULL),
    ROW(OPT_FLOAT, share, "0.25", 0, 1, NULL, "share of the lines that may end in an ellipsis "
        "before the whole document is taken for a list of teasers and dropped", NULL),
    ROW(OPT_SIZE, memory, "64M", 4096, 1e12, "bytes", "memory to use", NULL),
    ROW(OPT_STR, text, NULL, 0, 0, NULL, "some text", NULL),
    ROW(OPT_ENUM, kind, "one", 0, 0, "one|two|three", "which way", NULL),
    ROW(OPT_LIST, lang, "en,de", 0, 0, NULL, "languages to keep", NULL),
    OPT_LAST,
};

static struct arena arena;
static struct sample conf;

static void start(void)
{
    if (!arena.base)
        CHECK_OK(arena_open(&arena, 16 << 20));
    memset(&conf, 0xEE, sizeof conf);
    CHECK_OK(opt_defaults(rows, &conf, &arena));
}

TEST(core_opt_defaults)
{
    start();
    CHECK(!conf.fast && conf.loud);
    CHECK(conf.words == 50 && conf.free == 0 && conf.share == 0.25 && conf.memory == 64 << 20);
    CHECK_STR(str_of(conf.text), "");
    CHECK_STR(str_of(conf.kind), "one");
    CHECK_INT(conf.lang.count, 2);
    CHECK_STR(str_of(conf.lang.item[1]), "de");
    static const struct opt broken[] = {
        ROW(OPT_INT, words, "5", 10, 20, NULL, "a preset out of its own range", NULL), OPT_LAST};
    CHECK_ERR(opt_defaults(broken, &conf, &arena), ERR_USAGE);
}

static int set(const char *name, const char *text)
{
    const struct opt *row = rows;
    while (strcmp(row->name, name) != 0)
        row++;
    return opt_set(row, &conf, text, "here", &arena);
}

TEST(core_opt_numbers)
{
    static const struct { const char *text; int64_t value; } ints[] = {
        {"0", 0}, {"100000", 100000}, {"1e4", 10000}, {"1_000", 1000}, {"+7", 7}, {"2.0", 2}};
    static const char *const bad_ints[] = {"", "-1", "100001", "x", "1.5", "1e30", "0x10", " 1",
                                           "1 ", "nan", "inf", "1__0", "_1",
                                           "99999999999999999999"};
    static const struct { const char *text; uint64_t value; } sizes[] = {
        {"4096", 4096}, {"512k", 512 << 10}, {"512K", 512 << 10}, {"64M", 64 << 20},
        {"1G", 1 << 30}, {"1.5G", 3u << 29}, {"0.5T", 1ull << 39},
        {"64MiB", 64 << 20}, {"8 GiB", 8ull << 30},
        {"1_000_000", 1000000}, {"1e6", 1000000}};
    static const char *const bad_sizes[] = {"", "M", "-1M", "64MB", "64iB", "1.0001k", "4095",
                                            "1e13", "9999999T", "1x", "1 M x", "infM"};
    static const char *const bad_floats[] = {"", "1.01", "-0.01", "nan", "inf", "0x1", "half",
                                             "0,5"};
    start();
    for (size_t i = 0; i < COUNT_OF(ints); i++) {
        CHECK_OK(set("words", ints[i].text));
        CHECK(conf.words == ints[i].value);
    }
    for (size_t i = 0; i < COUNT_OF(bad_ints); i++)
        CHECK_ERR(set("words", bad_ints[i]), ERR_USAGE);
    CHECK(conf.words == 2);
    CHECK_OK(set("free", "-9223372036854775808"));
    CHECK(conf.free == INT64_MIN);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        CHECK_OK(set("memory", sizes[i].text));
        CHECK(conf.memory == sizes[i].value);
    }
    for (size_t i = 0; i < COUNT_OF(bad_sizes); i++)
        CHECK_ERR(set("memory", bad_sizes[i]), ERR_USAGE);
    for (size_t i = 0; i < COUNT_OF(bad_floats); i++)
        CHECK_ERR(set("share", bad_floats[i]), ERR_USAGE);
    CHECK_OK(set("share", "1"));
    CHECK_ERR(set("words", "100001"), ERR_USAGE);
    CHECK_STR(str_of(err_text()), "here: words = 100001 is out of range: 0 to 100000 words");
    CHECK_ERR(set("kind", "four"), ERR_USAGE);
    CHECK_STR(str_of(err_text()), "here: kind is one of one|two|three, not \"four\"");
    CHECK_ERR(set("kind", "one|two"), ERR_USAGE);
    CHECK_ERR(set("kind", ""), ERR_USAGE);
    CHECK_ERR(set("fast", "maybe"), ERR_USAGE);
    CHECK_OK(set("fast", "on"));
    CHECK(conf.fast);
}

TEST(core_opt_lists)
{
    start();
    CHECK_OK(set("lang", ""));
    CHECK_INT(conf.lang.count, 0);
    CHECK_OK(set("lang", " a , b=[1,2],c='x,y' ,"));
    CHECK_INT(conf.lang.count, 3);
    CHECK_STR(str_of(conf.lang.item[0]), "a");
    CHECK_STR(str_of(conf.lang.item[1]), "b=[1,2]");
    CHECK_STR(str_of(conf.lang.item[2]), "c='x,y'");
    CHECK_ERR(set("lang", "a,,b"), ERR_USAGE);
}

static int from_recipe(const char *text)
{
    static const char *const also[] = {"use", NULL};
    struct conf_node *root;
    start();
    CHECK_OK(conf_parse(&arena, "r.toml", str_of(text), &root));
    int rc = opt_from_recipe(rows, &conf, root, also, &arena);
    for (const struct conf_node *node = root->child; rc == 0 && node; node = node->next)
        CHECK(node->used == (strcmp(node->key, "use") != 0));
    return rc;
}

TEST(core_opt_recipe)
{
    CHECK_OK(from_recipe("fast = true\nwords = 0x10\nshare = 1\nmemory = \"8k\"\ntext = \"a\\nb\"\n"
                         "kind = \"two\"\nlang = [\"a,b\", \"c\", 7]\nuse = \"x\"\n"));
    CHECK(conf.fast && conf.words == 16 && conf.share == 1 && conf.memory == 8192);
    CHECK_STR(str_of(conf.text), "a\nb");
    CHECK_STR(str_of(conf.kind), "two");
    CHECK_INT(conf.lang.count, 3);
    CHECK_STR(str_of(conf.lang.item[0]), "a,b");
    CHECK_STR(str_of(conf.lang.item[2]), "7");
    CHECK_OK(opt_from_recipe(rows, &conf, NULL, NULL, &arena));
}

TEST(core_opt_recipe_refuses)
{
    static const struct { const char *text, *message; } bad[] = {
        {"word = 1", "r.toml:1: unknown key 'word': did you mean 'words'?"},
        {"\n\nus = 1", "r.toml:3: unknown key 'us': did you mean 'use'?"},
        {"completely = 1", "r.toml:1: unknown key 'completely': remove it"},
        {"fast = 1", "r.toml:1: fast expects true or false, got an integer"},
        {"words = \"50\"", "r.toml:1: words expects an integer, got a text"},
        {"words = 1.5", "r.toml:1: words expects an integer, got \"1.5\""},
        {"share = inf", "r.toml:1: share expects a number, got \"inf\""},
        {"share = 1.5", "r.toml:1: share = 1.5 is out of range: 0 to 1"},
        {"text = 5", "r.toml:1: text expects a text in quotes, got an integer"},
        {"text = \"a\\u0000b\"", "r.toml:1: text may not hold a zero byte"},
        {"text = [\"a\"]", "r.toml:1: text expects a text in quotes, got a list"},
        {"[words]", "r.toml:1: words expects an integer, got a table"},
        {"lang = [[\"a\"]]", "r.toml:1: lang expects a list of texts, item 1 is a list"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(from_recipe(bad[i].text), ERR_USAGE);
        CHECK_STR(str_of(err_text()), bad[i].message);
    }
}

/* From the command line everything is text first. */
TEST(core_opt_recipe_from_set)
{
    struct conf_node *root;
    start();
    CHECK_OK(conf_parse(&arena, "r.toml", STR("words = 1"), &root));
    CHECK_OK(conf_set(&arena, root, "words=60"));
    CHECK_OK(conf_set(&arena, root, "text=007"));
    CHECK_OK(conf_set(&arena, root, "memory=8k"));
    CHECK_OK(conf_set(&arena, root, "lang=fr,it"));
    CHECK_OK(conf_set(&arena, root, "fast=yes"));
    CHECK_OK(opt_from_recipe(rows, &conf, root, NULL, &arena));
    CHECK(conf.words == 60 && conf.memory == 8192 && conf.fast && conf.lang.count == 2);
    CHECK_STR(str_of(conf.text), "007");
    CHECK_OK(conf_set(&arena, root, "words=many"));
    CHECK_ERR(opt_from_recipe(rows, &conf, root, NULL, &arena), ERR_USAGE);
    CHECK_STR(str_of(err_text()), "--set words=many: words expects an integer, got \"many\"");
}

static int from_args(int argc, char **argv, int *left)
{
    start();
    *left = argc;
    return opt_from_args(rows, &conf, left, argv, &arena);
}

TEST(core_opt_args)
{
    char *argv[] = {"in", "--fast", "--words=7", "--share", "0.5", "-", "--no-loud", "--text", "-5",
                    "--lang=a,b", "--lang", "c", "-1", "--", "--words=8", "out"};
    int left;
    CHECK_OK(from_args(COUNT_OF(argv), argv, &left));
    CHECK_INT(left, 5);
    CHECK_STR(str_of(argv[0]), "in");
    CHECK_STR(str_of(argv[1]), "-");
    CHECK_STR(str_of(argv[2]), "-1");
    CHECK_STR(str_of(argv[3]), "--words=8");
    CHECK_STR(str_of(argv[4]), "out");
    CHECK(conf.fast && !conf.loud && conf.words == 7 && conf.share == 0.5);
    CHECK_STR(str_of(conf.text), "-5");
    CHECK_INT(conf.lang.count, 3);
    CHECK_STR(str_of(conf.lang.item[2]), "c");
    char *bools[] = {"--fast=no", "--loud=false", "--text="};
    CHECK_OK(from_args(3, bools, &left));
    CHECK(!conf.fast && !conf.loud && left == 0);
}

TEST(core_opt_args_refuse)
{
    static const struct { const char *text, *message; } bad[] = {
        {"--wrds=1", "there is no flag --wrds: did you mean --words?"},
        {"--completely", "there is no flag --completely: --help lists them"},
        {"--no-words", "there is no flag --no-words: did you mean --words?"},
        {"--no-fast=1", "--no-fast takes no value: it means fast=false"},
        {"--words", "--words needs a value, an integer: --words=..."},
        {"--words=x", "--words: words expects an integer, got \"x\""},
        {"--=1", "there is no flag --=1: --help lists them"},
        {"-v", "there is no flag -v: flags have long names, --help lists them "
               "(put -- before a file of this name)"}};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char flag[64], next[] = "--fast", *argv[] = {flag, next};
        int left;
        snprintf(flag, sizeof flag, "%s", bad[i].text);
        CHECK_ERR(from_args(2, argv, &left), ERR_USAGE);
        CHECK_STR(str_of(err_text()), bad[i].message);
    }
}

TEST(core_opt_help)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    opt_print_help(rows, to);
    fclose(to);
    CHECK(strstr(text, "  --words=N                   fewest words of a document (0 to 100000 "
                       "words; preset 50;\n                              arXiv:2112.11446 A1)\n"));
    CHECK(strstr(text, "  --[no-]loud "));
    CHECK(strstr(text, "  --kind=NAME                 which way (one|two|three; preset one)\n"));
    CHECK(strstr(text, "  --text=TEXT                 some text\n"));
    for (struct str rest = str_of(text); rest.ptr;)
        CHECK(str_cut(rest, '\n', &rest).len <= 100);
    free(text);
}

/* The resolved values, read as a recipe, are the same values. */
TEST(core_opt_write)
{
    struct buf text = {0}, again = {0};
    struct conf_node *root;
    start();
    CHECK_OK(set("text", "a \"b\"\n"));
    CHECK_OK(set("share", "0.1"));
    opt_write(rows, &conf, &text);
    CHECK_STR(buf_view(&text), "fast = false\nloud = true\nwords = 50\nfree = 0\nshare = 0.1\n"
              "memory = 67108864\ntext = \"a \\\"b\\\"\\n\"\nkind = \"one\"\n"
              "lang = [\"en\", \"de\"]\n");
    CHECK_OK(conf_parse(&arena, "r.toml", buf_view(&text), &root));
    memset(&conf, 0, sizeof conf);
    CHECK_OK(opt_from_recipe(rows, &conf, root, NULL, &arena));
    opt_write(rows, &conf, &again);
    CHECK(str_eq(buf_view(&text), buf_view(&again)));
    buf_free(&text);
    buf_free(&again);
}
