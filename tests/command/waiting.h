/* waiting.h - commands that wait until another thread's command wakes them. */
#ifndef MLKV_TESTS_COMMAND_WAITING_H
#define MLKV_TESTS_COMMAND_WAITING_H

#include "command/fixture.h"

#include "base/clock.h"

#include <pthread.h>

typedef struct {
    mlkv *db;
    const char *line;
    int protocol;
    mlkv_buffer wire;
    int result;
} waiter;

static inline void *run_waiter(void *argument)
{
    waiter *self = argument;
    self->result = run_line(self->db, self->line, self->protocol, &self->wire);
    return NULL;
}

/* `line` waits for ever until `waking` is said, and says `expected` then. */
static inline void is_woken(int protocol, const char *line, const char *waking,
                            const char *expected)
{
    mlkv *db = memory_store();
    waiter self = {.db = db, .line = line, .protocol = protocol, .result = 77};
    mlkv_buffer wire = {0};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_waiter, &self), 0);
    clock_sleep_us(20000); /* it sleeps by now, most likely; right is either */
    OK(run_line(db, waking, protocol, &wire));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    MUST(MLKV_OK, self.result);
    ck_assert_msg(slice_equal(slice_of_buffer(&self.wire), slice_of_text(expected)), "%s: %.*s",
                  line, (int)self.wire.size, (char *)self.wire.data);
    mlkv_buffer_free(&self.wire);
    mlkv_buffer_free(&wire);
    OK(mlkv_close(db));
}

#endif
