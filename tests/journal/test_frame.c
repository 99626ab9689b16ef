/* test_frame.c - reading frames and records: hostile bytes, overtaken readers, every key size. */
#include "fixture.h"

#include "base/random.h"

#include <pthread.h>

static void fill(unsigned char *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed + 7 * i + (i >> 8));
}

START_TEST(test_every_key_size)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    mlkv_buffer got = {0};
    unsigned char key[RECORD_KEY_SIZE_MAX], value[40], got_key[RECORD_KEY_SIZE_MAX];
    for (size_t key_size = 1; key_size <= sizeof key; key_size++) {
        for (size_t value_size = 0; value_size < sizeof value; value_size += 1 + key_size % 7) {
            fill(key, key_size, (unsigned)key_size);
            fill(value, value_size, (unsigned)value_size);
            mlkv_slice name = slice_of(key, key_size), content = slice_of(value, value_size);
            uint64_t record = append_one(self, name, content);
            OK(journal_get_record(self, record, name, &got));
            ck_assert(slice_equal(slice_of_buffer(&got), content));
            key[key_size - 1] ^= 1; /* the last byte counts, and no byte behind it */
            MUST(JOURNAL_OTHER, journal_get_record(self, record, name, &got));
            key[key_size - 1] ^= 1;
            key[0] ^= 0x80;
            MUST(JOURNAL_OTHER, journal_get_record(self, record, name, &got));
            key[0] ^= 0x80;
            MUST(JOURNAL_OTHER,
                 journal_get_record(self, record, slice_of(key, key_size - 1), &got));
            ck_assert(slice_equal(slice_of_buffer(&got), content)); /* untouched */
            size_t got_size = 0;
            bool deleted = true;
            OK(journal_get_record_key(self, record, got_key, &got_size, &deleted));
            ck_assert(slice_equal(slice_of(got_key, got_size), name));
            ck_assert(!deleted);
        }
    }
    mlkv_buffer_free(&got);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_deleted_and_large)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, TEST_RING - 24); /* the first frame wraps */
    mlkv_buffer got = {0};
    unsigned char value[14000];
    fill(value, sizeof value, 3);
    uint64_t record = append_one(self, TEXT("large"), slice_of(value, sizeof value));
    OK(journal_get_record(self, record, TEXT("large"), &got));
    ck_assert(slice_equal(slice_of_buffer(&got), slice_of(value, sizeof value)));
    record = append_one(self, TEXT("gone"), slice_of(NULL, 0));
    MUST(JOURNAL_DELETED, journal_get_record(self, record, TEXT("gone"), &got));
    MUST(JOURNAL_OTHER, journal_get_record(self, record, TEXT("here"), &got));
    unsigned char key[511];
    size_t size = 0;
    bool deleted = false;
    OK(journal_get_record_key(self, record, key, &size, &deleted));
    ck_assert(deleted);
    OK(journal_get_record_key(self, record, key, &size, NULL));
    record = append_one(self, TEXT("empty"), TEXT(""));
    OK(journal_get_record(self, record, TEXT("empty"), &got));
    ck_assert_uint_eq(got.size, 0);
    mlkv_buffer_free(&got);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* Fails under R04-copy-not-rechecked of tests/broken. */
