/* fuzz_remains.c - data.mdb with arbitrary words in it, salvaged: pages split, trees walked, gaps filled.
 *
 * The store's own part makes files of a few pages and several states; the input says which one, and what to
 * overwrite in it. Each page is split by itself, from a copy of the exact size; then all of the file is searched.
 *
 * Input: one byte (bit 0-1 which file, bit 2 the state before counts as exact), then patches (image.h),
 * which may zero pages.
 *
 * What must hold for any input:
 *  1. Nothing is read outside (sanitizers watch), nothing walks for ever; results are 0 or those that are documented.
 *  2. Nodes lie inside their page, keys of at most 511 bytes rise.
 *  3. What is given is what was written under that key, now or earlier.
 */
#define FUZZ_MUTATIONS_EACH 1500
#include "image.h"

#include "base/record.h"
#include "store/remains_page.h"

enum {
    PAGE = 4096,
    FILES = 4,
    PUTS_MAX = 100000, /* more are not in so few pages, however often each is entered */
};

static original originals[FILES];
static uint64_t whole, with_gaps, refused, given;
static unsigned put_count;

static void remove_folder(void)
{
    (void)unlink(image_path);
    (void)rmdir(folder);
}

/* A value that names its key: so that what is given can be judged. */
static size_t make_value(unsigned number, unsigned round, size_t size, char *value)
{
    memset(value, 'a' + (int)round, size);
    (void)snprintf(value, 24, "%06u", number);
    return size;
}

static void write_round(store *target, int number, unsigned round)
{
    static const unsigned counts[FILES] = {10, 150, 12, 300};
    static const size_t sizes[FILES] = {40, 60, 7000, 100};
    static char value[8192];
    store_write *write = NULL;
    REQUIRE(store_write_begin(target, &write) == 0);
    for (unsigned i = 0; i < counts[number]; i++) {
        char key[16];
        mlkv_slice name = slice_of(key, (size_t)snprintf(key, sizeof key, "K%06u", i));
        size_t size = make_value(i, round, sizes[number], value);
        if (round == 1 && i % 3 == 0)
            REQUIRE(store_write_delete(write, name) == 0);
        else if (round == 0 || i % 5 == 1)
            REQUIRE(store_write_put(write, name, slice_of(value, size), slice_of(NULL, 0)) == 0);
    }
    REQUIRE(store_write_set_position(write, (store_position){.applied = 8 * (round + 1)}) == 0);
    REQUIRE(store_write_commit(write) == 0);
}

static void make_original(original *made, int number)
{
    store *target = NULL;
    char path[120];
    REQUIRE(store_open(folder, true, false, &target) == 0);
    for (unsigned round = 0; round < 4; round++)
        write_round(target, number, round);
    store_close(target);
    image_load(image_path, made);
    (void)unlink(image_path);
    snprintf(path, sizeof path, "%s/lock.mdb", folder);
    (void)unlink(path);
}

static void make_place(void)
{
    if (originals[0].bytes != NULL)
        return;
    image_folder(remove_folder);
    for (int i = 0; i < FILES; i++)
        make_original(&originals[i], i);
}

/* --- one page --- */

static void check_node(const remains_page *page, size_t i, const unsigned char *bytes)
{
    const remains_node *node = &page->nodes[i];
    const unsigned char *key = node->key.data;
    REQUIRE(node->key.size <= RECORD_KEY_SIZE_MAX);
    REQUIRE(key >= bytes && key + node->key.size <= bytes + PAGE);
    if (page->is_leaf)
        REQUIRE(node->key.size != 0 && node->value >= bytes &&
                node->value + (node->is_run ? 8 : node->value_size) <= bytes + PAGE);
    if (i > (page->is_leaf ? 0 : 1))
        REQUIRE(slice_compare(page->nodes[i - 1].key, node->key) < 0);
}

static void split(const unsigned char *from, uint64_t number)
{
    unsigned char *bytes = malloc(PAGE);
    remains_page page = {.nodes = malloc(remains_nodes_max(PAGE) * sizeof *page.nodes)};
    REQUIRE(bytes != NULL && page.nodes != NULL);
    memcpy(bytes, from, PAGE);
    remains_form form = remains_page_split(bytes, PAGE, number, &page);
    REQUIRE(form == REMAINS_NONE ? page.count == 0 : page.count != 0);
    REQUIRE(page.count <= remains_nodes_max(PAGE));
    for (size_t i = 0; i < page.count; i++)
        check_node(&page, i, bytes);
    free(page.nodes);
    free(bytes);
}

