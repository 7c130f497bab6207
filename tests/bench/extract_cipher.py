#!/usr/bin/env python3
"""extract_cipher - the gold pages in languages that do not exist: their structure and truth known, every word foreign.

    extract_cipher.py CIPHER PAGES.warc.gz GOLD.jsonl.zst OUT     OUT.warc.gz and OUT.gold.jsonl.zst

What a reader sees of a page, and its gold text, is enciphered letter by letter: text, title, alt and the like,
descriptions, the wording in JSON-LD. Tags, classes, ids, addresses and scripts stay, as they mostly are English in
any country. So nothing but the language changes, no list of words helps, and differences to the original pages are
what a tool owes to knowing English. Code is enciphered like anything else, which no real page is.

Ciphers: latin (another European language, with accents), cyrillic, greek, devanagari (no capitals, its own full
stop), chinese (an ideograph for two letters, no spaces, full-width punctuation), thai (no spaces, no full stops).
"""
import functools, gzip, hashlib, html, json, os, re, subprocess, sys, unicodedata
from extract_peers import records

LATIN = "abcdefghijklmnopqrstuvwxyz"
ALPHABETS = {
    "latin": "odľgařkhěbmčnpužštlvíwrxéf",
    "cyrillic": "оцчдаэфгизжклмнёпртсуыбюйя",
    "greek": "ωβγδαφχηεζκλμνοπθρστυϊξψιύ",
    "devanagari": "कखगघचछजझटठडढतथदधनपफबभमयरलव",
    "thai": "กขคงจฉชซญฎฏณดตถทธนบปผพภมยร",
}
SIGNS = {"devanagari": {".": "।"}, "greek": {"?": ";"},
         "chinese": {".": "。", ",": "，", "?": "？", "!": "！", ":": "：", ";": "；", "(": "（", ")": "）"}}
UNSPACED = ("chinese", "thai")
LANGUAGE = {"latin": "sk", "cyrillic": "ru", "greek": "el", "devanagari": "hi", "chinese": "zh", "thai": "th"}
IDEOGRAPHS = [chr(0x4E00 + 7 * i) for i in range(27 * 27)]
SPOKEN = {"alt", "title", "aria-label", "placeholder", "label", "summary"}  # attributes of any element
DESCRIBING = re.compile(r"(?:\w+:)?(?:title|description|site_name|image:alt|section|tag|author|keywords)", re.I)
WORDING = {"name", "headline", "alternativeHeadline", "description", "text", "articleBody", "reviewBody", "articleSection", "keywords", "caption"}
PIECE = re.compile(r"(?s)(<!--.*?-->|<script\b.*?</script\s*>|<style\b.*?</style\s*>|</?[a-zA-Z](?:\"[^\"]*\"|'[^']*'|[^>\"'])*>|<[!?][^>]*>)", re.I)
ATTRIBUTE = re.compile(r"([^\s\"'<>/=]+)(\s*=\s*)(\"[^\"]*\"|'[^']*'|[^\s\"'>]+)")
WORD = re.compile(r"[^\W\d_]+")


@functools.lru_cache(200000)
def word_in(cipher, word):
    """A word, without its accents; letters of other scripts stay."""
    letters = [c if c.isascii() else unicodedata.normalize("NFKD", c)[0] for c in word]
    if cipher == "chinese":
        if not all(c.lower() in LATIN for c in letters):
            return word
        at = [LATIN.index(c.lower()) + 1 for c in letters] + [0]
        return "".join(IDEOGRAPHS[a * 27 + b] for a, b in zip(at[:-1:2], at[1::2]))
    out = []
    for plain, c in zip(letters, word):
        at = LATIN.find(plain.lower())
        new = ALPHABETS[cipher][at] if at >= 0 else c
        out.append(new.upper() if plain.isupper() else new)
    return "".join(out)


