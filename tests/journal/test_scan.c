/* test_scan.c - what recovery finds: in the ring after a death, in the log after a power cut. */
#include "fixture.h"

#include "base/random.h"

typedef struct {
    uint64_t starts[64];
    unsigned count;
    uint64_t tail, next_id;
} written;

/* Frames of 100 to 300 bytes, numbered; then everybody is dead. */
static written write_frames(const char *folder, uint64_t base, unsigned count, unsigned synced)
{
    written all = {.count = count};
    journal *self = make_journal(folder, base);
    for (unsigned i = 0; i < count; i++) {
        all.starts[i] = journal_tail(self);
        journal_take_ids(self, 3);
        append_number(self, i, 100 + i * 13 % 200);
        if (i + 1 == synced)
            OK(journal_sync(self, journal_tail(self), TEST_LOCK_MS));
    }
    all.tail = journal_tail(self);
    all.next_id = journal_next_id(self);
    journal_close(self);
    return all;
}

/* Scans from the first frame; asserts that exactly `count` are found, and that they read well. */
static void expect(const char *folder, const written *all, unsigned first, unsigned count)
{
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    uint64_t from = first < all->count ? all->starts[first] : all->tail;
    OK(journal_scan_open(folder, TEST_GENERATION, from, 0, &scan, &tail, &next_id));
    uint64_t wanted = first + count < all->count ? all->starts[first + count] : all->tail;
    ck_assert_uint_eq(tail, wanted);
    ck_assert_uint_eq(next_id, count == 0 ? 0 : 1000 + 3 * (uint64_t)(first + count));
    uint64_t at = from;
    for (unsigned i = first; i < first + count; i++) {
        journal_frame frame;
        OK(journal_scan_frame(scan, at, &frame));
        size_t offset = 0;
        journal_record record;
        char key[16];
        OK(journal_next_record(&frame, &offset, &record));
        snprintf(key, sizeof key, "k%u", i);
        ck_assert(slice_equal(record.key, slice_of_text(key)));
        ck_assert_uint_eq(record.value.size, 100 + i * 13 % 200);
        at = frame.end;
    }
    journal_frame frame;
    MUST(MLKV_ABSENT, journal_scan_frame(scan, at, &frame));
    MUST(MLKV_E_CORRUPT, journal_scan_frame(scan, at + 8, &frame));
    if (count != 0)
        MUST(MLKV_E_CORRUPT, journal_scan_frame(scan, from + 8, &frame));
    journal_scan_close(scan);
}

static void wipe(const char *folder, const char *name)
{
    static const unsigned char zeros[TEST_RING];
    damage(folder, name, 0, zeros, sizeof zeros);
}

