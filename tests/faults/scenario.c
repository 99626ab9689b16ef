/* scenario.c - see scenario.h: running the steps, and holding what is found against what the calls said.
 *
 * No locks, no state of its own.
 */
#include "scenario.h"

#include "harness.h"
#include "scenario_steps.h"

#include <string.h>

/* --- running it --- */

/* Takes note of a result: an error must be one that is allowed, with words. */
static int note(scenario *self, const char *what, int result)
{
    if (result >= 0)
        return result;
    const char *detail = mlkv_error_detail();
    REQUIRE((self->allowed & ALLOW(result)) != 0, "%s: %s (%s) may not come here", what,
            mlkv_error_name(result), detail);
    /* a transaction's error was looked at before its abort cleared it */
    REQUIRE(detail[0] != '\0' || strstr(what, "transaction") != NULL, "%s: no detail", what);
    self->failed++;
    self->last_error = result;
    snprintf(self->last_detail, sizeof self->last_detail, "%s: %s", what, detail);
    return result;
}

static void expect(const scenario *self, const char *name, int result, int state)
{
    if (state < 0 || result == SCENARIO_NOT_RUN)
        return;
    if (result == MLKV_OK)
        REQUIRE(state == LOOK_DONE, "%s was acknowledged and is not there", name);
    else if (result != MLKV_E_DURABILITY && strcmp(name, "delete") != 0)
        REQUIRE(state == LOOK_ABSENT, "%s failed (%s) and changed something; the last error: %s",
                name, mlkv_error_name(result), self->last_detail);
}

/* The counter: the additions that were acknowledged, and perhaps those that failed. */
static int look_counter(const scenario *self, mlkv *view)
{
    int64_t done = 0, maybe = 0;
    mlkv_buffer text = {0};
    int result = mlkv_string_get(view, TEXT("number"), &text);
    if (result < 0)
        return result;
    for (int i = COUNTER_FIRST; i <= COUNTER_LAST; i++) {
        done += self->results[i] == MLKV_OK;
        maybe += self->results[i] == MLKV_E_DURABILITY;
    }
    int64_t got = 0;
    for (size_t i = 0; i < text.size; i++)
        got = got * 10 + ((const char *)text.data)[i] - '0';
    mlkv_buffer_free(&text);
    REQUIRE(got >= done && got <= done + maybe, "the counter is %lld, %lld to %lld are right",
            (long long)got, (long long)done, (long long)(done + maybe));
    return result;
}

static void look_at(scenario *self, mlkv *view, int i)
{
    if (scenario_steps[i].look == NULL || self->results[i] == SCENARIO_NOT_RUN)
        return;
    int state = note(self, scenario_steps[i].name, scenario_steps[i].look(view));
    expect(self, scenario_steps[i].name, self->results[i], state);
}

void scenario_init(scenario *self, const char *folder, mlkv_durability durability, unsigned allowed)
{
    *self = (scenario){.folder = folder, .allowed = allowed};
    self->options = (mlkv_options){.size = sizeof self->options,
                                   .durability = (int32_t)durability,
                                   .cache_bytes = 1 << 20,
                                   .ring_bytes = SCENARIO_RING_SIZE,
                                   .lock_timeout_ms = 3000};
    for (int i = 0; i < SCENARIO_STEPS; i++)
        self->results[i] = SCENARIO_NOT_RUN;
}

int scenario_open(scenario *self)
{
    self->db = NULL;
    int result = note(self, "open", mlkv_open(self->folder, &self->options, &self->db));
    REQUIRE((result == MLKV_OK) == (self->db != NULL), "open: no handle, or one too many");
    return result;
}

void scenario_write(scenario *self)
{
    for (int i = 0; i < SCENARIO_STEPS; i++) {
        self->results[i] = scenario_steps[i].act(self, self->db);
        note(self, scenario_steps[i].name, self->results[i]);
        look_at(self, self->db, i);
    }
}

