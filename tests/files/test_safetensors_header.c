/* test_safetensors_header.c - headers by hand: each rule is broken by one, what is right is read as it is, and every cut is refused. */
#include "files/safetensors.h"

#include "harness.h"

#define ROW(shape, first, end) \
    "{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":[" #first "," #end "]}"
#define FOUR ROW("[4]", 0, 4)

typedef struct {
    const char *why;    /* a part of the message */
    const char *header; /* of 4 bytes of data, unless it says otherwise */
    uint64_t data;
} hostile;

static const hostile refused[] = {
    {"does not begin", "", 0},
    {"does not begin", " {}", 0},
    {"does not begin", "[]", 0},
    {"does not begin", "null", 0},
    {"behind its end", "{}{}", 0},
    {"behind its end", "{} x", 0},
    {"ends", "{", 0},
    {"ends", "{\"a\":" FOUR, 4},
    {"text", "{\"a\":" FOUR ",}", 4},
    {"','", "{\"a\":" FOUR " \"b\":" FOUR "}", 4},
    {"text", "{a:" FOUR "}", 4},
    {"':'", "{\"a\"" FOUR "}", 4},
    {"'a' is there twice", "{\"a\":" FOUR ",\"a\":" FOUR "}", 4},
    {"'a' is there twice", "{\"a\":" FOUR ",\"\\u0061\":" ROW("[0]", 4, 4) "}", 4},
    {"'__metadata__' is there twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0},
    {"'k' is there twice", "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0},
    {"'__metadata__': a text", "{\"__metadata__\":{\"k\":1}}", 0},
    {"'__metadata__': a text", "{\"__metadata__\":{\"k\":{}}}", 0},
    {"'{' was expected", "{\"__metadata__\":null}", 0},
    {"'{' was expected", "{\"a\":1}", 0},
    {"'{' was expected", "{\"a\":[[[[[[[[", 0},
    {"the tensor 'a': no dtype", "{\"a\":{}}", 0},
    {"no dtype", "{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4},
    {"no data_offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4},
    {"dtype is there twice",
     "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"unknown field 'x'", "{\"a\":{\"x\":1}}", 4},
    {"the tensor 'odd': the dtype 'F4'",
     "{\"odd\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"dtype 'u8'", "{\"a\":{\"dtype\":\"u8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"dtype 'F8_E8M0'", "{\"a\":{\"dtype\":\"F8_E8M0\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"dtype ''", "{\"a\":{\"dtype\":\"\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"a text", "{\"a\":{\"dtype\":1,\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"'['", "{\"a\":" ROW("4", 0, 4) "}", 4},
    {"a whole number", "{\"a\":" ROW("[\"4\"]", 0, 4) "}", 4},
    {"a whole number", "{\"a\":" ROW("[-4]", 0, 4) "}", 4},
    {"','", "{\"a\":" ROW("[4.0]", 0, 4) "}", 4},
    {"begins with 0", "{\"a\":" ROW("[04]", 0, 4) "}", 4},
    {"more than 8 numbers", "{\"a\":" ROW("[1,1,1,1,1,1,1,1,4]", 0, 4) "}", 4},
    {"out of range", "{\"a\":" ROW("[18446744073709551616]", 0, 4) "}", 4},
    {"too large", "{\"a\":" ROW("[4294967296,4294967296,4]", 0, 4) "}", 4},
    {"too large", "{\"a\":" ROW("[4611686018427387904]", 0, 4) "}", 4},
    {"too large", "{\"a\":" ROW("[9223372036854775808,2,0]", 0, 0) "}", 0},
    {"bytes 0 to 4 for 3", "{\"a\":" ROW("[3]", 0, 4) "}", 4},
    {"bytes 0 to 4 for 1 ", "{\"a\":" ROW("[]", 0, 4) "}", 4},
    {"bytes 0 to 4 for 8", "{\"a\":{\"dtype\":\"U16\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
    {"bytes 4 to 0", "{\"a\":" ROW("[4]", 4, 0) "}", 4},
    {"too large", "{\"a\":" ROW("[18446744073709551612]", 4, 0) "}", 4},
    {"not two", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4]}}", 4},
    {"not two", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[]}}", 4},
    {"more than 2", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,4]}}", 4},
    {"4 bytes, and 5", "{\"a\":" FOUR "}", 5},
    {"4 bytes, and 3", "{\"a\":" FOUR "}", 3},
    {"0 bytes, and 4", "{}", 4},
    {"leaves 1 bytes before it", "{\"a\":" ROW("[4]", 1, 5) "}", 5},
    {"'b' leaves 1 bytes before it", "{\"b\":" ROW("[4]", 5, 9) ",\"a\":" FOUR "}", 9},
    {"overlaps", "{\"a\":" FOUR ",\"b\":" FOUR "}", 4},
    {"'b' overlaps", "{\"a\":" FOUR ",\"b\":" ROW("[4]", 2, 6) "}", 6},
    {"'b' overlaps", "{\"a\":" FOUR ",\"b\":" ROW("[1]", 1, 2) "}", 4},
    {"'b' overlaps", "{\"a\":" FOUR ",\"b\":" ROW("[0]", 2, 2) "}", 4},
    {"'b' leaves 5", "{\"a\":" FOUR ",\"b\":" ROW("[0]", 9, 9) "}", 4},
    {"surrogate", "{\"\\ud800\":" FOUR "}", 4},
    {"UTF-8", "{\"\xff\":" FOUR "}", 4},
    {"UTF-8", "{\"\xc0\x80\":" FOUR "}", 4},
    {"control character", "{\"a\n\":" FOUR "}", 4},
};

START_TEST(each_rule_is_broken_by_one)
{
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const hostile *row = &refused[i];
        safetensors_header header = {0};
        int result = safetensors_read(slice_of_text(row->header), row->data, &header);
        if (result != MLKV_E_FORMAT || strstr(mlkv_error_detail(), row->why) == NULL)
            ck_abort_msg("%s: got %s: %s, want '%s'", row->header, mlkv_error_name(result),
                         mlkv_error_detail(), row->why);
        safetensors_done(&header);
    }
}
END_TEST

static const char valid[] =
    "{ \"b\" : {\"shape\":[2,3],\"data_offsets\":[3,27],\"dtype\":\"F32\"},"
    "\"__metadata__\":{\"format\":\"pt\",\"\":\"\\u00e9\"},"
    "\"\\u0000\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]},"
    "\"\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[27,35]},"
    "\"none\":{\"dtype\":\"C64\",\"shape\":[7,0],\"data_offsets\":[27,27]}} \n ";

START_TEST(what_is_right_is_read)
{
    safetensors_header header = {0};
    OK(safetensors_read(slice_of_text(valid), 35, &header));
    ck_assert_uint_eq(safetensors_count(&header), 4);
    static const safetensors_entry wanted[4] = {
        {.tensor = {MLKV_F32, 2, {2, 3}}, .first = 3, .end = 27},
        {.tensor = {MLKV_BOOL, 1, {3}}, .first = 0, .end = 3},
        {.tensor = {MLKV_I64, 0, {0}}, .first = 27, .end = 35},
        {.tensor = {MLKV_C64, 2, {7, 0}}, .first = 27, .end = 27},
    };
    static const mlkv_slice names[4] = {{"b", 1}, {"\0", 1}, {"", 0}, {"none", 4}};
    for (size_t i = 0; i < 4; i++) {
        const safetensors_entry *entry = safetensors_entry_at(&header, i);
        ck_assert(slice_equal(safetensors_slice(&header, entry->name), names[i]));
        ck_assert_mem_eq(&entry->tensor, &wanted[i].tensor, sizeof entry->tensor);
        ck_assert(entry->first == wanted[i].first && entry->end == wanted[i].end);
    }
    const safetensors_text *texts = header.metadata.data;
    ck_assert_uint_eq(header.metadata.size, 2 * sizeof *texts);
    ck_assert(slice_equal(safetensors_slice(&header, texts[0].text), TEXT("pt")));
    ck_assert(slice_equal(safetensors_slice(&header, texts[1].name), TEXT("")));
    ck_assert(slice_equal(safetensors_slice(&header, texts[1].text), TEXT("\xc3\xa9")));
    safetensors_done(&header);
}
END_TEST

/* Cut anywhere, it is refused; read from memory of just that size, so that a byte too many is seen. */
START_TEST(every_cut_is_refused)
{
    size_t end = strlen(valid) - 3; /* behind its last bracket */
    for (size_t size = 0; size < end; size++) {
        char *text = malloc(size + 1);
        safetensors_header header = {0};
        ck_assert_ptr_nonnull(text);
        char *tail = text + 1; /* odd addresses too */
        memcpy(tail, valid, size);
        MUST(MLKV_E_FORMAT, safetensors_read(slice_of(tail, size), 35, &header));
        safetensors_done(&header);
        free(text);
    }
}
END_TEST

START_TEST(written_is_read_again)
{
    mlkv_buffer bytes = {0};
    safetensors_header header = {0};
    const safetensors_row rows[] = {{{"a\"\\\n\0\xc3\xa9", 7}, {MLKV_F64, 3, {1, 0, 9}}, 0},
                                    {{"", 0}, {MLKV_U16, 0, {0}}, 2},
                                    {{"z", 1}, {MLKV_F8E4M3, 8, {1, 1, 1, 1, 1, 1, 1, 5}}, 5}};
    const mlkv_pair metadata[] = {{{"k", 1}, {"", 0}}, {{"", 0}, {"\t", 1}}};
    OK(safetensors_write(rows, 3, metadata, 2, &bytes));
    ck_assert_uint_eq(bytes.size % 64, 0);
    ck_assert_uint_eq(load_le64(bytes.data), bytes.size - 8);
    OK(safetensors_read(slice_of((char *)bytes.data + 8, bytes.size - 8), 7, &header));
    ck_assert_uint_eq(safetensors_count(&header), 3);
    uint64_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        const safetensors_entry *entry = safetensors_entry_at(&header, i);
        ck_assert(slice_equal(safetensors_slice(&header, entry->name), rows[i].name));
        ck_assert_mem_eq(&entry->tensor, &rows[i].tensor, sizeof entry->tensor);
        ck_assert_uint_eq(entry->first, at);
        at = entry->end;
    }
    ck_assert_uint_eq(header.metadata.size, 2 * sizeof(safetensors_text));
    safetensors_done(&header);
    mlkv_buffer_free(&bytes);
    static const char none[] = "{}                                                      ";
    OK(safetensors_write(NULL, 0, NULL, 0, &bytes));
    ck_assert_uint_eq(bytes.size, 64);
    ck_assert_mem_eq((char *)bytes.data + 8, none, 56);
    mlkv_buffer_free(&bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors_header");
    TCase *tcase = harness_case(suite, "header");
    tcase_add_test(tcase, each_rule_is_broken_by_one);
    tcase_add_test(tcase, what_is_right_is_read);
    tcase_add_test(tcase, every_cut_is_refused);
    tcase_add_test(tcase, written_is_read_again);
    return harness_run(suite);
}
