/* test_pending_hash.c - the newest version is found, whatever was trimmed, grown, overwritten or
 * collides, and whoever reads meanwhile. */
#include "fixture.h"

#include <pthread.h>

static int get(const fixture *self, mlkv_slice key, mlkv_buffer *value)
{
    return pending_get(self->pending, hash_key(key.data, key.size), key, value);
}

START_TEST(versions_and_trimming)
{
    fixture own;
    mlkv_buffer value = {0};
    fixture_open(&own, 64 << 10);
    pending_destroy(NULL);
    MUST(JOURNAL_OTHER, get(&own, TEXT("a"), &value));
    fixture_put(&own, TEXT("a"), TEXT("one"), false);
    fixture_put(&own, TEXT("b"), TEXT("bee"), false);
    MUST(JOURNAL_FOUND, get(&own, TEXT("a"), &value));
    ck_assert(slice_equal(slice_of_buffer(&value), TEXT("one")));
    uint64_t second = fixture_put(&own, TEXT("a"), TEXT("a longer one"), false);
    MUST(JOURNAL_FOUND, get(&own, TEXT("a"), &value));
    ck_assert(slice_equal(slice_of_buffer(&value), TEXT("a longer one")));
    MUST(JOURNAL_OTHER, get(&own, TEXT("c"), &value));
    pending_trim(own.pending, second - FRAME_HEADER_SIZE); /* the end of b's frame */
    ck_assert_uint_eq(pending_trimmed(own.pending), second - FRAME_HEADER_SIZE);
    pending_trim(own.pending, 8); /* never back */
    ck_assert_uint_eq(pending_trimmed(own.pending), second - FRAME_HEADER_SIZE);
    MUST(JOURNAL_OTHER, get(&own, TEXT("b"), &value));
    MUST(JOURNAL_FOUND, get(&own, TEXT("a"), &value));
    fixture_put(&own, TEXT("a"), (mlkv_slice){0}, true);
    MUST(JOURNAL_DELETED, get(&own, TEXT("a"), &value));
    pending_reset(own.pending, journal_tail(own.journal));
    MUST(JOURNAL_OTHER, get(&own, TEXT("a"), &value));
    fixture_put(&own, TEXT("a"), TEXT(""), false);
    MUST(JOURNAL_FOUND, get(&own, TEXT("a"), &value));
    ck_assert_uint_eq(value.size, 0);
    pending_prefetch(own.pending, 12345);
    mlkv_buffer_free(&value);
    fixture_close(&own);
}
END_TEST

/* --- against a model --- */

/* P4, and the bound is no fantasy either. */
static void check_bound(const fixture *self)
{
    const pending_table *table = self->pending->table;
    size_t slots = (size_t)(table->bucket_mask + 1) * PENDING_BUCKET_SLOTS, live = 0;
    for (size_t i = 0; i < slots; i++)
        live += table->slots[i].position != 0 &&
                table->slots[i].position >= pending_trimmed(self->pending);
    ck_assert_uint_ge(self->pending->live_bound, live);
    ck_assert_uint_le(self->pending->live_bound, slots);
}

enum { MODEL_KEYS = 3000 };

typedef struct {
    uint64_t position, version;
    bool is_delete;
} model_record;

static mlkv_slice model_key(unsigned i, unsigned char bytes[64])
{
    size_t size = 4 + i % 50;
    memset(bytes, 'x', 64);
    memcpy(bytes, &i, 4);
    return slice_of(bytes, size);
}

/* trim_late: the ring is drained without pending being told, so that slots outlive their records.
 */
