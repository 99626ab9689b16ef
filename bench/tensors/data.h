/* data.h - the numbers that the tensors' benchmark stores. The same seed gives the same bytes. */
#ifndef MLKV_BENCH_TENSORS_DATA_H
#define MLKV_BENCH_TENSORS_DATA_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    DATA_WEIGHTS,  /* Gaussian, in layers of 131,072 whose scales differ by sqrt(2) */
    DATA_TRAINED,  /* weights that a network really learned: given by data_trained */
    DATA_PRUNED,   /* weights of which nine in ten are 0 */
    DATA_COUNTING, /* whole numbers that rise by 1 to 8 */
    DATA_TOKENS,   /* whole numbers below 50,000, the small ones more often: words of a text */
    DATA_SMOOTH,   /* pixels of smooth pictures */
    DATA_SPARSE,   /* 0, and in one place of fifty 1 */
    DATA_NOISE,    /* nothing shrinks it */
} data_content;

/* A dtype and what its numbers are. `dtype` is a name as mlkv_dtype_name gives. */
typedef struct {
    const char *dtype;
    data_content content;
    unsigned width; /* bytes of a number */
} data_kind;

const char *data_name(data_content content);

/* `size` bytes of such numbers; not for DATA_TRAINED. */
void data_fill(const data_kind *kind, void *to, size_t size);

/* Splitmix64 over a state of the caller's. */
uint64_t data_random(uint64_t *state);

/* The nearest bf16 of an f32, ties to even. */
uint16_t data_bf16(float value);

/* A network of 64, `width`, `width` and 10 units is trained on the digits of the file, as the example train_digits has them, four fifths
 * of them, `epochs` times through. *ret_weights: all of its parameters, layer by layer, to be freed by the caller; *ret_accuracy: on the
 * digits that it has not seen. 0, or -1 with a line on stderr. */
int train_digits(const char *path, size_t width, int epochs, float **ret_weights, size_t *ret_count,
                 double *ret_accuracy);

#endif
