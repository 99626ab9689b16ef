/* argument.c - the checks that every typed call begins with. No state, no locks.
 *
 * They run before anything else, so a misuse changes nothing; each message names the argument as it is called in the public header.
 */
#include "types/argument.h"

#include "base/bytes.h"
#include "base/error.h"

int argument_pointer(const void *pointer, const char *name)
{
    return pointer != NULL ? MLKV_OK : error_set(MLKV_E_ARGUMENT, "%s is NULL", name);
}

int argument_slice(mlkv_slice slice, const char *name)
{
    return slice_valid(slice)
               ? MLKV_OK
               : error_set(MLKV_E_ARGUMENT, "%s has %zu bytes at NULL", name, slice.size);
}

int argument_slices(const mlkv_slice *slices, size_t n, const char *name)
{
    if (slices == NULL && n != 0)
        return error_set(MLKV_E_ARGUMENT, "%s is NULL", name);
    for (size_t i = 0; i < n; i++)
        if (!slice_valid(slices[i]))
            return error_set(MLKV_E_ARGUMENT, "%s[%zu] has %zu bytes at NULL", name, i,
                             slices[i].size);
    return MLKV_OK;
}

int argument_pairs(const mlkv_pair *pairs, size_t n, const char *name)
{
    if (pairs == NULL && n != 0)
        return error_set(MLKV_E_ARGUMENT, "%s is NULL", name);
    for (size_t i = 0; i < n; i++) {
        if (!slice_valid(pairs[i].name))
            return error_set(MLKV_E_ARGUMENT, "%s[%zu].name has %zu bytes at NULL", name, i,
                             pairs[i].name.size);
        if (!slice_valid(pairs[i].value))
            return error_set(MLKV_E_ARGUMENT, "%s[%zu].value has %zu bytes at NULL", name, i,
                             pairs[i].value.size);
    }
    return MLKV_OK;
}

int argument_view_key(const mlkv *view, mlkv_slice key)
{
    int result = argument_pointer(view, "view");
    return result != MLKV_OK ? result : argument_slice(key, "key");
}
