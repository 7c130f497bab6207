/* test_tokenize - splitters, training, files and encoding against slow twins and published ids. */
#include "core/json.h"
#include "tests/test.h"
#include "tokenize/bpe.h"

#include <pthread.h>

/* ---- a slow twin: minimal, quadratic, straight from the definition of BPE ---- */
static uint32_t slow_merge(const struct pair_table *merges, uint32_t *symbol, uint32_t count)
{
    for (;;) {
        uint32_t best = NO_ID, rank = NO_ID, id = 0;
        for (uint32_t i = 0; i + 1 < count; i++) {
            const struct pair_slot *s = pair_find(merges, symbol[i], symbol[i + 1]);
            if (s && s->rank < rank) {
                rank = s->rank;
                best = i;
                id = s->id;
            }
        }
        if (best == NO_ID)
            return count;
        symbol[best] = id;
        memmove(symbol + best + 1, symbol + best + 2, sizeof *symbol * (count - best - 2));
        count--;
    }
}

static const char *sample_text(void)
{
    return "The quick brown fox doesn't jump over the lazy dog's 12345 bones.\n\n  The dog -- "
           "\"lazy\" -- "
           "didn't care, and the fox's cubs weren't there; they'd gone.\n\tIt's 3.14159 o'clock... "
           "  \n";
}

static void train_on(const char *dir, enum pretok p, int64_t vocab, const char *const *texts,
                     int count)
{
    struct bpe_train_conf conf = {.vocab_size = vocab, .pretok = p};
    struct bpe_trainer *t;
    struct io_info json, ranks;
    CHECK_OK(bpe_trainer_open(&t, &conf));
    for (int i = 0; i < count; i++)
        CHECK_OK(bpe_trainer_add(t, str_of(texts[i]), 1));
    CHECK_OK(bpe_trainer_finish(t, dir, &json, &ranks));
    bpe_trainer_close(t);
}

static uint32_t encode(const struct tokenizer *t, struct str text, uint32_t *out, uint32_t max)
{
    struct encoder *e;
    struct arena a;
    const uint32_t *ids;
    uint32_t count;
    CHECK_OK(arena_open(&a, 1 << 30));
    CHECK_OK(encoder_open(&e, t));
    CHECK_OK(encoder_encode(e, text, &a, &ids, &count));
    CHECK(count <= max);
    memcpy(out, ids, sizeof *ids * count);
    encoder_close(e);
    arena_close(&a);
    return count;
}

static void check_pieces(enum pretok p, const char *text, const char *want)
{
    struct buf got = {0};
    struct str s = str_of(text);
    for (size_t pos = 0, end; pos < s.len; pos = end) {
        end = pretok_next(p, s, pos);
        CHECK(end > pos);
        CHECK(end <= s.len);
        buf_str(&got, str_slice(s, pos, end));
        buf_char(&got, '|');
    }
    CHECK_STR(buf_view(&got), want);
    buf_free(&got);
}

/* Expected splits: the patterns of pretok.c run by Python's `regex` module. */
TEST(tokenize_pretok_cl100k)
{
    check_pieces(PRETOK_CL100K, "Hello world", "Hello| world|");
    check_pieces(PRETOK_CL100K, "don't DON'T we'LL x'y", "don|'t| DON|'T| we|'LL| x|'y|");
    check_pieces(PRETOK_CL100K, "1234567 89", "123|456|7| |89|");
    check_pieces(PRETOK_CL100K, "a  b   c", "a| | b|  | c|");
    check_pieces(PRETOK_CL100K, "a\n\n  b", "a|\n\n| | b|");
    check_pieces(PRETOK_CL100K, "a \n \n b", "a| \n \n| b|");
    check_pieces(PRETOK_CL100K, "end  ", "end|  |");
    check_pieces(PRETOK_CL100K, "end\n  ", "end|\n|  |");
    check_pieces(PRETOK_CL100K, "x = {a};\n\ny", "x| =| {|a|};\n\n|y|");
    check_pieces(PRETOK_CL100K, "(hello) .net", "(hello|)| .|net|");
    check_pieces(PRETOK_CL100K, "\ttab", "\ttab|");
    check_pieces(PRETOK_CL100K,
                 " \xC2\x85"
                 "0",
                 " |\xC2\x85|0|");
    check_pieces(PRETOK_CL100K, "\xEF\xBB\xBFhi", "\xEF\xBB\xBFhi|");
    check_pieces(PRETOK_CL100K, "\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82",
                 "\xE4\xBD\xA0\xE5\xA5\xBD|\xE3\x80\x82|");
    check_pieces(PRETOK_CL100K, "'\xC5\xBF x", "'\xC5\xBF| x|");
}

