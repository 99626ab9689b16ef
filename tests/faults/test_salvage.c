/* test_salvage.c - mlkv_salvage on stores that are whole, crashed, cut, changed in one byte, robbed of
 * their roots, or no stores.
 *
 * Of each damaged store: the salvage ends with a store that mlkv_verify finds clean, or with an error
 * that has a detail and leaves nothing; what the new store has is what was written last; and of a
 * store with one damaged page nothing is missing but what stood in that page alone. With MLKV_LONG=1
 * every byte of a small store and every length is tried, else a sample, that of MLKV_SEED.
 */
#include "salvage_store.h"

#include "store/remains_page.h"

#include <signal.h>
#include <sys/wait.h>

static uint64_t random_state = 20240611;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static bool is_long(void)
{
    return getenv("MLKV_LONG") != NULL;
}

/* A closed store, its file, and folders to work in. */
typedef struct {
    char damaged[64], fresh[80];
    file_bytes data;
    remains_page page; /* scratch */
    uint64_t *run_of;  /* for each page: 1 if it belongs to a run of the blob */
} laboratory;

static void open_laboratory(laboratory *self)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    OK(mlkv_open(folder, &store_options, &db));
    write_content(db);
    OK(mlkv_close(db));
    *self = (laboratory){.data = load_file(folder, "data.mdb")};
    file_bytes head = load_file(folder, "journal.head");
    memory_folder(self->damaged);
    save_file(self->damaged, "journal.head", head.bytes, head.size);
    free(head.bytes);
    harness_remove(folder);
    snprintf(self->fresh, sizeof self->fresh, "%s-new", self->damaged);
    self->page.nodes = calloc(remains_nodes_max(PAGE), sizeof *self->page.nodes);
    ck_assert_ptr_nonnull(self->page.nodes);
}

static void close_laboratory(laboratory *self)
{
    harness_remove(self->damaged);
    free(self->data.bytes);
    free(self->page.nodes);
}

static int try(laboratory *self, content *found, mlkv_salvage_report *report)
{
    return salvage_and_look(self->damaged, self->fresh, found, report);
}

/* --- what may be missing --- */

static bool ends_with(mlkv_slice key, const char *name)
{
    size_t size = strlen(name);
    return key.size >= size && memcmp((const char *)key.data + key.size - size, name, size) == 0;
}

/* Elements and keys whose records stand in a page, of whatever age it is. */
typedef struct {
    bool any, run;
    unsigned elements;
    bool hash, set, list, zset, tensor; /* their own records, or a chunk */
    bool string[STRINGS], blob, long_name, expiring;
} allowance;

static void allow_record(allowance *allowed, const remains_node *node)
{
    const unsigned char *key = node->key.data;
    char name[16];
    switch (key[0]) {
    case 'K':
        for (int i = 0; i < STRINGS; i++) {
            mlkv_slice one = name_of('k', i, name);
            allowed->string[i] =
                allowed->string[i] || (node->key.size == 6 && ends_with(node->key, one.data));
        }
        allowed->hash = allowed->hash || ends_with(node->key, "Khash");
        allowed->set = allowed->set || ends_with(node->key, "Kset");
        allowed->list = allowed->list || ends_with(node->key, "Klist");
        allowed->zset = allowed->zset || ends_with(node->key, "Kzset");
        allowed->tensor = allowed->tensor || ends_with(node->key, "Ktensor");
        allowed->blob = allowed->blob || ends_with(node->key, "Kblob");
        allowed->expiring = allowed->expiring || ends_with(node->key, "Kexpiring");
        allowed->long_name = allowed->long_name || node->key.size == 511;
        break;
    case 'B':
        allowed->blob = true;
        break;
    case 'T':
        allowed->tensor = true;
        break;
    default:
        allowed->elements++;
    }
}

