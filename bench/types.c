/* types.c - what each class of operation costs on one big value of each type: `sh bench/run.sh --types`.
 *
 * Options: --elements N (default 5,000,000), --only hash|set|zset|list, --folder DIR (default TMPDIR or /var/tmp).
 * One thread, default options, so the values are several times larger than the cache. Elements are "m00000123" with values or scores
 * of their number, added in a scrambled order; operations meet elements at random. A row is the mean of `times` calls, divided by the
 * elements of a call where it says "each"; what the call gives back is looked at. The applier writes to LMDB in the background
 * meanwhile, as it does for everybody; "processor time" is that of the calling thread alone. The table is Markdown: README.md has one.
 */
#include "measure.h"

#include <ftw.h>
#include <inttypes.h>
#include <mlkv/mlkv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MANY = 100, NAME_BYTES = 16, PATH_BYTES = 512, ELEMENTS = 5000000 };

typedef struct {
    mlkv *db;
    uint32_t elements, next; /* next: elements added so far */
    uint64_t random;
    mlkv_slice key;
    mlkv_buffer value;
    mlkv_rows rows;
} bench;

typedef struct {
    const char *operation, *order;
    int (*run)(bench *self);
    uint32_t times; /* 0: until all elements are there, MANY at once */
    uint32_t each;  /* elements of a call; 0: all */
} row;

static uint32_t any(bench *self)
{
    self->random = self->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((self->random >> 32) * self->elements >> 32);
}

static mlkv_slice name_in(char room[NAME_BYTES], uint32_t number)
{
    return (mlkv_slice){room, (size_t)snprintf(room, NAME_BYTES, "m%08" PRIu32, number)};
}

static uint32_t scrambled(const bench *self, uint32_t i)
{
    return (uint32_t)((uint64_t)i * 2654435761u % self->elements); /* a prime */
}

/* The next MANY elements, with names and their numbers. */
static void next_members(bench *self, mlkv_scored members[MANY], char names[MANY][NAME_BYTES])
{
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t number = scrambled(self, self->next++ % self->elements);
        members[i] = (mlkv_scored){name_in(names[i], number), number};
    }
}

static int found(int result, bool good)
{
    return result == MLKV_OK && !good ? MLKV_E_CORRUPT : result;
}

/* --- hash --- */

static int hash_load(bench *self)
{
    char names[MANY][NAME_BYTES];
    mlkv_scored members[MANY];
    mlkv_pair pairs[MANY];
    next_members(self, members, names);
    for (uint32_t i = 0; i < MANY; i++)
        pairs[i] = (mlkv_pair){members[i].member, members[i].member};
    return mlkv_hash_set(self->db, self->key, pairs, MANY, NULL);
}

static int hash_set(bench *self)
{
    char room[NAME_BYTES];
    mlkv_slice name = name_in(room, any(self));
    return mlkv_hash_set(self->db, self->key, &(mlkv_pair){name, name}, 1, NULL);
}

static int hash_get(bench *self)
{
    char room[NAME_BYTES];
    mlkv_slice name = name_in(room, any(self));
    int result = mlkv_hash_get(self->db, self->key, name, &self->value);
    return found(result, result == MLKV_OK && memcmp(self->value.data, room, name.size) == 0);
}

static int hash_get_many(bench *self)
{
    char names[MANY][NAME_BYTES];
    mlkv_slice fields[MANY];
    for (uint32_t i = 0; i < MANY; i++)
        fields[i] = name_in(names[i], any(self));
    int result = mlkv_hash_get_many(self->db, self->key, fields, MANY, &self->rows);
    return found(result, self->rows.count == MANY);
}

static int hash_random(bench *self)
{
    int result = mlkv_hash_random(self->db, self->key, 1, 1, 0, &self->rows);
    return found(result, self->rows.count == 1);
}

static int hash_delete(bench *self)
{
    char room[NAME_BYTES];
    mlkv_slice name = name_in(room, any(self));
    return mlkv_hash_delete(self->db, self->key, &name, 1, NULL);
}

static int scan(bench *self, int kind)
{
    mlkv_query query = {.size = sizeof query, .kind = kind, .key = self->key};
    mlkv_cursor *cursor = NULL;
    mlkv_slice name;
    uint32_t count = 0;
    int result = mlkv_cursor_open(self->db, &query, &cursor);
    while (result == MLKV_OK && (result = mlkv_cursor_next(cursor, &name, NULL)) == MLKV_OK)
        count++;
    mlkv_cursor_close(cursor);
    return result == MLKV_ABSENT && count > self->elements / 2 ? MLKV_OK : MLKV_E_CORRUPT;
}

