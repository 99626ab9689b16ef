/* rates.c - the rows of the tensors' benchmark, as a table and as JSON.
 *
 * Engines that are compared take turns in every round; they are a group of rows. A rate is the median of the rounds, a ratio the
 * median of the rounds' quotients, so that a slow moment of the machine weighs on both sides. min and max are of the rounds, too.
 * Names come from the program, so JSON needs no escaping. A figure that was not measured is null there.
 */
#include "rates.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

rate_row *rates_add(rates *self, const char *workload, const char *engine, const char *dtype,
                    const char *data, uint64_t bytes, int threads)
{
    if (self->count == RATES_MAX) {
        fprintf(stderr, "bench: more than %d rows\n", RATES_MAX);
        exit(1);
    }
    rate_row *row = &self->rows[self->count++];
    *row = (rate_row){.workload = workload,
                      .engine = engine,
                      .dtype = dtype,
                      .data = data,
                      .bytes = bytes,
                      .threads = threads,
                      .saved = NAN,
                      .written = NAN};
    return row;
}

void rates_note(rate_row *row, int round, uint64_t bytes, double encode_seconds,
                double decode_seconds)
{
    row->encode[round] = encode_seconds > 0 ? (double)bytes / encode_seconds / 1e9 : 0;
    row->decode[round] = decode_seconds > 0 ? (double)bytes / decode_seconds / 1e9 : 0;
    row->rounds = round + 1;
}

static double quotient(const double *ours, const double *theirs, int rounds)
{
    double each[ROUNDS_MAX];
    int n = 0;
    for (int i = 0; i < rounds; i++)
        if (ours[i] > 0 && theirs[i] > 0)
            each[n++] = ours[i] / theirs[i];
    return report_median(each, n);
}

static void print_rate(const char *name, double rate, double ratio, const char *against)
{
    if (rate > 0)
        printf("  %s %7.3f GB/s (%.2fx %s)", name, rate, ratio, against);
}

static void print_row(const rate_row *row)
{
    char size[32];
    if (row->bytes >= 1 << 20)
        snprintf(size, sizeof size, "%.4g MiB", (double)row->bytes / (1 << 20));
    else
        snprintf(size, sizeof size, "%.4g KiB", (double)row->bytes / (1 << 10));
    printf("%-8s %-17s %-5s %-9s %9s %d", row->workload, row->engine, row->dtype, row->data, size,
           row->threads);
    if (!isnan(row->saved))
        printf("  saves %5.1f %%", 100 * row->saved);
    print_rate("in", report_median(row->encode, row->rounds), row->encode_ratio, row->against);
    print_rate("out", report_median(row->decode, row->rounds), row->ratio, row->against);
    if (!isnan(row->written))
        printf("  wrote %.4g MiB", row->written / (1 << 20));
    printf("\n");
}

void rates_end(rates *self, const rate_row *yardstick, double copy_gbps)
{
    for (int i = self->group; i < self->count; i++)
        if (copy_gbps == 0 && strcmp(self->rows[i].engine, "memcpy") == 0)
            copy_gbps = report_median(self->rows[i].decode, self->rows[i].rounds);
    for (int i = self->group; i < self->count; i++) {
        rate_row *row = &self->rows[i];
        row->against = yardstick->engine;
        row->encode_ratio = quotient(row->encode, yardstick->encode, row->rounds);
        row->ratio = quotient(row->decode, yardstick->decode, row->rounds);
        row->memcpy_gbps = copy_gbps;
        print_row(row);
    }
    (void)fflush(stdout);
    self->group = self->count;
}

static void write_number(FILE *out, const char *name, double value, bool there)
{
    if (there)
        fprintf(out, ", \"%s\": %.4f", name, value);
    else
        fprintf(out, ", \"%s\": null", name);
}

static void write_rate(FILE *out, const char *name, const double *values, int rounds)
{
    char text[32];
    double median = report_median(values, rounds), least = INFINITY, most = 0;
    for (int i = 0; i < rounds; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    snprintf(text, sizeof text, "%s_gbps", name);
    write_number(out, text, median, median > 0);
    snprintf(text, sizeof text, "%s_min", name);
    write_number(out, text, least, median > 0);
    snprintf(text, sizeof text, "%s_max", name);
    write_number(out, text, most, median > 0);
}

static void write_row(FILE *out, const rate_row *row)
{
    fprintf(out,
            "  {\"workload\": \"%s\", \"engine\": \"%s\", \"dtype\": \"%s\", \"data\": \"%s\", "
            "\"bytes\": %llu, \"threads\": %d, \"rounds\": %d",
            row->workload, row->engine, row->dtype, row->data, (unsigned long long)row->bytes,
            row->threads, row->rounds);
    write_number(out, "saved", row->saved, !isnan(row->saved));
    write_rate(out, "encode", row->encode, row->rounds);
    write_rate(out, "decode", row->decode, row->rounds);
    write_number(out, "memcpy_gbps", row->memcpy_gbps, row->memcpy_gbps > 0);
    write_number(out, "encode_ratio", row->encode_ratio, row->encode_ratio > 0);
    /* where nothing is read back, the one figure that there is */
    double ratio = row->ratio > 0 ? row->ratio : row->encode_ratio;
    write_number(out, "ratio", ratio, ratio > 0);
    write_number(out, "written_bytes", row->written, !isnan(row->written));
    fprintf(out, ", \"against\": \"%s\"}", row->against != NULL ? row->against : "");
}

int rates_json(const char *path, const rates *self)
{
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
        return -1;
    }
    (void)fputs("[\n", out);
    for (int i = 0; i < self->count; i++) {
        write_row(out, &self->rows[i]);
        (void)fputs(i + 1 < self->count ? ",\n" : "\n", out);
    }
    (void)fputs("]\n", out);
    int failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        fprintf(stderr, "bench: %s could not be written\n", path);
        return -1;
    }
    return 0;
}
