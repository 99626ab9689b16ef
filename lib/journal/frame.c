/* frame.c - reading frames: from the ring while others write (R4), and from memory that stands
 * still.
 *
 * States of ring bytes, as a reader sees them: not visible (at or above tail: never read), visible,
 * and overtaken (reserved > position + ring size: they may be those of a frame one lap later, or
 * half of it).
 *
 * Invariants:
 *  1. Nothing copied from the ring is believed before `reserved` was looked at after the copy. A
 *     length is bounded before it is used for the copy, so that a torn one does no harm.
 *  2. A frame of a wrong form is MLKV_ABSENT if it was overtaken, and MLKV_E_CORRUPT if not.
 *  3. Live readers check forms and bounds, not checksums: tail is raised only behind a whole frame,
 *     and shared memory does not rot on its own. Recovery checks them all (scan.c).
 *
 * No locks.
 */
#include "journal/frame.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"

#include <assert.h>

/* From this size on a value's size is believed only after a look at `reserved`: a torn word must
 * not make us allocate a quarter of the ring. */
enum { VALUE_SIZE_SMALL = 4096 };

uint64_t frame_checksum(const frame_header *header, const void *payload, size_t payload_size)
{
    uint64_t seed = hash_checksum(payload, payload_size, header->generation);
    return hash_checksum(header, offsetof(frame_header, checksum), seed);
}

bool frame_header_valid(const frame_header *header, uint64_t generation, uint64_t position,
                        uint64_t limit, size_t ring_bytes)
{
    if (header->magic != FRAME_MAGIC || header->position != position ||
        header->generation != generation)
        return false;
    if (header->kind != FRAME_BATCH && header->kind != FRAME_MARKER)
        return false;
    if (header->size < FRAME_HEADER_SIZE || header->size % 8 != 0 ||
        header->size > ring_bytes / JOURNAL_FRAME_PARTS || header->unused != 0)
        return false;
    if (position > limit || header->size > limit - position)
        return false;
    /* the smallest record: a header and a key of one byte */
    return header->record_count <= (header->size - FRAME_HEADER_SIZE) / frame_record_size(1, 0);
}

void frame_describe(const frame_header *header, const void *payload, journal_frame *ret_frame)
{
    *ret_frame = (journal_frame){
        .kind = header->kind,
        .record_count = header->record_count,
        .position = header->position,
        .end = header->position + header->size,
        .checksum = header->checksum,
        .next_id = header->next_id,
        .payload = payload,
        .payload_size = header->size - FRAME_HEADER_SIZE,
    };
}

static int corrupt_frame(uint64_t position)
{
    return error_set(MLKV_E_CORRUPT, "journal.ring: no valid frame at position %llu",
                     (unsigned long long)position);
}

int journal_copy(const journal *self, uint64_t position, size_t size, void *to)
{
    assert(position % 8 == 0 && size <= self->ring_bytes);
    words_load(to, ring_at(self, position), size);
    return ring_overtaken(self, position) ? MLKV_ABSENT : 0;
}

void journal_prefetch(const journal *self, uint64_t position)
{
    const unsigned char *record = (const unsigned char *)ring_at(self, position);
    __builtin_prefetch(record);
    __builtin_prefetch(record + 64);
}

/* The header at `position` if it is valid; else MLKV_ABSENT (overtaken) or MLKV_E_CORRUPT. It may
 * still turn out to be overtaken: its fields are bounded, not yet true. */
static int peek_header(const journal *self, uint64_t position, uint64_t limit,
                       frame_header *ret_header)
{
    assert(position % 8 == 0);
    frame_header header;
    words_load(&header, ring_at(self, position), sizeof header);
    if (frame_header_valid(&header, self->generation, position, limit, self->ring_bytes)) {
        *ret_header = header;
        return 0;
    }
    return ring_overtaken(self, position) ? MLKV_ABSENT : corrupt_frame(position);
}

