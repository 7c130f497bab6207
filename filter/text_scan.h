/* text_scan - small questions about lines and words that several filters ask. */
#ifndef SLUICE_FILTER_TEXT_SCAN_H
#define SLUICE_FILTER_TEXT_SCAN_H
#include "core/str.h"

/* Code points of valid UTF-8 (bytes that do not continue one). */
static inline uint32_t text_chars(struct str s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t inside = 0; /* continuation bytes: top bit set, next one clear */
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;
        memcpy(&word, s.ptr + i, sizeof word);
        inside += ((word >> 7 & ~(word >> 6) & ones) * ones) >> 56;
    }
    for (; i < s.len; i++)
        inside += ((unsigned char)s.ptr[i] & 0xC0) == 0x80;
    return (uint32_t)(s.len - inside);
}
/* The line without white space (Unicode's) and invisible format characters at both ends. */
struct str line_trim(struct str line);
/* The last code point of s and, in *len, its bytes; 0 and 0 when s is empty. */
uint32_t last_char(struct str s, size_t *len);
/* Sentence_Terminal of Unicode 14 and what later versions added in Khmer, Coptic and Kawi: . ! ?
 * and their kin in 60 scripts. No quotes, no ellipsis. */
bool char_ends_sentence(uint32_t cp);
/* Closing quotes and brackets, which may stand behind the full stop. */
bool char_closes(uint32_t cp);
/* True when the trimmed line ends in a sentence terminal, closers behind it ignored. */
bool line_ends_sentence(struct str line);
/* How many sentences a trimmed line holds: at least 1 unless it is empty. */
uint32_t line_sentences(struct str line);
#endif
