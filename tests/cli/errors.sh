#!/usr/bin/env bash
# Bad input: one clear error that names file, place and remedy, the documented exit code, nothing that looks finished.
. "$(dirname "$0")/common.sh"
python3 "$here/tests/tools/make_warc.py" "$work/in" 1 80 5
warc=$work/in/part-00000.warc.gz
expect() { # NAME CODE PATTERN COMMAND...
    local name=$1 code=$2 pattern=$3 rc; shift 3
    (cd "$work" && "$@") > "$work/out" 2> "$work/err"; rc=$?
    if [ $rc != "$code" ]; then bad "$name" "exit $rc, want $code: $(tail -n 1 "$work/err")"
    elif [ "$(grep -c 'sluice: error:' "$work/err")" != 1 ]; then bad "$name" "not one error: $(tail -n 2 "$work/err")"
    elif ! grep 'sluice: error:' "$work/err" | grep -Eq "$pattern"; then bad "$name" "$(grep error: "$work/err")"
    else ok "$name"; fi
}
small=$here/tests/cli/small.toml
expect no_command 2 'no command' "$sluice"
expect unknown_command 2 'did you mean "sluice run"' "$sluice" rnu
expect no_such_command 2 'lists them all' "$sluice" frobnicate
expect misspelt_table 2 "did you mean 'source'" "$sluice" run "$small" --set soruce.path="$warc"
expect unknown_flag 2 'threads' "$sluice" run "$small" --thraeds=2
expect unknown_recipe_key 2 'min_words' "$sluice" run "$small" --set source.path="$warc" --set gopher_quality.min_wrods=3
expect unknown_stage 2 'extract' "$sluice" run <(printf '[source]\npath="x"\n[[stage]]\nuse="extrcat"\n') --run=r
expect unknown_section 2 'tokenizer' "$sluice" run "$small" --set source.path="$warc" --set tokeniser.vocab_size=500
expect out_of_range 2 'vocab_size' "$sluice" run "$small" --set source.path="$warc" --set tokenizer.vocab_size=3
expect impossible_training 2 'anneal_steps' "$sluice" run "$small" --set source.path="$warc" --set train.steps=3
expect impossible_model 2 'heads' "$sluice" run "$small" --set source.path="$warc" --set model.heads=5
expect recipe_missing 2 'nowhere.toml' "$sluice" run nowhere.toml
expect recipe_is_a_folder 2 'director' "$sluice" run in
expect source_missing 2 'nothing.warc.gz' "$sluice" run "$small" --set source.path=nothing.warc.gz --run=m
expect bad_toml 2 ':2' "$sluice" run <(printf '[source]\npath = \n') --run=r
expect why_without_run 2 'run' "$sluice" why http://a/
expect status_of_nothing 2 'run.json' "$sluice" status --run=nowhere
expect bad_shard 2 'I/N' "$sluice" task pass1 --run=nowhere --shard=5/5
expect port_closed 1 '127.0.0.1:9' "$sluice" crawl --crawl=CC-MAIN-2026-48 --base=http://127.0.0.1:9/ --retries=1
expect crawl_out_without_seeds 2 '[-][-]out is for --seeds only' "$sluice" crawl --crawl=CC-MAIN-2026-48 --out=here
expect crawl_bound_without_seeds 2 '[-][-]max-bytes is for' "$sluice" crawl --crawl=CC-MAIN-2026-48 --max-bytes=3G
expect crawl_seeds_with_cache 2 '[-][-]cache is not looked at' "$sluice" crawl --seeds=none --cache=here
expect crawl_index_without_pattern 2 '[-][-]index-max goes with' "$sluice" crawl --crawl=CC-MAIN-2026-48 --index-max=3
expect crawl_urls_with_files 2 '[-][-]files goes with' "$sluice" crawl http://127.0.0.1:9/a.gz --files=3
expect crawl_seeds_and_index 2 'give one' "$sluice" crawl --seeds=none --index=a.example
expect crawl_no_authority 2 'ca_file.*none.pem' "$sluice" crawl https://127.0.0.1:9/a.gz --ca-file=none.pem
echo https://a.test/ > "$work/seeds"
expect seeds_no_authority 2 'ca_file.*none.pem' "$sluice" crawl --seeds=seeds --out=s --user-agent='bot (a@b.example)' --ca-file=none.pem
expect warc_of_url 2 'a URL: stream it .*warc ls -' "$sluice" warc ls http://127.0.0.1:9/a.warc.gz
expect memory_too_small 1 'memory' "$sluice" run "$small" --set source.path="$warc" --memory=16M --threads=8 --run=mem
expect model_unknown 2 'lid176' "$sluice" model get nothing
expect model_from_nowhere 2 '/nowhere/lid' "$sluice" model get lid176 --from=/nowhere/lid
expect model_from_another_file 3 'the file is another one' "$sluice" model get lid176 --from="$here/README.md"
expect generate_without_model 2 'model' "$sluice" generate --prompt=x
if model_here; then
    printf 'this is no archive at all' > "$work/text.warc.gz"
    head -c 3000 /dev/urandom > "$work/noise.warc.gz"
    expect not_an_archive 3 'noise.warc.gz' "$sluice" run "$small" --set source.path=noise.warc.gz --run=noise
    [ ! -e "$work/noise/store" ] && ok nothing_looks_finished || bad nothing_looks_finished
    head -c $(($(stat -c %s "$warc") * 2 / 3)) "$warc" > "$work/cut.warc.gz"
    (cd "$work" && "$sluice" run "$here/recipes/warc.toml" --set source.path=cut.warc.gz --run=cut --dry-run) > "$work/out" 2>&1 && ok dry_run_prints_the_recipe || bad dry_run_prints_the_recipe "$(tail -n 1 "$work/out")"
    expect no_permission 1 'ermission|read-only|not permitted|director' env "$sluice" run "$small" --set source.path="$warc" --run=/proc/sluice
    SLUICE_MODELS=$work/none expect no_language_model 2 'model get lid176' env SLUICE_MODELS="$work/none" "$sluice" run "$small" --set source.path="$warc" --run=nomodel
    if [ "$(id -u)" = 0 ] && mkdir -p "$work/tiny" && mount -t tmpfs -o size=300k tmpfs "$work/tiny" 2>/dev/null; then
        expect full_disk 75 'free space|No space' "$sluice" run "$small" --set source.path="$warc" --run=tiny/r --threads=1
        umount "$work/tiny"
    else skip full_disk "no tmpfs can be mounted here"; fi
    (cd "$work" && "$sluice" run "$small" --set source.path="$warc" --set heldout.share=0.2 --run=first) > "$work/first.log" 2>&1
    expect another_recipe 2 'another recipe' "$sluice" run "$small" --set source.path="$warc" --set tokenizer.vocab_size=600 --run=first
