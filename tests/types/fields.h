/* fields.h - what the tests of fields that expire share: one hash, short ways to ask about its fields, the pass. */
#ifndef MLKV_TESTS_TYPES_FIELDS_H
#define MLKV_TESTS_TYPES_FIELDS_H

#include "types/stores.h"

#include "base/clock.h"
#include "base/fault.h"
#include "types/expiry.h"
#include "types/field.h"

#define HOUR INT64_C(3600000)
#define KEY  TEXT("h")

static inline void set(mlkv *view, mlkv_slice field, mlkv_slice value)
{
    mlkv_pair pair = {field, value};
    OK(mlkv_hash_set(view, KEY, &pair, 1, NULL));
}

static inline int64_t expire(mlkv *view, mlkv_slice field, int64_t ms)
{
    int64_t outcome = 77;
    OK(mlkv_hash_expire(view, KEY, &field, 1, ms, MLKV_EXPIRE_ALWAYS, &outcome));
    return outcome;
}

static inline int64_t expire_at(mlkv *view, mlkv_slice field, int64_t at_ms,
                                mlkv_expire_condition condition)
{
    int64_t outcome = 77;
    OK(mlkv_hash_expire_at(view, KEY, &field, 1, at_ms, condition, &outcome));
    return outcome;
}

static inline int64_t persist(mlkv *view, mlkv_slice field)
{
    int64_t outcome = 77;
    OK(mlkv_hash_persist(view, KEY, &field, 1, &outcome));
    return outcome;
}

static inline int64_t ttl(mlkv *view, mlkv_slice field)
{
    int64_t ms = 77;
    OK(mlkv_hash_ttl(view, KEY, &field, 1, &ms));
    return ms;
}

static inline int64_t expiry(mlkv *view, mlkv_slice field)
{
    int64_t at_ms = 77;
    OK(mlkv_hash_expiry(view, KEY, &field, 1, &at_ms));
    return at_ms;
}

static inline uint64_t length(mlkv *view)
{
    uint64_t count = 77;
    OK(mlkv_hash_length(view, KEY, &count));
    return count;
}

static inline bool there(mlkv *view, mlkv_slice field)
{
    int result = mlkv_hash_exists(view, KEY, field);
    ck_assert_int_ge(result, 0);
    return result == MLKV_OK;
}

static inline bool key_there(mlkv *view)
{
    size_t count = 77;
    OK(mlkv_key_exists(view, &(mlkv_slice){"h", 1}, 1, &count));
    return count == 1;
}

/* Runs the pass until nothing is due. */
static inline void expire_all(mlkv *db)
{
    int result = MLKV_OK;
    for (int i = 0; i < 10000 && result == MLKV_OK; i++)
        result = expiry_step(db);
    MUST(MLKV_ABSENT, result);
}

static inline void no_records(mlkv *db, const char *classes)
{
    char class[2] = "";
    for (; *classes != '\0'; classes++) {
        class[0] = *classes;
        ck_assert_msg(count_records(db, class) == 0, "%zu records %s", count_records(db, class),
                      class);
    }
}

#endif
