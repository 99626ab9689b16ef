/* test_options.c - every option that is refused, the defaults, structs of other sizes; and the
 * folder of an in-memory store (memory.c). */
#include "fixture.h"

static int check(const mlkv_options *given)
{
    engine_options options;
    return engine_check_options(given, false, &options);
}

START_TEST(fills_in_defaults)
{
    engine_options o, in_memory;
    mlkv_options given = {.size = sizeof given};
    OK(engine_check_options(NULL, false, &o));
    ck_assert_uint_eq(o.ring_bytes, 256 << 20);
    ck_assert_uint_eq(o.batch_bytes, 256 << 20);
    ck_assert(o.cache_bytes > 0 && o.cache_bytes <= 256 << 20);
    ck_assert_uint_eq(o.sync_interval_ms, 1000);
    ck_assert_uint_eq(o.lock_timeout_ms, 10000);
    ck_assert_uint_eq(o.cells.threshold_bytes, 1024);
    ck_assert_int_eq(o.cells.level, 1);
    ck_assert_int_eq(o.durability, MLKV_JOURNAL);
    ck_assert(o.create && !o.read_only && !o.accept_loss && !o.in_memory);
    OK(engine_check_options(&given, true, &in_memory));
    ck_assert(in_memory.in_memory && in_memory.ring_bytes == 16 << 20);
    given = (mlkv_options){sizeof given,
                           MLKV_READ_ONLY | MLKV_ACCEPT_LOSS,
                           MLKV_STORE,
                           1,
                           64 << 10,
                           1 << 20,
                           2,
                           3,
                           SIZE_MAX,
                           -7,
                           3,
                           NULL,
                           NULL};
    OK(engine_check_options(&given, false, &o));
    ck_assert(o.read_only && o.accept_loss && !o.create && o.durability == MLKV_STORE &&
              o.cache_bytes == 1 && o.ring_bytes == 64 << 10);
    ck_assert(o.batch_bytes == 1 << 20 && o.sync_interval_ms == 2 && o.lock_timeout_ms == 3 &&
              o.cells.threshold_bytes == SIZE_MAX);
    ck_assert_int_eq(o.cells.level, -7);
}
END_TEST

START_TEST(refuses_values)
{
    static const mlkv_options bad[] = {
        {.flags = 8},
        {.flags = UINT32_MAX},
        {.durability = 4},
        {.durability = -1},
        {.ring_bytes = 1},
        {.ring_bytes = 32 << 10},
        {.ring_bytes = (64 << 10) + 8},
        {.ring_bytes = 96 << 10},
        {.ring_bytes = (size_t)128 << 30},
        {.ring_bytes = SIZE_MAX},
        {.batch_bytes = (1 << 20) - 1},
        {.compress_level = -8},
        {.compress_level = 20},
        {.compress_level = INT32_MIN},
        {.threads = 257},
        {.threads = UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mlkv_options given = bad[i];
        given.size = sizeof given;
        ck_assert_msg(check(&given) == MLKV_E_ARGUMENT, "case %zu", i);
        ck_assert_msg(strstr(mlkv_error_detail(), "options: ") != NULL, "case %zu: %s", i,
                      mlkv_error_detail());
    }
    engine_options o;
    mlkv_options given = {.size = sizeof given, .flags = MLKV_READ_ONLY};
    MUST(MLKV_E_ARGUMENT, engine_check_options(&given, true, &o));
    given.flags = MLKV_NO_CREATE;
    MUST(MLKV_E_ARGUMENT, engine_check_options(&given, true, &o));
}
END_TEST

START_TEST(takes_other_sizes)
{
    struct {
        mlkv_options known;
        unsigned char unknown[64];
    } newer = {.known = {.size = sizeof newer, .lock_timeout_ms = 5}};
    engine_options o;
    OK(engine_check_options(&newer.known, false, &o));
    ck_assert_uint_eq(o.lock_timeout_ms, 5);
    newer.unknown[63] = 1;
    MUST(MLKV_E_ARGUMENT, check(&newer.known));
    ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "byte"));
    newer.known.size = sizeof newer - 1;
    OK(check(&newer.known));
    mlkv_options given = {.size = 0};
    MUST(MLKV_E_ARGUMENT, check(&given));
    given.size = sizeof(size_t) - 1;
    MUST(MLKV_E_ARGUMENT, check(&given));
    given.size = 4097;
    static union {
        mlkv_options known;
        unsigned char bytes[8192];
    } huge;
    huge.known.size = 4097;
    MUST(MLKV_E_ARGUMENT, check(&huge.known));
    huge.known.size = SIZE_MAX;
    MUST(MLKV_E_ARGUMENT, check(&huge.known));
    /* an older, shorter struct: what it does not have is default, whatever lies behind it */
    given = (mlkv_options){
        .size = offsetof(mlkv_options, ring_bytes), .ring_bytes = 77, .cache_bytes = 99};
    OK(engine_check_options(&given, false, &o));
    ck_assert(o.cache_bytes == 99 && o.ring_bytes == 256 << 20);
}
END_TEST

START_TEST(makes_folders_in_memory)
{
    char first[300], second[300], tiny[8], file[400];
    OK(engine_memory_folder(first, sizeof first));
    OK(engine_memory_folder(second, sizeof second));
    ck_assert_str_ne(first, second);
    ck_assert_int_eq(access(first, W_OK), 0);
    ck_assert_int_lt(engine_memory_folder(tiny, sizeof tiny), 0);
    snprintf(file, sizeof file, "%s/data.mdb", first);
    int made = open(file, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(made, 0);
    (void)close(made);
    engine_remove_folder(first);
    ck_assert_int_ne(access(first, F_OK), 0);
    engine_remove_folder(first);
    /* what is not ours stays */
    snprintf(file, sizeof file, "%s/mine", second);
    made = open(file, O_CREAT | O_WRONLY, 0600);
    (void)close(made);
    engine_remove_folder(second);
    ck_assert_int_eq(access(file, F_OK), 0);
    harness_remove(second);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = harness_case(suite, "options");
    tcase_add_test(tcase, fills_in_defaults);
    tcase_add_test(tcase, refuses_values);
    tcase_add_test(tcase, takes_other_sizes);
    tcase_add_test(tcase, makes_folders_in_memory);
    return harness_run(suite);
}
