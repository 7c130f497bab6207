#!/usr/bin/env bash
# make demo: installs what is missing, builds, makes a small real web, runs recipes/demo.toml, prints one screen.
set -euo pipefail
cd "$(dirname "$0")/.."
begin=$(date +%s)
make --no-print-directory deps
make --no-print-directory all
bash recipes/mini-web.sh demo-web
trap 'bash recipes/mini-web.sh stop demo-web' EXIT
./sluice run recipes/demo.toml --run=demo-run
python3 tests/tools/demo_check.py demo-run
echo
echo "  a sample: the model goes on from \"To install a package,\""
./sluice generate --model=demo-run/train/model --prompt="To install a package," --tokens=60 --temperature=0.7 | sed 's/^/  | /'
cat <<END

  done in $(( ($(date +%s) - begin) / 60 )) min $(( ($(date +%s) - begin) % 60 )) s. The report: demo-run/report.html
  try next:
    ./sluice why --run=demo-run 'http://en.help.test/*' --limit=3
    ./sluice run recipes/demo.toml --set gopher_quality.min_words=80 --run=stricter
    ./sluice run recipes/warc.toml --set source.path=YOUR.warc.gz --run=mine
END
