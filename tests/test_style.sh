#!/usr/bin/env bash
# Plants one violation of each kind in a copy of a tiny tree and sees .ci/check-style fail on it by name.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
fresh() {
    rm -rf "$dir/t"; mkdir -p "$dir/t"/{core,crawl,filter,kernels,tests}
    printf '/* base - what every file shares, in one place. */\n' > "$dir/t/core/base.h"
    printf '/* filters - one row a filter of the tree. */\nFILTER(good)\n' > "$dir/t/filter/filters.def"
    printf '/* good - a filter that stands in the table. */\n#include "core/base.h"\nconst struct filter filter_good = {0};\n' > "$dir/t/filter/good.c"
}
expect() { # KIND NAME
    local out rc
    out=$("$here/.ci/check-style" "$dir/t"); rc=$?
    if [ "$1" = none ] && [ $rc = 0 ] || { [ "$1" != none ] && [ $rc = 1 ] && grep -q ": $1: " <<< "$out"; }; then
        passed=$((passed + 1)); echo "ok   style_$2"
    else
        failed=$((failed + 1)); echo "FAIL style_$2: rc $rc, want $1"; echo "$out"
    fi
}
fresh; expect none clean_tree_passes
fresh; printf '/* wide - a file with a line that is too wide. */\n/* %0120d */\n' 0 > "$dir/t/core/wide.c"; expect columns columns
fresh; printf '/* table - rows that a program wrote: do not edit. */\n/* %0120d */\n' 0 > "$dir/t/core/table.h"; expect none generated_may_be_wide
fresh; printf '/* sham - a file that is written by hand. */\n/* do not edit. %0120d */\n' 0 > "$dir/t/core/sham.h"; expect columns only_the_first_line_says_so
fresh; { printf '/* long - a file with a function that is too long. */\nint f(void)\n{\n'; for _ in $(seq 80); do echo '    g();'; done; echo '}'; } > "$dir/t/core/long.c"; expect function function_length
fresh; printf '/* call - a file with a call that is banned. */\nvoid f(void) { strcpy(a, b); }\n' > "$dir/t/core/call.c"; expect banned banned_call
fresh; printf '/* layer - a room that includes its neighbour. */\n#include "filter/filters.def"\n' > "$dir/t/crawl/layer.c"; expect layer layer
fresh; printf '/* kern - a CUDA file that includes more than it may. */\n#include "core/str.h"\n' > "$dir/t/kernels/kern.cu"; touch "$dir/t/core/str.h"; expect layer cuda_layer
fresh; printf 'FILTER(ghost)\n' >> "$dir/t/filter/filters.def"; expect row row_without_file
fresh; printf '/* stray - a filter that nobody listed. */\nconst struct filter filter_stray = {0};\n' > "$dir/t/filter/stray.c"; expect file file_without_row
fresh; printf '#include "core/base.h"\n' > "$dir/t/core/mute.h"; expect sentence first_sentence
fresh; printf '/* blank - a file with blanks at a line end. */\nint a; \n' > "$dir/t/core/blank.c"; expect trailing trailing_blank
fresh; printf '/* todo - a file with an open end. */\n/* TODO: later */\n' > "$dir/t/core/todo.c"; expect todo todo
fresh; printf '/* local - an include without its folder. */\n#include "base.h"\n' > "$dir/t/core/local.c"; expect include include_path
fresh; printf '/* base - the same name in another room. */\n' > "$dir/t/crawl/base.h"; expect name unique_names
fresh; printf '/* plus - C++ where none may be at all. */\n' > "$dir/t/core/plus.cc"; expect language language
echo "$passed passed, $failed failed"
[ $failed = 0 ]
