/* table_commands.c - COMMAND: the table of commands, as clients ask for it.
 *
 * Everything follows from mlkv_command_info. What Redis says beyond that (tips, complexity) is left out; its categories are derived from
 * flags and group.
 */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t sub_count(const command *row)
{
    uint64_t count = 0;
    while ((row->info.flags & COMMAND_CONTAINER) != 0 && command_sub(row, (size_t)count) != NULL)
        count++;
    return count;
}

/* --- INFO --- */

typedef struct {
    uint32_t flag;
    const char *name;
} flag_name;

static const flag_name flag_names[] = {
    {MLKV_COMMAND_WRITE, "write"},     {MLKV_COMMAND_READ, "readonly"},
    {MLKV_COMMAND_GROWS, "denyoom"},   {COMMAND_ADMIN, "admin"},
    {MLKV_COMMAND_BLOCKS, "blocking"}, {MLKV_COMMAND_FAST, "fast"},
    {COMMAND_NO_AUTH, "no_auth"},      {MLKV_COMMAND_MOVABLE, "movablekeys"},
    {COMMAND_NO_MULTI, "no_multi"},
};

static void tell_flags(wire *out, const command *row)
{
    uint64_t count = 0;
    size_t names = sizeof flag_names / sizeof *flag_names;
    for (size_t i = 0; i < names; i++)
        count += (row->info.flags & flag_names[i].flag) != 0;
    wire_set(out, count);
    for (size_t i = 0; i < names; i++)
        if ((row->info.flags & flag_names[i].flag) != 0)
            wire_status(out, flag_names[i].name);
}

/* Redis calls them @string, @sortedset ... */
static const char *group_category(const char *group)
{
    static const char *const categories[][2] = {
        {"string", "@string"},
        {"bitmap", "@bitmap"},
        {"list", "@list"},
        {"hash", "@hash"},
        {"set", "@set"},
        {"sorted-set", "@sortedset"},
        {"generic", "@keyspace"},
        {"connection", "@connection"},
        {"transactions", "@transaction"},
    };
    for (size_t i = 0; i < sizeof categories / sizeof *categories; i++)
        if (strcmp(group, categories[i][0]) == 0)
            return categories[i][1];
    return NULL;
}

static void tell_categories(wire *out, const command *row)
{
    uint32_t flags = row->info.flags;
    const char *names[8];
    size_t count = 0;
    const char *group = group_category(row->info.group);
    if ((flags & MLKV_COMMAND_WRITE) != 0)
        names[count++] = "@write";
    if ((flags & MLKV_COMMAND_READ) != 0)
        names[count++] = "@read";
    if (group != NULL)
        names[count++] = group;
    names[count++] = (flags & MLKV_COMMAND_FAST) != 0 ? "@fast" : "@slow";
    if ((flags & MLKV_COMMAND_BLOCKS) != 0)
        names[count++] = "@blocking";
    if ((flags & COMMAND_ADMIN) != 0) {
        names[count++] = "@admin";
        names[count++] = "@dangerous";
    }
    wire_set(out, count);
    for (size_t i = 0; i < count; i++)
        wire_status(out, names[i]);
}

/* Where the keys are, once more, in the form of Redis 7. */
static void tell_key_specs(wire *out, const mlkv_command_info *info)
{
    wire_set(out, info->first_key != 0);
    if (info->first_key == 0)
        return;
    wire_map(out, 3);
    wire_text(out, "flags");
    wire_set(out, 1);
    wire_status(out, (info->flags & MLKV_COMMAND_WRITE) != 0 ? "RW" : "RO");
    wire_text(out, "begin_search");
    wire_map(out, 2);
    wire_text(out, "type");
    wire_text(out, "index");
    wire_text(out, "spec");
    wire_map(out, 1);
    wire_text(out, "index");
    wire_integer(out, info->first_key);
    wire_text(out, "find_keys");
    wire_map(out, 2);
    wire_text(out, "type");
    wire_text(out, "range");
    wire_text(out, "spec");
    wire_map(out, 3);
    wire_text(out, "lastkey");
    wire_integer(out, info->last_key < 0 ? info->last_key : info->last_key - info->first_key);
    wire_text(out, "keystep");
    wire_integer(out, info->key_step);
    wire_text(out, "limit");
    wire_integer(out, 0);
}

