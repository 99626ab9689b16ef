/* planes.c - how each byte plane of a chunk of numbers is coded, and back.
 *
 * A sample of the elements is taken apart first. A plane of it in which bytes are nearly equally frequent is noise: it is stored raw,
 * and costs a copy; if all planes are, nothing more is done. One that repeats a byte throughout is that byte. Where only frequencies
 * differ (exponents) it becomes a zstd frame without matches, Huffman codes alone, which are made and read several times faster than
 * matches; where a trial shows that matches pay (zeros, counters, repeated rows) an ordinary one.
 *
 * Invariants:
 *  1. A wrong guess costs room or time, never bytes: a frame that comes out larger than its plane is replaced by the plane.
 *  2. On failure *out has the content that it had.
 *  3. The decoder bounds every size before it uses it, and takes scratch of at most the raw size, which the caller has agreed to.
 *
 * State: none but the thread's scratch (compress.h). No locks.
 */
#include "codec/planes.h"

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "codec/compress.h"

#include <assert.h>
#include <math.h>

enum { HOW_RAW = 0, HOW_ZSTD = 1, HOW_REPEATED = 2 };
enum {
    FORM_ROTATED = 16,
    PLANE_HEAD_SIZE = 5,
    PLANE_SIZE_MIN = 256, /* smaller ones do not pay for their heads */
    STRETCHES = 4,        /* of elements that follow each other, of which a sample consists */
    SAMPLE_SIZE_MAX = 4096,
    TRIAL_SIZE = 16 << 10,
    PROBE_BITS = 12,
    PROBE_RARE = 32, /* one in so many is chance */
};

/* Bits a byte from which Huffman codes save nothing worth their time. */
static const double NOISE_BITS = 7.9;

static size_t head_size(unsigned width)
{
    return 1 + (size_t)width * PLANE_HEAD_SIZE;
}

/* --- choosing --- */

typedef enum { CHOOSE_RAW, CHOOSE_ENTROPY, CHOOSE_TRIAL, CHOOSE_REPEATED } choice;

static bool all_equal(mlkv_slice plane)
{
    const unsigned char *bytes = plane.data;
    return bytes[0] == bytes[plane.size - 1] && memcmp(bytes, bytes + 1, plane.size - 1) == 0;
}

/* Bits a byte, as far as frequencies go. A sample sees too few of the rare ones: the last term makes up for it (Miller, Madow). */
static double sampled_bits(mlkv_slice sample)
{
    const unsigned char *bytes = sample.data;
    uint32_t counts[256] = {0};
    double total = (double)sample.size, sum = 0, symbols = 0;
    for (size_t i = 0; i < sample.size; i++)
        counts[bytes[i]]++;
    for (size_t i = 0; i < 256; i++) {
        symbols += counts[i] != 0;
        if (counts[i] > 1)
            sum += counts[i] * log2(counts[i]);
    }
    return log2(total) - sum / total + (symbols - 1) / (2 * total * 0.6931471805599453);
}

/* Whether eight bytes often stand where they stood before: then it is worth trying what matches give. */
static bool repeats(mlkv_slice sample)
{
    uint16_t places[1 << PROBE_BITS] = {0};
    const unsigned char *bytes = sample.data;
    size_t found = 0, tried = sample.size - 7;
    for (size_t i = 0; i < tried; i++) {
        uint64_t word = load_le64(bytes + i);
        size_t slot = (size_t)(word * 0x9e3779b97f4a7c15U >> (64 - PROBE_BITS));
        found += places[slot] != 0 && load_le64(bytes + places[slot] - 1) == word;
        places[slot] = (uint16_t)(i + 1);
    }
    return found > tried / PROBE_RARE;
}

static choice choose(mlkv_slice sample)
{
    if (all_equal(sample))
        return CHOOSE_REPEATED;
    if (repeats(sample))
        return CHOOSE_TRIAL;
    return sampled_bits(sample) < NOISE_BITS ? CHOOSE_ENTROPY : CHOOSE_RAW;
}

