#!/usr/bin/env python3
"""A small web for the focused crawler's tests: several sites on 127.0.0.1, friendly and hostile, told apart by Host.

    site.py PORT LOG        serves until killed; LOG gets one line a request: seconds, host, path, status
"""
import gzip, socketserver, sys, threading, time
from http.server import BaseHTTPRequestHandler

LOG, LOCK, BEGIN = None, threading.Lock(), time.monotonic()
tries = {}

def links(*to, head=""):
    return f"<html><head><title>t</title>{head}</head><body>" + " ".join(f'<a href="{u}">x</a>' for u in to) + "</body></html>"

def good(path):  # a site with everything a well-meant site has: (status, headers, body), body text or bytes
    pages = {
        "/": links("/a/", "a/b.html", "secret/x.html", "/secret/open.html", "?page=2", "/p.html?utm_source=x", "/p.html#top", "/img.png",
                   "http://other.test/", "mailto:x@y", "javascript:x()", "/moved", "/gone", "/noindex.html", "/nofollow.html", "/gzip.html",
                   "/latin.html", "/base/", "/same1.html", "/same2.html", "/frame.html", "/pdf", "/chunked", "/\u00e9.html", "&#47;entity.html"),
        "/?page=2": links("?page=2", "?page=3"), "/?page=3": links("/deep1.html"),
        "/a/": links("../a/../a/b.html", "b.html"), "/a/b.html": links("/"), "/p.html": "<p>p",
        "/secret/open.html": "allowed by the longer rule", "/noindex.html": links("/from-noindex.html", head='<meta name="robots" content="noindex">'),
        "/from-noindex.html": "x", "/nofollow.html": links("/never1.html", head='<meta name=ROBOTS content="NOFOLLOW">'),
        "/base/": links("in-base.html", head='<base href="/elsewhere/">'), "/elsewhere/in-base.html": "found",
        "/same1.html": "the same words", "/same2.html": "the same words", "/frame.html": '<!-- <a href="/never2.html"> --><script>"<a href=/never3.html>"</script><iframe src="/framed.html"></iframe>',
        "/framed.html": "framed", "/to-here": "there", "/entity.html": "entity", "/deep1.html": links("/deep2.html"), "/deep2.html": links("/deep3.html"),
        "/%C3%A9.html": "accent", "/mapped1.html": "1", "/mapped2.html": "2", "/listed.html": links("/x.html"), "/x.html": links("/y.html"), "/y.html": "y",
    }
    if path == "/robots.txt":
        return 200, {"Content-Type": "text/plain"}, "User-agent: *\nDisallow: /secret/\nAllow: /secret/open\nSitemap: http://good.test/index.xml\nUser-agent: evil\nDisallow: /\n"
    if path == "/index.xml":
        return 200, {"Content-Type": "application/xml"}, "<?xml version='1.0'?><sitemapindex><sitemap><loc>http://good.test/map.xml.gz</loc></sitemap><sitemap><loc>http://trap.test/map.xml</loc></sitemap></sitemapindex>"
    if path == "/map.xml.gz":
        return 200, {"Content-Type": "application/gzip"}, gzip.compress(b"<urlset><url><loc>http://good.test/mapped1.html</loc></url><url><loc>\n http://good.test/mapped2.html </loc></url><url><loc>http://out.test/</loc></url></urlset>")
    if path == "/moved":
        return 301, {"Location": "to-here"}, "moved"
    if path == "/gone":
        return 404, {}, links("/never4.html")
    if path == "/gzip.html":
        return 200, {"Content-Encoding": "gzip"}, gzip.compress(links("/from-gzip.html").encode())
    if path == "/from-gzip.html":
        return 200, {"X-Robots-Tag": "otherbot: noindex"}, "unpacked"
    if path == "/latin.html":
        return 200, {"Content-Type": "text/html; charset=iso-8859-1"}, b'<a href="/\xe9.html">x</a>'
    if path == "/pdf":
        return 200, {"Content-Type": "application/pdf"}, "%PDF-1.4 " * 1000
    return (200, {}, pages[path]) if path in pages else (404, {}, "no such page")

