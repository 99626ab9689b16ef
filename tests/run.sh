#!/bin/sh
# run.sh [--long] [STAGE...] - sets up, builds and runs all tests; the last line is "N passed, N failed".
#
# Stages, in this order, all of them if none is named:
#   house       the rules of the source text: format, layers, headers, tree, what the documentation names
#   check       every Check program, in a build with fault points, optimised, warnings are errors
#   python      the Python package, by every interpreter that is here, against a release build of the library
#   install     installs that build, compiles and runs C and C++ programs against it, runs the README's programs
#   subproject  a meson project that takes the library as its subproject
#   asan        every Check program under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan        the programs of the suite "threads" under ThreadSanitizer, without suppressions
#   model       the protocol model under Spin: the right protocol holds, each broken one is found out
# --long adds: valgrind, clang (build and all Check programs), tidy, cppcheck, fullmodel.
# Environment: MLKV_BUILD_ROOT, where the build folders go (default: the checkout); MLKV_TORTURE_ROUNDS, rounds of the crash tests.
# Exit status: 0 if nothing failed and every stage ran.
set -u
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here" || exit 1
root=${MLKV_BUILD_ROOT:-$here}
mkdir -p "$root" || exit 1
cores=$(nproc 2>/dev/null || echo 2)
python=/usr/bin/python3
[ -x "$python" ] || python=python3

default_stages='house check python install subproject asan tsan model'
long_stages='valgrind clang tidy cppcheck fullmodel'
stages=
long=no
for argument in "$@"; do
    case " $default_stages $long_stages " in
    *" $argument "*) stages="$stages $argument" ;;
    *)
        [ "$argument" = --long ] || {
            sed -n '2,/^set -u/{/^#/s/^# \{0,1\}//p}' "$0"
            [ "$argument" = --help ] && exit 0
            echo "run.sh: no stage is called '$argument'" >&2
            exit 2
        }
        long=yes
        ;;
    esac
done
if [ -z "$stages" ]; then
    stages=$default_stages
    [ $long = no ] || stages="$stages $long_stages"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/mlkv-run-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mkdir "$work/stores"
export MLKV_TEST_FOLDER="$work/stores"

passed=0
failed=0

# check NAME COMMAND...: one script check, counted as one; what it printed is shown only if it failed.
check()
{
    check_name=$1
    shift
    if "$@" >"$work/check.log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "  FAILED: $check_name"
        tail -n 60 "$work/check.log" | sed 's/^/    | /'
        return 1
    fi
}

# add_tally FILE: shows what tally.py printed but its last line, which it adds up.
add_tally()
{
    sed '$d' "$1"
    # shellcheck disable=SC2046 # two numbers
    set -- $(tail -n 1 "$1")
    case "${1-} ${2-}" in
    *[!0-9\ ]* | ' '* | *' ')
        echo "  FAILED: the logs could not be read"
        failed=$((failed + 1))
        ;;
    *)
        passed=$((passed + $1))
        failed=$((failed + $2))
        ;;
    esac
}

# build NAME ARGUMENT...: sets up and builds $root/build-NAME. What it was set up with stands in a file there; when that changed, it is
# built anew. One second try from nothing, because a folder may be left over from an interrupted build or another compiler.
build()
{
    folder=$root/build-$1
    shift
    what="$here $(meson --version) $(${CC:-cc} --version 2>/dev/null | head -n 1) $*"
    [ "$(cat "$folder/mlkv-setup" 2>/dev/null)" = "$what" ] || rm -rf "$folder"
    for attempt in first second; do
        if [ ! -f "$folder/build.ninja" ]; then
            meson setup "$folder" "$here" "$@" >"$work/setup.log" 2>&1 && printf %s "$what" >"$folder/mlkv-setup"
        fi
        if [ -f "$folder/mlkv-setup" ] && ninja -C "$folder" >"$work/ninja.log" 2>&1; then
            return 0
        fi
        [ $attempt = first ] && [ -f "$work/ninja.log" ] && cp "$work/ninja.log" "$work/first.log"
        rm -rf "$folder"
    done
    failed=$((failed + 1))
    echo "  FAILED: the build in $folder"
    cat "$work/setup.log" "$work/ninja.log" 2>/dev/null | grep -E 'error|FAILED|warning|undefined|ERROR' | head -n 40 | sed 's/^/    | /'
    return 1
}

