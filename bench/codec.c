/* codec.c - tensors' bytes, coded and decoded: the library's byte planes, plain zstd level 1, a copy.
 *
 *   bench_codec [--rounds N] [--mib N] [--json FILE]
 *
 * Each kind of data is coded in chunks of 256 KiB, one thread, several rounds in turn: planes, zstd, memcpy; the medians are printed,
 * and the ratios to zstd of the same rounds. What was decoded is compared with what was coded. Times are those of the thread's
 * processor, so that others on the machine count less. The kinds: Gaussian weights in layers of 131,072 whose scales differ by sqrt(2),
 * as bf16, f16, f32, f64; i64 that count, with steps of 1 to 8; u8 pixels of smooth pictures; booleans of which one in fifty is set;
 * noise, which nothing shrinks.
 */
#include "base/buffer.h"
#include "base/bytes.h"
#include "codec/cell.h"
#include "codec/compress.h"
#include "report.h"

#include <getopt.h>
#include <math.h>
#include <mlkv/error.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 256 << 10, KINDS = 8, ENGINES = 3, ROUNDS_DEFAULT = 7, MIB_DEFAULT = 32 };

typedef struct {
    const char *dtype;
    planes_form form;
} data_kind;

static const data_kind kinds[KINDS] = {
    {"bf16", {2, true}},         {"f16", {2, true}},       {"f32", {4, true}},
    {"f64", {8, true}},          {"i64-ids", {8, false}},  {"u8", {1, false}},
    {"bool-sparse", {1, false}}, {"f32-noise", {4, true}},
};
static const char *const engines[ENGINES] = {"mlkv", "zstd", "memcpy"};

typedef struct {
    double saved, encode[ROUNDS_MAX], decode[ROUNDS_MAX]; /* GB/s */
} measure;

static uint64_t state = 88172645463325252U;

