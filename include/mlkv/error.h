/* error.h - the one table of results: enum, names, messages, and Python's exceptions come from it.
 *
 * 0 is done; positive is not an error (absent, the end, not done because of a condition); negative
 * is an error, and nothing was changed, with one exception: MLKV_E_DURABILITY. Then the write is
 * visible to all, and only the wait for its durability failed (the detail says why); what is not
 * visible although its frame was too large for the ring, and LMDB's commit failed, shows at the next
 * opening. Values are pinned for ever and never reused.
 */
#ifndef MLKV_ERROR_H
#define MLKV_ERROR_H

#include <mlkv/base.h>

MLKV_BEGIN_DECLS

/* X(symbol, value, name, message) */
#define MLKV_RESULT_TABLE(X)                                                                    \
    X(MLKV_OK, 0, "ok", "done")                                                                 \
    X(MLKV_ABSENT, 1, "absent", "nothing there, the end, or a condition that did not hold")     \
    X(MLKV_E_ARGUMENT, -1, "argument", "an argument is not valid")                              \
    X(MLKV_E_MEMORY, -2, "memory", "out of memory")                                             \
    X(MLKV_E_IO, -3, "io", "the operating system refused an operation on a file")               \
    X(MLKV_E_CORRUPT, -4, "corrupt", "stored bytes do not have the form that they must have")   \
    X(MLKV_E_TYPE, -5, "type", "the key holds another type")                                    \
    X(MLKV_E_NUMBER, -6, "number", "the value is not a number of the kind asked for")           \
    X(MLKV_E_RANGE, -7, "range", "a result or an index is out of range")                        \
    X(MLKV_E_READONLY, -8, "readonly", "this view or this opening cannot write")                \
    X(MLKV_E_BUSY, -9, "busy", "a lock was not to be had in time")                              \
    X(MLKV_E_FULL, -10, "full", "the disk or the quota is full")                                \
    X(MLKV_E_VERSION, -11, "version", "the store was written by another version of the format") \
    X(MLKV_E_MISMATCH, -12, "mismatch", "journal and store do not belong together")             \
    X(MLKV_E_RECOVERY, -13, "recovery",                                                         \
      "the store needs recovery, which a read-only opening cannot do")                          \
    X(MLKV_E_OWNER, -14, "owner",                                                               \
      "a transaction was used by a thread that does not own it, or is over")                    \
    X(MLKV_E_POISONED, -15, "poisoned",                                                         \
      "an earlier failure of the disk stopped all writing until the store is reopened")         \
    X(MLKV_E_ABSENT_STORE, -16, "absent_store", "there is no store at this path")               \
    X(MLKV_E_SHAPE, -17, "shape", "dtype, shape or row range do not fit the tensor")            \
    X(MLKV_E_SIZE, -18, "size", "something is larger than its limit")                           \
    X(MLKV_E_PLATFORM, -19, "platform",                                                         \
      "the processes that share a store do not share what that needs")                          \
    X(MLKV_E_PERMISSION, -20, "permission", "the operating system denies access to the store")  \
    X(MLKV_E_DURABILITY, -21, "durability",                                                     \
      "the write was made, and whether it is durable is not known")                             \
    X(MLKV_E_FORMAT, -22, "format",                                                             \
      "a file is not of its format, or has something in it that a store cannot hold")           \
    X(MLKV_E_CONTIGUOUS, -23, "contiguous", "the tensor is not stored so that it can be lent")

typedef enum {
#define MLKV_RESULT_ENUM(symbol, value, name, message) symbol = (value),
    MLKV_RESULT_TABLE(MLKV_RESULT_ENUM)
#undef MLKV_RESULT_ENUM
} mlkv_result;

/* The short name of a result ("type"), or "unknown". Static storage, any thread. */
MLKV_API const char *mlkv_error_name(int result);

/* The general message of a result. Static storage, any thread. */
MLKV_API const char *mlkv_error_message(int result);

/* What exactly went wrong in this thread's last call that returned a negative result: names the
 * argument, the file, the record. "" if none did. The text is the thread's own and valid until its
 * next call into the library. */
MLKV_API const char *mlkv_error_detail(void);

/* The i-th row of the table, i from 0, for bindings that generate their exceptions. MLKV_ABSENT
 * past the end. */
MLKV_API int mlkv_error_row(size_t i, int *ret_result, const char **ret_name,
                            const char **ret_message);

MLKV_END_DECLS

#endif