/* Takes a sample of n elements apart, and says what is to be done with each plane. false: nothing, all is noise. */
static bool choose_all(planes_form form, const unsigned char *elements, size_t n,
                       choice ret_choices[PLANES_MAX])
{
    unsigned char memory[PLANES_MAX][SAMPLE_SIZE_MAX], *planes[PLANES_MAX];
    size_t most = form.width <= 2 ? SAMPLE_SIZE_MAX : SAMPLE_SIZE_MAX / 2,
           size = n < most ? n : most, stretch = size / STRETCHES;
    bool any = false;
    for (size_t s = 0; s < STRETCHES; s++) {
        size_t from = (n - stretch) / (STRETCHES - 1) * s;
        for (unsigned p = 0; p < form.width; p++)
            planes[p] = memory[p] + s * stretch;
        planes_split(form, elements + from * form.width, stretch, planes);
    }
    for (unsigned p = 0; p < form.width; p++) {
        ret_choices[p] = choose(slice_of(memory[p], stretch * STRETCHES));
        any = any || ret_choices[p] != CHOOSE_RAW;
    }
    return any;
}

/* Whether matches make a part of the plane much smaller than frequencies alone. `trial` is scratch. */
static int matches_pay(mlkv_slice plane, int level, mlkv_buffer *trial, bool *ret_pay)
{
    size_t size = plane.size < TRIAL_SIZE ? plane.size : TRIAL_SIZE;
    mlkv_slice part = slice_of((const unsigned char *)plane.data + (plane.size - size) / 2, size);
    size_t entropy = size, matches = size;
    trial->size = 0;
    int result = compress_append_entropy(part, size, trial);
    if (result == 0)
        entropy = trial->size;
    trial->size = 0;
    if (result >= 0)
        result = compress_append(part, level, entropy, trial);
    if (result == 0)
        matches = trial->size;
    *ret_pay = matches < entropy - entropy / 16;
    return result < 0 ? result : 0;
}

/* --- coding --- */

/* Appends one plane; its head goes to `head`. */
static int append_plane(mlkv_slice plane, choice chosen, int level, mlkv_buffer *trial,
                        unsigned char *head, mlkv_buffer *out)
{
    size_t before = out->size;
    bool pay = false;
    int result = 0;
    if (chosen == CHOOSE_REPEATED && !all_equal(plane)) /* the sample was */
        chosen = CHOOSE_TRIAL;
    if (chosen == CHOOSE_TRIAL)
        result = matches_pay(plane, level, trial, &pay);
    head[0] = chosen == CHOOSE_REPEATED ? HOW_REPEATED : HOW_ZSTD;
    if (result == 0 && chosen == CHOOSE_REPEATED)
        result = buffer_append(out, plane.data, 1);
    else if (result == 0 && pay)
        result = compress_append(plane, level, plane.size, out);
    else if (result == 0 && chosen != CHOOSE_RAW)
        result = compress_append_entropy(plane, plane.size, out);
    if (result == MLKV_ABSENT || (result == 0 && chosen == CHOOSE_RAW)) {
        head[0] = HOW_RAW;
        result = buffer_append(out, plane.data, plane.size);
    }
    store_le32(head + 1, (uint32_t)(out->size - before));
    return result;
}

/* Where the planes are: of single bytes, that are not rotated, in raw itself. NULL: out of memory. */
static const unsigned char *take_apart(planes_form form, mlkv_slice raw, size_t n)
{
    unsigned char *planes[PLANES_MAX] = {NULL};
    if (form.width == 1 && !form.rotated)
        return raw.data;
    unsigned char *scratch = compress_scratch(raw.size);
    for (unsigned p = 0; p < form.width && scratch != NULL; p++)
        planes[p] = scratch + p * n;
    if (scratch != NULL)
        planes_split(form, raw.data, n, planes);
    return scratch;
}

