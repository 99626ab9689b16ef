/* linear_client.c - random operations by several threads, written down with the times of their
 * invocations and returns. It may be killed at any moment.
 *
 *   linear_client FOLDER LOG PREFIX SEED THREADS OPERATIONS DURABILITY POINT PASS
 *
 * LOG is a file of sizeof(history_file). PREFIX keeps the keys of histories apart. Dies at the
 * PASS-th passing of fault point POINT (-1: none). Ends with 0, or with 3 and a line on stderr if
 * any call failed.
 */
#include "history.h"

#include "base/clock.h"
#include "base/fault.h"

#include <fcntl.h>
#include <mlkv/mlkv.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    RING_BYTES = 64 << 10,
    CACHE_BYTES = 256 << 10,
    VALUE_MAX = 20000,
    LARGE_EVERY = 25,
    NAME_SIZE = 64
};

typedef struct {
    mlkv *db;
    const char *prefix;
    history_record *next, *end;
    unsigned seed;
    int number, operations, status;
    uint64_t written; /* values are never given twice */
    mlkv_buffer buffer;
    mlkv_rows rows;
    char names[CHECKER_KEYS][NAME_SIZE];
    char value[VALUE_MAX];
} client;

static unsigned draw(client *self, unsigned below)
{
    return (unsigned)rand_r(&self->seed) % below;
}

/* --- names and values --- */

static mlkv_slice text(const char *s)
{
    return (mlkv_slice){s, strlen(s)};
}

static bool is_hash(uint32_t partition)
{
    return partition % 2 == 0;
}

/* A string's key, or a hash's field. */
static mlkv_slice name_of(client *self, uint32_t partition, size_t key)
{
    if (is_hash(partition))
        snprintf(self->names[key], NAME_SIZE, "field %zu", key);
    else
        snprintf(self->names[key], NAME_SIZE, "%s:%u:%zu", self->prefix, (unsigned)partition, key);
    return text(self->names[key]);
}

static mlkv_slice hash_name(client *self, uint32_t partition, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%s:%u", self->prefix, (unsigned)partition);
    return text(name);
}

/* The number as text; a register's is followed by any number of bytes that repeat it. */
static mlkv_slice make_value(client *self, size_t key, int64_t number)
{
    int size = snprintf(self->value, VALUE_MAX, "%lld", (long long)number);
    size_t length = (size_t)size,
           wanted = draw(self, LARGE_EVERY) == 0 ? VALUE_MAX : draw(self, 1500);
    if (key >= REGISTERS)
        return (mlkv_slice){self->value, length};
    self->value[length++] = ' ';
    for (size_t i = length; i < wanted; i++)
        self->value[i] = self->value[i - length];
    return (mlkv_slice){self->value, wanted > length ? wanted : length};
}

/* The number in a value; *ret_whole: that all of it is one write's. */
static int64_t read_value(mlkv_slice value, bool *ret_whole)
{
    char digits[24] = {0};
    const char *bytes = value.data;
    if (bytes == NULL)
        return 0;
    size_t size = 0;
    while (size < value.size && size < sizeof digits - 1 && bytes[size] != ' ') {
        digits[size] = bytes[size];
        size++;
    }
    for (size_t i = size + 1; i < value.size; i++)
        *ret_whole = *ret_whole && bytes[i] == bytes[i - size - 1];
    return strtoll(digits, NULL, 10);
}

static int64_t new_number(client *self)
{
    return (int64_t)(++self->written << 8 | (unsigned)self->number);
}

/* --- operations: each returns a result of the library, and fills what it saw --- */

static int look(client *self, mlkv *view, history_record *at)
{
    checker_operation *op = &at->operation;
    char hash[NAME_SIZE];
    mlkv_slice names[CHECKER_KEYS];
    size_t keys[CHECKER_KEYS], count = 0;
    bool whole = true;
    for (size_t i = 0; i < CHECKER_KEYS; i++) {
        if ((op->sees >> i & 1) != 0) {
            names[count] = name_of(self, at->partition, i);
            keys[count++] = i;
        }
    }
    int result = is_hash(at->partition)
                     ? mlkv_hash_get_many(view, hash_name(self, at->partition, hash), names, count,
                                          &self->rows)
                     : mlkv_string_get_many(view, names, count, &self->rows);
    for (size_t i = 0; i < count && result == MLKV_OK; i++)
        op->seen[keys[i]] = read_value(self->rows.items[i], &whole);
    if (!whole)
        fprintf(stderr, "linear_client: a value is not one write's\n");
    return whole ? result : MLKV_E_CORRUPT;
}

static int look_at_one(client *self, history_record *at, size_t key)
{
    char hash[NAME_SIZE];
    mlkv_slice name = name_of(self, at->partition, key);
    bool whole = true;
    int result =
        is_hash(at->partition)
            ? mlkv_hash_get(self->db, hash_name(self, at->partition, hash), name, &self->buffer)
            : mlkv_string_get(self->db, name, &self->buffer);
    mlkv_slice value = {self->buffer.data, self->buffer.size};
    at->operation.seen[key] = result == MLKV_OK ? read_value(value, &whole) : 0;
    if (!whole)
        return MLKV_E_CORRUPT;
    return result == MLKV_ABSENT ? MLKV_OK : result;
}

