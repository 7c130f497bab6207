/* test_tokenize_train - counting and learning against slow twins, for any threads, order, memory.
 */
#include "core/hash.h"
#include "tests/test.h"
#include "tokenize/bpe_count.h"
#include "tokenize/bpe_learn.h"

#include <pthread.h>

/* ---- texts ---- */
/* Words of a small alphabet, so that pairs tie often, in many lengths, with runs of one letter,
 * long ones (beyond what is its own key, and beyond what the cache takes), UTF-8 and stray bytes.
 */
static void make_text(struct buf *to, uint64_t seed, int words)
{
    uint64_t state = hash_mix(seed);
    static const char *const stems[] = {
        "aaaa",         "abab",  "banana", "the",  "ing", "\xD0\xB4\xD0\xBE",
        "\xE3\x81\x82", "12345", "--",     "\xFF", "_x_"};
    buf_clear(to);
    for (int i = 0; i < words; i++) {
        uint64_t draw = test_random(&state);
        int parts = draw % 50 == 0 ? 30 : 1 + (int)(draw >> 8 & 3);
        for (int k = 0; k < parts; k++)
            buf_text(to, stems[test_random(&state) % COUNT_OF(stems)]);
        buf_text(to, draw % 7 ? " " : ".\n");
    }
}

/* ---- counting ---- */
struct tally {
    char bytes[260];
    size_t len;
    uint64_t times;
};
struct tallies {
    struct tally *item;
    size_t count, max;
};

/* The slow twin: a list, searched from the front. */
static void slow_tally(struct tallies *t, struct str piece, uint64_t times)
{
    CHECK(piece.len < sizeof t->item->bytes);
    for (size_t i = 0; i < t->count; i++)
        if (str_eq((struct str){t->item[i].bytes, t->item[i].len}, piece)) {
            t->item[i].times += times;
            return;
        }
    if (t->count == t->max) {
        t->max = t->max ? t->max * 2 : 64;
        t->item = realloc(t->item, sizeof *t->item * t->max);
        CHECK(t->item != NULL);
    }
    memcpy(t->item[t->count].bytes, piece.ptr, piece.len);
    t->item[t->count].len = piece.len;
    t->item[t->count++].times = times;
}

static int take_piece(void *self, struct str piece, uint64_t times)
{
    struct tallies *got = self;
    if (got->count == got->max) {
        got->max = got->max ? got->max * 2 : 64;
        got->item = realloc(got->item, sizeof *got->item * got->max);
        CHECK(got->item != NULL);
    }
    CHECK(piece.len < sizeof got->item->bytes);
    memcpy(got->item[got->count].bytes, piece.ptr, piece.len);
    got->item[got->count].len = piece.len;
    got->item[got->count++].times = times;
    return 0;
}

static int by_bytes(const void *a, const void *b)
{
    const struct tally *x = a, *y = b;
    return str_cmp((struct str){x->bytes, x->len}, (struct str){y->bytes, y->len});
}

static void slow_pieces(struct tallies *t, struct str text, uint64_t times, size_t longest)
{
    for (size_t pos = 0, end; pos < text.len; pos = end) {
        end = pretok_next(PRETOK_CL100K, text, pos);
        if (end - pos <= longest && times)
            slow_tally(t, str_slice(text, pos, end), times);
    }
}

/* Those of two bytes and more that were counted at least so often, in order. */
static void slow_settle(struct tallies *t, uint64_t least)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->count; i++)
        if (t->item[i].len >= 2 && t->item[i].times >= least)
            t->item[kept++] = t->item[i];
    t->count = kept;
    qsort(t->item, t->count, sizeof *t->item, by_bytes);
}

static void check_equal(struct tallies *got, const struct tallies *want)
{
    qsort(got->item, got->count, sizeof *got->item, by_bytes);
    CHECK_INT(got->count, want->count);
    for (size_t i = 0; i < want->count; i++) {
        CHECK(by_bytes(&got->item[i], &want->item[i]) == 0);
        CHECK_INT(got->item[i].times, want->item[i].times);
    }
}

struct counting {
    struct piece_counts *counts;
    int first, step, texts, words;
    int rc;
};
enum { TEXTS = 60, TEXT_WORDS = 200, LONGEST = 100 };

