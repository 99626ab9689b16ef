/* test_model.c - random operations of the public interface beside a plain oracle that lives in
 * arrays.
 *
 * A small universe of keys and names (some empty, some longer than a record key) makes operations
 * meet. The oracle keeps values as what makes their bytes (a seed and a size), tensors as numbers.
 * Every call's result is known beforehand, refusals included (another type, no number, out of
 * range, wrong shape). Operations run on the live view, inside transactions (kept, given up, and
 * larger than the ring), and are compared on snapshots with the oracle as it was at their begin,
 * after flushes and after closing and opening again with other rings, caches, durabilities and
 * compressions. MLKV_MODEL_SEED repeats a run, MLKV_MODEL_OPERATIONS sets its length. Both are said
 * at the start, the seed again in every failure.
 */
#include "model.h"

#include <time.h>

/* --- strings --- */

static void do_string_set(mlkv *view, model *m)
{
    int i = draw_key(MLKV_TYPE_STRING);
    model_key *key = &m->keys[i];
    mlkv_set_condition condition = (mlkv_set_condition)(draw(4) == 0 ? 1 + draw(2) : 0);
    model_value value = draw_value();
    bool exists = key->type != MLKV_TYPE_NONE;
    bool refused = (condition == MLKV_SET_IF_ABSENT && exists) ||
                   (condition == MLKV_SET_IF_PRESENT && !exists);
    GIVES(refused ? MLKV_ABSENT : MLKV_OK,
          mlkv_string_set(view, keys[i], spell(&value, given[0]), condition));
    if (refused)
        return;
    forget(key);
    key->type = MLKV_TYPE_STRING;
    key->value = value;
}

static void do_string_set_many(mlkv *view, model *m)
{
    mlkv_pair pairs[4];
    size_t n = draw(4) + 1;
    for (size_t p = 0; p < n; p++) {
        int i = draw_key(MLKV_TYPE_STRING);
        model_value value = draw_value();
        pairs[p] = (mlkv_pair){keys[i], spell(&value, given[p])};
        forget(&m->keys[i]);
        m->keys[i].type = MLKV_TYPE_STRING;
        m->keys[i].value = value;
    }
    GIVES(MLKV_OK, mlkv_string_set_many(view, pairs, n));
}

static void check_string(world *w, mlkv *view, const model *m, int i)
{
    const model_key *key = &m->keys[i];
    uint64_t length;
    int want = answer(key, MLKV_TYPE_STRING, MLKV_ABSENT);
    GIVES(want, mlkv_string_get(view, keys[i], &w->buffer));
    HOLDS(want != MLKV_OK || is(&key->value, w->buffer.data, w->buffer.size));
    GIVES(want == MLKV_ABSENT ? MLKV_OK : want, mlkv_string_length(view, keys[i], &length));
    HOLDS(want == MLKV_E_TYPE ||
          length == (want == MLKV_OK ? spell(&key->value, expected).size : 0));
}

static void check_strings(world *w, mlkv *view, const model *m)
{
    mlkv_slice asked[6];
    int which[6];
    size_t n = draw(6) + 1;
    for (size_t p = 0; p < n; p++)
        asked[p] = keys[which[p] = draw_key(MLKV_TYPE_STRING)];
    GIVES(MLKV_OK, mlkv_string_get_many(view, asked, n, &w->rows));
    HOLDS(w->rows.count == n);
    for (size_t p = 0; p < n; p++) {
        const model_key *key = &m->keys[which[p]];
        const mlkv_slice *item = &w->rows.items[p];
        HOLDS((item->data != NULL) == (key->type == MLKV_TYPE_STRING));
        HOLDS(item->data == NULL || is(&key->value, item->data, item->size));
    }
}

/* The answer of adding to a value, and the sum. */
static int add_to(const model_value *value, bool exists, int64_t delta, int64_t *sum)
{
    if (exists && value->kind != NUMBER)
        return MLKV_E_NUMBER;
    return __builtin_add_overflow(exists ? value->number : 0, delta, sum) ? MLKV_E_RANGE : MLKV_OK;
}

