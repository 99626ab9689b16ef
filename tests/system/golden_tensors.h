/* golden_tensors.h - the tensors of tests/golden: every dtype, stored in every way, as a function of their number.
 *
 * Written by make_golden.c, compared by test_golden_tensors.c. Numbers are made of bits, without a float, so that they are the same
 * wherever this is compiled. Each dtype has three contents, of which the codec makes raw bytes, zstd frames and byte planes, in
 * chunks that stand in their T records and, for some dtypes, in chunks that are blobs (with the ring of GOLDEN_RING, from 4 KiB on). Beside
 * them: a scalar, tensors without bytes, eight dimensions, a row longer than a chunk, and chunks written over, which are raw.
 * It is never changed: other tensors are another folder.
 */
#ifndef MLKV_TESTS_SYSTEM_GOLDEN_TENSORS_H
#define MLKV_TESTS_SYSTEM_GOLDEN_TENSORS_H

#include <mlkv/mlkv.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    GOLDEN_RING = 64 << 10,
    GOLDEN_DTYPES = 17,
    GOLDEN_CONTENTS = 3,
    GOLDEN_INLINE = GOLDEN_DTYPES * GOLDEN_CONTENTS, /* then those in blobs: */
    GOLDEN_BLOB_DTYPES = 6,
    GOLDEN_BLOBS = GOLDEN_BLOB_DTYPES * GOLDEN_CONTENTS,
    GOLDEN_SHAPES = 6,
    GOLDEN_TENSORS = GOLDEN_INLINE + GOLDEN_BLOBS + GOLDEN_SHAPES,
    GOLDEN_CHUNK = 1600,
    GOLDEN_BLOB_CHUNK = 20 << 10, /* below 16 KiB nothing is tried as one frame beside planes */
    GOLDEN_BYTES_MAX = 24 << 10
};

typedef enum { GOLDEN_NOISE, GOLDEN_REPEATS, GOLDEN_NUMBERS } golden_content;

typedef struct {
    char name[48];
    mlkv_tensor tensor;
    size_t chunk_bytes, size; /* raw bytes */
    golden_content content;
    bool changed; /* one row was written over: it is that of the content + 1 */
} golden_tensor;

static inline golden_tensor golden_tensor_of(int i)
{
    static const int blob_dtypes[GOLDEN_BLOB_DTYPES] = {MLKV_F64, MLKV_F32, MLKV_BF16,
                                                        MLKV_I64, MLKV_U16, MLKV_F8E4M3};
    static const mlkv_tensor shapes[GOLDEN_SHAPES] = {
        {MLKV_F16, 0, {0}},       {MLKV_F32, 1, {0}},
        {MLKV_U8, 3, {4, 0, 5}},  {MLKV_I16, 8, {3, 1, 2, 1, 5, 2, 1, 7}},
        {MLKV_F64, 2, {2, 1001}}, {MLKV_BF16, 2, {37, 65}}};
    static const char *const contents[] = {"noise", "repeats", "numbers"};
    golden_tensor self = {.chunk_bytes = GOLDEN_CHUNK, .content = (golden_content)(i % 3)};
    if (i < GOLDEN_INLINE) { /* two chunks and an odd tail of rows */
        self.tensor = (mlkv_tensor){.dtype = i / 3 + 1, .dimensions = 2, .shape = {0, 8}};
        self.tensor.shape[0] = 3210 / (8 * mlkv_dtype_size((mlkv_dtype)self.tensor.dtype)) + 1;
    } else if (i < GOLDEN_INLINE + GOLDEN_BLOBS) {
        self.tensor = (mlkv_tensor){
            .dtype = blob_dtypes[(i - GOLDEN_INLINE) / 3], .dimensions = 1, .shape = {0}};
        self.tensor.shape[0] = 22000 / mlkv_dtype_size((mlkv_dtype)self.tensor.dtype) + 1;
        self.chunk_bytes = GOLDEN_BLOB_CHUNK;
    } else {
        self.tensor = shapes[i - GOLDEN_INLINE - GOLDEN_BLOBS];
        self.changed = i == GOLDEN_TENSORS - 1;
    }
    self.size = mlkv_dtype_size((mlkv_dtype)self.tensor.dtype);
    for (uint32_t d = 0; d < self.tensor.dimensions; d++)
        self.size *= self.tensor.shape[d];
    snprintf(self.name, sizeof self.name, "%02d-%s-%s", i,
             mlkv_dtype_name((mlkv_dtype)self.tensor.dtype), contents[self.content]);
    return self;
}

