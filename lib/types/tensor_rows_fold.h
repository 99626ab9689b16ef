/* tensor_rows_fold.h - rows of tensors that stand beside their chunks are folded into them in the background. */
#ifndef MLKV_TYPES_TENSOR_ROWS_FOLD_H
#define MLKV_TYPES_TENSOR_ROWS_FOLD_H

#include "types/layout.h"
#include "view/op.h"

/* The key's record, which had rows beside its chunks or not, is being put or deleted, and has them now or not: so goes its Q record.
 * To be called by whoever writes K records. */
int fold_note(op *o, mlkv_slice name, bool had, bool has);

/* Whether that record is there. 0, MLKV_ABSENT, MLKV_E_CORRUPT. */
int fold_find(op *o, mlkv_slice name);

/* The name in a Q record. MLKV_E_CORRUPT. */
int fold_split(mlkv_slice key, mlkv_slice value, mlkv_slice *ret_name);

/* One bounded step: folds some chunks of tensors that have been left alone, or that have many rows beside them. quiet_ms: for how
 * long; 0: all tensors. 0: did something; MLKV_ABSENT: there is nothing to do; negative: error. */
int fold_step(mlkv *view, int64_t quiet_ms);

/* The same as the background does it: now and then, while there may be something to do. */
int fold_due(mlkv *view);

#endif
