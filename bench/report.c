/* report.c - the rows that were measured, as one table and as JSON.
 *
 * ns_per_op is the median of the rounds, the ratio the median of the rounds' ratios (a peer's time
 * over mlkv's in the same round, so that a slow moment of the machine weighs on both). Names come
 * from the program, so JSON needs no escaping.
 */
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double report_median(const double *values, int n)
{
    double sorted[ROUNDS_MAX];
    if (n == 0)
        return 0;
    memcpy(sorted, values, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, compare);
    return n % 2 == 1 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double extreme(const report_row *row, int sign)
{
    double found = row->ns[0];
    for (int i = 1; i < row->rounds; i++) {
        if (sign * row->ns[i] > sign * found)
            found = row->ns[i];
    }
    return found;
}

void report_head(FILE *out)
{
    fprintf(out, "%-10s %-8s %7s  %-8s %-9s %12s %12s %12s %14s %7s\n", "workload", "order",
            "threads", "engine", "durability", "ns/op", "min", "max", "ops/s", "ratio");
    fflush(out);
}

void report_line(FILE *out, const report_row *row)
{
    double ns = report_median(row->ns, row->rounds), ratio = report_median(row->ratio, row->rounds);
    fprintf(out, "%-10s %-8s %7d  %-8s %-9s %12.1f %12.1f %12.1f %14.0f ", row->workload,
            row->distribution, row->threads, row->engine, row->durability, ns, extreme(row, -1),
            extreme(row, 1), 1e9 / ns);
    if (ratio > 0)
        fprintf(out, "%7.2f\n", ratio);
    else
        fprintf(out, "%7s\n", "-");
    fflush(out);
}

int report_json(const char *path, const report_row *rows, int n)
{
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
        return -1;
    }
    fputs("[\n", out);
    for (int i = 0; i < n; i++) {
        const report_row *row = &rows[i];
        double ratio = report_median(row->ratio, row->rounds);
        fprintf(out,
                "  {\"workload\": \"%s\", \"engine\": \"%s\", \"durability\": \"%s\", \"keys\": "
                "%u, \"key_bytes\": %u, \"value_bytes\": %u, "
                "\"distribution\": \"%s\", \"threads\": %d, \"ns_per_op\": %.1f, \"min_ns\": %.1f, "
                "\"max_ns\": %.1f, \"ratio\": ",
                row->workload, row->engine, row->durability, row->keys, row->key_bytes,
                row->value_bytes, row->distribution, row->threads,
                report_median(row->ns, row->rounds), extreme(row, -1), extreme(row, 1));
        if (ratio > 0)
            fprintf(out, "%.3f}%s\n", ratio, i + 1 < n ? "," : "");
        else
            fprintf(out, "null}%s\n", i + 1 < n ? "," : "");
    }
    fputs("]\n", out);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        fprintf(stderr, "bench: %s could not be written\n", path);
        return -1;
    }
    return 0;
}
