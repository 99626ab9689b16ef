/* key_flush.c - all keys go at once.
 *
 * Bytes owned: none. Every K record is read in one scan, and put away as a single deletion does (entry_remove): so the cost is that of the
 * keys, whatever they hold, and their elements are left to the cleaner.
 *
 * Invariants
 *   1. One rule: there is no state in which some of the keys are gone.
 *   2. Afterwards there is no K, X, F or Q record, and the counter is 0.
 * A record that cannot be understood ends it with MLKV_E_CORRUPT, and nothing is deleted: what it refers to could not be put away.
 * Locks: none; everything happens inside a rule.
 */
#include <mlkv/key.h>

#include "base/bytes.h"
#include "types/argument.h"
#include "types/entry.h"

static int delete_all_rule(op *o, void *context)
{
    static const unsigned char prefix = RECORD_KEY;
    scan *walk = NULL;
    mlkv_slice key, value;
    entry found;
    (void)context;
    int result = op_scan_open(o, slice_of(&prefix, 1), slice_of(NULL, 0), &walk);
    while (result == MLKV_OK) {
        result = scan_next(walk, &key, &value);
        if (result == MLKV_OK)
            result = entry_of_record(key, value, &found);
        if (result == MLKV_OK)
            result = entry_remove(o, &found);
    }
    scan_close(walk);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

int mlkv_key_delete_all(mlkv *view)
{
    int result = argument_pointer(view, "view");
    return result != MLKV_OK ? result : op_write(view, delete_all_rule, NULL);
}
