/* test_tensor_rows.c - rows beside their chunks: every operation on tensors that have some, at random, against a plain array; what
 * records a change writes; that copies, payloads, renames and puts mean the same; that verify and salvage find what is wrong with them. */
#include "types/tensor.h"
#include "types/tensor_rows_fold.h"

#include "stores.h"
#include "types/arithmetic.h"

#include <mlkv/dump.h>
#include <mlkv/salvage.h>

enum { ROWS_MAX = 700, ROW_BYTES_MAX = 512, N_MAX = 40 };

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 20) % below;
}

/* The tensor as it shall be. */
typedef struct {
    int dtype;
    uint64_t rows, columns;
    size_t row_bytes, chunk_bytes, contiguous;
    unsigned char data[ROWS_MAX * ROW_BYTES_MAX];
} model;

static void fill(unsigned char *data, size_t size, int dtype)
{
    size_t width = mlkv_dtype_size((mlkv_dtype)dtype);
    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)(i % width == width - 1 ? draw(60) : draw(256));
}

static mlkv_tensor shape_of(const model *self)
{
    return (mlkv_tensor){self->dtype, 2, {self->rows, self->columns}};
}

static uint64_t version_of(mlkv *view, mlkv_slice key)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(view, key, &info));
    return info.version;
}

static void expect_at(mlkv *view, mlkv_slice key, const model *self)
{
    static unsigned char got[ROWS_MAX * ROW_BYTES_MAX];
    size_t size = self->rows * self->row_bytes;
    OK(mlkv_tensor_get(view, key, got, size));
    for (size_t i = 0; i < size; i++)
        if (got[i] != self->data[i])
            ck_abort_msg("byte %zu of row %zu: %u, not %u", i % self->row_bytes,
                         i / self->row_bytes, got[i], self->data[i]);
}

static void put(mlkv *db, model *self)
{
    mlkv_tensor tensor = shape_of(self);
    mlkv_tensor_options options = {
        .size = sizeof options, .chunk_bytes = self->chunk_bytes, .contiguous = self->contiguous};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, self->data, &options));
}

/* --- one step of the oracle each --- */

static void step_put(mlkv *db, model *self)
{
    uint64_t from = draw(self->rows), count = draw(self->rows - from);
    fill(self->data + from * self->row_bytes, count * self->row_bytes, self->dtype);
    put(db, self);
}

static void step_write(mlkv *db, model *self)
{
    uint64_t from = draw(self->rows), count = draw(draw(4) == 0 ? self->rows - from : 4) + 1;
    count = count > self->rows - from ? self->rows - from : count;
    unsigned char *at = self->data + from * self->row_bytes;
    fill(at, count * self->row_bytes, self->dtype);
    OK(mlkv_tensor_write_rows(db, TEXT("t"), from, count, at, count * self->row_bytes));
}

static void step_scatter(mlkv *db, model *self, bool add)
{
    static unsigned char delta[N_MAX * ROW_BYTES_MAX], old[ROW_BYTES_MAX];
    uint64_t rows[N_MAX], near = draw(self->rows);
    size_t n = draw(N_MAX) + 1;
    bool crowded = draw(3) == 0; /* names some rows twice */
    fill(delta, n * self->row_bytes, self->dtype);
    for (size_t i = 0; i < n; i++) {
        rows[i] = crowded ? (near + draw(6)) % self->rows : draw(self->rows);
        unsigned char *row = self->data + rows[i] * self->row_bytes;
        memcpy(old, row, self->row_bytes);
        if (add)
            arithmetic_add(self->dtype, row, old, -0.5, delta + i * self->row_bytes, self->columns);
        else
            memcpy(row, delta + i * self->row_bytes, self->row_bytes);
    }
    if (add)
        OK(mlkv_tensor_scatter_add(db, TEXT("t"), -0.5, rows, n, delta, n * self->row_bytes));
    else
        OK(mlkv_tensor_scatter(db, TEXT("t"), rows, n, delta, n * self->row_bytes));
}

