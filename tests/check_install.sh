#!/bin/sh
# check_install.sh BUILD FOLDER - installs BUILD into FOLDER; C11 and C++17 programs find it by pkg-config, compile cleanly, and run.
set -eu
build=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder/user"
meson install -C "$build" --no-rebuild --destdir "$folder/root" >"$folder/install.log" 2>&1 || {
    cat "$folder/install.log"
    exit 1
}
pc=$(find "$folder/root" -name mlkv.pc)
[ -n "$pc" ]
prefix=$folder/root$(sed -n 's/^prefix=//p' "$pc")
flags()
{
    PKG_CONFIG_PATH=$(dirname "$pc") pkg-config --define-variable=prefix="$prefix" "$@" mlkv
}
[ "$(flags --modversion)" = "$(sed -n "s/.*version: '\([0-9.]*\)'.*/\1/p" "$(dirname "$0")/../meson.build" | head -n 1)" ]
library=$(flags --variable=libdir)
[ -L "$library/libmlkv.so" ] && [ -e "$library/libmlkv.so.0" ]

cat >"$folder/user/hello.c" <<'END'
#include <mlkv/mlkv.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
    mlkv *db = NULL;
    mlkv_buffer value = {0};
    mlkv_slice key = {"greeting", 8}, text = {"hello", 5};
    if (mlkv_open(NULL, NULL, &db) != MLKV_OK || mlkv_string_set(db, key, text, MLKV_SET_ALWAYS) != MLKV_OK ||
        mlkv_string_get(db, key, &value) != MLKV_OK) {
        fprintf(stderr, "%s\n", mlkv_error_detail());
        return 1;
    }
    int same = value.size == 5 && memcmp(value.data, "hello", 5) == 0;
    mlkv_buffer_free(&value);
    return mlkv_close(db) == MLKV_OK && same ? 0 : 1;
}
END
cat >"$folder/user/hello.cpp" <<'END'
#include <mlkv/mlkv.h>
#include <string>
int main()
{
    mlkv *db = nullptr;
    mlkv_buffer value = {};
    const std::string text = "hello";
    if (mlkv_open(nullptr, nullptr, &db) != MLKV_OK ||
        mlkv_string_set(db, {"greeting", 8}, {text.data(), text.size()}, MLKV_SET_ALWAYS) != MLKV_OK ||
        mlkv_string_get(db, {"greeting", 8}, &value) != MLKV_OK)
        return 1;
    const bool same = std::string(static_cast<char *>(value.data), value.size) == text;
    mlkv_buffer_free(&value);
    return mlkv_close(db) == MLKV_OK && same ? 0 : 1;
}
END
cd "$folder/user"
# shellcheck disable=SC2046 # flags are words
${CC:-cc} -std=c11 -Wall -Wextra -Werror -o hello_c hello.c $(flags --cflags --libs)
# shellcheck disable=SC2046
${CXX:-c++} -std=c++17 -Wall -Wextra -Werror -o hello_cpp hello.cpp $(flags --cflags --libs)
LD_LIBRARY_PATH=$library timeout 120 ./hello_c
LD_LIBRARY_PATH=$library timeout 120 ./hello_cpp
