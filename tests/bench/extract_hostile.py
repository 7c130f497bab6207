#!/usr/bin/env python3
"""extract_hostile - pages made to cost much: what the program needs for each. Part of extract_bench.py.

    extract_hostile.py BENCH [MEGABYTES]      time, memory and verdict for each page (default 4 MB a page)
"""
import json, subprocess, sys, tempfile, time

LINE = "<p>A sentence of plain text that stands below the caps, and is to be found again in what comes out. "

def pages(size):
    """(name, html of about size bytes); each ends in text that could be extracted."""
    def fill(unit, before="", after=""):
        return before + unit * (size // len(unit)) + after + LINE * 5
    yield "plain paragraphs", fill(LINE + "</p>")
    yield "div nested", fill("<div>")
    yield "div nested, each with text", fill("<div>word and word")
    yield "inline nested: b", fill("<b>x")
    yield "misnested formatting: <a><b>..<p>", fill("<a href=x><b><i><p>y</b>")
    yield "formatting kept open over blocks", fill("<b class=c><div>", "", "</div>")
    yield "unclosed li in ul", fill("<ul><li>")
    yield "tables in cells", fill("<table><tr><td>")
    yield "text in tables (foster parenting)", fill("<table>x<tr>y")
    yield "one table of many cells", fill("<tr><td>1<td>22<td>333", "<table>", "</table>")
    yield "one row of many cells", fill("<td>x", "<table><tr>", "</table>")
    yield "attributes of one tag", "<div " + " ".join(f"a{i}=b{i}" for i in range(size // 17)) + ">" + LINE * 5
    yield "one long attribute", "<div class='" + "word " * (size // 5) + "'>" + LINE * 5
    yield "many classes", fill("<i class='main nav ad article'>", "", "</i>")
    yield "unknown tags, all different", "".join(f"<x{i}>" for i in range(size // 9)) + LINE * 5
    yield "left angle brackets", fill("<")
    yield "open comments", fill("<!--")
    yield "end tags of nothing", fill("</p>")
    yield "select options", fill("<option>x", "<select>", "</select>")
    yield "character references", fill("&notin;&#x1F600;")
    yield "ampersands", fill("&")
    yield "unclosed script", "<script>" + "if (a < b) '<!--<script>'" * (size // 25)
    yield "svg in math in svg", fill("<svg><math>")
    yield "templates nested", fill("<template>")
    yield "links", fill("<a href=/path/of/it>link</a> ")
    yield "equal paragraphs", fill("<p>the same")
    yield "one word without end", "<p>" + "x" * size + "</p>" + LINE * 5
    yield "line breaks in pre", fill("\n", "<pre>", "</pre>")
    yield "JSON-LD nested", "<script type=application/ld+json>" + "[" * (size // 2) + "]" * (size // 2) + "</script>" + LINE * 5
    yield "headings", fill("<h1>t</h1>")
    yield "Han without spaces", "<p>" + "\u4e2d\u6587\u5b57" * (size // 9) + "</p>" + LINE * 5

def archive(path, html):
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
    with open(path, "wb") as out:
        out.write(b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://hostile.example/\r\nWARC-Record-ID: <urn:x:1>\r\n"
                  b"WARC-Date: 2024-01-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\nContent-Length: %d\r\n\r\n" % len(body)
                  + body + b"\r\n\r\n")

def measure(bench, size):
    """Rows (name, MB, CPU s, MiB, verdict, bytes of text); one process a page."""
    with tempfile.TemporaryDirectory(prefix="sluice-hostile-") as work:
        for name, html in pages(size):
            archive(f"{work}/page.warc", html)
            done = subprocess.run([bench, "extract", f"{work}/page.warc", f"{work}/text"], capture_output=True, text=True, timeout=600)
            if done.returncode:
                yield name, len(html.encode()) / 1e6, float("nan"), float("nan"), f"exit {done.returncode}", 0
                continue
            rows = {line.split("\t")[0]: line.split("\t") for line in done.stdout.splitlines()}
            with open(f"{work}/text") as lines:
                answer = json.loads(lines.readline())
            yield (name, len(html.encode()) / 1e6, float(rows["extract.pages"][4]), int(rows["extract.memory"][3]) / 2**20,
                   answer["verdict"], len(answer["text"].encode()))

if __name__ == "__main__":
    for row in measure(sys.argv[1], int(float(sys.argv[2]) * 1e6) if len(sys.argv) > 2 else 4_000_000):
        print("%-36s %5.1f MB %8.3f s %8.1f MiB  %-8s %8d bytes of text" % row, flush=True)
