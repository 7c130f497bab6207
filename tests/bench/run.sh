#!/usr/bin/env bash
# Figures of this program alone, for docs/SPEED.md: CPU seconds of one core, the best of three repetitions (of one,
# once 90 s have passed), so that a shared machine disturbs them little. Real pages of ../shared/data where they are, made ones elsewhere; what
# cannot be measured here is counted as skipped. BUILD, SLUICE_DATA and CORE (which core) may be set.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build} data=${SLUICE_DATA:-../shared/data}
work=$(mktemp -d /tmp/sluice-bench-XXXXXX)
trap 'rm -rf "$work"' EXIT
measured=0 skipped=0
pin=(); command -v taskset > /dev/null && pin=(taskset -c "${CORE:-$(($(nproc) - 1))}")
"${MAKE:-make}" --no-print-directory -s -f tests/bench/bench.mk BUILD="$build" "$build/sluice" "$build/bench"

skip() { skipped=$((skipped + 1)); echo "  skipped $1: $2"; }
line() { measured=$((measured + 1)); printf '  %-34s %12s %-8s %9.3f %9.3f %16s %12s\n' "$@"; }
head_line() { printf '\n%s\n  %-34s %12s %-8s %9s %9s %16s %12s\n' "$1" what amount "" "CPU s" "wall s" "per CPU second" ""; }
# Rows of the measuring program, best of three: count by unit, and megabytes where they are known.
rows() { # SUBJECT ARGUMENT...
    local i repeats="1 2 3"
    [ $SECONDS -lt 90 ] || repeats=1 # the machine is slow or busy: this must end within five minutes
    for i in $repeats; do "${pin[@]}" "$build/bench" "$@" 2> "$work/err" || { cat "$work/err" >&2; return 1; }; done |
        awk -F'\t' -v OFS='\t' '
            !($1 in cpu) { order[++n] = $1; cpu[$1] = $5; wall[$1] = $6 }
            { count[$1] = $2; unit[$1] = $3; bytes[$1] = $4 }
            $5 < cpu[$1] { cpu[$1] = $5 } $6 < wall[$1] { wall[$1] = $6 }
            END { for (i = 1; i <= n; i++) { k = order[i]; if (cpu[k] <= 0) continue
                if (unit[k] == "kflop") { count[k] /= 1e6; unit[k] = "GFLOP" }
                print k, count[k], unit[k], cpu[k], wall[k], sprintf("%.4g %s", count[k] / cpu[k], unit[k]),
                    bytes[k] ? sprintf("%.4g MB", bytes[k] / 1e6 / cpu[k]) : "" } }' > "$work/rows"
    while IFS=$'\t' read -r name amount unit cpu wall rate speed; do
        line "$name" "$amount" "$unit" "$cpu" "$wall" "$rate" "$speed"
    done < "$work/rows"
    grep skipped "$work/err" > "$work/skips" || true
    while read -r text; do skip "${1}" "$text"; done < "$work/skips"
}
# Runs a command once; $cpu and $wall are its seconds.
clocked() {
    local TIMEFORMAT='%R %U %S' real user sys
    { time "${pin[@]}" "$@" > "$work/out" 2>&1; } 2> "$work/time" || { cat "$work/out" >&2; return 1; }
    read -r real user sys < "$work/time"
    wall=$real cpu=$(awk "BEGIN { print $user + $sys }")
}
per() { awk "BEGIN { printf \"%.4g $3\", $1 / ($2 > 0 ? $2 : 1e-9) }"; }

echo "sluice $(git rev-parse --short HEAD 2> /dev/null || echo '(no git)') on $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | xargs), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg)"
python=$(command -v python3 || true)
pages=$data/html/wcxb-dev.warc.gz
if [ -n "$python" ]; then "$python" tests/tools/make_warc.py "$work/made" 1 600 3; made=$work/made/part-00000.warc.gz; else made=; fi
if [ ! -f "$pages" ]; then skip "real pages" "there is no $pages: made ones stand in"; pages=$made; fi

if [ -n "$pages" ]; then
    head_line "Pages: $pages"
    rows warc "$pages"
    rows stages "$pages"
    "$build/sluice" run tests/bench/extract.toml --set source.path="$pages" --run="$work/extract" --threads=1 > /dev/null 2>&1
    head_line "Tokenizer: the main text of those pages"
    mkdir "$work/bpe"
    rows bpe "$work"/extract/corpus/00000.jsonl.zst 16384 cl100k "$work/bpe"
    rows encode "$work/bpe/tokenizer.json" "$work"/extract/corpus/00000.jsonl.zst
    if [ -f "$data/vocab/cl100k_base.tiktoken" ]; then
        rows encode "$data/vocab/cl100k_base.tiktoken" "$work"/extract/corpus/00000.jsonl.zst
    else skip "encoding by cl100k" "there is no $data/vocab/cl100k_base.tiktoken"; fi
else
    skip pages "neither real pages nor python3 to make some"
fi

head_line "Near-duplicates: 20,000 made documents"
mkdir "$work/settle" "$work/store"
rows settle 20000 "$work/settle"
head_line "Store: 20,000 made documents, 16-bit ids"
rows store 20000 "$work/store"
head_line "Products of matrices: 768 x 768 x 768, 20 times"
rows gemm

if [ -n "$made" ]; then
    head_line "The program itself: 600 made pages, one thread"
    clocked "$build/sluice" run tests/bench/corpus.toml --set source.path="$made" --run="$work/run" --threads=1
    line "sluice run, pages to store" 600 pages "$cpu" "$wall" "$(per 600 "$cpu" pages)" ""
    sed -n 's/.*"name":"task\.\([a-z0-9]*\)","value":\([0-9.e-]*\).*/\1 \2/p' "$work/run/metrics.jsonl" |
        awk '{ sum[$1] += $2; if (!seen[$1]++) order[++n] = $1 } END { for (i = 1; i <= n; i++) printf "    task %-61s %9.3f\n", order[i], sum[order[i]] }'
    for device in cpu cuda; do
        if [ $device = cuda ] && ! nvidia-smi -L > /dev/null 2>&1; then skip "training on a GPU" "there is none"; continue; fi
        if [ $SECONDS -gt 180 ]; then skip "training, $device" "the machine is too busy: $SECONDS s have passed"; continue; fi
        clocked "$build/sluice" run tests/bench/train.toml --set source.path="$made" --set train.device=$device --run="$work/train-$device" --threads=1
        # Once more the training alone: its folder and its manifest go, the rest is kept.
        rm -r "$work/train-$device/train" "$work/train-$device/done/train"
        clocked "$build/sluice" task train --run="$work/train-$device"
        read -r steps flops rate < <(awk -F'[:,}]' '{ n++; f = $8 / $6; if ($6 > best) best = $6 } END { print n, f, best }' "$work/train-$device/train/speed.jsonl")
        tokens=$((6 * 4 * 256))
        line "training 11 M parameters, $device" $tokens tokens "$cpu" "$wall" "$(per $tokens "$cpu" tokens)" ""
        line "  in GFLOP" "$(awk "BEGIN { print $flops * $tokens }")" GFLOP "$cpu" "$wall" "$(per "$flops * $tokens" "$cpu" GFLOP)" ""
        echo "    best step by the clock on the wall: $rate tok/s ($steps rows of speed.jsonl)"
    done
else
    skip "sluice run, training" "no python3 to make pages"
fi
echo
echo "$measured measured, $skipped skipped, load $(cut -d' ' -f1 /proc/loadavg)"
