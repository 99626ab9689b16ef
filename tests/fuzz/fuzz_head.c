/* fuzz_head.c - arbitrary bytes as journal.head: read from a dead journal, and mapped as a living one.
 *
 * The first byte chooses: bit 0, whether the constant part is made believable first (magic, version, what the
 * machine says, store, checksum), or mutations would never get past it. Ring and log stand beside the
 * head, with the smallest size that there is.
 *
 * What must hold for any input:
 *  1. Nothing is read outside the file, and nothing mapped that a size in it asks for and the files do not have.
 *  2. What is accepted as a header has a ring size that can be and positions that can be; what is refused
 *     gives none.
 *  3. A head that is opened is this store's; what it says about positions leads to reads of the ring that
 *     are done, overtaken or corrupt.
 */
#include "fuzz.h"
#include "journal/frame.h"

#include <fcntl.h>
#include <unistd.h>

enum { RING_SIZE = JOURNAL_RING_SIZE_MIN, GENERATION = 77, BASE = 4096, MEND = 1 };
enum { LOOKS_MAX = 8 };

static const unsigned char uuid[16] = "of the fuzzer";
static char folder[64], head_path[100];
static journal_identity true_identity;
static uint64_t accepted, refused, opened;

static void remove_folder(void)
{
    static const char *const names[] = {"journal.ring", "journal.log", "journal.head"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[100];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void make_place(void)
{
    if (folder[0] != '\0')
        return;
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/mlkv-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    REQUIRE(atexit(remove_folder) == 0);
    REQUIRE(journal_create(folder, uuid, GENERATION, BASE, 9, RING_SIZE) == 0);
    snprintf(head_path, sizeof head_path, "%s/journal.head", folder);
    int file = open(head_path, O_RDONLY);
    REQUIRE(file >= 0 && read(file, &true_identity, sizeof true_identity) == sizeof true_identity);
    (void)close(file);
}

static void put_file(const void *bytes, size_t size)
{
    int file = open(head_path, O_RDWR | O_TRUNC);
    REQUIRE(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    (void)close(file);
}

/* All but generation, base and ring size. */
static void mend(unsigned char *bytes)
{
    journal_identity identity;
    memcpy(&identity, bytes, sizeof identity);
    identity.magic = true_identity.magic;
    identity.version = true_identity.version;
    identity.mutex_size = true_identity.mutex_size;
    identity.page_size = true_identity.page_size;
    identity.head_size = true_identity.head_size;
    identity.namespace_device = true_identity.namespace_device;
    identity.namespace_inode = true_identity.namespace_inode;
    memcpy(identity.uuid, uuid, sizeof uuid);
    identity.checksum =
        hash_checksum(&identity, offsetof(journal_identity, checksum), JOURNAL_MAGIC);
    memcpy(bytes, &identity, sizeof identity);
}

static void try_dead(void)
{
    journal_header header = {.ring_bytes = 1};
    int result = journal_read_header(folder, &header);
    if (result != 0) {
        REQUIRE(result == MLKV_ABSENT || result == MLKV_E_VERSION);
        REQUIRE(header.ring_bytes == 1);
        refused++;
        return;
    }
    REQUIRE(ring_size_valid(header.ring_bytes));
    REQUIRE(header.tail % 8 == 0 && header.tail <= JOURNAL_POSITION_MAX);
    REQUIRE(header.applied % 8 == 0 && header.applied <= JOURNAL_POSITION_MAX);
    int checked = journal_check_header(&header);
    REQUIRE(checked == 0 || checked == MLKV_E_VERSION);
    checked = journal_check_files(folder, header.ring_bytes);
    REQUIRE(checked == (header.ring_bytes == RING_SIZE ? 0 : MLKV_E_MISMATCH));
    accepted++;
}

/* Reads what a process would that has just come: frames from `applied` to the tail. */
static void look_around(const journal *self)
{
    static mlkv_buffer buffer;
    uint64_t tail = journal_tail(self), at = journal_applied(self);
    journal_frame frame;
    (void)journal_check(self);
    (void)journal_retired(self);
    REQUIRE(journal_ring_bytes(self) == RING_SIZE);
    if (at % 8 != 0 || tail % 8 != 0 || tail > JOURNAL_POSITION_MAX)
        return; /* a living process wrote these; a dead one's are checked above */
    for (int i = 0; i < LOOKS_MAX && at < tail; i++) {
        int result = journal_read_frame(self, at, tail, &buffer, &frame);
        REQUIRE(result == 0 || result == MLKV_ABSENT || result == MLKV_E_CORRUPT);
        if (result != 0)
            return;
        at = frame.end;
    }
}

static void try_living(bool read_only)
{
    journal *self = NULL;
    int result = journal_open(folder, uuid, read_only, &self);
    if (result != 0) {
        REQUIRE(self == NULL && result < 0);
        return;
    }
    opened++;
    look_around(self);
    journal_close(self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    make_place();
    bool mended = (data[0] & MEND) != 0;
    data++;
    size--;
    unsigned char bytes[JOURNAL_HEAD_SIZE] = {0};
    size = size > sizeof bytes ? sizeof bytes : size;
    bytes_copy(bytes, data, size);
    if (mended)
        mend(bytes);
    put_file(bytes, mended ? sizeof bytes : size);
    try_dead();
    try_living(true);
    try_living(false);
    int version = journal_check_version(folder);
    REQUIRE(version == 0 || version == MLKV_E_VERSION);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const unsigned char choices[] = {MEND, MEND, 0};
    if (number >= sizeof choices)
        return false;
    make_place();
    journal_head made = {
        .identity = {.generation = GENERATION, .base = BASE, .ring_bytes = RING_SIZE},
        .tail = number == 1 ? 3 * BASE : BASE,
        .reserved = number == 1 ? 3 * BASE : BASE,
        .applied = BASE,
        .synced = BASE,
        .next_id = 9,
    };
    if (number == 2)
        mend((unsigned char *)&made);
    seed->size = 0;
    REQUIRE(buffer_append(seed, &choices[number], 1) == 0);
    REQUIRE(buffer_append(seed, &made, offsetof(journal_head, rest)) == 0);
    if (number == 2)
        REQUIRE(buffer_append(seed, made.rest, sizeof made.rest) == 0);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_head: %llu accepted, %llu refused, %llu opened\n",
            (unsigned long long)accepted, (unsigned long long)refused, (unsigned long long)opened);
    REQUIRE(accepted > 1000 && refused > 1000 && opened > 1000);
}

#endif
