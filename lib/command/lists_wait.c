/* lists_wait.c - the commands of lists that wait for an element: BLPOP, BLMOVE and their relatives.
 *
 * mlkv/wait.h waits, in this call; in a transaction and in a snapshot it does not. Nothing found is a nil array, but of BLMOVE and
 * BRPOPLPUSH it is a plain nil where they did not wait, as in Redis's transactions: old clients see the difference.
 * No locks, no state.
 */
#include "command/lists.h"

/* --- pops --- */

static int pop_wait(call *c, mlkv_list_end end)
{
    int64_t timeout_ms = 0;
    size_t which = 0;
    int result = call_timeout(c, c->count - 1, &timeout_ms);
    if (result != 0)
        return result;
    result = mlkv_list_pop_wait(c->view, c->words + 1, c->count - 2, end, 1, timeout_ms, &which,
                                &c->reply->rows);
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT) {
        reply_nil_array(c->reply);
        return 0;
    }
    (void)reply_array(c->reply, 2);
    reply_bytes(c->reply, c->words[1 + which]);
    reply_bytes(c->reply, c->reply->rows.items[0]);
    return 0;
}

int command_blpop(call *c)
{
    return pop_wait(c, MLKV_LIST_LEFT);
}

int command_brpop(call *c)
{
    return pop_wait(c, MLKV_LIST_RIGHT);
}

int command_blmpop(call *c)
{
    list_pop_words words = {0};
    int64_t timeout_ms = 0;
    size_t which = 0;
    int result = lists_read_pop(c, 2, &words);
    if (result == 0)
        result = call_timeout(c, 1, &timeout_ms);
    if (result != 0)
        return result;
    result = mlkv_list_pop_wait(c->view, words.keys, words.key_count, words.end, words.count,
                                timeout_ms, &which, &c->reply->rows);
    return lists_answer_pop(c, result, words.keys[which]);
}

/* --- moves --- */

static int move_wait(call *c, mlkv_list_end from, mlkv_list_end to, size_t timeout_at)
{
    int64_t timeout_ms = 0;
    int result = call_timeout(c, timeout_at, &timeout_ms);
    if (result != 0)
        return result;
    result = mlkv_list_move_wait(c->view, c->words[1], c->words[2], from, to, timeout_ms,
                                 &c->reply->value);
    if (result != MLKV_ABSENT || !mlkv_view_waits(c->view)) /* where Redis waits it says no array */
        return call_answer_value(c, result);
    reply_nil_array(c->reply);
    return 0;
}

int command_blmove(call *c)
{
    mlkv_list_end from = MLKV_LIST_LEFT, to = MLKV_LIST_LEFT;
    int result = lists_read_end(c, 3, &from);
    if (result == 0)
        result = lists_read_end(c, 4, &to);
    return result != 0 ? result : move_wait(c, from, to, 5);
}

int command_brpoplpush(call *c)
{
    return move_wait(c, MLKV_LIST_RIGHT, MLKV_LIST_LEFT, 3);
}
