/* list.h - elements in a row under a key: a stack, a queue, an array.
 *
 * Elements are any bytes, also none, of any size (large ones are stored as blobs, compressible ones
 * compressed, as string values are). A list exists as long as it has an element: the first push makes
 * it, the removal of the last element ends it, and a missing key reads as an empty list. Indexes count
 * from 0, negative ones from the end: -1 is the last element.
 *
 * Costs. Each element is a record that is found by its index: both ends and any index cost the same,
 * however long the list is. Edits in the middle (insert, remove) are O(n): they move the elements on
 * the shorter side, one record read and one written each, in one atomic write, which for a list of
 * millions takes seconds and hundreds of megabytes. Only the ends are cheap to change.
 *
 * A pop whose durability fails (MLKV_E_DURABILITY: it is visible, but not known to be durable) fills its
 * outputs all the same, because nobody else will get these elements any more. So does a move.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE (a key of more than 16 MiB), MLKV_E_OWNER, MLKV_E_MEMORY, MLKV_E_IO,
 * MLKV_E_CORRUPT; from writes also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL, MLKV_E_POISONED,
 * MLKV_E_DURABILITY. Every call returns MLKV_E_TYPE if the key holds another type. A failed call has
 * changed nothing (but for MLKV_E_DURABILITY: it is visible then), and its outputs are untouched (rows
 * become empty). Rows and buffers are the caller's, start as {0}, are freed by their free function; items
 * live until the rows are filled again or freed. Arguments must not stand in the memory of an output.
 */
#ifndef MLKV_LIST_H
#define MLKV_LIST_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* An end of a list. Values are pinned for ever. */
typedef enum {
    MLKV_LIST_LEFT = 0, /* index 0 */
    MLKV_LIST_RIGHT = 1 /* index -1 */
} mlkv_list_end;

/* A side of an element. Values are pinned for ever. */
typedef enum { MLKV_LIST_BEFORE = 0, MLKV_LIST_AFTER = 1 } mlkv_list_side;

/* --- both ends --- */

/* Pushes n values at one end, one after another, all at once: after a push of a, b, c on the left the
 * list begins with c, b, a. *ret_length (may be NULL): elements afterwards. n == 0 pushes nothing and
 * does not make the key. Cost: one record read, n + 1 written (two more reads and writes if the key is
 * new); one lock, one frame. Returns MLKV_OK. Mirrors LPUSH, RPUSH. Since 0.1. */
MLKV_API int mlkv_list_push(mlkv *view, mlkv_slice key, mlkv_list_end end, const mlkv_slice *values,
                            size_t n, uint64_t *ret_length);

/* The same, but only if the list exists. Returns MLKV_OK; MLKV_ABSENT: no such key, nothing was pushed.
 * Mirrors LPUSHX, RPUSHX. Since 0.1. */
MLKV_API int mlkv_list_push_if_present(mlkv *view, mlkv_slice key, mlkv_list_end end,
                                       const mlkv_slice *values, size_t n, uint64_t *ret_length);

/* Takes the element at one end away; it replaces the content of *ret_value. Cost: two record reads, two
 * written; O(value). Returns MLKV_OK; MLKV_ABSENT: no such key. Mirrors LPOP, RPOP. Since 0.1. */
MLKV_API int mlkv_list_pop(mlkv *view, mlkv_slice key, mlkv_list_end end, mlkv_buffer *ret_value);

/* Takes up to `count` elements at one end away, all at once, in the order in which single pops would. count
 * == 0 takes nothing. Cost: min(count, n) + 1 record reads, as many written; taking all elements of a long
 * list writes O(1). Returns MLKV_OK; MLKV_ABSENT: no such key. Mirrors LPOP count, RPOP count. Since 0.1. */
MLKV_API int mlkv_list_pop_many(mlkv *view, mlkv_slice key, mlkv_list_end end, uint64_t count,
                                mlkv_rows *ret_values);

/* The same from the first of n keys that exists; *ret_which (may be NULL): its index in keys. Keys behind
 * it are not looked at. count must not be 0. n may be 0. Cost: as mlkv_list_pop_many, and one record read
 * for each missing key. Returns MLKV_OK; MLKV_ABSENT: none exists; MLKV_E_TYPE: the first that exists is no
 * list. Mirrors LMPOP. Since 0.1. */
MLKV_API int mlkv_list_pop_first(mlkv *view, const mlkv_slice *keys, size_t n, mlkv_list_end end,
                                 uint64_t count, size_t *ret_which, mlkv_rows *ret_values);

/* Moves the element at the `from` end of source to the `to` end of destination, which is made if it is
 * missing: at no moment it is in none or in both. The same key twice rotates the list. *ret_value (may be
 * NULL) becomes the element. Cost: four record reads and four written; the element's data is not touched
 * but to be returned. Returns MLKV_OK; MLKV_ABSENT: no such source (destination is not looked at then).
 * Mirrors LMOVE; RPOPLPUSH is from the right to the left. Since 0.1. */