static int look_at_snapshot(client *self, history_record *at)
{
    mlkv *snapshot = NULL;
    int result = mlkv_snapshot(self->db, &snapshot);
    if (result != MLKV_OK)
        return result;
    result = look(self, snapshot, at);
    int ended = mlkv_close(snapshot);
    return result != MLKV_OK ? result : ended;
}

static int set_one(client *self, mlkv *view, history_record *at, size_t key)
{
    char hash[NAME_SIZE];
    mlkv_pair pair = {name_of(self, at->partition, key),
                      make_value(self, key, at->operation.values[key])};
    return is_hash(at->partition)
               ? mlkv_hash_set(view, hash_name(self, at->partition, hash), &pair, 1, NULL)
               : mlkv_string_set(view, pair.name, pair.value, MLKV_SET_ALWAYS);
}

/* Both registers, to the same value, in one call. */
static int set_both(client *self, history_record *at)
{
    char hash[NAME_SIZE];
    mlkv_slice value = make_value(self, 0, at->operation.values[0]);
    mlkv_pair pairs[REGISTERS] = {{name_of(self, at->partition, 0), value},
                                  {name_of(self, at->partition, 1), value}};
    return is_hash(at->partition) ? mlkv_hash_set(self->db, hash_name(self, at->partition, hash),
                                                  pairs, REGISTERS, NULL)
                                  : mlkv_string_set_many(self->db, pairs, REGISTERS);
}

/* The key, and with it what it held, goes: 0 is what is seen of it from then on. */
static int delete_one(client *self, history_record *at, size_t key)
{
    char hash[NAME_SIZE];
    mlkv_slice name = name_of(self, at->partition, key);
    size_t count;
    return is_hash(at->partition)
               ? mlkv_hash_delete(self->db, hash_name(self, at->partition, hash), &name, 1, &count)
               : mlkv_key_delete(self->db, &name, 1, &count);
}

static int add_one(client *self, mlkv *view, history_record *at, size_t key)
{
    char hash[NAME_SIZE];
    mlkv_slice name = name_of(self, at->partition, key);
    int64_t sum = 0, delta = at->operation.values[key];
    int result = is_hash(at->partition)
                     ? mlkv_hash_add(view, hash_name(self, at->partition, hash), name, delta, &sum)
                     : mlkv_string_add(view, name, delta, &sum);
    at->operation.seen[key] = sum - delta;
    return result;
}

/* Sees two keys, sets one of them, adds to the other, all at once; or gives it all up after
 * looking. */
static int transact(client *self, history_record *at, size_t to_set, size_t to_add)
{
    mlkv *tx = NULL;
    int result = mlkv_begin(self->db, &tx);
    if (result != MLKV_OK)
        return result;
    result = look(self, tx, at);
    if (result == MLKV_OK && at->operation.sets == 0)
        return mlkv_abort(tx);
    int64_t seen = at->operation.seen[to_add];
    if (result == MLKV_OK)
        result = set_one(self, tx, at, to_set);
    if (result == MLKV_OK)
        result = add_one(self, tx, at, to_add);
    if (result == MLKV_OK && at->operation.seen[to_add] != seen)
        result = MLKV_E_CORRUPT; /* within one transaction */
    if (result == MLKV_OK)
        return mlkv_commit(tx);
    (void)mlkv_abort(tx);
    return result;
}

enum {
    LOOK_ONE,
    LOOK_MANY,
    LOOK_SNAPSHOT,
    SET_ONE,
    SET_BOTH,
    DELETE_ONE,
    ADD_ONE,
    TRANSACT,
    TRANSACT_AND_ABORT
};

/* What is asked for is complete before the clock starts. */
static int choose(client *self, history_record *at, size_t *ret_register, size_t *ret_counter)
{
    static const unsigned char deck[] = {
        LOOK_ONE,   LOOK_ONE, LOOK_MANY, LOOK_MANY, LOOK_SNAPSHOT, SET_ONE,  SET_BOTH,
        DELETE_ONE, ADD_ONE,  ADD_ONE,   ADD_ONE,   TRANSACT,      TRANSACT, TRANSACT_AND_ABORT};
    checker_operation *op = &at->operation;
    int what = deck[draw(self, sizeof deck)];
    size_t to_set = draw(self, REGISTERS),
           to_add = REGISTERS + draw(self, CHECKER_KEYS - REGISTERS);
    uint8_t set_bit = (uint8_t)(1u << to_set), add_bit = (uint8_t)(1u << to_add);
    *at = (history_record){.partition = draw(self, PARTITIONS)};
    op->returned = CHECKER_NEVER;
    op->values[to_set] = new_number(self);
    op->values[to_add] = (int64_t)draw(self, 9) + 1;
    switch (what) {
    case LOOK_ONE:
        op->sees = set_bit;
        break;
    case LOOK_MANY:
    case LOOK_SNAPSHOT:
        op->sees = (1u << CHECKER_KEYS) - 1;
        break;
    case SET_BOTH:
        op->values[0] = op->values[1] = op->values[to_set];
        op->sets = 3;
        break;
    case DELETE_ONE:
        op->values[to_set] = 0;
        op->sets = set_bit;
        break;
    case SET_ONE:
        op->sets = set_bit;
        break;
    case ADD_ONE:
        op->sees = op->adds = add_bit;
        break;
    default:
        op->sees = set_bit | add_bit;
        op->sets = what == TRANSACT ? set_bit : 0;
        op->adds = what == TRANSACT ? add_bit : 0;
    }
    *ret_register = to_set;
    *ret_counter = to_add;
    return what;
}

