/* fuzz_command.c - arbitrary words as commands: what a client of a server may send, in any order.
 *
 * Input: commands, one after another. Each: which row of the table u8, how many words beyond the least u8 (mod 6), then the words. A word
 * is
 * a byte: below 200 one of the dictionary, else so many (byte - 199) bytes that follow it. The store is emptied before each input.
 *
 * What must hold for any input:
 *  1. Each command answers: a whole tree, that both protocols can write; it is an error exactly if the result is negative.
 *  2. Afterwards the store verifies.
 */
#define FUZZ_MUTATIONS_EACH 300
#include "fuzz.h"

#include <mlkv/mlkv.h>

enum { WORDS_MAX = 24, COMMANDS_MAX = 40 };

static const char *const dictionary[] = {
    "a",
    "b",
    "c",
    "d",
    "e",
    "a*",
    "*",
    "?",
    "[ab]",
    "h*->f",
    "#",
    "f",
    "g",
    "x",
    "y",
    "",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-2",
    "10",
    "100",
    "1.5",
    "-0.5",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "1e3",
    "(1",
    "(a",
    "[a",
    "[b",
    "-",
    "+",
    "9223372036854775807",
    "-9223372036854775808",
    "NX",
    "XX",
    "GT",
    "LT",
    "CH",
    "INCR",
    "GET",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "PERSIST",
    "LEN",
    "IDX",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "BYTE",
    "BIT",
    "AND",
    "OR",
    "XOR",
    "NOT",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "AFTER",
    "COUNT",
    "RANK",
    "MAXLEN",
    "MATCH",
    "TYPE",
    "FIELDS",
    "WITHVALUES",
    "LIMIT",
    "BYSCORE",
    "BYLEX",
    "REV",
    "WITHSCORES",
    "WEIGHTS",
    "AGGREGATE",
    "SUM",
    "MIN",
    "MAX",
    "BY",
    "ALPHA",
    "ASC",
    "DESC",
    "STORE",
    "REPLACE",
    "ABSTTL",
    "ENCODING",
    "USAGE",
    "f32",
    "u8",
    "BLOB",
    "META",
    "abcdefghijkl",
};

enum { DICTIONARY = sizeof dictionary / sizeof dictionary[0] };

/* Numbers make these build much: they get those of the dictionary that are small. */
static const char *const builders[] = {"setrange",    "setbit",     "srandmember", "hrandfield",
                                       "zrandmember", "tensor.set", "tensor.add"};

static mlkv *db;
static uint64_t done, refused;

static bool builds(const char *name)
{
    for (size_t i = 0; i < sizeof builders / sizeof builders[0]; i++)
        if (strcmp(builders[i], name) == 0)
            return true;
    return false;
}

static size_t rows(void)
{
    static size_t n;
    mlkv_command_info info = {.size = sizeof info};
    while (mlkv_command_row(n, &info) == MLKV_OK)
        n++;
    return n;
}

static void open_store(void)
{
    mlkv_options options = {.size = sizeof options, .ring_bytes = 1 << 16, .cache_bytes = 1 << 20};
    if (db == NULL)
        REQUIRE(mlkv_open(NULL, &options, &db) == MLKV_OK);
    REQUIRE(mlkv_key_delete_all(db) == MLKV_OK);
}

/* How many nodes a node and all below it are. */
static size_t tree_size(const mlkv_reply *reply, size_t at, unsigned depth)
{
    REQUIRE(at < reply->count && depth < 8);
    const mlkv_reply_node *node = &reply->nodes[at];
    size_t size = 1;
    REQUIRE(node->kind >= MLKV_REPLY_NIL && node->kind <= MLKV_REPLY_PAIRS);
    if (node->kind >= MLKV_REPLY_ARRAY)
        for (int64_t i = 0; i < node->integer; i++)
            size += tree_size(reply, at + size, depth + 1);
    return size;
}

static void run(const mlkv_slice *words, size_t n, bool waits)
{
    static mlkv_reply reply;
    static mlkv_buffer wire;
    mlkv *view = db;
    if (waits) /* in a transaction it does not */
        REQUIRE(mlkv_begin(db, &view) == MLKV_OK);
    int result = mlkv_command(view, words, n, &reply);
    if (waits)
        REQUIRE(mlkv_commit(view) == MLKV_OK);
    REQUIRE(result <= 0 && tree_size(&reply, 0, 0) == reply.count);
    REQUIRE((reply.nodes[0].kind == MLKV_REPLY_ERROR) == (result < 0));
    REQUIRE(result != MLKV_E_CORRUPT || reply.nodes[0].bytes.size > 0);
    wire.size = 0;
    REQUIRE(mlkv_reply_encode(&reply, 2, &wire) == MLKV_OK && wire.size > 0);
    REQUIRE(mlkv_reply_encode(&reply, 3, &wire) == MLKV_OK);
    done += result == 0;
    refused += result < 0;
}

/* The next word of the input, of what is at *at. */
static mlkv_slice take_word(const uint8_t **at, const uint8_t *end, bool small)
{
    uint8_t byte = *at < end ? *(*at)++ : 0;
    if (byte < 200 || small) {
        const char *text = dictionary[byte % DICTIONARY];
        return slice_of_text(small && strlen(text) > 5 ? "7" : text);
    }
    size_t size = (size_t)byte - 199;
    if (size > (size_t)(end - *at))
        size = (size_t)(end - *at);
    mlkv_slice word = slice_of(*at, size);
    *at += size;
    return word;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data, *end = data + size;
    mlkv_report report = {.size = sizeof report};
    open_store();
    for (unsigned i = 0; i < COMMANDS_MAX && end - at >= 2; i++) {
        mlkv_slice words[WORDS_MAX];
        mlkv_command_info row = {.size = sizeof row};
        REQUIRE(mlkv_command_row(at[0] % rows(), &row) == MLKV_OK);
        size_t least = (size_t)(row.arity < 0 ? -row.arity : row.arity),
               n = least + (row.arity < 0 ? at[1] % 6 : 0);
        at += 2;
        words[0] = slice_of_text(row.name);
        for (size_t j = 1; j < n; j++)
            words[j] = take_word(&at, end, builds(row.name));
        run(words, n, (row.flags & MLKV_COMMAND_BLOCKS) != 0);
    }
    REQUIRE(mlkv_verify(db, NULL, NULL, &report) == MLKV_OK && report.problems == 0);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

/* Every command with words from the dictionary, twenty at a time. */
static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    if (number >= 60)
        return false;
    seed->size = 0;
    for (unsigned i = 0; i < 20; i++) {
        unsigned char head[8] = {(unsigned char)((number * 20 + i) % rows()),
                                 (unsigned char)(number + i)};
        for (unsigned j = 2; j < sizeof head; j++)
            head[j] = (unsigned char)(fuzz_random() % (j == 2 ? 5 : DICTIONARY));
        REQUIRE(buffer_append(seed, head, sizeof head) == 0);
    }
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_command: %llu done, %llu refused\n", (unsigned long long)done,
            (unsigned long long)refused);
    REQUIRE(done > 1000 && refused > 1000);
    REQUIRE(mlkv_close(db) == MLKV_OK);
}

#endif
