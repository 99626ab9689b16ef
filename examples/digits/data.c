/* data.c - see data.h.
 *
 * A sample is a hash: `pixels`, 64 bytes, and `label`, a number as text. Its id is its line in the
 * file. Every fifth line is held out: the split depends on nothing else, so two runs judge the
 * model on the same digits. The ids of the two parts are sets, from which a worker draws by chance
 * at a cost that does not depend on their size. All pixels also stand in one tensor [digits, 64],
 * which is read by rows.
 */
#include "data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HELD_OUT_EVERY = 5,
    LINE_SIZE_MAX = 512, /* the longest line of the file has 195 characters */
    LOAD_BATCH =
        100, /* digits a transaction: others wait for the writer lock, so it is kept short */
};

static const mlkv_slice sample_fields[2] = {{"pixels", 6}, {"label", 5}};

static mlkv_slice sample_key(char (*buffer)[64], const char *id, size_t size)
{
    int length = snprintf(*buffer, sizeof *buffer, "sample:%.*s", (int)size, id);
    return (mlkv_slice){*buffer, (size_t)length};
}

/* One line: 64 pixels and the label, separated by commas. 0 or -1. */
static int parse_line(const char *line, digit *ret_digit)
{
    const char *at = line;
    for (int i = 0; i <= DIGIT_PIXELS; i++) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        int is_label = i == DIGIT_PIXELS;
        if (end == at || errno != 0 || number < 0 || number > (is_label ? DIGIT_CLASSES - 1 : 16))
            return -1;
        if (is_label)
            ret_digit->label = (unsigned char)number;
        else
            ret_digit->pixels[i] = (unsigned char)number;
        if (*end != (is_label ? '\n' : ','))
            return is_label && *end == '\0' ? 0 : -1;
        at = end + 1;
    }
    return 0;
}

static size_t parse_file(const char *path, digit **ret_digits)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        give_up("%s: %s", path, strerror(errno));
    digit *digits = NULL;
    size_t count = 0, capacity = 0;
    char line[LINE_SIZE_MAX];
    while (fgets(line, sizeof line, file) != NULL) {
        if (count == capacity) {
            capacity = capacity == 0 ? 2048 : 2 * capacity;
            digits = realloc(digits, capacity * sizeof *digits);
            if (digits == NULL)
                give_up("out of memory for %zu digits", capacity);
        }
        if (parse_line(line, &digits[count]) != 0)
            give_up("%s, line %zu: not 64 pixels of 0 to 16 and a label of 0 to 9", path,
                    count + 1);
        count++;
    }
    fclose(file);
    if (count == 0)
        give_up("%s: no digits in it", path);
    *ret_digits = digits;
    return count;
}

static void put_sample(mlkv *transaction, size_t number, const digit *sample)
{
    char id[32], label[4], key[64];
    size_t id_size = (size_t)snprintf(id, sizeof id, "%zu", number);
    size_t label_size = (size_t)snprintf(label, sizeof label, "%u", (unsigned)sample->label);
    const mlkv_pair pairs[2] = {{sample_fields[0], {sample->pixels, DIGIT_PIXELS}},
                                {sample_fields[1], {label, label_size}}};
    must(mlkv_hash_set(transaction, sample_key(&key, id, id_size), pairs, 2, NULL),
         "storing a sample");

    const char *part = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 ? KEY_TEST_IDS : KEY_TRAIN_IDS;
    const mlkv_slice member = {id, id_size};
    must(mlkv_set_add(transaction, text_slice(part), &member, 1, NULL), "adding an id to its set");
}

