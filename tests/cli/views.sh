#!/usr/bin/env bash
# Views of a store and runs that train on the store of another run: subsets by predicate, two mixtures over one store.
. "$(dirname "$0")/common.sh"
model_here || { skip views "lid.176.ftz is not in the cache (make deps)"; finish; }
cd "$work"
python3 "$here/tests/tools/make_warc.py" in 3 60 33
"$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run=r > log 2>&1 || { bad views_base_run "$(tail -n 2 log)"; finish; }
contents() { find "$1" -type f -printf '%p %s %T@ %i\n' | LC_ALL=C sort; find "$1" -type f | LC_ALL=C sort | xargs sha256sum; }
contents r > before

# ---- what a predicate holds of, beside the same question asked in Python of all rows of the ledger ----
"$sluice" why --run=r --json --limit=100000 '*' > ledger.jsonl
cat > twin.py <<'PY'
"""Documents and tokens of each domain by a Python condition over `sluice why --json`, compared with `sluice store view`."""
import fnmatch, json, subprocess, sys
rows = [r for r in map(json.loads, open("ledger.jsonl")) if r["verdict"] == "kept"]
assert len(rows) > 50
def signal(r, name): # null satisfies no comparison
    v = r["signals"][name]
    return float("nan") if v is None else v
CASES = {
    "true": lambda r: True,
    "tokens >= 400 and lang == 'en'": lambda r: r["tokens"] >= 400 and r["lang"] == "en",
    "quality.score >= 0.5 or domain == 'odd'": lambda r: signal(r, "quality.score") >= 0.5 or r["domain"] == "odd",
    "url ~ '*/essay/*' and not domain in ['hq']": lambda r: fnmatch.fnmatchcase(r["url"], "*/essay/*") and r["domain"] != "hq",
    "text_bytes / tokens > 3.2": lambda r: r["text_bytes"] / r["tokens"] > 3.2,
    "gopher_quality.words < 600 and cluster_size > 1": lambda r: signal(r, "gopher_quality.words") < 600 and r["cluster_size"] > 1,
    "source ~ '*00001*' and verdict == 'kept'": lambda r: "00001" in r["source"],
    "rule == '' and not rule('c4.curly_bracket')": lambda r: True,
    "url.host != 0 and url.host == 0": lambda r: False,
}
seen = set()
for where, twin in CASES.items():
    out = subprocess.run([sys.argv[1], "store", "view", "--run=r", "--json", where], stdout=subprocess.PIPE, check=True).stdout
    got = {d["name"]: (d["documents"], d["tokens"]) for d in json.loads(out)["domains"]}
    want = {name: (0, 0) for name in got}
    for r in filter(twin, rows):
        n, t = want[r["domain"]]
        want[r["domain"]] = (n + 1, t + r["tokens"] + 1) # <|endoftext|> in front of each
    assert got == want, (where, got, want)
    seen.add(str(got))
assert len(seen) >= 7, "the cases are too alike to tell anything"
PY
check views_as_asked_in_python python3 twin.py "$sluice"
check views_lists_what_may_be_asked bash -c "'$sluice' store view --run=r > names && grep -q '^  quality.score .*probability' names && grep -Eq '^  gopher_quality.min_words +gopher_quality.words below 50' names && grep -q '^  id .*16 hex digits' names"
# The store's index alone knows language and scores as the ledger has them.
cp -r r bare && mv bare/ledger aside
check views_of_the_index_alone bash -c "
for where in \"lang == 'en'\" 'language.score < 0.9' 'quality.score >= 0.5 and tokens >= 300' \"lang != 'en' or quality.score is null\"; do
    '$sluice' store view --run=r --json \"\$where\" >> by_ledger && '$sluice' store view --run=bare --json \"\$where\" >> by_index || exit 1
done
[ \$(sort -u by_ledger | wc -l) -ge 3 ] && cmp by_ledger by_index && '$sluice' store view --run=bare | grep -q '^  quality.score'"
check views_nothing_was_written bash -c "find r -type f -printf '%p %s %T@ %i\n' | LC_ALL=C sort > now; find r -type f | LC_ALL=C sort | xargs sha256sum >> now; cmp now before"

check views_why_where bash -c "'$sluice' why --run=r --json --limit=100000 --where=\"rule('length.min_chars') and length.chars < 200\" > short.jsonl && python3 -c \"
import json
want = [r['url'] for r in map(json.loads, open('ledger.jsonl')) if 'length.min_chars' in r['also'].split() + [r['rule']] and (r['signals']['length.chars'] or 1e9) < 200]
assert [json.loads(line)['url'] for line in open('short.jsonl')] == want and 0 < len(want) < 30, want\""
fails views_why_where_nothing 2 'no record of r matches \* and has tokens > 1e9' "$sluice" why --run=r --where='tokens > 1e9'

