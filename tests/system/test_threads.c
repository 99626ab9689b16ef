/* test_threads.c - many threads on the same keys: counters add up exactly, readers never see half
 * of a write, snapshots stand still. Also run under TSan, without forks. */
#include "harness.h"
#include "steps.h"

#include <mlkv/mlkv.h>
#include <pthread.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 400 };
#else
enum { ROUNDS = 3000 };
#endif
enum { WRITERS = 3, READERS = 3, PAIRS = 4, ELEMENTS = 500 };

typedef struct {
    mlkv *db;
    int number;
    _Atomic int *writing;
} job;

static mlkv *open_store(const char *folder)
{
    mlkv_options options = steps_options(MLKV_JOURNAL);
    mlkv *db = NULL;
    OK(mlkv_open(folder, &options, &db));
    return db;
}

/* Two fields are changed together: their sum is always 0; a string counts; a set gains and loses; a
 * tensor grows evenly. */
static void *write_all(void *argument)
{
    job *j = argument;
    int64_t value;
    size_t count;
    for (int i = 0; i < ROUNDS; i++) {
        char key[32];
        snprintf(key, sizeof key, "pair:%d", i % PAIRS);
        mlkv *tx;
        OK(mlkv_begin(j->db, &tx));
        OK(mlkv_hash_add(tx, slice_of_text(key), TEXT("a"), i, &value));
        OK(mlkv_hash_add(tx, slice_of_text(key), TEXT("b"), -i, &value));
        if (i % 7 == 3)
            OK(mlkv_abort(tx));
        else
            OK(mlkv_commit(tx));
        OK(mlkv_string_add(j->db, TEXT("counter"), 1, &value));
        snprintf(key, sizeof key, "%d:%d", j->number, i % 50);
        mlkv_slice member = slice_of_text(key);
        if (i % 100 < 50)
            OK(mlkv_set_add(j->db, TEXT("set"), &member, 1, &count));
        else
            OK(mlkv_set_remove(j->db, TEXT("set"), &member, 1, &count));
        if (i % 10 == 0) {
            float ones[ELEMENTS];
            mlkv_tensor shape = {MLKV_F32, 1, {ELEMENTS}};
            for (int e = 0; e < ELEMENTS; e++)
                ones[e] = 1;
            OK(mlkv_tensor_add(j->db, TEXT("tensor"), 1.0, &shape, ones));
        }
    }
    (*j->writing)--;
    return NULL;
}

static int64_t number(const mlkv_slice *item)
{
    char text[32] = {0};
    if (item->data != NULL)
        memcpy(text, item->data, item->size < 31 ? item->size : 31);
    return strtoll(text, NULL, 10);
}

static void *read_all(void *argument)
{
    job *j = argument;
    mlkv_rows rows = {0};
    int64_t before = 0;
    float tensor[ELEMENTS];
    mlkv_slice fields[2] = {TEXT("a"), TEXT("b")};
    mlkv_buffer buffer = {0};
    for (int i = 0; *j->writing > 0; i++) {
        char key[32];
        snprintf(key, sizeof key, "pair:%d", i % PAIRS);
        OK(mlkv_hash_get_many(j->db, slice_of_text(key), fields, 2, &rows));
        ck_assert_int_eq(number(&rows.items[0]) + number(&rows.items[1]), 0);
        int result = mlkv_hash_get_all(j->db, slice_of_text(key), &rows);
        if (result == MLKV_OK && rows.count == 4)
            ck_assert_int_eq(number(&rows.items[1]) + number(&rows.items[3]), 0);
        else
            ck_assert_uint_eq(rows.count, 0);
        result = mlkv_string_get(j->db, TEXT("counter"), &buffer);
        if (result == MLKV_OK) {
            int64_t now = number(&(mlkv_slice){buffer.data, buffer.size});
            ck_assert_int_ge(now, before);
            before = now;
        }
        OK(mlkv_tensor_get(j->db, TEXT("tensor"), tensor, sizeof tensor));
        for (int e = 1; e < ELEMENTS; e++)
            ck_assert_msg(tensor[e] == tensor[0], "a tensor was seen half added: %g and %g",
                          (double)tensor[0], (double)tensor[e]);
    }
    mlkv_rows_free(&rows);
    mlkv_buffer_free(&buffer);
    return NULL;
}

static void *take_snapshots(void *argument)
{
    job *j = argument;
    while (*j->writing > 0) {
        mlkv *snapshot;
        mlkv_buffer one = {0}, two = {0};
        uint64_t count = 0;
        mlkv_rows members = {0};
        OK(mlkv_snapshot(j->db, &snapshot));
        int result = mlkv_string_get(snapshot, TEXT("counter"), &one);
        ck_assert_int_ge(mlkv_set_count(snapshot, TEXT("set"), &count), 0);
        ck_assert_int_ge(mlkv_set_members(snapshot, TEXT("set"), &members), 0);
        ck_assert_uint_eq(members.count, count);
        ck_assert_int_eq(mlkv_string_get(snapshot, TEXT("counter"), &two), result);
        ck_assert(slice_equal(slice_of_buffer(&one), slice_of_buffer(&two)));
        OK(mlkv_close(snapshot));
        mlkv_buffer_free(&one);
        mlkv_buffer_free(&two);
        mlkv_rows_free(&members);
    }
    return NULL;
}

