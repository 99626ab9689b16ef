/* table.c - the rows of table.def, found by name.
 *
 * State: the rows, constant, and their order by name, made once when the library is loaded and constant from then on.
 *
 * Invariants:
 *  1. Names are lower case and distinct.
 *  2. `order` is a permutation of the rows, rising by name.
 *
 * No locks: nothing changes after the load.
 */
#include "command/table.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>
#include <strings.h>

enum {
    WRITE = MLKV_COMMAND_WRITE,
    READ = MLKV_COMMAND_READ,
    GROWS = MLKV_COMMAND_GROWS,
    FAST = MLKV_COMMAND_FAST,
    BLOCKS = MLKV_COMMAND_BLOCKS,
    MOVABLE = MLKV_COMMAND_MOVABLE,
    SCANS = MLKV_COMMAND_SCANS,
    RANDOM = MLKV_COMMAND_RANDOM,
};

static const command_row rows[] = {
#define COMMAND(symbol, name, group, flags, arity, first_key, last_key, key_step, synopsis, \
                summary)                                                                    \
    {{sizeof(mlkv_command_info), name, group, summary, synopsis, flags, arity, first_key,   \
      last_key, key_step},                                                                  \
     command_##symbol},
#include "command/table.def"
#undef COMMAND
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static const command_row *order[ROWS];

static int compare_rows(const void *a, const void *b)
{
    const command_row *const *left = a, *const *right = b;
    return strcmp((*left)->info.name, (*right)->info.name);
}

__attribute__((constructor)) static void sort_rows(void)
{
    for (size_t i = 0; i < ROWS; i++)
        order[i] = &rows[i];
    qsort(order, ROWS, sizeof order[0], compare_rows);
}

/* As strcmp of the name in lower case. */
static int compare_name(mlkv_slice name, const char *row)
{
    int found = strncasecmp(name.data, row, name.size);
    return found != 0 ? found : row[name.size] == '\0' ? 0 : -1;
}

const command_row *table_find(mlkv_slice name)
{
    if (name.size == 0 || memchr(name.data, '\0', name.size) != NULL)
        return NULL;
    for (size_t low = 0, high = ROWS; low < high;) {
        size_t middle = low + (high - low) / 2;
        int found = compare_name(name, order[middle]->info.name);
        if (found == 0)
            return order[middle];
        if (found < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static int give_row(const command_row *row, mlkv_command_info *ret_info)
{
    if (ret_info == NULL || ret_info->size != sizeof *ret_info)
        return error_set(MLKV_E_ARGUMENT, "ret_info: its size is not one that this library knows");
    if (row == NULL)
        return MLKV_ABSENT;
    *ret_info = row->info;
    return MLKV_OK;
}

int mlkv_command_row(size_t i, mlkv_command_info *ret_info)
{
    error_clear();
    return give_row(i < ROWS ? order[i] : NULL, ret_info);
}

int mlkv_command_find(mlkv_slice name, mlkv_command_info *ret_info)
{
    error_clear();
    if (name.data == NULL && name.size > 0)
        return error_set(MLKV_E_ARGUMENT, "name claims %zu bytes at NULL", name.size);
    return give_row(table_find(name), ret_info);
}
