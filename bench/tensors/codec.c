/* codec.c - tensors' bytes coded and decoded: the library's byte planes beside plain zstd level 1, c-blosc and a copy.
 *
 * Each kind of data is coded in chunks of 256 KiB, as tensors are, by one thread, the engines in turn in each round; what was decoded is
 * compared with what was coded. Times are those of the thread's processor, so that others on the machine count less. All kinds use the
 * same memory, in huge pages. The yardstick is zstd; for noise, which nothing shrinks, also "copy": a chunk put into a raw cell without
 * a look at it, which is what must be done at least.
 *
 * Then the library alone with 1, 2 and 4 threads, each with chunks of its own, by the wall's clock; the yardstick is one thread.
 */
#include "base/buffer.h"
#include "base/bytes.h"
#include "codec/cell.h"
#include "codec/compress.h"
#include "measure.h"
#include "tensors/tensors.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK = COPY_CHUNK,
    CODED_MAX = 2 * CHUNK + (64 << 10), /* engines may ask for more than they need */
    FIXED_ENGINES = 4,
    ENGINES_MAX = 16,
    THREADS_MAX = 4
};
enum { ENGINE_MLKV, ENGINE_ZSTD, ENGINE_COPY, ENGINE_MEMCPY }; /* then those of c-blosc */

static const char *const fixed_names[FIXED_ENGINES] = {"mlkv", "zstd", "copy", "memcpy"};

