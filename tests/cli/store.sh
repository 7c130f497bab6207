#!/usr/bin/env bash
# `sluice store`: the tokens of a small run, read back in Python from every file it writes.
. "$(dirname "$0")/common.sh"
model_here || { skip store "lid.176.ftz is not in the cache (make deps)"; finish; }
cd "$work"
python3 "$here/tests/tools/make_warc.py" in 2 60 33
"$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run=r > log 2>&1 || { bad store_run "$(tail -n 2 log)"; finish; }
check store_verify "$sluice" store verify --run=r
check store_ls_agrees_with_the_corpus bash -c "'$sluice' store ls --run=r --json > ls.json && python3 -c \"
import json
rows = [d for d in json.load(open('ls.json'))['domains']]
have = json.load(open('r/store.json'))['domains']
assert sum(d['documents'] for d in rows) > 50
for row in rows:
    other = [d for d in have if d['name'] == row['name']][0]
    assert (row['documents'], row['tokens'], row['bytes']) == (other['documents'], other['tokens'], other['bytes'])\""
for format in llmc nanogpt megatron datatrove; do
    "$sluice" store export --run=r --format=$format --out=out --prefix=$format > /dev/null 2>> log || bad "store_export_$format" "$(tail -n 1 log)"
done
cat > back.py <<'PY'
"""Reads the four kinds of files by their formats' definitions and tells that they hold the same documents."""
import array, json, struct, subprocess, sys
ls = json.load(open("ls.json"))
eot, tokens = ls["eot"], sum(d["tokens"] for d in ls["domains"])
def ids(data): return list(struct.unpack(f"<{len(data) // 2}H", data))
llmc = open("out/llmc.bin", "rb").read()
head = struct.unpack("<256i", llmc[:1024])
assert head[:3] == (20240520, 1, tokens), head[:3]
llmc = ids(llmc[1024:])
nano = ids(open("out/nanogpt.bin", "rb").read())
assert len(llmc) == len(nano) == tokens and llmc[0] == eot == nano[-1]
docs, at = [], 0
while at < len(llmc):
    end = llmc.index(eot, at + 1) if eot in llmc[at + 1:] else len(llmc)
    docs.append(llmc[at + 1:end])
    at = end
