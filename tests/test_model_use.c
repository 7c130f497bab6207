/* test_model_use - generation against whole forward passes, and models saved, loaded and refused.
 */
#include "tests/model_rig.h"

#include "core/json.h"

/* ---- generation ---- */

struct sink { uint32_t token[256]; int count, stop_after; };

static int collect(void *arg, uint32_t token)
{
    struct sink *sink = arg;
    CHECK(sink->count < 256);
    sink->token[sink->count++] = token;
    return sink->stop_after && sink->count == sink->stop_after ? 1 : 0;
}

/* The most probable next token by a whole forward pass over the text. */
static uint32_t next_greedy(struct rig *r, const uint32_t *text, int length)
{
    int V = (int)r->m.conf.vocab, best = 0;
    tape_reset(&r->tape);
    struct tensor *logits = r->m.type->forward(&r->m, &r->tape,
                                               input(&r->tape, (const int32_t *)text, length), NULL,
                                               length, NULL);
    CHECK(logits);
    const float *last = (float *)logits->data + (length - 1) * V;
    for (int i = 1; i < V; i++)
        best = last[i] > last[best] ? i : best;
    return (uint32_t)best;
}

TEST(model_generate_equals_full_forward)
{
    static const char *const arch[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        struct model_conf c = tiny_conf(arch[i]);
        struct rig r;
        struct net net;
        struct sink sink = {0};
        struct generate_conf g = {.tokens = 40, .temperature = 0, .top_p = 1};
        uint32_t text[64] = {1, 5, 2, 7, 7}, length = 5;
        c.tied = false;                                     /* a tied toy repeats its last token */
        rig_open(&r, &c, false, 2);
        net_open(&net, &r.m); /* enlarged weights: margins well above rounding */
        CHECK_OK(generate(&r.m, text, length, 1000, &g, collect, &sink));
        CHECK_INT(sink.count, 40);
        int distinct = 0;
        for (int k = 0; k < 40; k++) {
            uint32_t want = next_greedy(&r, text, (int)length);
            CHECK_INT(sink.token[k], want);
            distinct += k && sink.token[k] != sink.token[k - 1];
            if (length == 16) { /* the context is full: its last half stays */
                memmove(text, text + 8, 8 * sizeof *text);
                length = 8;
            }
            text[length++] = want;
        }
        CHECK(distinct > 3);
        net_close(&net);
        rig_close(&r);
    }
}

TEST(model_generate_long_prompt_goes_in_pieces)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct net net;
    struct sink sink = {0};
    struct generate_conf g = {.tokens = 1, .temperature = 0, .top_p = 1};
    uint32_t text[300];
    uint64_t state = 1;
    c.context = 200;                                        /* three pieces of 64 and one of 8 */
    rig_open(&r, &c, false, 1);
    net_open(&net, &r.m);
    for (int i = 0; i < 300; i++)
        text[i] = (uint32_t)(test_random(&state) % 19);
    CHECK_OK(generate(&r.m, text, 200, 1000, &g, collect, &sink));
    CHECK_INT(sink.token[0], next_greedy(&r, text, 200));
    CHECK_OK(generate(&r.m, text, 300, 1000, &g, collect, &sink));
    CHECK_INT(sink.token[1], next_greedy(&r, text + 200, 100));
    net_close(&net);
    rig_close(&r);
}

TEST(model_generate_draws_follow_the_odds)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct net net;
    enum { DRAWS = 1500 };
    uint32_t prompt[] = {3, 1, 4}, top = 0;
    int seen[19] = {0}, seen_top[19] = {0};
    double logits[3 * 19], odds[19], sum = 0;
    int32_t ids[3] = {3, 1, 4}, start[3] = {0};
    rig_open(&r, &c, false, 1);
    net_open(&net, &r.m);
    oracle_logits(&net, ids, start, 3, logits);
    for (int i = 0; i < 19; i++)
        sum += odds[i] = exp(logits[2 * 19 + i] / 0.8);
    for (uint32_t i = 0; i < 19; i++)
        top = odds[i] > odds[top] ? i : top;
    for (int seed = 0; seed < DRAWS; seed++) {
        struct sink sink = {0};
        struct generate_conf g = {.tokens = 1, .temperature = 0.8, .top_p = 1, .seed = seed};
        CHECK_OK(generate(&r.m, prompt, 3, 1000, &g, collect, &sink));
        seen[sink.token[0]]++;
        g.top_p = odds[top] / sum * 1.001; /* just more than the first: the first two */
        CHECK_OK(generate(&r.m, prompt, 3, 1000, &g, collect, &sink));
        seen_top[sink.token[1]]++;
    }
    int kinds = 0;
    for (int i = 0; i < 19; i++) {
        double p = odds[i] / sum;
        CHECK_NUM(seen[i], DRAWS * p, 5 * sqrt(DRAWS * p * (1 - p)) + 1);   /* five sigma */
        kinds += seen_top[i] > 0;
    }
    CHECK_INT(kinds, 2);
    net_close(&net);
    rig_close(&r);
}

