/* fixture.h - what the journal's tests share: a journal in a folder of its own, frames to append,
 * children to kill, and files to damage. */
#ifndef MLKV_TESTS_JOURNAL_FIXTURE_H
#define MLKV_TESTS_JOURNAL_FIXTURE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/fault.h"
#include "harness.h"
#include "journal/frame.h"

#include <signal.h>

enum { TEST_RING = 64 * 1024 };
enum { TEST_GENERATION = 77, TEST_LOCK_MS = 60000 };

static const unsigned char test_uuid[16] = "fifteen letters";

/* A new journal from `base` on in `folder`, opened. */
static inline journal *make_journal(const char *folder, uint64_t base)
{
    journal *self = NULL;
    OK(journal_create(folder, test_uuid, TEST_GENERATION, base, 1000, TEST_RING));
    OK(journal_open(folder, test_uuid, false, &self));
    return self;
}

/* Adds one encoded record to a payload. value.data NULL: a delete. */
static inline void put_record(mlkv_buffer *payload, mlkv_slice key, mlkv_slice value)
{
    size_t size = frame_record_size(key.size, value.size);
    unsigned char *to = buffer_extend(payload, size);
    ck_assert_ptr_nonnull(to);
    memset(to, 0, size);
    uint16_t key_size = (uint16_t)key.size, flags = value.data == NULL ? FRAME_DELETE : 0;
    memcpy(to, &key_size, 2);
    memcpy(to + 2, &flags, 2);
    store_le32(to + 4, (uint32_t)value.size);
    bytes_copy(to + 8, key.data, key.size);
    bytes_copy(to + 8 + key.size, value.data, value.size);
}

/* Appends a frame of one record, draining (applied = tail) if there is no room. The writer lock is
 * not taken. Returns the record's position. */
static inline uint64_t append_one(journal *self, mlkv_slice key, mlkv_slice value)
{
    mlkv_buffer payload = {0};
    put_record(&payload, key, value);
    if (!journal_has_room(self, FRAME_HEADER_SIZE + payload.size))
        journal_raise_applied(self, journal_tail(self));
    ck_assert(journal_has_room(self, FRAME_HEADER_SIZE + payload.size));
    uint64_t end = journal_append(self, FRAME_BATCH, 1, slice_of_buffer(&payload));
    uint64_t record = end - payload.size;
    mlkv_buffer_free(&payload);
    return record;
}

/* A frame whose only record is "k<number>" -> size bytes made of number. */
static inline uint64_t append_number(journal *self, unsigned number, size_t size)
{
    char key[32];
    unsigned char value[TEST_RING / 4];
    ck_assert_uint_le(size, sizeof value);
    snprintf(key, sizeof key, "k%u", number);
    memset(value, (int)(number & 0xff), size);
    return append_one(self, slice_of_text(key), slice_of(value, size));
}

static inline int open_in(const char *folder, const char *name, int flags)
{
    char path[1400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags, 0600);
    ck_assert_msg(fd >= 0, "%s", path);
    return fd;
}

/* Overwrites bytes of a file. */
static inline void damage(const char *folder, const char *name, uint64_t offset, const void *bytes,
                          size_t size)
{
    int fd = open_in(folder, name, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, bytes, size, (off_t)offset), (ssize_t)size);
    close(fd);
}

static inline void flip_byte(const char *folder, const char *name, uint64_t offset)
{
    int fd = open_in(folder, name, O_RDWR);
    unsigned char byte;
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x40;
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static inline void set_size(const char *folder, const char *name, uint64_t size)
{
    int fd = open_in(folder, name, O_WRONLY);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static inline bool exists(const char *folder, const char *name)
{
    char path[1400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

#endif
