/* test_list_long.c - lists of large elements, and long lists: blobs counted wherever their elements go; scans, blocks and lives that
 * are left to the cleaner; and what damage below the library is answered with. */
#include "types/lists.h"

enum { LARGE = 200000, EVEN = 5000 };

/* Blobs are counted right wherever their elements go, and compressed and large elements are found by their bytes. */
START_TEST(large_elements)
{
    static char noise[3][LARGE], even[2][EVEN];
    mlkv *db = memory_store();
    mlkv_slice l = TEXT("l"), m = TEXT("m");
    mlkv_slice values[5];
    mlkv_buffer value = {0};
    mlkv_rows rows = {0};
    uint64_t index, removed;
    for (unsigned i = 0; i < 3; i++) {
        fill_noise(noise[i], LARGE, i + 1);
        values[i] = slice_of(noise[i], LARGE);
    }
    memset(even[1], 'e', EVEN);
    values[3] = slice_of(even[0], EVEN);
    values[4] = slice_of(even[1], EVEN);
    OK(mlkv_list_push(db, l, RIGHT, values, 5, NULL));
    ck_assert_uint_eq(count_records(db, "R"), 3);
    OK(mlkv_list_range(db, l, 0, -1, &rows));
    for (size_t i = 0; i < 5; i++) {
        ck_assert(slice_equal(rows.items[i], values[i]));
        OK(mlkv_list_find(db, l, values[i], -1, 0, &index));
        ck_assert_uint_eq(index, i);
    }
    OK(mlkv_list_insert(db, l, MLKV_LIST_BEFORE, values[4], values[1], NULL)); /* 0 1 2 3 1 4 */
    ck_assert_uint_eq(count_records(db, "R"), 4);
    verify_all(db);
    OK(mlkv_list_move(db, l, m, LEFT, LEFT, &value));
    ck_assert(slice_equal(values[0], slice_of_buffer(&value)));
    OK(mlkv_list_move(db, l, l, LEFT, RIGHT, NULL)); /* 2 3 1 4 1 */
    ck_assert_uint_eq(count_records(db, "R"), 4);
    verify_all(db);
    OK(mlkv_list_set(db, l, 0, TEXT("small"))); /* small 3 1 4 1 */
    OK(mlkv_list_set(db, m, 0, values[2]));
    ck_assert_uint_eq(count_records(db, "R"), 3);
    verify_all(db);
    OK(mlkv_list_remove(db, l, 1, values[1], &removed)); /* small 3 4 1 */
    ck_assert_uint_eq(removed, 1);
    ck_assert_uint_eq(count_records(db, "R"), 2);
    OK(mlkv_list_trim(db, l, 0, 2));
    ck_assert_uint_eq(count_records(db, "R"), 1);
    OK(mlkv_list_pop(db, m, RIGHT, &value));
    ck_assert(slice_equal(values[2], slice_of_buffer(&value)));
    ck_assert_uint_eq(count_records(db, "R"), 0);
    OK(mlkv_list_push(db, l, LEFT, values, 3, NULL));
    OK(mlkv_list_pop_many(db, l, LEFT, 2, &rows));
    ck_assert(slice_equal(rows.items[0], values[2]) && slice_equal(rows.items[1], values[1]));
    ck_assert_uint_eq(count_records(db, "R"), 1);
    OK(mlkv_key_delete(db, &l, 1, NULL));
    verify_all(db);
    clean_all(db);
    verify_all(db);
    ck_assert_uint_eq(left_over(db), 0);
    /* what is refused leaves nothing behind */
    MUST(MLKV_ABSENT, mlkv_list_push_if_present(db, l, LEFT, values, 5, NULL));
    MUST(MLKV_ABSENT, mlkv_list_set(db, l, 0, values[0]));
    verify_all(db);
    mlkv_buffer_free(&value);
    mlkv_rows_free(&rows);
    OK(mlkv_close(db));
}
END_TEST

/* --- long lists: scans, parts, lives that are left to the cleaner --- */

enum { LONG = 6000, SPECIAL_EVERY = 400 };

static mlkv_slice number_text(unsigned i)
{
    static char text[4][32];
    static unsigned next;
    char *to = text[next++ % 4];
    return slice_of(to, (size_t)snprintf(to, 32, "element %u", i));
}