START_TEST(test_overtaken)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    mlkv_buffer buffer = {0};
    journal_frame frame;
    unsigned char key[511], bytes[256];
    size_t size;
    uint64_t record = append_number(self, 7, 100), tail = journal_tail(self);
    append_number(self, 8, 3000);
    OK(journal_copy(self, 0, sizeof bytes, bytes));
    /* exactly one lap is still whole, a byte more is not */
    self->head->reserved = TEST_RING;
    OK(journal_copy(self, 0, sizeof bytes, bytes));
    OK(journal_read_frame(self, 0, tail, &buffer, &frame));
    OK(journal_borrow_frame(self, 0, tail, &frame));
    self->head->reserved = TEST_RING + 8;
    MUST(MLKV_ABSENT, journal_copy(self, 0, sizeof bytes, bytes));
    MUST(MLKV_ABSENT, journal_read_frame(self, 0, tail, &buffer, &frame));
    MUST(MLKV_ABSENT, journal_borrow_frame(self, 0, tail, &frame));
    OK(journal_get_record(self, record, TEXT("k7"), &buffer));
    self->head->reserved = TEST_RING + record + 8;
    MUST(JOURNAL_LOST, journal_get_record(self, record, TEXT("k7"), &buffer));
    MUST(JOURNAL_LOST, journal_get_record(self, record, TEXT("k8"), &buffer));
    MUST(JOURNAL_LOST, journal_get_record_key(self, record, key, &size, NULL));
    /* garbage that was overtaken is no corruption */
    memset(self->ring, 0xee, 256);
    MUST(MLKV_ABSENT, journal_read_frame(self, 0, tail, &buffer, &frame));
    MUST(JOURNAL_LOST, journal_get_record(self, record, TEXT("k7"), &buffer));
    MUST(JOURNAL_LOST, journal_get_record_key(self, record, key, &size, NULL));
    self->head->reserved = tail;
    MUST(MLKV_E_CORRUPT, journal_read_frame(self, 0, tail, &buffer, &frame));
    MUST(MLKV_E_CORRUPT, journal_get_record(self, record, TEXT("k7"), &buffer));
    MUST(MLKV_E_CORRUPT, journal_get_record_key(self, record, key, &size, NULL));
    mlkv_buffer_free(&buffer);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_forged_headers)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    append_number(self, 7, 100);
    uint64_t tail = journal_tail(self);
    append_number(self, 8, 100);
    mlkv_buffer buffer = {0};
    journal_frame frame;
    const struct {
        size_t offset;
        uint64_t value;
        size_t size;
    } forgeries[] = {
        {0, 0, 4},
        {4, 2, 4},
        {8, 8, 8},
        {16, 0, 8},
        {16, 56, 8},
        {16, tail - 4, 8},
        {16, tail + 8, 8},
        {16, TEST_RING / 4 + 8, 8},
        {16, UINT64_MAX - 7, 8},
        {24, 9, 4},
        {24, UINT32_MAX, 4},
        {28, 1, 4},
        {32, TEST_GENERATION + 1, 8},
    };
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++) {
        unsigned char saved[8];
        memcpy(saved, self->ring + forgeries[i].offset, 8);
        memcpy(self->ring + forgeries[i].offset, &forgeries[i].value, forgeries[i].size);
        MUST(MLKV_E_CORRUPT, journal_read_frame(self, 0, tail, &buffer, &frame));
        MUST(MLKV_E_CORRUPT, journal_borrow_frame(self, 0, tail, &frame));
        memcpy(self->ring + forgeries[i].offset, saved, 8);
    }
    OK(journal_read_frame(self, 0, tail, &buffer, &frame));
    MUST(MLKV_E_CORRUPT, journal_read_frame(self, 0, tail - 8, &buffer, &frame));
    MUST(MLKV_E_CORRUPT, journal_read_frame(self, tail, tail - 8, &buffer, &frame));
    mlkv_buffer_free(&buffer);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* A frame over payload bytes on the heap, so that ASan sees each byte read beyond. */
static int walk(const unsigned char *bytes, size_t size, unsigned *ret_count)
{
    unsigned char *payload = malloc(size + (size == 0));
    ck_assert_ptr_nonnull(payload);
    memcpy(payload, bytes, size);
    journal_frame frame = {.position = 640, .payload = payload, .payload_size = size};
    size_t offset = 0;
    int result;
    *ret_count = 0;
    for (;;) {
        journal_record record;
        size_t before = offset;
        result = journal_next_record(&frame, &offset, &record);
        if (result != 0)
            break;
        ck_assert_uint_eq(record.position, 640 + FRAME_HEADER_SIZE + before);
        ck_assert_uint_gt(offset, before);
        ck_assert_uint_le(offset, size);
        volatile unsigned char sum = 0;
        for (size_t i = 0; i < record.key.size; i++)
            sum = (unsigned char)(sum + ((const unsigned char *)record.key.data)[i]);
        for (size_t i = 0; i < record.value.size; i++)
            sum = (unsigned char)(sum + ((const unsigned char *)record.value.data)[i]);
        ++*ret_count;
    }
    free(payload);
    return result;
}

START_TEST(test_hostile_records)
{
    mlkv_buffer payload = {0};
    put_record(&payload, TEXT("first"), TEXT("value"));
    put_record(&payload, TEXT("second"), slice_of(NULL, 0));
    put_record(&payload, TEXT("third"), TEXT("another value that is longer"));
    unsigned count;
    MUST(MLKV_ABSENT, walk(payload.data, payload.size, &count));
    ck_assert_uint_eq(count, 3);
    for (size_t size = 0; size < payload.size; size++) { /* cut anywhere */
        int result = walk(payload.data, size, &count);
        ck_assert(result == MLKV_E_CORRUPT || (result == MLKV_ABSENT && count < 3));
    }
    unsigned char *bytes = payload.data;
    static const struct {
        size_t offset;
        unsigned char value;
    } forgeries[] = {{0, 0}, {1, 2}, {2, 2}, {3, 1}, {4, 200}, {7, 255}};
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++) {
        unsigned char saved = bytes[forgeries[i].offset];
        bytes[forgeries[i].offset] = forgeries[i].value;
        MUST(MLKV_E_CORRUPT, walk(bytes, payload.size, &count));
        bytes[forgeries[i].offset] = saved;
    }
    bytes[2] = FRAME_DELETE; /* a delete with a value */
    MUST(MLKV_E_CORRUPT, walk(bytes, payload.size, &count));
    bytes[2] = 0;
    for (int i = 0; i < 100000; i++) {
        size_t at = random_below(payload.size);
        unsigned char saved = bytes[at];
        bytes[at] = (unsigned char)random_u64();
        (void)walk(bytes, payload.size, &count);
        if (i % 4 != 0)
            bytes[at] = saved;
    }
    mlkv_buffer_free(&payload);
}
END_TEST

/* --- readers while a writer laps them --- */

enum { READERS = 3, LAPS = 300, SLOTS = 64 };

