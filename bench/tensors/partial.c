/* partial.c - a checkpoint of a model of which a hundredth of the chunks changed, beside writing all of it.
 *
 * The model is 128 tensors of f32 weights, 512 MiB. In each round the engines take a checkpoint in turn:
 *
 *   mlkv-part    one chunk of 256 KiB in a hundred has changed, anywhere; all tensors are put, and flushed to LMDB, synced
 *   mlkv-full    every chunk has changed; the same
 *   file         every tensor is written to a file of its own, which takes the old one's name, synced
 *
 * Rates are bytes of the whole model by time, so that a ratio is a quotient of times; the yardstick is mlkv-full. written_bytes is what the
 * process gave to the disk for one checkpoint, as the kernel counts it (write_bytes of /proc/self/io), the journal's ring and LMDB's
 * pages with it. The count of the chunks that were written is checked, and in the end the model is read back and compared.
 */
#include "measure.h"
#include "tensors/tensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TENSORS = 128, CHUNK = COPY_CHUNK, ENGINES = 3, SHARE = 100 };
enum { ENGINE_PART, ENGINE_FULL, ENGINE_FILE };

static const char *const names[ENGINES] = {"mlkv-part", "mlkv-full", "file"};

typedef struct {
    const tensors_bench *bench;
    mlkv *db;
    unsigned char *model, *back;
    size_t tensor_bytes;
    uint64_t random, written;
} work;

static uint64_t bytes_written(void)
{
    char line[128];
    unsigned long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "write_bytes: %llu", &bytes) == 1)
            break;
    if (file != NULL)
        (void)fclose(file);
    return bytes;
}

static mlkv_slice key_of(size_t i, char text[32])
{
    int size = snprintf(text, 32, "model/layer-%03zu", i);
    return (mlkv_slice){text, (size_t)size};
}

static void change_chunk(work *self, size_t chunk)
{
    uint32_t *at = (uint32_t *)(void *)(self->model + chunk * CHUNK);
    for (size_t i = 0; i < CHUNK / 4; i += 8) /* as a step of learning does: the low bits */
        at[i] ^= (uint32_t)(data_random(&self->random) & 0xfff) | 1;
}

/* Changes one chunk in `share`; returns how many. */
static uint64_t change(work *self, size_t share)
{
    size_t chunks = TENSORS * self->tensor_bytes / CHUNK, changed = 0;
    for (size_t from = 0; from < chunks; from += share, changed++) {
        size_t width = chunks - from < share ? chunks - from : share;
        change_chunk(self, from + data_random(&self->random) % width);
    }
    return changed;
}

static int put_model(const work *self, uint64_t *ret_chunks)
{
    char text[32];
    mlkv_tensor form = {
        .dtype = MLKV_F32, .dimensions = 2, .shape = {self->tensor_bytes / 4096, 1024}};
    int result = MLKV_OK;
    *ret_chunks = 0;
    for (size_t i = 0; i < TENSORS && result == MLKV_OK; i++) {
        uint64_t chunks = 0;
        result = mlkv_tensor_put_counted(self->db, key_of(i, text), &form,
                                         self->model + i * self->tensor_bytes, NULL, &chunks);
        *ret_chunks += chunks;
    }
    return bench_must(result == MLKV_OK ? mlkv_flush(self->db, MLKV_STORE) : result, "put");
}

static int write_file(const char *path, const char *new_path, const unsigned char *data,
                      size_t size)
{
    int file = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool done = file >= 0 && write(file, data, size) == (ssize_t)size && fsync(file) == 0;
    if (file >= 0)
        done = close(file) == 0 && done;
    done = done && rename(new_path, path) == 0;
    if (!done)
        fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
    return done ? 0 : -1;
}

static int write_files(const work *self)
{
    char path[PATH_MAX_BYTES], new_path[PATH_MAX_BYTES];
    int result = 0;
    snprintf(new_path, sizeof new_path, "%s/model.tmp", self->bench->folder);
    for (size_t i = 0; i < TENSORS && result == 0; i++) {
        snprintf(path, sizeof path, "%s/model-%zu", self->bench->folder, i);
        result =
            write_file(path, new_path, self->model + i * self->tensor_bytes, self->tensor_bytes);
    }
    return result;
}

static int run_round(work *self, int engine, int round, rate_row *row)
{
    uint64_t written = 0, before,
             wanted = engine != ENGINE_FILE ? change(self, engine == ENGINE_PART ? SHARE : 1) : 0;
    sync(); /* what others left in the page cache must not be this one's burden */
    before = bytes_written();
    double begun = measure_seconds();
    int result = engine == ENGINE_FILE ? write_files(self) : put_model(self, &written);
    rates_note(row, round, TENSORS * self->tensor_bytes, measure_seconds() - begun, 0);
    row->written = (double)(bytes_written() - before); /* of the last round */
    if (result == 0 && written != wanted) {
        fprintf(stderr, "bench: %llu chunks changed and %llu were written\n",
                (unsigned long long)wanted, (unsigned long long)written);
        result = -1;
    }
    return result;
}

static int read_back(const work *self)
{
    char text[32];
    int result = 0;
    for (size_t i = 0; i < TENSORS && result == 0; i++) {
        result = bench_must(
            mlkv_tensor_get(self->db, key_of(i, text), self->back, self->tensor_bytes), "get");
        if (result == 0 &&
            memcmp(self->back, self->model + i * self->tensor_bytes, self->tensor_bytes) != 0) {
            fprintf(stderr, "bench: tensor %zu of the model has other bytes\n", i);
            result = -1;
        }
    }
    return result;
}

static int begin(work *self, rate_row *rows[ENGINES], rates *all)
{
    static const data_kind kind = {"f32", DATA_WEIGHTS, 4};
    uint64_t chunks = 0;
    self->model = bench_memory(TENSORS * self->tensor_bytes);
    self->back = bench_memory(self->tensor_bytes);
    self->db = bench_store(self->bench, "partial", 0);
    if (self->model == NULL || self->back == NULL || self->db == NULL)
        return -1;
    for (int e = 0; e < ENGINES; e++)
        rows[e] = rates_add(all, "partial", names[e], kind.dtype, data_name(kind.content),
                            TENSORS * self->tensor_bytes, 1);
    data_fill(&kind, self->model, TENSORS * self->tensor_bytes);
    return put_model(self, &chunks);
}

int partial_run(tensors_bench *bench)
{
    work self = {.bench = bench,
                 .tensor_bytes = bench_pick(bench, 4 << 20, 1 << 20, CHUNK),
                 .random = 20261121};
    rate_row *rows[ENGINES];
    char name[32];
    int result = begin(&self, rows, &bench->rates);
    for (int round = -1; round < bench->rounds; round++) /* the first is for files and pages */
        for (int e = 0; e < ENGINES && result == 0; e++)
            result = run_round(&self, e, round < 0 ? 0 : round, rows[e]);
    if (result == 0)
        result = read_back(&self);
    if (result == 0)
        rates_end(&bench->rates, rows[ENGINE_FULL],
                  bench_copy_gbps(self.back, self.model, self.tensor_bytes));
    if (self.db != NULL && bench_must(mlkv_close(self.db), "close") != 0)
        result = -1;
    bench_remove(bench, "partial");
    for (size_t i = 0; i < TENSORS; i++) {
        snprintf(name, sizeof name, "model-%zu", i);
        bench_remove(bench, name);
    }
    free(self.model);
    free(self.back);
    return result;
}
