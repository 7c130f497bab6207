#!/usr/bin/env bash
# Replays every fuzz target's corpus, with mutations for half a second each: the quick look of `make test`. The long one,
# under sanitizers, is `make fuzz-replay`; new inputs are searched for by `make fuzz`.
set -u
cd "$(dirname "$0")/../.."
. tests/cli/common.sh
build=${BUILD:-build}
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    if "$build/$name-replay" "tests/fuzz/corpus/$name" "${REPLAY_SECONDS:-0.5}" > "$work/replay.log" 2>&1; then
        ok "$name"
    else
        bad "$name" "$(tail -n 4 "$work/replay.log")"
    fi
done
finish
