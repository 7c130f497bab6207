#!/usr/bin/env bash
# s3:// as people use it, against a server that checks signatures; and the secrets: in no file, no output, no process list,
# no core dump.
. "$(dirname "$0")/common.sh"
id=AKIDEXAMPLE secret=wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY token=FwoGZXIvYXdzEBYaD+very/secret/session==
python3 "$here/tests/tools/make_warc.py" "$work/in" 2 30 4
store=$work/store
mkdir -p "$store/files/crawl-data/CC-MAIN-TEST/x+y=1"
n=0
for f in "$work"/in/*.warc.gz; do
    cp "$f" "$store/files/crawl-data/CC-MAIN-TEST/x+y=1/$n.warc.gz"
    echo "crawl-data/CC-MAIN-TEST/x+y=1/$n.warc.gz"; n=$((n + 1))
done | gzip > "$store/files/crawl-data/CC-MAIN-TEST/warc.paths.gz"
printf '%s %s %s\n' "$id" "$secret" "$token" > "$store/credentials"
for f in "$work"/in/*.warc.gz; do
    printf 'list %s %s\n' "$(basename "$f" | tr -d '\n' | od -An -tx1 | tr -d ' \n')" "$(stat -c %s "$f")"
done > "$store/keys"
mkfifo "$work/stop"
python3 "$here/tests/tools/fake_s3.py" "$store" < "$work/stop" > "$work/port" &
exec 9> "$work/stop" # closed with this shell: then the server ends
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
unset AWS_PROFILE AWS_REGION AWS_DEFAULT_REGION http_proxy https_proxy
export SLUICE_MODELS=${SLUICE_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/models}
export AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token HOME=$work
export AWS_ENDPOINT_URL=http://127.0.0.1:$(cat "$work/port")
mkdir "$work/seen"; cd "$work/seen" || exit 1

"$sluice" crawl --base=s3://files-b/ --crawl=CC-MAIN-TEST --cache=cache > list.out 2> list.err; rc=$?
[ $rc = 0 ] && [ "$(wc -l < list.out)" = 2 ] && ok s3_crawl || bad s3_crawl "$rc $(tail -n 1 list.err)"
[ "$(cat "$work"/in/*.warc.gz | sha256sum)" = "$(tr '\n' '\0' < list.out | xargs -0 cat | sha256sum)" ] && ok s3_bytes || bad s3_bytes
before=$(wc -l < "$store/log")
"$sluice" crawl --base=s3://files-b/ --crawl=CC-MAIN-TEST --cache=cache > again.out 2> again.err
[ "$before" = "$(wc -l < "$store/log")" ] && cmp -s list.out again.out && ok s3_not_fetched_twice || bad s3_not_fetched_twice "$(tail -n 2 "$store/log")"
"$sluice" crawl --base=s3://files-b/ --crawl=CC-MAIN-TEST --stdout > stream.out 2> stream.err
cat "$work"/in/*.warc.gz | cmp -s - stream.out && ok s3_stream || bad s3_stream "$(tail -n 1 stream.err)"
"$sluice" crawl s3://files-b/crawl-data/CC-MAIN-TEST/x+y=1/0.warc.gz --cache=one > one.out 2> one.err
cmp -s "$(cat one.out)" "$work/in/part-00000.warc.gz" && ok s3_one_url || bad s3_one_url "$(tail -n 1 one.err)"
"$sluice" crawl --dry-run s3://list/ --cache=dry > dry.out 2> dry.err
[ "$(grep -c 'missing  s3://list/part-0000[01].warc.gz' dry.out)" = 2 ] && ok s3_prefix_listed || bad s3_prefix_listed "$(cat dry.err dry.out)"

# What goes wrong is said, with the server's reason and without ours.
AWS_SECRET_ACCESS_KEY=${secret}x "$sluice" crawl s3://files-b/x --cache=wrong --retries=1 > wrong.out 2> wrong.err; rc=$?
[ $rc = 1 ] && grep -q 'SignatureDoesNotMatch.*request 4442587FB7D0A2F9' wrong.err && ok s3_wrong_secret || bad s3_wrong_secret "$rc $(cat wrong.err)"
"$sluice" crawl s3://denied/x --cache=denied > denied.out 2> denied.err; rc=$?
[ $rc = 1 ] && grep -q 'AccessDenied' denied.err && ok s3_denied || bad s3_denied "$rc $(cat denied.err)"
(unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY; "$sluice" crawl s3://files-b/x --cache=none > none.out 2> none.err); rc=$?
[ $rc = 2 ] && grep -q 's3_anonymous' none.err && ok s3_no_keys || bad s3_no_keys "$rc $(cat none.err)"
"$sluice" run "$here/tests/cli/small.toml" --set source.path=s3://list/ --run=run --dry-run > recipe.out 2> recipe.err
grep -q 's3://list/' recipe.out && ok s3_recipe || bad s3_recipe "$(tail -n 1 recipe.err)"

# A run over URLs is the run over the files.
if model_here; then
    names='"s3://files-b/crawl-data/CC-MAIN-TEST/x+y=1/0.warc.gz","s3://files-b/crawl-data/CC-MAIN-TEST/x+y=1/1.warc.gz"'
    "$sluice" run "$here/tests/cli/small.toml" --set source.path="[$names]" --set source.cache=run-cache --run=far > far.out 2> far.err
    "$sluice" run "$here/tests/cli/small.toml" --set source.path="$store/files/crawl-data/CC-MAIN-TEST/x+y=1" --run=near > near.out 2> near.err
    [ -s far/store/data.mdb ] && cmp -s far/store/data.mdb near/store/data.mdb && cmp -s far/train/train.jsonl near/train/train.jsonl && ok s3_run || bad s3_run "$(tail -n 1 far.err)"
else skip s3_run "lid.176.ftz is not in the cache (make deps)"; fi

# In the middle of a transfer: the process list, and a core dump. With lasting keys there is one, without the secret (the
# stack of the first thread holds the environment: its pages are left out); with a session token there is none.
ulimit -c unlimited 2> /dev/null
printf '%s %s\nASIATEMPORARY %s %s\n' "$id" "$secret" "$secret" "$token" > "$store/credentials"
in_core() { # FILE TEXT: looks at what is on disk of a file that is mostly holes
    python3 - "$@" <<'PY'
import os, sys
fd, text, at = os.open(sys.argv[1], os.O_RDONLY), sys.argv[2].encode(), 0
end = os.fstat(fd).st_size
while at < end:
    try:
        at = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    stop = os.lseek(fd, at, os.SEEK_HOLE)
    if text in os.pread(fd, stop - at, at):
        sys.exit(0)
    at = stop
sys.exit(1)
PY
}
interrupted() { # NAME: aborts a crawl while its file is on the way; leaves core.NAME
    mkdir "core.$1"; : > "$store/log"
    (cd "core.$1" && exec "$sluice" crawl s3://filesstall/crawl-data/CC-MAIN-TEST/x+y=1/0.warc.gz --cache="../stall.$1" > "../stall.$1.out" 2> "../stall.$1.err") &
    local pid=$!
    for _ in $(seq 100); do grep -q Stall "$store/log" && break; sleep 0.1; done
    sleep 0.3
    tr '\0' ' ' < "/proc/$pid/cmdline" > "cmdline.$1"
    grep -q filesstall "cmdline.$1" && ok "s3_process_is_there_$1" || bad "s3_process_is_there_$1" "$(cat "stall.$1.err")"
    kill -ABRT $pid 2> /dev/null; wait $pid 2> /dev/null
    found=$(find "core.$1" -type f -size +0 | head -n 1)
}
(unset AWS_SESSION_TOKEN; interrupted lasting
 [ -z "$found" ] && { skip s3_secret_not_in_core "no core dump is written here"; exit 3; }
 in_core "$found" "$secret" && { bad s3_secret_in_core; exit 1; }
 in_core "$found" filesstall || { bad s3_core_is_one "$(file "$found" 2>&1)"; exit 1; }
 rm -f "$found"; exit 0); rc=$?
case $rc in
0) ok s3_secret_not_in_core
   AWS_ACCESS_KEY_ID=ASIATEMPORARY interrupted token
   [ -z "$found" ] && ok s3_token_not_in_core || bad s3_token_in_core "$found"; rm -f "$found" ;;
3) skip s3_secret_not_in_core "no core dump is written here" ;;
*) bad s3_secret_in_core ;;
esac
if grep -rqF -e "$secret" -e "$token" -e "${secret}x" "$work/seen"; then bad s3_secrets_seen "$(grep -rlF -e "$secret" -e "$token" "$work/seen" | head -n 3)"; else ok s3_secrets_nowhere; fi
grep -rqF -e "$id" -e ASIATEMPORARY "$work/seen" && bad s3_key_id_seen "$(grep -rlF "$id" "$work/seen" | head -n 3)" || ok s3_key_id_nowhere
finish