TEST(tokenize_pretok_gpt2)
{
    check_pieces(PRETOK_GPT2, "don't DON'T", "don|'t| DON|'|T|");
    check_pieces(PRETOK_GPT2, "a 1234567 b", "a| 1234567| b|");
    check_pieces(PRETOK_GPT2, "a\n\n  b", "a|\n\n | b|");
    check_pieces(PRETOK_GPT2, "x = {a};\n\ny", "x| =| {|a|};|\n|\n|y|");
    check_pieces(PRETOK_GPT2, "end  ", "end|  |");
}

TEST(tokenize_pretok_any_bytes)
{
    uint64_t state = 5;
    char bytes[64];
    for (int round = 0; round < 20000; round++) {
        size_t len = test_random(&state) % sizeof bytes;
        for (size_t i = 0; i < len; i++)
            bytes[i] = test_random(&state) % 3 ? (char)test_random(&state)
                                                : "  \n'ab1"[test_random(&state) % 7];
        for (int p = 0; p < PRETOK_COUNT; p++)
            for (size_t pos = 0, end; pos < len; pos = end) {
                end = pretok_next((enum pretok)p, (struct str){bytes, len}, pos);
                CHECK(end > pos && end <= len);
            }
    }
}

/* "aaabdaaabac" of Wikipedia's article on byte pair encoding: aa, then ab (or aaa...), as minbpe's
 * test has it with ties broken by the smaller pair: aa=256, then (256, 97) "aaa" = 257, then (257,
 * 98) = 258. */
TEST(tokenize_train_wikipedia)
{
    const char *texts[] = {"aaabdaaabac"};
    struct tokenizer *t;
    uint32_t ids[16];
    train_on(test_dir(), PRETOK_GPT2, 256 + 3 + 1, texts, 1);
    CHECK_OK(tokenizer_open(&t, test_dir()));
    CHECK_INT(tokenizer_vocab(t), 260);
    CHECK_INT(tokenizer_eot(t), 259);
    CHECK_STR(tokenizer_bytes(t, 256), "aa");
    CHECK_STR(tokenizer_bytes(t, 257), "ab");
    CHECK_STR(tokenizer_bytes(t, 258), "aaab");
    uint32_t count = encode(t, STR("aaabdaaabac"), ids, 16);
    CHECK_INT(count, 5); /* minbpe: 258,100,258,97,99 */
    CHECK_INT(ids[0], 258);
    CHECK_INT(ids[1], 100);
    CHECK_INT(ids[2], 258);
    CHECK_INT(ids[3], 97);
    CHECK_INT(ids[4], 99);
    tokenizer_close(t);
}

/* Slow trainer: recount every pair from scratch for each merge; the fast one must agree. */
static uint32_t slow_train(struct str text, enum pretok p, uint32_t merges, struct bpe_pair *out)
{
    static uint32_t symbol[1 << 16], owner[1 << 16];
    uint32_t count = 0, made = 0, piece = 0;
    for (size_t pos = 0, end; pos < text.len; pos = end, piece++) {
        end = pretok_next(p, text, pos);
        for (size_t i = pos; i < end; i++) {
            owner[count] = piece;
            symbol[count++] = (unsigned char)text.ptr[i];
        }
    }
    static uint32_t pairs[700][700];
    for (; made < merges; made++) {
        uint32_t best = 0, left = 0, right = 0, kept = 0;
        memset(pairs, 0, sizeof pairs);
        for (uint32_t i = 0; i + 1 < count; i++)
            if (owner[i] == owner[i + 1])
                pairs[symbol[i]][symbol[i + 1]]++;
        for (uint32_t a = 0; a < 700; a++)
            for (uint32_t b = 0; b < 700; b++)
                if (pairs[a][b] > best) {
                    best = pairs[a][b];
                    left = a;
                    right = b;
                }
        if (best < 2)
            break;
        out[made] = (struct bpe_pair){left, right};
        for (uint32_t i = 0; i < count; i++) {
            bool join = i + 1 < count && owner[i] == owner[i + 1] && symbol[i] == left &&
                        symbol[i + 1] == right;
            symbol[kept] = join ? 256 + made : symbol[i];
            owner[kept++] = owner[i];
            i += join;
        }
        count = kept;
    }
    return made;
}

