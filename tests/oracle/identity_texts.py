"""identity_texts - what tests/identity encodes: text of this machine in some 190 languages, and random Unicode strings.

Lines of JSON ({"text": ...}) in, out and between: the same file goes to sluice and, read back, to its peers.
"""
import glob
import gzip
import json
import lzma
import os
import struct
import subprocess
import tarfile

import numpy

# Zones of random code points: planes and their ends, marks, kinds of white space, numbers, unassigned and private ones.
ZONES = [(0x20, 0x7F), (0x41, 0x5B), (0x61, 0x7B), (0x30, 0x3A), (0x80, 0x100), (0x100, 0x250), (0x250, 0x300),
         (0x300, 0x370), (0x370, 0x400), (0x400, 0x530), (0x590, 0x700), (0x900, 0xA00), (0xE00, 0xE80), (0x1100, 0x1200),
         (0x1680, 0x1820), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x20A0), (0x20D0, 0x2190), (0x2460, 0x2500),
         (0x3000, 0x3100), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xA640, 0xA6A0), (0xAC00, 0xD7A4), (0xE000, 0xF900),
         (0xFB00, 0x10000), (0x10400, 0x10450), (0x16F00, 0x18D90), (0x1B000, 0x1B300), (0x1D400, 0x1D800),
         (0x1E000, 0x1EC00), (0x1F300, 0x1FB00), (0x20000, 0x323B0), (0x323B0, 0xE0000), (0xE0000, 0xE0200),
         (0xF0000, 0x110000), (0, 0x20), (0, 0x10000), (0, 0x110000)]
COMMON = [" ", " ", "  ", "   ", "\n", "\r\n", "\n\n", "\t", "'s", "'S", "'LL", "'ve", "'RE", "'d", "'M", "'\u017f", "'", "a", "A",
          "1", "22", "333", "4444", ".", "/", "//", "\u2019", "\u3001", "\u00a0", "\u2028", "\u2029", "\u3000", "\u200b",
          "\u180e", "\ufeff", "e\u0301", "\u017f", "the", "The", "_", "-", "=", "(", "\u0085", "\x0b", "\x0c", "\x00",
          "\u0130", "\u0644\u0627", "\u0e01\u0e33", "\u0939\u093f", "\u304c", "\u304b\u3099", "\uac01", "\U0001f468\u200d"]
CHARS_MAX = 60
SHARES = (("udhr", 0.05), ("prose", 0.1), ("pages", 0.25), ("translations", 0.35), ("documents", 0.1), ("code", 0.15))


def random_blocks(count, seed, block=100000):
    """Lists of strings of 1 to 60 characters or so: what is common mixed with up to three zones, more or less of it."""
    atoms = [[ord(c) for c in atom] for atom in COMMON]
    table = numpy.zeros((len(atoms), 4), dtype="<u4")
    for row, atom in zip(table, atoms):
        row[:len(atom)] = atom
    atom_len = numpy.array([len(atom) for atom in atoms])
    zones = numpy.array(ZONES)
    for number, first in enumerate(range(0, count, block)):
        draw = numpy.random.default_rng((seed, number))
        strings = min(block, count - first)
        lens = numpy.where(draw.random(strings) < 0.5, draw.integers(1, 9, strings), draw.integers(1, CHARS_MAX + 1, strings))
        owner = numpy.repeat(numpy.arange(strings), lens)
        three = draw.integers(0, len(ZONES), (strings, 3))
        zone = zones[three[owner, draw.integers(0, 3, len(owner)) % draw.integers(1, 4, strings)[owner]]]
        points = (zone[:, 0] + draw.random(len(owner)) * (zone[:, 1] - zone[:, 0])).astype("<u4")
        points[(points >= 0xD800) & (points < 0xE000)] = 0x20
        items = numpy.zeros((len(owner), 4), dtype="<u4")
        items[:, 0] = points
        common = draw.random(len(owner)) < draw.random(strings)[owner]
        which = draw.integers(0, len(atoms), len(owner))
        items[common] = table[which[common]]
        size = numpy.where(common, atom_len[which], 1)
        flat = items[numpy.arange(4) < size[:, None]]
        ends = numpy.cumsum(numpy.bincount(owner, weights=size, minlength=strings)).astype(int).tolist()
        text = flat.tobytes().decode("utf-32-le")
        yield [text[start:end] for start, end in zip([0] + ends, ends)]


