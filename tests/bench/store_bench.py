#!/usr/bin/env python3
"""store_bench - the token store beside a flat file in a memory map and the loaders of others; started by store.sh.

Every figure is CPU seconds (user and system) of one core, the best of several turns; what is compared was measured in
turns. Windows are 2,048 tokens of 2 bytes (4 KiB), all of the file, in the order the loader draws them. Peers get the
same windows of the same tokens. They are Python, ours is C: a ratio compares tools, not algorithms.
"""
import argparse, importlib.metadata, json, lzma, os, resource, shutil, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
WINDOW, EOT = 2048, 32767

def rows(*arguments):
    """The best CPU seconds of each row of the measuring program, with its count and bytes."""
    out = subprocess.run([A.bench, *map(str, arguments)], capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"bench-store: {' '.join(map(str, arguments))}: {out.stderr.strip()}")
    best = {}
    for line in out.stdout.splitlines():
        name, count, _, size, cpu, wall = line.split("\t")
        row = {"count": int(count), "bytes": int(size), "cpu": float(cpu), "wall": float(wall)}
        if name not in best or row["cpu"] < best[name]["cpu"]:
            best[name] = row
    return best

def rate(row):
    return row["bytes"] / 1e9 / row["cpu"]

# ---- building ----
def texts():
    """English texts as jsonl, or why there are none."""
    path = f"{A.work}/texts.jsonl"
    try:
        packed = subprocess.run(["zstd", "-dc", f"{A.data}/html/wcxb-dev.gold.jsonl.zst"], capture_output=True, check=True).stdout
        found = [json.loads(line)["main_content"] for line in packed.splitlines()]
        for part in ("valid", "test"):
            with lzma.open(f"{A.data}/text/wikitext2_{part}.txt.xz", "rt", encoding="utf-8") as f:
                whole = f.read()
            found += [whole[i:i + 4000] for i in range(0, len(whole), 4000)]
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"no texts: {error}"
    with open(path, "w", encoding="utf-8") as to:
        for text in found:
            to.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    return path, None