static void run_oracle(size_t ring, unsigned keys, unsigned hash_kinds, unsigned rounds,
                       bool trim_late)
{
    static model_record model[MODEL_KEYS];
    memset(model, 0, sizeof model);
    rounds = harness_rounds(rounds);
    fixture own;
    fixture_open(&own, ring);
    mlkv_buffer value = {0};
    uint64_t random = 1234567 + ring + keys + hash_kinds;
    unsigned found = 0, lost = 0;
    for (uint64_t round = 1; round <= rounds; round++) {
        if (round % 128 == 0)
            check_bound(&own);
        uint64_t r = next_random(&random);
        unsigned i = (unsigned)(r >> 16) % keys, kind = i % hash_kinds;
        unsigned char bytes[64];
        mlkv_slice key = model_key(i, bytes);
        uint64_t hash = hash_key(&kind, sizeof kind);
        if (r % 8 < 3) {
            bool is_delete = r % 64 == 0;
            uint64_t position = fixture_put_hashed(
                &own, hash, key, slice_of(&round, is_delete ? 0 : 8), is_delete, !trim_late);
            model[i] = (model_record){position, round, is_delete};
        } else if (r % 8 == 3 && r % 4096 < 32) {
            journal_raise_applied(own.journal, journal_tail(own.journal));
            pending_trim(own.pending, journal_applied(own.journal));
        } else {
            int result = pending_get(own.pending, hash, key, &value);
            ck_assert_int_ge(result, 0);
            bool live = model[i].position != 0 && model[i].position >= pending_trimmed(own.pending);
            bool overwritten = journal_reserved(own.journal) > model[i].position + ring;
            if (!live) {
                ck_assert(result == JOURNAL_OTHER || (trim_late && result == JOURNAL_LOST));
            } else if (overwritten) { /* an older record of equal hash may be lost before */
                ck_assert(trim_late && result == JOURNAL_LOST);
                lost++;
            } else if (result == JOURNAL_LOST) {
                ck_assert(trim_late && hash_kinds < keys);
            } else {
                ck_assert_int_eq(result, model[i].is_delete ? JOURNAL_DELETED : JOURNAL_FOUND);
                if (result == JOURNAL_FOUND)
                    ck_assert(value.size == 8 && memcmp(value.data, &model[i].version, 8) == 0);
                found++;
            }
        }
    }
    ck_assert_uint_gt(found, rounds / 40);
    if (trim_late && rounds > 20000)
        ck_assert_uint_gt(lost, 0);
    mlkv_buffer_free(&value);
    fixture_close(&own);
}

START_TEST(oracle)
{
    run_oracle(64 << 10, MODEL_KEYS, MODEL_KEYS, 100000, false);
    run_oracle(1 << 20, MODEL_KEYS, MODEL_KEYS, 100000, false);
}
END_TEST

START_TEST(oracle_with_equal_hashes)
{
    run_oracle(1 << 20, MODEL_KEYS, 97, 50000, false);
    run_oracle(256 << 10, 100, 1, 50000, false);
}
END_TEST

START_TEST(oracle_trimmed_late)
{
    run_oracle(64 << 10, MODEL_KEYS, MODEL_KEYS, 100000, true);
    run_oracle(64 << 10, 200, 10, 20000, true);
}
END_TEST

START_TEST(an_overwritten_record_is_lost)
{
    fixture own;
    mlkv_buffer value = {0};
    fixture_open(&own, 64 << 10);
    fixture_put(&own, TEXT("k"), TEXT("old"), false);
    unsigned char filler[1000] = {0};
    for (unsigned i = 0; i < 70; i++)
        fixture_put_hashed(&own, 7, TEXT("filler"), slice_of(filler, sizeof filler), false, false);
    MUST(JOURNAL_LOST, get(&own, TEXT("k"), &value));
    ck_assert_uint_eq(pending_trimmed(own.pending), 0);
    fixture_put_hashed(&own, hash_key("k", 1), TEXT("k"), TEXT("new"), false, false);
    ck_assert_uint_eq(pending_trimmed(own.pending),
                      journal_applied(own.journal)); /* learnt from the ring */
    MUST(JOURNAL_FOUND, get(&own, TEXT("k"), &value));
    ck_assert(slice_equal(slice_of_buffer(&value), TEXT("new")));
    mlkv_buffer_free(&value);
    fixture_close(&own);
}
END_TEST

