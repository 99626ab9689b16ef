/* table.h - the table of commands, as the compiler has it. */
#ifndef MLKV_COMMAND_TABLE_H
#define MLKV_COMMAND_TABLE_H

#include <mlkv/command.h>

struct call;

/* A row: what mlkv_command_info says of it, and the function. */
typedef struct {
    mlkv_command_info info;
    int (*run)(struct call *c);
} command_row;

/* The row of this name, in letters of any case; NULL if there is none. O(log commands). */
const command_row *table_find(mlkv_slice name);

#define COMMAND(symbol, name, group, flags, arity, first_key, last_key, key_step, synopsis, \
                summary)                                                                    \
    int command_##symbol(struct call *c);
#include "command/table.def"
#undef COMMAND

#endif