/* --- all of the file --- */

static int put(void *context, mlkv_slice key, mlkv_slice value, bool over, bool *ret_new)
{
    char text[24] = {0};
    (void)context;
    *ret_new = !over;
    REQUIRE(key.size != 0 && key.size <= RECORD_KEY_SIZE_MAX && ++put_count < PUTS_MAX);
    given++;
    if (*(const char *)key.data != 'K')
        return 0;
    REQUIRE(key.size == 7 && value.size >= 8);
    memcpy(text, value.data, 7);
    REQUIRE(memcmp(text, (const char *)key.data + 1, 6) == 0 && text[6] == '\0');
    return 0;
}

static int tell(void *context, bool loss, const char *sentence)
{
    (void)context;
    (void)loss;
    REQUIRE(strlen(sentence) > 10);
    return 0;
}

static void salvage(const unsigned char *image, size_t size, bool exact)
{
    const remains_sink sink = {.put = put, .tell = tell};
    store_remains *remains = NULL;
    int file = open(image_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(file >= 0 && write(file, image, size) == (ssize_t)size);
    (void)close(file);
    put_count = 0;
    int result = store_remains_open(folder, &sink, &remains);
    if (result == 0)
        result = store_remains_walk(remains);
    bool gaps = result == 0 && store_remains_has_gaps(remains);
    if (gaps)
        result = store_remains_fill(remains, exact ? REMAINS_OLDER_EXACT : REMAINS_OLDER_UNCERTAIN);
    REQUIRE(result == 0 || result == MLKV_E_CORRUPT || result == MLKV_E_VERSION ||
            result == MLKV_ABSENT);
    REQUIRE(remains == NULL || store_remains_summary(remains)->pages == size / PAGE || size < PAGE);
    store_remains_close(remains);
    refused += result != 0;
    with_gaps += result == 0 && gaps;
    whole += result == 0 && !gaps;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char image[IMAGE_SIZE_MAX];
    if (size == 0)
        return 0;
    make_place();
    const original *from = &originals[data[0] % FILES];
    memcpy(image, from->bytes, from->size);
    size_t image_size = from->size, patches = (size - 1) / PATCH_SIZE;
    for (size_t i = 0; i < patches && i < PATCHES_MAX; i++) {
        const unsigned char *patch = data + 1 + i * PATCH_SIZE;
        size_t page = patch[0] % (image_size / PAGE);
        image_size = image_patch(patch, image, image_size, PAGE, 1, IMAGE_ZEROED);
        if (page < image_size / PAGE)
            split(image + page * PAGE, page);
    }
    salvage(image, image_size, (data[0] & 4) != 0);
    return 0;
}

#ifndef FUZZ_WITH_LIBFUZZER

/* Each file as it is, and with a head, a meta page, a page or all behind a page gone. */
static bool make_seed(unsigned number, mlkv_buffer *seed)
{
    static const unsigned char patches[][PATCH_SIZE] = {{2, 4 | 1, 14, 0, 0, 8},
                                                        {3, 4 | 1, 12, 0, 20},
                                                        {0, 4 | 2, 16, 0, 1},
                                                        {1, 4 | 3, 128, 0, 3},
                                                        {4, 16},
                                                        {5, 8}};
    if (number >= FILES * (1 + sizeof patches / sizeof patches[0]))
        return false;
    unsigned char head = (unsigned char)(number % FILES | (number & 1) << 2);
    seed->size = 0;
    REQUIRE(buffer_append(seed, &head, 1) == 0);
    if (number >= FILES)
        REQUIRE(buffer_append(seed, patches[number / FILES - 1], PATCH_SIZE) == 0);
    return true;
}

static void check_reached(void)
{
    fprintf(stderr, "fuzz_remains: %llu whole, %llu with gaps, %llu refused, %llu records\n",
            (unsigned long long)whole, (unsigned long long)with_gaps, (unsigned long long)refused,
            (unsigned long long)given);
    REQUIRE(whole > 1000 && with_gaps > 1000 && given > 100000);
}

#endif