/* A row, without its subcommands. */
static void tell_columns(wire *out, const command *row)
{
    wire_array(out, 10);
    wire_text(out, row->info.name);
    wire_integer(out, row->info.arity);
    tell_flags(out, row);
    wire_integer(out, row->info.first_key);
    wire_integer(out, row->info.last_key);
    wire_integer(out, row->info.key_step);
    tell_categories(out, row);
    wire_set(out, 0);
    tell_key_specs(out, &row->info);
}

static void tell_row(wire *out, const command *row)
{
    uint64_t subs = sub_count(row);
    tell_columns(out, row);
    wire_set(out, subs);
    for (size_t i = 0; i < subs; i++) {
        tell_columns(out, command_sub(row, i));
        wire_set(out, 0);
    }
}

static uint64_t command_count(void)
{
    uint64_t count = 0;
    while (command_at((size_t)count) != NULL)
        count++;
    return count;
}

/* The row of a name as COMMAND INFO takes it: "get", "client|list". */
static const command *named(mlkv_slice word)
{
    const char *bar = memchr(word.data, '|', word.size);
    if (bar == NULL)
        return command_find(&word, 1);
    size_t size = (size_t)(bar - (const char *)word.data);
    mlkv_slice words[] = {{word.data, size}, {bar + 1, word.size - size - 1}};
    const command *found = command_find(words, 2);
    return found != NULL && strchr(found->info.name, '|') != NULL ? found : NULL;
}

void run_command(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_array(&self->out, command_count());
    for (size_t i = 0; command_at(i) != NULL; i++)
        tell_row(&self->out, command_at(i));
}

void run_command_count(client *self, const mlkv_slice *words, size_t n)
{
    (void)words;
    (void)n;
    wire_integer(&self->out, (int64_t)command_count());
}

void run_command_info(client *self, const mlkv_slice *words, size_t n)
{
    if (n == 2) {
        run_command(self, words, n);
        return;
    }
    wire_array(&self->out, n - 2);
    for (size_t i = 2; i < n; i++) {
        const command *row = named(words[i]);
        if (row == NULL)
            wire_nil(&self->out);
        else
            tell_row(&self->out, row);
    }
}

/* --- DOCS --- */

/* One word of a synopsis, its end and its kind: "name:kind", "[TOKEN", "A|B]". */
static size_t part_size(const char *part)
{
    return strcspn(part, " ");
}

static uint64_t part_count(const char *synopsis)
{
    uint64_t count = 0;
    for (const char *at = synopsis; *at != 0;) {
        size_t size = part_size(at);
        count += size != 0;
        at += size;
        at += strspn(at, " ");
    }
    return count;
}

/* What stands between brackets is told as it stands there: clients show it. */
static void tell_argument(wire *out, const char *part, size_t size)
{
    const char *colon = memchr(part, ':', size);
    bool plain = colon != NULL && strcspn(part, "[]()|.") >= size;
    bool key = plain && (size_t)(part + size - colon) == 4 && strncmp(colon, ":key", 4) == 0;
    wire_map(out, 2);
    wire_text(out, "name");
    wire_bytes(out, (mlkv_slice){part, plain ? (size_t)(colon - part) : size});
    wire_text(out, "type");
    wire_text(out, key ? "key" : "string");
}

static void tell_docs(wire *out, const command *row)
{
    const char *synopsis = row->info.synopsis;
    uint64_t subs = sub_count(row), arguments = part_count(synopsis);
    wire_text(out, row->info.name);
    wire_map(out, UINT64_C(3) + (arguments != 0 ? 1 : 0) + (subs != 0 ? 1 : 0));
    wire_text(out, "summary");
    wire_text(out, row->info.summary);
    wire_text(out, "since");
    wire_text(out, "1.0.0");
    wire_text(out, "group");
    wire_text(out, row->info.group);
    if (arguments != 0) {
        wire_text(out, "arguments");
        wire_array(out, arguments);
        for (const char *at = synopsis; *at != 0; at += strspn(at, " ")) {
            size_t size = part_size(at);
            if (size != 0)
                tell_argument(out, at, size);
            at += size;
        }
    }
    if (subs == 0)
        return;
    wire_text(out, "subcommands");
    wire_map(out, subs);
    for (size_t i = 0; i < subs; i++)
        tell_docs(out, command_sub(row, i)); /* one level: a subcommand has none */
}

