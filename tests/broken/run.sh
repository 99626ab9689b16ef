#!/bin/sh
# run.sh [--table | NAME...] - breaks each rule of docs/architecture.md in the real code, once in each way that a patch here says, and sees
# a test fail.
#
# A patch begins with
#   Rule: R3                         the rule, or the invariant (I2), that it breaks
#   Broken: what is done wrong
#   Test: PROGRAM CASE NAME          which test must notice: engine/test_read read catches_up; one line for each that does
# First the tree as it is must pass all those programs. Then, for each patch: it applies without fuzz to a copy of the tree, that builds,
# and each test named fails, and by its own judgement: an assertion, a crash, its time is up. Names are those of patches, or their first
# letters (R05). All patches are run if none is named, and then it is also looked at that each rule has one, that the tests name them, and
# that the table in docs/durability.md is true; --table prints its rows.
# Environment: MLKV_BROKEN_FOLDER, where copy and build go (default: a new folder, deleted at the end).
# The last line is "N passed, N failed"; exit status 0 if nothing failed.
set -u
export LC_ALL=C.UTF-8
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)
own=
if [ -z "${MLKV_BROKEN_FOLDER-}" ]; then
    own=$(mktemp -d "${TMPDIR:-/tmp}/mlkv-broken-XXXXXX") || exit 1
fi
work=${MLKV_BROKEN_FOLDER:-$own}
trap 'rm -rf ${own:+"$own"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
tree=$work/tree
build=$work/build
mkdir -p "$work/stores" || exit 1
export MLKV_TEST_FOLDER="$work/stores"
export MLKV_VICTIM="$build/tests/system/victim" MLKV_VISITOR="$build/tests/system/visitor" MLKV_GOLDEN="$tree/tests/golden"
export CK_TIMEOUT_MULTIPLIER=0.1 # of 300 s: a broken rule may well make somebody wait for ever
passed=0
failed=0

say()
{
    if [ "$1" = passed ]; then
        passed=$((passed + 1))
        echo "  $2: $3"
    else
        failed=$((failed + 1))
        echo "  FAILED: $2: $3"
    fi
}

# The tree beside itself. Files that did not change keep their times, so that nothing is built twice.
copy()
{
    rm -rf "$work/new"
    mkdir -p "$work/new" "$tree" &&
        (cd "$root" && tar -cf - --exclude='./build*' --exclude=./.git --exclude='__pycache__' .) | tar -xf - -C "$work/new" || return 1
    (cd "$work/new" && find . -type f) | while IFS= read -r file; do
        cmp -s "$work/new/$file" "$tree/$file" && continue
        mkdir -p "$(dirname "$tree/$file")"
        cp "$work/new/$file" "$tree/$file"
    done
    rm -rf "$work/new"
}

