#!/usr/bin/env python3
"""tokenize_bench - encoding and training beside the tokenizers of others; started by tokenize.sh.

Every figure is CPU seconds (user and system) of one core. Each tool runs in a process of its own: the first pass
over all texts (cold: what it caches, it caches now; peers have had the first text, so that all modules are loaded),
and the best of three more (warm). Ids are compared by the SHA-256 of every text's ids behind their count. Texts are
documents of natural length, given whole.

What users do is neither: one pass over a large corpus. With --stream (a file of tokenize_texts.py) come tables of one
pass over some 250 MB of different documents in mixed order; peers are asked document by document and in batches.
"""
import argparse, base64, glob, hashlib, html, importlib.metadata, json, lzma, os, re, resource, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"
          r"|\s+(?!\S)|\s")
O200K = "|".join((
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"))
TRAIN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
VOCABS = {"cl100k_base": CL100K, "o200k_base": O200K}
LANGUAGES = {"English": None, "German": "de", "Russian": "ru", "Japanese": "ja", "Hindi": "hi", "code": None}
WARM = 3
# Which lines of tokenize_texts.py a stream is made of; what is left is in some forty languages.
STREAMS = {"English": ("reference", "dictionary"), "code": ("code",), "multilingual": ("help", "manual", "book")}
STREAM_MB, BATCH = 250, 1024

def version(package):
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package

# ---- texts ----
def english():
    for part in ("valid", "test"):
        with lzma.open(f"{A.data}/text/wikitext2_{part}.txt.xz", "rt", encoding="utf-8") as f:
            text = f.read()
        yield from (text[i:i + 4000] for i in range(0, len(text), 4000))
    with open(f"{A.data}/text/tinyshakespeare.txt", encoding="utf-8") as f:
        text = f.read()
    yield from (text[i:i + 4000] for i in range(0, len(text), 4000))
    gold = subprocess.run(["zstd", "-dc", f"{A.data}/html/wcxb-dev.gold.jsonl.zst"], capture_output=True).stdout
    yield from (json.loads(line)["main_content"] for line in gold.splitlines())

def help_pages(code):
    """LibreOffice's help in a language: a page a text, without its tags."""
    folder = f"{A.cache}/{code}"
    if not os.path.isdir(folder):
        subprocess.run(["apt-get", "download", "-q", f"libreoffice-help-{code}"], cwd=A.cache, check=True, capture_output=True)
        package = glob.glob(f"{A.cache}/libreoffice-help-{code}_*.deb")[0]
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        os.remove(package)
    for path in sorted(glob.glob(f"{folder}/**/*.html", recursive=True)):
        with open(path, encoding="utf-8", errors="replace") as f:
            page = re.sub(r"(?s)<(script|style|head)\b.*?</\1>", "", f.read())
        yield re.sub(r"[ \t]+", " ", re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]*>", "", page))))

def code_files():
    ours = glob.glob(f"{HERE}/../../*/*.[ch]")
    for path in sorted(ours) + sorted(glob.glob("/usr/lib/python3*/**/*.py", recursive=True))[:800]:
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        if "<|" not in text: # some peers take <|endoftext|> in a text for the token, and cannot be told not to
            yield text

def texts_of(language):
    """The path of a language's texts as jsonl, or why there is none."""
    path = f"{A.cache}/{language}.jsonl"
    if not os.path.exists(path):
        code = LANGUAGES[language]
        try:
            texts = list(help_pages(code) if code else english() if language == "English" else code_files())
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            return None, f"its texts cannot be had ({type(error).__name__})"
        with open(path + ".part", "w", encoding="utf-8") as f:
            for text in texts:
                if text.strip():
                    f.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        os.rename(path + ".part", path)
    return path, None

def read_texts(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line)["text"] for line in f]

# ---- one peer, in its own process ----
def ranks_of(vocab):
    with open(f"{A.data}/vocab/{vocab}.tiktoken", "rb") as f:
        return {base64.b64decode(a): int(b) for a, b in (line.split() for line in f if line.strip())}

def load_tiktoken(vocab):
    import tiktoken
    k = tiktoken.Encoding(vocab, pat_str=VOCABS[vocab], mergeable_ranks=ranks_of(vocab), special_tokens={})
    return lambda texts: [k.encode_ordinary(x) for x in texts]

def load_tokenizers(vocab):
    from tokenizers import Tokenizer
    k = Tokenizer.from_file(f"{A.cache}/{vocab}.json")
    return lambda texts: [e.ids for e in k.encode_batch_fast(texts, add_special_tokens=False)]

def load_gigatoken(vocab):
    import gigatoken
    k = gigatoken.Tokenizer.from_tiktoken(f"{A.data}/vocab/{vocab}.tiktoken")
    return lambda texts: k.encode_batch(texts, parallel=False)

def load_rs_bpe(vocab):
    from rs_bpe.bpe import openai
    k = getattr(openai, vocab)()
    return lambda texts: [k.encode(x) for x in texts]

def load_bpe_qwen(vocab):
    raise RuntimeError("reads Qwen's vocabulary alone, and needs transformers")

PEERS = {"tiktoken": load_tiktoken, "tokenizers": load_tokenizers, "gigatoken": load_gigatoken, "rs-bpe": load_rs_bpe,
         "bpe-qwen": load_bpe_qwen}

def ids_add(h, lists):
    import numpy
    for ids in lists:
        ids = numpy.asarray(ids, dtype="<u4")
        h.update(numpy.uint32(len(ids)).tobytes() + ids.tobytes())

def ids_hash(lists):
    h = hashlib.sha256()
    ids_add(h, lists)
    return h.hexdigest()

def peer_encode(name, vocab, path):
    texts = read_texts(path)
    if name == "gigatoken":
        texts = [x.encode() for x in texts] # its fastest way in
    run, seconds = PEERS[name](vocab), []
    run(texts[:1]) # modules loaded late are no part of encoding
    for _ in range(WARM + 1):
        start = time.process_time()
        ids = run(texts)
        seconds.append(time.process_time() - start)
        if sum(seconds) > 60:
            break
    return {"cold": seconds[0], "warm": min(seconds[1:] or seconds), "hash": ids_hash(ids)}

# A document at a time and many at a time, as their users call them.
def stream_tiktoken(vocab):
    import tiktoken
    k = tiktoken.Encoding(vocab, pat_str=VOCABS[vocab], mergeable_ranks=ranks_of(vocab), special_tokens={})
    return k.encode_ordinary, lambda texts: k.encode_ordinary_batch(texts, num_threads=1)

def stream_gigatoken(vocab):
    import gigatoken
    k = gigatoken.Tokenizer.from_tiktoken(f"{A.data}/vocab/{vocab}.tiktoken")
    return k.encode, lambda texts: k.encode_batch(texts, parallel=False)

STREAM_PEERS = {"tiktoken": (stream_tiktoken, 50), "gigatoken": (stream_gigatoken, STREAM_MB)} # MB of the stream

def peer_stream(name, vocab, path):
    """CPU seconds of a new encoder over the beginning of a stream; what it gave is counted between the clocks."""
    begin, most = STREAM_PEERS[name]
    texts, size = [], 0
    for text in line_texts(path):
        raw = text.encode()
        if size + len(raw) > most * 1e6:
            break
        texts.append(raw if name == "gigatoken" else text)
        size += len(raw)
    seconds, hashes = [], []
    for many in (False, True):
        run, h, spent = begin(vocab)[many], hashlib.sha256(), 0
        run(texts[:1] if many else texts[0])
        for at in range(0, len(texts), BATCH):
            batch = texts[at:at + BATCH]
            start = time.process_time()
            ids = run(batch) if many else [run(text) for text in batch]
            spent += time.process_time() - start
            ids_add(h, ids)
        seconds.append(spent)
        hashes.append(h.hexdigest())
    return {"mb": size / 1e6, "texts": len(texts), "one": seconds[0], "many": seconds[1], "hashes": hashes}

# Each trainer gives the bytes of its tokens, by rank.
def train_tokenizers(texts, size):
    from tokenizers import Tokenizer, Regex, models, pre_tokenizers, trainers
    k = Tokenizer(models.BPE())
    k.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(TRAIN), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    k.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, show_progress=False, special_tokens=[],
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)] # bytes that GPT-2 prints as they are
    byte = {chr(c): c for c in plain} | {chr(256 + i): c for i, c in enumerate(c for c in range(256) if c not in plain)}
    vocab = k.get_vocab()
    return [bytes(byte[c] for c in token) for token in sorted(vocab, key=vocab.get)]

