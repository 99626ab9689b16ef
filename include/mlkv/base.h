/* base.h - what every other header of libmlkv needs: slices, buffers, rows, the version.
 *
 * Bytes go in as slices (borrowed for the call) and come out in buffers and rows, which belong to
 * the caller, start as {0}, are grown by the library with realloc and freed by their free function.
 * Nothing here is shared between threads by the library.
 */
#ifndef MLKV_BASE_H
#define MLKV_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define MLKV_BEGIN_DECLS extern "C" {
#define MLKV_END_DECLS   }
#else
#define MLKV_BEGIN_DECLS
#define MLKV_END_DECLS
#endif

#if defined(__GNUC__)
#define MLKV_API __attribute__((visibility("default")))
#else
#define MLKV_API
#endif

#define MLKV_VERSION_MAJOR 0
#define MLKV_VERSION_MINOR 1
#define MLKV_VERSION_PATCH 0

MLKV_BEGIN_DECLS

/* Anything that can be read from: a live database, a write transaction, a snapshot. */
typedef struct mlkv mlkv;

/* Bytes somebody else owns, borrowed for the duration of the call they are passed to. data may be
 * NULL when size is 0. */
typedef struct {
    const void *data;
    size_t size;
} mlkv_slice;

/* Bytes the caller owns. Start it as {0}; functions that fill it replace the content and grow it
 * with realloc when capacity is too small, so one buffer serves a loop without allocating. On
 * failure it may have grown, but data and size keep the old content. */
typedef struct {
    void *data;
    size_t size;
    size_t capacity;
} mlkv_buffer;

/* A name and a value: a hash's field, a key and its string. */
typedef struct {
    mlkv_slice name;
    mlkv_slice value;
} mlkv_pair;

/* Many results in one arena. Start it as {0}. items[0..count) point into the arena and live until
 * the rows are filled again or freed; an item that was absent has data == NULL, a present but empty
 * one has data != NULL and size 0. */
typedef struct {
    mlkv_slice *items;
    size_t count;
    size_t item_capacity; /* the library's */
    void *arena;          /* the library's */
    size_t arena_size;
    size_t arena_capacity;
} mlkv_rows;

/* Replaces a buffer's content by a copy of these bytes, which must not be its own, with memory that
 * the library can go on with: for functions that fill buffers for it. Returns MLKV_OK; MLKV_E_MEMORY:
 * the content is as before; MLKV_E_ARGUMENT. Since 0.1. */
MLKV_API int mlkv_buffer_assign(mlkv_buffer *buffer, const void *data, size_t size);

/* Frees what the library allocated in a buffer or in rows, and resets it to {0}. NULL is accepted.
 */
MLKV_API void mlkv_buffer_free(mlkv_buffer *buffer);
MLKV_API void mlkv_rows_free(mlkv_rows *rows);

/* "0.1.0": the version of the library that is running, which may be newer than the headers. Static
 * storage. */
MLKV_API const char *mlkv_version(void);

MLKV_END_DECLS

#endif
