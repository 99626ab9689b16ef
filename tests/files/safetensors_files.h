/* safetensors_files.h - safetensors files by hand, for the tests of import and export. */
#ifndef MLKV_TESTS_FILES_SAFETENSORS_FILES_H
#define MLKV_TESTS_FILES_SAFETENSORS_FILES_H

#include "files/safetensors.h"
#include "fixture.h"

static const mlkv_dtype all_dtypes[] = {
    MLKV_F64, MLKV_F32, MLKV_F16, MLKV_BF16, MLKV_F8E4M3, MLKV_F8E5M2, MLKV_I64,  MLKV_I32,
    MLKV_I16, MLKV_I8,  MLKV_U64, MLKV_U32,  MLKV_U16,    MLKV_U8,     MLKV_BOOL, MLKV_C64,
};

enum { DTYPES = sizeof all_dtypes / sizeof all_dtypes[0], MADE_MAX = 400 };

/* A file and what is in it. */
typedef struct {
    safetensors_row rows[MADE_MAX];
    char names[MADE_MAX][24];
    uint64_t at[MADE_MAX]; /* of the data, in data */
    size_t n;
    mlkv_buffer data, bytes;
} made_file;

static inline void make_tensor(made_file *self, mlkv_tensor tensor, size_t size)
{
    size_t i = self->n++;
    ck_assert_uint_lt(i, MADE_MAX);
    const char *name = safetensors_dtype(tensor.dtype, &(int){0});
    int length = snprintf(self->names[i], sizeof self->names[i], "%s %zu", name, i);
    self->rows[i] = (safetensors_row){slice_of(self->names[i], (size_t)length), tensor, size};
    self->at[i] = self->data.size;
    void *to = buffer_extend(&self->data, size);
    ck_assert(size == 0 || to != NULL);
    fill(to, size, i, tensor.dtype == MLKV_BOOL);
}

static inline const char *finish_file(made_file *self, const char *name)
{
    OK(safetensors_write(self->rows, self->n, NULL, 0, &self->bytes));
    OK(buffer_append(&self->bytes, self->data.data, self->data.size));
    return write_file(name, self->bytes.data, self->bytes.size);
}

static inline void expect_file(mlkv *view, const made_file *self, const char *prefix)
{
    for (size_t i = 0; i < self->n; i++) {
        char key[64];
        int size = snprintf(key, sizeof key, "%s%s", prefix, self->names[i]);
        expect_tensor(view, slice_of(key, (size_t)size), &self->rows[i].tensor,
                      (const char *)self->data.data + self->at[i], (size_t)self->rows[i].bytes);
    }
}

static inline void free_file(made_file *self)
{
    mlkv_buffer_free(&self->data);
    mlkv_buffer_free(&self->bytes);
    free(self);
}

static inline made_file *new_file(void)
{
    made_file *self = calloc(1, sizeof *self);
    ck_assert_ptr_nonnull(self);
    return self;
}

/* Of every dtype and shape. */
static inline made_file *full_file(void)
{
    made_file *self = new_file();
    for (size_t dtype = 0; dtype < DTYPES; dtype++) {
        for (size_t shape = 0; shape < SHAPES; shape++) {
            size_t size;
            mlkv_tensor tensor = tensor_of((int)all_dtypes[dtype], shape, &size);
            make_tensor(self, tensor, size);
        }
    }
    return self;
}

/* Of three tensors that are filled with one value each. */
static inline made_file *plain_file(unsigned char value, uint64_t rows)
{
    made_file *self = new_file();
    for (int i = 0; i < 3; i++)
        make_tensor(self, (mlkv_tensor){MLKV_U8, 2, {rows, 1000}}, (size_t)rows * 1000);
    memset(self->data.data, value, self->data.size);
    return self;
}

static inline int import_file(mlkv *view, const char *path, const char *prefix)
{
    return mlkv_safetensors_import(view, path, slice_of_text(prefix), NULL, NULL, NULL, NULL);
}

#endif