static int hash_scan(bench *self)
{
    return scan(self, MLKV_SCAN_HASH);
}

static int delete_key(bench *self)
{
    return mlkv_key_delete(self->db, &self->key, 1, NULL);
}

/* --- set --- */

static int set_load(bench *self)
{
    char names[MANY][NAME_BYTES];
    mlkv_scored members[MANY];
    mlkv_slice only[MANY];
    next_members(self, members, names);
    for (uint32_t i = 0; i < MANY; i++)
        only[i] = members[i].member;
    return mlkv_set_add(self->db, self->key, only, MANY, NULL);
}

static int set_contains(bench *self)
{
    char room[NAME_BYTES];
    mlkv_slice name = name_in(room, any(self));
    uint8_t present = 0;
    int result = mlkv_set_contains(self->db, self->key, &name, 1, &present);
    return found(result, present == 1);
}

static int set_random(bench *self)
{
    int result = mlkv_set_random(self->db, self->key, 1, 1, &self->rows);
    return found(result, self->rows.count == 1);
}

static int set_pop(bench *self)
{
    int result = mlkv_set_pop(self->db, self->key, 1, &self->rows);
    return found(result, self->rows.count == 1);
}

/* Into itself and another: every member is read and written once. */
static int set_union(bench *self)
{
    uint64_t count = 0;
    int result = mlkv_set_union_store(self->db, (mlkv_slice){"union", 5}, &self->key, 1, &count);
    return found(result, count > self->elements / 2);
}

static int set_intersection_count(bench *self)
{
    mlkv_slice keys[] = {self->key, {"union", 5}};
    uint64_t count = 0;
    int result = mlkv_set_intersection_count(self->db, keys, 2, 0, &count);
    return found(result, count > self->elements / 2);
}

/* --- sorted set --- */

static int zset_load(bench *self)
{
    char names[MANY][NAME_BYTES];
    mlkv_scored members[MANY];
    next_members(self, members, names);
    return mlkv_zset_add(self->db, self->key, members, MANY, 0, NULL, NULL);
}

static int zset_add(bench *self)
{
    char room[NAME_BYTES];
    mlkv_scored member = {name_in(room, any(self)), any(self)};
    return mlkv_zset_add(self->db, self->key, &member, 1, 0, NULL, NULL);
}

static int zset_score(bench *self)
{
    char room[NAME_BYTES];
    double score;
    return mlkv_zset_score(self->db, self->key, name_in(room, any(self)), &score);
}

static int zset_rank(bench *self)
{
    char room[NAME_BYTES];
    uint64_t rank;
    return mlkv_zset_rank(self->db, self->key, name_in(room, any(self)), 0, &rank, NULL);
}

static int zset_by_rank(bench *self)
{
    uint32_t start = any(self) / 2;
    mlkv_zset_range_spec range = {.size = sizeof range, .start = start, .stop = start + 9};
    int result = mlkv_zset_range(self->db, self->key, &range, &self->rows, NULL);
    return found(result, self->rows.count == 10);
}

static int zset_by_score(bench *self)
{
    mlkv_zset_range_spec range = {.size = sizeof range,
                                  .by = MLKV_ZSET_BY_SCORE,
                                  .min = any(self) / 2,
                                  .max_bound = MLKV_ZSET_HIGHEST,
                                  .limited = 1,
                                  .limit = 10};
    int result = mlkv_zset_range(self->db, self->key, &range, &self->rows, NULL);
    return found(result, self->rows.count == 10);
}

static int zset_count(bench *self)
{
    mlkv_zset_range_spec range = {.size = sizeof range,
                                  .by = MLKV_ZSET_BY_SCORE,
                                  .min = any(self) / 2,
                                  .max_bound = MLKV_ZSET_HIGHEST};
    uint64_t count = 0;
    int result = mlkv_zset_range_count(self->db, self->key, &range, &count);
    return found(result, count > 0);
}

static int zset_pop(bench *self)
{
    int result = mlkv_zset_pop(self->db, self->key, 1, 0, &self->rows, NULL);
    return found(result, self->rows.count == 1);
}

static int zset_scan(bench *self)
{
    return scan(self, MLKV_SCAN_ZSET);
}

/* --- list --- */

