/* key_copy.h - copying a key within a rule that does more. */
#ifndef MLKV_TYPES_KEY_COPY_H
#define MLKV_TYPES_KEY_COPY_H

#include "view/op.h"

/* mlkv_key_copy in place of what stands under `destination`; the names differ. 0; MLKV_ABSENT: there is no source, and nothing was
 * put. */
int key_copy_over(op *o, mlkv_slice source, mlkv_slice destination);

#endif
