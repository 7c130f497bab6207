#!/usr/bin/env bash
# The store's table of docs/SPEED.md: building, reading, jumping, beside a flat file in a memory map and the loaders of
# others over the same tokens, same core, one run. Peers come from PyPI into an environment that is kept (PEERS_VENV); one
# that cannot be had is named in the table. BUILD, SLUICE_DATA, CORE, CACHE and TMPDIR (where the stores are made) may be
# set; arguments go to store_bench.py (--help).
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build} data=${SLUICE_DATA:-../shared/data}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/bench-store}
venv=${PEERS_VENV:-$cache-venv}
mkdir -p "$cache"
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv" || { echo "bench-store: python3 -m venv $venv failed: install python3-venv"; exit 1; }
fi
while read -r package; do
    name=${package##* }
    "$venv/bin/python" -c "import importlib.metadata as m; m.version('$name')" 2> /dev/null || [ -e "$cache/no-$name" ] && continue
    # Asked for once; remove the file to ask again.
    "$venv/bin/python" -m pip install --disable-pip-version-check -q $package > "$cache/pip.log" 2>&1 || tail -n 1 "$cache/pip.log" > "$cache/no-$name"
done < tests/bench/store_peers.txt
"${MAKE:-make}" --no-print-directory -s -f tests/bench/bench.mk BUILD="$build" "$build/sluice" "$build/bench"
exec "$venv/bin/python" tests/bench/store_bench.py --bench "$build/bench" --sluice "$build/sluice" --data "$data" --core "${CORE:-$(($(nproc) - 1))}" "$@"
