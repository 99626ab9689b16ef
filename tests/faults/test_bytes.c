/* test_bytes.c - damaged files: bytes of a small store's files are changed, one at a time, and the
 * files cut at many lengths; then the store is opened, read and verified, each time by a child.
 *
 * Two stores: one that was closed (data.mdb alone counts), and one whose process was killed
 * (data.mdb, and frames in journal.ring and journal.log that must be recovered). Its keys are of
 * three kinds: in LMDB; synced, so in ring and log; and acknowledged as `journal`, so in the ring
 * only.
 *
 * What must hold for each damage:
 *  1. No value that is read is wrong: it is what was written, or an error, or not there.
 *  2. What is not there although it must be is not passed over in silence: opening, a read or
 *     verify says so. (The end of a ring may be lost: no checksum tells a frame that is damaged
 *     from one that was never finished. What is left is a prefix.)
 *  3. Nothing hangs, and no child dies of a signal. LMDB has no checksums on its pages and follows
 *     broken ones blindly; the store looks at all pages of files this small when it opens.
 *
 * A seeded sample of the bytes in the ordinary run, each byte and length with MLKV_LONG=1.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <mlkv/mlkv.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

enum {
    FILE_SIZE_MAX = 1 << 20,
    RING_SIZE = 64 << 10,
    STRINGS = 24,
    STORED_BLOB_SIZE = 9000,
    SYNCED = 6,
    UNSYNCED = 5,
    SECONDS_MAX = 20,
};

enum { DATA, RING, LOG, HEAD, FILES };
static const char *const file_names[FILES] = {"data.mdb", "journal.ring", "journal.log",
                                              "journal.head"};

typedef struct {
    unsigned char *bytes;
    size_t size;
} file_image;

typedef struct {
    file_image files[FILES];
    bool crashed;
} store_image;

/* How a child ended; its exit code. */
typedef enum {
    END_FINE = 0,       /* everything was read, verify is clean */
    END_REFUSED = 10,   /* the store did not open, and says why */
    END_ERROR = 11,     /* a read or verify gave an error */
    END_LOST_TOLD = 12, /* something is missing, and verify or a read complains */
    END_PREFIX = 13,    /* the end of what only the ring had is missing */
    END_SILENT = 14,    /* something is missing, and nobody says so */
    END_WRONG = 15,     /* a value is not what was written */
    END_SIGNAL = 16,    /* killed by a signal */
    END_COUNT = 17,
} child_end;

static uint64_t random_state = 20231;

static uint64_t next_random(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545f4914f6cdd1dU;
}

static bool is_long(void)
{
    const char *text = getenv("MLKV_LONG");
    return text != NULL && strcmp(text, "1") == 0;
}

/* --- content --- */

static const mlkv_options small_options = {.size = sizeof small_options,
                                           .cache_bytes = 1 << 20,
                                           .ring_bytes = RING_SIZE,
                                           .lock_timeout_ms = 3000};

static mlkv_slice number_name(char kind, int i, char ret_text[16])
{
    int size = snprintf(ret_text, 16, "%c-%d", kind, i);
    return slice_of(ret_text, (size_t)size);
}

static mlkv_slice number_value(char kind, int i, char ret_text[200])
{
    int size = 20 + (i * 13) % 150;
    for (int k = 0; k < size; k++)
        ret_text[k] = (char)(kind + (i * 7 + k * k) % 23);
    return slice_of(ret_text, (size_t)size);
}

static mlkv_slice blob_value(void)
{
    static unsigned char bytes[STORED_BLOB_SIZE];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)((i * i * 31) >> 4);
    return slice_of(bytes, sizeof bytes);
}

static mlkv_slice long_name(void)
{
    static char bytes[600];
    memset(bytes, 'n', sizeof bytes);
    return slice_of(bytes, sizeof bytes);
}

static void write_numbers(mlkv *db, char kind, int n)
{
    char name[16], value[200];
    for (int i = 0; i < n; i++)
        OK(mlkv_string_set(db, number_name(kind, i, name), number_value(kind, i, value),
                           MLKV_SET_ALWAYS));
}

static const mlkv_tensor tensor_form = {.dtype = MLKV_I32, .dimensions = 2, .shape = {8, 16}};

static void tensor_values(int32_t numbers[128])
{
    for (int i = 0; i < 128; i++)
        numbers[i] = i * i - 7;
}