else
    skip errors_with_runs "lid.176.ftz is not in the cache (make deps)"
fi
all=$("$sluice" --help | awk '/^  [a-z]+ +[a-z]/ && $1 != "sluice" { print $1 }')
check all_commands_listed [ "$(wc -w <<< "$all")" -ge 14 ]
for command in $all; do
    check "help_of_$command" bash -c "'$sluice' $command --help | grep -q 'usage: sluice $command'"
done
check recipe_manual_is_current bash -c "'$sluice' keys --markdown | diff -q - '$here/docs/RECIPE.md'"
"$sluice" completion bash > "$work/completion"
completed() { # LINE: what stands last is what is being typed; only one answer is shown
    bash -c ". '$work/completion'; COMP_WORDS=($1); COMP_CWORD=\$((\${#COMP_WORDS[@]} - 1)); cd /; _sluice 2> /dev/null; echo \"\${COMPREPLY[*]}\""
}
check completion_command [ "$(completed "sluice stor")" = store ]
check completion_verb [ "$(completed "sluice store tra")" = trace ]
check completion_flag [ "$(completed "sluice run --thr")" = --threads= ]
for shell in zsh fish man; do check "completion_$shell" bash -c "'$sluice' completion $shell | grep -q tokenize"; done
check version bash -c "'$sluice' --version | grep -q features:"
finish
