#!/usr/bin/env bash
# The extraction and WARC table of docs/SPEED.md: this program beside the tools of others, same pages, same core.
# Peers come from PyPI into an environment that is kept (PEERS_VENV); one that cannot be had is named and counted.
# BUILD, SLUICE_DATA, CORE and CACHE may be set; arguments go to extract_bench.py (--help). PAGES=debian and
# PAGES=news take pages that nobody fitted anything to instead: see extract_debian.py and extract_news.py. PAGES=latin,
# cyrillic, greek, devanagari, chinese or thai takes the gold pages in a language that does not exist: extract_cipher.py.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build} data=${SLUICE_DATA:-../shared/data}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice/bench-extract}
venv=${PEERS_VENV:-$cache/venv}
pages=$data/html/wcxb-dev.warc.gz gold=$data/html/wcxb-dev.gold.jsonl.zst
case ${PAGES:-gold} in debian | news) ;; *) { [ -f "$pages" ] && [ -f "$gold" ]; } || { echo "bench-extract: skipped: $pages and its gold texts are not there (SLUICE_DATA)"; exit 0; } ;;
esac
mkdir -p "$cache"

if [ ! -x "$venv/bin/python" ]; then
    python3 -c 'import ensurepip' 2> /dev/null || { [ "$(id -u)" = 0 ] && apt-get install -y -qq --no-install-recommends python3-venv > /dev/null 2>&1; }
    python3 -m venv "$venv" || { echo "bench-extract: python3 -m venv $venv failed: install python3-venv"; exit 1; }
fi
pip() { "$venv/bin/python" -m pip "$@" --disable-pip-version-check -q > "$cache/pip.log" 2>&1; }
has() { "$venv/bin/python" -c "import importlib.metadata as m; m.version('$1')" 2> /dev/null; }
for package in numpy lightgbm lxml lxml_html_clean $(cat tests/bench/extract_peers.txt); do
    has "$package" || [ -e "$cache/no-$package" ] && continue
    pip install "$package" && continue
    # Declared for a newer Python, and works with this one: magic-html.
    case $package in magic-html) pip install --ignore-requires-python py_asciimath Brotli chardet "$package" && continue
        pip download --no-deps --only-binary :all: --python-version 3.12 -d "$cache/wheels" "$package" &&
        pip install py_asciimath Brotli chardet && "$venv/bin/python" -m zipfile -e "$cache"/wheels/magic_html-*.whl "$("$venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')" && continue ;; esac
    # Built for CPython 3.12 alone: extract_bench.py loads it into this one with two missing calls supplied.
    case $package in rs-trafilatura) pip download --no-deps --only-binary :all: --python-version 3.12 --implementation cp \
        --abi cp312 --platform manylinux_2_34_x86_64 -d "$cache/wheels" "$package" && continue ;; esac
    echo "$(tail -n 1 "$cache/pip.log")" > "$cache/no-$package" # asked for once; remove the file to ask again
done

"${MAKE:-make}" --no-print-directory -s -f tests/bench/bench.mk BUILD="$build" "$build/bench" "$build/unit"
case ${PAGES:-gold} in debian | news)
    pages=$cache/$PAGES.warc.gz gold=$cache/$PAGES.gold.jsonl.zst
    [ -f "$gold" ] || "$venv/bin/python" "tests/bench/extract_$PAGES.py" "$cache/$PAGES"
    set -- --foreign "$@" ;;
latin | cyrillic | greek | devanagari | chinese | thai)
    key=$cache/$PAGES-$(cat "$pages" "$gold" tests/bench/extract_cipher.py | cksum | cut -d ' ' -f 1)
    [ -f "$key.warc.gz" ] || "$venv/bin/python" tests/bench/extract_cipher.py "$PAGES" "$pages" "$gold" "$key"
    set -- --cipher "$pages" "$gold" "$@"
    pages=$key.warc.gz gold=$key.gold.jsonl.zst ;;
gold) ;;
*) echo "bench-extract: PAGES=$PAGES: gold, debian, news, latin, cyrillic, greek, devanagari, chinese or thai"; exit 2 ;;
esac
exec "$venv/bin/python" tests/bench/extract_bench.py --build "$build" --pages "$pages" --gold "$gold" --cache "$cache" \
    --core "${CORE:-$(($(nproc) - 1))}" "$@"