static void allow_page(laboratory *self, size_t page, allowance *allowed)
{
    const unsigned char *bytes = self->data.bytes + page * PAGE;
    remains_form form =
        page < 2 ? REMAINS_NONE : remains_page_split(bytes, PAGE, page, &self->page);
    allowed->any = true;
    for (size_t i = 0; form != REMAINS_NONE && self->page.is_leaf && i < self->page.count; i++)
        allow_record(allowed, &self->page.nodes[i]);
    /* a run of two pages is the blob's */
    if (page >= 2 && (bytes[10] == 4 || (bytes[10 - PAGE] == 4 && bytes[12 - PAGE] == 2)))
        allowed->blob = true;
}

static void judge(const allowance *allowed, const content *found, const mlkv_salvage_report *report)
{
    unsigned missing = 0, limit = allowed->elements;
    for (int i = 0; i < STRINGS; i++) {
        ck_assert_msg(found->string[i] || allowed->string[i], "string %d is missing", i);
        missing += !found->string[i];
    }
    ck_assert_msg(found->hash + limit >= MEMBERS || allowed->hash, "hash %u", found->hash);
    ck_assert_msg(found->set + limit >= MEMBERS || allowed->set, "set %u", found->set);
    ck_assert_msg(found->list + limit >= MEMBERS || allowed->list, "list %u", found->list);
    ck_assert_msg(found->zset + limit >= MEMBERS || allowed->zset, "zset %u", found->zset);
    ck_assert(found->blob || allowed->blob);
    ck_assert(found->long_name || allowed->long_name);
    ck_assert(found->expiring || allowed->expiring);
    ck_assert(found->tensor || allowed->tensor);
    ck_assert_uint_eq(report->uncertain, 0);
    ck_assert(is_whole(found) || report->losses != 0); /* never silently */
    (void)missing;
}

/* --- one byte --- */

typedef struct {
    unsigned cases, whole, strings;
} tally;

static void try_flip(laboratory *lab, size_t at, tally *sum)
{
    unsigned char before = lab->data.bytes[at];
    content found;
    mlkv_salvage_report report;
    allowance allowed = {0};
    allow_page(lab, at / PAGE, &allowed);
    lab->data.bytes[at] ^= (unsigned char)(at % 3 == 0 ? 0xff : 1U << next_random() % 8);
    save_file(lab->damaged, "data.mdb", lab->data.bytes, lab->data.size);
    if (getenv("MLKV_SALVAGE_PRINT") != NULL)
        fprintf(stderr, "byte %zu (page %zu, %zu) from %#x to %#x\n", at, at / PAGE, at % PAGE,
                before, lab->data.bytes[at]);
    lab->data.bytes[at] = before;
    OK(try(lab, &found, &report));
    judge(&allowed, &found, &report);
    sum->cases++;
    sum->whole += is_whole(&found);
    sum->strings += found.strings;
}

START_TEST(one_byte)
{
    laboratory lab;
    tally sum = {0};
    open_laboratory(&lab);
    size_t stride = is_long() ? 1 : 460;
    for (size_t at = 0; at < lab.data.size;
         at += is_long() ? 1 : 1 + next_random() % (2 * stride - 1)) {
        if (lab.data.bytes[at] != 0 || is_long() || next_random() % 8 == 0)
            try_flip(&lab, at, &sum);
    }
    fprintf(stderr,
            "test_salvage: %u bytes changed: %u stores whole, %.2f of %d strings on average\n",
            sum.cases, sum.whole, (double)sum.strings / sum.cases, STRINGS);
    ck_assert_uint_gt(sum.whole, sum.cases / 2);
    close_laboratory(&lab);
}
END_TEST

/* Where a page says what it is: a wrong word there costs no record. */
START_TEST(one_byte_of_a_head)
{
    laboratory lab;
    tally sum = {0};
    open_laboratory(&lab);
    for (size_t at = 0; at < lab.data.size; at++) {
        size_t offset = at % PAGE, head = at < 2 * PAGE ? 152 : 28;
        if (offset < head && (is_long() || next_random() % 12 == 0))
            try_flip(&lab, at, &sum);
    }
    fprintf(stderr, "test_salvage: %u bytes of pages' heads changed: %u stores whole\n", sum.cases,
            sum.whole);
    ck_assert_uint_gt(sum.whole, sum.cases * 8 / 10);
    close_laboratory(&lab);
}
END_TEST

