/* checker.c - the search of Wing and Gong, with Lowe's memory of what was tried.
 *
 * Invocations and returns stand in one list in the order of the clock. An operation may be the next
 * one if its invocation stands before the first return that is left in the list. Taking it takes
 * both its events out. A return that is reached with nothing more to try means: go back. The end of
 * the list means: everything that returned is explained; what is left never returned. What was
 * taken, as bits, and the state are remembered: the same pair again leads nowhere new. An operation
 * that only looks, and sees what is there, is taken at once and never tried later instead: taking
 * it changes nothing for the others. Ties of the clock count as concurrent.
 */
#include "checker.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_MAX = 1000000, WORDS = CHECKER_OPERATIONS_MAX / 64 };

typedef struct event event;
struct event {
    uint64_t time;
    size_t operation;
    bool is_return;
    event *partner; /* of an invocation: its return, or NULL */
    event *before, *after;
};

/* What identifies a situation, and the table of those seen. */
typedef struct {
    uint64_t taken[WORDS];
    int64_t state[CHECKER_KEYS];
} situation;

typedef struct {
    event *invocation;
    int64_t state[CHECKER_KEYS]; /* before it */
} frame;

typedef struct {
    const checker_operation *operations;
    size_t count;
    event *events;
    event head;
    situation now;
    size_t words;
    frame *stack;
    size_t depth;
    unsigned char *seen; /* situations, `entry` bytes each: words of taken, then the state */
    uint32_t *table;     /* entry + 1 */
    size_t entry, seen_count, seen_max, table_size;
} search;

static int compare_events(const void *left, const void *right)
{
    const event *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return (int)a->is_return - (int)b->is_return;
}

static void lift(event *at)
{
    at->before->after = at->after;
    if (at->after != NULL)
        at->after->before = at->before;
}

static void put_back(event *at)
{
    at->before->after = at;
    if (at->after != NULL)
        at->after->before = at;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t hash_of(const search *self)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < self->words; i++)
        hash = mix(hash, self->now.taken[i]);
    for (size_t i = 0; i < CHECKER_KEYS; i++)
        hash = mix(hash, (uint64_t)self->now.state[i]);
    return hash ^ hash >> 32;
}

/* Remembers the situation. 0 new, 1 known, -1 no room. */
static int remember(search *self)
{
    size_t bits = self->words * sizeof(uint64_t);
    size_t slot = hash_of(self) & (self->table_size - 1);
    for (; self->table[slot] != 0; slot = (slot + 1) & (self->table_size - 1)) {
        const unsigned char *at = self->seen + (self->table[slot] - 1) * self->entry;
        if (memcmp(at, self->now.taken, bits) == 0 &&
            memcmp(at + bits, self->now.state, sizeof self->now.state) == 0)
            return 1;
    }
    if (self->seen_count == self->seen_max)
        return -1;
    unsigned char *at = self->seen + self->seen_count * self->entry;
    memcpy(at, self->now.taken, bits);
    memcpy(at + bits, self->now.state, sizeof self->now.state);
    self->table[slot] = (uint32_t)++self->seen_count;
    return 0;
}

/* Whether the operation can happen now; changes the state. */
static bool apply(search *self, size_t index)
{
    const checker_operation *op = &self->operations[index];
    for (size_t i = 0; i < CHECKER_KEYS && op->returned != CHECKER_NEVER; i++) {
        if ((op->sees >> i & 1) != 0 && op->seen[i] != self->now.state[i])
            return false;
    }
    for (size_t i = 0; i < CHECKER_KEYS; i++) {
        if ((op->sets >> i & 1) != 0)
            self->now.state[i] = op->values[i];
        else if ((op->adds >> i & 1) != 0)
            self->now.state[i] = (int64_t)((uint64_t)self->now.state[i] + (uint64_t)op->values[i]);
    }
    return true;
}

static void mark(search *self, size_t index)
{
    self->now.taken[index / 64] ^= UINT64_C(1) << index % 64;
}

static bool only_looks(const checker_operation *op)
{
    return op->sets == 0 && op->adds == 0;
}

