/* common.c - memory, stores and times that the parts of the tensors' benchmark share. */
#include "measure.h"
#include "tensors/tensors.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

uint64_t bench_pick(const tensors_bench *self, uint64_t full, uint64_t quick, uint64_t smoke)
{
    return self->size == SIZE_FULL ? full : self->size == SIZE_QUICK ? quick : smoke;
}

void *bench_memory(size_t size)
{
    const size_t alignment = 2 << 20;
    size_t whole = (size + alignment - 1) / alignment * alignment;
    void *memory = aligned_alloc(alignment, whole);
    if (memory == NULL) {
        fprintf(stderr, "bench: no memory of %zu bytes\n", size);
        return NULL;
    }
    (void)madvise(memory, whole, MADV_HUGEPAGE);
    memset(memory, 0, whole);
    return memory;
}

int bench_must(int result, const char *what)
{
    if (result == MLKV_OK)
        return 0;
    fprintf(stderr, "bench: %s: %s: %s\n", what, mlkv_error_name(result), mlkv_error_detail());
    return -1;
}

mlkv *bench_store(const tensors_bench *self, const char *name, uint32_t threads)
{
    char path[PATH_MAX_BYTES];
    mlkv_options options = {.size = sizeof options, .threads = threads};
    mlkv *db = NULL;
    snprintf(path, sizeof path, "%s/%s", self->folder, name != NULL ? name : "(memory)");
    return bench_must(mlkv_open(name != NULL ? path : NULL, &options, &db), path) == 0 ? db : NULL;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void bench_remove(const tensors_bench *self, const char *name)
{
    char path[PATH_MAX_BYTES];
    snprintf(path, sizeof path, "%s/%s", self->folder, name);
    (void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

double bench_copy_gbps(void *to, const void *from, size_t size)
{
    double best = 0;
    for (int i = 0; i < 3; i++) {
        double begun = measure_seconds();
        memcpy(to, from, size);
        __asm__ volatile("" : : "r"(to) : "memory"); /* it is made */
        double gbps = (double)size / (measure_seconds() - begun) / 1e9;
        best = gbps > best ? gbps : best;
    }
    return best;
}