/* Pages of zeros, one after the other: no hint of what they were is left in them. */
START_TEST(one_page)
{
    laboratory lab;
    unsigned cases = 0, whole = 0;
    open_laboratory(&lab);
    for (size_t page = 0; page < lab.data.size / PAGE; page++) {
        unsigned char before[PAGE];
        content found;
        mlkv_salvage_report report;
        allowance allowed = {0};
        allow_page(&lab, page, &allowed);
        memcpy(before, lab.data.bytes + page * PAGE, PAGE);
        memset(lab.data.bytes + page * PAGE, 0, PAGE);
        save_file(lab.damaged, "data.mdb", lab.data.bytes, lab.data.size);
        memcpy(lab.data.bytes + page * PAGE, before, PAGE);
        if (getenv("MLKV_SALVAGE_PRINT") != NULL)
            fprintf(stderr, "page %zu\n", page);
        OK(try(&lab, &found, &report));
        judge(&allowed, &found, &report);
        cases++;
        whole += is_whole(&found);
    }
    fprintf(stderr, "test_salvage: %u pages zeroed: %u stores whole\n", cases, whole);
    ck_assert_uint_gt(whole, cases / 3);
    close_laboratory(&lab);
}
END_TEST

/* --- lengths --- */

START_TEST(every_length)
{
    laboratory lab;
    unsigned cases = 0, refused = 0, uncertain = 0;
    open_laboratory(&lab);
    for (size_t size = 0; size < lab.data.size; size += is_long() ? 1 : 1 + next_random() % 4000) {
        content found;
        mlkv_salvage_report report;
        save_file(lab.damaged, "data.mdb", lab.data.bytes, size);
        if (getenv("MLKV_SALVAGE_PRINT") != NULL)
            fprintf(stderr, "length %zu\n", size);
        mlkv_salvage_report first = {.size = sizeof first};
        int result = mlkv_salvage(lab.damaged, lab.fresh, NULL, NULL, &first);
        if (result == MLKV_OK) {
            /* what is told as uncertain may be an older value: then only the form is judged */
            harness_remove(lab.fresh);
            OK(salvage_and_look(lab.damaged, lab.fresh, first.uncertain == 0 ? &found : NULL,
                                &report));
            ck_assert_uint_eq(report.uncertain, first.uncertain);
            ck_assert(first.uncertain != 0 || is_whole(&found) || report.losses != 0);
        } else {
            ck_assert(result == MLKV_E_CORRUPT || result == MLKV_E_ABSENT_STORE);
            ck_assert_int_ne(access(lab.fresh, F_OK), 0);
        }
        cases++;
        refused += result != MLKV_OK;
        uncertain += result == MLKV_OK && first.uncertain != 0;
    }
    fprintf(stderr, "test_salvage: %u lengths: %u without anything, %u uncertain\n", cases, refused,
            uncertain);
    ck_assert_uint_lt(refused, cases / 2);
    close_laboratory(&lab);
}
END_TEST

/* --- whole stores, roots --- */

START_TEST(whole_store)
{
    laboratory lab;
    content found;
    mlkv_salvage_report report;
    open_laboratory(&lab);
    save_file(lab.damaged, "data.mdb", lab.data.bytes, lab.data.size);
    OK(try(&lab, &found, &report));
    ck_assert(is_whole(&found));
    ck_assert_uint_eq(report.losses + report.repairs + report.pages_damaged + report.records_lost,
                      0);
    ck_assert_uint_eq(report.keys, found.keys);
    ck_assert_uint_eq(report.elements, 4 * MEMBERS + 2);
    ck_assert_uint_eq(report.blobs, 1);
    file_bytes after = load_file(lab.damaged, "data.mdb"); /* which was only read */
    ck_assert_uint_eq(after.size, lab.data.size);
    ck_assert_int_eq(memcmp(after.bytes, lab.data.bytes, after.size), 0);
    free(after.bytes);
    close_laboratory(&lab);
}
END_TEST

