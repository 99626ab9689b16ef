#!/bin/sh
# run.sh [--long] [STAGE...] - sets up, builds and runs all tests; the last line is "N passed, N failed".
#
# Stages, all of them if none is named:
#   house       the rules of the source text: form, layers, headers, tree, what the documentation names
#   format      clang-format finds nothing to change
#   cppcheck    over the library and the examples
#   check       every Check program, by gcc, in a build with fault points, optimised, warnings are errors
#   python      the Python package, by every interpreter that is here, against a release build of the library
#   install     installs that build, runs C and C++ programs against it, and the README's programs; compares its exported names
#   bench       the benchmarks, built with the peers that are here, run in their smallest form
#   subproject  a meson project that takes the library as its subproject
#   oracle      random commands to that build and to redis-server 7.0: the replies are equal
#   server      examples/resp_server with redis-cli, redis-benchmark, redis-py, garbage, and beside other processes
#   model       the protocol model under Spin: the right protocol holds, each broken one is found out
#   tidy        clang-tidy (.clang-tidy has the checks) over the library
#   clang       every Check program, and the examples, by clang, warnings are errors
#   asan        every Check program under AddressSanitizer and UndefinedBehaviorSanitizer
#   tsan        the programs of the suite "threads" under ThreadSanitizer, without suppressions
#   valgrind    the unit tests, and those of the whole that start no processes, under memcheck: no error, nothing definitely lost
#   fuzz        libFuzzer with both sanitizers, a minute for each target of tests/fuzz, beginning with its corpus
#   coverage    a build that counts: a table of what of lib/ the tests reach, which must not be less than the floor below
# A default run takes python, install, bench, subproject and oracle beside model, tidy and server, which use one core each. --long adds:
# fullmodel, broken: each rule broken in the code, once in each way of tests/broken, which a test must notice; and long: what the Check
# programs try with MLKV_LONG=1, each byte and five million elements, and millions of commands beside redis-server, for hours.
# On two idle cores a default run takes about 40 minutes, and builds about 3 GB in build-* folders.
# Environment: MLKV_BUILD_ROOT, where the build folders go (default: the checkout); MLKV_TORTURE_ROUNDS, rounds of the crash tests;
# MLKV_FUZZ_SECONDS, for each target (default 60); MLKV_FUZZ_SEED (default 1).
# Exit status: 0 if nothing failed and every stage ran. A tool that is missing and cannot be installed is a failure of its stage.
set -u
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$here" || exit 1
root=${MLKV_BUILD_ROOT:-$here}
mkdir -p "$root" || exit 1
cores=$(nproc 2>/dev/null || echo 2)
python=/usr/bin/python3
[ -x "$python" ] || python=python3

# Beside each other: what stands in lane 1 and in lane 2.
first_stages='house format cppcheck check'
lane_1='python install bench subproject oracle'
lane_2='model tidy server'
last_stages='clang asan tsan valgrind fuzz coverage'
default_stages="$first_stages $lane_1 $lane_2 $last_stages"
long_stages='fullmodel broken long'
# Per cent of the lines and of the branches of lib/ that a run reaches at least. It reached 94 and 81 on 2026-11-21.
coverage_floor='90 76'
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
all=no
if [ -z "$stages" ]; then
    all=yes
    stages=$default_stages
    [ $long = no ] || stages="$stages $long_stages"
fi

top=$(mktemp -d "${TMPDIR:-/tmp}/mlkv-run-XXXXXX") || exit 1
trap 'rm -rf "$top"' EXIT
lanes=
# shellcheck disable=SC2086 # process ids are words
trap 'kill $lanes 2>/dev/null; exit 130' INT
# shellcheck disable=SC2086
trap 'kill $lanes 2>/dev/null; exit 143' TERM HUP

passed=0
failed=0

# place FOLDER: where the stages that run in this shell keep what they need for a while.
place()
{
    work=$1
    mkdir -p "$work/stores" || exit 1
    export MLKV_TEST_FOLDER="$work/stores"
}
place "$top"

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
    rm -f "$folder"/meson-logs/testlog*.json
    meson test -C "$folder" --no-rebuild --num-processes "$cores" --print-errorlogs "$@" >"$work/meson.log" 2>&1
    status=$?
    # with a wrapper meson adds its name
    log=$(find "$folder/meson-logs" -name 'testlog*.json' | head -n 1)
    if [ -z "$log" ]; then
        failed=$((failed + 1))
        echo "  FAILED: no test was run in $folder"
        tail -n 20 "$work/meson.log" | sed 's/^/    | /'
        return 1
    fi
    failed_before=$failed
    "$python" tests/tally.py meson "$log" >"$work/tally" 2>&1
    add_tally "$work/tally"
    if [ $status != 0 ] && [ "$failed" = "$failed_before" ]; then
        failed=$((failed + 1))
        echo "  FAILED: meson test ended with status $status"
        tail -n 20 "$work/meson.log" | sed 's/^/    | /'
    fi
    rm -rf "$work/stores"
    mkdir "$work/stores"
}