def parts(text, number):
    """Documents of several lengths."""
    size = (700, 3000, 12000, 100000)[number % 4]
    yield from (text[i:i + size] for i in range(0, len(text), size))


def read(path):
    opener = gzip.open if path.endswith(".gz") else lzma.open if path.endswith(".xz") else open
    with opener(path, "rb") as f:
        return f.read().decode("utf-8", "replace")


def udhr(data):
    path = os.path.join(data, "text/udhr2.tar.xz")
    if os.path.exists(path):
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    yield tar.extractfile(member).read().decode("utf-8", "replace")


def prose(data):
    for path in sorted(glob.glob(os.path.join(data, "text/*.txt*"))):
        yield read(path)
    gold = os.path.join(data, "html/wcxb-dev.gold.jsonl.zst")
    if os.path.exists(gold):
        for line in subprocess.run(["zstd", "-dc", gold], capture_output=True).stdout.splitlines():
            yield json.loads(line)["main_content"]


def pages(data):
    """Web pages as they were sent, tags and all."""
    path = os.path.join(data, "html/wcxb-dev.warc.gz")
    if os.path.exists(path):
        with gzip.open(path) as f:
            for record in f.read().split(b"WARC/1.")[1:]:
                body = record.split(b"\r\n\r\n", 2)
                if len(body) == 3:
                    yield body[2].decode("utf-8", "replace")


def translations(_):
    """What the programs of this machine say in every language: the right sides of their .mo files."""
    for path in sorted(glob.glob("/usr/share/locale/*/LC_MESSAGES/*.mo"), key=os.path.basename):
        with open(path, "rb") as f:
            held = f.read()
        if held[:4] != b"\xde\x12\x04\x95":
            continue
        count, _, at = struct.unpack_from("<3I", held, 8)
        rows = struct.unpack_from(f"<{2 * count}I", held, at)
        yield b"\n".join(held[start:start + size] for size, start in zip(rows[::2], rows[1::2])).decode("utf-8", "replace")


def documents(_):
    for path in sorted(glob.glob("/usr/share/doc/**/*", recursive=True) + glob.glob("/usr/share/man/**/*.gz", recursive=True),
                       key=lambda path: path[::-1]):
        if os.path.isfile(path) and path.endswith((".gz", ".txt", ".html", "README", "copyright", "NEWS")):
            yield read(path)


def code(_):
    ours = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    for pattern in (ours + "/*/*.[ch]", "/usr/lib/python3*/**/*.py", "/usr/include/**/*.h", "/usr/share/perl/**/*.p[lm]"):
        for path in sorted(glob.glob(pattern, recursive=True)):
            yield read(path)


def given(paths):
    for path in paths:
        if path.endswith(".jsonl"):
            with open(path, encoding="utf-8") as f:
                yield from (json.loads(line)["text"] for line in f)
        else:
            yield read(path)


def text_blocks(data, limit, extra, block=4 << 20):
    """Lists of texts, limit bytes in all; what a source has too little of is taken from the files given (extra)."""
    held, size, total, said = [], 0, 0, []
    for name, share in SHARES + (("given", 1),):
        source = given(extra) if name == "given" else globals()[name](data)
        room, took = min(limit * share, limit - total), 0
        for number, whole in enumerate(source):
            for text in parts(whole, number):
                if not text:
                    continue
                held.append(text)
                took += len(text.encode())
                size += len(text)
            if size > block:
                yield held
                held, size = [], 0
            if took >= room:
                break
        total += took
        said.append(f"{name} {took / 1e6:.1f}")
    if held:
        yield held
    print(f"     {total / 1e6:.1f} MB of text: {', '.join(said)}", flush=True)
