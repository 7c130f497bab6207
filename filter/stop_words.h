/* stop_words - the most frequent words of some 40 languages: running text holds several of them. */
#ifndef SLUICE_FILTER_STOP_WORDS_H
#define SLUICE_FILTER_STOP_WORDS_H
#include "core/str.h"

enum { STOP_WORDS_MAX = 16, STOP_WORD_BYTES = 24 };
/* One language's list, lower case. */
struct stop_list {
    char lang[8];
    int count;
    uint64_t filter;   /* bit (first byte + length) mod 64 of every word: turns most others away */
    struct str word[STOP_WORDS_MAX];
};
/* The list of an ISO code; NULL when there is none. "" (language not known) is English, as in
 * the paper. Built on first use, good for ever, any thread. */
const struct stop_list *stop_list_of(const char *lang);
/* The bit of the word in list (case ignored), 0 when it is not there. */
uint32_t stop_word_bit(const struct stop_list *list, struct str word);
#endif
