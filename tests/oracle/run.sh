#!/bin/sh
# run.sh [short|long] - compares libmlkv with a real redis-server, command by command, in all the ways of redis_oracle.py.
#
#   short   some 600,000 commands, which take a minute or so on two cores, always the same ones (MLKV_ORACLE_SEED, default 1)
#   long    7 million commands, of which 5 million in the plainest way, where every option must come up 1,000 times; other ones each
#           time, unless MLKV_ORACLE_SEED says which
#
# Environment: MLKV_LIBRARY, the shared library (default: that of the folder build-release in MLKV_BUILD_ROOT or the checkout);
# MLKV_TEST_FOLDER, where stores and sockets go. Redis comes from Debian's redis-tools, which starts no service; see tools/setup.sh.
# The last line is "N passed, N failed", of the ways to run. Exit status 0: none failed.
set -u
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
form=${1:-short}
case $form in
short) seed=${MLKV_ORACLE_SEED:-1} ;;
long) seed=${MLKV_ORACLE_SEED:-$(date +%s)} ;;
*)
    sed -n '2,/^set -u/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
MLKV_LIBRARY=${MLKV_LIBRARY:-${MLKV_BUILD_ROOT:-$here/../..}/build-release/lib/libmlkv.so}
export MLKV_LIBRARY
python=/usr/bin/python3
[ -x "$python" ] || python=python3

[ -x /usr/bin/redis-check-rdb ] || command -v redis-server >/dev/null 2>&1 || sh "$here/../../tools/setup.sh" server || exit 1

work=$(mktemp -d "${MLKV_TEST_FOLDER:-${TMPDIR:-/tmp}}/mlkv-oracle-run-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
MLKV_TEST_FOLDER=$work
export MLKV_TEST_FOLDER

passed=0
failed=0

# compare COMMANDS OPTION...: one way; a failure is shown whole, else the last line, or all of it if there is a table.
compare()
{
    commands=$1
    shift
    if "$python" "$here/redis_oracle.py" --seed "$seed" --commands "$commands" "$@" >"$work/log" 2>&1; then
        passed=$((passed + 1))
        case " $* " in
        *' --coverage '*) cat "$work/log" ;;
        esac
        echo "oracle ${*:---plain}: $(tail -n 1 "$work/log")"
    else
        failed=$((failed + 1))
        echo "FAILED: oracle ${*:---plain}"
        sed 's/^/    | /' "$work/log"
    fi
    seed=$((seed + 100))
}

# notices COMMANDS OPTION...: a way that must fail, and end in a short sequence.
notices()
{
    commands=$1
    shift
    if ! "$python" "$here/redis_oracle.py" --seed "$seed" --commands "$commands" --jobs 1 --break "$@" >"$work/log" 2>&1 &&
        grep -qE 'shrunk from [0-9]+ to [1-5]:' "$work/log"; then
        passed=$((passed + 1))
        echo "oracle --break${*:+ $*}:$(grep -m 1 'shrunk from' "$work/log")"
    else
        failed=$((failed + 1))
        echo "FAILED: a broken library was not noticed (oracle --break${*:+ $*})"
        sed 's/^/    | /' "$work/log"
    fi
    seed=$((seed + 100))
}

if [ "$form" = short ]; then
    compare 30000 --self
    compare 350000
    compare 100000 --tiny
    compare 25000 --reopen
    compare 100000 --processes 3
    notices 40000
else
    compare 200000 --self
    compare 5000000 --long --coverage
    compare 1000000 --tiny
    compare 250000 --reopen
    compare 250000 --reopen --tiny
    compare 500000 --processes 3
    compare 250000 --processes 3 --tiny
    compare 100000 --processes 3 --reopen
    notices 100000
    notices 100000 --processes 3
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