static int append_all(planes_form form, mlkv_slice raw, const choice choices[PLANES_MAX], int level,
                      size_t limit, mlkv_buffer *out)
{
    size_t n = raw.size / form.width, start = out->size;
    unsigned char head[1 + PLANES_MAX * PLANE_HEAD_SIZE] = {0};
    mlkv_buffer trial = {0};
    const unsigned char *planes = take_apart(form, raw, n);
    if (planes == NULL)
        return MLKV_E_MEMORY;
    head[0] = (unsigned char)(form.width + (form.rotated ? FORM_ROTATED : 0));
    int result = buffer_append(out, head, head_size(form.width));
    for (unsigned p = 0; p < form.width && result == 0; p++) {
        result = append_plane(slice_of(planes + p * n, n), choices[p], level, &trial,
                              head + 1 + p * PLANE_HEAD_SIZE, out);
        if (result == 0 && out->size - start >= limit)
            result = MLKV_ABSENT;
    }
    if (result == 0)
        result = buffer_append(out, (const unsigned char *)raw.data + n * form.width,
                               raw.size % form.width);
    if (result == 0 && out->size - start >= limit)
        result = MLKV_ABSENT;
    if (result == 0)
        memcpy((unsigned char *)out->data + start, head, head_size(form.width));
    mlkv_buffer_free(&trial);
    return result;
}

int planes_append(planes_form form, mlkv_slice raw, int level, size_t limit, mlkv_buffer *out)
{
    choice choices[PLANES_MAX] = {CHOOSE_RAW};
    size_t start = out->size;
    if (form.width == 0 || raw.size / form.width < PLANE_SIZE_MIN || raw.size > PLANES_RAW_SIZE_MAX)
        return MLKV_ABSENT;
    bool any = choose_all(form, raw.data, raw.size / form.width, choices);
    if (!any && limit <= raw.size)
        return MLKV_ABSENT;
    int result = append_all(form, raw, choices, level, limit, out);
    if (result != 0)
        out->size = start;
    return result;
}

/* --- decoding --- */

typedef struct {
    planes_form form;
    size_t n; /* elements */
    unsigned char how[PLANES_MAX];
    mlkv_slice planes[PLANES_MAX]; /* as stored */
    mlkv_slice rest;
} parts;

static int broken(const char *what)
{
    return error_set(MLKV_E_CORRUPT, "byte planes %s", what);
}

static int read_form(mlkv_slice coded, uint64_t raw_size, parts *ret_parts)
{
    if (coded.size == 0 || raw_size > PLANES_RAW_SIZE_MAX)
        return broken("are empty, or of too large a size");
    unsigned first = *(const unsigned char *)coded.data;
    planes_form form = {.width = (unsigned char)(first & ~(unsigned)FORM_ROTATED),
                        .rotated = (first & FORM_ROTATED) != 0};
    if (form.width != 1 && form.width != 2 && form.width != 4 && form.width != 8)
        return broken("are of elements of an unknown width");
    if (coded.size < head_size(form.width))
        return broken("are shorter than their head");
    ret_parts->form = form;
    ret_parts->n = (size_t)raw_size / form.width;
    return 0;
}

/* A plane's head and bytes, which begin at *at. */
static int read_plane(mlkv_slice coded, unsigned p, size_t *at, parts *ret_parts)
{
    const unsigned char *head = (const unsigned char *)coded.data + 1 + p * PLANE_HEAD_SIZE;
    size_t size = load_le32(head + 1), n = ret_parts->n;
    if (size > coded.size - *at)
        return broken("are cut off");
    mlkv_slice plane = slice_of((const unsigned char *)coded.data + *at, size);
    if (head[0] > HOW_REPEATED || (head[0] == HOW_RAW && size != n) ||
        (head[0] == HOW_REPEATED && size != 1))
        return broken("say what cannot be");
    ret_parts->how[p] = head[0];
    ret_parts->planes[p] = plane;
    *at += size;
    return head[0] == HOW_ZSTD ? decompress_check(plane, n) : 0;
}

