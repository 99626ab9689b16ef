/* test_files.c - the journal's files: made whole, kept, refused when they do not fit. */
#include "fixture.h"

#include <sys/resource.h>

START_TEST(test_create_and_open)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 8000);
    ck_assert_uint_eq(journal_ring_bytes(self), TEST_RING);
    ck_assert_uint_eq(journal_generation(self), TEST_GENERATION);
    ck_assert_uint_eq(journal_tail(self), 8000);
    ck_assert_uint_eq(journal_reserved(self), 8000);
    ck_assert_uint_eq(journal_applied(self), 8000);
    ck_assert_uint_eq(journal_synced(self), 8000);
    ck_assert_uint_eq(journal_next_id(self), 1000);
    OK(journal_check(self));
    static const char *const names[] = {"journal.head", "journal.ring", "journal.log"};
    for (size_t i = 0; i < 3; i++) {
        char path[700];
        struct stat status;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        ck_assert_int_eq(stat(path, &status), 0);
        ck_assert_uint_eq(status.st_mode & 07777, 0600);
        ck_assert_int_ge(status.st_blocks * 512, status.st_size); /* no holes */
        snprintf(path, sizeof path, "%s/%s.tmp", folder, names[i]);
        ck_assert_int_ne(access(path, F_OK), 0);
    }
    append_number(self, 1, 10);
    journal_header header;
    OK(journal_read_header(folder, &header));
    ck_assert_mem_eq(header.uuid, test_uuid, 16);
    ck_assert_uint_eq(header.generation, TEST_GENERATION);
    ck_assert_uint_eq(header.base, 8000);
    ck_assert_uint_eq(header.applied, 8000);
    ck_assert_uint_eq(header.tail, journal_tail(self));
    ck_assert_uint_eq(header.ring_bytes, TEST_RING);
    journal_close(self);
    journal_close(NULL);
    harness_remove(folder);
}
END_TEST

START_TEST(test_bad_arguments)
{
    const char *folder = harness_folder();
    MUST(MLKV_E_ARGUMENT, journal_create(folder, test_uuid, 1, 0, 1, TEST_RING + 4096));
    MUST(MLKV_E_ARGUMENT, journal_create(folder, test_uuid, 1, 0, 1, TEST_RING / 2));
    MUST(MLKV_E_ARGUMENT, journal_create(folder, test_uuid, 1, 0, 1, (size_t)1 << 50));
    MUST(MLKV_E_ARGUMENT, journal_create(folder, test_uuid, 1, 7, 1, TEST_RING));
    MUST(MLKV_E_ARGUMENT, journal_create(folder, test_uuid, 1, (uint64_t)1 << 63, 1, TEST_RING));
    MUST(MLKV_E_IO, journal_create("/no/such/folder", test_uuid, 1, 0, 1, TEST_RING));
    ck_assert(!exists(folder, "journal.head"));
    harness_remove(folder);
}
END_TEST

START_TEST(test_absent_and_foreign)
{
    const char *folder = harness_folder();
    journal *self = NULL;
    journal_header header;
    MUST(MLKV_ABSENT, journal_read_header(folder, &header));
    MUST(MLKV_ABSENT, journal_open(folder, test_uuid, false, &self));
    journal_close(make_journal(folder, 0));
    static const unsigned char other[16] = "another store!!";
    MUST(MLKV_E_MISMATCH, journal_open(folder, other, false, &self));
    damage(folder, "journal.head", 0, "something else", 14);
    MUST(MLKV_ABSENT, journal_read_header(folder, &header));
    MUST(MLKV_E_CORRUPT, journal_open(folder, test_uuid, false, &self));
    set_size(folder, "journal.head", 100);
    MUST(MLKV_ABSENT, journal_read_header(folder, &header));
    MUST(MLKV_E_CORRUPT, journal_open(folder, test_uuid, false, &self));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "journal.head"));
    ck_assert_ptr_null(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_every_constant_byte_is_checked)
{
    const char *folder = harness_folder();
    journal *self = NULL;
    journal_header header;
    journal_close(make_journal(folder, 0));
    for (uint64_t i = 0; i < sizeof(journal_identity); i++) {
        flip_byte(folder, "journal.head", i);
        int result = journal_open(folder, test_uuid, i % 2 == 0, &self);
        int wanted = i >= 8 && i < 12 ? MLKV_E_VERSION : MLKV_E_CORRUPT;
        ck_assert_msg(result == wanted, "byte %d: %d", (int)i, result);
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "journal.head"));
        result = journal_read_header(folder, &header);
        ck_assert_msg(result == (wanted == MLKV_E_VERSION ? wanted : MLKV_ABSENT), "byte %d: %d",
                      (int)i, result);
        flip_byte(folder, "journal.head", i);
    }
    OK(journal_open(folder, test_uuid, false, &self));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

