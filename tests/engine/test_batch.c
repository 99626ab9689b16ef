/* test_batch.c - batches beside an oracle: the newest record of each key, the payload's form,
 * merging, limits. */
#include "fixture.h"

enum { NAMES = 300, VALUE_MAX = 200 };

typedef struct {
    enum { UNKNOWN, PUT, DELETED } state;
    size_t size;
    unsigned char byte;
} expectation;

static uint64_t random_state = 42;

static uint64_t draw(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % bound;
}

static mlkv_slice name_of(size_t i)
{
    static char name[64];
    return slice_of(name, (size_t)snprintf(name, sizeof name, "K%zu%.*s", i, (int)(i % 40 + 1),
                                           "----------------------------------------"));
}

/* Few bits, so that chains in the index are long. */
static uint64_t poor_hash(mlkv_slice name)
{
    return hash_key(name.data, name.size) & 0x1f;
}

static void change_one(batch *self, expectation *oracle)
{
    size_t i = draw(NAMES);
    mlkv_slice name = name_of(i);
    unsigned char *to;
    if (draw(3) == 0) {
        OK(batch_delete(self, poor_hash(name), name));
        oracle[i] = (expectation){.state = DELETED};
        return;
    }
    expectation fresh = {PUT, draw(2) ? draw(VALUE_MAX) : 24, (unsigned char)draw(256)};
    OK(batch_put(self, poor_hash(name), name, fresh.size, &to));
    memset(to, fresh.byte, fresh.size);
    oracle[i] = fresh;
}

static bool is_value(mlkv_slice value, const expectation *want)
{
    for (size_t i = 0; i < value.size; i++) {
        if (((const unsigned char *)value.data)[i] != want->byte)
            return false;
    }
    return value.size == want->size;
}

static void compare(const batch *self, const expectation *oracle)
{
    size_t size = 0, count = 0;
    for (size_t i = 0; i < NAMES; i++) {
        mlkv_slice name = name_of(i);
        const batch_entry *entry = batch_find(self, poor_hash(name), name);
        ck_assert((entry != NULL) == (oracle[i].state != UNKNOWN));
        if (entry == NULL)
            continue;
        ck_assert(slice_equal(batch_key(self, entry), name));
        ck_assert(entry->is_delete == (oracle[i].state == DELETED));
        ck_assert(is_value(batch_value(self, entry), &oracle[i]));
        size += frame_record_size(name.size, oracle[i].size);
        count++;
    }
    ck_assert_uint_eq(batch_size(self), size);
    ck_assert_uint_eq(self->count, count);
}

/* The payload holds each key once, in the form that the journal reads. */
static void compare_payload(batch *self, const expectation *oracle)
{
    mlkv_slice payload;
    size_t want = batch_size(self), offset = 0, records = 0;
    OK(batch_payload(self, &payload));
    ck_assert_uint_eq(payload.size, want);
    journal_frame frame = {.record_count = (uint32_t)self->count,
                           .payload = payload.data,
                           .payload_size = payload.size};
    journal_record record;
    int result;
    while ((result = journal_next_record(&frame, &offset, &record)) == MLKV_OK) {
        size_t i = strtoul((const char *)record.key.data + 1, NULL, 10);
        ck_assert(slice_equal(record.key, name_of(i)));
        ck_assert(record.is_delete == (oracle[i].state == DELETED));
        ck_assert(is_value(record.value, &oracle[i]));
        records++;
    }
    ck_assert_int_eq(result, MLKV_ABSENT);
    ck_assert_uint_eq(records, self->count);
    compare(self, oracle);
}

START_TEST(keeps_the_newest)
{
    batch self = {0};
    for (int round = 0; round < 30; round++) {
        expectation oracle[NAMES] = {{0}};
        uint64_t changes = round % 3 == 0 ? draw(14) : draw(1500);
        for (uint64_t i = 0; i < changes; i++) {
            change_one(&self, oracle);
            if (i % 400 == 17)
                compare_payload(&self, oracle);
        }
        compare(&self, oracle);
        compare_payload(&self, oracle);
        compare_payload(&self, oracle);
        batch_clear(&self);
        ck_assert_uint_eq(batch_size(&self), 0);
    }
    batch_done(&self);
}
END_TEST

START_TEST(merges)
{
    batch outer = {0}, inner = {0};
    expectation oracle[NAMES] = {{0}};
    for (int round = 0; round < 60; round++) {
        batch_clear(&inner);
        for (uint64_t i = 0; i < draw(60); i++)
            change_one(&inner, oracle);
        OK(batch_merge(&outer, &inner));
        compare(&outer, oracle);
    }
    compare_payload(&outer, oracle);
    batch_done(&inner);
    batch_done(&outer);
}
END_TEST

START_TEST(knows_its_limits)
{
    batch self = {0};
    unsigned char *to;
    mlkv_slice payload;
    ck_assert_ptr_null(batch_find(&self, 1, TEXT("K")));
    OK(batch_payload(&self, &payload));
    ck_assert_uint_eq(payload.size, 0);
    MUST(MLKV_E_SIZE, batch_put(&self, 1, TEXT("K"), UINT32_MAX, &to));
    MUST(MLKV_E_SIZE, batch_put(&self, 1, TEXT("K"), SIZE_MAX, &to));
    ck_assert_uint_eq(self.count, 0);
    /* much memory is not kept */
    OK(batch_put(&self, 1, TEXT("K"), 8 << 20, &to));
    batch_clear(&self);
    ck_assert_uint_eq(self.bytes.capacity, 0);
    /* a record's padding is zero, whatever stood in the memory before */
    OK(batch_put(&self, 1, TEXT("K"), 64, &to));
    memset(to, 0xff, 64);
    batch_clear(&self);
    OK(batch_put(&self, 1, TEXT("K"), 1, &to));
    *to = 1;
    OK(batch_payload(&self, &payload));
    for (size_t i = FRAME_RECORD_HEADER_SIZE + 2; i < payload.size; i++)
        ck_assert_uint_eq(((const unsigned char *)payload.data)[i], 0);
    batch_done(&self);
    batch_done(&self);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch");
    TCase *tcase = harness_case(suite, "batch");
    tcase_add_test(tcase, keeps_the_newest);
    tcase_add_test(tcase, merges);
    tcase_add_test(tcase, knows_its_limits);
    return harness_run(suite);
}
