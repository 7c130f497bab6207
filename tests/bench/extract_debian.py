#!/usr/bin/env python3
"""extract_debian - pages in some thirty languages with their main text, made from Debian's documentation packages.

    extract_debian.py OUT [PAGES_A_MANUAL]     OUT.warc.gz and OUT.gold.jsonl.zst, as the gold set of extract.sh

A check that nobody fitted anything to. The manuals are HTML of six generators with their own menus, headers,
footers and language lists; what each generator puts into its content element, less navigation inside it, is the
main text. page_type is the language. Needs apt-get (packages are only downloaded and unpacked), lxml and zstd. The
choice of pages depends on their names alone.
"""
import glob, gzip, hashlib, json, os, re, subprocess, sys
import lxml.html

PACKAGES = """apache2-doc debian-handbook live-manual-html developers-reference-de developers-reference-fr developers-reference-it
developers-reference-ja developers-reference-ru aptitude-doc-cs aptitude-doc-es aptitude-doc-fi aptitude-doc-fr aptitude-doc-it
aptitude-doc-ja aptitude-doc-nl aptitude-doc-ru maint-guide-ca maint-guide-de maint-guide-es maint-guide-fr maint-guide-it
maint-guide-ja maint-guide-ru maint-guide-zh-cn debian-faq-ja debian-faq-ko debian-faq-nl debian-faq-pt debian-faq-ru
debian-faq-zh-cn gimp-help-ko""".split()
# generator -> files, where the language stands in their path, content element, what of it is navigation
DOCBOOK = ("//body", ".//*[contains(concat(' ', @class, ' '), ' navheader ') or contains(concat(' ', @class, ' '), ' navfooter ')"
           " or contains(concat(' ', @class, ' '), ' toc ')]")
MANUALS = {
    "apache": ("share/doc/apache2-doc/manual/*/**/*.html*", r"/manual/([^/]+)/", "//*[@id='page-content']",
               ".//*[@id='quickview' or contains('top toplang bottomlang', @class) and @class or @id='comments_section']"),
    "handbook": ("share/doc/debian-handbook/html/*/*.html", r"/html/([^/]+)/", "//body",
                 ".//*[@id='banner' or @id='title' or contains(@class, 'docnav') or contains(concat(' ', @class, ' '), ' toc ')]"),
    "live-manual": ("share/doc/live-manual/html/live-manual/*.html", r"\.([a-z]{2}(?:_[A-Z]{2})?)\.html", "//body", ".//table[contains(@summary, 'segment')"
                    " or contains(@summary, 'button')] | .//label[@class='ocn'] | .//h1[@class='tiny']"),
    "sphinx": ("share/developers-reference/*/*.html", r"/developers-reference/([^/]+)/", "//*[@role='main']", ".//a[@class='headerlink']"),
    "aptitude": ("share/doc/aptitude/html/*/*.html", r"/html/([^/]+)/", *DOCBOOK),
    "maint-guide": ("share/doc/maint-guide-*/html/*.html", r"maint-guide-([^/]+)/", *DOCBOOK),
    "faq": ("share/doc/debian/FAQ/*/*.html", r"/FAQ/([^/]+)/", *DOCBOOK),
    "gimp": ("share/gimp/2.0/help/*/*.html", r"/help/([^/]+)/", *DOCBOOK),
}
CHARS_MIN, CHARS_MAX, SIZE_MAX = 600, 40000, 400000
INLINE = set("a abbr acronym b bdi bdo big cite code em font i kbd mark q s samp small span strong sub sup time tt u var wbr".split())
SEPARATE = re.compile(r"\s+")

def text_of(root):
    out = []
    def walk(node, skip):
        block = node.tag not in INLINE
        if block:
            out.append("\n")
        if not skip:
            out.append(node.text or "")
            for child in node:
                if isinstance(child.tag, str):
                    walk(child, child.tag in ("script", "style", "noscript"))
                out.append(child.tail or "")
        if block:
            out.append("\n")
    walk(root, False)
    return "\n".join(line for line in (SEPARATE.sub(" ", line).strip() for line in "".join(out).split("\n")) if line)

