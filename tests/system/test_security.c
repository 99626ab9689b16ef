/* test_security.c - who may read a store's files, what is not followed, what a read-only opening
 * cannot do, and that one store is not shared between pid namespaces.
 *
 * getenv and secure_getenv are this program's own here: it counts what the library asks for. A
 * program that runs with its file owner's rights must not take orders from its caller's
 * environment.
 */
#include "visitors.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

extern char **environ;
static _Atomic bool watched;
static _Atomic int asked;

static char *find(const char *name)
{
    size_t size = strlen(name);
    for (char **each = environ; each != NULL && *each != NULL; each++) {
        if (strncmp(*each, name, size) == 0 && (*each)[size] == '=')
            return *each + size + 1;
    }
    return NULL;
}

/* In place of the C library's two, for everything in this program. The second is the one that knows
 * a set-uid program. */
char *getenv(const char *name)
{
    asked += watched && strncmp(name, "CK_", 3) != 0 ? 1 : 0; /* Check asks for its own */
    return find(name);
}

char *secure_getenv(const char *name)
{
    return find(name);
}

static const char *const files[] = {"data.mdb",     "lock.mdb",    "journal.head",
                                    "journal.ring", "journal.log", "journal.lock"};
enum { FILES = sizeof files / sizeof files[0], PATH_BYTES = 600, CONTENT_SIZE = 4096 };

static const char *join(char path[PATH_BYTES], const char *folder, const char *name)
{
    int size = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    ck_assert_int_lt(size, PATH_BYTES);
    return path;
}

static int open_store(const char *folder, uint32_t flags, mlkv **ret_db)
{
    mlkv_options options = steps_options(MLKV_JOURNAL);
    options.flags = flags;
    return mlkv_open(folder, &options, ret_db);
}

static void make_store(const char *folder)
{
    mlkv *db = NULL;
    OK(open_store(folder, 0, &db));
    OK(mlkv_string_set(db, TEXT("key"), TEXT("value"), MLKV_SET_ALWAYS));
    OK(mlkv_close(db));
}

START_TEST(files_are_the_owners)
{
    static const mode_t masks[] = {0, 022, 077};
    const char *folder = harness_folder();
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
        char store[PATH_BYTES], path[PATH_BYTES], name[16];
        struct stat status;
        mlkv *db = NULL;
        mode_t before = umask(masks[i]);
        snprintf(name, sizeof name, "store %zu", i);
        OK(open_store(join(store, folder, name), 0, &db));
        ck_assert_int_eq(lstat(store, &status), 0);
        ck_assert_uint_eq(status.st_mode & 07777, 0700);
        for (size_t j = 0; j < FILES; j++) {
            ck_assert_int_eq(lstat(join(path, store, files[j]), &status), 0);
            ck_assert_msg(S_ISREG(status.st_mode) && (status.st_mode & 07777) == 0600,
                          "%s has the mode %o under umask %o", files[j], (unsigned)status.st_mode,
                          (unsigned)masks[i]);
        }
        OK(mlkv_close(db));
        (void)umask(before);
    }
    harness_remove(folder);
}
END_TEST

static void write_secret(const char *path, const unsigned char *content)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, content, CONTENT_SIZE), CONTENT_SIZE);
    ck_assert_int_eq(close(file), 0);
}

static void check_secret(const char *path, const unsigned char *content, const char *name)
{
    unsigned char now[CONTENT_SIZE + 1];
    int file = open(path, O_RDONLY);
    ck_assert_int_ge(file, 0);
    ssize_t size = read(file, now, sizeof now);
    ck_assert_msg(size == CONTENT_SIZE && memcmp(now, content, CONTENT_SIZE) == 0,
                  "opening a store through the link %s changed the file behind it", name);
    ck_assert_int_eq(close(file), 0);
}

/* An opening with a link in the place of `name`: refused, or the link gave way to a file. Never
 * what it leads to. */
