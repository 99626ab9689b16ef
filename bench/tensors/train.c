/* train.c - weights that were really learned, for the codec: a network with two hidden layers, on the digits of the examples.
 *
 * 64 pixels, two layers of rectified units, softmax over ten answers; Adam, in batches of 32. Every fifth digit is kept back, as in
 * examples/digits. Weights begin Gaussian (He); Adam moves each one that has a gradient by about a thousandth in each step, so after a few
 * epochs most have moved farther than they were large. Pixels that are never set leave their weights as they began.
 *
 * A matrix has a row for each input: forwards, rows are added up; backwards, a row's dot products are the gradients of the inputs, and
 * the gradient of the row itself is used at once, so that no second matrix of gradients is there. A row is in the first cache meanwhile.
 */
#include "tensors/data.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define VECTORS
#endif

enum { PIXELS = 64, ANSWERS = 10, BATCH = 32, DIGITS_MAX = 4096, LAYERS = 3, LANES = 16 };

typedef struct {
    float pixels[PIXELS];
    int answer;
} digit;

/* Numbers stand as: inputs * outputs weights, then outputs biases. outputs is a multiple of LANES, but that of the last. */
typedef struct {
    size_t inputs, outputs;
    float *weights, *moment, *square; /* of equal size */
    float *units, *errors;            /* of the outputs, for a batch */
} layer;

typedef struct {
    layer layers[LAYERS];
    float *all; /* what the layers' pointers lie in */
    size_t parameters;
    float factor; /* of a step */
} network;

static size_t read_digits(const char *path, digit *digits)
{
    FILE *file = fopen(path, "r");
    size_t count = 0;
    int number = 0, read = file != NULL;
    while (read == 1 && count < DIGITS_MAX) {
        for (int i = 0; i < PIXELS && read == 1; i++) {
            read = fscanf(file, "%d,", &number);
            digits[count].pixels[i] = (float)number / 16;
        }
        if (read == 1 && fscanf(file, "%d", &digits[count].answer) == 1)
            count++;
    }
    if (file != NULL)
        (void)fclose(file);
    return count;
}

VECTORS static void add_scaled(float *to, const float *from, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += factor * from[i];
}

VECTORS static float dot(const float *a, const float *b, size_t n)
{
    float lanes[LANES] = {0}, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (size_t l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

VECTORS static void adam(float *weights, float *moment, float *square, const float *gradient,
                         float factor, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        moment[i] = 0.9f * moment[i] + 0.1f * gradient[i];
        square[i] = 0.999f * square[i] + 0.001f * gradient[i] * gradient[i];
        weights[i] -= factor * moment[i] / (sqrtf(square[i]) + 1e-8f);
    }
}

static void forward(const layer *self, const float *inputs, size_t batch, bool rectified)
{
    size_t n = self->outputs;
    for (size_t b = 0; b < batch; b++)
        memcpy(self->units + b * n, self->weights + self->inputs * n, n * sizeof(float));
    for (size_t i = 0; i < self->inputs; i++)
        for (size_t b = 0; b < batch; b++)
            if (inputs[b * self->inputs + i] != 0)
                add_scaled(self->units + b * n, self->weights + i * n, inputs[b * self->inputs + i],
                           n);
    for (size_t i = 0; rectified && i < batch * n; i++)
        self->units[i] = self->units[i] > 0 ? self->units[i] : 0;
}

/* errors of the outputs are there; input_errors (NULL: nobody asks) get those of the inputs. */
static void backward(const layer *self, const float *inputs, float *input_errors, float factor,
                     float *gradient)
{
    size_t n = self->outputs;
    for (size_t i = 0; i <= self->inputs; i++) {
        const float *row = self->weights + i * n;
        memset(gradient, 0, n * sizeof *gradient);
        for (size_t b = 0; b < BATCH; b++) {
            float input = i < self->inputs ? inputs[b * self->inputs + i] : 1;
            if (input == 0)
                continue;
            add_scaled(gradient, self->errors + b * n, input, n);
            if (input_errors != NULL && i < self->inputs)
                input_errors[b * self->inputs + i] = dot(row, self->errors + b * n, n);
        }
        adam(self->weights + i * n, self->moment + i * n, self->square + i * n, gradient, factor,
             n);
    }
}

static const float *run(const network *self, const float *pixels, size_t batch)
{
    const float *units = pixels;
    for (int l = 0; l < LAYERS; l++) {
        forward(&self->layers[l], units, batch, l < LAYERS - 1);
        units = self->layers[l].units;
    }
    return units;
}

/* Scores become the errors of a mean of cross entropies. */
static void judge(const float *scores, const int *answers, float *ret_errors)
{
    for (int b = 0; b < BATCH; b++) {
        const float *at = scores + (size_t)b * ANSWERS;
        float *errors = ret_errors + (size_t)b * ANSWERS, largest = at[0], sum = 0;
        for (int i = 1; i < ANSWERS; i++)
            largest = at[i] > largest ? at[i] : largest;
        for (int i = 0; i < ANSWERS; i++)
            sum += errors[i] = expf(at[i] - largest);
        for (int i = 0; i < ANSWERS; i++)
            errors[i] = (errors[i] / sum - (i == answers[b] ? 1.0f : 0.0f)) / BATCH;
    }
}

static void step(network *self, const float *pixels, const int *answers, float *gradient)
{
    layer *layers = self->layers;
    judge(run(self, pixels, BATCH), answers, layers[LAYERS - 1].errors);
    for (int l = LAYERS - 1; l >= 0; l--) {
        size_t below = l > 0 ? BATCH * layers[l].inputs : 0;
        if (l > 0)
            memset(layers[l - 1].errors, 0, below * sizeof(float)); /* of units that are 0 */
        backward(&layers[l], l > 0 ? layers[l - 1].units : pixels,
                 l > 0 ? layers[l - 1].errors : NULL, self->factor, gradient);
    }
}

static int network_init(network *self, size_t width)
{
    const size_t units[LAYERS + 1] = {PIXELS, width, width, ANSWERS};
    uint64_t state = 20261121;
    size_t floats = 0, sum = 0;
    for (int l = 0; l < LAYERS; l++) {
        self->parameters += (units[l] + 1) * units[l + 1];
        sum += units[l + 1];
    }
    floats = 3 * self->parameters + 2 * BATCH * sum;
    float *at = self->all = calloc(floats, sizeof *at);
    if (at == NULL)
        return -1;
    for (int part = 0; part < 3; part++)
        for (int l = 0; l < LAYERS; l++) {
            layer *one = &self->layers[l];
            float **const parts[] = {&one->weights, &one->moment, &one->square};
            one->inputs = units[l];
            one->outputs = units[l + 1];
            *parts[part] = at;
            at += (units[l] + 1) * units[l + 1];
        }
    for (int l = 0; l < LAYERS; l++) {
        layer *one = &self->layers[l];
        one->units = at;
        one->errors = at + BATCH * one->outputs;
        at = one->errors + BATCH * one->outputs;
        for (size_t i = 0; i < one->inputs * one->outputs; i++) {
            double u = ((double)(data_random(&state) >> 11) + 1) * 0x1p-53,
                   v = (double)(data_random(&state) >> 11) * 0x1p-53;
            one->weights[i] = (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v) *
                                      sqrt(2.0 / (double)one->inputs));
        }
    }
    return 0;
}

