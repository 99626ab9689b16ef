/* verify_expiry.c - the part of mlkv_verify that compares keys' expiries with the X records in order of time.
 *
 * Each looks the other up, in the snapshot that is walked: a K record with an expiry has its X record,
 * and an X record has a K record that says the same. So none is too many, and none is missing.
 *
 * Locks: none.
 */
#include "types/verify.h"

#include "base/bytes.h"
#include "base/error.h"
#include "types/entry.h"
#include "types/expiry.h"

typedef struct {
    mlkv_slice name;
    int64_t at_ms;
    bool same;
} expiry_lookup;

static int lookup_key(op *o, void *context)
{
    expiry_lookup *self = context;
    entry found;
    int result = entry_open(o, self->name, TYPE_ANY, &found);
    self->same = (result == MLKV_OK || (result == MLKV_ABSENT && found.expired)) &&
                 found.header.expiry_ms == self->at_ms;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int lookup_expiry(op *o, void *context)
{
    expiry_lookup *self = context;
    int result = expiry_find(o, self->name, self->at_ms);
    self->same = result == MLKV_OK;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int verify_expiry(verifier *self, mlkv_slice key, mlkv_slice value)
{
    expiry_lookup lookup;
    mlkv_slice rest;
    int result = expiry_split(key, value, &lookup.at_ms, &lookup.name, &rest);
    if (result != MLKV_OK)
        return verify_result(self, key, result);
    if (rest.size != 0)
        return verify_problem(self, "expiry '%s' has a value", error_quote(key.data, key.size));
    result = op_read(self->view, lookup_key, &lookup);
    if (result != MLKV_OK)
        return result == MLKV_E_CORRUPT ? MLKV_OK : result; /* the key's own record is told of */
    return lookup.same ? MLKV_OK
                       : verify_problem(self, "expiry '%s': the key does not expire then",
                                        error_quote(key.data, key.size));
}

int verify_key_expiry(verifier *self, mlkv_slice name, int64_t at_ms)
{
    expiry_lookup lookup = {.name = name, .at_ms = at_ms};
    if (at_ms == 0)
        return MLKV_OK;
    if (at_ms < 0)
        return verify_problem(self, "key '%s' expires at %lld", error_quote(name.data, name.size),
                              (long long)at_ms);
    int result = op_read(self->view, lookup_expiry, &lookup);
    if (result < 0 && result != MLKV_E_CORRUPT)
        return result;
    return lookup.same
               ? MLKV_OK
               : verify_problem(self,
                                "key '%s' expires at %lld, but has no record to be found by then",
                                error_quote(name.data, name.size), (long long)at_ms);
}
