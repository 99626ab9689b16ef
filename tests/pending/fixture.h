/* fixture.h - what the tests of pending share: a journal in a folder of its own, frames to append,
 * and records that are noted at once. */
#ifndef MLKV_TESTS_PENDING_FIXTURE_H
#define MLKV_TESTS_PENDING_FIXTURE_H

#include "harness.h"

#include "base/buffer.h"
#include "base/hash.h"
#include "pending/internal.h"

static const unsigned char fixture_uuid[16] = "pending's tests";

typedef struct {
    const char *folder;
    journal *journal;
    pending *pending;
    mlkv_buffer payload;
} fixture;

static inline void fixture_open(fixture *self, size_t ring_bytes)
{
    *self = (fixture){.folder = harness_folder()};
    OK(journal_create(self->folder, fixture_uuid, 9, 0, 1, ring_bytes));
    OK(journal_open(self->folder, fixture_uuid, false, &self->journal));
    OK(pending_create(self->journal, &self->pending));
}

static inline void fixture_close(fixture *self)
{
    pending_destroy(self->pending);
    journal_close(self->journal);
    mlkv_buffer_free(&self->payload);
    harness_remove(self->folder);
}

static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Adds an encoded record to the payload. */
static inline void fixture_encode(fixture *self, mlkv_slice key, mlkv_slice value, bool is_delete)
{
    size_t size = frame_record_size(key.size, value.size);
    unsigned char *to = buffer_extend(&self->payload, size);
    ck_assert_ptr_nonnull(to);
    memset(to, 0, size);
    uint16_t key_size = (uint16_t)key.size, flags = is_delete ? FRAME_DELETE : 0;
    memcpy(to, &key_size, 2);
    memcpy(to + 2, &flags, 2);
    store_le32(to + 4, (uint32_t)value.size);
    bytes_copy(to + 8, key.data, key.size);
    bytes_copy(to + 8 + key.size, value.data, value.size);
}

/* Whether a frame with what is in the payload can be appended. */
static inline bool fixture_has_room(const fixture *self)
{
    return journal_has_room(self->journal, FRAME_HEADER_SIZE + self->payload.size);
}

/* Appends the payload as a frame; the position of its first record. */
static inline uint64_t fixture_append(fixture *self, uint32_t count)
{
    ck_assert(fixture_has_room(self));
    uint64_t end =
                 journal_append(self->journal, FRAME_BATCH, count, slice_of_buffer(&self->payload)),
             first = end - self->payload.size;
    self->payload.size = 0;
    return first;
}

/* A frame of one record, noted under `hash`; drains if there is no room, telling pending or not.
 * Returns the record's position. */
static inline uint64_t fixture_put_hashed(fixture *self, uint64_t hash, mlkv_slice key,
                                          mlkv_slice value, bool is_delete, bool trim)
{
    fixture_encode(self, key, value, is_delete);
    if (!fixture_has_room(self)) {
        journal_raise_applied(self->journal, journal_tail(self->journal));
        if (trim)
            pending_trim(self->pending, journal_applied(self->journal));
    }
    OK(pending_reserve(self->pending, 1));
    uint64_t position = fixture_append(self, 1);
    pending_add(self->pending, hash, key, position);
    return position;
}

static inline uint64_t fixture_put(fixture *self, mlkv_slice key, mlkv_slice value, bool is_delete)
{
    return fixture_put_hashed(self, hash_key(key.data, key.size), key, value, is_delete, true);
}

#endif