def encipher(cipher, text):
    if cipher in UNSPACED:  # between two words; lines and what stands apart stay apart
        text = re.sub(r"(?<=[^\W\d_])[ \xa0]+(?=[^\W\d_])", "\x00", text)
    text = WORD.sub(lambda found: word_in(cipher, found[0]), text).replace("\x00", "")
    for sign, new in SIGNS.get(cipher, {}).items():
        text = re.sub(re.escape(sign) + r"(?=\s|$)" + (" ?" if cipher == "chinese" else ""), new, text)
    return re.sub(r"(?<=[\u0e00-\u0e7f])\.(?=\s|$)", "", text) if cipher == "thai" else text


def wording(cipher, value, key=""):
    if isinstance(value, dict):
        return {k: wording(cipher, v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [wording(cipher, v, key) for v in value]
    return encipher(cipher, value) if isinstance(value, str) and key in WORDING else value


def script(cipher, piece):
    head, body, tail = re.fullmatch(r"(?s)(<script\b(?:\"[^\"]*\"|'[^']*'|[^>\"'])*>)(.*?)(</script\s*>)", piece, re.I).groups()
    if "ld+json" not in head.lower():
        return piece
    try:
        return head + json.dumps(wording(cipher, json.loads(body, strict=False)), ensure_ascii=False).replace("</", "<\\/") + tail
    except (ValueError, RecursionError):
        return piece


def tag(cipher, piece):
    name = re.match(r"</?([a-zA-Z0-9]+)", piece)[1].lower()
    plain = {a[0].lower(): a[2].strip("\"'") for a in ATTRIBUTE.findall(piece)}
    spoken = set(SPOKEN)
    if name == "meta" and DESCRIBING.fullmatch(plain.get("name") or plain.get("property") or ""):
        spoken.add("content")
    if name == "input" and plain.get("type", "").lower() in ("submit", "button", "reset"):
        spoken.add("value")

    def attribute(found):
        key, equals, value = found.groups()
        if key.lower() == "lang" and name == "html":
            return f'{key}{equals}"{LANGUAGE[cipher]}"'
        if key.lower() not in spoken:
            return found[0]
        text = html.unescape(value[1:-1] if value[0] in "\"'" else value)
        return f'{key}{equals}"{html.escape(encipher(cipher, text))}"'
    return ATTRIBUTE.sub(attribute, piece)


def page(cipher, source):
    out = []
    for i, piece in enumerate(PIECE.split(source)):
        if i % 2 == 0:
            piece = html.escape(encipher(cipher, html.unescape(piece)), quote=False)
        elif re.match(r"<script\b.*</script", piece, re.I | re.S):
            piece = script(cipher, piece)
        elif re.match(r"</?[a-zA-Z]", piece) and not re.match(r"<style\b.*</style", piece, re.I | re.S):
            piece = tag(cipher, piece)
        out.append(piece)
    return re.sub(r"(charset\s*=\s*[\"']?)[A-Za-z0-9_-]+", r"\1utf-8", "".join(out), count=1, flags=re.I)


def record(url, source):
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + source.encode()
    head = (f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2023-01-01T00:00:00Z\r\n"
            f"WARC-Record-ID: <urn:md5:{hashlib.md5(url.encode()).hexdigest()}>\r\nContent-Type: application/http; msgtype=response\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    return gzip.compress(head + body + b"\r\n\r\n", 6, mtime=0)


def main():
    cipher, pages, gold, out = sys.argv[1:5]
    with open(out + ".warc.gz.part", "wb") as warc:
        for url, source in records(pages):
            warc.write(record(url, page(cipher, source)))
    lines = subprocess.run(["zstd", "-dc", gold], check=True, capture_output=True).stdout.splitlines()
    rows = []
    for row in map(json.loads, lines):
        row["main_content"] = encipher(cipher, row["main_content"] or "")
        for key in ("with", "without"):
            row[key] = [encipher(cipher, text) for text in row.get(key) or []]
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    subprocess.run(["zstd", "-q", "-f", "-o", out + ".gold.jsonl.zst"], input="".join(rows).encode(), check=True)
    os.rename(out + ".warc.gz.part", out + ".warc.gz")
    print(f"{len(rows)} pages in {cipher}: {out}.warc.gz")


if __name__ == "__main__":
    main()
