/* threads.c - a tensor put into a store and got, by 1, 2 and 4 threads of the library's pool (the option `threads`).
 *
 * The stores are in memory, so that no disk is waited for. Each round puts the tensor anew, gets it, and deletes it. The yardstick is one
 * thread. codec.c measures the codec alone by as many threads of the program.
 */
#include "measure.h"
#include "tensors/tensors.h"

#include <stdlib.h>
#include <string.h>

enum { COUNTS = 3 };

static const int counts[COUNTS] = {1, 2, 4};
static const mlkv_slice key = {"tensor", 6};

typedef struct {
    mlkv *dbs[COUNTS];
    unsigned char *data, *back;
    size_t size;
} work;

static int run_round(const work *self, const data_kind *kind, int i, int round, rate_row *row)
{
    mlkv *db = self->dbs[i];
    mlkv_tensor tensor = {.dtype = kind->width == 2 ? MLKV_BF16 : MLKV_F32,
                          .dimensions = 2,
                          .shape = {self->size / kind->width / 64, 64}};
    mlkv_tensor_info info = {.size = sizeof info};
    memset(self->back, 0, self->size);
    double begun = measure_seconds();
    int result = mlkv_tensor_put(db, key, &tensor, self->data, NULL);
    double middle = measure_seconds();
    if (result == MLKV_OK)
        result = mlkv_tensor_get(db, key, self->back, self->size);
    double ended = measure_seconds();
    if (result == MLKV_OK)
        result = mlkv_tensor_get_info(db, key, &info);
    if (result == MLKV_OK)
        result = mlkv_key_delete(db, &key, 1, NULL);
    if (result == MLKV_OK)
        result = mlkv_compact(db, NULL);
    rates_note(row, round, self->size, middle - begun, ended - middle);
    row->saved = 1 - (double)info.stored_bytes / (double)self->size;
    if (result == MLKV_OK && memcmp(self->data, self->back, self->size) == 0)
        return 0;
    return bench_must(result == MLKV_OK ? MLKV_E_CORRUPT : result, "put and get by threads");
}

static int run_kind(tensors_bench *bench, const work *self, const data_kind *kind)
{
    rate_row *rows[COUNTS];
    int result = 0;
    data_fill(kind, self->data, self->size);
    double copy = bench_copy_gbps(self->back, self->data, self->size);
    for (int i = 0; i < COUNTS; i++)
        rows[i] = rates_add(&bench->rates, "threads", "mlkv-store", kind->dtype,
                            data_name(kind->content), self->size, counts[i]);
    for (int round = -1; round < bench->rounds; round++) /* the first is for pages and heaps */
        for (int i = 0; i < COUNTS && result == 0; i++)
            result = run_round(self, kind, i, round < 0 ? 0 : round, rows[i]);
    rates_end(&bench->rates, rows[0], copy);
    return result;
}

int threads_run(tensors_bench *bench)
{
    static const data_kind kinds[] = {{"bf16", DATA_WEIGHTS, 2}, {"f32", DATA_WEIGHTS, 4}};
    work self = {.size = bench_pick(bench, 128 << 20, 32 << 20, 2 << 20)};
    int result = 0;
    self.data = bench_memory(self.size);
    self.back = bench_memory(self.size);
    for (int i = 0; i < COUNTS; i++) {
        self.dbs[i] = bench_store(bench, NULL, (uint32_t)counts[i]);
        result = self.dbs[i] == NULL ? -1 : result;
    }
    if (self.data == NULL || self.back == NULL)
        result = -1;
    for (size_t k = 0; k < 2 && result == 0; k++)
        result = run_kind(bench, &self, &kinds[k]);
    for (int i = 0; i < COUNTS; i++)
        if (self.dbs[i] != NULL && bench_must(mlkv_close(self.dbs[i]), "close") != 0)
            result = -1;
    free(self.data);
    free(self.back);
    return result;
}