static void *count_some(void *arg)
{
    struct counting *c = arg;
    struct piece_counter *counter = NULL;
    struct buf text = {0};
    c->rc = piece_counter_open(&counter, c->counts);
    for (int i = c->first; i < c->texts && c->rc >= 0; i += c->step) {
        make_text(&text, (uint64_t)i, c->words);
        c->rc =
            piece_counter_add(counter, PRETOK_CL100K, buf_view(&text), (uint64_t)(i % 3), LONGEST);
    }
    if (c->rc >= 0)
        c->rc = piece_counter_flush(counter);
    piece_counter_close(counter);
    buf_free(&text);
    return NULL;
}

static void count_by(struct piece_counts *counts, int threads)
{
    pthread_t thread[8];
    struct counting part[8];
    for (int i = 0; i < threads; i++) {
        part[i] = (struct counting){counts, i, threads, TEXTS, TEXT_WORDS, 0};
        CHECK(pthread_create(&thread[i], NULL, count_some, &part[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        CHECK_OK(part[i].rc);
    }
}

static void slow_count(struct tallies *want, uint64_t least)
{
    struct buf text = {0};
    for (int i = 0; i < TEXTS; i++) {
        make_text(&text, (uint64_t)i, TEXT_WORDS);
        slow_pieces(want, buf_view(&text), (uint64_t)(i % 3), LONGEST);
    }
    slow_settle(want, least);
    buf_free(&text);
}

TEST(tokenize_train_counts_equal_slow_twin)
{
    struct tallies want = {0};
    slow_count(&want, 1);
    CHECK(want.count > 500);
    for (int threads = 1; threads <= 4; threads += 3)
        for (int pass = 0; pass < 2; pass++) {
            struct tallies got = {0};
            struct piece_counts *counts;
            struct piece_totals totals;
            /* Second pass: so little memory that shards are written out again and again. */
            CHECK_OK(piece_counts_open(&counts, pass ? 1 << 18 : 1 << 26, test_dir()));
            count_by(counts, threads);
            CHECK_OK(piece_counts_settle(counts, 1, 1, UINT64_MAX, UINT64_MAX, &totals));
            CHECK((totals.spilled > 0) == (pass == 1));
            CHECK_INT(totals.pieces, want.count);
            CHECK_OK(piece_counts_each(counts, take_piece, &got));
            check_equal(&got, &want);
            piece_counts_close(counts);
            free(got.item);
        }
    free(want.item);
}

TEST(tokenize_train_counts_leave_out_the_rarest)
{
    struct tallies want = {0};
    slow_count(&want, 1);
    for (uint64_t least = 1; least < 4; least++)
        for (uint64_t pieces_max = 50; pieces_max < 5000; pieces_max *= 3) {
            struct tallies got = {0};
            struct piece_counts *counts;
            struct piece_totals totals;
            uint64_t expect = least, more = 0;
            for (expect = least;; expect++) { /* the least count that leaves few enough */
                more = 0;
                for (size_t i = 0; i < want.count; i++)
                    more += want.item[i].times >= expect;
                if (more <= pieces_max)
                    break;
            }
            CHECK_OK(piece_counts_open(&counts, 1 << 26, NULL));
            count_by(counts, 1);
            CHECK_OK(piece_counts_settle(counts, 1, least, pieces_max, UINT64_MAX, &totals));
            CHECK_INT(totals.pieces, more);
            CHECK_INT(totals.least, expect);
            CHECK_OK(piece_counts_each(counts, take_piece, &got));
            CHECK_INT(got.count, more);
            for (size_t i = 0; i < got.count; i++)
                CHECK(got.item[i].times >= expect);
            piece_counts_close(counts);
            free(got.item);
        }
    free(want.item);
}

/* ---- learning ---- */
enum { SLOW_IDS = 700 };
struct slow_word {
    uint32_t symbol[200], count;
    uint64_t times;
};

/* The slow twin: all pairs counted anew for each merge. */
static uint32_t slow_learn(struct slow_word *word, size_t words, uint32_t merges, uint64_t least,
                           struct bpe_pair *out)
{
    static uint64_t pairs[SLOW_IDS][SLOW_IDS];
    for (uint32_t made = 0; made < merges; made++) {
        uint64_t best = 0;
        memset(pairs, 0, sizeof pairs);
        for (size_t w = 0; w < words; w++)
            for (uint32_t i = 0; i + 1 < word[w].count; i++)
                pairs[word[w].symbol[i]][word[w].symbol[i + 1]] += word[w].times;
        for (uint32_t a = 0; a < SLOW_IDS; a++)
            for (uint32_t b = 0; b < SLOW_IDS; b++)
                if (pairs[a][b] > best) {
                    best = pairs[a][b];
                    out[made] = (struct bpe_pair){a, b};
                }
        if (best < least)
            return made;
        for (size_t w = 0; w < words; w++) {
            uint32_t *s = word[w].symbol, kept = 0;
            for (uint32_t i = 0; i < word[w].count; i++) {
                bool join =
                    i + 1 < word[w].count && s[i] == out[made].left && s[i + 1] == out[made].right;
                s[kept++] = join ? 256 + made : s[i];
                i += join;
            }
            word[w].count = kept;
        }
    }
    return merges;
}

static void words_draw(struct slow_word *word, size_t words, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t w = 0; w < words; w++) {
        word[w].count = 1 + (uint32_t)(test_random(&state) % (w % 10 ? 12 : 150));
        word[w].times = 1 + test_random(&state) % (w % 5 ? 4 : 1000);
        uint32_t letters = w % 3 ? 3 : 1 + (uint32_t)(w % 6); /* runs of one letter among them */
        for (uint32_t i = 0; i < word[w].count; i++)
            word[w].symbol[i] = 'a' + (uint32_t)(test_random(&state) % letters);
    }
}

/* start: from where pairs are watched: high values make all words be looked through many times. */
static void learn_and_compare(const struct slow_word *word, size_t words, bool backwards,
                              uint64_t start, uint64_t least, const struct bpe_pair *want,
                              uint32_t merges, uint32_t merges_max)
{
    struct bpe_learn_conf conf = {.words = words,
                                  .symbols = words * 150,
                                  .first_id = 256,
                                  .merges_max = merges_max,
                                  .least = least,
                                  .start = start};
    struct bpe_learner *l;
    uint32_t got_count;
    CHECK_OK(bpe_learner_open(&l, &conf));
    for (size_t i = 0; i < words; i++) {
        const struct slow_word *w = &word[backwards ? words - 1 - i : i];
        CHECK_OK(bpe_learner_word(l, w->symbol, w->count, w->times));
    }
    CHECK_OK(bpe_learner_run(l));
    const struct bpe_pair *got = bpe_learner_merges(l, &got_count);
    CHECK_INT(got_count, merges);
    for (uint32_t i = 0; i < merges; i++) {
        CHECK_INT(got[i].left, want[i].left);
        CHECK_INT(got[i].right, want[i].right);
    }
    bpe_learner_close(l);
}

TEST(tokenize_train_merges_equal_slow_twin)
{
    enum { WORDS = 120, MERGES = 150, ROUNDS = 8 };
    static struct slow_word word[WORDS], slow[WORDS];
    static struct bpe_pair want[MERGES];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t least = round % 3 == 0 ? 1 : round % 3 * 20;
        words_draw(word, WORDS, round + 1);
        memcpy(slow, word, sizeof slow);
        uint32_t merges = slow_learn(slow, WORDS, MERGES, least, want);
        CHECK(merges > 20);
        static const uint64_t starts[] = {0, 1, 30, 3000, 1 << 30};
        for (size_t s = 0; s < COUNT_OF(starts); s++)
            learn_and_compare(word, WORDS, s % 2, starts[s], least, want, merges, MERGES);
    }
}

TEST(tokenize_train_learner_limits)
{
    struct bpe_learner *l;
    struct bpe_learn_conf conf = {.words = 1, .symbols = 3, .first_id = 256, .merges_max = 10};
    uint32_t symbol[4] = {1, 2, 1, 2}, count;
    CHECK_OK(bpe_learner_open(&l, &conf));
    CHECK_OK(bpe_learner_word(l, symbol, 1, 5)); /* teaches nothing */
    CHECK_ERR(bpe_learner_word(l, symbol, 4, 5), ERR_LIMIT);
    CHECK_OK(bpe_learner_word(l, symbol, 3, 5));
    CHECK_OK(bpe_learner_run(l));
    bpe_learner_merges(l, &count);
    CHECK_INT(count, 2);
    CHECK_INT(bpe_learner_last(l), 5);
    bpe_learner_close(l);
    CHECK_OK(bpe_learner_open(&l, &(struct bpe_learn_conf){.first_id = 256, .merges_max = 10}));
    CHECK_OK(bpe_learner_run(l)); /* no words */
    bpe_learner_close(l);
    conf.symbols = UINT32_MAX;
    CHECK_ERR(bpe_learner_open(&l, &conf), ERR_LIMIT);
}

/* ---- the whole ---- */
static struct buf file_bytes(const char *dir, const char *name)
{
    char path[IO_PATH_MAX], *bytes;
    struct buf out = {0};
    size_t len;
    CHECK_OK(io_path(path, "%s/%s", dir, name));
    CHECK_OK(io_read_file(path, 64 << 20, &bytes, &len));
    buf_add(&out, bytes, len);
    free(bytes);
    return out;
}

static void check_same_files(const char *a, const char *b)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.tiktoken",
                                        "tokenizer_config.json"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct buf x = file_bytes(a, names[i]), y = file_bytes(b, names[i]);
        CHECK(str_eq(buf_view(&x), buf_view(&y)));
        buf_free(&x);
        buf_free(&y);
    }
}