/* Changes one field of the constant part and makes the checksum fit again. */
static void forge(const char *folder, size_t offset, const void *bytes, size_t size)
{
    journal_identity identity;
    int fd = open_in(folder, "journal.head", O_RDWR);
    ck_assert_int_eq(pread(fd, &identity, sizeof identity, 0), (ssize_t)sizeof identity);
    memcpy((unsigned char *)&identity + offset, bytes, size);
    identity.checksum =
        hash_checksum(&identity, offsetof(journal_identity, checksum), JOURNAL_MAGIC);
    ck_assert_int_eq(pwrite(fd, &identity, sizeof identity, 0), (ssize_t)sizeof identity);
    close(fd);
}

/* Fails under R10-locks-form-unchecked, R10-namespace-unchecked of tests/broken. */
START_TEST(test_other_platform)
{
    const char *folder = harness_folder();
    journal *self = NULL;
    static const size_t offsets[] = {
        offsetof(journal_identity, mutex_size),
        offsetof(journal_identity, page_size),
        offsetof(journal_identity, namespace_device),
        offsetof(journal_identity, namespace_inode),
    };
    for (size_t i = 0; i < 4; i++) {
        uint32_t strange = 0x12345;
        journal_close(make_journal(folder, 0));
        forge(folder, offsets[i], &strange, sizeof strange);
        MUST(MLKV_E_PLATFORM, journal_open(folder, test_uuid, false, &self));
    }
    journal_close(make_journal(folder, 0));
    uint64_t odd_size = TEST_RING + 8;
    forge(folder, offsetof(journal_identity, ring_bytes), &odd_size, sizeof odd_size);
    MUST(MLKV_E_CORRUPT, journal_open(folder, test_uuid, false, &self));
    harness_remove(folder);
}
END_TEST

START_TEST(test_ring_and_log_of_wrong_size)
{
    const char *folder = harness_folder();
    journal *self = NULL;
    static const char *const names[] = {"journal.ring", "journal.log"};
    for (size_t i = 0; i < 2; i++) {
        journal_close(make_journal(folder, 0));
        set_size(folder, names[i], TEST_RING - 4096);
        MUST(MLKV_E_CORRUPT, journal_open(folder, test_uuid, false, &self));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), names[i]));
        char path[700];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        ck_assert_int_eq(unlink(path), 0);
        MUST(MLKV_E_CORRUPT, journal_open(folder, test_uuid, false, &self));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), names[i]));
    }
    journal_close(make_journal(folder, 0)); /* makes them anew */
    harness_remove(folder);
}
END_TEST

