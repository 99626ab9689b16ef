#!/bin/sh
# setup.sh GROUP... - makes sure that the Debian packages of the groups are installed.
#
# Groups: build (what the library needs), test (what the tests need besides), server (the clients
# that the server example is tested with), model (the protocol model), peers (the engines that the
# benchmark compares with), analysis (another compiler, checkers, sanitizers and fuzzers, for tests/run.sh).
# Silent, instant and without network when nothing is missing. Otherwise apt-get, through sudo if the caller is not root.
# Exit status 0: everything is there. 1: something could not be installed; it is named.
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

packages_of()
{
    case $1 in
    # libc6-dev by name: gcc only recommends it.
    build) echo gcc libc6-dev meson ninja-build pkg-config liblmdb-dev libzstd-dev libxxhash-dev libuv1-dev ;;
    test) echo g++ check libsubunit-dev patch python3 python3-numpy ;;
    server) echo libuv1-dev redis-tools python3-redis python3 ;;
    model) echo gcc libc6-dev spin ;;
    peers) echo g++ librocksdb-dev libleveldb-dev libsnappy-dev libblosc-dev libhiredis-dev redis-server python3-numpy ;;
    analysis) echo clang clang-tidy clang-format cppcheck valgrind libc6-dbg libclang-rt-14-dev ;;
    *) return 1 ;;
    esac
}

# Prints those of its arguments that dpkg does not call installed.
missing_of()
{
    for package in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ?i*) ;;
        *) echo "$package" ;;
        esac
    done
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    else
        echo "setup.sh: neither root nor sudo is there to run: $*" >&2
        return 1
    fi
}

install()
{
    as_root apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq install -y --no-install-recommends "$@" </dev/null
}

wanted=
for group in "${@:-build}"; do
    list=$(packages_of "$group") || {
        echo "setup.sh: no group is called '$group'; there are build, test, server, model, peers, analysis" >&2
        exit 2
    }
    wanted="$wanted $list"
done

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    echo "setup.sh: this is not a Debian system: please see to these yourself:$wanted" >&2
    exit 0
fi

# shellcheck disable=SC2086 # package names are words
missing=$(missing_of $wanted | sort -u)
[ -n "$missing" ] || exit 0

# shellcheck disable=SC2086
{
    echo "setup.sh: installing" $missing >&2
    # Old lists may still do, so a failed update is no reason to stop.
    as_root apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq update </dev/null >&2 ||
        echo "setup.sh: apt-get update failed; going on" >&2
    install $missing >&2 || for package in $missing; do
        install "$package" >&2
    done
    missing=$(missing_of $missing)
    [ -z "$missing" ] || {
        echo "setup.sh: could not install" $missing >&2
        exit 1
    }
}
