#!/usr/bin/env python3
"""gen_unicode - writes core/unicode_table.h from Python's unicodedata, which must be Unicode 14.0.

Usage: python3 tests/tools/gen_unicode.py > core/unicode_table.h

Every table has two stages: the high bits of a code point choose a block; equal blocks are stored
once.
"""
import sys
import unicodedata

COUNT = 0x110000
SPACES = {*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F,
          0x205F, 0x3000}
CLASSES = {"Lu": 1, "Lt": 1, "Ll": 2, "Lm": 3, "Lo": 3, "M": 4, "N": 5, "P": 6, "S": 7, "Z": 8}
DECIMAL, NONSPACING, SPACELESS, IGNORABLE = 16, 32, 64, 128
# Names tell the script for all but a few signs that Scripts.txt counts as Han.
SPACELESS_NAMES = ("CJK UNIFIED IDEOGRAPH-", "CJK COMPATIBILITY IDEOGRAPH-", "HIRAGANA ",
                   "KATAKANA ", "HENTAIGANA ", "KATAKANA-HIRAGANA ", "HALFWIDTH KATAKANA",
                   "THAI CHARACTER ", "LAO ", "KHMER ", "MYANMAR ")
HAN_SIGNS = {0x3005, 0x3007, *range(0x3021, 0x302A), *range(0x3038, 0x303C)}
# Cf that stand before digits or text and are visible, and the zero width space, which parts words.
VISIBLE_FORMAT = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD,
                  *range(0xFFF9, 0xFFFC), 0x200B}


def props(cp):
    char = chr(cp)
    category = unicodedata.category(char)
    if cp in SPACES:
        return 8
    value = CLASSES.get(category, CLASSES.get(category[0], 0)) if category[0] != "C" else 0
    value |= DECIMAL if category == "Nd" else 0
    value |= NONSPACING if category == "Mn" else 0
    value |= IGNORABLE if category == "Cf" and cp not in VISIBLE_FORMAT else 0
    if category[0] in "LM" or cp in HAN_SIGNS:
        name = unicodedata.name(char, "")
        value |= SPACELESS if name.startswith(SPACELESS_NAMES) or cp in HAN_SIGNS else 0
    return value


def lower_delta(cp):
    mapped = "i" if cp == 0x130 else chr(cp).lower()  # the one full mapping longer than one
    return ord(mapped) - cp if len(mapped) == 1 else 0


def stages(values, bits):
    size = 1 << bits
    blocks, first = {}, []
    for start in range(0, len(values), size):
        block = tuple(values[start:start + size])
        first.append(blocks.setdefault(block, len(blocks)))
    second = [value for block in blocks for value in block]
    return first, second


def emit(name, ctype, values):
    print(f"static const {ctype} {name}[{len(values)}] = {{")
    line = "   "
    for value in values:
        item = f" {value},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line)
    print("};")


def emit_stages(name, values, bits, ctype="uint8_t"):
    first, second = stages(values, bits)
    assert max(first) < 256
    emit(name + "_block", "uint8_t", first)
    emit(name + "_value", ctype, second)


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit(f"gen_unicode: Unicode {unicodedata.unidata_version} here, 14.0.0 is pinned")
    print("/* unicode_table - made by tests/tools/gen_unicode.py from Unicode 14.0: do not edit. */")
    print("#ifndef SLUICE_CORE_UNICODE_TABLE_H")
    print("#define SLUICE_CORE_UNICODE_TABLE_H")
    print("#include <stdint.h>\n")
    print("/* uc_class in the low 4 bits, then the flags of core/unicode.h. */")
    emit_stages("props", [props(cp) for cp in range(COUNT)], 7)

    deltas = [lower_delta(cp) for cp in range(COUNT)]
    kinds = [0] + sorted(set(deltas) - {0})
    number = {delta: i for i, delta in enumerate(kinds)}
    assert len(kinds) < 256
    print("\n/* Simple lower case: a code point's value is an index of lower_delta. */")
    emit("lower_delta", "int32_t", kinds)
    emit_stages("lower", [number[delta] for delta in deltas], 7)

    pool, index = [0], [0] * COUNT
    for cp in range(COUNT):
        if 0xAC00 <= cp < 0xAC00 + 11172 or 0xD800 <= cp < 0xE000:
            continue  # Hangul syllables by arithmetic
        full = unicodedata.normalize("NFD", chr(cp))
        if full != chr(cp):
            assert len(full) <= 4
            index[cp] = len(pool)
            pool += [ord(full[0]) | len(full) << 24, *map(ord, full[1:])]
    assert len(pool) < 65536
    print("\n/* Full canonical decompositions: a value is the place in nfd_pool of the first code")
    print(" * point, which carries the count in its top byte; 0 for none. */")
    emit("nfd_pool", "uint32_t", pool)
    emit_stages("nfd", index, 6, "uint16_t")
    print("#endif")


main()
