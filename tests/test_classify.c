/* test_classify - fastText against the official tool's numbers, damaged models, training. */
#include "classify/classify.h"
#include "classify/fasttext_layout.h"
#include "core/io.h"
#include "tests/test.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LID "models/lid.176.ftz"

static struct fasttext *open_lid(void)
{
    struct fasttext *m;
    CHECK_OK(fasttext_open(&m, test_data(LID)));
    return m;
}

/* ---- prediction ---- */

/* Oracle: `fasttext predict-prob lid.176.ftz FILE 3` of Debian's fasttext 0.9.2. */
TEST(classify_predict_as_the_official_tool)
{
    static const struct {
        const char *text;
        struct score want[3];
    } cases[] = {
        {"I wish it need not have happened in my time,' said Frodo. 'So do I,' said Gandalf, 'and "
         "so do "
         "all who live to see such times. But that is not for them to decide. All we have to "
         "decide is "
         "what to do with the time that is given us.'",
         {{"en", 0.988214f}, {"es", 0.00115245f}, {"pl", 0.000808527f}}},
        {"Un magicien n'est jamais en retard Frodon Sacquet. Pas plus qu'il est en avance. Il "
         "arrive "
         "précisément à l'heure prévue.",
         {{"fr", 0.985918f}, {"it", 0.00357449f}, {"en", 0.00256474f}}},
        {"Um mago nunca chega tarde, Frodo Bolseiro. Nem cedo. Ele chega precisamente na hora que "
         "pretende.",
         {{"pt", 0.915749f}, {"gl", 0.0325027f}, {"es", 0.0221412f}}},
        {"hello", {{"en", 0.242472f}, {"fr", 0.0951117f}, {"ru", 0.0488111f}}},
    };
    struct fasttext *m = open_lid();
    CHECK_INT(fasttext_label_count(m), 176);
    CHECK(fasttext_has_label(m, "en") && !fasttext_has_label(m, "hq"));
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct score top[3];
        CHECK_INT(fasttext_predict(m, str_of(cases[i].text), top, 3), 3);
        for (int k = 0; k < 3; k++) {
            CHECK_STR(str_of(top[k].label), cases[i].want[k].label);
            CHECK_NUM(top[k].prob, cases[i].want[k].prob, 1e-5);
        }
    }
    fasttext_close(m);
}

/* Our arithmetic against the library's, over texts of many words, scripts and lengths. */
TEST(classify_predict_as_the_library)
{
    static const char *const words[] = {"the",   "maison",
                                        "und",   "Straße",
                                        "не",    "的",
                                        "日本",  "ελλάδα",
                                        "x",     "supercalifragilistic",
                                        "12.5",  "</p>",
                                        "हिन्दी", "\xF0\x9F\x98\x80",
                                        "."};
    struct fasttext *m = open_lid();
    uint64_t state = 31;
    for (int i = 0; i < 25; i++) {
        struct buf text = {0};
        int count = 1 + (int)(test_random(&state) % 40);
        for (int k = 0; k < count; k++)
            buf_printf(&text, "%s%s", words[test_random(&state) % COUNT_OF(words)],
                       test_random(&state) % 5 ? " " : "");
        struct score ours;
        char label[64];
        float prob;
        CHECK_INT(fasttext_predict(m, buf_view(&text), &ours, 1), 1);
        CHECK_OK(fasttext_reference(test_data(LID), buf_view(&text), label, &prob));
        CHECK_STR(str_of(ours.label), label);
        CHECK_NUM(ours.prob, prob < 1 ? prob : 1, 2e-5);
        buf_free(&text);
    }
    fasttext_close(m);
}

/* A line break is a blank: the whole text counts, not its first line. */
TEST(classify_predict_line_breaks)
{
    struct fasttext *m = open_lid();
    struct score one[2], many[2];
    struct str flat = STR("Le chat est  sur la table et la pluie tombe ");
    struct str broken = STR("Le chat\nest\n\nsur la table et\nla pluie tombe\n");
    CHECK_INT(fasttext_predict(m, flat, one, 2), 2);
    CHECK_INT(fasttext_predict(m, broken, many, 2), 2);
    CHECK(memcmp(&one[0].prob, &many[0].prob, sizeof one[0].prob) == 0);
    CHECK_STR(str_of(many[0].label), "fr");
    fasttext_close(m);
}

