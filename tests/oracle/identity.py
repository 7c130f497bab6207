#!/usr/bin/env python3
"""identity - encodes texts and random strings with sluice and with tiktoken or tokenizers; every id must be the same.

Usage: identity.py SLUICE DATA WORK STRINGS TEXT_MB SEED [TEXT...]

One sluice a vocabulary and source reads JSON lines and is compared block by block, all ids of a block at once. Only blocks
that differ are taken apart. DIGESTS=FILE keeps the SHA-256 of what the peers answered, under that of vocabulary, peer version
and texts, so that a second run asks sluice alone.
"""
import base64
import hashlib
import importlib.metadata
import itertools
import json
import lzma
import os
import random
import subprocess
import sys
import time

import numpy
import regex
import tiktoken
from tokenizers import Tokenizer

import identity_texts

CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$"
          r"|\s*[\r\n]|\s+(?!\S)|\s")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
O200K_TAIL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + O200K_TAIL,
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + O200K_TAIL,
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
RANKS = (("r50k_base", GPT2), ("cl100k_base", CL100K), ("o200k_base", O200K))
END = 0xFFFFFFFF  # behind each text's ids
SHOWN = 3
BAD_TEXTS, BAD_FILES = 20000, 500
BAD_PARTS = [b"\xff", b"\xfe", b"\x80", b"\xbf\xbf", b"\xc3", b"\xc0\xaf", b"\xe4\xb8", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80",
             b"\xf8\x88\x80\x80\x80"]
GOOD_PARTS = [b" ", b"  ", b"\n", b"\t", b"the", b" The", b" quick", b"'s", b"12", b"3456", b".", b"/", b"!\n", "\u00e9".encode(), "\u4e2d\u6587".encode(),
              "\u0434\u043e\u043c".encode(), "\U0001f600".encode(), b"_", b"(", b"A"]


def peers(data, work):
    """(name, file for sluice, what names the peer, list of texts -> list of ids, added tokens)"""
    for name, pattern in RANKS:
        path = os.path.join(data, "vocab", name + ".tiktoken")
        if not os.path.exists(path):
            yield name, None, None, None, None
            continue
        with open(path, "rb") as f:
            ranks = {base64.b64decode(word): int(rank) for word, rank in map(bytes.split, f)}
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        one = encoding._core_bpe.encode_ordinary
        yield name, path, "tiktoken " + importlib.metadata.version("tiktoken") + pattern, lambda texts, one=one: map(one, texts), []
    for name in ("qwen3", "deepseek_v3"):
        packed = os.path.join(data, "vocab", name + ".tokenizer.json.xz")
        if not os.path.exists(packed):
            yield name, None, None, None, None
            continue
        path = os.path.join(work, name + ".json")
        with open(path, "wb") as out, lzma.open(packed) as f:
            out.write(f.read())
        hf = Tokenizer.from_file(path)
        added = [token.content for token in hf.get_added_tokens_decoder().values()]

        def encode(texts, hf=hf):
            return (one.ids for one in hf.encode_batch_fast(texts, add_special_tokens=False))
        yield name, path, "tokenizers " + importlib.metadata.version("tokenizers"), encode, added


def flat(lists):
    """All ids in one array, END behind each list."""
    ids = []
    for one in lists:
        ids += one
        ids.append(END)
    return numpy.array(ids, dtype=numpy.uint32)


def flat_lines(lines):
    """The same from sluice's lines."""
    text = b"".join(lines)
    if text.count(b'{"tokens":[') != len(lines):
        sys.exit("identity: sluice printed something else than ids: " + repr(text[:200]))
    text = text.replace(b'{"tokens":[', b"").replace(b"]}\n", b",%d," % END)
    return numpy.fromstring(text[:-1], dtype=numpy.uint32, sep=",") if text else numpy.zeros(0, dtype=numpy.uint32)


