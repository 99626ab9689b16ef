/* test_planes.c - byte planes: the same bytes come back, however coded; damage is refused; weights shrink as far as they should. */
#include "codec/compress.h"
#include "codec/planes.h"

#include "base/buffer.h"
#include "harness.h"

#include <math.h>

enum { RAW_MAX = 1 << 20 };

static const planes_form forms[] = {{1, false}, {1, true}, {2, false}, {2, true},
                                    {4, false}, {4, true}, {8, false}, {8, true}};
enum { FORMS = sizeof forms / sizeof forms[0] };

static unsigned char raw[RAW_MAX], back[RAW_MAX];
static uint64_t state = 88172645463325252U;

static uint64_t noise(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fill_noise(size_t size)
{
    for (size_t i = 0; i < size; i++)
        raw[i] = (unsigned char)noise();
}

/* Parts of what was coded, as many as there are kinds: at the ends, of one element and of many, none at all; and those that are refused. */
static void parts_come_back(planes_form form, mlkv_slice coded, size_t size)
{
    size_t width = form.width, whole = size / width * width, middle = whole / 2 / width * width;
    planes_part parts[] = {{0, width, back},
                           {middle, whole - middle, back + width},
                           {whole - width, width, back + whole + 2 * width}};
    memset(back, 0x55, whole + 3 * width);
    OK(planes_decode_parts(coded, size, parts, 3));
    for (size_t i = 0; i < 3; i++)
        ck_assert(memcmp(parts[i].to, raw + parts[i].offset, parts[i].size) == 0);
    ck_assert(middle == 0 || back[width + whole - middle] == 0x55);
    OK(planes_decode_parts(coded, size, NULL, 0));
    planes_part bad[] = {{whole, width, back},
                         {0, whole + width, back},
                         {1, width, back},
                         {0, width + 1, back},
                         {UINT64_MAX - width + 1, width, back}};
    for (size_t i = width == 1 ? 4 : 0; i < sizeof bad / sizeof bad[0]; i++)
        MUST(MLKV_ABSENT, planes_decode_parts(coded, size, &bad[i], 1));
}

/* Whether it was coded; what was coded must come back. */
static bool goes_round(planes_form form, size_t size, size_t limit, mlkv_buffer *out)
{
    out->size = 0;
    OK(buffer_append(out, "before", 6));
    int result = planes_append(form, slice_of(raw, size), 1, limit, out);
    ck_assert(memcmp(out->data, "before", 6) == 0);
    if (result == MLKV_ABSENT) {
        ck_assert_uint_eq(out->size, 6);
        return false;
    }
    OK(result);
    mlkv_slice coded = slice_of((char *)out->data + 6, out->size - 6);
    ck_assert_uint_lt(coded.size, limit);
    memset(back, 0x55, size + 1);
    OK(planes_check(coded, size));
    OK(planes_decode(coded, back, size));
    ck_assert(memcmp(raw, back, size) == 0 && back[size] == 0x55);
    if (size + 3 * form.width <= sizeof back)
        parts_come_back(form, coded, size);
    if (memcmp(raw, raw + 1, size - 1) !=
        0) { /* one byte repeated can be of any length: the cell around it knows */
        MUST(MLKV_E_CORRUPT, planes_check(coded, size + form.width));
        MUST(MLKV_E_CORRUPT, planes_decode(coded, back, size - form.width));
    }
    return true;
}

static void fill(unsigned kind, planes_form form, size_t size)
{
    fill_noise(size);
    for (size_t i = 0; i < size; i++)
        switch (kind) {
        case 0: /* high bytes of few values */
            raw[i] =
                i % form.width == form.width - 1U ? (unsigned char)(0x3c + noise() % 3) : raw[i];
            break;
        case 1: /* a counter */
            raw[i] = (unsigned char)(i / form.width / 3 >> 8 * (i % form.width));
            break;
        case 2: /* mostly zeros */
            raw[i] = noise() % 50 == 0 ? raw[i] : 0;
            break;
        case 3: /* all the same */
            raw[i] = 7;
            break;
        default: /* a repeated row */
            raw[i] = i < 1000 ? raw[i] : raw[i - 1000];
            break;
        }
}

START_TEST(round_trips)
{
    static const size_t sizes[] = {2048, 2049, 4095, 4096, 10007, 65536 + 7, 262144, RAW_MAX - 3};
    mlkv_buffer out = {0};
    unsigned coded = 0;
    for (unsigned f = 0; f < FORMS; f++)
        for (unsigned s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (unsigned kind = 0; kind < 5; kind++) {
                fill(kind, forms[f], sizes[s]);
                bool done = goes_round(forms[f], sizes[s], sizes[s], &out);
                coded += done;
                ck_assert_msg(done || kind == 0 || (kind == 4 && sizes[s] < 5000),
                              "width %u kind %u size %zu", forms[f].width, kind, sizes[s]);
            }
    ck_assert_uint_gt(coded, FORMS * 8 * 4);
    mlkv_buffer_free(&out);
}
END_TEST

START_TEST(what_is_not_worth_it)
{
    mlkv_buffer out = {0};
    fill_noise(RAW_MAX - 8);
    for (unsigned f = 0; f < FORMS; f++) {
        ck_assert(!goes_round(forms[f], RAW_MAX - 8, RAW_MAX - 8, &out));
        ck_assert(
            !goes_round(forms[f], 255UL * forms[f].width, SIZE_MAX, &out)); /* too few elements */
        ck_assert(goes_round(forms[f], 100000, SIZE_MAX, &out)); /* the most: its heads */
        ck_assert_uint_le(out.size, 6 + 100000 + 1 + 5UL * forms[f].width);
    }
    MUST(MLKV_ABSENT, planes_append((planes_form){0}, slice_of(raw, 10000), 1, 10000, &out));
    fill(3, forms[5], 10000);
    ck_assert(goes_round(forms[5], 10000, 26, &out)); /* 4 heads and bytes are 25 */
    ck_assert(!goes_round(forms[5], 10000, 25, &out));
    mlkv_buffer_free(&out);
}
END_TEST

START_TEST(vectors_and_loops)
{
    static unsigned char a[PLANES_MAX][RAW_MAX / 8 + 64], b[PLANES_MAX][RAW_MAX / 8 + 64];
    unsigned char *ours[PLANES_MAX], *plain[PLANES_MAX];
    const unsigned char *from[PLANES_MAX];
    for (unsigned p = 0; p < PLANES_MAX; p++) {
        ours[p] = a[p] + p; /* unaligned */
        plain[p] = b[p];
        from[p] = ours[p];
    }
    for (size_t n = 0; n < 600; n += n < 70 ? 1 : 53)
        for (unsigned f = 0; f < FORMS; f++) {
            size_t size = n * forms[f].width;
            fill_noise(size + 1);
            memset(a, 0, sizeof a);
            memset(b, 0, sizeof b);
            planes_split(forms[f], raw + 1, n, ours);
            planes_split_plain(forms[f], raw + 1, n, plain);
            for (unsigned p = 0; p < PLANES_MAX; p++)
                ck_assert(memcmp(ours[p], plain[p], n + 1) == 0);
            planes_join(forms[f], from, n, back + 1);
            ck_assert(memcmp(raw + 1, back + 1, size) == 0);
            planes_join_plain(forms[f], from, n, back + 3);
            ck_assert(memcmp(raw + 1, back + 3, size) == 0);
        }
}
END_TEST

/* Every byte changed, every length: refused, or other bytes of the right number; never a crash (sanitizers watch). */
START_TEST(damage)
{
    enum { SIZE = 4096 + 3 };
    mlkv_buffer out = {0};
    for (unsigned kind = 0; kind < 4; kind++) {
        fill(kind, forms[5], SIZE);
        if (!goes_round(forms[5], SIZE, SIZE, &out))
            continue;
        size_t size = out.size - 6;
        unsigned char *copy = malloc(size);
        ck_assert_ptr_nonnull(copy);
        for (size_t i = 0; i < size; i += i < 64 ? 1 : 7)
            for (unsigned change = 1; change < 256; change = change * 2 + (change == 1)) {
                memcpy(copy, (char *)out.data + 6, size);
                copy[i] ^= (unsigned char)change;
                int result = planes_decode(slice_of(copy, size), back, SIZE);
                ck_assert(result == 0 || result == MLKV_E_CORRUPT);
            }
        for (size_t cut = 0; cut < size; cut += cut < 64 ? 1 : 11) {
            unsigned char *part = malloc(cut + 1);
            memcpy(part, (char *)out.data + 6, cut);
            MUST(MLKV_E_CORRUPT, planes_decode(slice_of(part, cut), back, SIZE));
            MUST(MLKV_E_CORRUPT, planes_check(slice_of(part, cut), SIZE));
            free(part);
        }
        free(copy);
    }
    MUST(MLKV_E_CORRUPT, planes_check(slice_of(out.data, out.size), (uint64_t)1 << 60));
    mlkv_buffer_free(&out);
}
END_TEST

static double gauss(void)
{
    double u = ((double)(noise() >> 11) + 1) / 9007199254740994.0,
           v = (double)(noise() >> 11) / 9007199254740992.0;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* Gaussian weights, of layers of 131,072 whose scales differ. */
static void fill_weights(unsigned width)
{
    for (size_t i = 0; i < RAW_MAX / width; i++) {
        double value = gauss() * 0.02 * pow(2, -(double)(i >> 17) / 2);
        float single = (float)value;
        uint32_t bits;
        memcpy(&bits, &single, 4);
        uint16_t half = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        if (width == 2)
            memcpy(raw + 2 * i, &half, 2);
        else if (width == 4)
            memcpy(raw + 4 * i, &single, 4);
        else
            memcpy(raw + 8 * i, &value, 8);
    }
}

START_TEST(weights_shrink)
{
    static const struct {
        unsigned char width;
        double saved;
    } aims[] = {{2, 0.33}, {4, 0.165}, {8, 0.11}};
    mlkv_buffer out = {0};
    for (unsigned i = 0; i < 3; i++) {
        fill_weights(aims[i].width);
        size_t coded = 0;
        for (size_t at = 0; at < RAW_MAX; at += 256 << 10) {
            out.size = 0;
            OK(planes_append((planes_form){aims[i].width, true}, slice_of(raw + at, 256 << 10), 1,
                             256 << 10, &out));
            coded += out.size;
        }
        double saved = 1 - (double)coded / RAW_MAX;
        ck_assert_msg(saved >= aims[i].saved, "width %u saves only %.4f", aims[i].width, saved);
    }
    mlkv_buffer_free(&out);
}
END_TEST

/* An older zstd, which does not know the parameters: larger frames, the same bytes. */
START_TEST(parameters_refused)
{
    mlkv_buffer out = {0};
    compress_refuse_parameters(true);
    fill_weights(2);
    ck_assert(goes_round(forms[3], 100000, 100000, &out));
    compress_refuse_parameters(false);
    mlkv_buffer_free(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("planes");
    TCase *tcase = harness_case(suite, "planes");
    tcase_add_test(tcase, round_trips);
    tcase_add_test(tcase, what_is_not_worth_it);
    tcase_add_test(tcase, vectors_and_loops);
    tcase_add_test(tcase, damage);
    tcase_add_test(tcase, weights_shrink);
    tcase_add_test(tcase, parameters_refused);
    return harness_run(suite);
}
