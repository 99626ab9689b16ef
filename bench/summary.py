#!/usr/bin/env python3
"""summary.py FILE.json [DOCUMENT.md] - turns what `sh bench/run.sh --json FILE.json` wrote into Markdown tables.

A cell is the time of an operation, and in brackets how many times mlkv's time (of the first mlkv column) that is. With DOCUMENT.md the
tables take the place of what stands there between the comments "figures" and "end of figures". Standard library only.
"""
import json
import sys

FIRST_MARK, LAST_MARK = "<!-- figures -->", "<!-- end of figures -->"


def time_text(nanoseconds):
    return f"{nanoseconds:,.0f} ns" if nanoseconds < 10000 else f"{nanoseconds / 1000:,.1f} us"


def identity(row):
    return row["workload"], row["distribution"], row["threads"], row["engine"], row["durability"]


def cell(row):
    ratio = row["ratio"]
    return time_text(row["ns_per_op"]) + (f" ({ratio:.1f}x)" if ratio and ratio != 1 else "")


def table(rows, workload):
    columns = []
    for row in rows:
        name = (row["engine"], row["durability"])
        if row["workload"] == workload and name not in columns:
            columns.append(name)
    titles = [engine if durability == "-" else f"{engine} ({durability})" for engine, durability in columns]
    yield "| " + workload + " | " + " | ".join(titles) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    seen = []
    for row in rows:
        line = (row["distribution"], row["threads"])
        if row["workload"] != workload or line in seen:
            continue
        seen.append(line)
        cells = []
        for engine, durability in columns:
            wanted = (workload, *line, engine, durability)
            cells += [cell(row) for row in rows if identity(row) == wanted] or [""]
        yield f"| {line[0]}, {line[1]} thread{'s' if line[1] > 1 else ''} | " + " | ".join(cells) + " |"


def summary(rows):
    for workload in dict.fromkeys(row["workload"] for row in rows):
        if workload == "tensor_add":
            parts = [f"{row['engine']} {row['value_bytes'] / row['ns_per_op']:.2f} GB/s" for row in rows if row["workload"] == workload]
            yield "tensor_add, 4 processes into one f32 tensor of 1 MiB: " + ", ".join(parts)
        else:
            yield "\n".join(table(rows, workload))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        text = "\n\n".join(summary(json.load(file)))
    if len(sys.argv) < 3:
        print(text)
        return
    with open(sys.argv[2], encoding="utf-8") as file:
        before, rest = file.read().split(FIRST_MARK)
    after = rest.split(LAST_MARK)[1]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(before + FIRST_MARK + "\n" + text + "\n" + LAST_MARK + after)


if __name__ == "__main__":
    main()
