/* steps.c - see steps.h. All content is a function of the step's number; `value_of` makes bytes of
 * any size from it. */
#include "steps.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STRINGS = 23,
    FIELDS = 17,
    MEMBERS = 40,    /* of the set: the last so many steps */
    QUEUED = 30,     /* elements of the list: the last so many steps */
    EDIT_EVERY = 3,  /* the middle of the list is edited, and put right again */
    BIG_EVERY = 7,   /* a large value each so many steps */
    BIG_SIZE = 9000, /* above the blob threshold of a 64 KiB ring */
    HUGE_EVERY = 31, /* a transaction past the ring */
    HUGE_KEYS = 60,
    HUGE_SIZE = 700,
    ROWS = 6,
    COLUMNS = 50,
    DELETE_EVERY = 11, /* the hash is deleted and begins anew */
};

static mlkv_slice text(const char *s)
{
    return (mlkv_slice){s, strlen(s)};
}

/* size bytes that differ for each (seed, size) and do not compress. */
static void value_of(uint64_t seed, unsigned char *to, size_t size)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15u + size;
    for (size_t i = 0; i < size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        to[i] = (unsigned char)(x >> 24);
    }
}

mlkv_options steps_options(int durability)
{
    return (mlkv_options){.size = sizeof(mlkv_options),
                          .durability = durability,
                          .ring_bytes = STEPS_RING_BYTES,
                          .cache_bytes = STEPS_CACHE_BYTES,
                          .sync_interval_ms = 5,
                          .batch_bytes = 1 << 20};
}

static int run_small(mlkv *tx, uint64_t i)
{
    char key[64], value[64], old[64];
    int64_t counter;
    snprintf(key, sizeof key, "string:%llu", (unsigned long long)(i % STRINGS));
    snprintf(value, sizeof value, "value %llu", (unsigned long long)i);
    int result = mlkv_string_add(tx, text("counter"), 1, &counter);
    if (result == MLKV_OK)
        result = mlkv_string_set(tx, text(key), text(value), MLKV_SET_ALWAYS);
    if (result == MLKV_OK && i % DELETE_EVERY == 0) {
        mlkv_slice hash = text("hash");
        size_t deleted;
        result = mlkv_key_delete(tx, &hash, 1, &deleted);
    }
    snprintf(key, sizeof key, "field %llu", (unsigned long long)(i % FIELDS));
    mlkv_pair pair = {text(key), text(value)};
    size_t count;
    if (result == MLKV_OK)
        result = mlkv_hash_set(tx, text("hash"), &pair, 1, &count);
    mlkv_slice member = text(value), gone = text(old);
    if (result == MLKV_OK)
        result = mlkv_set_add(tx, text("set"), &member, 1, &count);
    if (result == MLKV_OK && i > MEMBERS) {
        snprintf(old, sizeof old, "value %llu", (unsigned long long)(i - MEMBERS));
        gone = text(old);
        result = mlkv_set_remove(tx, text("set"), &gone, 1, &count);
    }
    return result;
}

/* The list takes step i in on the right and lets the oldest go on the left; sometimes the oldest goes another way. */
static int run_list(mlkv *tx, uint64_t i)
{
    char value[64], middle[64];
    snprintf(value, sizeof value, "value %llu", (unsigned long long)i);
    snprintf(middle, sizeof middle, "value %llu", (unsigned long long)(i - QUEUED / 2));
    mlkv_slice element = text(value), mark = text("mark");
    uint64_t removed;
    int result = mlkv_list_push(tx, text("list"), MLKV_LIST_RIGHT, &element, 1, NULL);
    if (result != MLKV_OK || i <= QUEUED)
        return result;
    if (i % EDIT_EVERY == 0) {
        result = mlkv_list_insert(tx, text("list"), MLKV_LIST_AFTER, text(middle), mark, NULL);
        if (result == MLKV_OK)
            result = mlkv_list_remove(tx, text("list"), -1, mark, &removed);
        if (result == MLKV_OK && removed != 1)
            return MLKV_E_CORRUPT;
        return result != MLKV_OK ? result : mlkv_list_trim(tx, text("list"), -QUEUED, -1);
    }
    if (i % EDIT_EVERY == 1)
        return mlkv_list_move(tx, text("list"), text("last"), MLKV_LIST_LEFT, MLKV_LIST_LEFT, NULL);
    mlkv_buffer taken = {0};
    result = mlkv_list_pop(tx, text("list"), MLKV_LIST_LEFT, &taken);
    mlkv_buffer_free(&taken);
    return result != MLKV_OK ? result : mlkv_list_trim(tx, text("last"), 0, 0);
}