static void delete_file(const char *folder, const char *name)
{
    char path[1400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(test_after_a_death)
{
    const char *folder = harness_folder();
    written all = write_frames(folder, TEST_RING - 1000, 40, 0); /* wraps */
    expect(folder, &all, 0, 40);
    expect(folder, &all, 17, 23); /* LMDB had applied the first 17 */
    expect(folder, &all, 40, 0);  /* or everything */
    harness_remove(folder);
}
END_TEST

START_TEST(test_after_a_power_cut)
{
    const char *folder = harness_folder();
    written all = write_frames(folder, TEST_RING - 1000, 40, 25);
    expect(folder, &all, 0, 40);
    /* the kernel wrote nothing of the ring: the log has what was synced */
    wipe(folder, "journal.ring");
    expect(folder, &all, 0, 25);
    expect(folder, &all, 10, 15);
    delete_file(folder, "journal.ring");
    expect(folder, &all, 0, 25);
    harness_remove(folder);
    /* the ring was written and the log lost */
    folder = harness_folder();
    all = write_frames(folder, 0, 40, 25);
    wipe(folder, "journal.log");
    expect(folder, &all, 0, 40);
    /* both have a part: the longer chain wins, as they agree */
    flip_byte(folder, "journal.ring", all.starts[30] + 70);
    expect(folder, &all, 0, 30);
    harness_remove(folder);
    folder = harness_folder();
    all = write_frames(folder, 0, 40, 25);
    flip_byte(folder, "journal.ring", all.starts[3] + 70);
    expect(folder, &all, 0, 25);
    flip_byte(folder, "journal.log", all.starts[20] + 70);
    expect(folder, &all, 0, 20);
    set_size(folder, "journal.log", 1000); /* no ring's size: not usable */
    expect(folder, &all, 0, 3);
    harness_remove(folder);
}
END_TEST

/* The first frame and one more of `size` bytes, synced or only in the ring; the end of that one. */
static uint64_t write_two(const char *folder, size_t size, bool synced)
{
    journal *self = make_journal(folder, 0);
    append_number(self, 0, 100);
    append_number(self, 1, size);
    uint64_t tail = journal_tail(self);
    if (synced)
        OK(journal_sync(self, tail, TEST_LOCK_MS));
    journal_close(self);
    return tail;
}

/* A writer was killed with a large frame written and not visible; another wrote a small one in its
 * place, and that was synced; of the ring the disk has the large one. What was synced counts. */
START_TEST(test_an_unseen_frame_in_the_ring)
{
    unsigned char ring[TEST_RING];
    const char *folder = harness_folder();
    uint64_t unseen = write_two(folder, 3000, false);
    int fd = open_in(folder, "journal.ring", O_RDONLY);
    ck_assert_int_eq(pread(fd, ring, sizeof ring, 0), sizeof ring);
    close(fd);
    harness_remove(folder);
    folder = harness_folder();
    uint64_t synced = write_two(folder, 50, true);
    ck_assert_uint_lt(synced, unseen);
    damage(folder, "journal.ring", 0, ring, sizeof ring);
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, synced);
    journal_scan_close(scan);
    harness_remove(folder);
}
END_TEST

START_TEST(test_no_usable_file)
{
    const char *folder = harness_folder();
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    MUST(MLKV_ABSENT, journal_scan_open(folder, 1, 0, 0, &scan, &tail, &next_id));
    write_frames(folder, 0, 3, 0);
    set_size(folder, "journal.ring", 100);
    set_size(folder, "journal.log", TEST_RING + 4096);
    MUST(MLKV_E_CORRUPT, journal_scan_open(folder, 1, 0, 0, &scan, &tail, &next_id));
    delete_file(folder, "journal.log");
    MUST(MLKV_E_CORRUPT, journal_scan_open(folder, 1, 0, 0, &scan, &tail, &next_id));
    MUST(MLKV_E_CORRUPT, journal_scan_open(folder, 1, 4, 0, &scan, &tail, &next_id));
    MUST(MLKV_E_CORRUPT, journal_scan_open(folder, 1, UINT64_MAX - 7, 0, &scan, &tail, &next_id));
    ck_assert_ptr_null(scan);
    journal_scan_close(NULL);
    harness_remove(folder);
}
END_TEST

/* Fails under R06-checksum-unchecked of tests/broken. */
START_TEST(test_every_damaged_byte_ends_the_chain)
{
    const char *folder = harness_folder();
    written all = write_frames(folder, 0, 4, 0);
    wipe(folder, "journal.log");
    for (uint64_t at = all.starts[1]; at < all.starts[2]; at++) {
        flip_byte(folder, "journal.ring", at);
        expect(folder, &all, 0, 1);
        flip_byte(folder, "journal.ring", at);
    }
    expect(folder, &all, 0, 4);
    harness_remove(folder);
}
END_TEST

/* Fails under R06-chain-unchecked, R06-generation-unchecked of tests/broken. */
START_TEST(test_generation_and_chain)
{
    const char *folder = harness_folder();
    written all = write_frames(folder, 0, 4, 0);
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    OK(journal_scan_open(folder, TEST_GENERATION + 1, 0, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, 0);
    ck_assert_uint_eq(next_id, 0);
    journal_scan_close(scan);
    /* the checksum of frame 1 is the chain of frame 2 */
    uint64_t checksum;
    int fd = open_in(folder, "journal.ring", O_RDONLY);
    ck_assert_int_eq(pread(fd, &checksum, 8, (off_t)all.starts[1] + 56), 8);
    close(fd);
    OK(journal_scan_open(folder, TEST_GENERATION, all.starts[2], checksum, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, all.tail);
    journal_scan_close(scan);
    OK(journal_scan_open(folder, TEST_GENERATION, all.starts[2], checksum + 1, &scan, &tail,
                         &next_id));
    ck_assert_uint_eq(tail, all.starts[2]);
    journal_scan_close(scan);
    harness_remove(folder);
}
END_TEST

/* Writes a frame into the ring file whose checksum is right, whatever else is wrong. */
static void forge_frame(const char *folder, uint64_t position, frame_header header,
                        const void *payload, size_t payload_size)
{
    header.checksum = frame_checksum(&header, payload, payload_size);
    damage(folder, "journal.ring", position, &header, sizeof header);
    damage(folder, "journal.ring", position + sizeof header, payload, payload_size);
}

START_TEST(test_forged_frames_with_a_right_checksum)
{
    const char *folder = harness_folder();
    journal_close(make_journal(folder, 0));
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    journal_frame frame;
    mlkv_buffer payload = {0};
    put_record(&payload, TEXT("key"), TEXT("value"));
    const frame_header good = {
        .magic = FRAME_MAGIC,
        .size = FRAME_HEADER_SIZE + payload.size,
        .record_count = 1,
        .generation = TEST_GENERATION,
        .next_id = 5,
    };
    forge_frame(folder, 0, good, payload.data, payload.size);
    OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, good.size);
    OK(journal_scan_frame(scan, 0, &frame));
    journal_scan_close(scan);
    /* records that do not fit the frame, under a checksum that holds: found, and then refused */
    frame_header bad = good;
    bad.record_count = 0;
    forge_frame(folder, 0, bad, payload.data, payload.size);
    OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, good.size);
    MUST(MLKV_E_CORRUPT, journal_scan_frame(scan, 0, &frame));
    journal_scan_close(scan);
    store_le32((unsigned char *)payload.data + 4, 1000);
    forge_frame(folder, 0, good, payload.data, payload.size);
    OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
    MUST(MLKV_E_CORRUPT, journal_scan_frame(scan, 0, &frame));
    journal_scan_close(scan);
    /* sizes beyond every bound */
    static const uint64_t sizes[] = {0, 8, 72, TEST_RING, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        bad = good;
        bad.size = sizes[i];
        forge_frame(folder, 0, bad, payload.data, payload.size);
        OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
        ck_assert_uint_eq(tail, 0);
        journal_scan_close(scan);
    }
    mlkv_buffer_free(&payload);
    harness_remove(folder);
}
END_TEST

START_TEST(test_full_ring)
{
    /* exactly one ring of frames, and the scan ends there, not on the second lap */
    const char *folder = harness_folder();
    journal *self = make_journal(folder, 512);
    for (unsigned i = 0; i < 4; i++)
        append_number(self, i, TEST_RING / 4 - FRAME_HEADER_SIZE - 16);
    ck_assert_uint_eq(journal_tail(self), 512 + TEST_RING);
    journal_close(self);
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    OK(journal_scan_open(folder, TEST_GENERATION, 512, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, 512 + TEST_RING);
    journal_frame frame;
    OK(journal_scan_frame(scan, 512 + 3 * TEST_RING / 4, &frame));
    journal_scan_close(scan);
    harness_remove(folder);
}
END_TEST

START_TEST(test_random_damage)
{
    const char *folder = harness_folder();
    written all = write_frames(folder, 0, 40, 40);
    for (int i = 0; i < 300; i++) {
        for (int n = 0; n < 8; n++) {
            uint64_t bytes = random_u64();
            damage(folder, n % 2 == 0 ? "journal.ring" : "journal.log", random_below(all.tail - 8),
                   &bytes, 1 + random_below(8));
        }
        journal_scan *scan = NULL;
        uint64_t tail, next_id;
        OK(journal_scan_open(folder, TEST_GENERATION, all.starts[i % 40], 0, &scan, &tail,
                             &next_id));
        ck_assert_uint_le(tail, all.tail);
        for (uint64_t at = all.starts[i % 40]; at < tail;) {
            journal_frame frame;
            OK(journal_scan_frame(scan, at, &frame));
            at = frame.end;
        }
        journal_scan_close(scan);
    }
    harness_remove(folder);
}
END_TEST

#ifdef MLKV_FAULTS
static const fault_point append_points[] = {FAULT_APPEND_RESERVED, FAULT_APPEND_HALF,
                                            FAULT_APPEND_WRITTEN, FAULT_APPEND_CHAINED,
                                            FAULT_APPEND_VISIBLE};

START_TEST(test_all_dead_in_the_middle)
{
    /* what was visible is found; a frame that its writer did not finish is whole or not at all */
    const char *folder = harness_folder();
    int status;
    IN_CHILD(status, {
        journal *self = make_journal(folder, 0);
        for (unsigned i = 0; i < 10; i++)
            append_number(self, i, 200);
        fault_arm(append_points[_i], FAULT_KILL, 1, 0);
        append_number(self, 10, 200);
    });
    ck_assert_int_eq(status, -SIGKILL);
    size_t frame_size = FRAME_HEADER_SIZE + frame_record_size(2, 200);
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
    bool whole =
        append_points[_i] != FAULT_APPEND_RESERVED && append_points[_i] != FAULT_APPEND_HALF;
    ck_assert_uint_eq(tail, 10 * frame_size + (whole ? frame_size : 0));
    journal_scan_close(scan);
    harness_remove(folder);
}
END_TEST
#endif

/* R6: a frame that is whole in itself, at its place, of this generation, and that another one
 * stands before than it was chained to: a killed writer's frame that nobody saw came to the disk
 * instead of the one that took its place. Fails under R06-chain-unchecked and
 * R06-chain-unchecked-but-for-the-first of tests/broken. */
START_TEST(test_a_frame_that_follows_another)
{
    const char *folder = harness_folder();
    written all = write_frames(folder, 0, 4, 0);
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    frame_header header;
    unsigned char payload[400];
    int fd = open_in(folder, "journal.ring", O_RDONLY);
    ck_assert_int_eq(pread(fd, &header, sizeof header, (off_t)all.starts[1]), sizeof header);
    size_t size = header.size - sizeof header;
    ck_assert_uint_le(size, sizeof payload);
    ck_assert_int_eq(pread(fd, payload, size, (off_t)(all.starts[1] + sizeof header)),
                     (ssize_t)size);
    close(fd);
    payload[50] ^= 1; /* a byte of its value */
    forge_frame(folder, all.starts[1], header, payload, size);
    OK(journal_scan_open(folder, TEST_GENERATION, 0, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, all.starts[2]);
    journal_scan_close(scan);
    OK(journal_scan_open(folder, TEST_GENERATION, all.starts[1], 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, all.starts[2]);
    journal_scan_close(scan);
    harness_remove(folder);
}
END_TEST

/* R6: what the lap before left where the next frame would stand. Fails under
 * R06-position-unchecked of tests/broken. */
START_TEST(test_frames_of_another_lap)
{
    const char *folder = harness_folder();
    journal_scan *scan = NULL;
    uint64_t tail, next_id;
    journal *self = make_journal(folder, 0);
    for (unsigned i = 0; i < 4; i++)
        append_number(self, i, TEST_RING / 4 - FRAME_HEADER_SIZE - 16);
    ck_assert_uint_eq(journal_tail(self), TEST_RING);
    journal_close(self);
    OK(journal_scan_open(folder, TEST_GENERATION, TEST_RING, 0, &scan, &tail, &next_id));
    ck_assert_uint_eq(tail, TEST_RING);
    journal_scan_close(scan);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/scan");
    TCase *tcase = harness_case(suite, "scan");
    tcase_add_test(tcase, test_after_a_death);
    tcase_add_test(tcase, test_after_a_power_cut);
    tcase_add_test(tcase, test_an_unseen_frame_in_the_ring);
    tcase_add_test(tcase, test_no_usable_file);
    tcase_add_test(tcase, test_every_damaged_byte_ends_the_chain);
    tcase_add_test(tcase, test_generation_and_chain);
    tcase_add_test(tcase, test_forged_frames_with_a_right_checksum);
    tcase_add_test(tcase, test_full_ring);
    tcase_add_test(tcase, test_random_damage);
#ifdef MLKV_FAULTS
    tcase_add_loop_test(tcase, test_all_dead_in_the_middle, 0, 5);
#endif
    TCase *rules = harness_case(suite, "rules");
    tcase_add_test(rules, test_a_frame_that_follows_another);
    tcase_add_test(rules, test_frames_of_another_lap);
    return harness_run(suite);
}
