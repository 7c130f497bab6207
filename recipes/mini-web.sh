#!/usr/bin/env bash
# Makes a small real web on this machine: thousands of HTML pages of Debian documentation packages, served by
# nginx under their own host names, captured by sluice's own crawler into WARC files, and laid out as a Common
# Crawl mirror.
#   recipes/mini-web.sh DIR [PORT]     leaves the mirror served on http://127.0.0.1:PORT/ until `stop` is called
#   recipes/mini-web.sh stop DIR       stops that server
set -euo pipefail
crawl=CC-MAIN-2026-48
languages=(en-us de fr es it)                      # help pages, the same ones in each language
books=(en-US de-DE fr-FR es-ES it-IT ca-ES el-GR)  # handbook; the last two are half translated
guides=(en de fr es it)

stop() { # waits, so that the port is free again
    local pid
    pid=$(cat "$1/nginx.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.1; done
}
if [ "${1:-}" = stop ]; then stop "$2"; exit 0; fi

sluice=${SLUICE:-$(cd "$(dirname "$0")/.." && pwd)/sluice}
dir=$(mkdir -p "$1" && cd "$1" && pwd)
port=${2:-18473}

download() { # PACKAGE: into debs/; an old or empty package list is fetched anew once
    ls "$dir/debs/$1"_*.deb > /dev/null 2>&1 && return
    (cd "$dir/debs" && apt-get download -qq "$1" 2> /dev/null) && return
    local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq && (cd "$dir/debs" && apt-get download -qq "$1" 2> "$dir/apt.log") && return
    echo "mini-web: package $1 could not be downloaded: $(tail -n 1 "$dir/apt.log" 2> /dev/null)" >&2
    exit 1
}

unpack() { # PACKAGE: downloads and unpacks, installs nothing
    [ -d "$dir/unpacked/$1" ] && return
    rm -rf "$dir/unpacked/$1.part"; mkdir -p "$dir/debs" "$dir/unpacked/$1.part"
    download "$1"
    dpkg-deb --fsys-tarfile "$dir"/debs/"$1"_*.deb | tar -x -C "$dir/unpacked/$1.part" --wildcards '*.html'
    mv "$dir/unpacked/$1.part" "$dir/unpacked/$1"
}

site() { # HOST FOLDER: the folder becomes a web site
    mkdir -p "$dir/www"
    [ -e "$dir/www/$1" ] || ln -s "$2" "$dir/www/$1"
}

serve() {
    stop "$dir"
    mkdir -p "$dir/tmp" "$dir/mirror"
    {
        [ "$(id -u)" = 0 ] && echo 'user root;'
        echo "worker_processes 1; daemon on; pid $dir/nginx.pid; error_log $dir/nginx.log warn;"
        echo 'events { worker_connections 256; }'
        echo "http { types { application/octet-stream gz; } default_type text/html; access_log off;"
        for t in client_body proxy fastcgi uwsgi scgi; do echo "${t}_temp_path $dir/tmp/$t;"; done
        echo "server { listen 127.0.0.1:$port; server_name 127.0.0.1 localhost; root $dir/mirror; }"
        echo "server { listen 127.0.0.1:$port default_server; server_name _; root $dir/www/\$host; }"
        echo '}'
    } > "$dir/nginx.conf"
    "$(command -v nginx || echo /usr/sbin/nginx)" -e "$dir/nginx.log" -p "$dir" -c "$dir/nginx.conf"
    for _ in $(seq 50); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return; sleep 0.1; done
    echo "mini-web: nginx does not answer on port $port: see $dir/nginx.log" >&2
    exit 1
}

urls() { # the list of pages, by host; help pages: one in six, chosen by name, so the same in every language
    local host
    for host in "$dir"/www/*; do
        (cd "$host/" && find . -name '*.html' -printf '%P\n' | LC_ALL=C sort) | awk -v host="$(basename "$host")" '
            BEGIN { for (i = 32; i < 127; i++) code[sprintf("%c", i)] = i }
            { sum = 0; for (i = 1; i <= length($0); i++) sum = (sum * 31 + code[substr($0, i, 1)]) % 1000003
              if (host !~ /help.test$/ || sum % 6 == 0) print "http://" host "/" $0 }'
    done
}

capture() { # request, response and metadata of every page; a WARC holds about 600 of them, in the list's order
    local segment=$dir/mirror/crawl-data/$crawl/segments/1764000000000/warc list n=0
    rm -rf "$dir/lists" "$dir/mirror"; mkdir -p "$dir/lists" "$segment"
    urls > "$dir/urls.txt"
    split -d -a 5 -l 600 "$dir/urls.txt" "$dir/lists/"
    for list in "$dir"/lists/*; do
        "$sluice" crawl --seeds="$list" --out="$list.d" --prefix="CC-MAIN-20261124000000-$(basename "$list")" --depth=0 \
            --connect_to="::127.0.0.1:$port" --allow_private --user_agent=mini-web/1 --delay=0 --delay_factor=0 --connections=1 \
            --respect=robots --strip= --sitemaps=false --revisits=false > /dev/null 2> "$list.log" \
            && mv "$list.d"/*.warc.gz "$segment/" || { echo "mini-web: crawling $list: $(tail -n 1 "$list.log")" >&2; exit 1; } &
        n=$((n + 1)); [ $((n % 2)) = 0 ] && wait
    done
    wait
    (cd "$dir/mirror" && find crawl-data -name '*.warc.gz' | sort | gzip -n > "crawl-data/$crawl/warc.paths.gz")
    [ "$(zcat "$segment"/*.warc.gz | grep -ac '^WARC-Type: response')" -ge "$(wc -l < "$dir/urls.txt")" ] || { echo "mini-web: pages are missing" >&2; exit 1; }
    [ "$(wc -l < "$dir/urls.txt")" -ge 3000 ] || { echo "mini-web: only $(wc -l < "$dir/urls.txt") pages" >&2; exit 1; }
}

for l in "${languages[@]}"; do
    unpack "libreoffice-help-$l"
    folder=${l/en-us/en-US}
    site "${l%%-*}.help.test" "$dir/unpacked/libreoffice-help-$l/usr/share/libreoffice/help/$folder"
done
unpack debian-handbook
for l in "${books[@]}"; do site "${l%%-*}.handbook.test" "$dir/unpacked/debian-handbook/usr/share/doc/debian-handbook/html/$l"; done
unpack installation-guide-amd64
for l in "${guides[@]}"; do site "$l.guide.test" "$dir/unpacked/installation-guide-amd64/usr/share/doc/installation-guide-amd64/$l"; done
serve
[ -f "$dir/done" ] || { capture; touch "$dir/done"; }
echo "mini-web: $(wc -l < "$dir/urls.txt") pages of $(ls "$dir/www" | wc -l) hosts in $(zcat "$dir/mirror/crawl-data/$crawl/warc.paths.gz" | wc -l) WARC files on http://127.0.0.1:$port/"
