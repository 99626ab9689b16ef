#!/usr/bin/env python3
"""summary.py FILE.json [DOCUMENT.md] - turns what `sh bench/run.sh --json FILE.json` wrote into Markdown tables; with `tensors`, too.

A cell is the time of an operation, and in brackets how many times mlkv's time (of the first mlkv column) that is. Of tensors a cell is what
is saved, and the GB/s in and out. With DOCUMENT.md the tables take the place of what stands there between the comments "figures" and "end
of figures", or "tensors" and "end of tensors". Standard library only.
"""
import json
import sys

MARKS = {False: ("<!-- figures -->", "<!-- end of figures -->"), True: ("<!-- tensors -->", "<!-- end of tensors -->")}


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


def size_text(size):
    return f"{size / 2**30:.4g} GiB" if size >= 2**30 else f"{size / 2**20:.4g} MiB"


def rates_text(row):
    parts = []
    if row["saved"] is not None and abs(row["saved"]) >= 0.0005:
        parts.append(f"{100 * row['saved']:.1f} %")
    rates = [f"{row[name]:.2f}" for name in ("encode_gbps", "decode_gbps") if row[name] is not None]
    if row["engine"] == "memcpy" and len(rates) == 2 and row["workload"] == "add":
        rates.pop()
    parts.append(" / ".join(rates))
    if row["written_bytes"] is not None:
        parts.append(size_text(row["written_bytes"]))
    return ", ".join(parts)


def tensors_line(row):
    workload = row["workload"]
    if workload in ("codec", "threads"):
        return f"{row['dtype']} {row['data']}" + (f", {row['threads']} threads" if workload == "threads" else "")
    if workload == "add":
        return f"{row['threads']} processes"
    return f"{row['dtype']} {row['data']}, {size_text(row['bytes'])}"


def tensors_table(rows):
    engines = list(dict.fromkeys(row["engine"] for row in rows))
    yield "| " + rows[0]["workload"] + " | " + " | ".join(engines) + " |"
    yield "|---" * (len(engines) + 1) + "|"
    for line in dict.fromkeys(tensors_line(row) for row in rows):
        cells = [" ".join(rates_text(row) for row in rows if (tensors_line(row), row["engine"]) == (line, engine)) for engine in engines]
        yield f"| {line} | " + " | ".join(cells) + " |"


def tensors_summary(rows):
    for workload in dict.fromkeys(row["workload"] for row in rows):
        yield "\n".join(tensors_table([row for row in rows if row["workload"] == workload]))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = json.load(file)
    tensors = "encode_gbps" in rows[0]
    text = "\n\n".join(tensors_summary(rows) if tensors else summary(rows))
    if len(sys.argv) < 3:
        print(text)
        return
    first, last = MARKS[tensors]
    with open(sys.argv[2], encoding="utf-8") as file:
        before, rest = file.read().split(first)
    after = rest.split(last)[1]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(before + first + "\n" + text + "\n" + last + after)


if __name__ == "__main__":
    main()
