/* fuzz_npy.c - arbitrary bytes as a .npy file, up to its elements.
 *
 * Input: the file's first bytes. It is read for any dtype, and as one that says bf16.
 *
 * What must hold for any input:
 *  1. Nothing is read outside (sanitizers watch); the result is 0 or a format error.
 *  2. What is accepted has a dtype, up to 8 dimensions, and the bytes that they make.
 *  3. Written again and read again it is the same tensor, in the machine's byte order and rows first.
 *  4. Elements put from columns into rows are all there, and turned round twice they are as before.
 */
#define FUZZ_MUTATIONS_EACH 100000
#include "fuzz.h"

#include "files/npy.h"

enum { ELEMENTS_MAX = 4096 };

static uint64_t accepted, refused, columns_seen, swapped_seen;

static void check_orders(const npy_form *form)
{
    size_t size = (size_t)form->bytes;
    if (size == 0 || size > ELEMENTS_MAX)
        return;
    unsigned char *from = malloc(size), *to = malloc(size);
    unsigned sum[2] = {0, 0};
    REQUIRE(from != NULL && to != NULL);
    for (size_t i = 0; i < size; i++)
        from[i] = (unsigned char)(i * 7 + i / 256);
    npy_to_rows(form, from, to);
    for (size_t i = 0; i < size; i++) {
        sum[0] += from[i];
        sum[1] += to[i];
    }
    REQUIRE(sum[0] == sum[1]);
    memcpy(from, to, size);
    npy_swap(form->tensor.dtype, to, size);
    npy_swap(form->tensor.dtype, to, size);
    REQUIRE(memcmp(from, to, size) == 0);
    free(from);
    free(to);
}

static void check_form(const npy_form *form, int dtype)
{
    unsigned char bytes[NPY_WRITTEN_MAX];
    npy_form again;
    size_t start, header;
    uint64_t product = mlkv_dtype_size((mlkv_dtype)form->tensor.dtype);
    REQUIRE(product != 0 && form->tensor.dimensions <= MLKV_DIMENSIONS_MAX);
    for (uint32_t i = 0; i < form->tensor.dimensions; i++)
        product *= form->tensor.shape[i];
    REQUIRE(product == form->bytes);
    size_t size = npy_write(&form->tensor, bytes);
    REQUIRE(size <= sizeof bytes && size % FILES_ALIGN == 0);
    REQUIRE(npy_find(bytes, NPY_START_MAX, size, &start, &header) == 0);
    REQUIRE(start + header == size);
    REQUIRE(npy_read(slice_of(bytes + start, header), dtype, &again) == 0);
    REQUIRE(memcmp(&again.tensor, &form->tensor, sizeof again.tensor) == 0);
    REQUIRE(again.bytes == form->bytes && !again.swapped && !again.columns);
    columns_seen += form->columns;
    swapped_seen += form->swapped;
    check_orders(form);
}

static void try_header(mlkv_slice text, int dtype)
{
    npy_form form;
    int result = npy_read(text, dtype, &form);
    REQUIRE(result == 0 || result == MLKV_E_FORMAT);
    *(result == 0 ? &accepted : &refused) += 1;
    if (result == 0)
        check_form(&form, dtype);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t start = 0, header = 0;
    size_t first = size < NPY_START_MAX ? size : NPY_START_MAX;
    int result = npy_find(data, first, size, &start, &header);
    REQUIRE(result == 0 || result == MLKV_E_FORMAT);
    if (result == 0) {
        REQUIRE(start + header <= size && header <= NPY_HEADER_MAX);
        try_header(slice_of(data + start, header), 0);
        try_header(slice_of(data + start, header), MLKV_BF16);
    } else {
        refused++;
    }
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n",
        "{'descr': '>u2', 'fortran_order': True, 'shape': (5, 1, 7), }\n",
        "{\"shape\":(),'descr':'|b1','fortran_order':False}",
        "{'descr': '<c16', 'fortran_order': True, 'shape': (2, 3)}",
        "{'descr': '|V2', 'fortran_order': False, 'shape': (9,), }\n",
    };
    if (number >= sizeof headers / sizeof headers[0])
        return false;
    size_t size = strlen(headers[number]);
    unsigned char start[12] = "\x93NUMPY";
    start[6] = (unsigned char)(1 + number % 3);
    store_le32(start + 8, (uint32_t)size);
    REQUIRE(buffer_assign(seed, start, start[6] == 1 ? 10 : 12) == 0);
    REQUIRE(buffer_append(seed, headers[number], size) == 0);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_npy: %llu accepted, %llu refused, %llu by columns, %llu turned round\n",
            (unsigned long long)accepted, (unsigned long long)refused,
            (unsigned long long)columns_seen, (unsigned long long)swapped_seen);
    REQUIRE(accepted > 1000 && refused > 10000 && columns_seen > 100 && swapped_seen > 100);
}

#endif