int journal_read_frame(const journal *self, uint64_t position, uint64_t limit, mlkv_buffer *buffer,
                       journal_frame *ret_frame)
{
    frame_header header;
    int result = peek_header(self, position, limit, &header);
    if (result != 0)
        return result;
    size_t payload_size = header.size - FRAME_HEADER_SIZE;
    if (payload_size > VALUE_SIZE_SMALL && ring_overtaken(self, position))
        return MLKV_ABSENT;
    result = buffer_reserve(buffer, payload_size);
    if (result != 0)
        return result;
    WATCH_POINT(RING_PEEKED);
    words_load(buffer->data, ring_at(self, position) + FRAME_HEADER_SIZE, payload_size);
    if (ring_overtaken(self, position))
        return MLKV_ABSENT;
    buffer->size = payload_size;
    frame_describe(&header, buffer->data, ret_frame);
    return 0;
}

int journal_borrow_frame(const journal *self, uint64_t position, uint64_t limit,
                         journal_frame *ret_frame)
{
    frame_header header;
    int result = peek_header(self, position, limit, &header);
    if (result != 0)
        return result;
    if (ring_overtaken(self, position))
        return MLKV_ABSENT;
    frame_describe(&header, ring_at(self, position) + FRAME_HEADER_SIZE, ret_frame);
    return 0;
}

/* --- records --- */

typedef struct {
    size_t key_size;
    size_t value_size;
    uint32_t flags;
} record_header;

static record_header parse_record_header(uint64_t word)
{
    return (record_header){
        .key_size = word & 0xffff,
        .flags = (word >> 16) & 0xffff,
        .value_size = word >> 32,
    };
}

static bool record_header_valid(record_header header, size_t size_max)
{
    if (header.key_size == 0 || header.key_size > RECORD_KEY_SIZE_MAX ||
        (header.flags & ~(uint32_t)FRAME_DELETE) != 0)
        return false;
    if ((header.flags & FRAME_DELETE) != 0 && header.value_size != 0)
        return false;
    return frame_record_size(header.key_size, header.value_size) <= size_max;
}

int journal_next_record(const journal_frame *frame, size_t *offset, journal_record *ret_record)
{
    size_t at = *offset;
    if (at == frame->payload_size)
        return MLKV_ABSENT;
    size_t left = at < frame->payload_size ? frame->payload_size - at : 0;
    uint64_t position = frame->position + FRAME_HEADER_SIZE + at;
    if (left >= FRAME_RECORD_HEADER_SIZE) {
        const unsigned char *bytes = frame->payload + at;
        record_header header = parse_record_header(load_le64(bytes));
        if (record_header_valid(header, left)) {
            bytes += FRAME_RECORD_HEADER_SIZE;
            ret_record->key = slice_of(bytes, header.key_size);
            ret_record->value = slice_of(bytes + header.key_size, header.value_size);
            ret_record->is_delete = (header.flags & FRAME_DELETE) != 0;
            ret_record->position = position;
            *offset = at + frame_record_size(header.key_size, header.value_size);
            return 0;
        }
    }
    return error_set(MLKV_E_CORRUPT, "journal: a broken record at position %llu",
                     (unsigned long long)position);
}

int frame_check_records(const journal_frame *frame)
{
    size_t offset = 0;
    uint32_t count = 0;
    for (;;) {
        journal_record record;
        int result = journal_next_record(frame, &offset, &record);
        if (result < 0)
            return result;
        if (result == MLKV_ABSENT)
            break;
        count++;
    }
    if (count == frame->record_count)
        return 0;
    return error_set(MLKV_E_CORRUPT, "journal: %u records in the frame at %llu that claims %u",
                     (unsigned)count, (unsigned long long)frame->position,
                     (unsigned)frame->record_count);
}

