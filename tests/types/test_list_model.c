/* test_list_model.c - lists against an oracle: arrays of element numbers, and Redis's rules written out plainly. Random sequences of all
 * operations run on a store and on the oracle: through a live view, transactions (also aborted), beside snapshots, over reopenings, and by
 * two processes in turn, which both know the sequence. And a queue between processes, in which nothing is lost or doubled.
 *
 * MLKV_LIST_OPERATIONS sets how many operations (default 8,000 alone and 3,000 with two processes), MLKV_LIST_SEED another sequence; what
 * fails says its seed and operation.
 */
#include "types/stores.h"

#include <inttypes.h>
#include <mlkv/list.h>
#include <sys/wait.h>

enum {
    KEYS = 4,
    ELEMENTS = 12,   /* different ones */
    LARGE_FROM = 10, /* these are blobs under this ring */
    LENGTH_MAX = 2500,
    PUSH_MAX = 400,
    SIZE_MAX_OF_ONE = 6000,
    SNAPSHOT_LIFE = 60, /* operations */
};

typedef struct {
    int length;
    uint8_t items[LENGTH_MAX + PUSH_MAX];
} row;

typedef struct {
    row rows[KEYS];
} model;

typedef struct {
    mlkv *db, *tx, *snapshot;
    model now, before, then; /* before: the transaction; then: at the snapshot */
    uint64_t seed, step, random, snapshot_step;
    bool applies; /* to the store: not in the other process's turns */
    const char *folder;
} world;

static unsigned char bytes_of[ELEMENTS][SIZE_MAX_OF_ONE];
static mlkv_slice elements[ELEMENTS];
static const mlkv_slice keys[KEYS] = {
    {"a", 1}, {"b", 1}, {"c", 1}, {"text", 4}}; /* the last: a string */

static void make_elements(void)
{
    static const size_t sizes[ELEMENTS] = {1, 1, 0, 3, 20, 20, 500, 1500, 1500, 2000, 5000, 5000};
    for (unsigned i = 0; i < ELEMENTS; i++) {
        fill_noise(bytes_of[i], sizes[i], i + 1);
        if (i == 7 || i == 8) /* compressed */
            memset(bytes_of[i], (int)i, sizes[i]);
        elements[i] = slice_of(bytes_of[i], sizes[i]);
    }
}

static world *failing;
#define HOLDS(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("MLKV_LIST_SEED=%" PRIu64 ", operation %" PRIu64 ", line %d: %s (%s)",    \
                         failing->seed, failing->step, __LINE__, #condition, mlkv_error_detail()); \
    } while (0)
#define GIVES(want, call)                                                          \
    do {                                                                           \
        int gives_got = (call), gives_want = (want);                               \
        if (gives_got != gives_want)                                               \
            ck_abort_msg("MLKV_LIST_SEED=%" PRIu64 ", operation %" PRIu64          \
                         ", line %d: %s: got %d (%s), want %d",                    \
                         failing->seed, failing->step, __LINE__, #call, gives_got, \
                         mlkv_error_detail(), gives_want);                         \
    } while (0)

static uint64_t draw(world *w, uint64_t bound)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (w->random >> 11) % bound;
}

/* Large ones are rare, because each costs a sync of the disk. */
static uint8_t draw_item(world *w)
{
    return (uint8_t)draw(w, draw(w, 6) ? 7 : draw(w, 20) ? LARGE_FROM : ELEMENTS);
}

static mlkv *view_of(world *w)
{
    return w->tx != NULL ? w->tx : w->db;
}

/* --- the oracle --- */

static void insert_item(row *r, int at, uint8_t item)
{
    memmove(r->items + at + 1, r->items + at, (size_t)(r->length - at));
    r->items[at] = item;
    r->length++;
}

static uint8_t remove_item(row *r, int at)
{
    uint8_t item = r->items[at];
    r->length--;
    memmove(r->items + at, r->items + at + 1, (size_t)(r->length - at));
    return item;
}

static uint8_t take(row *r, mlkv_list_end end)
{
    return remove_item(r, end == MLKV_LIST_LEFT ? 0 : r->length - 1);
}

static void put(row *r, mlkv_list_end end, uint8_t item)
{
    insert_item(r, end == MLKV_LIST_LEFT ? 0 : r->length, item);
}