TEST(classify_predict_odd_texts)
{
    struct fasttext *m = open_lid();
    struct score top[200];
    static const char zeros[100];
    CHECK_INT(fasttext_predict(m, STR("word"), top, 0), 0);
    CHECK(fasttext_predict(m, (struct str){0}, top, 1) >= 0);
    CHECK(fasttext_predict(m, (struct str){zeros, sizeof zeros}, top, 1) >= 0);
    CHECK(fasttext_predict(m, STR("\xFF\xFE\x80\xC0"), top, 1) >= 0);
    CHECK(fasttext_predict(m, STR("\n\n\n"), top, 1) >= 0);
    CHECK(fasttext_predict(m, STR("__label__en </s> __label__xx"), top, 1) >= 0);
    CHECK(fasttext_predict(m, STR("the cat and the dog"), top, 200) <= 176);
    char *long_word = malloc(1 << 20);
    memset(long_word, 'a', 1 << 20);
    CHECK_INT(fasttext_predict(m, (struct str){long_word, 1 << 20}, top, 1), 1);
    for (int i = 0; i < 1 << 20; i += 2)
        long_word[i] = '\n';
    CHECK_INT(fasttext_predict(m, (struct str){long_word, 1 << 20}, top, 1), 1);
    free(long_word);
    fasttext_close(m);
}

static void run_tar(const char *archive, const char *to)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execlp("tar", "tar", "-xJf", archive, "-C", to, (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

/* The declaration of human rights: whole texts all right, paragraphs 96 % right or better. */
TEST(classify_language_of_udhr)
{
    static const struct {
        const char *file, *lang;
    } cases[] = {
        {"eng", "en"}, {"fra", "fr"}, {"deu", "de"}, {"spa", "es"}, {"por_PT", "pt"},
        {"ita", "it"}, {"rus", "ru"}, {"jpn", "ja"}, {"kor", "ko"}, {"ell_monotonic", "el"},
        {"pol", "pl"}, {"tur", "tr"}, {"fin", "fi"}, {"hun", "hu"}, {"nld", "nl"},
        {"ukr", "uk"}, {"heb", "he"}, {"tha", "th"}, {"vie", "vi"}, {"ces", "cs"},
        {"swe", "sv"}, {"arb", "ar"}, {"hin", "hi"}, {"bul", "bg"}, {"ben", "bn"},
        {"khm", "km"}, {"bel", "be"},
    };
    const char *archive = test_data("text/udhr2.tar.xz");
    struct fasttext *m = open_lid();
    run_tar(archive, test_dir());
    int texts = 0, paragraphs = 0, right = 0;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char path[IO_PATH_MAX], *bytes;
        size_t len;
        struct score top;
        CHECK_OK(io_path(path, "%s/udhr2/%s.txt", test_dir(), cases[i].file));
        if (!io_exists(path))
            continue;
        CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
        CHECK_INT(fasttext_predict(m, (struct str){bytes, len}, &top, 1), 1);
        CHECK_STR(str_of(top.label), cases[i].lang);
        CHECK(top.prob > 0.65f);
        texts++;
        for (struct str rest = {bytes, len}; rest.ptr;) {
            struct str line = str_trim(str_cut(rest, '\n', &rest));
            if (utf8_count(line) < 40)
                continue;
            CHECK_INT(fasttext_predict(m, line, &top, 1), 1);
            paragraphs++;
            right += str_is(str_of(top.label), cases[i].lang);
        }
        free(bytes);
    }
    CHECK(texts >= 20 && paragraphs > 1000);
    CHECK_NUM((double)right / paragraphs, 0.98, 0.02);
    fasttext_close(m);
}

/* ---- damaged models ---- */

/* Refused with a reason, or loaded and harmless: anything else ends this process. */
static bool survives(const char *bytes, size_t len)
{
    char path[IO_PATH_MAX];
    struct fasttext *m = NULL;
    struct score top[3];
    CHECK_OK(io_path(path, "%s/damaged", test_dir()));
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && close(fd) == 0);
    int rc = fasttext_open(&m, path);
    if (rc < 0) {
        CHECK_INT(rc, ERR_FORMAT);
        CHECK(strstr(err_text(), path) && !m);
        return false;
    }
    int found = fasttext_predict(m, STR("Le chat est sur la table and the rain falls 的"), top, 3);
    CHECK(found >= 0 && found <= 3);
    for (int i = 0; i < found; i++)
        CHECK(top[i].prob >= 0 && top[i].prob <= 1);
    fasttext_close(m);
    return true;
}