# programs NAME ARGUMENT...: runs the Check programs of build-NAME by meson, arguments go to it.
programs()
{
    folder=$root/build-$1
    shift
    rm -f "$folder/meson-logs/testlog.json"
    meson test -C "$folder" --no-rebuild --num-processes "$cores" --print-errorlogs "$@" >"$work/meson.log" 2>&1
    status=$?
    if [ ! -f "$folder/meson-logs/testlog.json" ]; then
        failed=$((failed + 1))
        echo "  FAILED: no test was run in $folder"
        tail -n 20 "$work/meson.log" | sed 's/^/    | /'
        return 1
    fi
    failed_before=$failed
    "$python" tests/tally.py meson "$folder/meson-logs/testlog.json" >"$work/tally" 2>&1
    add_tally "$work/tally"
    if [ $status != 0 ] && [ "$failed" = "$failed_before" ]; then
        failed=$((failed + 1))
        echo "  FAILED: meson test ended with status $status"
        tail -n 20 "$work/meson.log" | sed 's/^/    | /'
    fi
    rm -rf "$work/stores"
    mkdir "$work/stores"
}

stage_house()
{
    check lint "$python" tests/lint.py
    check layers "$python" tests/check_layers.py
    check tree "$python" tests/check_tree.py
    check headers sh tests/check_headers.sh
    check documents "$python" tests/check_documents.py
    check 'examples use the public interface only' \
        sh -c '! grep -rnE "#include .(base|codec|store|journal|pending|cache|engine|view|types)/" examples'
}

stage_check()
{
    build test -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Dwerror=true -Doptimization=2 -Ddebug=true &&
        programs test
}

release()
{
    build release -Dtests=disabled -Dbench=disabled -Dexamples=true -Dwerror=true
}

# Prints the interpreters to test with: the plain python3 and Debian's, if they are two.
interpreters()
{
    for candidate in python3 /usr/bin/python3; do
        "$candidate" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null
    done | awk '!seen[$0]++'
}

stage_python()
{
    release || return 1
    interpreters >"$work/interpreters"
    check 'an interpreter of Python' test -s "$work/interpreters"
    while IFS= read -r interpreter; do
        MLKV_LIBRARY=$root/build-release/lib/libmlkv.so PYTHONPATH=$here/python \
            timeout 600 "$interpreter" -m unittest discover -s python/tests -p 'test_*.py' >"$work/python.log" 2>&1 </dev/null
        "$python" tests/tally.py unittest "$work/python.log" >"$work/tally" 2>&1
        echo "  $interpreter: $(tail -n 1 "$work/tally" | sed 's/ .*//') passed"
        add_tally "$work/tally"
    done <"$work/interpreters"
}

stage_install()
{
    release || return 1
    check 'exported names' "$python" tests/check_exports.py "$root/build-release/lib/libmlkv.so"
    check 'a C and a C++ program against the installed library' sh tests/check_install.sh "$root/build-release" "$work/install"
    check 'programs in the README' "$python" tests/check_documents.py --run "$root/build-release"
    for program in hello hello_cpp train_digits; do
        check "example $program" env -C "$work" timeout 300 "$root/build-release/examples/$program"
    done
    check 'example hello.py' env -C "$work" MLKV_LIBRARY="$root/build-release/lib/libmlkv.so" PYTHONPATH="$here/python" \
        timeout 120 "$python" "$here/examples/hello.py"
}

stage_subproject()
{
    check 'a project with libmlkv as its subproject' sh tests/check_subproject.sh "$work/subproject"
}

# runs PROGRAM [WRAPPER...]: eight runs of a program all end well (address layouts differ from run to run).
runs()
{
    program=$1
    shift
    for _ in 1 2 3 4 5 6 7 8; do
        "$@" "$program" >/dev/null 2>&1 || return 1
    done
}

