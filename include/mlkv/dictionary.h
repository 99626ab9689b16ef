/* dictionary.h - dictionaries for many small values that are alike.
 *
 * A value of some hundred bytes is too short to be compressed by itself: what it repeats stands in other values. A
 * dictionary is learned from a sample of the values of the keys that begin with a prefix; from then on such values are
 * coded with it, by every process that writes: strings, fields of hashes, elements of lists, of 32 bytes to 32 KiB,
 * each if that saves at least an eighth. Nobody has to say so, neither when writing nor when reading. Of several
 * prefixes that a key begins with the longest one counts. What was written before stays as it is, and so does what was
 * coded with another dictionary: every value names its own.
 *
 * Dictionaries are kept for ever: no count says whether some value, or some snapshot, still needs one. There are at
 * most 4096 in the life of a store, and 1024 prefixes. Each takes its size in the store, once or twice that in the
 * memory of a process that reads values coded with it, and some hundred KiB more in one that writes,
 * until that closes the store.
 *
 * Threads, ownership and the errors that every call may return are those of string.h: MLKV_E_ARGUMENT, MLKV_E_OWNER, MLKV_E_MEMORY,
 * MLKV_E_IO, MLKV_E_CORRUPT, MLKV_E_BUSY; those that write also MLKV_E_READONLY, MLKV_E_FULL, MLKV_E_POISONED, MLKV_E_DURABILITY. A
 * failed call has changed nothing (but for MLKV_E_DURABILITY), and its outputs are untouched. Redis has no such commands.
 */
#ifndef MLKV_DICTIONARY_H
#define MLKV_DICTIONARY_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* How to learn. size first; 0 means the default; bytes that are not 0 past a known size are refused. */
typedef struct {
    size_t size; /* in: sizeof(mlkv_dictionary_options) */
    size_t
        dictionary_bytes; /* at most so large, 256 bytes to 1 MiB; default 64 KiB. A small sample makes a smaller one: an eighth of it */
    size_t
        sample_max_bytes; /* how much to learn from, at most 256 MiB; default 8 MiB. Memory: this, and some 10 MiB */
} mlkv_dictionary_options;

/* One dictionary. */
typedef struct {
    size_t size;            /* in: sizeof(mlkv_dictionary_info) */
    uint32_t id;            /* from 1 on, never used again; 0: none was made */
    uint32_t version;       /* how many its prefix has had, this one included */
    uint64_t bytes;         /* of the dictionary itself */
    int64_t created_ms;     /* since 1970 */
    uint64_t samples;       /* values that it was learned from */
    uint64_t tried_bytes;   /* other values, which it was tried on: their bytes, */
    uint64_t without_bytes; /* what these take in the store without it, */
    uint64_t with_bytes;    /* and with it */
    int32_t current;        /* 1: values of its prefix are coded with it now */
    int32_t reserved;       /* 0 */
} mlkv_dictionary_info;

/* Learns a dictionary from the values of the keys that begin with `prefix` (at most 255 bytes; empty: all keys), tries
 * it on values that it did not learn from, and, if it saves at least a 16th of what these take, stores it as the
 * prefix's current one. Others that write use it as soon as they have taken that in, at their next write or the one
 * after.
 *
 * The sample: every so-manieth of all values of 32 bytes to 32 KiB, if there are up to some 250,000; of more, runs that
 * are spread evenly over the names as they branch. options may be NULL. ret_info (its size set; may be NULL) is filled
 * also if the answer is MLKV_ABSENT: then id is 0, and the figures tell why. db: a live view that can write. Cost:
 * reads up to about a million records, then a second of computing for 8 MiB, without any lock; one small write. Killed
 * at any moment it leaves the new dictionary whole or none. Returns MLKV_OK; MLKV_ABSENT: no dictionary was made: there
 * are too few such values, or it would not pay; MLKV_E_ARGUMENT: also a transaction or a snapshot, and options out of
 * their limits; MLKV_E_SIZE: the prefix is too long, or the store has had all dictionaries that it can have. Since 0.1.
 * */
MLKV_API int mlkv_dictionary_train(mlkv *db, mlkv_slice prefix,
                                   const mlkv_dictionary_options *options,
                                   mlkv_dictionary_info *ret_info);

/* The dictionary with the lowest id above after_id, current or not, and the prefix that it was made for: from 0 on,
 * call by call, all of them. ret_prefix may be NULL. Any view. Cost: one read of a record of its size. Returns MLKV_OK;
 * MLKV_ABSENT: there is none. Since 0.1. */
MLKV_API int mlkv_dictionary_next(mlkv *view, uint32_t after_id, mlkv_dictionary_info *ret_info,
                                  mlkv_buffer *ret_prefix);

/* Values of this prefix are no longer coded with its dictionary: with that of a shorter prefix, if there is one, or none. What was
 * coded with it stays readable, and it stays in the list. Training the prefix again makes a new one. A live view or a transaction. Cost:
 * one small write. Returns MLKV_OK; MLKV_ABSENT: this prefix has none. Since 0.1. */
MLKV_API int mlkv_dictionary_drop(mlkv *view, mlkv_slice prefix);

MLKV_END_DECLS

#endif