idx = open("out/megatron.idx", "rb").read()
assert idx[:9] == b"MMIDIDX\0\0"
version, kind, sequences, documents = struct.unpack_from("<QBQQ", idx, 9)
assert (version, kind, documents) == (1, 8, sequences + 1)
lengths = struct.unpack_from(f"<{sequences}i", idx, 34)
pointers = struct.unpack_from(f"<{sequences}q", idx, 34 + 4 * sequences)
bounds = struct.unpack_from(f"<{documents}q", idx, 34 + 12 * sequences)
assert len(idx) == 34 + 12 * sequences + 8 * documents and bounds == tuple(range(documents))
data = open("out/megatron.bin", "rb").read()
megatron = [ids(data[p:p + 2 * n]) for p, n in zip(pointers, lengths)]
ends = struct.unpack(f"<{sequences}Q", open("out/datatrove.ds.index", "rb").read())
data = ids(open("out/datatrove.ds", "rb").read())
datatrove = [data[a:b] for a, b in zip((0,) + ends, ends)]
assert megatron == datatrove == [d + [eot] for d in docs], "documents differ"
# And they are the corpus.
lines = "".join(json.dumps({"tokens": d}) + "\n" for d in docs)
out = subprocess.run([sys.argv[1], "tokenize", "decode", "--tokenizer=r/tokenizer", "--jsonl", "-"], input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
texts = sorted(json.loads(line)["text"] for line in out.splitlines())
corpus = sorted(json.loads(line)["text"] for line in open("corpus.jsonl"))
assert texts == corpus, (len(texts), len(corpus))
PY
zstd -dcq r/corpus/*.zst > corpus.jsonl 2> /dev/null
if [ -s corpus.jsonl ]; then check store_files_hold_the_corpus python3 back.py "$sluice"; else skip store_files_hold_the_corpus "no zstd program"; fi
check store_trace_names_pages bash -c "'$sluice' store trace --run=r --step=5 --json > trace.jsonl && python3 -c \"
import json
rows = [json.loads(line) for line in open('trace.jsonl')]
corpus = {row['url']: row['metadata']['lang'] for row in map(json.loads, open('corpus.jsonl'))}
assert {row['row'] for row in rows} == {0, 1, 2, 3}, rows
for want in range(4):
    mine = [row for row in rows if row['row'] == want]
    assert mine[0]['first'] == 0 and all(a['first'] + a['tokens'] == b['first'] for a, b in zip(mine, mine[1:]))
assert not any('store_changed' in row for row in rows)
assert all(row['lang'] == corpus[row['url']] and 0 <= row['quality.score'] <= 1 and row['source'].startswith('in/') for row in rows)\""
# train.jsonl has what the trainer itself drew at each step: tokens of each domain.
cat > steps.py <<'PY'
import collections, json, subprocess, sys
rows = [row for row in map(json.loads, open("r/train/train.jsonl")) if "loss" in row]
assert len(rows) == 24
for row in rows:
    out = subprocess.run([sys.argv[1], "store", "trace", "--run=r", f"--step={row['step']}", "--json"], stdout=subprocess.PIPE, check=True).stdout
    drawn = collections.Counter()
    for line in map(json.loads, out.splitlines()):
        drawn[line["domain"]] += line["tokens"]
    want = {name: d["tokens"] for name, d in row["domains"].items() if d["tokens"]}
    assert want == dict(drawn), (row["step"], want, drawn)
PY
check store_trace_is_what_was_trained python3 steps.py "$sluice"
check store_mix_adds_up bash -c "'$sluice' store mix --run=r --dry-run --json > mix.json && '$sluice' store mix --run=r --dry_run > mix.txt && grep -q '^phase anneal: steps 17 to 24' mix.txt && python3 -c \"
import collections, json
mix = json.load(open('mix.json'))
assert sum(s['tokens'] for p in mix['phases'] for s in p['sources']) == mix['steps'] * mix['batch'] * mix['sequence']
assert mix['runs_dry_at_step'] == -1 and [p['steps'] for p in mix['phases']] == [16, 8], mix
# Sources read more than four times are named, no others.
epochs = collections.Counter()
for p in mix['phases']:
    for s in p['sources']:
        epochs[s['source']] += s['epochs']
told = {line.split()[0] for line in open('mix.txt') if ' is read ' in line}
assert told == {name for name, n in epochs.items() if n > 4}, (told, epochs)
# What the trainer drew, by the pages behind its rows (a row that ends a source has fewer tokens).
rows = [json.loads(line) for line in open('r/train/train.jsonl')]
for p in mix['phases']:
    drawn = collections.Counter()
    for row in rows:
        if 'loss' in row and row['phase'] == p['phase']:
            for name, d in row['domains'].items():
                drawn[name] += d['tokens']
    for s in p['sources']:
        assert s['tokens'] - 64 * 8 < drawn[s['source']] <= s['tokens'], (p['phase'], s, drawn)
begins = [row for row in rows if 'mixture' in row]
assert [(row['step'], row['phase']) for row in begins] == [(0, 'stable'), (16, 'anneal')], begins
assert abs(begins[1]['mixture']['hq'] - 0.8) < 1e-9, begins\""
# As many steps that sources are read more than four times.
check store_mix_tells_repeats bash -c "cp -r r long && sed -i 's/^steps = 24\$/steps = 2400/' long/recipe.toml && sed -i 's/nsteps = 24\\\\n/nsteps = 2400\\\\n/' long/run.json && '$sluice' store mix --run=long --dry-run > long.txt && grep -Eq '^hq is read [0-9.]+ times' long.txt"
check store_find bash -c "
text=\$(python3 -c \"import json; print(json.loads(open('corpus.jsonl').readline())['text'][:40], end='')\")
url=\$(python3 -c \"import json; print(json.loads(open('corpus.jsonl').readline())['url'])\")
'$sluice' store find --run=r \"\$text\" 2> /dev/null | grep -qF \"\$url\""
check store_find_shows_the_words_around bash -c "'$sluice' store find --run=r --json --limit=5 ' the' 2> /dev/null | python3 -c \"
import json, sys
places = [json.loads(line) for line in sys.stdin]
assert places and all(' the' in p['text'] and len(p['text']) > 20 and len(p['id']) == 16 for p in places), places\""
check store_verify_json bash -c "[ \"\$('$sluice' store verify --run=r --json)\" = '{\"good\":true}' ]"
cat > exact.py <<'PY'
"""`store find` beside a search in the ids of the file that the store was imported from; blocks hold 131,064 ids."""
import array, json, subprocess, sys
sluice, eot, BLOCK = sys.argv[1], json.load(open("ls.json"))["eot"], 131064
def run(*args, data=None):
    return subprocess.run([sluice, *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
docs = [line["text"] for line in map(json.loads, open("corpus.jsonl"))] + ["Gr\u00fc\u00dfe aus \u6771\u4eac \U0001f642 caf\u00e9"]
def encode(texts):
    out = run("tokenize", "encode", "--tokenizer=r/tokenizer", "--jsonl", "-", data="".join(json.dumps({"text": t}) + "\n" for t in texts).encode())
    return [json.loads(line)["tokens"] for line in out.stdout.splitlines()]
ids = [i for tokens in encode(docs) for i in tokens + [eot]]
ids = [0] * 7 + ids * (3 * BLOCK // len(ids) + 1)
array.array("H", ids).tofile(open("many.bin", "wb"))
run("store", "import", "--format=nanogpt", "--tokenizer=r/tokenizer", "--domain=m", "--out=many", "many.bin")
ids = [eot] + ids[:-1] # <|endoftext|> stands in front of a document
# Queries: words, a whole document, what lies across the border of two blocks.
lines = "".join(json.dumps({"tokens": ids[BLOCK - before:BLOCK + 9]}) + "\n" for before in range(2, 60)).encode()
out = run("tokenize", "decode", "--tokenizer=r/tokenizer", "--jsonl", "-", data=lines).stdout
around = [json.loads(line)["text"] for line in out.splitlines()]
around = [t for t, tokens, before in zip(around, encode(around), range(2, 60)) if tokens == ids[BLOCK - before:BLOCK + 9] and eot not in tokens]
assert around, "no text lies across the border"
queries = [" the", "e", min(docs[:-1], key=len), "\u6771\u4eac \U0001f642", "zebra crossing 77", around[0]]
haystack = array.array("H", ids).tobytes()
counts = []
for text, tokens in zip(queries, encode(queries)):
    needle, want, at = array.array("H", tokens).tobytes(), [], -1
    while (at := haystack.find(needle, at + 1)) >= 0:
        if at % 2 == 0:
            want.append(at // 2)
    out = run("store", "find", "--run=many", "--limit=100000000", text)
    got = [int(line.split()[2]) for line in out.stdout.splitlines()]
    assert got == want, (text, len(got), len(want))
    assert f"{len(want)} places" in out.stderr.decode()
    few = run("store", "find", "--run=many", "--limit=2", text)
    assert [int(line.split()[2]) for line in few.stdout.splitlines()] == want[:2] and f"{len(want)} places" in few.stderr.decode()
    counts.append(len(want))
assert counts[1] > 1000 and counts[2] > 1 and counts[3] > 1 and counts[4] == 0 and counts[5] >= 1, counts
PY
if [ -s corpus.jsonl ]; then check store_find_is_exact python3 exact.py "$sluice"; else skip store_find_is_exact "no zstd program"; fi
# A training that is under way: the last step of its log.
cp -r r half && rm -rf half/done/train && head -n 12 r/train/train.jsonl > half/train/train.jsonl
check status_tells_the_step bash -c "'$sluice' status --run=half --json | python3 -c \"
import json, sys
want = [row for row in map(json.loads, open('half/train/train.jsonl')) if 'loss' in row][-1]
rows = {row['task']: row for row in json.load(sys.stdin)}
assert rows['train']['step'] == want['step'] > 5 and rows['train']['steps'] == 24 and abs(rows['train']['loss'] - want['loss']) < 1e-9, rows
assert 'step' not in rows['store'], rows\" && '$sluice' status --run=half | grep -Eq '^train +0 of +1 +at step [0-9]+ of 24, loss [0-9.]+\$' && '$sluice' status --run=r | grep -Eq '^train +1 of +1 +done'"
fails store_no_run 2 'run=DIR is missing' "$sluice" store ls
fails store_no_verb 2 'say what' "$sluice" store --run=r
fails store_step_beyond 2 'trains steps 1 to' "$sluice" store trace --run=r --step=100000
fails store_no_domain 2 'no domain "x"' "$sluice" store export --run=r --domain=x
# A training that was stopped goes on with another mixture for the phase ahead of it, not for the one behind.
again() { "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --set tokenizer.path=r/tokenizer/tokenizer.json \
    --set train.keep=9 --run=m "$@" > log 2>&1; }
if again; then ok store_mixture_run; else bad store_mixture_run "$(tail -n 2 log)"; fi
kept() { sha256sum m/recipe.toml m/run.json; } # what a refused change leaves as it was
kept > kept
again --set mixture.anneal.hq=0.5; rc=$?
if [ $rc = 2 ] && grep -q 'store.path=m' log && kept | cmp -s - kept && "$sluice" status --run=m > /dev/null; then ok store_mixture_of_a_finished_training; else bad store_mixture_of_a_finished_training "exit $rc: $(tail -n 1 log)"; fi
rm -rf m/done/train m/done/eval m/train/checkpoints/step-00002*
again --set mixture.stable.hq=0.9; rc=$?
if [ $rc = 2 ] && grep -q 'has seen other rows' log && kept | cmp -s - kept; then ok store_mixture_behind; else bad store_mixture_behind "exit $rc: $(tail -n 1 log)"; fi
cp m/run.json old.json
if again --set mixture.anneal.hq=0.6 && ! kept | cmp -s - kept && grep -q '^hq = 0.6' m/recipe.toml; then ok store_mixture_ahead; else bad store_mixture_ahead "$(tail -n 2 log)"; fi
check store_mixture_change_is_logged python3 -c "
import json
rows = [json.loads(line) for line in open('m/train/train.jsonl')]
shares = [row['mixture'] for row in rows if 'mixture' in row]
assert len(shares) == 2 and abs(shares[0]['hq'] - 0.3) < 1e-9 and abs(shares[1]['hq'] - 0.75) < 1e-9, shares
assert sum('loss' in row for row in rows) == 24"
# Killed between recipe.toml and run.json: looking works, and the same command brings both together.
cp m/run.json new.json; cp old.json m/run.json
check store_mixture_half_noted bash -c "'$sluice' status --run=m | grep -q 'train .*done'"
python3 - <<'PY'
data = bytearray(open("r/store/data.mdb", "rb").read())
for at in range(70000, len(data), 50000):
    data[at] ^= 0x55
open("r/store/data.mdb", "wb").write(data)
PY
fails store_damage_is_found 3 'checksum|damaged|block|page' "$sluice" store verify --run=r
finish