# ---- two mixtures and a view over one store, side by side ----
cat > ablation.toml <<'T'
[run]
name = "ablation"
[store]
path = "r"
[view.good]
where = "quality.score >= 0.5 and tokens >= 300"
[model]
arch = "llama"
layers = 2
heads = 2
kv_heads = 1
width = 32
hidden = 64
context = 64
tied = true
[train]
steps = 12
warmup_steps = 2
anneal_steps = 4
batch = 4
micro_batch = 2
sequence = 64
T
"$sluice" run ablation.toml --run=a --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0 > a.log 2>&1 &
"$sluice" run ablation.toml --run=b --set mixture.stable.good=0.7 --set mixture.stable.odd=0.3 --threads=1 > b.log 2>&1; b=$?
wait $!; a=$?
[ $a = 0 ] && [ $b = 0 ] && ok views_two_mixtures_over_one_store || { bad views_two_mixtures_over_one_store "$(tail -n 2 a.log; tail -n 2 b.log)"; finish; }
contents r > after
check views_the_store_was_not_touched cmp before after
check views_nothing_was_copied bash -c "! find a b -name data.mdb -o -name '*.parquet' -o -name tokenizer -o -name heldout -o -path '*/tokens/*' | grep ."
check views_same_bytes_by_any_run_and_threads cmp a/views/good.view b/views/good.view
check views_mixtures_differ bash -c "! cmp -s a/train/model/model.safetensors b/train/model/model.safetensors"
cat > drawn.py <<'PY'
"""Every document that a step drew is of the domains and views its phase names, and every one is in the ledger of r."""
import json, subprocess, sys
rows = {r["url"]: r for r in map(json.loads, open("ledger.jsonl")) if r["verdict"] == "kept"}
def traced(run, step):
    out = subprocess.run([sys.argv[1], "store", "trace", f"--run={run}", f"--step={step}", "--json"], stdout=subprocess.PIPE, check=True).stdout
    return [rows[json.loads(line)["url"]] for line in out.splitlines()]
def good(r): return (r["signals"]["quality.score"] or 0) >= 0.5 and r["tokens"] >= 300
both = set()
for step in range(1, 13):
    mine = traced("a", step)
    assert mine and all((r["domain"] == "web") if step <= 8 else good(r) for r in mine), ("a", step)
    mine = traced("b", step)
    assert mine and all(good(r) or r["domain"] == "odd" for r in mine), ("b", step)
    both |= {good(r) for r in mine}
assert both == {False, True}
PY
check views_a_mixture_draws_only_from_them python3 drawn.py "$sluice"
check views_report_names_the_store bash -c "grep -qF '$work/r' a/report.html && grep -q 'id=\"funnel\"' a/report.html && grep -q good a/report.html"
check views_export_one bash -c "'$sluice' store export --run=a --view=good --format=jsonl --out=- > good.jsonl 2> /dev/null && python3 -c \"
import json
rows = {r['url'] for r in map(json.loads, open('ledger.jsonl')) if r['verdict'] == 'kept' and (r['signals']['quality.score'] or 0) >= 0.5 and r['tokens'] >= 300}
lines = [json.loads(line) for line in open('good.jsonl')]
assert len(lines) == len(rows) > 5 and {l['metadata']['url'] if 'metadata' in l and 'url' in l['metadata'] else l['url'] for l in lines} == rows\""
check views_looking_follows_the_pointer bash -c "
'$sluice' store ls --run=a | grep -v '^view ' | diff - <('$sluice' store ls --run=r) && '$sluice' store ls --run=a | grep -Eq '^view good .*quality.score >= 0.5' && '$sluice' store verify --run=a && '$sluice' why --run=a --limit=1 '*' | grep -q verdict &&
'$sluice' store find --run=a --limit=1 ' the' 2> /dev/null | grep -q https:// && '$sluice' status --run=a | grep -qF 'on the store of $work/r' && '$sluice' report --run=a > /dev/null"
find a -type f -path '*done*' -printf '%p %T@\n' | sort > done.before
"$sluice" run ablation.toml --run=a --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0 > log 2>&1
check views_done_is_done bash -c "find a -type f -path '*done*' -printf '%p %T@\n' | sort | cmp - done.before"
check views_borrow_from_a_borrower bash -c "'$sluice' run ablation.toml --run=c --set store.path=a --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0 > c.log 2>&1 && cmp c/train/model/model.safetensors a/train/model/model.safetensors && grep -qF '\"path\":\"$work/r\"' c/base.json"
check views_full_recipe_with_one_key_more bash -c "'$sluice' run '$here/tests/cli/small.toml' --set store.path=r --run=d > d.log 2>&1 && grep -q 'do nothing' d.log && cmp d/train/model/model.safetensors r/train/model/model.safetensors"

again() { "$sluice" run ablation.toml --run=a --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0 > log 2>&1; }