struct adding {
    struct bpe_trainer *trainer;
    int first, step;
    uint64_t weight;
    int rc;
};

static void *add_some(void *arg)
{
    struct adding *a = arg;
    struct bpe_counter *c;
    struct buf text = {0};
    a->rc = bpe_counter_open(&c, a->trainer);
    if (a->rc < 0)
        return NULL;
    for (int i = a->first; i < TEXTS && i >= 0 && a->rc >= 0; i += a->step) {
        make_text(&text, (uint64_t)i, TEXT_WORDS);
        a->rc = bpe_counter_add(c, buf_view(&text), a->weight);
    }
    int closed = bpe_counter_close(c);
    a->rc = a->rc < 0 ? a->rc : closed;
    buf_free(&text);
    return NULL;
}

static struct bpe_train_stats train_by(const char *dir, int threads, bool backwards,
                                       uint64_t memory, uint64_t one)
{
    struct bpe_train_conf conf = {.vocab_size = 500,
                                  .pretok = PRETOK_CL100K,
                                  .memory = memory,
                                  .weight_one = one,
                                  .spill_dir = test_dir()};
    struct bpe_trainer *t;
    pthread_t thread[8];
    struct adding part[8];
    CHECK_OK(bpe_trainer_open(&t, &conf));
    for (int i = 0; i < threads; i++) {
        part[i] = (struct adding){t, backwards ? TEXTS - 1 - i : i, backwards ? -threads : threads,
                                  one, 0};
        CHECK(pthread_create(&thread[i], NULL, add_some, &part[i]) == 0);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
        CHECK_OK(part[i].rc);
    }
    CHECK_OK(bpe_trainer_finish(t, dir, NULL, NULL));
    struct bpe_train_stats stats = bpe_trainer_stats(t);
    bpe_trainer_close(t);
    return stats;
}