/* "element 0" ... in order, half of them pushed on the left; each SPECIAL_EVERY-th is large. */
static void make_long(mlkv *view, mlkv_slice key)
{
    static char noise[LARGE / 2];
    for (unsigned i = 0; i < LONG / 2; i++) {
        mlkv_slice left = number_text(LONG / 2 - 1 - i), right = number_text(LONG / 2 + i);
        OK(mlkv_list_push(view, key, LEFT, &left, 1, NULL));
        OK(mlkv_list_push(view, key, RIGHT, &right, 1, NULL));
    }
    for (unsigned i = 0; i < LONG; i += SPECIAL_EVERY) {
        fill_noise(noise, sizeof noise, i);
        OK(mlkv_list_set(view, key, i, slice_of(noise, sizeof noise)));
    }
}

static void check_long(mlkv *view, mlkv_slice key, int64_t start, int64_t stop, unsigned first,
                       unsigned n)
{
    static char noise[LARGE / 2];
    mlkv_rows rows = {0};
    OK(mlkv_list_range(view, key, start, stop, &rows));
    ck_assert_uint_eq(rows.count, n);
    for (unsigned i = 0; i < n; i++) {
        mlkv_slice want = number_text(first + i);
        if ((first + i) % SPECIAL_EVERY == 0) {
            fill_noise(noise, sizeof noise, first + i);
            want = slice_of(noise, sizeof noise);
        }
        if (!slice_equal(rows.items[i], want))
            ck_abort_msg("element %u of %u", i, n);
    }
    mlkv_rows_free(&rows);
}