static void write_base(mlkv *db)
{
    char name[16], value[200];
    int32_t numbers[128];
    mlkv_tensor_options options = {.size = sizeof options, .chunk_bytes = 256};
    write_numbers(db, 'k', STRINGS);
    for (int i = 0; i < STRINGS; i++) {
        mlkv_pair pair = {number_name('f', i, name), number_value('f', i, value)};
        OK(mlkv_hash_set(db, TEXT("hash"), &pair, 1, NULL));
    }
    OK(mlkv_string_set(db, TEXT("blob"), blob_value(), MLKV_SET_ALWAYS));
    OK(mlkv_string_set(db, long_name(), TEXT("long"), MLKV_SET_ALWAYS));
    tensor_values(numbers);
    OK(mlkv_tensor_put(db, TEXT("tensor"), &tensor_form, numbers, &options));
}

/* --- reading it all again: in the child --- */

typedef struct {
    unsigned errors, missing;
    bool wrong;
    unsigned present_unsynced; /* bit i: number i of the ring's keys */
} found;

static void tally(found *self, int result, bool right)
{
    if (result < 0) {
        self->errors++;
        if (mlkv_error_detail()[0] == '\0')
            self->wrong = true;
    } else if (result == MLKV_ABSENT) {
        self->missing++;
    } else if (!right) {
        self->wrong = true;
    }
}

static int look_string(found *self, mlkv *db, mlkv_slice key, mlkv_slice value)
{
    mlkv_buffer got = {0};
    int result = mlkv_string_get(db, key, &got);
    tally(self, result, slice_equal(slice_of(got.data, got.size), value));
    mlkv_buffer_free(&got);
    return result;
}

static void look_hash(found *self, mlkv *db)
{
    char name[16], value[200];
    for (int i = 0; i < STRINGS; i++) {
        mlkv_buffer got = {0};
        int result = mlkv_hash_get(db, TEXT("hash"), number_name('f', i, name), &got);
        tally(self, result, slice_equal(slice_of(got.data, got.size), number_value('f', i, value)));
        mlkv_buffer_free(&got);
    }
    mlkv_rows rows = {0};
    int result = mlkv_hash_get_all(db, TEXT("hash"), &rows);
    tally(self, result == MLKV_OK && rows.count < (size_t)2 * STRINGS ? MLKV_ABSENT : result,
          rows.count == (size_t)2 * STRINGS);
    mlkv_rows_free(&rows);
}

static void look_tensor(found *self, mlkv *db)
{
    int32_t wanted[128], got[128] = {0};
    tensor_values(wanted);
    int result = mlkv_tensor_get(db, TEXT("tensor"), got, sizeof got);
    tally(self, result, memcmp(wanted, got, sizeof got) == 0);
}

static void look_base(found *self, mlkv *db)
{
    char name[16], value[200];
    for (int i = 0; i < STRINGS; i++)
        look_string(self, db, number_name('k', i, name), number_value('k', i, value));
    look_hash(self, db);
    look_string(self, db, TEXT("blob"), blob_value());
    look_string(self, db, long_name(), TEXT("long"));
    look_tensor(self, db);
}

static void look_journal(found *self, mlkv *db)
{
    char name[16], value[200];
    for (int i = 0; i < SYNCED; i++)
        look_string(self, db, number_name('s', i, name), number_value('s', i, value));
    for (int i = 0; i < UNSYNCED; i++) {
        unsigned missing = self->missing;
        int result = look_string(self, db, number_name('j', i, name), number_value('j', i, value));
        self->missing = missing; /* judged by itself */
        if (result != MLKV_ABSENT)
            self->present_unsynced |= 1U << i;
    }
}

/* Keys that are walked over: none may be one that was never written. */
static void walk(found *self, mlkv *db)
{
    mlkv_cursor *cursor = NULL;
    mlkv_query query = {.size = sizeof query};
    mlkv_slice name, value;
    int result = mlkv_cursor_open(db, &query, &cursor);
    if (result == MLKV_OK) {
        for (int i = 0; i < 500 && result != MLKV_ABSENT; i++) {
            result = mlkv_cursor_next(cursor, &name, &value);
            if (result < 0)
                self->errors++;
        }
        if (result == MLKV_OK)
            self->wrong = true; /* there is no end to it */
    } else {
        self->errors++;
    }
    mlkv_cursor_close(cursor);
}

static child_end judge(const found *self, bool crashed)
{
    unsigned all = (1U << UNSYNCED) - 1, present = self->present_unsynced;
    if (self->wrong || (crashed && (present & (present + 1)) != 0))
        return END_WRONG;
    if (self->missing != 0)
        return self->errors != 0 ? END_LOST_TOLD : END_SILENT;
    if (self->errors != 0)
        return END_ERROR;
    return crashed && present != all ? END_PREFIX : END_FINE;
}

static int tell(void *context, const char *problem)
{
    (void)context;
    (void)problem;
    return 0;
}

