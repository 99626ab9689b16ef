#!/bin/sh
# run.sh BUILD LOGS TARGET - searches with libFuzzer for an input that breaks fuzz_TARGET, built in the folder BUILD with -Dfuzzers=true.
# run.sh --merge BUILD TARGET... - takes into the corpora here what such searches found, as few and as small inputs as do.
#
# A search begins with corpus/TARGET, which is only read; what it finds new stays in BUILD/corpus/TARGET and is used again. It takes
# MLKV_FUZZ_SECONDS (60) seconds and begins with the seed MLKV_FUZZ_SEED (1). It writes LOGS/TARGET.log, and LOGS/TARGET.status: 0 if
# nothing broke.
# A breaking input is kept in BUILD/crashes, and printed as base64; `fuzz_TARGET FILE` of any build runs it again.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
export ASAN_OPTIONS="${ASAN_OPTIONS-allocator_may_return_null=1:detect_leaks=0}"
size_max=4096 # of an input: more finds nothing more, and makes corpora large

merge()
{
    build=$1
    shift
    for target in "$@"; do
        merged=$build/merged-$target
        rm -rf "$merged"
        mkdir -p "$merged" "$build/corpus/$target" "$here/corpus/$target"
        "$build/tests/fuzz/fuzz_$target" -merge=1 -max_len=$size_max "$merged" "$here/corpus/$target" "$build/corpus/$target" \
            >"$build/merge-$target.log" 2>&1 || {
            tail -n 20 "$build/merge-$target.log"
            return 1
        }
        rm -rf "$here/corpus/$target"
        cp -r "$merged" "$here/corpus/$target" && rm -rf "$merged"
        echo "$target: $(find "$here/corpus/$target" -type f | wc -l) inputs, $(cat "$here/corpus/$target"/* | wc -c) bytes"
    done
}

search()
{
    build=$1 target=$3 crashes=$1/crashes
    mkdir -p "$crashes" "$build/corpus/$target" "$2"
    log=$2/$target.log
    "$build/tests/fuzz/fuzz_$target" -max_total_time="${MLKV_FUZZ_SECONDS:-60}" -seed="${MLKV_FUZZ_SEED:-1}" -max_len=$size_max \
        -timeout=60 -rss_limit_mb=3000 -print_final_stats=1 -artifact_prefix="$crashes/$target-" \
        "$build/corpus/$target" "$here/corpus/$target" >"$build/$target.log" 2>&1 </dev/null
    status=$?
    {
        if [ $status != 0 ]; then
            tail -n 40 "$build/$target.log"
            sed -n 's/.*Test unit written to //p' "$build/$target.log" | while IFS= read -r input; do
                echo "kept: $input"
                base64 "$input"
            done
        fi
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$target.log")
        reached=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$build/$target.log" | tail -n 1)
        echo "fuzz: $target: ${runs:-no} runs, ${reached:-no} places reached"
    } >"$log"
    echo $status >"$2/$target.status"
    return 0
}

if [ "${1-}" = --merge ] && [ $# -ge 3 ]; then
    shift
    merge "$@"
elif [ $# = 3 ]; then
    search "$@"
else
    sed -n '2,/^set -u/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi
