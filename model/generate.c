/* generate - continues a prompt token by token, greedy or drawn from the top of the odds. */
#include "model/model.h"

#include "core/err.h"
#include "core/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct choice { double weight; uint32_t token; };

/* Heavier first; equal weights by id, so that the order is the same everywhere. */
static int by_weight(const void *a, const void *b)
{
    const struct choice *left = a, *right = b;
    if (left->weight != right->weight)
        return left->weight > right->weight ? -1 : 1;
    return left->token < right->token ? -1 : left->token > right->token;
}

static uint32_t pick_greedy(const float *logits, uint32_t vocab)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

/* Draws from the smallest set of tokens whose probability reaches top_p (arXiv:1904.09751), by one
 * uniform number. */
static uint32_t pick_drawn(const float *logits, uint32_t vocab, const struct generate_conf *c,
                           uint64_t position, struct choice *choice)
{
    double most = logits[pick_greedy(logits, vocab)], sum = 0, kept = 0;
    for (uint32_t i = 0; i < vocab; i++) {
        choice[i] = (struct choice){exp(((double)logits[i] - most) / c->temperature), i};
        sum += choice[i].weight;
    }
    uint32_t count = vocab;
    if (c->top_p < 1) {
        qsort(choice, vocab, sizeof *choice, by_weight);
        for (count = 0; count < vocab && (count == 0 || kept < c->top_p * sum); count++)
            kept += choice[count].weight;
    } else {
        kept = sum;
    }
    double at = hash_unit((uint64_t)c->seed, position) * kept;
    for (uint32_t i = 0; i < count; i++) {
        at -= choice[i].weight;
        if (at < 0)
            return choice[i].token;
    }
    return choice[count - 1].token;
}

/* Puts one token behind the text; a full cache starts again from the last half of the context. */
static int advance(struct model *m, struct kv_cache *cache, uint32_t *text, int64_t *length,
                   uint32_t token, float *logits)
{
    int64_t context = m->conf.context;
    if (*length == context) {
        int64_t keep = context / 2;
        memmove(text, text + (context - keep), (size_t)keep * sizeof *text);
        *length = keep;
        kv_cache_clear(cache);
        TRY(kv_cache_feed(cache, m, text, (uint32_t)keep, logits));
    }
    text[(*length)++] = token;
    return kv_cache_feed(cache, m, &token, 1, logits);
}

int generate(struct model *m, const uint32_t *prompt, uint32_t prompt_count, uint32_t eot,
             const struct generate_conf *c, int (*emit)(void *arg, uint32_t token), void *arg)
{
    uint32_t vocab = (uint32_t)m->conf.vocab;
    int64_t context = m->conf.context;
    if (prompt_count == 0)
        return err_set(ERR_USAGE, "generate: the prompt is empty: give at least <|endoftext|>");
    if (!(c->temperature >= 0) || !(c->top_p > 0))
        return err_set(ERR_USAGE, "generate: temperature %g must be 0 or more, top_p %g above 0",
                       c->temperature, c->top_p);
    struct kv_cache *cache = NULL;
    int rc = 0;
    uint32_t *text = malloc((size_t)context * sizeof *text);
    float *logits = malloc(vocab * sizeof *logits);
    struct choice *choice = malloc(vocab * sizeof *choice);
    if (!text || !logits || !choice) {
        rc = err_set(ERR_LIMIT, "generate: no memory for %u logits", vocab);
        goto out;
    }
    TRY_OUT(kv_cache_open(&cache, m, context));
    int64_t length = prompt_count <= context ? prompt_count : context / 2;
    memcpy(text, prompt + (prompt_count - (uint32_t)length), (size_t)length * sizeof *text);
    TRY_OUT(kv_cache_feed(cache, m, text, (uint32_t)length, logits));
    for (int64_t i = 0; i < c->tokens; i++) {
        uint64_t position = prompt_count + (uint64_t)i;
        uint32_t token = c->temperature > 0 ? pick_drawn(logits, vocab, c, position, choice)
                                            : pick_greedy(logits, vocab);
        TRY_OUT(emit(arg, token));
        if (rc > 0 || token == eot || i + 1 == c->tokens)
            break;
        TRY_OUT(advance(m, cache, text, &length, token, logits));
    }
    rc = 0;
out:
    kv_cache_close(cache);
    free(choice);
    free(logits);
    free(text);
    return rc;
}
