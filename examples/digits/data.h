/* data.h - the digits: out of a text file, into the store, and out of the store again. */
#ifndef DIGITS_DATA_H
#define DIGITS_DATA_H

#include "common.h"

typedef struct {
    unsigned char pixels[DIGIT_PIXELS];
    unsigned char label;
} digit;

/* What a reader keeps from one read to the next, so that a loop allocates nothing. Starts as {0}.
 */
typedef struct {
    mlkv_rows ids;
    mlkv_rows fields;
    uint64_t reads; /* calls into the library */
} digit_reader;

/* Reads the CSV file at `path` and puts its digits into the store in one transaction each hundred;
 * how many there were. */
size_t data_load(mlkv *db, const char *path);

/* Draws BATCH_SIZE different digits of the training set by chance; how many it got. */
size_t data_draw_batch(mlkv *db, digit_reader *reader, digit ret_batch[BATCH_SIZE]);

/* Reads the held-out digits, pixels from the tensor and labels from the hashes, into new memory;
 * how many there are. */
size_t data_read_held_out(mlkv *db, digit **ret_digits);

void digit_reader_done(digit_reader *reader);

#endif
