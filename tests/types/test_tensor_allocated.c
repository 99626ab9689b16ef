/* test_tensor_allocated.c - whole tensors into memory that is allocated for them: every form, the caller's allocator, tensors that
 * change their form between any two steps, and meanwhile; nothing is leaked. */
#include "types/tensor.h"

#include "stores.h"

#include <pthread.h>
#include <stdatomic.h>

/* Memory of a test, which counts; and does something to the store before the call number `at`, or fails in it. */
typedef struct {
    mlkv *db;
    int calls, at, held;
    size_t sizes[8];
    void (*act)(mlkv *db);
    bool fail;
} pool;

static void *take(void *context, size_t bytes)
{
    pool *self = context;
    ck_assert_int_lt(self->calls, 8);
    ck_assert_uint_gt(bytes, 0);
    self->sizes[self->calls++] = bytes;
    if (self->calls - 1 <= self->at && self->act != NULL)
        self->act(self->db);
    if (self->fail)
        return NULL;
    self->held++;
    return malloc(bytes); /* exactly, so that a sanitizer sees what is written behind it */
}

static void give_back(void *context, void *memory)
{
    pool *self = context;
    ck_assert_ptr_nonnull(memory);
    self->held--;
    free(memory);
}

static mlkv_allocator allocator_of(pool *self)
{
    return (mlkv_allocator){
        .size = sizeof(mlkv_allocator), .allocate = take, .release = give_back, .context = self};
}

START_TEST(test_every_form)
{
    mlkv *db = memory_store(), *snapshot = NULL;
    static unsigned char data[16 * 1000];
    static const mlkv_tensor forms[] = {{0, 0, {0}},      {0, 1, {1000}},
                                        {0, 1, {0}},      {0, 3, {5, 0, 7}},
                                        {0, 2, {10, 99}}, {0, 8, {1, 2, 1, 3, 1, 4, 5, 1}}};
    fill_noise(data, sizeof data, 1);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] &= 1;
    for (int dtype = MLKV_F64; dtype <= MLKV_C128; dtype++) {
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
            mlkv_tensor tensor = forms[i];
            mlkv_tensor_info info = {.size = sizeof info}, other = info;
            void *got = data;
            tensor.dtype = dtype;
            OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
            OK(mlkv_tensor_get_info(db, TEXT("t"), &other));
            OK(mlkv_tensor_get_allocated(db, TEXT("t"), NULL, &info, &got));
            ck_assert(memcmp(&info, &other, sizeof info) == 0);
            ck_assert(tensor_same(&info.tensor, &tensor));
            ck_assert_uint_eq((uintptr_t)got % 64, 0);
            ck_assert((got == NULL) == (info.raw_bytes == 0));
            if (got != NULL)
                ck_assert(memcmp(got, data, info.raw_bytes) == 0);
            free(got);
        }
    }
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_key_delete(db, (mlkv_slice[]){TEXT("t")}, 1, NULL));
    mlkv_tensor_info info = {.size = sizeof info};
    void *got = NULL;
    OK(mlkv_tensor_get_allocated(snapshot, TEXT("t"), NULL, &info, &got));
    ck_assert_uint_eq(info.raw_bytes, 120 * 16);
    ck_assert(memcmp(got, data, info.raw_bytes) == 0);
    free(got);
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

