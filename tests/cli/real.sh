#!/usr/bin/env bash
# Real pages and odd archives of ../shared/data, where they are: every record accounted for, nothing crashes.
. "$(dirname "$0")/common.sh"
data=${SLUICE_DATA:-$here/../shared/data}
model_here || { skip real "lid.176.ftz is not in the cache (make deps)"; finish; }
[ -d "$data" ] || { skip real "no real data at $data"; finish; }
run() { (cd "$work" && "$sluice" run "$here/recipes/warc.toml" "$@" --set train.steps=4 --set train.warmup_steps=1 --set train.anneal_steps=2 --set tokenizer.vocab_size=1024 \
    --set model.layers=1 --set model.width=32 --set model.hidden=64 --set model.heads=2 --set model.kv_heads=1); }
check run_on_448_real_pages bash -c "$(declare -f run); work='$work' sluice='$sluice' here='$here'; run --set source.path='$data/html/wcxb-dev.warc.gz' --run=r --json > '$work/r.json'"
check every_page_has_a_row python3 - "$work/r.json" <<'P'
import json, sys
r = json.load(open(sys.argv[1]))
assert r["in"] == 448, r["in"]
assert r["in"] == r["kept"] + r["heldout"] + sum(r["dropped"].values()), r
assert 100 < r["kept"] < 400 and r["tokens"] > 100000, r
P
# The same pages three times over: memory does not grow with the input, and stays far under the budget's floor.
check warc_pass_stays_under_300_MB python3 - "$sluice" "$here/tests/cli/read.toml" "$data/html/wcxb-dev.warc.gz" "$work" <<'P'
import os, resource, shutil, subprocess, sys
sluice, recipe, warc, work = sys.argv[1:]
os.makedirs(f"{work}/three")
for n in range(3):
    shutil.copy(warc, f"{work}/three/{n}.warc.gz")
subprocess.run([sluice, "run", recipe, "--set", f"source.path={work}/three", f"--run={work}/m", "--threads=4", "--memory=280M"],
               check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
print(f"{peak} MB")
assert peak < 300, peak
P
# Archives of readers' test suites: each runs to a verdict, none ends by a signal or hangs.
mkdir "$work/odd"
crashed=; ran=0
for f in "$data"/warc/odd/*.warc* "$data"/warc/odd/*.arc* "$data"/warc/cc/*; do
    timeout 20 "$sluice" run "$here/tests/cli/read.toml" --set source.path="$f" --run="$work/odd/r" > "$work/odd.log" 2>&1; rc=$?
    case $rc in 0|2|3|4) ;; *) crashed="$crashed $(basename "$f"):$rc" ;; esac
    ran=$((ran + 1)); rm -rf "$work/odd/r"
done
if [ -z "$crashed" ] && [ $ran -gt 100 ]; then ok "${ran}_odd_archives_end_with_a_verdict"; else bad odd_archives "$ran ran;$crashed"; fi
finish
