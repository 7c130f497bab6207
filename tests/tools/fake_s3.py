#!/usr/bin/env python3
"""A small S3 server for tests: checks every signature by its own means and misbehaves by the bucket's name.

    fake_s3.py DIR      listens on 127.0.0.1, prints its port; ends when its standard input does

DIR/keys            what exists: a line "BUCKET HEXKEY BYTES" each; the bytes are made from key and position
DIR/credentials     who may ask: a line "ID SECRET [TOKEN]" each, read anew for every request
DIR/files/KEY       objects of the buckets whose name starts with "files"; those of "filesstall" stop after 100 bytes
DIR/log             a line a request: status, code, method, request target, Authorization's scope

The signature is checked as the S3 API reference describes it ("Signature Calculations for the Authorization Header"):
decode what came once, encode it once, compare. Python's hmac, hashlib and urllib are the oracle.
"""
import datetime, email.utils, hashlib, hmac, os, re, sys, threading, time, urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DIR = sys.argv[1]
EMPTY = hashlib.sha256(b"").hexdigest()
lock = threading.Lock()
seen = {}                     # (bucket, key) -> requests so far
SKEW = 3 * 3600               # how far the clock of the bucket "skew" is ahead
PAGE = 3                      # keys a page of a listing

class Refused(Exception):
    def __init__(self, status, code, message, extra="", headers=()):
        self.status, self.code, self.message, self.extra, self.headers = status, code, message, extra, headers

def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

def credentials():
    with open(os.path.join(DIR, "credentials")) as f:
        rows = [line.split() for line in f if line.strip()]
    return {row[0]: (row[1], row[2] if len(row) > 2 else "") for row in rows}

def objects(bucket):
    found = {}
    with open(os.path.join(DIR, "keys")) as f:
        for line in f:
            name, key, size = line.split()
            if name == bucket:
                found[bytes.fromhex(key)] = int(size)
    return found

