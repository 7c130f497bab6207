#!/usr/bin/env bash
# The tokenizer of a run: trained on the mixture, the same for any threads, measured on held-out text.
. "$(dirname "$0")/common.sh"
model_here || { skip tokenizer_run "lid.176.ftz is not in the cache (make deps)"; finish; }
python3 "$here/tests/tools/make_warc.py" "$work/in" 5 60 11
run() { (cd "$work" && "$sluice" run "$here/tests/cli/small.toml" --set "source.path=in" --set train.steps=4 --set train.warmup_steps=1 --set train.anneal_steps=1 --run="$1" "${@:2}") > "$work/$1.log" 2>&1; }
check tokenizer_run run one --threads=1
[ "$failed" = 0 ] || { tail -n 3 "$work/one.log"; finish; }
run three --threads=3
for file in report.json tokenizer.json tokenizer.tiktoken; do
    check "tokenizer_run_same_$file" cmp "$work/one/tokenizer/$file" "$work/three/tokenizer/$file"
done
"$sluice" why --run="$work/one" '*' --limit=100000 --json > "$work/rows.jsonl" 2> /dev/null
# What each domain was counted as, against its text by the ledger and the mean of the phases' weights (3 steps stable, 1 anneal).
cat > "$work/shares.py" <<'PY'
import json, sys
report, rows = json.load(open(sys.argv[1])), [json.loads(line) for line in open(sys.argv[2])]
kept, held = {}, {}
for r in rows:
    to = kept if r["verdict"] == "kept" else held if r["verdict"] == "heldout" else {}
    to[r["domain"]] = to.get(r["domain"], 0) + (r["text_bytes"] if to is kept else 1)
parts = {d["domain"]: kept.get(d["domain"], 0) * d["share_looked_at"] * d["counted_times"] for d in report["domains"]}
total = sum(parts.values())
want = {"hq": (3 * 0.3 + 0.8) / 4, "odd": 3 * 0.3 / 4, "web": (3 * 0.4 + 0.2) / 4}
for name, weight in want.items():
    assert abs(parts[name] / total - weight) < 0.005, (name, parts[name] / total, weight)
groups = report["held_out"]["groups"]
got = {}
for g in groups:
    got[g["domain"]] = got.get(g["domain"], 0) + g["documents"]
assert got == held and report["held_out_documents"] == sum(held.values()) > 0, (got, held)
assert report["weights"] == "mixture" and all(g["bytes_per_token"][0] > 1 for g in groups)
PY
check tokenizer_run_counts_the_mixture python3 "$work/shares.py" "$work/one/tokenizer/report.json" "$work/rows.jsonl"
run text --threads=2 --set tokenizer.weights=text
check tokenizer_run_by_text python3 -c "
import json
r = json.load(open('$work/text/tokenizer/report.json'))
kept = [json.loads(line) for line in open('$work/rows.jsonl')]
assert r['weights'] == 'text' and all(d['share_looked_at'] == d['counted_times'] == 1 for d in r['domains'])
assert r['trained_documents'] == sum(k['verdict'] == 'kept' for k in kept) and r['trained_bytes'] == sum(k['text_bytes'] for k in kept if k['verdict'] == 'kept')"
if cmp -s "$work/one/tokenizer/tokenizer.json" "$work/text/tokenizer/tokenizer.json"; then bad tokenizer_run_weights_matter; else ok tokenizer_run_weights_matter; fi
run sample --threads=2 --set tokenizer.sample_bytes=100k --set 'tokenizer.special_tokens=["<a>", "<b>"]' --set tokenizer.digits=1 --set "tokenizer.compare=[\"$work/one/tokenizer\"]"
check tokenizer_run_sample python3 -c "
import json
r = json.load(open('$work/sample/tokenizer/report.json'))
assert 60000 < r['trained_bytes'] < 140000, r['trained_bytes']
assert [t['vocab'] for t in r['held_out']['tokenizers']] == [512, 512] and len(r['held_out']['all']['tokens']) == 2"
check tokenizer_run_specials bash -c "'$sluice' tokenize inspect --tokenizer='$work/sample/tokenizer' | grep -q '<b> 511' && '$sluice' tokenize inspect --tokenizer='$work/sample/tokenizer' | grep -q qwen2"
for wrong in "pretok=gpt2 --set tokenizer.digits=1 any.number" "vocab_size=258 --set tokenizer.special_tokens=[\"<a>\",\"<b>\"] no.room"; do
    # shellcheck disable=SC2086
    set -- $wrong
    (cd "$work" && "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run=wrong --set "tokenizer.$1" "$2" "$3") > "$work/wrong.log" 2>&1
    code=$?
    if [ $code = 2 ] && grep -q "$4" "$work/wrong.log" && [ ! -e "$work/wrong/spool" ]; then ok "tokenizer_run_refused_early: $4"; else bad "tokenizer_run_refused_early: $4" "$code $(tail -n 1 "$work/wrong.log")"; fi
done
finish