static char *lid_bytes(size_t *len)
{
    char *bytes;
    CHECK_OK(io_read_file(test_data(LID), 1 << 24, &bytes, len));
    return bytes;
}

TEST(classify_model_cut_anywhere)
{
    size_t len;
    char *bytes = lid_bytes(&len);
    uint64_t state = 7;
    for (size_t cut = 0; cut < 128; cut++)
        CHECK(!survives(bytes, cut));
    for (int i = 0; i < 120; i++)
        CHECK(!survives(bytes, (size_t)(test_random(&state) % len)));
    for (size_t less = 1; less < 9; less++)
        CHECK(!survives(bytes, len - less));
    char *more = realloc(bytes, len + 1);
    more[len] = 0;
    CHECK(!survives(more, len + 1));
    CHECK(survives(more, len));
    free(more);
}

TEST(classify_model_altered_head)
{
    size_t len;
    char *bytes = lid_bytes(&len);
    int refused = 0, tried = 0;
    for (size_t at = 0; at < 104; at++) {
        static const unsigned char flips[] = {0x01, 0x80};
        for (size_t k = 0; k < COUNT_OF(flips); k++) {
            bytes[at] = (char)(bytes[at] ^ (char)flips[k]);
            refused += !survives(bytes, len);
            tried++;
            bytes[at] = (char)(bytes[at] ^ (char)flips[k]);
        }
    }
    CHECK(refused > tried / 2);
    free(bytes);
}

TEST(classify_model_altered_anywhere)
{
    size_t len;
    char *bytes = lid_bytes(&len);
    uint64_t state = 11;
    for (int i = 0; i < 100; i++) {
        size_t at = (size_t)(test_random(&state) % len);
        char old = bytes[at];
        bytes[at] = (char)(old ^ (char)(1 << test_random(&state) % 8));
        survives(bytes, len);
        bytes[at] = old;
    }
    free(bytes);
}

/* Each of the sizes the library would trust, set to what hurts. Offsets: see fasttext_layout.c. */
TEST(classify_model_hostile_sizes)
{
    size_t len;
    char *bytes = lid_bytes(&len);
    static const struct {
        size_t at;
        int32_t value;
        const char *what;
    } cases[] = {
        {0, 0, "magic"},
        {4, 13, "version"},
        {4, -1, "version"},
        {8, 0, "dim"},
        {8, INT32_MAX, "dim"},
        {8, 17, "dim"},
        {28, 0, "wordNgrams"},
        {28, INT32_MAX, "wordNgrams"},
        {32, 0, "loss"},
        {36, 1, "model: cbow"},
        {40, 0, "bucket 0: division"},
        {40, -1, "bucket"},
        {48, INT32_MAX, "maxn"},
        {64, 0, "size"},
        {64, INT32_MAX, "size"},
        {68, -1, "nwords"},
        {72, 0, "nlabels"},
        {72, 177, "nlabels"},
        {84, INT32_MAX, "pruned"},
        {84, 42764, "pruned"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char old[4];
        memcpy(old, bytes + cases[i].at, 4);
        memcpy(bytes + cases[i].at, &cases[i].value, 4);
        if (survives(bytes, len))
            test_fail(__FILE__, __LINE__, "accepted: %s = %d", cases[i].what, cases[i].value);
        memcpy(bytes + cases[i].at, old, 4);
    }
    float nan_value = NAN; /* the last weight of the output matrix */
    memcpy(bytes + len - 4, &nan_value, 4);
    CHECK(!survives(bytes, len));
    free(bytes);
}

/* Garbage behind a right head, which made the library hang. */
TEST(classify_model_garbage)
{
    char bytes[4096];
    uint64_t state = 5;
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)test_random(&state);
        memcpy(bytes, "\xBA\x16\x4F\x2F\x0C\0\0\0", 8);
        CHECK(!survives(bytes, sizeof bytes));
    }
}

