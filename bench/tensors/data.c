/* data.c - see data.h. No state: each filling begins with the same seed. */
#include "tensors/data.h"

#include <math.h>
#include <string.h>

uint64_t data_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

const char *data_name(data_content content)
{
    static const char *const names[] = {"weights", "trained", "pruned", "counting",
                                        "tokens",  "smooth",  "sparse", "noise"};
    return names[content];
}

uint16_t data_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double uniform(uint64_t *state)
{
    return ((double)(data_random(state) >> 11) + 1) * 0x1p-53;
}

static double gauss(uint64_t *state)
{
    double u = uniform(state);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * uniform(state));
}

/* One weight in the low bytes. The f16 is cut, not rounded: its low bits are as random either way. */
static uint64_t weight(const char *dtype, size_t i, uint64_t *state)
{
    double value = gauss(state) * 0.02 * pow(2, -(double)((i >> 17) % 8) / 2);
    float single = (float)value;
    uint64_t wide;
    uint32_t bits;
    memcpy(&wide, &value, sizeof wide);
    memcpy(&bits, &single, sizeof bits);
    if (strcmp(dtype, "f64") == 0)
        return wide;
    if (strcmp(dtype, "f32") == 0)
        return bits;
    if (strcmp(dtype, "bf16") == 0)
        return data_bf16(single);
    uint32_t exponent = bits >> 23 & 0xff;
    return (bits >> 16 & 0x8000) | (exponent < 113 ? 0 : (exponent - 112) << 10) |
           (bits >> 13 & 0x3ff);
}

void data_fill(const data_kind *kind, void *to, size_t size)
{
    uint64_t state = 88172645463325252u, value = 0;
    for (size_t i = 0; i < size / kind->width; i++) {
        if (kind->content == DATA_COUNTING)
            value += 1 + data_random(&state) % 8;
        else if (kind->content == DATA_TOKENS)
            value = (uint64_t)(50000 * pow(uniform(&state), 4));
        else if (kind->content == DATA_SMOOTH)
            value = (uint64_t)(127 + 100 * sin((double)i / 40) + (double)(data_random(&state) % 5));
        else if (kind->content == DATA_SPARSE)
            value = data_random(&state) % 50 == 0;
        else if (kind->content == DATA_NOISE)
            value = data_random(&state);
        else if (kind->content == DATA_PRUNED && data_random(&state) % 10 != 0)
            value = 0;
        else
            value = weight(kind->dtype, i, &state);
        memcpy((unsigned char *)to + i * kind->width, &value, kind->width);
    }
}
