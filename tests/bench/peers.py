#!/usr/bin/env python3
"""peers - the same work, input, machine and core for this program and for the tools people use now.

    python3 -m venv venv && venv/bin/pip install -r tests/bench/peers.txt
    venv/bin/python tests/bench/peers.py --sluice ./sluice --bench build/bench --data ../shared/data [SUBJECT ...]

Subjects: warc extract encode train filters minhash language gemm agree. Prints Markdown tables. Every figure is CPU
seconds (user and system) on one core, the best of up to three repetitions (fewer where one takes over a minute);
wall seconds say how busy the machine was. A peer that is not installed is named and skipped. DATA is laid out as
its README says: real pages with a gold text, tokenizer ranks, lid.176.ftz.
"""
import argparse, base64, collections, glob, gzip, importlib.metadata, json, lzma, os, random, re, subprocess, sys, tarfile, tempfile, time

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
REPEAT, ENOUGH_S, CHUNK = 3, 60, 3000
FAILED = []
HERE = os.path.dirname(os.path.abspath(__file__))
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")

def version(package):
    return f"{package} {importlib.metadata.version(package)}"

def best(work):
    """Least CPU seconds, least wall seconds and the last result of a few repetitions."""
    cpu_best, wall_best, spent = float("inf"), float("inf"), 0
    for _ in range(REPEAT):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        cpu_best, wall_best, spent = min(cpu_best, cpu), min(wall_best, wall), spent + cpu
        if spent > ENOUGH_S:
            break
    return cpu_best, wall_best, result

