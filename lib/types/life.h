/* life.h - which records belong to a life, by its type, and where in them a cell stands: for whoever walks over all of them. */
#ifndef MLKV_TYPES_LIFE_H
#define MLKV_TYPES_LIFE_H

#include "types/layout.h"

enum { LIFE_NO_CELL = -1, LIFE_FIELD_CELL = -2 };

typedef struct {
    char record_class; /* their keys: class, id, more; 0: no more classes */
    int cell_at;       /* offset of the cell in the value, or one of the above */
} life_class;

/* The classes of this type's records, ended by one of class 0; NULL: no type, or one without elements. */
const life_class *life_classes(int type);

/* The part of such a record's value that is a cell, if it refers to a blob. */
bool life_find_blob(mlkv_slice key, mlkv_slice value, int cell_at, mlkv_slice *ret_cell);

#endif
