/* object.c - OBJECT and MEMORY: what is known of how a key is stored.
 *
 * Encodings are Redis's names for what the types are here: all collections are trees of records, so the names of Redis's large forms are
 * given. Nothing here depends on when a key was last used, so IDLETIME is 0.
 * No locks, no state.
 */
#include "command/call.h"

#include "base/bytes.h"
#include "types/integer.h"

enum {
    SAMPLES_DEFAULT = 5,    /* Redis's own */
    EMBEDDED_SIZE_MAX = 44, /* a string that Redis calls embstr */
    RECORD_OVERHEAD = 24,   /* bytes of a record beside its key and value: node, class, id */
};

static int help(call *c, const char *const *lines)
{
    size_t place = reply_array(c->reply, 0), n = 0;
    for (; lines[n] != NULL; n++)
        reply_status(c->reply, lines[n]);
    reply_set_count(c->reply, place, n);
    return 0;
}

static int unknown_subcommand(call *c)
{
    char name[16] = "";
    for (size_t i = 0; c->row->info.name[i] != '\0' && i + 1 < sizeof name; i++)
        name[i] = (char)(c->row->info.name[i] - ('a' - 'A'));
    mlkv_slice word = c->words[1];
    return call_fail(c, MLKV_E_ARGUMENT, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                     (int)(word.size < 128 ? word.size : 128),
                     word.size == 0 ? "" : (const char *)word.data, name);
}

static int wrong_sub_arity(call *c)
{
    char name[16] = "";
    mlkv_slice word = c->words[1];
    const char *text = word.data;
    for (size_t i = 0; i < word.size && i + 1 < sizeof name; i++)
        name[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + ('a' - 'A') : text[i]);
    return call_fail(c, MLKV_E_ARGUMENT, "ERR wrong number of arguments for '%s|%s' command",
                     c->row->info.name, name);
}

/* --- OBJECT --- */

static int string_encoding(call *c, const char **ret_name)
{
    int64_t number = 0;
    int result = mlkv_string_get(c->view, c->words[2], &c->reply->value);
    mlkv_slice value = slice_of_buffer(&c->reply->value);
    if (result == MLKV_OK)
        *ret_name = value.size <= INTEGER_TEXT_MAX && integer_parse(value, &number) == 0 ? "int"
                    : value.size <= EMBEDDED_SIZE_MAX                                    ? "embstr"
                                                                                         : "raw";
    return result;
}

static int answer_encoding(call *c, mlkv_type type)
{
    static const char *const names[] = {
        [MLKV_TYPE_HASH] = "hashtable", [MLKV_TYPE_LIST] = "quicklist",
        [MLKV_TYPE_SET] = "hashtable",  [MLKV_TYPE_ZSET] = "skiplist",
        [MLKV_TYPE_TENSOR] = "chunks",
    };
    const char *name = names[type];
    int result = 0;
    if (type == MLKV_TYPE_STRING)
        result = string_encoding(c, &name);
    if (result < 0)
        return call_refuse(c, result);
    if (result == MLKV_ABSENT) /* it went meanwhile */
        reply_nil(c->reply);
    else
        reply_string(c->reply, name);
    return 0;
}

int command_object(call *c)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    The name of how a key is stored.",
        "FREQ <key>",
        "    An error: accesses are not counted.",
        "IDLETIME <key>",
        "    0: accesses are not timed.",
        "REFCOUNT <key>",
        "    1.",
        "HELP",
        "    This text.",
        NULL,
    };
    mlkv_type type = MLKV_TYPE_NONE;
    if (call_is(c, 1, "HELP"))
        return c->count == 2 ? help(c, lines) : wrong_sub_arity(c);
    bool encoding = call_is(c, 1, "ENCODING"), frequency = call_is(c, 1, "FREQ");
    bool idle = call_is(c, 1, "IDLETIME"), references = call_is(c, 1, "REFCOUNT");
    if (!encoding && !frequency && !idle && !references)
        return unknown_subcommand(c);
    if (c->count != 3)
        return wrong_sub_arity(c);
    int result = mlkv_key_type(c->view, c->words[2], &type);
    if (result < 0)
        return call_refuse(c, result);
    if (type == MLKV_TYPE_NONE) {
        reply_nil(c->reply);
        return 0;
    }
    if (encoding)
        return answer_encoding(c, type);
    if (frequency)
        return call_fail(c, MLKV_E_ARGUMENT,
                         "ERR An LFU maxmemory policy is not selected, access frequency not "
                         "tracked. Please note that when switching between policies at runtime LRU "
                         "and LFU data will take some time to adjust.");
    reply_integer(c->reply, references ? 1 : 0);
    return 0;
}

