/* load.c - see load.h. The processes of the load, each with a role:
 *
 *   writer     small values over and over: strings, numbers, hashes that are deleted now and then,
 *              sets; and pairs of counters that a transaction changes together
 *   bulk       strings of 1 KiB to 2 MiB, which are inline or blobs, and tensors
 *   reader     gets, walks through a cursor, and a look at the pairs
 *   snapshot   snapshots that live for up to a second, read at their beginning and end
 *   keeper     mlkv_compact now and then, and backups, which are opened, verified and removed
 *
 * A value says which key it belongs to in its first bytes, so that a reader knows a wrong one.
 */
#include "load.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    LOCK_TIMEOUT_MS = 600000, /* on a machine that is busy with other things, locks are late */
    REST_US =
        10000, /* between two turns: a load that does not keep every lock taken all the time */
    PAIRS = 8,
    STRINGS_A_UNIT = 3000, /* times scale */
    STRING_SIZE = 160,
    HASHES = 16,
    FIELDS_A_UNIT = 60,
    MEMBERS = 500,
    LARGE_A_UNIT = 10,
    TENSORS = 2,
    TENSOR_ROWS = 64,
    TENSOR_COLUMNS = 2048,
    WRITES_A_TURN = 200,
    READS_A_TURN = 400,
    HASH_DELETED_EVERY = 400,
    HELD_US_MAX = 250000,
    PAUSE_US_MAX = 6000000,
    WALK_EVERY = 400,
    COMPACT_EVERY_S = 7,
    BACKUP_EVERY_S = 11,
};

static uint64_t draw(load_worker *self, uint64_t below)
{
    uint64_t x = self->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    self->random = x;
    return x % below;
}

static mlkv_slice text(const char *s)
{
    return (mlkv_slice){s, strlen(s)};
}

/* Random bytes that begin with the key's name. */
static mlkv_slice value_of(load_worker *self, const char *key, size_t size)
{
    unsigned char *from = self->bytes + draw(self, LOAD_BYTES - size);
    memcpy(from, key, strlen(key));
    return (mlkv_slice){from, size};
}

static int say(char *detail, const char *what)
{
    snprintf(detail, LOAD_DETAIL_SIZE, "%s: %s", what, mlkv_error_detail());
    return -1;
}

static int64_t number_of(const mlkv_buffer *value)
{
    char digits[24] = "";
    if (value->size < sizeof digits)
        memcpy(digits, value->data, value->size);
    return strtoll(digits, NULL, 10);
}

mlkv_options load_options(const load_plan *plan)
{
    return (mlkv_options){.size = sizeof(mlkv_options),
                          .cache_bytes = plan->cache_bytes,
                          .ring_bytes = plan->ring_bytes,
                          .batch_bytes = plan->batch_bytes,
                          .lock_timeout_ms = LOCK_TIMEOUT_MS};
}

int load_check(mlkv *view, char *detail)
{
    char names[PAIRS * 2][24];
    mlkv_slice keys[PAIRS * 2];
    mlkv_rows rows = {0};
    for (int i = 0; i < PAIRS * 2; i++) {
        snprintf(names[i], sizeof names[i], "pair:%d:%d", i / 2, i % 2);
        keys[i] = text(names[i]);
    }
    int result = mlkv_string_get_many(view, keys, PAIRS * 2, &rows);
    int state = result >= 0 ? 0 : say(detail, "reading the pairs");
    for (int i = 0; i < PAIRS && state == 0; i++) {
        mlkv_slice a = rows.items[2 * i], b = rows.items[2 * i + 1];
        if (a.size != b.size || (a.size != 0 && memcmp(a.data, b.data, a.size) != 0))
            state = say(detail, "the two halves of a pair differ");
    }
    mlkv_rows_free(&rows);
    return state;
}

/* --- writer --- */

static int write_pair(load_worker *self)
{
    mlkv *tx = NULL;
    int64_t number;
    unsigned pair = (unsigned)draw(self, PAIRS);
    int result = mlkv_begin(self->db, &tx);
    for (int half = 0; half < 2 && result == MLKV_OK; half++) {
        char key[32];
        snprintf(key, sizeof key, "pair:%u:%d", pair, half);
        result = mlkv_string_add(tx, text(key), 1, &number);
    }
    if (result == MLKV_OK)
        return mlkv_commit(tx);
    (void)mlkv_abort(tx);
    return result;
}

static int write_hash(load_worker *self)
{
    char key[32], field[32];
    snprintf(key, sizeof key, "hash:%u", (unsigned)draw(self, HASHES));
    mlkv_slice name = text(key);
    if (draw(self, HASH_DELETED_EVERY) == 0)
        return mlkv_key_delete(self->db, &name, 1, NULL);
    snprintf(field, sizeof field, "field:%u",
             (unsigned)draw(self, FIELDS_A_UNIT * self->plan->scale));
    mlkv_pair pair = {text(field), value_of(self, key, STRING_SIZE)};
    return mlkv_hash_set(self->db, name, &pair, 1, NULL);
}