def cpu_of(*command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

def whole_program(path):
    """CPU seconds of the tasks pass2 and store of a run over the texts, ten times over in eight files."""
    source, run = f"{A.work}/in", f"{A.work}/run"
    os.mkdir(source)
    with open(path, encoding="utf-8") as f:
        lines = f.readlines()
    for part in range(8):
        with open(f"{source}/{part}.jsonl", "w", encoding="utf-8") as to:
            to.writelines((lines * 10)[part::8])
    subprocess.run([A.sluice, "run", f"{HERE}/store.toml", "--set", f"source.path={source}", f"--run={run}", "--threads=1"],
                   check=True, capture_output=True)
    best = {}
    for _ in range(3):
        for task in ("pass2", "store"):
            shutil.rmtree(f"{run}/done/{task}")
            cpu = cpu_of(A.sluice, "task", task, f"--run={run}")
            best[task] = min(cpu, best.get(task, cpu))
    with open(f"{run}/store.json") as f:
        return best, sum(d["tokens"] for d in json.load(f)["domains"])

def building():
    path, why = texts()
    if why:
        print(f"\nBuilding: skipped: {why}")
        return
    print(f"\n### Building, load {os.getloadavg()[0]:.1f}\n")
    print("| what | tokens | CPU s | M tokens/CPU s | of the encoding |\n|---|---:|---:|---:|---:|")
    def line(what, count, cpu, of=None):
        print(f"| {what} | {count:,} | {cpu:.3f} | {count / 1e6 / cpu:.1f} | {'' if of is None else f'{of:.2f}'} |", flush=True)
    for name in ("r50k_base", "cl100k_base"):
        vocab = f"{A.data}/vocab/{name}.tiktoken"
        if not os.path.exists(vocab):
            print(f"| {name}: skipped: {vocab} is not there | | | | |")
            continue
        got = rows("build", vocab, path, A.work)
        count, first, warm, both = (got[k][f] for k, f in (("build.encode", "count"), ("build.first", "cpu"), ("build.encode", "cpu"), ("build.store", "cpu")))
        line(f"{name}: encoding alone, first pass", count, first)
        line(f"{name}: encoding alone, warm", count, warm)
        line(f"{name}: writing the store, checksums and sync in it", count, both - warm, (both - warm) / first)
    best, count = whole_program(path)
    line("`sluice run`: task pass2 (parallel over files)", count, best["pass2"])
    line("`sluice run`: task store (one writer)", count, best["store"], best["store"] / best["pass2"])

# ---- reading ----
def peer_numpy(flat, starts):
    """As nanoGPT's get_batch: a memmap, a window and the same one token on, to int64."""
    import numpy as np
    data = np.memmap(flat, np.uint16, "r")
    def run():
        for at in starts:
            data[at:at + WINDOW].astype(np.int64), data[at + 1:at + 1 + WINDOW].astype(np.int64)
    return run

def documents(flat):
    import numpy as np
    data = np.fromfile(flat, np.uint16)
    return data, np.flatnonzero(data == EOT)

def peer_megatron(flat, starts):
    """As GPTDataset: the documents of a window by IndexedDataset.get, put together; the window's place was looked up before."""
    import numpy as np
    data, begins = documents(flat)
    stem = f"{A.work}/megatron"
    os.symlink(flat, stem + ".bin")
    bounds = np.append(begins, len(data))
    with token_files.megatron()._IndexWriter(stem + ".idx", np.uint16) as index:
        index.write(np.diff(bounds).tolist(), None, range(len(begins) + 1))
    got = token_files.megatron().IndexedDataset(stem)
    first = np.searchsorted(bounds, starts, "right") - 1
    last = np.searchsorted(bounds, np.asarray(starts) + WINDOW, "right") - 1
    places = [(int(a), int(at - bounds[a]), int(b), int(at + WINDOW + 1 - bounds[b])) for at, a, b in zip(starts, first, last)]
    def run():
        for a, offset, b, length in places:
            if a == b:
                whole = got.get(a, offset=offset, length=length - offset)
            else:
                whole = np.concatenate([got.get(a, offset=offset)] + [got.get(i) for i in range(a + 1, b)] + [got.get(b, length=length)])
            whole = whole.astype(np.int64)
            whole[:-1], whole[1:]
    return run

def peer_datatrove(flat, starts):
    """DatatroveFileDataset's input_ids, windows of 2,048 in the same order; its windows have one token more."""
    got = token_files.datatrove()[1](flat, seq_len=WINDOW, token_size=2)
    order = [at // WINDOW % len(got) for at in starts]
    def run():
        for item in order:
            got[item]
    return run

PEERS = {"numpy": peer_numpy, "megatron-core": peer_megatron, "datatrove": peer_datatrove}

def peer_seconds(name, flat, starts):
    run, best = PEERS[name](flat, starts), None
    run()
    for _ in range(3):
        start = time.process_time()
        run()
        took = time.process_time() - start
        best = took if best is None else min(best, took)
    return best

def reading():
    folder = f"{A.work}/windows"
    os.mkdir(folder)
    got = rows("windows", folder, A.megabytes)
    size = got["copy.flat"]["bytes"] / 1e6
    print(f"\n### Reading windows of 4 KiB, {size:.0f} MB, page cache warm, load {os.getloadavg()[0]:.1f}\n")
    print("| work | flat map, GB/CPU s | store, GB/CPU s | store of flat |\n|---|---:|---:|---:|")
    for name, what in (("copy", "the window's bytes, copied"), ("rows", "inputs and targets, as int32"),
                       ("starts", "inputs, targets and the documents' starts")):
        flat, store = got[name + ".flat"], got[name + ".store"]
        print(f"| {what} | {rate(flat):.2f} | {rate(store):.2f} | {flat['cpu'] / store['cpu']:.2f} |")
    print(f"| the same on a store just opened: every checksum for the first time | | {rate(got['rows.first']):.2f} | |")
    print(f"| every checksum, document and count (`store verify`) | | {rate(got['verify']):.2f} | |")
    print(f"\nOpening takes {got['open']['cpu'] * 1e3:.2f} ms; the process holds {got['memory']['count'] / 1024:.1f} MiB of its own.")
    print("\n| who | inputs and targets, GB/CPU s | ours is |\n|---|---:|---:|")
    print(f"| sluice | {rate(got['rows.store']):.2f} | |", flush=True)
    try:
        import numpy as np
    except ImportError:
        print("| peers | | skipped: no numpy |")
        return
    count = os.path.getsize(f"{folder}/flat.bin") // 2 // WINDOW - 1
    starts = (np.random.default_rng(7).permutation(count) * WINDOW).tolist()[:A.peer_windows]
    for name in PEERS:
        try:
            version = importlib.metadata.version(name)
            seconds = peer_seconds(name, f"{folder}/flat.bin", starts)
        except Exception as error: # a peer may fail in any way of its own
            print(f"| {name} | | skipped: {type(error).__name__}: {str(error)[:80]} |", flush=True)
            continue
        speed = len(starts) * 2 * WINDOW / 1e9 / seconds
        print(f"| {name} {version} | {speed:.2f} | {rate(got['rows.store']) / speed:.1f} x |", flush=True)

def jumping():
    folder = f"{A.work}/jump"
    os.mkdir(folder)
    got = rows("jumps", folder)
    print(f"\n### Jumping, 16 phases of 4 sources, 10^12 rows, load {os.getloadavg()[0]:.1f}\n")
    print(f"Where a row lies: {got['jump.mean']['cpu'] / got['jump.mean']['count'] * 1e9:.0f} ns on average. A jump with the reading of its"
          f" row: {got['jump.worst']['cpu'] * 1e6:.0f} us, the worst of 20,000. Planning: {got['jump.plan']['cpu'] * 1e3:.3f} ms.")

def main():
    os.sched_setaffinity(0, {A.core})
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as A.work:
        print(f"{os.cpu_count()} cores, one used; load {os.getloadavg()[0]:.1f} at the start")
        building()
        reading()
        jumping()

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the measuring program")
    parser.add_argument("--sluice", required=True, help="the program")
    parser.add_argument("--data", required=True, help="the folder with vocab, html and text")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--megabytes", type=int, default=512, help="of tokens to read windows of")
    parser.add_argument("--peer-windows", type=int, default=50000, help="so many of the windows are read by peers")
    A = parser.parse_args()
    A.bench, A.sluice = os.path.abspath(A.bench), os.path.abspath(A.sluice)
    sys.path.insert(0, os.path.join(HERE, "../oracle"))
    import token_files
    main()