START_TEST(readers_and_writers)
{
    const char *folder = harness_folder();
    pthread_t threads[WRITERS + READERS + 1];
    job jobs[WRITERS + READERS + 1];
    _Atomic int writing = WRITERS;
    mlkv *db = open_store(folder);
    float zeros[ELEMENTS] = {0};
    mlkv_tensor shape = {MLKV_F32, 1, {ELEMENTS}};
    OK(mlkv_tensor_put(db, TEXT("tensor"), &shape, zeros, NULL));
    for (int i = 0; i <= WRITERS + READERS; i++) {
        jobs[i] = (job){db, i, &writing};
        void *(*run)(void *) = i < WRITERS             ? write_all
                               : i < WRITERS + READERS ? read_all
                                                       : take_snapshots;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run, &jobs[i]), 0);
    }
    for (int i = 0; i <= WRITERS + READERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    int64_t counter;
    OK(mlkv_string_add(db, TEXT("counter"), 0, &counter));
    ck_assert_int_eq(counter, WRITERS * ROUNDS);
    float tensor[ELEMENTS];
    OK(mlkv_tensor_get(db, TEXT("tensor"), tensor, sizeof tensor));
    ck_assert_int_eq((int)tensor[ELEMENTS - 1], WRITERS * (ROUNDS / 10));
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_verify(db, NULL, NULL, &report));
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

static void *commit_elsewhere(void *argument)
{
    int64_t value;
    MUST(MLKV_E_OWNER, mlkv_string_add(argument, TEXT("x"), 1, &value));
    MUST(MLKV_E_OWNER, mlkv_commit(argument));
    MUST(MLKV_E_OWNER, mlkv_abort(argument));
    return NULL;
}

static void *begin_and_leave(void *argument)
{
    mlkv *tx = NULL;
    mlkv **views = argument;
    OK(mlkv_begin(views[0], &tx));
    views[1] = tx;
    return NULL;
}

START_TEST(a_transaction_has_one_owner)
{
    mlkv *db = NULL, *tx = NULL, *second = NULL;
    pthread_t thread;
    int64_t value;
    mlkv_options options = {.size = sizeof options, .lock_timeout_ms = 100};
    OK(mlkv_open(NULL, &options, &db));
    OK(mlkv_begin(db, &tx));
    ck_assert_int_eq(pthread_create(&thread, NULL, commit_elsewhere, tx), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    MUST(MLKV_E_BUSY, mlkv_begin(db, &second));
    MUST(MLKV_E_BUSY, mlkv_string_add(db, TEXT("x"), 1, &value));
    OK(mlkv_string_add(tx, TEXT("x"), 1, &value));
    OK(mlkv_commit(tx));
    mlkv *views[2] = {
        db,
        NULL}; /* a thread that ends inside its transaction: the lock goes on, the handle is over */
    ck_assert_int_eq(pthread_create(&thread, NULL, begin_and_leave, views), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    OK(mlkv_string_add(db, TEXT("x"), 1, &value));
    ck_assert_int_eq(value, 2);
    MUST(MLKV_E_OWNER, mlkv_commit(views[1]));
    OK(mlkv_close(db));
}
END_TEST

static void *wait_for_store(void *argument)
{
    job *j = argument;
    for (int i = 0; i < 40; i++) {
        char key[32];
        snprintf(key, sizeof key, "%d:%d", j->number, i);
        OK(mlkv_string_set(j->db, slice_of_text(key), TEXT("x"), MLKV_SET_ALWAYS));
    }
    return NULL;
}

START_TEST(durable_writers_share_their_waits)
{
    enum { THREADS = 8 };
    const char *folder = harness_folder();
    for (int durability = MLKV_SYNC; durability <= MLKV_STORE; durability++) {
        mlkv_options options = {
            .size = sizeof options, .durability = durability, .ring_bytes = 1 << 20};
        mlkv *db = NULL;
        pthread_t threads[THREADS];
        job jobs[THREADS];
        mlkv_stats stats = {.size = sizeof stats};
        OK(mlkv_open(folder, &options, &db));
        for (int i = 0; i < THREADS; i++) {
            jobs[i] = (job){db, i, NULL};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, wait_for_store, &jobs[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        OK(mlkv_stats_get(db, &stats));
        ck_assert_uint_eq(stats.keys, THREADS * 40);
        if (durability == MLKV_STORE)
            ck_assert_uint_eq(stats.ring_used_bytes, 0);
        OK(mlkv_close(db));
    }
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = harness_case(suite, "threads");
    tcase_add_test(tcase, readers_and_writers);
    tcase_add_test(tcase, a_transaction_has_one_owner);
    tcase_add_test(tcase, durable_writers_share_their_waits);
    return harness_run(suite);
}
