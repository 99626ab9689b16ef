/* workload.c - keys, values and the order in which they are asked for.
 *
 * A key is 16 bytes: "key:" and 12 digits. A value is 100 bytes: its key (0..15), its version
 * (16..23), filling that does not compress (24..91), and a check word over key number and version
 * (92..99). Filling and checking cost a few nanoseconds and are part of what is measured, for every
 * engine alike. The zipf numbers come from the method of Gray et al. (1994), as in YCSB: rank r is
 * drawn with probability proportional to 1 / r^0.99; a fixed scattering then makes neighbours in
 * rank strangers in key order. Indices are drawn before the clock starts. No state but that of the
 * caller.
 */
#include "workload.h"

#include <math.h>
#include <string.h>

static const double zipf_exponent = 0.99;

/* Splitmix64: one step of a good small generator, also a hash. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void workload_key(uint32_t i, char ret_key[KEY_BYTES])
{
    memcpy(ret_key, "key:000000000000", KEY_BYTES);
    for (int place = KEY_BYTES - 1; i > 0; place--) {
        ret_key[place] = (char)('0' + i % 10);
        i /= 10;
    }
}

static uint64_t check_word(uint32_t i, uint64_t version)
{
    return mix(((uint64_t)i << 32) ^ version);
}

void workload_value(uint32_t i, uint64_t version, char ret_value[VALUE_BYTES])
{
    workload_key(i, ret_value);
    memcpy(ret_value + 16, &version, 8);
    uint64_t word = mix(i);
    for (size_t offset = 24; offset < 92; offset += 8) {
        word = word * 0xd1342543de82ef95u + 1;
        memcpy(ret_value + offset, &word, offset + 8 <= 92 ? 8 : 92 - offset);
    }
    word = check_word(i, version);
    memcpy(ret_value + 92, &word, 8);
}

bool workload_value_is_of(const char key[KEY_BYTES], uint32_t i, const char value[VALUE_BYTES])
{
    uint64_t version, word;
    memcpy(&version, value + 16, 8);
    memcpy(&word, value + 92, 8);
    return memcmp(key, value, KEY_BYTES) == 0 && word == check_word(i, version);
}

/* The sum of 1 / r^0.99 for r = 1..n. */
static double zeta(uint32_t n)
{
    double sum = 0;
    for (uint32_t r = 1; r <= n; r++)
        sum += pow(1.0 / r, zipf_exponent);
    return sum;
}

static void zipf_indices(uint32_t keys, uint64_t seed, uint32_t *ret_indices, size_t n)
{
    double zeta_n = zeta(keys), alpha = 1 / (1 - zipf_exponent);
    double eta =
        (1 - pow(2.0 / keys, 1 - zipf_exponent)) / (1 - (1 + pow(0.5, zipf_exponent)) / zeta_n);
    for (size_t k = 0; k < n; k++) {
        double u = (double)(mix(seed + k) >> 11) * 0x1p-53, uz = u * zeta_n;
        uint64_t rank = uz < 1 ? 0
                        : uz < 1 + pow(0.5, zipf_exponent)
                            ? 1
                            : (uint64_t)(keys * pow(eta * u - eta + 1, alpha));
        ret_indices[k] = (uint32_t)(mix(rank) % keys);
    }
}

void workload_indices(distribution kind, uint32_t keys, uint64_t seed, uint32_t *ret_indices,
                      size_t n)
{
    seed = mix(seed);
    if (kind == DISTRIBUTION_ZIPF) {
        zipf_indices(keys, seed, ret_indices, n);
        return;
    }
    for (size_t k = 0; k < n; k++)
        ret_indices[k] = (uint32_t)(mix(seed + k) % keys);
}
