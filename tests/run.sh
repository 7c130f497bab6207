#!/usr/bin/env bash
# All tests of `make test`: unit tests, the style checker's own tests, then the program as people use it.
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
log=$(mktemp); trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0
suite() { # COMMAND...: adds up its closing line
    echo "== $*"
    "$@" 2>&1 | tee "$log" | grep -Ev '^ok  ' | tail -n 60
    local rc=${PIPESTATUS[0]} line
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)? ]]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
        [ "$rc" = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
    else
        echo "$* ended without its closing line (exit $rc)"; failed=$((failed + 1))
    fi
}
suite "$build/unit"
suite bash tests/test_style.sh
suite bash tests/fuzz/replay.sh
for script in errors own extract tokenize tokenizer_run store views store_io store_change warc seeds fetch s3 index determinism real kill; do suite bash tests/cli/$script.sh; done
echo "$passed passed, $failed failed, $skipped skipped" | tee "$build/test-count"
[ $failed = 0 ]
