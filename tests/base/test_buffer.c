/* test_buffer.c - buffers and rows grow, keep their content when they cannot, and tell absent from
 * empty. */
#include "base/buffer.h"

#include "harness.h"

/* Sanitizers end the process at an allocation that is too large, unless they are told to refuse it
 * as malloc does. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);

const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

START_TEST(append_and_assign)
{
    mlkv_buffer buffer = {0};
    OK(buffer_append(&buffer, NULL, 0));
    ck_assert_uint_eq(buffer.size, 0);
    OK(buffer_append(&buffer, "hello", 5));
    OK(buffer_append(&buffer, " world", 6));
    ck_assert(slice_equal(slice_of_buffer(&buffer), TEXT("hello world")));
    OK(buffer_assign(&buffer, "new", 3));
    ck_assert(slice_equal(slice_of_buffer(&buffer), TEXT("new")));
    OK(buffer_assign(&buffer, NULL, 0));
    ck_assert_uint_eq(buffer.size, 0);
    ck_assert_ptr_nonnull(buffer.data);
    mlkv_buffer_free(&buffer);
    ck_assert_ptr_null(buffer.data);
    ck_assert_uint_eq(buffer.capacity, 0);
    mlkv_buffer_free(&buffer);
    mlkv_buffer_free(NULL);
}
END_TEST

START_TEST(grows_by_half)
{
    mlkv_buffer buffer = {0};
    size_t growths = 0;
    for (size_t i = 0; i < 100000; i++) {
        size_t capacity = buffer.capacity;
        unsigned char byte = (unsigned char)(i * 31);
        OK(buffer_append(&buffer, &byte, 1));
        growths += buffer.capacity != capacity;
        ck_assert_uint_le(buffer.size, buffer.capacity);
    }
    ck_assert_uint_lt(growths, 30);
    const unsigned char *bytes = buffer.data;
    for (size_t i = 0; i < 100000; i++)
        ck_assert_uint_eq(bytes[i], (unsigned char)(i * 31));
    size_t capacity = buffer.capacity;
    OK(buffer_reserve(&buffer, 10));
    ck_assert_uint_eq(buffer.capacity, capacity);
    OK(buffer_reserve(&buffer, capacity + 1));
    ck_assert_uint_gt(buffer.capacity, capacity);
    ck_assert_uint_eq(buffer.size, 100000);
    mlkv_buffer_free(&buffer);
}
END_TEST

START_TEST(own_bytes)
{
    mlkv_buffer buffer = {0};
    OK(buffer_append(&buffer, "abcdefgh", 8));
    for (int i = 0; i < 8; i++)
        OK(buffer_append(&buffer, buffer.data, buffer.size)); /* moves while it is read */
    ck_assert_uint_eq(buffer.size, 8 * 256);
    ck_assert_mem_eq((char *)buffer.data + buffer.size - 8, "abcdefgh", 8);
    OK(buffer_assign(&buffer, (char *)buffer.data + 2, 10));
    ck_assert(slice_equal(slice_of_buffer(&buffer), TEXT("cdefghabcd")));
    mlkv_buffer_free(&buffer);
}
END_TEST

START_TEST(failure_keeps_content)
{
    mlkv_buffer buffer = {0};
    OK(buffer_append(&buffer, "keep", 4));
    MUST(MLKV_E_MEMORY, buffer_reserve(&buffer, SIZE_MAX));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "out of memory"));
    MUST(MLKV_E_MEMORY, buffer_reserve(&buffer, SIZE_MAX / 2));
    MUST(MLKV_E_MEMORY, buffer_append(&buffer, "x", SIZE_MAX));
    MUST(MLKV_E_MEMORY, buffer_append(&buffer, "x", SIZE_MAX - 4));
    MUST(MLKV_E_MEMORY, buffer_assign(&buffer, "x", SIZE_MAX - 4));
    ck_assert_ptr_null(buffer_extend(&buffer, SIZE_MAX));
    ck_assert_ptr_null(buffer_extend(&buffer, SIZE_MAX - 4));
    ck_assert(slice_equal(slice_of_buffer(&buffer), TEXT("keep")));
    mlkv_buffer_free(&buffer);
}
END_TEST

START_TEST(extend)
{
    mlkv_buffer buffer = {0};
    ck_assert_ptr_nonnull(buffer_extend(&buffer, 0));
    char *place = buffer_extend(&buffer, 3);
    ck_assert_ptr_nonnull(place);
    memcpy(place, "abc", 3);
    place = buffer_extend(&buffer, 1000);
    ck_assert_ptr_eq(place, (char *)buffer.data + 3);
    ck_assert_mem_eq(buffer.data, "abc", 3);
    ck_assert_uint_eq(buffer.size, 1003);
    mlkv_buffer_free(&buffer);
}
END_TEST