TEST(model_generate_stops_and_refuses)
{
    struct model_conf c = tiny_conf("gpt2");
    struct rig r;
    struct net net;
    struct sink sink = {0}, again = {0};
    struct generate_conf g = {.tokens = 50, .temperature = 1, .top_p = 0.9, .seed = 4};
    uint32_t prompt[] = {2}, strange[] = {19};
    rig_open(&r, &c, false, 1);
    net_open(&net, &r.m);
    CHECK_OK(generate(&r.m, prompt, 1, 1000, &g, collect, &sink));
    CHECK_OK(generate(&r.m, prompt, 1, 1000, &g, collect, &again));
    CHECK(memcmp(sink.token, again.token, sizeof sink.token) == 0);
    uint32_t eot = sink.token[10];
    int first = 0;
    while (sink.token[first] != eot)
        first++;
    again.count = 0;
    CHECK_OK(generate(&r.m, prompt, 1, eot, &g, collect, &again));
    CHECK_INT(again.count, first + 1);                      /* eot is the last one emitted */
    again = (struct sink){.stop_after = 3};
    CHECK_OK(generate(&r.m, prompt, 1, 1000, &g, collect, &again));
    CHECK_INT(again.count, 3);
    CHECK_ERR(generate(&r.m, prompt, 0, 0, &g, collect, &again), ERR_USAGE);
    CHECK_ERR(generate(&r.m, strange, 1, 0, &g, collect, &again), ERR_USAGE);
    g.temperature = NAN;
    CHECK_ERR(generate(&r.m, prompt, 1, 0, &g, collect, &again), ERR_USAGE);
    net_close(&net);
    rig_close(&r);
}

/* ---- saving ---- */

static void compare_models(const struct model *a, const struct model *b)
{
    CHECK_INT(a->param_count, b->param_count);
    for (int i = 0; i < a->param_count; i++) {
        size_t count = (size_t)tensor_count(&a->param[i].w);
        float *left = malloc(count * 4), *right = malloc(count * 4);
        CHECK_OK(model_get(a, i, left));
        CHECK_OK(model_get(b, i, right));
        if (memcmp(left, right, count * 4) != 0)
            test_fail(__FILE__, __LINE__, "%s differs after loading", a->param[i].name);
        free(left);
        free(right);
    }
}

static const char tokenizer_text[] = "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":18,"
                                     "\"content\":\"<|endoftext|>\",\"special\":true}],"
                                     "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]"
                                     "}}";

TEST(model_save_and_load_round_trip)
{
    static const char *const arch[] = {"llama", "gpt2"};
    for (int i = 0; i < 4; i++) {
        struct model_conf c = tiny_conf(arch[i / 2]);
        struct rig r;
        struct model back;
        struct arena a;
        struct json *config;
        char dir[IO_PATH_MAX], path[IO_PATH_MAX], *text;
        size_t bytes;
        c.tied = i % 2;
        rig_open(&r, &c, true, 1);
        CHECK_OK(io_path(path, "%s/tok.json", test_dir()));
        CHECK_OK(io_write_file(path, STR(tokenizer_text)));
        CHECK_OK(io_path(dir, "%s/model%d", test_dir(), i));
        CHECK_OK(model_save(&r.m, dir, path));
        CHECK_OK(model_load(&back, dir, r.s, false));
        compare_models(&r.m, &back);
        CHECK_INT(back.eot, 18);
        CHECK_INT(back.conf.hidden, 24);
        CHECK_INT(back.conf.context, 16);
        CHECK_INT(back.conf.tied, c.tied);
        CHECK_NUM(back.conf.norm_eps, 1e-5, 1e-12);
        CHECK_OK(io_path(path, "%s/config.json", dir));
        CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
        CHECK_OK(arena_open(&a, 1 << 20));
        CHECK_OK(json_parse(&a, (struct str){text, bytes}, &config));
        CHECK_STR(json_str(config, "model_type", STR("")), arch[i / 2]);
        CHECK_NUM(json_num(config, "eos_token_id", -1), 18, 0);
        CHECK_STR(json_get(config, "architectures")->child->string,
                  i / 2 ? "GPT2LMHeadModel" : "LlamaForCausalLM");
        static const char *const beside[] = {"generation_config.json", "tokenizer.json",
                                             "tokenizer_config.json", "special_tokens_map.json"};
        for (size_t k = 0; k < COUNT_OF(beside); k++) {
            CHECK_OK(io_path(path, "%s/%s", dir, beside[k]));
            CHECK(io_exists(path));
        }
        free(text);
        arena_close(&a);
        model_close(&back);
        rig_close(&r);
    }
}

