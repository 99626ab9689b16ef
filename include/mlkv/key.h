/* key.h - keys of any type, and cursors over keys and elements.
 *
 * Keys are any bytes, also none, at most 16 MiB. Views, threads, atomicity and the errors that
 * every call may return are those of string.h: MLKV_E_ARGUMENT, MLKV_E_SIZE, MLKV_E_OWNER,
 * MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_CORRUPT; from mlkv_key_delete also MLKV_E_READONLY, MLKV_E_BUSY,
 * MLKV_E_FULL, MLKV_E_POISONED, MLKV_E_DURABILITY. A failed call has changed nothing (but for
 * MLKV_E_DURABILITY: it is visible then), and its outputs are untouched.
 */
#ifndef MLKV_KEY_H
#define MLKV_KEY_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* What a key holds. Values are pinned for ever. */
typedef enum {
    MLKV_TYPE_NONE = 0, /* there is no such key */
    MLKV_TYPE_STRING = 1,
    MLKV_TYPE_HASH = 2,
    MLKV_TYPE_LIST = 3,
    MLKV_TYPE_SET = 4,
    MLKV_TYPE_ZSET = 5,
    MLKV_TYPE_TENSOR = 6,
} mlkv_type;

/* How many of n keys exist, as of one moment; a key named twice counts twice. n may be 0.
 * Cost: n record reads, with their cache misses overlapped. Returns MLKV_OK. Mirrors EXISTS. Since
 * 0.1. */
MLKV_API int mlkv_key_exists(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_count);

/* Deletes n keys of any type, all at once. *ret_deleted (may be NULL): how many there were; a key
 * named twice counts once. n may be 0. Cost: O(1) a key, whatever it holds: its elements are
 * reclaimed in the background, and can never come back. One record read a key, two or three
 * written. Returns MLKV_OK. Mirrors UNLINK, DEL. Since 0.1. */
MLKV_API int mlkv_key_delete(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_deleted);

/* How many of n keys exist; a key named twice counts twice. The same as mlkv_key_exists: nothing here depends on when a key was
 * last used. Mirrors TOUCH. Since 0.1. */
MLKV_API int mlkv_key_touch(mlkv *view, const mlkv_slice *keys, size_t n, size_t *ret_count);

/* Deletes every key, all at once: an atomic write as any other, in a transaction part of it. Locks by name (lock.h) are keys
 * too. Cost: O(keys), whatever they hold: elements are reclaimed in the background. The writer lock is held for as long, some
 * 2 s for a million keys, and about 200 bytes of memory a key are taken. Returns MLKV_OK. Mirrors FLUSHDB, FLUSHALL. Since 0.1. */
MLKV_API int mlkv_key_delete_all(mlkv *view);

/* What the key holds; MLKV_TYPE_NONE for a missing key. Cost: one record read. Returns MLKV_OK.
 * Mirrors TYPE. Since 0.1. */
MLKV_API int mlkv_key_type(mlkv *view, mlkv_slice key, mlkv_type *ret_type);

/* --- one key becomes another, or two --- */

/* The key gets a new name, with all that it holds and its expiries; a key of that name, of any type, is deleted. The old name
 * being the new one, nothing changes. Cost: two record reads, and up to eight written, whatever the keys hold; O(value) for a
 * string. Returns MLKV_OK; MLKV_ABSENT: no such key. Mirrors RENAME. Since 0.1. */
MLKV_API int mlkv_key_rename(mlkv *view, mlkv_slice key, mlkv_slice new_name);

/* The same, only if there is no key of the new name (nor are both names the same). *ret_renamed (may be NULL): 1 if so, else 0.
 * Returns MLKV_OK, also if it was not renamed; MLKV_ABSENT: no such key, *ret_renamed is untouched. Mirrors RENAMENX. Since 0.1. */
MLKV_API int mlkv_key_rename_if_absent(mlkv *view, mlkv_slice key, mlkv_slice new_name,
                                       int *ret_renamed);

/* Copies a key with all that it holds and its expiries to another name, all at once. A key that stands there is replaced if
 * `replace` is not 0, else nothing is done. *ret_copied (may be NULL): 1 if it was copied, else 0. A copied tensor has version 1.
 * Cost: O(elements), some 1 to 3 us each, under the writer lock, and all of the copy in memory for as long; large values (blobs)
 * are shared, not copied. Returns MLKV_OK, also if it was not copied; MLKV_ABSENT: no such key, *ret_copied is untouched;
 * MLKV_E_ARGUMENT: both names are the same. Mirrors COPY. Since 0.1. */
MLKV_API int mlkv_key_copy(mlkv *view, mlkv_slice source, mlkv_slice destination, int replace,
                           int *ret_copied);

/* --- keys at large --- */