static void do_string_add(mlkv *view, model *m)
{
    int i = draw_key(MLKV_TYPE_STRING);
    model_key *key = &m->keys[i];
    int64_t delta = draw(9) == 0 ? INT64_MAX : (int64_t)draw(100) - 50, sum = 0, got = 7;
    int want = answer(key, MLKV_TYPE_STRING, MLKV_OK);
    if (want == MLKV_OK)
        want = add_to(&key->value, key->type != MLKV_TYPE_NONE, delta, &sum);
    GIVES(want, mlkv_string_add(view, keys[i], delta, &got));
    HOLDS(got == (want == MLKV_OK ? sum : 7));
    if (want != MLKV_OK)
        return;
    key->type = MLKV_TYPE_STRING;
    key->value = (model_value){.kind = NUMBER, .number = sum};
}

/* --- hashes --- */

static size_t count_fields(const model_key *key)
{
    size_t count = 0;
    for (int f = 0; f < NAMES; f++)
        count += key->fields[f].kind != NOTHING;
    return count;
}

static void do_hash_set(mlkv *view, model *m)
{
    int i = draw_key(MLKV_TYPE_HASH);
    model_key *key = &m->keys[i], before = *key;
    mlkv_pair pairs[4];
    size_t n = draw(4) + 1, added = 77, want_added = 0;
    for (size_t p = 0; p < n; p++) {
        size_t f = draw(NAMES);
        model_value value = draw_value();
        pairs[p] = (mlkv_pair){names[f], spell(&value, given[p])};
        want_added += key->fields[f].kind == NOTHING;
        key->fields[f] = value;
    }
    int want = answer(&before, MLKV_TYPE_HASH, MLKV_OK);
    if (want != MLKV_OK)
        *key = before;
    else
        key->type = MLKV_TYPE_HASH;
    GIVES(want, mlkv_hash_set(view, keys[i], pairs, n, draw(5) == 0 ? NULL : &added));
    HOLDS(added == 77 || (want == MLKV_OK && added == want_added));
}

static void do_hash_set_if_absent(mlkv *view, model *m)
{
    int i = draw_key(MLKV_TYPE_HASH);
    size_t f = draw(NAMES);
    model_key *key = &m->keys[i];
    model_value value = draw_value();
    int want = answer(key, MLKV_TYPE_HASH, MLKV_OK);
    if (want == MLKV_OK && key->fields[f].kind != NOTHING)
        want = MLKV_ABSENT;
    GIVES(want, mlkv_hash_set_if_absent(view, keys[i], names[f], spell(&value, given[0])));
    if (want != MLKV_OK)
        return;
    key->type = MLKV_TYPE_HASH;
    key->fields[f] = value;
}

static void do_hash_add(mlkv *view, model *m)
{
    int i = draw_key(MLKV_TYPE_HASH);
    size_t f = draw(NAMES);
    model_key *key = &m->keys[i];
    int64_t delta = draw(9) == 0 ? INT64_MIN : (int64_t)draw(100) - 50, sum = 0, got = 7;
    int want = answer(key, MLKV_TYPE_HASH, MLKV_OK);
    if (want == MLKV_OK)
        want = add_to(&key->fields[f], key->fields[f].kind != NOTHING, delta, &sum);
    GIVES(want, mlkv_hash_add(view, keys[i], names[f], delta, &got));
    HOLDS(got == (want == MLKV_OK ? sum : 7));
    if (want != MLKV_OK)
        return;
    key->type = MLKV_TYPE_HASH;
    key->fields[f] = (model_value){.kind = NUMBER, .number = sum};
}

