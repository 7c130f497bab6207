#!/usr/bin/env bash
# sluice warc: ls, cat, check, index and recompress, on archives made here and, where they are, on real odd ones.
. "$(dirname "$0")/common.sh"
python3 "$here/tests/tools/make_warc.py" "$work/in" 1 40 9
warc=$work/in/part-00000.warc.gz
cd "$work" || exit 1
same() { # NAME WANT GOT
    if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "\"$3\", not \"$2\""; fi
}
count=$(zcat "$warc" | grep -ac '^WARC/1')
same warc_ls_counts "$count" "$("$sluice" warc ls "$warc" | wc -l)"
same warc_ls_json_counts "$count" "$("$sluice" warc ls --json "$warc" | python3 -c 'import json,sys; print(sum("offset" in json.loads(l) for l in sys.stdin))')"
"$sluice" warc check --digests "$warc" > check.out; same warc_check_good 0 $?
grep -q "^good .*$count good records" check.out && ok warc_check_says || bad warc_check_says "$(cat check.out)"

# One record, alone: by offset, as zcat has it; its payload is the page.
offset=$("$sluice" warc ls "$warc" | awk '$2 == "response" { n++; if (n == 3) print $1 }')
url=$("$sluice" warc ls "$warc" | awk '$2 == "response" { n++; if (n == 3) print $5 }')
"$sluice" warc cat --offset="$offset" "$warc" > whole.out
tail -c +$((offset + 1)) "$warc" | python3 -c 'import sys, zlib; sys.stdout.buffer.write(zlib.decompressobj(31).decompress(sys.stdin.buffer.read()))' > zlib.out
cmp -s whole.out zlib.out && ok warc_cat_is_the_member || bad warc_cat_is_the_member "$(cmp whole.out zlib.out)"
"$sluice" warc cat --url="$url" --payload "$warc" > page.out
"$sluice" warc cat --offset="$offset" --payload "$warc" > page2.out
[ -s page.out ] && cmp -s page.out page2.out && ok warc_cat_by_url || bad warc_cat_by_url "$url"
id=$(tr -d '\r' < whole.out | grep -ai '^WARC-Record-ID' | cut -d' ' -f2)
same warc_cat_by_id "$(md5sum < whole.out)" "$("$sluice" warc cat --record-id="$id" "$warc" | md5sum)"
"$sluice" warc cat --offset=$((offset + 1)) "$warc" > /dev/null 2> err; same warc_cat_wrong_offset 2 $?
grep -q 'the next one does' err && ok warc_cat_says_where || bad warc_cat_says_where "$(cat err)"
cat "$warc" | "$sluice" warc ls - > pipe.out; "$sluice" warc ls "$warc" > file.out
cmp -s pipe.out file.out && ok warc_ls_pipe || bad warc_ls_pipe "$(diff pipe.out file.out | head -n 2)"

# The index leads to the same record; sorted, it is in byte order.
"$sluice" warc index "$warc" > a.cdxj; "$sluice" warc index --sort "$warc" > b.cdxj
LC_ALL=C sort -u a.cdxj | cmp -s - b.cdxj && ok warc_index_sorted || bad warc_index_sorted "$(LC_ALL=C sort -u a.cdxj | diff - b.cdxj | head -n 3)"
grep -q "\"offset\": \"$offset\"" a.cdxj && ok warc_index_offset || bad warc_index_offset "$(head -n 1 a.cdxj)"

# Whole-file gzip becomes one member a record, and back again nothing is lost.
zcat "$warc" > plain.warc; gzip -k plain.warc
for out in out.warc.gz out.warc.zst out.warc; do
    "$sluice" warc recompress plain.warc.gz $out 2> err || bad "warc_recompress_$out" "$(cat err)"
    "$sluice" warc recompress $out back.warc 2> err
    cmp -s back.warc plain.warc && ok "warc_recompress_$out" || bad "warc_recompress_$out" "$(cmp back.warc plain.warc)"
done
same warc_recompress_members "$count" "$("$sluice" warc ls --json out.warc.gz | grep -o '"offset":[0-9]*' | sort -u | wc -l)"
"$sluice" warc index plain.warc.gz > /dev/null 2> err; grep -q 'recompress' err && ok warc_index_warns || bad warc_index_warns "$(cat err)"

# Damage: where and why, exit 3, and what can be read is.
python3 - "$warc" hurt.warc.gz "$offset" <<'P'
import sys
b = bytearray(open(sys.argv[1], "rb").read()); b[int(sys.argv[3]) + 60] ^= 0x55; open(sys.argv[2], "wb").write(b)
P
"$sluice" warc check hurt.warc.gz > check.out 2> err; same warc_check_damaged 3 $?
grep -q "^damaged .*byte $offset: " check.out && ok warc_check_where || bad warc_check_where "$(cat check.out)"
"$sluice" warc check --json hurt.warc.gz 2> /dev/null | python3 -c 'import json,sys; r = json.loads(sys.stdin.read()); assert not r["good"] and r["damage"][0]["offset"] == int(sys.argv[1])' "$offset" && ok warc_check_json || bad warc_check_json ""
python3 - "$warc" lied.warc.gz <<'P'
import gzip, sys, zlib
b, out = open(sys.argv[1], "rb").read(), b""
while b:
    d = zlib.decompressobj(31); rec = d.decompress(b); b = d.unused_data
    if b"msgtype=response" in rec or b"HTTP/1" in rec:
        rec = rec.replace(b"\r\n\r\n", b"\r\nWARC-Block-Digest: sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ\r\n\r\n", 1)
    out += gzip.compress(rec)
open(sys.argv[2], "wb").write(out)
P
"$sluice" warc check lied.warc.gz > /dev/null 2>&1; same warc_check_no_digests 0 $?
"$sluice" warc check --digests lied.warc.gz > check.out 2>&1; same warc_check_digests 3 $?
grep -q 'first bad digest at byte' check.out && ok warc_check_digest_where || bad warc_check_digest_where "$(cat check.out)"
"$sluice" warc frobnicate "$warc" > /dev/null 2> err; same warc_unknown_verb 2 $?

odd=${SLUICE_DATA:-$here/../shared/data}/warc/odd
if [ -d "$odd" ]; then
    "$sluice" warc check "$odd"/* > odd.out 2> err; rc=$?
    same warc_odd_exit 3 $rc
    same warc_odd_one_line_a_file "$(ls "$odd" | wc -l)" "$(wc -l < odd.out)"
    "$sluice" warc check --json --digests "$odd"/* 2> /dev/null | python3 -c 'import json,sys; assert all("good" in json.loads(l) for l in sys.stdin)' && ok warc_odd_json || bad warc_odd_json ""
else
    skip warc_odd "no $odd"
fi
finish
