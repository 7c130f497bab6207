#!/usr/bin/env python3
"""A server that fails at random, for an hour's fetching (tests/cli/soak.sh).

    flaky_server.py LOG SHARE [--pages=N] [--pause=S]

Listens on 127.0.0.1, on a free port that it prints. /f/N.gz is one of 64 gzip files, of one to four members; /p/N is a page
of a web of N pages that hangs together. SHARE of all answers (0.3) fail, in turn by a draw from the count of requests: no
answer at all, a reset or an end in mid-body, a flipped bit, 500, 503 and 429 with Retry-After: 0, a stall, a range that is not
the one asked for. robots.txt never fails. Each answer takes S seconds (0). LOG gets, at the end, the counts as JSON; so it does at SIGTERM.
"""
import asyncio, gzip, json, random, signal, socket, struct, sys

SHARE = float(sys.argv[2])
PAGES = next((int(a[8:]) for a in sys.argv if a.startswith("--pages=")), 20000)
PAUSE = next((float(a[8:]) for a in sys.argv if a.startswith("--pause=")), 0)
KINDS = ("drop", "reset", "short", "flip", "500", "503", "429", "stall", "range")
STALL_S = 4
counts = {"requests": 0, "failed": 0, "files": 0, "pages": 0, "now": 0, "most": 0, **{k: 0 for k in KINDS}}

def file_bytes(n):
    draw = random.Random(n)
    return [gzip.compress(draw.randbytes(draw.randrange(200, 3000)), 1, mtime=0) for _ in range(1 + n % 4)]
MEMBERS = [file_bytes(n) for n in range(64)]
FILES = [b"".join(m) for m in MEMBERS]

def flipped(draw, part, whole):
    """One bit of it is another; not one of a gzip header (time, system), which no checksum covers."""
    start, headers, at = len(whole) - len(part), set(), 0
    for member in next((m for m, f in zip(MEMBERS, FILES) if f is whole), []):
        headers |= set(range(at, at + 10))
        at += len(member)
    at = draw.choice([i for i in range(len(part)) if i + start not in headers])
    return part[:at] + bytes([part[at] ^ 1 << draw.randrange(8)]) + part[at + 1:]

def page(n):
    ways = {(3 * n + 1) % PAGES, (3 * n + 2) % PAGES, (n + 1) % PAGES}
    return (f"<html><title>{n}</title><body><p>Page {n}. " + "words of it " * (n % 40) +
            "".join(f'<a href="http://h{w % 20}.test/p/{w}">{w}</a> ' for w in sorted(ways)) + "</body></html>").encode()

def answer(path):
    """Status, type, ETag and body."""
    if path == "/robots.txt":
        return 200, "text/plain", None, b"User-agent: *\nDisallow: /no/\n"
    part = path.split("/")
    if len(part) == 3 and part[1] == "f":
        counts["files"] += 1
        n = int(part[2].split(".")[0]) % 64
        return 200, "application/gzip", f'"f{n}"', FILES[n]
    if len(part) == 3 and part[1] == "p" and part[2].isdigit() and int(part[2]) < PAGES:
        counts["pages"] += 1
        return 200, "text/html", None, page(int(part[2]))
    return 404, "text/plain", None, b"none here"

def reset(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

async def one(reader, writer):
    """One request; false ends the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    asked = {f.split(":", 1)[0].lower(): f.split(":", 1)[1].strip() for f in fields if ":" in f}
    path = line.split(" ")[1]
    counts["now"] += 1
    counts["most"] = max(counts["most"], counts["now"])
    try:
        await asyncio.sleep(PAUSE)
        return await respond(path, asked, writer)
    finally:
        counts["now"] -= 1

async def respond(path, asked, writer):
    status, kind, etag, body = answer(path)
    counts["requests"] += 1
    draw = random.Random(counts["requests"])
    fault = draw.choice(KINDS) if draw.random() < SHARE and path != "/robots.txt" else None
    if fault in ("flip", "range") and not etag:
        fault = "short"  # no checksum of a page would tell, and it is never asked for in part
    if fault:
        counts["failed"] += 1
        counts[fault] += 1
    if fault == "drop":
        return False
    if fault in ("500", "503", "429"):
        patience = "" if fault == "500" else "Retry-After: 0\r\n"
        writer.write(f"HTTP/1.1 {fault} No\r\n{patience}Content-Length: 2\r\n\r\nno".encode())
        return True
    extra, start = "", 0
    if etag and asked.get("range", "").startswith("bytes=") and asked.get("if-range", etag) == etag:
        start = int(asked["range"][6:].split("-")[0])
        if start >= len(body):
            start = 0
        else:
            status = 206
            said = start + 1 if fault == "range" else start
            extra = f"Content-Range: bytes {said}-{len(body) - 1}/{len(body)}\r\n"
    part = body[start:]
    if fault == "flip" or (fault == "range" and status != 206):
        part = flipped(draw, part, body)
    writer.write(f"HTTP/1.1 {status} Fine\r\nContent-Type: {kind}\r\nContent-Length: {len(part)}\r\n{extra}".encode() +
                 (f"ETag: {etag}\r\n".encode() if etag else b"") + b"\r\n")
    if fault in ("reset", "short", "stall"):
        writer.write(part[:draw.randrange(len(part))])
        await writer.drain()
        if fault == "stall":
            await asyncio.sleep(STALL_S)
        if fault != "short":
            await asyncio.sleep(.01)
            reset(writer)
        return False
    writer.write(part)
    await writer.drain()
    return True

async def serve(reader, writer):
    try:
        while await one(reader, writer):
            pass
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    for s in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(s, ended.set)
    await ended.wait()
    with open(sys.argv[1], "w") as log:
        json.dump(counts, log)

if __name__ == "__main__":
    asyncio.run(main())