static int list_load(bench *self)
{
    char names[MANY][NAME_BYTES];
    mlkv_slice values[MANY];
    for (uint32_t i = 0; i < MANY; i++)
        values[i] = name_in(names[i], self->next++);
    return mlkv_list_push(self->db, self->key, MLKV_LIST_RIGHT, values, MANY, NULL);
}

static int list_push(bench *self)
{
    mlkv_slice value = {"m00000000", 9};
    return mlkv_list_push(self->db, self->key, MLKV_LIST_RIGHT, &value, 1, NULL);
}

static int list_pop(bench *self)
{
    return mlkv_list_pop(self->db, self->key, MLKV_LIST_RIGHT, &self->value);
}

static int list_get(bench *self)
{
    char room[NAME_BYTES];
    uint32_t index = any(self);
    mlkv_slice name = name_in(room, index);
    int result = mlkv_list_get(self->db, self->key, index, &self->value);
    return found(result, result == MLKV_OK && memcmp(self->value.data, room, name.size) == 0);
}

static int list_set(bench *self)
{
    char room[NAME_BYTES];
    uint32_t index = any(self);
    return mlkv_list_set(self->db, self->key, index, name_in(room, index));
}

static int list_range(bench *self)
{
    uint32_t start = any(self) / 2;
    int result = mlkv_list_range(self->db, self->key, start, start + MANY - 1, &self->rows);
    return found(result, self->rows.count == MANY);
}

static int list_find(bench *self)
{
    char room[NAME_BYTES];
    uint64_t index = 0;
    mlkv_slice last = name_in(room, self->elements - 1);
    int result = mlkv_list_find(self->db, self->key, last, 1, 0, &index);
    return found(result, index == self->elements - 1);
}

static int list_insert(bench *self)
{
    char room[NAME_BYTES];
    int64_t length = 0;
    mlkv_slice middle = name_in(room, self->elements / 2);
    int result = mlkv_list_insert(self->db, self->key, MLKV_LIST_BEFORE, middle, middle, &length);
    return found(result, length == (int64_t)self->elements + 1);
}

static int list_scan(bench *self)
{
    return scan(self, MLKV_SCAN_LIST);
}

/* --- the table --- */

static const row hash_rows[] = {
    {"HSET of 100 new fields, each", "O(1)", hash_load, 0, MANY},
    {"HSET", "O(1)", hash_set, 200000, 1},
    {"HGET", "O(1)", hash_get, 500000, 1},
    {"HMGET of 100, each", "O(1)", hash_get_many, 5000, MANY},
    {"HRANDFIELD, the first of a process", "O(n)", hash_random, 1, 1},
    {"HRANDFIELD", "O(log n)", hash_random, 100000, 1},
    {"HDEL", "O(1)", hash_delete, 100000, 1},
    {"HSCAN of all, each", "O(1)", hash_scan, 1, 0},
    {"DEL of a hash", "O(1)", delete_key, 1, 1},
};

static const row set_rows[] = {
    {"SADD of 100 new members, each", "O(1)", set_load, 0, MANY},
    {"SISMEMBER", "O(1)", set_contains, 500000, 1},
    {"SRANDMEMBER", "O(1)", set_random, 200000, 1},
    {"SPOP", "O(1)", set_pop, 100000, 1},
    {"SUNIONSTORE, each", "O(1)", set_union, 1, 0},
    {"SINTERCARD of two such sets, each", "O(1)", set_intersection_count, 1, 0},
    {"DEL of a set", "O(1)", delete_key, 1, 1},
};

static const row zset_rows[] = {
    {"ZADD of 100 new members, each", "O(1)", zset_load, 0, MANY},
    {"ZSCORE", "O(1)", zset_score, 500000, 1},
    {"ZRANK, the first of a process", "O(n)", zset_rank, 1, 1},
    {"ZRANK", "O(log n)", zset_rank, 100000, 1},
    {"ZCOUNT", "O(log n)", zset_count, 100000, 1},
    {"ZRANGE of 10 by rank", "O(log n + 10)", zset_by_rank, 100000, 1},
    {"ZRANGE of 10 by score", "O(log n + 10)", zset_by_score, 100000, 1},
    {"ZADD of another score", "O(log n)", zset_add, 100000, 1},
    {"ZPOPMIN", "O(log n)", zset_pop, 100000, 1},
    {"ZSCAN of all, each", "O(1)", zset_scan, 1, 0},
    {"DEL of a sorted set", "O(1)", delete_key, 1, 1},
};