START_TEST(rows_tell_absent_from_empty)
{
    mlkv_rows rows = {0};
    OK(rows_append(&rows, slice_of(NULL, 0)));
    OK(rows_append_absent(&rows));
    OK(rows_append(&rows, TEXT("value")));
    OK(rows_append(&rows, TEXT("")));
    rows_finish(&rows);
    ck_assert_uint_eq(rows.count, 4);
    ck_assert_ptr_nonnull(rows.items[0].data);
    ck_assert_uint_eq(rows.items[0].size, 0);
    ck_assert_ptr_null(rows.items[1].data);
    ck_assert(slice_equal(rows.items[2], TEXT("value")));
    ck_assert_ptr_nonnull(rows.items[3].data);
    ck_assert_uint_eq(rows.items[3].size, 0);
    mlkv_rows_free(&rows);
    ck_assert_ptr_null(rows.items);
    ck_assert_ptr_null(rows.arena);
    ck_assert_uint_eq(rows.count, 0);
    mlkv_rows_free(&rows);
    mlkv_rows_free(NULL);
}
END_TEST

START_TEST(only_absent_or_nothing)
{
    mlkv_rows rows = {0};
    rows_finish(&rows);
    ck_assert_uint_eq(rows.count, 0);
    for (int i = 0; i < 100; i++)
        OK(rows_append_absent(&rows));
    rows_finish(&rows);
    ck_assert_uint_eq(rows.count, 100);
    for (size_t i = 0; i < 100; i++)
        ck_assert_ptr_null(rows.items[i].data);
    mlkv_rows_free(&rows);
}
END_TEST

/* Item i of a growing result: i bytes of the value i, each seventh absent. */
static void rows_fill(mlkv_rows *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char bytes[256];
        memset(bytes, (int)(i & 0xff), sizeof bytes);
        if (i % 7 == 6)
            OK(rows_append_absent(rows));
        else if (i % 2 == 0)
            OK(rows_append(rows, slice_of(bytes, i % 256)));
        else {
            void *place = rows_extend(rows, i % 256);
            ck_assert_ptr_nonnull(place);
            memcpy(place, bytes, i % 256);
        }
    }
    rows_finish(rows);
}

START_TEST(rows_grow_and_are_reused)
{
    mlkv_rows rows = {0};
    for (size_t n = 3000; n > 0; n /= 10) {
        rows_clear(&rows);
        const void *arena = rows.arena;
        rows_fill(&rows, n);
        ck_assert(arena == NULL ||
                  arena == rows.arena); /* its memory is kept, and it was large enough */
        ck_assert_uint_eq(rows.count, n);
        for (size_t i = 0; i < n; i++) {
            if (i % 7 == 6) {
                ck_assert_ptr_null(rows.items[i].data);
                continue;
            }
            ck_assert_ptr_nonnull(rows.items[i].data);
            ck_assert_uint_eq(rows.items[i].size, i % 256);
            const unsigned char *bytes = rows.items[i].data;
            for (size_t j = 0; j < i % 256; j++)
                if (bytes[j] != (i & 0xff))
                    ck_abort_msg("byte %zu of item %zu", j, i);
        }
    }
    mlkv_rows_free(&rows);
}
END_TEST

START_TEST(rows_failure_keeps_rows)
{
    mlkv_rows rows = {0};
    OK(rows_append(&rows, TEXT("kept")));
    ck_assert_ptr_null(rows_extend(&rows, SIZE_MAX));
    ck_assert_ptr_null(rows_extend(&rows, SIZE_MAX - 4));
    MUST(MLKV_E_MEMORY, rows_append(&rows, slice_of("x", SIZE_MAX / 2)));
    OK(rows_append(&rows, TEXT("too")));
    rows_finish(&rows);
    ck_assert_uint_eq(rows.count, 2);
    ck_assert(slice_equal(rows.items[0], TEXT("kept")));
    ck_assert(slice_equal(rows.items[1], TEXT("too")));
    mlkv_rows_free(&rows);
}
END_TEST

START_TEST(version_is_the_headers)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", MLKV_VERSION_MAJOR, MLKV_VERSION_MINOR,
             MLKV_VERSION_PATCH);
    ck_assert_str_eq(mlkv_version(), text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buffer");
    TCase *tcase = harness_case(suite, "buffer");
    tcase_add_test(tcase, append_and_assign);
    tcase_add_test(tcase, grows_by_half);
    tcase_add_test(tcase, own_bytes);
    tcase_add_test(tcase, failure_keeps_content);
    tcase_add_test(tcase, extend);
    tcase_add_test(tcase, rows_tell_absent_from_empty);
    tcase_add_test(tcase, only_absent_or_nothing);
    tcase_add_test(tcase, rows_grow_and_are_reused);
    tcase_add_test(tcase, rows_failure_keeps_rows);
    tcase_add_test(tcase, version_is_the_headers);
    return harness_run(suite);
}
