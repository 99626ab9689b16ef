/* gather.c - batches of rows at random out of a large table, the look-up of embeddings: mlkv_tensor_gather beside a loop over an array.
 *
 * Rows of 256 bytes, batches of 4096 row numbers, drawn before the clock starts; every batch is compared with the array. The table is f32
 * noise, whose chunks are stored raw, and then weights, whose chunks are compressed: there a row costs the decoding of its chunk. The
 * engines:
 *
 *   array            one memcpy a row out of an array in memory, as a program would write it
 *   mlkv             mlkv_tensor_gather, chunks of 256 KiB
 *   mlkv-contiguous  the same of a table that was put contiguous (noise)
 *   mlkv-lent        the array's loop over what mlkv_tensor_borrow lends of it
 *   mlkv-8k          mlkv_tensor_gather, chunks of 8 KiB (weights): less to decode
 *
 * Before the rounds each engine reads all rows once, in order, so that its pages are mapped. bytes is the table's size. The yardstick is
 * the array, which lies in memory as malloc gives it.
 */
#include "measure.h"
#include "tensors/tensors.h"

#include <stdlib.h>
#include <string.h>

enum { ROW = 256, BATCH = 4096, BATCHES_MAX = 64, ENGINES = 4, COMPRESSED_BATCHES = 2 };
enum { ENGINE_MLKV, ENGINE_OTHER, ENGINE_LENT, ENGINE_ARRAY };

static const mlkv_slice keys[] = {{"table", 5}, {"other", 5}};

typedef struct {
    mlkv *db;
    unsigned char *table, *batch;
    const unsigned char *lent;
    uint64_t *rows; /* BATCHES_MAX batches of row numbers */
    uint64_t row_count;
    int batches;
    const char *names[ENGINES]; /* NULL: has no part in it */
    size_t other_chunk;         /* bytes; 0: contiguous */
} work;

static int gather_batch(const work *self, int engine, const uint64_t *rows)
{
    if (engine <= ENGINE_OTHER)
        return bench_must(mlkv_tensor_gather(self->db, keys[engine], rows, BATCH, self->batch,
                                             (size_t)BATCH * ROW),
                          "gather");
    const unsigned char *from = engine == ENGINE_LENT ? self->lent : self->table;
    for (size_t i = 0; i < BATCH; i++)
        memcpy(self->batch + i * ROW, from + rows[i] * ROW, ROW);
    return 0;
}

static int compare(const work *self, int engine, const uint64_t *rows)
{
    for (size_t i = 0; i < BATCH; i++) {
        if (memcmp(self->batch + i * ROW, self->table + rows[i] * ROW, ROW) == 0)
            continue;
        fprintf(stderr, "bench: %s gives another row %llu\n", self->names[engine],
                (unsigned long long)rows[i]);
        return -1;
    }
    return 0;
}

static int run_round(const work *self, int engine, int round, rate_row *row)
{
    double seconds = 0;
    int result = 0;
    for (int b = 0; b < self->batches && result == 0; b++) {
        const uint64_t *rows = self->rows + (size_t)b * BATCH;
        double begun = measure_seconds();
        result = gather_batch(self, engine, rows);
        seconds += measure_seconds() - begun;
        if (result == 0)
            result = compare(self, engine, rows);
    }
    rates_note(row, round, (uint64_t)self->batches * BATCH * ROW, 0, seconds);
    return result;
}

static int put_tables(const work *self, rate_row *const rows[ENGINES])
{
    mlkv_tensor form = {.dtype = MLKV_F32, .dimensions = 2, .shape = {self->row_count, ROW / 4}};
    int result = 0;
    for (int e = 0; e <= ENGINE_OTHER && result == 0; e++) {
        mlkv_tensor_options options = {.size = sizeof options,
                                       .chunk_bytes = e == ENGINE_OTHER ? self->other_chunk : 0,
                                       .contiguous = e == ENGINE_OTHER && self->other_chunk == 0};
        mlkv_tensor_info info = {.size = sizeof info};
        result =
            bench_must(mlkv_tensor_put(self->db, keys[e], &form, self->table, &options), "put");
        if (result == 0)
            result = bench_must(mlkv_tensor_get_info(self->db, keys[e], &info), "info");
        rows[e]->saved = 1 - (double)info.stored_bytes / (double)info.raw_bytes;
    }
    return result == 0 ? bench_must(mlkv_flush(self->db, MLKV_STORE), "flush") : -1;
}

