/* test_transcript.c - what redis-server 7.0.15 said to some hundreds of awkward lines, said by the library too.
 *
 * transcripts/ is made by record.py, which says what stands in it. Each transcript is run twice, in a new store for each protocol.
 */
#include "command/fixture.h"

#include <dirent.h>

enum { TRANSCRIPT_LINE_MAX = 1 << 16 };

static unsigned compared, failed;

static size_t unescape(const char *text, char *to)
{
    size_t size = 0;
    for (; *text != '\0'; size++)
        if (*text != '\\') {
            to[size] = *text++;
        } else if (text[1] == 'x') {
            to[size] = (char)(hex_digit(text[2]) << 4 | hex_digit(text[3]));
            text += 4;
        } else {
            to[size] = text[1] == 'r' ? '\r' : text[1] == 'n' ? '\n' : text[1];
            text += 2;
        }
    return size;
}

static void compare(mlkv *db, int protocol, const char *line, const char *expected)
{
    static char reply[TRANSCRIPT_LINE_MAX];
    mlkv_buffer wire = {0};
    size_t size = unescape(expected, reply);
    (void)run_line(db, line, protocol, &wire);
    compared++;
    if (!slice_equal(slice_of_buffer(&wire), slice_of(reply, size))) {
        failed++;
        fprintf(stderr, "RESP%d: %s\n  libmlkv: %.*s\n  Redis:   %.*s\n", protocol, line,
                (int)wire.size, (char *)wire.data, (int)size, reply);
    }
    mlkv_buffer_free(&wire);
}

static void run_transcript(const char *path, int protocol)
{
    static char line[LINE_MAX_SIZE], expected[TRANSCRIPT_LINE_MAX], next[TRANSCRIPT_LINE_MAX];
    mlkv *db = memory_store();
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    line[0] = '\0';
    bool more = true;
    while (more) {
        more = fgets(next, sizeof next, file) != NULL;
        next[more ? strcspn(next, "\n") : 0] = '\0';
        bool is_reply = (next[0] == '2' || next[0] == '3') && next[1] == ' ';
        if (is_reply && (next[0] == '2' || protocol == 3)) {
            memcpy(expected, next + 2, strlen(next + 2) + 1);
        } else if (!is_reply) {
            if (line[0] != '\0')
                compare(db, protocol, line, expected);
            ck_assert_uint_lt(strlen(next), sizeof line);
            memcpy(line, next[0] == '#' ? "" : next, next[0] == '#' ? 1 : strlen(next) + 1);
        }
    }
    (void)fclose(file);
    verify_all(db);
    OK(mlkv_close(db));
}

START_TEST(as_redis_said)
{
    const char *place = getenv("MLKV_TRANSCRIPTS");
    ck_assert_ptr_nonnull(place);
    DIR *folder = opendir(place);
    ck_assert_ptr_nonnull(folder);
    unsigned files = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[1024];
        if (strstr(entry->d_name, ".resp") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", place, entry->d_name);
        run_transcript(path, 2);
        run_transcript(path, 3);
        files++;
    }
    (void)closedir(folder);
    ck_assert_uint_ge(files, 3);
    ck_assert_uint_ge(compared, 500);
    ck_assert_msg(failed == 0, "%u of %u replies differ", failed, compared);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transcript");
    tcase_add_test(harness_case(suite, "transcript"), as_redis_said);
    return harness_run(suite);
}
