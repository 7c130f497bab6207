/* unicode - character classes and simple case mapping of one pinned Unicode version, 14.0. */
#ifndef SLUICE_CORE_UNICODE_H
#define SLUICE_CORE_UNICODE_H
#include "core/base.h"

#define UNICODE_VERSION "14.0.0"
/* General categories folded to what splitters and filters ask for. */
enum uc_class {
    UC_OTHER,      /* Cc Cf Cs Co Cn */
    UC_UPPER,      /* Lu Lt */
    UC_LOWER,      /* Ll */
    UC_LETTER,     /* Lm Lo */
    UC_MARK,       /* Mn Mc Me */
    UC_NUMBER,     /* Nd Nl No */
    UC_PUNCT,      /* P* */
    UC_SYMBOL,     /* S* */
    UC_SPACE,      /* White_Space: 9-13 20 85 A0 1680 2000-200A 2028 2029 202F 205F 3000 */
};
enum uc_class uc_class(uint32_t cp);
/* All properties at once, for loops that ask for several: the class in the low bits, then flags. */
enum {
    UC_CLASS_BITS = 15,
    UC_DECIMAL = 16,
    UC_NONSPACING = 32,
    UC_SPACELESS = 64,
    UC_IGNORABLE = 128,
};
uint8_t uc_props(uint32_t cp);
static inline bool uc_is_letter(uint32_t cp)
{
    enum uc_class c = uc_class(cp);
    return c >= UC_UPPER && c <= UC_LETTER;
}
static inline bool uc_is_number(uint32_t cp) { return uc_class(cp) == UC_NUMBER; }
static inline bool uc_is_space(uint32_t cp) { return uc_class(cp) == UC_SPACE; }
uint32_t uc_lower(uint32_t cp);            /* simple lower-case mapping */
bool uc_is_decimal(uint32_t cp);           /* Nd */
bool uc_is_nonspacing(uint32_t cp);        /* Mn */
/* Letters and marks of Han, Kana, Thai, Lao, Khmer and Myanmar: scripts written without spaces
 * between words. Not Hangul: Korean puts spaces between words. */
bool uc_is_spaceless(uint32_t cp);
/* Invisible format characters that belong to the text around them (soft hyphen, joiners, direction
 * marks): Cf without the visible prefix signs and without U+200B, which parts words. */
bool uc_is_ignorable(uint32_t cp);
/* Canonical decomposition, fully applied (NFD), into out: how many code points, 1 (itself) to 4. */
int uc_decompose(uint32_t cp, uint32_t out[4]);
#endif