TEST(tokenize_train_same_bytes_for_threads_order_and_memory)
{
    const char *first = test_path("first");
    struct bpe_train_stats one = train_by(first, 1, false, 0, 1);
    CHECK_INT(one.texts, TEXTS);
    CHECK(one.merges > 200);
    CHECK_INT(one.spilled, 0);
    const struct {
        int threads;
        bool backwards;
        uint64_t memory, weight_one;
    } ways[] = {{1, true, 0, 1},
                {2, false, 0, 1},
                {7, true, 0, 1},
                {1, false, 0, 1000},
                {3, false, (uint64_t)40 << 20, 1}};
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        const char *dir = test_path("other");
        struct bpe_train_stats other =
            train_by(dir, ways[i].threads, ways[i].backwards, ways[i].memory, ways[i].weight_one);
        CHECK_INT(other.pieces, one.pieces);
        CHECK_INT(other.bytes, one.bytes);
        CHECK_INT(other.last_count, one.last_count);
        check_same_files(first, dir);
    }
}

/* A weight is how often a text counts: 3 is the text three times, a half beside a whole is one
 * beside two. */
TEST(tokenize_train_weights)
{
    const struct {
        uint64_t one, a, b; /* what a weight of 1 is; weights of the texts */
        int times_a, times_b;
    } ways[] = {
        {1, 3, 1, 1, 1}, {1, 1, 1, 3, 1}, {1000, 3000, 1000, 1, 1}, {1000, 1500, 500, 1, 2}};
    struct buf a = {0}, b = {0};
    make_text(&a, 1, 3000);
    for (uint64_t state = 5, i = 0; i < 3000; i++)
        buf_printf(&b, "%c%c%c ", 'k' + (int)(test_random(&state) % 9),
                   'm' + (int)(test_random(&state) % 9), 'o' + (int)(test_random(&state) % 9));
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct bpe_train_conf conf = {
            .vocab_size = 400, .pretok = PRETOK_O200K, .weight_one = ways[i].one};
        struct bpe_trainer *t;
        CHECK_OK(bpe_trainer_open(&t, &conf));
        for (int k = 0; k < ways[i].times_a; k++)
            CHECK_OK(bpe_trainer_add(t, buf_view(&a), ways[i].a));
        for (int k = 0; k < ways[i].times_b; k++)
            CHECK_OK(bpe_trainer_add(t, buf_view(&b), ways[i].b));
        CHECK_OK(bpe_trainer_add(t, STR("never never never never"), 0));
        CHECK_OK(bpe_trainer_finish(t, test_path(i ? "other" : "first"), NULL, NULL));
        bpe_trainer_close(t);
        if (i == 1 || i == 2) /* the last has other proportions */
            check_same_files(test_path("first"), test_path("other"));
    }
    struct buf x = file_bytes(test_path("first"), "tokenizer.json"),
               y = file_bytes(test_path("other"), "tokenizer.json");
    CHECK(!str_eq(buf_view(&x), buf_view(&y)));
    buf_free(&x);
    buf_free(&y);
    buf_free(&a);
    buf_free(&b);
}