START_TEST(test_refused)
{
    mlkv *db = memory_store();
    pool memory = {.db = db};
    mlkv_allocator allocator = allocator_of(&memory), wrong = allocator;
    mlkv_tensor tensor = {MLKV_F32, 1, {100}};
    mlkv_tensor_info info = {.size = sizeof info}, untouched = info, small = {.size = 8};
    float data[100] = {1, 2, 3};
    void *got = data;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(mlkv_string_set(db, TEXT("s"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_ABSENT, mlkv_tensor_get_allocated(db, TEXT("none"), &allocator, &info, &got));
    MUST(MLKV_E_TYPE, mlkv_tensor_get_allocated(db, TEXT("s"), &allocator, &info, &got));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_allocated(NULL, TEXT("t"), &allocator, &info, &got));
    MUST(MLKV_E_ARGUMENT,
         mlkv_tensor_get_allocated(db, slice_of(NULL, 1), &allocator, &info, &got));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, NULL, &got));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, &small, &got));
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, &info, NULL));
    wrong.size--;
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_allocated(db, TEXT("t"), &wrong, &info, &got));
    wrong = allocator, wrong.allocate = NULL;
    MUST(MLKV_E_ARGUMENT, mlkv_tensor_get_allocated(db, TEXT("t"), &wrong, &info, &got));
    ck_assert_int_eq(memory.calls, 0);
    memory.fail = true;
    MUST(MLKV_E_MEMORY, mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, &info, &got));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "no 400 bytes for tensor 't'"));
    ck_assert(got == data);
    ck_assert(memcmp(&info, &untouched, sizeof info) == 0);
    memory.fail = false;
    allocator.release = NULL; /* an arena */
    OK(mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, &info, &got));
    ck_assert_int_eq(memory.held, 1);
    ck_assert_uint_eq(memory.sizes[1], 400);
    ck_assert(memcmp(got, data, sizeof data) == 0);
    free(got);
    OK(mlkv_close(db));
}
END_TEST

/* A chunk that is damaged: the memory goes back. */
START_TEST(test_damage)
{
    mlkv *db = memory_store();
    pool memory = {.db = db};
    mlkv_allocator allocator = allocator_of(&memory);
    mlkv_tensor tensor = {MLKV_U8, 1, {100}};
    mlkv_tensor_info info = {.size = sizeof info};
    unsigned char data[100] = {5}, bad[200];
    void *got = data;
    scan *walk = NULL;
    mlkv_slice found, value;
    record_key key;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    OK(scan_open(db, TEXT("T"), slice_of(NULL, 0), &walk));
    OK(scan_next(walk, &found, &value));
    ck_assert_uint_le(value.size, sizeof bad);
    memcpy(bad, value.data, value.size);
    memcpy(key.bytes, found.data, found.size);
    key.size = (uint16_t)found.size;
    bad[0] ^= 1; /* its checksum */
    OK(op_write(db, put_record, &(record){record_key_slice(&key), slice_of(bad, value.size)}));
    scan_close(walk);
    MUST(MLKV_E_CORRUPT, mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, &info, &got));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "tensor 't'"));
    ck_assert_int_eq(memory.calls, 1);
    ck_assert_int_eq(memory.held, 0);
    ck_assert(got == data);
    OK(mlkv_close(db));
}
END_TEST

/* --- a form that changes between the looks --- */

/* Elements are all the number of rows. */
static void put_rows(mlkv *db, uint64_t rows)
{
    mlkv_tensor tensor = {MLKV_U16, 2, {rows, 50}};
    uint16_t *data = malloc(rows * 100 + 1);
    for (size_t i = 0; i < rows * 50; i++)
        data[i] = (uint16_t)rows;
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
    free(data);
}

static void put_more(mlkv *db)
{
    mlkv_tensor_info info = {.size = sizeof info};
    OK(mlkv_tensor_get_info(db, TEXT("t"), &info));
    put_rows(db, info.rows + 1);
}

static void put_fewer(mlkv *db)
{
    put_rows(db, 3);
}

static void put_nothing(mlkv *db)
{
    put_rows(db, 0);
}

/* The same bytes of another type: nothing to allocate. */
static void put_signed(mlkv *db)
{
    mlkv_tensor tensor = {MLKV_I8, 1, {1000}};
    int8_t data[1000] = {0};
    OK(mlkv_tensor_put(db, TEXT("t"), &tensor, data, NULL));
}

static void put_string(mlkv *db)
{
    OK(mlkv_key_delete(db, (mlkv_slice[]){TEXT("t")}, 1, NULL));
    OK(mlkv_string_set(db, TEXT("t"), TEXT("x"), MLKV_SET_ALWAYS));
}