START_TEST(both_meta_pages)
{
    laboratory lab;
    content found;
    mlkv_salvage_report report;
    open_laboratory(&lab);
    memset(lab.data.bytes, 0, 2 * PAGE);
    save_file(lab.damaged, "data.mdb", lab.data.bytes, lab.data.size);
    OK(try(&lab, &found, &report));
    ck_assert(is_whole(&found));
    ck_assert_uint_ge(report.repairs, 1);
    close_laboratory(&lab);
}
END_TEST

static uint64_t root_of(const file_bytes *data)
{
    uint64_t roots[2], ids[2];
    for (int i = 0; i < 2; i++) {
        memcpy(&roots[i], data->bytes + i * PAGE + 128, 8);
        memcpy(&ids[i], data->bytes + i * PAGE + 144, 8);
    }
    return roots[ids[1] > ids[0]];
}

static bool same_first_key(const laboratory *lab, const remains_page *page, uint64_t other)
{
    remains_page look = {.nodes = calloc(remains_nodes_max(PAGE), sizeof *look.nodes)};
    ck_assert_ptr_nonnull(look.nodes);
    remains_form form = remains_page_split(lab->data.bytes + other * PAGE, PAGE, other, &look);
    bool same =
        form == REMAINS_WHOLE && look.is_leaf && slice_equal(look.nodes[0].key, page->nodes[0].key);
    free(look.nodes);
    return same;
}

/* A branch leads to an older copy of a leaf, which is as good a page as any but for being free. */
START_TEST(older_leaf)
{
    laboratory lab;
    unsigned cases = 0;
    open_laboratory(&lab);
    uint64_t root = root_of(&lab.data);
    remains_page branch = {.nodes = calloc(remains_nodes_max(PAGE), sizeof *branch.nodes)};
    ck_assert_ptr_nonnull(branch.nodes);
    ck_assert_int_eq(remains_page_split(lab.data.bytes + root * PAGE, PAGE, root, &branch),
                     REMAINS_WHOLE);
    ck_assert(!branch.is_leaf);
    for (size_t i = 0; i < branch.count; i++) {
        uint64_t child = branch.nodes[i].child;
        unsigned char *node =
            lab.data.bytes + ((const unsigned char *)branch.nodes[i].key.data - lab.data.bytes) - 8;
        ck_assert_int_eq(remains_page_split(lab.data.bytes + child * PAGE, PAGE, child, &lab.page),
                         REMAINS_WHOLE);
        for (uint64_t other = 2; other < lab.data.size / PAGE; other++) {
            content found;
            mlkv_salvage_report report;
            if (other == child || !same_first_key(&lab, &lab.page, other))
                continue;
            store_le32(node, (uint32_t)other);
            save_file(lab.damaged, "data.mdb", lab.data.bytes, lab.data.size);
            store_le32(node, (uint32_t)child);
            OK(try(&lab, &found, &report));
            ck_assert(is_whole(&found));
            ck_assert_uint_eq(report.losses, 0);
            cases++;
        }
    }
    ck_assert_uint_gt(cases, 0);
    fprintf(stderr, "test_salvage: %u older leaves in the place of newer ones\n", cases);
    free(branch.nodes);
    close_laboratory(&lab);
}
END_TEST

static unsigned count_big(const char *path)
{
    mlkv *db = NULL;
    char name[16], value[200];
    unsigned there = 0;
    OK(mlkv_open(path, &store_options, &db));
    OK(mlkv_verify(db, NULL, NULL, NULL));
    for (int i = 0; i < 12000; i++)
        there += look_string(db, slice_of(name, (size_t)snprintf(name, sizeof name, "%09d", i)),
                             value_of('b', i, value));
    OK(mlkv_close(db));
    return there;
}

static void salvage_big(const char *damaged, const char *fresh, unsigned expected_min)
{
    mlkv_salvage_report report = {.size = sizeof report};
    OK(mlkv_salvage(damaged, fresh, NULL, NULL, &report));
    unsigned there = count_big(fresh);
    ck_assert_uint_ge(there, expected_min);
    ck_assert_uint_eq(report.keys, there);
    ck_assert(there == 12000 || report.losses != 0);
    harness_remove(fresh);
}

