#!/usr/bin/env python3
"""check_bench.py BUILD - the benchmarks of a build run, in their smallest form, and what they write as JSON is what they say it is.

No figure is judged: that is for whoever reads them. Standard library only.
"""
import json
import os
import subprocess
import sys
import tempfile

TENSOR_FIELDS = {"workload": str, "engine": str, "dtype": str, "data": str, "against": str, "bytes": int, "threads": int, "rounds": int}
TENSOR_NUMBERS = ("saved", "encode_gbps", "encode_min", "encode_max", "decode_gbps", "decode_min", "decode_max", "memcpy_gbps",
                  "encode_ratio", "ratio", "written_bytes")
# Engines that every build has, in each workload.
TENSOR_ENGINES = {"codec": "mlkv zstd copy memcpy", "threads": "mlkv mlkv-store", "whole": "mlkv mlkv-1 file file-synced memcpy",
                  "gather": "mlkv mlkv-contiguous mlkv-lent mlkv-8k array", "partial": "mlkv-part mlkv-full file", "add": "mlkv memcpy"}
KEY_FIELDS = {"workload": str, "engine": str, "durability": str, "keys": int, "threads": int, "ns_per_op": float, "min_ns": float,
              "max_ns": float}


def run(folder, program, *arguments):
    path = os.path.join(folder, "figures.json")
    done = subprocess.run([program, *arguments, "--folder", folder, "--json", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600, check=False)
    if done.returncode != 0:
        sys.exit(f"{program} ended with {done.returncode}:\n{done.stdout}")
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    left = [name for name in os.listdir(folder) if name != "figures.json"]
    if left:
        sys.exit(f"{program} left {left} behind")
    return rows


def wrong_types(row, fields):
    return [f"{name} is {row.get(name)!r}" for name, kind in fields.items() if not isinstance(row.get(name), kind)]


def tensor_problems(rows):
    for row in rows:
        found = wrong_types(row, TENSOR_FIELDS)
        found += [f"{name} is {row.get(name)!r}" for name in TENSOR_NUMBERS
                  if name not in row or not isinstance(row[name], (int, float, type(None)))]
        if not row.get("encode_gbps") and not row.get("decode_gbps"):
            found.append("no rate")
        for kind in ("encode", "decode"):
            if row.get(kind + "_gbps") is not None and not 0 < row[kind + "_min"] <= row[kind + "_gbps"] <= row[kind + "_max"]:
                found.append(f"{kind}: the median is not between least and most")
        yield from (f"{row.get('workload')} {row.get('engine')}: {problem}" for problem in found)
    for workload, engines in TENSOR_ENGINES.items():
        missing = set(engines.split()) - {row["engine"] for row in rows if row["workload"] == workload}
        if missing:
            yield f"{workload}: no row of {', '.join(sorted(missing))}"


def main():
    build = os.path.join(sys.argv[1], "bench")
    with tempfile.TemporaryDirectory() as folder:
        problems = list(tensor_problems(run(folder, os.path.join(build, "bench_tensors"), "--smoke")))
    with tempfile.TemporaryDirectory() as folder:
        rows = run(folder, os.path.join(build, "bench"), "--quick", "--keys", "1000", "--rounds", "1", "--only", "put",
                   "--engines", "mlkv,lmdb")
        problems += [problem for row in rows for problem in wrong_types(row, KEY_FIELDS)]
        if {row["engine"] for row in rows} != {"mlkv", "lmdb"}:
            problems.append("bench: rows of other engines than were asked for")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
