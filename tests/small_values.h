/* small_values.h - small values as preprocessed data has them, made from a number: records in JSON and in a form like
 * protobuf's, with skewed words. */
#ifndef MLKV_TESTS_SMALL_VALUES_H
#define MLKV_TESTS_SMALL_VALUES_H

#include <stdint.h>
#include <stdio.h>

enum { SMALL_VALUE_MAX = 512 };

static inline uint64_t small_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* 0..n-1, low ones more often. */
static inline unsigned small_skewed(uint64_t *state, unsigned n)
{
    unsigned a = (unsigned)(small_random(state) % n), b = (unsigned)(small_random(state) % n),
             c = (unsigned)(small_random(state) % n);
    a = a < b ? a : b;
    return a < c ? a : c;
}

/* Some 200 bytes of text. Returns their number. */
static inline size_t small_json(uint64_t number, char to[SMALL_VALUE_MAX])
{
    static const char *const events[] = {"page_view",   "click",  "add_to_cart", "search",
                                         "remove_item", "signup", "purchase",    "refund"};
    static const char *const countries[] = {"US", "DE", "IN", "BR", "FR", "GB", "JP",
                                            "NG", "MX", "PL", "SE", "ZA", "AR", "KE"};
    static const char *const devices[] = {"mobile", "desktop", "tablet", "tv"};
    static const char *const words[] = {"red",    "shoes",  "running", "cheap",  "kids",  "winter",
                                        "jacket", "garden", "table",   "laptop", "phone", "case"};
    uint64_t state = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    (void)small_random(&state);
    int size = snprintf(
        to, SMALL_VALUE_MAX,
        "{\"user_id\":%u,\"session\":\"%08x%04x\",\"event\":\"%s\",\"ts\":%llu,\"country\":\"%s\","
        "\"device\":\"%s\",\"page\":\"/products/%s-%s-%u\",\"price\":%u.%02u,\"score\":0.%04u}",
        small_skewed(&state, 5000000), (unsigned)small_random(&state),
        (unsigned)small_random(&state) & 0xffff, events[small_skewed(&state, 8)],
        (unsigned long long)(1700000000000 + number * 37 + small_random(&state) % 1000),
        countries[small_skewed(&state, 14)], devices[small_skewed(&state, 4)],
        words[small_skewed(&state, 12)], words[small_skewed(&state, 12)],
        small_skewed(&state, 20000), small_skewed(&state, 300),
        (unsigned)small_random(&state) % 100, (unsigned)small_random(&state) % 10000);
    return (size_t)size;
}

/* Some 80 bytes: tags, varints, a few words. */
static inline size_t small_binary(uint64_t number, unsigned char to[SMALL_VALUE_MAX])
{
    static const char labels[6][9] = {"cat/dog ", "vehicle ", "person  ",
                                      "building", "food    ", "animal  "};
    uint64_t state = number * UINT64_C(0xbf58476d1ce4e5b9) + 7;
    size_t size = 0;
    for (unsigned field = 1; field <= 10; field++) {
        to[size++] = (unsigned char)(field << 3);
        for (uint64_t value = small_skewed(&state, 1u << (field + 2)); value != 0; value >>= 7)
            to[size++] = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    }
    for (unsigned i = 0; i < 6; i++) {
        const char *label = labels[small_skewed(&state, 6)];
        to[size++] = 0x6a;
        to[size++] = 8;
        for (unsigned k = 0; k < 8; k++)
            to[size++] = (unsigned char)label[k];
    }
    return size;
}

#endif
