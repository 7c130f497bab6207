#!/usr/bin/env bash
# `sluice store append|remove`: another run's documents into a store and documents out of it, killed, done again, rebuilt.
. "$(dirname "$0")/common.sh"
model_here || { skip store_change "lid.176.ftz is not in the cache (make deps)"; finish; }
cd "$work"
python3 "$here/tests/tools/make_warc.py" in 2 60 33
python3 "$here/tests/tools/make_warc.py" in2 1 60 77
recipe() { # FOLDER INPUT...: a run that ends at its eval, with few steps
    local run=$1 source=$2; shift 2
    "$sluice" run "$here/tests/cli/small.toml" --set source.path="$source" --set train.steps=4 --set train.anneal_steps=1 "$@" --run="$run" > log 2>&1 ||
        { bad "store_change_run_$run" "$(tail -n 2 log)"; finish; }
}
recipe r in
recipe r2 in2 --set tokenizer.path=r/tokenizer/tokenizer.json
field() { # FILE KEY
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"
}
jsonl() { "$sluice" store export --run="$1" --format=jsonl --out=- 2>> log; }
lines() { wc -l < "$1"; }
refused() { # NAME EXIT TEXT COMMAND...
    local name=$1 want=$2 text=$3 rc; shift 3
    "$@" > refused.out 2>&1; rc=$?
    if [ $rc = "$want" ] && grep -qF -- "$text" refused.out; then ok "$name"; else bad "$name" "exit $rc: $(tail -n 1 refused.out)"; fi
}
jsonl r > r.jsonl; jsonl r2 > r2.jsonl
cp -r r whole

# ---- append ----
refused store_append_of_nothing 2 "--from=DIR is missing" "$sluice" store append --run=r
refused store_append_to_nothing 2 "name the folder of a run" "$sluice" store append --run=none --from=r2
refused store_append_itself 2 "hold the same documents" "$sluice" store append --run=r --from=r
check store_append "$sluice" store append --run=r --from=r2
check store_append_verifies "$sluice" store verify --run=r
jsonl r > both.jsonl
check store_append_has_both [ "$(lines both.jsonl)" = "$(($(lines r.jsonl) + $(lines r2.jsonl)))" ]
cat > both.py <<'PY'
"""Texts and pages of both runs, each found in the ledger of its own."""
import json
read = lambda path: [json.loads(line) for line in open(path)]
key = lambda line: (line["id"], line["text"], line["url"])
assert sorted(map(key, read("both.jsonl"))) == sorted(map(key, read("r.jsonl") + read("r2.jsonl")))
PY
check store_append_texts_and_pages python3 both.py
refused store_append_twice 2 "was appended to r before" "$sluice" store append --run=r --from=r2
check store_append_log grep -q '"change":"append","state":"done"' r/changes.jsonl
# The run knows its store as it is now: nothing is done again.
cp r/store/data.mdb before.mdb
recipe r in
check store_append_run_is_done cmp r/store/data.mdb before.mdb
"$sluice" store ls --run=r > ls.out 2>> log
check store_append_ls grep -q "are those of $work/r2" ls.out

# What the model saw is not what the store would give now, and trace says so.
"$sluice" store trace --run=whole --step=2 --json > trace.was 2> trace.err
check store_trace_is_quiet_on_a_store_as_trained [ ! -s trace.err ]
"$sluice" store trace --run=r --step=2 --json > trace.now 2> trace.err
check store_trace_says_the_store_changed bash -c "grep -q 'store was changed since r was trained' trace.err && [ \$(grep -c '\"store_changed\":true' trace.now) = \$(wc -l < trace.now) ] && ! grep -q store_changed trace.was"

python3 -c 'import json; line = json.loads(open("r2.jsonl").readline()); print(line["text"][:80].replace("\n", " ")); print(line["url"])' > theirs.txt
"$sluice" store find --run=r "$(head -n 1 theirs.txt)" > find.out 2>> log
check store_append_find_says_the_page grep -qF "$(tail -n 1 theirs.txt)" find.out