static int perform(client *self, history_record *at, int what, size_t to_set, size_t to_add)
{
    switch (what) {
    case LOOK_ONE:
        return look_at_one(self, at, to_set);
    case LOOK_MANY:
        return look(self, self->db, at);
    case LOOK_SNAPSHOT:
        return look_at_snapshot(self, at);
    case SET_ONE:
        return set_one(self, self->db, at, to_set);
    case SET_BOTH:
        return set_both(self, at);
    case DELETE_ONE:
        return delete_one(self, at, to_set);
    case ADD_ONE:
        return add_one(self, self->db, at, to_add);
    default:
        return transact(self, at, to_set, to_add);
    }
}

static void *run(void *argument)
{
    client *self = argument;
    for (int i = 0; i < self->operations && self->next < self->end; i++) {
        size_t to_set, to_add;
        history_record *at = self->next++;
        int what = choose(self, at, &to_set, &to_add);
        if (draw(self, 4) == 0)
            (void)usleep(draw(self, 200));
        at->operation.invoked = clock_monotonic_ns();
        __atomic_store_n(&at->state, HISTORY_ASKED, __ATOMIC_RELEASE);
        int result = perform(self, at, what, to_set, to_add);
        if (result < 0) {
            fprintf(stderr, "linear_client: operation %d: %d %s: %s\n", what, result,
                    mlkv_error_name(result), mlkv_error_detail());
            self->status = 3;
            break;
        }
        at->operation.returned = clock_monotonic_ns();
        __atomic_store_n(&at->state, HISTORY_RETURNED, __ATOMIC_RELEASE);
    }
    mlkv_buffer_free(&self->buffer);
    mlkv_rows_free(&self->rows);
    return NULL;
}

static history_file *map_log(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    void *map = file < 0
                    ? MAP_FAILED
                    : mmap(NULL, sizeof(history_file), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        (void)close(file);
    return map == MAP_FAILED ? NULL : map;
}

int main(int count, char **arguments)
{
    static client clients[THREADS_MAX];
    pthread_t threads[THREADS_MAX];
    mlkv *db = NULL;
    history_file *log = count == 10 ? map_log(arguments[2]) : NULL;
    int thread_count = count == 10 ? atoi(arguments[5]) : 0, status = 0;
    if (log == NULL || thread_count < 1 || thread_count > THREADS_MAX)
        return 2;
    mlkv_options options = {.size = sizeof options,
                            .ring_bytes = RING_BYTES,
                            .cache_bytes = CACHE_BYTES,
                            .sync_interval_ms = 5,
                            .batch_bytes = 1 << 20};
    options.durability = atoi(arguments[7]);
    options.lock_timeout_ms = 200000;
    if (atoi(arguments[8]) >= 0)
        fault_arm((fault_point)atoi(arguments[8]), FAULT_KILL, strtoull(arguments[9], NULL, 10), 0);
    int result = mlkv_open(arguments[1], &options, &db);
    if (result != MLKV_OK) {
        fprintf(stderr, "linear_client: open: %d %s\n", result, mlkv_error_detail());
        return 3;
    }
    unsigned seed = (unsigned)strtoul(arguments[4], NULL, 10);
    for (int i = 0; i < thread_count; i++) {
        history_record *row = log->records[i];
        clients[i] = (client){.db = db,
                              .prefix = arguments[3],
                              .next = row,
                              .end = row + RECORDS_MAX,
                              .number = i,
                              .operations = atoi(arguments[6])};
        clients[i].seed = seed * 64 + (unsigned)i;
        clients[i].written = (uint64_t)seed << 16; /* other clients of a history have other seeds */
        if (pthread_create(&threads[i], NULL, run, &clients[i]) != 0)
            return 3;
    }
    for (int i = 0; i < thread_count; i++) {
        (void)pthread_join(threads[i], NULL);
        status |= clients[i].status;
    }
    result = mlkv_close(db);
    return result == MLKV_OK ? status : 3;
}