/* --- MEMORY USAGE --- */

/* Bytes of the first `samples` elements (0: of all), and how many these were. */
static int sample(call *c, mlkv_scan_kind kind, uint64_t samples, uint64_t *ret_bytes,
                  uint64_t *ret_seen)
{
    mlkv_query query = {.size = sizeof query, .kind = (int32_t)kind, .key = c->words[2]};
    mlkv_cursor *cursor = NULL;
    mlkv_slice name, value;
    uint64_t bytes = 0, seen = 0;
    int result = mlkv_cursor_open(c->view, &query, &cursor);
    while (result == MLKV_OK && (samples == 0 || seen < samples)) {
        result = mlkv_cursor_next(cursor, &name, &value);
        if (result != MLKV_OK)
            break;
        bytes += name.size + value.size + RECORD_OVERHEAD;
        seen++;
    }
    mlkv_cursor_close(cursor);
    *ret_bytes = bytes;
    *ret_seen = seen;
    return result < 0 ? result : 0;
}

static int count_elements(call *c, mlkv_type type, uint64_t *ret_count, mlkv_scan_kind *ret_kind)
{
    switch (type) {
    case MLKV_TYPE_HASH:
        *ret_kind = MLKV_SCAN_HASH;
        return mlkv_hash_length(c->view, c->words[2], ret_count);
    case MLKV_TYPE_LIST:
        *ret_kind = MLKV_SCAN_LIST;
        return mlkv_list_length(c->view, c->words[2], ret_count);
    case MLKV_TYPE_SET:
        *ret_kind = MLKV_SCAN_SET;
        return mlkv_set_count(c->view, c->words[2], ret_count);
    default:
        *ret_kind = MLKV_SCAN_ZSET;
        return mlkv_zset_count(c->view, c->words[2], ret_count);
    }
}

/* Bytes that a key takes, its elements' mean size taken from samples. */
static int measure(call *c, mlkv_type type, uint64_t samples, uint64_t *ret_bytes)
{
    uint64_t content = 0, count = 0, seen = 0;
    mlkv_scan_kind kind = MLKV_SCAN_KEYS;
    int result;
    if (type == MLKV_TYPE_STRING) {
        result = mlkv_string_length(c->view, c->words[2], &content);
    } else if (type == MLKV_TYPE_TENSOR) {
        mlkv_tensor_info info = {.size = sizeof info};
        result = mlkv_tensor_get_info(c->view, c->words[2], &info);
        content = info.stored_bytes + info.chunks * RECORD_OVERHEAD;
    } else {
        result = count_elements(c, type, &count, &kind);
        if (result == 0)
            result = sample(c, kind, samples, &content, &seen);
        if (seen > 0 && seen < count)
            content = (uint64_t)((double)content / (double)seen * (double)count);
    }
    *ret_bytes = content + c->words[2].size + RECORD_OVERHEAD;
    return result;
}

int command_memory(call *c)
{
    static const char *const lines[] = {
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "USAGE <key> [SAMPLES <count>]",
        "    Bytes that a key takes, by the mean of some elements (5; 0: all).",
        "HELP",
        "    This text.",
        NULL,
    };
    int64_t samples = SAMPLES_DEFAULT;
    uint64_t bytes = 0;
    mlkv_type type = MLKV_TYPE_NONE;
    if (call_is(c, 1, "HELP"))
        return c->count == 2 ? help(c, lines) : wrong_sub_arity(c);
    if (!call_is(c, 1, "USAGE"))
        return unknown_subcommand(c);
    if (c->count < 3)
        return wrong_sub_arity(c);
    for (size_t i = 3; i < c->count; i += 2) {
        if (!call_is(c, i, "SAMPLES") || i + 1 == c->count)
            return call_syntax(c);
        int result = call_integer(c, i + 1, &samples);
        if (result == 0 && samples < 0)
            result = call_syntax(c);
        if (result != 0)
            return result;
    }
    int result = mlkv_key_type(c->view, c->words[2], &type);
    if (result == 0 && type == MLKV_TYPE_NONE) {
        reply_nil(c->reply);
        return 0;
    }
    if (result == 0)
        result = measure(c, type, (uint64_t)samples, &bytes);
    return call_answer_count(c, result < 0 ? result : 0, bytes);
}
