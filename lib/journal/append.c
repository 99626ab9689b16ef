/* append.c - how a frame becomes visible, and how a dead writer's half frame is given up.
 *
 * The states of the bytes behind tail, and what moves them on:
 *
 *   free       --reserved raised-->    reserved   readers of the lap before know them lost (R4)
 *   reserved   --payload, header-->    written    whole, but nobody looks above tail
 *   written    --chain slot-->         chained    the next frame will find this one's checksum
 *   chained    --tail stored-->        visible    to all processes at once (I2)
 *
 * A writer that dies anywhere before the last step has written nothing: tail is where it was, the
 * next writer begins there again, and its chain slot is the one that names tail. `reserved` is not
 * lowered then: readers may have seen bytes of the lap before destroyed.
 *
 * Invariants:
 *  1. reserved is raised before the first byte is written, and a release fence stands between.
 *  2. Of the two chain slots one names tail (its position_end) at every moment; only the other one
 *     is written, position_end last.
 *  3. Nothing here fails, allocates or calls the system: a caller that has applied its change to
 * its own memory cannot be left with it.
 *
 * Locks: the writer lock, held by the caller throughout.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "base/fault.h"
#include "journal/frame.h"

#include <assert.h>

size_t journal_frame_size_max(const journal *self)
{
    return self->ring_bytes / JOURNAL_FRAME_PARTS;
}

/* Where reserved will stand after an append of this size. After a death it may be above tail. */
static uint64_t reserved_after(const journal *self, size_t frame_size)
{
    uint64_t end = __atomic_load_n(&self->head->tail, __ATOMIC_RELAXED) + frame_size;
    uint64_t reserved = __atomic_load_n(&self->head->reserved, __ATOMIC_RELAXED);
    return reserved > end ? reserved : end;
}

bool journal_has_room(const journal *self, size_t frame_size)
{
    return reserved_after(self, frame_size) - journal_applied(self) <= self->ring_bytes;
}

/* The slot that names `position`, for reading; the other is free to write. */
static unsigned chain_slot(const journal_head *head, uint64_t position)
{
    bool first = __atomic_load_n(&head->chain[0].position_end, __ATOMIC_RELAXED) == position;
    assert(first || __atomic_load_n(&head->chain[1].position_end, __ATOMIC_RELAXED) == position);
    return first ? 0 : 1;
}

/* The frame's bytes; in two halves, so that a test can kill the writer between them. */
static void write_frame(unsigned char *to, const frame_header *header, mlkv_slice payload)
{
    size_t half = (payload.size / 2) & ~(size_t)7;
    unsigned char *to_payload = to + FRAME_HEADER_SIZE;
    if (payload.size != 0)
        words_store(to_payload, payload.data, half);
    FAULT_POINT(APPEND_HALF);
    if (payload.size != 0)
        words_store(to_payload + half, (const unsigned char *)payload.data + half,
                    payload.size - half);
    words_store(to, header, sizeof *header);
}

uint64_t journal_append(journal *self, uint32_t kind, uint32_t record_count, mlkv_slice payload)
{
    journal_head *head = self->head;
    size_t size = FRAME_HEADER_SIZE + payload.size;
    assert(!self->read_only && payload.size % 8 == 0 && size <= journal_frame_size_max(self));
    assert(journal_has_room(self, size));

    uint64_t tail = __atomic_load_n(&head->tail, __ATOMIC_RELAXED);
    uint64_t end = tail + size;
    unsigned slot = chain_slot(head, tail);
    frame_header header = {
        .magic = FRAME_MAGIC,
        .kind = kind,
        .position = tail,
        .size = size,
        .record_count = record_count,
        .generation = self->generation,
        .chain = __atomic_load_n(&head->chain[slot].checksum, __ATOMIC_RELAXED),
        .next_id = __atomic_load_n(&head->next_id, __ATOMIC_RELAXED),
    };
    /* over the caller's bytes: the ring is not read back */
    header.checksum = frame_checksum(&header, payload.data, payload.size);

    __atomic_exchange_n(&head->reserved, reserved_after(self, size), __ATOMIC_ACQ_REL);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    FAULT_POINT(APPEND_RESERVED);
    write_frame(ring_at(self, tail), &header, payload);
    FAULT_POINT(APPEND_WRITTEN);
    journal_chain *next = &head->chain[slot ^ 1U];
    __atomic_store_n(&next->checksum, header.checksum, __ATOMIC_RELAXED);
    __atomic_store_n(&next->position_end, end, __ATOMIC_RELEASE);
    FAULT_POINT(APPEND_CHAINED);
    __atomic_store_n(&head->tail, end, __ATOMIC_RELEASE);
    FAULT_POINT(APPEND_VISIBLE);
    return end;
}

int journal_take_over(journal *self, uint64_t lmdb_applied)
{
    uint64_t tail = journal_tail(self);
    if (lmdb_applied > tail) {
        if (lmdb_applied - tail != FRAME_HEADER_SIZE)
            return error_set(MLKV_E_CORRUPT,
                             "LMDB is at %llu and the journal ends at %llu: no marker between them",
                             (unsigned long long)lmdb_applied, (unsigned long long)tail);
        /* all that is visible is in LMDB then, so the marker has room */
        journal_raise_applied(self, tail);
        (void)journal_append(self, FRAME_MARKER, 0, slice_of(NULL, 0));
    }
    __atomic_store_n(&self->head->repair, 0, __ATOMIC_RELAXED);
    return 0;
}
