/* model.h - the universe of test_model.c: keys, names and values; the oracle's form; assertions
 * that say the seed.
 *
 * A value is known by what makes its bytes: a seed and a size, or a number. Names 0 to 3 are longer
 * than a record key, or just as long; name 4 is empty. For one program: all state is its own.
 */
#ifndef MLKV_TESTS_SYSTEM_MODEL_H
#define MLKV_TESTS_SYSTEM_MODEL_H

#include "harness.h"

#include <inttypes.h>
#include <mlkv/mlkv.h>
#include <stdarg.h>

enum {
    KEYS = 25,
    NAMES = 12,
    ROWS_MAX = 40,
    COLUMNS_MAX = 60,
    VALUE_MAX = 40 << 10,
    SNAPSHOTS = 3,
    OPERATIONS = 6000,
    SEED = 20261121, /* the same in each test run; tests/torture.sh takes new ones */
    SCAN_MAX = KEYS + NAMES,
};

/* --- the universe --- */

typedef struct {
    enum { NOTHING, BYTES, NUMBER } kind;
    size_t size;
    uint64_t seed; /* odd: does not compress */
    int64_t number;
} model_value;

typedef struct {
    mlkv_type type; /* MLKV_TYPE_NONE: no such key */
    model_value value;
    model_value fields[NAMES];
    bool members[NAMES];
    uint64_t rows, columns, version;
    int32_t numbers[ROWS_MAX * COLUMNS_MAX];
} model_key;

typedef struct {
    model_key keys[KEYS];
} model;

typedef struct {
    mlkv *db;
    const char *folder;
    model *now;
    struct {
        mlkv *view;
        model *then;
    } snapshots[SNAPSHOTS];
    mlkv_buffer buffer;
    mlkv_rows rows;
} world;

static uint64_t seed, step_number, state;
static char name_bytes[2048], key_bytes[2048];
static mlkv_slice names[NAMES], keys[KEYS];
static unsigned char expected[2 * VALUE_MAX], given[4][VALUE_MAX + 1];

#define FAILS(...)                                                                            \
    ck_abort_msg("MLKV_MODEL_SEED=%" PRIu64 ", operation %" PRIu64 ": %s", seed, step_number, \
                 text_of(__VA_ARGS__))
#define HOLDS(condition)                                \
    do {                                                \
        if (!(condition))                               \
            FAILS("line %d: %s", __LINE__, #condition); \
    } while (0)
#define GIVES(want, call)                                                              \
    do {                                                                               \
        int gives_got = (call), gives_want = (want);                                   \
        if (gives_got != gives_want)                                                   \
            FAILS("line %d: %s: got %d (%s: %s), want %d", __LINE__, #call, gives_got, \
                  mlkv_error_name(gives_got), mlkv_error_detail(), gives_want);        \
    } while (0)

static inline const char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline const char *text_of(const char *format, ...)
{
    static char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

static inline uint64_t draw(uint64_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % bound;
}

static inline void make_universe(void)
{
    static const size_t long_sizes[] = {600, 2000, 503, 501};
    static char short_names[NAMES][16], short_keys[KEYS][16];
    memset(name_bytes, 'n', sizeof name_bytes);
    memset(key_bytes, 'k', sizeof key_bytes);
    for (int i = 0; i < NAMES; i++) {
        snprintf(short_names[i], sizeof short_names[i], "field %d", i);
        names[i] = i < 4    ? slice_of(name_bytes, long_sizes[i])
                   : i == 4 ? slice_of("", 0)
                            : slice_of_text(short_names[i]);
    }
    for (int i = 0; i < KEYS; i++) {
        snprintf(short_keys[i], sizeof short_keys[i], "%s:%d", i % 2 ? "odd" : "even", i);
        keys[i] = i < 4    ? slice_of(key_bytes, long_sizes[i] + (i == 2 ? 8 : 0))
                  : i == 4 ? slice_of("", 0)
                           : slice_of_text(short_keys[i]);
    }
}

static inline size_t draw_size(void)
{
    switch (draw(8)) {
    case 0:
        return 0;
    case 1:
    case 2:
    case 3:
        return draw(100);
    case 4:
        return draw(2000);
    case 5:
    case 6:
        return 3900 + draw(400);
    default:
        return draw(VALUE_MAX);
    }
}

static inline model_value draw_value(void)
{
    if (draw(6) == 0)
        return (model_value){.kind = NUMBER,
                             .number = draw(4) == 0 ? INT64_MAX - (int64_t)draw(50)
                                                    : (int64_t)draw(1000) - 500};
    return (model_value){.kind = BYTES, .size = draw_size(), .seed = draw(1u << 30)};
}

/* The bytes of a value. */
static inline mlkv_slice spell(const model_value *value, unsigned char *to)
{
    if (value->kind == NUMBER)
        return slice_of(to, (size_t)snprintf((char *)to, 32, "%" PRId64, value->number));
    uint64_t x = value->seed * 2 + 1;
    for (size_t i = 0; i < value->size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        to[i] = value->seed % 2 ? (unsigned char)(x >> 24)
                                : (unsigned char)("compressible "[(i + value->seed) % 13]);
    }
    if (value->size != 0 && value->seed % 2)
        to[0] |= 0x80; /* never a number by accident */
    return slice_of(to, value->size);
}

static inline bool is(const model_value *value, const void *data, size_t size)
{
    return slice_equal(spell(value, expected), slice_of(data, size));
}

static inline int draw_key(mlkv_type preferred)
{
    int i = (int)draw(KEYS);
    while (preferred != MLKV_TYPE_NONE && i % 4 != (int)preferred % 4 &&
           draw(8) != 0) /* mostly where such a key is at home */
        i = (int)draw(KEYS);
    return i;
}

static inline void forget(model_key *key)
{
    memset(key, 0, sizeof *key);
}

/* What a call that needs a key of this type answers. */
static inline int answer(const model_key *key, mlkv_type type, int if_missing)
{
    return key->type == MLKV_TYPE_NONE ? if_missing : key->type == type ? MLKV_OK : MLKV_E_TYPE;
}

#endif
