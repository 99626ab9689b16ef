/* scan.c - recovery: which frames a dead journal holds.
 *
 * After the death of all processes the ring is whole (it is the page cache's); after a power cut
 * its file holds whatever the kernel came to write, and journal.log holds what was synced. Both are
 * scanned alike. The log has only frames that had been visible, so it is believed as far as it
 * goes; the ring is believed if it goes on from there. Where they differ the ring is wrong: a
 * writer that was killed had written a frame that nobody saw, the next one wrote another over it,
 * which was synced, and of that the kernel had not written the ring's pages when the power went.
 *
 * Nothing in the files is trusted (R6). From the position that LMDB has applied, a frame belongs to
 * the chain if its header names that position, this generation and the checksum of the frame
 * before, if all its sizes are within bounds, and if its own checksum holds. The first that fails
 * ends the chain. The head's words are not looked at, nor is the ring size taken from there: it is
 * the file's.
 *
 * Invariants:
 *  1. At most one ring size behind `from` is scanned: what is further on cannot be there.
 *  2. A frame whose checksum holds but whose records have no form is MLKV_E_CORRUPT when it is
 * read: somebody wrote it so, and dropping it would lose data silently.
 *
 * No locks: the caller is alone in the store.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "journal/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal_scan {
    unsigned char *ring; /* mapped twice in a row, read-only */
    size_t ring_bytes;
    uint64_t generation;
    uint64_t from, tail;
    uint64_t chain;   /* checksum of the last frame; 0: none */
    uint64_t next_id; /* of the last frame; 0: none */
    bool agrees;      /* it came by the end of the other file's chain, with the same checksum */
};

/* Looks at the frame at `position`: true if it is whole and ends at or before `limit`. */
static bool check_frame(const journal_scan *self, uint64_t position, uint64_t limit,
                        frame_header *ret_header, const unsigned char **ret_payload)
{
    const unsigned char *bytes = self->ring + (position & (self->ring_bytes - 1));
    memcpy(ret_header, bytes, sizeof *ret_header);
    if (!frame_header_valid(ret_header, self->generation, position, limit, self->ring_bytes))
        return false;
    *ret_payload = bytes + FRAME_HEADER_SIZE;
    return frame_checksum(ret_header, *ret_payload, ret_header->size - FRAME_HEADER_SIZE) ==
           ret_header->checksum;
}

/* Follows the chain from `from` as far as it holds. `other` has been followed; NULL: none. */
static void follow(journal_scan *self, uint64_t from_chain, const journal_scan *other)
{
    uint64_t limit = self->from + self->ring_bytes;
    uint64_t chain = from_chain;
    bool chain_known = from_chain != 0;
    self->tail = self->from;
    self->agrees = other == NULL || other->tail == self->from;
    for (;;) {
        frame_header header;
        const unsigned char *payload;
        if (!check_frame(self, self->tail, limit, &header, &payload))
            return;
        if (chain_known && header.chain != chain)
            return;
        chain = header.checksum;
        chain_known = true;
        self->tail += header.size;
        self->chain = header.checksum;
        self->next_id = header.next_id;
        if (other != NULL && self->tail == other->tail)
            self->agrees = self->chain == other->chain;
    }
}

/* Maps one file, if it is there and has a ring's size. 0, MLKV_ABSENT, MLKV_E_CORRUPT (its size is
 * none of ours), or a system error. */
static int map_file(const char *folder, const char *name, journal_scan *self)
{
    int fd = journal_open_file(folder, name, O_RDONLY);
    if (fd < 0 && errno == ENOENT)
        return error_set(MLKV_ABSENT, "%s: there is none", name);
    if (fd < 0)
        return error_set_system(errno, "opening %s/%s", folder, name);
    int result = 0;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        result = error_set_system(errno, "looking at %s/%s", folder, name);
    } else if (!S_ISREG(status.st_mode) || !ring_size_valid((uint64_t)status.st_size)) {
        result = error_set(MLKV_E_CORRUPT, "%s: %lld bytes long, which no ring has", name,
                           (long long)status.st_size);
    } else {
        self->ring_bytes = (size_t)status.st_size;
        self->ring = ring_map(fd, self->ring_bytes, PROT_READ);
        if (self->ring == NULL)
            result = error_set_system(errno, "mapping %s/%s", folder, name);
    }
    (void)close(fd);
    return result;
}

/* Follows both, as far as they are there; the one to believe. */
static journal_scan *better_of(journal_scan *log, journal_scan *ring, uint64_t from_chain)
{
    if (log->ring != NULL)
        follow(log, from_chain, NULL);
    if (ring->ring != NULL)
        follow(ring, from_chain, log->ring != NULL ? log : NULL);
    if (log->ring == NULL || ring->ring == NULL)
        return log->ring != NULL ? log : ring;
    return ring->agrees && ring->tail > log->tail ? ring : log;
}

int journal_scan_open(const char *folder, uint64_t generation, uint64_t from, uint64_t from_chain,
                      journal_scan **ret_scan, uint64_t *ret_tail, uint64_t *ret_next_id)
{
    if (from % 8 != 0 || from > JOURNAL_POSITION_MAX)
        return error_set(MLKV_E_CORRUPT, "LMDB's applied position %llu is no journal position",
                         (unsigned long long)from);
    journal_scan *self = NULL;
    journal_scan files[2] = {{.generation = generation, .from = from},
                             {.generation = generation, .from = from}};
    static const char *const names[2] = {"journal.ring", "journal.log"};
    int results[2];
    int result = 0;
    for (int i = 0; i < 2; i++) {
        results[i] = map_file(folder, names[i], &files[i]);
        if (results[i] < 0 && results[i] != MLKV_E_CORRUPT) {
            result = results[i];
            goto done; /* it may be there and not be readable now: no reason to go on without */
        }
    }
    if (results[0] != 0 && results[1] != 0) {
        result = results[0] < 0 || results[1] < 0
                     ? error_set(MLKV_E_CORRUPT, "journal.ring and journal.log: no usable size")
                     : error_set(MLKV_ABSENT, "journal.ring and journal.log: there are none");
        goto done;
    }
    self = malloc(sizeof *self);
    if (self == NULL) {
        result = error_set_memory("a journal scan");
        goto done;
    }
    journal_scan *best = better_of(&files[1], &files[0], from_chain);
    *self = *best;
    best->ring = NULL; /* moved */
    *ret_scan = self;
    *ret_tail = self->tail;
    *ret_next_id = self->next_id;
done:
    ring_unmap(files[0].ring, files[0].ring_bytes);
    ring_unmap(files[1].ring, files[1].ring_bytes);
    return result;
}

int journal_scan_frame(journal_scan *self, uint64_t position, journal_frame *ret_frame)
{
    frame_header header;
    const unsigned char *payload;
    if (position == self->tail)
        return MLKV_ABSENT;
    if (position % 8 != 0 || position < self->from || position > self->tail ||
        !check_frame(self, position, self->tail, &header, &payload))
        return error_set(MLKV_E_CORRUPT, "journal: no valid frame at position %llu",
                         (unsigned long long)position);
    journal_frame frame;
    frame_describe(&header, payload, &frame);
    int result = frame_check_records(&frame);
    if (result == 0)
        *ret_frame = frame;
    return result;
}

void journal_scan_close(journal_scan *self)
{
    if (self == NULL)
        return;
    ring_unmap(self->ring, self->ring_bytes);
    free(self);
}