static void step_add_rows(mlkv *db, model *self)
{
    static unsigned char delta[8 * ROW_BYTES_MAX], old[8 * ROW_BYTES_MAX];
    uint64_t from = draw(self->rows), count = draw(8) + 1;
    count = count > self->rows - from ? self->rows - from : count;
    size_t size = count * self->row_bytes;
    unsigned char *at = self->data + from * self->row_bytes;
    fill(delta, size, self->dtype);
    memcpy(old, at, size);
    arithmetic_add(self->dtype, at, old, 2, delta, count * self->columns);
    OK(mlkv_tensor_add_rows(db, TEXT("t"), 2, from, count, delta, size));
}

static void step_scale(mlkv *db, model *self)
{
    static unsigned char old[ROWS_MAX * ROW_BYTES_MAX];
    memcpy(old, self->data, self->rows * self->row_bytes);
    arithmetic_scale(self->dtype, self->data, old, 0.5, self->rows * self->columns);
    OK(mlkv_tensor_scale(db, TEXT("t"), 0.5));
}

static void step_append(mlkv *db, model *self)
{
    uint64_t count = draw(20), rows = 0;
    if (self->rows + count > ROWS_MAX)
        return;
    unsigned char *at = self->data + self->rows * self->row_bytes;
    fill(at, count * self->row_bytes, self->dtype);
    OK(mlkv_tensor_append_rows(db, TEXT("t"), count, at, count * self->row_bytes, &rows));
    self->rows += count;
    ck_assert_uint_eq(rows, self->rows);
}

static void step_gather(mlkv *view, const model *self)
{
    static unsigned char got[ROWS_MAX * ROW_BYTES_MAX];
    uint64_t rows[ROWS_MAX] = {0};
    size_t n = draw(draw(2) == 0 ? 12 : ROWS_MAX);
    for (size_t i = 0; i < n; i++)
        rows[i] = draw(self->rows);
    OK(mlkv_tensor_gather(view, TEXT("t"), rows, n, got, n * self->row_bytes));
    for (size_t i = 0; i < n; i++)
        ck_assert_mem_eq(got + i * self->row_bytes, self->data + rows[i] * self->row_bytes,
                         self->row_bytes);
}

static void step_read(mlkv *view, const model *self)
{
    static unsigned char got[ROWS_MAX * ROW_BYTES_MAX];
    uint64_t from = draw(self->rows), count = draw(draw(2) == 0 ? 5 : self->rows) + 1;
    count = count > self->rows - from ? self->rows - from : count;
    OK(mlkv_tensor_read_rows(view, TEXT("t"), from, count, got, count * self->row_bytes));
    ck_assert_mem_eq(got, self->data + from * self->row_bytes, count * self->row_bytes);
}

static void step_copies(mlkv *db, const model *self)
{
    int copied = 0;
    mlkv_buffer payload = {0};
    mlkv_slice copy = TEXT("copy"), restored = TEXT("restored");
    OK(mlkv_key_copy(db, TEXT("t"), copy, 1, &copied));
    ck_assert_int_eq(copied, 1);
    expect_at(db, copy, self);
    OK(mlkv_key_dump(db, TEXT("t"), &payload));
    OK(mlkv_key_restore(db, restored, slice_of(payload.data, payload.size), 0,
                        MLKV_RESTORE_REPLACE));
    expect_at(db, restored, self);
    mlkv_buffer_free(&payload);
    OK(mlkv_key_rename(db, TEXT("t"), TEXT("moved")));
    expect_at(db, TEXT("moved"), self);
    OK(mlkv_key_rename(db, TEXT("moved"), TEXT("t")));
    OK(mlkv_key_delete(db, draw(2) == 0 ? &copy : &restored, 1, NULL));
}

/* A transaction that is given up, and one that is not. */
static void step_transaction(mlkv *db, model *self)
{
    static model kept;
    mlkv *inside = NULL;
    bool commit = draw(2) == 0;
    kept = *self;
    OK(mlkv_begin(db, &inside));
    step_scatter(inside, self, true);
    step_write(inside, self);
    step_gather(inside, self);
    expect_at(inside, TEXT("t"), self);
    step_scatter(inside, self, false);
    expect_at(inside, TEXT("t"), self);
    OK(commit ? mlkv_commit(inside) : mlkv_abort(inside));
    if (!commit)
        *self = kept;
}

static void fold_all(mlkv *db)
{
    int result = MLKV_OK;
    clean_all(db); /* of dead lives */
    for (int i = 0; i < 1000 && result == MLKV_OK; i++)
        result = fold_step(db, 0);
    MUST(MLKV_ABSENT, result);
    ck_assert_uint_eq(count_records(db, "P"), 0);
    ck_assert_uint_eq(count_records(db, "Q"), 0);
}