TEST(tokenize_train_equals_slow_twin)
{
    static struct bpe_pair want[400];
    struct buf text = {0};
    uint64_t state = 9;
    static const char *const words[] = {"the",    "then",   "there", "aaaa",  "aaaaaaa", "abab",
                                        "ababab", "banana", "x1",    "12345", "don't"};
    for (int i = 0; i < 3000; i++)
        buf_printf(&text, "%s%s", words[test_random(&state) % COUNT_OF(words)],
                   test_random(&state) % 9 ? " " : ".\n");
    uint32_t merges = slow_train(buf_view(&text), PRETOK_CL100K, 300, want);
    const char *texts[] = {buf_cstr(&text)};
    struct tokenizer *t;
    train_on(test_dir(), PRETOK_CL100K, 257 + 300, texts, 1);
    CHECK_OK(tokenizer_open(&t, test_dir()));
    CHECK_INT(t->vocab, 257 + merges);
    CHECK(merges > 30);
    for (uint32_t i = 0; i < merges; i++) {
        const struct pair_slot *s = pair_find(&t->merges, want[i].left, want[i].right);
        CHECK(s != NULL);
        CHECK_INT(s->rank, i);
        CHECK_INT(s->id, 256 + i);
    }
    tokenizer_close(t);
    buf_free(&text);
}

TEST(tokenize_train_order_does_not_matter)
{
    const char *forward[] = {sample_text(), "one two two three", "two three three",
                             "<|endoftext|>"};
    const char *back[] = {"<|endoftext|>", "two three three", "one two two three", sample_text()};
    char one[300], two[300], one_json[IO_PATH_MAX], two_json[IO_PATH_MAX], *a, *b;
    size_t a_len, b_len;
    snprintf(one, sizeof one, "%s/one", test_dir());
    snprintf(two, sizeof two, "%s/two", test_dir());
    train_on(one, PRETOK_CL100K, 320, forward, 4);
    train_on(two, PRETOK_CL100K, 320, back, 4);
    CHECK_OK(io_path(one_json, "%s/tokenizer.json", one));
    CHECK_OK(io_path(two_json, "%s/tokenizer.json", two));
    CHECK_OK(io_read_file(one_json, 1 << 20, &a, &a_len));
    CHECK_OK(io_read_file(two_json, 1 << 20, &b, &b_len));
    CHECK(str_eq((struct str){a, a_len}, (struct str){b, b_len}));
    free(a);
    free(b);
}

TEST(tokenize_round_trip_and_forms_agree)
{
    const char *texts[] = {sample_text()};
    char ranks[300];
    struct tokenizer *json, *tiktoken;
    static uint32_t a[4096], b[4096];
    train_on(test_dir(), PRETOK_CL100K, 300, texts, 1);
    snprintf(ranks, sizeof ranks, "%s/tokenizer.tiktoken", test_dir());
    CHECK_OK(tokenizer_open(&json, test_dir()));
    CHECK_OK(tokenizer_open(&tiktoken, ranks));
    struct str cases[] = {str_of(sample_text()), STR("<|endoftext|>"),
                          STR("\xFF\x00\xFE broken \xC3"), STR("")};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf back = {0};
        uint32_t count = encode(json, cases[i], a, 4096);
        CHECK_INT(encode(tiktoken, cases[i], b, 4096), count);
        CHECK(memcmp(a, b, sizeof *a * count) == 0);
        for (uint32_t k = 0; k < count; k++)
            CHECK(a[k] != tokenizer_eot(json)); /* specials in text are text */
        CHECK_OK(tokenizer_decode(json, a, count, &back));
        CHECK(str_eq(buf_view(&back), cases[i]));
        buf_free(&back);
    }
    tokenizer_close(json);
    tokenizer_close(tiktoken);
}

