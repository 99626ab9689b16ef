/* fixture.h - what the tests of the store's part share. */
#ifndef MLKV_TESTS_STORE_FIXTURE_H
#define MLKV_TESTS_STORE_FIXTURE_H

#include "harness.h"
#include "store/store.h"

/* A store in the folder, made if it is not there. */
static inline store *fresh(const char *folder)
{
    store *self = NULL;
    OK(store_open(folder, true, false, &self));
    return self;
}

/* A record in a transaction of its own. */
static inline void put_one(store *self, mlkv_slice key, mlkv_slice value)
{
    store_write *write = NULL;
    OK(store_write_begin(self, &write));
    OK(store_write_put(write, key, value, TEXT("")));
    OK(store_write_commit(write));
}

#endif
