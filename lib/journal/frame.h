/* frame.h - what the journal's own files share: the bytes of the header file, the bytes of a frame,
 * and an opened journal. No other part includes it.
 *
 * journal.head, one page, little-endian (offset, size, name):
 *
 *      0   8  magic "mlkvjrnl"          constant from here ...
 *      8   4  protocol: the version of this layout, and of all that is done through it
 *     12   4  sizeof(pthread_mutex_t): the locks' form
 *     16   4  page size
 *     20   4  size of this file
 *     24  16  device and inode of the pid namespace: a robust lock names its owner by thread id
 *     40  16  uuid of the store
 *     56   8  generation
 *     64   8  base: where this generation began
 *     72   8  ring size
 *     80   8  checksum of bytes 0..79   ... to here
 *    128 136  poison: flag (4); retired (4): a newer head took this one's place; reason (128)
 *    384   8  tail
 *    512   8  reserved
 *    640   8  applied
 *    768  24  synced; zero_start, zeroed: journal.log is written once in [zero_start, zeroed)
 *    896  56  writer lock (40), epoch (8), repair (8)
 *    960  40  chain slots: 2 x (end position, checksum); next_id
 *   1024  40  applier lock
 *   1152  40  sync lock
 *   1216   8  sync round (4): the futex that waiters for durability sleep on; woken (4)
 *   1280  24  clock: the latest time that anybody acted on (ms since 1970 in 48 bits, 16 of check above);
 *             expiry due, expiry notes: when to look for what expires next
 *   1408  12  watch epoch: when somebody waited for a change last (4); watch round: the futex (4); watch any (4)
 *   1536 1024 watch stamps: for each of 512 sets of records, the epoch (2) in which one was waited for last
 *
 * The constant part, and where `retired`, tail, reserved and applied stand, are the same in every
 * version: by them a library of one version tells whether a store that another one left is complete,
 * and retires its journal.
 *
 * Words that different processes write stand 128 bytes apart, not 64: processors fetch lines in
 * pairs. What only the holder of the writer lock touches stands together, so that a change of
 * writer moves few lines.
 *
 * A frame (all of it a multiple of 8, at a position that is one):
 *
 *      0   4  magic "MLKF"
 *      4   4  kind: FRAME_BATCH or FRAME_MARKER
 *      8   8  position of this frame
 *     16   8  size of the whole frame
 *     24   4  number of records
 *     28   4  zero
 *     32   8  generation
 *     40   8  chain: the checksum of the frame before, 0 for the first of a generation
 *     48   8  next life id
 *     56   8  checksum: of the payload, seeded with the generation; then of bytes 0..55, seeded
 *             with that
 *     64   .  records: key size (2), flags (2), value size (4), key, value, zeros up to 8
 */
#ifndef MLKV_JOURNAL_FRAME_H
#define MLKV_JOURNAL_FRAME_H

#include "base/hash.h"
#include "base/record.h"
#include "base/words.h"
#include "journal/journal.h"

#if !defined(MLKV_FAULTS) || !defined(MLKV_PROTOCOL_TEST) /* a test's second build */
#undef MLKV_PROTOCOL_TEST
#define MLKV_PROTOCOL_TEST 1
#endif

enum {
    /* The protocol: the bytes of the journal's files, and what living processes do to each other
     * through them. Who speaks another one does not come in. */
    JOURNAL_VERSION = MLKV_PROTOCOL_TEST,
    JOURNAL_HEAD_SIZE = 4096,
    JOURNAL_BLOCK_SIZE = 4096, /* what O_DIRECT wants aligned, on every disk we know */
    JOURNAL_LINE_SIZE = 128,
    JOURNAL_REASON_SIZE = 128,
    JOURNAL_RING_SIZE_MIN = 64 * 1024, /* the largest page size, so that it can be mapped twice */
    JOURNAL_WATCH_STAMPS = 512,
    JOURNAL_FRAME_PARTS = 4, /* a frame takes at most this part of the ring */
};

