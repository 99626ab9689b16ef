/* options.c - what a caller asked for, checked, with the defaults filled in. Pure, but for reading
 * the machine's memory size. */
#include "engine/engine.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CACHE_BYTES = 256 << 20,
    RING_BYTES = 256 << 20, /* batch size is what makes the applier fast */
    RING_BYTES_IN_MEMORY =
        16 << 20, /* a tmpfs store drains at memory speed and should not hold much */
    RING_BYTES_MIN =
        64 << 10, /* a frame is at most a quarter, and a record's key may have 511 bytes */
    BATCH_BYTES = 256 << 20,
    BATCH_BYTES_MIN = 1 << 20,
    SYNC_INTERVAL_MS = 1000,
    LOCK_TIMEOUT_MS = 10000,
    COMPRESS_THRESHOLD_BYTES = 1024,
    COMPRESS_LEVEL = 1,
    COMPRESS_LEVEL_MIN = -7,
    COMPRESS_LEVEL_MAX = 19,
};
static const size_t ring_bytes_max = (size_t)64 << 30;

/* The control group's limit, or 0: none that can be read. */
static size_t cgroup_memory(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        FILE *file = fopen(files[i], "re");
        char text[32] = "", *end = text;
        if (file == NULL)
            continue;
        const char *line = fgets(text, sizeof text, file); /* a number, or "max" */
        (void)fclose(file);
        errno = 0;
        unsigned long long limit = line == NULL ? 0 : strtoull(line, &end, 10);
        if (end != text && errno == 0)
            return (size_t)limit;
    }
    return 0;
}

static size_t default_cache_bytes(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t memory = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : (size_t)1 << 30,
           limit = cgroup_memory();
    if (limit != 0 && limit < memory)
        memory = limit;
    return memory / 8 < CACHE_BYTES ? memory / 8 : CACHE_BYTES;
}

static int check_size(const mlkv_options *given)
{
    if (given->size > sizeof *given) {
        const unsigned char *bytes = (const unsigned char *)given;
        for (size_t i = sizeof *given; i < given->size && given->size <= 4096; i++) {
            if (bytes[i] != 0)
                return error_set(MLKV_E_ARGUMENT,
                                 "options: byte %zu is set, but this library knows only %zu bytes",
                                 i, sizeof *given);
        }
    }
    if (given->size < sizeof(size_t) || given->size > 4096)
        return error_set(MLKV_E_ARGUMENT, "options: size is %zu, must be sizeof(mlkv_options)",
                         given->size);
    return MLKV_OK;
}

static int check_values(const mlkv_options *o)
{
    if ((o->flags & ~(uint32_t)(MLKV_READ_ONLY | MLKV_NO_CREATE | MLKV_ACCEPT_LOSS)) != 0)
        return error_set(MLKV_E_ARGUMENT, "options: unknown flags 0x%x", o->flags);
    if (o->durability < MLKV_DURABILITY_DEFAULT || o->durability > MLKV_STORE)
        return error_set(MLKV_E_ARGUMENT, "options: durability %d is not one of mlkv_durability",
                         o->durability);
    if (o->ring_bytes != 0 && (o->ring_bytes < RING_BYTES_MIN || o->ring_bytes > ring_bytes_max ||
                               (o->ring_bytes & (o->ring_bytes - 1)) != 0))
        return error_set(MLKV_E_ARGUMENT,
                         "options: ring_bytes %zu is not a power of two from 64 KiB to 64 GiB",
                         o->ring_bytes);
    if (o->batch_bytes != 0 && o->batch_bytes < BATCH_BYTES_MIN)
        return error_set(MLKV_E_ARGUMENT, "options: batch_bytes %zu is less than 1 MiB",
                         o->batch_bytes);
    if (o->compress_level < COMPRESS_LEVEL_MIN || o->compress_level > COMPRESS_LEVEL_MAX)
        return error_set(MLKV_E_ARGUMENT, "options: compress_level %d is not in -7..19",
                         o->compress_level);
    if (o->threads > POOL_THREADS_MAX)
        return error_set(MLKV_E_ARGUMENT, "options: threads %u is more than %d",
                         (unsigned)o->threads, POOL_THREADS_MAX);
    return MLKV_OK;
}

int engine_check_options(const mlkv_options *given, bool in_memory, engine_options *ret_options)
{
    mlkv_options o = {0};
    if (given != NULL) {
        int result = check_size(given);
        if (result != MLKV_OK)
            return result;
        memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
        result = check_values(&o);
        if (result != MLKV_OK)
            return result;
    }
    if (in_memory && (o.flags & (MLKV_READ_ONLY | MLKV_NO_CREATE)) != 0)
        return error_set(MLKV_E_ARGUMENT, "options: an in-memory store is always new and writable");
    *ret_options = (engine_options){
        .cells = {.threshold_bytes = o.compress_threshold_bytes != 0 ? o.compress_threshold_bytes
                                                                     : COMPRESS_THRESHOLD_BYTES,
                  .level = o.compress_level != 0 ? o.compress_level : COMPRESS_LEVEL},
        .cache_bytes = o.cache_bytes != 0 ? o.cache_bytes : default_cache_bytes(),
        .ring_bytes = o.ring_bytes != 0 ? o.ring_bytes
                                        : (size_t)(in_memory ? RING_BYTES_IN_MEMORY : RING_BYTES),
        .batch_bytes = o.batch_bytes != 0 ? o.batch_bytes : BATCH_BYTES,
        .sync_interval_ms = o.sync_interval_ms != 0 ? o.sync_interval_ms : SYNC_INTERVAL_MS,
        .lock_timeout_ms = o.lock_timeout_ms != 0 ? o.lock_timeout_ms : LOCK_TIMEOUT_MS,
        .threads = o.threads != 0 ? o.threads : pool_default_threads(),
        .executor = {.run = o.parallel, .context = o.parallel_context},
        .durability = o.durability != 0 ? o.durability : MLKV_JOURNAL,
        .read_only = (o.flags & MLKV_READ_ONLY) != 0,
        .create = (o.flags & (MLKV_READ_ONLY | MLKV_NO_CREATE)) == 0,
        .accept_loss = (o.flags & MLKV_ACCEPT_LOSS) != 0,
        .in_memory = in_memory,
    };
    return MLKV_OK;
}
