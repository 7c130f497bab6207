#!/usr/bin/env bash
# sluice crawl --index as people use it, against a small CDX server and its archives.
. "$(dirname "$0")/common.sh"
python3 "$here/tests/tools/make_warc.py" "$work/in" 2 40 7
mkdir -p "$work/site/data/crawl-data"
cp "$work"/in/*.warc.gz "$work/site/data/crawl-data/"
cd "$work/site/data" || exit 1
"$sluice" warc index --sort crawl-data/*.warc.gz > "$work/site/index.cdxj" 2> "$work/index.err" || bad index_made "$(cat "$work/index.err")"
python3 - "$work/site/index.cdxj" <<'PY'
import json, sys # as Common Crawl has them: digests without "sha1:"
lines = [line.split(" ", 2) for line in open(sys.argv[1])]
with open(sys.argv[1], "w") as f:
    for key, time, text in lines:
        row = json.loads(text)
        row["digest"] = row["digest"].split(":")[-1]
        if "/" not in row["filename"]:
            row["filename"] = "crawl-data/" + row["filename"]
        f.write(f"{key} {time} {json.dumps(row)}\n")
PY
mkfifo "$work/stop"
python3 "$here/tests/tools/fake_cdx.py" "$work/site" < "$work/stop" > "$work/port" &
exec 9> "$work/stop"
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
url=http://127.0.0.1:$(cat "$work/port")/
unset http_proxy https_proxy
host=$(sed 's/.*"url": "\(https\?:\/\/[^/"]*\).*/\1/' "$work/site/index.cdxj" | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2 }')
host=${host#*://}
want=$(grep -c "://$host/.*\"status\": \"200\"" "$work/site/index.cdxj")
cd "$work" || exit 1
look() { "$sluice" crawl --crawl=CC-MAIN-TEST --base="$url" --index_server="$url" --index_rate=100 "$@"; }

look --index="$host/*" --dry-run > rows.out 2> rows.err
[ "$(wc -l < rows.out)" = "$want" ] && [ "$want" -gt 1 ] && ok index_dry_run || bad index_dry_run "$(wc -l < rows.out) of $want: $(cat rows.err)"
look --index="$host/*" --cache=cache > path.out 2> path.err
archive=$(cat path.out)
[ "$("$sluice" warc ls "$archive" | grep -c response)" = "$want" ] && ok index_archive || bad index_archive "$(cat path.err)"
"$sluice" warc check --digests "$archive" > check.out && ok index_archive_is_good || bad index_archive_is_good "$(cat check.out)"
# Every member is a member of the original, byte for byte.
python3 - "$archive" "$work"/in/*.warc.gz <<'PY' && ok index_members_are_the_originals || bad index_members_are_the_originals
import sys, zlib
def members(path):
    data = open(path, "rb").read()
    while data:
        d = zlib.decompressobj(31); d.decompress(data)
        yield data[:len(data) - len(d.unused_data)]
        data = d.unused_data
known = {m for path in sys.argv[2:] for m in members(path)}
sys.exit(0 if all(m in known for m in members(sys.argv[1])) else 1)
PY
cut -d' ' -f1,2 rows.out | cmp -s - <(cut -d' ' -f1,2 "$archive.cdxj") && ok index_beside || bad index_beside
offset=$(sed -n '2s/.*"offset":"\([0-9]*\)".*/\1/p' "$archive.cdxj")
"$sluice" warc cat --offset="$offset" "$archive" > one.out 2> one.err && ok index_offsets_open || bad index_offsets_open "$(cat one.err)"
before=$(wc -l < site/log)
look --index="$host/*" --cache=cache > path2.out 2>&1
[ "$before" = "$(wc -l < site/log)" ] && ok index_not_asked_twice || bad index_not_asked_twice "$(cat path2.out)"

# By the sorted lines alone, from a folder: the same archive.
look --index="$host/*" --index_file=site/index.cdxj --base="file://$work/site/data" --index_out=own.warc.gz > own.out 2> own.err
cmp -s own.warc.gz "$archive" && ok index_file_says_the_same || bad index_file_says_the_same "$(cat own.err)"
# A list of one's own, as rows of the columnar table: all of it; grown, it is another query.
rows() { sed -n 's/^[^{]*//; /"status": "200"/p' site/index.cdxj | head -n "$1" | python3 -c '
import json, sys
for line in sys.stdin:
    d = json.loads(line)
    print(json.dumps({"url": d["url"], "warc_filename": d["filename"], "warc_record_offset": int(d["offset"]), "warc_record_length": int(d["length"])}))'; }
for n in 5 7; do
    rows $n > list.jsonl
    look --index='*' --index_file=list.jsonl --cache=listed > list.out 2> list.err
    [ "$("$sluice" warc ls "$(cat list.out)" | grep -c response)" = $n ] && ok index_list_of_$n || bad index_list_of_$n "$(cat list.err)"
done
look --index="$host/*" --index_max=1 --json --index_out=max.warc.gz > max.out 2> max.err
[ "$(python3 -c 'import json; d = json.load(open("max.out")); print(d["written"], d["more"])')" = "1 True" ] && ok index_max || bad index_max "$(cat max.out max.err)"
look --index='*' > star.out 2> star.err; rc=$?
[ $rc = 2 ] && grep -q 'no URL pattern' star.err && ok index_bad_pattern || bad index_bad_pattern "$rc $(cat star.err)"
look --index=nobody.invalid/x > nobody.out 2> nobody.err; rc=$?
[ $rc = 0 ] && grep -q 'no capture' nobody.err && [ ! -s nobody.out ] && ok index_no_captures || bad index_no_captures "$rc $(cat nobody.err)"
finish
