#!/usr/bin/env python3
"""Writes WARC files of made-up but well-formed pages: prose, near-duplicates, exact copies, junk and broken records.

    make_warc.py DIR FILES PAGES SEED    DIR/part-NNNNN.warc.gz, one gzip member a record, the same bytes every time
"""
import gzip, io, os, random, sys

NOUNS = ("river village teacher winter library harbour engine garden market forest letter station kitchen window doctor "
         "island museum bridge farmer weather summer mountain painter captain valley orchard printer student theatre").split()
VERBS = "found carried painted followed measured remembered described repaired watched visited collected explained".split()
ADJ = "old quiet narrow bright heavy distant careful wooden broken hidden early common northern gentle curious".split()
ESSAY = ("thought memory language reason history justice silence virtue poetry freedom argument beauty knowledge doubt "
         "custom opinion nature spirit duty honour").split()
TAIL = ["and then it was forgotten", "because the rain had stopped", "before anyone could answer", "with the help of a friend",
        "as the newspapers had said", "in spite of the long way home", "that nobody else wanted to keep", "for the first time in years"]

def essay(rng):
    return (f"It seems that {rng.choice(ESSAY)} without {rng.choice(ESSAY)} is only a {rng.choice(ADJ)} {rng.choice(ESSAY)}, "
            f"and that {rng.choice(ESSAY)} have often been {rng.choice(VERBS)} as if they were {rng.choice(ESSAY)}.")

def sentence(rng):
    return (f"The {rng.choice(ADJ)} {rng.choice(NOUNS)} of the {rng.choice(NOUNS)} {rng.choice(VERBS)} "
            f"a {rng.choice(ADJ)} {rng.choice(NOUNS)} and the {rng.choice(NOUNS)} {rng.choice(TAIL)}.")

def prose(rng, paragraphs, write=sentence):
    return [" ".join(write(rng) for _ in range(rng.randint(3, 7))) for _ in range(paragraphs)]

def page(title, paragraphs):
    body = "".join(f"<p>{p}</p>\n" for p in paragraphs)
    menu = "".join(f'<li><a href="/{n}">{n}</a></li>' for n in NOUNS[:12])
    return (f"<!DOCTYPE html><html lang=en><head><title>{title}</title><style>p {{ margin: 1em }}</style>"
            f"<script>var a = '<p>not text</p>';</script></head><body><nav><ul>{menu}</ul></nav>"
            f"<main><h1>{title}</h1>\n{body}</main><footer>All rights reserved</footer></body></html>").encode()

def record(kind, uri, payload, number):
    head = (f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:00000000-0000-0000-0000-{number:012d}>\r\n"
            f"WARC-Date: 2026-01-01T00:00:00Z\r\n")
    if uri:
        head += f"WARC-Target-URI: {uri}\r\n"
    mime = "application/http; msgtype=response" if kind == "response" else "application/warc-fields"
    return (head + f"Content-Type: {mime}\r\nContent-Length: {len(payload)}\r\n\r\n").encode() + payload + b"\r\n\r\n"

def http(body, status="200 OK", mime="text/html; charset=utf-8"):
    return f"HTTP/1.1 {status}\r\nContent-Type: {mime}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

def member(data):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as z:
        z.write(data)
    return out.getvalue()

def main():
    folder, files, pages, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    os.makedirs(folder, exist_ok=True)
    rng, number, earlier = random.Random(seed), 0, []
    for f in range(files):
        with open(f"{folder}/part-{f:05d}.warc.gz", "wb") as out:
            out.write(member(record("warcinfo", None, b"software: make_warc\r\n", number)))
            for p in range(pages):
                number += 1
                essays = rng.random() < 0.35
                uri, kind = f"https://site{rng.randint(0, 9)}.example/{'essay' if essays else 'page'}/{f}/{p}", rng.random()
                text = prose(rng, rng.randint(3, 9), essay if essays else sentence)
                if kind < 0.08 and earlier:
                    text = rng.choice(earlier)                                    # an exact copy
                elif kind < 0.16 and earlier:
                    text = list(rng.choice(earlier)); text[-1] = sentence(rng)     # a near-duplicate
                elif kind < 0.20:
                    text = ["Buy now. " * 60]                                     # repetition
                elif kind < 0.23:
                    text = ["Short."]
                else:
                    earlier.append(text)
                answer = http(page(f"Page {number}", text))
                if 0.23 <= kind < 0.25:
                    answer = http(b"<html><p>gone</p></html>", "404 Not Found")
                elif 0.25 <= kind < 0.27:
                    answer = http(bytes(rng.randrange(256) for _ in range(400)), mime="image/png")
                elif 0.27 <= kind < 0.28:
                    answer = http(("<div>" * 20000 + "deep").encode())
                out.write(member(record("response", uri, answer, number)))
    return 0

sys.exit(main())