def content(key, size):
    """Byte i is key[i mod len] + i div 256, mod 256."""
    n = len(key)
    return bytes((key[i % n] + i // 256) % 256 for i in range(size))

def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")

class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def clock(self, bucket):
        return time.time() + (SKEW if bucket.startswith("skew") else 0)

    def check_signature(self, bucket, target, query, region):
        """Raises Refused unless the request is signed as it must be, for this region."""
        value = self.headers.get("Authorization", "")
        if not value:
            raise Refused(403, "AccessDenied", "Access Denied")
        match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, "
                             r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", value)
        if not match:
            raise Refused(400, "AuthorizationHeaderMalformed", "not understood")
        key_id, day, scope, names, signature = match.groups()
        if scope != region:
            raise Refused(400, "AuthorizationHeaderMalformed", f"the region '{scope}' is wrong; expecting '{region}'",
                          f"<Region>{region}</Region>", [("x-amz-bucket-region", region)] if self.command == "HEAD" else ())
        names = names.split(";")
        must = {"host", "x-amz-date", "x-amz-content-sha256"} | {h.lower() for h in self.headers if h.lower().startswith("x-amz-")}
        if names != sorted(names) or not must <= set(names):
            raise Refused(403, "AccessDenied", "There were headers present in the request which were not signed")
        stamp, payload = self.headers["x-amz-date"], self.headers["x-amz-content-sha256"]
        sent = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
        if abs(sent - self.clock(bucket)) > 900:
            raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
        if stamp[:8] != day or payload not in (EMPTY, "UNSIGNED-PAYLOAD"):
            raise Refused(400, "XAmzContentSHA256Mismatch", "day or payload do not fit")
        if key_id not in credentials():
            raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        secret, token = credentials()[key_id]
        if bucket.startswith("expire") and key_id.startswith("OLD") and seen[bucket] > 3:
            raise Refused(400, "ExpiredToken", "The provided token has expired.")
        if self.headers.get("x-amz-security-token", "") != token:
            raise Refused(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
        path = urllib.parse.quote(urllib.parse.unquote_to_bytes(target), safe="/-_.~")
        quote = lambda text: urllib.parse.quote(urllib.parse.unquote_to_bytes(text), safe="-_.~")
        pairs = sorted((quote(n), quote(v)) for n, _, v in (part.partition("=") for part in query.split("&") if part))
        lines = [f"{n}:{' '.join(self.headers[n].split())}" for n in names]
        request = "\n".join([self.command, path, "&".join("=".join(p) for p in pairs), *lines, "", ";".join(names), payload])
        scope = f"{day}/{region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()])
        key = mac(mac(mac(mac(b"AWS4" + secret.encode(), day), region), "s3"), "aws4_request")
        if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), signature):
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")

    def misbehave(self, bucket, nth):
        """What a bucket's name asks for, before any signature is looked at."""
        signed = re.search(r"Credential=[^/]+/\d+/([^/]+)/", self.headers.get("Authorization", ""))
        region = signed.group(1) if signed else ""
        west = "eu-west-1"
        if bucket == "west301" and region != west:
            raise Refused(301, "PermanentRedirect", "use the endpoint", headers=[("x-amz-bucket-region", west)])
        if bucket == "west307" and region != west:
            raise Refused(307, "TemporaryRedirect", "Please re-send this request to the specified temporary endpoint.",
                          "<Endpoint>west307.s3-eu-west-1.amazonaws.com</Endpoint>",
                          [("Location", "http://127.0.0.1:1/elsewhere")])
        if bucket == "pingpong":
            raise Refused(301, "PermanentRedirect", "elsewhere", headers=[("x-amz-bucket-region", f"eu-west-{nth + 1}")])
        if bucket == "nowhere":
            raise Refused(301, "PermanentRedirect", "elsewhere", headers=[("x-amz-bucket-region", "evil.example.org/")])
        if bucket == "slow" and nth < 2:
            raise Refused(503, "SlowDown", "Please reduce your request rate.", headers=[("Retry-After", "0")])
        if bucket == "denied":
            echo = " ".join(f"{n}={v}" for n, v in self.headers.items())
            raise Refused(403, "AccessDenied", "Access Denied " + echo[-3000:])
        if bucket == "html":
            raise Refused(500, "", "<html>not S3 at all</html>")
        return west if bucket.startswith("west") else "us-east-1"

    def note(self, status, code="-"):
        """Before anything is sent, so that who has the answer finds the line."""
        with lock, open(os.path.join(DIR, "log"), "a") as f:
            f.write(f"{status} {code} {self.command} {self.requestline.split(' ')[1]} {self.headers.get('Host')}\n")

    def respond(self, status, body, headers=(), code="-"):
        self.note(status if status >= 300 else "2xx", code)
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Date", email.utils.formatdate(self.clock(self.bucket), usegmt=True))
        self.send_header("x-amz-request-id", "4442587FB7D0A2F9")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, r):
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{r.code}</Code><Message>{escape(r.message)}</Message>{r.extra}<RequestId>4442587FB7D0A2F9</RequestId></Error>'
        self.respond(r.status, (body if r.code else r.message).encode(), r.headers, r.code or "-")

    def list(self, bucket, query):
        given = {urllib.parse.unquote_to_bytes(n): urllib.parse.unquote_to_bytes(v)
                 for n, _, v in (part.partition("=") for part in query.split("&"))}
        prefix, token = given.get(b"prefix", b""), given.get(b"continuation-token", b"")
        keys = sorted(k for k in objects(bucket) if k.startswith(prefix) and k > token[5:])
        url = given.get(b"encoding-type") == b"url" and bucket != "listraw"
        show = (lambda k: urllib.parse.quote_plus(k, safe="/")) if url else (lambda k: escape(k.decode()))
        page, more = keys[:PAGE], len(keys) > PAGE
        out = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        out += f"<Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
        out += "<EncodingType>url</EncodingType>" if url else ""
        if more:
            next_token = b"t+/=:" + page[-1] if bucket != "listloop" else b"same"
            out += f"<NextContinuationToken>{escape(next_token.decode('latin-1'))}</NextContinuationToken>"
        for key in page:
            out += f"<Contents><Key>{show(key)}</Key><Size>{objects(bucket)[key]}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        self.respond(200, (out + "</ListBucketResult>").encode(), [("Content-Type", "application/xml")])

    def get(self, bucket, key, nth):
        if bucket.startswith("files"):
            try:
                with open(os.path.join(DIR, "files", key.decode()), "rb") as f:
                    data = f.read()
            except OSError:
                raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        elif key in objects(bucket):
            data = content(key, objects(bucket)[key])
        else:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        changes = bucket in ("etag", "blind") and nth > 0
        if changes:
            data = data[::-1]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        headers = [("ETag", etag), ("Accept-Ranges", "bytes")]
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = 0
        if match and (self.headers.get("If-Range", etag) == etag or bucket == "blind"):   # blind to If-Range
            first, last = int(match.group(1)), min(int(match.group(2) or len(data) - 1), len(data) - 1)
            if first >= len(data):
                raise Refused(416, "InvalidRange", "The requested range is not satisfiable", headers=[("Content-Range", f"bytes */{len(data)}")])
            headers.append(("Content-Range", f"bytes {first}-{last}/{len(data)}"))
            data, status = data[first:last + 1], 206
        else:
            status = 200
        if bucket in ("cut", "etag", "blind") and nth == 0:   # the line breaks in the middle
            self.note("2xx", "Cut")
            self.send_response_only(status)
            for name, value in headers + [("Content-Length", str(len(data)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[:len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        if bucket == "filesstall":                   # headers and a little, then nothing for a while
            self.note("2xx", "Stall")
            self.send_response_only(status)
            for name, value in headers + [("Content-Length", str(len(data)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[:100])
            self.wfile.flush()
            time.sleep(20)
            self.close_connection = True
            return
        self.respond(status, data, headers)

    def handle_one(self):
        target, _, query = self.requestline.split(" ")[1].partition("?")
        raw = urllib.parse.unquote_to_bytes(target)
        host = self.headers.get("Host", "").partition(":")[0]
        if host.endswith(".s3.test"):
            self.bucket, key = host[:-len(".s3.test")], raw[1:]
        else:
            bucket, _, key = raw[1:].partition(b"/")
            self.bucket = bucket.decode()
        try:
            with lock:
                nth = seen.get((self.bucket, key), 0)
                seen[(self.bucket, key)] = nth + 1
                seen[self.bucket] = seen.get(self.bucket, 0) + 1
            region = self.misbehave(self.bucket, nth)
            if self.bucket == "anonymous":
                if "Authorization" in self.headers or any(h.lower().startswith("x-amz-") for h in self.headers):
                    raise Refused(400, "InvalidRequest", "this bucket wants no signature")
            else:
                self.check_signature(self.bucket, target, query, region)
            if self.bucket == "payer" and self.headers.get("x-amz-request-payer") != "requester":
                raise Refused(403, "AccessDenied", "Access Denied")
            self.list(self.bucket, query) if "list-type=2" in query.split("&") else self.get(self.bucket, key, nth)
        except Refused as r:
            self.refuse(r)

    do_GET = do_HEAD = handle_one

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
