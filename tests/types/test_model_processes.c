/* test_model_processes.c - models among processes: readers never see a mix, whoever publishes, rolls back, drops, or is killed; nothing of
 * the dead is left; no update of a row is lost when a table is carried over. MLKV_LONG: ten times as many rounds. */
#include "types/model.h"

#include "models.h"

#include "base/fault.h"

#include <signal.h>

#define M TEXT("m")

enum { READERS = 4 };

static unsigned rounds(unsigned n)
{
    return harness_rounds(n) * (getenv("MLKV_LONG") != NULL ? 10 : 1);
}

/* What all processes of a test see. */
typedef struct {
    _Atomic unsigned ready, done, reads, publications;
    _Atomic uint64_t added;
} shared;

/* --- readers --- */

/* Loads the current version until told to stop: whole, every element its number. */
static void read_on(const char *folder, shared *s)
{
    mlkv *db = folder_store(folder);
    mlkv_model_contents contents = {0};
    s->ready++;
    while (!s->done) {
        int result = mlkv_model_load(db, M, 0, &contents);
        CHILD_MUST(result == MLKV_OK || result == MLKV_ABSENT);
        if (result == MLKV_OK)
            CHILD_MUST(is_filled(&contents, (float)contents.version));
        s->reads++;
    }
    mlkv_model_contents_free(&contents);
    CHILD_MUST(mlkv_close(db) == MLKV_OK);
}

static void start_readers(const char *folder, shared *s, pid_t readers[READERS])
{
    for (int i = 0; i < READERS; i++) {
        readers[i] = harness_fork();
        ck_assert_int_ge(readers[i], 0);
        if (readers[i] == 0) {
            read_on(folder, s);
            harness_exit(0);
        }
    }
    while (s->ready < READERS)
        (void)usleep(1000);
}

static void end_readers(shared *s, const pid_t readers[READERS])
{
    s->done = 1;
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(child_status(readers[i]), 0);
}

static void publish_number(mlkv *db, uint32_t keep_last)
{
    mlkv_publication *p = NULL;
    static float numbers[FILLED_ROWS * FILLED_COLUMNS];
    mlkv_model_item items[FILLED_TENSORS];
    mlkv_publish_options options = {.size = sizeof options, .keep_last = keep_last};
    OK(mlkv_model_begin(db, M, &p));
    fill_items(items, numbers, (float)mlkv_publication_version(p));
    for (size_t i = 0; i < FILLED_TENSORS; i++)
        OK(mlkv_model_put(p, items[i].name, &items[i].tensor, items[i].data, &filled_options,
                          NULL));
    OK(mlkv_model_publish(p, &options, NULL));
}

/* One publishes, rolls back and drops; four read. */
START_TEST(readers_see_one_version)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    shared *s = shared_page();
    pid_t readers[READERS];
    start_readers(folder, s, readers);
    for (unsigned i = 1; i <= rounds(150); i++) {
        publish_number(db, i % 50 == 0 ? 1 : 3);
        if (i % 7 == 0)
            OK(mlkv_model_rollback(db, M, i - 1, NULL));
        if (i % 11 == 0 && current_of(db, M) == i && i % 50 > 1)
            OK(mlkv_model_drop(db, M, i - 1));
    }
    end_readers(s, readers);
    ck_assert_uint_gt(s->reads, READERS);
    OK(mlkv_model_drop(db, M, 0));
    nothing_is_left(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- deaths --- */

/* Publishes and leaves versions staged until it is killed. */
static void publish_on(const char *folder, shared *s, int point, uint64_t pass)
{
    mlkv *db = folder_store(folder);
    mlkv_publication *p = NULL;
    static float numbers[FILLED_ROWS * FILLED_COLUMNS];
    mlkv_model_item items[FILLED_TENSORS];
    mlkv_publish_options options = {.size = sizeof options, .keep_last = 2};
    if (point >= 0)
        fault_arm((fault_point)point, FAULT_KILL, pass, 0);
    s->ready = 1;
    for (unsigned i = 0;; i++) {
        CHILD_MUST(mlkv_model_begin(db, M, &p) == MLKV_OK);
        fill_items(items, numbers, (float)mlkv_publication_version(p));
        for (size_t k = 0; k < FILLED_TENSORS; k++)
            CHILD_MUST(mlkv_model_put(p, items[k].name, &items[k].tensor, items[k].data,
                                      &filled_options, NULL) == MLKV_OK);
        if (i % 4 == 3)
            CHILD_MUST(mlkv_model_abort(p) == MLKV_OK);
        else if (i % 4 != 1) /* else it stays staged, as if its thread hung */
            CHILD_MUST(mlkv_model_publish(p, &options, NULL) == MLKV_OK);
        else
            model_publication_free(p);
        s->publications++;
    }
}

/* What the index lists, and nothing else, is there; the next begin has deleted the rest. */
static void check_after_death(mlkv *db)
{
    uint64_t version = current_of(db, M), keys = 0;
    mlkv_publication *p = NULL;
    verify_all(db);
    if (version != 0)
        expect_filled(db, M, version, (float)version);
    OK(mlkv_model_begin(db, M, &p));
    keys = 1 + versions_of(db, M) * (1 + FILLED_TENSORS);
    ck_assert_uint_eq(key_count(db), keys);
    OK(mlkv_model_abort(p));
    verify_all(db);
}

static void kill_one(const char *folder, shared *s, int point, uint64_t pass, unsigned random)
{
    s->ready = s->publications = 0;
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        publish_on(folder, s, point, pass);
    if (point < 0) {
        while (s->ready == 0)
            (void)usleep(500);
        (void)usleep(random % 20000);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
    }
    ck_assert_int_eq(child_status(child), -SIGKILL);
}

static void drop_everything(mlkv *db)
{
    int result = mlkv_model_drop(db, M, 0);
    ck_assert(result == MLKV_OK || result == MLKV_ABSENT);
    nothing_is_left(db);
}

/* Opened anew: blobs that the dead left are looked for at the beginning, and then twice a minute or so. */
static mlkv *drop_after_deaths(const char *folder, mlkv *db)
{
    int result = mlkv_model_drop(db, M, 0);
    ck_assert(result == MLKV_OK || result == MLKV_ABSENT);
    OK(mlkv_close(db));
    db = folder_store(folder);
    nothing_is_left(db);
    return db;
}

START_TEST(killed_at_random)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    shared *s = shared_page();
    for (unsigned i = 0; i < rounds(20); i++) {
        kill_one(folder, s, -1, 0, i * 2654435761u >> 7);
        check_after_death(db);
        if (i % 10 == 9)
            db = drop_after_deaths(folder, db);
    }
    OK(mlkv_close(drop_after_deaths(folder, db)));
    harness_remove(folder);
}
END_TEST