static bool clip(const row *r, int64_t start, int64_t stop, int *ret_first, int *ret_n)
{
    start += start < 0 ? r->length : 0;
    stop += stop < 0 ? r->length : 0;
    start = start < 0 ? 0 : start;
    stop = stop >= r->length ? r->length - 1 : stop;
    *ret_first = (int)start;
    *ret_n = start > stop ? 0 : (int)(stop - start + 1);
    return start <= stop;
}

/* LPOS: indexes in the order of the search. */
static int search(const row *r, uint8_t item, int64_t rank, uint64_t want, uint64_t most,
                  int *found)
{
    int n = 0;
    int64_t skip = rank < 0 ? -rank - 1 : rank - 1;
    for (int i = 0; i < r->length && (most == 0 || (uint64_t)i < most); i++) {
        int at = rank < 0 ? r->length - 1 - i : i;
        if (r->items[at] != item || skip-- > 0)
            continue;
        found[n++] = at;
        if (want != 0 && (uint64_t)n == want)
            break;
    }
    return n;
}

/* --- comparing --- */

static void compare_row(mlkv *view, int k, const row *want)
{
    mlkv_rows got = {0};
    uint64_t length = 0;
    GIVES(MLKV_OK, mlkv_list_range(view, keys[k], 0, -1, &got));
    HOLDS(got.count == (size_t)want->length);
    for (size_t i = 0; i < got.count; i++)
        HOLDS(slice_equal(got.items[i], elements[want->items[i]]));
    GIVES(MLKV_OK, mlkv_list_length(view, keys[k], &length));
    HOLDS(length == (uint64_t)want->length);
    mlkv_rows_free(&got);
}

static void compare_all(mlkv *view, const model *want)
{
    for (int k = 0; k < KEYS - 1; k++)
        compare_row(view, k, &want->rows[k]);
}

static bool is(const mlkv_buffer *value, uint8_t item)
{
    return slice_equal(slice_of_buffer(value), elements[item]);
}

/* --- operations: each draws its arguments, changes the oracle, and, if it is this process's turn, the store --- */

/* What a call on this key answers if the list has elements, has none, or is no list. */
static int answer(const world *w, int k, int if_missing)
{
    return k == KEYS - 1 ? MLKV_E_TYPE : w->now.rows[k].length == 0 ? if_missing : MLKV_OK;
}

static void do_push(world *w, int k, bool only_present)
{
    static mlkv_slice values[PUSH_MAX];
    row *r = &w->now.rows[k];
    mlkv_list_end end = draw(w, 2) ? MLKV_LIST_RIGHT : MLKV_LIST_LEFT;
    size_t n = draw(w, 12) == 0 ? draw(w, PUSH_MAX) : draw(w, 6);
    uint64_t length = 0;
    bool full = r->length > LENGTH_MAX;
    int want = answer(w, k, only_present ? MLKV_ABSENT : MLKV_OK);
    n = full ? 0 : n;
    for (size_t i = 0; i < n; i++) {
        uint8_t item = draw_item(w);
        values[i] = elements[item];
        if (want == MLKV_OK)
            put(r, end, item);
    }
    if (!w->applies)
        return;
    GIVES(want, (only_present ? mlkv_list_push_if_present
                              : mlkv_list_push)(view_of(w), keys[k], end, values, n, &length));
    HOLDS(want != MLKV_OK || length == (uint64_t)r->length);
}

static void do_pop(world *w, int k)
{
    mlkv_list_end end = draw(w, 2) ? MLKV_LIST_RIGHT : MLKV_LIST_LEFT;
    mlkv_buffer value = {0};
    int want = answer(w, k, MLKV_ABSENT);
    uint8_t item = want == MLKV_OK ? take(&w->now.rows[k], end) : 0;
    if (w->applies) {
        GIVES(want, mlkv_list_pop(view_of(w), keys[k], end, &value));
        HOLDS(want != MLKV_OK || is(&value, item));
    }
    mlkv_buffer_free(&value);
}

