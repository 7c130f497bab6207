/* unicode - lookups in the generated two-stage tables. */
#include "core/unicode.h"

#include "core/unicode_table.h"

enum { LAST_CODE_POINT = 0x10FFFF };

static inline uint8_t props_of(uint32_t cp)
{
    if (cp < 128)
        return props_value[cp]; /* block 0 is the first one stored */
    if (cp > LAST_CODE_POINT)
        return UC_OTHER;
    return props_value[(uint32_t)props_block[cp >> 7] << 7 | (cp & 127)];
}

uint8_t uc_props(uint32_t cp) { return props_of(cp); }

enum uc_class uc_class(uint32_t cp) { return (enum uc_class)(props_of(cp) & UC_CLASS_BITS); }

bool uc_is_decimal(uint32_t cp) { return (props_of(cp) & UC_DECIMAL) != 0; }

bool uc_is_nonspacing(uint32_t cp) { return (props_of(cp) & UC_NONSPACING) != 0; }

bool uc_is_spaceless(uint32_t cp) { return (props_of(cp) & UC_SPACELESS) != 0; }

bool uc_is_ignorable(uint32_t cp) { return (props_of(cp) & UC_IGNORABLE) != 0; }

uint32_t uc_lower(uint32_t cp)
{
    if (cp < 128)
        return cp - 'A' < 26 ? cp + 32 : cp;
    if (cp > LAST_CODE_POINT)
        return cp;
    uint8_t kind = lower_value[(uint32_t)lower_block[cp >> 7] << 7 | (cp & 127)];
    return (uint32_t)((int32_t)cp + lower_delta[kind]);
}

/* Hangul syllables decompose by arithmetic: The Unicode Standard, section 3.12. */
static int decompose_hangul(uint32_t syllable, uint32_t out[4])
{
    enum { LEAD = 0x1100, VOWEL = 0x1161, TRAIL = 0x11A7, VOWELS = 21, TRAILS = 28 };
    uint32_t trail = syllable % TRAILS;
    out[0] = LEAD + syllable / (VOWELS * TRAILS);
    out[1] = VOWEL + syllable / TRAILS % VOWELS;
    if (trail == 0)
        return 2;
    out[2] = TRAIL + trail;
    return 3;
}

int uc_decompose(uint32_t cp, uint32_t out[4])
{
    enum { HANGUL_FIRST = 0xAC00, HANGUL_COUNT = 11172, VALUE_BITS = 0xFFFFFF };
    out[0] = cp;
    if (cp < 0xC0 || cp > LAST_CODE_POINT)
        return 1;
    if (cp - HANGUL_FIRST < HANGUL_COUNT)
        return decompose_hangul(cp - HANGUL_FIRST, out);
    uint32_t at = nfd_value[(uint32_t)nfd_block[cp >> 6] << 6 | (cp & 63)];
    if (at == 0)
        return 1;
    int count = (int)(nfd_pool[at] >> 24);
    for (int i = 0; i < count; i++)
        out[i] = nfd_pool[at + (uint32_t)i] & VALUE_BITS;
    return count;
}
