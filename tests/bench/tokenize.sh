#!/usr/bin/env bash
# The tokenizer tables of docs/SPEED.md: this program beside the tokenizers of others, same texts, same core, one run.
# Peers come from PyPI into an environment that is kept (PEERS_VENV); one that cannot be had is named in the table.
# Texts: ../shared/data/text and the help of LibreOffice (Debian), kept in CACHE; a language that cannot be had is named.
# GIGABYTE=1: a gigabyte of text out of Debian's packages (tokenize_texts.py), made once and kept: trainers learn from it, and
# there are tables of one pass over 250 MB of it.
# BUILD, SLUICE_DATA, CORE and CACHE may be set; arguments go to tokenize_bench.py (--help).
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build} data=${SLUICE_DATA:-../shared/data}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/bench-tokenize}
venv=${PEERS_VENV:-$cache-venv}
[ -d "$data/vocab" ] || { echo "bench-tokenize: skipped: $data/vocab is not there (SLUICE_DATA)"; exit 0; }
mkdir -p "$cache"
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" || { echo "bench-tokenize: python3 -m venv $venv failed: install python3-venv"; exit 1; }
fi
while read -r package; do
    "$venv/bin/python" -c "import importlib.metadata as m; m.version('$package')" 2> /dev/null || [ -e "$cache/no-$package" ] && continue
    # Asked for once; remove the file to ask again.
    "$venv/bin/python" -m pip install --disable-pip-version-check -q "$package" > "$cache/pip.log" 2>&1 || tail -n 1 "$cache/pip.log" > "$cache/no-$package"
done < tests/bench/tokenize_peers.txt
"${MAKE:-make}" --no-print-directory -s -f tests/bench/bench.mk BUILD="$build" "$build/bench"
if [ -n "${GIGABYTE:-}" ]; then
    [ -e "$cache/gigabyte.jsonl" ] || python3 tests/bench/tokenize_texts.py --cache "$cache/texts" --out "$cache/gigabyte.jsonl" || exit 1
    set -- --train_texts "$cache/gigabyte.jsonl" --stream "$cache/gigabyte.jsonl" "$@"
fi
exec "$venv/bin/python" tests/bench/tokenize_bench.py --bench "$build/bench" --data "$data" --cache "$cache" --core "${CORE:-$(($(nproc) - 1))}" "$@"
