/* connection_commands.c - what a client says about its connection: PING, HELLO, AUTH, CLIENT ... Redis's rules and texts.
 *
 * Passwords are compared in a time that depends on nothing but the length of what the client sent.
 */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char bad_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

void run_ping(client *self, const mlkv_slice *words, size_t n)
{
    if (n > 2)
        wire_error(&self->out, "ERR wrong number of arguments for 'ping' command");
    else if (n == 2)
        wire_bytes(&self->out, words[1]);
    else
        wire_status(&self->out, "PONG");
}

void run_echo(client *self, const mlkv_slice *words, size_t n)
{
    (void)n;
    wire_bytes(&self->out, words[1]);
}

void run_select(client *self, const mlkv_slice *words, size_t n)
{
    int64_t index;
    (void)n;
    if (!slice_integer(words[1], &index) || index > INT32_MAX || index < INT32_MIN)
        wire_error(&self->out, "ERR value is not an integer or out of range");
    else if (index != 0)
        wire_error(&self->out, "ERR DB index is out of range");
    else
        wire_ok(&self->out);
}

void run_quit(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_ok(&self->out);
    self->ending = true;
}

void run_reset(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    transaction_forget(self);
    self->out.protocol = 2;
    self->name[0] = 0;
    self->no_evict = self->reply_off = self->reply_skip = self->reply_skip_next = false;
    self->trusted = self->server->options.password == NULL;
    wire_status(&self->out, "RESET");
}

/* --- the password --- */

static bool is_password(const char *password, mlkv_slice word)
{
    const volatile unsigned char *right = (const volatile unsigned char *)password;
    const unsigned char *given = word.data;
    size_t size = strlen(password);
    unsigned different = size != word.size;
    for (size_t i = 0; i < word.size; i++)
        different |= (unsigned)(given[i] ^ right[size == 0 ? 0 : i % size]);
    return different == 0;
}

/* Redis has one user from the start, and so has this server for ever. */
static bool log_in(client *self, mlkv_slice user, mlkv_slice password)
{
    const char *right = self->server->options.password;
    bool known = user.size == 7 && memcmp(user.data, "default", 7) == 0;
    bool good = right == NULL || is_password(right, password);
    if (!known || !good) {
        wire_error(&self->out, "WRONGPASS invalid username-password pair or user is disabled.");
        return false;
    }
    self->trusted = true;
    return true;
}

void run_auth(client *self, const mlkv_slice *words, size_t n)
{
    mlkv_slice user = n == 3 ? words[1] : (mlkv_slice){"default", 7};
    if (n > 3)
        wire_error(&self->out, "ERR syntax error");
    else if (n == 2 && self->server->options.password == NULL)
        wire_error(&self->out, "ERR AUTH <password> called without any password configured for the "
                               "default user. Are you sure "
                               "your configuration is correct?");
    else if (log_in(self, user, words[n - 1]))
        wire_ok(&self->out);
}

/* --- HELLO --- */

static bool set_name(client *self, mlkv_slice name)
{
    const unsigned char *bytes = name.data;
    for (size_t i = 0; i < name.size; i++)
        if (bytes[i] < '!' || bytes[i] > '~') {
            wire_error(&self->out, bad_name);
            return false;
        }
    if (name.size >= sizeof self->name) {
        wire_error(&self->out, "ERR Client names have at most %zu bytes here.",
                   sizeof self->name - 1);
        return false;
    }
    if (name.size != 0)
        memcpy(self->name, name.data, name.size);
    self->name[name.size] = 0;
    return true;
}

static void tell_hello(client *self)
{
    wire *out = &self->out;
    wire_map(out, 7);
    wire_text(out, "server");
    wire_text(out, "redis");
    wire_text(out, "version");
    wire_text(out, "7.0.15");
    wire_text(out, "proto");
    wire_integer(out, out->protocol);
    wire_text(out, "id");
    wire_integer(out, self->id);
    wire_text(out, "mode");
    wire_text(out, "standalone");
    wire_text(out, "role");
    wire_text(out, "master");
    wire_text(out, "modules");
    wire_array(out, 0);
}

/* The options behind the protocol's number. False: an error was told. */
static bool hello_options(client *self, const mlkv_slice *words, size_t n, mlkv_slice *ret_name,
                          bool *ret_named)
{
    *ret_named = false;
    for (size_t i = 2; i < n;) {
        if (slice_is(words[i], "AUTH") && n - i > 2) {
            if (!log_in(self, words[i + 1], words[i + 2]))
                return false;
            i += 3;
        } else if (slice_is(words[i], "SETNAME") && n - i > 1) {
            *ret_name = words[i + 1];
            *ret_named = true;
            i += 2;
        } else {
            wire_error(&self->out, "ERR Syntax error in HELLO option '%.*s'",
                       (int)(words[i].size < 128 ? words[i].size : 128),
                       (const char *)words[i].data);
            return false;
        }
    }
    return true;
}

void run_hello(client *self, const mlkv_slice *words, size_t n)
{
    int64_t protocol = self->out.protocol;
    mlkv_slice name = {0};
    bool named;
    if (n > 1 && !slice_integer(words[1], &protocol)) {
        wire_error(&self->out, "ERR Protocol version is not an integer or out of range");
        return;
    }
    if (protocol != 2 && protocol != 3) {
        wire_error(&self->out, "NOPROTO unsupported protocol version");
        return;
    }
    if (!hello_options(self, words, n, &name, &named))
        return;
    if (!self->trusted) {
        wire_error(&self->out, "NOAUTH HELLO must be called with the client already authenticated, "
                               "otherwise the HELLO <proto> "
                               "AUTH <user> <pass> option can be used to authenticate the client "
                               "and select the RESP protocol version at "
                               "the same time");
        return;
    }
    if (named && !set_name(self, name))
        return;
    self->out.protocol = (int)protocol;
    tell_hello(self);
}

/* --- CLIENT, about itself --- */

void run_client_id(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_integer(&self->out, self->id);
}

void run_client_setname(client *self, const mlkv_slice *words, size_t n)
{
    (void)n;
    if (set_name(self, words[2]))
        wire_ok(&self->out);
}

void run_client_getname(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    if (self->name[0] == 0)
        wire_nil(&self->out);
    else
        wire_text(&self->out, self->name);
}

void run_client_getredir(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_integer(&self->out, -1);
}

void run_client_trackinginfo(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_map(&self->out, 3);
    wire_text(&self->out, "flags");
    wire_set(&self->out, 1);
    wire_text(&self->out, "off");
    wire_text(&self->out, "redirect");
    wire_integer(&self->out, -1);
    wire_text(&self->out, "prefixes");
    wire_array(&self->out, 0);
}

void run_client_no_evict(client *self, const mlkv_slice *words, size_t n)
{
    (void)n;
    bool on = slice_is(words[2], "ON");
    if (!on && !slice_is(words[2], "OFF")) {
        wire_error(&self->out, "ERR syntax error");
        return;
    }
    self->no_evict = on;
    wire_ok(&self->out);
}

void run_client_reply(client *self, const mlkv_slice *words, size_t n)
{
    (void)n;
    if (slice_is(words[2], "ON")) {
        self->reply_off = self->reply_skip = false;
        wire_ok(&self->out);
    } else if (slice_is(words[2], "OFF")) {
        self->reply_off = true;
    } else if (slice_is(words[2], "SKIP")) {
        self->reply_skip_next = !self->reply_off;
    } else {
        wire_error(&self->out, "ERR syntax error");
    }
}