/* A dense model made by hand: words with the letters of their number, or all alike; two labels. */
static void write_dense(struct buf *out, int32_t words, bool alike)
{
    int32_t args[] = {793712314, 12, 1, 5, 5, 1, 5, 1, 3, 3, 0, 0, 0, 100},
            counts[] = {words + 2, words, 2};
    double sampling = 1e-4;
    int64_t totals[] = {words, -1}, once = 1;
    buf_clear(out);
    buf_add(out, args, sizeof args);
    buf_add(out, &sampling, sizeof sampling);
    buf_add(out, counts, sizeof counts);
    buf_add(out, totals, sizeof totals);
    for (int32_t i = 0; i < words + 2; i++) {
        buf_printf(out, i < words ? "w%d" : "__label__%d", alike && i < words ? 0 : i);
        buf_char(out, 0);
        buf_add(out, &once, sizeof once);
        buf_char(out, (char)(i >= words));
    }
    for (int matrix = 0; matrix < 2; matrix++) {
        int64_t shape[] = {matrix ? 2 : words, 1};
        buf_char(out, 0);
        buf_add(out, shape, sizeof shape);
        for (int64_t i = 0; i < shape[0]; i++) {
            float weight = (float)(i % 3) - 1;
            buf_add(out, &weight, sizeof weight);
        }
    }
}

/* A million words all alike would keep the library's hash table busy for hours. */
TEST_LIMIT(classify_model_equal_words, 10)
{
    struct buf model = {0};
    write_dense(&model, 3000, false);
    CHECK(survives(model.ptr, model.len));
    write_dense(&model, 1000000, true);
    CHECK(survives(model.ptr, model.len));
    buf_free(&model);
}

TEST(classify_model_dense_cut_and_altered)
{
    struct buf model = {0};
    uint64_t state = 23;
    write_dense(&model, 300, false);
    for (size_t cut = 0; cut < model.len; cut += 7)
        CHECK(!survives(model.ptr, cut));
    for (int i = 0; i < 700; i++) {
        size_t at = i < 300 ? (size_t)i % 100 : (size_t)(test_random(&state) % model.len);
        char old = model.ptr[at];
        model.ptr[at] = (char)(old ^ (char)(1 << test_random(&state) % 8));
        survives(model.ptr, model.len);
        model.ptr[at] = old;
    }
    buf_free(&model);
}

struct predictor {
    const struct fasttext *m;
    struct score want[3];
    int wrong;
};

static void *predict_often(void *arg)
{
    struct predictor *p = arg;
    for (int i = 0; i < 500; i++) {
        struct score top[3];
        int found = fasttext_predict(p->m, STR("und die Katze sitzt auf dem Dach"), top, 3);
        p->wrong += found != 3;
        for (int k = 0; k < found; k++)
            p->wrong += strcmp(top[k].label, p->want[k].label) != 0 ||
                        memcmp(&top[k].prob, &p->want[k].prob, sizeof top[k].prob) != 0;
    }
    return NULL;
}

TEST(classify_predict_from_threads)
{
    struct fasttext *m = open_lid();
    struct predictor p[4] = {{.m = m}};
    pthread_t thread[4];
    CHECK_INT(fasttext_predict(m, STR("und die Katze sitzt auf dem Dach"), p[0].want, 3), 3);
    CHECK_STR(str_of(p[0].want[0].label), "de");
    for (int i = 1; i < 4; i++)
        p[i] = p[0];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&thread[i], NULL, predict_often, &p[i]) == 0);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(thread[i], NULL) == 0);
        CHECK_INT(p[i].wrong, 0);
    }
    fasttext_close(m);
}

/* ---- training ---- */

static const struct fasttext_train small_train = {
    .lr = 0.5, .epoch = 5, .word_ngrams = 2, .dim = 16, .bucket = 5000, .min_count = 1, .seed = 3};