static int write_set(load_worker *self)
{
    char member[32];
    snprintf(member, sizeof member, "member:%u", (unsigned)draw(self, MEMBERS));
    mlkv_slice name = text(member);
    return draw(self, 2) == 0 ? mlkv_set_add(self->db, text("set"), &name, 1, NULL)
                              : mlkv_set_remove(self->db, text("set"), &name, 1, NULL);
}

static int write_string(load_worker *self)
{
    char key[32];
    snprintf(key, sizeof key, "string:%u",
             (unsigned)draw(self, STRINGS_A_UNIT * self->plan->scale));
    mlkv_slice name = text(key);
    if (draw(self, 50) == 0)
        return mlkv_key_delete(self->db, &name, 1, NULL);
    return mlkv_string_set(self->db, name, value_of(self, key, STRING_SIZE), MLKV_SET_ALWAYS);
}

static int turn_writer(load_worker *self)
{
    int result = MLKV_OK;
    for (int i = 0; i < WRITES_A_TURN && result >= 0; i++) {
        uint64_t chance = draw(self, 20);
        result = chance < 12   ? write_string(self)
                 : chance < 17 ? write_hash(self)
                 : chance < 19 ? write_set(self)
                               : write_pair(self);
    }
    atomic_fetch_add(&self->report->operations, WRITES_A_TURN);
    return result;
}

/* --- bulk --- */

static int turn_bulk(load_worker *self)
{
    char key[32];
    atomic_fetch_add(&self->report->operations, 1);
    if (draw(self, 8) == 0) {
        mlkv_tensor shape = {MLKV_F32, 2, {TENSOR_ROWS, TENSOR_COLUMNS}};
        snprintf(key, sizeof key, "tensor:%u", (unsigned)draw(self, TENSORS));
        mlkv_slice data = value_of(self, key, sizeof(float) * TENSOR_ROWS * TENSOR_COLUMNS);
        return mlkv_tensor_put(self->db, text(key), &shape, data.data, NULL);
    }
    unsigned number = (unsigned)draw(self, LARGE_A_UNIT * self->plan->scale);
    size_t most = number % 10 == 0  ? (size_t)2 << 20
                  : number % 10 < 4 ? (size_t)256 << 10
                                    : (size_t)16 << 10;
    snprintf(key, sizeof key, "large:%u", number);
    return mlkv_string_set(self->db, text(key), value_of(self, key, 1024 + draw(self, most - 1024)),
                           MLKV_SET_ALWAYS);
}

/* --- reader --- */

static int get_and_check(load_worker *self, mlkv *view, const char *key)
{
    int result = mlkv_string_get(view, text(key), &self->value);
    if (result == MLKV_OK &&
        (self->value.size < strlen(key) || memcmp(self->value.data, key, strlen(key)) != 0))
        return MLKV_E_CORRUPT;
    return result;
}

static int walk(load_worker *self)
{
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_KEYS};
    mlkv_cursor *cursor = NULL;
    mlkv_slice name;
    int result = mlkv_cursor_open(self->db, &query, &cursor);
    while (result == MLKV_OK)
        result = mlkv_cursor_next(cursor, &name, NULL);
    mlkv_cursor_close(cursor);
    return result;
}

static int turn_reader(load_worker *self)
{
    char key[32];
    int result = MLKV_OK;
    for (int i = 0; i < READS_A_TURN && result >= 0; i++) {
        bool large = draw(self, 20) == 0;
        snprintf(key, sizeof key, large ? "large:%u" : "string:%u",
                 (unsigned)draw(self, (large ? LARGE_A_UNIT : STRINGS_A_UNIT) * self->plan->scale));
        result = get_and_check(self, self->db, key);
    }
    atomic_fetch_add(&self->report->operations, READS_A_TURN);
    if (result >= 0 && draw(self, WALK_EVERY) == 0)
        result = walk(self);
    if (result >= 0 && load_check(self->db, self->report->detail) != 0)
        result = MLKV_E_CORRUPT;
    return result;
}

/* --- snapshot --- */

static int read_pair(load_worker *self, mlkv *view, int64_t *ret_number)
{
    int result = mlkv_string_get(view, text("pair:0:0"), &self->value);
    *ret_number = result == MLKV_OK ? number_of(&self->value) : 0;
    return result;
}

