/* command.c - mlkv_command: finds a command in the table, checks the number of its words, runs it.
 *
 * Invariants:
 *  1. No command runs with fewer or more words than its row says.
 *  2. After a result that is not negative the reply has at least one node and no error at its top; after a negative one it is an error,
 *     or empty for lack of memory.
 *
 * No locks: a call belongs to one thread, and the table is constant.
 */
#include "base/bytes.h"
#include "base/error.h"
#include "command/call.h"

#include <stdio.h>

enum { QUOTED_MAX = 128 /* Redis's own */ };

/* Adds `'word' ` as far as there is room for in what Redis shows. */
static size_t quote_word(char *to, size_t used, size_t capacity, mlkv_slice word)
{
    size_t room = used < QUOTED_MAX ? QUOTED_MAX - used : 0;
    const char *text = word.size == 0 ? "" : word.data;
    size_t size = strnlen(text, word.size < room ? word.size : room);
    int more = snprintf(to + used, capacity - used, "'%.*s' ", (int)size, text);
    return used + (size_t)more;
}

static int unknown_command(call *c)
{
    char shown[QUOTED_MAX + 8] = "";
    size_t used = 0;
    for (size_t i = 1; i < c->count && used < QUOTED_MAX; i++)
        used = quote_word(shown, used, sizeof shown, c->words[i]);
    mlkv_slice name = c->words[0];
    const char *text = name.size == 0 ? "" : name.data;
    size_t size = strnlen(text, name.size < QUOTED_MAX ? name.size : QUOTED_MAX);
    return call_fail(c, MLKV_E_ARGUMENT, "ERR unknown command '%.*s', with args beginning with: %s",
                     (int)size, text, shown);
}

/* Words, their number, the table. */
static int find_command(call *c)
{
    if (c->reply == NULL)
        return error_set(MLKV_E_ARGUMENT, "ret_reply is NULL");
    reply_restart(c->reply);
    if (c->words == NULL || c->count == 0)
        return error_set(MLKV_E_ARGUMENT, "words is NULL, or there are none");
    for (size_t i = 0; i < c->count; i++)
        if (c->words[i].data == NULL && c->words[i].size > 0)
            return call_fail(c, MLKV_E_ARGUMENT, "ERR words[%zu] claims %zu bytes at NULL", i,
                             c->words[i].size);
    c->row = table_find(c->words[0]);
    if (c->row == NULL || c->row->run == NULL)
        return unknown_command(c);
    int64_t arity = c->row->info.arity, n = (int64_t)c->count;
    return arity >= 0 ? (n == arity ? 0 : call_wrong_arity(c))
                      : (n >= -arity ? 0 : call_wrong_arity(c));
}

static int finish(call *c, int result)
{
    int finished = reply_finish(c->reply);
    return result < 0 ? result : finished;
}

int mlkv_command(mlkv *view, const mlkv_slice *words, size_t n, mlkv_reply *ret_reply)
{
    call c = {.view = view, .words = words, .count = n, .reply = ret_reply};
    error_clear();
    int result = find_command(&c);
    if (ret_reply == NULL)
        return result;
    if (result == 0 && view == NULL)
        result = call_fail(&c, MLKV_E_ARGUMENT, "ERR view is NULL");
    if (result == 0)
        result = c.row->run(&c);
    return finish(&c, result);
}

int mlkv_command_check(const mlkv_slice *words, size_t n, mlkv_reply *ret_reply)
{
    call c = {.words = words, .count = n, .reply = ret_reply};
    error_clear();
    int result = find_command(&c);
    if (ret_reply == NULL)
        return result;
    if (result == 0)
        reply_ok(ret_reply);
    return finish(&c, result);
}
