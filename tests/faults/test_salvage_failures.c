/* test_salvage_failures.c - mlkv_salvage while calls of the C library and the system fail: each allocation, each opening, write, sync,
 * mapping, naming and read once. It ends with an error and nothing is left, or it is as good as ever: a read that fails is a page that
 * is lost, and what becomes of it is told. With MLKV_LONG=1 each call fails, else a sample. */
#include "inject.h"
#include "salvage_store.h"

#include <errno.h>

enum { WARM_UPS = 3 };

static bool is_long(void)
{
    return getenv("MLKV_LONG") != NULL;
}

typedef struct {
    char folder[64], damaged[100], fresh[100];
} place;

/* A store without its newest root, and without a journal: what is left is found page by page. */
static void make_place(place *self)
{
    mlkv *db = NULL;
    uint64_t roots[2], ids[2];
    memory_folder(self->folder);
    snprintf(self->damaged, sizeof self->damaged, "%s/old", self->folder);
    snprintf(self->fresh, sizeof self->fresh, "%s/new", self->folder);
    OK(mlkv_open(self->damaged, &store_options, &db));
    write_content(db);
    OK(mlkv_close(db));
    file_bytes data = load_file(self->damaged, "data.mdb");
    for (int i = 0; i < 2; i++) {
        memcpy(&roots[i], data.bytes + i * PAGE + 128, 8);
        memcpy(&ids[i], data.bytes + i * PAGE + 144, 8);
    }
    memset(data.bytes + roots[ids[1] > ids[0]] * PAGE, 0, PAGE);
    harness_remove(self->damaged);
    ck_assert_int_eq(mkdir(self->damaged, 0700), 0);
    save_file(self->damaged, "data.mdb", data.bytes, data.size);
    free(data.bytes);
}

static bool is_expected(int result, unsigned kinds)
{
    if ((kinds & INJECT_ALLOCATION) != 0)
        return result == MLKV_E_MEMORY;
    return result == MLKV_E_IO || result == MLKV_E_MEMORY || result == MLKV_E_POISONED ||
           result == MLKV_E_DURABILITY || result == MLKV_E_CORRUPT;
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

/* True if a call failed. */
static bool round_once(const place *self, unsigned kinds, uint64_t nth)
{
    inject_plan plan = {.kinds = kinds,
                        .nth = nth,
                        .times = 1,
                        .error = (kinds & INJECT_ALLOCATION) != 0 ? ENOMEM : EIO,
                        .this_thread = (kinds & INJECT_ALLOCATION) != 0};
    mlkv_salvage_report report = {.size = sizeof report};
    content found;
    mlkv *db = NULL;
    inject_caption("test_salvage_failures: call %llu of kinds %#x", (unsigned long long)nth, kinds);
    inject_arm(&plan);
    int result = mlkv_salvage(self->damaged, self->fresh, NULL, NULL, &report);
    (void)inject_disarm();
    bool struck = inject_hits() != 0;
    if (result == MLKV_OK) {
        OK(mlkv_open(self->fresh, &store_options, &db));
        OK(mlkv_verify(db, NULL, NULL, NULL));
        look_at(db, &found);
        ck_assert(is_whole(&found) || report.losses != 0);
        OK(mlkv_close(db));
        harness_remove(self->fresh);
        return struck;
    }
    ck_assert_msg(struck && is_expected(result, kinds), "call %llu of kinds %#x: %d (%s)",
                  (unsigned long long)nth, kinds, result, mlkv_error_detail());
    ck_assert_msg(!is_there(self->fresh), "call %llu of kinds %#x: something was left",
                  (unsigned long long)nth, kinds);
    return true;
}

static uint64_t rounds(const place *self, unsigned kinds, uint64_t step)
{
    uint64_t nth = 1;
    while (round_once(self, kinds, nth))
        nth += is_long() || nth < 30 ? 1 : step;
    return nth;
}

START_TEST(allocations)
{
    place here;
    int64_t alive = 0;
    make_place(&here);
    inject_watch(here.folder);
    for (int i = 0; i < WARM_UPS; i++) {
        ck_assert(!round_once(&here, INJECT_ALLOCATION, 0));
        alive = inject_alive();
    }
    ck_assert_uint_gt(rounds(&here, INJECT_ALLOCATION, 5), 100); /* or nothing is injected */
    ck_assert_msg(inject_alive() <= alive, "%lld allocations leaked",
                  (long long)(inject_alive() - alive));
    harness_remove(here.folder);
}
END_TEST

START_TEST(files)
{
    static const unsigned kinds[] = {INJECT_OPEN, INJECT_WRITE, INJECT_SYNC,
                                     INJECT_SIZE, INJECT_MAP,   INJECT_NAME};
    place here;
    make_place(&here);
    inject_watch(here.folder);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        ck_assert_uint_gt(rounds(&here, kinds[i], 3), 1);
    ck_assert_uint_gt(rounds(&here, INJECT_READ, 40), 20);
    harness_remove(here.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("salvage_failures");
    TCase *tcase = harness_case(suite, "calls");
    tcase_add_test(tcase, allocations);
    tcase_add_test(tcase, files);
    return harness_run(suite);
}