/* A store of three levels: its root, each kind of page below it, and all branches at once. */
START_TEST(branches)
{
    char folder[64], fresh[80], name[16], value[200];
    mlkv *db = NULL;
    memory_folder(folder);
    snprintf(fresh, sizeof fresh, "%s-new", folder);
    OK(mlkv_open(folder, &store_options, &db));
    for (int i = 0; i < 12000; i++)
        OK(mlkv_string_set(db, slice_of(name, (size_t)snprintf(name, sizeof name, "%09d", i)),
                           value_of('b', i, value), MLKV_SET_ALWAYS));
    OK(mlkv_close(db));
    file_bytes data = load_file(folder, "data.mdb");
    uint64_t root = root_of(&data);
    remains_page page = {.nodes = calloc(remains_nodes_max(PAGE), sizeof *page.nodes)};
    ck_assert_int_eq(remains_page_split(data.bytes + root * PAGE, PAGE, root, &page),
                     REMAINS_WHOLE);
    ck_assert(!page.is_leaf && page.count > 1);
    uint64_t child = page.nodes[1].child;
    unsigned char *all = malloc(data.size);
    ck_assert_ptr_nonnull(all);
    memcpy(all, data.bytes, data.size);
    memset(all + root * PAGE, 0, PAGE);
    save_file(folder, "data.mdb", all, data.size);
    salvage_big(folder, fresh, 12000);
    memcpy(all, data.bytes, data.size);
    memset(all + child * PAGE, 0, PAGE);
    save_file(folder, "data.mdb", all, data.size);
    salvage_big(folder, fresh, 11900);
    for (uint64_t i = 2; i < data.size / PAGE; i++)
        if (remains_page_split(data.bytes + i * PAGE, PAGE, i, &page) == REMAINS_WHOLE &&
            !page.is_leaf)
            memset(all + i * PAGE, 0, PAGE);
    memcpy(all + child * PAGE, data.bytes + child * PAGE, PAGE);
    save_file(folder, "data.mdb", all, data.size);
    salvage_big(folder, fresh, 11000);
    free(all);
    free(data.bytes);
    free(page.nodes);
    harness_remove(folder);
}
END_TEST

/* --- the journal --- */

static void die_writing(const char *folder, size_t ring_bytes, bool flush)
{
    mlkv *db = NULL;
    mlkv_options options = store_options;
    options.ring_bytes = ring_bytes;
    options.sync_interval_ms = 100000;
    if (mlkv_open(folder, &options, &db) != MLKV_OK)
        _exit(1);
    write_content(db);
    if (flush)
        OK(mlkv_flush(db, MLKV_STORE));
    write_strings(db, 'v', STRINGS);
    (void)kill(getpid(), SIGKILL);
}

