/* token_measure - how well vocabularies fit texts: bytes per token and tokens per word, by domain
 * and language. */
#ifndef SLUICE_COMMAND_TOKEN_MEASURE_H
#define SLUICE_COMMAND_TOKEN_MEASURE_H
#include "core/json.h"
#include "tokenize/tokenize.h"

enum { MEASURE_TOKENIZERS_MAX = 16 };

/* Any number of vocabularies over any texts, by domain and language. Words are those the filters
 * count that begin with a letter or number; in scripts without blanks between words (Han, Kana,
 * Thai ..) each character is one. */
struct measure;
int measure_open(struct measure **out, int threads);
/* Adds a vocabulary; before the first text. pretok: as in tokenizer_open_as. */
int measure_tokenizer(struct measure *m, const char *path, int pretok);
/* The same, under another name in tables and reports. */
int measure_tokenizer_named(struct measure *m, const char *path, const char *name, int pretok);
/* Adds one text, under every vocabulary. Each thread by its own number, 0 <= thread < threads. */
int measure_text(struct measure *m, int thread, struct str text, struct str domain,
                 struct str lang);
/* {"tokenizers":[{"path","vocab"}..],"groups":[{"domain","lang","documents","bytes","characters",
 * "words","tokens":[..],"bytes_per_token":[..],"tokens_per_word":[..]}..],"all":{..}}: lists are in
 * the order of the tokenizers. */
void measure_json(struct measure *m, struct json_writer *w);
/* Two tables: bytes per token, tokens per word; a row a group, a column a vocabulary. */
void measure_print(struct measure *m, FILE *to);
void measure_close(struct measure *m);
#endif
