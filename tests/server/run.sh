#!/bin/sh
# run.sh [TEST...] - builds examples/resp_server and tests it from outside: redis-cli, redis-benchmark, python3-redis, garbage, other
# processes on the same folder.
#
# Each TEST is a module of this folder, or a part of one, as python3 -m unittest takes it (test_cli, test_garbage.Garbage.test_lines);
# all of them, if none is named, and then test_garbage and test_shared once more in a build with AddressSanitizer and
# UndefinedBehaviorSanitizer.
# Installs what is missing through tools/setup.sh. The last line is "N passed, N failed".
# Environment: MLKV_BUILD_ROOT, where the build folders go (default: the checkout); MLKV_SERVER_SECONDS, how long random bytes are sent
# (default 2); MLKV_SERVER_SEED, to repeat that.
# Exit status: 0 if nothing failed.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
root=${MLKV_BUILD_ROOT:-$here}
python=/usr/bin/python3 # Debian's, which has Debian's python3-redis
work=$(mktemp -d "${TMPDIR:-/tmp}/mlkv-server-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
export MLKV_TEST_FOLDER="$work" PYTHONDONTWRITEBYTECODE=1
passed=0
failed=0

# build NAME OPTION...: builds the server in $root/build-NAME.
build()
{
    folder=$root/build-$1
    shift
    [ -f "$folder/build.ninja" ] || meson setup "$folder" "$here" -Dtests=disabled -Dbench=disabled -Dwerror=true "$@" >"$work/log" 2>&1 &&
        ninja -C "$folder" examples/resp_server >"$work/log" 2>&1 && return 0
    grep -E 'error|FAILED|ERROR|undefined' "$work/log" | head -n 20
    echo "  FAILED: the build in $folder"
    failed=$((failed + 1))
    return 1
}

# tests NAME TEST...: runs them with the server of build-NAME.
tests()
{
    export MLKV_SERVER="$root/build-$1/examples/resp_server"
    shift
    (cd "$here/tests/server" && timeout 1800 "$python" -m unittest "$@") >"$work/log" 2>&1 </dev/null
    "$python" "$here/tests/tally.py" unittest "$work/log" >"$work/tally" 2>&1
    sed '$d' "$work/tally"
    # shellcheck disable=SC2046 # two numbers
    set -- $(tail -n 1 "$work/tally")
    passed=$((passed + $1))
    failed=$((failed + $2))
    [ "$2" = 0 ] || grep '^seed' "$work/log" | tail -n 3
}

sh "$here/tools/setup.sh" build server || exit 1
if build server --buildtype=release; then
    # Other processes load this library in any case: a library with sanitizers does not load into Python.
    export MLKV_LIBRARY="$root/build-server/lib/libmlkv.so"
    if [ $# -gt 0 ]; then
        tests server "$@"
    else
        tests server test_cli test_client test_garbage test_shared
        if build server-asan -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Ddebug=true; then
            export MLKV_SERVER_SLOW=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
            tests server-asan test_garbage test_shared
        fi
    fi
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