MLKV_API int mlkv_list_move(mlkv *view, mlkv_slice source, mlkv_slice destination,
                            mlkv_list_end from, mlkv_list_end to, mlkv_buffer *ret_value);

/* --- reading --- */

/* The number of elements; 0 for a missing key. Cost: one record read. Returns MLKV_OK. Mirrors LLEN. Since
 * 0.1. */
MLKV_API int mlkv_list_length(mlkv *view, mlkv_slice key, uint64_t *ret_length);

/* Replaces the content of *ret_value by the element at the index. Cost: two record reads, wherever it stands;
 * O(value). Returns MLKV_OK; MLKV_ABSENT: no such key, or the index is outside. Mirrors LINDEX. Since 0.1. */
MLKV_API int mlkv_list_get(mlkv *view, mlkv_slice key, int64_t index, mlkv_buffer *ret_value);

/* The elements from index start to index stop, both included, as of one moment. What is outside of the list
 * is cut off; no items if nothing is left, or for a missing key. All of it is in memory then: for lists that
 * do not fit read parts, or use mlkv_cursor_open. Cost: n + 1 record reads, with their cache misses
 * overlapped; a long range is a scan. Returns MLKV_OK. Mirrors LRANGE. Since 0.1. */
MLKV_API int mlkv_list_range(mlkv *view, mlkv_slice key, int64_t start, int64_t stop,
                             mlkv_rows *ret_values);

/* The index of an element equal to value. rank 1: the first one, 2: the second one ...; -1: the last one,
 * -2: the one before ... (the search begins at the end then). rank 0 and INT64_MIN are refused. At most
 * compared_max elements are looked at, 0: all. Cost: O(n), ends at the match; values of another size are
 * not decoded. Returns MLKV_OK; MLKV_ABSENT: no such element or key. Mirrors LPOS with RANK and MAXLEN. Since
 * 0.1. */
MLKV_API int mlkv_list_find(mlkv *view, mlkv_slice key, mlkv_slice value, int64_t rank,
                            uint64_t compared_max, uint64_t *ret_index);

/* The indexes of up to `count` equal elements (0: of all), from the one of that rank on, in the order of the
 * search (so falling if rank is negative). They replace the content of *ret_indexes: uint64_t[size / 8].
 * Cost: O(n). Returns MLKV_OK, also for none and for a missing key. Mirrors LPOS with RANK, COUNT and MAXLEN.
 * Since 0.1. */
MLKV_API int mlkv_list_find_many(mlkv *view, mlkv_slice key, mlkv_slice value, int64_t rank,
                                 uint64_t count, uint64_t compared_max, mlkv_buffer *ret_indexes);

/* --- editing --- */

/* Replaces the element at the index. Cost: two record reads, one written. Returns MLKV_OK; MLKV_ABSENT: no
 * such key; MLKV_E_RANGE: the index is outside. Mirrors LSET. Since 0.1. */
MLKV_API int mlkv_list_set(mlkv *view, mlkv_slice key, int64_t index, mlkv_slice value);

/* Keeps only the elements from index start to index stop (see mlkv_list_range); if nothing is left, the key
 * goes. Cost: what goes is read and deleted, O(removed); where little of a long list is left, O(left), and
 * nothing left O(1): the rest is reclaimed in the background. Returns MLKV_OK, also for a missing key. Mirrors
 * LTRIM. Since 0.1. */
MLKV_API int mlkv_list_trim(mlkv *view, mlkv_slice key, int64_t start, int64_t stop);

/* Removes elements equal to value: the first `count` ones; count < 0: the last -count ones; 0: all. With the
 * last element the key goes. *ret_removed (may be NULL): how many. Cost: O(n): looks for them, then moves
 * what stands between them and the nearer end. Returns MLKV_OK, also for a missing key. Mirrors LREM. Since
 * 0.1. */
MLKV_API int mlkv_list_remove(mlkv *view, mlkv_slice key, int64_t count, mlkv_slice value,
                              uint64_t *ret_removed);

/* Inserts value before or after the first element equal to pivot. *ret_length (may be NULL): elements
 * afterwards. Cost: O(n): looks for pivot from the left, then moves what stands between it and the nearer
 * end. Returns MLKV_OK; MLKV_ABSENT: nothing was inserted, and *ret_length is 0 if there is no such key, -1
 * if no element is equal to pivot. Mirrors LINSERT. Since 0.1. */
MLKV_API int mlkv_list_insert(mlkv *view, mlkv_slice key, mlkv_list_side side, mlkv_slice pivot,
                              mlkv_slice value, int64_t *ret_length);

MLKV_END_DECLS

#endif
