/* model.h - softmax regression over 64 pixels, and its two tensors in the store. */
#ifndef DIGITS_MODEL_H
#define DIGITS_MODEL_H

#include "data.h"

typedef struct {
    float weights[DIGIT_CLASSES][DIGIT_PIXELS];
    float bias[DIGIT_CLASSES];
} model;

/* Puts a model of zeros into the store. Softmax regression has one minimum: where it starts does
 * not matter. */
void model_create(mlkv *db);

/* Pulls the shared model. Weights and bias may come from two different steps, which does not
 * disturb the descent. */
void model_pull(mlkv *view, model *ret_model);

/* Adds factor * delta to the shared model. In a transaction: to both tensors, or to neither. */
void model_push(mlkv *view, const model *delta, double factor);

/* Mean gradient of the cross-entropy over the batch; returns the mean loss. */
double model_gradient(const model *self, const digit *batch, size_t count, model *ret_gradient);

/* Share of the digits whose most likely class is their label. */
double model_accuracy(const model *self, const digit *digits, size_t count);

/* How many times the shared model was changed since model_create; give_up if its two tensors
 * disagree. */
uint64_t model_changes(mlkv *view);

#endif