def ours(*arguments):
    """Best CPU and wall seconds, count and bytes by row of the measuring program."""
    rows = {}
    for _ in range(REPEAT):
        out = subprocess.run([A.bench, *map(str, arguments)], check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            name, count, _, size, cpu, wall = line.split("\t")
            old = rows.get(name, (float("inf"), float("inf"), 0, 0))
            rows[name] = (min(old[0], float(cpu)), min(old[1], float(wall)), int(count), int(size))
    return rows

class Table:
    """Rows of one subject; the first is ours and the others are compared with it."""
    def __init__(self, title, unit, amount):
        self.unit, self.amount, self.first = unit, amount, None
        print(f"\n### {title}\n\n| who | CPU s | wall s | {unit}/s per core | ours is | |\n|---|---:|---:|---:|---:|---|", flush=True)
    def row(self, who, cpu, wall, note="", amount=None):
        amount = amount or self.amount
        rate = amount / cpu
        self.first = self.first or rate
        times = "" if who.startswith("sluice") else f"{self.first / rate:.3g} x as fast"
        print(f"| {who} | {cpu:.3f} | {wall:.3f} | {rate:,.4g} | {times} | {note} |", flush=True)
    def skip(self, who, why):
        print(f"| {who} | | | | | skipped: {why} |", flush=True)

class peer:
    """Names a peer that is absent or fails, and goes on."""
    def __init__(self, table, who):
        self.table, self.who = table, who
    def __enter__(self):
        return self
    def __exit__(self, kind, error, _):
        if kind and issubclass(kind, ImportError):
            self.table.skip(self.who, f"not installed ({error})")
            return True
        if kind and issubclass(kind, Exception):
            FAILED.append(f"{self.who}: {error}")
            self.table.skip(self.who, f"failed: {error}")
            return True
        return False

# ---- inputs ----

def records():
    """(url, body) of the responses of the WARC file, one gzip member each, read without anybody's reader."""
    out, data = [], gzip.open(A.pages).read()
    at = 0
    while at < len(data):
        head_end = data.index(b"\r\n\r\n", at)
        head = data[at:head_end].decode("latin-1")
        size = int(re.search(r"(?i)^content-length:\s*(\d+)", head, re.M)[1])
        block = data[head_end + 4:head_end + 4 + size]
        if re.search(r"(?im)^warc-type:\s*response", head):
            url = re.search(r"(?im)^warc-target-uri:\s*<?([^\s>]+)", head)[1]
            out.append((url, block[block.index(b"\r\n\r\n") + 4:].decode("utf-8", "replace")))
        at = head_end + 4 + size + 4
    return out

def zstd_lines(path):
    out = subprocess.run(["zstd", "-dc", path], check=True, capture_output=True).stdout
    return [json.loads(line) for line in out.splitlines() if line]

def sluice_run(recipe, run):
    subprocess.run([A.sluice, "run", recipe, f"--set=source.path={A.pages}", f"--run={run}", "--threads=1"],
                   check=True, capture_output=True)

def our_texts():
    run = f"{A.work}/extract"
    if not os.path.exists(f"{run}/corpus"):
        sluice_run(f"{HERE}/extract.toml", run)
    return {row["url"]: row["text"] for path in sorted(glob.glob(f"{run}/corpus/*.zst")) for row in zstd_lines(path)}

def chunks(text):
    """Pieces of about CHUNK characters, cut at line ends."""
    piece, size = [], 0
    for line in text.splitlines(keepends=True):
        piece.append(line)
        size += len(line)
        if size >= CHUNK:
            yield "".join(piece)
            piece, size = [], 0
    if piece:
        yield "".join(piece)

def write_docs(name, texts):
    path = f"{A.work}/{name}.jsonl"
    with open(path, "w") as out:
        for text in texts:
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return path, texts, sum(len(t.encode()) for t in texts)

def page_docs():
    """The main texts of the pages, in documents of about 3 KB."""
    return write_docs("pages", [c for t in our_texts().values() for c in chunks(t) if len(c) > CHUNK / 2])

def mixed_docs():
    """About 10 MB nobody's cache has seen twice: page texts, Wikipedia, Shakespeare, one text in many languages."""
    texts = [c for t in our_texts().values() for c in chunks(t)]
    for name in ("wikitext2_valid.txt.xz", "wikitext2_test.txt.xz"):
        texts += chunks(lzma.open(f"{A.data}/text/{name}", "rt").read())
    texts += chunks(open(f"{A.data}/text/tinyshakespeare.txt").read())
    with tarfile.open(f"{A.data}/text/udhr2.tar.xz") as tar:
        members = sorted((m for m in tar if m.isfile() and m.size > 1000), key=lambda m: m.name)
        for member in members:
            text = tar.extractfile(member).read().decode("utf-8", "replace")
            texts += chunks(re.sub(r"<[^>]*>", "", text) if member.name.endswith(".xml") else text)
    random.Random(1).shuffle(texts)
    size, cut = 0, 0
    while cut < len(texts) and size < 10_000_000:
        size, cut = size + len(texts[cut].encode()), cut + 1
    return write_docs("mixed", texts[:cut])

# ---- subjects ----

def warc():
    rows = ours("warc", A.pages)
    cpu, wall, count, size = rows["warc.read"]
    t = Table(f"Reading WARC: {count} records, {size / 1e6:.1f} MB decoded", "MB", size / 1e6)
    t.row("sluice", cpu, wall)
    def fast(http):
        from fastwarc.warc import ArchiveIterator
        return sum(len(r.reader.read()) for r in ArchiveIterator(A.pages, parse_http=http))
    def slow():
        from warcio.archiveiterator import ArchiveIterator
        with open(A.pages, "rb") as f:
            return sum(len(r.raw_stream.read()) for r in ArchiveIterator(f, no_record_parse=True))
    with peer(t, "fastwarc"):
        t.row(version("fastwarc"), *best(lambda: fast(False))[:2])
    with peer(t, "warcio"):
        t.row(version("warcio"), *best(slow)[:2])
    t = Table("The same, HTTP headers parsed", "MB", size / 1e6)
    t.row("sluice", *rows["warc.http"][:2])
    with peer(t, "fastwarc"):
        t.row(version("fastwarc"), *best(lambda: fast(True))[:2])

WORD = re.compile(r"\w+")
def f1(text, gold):
    a, b = (collections.Counter(WORD.findall(x.lower())) for x in (text, gold))
    common = sum((a & b).values())
    return 2 * common / (sum(a.values()) + sum(b.values())) if common else float(not a and not b)

def score(texts):
    kinds = collections.defaultdict(list)
    found, absent = [0, 0], [0, 0]
    for g in zstd_lines(f"{A.data}/html/wcxb-dev.gold.jsonl.zst"):
        text = texts.get(g["url"]) or ""
        kinds[g["page_type"]].append(f1(text, g["main_content"] or ""))
        low = " ".join(text.lower().split())
        for snippet in g.get("with") or []:
            found[0] += " ".join(snippet.lower().split()) in low
            found[1] += 1
        for snippet in g.get("without") or []:
            absent[0] += " ".join(snippet.lower().split()) not in low
            absent[1] += 1
    every = [x for values in kinds.values() for x in values]
    share = {k: sum(v) / len(v) for k, v in sorted(kinds.items())}
    return sum(every) / len(every), share, found[0] / max(1, found[1]), absent[0] / max(1, absent[1])

def extract():
    pages = records()
    size = sum(len(html.encode()) for _, html in pages)
    cpu, wall, count, _ = ours("stages", A.pages)["extract"]
    t = Table(f"Extraction: {count} pages, {size / 1e6:.1f} MB", "pages", count)
    t.row("sluice", cpu, wall, f"{size / 1e6 / cpu:.1f} MB/s")
    quality = [("sluice", our_texts())]
    def measure(who, one):
        cpu, wall, texts = best(lambda: {url: one(html) or "" for url, html in pages})
        t.row(who, cpu, wall, f"{size / 1e6 / cpu:.1f} MB/s")
        quality.append((who, texts))
    with peer(t, "resiliparse"):
        from resiliparse.extract.html2text import extract_plain_text
        measure(version("resiliparse"), lambda html: extract_plain_text(html, main_content=True))
    with peer(t, "trafilatura"):
        import trafilatura
        measure(version("trafilatura") + ", fast", lambda html: trafilatura.extract(html, fast=True))
        measure(version("trafilatura"), trafilatura.extract)
    scored = [(who, score(texts)) for who, texts in quality]
    kinds = sorted(scored[0][1][1])
    print("\n| F1 against the gold | all | " + " | ".join(kinds) + " | with | without |")
    print("|---|" + "---:|" * (len(kinds) + 3))
    for who, (mean, by_kind, found, absent) in scored:
        print(f"| {who} | {mean:.3f} | " + " | ".join(f"{by_kind[k]:.3f}" for k in kinds) + f" | {found:.3f} | {absent:.3f} |")

def read_ids(path):
    import array
    ids = array.array("I")
    ids.frombytes(open(path, "rb").read())
    return ids

def train():
    path, texts, size = mixed_docs()
    t = Table(f"Learning 16,384 tokens from {size / 1e6:.1f} MB (cl100k's split)", "MB", size / 1e6)
    os.makedirs(f"{A.work}/bpe", exist_ok=True)
    cpu, wall, _, _ = ours("bpe", path, 16384, "cl100k", f"{A.work}/bpe")["tokenizer.train"]
    t.row("sluice", cpu, wall)
    with peer(t, "tokenizers"):
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers, Regex
        def learn():
            k = Tokenizer(models.BPE())
            k.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(CL100K), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
            k.train_from_iterator(texts, trainers.BpeTrainer(
                vocab_size=16384, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                special_tokens=["<|endoftext|>"]))
            return k
        cpu, wall, k = best(learn)
        mine = set(json.load(open(f"{A.work}/bpe/tokenizer.json"))["model"]["vocab"])
        same = len(mine & set(k.get_vocab())) / len(mine)
        t.row(version("tokenizers"), cpu, wall, f"{same:.2%} of our tokens are theirs")

def encode():
    path, texts, size = mixed_docs()
    ranks = f"{A.data}/vocab/cl100k_base.tiktoken"
    t = Table(f"Encoding {size / 1e6:.1f} MB, {len(texts)} documents, cl100k_base", "MB", size / 1e6)
    t.row("sluice", *ours("encode", ranks, path)["tokenizer.encode"][:2])
    ours("encode", ranks, path, f"{A.work}/ids")
    mine = read_ids(f"{A.work}/ids").tolist()
    def compare(who, work):
        cpu, wall, lists = best(work)
        same = [i for ids in lists for i in ids] == mine
        t.row(who, cpu, wall, f"the same {len(mine):,} ids" if same else "OTHER IDS")
    def load(file, name):
        import tiktoken
        pairs = dict((base64.b64decode(a), int(b)) for a, b in (line.split() for line in open(file) if line.strip()))
        return tiktoken.Encoding(name, pat_str=CL100K.replace(r"\s*[\r\n]+", r"\s*[\r\n]"), mergeable_ranks=pairs,
                                 special_tokens={"<|endoftext|>": max(pairs.values()) + 1})
    with peer(t, "tiktoken"):
        k = load(ranks, "cl100k")
        compare(version("tiktoken"), lambda: [k.encode_ordinary(x) for x in texts])
    if not os.path.exists(f"{A.work}/bpe/tokenizer.json"):
        os.makedirs(f"{A.work}/bpe", exist_ok=True)
        ours("bpe", path, 16384, "cl100k", f"{A.work}/bpe")
    t = Table("The same with our own 16,384 tokens", "MB", size / 1e6)
    t.row("sluice", *ours("encode", f"{A.work}/bpe/tokenizer.json", path)["tokenizer.encode"][:2])
    ours("encode", f"{A.work}/bpe/tokenizer.json", path, f"{A.work}/ids")
    mine = read_ids(f"{A.work}/ids").tolist()
    with peer(t, "tiktoken"):
        k = load(f"{A.work}/bpe/tokenizer.tiktoken", "own")
        compare(version("tiktoken"), lambda: [k.encode_ordinary(x) for x in texts])
    with peer(t, "tokenizers"):
        from tokenizers import Tokenizer
        h = Tokenizer.from_file(f"{A.work}/bpe/tokenizer.json")
        compare(version("tokenizers"), lambda: [e.ids for e in h.encode_batch_fast(texts, add_special_tokens=False)])

def filters():
    path, texts, size = page_docs()
    rows = ours("stages", path)
    t = Table(f"Gopher quality + repetition, C4, FineWeb: {len(texts)} documents, {size / 1e6:.1f} MB", "docs", len(texts))
    t.row("sluice", *rows["filters"][:2], "words and lines found once")
    with peer(t, "datatrove"):
        from datatrove.data import Document
        from datatrove.pipeline.filters import C4QualityFilter, FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
        parts = [GopherRepetitionFilter(), GopherQualityFilter(), C4QualityFilter(filter_no_terminal_punct=False), FineWebQualityFilter()]
        for p in parts:
            p.filter(Document(text=texts[0], id="0"))
        def work():
            spent = collections.Counter()
            for i, text in enumerate(texts):
                d = Document(text=text, id=str(i))
                for p in parts:
                    start = time.process_time()
                    p.filter(d)
                    spent[type(p).__name__] += time.process_time() - start
            return spent
        cpu, wall, spent = best(work)
        t.row(version("datatrove"), cpu, wall, ", ".join(f"{k} {v:.2f} s" for k, v in spent.items()))
    names = ("words and lines", "length", "gopher_repetition", "gopher_quality", "c4", "fineweb")
    print("\nOurs by filter, CPU s: " + ", ".join(f"{n} {rows[n][0]:.4f}" for n in names))

def minhash():
    path, texts, size = page_docs()
    rows = ours("stages", path)
    t = Table(f"MinHash, 14 x 8 values over 5 words: {len(texts)} documents, {size / 1e6:.1f} MB", "docs", len(texts))
    t.row("sluice", rows["dedup"][0] + rows["words and lines"][0], rows["dedup"][1] + rows["words and lines"][1],
          "with finding the words and the exact hash")
    with peer(t, "datatrove"):
        from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
        step = MinhashDedupSignature(f"{A.work}/signatures", MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8))
        step.get_signature(step.get_shingles(texts[0]))
        cpu, wall, _ = best(lambda: [step.get_signature(s) for s in map(step.get_shingles, texts) if len(s)])
        t.row(version("datatrove"), cpu, wall)

