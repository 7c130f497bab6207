#!/usr/bin/env bash
# sluice crawl --seeds against a small web on 127.0.0.1: what is asked for, what never is, how slowly, and a kill -9.
. "$(dirname "$0")/common.sh"
cd "$work" || exit 1
python3 "$here/tests/tools/site.py" 0 "$work/site.log" > port & server=$!
trap 'kill $server 2> /dev/null; rm -rf "$work"' EXIT
for _ in $(seq 100); do [ -s port ] && break; sleep 0.05; done
port=$(cat port)
same() { # NAME WANT GOT
    if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "$(diff <(echo "$2") <(echo "$3") | head -n 8)"; fi
}
crawl() { # OUT HOST FLAGS...: crawls http://HOST/ into OUT; the summary goes to OUT.json
    local out=$1 host=$2; shift 2
    echo "http://$host/" > "$out.seeds"
    "$sluice" crawl --seeds="$out.seeds" --out="$out" --allow_private --connect_to="::127.0.0.1:$port" --delay=0 --delay_factor=0 \
        --backoff_ms=20 --json "$@" > "$out.json" 2> "$out.err"
}
asked() { grep " $1 " site.log | cut -d' ' -f3 | LC_ALL=C sort -u | tr '\n' ' '; }  # paths a host was asked for
end() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["ends"][sys.argv[2]])' "$1.json" "$2"; }
uris() { zcat "$1"/*.warc.gz | tr -d '\r' | grep -a -A4 "^WARC-Type: \(response\|revisit\)" | grep -a '^WARC-Target-URI' | cut -d' ' -f2; }

# A well-meant site: by hand, from tests/tools/site.py.
crawl good good.test; same seeds_exit 0 $?
same seeds_asked_for "/ /%C3%A9.html /?page=2 /?page=3 /a/ /a/b.html /base/ /chunked /deep1.html /deep2.html /deep3.html /elsewhere/in-base.html \
/entity.html /frame.html /framed.html /from-chunks.html /from-gzip.html /from-noindex.html /gone /gzip.html /index.xml /latin.html /map.xml.gz \
/mapped1.html /mapped2.html /moved /nofollow.html /noindex.html /p.html /pdf /robots.txt /same1.html /same2.html /secret/open.html /to-here " "$(asked good.test)"
same seeds_each_once "" "$(grep good.test site.log | cut -d' ' -f3 | sort | uniq -d)"
same seeds_no_other_host "" "$(grep -v ' good.test ' site.log)"
same seeds_robots_excluded 1 "$(end good robots_excluded)"
same seeds_noindex_not_written 1 "$(end good opted_out)"
same seeds_revisit 1 "$(end good revisit)"
same seeds_wrong_type 1 "$(end good wrong_type)"
same seeds_written_once "" "$(uris good | sort | uniq -d)"
same seeds_written 33 "$(uris good | wc -l)"
check seeds_warc_check "$sluice" warc check --digests good/*.warc.gz
zcat good/*.warc.gz | tr -d '\r' > good.warc
same seeds_types "33 metadata 33 request 32 response 1 revisit 1 warcinfo" "$(grep -a '^WARC-Type' good.warc | sort | uniq -c | awk '{print $1, $3}' | tr '\n' ' ' | sed 's/ $//')"
grep -aq '^hopsFromSeed: LLLLL$' good.warc && grep -aq '^hopsFromSeed: LR$' good.warc && grep -aq '^hopsFromSeed: MML$' good.warc && ok seeds_hops || bad seeds_hops
grep -aq '^via: http://good.test/moved$' good.warc && ok seeds_via || bad seeds_via
if python3 -c 'import warcio' 2> /dev/null; then check seeds_warcio python3 -m warcio.cli check good/*.warc.gz
else skip seeds_warcio "warcio is not installed"; fi
lines=$(wc -l < site.log); crawl good good.test; same seeds_again_exit 0 $?
same seeds_again_asks_nothing "$lines" "$(wc -l < site.log)"
crawl good good.test --depth=2; same seeds_other_crawl 2 $?
grep -q 'another crawl' good.err && ok seeds_other_crawl_said || bad seeds_other_crawl_said "$(cat good.err)"

# Scope, depth, limits, patterns.
crawl d0 wide.test --depth=0; same seeds_depth_0 "http://wide.test/" "$(uris d0 | grep -v robots)"
crawl d2 wide.test --depth=2; same seeds_depth_2 7 "$(uris d2 | grep -vc robots)"
crawl few wide.test --max_pages=25; same seeds_max_pages 25 "$(uris few | grep -vc robots)"
same seeds_breadth_first "$(for i in $(seq 1 24); do echo "http://wide.test/$i"; done)" "$(uris few | grep -v robots | tail -n +2)"
crawl few wide.test --max_pages=40; same seeds_max_pages_raised 40 "$(uris few | grep -v robots | sort -u | wc -l)"
crawl glob good.test --include='*a*' --exclude='*b.html' --sitemaps=false; same seeds_globs "http://good.test/ http://good.test/a/ http://good.test/base/ http://good.test/elsewhere/in-base.html http://good.test/frame.html http://good.test/framed.html http://good.test/latin.html http://good.test/same1.html http://good.test/same2.html" "$(uris glob | grep -v robots | LC_ALL=C sort | grep -v page= | tr '\n' ' ' | sed 's/ $//')"
echo http://good.test/a/ > prefix.seeds
"$sluice" crawl --seeds=prefix.seeds --out=prefix --scope=prefix --allow_private --connect_to="::127.0.0.1:$port" --delay=0 --delay_factor=0 --sitemaps=false > prefix.paths 2> prefix.err
same seeds_scope_prefix "http://good.test/a/ http://good.test/a/b.html" "$(uris prefix | grep -v robots | tr '\n' ' ' | sed 's/ $//')"
same seeds_prints_paths "$(ls prefix/*.warc.gz)" "$(cat prefix.paths)"

# Twenty hosts behind one address: so many requests at a time as are asked for, also on first contact; else as many as there are hosts.
for n in 2 0; do
    python3 "$here/tests/tools/flaky_server.py" shared$n.counts 0 --pages=60 --pause=0.04 > shared.port & shared=$!
    for _ in $(seq 100); do [ -s shared.port ] && break; sleep 0.05; done
    for i in $(seq 0 19); do echo "http://h$i.test/p/$i"; done > shared.seeds
    "$sluice" crawl --seeds=shared.seeds --out=shared$n --allow_private --connect_to="::127.0.0.1:$(cat shared.port)" --delay=0 --delay_factor=0 \
        --connections=32 --depth=50 --address_connections=$n --json > shared$n.json 2> shared$n.err
    kill $shared; wait $shared 2> /dev/null; rm shared.port
    same seeds_shared_address_${n}_pages 60 "$(uris shared$n | grep -vc robots)"
done
most() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["most"])' "$1"; }
same seeds_shared_address_bound 2 "$(most shared2.counts)"
[ "$(most shared0.counts)" -gt 10 ] && ok seeds_shared_address_no_bound || bad seeds_shared_address_no_bound "$(most shared0.counts)"

# Politeness: crawl-delay, Retry-After, a robots.txt that cannot be had, wishes about training.
crawl slow slow.test
same seeds_crawl_delay "" "$(grep slow.test site.log | awk 'NR > 1 && $1 - last < 0.295 {print $1 - last} {last = $1}')"
printf 'http://slow.test/\n# a comment\n\nslow2.test\n' > two.seeds; begin=$(wc -l < site.log)
"$sluice" crawl --seeds=two.seeds --out=two --allow_private --connect_to="::127.0.0.1:$port" --delay=0.1 --requests_per_s=100 > two.out 2>&1
tail -n +$((begin + 1)) site.log > two.log
same seeds_hosts_side_by_side 12 "$(awk '{n[$2]++; last[$2] = $1; if (!($2 in first)) first[$2] = $1} END {print (first["slow2.test"] < last["slow.test"] && first["slow.test"] < last["slow2.test"]) ? NR : "one after the other"}' two.log)"
same seeds_each_host_slowly "" "$(awk '$2 in last && $1 - last[$2] < 0.295 {print $2, $1 - last[$2]} {last[$2] = $1}' two.log)"
begin=$(wc -l < site.log); crawl rate wide.test --max_pages=30 --requests_per_s=25
same seeds_rate "" "$(tail -n +$((begin + 1)) site.log | awk 'NR == 1 {first = $1} END {if ($1 - first < (NR - 1) / 25 - 0.1) print NR, "requests in", $1 - first, "s"}')"
crawl busy busy.test; same seeds_busy_exit 0 $?
same seeds_retries "/ 1 /later 3 /never 3 /robots.txt 2" "$(grep busy.test site.log | cut -d' ' -f3 | sort | uniq -c | awk '{print $2, $1}' | tr '\n' ' ' | sed 's/ $//')"
same seeds_retry_after "" "$(grep ' /later ' site.log | awk 'NR > 1 && $1 - last < 0.99 {print $1 - last} {last = $1}')"
crawl closed closed.test; same seeds_no_robots_exit 1 $?
same seeds_no_robots_nothing_asked "/robots.txt " "$(asked closed.test)"
crawl noai noai.test; same seeds_noai_exit 1 $?
same seeds_noai_nothing_asked "/robots.txt " "$(asked noai.test)"
crawl noai2 noai.test --respect=robots; same seeds_noai_not_respected 0 $?
crawl tdm tdm.test; same seeds_tdm "http://tdm.test/ http://tdm.test/ok" "$(uris tdm | grep -v robots | tr '\n' ' ' | sed 's/ $//')"

# Hostile sites end, and in time.
crawl trap trap.test --pattern_max=20 --depth=3; same seeds_trap_exit 0 $?
[ "$(grep -c ' trap.test ' site.log)" -lt 1500 ] && ok seeds_trap_ends || bad seeds_trap_ends "$(grep -c ' trap.test ' site.log) requests"
same seeds_trap_sitemap_once 1 "$(grep -c ' trap.test /map.xml ' site.log)"
crawl loop loop.test; same seeds_loop_exit 0 $?
[ "$(grep -c 'loop2*.test' site.log)" -le 14 ] && ok seeds_loop_ends || bad seeds_loop_ends "$(grep -c 'loop2*.test' site.log) requests"
crawl big big.test --page_max=64K --page_s=1.5 --page_retries=1; same seeds_big_exit 0 $?
same seeds_truncated "disconnect length time" "$(zcat big/*.warc.gz | tr -d '\r' | grep -a '^WARC-Truncated' | cut -d' ' -f2 | sort | tr '\n' ' ' | sed 's/ $//')"
check seeds_big_check "$sluice" warc check --digests big/*.warc.gz

# Private addresses and a name for whom to write to.
lines=$(wc -l < site.log)
echo "http://127.0.0.1:$port/" > private.seeds
"$sluice" crawl --seeds=private.seeds --out=private --user_agent='bot (a@b.example)' > private.out 2>&1; same seeds_private_exit 1 $?
grep -q 'private address' private.out && ok seeds_private_said || bad seeds_private_said "$(cat private.out)"
same seeds_private_not_asked "$lines" "$(wc -l < site.log)"
echo http://good.test/pdf > typed.seeds
"$sluice" crawl --seeds=typed.seeds --out=typed --allow_private --connect_to="::127.0.0.1:$port" --delay=0 --depth=0 --no-sitemaps > typed.out 2>&1; same seeds_wrong_type_exit 1 $?
grep -q 'one page was written.*/pdf: its type, application/pdf, is not among --types' typed.out && ok seeds_wrong_type_said || bad seeds_wrong_type_said "$(tail -n 1 typed.out)"

# A run without a network: the next one asks again.
echo http://wide.test/ > down.seeds
down() { "$sluice" crawl --seeds=down.seeds --out=down --allow_private --delay=0 --delay_factor=0 --backoff_ms=20 --depth=1 "$@" > down.out 2> down.err; }
down --connect_to="::127.0.0.1:9"; same seeds_down_exit 1 $?
down --connect_to="::127.0.0.1:$port"; same seeds_up_again_exit 0 $?
crawl share wide.test --depth=2 --host_pages=2; same seeds_share 2 "$(uris share | grep -vc robots)"
crawl share wide.test --depth=2 --host_pages=5; same seeds_larger_share 5 "$(uris share | grep -vc robots)"
same seeds_up_again_pages 3 "$(uris down | grep -vc robots)"

# A proxy may have a private address; what it is asked for may not.
lines=$(wc -l < site.log)
printf 'http://wide.test/\nhttp://169.254.169.254/latest\n' > proxied.seeds
http_proxy=http://127.0.0.1:$port "$sluice" crawl --seeds=proxied.seeds --out=proxied --depth=1 --delay=0 --delay_factor=0 --user_agent='bot (a@b.example)' --json > proxied.json 2> proxied.err
same seeds_proxy_exit 0 $?
same seeds_proxy_pages 3 "$(uris proxied | grep -vc robots)"
same seeds_proxy_private 1 "$(end proxied private)"
inward() { http_proxy=http://127.0.0.1:$port "$sluice" crawl http://inward.test/a --cache=inward --retries=0 --user_agent='bot (a@b.example)'; }
inward > inward.out 2>&1; same proxy_redirects_inside_exit 1 $?
grep -q 'redirected to a private address' inward.out && ok proxy_redirects_inside_said || bad proxy_redirects_inside_said "$(tail -n 1 inward.out)"
same proxy_never_asked_inside "" "$(tail -n +$((lines + 1)) site.log | grep 169.254)"
"$sluice" crawl --seeds=private.seeds --out=private --user_agent=bot/1.0 > private.out 2>&1; same seeds_contact_wanted 2 $?
"$sluice" crawl --seeds=private.seeds --out=private --user_agent='(a@b.example)' > private.out 2>&1; same seeds_token_wanted 2 $?
echo 'mailto:x@y.example' > none.seeds
"$sluice" crawl --seeds=none.seeds --out=none --allow_private > none.out 2>&1; same seeds_none 2 $?

# Killed again and again, small files, a stop by signal: each page once, every file whole, the same pages as in one go.
crawl whole wide.test --depth=20; same seeds_whole 801 "$(uris whole | grep -vc robots)"
kills=0
for round in $(seq 40); do
    crawl killed wide.test --depth=20 --sync_s=0.05 --warc_size=40K & pid=$!
    sleep "0.$(printf %02d $((5 + round * 37 % 45)))"
    if [ $((round % 4)) = 3 ]; then pkill -TERM -P $pid; else pkill -KILL -P $pid && kills=$((kills + 1)); fi
    wait $pid; rc=$?
    for file in killed/*.warc.gz; do [ -e "$file" ] && echo "$(md5sum < "$file") $file"; done >> killed.sums
    [ $rc = 0 ] && break
done 2> /dev/null
crawl killed wide.test --depth=20 --sync_s=0.05 --warc_size=40K; same seeds_killed_ends 0 $?
crawl slow3 slow.test --delay=5 & pid=$!; sleep 0.7; pkill -TERM -P $pid; wait $pid; same seeds_stop_exit 130 $?
grep -q 'goes on' slow3.err && ok seeds_stop_said || bad seeds_stop_said "$(cat slow3.err)"
[ $kills -gt 3 ] && ok seeds_kills || bad seeds_kills "only $kills kills"
same seeds_killed_once "" "$(uris killed | sort | uniq -d)"
same seeds_killed_same "$(uris whole | sort)" "$(uris killed | sort)"
check seeds_killed_check "$sluice" warc check --digests killed/*.warc.gz
same seeds_finished_stay "" "$(sort -u killed.sums | awk '{print $3}' | sort | uniq -d)"
same seeds_nothing_left "crawl.journal crawl.json" "$(ls -A killed | grep -v '^killed\|^sluice-' | tr '\n' ' ' | sed 's/ $//')"
[ "$(ls killed/*.warc.gz | wc -l)" -gt 3 ] && ok seeds_rolls_over || bad seeds_rolls_over "$(ls killed)"
finish
