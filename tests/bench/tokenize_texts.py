#!/usr/bin/env python3
"""tokenize_texts - real text in many languages by the gigabyte, for training tokenizers: written as JSON lines.

Text comes from packages of Debian (apt-get download; nothing is installed): help and manuals as pages without their
tags, source code as it is. Each line has text, domain and lang. A text that was there before, to the byte, is left
out: nothing is repeated to fill the size. A package that cannot be had is named and left out.
"""
import argparse, glob, gzip, hashlib, html, json, os, re, subprocess, sys, tarfile

HELP = ("ca cs da de el en-us es et eu fi fr gl hi hu id it ja km ko nl om pl pt pt-br ru sk sl sv tr vi zh-cn zh-tw").split()
# package, domain, bytes of text at most
BOOKS = [("gnome-user-docs", "manual", 120 << 20), ("debian-handbook", "book", 120 << 20), ("anarchism", "book", 60 << 20),
         ("dict-gcide", "dictionary", 60 << 20), ("wordnet-base", "dictionary", 40 << 20), ("openjdk-17-doc", "reference", 120 << 20),
         ("rust-doc", "reference", 150 << 20), ("python3.11-doc", "reference", 60 << 20), ("postgresql-doc-15", "reference", 60 << 20),
         ("libboost1.74-doc", "reference", 90 << 20), ("installation-guide-amd64", "manual", 60 << 20)]
CODE = ("linux-source-6.1", "code", 1 << 30)
LANG = re.compile(r"[/._-]([a-z]{2,3}(?:[_-][A-Za-z]{2,4})?)(?=[/.])")

def package_file(name):
    found = sorted(glob.glob(f"{A.cache}/{name}_*.deb"))
    if not found:
        subprocess.run(["apt-get", "download", "-q", name], cwd=A.cache, check=True, capture_output=True)
        found = sorted(glob.glob(f"{A.cache}/{name}_*.deb"))
    return found[0]

def package_members(path):
    """Name and bytes of every regular file of a package."""
    process = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
        for member in tar:
            if member.isreg() and member.size < 64 << 20 or member.name.endswith((".tar.xz", ".dict.dz")):
                yield member.name, tar.extractfile(member)
    process.wait()

def page_text(raw):
    page = re.sub(r"(?s)<(script|style|head)\b.*?</\1>|<!--.*?-->", "", raw.decode("utf-8", "replace"))
    return re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]*>", "", page)))).strip()

def package_texts(path):
    for name, f in package_members(path):
        end = name.rsplit(".", 1)[-1]
        if end in ("html", "htm", "xhtml", "page", "xml"):
            lang = LANG.search(os.path.dirname(name) + "/" if end == "page" else name)
            yield page_text(f.read()), lang.group(1) if lang else "en"
        elif end in ("txt", "rst", "md"):
            yield f.read().decode("utf-8", "replace"), "en"
        elif name.endswith(".dict.dz") or "/wordnet/data." in name:
            raw = gzip.decompress(f.read()) if end == "dz" else f.read()
            lines = raw.decode("utf-8", "replace").splitlines(True)
            for at in range(0, len(lines), 200):
                yield "".join(lines[at:at + 200]), "en"
        elif name.endswith(".tar.xz"):
            with tarfile.open(fileobj=f, mode="r|xz") as tar:
                for member in tar:
                    if member.isreg() and member.name.endswith((".c", ".h", ".rst", ".S", ".txt", ".py", ".sh", ".dts", ".rs")):
                        text = tar.extractfile(member).read().decode("utf-8", "replace")
                        # Headers of registers are tables of numbers by the megabyte: of those a tenth.
                        if "/asic_reg/" not in member.name or hashlib.md5(member.name.encode()).digest()[0] < 26:
                            yield text, "code"

def put(to, package, domain, most, lang=None):
    texts = size = 0
    try:
        for text, found in package_texts(package_file(package)):
            mark = hashlib.sha1(text.encode("utf-8", "replace")).digest()
            raw = len(text.encode("utf-8", "replace"))
            if raw < 200 or mark in SEEN:
                continue
            if size + raw > most or A.left < raw:
                break
            SEEN.add(mark)
            to.write(json.dumps({"text": text, "domain": domain, "lang": (lang or found).lower()}, ensure_ascii=False) + "\n")
            texts, size, A.left = texts + 1, size + raw, A.left - raw
    except (OSError, subprocess.CalledProcessError, IndexError, tarfile.TarError) as error:
        print(f"{package}: left out ({type(error).__name__})", file=sys.stderr)
    print(f"{package:28} {domain:10} {texts:7} texts {size / 1e6:8.1f} MB", file=sys.stderr, flush=True)

def main():
    os.makedirs(A.cache, exist_ok=True)
    with open(A.out + ".part", "w", encoding="utf-8", errors="replace") as to:
        for code in HELP:
            put(to, f"libreoffice-help-{code}", "help", A.left, code)
        for package, domain, most in BOOKS:
            put(to, package, domain, most)
        put(to, *CODE)
    os.rename(A.out + ".part", A.out)
    print(f"{A.bytes - A.left} bytes of text", file=sys.stderr)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True, help="where packages are kept")
    parser.add_argument("--out", required=True)
    parser.add_argument("--bytes", type=int, default=10**9)
    A = parser.parse_args()
    A.left, SEEN = A.bytes, set()
    main()
