#!/usr/bin/env bash
# One recipe with 1, 2 and 4 threads and 1 and 5 shards: the same bytes in corpus, store, ledger, tokenizer and model.
. "$(dirname "$0")/common.sh"
model_here || { skip determinism "lid.176.ftz is not in the cache (make deps)"; finish; }
python3 "$here/tests/tools/make_warc.py" "$work/in" 7 60 11
run() { (cd "$work" && "$sluice" run "$here/tests/cli/small.toml" --set "source.path=in" --run="$1" "${@:2}") > "$work/$1.log" 2>&1; }
check run_with_1_thread run one --threads=1 --shards=1
[ "$failed" = 0 ] || { tail -n 3 "$work/one.log"; finish; }
outputs "$work/one" > "$work/one.sum"
for kind in "2 1" "4 1" "1 5" "2 5"; do
    set -- $kind
    name="t$1s$2"
    check "run_with_$1_threads_$2_shards" run "$name" --threads="$1" --shards="$2"
    outputs "$work/$name" > "$work/$name.sum"
    if cmp -s "$work/one.sum" "$work/$name.sum"; then ok "same_bytes_with_$1_threads_$2_shards"
    else bad "same_bytes_with_$1_threads_$2_shards" "$(diff "$work/one.sum" "$work/$name.sum" | head -n 4)"; fi
done
# Shards as separate processes, last one first, as a job array might run them.
run arr --threads=1 --shards=5 --set corpus.write=true && rm -rf "$work/arr/done" "$work/arr/spool" "$work/arr/ledger" "$work/arr/store" "$work/arr/train"
for task in quality pass1 band clusters tokenizer pass2 store train eval; do
    for shard in 4 3 2 1 0; do (cd "$work" && "$sluice" task $task --run=arr --shard=$shard/5) >> "$work/arr.log" 2>&1 || bad "task_${task}_$shard" "$(tail -n 2 "$work/arr.log")"; done
done
outputs "$work/arr" > "$work/arr.sum"
if cmp -s "$work/one.sum" "$work/arr.sum"; then ok same_bytes_as_separate_tasks; else bad same_bytes_as_separate_tasks "$(diff "$work/one.sum" "$work/arr.sum" | head -n 4)"; fi

# Every record has one ledger row; kept + dropped + held out = in.
"$sluice" why --run="$work/one" '*' --limit=100000 --json > "$work/rows.jsonl" 2>/dev/null
check every_record_has_one_row python3 - "$work/rows.jsonl" "$work/one" <<'P'
import json, sys, glob
rows = [json.loads(l) for l in open(sys.argv[1])]
places = {(r["source"], r["record"]) for r in rows}
assert len(rows) == len(places) == 7 * 60, (len(rows), len(places))
kinds = {k: sum(r["verdict"] == k for r in rows) for k in ("kept", "dropped", "heldout")}
assert sum(kinds.values()) == len(rows) and all(kinds.values()), kinds
pass1 = [json.load(open(p))["counts"] for p in glob.glob(sys.argv[2] + "/done/pass1/*.json")]
pass2 = [json.load(open(p))["counts"] for p in glob.glob(sys.argv[2] + "/done/pass2/*.json")]
total = lambda m, k: sum(c.get(k, 0) for c in m)
rules = {k for c in pass1 for k in c if "." in k}
assert total(pass1, "in") == len(rows) == total(pass1, "kept") + sum(total(pass1, k) for k in rules)
assert total(pass1, "kept") == total(pass2, "kept") + total(pass2, "heldout") + total(pass2, "duplicates")
assert total(pass2, "duplicates") > 20, total(pass2, "duplicates")
assert all(r["rule"] for r in rows if r["verdict"] == "dropped")
P
finish
