/* test_tensors.c - the commands of tensors: what they say, what they refuse, and that TENSOR.GET shows one moment beside writers. */
#include "command/fixture.h"

#include "base/fault.h"

#include <pthread.h>
#include <stdatomic.h>

#define NOT_THERE   "ERR no such key"
#define BAD_FIRST   "ERR the first row must be an integer that is not negative"
#define BAD_COUNT   "ERR the number of rows must be an integer that is not negative"
#define BAD_SHAPE   "ERR a dimension must be an integer that is not negative"
#define BLOB_BEHIND "ERR BLOB and the tensor's bytes must stand at the end"

START_TEST(what_was_set_is_what_one_gets)
{
    mlkv *db = memory_store();
    SAYS_OK(db, "TENSOR.SET t u8 2 3 BLOB abcdef");
    SAYS(db, "TENSOR.GET t META",
         "*4\r\n$5\r\ndtype\r\n$2\r\nu8\r\n$5\r\nshape\r\n*2\r\n:2\r\n:3\r\n");
    SAYS(db, "TENSOR.GET t blob", "$6\r\nabcdef\r\n");
    static const char both[] = "*6\r\n$5\r\ndtype\r\n$2\r\nu8\r\n$5\r\nshape\r\n*2\r\n:2\r\n:3\r\n$"
                               "4\r\nblob\r\n$6\r\nabcdef\r\n";
    says(db, "TENSOR.GET t", 2, slice_of_text(both), __FILE__, __LINE__);
    says(db, "TENSOR.GET t BLOB META", 2, slice_of_text(both), __FILE__, __LINE__);
    says(db, "TENSOR.GET t META META BLOB", 3, slice_of_text(both), __FILE__, __LINE__);
    SAYS_OK(db, "tensor.set t BF16 1 blob \\x00\\xff");
    SAYS(db, "TENSOR.GET t",
         "*6\r\n$5\r\ndtype\r\n$4\r\nbf16\r\n$5\r\nshape\r\n*1\r\n:1\r\n$4\r\nblob\r\n$"
         "2\r\n\0\xff\r\n");
    SAYS_ERROR(db, "TENSOR.GET t META BLOB x", SYNTAX);
    SAYS_NIL(db, "TENSOR.GET nokey");
    SAYS_NIL(db, "TENSOR.GET nokey META");
    SAYS_NIL(db, "TENSOR.GET nokey BLOB");
    SAYS3(db, "TENSOR.GET nokey", "_\r\n");
    SAYS_ERROR(db, "TENSOR.GET nokey x", SYNTAX);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(scalars_and_empty_tensors)
{
    mlkv *db = memory_store();
    SAYS_OK(db, "TENSOR.SET scalar i16 BLOB ab");
    SAYS(db, "TENSOR.GET scalar",
         "*6\r\n$5\r\ndtype\r\n$3\r\ni16\r\n$5\r\nshape\r\n*0\r\n$4\r\nblob\r\n$2\r\nab\r\n");
    SAYS(db, "TENSOR.GETROWS scalar 0 1", "$2\r\nab\r\n");
    SAYS_OK(db, "TENSOR.SET empty f32 0 9223372036854775 BLOB ''");
    SAYS(db, "TENSOR.GET empty BLOB", "$0\r\n\r\n");
    SAYS(db, "TENSOR.GETROWS empty 0 0", "$0\r\n\r\n");
    SAYS_ERROR(db, "TENSOR.GETROWS empty 0 1", "ERR rows 0 to 1 of 0");
    SAYS_OK(db, "TENSOR.ADD empty 1 f32 0 9223372036854775 BLOB ''");
    SAYS_OK(db, "TENSOR.SET BLOB u8 1 1 1 1 1 1 1 1 BLOB x");
    SAYS(db, "TENSOR.GET BLOB BLOB", "$1\r\nx\r\n");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(words_that_are_no_tensor)
{
    mlkv *db = memory_store();
    SAYS_ERROR(db, "TENSOR.SET t u8 BLOB",
               "ERR wrong number of arguments for 'tensor.set' command");
    SAYS_ERROR(db, "TENSOR.SET t u8 1 BLOB", BLOB_BEHIND);
    SAYS_ERROR(db, "TENSOR.SET t u8 1 BLOB a b", BLOB_BEHIND);
    SAYS_ERROR(db, "TENSOR.SET t u9 1 BLOB a", "ERR unknown dtype 'u9'");
    SAYS_ERROR(db, "TENSOR.SET t '' 1 BLOB a", "ERR unknown dtype ''");
    SAYS_ERROR(db, "TENSOR.SET t unknown 1 BLOB a", "ERR unknown dtype 'unknown'");
    SAYS_ERROR(db, "TENSOR.SET t u8 -1 BLOB a", BAD_SHAPE);
    SAYS_ERROR(db, "TENSOR.SET t u8 x BLOB a", BAD_SHAPE);
    SAYS_ERROR(db, "TENSOR.SET t u8 9223372036854775808 BLOB a", BAD_SHAPE);
    SAYS_ERROR(db, "TENSOR.SET t u8 1 1 1 1 1 1 1 1 1 BLOB a",
               "ERR a tensor has at most 8 dimensions");
    SAYS_ERROR(db, "TENSOR.SET t u8 2 BLOB a",
               "ERR the blob has 1 bytes, and this dtype and shape 2");
    SAYS_ERROR(db, "TENSOR.SET t u8 2 BLOB abc",
               "ERR the blob has 3 bytes, and this dtype and shape 2");
    SAYS_ERROR(db, "TENSOR.SET t u8 2 0 BLOB abc",
               "ERR the blob has 3 bytes, and this dtype and shape 0");
    SAYS_ERROR(db, "TENSOR.SET t u8 2 BLOB ''",
               "ERR the blob has 0 bytes, and this dtype and shape 2");
    SAYS_ERROR(db, "TENSOR.SET t c128 9223372036854775807 9223372036854775807 BLOB ''",
               "ERR the tensor is too large");
    SAYS_ERROR(db, "TENSOR.SET t c128 9223372036854775807 9223372036854775807 0 BLOB ''",
               "ERR the tensor is too large");
    SAYS_NUMBER(db, "EXISTS t", 0);
    OK(mlkv_close(db));
}
END_TEST

START_TEST(other_types)
{
    mlkv *db = memory_store();
    SAYS_OK(db, "SET s hello");
    SAYS_ERROR(db, "TENSOR.SET s u8 1 BLOB a", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.ADD s 1 u8 1 BLOB a", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.GET s", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.GET s META", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.INFO s", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.GETROWS s 0 1", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.SETROWS s 0 1 a", WRONG_TYPE);
    SAYS_ERROR(db, "TENSOR.ADDROWS s 1 0 1 a", WRONG_TYPE);
    SAYS(db, "GET s", "$5\r\nhello\r\n");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(rows)
{
    mlkv *db = memory_store();
    SAYS_OK(db, "TENSOR.SET t u8 3 2 BLOB aabbcc");
    SAYS(db, "TENSOR.GETROWS t 1 2", "$4\r\nbbcc\r\n");
    SAYS(db, "TENSOR.GETROWS t 3 0", "$0\r\n\r\n");
    SAYS_ERROR(db, "TENSOR.GETROWS t 2 2", "ERR rows 2 to 4 of 3");
    SAYS_ERROR(db, "TENSOR.GETROWS t 9223372036854775807 9223372036854775807",
               "ERR rows 9223372036854775807 to 18446744073709551614 of 3");
    SAYS_ERROR(db, "TENSOR.GETROWS t -1 1", BAD_FIRST);
    SAYS_ERROR(db, "TENSOR.GETROWS t x 1", BAD_FIRST);
    SAYS_ERROR(db, "TENSOR.GETROWS t 0 -1", BAD_COUNT);
    SAYS_NIL(db, "TENSOR.GETROWS nokey 0 1");
    SAYS_OK(db, "TENSOR.SETROWS t 1 1 xy");
    SAYS_OK(db, "TENSOR.SETROWS t 1 0 ''");
    SAYS(db, "TENSOR.GET t BLOB", "$6\r\naaxycc\r\n");
    SAYS_OK(db, "TENSOR.ADDROWS t 2 0 1 \\x01\\x02");
    SAYS(db, "TENSOR.GET t BLOB", "$6\r\ncexycc\r\n");
    SAYS_ERROR(db, "TENSOR.SETROWS nokey 0 1 xy", NOT_THERE);
    SAYS_ERROR(db, "TENSOR.ADDROWS nokey 1 0 1 xy", NOT_THERE);
    SAYS_ERROR(db, "TENSOR.SETROWS t x 1 xy", BAD_FIRST);
    SAYS_ERROR(db, "TENSOR.ADDROWS t 1 0 x xy", BAD_COUNT);
    SAYS_ERROR(db, "TENSOR.ADDROWS t x x 1 xy", NOT_FLOAT);
    mlkv_buffer wire = {0};
    MUST(MLKV_E_SHAPE, run_line(db, "TENSOR.SETROWS t 1 1 xyz", 2, &wire));
    MUST(MLKV_E_SHAPE, run_line(db, "TENSOR.SETROWS t 3 1 xy", 2, &wire));
    MUST(MLKV_E_SHAPE, run_line(db, "TENSOR.ADDROWS t 1 0 4 abcdefgh", 2, &wire));
    MUST(MLKV_E_NUMBER, run_line(db, "TENSOR.ADDROWS t inf 0 1 xy", 2, &wire));
    ck_assert(slice_starts_with(slice_of_buffer(&wire), TEXT("-ERR ")));
    mlkv_buffer_free(&wire);
    SAYS(db, "TENSOR.GET t BLOB", "$6\r\ncexycc\r\n");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(sums)
{
    mlkv *db = memory_store();
    mlkv_buffer wire = {0};
    SAYS_ERROR(db, "TENSOR.ADD t 1 u8 2 BLOB ab", NOT_THERE);
    SAYS_OK(db, "TENSOR.SET t u8 2 BLOB ab");
    SAYS_OK(db, "TENSOR.ADD t 3 u8 2 BLOB \\x01\\x00");
    SAYS(db, "TENSOR.GET t BLOB", "$2\r\ndb\r\n");
    SAYS_OK(db, "TENSOR.ADD t -1 u8 2 BLOB \\x03\\x00");
    SAYS(db, "TENSOR.GET t BLOB", "$2\r\nab\r\n");
    SAYS_ERROR(db, "TENSOR.ADD t x u8 2 BLOB ab", NOT_FLOAT);
    SAYS_ERROR(db, "TENSOR.ADD t 1 u8 3 BLOB ab",
               "ERR the blob has 2 bytes, and this dtype and shape 3");
    SAYS_ERROR(db, "TENSOR.ADD t 1 2 BLOB ab", "ERR unknown dtype '2'");
    MUST(MLKV_E_SHAPE, run_line(db, "TENSOR.ADD t 1 u8 2 1 BLOB ab", 2, &wire));
    MUST(MLKV_E_SHAPE, run_line(db, "TENSOR.ADD t 1 i8 2 BLOB ab", 2, &wire));
    ck_assert(slice_starts_with(slice_of_buffer(&wire), TEXT("-ERR ")));
    mlkv_buffer_free(&wire);
    SAYS(db, "TENSOR.GET t BLOB", "$2\r\nab\r\n");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(all_that_is_known)
{
    mlkv *db = memory_store();
    mlkv_tensor_info info = {.size = sizeof info};
    mlkv_buffer wire = {0};
    char expected[500];
    SAYS_OK(db, "TENSOR.SET t f16 2 1 BLOB abcd");
    SAYS_OK(db, "TENSOR.SETROWS t 0 1 xy");
    OK(mlkv_tensor_get_info(db, TEXT("t"), &info));
    int size = snprintf(expected, sizeof expected,
                        "%%9\r\n$5\r\ndtype\r\n$3\r\nf16\r\n$5\r\nshape\r\n*2\r\n:2\r\n:1\r\n$"
                        "9\r\nraw_bytes\r\n:4\r\n"
                        "$12\r\nstored_bytes\r\n:%d\r\n$4\r\nrows\r\n:2\r\n$9\r\nrow_bytes\r\n:"
                        "2\r\n$10\r\nchunk_rows\r\n:%d\r\n"
                        "$6\r\nchunks\r\n:1\r\n$7\r\nversion\r\n:2\r\n",
                        (int)info.stored_bytes, (int)info.chunk_rows);
    says(db, "TENSOR.INFO t", 3, slice_of(expected, (size_t)size), __FILE__, __LINE__);
    OK(run_line(db, "TENSOR.INFO t", 2, &wire));
    ck_assert(slice_starts_with(slice_of_buffer(&wire), TEXT("*18\r\n")));
    mlkv_buffer_free(&wire);
    SAYS_NIL(db, "TENSOR.INFO nokey");
    OK(mlkv_close(db));
}
END_TEST

START_TEST(transactions_and_snapshots)
{
    mlkv *db = memory_store(), *transaction = NULL, *snapshot = NULL;
    SAYS_OK(db, "TENSOR.SET t u8 2 BLOB ab");
    OK(mlkv_snapshot(db, &snapshot));
    OK(mlkv_begin(db, &transaction));
    SAYS_OK(transaction, "TENSOR.SET t u8 3 BLOB xyz");
    SAYS(transaction, "TENSOR.GET t BLOB", "$3\r\nxyz\r\n");
    SAYS(transaction, "TENSOR.GETROWS t 1 1", "$1\r\ny\r\n");
    OK(mlkv_commit(transaction));
    SAYS(snapshot, "TENSOR.GET t BLOB", "$2\r\nab\r\n");
    SAYS_ERROR(snapshot, "TENSOR.SET t u8 1 BLOB a",
               "READONLY You can't write against a read only replica.");
    SAYS(db, "TENSOR.GET t BLOB", "$3\r\nxyz\r\n");
    OK(mlkv_close(snapshot));
    OK(mlkv_close(db));
}
END_TEST

/* --- beside a writer --- */

static atomic_bool over;

/* Two tensors of as many bytes, whose bytes say which they are. */
static void *replace(void *db)
{
    mlkv_buffer wire = {0};
    int result = 0;
    while (result == 0 && !atomic_load(&over)) {
        result = run_line(db, "TENSOR.SET t u8 2 4 BLOB aaaaaaaa", 2, &wire);
        if (result == 0)
            result = run_line(db, "TENSOR.SET t i32 2 BLOB bbbbbbbb", 2, &wire);
        if (result == 0)
            result = run_line(db, "TENSOR.SET t u8 4 BLOB cccc", 2, &wire);
    }
    mlkv_buffer_free(&wire);
    return result == 0 ? NULL : db;
}

START_TEST(description_and_bytes_are_of_one_moment)
{
    static const mlkv_slice words[] = {{"TENSOR.GET", 10}, {"t", 1}};
    static const mlkv_slice row_words[] = {{"TENSOR.GETROWS", 14}, {"t", 1}, {"1", 1}, {"1", 1}};
    mlkv *db = memory_store();
    mlkv_reply reply = {0};
    pthread_t thread;
    void *failed = NULL;
    SAYS_OK(db, "TENSOR.SET t i32 2 BLOB bbbbbbbb");
    atomic_store(&over, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, replace, db), 0);
    for (int i = 0; i < 10000; i++) {
        OK(mlkv_command(db, words, 2, &reply));
        const mlkv_reply_node *bytes = &reply.nodes[reply.count - 1];
        char first = *(const char *)bytes->bytes.data;
        ck_assert_int_eq(reply.nodes[4].integer, first == 'a' ? 2 : 1);
        ck_assert_int_eq(*(const char *)reply.nodes[2].bytes.data, first == 'b' ? 'i' : 'u');
        ck_assert_uint_eq(bytes->bytes.size, first == 'c' ? 4 : 8);
        OK(mlkv_command(db, row_words, 4, &reply));
        first = *(const char *)reply.nodes[0].bytes.data;
        ck_assert_uint_eq(reply.nodes[0].bytes.size, first == 'c' ? 1 : 4);
    }
    atomic_store(&over, true);
    ck_assert_int_eq(pthread_join(thread, &failed), 0);
    ck_assert_ptr_null(failed);
    mlkv_reply_free(&reply);
    OK(mlkv_close(db));
}
END_TEST

/* --- between its reads --- */

#ifdef MLKV_FAULTS
static struct {
    mlkv *db;
    unsigned passed, first,
        second; /* of the reads that are passed: which replace the tensor, and put it back */
} between;

static void set_tensor(bool wide)
{
    static const mlkv_slice narrow_words[] = {{"TENSOR.SET", 10}, {"t", 1},    {"u8", 2},
                                              {"8", 1},           {"BLOB", 4}, {"aaaaaaaa", 8}};
    static const mlkv_slice wide_words[] = {{"TENSOR.SET", 10}, {"t", 1},    {"i32", 3},
                                            {"2", 1},           {"BLOB", 4}, {"bbbbbbbb", 8}};
    mlkv_reply reply = {0};
    OK(mlkv_command(between.db, wide ? wide_words : narrow_words, 6, &reply));
    mlkv_reply_free(&reply);
}

static void replace_between(watch_point point)
{
    if (point != WATCH_READ_NOTED)
        return;
    between.passed++;
    if (between.passed == between.first)
        set_tensor(true);
    else if (between.passed == between.second)
        set_tensor(false);
}

/* Every pair of moments within the command at which another could replace the tensor and put the old form back. */
START_TEST(replaced_between_any_two_reads)
{
    static const mlkv_slice words[] = {{"TENSOR.GET", 10}, {"t", 1}};
    mlkv_reply reply = {0};
    unsigned reads = 2;
    between.db = memory_store();
    for (unsigned first = 1; first <= reads; first++)
        for (unsigned second = first + 1; second <= reads + 1; second++) {
            set_tensor(false);
            between.passed = 0;
            between.first = first;
            between.second = second;
            fault_watch(replace_between);
            OK(mlkv_command(between.db, words, 2, &reply));
            fault_watch(NULL);
            reads = between.passed > reads ? between.passed : reads;
            bool wide = *(const char *)reply.nodes[reply.count - 1].bytes.data == 'b';
            ck_assert_int_eq(reply.nodes[4].integer, 1);
            ck_assert_int_eq(reply.nodes[5].integer, wide ? 2 : 8);
            ck_assert(slice_equal(reply.nodes[2].bytes, wide ? TEXT("i32") : TEXT("u8")));
        }
    ck_assert_uint_ge(reads, 3);
    mlkv_reply_free(&reply);
    OK(mlkv_close(between.db));
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("tensors");
    TCase *test = harness_case(suite, "tensors");
    tcase_add_test(test, what_was_set_is_what_one_gets);
    tcase_add_test(test, scalars_and_empty_tensors);
    tcase_add_test(test, words_that_are_no_tensor);
    tcase_add_test(test, other_types);
    tcase_add_test(test, rows);
    tcase_add_test(test, sums);
    tcase_add_test(test, all_that_is_known);
    tcase_add_test(test, transactions_and_snapshots);
    tcase_add_test(test, description_and_bytes_are_of_one_moment);
#ifdef MLKV_FAULTS
    tcase_add_test(test, replaced_between_any_two_reads);
#endif
    return harness_run(suite);
}
