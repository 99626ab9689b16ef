/* test_compress.c - frames come back whole; what is no frame, or a frame with another size, or two,
 * is refused. */
#include "codec/compress.h"

#include "base/buffer.h"
#include "base/random.h"
#include "harness.h"

#include <pthread.h>
#include <zstd.h>

/* Text that compresses well, different at each place. */
static void fill_text(unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((size_t) "the quick brown fox "[i % 20] + (i / 1000) % 3);
}

static mlkv_slice compressed(mlkv_slice raw, mlkv_buffer *frame)
{
    frame->size = 0;
    OK(compress_append(raw, 3, SIZE_MAX, frame));
    return slice_of_buffer(frame);
}

START_TEST(round_trips)
{
    mlkv_buffer frame = {0};
    const size_t size_max = 300000;
    unsigned char *raw = malloc(size_max);
    unsigned char *back = malloc(size_max);
    ck_assert(raw != NULL && back != NULL);
    fill_text(raw, size_max);
    const size_t sizes[] = {0, 1, 2, 100, 4096, 128 * 1024, 128 * 1024 + 1, size_max};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int level = -5; level <= 9; level += 2) {
            frame.size = 0;
            OK(buffer_append(&frame, "before", 6));
            OK(compress_append(slice_of(raw, sizes[i]), level, SIZE_MAX, &frame));
            ck_assert_mem_eq(frame.data, "before", 6);
            memset(back, 0, size_max);
            OK(decompress_into(slice_of((char *)frame.data + 6, frame.size - 6), back, sizes[i]));
            ck_assert(slice_equal(slice_of(raw, sizes[i]), slice_of(back, sizes[i])));
        }
    OK(decompress_into(compressed(slice_of(NULL, 0), &frame), NULL, 0));
    mlkv_buffer_free(&frame);
    free(raw);
    free(back);
}
END_TEST

START_TEST(limits)
{
    mlkv_buffer out = {0};
    unsigned char raw[4096];
    fill_text(raw, sizeof raw);
    OK(compress_append(slice_of(raw, sizeof raw), 3, SIZE_MAX, &out));
    size_t size = out.size;
    ck_assert_uint_lt(size, sizeof raw / 4);
    OK(buffer_assign(&out, "kept", 4));
    MUST(MLKV_ABSENT, compress_append(slice_of(raw, sizeof raw), 3, 0, &out));
    MUST(MLKV_ABSENT, compress_append(slice_of(raw, sizeof raw), 3, 1, &out));
    MUST(MLKV_ABSENT, compress_append(slice_of(raw, sizeof raw), 3, size,
                                      &out)); /* smaller than the limit, not equal */
    MUST(MLKV_ABSENT,
         compress_append(slice_of(raw, SIZE_MAX), 3, SIZE_MAX, &out)); /* more than zstd takes */
    ck_assert(slice_equal(slice_of_buffer(&out), TEXT("kept")));
    OK(compress_append(slice_of(raw, sizeof raw), 3, size + 64, &out));
    OK(random_system(raw, sizeof raw));
    out.size = 4;
    MUST(MLKV_ABSENT, compress_append(slice_of(raw, sizeof raw), 3, sizeof raw, &out));
    ck_assert(slice_equal(slice_of_buffer(&out), TEXT("kept")));
    mlkv_buffer_free(&out);
}
END_TEST

/* A libzstd that knows no parameters still compresses, and what it wrote is read. */
START_TEST(refused_parameters)
{
    mlkv_buffer with = {0};
    mlkv_buffer without = {0};
    unsigned char raw[20000];
    unsigned char back[20000];
    fill_text(raw, sizeof raw);
    OK(compress_append(slice_of(raw, sizeof raw), -7, SIZE_MAX, &with));
    compress_refuse_parameters(true);
    OK(compress_append(slice_of(raw, sizeof raw), -7, SIZE_MAX, &without));
    compress_refuse_parameters(false);
    ck_assert(!slice_equal(slice_of_buffer(&with), slice_of_buffer(&without))); /* another level */
    OK(decompress_into(slice_of_buffer(&without), back, sizeof back));
    ck_assert_mem_eq(raw, back, sizeof raw);
    without.size = 0;
    OK(compress_append(slice_of(raw, sizeof raw), -7, SIZE_MAX, &without));
    ck_assert(slice_equal(slice_of_buffer(&with), slice_of_buffer(&without)));
    mlkv_buffer_free(&with);
    mlkv_buffer_free(&without);
}
END_TEST