def decoded(raw):
    """The page in UTF-8 that says so, whatever it was declared as."""
    declared = re.search(rb"(?:charset|encoding)\s*=\s*[\"']?([A-Za-z0-9_-]+)", raw[:1500])
    name = declared[1].decode().lower() if declared else "utf-8"
    html = raw.decode({"iso-8859-1": "cp1252", "euc-kr": "cp949"}.get(name, name), "replace")
    return re.sub(r"((?:charset|encoding)\s*=\s*[\"']?)[A-Za-z0-9_-]+", r"\1utf-8", html, count=2)

def read(path, content, navigation):
    """(html, main text) of one page, None when it is not one of text."""
    html = decoded(open(path, "rb").read())
    if len(html) > SIZE_MAX:
        return None
    root = lxml.html.document_fromstring(html.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    for node in root.xpath("//script | //style"):
        node.drop_tree()
    main = root.xpath(content)
    if len(main) != 1:
        return None
    whole = len(main[0].text_content())
    for node in main[0].xpath(navigation):
        if node.getparent() is not None:
            node.drop_tree()
    text = text_of(main[0])
    links = sum(len(a.text_content()) for a in main[0].xpath(".//a[@href]"))
    if not CHARS_MIN <= len(text) <= CHARS_MAX or links > len(text) / 3 or len(text) < whole / 2:
        return None  # a table of contents, or nearly
    return html.encode(), text

def speaks(language, text):
    """Untranslated pages stand in every folder: what should have another script, or accents, and has not is left out."""
    letters = [c for c in text if c.isalpha()]
    foreign = sum(ord(c) > 127 for c in letters) / max(1, len(letters))
    script = {"ar": .3, "el": .3, "fa": .3, "ja": .2, "ko": .2, "ru": .3, "zh": .2, "uk": .3}
    latin = {"en": 0, "it": .001, "nl": .0003, "id": 0, "da": .004, "nb": .004}
    base = re.split("[-_]", language.lower())[0]
    return foreign >= script.get(base, latin.get(base, .006))

def pages(root, count):
    for manual, (pattern, where, content, navigation) in MANUALS.items():
        by_language = {}
        for path in glob.glob(f"{root}/*/usr/{pattern}", recursive=True):
            language = re.search(where, path)
            if language and path.endswith(".html"):
                by_language.setdefault(language[1], []).append(path)
        for language, paths in sorted(by_language.items()):
            taken = 0
            for path in sorted(paths, key=lambda p: hashlib.md5(os.path.basename(p).encode() + language.encode()).digest()):
                found = read(path, content, navigation) if taken < count else None
                if found and speaks(language, found[1]):
                    taken += 1
                    yield f"https://{manual}.example/{language}/{os.path.basename(path)}", re.split("[-_]", language.lower())[0], *found

def main():
    out, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 6
    cache = out + ".packages"
    os.makedirs(cache, exist_ok=True)
    for package in PACKAGES:
        if os.path.isdir(f"{cache}/{package}"):
            continue
        got = subprocess.run(["apt-get", "download", "-qq", package], cwd=cache, capture_output=True)
        file = glob.glob(f"{cache}/{package}_*.deb")
        if got.returncode or not file:
            print(f"extract_debian: skipped {package}: it could not be downloaded", file=sys.stderr)
            continue
        subprocess.run(["dpkg", "-x", file[0], f"{cache}/{package}"], check=True)
        os.remove(file[0])
    gold, written = [], set()
    with open(out + ".warc.gz.part", "wb") as warc:
        for url, language, html, text in pages(cache, count):
            if url in written:
                continue
            written.add(url)
            body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
            head = (f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2023-01-01T00:00:00Z\r\n"
                    f"WARC-Record-ID: <urn:md5:{hashlib.md5(url.encode()).hexdigest()}>\r\nContent-Type: application/http; msgtype=response\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n").encode()
            warc.write(gzip.compress(head + body + b"\r\n\r\n", 6, mtime=0))
            gold.append({"url": url, "page_type": language, "main_content": text, "with": [], "without": []})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in gold)
    subprocess.run(["zstd", "-q", "-f", "-o", out + ".gold.jsonl.zst"], input=lines.encode(), check=True)
    os.rename(out + ".warc.gz.part", out + ".warc.gz")
    print(f"{len(gold)} pages, {len({row['page_type'] for row in gold})} languages: {out}.warc.gz")

if __name__ == "__main__":
    main()