#define JOURNAL_MAGIC         UINT64_C(0x6c6e726a766b6c6d) /* "mlkvjrnl" */
#define FRAME_MAGIC           UINT32_C(0x464b4c4d)         /* "MLKF" */
#define JOURNAL_RING_SIZE_MAX (UINT64_C(1) << 40) /* twice of it is still mappable everywhere */
/* Positions end here: sums with a ring size cannot overflow. At 10 GB/s that takes 14 years. */
#define JOURNAL_POSITION_MAX (UINT64_C(1) << 62)
/* Above every position and a lap: by R4 a reader of a retired journal believes nothing of its ring.
 */
#define RESERVED_RETIRED (UINT64_C(1) << 63)

typedef struct {
    uint64_t magic;
    uint32_t version;
    uint32_t mutex_size;
    uint32_t page_size;
    uint32_t head_size;
    uint64_t namespace_device;
    uint64_t namespace_inode;
    unsigned char uuid[16];
    uint64_t generation;
    uint64_t base;
    uint64_t ring_bytes;
    uint64_t checksum;
} journal_identity;

_Static_assert(sizeof(journal_identity) == 88 && offsetof(journal_identity, checksum) == 80,
               "the header file's layout");

typedef struct {
    uint64_t position_end; /* of the frame whose checksum this is */
    uint64_t checksum;
} journal_chain;

enum { POISON_NONE = 0, POISON_BEGUN = 1, POISON_TOLD = 2 };

typedef struct {
    journal_identity identity;
    _Alignas(JOURNAL_LINE_SIZE) uint32_t poison; /* POISON_TOLD: the reason is there, too */
    uint32_t retired; /* 1: never used for writing again, and reserved is RESERVED_RETIRED */
    uint64_t reason[JOURNAL_REASON_SIZE / 8];
    _Alignas(JOURNAL_LINE_SIZE) uint64_t tail;
    _Alignas(JOURNAL_LINE_SIZE) uint64_t reserved;
    _Alignas(JOURNAL_LINE_SIZE) uint64_t applied;
    _Alignas(JOURNAL_LINE_SIZE) uint64_t synced;
    uint64_t zero_start; /* under the sync lock */
    uint64_t zeroed;
    _Alignas(JOURNAL_LINE_SIZE) shared_lock writer_lock;
    uint64_t epoch;
    uint64_t repair; /* an owner died, and journal_take_over has not succeeded since */
    _Alignas(64) journal_chain chain[2];
    uint64_t next_id;
    _Alignas(JOURNAL_LINE_SIZE) shared_lock applier_lock;
    _Alignas(JOURNAL_LINE_SIZE) shared_lock sync_lock;
    _Alignas(64) uint32_t sync_round;
    uint32_t sync_woken; /* how many slept on it when it was raised last */
    _Alignas(JOURNAL_LINE_SIZE) uint64_t clock;
    int64_t expiry_due;
    uint64_t expiry_notes;
    _Alignas(JOURNAL_LINE_SIZE) uint32_t watch_epoch;
    uint32_t watch_round;
    uint32_t watch_any; /* as watch_epoch, for those who wait for any change */
    _Alignas(JOURNAL_LINE_SIZE) uint16_t watch_stamps[JOURNAL_WATCH_STAMPS];
    _Alignas(
        JOURNAL_LINE_SIZE) unsigned char rest[JOURNAL_HEAD_SIZE - 1536 - 2 * JOURNAL_WATCH_STAMPS];
} journal_head;

_Static_assert(sizeof(journal_head) == JOURNAL_HEAD_SIZE, "the header file's layout");
_Static_assert(offsetof(journal_head, poison) == 128 && offsetof(journal_head, reason) == 136,
               "the header file's layout");
_Static_assert(offsetof(journal_head, tail) == 384 && offsetof(journal_head, reserved) == 512 &&
                   offsetof(journal_head, applied) == 640 && offsetof(journal_head, synced) == 768,
               "the header file's layout");
#if defined(__x86_64__)
_Static_assert(sizeof(shared_lock) == 40 && offsetof(journal_head, epoch) == 936,
               "the header file's layout");
