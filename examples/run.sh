#!/bin/sh
# run.sh [ARGUMENT...] - the main job in one command: installs what is missing, builds the library, trains on the digits.
#
# The arguments go to the program (see `sh examples/run.sh --help`). The build stands in build/ of the checkout, or of MLKV_BUILD_ROOT.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here"
build=${MLKV_BUILD_ROOT:-$here}/build
log=$(mktemp)
trap 'rm -f "$log"' EXIT

sh tools/setup.sh build || echo "run.sh: packages are missing; trying without" >&2
mkdir -p "${MLKV_BUILD_ROOT:-$here}"

# Quiet unless something fails.
quietly()
{
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        echo "run.sh: failed: $*" >&2
        return 1
    fi
}

# A folder that another version of meson or another place made is built anew.
if [ -f "$build/build.ninja" ] && ! ninja -C "$build" -t query build.ninja >/dev/null 2>&1; then
    rm -rf "$build"
fi
if [ ! -f "$build/build.ninja" ]; then
    rm -rf "$build"
    echo "setting up $build" >&2
    quietly meson setup "$build" . -Dtests=disabled -Dbench=disabled
fi
echo "building" >&2
quietly ninja -C "$build" || {
    rm -rf "$build"
    quietly meson setup "$build" . -Dtests=disabled -Dbench=disabled
    quietly ninja -C "$build"
}
rm -f "$log"
exec "$build/examples/train_digits" "$@"