def language():
    path, texts, size = mixed_docs()
    model = f"{A.data}/models/lid.176.ftz"
    t = Table(f"Language (lid.176.ftz): {len(texts)} documents, {size / 1e6:.1f} MB", "docs", len(texts))
    t.row("sluice", *ours("language", model, path)["language.predict"][:2])
    ours("language", model, path, f"{A.work}/labels")
    mine = [line.split()[0] for line in open(f"{A.work}/labels")]
    with peer(t, "fasttext"):
        import fasttext
        k = fasttext.load_model(model)
        lines = [x.replace("\n", " ").replace("\r", " ") for x in texts]
        cpu, wall, answers = best(lambda: [k.predict(x) for x in lines])
        same = sum(a[0][0].removeprefix("__label__") == b for a, b in zip(answers, mine))
        who = next((p for p in ("fasttext-predict", "fasttext", "fasttext-wheel") if p in INSTALLED), "fasttext")
        t.row(version(who), cpu, wall, f"{same} of {len(mine)} labels are the same")

def gemm():
    rows = ours("gemm")
    cpu, wall, count, _ = rows["gemm.f32"]
    t = Table("Matrix product 768 x 768 x 768, 20 times", "GFLOP", count / 1e6)
    t.row("sluice, f32", cpu, wall)
    with peer(t, "numpy"):
        import numpy
        rng = numpy.random.default_rng(1)
        a, b = (rng.random((768, 768), dtype=numpy.float32) - 0.5 for _ in range(2))
        c = numpy.empty_like(a)
        numpy.dot(a, b.T, out=c)
        cpu, wall, _ = best(lambda: [numpy.dot(a, b.T, out=c) for _ in range(20)])
        t.row(version("numpy") + " (its OpenBLAS), f32", cpu, wall)
    t.row("sluice, bf16 in, f32 sums", *rows["gemm.bf16"][:2])