void run_command_docs(client *self, const mlkv_slice *words, size_t n)
{
    uint64_t count = 0;
    if (n == 2) {
        wire_map(&self->out, command_count());
        for (size_t i = 0; command_at(i) != NULL; i++)
            tell_docs(&self->out, command_at(i));
        return;
    }
    for (size_t i = 2; i < n; i++)
        count += named(words[i]) != NULL;
    wire_map(&self->out, count);
    for (size_t i = 2; i < n; i++)
        if (named(words[i]) != NULL)
            tell_docs(&self->out, named(words[i]));
}

/* --- LIST, GETKEYS --- */

void run_command_list(client *self, const mlkv_slice *words, size_t n)
{
    mlkv_slice every = {"*", 1};
    uint64_t count = 0;
    bool filtered = n == 5 && slice_is(words[2], "FILTERBY") && slice_is(words[3], "PATTERN");
    mlkv_slice pattern = filtered ? words[4] : every;
    if (n != 2 && !filtered) {
        wire_error(&self->out, "ERR syntax error");
        return;
    }
    for (size_t pass = 0; pass < 2; pass++) {
        if (pass == 1)
            wire_set(&self->out, count);
        for (size_t i = 0; command_at(i) != NULL; i++) {
            const char *name = command_at(i)->info.name;
            if (!slice_matches((mlkv_slice){name, strlen(name)}, pattern))
                continue;
            if (pass == 0)
                count++;
            else
                wire_text(&self->out, name);
        }
    }
}

/* Which word says how many keys follow it, from the synopsis: "destination:key numkeys:integer key:key..." is word 2. 0: none. */
static size_t numkeys_word(const char *synopsis)
{
    size_t word = 1;
    for (const char *at = synopsis; *at != 0; word++) {
        if (strncmp(at, "numkeys:", 8) == 0)
            return word;
        at += part_size(at);
        at += strspn(at, " ");
    }
    return 0;
}

void run_command_getkeys(client *self, const mlkv_slice *words, size_t n)
{
    const mlkv_slice *own = words + 2;
    size_t count = n - 2, keys = 0, extra = 0, place = 0;
    const command *row = command_find(own, count);
    int64_t number = 0;
    if (row == NULL || !command_arity_fits(row, count)) {
        wire_error(&self->out, row == NULL
                                   ? "ERR Invalid command specified"
                                   : "ERR Invalid number of arguments specified for command");
        return;
    }
    size_t first = (size_t)row->info.first_key,
           step = row->info.key_step > 0 ? (size_t)row->info.key_step : 1;
    size_t last =
        row->info.last_key < 0 ? count - (size_t)-row->info.last_key : (size_t)row->info.last_key;
    if ((row->info.flags & MLKV_COMMAND_MOVABLE) != 0)
        place = numkeys_word(row->info.synopsis);
    if (place != 0 && place < count && slice_integer(own[place], &number) && number > 0 &&
        (uint64_t)number < count - place)
        extra = (size_t)number;
    if (first != 0 && (place == 0 || first < place))
        for (size_t i = first; i <= last && i < count; i += step)
            keys++;
    if (keys + extra == 0) {
        wire_error(&self->out, "ERR The command has no key arguments");
        return;
    }
    wire_array(&self->out, keys + extra);
    for (size_t i = 0; i < keys; i++)
        wire_bytes(&self->out, own[first + i * step]);
    for (size_t i = 1; i <= extra; i++)
        wire_bytes(&self->out, own[place + i]);
}

/* CLIENT HELP and the like: a line for each subcommand, and one that says what it is for. */
void run_help(client *self, const mlkv_slice *words, size_t n)
{
    const command *container = command_find(words, 1), *sub;
    char line[256];
    (void)n;
    wire_array(&self->out, 2 * sub_count(container) + 1);
    (void)snprintf(line, sizeof line, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
                   container->info.name);
    wire_status(&self->out, line);
    for (size_t i = 0; (sub = command_sub(container, i)) != NULL; i++) {
        (void)snprintf(line, sizeof line, "%s %s", strchr(sub->info.name, '|') + 1,
                       sub->info.synopsis);
        wire_status(&self->out, line);
        (void)snprintf(line, sizeof line, "    %s", sub->info.summary);
        wire_status(&self->out, line);
    }
}
