/* fuzz.h - what the fuzzers share: a check, and a main that runs them as ordinary tests.
 *
 * A fuzzer is one source file, fuzz_TARGET.c, which includes this header once and has
 *   LLVMFuzzerTestOneInput   what is done with any bytes, and what must hold afterwards (REQUIRE)
 *   make_seed, check_reached for the ordinary test, below
 * Built by clang with -Dfuzzers=true it is libFuzzer's (FUZZ_WITH_LIBFUZZER is defined then). Else main is here:
 *   fuzz_TARGET                 its seeds, and many mutations of each, always the same ones
 *   fuzz_TARGET FOLDER          first every file of the folder, which is the target's corpus; then the above
 *   fuzz_TARGET FILE...         those files only: to see a crash again
 *   fuzz_TARGET --seeds FOLDER  writes its seeds there, for a corpus to begin with
 */
#ifndef MLKV_TESTS_FUZZ_FUZZ_H
#define MLKV_TESTS_FUZZ_FUZZ_H

#include "base/buffer.h"
#include "base/bytes.h"

#include <dirent.h>
#include <mlkv/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REQUIRE(condition)                                                                    \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "%s:%d: %s does not hold (%s)\n", __FILE__, __LINE__, #condition, \
                    mlkv_error_detail());                                                     \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef FUZZ_WITH_LIBFUZZER

/* The fuzzer's: the seed of this number in *seed; false when there are no more. */
static bool make_seed(unsigned number, mlkv_buffer *seed);
/* The fuzzer's, at the end: that the depths were reached. */
static void check_reached(void);

#ifndef FUZZ_MUTATIONS_EACH
#define FUZZ_MUTATIONS_EACH 12000
#endif
enum { FUZZ_HEAD = 96 };

static uint64_t fuzz_state = 4711;

/* xorshift64*: always the same mutations, so that a failure can be seen again. */
static uint64_t fuzz_random(void)
{
    fuzz_state ^= fuzz_state >> 12;
    fuzz_state ^= fuzz_state << 25;
    fuzz_state ^= fuzz_state >> 27;
    return fuzz_state * 0x2545f4914f6cdd1dU;
}

/* Changes a few bytes, mostly near the beginning, where the headers are; sometimes cuts or
 * lengthens. */
static void fuzz_mutate(mlkv_buffer *bytes)
{
    static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff};
    uint64_t changes = 1 + fuzz_random() % 3;
    for (uint64_t i = 0; i < changes && bytes->size != 0; i++) {
        bool near = fuzz_random() % 2 == 0 && bytes->size > FUZZ_HEAD;
        size_t range = near ? FUZZ_HEAD : bytes->size;
        unsigned char *at = (unsigned char *)bytes->data + fuzz_random() % range;
        switch (fuzz_random() % 3) {
        case 0:
            *at ^= (unsigned char)(1U << fuzz_random() % 8);
            break;
        case 1:
            *at = edges[fuzz_random() % sizeof edges];
            break;
        default:
            *at = (unsigned char)fuzz_random();
        }
    }
    if (fuzz_random() % 10 == 0)
        bytes->size = fuzz_random() % (bytes->size + 1);
    if (fuzz_random() % 10 == 0) {
        uint64_t more = fuzz_random();
        REQUIRE(buffer_append(bytes, &more, fuzz_random() % 9) == 0);
    }
}

/* From a copy of the exact size, so that a read past the end is seen. */
static void fuzz_run(const mlkv_buffer *bytes)
{
    unsigned char *copy = malloc(bytes->size != 0 ? bytes->size : 1);
    REQUIRE(copy != NULL);
    bytes_copy(copy, bytes->data, bytes->size);
    LLVMFuzzerTestOneInput(copy, bytes->size);
    free(copy);
}

static void fuzz_run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    REQUIRE(file != NULL);
    mlkv_buffer bytes = {0};
    unsigned char block[4096];
    for (size_t got = fread(block, 1, sizeof block, file); got != 0;
         got = fread(block, 1, sizeof block, file))
        REQUIRE(buffer_append(&bytes, block, got) == 0);
    fclose(file);
    fuzz_run(&bytes);
    mlkv_buffer_free(&bytes);
}

static bool fuzz_is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static void fuzz_run_folder(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    REQUIRE(count >= 0);
    unsigned files = 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        int size = snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        REQUIRE(size > 0 && (size_t)size < sizeof name);
        if (entries[i]->d_name[0] != '.') {
            fuzz_run_file(name);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    REQUIRE(files != 0); /* a corpus that is gone would test nothing */
}

static void fuzz_write_seeds(const char *folder)
{
    mlkv_buffer seed = {0};
    for (unsigned number = 0; make_seed(number, &seed); number++) {
        char name[4096];
        int size = snprintf(name, sizeof name, "%s/seed-%u", folder, number);
        REQUIRE(size > 0 && (size_t)size < sizeof name);
        FILE *file = fopen(name, "wb");
        REQUIRE(file != NULL);
        REQUIRE(fwrite(seed.data, 1, seed.size, file) == seed.size);
        REQUIRE(fclose(file) == 0);
    }
    mlkv_buffer_free(&seed);
}

static void fuzz_run_mutations(void)
{
    mlkv_buffer seed = {0}, mutated = {0};
    fuzz_run(&seed); /* no bytes at all */
    for (unsigned number = 0; make_seed(number, &seed); number++) {
        fuzz_run(&seed);
        for (int i = 0; i < FUZZ_MUTATIONS_EACH; i++) {
            REQUIRE(buffer_assign(&mutated, seed.data, seed.size) == 0);
            fuzz_mutate(&mutated);
            fuzz_run(&mutated);
        }
    }
    mlkv_buffer_free(&seed);
    mlkv_buffer_free(&mutated);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        fuzz_write_seeds(argv[2]);
        return 0;
    }
    bool only_files = false;
    for (int i = 1; i < argc; i++) {
        if (fuzz_is_folder(argv[i])) {
            fuzz_run_folder(argv[i]);
        } else {
            fuzz_run_file(argv[i]);
            only_files = true;
        }
    }
    if (only_files)
        return 0;
    fuzz_run_mutations();
    check_reached();
    return 0;
}

#endif
#endif
