#!/usr/bin/env bash
# kill -9 at random moments of the pipeline and of training, then the same command: the same bytes, little redone.
#   kill.sh [KILLS] [SEED]
. "$(dirname "$0")/common.sh"
kills=${1:-50}
RANDOM=${2:-1}
model_here || { skip kill "lid.176.ftz is not in the cache (make deps)"; finish; }
python3 "$here/tests/tools/make_warc.py" "$work/in" 6 60 12
launch() { cd "$work" && exec "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run="$1" --threads=2 > "$work/run.log" 2>&1; }
run() { (launch "$1"); }
# Manifests of finished units, as files: a unit that is done again has another one.
finished() { find "$work/victim" -path '*/done/*' -name '*.json' -printf '%P %i %T@\n' 2>/dev/null | LC_ALL=C sort; }
begin=$(date +%s%N)
check undisturbed run whole
[ "$failed" = 0 ] || { tail -n 3 "$work/run.log"; finish; }
span=$(( ($(date +%s%N) - begin) / 1000000 ))
outputs "$work/whole" > "$work/whole.sum"
done_kills=0 rounds=0 redone=0
: > "$work/before"
while [ "$done_kills" -lt "$kills" ]; do
    (launch victim) & pid=$!
    after=$(( (RANDOM * 32768 + RANDOM) % (span / 3 + 30) ))
    sleep "$(printf '%d.%03d' $((after / 1000)) $((after % 1000)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null; rc=$?
    finished > "$work/after"
    redone=$((redone + $(LC_ALL=C comm -23 "$work/before" "$work/after" | wc -l)))
    if [ $rc = 137 ]; then
        done_kills=$((done_kills + 1))
        mv "$work/after" "$work/before"
        continue
    fi
    if [ $rc != 0 ]; then bad "run after a kill" "exit $rc: $(tail -n 2 "$work/run.log")"; break; fi
    rounds=$((rounds + 1))
    outputs "$work/victim" > "$work/victim.sum"
    cmp -s "$work/whole.sum" "$work/victim.sum" || bad "same_bytes_round_$rounds" "$(diff "$work/whole.sum" "$work/victim.sum" | head -n 4)"
    rm -rf "$work/victim"
    : > "$work/before"
done
if [ $redone = 0 ]; then ok no_finished_unit_is_done_again; else bad no_finished_unit_is_done_again "$redone were"; fi
check finishes_after_the_last_kill run victim
outputs "$work/victim" > "$work/victim.sum"
if cmp -s "$work/whole.sum" "$work/victim.sum"; then ok "same_bytes_after_${done_kills}_kills"; else bad "same_bytes_after_${done_kills}_kills" "$(diff "$work/whole.sum" "$work/victim.sum" | head -n 4)"; fi
left=$(find "$work/victim" -name '*.tmp-*' | head -n 3)
if [ -z "$left" ]; then ok no_temporary_files_left; else bad no_temporary_files_left "$left"; fi
# What is done stays done: deleting one manifest redoes that unit alone.
touch -d '2020-01-01' "$work"/victim/spool/*.zst && rm "$work/victim/done/pass1/00002.json" && run victim
redone=$(find "$work/victim/spool" -newermt '2021-01-01' | grep -c zst)
if [ "$redone" = 1 ]; then ok one_missing_unit_is_redone_alone; else bad one_missing_unit_is_redone_alone "$redone units were redone"; fi
finish