static void do_pop_many(world *w, int k, bool from_first)
{
    mlkv_list_end end = draw(w, 2) ? MLKV_LIST_RIGHT : MLKV_LIST_LEFT;
    uint64_t count = draw(w, 40) == 0 ? draw(w, LENGTH_MAX) : draw(w, 5);
    mlkv_slice some[2] = {keys[k], keys[draw(w, KEYS)]};
    size_t which = 9;
    mlkv_rows rows = {0};
    count += from_first && count == 0;
    int other = some[1].size == 4 ? KEYS - 1 : *(const char *)some[1].data - 'a';
    int chosen = from_first && answer(w, k, MLKV_ABSENT) == MLKV_ABSENT ? other : k;
    int want = answer(w, chosen, MLKV_ABSENT);
    row *r = &w->now.rows[chosen];
    static uint8_t taken[LENGTH_MAX + PUSH_MAX];
    size_t n = want != MLKV_OK ? 0 : (uint64_t)r->length < count ? (size_t)r->length : count;
    for (size_t i = 0; i < n; i++)
        taken[i] = take(r, end);
    if (w->applies) {
        GIVES(want, from_first ? mlkv_list_pop_first(view_of(w), some, 2, end, count, &which, &rows)
                               : mlkv_list_pop_many(view_of(w), keys[k], end, count, &rows));
        HOLDS(rows.count == n);
        HOLDS(!from_first || want != MLKV_OK || slice_equal(some[which], keys[chosen]));
        for (size_t i = 0; i < n; i++)
            HOLDS(slice_equal(rows.items[i], elements[taken[i]]));
    }
    mlkv_rows_free(&rows);
}

static int64_t draw_index(world *w, int length)
{
    return (int64_t)draw(w, 2 * (uint64_t)length + 6) - length - 3;
}

static void do_index(world *w, int k)
{
    row *r = &w->now.rows[k];
    int64_t index = draw_index(w, r->length), at = index < 0 ? index + r->length : index;
    bool sets = draw(w, 2) != 0, inside = at >= 0 && at < r->length;
    uint8_t item = draw_item(w);
    mlkv_buffer value = {0};
    int want = answer(w, k, MLKV_ABSENT);
    if (want == MLKV_OK && !inside)
        want = sets ? MLKV_E_RANGE : MLKV_ABSENT;
    if (want == MLKV_OK && sets)
        r->items[at] = item;
    if (w->applies && sets)
        GIVES(want, mlkv_list_set(view_of(w), keys[k], index, elements[item]));
    if (w->applies && !sets) {
        GIVES(want, mlkv_list_get(view_of(w), keys[k], index, &value));
        HOLDS(want != MLKV_OK || is(&value, r->items[at]));
    }
    mlkv_buffer_free(&value);
}

static void do_range(world *w, int k)
{
    row *r = &w->now.rows[k];
    int64_t start = draw_index(w, r->length), stop = draw_index(w, r->length);
    int first, n, want = answer(w, k, MLKV_OK);
    mlkv_rows rows = {0};
    (void)clip(r, start, stop, &first, &n);
    if (w->applies) {
        GIVES(want, mlkv_list_range(view_of(w), keys[k], start, stop, &rows));
        HOLDS(rows.count == (want == MLKV_OK ? (size_t)n : 0));
        for (size_t i = 0; i < rows.count; i++)
            HOLDS(slice_equal(rows.items[i], elements[r->items[(size_t)first + i]]));
    }
    mlkv_rows_free(&rows);
}

/* Mostly little goes. */
static void do_trim(world *w, int k)
{
    row *r = &w->now.rows[k];
    bool wild = draw(w, 40) == 0;
    int64_t start = wild ? draw_index(w, r->length) : (int64_t)draw(w, 4);
    int64_t stop = wild ? draw_index(w, r->length) : -1 - (int64_t)draw(w, 4);
    int first, n, want = answer(w, k, MLKV_OK);
    if (want == MLKV_OK) {
        if (clip(r, start, stop, &first, &n))
            memmove(r->items, r->items + first, (size_t)n);
        r->length = n;
    }
    if (w->applies)
        GIVES(want, mlkv_list_trim(view_of(w), keys[k], start, stop));
}