/* Merging by scan and by heap both equal the slow twin, on symbols with many ties. */
TEST(tokenize_merge_equals_slow_twin)
{
    const char *texts[] = {
        "abababab aaaaaaaa abcabcabc cbacba aabbaabb abab abc abc aab aab bba bba"};
    struct tokenizer *t;
    struct merge_work work = {0};
    uint64_t state = 3;
    static uint32_t fast[600], slow[600];
    train_on(test_dir(), PRETOK_GPT2, 280, texts, 1);
    CHECK_OK(tokenizer_open(&t, test_dir()));
    for (int round = 0; round < 3000; round++) {
        uint32_t count = 1 + (uint32_t)(test_random(&state) % (round % 2 ? 60 : 500));
        for (uint32_t i = 0; i < count; i++)
            fast[i] = slow[i] = (uint32_t)("abc"[test_random(&state) % 3]);
        CHECK_OK(merge_work_grow(&work, 600));
        uint32_t got = bpe_merge(&t->merges, fast, count, &work),
                 want = slow_merge(&t->merges, slow, count);
        CHECK_INT(got, want);
        CHECK(memcmp(fast, slow, sizeof *fast * want) == 0);
    }
    merge_work_free(&work);
    tokenizer_close(t);
}

/* Random words of 1 to 31 of the letters, as jobs, those of up to 15 as short ones too: all ways of
 * merging many give what the slow twin gives. */
static void check_many(const struct tokenizer *t, const char *letters)
{
    static struct merge_job job[2][MERGE_JOBS];
    static struct merge_wide wide[2][MERGE_JOBS];
    struct merge_job *jobs[2][MERGE_JOBS];
    struct merge_wide *wides[2][MERGE_JOBS];
    uint32_t slow[MERGE_JOBS][WIDE_SYMBOLS], bytes[MERGE_JOBS];
    uint64_t state = 5;
    for (int round = 0; round < 200; round++) {
        uint32_t shorts = 0;
        for (uint32_t i = 0; i < MERGE_JOBS; i++) {
            char word[WIDE_SYMBOLS] = {0};
            bytes[i] = 1 + (uint32_t)(test_random(&state) % (i % 2 ? SHORT_BYTES : 31));
            for (uint32_t k = 0; k < bytes[i]; k++) {
                word[k] = letters[test_random(&state) % strlen(letters)];
                slow[i][k] = t->byte_id[(unsigned char)word[k]];
            }
            for (int way = 0; way < 2; way++) {
                job[way][i].key = key_read(word, bytes[i] & SHORT_BYTES, 0);
                job[way][i].state.count = wide[way][i].state.count = bytes[i];
                memcpy(wide[way][i].byte, word, sizeof word);
                jobs[way][shorts] = &job[way][i];
                wides[way][i] = &wide[way][i];
            }
            shorts += bytes[i] <= SHORT_BYTES;
        }
        bpe_merge_many(t, jobs[0], shorts);
        bpe_merge_plain(t, jobs[1], shorts);
        bpe_merge_wide(t, wides[0], MERGE_JOBS);
        bpe_merge_wide_plain(t, wides[1], MERGE_JOBS);
        for (uint32_t i = 0; i < MERGE_JOBS; i++) {
            bool is_short = bytes[i] <= SHORT_BYTES;
            uint32_t want = slow_merge(&t->merges, slow[i], bytes[i]);
            for (int way = 0; way < 2; way++) {
                CHECK_INT(wide[way][i].state.count, want);
                CHECK(memcmp(wide[way][i].symbol, slow[i], sizeof **slow * want) == 0);
                CHECK(!is_short || job[way][i].state.count == want);
                CHECK(!is_short || memcmp(job[way][i].symbol, slow[i], sizeof **slow * want) == 0);
            }
        }
    }
}

TEST(tokenize_merge_many_equals_slow_twin)
{
    const char *texts[] = {"abababab aaaaaaaa abcabcabc cbacba aabbaabb abab abc aab bba"};
    struct tokenizer *t;
    train_on(test_dir(), PRETOK_GPT2, 280, texts, 1);
    CHECK_OK(tokenizer_open(&t, test_dir()));
    check_many(t, "abc");
    tokenizer_close(t);
}