START_TEST(equal_hashes_beyond_both_buckets)
{
    fixture own;
    mlkv_buffer value = {0};
    fixture_open(&own, 1 << 20);
    enum { KEYS = 200 };
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            unsigned v = i + round;
            fixture_put_hashed(&own, 42, slice_of(&i, 4), slice_of(&v, 4), false, true);
        }
    }
    ck_assert_uint_gt(own.pending->table->stash->count, 100);
    ck_assert_uint_le(own.pending->table->stash->count, KEYS);
    ck_assert_uint_lt(pending_memory_bytes(own.pending),
                      256 << 10); /* growing does not help, and stops */
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned v = i + 2;
        MUST(JOURNAL_FOUND, pending_get(own.pending, 42, slice_of(&i, 4), &value));
        ck_assert_int_eq(memcmp(value.data, &v, 4), 0);
    }
    unsigned other = KEYS;
    MUST(JOURNAL_OTHER, pending_get(own.pending, 42, slice_of(&other, 4), &value));
    pending_reset(own.pending, journal_tail(own.journal));
    OK(pending_reserve(own.pending, 1));
    ck_assert_uint_eq(own.pending->table->stash->count, 0);
    mlkv_buffer_free(&value);
    fixture_close(&own);
}
END_TEST

START_TEST(batches_and_growth)
{
    enum { BATCH = 5000, BATCHES = 20 };
    fixture own;
    mlkv_buffer value = {0};
    fixture_open(&own, 16 << 20);
    for (uint64_t batch = 0; batch < BATCHES; batch++) {
        OK(pending_reserve(own.pending, BATCH));
        for (uint64_t i = batch * BATCH; i < (batch + 1) * BATCH; i++)
            fixture_encode(&own, slice_of(&i, 8), slice_of(&i, 8), false);
        uint64_t position = fixture_append(&own, BATCH);
        for (uint64_t i = batch * BATCH; i < (batch + 1) * BATCH;
             i++, position += frame_record_size(8, 8))
            pending_add(own.pending, hash_key(&i, 8), slice_of(&i, 8), position);
    }
    for (uint64_t i = 0; i < BATCH * BATCHES; i++) {
        MUST(JOURNAL_FOUND, get(&own, slice_of(&i, 8), &value));
        ck_assert_int_eq(memcmp(value.data, &i, 8), 0);
    }
    ck_assert_uint_ge(own.pending->live_bound, BATCH * BATCHES - own.pending->table->stash->count);
    /* at least a third of the table is in use, and the older ones are no larger than it */
    ck_assert_uint_le(pending_memory_bytes(own.pending), BATCH * BATCHES * 16 * 6 + (512 << 10));
    MUST(MLKV_E_MEMORY, pending_reserve(own.pending, SIZE_MAX));
    MUST(MLKV_E_MEMORY, pending_reserve(own.pending, SIZE_MAX / 256));
    uint64_t one = 1;
    MUST(JOURNAL_FOUND, get(&own, slice_of(&one, 8), &value));
    mlkv_buffer_free(&value);
    fixture_close(&own);
}
END_TEST

START_TEST(a_steady_state_does_not_grow)
{
    fixture own;
    fixture_open(&own, 128 << 10); /* holds some 1,300 records */
    uint64_t random = 3;
    size_t after_warm_up = 0;
    for (unsigned i = 0; i < 200000; i++) {
        uint64_t key = next_random(&random) % 100000;
        fixture_put(&own, slice_of(&key, 8), TEXT("eight by"), false);
        if (i == 20000)
            after_warm_up = pending_memory_bytes(own.pending);
    }
    ck_assert_uint_eq(pending_memory_bytes(own.pending), after_warm_up);
    ck_assert_uint_lt(after_warm_up, 256 << 10);
    fixture_close(&own);
}
END_TEST

/* --- threads --- */

enum { SHARED_KEYS = 20000, READERS = 3 };

typedef struct {
    fixture *own;
    uint64_t
        published[SHARED_KEYS];   /* atomic: the version that a read begun now must at least see */
    uint64_t stored[SHARED_KEYS]; /* atomic: the version in the tree below */
    bool stop;
    uint64_t found[READERS], below[READERS];
} shared_state;

typedef struct {
    shared_state *state;
    unsigned number;
} reader_argument;