static void step(mlkv *db, model *self)
{
    switch (draw(17)) {
    case 0:
        step_put(db, self);
        break;
    case 1:
    case 2:
        step_write(db, self);
        break;
    case 3:
    case 4:
    case 5:
        step_scatter(db, self, false);
        break;
    case 6:
    case 7:
    case 8:
        step_scatter(db, self, true);
        break;
    case 9:
        step_add_rows(db, self);
        break;
    case 10:
        step_append(db, self);
        break;
    case 11:
        step_copies(db, self);
        break;
    case 12:
        if (draw(8) == 0)
            step_scale(db, self);
        break;
    case 13:
        step_transaction(db, self);
        break;
    case 14:
        if (draw(3) == 0)
            ck_assert_int_ge(fold_step(db, 0), 0);
        break;
    case 15:
        step_gather(db, self);
        break;
    default:
        step_read(db, self);
        break;
    }
}

static void run_oracle(const char *folder, int dtype, uint64_t columns, size_t chunk_bytes,
                       unsigned steps, bool contiguous)
{
    static model self;
    mlkv *db = folder_store(folder);
    self = (model){.dtype = dtype,
                   .rows = 500,
                   .columns = columns,
                   .chunk_bytes = chunk_bytes,
                   .contiguous = contiguous};
    self.row_bytes = columns * mlkv_dtype_size((mlkv_dtype)dtype);
    ck_assert_uint_le(self.row_bytes, ROW_BYTES_MAX);
    fill(self.data, self.rows * self.row_bytes, dtype);
    OK(mlkv_key_delete_all(db));
    put(db, &self);
    for (unsigned i = 0; i < steps; i++) {
        step(db, &self);
        expect_at(db, TEXT("t"), &self);
        if (i % 50 == 49) {
            verify_all(db);
            OK(mlkv_close(db));
            db = folder_store(folder);
            expect_at(db, TEXT("t"), &self);
        }
    }
    uint64_t version = version_of(db, TEXT("t"));
    fold_all(db);
    expect_at(db, TEXT("t"), &self);
    ck_assert_uint_eq(version_of(db, TEXT("t")), version);
    verify_all(db);
    clean_all(db);
    verify_all(db);
    OK(mlkv_close(db));
}

START_TEST(test_oracle)
{
    const char *folder = harness_folder();
    unsigned steps = harness_rounds(getenv("MLKV_LONG") != NULL ? 3000 : 200);
    state = getenv("MLKV_SEED") != NULL ? strtoull(getenv("MLKV_SEED"), NULL, 10) : 7;
    run_oracle(folder, MLKV_F32, 64, 0, steps, false);        /* one chunk, that grows */
    run_oracle(folder, MLKV_F32, 32, 16 << 10, steps, false); /* several */
    run_oracle(folder, MLKV_F32, 32, 16 << 10, steps, true);
    run_oracle(folder, MLKV_I8, 100, 5000, steps, false);
    run_oracle(folder, MLKV_BF16, 7, 4096, steps, false);
    run_oracle(folder, MLKV_C128, 4, 9000, steps, false);
    run_oracle(folder, MLKV_I64, 16, 1000, steps, false); /* too small for rows beside them */
    harness_remove(folder);
}
END_TEST

/* --- what is written --- */

enum { ROWS = 4096, COLUMNS = 64, ROW = COLUMNS * 4, TABLE = ROWS * ROW }; /* 1 MiB: 4 chunks */

static float *table;

static mlkv *open_table(void)
{
    mlkv *db = memory_store();
    mlkv_tensor tensor = {MLKV_F32, 2, {ROWS, COLUMNS}};
    table = malloc(TABLE);
    ck_assert_ptr_nonnull(table);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        table[i] = (float)(i % 1000);
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, table, NULL));
    return db;
}

static void close_table(mlkv *db)
{
    verify_all(db);
    OK(mlkv_close(db));
    free(table);
}

static uint64_t journal_bytes(mlkv *db)
{
    mlkv_stats statistics = {.size = sizeof statistics};
    OK(mlkv_stats_get(db, &statistics));
    return statistics.tail;
}

