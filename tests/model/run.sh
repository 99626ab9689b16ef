#!/bin/sh
# run.sh [small|full] [FOLDER] - searches the protocol models with Spin: the right protocols must be without error, and each one with a rule
# broken must show one. The last line is "PASSED FAILED". small takes about half a minute on two cores, full some minutes and 4 GB.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

# one FOLDER holds|breaks MODEL FLAG...: a search in a folder of its own; prints one line that begins with "ok" or "BAD".
if [ "${1-}" = one ]; then
    folder=$2
    want=$3
    model=$4
    shift 4
    optimise=-O0
    [ "$want" = breaks ] || optimise=-O2
    work=$(mktemp -d "$folder/XXXXXX") && cd "$work" || exit 1
    log=$work/log
    {
        spin -a "$@" "$here/$model.pml" && gcc -w $optimise -DSAFETY -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c && ./pan -m2000000
    } >"$log" 2>&1
    if ! grep -q 'errors: [0-9]' "$log"; then
        verdict='BAD  no search'
    elif [ "$want" = holds ] && grep -q 'errors: 0$' "$log" && ! grep -qE 'not completed|too small' "$log"; then
        verdict='ok   holds'
    elif [ "$want" = breaks ] && grep -q 'assertion violated' "$log"; then
        verdict='ok   breaks'
    else
        verdict='BAD  '$want
    fi
    states=$(awk '/states, stored/ {print $1}' "$log")
    echo "$verdict: $model $* (${states:-no} states)"
    case $verdict in BAD*) grep -vE '^ *$|^\(Spin|Partial|Full statespace|never claim' "$log" | tail -n 12 | sed 's/^/    | /' ;; esac
    cd / && rm -rf "$work"
    exit 0
fi

size=${1:-small}
made=
folder=${2-}
if [ -z "$folder" ]; then
    folder=$(mktemp -d) || exit 1
    made=$folder
    trap 'rm -rf "$made"' EXIT
fi
mkdir -p "$folder"

# Two readers in one process, one write; two records; the two together; a ring so small that a reader is overtaken.
readers='-DREADERS=2 -DVERSIONS=1 -DN=1'
records="$readers -DRECORDS=2"
overtaken='-DREADERS=2 -DVERSIONS=2 -DN=1'
fewer='-DDEATHS=0 -DNO_DIRECT -DNO_EVICTION'
{
    echo "holds journal -DVERSIONS=2"
    echo "holds journal $readers -DNO_EVICTION"
    echo "holds journal $records $fewer"
    echo "holds journal $overtaken $fewer -DWARM"
    echo "holds blobs"
    if [ "$size" = full ]; then
        echo "holds journal"
        echo "holds journal $readers"
        echo "holds journal $records -DDEATHS=0 -DNO_DIRECT"
        echo "holds journal $overtaken $fewer"
        echo "holds journal -DLOCAL -DVERSIONS=2"
        echo "holds journal -DN=1 -DVERSIONS=3"
    fi
    for rule in R2_SNAP_FIRST R2_NO_UPPER R3_STALE R3_NO_RAISE R4_LATE R4_LOWER R4_NO_RECHECK R7_NO_SYNC MARKER_KEEPS; do
        echo "breaks journal -D$rule"
    done
    for rule in R1_LATE_NOTE R1_NO_RAISE R1_CACHE_FIRST; do
        echo "breaks journal $readers -D$rule"
    done
    echo "breaks journal $records -DR1_INTERLEAVED"
    echo "breaks journal $records -DNO_REACHING"
    echo "breaks journal $overtaken -DR5_RESET"
    echo "breaks journal $overtaken $fewer -DWARM -DR5_CURSOR_FIRST"
    echo "breaks journal -DN=1 -DNO_MEND"
    for rule in LATE_BLOB CLEAN_LIVING CLEAN_STALE CLEAN_EARLY NO_NOTE NO_WASTE NO_RETRY; do
        echo "breaks blobs -D$rule"
    done
} >"$folder/searches"
xargs -P "$(nproc 2>/dev/null || echo 2)" -L 1 sh "$here/run.sh" one "$folder" <"$folder/searches" >"$folder/results"
sed 's/^/  /' "$folder/results"
wanted=$(wc -l <"$folder/searches")
passed=$(grep -c '^ok' "$folder/results")
echo "$passed $((wanted - passed))"