START_TEST(test_ring_is_mapped_twice)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    for (size_t i = 0; i < TEST_RING; i += 1000) {
        self->ring[i] = (unsigned char)(i / 1000 + 1);
        ck_assert_uint_eq(self->ring[TEST_RING + i], i / 1000 + 1);
    }
    journal_prefault(self, TEST_RING - 5000, 10000);
    journal_prefault(self, 0, TEST_RING);
    ck_assert_uint_eq(self->ring[1000], 2);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_files_are_kept_or_replaced)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    append_number(self, 1, 100);
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    uint64_t tail = journal_tail(self), zeroed = self->head->zeroed;
    ck_assert_uint_ge(zeroed, tail);
    journal_close(self);

    /* same size: kept, with what was written in it; a hole is filled */
    OK(journal_create(folder, test_uuid, 78, tail, 2000, TEST_RING));
    OK(journal_open(folder, test_uuid, false, &self));
    ck_assert_uint_eq(load_le32(self->ring), FRAME_MAGIC);
    ck_assert_uint_eq(self->head->zeroed - self->head->zero_start, TEST_RING);
    mlkv_buffer buffer = {0};
    journal_frame frame;
    MUST(MLKV_E_CORRUPT, journal_read_frame(self, 0, tail, &buffer, &frame)); /* old generation */
    mlkv_buffer_free(&buffer);
    ck_assert_uint_eq(journal_next_id(self), 2000);
    journal_close(self);

    /* another size: new */
    OK(journal_create(folder, test_uuid, 79, tail, 2000, 2 * TEST_RING));
    OK(journal_open(folder, test_uuid, false, &self));
    ck_assert_uint_eq(journal_ring_bytes(self), 2 * TEST_RING);
    ck_assert_uint_eq(load_le32(self->ring), 0);
    ck_assert_uint_eq(self->head->zeroed, self->head->zero_start);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_zeroing_goes_on_where_it_was)
{
    const char *folder = harness_folder();
    size_t ring = 16 * 1024 * 1024;
    journal *self = NULL;
    OK(journal_create(folder, test_uuid, 1, 5000 * 8, 1, ring));
    OK(journal_open(folder, test_uuid, false, &self));
    append_number(self, 1, 100);
    OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    uint64_t start = self->head->zero_start, zeroed = self->head->zeroed;
    ck_assert_uint_eq(start, 36864); /* the block of base */
    ck_assert_uint_gt(zeroed, start + 1024 * 1024);
    ck_assert_uint_lt(zeroed, start + ring);
    uint64_t tail = journal_tail(self);
    journal_close(self);
    OK(journal_create(folder, test_uuid, 2, tail, 1, ring));
    OK(journal_open(folder, test_uuid, false, &self));
    ck_assert_uint_eq(self->head->zero_start, start);
    ck_assert_uint_eq(self->head->zeroed, zeroed);
    journal_close(self);
    /* a position that the old head knows nothing of: from the beginning */
    OK(journal_create(folder, test_uuid, 3, 10 * ring, 1, ring));
    OK(journal_open(folder, test_uuid, false, &self));
    ck_assert_uint_eq(self->head->zero_start, 10 * ring);
    ck_assert_uint_eq(self->head->zeroed, 10 * ring);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_full_disk_at_create)
{
    const char *folder = harness_folder();
    struct rlimit limit = {.rlim_cur = 32 * 1024, .rlim_max = RLIM_INFINITY};
    int status;
    IN_CHILD(status, {
        CHILD_MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
        int result = journal_create(folder, test_uuid, 1, 0, 1, TEST_RING);
        CHILD_MUST(result == MLKV_E_FULL);
        CHILD_MUST(strstr(mlkv_error_detail(), "journal.ring") != NULL);
    });
    ck_assert_int_eq(status, 0);
    ck_assert(!exists(folder, "journal.ring"));
    ck_assert(!exists(folder, "journal.ring.tmp"));
    /* larger than the disk: refused before a block of it is taken */
    int result = journal_create(folder, test_uuid, 1, 0, 1, (size_t)1 << 40);
    ck_assert_msg(result == MLKV_E_FULL, "%d %s", result, mlkv_error_detail());
    ck_assert(!exists(folder, "journal.ring.tmp"));
    journal_close(make_journal(folder, 0));
    harness_remove(folder);
}
END_TEST