static uint64_t noise(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double gauss(void)
{
    double u = ((double)(noise() >> 11) + 1) / 9007199254740994.0,
           v = (double)(noise() >> 11) / 9007199254740992.0;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* One weight in the low bytes. The f16 is cut, not rounded: its low bits are as random either way. */
static uint64_t weight(const char *dtype, size_t i)
{
    double value = gauss() * 0.02 * pow(2, -(double)((i >> 17) % 8) / 2);
    float single = (float)value;
    uint64_t wide;
    uint32_t bits;
    memcpy(&wide, &value, sizeof wide);
    memcpy(&bits, &single, sizeof bits);
    if (strcmp(dtype, "f64") == 0)
        return wide;
    if (strcmp(dtype, "f32") == 0)
        return bits;
    if (strcmp(dtype, "bf16") == 0)
        return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t exponent = bits >> 23 & 0xff;
    return (bits >> 16 & 0x8000) | (exponent < 113 ? 0 : (exponent - 112) << 10) |
           (bits >> 13 & 0x3ff);
}

static void fill(const data_kind *kind, unsigned char *to, size_t size)
{
    size_t width = kind->form.width;
    uint64_t value = 0;
    for (size_t i = 0; i < size / width; i++) {
        if (strcmp(kind->dtype, "i64-ids") == 0)
            value += 1 + noise() % 8;
        else if (strcmp(kind->dtype, "u8") == 0)
            value = (uint64_t)(127 + 100 * sin((double)i / 40) + (double)(noise() % 5));
        else if (strcmp(kind->dtype, "bool-sparse") == 0)
            value = noise() % 50 == 0;
        else if (strcmp(kind->dtype, "f32-noise") == 0)
            value = noise();
        else
            value = weight(kind->dtype, i);
        memcpy(to + i * width, &value, width);
    }
}

/* --- one round of one engine --- */

static int encode_chunk(int engine, const data_kind *kind, mlkv_slice raw, mlkv_buffer *out)
{
    const cell_options options = {.threshold_bytes = 0, .level = 1};
    if (engine == 0)
        return cell_encode_numbers(&options, kind->form, raw, out);
    if (engine == 1)
        return compress_append(raw, 1, 2 * raw.size, out);
    return buffer_append(out, raw.data, raw.size);
}

static int decode_chunk(int engine, mlkv_slice coded, mlkv_buffer *back)
{
    if (engine == 0)
        return cell_decode(coded, back);
    if (engine == 2)
        return buffer_append(back, coded.data, coded.size);
    void *to = buffer_extend(back, CHUNK);
    return to == NULL ? MLKV_E_MEMORY : decompress_into(coded, to, CHUNK);
}

static int run_round(int engine, const data_kind *kind, mlkv_slice raw, int round,
                     mlkv_buffer *coded, mlkv_buffer *back, measure *ret)
{
    size_t chunks = raw.size / CHUNK, *ends = calloc(chunks + 1, sizeof *ends);
    int result = ends == NULL ? MLKV_E_MEMORY : MLKV_OK;
    coded->size = back->size = 0;
    double begin = seconds();
    for (size_t i = 0; i < chunks && result == MLKV_OK; i++) {
        result =
            encode_chunk(engine, kind, slice_of((const char *)raw.data + i * CHUNK, CHUNK), coded);
        ends[i + 1] = coded->size;
    }
    double middle = seconds();
    for (size_t i = 0; i < chunks && result == MLKV_OK; i++)
        result = decode_chunk(engine,
                              slice_of((char *)coded->data + ends[i], ends[i + 1] - ends[i]), back);
    double end = seconds();
    free(ends);
    if (result == MLKV_OK && !slice_equal(raw, slice_of_buffer(back))) {
        fprintf(stderr, "codec: %s gives other bytes for %s\n", engines[engine], kind->dtype);
        result = MLKV_E_CORRUPT;
    }
    ret->saved = 1 - (double)coded->size / (double)raw.size;
    ret->encode[round] = (double)raw.size / (middle - begin) / 1e9;
    ret->decode[round] = (double)raw.size / (end - middle) / 1e9;
    return result;
}

/* --- the table --- */

/* The median of the rounds' ratios. */
static double ratio(const double *ours, const double *theirs, int rounds)
{
    double each[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++)
        each[i] = ours[i] / theirs[i];
    return report_median(each, rounds);
}

static void print_kind(const data_kind *kind, const measure *m, int rounds)
{
    for (int e = 0; e < ENGINES; e++)
        printf("%-12s %-7s saves %5.1f %%   encode %5.2f GB/s (%4.1f x zstd)   decode %5.2f GB/s "
               "(%4.1f x zstd)\n",
               kind->dtype, engines[e], 100 * m[e].saved, report_median(m[e].encode, rounds),
               ratio(m[e].encode, m[1].encode, rounds), report_median(m[e].decode, rounds),
               ratio(m[e].decode, m[1].decode, rounds));
}

static void write_json(FILE *out, const data_kind *kind, const measure *m, size_t bytes, int rounds,
                       bool last)
{
    for (int e = 0; e < ENGINES; e++)
        fprintf(out,
                "  {\"workload\": \"codec\", \"engine\": \"%s\", \"dtype\": \"%s\", \"bytes\": "
                "%zu, \"threads\": 1, \"saved\": %.4f, "
                "\"encode_gbps\": %.3f, \"decode_gbps\": %.3f, \"memcpy_gbps\": %.3f, "
                "\"encode_ratio\": %.3f, \"ratio\": %.3f}%s\n",
                engines[e], kind->dtype, bytes, m[e].saved, report_median(m[e].encode, rounds),
                report_median(m[e].decode, rounds), report_median(m[2].decode, rounds),
                ratio(m[e].encode, m[1].encode, rounds), ratio(m[e].decode, m[1].decode, rounds),
                last && e == ENGINES - 1 ? "" : ",");
}

static int measure_kind(const data_kind *kind, size_t bytes, int rounds, measure m[ENGINES])
{
    unsigned char *raw = malloc(bytes);
    mlkv_buffer coded = {0}, back = {0};
    int result = raw == NULL ? MLKV_E_MEMORY : buffer_reserve(&coded, bytes + bytes / 4);
    if (result == MLKV_OK)
        result = buffer_reserve(&back, bytes);
    if (result == MLKV_OK)
        fill(kind, raw, bytes);
    for (int e = 0; e < ENGINES && result == MLKV_OK; e++) /* once for the caches and the pages */
        result = run_round(e, kind, slice_of(raw, bytes), 0, &coded, &back, &m[e]);
    for (int round = 0; round < rounds; round++)
        for (int e = 0; e < ENGINES && result == MLKV_OK; e++)
            result = run_round(e, kind, slice_of(raw, bytes), round, &coded, &back, &m[e]);
    free(raw);
    mlkv_buffer_free(&coded);
    mlkv_buffer_free(&back);
    return result;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"rounds", required_argument, NULL, 'r'},
                                            {"mib", required_argument, NULL, 'm'},
                                            {"json", required_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    int rounds = ROUNDS_DEFAULT, mib = MIB_DEFAULT, option;
    FILE *json = NULL;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'r')
            rounds = atoi(optarg);
        else if (option == 'm')
            mib = atoi(optarg);
        else if (option != 'j' || (json = fopen(optarg, "w")) == NULL)
            return 2;
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || mib < 1 || mib > 4096)
        return 2;
    if (json != NULL)
        fprintf(json, "[\n");
    for (int k = 0; k < KINDS; k++) {
        measure m[ENGINES] = {0};
        size_t bytes = (size_t)mib << 20;
        if (measure_kind(&kinds[k], bytes, rounds, m) != MLKV_OK)
            return 1;
        print_kind(&kinds[k], m, rounds);
        if (json != NULL)
            write_json(json, &kinds[k], m, bytes, rounds, k == KINDS - 1);
    }
    if (json != NULL)
        fprintf(json, "]\n");
    return json != NULL && fclose(json) != 0;
}