#endif
_Static_assert(offsetof(journal_head, writer_lock) == 896 && offsetof(journal_head, chain) == 960 &&
                   offsetof(journal_head, applier_lock) == 1024 &&
                   offsetof(journal_head, sync_lock) == 1152 &&
                   offsetof(journal_head, sync_round) == 1216 &&
                   offsetof(journal_head, clock) == 1280 &&
                   offsetof(journal_head, watch_epoch) == 1408 &&
                   offsetof(journal_head, watch_stamps) == 1536,
               "the header file's layout");

typedef struct {
    uint32_t magic;
    uint32_t kind;
    uint64_t position;
    uint64_t size;
    uint32_t record_count;
    uint32_t unused;
    uint64_t generation;
    uint64_t chain;
    uint64_t next_id;
    uint64_t checksum;
} frame_header;

_Static_assert(sizeof(frame_header) == FRAME_HEADER_SIZE, "a frame's layout");
_Static_assert(offsetof(frame_header, position) == 8 && offsetof(frame_header, size) == 16 &&
                   offsetof(frame_header, record_count) == 24 &&
                   offsetof(frame_header, generation) == 32 &&
                   offsetof(frame_header, chain) == 40 && offsetof(frame_header, next_id) == 48 &&
                   offsetof(frame_header, checksum) == 56,
               "a frame's layout");

struct journal {
    journal_head *head;
    unsigned char *ring; /* mapped twice in a row: [0, 2 * ring_bytes) */
    uint64_t mask;       /* ring_bytes - 1 */
    size_t ring_bytes;
    uint64_t generation;
    bool read_only;
    bool durable;          /* not in memory only (tmpfs) */
    int log_fd;            /* -1 if read_only */
    bool log_direct;       /* O_DIRECT works so far; under the sync lock */
    unsigned char *bounce; /* aligned, JOURNAL_BOUNCE_SIZE; under the sync lock */
};

/* One write to the log. More would not be faster, and each process holds one. */
enum { JOURNAL_BOUNCE_SIZE = 1024 * 1024 };

static inline unsigned char *ring_at(const journal *self, uint64_t position)
{
    return self->ring + (position & self->mask);
}

/* R4, after a copy: whether bytes from `position` on may have been overwritten meanwhile. Pairs
 * with the release fence between the raise of reserved and the first byte in journal_append. */
static inline bool ring_overtaken(const journal *self, uint64_t position)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    uint64_t reserved = __atomic_load_n(&self->head->reserved, __ATOMIC_RELAXED);
    return reserved > position + self->ring_bytes;
}

/* --- frame.c --- */

/* The checksum that a frame must carry. */
uint64_t frame_checksum(const frame_header *header, const void *payload, size_t payload_size);

/* Whether a header can be that of a frame at `position` that ends at or before `limit`: bounds
 * everything, believes nothing. */
bool frame_header_valid(const frame_header *header, uint64_t generation, uint64_t position,
                        uint64_t limit, size_t ring_bytes);

/* Fills what the header says; the payload is the caller's. */
void frame_describe(const frame_header *header, const void *payload, journal_frame *ret_frame);

/* Walks all records: their number and their forms. 0 or MLKV_E_CORRUPT. */
int frame_check_records(const journal_frame *frame);

/* --- files.c --- */

/* Maps ring_bytes of fd twice in a row; NULL with errno set. ring_unmap accepts NULL. */
unsigned char *ring_map(int fd, size_t ring_bytes, int protection);
void ring_unmap(unsigned char *ring, size_t ring_bytes);

/* Opens a file of the store's folder (O_CLOEXEC, O_NOFOLLOW, mode 0600); -1 with errno set. */
int journal_open_file(const char *folder, const char *name, int flags);

/* A ring size that we make and accept: a power of two within the limits. */
static inline bool ring_size_valid(uint64_t size)
{
    return size >= JOURNAL_RING_SIZE_MIN && size <= JOURNAL_RING_SIZE_MAX &&
           (size & (size - 1)) == 0;
}

#endif