/* Some key, which replaces the content of *ret_key. Of up to 1024 keys each is equally likely. Of more, 16 are drawn, by ways
 * down the tree of their names, and one of these, weighed against the likelihood of its way: names that differ in digits, or are
 * random, are drawn nearly equally; where few begin like no others beside many that begin alike, some are drawn up to about four
 * times as often as others; every key is drawn at times. Cost: not O(keys) but O(forks on the way), about a millisecond, and
 * O(records not yet in LMDB); only where nearly all keys have expired all are read. Returns MLKV_OK; MLKV_ABSENT: there is no
 * key. Mirrors RANDOMKEY. Since 0.1. */
MLKV_API int mlkv_key_random(mlkv *view, mlkv_buffer *ret_key);

/* All keys that match a pattern, as of one moment, in the order of their bytes (names of more than about 480 bytes by their first
 * bytes only). In a pattern ? is any byte, * any bytes, also none; [a-cx] one of these bytes, [^a-c] none of these; a backslash
 * takes the next byte as it is. Bytes are what Redis compares them as, signed: a range over 0x7f goes from the higher to the
 * lower. Rows are the caller's. Cost: 300 ns a key that begins with what stands before the first of ?*[, and O(key * pattern) at
 * worst to compare it. Returns MLKV_OK, also with no rows. Mirrors KEYS. Since 0.1. */
MLKV_API int mlkv_key_matching(mlkv *view, mlkv_slice pattern, mlkv_rows *ret_keys);

/* --- expiry: keys that end by themselves ---
 *
 * A key with an expiry is gone, to every reader of every process, at that millisecond of the machine's
 * wall clock; the room it takes is given back in the background, soon after. Snapshots stand still: in
 * one a key is gone if it was so when the snapshot was made, and all keys of an operation or a
 * transaction are looked at with one and the same time. A clock that is set forward lets keys expire;
 * one that is set back revives nothing that was found expired, nor anything that was due: time stands
 * still until it is removed, and then goes on from the clock. (A power cut right before that may
 * forget what the last moments saw.)
 * Writing to a key keeps its expiry, but for calls that replace it whole and say so (mlkv_string_set).
 */

/* When mlkv_key_expire sets an expiry. */
typedef enum {
    MLKV_EXPIRE_ALWAYS = 0,
    MLKV_EXPIRE_IF_NONE = 1,       /* NX: only if the key has none */
    MLKV_EXPIRE_IF_ANY = 2,        /* XX: only if it has one */
    MLKV_EXPIRE_IF_LATER = 3,      /* GT: only if it has one, and this one is later */
    MLKV_EXPIRE_IF_SOONER = 4,     /* LT: only if it has none, or this one is sooner */
    MLKV_EXPIRE_IF_ANY_SOONER = 5, /* XX LT: only if it has one, and this one is sooner */
} mlkv_expire_condition;

enum { MLKV_NO_EXPIRY = -1 };

/* What a call that sets a value does to the key's expiry. Start it as {0}. */
typedef enum {
    MLKV_EXPIRY_NONE = 0, /* the key has none afterwards */
    MLKV_EXPIRY_KEEP = 1, /* it keeps what it has; ms is ignored */
    MLKV_EXPIRY_IN = 2,   /* it ends ms milliseconds from now; ms > 0 */
    MLKV_EXPIRY_AT =
        3, /* it ends ms milliseconds after 1970; ms > 0; a time that is over deletes it */
} mlkv_expiry_kind;

typedef struct {
    int32_t kind;      /* mlkv_expiry_kind */
    uint32_t reserved; /* 0 */
    int64_t ms;
} mlkv_expiry;

/* Lets the key end ttl_ms milliseconds from now; with 0 or less it is deleted at once. Cost: one
 * record read, two or three written, whatever the key holds. Returns MLKV_OK; MLKV_ABSENT: no such
 * key, or the condition did not hold; MLKV_E_RANGE: the end is out of range; MLKV_E_ARGUMENT: also an
 * unknown condition. Mirrors PEXPIRE, EXPIRE (in seconds). Since 0.1. */
MLKV_API int mlkv_key_expire(mlkv *view, mlkv_slice key, int64_t ttl_ms,
                             mlkv_expire_condition condition);

/* The same at a point in time: milliseconds since 1970; a point that is over deletes the key. Mirrors
 * PEXPIREAT, EXPIREAT (in seconds). Since 0.1. */
MLKV_API int mlkv_key_expire_at(mlkv *view, mlkv_slice key, int64_t at_ms,
                                mlkv_expire_condition condition);

/* The key's expiry goes. Cost: one record read, two written. Returns MLKV_OK; MLKV_ABSENT: no such
 * key, or it has none. Mirrors PERSIST. Since 0.1. */
MLKV_API int mlkv_key_persist(mlkv *view, mlkv_slice key);

/* When the key ends, in milliseconds since 1970; MLKV_NO_EXPIRY: never. Cost: one record read.
 * Returns MLKV_OK; MLKV_ABSENT: no such key. Mirrors PEXPIRETIME, EXPIRETIME. Since 0.1. */
MLKV_API int mlkv_key_expiry(mlkv *view, mlkv_slice key, int64_t *ret_at_ms);