static void expect_table(mlkv *view)
{
    float *got = malloc(TABLE);
    ck_assert_ptr_nonnull(got);
    OK(mlkv_tensor_get(view, TEXT("t"), got, TABLE));
    ck_assert_int_eq(memcmp(got, table, TABLE), 0);
    uint64_t rows[ROWS];
    for (uint64_t i = 0; i < ROWS; i++) /* large enough for several threads */
        rows[i] = (i * 1237 + 11) % ROWS;
    OK(mlkv_tensor_gather(view, TEXT("t"), rows, ROWS, got, TABLE));
    for (uint64_t i = 0; i < ROWS; i++)
        ck_assert_int_eq(memcmp(got + i * COLUMNS, table + rows[i] * COLUMNS, ROW), 0);
    free(got);
}

static void scatter_ones(mlkv *db, const uint64_t *rows, size_t n)
{
    float *ones = malloc(n * ROW);
    ck_assert_ptr_nonnull(ones);
    for (size_t i = 0; i < n * COLUMNS; i++)
        ones[i] = 1;
    OK(mlkv_tensor_scatter_add(db, TEXT("t"), 1, rows, n, ones, n * ROW));
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < COLUMNS; j++)
            table[rows[i] * COLUMNS + j]++;
    free(ones);
}

START_TEST(test_few_bytes_for_few_rows)
{
    enum { N = 64 };
    mlkv *db = open_table();
    uint64_t rows[N];
    for (uint64_t i = 0; i < N; i++)
        rows[i] = i * 61;
    uint64_t before = journal_bytes(db);
    scatter_ones(db, rows, N);
    uint64_t first = journal_bytes(db) - before;
    ck_assert_uint_le(first, N * (ROW + 60) + 400);
    ck_assert_uint_eq(count_records(db, "P"), N);
    ck_assert_uint_eq(count_records(db, "Q"), 1);
    expect_table(db);
    before = journal_bytes(db);
    scatter_ones(db, rows, N); /* the same ones: no more of them */
    ck_assert_uint_le(journal_bytes(db) - before, first);
    ck_assert_uint_eq(count_records(db, "P"), N);
    expect_table(db);
    uint64_t many[300]; /* too many for a chunk: it is written whole */
    for (uint64_t i = 0; i < 300; i++)
        many[i] = i;
    scatter_ones(db, many, 300);
    ck_assert_uint_lt(count_records(db, "P"), N);
    expect_table(db);
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(db, TEXT("t"), &info));
    ck_assert_uint_ge(info.stored_bytes, count_records(db, "P") * ROW);
    close_table(db);
}
END_TEST

/* However many rows are changed, no more than about a quarter of a chunk stands beside it. */
START_TEST(test_writers_fold_what_is_full)
{
    mlkv *db = open_table();
    state = 3;
    for (int i = 0; i < 1500; i++) {
        uint64_t rows[4] = {draw(1024), draw(1024), draw(1024), draw(1024)};
        scatter_ones(db, rows, 4);
    }
    ck_assert_uint_lt(count_records(db, "P"), 600); /* all of 1024 would be there by now */
    expect_table(db);
    close_table(db);
}
END_TEST

/* A tensor that can be lent is lent as it is, with the rows beside its chunks. */
START_TEST(test_lent)
{
    mlkv *db = open_table();
    mlkv_tensor tensor = {MLKV_F32, 2, {ROWS, COLUMNS}};
    mlkv_tensor_options options = {
        .size = sizeof options, .chunk_bytes = 64 << 10, .contiguous = 1};
    uint64_t rows[3] = {1, 2, 3000};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, table, &options));
    for (int i = 0; i < 3; i++) {
        void *data = NULL;
        mlkv_loan *loan = NULL;
        scatter_ones(db, rows, 3);
        ck_assert_uint_ge(count_records(db, "P"), 3);
        OK(mlkv_tensor_borrow(db, TEXT("t"), 0, NULL, &data, &loan));
        ck_assert_int_eq(memcmp(data, table, TABLE), 0);
        ck_assert_uint_eq(version_of(db, TEXT("t")), 2 + (uint64_t)i);
        OK(mlkv_loan_return(loan));
        expect_table(db);
    }
    close_table(db);
}
END_TEST