static void do_hash_delete(mlkv *view, model *m)
{
    int i = draw_key(MLKV_TYPE_HASH);
    model_key *key = &m->keys[i], before = *key;
    mlkv_slice gone[4];
    size_t n = draw(4) + 1, deleted = 77, want_deleted = 0;
    for (size_t p = 0; p < n; p++) {
        size_t f = draw(NAMES);
        gone[p] = names[f];
        want_deleted += key->fields[f].kind != NOTHING;
        key->fields[f].kind = NOTHING;
    }
    int want = answer(&before, MLKV_TYPE_HASH, MLKV_OK);
    if (want != MLKV_OK)
        *key = before;
    else if (count_fields(key) == 0)
        forget(key);
    GIVES(want, mlkv_hash_delete(view, keys[i], gone, n, &deleted));
    HOLDS(deleted == (want == MLKV_OK ? want_deleted : 77));
}

static int field_named(mlkv_slice name)
{
    for (int f = 0; f < NAMES; f++) {
        if (slice_equal(names[f], name))
            return f;
    }
    FAILS("a name of %zu bytes that nobody ever gave", name.size);
}

/* Rows of `parts` items an element: names (unless only values are asked for), values. Each element
 * once, short names in order. */
static void check_hash_rows(const model_key *key, const mlkv_rows *rows)
{
    bool seen[NAMES] = {false};
    mlkv_slice before = {0};
    HOLDS(rows->count == 2 * count_fields(key));
    for (size_t p = 0; p < rows->count; p += 2) {
        int f = field_named(rows->items[p]);
        HOLDS(!seen[f] && key->fields[f].kind != NOTHING);
        HOLDS(is(&key->fields[f], rows->items[p + 1].data, rows->items[p + 1].size));
        seen[f] = true;
        if (f >= 4) {
            HOLDS(before.data == NULL || slice_compare(before, rows->items[p]) < 0);
            before = rows->items[p];
        }
    }
}

static void check_hash(world *w, mlkv *view, const model *m, int i)
{
    const model_key *key = &m->keys[i];
    uint64_t length = 77;
    int want = answer(key, MLKV_TYPE_HASH, MLKV_OK);
    GIVES(want, mlkv_hash_length(view, keys[i], &length));
    HOLDS(length == (want == MLKV_OK ? count_fields(key) : 77));
    GIVES(want, mlkv_hash_get_many(view, keys[i], names, NAMES, &w->rows));
    for (int f = 0; f < NAMES && want == MLKV_OK; f++) {
        const mlkv_slice *item = &w->rows.items[f];
        HOLDS((item->data != NULL) == (key->fields[f].kind != NOTHING));
        HOLDS(item->data == NULL || is(&key->fields[f], item->data, item->size));
    }
    GIVES(want, mlkv_hash_get_all(view, keys[i], &w->rows));
    if (want == MLKV_OK)
        check_hash_rows(key, &w->rows);
    GIVES(want, mlkv_hash_keys(view, keys[i], &w->rows));
    HOLDS(want != MLKV_OK || w->rows.count == count_fields(key));
    GIVES(want, mlkv_hash_values(view, keys[i], &w->rows));
    HOLDS(want != MLKV_OK || w->rows.count == count_fields(key));
    size_t f = draw(NAMES);
    want = answer(key, MLKV_TYPE_HASH, MLKV_ABSENT);
    if (want == MLKV_OK && key->fields[f].kind == NOTHING)
        want = MLKV_ABSENT;
    GIVES(want, mlkv_hash_exists(view, keys[i], names[f]));
    GIVES(want, mlkv_hash_get(view, keys[i], names[f], &w->buffer));
    HOLDS(want != MLKV_OK || is(&key->fields[f], w->buffer.data, w->buffer.size));
}

/* --- sets --- */

static size_t count_members(const model_key *key)
{
    size_t count = 0;
    for (int f = 0; f < NAMES; f++)
        count += key->members[f];
    return count;
}

