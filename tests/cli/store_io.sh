#!/usr/bin/env bash
# `sluice store export|import`: text back from tokens, token files of others in both directions, hostile ones refused.
. "$(dirname "$0")/common.sh"
model_here || { skip store_io "lid.176.ftz is not in the cache (make deps)"; finish; }
cd "$work"
python3 "$here/tests/tools/make_warc.py" in 2 60 33
# Few steps: what is tested here ends at the store.
"$sluice" run "$here/tests/cli/small.toml" --set source.path=in --set train.steps=4 --set train.anneal_steps=1 --run=r > log 2>&1 || { bad store_io_run "$(tail -n 2 log)"; finish; }

# ---- text ----
"$sluice" store export --run=r --format=jsonl --out=- > all.jsonl 2> err || bad store_io_jsonl "$(tail -n 1 err)"
"$sluice" store export --run=r --format=jsonl --out=out --prefix=all > /dev/null 2>> log || bad store_io_jsonl_file "$(tail -n 1 log)"
"$sluice" store export --run=r --format=jsonl --out=- --domain=hq > hq.jsonl 2>> log
if zstd -dcq r/corpus/*.zst > corpus.jsonl 2> /dev/null; then
    check store_io_jsonl_file_is_the_same bash -c 'zstd -dcq out/all.jsonl.zst | cmp - all.jsonl'
else
    skip store_io_jsonl_file_is_the_same "no zstd program"
    python3 -c "open('corpus.jsonl', 'w')"
fi
cat > text.py <<'PY'
"""The lines are the corpus, in its order, with what the ledger knows; a domain's are those of the domain."""
import json
lines = [json.loads(line) for line in open("all.jsonl")]
corpus = [json.loads(line) for line in open("corpus.jsonl")]
assert len(lines) > 50 and len({line["domain"] for line in lines}) > 1
assert not corpus or [line["text"] for line in lines] == [line["text"] for line in corpus]
for line, page in zip(lines, corpus):
    assert (line["id"], line["url"]) == (page["id"], page["url"])
    for key in ("file", "offset", "record", "lang"):
        assert line["metadata"][key] == page["metadata"][key], key
assert [json.loads(line) for line in open("hq.jsonl")] == [line for line in lines if line["domain"] == "hq"]
PY
check store_io_text_is_the_corpus python3 text.py

# ---- there and back ----
for format in llmc nanogpt megatron datatrove; do
    "$sluice" store export --run=r --format=$format --out=out --prefix=$format > /dev/null 2>> log || bad "store_io_export_$format" "$(tail -n 1 log)"
    case $format in llmc|nanogpt) files=out/$format.bin ;; megatron) files="out/megatron.bin out/megatron.idx" ;; datatrove) files="out/datatrove.ds out/datatrove.ds.index" ;; esac
    check "store_io_import_$format" "$sluice" store import --format=$format --tokenizer=r/tokenizer --domain=back --out=$format $files
    check "store_io_verify_$format" "$sluice" store verify --run=$format
    "$sluice" store export --run=$format --format=llmc --out=$format --prefix=again > /dev/null 2>> log
    check "store_io_there_and_back_$format" cmp out/llmc.bin $format/again.bin
done
cat > domain.py <<'PY'
"""What came back: the same documents as text, the same sums."""
import json, subprocess, sys
have = sorted(json.loads(line)["text"] for line in open("all.jsonl"))
for name in ("llmc", "megatron"):
    out = subprocess.run([sys.argv[1], "store", "export", f"--run={name}", "--format=jsonl", "--out=-"], stdout=subprocess.PIPE, check=True).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    assert sorted(line["text"] for line in lines) == have and {line["domain"] for line in lines} == {"back"}
    assert len({line["id"] for line in lines}) == len(lines)
    note, ls = json.load(open(f"{name}/import.json")), json.loads(subprocess.run([sys.argv[1], "store", "ls", f"--run={name}", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    domain = ls["domains"][0]
    assert (note["documents"], note["bytes"], note["tokens"] + note["documents"]) == (domain["documents"], domain["bytes"], domain["tokens"]), (note, domain)
    assert domain["bytes"] == sum(len(t.encode()) for t in have) and note["tokenizer_hash"] == ls["tokenizer"]
PY
check store_io_documents_came_back python3 domain.py "$sluice"

# ---- files that others wrote: two shards cut in a document, another separator; four-byte ids; held-out text ----
cat > others.py <<'PY'
import array, json, random, subprocess, sys
random.seed(4)
texts = [json.loads(line)["text"] for line in open("all.jsonl")]
out = subprocess.run([sys.argv[1], "tokenize", "encode", "--tokenizer=r/tokenizer", "--jsonl", "-"], input="".join(json.dumps({"text": t}) + "\n" for t in texts).encode(), stdout=subprocess.PIPE, check=True).stdout
docs = [json.loads(line)["tokens"] for line in out.splitlines()]
stream = [i for doc in docs for i in [3] + [i for i in doc if i != 3]]
cut = len(stream) // 2
for name, part in (("s0", stream[:cut]), ("s1", stream[cut:])):
    with open(name + ".bin", "wb") as f:
        array.array("i", [20240520, 1, len(part)] + [0] * 253).tofile(f)
        array.array("H", part).tofile(f)
with open("wide.bin", "wb") as f:
    array.array("I", [i for doc in docs for i in doc + [511]]).tofile(f)
json.dump([len([i for i in doc if i != 3]) for doc in docs], open("lengths.json", "w"))
PY
python3 others.py "$sluice"
check store_io_shards "$sluice" store import --format=llmc --separator=3 --tokenizer=r/tokenizer --domain=s --out=shards s0.bin s1.bin
check store_io_shards_hold_the_documents bash -c "'$sluice' store ls --run=shards --json | python3 -c \"
import json, sys
d, n = json.load(sys.stdin)['domains'][0], json.load(open('lengths.json'))
assert (d['documents'], d['tokens']) == (len(n), sum(n) + len(n)), d\""
check store_io_wide_ids "$sluice" store import --format=nanogpt --width=4 --tokenizer=r/tokenizer --domain=w --heldout=0.3 --out=wide wide.bin
cat > held.py <<'PY'
import json, subprocess, sys
want = sorted(json.loads(line)["text"] for line in open("all.jsonl"))
rest = subprocess.run([sys.argv[1], "store", "export", "--run=wide", "--format=jsonl", "--out=-"], stdout=subprocess.PIPE, check=True).stdout.splitlines()
held = subprocess.run(["zstd", "-dcq", "wide/heldout/w.jsonl.zst"], stdout=subprocess.PIPE, check=True).stdout.splitlines()
assert 0.1 < len(held) / len(want) < 0.5, len(held)
assert sorted(json.loads(line)["text"] for line in rest + held) == want
PY
if command -v zstd > /dev/null; then check store_io_heldout_and_store_are_all python3 held.py "$sluice"; else skip store_io_heldout_and_store_are_all "no zstd program"; fi

# A rank file has another hash than the tokenizer.json that is written from it: what belongs together must be told so.
"$sluice" tokenize convert r/tokenizer ranks.tiktoken > /dev/null 2>> log
check store_io_import_with_ranks "$sluice" store import --format=nanogpt --width=4 --tokenizer=ranks.tiktoken --domain=w --out=ranked wide.bin
check store_io_ranks_give_the_text_back bash -c "'$sluice' store export --run=ranked --format=jsonl --out=- | python3 -c \"
import json, sys
assert sorted(json.loads(l)['text'] for l in sys.stdin) == sorted(json.loads(l)['text'] for l in open('all.jsonl'))\""

# ---- a folder that was imported is one to train on, and to trace ----
cat > imported.toml <<'TOML'
[run]
name = "imported"
[store]
path = "wide"
[model]
arch = "llama"
layers = 1
heads = 1
kv_heads = 1
width = 32
hidden = 64
context = 64
tied = true
[train]
steps = 4
warmup_steps = 1
anneal_steps = 1
batch = 4
micro_batch = 4
sequence = 64
TOML
check store_io_train_on_an_import "$sluice" run imported.toml --run=trained
check store_io_import_was_evaluated grep -q '"w"' trained/eval.json
check store_io_trace_names_the_file bash -c "'$sluice' store trace --run=trained --step=2 --json | python3 -c \"
import json, sys
rows = [json.loads(line) for line in sys.stdin]
assert rows and all(row['source'] == 'wide.bin' and row['domain'] == 'w' for row in rows), rows\""
# ---- views of it: of what its index knows ----
cat > index.py <<'PY'
"""What `store view` holds of an imported store, beside its documents as text; then of a run it is appended to."""
import json, subprocess, sys
def view(run, where):
    out = subprocess.run([sys.argv[1], "store", "view", f"--run={run}", "--json", where], stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)["documents"]
def export(run):
    out = subprocess.run([sys.argv[1], "store", "export", f"--run={run}", "--format=jsonl", "--out=-"], stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]
docs = export("shards")
size = sorted(len(d["text"].encode()) for d in docs)[len(docs) // 2]
first = json.load(open("shards/import.json"))["files"][0]["path"]
assert view("shards", "true") == len(docs) > 2
assert view("shards", f"text_bytes < {size}") == sum(len(d["text"].encode()) < size for d in docs) > 0
assert view("shards", f"id == '{docs[0]['id']}'") == 1
assert 0 < view("shards", f"source == '{first}'") < len(docs)
print(len(docs), size)
PY
check store_io_views_of_an_import python3 index.py "$sluice"
read -r shard_docs half < <(tail -n 1 "$work/check.out")
check store_io_views_list_what_there_is bash -c "'$sluice' store view --run=shards > names && grep -q '^  text_bytes ' names && ! grep -Eq '^  (lang|url) ' names && grep -q 'no ledger in' names"
check store_io_train_on_a_view_of_an_import bash -c "'$sluice' run imported.toml --run=viewed --set \"view.long.where=text_bytes >= 200\" --set mixture.stable.long=1.0 --set mixture.anneal.long=1.0 > log 2>&1 && grep -q '\"long\":1' viewed/train/train.jsonl"
# Another's files behind a run's own: traced to their file, exported after the run's own, taken out again by id.
check store_io_append_an_import "$sluice" store append --run=r --from=shards
check store_io_views_hold_appended_imports bash -c "
    n() { '$sluice' store view --run=\$1 --json \"\$2\" | python3 -c 'import json, sys; print(json.load(sys.stdin)[\"documents\"])'; }
    [ \$(n r \"domain == 's'\") = $shard_docs ] && [ \$(n r \"domain == 's' and text_bytes < $half\") = \$(n shards 'text_bytes < $half') ] &&
    [ \$(n r \"domain == 's' and lang == 'en'\") = 0 ] && [ \$(n r 'offset is null') = $shard_docs ]"
cat > appended.py <<'PY'
import json, subprocess, sys
def export(run):
    out = subprocess.run([sys.argv[1], "store", "export", f"--run={run}", "--format=jsonl", "--out=-"], stdout=subprocess.PIPE, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]
own, theirs, both = [json.loads(line) for line in open("all.jsonl")], export("shards"), export("r")
assert both == own + theirs, (len(both), len(own), len(theirs))
gone = {own[3]["id"], theirs[0]["id"], own[-1]["id"]}
open("gone.txt", "w").write("".join(i + "\n" for i in sorted(gone)))
subprocess.run([sys.argv[1], "store", "remove", "--run=r", "--ids=gone.txt"], stdout=subprocess.DEVNULL, check=True)
assert export("r") == [line for line in both if line["id"] not in gone]
subprocess.run([sys.argv[1], "store", "export", "--run=r", "--format=megatron", "--out=out", "--prefix=left"], stdout=subprocess.DEVNULL, check=True)
subprocess.run([sys.argv[1], "store", "import", "--format=megatron", "--tokenizer=r/tokenizer", "--domain=d", "--out=left", "out/left"], stdout=subprocess.DEVNULL, check=True)
assert sorted(line["text"] for line in export("left")) == sorted(line["text"] for line in export("r"))
PY
check store_io_removed_documents_are_not_exported python3 appended.py "$sluice"

# ---- refused ----
import=("$sluice" store import --tokenizer=r/tokenizer --domain=x --out=no)
fails store_io_view_without_the_column 2 'shards has no ledger: column lang is not known of its documents, only id, source, record' "$sluice" store view --run=shards "lang == 'en'"
fails store_io_not_llmc 3 'nanogpt.bin is no llm.c token file: it looks like' "${import[@]}" --format=llmc out/nanogpt.bin
fails store_io_not_nanogpt 3 'looks like a token file of llm.c: --format=llmc' "${import[@]}" --format=nanogpt out/llmc.bin
fails store_io_wide_without_width 3 'width=4' "${import[@]}" --format=nanogpt wide.bin
fails store_io_no_index 2 'out/llmc.idx' "${import[@]}" --format=megatron out/llmc
cp out/megatron.idx cut.idx; head -c 3000 out/megatron.bin > cut.bin
fails store_io_cut 3 'do not belong together' "${import[@]}" --format=megatron cut
fails store_io_there_already 2 'is there already' "$sluice" store import --format=llmc --tokenizer=r/tokenizer --domain=x --out=llmc out/llmc.bin
fails store_io_pair_is_not_torn 2 'megatron.bin beside it is Megatron' "$sluice" store export --run=r --format=llmc --out=out --prefix=megatron
mkdir -p ended/store
fails store_io_append_of_no_store 2 'ended: no store/data.mdb there' "$sluice" store append --run=r --from=ended
fails store_io_import_killed_at_its_end 2 'delete ended/store and import again' "$sluice" store import --format=llmc --tokenizer=r/tokenizer --domain=x --out=ended out/llmc.bin
fails store_io_no_tokenizer 2 'tokenizer=PATH is missing' "$sluice" store import --domain=x --out=no out/llmc.bin
fails store_io_no_domain 2 'domain=NAME is missing' "$sluice" store import --tokenizer=r/tokenizer --out=no out/llmc.bin
fails store_io_domain_is_a_name 2 'letters, digits' "$sluice" store import --tokenizer=r/tokenizer --domain=../x --out=no out/llmc.bin
fails store_io_no_files 2 'name the files' "${import[@]}"
fails store_io_text_is_not_imported 2 'sluice run' "${import[@]}" --format=jsonl all.jsonl
fails store_io_no_view 2 'views/none.view' "$sluice" store export --run=r --view=none
"$sluice" tokenize train --vocab_size=300 --out=other --jsonl all.jsonl > /dev/null 2>> log
fails store_io_other_tokenizer 3 'token [0-9]+ has id [0-9]+, the tokenizer has 300' "$sluice" store import --tokenizer=other --domain=x --out=no --format=nanogpt out/nanogpt.bin
fails store_io_jsonl_with_another_tokenizer 2 'not the tokenizer' "$sluice" store export --run=r --format=jsonl --tokenizer=other --out=-
[ -e no/store ] && bad store_io_nothing_is_left "no/store was made" || ok store_io_nothing_is_left
finish