static int run_tensor(mlkv *tx, uint64_t i)
{
    mlkv_tensor shape = {MLKV_I64, 2, {ROWS, COLUMNS}};
    int64_t delta[ROWS * COLUMNS];
    for (int j = 0; j < ROWS * COLUMNS; j++)
        delta[j] = i == 1 ? 1 : j;
    if (i == 1)
        return mlkv_tensor_put(tx, text("tensor"), &shape, delta, NULL);
    return mlkv_tensor_add(tx, text("tensor"), 1.0, &shape, delta);
}

static int run_large(mlkv *tx, uint64_t i)
{
    int result = MLKV_OK;
    if (i % BIG_EVERY == 0) {
        unsigned char *big = malloc(BIG_SIZE);
        if (big == NULL)
            return MLKV_E_MEMORY;
        value_of(i, big, BIG_SIZE);
        result = mlkv_string_set(tx, text("big"), (mlkv_slice){big, BIG_SIZE}, MLKV_SET_ALWAYS);
        free(big);
    }
    for (int j = 0; j < HUGE_KEYS && i % HUGE_EVERY == 0 && result == MLKV_OK; j++) {
        unsigned char value[HUGE_SIZE];
        char key[64];
        snprintf(key, sizeof key, "huge:%d", j);
        value_of(i + (uint64_t)j, value, sizeof value);
        result = mlkv_string_set(tx, text(key), (mlkv_slice){value, sizeof value}, MLKV_SET_ALWAYS);
    }
    return result;
}

int steps_run(mlkv *db, uint64_t i)
{
    mlkv *tx = NULL;
    int result = mlkv_begin(db, &tx);
    if (result == MLKV_OK)
        result = run_small(tx, i);
    if (result == MLKV_OK)
        result = run_list(tx, i);
    if (result == MLKV_OK)
        result = run_tensor(tx, i);
    if (result == MLKV_OK)
        result = run_large(tx, i);
    if (result == MLKV_OK)
        return mlkv_commit(tx);
    (void)mlkv_abort(tx);
    return result;
}