/* Every row, in order. */
static int read_all(const work *self, int engine)
{
    uint64_t rows[BATCH];
    int result = 0;
    for (uint64_t first = 0; first < self->row_count && result == 0; first += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++)
            rows[i] = (first + i) % self->row_count;
        result = gather_batch(self, engine, rows);
        if (result == 0)
            result = compare(self, engine, rows);
    }
    return result;
}

static void draw(work *self, uint64_t seed)
{
    for (size_t i = 0; i < (size_t)self->batches * BATCH; i++)
        self->rows[i] = data_random(&seed) % self->row_count;
}

static int run_table(tensors_bench *bench, work *self, const data_kind *kind)
{
    rate_row *rows[ENGINES] = {NULL};
    uint64_t bytes = self->row_count * ROW;
    mlkv_loan *loan = NULL;
    int result = 0;
    for (int e = 0; e < ENGINES; e++)
        if (self->names[e] != NULL)
            rows[e] = rates_add(&bench->rates, "gather", self->names[e], kind->dtype,
                                data_name(kind->content), bytes, 1);
    data_fill(kind, self->table, bytes < 64 << 20 ? bytes : 64 << 20);
    for (uint64_t at = 64 << 20; at < bytes; at += 64 << 20) {
        memcpy(self->table + at, self->table, 64 << 20);
        memcpy(self->table + at, &at, sizeof at); /* no two are quite alike */
    }
    self->db = bench_store(bench, "gather", 0);
    result = self->db == NULL ? -1 : put_tables(self, rows);
    if (result == 0 && self->names[ENGINE_LENT] != NULL) {
        void *lent = NULL;
        result = bench_must(mlkv_tensor_borrow(self->db, keys[ENGINE_OTHER], 0, NULL, &lent, &loan),
                            "borrow");
        self->lent = lent;
    }
    for (int e = 0; e < ENGINES && result == 0; e++)
        if (rows[e] != NULL)
            result = read_all(self, e);
    for (int round = 0; round < bench->rounds && result == 0; round++) {
        for (int e = 0; e < ENGINES && result == 0; e++) {
            if (rows[e] == NULL)
                continue;
            draw(self, (uint64_t)(round * ENGINES + e)); /* others' rows are in the caches */
            result = run_round(self, e, round, rows[e]);
        }
    }
    rates_end(&bench->rates, rows[ENGINE_ARRAY],
              bench_copy_gbps(self->batch, self->table, (size_t)BATCH * ROW));
    if (loan != NULL && bench_must(mlkv_loan_return(loan), "return") != 0)
        result = -1;
    if (self->db != NULL && bench_must(mlkv_close(self->db), "close") != 0)
        result = -1;
    bench_remove(bench, "gather");
    return result;
}

int gather_run(tensors_bench *bench)
{
    static const data_kind noise = {"f32", DATA_NOISE, 4}, weights = {"f32", DATA_WEIGHTS, 4};
    uint64_t bytes = bench_pick(bench, (uint64_t)2 << 30, 512 << 20, 16 << 20);
    work self = {.row_count = bytes / ROW,
                 .table = malloc(bytes),
                 .batch = bench_memory((size_t)BATCH * ROW),
                 .rows = calloc((size_t)BATCHES_MAX * BATCH, sizeof *self.rows),
                 .names = {"mlkv", "mlkv-contiguous", "mlkv-lent", "array"}};
    int result = self.table == NULL || self.batch == NULL || self.rows == NULL ? -1 : 0;
    self.batches = BATCHES_MAX;
    if (result == 0)
        result = run_table(bench, &self, &noise);
    self.batches = COMPRESSED_BATCHES;
    self.names[ENGINE_OTHER] = "mlkv-8k";
    self.names[ENGINE_LENT] = NULL;
    self.other_chunk = 8 << 10;
    if (result == 0)
        result = run_table(bench, &self, &weights);
    free(self.table);
    free(self.batch);
    free(self.rows);
    return result;
}
