/* whole.c - tensors put and got whole: the library beside plain files, numpy.save and numpy.load, and Redis.
 *
 * For each size several tensors, 64 MiB together or one, are put under names of their own, then got, then removed; the engines take turns
 * in each round, another first each time. Times are those of the wall. What is got is compared afterwards. The numbers are f32 weights,
 * and once noise, which shows what trying to compress costs.
 *
 *   mlkv         mlkv_tensor_put, mlkv_tensor_get, by as many threads as there are processors, at most 4. What is large is in LMDB,
 *                synced, when put returns
 *   mlkv-1       the same by one thread
 *   file         write() to a new file, read() of it from the page cache
 *   file-synced  the same, with fsync() before the file counts as written
 *   numpy        numpy.save and numpy.load in a python3 of its own, timed there; nothing is synced
 *   redis        SET and GET through hiredis over a unix socket, at most 512 MiB; nothing goes to the disk
 *   memcpy       from memory to memory
 */
#include "measure.h"
#include "tensors/tensors.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENGINES = 7, TOGETHER = 64 << 20, BLOCK = 16 << 20 };
enum {
    ENGINE_MLKV,
    ENGINE_ALONE,
    ENGINE_FILE,
    ENGINE_SYNCED,
    ENGINE_NUMPY,
    ENGINE_REDIS,
    ENGINE_MEMCPY
};

static const char *const names[ENGINES] = {"mlkv",  "mlkv-1", "file",  "file-synced",
                                           "numpy", "redis",  "memcpy"};

typedef struct {
    const tensors_bench *bench;
    mlkv *dbs[2]; /* ENGINE_MLKV, ENGINE_ALONE */
    int threads;  /* of the first */
    redis_peer *redis;
    numpy_peer *numpy;
    unsigned char *data, *back;
    size_t size;
    int count; /* tensors of a round */
    double saved;
} work;

/* Blocks of the same weights, their lowest bits changed by the number of the block, so that misplaced ones are noticed. */
static void fill(unsigned char *data, size_t size, const data_kind *kind)
{
    size_t block = size < BLOCK ? size : BLOCK;
    data_fill(kind, data, block);
    for (size_t at = block; at < size; at += block) {
        memcpy(data + at, data, block);
        for (size_t i = 0; i < block; i += 4096)
            data[at + i] ^= (unsigned char)(at / block);
    }
}

static void name_of(const work *self, int engine, int i, char path[PATH_MAX_BYTES])
{
    snprintf(path, PATH_MAX_BYTES, "%s/%s-%d%s", self->bench->folder, names[engine], i,
             engine == ENGINE_NUMPY ? ".npy" : "");
}

static double file_put(const work *self, const char *path, bool synced)
{
    double begun = measure_seconds();
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t done = 0;
    while (file >= 0 && done < self->size) {
        ssize_t wrote = write(file, self->data + done, self->size - done);
        if (wrote <= 0)
            break;
        done += (size_t)wrote;
    }
    bool failed = done < self->size || (synced && fsync(file) != 0);
    if (file >= 0)
        failed = close(file) != 0 || failed;
    if (failed)
        fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
    return failed ? -1 : measure_seconds() - begun;
}