START_TEST(test_left_over_temporary_file)
{
    const char *folder = harness_folder();
    close(open_in(folder, "journal.ring.tmp", O_CREAT | O_WRONLY));
    damage(folder, "journal.ring.tmp", 0, "left by a crash", 15);
    journal *self = make_journal(folder, 0);
    ck_assert_uint_eq(self->ring[0], 0);
    ck_assert(!exists(folder, "journal.ring.tmp"));
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_read_only)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0), *reader = NULL;
    OK(journal_open(folder, test_uuid, true, &reader));
    uint64_t record = append_one(self, TEXT("key"), TEXT("value"));
    ck_assert_uint_eq(journal_tail(reader), journal_tail(self));
    mlkv_buffer value = {0};
    OK(journal_get_record(reader, record, TEXT("key"), &value));
    ck_assert(slice_equal(slice_of_buffer(&value), TEXT("value")));
    mlkv_buffer_free(&value);
    MUST(MLKV_E_READONLY, journal_lock(reader, 0));
    MUST(MLKV_E_READONLY, journal_sync(reader, journal_tail(reader), TEST_LOCK_MS));
    ck_assert_ptr_null(journal_applier_lock(reader));
    journal_poison(reader, "a reader has no say");
    OK(journal_check(self));
    journal_close(reader);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

START_TEST(test_retired_under_a_reader)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0), *reader = NULL;
    OK(journal_open(folder, test_uuid, true, &reader));
    uint64_t record = append_one(self, TEXT("key"), TEXT("value")), tail = journal_tail(self);
    journal_close(self); /* dies; another comes, alone, and begins a new generation */
    mlkv_buffer value = {0};
    journal_frame frame;
    OK(journal_get_record(reader, record, TEXT("key"), &value));
    ck_assert(!journal_retired(reader));
    OK(journal_create(folder, test_uuid, 78, tail, 1, TEST_RING));
    ck_assert(journal_retired(reader));
    MUST(JOURNAL_LOST, journal_get_record(reader, record, TEXT("key"), &value));
    MUST(MLKV_ABSENT, journal_read_frame(reader, 0, tail, &value, &frame));
    mlkv_buffer_free(&value);
    OK(journal_open(folder, test_uuid, false, &self));
    ck_assert(!journal_retired(self));
    ck_assert_uint_eq(journal_reserved(self), tail);
    journal_close(self);
    journal_close(reader);
    harness_remove(folder);
}
END_TEST

START_TEST(test_header_with_impossible_positions)
{
    const char *folder = harness_folder();
    journal_header header;
    uint64_t odd = 8004, low = 7992, high = UINT64_MAX - 7;
    const uint64_t *bad[] = {&odd, &low, &high};
    for (size_t i = 0; i < 6; i++) {
        journal_close(make_journal(folder, 8000));
        OK(journal_read_header(folder, &header));
        damage(folder, "journal.head",
               i < 3 ? offsetof(journal_head, tail) : offsetof(journal_head, applied), bad[i % 3],
               8);
        MUST(MLKV_ABSENT, journal_read_header(folder, &header));
    }
    harness_remove(folder);
}
END_TEST

START_TEST(test_abandon_in_child)
{
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 0);
    int status;
    OK(journal_lock(self, TEST_LOCK_MS));
    IN_CHILD(status, journal_abandon(self));
    ck_assert_int_eq(status, 0);
    uint64_t record = append_one(self, TEXT("key"), TEXT("value"));
    journal_unlock(self);
    mlkv_buffer value = {0};
    OK(journal_get_record(self, record, TEXT("key"), &value));
    mlkv_buffer_free(&value);
    journal_close(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/files");
    TCase *tcase = harness_case(suite, "files");
    tcase_add_test(tcase, test_create_and_open);
    tcase_add_test(tcase, test_bad_arguments);
    tcase_add_test(tcase, test_absent_and_foreign);
    tcase_add_test(tcase, test_every_constant_byte_is_checked);
    tcase_add_test(tcase, test_other_platform);
    tcase_add_test(tcase, test_ring_and_log_of_wrong_size);
    tcase_add_test(tcase, test_ring_is_mapped_twice);
    tcase_add_test(tcase, test_files_are_kept_or_replaced);
    tcase_add_test(tcase, test_zeroing_goes_on_where_it_was);
    tcase_add_test(tcase, test_full_disk_at_create);
    tcase_add_test(tcase, test_left_over_temporary_file);
    tcase_add_test(tcase, test_read_only);
    tcase_add_test(tcase, test_retired_under_a_reader);
    tcase_add_test(tcase, test_header_with_impossible_positions);
    tcase_add_test(tcase, test_abandon_in_child);
    return harness_run(suite);
}
