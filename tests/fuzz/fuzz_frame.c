/* fuzz_frame.c - arbitrary bytes as frames: in a live ring, as a process reads them that catches up,
 * and in a dead one, as recovery does.
 *
 * The first byte chooses: bit 0, whether the frames' checksums are made right first (mutations
 * would else never get past them).
 *
 * What must hold for any input:
 *  1. Nothing is read outside the ring, the payload or the file (sanitizers watch).
 *  2. Each result is done, absent or corrupt; records lie within their payload, and their sizes add
 *     up to it.
 *  3. A recovery scan ends at or before one ring size, only frames with a right checksum are in
 *     it, and each of them can be read or is corrupt.
 */
#include "fuzz.h"
#include "journal/frame.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RING_SIZE = JOURNAL_RING_SIZE_MIN, POSITION = 3 * RING_SIZE, GENERATION = 77 };
enum { MEND = 1 };

static unsigned char ring[2 * RING_SIZE] __attribute__((aligned(64)));
static _Alignas(4096) journal_head head;
static char folder[64];
static int ring_file = -1;
static uint64_t records_seen, frames_scanned, frames_refused;

/* --- the place --- */

static void remove_folder(void)
{
    char path[100];
    snprintf(path, sizeof path, "%s/journal.ring", folder);
    (void)unlink(path);
    (void)rmdir(folder);
}

static void make_place(void)
{
    if (ring_file >= 0)
        return;
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/mlkv-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    char path[100];
    snprintf(path, sizeof path, "%s/journal.ring", folder);
    ring_file = open(path, O_RDWR | O_CREAT, 0600);
    REQUIRE(ring_file >= 0 && ftruncate(ring_file, RING_SIZE) == 0);
    REQUIRE(atexit(remove_folder) == 0);
}

/* --- frames --- */

/* Makes position, generation, chain and checksum of the frames right, as far as their sizes go. */
static void mend(unsigned char *bytes, size_t size)
{
    uint64_t chain = 0;
    for (size_t at = 0; at + FRAME_HEADER_SIZE <= size;) {
        frame_header header;
        memcpy(&header, bytes + at, sizeof header);
        if (header.size < FRAME_HEADER_SIZE || header.size > size - at || header.size % 8 != 0)
            return;
        header.position = POSITION + at;
        header.generation = GENERATION;
        header.chain = chain;
        header.checksum = chain = frame_checksum(&header, bytes + at + FRAME_HEADER_SIZE,
                                                 header.size - FRAME_HEADER_SIZE);
        memcpy(bytes + at, &header, sizeof header);
        at += header.size;
    }
}

static void walk_records(const journal_frame *frame)
{
    size_t offset = 0, used = 0;
    journal_record record;
    int result;
    while ((result = journal_next_record(frame, &offset, &record)) == 0) {
        const unsigned char *key = record.key.data, *value = record.value.data;
        REQUIRE(record.key.size >= 1 && record.key.size <= RECORD_KEY_SIZE_MAX);
        REQUIRE(key >= frame->payload && value == key + record.key.size);
        REQUIRE(value + record.value.size <= frame->payload + frame->payload_size);
        used += frame_record_size(record.key.size, record.value.size);
        REQUIRE(used == offset && offset <= frame->payload_size);
        REQUIRE(!record.is_delete || record.value.size == 0);
        records_seen++;
    }
    REQUIRE(result == MLKV_ABSENT || result == MLKV_E_CORRUPT);
    int checked = frame_check_records(frame);
    REQUIRE(checked == 0 || checked == MLKV_E_CORRUPT);
    REQUIRE(checked != 0 || result == MLKV_ABSENT);
}

/* As a living process reads them: bounds, no checksums. */
static void try_live(size_t size)
{
    static mlkv_buffer buffer, value;
    unsigned char key[511];
    size_t key_size;
    head.tail = head.reserved = POSITION + ((size + 7) & ~(size_t)7);
    journal live = {.head = &head,
                    .ring = ring,
                    .mask = RING_SIZE - 1,
                    .ring_bytes = RING_SIZE,
                    .generation = GENERATION};
    for (uint64_t at = POSITION; at < head.tail;) {
        journal_frame copied, borrowed;
        int result = journal_read_frame(&live, at, head.tail, &buffer, &copied);
        REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
        REQUIRE(journal_borrow_frame(&live, at, head.tail, &borrowed) == result);
        for (uint64_t record = at; record < at + 256 && record < head.tail; record += 8) {
            int found = journal_get_record(&live, record, slice_of("key", 3), &value);
            REQUIRE((found >= JOURNAL_FOUND && found <= JOURNAL_DELETED) ||
                    found == MLKV_E_CORRUPT);
            (void)journal_get_record_key(&live, record, key, &key_size, NULL);
        }
        if (result != 0)
            return;
        REQUIRE(copied.end > at && copied.end <= head.tail && copied.payload_size <= RING_SIZE / 4);
        walk_records(&copied);
        walk_records(&borrowed);
        at = copied.end;
    }
}