# ---- agreement ----

GOPHER = [  # our rule, their option, its value, their reason
    ("min_words", "min_doc_words", 50, "gopher_short_doc"), ("max_words", "max_doc_words", 100000, "gopher_long_doc"),
    ("min_word_chars", "min_avg_word_length", 3, "gopher_below_avg_threshold"),
    ("max_word_chars", "max_avg_word_length", 10, "gopher_above_avg_threshold"),
    ("max_hash_ratio", "max_symbol_word_ratio", 0.1, "gopher_too_many_hashes"),
    ("max_ellipsis_ratio", "max_symbol_word_ratio", 0.1, "gopher_too_many_ellipsis"),
    ("max_bullet_lines", "max_bullet_lines_ratio", 0.9, "gopher_too_many_bullets"),
    ("max_ellipsis_lines", "max_ellipsis_lines_ratio", 0.3, "gopher_too_many_end_ellipsis"),
    ("min_alpha_words", "max_non_alpha_words_ratio", 0.8, "gopher_below_alpha_threshold"),
    ("min_stop_words", "min_stop_words", 2, "gopher_enough_stop_words")]

def agree():
    """Rule by rule: does each drop the same pages?"""
    import pyarrow.parquet
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherQualityFilter
    from datatrove.utils.text import split_into_words
    texts = our_texts()
    sluice_run(f"{HERE}/agree.toml", f"{A.work}/agree")
    ledger = [r for p in sorted(glob.glob(f"{A.work}/agree/ledger/*.parquet")) for r in pyarrow.parquet.read_table(p).to_pylist()]
    ledger = [r for r in ledger if r["url"] in texts]
    off = {option: None for _, option, _, _ in GOPHER}
    print(f"\n### Gopher quality, rule by rule: ours and {version('datatrove')} over {len(ledger)} extracted texts\n")
    print("| rule | both drop | only ours | only theirs | neither |\n|---|---:|---:|---:|---:|")
    odd, counts = [], collections.defaultdict(collections.Counter)
    alone = {rule: GopherQualityFilter(**(off | {option: value})) for rule, option, value, _ in GOPHER}
    for r in ledger:
        for rule, _, _, reason in GOPHER:
            mine = f"gopher_quality.{rule}" in (r["rule"] + " " + r["also"]).split()
            answer = alone[rule].filter(Document(text=texts[r["url"]], id=""))
            theirs = answer is not True and answer[1] == reason
            counts[rule][mine, theirs] += 1
            if mine != theirs:
                odd.append((rule, r, mine))
    for rule, count in counts.items():
        print(f"| {rule} | {count[True, True]} | {count[True, False]} | {count[False, True]} | {count[False, False]} |")
    print("\nPages where the two differ (`alpha` is the share of tokens with a letter):\n")
    print("| rule | dropped by | lang | our words | their words | our alpha | their alpha | our stop words | url |\n|---|---|---|---:|---:|---:|---:|---:|---|")
    for rule, r, mine in odd:
        words = split_into_words(texts[r["url"]], "eng")
        alpha = sum(any(c.isalpha() for c in w) for w in words) / len(words)
        print(f"| {rule} | {'ours' if mine else 'theirs'} | {r['lang']} | {r['signal.gopher_quality.words']:.0f} | {len(words)} | "
              f"{r['signal.gopher_quality.alpha_words']:.4f} | {alpha:.4f} | {r['signal.gopher_quality.stop_words']} | {r['url'][:70]} |")