class Site(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True

    def answer(self, status, headers, body):
        body = body.encode() if isinstance(body, str) else body
        self.send_response_only(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.note(status)

    def note(self, status):
        with LOCK:
            LOG.write(f"{time.monotonic() - BEGIN:.3f} {self.host} {self.path} {status}\n")
            LOG.flush()

    def do_GET(self):
        self.host = self.headers.get("Host", "").split(":")[0]
        if self.path.startswith("http://"):  # asked as a proxy
            self.path = "/" + (self.path.split("/", 3) + [""])[3]
        with LOCK:
            tries[self.host + self.path] = tries.get(self.host + self.path, 0) + 1
        getattr(self, "at_" + self.host.replace(".", "_"), self.at_nowhere)(self.path)

    def at_nowhere(self, path):
        self.answer(404, {}, "no such site")

    def at_inward_test(self, path):
        self.answer(302, {"Location": "http://169.254.169.254/latest"}, "")

    def at_good_test(self, path):
        if path == "/chunked":
            self.send_response_only(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b'5\r\n<a hr\r\n18\r\nef="/from-chunks.html">x\r\n0\r\n\r\n')
            return self.note(200)
        if path == "/from-chunks.html":
            return self.answer(200, {}, "joined")
        self.answer(*good(path))

    def at_wide_test(self, path):  # many pages, each leading to two more: something to be killed in
        if path == "/robots.txt":
            return self.answer(404, {}, "")
        n = int(path[1:] or 0)
        time.sleep(0.002)
        self.answer(200, {}, links(f"/{2 * n + 1}", f"/{2 * n + 2}") + f"<p>page {n} " + "words " * (n % 50) if n < 400 else f"leaf {n}")

    def at_slow_test(self, path):  # asks for 0.3 s between requests
        if path == "/robots.txt":
            return self.answer(200, {"Content-Type": "text/plain"}, "User-agent: *\nCrawl-delay: 0.3\nDisallow:\n")
        self.answer(200, {}, links("/1", "/2", "/3", "/4"))

    at_slow2_test = at_slow_test

    def at_trap_test(self, path):  # endless links: calendars, repeating folders, ever deeper paths, sessions
        if path == "/robots.txt":
            return self.answer(200, {"Content-Type": "text/plain"}, "Sitemap: /map.xml\n" * 100)
        n = tries.get("trap.test" + path, 0) + len(tries)
        body = links(f"/calendar?year={n}&month={n % 12}", "loop/", f"/s?PHPSESSID={n}", f"/d{n}/x{n}", "deeper/and/deeper/")
        self.answer(200, {}, body + f"<p>{path} {n}")

    def at_loop_test(self, path):  # redirects without end, here and to the other host
        if path.startswith("/robots.txt"):
            return self.answer(404, {}, "") if "?" in path else self.answer(301, {"Location": "/robots.txt?again"}, "")
        n = int(path[1:] or 0)
        self.answer(302, {"Location": f"http://loop2.test/{n + 1}"}, "")

    def at_loop2_test(self, path):
        self.answer(404, {}, "") if path == "/robots.txt" else self.answer(302, {"Location": f"http://loop.test/{path[1:]}1"}, "")

    def at_big_test(self, path):  # a page without end, and one that stops in the middle
        if path == "/robots.txt":
            return self.answer(403, {}, "no")
        if path == "/":
            return self.answer(200, {}, links("/endless", "/broken", "/binary", "/stall"))
        self.send_response_only(200)
        self.send_header("Content-Type", "text/html")
        if path in ("/broken", "/stall"):
            self.send_header("Content-Length", "100000")
        self.send_header("Connection", "close")
        self.end_headers()
        self.note(200)
        self.close_connection = True
        try:
            if path == "/binary":
                self.wfile.write(bytes(range(256)) * 40)
            if path == "/broken":
                self.wfile.write(b"only this much")
            if path == "/stall":
                self.wfile.write(b"so slow")
                self.wfile.flush()
                time.sleep(20)
            while path == "/endless":
                self.wfile.write(b"<p>more and more and more</p>" * 1000)
        except OSError:
            pass

    def at_busy_test(self, path):  # 503 twice, then well; 500 for ever
        if path == "/robots.txt":
            return self.answer(503, {}, "") if tries["busy.test/robots.txt"] < 2 else self.answer(404, {}, "")
        if path == "/":
            return self.answer(200, {}, links("/later", "/never"))
        if path == "/later" and tries["busy.test/later"] >= 3:
            return self.answer(200, {}, "at last")
        self.answer(503 if path == "/later" else 500, {"Retry-After": "1"} if path == "/later" else {}, "not now")

    def at_closed_test(self, path):  # no robots.txt to be had
        self.answer(500, {}, "broken")

    def at_noai_test(self, path):
        robots = "User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n"
        self.answer(200, {"Content-Type": "text/plain"}, robots) if path == "/robots.txt" else self.answer(200, {}, links("/x"))

    def at_tdm_test(self, path):
        if path == "/robots.txt":
            return self.answer(404, {}, "")
        pages = {"/": links("/header", "/meta", "/tag", "/ok"), "/ok": "ok"}
        if path == "/header":
            return self.answer(200, {"TDM-Reservation": "1"}, "x")
        if path == "/tag":
            return self.answer(200, {"X-Robots-Tag": "noai, noimageai"}, "x")
        self.answer(200, {}, pages.get(path) or '<meta name="tdm-reservation" content="1">x')

    def log_message(self, *_):
        pass

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

    def handle_error(self, *_):  # clients that go away in the middle are part of the test
        pass

if __name__ == "__main__":
    LOG = open(sys.argv[2], "w")
    with Server(("127.0.0.1", int(sys.argv[1])), Site) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