/* Two sorts of sentences, told apart by their words. */
static void write_samples(const char *path, int labels)
{
    static const char *const good[] = {"theorem", "proof",     "energy",
                                       "history", "describes", "because"};
    static const char *const bad[] = {"click", "buy", "cart", "login", "offer", "cheap"};
    struct buf lines = {0};
    uint64_t state = 17;
    for (int i = 0; i < 600; i++) {
        bool hq = i % labels == 0;
        struct buf text = {0};
        for (int k = 0; k < 12; k++)
            buf_printf(&text, "%s w%d\n",
                       hq ? good[test_random(&state) % 6] : bad[test_random(&state) % 6],
                       (int)(test_random(&state) % 50));
        CHECK_OK(quality_sample_line(&lines, hq ? "hq" : "lq", buf_view(&text)));
        buf_free(&text);
    }
    CHECK_OK(io_write_file(path, buf_view(&lines)));
    buf_free(&lines);
}

TEST(classify_train_same_bytes_twice)
{
    char input[IO_PATH_MAX], one[IO_PATH_MAX], two[IO_PATH_MAX], other[IO_PATH_MAX];
    struct io_info a, b, c;
    CHECK_OK(io_path(input, "%s/samples", test_dir()));
    CHECK_OK(io_path(one, "%s/one.bin", test_dir()));
    CHECK_OK(io_path(two, "%s/two.bin", test_dir()));
    CHECK_OK(io_path(other, "%s/other.bin", test_dir()));
    write_samples(input, 2);
    CHECK_OK(fasttext_train(&small_train, input, one));
    CHECK_OK(fasttext_train(&small_train, input, two));
    struct fasttext_train reseeded = small_train;
    reseeded.seed = 4;
    CHECK_OK(fasttext_train(&reseeded, input, other));
    CHECK_OK(io_hash_file(one, &a));
    CHECK_OK(io_hash_file(two, &b));
    CHECK_OK(io_hash_file(other, &c));
    CHECK(memcmp(&a.hash, &b.hash, sizeof a.hash) == 0);
    CHECK(memcmp(&a.hash, &c.hash, sizeof a.hash) != 0);
    struct fasttext *m;
    struct score top[2];
    CHECK_OK(fasttext_open(&m, one));
    CHECK_INT(fasttext_predict(m, STR("the proof of the theorem describes energy"), top, 2), 2);
    CHECK_STR(str_of(top[0].label), "hq");
    CHECK(top[0].prob > 0.9f);
    CHECK_NUM(top[0].prob + top[1].prob, 1, 1e-3);
    CHECK_INT(fasttext_predict(m, STR("click to buy a cheap cart"), top, 1), 1);
    CHECK_STR(str_of(top[0].label), "lq");
    fasttext_close(m);
}

/* No temp file stays, and an old model at the path is as it was. */
static void check_refused(const struct fasttext_train *conf, const char *input, int code)
{
    char path[IO_PATH_MAX], temp[IO_PATH_MAX], *bytes;
    size_t len;
    CHECK_OK(io_path(path, "%s/model.bin", test_dir()));
    CHECK_OK(io_write_file(path, STR("old")));
    CHECK_ERR(fasttext_train(conf, input, path), code);
    CHECK_OK(io_path(temp, "%s.tmp-%d", path, (int)getpid()));
    CHECK(!io_exists(temp));
    CHECK_OK(io_read_file(path, 100, &bytes, &len));
    CHECK_STR(((struct str){bytes, len}), "old");
    free(bytes);
}

