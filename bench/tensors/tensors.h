/* tensors.h - the parts of the tensors' benchmark, and what they share. Each part measures its workload and leaves its rows: 0, or -1 after
 * a line on stderr. Whatever an engine gives back is compared with what it was given, outside of the times. */
#ifndef MLKV_BENCH_TENSORS_TENSORS_H
#define MLKV_BENCH_TENSORS_TENSORS_H

#include "tensors/data.h"
#include "tensors/rates.h"

#include <mlkv/mlkv.h>
#include <stdbool.h>

/* FULL: figures. QUICK: rough ones, within two minutes. SMOKE: does it run at all. */
typedef enum { SIZE_FULL, SIZE_QUICK, SIZE_SMOKE } bench_size;

enum { FOLDER_BYTES = 512, PATH_MAX_BYTES = FOLDER_BYTES + 64, COPY_CHUNK = 256 << 10 };

typedef struct {
    rates rates;
    bench_size size;
    int rounds;
    const char *digits;        /* the file */
    const char *scripts;       /* the folder of the helpers in Python */
    char folder[FOLDER_BYTES]; /* an empty one, for stores and files */
} tensors_bench;

int codec_run(
    tensors_bench *self); /* bytes coded and decoded, beside other codecs, and by several threads */
int whole_run(tensors_bench *self);   /* tensors put and got whole, beside files, numpy and Redis */
int gather_run(tensors_bench *self);  /* rows at random, beside a loop over an array */
int partial_run(tensors_bench *self); /* a model of which a hundredth changed, put again */
int threads_run(tensors_bench *self); /* put and got by several threads */
int add_run(tensors_bench *self);     /* processes that add into one tensor */

/* --- common.c --- */

/* The value for this size of run. */
uint64_t bench_pick(const tensors_bench *self, uint64_t full, uint64_t quick, uint64_t smoke);

/* `size` bytes, aligned to pages, in huge ones if there are, touched; to be given back by free(). NULL: said. */
void *bench_memory(size_t size);

/* A store in a new subfolder of the bench's, removed again by bench_remove; name NULL: in memory. threads: of its pool, 0 for the default.
 * NULL: said. */
mlkv *bench_store(const tensors_bench *self, const char *name, uint32_t threads);
void bench_remove(const tensors_bench *self, const char *name);

/* 0 if the result is MLKV_OK; else -1, said. */
int bench_must(int result, const char *what);

/* GB/s of memcpy of `size` bytes between two places, the best of a few. */
double bench_copy_gbps(void *to, const void *from, size_t size);

/* --- peers that come with their own library; each is absent if that was not there when this was built --- */

/* codec_blosc.c. Codes one chunk to `to`, which has `room` bytes: the size, or 0. */
typedef struct {
    const char *name, *compressor;
    int level, shuffle;
} blosc_way;
extern const blosc_way blosc_ways[];
extern const int blosc_way_count;
size_t blosc_encode(const blosc_way *way, unsigned width, const void *from, size_t size, void *to,
                    size_t room);
bool blosc_decode(const void *from, void *to, size_t size);

/* whole_redis.c: a server of its own, on a unix socket in the folder, that writes nothing to the disk. NULL: not there, said. */
typedef struct redis_peer redis_peer;
redis_peer *redis_begin(const char *folder);
void redis_end(redis_peer *self);
enum { REDIS_VALUE_MAX = 512 << 20 };
/* Seconds; below 0: it failed, said. The value that it gives is compared with data, after the time. */
double redis_set(redis_peer *self, const char *key, const void *data, size_t size);
double redis_get(redis_peer *self, const char *key, const void *data, size_t size);
int redis_delete(redis_peer *self, const char *key);

/* whole_numpy.c: a python3 of its own; data is what it reads from a file first. */
typedef struct numpy_peer numpy_peer;
numpy_peer *numpy_begin(const tensors_bench *bench);
void numpy_end(numpy_peer *self);
int numpy_data(numpy_peer *self, const char *path); /* f32 */
double numpy_save(numpy_peer *self, const char *path);
double numpy_load(numpy_peer *self, const char *path);

#endif