/* A table of merges with lines that are full. */
TEST(tokenize_merge_many_equals_slow_twin_cl100k)
{
    struct tokenizer *t;
    CHECK_OK(tokenizer_open(&t, test_data("vocab/cl100k_base.tiktoken")));
    check_many(t, " aeinorst");
    check_many(t, "\xD0\xD1\xB0\xB5\xBE\x81\x82");
    tokenizer_close(t);
}

/* More new words than are put off at a time, some of them more often than there are gaps, around
 * long ones and such of more ids than an entry holds; then all of it again, when none is new. */
TEST(tokenize_new_words_equal_slow_twin)
{
    const char *texts[] = {"ababab aaaa abcabc cbacba aabb abab abc aab bba"};
    enum { WORDS = 3000 };
    static char text[2 * WORDS * 48];
    static uint32_t want[sizeof text], got[sizeof text];
    char path[300];
    size_t len = 0;
    uint64_t state = 11;
    train_on(test_dir(), PRETOK_CL100K, 280, texts, 1);
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t letters = 1 + (uint32_t)(test_random(&state) % (i % 9 ? 14 : 40));
        text[len++] = ' ';
        for (uint32_t k = 0; k < letters; k++)
            text[len++] = i % 3 ? "abcxyz"[test_random(&state) % 6] : "xabcyacb"[k % 8];
    }
    memcpy(text + len, text, len);
    len *= 2;
    for (int ranks = 0; ranks < 2; ranks++) {
        struct tokenizer *t;
        uint32_t count = 0;
        snprintf(path, sizeof path, "%s/tokenizer.%s", test_dir(), ranks ? "tiktoken" : "json");
        CHECK_OK(tokenizer_open(&t, path));
        for (size_t at = 0, end; at < len; at = end) {
            end = pretok_next(PRETOK_CL100K, (struct str){text, len}, at);
            for (size_t i = at; i < end; i++)
                want[count + i - at] = t->byte_id[(unsigned char)text[i]];
            count += slow_merge(&t->merges, want + count, (uint32_t)(end - at));
        }
        CHECK_INT(encode(t, (struct str){text, len}, got, COUNT_OF(got)), count);
        CHECK(memcmp(got, want, sizeof *want * count) == 0);
        tokenizer_close(t);
    }
}

TEST_LIMIT(tokenize_long_runs_stay_fast, 120)
{
    const char *texts[] = {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx -------------------- aaaa"};
    struct tokenizer *t;
    enum { LEN = 2000000 };
    char *run = malloc(LEN);
    uint32_t *ids = malloc(sizeof *ids * LEN);
    train_on(test_dir(), PRETOK_CL100K, 270, texts, 1);
    CHECK_OK(tokenizer_open(&t, test_dir()));
    static const char letters[] = "x- a";
    for (size_t i = 0; i < 4; i++) {
        memset(run, letters[i], LEN);
        CHECK(encode(t, (struct str){run, LEN}, ids, LEN) > 0);
    }
    tokenizer_close(t);
    free(run);
    free(ids);
}

/* ---- published vocabularies ---- */
TEST(tokenize_gpt2_published_ids)
{
    struct tokenizer *t;
    static uint32_t ids[64];
    CHECK_OK(tokenizer_open(&t, test_data("vocab/r50k_base.tiktoken")));
    CHECK_INT(tokenizer_eot(t), 50256);
    /* tiktoken's own tests: "hello world" = 31373 995. */
    CHECK_INT(encode(t, STR("hello world"), ids, 64), 2);
    CHECK_INT(ids[0], 31373);
    CHECK_INT(ids[1], 995);
    tokenizer_close(t);
}

TEST(tokenize_cl100k_published_ids)
{
    struct tokenizer *t;
    static uint32_t ids[64];
    CHECK_OK(tokenizer_open(&t, test_data("vocab/cl100k_base.tiktoken")));
    CHECK_INT(tokenizer_eot(t), 100257);
    /* From tiktoken's tests/test_encoding.py. */
    const struct {
        const char *text;
        uint32_t count, id[4];
    } want[] = {{"rer", 1, {38149}},
                {"'rer", 2, {2351, 81}},
                {"today\n ", 3, {31213, 198, 220}},
                {"today\n \n", 2, {31213, 27907}},
                {"today\n  \n", 2, {31213, 14211}},
                {" \xC2\x85"
                 "0",
                 4,
                 {220, 126, 227, 15}},
                {"hello world", 2, {15339, 1917}}};
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        CHECK_INT(encode(t, str_of(want[i].text), ids, 64), want[i].count);
        for (uint32_t k = 0; k < want[i].count; k++)
            CHECK_INT(ids[k], want[i].id[k]);
    }
    tokenizer_close(t);
}