static void do_remove(world *w, int k)
{
    row *r = &w->now.rows[k];
    uint8_t item = draw_item(w);
    int64_t count = (int64_t)draw(w, 9) - 4;
    static int found[LENGTH_MAX + PUSH_MAX];
    int want = answer(w, k, MLKV_OK);
    uint64_t removed = 0;
    int n = search(r, item, count < 0 ? -1 : 1, (uint64_t)(count < 0 ? -count : count), 0, found);
    for (int i = 0; i < n; i++) /* from the right, so that indexes stay true */
        (void)remove_item(r, found[count < 0 ? i : n - 1 - i]);
    if (w->applies) {
        GIVES(want, mlkv_list_remove(view_of(w), keys[k], count, elements[item], &removed));
        HOLDS(want != MLKV_OK || removed == (uint64_t)n);
    }
}

static void do_insert(world *w, int k)
{
    row *r = &w->now.rows[k];
    uint8_t pivot = draw_item(w), item = draw_item(w);
    mlkv_list_side side = draw(w, 2) ? MLKV_LIST_AFTER : MLKV_LIST_BEFORE;
    static int found[LENGTH_MAX + PUSH_MAX];
    int want = answer(w, k, MLKV_ABSENT);
    int64_t length = 7, missing = want == MLKV_OK ? -1 : 0;
    int n = search(r, pivot, 1, 1, 0, found);
    if (want == MLKV_OK && n == 0)
        want = MLKV_ABSENT;
    if (want == MLKV_OK)
        insert_item(r, found[0] + (side == MLKV_LIST_AFTER), item);
    if (w->applies) {
        GIVES(want, mlkv_list_insert(view_of(w), keys[k], side, elements[pivot], elements[item],
                                     &length));
        HOLDS(length == (want == MLKV_OK ? r->length : want == MLKV_ABSENT ? missing : 7));
    }
}

static void do_find(world *w, int k)
{
    row *r = &w->now.rows[k];
    uint8_t item = draw_item(w);
    int64_t rank = draw(w, 2) ? 1 + (int64_t)draw(w, 5) : -1 - (int64_t)draw(w, 5);
    uint64_t count = draw(w, 5), most = draw(w, 3) ? 0 : 1 + draw(w, (uint64_t)r->length + 2);
    static int found[LENGTH_MAX + PUSH_MAX];
    int want = answer(w, k, MLKV_OK);
    uint64_t index = 0;
    mlkv_buffer got = {0};
    int n = search(r, item, rank, count, most, found);
    if (!w->applies)
        return;
    GIVES(want, mlkv_list_find_many(view_of(w), keys[k], elements[item], rank, count, most, &got));
    HOLDS(got.size == (size_t)n * sizeof index);
    for (int i = 0; i < n; i++)
        HOLDS(((uint64_t *)got.data)[i] == (uint64_t)found[i]);
    GIVES(want == MLKV_OK && n == 0 ? MLKV_ABSENT : want,
          mlkv_list_find(view_of(w), keys[k], elements[item], rank, most, &index));
    HOLDS(n == 0 || index == (uint64_t)found[0]);
    mlkv_buffer_free(&got);
}

static void do_move(world *w, int k)
{
    int to_key = draw(w, 3) == 0 ? k : (int)draw(w, KEYS);
    mlkv_list_end from = draw(w, 2) ? MLKV_LIST_RIGHT : MLKV_LIST_LEFT;
    mlkv_list_end to = draw(w, 2) ? MLKV_LIST_RIGHT : MLKV_LIST_LEFT;
    mlkv_buffer value = {0};
    int want = answer(w, k, MLKV_ABSENT);
    uint8_t item = 0;
    if (want == MLKV_OK && to_key == KEYS - 1)
        want = MLKV_E_TYPE;
    if (want == MLKV_OK) {
        item = take(&w->now.rows[k], from);
        put(&w->now.rows[to_key], to, item);
    }
    if (w->applies) {
        GIVES(want, mlkv_list_move(view_of(w), keys[k], keys[to_key], from, to, &value));
        HOLDS(want != MLKV_OK || is(&value, item));
    }
    mlkv_buffer_free(&value);
}

static void do_delete(world *w, int k)
{
    if (k == KEYS - 1 || draw(w, 100) != 0)
        return;
    w->now.rows[k].length = 0;
    if (w->applies)
        GIVES(MLKV_OK, mlkv_key_delete(view_of(w), &keys[k], 1, NULL));
}

