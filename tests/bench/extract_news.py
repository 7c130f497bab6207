#!/usr/bin/env python3
"""extract_news - news pages in a dozen languages with their text, from the tests of newspaper4k's source package.

    extract_news.py OUT [PIP...]      OUT.warc.gz and OUT.gold.jsonl.zst, as the gold set of extract.sh

Real pages that nobody here fitted anything to; few (about two dozen), and their texts are what that tool was expected
to give: headlines, captions and lists are mostly left out, so a whole article loses precision here. Read differences
between tools, not the level. PIP: the command that downloads (default: this Python's pip).
"""
import glob, gzip, json, os, re, subprocess, sys, tarfile, tempfile

def decoded(raw):
    try:
        return raw.decode()
    except UnicodeDecodeError:
        declared = re.search(rb"charset\s*=\s*[\"']?([A-Za-z0-9_-]+)", raw[:4000])
        return raw.decode(declared[1].decode() if declared else "cp1252", "replace")

def record(url, html):
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
    head = (f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2023-01-01T00:00:00Z\r\nWARC-Record-ID: <{url}>\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n")
    return gzip.compress(head.encode() + body + b"\r\n\r\n", 6, mtime=0)

def main():
    out, pip = sys.argv[1], sys.argv[2:] or [sys.executable, "-m", "pip"]
    gold = []
    with tempfile.TemporaryDirectory(prefix="sluice-news-") as work:
        subprocess.run([*pip, "download", "-q", "--no-deps", "--no-binary", "newspaper4k", "-d", work, "newspaper4k"], check=True)
        with tarfile.open(glob.glob(f"{work}/newspaper4k-*.tar.gz")[0]) as tar:
            files = {m.name.split("/", 1)[1]: tar.extractfile(m).read() for m in tar if m.isfile() and "/tests/data/" in m.name}
    with open(out + ".warc.gz", "wb") as warc:
        for name in sorted(files):
            stem = re.fullmatch(r"tests/data/txt/(.+)\.txt", name)
            page = files.get(f"tests/data/html/{stem[1]}.html") if stem else None
            if page is None:
                continue
            url = f"https://{stem[1].replace('_', '-')}.example/"
            warc.write(record(url, decoded(page)))
            gold.append({"url": url, "page_type": "news", "main_content": files[name].decode(), "with": [], "without": []})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in gold)
    subprocess.run(["zstd", "-q", "-f", "-o", out + ".gold.jsonl.zst"], input=lines.encode(), check=True)
    print(f"{len(gold)} pages: {out}.warc.gz")

if __name__ == "__main__":
    main()
