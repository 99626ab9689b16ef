/* set.h - what the files that deal with sets share: putting a member into a set and taking one out (set.c). */
#ifndef MLKV_TYPES_SET_H
#define MLKV_TYPES_SET_H

#include "types/element.h"
#include "types/entry.h"

/* Adds a member that is known not to be there. The header's count follows; entry_store must, in the same rule. */
int set_append(op *o, entry *set, mlkv_slice name);
/* Adds a member. 0: it is new; MLKV_ABSENT: it was there. Otherwise likewise. */
int set_insert(op *o, entry *set, mlkv_slice name);
/* Removes a member; `moved` is memory for the one that takes its place. 0; MLKV_ABSENT: it was not there. Without members entry_vanish
 * must follow, else entry_store. */
int set_remove(op *o, entry *set, mlkv_slice name, mlkv_buffer *moved);
/* Writes the set's own record after members went; without members the key goes. */
int set_store_rest(op *o, entry *set);

#endif