static void do_one(world *w)
{
    int k = draw(w, 15) == 0 ? KEYS - 1 : (int)draw(w, KEYS - 1);
    if (k != KEYS - 1 && w->now.rows[k].length > LENGTH_MAX)
        do_pop_many(w, k, false);
    switch (draw(w, 16)) {
    case 0:
    case 1:
    case 2:
        do_push(w, k, false);
        break;
    case 3:
        do_push(w, k, true);
        break;
    case 4:
        do_pop(w, k);
        break;
    case 5:
        do_pop_many(w, k, draw(w, 2) != 0);
        break;
    case 6:
        do_index(w, k);
        break;
    case 7:
        do_range(w, k);
        break;
    case 8:
        do_trim(w, k);
        break;
    case 9:
    case 10:
        do_remove(w, k);
        break;
    case 11:
    case 12:
        do_insert(w, k);
        break;
    case 13:
        do_find(w, k);
        break;
    case 14:
        do_move(w, k);
        break;
    default:
        do_delete(w, k);
    }
}

/* --- sequences --- */

static mlkv *open_store(const char *folder)
{
    mlkv *db = NULL;
    mlkv_options options = {.size = sizeof options,
                            .ring_bytes = 64 << 10,
                            .cache_bytes = 256 << 10,
                            .batch_bytes = 1 << 20};
    OK(mlkv_open(folder, &options, &db));
    return db;
}

static void end_transaction(world *w)
{
    bool aborts = draw(w, 3) == 0;
    GIVES(MLKV_OK, (aborts ? mlkv_abort : mlkv_commit)(w->tx));
    w->tx = NULL;
    if (aborts)
        w->now = w->before;
}

/* What happens between operations, of one process alone. */
static void between(world *w)
{
    if (w->tx == NULL && draw(w, 30) == 0) {
        w->before = w->now;
        GIVES(MLKV_OK, mlkv_begin(w->db, &w->tx));
    } else if (w->tx != NULL && draw(w, 8) == 0) {
        end_transaction(w);
    }
    if (w->snapshot != NULL && w->step > w->snapshot_step + SNAPSHOT_LIFE) {
        compare_all(w->snapshot, &w->then);
        GIVES(MLKV_OK, mlkv_close(w->snapshot));
        w->snapshot = NULL;
    }
    if (w->tx != NULL)
        return;
    if (w->snapshot == NULL && draw(w, 100) == 0) {
        GIVES(MLKV_OK, mlkv_snapshot(w->db, &w->snapshot));
        w->snapshot_step = w->step;
        w->then = w->now;
    }
    if (draw(w, 300) == 0)
        GIVES(MLKV_OK, mlkv_verify(w->db, NULL, NULL, NULL));
    if (w->snapshot == NULL && draw(w, 700) == 0) {
        GIVES(MLKV_OK, mlkv_close(w->db));
        w->db = open_store(w->folder);
    }
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static world *make_world(void)
{
    world *w = calloc(1, sizeof *w);
    ck_assert_ptr_nonnull(w);
    w->seed = setting("MLKV_LIST_SEED", 20261121);
    w->random = w->seed * 2 + 1;
    w->folder = harness_folder();
    failing = w;
    make_elements();
    return w;
}

START_TEST(one_process)
{
    world *w = make_world();
    uint64_t operations = setting("MLKV_LIST_OPERATIONS", 8000);
    w->db = open_store(w->folder);
    w->applies = true;
    OK(mlkv_string_set(w->db, keys[KEYS - 1], TEXT("a string"), MLKV_SET_ALWAYS));
    for (w->step = 1; w->step <= operations; w->step++) {
        do_one(w);
        if (w->step % 50 == 0)
            compare_all(view_of(w), &w->now);
        between(w);
    }
    if (w->tx != NULL)
        end_transaction(w);
    OK(mlkv_close(w->snapshot));
    compare_all(w->db, &w->now);
    clean_all(w->db);
    verify_all(w->db);
    OK(mlkv_close(w->db));
    harness_remove(w->folder);
    free(w);
}
END_TEST

/* Runs the whole sequence; in this process's turns also on the store. A byte through a pipe hands the turn over. */
static void take_turns(world *w, uint64_t operations, bool first, int from, int to)
{
    enum { TURN = 16 };
    char token = 't';
    w->db = open_store(w->folder);
    for (w->step = 1; w->step <= operations; w->step++) {
        bool mine = (w->step / TURN % 2 == 0) == first;
        if (mine && !w->applies) {
            HOLDS(read(from, &token, 1) == 1);
            compare_all(w->db, &w->now);
        } else if (!mine && w->applies) {
            HOLDS(write(to, &token, 1) == 1);
        }
        w->applies = mine;
        do_one(w);
    }
    if (w->applies)
        HOLDS(write(to, &token, 1) == 1);
    else
        HOLDS(read(from, &token, 1) == 1);
    compare_all(w->db, &w->now);
    GIVES(MLKV_OK, mlkv_close(w->db));
}

START_TEST(two_processes)
{
    world *w = make_world();
    uint64_t operations = setting("MLKV_LIST_OPERATIONS", 3000);
    int there[2], back[2], status;
    mlkv *db = open_store(w->folder);
    OK(mlkv_string_set(db, keys[KEYS - 1], TEXT("a string"), MLKV_SET_ALWAYS));
    OK(mlkv_close(db));
    ck_assert_int_eq(pipe(there), 0);
    ck_assert_int_eq(pipe(back), 0);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)close(there[1]);
        (void)close(back[0]);
        take_turns(w, operations, false, there[0], back[1]);
        _exit(0);
    }
    (void)close(there[0]);
    (void)close(back[1]);
    w->applies = true; /* nobody hands the first turn over */
    take_turns(w, operations, true, back[0], there[1]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    db = open_store(w->folder);
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(w->folder);
    free(w);
}
END_TEST

