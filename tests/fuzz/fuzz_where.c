/* fuzz_where - any bytes as a predicate, run over rows with and without nulls. */
#include "command/where.h"
#include "core/err.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>
#include <stdlib.h>

static const struct schema *known_schema(void)
{
    static struct schema s;
    if (s.rule_count)
        return &s;
    schema_init(&s);
    schema_signal(&s, "quality.score", "probability");
    schema_signal(&s, "gopher.words", "words");
    schema_rule(&s, "gopher", "gopher.min_words", 1, 50, -1);
    schema_rule(&s, "c4", "c4.curly", -1, NAN, 0);
    return &s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const float signals[2][2] = {{0.5f, 120}, {NAN, NAN}};
    struct where *w;
    struct where_names names;
    struct ledger_need need = {0};
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    if (where_parse(&w, text) >= 0) {
        for (int lax = 0; lax < 2; lax++)
            if (where_bind(w, known_schema(), lax, &names) >= 0)
                for (int i = 0; i < 2; i++) {
                    struct ledger_row row = {.id = 7,
                                             .url = STR("https://a.edu/x"),
                                             .lang = STR("en"),
                                             .also = i ? STR("c4.curly x") : STR(""),
                                             .tokens = 300,
                                             .value = NAN,
                                             .threshold = 0.1f,
                                             .signal = signals[i]};
                    where_need(w, &names, &need);
                    (void)where_true(w, &names, &row, STR("a.warc"));
                }
        where_free(w);
    }
    err_clear();
    free(text);
    return 0;
}
