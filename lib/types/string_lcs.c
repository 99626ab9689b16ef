/* string_lcs.c - the longest common subsequence of two strings.
 *
 * The textbook's table: cell (i, j) is the length for the first i bytes of a and the first j of b. The
 * way back through it, from the end, prefers a step in b when both are as good, as Redis does, so that
 * of several longest ones the same is found.
 *
 * Invariant: both values belong to one state. Locks: none.
 */
#include <mlkv/string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "types/argument.h"

#include <stdlib.h>

enum { TABLE_BYTES_MAX = 512 << 20 };

typedef struct {
    const unsigned char *a, *b;
    size_t a_size, b_size;
    uint32_t *table;
} lcs;

static uint32_t *cell_at(const lcs *self, size_t i, size_t j)
{
    return &self->table[i * (self->b_size + 1) + j];
}

static int fill(lcs *self)
{
    size_t rows = self->a_size + 1, columns = self->b_size + 1;
    if (rows > TABLE_BYTES_MAX / sizeof *self->table / columns)
        return error_set(MLKV_E_SIZE,
                         "the common subsequence of %zu and %zu bytes needs more than 512 MiB",
                         self->a_size, self->b_size);
    self->table = calloc(rows * columns, sizeof *self->table);
    if (self->table == NULL)
        return error_set_memory("the table of a common subsequence");
    for (size_t i = 1; i < rows; i++)
        for (size_t j = 1; j < columns; j++) {
            uint32_t up = *cell_at(self, i - 1, j), left = *cell_at(self, i, j - 1);
            *cell_at(self, i, j) = self->a[i - 1] == self->b[j - 1]
                                       ? *cell_at(self, i - 1, j - 1) + 1
                                   : up > left ? up
                                               : left;
        }
    return MLKV_OK;
}

/* Walks back: text (of the length of the subsequence) from its end, matches from the last to the first. Either may be NULL. */
static int walk_back(const lcs *self, unsigned char *text, uint64_t min_match, mlkv_buffer *matches)
{
    size_t i = self->a_size, j = self->b_size, left = *cell_at(self, i, j);
    mlkv_match run = {0};
    while (i > 0 && j > 0) {
        bool same = self->a[i - 1] == self->b[j - 1];
        if (same) {
            i--;
            j--;
            run = (mlkv_match){i, j, run.length + 1};
            if (text != NULL)
                text[--left] = self->a[i];
        } else if (*cell_at(self, i - 1, j) > *cell_at(self, i, j - 1)) {
            i--;
        } else {
            j--;
        }
        if (run.length == 0 || (same && i > 0 && j > 0))
            continue;
        int result = matches != NULL && run.length >= min_match
                         ? buffer_append(matches, &run, sizeof run)
                         : MLKV_OK;
        if (result != MLKV_OK)
            return result;
        run.length = 0;
    }
    return MLKV_OK;
}

static int give(const lcs *self, uint64_t min_match, mlkv_buffer *text, mlkv_buffer *matches)
{
    size_t length = *cell_at(self, self->a_size, self->b_size);
    unsigned char *bytes = NULL;
    mlkv_buffer new_text = {0}, new_matches = {0};
    int result = MLKV_OK;
    if (text != NULL && (bytes = buffer_extend(&new_text, length)) == NULL)
        result = MLKV_E_MEMORY;
    if (result == MLKV_OK)
        result = walk_back(self, bytes, min_match, matches != NULL ? &new_matches : NULL);
    if (result == MLKV_OK && text != NULL)
        result = buffer_reserve(text, new_text.size);
    if (result == MLKV_OK && matches != NULL)
        result = buffer_assign(matches, new_matches.data, new_matches.size);
    if (result == MLKV_OK && text != NULL)
        result = buffer_assign(text, new_text.data, new_text.size);
    mlkv_buffer_free(&new_text);
    mlkv_buffer_free(&new_matches);
    return result;
}

/* The strings; a key of another type is the caller's error here, other than for mlkv_string_get_many. */
static int read_both(mlkv *view, mlkv_slice a, mlkv_slice b, mlkv_rows *rows)
{
    mlkv_slice keys[] = {a, b};
    int result = mlkv_string_get_many(view, keys, 2, rows);
    for (size_t i = 0; i < 2 && result == MLKV_OK; i++) {
        uint64_t length;
        if (rows->items[i].data == NULL)
            result = mlkv_string_length(view, keys[i], &length); /* says MLKV_E_TYPE */
    }
    return result;
}

int mlkv_string_lcs(mlkv *view, mlkv_slice a, mlkv_slice b, uint64_t min_match,
                    uint64_t *ret_length, mlkv_buffer *ret_text, mlkv_buffer *ret_matches)
{
    mlkv_rows rows = {0};
    lcs self = {0};
    int result = argument_view_key(view, a);
    if (result == MLKV_OK)
        result = argument_slice(b, "b");
    if (result == MLKV_OK)
        result = argument_pointer(ret_length, "ret_length");
    if (result == MLKV_OK)
        result = read_both(view, a, b, &rows);
    if (result == MLKV_OK) {
        self.a = rows.items[0].data;
        self.a_size = rows.items[0].size;
        self.b = rows.items[1].data;
        self.b_size = rows.items[1].size;
        result = fill(&self);
    }
    if (result == MLKV_OK)
        result = give(&self, min_match, ret_text, ret_matches);
    if (result == MLKV_OK)
        *ret_length = *cell_at(&self, self.a_size, self.b_size);
    free(self.table);
    mlkv_rows_free(&rows);
    return result;
}