TEST(tokenize_train_least_counts)
{
    struct bpe_train_conf conf = {.vocab_size = 1000, .pretok = PRETOK_GPT2, .pair_min = 5};
    struct bpe_trainer *t;
    CHECK_OK(bpe_trainer_open(&t, &conf));
    CHECK_OK(bpe_trainer_add(t, STR("ab"), 5));
    CHECK_OK(bpe_trainer_add(t, STR("cd"), 4));
    CHECK_OK(bpe_trainer_finish(t, test_dir(), NULL, NULL));
    struct bpe_train_stats s = bpe_trainer_stats(t);
    bpe_trainer_close(t);
    CHECK_INT(s.merges, 1);
    CHECK_INT(s.last_count, 5);
    conf = (struct bpe_train_conf){.vocab_size = 1000, .pretok = PRETOK_GPT2, .piece_min = 5};
    CHECK_OK(bpe_trainer_open(&t, &conf));
    CHECK_OK(bpe_trainer_add(t, STR("abc"), 5));
    CHECK_OK(bpe_trainer_add(t, STR("cde"), 4));
    CHECK_OK(bpe_trainer_finish(t, test_dir(), NULL, NULL));
    s = bpe_trainer_stats(t);
    bpe_trainer_close(t);
    CHECK_INT(s.merges, 2);
    CHECK_INT(s.learned_pieces, 1);
}

