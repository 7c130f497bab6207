#!/usr/bin/env bash
# A user's own files: JSON lines without addresses, plain text and saved pages; what is said when nothing is kept, and how a
# recipe is put right.
. "$(dirname "$0")/common.sh"
python3 - "$work" <<'P'
import json, sys
work = sys.argv[1]
word = "the river and its people were of a kind that have been with us for as long as anyone of the town could remember".split()
def text(seed):
    lines = []
    for n in range(12):
        seed = (seed * 1103515245 + 12345) % 2147483648
        lines.append(" ".join(word[(seed >> 8) * (k + 3) // 7 % len(word)] + ("" if (seed >> 4) + k & 3 else chr(97 + (seed >> k) % 26) + "ing") for k in range(18)).capitalize() + ".")
    return "\n".join(lines)
with open(f"{work}/books.jsonl", "w") as f:
    for n in range(40):
        f.write(json.dumps({"id": f"book-{n}", "text": text(n + 1)}) + "\n")
open(f"{work}/letter.txt", "w").write(text(99))
open(f"{work}/page.html", "w").write("<html><body><article>" + "".join(f"<p>{line}</p>" for line in text(77).split("\n")) + "</article></body></html>")
open(f"{work}/short.jsonl", "w").write('{"text":"too short"}\n' * 5)
P
cat > "$work/own.toml" <<'T'
[run]
name = "own"
[source]
path = "set by the test"
[[stage]]
use = "url"
[[stage]]
use = "extract"
[[stage]]
use = "length"
[[stage]]
use = "dedup"
[tokenizer]
vocab_size = 300
[heldout]
share = 0.1
T
cd "$work" || exit 1
"$sluice" run own.toml --set source.path=books.jsonl --run=r --json > r.json 2> r.err
check texts_without_an_address_are_kept python3 - <<'P'
import json
r = json.load(open("r.json"))
assert r["in"] == 40 and r["kept"] + r["heldout"] == 40 and r["dropped"] == {}, r
assert r["tokens"] == sum(d["tokens"] for d in r["store"]["domains"]), r
P
check the_screen_adds_up bash -c "'$sluice' report --run=r | python3 -c '
import re, sys
text = sys.stdin.read()
said = int(re.search(r\"(\d+) tokens\$\", text, re.M).group(1))
rows = [int(m.group(1)) for m in re.finditer(r\"^  \w+ +\d+ +(\d+)\", text.split(\"domain \")[1], re.M)]
assert rows and said == sum(rows), (said, rows)'"
check report_counts_kept_and_held_out_apart python3 - <<'P'
import json, re
r, html = json.load(open("r.json")), open("r/report.html").read()
assert r["heldout"] > 0, r
assert re.search(rf"<b>{r['kept']}</b><span>pages kept", html), html[:4000]
assert re.search(rf"<b>{r['heldout']}</b><span>pages held out", html)
P
for f in letter.txt page.html; do
    "$sluice" run own.toml --set source.path=$f --set heldout.share=0 --run=one-$f --json > one.json 2> one.err
    check "one_${f#*.}_is_kept" grep -q '"kept":1' one.json
done
# Parquet as pyarrow writes it (tests/oracle/parquet_check.py make): the same 40 texts, which have addresses there but for four.
"$sluice" run own.toml --set source.path="$here/tests/golden/parquet/web.parquet" --run=web --json > web.json 2> web.err
check parquet_gives_the_same_texts python3 - <<'P'
import glob, json, subprocess
def texts(run):
    files = sorted(glob.glob(f"{run}/corpus/*.zst")) + sorted(glob.glob(f"{run}/heldout/*.zst"))
    lines = subprocess.run(["zstd", "-dcq", *files], stdout=subprocess.PIPE, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]
books, web = texts("r"), texts("web")
assert len(web) == 40 and sorted(d["text"] for d in web) == sorted(d["text"] for d in books)
assert sorted(d["url"] for d in web) == sorted(f"<urn:uuid:{i}>" if i % 10 == 9 else f"https://example.com/{i}" for i in range(40))
assert all(d["added"] == "2024-02-20T21:24:01Z" for d in web), web[0]
P
fails parquet_without_texts 3 'nested.parquet has no column of strings named html, text or content, only id, double, signed, url' "$sluice" run own.toml --set source.path="$here/tests/golden/parquet/nested.parquet" --run=no-text
# The same by `sluice tokenize`: rows are lines.
tok="$sluice tokenize"; web=$here/tests/golden/parquet/web.parquet
check parquet_tokenize_rows bash -c "$tok encode --tokenizer=r/tokenizer --jsonl books.jsonl > lines && $tok encode --tokenizer=r/tokenizer --jsonl '$web' > rows && [ \$(wc -l < rows) = 40 ] && grep -q '^{.id.:.[^ ]*urn:uuid:9[^0-9]' rows && cmp <(sed 's/.*\"tokens\"//' lines) <(sed 's/.*\"tokens\"//' rows) && [ \"\$($tok count --tokenizer=r/tokenizer --jsonl books.jsonl | cut -f1)\" = \"\$($tok count --tokenizer=r/tokenizer --jsonl '$web' | cut -f1)\" ]"
check parquet_train_on_rows bash -c "$tok train --vocab-size=400 --held-out=0 --out=t1 --jsonl books.jsonl && $tok train --vocab-size=400 --held-out=0 --out=t2 --jsonl '$web' && cmp t1/tokenizer.json t2/tokenizer.json"
check parquet_columns_of_domains bash -c "$tok compare --tokenizer=r/tokenizer --jsonl --by=lang --lang-field=metadata.lang,language --json '$web' | grep -q '\"en\"'"
mkfifo fifo
check a_named_pipe_is_read_once bash -c "for n in 1 2 3 4 5; do cat books.jsonl > fifo & $tok encode --tokenizer=r/tokenizer --jsonl fifo | cmp - lines || exit 1; wait \$! || exit 1; done"
fails parquet_without_the_field 3 'no column "body" of strings, only text, id, dump, url, ' $tok encode --tokenizer=r/tokenizer --jsonl --field=body "$web"
fails parquet_as_one_text 3 'web.parquet is Parquet: give --jsonl' $tok train --out=t3 "$web"
# The ids that `why --json` prints are what `store remove` takes.
"$sluice" why --run=r 'book-3' --json > why.json 2>> log
check why_json_has_the_id grep -Eq '^\{"id":"[0-9a-f]{16}","url":"book-3"' why.json
check removed_by_why bash -c "'$sluice' why --run=r 'book-?' --where 'verdict == \"kept\"' --limit=2 --json 2>> log | '$sluice' store remove --run=r --ids=- | grep -q '^2 documents'"
check why_says_there_is_more bash -c "'$sluice' why --run=r '*' --limit=2 2>&1 | grep -q 'first 2'"
check why_shows_limits bash -c "'$sluice' why --run=r book-3 | grep -Eq 'length.chars .*drops below 200, above 2000000'"
# Nothing kept: which rule, how many of how many.
"$sluice" run own.toml --set source.path=short.jsonl --run=none > none.out 2> none.err; rc=$?
check nothing_kept_names_the_rule bash -c "[ $rc = 4 ] && grep -q 'none of 5 records was kept (5 by length.min_chars)' none.err"
# A recipe put right before anything was finished takes the folder over; one that has work in it does not.
if model_here; then
    sed 's/use = "length"/use = "language"\nkeep = ["eng"]/' own.toml > language.toml
    "$sluice" run language.toml --set source.path=books.jsonl --run=again > out 2> err; rc=$?
    check unknown_language_is_refused bash -c "[ $rc = 2 ] && grep -q 'none of the 176 languages' err"
    sed -i 's/"eng"\]/"en"]\nmin_score = 0/' language.toml
    "$sluice" run language.toml --set source.path=letter.txt --set heldout.share=0 --run=again > out 2> err; rc=$?
    check recipe_put_right_begins_anew bash -c "[ $rc = 0 ] && grep -q 'begins anew' err"
    "$sluice" run own.toml --set source.path=books.jsonl --run=again > out 2> err; rc=$?
    check work_that_is_done_stays bash -c "[ $rc = 2 ] && grep -q 'another recipe' err"
else
    skip own_languages "lid.176.ftz is not in the cache (make deps)"
fi
# [eval] bounds what is scored while training, and the minutes that takes have a line of their own.
"$sluice" run own.toml --set source.path=books.jsonl --set heldout.share=0.3 --set eval.documents_max=2 --set train.steps=2 --set train.warmup_steps=1 \
    --set train.anneal_steps=1 --set model.layers=1 --set model.heads=2 --set model.kv_heads=1 --set model.width=32 --set model.hidden=32 \
    --set model.context=64 --set train.sequence=64 --run=scored > out 2> err
check eval_documents_are_bounded bash -c "[ \"\$(grep -c 'over 2 documents' err)\" = 2 ] && grep -q '^score .* tokens' err"
check baselines_are_of_the_same_documents python3 -c "import json; rows = json.load(open('scored/eval.json'))['rows']; assert rows and all(r['documents'] == 2 and r['unigram'] > 0 for r in rows), rows"
# A run that is under way: what is known is said, and nothing is called none that is not known yet.
cp -r r half && rm -rf half/done/pass2 half/done/store half/ledger half/store half/store.json
check half_done_is_not_nothing bash -c "'$sluice' report --run=half | grep -q '40 pages in so far, 40 passed every rule'"
check why_before_the_ledger bash -c "'$sluice' why --run=half x 2>&1 | grep -q 'whose pass2 is done'"
# Standard output: a full disk is an error wherever it shows, a reader that has seen enough is none.
python3 "$here/tests/tools/make_warc.py" in 1 5 5 > /dev/null
for what in "warc check in/part-00000.warc.gz" "warc ls in/part-00000.warc.gz" "help" "keys" "why --run=r book-3" "store ls --run=r" "store export --run=r --format=jsonl --out=-" "status --run=r"; do
    "$sluice" $what > /dev/full 2> err; rc=$?
    check "full_${what%% *}" bash -c "[ $rc != 0 ] && [ \$(grep -c 'sluice: error' err) = 1 ]"
done
for what in "keys" "store export --run=r --format=jsonl --out=-" "why --run=r --limit=999 *" "tokenize encode --tokenizer=r/tokenizer letter.txt"; do
    # shellcheck disable=SC2086
    set -f; "$sluice" $what 2> err | sleep 0.05; rc=${PIPESTATUS[0]}; set +f
    check "gone_reader_of_${what%% *}" bash -c "[ $rc = 0 ] && ! grep -q error err"
done
check keys_of_a_table bash -c "'$sluice' keys length | grep -q '  min_chars = X'"
check keys_knows_names bash -c "'$sluice' keys lenght 2>&1 | grep -q 'did you mean \"length\"'"
check generate_on_a_run bash -c "mkdir -p m/train/model && touch m/train/model/config.json && '$sluice' generate --model=m --prompt=x 2>&1 | grep -q -- '--model=m/train/model'"
finish