static void *read_shared(void *argument)
{
    reader_argument *own = argument;
    shared_state *state = own->state;
    uint64_t random = 99 + own->number;
    mlkv_buffer value = {0};
    while (!__atomic_load_n(&state->stop, __ATOMIC_ACQUIRE)) {
        uint32_t i = (uint32_t)(next_random(&random) >> 20) % SHARED_KEYS;
        uint64_t least = __atomic_load_n(&state->published[i], __ATOMIC_ACQUIRE), seen = 0;
        int result = pending_get(state->own->pending, hash_key(&i, 4), slice_of(&i, 4), &value);
        if (result == JOURNAL_FOUND) {
            ck_assert(value.size == 16 && load_le64(value.data) == i);
            seen = load_le64((unsigned char *)value.data + 8);
            state->found[own->number]++;
        } else {
            ck_assert(result == JOURNAL_OTHER || result == JOURNAL_LOST);
            seen = __atomic_load_n(&state->stored[i], __ATOMIC_ACQUIRE);
            state->below[own->number]++;
        }
        ck_assert_uint_ge(seen, least);
    }
    mlkv_buffer_free(&value);
    return NULL;
}

/* Writes versions of random keys below `keys`; every drain stores all of them and raises trimmed.
 */
static void write_shared(shared_state *state, uint32_t keys, uint64_t from, uint64_t to, bool trim)
{
    fixture *own = state->own;
    uint64_t random = from + 1;
    for (uint64_t version = from; version < to; version++) {
        uint32_t i = (uint32_t)(next_random(&random) >> 20) % keys;
        uint64_t value[2] = {i, version};
        fixture_encode(own, slice_of(&i, 4), slice_of(value, sizeof value), false);
        if (!fixture_has_room(own)) {
            for (uint32_t j = 0; j < SHARED_KEYS; j++)
                __atomic_store_n(&state->stored[j], state->published[j], __ATOMIC_RELEASE);
            journal_raise_applied(own->journal, journal_tail(own->journal));
            if (trim || version % 2 == 0)
                pending_trim(own->pending, journal_applied(own->journal));
        }
        OK(pending_reserve(own->pending, 1));
        pending_add(own->pending, hash_key(&i, 4), slice_of(&i, 4), fixture_append(own, 1));
        __atomic_store_n(&state->published[i], version, __ATOMIC_RELEASE);
    }
}

START_TEST(readers_beside_growth_trimming_and_overtaking)
{
    fixture own;
    fixture_open(&own, 512 << 10);
    shared_state *state = calloc(1, sizeof *state);
    state->own = &own;
    pthread_t threads[READERS];
    reader_argument arguments[READERS];
    for (unsigned t = 0; t < READERS; t++) {
        arguments[t] = (reader_argument){state, t};
        ck_assert_int_eq(pthread_create(&threads[t], NULL, read_shared, &arguments[t]), 0);
    }
    for (uint32_t keys = 100; keys <= SHARED_KEYS; keys *= 2) {
        uint64_t from = (uint64_t)keys * 1000;
        write_shared(state, keys, from, from + harness_rounds(10000), keys % 3 != 0);
    }
    __atomic_store_n(&state->stop, true, __ATOMIC_RELEASE);
    for (unsigned t = 0; t < READERS; t++) {
        pthread_join(threads[t], NULL);
        ck_assert_uint_gt(state->found[t] + state->below[t], 0);
    }
    free(state);
    fixture_close(&own);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pending hash");
    TCase *tcase = harness_case(suite, "hash");
    tcase_add_test(tcase, versions_and_trimming);
    tcase_add_test(tcase, oracle);
    tcase_add_test(tcase, oracle_with_equal_hashes);
    tcase_add_test(tcase, oracle_trimmed_late);
    tcase_add_test(tcase, an_overwritten_record_is_lost);
    tcase_add_test(tcase, equal_hashes_beyond_both_buckets);
    tcase_add_test(tcase, batches_and_growth);
    tcase_add_test(tcase, a_steady_state_does_not_grow);
    tcase_add_test(tcase, readers_beside_growth_trimming_and_overtaking);
    return harness_run(suite);
}
