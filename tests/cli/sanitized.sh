#!/usr/bin/env bash
# Every command of a sanitizer's build, with threads, on a small web: exit code 0 and no report.
#   SLUICE=$PWD/build-asan/sluice sanitized.sh [odd]     odd: also each archive of the readers' test suites
. "$(dirname "$0")/common.sh"
model_here || { skip sanitized "lid.176.ftz is not in the cache (make deps)"; finish; }
python3 "$here/tests/tools/make_warc.py" "$work/in" 7 60 11
clean() { # COMMAND...: succeeds, and no sanitizer has a word to say
    (cd "$work" && "$@") > "$work/clean.out" 2>&1 || { grep -m 1 -A 30 -E 'Sanitizer|runtime error|sluice: error' "$work/clean.out"; return 1; }
    ! grep -m 1 -A 30 -E 'Sanitizer|runtime error' "$work/clean.out"
}
check run_with_4_threads clean "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run=r --threads=4
check run_again_does_nothing clean "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run=r --threads=4
check status clean "$sluice" status --run=r
check why clean "$sluice" why --run=r '*' --limit=5
check report clean "$sluice" report --run=r
check generate clean "$sluice" generate --model=r/train/model --prompt=The --tokens=16
if [ "${1:-}" != odd ]; then
    finish
elif [ -d "${SLUICE_DATA:-$here/../shared/data}/warc/odd" ]; then
    odd=; ran=0
    for f in "${SLUICE_DATA:-$here/../shared/data}"/warc/odd/*.{warc,arc}*; do
        (cd "$work" && timeout 60 "$sluice" run "$here/tests/cli/read.toml" --set source.path="$f" --run=odd --threads=2) > "$work/odd.log" 2>&1; rc=$?
        case $rc in 0|2|3|4) grep -qE 'Sanitizer|runtime error' "$work/odd.log" && odd="$odd $(basename "$f")" ;; *) odd="$odd $(basename "$f"):$rc" ;; esac
        ran=$((ran + 1)); rm -rf "$work/odd"
    done
    if [ -z "$odd" ] && [ $ran -gt 50 ]; then ok "${ran}_odd_archives"; else bad odd_archives "$ran ran;$odd"; fi
else
    skip odd_archives "no real data here"
fi
finish
