/* remains_page.h - what the remains files share: a page split into its nodes, and the file with what
 * is known of its pages. */
#ifndef MLKV_STORE_REMAINS_PAGE_H
#define MLKV_STORE_REMAINS_PAGE_H

#include "base/bytes.h"
#include "store/remains.h"

enum {
    REMAINS_DEPTH_MAX = 32, /* LMDB's own stack */
    REMAINS_FIRST_PAGE = 2,
    REMAINS_PAGE_SIZE_MIN = 512,
    REMAINS_PAGE_SIZE_MAX = 65536,
};

typedef struct {
    mlkv_slice key;
    const unsigned char *value; /* in a leaf; a run's number stands there if is_run */
    size_t value_size;
    uint64_t child; /* in a branch */
    bool is_run;
} remains_node;

typedef enum {
    REMAINS_WHOLE,  /* as LMDB writes it */
    REMAINS_HEALED, /* its head or its table of offsets is damaged, and its nodes are all there */
    REMAINS_PART,   /* some nodes cannot be read */
    REMAINS_NONE    /* nothing can be told from it */
} remains_form;

typedef struct {
    bool is_leaf;
    size_t count;
    remains_node *nodes; /* memory for remains_nodes_max(page size) */
} remains_page;

size_t remains_nodes_max(size_t page_size);

/* Splits a page. Nothing in it is believed: all nodes lie inside, keys of at most 511 bytes rise.
 * bytes: the page's, aligned to 2. */
remains_form remains_page_split(const unsigned char *bytes, size_t page_size, uint64_t number,
                                remains_page *page);

/* --- remains_file.c --- */

/* What a meta page names, or what was found in its place. */
typedef struct {
    bool named; /* the meta page has its form */
    bool valid; /* and its root can be one */
    uint64_t txn, free_root, root, entries;
    remains_state state;
} remains_root;

/* Keys from <= key < below that a broken page may have held; size 0: no bound. */
typedef struct {
    unsigned char *bytes; /* from, then below */
    size_t from_size, below_size;
    uint64_t suspect; /* a page that stands here and in the list of free pages; 0: none */
    bool filled;      /* nothing of it is missing */
    bool by_count;    /* noted only because the number of records is another */
} remains_gap;

struct store_remains {
    remains_sink sink;
    int file;
    size_t page_size;
    uint64_t pages;
    remains_root base, before;
    uint64_t *is_free;    /* bits: listed as free in the base's state */
    uint64_t *is_seen;    /* belongs to the base's trees, as it should */
    uint64_t *is_claimed; /* a run of the base says that it belongs to it, and does not need it */
    uint64_t *is_bad;     /* not to be believed, wherever it is met */
    bool free_found;      /* without a root: is_free has the newest of it */
    bool free_known;      /* is_free is all there is */
    remains_gap *gaps;    /* rising, not overlapping */
    size_t gap_count, gap_capacity;
    mlkv_buffer run;         /* a large value */
    mlkv_buffer first, last; /* keys that the base's walk met, the lowest and the highest */
    remains_summary summary;
};

static inline bool bit_get(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> i % 64 & 1) != 0;
}

static inline void bit_set(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= (uint64_t)1 << i % 64;
}

/* 0, MLKV_ABSENT (not in the file), or an error of the disk. */
int remains_read(store_remains *self, uint64_t page, size_t offset, size_t size, void *to);
/* Tells in a sentence. 0, or what the sink wants. */
int remains_tell(store_remains *self, bool loss, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
/* The value of a leaf's node with its seal, read from its run if need be. MLKV_ABSENT: it is outside. */
int remains_value(store_remains *self, const remains_node *node, mlkv_slice *ret_value);
/* Its run belongs to the base. */
void remains_mark_run(store_remains *self, const remains_node *node);
/* The value without its seal, which must hold: MLKV_ABSENT otherwise. mark: its run is the base's. */
int remains_sealed(store_remains *self, const remains_node *node, bool mark, mlkv_slice *ret_value);
/* A page split in its memory. MLKV_ABSENT: none. */
typedef struct {
    unsigned char *bytes;
    remains_page page;
    remains_form form;
} remains_frame;
int remains_frame_make(const store_remains *self, remains_frame *ret_frame);
void remains_frame_free(remains_frame *frame);
int remains_frame_load(store_remains *self, uint64_t number, remains_frame *frame);

/* --- remains_tree.c --- */

typedef enum {
    WALK_BASE,  /* gives records, marks pages, notes gaps */
    WALK_BEFORE /* a range of the state before: pages seen in the base are passed over */
} walk_kind;

typedef struct {
    walk_kind kind;
    mlkv_slice from, below;  /* what keys are wanted; size 0: no bound */
    bool over;               /* of what is given: it replaces what stands there */
    bool try_only;           /* gives nothing, only looks whether all of the range is there */
    bool no_free;            /* pages listed as free are none of it */
    bool broken;             /* out: something in the range is not */
    uint64_t records, added; /* out: good ones, and those that were not there before */
} remains_walk;

int remains_tree_walk(store_remains *self, uint64_t root, remains_walk *walk);
/* Gives the records of one leaf. */
int remains_give(store_remains *self, const remains_page *page, uint64_t number,
                 remains_walk *walk);
/* The store's own records of a tree. */
int remains_find_own(store_remains *self, uint64_t root, remains_root *ret_root);
/* Learns from a record of class S. */
void remains_learn_own(store_remains *self, remains_state *state, mlkv_slice key, mlkv_slice value);
/* Notes which pages a list of free pages names; *ret_known: all of it could be read. */
int remains_load_free(store_remains *self, uint64_t root, bool *ret_known);
/* The same without a root: the leaf of such a list that names the newest transaction. */
int remains_search_free(store_remains *self, bool *ret_found);
int remains_add_gap(store_remains *self, mlkv_slice from, mlkv_slice below, uint64_t suspect);

static inline mlkv_slice gap_from(const remains_gap *gap)
{
    return slice_of(gap->bytes, gap->from_size);
}

static inline mlkv_slice gap_below(const remains_gap *gap)
{
    return slice_of(gap->bytes + gap->from_size, gap->below_size);
}

/* from <= key < below */
static inline bool key_within(mlkv_slice key, mlkv_slice from, mlkv_slice below)
{
    return (from.size == 0 || slice_compare(from, key) <= 0) &&
           (below.size == 0 || slice_compare(key, below) < 0);
}

#endif