static void do_set_change(mlkv *view, model *m, bool adds)
{
    int i = draw_key(MLKV_TYPE_SET);
    model_key *key = &m->keys[i], before = *key;
    mlkv_slice members[5];
    size_t n = draw(5) + 1, count = 77, want_count = 0;
    for (size_t p = 0; p < n; p++) {
        size_t f = draw(NAMES);
        members[p] = names[f];
        want_count += key->members[f] != adds;
        key->members[f] = adds;
    }
    int want = answer(&before, MLKV_TYPE_SET, MLKV_OK);
    if (want != MLKV_OK)
        *key = before;
    else if (count_members(key) == 0)
        forget(key);
    else
        key->type = MLKV_TYPE_SET;
    GIVES(want, adds ? mlkv_set_add(view, keys[i], members, n, &count)
                     : mlkv_set_remove(view, keys[i], members, n, &count));
    HOLDS(count == (want == MLKV_OK ? want_count : 77));
}

static void check_members(const model_key *key, const mlkv_rows *rows, bool distinct)
{
    bool seen[NAMES] = {false};
    for (size_t p = 0; p < rows->count; p++) {
        int f = field_named(rows->items[p]);
        HOLDS(key->members[f] && !(distinct && seen[f]));
        seen[f] = true;
    }
}

static void check_set(world *w, mlkv *view, const model *m, int i)
{
    const model_key *key = &m->keys[i];
    uint64_t count = 77;
    uint8_t present[NAMES];
    size_t members = count_members(key), n = draw(2 * NAMES);
    int want = answer(key, MLKV_TYPE_SET, MLKV_OK);
    GIVES(want, mlkv_set_count(view, keys[i], &count));
    HOLDS(count == (want == MLKV_OK ? members : 77));
    GIVES(want, mlkv_set_contains(view, keys[i], names, NAMES, present));
    for (int f = 0; f < NAMES && want == MLKV_OK; f++)
        HOLDS(present[f] == key->members[f]);
    GIVES(want, mlkv_set_members(view, keys[i], &w->rows));
    HOLDS(want != MLKV_OK || w->rows.count == members);
    if (want == MLKV_OK)
        check_members(key, &w->rows, true);
    int distinct = (int)draw(2);
    GIVES(want, mlkv_set_random(view, keys[i], n, distinct, &w->rows));
    if (want != MLKV_OK)
        return;
    HOLDS(w->rows.count == (members == 0 ? 0 : distinct && members < n ? members : n));
    check_members(key, &w->rows, distinct != 0);
}

/* --- tensors --- */

static int32_t draw_number(void)
{
    return draw(50) == 0 ? INT32_MAX - (int32_t)draw(3) : (int32_t)draw(2001) - 1000;
}

static mlkv_tensor shape_of(uint64_t rows, uint64_t columns)
{
    return (mlkv_tensor){MLKV_I32, 2, {rows, columns}};
}

static int32_t saturate(int64_t sum)
{
    return sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : (int32_t)sum;
}

static void do_tensor_put(mlkv *view, model *m)
{
    static const size_t chunk_sizes[] = {0, 1000, 5000};
    int i = draw_key(MLKV_TYPE_TENSOR);
    model_key *key = &m->keys[i];
    int want = answer(key, MLKV_TYPE_TENSOR, MLKV_OK);
    bool same = key->type == MLKV_TYPE_TENSOR && draw(2) == 0;
    uint64_t rows = same ? key->rows : draw(ROWS_MAX + 1),
             columns = same ? key->columns : draw(COLUMNS_MAX + 1);
    int32_t numbers[ROWS_MAX * COLUMNS_MAX];
    for (uint64_t n = 0; n < rows * columns; n++)
        numbers[n] = same && draw(10) != 0 ? key->numbers[n] : draw_number();
    mlkv_tensor shape = shape_of(rows, columns);
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = chunk_sizes[draw(3)]};
    mlkv_tensor_info before = {.size = sizeof before}, after = {.size = sizeof after};
    int described = mlkv_tensor_get_info(view, keys[i], &before);
    GIVES(want, mlkv_tensor_put(view, keys[i], &shape, numbers, draw(3) == 0 ? NULL : &options));
    if (want != MLKV_OK)
        return;
    GIVES(MLKV_OK, mlkv_tensor_get_info(view, keys[i], &after));
    bool goes_on = described == MLKV_OK && key->rows == rows && key->columns == columns &&
                   before.chunk_rows == after.chunk_rows;
    uint64_t version = goes_on ? key->version + 1 : 1;
    forget(key);
    key->type = MLKV_TYPE_TENSOR;
    key->rows = rows;
    key->columns = columns;
    key->version = version;
    memcpy(key->numbers, numbers, rows * columns * sizeof *numbers);
}

