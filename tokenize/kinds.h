/* kinds - what a splitter sees of a character: its kind, by table, straight from UTF-8. */
#ifndef SLUICE_TOKENIZE_KINDS_H
#define SLUICE_TOKENIZE_KINDS_H
#include "core/str.h"

/* General categories as the patterns name them; KIND_NEWLINE is \r and \n, KIND_SPACE all other
 * White_Space. KIND_HAN_KANA is a flag beside the kind (deepseek's second split). A byte that is no
 * part of valid UTF-8 is a character of its own, of KIND_OTHER. */
enum kind {
    KIND_OTHER,
    KIND_UPPER,  /* Lu Lt */
    KIND_LOWER,  /* Ll */
    KIND_LETTER, /* Lm Lo */
    KIND_MARK,   /* M */
    KIND_NUMBER, /* N */
    KIND_PUNCT,  /* P */
    KIND_SYMBOL, /* S */
    KIND_SPACE,
    KIND_NEWLINE,
    KIND_COUNT,
    KIND_HAN_KANA = 16,
};
#define KIND_BIT(kind) (1u << (kind))
/* Sets of kinds, as bits. */
enum kinds {
    KINDS_L = 1 << KIND_UPPER | 1 << KIND_LOWER | 1 << KIND_LETTER,
    KINDS_LM = KINDS_L | 1 << KIND_MARK,
    KINDS_N = 1 << KIND_NUMBER,
    KINDS_NL = 1 << KIND_NEWLINE,
    KINDS_S = 1 << KIND_SPACE | 1 << KIND_NEWLINE,
    KINDS_PS = 1 << KIND_PUNCT | 1 << KIND_SYMBOL,
    KINDS_SIGN = 1 << KIND_OTHER | 1 << KIND_MARK | KINDS_PS, /* [^\s\p{L}\p{N}] */
};

extern const uint8_t kind_ascii[128];
/* The character at p (p < end), whose first byte is 0x80 or more; *len its bytes. */
uint8_t kind_wide(const char *p, const char *end, size_t *len);

static inline uint8_t kind_flags(const char *p, const char *end, size_t *len)
{
    unsigned char c = (unsigned char)*p;
    if (c < 0x80) {
        *len = 1;
        return kind_ascii[c];
    }
    return kind_wide(p, end, len);
}

static inline uint32_t kind_bit(const char *p, const char *end, size_t *len)
{
    return 1u << (kind_flags(p, end, len) & 15);
}
#endif