static int read_parts(mlkv_slice coded, uint64_t raw_size, parts *ret_parts)
{
    int result = read_form(coded, raw_size, ret_parts);
    size_t at = result == 0 ? head_size(ret_parts->form.width) : 0;
    for (unsigned p = 0; result == 0 && p < ret_parts->form.width; p++)
        result = read_plane(coded, p, &at, ret_parts);
    if (result != 0)
        return result;
    if (coded.size - at != raw_size % ret_parts->form.width)
        return broken("are followed by bytes that do not belong to them");
    ret_parts->rest = slice_of((const unsigned char *)coded.data + at, coded.size - at);
    return 0;
}

int planes_check(mlkv_slice coded, uint64_t raw_size)
{
    parts found = {0};
    return read_parts(coded, raw_size, &found);
}

/* The bytes of a plane, at `own` unless they can be used where they are. */
static int decode_plane(const parts *found, unsigned p, unsigned char *own,
                        const unsigned char **ret_plane)
{
    *ret_plane = found->how[p] == HOW_RAW ? found->planes[p].data : own;
    if (found->how[p] == HOW_REPEATED)
        memset(own, *(const unsigned char *)found->planes[p].data, found->n);
    return found->how[p] == HOW_ZSTD ? decompress_into(found->planes[p], own, found->n) : 0;
}

/* n elements to `to`, through scratch unless they are single bytes. */
static int decode_elements(const parts *found, unsigned char *to)
{
    const unsigned char *planes[PLANES_MAX] = {NULL};
    size_t n = found->n, width = found->form.width;
    bool single = width == 1 && !found->form.rotated;
    unsigned char *own = single ? to : compress_scratch(n * width);
    int result = 0;
    if (own == NULL)
        return MLKV_E_MEMORY;
    for (unsigned p = 0; p < width && result == 0; p++)
        result = decode_plane(found, p, own + p * n, &planes[p]);
    if (result == 0 && !single)
        planes_join(found->form, planes, n, to);
    else if (result == 0 && planes[0] != to)
        memcpy(to, planes[0], n);
    return result;
}

int planes_decode(mlkv_slice coded, void *to, size_t raw_size)
{
    parts found = {0};
    int result = read_parts(coded, raw_size, &found);
    if (result == 0 && to == NULL && raw_size > 0)
        result = error_set(MLKV_E_ARGUMENT, "planes are to be written at NULL");
    if (result == 0 && found.n > 0)
        result = decode_elements(&found, to);
    if (result == 0 && to != NULL && found.rest.size > 0)
        memcpy((unsigned char *)to + found.n * found.form.width, found.rest.data, found.rest.size);
    return result;
}

static bool parts_fit(const parts *found, const planes_part *wanted, size_t n)
{
    uint64_t width = found->form.width, whole = found->n * width;
    for (size_t i = 0; i < n; i++)
        if (wanted[i].offset % width != 0 || wanted[i].size % width != 0 ||
            wanted[i].offset > whole || wanted[i].size > whole - wanted[i].offset)
            return false;
    return true;
}

int planes_decode_parts(mlkv_slice coded, size_t raw_size, const planes_part *wanted, size_t n)
{
    parts found = {0};
    const unsigned char *planes[PLANES_MAX] = {NULL};
    int result = read_parts(coded, raw_size, &found);
    if (result != 0 || !parts_fit(&found, wanted, n))
        return result != 0 ? result : MLKV_ABSENT;
    size_t width = found.form.width;
    assert(width != 0);
    unsigned char *own = compress_scratch(found.n * width + 1);
    if (own == NULL)
        return MLKV_E_MEMORY;
    for (unsigned p = 0; p < width && result == 0; p++)
        result = decode_plane(&found, p, own + p * found.n, &planes[p]);
    for (size_t i = 0; i < n && result == 0; i++) {
        const unsigned char *at[PLANES_MAX] = {NULL};
        for (unsigned p = 0; p < width; p++)
            at[p] = planes[p] + wanted[i].offset / width;
        if (width == 1 && !found.form.rotated)
            bytes_copy(wanted[i].to, at[0], wanted[i].size);
        else
            planes_join(found.form, at, wanted[i].size / width, wanted[i].to);
    }
    return result;
}
