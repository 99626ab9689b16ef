#!/bin/sh
# run.sh [--quick] [--json FILE] [OPTION...] - builds a release build with the peers and prints one table of measures.
# run.sh --types [--elements N] [--only TYPE] [--folder DIR] - another: what each operation costs on a value of five million elements.
# run.sh tensors [--quick] [--only PART] [--rounds N] [--folder DIR] [--json FILE] - another: tensors coded, stored, read by rows, put in
# part and added to, beside zstd, c-blosc, files, numpy, Redis and memcpy (tensors/main.c says what the figures are).
#
# The other options are those of the program: --keys N, --rounds N, --only WORKLOAD, --engines mlkv,lmdb, --folder DIR (default TMPDIR
# or /var/tmp: a real disk, so that the synced workloads mean something). The build stands in build-bench/ of the checkout or of
# MLKV_BUILD_ROOT.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
root=${MLKV_BUILD_ROOT:-$here}
build=$root/build-bench
log=$(mktemp)
trap 'rm -f "$log"' EXIT
sh "$here/tools/setup.sh" build peers || echo "run.sh: packages are missing; measuring the engines that are there" >&2
mkdir -p "$root"
[ -f "$build/build.ninja" ] || {
    rm -rf "$build"
    meson setup "$build" "$here" -Dbench=enabled -Dtests=disabled -Dexamples=false >"$log" 2>&1 || {
        cat "$log" >&2
        exit 1
    }
}
ninja -C "$build" >"$log" 2>&1 || {
    cat "$log" >&2
    exit 1
}
rm -f "$log"
if [ "${1:-}" = --types ]; then
    shift
    exec "$build/bench/bench_types" "$@"
fi
if [ "${1:-}" = tensors ]; then
    shift
    exec "$build/bench/bench_tensors" "$@"
fi
exec "$build/bench/bench" "$@"