START_TEST(test_put_over)
{
    mlkv *db = open_table();
    mlkv_tensor tensor = {MLKV_F32, 2, {ROWS, COLUMNS}};
    uint64_t rows[3] = {1, 2, 3000}, written = 99;
    scatter_ones(db, rows, 3);
    /* what is put is what stands there, though the chunks' own bytes are others */
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &tensor, table, NULL, &written));
    ck_assert_uint_eq(written, 2);
    ck_assert_uint_eq(count_records(db, "P"), 0);
    expect_table(db);
    scatter_ones(db, rows, 3);
    for (size_t i = 0; i < 3; i++) /* and what the chunks' own bytes are does not count */
        for (size_t j = 0; j < COLUMNS; j++)
            table[rows[i] * COLUMNS + j]--;
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &tensor, table, NULL, &written));
    ck_assert_uint_eq(written, 2);
    expect_table(db);
    OK(mlkv_tensor_put_counted(db, TEXT("t"), &tensor, table, NULL, &written));
    ck_assert_uint_eq(written, 0);
    close_table(db);
}
END_TEST

/* The rows of a life go with it, and its name with them. */
START_TEST(test_gone)
{
    mlkv *db = open_table();
    mlkv_slice keys[2] = {TEXT("t"), TEXT("u")}, name = long_name(600, 5);
    uint64_t rows[3] = {1, 2, 3000};
    scatter_ones(db, rows, 3);
    OK(mlkv_key_copy(db, TEXT("t"), TEXT("u"), 0, NULL));
    OK(mlkv_key_copy(db, TEXT("t"), name, 0, NULL));
    ck_assert_uint_eq(count_records(db, "P"), 9);
    ck_assert_uint_eq(count_records(db, "Q"), 3);
    OK(mlkv_key_rename(db, TEXT("u"), TEXT("t"))); /* over the first */
    ck_assert_uint_eq(count_records(db, "Q"), 2);
    verify_all(db);
    OK(mlkv_key_delete(db, keys, 1, NULL));
    OK(mlkv_key_delete(db, &name, 1, NULL));
    ck_assert_uint_eq(count_records(db, "Q"), 0);
    verify_all(db);
    clean_all(db);
    ck_assert_uint_eq(count_records(db, "P"), 0);
    close_table(db);
}
END_TEST

/* --- what is wrong is found --- */

static char problem[400];

static int keep_problem(void *context, const char *text)
{
    (void)context;
    if (problem[0] == 0)
        snprintf(problem, sizeof problem, "%s", text);
    return 0;
}

static uint64_t id_of_rows(mlkv *db)
{
    scan *walk = NULL;
    mlkv_slice key, value;
    OK(scan_open(db, TEXT("P"), slice_of(NULL, 0), &walk));
    OK(scan_next(walk, &key, &value));
    uint64_t id = load_be64((const unsigned char *)key.data + 1);
    scan_close(walk);
    return id;
}

static int delete_record(op *o, void *context)
{
    return op_delete(o, *(mlkv_slice *)context);
}

static void expect_problem(mlkv *db, const char *text)
{
    problem[0] = 0;
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, keep_problem, NULL, NULL));
    ck_assert_msg(strstr(problem, text) != NULL, "%s", problem);
}

