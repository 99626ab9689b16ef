/* named.c - records whose key is made from a name, through the waist.
 *
 * A short name costs nothing here: the value is what the type put. The value of a long name begins with the full name (layout.h), which is
 * compared on every read: a digest is trusted to spread names, never to tell them apart.
 */
#include "types/named.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"

static int check_name(const record_key *key, size_t head_size, mlkv_slice name, mlkv_slice *value)
{
    mlkv_slice stored;
    int result = layout_split_name(record_key_slice(key), head_size, *value, &stored, value);
    if (result == MLKV_OK && !slice_equal(stored, name))
        return error_set(MLKV_E_CORRUPT,
                         "two long names have one digest: \"%s...\" (%zu bytes, stored) and "
                         "\"%s...\" (%zu bytes)",
                         error_quote(stored.data, stored.size), stored.size,
                         error_quote(name.data, name.size), name.size);
    return result;
}

int named_borrow(op *o, const record_key *key, size_t head_size, mlkv_slice name,
                 mlkv_slice *ret_rest)
{
    int result = op_borrow(o, record_key_slice(key), ret_rest);
    if (result == MLKV_OK && key->is_long)
        result = check_name(key, head_size, name, ret_rest);
    return result;
}

int named_put(op *o, const record_key *key, mlkv_slice name, mlkv_slice head, mlkv_slice body)
{
    if (!key->is_long)
        return op_put_parts(o, record_key_slice(key), head, body);
    mlkv_buffer whole = {0};
    unsigned char size[4];
    store_le32(size, (uint32_t)name.size);
    int result = buffer_reserve(&whole, sizeof size + name.size + head.size);
    if (result == MLKV_OK)
        result = buffer_append(&whole, size, sizeof size);
    if (result == MLKV_OK)
        result = buffer_append(&whole, name.data, name.size);
    if (result == MLKV_OK)
        result = buffer_append(&whole, head.data, head.size);
    if (result == MLKV_OK)
        result = op_put_parts(o, record_key_slice(key), slice_of_buffer(&whole), body);
    mlkv_buffer_free(&whole);
    return result;
}