/* The whole of a child's work. */
static child_end examine(const char *folder, bool crashed, bool read_only)
{
    mlkv *db = NULL;
    mlkv_options options = small_options;
    mlkv_report report = {.size = sizeof report};
    found self = {0};
    options.flags = read_only ? MLKV_READ_ONLY : MLKV_NO_CREATE;
    int result = mlkv_open(folder, &options, &db);
    if (result != MLKV_OK)
        return mlkv_error_detail()[0] != '\0' ? END_REFUSED : END_WRONG;
    look_base(&self, db);
    if (crashed)
        look_journal(&self, db);
    walk(&self, db);
    if (mlkv_verify(db, tell, NULL, &report) != MLKV_OK)
        self.errors++;
    if (mlkv_close(db) != MLKV_OK)
        self.errors++;
    return judge(&self, crashed);
}

/* --- images --- */

static void load(const char *folder, store_image *image)
{
    char path[600];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, file_names[i]);
        FILE *file = fopen(path, "rb");
        ck_assert_ptr_nonnull(file);
        image->files[i].bytes = malloc(FILE_SIZE_MAX);
        ck_assert_ptr_nonnull(image->files[i].bytes);
        image->files[i].size = fread(image->files[i].bytes, 1, FILE_SIZE_MAX, file);
        ck_assert_uint_lt(image->files[i].size, FILE_SIZE_MAX);
        fclose(file);
    }
}

static void save_file(const char *folder, int i, const unsigned char *bytes, size_t size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, file_names[i]);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    ck_assert_int_eq(close(fd), 0);
}

/* The folder as the image has it, with `damaged` cut or changed in one place. */
static void restore(const char *folder, const store_image *image)
{
    for (int i = 0; i < FILES; i++)
        save_file(folder, i, image->files[i].bytes, image->files[i].size);
}

static void make_closed(store_image *image)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    OK(mlkv_open(folder, &small_options, &db));
    write_base(db);
    OK(mlkv_flush(db, MLKV_STORE)); /* so that pages were freed and used again */
    OK(mlkv_close(db));
    load(folder, image);
    image->crashed = false;
    harness_remove(folder);
}

static void die_writing(const char *folder)
{
    mlkv *db = NULL;
    mlkv_options options = small_options;
    options.durability = MLKV_SYNC;
    options.sync_interval_ms = 100000;
    if (mlkv_open(folder, &options, &db) != MLKV_OK)
        _exit(1);
    write_numbers(db, 's', SYNCED);
    options.durability = MLKV_JOURNAL;
    if (mlkv_open(folder, &options, &db) != MLKV_OK)
        _exit(1);
    write_numbers(db, 'j', UNSYNCED);
    (void)kill(getpid(), SIGKILL);
}

static void make_crashed(store_image *image)
{
    const char *folder = harness_folder();
    mlkv *db = NULL;
    int status = 0;
    OK(mlkv_open(folder, &small_options, &db));
    write_base(db);
    OK(mlkv_close(db));
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        die_writing(folder);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    load(folder, image);
    image->crashed = true;
    harness_remove(folder);
}

static void free_image(store_image *image)
{
    for (int i = 0; i < FILES; i++)
        free(image->files[i].bytes);
}

/* --- one damage --- */

typedef struct {
    const store_image *image;
    char folder[64];
    unsigned ends[END_COUNT];
    unsigned cases;
} laboratory;

static void laboratory_open(laboratory *self, const store_image *image)
{
    *self = (laboratory){.image = image};
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(self->folder, sizeof self->folder, "%s/mlkv-test-XXXXXX",
             memory ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(self->folder));
    char path[100];
    snprintf(path, sizeof path, "%s/journal.lock",
             self->folder); /* read-only openings ask for it */
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_ge(fd, 0);
    (void)close(fd);
}