# short_programs NAME ARGUMENT...: the same, with a short form of the tests of random length, and without that of the load, which needs
# its 20 seconds: in full they run in the stage check.
short_programs()
{
    MLKV_TORTURE_ROUNDS=${MLKV_TORTURE_ROUNDS:-40} MLKV_POWERCUT_STATES=${MLKV_POWERCUT_STATES:-1000} \
        MLKV_LINEAR_HISTORIES=${MLKV_LINEAR_HISTORIES:-10} programs "$@" --no-suite load
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

# What clang-format has to say about the C and C++ sources.
stage_format()
{
    check 'clang-format is there' command -v clang-format || return 1
    find lib include tests examples bench \( -name '*.[ch]' -o -name '*.cc' -o -name '*.cpp' \) -print0 >"$work/sources"
    xargs -0 clang-format --dry-run --Werror <"$work/sources" >"$work/format.log" 2>&1
    status=$?
    # shellcheck disable=SC2016 # the inner shell expands them
    check 'clang-format -i would change these, in so many places:' \
        sh -c 'sed -n "s/^\([^ :]*\):[0-9]*:[0-9]*: error: .*/\1/p" "$2" | sort | uniq -c; [ "$1" = 0 ]' format $status "$work/format.log"
}

# Branches of the preprocessor are not tried out one by one: as it is compiled here, with and without fault points.
stage_cppcheck()
{
    check 'cppcheck is there' command -v cppcheck || return 1
    for faults in -DMLKV_FAULTS -UMLKV_FAULTS; do
        check "cppcheck $faults" cppcheck -q -j "$cores" --std=c11 --enable=warning,performance,portability --inline-suppr \
            --error-exitcode=1 --suppress=missingIncludeSystem -D_GNU_SOURCE '-Dnoreturn=__attribute__((noreturn))' "$faults" \
            -Iinclude -Ilib lib examples
    done
}

test_build()
{
    build test -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Dwerror=true -Doptimization=2 -Ddebug=true
}

stage_check()
{
    test_build && programs test
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
    for program in hello hello_cpp train_digits work_queue; do
        check "example $program" env -C "$work" timeout 300 "$root/build-release/examples/$program"
    done
    for program in hello.py work_queue.py; do
        check "example $program" env -C "$work" MLKV_LIBRARY="$root/build-release/lib/libmlkv.so" PYTHONPATH="$here/python" \
            timeout 120 "$python" "$here/examples/$program" "$work/$program.mlkv"
    done
}

stage_bench()
{
    build peers -Dtests=disabled -Dbench=enabled -Dexamples=false -Dwerror=true &&
        check 'benchmarks' "$python" tests/check_bench.py "$root/build-peers"
}

stage_subproject()
{
    check 'a project with libmlkv as its subproject' sh tests/check_subproject.sh "$work/subproject"
}

# script COMMAND...: a script whose last line is "N passed, N failed", which are added up.
script()
{
    "$@" >"$work/script.log" 2>&1 </dev/null || echo '  not all passed'
    sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$work/script.log" >"$work/tally"
    sed '$d; s/^/  /' "$work/script.log"
    add_tally "$work/tally"
}

stage_oracle()
{
    release || return 1
    MLKV_LIBRARY=$root/build-release/lib/libmlkv.so script sh tests/oracle/run.sh short
}

stage_server()
{
    MLKV_BUILD_ROOT=$root script sh tests/server/run.sh
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
    build asan -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=1 -Ddebug=true \
        -Db_sanitize=address,undefined -Db_lundef=false -Dc_args='-fno-omit-frame-pointer -fno-sanitize-recover=undefined' &&
        short_programs asan
    unset ASAN_OPTIONS UBSAN_OPTIONS
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

stage_broken()
{
    sh tests/broken/run.sh 2>&1 | sed '$s/ passed, \([0-9]*\) failed$/ \1/' >"$work/tally"
    add_tally "$work/tally"
}

stage_long()
{
    test_build && MLKV_LONG=1 programs test --timeout-multiplier 0
    release && MLKV_LIBRARY=$root/build-release/lib/libmlkv.so script sh tests/oracle/run.sh long
}

# Only the test's own process is asked for leaks (tests/harness.h): what it forks leaves in the middle of a test.
stage_valgrind()
{
    check 'valgrind is there' command -v valgrind || return 1
    leaks="--suppressions=$here/tests/valgrind.supp --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite"
    build valgrind -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=1 -Ddebug=true || return 1
    # Left out: numbers with more than 64 bits, which valgrind computes with 64; a limit of processor time; and long loops over
    # memory, which AddressSanitizer runs.
    left_out='arithmetic|dtype|hash|number|string_change|transcript|wait|cache|counted|hash_random|pending_hash|set_algebra|strings'
    left_out="$left_out|tensor_add"
    meson test -C "$root/build-valgrind" --list --suite unit --suite alone 2>/dev/null |
        sed -n 's,.* / ,,p' | grep -vE "/test_($left_out)\$" >"$work/subset"
    # shellcheck disable=SC2046 # names are words
    MLKV_MODEL_OPERATIONS=1000 MLKV_LIST_OPERATIONS=300 programs valgrind --timeout-multiplier 10 \
        --wrapper="valgrind -q --error-exitcode=99 --fair-sched=try $leaks" $(cat "$work/subset")
}

stage_clang()
{
    check 'clang is there' command -v clang || return 1
    CC=clang
    export CC
    build clang -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=true -Dwerror=true -Doptimization=2 &&
        short_programs clang
    unset CC
}

stage_tidy()
{
    check 'clang-tidy is there' command -v clang-tidy || return 1
    test_build || return 1
    # A file at a time: what clang-tidy 14 finds in the second file of a call is not always so. In a lane of its own it has one core.
    # shellcheck disable=SC2016 # the inner shell expands them
    check 'clang-tidy' sh -c 'printf "%s\n" lib/*/*.c | xargs -n 1 -P "$2" \
        clang-tidy -p "$1" --quiet --warnings-as-errors="*" 2>/dev/null' tidy "$root/build-test" "$tidy_cores"
}

stage_fuzz()
{
    check 'clang is there' command -v clang || return 1
    options=allocator_may_return_null=1
    CC=clang
    export CC
    if ! probe -fsanitize=address || ! runs "$work/probe"; then
        options=$options:detect_leaks=0
        echo "  this machine does not let a process trace itself: leaks are not looked for"
    fi
    build fuzz -Dfuzzers=true -Dfaults=true -Dbench=disabled -Dexamples=false -Doptimization=2 -Ddebug=true \
        -Db_sanitize=address,undefined -Db_lundef=false \
        -Dc_args='-fsanitize=fuzzer-no-link -fno-omit-frame-pointer -fno-sanitize-recover=undefined' && {
        printf '%s\n' tests/fuzz/fuzz_*.c | sed 's,.*/fuzz_\(.*\)\.c,\1,' >"$work/targets"
        ASAN_OPTIONS=$options UBSAN_OPTIONS=print_stacktrace=1 \
            xargs -n 1 -P "$cores" sh tests/fuzz/run.sh "$root/build-fuzz" "$work" <"$work/targets"
        while IFS= read -r target; do
            check "fuzz_$target" sh -c 'cat "$1.log"; [ "$(cat "$1.status")" = 0 ]' fuzz "$work/$target" &&
                sed -n 's/^fuzz: /  /p' "$work/$target.log"
        done <"$work/targets"
    }
    unset CC
}

# Not counted: what runs in a process that is killed, which never writes its counters. So the suites that do little else are left out.
stage_coverage()
{
    check 'gcov is there' command -v gcov || return 1
    build coverage -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=g -Ddebug=true -Db_coverage=true \
        -Dc_args=-DMLKV_COVERAGE || return 1
    find "$root/build-coverage" -name '*.gcda' -delete
    short_programs coverage --no-suite powercut --no-suite linear
    # shellcheck disable=SC2086 # two numbers
    check 'coverage of lib/' "$python" tests/check_coverage.py "$root/build-coverage" $coverage_floor
    sed -n '/^coverage:/,$p' "$work/check.log" | sed 's/^/  /'
}

groups='build test'
for stage in $stages; do
    case $stage in
    *model) groups="$groups model" ;;
    bench) groups="$groups peers" ;;
    python | oracle | server | long) groups="$groups server" ;;
    format | cppcheck | tidy | clang | valgrind | fuzz) groups="$groups analysis" ;;
    esac
