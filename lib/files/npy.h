/* npy.h - the header of a .npy file: read and checked, or written.
 *
 *   offset size
 *   0      6      0x93 "NUMPY"
 *   6      2      version: 1.0, 2.0, 3.0
 *   8      2 | 4  size of the header (LE): 2 bytes in version 1.0
 *   10|12  n      a Python dict as text: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 *   ...           the elements
 */
#ifndef MLKV_FILES_NPY_H
#define MLKV_FILES_NPY_H

#include "files/files.h"

enum {
    NPY_START_MAX = 12,     /* where the header begins at the latest */
    NPY_HEADER_MAX = 10000, /* numpy's own limit */
    NPY_WRITTEN_MAX =
        10 + 512, /* of what npy_write gives: 8 extents of 20 digits, and some words */
};

typedef struct {
    mlkv_tensor tensor;
    uint64_t bytes;
    bool swapped; /* the bytes of its numbers are in the other order */
    bool columns; /* the first dimension changes fastest */
} npy_form;

/* The first bytes of a file, at least NPY_START_MAX or all it has: where its header begins and ends. MLKV_E_FORMAT says what is wrong. */
int npy_find(const unsigned char *bytes, size_t size, uint64_t file_size, size_t *ret_start,
             size_t *ret_size);
/* The header; dtype: 0, or what the elements are said to be. MLKV_E_FORMAT. */
int npy_read(mlkv_slice text, int dtype, npy_form *ret_form);
/* All that stands before the elements of such a tensor; its size. */
size_t npy_write(const mlkv_tensor *tensor, unsigned char ret_bytes[NPY_WRITTEN_MAX]);
/* Turns the bytes of each number round. */
void npy_swap(int dtype, void *data, size_t size);
/* Elements that stand columns first, put into rows. */
void npy_to_rows(const npy_form *form, const unsigned char *columns, unsigned char *rows);

#endif