static const row list_rows[] = {
    {"RPUSH of 100, each", "O(1)", list_load, 0, MANY},
    {"RPUSH", "O(1)", list_push, 100000, 1},
    {"RPOP", "O(1)", list_pop, 100000, 1},
    {"LINDEX", "O(1)", list_get, 500000, 1},
    {"LSET", "O(1)", list_set, 200000, 1},
    {"LRANGE of 100, each", "O(1)", list_range, 5000, MANY},
    {"LPOS, each element passed", "O(1)", list_find, 1, 0},
    {"LINSERT in the middle", "O(n)", list_insert, 1, 1},
    {"a walk over all, each", "O(1)", list_scan, 1, 0},
    {"DEL of a list", "O(1)", delete_key, 1, 1},
};

/* Of this thread: what the operation itself takes, without waiting for the applier, or for a processor. */
static double cpu_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void print_time(double seconds)
{
    if (seconds < 1e-6)
        printf("%.0f ns", seconds * 1e9);
    else if (seconds < 1e-3)
        printf("%.1f us", seconds * 1e6);
    else if (seconds < 1)
        printf("%.1f ms", seconds * 1e3);
    else
        printf("%.1f s", seconds);
}

static int run_rows(bench *self, const char *key, const row *rows, size_t count)
{
    self->key = (mlkv_slice){key, strlen(key)};
    self->next = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t most = self->elements / (rows[i].times != 0 ? 20 : MANY);
        uint32_t times = rows[i].times != 0 && rows[i].times < most ? rows[i].times : most;
        uint32_t each = rows[i].each != 0 ? rows[i].each : self->elements;
        double begun = measure_seconds(), begun_cpu = cpu_seconds();
        for (uint32_t j = 0; j < times; j++) {
            int result = rows[i].run(self);
            if (result < 0) {
                fprintf(stderr, "bench: %s: %s\n", rows[i].operation, mlkv_error_detail());
                return 1;
            }
        }
        double seconds = measure_seconds() - begun, cpu = cpu_seconds() - begun_cpu;
        printf("| %s | %s | ", rows[i].operation, rows[i].order);
        print_time(seconds / times / each);
        printf(" | ");
        print_time(cpu / times / each);
        printf(" |\n");
        (void)fflush(stdout);
    }
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

/* The types one after another, or the one that is named. */
static int run_all(bench *self, const char *only)
{
    static const struct {
        const char *name;
        const row *rows;
        size_t count;
    } types[] = {{"hash", hash_rows, sizeof hash_rows / sizeof *hash_rows},
                 {"set", set_rows, sizeof set_rows / sizeof *set_rows},
                 {"zset", zset_rows, sizeof zset_rows / sizeof *zset_rows},
                 {"list", list_rows, sizeof list_rows / sizeof *list_rows}};
    int failed = 0;
    printf("| operation, n = %" PRIu32 " | cost | time | processor time |\n|---|---|---|---|\n",
           self->elements);
    for (size_t i = 0; i < sizeof types / sizeof *types && !failed; i++)
        if (only == NULL || strcmp(only, types[i].name) == 0)
            failed = run_rows(self, types[i].name, types[i].rows, types[i].count);
    return failed;
}

int main(int argc, char **argv)
{
    bench self = {.elements = ELEMENTS, .random = 20261121};
    const char *only = NULL, *base = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/var/tmp";
    char folder[PATH_BYTES];
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && strcmp(argv[i], "--elements") == 0) {
            self.elements = (uint32_t)strtoul(argv[i + 1], NULL, 10) / MANY * MANY;
        } else if (i + 1 < argc && strcmp(argv[i], "--only") == 0) {
            only = argv[i + 1];
        } else if (i + 1 < argc && strcmp(argv[i], "--folder") == 0) {
            base = argv[i + 1];
        } else {
            fprintf(stderr, "usage: %s [--elements N] [--only TYPE] [--folder DIR]\n", argv[0]);
            return 2;
        }
    }
    snprintf(folder, sizeof folder, "%s/mlkv-types-XXXXXX", base);
    if (self.elements < 10000 || self.elements > 100000000 || mkdtemp(folder) == NULL) {
        fprintf(stderr, "bench: 10,000 to 100,000,000 elements, in a folder that can be written\n");
        return 2;
    }
    int failed = mlkv_open(folder, NULL, &self.db) != MLKV_OK || run_all(&self, only) != 0 ||
                 mlkv_close(self.db) != MLKV_OK;
    mlkv_buffer_free(&self.value);
    mlkv_rows_free(&self.rows);
    (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return failed;
}