static void try_link(const char *folder, const char *name, bool fresh)
{
    char store[PATH_BYTES], path[PATH_BYTES], secret[PATH_BYTES], nowhere[PATH_BYTES];
    unsigned char content[CONTENT_SIZE];
    memset(content, 's', sizeof content);
    join(store, folder, "store");
    join(secret, folder, "secret");
    join(nowhere, folder, "nowhere");
    join(path, store, name);
    for (int dangling = 0; dangling < 2; dangling++) {
        mlkv *db = NULL;
        struct stat status;
        if (fresh)
            ck_assert_int_eq(mkdir(store, 0700), 0);
        else
            make_store(store);
        write_secret(secret, content);
        ck_assert(unlink(path) == 0 || errno == ENOENT);
        ck_assert_int_eq(symlink(dangling ? nowhere : secret, path), 0);
        for (uint32_t flags = 0; flags <= MLKV_ACCEPT_LOSS; flags += MLKV_ACCEPT_LOSS) {
            int result = open_store(store, flags, &db);
            if (result == MLKV_OK) {
                OK(mlkv_string_set(db, TEXT("more"), TEXT("value"), MLKV_SET_ALWAYS));
                OK(mlkv_close(db));
                ck_assert_int_eq(lstat(path, &status), 0);
                ck_assert_msg(S_ISREG(status.st_mode), "a store was opened, and %s is a link",
                              name);
            } else {
                ck_assert_msg(strstr(mlkv_error_detail(), "symbolic link") != NULL,
                              "the link %s: %d %s", name, result, mlkv_error_detail());
            }
        }
        check_secret(secret, content, name);
        ck_assert_msg(lstat(nowhere, &status) != 0,
                      "opening a store through the link %s made a file behind it", name);
        harness_remove(store);
        ck_assert_int_eq(unlink(secret), 0);
    }
}

START_TEST(links_are_not_followed)
{
    static const char *const temporary[] = {"journal.head.tmp", "journal.ring.tmp",
                                            "journal.log.tmp"};
    const char *folder = harness_folder();
    for (int fresh = 0; fresh < 2; fresh++) {
        for (size_t i = 0; i < FILES; i++)
            try_link(folder, files[i], fresh);
        for (size_t i = 0; fresh && i < sizeof temporary / sizeof temporary[0]; i++)
            try_link(folder, temporary[i], fresh);
    }
    harness_remove(folder);
}
END_TEST

START_TEST(links_are_not_followed_by_readers)
{
    const char *folder = harness_folder();
    for (size_t i = 0; i < 2;
         i++) { /* LMDB's two; a reader of a store at rest may do without the journal */
        char store[PATH_BYTES], path[PATH_BYTES], moved[PATH_BYTES];
        mlkv *db = NULL;
        make_store(join(store, folder, "store"));
        join(path, store, files[i]);
        join(moved, folder, "moved");
        ck_assert_int_eq(rename(path, moved), 0);
        ck_assert_int_eq(symlink(moved, path), 0);
        MUST(MLKV_E_IO, open_store(store, MLKV_READ_ONLY, &db));
        ck_assert_ptr_nonnull(strstr(mlkv_error_detail(), "symbolic link"));
        harness_remove(store);
    }
    harness_remove(folder);
}
END_TEST

/* How many mappings this process has of the store's files, and that none of them can be written to,
 * but for LMDB's table of readers. */
static int check_mappings(const char *folder, bool read_only)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[2048];
    int count = 0;
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        char rights[8];
        if (strstr(line, folder) == NULL || strstr(line, "lock.mdb") != NULL)
            continue;
        ck_assert_int_eq(sscanf(line, "%*s %7s", rights), 1);
        if (read_only || strstr(line, "data.mdb") != NULL)
            ck_assert_msg(strchr(rights, 'w') == NULL, "a mapping can be written to: %s", line);
        count += strstr(line, "journal.") != NULL;
    }
    ck_assert_int_eq(fclose(maps), 0);
    return count;
}

/* No descriptor of the store's files that can write, but for LMDB's table of readers. */
static void check_descriptors(const char *folder)
{
    DIR *list = opendir("/proc/self/fd");
    struct dirent *entry;
    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        char target[PATH_BYTES] = "", path[PATH_BYTES];
        if (readlink(join(path, "/proc/self/fd", entry->d_name), target, sizeof target - 1) <= 0)
            continue;
        if (strstr(target, folder) == NULL || strstr(target, "lock.mdb") != NULL)
            continue;
        int flags = fcntl(atoi(entry->d_name), F_GETFL);
        ck_assert_msg(flags >= 0 && (flags & O_ACCMODE) == O_RDONLY, "%s is open for writing",
                      target);
    }
    ck_assert_int_eq(closedir(list), 0);
}