int steps_count(mlkv *db, uint64_t *ret_steps)
{
    mlkv_buffer value = {0};
    int result = mlkv_string_get(db, text("counter"), &value);
    *ret_steps = 0;
    if (result == MLKV_OK && value.size < 20) {
        char number[21] = {0};
        memcpy(number, value.data, value.size);
        *ret_steps = strtoull(number, NULL, 10);
    }
    mlkv_buffer_free(&value);
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int differs(const char *what, uint64_t n, int result)
{
    fprintf(stderr, "after %llu steps: %s is not as it must be (result %d: %s)\n",
            (unsigned long long)n, what, result, mlkv_error_detail());
    return -1;
}

/* The newest step <= n that is congruent to `rest`, or 0. */
static uint64_t last_step(uint64_t n, uint64_t rest, uint64_t modulus)
{
    uint64_t back = (n % modulus + modulus - rest) % modulus;
    return n > back ? n - back : 0;
}

static int check_text(mlkv *view, const char *what, int result, const mlkv_buffer *value,
                      uint64_t step, uint64_t n)
{
    char want[64];
    (void)view;
    snprintf(want, sizeof want, "value %llu", (unsigned long long)step);
    if (step == 0)
        return result == MLKV_ABSENT ? 0 : differs(what, n, result);
    bool same = result == MLKV_OK && value->size == strlen(want) &&
                memcmp(value->data, want, value->size) == 0;
    return same ? 0 : differs(what, n, result);
}

static int check_strings(mlkv *view, uint64_t n, mlkv_buffer *value)
{
    for (uint64_t j = 0; j < STRINGS; j++) {
        char key[64];
        snprintf(key, sizeof key, "string:%llu", (unsigned long long)j);
        int result = mlkv_string_get(view, text(key), value);
        if (check_text(view, key, result, value, last_step(n, j, STRINGS), n) != 0)
            return -1;
    }
    return 0;
}

static int check_hash(mlkv *view, uint64_t n, mlkv_buffer *value)
{
    uint64_t born = last_step(n, 0, DELETE_EVERY), fields = 0, length = 0;
    for (uint64_t j = 0; j < FIELDS; j++) {
        char field[64];
        snprintf(field, sizeof field, "field %llu", (unsigned long long)j);
        uint64_t step = last_step(n, j, FIELDS);
        step = step >= born ? step : 0;
        fields += step != 0;
        int result = mlkv_hash_get(view, text("hash"), text(field), value);
        if (check_text(view, field, result, value, step, n) != 0)
            return -1;
    }
    int result = mlkv_hash_length(view, text("hash"), &length);
    return result >= 0 && length == fields ? 0 : differs("the hash's length", n, result);
}

static int check_set(mlkv *view, uint64_t n)
{
    uint64_t count = 0, want = n < MEMBERS ? n : MEMBERS;
    mlkv_rows rows = {0};
    int result = mlkv_set_count(view, text("set"), &count);
    if (result < 0 || count != want)
        return differs("the set's count", n, result);
    result = mlkv_set_members(view, text("set"), &rows);
    int state = result >= 0 && rows.count == want ? 0 : differs("the set", n, result);
    for (uint64_t i = n - want + 1; i <= n && state == 0; i++) {
        char member[64];
        uint8_t there = 0;
        snprintf(member, sizeof member, "value %llu", (unsigned long long)i);
        mlkv_slice name = text(member);
        result = mlkv_set_contains(view, text("set"), &name, 1, &there);
        state = result == MLKV_OK && there ? 0 : differs(member, n, result);
    }
    mlkv_rows_free(&rows);
    return state;
}

static int check_list(mlkv *view, uint64_t n)
{
    mlkv_rows rows = {0};
    uint64_t want = n < QUEUED ? n : QUEUED;
    int result = mlkv_list_range(view, text("list"), 0, -1, &rows);
    int state = result == MLKV_OK && rows.count == want ? 0 : differs("the list", n, result);
    for (uint64_t i = 0; i < want && state == 0; i++) {
        char element[64];
        snprintf(element, sizeof element, "value %llu", (unsigned long long)(n - want + 1 + i));
        bool same = rows.items[i].size == strlen(element) &&
                    memcmp(rows.items[i].data, element, rows.items[i].size) == 0;
        state = same ? 0 : differs(element, n, result);
    }
    mlkv_rows_free(&rows);
    return state;
}

static int check_tensor(mlkv *view, uint64_t n)
{
    int64_t got[ROWS * COLUMNS];
    int result = mlkv_tensor_get(view, text("tensor"), got, sizeof got);
    if (n == 0)
        return result == MLKV_ABSENT ? 0 : differs("the tensor", n, result);
    for (int j = 0; j < ROWS * COLUMNS; j++) {
        if (result != MLKV_OK || got[j] != 1 + (int64_t)(n - 1) * j)
            return differs("the tensor", n, result);
    }
    return 0;
}

static int check_large(mlkv *view, uint64_t n, mlkv_buffer *value)
{
    unsigned char want[BIG_SIZE];
    uint64_t step = last_step(n, 0, BIG_EVERY);
    int result = mlkv_string_get(view, text("big"), value);
    if (step == 0 && result != MLKV_ABSENT)
        return differs("the large value", n, result);
    value_of(step, want, BIG_SIZE);
    if (step != 0 &&
        (result != MLKV_OK || value->size != BIG_SIZE || memcmp(value->data, want, BIG_SIZE) != 0))
        return differs("the large value", n, result);
    step = last_step(n, 0, HUGE_EVERY);
    for (int j = 0; j < HUGE_KEYS && step != 0; j++) {
        char key[64];
        snprintf(key, sizeof key, "huge:%d", j);
        value_of(step + (uint64_t)j, want, HUGE_SIZE);
        result = mlkv_string_get(view, text(key), value);
        if (result != MLKV_OK || value->size != HUGE_SIZE ||
            memcmp(value->data, want, HUGE_SIZE) != 0)
            return differs(key, n, result);
    }
    return 0;
}

int steps_check(mlkv *view, uint64_t n)
{
    mlkv_buffer value = {0};
    int state = check_strings(view, n, &value);
    if (state == 0)
        state = check_hash(view, n, &value);
    if (state == 0)
        state = check_set(view, n);
    if (state == 0)
        state = check_list(view, n);
    if (state == 0)
        state = check_tensor(view, n);
    if (state == 0)
        state = check_large(view, n, &value);
    mlkv_buffer_free(&value);
    return state;
}