/* Whether the shared bytes at an aligned place are those of the key. */
static bool shared_key_equal(const unsigned char *shared, mlkv_slice key)
{
    const unsigned char *bytes = key.data;
    size_t at = 0;
    for (; at + 8 <= key.size; at += 8)
        if (__atomic_load_n((const uint64_t *)(const void *)(shared + at), __ATOMIC_RELAXED) !=
            load_le64(bytes + at))
            return false;
    if (at == key.size)
        return true;
    uint64_t word = 0;
    memcpy(&word, bytes + at, key.size - at);
    uint64_t mask = (UINT64_C(1) << (8 * (key.size - at))) - 1;
    return (__atomic_load_n((const uint64_t *)(const void *)(shared + at), __ATOMIC_RELAXED) &
            mask) == word;
}

/* words_load from a place that need not be aligned: `skip` bytes behind an aligned one. */
static void shared_load_behind(void *to, const unsigned char *aligned, size_t skip, size_t size)
{
    aligned += skip & ~(size_t)7;
    skip &= 7;
    size_t first = 8 - skip < size ? 8 - skip : size;
    if (skip != 0) {
        uint64_t word = __atomic_load_n((const uint64_t *)(const void *)aligned, __ATOMIC_RELAXED);
        memcpy(to, (const unsigned char *)&word + skip, first);
        aligned += 8;
        to = (unsigned char *)to + first;
        size -= first;
    }
    words_load(to, aligned, size);
}

static int corrupt_record(uint64_t position)
{
    return error_set(MLKV_E_CORRUPT, "journal.ring: no valid record at position %llu",
                     (unsigned long long)position);
}

static record_header peek_record_header(const journal *self, uint64_t position)
{
    assert(position % 8 == 0);
    return parse_record_header(
        __atomic_load_n((const uint64_t *)(const void *)ring_at(self, position), __ATOMIC_RELAXED));
}

int journal_get_record(const journal *self, uint64_t position, mlkv_slice key,
                       mlkv_buffer *ret_value)
{
    const unsigned char *record = ring_at(self, position);
    record_header header = peek_record_header(self, position);
    if (!record_header_valid(header, self->ring_bytes / JOURNAL_FRAME_PARTS))
        return ring_overtaken(self, position) ? JOURNAL_LOST : corrupt_record(position);
    if (header.key_size != key.size || !shared_key_equal(record + FRAME_RECORD_HEADER_SIZE, key))
        return ring_overtaken(self, position) ? JOURNAL_LOST : JOURNAL_OTHER;
    if ((header.flags & FRAME_DELETE) != 0)
        return ring_overtaken(self, position) ? JOURNAL_LOST : JOURNAL_DELETED;
    if (header.value_size > VALUE_SIZE_SMALL && ring_overtaken(self, position))
        return JOURNAL_LOST;
    if (ret_value->capacity < header.value_size) {
        int result = buffer_reserve(ret_value, header.value_size);
        if (result != 0)
            return result;
    }
    WATCH_POINT(RING_PEEKED);
    if (header.value_size != 0)
        shared_load_behind(ret_value->data, record, FRAME_RECORD_HEADER_SIZE + key.size,
                           header.value_size);
    if (ring_overtaken(self, position))
        return JOURNAL_LOST;
    ret_value->size = header.value_size;
    return JOURNAL_FOUND;
}

int journal_get_record_key(const journal *self, uint64_t position, unsigned char ret_key[511],
                           size_t *ret_size, bool *ret_deleted)
{
    record_header header = peek_record_header(self, position);
    if (!record_header_valid(header, self->ring_bytes / JOURNAL_FRAME_PARTS))
        return ring_overtaken(self, position) ? JOURNAL_LOST : corrupt_record(position);
    WATCH_POINT(RING_PEEKED);
    words_load(ret_key, ring_at(self, position) + FRAME_RECORD_HEADER_SIZE, header.key_size);
    if (ring_overtaken(self, position))
        return JOURNAL_LOST;
    *ret_size = header.key_size;
    if (ret_deleted != NULL)
        *ret_deleted = (header.flags & FRAME_DELETE) != 0;
    return 0;
}
