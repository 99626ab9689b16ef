/* fuzz_pages.c - data.mdb with arbitrary words in it: what the page checkers accept, LMDB can read.
 *
 * LMDB believes its pages. pages.c and tree.c look at a small file before it, and a file that they let pass must
 * not make it crash. So: LMDB makes some files of a few pages; the input says which one, and what to overwrite in it;
 * the checkers look at the result; and if they accept it, LMDB opens it and every record is read, forward,
 * backward and by its key.
 *
 * Input: one byte (which file), then patches (image.h).
 *
 * What must hold for any input:
 *  1. The checkers read nothing outside (sanitizers watch) and say 0 or MLKV_E_CORRUPT.
 *  2. LMDB reads what was accepted, where a store would go on to read it, without a crash, a bus error or an endless walk.
 */
#define FUZZ_MUTATIONS_EACH 800
#include "image.h"

#include "store/env.h"

enum {
    META_PAGE_SIZE = 40,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    PAGES_WALKED_MAX = 4096, /* tree.c looks at every page of a file that says it has no more */
    FILES = 4,
    READ_LIMIT = 100000, /* records; more are not in so few pages */
};

typedef struct {
    MDB_env *env;
    MDB_txn *txn; /* what pages_check asks for the transaction's number */
    original file;
} environment;

static environment originals[FILES];
static size_t page_size;
static uint64_t accepted, refused, records_read;
static volatile unsigned sink; /* so that the bytes are really read */

/* --- the files --- */

static void remove_folder(void)
{
    char path[120];
    for (int i = -1; i < FILES; i++) {
        char place[100];
        snprintf(place, sizeof place, i < 0 ? "%s" : "%s/%d", folder, i);
        snprintf(path, sizeof path, "%s/data.mdb", place);
        (void)unlink(path);
        snprintf(path, sizeof path, "%s/lock.mdb", place);
        (void)unlink(path);
        if (i >= 0)
            (void)rmdir(place);
    }
    (void)rmdir(folder);
}

/* Records that make a leaf, two levels, runs of large values, a list of free pages. */
static void fill(MDB_env *env, int number)
{
    static const unsigned counts[FILES] = {10, 150, 12, 60};
    static const size_t sizes[FILES] = {20, 60, 7000, 100};
    static char value[8192];
    for (int round = 0; round < (number == 3 ? 4 : 1); round++) {
        MDB_txn *txn = NULL;
        MDB_dbi dbi;
        REQUIRE(mdb_txn_begin(env, NULL, 0, &txn) == 0);
        REQUIRE(mdb_dbi_open(txn, NULL, 0, &dbi) == 0);
        for (unsigned i = 0; i < counts[number]; i++) {
            char name[16];
            int size = snprintf(name, sizeof name, "K%04u", i);
            MDB_val key = {(size_t)size, name}, data = {sizes[number], value};
            if (round != 1)
                REQUIRE(mdb_put(txn, dbi, &key, &data, 0) == 0);
            else if (i % 2 == 0)
                REQUIRE(mdb_del(txn, dbi, &key, NULL) == 0);
        }
        REQUIRE(mdb_txn_commit(txn) == 0);
    }
}

static void make_original(environment *made, int number)
{
    char place[100], path[120];
    MDB_dbi dbi;
    snprintf(place, sizeof place, "%s/%d", folder, number);
    snprintf(path, sizeof path, "%s/data.mdb", place);
    REQUIRE(mkdir(place, 0700) == 0 && mdb_env_create(&made->env) == 0);
    REQUIRE(mdb_env_open(made->env, place, MDB_NOTLS, 0600) == 0);
    fill(made->env, number);
    REQUIRE(mdb_txn_begin(made->env, NULL, MDB_RDONLY, &made->txn) == 0);
    REQUIRE(mdb_dbi_open(made->txn, NULL, 0, &dbi) == 0);
    image_load(path, &made->file);
    page_size = load_le32(made->file.bytes + META_PAGE_SIZE);
}

static void make_place(void)
{
    if (page_size != 0)
        return;
    image_folder(remove_folder);
    for (int i = 0; i < FILES; i++)
        make_original(&originals[i], i);
}

/* --- LMDB --- */

static void touch(const MDB_val *part)
{
    for (size_t i = 0; i < part->mv_size; i++)
        sink += ((const unsigned char *)part->mv_data)[i];
}

