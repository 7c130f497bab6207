/* fasttext - training by libfasttext 0.9.2, behind a C face that no exception leaves. */
#define fasttext sluice_fasttext /* the library's namespace has the name of our struct */
#include "classify/classify.h"
#undef fasttext

#include "classify/fasttext_layout.h"
#include "core/err.h"

#include <fasttext/fasttext.h>

#include <cstdio>
#include <new>
#include <sstream>
#include <string>
#include <unistd.h>

namespace
{

/* The C error for the exception in flight. */
int caught(const char *what)
{
    try {
        throw;
    } catch (const std::bad_alloc &) {
        return err_set(ERR_LIMIT, "%s: not enough memory", what);
    } catch (const fasttext::FastText::AbortError &) {
        return err_set(ERR_STOP, "%s: stopped", what);
    } catch (const fasttext::DenseMatrix::EncounteredNaNError &) {
        return err_set(ERR_USAGE, "%s: the weights ran away to NaN: lower the learning rate", what);
    } catch (const std::exception &e) {
        return err_set(ERR_FORMAT, "%s: %s", what, e.what());
    } catch (...) {
        return err_set(ERR_FORMAT, "%s: unknown C++ exception", what);
    }
}

int train_check(const struct fasttext_train *t)
{
    bool hashed = t->word_ngrams > 1 || t->maxn > 0;
    if (!(t->lr > 0 && t->lr <= 10))
        return err_set(ERR_USAGE, "classifier: lr is %g: give 0 < lr <= 10", t->lr);
    if (t->epoch < 1 || t->epoch > 1000 || t->dim < 1 || t->dim > 1024)
        return err_set(ERR_USAGE, "classifier: epoch is %d and dim is %d: give 1..1000 and 1..1024",
                       t->epoch, t->dim);
    if (t->word_ngrams < 1 || t->word_ngrams > 8 || t->minn < 0 || t->maxn < t->minn || t->maxn > 8)
        return err_set(ERR_USAGE,
                       "classifier: word_ngrams, minn, maxn are %d, %d, %d: give 1..8 and "
                       "minn <= maxn <= 8",
                       t->word_ngrams, t->minn, t->maxn);
    if (t->bucket < (hashed ? 1 : 0) || t->bucket > 100000000 || t->min_count < 0)
        return err_set(ERR_USAGE,
                       "classifier: bucket is %d and min_count %d: give 1..100000000 and 0 or more",
                       t->bucket, t->min_count);
    return 0;
}

fasttext::Args train_args(const struct fasttext_train *t, const char *input, const char *output)
{
    fasttext::Args args;
    args.model = fasttext::model_name::sup;
    args.loss = fasttext::loss_name::softmax;
    args.input = input;
    args.output = output;
    args.lr = t->lr;
    args.epoch = t->epoch;
    args.dim = t->dim;
    args.wordNgrams = t->word_ngrams;
    args.minn = t->minn;
    args.maxn = t->maxn;
    args.bucket = t->word_ngrams > 1 || t->maxn > 0 ? t->bucket : 0;
    args.minCount = t->min_count;
    args.minCountLabel = 0;
    args.seed = static_cast<int>(t->seed & 0x7FFFFFFF);
    args.thread = 1; /* more threads race for the weights: not reproducible */
    args.verbose = 0;
    return args;
}

} // namespace

int fasttext_train_to(const struct fasttext_train *conf, const char *input, const char *temp)
{
    TRY(train_check(conf));
    if (access(input, R_OK) != 0)
        return err_sys("classifier: open %s", input);
    try {
        fasttext::FastText model;
        model.train(train_args(conf, input, temp), [&model](float, float, double, double, int64_t) {
            if (fasttext_should_stop())
                model.abort();
        });
        model.saveModel(temp);
        return 0;
    } catch (...) {
        return caught("training the classifier");
    }
}

int fasttext_reference(const char *path, struct str line, char label[64], float *prob)
{
    try {
        fasttext::FastText model;
        model.loadModel(std::string(path));
        std::istringstream in(std::string(line.ptr, line.len) + "\n");
        std::vector<std::pair<fasttext::real, std::string>> found;
        model.predictLine(in, found, 1, 0);
        const std::string prefix = "__label__", name = found.empty() ? "" : found[0].second;
        bool prefixed = name.compare(0, prefix.size(), prefix) == 0;
        std::snprintf(label, 64, "%s", name.c_str() + (prefixed ? prefix.size() : 0));
        *prob = found.empty() ? 0 : found[0].first;
        return 0;
    } catch (...) {
        return caught("libfasttext");
    }
}