static child_end run_child(const laboratory *self, bool read_only)
{
    int status = 0;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)alarm(SECONDS_MAX); /* dies of SIGALRM if it hangs */
        (void)close(STDERR_FILENO);
        for (int number = SIGABRT; number <= SIGSEGV; number++)
            (void)signal(number, SIG_DFL);
        _exit((int)examine(self->folder, self->image->crashed, read_only));
    }
    while (waitpid(pid, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    if (WIFEXITED(status))
        return WEXITSTATUS(status) < END_COUNT ? (child_end)WEXITSTATUS(status) : END_WRONG;
    ck_assert_msg(WTERMSIG(status) != SIGALRM, "a child hung");
    return END_SIGNAL;
}

/* The image but for one file. Returns how the reader of it fared. */
static child_end try_file(laboratory *self, int which, const unsigned char *bytes, size_t size,
                          bool read_only)
{
    restore(self->folder, self->image);
    save_file(self->folder, which, bytes, size);
    child_end end = run_child(self, read_only);
    self->ends[end]++;
    self->cases++;
    return end;
}

static child_end try_flip(laboratory *self, int which, size_t at, bool read_only)
{
    const file_image *file = &self->image->files[which];
    unsigned char before = file->bytes[at];
    file->bytes[at] ^= (unsigned char)(at % 3 == 0 ? 0xff : 1U << next_random() % 8);
    child_end end = try_file(self, which, file->bytes, file->size, read_only);
    if (end >= END_SILENT)
        fprintf(stderr, "test_bytes: %s of a %s store, byte %zu from %#x to %#x: %s\n",
                file_names[which], self->image->crashed ? "crashed" : "closed", at, before,
                file->bytes[at],
                end == END_SIGNAL  ? "died"
                : end == END_WRONG ? "wrong data"
                                   : "silent");
    file->bytes[at] = before;
    return end;
}

/* Tells the counts, and judges them. */
static void report(const laboratory *self, const char *what)
{
    fprintf(stderr,
            "test_bytes: %s, %u cases: %u without effect, %u refused, %u errors, %u lost and told, "
            "%u prefixes, %u silent, %u wrong, %u died\n",
            what, self->cases, self->ends[END_FINE], self->ends[END_REFUSED], self->ends[END_ERROR],
            self->ends[END_LOST_TOLD], self->ends[END_PREFIX], self->ends[END_SILENT],
            self->ends[END_WRONG], self->ends[END_SIGNAL]);
}

/* Every so many bytes of a file, those where something stands rather than zeros. */
static void flip_all(laboratory *self, int which, size_t stride, bool also_read_only)
{
    const file_image *file = &self->image->files[which];
    if (is_long())
        stride = 1;
    for (size_t at = next_random() % stride; at < file->size;
         at += 1 + next_random() % (2 * stride - 1)) {
        bool zero = file->bytes[at] == 0;
        if (zero && !is_long() && next_random() % 4 != 0)
            continue;
        try_flip(self, which, at, also_read_only && self->cases % 2 == 1);
    }
}

static void cut_all(laboratory *self, int which, size_t stride)
{
    const file_image *file = &self->image->files[which];
    if (is_long())
        stride = 1;
    for (size_t size = 0; size < file->size; size += 1 + next_random() % (2 * stride - 1))
        try_file(self, which, file->bytes, size, self->cases % 4 == 3 && !self->image->crashed);
}

START_TEST(closed_store)
{
    store_image image;
    laboratory lab;
    make_closed(&image);
    laboratory_open(&lab, &image);
    ck_assert_int_eq(try_file(&lab, DATA, image.files[DATA].bytes, image.files[DATA].size, true),
                     END_FINE);
    flip_all(&lab, DATA, 30, true);
    report(&lab, "bytes of a closed data.mdb");
    harness_remove(lab.folder);
    laboratory_open(&lab, &image);
    cut_all(&lab, DATA, 400);
    report(&lab, "lengths of a closed data.mdb");
    harness_remove(lab.folder);
    free_image(&image);
}
END_TEST

START_TEST(crashed_store)
{
    store_image image;
    laboratory lab;
    make_crashed(&image);
    static const size_t strides[FILES] = {90, 20, 40, 8};
    for (int which = 0; which < FILES; which++) {
        char what[80];
        laboratory_open(&lab, &image);
        ck_assert_int_eq(
            try_file(&lab, DATA, image.files[DATA].bytes, image.files[DATA].size, false), END_FINE);
        flip_all(&lab, which, strides[which], false);
        snprintf(what, sizeof what, "bytes of a crashed %s", file_names[which]);
        report(&lab, what);
        harness_remove(lab.folder);
        laboratory_open(&lab, &image);
        cut_all(&lab, which, which == HEAD ? 100 : 1000);
        snprintf(what, sizeof what, "lengths of a crashed %s", file_names[which]);
        report(&lab, what);
        harness_remove(lab.folder);
    }
    free_image(&image);
}
END_TEST

/* After a power cut the ring may be anything, and the log is all there is. */
START_TEST(log_alone)
{
    store_image image;
    laboratory lab;
    make_crashed(&image);
    memset(image.files[RING].bytes, 0, image.files[RING].size);
    laboratory_open(&lab, &image);
    ck_assert_int_eq(try_file(&lab, DATA, image.files[DATA].bytes, image.files[DATA].size, false),
                     END_PREFIX);
    flip_all(&lab, LOG, 16, false);
    cut_all(&lab, LOG, 1000);
    report(&lab, "bytes and lengths of a log that is alone");
    ck_assert_uint_gt(lab.ends[END_REFUSED], 10);
    harness_remove(lab.folder);
    free_image(&image);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bytes");
    TCase *tcase = harness_case(suite, "bytes");
    tcase_add_test(tcase, closed_store);
    tcase_add_test(tcase, crashed_store);
    tcase_add_test(tcase, log_alone);
    return harness_run(suite);
}