static int turn_snapshot(load_worker *self)
{
    mlkv *view = NULL;
    int64_t before = 0, after = 0;
    int result = mlkv_snapshot(self->db, &view);
    if (result != MLKV_OK)
        return result;
    atomic_fetch_add(&self->report->held, 1);
    result = read_pair(self, view, &before);
    (void)usleep((useconds_t)draw(self, HELD_US_MAX));
    if (result >= 0 && load_check(view, self->report->detail) != 0)
        result = MLKV_E_CORRUPT;
    for (int i = 0; i < READS_A_TURN && result >= 0; i++) {
        char key[32];
        snprintf(key, sizeof key, "large:%u",
                 (unsigned)draw(self, LARGE_A_UNIT * self->plan->scale));
        result = get_and_check(self, view, key);
    }
    if (result >= 0)
        result = read_pair(self, view, &after);
    (void)mlkv_close(view);
    atomic_fetch_add(&self->report->held, 1);
    for (uint64_t left = draw(self, PAUSE_US_MAX);
         left > PAUSE_US_MAX / 100 && !atomic_load(self->stop); left -= PAUSE_US_MAX / 100)
        (void)usleep(PAUSE_US_MAX / 100);
    atomic_fetch_add(&self->report->operations, 1);
    return result >= 0 && before != after ? MLKV_E_CORRUPT : result;
}

/* --- keeper --- */

static int check_backup(load_worker *self)
{
    mlkv *copy = NULL;
    mlkv_report report = {.size = sizeof report};
    mlkv_options options = load_options(self->plan);
    options.ring_bytes = 64 << 10;
    options.cache_bytes = 1 << 20;
    int result = mlkv_open(self->plan->backup_folder, &options, &copy);
    if (result == MLKV_OK)
        result = mlkv_verify(copy, NULL, NULL, &report);
    if (result == MLKV_OK && load_check(copy, self->report->detail) != 0)
        result = MLKV_E_CORRUPT;
    int closed = mlkv_close(copy);
    return result != MLKV_OK ? result : closed;
}

static int back_up(load_worker *self)
{
    char command[700];
    atomic_fetch_add(&self->report->held, 1);
    int result = mlkv_backup(self->db, self->plan->backup_folder);
    atomic_fetch_add(&self->report->held, 1);
    if (result == MLKV_OK)
        result = check_backup(self);
    snprintf(command, sizeof command, "rm -rf '%s'", self->plan->backup_folder);
    if (result == MLKV_OK && system(command) != 0)
        result = MLKV_E_IO;
    atomic_fetch_add(&self->report->backups, result == MLKV_OK);
    return result;
}

static int turn_keeper(load_worker *self)
{
    static time_t compacted, copied;
    time_t now = time(NULL);
    int result = MLKV_OK;
    (void)usleep(100000);
    if (compacted == 0)
        compacted = copied = now;
    if (now - compacted >= COMPACT_EVERY_S) {
        uint64_t freed = 0;
        result = mlkv_compact(self->db, &freed);
        atomic_fetch_add(&self->report->freed_bytes, freed);
        compacted = now;
    }
    if (result == MLKV_OK && now - copied >= BACKUP_EVERY_S) {
        result = back_up(self);
        copied = time(NULL);
    }
    return result;
}

const load_role load_roles[] = {
    {"writer", turn_writer}, {"bulk", turn_bulk},         {"reader", turn_reader},
    {"reader", turn_reader}, {"snapshot", turn_snapshot}, {"keeper", turn_keeper},
};
const unsigned load_role_count = sizeof load_roles / sizeof load_roles[0];

/* --- a process --- */

static int give_up(load_worker *self, const char *what, int result)
{
    if (self->report->detail[0] == '\0')
        snprintf(self->report->detail, LOAD_DETAIL_SIZE, "%s: %s: %s", what,
                 mlkv_error_name(result), mlkv_error_detail());
    atomic_store(&self->report->failed, 1);
    return 3;
}

static int tell(load_worker *self)
{
    mlkv_stats stats = {.size = sizeof stats};
    int result = mlkv_stats_get(self->db, &stats);
    if (result == MLKV_OK) {
        atomic_store(&self->report->cache_bytes, stats.cache_bytes);
        atomic_store(&self->report->cache_bytes_max, stats.cache_bytes_max);
    }
    return result;
}

int load_work(const load_plan *plan, unsigned role, load_report *report, const _Atomic int *stop)
{
    load_worker self = {
        .plan = plan, .report = report, .stop = stop, .random = 0x9e3779b97f4a7c15u * (role + 1)};
    mlkv_options options = load_options(plan);
    self.bytes = malloc(LOAD_BYTES);
    if (self.bytes == NULL)
        return give_up(&self, load_roles[role].name, MLKV_E_MEMORY);
    for (size_t i = 0; i < LOAD_BYTES; i++)
        self.bytes[i] = (unsigned char)draw(&self, 251);
    int result = mlkv_open(plan->folder, &options, &self.db);
    while (result >= 0 && !atomic_load(stop)) {
        result = load_roles[role].turn(&self);
        (void)usleep(REST_US);
        if (result >= 0)
            result = tell(&self);
    }
    if (result < 0)
        (void)give_up(&self, load_roles[role].name, result);
    int closed = mlkv_close(self.db);
    if (result >= 0 && closed != MLKV_OK)
        (void)give_up(&self, "closing", closed);
    mlkv_buffer_free(&self.value);
    free(self.bytes);
    return atomic_load(&report->failed) ? 3 : 0;
}