/* Word pairs, character n-grams and both, softmax: models of our training, against the library. */
TEST(classify_train_predict_as_the_library)
{
    char input[IO_PATH_MAX], path[IO_PATH_MAX];
    CHECK_OK(io_path(input, "%s/samples", test_dir()));
    CHECK_OK(io_path(path, "%s/model.bin", test_dir()));
    write_samples(input, 2);
    for (int variant = 0; variant < 4; variant++) {
        struct fasttext_train conf = small_train;
        conf.epoch = 1;
        conf.word_ngrams = variant & 1 ? 3 : 1;
        conf.minn = variant & 2 ? 2 : 0;
        conf.maxn = variant & 2 ? 4 : 0;
        CHECK_OK(fasttext_train(&conf, input, path));
        static const char *const texts[] = {
            "click the proof of a theorem w3 w4", "cheap", "unseen words only here",
            "offer login énergie 的 because because because", "w1 w2 w3 w4 w5"};
        struct fasttext *m;
        CHECK_OK(fasttext_open(&m, path));
        for (size_t i = 0; i < COUNT_OF(texts); i++) {
            struct score ours;
            char label[64];
            float prob;
            CHECK_INT(fasttext_predict(m, str_of(texts[i]), &ours, 1), 1);
            CHECK_OK(fasttext_reference(path, str_of(texts[i]), label, &prob));
            CHECK_NUM(ours.prob, prob < 1 ? prob : 1, 2e-5);
            CHECK(prob < 0.5001f || strcmp(label, ours.label) == 0);
        }
        fasttext_close(m);
    }
}

TEST(classify_train_refuses)
{
    char input[IO_PATH_MAX];
    CHECK_OK(io_path(input, "%s/samples", test_dir()));
    check_refused(&small_train, input, ERR_IO);
    CHECK_OK(io_write_file(input, STR("")));
    check_refused(&small_train, input, ERR_FORMAT);
    write_samples(input, 1);
    check_refused(&small_train, input, ERR_FORMAT);
    CHECK(strstr(err_text(), "one label"));
    write_samples(input, 2);
    struct fasttext_train wrong = small_train;
    wrong.lr = -1;
    check_refused(&wrong, input, ERR_USAGE);
    wrong = small_train;
    wrong.bucket = 0;
    check_refused(&wrong, input, ERR_USAGE);
    wrong = small_train;
    wrong.dim = 1 << 30;
    check_refused(&wrong, input, ERR_USAGE);
}

/* saveModel does not notice a full disk: here a file may not grow past 4 KB. */
TEST(classify_train_disk_full)
{
    char input[IO_PATH_MAX], path[IO_PATH_MAX];
    CHECK_OK(io_path(input, "%s/samples", test_dir()));
    CHECK_OK(io_path(path, "%s/full.bin", test_dir()));
    write_samples(input, 2);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096}) == 0);
    CHECK(fasttext_train(&small_train, input, path) < 0);
    CHECK(!io_exists(path));
}

TEST(classify_train_stops)
{
    char input[IO_PATH_MAX];
    CHECK_OK(io_path(input, "%s/samples", test_dir()));
    write_samples(input, 2);
    struct fasttext_train endless = small_train;
    endless.epoch = 1000;
    endless.dim = 1024;
    pipe_stop = 1;
    check_refused(&endless, input, ERR_STOP);
}

TEST(classify_quality_text_one_form)
{
    struct buf out = {0};
    quality_text(&out, STR("  a\tb\r\n\nc \x01 __label__hq </s> d__label__ </s>e \xC3\xA9\x7F"));
    CHECK_STR(buf_view(&out), "a b c d__label__ </s>e \xC3\xA9");
    buf_clear(&out);
    CHECK_OK(quality_sample_line(&out, "hq", STR(" \n __label__x ")));
    CHECK_INT(out.len, 0);
    CHECK_OK(quality_sample_line(&out, "hq", STR("one\ntwo")));
    CHECK_OK(quality_sample_line(&out, "lq", STR("three")));
    CHECK_STR(buf_view(&out), "__label__hq one two\n__label__lq three\n");
    CHECK_ERR(quality_sample_line(&out, "h q", STR("x")), ERR_USAGE);
    CHECK_ERR(quality_sample_line(&out, "", STR("x")), ERR_USAGE);
    buf_clear(&out);
    char *many = malloc(QUALITY_TEXT_MAX + 16); /* cut between code points */
    for (int i = 0; i < QUALITY_TEXT_MAX + 8; i += 3)
        memcpy(many + i, "的", 3);
    quality_text(&out, (struct str){many, QUALITY_TEXT_MAX + 2});
    CHECK(out.len <= QUALITY_TEXT_MAX && out.len > QUALITY_TEXT_MAX - 3 &&
          utf8_valid(buf_view(&out)));
    free(many);
    buf_free(&out);
}