/* Takes the operation if that leads to a new situation. 1 taken, 0 not, -1 no room. */
static int take(search *self, event *at)
{
    frame *top = &self->stack[self->depth];
    memcpy(top->state, self->now.state, sizeof top->state);
    top->invocation = at;
    if (!apply(self, at->operation))
        return 0;
    mark(self, at->operation);
    int known = remember(self);
    if (known != 0) {
        mark(self, at->operation);
        memcpy(self->now.state, top->state, sizeof top->state);
        return known < 0 ? -1 : 0;
    }
    self->depth++;
    lift(at);
    if (at->partner != NULL)
        lift(at->partner);
    return 1;
}

/* Gives up the last choice. The event to try next, or NULL: nothing is left to try. */
static event *go_back(search *self)
{
    while (self->depth != 0) {
        frame *top = &self->stack[--self->depth];
        event *at = top->invocation;
        if (at->partner != NULL)
            put_back(at->partner);
        put_back(at);
        mark(self, at->operation);
        memcpy(self->now.state, top->state, sizeof top->state);
        if (!only_looks(&self->operations[at->operation]))
            return at->after;
    }
    return NULL;
}

static checker_verdict run(search *self, size_t *ret_explained)
{
    event *at = self->head.after;
    while (at != NULL) {
        if (at->is_return) {
            at = go_back(self);
            if (at == NULL)
                return CHECKER_NOT;
            continue;
        }
        int taken = take(self, at);
        if (taken < 0)
            return CHECKER_UNDECIDED;
        at = taken ? self->head.after : at->after;
        if (self->depth > *ret_explained)
            *ret_explained = self->depth;
    }
    return CHECKER_LINEARIZABLE;
}

static bool never_matters(const checker_operation *op)
{
    return op->returned == CHECKER_NEVER && only_looks(op);
}

/* The list of events. */
static void arrange(search *self)
{
    size_t n = 0;
    for (size_t i = 0; i < self->count; i++) {
        const checker_operation *op = &self->operations[i];
        if (never_matters(op))
            continue;
        self->events[n++] = (event){.time = op->invoked, .operation = i};
        if (op->returned != CHECKER_NEVER)
            self->events[n++] = (event){.time = op->returned, .operation = i, .is_return = true};
    }
    qsort(self->events, n, sizeof *self->events, compare_events);
    event *invocations[CHECKER_OPERATIONS_MAX] = {0}, *last = &self->head;
    for (size_t i = 0; i < n; i++) {
        event *each = &self->events[i];
        if (each->is_return)
            invocations[each->operation]->partner = each;
        else
            invocations[each->operation] = each;
        each->before = last;
        last->after = each;
        last = each;
    }
}

static bool allocate(search *self)
{
    for (self->table_size = 1024; self->table_size < self->seen_max * 2;)
        self->table_size *= 2;
    self->events = calloc(self->count * 2 + 1, sizeof *self->events);
    self->stack = calloc(self->count + 1, sizeof *self->stack);
    self->seen = malloc(self->seen_max * self->entry);
    self->table = calloc(self->table_size, sizeof *self->table);
    return self->events != NULL && self->stack != NULL && self->seen != NULL && self->table != NULL;
}

checker_verdict checker_run(const checker_operation *operations, size_t count, size_t states_max,
                            size_t *ret_explained)
{
    search self = {.operations = operations, .count = count, .words = (count + 63) / 64};
    size_t explained = 0;
    checker_verdict verdict = CHECKER_UNDECIDED;
    if (count > CHECKER_OPERATIONS_MAX)
        return CHECKER_UNDECIDED;
    for (size_t i = 0; i < count; i++) {
        if (operations[i].returned < operations[i].invoked)
            return CHECKER_NOT; /* no moment lies between them */
    }
    self.seen_max = states_max != 0 ? states_max : STATES_MAX;
    self.entry = self.words * sizeof(uint64_t) + sizeof self.now.state;
    if (allocate(&self)) {
        arrange(&self);
        verdict = run(&self, &explained);
    }
    if (ret_explained != NULL)
        *ret_explained = explained;
    free(self.events);
    free(self.stack);
    free(self.seen);
    free(self.table);
    return verdict;
}
