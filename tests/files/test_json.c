/* test_json.c - strings of JSON, read and written: what each byte and each escape becomes, and what is refused. */
#include "files/json.h"

#include "base/buffer.h"
#include "harness.h"

static mlkv_buffer strings;

static int read_text(const char *text, size_t size, mlkv_slice *ret_slice)
{
    json_reader reader = {.text = text, .size = size, .strings = &strings};
    json_string found;
    strings.size = 0;
    int result = json_read_string(&reader, &found);
    if (result == MLKV_OK) {
        *ret_slice = json_slice(&reader, found);
        ck_assert_uint_eq(reader.at, size);
    }
    return result;
}

START_TEST(texts_that_are_read)
{
    static const struct {
        const char *json;
        mlkv_slice text;
    } rows[] = {
        {"\"\"", {"", 0}},
        {" \n\t\"a\"", {"a", 1}},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", {"\"\\/\b\f\n\r\t", 8}},
        {"\"\\u0000\"", {"\0", 1}},
        {"\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"", {"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10}},
        {"\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"",
         {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f", 10}},
        {"\"\\uffff\\ue000\\ud7ff\"", {"\xef\xbf\xbf\xee\x80\x80\xed\x9f\xbf", 9}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mlkv_slice got;
        OK(read_text(rows[i].json, strlen(rows[i].json), &got));
        ck_assert_msg(slice_equal(got, rows[i].text), "%s", rows[i].json);
        ck_assert(json_is_utf8(got));
    }
    mlkv_buffer_free(&strings);
}
END_TEST

START_TEST(texts_that_are_refused)
{
    static const char *const rows[] = {
        "",
        " ",
        "a",
        "\"",
        "\"a",
        "\"\\",
        "\"\\\"",
        "'a'",
        "\"\\x41\"",
        "\"\\u\"",
        "\"\\u004\"",
        "\"\\u004g\"",
        "\"\\ud800\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "\"\\udc00\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud800\\ud800\"",
        "\"\n\"",
        "\"\x01\"",
        "\"\x80\"",
        "\"\xc3\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xe0\x9f\xbf\"",
        "\"\xed\xa0\x80\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xe2\x82\"",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mlkv_slice got;
        if (read_text(rows[i], strlen(rows[i]), &got) != MLKV_E_FORMAT)
            ck_abort_msg("%s is read", rows[i]);
    }
    mlkv_buffer_free(&strings);
}
END_TEST

/* Every character: written, read, and the same. */
START_TEST(written_and_read)
{
    mlkv_buffer text = {0}, json = {0};
    for (unsigned code = 0; code < 256; code++) {
        unsigned char two[2] = {(unsigned char)(0xc0 | code >> 6),
                                (unsigned char)(0x80 | (code & 0x3f))};
        unsigned char one = (unsigned char)code;
        OK(code < 0x80 ? buffer_append(&text, &one, 1) : buffer_append(&text, two, 2));
    }
    mlkv_slice got, wanted = slice_of_buffer(&text);
    OK(json_append_string(&json, wanted));
    OK(read_text(json.data, json.size, &got));
    ck_assert(slice_equal(got, wanted));
    mlkv_buffer_free(&text);
    mlkv_buffer_free(&json);
    mlkv_buffer_free(&strings);
}
END_TEST

START_TEST(numbers)
{
    uint64_t found[3];
    size_t count;
    static const struct {
        const char *json;
        int result;
        size_t count;
        uint64_t last;
    } rows[] = {
        {"[]", 0, 0, 0},
        {"[ ]", 0, 0, 0},
        {"[0]", 0, 1, 0},
        {" [ 1 , 2\n, 3 ]", 0, 3, 3},
        {"[18446744073709551615]", 0, 1, UINT64_MAX},
        {"[18446744073709551616]", MLKV_E_FORMAT, 0, 0},
        {"[99999999999999999999999]", MLKV_E_FORMAT, 0, 0},
        {"[01]", MLKV_E_FORMAT, 0, 0},
        {"[-1]", MLKV_E_FORMAT, 0, 0},
        {"[1.0]", MLKV_E_FORMAT, 0, 0},
        {"[1e0]", MLKV_E_FORMAT, 0, 0},
        {"[1,]", MLKV_E_FORMAT, 0, 0},
        {"[,1]", MLKV_E_FORMAT, 0, 0},
        {"[1 2]", MLKV_E_FORMAT, 0, 0},
        {"[1", MLKV_E_FORMAT, 0, 0},
        {"[", MLKV_E_FORMAT, 0, 0},
        {"1", MLKV_E_FORMAT, 0, 0},
        {"[1,2,3,4]", MLKV_E_FORMAT, 0, 0},
        {"[true]", MLKV_E_FORMAT, 0, 0},
        {"[[1]]", MLKV_E_FORMAT, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_reader reader = {
            .text = rows[i].json, .size = strlen(rows[i].json), .strings = &strings};
        MUST(rows[i].result, json_read_numbers(&reader, 3, found, &count));
        if (rows[i].result != MLKV_OK)
            continue;
        ck_assert_uint_eq(count, rows[i].count);
        ck_assert(count == 0 || found[count - 1] == rows[i].last);
        ck_assert_uint_eq(reader.at, reader.size);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tcase = harness_case(suite, "json");
    tcase_add_test(tcase, texts_that_are_read);
    tcase_add_test(tcase, texts_that_are_refused);
    tcase_add_test(tcase, written_and_read);
    tcase_add_test(tcase, numbers);
    return harness_run(suite);
}
