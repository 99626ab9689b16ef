/* files.h - what the readers and writers of files share: files, options, tensors written out. */
#ifndef MLKV_FILES_FILES_H
#define MLKV_FILES_FILES_H

#include <mlkv/error.h>
#include <mlkv/file.h>
#include <mlkv/tensor.h>
#include <stdbool.h>
#include <time.h>

enum {
    FILES_ALIGN = 64, /* where data begin: a cache line, and what both formats' own writers do */
};

/* --- input.c: a regular file that is read, and must not change meanwhile --- */
typedef struct {
    int fd; /* -1: closed */
    const char *path;
    uint64_t size;
    struct timespec changed;
} file_input;

/* MLKV_E_FORMAT: no regular file. On failure there is nothing to close. */
int input_open(const char *path, file_input *ret_input);
void input_close(file_input *self);
/* Bytes that must be there. */
int input_read(const file_input *self, uint64_t offset, size_t size, void *to);
/* MLKV_E_IO if somebody wrote to it since it was opened. */
int input_check_unchanged(const file_input *self);
/* Elements of a BOOL tensor. MLKV_E_FORMAT unless all are 0 or 1; offset is where in the file they stand. */
int input_check_truths(const file_input *self, uint64_t offset, const void *data, size_t size);

/* --- output.c: a file that takes the place of another one, whole --- */
typedef struct {
    int fd, folder; /* -1: closed */
    const char *path;
    const char *name; /* its last part */
    char *hidden;     /* the name that it has until then */
    bool named;       /* it bears it: otherwise it has none at all */
} file_output;

/* After it, whatever it says, output_close is due. */
int output_open(const char *path, file_output *ret_output);
int output_write(file_output *self, const void *data, size_t size);
/* Syncs it and puts it in its place. */
int output_publish(file_output *self);
/* Removes what was not published. */
void output_close(file_output *self);

/* --- call.c: what the public functions share --- */
/* Checks what a caller said, and fills in the defaults. */
int call_options(const mlkv_file_options *options, mlkv_file_options *ret_options);
int call_check(mlkv *view, const char *path, mlkv_slice name, const mlkv_file_info *info);
/* The caller's rows, if they are wanted, become the new ones. */
void call_give_rows(mlkv_rows *from, mlkv_rows *ret_rows);
/* A view in which nothing changes: the view itself, or a snapshot, to be closed by call_thaw. */
int call_freeze(mlkv *view, mlkv **ret_frozen);
void call_thaw(mlkv *view, mlkv *frozen);
/* All elements of a tensor, in blocks of whole chunks; *memory is used again by the next one. The view is one in which nothing changes. */
int call_write_tensor(mlkv *frozen, mlkv_slice key, const mlkv_tensor_info *info,
                      size_t block_bytes, mlkv_buffer *memory, file_output *output);

#endif
