/* salvage.h - what can be rescued from a damaged store, into a new one.
 *
 * mlkv_verify tells what is wrong with a store that can still be opened; salvage takes one that cannot,
 * or one with damage, and makes a new store of everything that is whole. docs/durability.md tells what
 * it can find and what not.
 */
#ifndef MLKV_SALVAGE_H
#define MLKV_SALVAGE_H

#include <mlkv/base.h>
#include <mlkv/error.h>

MLKV_BEGIN_DECLS

typedef struct {
    size_t size;            /* in: sizeof(mlkv_salvage_report) */
    uint64_t pages;         /* of the damaged data.mdb */
    uint64_t pages_damaged; /* those that were met */
    uint64_t records_found; /* records of data.mdb whose checksum holds */
    uint64_t
        records_lost;   /* records missing there, as far as its own count tells; of any kind, also
                               those that are made anew */
    uint64_t uncertain; /* records from pages that may be older than they should be; all records, if
                           the journal, or its end, could not be taken */
    uint64_t frames;    /* writes that were replayed from the journal */
    uint64_t keys;      /* in the new store */
    uint64_t elements;  /* the same: hash fields, list elements, members, tensor chunks */
    uint64_t blobs;
    uint64_t bytes;         /* keys and values of the records that were found of those */
    uint64_t keys_lost;     /* keys that are known by name and are not in the new store */
    uint64_t elements_lost; /* elements of keys that are, or of keys that are not known any more */
    uint64_t losses;        /* sentences that told of a loss. 0: nothing is missing */
    uint64_t repairs;       /* sentences that told of damage that cost nothing */
} mlkv_salvage_report;

/* Called with a sentence for each thing that was lost (lost != 0) or is as it should be in spite of
 * damage (lost == 0). A non-zero result gives the salvage up. */
typedef int (*mlkv_salvage_callback)(void *context, int lost, const char *sentence);

/* Makes a new store in the folder new_path of what is left in the folder damaged_path.
 *
 * The damaged store is only read; nobody may have it open meanwhile. Its pages are looked at one by
 * one, and each record is believed only if its checksum holds: what the new store holds has the value
 * that was written last, but for the records that the report counts as uncertain. Where a page is
 * broken its records are looked for in the state before, in pages that nothing leads to any more, and in the
 * journal. A key is in the new store with those of its elements that were found, a tensor only if all
 * its chunks were, a string only with all its bytes. mlkv_verify finds nothing wrong with the new
 * store. It is a store of its own, with another identity.
 *
 * new_path is a folder that is not there (it is made, 0700) or is empty. When the call returns MLKV_OK
 * the new store is on the disk; after a failure there is nothing in new_path (a crash leaves a folder
 * salvage.part in it, which is no store). callback may be NULL, ret_report too.
 *
 * Cost: reads all of the damaged store once and what was found twice, and writes it once, as LMDB
 * transactions of some 32 MiB; memory some 200 bytes for each key with elements and 72 for each blob,
 * 3 bits for each page, and twice the largest value. Any thread.
 *
 * Returns MLKV_OK also if much was lost: see the report. MLKV_ABSENT: the callback gave it up.
 * MLKV_E_ARGUMENT (paths, the report's size), MLKV_E_BUSY (a living process has the damaged store
 * open), MLKV_E_ABSENT_STORE (there is none), MLKV_E_CORRUPT (nothing that can be recognised is left),
 * MLKV_E_VERSION (another format), MLKV_E_IO (also: data.mdb is a symbolic link or no regular file),
 * MLKV_E_PERMISSION, MLKV_E_FULL, MLKV_E_MEMORY.
 *
 * Mirrors redis-check-aof --fix and redis-check-rdb. Since 0.1.0. */
MLKV_API int mlkv_salvage(const char *damaged_path, const char *new_path,
                          mlkv_salvage_callback callback, void *context,
                          mlkv_salvage_report *ret_report);

MLKV_END_DECLS

#endif