done
# shellcheck disable=SC2086 # group names are words
sh tools/setup.sh $groups || echo "run.sh: packages are missing; trying without them"

# run_stages NAME...: one after another.
run_stages()
{
    for stage in "$@"; do
        begun=$(date +%s)
        before_passed=$passed
        before_failed=$failed
        echo "== $stage"
        "stage_$stage" || :
        echo "   $stage: $((passed - before_passed)) passed, $((failed - before_failed)) failed, $(($(date +%s) - begun)) s"
    done
}

# lane NUMBER STAGE...: the same in a shell of its own, whose output is kept.
lane()
{
    (
        place "$top/lane-$1"
        passed=0
        failed=0
        shift
        run_stages "$@"
        echo "$passed $failed"
    ) >"$top/lane-$1.log" 2>&1 &
    lanes="$lanes $!"
}

# end_lane NUMBER: shows what it said but its last line, and adds that up.
end_lane()
{
    add_tally "$top/lane-$1.log"
}

tidy_cores=$cores
# shellcheck disable=SC2086 # names are words
if [ $all = yes ]; then
    run_stages $first_stages
    tidy_cores=$(((cores + 1) / 2))
    lane 1 $lane_1
    lane 2 $lane_2
    wait
    end_lane 1
    end_lane 2
    run_stages $last_stages
    [ $long = no ] || run_stages $long_stages
else
    run_stages $stages
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
