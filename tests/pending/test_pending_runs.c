/* test_pending_runs.c - scans over pending records: order, prefixes, newest versions, tombstones,
 * trimming, overtaking. */
#include "fixture.h"

#include <pthread.h>

enum { KEYS = 600 };

typedef struct {
    unsigned char bytes[511];
    size_t size;
    uint64_t position, version;
    bool is_delete;
} model_record;

static int compare_model(const void *left, const void *right)
{
    const model_record *a = left, *b = right;
    return slice_compare(slice_of(a->bytes, a->size), slice_of(b->bytes, b->size));
}

/* Distinct keys, sorted: short ones, ones with zero bytes, ones that differ only after 23 or 200
 * bytes, prefixes of others. */
static model_record *make_model(void)
{
    model_record *model = calloc(KEYS, sizeof *model);
    for (unsigned i = 0; i < KEYS; i++) {
        model_record *record = &model[i];
        memset(record->bytes, i % 3 == 0 ? 0 : 'e', sizeof record->bytes);
        record->bytes[0] = (unsigned char)"ELK"[i % 3];
        switch (i % 5) {
        case 0: /* numbers at once */
            store_be32(record->bytes + 1, i);
            record->size = 5 + i % 7;
            break;
        case 1: /* only the length differs */
            record->size = 1 + i % 300;
            break;
        case 2:
            store_be32(record->bytes + 24, i);
            record->size = 28;
            break;
        case 3:
            store_be32(record->bytes + 200, i / 7);
            record->size = 204 + i % 300;
            break;
        default:
            store_be32(record->bytes + 19, i);
            record->size = 23 + i % 2;
            break;
        }
    }
    qsort(model, KEYS, sizeof *model, compare_model);
    for (unsigned i = 1; i < KEYS;
         i++) /* equal ones are made longer: still distinct, perhaps not in order */
        while (compare_model(&model[i - 1], &model[i]) == 0)
            model[i].bytes[model[i].size++] = (unsigned char)i;
    qsort(model, KEYS, sizeof *model, compare_model);
    return model;
}

static void check_collect(const fixture *own, const model_record *model, mlkv_slice prefix,
                          mlkv_slice after)
{
    pending_copy copy = {0};
    OK(pending_collect(own->pending, journal_tail(own->journal), prefix, after, &copy));
    uint64_t trimmed = pending_trimmed(own->pending);
    size_t at = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        mlkv_slice key = slice_of(model[i].bytes, model[i].size);
        if (model[i].position == 0 || model[i].position < trimmed ||
            !slice_starts_with(key, prefix) || (after.size > 0 && slice_compare(key, after) <= 0))
            continue;
        ck_assert_uint_lt(at, copy.count);
        const pending_item *item = &copy.items[at++];
        ck_assert(slice_equal(item->key, key));
        ck_assert_int_eq(item->is_delete, model[i].is_delete);
        ck_assert(
            slice_equal(item->value, slice_of(&model[i].version,
                                              model[i].is_delete ? 0 : model[i].version % 9)));
    }
    ck_assert_uint_eq(at, copy.count);
    pending_copy_free(&copy);
}

static void put_random(fixture *own, model_record *model, uint64_t *random, uint64_t version)
{
    uint64_t r = next_random(random);
    model_record *record = &model[(r >> 20) % KEYS];
    mlkv_slice key = slice_of(record->bytes, record->size);
    record->version = version;
    record->is_delete = r % 10 == 0;
    record->position =
        fixture_put(own, key, slice_of(&record->version, record->is_delete ? 0 : version % 9),
                    record->is_delete);
}

static void check_random(const fixture *own, const model_record *model, uint64_t *random)
{
    uint64_t r = next_random(random);
    const model_record *some = &model[(r >> 20) % KEYS], *other = &model[(r >> 40) % KEYS];
    mlkv_slice prefix = slice_of(some->bytes, r % 3 == 0 ? 0 : r % (some->size + 1)), after = {0};
    if (r % 4 == 0)
        after = slice_of(other->bytes, other->size);
    else if (r % 4 == 1)
        after = slice_of(some->bytes, some->size);
    else if (r % 4 == 2)
        after = slice_of(other->bytes, 1 + r % other->size);
    check_collect(own, model, prefix, after);
}