START_TEST(test_verify)
{
    mlkv *db = open_table();
    static unsigned char bytes[ROW];
    uint64_t rows[3] = {1, 2, 3000};
    scatter_ones(db, rows, 3);
    uint64_t id = id_of_rows(db);
    record_key key;
    layout_row(id, 0, 1, &key);
    mlkv_slice name = record_key_slice(&key), names = TEXT("Qt");
    record bad = {name, slice_of(bytes, ROW - 1)}, good = {name, slice_of(bytes, ROW)};
    OK(op_write(db, put_record, &bad));
    expect_problem(db, "another size");
    unsigned char got[3 * ROW];
    MUST(MLKV_E_CORRUPT, mlkv_tensor_read_rows(db, TEXT("t"), 1, 1, got, ROW));
    MUST(MLKV_E_CORRUPT, mlkv_tensor_gather(db, TEXT("t"), rows, 3, got, sizeof got));
    MUST(MLKV_E_CORRUPT, mlkv_tensor_scatter(db, TEXT("t"), rows, 1, bytes, ROW));
    OK(op_write(db, delete_record, &name));
    expect_problem(db, "3 rows stand beside its chunks, 2 do");
    OK(op_write(db, put_record, &good));
    verify_all(db);
    OK(op_write(db, delete_record, &names));
    expect_problem(db, "no record to be found by");
    OK(op_write(db, put_record, &(record){names, slice_of(NULL, 0)}));
    OK(op_write(db, put_record, &(record){TEXT("Qnone"), slice_of(NULL, 0)}));
    expect_problem(db, "the key has no rows beside its chunks");
    mlkv_slice none = TEXT("Qnone");
    OK(op_write(db, delete_record, &none));
    layout_row(id, 0, 1024, &key); /* a row of the next chunk */
    OK(op_write(db, put_record, &(record){record_key_slice(&key), slice_of(bytes, ROW)}));
    expect_problem(db, "is not in the shape");
    name = record_key_slice(&key);
    OK(op_write(db, delete_record, &name));
    layout_row(id + 1000, 0, 1, &key);
    OK(op_write(db, put_record, &(record){record_key_slice(&key), slice_of(bytes, ROW)}));
    expect_problem(db, "belongs to no key");
    OK(op_write(db, delete_record, &name));
    name = record_key_slice(&key);
    OK(op_write(db, delete_record, &name));
    for (size_t j = 0; j < COLUMNS; j++)
        table[COLUMNS + j] = 0;
    expect_table(db);
    close_table(db);
}
END_TEST

static char told[2000];

static int keep_told(void *context, int loss, const char *text)
{
    (void)context;
    (void)loss;
    size_t at = strlen(told);
    snprintf(told + at, sizeof told - at, "%s\n", text);
    return 0;
}

START_TEST(test_salvage)
{
    const char *folder = harness_folder();
    char from[600], to[600];
    snprintf(from, sizeof from, "%s/from", folder);
    for (int damage = 0; damage < 3; damage++) {
        static model self;
        mlkv *db = NULL;
        mlkv_salvage_report report = {.size = sizeof report};
        self = (model){.dtype = MLKV_F32,
                       .rows = 300,
                       .columns = 64,
                       .row_bytes = 256,
                       .chunk_bytes = 16 << 10};
        uint64_t rows[3] = {1, 2, 299};
        unsigned char delta[3 * 256];
        OK(mlkv_open(from, NULL, &db));
        OK(mlkv_key_delete_all(db));
        clean_all(db);
        fill(self.data, 300 * 256, MLKV_F32);
        put(db, &self);
        fill(delta, sizeof delta, MLKV_F32);
        OK(mlkv_tensor_scatter(db, TEXT("t"), rows, 3, delta, sizeof delta));
        for (size_t i = damage == 1 ? 1 : 0; i < 3; i++)
            memcpy(self.data + rows[i] * 256, delta + i * 256, 256);
        uint64_t id = id_of_rows(db);
        record_key key;
        layout_row(id, 0, 1, &key);
        mlkv_slice name = damage == 1 ? record_key_slice(&key) : TEXT("Qt");
        if (damage != 0)
            OK(op_write(db, delete_record, &name));
        OK(op_write(db, put_record, &(record){TEXT("Qnone"), slice_of(NULL, 0)}));
        OK(mlkv_close(db));
        snprintf(to, sizeof to, "%s/to%d", folder, damage);
        told[0] = 0;
        OK(mlkv_salvage(from, to, keep_told, NULL, &report));
        if (damage == 1)
            ck_assert_msg(strstr(told, "1 of the 3 rows beside its chunks are lost") != NULL, "%s",
                          told);
        ck_assert_uint_eq(report.losses, damage == 1 ? 1 : 0);
        OK(mlkv_open(to, NULL, &db));
        verify_all(db);
        expect_at(db, TEXT("t"), &self);
        fold_all(db);
        expect_at(db, TEXT("t"), &self);
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_rows");
    TCase *tcase = harness_case(suite, "rows");
    tcase_add_test(tcase, test_oracle);
    tcase_add_test(tcase, test_few_bytes_for_few_rows);
    tcase_add_test(tcase, test_writers_fold_what_is_full);
    tcase_add_test(tcase, test_lent);
    tcase_add_test(tcase, test_put_over);
    tcase_add_test(tcase, test_gone);
    tcase_add_test(tcase, test_verify);
    tcase_add_test(tcase, test_salvage);
    return harness_run(suite);
}