/* --- a queue --- */

enum { JOBS = 1500, WORKERS = 2 };

/* Takes a job into its own list, does it (adds its number to the set of what is done), and takes it off its list: so a job of a worker
 * that dies stands in that list. Ends when the queue holds an empty job. */
static void work(const char *folder, int number)
{
    mlkv *db = open_store(folder);
    char name[32];
    mlkv_buffer job = {0};
    size_t added = 0;
    mlkv_slice own = slice_of(name, (size_t)snprintf(name, sizeof name, "worker:%d", number));
    for (;;) {
        int result = mlkv_list_move(db, TEXT("queue"), own, MLKV_LIST_LEFT, MLKV_LIST_RIGHT, &job);
        if (result == MLKV_ABSENT) {
            (void)usleep(200);
            continue;
        }
        MUST(MLKV_OK, result);
        if (job.size == 0)
            break;
        mlkv_slice done = slice_of_buffer(&job);
        OK(mlkv_set_add(db, TEXT("done"), &done, 1, &added));
        if (added != 1)
            ck_abort_msg("a job was done twice");
        OK(mlkv_list_remove(db, own, 1, done, NULL));
    }
    OK(mlkv_list_move(db, own, TEXT("queue"), MLKV_LIST_LEFT, MLKV_LIST_RIGHT,
                      NULL)); /* for the next */
    mlkv_buffer_free(&job);
    OK(mlkv_close(db));
}

START_TEST(queue)
{
    const char *folder = harness_folder();
    pid_t workers[WORKERS];
    OK(mlkv_close(open_store(folder)));
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = harness_fork();
        ck_assert_int_ge(workers[i], 0);
        if (workers[i] == 0) {
            work(folder, i);
            _exit(0);
        }
    }
    mlkv *db = open_store(folder);
    uint64_t count;
    for (int i = 0; i < JOBS; i++) {
        char text[32];
        mlkv_slice job = slice_of(text, (size_t)snprintf(text, sizeof text, "job %d", i));
        OK(mlkv_list_push(db, TEXT("queue"), MLKV_LIST_RIGHT, &job, 1, NULL));
    }
    mlkv_slice end = {NULL, 0};
    OK(mlkv_list_push(db, TEXT("queue"), MLKV_LIST_RIGHT, &end, 1, NULL));
    for (int i = 0; i < WORKERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        ck_assert_int_eq(status, 0);
    }
    OK(mlkv_set_count(db, TEXT("done"), &count));
    ck_assert_uint_eq(count, JOBS);
    OK(mlkv_list_length(db, TEXT("queue"), &count));
    ck_assert_uint_eq(count, 1);
    ck_assert_uint_eq(key_count(db), 2); /* no worker has anything left */
    verify_all(db);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("list_model");
    TCase *tcase = harness_case(suite, "list_model");
    tcase_add_test(tcase, one_process);
    tcase_add_test(tcase, two_processes);
    tcase_add_test(tcase, queue);
    return harness_run(suite);
}