/* As recovery reads them: everything is checked. */
static void try_dead(void)
{
    journal_scan *scan = NULL;
    uint64_t tail = 0, next_id;
    REQUIRE(journal_scan_open(folder, GENERATION, POSITION, 0, &scan, &tail, &next_id) == 0);
    REQUIRE(tail >= POSITION && tail <= POSITION + RING_SIZE && tail % 8 == 0);
    uint64_t at = POSITION;
    journal_frame frame;
    int result = 0;
    while (at < tail && (result = journal_scan_frame(scan, at, &frame)) == 0) {
        REQUIRE(frame.position == at && frame.end > at && frame.end <= tail);
        walk_records(&frame);
        at = frame.end;
        frames_scanned++;
    }
    if (result == 0)
        REQUIRE(journal_scan_frame(scan, tail, &frame) == MLKV_ABSENT);
    else
        REQUIRE(result == MLKV_E_CORRUPT);
    frames_refused += result != 0;
    journal_scan_close(scan);
}

static void try_ring(const uint8_t *data, size_t size, bool mended)
{
    if (size > RING_SIZE)
        size = RING_SIZE;
    memset(ring, 0, RING_SIZE);
    bytes_copy(ring, data, size);
    if (mended)
        mend(ring, size);
    REQUIRE(pwrite(ring_file, ring, RING_SIZE, 0) == RING_SIZE);
    memcpy(ring + RING_SIZE, ring, RING_SIZE);
    try_live(size);
    try_dead();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    make_place();
    try_ring(data + 1, size - 1, (data[0] & MEND) != 0);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

/* A record at the end of *seed. */
static uint32_t add_record(mlkv_buffer *seed, const char *key, size_t value_size, uint16_t flags)
{
    unsigned char record[1024] = {0};
    uint16_t key_size = (uint16_t)strlen(key);
    uint32_t size32 = (uint32_t)value_size;
    memcpy(record, &key_size, 2);
    memcpy(record + 2, &flags, 2);
    memcpy(record + 4, &size32, 4);
    memcpy(record + 8, key, key_size);
    memset(record + 8 + key_size, 'v', value_size);
    REQUIRE(buffer_append(seed, record, frame_record_size(key_size, value_size)) == 0);
    return 1;
}

static void add_frame(mlkv_buffer *seed, unsigned number)
{
    frame_header header = {.magic = FRAME_MAGIC,
                           .kind = number == 2 ? FRAME_MARKER : FRAME_BATCH,
                           .generation = GENERATION,
                           .next_id = 9};
    size_t start = seed->size;
    REQUIRE(buffer_append(seed, &header, sizeof header) == 0);
    if (number != 2) {
        header.record_count += add_record(seed, "key", 10 + number * 100, 0);
        header.record_count += add_record(seed, "Ekey of an element", 0, FRAME_DELETE);
        header.record_count += add_record(seed, "x", number, 0);
    }
    header.size = seed->size - start;
    memcpy((unsigned char *)seed->data + start, &header, sizeof header);
}

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const unsigned char choices[] = {MEND, MEND, 0};
    if (number >= sizeof choices)
        return false;
    seed->size = 0;
    REQUIRE(buffer_append(seed, &choices[number], 1) == 0);
    for (unsigned i = 0; i < 4; i++)
        add_frame(seed, i + number);
    if (number == 2)
        mend((unsigned char *)seed->data + 1, seed->size - 1);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_frame: %llu records, %llu frames scanned, %llu broken inside\n",
            (unsigned long long)records_seen, (unsigned long long)frames_scanned,
            (unsigned long long)frames_refused);
    REQUIRE(records_seen > 1000 && frames_scanned > 1000 && frames_refused > 100);
}

#endif