START_TEST(long_ranges)
{
    const char *folder = harness_folder();
    mlkv *db = folder_store(folder), *views[3];
    mlkv_slice l = TEXT("l");
    make_long(db, l);
    for (int round = 0; round < 2; round++) {
        OK(mlkv_snapshot(db, &views[1]));
        OK(mlkv_begin(db, &views[2]));
        views[0] = db;
        for (int v = 2; v >= 0; v--) {
            check_long(views[v], l, 0, -1, 0, LONG);
            check_long(views[v], l, 100, 300, 100, 201);    /* blocks */
            check_long(views[v], l, 2500, 2700, 2500, 201); /* across the middle */
            check_long(views[v], l, 1, 3500, 1, 3500);
            check_long(views[v], l, -300, -1, LONG - 300, 300);
            check_long(views[v], l, 2999, 2999 + 127, 2999, 128); /* one by one */
            if (v != 0)
                OK(mlkv_close(views[v]));
        }
        OK(mlkv_close(db)); /* then everything is in LMDB */
        db = folder_store(folder);
    }
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(long_trims)
{
    mlkv *db = memory_store();
    mlkv_slice l = TEXT("l");
    make_long(db, l);
    OK(mlkv_list_trim(db, l, 500, -501)); /* deleted */
    check_long(db, l, 0, -1, 500, LONG - 1000);
    verify_all(db);
    OK(mlkv_key_expire(db, l, 1000000, MLKV_EXPIRE_ALWAYS));
    OK(mlkv_list_trim(db, l, 100, 999)); /* moves to a new life, and keeps its expiry */
    check_long(db, l, 0, -1, 600, 900);
    verify_all(db);
    int64_t ttl = -1;
    OK(mlkv_key_ttl(db, l, &ttl));
    ck_assert_int_gt(ttl, 0);
    clean_all(db);
    verify_all(db);
    check_long(db, l, 0, -1, 600, 900);
    ck_assert_uint_eq(count_records(db, "L"), 900);
    ck_assert_uint_eq(count_records(db, "R"), 2); /* 800 and 1200 */
    OK(mlkv_list_trim(db, l, 5, 4));
    ck_assert_uint_eq(key_count(db), 0);
    clean_all(db);
    ck_assert_uint_eq(left_over(db), 0);
    make_long(db, l);
    OK(mlkv_list_trim(db, l, LONG, -1));
    make_long(db, l); /* while the old one is still there */
    check_long(db, l, 0, -1, 0, LONG);
    mlkv_rows rows = {0};
    OK(mlkv_list_pop_many(db, l, RIGHT, 2 * LONG, &rows));
    ck_assert_uint_eq(rows.count, LONG);
    ck_assert(slice_equal(rows.items[0], number_text(LONG - 1)));
    mlkv_rows_free(&rows);
    clean_all(db);
    ck_assert_uint_eq(left_over(db), 0);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* Removes every element whose number is a multiple of `step`, having made them equal. */
static void check_holes(mlkv *db, unsigned step)
{
    mlkv_slice l = TEXT("l");
    mlkv_buffer value = {0};
    uint64_t removed, length;
    for (unsigned i = 0; i < LONG; i++) {
        mlkv_slice element = i % step == 0 ? TEXT("gone") : number_text(i);
        OK(mlkv_list_push(db, l, RIGHT, &element, 1, NULL));
    }
    OK(mlkv_list_remove(db, l, 0, TEXT("gone"), &removed));
    ck_assert_uint_eq(removed, (LONG + step - 1) / step);
    OK(mlkv_list_length(db, l, &length));
    ck_assert_uint_eq(length, LONG - removed);
    for (unsigned i = 0, at = 0; i < LONG; i++) {
        if (i % step == 0)
            continue;
        OK(mlkv_list_get(db, l, at++, &value));
        IS(number_text(i), value);
    }
    verify_all(db);
    OK(mlkv_key_delete(db, &l, 1, NULL));
    mlkv_buffer_free(&value);
}

START_TEST(long_edits)
{
    mlkv *db = memory_store();
    mlkv_slice l = TEXT("l");
    mlkv_buffer value = {0};
    uint64_t index, removed;
    int64_t length;
    make_long(db, l);
    for (unsigned at = 50; at < LONG; at += 1300) { /* on both sides, few and many to move */
        OK(mlkv_list_insert(db, l, MLKV_LIST_BEFORE, number_text(at), TEXT("new"), &length));
        ck_assert_int_eq(length, LONG + 1);
        OK(mlkv_list_get(db, l, at, &value));
        IS(TEXT("new"), value);
        OK(mlkv_list_find(db, l, number_text(at), 1, 0, &index));
        ck_assert_uint_eq(index, at + 1);
        verify_all(db);
        OK(mlkv_list_remove(db, l, at % 3 ? -1 : 1, TEXT("new"), &removed));
        ck_assert_uint_eq(removed, 1);
        check_long(db, l, 0, -1, 0, LONG);
    }
    verify_all(db);
    OK(mlkv_key_delete(db, &l, 1, NULL));
    check_holes(db, 2);
    check_holes(db, 7);
    check_holes(db, 1000);
    for (int i = 0; i < 300; i++)
        OK(mlkv_list_push(db, l, LEFT, &(mlkv_slice){"same", 4}, 1, NULL));
    OK(mlkv_list_remove(db, l, 0, TEXT("same"), &removed));
    ck_assert_uint_eq(removed, 300);
    clean_all(db);
    ck_assert_uint_eq(left_over(db), 0);
    mlkv_buffer_free(&value);
    OK(mlkv_close(db));
}
END_TEST

static uint64_t written(mlkv *db)
{
    mlkv_stats stats = {.size = sizeof stats};
    OK(mlkv_stats_get(db, &stats));
    return stats.tail;
}

/* LONG elements in a store without anything for the cleaner to do. "twice" stands near both ends. */
static mlkv *fresh_long(mlkv_slice key)
{
    mlkv *db = memory_store();
    for (unsigned i = 0; i < LONG; i++) {
        mlkv_slice element = i == 10 || i == LONG - 10 ? TEXT("twice") : number_text(i);
        OK(mlkv_list_push(db, key, RIGHT, &element, 1, NULL));
    }
    return db;
}

/* Edits write what they have to: told by how far the journal went. */
START_TEST(little_is_moved)
{
    enum { LITTLE = 100 * 60 }; /* bytes of some hundred elements' records */
    mlkv_slice l = TEXT("l");
    for (int round = 0; round < 5; round++) {
        mlkv *db = fresh_long(l);
        uint64_t before = written(db);
        if (round == 0)
            OK(mlkv_list_insert(db, l, MLKV_LIST_AFTER, number_text(20), l, NULL));
        else if (round == 1)
            OK(mlkv_list_insert(db, l, MLKV_LIST_AFTER, number_text(LONG - 20), l, NULL));
        else if (round == 2)
            OK(mlkv_list_remove(db, l, 1, number_text(LONG - 20), NULL));
        else if (round == 3)
            OK(mlkv_list_remove(db, l, 0, TEXT("twice"), NULL)); /* at both ends */
        else
            OK(mlkv_list_trim(db, l, 20, -20));
        ck_assert_msg(written(db) - before < LITTLE, "round %d: %llu bytes", round,
                      (unsigned long long)(written(db) - before));
        verify_all(db);
        OK(mlkv_close(db));
    }
}
END_TEST

/* Where nearly all goes it is left to the cleaner: within a transaction, while it can't be at it, all elements are still there. */
START_TEST(much_is_left)
{
    mlkv_slice l = TEXT("l");
    for (int round = 0; round < 3; round++) {
        mlkv *db = fresh_long(l), *tx = NULL;
        mlkv_rows rows = {0};
        uint64_t length = 77, want = round == 0 ? 21 : 0;
        OK(mlkv_begin(db, &tx));
        if (round == 0)
            OK(mlkv_list_trim(tx, l, 3000, 3020));
        else if (round == 1)
            OK(mlkv_list_trim(tx, l, 1, 0));
        else
            OK(mlkv_list_pop_many(tx, l, LEFT, LONG, &rows));
        ck_assert_uint_eq(count_records(tx, "L"), LONG);
        ck_assert_uint_eq(count_records(tx, "G"), 1);
        OK(mlkv_list_length(tx, l, &length));
        ck_assert_uint_eq(length, want);
        OK(mlkv_commit(tx));
        verify_all(db);
        clean_all(db);
        ck_assert_uint_eq(count_records(db, "L"), want);
        mlkv_rows_free(&rows);
        OK(mlkv_close(db));
    }
}
END_TEST

/* A transaction sees its own edits, and leaves nothing if it is aborted. */
START_TEST(in_a_transaction)
{
    mlkv *db = memory_store(), *tx = NULL;
    mlkv_slice l = TEXT("l");
    make_long(db, l);
    for (int round = 0; round < 2; round++) {
        OK(mlkv_begin(db, &tx));
        OK(mlkv_list_trim(tx, l, 1000, -1));
        check_long(tx, l, 0, -1, 1000, LONG - 1000);
        OK(mlkv_list_insert(tx, l, MLKV_LIST_AFTER, number_text(3001), TEXT("new"), NULL));
        OK(mlkv_list_remove(tx, l, 1, TEXT("new"), NULL));
        OK(mlkv_list_trim(tx, l, 0, 999));
        check_long(tx, l, 0, -1, 1000, 1000);
        check_long(tx, l, 200, 800, 1200, 601);
        if (round == 0)
            OK(mlkv_abort(tx));
        else
            OK(mlkv_commit(tx));
        check_long(db, l, 0, -1, round ? 1000 : 0, round ? 1000 : LONG);
        verify_all(db);
    }
    clean_all(db);
    verify_all(db);
    OK(mlkv_close(db));
}
END_TEST

/* --- damage, put below the library --- */

typedef struct {
    mlkv_slice key, value;
    bool deletes;
} record_change;

static int change_rule(op *o, void *context)
{
    const record_change *change = context;
    return change->deletes ? op_delete(o, change->key) : op_put(o, change->key, change->value);
}

/* The list's K record: header, its own part. */
static void read_list(mlkv *view, key_header *ret_header, unsigned char ret_part[16])
{
    scan *walk = NULL;
    mlkv_slice key, value, part;
    OK(scan_open(view, TEXT("Kl"), slice_of(NULL, 0), &walk));
    OK(scan_next(walk, &key, &value));
    OK(layout_read_header(value, ret_header, &part));
    ck_assert_uint_eq(part.size, 16);
    memcpy(ret_part, part.data, 16);
    scan_close(walk);
}

static void put_list(mlkv *view, const key_header *header, const unsigned char part[16],
                     size_t size)
{
    unsigned char value[LAYOUT_KEY_HEADER_SIZE + 16];
    layout_write_header(header, value);
    memcpy(value + LAYOUT_KEY_HEADER_SIZE, part, 16);
    record_change change = {TEXT("Kl"), slice_of(value, LAYOUT_KEY_HEADER_SIZE + size), false};
    OK(op_write(view, change_rule, &change));
}

static void change_element(mlkv *view, int64_t at, const mlkv_slice *value)
{
    key_header header;
    unsigned char part[16];
    record_key key;
    read_list(view, &header, part);
    layout_indexed('L', header.id, load_le64(part) + (uint64_t)at, &key);
    record_change change = {.key = record_key_slice(&key), .deletes = value == NULL};
    if (value != NULL)
        change.value = *value;
    OK(op_write(view, change_rule, &change));
}

static void must_be_found(mlkv *db, const char *problem)
{
    MUST(MLKV_E_CORRUPT, mlkv_verify(db, NULL, NULL, NULL));
    ck_assert_msg(strstr(mlkv_error_detail(), problem) != NULL, "%s", mlkv_error_detail());
}

START_TEST(damaged_elements)
{
    static char noise[LARGE];
    mlkv_slice l = TEXT("l"), good = slice_of("\0x", 2), bad = slice_of("\7x", 2);
    for (int many = 0; many < 2; many++) {
        mlkv *db = memory_store();
        mlkv_rows rows = {0};
        mlkv_buffer value = {0};
        for (int i = 0; i < (many ? 600 : 50); i++)
            push_letters(db, l, "z");
        fill_noise(noise, LARGE, 1);
        OK(mlkv_list_set(db, l, 20, slice_of(noise, LARGE)));
        change_element(db, 30, NULL);
        must_be_found(db, "elements");
        MUST(MLKV_E_CORRUPT, mlkv_list_range(db, l, 0, -1, &rows));
        MUST(MLKV_E_CORRUPT, mlkv_list_get(db, l, 30, &value));
        MUST(MLKV_E_CORRUPT, mlkv_list_set(db, l, 30, l));
        MUST(MLKV_E_CORRUPT, mlkv_list_trim(db, l, 40, -1));
        MUST(MLKV_E_CORRUPT, mlkv_list_remove(db, l, 0, TEXT("nothing"), NULL));
        MUST(MLKV_E_CORRUPT, mlkv_list_pop_many(db, l, MLKV_LIST_LEFT, 400, &rows));
        change_element(db, -1, &good);
        must_be_found(db, "has number");
        change_element(db, -1, NULL);
        change_element(db, 30, &bad);
        must_be_found(db, "record 'L");
        MUST(MLKV_E_CORRUPT, mlkv_list_range(db, l, 0, -1, &rows));
        change_element(db, 30, &good);
        verify_all(db);
        change_element(db, 20, &good); /* the reference to the blob is gone */
        must_be_found(db, "counts 1 references, 0 are there");
        mlkv_rows_free(&rows);
        mlkv_buffer_free(&value);
        OK(mlkv_close(db));
    }
}
END_TEST

START_TEST(damaged_keys)
{
    mlkv *db = memory_store();
    mlkv_slice l = TEXT("l");
    key_header good, header;
    unsigned char part[16], other[16];
    uint64_t length;
    make(db, "abc");
    read_list(db, &good, part);
    header = good;
    header.count++;
    put_list(db, &header, part, 16);
    must_be_found(db, "a list counts 4 elements");
    MUST(MLKV_E_CORRUPT, mlkv_list_length(db, l, &length));
    MUST(MLKV_E_CORRUPT, mlkv_list_push(db, l, MLKV_LIST_LEFT, &l, 1, &length));
    put_list(db, &good, part, 15);
    must_be_found(db, "15 bytes of its own");
    MUST(MLKV_E_CORRUPT, mlkv_list_length(db, l, &length));
    memcpy(other, part + 8, 8); /* head above tail */
    memcpy(other + 8, part, 8);
    put_list(db, &good, other, 16);
    MUST(MLKV_E_CORRUPT, mlkv_list_length(db, l, &length));
    put_list(db, &good, part, 16);
    verify_all(db);
    /* the numbers are nearly used up */
    store_le64(other, UINT64_MAX - 3);
    store_le64(other + 8, UINT64_MAX);
    put_list(db, &good, other, 16);
    MUST(MLKV_E_SIZE, mlkv_list_push(db, l, MLKV_LIST_RIGHT, &l, 1, &length));
    MUST(MLKV_E_CORRUPT, mlkv_list_find(db, l, TEXT("x"), 1, 0, &length));
    store_le64(other, 1);
    store_le64(other + 8, 4);
    put_list(db, &good, other, 16);
    MUST(MLKV_E_SIZE, mlkv_list_push(db, l, MLKV_LIST_LEFT, &l, 1, &length));
    store_le64(other, 0);
    store_le64(other + 8, 3);
    put_list(db, &good, other, 16);
    MUST(MLKV_E_CORRUPT, mlkv_list_find(db, l, TEXT("x"), 1, 0, &length));
    OK(mlkv_close(db));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("list_long");
    TCase *tcase = harness_case(suite, "list_long");
    tcase_add_test(tcase, large_elements);
    tcase_add_test(tcase, long_ranges);
    tcase_add_test(tcase, long_trims);
    tcase_add_test(tcase, long_edits);
    tcase_add_test(tcase, little_is_moved);
    tcase_add_test(tcase, much_is_left);
    tcase_add_test(tcase, in_a_transaction);
    tcase_add_test(tcase, damaged_elements);
    tcase_add_test(tcase, damaged_keys);
    return harness_run(suite);
}