TEST(model_gpt2_is_stored_as_conv1d)
{
    struct model_conf c = tiny_conf("gpt2");
    struct rig r;
    struct arena a;
    struct safetensor *t;
    int count;
    char path[IO_PATH_MAX];
    float part[16 * 16], bias[16];
    rig_open(&r, &c, false, 1);
    for (int i = 0; i < r.m.param_count; i++) { /* biases of their own, to see where they land */
        float value[19 * 16 + 24 * 16];
        CHECK_OK(model_get(&r.m, i, value));
        for (int64_t k = 0; k < tensor_count(&r.m.param[i].w); k++)
            value[k] += (float)(i * 1000 + k);
        CHECK_OK(model_put(&r.m, i, value));
    }
    CHECK_OK(model_save(&r.m, test_dir(), NULL));
    CHECK_OK(io_path(path, "%s/model.safetensors", test_dir()));
    CHECK_OK(arena_open(&a, 1 << 24));
    CHECK_OK(safetensors_read(path, &a, &t, &count));
    const struct safetensor *joined = safetensors_find(t, count,
                                                       "transformer.h.1.attn.c_attn.weight");
    const struct safetensor *biases = safetensors_find(t, count,
                                                       "transformer.h.1.attn.c_attn.bias");
    CHECK(joined && biases);
    CHECK_INT(joined->dim[0], 16);
    CHECK_INT(joined->dim[1], 48);
    CHECK_INT(biases->dim[0], 48);
    for (int p = 0; p < 3; p++) {
        int index = 2 + 16 + 2 + 2 * p;
        char name[96];
        snprintf(name, sizeof name, "transformer.h.1.attn.c_attn.weight[%d]", p);
        CHECK_STR(str_of(r.m.param[index].name), name);
        CHECK_OK(model_get(&r.m, index, part));
        CHECK_OK(model_get(&r.m, index + 1, bias));
        for (int out = 0; out < 16; out++) {
            CHECK(((const float *)biases->data)[p * 16 + out] == bias[out]);
            for (int in = 0; in < 16; in++)
                CHECK(((const float *)joined->data)[in * 48 + p * 16 + out] == part[out * 16 + in]);
        }
    }
    const struct safetensor *fc = safetensors_find(t, count, "transformer.h.0.mlp.c_fc.weight");
    CHECK(fc && fc->dim[0] == 16 && fc->dim[1] == 24);
    CHECK(!safetensors_find(t, count, "lm_head.weight"));
    arena_close(&a);
    rig_close(&r);
}

TEST(model_bf16_keeps_a_master_and_saves_halves)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct model back;
    float master[19 * 16], loaded[19 * 16];
    c.dtype = "bf16";
    rig_open(&r, &c, true, 1);
    CHECK_OK(model_get(&r.m, 0, master));
    CHECK(master[0] != bf16_widen(bf16_round(master[0])) ||
          master[1] != bf16_widen(bf16_round(master[1])));
    CHECK_OK(model_save(&r.m, test_dir(), NULL));
    CHECK_OK(model_load_as(&back, test_dir(), r.s, false, "f32"));
    CHECK_OK(model_get(&back, 0, loaded));
    for (size_t i = 0; i < COUNT_OF(master); i++)
        CHECK(loaded[i] == bf16_widen(bf16_round(master[i])));
    model_close(&back);
    rig_close(&r);
}

TEST(model_bf16_rounds_to_nearest_even)
{
    /* Bit patterns by hand: halves go to the even neighbour, NaN stays NaN, infinity stays. */
    static const struct { uint32_t bits; uint16_t want; } cases[] = {
        {0x3F800000, 0x3F80}, {0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0x3F808001, 0x3F81},
        {0x7F800000, 0x7F80}, {0xFF800000, 0xFF80}, {0x7F7FFFFF, 0x7F80}, {0x80000000, 0x8000},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        float value;
        memcpy(&value, &cases[i].bits, 4);
        CHECK_INT(bf16_round(value), cases[i].want);
    }
    CHECK(isnan(bf16_widen(bf16_round(NAN))));
    uint32_t low_nan = 0x7F800001;
    float value;
    memcpy(&value, &low_nan, 4);
    CHECK(isnan(bf16_widen(bf16_round(value))));
}

