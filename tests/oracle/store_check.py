#!/usr/bin/env python3
"""Token files in both directions: what `sluice store export` writes is read by Megatron's, datatrove's and numpy's own
code and equals the corpus as `tokenizers` encodes it; what their code writes, `sluice store import` gives back as text.

    store_check.py RUN SLUICE      exit 77: a package is missing
"""
import collections, json, os, subprocess, sys, tempfile

try:
    import numpy as np
    from tokenizers import Tokenizer
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import token_files
    megatron = token_files.megatron()
    TokenizedFile, DatatroveFileDataset = token_files.datatrove()
except (ImportError, AttributeError) as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(77)

run, sluice = os.path.abspath(sys.argv[1]), sys.argv[2]
folder = tempfile.TemporaryDirectory(prefix="sluice-store-check-")
os.chdir(folder.name)
tok = Tokenizer.from_file(f"{run}/tokenizer/tokenizer.json")
eot = tok.token_to_id("<|endoftext|>")

def command(*args):
    return subprocess.run([sluice, "store", *args], stdout=subprocess.PIPE, check=True).stdout

texts = [json.loads(line)["text"] for line in command("export", f"--run={run}", "--format=jsonl", "--out=-").splitlines()]
corpus = []
for name in sorted(os.listdir(f"{run}/corpus")):
    packed = subprocess.run(["zstd", "-dcq", f"{run}/corpus/{name}"], stdout=subprocess.PIPE, check=True).stdout
    corpus += [json.loads(line)["text"] for line in packed.splitlines()]
assert len(texts) > 50 and texts == corpus, "the text is not the corpus"
assert not any("<|endoftext|>" in text for text in texts)
docs = [tok.encode(text, add_special_tokens=False).ids for text in texts]
bag = lambda docs: collections.Counter(tuple(int(i) for i in doc) for doc in docs)
want = bag(docs)
compared = 0

# ---- out: read by others ----
def split(stream, in_front):
    ends = np.flatnonzero(stream == eot)
    starts = ends + 1 if in_front else np.concatenate(([0], ends[:-1] + 1))
    stops = np.concatenate((ends[1:], [len(stream)])) if in_front else ends
    return [stream[a:b] for a, b in zip(starts, stops)]

def same(name, got):
    global compared
    assert bag(got) == want, f"{name}: other documents"
    compared += sum(len(doc) for doc in got)

for form in ("llmc", "nanogpt", "megatron", "datatrove"):
    command("export", f"--run={run}", f"--format={form}", "--out=out", f"--prefix={form}")
head = np.fromfile("out/llmc.bin", np.int32, 256)
stream = np.fromfile("out/llmc.bin", np.uint16, offset=1024)
assert head[0] == 20240520 and head[1] == 1 and head[2] == len(stream)
same("llmc", split(stream, True))
same("nanogpt", split(np.memmap("out/nanogpt.bin", np.uint16, "r"), False))
data = megatron.IndexedDataset("out/megatron")
assert len(data) == len(docs) and list(data.document_indices) == list(range(len(docs) + 1))
assert all(data[i][-1] == eot for i in range(len(data)))
same("megatron", [data[i][:-1] for i in range(len(data))])
same("megatron, sliced", [doc[:-1] for doc in data[0:len(data)]])
windows = DatatroveFileDataset("out/datatrove.ds", seq_len=63, token_size=2)
stream = np.concatenate([windows[i]["input_ids"] for i in range(len(windows))])
whole = np.fromfile("out/datatrove.ds", np.uint16)
assert len(windows) == len(whole) // 64 and (stream == whole[:len(stream)]).all()
ends = np.fromfile("out/datatrove.ds.index", np.uint64).astype(int)
same("datatrove", [whole[a:b - 1] for a, b in zip([0, *ends], ends)])

# ---- in: written by others ----
def back(form, *files, args=()):
    global compared
    out = f"in-{len(os.listdir('.'))}"
    command("import", f"--format={form}", f"--tokenizer={run}/tokenizer", "--domain=d", f"--out={out}", *args, *files)
    command("verify", f"--run={out}")
    got = [json.loads(line)["text"] for line in command("export", f"--run={out}", "--format=jsonl", "--out=-").splitlines()]
    assert got == texts, f"{form} {files}: other documents"
    compared += sum(len(doc) for doc in docs)

for kind in (np.uint16, np.int32, np.int64):
    for sequences in (1, 3): # of a document
        path = f"mega-{kind.__name__}-{sequences}"
        builder = megatron.IndexedDatasetBuilder(path + ".bin", dtype=kind)
        for doc in docs:
            whole = doc + [eot]
            cuts = [len(whole) * i // sequences for i in range(sequences + 1)]
            builder.add_document(whole, [b - a for a, b in zip(cuts, cuts[1:])])
        builder.finalize(path + ".idx")
        back("megatron", path)
# Merged shards, as preprocess_data.py's workers leave them.
builder = megatron.IndexedDatasetBuilder("merged.bin", dtype=np.uint16)
for part in range(3):
    one = megatron.IndexedDatasetBuilder(f"part{part}.bin", dtype=np.uint16)
    for doc in docs[len(docs) * part // 3:len(docs) * (part + 1) // 3]:
        one.add_document(doc + [eot], [len(doc) + 1])
    one.finalize(f"part{part}.idx")
    builder.add_index(f"part{part}")
builder.finalize("merged.idx")
back("megatron", "merged.bin")
back("megatron", "part0", "part1", "part2")
for size in (2, 4):
    file = TokenizedFile(".", f"d{size}.ds", token_size=size)
    for doc in docs:
        file.write(doc + [eot], None)
    file.close()
    back("datatrove", f"d{size}.ds")
# nanoGPT's prepare.py: a memmap filled in batches; llm.c's write_datafile: shards cut anywhere.
flat = np.concatenate([np.array(doc + [eot]) for doc in docs])
nano = np.memmap("nano.bin", np.uint16, "w+", shape=flat.shape)
nano[:] = flat
nano.flush()
back("nanogpt", "nano.bin")
flat = np.concatenate([np.array([eot] + doc) for doc in docs])
size, names = 5000, []
for at in range(0, len(flat), size):
    part = flat[at:at + size]
    head = np.zeros(256, np.int32)
    head[:3] = 20240520, 1, len(part)
    names.append(f"shard{len(names):03}.bin")
    with open(names[-1], "wb") as out:
        out.write(head.tobytes())
        out.write(part.astype(np.uint16).tobytes())
back("llmc", *names)
os.chdir("/")
print(f"{len(docs)} documents, {compared} ids compared, the same")
