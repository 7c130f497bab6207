/* test_model - both architectures against the oracle: logits, gradients, first values, memory,
 * learning. */
#include "tests/model_rig.h"

static double oracle_loss(const struct net *net, const int32_t *ids, const int32_t *targets,
                          const int32_t *start)
{
    int V = (int)net->m->conf.vocab, counted = 0;
    double logits[N * 32], sum = 0;
    for (int b = 0; b < B; b++)
        oracle_logits(net, ids + b * T, start + b * T, T, logits + b * T * V);
    for (int n = 0; n < N; n++) {
        if (targets[n] < 0)
            continue;
        double total = 0;
        for (int i = 0; i < V; i++)
            total += exp(logits[n * V + i]);
        sum += log(total) - logits[n * V + targets[n]];
        counted++;
    }
    return sum / counted;
}

static void make_batch(int32_t *ids, int32_t *targets, int32_t *start, int V)
{
    uint64_t state = 3;
    for (int n = 0; n < N; n++) {
        ids[n] = (int32_t)(test_random(&state) % (uint64_t)V);
        targets[n] = n % 5 == 4 ? -1 : (int32_t)(test_random(&state) % (uint64_t)V);
        start[n] = n < T ? 0 : n - T < 3 ? 0 : 3;          /* the second row holds two documents */
    }
    ids[0] = 1, ids[T] = 2, ids[T + 3] = 3; /* no two documents begin alike: all can be learnt */
}

/* Logits, loss and gradients of the tape in fp32 against the double oracle and its central
 * differences. */
static void check_against_oracle(struct model_conf c)
{
    struct rig r;
    struct net net;
    int32_t ids[N], targets[N], start[N];
    int V = (int)c.vocab;
    double want[N * 32];
    rig_open(&r, &c, true, 2);
    net_open(&net, &r.m);
    make_batch(ids, targets, start, V);
    struct tensor *logits = r.m.type->forward(&r.m, &r.tape, input(&r.tape, ids, N),
                                              input(&r.tape, start, N), T, NULL);
    CHECK(logits);
    struct tensor *loss = cross_entropy_op(&r.tape, logits, input(&r.tape, targets, N));
    CHECK(loss);
    CHECK_OK(tape_backward(&r.tape, loss, 1));
    for (int b = 0; b < B; b++)
        oracle_logits(&net, ids + b * T, start + b * T, T, want + b * T * V);
    for (int i = 0; i < N * V; i++)
        CHECK_NUM(((float *)logits->data)[i], want[i], 2e-5 * (1 + fabs(want[i])));
    CHECK_NUM(*(float *)loss->data, oracle_loss(&net, ids, targets, start), 1e-5);
    uint64_t state = 11;
    double largest = 0;
    for (int p = 0; p < r.m.param_count; p++)
        for (int probe = 0; probe < 6; probe++) {
            uint64_t count = (uint64_t)tensor_count(&r.m.param[p].w),
                     k = test_random(&state) % count;
            double *at = &net.value[p][k], was = *at, h = 1e-5;
            *at = was + h;
            double up = oracle_loss(&net, ids, targets, start);
            *at = was - h;
            double down = oracle_loss(&net, ids, targets, start), slope = (up - down) / (2 * h);
            *at = was;
            double got = (double)((float *)r.m.param[p].w.grad->data)[k];
            if (!(fabs(got - slope) <= 2e-5 + 2e-4 * fabs(slope)))
                test_fail(__FILE__, __LINE__, "gradient of %s[%llu]: got %g, want %g",
                          r.m.param[p].name, (unsigned long long)k, got, slope);
            largest = fabs(slope) > largest ? fabs(slope) : largest;
        }
    CHECK(largest > 1e-2);                                  /* the probes did see gradients */
    net_close(&net);
    rig_close(&r);
}

TEST(model_llama_matches_oracle) { check_against_oracle(tiny_conf("llama")); }
TEST(model_gpt2_matches_oracle) { check_against_oracle(tiny_conf("gpt2")); }

TEST(model_untied_heads_match_oracle)
{
    struct model_conf llama = tiny_conf("llama"), gpt2 = tiny_conf("gpt2");
    llama.tied = gpt2.tied = false;
    llama.kv_heads = 1;
    check_against_oracle(llama);
    check_against_oracle(gpt2);
}