# ---- a predicate that changed, a store that moved, another store ----
mv r moved
fails views_store_is_gone 2 'no (folder|store)' "$sluice" run ablation.toml --run=a --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0
check views_store_moved bash -c "'$sluice' run ablation.toml --run=a --set store.path=moved --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0 > log 2>&1 && grep -qF 'lies at $work/moved' log && '$sluice' store ls --run=a"
mv moved r
fails views_ls_of_a_store_that_is_gone 2 'set store.path=' "$sluice" store ls --run=a
again
sed 's/^\[view.good\]/[view.good_pages]/; s/tokens >= 300/tokens >= 30/' ablation.toml > other.toml
fails views_another_recipe_is_refused 2 'another recipe' "$sluice" run other.toml --run=a
"$sluice" run "$here/tests/cli/small.toml" --set source.path=in --set tokenizer.vocab_size=400 --run=r400 > log 2>&1
fails views_another_store_is_refused 2 'begun on another store' "$sluice" run ablation.toml --run=a --set store.path=r400 --set mixture.stable.web=1.0 --set mixture.anneal.good=1.0
cp -r b stale && python3 - <<'PY'
data = bytearray(open("stale/views/good.view", "rb").read())
data[80] ^= 1 # in the identity of the store
open("stale/views/good.view", "wb").write(data)
PY
check views_stale_are_made_again bash -c "'$sluice' status --run=stale | grep -Eq 'views +0 of' && '$sluice' run ablation.toml --run=stale --set mixture.stable.good=0.7 --set mixture.stable.odd=0.3 > log 2>&1 && cmp stale/views/good.view b/views/good.view"

# ---- the store grows and shrinks: views follow, also into the ledger of the run that was appended ----
python3 "$here/tests/tools/make_warc.py" in2 1 70 77
"$sluice" run "$here/tests/cli/small.toml" --set source.path=in2 --set tokenizer.path=r/tokenizer/tokenizer.json --run=r2 > log 2>&1 || bad views_second_run "$(tail -n 1 log)"
cat > grown.py <<'PY'
"""The view of a run, beside the ledgers of r and r2 without the removed ids."""
import json, subprocess, sys
def lines(*args): # objects that sluice prints
    out = subprocess.run([sys.argv[1], *args], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]
removed, stored, want = set(sys.argv[2:]), set(), set()
stored = {line["id"] for line in lines("store", "export", "--run=r", "--format=jsonl", "--out=-")}
for run in "r", "r2":
    corpus = subprocess.run(f"zstd -dcq {run}/corpus/*.zst", shell=True, stdout=subprocess.PIPE, check=True).stdout
    ids = {doc["url"]: doc["id"] for doc in map(json.loads, corpus.splitlines())}
    for r in lines("why", f"--run={run}", "--json", "--limit=100000", "--where=verdict == 'kept'"):
        if (r["signals"]["quality.score"] or 0) >= 0.5 and r["tokens"] >= 300 and ids[r["url"]] in stored - removed:
            want.add(ids[r["url"]])
got = [line["id"] for line in lines("store", "export", "--run=a", "--view=good", "--format=jsonl", "--out=-")]
assert len(got) == len(set(got)) and set(got) == want, (len(got), len(want))
print(len(got), got[0], got[-1])
PY
check views_before_it_grows python3 grown.py "$sluice"
read -r few first last < <(tail -n 1 "$work/check.out")
check views_store_append "$sluice" store append --run=r --from=r2
fails views_stale_is_not_used 2 'make it again' "$sluice" store export --run=a --view=good --format=jsonl --out=-
check views_ls_says_stale bash -c "'$sluice' store ls --run=a | grep -q '^view good .*before it changed'"
again
check views_hold_what_was_appended bash -c "python3 grown.py '$sluice' > grown && [ \$(cut -d' ' -f1 grown) -gt $few ]"
printf '%s\n%s\n' "$first" "$last" > ids
check views_store_remove "$sluice" store remove --run=r --ids=ids
again
check views_hold_no_removed python3 grown.py "$sluice" "$first" "$last"

# ---- what is wrong is said before anything is read ----
fails views_syntax 2 'ablation.toml:5: view good: column 8: = is written == here' "$sluice" run ablation.toml --run=x --set "view.good.where=tokens = 5"
fails views_unknown_signal 2 'no column or signal quality.scor: did you mean quality.score' "$sluice" run ablation.toml --run=x --set "view.good.where=quality.scor > 5" --set mixture.stable.web=1.0
fails views_unknown_signal_of_an_own_run 2 'view mine: column 1: there is no column or signal quality.scor' "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --set "view.mine.where=quality.scor > 1" --run=y
fails views_named_like_a_domain 2 'has the name of a domain' "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --set "view.hq.where=true" --run=z
fails views_no_such_part 2 'there is no (such )?(domain|\[\[domain)' "$sluice" run ablation.toml --run=x2 --set mixture.stable.goods=1.0
fails views_no_such_folder 2 'there is no folder' "$sluice" run ablation.toml --run=x3 --set store.path=nowhere
fails views_folder_without_a_store 2 'no store/data.mdb' "$sluice" run ablation.toml --run=x3 --set store.path=in
fails views_bad_name 2 'names are' "$sluice" store view --run=r true --name=A/b
fails views_bad_predicate 2 'column 7: expected a value, found >' "$sluice" store view --run=r 'lang >> 5'
finish