static const data_kind kinds[] = {
    {"bf16", DATA_WEIGHTS, 2}, {"f16", DATA_WEIGHTS, 2},  {"f32", DATA_WEIGHTS, 4},
    {"f64", DATA_WEIGHTS, 8},  {"bf16", DATA_TRAINED, 2}, {"f32", DATA_TRAINED, 4},
    {"f32", DATA_PRUNED, 4},   {"i64", DATA_COUNTING, 8}, {"i32", DATA_TOKENS, 4},
    {"u8", DATA_SMOOTH, 1},    {"bool", DATA_SPARSE, 1},  {"f32", DATA_NOISE, 4},
    {"u8", DATA_NOISE, 1},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Chunk i of the raw bytes is coded to coded + i * CODED_MAX, and back to its place in `back`. */
typedef struct {
    const data_kind *kind;
    unsigned char *raw, *coded, *back;
    size_t chunks, *sizes;
} work;

static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static planes_form form_of(const data_kind *kind)
{
    bool floats = strchr(kind->dtype, 'f') != NULL && kind->width > 1;
    return (planes_form){(unsigned char)kind->width, floats};
}

/* Appends to out, which has room, or writes at its end. False: it failed. */
static bool encode_chunk(int engine, const data_kind *kind, mlkv_slice raw, mlkv_buffer *out)
{
    const cell_options options = {.threshold_bytes = 0, .level = 1},
                       unseen = {.threshold_bytes = SIZE_MAX, .level = 1};
    if (engine == ENGINE_MLKV)
        return cell_encode_numbers(&options, form_of(kind), raw, out) == MLKV_OK;
    if (engine == ENGINE_ZSTD)
        return compress_append(raw, 1, raw.size + raw.size / 2, out) == MLKV_OK;
    if (engine == ENGINE_COPY)
        return cell_encode(&unseen, raw, out) == MLKV_OK;
    if (engine == ENGINE_MEMCPY)
        memcpy(out->data, raw.data, out->size = raw.size);
    else
        out->size = blosc_encode(&blosc_ways[engine - FIXED_ENGINES], kind->width, raw.data,
                                 raw.size, out->data, out->capacity);
    return out->size != 0;
}

static bool decode_chunk(int engine, mlkv_slice coded, mlkv_buffer *back)
{
    if (engine == ENGINE_MLKV || engine == ENGINE_COPY)
        return cell_decode(coded, back) == MLKV_OK;
    if (engine == ENGINE_ZSTD)
        return decompress_into(coded, back->data, CHUNK) == MLKV_OK;
    if (engine == ENGINE_MEMCPY)
        return memcpy(back->data, coded.data, coded.size) != NULL;
    return blosc_decode(coded.data, back->data, CHUNK);
}

/* The chunks of [from, to). Buffers of the caller's are lent to the engines as if they could grow: they have room enough. */
static bool encode_chunks(const work *self, int engine, size_t from, size_t to)
{
    bool done = true;
    for (size_t i = from; i < to && done; i++) {
        mlkv_buffer out = {self->coded + i * CODED_MAX, 0, CODED_MAX};
        done = encode_chunk(engine, self->kind, slice_of(self->raw + i * CHUNK, CHUNK), &out);
        self->sizes[i] = out.size;
    }
    return done;
}

static bool decode_chunks(const work *self, int engine, size_t from, size_t to)
{
    bool done = true;
    for (size_t i = from; i < to && done; i++) {
        mlkv_buffer out = {self->back + i * CHUNK, 0, CHUNK};
        done = decode_chunk(engine, slice_of(self->coded + i * CODED_MAX, self->sizes[i]), &out);
    }
    return done;
}

static int compare(const work *self, const char *engine)
{
    if (memcmp(self->raw, self->back, self->chunks * CHUNK) == 0)
        return 0;
    fprintf(stderr, "bench: %s gives other bytes for %s\n", engine, self->kind->dtype);
    return -1;
}

static int run_round(const work *self, int engine, int round, rate_row *row)
{
    size_t coded = 0, size = self->chunks * CHUNK;
    memset(self->back, 0, size);
    double begun = cpu_seconds();
    bool done = encode_chunks(self, engine, 0, self->chunks);
    double middle = cpu_seconds();
    done = done && decode_chunks(self, engine, 0, self->chunks);
    double ended = cpu_seconds();
    for (size_t i = 0; i < self->chunks; i++)
        coded += self->sizes[i];
    rates_note(row, round, size, middle - begun, ended - middle);
    row->saved = 1 - (double)coded / (double)size;
    if (!done)
        fprintf(stderr, "bench: %s fails at %s\n", row->engine, self->kind->dtype);
    return done ? compare(self, row->engine) : -1;
}

static int run_kind(tensors_bench *bench, const work *self)
{
    rate_row *rows[ENGINES_MAX];
    int engines = FIXED_ENGINES + blosc_way_count, result = 0;
    for (int e = 0; e < engines; e++)
        rows[e] =
            rates_add(&bench->rates, "codec",
                      e < FIXED_ENGINES ? fixed_names[e] : blosc_ways[e - FIXED_ENGINES].name,
                      self->kind->dtype, data_name(self->kind->content), self->chunks * CHUNK, 1);
    for (int round = -1; round < bench->rounds; round++) /* the first is for caches and pages */
        for (int e = 0; e < engines && result == 0; e++)
            result = run_round(self, e, round < 0 ? 0 : round, rows[e]);
    rates_end(&bench->rates, rows[ENGINE_ZSTD], 0);
    return result;
}

/* --- threads --- */

typedef struct {
    const work *work;
    pthread_barrier_t *barrier;
    size_t from, to;
    double begun, middle, ended;
    bool done;
} lane;

static void *run_lane(void *opaque)
{
    lane *self = opaque;
    pthread_barrier_wait(self->barrier);
    self->begun = measure_seconds();
    self->done = encode_chunks(self->work, ENGINE_MLKV, self->from, self->to);
    pthread_barrier_wait(self->barrier);
    self->middle = measure_seconds();
    self->done = self->done && decode_chunks(self->work, ENGINE_MLKV, self->from, self->to);
    pthread_barrier_wait(self->barrier);
    self->ended = measure_seconds();
    return NULL;
}

static int run_threads(const work *self, int threads, int round, rate_row *row)
{
    lane lanes[THREADS_MAX];
    pthread_t ids[THREADS_MAX];
    pthread_barrier_t barrier;
    bool done = true;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    memset(self->back, 0, self->chunks * CHUNK);
    for (int t = 0; t < threads; t++) {
        size_t each = self->chunks / (size_t)threads, from = each * (size_t)t;
        lanes[t] = (lane){.work = self, .barrier = &barrier, .from = from};
        lanes[t].to = t == threads - 1 ? self->chunks : from + each;
        if (pthread_create(&ids[t], NULL, run_lane, &lanes[t]) != 0) {
            fprintf(stderr, "bench: no thread to be had\n");
            abort(); /* the others wait at the barrier for ever */
        }
    }
    double begun = 1e300, middle = 0, ended = 0;
    for (int t = 0; t < threads; t++) {
        pthread_join(ids[t], NULL);
        done = done && lanes[t].done;
        begun = lanes[t].begun < begun ? lanes[t].begun : begun;
        middle = lanes[t].middle > middle ? lanes[t].middle : middle;
        ended = lanes[t].ended > ended ? lanes[t].ended : ended;
    }
    pthread_barrier_destroy(&barrier);
    rates_note(row, round, self->chunks * CHUNK, middle - begun, ended - middle);
    return done ? compare(self, "mlkv, by threads,") : -1;
}

static int run_thread_counts(tensors_bench *bench, const work *self)
{
    static const int counts[] = {1, 2, THREADS_MAX};
    rate_row *rows[3];
    int result = 0;
    double copy = bench_copy_gbps(self->back, self->raw, self->chunks * CHUNK);
    for (int i = 0; i < 3; i++)
        rows[i] = rates_add(&bench->rates, "threads", "mlkv", self->kind->dtype,
                            data_name(self->kind->content), self->chunks * CHUNK, counts[i]);
    for (int round = 0; round < bench->rounds; round++)
        for (int i = 0; i < 3 && result == 0; i++)
            result = run_threads(self, counts[i], round, rows[i]);
    rates_end(&bench->rates, rows[0], copy);
    return result;
}

/* --- */

/* Trained weights as f32; *ret_bytes of them. NULL: said. */
static float *learn(const tensors_bench *bench, size_t *ret_count)
{
    float *weights = NULL;
    double accuracy = 0, begun = measure_seconds();
    size_t width = bench_pick(bench, 2560, 1024, 512);
    int epochs = (int)bench_pick(bench, 3, 2, 1);
    if (train_digits(bench->digits, width, epochs, &weights, ret_count, &accuracy) != 0)
        return NULL;
    printf("# trained: %zu parameters, %.1f %% of unseen digits right, %.0f s\n", *ret_count,
           100 * accuracy, measure_seconds() - begun);
    return weights;
}

/* The bytes of a kind, in whole chunks; of trained weights as many as there are. */
static void fill(work *self, const data_kind *kind, size_t chunks, const float *weights,
                 size_t count)
{
    self->kind = kind;
    self->chunks = chunks;
    if (kind->content != DATA_TRAINED) {
        data_fill(kind, self->raw, chunks * CHUNK);
        return;
    }
    if (count * kind->width / CHUNK < chunks)
        self->chunks = count * kind->width / CHUNK;
    for (size_t i = 0; i < self->chunks * CHUNK / kind->width; i++) {
        uint16_t half = data_bf16(weights[i]);
        memcpy(self->raw + i * kind->width,
               kind->width == 2 ? (const void *)&half : (const void *)&weights[i], kind->width);
    }
}

int codec_run(tensors_bench *bench)
{
    size_t chunks = bench_pick(bench, 128, 32, 2), count = 0;
    float *weights = learn(bench, &count);
    work self = {.raw = bench_memory(chunks * CHUNK),
                 .coded = bench_memory(chunks * CODED_MAX),
                 .back = bench_memory(chunks * CHUNK),
                 .sizes = calloc(chunks, sizeof *self.sizes)};
    int result = weights == NULL || self.raw == NULL || self.coded == NULL || self.back == NULL ||
                         self.sizes == NULL
                     ? -1
                     : 0;
    for (size_t k = 0; k < KINDS && result == 0; k++) {
        fill(&self, &kinds[k], chunks, weights, count);
        result = run_kind(bench, &self);
    }
    for (size_t k = 0; k <= 2 && result == 0; k += 2) { /* bf16 and f32 */
        fill(&self, &kinds[k], chunks, weights, count);
        result = run_thread_counts(bench, &self);
    }
    free(weights);
    free(self.raw);
    free(self.coded);
    free(self.back);
    free(self.sizes);
    return result;
}