# A sanitizer's run time needs things of the kernel: an address layout that it knows, and for leaks the right to trace its own process.
# probe FLAGS: builds an empty program, to see.
probe()
{
    cat >"$work/probe.c" <<'END'
#include <pthread.h>
static void *run(void *p) { return p; }
int main(void) { pthread_t t; return pthread_create(&t, 0, run, 0) || pthread_join(t, 0); }
END
    ${CC:-cc} "$@" -pthread -o "$work/probe" "$work/probe.c" >"$work/probe.log" 2>&1
}

stage_asan()
{
    export ASAN_OPTIONS=detect_stack_use_after_return=0:abort_on_error=0:allocator_may_return_null=1
    export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    if probe -fsanitize=address && ! runs "$work/probe"; then
        ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
        echo "  this machine does not let a process trace itself: leaks are not looked for"
    fi
    rounds=${MLKV_TORTURE_ROUNDS-}
    export MLKV_TORTURE_ROUNDS="${rounds:-40}"
    build asan -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=1 -Ddebug=true \
        -Db_sanitize=address,undefined -Db_lundef=false -Dc_args='-fno-omit-frame-pointer -fno-sanitize-recover=undefined' &&
        programs asan
    unset ASAN_OPTIONS UBSAN_OPTIONS MLKV_TORTURE_ROUNDS
    [ -z "$rounds" ] || export MLKV_TORTURE_ROUNDS="$rounds"
}

stage_tsan()
{
    wrapper=
    if probe -fsanitize=thread && ! runs "$work/probe"; then
        if runs "$work/probe" setarch -R; then
            wrapper='--wrapper=setarch -R'
        else
            echo "  this kernel's address layout is one that this compiler's ThreadSanitizer cannot run in: left out"
            return 0
        fi
    fi
    build tsan -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=1 -Ddebug=true \
        -Db_sanitize=thread -Db_lundef=false -Dc_args=-fno-omit-frame-pointer &&
        CK_FORK=no TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
            programs tsan --suite threads ${wrapper:+"$wrapper"}
}

stage_model()
{
    sh tests/model/run.sh small "$work/model" >"$work/tally" 2>&1
    add_tally "$work/tally"
}

stage_fullmodel()
{
    sh tests/model/run.sh full "$work/model" >"$work/tally" 2>&1
    add_tally "$work/tally"
}

# Fork tests leave children that valgrind would call leaking; errors of memory are what it is here for.
stage_valgrind()
{
    build valgrind -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=1 -Ddebug=true &&
        MLKV_TORTURE_ROUNDS=3 programs valgrind --no-suite system --timeout-multiplier 10 \
            --wrapper='valgrind -q --error-exitcode=99 --child-silent-after-fork=yes'
}

stage_clang()
{
    CC=clang
    export CC
    build clang -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=true -Dwerror=true -Doptimization=2 &&
        programs clang
    unset CC
}

# Left out: what the house does on purpose (parameters of one type side by side, memcpy with a checked size).
tidy_checks='-*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier'
tidy_checks=$tidy_checks,-bugprone-assignment-in-if-condition,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling

stage_tidy()
{
    build test -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Dwerror=true -Doptimization=2 -Ddebug=true || return 1
    # shellcheck disable=SC2016 # the inner shell expands them
    check 'clang-tidy' sh -c 'printf "%s\n" lib/*/*.c | xargs -n 1 -P "$2" clang-tidy -p "$1" --quiet --warnings-as-errors="*" \
        --checks="$3"' tidy "$root/build-test" "$cores" "$tidy_checks"
}

stage_cppcheck()
{
    check cppcheck cppcheck -q -j "$cores" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
        --suppress=missingIncludeSystem -D_GNU_SOURCE -Iinclude -Ilib lib
}

groups='build test'
case " $stages " in *model\ *) groups="$groups model" ;; esac
case " $stages " in *\ valgrind\ * | *\ clang\ * | *\ tidy\ * | *\ cppcheck\ *) groups="$groups analysis" ;; esac
# shellcheck disable=SC2086 # group names are words
sh tools/setup.sh $groups || echo "run.sh: packages are missing; trying without them"

for stage in $stages; do
    begun=$(date +%s)
    before_passed=$passed
    before_failed=$failed
    echo "== $stage"
    "stage_$stage" || :
    echo "   $stage: $((passed - before_passed)) passed, $((failed - before_failed)) failed, $(($(date +%s) - begun)) s"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