/* How long the key has, in milliseconds, at least 1; MLKV_NO_EXPIRY: for ever. Cost: one record read.
 * Returns MLKV_OK; MLKV_ABSENT: no such key. Mirrors PTTL, TTL. Since 0.1. */
MLKV_API int mlkv_key_ttl(mlkv *view, mlkv_slice key, int64_t *ret_ms);

/* The number of keys in the store, exactly: a record counts them, kept by every creation and
 * deletion; in a transaction its own included. Keys that have expired count until they are removed,
 * some moments later. Cost: O(1), one record read. Returns MLKV_OK.
 * Mirrors DBSIZE. Since 0.1. */
MLKV_API int mlkv_key_count(mlkv *view, uint64_t *ret_count);

/* "none", "string", "hash", "list", "set", "zset", "tensor"; "unknown" for any other value. Static
 * storage, any thread. Since 0.1. */
MLKV_API const char *mlkv_type_name(mlkv_type type);

/* What a cursor walks over. Values are pinned for ever: they stand in tokens. */
typedef enum {
    MLKV_SCAN_KEYS = 0, /* name: the key; value: its type's name */
    MLKV_SCAN_HASH = 1, /* name: field; value: its value */
    MLKV_SCAN_SET = 2,  /* name: member; value: empty */
    MLKV_SCAN_LIST = 3, /* name: element; value: empty; in the order of the list */
    MLKV_SCAN_ZSET =
        4, /* name: member; value: its score as text ("3", "-1.5", "inf"); in the order of names */
    MLKV_SCAN_TENSORS =
        5, /* name: a key that holds a tensor; value: its mlkv_tensor_info, as in tensor.h */
} mlkv_scan_kind;

/* Zero means the default, so `mlkv_query q = {.size = sizeof q}` walks over all keys. Unknown
 * non-zero bytes past a known size are refused. The slices are read during mlkv_cursor_open only.
 */
typedef struct {
    size_t size;       /* sizeof(mlkv_query) */
    int32_t kind;      /* mlkv_scan_kind */
    uint32_t reserved; /* 0 */
    mlkv_slice key;    /* the hash, set, list or sorted set; ignored for MLKV_SCAN_KEYS and
                          MLKV_SCAN_TENSORS */
    mlkv_slice prefix; /* only names that start with it; of any length */
    mlkv_slice token;  /* resume after this position: from mlkv_cursor_token, of this or another
                          cursor, process or day; empty: from the  start. It holds a name, not a
                          place, so it stays good whatever was written meanwhile. Of a list: a place, which
                          pushes and pops keep, and edits in the middle shift */
} mlkv_query;

typedef struct mlkv_cursor mlkv_cursor;

/* Opens a cursor on a view: it walks over everything as of this moment, whatever is written while
 * it is open (in a transaction: its own writes so far included). No lock is held. Names come in the
 * order of their bytes; names of more than about 480 bytes by their first bytes only. A missing key
 * has nothing to walk over. The cursor is the caller's, ended by mlkv_cursor_close; it belongs to
 * one thread at a time, does not cross a fork, and one on a snapshot or a transaction must be
 * closed before its view ends. Like a snapshot it keeps LMDB from reusing pages: do not keep it for
 * hours. Cost: O(log store) plus the records that are not yet in LMDB and match. Returns MLKV_OK;
 * MLKV_E_TYPE: the key holds another type; MLKV_E_ARGUMENT: also an unknown kind or size, a token
 * of another kind or no token; MLKV_E_BUSY: the key is deleted and made again faster than it can be
 * opened. Mirrors SCAN, HSCAN, SSCAN, ZSCAN with MATCH prefix*, but exact: each name once. Since 0.1. */
MLKV_API int mlkv_cursor_open(mlkv *view, const mlkv_query *query, mlkv_cursor **ret_cursor);

/* The next name, and its value unless ret_value is NULL. Both are the cursor's and live until the
 * next call on it. Cost: 40-100 ns a record; a compressed or large value is decoded in addition.
 * Returns MLKV_OK; MLKV_ABSENT: the end, again at every further call; MLKV_E_CORRUPT (the next call
 * goes on behind the bad record), MLKV_E_MEMORY, MLKV_E_IO, MLKV_E_OWNER (in a forked child). Since
 * 0.1. */
MLKV_API int mlkv_cursor_next(mlkv_cursor *cursor, mlkv_slice *ret_name, mlkv_slice *ret_value);

/* Where the cursor stands, after the last name returned: some 2 to 512 bytes for mlkv_query.token;
 * empty if it stands at the start. They replace the content of *ret_token, which is the caller's.
 * Cost: a copy. Returns MLKV_OK, MLKV_E_MEMORY. Since 0.1. */
MLKV_API int mlkv_cursor_token(mlkv_cursor *cursor, mlkv_buffer *ret_token);

/* Ends a cursor. NULL is accepted. Since 0.1. */
MLKV_API void mlkv_cursor_close(mlkv_cursor *cursor);

MLKV_END_DECLS

#endif