START_TEST(a_read_only_opening_cannot_write)
{
    const char *folder = harness_folder();
    int64_t number;
    size_t count;
    mlkv *db = NULL, *tx = NULL;
    mlkv_slice key = TEXT("key");
    mlkv_pair pair = {TEXT("a"), TEXT("b")};
    make_store(folder);
    OK(open_store(folder, 0, &db));
    ck_assert_int_ge(check_mappings(folder, false), 2); /* what is looked for can be found */
    OK(mlkv_close(db));
    OK(open_store(folder, MLKV_READ_ONLY, &db));
    ck_assert_int_ge(check_mappings(folder, true), 2);
    check_descriptors(folder);
    MUST(MLKV_E_READONLY, mlkv_string_set(db, TEXT("key"), TEXT("x"), MLKV_SET_ALWAYS));
    MUST(MLKV_E_READONLY, mlkv_string_add(db, TEXT("n"), 1, &number));
    MUST(MLKV_E_READONLY, mlkv_hash_set(db, TEXT("h"), &pair, 1, &count));
    MUST(MLKV_E_READONLY, mlkv_key_delete(db, &key, 1, &count));
    MUST(MLKV_E_READONLY, mlkv_begin(db, &tx));
    MUST(MLKV_E_READONLY, mlkv_flush(db, MLKV_STORE));
    check_descriptors(folder);
    OK(mlkv_close(db));
    harness_remove(folder);
}
END_TEST

START_TEST(no_environment_variable_is_asked_for)
{
    const char *folder = harness_folder();
    mlkv *db = NULL, *memory = NULL;
    static unsigned char value[100000];
    ck_assert_ptr_nonnull(getenv("PATH"));
    watched = true;
    (void)getenv("PATH");
    ck_assert_int_eq(asked, 1); /* the count counts */
    OK(open_store(folder, 0, &db));
    OK(mlkv_open(NULL, NULL, &memory));
    OK(mlkv_string_set(db, TEXT("large"), slice_of(value, sizeof value), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(memory, TEXT("large"), slice_of(value, sizeof value), MLKV_SET_ALWAYS));
    OK(mlkv_flush(db, MLKV_STORE));
    OK(mlkv_verify(db, NULL, NULL, &(mlkv_report){.size = sizeof(mlkv_report)}));
    OK(mlkv_close(memory));
    OK(mlkv_close(db));
    ck_assert_int_eq(asked, 1);
    watched = false;
    harness_remove(folder);
}
END_TEST

/* Runs a command; its first line of output and errors. */
static int run(const char *command, char *ret_line, int size)
{
    FILE *output = popen(command, "r");
    ck_assert_ptr_nonnull(output);
    ret_line[0] = '\0';
    if (fgets(ret_line, size, output) == NULL)
        ret_line[0] = '\0';
    return pclose(output);
}

START_TEST(one_pid_namespace)
{
    static const char *const ways[] = {"unshare -pf", "unshare -pf --mount-proc",
                                       "unshare -Upf --map-root-user"};
    const char *folder = harness_folder();
    int tried = 0;
    use_visitor();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char command[2000], line[1000];
        mlkv *db = NULL;
        snprintf(command, sizeof command, "%s true 2>&1", ways[i]);
        if (run(command, line, sizeof line) != 0)
            continue;
        tried++;
        make_store(folder);
        snprintf(command, sizeof command, "%s '%s' get '%s' key 2>&1", ways[i],
                 getenv("MLKV_VICTIM"), folder);
        OK(open_store(folder, 0, &db));
        int status = run(command, line, sizeof line);
        ck_assert_msg(status != 0 && strstr(line, "platform") != NULL &&
                          strstr(line, "namespace") != NULL,
                      "%s: status %x, '%s'", ways[i], (unsigned)status, line);
        OK(mlkv_string_set(db, TEXT("key"), TEXT("value"), MLKV_SET_ALWAYS));
        OK(mlkv_close(db));
        status = run(command, line, sizeof line); /* one after the other is no matter */
        ck_assert_msg(status == 0 && strcmp(line, "value\n") == 0, "%s: status %x, '%s'", ways[i],
                      (unsigned)status, line);
    }
    if (tried == 0)
        printf("unshare is not there or not permitted: pid namespaces are not tried\n");
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("security");
    TCase *tcase = harness_case(suite, "security");
    tcase_add_test(tcase, files_are_the_owners);
    tcase_add_test(tcase, links_are_not_followed);
    tcase_add_test(tcase, links_are_not_followed_by_readers);
    tcase_add_test(tcase, a_read_only_opening_cannot_write);
    tcase_add_test(tcase, no_environment_variable_is_asked_for);
    tcase_add_test(tcase, one_pid_namespace);
    return harness_run(suite);
}
