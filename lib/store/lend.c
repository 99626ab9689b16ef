/* lend.c - memory that shows large values where they stand in the file, beside LMDB's own map.
 *
 * LMDB keeps a value that does not fit a page in a run of pages of its own: 16 bytes of header in the first one,
 * then the value. So a value whose own header ends where that page ends has its bytes at the beginning of a page, and
 * those can be mapped again by themselves, and several such values one behind another: what stands in pieces in the file
 * is then one array in memory. The second map is either shared and read-only, or private: who writes to it gets copies of
 * the pages written to, and nobody else sees them.
 *
 * Which page a value stands on LMDB does not tell. The header of the run's first page does (pages.c has its form); it is
 * believed only if everything else in it fits the value, and if, once mapped, the bytes are the same.
 *
 * Invariants:
 *  1. What is mapped are pages of a value that an open read transaction holds: LMDB writes to none of them, and no hole
 *     is punched there, until it ends. The caller ends it after store_unmap.
 *  2. All values but the last have whole pages.
 *
 * Locks: none. The mappings outlive the environment; the file is not closed by them.
 */
#include "base/error.h"
#include "store/env.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    PAGE_HEADER_SIZE = 16,
    PAGE_FLAGS_AT = 10,
    PAGE_RUN_AT = 12,
    FLAG_LARGE = 4,
    COMPARED = 64, /* bytes of each value that are looked at in both maps */
};

size_t store_page_bytes(void)
{
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (size_t)size : 4096;
}

static int displaced(mlkv_slice key)
{
    return error_set(MLKV_E_PLATFORM, "record '%s' does not stand at the beginning of a page",
                     error_quote(key.data, key.size));
}

int store_read_place(store_read *read, mlkv_slice key, mlkv_slice *ret_value, uint64_t *ret_offset)
{
    mlkv_slice value;
    int result = store_read_get_lasting(read, key, &value);
    if (result != 0)
        return result;
    size_t page_size = read->owner->page_size, size = PAGE_HEADER_SIZE + value.size + SEAL_SIZE;
    const unsigned char *page = (const unsigned char *)value.data - PAGE_HEADER_SIZE;
    if ((uintptr_t)page % page_size != 0) /* a small value, within a page */
        return displaced(key);
    uint64_t number = load_le64(page);
    uint16_t flags;
    memcpy(&flags, page + PAGE_FLAGS_AT, sizeof flags);
    if (flags != FLAG_LARGE ||
        load_le32(page + PAGE_RUN_AT) != (size + page_size - 1) / page_size ||
        number > INT64_MAX / page_size)
        return displaced(key);
    *ret_value = value;
    *ret_offset = number * page_size + PAGE_HEADER_SIZE;
    return 0;
}

static size_t whole_pages(size_t size, size_t page_bytes)
{
    return (size + page_bytes - 1) / page_bytes * page_bytes;
}

static int map_failed(int code, size_t size)
{
    if (code == ENOMEM)
        return error_set(MLKV_E_MEMORY,
                         "%zu bytes cannot be mapped: no address space, or too many mappings "
                         "(vm.max_map_count)",
                         size);
    return error_set_system(code, "mapping %zu bytes of data.mdb", size);
}

/* Into the reserved memory at `to`. */
static int map_run(int file, const store_run *run, bool is_private, size_t page_bytes,
                   unsigned char *to)
{
    size_t size = run->bytes.size < COMPARED ? run->bytes.size : COMPARED;
    int protection = is_private ? PROT_READ | PROT_WRITE : PROT_READ;
    int flags = MAP_FIXED | (is_private ? MAP_PRIVATE | MAP_NORESERVE : MAP_SHARED);
    void *memory = mmap(to, whole_pages(run->bytes.size, page_bytes), protection, flags, file,
                        (off_t)run->offset);
    if (memory == MAP_FAILED)
        return map_failed(errno, run->bytes.size);
    if (memcmp(memory, run->bytes.data, size) != 0)
        return error_set(MLKV_E_PLATFORM, "data.mdb: LMDB's pages are not where they say");
    return 0;
}

int store_map(store *self, const store_run *runs, size_t n, bool is_private,
              store_mapping *ret_mapping)
{
    size_t page_bytes = store_page_bytes(), size = 0, at = 0;
    int file, result = 0;
    for (size_t i = 0; i < n; i++) {
        bool whole = i + 1 == n || runs[i].bytes.size % page_bytes == 0;
        if (!whole || runs[i].offset % page_bytes != 0 || runs[i].bytes.size > SIZE_MAX / 2 - size)
            return error_set(MLKV_E_PLATFORM,
                             "it was stored for pages of another size than %zu bytes", page_bytes);
        size += runs[i].bytes.size;
    }
    int code = mdb_env_get_fd(self->env, &file);
    if (code != 0)
        return store_error(code, "asking for the descriptor");
    size = whole_pages(size, page_bytes);
    unsigned char *memory =
        mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return map_failed(errno, size);
    for (size_t i = 0; i < n && result == 0; i++) {
        result = map_run(file, &runs[i], is_private, page_bytes, memory + at);
        at += runs[i].bytes.size;
    }
    if (result != 0)
        munmap(memory, size);
    else
        *ret_mapping = (store_mapping){memory, size};
    return result;
}

void store_unmap(store_mapping *mapping)
{
    if (mapping->memory != NULL)
        munmap(mapping->memory, mapping->size);
    *mapping = (store_mapping){0};
}