/* ---- first values ---- */

TEST(model_init_follows_seed_name_and_index)
{
    struct model_conf c = tiny_conf("llama");
    struct rig r;
    float got[19 * 16];
    c.layers = 8;
    rig_open(&r, &c, false, 1);
    CHECK_STR(str_of(r.m.param[0].name), "model.embed_tokens.weight");
    CHECK_OK(model_get(&r.m, 0, got));
    uint64_t key = hash_mix(7 ^ hash_str(STR("model.embed_tokens.weight"), 0));
    for (uint64_t i = 0; i < COUNT_OF(got); i += 2) {
        double radius = sqrt(-2 * log(1 - hash_unit(key, i))),
               angle = 2 * M_PI * hash_unit(key, i + 1);
        CHECK_NUM(got[i], 0.25 * radius * cos(angle), 4e-8);
        CHECK_NUM(got[i + 1], 0.25 * radius * sin(angle), 4e-8);
    }
    float norm[16], first[16 * 16], second[16 * 16];
    CHECK_OK(model_get(&r.m, 1, norm));
    CHECK(norm[0] == 1 && norm[15] == 1);
    CHECK_OK(model_get(&r.m, 2, first));                    /* q of layer 0 and of layer 1 */
    CHECK_OK(model_get(&r.m, 11, second));
    CHECK(memcmp(first, second, sizeof first) != 0);
    double sum = 0;
    CHECK_STR(str_of(r.m.param[5].name), "model.layers.0.self_attn.o_proj.weight");
    CHECK_OK(model_get(&r.m, 5, first));
    for (int i = 0; i < 256; i++)
        sum += (double)(first[i] * first[i]);
    CHECK_NUM(sqrt(sum / 256), 0.25 / sqrt(16), 0.01); /* / sqrt(2 * 8 layers); 256 draws */
    rig_close(&r);
}

TEST(model_init_is_the_same_for_large_tensors)
{
    /* Above a million numbers the draws run on all cores in chunks; the slow twin is the formula
     * itself. */
    struct model_conf c = tiny_conf("gpt2");
    struct rig r;
    c.vocab = 70001;
    rig_open(&r, &c, false, 2);
    float *got = malloc(70001 * 16 * sizeof *got);
    CHECK_OK(model_get(&r.m, 0, got));
    uint64_t key = hash_mix(7 ^ hash_str(STR("transformer.wte.weight"), 0));
    for (uint64_t i = 0; i < 70001 * 16; i += 65534) {
        double radius = sqrt(-2 * log(1 - hash_unit(key, i))),
               angle = 2 * M_PI * hash_unit(key, i + 1);
        CHECK_NUM(got[i], 0.02 * radius * cos(angle), 4e-9);
    }
    free(got);
    rig_close(&r);
}

TEST(model_conf_check_names_what_is_wrong)
{
    struct model_conf c = tiny_conf("llama");
    CHECK_OK(model_conf_check(&c));
    struct { const char *what; struct model_conf conf; } bad[9];
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        bad[i].conf = tiny_conf("llama");
    bad[0].conf.arch = "rwkv", bad[0].what = "rwkv";
    bad[1].conf.width = 18, bad[1].what = "width";
    bad[2].conf.heads = 16, bad[2].what = "even";
    bad[3].conf.kv_heads = 3, bad[3].what = "kv_heads";
    bad[4].conf.vocab = 0, bad[4].what = "vocab";
    bad[5].conf.dtype = "fp8", bad[5].what = "fp8";
    bad[6].conf.layers = 0, bad[6].what = "layers";
    bad[7].conf.arch = "gpt2", bad[7].conf.kv_heads = 2, bad[7].what = "gpt2";
    bad[8].conf.norm_eps = NAN, bad[8].what = "norm_eps";
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CHECK_ERR(model_conf_check(&bad[i].conf), ERR_USAGE);
        CHECK(strstr(err_text(), bad[i].what));
    }
    c = tiny_conf("llama");
    c.hidden = 0, c.width = 256, c.kv_heads = 0;
    CHECK_OK(model_conf_check(&c));
    CHECK_INT(c.hidden, 704);                               /* 8/3 * 256 = 682.7, up to 64 */
    CHECK_INT(c.kv_heads, 4);
}