class Sluice:
    """One process that encodes a file of JSON lines, whose answers are taken block by block."""

    def __init__(self, program, vocabulary, path, *flags):
        self.process = subprocess.Popen([program, "tokenize", "encode", "--tokenizer=" + vocabulary, "--jsonl", *flags, path],
                                        stdout=subprocess.PIPE, bufsize=1 << 20)

    def take(self, count):
        lines = list(itertools.islice(self.process.stdout, count))
        if len(lines) != count:
            sys.exit(f"identity: sluice ended after {len(lines)} of a block's {count} texts")
        return flat_lines(lines)

    def close(self):
        if self.process.stdout.read(1) or self.process.wait():
            sys.exit("identity: sluice printed too much, or failed")


class Digests:
    """What peers answered, from earlier runs."""

    def __init__(self, path):
        self.path, self.held = path, {}
        if path and os.path.exists(path):
            with open(path, encoding="ascii") as f:
                self.held = dict(line.split() for line in f)

    def same(self, key, ids):
        """None: not known."""
        return self.held[key] == hashlib.sha256(ids.tobytes()).hexdigest() if key in self.held else None

    def keep(self, key, ids):
        if self.path:
            with open(self.path, "a", encoding="ascii") as f:
                f.write(f"{key} {hashlib.sha256(ids.tobytes()).hexdigest()}\n")


def write_lines(path, blocks):
    """A source as a file of JSON lines; (texts, lines, bytes of them in UTF-8) of each block."""
    sizes = []
    with open(path, "wb") as out:
        for texts in blocks:
            lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()
            out.write(lines)
            sizes.append((len(texts), len(lines), sum(map(len, map(str.encode, texts)))))
    return sizes


def read_blocks(path, sizes):
    with open(path, "rb") as f:
        for count, size, text_bytes in sizes:
            lines = f.read(size)
            yield lines, count, text_bytes


def show(texts, got, want):
    """Prints the first texts that differ; how many do."""
    wrong = 0
    got_texts, want_texts = (numpy.split(ids, numpy.flatnonzero(ids == END) + 1)[:-1] for ids in (got, want))
    for text, one, other in zip(texts, got_texts, want_texts):
        if not numpy.array_equal(one, other):
            wrong += 1
            if wrong <= SHOWN:
                at = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
                print(f"     {text[:400]!r}\n     from token {at}: sluice {one[at:at + 12].tolist()}\n"
                      f"     peer {other[at:at + 12].tolist()}")
    return wrong


def compare(program, peer, source, path, sizes, digests, work):
    name, vocabulary, version, encode, added = peer
    count = size = tokens = wrong = known = 0
    start, with_added = time.time(), []
    with open(vocabulary, "rb") as f:
        salt = version.encode() + hashlib.sha256(f.read()).digest()
    ours = Sluice(program, vocabulary, path)
    for lines, texts_count, text_bytes in read_blocks(path, sizes):
        got, texts = ours.take(texts_count), None
        if any(token.encode() in lines for token in added):
            # To tokenizers these are tokens wherever they stand: such texts are compared with --special below.
            texts = [json.loads(line)["text"] for line in lines.splitlines()]
            bare = [not any(token in text for token in added) for text in texts]
            with_added += [text for text, plain in zip(texts, bare) if not plain]
            got = got[numpy.repeat(bare, numpy.diff(numpy.flatnonzero(numpy.append(END, got) == END)))]
            texts = [text for text, plain in zip(texts, bare) if plain]
            texts_count, text_bytes = len(texts), sum(map(len, map(str.encode, texts)))
        key = hashlib.sha256(salt + lines).hexdigest()
        same = digests.same(key, got)
        known += same is True
        if not same:
            texts = texts or [json.loads(line)["text"] for line in lines.split(b"\n") if line]
            want = flat(encode(texts))
            digests.keep(key, want)
            if not numpy.array_equal(got, want):
                wrong += show(texts, got, want)
        count += texts_count
        size += text_bytes
        tokens += len(got) - texts_count
    ours.close()
    if with_added:
        block = os.path.join(work, "added.jsonl")
        write_lines(block, [with_added])
        ours = Sluice(program, vocabulary, block, "--special")
        got, want = ours.take(len(with_added)), flat(encode(with_added))
        ours.close()
        wrong += 0 if numpy.array_equal(got, want) else show(with_added, got, want)
    print(f"{'ok  ' if wrong == 0 and count else 'FAIL'} {name:12} {source:15} {count:>10,} texts {size / 1e6:>8.1f} MB {tokens:>13,} tokens, "
          f"{wrong} differ" + (f"; and {len(with_added)} with added tokens, by --special" if with_added else "")
          + (f"; {known} of {len(sizes)} blocks by kept digests" if known else "") + f"; {time.time() - start:.0f} s", flush=True)
    return wrong == 0 and count > 0