static double accuracy(const network *self, const digit *digits, size_t count)
{
    size_t right = 0, asked = 0;
    for (size_t i = 4; i < count; i += 5) {
        const float *scores = run(self, digits[i].pixels, 1);
        int best = 0;
        for (int a = 1; a < ANSWERS; a++)
            best = scores[a] > scores[best] ? a : best;
        right += best == digits[i].answer;
        asked++;
    }
    return (double)right / (double)asked;
}

static void train(network *self, const digit *digits, size_t count, int epochs, float *gradient)
{
    static float pixels[BATCH * PIXELS];
    int answers[BATCH];
    uint64_t state = 1797;
    int steps = (int)(count * 4 / 5 / BATCH) * epochs;
    for (int s = 1; s <= steps; s++) {
        for (int b = 0; b < BATCH; b++) {
            size_t i = data_random(&state) % (count / 5) * 5 + data_random(&state) % 4;
            memcpy(pixels + (size_t)b * PIXELS, digits[i].pixels, sizeof digits[i].pixels);
            answers[b] = digits[i].answer;
        }
        self->factor =
            (float)(0.001 * sqrt(1 - pow(0.999, s)) / (1 - pow(0.9, s))); /* as Adam corrects */
        step(self, pixels, answers, gradient);
    }
}

int train_digits(const char *path, size_t width, int epochs, float **ret_weights, size_t *ret_count,
                 double *ret_accuracy)
{
    network self = {0};
    digit *digits = calloc(DIGITS_MAX, sizeof *digits);
    float *gradient = calloc(width + ANSWERS, sizeof *gradient);
    size_t count = digits == NULL ? 0 : read_digits(path, digits);
    int result = count < 5 || gradient == NULL || network_init(&self, width) != 0 ? -1 : 0;
    if (result != 0)
        fprintf(stderr, "bench: %s: no digits, or no memory: %s\n", path, strerror(errno));
    if (result == 0) {
        train(&self, digits, count, epochs, gradient);
        *ret_accuracy = accuracy(&self, digits, count);
        *ret_weights = self.all; /* they stand first */
        *ret_count = self.parameters;
    }
    free(gradient);
    free(digits);
    return result;
}
