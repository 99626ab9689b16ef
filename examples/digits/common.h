/* common.h - the shape of the data, the names of the keys, and the one way in which this program
 * gives up. */
#ifndef DIGITS_COMMON_H
#define DIGITS_COMMON_H

#include <mlkv/mlkv.h>
#include <stdnoreturn.h>
#include <string.h>

enum {
    DIGIT_PIXELS = 64, /* 8 x 8, each 0 to 16 */
    DIGIT_CLASSES = 10,
    BATCH_SIZE = 32, /* digits a step looks at */
};

/* Keys: sets of ids, a hash for each sample ("sample:<id>" with fields pixels and label), the
 * pixels of all digits once more as one tensor, the model's two tensors, and a hash with the number
 * of steps each worker has done. */
#define KEY_TRAIN_IDS "train:ids"
#define KEY_TEST_IDS  "test:ids"
#define KEY_PIXELS    "digits:pixels"
#define KEY_WEIGHTS   "model:weights"
#define KEY_BIAS      "model:bias"
#define KEY_STEPS     "model:steps"

static inline mlkv_slice text_slice(const char *text)
{
    return (mlkv_slice){text, strlen(text)};
}

/* Prints the sentence to stderr and exits with status 2. */
noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Passes 0 and MLKV_ABSENT on. On an error says what was being done and what the library says of
 * it, and exits. */
int must(int result, const char *what);

#endif
