#!/bin/sh
# torture.sh MINUTES - the long run: crash, power cut, random operations, linearizability, crowds, with new seeds until the time is over.
#
# Builds with fault points in MLKV_BUILD_ROOT (default: the checkout), in build-torture. A test that is begun is ended, so it may
# take some minutes longer. Each run prints a line; of a failure its seed, the command that repeats it, and where its output is kept.
# The last line sums up. Exit status: 0 if something ran and nothing failed.
# Environment: MLKV_BUILD_ROOT; MLKV_TEST_FOLDER, where stores are made (default /tmp: let it be a disk, not memory);
# MLKV_TORTURE_SEED, the first seed (default: the clock).
set -u
export LC_ALL=C.UTF-8
case "${1-}" in
'' | *[!0-9]*)
    sed -n '2,/^set -u/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root=${MLKV_BUILD_ROOT:-$here}
build=$root/build-torture
seed=${MLKV_TORTURE_SEED:-$(date +%s)}
kept=$build/failures
mkdir -p "$root" || exit 1
[ -f "$build/build.ninja" ] || meson setup "$build" "$here" -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false \
    -Doptimization=2 -Ddebug=true || exit 1
ninja -C "$build" || exit 1
mkdir -p "$kept"
export MLKV_VICTIM="$build/tests/system/victim" MLKV_VISITOR="$build/tests/system/visitor"
export MLKV_VISITOR_PROTOCOL="$build/tests/system/visitor_protocol" MLKV_VISITOR_FORMAT="$build/tests/system/visitor_format"
export MLKV_VISITOR_PATCH="$build/tests/system/visitor_patch"
export MLKV_LINEAR_CLIENT="$build/tests/linear/linear_client" MLKV_POWERCUT_WORKLOAD="$build/tests/powercut/powercut_workload"
work=$(mktemp -d "${MLKV_TEST_FOLDER:-/tmp}/mlkv-torture-XXXXXX") || exit 1
export MLKV_TEST_FOLDER="$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
end=$(($(date +%s) + $1 * 60))
runs=0
failures=0

# run PROGRAM VARIABLE=VALUE...: one test program with these in its environment; nothing if it was not built, or the time is over.
run()
{
    program=$build/tests/$1
    name=$(basename "$1")
    shift
    [ -x "$program" ] && [ "$(date +%s)" -lt "$end" ] || return 0
    begun=$(date +%s)
    runs=$((runs + 1))
    if env "$@" "$program" >"$work/output" 2>&1; then
        echo "passed: $name $* ($(($(date +%s) - begun)) s)"
    else
        status=$?
        failures=$((failures + 1))
        cp "$work/output" "$kept/$name-$seed"
        echo "FAILED: status $status, seed $seed: $* $program"
        tail -n 20 "$work/output" | sed 's/^/    | /'
        echo "    output kept in $kept/$name-$seed"
    fi
    # a failed test leaves its store behind
    find "$work" -mindepth 1 -maxdepth 1 -name 'mlkv-test-*' -exec rm -rf {} +
}

while [ "$(date +%s)" -lt "$end" ]; do
    run system/test_crash MLKV_TORTURE_ROUNDS=2000 "MLKV_TORTURE_SEED=$seed"
    run linear/test_linear MLKV_LINEAR_HISTORIES=200 "MLKV_LINEAR_SEED=$seed"
    run system/test_model MLKV_MODEL_OPERATIONS=100000 "MLKV_MODEL_SEED=$seed"
    run powercut/test_powercut MLKV_POWERCUT_STATES=20000 "MLKV_POWERCUT_SEED=$seed"
    run system/test_many MLKV_LONG=1
    run system/test_stopped
    run system/test_fork
    run system/test_fork_locks MLKV_LONG=1
    run system/test_versions
    seed=$((seed + 1))
done
echo "$runs runs, $failures failed"
[ "$failures" = 0 ] && [ "$runs" != 0 ]