/* All records both ways, each also by its key, and each byte of them. */
static void read_all(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value, again;
    REQUIRE(mdb_cursor_open(txn, dbi, &cursor) == 0);
    for (int pass = 0; pass < 2; pass++) {
        unsigned count = 0;
        int code = mdb_cursor_get(cursor, &key, &value, pass == 0 ? MDB_FIRST : MDB_LAST);
        for (; code == 0 && count < READ_LIMIT; count++) {
            touch(&key);
            touch(&value);
            REQUIRE(mdb_get(txn, dbi, &key, &again) == 0);
            code = mdb_cursor_get(cursor, &key, &value, pass == 0 ? MDB_NEXT : MDB_PREV);
        }
        REQUIRE(count < READ_LIMIT && code == MDB_NOTFOUND);
        records_read += count;
    }
    mdb_cursor_close(cursor);
}

static void try_lmdb(void)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    unsigned flags = 0;
    REQUIRE(mdb_env_create(&env) == 0);
    int code = mdb_env_open(env, folder, MDB_RDONLY | MDB_NOLOCK, 0600);
    if (code == 0)
        code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (code == 0)
        code = mdb_dbi_flags(txn, dbi, &flags);
    if (code == 0 && flags == 0) /* store.c refuses trees with flags */
        read_all(txn, dbi);
    if (txn != NULL)
        mdb_txn_abort(txn);
    mdb_env_close(env);
}

/* --- the checkers --- */

static void try_image(const environment *from, const unsigned char *image, size_t size)
{
    bool empty = false, unborn = false, is_short = false;
    int file = open(image_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(file >= 0 && write(file, image, size) == (ssize_t)size);
    int result = pages_look(image_path, &empty);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    REQUIRE(pages_look_unborn(image_path, &unborn) == 0);
    uint32_t stored_page_size = load_le32(image + META_PAGE_SIZE);
    if (result == 0 && stored_page_size == page_size) {
        result = pages_check(file, from->txn, page_size, &is_short);
        REQUIRE(result == 0 || result == MLKV_E_CORRUPT);
    }
    accepted += result == 0;
    refused += result != 0;
    /* LMDB must come upon the meta page that was checked, and tree.c must have looked at all of the file */
    size_t number = mdb_txn_id(from->txn), other = (number & 1) == 0 ? page_size : 0;
    const unsigned char *meta = image + (number & 1) * page_size;
    if (result == 0 && stored_page_size == page_size && size > page_size &&
        load_le64(meta + META_TXN) == number &&
        load_le64(meta + META_LAST_PAGE) < PAGES_WALKED_MAX &&
        memcmp(image + other, from->file.bytes + other, page_size) == 0)
        try_lmdb();
    (void)close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char image[IMAGE_SIZE_MAX];
    if (size == 0)
        return 0;
    make_place();
    const environment *from = &originals[data[0] % FILES];
    memcpy(image, from->file.bytes, from->file.size);
    size_t image_size = from->file.size, patches = (size - 1) / PATCH_SIZE;
    for (size_t i = 0; i < patches && i < PATCHES_MAX; i++)
        image_size = image_patch(data + 1 + i * PATCH_SIZE, image, image_size, page_size, 2, 0);
    try_image(from, image, image_size);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

/* Each file as it is, and with a page's number of nodes, a node's offset or a meta page's root changed. */
static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const unsigned char patches[][PATCH_SIZE] = {
        {2, 4 | 1, 14, 0, 0, 8}, {3, 4 | 1, 20, 0, 1}, {0, 4 | 1, 46, 0, 1}, {5, 8}};
    if (number >= FILES * (1 + sizeof patches / sizeof patches[0]))
        return false;
    unsigned char file = (unsigned char)(number % FILES);
    seed->size = 0;
    REQUIRE(buffer_append(seed, &file, 1) == 0);
    if (number >= FILES)
        REQUIRE(buffer_append(seed, patches[number / FILES - 1], PATCH_SIZE) == 0);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_pages: %llu accepted, %llu refused, %llu records read\n",
            (unsigned long long)accepted, (unsigned long long)refused,
            (unsigned long long)records_read);
    REQUIRE(accepted > 1000 && refused > 1000 && records_read > 1000);
}

#endif