void scenario_look(scenario *self, mlkv *view)
{
    for (int i = 0; i < SCENARIO_STEPS; i++)
        look_at(self, view, i);
    note(self, "counter", look_counter(self, view));
}

static void scan_all(scenario *self, mlkv *view)
{
    mlkv_cursor *cursor = NULL;
    mlkv_query query = {.size = sizeof query};
    mlkv_slice name, value;
    if (note(self, "cursor", mlkv_cursor_open(view, &query, &cursor)) != MLKV_OK)
        return;
    for (int i = 0; i < 2 * MANY; i++)
        if (note(self, "next", mlkv_cursor_next(cursor, &name, &value)) != MLKV_OK)
            break;
    mlkv_cursor_close(cursor);
}

void scenario_visit(scenario *self)
{
    mlkv *snapshot = NULL;
    mlkv_stats stats = {.size = sizeof stats};
    scan_all(self, self->db);
    note(self, "sync", mlkv_flush(self->db, MLKV_SYNC));
    note(self, "store", mlkv_flush(self->db, MLKV_STORE));
    if (note(self, "snapshot", mlkv_snapshot(self->db, &snapshot)) == MLKV_OK) {
        scenario_look(self, snapshot);
        scan_all(self, snapshot);
        note(self, "end of the snapshot", mlkv_close(snapshot));
    }
    note(self, "stats", mlkv_stats_get(self->db, &stats));
}

/* With nothing armed: the copy says what the original says. */
static void prove_copy(const scenario *self, const char *path)
{
    scenario copy = *self;
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_open(path, &self->options, &copy.db));
    scenario_look(&copy, copy.db);
    OK(mlkv_verify(copy.db, NULL, NULL, &report));
    OK(mlkv_close(copy.db));
    REQUIRE(copy.failed == self->failed, "the copy: %s", copy.last_detail);
}

int scenario_backup(scenario *self, const char *path)
{
    char data[700], part[700];
    int result = note(self, "backup", mlkv_backup(self->db, path));
    (void)inject_disarm();
    snprintf(data, sizeof data, "%s/data.mdb", path);
    snprintf(part, sizeof part, "%s/data.mdb.part", path);
    if (result == MLKV_OK)
        prove_copy(self, path);
    else
        REQUIRE(access(data, F_OK) != 0 && access(part, F_OK) != 0 && access(path, F_OK) != 0,
                "a backup that failed (%s) left something", self->last_detail);
    OK(mlkv_string_set(self->db, TEXT("probe"), TEXT("it works"), MLKV_SET_ALWAYS));
    OK(mlkv_flush(self->db, MLKV_STORE));
    return result;
}

void scenario_close(scenario *self)
{
    mlkv *db = self->db;
    self->db = NULL;
    note(self, "close", mlkv_close(db));
}

void scenario_prove_usable(scenario *self)
{
    mlkv_buffer value = {0};
    OK(mlkv_string_set(self->db, TEXT("probe"), TEXT("it works"), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(self->db, TEXT("probe blob"), scenario_value(BLOB_SIZE, 4),
                       MLKV_SET_ALWAYS));
    OK(mlkv_string_get(self->db, TEXT("probe"), &value));
    ck_assert(slice_equal(slice_of(value.data, value.size), TEXT("it works")));
    mlkv_buffer_free(&value);
    OK(mlkv_flush(self->db, MLKV_STORE));
}

static int tell(void *context, const char *problem)
{
    (void)context;
    fprintf(stderr, "verify: %s\n", problem);
    return 0;
}

void scenario_prove(scenario *self)
{
    unsigned failed = self->failed;
    mlkv_report report = {.size = sizeof report};
    OK(mlkv_open(self->folder, &self->options, &self->db));
    scenario_look(self, self->db);
    scenario_prove_usable(self);
    OK(mlkv_verify(self->db, tell, NULL, &report));
    OK(mlkv_close(self->db));
    self->db = NULL;
    REQUIRE(self->failed == failed, "%s", self->last_detail);
}
