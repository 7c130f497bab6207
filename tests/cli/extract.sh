#!/usr/bin/env bash
# sluice extract: pages, archives and lines in, text and JSON out; the same bytes whatever the way in and the threads.
. "$(dirname "$0")/common.sh"
cd "$work" || exit 1
python3 "$here/tests/tools/make_warc.py" in 1 60 5 > /dev/null
warc=in/part-00000.warc.gz
cp "$here"/tests/golden/extract/* .

same() { # NAME WANT-FILE COMMAND...: standard output is the file
    local name=$1 want=$2; shift 2
    if "$@" > out 2> err && cmp -s out "$want"; then ok "$name"; else bad "$name" "$(diff out "$want" 2>&1 | head -n 8; tail -n 2 err)"; fi
}
code() { # NAME CODE PATTERN COMMAND...: exit code, and what it says
    local name=$1 want=$2 pattern=$3 rc; shift 3
    "$@" > out 2> err; rc=$?
    if [ $rc != "$want" ]; then bad "$name" "exit $rc, want $want: $(tail -n 1 err)"
    elif ! grep -Eq "$pattern" err; then bad "$name" "$(tail -n 2 err)"
    else ok "$name"; fi
}

# ---- one page: golden output ----
# What is chosen is the judge's matter but on the clear article; the others are printed whole.
for page in article docs shop; do
    mode=all; [ $page = article ] && mode=main
    url=https://example.org/a/$page.html
    same "${page}_text" $page.txt "$sluice" extract --mode=$mode $page.html
    same "${page}_markdown" $page.md "$sluice" extract --mode=$mode --format=markdown --links --images --url=$url $page.html
    "$sluice" extract --mode=$mode --format=json --url=$url $page.html 2> err | python3 -c '
import json, sys
row = json.load(sys.stdin)
row["metadata"].pop("kind", None)  # the judge'"'"'s matter, too
del row["text"]
json.dump(row, sys.stdout, indent=1, ensure_ascii=False)
print()' > out.json
    if cmp -s out.json $page.json; then ok "${page}_json"; else bad "${page}_json" "$(diff out.json $page.json | head -n 8)"; fi
done
same text_of_a_pipe article.txt bash -c "cat article.html | '$sluice' extract -"
same text_of_a_redirection article.txt bash -c "'$sluice' extract - < article.html"
same text_of_a_gzip_pipe article.txt bash -c "gzip -c article.html | '$sluice' extract -"
same text_of_an_address article.txt "$sluice" extract "file://$PWD/article.html"
iconv -f UTF-8 -t UTF-16 article.html > wide.html
same text_of_utf16 article.txt "$sluice" extract wide.html

# ---- many: JSON lines in order ----
"$sluice" extract --threads=1 "$warc" > one.jsonl 2> err || bad many_pages "$(tail -n 1 err)"
[ "$(wc -l < one.jsonl)" -ge 60 ] && ok many_pages || bad many_pages "$(wc -l < one.jsonl) lines"
same many_with_7_threads one.jsonl "$sluice" extract --threads=7 "$warc"
"$sluice" extract - < "$warc" 2> /dev/null | sed 's/"source":"-"/"source":"in\/part-00000.warc.gz"/' > piped.jsonl
cmp -s piped.jsonl one.jsonl && ok many_from_a_pipe || bad many_from_a_pipe "$(diff piped.jsonl one.jsonl | head -n 4 | cut -c1-200)"
check lines_are_json python3 - <<'PY'
import json
keys = {"url", "verdict", "title", "text", "source", "record", "offset"}
rows = [json.loads(line) for line in open("one.jsonl")]
assert all(keys <= set(r) for r in rows), "keys"
assert [r["record"] for r in rows] == sorted(r["record"] for r in rows), "order"
assert all((r["verdict"] == "kept") == bool(r["text"]) for r in rows), "verdict"
assert all("rule" in r for r in rows if r["verdict"] == "dropped"), "rule"
PY
python3 - <<'PY'
import json
with open("pages.jsonl", "w") as out:
    out.write(json.dumps({"url": "https://a.example/1", "html": open("article.html").read()}) + "\n")
    out.write(json.dumps({"url": "https://a.example/2", "text": "only text"}) + "\n")
    out.write("no json\n")
PY
check html_in_lines bash -c "'$sluice' extract pages.jsonl 2> err | python3 -c '
import json, sys
a, b, c = [json.loads(line) for line in sys.stdin]
assert a[\"text\"] + \"\n\" == open(\"article.txt\").read(), a[\"text\"]
assert b[\"text\"] == \"only text\" and b[\"verdict\"] == \"kept\"
assert c[\"verdict\"] == \"dropped\" and c[\"rule\"] == \"source.bad_json\"'"
check several_inputs bash -c "[ \$('$sluice' extract article.html docs.html pages.jsonl 2> err | wc -l) = 5 ]"
check head_is_no_error bash -c "set -o pipefail; '$sluice' extract '$warc' '$warc' '$warc' 2> err | head -n 1 > /dev/null; [ \${PIPESTATUS[0]} = 0 ] && ! grep -q error err"

mkdir -p mirror/crawl-data/CC-MAIN-2024-22/warc
cp "$warc" mirror/crawl-data/CC-MAIN-2024-22/warc/part-00000.warc.gz
echo crawl-data/CC-MAIN-2024-22/warc/part-00000.warc.gz | gzip > mirror/crawl-data/CC-MAIN-2024-22/warc.paths.gz
"$sluice" crawl --crawl=CC-MAIN-2024-22 --base="file://$PWD/mirror/" --cache=cache --stdout 2> err | "$sluice" extract - 2>> err |
    sed 's/"source":"-"/"source":"in\/part-00000.warc.gz"/' > streamed.jsonl
cmp -s streamed.jsonl one.jsonl && ok crawl_streams_into_extract || bad crawl_streams_into_extract "$(tail -n 2 err)"
find cache -name '*.warc.gz' 2> /dev/null | grep -q . && bad nothing_is_landed || ok nothing_is_landed

# ---- the pipeline writes the same metadata ----
if model_here; then
    "$sluice" run "$here/tests/cli/small.toml" --set source.path="$warc" --run=run > run.log 2>&1 || bad run "$(tail -n 1 run.log)"
    zstd -dcq run/corpus/00000.jsonl.zst > corpus.jsonl
    check corpus_carries_metadata python3 - <<'PY'
import json
pages = {json.loads(line)["url"]: json.loads(line) for line in open("one.jsonl")}
rows = [json.loads(line) for line in open("corpus.jsonl")]
assert rows, "empty corpus"
for row in rows:
    page = pages[row["url"]]
    assert row["metadata"]["page"] == page["metadata"], row["metadata"]
    assert row["metadata"]["title"] == page["title"]
    assert row["added"] == page["captured"]
PY
else skip corpus_carries_metadata "lid.176.ftz is not in the cache (make deps)"; fi

# ---- --explain ----
"$sluice" extract --explain article.html > explained 2> err || bad explain "$(tail -n 1 err)"
grep -Eq '^keep [0-9.]+  h1 ' explained && grep -Eq '^drop [0-9.]+ ' explained && ok explain || bad explain "$(head -n 5 explained)"
LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f]' explained && bad explain_is_plain_in_a_file || ok explain_is_plain_in_a_file
printf '<p>one\033[31mtwo\xe2\x80\xae three\x9b four, a sentence of some length that is kept.' > evil.html
"$sluice" extract --explain evil.html > explained 2> err
LC_ALL=C grep -q $'\033\|\xe2\x80\xae\|\x9b' explained && bad explain_strips_controls || ok explain_strips_controls

# ---- WET: what is kept, as records that our own reader and warcio take back ----
"$sluice" extract "$warc" > lines.jsonl 2> err
check wet_written "$sluice" extract --wet=out.warc.wet.gz "$warc" article.html
"$sluice" extract out.warc.wet.gz > back.jsonl 2> err
check wet_is_read_back python3 - <<'PY'
import json
kept = [(d["url"], d["text"].strip(), d["captured"]) for d in map(json.loads, open("lines.jsonl")) if d["verdict"] == "kept"]
back = [(d["url"], d["text"].strip(), d["captured"]) for d in map(json.loads, open("back.jsonl"))]
assert len(kept) > 40 and back[:-1] == kept, (len(kept), len(back), back[:1], kept[:1])
assert back[-1][0] == "file:article.html" and len(back[-1][1]) > 500, back[-1]
PY
check wet_is_sound "$sluice" warc check --digests out.warc.wet.gz
[ "$("$sluice" warc ls out.warc.wet.gz | awk '{ print $2 }' | sort | uniq -c | awk '{ printf "%s ", $2 }')" = "conversion warcinfo " ] && ok wet_types || bad wet_types
if python3 -c 'import warcio' 2> /dev/null; then check wet_warcio python3 -m warcio.cli check out.warc.wet.gz
else skip wet_warcio "warcio is not installed"; fi
"$sluice" extract --threads=3 --wet=again/out.warc.wet.gz "$warc" 2> err; "$sluice" extract --threads=1 --wet=out.warc.wet.gz "$warc" 2> err
cmp -s out.warc.wet.gz again/out.warc.wet.gz && ok wet_same_bytes || bad wet_same_bytes "$(cmp out.warc.wet.gz again/out.warc.wet.gz)"
code wet_leaves_nothing 1 'No such file|not exist|No such device' "$sluice" extract --wet=/proc/none/x.warc.wet.gz "$warc"

# ---- misuse and bad input ----
code nothing_named 2 'name pages' "$sluice" extract
code missing_file 2 'nowhere.html' "$sluice" extract nowhere.html
code unknown_mode 2 'mode' "$sluice" extract --mode=best article.html
code url_for_many 2 'many' "$sluice" extract --url=http://a/ "$warc"
head -c 5000 /dev/urandom > noise.bin
printf '\x89PNG\r\n\x1a\n' > picture.png
code one_of_three_is_missing 3 '1 of 3 inputs' "$sluice" extract article.html nowhere.html docs.html
[ "$(wc -l < out)" = 2 ] && ok the_others_are_done || bad the_others_are_done "$(wc -l < out) lines"
code not_a_page 3 'picture.png' "$sluice" extract picture.png
: > empty.html
code empty_file 3 'empty' "$sluice" extract empty.html
printf '<nav></nav><script>x()</script>' > bare.html
code no_text_is_a_verdict 0 'extract.empty' "$sluice" extract bare.html
truncate -s 65M big.page
code large_address 1 'stream an archive' "$sluice" extract "file://$work/big.page"
code refused_address 1 '127.0.0.1' "$sluice" extract http://127.0.0.1:9/
[ -n "${ASAN_OPTIONS:-}" ] || check start_is_quick bash -c "start=\$(date +%s%N); for i in 1 2 3 4 5 6 7 8 9 10; do '$sluice' extract bare.html > /dev/null 2>&1; done; [ \$(( (\$(date +%s%N) - start) / 10000000 )) -lt 100 ]"
check help bash -c "'$sluice' extract --help | grep -q 'usage: sluice extract'"
finish
