#!/bin/sh
# load.sh MINUTES [FOLDER] - a mixed load by six processes for so long, and whether memory and disk stay within what they may take.
#
# What is checked stands in tests/system/test_load.c. Each second is a line of FOLDER/load.csv, of which FOLDER/load.svg is drawn if
# gnuplot is there. FOLDER (default: build-load/results under MLKV_BUILD_ROOT) is made; the store stands in it meanwhile: let it be on a
# disk. Environment: MLKV_BUILD_ROOT, where build-load goes (default: the checkout); MLKV_LOAD_SCALE, MLKV_LOAD_CACHE, MLKV_LOAD_RING:
# live data (some 2 MiB times this, default 40), cache of each process and ring, in MiB (16, 32).
# Exit status: 0 if all was well.
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
build=$root/build-load
results=${2:-$build/results}
mkdir -p "$results" || exit 1
results=$(CDPATH='' cd -- "$results" && pwd)
[ -f "$build/build.ninja" ] || meson setup "$build" "$here" -Dtests=enabled -Dbench=disabled -Dexamples=false || exit 1
ninja -C "$build" tests/system/test_load || exit 1
work=$(mktemp -d "$results/store-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
env MLKV_TEST_FOLDER="$work" MLKV_LOAD_SECONDS=$(($1 * 60)) MLKV_LOAD_CSV="$results/load.csv" MLKV_LOAD_SCALE="${MLKV_LOAD_SCALE:-40}" \
    MLKV_LOAD_CACHE="${MLKV_LOAD_CACHE:-16}" MLKV_LOAD_RING="${MLKV_LOAD_RING:-32}" "$build/tests/system/test_load"
status=$?
if command -v gnuplot >/dev/null 2>&1; then
    gnuplot -c "$here/tests/system/load.gnuplot" "$results/load.csv" "$results/load.svg" || status=1
else
    echo 'no gnuplot: no drawing'
fi
exit $status