/* To the nearest, halves away from zero. */
static int64_t rounded(double x)
{
    int64_t whole = (int64_t)x;
    double rest = x - (double)whole;
    return whole + (rest >= 0.5) - (rest <= -0.5);
}

/* Rows that are written over or added to; or the whole tensor. */
static void do_tensor_change(mlkv *view, model *m)
{
    static const double alphas[] = {1, -3, 0.5, 0, 1e9};
    int i = draw_key(MLKV_TYPE_TENSOR);
    model_key *key = &m->keys[i];
    uint64_t rows = key->rows, first = draw(rows + 1), count = draw(rows - first + 1),
             excess = draw(10) == 0;
    int32_t numbers[(ROWS_MAX + 1) * COLUMNS_MAX];
    int how = (int)draw(3);
    double alpha = alphas[draw(5)];
    if (how == 2) {
        first = 0;
        count = rows;
    }
    count += excess;
    uint64_t n = count * key->columns;
    for (uint64_t e = 0; e < n; e++)
        numbers[e] = draw_number();
    int want = answer(key, MLKV_TYPE_TENSOR, MLKV_ABSENT);
    if (want == MLKV_OK && first + count > rows)
        want = MLKV_E_SHAPE;
    mlkv_tensor shape = shape_of(count, key->columns);
    if (how == 0)
        GIVES(want,
              mlkv_tensor_write_rows(view, keys[i], first, count, numbers, n * sizeof *numbers));
    else if (how == 1)
        GIVES(want, mlkv_tensor_add_rows(view, keys[i], alpha, first, count, numbers,
                                         n * sizeof *numbers));
    else
        GIVES(want, mlkv_tensor_add(view, keys[i], alpha, &shape, numbers));
    if (want != MLKV_OK)
        return;
    key->version++;
    int32_t *to = key->numbers + first * key->columns;
    for (uint64_t e = 0; e < n; e++) {
        to[e] = how == 0 ? numbers[e] : saturate(to[e] + rounded(alpha * numbers[e]));
    }
}

static void check_tensor(mlkv *view, const model *m, int i)
{
    const model_key *key = &m->keys[i];
    int32_t numbers[ROWS_MAX * COLUMNS_MAX];
    mlkv_tensor_info info = {.size = sizeof info};
    int want = answer(key, MLKV_TYPE_TENSOR, MLKV_ABSENT);
    size_t size = key->rows * key->columns * sizeof *numbers;
    GIVES(want, mlkv_tensor_get_info(view, keys[i], &info));
    GIVES(want, mlkv_tensor_get(view, keys[i], numbers, size));
    if (want != MLKV_OK)
        return;
    HOLDS(info.rows == key->rows && info.raw_bytes == size && info.version == key->version);
    HOLDS(info.tensor.dtype == MLKV_I32 && info.tensor.dimensions == 2 &&
          info.tensor.shape[1] == key->columns);
    HOLDS(memcmp(numbers, key->numbers, size) == 0);
    GIVES(MLKV_E_SHAPE, mlkv_tensor_get(view, keys[i], numbers, size + 4));
    uint64_t first = draw(key->rows + 1), count = draw(key->rows - first + 1);
    size = count * key->columns * sizeof *numbers;
    GIVES(MLKV_OK, mlkv_tensor_read_rows(view, keys[i], first, count, numbers, size));
    HOLDS(memcmp(numbers, key->numbers + first * key->columns, size) == 0);
}

/* --- keys and cursors --- */