static double file_get(const work *self, const char *path)
{
    double begun = measure_seconds();
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;
    while (file >= 0 && done < self->size) {
        ssize_t got = read(file, self->back + done, self->size - done);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (file >= 0)
        (void)close(file);
    if (done < self->size)
        fprintf(stderr, "bench: %s: %s\n", path, strerror(errno));
    return done < self->size ? -1 : measure_seconds() - begun;
}

static double mlkv_put(work *self, int engine, const char *name)
{
    mlkv *db = self->dbs[engine];
    mlkv_tensor tensor = {.dtype = MLKV_F32, .dimensions = 2, .shape = {self->size / 256, 64}};
    mlkv_slice key = {name, strlen(name)};
    mlkv_tensor_info info = {.size = sizeof info};
    double begun = measure_seconds();
    int result = mlkv_tensor_put(db, key, &tensor, self->data, NULL);
    double ended = measure_seconds();
    if (result == MLKV_OK)
        result = mlkv_tensor_get_info(db, key, &info);
    self->saved = 1 - (double)info.stored_bytes / (double)self->size;
    return bench_must(result, "put") == 0 ? ended - begun : -1;
}

static double mlkv_get(const work *self, int engine, const char *name)
{
    double begun = measure_seconds();
    int result = mlkv_tensor_get(self->dbs[engine], (mlkv_slice){name, strlen(name)}, self->back,
                                 self->size);
    double ended = measure_seconds();
    return bench_must(result, "get") == 0 ? ended - begun : -1;
}

static double copy(void *to, const void *from, size_t size)
{
    double begun = measure_seconds();
    memcpy(to, from, size);
    __asm__ volatile("" : : "r"(to) : "memory"); /* it is made */
    return measure_seconds() - begun;
}

/* Seconds, or below 0. */
static double put_one(work *self, int engine, const char *name)
{
    if (engine <= ENGINE_ALONE)
        return mlkv_put(self, engine, name);
    if (engine == ENGINE_FILE || engine == ENGINE_SYNCED)
        return file_put(self, name, engine == ENGINE_SYNCED);
    if (engine == ENGINE_NUMPY)
        return numpy_save(self->numpy, name);
    if (engine == ENGINE_REDIS)
        return redis_set(self->redis, name, self->data, self->size);
    return copy(self->back, self->data, self->size);
}

static double get_one(const work *self, int engine, const char *name)
{
    if (engine == ENGINE_NUMPY) /* it compares by itself */
        return numpy_load(self->numpy, name);
    if (engine == ENGINE_REDIS)
        return redis_get(self->redis, name, self->data, self->size);
    memset(self->back, 0, self->size);
    double seconds = engine <= ENGINE_ALONE    ? mlkv_get(self, engine, name)
                     : engine == ENGINE_MEMCPY ? copy(self->back, self->data, self->size)
                                               : file_get(self, name);
    if (seconds >= 0 && memcmp(self->back, self->data, self->size) != 0) {
        fprintf(stderr, "bench: %s gives other bytes\n", names[engine]);
        return -1;
    }
    return seconds;
}

/* What a round left must not be in the way of the next engine. */
static int clean(work *self, int engine)
{
    char name[PATH_MAX_BYTES];
    int result = 0;
    for (int i = 0; i < self->count && result == 0; i++) {
        name_of(self, engine, i, name);
        mlkv_slice key = {name, strlen(name)};
        if (engine <= ENGINE_ALONE)
            result = bench_must(mlkv_key_delete(self->dbs[engine], &key, 1, NULL), "delete");
        else if (engine == ENGINE_REDIS)
            result = redis_delete(self->redis, name);
        else if (engine != ENGINE_MEMCPY)
            (void)unlink(name);
    }
    if (engine <= ENGINE_ALONE && result == 0)
        result = bench_must(mlkv_compact(self->dbs[engine], NULL), "compact");
    return result;
}

static int run_round(work *self, int engine, int round, rate_row *row)
{
    double put = 0, got = 0, seconds = 0;
    char name[PATH_MAX_BYTES];
    sync(); /* what others left in the page cache must not be this one's burden */
    for (int i = 0; i < self->count && seconds >= 0; i++) {
        name_of(self, engine, i, name);
        put += seconds = put_one(self, engine, name);
    }
    for (int i = 0; i < self->count && seconds >= 0; i++) {
        name_of(self, engine, i, name);
        got += seconds = get_one(self, engine, name);
    }
    rates_note(row, round, self->size * (size_t)self->count, put, got);
    if (engine <= ENGINE_ALONE)
        row->saved = self->saved;
    return clean(self, engine) == 0 && seconds >= 0 ? 0 : -1;
}

static bool takes_part(const work *self, int engine)
{
    if (engine == ENGINE_REDIS)
        return self->redis != NULL && self->size < REDIS_VALUE_MAX;
    return engine != ENGINE_NUMPY || self->numpy != NULL;
}

static int run_size(tensors_bench *bench, work *self, size_t size, const data_kind *kind)
{
    rate_row *rows[ENGINES];
    char path[PATH_MAX_BYTES];
    int result = 0, rounds = bench->rounds;
    if (size > 128 << 20 && rounds > 3)
        rounds = 3;
    self->size = size;
    self->count = size < TOGETHER ? (int)(bench_pick(bench, TOGETHER, TOGETHER / 4, 0) / size) : 1;
    self->count += self->count == 0;
    fill(self->data, size, kind);
    if (self->numpy != NULL) {
        snprintf(path, sizeof path, "%s/data", bench->folder);
        result = file_put(self, path, false) < 0 ? -1 : numpy_data(self->numpy, path);
        (void)unlink(path);
    }
    for (int e = 0; e < ENGINES; e++)
        rows[e] = takes_part(self, e) ? rates_add(&bench->rates, "whole", names[e], kind->dtype,
                                                  data_name(kind->content), size,
                                                  e == ENGINE_MLKV ? self->threads : 1)
                                      : NULL;
    for (int round = -1; round < rounds; round++) { /* the first is for files, pages and heaps */
        for (int i = 0; i < ENGINES && result == 0; i++) {
            int e = (i + round + 1) % ENGINES; /* who is next gets the pages that one gave back */
            if (rows[e] != NULL)
                result = run_round(self, e, round < 0 ? 0 : round, rows[e]);
        }
    }
    rates_end(&bench->rates, rows[ENGINE_FILE], 0);
    return result;
}

int whole_run(tensors_bench *bench)
{
    static const data_kind weights = {"f32", DATA_WEIGHTS, 4}, noise = {"f32", DATA_NOISE, 4};
    const size_t sizes[] = {1 << 20, 16 << 20, 256 << 20, 1 << 30};
    size_t most = bench_pick(bench, 1 << 30, 256 << 20, 1 << 20);
    work self = {.bench = bench,
                 .threads =
                     sysconf(_SC_NPROCESSORS_ONLN) < 4 ? (int)sysconf(_SC_NPROCESSORS_ONLN) : 4,
                 .dbs = {NULL, bench_store(bench, "whole-1", 1)},
                 .redis = redis_begin(bench->folder),
                 .numpy = numpy_begin(bench),
                 .data = bench_memory(most),
                 .back = bench_memory(most)};
    self.dbs[ENGINE_MLKV] = bench_store(bench, "whole", (uint32_t)self.threads);
    int result =
        self.dbs[0] == NULL || self.dbs[1] == NULL || self.data == NULL || self.back == NULL ? -1
                                                                                             : 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && result == 0; i++) {
        if (sizes[i] > most)
            continue;
        result = run_size(bench, &self, sizes[i], &weights);
        if (result == 0 && sizes[i] == 16 << 20)
            result = run_size(bench, &self, sizes[i], &noise);
    }
    redis_end(self.redis);
    numpy_end(self.numpy);
    for (int i = 0; i < 2; i++)
        if (self.dbs[i] != NULL && bench_must(mlkv_close(self.dbs[i]), "close") != 0)
            result = -1;
    bench_remove(bench, "whole");
    bench_remove(bench, "whole-1");
    free(self.data);
    free(self.back);
    return result;
}