static void make_crashed(char folder[64], size_t ring_bytes, bool flush)
{
    int status = 0;
    memory_folder(folder);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        die_writing(folder, ring_bytes, flush);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void remove_file(const char *folder, const char *name)
{
    char path[600];
    path_in(folder, name, path);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(crashed_store)
{
    char folder[64], fresh[80];
    content found;
    mlkv_salvage_report report;
    make_crashed(folder, 64 << 10, false);
    snprintf(fresh, sizeof fresh, "%s-new", folder);
    OK(salvage_and_look(folder, fresh, &found, &report));
    ck_assert(is_whole(&found));
    ck_assert_uint_eq(report.losses, 0);
    remove_file(folder, "journal.head"); /* the chain of frames is enough */
    OK(salvage_and_look(folder, fresh, &found, &report));
    ck_assert(is_whole(&found));
    ck_assert_uint_eq(report.losses, 0);
    remove_file(folder, "journal.ring");
    remove_file(folder, "journal.log");
    mlkv_salvage_report alone = {.size = sizeof alone};
    OK(mlkv_salvage(folder, fresh, NULL, NULL, &alone));
    ck_assert_uint_ge(alone.losses, 1);
    ck_assert_uint_ge(alone.keys, STRINGS / 2);
    harness_remove(fresh);
    harness_remove(folder);
}
END_TEST

/* What is told as uncertain may be an older value: then only the form is judged. False then. */
static bool salvage_if_certain(const char *folder, const char *fresh, content *found,
                               mlkv_salvage_report *report)
{
    mlkv_salvage_report first = {.size = sizeof first};
    OK(mlkv_salvage(folder, fresh, NULL, NULL, &first));
    harness_remove(fresh);
    OK(salvage_and_look(folder, fresh, first.uncertain == 0 ? found : NULL, report));
    ck_assert_uint_eq(report->uncertain, first.uncertain);
    ck_assert(first.uncertain == 0 || report->losses != 0);
    return first.uncertain == 0;
}

/* Every byte of a page of a crashed store's LMDB file, and of its frames. */
START_TEST(crashed_bytes)
{
    char folder[64], fresh[80];
    content found;
    mlkv_salvage_report report;
    make_crashed(folder, 64 << 10, true);
    snprintf(fresh, sizeof fresh, "%s-new", folder);
    static const char *const names[] = {"data.mdb", "journal.ring", "journal.head"};
    unsigned whole = 0, cases = 0;
    for (int i = 0; i < 3; i++) {
        file_bytes file = load_file(folder, names[i]);
        size_t stride = is_long() ? 13 : i == 0 ? 3000 : i == 1 ? 1500 : 90;
        for (size_t at = next_random() % stride; at < file.size;
             at += 1 + next_random() % (2 * stride)) {
            unsigned char before = file.bytes[at];
            file.bytes[at] ^= (unsigned char)(1U << next_random() % 8);
            save_file(folder, names[i], file.bytes, file.size);
            file.bytes[at] = before;
            cases++;
            if (!salvage_if_certain(folder, fresh, &found, &report))
                continue;
            ck_assert(is_whole(&found) || report.losses != 0);
            ck_assert(
                i == 0 ||
                is_whole(
                    &found)); /* all that is in the ring stands in LMDB already, in this value */
            whole += is_whole(&found);
        }
        save_file(folder, names[i], file.bytes, file.size);
        free(file.bytes);
    }
    fprintf(stderr, "test_salvage: %u bytes of a crashed store: %u stores whole\n", cases, whole);
    harness_remove(folder);
}
END_TEST

/* Each page of a crashed store's LMDB file zeroed: values that the journal replaced must not come back. */
START_TEST(crashed_pages)
{
    char folder[64], fresh[80];
    content found;
    mlkv_salvage_report report;
    unsigned whole = 0, cases = 0;
    for (int flush = 0; flush < 2; flush++) {
        make_crashed(folder, 64 << 10, flush != 0);
        snprintf(fresh, sizeof fresh, "%s-new", folder);
        file_bytes file = load_file(folder, "data.mdb");
        for (size_t page = 0; page < file.size / PAGE; page++) {
            unsigned char before[PAGE];
            memcpy(before, file.bytes + page * PAGE, PAGE);
            memset(file.bytes + page * PAGE, 0, PAGE);
            save_file(folder, "data.mdb", file.bytes, file.size);
            memcpy(file.bytes + page * PAGE, before, PAGE);
            if (getenv("MLKV_SALVAGE_PRINT") != NULL)
                fprintf(stderr, "page %zu\n", page);
            cases++;
            if (!salvage_if_certain(folder, fresh, &found, &report))
                continue;
            ck_assert(is_whole(&found) || report.losses != 0);
            whole += is_whole(&found);
        }
        free(file.bytes);
        harness_remove(folder);
    }
    fprintf(stderr, "test_salvage: %u pages of crashed stores zeroed: %u stores whole\n", cases,
            whole);
    ck_assert_uint_gt(whole, cases / 3);
}
END_TEST

/* A batch that is too large for the ring goes to LMDB directly; its state is lost with the newest meta
 * page, and the journal only says that there was one. Nothing behind it is taken, and that is told. */
START_TEST(large_batch)
{
    char folder[64], fresh[80], name[16];
    int status = 0;
    memory_folder(folder);
    snprintf(fresh, sizeof fresh, "%s-new", folder);
    pid_t pid = harness_fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        mlkv *db = NULL, *batch = NULL;
        OK(mlkv_open(folder, &store_options, &db));
        OK(mlkv_string_set(db, TEXT("first"), TEXT("1"), MLKV_SET_ALWAYS));
        OK(mlkv_flush(db, MLKV_STORE));
        OK(mlkv_begin(db, &batch));
        for (int i = 0; i < 3000; i++)
            OK(mlkv_string_set(batch, name_of('q', i, name), TEXT("twenty bytes of value"),
                               MLKV_SET_ALWAYS));
        OK(mlkv_string_set(batch, TEXT("first"), TEXT("2"), MLKV_SET_ALWAYS));
        OK(mlkv_commit(batch));
        OK(mlkv_string_set(db, TEXT("last"), TEXT("3"), MLKV_SET_ALWAYS));
        (void)kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    file_bytes data = load_file(folder, "data.mdb");
    uint64_t ids[2];
    for (int i = 0; i < 2; i++)
        memcpy(&ids[i], data.bytes + i * PAGE + 144, 8);
    mlkv_salvage_report report = {.size = sizeof report};
    OK(mlkv_salvage(folder, fresh, NULL, NULL, &report));
    ck_assert_uint_eq(report.losses, 0);
    ck_assert_uint_eq(report.keys, 3002);
    harness_remove(fresh);
    memset(data.bytes + (ids[1] > ids[0] ? PAGE : 0), 0, PAGE);
    save_file(folder, "data.mdb", data.bytes, data.size);
    free(data.bytes);
    OK(mlkv_salvage(folder, fresh, NULL, NULL, &report));
    mlkv *db = NULL;
    mlkv_buffer got = {0};
    OK(mlkv_open(fresh, &store_options, &db));
    OK(mlkv_verify(db, NULL, NULL, NULL));
    OK(mlkv_string_get(db, TEXT("first"), &got));
    if (memcmp(got.data, "1", 1) == 0) { /* all of one moment, an earlier one */
        MUST(MLKV_ABSENT, mlkv_string_get(db, TEXT("last"), &got));
        ck_assert(report.losses != 0);
    } else { /* the applier had been at work before the death */
        ck_assert_uint_ge(report.keys, 3001);
    }
    mlkv_buffer_free(&got);
    OK(mlkv_close(db));
    harness_remove(fresh);
    harness_remove(folder);
}
END_TEST

START_TEST(journal_alone)
{
    char folder[64], fresh[80];
    content found;
    mlkv_salvage_report report;
    make_crashed(folder, 1 << 20, false); /* of which no frame was overwritten yet */
    snprintf(fresh, sizeof fresh, "%s-new", folder);
    remove_file(folder, "data.mdb");
    OK(salvage_and_look(folder, fresh, &found, &report));
    ck_assert_uint_eq(found.strings, STRINGS);
    ck_assert(found.hash == MEMBERS && found.set == MEMBERS && found.list == MEMBERS &&
              found.zset == MEMBERS);
    ck_assert_uint_ge(report.losses, 1);
    save_file(folder, "data.mdb", (const unsigned char *)"rubbish", 7);
    OK(salvage_and_look(folder, fresh, &found, &report));
    ck_assert_uint_eq(found.strings, STRINGS);
    harness_remove(folder);
}
END_TEST

/* --- what is no store, and wrong arguments --- */

static int stop(void *context, int lost, const char *sentence)
{
    (void)context;
    (void)lost;
    (void)sentence;
    return 1;
}

START_TEST(refused)
{
    laboratory lab;
    mlkv_salvage_report report = {.size = sizeof report};
    char path[600], inside[700];
    open_laboratory(&lab);
    path_in(lab.damaged, "journal.head", path);
    ck_assert_int_eq(unlink(path), 0);
    MUST(MLKV_E_ABSENT_STORE, try(&lab, NULL, &report)); /* an empty folder */
    MUST(MLKV_E_ABSENT_STORE, salvage_and_look("/nowhere/at/all", lab.fresh, NULL, &report));
    save_file(lab.damaged, "data.mdb", NULL, 0);
    MUST(MLKV_E_CORRUPT, try(&lab, NULL, &report));
    unsigned char *noise = malloc(64 << 10);
    ck_assert_ptr_nonnull(noise);
    for (size_t i = 0; i < 64 << 10; i++)
        noise[i] = (unsigned char)next_random();
    save_file(lab.damaged, "data.mdb", noise, 64 << 10);
    free(noise);
    MUST(MLKV_E_CORRUPT, try(&lab, NULL, &report));
    path_in(lab.damaged, "data.mdb", path);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    MUST(MLKV_E_IO, try(&lab, NULL, &report));
    ck_assert_int_eq(unlink(path), 0);
    memset(lab.data.bytes + root_of(&lab.data) * PAGE, 0, PAGE);
    save_file(lab.damaged, "data.mdb", lab.data.bytes, lab.data.size);
    path_in(lab.damaged, "new", inside);
    MUST(MLKV_E_ARGUMENT, mlkv_salvage(lab.damaged, inside, NULL, NULL, &report));
    ck_assert_int_ne(access(inside, F_OK), 0);
    MUST(MLKV_E_ARGUMENT, mlkv_salvage(lab.damaged, lab.damaged, NULL, NULL, &report));
    MUST(MLKV_E_ARGUMENT, mlkv_salvage(NULL, lab.fresh, NULL, NULL, &report));
    MUST(MLKV_E_ARGUMENT, mlkv_salvage(lab.damaged, "", NULL, NULL, &report));
    report.size = 8;
    MUST(MLKV_E_ARGUMENT, mlkv_salvage(lab.damaged, lab.fresh, NULL, NULL, &report));
    MUST(MLKV_ABSENT, mlkv_salvage(lab.damaged, lab.fresh, stop, NULL, NULL));
    ck_assert_int_ne(access(lab.fresh, F_OK), 0);
    ck_assert_int_eq(mkdir(lab.fresh, 0755), 0); /* an empty folder that is there serves, too */
    OK(mlkv_salvage(lab.damaged, lab.fresh, NULL, NULL, NULL));
    MUST(MLKV_E_ARGUMENT, mlkv_salvage(lab.damaged, lab.fresh, NULL, NULL, NULL));
    harness_remove(lab.fresh);
    close_laboratory(&lab);
}
END_TEST

START_TEST(in_use)
{
    const char *folder = harness_folder();
    char fresh[600];
    mlkv *db = NULL;
    mlkv_salvage_report report;
    snprintf(fresh, sizeof fresh, "%s-new", folder);
    OK(mlkv_open(folder, &store_options, &db));
    MUST(MLKV_E_BUSY, salvage_and_look(folder, fresh, NULL, &report));
    OK(mlkv_close(db));
    OK(salvage_and_look(folder, fresh, NULL, &report)); /* without a key */
    ck_assert_uint_eq(report.keys, 0);
    harness_remove(folder);
}
END_TEST

static void add_case(Suite *suite, const char *name, const TTest *test)
{
    TCase *tcase = harness_case(suite, name);
    tcase_set_timeout(tcase, 36000); /* the long form */
    tcase_add_test(tcase, test);
}

int main(void)
{
    Suite *suite = suite_create("salvage");
    if (getenv("MLKV_SEED") != NULL)
        random_state = strtoull(getenv("MLKV_SEED"), NULL, 0) | 1;
    add_case(suite, "whole_store", whole_store);
    add_case(suite, "both_meta_pages", both_meta_pages);
    add_case(suite, "older_leaf", older_leaf);
    add_case(suite, "branches", branches);
    add_case(suite, "one_byte", one_byte);
    add_case(suite, "one_byte_of_a_head", one_byte_of_a_head);
    add_case(suite, "one_page", one_page);
    add_case(suite, "every_length", every_length);
    add_case(suite, "crashed_store", crashed_store);
    add_case(suite, "crashed_bytes", crashed_bytes);
    add_case(suite, "crashed_pages", crashed_pages);
    add_case(suite, "large_batch", large_batch);
    add_case(suite, "journal_alone", journal_alone);
    add_case(suite, "refused", refused);
    add_case(suite, "in_use", in_use);
    return harness_run(suite);
}