def train_rustbpe(texts, size):
    import rustbpe
    k = rustbpe.Tokenizer()
    k.train_from_iterator(texts, size, pattern=TRAIN)
    return [bytes(token) for token, _ in sorted(k.get_mergeable_ranks(), key=lambda x: x[1])]

def train_bpeasy(texts, size):
    import bpeasy
    ranks = bpeasy.train_bpe(texts, TRAIN, 256, size)
    return sorted(ranks, key=ranks.get)

TRAINERS = {"tokenizers": train_tokenizers, "rustbpe": train_rustbpe, "bpeasy": train_bpeasy}

def line_texts(path):
    """One text after the other: no trainer is made to hold them all."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            yield json.loads(line)["text"]

def peer_train(name, size, path):
    """Reading JSON lines and learning, nothing written; reading alone, once more, is told too."""
    start = time.process_time()
    tokens = TRAINERS[name](line_texts(path), size)
    learned = time.process_time()
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sum(1 for _ in line_texts(path))
    with open(f"{A.cache}/{name}.ranks", "w") as f:
        f.writelines(base64.b64encode(token).decode() + "\n" for token in tokens)
    return {"cpu": learned - start, "reading": time.process_time() - learned, "rss": rss}

def child(*what):
    """A peer's figures, or why there are none."""
    out = subprocess.run([sys.executable, __file__, "--bench", A.bench, "--data", A.data, "--cache", A.cache, "--core",
                          str(A.core), "--child", *map(str, what)], capture_output=True, text=True)
    if out.returncode:
        return None, (out.stderr.strip().splitlines() or ["it ended"])[-1][:100]
    return json.loads(out.stdout.splitlines()[-1]), None

