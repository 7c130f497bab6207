#!/usr/bin/env bash
# Other programs' word on our files: tokenizers, pyarrow and DuckDB from PyPI, in an environment of their own.
# Where PyPI is not reached every check is skipped, and counted.
set -u
cd "$(dirname "$0")/../.."
here=$PWD
. tests/cli/common.sh
venv=${ORACLE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/oracle-venv}
packages="tokenizers pyarrow duckdb numpy warcio cdxj-indexer fastwarc"
if [ ! -x "$venv/bin/python" ]; then
    dpkg-query -W python3-venv > /dev/null 2>&1 || python3 -c 'import ensurepip' 2> /dev/null ||
        { [ "$(id -u)" = 0 ] && apt-get install -y -qq --no-install-recommends python3-venv > /dev/null 2>&1; }
    python3 -m venv "$venv" > /dev/null 2>&1 || { skip oracles "python3 -m venv failed"; finish; }
fi
# An environment kept from an older version may lack what was added since.
"$venv/bin/python" -c 'import tokenizers, pyarrow, duckdb, numpy, warcio, cdxj_indexer, fastwarc' 2> /dev/null ||
    "$venv/bin/pip" install -q $packages > "$work/pip.log" 2>&1 ||
    { rm -rf "$venv"; skip oracles "PyPI's packages could not be installed"; finish; }
# What store_check.py reads and writes token files with; Megatron's own dependencies would bring torch, which they do not need.
for package in datatrove "--no-deps megatron-core"; do
    "$venv/bin/python" -c "import importlib.metadata as m; m.version('${package##* }')" 2> /dev/null ||
        "$venv/bin/pip" install -q $package > "$work/pip.log" 2>&1
done
model_here || { skip oracles "lid.176.ftz is not in the cache (make deps)"; finish; }
python3 tests/tools/make_warc.py "$work/in" 3 80 21
(cd "$work" && "$sluice" run "$here/tests/cli/small.toml" --set source.path=in --run=r) > "$work/run.log" 2>&1 || { bad oracle_run "$(tail -n 2 "$work/run.log")"; finish; }
check tokenizers_gives_the_same_ids "$venv/bin/python" tests/oracle/tokenizers_check.py "$work/r" "$sluice"
check duckdb_and_pyarrow_read_the_ledger "$venv/bin/python" tests/oracle/ledger_check.py "$work/r"
for extra in tests/oracle/*_check.py; do
    case $extra in */tokenizers_check.py|*/ledger_check.py|*/parquet_check.py) continue ;; esac
    name=$(basename "$extra" .py)
    "$venv/bin/python" "$extra" "$work/r" "$sluice" > "$work/extra.out" 2>&1; rc=$?
    case $rc in 0) ok "$name" ;; 77) skip "$name" "$(tail -n 1 "$work/extra.out")" ;; *) bad "$name" "$(tail -n 3 "$work/extra.out")" ;; esac
done
# These two are unit tests that ask Python: the rows are made, and read back, in C.
unit=${BUILD:-build}/unit
if [ -x "$unit" ]; then
    for name in core_parquet_read_by_others core_parquet_written_by_others; do
        SLUICE_PYTHON="$venv/bin/python" "$unit" $name > "$work/unit.out" 2>&1
        if grep -q '^1 passed' "$work/unit.out"; then ok $name; else bad $name "$(tail -n 4 "$work/unit.out")"; fi
    done
else
    skip core_parquet_by_others "$unit is not built (make test)"
fi
finish
