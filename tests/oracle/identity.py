#!/usr/bin/env python3
"""identity - encodes texts and random strings with sluice and with tiktoken or tokenizers; every id must be the same.

Usage: identity.py SLUICE DATA WORK STRINGS SEED [TEXT...]
"""
import base64
import json
import lzma
import os
import random
import subprocess
import sys
import tarfile

import tiktoken
from tokenizers import Tokenizer

BLOCK = 20000
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
          r"|\s*[\r\n]|\s+(?!\S)|\s")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
O200K_TAIL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + O200K_TAIL,
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + O200K_TAIL,
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
ZONES = [(0x20, 0x7F), (0x80, 0x100), (0x100, 0x250), (0x250, 0x300), (0x300, 0x370), (0x370, 0x400), (0x400, 0x530),
         (0x590, 0x700), (0x900, 0xA00), (0xE00, 0xE80), (0x1100, 0x1200), (0x1E00, 0x2000), (0x2000, 0x2070),
         (0x3000, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xFB00, 0x10000), (0x10400, 0x10450), (0x1D400, 0x1D800),
         (0x1F300, 0x1F700), (0, 0x20), (0, 0x110000)]
COMMON = [" ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'", "a", "A", "1", "22", "333", "4444", ".", "/", "//", "\u2019",
          "\u3001", "\u00a0", "\u2028", "\ufeff", "e\u0301", "\u017f", "the", "The", "_", "-", "=", "(", "\u0085"]


def peers(data, work):
    """(name, file for sluice, list of texts -> list of ids)"""
    for name, pattern in (("r50k_base", GPT2), ("cl100k_base", CL100K), ("o200k_base", O200K)):
        path = os.path.join(data, "vocab", name + ".tiktoken")
        if not os.path.exists(path):
            yield name, None, None
            continue
        ranks = {base64.b64decode(word): int(rank) for word, rank in map(bytes.split, open(path, "rb"))}
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        yield name, path, lambda texts, e=encoding: [e.encode_ordinary(text) for text in texts]
    for name in ("qwen3", "deepseek_v3"):
        packed = os.path.join(data, "vocab", name + ".tokenizer.json.xz")
        if not os.path.exists(packed):
            yield name, None, None
            continue
        path = os.path.join(work, name + ".json")
        with open(path, "wb") as out:
            out.write(lzma.open(packed).read())
        hf = Tokenizer.from_file(path)
        added = [token.content for token in hf.get_added_tokens_decoder().values()]

        def encode(texts, hf=hf, added=added):
            # Added tokens in the text are tokens to tokenizers and text to sluice: such texts are left out.
            held = [None if "<" in text and any(token in text for token in added) else text for text in texts]
            found = iter(hf.encode_batch([text for text in held if text is not None], add_special_tokens=False))
            return [None if text is None else next(found).ids for text in held]
        yield name, path, encode


def random_strings(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        zones = draw.sample(ZONES, draw.choice((1, 2, 3)))
        common = draw.random()
        text = []
        for _ in range(draw.choice((2, 5, 12, 30, 80))):
            if draw.random() < common:
                text.append(draw.choice(COMMON))
            else:
                first, end = draw.choice(zones)
                point = draw.randrange(first, end)
                text.append(" " if 0xD800 <= point < 0xE000 else chr(point))
        yield "".join(text)


def file_texts(paths):
    for path in paths:
        if path.endswith(".jsonl"):
            for line in open(path, encoding="utf-8"):
                yield json.loads(line)["text"]
        else:
            text = open(path, encoding="utf-8", errors="replace").read()
            yield from (text[i:i + 5000] for i in range(0, len(text), 5000))


def data_texts(data):
    folder = os.path.join(data, "text")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.endswith(".txt.xz"):
            text = lzma.open(path).read().decode("utf-8", "replace")
        elif name.endswith(".txt"):
            text = open(path, encoding="utf-8", errors="replace").read()
        else:
            continue
        yield from (text[i:i + 5000] for i in range(0, len(text), 5000))
    udhr = os.path.join(folder, "udhr2.tar.xz")
    if os.path.exists(udhr):
        with tarfile.open(udhr) as tar:
            for member in tar:
                if member.isfile():
                    yield tar.extractfile(member).read().decode("utf-8", "replace")


def blocks(texts):
    held, size = [], 0
    for text in texts:
        held.append(text)
        size += len(text)
        if len(held) == BLOCK or size > 8 << 20:
            yield held
            held, size = [], 0
    if held:
        yield held


def ours(sluice, vocabulary, texts, work):
    path = os.path.join(work, "texts.jsonl")
    with open(path, "w", encoding="utf-8") as out:
        for text in texts:
            out.write(json.dumps({"text": text}) + "\n")
    run = subprocess.run([sluice, "tokenize", "encode", "--tokenizer=" + vocabulary, "--jsonl", path],
                         stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["tokens"] for line in run.stdout.splitlines()]


def compare(sluice, name, vocabulary, encode, source, texts, work):
    count = size = tokens = wrong = left_out = 0
    for block in blocks(texts):
        got, want = ours(sluice, vocabulary, block, work), encode(block)
        assert len(got) == len(want) == len(block)
        for text, one, other in zip(block, got, want):
            if other is None:
                left_out += 1
                continue
            count += 1
            size += len(text.encode())
            tokens += len(other)
            if one != other:
                wrong += 1
                if wrong <= 3:
                    print(f"     {text!r}\n     sluice {one}\n     peer   {other}")
    verdict = "ok  " if wrong == 0 and count else "FAIL"
    print(f"{verdict} {name:12} {source:16} {count:>9,} texts {size / 1e6:>9.1f} MB {tokens:>12,} tokens, {wrong} differ"
          + (f", {left_out} with added tokens left out" if left_out else ""), flush=True)
    return wrong == 0 and count > 0


def main():
    sluice, data, work, strings, seed = sys.argv[1:6]
    passed = failed = skipped = 0
    for name, vocabulary, encode in peers(data, work):
        if not vocabulary:
            print(f"skip {name}: there is no such vocabulary in {data}/vocab")
            skipped += 1
            continue
        sources = [("texts", data_texts(data)), ("random strings", random_strings(int(strings), int(seed)))]
        if sys.argv[6:]:
            sources.append(("files", file_texts(sys.argv[6:])))
        for source, texts in sources:
            good = compare(sluice, name, vocabulary, encode, source, texts, work)
            passed, failed = passed + good, failed + (not good)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed > 0)


main()