# ---- ours ----
def ours(*arguments):
    process = subprocess.Popen([A.bench, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    rows = [line.split("\t") for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench-tokenize: {' '.join(map(str, arguments))} failed")
    return rows, usage.ru_maxrss

def ours_encode(vocab, path):
    ids = f"{A.work}/ids"
    rows, _ = ours("passes", f"{A.data}/vocab/{vocab}.tiktoken", path, ids)
    with open(ids, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    return {"cold": min(float(r[4]) for r in rows if r[0] == "encode.cold"),
            "warm": min(float(r[4]) for r in rows if r[0] == "encode.warm"), "hash": digest}

def encode_table(vocab, language):
    path, why = texts_of(language)
    if why:
        print(f"\n{vocab}, {language}: skipped: {why}")
        return
    size = sum(len(x.encode()) for x in read_texts(path)) / 1e6
    mine = ours_encode(vocab, path)
    print(f"\n### {vocab}, {language}: {size:.1f} MB, load {os.getloadavg()[0]:.1f}\n")
    print("| who | cold, MB/CPU s | warm, MB/CPU s | ours is, cold | ours is, warm | ids |\n|---|---:|---:|---:|---:|---|")
    print(f"| sluice | {size / mine['cold']:.0f} | {size / mine['warm']:.0f} | | | |", flush=True)
    for name in PEERS:
        got, why = child("encode", name, vocab, path)
        if why:
            print(f"| {version(name)} | | | | | skipped: {why} |", flush=True)
            continue
        print(f"| {version(name)} | {size / got['cold']:.1f} | {size / got['warm']:.1f} | {got['cold'] / mine['cold']:.1f} x"
              f" | {got['warm'] / mine['warm']:.1f} x | {'equal' if got['hash'] == mine['hash'] else 'NOT EQUAL'} |", flush=True)

def stream_texts(stream):
    """Its path: documents of the gigabyte in the order of their hashes, as a crawl mixes them."""
    path = f"{A.cache}/stream-{stream}.jsonl"
    if not os.path.exists(path):
        found, size = [], 0
        with open(A.stream, encoding="utf-8") as f:
            for line in f:
                document = json.loads(line)
                if document["domain"] in STREAMS[stream] and "<|" not in document["text"]:
                    found.append((hashlib.sha1(document["text"].encode()).digest(), document["text"]))
        with open(path + ".part", "w", encoding="utf-8") as to:
            for _, text in sorted(found):
                size += len(text.encode())
                if size > STREAM_MB * 1e6:
                    break
                to.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
        os.rename(path + ".part", path)
    return path

def ids_of_first(path, texts):
    """The SHA-256 of the ids of the first texts."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for _ in range(texts):
            count = f.read(4)
            h.update(count + f.read(4 * int.from_bytes(count, "little")))
    return h.hexdigest()

def stream_table(vocab, stream):
    path, ids = stream_texts(stream), f"{A.work}/ids"
    rows, rss = ours("passes", f"{A.data}/vocab/{vocab}.tiktoken", path, ids, 0)
    size, seconds = int(rows[0][3]) / 1e6, float(rows[0][4])
    print(f"\n### {vocab}, one pass over {size:.0f} MB, {stream}: load {os.getloadavg()[0]:.1f}\n")
    print("| who | MB | by document, MB/CPU s | in batches | ours is, to the better one | ids |\n|---|---:|---:|---:|---:|---|")
    print(f"| sluice | {size:.0f} | {size / seconds:.0f} | | | |", flush=True)
    for name in STREAM_PEERS:
        got, why = child("stream", name, vocab, path)
        if why:
            print(f"| {version(name)} | | | | | skipped: {why} |", flush=True)
            continue
        best = got["mb"] / min(got["one"], got["many"])
        same = set(got["hashes"]) == {ids_of_first(ids, got["texts"])}
        print(f"| {version(name)} | {got['mb']:.0f} | {got['mb'] / got['one']:.1f} | {got['mb'] / got['many']:.1f} | {size / seconds / best:.1f} x"
              f" | {'equal' if same else 'NOT EQUAL'} |", flush=True)

def train_table(size):
    """Whole processes: JSON lines read, vocabulary learned; ours also writes its files."""
    path = A.train_texts
    if not path:
        path = f"{A.work}/train.jsonl"
        with open(path, "wb") as to:
            for language in LANGUAGES:
                part, why = texts_of(language)
                if not why:
                    with open(part, "rb") as f:
                        to.write(f.read())
    total = sum(len(x.encode()) for x in line_texts(path)) / 1e6
    sluice = os.path.join(os.path.dirname(A.bench), "sluice")
    process = subprocess.Popen([sluice, "tokenize", "train", "--threads=1", "--held_out=0", f"--vocab_size={size + 1}",
                                f"--out={A.work}/trained", "--jsonl", path], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit("bench-tokenize: sluice tokenize train failed")
    cpu = usage.ru_utime + usage.ru_stime
    with open(f"{A.work}/trained/tokenizer.tiktoken") as f:
        mine = [line.split()[0] for line in f]
    print(f"\n### Training {size} tokens on {total:.1f} MB ({os.path.basename(path)}), load {os.getloadavg()[0]:.1f}\n")
    print("| who | CPU s | reading alone, s | ours is | peak RSS, MB | tokens |\n|---|---:|---:|---:|---:|---|")
    print(f"| sluice | {cpu:.2f} | | | {usage.ru_maxrss / 1024:.0f} | |", flush=True)
    for name in A.trainers.split(","):
        got, why = child("train", name, size, path)
        if why:
            print(f"| {version(name)} | | | | | skipped: {why} |", flush=True)
            continue
        with open(f"{A.cache}/{name}.ranks") as f:
            theirs = f.read().split()
        same = "all equal, in order" if theirs == mine else f"{len(set(theirs) & set(mine))} of {len(mine)} in both"
        print(f"| {version(name)} | {got['cpu']:.2f} | {got['reading']:.2f} | {got['cpu'] / cpu:.1f} x | {got['rss'] / 1024:.0f} | {same} |",
              flush=True)

def main():
    os.sched_setaffinity(0, {A.core})
    if A.child:
        kind, name, what, path = A.child
        print(json.dumps(peer_encode(name, what, path) if kind == "encode" else peer_stream(name, what, path) if kind == "stream"
                         else peer_train(name, int(what), path)))
        return 0
    with tempfile.TemporaryDirectory() as A.work:
        sluice = os.path.join(os.path.dirname(A.bench), "sluice")
        print(f"{os.cpu_count()} cores, one used; load {os.getloadavg()[0]:.1f} at the start")
        for vocab in filter(None, A.vocabs.split(",")):
            subprocess.run([sluice, "tokenize", "convert", f"{A.data}/vocab/{vocab}.tiktoken", f"{A.cache}/{vocab}.json"],
                           check=True, capture_output=True)
            for language in filter(None, A.languages.split(",")):
                encode_table(vocab, language)
            for stream in STREAMS if A.stream else ():
                stream_table(vocab, stream)
        if A.train:
            train_table(A.train)
    return 0

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the measuring program")
    parser.add_argument("--data", required=True, help="the folder with vocab and text")
    parser.add_argument("--cache", required=True, help="where texts are kept")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--vocabs", default=",".join(VOCABS))
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--stream", help="JSON lines of tokenize_texts.py to encode in one pass; else none")
    parser.add_argument("--train", type=int, default=32767, help="tokens to learn; 0: none")
    parser.add_argument("--train_texts", help="JSON lines to learn from (tokenize_texts.py makes a gigabyte); else all texts above")
    parser.add_argument("--trainers", default=",".join(TRAINERS))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    A = parser.parse_args()
    os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
    sys.exit(main())