# ---- remove ----
python3 - <<'PY'
import json
lines = [json.loads(line) for line in open("both.jsonl")]
out = lines[::5]
open("ids.txt", "w").write("".join(line["id"] + "\n" for line in out[::2]))
open("ids.jsonl", "w").write("".join(json.dumps({"id": line["id"], "why": "asked"}) + "\n" for line in out[1::2]))
open("unknown.txt", "w").write("00000000deadbeef\n" + out[0]["id"] + "\n")
open("left.txt", "w").write("".join(sorted(line["id"] + "\n" for line in lines if line["id"] not in {o["id"] for o in out})))
PY
refused store_remove_of_nothing 2 "--ids=FILE is missing" "$sluice" store remove --run=r
echo 123 > short.txt
refused store_remove_bad_id 3 'short.txt: line 1: "123" is no id' "$sluice" store remove --run=r --ids=short.txt
check store_remove "$sluice" store remove --run=r --ids=ids.txt
cp check.out remove.out
check store_remove_proof grep -q "proof: all $(lines ids.txt) documents ever removed read back as" remove.out
check store_remove_jsonl "$sluice" store remove --run=r --ids=- < ids.jsonl
"$sluice" store remove --run=r --ids=unknown.txt > unknown.out 2>> log
check store_remove_unknown grep -q "unknown: 00000000deadbeef" unknown.out
check store_remove_unknown_is_one [ "$(grep -c unknown: unknown.out)" = 1 ]
check store_remove_verifies "$sluice" store verify --run=r
jsonl r | python3 -c 'import json, sys; print("".join(sorted(json.loads(line)["id"] + "\n" for line in sys.stdin)), end="")' > have.txt
check store_remove_left_the_others cmp have.txt left.txt
word=$(python3 -c 'import json; lines = [json.loads(line) for line in open("both.jsonl")]; print(lines[0]["text"][:200].replace("\n", " ")[:60])')
"$sluice" store find --run=r "$word" > find.out 2>> log
gone=$(head -n 1 ids.txt)
check store_remove_find_finds_nothing bash -c "! grep -q $gone find.out"
identity() { cp "$1/store/data.mdb" "$2"; "$sluice" store export --run="$1" --format=megatron --out="$2.out" >> log 2>&1; cat "$2".out/* | sha256sum; }
want=$(identity r grown)

check store_json_counts_what_is_left [ "$(field r/store.json tokens)" = "$("$sluice" store ls --run=r --json 2>> log | python3 -c 'import json, sys; print(sum(d["tokens"] - d["removed_tokens"] for d in json.load(sys.stdin)["domains"]))')" ]

# ---- the store built again from RUN/tokens gets all of it again ----
rm r/done/store/00000.json
recipe r in
same=$(identity r again)
check store_rebuilt_is_the_same [ "$want" = "$same" ]
check store_rebuilt_verifies "$sluice" store verify --run=r
mv r2 elsewhere
rm r/done/store/00000.json
"$sluice" run "$here/tests/cli/small.toml" --set source.path=in --set train.steps=4 --set train.anneal_steps=1 --run=r > log 2>&1
check store_rebuilt_needs_what_was_appended grep -q "changes of r: store: open $work/r2" log
mv elsewhere r2
recipe r in

# ---- what was removed does not come back with an append ----
head -n 1 r2.jsonl | python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["id"])' > one.txt
check store_remove_before_append "$sluice" store remove --run=whole --ids=one.txt
"$sluice" store append --run=whole --from=r2 > left.out 2>> log
check store_append_leaves_removed_out grep -q "; 1 were left out" left.out

# ---- kills ----
killed=0
for i in 1 2 3 4 5 6 7 8; do
    rm -rf k; cp -r whole k
    (sleep "0.00$((i * 4))"; exec "$sluice" store remove --run=k --ids=ids.txt > /dev/null 2>&1) & pid=$!
    sleep "0.0$((10 + i * 3))"; kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null || killed=$((killed + 1))
    "$sluice" store remove --run=k --ids=ids.txt > k.out 2>> log || bad "store_killed_$i" "$(tail -n 1 log)"
    "$sluice" store verify --run=k > /dev/null 2>> log || bad "store_killed_verify_$i" "$(tail -n 1 log)"
    grep -q "proof: all" k.out || bad "store_killed_proof_$i" "$(cat k.out)"
done
# The same with `sluice run` instead: it builds the store again from RUN/tokens and carries the removal out.
rm -rf k; cp -r whole k
"$sluice" store remove --run=k --ids=ids.txt > /dev/null 2>&1 & pid=$!
for i in $(seq 200); do [ -s k/changes.jsonl ] && grep -q begun k/changes.jsonl && break; sleep 0.001; done
kill -9 $pid 2> /dev/null; wait $pid 2> /dev/null
recipe k in
"$sluice" store ls --run=k --json > k.json 2>> log
jsonl k | python3 -c 'import json, sys; print("".join(json.loads(line)["id"] + "\n" for line in sys.stdin), end="")' > k.ids
if grep -q '"state":"begun"' k/changes.jsonl; then # killed so early or late that the file is as the manifest says
    "$sluice" store remove --run=k --ids=ids.txt > /dev/null 2>> log
    jsonl k | python3 -c 'import json, sys; print("".join(json.loads(line)["id"] + "\n" for line in sys.stdin), end="")' > k.ids
fi
check store_killed_then_run bash -c "! grep -qFf ids.txt k.ids && [ -s k.ids ]"
check store_killed_then_run_verifies "$sluice" store verify --run=k
check store_killed_some [ $killed -gt 0 ]

# ---- two at once, and readers ----
python3 - "$sluice" <<'PY' > two.out 2>&1
"""One holds the store open in Python's name: a shared flock, as readers have; and RUN/lock, as a run has."""
import fcntl, subprocess, sys
def remove():
    return subprocess.run([sys.argv[1], "store", "remove", "--run=r", "--ids=ids.txt"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
import os
with open("r/store/data.mdb") as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    done = remove()
    assert done.returncode == 75 and f"is being read by process {os.getpid()}" in done.stdout, done.stdout
with open("r/lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    done = remove()
    assert done.returncode == 75 and "is in use by another sluice" in done.stdout, done.stdout
with open("r/store.lock", "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write("process 12 on here (sluice something)\n"); file.flush()
    done = remove()
    assert done.returncode == 75 and "is being written by process 12 on here (sluice something)" in done.stdout, done.stdout
assert remove().returncode == 0
PY
check store_locks [ $? = 0 ]
grep -q . two.out && tail -n 3 two.out
finish
