/* clean.h - the cleaner of deleted lives. */
#ifndef MLKV_TYPES_CLEAN_H
#define MLKV_TYPES_CLEAN_H

#include "view/op.h"

/* One bounded step: reclaims up to some thousand elements of deleted lives. 0: did something; MLKV_ABSENT: there is nothing to
 * do; negative: error. */
int clean_step(mlkv *view);

/* A hint that there may be something to do: called when a life is deleted with elements left. */
void clean_note(void);

#endif