START_TEST(oracle)
{
    fixture own;
    fixture_open(&own, 256 << 10);
    model_record *model = make_model();
    uint64_t random = 31337;
    for (uint64_t version = 1; version <= harness_rounds(30000); version++) {
        put_random(&own, model, &random, version);
        uint64_t r = next_random(&random);
        if (r % 3000 == 0) { /* part of the frames: up to some record's frame */
            const model_record *some = &model[(r >> 20) % KEYS];
            if (some->position > journal_applied(own.journal)) {
                journal_raise_applied(own.journal, some->position - FRAME_HEADER_SIZE);
                if (r % 2 == 0)
                    pending_trim(own.pending, journal_applied(own.journal));
            }
        }
        if (version % (version / 5000 * 40 + 7) == 0) /* often at first, seldom later */
            check_random(&own, model, &random);
        ck_assert_uint_le(own.pending->run_count, 20);
    }
    check_collect(&own, model, (mlkv_slice){0}, (mlkv_slice){0});
    ck_assert_uint_eq(own.pending->indexed_to, journal_tail(own.journal));
    pending_trim(own.pending, journal_tail(own.journal));
    ck_assert_uint_eq(own.pending->run_count, 0); /* nothing pending, nothing kept */
    check_collect(&own, model, (mlkv_slice){0}, (mlkv_slice){0});
    free(model);
    fixture_close(&own);
}
END_TEST

START_TEST(ties_with_dead_long_keys)
{
    fixture own;
    fixture_open(&own, 128 << 10);
    /* All keys share 23 bytes, so that the search must read keys, and half of them are overwritten
     * in the ring. */
    enum { TIES = 200 };
    unsigned char key[64], filler[2000] = {0};
    memset(key, 'T', sizeof key);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = round; i < TIES; i += 2) {
            store_be32(key + 60, i);
            fixture_put(&own, slice_of(key, 64), slice_of(&i, 4), false);
        }
        if (round == 0) {
            pending_copy copy = {0};
            OK(pending_collect(own.pending, journal_tail(own.journal), TEXT("T"), (mlkv_slice){0},
                               &copy));
            ck_assert_uint_eq(copy.count, TIES / 2);
            pending_copy_free(&copy);
            journal_raise_applied(own.journal, journal_tail(own.journal));
            for (unsigned i = 0; i < 55; i++)
                fixture_put(&own, TEXT("A"), slice_of(filler, sizeof filler), false);
        }
    }
    for (uint32_t after = 0; after < TIES; after += 3) {
        pending_copy copy = {0};
        store_be32(key + 60, after);
        OK(pending_collect(own.pending, journal_tail(own.journal), TEXT("TT"), slice_of(key, 64),
                           &copy));
        ck_assert_uint_eq(copy.count, (TIES - after) / 2);
        for (size_t i = 0; i < copy.count; i++)
            ck_assert_uint_eq(load_be32((const unsigned char *)copy.items[i].key.data + 60),
                              (after + 1) / 2 * 2 + 1 + 2 * i);
        pending_copy_free(&copy);
    }
    fixture_close(&own);
}
END_TEST

START_TEST(overtaken_frames_are_lost)
{
    fixture own;
    fixture_open(&own, 64 << 10);
    unsigned char filler[1000] = {0};
    fixture_put(&own, TEXT("k"), TEXT("v"), false);
    uint64_t cursor = journal_tail(own.journal);
    pending_copy copy = {.count = 77};
    OK(pending_collect(own.pending, cursor, TEXT("k"), (mlkv_slice){0}, &copy));
    ck_assert_uint_eq(copy.count, 1);
    pending_copy_free(&copy);
    /* other processes write on, and this one's cursor stands still */
    for (unsigned i = 0; i < 100; i++) {
        fixture_encode(&own, TEXT("other"), slice_of(filler, sizeof filler), false);
        if (!fixture_has_room(&own))
            journal_raise_applied(own.journal, journal_tail(own.journal));
        fixture_append(&own, 1);
    }
    OK(pending_collect(own.pending, cursor, TEXT("k"), (mlkv_slice){0},
                       &copy)); /* all below the cursor is applied */
    ck_assert_uint_eq(copy.count, 0);
    ck_assert_uint_eq(pending_trimmed(own.pending), cursor);
    pending_copy_free(&copy);
    /* a cursor above what the ring holds, frames between gone */
    copy.count = 77;
    own.pending->indexed_to = 0;
    own.pending->trimmed = 0;
    uint64_t tail = journal_tail(own.journal);
    ck_assert_uint_gt(journal_applied(own.journal), 0);
    OK(pending_collect(own.pending, tail, TEXT("other"), (mlkv_slice){0},
                       &copy)); /* begins at applied: intact */
    ck_assert_uint_eq(copy.count, 1);
    pending_copy_free(&copy);
    fixture_close(&own);
}
END_TEST

