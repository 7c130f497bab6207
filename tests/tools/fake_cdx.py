#!/usr/bin/env python3
"""A small CDX server and file host for tests, with the interface of index.commoncrawl.org.

    fake_cdx.py DIR     listens on 127.0.0.1, prints its port; ends when its standard input does

DIR/index.cdxj      what the index "CC-MAIN-TEST" holds
DIR/data/PATH       files, served whole or by one range at /PATH
DIR/mode            words, read anew for every request: busy (the first two index requests get 503), gone (files whose
                    name has "second" in it are 404), flaky (every first request for a range gets 503), junk (pages
                    with lines that are no captures), nocount (the number of pages is no number), short (ranges end early)
DIR/log             a line a request: kind, status, target; kind is index, count or data
DIR/most            most index requests that were open at one time

Which captures match is decided from their URLs by urllib, not from their keys: an oracle of another kind.
"""
import json, os, re, sys, threading, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIR = sys.argv[1]
PAGE = 4
lock = threading.Lock()
state = {"index": 0, "open": 0, "most": 0, "ranges": {}}

def mode():
    try:
        with open(os.path.join(DIR, "mode")) as f:
            return f.read().split()
    except OSError:
        return []

def parts(url):
    u = urllib.parse.urlsplit(url if "//" in url else "http://" + url)
    host = u.hostname or ""
    return host[4:] if host.startswith("www.") else host, (u.path or "/") + ("?" + u.query if u.query else "")

def matches(kind, wanted, url):
    (host, path), (h, p) = parts(wanted), parts(url)
    if kind == "domain":
        return h == host or h.endswith("." + host)
    if kind == "host":
        return h == host
    if kind == "prefix":
        return h == host and p.startswith(path)
    return h == host and p.rstrip("/") == path.rstrip("/")

def passes(text, row):
    no = text.startswith("!")
    text = text[no:]
    how = text[0] if text[0] in "=~" else ""
    field, _, value = text[len(how):].partition(":")
    has = row.get(field, "")
    said = has == value if how == "=" else re.match(value, has) is not None if how == "~" else value in has
    return said != no

def rows():
    with open(os.path.join(DIR, "index.cdxj")) as f:
        for line in f:
            key, stamp, text = line.rstrip("\n").split(" ", 2)
            yield {"urlkey": key, "timestamp": stamp, **json.loads(text)}

class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def respond(self, kind, status, body, headers=()):
        with lock, open(os.path.join(DIR, "log"), "a") as f:
            f.write(f"{kind} {status} {self.path} {self.headers.get('Range', '')}\n")
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def index(self, query):
        kind = "count" if "showNumPages" in query else "index"
        with lock:
            state["index"] += 1
            nth = state["index"]
            state["open"] += 1
            state["most"] = max(state["most"], state["open"])
            with open(os.path.join(DIR, "most"), "w") as f:
                f.write(str(state["most"]))
        time.sleep(0.01)
        with lock:           # before the answer: the next request may follow at once
            state["open"] -= 1
        if "busy" in mode() and nth <= 2:
            return self.respond(kind, 503, b"busy", [("Retry-After", "0")])
        one = lambda name, preset="": query.get(name, [preset])[0]
        found = [r for r in rows() if matches(one("matchType", "exact"), one("url"), r["url"])]
        pages = (len(found) + PAGE - 1) // PAGE
        if not found:
            text = json.dumps({"message": "No Captures found for: " + one("url")})
            return self.respond(kind, 404, text.encode())
        if kind == "count":
            text = "none" if "nocount" in mode() else json.dumps({"pages": pages, "pageSize": PAGE, "blocks": pages})
            return self.respond(kind, 200, text.encode())
        page = int(one("page", "0"))
        if page >= pages:
            return self.respond(kind, 400, b'{"message": "Page invalid"}')
        found = [r for r in found[page * PAGE:(page + 1) * PAGE] if all(passes(t, r) for t in query.get("filter", []))]
        lines = [json.dumps(r) for r in found]
        if "junk" in mode():
            lines += ["", "{", "[]", "hello", '{"url": 3}', "\x00\xff"]
        self.respond(kind, 200, "".join(l + "\n" for l in lines).encode())

    def data(self, path):
        name = os.path.join(DIR, "data", urllib.parse.unquote(path).lstrip("/"))
        try:
            if "gone" in mode() and "second" in path:
                raise OSError
            with open(name, "rb") as f:
                body = f.read()
        except OSError:
            return self.respond("data", 404, b"no")
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not match:
            return self.respond("data", 200, body)
        with lock:
            key = (path, match.group(0))
            state["ranges"][key] = state["ranges"].get(key, 0) + 1
            first_time = state["ranges"][key] == 1
        if "flaky" in mode() and first_time:
            return self.respond("data", 503, b"later", [("Retry-After", "0")])
        first, last = int(match.group(1)), min(int(match.group(2)), len(body) - 1)
        if "short" in mode():
            last = max(first, last - 5)
        if first >= len(body):
            return self.respond("data", 416, b"", [("Content-Range", f"bytes */{len(body)}")])
        self.respond("data", 206, body[first:last + 1], [("Content-Range", f"bytes {first}-{last}/{len(body)}")])

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/CC-MAIN-TEST-index":
            self.index(urllib.parse.parse_qs(query, keep_blank_values=True))
        elif path.endswith("-index"):
            self.respond("index", 404, b'{"message": "Collection not found"}')
        else:
            self.data(path)

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
