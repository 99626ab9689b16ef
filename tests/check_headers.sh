#!/bin/sh
# check_headers.sh - each public header compiles alone, in C11 and in C++17, without a warning; and twice in one file.
set -u
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
status=0
for header in include/mlkv/*.h; do
    name=${header#include/}
    printf '#include <%s>\n#include <%s>\ntypedef int something;\n' "$name" "$name" >"$work/one.c"
    cp "$work/one.c" "$work/one.cpp"
    ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -fsyntax-only -Iinclude "$work/one.c" || status=1
    ${CXX:-c++} -std=c++17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -Iinclude "$work/one.cpp" || status=1
    grep -q "<$name>" include/mlkv/mlkv.h || [ "$name" = mlkv/mlkv.h ] || {
        echo "$name is not in mlkv/mlkv.h"
        status=1
    }
    grep -q "'${name#mlkv/}'" include/mlkv/meson.build || {
        echo "$name is not installed by include/mlkv/meson.build"
        status=1
    }
done
exit $status
