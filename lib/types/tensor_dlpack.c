/* tensor_dlpack.c - a loan as other libraries take it: DLPack's two structs.
 *
 * Bytes owned: the structs, as dlpack.h of DLPack 1.x declares them (Debian has no package of it). Their layout is an ABI that
 * libraries share without sharing a header, so each offset is asserted.
 *
 * State: a `managed` holds struct, shape and strides, and the loan; it goes with the deleter, which any thread may call at any time, also
 * after all handles were closed.
 *
 * Locks: none.
 */
#include "types/tensor.h"

#include "base/error.h"

#include <stdlib.h>

enum { DL_MAJOR = 1, DL_MINOR = 1, DL_CPU = 1, DL_READ_ONLY = 1 };
enum {
    DL_INT = 0,
    DL_UINT = 1,
    DL_FLOAT = 2,
    DL_BFLOAT = 4,
    DL_COMPLEX = 5,
    DL_BOOL = 6,
    DL_FLOAT8_E4M3FN = 10,
    DL_FLOAT8_E5M2 = 12,
};

typedef struct {
    uint8_t code, bits;
    uint16_t lanes;
} dl_type;

typedef struct {
    void *data;
    int32_t device_type, device_id;
    int32_t dimensions;
    dl_type type;
    int64_t *shape, *strides; /* strides in elements */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *self);
} dl_managed;

typedef struct dl_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_versioned *self);
    uint64_t flags;
    dl_tensor tensor;
} dl_versioned;

_Static_assert(sizeof(void *) == 8 && sizeof(dl_tensor) == 48, "DLTensor");
_Static_assert(offsetof(dl_tensor, dimensions) == 16 && offsetof(dl_tensor, type) == 20 &&
                   offsetof(dl_tensor, shape) == 24 && offsetof(dl_tensor, byte_offset) == 40,
               "DLTensor");
_Static_assert(offsetof(dl_managed, context) == 48 && sizeof(dl_managed) == 64, "DLManagedTensor");
_Static_assert(offsetof(dl_versioned, context) == 8 && offsetof(dl_versioned, flags) == 24 &&
                   offsetof(dl_versioned, tensor) == 32 && sizeof(dl_versioned) == 80,
               "DLManagedTensorVersioned");

typedef struct {
    union {
        dl_managed old;
        dl_versioned versioned;
    } public;
    int64_t shape[MLKV_DIMENSIONS_MAX], strides[MLKV_DIMENSIONS_MAX];
    mlkv_loan *loan;
} managed;

static dl_type type_of(int dtype)
{
    static const uint8_t codes[] = {
        [MLKV_F64] = DL_FLOAT,    [MLKV_F32] = DL_FLOAT,
        [MLKV_F16] = DL_FLOAT,    [MLKV_BF16] = DL_BFLOAT,
        [MLKV_I64] = DL_INT,      [MLKV_I32] = DL_INT,
        [MLKV_I16] = DL_INT,      [MLKV_I8] = DL_INT,
        [MLKV_U64] = DL_UINT,     [MLKV_U32] = DL_UINT,
        [MLKV_U16] = DL_UINT,     [MLKV_U8] = DL_UINT,
        [MLKV_BOOL] = DL_BOOL,    [MLKV_F8E4M3] = DL_FLOAT8_E4M3FN,
        [MLKV_C64] = DL_COMPLEX,  [MLKV_F8E5M2] = DL_FLOAT8_E5M2,
        [MLKV_C128] = DL_COMPLEX,
    };
    return (dl_type){codes[dtype], (uint8_t)(8 * mlkv_dtype_size((mlkv_dtype)dtype)), 1};
}

static void give_back(void *context)
{
    managed *self = context;
    (void)mlkv_loan_return(self->loan);
    free(self);
}

static void delete_old(dl_managed *self)
{
    if (self != NULL)
        give_back(self->context);
}

static void delete_versioned(dl_versioned *self)
{
    if (self != NULL)
        give_back(self->context);
}

static dl_tensor describe(managed *self, const mlkv_tensor *tensor, void *data)
{
    int64_t stride = 1;
    for (uint32_t i = tensor->dimensions; i-- > 0;) {
        self->shape[i] = (int64_t)tensor->shape[i];
        self->strides[i] = stride;
        stride *= tensor->shape[i] != 0 ? self->shape[i] : 1; /* below 2^62: tensor_form.c */
    }
    return (dl_tensor){.data = data,
                       .device_type = DL_CPU,
                       .dimensions = (int32_t)tensor->dimensions,
                       .type = type_of(tensor->dtype),
                       .shape = self->shape,
                       .strides = self->strides};
}

int mlkv_loan_to_dlpack(mlkv_loan *loan, int versioned, void **ret_managed)
{
    error_clear();
    if (loan == NULL || ret_managed == NULL)
        return error_set(MLKV_E_ARGUMENT, "%s is NULL", loan == NULL ? "loan" : "ret_managed");
    if (versioned != 0 && versioned != 1)
        return error_set(MLKV_E_ARGUMENT, "versioned is %d, neither 0 nor 1", versioned);
    managed *self = calloc(1, sizeof *self);
    if (self == NULL)
        return error_set_memory("a loan");
    const mlkv_tensor *shape;
    void *data;
    bool is_private = loan_share(loan, &shape, &data);
    self->loan = loan;
    if (versioned == 0 && !is_private) {
        give_back(self);
        return error_set(MLKV_E_ARGUMENT,
                         "a DLManagedTensor is written to: it needs MLKV_LOAN_PRIVATE");
    }
    dl_tensor tensor = describe(self, shape, data);
    if (versioned == 0)
        self->public.old = (dl_managed){tensor, self, delete_old};
    else
        self->public.versioned = (dl_versioned){
            DL_MAJOR, DL_MINOR, self, delete_versioned, is_private ? 0 : DL_READ_ONLY, tensor};
    *ret_managed = &self->public;
    return MLKV_OK;
}

int mlkv_tensor_to_dlpack(mlkv *view, mlkv_slice key, unsigned flags, int versioned,
                          void **ret_managed)
{
    mlkv_loan *loan = NULL;
    void *data;
    error_clear();
    if (ret_managed == NULL || (versioned != 0 && versioned != 1))
        return error_set(MLKV_E_ARGUMENT, ret_managed == NULL ? "ret_managed is NULL"
                                                              : "versioned is neither 0 nor 1");
    if (versioned == 0)
        flags |= MLKV_LOAN_PRIVATE;
    int result = mlkv_tensor_borrow(view, key, flags, NULL, &data, &loan);
    if (result != MLKV_OK)
        return result;
    result = mlkv_loan_to_dlpack(loan, versioned, ret_managed);
    (void)mlkv_loan_return(loan); /* not the last, unless there was no memory */
    return result != MLKV_E_MEMORY ? result : error_set_memory("a loan");
}
