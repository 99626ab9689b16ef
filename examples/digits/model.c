/* model.c - see model.h. The model lives in two tensors, model:weights [10, 64] and model:bias
 * [10], both f32. */
#include "model.h"

#include <math.h>

static const mlkv_tensor weights_form = {
    .dtype = MLKV_F32, .dimensions = 2, .shape = {DIGIT_CLASSES, DIGIT_PIXELS}};
static const mlkv_tensor bias_form = {.dtype = MLKV_F32, .dimensions = 1, .shape = {DIGIT_CLASSES}};

void model_create(mlkv *db)
{
    static const model zeros;
    const mlkv_slice keys[2] = {text_slice(KEY_WEIGHTS), text_slice(KEY_BIAS)};
    must(mlkv_key_delete(db, keys, 2, NULL), "deleting an older model");
    must(mlkv_tensor_put(db, keys[0], &weights_form, zeros.weights, NULL), "storing the weights");
    must(mlkv_tensor_put(db, keys[1], &bias_form, zeros.bias, NULL), "storing the bias");
}

void model_pull(mlkv *view, model *ret_model)
{
    if (must(mlkv_tensor_get(view, text_slice(KEY_WEIGHTS), ret_model->weights,
                             sizeof ret_model->weights),
             "reading the weights") ||
        must(mlkv_tensor_get(view, text_slice(KEY_BIAS), ret_model->bias, sizeof ret_model->bias),
             "reading the bias"))
        give_up("there is no model in the store");
}

void model_push(mlkv *view, const model *delta, double factor)
{
    must(mlkv_tensor_add(view, text_slice(KEY_WEIGHTS), factor, &weights_form, delta->weights),
         "adding to the weights");
    must(mlkv_tensor_add(view, text_slice(KEY_BIAS), factor, &bias_form, delta->bias),
         "adding to the bias");
}

static void scores_of(const model *self, const digit *sample, float ret_scores[DIGIT_CLASSES])
{
    for (int answer = 0; answer < DIGIT_CLASSES; answer++) {
        float sum = self->bias[answer];
        for (int i = 0; i < DIGIT_PIXELS; i++)
            sum += self->weights[answer][i] * (float)sample->pixels[i] * (1.0f / 16);
        ret_scores[answer] = sum;
    }
}

static int best_of(const float scores[DIGIT_CLASSES])
{
    int best = 0;
    for (int answer = 1; answer < DIGIT_CLASSES; answer++)
        if (scores[answer] > scores[best])
            best = answer;
    return best;
}

/* Scores become probabilities. The largest is taken away first: exp() of it cannot overflow then.
 */
static void softmax(float scores[DIGIT_CLASSES])
{
    float largest = scores[best_of(scores)], sum = 0;
    for (int answer = 0; answer < DIGIT_CLASSES; answer++) {
        scores[answer] = expf(scores[answer] - largest);
        sum += scores[answer];
    }
    for (int answer = 0; answer < DIGIT_CLASSES; answer++)
        scores[answer] /= sum;
}

double model_gradient(const model *self, const digit *batch, size_t count, model *ret_gradient)
{
    *ret_gradient = (model){0};
    double loss = 0;
    for (size_t n = 0; n < count; n++) {
        float scores[DIGIT_CLASSES];
        scores_of(self, &batch[n], scores);
        softmax(scores);
        loss -= log((double)scores[batch[n].label] + 1e-12);
        scores[batch[n].label] -= 1;
        for (int answer = 0; answer < DIGIT_CLASSES; answer++) {
            float error = scores[answer] / (float)count;
            ret_gradient->bias[answer] += error;
            for (int i = 0; i < DIGIT_PIXELS; i++)
                ret_gradient->weights[answer][i] += error * (float)batch[n].pixels[i] * (1.0f / 16);
        }
    }
    return loss / (double)count;
}

double model_accuracy(const model *self, const digit *digits, size_t count)
{
    size_t right = 0;
    for (size_t n = 0; n < count; n++) {
        float scores[DIGIT_CLASSES];
        scores_of(self, &digits[n], scores);
        right += best_of(scores) == digits[n].label;
    }
    return count == 0 ? 0 : (double)right / (double)count;
}

uint64_t model_changes(mlkv *view)
{
    mlkv_tensor_info weights = {.size = sizeof weights}, bias = {.size = sizeof bias};
    must(mlkv_tensor_get_info(view, text_slice(KEY_WEIGHTS), &weights),
         "reading about the weights");
    must(mlkv_tensor_get_info(view, text_slice(KEY_BIAS), &bias), "reading about the bias");
    if (weights.version != bias.version)
        give_up("half a step is in the store: the weights changed %llu times, the bias %llu times",
                (unsigned long long)weights.version, (unsigned long long)bias.version);
    return weights.version;
}
