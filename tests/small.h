/* small.h - what tests above the journal share: a store small enough that a few writes fill its ring, and
 * a look at what LMDB holds of it. */
#ifndef MLKV_TESTS_SMALL_H
#define MLKV_TESTS_SMALL_H

#include "harness.h"
#include "store/store.h"

#include <mlkv/mlkv.h>

enum { TEST_RING = 64 << 10 };

static inline mlkv_options small_options(void)
{
    return (mlkv_options){.size = sizeof(mlkv_options),
                          .ring_bytes = TEST_RING,
                          .cache_bytes = 256 << 10,
                          .batch_bytes = 1 << 20,
                          .lock_timeout_ms = 120000};
}

/* Records of a class that LMDB holds now. */
static inline size_t count_records(store *self, int record_class)
{
    store_read *read = NULL;
    store_cursor *cursor = NULL;
    unsigned char first = (unsigned char)record_class;
    mlkv_slice key, value;
    size_t count = 0;
    OK(store_read_begin(self, &read));
    OK(store_cursor_open(read, &cursor));
    int result = store_cursor_seek(cursor, slice_of(&first, 1), &key, &value);
    while (result == MLKV_OK && ((const unsigned char *)key.data)[0] == record_class) {
        count++;
        result = store_cursor_next(cursor, &key, &value);
    }
    ck_assert_int_ge(result, 0);
    store_cursor_close(cursor);
    store_read_end(read);
    return count;
}

#endif
