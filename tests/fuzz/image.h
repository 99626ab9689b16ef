/* image.h - for fuzzers of data.mdb: files made once, and copies of them with some words overwritten, as an input says.
 *
 * A patch has 12 bytes:
 *   0 page u8   1 how u8   2 offset u16 LE   4 value u64 LE
 *   how: bits 0-1 the width (1, 2, 4, 8 bytes), bit 2 the offset lies in the page's first 64 bytes, bit 3 (instead of all this) the file
 *   ends at that page, bit 4 (instead, where IMAGE_ZEROED is set) the page is zeroed
 */
#ifndef MLKV_TESTS_FUZZ_IMAGE_H
#define MLKV_TESTS_FUZZ_IMAGE_H

#include "fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PATCH_SIZE = 12,
    PATCHES_MAX = 16,
    PAGE_HEAD = 64,
    IMAGE_SIZE_MAX = 1 << 20,
    IMAGE_ZEROED = 1
};

typedef struct {
    unsigned char *bytes;
    size_t size;
} original;

static char folder[64], image_path[100];

/* A folder of this process, in memory if that can be had; `remove_all` takes it away at the end. */
static void image_folder(void (*remove_all)(void))
{
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/mlkv-fuzz-XXXXXX", memory ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(folder) != NULL);
    snprintf(image_path, sizeof image_path, "%s/data.mdb", folder);
    REQUIRE(atexit(remove_all) == 0);
}

/* Takes a file as one to be patched. */
static void image_load(const char *path, original *ret_made)
{
    struct stat status;
    int file = open(path, O_RDONLY);
    REQUIRE(file >= 0 && fstat(file, &status) == 0 && status.st_size <= IMAGE_SIZE_MAX);
    ret_made->size = (size_t)status.st_size;
    ret_made->bytes = malloc(ret_made->size);
    REQUIRE(ret_made->bytes != NULL &&
            read(file, ret_made->bytes, ret_made->size) == (ssize_t)ret_made->size);
    (void)close(file);
}

/* Applies one patch; the size that the image has then, at least `least` pages. */
static size_t image_patch(const unsigned char *patch, unsigned char *image, size_t size,
                          size_t page_size, size_t least, unsigned flags)
{
    size_t page = patch[0] % (size / page_size), width = (size_t)1 << (patch[1] & 3);
    if ((patch[1] & 8) != 0)
        return page < least ? size : page * page_size;
    if ((patch[1] & 16) != 0 && (flags & IMAGE_ZEROED) != 0) {
        memset(image + page * page_size, 0, page_size);
        return size;
    }
    uint64_t value = load_le64(patch + 4);
    size_t offset = patch[2] | (size_t)patch[3] << 8;
    offset %= (patch[1] & 4) != 0 ? (size_t)PAGE_HEAD : page_size - width + 1;
    memcpy(image + page * page_size + offset, &value, width);
    return size;
}

#endif
