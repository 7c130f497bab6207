/* test_command_mixture - recipes' mixtures and phases, and the plans they become over a store. */
#include "command/mixture.h"

#include "tests/store_made.h"

#include <math.h>

static const char head[] = "[source]\npath = \"x\"\n[[stage]]\nuse = \"extract\"\n"
                           "[[domain]]\nname = \"domain-0\"\n[[domain]]\nname = \"domain-1\"\n"
                           "[model]\ncontext = 64\n";

static int load(struct recipe *r, const char *rest)
{
    char text[4096];
    int length = snprintf(text, sizeof text, "%s%s", head, rest);
    CHECK(length > 0 && (size_t)length < sizeof text);
    return recipe_load_text(r, "test.toml", (struct str){text, (size_t)length}, NULL, 0);
}

static struct recipe *recipe_of(const char *rest)
{
    struct recipe *r = calloc(1, sizeof *r);
    CHECK(r);
    CHECK_OK(load(r, rest));
    return r;
}

static void recipe_free(struct recipe *r)
{
    recipe_close(r);
    free(r);
}

static void refused(const char *rest, const char *why)
{
    struct recipe *r = calloc(1, sizeof *r);
    CHECK_ERR(load(r, rest), ERR_USAGE);
    if (!strstr(err_text(), why))
        test_fail(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", err_text(), why);
    recipe_free(r);
}

TEST(command_mixture_settles_the_steps)
{
    struct recipe *r =
        recipe_of("[train]\nbatch = 4\nwarmup_steps = 0\nanneal_steps = 5\n"
                  "[[phase]]\nname = \"a\"\nsteps = 10\n"
                  "[[phase]]\nname = \"b\"\ntokens = 1000\n[phase.mixture]\nweb = 1\n");
    CHECK_INT(r->mixture.phase[1].steps, 4); /* 4 x 64 tokens a step: 3.9 steps */
    CHECK_INT(r->train.steps, 14);           /* as nothing else is said */
    recipe_free(r);
    r = recipe_of("[train]\nsteps = 500\nanneal_steps = 5\n"
                  "[[phase]]\nname = \"a\"\nsteps = 10\n[[phase]]\nname = \"b\"\nsequence = 32\n"
                  "rope_theta = 2e5\nmixture = { web = 1, domain-1 = 3 }\n");
    CHECK_INT(r->mixture.phase[1].steps, 490);
    CHECK_INT(r->mixture.phase[1].sequence, 32);
    CHECK_NUM(r->mixture.phase[1].rope_theta, 2e5, 0);
    CHECK_INT(r->mixture.phase[1].mixture.count, 2);
    /* The resolved form reads back to itself: RUN/recipe.toml is read by every later command. */
    struct recipe *again = calloc(1, sizeof *again);
    CHECK_OK(recipe_load_text(again, "recipe.toml", buf_view(&r->resolved), NULL, 0));
    CHECK_STR(buf_view(&again->resolved), buf_cstr(&r->resolved));
    CHECK_STR(str_of(again->hash), r->hash);
    CHECK_STR(str_of(again->train_hash), r->train_hash);
    recipe_free(again);
    recipe_free(r);
}

TEST(command_mixture_refuses_with_the_place)
{
    refused("[mixture.stable]\nwbe = 1\n", "\"wbe\"");
    refused("[mixture.stable]\nweb = -1\n", "at least 0");
    refused("[mixture.epochs]\nnothing = 2\n", "\"nothing\"");
    refused("[mixture]\nspill = \"over\"\n", "spill");
    refused("[mixture]\ntemperature = 0\n", "temperature");
    refused("[mixture.stable]\nweb = 1\n[[phase]]\nname = \"a\"\nsteps = 1\n",
            "one of the two ways");
    refused("[[phase]]\nsteps = 1\n", "needs a name");
    refused("[[phase]]\nname = \"a\"\nsteps = 1\n[[phase]]\nname = \"a\"\nsteps = 1\n",
            "two phases");
    refused("[[phase]]\nname = \"a\"\nsteps = 1\ntokens = 5\n", "keep one");
    refused("[train]\nsteps = 9\n[[phase]]\nname = \"a\"\n[[phase]]\nname = \"b\"\n", "only one");
    refused("[train]\nsteps = 9\n[[phase]]\nname = \"a\"\nsteps = 8\n", "8 steps");
    refused("[train]\nsteps = 9\n[[phase]]\nname = \"a\"\nsteps = 9\n[[phase]]\nname = \"b\"\n",
            "9 steps without b");
    refused("[[phase]]\nname = \"a\"\nsteps = 1\nmixture = 7\n", "is written {");
    refused("[[phase]]\nname = \"a\"\nstep = 1\n", "steps");
}

/* A mixture decides the training only, unless a tokenizer is trained by it. */
TEST(command_mixture_leaves_the_corpus_its_hash)
{
    static const char *const tokenizer[] = {"[tokenizer]\nweights = \"text\"\n",
                                            "[tokenizer]\nweights = \"mixture\"\n",
                                            "[tokenizer]\npath = \"t.json\"\n"};
    for (int i = 0; i < 3; i++) {
        char a[256], b[256], c[256];
        snprintf(a, sizeof a, "%s[train]\nseed = 2\n[mixture.stable]\nweb = 1\n", tokenizer[i]);
        snprintf(b, sizeof b, "%s[train]\nseed = 2\n[mixture.stable]\nweb = 1\ndomain-0 = 1\n",
                 tokenizer[i]);
        snprintf(c, sizeof c, "%s[train]\nseed = 3\n[mixture.stable]\nweb = 1\n", tokenizer[i]);
        struct recipe *x = recipe_of(a), *y = recipe_of(b), *z = recipe_of(c);
        CHECK((strcmp(x->hash, y->hash) == 0) == (i != 1));
        CHECK(strcmp(x->train_hash, y->train_hash) != 0);
        CHECK(strcmp(x->hash, z->hash) != 0);
        recipe_free(x);
        recipe_free(y);
        recipe_free(z);
    }
}

TEST(command_mixture_weights_are_means_over_steps)
{
    double weight[STORE_DOMAINS_MAX];
    struct recipe *r = recipe_of("[train]\nsteps = 100\nanneal_steps = 25\n[mixture.stable]\n"
                                 "web = 3\ndomain-0 = 1\n[mixture.anneal]\ndomain-1 = 2\n");
    CHECK(mixture_weights(r, weight));
    CHECK_NUM(weight[0], .75 * .25, 1e-12);
    CHECK_NUM(weight[1], .25, 1e-12);
    CHECK_NUM(weight[2], .75 * .75, 1e-12); /* web is the last */
    recipe_free(r);
    r = recipe_of("[train]\nsteps = 200\n");
    CHECK(!mixture_weights(r, weight));
    recipe_free(r);
}

/* Domains of 1000, 3000 and 0 documents' tokens, the last called web. */
static struct store *made_store(struct made *m)
{
    struct store_meta meta = made_meta(500, 3);
    struct store_writer *w;
    struct store *s;
    uint64_t state = 3;
    char dir[IO_PATH_MAX];
    memset(m, 0, sizeof *m);
    snprintf(meta.domain[2].name, sizeof meta.domain[2].name, "web");
    CHECK_OK(io_path(dir, "%s/store", test_dir()));
    CHECK_OK(store_create(&w, dir, &meta));
    for (uint32_t i = 0; i < 4000; i++)
        made_add(m, w, i >= 1000, 99, i, 500, &state);
    CHECK_OK(store_commit(w, NULL));
    CHECK_OK(store_open(&s, dir));
    return s;
}

static int open_over(struct mixture *m, struct recipe *r, struct store *s)
{
    struct run *run = calloc(1, sizeof *run);
    run->recipe = r;
    int rc = mixture_open(m, run, s);
    free(run);
    return rc;
}

TEST(command_mixture_over_a_store)
{
    struct made made;
    struct store *s = made_store(&made);
    struct mixture *m = calloc(1, sizeof *m);
    /* By tokens, and flatter with a temperature: 1 : 3, then 1 : 3^(1/2). */
    for (int temperature = 1; temperature <= 2; temperature++) {
        char text[128];
        snprintf(text, sizeof text,
                 "[train]\nwarmup_steps = 0\nsteps = 10\nanneal_steps = 0\n[mixture]\ntemperature "
                 "= %d\n",
                 temperature);
        struct recipe *r = recipe_of(text);
        CHECK_OK(open_over(m, r, s));
        CHECK(m->plan.phase_count == 1 && m->plan.source_count == 2);
        CHECK_NUM(m->plan.phase[0].weight[1] / m->plan.phase[0].weight[0],
                  pow(3, 1.0 / temperature), 1e-9);
        CHECK_NUM(m->plan.source[0].epochs_max, 100, 0);
        mixture_close(m);
        recipe_free(r);
    }
    /* Names, limits of their own, a domain without tokens, and the order of the sources. */
    struct recipe *r = recipe_of(
        "[train]\nwarmup_steps = 0\nsteps = 10\nanneal_steps = 4\n[mixture]\nepochs_max = 7\n"
        "spill = \"unseen\"\n[mixture.epochs]\ndomain-1 = 0.5\n"
        "[mixture.stable]\ndomain-1 = 2\nweb = 5\n[mixture.anneal]\n"
        "domain-0 = 1\ndomain-1 = 0\n");
    CHECK_OK(open_over(m, r, s));
    CHECK(m->plan.phase_count == 2 && m->plan.source_count == 3 && m->plan.spill == SPILL_UNSEEN);
    CHECK_STR(str_of(m->view[0].name), "domain-1");
    CHECK_STR(str_of(m->view[2].name), "domain-0");
    CHECK_NUM(m->plan.source[0].epochs_max, .5, 0);
    CHECK_NUM(m->plan.source[2].epochs_max, 7, 0);
    CHECK(m->plan.phase[0].weight[0] == 2 && m->plan.phase[0].weight[1] == 0);
    CHECK(m->plan.phase[1].weight[2] == 1 && m->plan.phase[1].weight[0] == 0);
    struct loader *l;
    CHECK_OK(mixture_loader(&l, m, s, false));
    CHECK_INT(loader_rows(l), 10 * r->train.batch);
    loader_close(l);
    mixture_close(m);
    recipe_free(r);
    /* Nothing left to draw from. */
    r = recipe_of(
        "[train]\nwarmup_steps = 0\nanneal_steps = 0\nsteps = 10\n[mixture.stable]\nweb = 5\n");
    CHECK_ERR(open_over(m, r, s), ERR_GATE);
    CHECK(strstr(err_text(), "stable"));
    recipe_free(r);
    free(m);
    store_close(s);
    made_close(&made);
}