static void do_key_delete(mlkv *view, model *m)
{
    mlkv_slice gone[3];
    size_t n = draw(3) + 1, deleted = 77, want = 0;
    for (size_t p = 0; p < n; p++) {
        int i = draw_key(MLKV_TYPE_NONE);
        gone[p] = keys[i];
        want += m->keys[i].type != MLKV_TYPE_NONE;
        forget(&m->keys[i]);
    }
    GIVES(MLKV_OK, mlkv_key_delete(view, gone, n, &deleted));
    HOLDS(deleted == want);
}

static uint64_t count_keys(const model *m)
{
    uint64_t count = 0;
    for (int i = 0; i < KEYS; i++)
        count += m->keys[i].type != MLKV_TYPE_NONE;
    return count;
}

static void check_keys(mlkv *view, const model *m)
{
    size_t exist = 0, want = 0;
    uint64_t count = 0;
    mlkv_slice asked[KEYS];
    for (int p = 0; p < KEYS; p++) {
        size_t i = draw(KEYS);
        mlkv_type type;
        asked[p] = keys[i];
        want += m->keys[i].type != MLKV_TYPE_NONE;
        GIVES(MLKV_OK, mlkv_key_type(view, keys[i], &type));
        HOLDS(type == m->keys[i].type);
    }
    GIVES(MLKV_OK, mlkv_key_exists(view, asked, KEYS, &exist));
    HOLDS(exist == want);
    GIVES(MLKV_OK, mlkv_key_count(view, &count));
    HOLDS(count == count_keys(m));
}

/* Whether the cursor must give element e of the scan, and looks at its value if asked. */
static bool scanned(const model *m, const mlkv_query *query, int i, int e, const mlkv_slice *value)
{
    if (query->kind == MLKV_SCAN_KEYS) {
        mlkv_type type = m->keys[e].type;
        HOLDS(value == NULL || slice_equal(*value, slice_of_text(mlkv_type_name(type))));
        return type != MLKV_TYPE_NONE && slice_starts_with(keys[e], query->prefix);
    }
    if (!slice_starts_with(names[e], query->prefix))
        return false;
    if (query->kind == MLKV_SCAN_SET) {
        HOLDS(value == NULL || value->size == 0);
        return m->keys[i].members[e];
    }
    HOLDS(value == NULL || is(&m->keys[i].fields[e], value->data, value->size));
    return m->keys[i].fields[e].kind != NOTHING;
}

static int element_named(const mlkv_query *query, mlkv_slice name)
{
    if (query->kind != MLKV_SCAN_KEYS)
        return field_named(name);
    for (int e = 0; e < KEYS; e++) {
        if (slice_equal(keys[e], name))
            return e;
    }
    FAILS("a key of %zu bytes that nobody ever gave", name.size);
}

/* Walks in pieces: now and then another cursor goes on at the token. */
static void walk(world *w, mlkv *view, const model *m, mlkv_query *query, int i)
{
    bool seen[SCAN_MAX] = {false};
    int elements = query->kind == MLKV_SCAN_KEYS ? KEYS : NAMES, result;
    mlkv_cursor *cursor = NULL;
    mlkv_slice name, value;
    GIVES(MLKV_OK, mlkv_cursor_open(view, query, &cursor));
    while ((result = mlkv_cursor_next(cursor, &name, &value)) == MLKV_OK) {
        int e = element_named(query, name);
        HOLDS(!seen[e]);
        seen[e] = true;
        HOLDS(scanned(m, query, i, e, &value));
        if (draw(4) == 0) {
            GIVES(MLKV_OK, mlkv_cursor_token(cursor, &w->buffer));
            mlkv_cursor_close(cursor);
            query->token = slice_of_buffer(&w->buffer);
            GIVES(MLKV_OK, mlkv_cursor_open(view, query, &cursor));
        }
    }
    GIVES(MLKV_ABSENT, result);
    GIVES(MLKV_ABSENT, mlkv_cursor_next(cursor, &name, &value));
    mlkv_cursor_close(cursor);
    for (int e = 0; e < elements; e++)
        HOLDS(seen[e] == scanned(m, query, i, e, NULL));
}