def bad_bytes(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        yield b"".join(draw.choice(BAD_PARTS if draw.random() < 0.2 else GOOD_PARTS) for _ in range(draw.randint(1, 20))) + \
            draw.choice(BAD_PARTS)


def compare_bytes(program, data, work, seed):
    """What is no UTF-8. tiktoken takes all from the piece before the first bad byte on as one piece; sluice takes a bad byte for a
    sign and goes on splitting. So: before that piece the ids must be equal, and sluice's must give the bytes back."""
    name, pattern = RANKS[1]
    path = os.path.join(data, "vocab", name + ".tiktoken")
    if not os.path.exists(path):
        return True
    with open(path, "rb") as f:
        ranks = {base64.b64decode(word): int(rank) for word, rank in map(bytes.split, f)}
    encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    folder, texts, lines = os.path.join(work, "bad"), list(bad_bytes(BAD_TEXTS, seed)), []
    os.makedirs(folder, exist_ok=True)
    for first in range(0, len(texts), BAD_FILES):
        paths = [os.path.join(folder, str(i)) for i in range(len(texts[first:first + BAD_FILES]))]
        for text, to in zip(texts[first:], paths):
            with open(to, "wb") as f:
                f.write(text)
        run = subprocess.run([program, "tokenize", "encode", "--tokenizer=" + path, "--json", *paths], stdout=subprocess.PIPE, check=True)
        lines += run.stdout.splitlines()
    wrong = equal = 0
    for text, line in zip(texts, lines, strict=True):
        ids = json.loads(line)
        try:
            good = text.decode()
        except UnicodeDecodeError as error:
            good = text[:error.start].decode()
        pieces = regex.findall(pattern, good)
        pieces.pop() if pieces else None
        while pieces and pieces[-1].isspace():
            pieces.pop()
        before = encoding.encode_ordinary("".join(pieces))
        if encoding.decode_bytes(ids) != text or ids[:len(before)] != before:
            wrong += 1
            if wrong <= SHOWN:
                print(f"     {text!r}\n     sluice {ids}\n     tiktoken, before the bad piece {before}")
        equal += ids == encoding._encode_bytes(text)
    print(f"{'FAIL' if wrong else 'ok  '} {name:12} {'invalid UTF-8':15} {len(texts):>10,} texts: {wrong} with other bytes back or other ids before the first "
          f"bad piece; {equal} as tiktoken's _encode_bytes throughout", flush=True)
    return wrong == 0


def main():
    program, data, work, strings, text_mb, seed = sys.argv[1:7]
    digests, passed, failed, skipped, sources = Digests(os.environ.get("DIGESTS")), 0, 0, 0, []
    for source, blocks in (("texts", identity_texts.text_blocks(data, float(text_mb) * 1e6, sys.argv[7:])),
                           ("random strings", identity_texts.random_blocks(int(strings), int(seed)))):
        path = os.path.join(work, source.split()[0] + ".jsonl")
        sources.append((source, path, write_lines(path, blocks)))
    only = os.environ.get("VOCABS", "").split(",")
    for peer in peers(data, work):
        if only[0] and peer[0] not in only:
            continue
        if not peer[1]:
            print(f"skip {peer[0]}: there is no such vocabulary in {data}/vocab")
            skipped += 1
            continue
        for source, path, sizes in sources:
            good = compare(program, peer, source, path, sizes, digests, work)
            passed, failed = passed + good, failed + (not good)
    good = compare_bytes(program, data, work, int(seed))
    print(f"{passed + good} passed, {failed + (not good)} failed, {skipped} skipped")
    sys.exit(failed > 0 or not good)


main()
