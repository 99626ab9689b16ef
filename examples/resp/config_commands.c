/* config_commands.c - CONFIG: the settings that exist, under Redis's names.
 *
 * A setting is a name and a function that prints it; some can be set. One that cannot may still be set to what it is: test suites do.
 * All words of a CONFIG SET are checked before anything is changed.
 */
#include "server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum { FIXED, NUMBER, BYTES } setting_kind;

typedef struct {
    const char *name;
    setting_kind kind;
    const char *text; /* its value for ever; NULL: see place */
    size_t place;     /* in server_options: an int64_t (NUMBER) or a uint64_t (BYTES) */
    int64_t min, max;
} setting;

#define NUMBER_AT(title, field, low, high)                                                       \
    {                                                                                            \
        .name = (title), .kind = NUMBER, .place = offsetof(server_options, field), .min = (low), \
        .max = (high)                                                                            \
    }
#define BYTES_AT(title, field, low)                                                             \
    {                                                                                           \
        .name = (title), .kind = BYTES, .place = offsetof(server_options, field), .min = (low), \
        .max = INT64_MAX                                                                        \
    }
#define ALWAYS(title, value)                            \
    {                                                   \
        .name = (title), .kind = FIXED, .text = (value) \
    }

enum { WORD_BYTES_LIMIT = 536870912, MEBIBYTE = 1048576 };

static const setting settings[] = {
    ALWAYS("appendfsync", NULL),
    ALWAYS("appendonly", "no"),
    ALWAYS("bind", NULL),
    ALWAYS("databases", "1"),
    ALWAYS("dir", NULL),
    ALWAYS("maxmemory", "0"),
    ALWAYS("maxmemory-policy", "noeviction"),
    ALWAYS("notify-keyspace-events", ""),
    ALWAYS("port", NULL),
    ALWAYS("protected-mode", "yes"),
    ALWAYS("save", ""),
    ALWAYS("slowlog-log-slower-than", "-1"),
    ALWAYS("unixsocket", NULL),
    BYTES_AT("client-query-buffer-limit", query_bytes_max, MEBIBYTE),
    BYTES_AT("maxmemory-clients", clients_bytes_max, MEBIBYTE),
    BYTES_AT("proto-max-bulk-len", word_bytes_max, MEBIBYTE),
    NUMBER_AT("maxclients", clients_max, 1, 1000000),
    NUMBER_AT("timeout", timeout_seconds, 0, INT32_MAX),
};
enum { SETTINGS = sizeof settings / sizeof *settings };

static void print_setting(const server *self, const setting *one, char *text, size_t size)
{
    const server_options *options = &self->options;
    const char *at = (const char *)options + one->place;
    int64_t number;
    if (one->kind != FIXED) {
        memcpy(&number, at, sizeof number);
        (void)snprintf(text, size, "%" PRId64, number);
    } else if (one->text != NULL) {
        (void)snprintf(text, size, "%s", one->text);
    } else if (strcmp(one->name, "port") == 0) {
        (void)snprintf(text, size, "%d", options->port > 0 ? options->port : 0);
    } else if (strcmp(one->name, "appendfsync") == 0) {
        (void)snprintf(text, size, "%s",
                       options->durability == MLKV_SYNC || options->durability == MLKV_STORE
                           ? "always"
                           : "everysec");
    } else {
        const char *value = strcmp(one->name, "bind") == 0  ? options->bind
                            : strcmp(one->name, "dir") == 0 ? options->folder
                                                            : options->unix_path;
        (void)snprintf(text, size, "%s", value != NULL ? value : "");
    }
}

void run_config_get(client *self, const mlkv_slice *words, size_t n)
{
    char text[4200];
    bool wanted[SETTINGS] = {false};
    uint64_t count = 0;
    for (size_t i = 0; i < SETTINGS; i++) {
        mlkv_slice name = {settings[i].name, strlen(settings[i].name)};
        for (size_t w = 2; w < n && !wanted[i]; w++)
            wanted[i] = slice_matches(name, words[w]);
        count += wanted[i];
    }
    wire_map(&self->out, count);
    for (size_t i = 0; i < SETTINGS; i++) {
        if (!wanted[i])
            continue;
        print_setting(self->server, &settings[i], text, sizeof text);
        wire_text(&self->out, settings[i].name);
        wire_text(&self->out, text);
    }
}