TEST(tokenize_train_special_tokens)
{
    static const char *const special[] = {"<|im_start|>", "<|im_end|>", "\xC3\xA9<>"};
    struct bpe_train_conf conf = {
        .vocab_size = 270, .pretok = PRETOK_CL100K, .special = special, .special_count = 3};
    struct bpe_trainer *t;
    struct tokenizer *k;
    CHECK_OK(bpe_trainer_open(&t, &conf));
    CHECK_OK(bpe_trainer_add(t, STR("banana bandana banana <|im_end|> <|im_end|>"), 1000));
    CHECK_OK(bpe_trainer_finish(t, test_dir(), NULL, NULL));
    bpe_trainer_close(t);
    CHECK_OK(tokenizer_open(&k, test_dir()));
    CHECK_INT(tokenizer_vocab(k), 270);
    CHECK_INT(tokenizer_eot(k), 266);
    CHECK_INT(tokenizer_added_count(k), 4);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_STR(tokenizer_text(k, 267 + i), special[i]);
    tokenizer_close(k);
    static const char *const twice[] = {"<x>", "<x>"}, *const there[] = {"<|endoftext|>"},
                             *const empty[] = {""};
    conf.special = twice;
    conf.special_count = 2;
    CHECK_ERR(bpe_trainer_open(&t, &conf), ERR_USAGE);
    conf.special = there;
    conf.special_count = 1;
    CHECK_ERR(bpe_trainer_open(&t, &conf), ERR_USAGE);
    conf.special = empty;
    CHECK_ERR(bpe_trainer_open(&t, &conf), ERR_USAGE);
    conf.special_count = 0;
    conf.vocab_size = 256;
    CHECK_ERR(bpe_trainer_open(&t, &conf), ERR_USAGE);
}

/* Nothing, one letter, noise: linear time, and a vocabulary that can be read back. */
TEST(tokenize_train_hostile_texts)
{
    enum { BYTES = 4 << 20 };
    char *bytes = malloc(BYTES);
    uint64_t state = 3;
    CHECK(bytes != NULL);
    for (int kind = 0; kind < 5; kind++) {
        struct bpe_train_conf conf = {.vocab_size = 600,
                                      .pretok = (enum pretok)(kind % PRETOK_DEEPSEEK3),
                                      .memory = (uint64_t)120 << 20,
                                      .spill_dir = test_dir()};
        size_t len = kind == 0 ? 0 : BYTES;
        struct bpe_trainer *t;
        struct tokenizer *k;
        for (size_t i = 0; i < len; i++)
            bytes[i] = kind == 1   ? 'x'
                       : kind == 2 ? (char)test_random(&state)
                       : kind == 3 ? (i % 250 == 249 ? ' ' : 'a')
                                   : (char)0;
        CHECK_OK(bpe_trainer_open(&t, &conf));
        CHECK_OK(bpe_trainer_add(t, (struct str){bytes, len}, 1));
        CHECK_OK(bpe_trainer_finish(t, test_dir(), NULL, NULL));
        struct bpe_train_stats s = bpe_trainer_stats(t);
        CHECK((s.merges > 0) == (kind == 2 || kind == 3));
        bpe_trainer_close(t);
        CHECK_OK(tokenizer_open(&k, test_dir()));
        CHECK_INT(tokenizer_vocab(k), 257 + s.merges);
        tokenizer_close(k);
    }
    free(bytes);
}

/* More different pieces than memory has room for: refused with what would help, not begun. */
TEST(tokenize_train_memory_is_a_bound)
{
    struct bpe_train_conf conf = {.vocab_size = 20000,
                                  .pretok = PRETOK_GPT2,
                                  .memory = (uint64_t)36 << 20,
                                  .spill_dir = test_dir()};
    struct bpe_trainer *t;
    struct buf text = {0};
    uint64_t state = 11;
    for (int i = 0; i < 600000; i++)
        buf_printf(&text, " %c%c%c%c%c%c", 'a' + (int)(test_random(&state) % 26),
                   'a' + (int)(test_random(&state) % 26), 'a' + (int)(test_random(&state) % 26),
                   'a' + (int)(test_random(&state) % 26), 'a' + (int)(test_random(&state) % 26),
                   'a' + (int)(test_random(&state) % 26));
    CHECK_OK(bpe_trainer_open(&t, &conf));
    CHECK_OK(bpe_trainer_add(t, buf_view(&text), 1));
    CHECK_ERR(bpe_trainer_finish(t, test_dir(), NULL, NULL), ERR_LIMIT);
    CHECK(strstr(err_text(), "--memory") != NULL);
    bpe_trainer_close(t);
    conf.piece_min = 2; /* of 600,000 draws among 26^6 hardly any is drawn twice */
    CHECK_OK(bpe_trainer_open(&t, &conf));
    CHECK_OK(bpe_trainer_add(t, buf_view(&text), 1));
    CHECK_OK(bpe_trainer_finish(t, test_dir(), NULL, NULL));
    CHECK(bpe_trainer_stats(t).spilled > 0);
    bpe_trainer_close(t);
    buf_free(&text);
}