static void check_cursor(world *w, mlkv *view, const model *m)
{
    mlkv_query query = {.size = sizeof query, .kind = (int32_t)draw(3)};
    mlkv_type type = query.kind == MLKV_SCAN_HASH  ? MLKV_TYPE_HASH
                     : query.kind == MLKV_SCAN_SET ? MLKV_TYPE_SET
                                                   : MLKV_TYPE_NONE;
    int i = draw_key(type);
    if (query.kind != MLKV_SCAN_KEYS)
        query.key = keys[i];
    if (draw(2) == 0) {
        mlkv_slice whole = query.kind == MLKV_SCAN_KEYS ? keys[draw(KEYS)] : names[draw(NAMES)];
        query.prefix = slice_of(whole.data, draw(whole.size + 1));
    }
    if (query.kind != MLKV_SCAN_KEYS && m->keys[i].type != MLKV_TYPE_NONE &&
        m->keys[i].type != type) {
        mlkv_cursor *cursor = NULL;
        GIVES(MLKV_E_TYPE, mlkv_cursor_open(view, &query, &cursor));
        return;
    }
    walk(w, view, m, &query, i);
}

/* --- running --- */

static void check_one(world *w, mlkv *view, const model *m)
{
    switch (draw(7)) {
    case 0:
        check_string(w, view, m, draw_key(MLKV_TYPE_STRING));
        break;
    case 1:
        check_strings(w, view, m);
        break;
    case 2:
        check_hash(w, view, m, draw_key(MLKV_TYPE_HASH));
        break;
    case 3:
        check_set(w, view, m, draw_key(MLKV_TYPE_SET));
        break;
    case 4:
        check_tensor(view, m, draw_key(MLKV_TYPE_TENSOR));
        break;
    case 5:
        check_keys(view, m);
        break;
    default:
        check_cursor(w, view, m);
    }
}

static void check_all(world *w, mlkv *view, const model *m)
{
    for (int i = 0; i < KEYS; i++) {
        check_string(w, view, m, i);
        check_hash(w, view, m, i);
        check_set(w, view, m, i);
        check_tensor(view, m, i);
    }
    check_keys(view, m);
    mlkv_query query = {.size = sizeof query, .kind = MLKV_SCAN_KEYS};
    walk(w, view, m, &query, 0);
}

static void change_one(mlkv *view, model *m)
{
    switch (draw(12)) {
    case 0:
    case 1:
        do_string_set(view, m);
        break;
    case 2:
        do_string_set_many(view, m);
        break;
    case 3:
        do_string_add(view, m);
        break;
    case 4:
        do_hash_set(view, m);
        break;
    case 5:
        draw(2) == 0 ? do_hash_add(view, m) : do_hash_set_if_absent(view, m);
        break;
    case 6:
        do_hash_delete(view, m);
        break;
    case 7:
    case 8:
        do_set_change(view, m, draw(3) != 0);
        break;
    case 9:
        do_tensor_put(view, m);
        break;
    case 10:
        do_tensor_change(view, m);
        break;
    default:
        if (draw(3) == 0)
            do_key_delete(view, m);
    }
}

static void operate(world *w, mlkv *view, model *m)
{
    step_number++;
    if (draw(3) == 0)
        check_one(w, view, m);
    else
        change_one(view, m);
}

static model *copy_of(const model *m)
{
    model *copy = malloc(sizeof *copy);
    ck_assert_ptr_nonnull(copy);
    *copy = *m;
    return copy;
}

static void run_transaction(world *w)
{
    mlkv *transaction = NULL;
    model *inside = copy_of(w->now);
    uint64_t operations = draw(10) == 0 ? 60 : draw(6);
    GIVES(MLKV_OK, mlkv_begin(w->db, &transaction));
    for (uint64_t i = 0; i < operations; i++)
        operate(w, transaction, inside);
    check_one(w, transaction, inside);
    check_one(w, w->db, w->now);
    if (draw(3) == 0) {
        GIVES(MLKV_OK, mlkv_abort(transaction));
        free(inside);
        return;
    }
    GIVES(MLKV_OK, mlkv_commit(transaction));
    free(w->now);
    w->now = inside;
}