/* Folders made by numpy and the safetensors library, logits by transformers: see
 * tests/oracle/transformers_logits.py. */
TEST(model_answers_as_transformers)
{
    static const char *const name[] = {"llama", "gpt2"};
    for (int i = 0; i < 2; i++) {
        char path[IO_PATH_MAX];
        struct stream *s;
        struct model m;
        struct kv_cache *cache;
        float logits[19];
        CHECK_OK(io_path(path, "tests/golden/model/%s", name[i]));
        CHECK_OK(device_open(&s, DEV_CPU, 1));
        CHECK_OK(model_load(&m, path, s, false));
        CHECK_OK(kv_cache_open(&cache, &m, 16));
        CHECK_OK(io_path(path, "tests/golden/model/%s/logits.txt", name[i]));
        FILE *file = fopen(path, "r");
        CHECK(file);
        uint32_t token, rows = 0;
        while (fscanf(file, "%u", &token) == 1) {
            CHECK_OK(kv_cache_feed(cache, &m, &token, 1, logits));
            for (int k = 0; k < 19; k++) {
                double want;
                CHECK(fscanf(file, "%lf", &want) == 1);
                CHECK_NUM(logits[k], want, 1e-5);
            }
            rows++;
        }
        CHECK_INT(rows, 10);
        fclose(file);
        kv_cache_close(cache);
        model_close(&m);
        device_close(s);
    }
}

/* Replaces `from` in config.json by `to` and expects a refusal that names `what`. */
static void refuse_config(const char *dir, struct stream *s, const char *from, const char *to,
                          const char *what)
{
    char path[IO_PATH_MAX], *text;
    size_t bytes;
    struct buf changed = {0};
    struct model m;
    CHECK_OK(io_path(path, "%s/config.json", dir));
    CHECK_OK(io_read_file(path, 1 << 20, &text, &bytes));
    struct str whole = {text, bytes};
    size_t at = str_find(whole, str_of(from));
    if (at == SIZE_MAX)
        test_fail(__FILE__, __LINE__, "%s is not in %.*s", from, (int)bytes, text);
    buf_add(&changed, text, at);
    buf_text(&changed, to);
    buf_add(&changed, text + at + strlen(from), bytes - at - strlen(from));
    CHECK_OK(io_write_file(path, buf_view(&changed)));
    int rc = model_load(&m, dir, s, false);
    if (rc >= 0 || !strstr(err_text(), what))
        test_fail(__FILE__, __LINE__, "%s -> %s: got %d \"%s\", want \"%s\"", from, to, rc,
                  err_text(), what);
    CHECK_OK(io_write_file(path, whole));
    buf_free(&changed);
    free(text);
}

TEST(model_load_refuses_what_it_cannot_be)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    struct model back;
    rig_open(&r, &c, false, 1);
    CHECK_OK(model_save(&r.m, test_dir(), NULL));
    static const struct { const char *from, *to, *what;
    } cases[] = {
        {"\"llama\"", "\"mamba\"", "mamba"},
        {"\"attention_bias\":false", "\"attention_bias\":true", "bias"},
        {"\"hidden_act\":\"silu\"", "\"hidden_act\":\"gelu\"", "hidden_act"},
        {"\"head_dim\":4", "\"head_dim\":8", "head_dim"},
        {"\"rope_theta\":10000", "\"rope_theta\":10000,\"rope_scaling\":{\"type\":\"linear\"}",
         "rope_scaling"},
        {"\"vocab_size\":19", "\"vocab_size\":20", "embed_tokens"},
        {"\"vocab_size\":19", "\"vocab_size\":99999999999999", "vocab"},
        {"\"hidden_size\":16", "\"hidden_size\":-16", "head_dim"},
        {"\"num_hidden_layers\":2", "\"num_hidden_layers\":1", "another architecture"},
        {"\"num_hidden_layers\":2", "\"num_hidden_layers\":3", "layers.2"},
        {"\"num_attention_heads\":4", "\"num_attention_heads\":0", "heads"},
        {"{", "[", "config.json"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refuse_config(test_dir(), r.s, cases[i].from, cases[i].to, cases[i].what);
    CHECK_OK(model_load(&back, test_dir(), r.s, false));
    model_close(&back);
    rig_close(&r);
}