/* --- SET --- */

static const setting *find_setting(mlkv_slice name)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (slice_is(name, settings[i].name))
            return &settings[i];
    return NULL;
}

/* "100", "64mb", "1gb". */
bool slice_bytes(mlkv_slice word, int64_t *ret_value)
{
    static const struct {
        const char *name;
        int64_t bytes;
    } units[] = {{"", 1},        {"b", 1},         {"k", 1000},       {"kb", 1024},
                 {"m", 1000000}, {"mb", MEBIBYTE}, {"g", 1000000000}, {"gb", 1073741824}};
    const char *text = word.data;
    size_t digits = 0;
    while (digits < word.size && text[digits] >= '0' && text[digits] <= '9')
        digits++;
    mlkv_slice unit = {text + digits, word.size - digits};
    if (!slice_integer((mlkv_slice){text, digits}, ret_value))
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (slice_is(unit, units[i].name))
            return !__builtin_mul_overflow(*ret_value, units[i].bytes, ret_value);
    return false;
}

/* What is wrong with this value; NULL: nothing. */
static const char *check_setting(const server *self, const setting *one, mlkv_slice value,
                                 int64_t *ret_number)
{
    char now[4200];
    if (one->kind == FIXED) {
        print_setting(self, one, now, sizeof now);
        return slice_is(value, now) ? NULL : "can't set immutable config";
    }
    bool number =
        one->kind == NUMBER ? slice_integer(value, ret_number) : slice_bytes(value, ret_number);
    if (!number)
        return one->kind == NUMBER ? "argument couldn't be parsed into an integer"
                                   : "argument must be a memory value";
    if (*ret_number < one->min || *ret_number > one->max)
        return "argument is out of the range of what it may be";
    if (one->place == offsetof(server_options, word_bytes_max) && *ret_number > WORD_BYTES_LIMIT)
        return "argument must be at most 536870912";
    return NULL;
}

static bool check_all(client *self, const mlkv_slice *words, size_t n)
{
    int64_t number;
    for (size_t i = 2; i < n; i += 2) {
        const setting *one = find_setting(words[i]);
        const char *wrong = one == NULL || i + 1 == n
                                ? ""
                                : check_setting(self->server, one, words[i + 1], &number);
        for (size_t other = 2; other < i && wrong == NULL; other += 2)
            if (find_setting(words[other]) == one)
                wrong = "duplicate parameter";
        if (wrong == NULL)
            continue;
        int shown = (int)(words[i].size < 128 ? words[i].size : 128);
        if (wrong[0] == 0)
            wire_error(&self->out,
                       "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'", shown,
                       (const char *)words[i].data);
        else
            wire_error(&self->out,
                       "ERR CONFIG SET failed (possibly related to argument '%.*s') - %s", shown,
                       (const char *)words[i].data, wrong);
        return false;
    }
    return true;
}

void run_config_set(client *self, const mlkv_slice *words, size_t n)
{
    int64_t number = 0;
    if (n > 2 * SETTINGS + 2) {
        wire_error(&self->out, "ERR too many settings at once");
        return;
    }
    if (!check_all(self, words, n))
        return;
    for (size_t i = 2; i < n; i += 2) {
        const setting *one = find_setting(words[i]);
        if (one->kind == FIXED || check_setting(self->server, one, words[i + 1], &number) != NULL)
            continue;
        memcpy((char *)&self->server->options + one->place, &number, sizeof number);
    }
    wire_ok(&self->out);
}

void run_config_rewrite(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_error(&self->out, "ERR The server is running without a config file");
}

void run_config_resetstat(client *self, const mlkv_slice *words, size_t n)
{
    server *owner = self->server;
    command *row;
    (void)words;
    (void)n;
    owner->commands_run = owner->connections_received = owner->connections_rejected = 0;
    owner->input_bytes = owner->output_bytes = owner->evicted_clients = 0;
    for (size_t i = 0; (row = command_at(i)) != NULL; i++)
        row->calls = 0;
    wire_ok(&self->out);
}
