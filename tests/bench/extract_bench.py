#!/usr/bin/env python3
"""extract_bench - main text beside other tools: quality, speed, memory; and reading archives. See extract.sh.

Every page is judged by the metric of its data set: words are \\w+ of the lower-cased text, F1, precision and recall
over word multisets, the mean over pages. Intervals are of the mean difference over pages drawn again (paired), 95 %.
Our text comes from trees that never saw a site of the page's fold: for each of the folds of extract_train.py the
trees are fitted without it, compiled in, and that program reads the fold's pages. The row that knows these pages,
the program as it ships, stands beside it and says so. Time is CPU time of one pinned core, the best repetition.
"""
import argparse, collections, gzip, hashlib, inspect, json, os, re, subprocess, sys, time

import numpy
import extract_hostile, extract_peers as peers

WORD = re.compile(r"\w+")
# Without spaces a run of \w is a whole clause: there every character counts as a word (--foreign, --cipher).
WORD_OR_SIGN = re.compile(r"[\u0e00-\u0eff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u0e00-\u0eff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
RESAMPLES, COLUMNS_MAX, HOSTILE_BYTES, ARCHIVE_TURNS = 5000, 16, 7_000_000, 5
SHIPPED, HONEST = "sluice, fitted to these pages", "sluice, sites held out"
BARS_F1 = {"all": .87, "forum": .80, "product": .68, "listing": .72, "collection": .72}
HERE = os.path.dirname(os.path.abspath(__file__))

def words(text):
    return collections.Counter((WORD_OR_SIGN if A.foreign or A.cipher else WORD).findall(text.lower()))

def squeeze(text):
    return " ".join(text.lower().split())

class Scorer:
    """Scores of every gold page, in the order of the gold file."""
    def __init__(self, path):
        lines = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout.splitlines()
        self.gold = [json.loads(line) for line in lines if line]
        self.words = [words(row["main_content"] or "") for row in self.gold]
        self.kinds = sorted({row["page_type"] for row in self.gold})
        self.kind = numpy.array([row["page_type"] for row in self.gold])

    def score(self, texts):
        rows, snippets = [], numpy.zeros(4)
        for row, gold in zip(self.gold, self.words):
            text = texts.get(row["url"]) or ""
            got = words(text)
            common, have, want = sum((got & gold).values()), sum(got.values()), sum(gold.values())
            empty = float(have == want == 0)
            rows.append((2 * common / (have + want) if common else empty, common / have if have else empty,
                         common / want if want else 1.0))
            low = squeeze(text)
            snippets += (sum(squeeze(s) in low for s in row.get("with") or []), len(row.get("with") or []),
                         sum(squeeze(s) not in low for s in row.get("without") or []), len(row.get("without") or []))
        return {"pages": numpy.array(rows), "with": snippets[0] / max(1, snippets[1]), "without": snippets[2] / max(1, snippets[3])}

def interval(difference, seed=1):
    """Mean and 95 % interval of a per-page difference, pages drawn again with replacement."""
    rng = numpy.random.default_rng(seed)
    drawn = difference[rng.integers(0, len(difference), (RESAMPLES, len(difference)))].mean(1)
    low, high = numpy.percentile(drawn, [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)

# ---- running things ----

def digest(*parts):
    h = hashlib.sha256()
    for part in parts:
        h.update(part if isinstance(part, bytes) else str(part).encode())
        h.update(b"\0")
    return h.hexdigest()[:24]

def file_bytes(path):
    with open(path, "rb") as file:
        return file.read()

def cached(key, make):
    """JSON kept under the key: (value, was it made now)."""
    path = f"{A.cache}/{key}.json.gz"
    if os.path.exists(path) and not A.fresh:
        with gzip.open(path, "rt") as file:
            return json.load(file), False
    value = make()
    with gzip.open(path + ".part", "wt") as file:
        json.dump(value, file)
    os.rename(path + ".part", path)
    return value, True

def pinned(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                          preexec_fn=lambda: os.sched_setaffinity(0, {A.core % os.cpu_count()}))
    if done.returncode:
        raise RuntimeError(f"{command[0]} {command[1]}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    return done.stdout

def program(bench, *arguments, repeat=3):
    """Rows of the measuring program, least CPU time of some repetitions."""
    rows = {}
    for _ in range(repeat):
        for line in pinned(bench, *arguments).splitlines():
            name, count, _, size, cpu, _ = line.split("\t")
            old = rows.get(name, {"cpu": float("inf"), "bytes": 0})
            rows[name] = {"cpu": min(float(cpu), old["cpu"]), "count": int(count), "bytes": max(int(size), old["bytes"])}
    return rows

def texts_of(path):
    with open(path) as lines:
        return {row["url"]: row["text"] for row in map(json.loads, lines)}

def measure_peer(name):
    package, _, bar = peers.PEERS[name]
    version = peers.version(package, A.wheels)
    if not version:
        return None, f"{package} could not be installed"
    repeat = 3 if bar else 1
    lxml = peers.version("lxml", A.wheels)
    key = digest("peer", name, version, lxml, sys.version, INPUT, inspect.getsource(peers))
    def make():
        started = time.strftime("%Y-%m-%d")
        answer = json.loads(pinned(sys.executable, f"{HERE}/extract_peers.py", name, A.pages, A.wheels, repeat))
        return answer | {"measured": started}
    try:
        answer, made = cached(key, make)
    except (RuntimeError, ValueError) as error:
        return None, str(error)
    if "missing" in answer:
        return None, answer["missing"]
    if not made and bar and not A.keep_times:  # the bars compare times of one run
        again = json.loads(pinned(sys.executable, f"{HERE}/extract_peers.py", name, A.pages, A.wheels, 1 if answer["cpu"] > 10 else repeat))
        answer |= {"cpu": again["cpu"], "peak_kib": again["peak_kib"], "measured": "now"}
    answer["version"] = version
    answer["note"] = "" if made or answer["measured"] == "now" else f"time of {answer['measured']}"
    if answer["failed"]:
        answer["note"] = f"fails on {answer['failed']} pages " + answer["note"]
    return answer, ""

def held_out_texts():
    """Our texts from trees that never saw the page's site: {url: text}. Enciphered pages (--cipher) are read by the
    programs of the plain ones' folds: what they were fitted to has neither the site nor the language."""
    plain_pages, plain_gold = A.cipher or (A.pages, A.gold)
    features = f"{A.build}/bench-features.bin"
    subprocess.run([f"{A.build}/unit", "extract_gold_features"], check=True, capture_output=True,
                   env=os.environ | {"SLUICE_FEATURES": os.path.abspath(features), "SLUICE_DATA": os.path.dirname(os.path.dirname(plain_pages))})
    trainer = f"{HERE}/extract_train.py"
    key = digest("folds", file_bytes(features), file_bytes(trainer), file_bytes(plain_gold), peers.version("lightgbm", A.wheels))
    folder = f"{A.cache}/folds-{key}"
    if not os.path.exists(f"{folder}/done"):
        os.makedirs(folder, exist_ok=True)
        subprocess.run([sys.executable, trainer, features, plain_gold, "--folds", f"{folder}/folds.json"], check=True)
        for fold in range(1 + max(json.load(open(f"{folder}/folds.json")).values())):
            print(f"fitting trees without fold {fold + 1}", file=sys.stderr)
            os.makedirs(f"{folder}/{fold}/extract", exist_ok=True)
            subprocess.run([sys.executable, trainer, features, plain_gold, "--fold", str(fold), "--write",
                            f"{folder}/{fold}/extract/trees.def"], check=True)
        open(f"{folder}/done", "w").close()
    fold_of = json.load(open(f"{folder}/folds.json"))
    texts = {}
    for fold in range(1 + max(fold_of.values())):
        bench = f"{A.build}/fold-{fold}/bench"
        subprocess.run([os.environ.get("MAKE", "make"), "--no-print-directory", "-s", "-f", "tests/bench/bench.mk", f"BUILD={A.build}",
                        f"FOLDS={folder}", bench], check=True)
        pinned(bench, "extract", A.pages, f"{A.build}/bench-fold.jsonl")
        found = texts_of(f"{A.build}/bench-fold.jsonl")
        texts |= {url: text for url, text in found.items() if fold_of[url] == fold}
    assert len(texts) == len(fold_of)
    return texts

# ---- printing ----

def table(title, head, rows):
    """Aligned text, which is also Markdown."""
    rows = [[str(cell) for cell in row] for row in rows]
    if len(head) > COLUMNS_MAX:
        head, *rows = [list(column) for column in zip(head, *rows)]
    width = [max(len(row[c]) for row in [head] + rows) for c in range(len(head))]
    def line(cells):
        return "| " + " | ".join(cells[0].ljust(width[0]) if c == 0 else cell.rjust(width[c]) for c, cell in enumerate(cells)) + " |"
    print(f"\n## {title}\n\n{line(head)}")
    print("|" + "|".join("-" * (w + 1) + ("-" if c == 0 else ":") for c, w in enumerate(width)) + "|")
    for row in rows:
        print(line(row))
    sys.stdout.flush()

def three(x):
    return f"{x:.3f}"

class Bars:
    """What issue 3 asks for, and whether this run has it."""
    def __init__(self):
        self.rows, self.missed = [], 0
    def add(self, what, bar, got, good):
        self.missed += not good
        self.rows.append((what, bar, got, "met" if good else "MISSED"))

def quality(results, skipped, bars):
    def means(score):
        f1 = score["pages"][:, 0]
        return [f1.mean()] + [f1[SCORER.kind == kind].mean() for kind in SCORER.kinds] + [
            score["pages"][:, 1].mean(), score["pages"][:, 2].mean(), score["with"], score["without"]]
    scores = {name: SCORER.score(result["texts"]) for name, result in results.items()}
    head = ["word F1", "all"] + SCORER.kinds + ["P", "R", "with", "without"]
    table(f"Main text: {len(SCORER.gold)} pages with a gold text", head,
          [[result["who"]] + [three(x) for x in means(scores[name])] for name, result in results.items()])
    counts = collections.Counter(SCORER.kind)
    print("\nPages: " + ", ".join(f"{counts[kind]} {kind}" for kind in SCORER.kinds) + ". with, without: share of the snippets that"
          " must, or must not, appear and do so." + "".join(f"\nSkipped {name}: {why}." for name, why in skipped.items()))
    for name, result in results.items():
        result["quality"] = dict(zip(head[1:], map(float, means(scores[name]))))
    groups = ["all"] + SCORER.kinds
    ours = scores[HONEST]["pages"][:, 0]
    rows, lost = [], []
    for name, result in results.items():
        if name in (HONEST, SHIPPED):
            continue
        difference = ours - scores[name]["pages"][:, 0]
        row = [result["who"]]
        result["ahead"] = {}
        for group in groups:
            mean, low, high = interval(difference if group == "all" else difference[SCORER.kind == group])
            result["ahead"][group] = (mean, low, high)
            row.append(f"{100 * mean:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
            if mean <= 0:
                lost.append(f"{group}: {name}")
        rows.append(row)
    table(f"{HONEST}, minus each peer: points of F1 and 95 % interval ({RESAMPLES} paired resamples of pages)", ["ahead of"] + groups, rows)
    if A.foreign or A.cipher:
        for name in ("trafilatura", "resiliparse"):
            if name in results:
                behind = [f"{group} {100 * results[name]['ahead'][group][0]:+.1f}" for group in groups if results[name]["ahead"][group][0] < 0]
                bars.add(f"held-out set, beside {name}", "above overall", f"{100 * results[name]['ahead']['all'][0]:+.1f}" + (", behind on " + ", ".join(behind) if behind else ""),
                         results[name]["ahead"]["all"][0] > 0)
    if A.no_folds or A.cipher:
        return
    mine = results[HONEST]["quality"]
    for group, bar in BARS_F1.items():
        bars.add(f"F1, sites held out, {group}", f">= {bar:.2f}", three(mine[group]), mine[group] >= bar)
    bars.add("F1 above every peer, overall and for each kind", "all", "all" if not lost else "behind on " + ", ".join(lost), not lost)

def speed(results, pages, size, bars):
    ours = results[SHIPPED]
    rows = []
    for name, result in results.items():
        if "cpu" not in result:
            continue
        ratio = "" if name == SHIPPED else f"{result['cpu'] / ours['cpu']:.2f} x"
        rows.append([result["who"].replace(", fitted to these pages", ""), f"{result['cpu']:.3f}", f"{pages / result['cpu']:.1f}", f"{size / 1e6 / result['cpu']:.1f}",
                     f"{result['peak_kib'] / 1024:.1f}", ratio, result.get("note", "")])
    table(f"Speed: {pages} pages, {size / 1e6:.1f} MB of HTML in memory, one core", ["", "CPU s", "pages/s", "MB/s", "MiB more", "ours is faster", ""], rows)
    print("\nOurs starts from bytes and finds the charset; peers get decoded text. MiB more: the most memory beyond what the process held"
          f" before, texts aside. Our slowest page took {1e3 * ours['slowest']:.1f} ms.")
    if A.foreign:
        return  # the bars of speed are for the gold pages
    for name, bar in (("trafilatura", 15), ("trafilatura fast", 9), ("resiliparse", 1.5)):
        if name in results:
            ratio = results[name]["cpu"] / ours["cpu"]
            bars.add(f"pages/s beside {name}", f">= {bar} x", f"{ratio:.2f} x", ratio >= bar)
    bars.add("MB/s of HTML, whole extract stage", ">= 120", f"{size / 1e6 / ours['cpu']:.1f}", size / 1e6 / ours["cpu"] >= 120)
    bars.add("memory of a thread, these pages", "< 64 MiB", f"{ours['peak_kib'] / 1024:.1f} MiB", ours["peak_kib"] < 64 << 10)

def as_common_crawl(path):
    """The same responses as Common Crawl stores them: between a request and a metadata record, a gzip member each."""
    if os.path.exists(path):
        return
    def record(kind, content, body):
        head = (f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-18T01:58:10Z\r\nWARC-Record-ID: <urn:uuid:{hashlib.md5(body).hexdigest()}>\r\n"
                f"Content-Length: {len(body)}\r\nContent-Type: {content}\r\nWARC-Warcinfo-ID: <urn:uuid:5b7b5d0e-4f3c-4f6f-8b43-9d3f5fdb3a3c>\r\n"
                f"WARC-Target-URI: {url}\r\n\r\n")
        return gzip.compress(head.encode() + body + b"\r\n\r\n", 6, mtime=0)
    with open(path + ".part", "wb") as out:
        for url, html in peers.records(A.pages):
            out.write(record("request", "application/http; msgtype=request", f"GET {url} HTTP/1.1\r\nUser-Agent: bot/2.0\r\nAccept: text/html\r\n\r\n".encode()))
            out.write(record("response", "application/http; msgtype=response", b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()))
            out.write(record("metadata", "application/warc-fields", b"fetchTimeMs: 313\r\ncharset-detected: UTF-8\r\nlanguages-cld2: {}\r\n"))
    os.rename(path + ".part", path)

def archive_rows(bench, path):
    """Least CPU seconds of going through a file: {who: {cpu, count}}, its bytes, and who was skipped. All take turns, a few
    times over, so that a busy machine is as busy for each."""
    rows, answers, skipped = {}, {}, {}
    for _ in range(ARCHIVE_TURNS):
        for name, row in program(bench, "inflate", path, repeat=2).items():
            rows[name] = min(row, rows.get(name, row), key=lambda r: r["cpu"])
        for name in peers.READERS:
            try:
                answer = json.loads(pinned(sys.executable, f"{HERE}/extract_peers.py", name, path, A.wheels, 2))
                if "missing" in answer:
                    raise RuntimeError(answer["missing"])
                answers[name] = min(answer, answers.get(name, answer), key=lambda a: a["cpu"])
            except (RuntimeError, ValueError) as error:
                skipped[name] = f"{name}: {error}"
    found = {"ISA-L inflate alone": rows["inflate"], "sluice, bodies stepped over": rows["warc.iterate"], "sluice, bodies whole": rows["warc.bodies"]}
    for name, answer in answers.items():
        found[f"{name} {peers.version(name, A.wheels)}"] = {"cpu": answer["cpu"], "count": answer["records"]}
    return found, rows["inflate"]["bytes"] / 1e6, skipped.values()

def archives(bench, bars):
    triples = f"{A.cache}/triples-{INPUT}.warc.gz"
    as_common_crawl(triples)
    report = {}
    for what, path in (("pages only", A.pages), ("request, response, metadata", triples)):
        found, size, skipped = archive_rows(bench, path)
        raw, ours = found["ISA-L inflate alone"]["cpu"], found["sluice, bodies stepped over"]["cpu"]
        table(f"Archive, {what}: {found['sluice, bodies whole']['count']} records, {size:.1f} MB inflated, no HTTP parsed",
              ["", "CPU s", "MB/s", "of raw inflate", "ours is faster"],
              [[name, f"{row['cpu']:.3f}", f"{size / row['cpu']:.0f}", f"{raw / row['cpu']:.2f}", "" if name.startswith("sluice") else f"{row['cpu'] / ours:.2f} x"]
               for name, row in found.items()])
        for why in skipped:
            print(f"Skipped {why}")
        bars.add(f"archive ({what}), of raw ISA-L inflate", ">= 0.8", f"{raw / ours:.2f}", raw / ours >= .8)
        fast = next((row["cpu"] for name, row in found.items() if name.startswith("fastwarc")), None)
        if fast:
            bars.add(f"archive ({what}), beside fastwarc", ">= 1.3 x", f"{fast / ours:.2f} x", fast / ours >= 1.3)
        report[what] = found
    return report

def hostile(bench, bars):
    rows = list(extract_hostile.measure(bench, HOSTILE_BYTES))
    table(f"Hostile pages of {HOSTILE_BYTES / 1e6:.0f} MB, one process each", ["", "CPU s", "MB/s", "MiB more", "verdict", "bytes of text"],
          [[name, f"{cpu:.3f}", f"{size / cpu:.1f}", f"{mib:.1f}", verdict, text] for name, size, cpu, mib, verdict, text in rows])
    most, slowest = max(rows, key=lambda row: row[3]), max(rows, key=lambda row: row[2] / row[1])
    bars.add("memory of a thread, hostile pages", "< 64 MiB", f"{most[3]:.1f} MiB ({most[0]})", all(row[3] < 64 for row in rows))
    bars.add("no page slower than", "1 s/MB", f"{slowest[2] / slowest[1]:.2f} s/MB ({slowest[0]})", slowest[2] / slowest[1] < 1)
    return rows

def main():
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip() or "(no git)"
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    head = f"sluice {commit}, {time.strftime('%Y-%m-%d %H:%M')}, {cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"
    print(f"# {head}")
    bench, bars = f"{A.build}/bench", Bars()
    if A.archives:
        archives(bench, bars)
        return table("Bars of issue 3", ["what", "bar", "here", ""], bars.rows)
    ours = f"{A.build}/bench-texts.jsonl"
    rows = program(bench, "extract", A.pages, ours)
    results = {}
    if not A.no_folds:
        results[HONEST] = {"who": HONEST, "texts": held_out_texts()}
    results[SHIPPED] = {"who": SHIPPED, "texts": texts_of(ours), "cpu": rows["extract.pages"]["cpu"], "slowest": rows["extract.slowest"]["cpu"],
                        "peak_kib": rows["extract.memory"]["bytes"] // 1024}
    skipped = {}
    for name in peers.PEERS:
        if A.only and name not in A.only:
            continue
        print(f"{name} ...", end="\r", file=sys.stderr)
        answer, why = measure_peer(name)
        if answer:
            results[name] = answer | {"who": name.replace(" ", f" {answer['version']}, ", 1) if " " in name else f"{name} {answer['version']}"}
        else:
            skipped[name] = why
    report = {"head": head, "skipped": skipped}
    quality(results, skipped, bars)
    speed(results, rows["extract.pages"]["count"], rows["extract.pages"]["bytes"], bars)
    if not (A.foreign or A.cipher):
        report["archives"] = archives(bench, bars)
        report["hostile"] = hostile(bench, bars)
    table("Bars of issue 3", ["what", "bar", "here", ""], bars.rows)
    report["rows"] = {name: {k: v for k, v in result.items() if k != "texts"} for name, result in results.items()}
    report["bars"] = bars.rows
    with open(f"{A.build}/bench-extract.json", "w") as out:
        json.dump(report, out, indent=1)
    print(f"\n{len(results)} rows, {len(skipped)} skipped, {bars.missed} bars missed; {A.build}/bench-extract.json has it all; load {os.getloadavg()[0]:.1f}")

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--build", default="build")
parser.add_argument("--pages", required=True)
parser.add_argument("--gold", required=True)
parser.add_argument("--cache", required=True)
parser.add_argument("--core", type=int, default=0)
parser.add_argument("--only", action="append", metavar="PEER", help="this peer alone; may stand more than once")
parser.add_argument("--fresh", action="store_true", help="use nothing kept from earlier runs")
parser.add_argument("--keep-times", action="store_true", help="times of the peers from the earlier run too")
parser.add_argument("--foreign", action="store_true", help="pages nobody fitted anything to (extract_debian.py): as it ships is honest")
parser.add_argument("--cipher", nargs=2, metavar=("PAGES", "GOLD"), help="the pages are those, enciphered (extract_cipher.py): folds are fitted to those")
parser.add_argument("--no-folds", action="store_true", help="only the program as it ships: its F1 is of pages it was fitted to")
parser.add_argument("--archives", action="store_true", help="only the tables of going through archives")
if __name__ == "__main__":
    A = parser.parse_args()
    A.no_folds |= A.foreign
    if A.foreign:
        SHIPPED = "sluice"
    if A.no_folds:
        HONEST = SHIPPED
    A.wheels = f"{A.cache}/wheels"
    INPUT = digest(file_bytes(A.pages))
    SCORER = Scorer(A.gold)
    main()
