/* model_key.c - the names of a model's keys, and back.
 *
 *   index     "mlkv:model:" NAME
 *   manifest  "mlkv:version:" SIZE ":" NAME ":" VERSION
 *   tensor    "mlkv:version:" SIZE ":" NAME ":" VERSION ":" TENSOR
 *
 * SIZE and VERSION are decimal numbers without zeros in front, SIZE that of NAME in bytes.
 *
 * Invariants
 *   1. A key says in one way only what it is: SIZE says where NAME ends, VERSION has digits only, TENSOR is all the rest.
 *   2. All keys of one model's versions, and no others, begin with "mlkv:version:" SIZE ":" NAME ":".
 * No state, no locks.
 */
#include "types/model.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"

#include <stdio.h>

enum { NUMBER_SIZE = 24, VERSION_DIGITS_MAX = 20 };

static int append_text(mlkv_buffer *key, const char *text)
{
    return buffer_append(key, text, strlen(text));
}

static int append_slice(mlkv_buffer *key, mlkv_slice slice)
{
    return slice.size == 0 ? MLKV_OK : buffer_append(key, slice.data, slice.size);
}

static int append_number(mlkv_buffer *key, uint64_t number)
{
    char text[NUMBER_SIZE];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return append_text(key, text);
}

int model_index_key(mlkv_slice name, mlkv_buffer *ret_key)
{
    ret_key->size = 0;
    int result = append_text(ret_key, MODEL_INDEX_PREFIX);
    return result != MLKV_OK ? result : append_slice(ret_key, name);
}

int model_versions_prefix(mlkv_slice name, mlkv_buffer *ret_prefix)
{
    ret_prefix->size = 0;
    int result = append_text(ret_prefix, "mlkv:version:");
    if (result == MLKV_OK)
        result = append_number(ret_prefix, name.size);
    if (result == MLKV_OK)
        result = append_text(ret_prefix, ":");
    if (result == MLKV_OK)
        result = append_slice(ret_prefix, name);
    return result != MLKV_OK ? result : append_text(ret_prefix, ":");
}

int model_manifest_key(mlkv_slice name, uint64_t version, mlkv_buffer *ret_key)
{
    int result = model_versions_prefix(name, ret_key);
    return result != MLKV_OK ? result : append_number(ret_key, version);
}

int model_tensor_key(mlkv_slice name, uint64_t version, mlkv_slice tensor_name,
                     mlkv_buffer *ret_key)
{
    int result = model_manifest_key(name, version, ret_key);
    if (result == MLKV_OK)
        result = append_text(ret_key, ":");
    return result != MLKV_OK ? result : append_slice(ret_key, tensor_name);
}

bool model_parse_version(mlkv_slice rest, uint64_t *ret_version)
{
    const char *text = rest.data;
    uint64_t number = 0;
    size_t digits = 0;
    for (; digits < rest.size && text[digits] >= '0' && text[digits] <= '9'; digits++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (unsigned)(text[digits] - '0'), &number))
            return false;
    if (digits == 0 || digits > VERSION_DIGITS_MAX || text[0] == '0' ||
        (digits < rest.size && text[digits] != ':'))
        return false;
    *ret_version = number;
    return true;
}

int mlkv_model_key(mlkv_slice name, uint64_t version, mlkv_slice tensor_name, mlkv_buffer *ret_key)
{
    mlkv_buffer key = {0};
    error_clear();
    int result = argument_slice(name, "name");
    if (result == MLKV_OK)
        result = argument_slice(tensor_name, "tensor_name");
    if (result == MLKV_OK)
        result = argument_pointer(ret_key, "ret_key");
    if (result == MLKV_OK && version == 0)
        result = error_set(MLKV_E_ARGUMENT, "there is no version 0");
    if (result == MLKV_OK && (name.size > NAME_SIZE_MAX || tensor_name.size > NAME_SIZE_MAX))
        result = error_set(MLKV_E_SIZE, "names of %zu and %zu bytes make no key", name.size,
                           tensor_name.size);
    if (result == MLKV_OK)
        result = model_tensor_key(name, version, tensor_name, &key);
    if (result == MLKV_OK) /* the names may stand in it */
        result = buffer_assign(ret_key, key.data, key.size);
    mlkv_buffer_free(&key);
    return result;
}
