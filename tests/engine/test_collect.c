/* test_collect.c - frames in, the last write of each record out, in LMDB; beside an oracle, and
 * with broken frames. */
#include "fixture.h"

enum { NAMES = 3000, FRAMES = 40 };

static void add_frame(collected *into, batch *records)
{
    mlkv_slice payload;
    OK(batch_payload(records, &payload));
    journal_frame frame = {.kind = FRAME_BATCH,
                           .record_count = (uint32_t)records->count,
                           .payload = payload.data,
                           .payload_size = payload.size};
    OK(collect_add(into, &frame));
}

static mlkv_slice name_of(unsigned i)
{
    static char name[64];
    return slice_of(name,
                    (size_t)snprintf(name, sizeof name, "Kshared prefix %x", i * 2654435761u));
}

/* Borrowed records must stay where they are: each frame has its batch. */
START_TEST(writes_the_newest)
{
    static batch frames[FRAMES];
    static int newest[NAMES]; /* frame that put it last, + 1; negative: deleted */
    const char *folder = harness_folder();
    store *kept = NULL;
    store_write *write = NULL;
    collected *self = NULL;
    uint64_t put = 0, x = 7;
    size_t distinct = 0;
    OK(store_open(folder, true, false, &kept));
    OK(collect_create(&self));
    for (int f = 0; f < FRAMES; f++) {
        for (int i = 0; i < 200; i++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            unsigned n = (unsigned)(x >> 33) % NAMES;
            bool deletes = (x >> 20) % 4 == 0;
            distinct += newest[n] == 0;
            newest[n] = deletes ? -(f + 1) : f + 1;
            if (deletes)
                add_delete(&frames[f], name_of(n));
            else
                add_put(&frames[f], name_of(n), slice_of(&f, sizeof f));
        }
        add_frame(self, &frames[f]);
    }
    ck_assert_uint_eq(collect_count(self), distinct);
    OK(store_write_begin(kept, &write));
    OK(collect_write(self, write, &put));
    ck_assert_uint_eq(put, distinct);
    OK(store_write_commit(write));
    store_read *read = NULL;
    OK(store_read_begin(kept, &read));
    for (unsigned n = 0; n < NAMES; n++) {
        mlkv_slice value;
        int f = newest[n] - 1, want = newest[n] > 0 ? MLKV_OK : MLKV_ABSENT;
        MUST(want, store_read_get(read, name_of(n), &value));
        ck_assert(want != MLKV_OK || slice_equal(value, slice_of(&f, sizeof f)));
    }
    store_read_end(read);
    for (int f = 0; f < FRAMES; f++)
        batch_done(&frames[f]);
    collect_destroy(self);
    collect_destroy(NULL);
    store_close(kept);
    harness_remove(folder);
}
END_TEST

/* Keys that are prefixes of each other, that differ behind the 8 bytes sorted first, that have zero
 * bytes. */
START_TEST(sorts_all_keys)
{
    static const char *const keys[] = {"K",  "Kaaaaaaaa", "Kaaaaaaaab", "Kaaaaaaaaa", "Kaaaaaaa",
                                       "Kb", "Ka",        "E",          "Kaaaaaaaaab"};
    const char *folder = harness_folder();
    store *kept = NULL;
    store_write *write = NULL;
    collected *self = NULL;
    batch records = {0};
    uint64_t put;
    OK(store_open(folder, true, false, &kept));
    OK(collect_create(&self));
    OK(store_write_begin(kept, &write));
    OK(collect_write(self, write, &put)); /* nothing */
    ck_assert_uint_eq(put, 0);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        add_put(&records, slice_of_text(keys[i]), slice_of_text(keys[i]));
    add_put(&records, slice_of("K\0", 2), slice_of("K\0", 2));
    add_put(&records, slice_of("K\0\0", 3), slice_of("K\0\0", 3));
    add_frame(self, &records);
    OK(collect_write(self, write, &put));
    ck_assert_uint_eq(put, sizeof keys / sizeof *keys + 2);
    OK(store_write_commit(write));
    store_read *read = NULL;
    mlkv_slice value;
    OK(store_read_begin(kept, &read));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        OK(store_read_get(read, slice_of_text(keys[i]), &value));
        ck_assert(slice_equal(value, slice_of_text(keys[i])));
    }
    OK(store_read_get(read, slice_of("K\0", 2), &value));
    store_read_end(read);
    batch_done(&records);
    collect_destroy(self);
    store_close(kept);
    harness_remove(folder);
}
END_TEST

START_TEST(counts_pages)
{
    collected *self = NULL;
    batch small = {0}, large = {0}, none = {0};
    static unsigned char bytes[100000];
    OK(collect_create(&self));
    ck_assert_uint_eq(collect_pages(self, 1000), 0);
    add_put(&small, TEXT("Ksmall"), TEXT("1"));
    add_frame(self, &small);
    uint64_t few = collect_pages(self, 1000);
    ck_assert_uint_ge(few, 1);
    add_put(&large, TEXT("Klarge"), slice_of(bytes, sizeof bytes));
    add_frame(self, &large);
    ck_assert_uint_ge(collect_pages(self, 1000), few + sizeof bytes / 4096);
    add_delete(&none, TEXT("Klarge")); /* what was replaced does not count */
    add_frame(self, &none);
    ck_assert_uint_le(collect_pages(self, 1000), few + 2);
    batch_done(&small);
    batch_done(&large);
    batch_done(&none);
    collect_destroy(self);
}
END_TEST

START_TEST(refuses_broken_frames)
{
    collected *self = NULL;
    batch records = {0};
    mlkv_slice payload;
    OK(collect_create(&self));
    add_put(&records, TEXT("Kone"), TEXT("value"));
    OK(batch_payload(&records, &payload));
    journal_frame frame = {.kind = FRAME_MARKER,
                           .record_count = 1,
                           .payload = payload.data,
                           .payload_size = payload.size};
    OK(collect_add(self, &frame));
    ck_assert_uint_eq(collect_count(self), 0);
    frame.kind = FRAME_BATCH;
    frame.payload_size -= 8;
    MUST(MLKV_E_CORRUPT, collect_add(self, &frame));
    frame.payload_size = 4;
    MUST(MLKV_E_CORRUPT, collect_add(self, &frame));
    batch_done(&records);
    collect_destroy(self);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("collect");
    TCase *tcase = harness_case(suite, "collect");
    tcase_add_test(tcase, writes_the_newest);
    tcase_add_test(tcase, sorts_all_keys);
    tcase_add_test(tcase, counts_pages);
    tcase_add_test(tcase, refuses_broken_frames);
    return harness_run(suite);
}
