#!/usr/bin/env bash
# `sluice crawl` against a mirror over nginx: ranges, a server that dies, limits, TLS; streams; and a run whose crawl never
# lies on the disk as a whole.
. "$(dirname "$0")/common.sh"
command -v nginx > /dev/null && command -v openssl > /dev/null || { skip fetch "nginx or openssl is missing (make deps)"; finish; }
cd "$work" || exit 1
python3 "$here/tests/tools/make_warc.py" in 6 60 5
crawl=CC-MAIN-2026-48 lies=crawl-data/CC-MAIN-2026-48/segments/1/warc
mkdir -p "www/$lies" logs tmp tls && mv in/*.gz "www/$lies/"
# One file that takes a while at a limited rate: many members, as archives have them.
for i in $(seq 50); do head -c 9000 /dev/urandom | gzip -1; done > "www/$lies/part-00006.warc.gz"
(cd www && find crawl-data -name '*.warc.gz' | LC_ALL=C sort) > all.paths
gzip -c all.paths > "www/crawl-data/$crawl/warc.paths.gz"
tail -n 1 all.paths > last.paths
(cd www && xargs cat < "$work/all.paths") > all.bytes

read -r http tls late other self <<< "$(python3 -c '
import socket
s = [socket.socket() for _ in range(5)]
[x.bind(("127.0.0.1", 0)) for x in s]
print(*[x.getsockname()[1] for x in s])')"
ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
cert() { # NAME SAN DAYS: signed by our own authority
    openssl req $ec -keyout "tls/$1.key" -out "tls/$1.csr" -subj "/CN=$1"
    openssl x509 -req -in "tls/$1.csr" -CA tls/ca.pem -CAkey tls/ca.key -CAcreateserial -days "$3" -out "tls/$1.pem" -extfile <(echo "subjectAltName=$2")
}
{
    openssl req -x509 $ec -keyout tls/ca.key -out tls/ca.pem -days 30 -subj /CN=authority
    openssl req -x509 $ec -keyout tls/self.key -out tls/self.pem -days 30 -subj /CN=self -addext subjectAltName=IP:127.0.0.1
    cert good IP:127.0.0.1 30; cert late IP:127.0.0.1 -1; cert other DNS:other.example 30
} > tls/log 2>&1
tls_server() { echo "server { listen 127.0.0.1:$1 ssl; ssl_certificate tls/$2.pem; ssl_certificate_key tls/$2.key; root www; location /down/ { return 302 http://127.0.0.1:$http/; } }"; }
cat > nginx.conf <<N
daemon on; pid nginx.pid; error_log logs/error.log; worker_processes 1;
$([ "$(id -u)" = 0 ] && echo "user root;")
events { worker_connections 256; }
http {
    log_format short '\$status \$request_uri \$http_range'; access_log logs/access.log short;
    client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f; uwsgi_temp_path tmp/u; scgi_temp_path tmp/s;
    limit_req_zone \$binary_remote_addr zone=few:1m rate=10r/s;
    server {
        listen 127.0.0.1:$http; root www;
        location /slow/ { alias www/; limit_rate 200k; }
        location /busy/ { alias www/; limit_req zone=few burst=1 nodelay; limit_req_status 503; add_header Retry-After 1 always; }
        location /norange/ { alias www/; max_ranges 0; limit_rate 200k; }
        location /gone/ { return 403; }
        location /locked/ { alias www/; auth_basic here; auth_basic_user_file pw; }
    }
    $(tls_server "$tls" good) $(tls_server "$late" late) $(tls_server "$other" other) $(tls_server "$self" self)
}
N
echo 'me:{PLAIN}hushhush' > pw; mkdir home; echo 'machine 127.0.0.1 login me password hushhush' > home/.netrc; chmod 600 home/.netrc
sed -i "s|pw;|$work/pw;|; s|\([ (]\)tls/|\1$work/tls/|g; s|root www|root $work/www|g; s|alias www/|alias $work/www/|g" nginx.conf
web() { nginx -p "$work" -c "$work/nginx.conf" -e "$work/logs/error.log"; }
web_ends() { [ -s nginx.pid ] && kill -KILL "$(cat nginx.pid)" $(pgrep -P "$(cat nginx.pid)") 2> /dev/null; rm -f nginx.pid; }
trap 'web_ends; rm -rf "$work"' EXIT
web || { bad nginx_starts "$(tail -n 2 logs/error.log)"; finish; }
url=http://127.0.0.1:$http
quick="--backoff_ms=100 --connect_ms=2000 --stall_ms=2000"
fetch() { "$sluice" crawl --crawl=$crawl $quick "$@"; }
landed() { (cd "$1" && xargs cat < "$work/all.paths") | cmp - all.bytes; }
ranges() { grep -c '^206 ' logs/access.log; }

check dry_run bash -c "'$sluice' crawl --crawl=$crawl --base=$url --cache=plan --dry-run > plan.out && grep -c missing plan.out | grep -qx 7 && [ ! -e plan/$lies ]"
check plain_mirror bash -c "'$sluice' crawl --crawl=$crawl --base=$url --cache=plain > plain.out 2> plain.err && [ \$(wc -l < plain.out) = 7 ]"
check plain_mirror_bytes landed plain
check file_mirror fetch --base="file://$work/www" --cache=local
check file_mirror_bytes landed local
check manifest_is_true python3 - <<'P'
import json, os
rows = {r["path"]: r for r in map(json.loads, open("plain/manifest.jsonl"))}
names = [l.strip() for l in open("all.paths")]
assert len(rows) == 8, len(rows)
for name in names:
    row = rows[name]
    assert row["bytes"] == os.path.getsize("www/" + name) and row["etag"] and row["last_modified"], row
    assert len(row["xxh3"]) == 32 and row["requests"] == 1
P
check json_summary bash -c "'$sluice' crawl --crawl=$crawl --base=$url --cache=plain --json 2> /dev/null | python3 -c 'import json,sys; d = json.load(sys.stdin); assert d[\"files\"] == 7 and d[\"fetched\"] == 0 and len(d[\"paths\"]) == 7'"
check secrets_are_not_noted bash -c "'$sluice' crawl --crawl=$crawl --base=http://me:hushhush@127.0.0.1:$http/ --cache=secret --json > secret.out 2>&1 && ! grep -rq hushhush secret secret.out"

check secrets_from_a_file bash -c "HOME=$work/home '$sluice' crawl --crawl=$crawl --base=$url/locked/ --cache=locked > locked.out 2>&1 && ! grep -rq hushhush locked locked.out"
check secrets_from_a_file_bytes landed locked
fetch --base=$url/locked/ --cache=unlocked > locked.out 2>&1; [ $? = 1 ] && grep -q '401.*netrc' locked.out && ok secrets_are_asked_for || bad secrets_are_asked_for "$(tail -n 1 locked.out)"
"$sluice" run "$here/tests/cli/read.toml" --set 'source.path=[]' --set source.crawl=$crawl --set source.base=http://me:hushhush@127.0.0.1:$http/ --run=secret.run > secret.out 2>&1; [ $? = 2 ] && grep -q 'source.base, .*netrc' secret.out && ! grep -rq hushhush secret.out secret.run 2> /dev/null && ok secrets_are_in_no_recipe || bad secrets_are_in_no_recipe "$(tail -n 1 secret.out)"

# More than the disk holds is told at the first answer, whose length the others have.
python3 - large.port <<'P' & large=$!
import gzip, http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "900000000000000"); self.end_headers(); self.wfile.write(gzip.compress(b"x"))
    def log_message(self, *args): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
open(sys.argv[1], "w").write(str(s.server_port))
s.serve_forever()
P
for _ in $(seq 100); do [ -s large.port ] && break; sleep 0.05; done
fetch --base=http://127.0.0.1:"$(cat large.port)"/ --paths=last.paths --cache=large --file_max=900T --retries=0 > large.out 2>&1
[ $? = 1 ] && grep -q 'warning: crawl: 1 files of 9e+05 GB.*free: take fewer' large.out && ok disk_is_weighed || bad disk_is_weighed "$(tail -n 2 large.out)"
grep -q 'GB free' plain.err && bad disk_is_large_enough "$(cat plain.err)" || ok disk_is_large_enough
kill $large; wait $large 2> /dev/null

# libcurl is loaded when something is fetched, and only then: one that lacks everything is noticed by who needs it.
mkdir nolib && echo 'int nothing;' | "${CC:-gcc}" -shared -fPIC -x c - -o nolib/libcurl.so.4
lacking() { LD_LIBRARY_PATH=$work/nolib "$sluice" "$@"; }
check starts_without_libcurl bash -c "! ldd '$sluice' | grep -q libcurl && LD_LIBRARY_PATH=nolib '$sluice' warc ls www/$lies/part-00000.warc.gz"
lacking crawl --crawl=$crawl --base=$url --cache=lacking > lacking.out 2>&1; rc=$?
[ $rc = 1 ] && grep -q 'libcurl.so.4 has no curl_global_init: install' lacking.out && ok lacking_libcurl_is_told || bad lacking_libcurl_is_told "exit $rc: $(tail -n 1 lacking.out)"

# The server dies in the middle of five downloads and comes back: a file goes on where it was, as does a stream; a stream
# that cannot (no ranges) says so, behind whole members; a download that was killed is gone on with by the next run.
slow=$url/slow/ last=$(cat last.paths)
one="--paths=last.paths --retries=20"
(fetch --base="$slow" --cache=dies $one > dies.out 2>&1; echo $? > dies.rc) &
(fetch --base="$slow" --cache=none1 $one --stdout 2> stream.err | cmp - "www/$last" > stream.cmp 2>&1; echo "${PIPESTATUS[@]}" > stream.rc) &
(fetch --base=$url/norange/ --cache=none2 $one --stdout > cut.gz 2> cut.err; echo $? > cut.rc) &
"$sluice" crawl --crawl=$crawl $quick --base="$slow" --cache=killed $one > killed.out 2>&1 & pid=$!
sleep 0.9; kill -KILL $pid; web_ends; sleep 0.2; had=$(stat -c %s "killed/$last.part" 2> /dev/null || echo 0); web; { wait; } 2> /dev/null
[ "$(cat dies.rc)" = 0 ] && [ "$(ranges)" -ge 1 ] && cmp -s "dies/$last" "www/$last" && ok server_dies_in_the_middle || bad server_dies_in_the_middle "$(tail -n 1 dies.out)"
[ "$(cat stream.rc)" = "0 0" ] && ok stream_goes_on_when_the_server_dies || bad stream_goes_on_when_the_server_dies "$(cat stream.rc) $(tail -n 1 stream.err)"
[ "$(cat cut.rc)" = 1 ] && grep -q 'stream is incomplete' cut.err && [ -s cut.gz ] && gzip -t cut.gz && head -c "$(stat -c %s cut.gz)" "www/$last" | cmp -s - cut.gz && ok stream_that_cannot_go_on_says_so || bad stream_that_cannot_go_on_says_so "exit $(cat cut.rc), $(stat -c %s cut.gz) bytes: $(tail -n 1 cut.err)"
[ "$had" -gt 0 ] && [ ! -e "killed/$last" ] && ok killed_leaves_no_whole_file || bad killed_leaves_no_whole_file "$had bytes in part"
check killed_is_taken_up fetch --base="$slow" --cache=killed --paths=last.paths
grep -q "^206 .* bytes=$had-" logs/access.log && cmp -s "killed/$last" "www/$last" && ok killed_resumes_by_range || bad killed_resumes_by_range "$(tail -n 1 logs/access.log)"
check busy_server fetch --base=$url/busy/ --cache=busy
landed busy && grep -q '^503 ' logs/access.log && ok busy_server_bytes || bad busy_server_bytes
fetch --base=$url/gone/ --cache=gone --retries=1 > gone.out 2>&1; [ $? = 1 ] && grep -q 403 gone.out && ok forbidden || bad forbidden "$(tail -n 1 gone.out)"

# TLS: only the server whose certificate holds is believed, and none leads us down to http.
fetch --base=https://127.0.0.1:"$tls" --ca_file=tls/ca.pem --cache=tls1 > tls.out 2>&1 && landed tls1 && ok tls_good || bad tls_good "$(tail -n 1 tls.out)"
refused() { # NAME PATTERN FLAGS...
    local name=$1 pattern=$2; shift 2
    fetch --retries=1 "$@" --cache="$name" > refused.out 2>&1
    local rc=$?
    if [ $rc = 1 ] && grep -Eq "$pattern" refused.out && [ -z "$(find "$name" -type f 2> /dev/null)" ]; then ok "$name"; else bad "$name" "exit $rc: $(tail -n 1 refused.out)"; fi
}
refused tls_unknown_authority 'not trusted.*authority of a mirror.*ca_file' --base=https://127.0.0.1:"$tls"
refused tls_expired 'not trusted.*expired' --base=https://127.0.0.1:"$late" --ca_file=tls/ca.pem
refused tls_wrong_host 'not trusted' --base=https://127.0.0.1:"$other" --ca_file=tls/ca.pem
refused tls_self_signed 'not trusted.*self' --base=https://127.0.0.1:"$self" --ca_file=tls/ca.pem
refused tls_down_to_http 'may not lead' --base=https://127.0.0.1:"$tls"/down/ --ca_file=tls/ca.pem

# Streams.
fetch --base=$url --cache=none --stdout 2> /dev/null | cmp -s - all.bytes && [ -z "$(find none -name 'part*')" ] && ok stream || bad stream
fetch --base=$url --cache=none --stdout 2> head.err | head -c 1000 > head.out; [ "${PIPESTATUS[0]}" = 0 ] && ok stream_into_head || bad stream_into_head "$(tail -n 1 head.err)"

# Into the extractor, as pages out of nothing but the pipe: the same texts as from the files.
head -n 6 all.paths > six.paths
fetch --base=$url --cache=none --paths=six.paths --stdout 2> /dev/null | "$sluice" extract - > piped.jsonl 2> piped.err
(cd plain && xargs "$sluice" extract < ../six.paths) > files.jsonl 2> files.err
check stream_into_extract python3 - <<'P'
import json
piped, files = ([(p.get("url"), p.get("text")) for p in map(json.loads, open(f))] for f in ("piped.jsonl", "files.jsonl"))
assert len(piped) == 360 and piped == files, (len(piped), len(files))
P

# A run within a bound on the disk: the same bytes as with the whole cache, also when it is killed twice.
sed '/^path = /d' "$here/tests/cli/read.toml" > read.toml
run() { "$sluice" run read.toml --set source.base=$url/ --set source.paths=six.paths --set source.backoff_ms=100 --threads=1 "$@"; }
sums() { (cd "$1" && find corpus ledger tokenizer store/data.mdb -type f | LC_ALL=C sort | xargs sha256sum); }
bound=163840
check run_with_whole_cache run --set source.cache=whole --run=whole.run
watch() { while [ ! -e watch.end ]; do find "$1" \( -name 'part*' \) -printf '%s\n' 2> /dev/null | awk '{ s += $1 } END { print s + 0 }' >> watch.sizes; done; }
watch bounded & watcher=$!
bounded="$sluice run read.toml --set source.base=$slow --set source.paths=six.paths --set source.cache=bounded --set source.cache_max=$bound --threads=1 --run=bounded.run"
# Killed and waited for: the lock of a process goes with its last breath, not with the signal.
for i in 1 2; do { $bounded & victim=$!; sleep 0.$((2 * i)); kill -KILL $victim; wait $victim; } > /dev/null 2>&1; done
$bounded > bounded.log 2>&1; rc=$?
touch watch.end; wait $watcher
[ $rc = 0 ] && ok run_with_bounded_cache || bad run_with_bounded_cache "exit $rc: $(tail -n 1 bounded.log)"
sums whole.run > whole.sums; sums bounded.run > bounded.sums
[ -s whole.sums ] && cmp -s whole.sums bounded.sums && ok same_bytes_with_bounded_cache || bad same_bytes_with_bounded_cache "$(diff whole.sums bounded.sums | head -n 3)"
most=$(sort -n watch.sizes | tail -n 1)
[ "$most" -gt 0 ] && [ "$most" -le $bound ] && [ -z "$(find bounded -name 'part*')" ] && ok bounded_cache_keeps_its_bound || bad bounded_cache_keeps_its_bound "$most bytes of $bound; left: $(find bounded -name 'part*')"
finish