START_TEST(a_record_that_vanishes_during_the_call_is_lost)
{
    fixture own;
    fixture_open(&own, 64 << 10);
    fixture_put(&own, TEXT("k"), TEXT("v"), false);
    uint64_t cursor = journal_tail(own.journal);
    pending_copy copy = {0};
    OK(pending_collect(own.pending, cursor, TEXT("k"), (mlkv_slice){0}, &copy));
    pending_copy_free(&copy);
    /* As if the record stood behind the cursor, and so could be overwritten while trimmed stands
     * still. */
    own.pending->runs[0].items[0].position = cursor + FRAME_HEADER_SIZE;
    own.pending->runs[0].newest = cursor + FRAME_HEADER_SIZE;
    unsigned char filler[1000] = {0};
    for (unsigned i = 0; i < 150; i++) {
        fixture_encode(&own, TEXT("other"), slice_of(filler, sizeof filler), false);
        if (!fixture_has_room(&own))
            journal_raise_applied(own.journal, journal_tail(own.journal));
        fixture_append(&own, 1);
    }
    copy.count = 77;
    MUST(JOURNAL_LOST, pending_collect(own.pending, cursor, TEXT("k"), (mlkv_slice){0}, &copy));
    ck_assert_uint_eq(copy.count, 77); /* untouched */
    fixture_close(&own);
}
END_TEST

typedef struct {
    fixture *own;
    bool stop;
} writer_argument;

/* Key and value carry the same number, so that a mixture would show. */
static void *write_on(void *argument)
{
    writer_argument *state = argument;
    fixture *own = state->own;
    unsigned char key[100];
    memset(key, 'w', sizeof key);
    for (uint64_t i = 0; !__atomic_load_n(&state->stop, __ATOMIC_ACQUIRE); i++) {
        uint64_t number = i * 0x9e3779b97f4a7c15u % 500;
        store_be64(key + (number % 2 == 0 ? 1 : 80), number);
        fixture_encode(own, slice_of(key, number % 2 == 0 ? 9 : 88), slice_of(&number, 8), false);
        memset(key, 'w', sizeof key);
        if (!fixture_has_room(own))
            journal_raise_applied(own->journal, journal_tail(own->journal));
        fixture_append(own, 1);
    }
    return NULL;
}

START_TEST(collecting_while_others_write)
{
    fixture own;
    fixture_open(&own, 64 << 10);
    writer_argument state = {.own = &own};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, write_on, &state), 0);
    size_t items = 0;
    for (unsigned i = 0; i < 3000 || items == 0; i++) {
        pending_copy copy = {0};
        int result = pending_collect(own.pending, journal_tail(own.journal), TEXT("w"),
                                     (mlkv_slice){0}, &copy);
        if (result == JOURNAL_LOST)
            continue;
        OK(result);
        for (size_t j = 0; j < copy.count; j++) {
            const pending_item *item = &copy.items[j];
            ck_assert_uint_eq(item->value.size, 8);
            uint64_t number = load_be64((const unsigned char *)item->key.data + item->key.size - 8);
            ck_assert_uint_eq(load_le64(item->value.data), number);
            ck_assert_uint_eq(item->key.size, number % 2 == 0 ? 9 : 88);
            if (j > 0)
                ck_assert_int_lt(slice_compare(copy.items[j - 1].key, item->key), 0);
        }
        items += copy.count;
        pending_copy_free(&copy);
    }
    __atomic_store_n(&state.stop, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    fixture_close(&own);
}
END_TEST

START_TEST(many_small_scans_merge_runs)
{
    fixture own;
    fixture_open(&own, 1 << 20);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t key = i * 2654435761u;
        fixture_put(&own, slice_of(&key, 4), slice_of(&i, 4), false);
        pending_copy copy = {0};
        OK(pending_collect(own.pending, journal_tail(own.journal), slice_of(&key, 4),
                           (mlkv_slice){0}, &copy));
        ck_assert_uint_eq(copy.count, 1);
        ck_assert(slice_equal(copy.items[0].value, slice_of(&i, 4)));
        pending_copy_free(&copy);
        pending_copy_free(NULL);
    }
    ck_assert_uint_le(own.pending->run_count, 13); /* halves: 2^12 > 3000 */
    for (size_t i = 1; i < own.pending->run_count; i++)
        ck_assert_uint_ge(own.pending->runs[i - 1].count, 2 * own.pending->runs[i].count);
    fixture_close(&own);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pending runs");
    TCase *tcase = harness_case(suite, "runs");
    tcase_add_test(tcase, oracle);
    tcase_add_test(tcase, ties_with_dead_long_keys);
    tcase_add_test(tcase, overtaken_frames_are_lost);
    tcase_add_test(tcase, a_record_that_vanishes_during_the_call_is_lost);
    tcase_add_test(tcase, collecting_while_others_write);
    tcase_add_test(tcase, many_small_scans_merge_runs);
    return harness_run(suite);
}