SUBJECTS = dict(warc=warc, extract=extract, train=train, encode=encode, filters=filters, minhash=minhash, language=language,
                gemm=gemm, agree=agree)
parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--sluice", default="./sluice")
parser.add_argument("--bench", default="build/bench")
parser.add_argument("--data", default="../shared/data")
parser.add_argument("--core", type=int, default=1, help="the core everything runs on; -1: any")
parser.add_argument("subjects", nargs="*", metavar="SUBJECT")
A = parser.parse_args()
A.sluice, A.bench, A.data = map(os.path.abspath, (A.sluice, A.bench, A.data))
A.pages = f"{A.data}/html/wcxb-dev.warc.gz"
INSTALLED = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
if A.core >= 0:
    os.sched_setaffinity(0, {A.core % os.cpu_count()})
unknown = set(A.subjects) - set(SUBJECTS)
if unknown:
    sys.exit(f"peers: no subject {', '.join(sorted(unknown))}: one of {' '.join(SUBJECTS)}")
with tempfile.TemporaryDirectory(prefix="sluice-peers-") as A.work:
    for name in A.subjects or SUBJECTS:
        try:
            SUBJECTS[name]()
        except ImportError as missing:
            print(f"\n{name}: skipped: {missing}")
        except (OSError, subprocess.CalledProcessError) as error:
            FAILED.append(name)
            print(f"\n{name}: failed: {error}\n{getattr(error, 'stderr', '') or ''}")
sys.exit(len(FAILED) > 0)
