# Shared by the command-line tests: where things are, a counter, and a small input that is the same everywhere.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sluice=${SLUICE:-$here/sluice}
work=$(mktemp -d /tmp/sluice-cli-XXXXXX)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

ok() { passed=$((passed + 1)); echo "ok   $1"; }
bad() { failed=$((failed + 1)); echo "FAIL $1"; [ -n "${2:-}" ] && printf '     %s\n' "$2"; }
skip() { skipped=$((skipped + 1)); echo "skip $1: $2"; }
check() { # NAME COMMAND...: passes when the command succeeds
    local name=$1; shift
    if "$@" > "$work/check.out" 2>&1; then ok "$name"; else bad "$name" "$(tail -n 5 "$work/check.out")"; fi
}
fails() { # NAME CODE PATTERN COMMAND...: passes when the command ends with that code and its errors match
    local name=$1 code=$2 pattern=$3; shift 3
    "$@" > "$work/fails.out" 2> "$work/fails.err" < /dev/null; local rc=$?
    if [ $rc = "$code" ] && grep -Eq "$pattern" "$work/fails.err"; then ok "$name"; else bad "$name" "exit $rc: $(tail -n 2 "$work/fails.err")"; fi
}
finish() { echo "$passed passed, $failed failed, $skipped skipped"; [ "$failed" = 0 ]; exit $?; }
model_here() { [ -f "${SLUICE_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/models}/lid.176.ftz" ]; }

# Everything that must be the same bytes, as one list of hashes.
outputs() { (cd "$1" && find corpus store/data.mdb ledger tokenizer heldout samples.jsonl eval.json train/train.jsonl train/model -type f | LC_ALL=C sort | xargs sha256sum); }
