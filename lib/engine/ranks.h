/* ranks.h - counted trees of record keys, one for each prefix that somebody asked ranks of, within a memory budget.
 *
 * A prefix is a class and an id, RANKS_PREFIX_SIZE bytes; the trees hold what follows it in the keys. Trees are the engine's, and then
 * every frame that is taken in goes to them (catchup.c), or a snapshot's, which nothing changes.
 *
 * Making one: ranks_begin, at a moment at which what a scan will give is known (under the catch-up lock, for the engine's); then the scan,
 * without any lock, while what is written is noted; then ranks_finish, which adds what was noted.
 */
#ifndef MLKV_ENGINE_RANKS_H
#define MLKV_ENGINE_RANKS_H

#include "counted/counted.h"

#include <stdatomic.h>

enum { RANKS_PREFIX_SIZE = 9 };

typedef struct ranks ranks;

/* Bytes that several ranks share: the engine's and those of its snapshots. */
typedef struct {
    _Atomic size_t bytes;
    size_t bytes_max;
} ranks_budget;

/* NULL: out of memory. gives_back: it may let go of trees that were not asked for long, to make room for another. The budget
 * outlives it. */
ranks *ranks_create(ranks_budget *budget, bool gives_back);
/* Nobody else uses it any more. */
void ranks_destroy(ranks *self);

typedef enum {
    RANKS_READY,   /* there is a tree */
    RANKS_NONE,    /* there is none */
    RANKS_MAKING,  /* another thread makes it */
    RANKS_REFUSED, /* it would not fit */
} ranks_state;

/* What there is for a prefix of about `count` keys. */
ranks_state ranks_look(ranks *self, mlkv_slice prefix, uint64_t count);
/* RANKS_NONE: from now on it is this thread that makes it, and what is written is noted; ranks_finish or ranks_abandon must follow.
 * Otherwise as above. MLKV_E_MEMORY. */
int ranks_begin(ranks *self, mlkv_slice prefix, uint64_t count, ranks_state *ret_state);
/* Hands over the tree. It may turn out to be of no use (everything was forgotten meanwhile), or not to fit. */
void ranks_finish(ranks *self, mlkv_slice prefix, counted *tree);
/* The tree is not to be had; refused_count not 0: so many keys do not fit. */
void ranks_abandon(ranks *self, mlkv_slice prefix, uint64_t refused_count);
/* How large a tree may become. */
size_t ranks_room(const ranks *self);
/* Waits while another thread makes it. */
void ranks_wait(ranks *self, mlkv_slice prefix);

/* The tree of a prefix, held still until ranks_unuse; NULL: there is none, and nothing is held. No other ranks_ call in between. */
const counted *ranks_use(ranks *self, mlkv_slice prefix);
void ranks_unuse(ranks *self);

/* Whether changes have to be told. */
bool ranks_watch(const ranks *self);
/* A record was put or deleted. All of a frame's between these two, under the catch-up lock; *held starts as false. */
void ranks_change(ranks *self, mlkv_slice key, bool is_delete, bool *held);
void ranks_changed(ranks *self, bool held);
/* Everything is forgotten; what is being made will be of no use. Under the catch-up lock. */
void ranks_reset(ranks *self);
/* Frees the trees that were let go of. Without other locks. */
void ranks_bury(ranks *self);

#endif
