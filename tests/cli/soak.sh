#!/usr/bin/env bash
# soak.sh [MINUTES]: downloads and a focused crawl, side by side, from a server of which three answers in ten fail. What is
# asked: everything arrives byte for byte, with at most 1.6 times the requests of a server that never fails, and memory,
# descriptors and files stay as they were. Not in `make test`: `make check` runs two minutes of it. SOAK_LOG keeps the samples.
. "$(dirname "$0")/common.sh"
minutes=${1:-2}
cd "$work" || exit 1
seconds=$((minutes * 60)) files=$((seconds * 7)) pages=$((seconds * 4))
limit=$((seconds * 4 + 120)) # all is slower on a busy machine, where each answer takes its time
python3 "$here/tests/tools/flaky_server.py" counts 0.3 --pages=$pages > port & server=$!
trap 'kill $server $one $two 2> /dev/null; rm -rf "$work"' EXIT
one='' two=''
for _ in $(seq 100); do [ -s port ] && break; sleep 0.1; done
port=$(cat port)
seq 0 $((files - 1)) | sed 's|.*|f/&.gz|' > paths
# Of so many failures the rate falls to its floor, a sixteenth of what is asked for: some 19 requests a second.
"$sluice" crawl --base="http://127.0.0.1:$port/" --paths=paths --cache=got --connections=32 --requests_per_s=300 --retries=30 \
    --backoff_ms=100 --stall_ms=1000 > one.out 2> one.err & one=$!
for i in $(seq 0 19); do echo "http://h$i.test/p/$i"; done > seeds
"$sluice" crawl --seeds=seeds --out=web --user_agent='soak (soak@example.org)' --allow_private --connect_to="::127.0.0.1:$port" \
    --scope=host --depth=100 --delay=3 --delay_factor=0 --page_retries=30 --page_s=60 --stall_ms=1000 --backoff_ms=100 --connections=32 \
    --pattern_max=0 --requests_per_s=160 --address_connections=0 > two.out 2> two.err & two=$!
log=${SOAK_LOG:-samples}
python3 - "$one" "$two" "$limit" > "$log" <<'P'
import os, sys, time
pids, until, begin = [int(p) for p in sys.argv[1:3]], time.monotonic() + int(sys.argv[3]), time.monotonic()
print("seconds\tpid\tKiB\tdescriptors\tCPU_s", flush=True)
while pids and time.monotonic() < until:
    for pid in list(pids):
        try:
            stat = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            if stat[0] == "Z":
                raise OSError
            fds = len(os.listdir(f"/proc/{pid}/fd"))
            print(f"{time.monotonic() - begin:.0f}\t{pid}\t{int(stat[21]) * 4}\t{fds}\t{(int(stat[11]) + int(stat[12])) / 100}", flush=True)
        except OSError:
            pids.remove(pid)
    time.sleep(5)
P
kill -0 $one 2> /dev/null && bad downloads_end "still running after $limit s"
kill -0 $two 2> /dev/null && bad crawl_ends "still running after $limit s"
kill $one $two 2> /dev/null
wait $one; one_rc=$?
wait $two; two_rc=$?
kill $server; wait $server
check downloads_succeed test $one_rc = 0
check crawl_succeeds test $two_rc = 0
check every_file_byte_for_byte python3 - "$here" "$files" <<'P'
import importlib.util, os, sys
sys.argv, files, here = ["", "log", "0"], int(sys.argv[2]), sys.argv[1]
spec = importlib.util.spec_from_file_location("flaky", here + "/tests/tools/flaky_server.py")
flaky = importlib.util.module_from_spec(spec); spec.loader.exec_module(flaky)
for n in range(files):
    assert open(f"got/f/{n}.gz", "rb").read() == flaky.FILES[n % 64], n
left = [f for d, _, fs in os.walk("got") for f in fs if not f.endswith(".gz") and not f.startswith("manifest.")]
assert not left, left[:5]
P
check archive_is_sound "$sluice" warc check web/*.warc.gz
"$sluice" warc ls web/*.warc.gz > pages.ls
check every_page_archived bash -c "[ \$(grep -oE 'http://h[0-9]+\.test/p/[0-9]+' pages.ls | sort -u | wc -l) = $pages ]"
check steady python3 - "$log" counts one.err two.err "$files" "$pages" <<'P'
import json, sys
rows = [l.split() for l in open(sys.argv[1])][1:]
c = json.load(open(sys.argv[2]))
files, pages = int(sys.argv[5]), int(sys.argv[6])
for pid in sorted({r[1] for r in rows}):
    mine = [r for r in rows if r[1] == pid]
    kib, fds = [int(r[2]) for r in mine], [int(r[3]) for r in mine]
    n = len(kib) // 4
    print(f"pid {pid}: {mine[-1][0]} s, KiB {kib[min(n, 3)]} -> {kib[-1]} (most {max(kib)}), descriptors most {max(fds)}, CPU {mine[-1][4]} s")
    assert max(kib[3 * n:]) < max(kib[n:2 * n]) * 1.1 + 2048, "memory grows"
    assert max(fds[3 * n:]) <= max(fds[:3 * n]) + 4, "descriptors grow"
print(c)
assert c["files"] <= 1.6 * files, "requests for files"
P
cat check.out
[ -n "${SOAK_KEEP:-}" ] && cp -r web pages.ls "$SOAK_KEEP"
finish