typedef struct {
    journal *self;
    uint64_t positions[SLOTS]; /* of records written lately */
    int stop;
    uint64_t found, lost;
} race;

static void *write_laps(void *argument)
{
    race *shared = argument;
    uint64_t value[180];
    for (uint64_t i = 0; journal_tail(shared->self) < (uint64_t)harness_rounds(LAPS) * TEST_RING;
         i++) {
        size_t words = 1 + i * 7 % 180;
        uint64_t record = journal_tail(shared->self) + FRAME_HEADER_SIZE;
        for (size_t w = 0; w < words; w++)
            value[w] = record;
        append_one(shared->self, TEXT("key"), slice_of(value, words * 8));
        __atomic_store_n(&shared->positions[i % SLOTS], record, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    return shared;
}

static bool value_whole(mlkv_slice value, uint64_t position)
{
    for (size_t i = 0; i + 8 <= value.size; i += 8)
        if (load_le64((const unsigned char *)value.data + i) != position)
            return false;
    return value.size != 0 && value.size % 8 == 0;
}

static void *read_records(void *argument)
{
    race *shared = argument;
    mlkv_buffer value = {0};
    void *answer = shared;
    uint64_t found = 0, lost = 0;
    while (__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE) == 0 && answer != NULL) {
        uint64_t position =
            __atomic_load_n(&shared->positions[random_below(SLOTS)], __ATOMIC_ACQUIRE);
        if (position == 0)
            continue;
        int result = journal_get_record(shared->self, position, TEXT("key"), &value);
        if (result == JOURNAL_FOUND && value_whole(slice_of_buffer(&value), position))
            found++;
        else if (result == JOURNAL_LOST)
            lost++;
        else
            answer = NULL;
        journal_frame frame;
        size_t offset = 0;
        journal_record record;
        result = journal_read_frame(shared->self, position - FRAME_HEADER_SIZE,
                                    journal_tail(shared->self), &value, &frame);
        if (result == 0 && (journal_next_record(&frame, &offset, &record) != 0 ||
                            !value_whole(record.value, position)))
            answer = NULL;
        if (result < 0)
            answer = NULL;
    }
    mlkv_buffer_free(&value);
    __atomic_fetch_add(&shared->found, found, __ATOMIC_RELAXED);
    __atomic_fetch_add(&shared->lost, lost, __ATOMIC_RELAXED);
    return answer;
}

START_TEST(test_readers_race_a_writer)
{
    const char *folder = harness_folder();
    race shared = {.self = make_journal(folder, 0)};
    pthread_t threads[READERS + 1];
    ck_assert_int_eq(pthread_create(&threads[READERS], NULL, write_laps, &shared), 0);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_records, &shared), 0);
    for (int i = 0; i <= READERS; i++) {
        void *answer;
        ck_assert_int_eq(pthread_join(threads[i], &answer), 0);
        ck_assert_ptr_eq(answer, &shared);
    }
    journal_close(shared.self);
    harness_remove(folder);
}
END_TEST

#ifdef MLKV_FAULTS
static journal *lapped;
static bool overwritten;

static void overwrite_all(watch_point point)
{
    if (point != WATCH_RING_PEEKED || overwritten)
        return;
    overwritten = true;
    for (uint64_t until = journal_tail(lapped) + TEST_RING + 4096; journal_tail(lapped) < until;)
        append_number(lapped, 9, 2000);
}

/* R4: the ring goes on over the bytes, after their sizes were read and before they were copied.
 * Fails under R04-record-not-rechecked, R04-key-not-rechecked and R04-frame-not-rechecked of
 * tests/broken. */
START_TEST(test_overwritten_while_it_is_copied)
{
    const char *folder = harness_folder();
    mlkv_buffer buffer = {0};
    journal_frame frame;
    unsigned char key[511];
    size_t size;
    lapped = make_journal(folder, 0);
    uint64_t record = append_number(lapped, 7, 100), tail = journal_tail(lapped);
    journal_raise_applied(lapped, tail);
    fault_watch(overwrite_all);
    if (_i == 0)
        MUST(JOURNAL_LOST, journal_get_record(lapped, record, TEXT("k7"), &buffer));
    else if (_i == 1)
        MUST(JOURNAL_LOST, journal_get_record_key(lapped, record, key, &size, NULL));
    else
        MUST(MLKV_ABSENT, journal_read_frame(lapped, 0, tail, &buffer, &frame));
    fault_watch(NULL);
    ck_assert(overwritten);
    mlkv_buffer_free(&buffer);
    journal_close(lapped);
    harness_remove(folder);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("journal/frame");
    TCase *tcase = harness_case(suite, "frame");
    tcase_add_test(tcase, test_every_key_size);
    tcase_add_test(tcase, test_deleted_and_large);
    tcase_add_test(tcase, test_overtaken);
    tcase_add_test(tcase, test_forged_headers);
    tcase_add_test(tcase, test_hostile_records);
    tcase_add_test(tcase, test_readers_race_a_writer);
#ifdef MLKV_FAULTS
    tcase_add_loop_test(harness_case(suite, "rules"), test_overwritten_while_it_is_copied, 0, 3);
#endif
    return harness_run(suite);
}