static void put_pixels(mlkv *db, const digit *digits, size_t count)
{
    unsigned char *pixels = malloc(count * DIGIT_PIXELS);
    if (pixels == NULL)
        give_up("out of memory for the pixels");
    for (size_t i = 0; i < count; i++)
        memcpy(pixels + i * DIGIT_PIXELS, digits[i].pixels, DIGIT_PIXELS);
    const mlkv_tensor tensor = {.dtype = MLKV_U8, .dimensions = 2, .shape = {count, DIGIT_PIXELS}};
    must(mlkv_tensor_put(db, text_slice(KEY_PIXELS), &tensor, pixels, NULL), "storing the pixels");
    free(pixels);
}

size_t data_load(mlkv *db, const char *path)
{
    digit *digits;
    size_t count = parse_file(path, &digits);
    for (size_t first = 0; first < count; first += LOAD_BATCH) {
        mlkv *transaction;
        must(mlkv_begin(db, &transaction), "beginning a transaction");
        for (size_t i = first; i < count && i < first + LOAD_BATCH; i++)
            put_sample(transaction, i, &digits[i]);
        must(mlkv_commit(transaction), "committing samples");
    }
    put_pixels(db, digits, count);
    free(digits);
    return count;
}

/* Label from text to number. */
static unsigned char read_label(mlkv_slice text)
{
    unsigned char label =
        text.size == 1 ? (unsigned char)(*(const unsigned char *)text.data - '0') : DIGIT_CLASSES;
    if (label >= DIGIT_CLASSES)
        give_up("a sample in the store has a label of %zu bytes that is no digit", text.size);
    return label;
}

size_t data_draw_batch(mlkv *db, digit_reader *reader, digit ret_batch[BATCH_SIZE])
{
    must(mlkv_set_random(db, text_slice(KEY_TRAIN_IDS), BATCH_SIZE, 1, &reader->ids),
         "drawing ids");
    reader->reads++;
    for (size_t i = 0; i < reader->ids.count; i++) {
        char key[64];
        mlkv_slice id = reader->ids.items[i];
        must(mlkv_hash_get_many(db, sample_key(&key, id.data, id.size), sample_fields, 2,
                                &reader->fields),
             "reading a sample");
        reader->reads++;
        const mlkv_slice *fields = reader->fields.items;
        if (reader->fields.count != 2 || fields[0].size != DIGIT_PIXELS || fields[1].data == NULL)
            give_up("sample %.*s in the store is not whole", (int)id.size, (const char *)id.data);
        memcpy(ret_batch[i].pixels, fields[0].data, DIGIT_PIXELS);
        ret_batch[i].label = read_label(fields[1]);
    }
    return reader->ids.count;
}

size_t data_read_held_out(mlkv *db, digit **ret_digits)
{
    mlkv_rows ids = {0};
    mlkv_buffer label = {0};
    must(mlkv_set_members(db, text_slice(KEY_TEST_IDS), &ids), "reading the held-out ids");
    digit *digits = calloc(ids.count + 1, sizeof *digits);
    if (digits == NULL)
        give_up("out of memory for %zu digits", ids.count);
    for (size_t i = 0; i < ids.count; i++) {
        char key[64], number[32];
        snprintf(number, sizeof number, "%.*s", (int)ids.items[i].size,
                 (const char *)ids.items[i].data);
        uint64_t row = strtoull(number, NULL, 10);
        must(mlkv_tensor_read_rows(db, text_slice(KEY_PIXELS), row, 1, digits[i].pixels,
                                   DIGIT_PIXELS),
             "reading pixels");
        mlkv_slice name = sample_key(&key, ids.items[i].data, ids.items[i].size);
        if (must(mlkv_hash_get(db, name, sample_fields[1], &label), "reading a label") ==
            MLKV_ABSENT)
            give_up("sample %s in the store has no label", number);
        digits[i].label = read_label((mlkv_slice){label.data, label.size});
    }
    size_t count = ids.count;
    mlkv_buffer_free(&label);
    mlkv_rows_free(&ids);
    *ret_digits = digits;
    return count;
}

void digit_reader_done(digit_reader *reader)
{
    mlkv_rows_free(&reader->ids);
    mlkv_rows_free(&reader->fields);
}