START_TEST(killed_at_fault_points)
{
    static const int points[] = {FAULT_WRITE_LOCKED,   FAULT_WRITE_RULE_DONE, FAULT_APPEND_HALF,
                                 FAULT_APPEND_CHAINED, FAULT_APPEND_VISIBLE,  FAULT_WRITE_UNLOCKED,
                                 FAULT_BLOB_PIECE,     FAULT_BLOB_WRITTEN};
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    shared *s = shared_page();
    for (unsigned i = 0; i < sizeof points / sizeof *points; i++)
        for (unsigned k = 0; k < rounds(3); k++) {
            kill_one(folder, s, points[i], 1 + k * 7 + i % 3, 0);
            check_after_death(db);
        }
    OK(mlkv_close(drop_after_deaths(folder, db)));
    harness_remove(folder);
}
END_TEST

/* --- others' publications --- */

START_TEST(living_publications_are_left_alone)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    shared *s = shared_page();
    uint64_t version = 0;
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        mlkv *own = folder_store(folder);
        mlkv_publication *p = NULL;
        CHILD_MUST(mlkv_model_begin(own, M, &p) == MLKV_OK);
        CHILD_MUST(mlkv_publication_version(p) == 1);
        static float numbers[FILLED_ROWS * FILLED_COLUMNS];
        mlkv_model_item items[FILLED_TENSORS];
        fill_items(items, numbers, 1);
        for (size_t i = 0; i < FILLED_TENSORS; i++) {
            CHILD_MUST(mlkv_model_put(p, items[i].name, &items[i].tensor, items[i].data,
                                      &filled_options, NULL) == MLKV_OK);
            s->ready = 1;
            while (i == 2 && s->done == 0)
                (void)usleep(500);
        }
        CHILD_MUST(mlkv_model_publish(p, NULL, NULL) == MLKV_OK);
        CHILD_MUST(mlkv_close(own) == MLKV_OK);
        harness_exit(0);
    }
    while (s->ready == 0)
        (void)usleep(500);
    publish_number(db, 1);
    publish_number(db, 1);
    OK(mlkv_model_drop(db, M, 0)); /* published ones only */
    ck_assert_uint_eq(current_of(db, M), 0);
    publish_number(db, 1);
    OK(mlkv_model_current(db, M, &version));
    ck_assert_uint_eq(version, 4); /* numbers go on while one is under way */
    s->done = 1;
    ck_assert_int_eq(child_status(child), 0);
    ck_assert_uint_eq(current_of(db, M), 1);
    expect_filled(db, M, 1, 1);
    expect_filled(db, M, 4, 4);
    drop_everything(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* A publication does not cross a fork. */
START_TEST(a_forked_child_has_no_publication)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    mlkv_publication *p = NULL;
    const mlkv_tensor scalar = {MLKV_F32, 0, {0}};
    float one = 1;
    int status;
    OK(mlkv_model_begin(db, M, &p));
    OK(mlkv_model_put(p, TEXT("a"), &scalar, &one, NULL, NULL));
    IN_CHILD(status, {
        CHILD_MUST(mlkv_model_put(p, TEXT("b"), &scalar, &one, NULL, NULL) == MLKV_E_OWNER);
        CHILD_MUST(mlkv_model_publish(p, NULL, NULL) == MLKV_E_OWNER);
        CHILD_MUST(mlkv_model_abort(p) == MLKV_E_OWNER);
        CHILD_MUST(mlkv_close(db) == MLKV_OK);
    });
    ck_assert_int_eq(status, 0);
    OK(mlkv_model_publish(p, NULL, NULL));
    ck_assert_uint_eq(key_count(db), 3);
    drop_everything(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

/* --- real time --- */

enum { TABLE_ROWS = 64, TABLE_COLUMNS = 16, ADDERS = 2 };

/* Adds to rows of the current version's table, whichever that is. */
static void add_on(const char *folder, shared *s, unsigned seed)
{
    mlkv *db = folder_store(folder), *tx = NULL;
    mlkv_buffer key = {0};
    float delta[2 * TABLE_COLUMNS];
    for (size_t i = 0; i < sizeof delta / sizeof *delta; i++)
        delta[i] = 1;
    s->ready++;
    for (unsigned i = 0; !s->done; i++) {
        uint64_t rows[2] = {(i * 7 + seed) % TABLE_ROWS, i % TABLE_ROWS};
        CHILD_MUST(mlkv_begin(db, &tx) == MLKV_OK);
        CHILD_MUST(mlkv_model_current_key(tx, M, TEXT("table"), &key, NULL) == MLKV_OK);
        CHILD_MUST(mlkv_tensor_scatter_add(tx, slice_of_buffer(&key), 1, rows, 2, delta,
                                           sizeof delta) == MLKV_OK);
        CHILD_MUST(mlkv_commit(tx) == MLKV_OK);
        s->added += 2;
    }
    mlkv_buffer_free(&key);
    CHILD_MUST(mlkv_close(db) == MLKV_OK);
}

START_TEST(updates_and_publications)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder);
    shared *s = shared_page();
    static float table[TABLE_ROWS * TABLE_COLUMNS];
    const mlkv_tensor shape = {MLKV_F32, 2, {TABLE_ROWS, TABLE_COLUMNS}};
    const mlkv_tensor dense = {MLKV_F32, 1, {1000}};
    mlkv_publish_options options = {.size = sizeof options, .keep_last = 2, .carry_rest = 1};
    mlkv_model_item item = {TEXT("table"), shape, table, 0};
    pid_t adders[ADDERS];
    OK(mlkv_model_save(db, M, &item, 1, NULL, NULL, NULL));
    for (unsigned i = 0; i < ADDERS; i++) {
        adders[i] = harness_fork();
        ck_assert_int_ge(adders[i], 0);
        if (adders[i] == 0) {
            add_on(folder, s, i);
            harness_exit(0);
        }
    }
    while (s->ready < ADDERS)
        (void)usleep(500);
    item = (mlkv_model_item){TEXT("dense"), dense, table, 0};
    for (unsigned i = 0; i < rounds(40); i++) {
        mlkv_publication *p = NULL;
        uint64_t before = s->added;
        OK(mlkv_model_begin(db, M, &p));
        OK(mlkv_model_put(p, TEXT("dense"), &dense, table, NULL, NULL));
        OK(mlkv_model_carry(p, TEXT("table")));
        OK(mlkv_model_publish(p, i % 2 == 0 ? &options : NULL, NULL));
        while (s->added == before)
            (void)usleep(200);
    }
    s->done = 1;
    for (unsigned i = 0; i < ADDERS; i++)
        ck_assert_int_eq(child_status(adders[i]), 0);
    mlkv_buffer key = {0};
    OK(mlkv_model_current_key(db, M, TEXT("table"), &key, NULL));
    OK(mlkv_tensor_get(db, slice_of_buffer(&key), table, sizeof table));
    double sum = 0;
    for (size_t i = 0; i < TABLE_ROWS * TABLE_COLUMNS; i++)
        sum += (double)table[i];
    ck_assert_double_eq(sum, (double)(s->added * TABLE_COLUMNS)); /* not one is lost */
    mlkv_buffer_free(&key);
    drop_everything(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model_processes");
    tcase_add_test(harness_case(suite, "readers_see_one_version"), readers_see_one_version);
    tcase_add_test(harness_case(suite, "killed_at_random"), killed_at_random);
    tcase_add_test(harness_case(suite, "killed_at_fault_points"), killed_at_fault_points);
    tcase_add_test(harness_case(suite, "living_publications_are_left_alone"),
                   living_publications_are_left_alone);
    tcase_add_test(harness_case(suite, "a_forked_child_has_no_publication"),
                   a_forked_child_has_no_publication);
    tcase_add_test(harness_case(suite, "updates_and_publications"), updates_and_publications);
    return harness_run(suite);
}
