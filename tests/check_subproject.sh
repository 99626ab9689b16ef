#!/bin/sh
# check_subproject.sh FOLDER - a meson project made in FOLDER takes libmlkv as its subproject, by its dependency name, builds and runs.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=$1
rm -rf "$folder"
mkdir -p "$folder/subprojects/mlkv"
cd "$here"
# Only what a release carries: no build folders.
cp -R meson.build meson_options.txt include lib "$folder/subprojects/mlkv/"
cd "$folder"
cat >meson.build <<'END'
project('user', 'c', default_options: ['c_std=c11', 'warning_level=2', 'werror=true'])
mlkv = dependency('mlkv', fallback: 'mlkv', default_options: ['tests=disabled', 'bench=disabled', 'examples=false', 'werror=false'])
test('user', executable('user', 'user.c', dependencies: mlkv), timeout: 120)
END
cat >user.c <<'END'
#include <mlkv/mlkv.h>
#include <stdio.h>
int main(void)
{
    mlkv *db = NULL;
    int result = mlkv_open(NULL, NULL, &db);
    if (result != MLKV_OK)
        fprintf(stderr, "%s: %s\n", mlkv_error_name(result), mlkv_error_detail());
    return result == MLKV_OK && mlkv_close(db) == MLKV_OK ? 0 : 1;
}
END
meson setup build . -Doptimization=0 --wrap-mode=nodownload --force-fallback-for=mlkv
ninja -C build
meson test -C build --no-rebuild --print-errorlogs
