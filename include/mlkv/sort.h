/* sort.h - the elements of a list, set or sorted set in another order, with what other keys say about them.
 *
 * Patterns name other keys by an element: the first `*` of a pattern is replaced by the element's bytes,
 * and the string at that key is meant; of "name*->field" a hash at that key and its field. `*` and "->" are
 * looked for up to a pattern's first zero byte, as Redis does. What is not there, or holds another type,
 * is absent.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE, MLKV_E_OWNER, MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_CORRUPT; from
 * mlkv_sort_store also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL, MLKV_E_POISONED, MLKV_E_DURABILITY. A
 * failed call has changed nothing (but for MLKV_E_DURABILITY: it is visible then), and its outputs are
 * untouched (rows become empty).
 */
#ifndef MLKV_SORT_H
#define MLKV_SORT_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* Values are pinned for ever. */
typedef enum {
    MLKV_SORT_DESCENDING = 1, /* DESC */
    MLKV_SORT_ALPHA = 2,      /* by bytes and not as numbers */
    MLKV_SORT_BY = 4,         /* `by` is given */
    MLKV_SORT_LIMIT = 8,      /* `offset` and `count` are given */
} mlkv_sort_flag;

/* Zero means the default, so `mlkv_sort_options options = {.size = sizeof options}` sorts by the elements
 * as numbers, lowest first. Unknown non-zero bytes past a known size are refused. */
typedef struct {
    size_t size;       /* sizeof(mlkv_sort_options) */
    uint32_t flags;    /* mlkv_sort_flag joined by | */
    uint32_t reserved; /* 0 */
    mlkv_slice by; /* with MLKV_SORT_BY: the pattern of what is compared instead of the elements;
                               one without `*`: nothing is sorted */
    const mlkv_slice
        *gets; /* patterns of what is shown instead of the elements; "#": the element itself;
                               one without `*`: absent */
    size_t gets_count; /* 0: the elements */
    int64_t offset;    /* with MLKV_SORT_LIMIT: elements passed over in the result; below 0: none */
    int64_t count;     /* and how many are taken from there; below 0: all */
} mlkv_sort_options;

/* The elements in order; with gets_count > 0, so many items for each of them, absent ones included. A
 * missing key has none. options may be NULL.
 *
 * Order: numbers as doubles, equal ones by the bytes of the elements; a missing `by` counts as 0.
 * MLKV_SORT_ALPHA: bytes, up to the first zero byte (as Redis in the C locale; mlkv_sort_store compares
 * all of them); a missing `by` comes first; equal ones in the order in which they stood, of sets and
 * sorted sets in that of their members' bytes. MLKV_SORT_DESCENDING turns the comparison round. Nothing sorted
 * (`by` without `*`): a list's own order, a sorted set's order of scores, both from the other end with
 * MLKV_SORT_DESCENDING; a set's members in the order of their bytes.
 *
 * Everything is as of one moment. Cost: O(n log n) for n elements, all of which are held in memory; with `by` a
 * look-up for each of them, with `gets` for each that is shown. A list or sorted set that is not sorted
 * costs only what is shown. Returns MLKV_OK; MLKV_E_TYPE: the key holds none of the three; MLKV_E_NUMBER: an element, or
 * what `by` names, is not a number (wherever it stands). Mirrors SORT, SORT_RO. Since 0.1. */
MLKV_API int mlkv_sort(mlkv *view, mlkv_slice key, const mlkv_sort_options *options,
                       mlkv_rows *ret_values);

/* The same into a list: `destination` is replaced, whatever it holds, its expiry too; it may be the key
 * itself. An empty result deletes it. What is absent becomes an empty element. With MLKV_SORT_ALPHA all
 * bytes are compared; a set that is not to be sorted is sorted by bytes, ascending unless
 * MLKV_SORT_DESCENDING is given. *ret_count (may be NULL): the list's length. One atomic write; large
 * values are shared, not copied. Cost and results as above; the writer lock is held for all of it. Mirrors SORT with STORE. Since 0.1. */
MLKV_API int mlkv_sort_store(mlkv *view, mlkv_slice key, const mlkv_sort_options *options,
                             mlkv_slice destination, uint64_t *ret_count);

MLKV_END_DECLS

#endif
