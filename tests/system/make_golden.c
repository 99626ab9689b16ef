/* make_golden.c - makes the stores of tests/golden, once a format version, by hand: make_golden
 * clean FOLDER; make_golden crashed FOLDER; make_golden tensors FOLDER; make_golden payloads FOLDER.
 *
 * "clean" is closed; "crashed" has its newest half only in the journal when the process kills
 * itself: their content is that of golden.h. "tensors" is closed, too, of golden_tensors.h; of those and of the other types "payloads"
 * writes some as mlkv_key_dump gives them, a file each, into an existing folder.
 */
#include "golden.h"
#include "golden_tensors.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static unsigned char blob[GOLDEN_BLOB];

static void must(int result, const char *what)
{
    if (result == MLKV_OK)
        return;
    fprintf(stderr, "make_golden: %s: %d %s\n", what, result, mlkv_error_detail());
    exit(1);
}

static void first_half(mlkv *db)
{
    char field[32], value[32];
    size_t count;
    golden_bytes(blob, sizeof blob);
    must(mlkv_string_set(db, golden_text("blob"), (mlkv_slice){blob, sizeof blob}, MLKV_SET_ALWAYS),
         "blob");
    must(mlkv_string_set(db, golden_text("compressed"), (mlkv_slice){blob, 3000}, MLKV_SET_ALWAYS),
         "compressed");
    must(mlkv_string_set(db, golden_long_name(), golden_text("of a long name"), MLKV_SET_ALWAYS),
         "long");
    must(mlkv_string_set(db, golden_text(""), golden_text(""), MLKV_SET_ALWAYS), "empty");
    for (int i = 0; i < GOLDEN_FIELDS; i++) {
        mlkv_pair pair = {golden_number(field, "field", i), golden_number(value, "value", i)};
        must(mlkv_hash_set(db, golden_text("hash"), &pair, 1, &count), "hash");
        must(mlkv_hash_set(db, golden_text("deleted"), &pair, 1, &count), "deleted");
    }
    mlkv_pair named = {golden_long_name(), {blob, 5000}};
    must(mlkv_hash_set(db, golden_text("hash"), &named, 1, &count), "hash");
}

static void second_half(mlkv *db)
{
    static float numbers[GOLDEN_ROWS * GOLDEN_COLUMNS];
    mlkv_tensor shape = {MLKV_F32, 2, {GOLDEN_ROWS, GOLDEN_COLUMNS}};
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 5000};
    mlkv_slice members[] = {golden_text("one"), golden_text("two"), golden_text("three"),
                            golden_long_name(), golden_text("")};
    mlkv_slice deleted = golden_text("deleted"), gone = golden_text("two");
    size_t count;
    int64_t sum;
    for (int i = 0; i < GOLDEN_ROWS * GOLDEN_COLUMNS; i++)
        numbers[i] = golden_element(i);
    must(mlkv_tensor_put(db, golden_text("tensor"), &shape, numbers, &options), "tensor");
    must(mlkv_tensor_add_rows(db, golden_text("tensor"), 2.0, 3, 1, numbers,
                              GOLDEN_COLUMNS * sizeof *numbers),
         "tensor add");
    must(mlkv_set_add(db, golden_text("set"), members, 5, &count), "set");
    must(mlkv_set_remove(db, golden_text("set"), &gone, 1, &count), "set");
    must(mlkv_key_delete(db, &deleted, 1, &count), "delete");
    must(mlkv_string_add(db, golden_text("counter"), -42, &sum), "counter");
}

static void write_payloads(const char *folder)
{
    mlkv *db = NULL;
    mlkv_buffer payload = {0};
    must(mlkv_open(NULL, NULL, &db), "open");
    must(golden_others_put(db), "other types");
    must(golden_tensors_put(db), "tensors");
    for (int i = 0; i < GOLDEN_PAYLOADS; i++) {
        char name[48], path[1024];
        golden_payload_key(i, name);
        must(mlkv_key_dump(db, golden_text(name), &payload), name);
        snprintf(path, sizeof path, "%s/%s.payload", folder, name);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(payload.data, 1, payload.size, file) != payload.size ||
            fclose(file) != 0)
            must(-1, path);
    }
    mlkv_buffer_free(&payload);
    must(mlkv_close(db), "close");
}

static void write_tensors(const char *folder)
{
    mlkv_options options = {.size = sizeof options, .ring_bytes = GOLDEN_RING};
    mlkv *db = NULL;
    must(mlkv_open(folder, &options, &db), "open");
    must(golden_tensors_put(db), "tensors");
    must(mlkv_close(db), "close");
}

static void write_mixed(const char *folder, int crash)
{
    mlkv_options options = {.size = sizeof options, .ring_bytes = 64 << 10, .cache_bytes = 1 << 20};
    mlkv *db = NULL;
    must(mlkv_open(folder, &options, &db), "open");
    first_half(db);
    must(mlkv_flush(db, MLKV_STORE), "flush");
    second_half(db);
    if (crash) {
        must(mlkv_flush(db, MLKV_SYNC), "sync");
        (void)kill(getpid(), SIGKILL);
    }
    must(mlkv_close(db), "close");
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[1], "payloads") == 0)
        write_payloads(arguments[2]);
    else if (count == 3 && strcmp(arguments[1], "tensors") == 0)
        write_tensors(arguments[2]);
    else if (count == 3 &&
             (strcmp(arguments[1], "clean") == 0 || strcmp(arguments[1], "crashed") == 0))
        write_mixed(arguments[2], strcmp(arguments[1], "crashed") == 0);
    else
        return 2;
    return 0;
}
