/* server_commands.c - SAVE, SHUTDOWN, DEBUG, TIME and other commands about the server as a whole.
 *
 * DEBUG SLEEP and SAVE hold everybody up, as in Redis; BGSAVE does not: network_save does it in another thread.
 */
#include "server.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void run_ok(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_ok(&self->out);
}

void run_zero(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_integer(&self->out, 0);
}

void run_empty(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_array(&self->out, 0);
}

void run_slowlog_get(client *self, const mlkv_slice *words, size_t n)
{
    int64_t count;
    if (n == 3 && (!slice_integer(words[2], &count) || count < -1))
        wire_error(&self->out, "ERR count should be greater than or equal to -1");
    else
        wire_array(&self->out, 0);
}

void run_flush_library(client *self, const mlkv_slice *words, size_t n)
{
    if (n > 3 || (n == 3 && !slice_is(words[2], "SYNC") && !slice_is(words[2], "ASYNC")))
        wire_error(&self->out, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    else
        wire_ok(&self->out);
}

void run_acl_whoami(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_text(&self->out, "default");
}

void run_time(client *self, const mlkv_slice *words, size_t n)
{
    struct timespec now;
    char text[24];
    (void)words;
    (void)n;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    wire_array(&self->out, 2);
    (void)snprintf(text, sizeof text, "%lld", (long long)now.tv_sec);
    wire_text(&self->out, text);
    (void)snprintf(text, sizeof text, "%ld", now.tv_nsec / 1000);
    wire_text(&self->out, text);
}

void run_role(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_array(&self->out, 3);
    wire_text(&self->out, "master");
    wire_integer(&self->out, 0);
    wire_array(&self->out, 0);
}

void run_wait(client *self, const mlkv_slice *words, size_t n)
{
    int64_t replicas, timeout;
    (void)n;
    if (!slice_integer(words[1], &replicas))
        wire_error(&self->out, "ERR value is not an integer or out of range");
    else if (!slice_integer(words[2], &timeout))
        wire_error(&self->out, "ERR timeout is not an integer or out of range");
    else if (timeout < 0)
        wire_error(&self->out, "ERR timeout is negative");
    else
        wire_integer(&self->out, 0);
}

/* --- to the disk, and the end --- */

void run_lastsave(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_integer(&self->out, self->server->saved_at);
}

void run_save(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    int result = mlkv_flush(self->server->db, MLKV_STORE);
    if (result != MLKV_OK) {
        dispatch_refused(self, result);
        return;
    }
    self->server->saved_at = (int64_t)time(NULL);
    wire_ok(&self->out);
}

void run_bgsave(client *self, const mlkv_slice *words, size_t n)
{
    if (n > 2 || (n == 2 && !slice_is(words[1], "SCHEDULE"))) {
        wire_error(&self->out, "ERR syntax error");
        return;
    }
    network_save(self->server);
    wire_status(&self->out,
                self->in_exec ? "Background saving scheduled" : "Background saving started");
}

void run_shutdown(client *self, const mlkv_slice *words, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (slice_is(words[i], "ABORT")) {
            wire_error(&self->out, "ERR No shutdown in progress.");
            return;
        } else if (!slice_is(words[i], "NOSAVE") && !slice_is(words[i], "SAVE") &&
                   !slice_is(words[i], "NOW") && !slice_is(words[i], "FORCE")) {
            wire_error(&self->out, "ERR syntax error");
            return;
        }
    self->doomed = true; /* the end of the connection is the reply */
    network_stop(self->server);
}

/* --- DEBUG --- */

static void debug_sleep(client *self, mlkv_slice word)
{
    char text[64];
    size_t size = word.size < sizeof text ? word.size : sizeof text - 1;
    memcpy(text, word.data, size);
    text[size] = 0;
    double seconds = strtod(text, NULL);
    if (!(seconds > 0) || seconds > 1e9)
        seconds = 0;
    struct timespec left = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR && !self->server->stopping)
        continue;
    wire_ok(&self->out);
}

/* DEBUG OBJECT key: one line, from what OBJECT ENCODING says. */
static void debug_object(client *self, mlkv_slice key)
{
    mlkv_slice words[] = {{"OBJECT", 6}, {"ENCODING", 8}, key};
    mlkv_reply *reply = &self->server->reply;
    int result = mlkv_command(self->view, words, 3, reply);
    if (result != MLKV_OK) {
        dispatch_reply(self);
    } else if (reply->count == 0 || reply->nodes[0].kind != MLKV_REPLY_BYTES) {
        wire_error(&self->out, "ERR no such key");
    } else {
        char line[256];
        (void)snprintf(
            line, sizeof line,
            "Value at:0x0 refcount:1 encoding:%.*s serializedlength:0 lru:0 lru_seconds_idle:0",
            (int)(reply->nodes[0].bytes.size < 64 ? reply->nodes[0].bytes.size : 64),
            (const char *)reply->nodes[0].bytes.data);
        wire_status(&self->out, line);
    }
}

void run_debug(client *self, const mlkv_slice *words, size_t n)
{
    if (n == 3 && slice_is(words[1], "SLEEP"))
        debug_sleep(self, words[2]);
    else if (n == 3 && slice_is(words[1], "OBJECT"))
        debug_object(self, words[2]);
    else if (n == 2 && slice_is(words[1], "JMAP"))
        wire_ok(&self->out); /* what test suites of other servers call */
    else
        wire_error(
            &self->out,
            "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
            (int)(words[1].size < 128 ? words[1].size : 128), (const char *)words[1].data);
}