# target PROGRAM: the file in the build folder, of engine/test_read as of system/test_fork.
target()
{
    case $1 in
    system/* | faults/* | linear/* | powercut/*) echo "tests/$1" ;;
    *) echo "tests/${1#*/}_${1%%/*}" ;;
    esac
}

# compile PROGRAM...: as little as possible.
compile()
{
    targets=
    for program in "$@"; do
        targets="$targets $(target "$program")"
        case $program in system/*) targets="$targets tests/system/victim tests/system/visitor" ;; esac
    done
    # shellcheck disable=SC2086 # names without blanks
    nice ninja -C "$build" $targets >"$work/ninja.log" 2>&1
}

# run PROGRAM CASE: its output in $work/output. The store folder begins empty.
run()
{
    rm -rf "$work/stores"
    mkdir "$work/stores"
    CK_RUN_CASE=$2 timeout -k 5 150 "$build/$(target "$1")" >"$work/output" 2>&1
}

tests_of()
{
    sed -n 's/^Test: //p' "$1"
}

# whole FILE...: the tree as it is passes.
whole()
{
    for patch in "$@"; do
        tests_of "$patch"
    done | awk '{ print $1, $2 }' | sort -u >"$work/programs"
    # shellcheck disable=SC2046 # names without blanks
    if ! compile $(awk '{ print $1 }' "$work/programs" | sort -u); then
        grep -E 'error|FAILED' "$work/ninja.log" | head -n 20 | sed 's/^/    | /'
        say failed 'the tree as it is' 'does not build'
        return 1
    fi
    bad=
    while read -r program case; do
        if ! run "$program" "$case" </dev/null || ! grep -q '^[0-9]*%: Checks: [1-9]' "$work/output"; then
            bad="$bad $program/$case"
            tail -n 20 "$work/output" | sed 's/^/    | /'
        fi
    done <"$work/programs"
    if [ -n "$bad" ]; then
        say failed 'the tree as it is' "does not pass$bad"
        return 1
    fi
    say passed 'the tree as it is' "passes the $(wc -l <"$work/programs") cases that are to fail"
}

# broken FILE: applied to the tree, each test named fails.
broken()
{
    name=$(basename "$1" .patch)
    if ! patch -p1 -F0 -s --dry-run -d "$tree" <"$1" >"$work/patch.log" 2>&1; then
        tail -n 5 "$work/patch.log" | sed 's/^/    | /'
        say failed "$name" 'does not apply any more'
        return
    fi
    patch -p1 -F0 -s --no-backup-if-mismatch -d "$tree" <"$1"
    tests_of "$1" >"$work/tests"
    verdict=
    unnoticed=
    # shellcheck disable=SC2046
    if ! compile $(awk '{ print $1 }' "$work/tests" | sort -u); then
        grep -E 'error|FAILED' "$work/ninja.log" | head -n 5 | sed 's/^/    | /'
        unnoticed=' does not build'
    else
        while read -r program case test; do
            if run "$program" "$case" </dev/null; then
                unnoticed="$unnoticed $program $test does not notice"
            elif ! grep -Eq ":[FE]:$case:$test:" "$work/output"; then
                unnoticed="$unnoticed $program fails, but not by $test"
                tail -n 5 "$work/output" | sed 's/^/    | /'
            else
                verdict="$verdict $program $test"
            fi
        done <"$work/tests"
    fi
    patch -p1 -R -F0 -s --no-backup-if-mismatch -d "$tree" <"$1" || copy
    if [ -n "$unnoticed" ] || [ -z "$verdict" ]; then
        say failed "$name" "${unnoticed:- names no test}"
    else
        say passed "$name" "fails$verdict"
    fi
}

# table FILE...: the rows of the table in docs/durability.md.
table()
{
    for rule in R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12 I1 I2 I3 I4 I5 I6 I7 I8 I9; do
        for patch in "$@"; do
            grep -qx "Rule: $rule" "$patch" || continue
            sed -n "s|^Test: \([^ ]*\).*|test tests/\1.c|p" "$patch"
            echo "patch $(basename "$patch" .patch)"
        done | awk -v rule=$rule '
            { list = $1 }
            !seen[$0]++ { text[list] = text[list] (text[list] == "" ? "" : ", ") "`" $2 "`" }
            END { if (NR != 0) print "| " rule " | " text["patch"] " | " text["test"] " |" }'
    done
}

# all FILE...: none is forgotten.
all()
{
    missing=
    for rule in R1 R2 R3 R4 R5 R6 R7 R8 R9 R10 R11 R12; do
        grep -qx "Rule: $rule" "$@" || missing="$missing $rule"
    done
    for patch in "$@"; do
        name=$(basename "$patch" .patch)
        # shellcheck disable=SC2013 # names without blanks
        for program in $(sed -n 's/^Test: \([^ ]*\).*/\1/p' "$patch" | sort -u); do
            grep -Eq "(^|[^-A-Za-z0-9])$name($|[^-A-Za-z0-9])" "$root/tests/$program.c" || missing="$missing $name:$program.c"
        done
    done
    table "$@" >"$work/table"
    while IFS= read -r row; do
        grep -Fqx "$row" "$root/docs/durability.md" || missing="$missing docs:$(echo "$row" | cut -c3-5)"
    done <"$work/table"
    if [ -n "$missing" ]; then
        say failed 'each rule is broken; its tests and docs/durability.md say so (run.sh --table)' "not$missing"
    else
        say passed 'each rule is broken' "by $# patches in all; the tests and docs/durability.md say so"
    fi
}

if [ "${1-}" = --table ]; then
    table "$here"/*.patch
    exit 0
fi
if [ $# = 0 ]; then
    set -- "$here"/*.patch
    all "$@"
else
    names=$*
    set --
    for name in $names; do
        set -- "$@" "$here/$name"*.patch
    done
    for patch in "$@"; do
        [ -f "$patch" ] || {
            echo "run.sh: there is no $patch" >&2
            exit 2
        }
    done
fi
copy || exit 1
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" "$tree" -Dfaults=true -Dtests=enabled -Dbench=disabled -Dexamples=false -Doptimization=1 -Ddebug=true \
        >"$work/setup.log" 2>&1 || {
        tail -n 20 "$work/setup.log"
        say failed 'meson setup' 'failed'
        echo "$passed passed, $failed failed"
        exit 1
    }
fi
if whole "$@"; then
    for patch in "$@"; do
        broken "$patch"
    done
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