TEST(model_plan_is_what_is_allocated)
{
    static const char *const arch[] = {"llama", "gpt2"}, *const dtype[] = {"f32", "bf16"};
    for (int i = 0; i < 4; i++) {
        struct model_conf c = tiny_conf(arch[i / 2]);
        struct model_plan plan;
        struct rig r;
        c.dtype = dtype[i % 2];
        c.tied = i % 2;
        CHECK_OK(model_plan(&c, DEV_CPU, true, &plan));
        rig_open(&r, &c, true, 1);
        CHECK_INT(r.m.weights.used, plan.total_bytes);
        CHECK_INT(model_parameters(&r.m), plan.parameters);
        rig_close(&r);
    }
}

/* What forward and backward really take: within the plan, and the plan not more than a third above
 * it. */
TEST(model_activation_bytes_hold)
{
    static const char *const arch[] = {"llama", "gpt2"}, *const dtype[] = {"f32", "bf16"};
    for (int i = 0; i < 8; i++) {
        struct model_conf c = tiny_conf(arch[i / 4]);
        struct rig r;
        bool train = i % 2;
        c.width = 128, c.hidden = 0, c.context = 128, c.vocab = 512, c.layers = 3;
        c.dtype = dtype[i / 2 % 2];
        rig_open(&r, &c, train, 2);
        int32_t ids[4 * 128] = {0};
        int64_t count = 4 * 128;
        struct tensor *logits = r.m.type->forward(&r.m, &r.tape, input(&r.tape, ids, count), NULL,
                                                  128, NULL);
        CHECK(logits);
        struct tensor *loss = cross_entropy_op(&r.tape, logits, input(&r.tape, ids, count));
        CHECK(loss);
        if (train)
            CHECK_OK(tape_backward(&r.tape, loss, 1));
        double plan = (double)r.m.type->activation_bytes(&r.m.conf, 4, 128, train,
                                                         i / 2 % 2 ? 2 : 4);
        double share = (double)r.arena.peak / plan;
        if (!(share > 0.75 && share < 1.03))
            test_fail(__FILE__, __LINE__, "%s %s train %d: used %zu, planned %.0f (%.2f)", c.arch,
                      c.dtype, train, r.arena.peak, plan, share);
        rig_close(&r);
    }
}

/* ---- learning ---- */

static double train_steps(struct rig *r, int steps, double lr)
{
    int32_t ids[N], targets[N], start[N];
    double loss = NAN;
    make_batch(ids, targets, start, (int)r->m.conf.vocab);
    for (int step = 1; step <= steps; step++) {
        tape_reset(&r->tape);
        CHECK_OK(dev_zero(r->s, r->m.grad_data, r->m.grad_bytes));
        struct tensor *logits = r->m.type->forward(&r->m, &r->tape, input(&r->tape, ids, N),
                                                   input(&r->tape, start, N), T, NULL);
        CHECK(logits);
        struct tensor *mean = cross_entropy_op(&r->tape, logits, input(&r->tape, targets, N));
        CHECK(mean);
        loss = (double)*(float *)mean->data;
        CHECK_OK(tape_backward(&r->tape, mean, 1));
        struct adamw conf = {(float)lr, 0.9f, 0.99f, 1e-8f, 0, 1, step};
        for (int i = 0; i < r->m.param_count; i++) {
            struct param *p = &r->m.param[i];
            CHECK_OK(adamw_step(r->s, &conf, &p->w, p->master, p->m, p->v));
        }
    }
    return loss;
}

TEST(model_overfits_a_tiny_batch)
{
    static const char *const arch[] = {"llama", "gpt2"}, *const dtype[] = {"f32", "bf16"};
    for (int i = 0; i < 4; i++) {
        struct model_conf c = tiny_conf(arch[i / 2]);
        struct rig r;
        c.dtype = dtype[i % 2];
        c.tied = false;                                     /* its head starts small */
        rig_open(&r, &c, true, 2);
        double first = train_steps(&r, 1, 0);
        CHECK_NUM(first, log(19), 0.1);                     /* fresh logits are nearly uniform */
        double last = train_steps(&r, 300, 1e-2);
        if (!(last < 0.1))
            test_fail(__FILE__, __LINE__, "%s %s: loss %g after 300 steps", c.arch, c.dtype, last);
        rig_close(&r);
    }
}
