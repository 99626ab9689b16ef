/* golden.h - the content of the committed stores (tests/golden), as a function of nothing: written
 * by make_golden.c, checked by test_golden.c.
 *
 * It has every type, short, long and empty names, compressed and raw values, a blob of two pieces,
 * a tensor in blobs, a deleted key whose elements were left. It is never changed: another content
 * is another folder, of another version.
 */
#ifndef MLKV_TESTS_SYSTEM_GOLDEN_H
#define MLKV_TESTS_SYSTEM_GOLDEN_H

#include <mlkv/mlkv.h>
#include <stdio.h>
#include <string.h>

enum {
    GOLDEN_LONG_NAME = 600,
    GOLDEN_BLOB = (1 << 20) + 1000,
    GOLDEN_ROWS = 40,
    GOLDEN_COLUMNS = 50,
    GOLDEN_FIELDS = 30
};

/* Bytes that shrink well, so that the folders stay small; each 251 bytes differ by position. */
static inline void golden_bytes(unsigned char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = (unsigned char)(i % 251 + i / 65536);
}

static inline mlkv_slice golden_text(const char *text)
{
    return (mlkv_slice){text, strlen(text)};
}

static inline mlkv_slice golden_long_name(void)
{
    static char name[GOLDEN_LONG_NAME];
    memset(name, 'n', sizeof name);
    return (mlkv_slice){name, sizeof name};
}

static inline mlkv_slice golden_number(char text[32], const char *prefix, int i)
{
    int size = snprintf(text, 32, "%s%d", prefix, i);
    return (mlkv_slice){text, (size_t)size};
}

static inline float golden_element(int i)
{
    return (float)(i % 97) * 0.25f - 10;
}

#endif