static void remove_key(mlkv *db)
{
    OK(mlkv_key_delete(db, (mlkv_slice[]){TEXT("t")}, 1, NULL));
}

static void check_rows(const mlkv_tensor_info *info, const uint16_t *data)
{
    ck_assert_uint_eq(info->raw_bytes, info->tensor.shape[0] * 100);
    for (size_t i = 0; i < info->rows * 50; i++)
        if (data[i] != info->rows)
            ck_abort_msg("element %zu of %llu rows is %u", i, (unsigned long long)info->rows,
                         data[i]);
}

START_TEST(test_changed_between)
{
    mlkv *db = memory_store();
    static const struct {
        void (*act)(mlkv *db);
        int at, expected, calls;
        uint64_t rows;
    } cases[] = {
        {put_more, 0, MLKV_OK, 2, 11},
        {put_more, 1, MLKV_OK, 2, 12}, /* goes into the reserve */
        {put_fewer, 0, MLKV_OK, 1, 3},
        {put_nothing, 0, MLKV_OK, 1, 0},
        {put_signed, 0, MLKV_OK, 1, 0},
        {put_string, 0, MLKV_E_TYPE, 1, 0},
        {remove_key, 0, MLKV_ABSENT, 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pool memory = {.db = db, .act = cases[i].act, .at = cases[i].at};
        mlkv_allocator allocator = allocator_of(&memory);
        mlkv_tensor_info info = {.size = sizeof info};
        void *got = &memory;
        put_rows(db, 10);
        MUST(cases[i].expected, mlkv_tensor_get_allocated(db, TEXT("t"), &allocator, &info, &got));
        ck_assert_int_eq(memory.calls, cases[i].calls);
        ck_assert_uint_eq(memory.sizes[0], 1000);
        bool has = cases[i].expected == MLKV_OK && info.raw_bytes != 0;
        ck_assert_int_eq(memory.held, has ? 1 : 0);
        ck_assert(cases[i].expected == MLKV_OK ? (got != NULL) == has : got == &memory);
        if (has && cases[i].act == put_signed)
            ck_assert_int_eq(info.tensor.dtype, MLKV_I8);
        else if (cases[i].expected == MLKV_OK)
            ck_assert_uint_eq(info.rows, cases[i].rows);
        if (has && cases[i].act != put_signed)
            check_rows(&info, got);
        if (has)
            free(got);
        remove_key(db);
    }
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

typedef struct {
    mlkv *db;
    _Atomic bool stop;
} scene;

/* Forms of one chunk to many, so many that the read takes several operations. */
static void *put_forms(void *argument)
{
    scene *self = argument;
    for (uint64_t i = 0; !self->stop; i++)
        put_rows(self->db, 1 + i * 9973 % 60000);
    return NULL;
}

START_TEST(test_changed_meanwhile)
{
    const char *folder = harness_folder();
    scene self = {0};
    pthread_t writer;
    OK(mlkv_open(folder, NULL, &self.db));
    put_rows(self.db, 60000);
    ck_assert_int_eq(pthread_create(&writer, NULL, put_forms, &self), 0);
    unsigned rounds = harness_rounds(60);
    for (unsigned i = 0; i < rounds; i++) {
        mlkv_tensor_info info = {.size = sizeof info};
        void *got = NULL;
        OK(mlkv_tensor_get_allocated(self.db, TEXT("t"), NULL, &info, &got));
        check_rows(&info, got);
        free(got);
    }
    self.stop = true;
    pthread_join(writer, NULL);
    verify_all(self.db);
    OK(mlkv_close(self.db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor_allocated");
    TCase *tcase = harness_case(suite, "tensor_allocated");
    tcase_add_test(tcase, test_every_form);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_damage);
    tcase_add_test(tcase, test_changed_between);
    tcase_add_test(tcase, test_changed_meanwhile);
    return harness_run(suite);
}