static inline uint64_t golden_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* The bits of a number near 0: whole ones below 1000; floats with a random sign and mantissa and an exponent a little below the middle. */
static inline uint64_t golden_number_bits(int dtype, uint64_t random)
{
    static const struct {
        int mantissa, exponent; /* bits; 0: a whole number */
    } forms[GOLDEN_DTYPES + 1] = {
        [MLKV_F64] = {52, 11}, [MLKV_F32] = {23, 8},   [MLKV_F16] = {10, 5},
        [MLKV_BF16] = {7, 8},  [MLKV_F8E4M3] = {3, 4}, [MLKV_F8E5M2] = {2, 5}};
    int mantissa = forms[dtype].mantissa, exponent = forms[dtype].exponent;
    if (dtype == MLKV_BOOL)
        return random % 20 == 0;
    if (mantissa == 0)
        return random % (mlkv_dtype_size((mlkv_dtype)dtype) == 1 ? 20 : 1000);
    uint64_t steps = random >> 58 == 0 ? 3 : (random >> 62) % 3; /* how far below */
    uint64_t bits = (((uint64_t)1 << (exponent - 1)) - 2 - steps) << mantissa;
    return bits | (random & (((uint64_t)1 << mantissa) - 1)) |
           (random >> 57 & 1) << (mantissa + exponent);
}

/* Element n of a tensor, in the lowest bytes (of a complex number: n counts its two parts). */
static inline uint64_t golden_element_bits(int dtype, golden_content content, uint64_t seed,
                                           uint64_t n)
{
    uint64_t random = golden_mix(seed * 1000003 + n + 1);
    if (content == GOLDEN_REPEATS)
        return dtype == MLKV_BOOL ? n % 3 == 0 : golden_mix(seed + n % 25);
    if (content == GOLDEN_NUMBERS)
        return golden_number_bits(dtype, random);
    return dtype == MLKV_BOOL ? random & 1 : random;
}

static inline void golden_tensor_fill(int i, const golden_tensor *self, unsigned char *to)
{
    int dtype = self->tensor.dtype == MLKV_C64    ? MLKV_F32
                : self->tensor.dtype == MLKV_C128 ? MLKV_F64
                                                  : self->tensor.dtype;
    size_t width = mlkv_dtype_size((mlkv_dtype)dtype);
    for (uint64_t n = 0; n < self->size / width; n++) {
        bool other = self->changed && n >= 65 && n < 130; /* row 1 */
        uint64_t bits = golden_element_bits(dtype, self->content, (uint64_t)i + other, n);
        for (size_t b = 0; b < width; b++)
            to[n * width + b] = (unsigned char)(bits >> 8 * b);
    }
}

/* All of them into an open store; the first result that is not MLKV_OK. */
static inline int golden_tensors_put(mlkv *db)
{
    static unsigned char data[GOLDEN_BYTES_MAX];
    int result = MLKV_OK;
    for (int i = 0; i < GOLDEN_TENSORS && result == MLKV_OK; i++) {
        golden_tensor one = golden_tensor_of(i);
        mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = one.chunk_bytes};
        mlkv_slice key = {one.name, strlen(one.name)};
        bool changed = one.changed;
        one.changed = false;
        golden_tensor_fill(i, &one, data);
        result = mlkv_tensor_put(db, key, &one.tensor, data, &options);
        one.changed = changed;
        golden_tensor_fill(i, &one, data);
        if (changed && result == MLKV_OK)
            result = mlkv_tensor_write_rows(db, key, 1, 1, data + 130, 130);
    }
    return result;
}

/* One key of each other type, for payloads. */
static inline int golden_others_put(mlkv *db)
{
    mlkv_pair fields[] = {{{"field", 5}, {"value", 5}}, {{"", 0}, {"", 0}}};
    mlkv_slice members[] = {{"one", 3}, {"two", 3}, {"", 0}};
    mlkv_scored scored[] = {{{"low", 3}, -1.5}, {{"high", 4}, 1e300}, {{"none", 4}, 0}};
    int result =
        mlkv_string_set(db, (mlkv_slice){"string", 6}, (mlkv_slice){"text", 4}, MLKV_SET_ALWAYS);
    if (result == MLKV_OK)
        result = mlkv_hash_set(db, (mlkv_slice){"hash", 4}, fields, 2, NULL);
    if (result == MLKV_OK)
        result = mlkv_list_push(db, (mlkv_slice){"list", 4}, MLKV_LIST_RIGHT, members, 3, NULL);
    if (result == MLKV_OK)
        result = mlkv_set_add(db, (mlkv_slice){"set", 3}, members, 3, NULL);
    if (result == MLKV_OK)
        result = mlkv_zset_add(db, (mlkv_slice){"zset", 4}, scored, 3, 0, NULL, NULL);
    return result;
}

enum { GOLDEN_OTHERS = 5, GOLDEN_PAYLOADS = GOLDEN_OTHERS + GOLDEN_DTYPES + GOLDEN_SHAPES };

/* The key of payload number i: the other types, each dtype, in one of the contents, and the shapes. */
static inline void golden_payload_key(int i, char name[48])
{
    static const char *const others[GOLDEN_OTHERS] = {"string", "hash", "list", "set", "zset"};
    int dtype = i - GOLDEN_OTHERS;
    if (i < GOLDEN_OTHERS)
        snprintf(name, 48, "%s", others[i]);
    else if (dtype < GOLDEN_DTYPES)
        snprintf(name, 48, "%s", golden_tensor_of(3 * dtype + dtype % 3).name);
    else
        snprintf(name, 48, "%s", golden_tensor_of(GOLDEN_TENSORS - GOLDEN_PAYLOADS + i).name);
}

#endif