/* llama.cpp's test strings with the ids GPT-2's tokenizer gives. */
TEST(tokenize_gpt2_llama_cpp_cases)
{
    struct tokenizer *t;
    char *in, *out;
    size_t in_len, out_len;
    static uint32_t ids[4096];
    CHECK_OK(tokenizer_open(&t, test_data("vocab/r50k_base.tiktoken")));
    CHECK_OK(io_read_file(test_data("vocab/ggml-vocab-gpt-2.gguf.inp"), 1 << 20, &in, &in_len));
    CHECK_OK(io_read_file(test_data("vocab/ggml-vocab-gpt-2.gguf.out"), 1 << 20, &out, &out_len));
    struct str rest = {in, in_len}, lines = {out, out_len};
    int cases = 0;
    while (rest.len) {
        size_t end = str_find(rest, STR("\n__ggml_vocab_test__\n"));
        struct str text = str_slice(rest, 0, end);
        rest = end == SIZE_MAX ? (struct str){0} : str_slice(rest, end + 21, rest.len);
        struct str line = str_cut(lines, '\n', &lines);
        if (end == SIZE_MAX && text.len && text.ptr[text.len - 1] == '\n')
            text.len--;
        uint32_t count = encode(t, text, ids, 4096), k = 0;
        for (struct str word = str_trim(line), left; word.len; word = str_trim(left)) {
            uint64_t id;
            CHECK(str_u64(str_cut(word, ' ', &left), &id));
            CHECK(k < count);
            CHECK_INT(ids[k++], id);
        }
        CHECK_INT(k, count);
        cases++;
    }
    CHECK(cases >= 46);
    tokenizer_close(t);
    free(in);
    free(out);
}

/* ---- damaged files ---- */
TEST(tokenize_damaged_files_are_refused)
{
    const char *texts[] = {sample_text()};
    char path[300], *bytes;
    size_t len;
    struct tokenizer *t;
    train_on(test_dir(), PRETOK_CL100K, 300, texts, 1);
    snprintf(path, sizeof path, "%s/tokenizer.json", test_dir());
    CHECK_OK(io_read_file(path, 1 << 20, &bytes, &len));
    snprintf(path, sizeof path, "%s/bad.json", test_dir());
    for (size_t cut = 0; cut < len - 2; cut += cut < 60 ? 1 : 397) {
        CHECK_OK(io_write_file(path, (struct str){bytes, cut}));
        CHECK_ERR(tokenizer_open(&t, path), ERR_FORMAT);
    }
    uint64_t state = 1;
    for (int round = 0; round < 80; round++) {
        size_t at = test_random(&state) % len;
        char old = bytes[at];
        bytes[at] = (char)test_random(&state);
        CHECK_OK(io_write_file(path, (struct str){bytes, len}));
        if (tokenizer_open(&t, path) >= 0)
            tokenizer_close(t);
        bytes[at] = old;
    }
    free(bytes);
}

struct many {
    const struct tokenizer *t;
    uint64_t sum;
};
static void *encode_many(void *arg)
{
    struct many *m = arg;
    static _Thread_local uint32_t ids[4096];
    for (int i = 0; i < 200; i++) {
        uint32_t count = encode(m->t, str_of(sample_text()), ids, 4096);
        for (uint32_t k = 0; k < count; k++)
            m->sum = hash_mix(m->sum ^ ids[k]);
    }
    return NULL;
}

TEST(tokenize_threads_agree)
{
    const char *texts[] = {sample_text()};
    struct tokenizer *t;
    pthread_t thread[3];
    train_on(test_dir(), PRETOK_CL100K, 300, texts, 1);
    CHECK_OK(tokenizer_open(&t, test_dir()));
    struct many many[3] = {{t, 0}, {t, 0}, {t, 0}};
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&thread[i], NULL, encode_many, &many[i]) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    CHECK(many[0].sum == many[1].sum);
    CHECK(many[1].sum == many[2].sum);
    tokenizer_close(t);
}