START_TEST(broken_frames)
{
    unsigned char raw[3000];
    unsigned char back[3001];
    fill_text(raw, sizeof raw);
    mlkv_buffer frame = {0};
    compressed(slice_of(raw, sizeof raw), &frame);
    size_t size = frame.size;
    MUST(MLKV_E_CORRUPT, decompress_into(slice_of_buffer(&frame), back, sizeof raw - 1));
    MUST(MLKV_E_CORRUPT, decompress_into(slice_of_buffer(&frame), back, sizeof raw + 1));
    for (size_t cut = 0; cut < size; cut++)
        MUST(MLKV_E_CORRUPT, decompress_into(slice_of(frame.data, cut), back, sizeof raw));
    OK(buffer_append(&frame, "x", 1));
    MUST(MLKV_E_CORRUPT, decompress_into(slice_of_buffer(&frame), back, sizeof raw));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "1 bytes follow"));
    frame.size = size;
    OK(buffer_append(&frame, frame.data, size)); /* two frames */
    MUST(MLKV_E_CORRUPT, decompress_into(slice_of_buffer(&frame), back, sizeof raw));
    /* a skippable frame holds nothing, but is not an empty one */
    MUST(MLKV_E_CORRUPT, decompress_into(TEXT("\x50\x2a\x4d\x18\0\0\0\0"), back, 0));
    MUST(MLKV_E_CORRUPT, decompress_into(TEXT("not a frame at all"), back, 0));
    mlkv_buffer_free(&frame);
}
END_TEST

/* A frame as a stream writes it, without its size: not ours. */
START_TEST(frame_without_size)
{
    unsigned char space[200];
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ck_assert_ptr_nonnull(context);
    ck_assert(!ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)));
    size_t size = ZSTD_compress2(context, space, sizeof space, "abc", 3);
    ck_assert(!ZSTD_isError(size));
    ZSTD_freeCCtx(context);
    char back[3];
    MUST(MLKV_E_CORRUPT, decompress_into(slice_of(space, size), back, 3));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "does not say its size"));
}
END_TEST

START_TEST(impossible_claims)
{
    /* magic, descriptor (8-byte size, single segment), size 2^60, an empty last block */
    unsigned char bomb[16] = {0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x10, 1, 0, 0};
    MUST(MLKV_E_CORRUPT, decompress_check(slice_of(bomb, sizeof bomb), 1ULL << 60));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "cannot hold"));
    MUST(MLKV_E_CORRUPT, decompress_check(slice_of(bomb, sizeof bomb), (1ULL << 60) - 1));
    /* zeros are what zstd packs densest: these must pass */
    const size_t size = 32 << 20;
    void *zeros = calloc(1, size);
    ck_assert_ptr_nonnull(zeros);
    mlkv_buffer frame = {0};
    for (size_t n = 1; n <= size; n *= 8)
        OK(decompress_check(compressed(slice_of(zeros, n), &frame), n));
    compressed(slice_of(zeros, size), &frame);
    OK(decompress_check(slice_of_buffer(&frame), size));
    mlkv_buffer_free(&frame);
    free(zeros);
}
END_TEST

static void *compress_and_end(void *failed)
{
    unsigned char raw[5000];
    unsigned char back[5000];
    fill_text(raw, sizeof raw);
    mlkv_buffer frame = {0};
    for (int i = 0; i < 50; i++) {
        frame.size = 0;
        if (compress_append(slice_of(raw, sizeof raw), 1, SIZE_MAX, &frame) != 0 ||
            decompress_into(slice_of_buffer(&frame), back, sizeof back) != 0 ||
            memcmp(raw, back, sizeof raw) != 0)
            __atomic_store_n((int *)failed, 1, __ATOMIC_RELAXED);
    }
    mlkv_buffer_free(&frame);
    return NULL;
}

/* Threads have contexts of their own, freed at their end (leak checkers see it). */
START_TEST(threads_have_their_own_contexts)
{
    int failed = 0;
    for (int round = 0; round < 3; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, compress_and_end, &failed), 0);
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    ck_assert_int_eq(failed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("compress");
    TCase *tcase = harness_case(suite, "compress");
    tcase_add_test(tcase, round_trips);
    tcase_add_test(tcase, limits);
    tcase_add_test(tcase, refused_parameters);
    tcase_add_test(tcase, broken_frames);
    tcase_add_test(tcase, frame_without_size);
    tcase_add_test(tcase, impossible_claims);
    tcase_add_test(tcase, threads_have_their_own_contexts);
    return harness_run(suite);
}
