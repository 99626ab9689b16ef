#!/usr/bin/env python3
"""check_layers.py - proves that dependencies point one way: reads every include line of lib/ and include/.

The picture (docs/architecture.md): {command, files} -> types -> view -> engine -> {cache, pending, counted, journal, store},
pending -> journal, codec above base. types knows of view only op.h, command of types only its number formats, files of types only the
checks of arguments and the streams of tensors. Each library of others has one folder that includes its header. Public headers know
themselves and the C library.
The link of the build proves the same for calls; this names the line. The checks are tried on wrong examples first. Standard library only.
"""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# part: the parts whose headers it may include, besides its own
BELOW = {
    "base": set(),
    "codec": {"base"},
    "store": {"base", "codec"},
    "journal": {"base", "codec"},
    "pending": {"base", "journal"},
    "cache": {"base"},
    "counted": {"base"},
    "engine": {"base", "codec", "store", "journal", "pending", "cache", "counted"},
    "view": {"base", "codec", "engine", "store", "journal", "pending", "cache", "counted"},
    "types": {"base", "codec", "view"},
    "files": {"base", "types", "view"},
    "command": {"base", "types"},
}
# A part of which another may know only these headers.
NARROW = {("types", "view"): {"view/op.h"}, ("command", "types"): {"types/integer.h", "types/number.h"},
          ("files", "types"): {"types/argument.h", "types/tensor_stream.h"}, ("files", "view"): {"view/op.h"}}
# header of another library: the one part that may include it
FOREIGN = {"lmdb.h": "store", "zdict.h": "codec", "zstd.h": "codec", "zstd_errors.h": "codec", "xxhash.h": "base"}
C_LIBRARY = {"assert.h", "complex.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h", "stdarg.h", "stdbool.h",
             "stddef.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "time.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def includes(text):
    for number, line in enumerate(text.split("\n"), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == '"', found.group(2)


def problems_lib(part, text):
    for number, ours, name in includes(text):
        base = os.path.basename(name)
        if base in FOREIGN and FOREIGN[base] != part:
            yield number, f"<{name}> belongs to {FOREIGN[base]}/ alone"
        if not ours:
            continue
        other = name.split("/")[0]
        if "/" not in name or ".." in name or other not in BELOW:
            yield number, f'"{name}" is not of the form "part/file.h"'
        elif other != part and other not in BELOW[part]:
            yield number, f'{part}/ must not know "{name}"'
        elif (part, other) in NARROW and name not in NARROW[part, other]:
            yield number, f'{part}/ knows of {other}/ only {", ".join(sorted(NARROW[part, other]))}, not "{name}"'


def problems_public(text):
    for number, ours, name in includes(text):
        if ours or not (name.startswith("mlkv/") or name in C_LIBRARY):
            yield number, f"a public header must not include {name}"


def self_test():
    wrong = [("types", '#include "store/store.h"'), ("types", '#include "view/view.h"'), ("base", '#include "codec/cell.h"'),
             ("journal", '#include "engine/engine.h"'), ("engine", "#include <lmdb.h>"), ("store", "# include <zstd.h>"),
             ("view", '#include "op.h"'), ("cache", '#include "journal/journal.h"'), ("codec", '#include "../base/x.h"')]
    right = [("types", '#include "view/op.h"'), ("store", "#include <lmdb.h>"), ("engine", '#include "pending/pending.h"'),
             ("pending", '#include "journal/journal.h"'), ("view", "#include <stdio.h>")]
    for part, line in wrong:
        if not list(problems_lib(part, "/* x */\n" + line + "\n")):
            sys.exit(f"check_layers.py: its own wrong example passes: {part}: {line}")
    for part, line in right:
        if list(problems_lib(part, line)):
            sys.exit(f"check_layers.py: its own right example fails: {part}: {line}")
    judged = [bool(list(problems_public(line))) for line in ("#include <sys/types.h>", '#include "base/x.h"', "#include <mlkv/base.h>")]
    if judged != [True, True, False]:
        sys.exit("check_layers.py: its own example of a public header is judged wrongly")
    for part, below in BELOW.items():
        for other in below:
            if part in BELOW[other]:
                sys.exit(f"check_layers.py: {part} and {other} may include each other")


def main():
    self_test()
    count = files = 0
    for top in ("lib", "include"):
        for place, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if not name.endswith((".c", ".h")):
                    continue
                path = os.path.relpath(os.path.join(place, name), ROOT)
                part = path.split(os.sep)[1]
                with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                    text = file.read()
                files += 1
                if top == "lib" and part not in BELOW:
                    found = [(1, f"lib/{part} is no part of the picture")]
                else:
                    found = problems_public(text) if top == "include" else problems_lib(part, text)
                for number, message in found:
                    print(f"{path}:{number}: {message}")
                    count += 1
    print(f"layers: {files} files, {count} problems")
    return 1 if count or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
