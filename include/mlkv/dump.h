/* dump.h - a key's whole content as bytes, and back: to move it to another store, or to keep it elsewhere.
 *
 * A payload is this library's own format (docs/FORMAT.md, section 10), with a version and a checksum. It
 * holds what the key means, not how it is stored, so it outlives changes of the layout: the elements, of
 * a list in order, of a hash with the fields' expiries (points in time), of a tensor with dtype, shape and
 * rows of a chunk. It does not hold the key's name, nor its expiry. It is not Redis's format.
 *
 * Views, threads, atomicity and the errors that every call may return are those of string.h:
 * MLKV_E_ARGUMENT, MLKV_E_SIZE, MLKV_E_OWNER, MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_CORRUPT; from
 * mlkv_key_restore also MLKV_E_READONLY, MLKV_E_BUSY, MLKV_E_FULL, MLKV_E_POISONED, MLKV_E_DURABILITY. A
 * failed call has changed nothing (but for MLKV_E_DURABILITY: it is visible then), and its outputs are
 * untouched.
 */
#ifndef MLKV_DUMP_H
#define MLKV_DUMP_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* The content of a key of any type, as of one moment, replaces what is in *ret_payload. Fields of a hash
 * that have expired are left out. Cost: O(content), one copy of it in memory; a large tensor that others
 * change all the time holds writers back at last. Returns MLKV_OK; MLKV_ABSENT: no such key. Mirrors
 * DUMP. Since 0.1. */
MLKV_API int mlkv_key_dump(mlkv *view, mlkv_slice key, mlkv_buffer *ret_payload);

/* How mlkv_key_restore goes about it. Values are pinned for ever. */
typedef enum {
    MLKV_RESTORE_REPLACE = 1, /* what the key holds goes, whatever its type (REPLACE) */
    MLKV_RESTORE_AT = 2,      /* ttl_ms is a point in time: milliseconds since 1970 (ABSTTL) */
} mlkv_restore_flag;

/* Makes a key from a payload, in one atomic write: a new life, whatever was there.
 * ttl_ms: milliseconds from now until it ends, or the point in time; 0: never. A point that is over
 * leaves no key (with MLKV_RESTORE_REPLACE the old one goes), and so does a hash all of whose fields have
 * expired. flags: mlkv_restore_flag joined by |. The payload is read during the call only, may come
 * from anybody, and is checked whole before anything is done. Values of 1 KiB and more are compressed, or written as
 * blobs, outside every lock.
 * What is wrong is looked for in Redis's order: the key that is there, the ttl, the payload.
 * Cost: O(payload), and two to three records an element. Returns MLKV_OK; MLKV_ABSENT: the key exists,
 * and MLKV_RESTORE_REPLACE is not given (BUSYKEY); MLKV_E_ARGUMENT: ttl_ms is negative, flags are
 * unknown; MLKV_E_RANGE: the end is out of range; MLKV_E_CORRUPT: these bytes are no payload: another form, version
 * or checksum (the detail says which). Mirrors RESTORE. Since 0.1. */
MLKV_API int mlkv_key_restore(mlkv *view, mlkv_slice key, mlkv_slice payload, int64_t ttl_ms,
                              uint32_t flags);

MLKV_END_DECLS

#endif