static void end_snapshot(world *w, size_t i)
{
    if (w->snapshots[i].view == NULL)
        return;
    check_all(w, w->snapshots[i].view, w->snapshots[i].then);
    int64_t number;
    GIVES(MLKV_E_READONLY, mlkv_string_add(w->snapshots[i].view, keys[5], 1, &number));
    GIVES(MLKV_OK, mlkv_close(w->snapshots[i].view));
    free(w->snapshots[i].then);
    w->snapshots[i].view = NULL;
}

static void renew_snapshot(world *w)
{
    size_t i = draw(SNAPSHOTS);
    end_snapshot(w, i);
    GIVES(MLKV_OK, mlkv_snapshot(w->db, &w->snapshots[i].view));
    w->snapshots[i].then = copy_of(w->now);
}

static int complain(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "verify: %s\n", problem);
    return 0;
}

static void verify(world *w)
{
    mlkv_report report = {.size = sizeof report};
    GIVES(MLKV_OK, mlkv_verify(w->db, complain, NULL, &report));
    HOLDS(report.problems == 0 && report.keys == count_keys(w->now));
}

static void open_again(world *w)
{
    mlkv_options options = {.size = sizeof options, .sync_interval_ms = 20, .batch_bytes = 1 << 20};
    bool tiny = draw(3) != 0;
    options.ring_bytes = tiny ? 64 << 10 : 4 << 20;
    options.cache_bytes = tiny ? 64 << 10 : 8 << 20;
    options.durability = draw(6) == 0 ? (int)draw(4) : MLKV_JOURNAL;
    options.compress_threshold_bytes = draw(3) == 0 ? SIZE_MAX : draw(2) == 0 ? 64 : 0;
    options.compress_level = draw(4) == 0 ? -3 : 0;
    if (w->db != NULL)
        GIVES(MLKV_OK, mlkv_close(w->db));
    GIVES(MLKV_OK, mlkv_open(w->folder, &options, &w->db));
    check_all(w, w->db, w->now);
}

static void do_something(world *w)
{
    switch (draw(60)) {
    case 0:
        renew_snapshot(w);
        break;
    case 1:
        GIVES(MLKV_OK, mlkv_flush(w->db, (mlkv_durability)draw(4)));
        break;
    case 2:
    case 3:
    case 4:
        run_transaction(w);
        break;
    case 5:
        if (draw(6) == 0) {
            for (size_t i = 0; i < SNAPSHOTS && draw(4) != 0; i++)
                end_snapshot(w, i);
            open_again(w);
        }
        break;
    case 6:
        if (draw(4) == 0)
            verify(w);
        break;
    default:
        operate(w, w->db, w->now);
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(behaves_as_the_model)
{
    seed = from_environment("MLKV_MODEL_SEED", SEED);
    uint64_t operations = from_environment("MLKV_MODEL_OPERATIONS", OPERATIONS);
    fprintf(stderr, "MLKV_MODEL_SEED=%" PRIu64 " MLKV_MODEL_OPERATIONS=%" PRIu64 "\n", seed,
            operations);
    state = seed * 0x9e3779b97f4a7c15u + 1;
    make_universe();
    world w = {.folder = harness_folder(), .now = calloc(1, sizeof *w.now)};
    ck_assert_ptr_nonnull(w.now);
    open_again(&w);
    while (step_number < operations)
        do_something(&w);
    for (size_t i = 0; i < SNAPSHOTS; i++)
        end_snapshot(&w, i);
    verify(&w);
    open_again(&w);
    verify(&w);
    GIVES(MLKV_OK, mlkv_close(w.db));
    mlkv_buffer_free(&w.buffer);
    mlkv_rows_free(&w.rows);
    free(w.now);
    harness_remove(w.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *tcase = harness_case(suite, "model");
    tcase_set_timeout(tcase, 3000);
    tcase_add_test(tcase, behaves_as_the_model);
    return harness_run(suite);
}
