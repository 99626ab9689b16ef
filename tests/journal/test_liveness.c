/* test_liveness.c - who is alive: openers alone and together, deaths, forks, races. */
#include "fixture.h"

/* Fails under I07-two-recover, R09-locks-of-the-process of tests/broken. */
START_TEST(test_alone_and_shared)
{
    const char *folder = harness_folder();
    liveness *first = NULL, *second = NULL;
    bool alone = false;
    OK(liveness_enter(folder, false, 100, &first, &alone));
    ck_assert(alone);
    MUST(MLKV_E_BUSY, liveness_enter(folder, false, 20, &second, &alone));
    MUST(MLKV_E_BUSY, liveness_enter(folder, true, 20, &second, &alone));
    ck_assert_ptr_null(second);
    OK(liveness_share(first));
    OK(liveness_enter(folder, false, 1000, &second, &alone));
    ck_assert(!alone);
    ck_assert_uint_ne(liveness_session(first), liveness_session(second));
    MUST(MLKV_ABSENT, liveness_try_alone(first));
    MUST(MLKV_ABSENT, liveness_try_alone(second));
    liveness_leave(first);
    OK(liveness_try_alone(second));
    MUST(MLKV_E_BUSY, liveness_enter(folder, false, 0, &first, &alone));
    OK(liveness_share(second));
    liveness_leave(second);
    liveness_leave(NULL);
    OK(liveness_enter(folder, false, 100, &first, &alone));
    ck_assert(alone);
    liveness_leave(first);
    harness_remove(folder);
}
END_TEST

START_TEST(test_sessions)
{
    const char *folder = harness_folder();
    liveness *first = NULL, *second = NULL, *reader = NULL;
    bool alone;
    OK(liveness_enter(folder, false, 100, &first, &alone));
    OK(liveness_share(first));
    OK(liveness_enter(folder, false, 1000, &second, &alone));
    OK(liveness_enter(folder, true, 1000, &reader, &alone));
    uint64_t one = liveness_session(first), two = liveness_session(second);
    ck_assert_uint_gt(one, 0);
    ck_assert_uint_lt(one, (uint64_t)1 << 61);
    ck_assert_uint_eq(liveness_session(reader), 0);
    ck_assert(liveness_session_alive(first, one));
    ck_assert(liveness_session_alive(first, two));
    ck_assert(liveness_session_alive(second, one));
    ck_assert(liveness_session_alive(reader, two));
    ck_assert(!liveness_session_alive(first, one ^ two));
    ck_assert(!liveness_session_alive(first, 0));
    ck_assert(!liveness_session_alive(first, UINT64_MAX));
    liveness_leave(first);
    ck_assert(!liveness_session_alive(second, one));
    ck_assert(liveness_session_alive(second, two));
    liveness_leave(second);
    ck_assert(!liveness_session_alive(reader, two));
    liveness_leave(reader);
    harness_remove(folder);
}
END_TEST

START_TEST(test_read_only)
{
    const char *folder = harness_folder();
    liveness *reader = NULL, *second = NULL, *writer = NULL;
    bool alone;
    MUST(MLKV_E_ABSENT_STORE, liveness_enter(folder, true, 0, &reader, &alone));
    MUST(MLKV_E_IO, liveness_enter("/no/such/folder", false, 0, &reader, &alone));
    ck_assert(!exists(folder, "journal.lock"));
    close(open_in(folder, "journal.lock", O_CREAT | O_WRONLY));
    OK(liveness_enter(folder, true, 100, &reader, &alone));
    ck_assert(alone);
    MUST(MLKV_ABSENT, liveness_try_alone(reader));
    OK(liveness_enter(folder, false, 100, &writer, &alone)); /* is alone for all that */
    ck_assert(alone);
    MUST(MLKV_E_BUSY, liveness_enter(folder, true, 5, &second, &alone));
    OK(liveness_share(writer));
    OK(liveness_enter(folder, true, 100, &second, &alone));
    ck_assert(!alone);
    liveness_leave(reader);
    OK(liveness_try_alone(writer));
    liveness_leave(writer);
    liveness_leave(second);
    harness_remove(folder);
}
END_TEST

START_TEST(test_death_is_noticed)
{
    const char *folder = harness_folder();
    uint64_t *session = shared_page();
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        liveness *mine = NULL;
        bool alone;
        CHILD_MUST(liveness_enter(folder, false, 1000, &mine, &alone) == 0 && alone);
        CHILD_MUST(liveness_share(mine) == 0);
        __atomic_store_n(session, liveness_session(mine), __ATOMIC_RELEASE);
        for (;;)
            pause();
    }
    while (__atomic_load_n(session, __ATOMIC_ACQUIRE) == 0)
        usleep(1000);
    liveness *self = NULL;
    bool alone = true;
    OK(liveness_enter(folder, false, 60000, &self, &alone));
    ck_assert(!alone);
    ck_assert(liveness_session_alive(self, *session));
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert(!liveness_session_alive(self, *session));
    OK(liveness_try_alone(self));
    liveness_leave(self);
    munmap(session, 4096);
    harness_remove(folder);
}
END_TEST

START_TEST(test_fork)
{
    const char *folder = harness_folder();
    liveness *self = NULL, *other = NULL;
    bool alone;
    OK(liveness_enter(folder, false, 100, &self, &alone));
    OK(liveness_share(self));
    uint64_t session = liveness_session(self);
    int status;
    IN_CHILD(status, {
        liveness_abandon(self);
        liveness_abandon(NULL);
        liveness *mine = NULL;
        bool mine_alone;
        CHILD_MUST(liveness_enter(folder, false, 60000, &mine, &mine_alone) == 0);
        CHILD_MUST(!mine_alone); /* the parent's lock stands */
        CHILD_MUST(liveness_session_alive(mine, session));
        liveness_leave(mine);
    });
    ck_assert_int_eq(status, 0);
    MUST(0, liveness_try_alone(self));
    OK(liveness_share(self));
    /* a child that did not abandon: the parent's leaving counts all the same */
    pid_t child = harness_fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        for (;;)
            pause();
    liveness_leave(self);
    OK(liveness_enter(folder, false, 60000, &other, &alone));
    ck_assert(alone);
    ck_assert(!liveness_session_alive(other, session));
    liveness_leave(other);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    harness_remove(folder);
}
END_TEST

enum { OPENERS = 6, ROUNDS = 150 };

/* Each opener that is alone "recovers": sets the mark up; the last to leave takes it down. Nobody
 * may come in as not alone while the mark is down, and nobody alone while somebody is in. */
static int open_and_close(const char *folder, uint64_t *mark, uint64_t *inside)
{
    for (int i = 0; i < ROUNDS; i++) {
        liveness *self = NULL;
        bool alone;
        CHILD_MUST(liveness_enter(folder, false, 60000, &self, &alone) == 0);
        if (alone) {
            CHILD_MUST(__atomic_load_n(inside, __ATOMIC_SEQ_CST) == 0);
            __atomic_store_n(mark, 1, __ATOMIC_SEQ_CST);
            CHILD_MUST(liveness_share(self) == 0);
        }
        CHILD_MUST(__atomic_load_n(mark, __ATOMIC_SEQ_CST) == 1);
        __atomic_fetch_add(inside, 1, __ATOMIC_SEQ_CST);
        if (i % 3 == 0)
            usleep(200);
        CHILD_MUST(__atomic_load_n(mark, __ATOMIC_SEQ_CST) == 1);
        __atomic_fetch_sub(inside, 1, __ATOMIC_SEQ_CST);
        int result = liveness_try_alone(self);
        CHILD_MUST(result >= 0);
        if (result == 0)
            __atomic_store_n(mark, 0, __ATOMIC_SEQ_CST); /* closed clean */
        liveness_leave(self);
    }
    return 0;
}

START_TEST(test_openers_race)
{
    const char *folder = harness_folder();
    uint64_t *page = shared_page();
    pid_t children[OPENERS];
    for (int i = 0; i < OPENERS; i++) {
        children[i] = harness_fork();
        ck_assert_int_ge(children[i], 0);
        if (children[i] == 0)
            _exit(open_and_close(folder, &page[0], &page[16]));
    }
    for (int i = 0; i < OPENERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    munmap(page, 4096);
    harness_remove(folder);
}
END_TEST

/* R9: a program that this process starts does not inherit what keeps it alive to others. Fails
 * under R09-lives-on-in-programs of tests/broken. */
START_TEST(test_programs_inherit_nothing)
{
    const char *folder = harness_folder();
    liveness *self = NULL;
    bool alone;
    unsigned found = 0;
    OK(liveness_enter(folder, false, TEST_LOCK_MS, &self, &alone));
    for (int fd = 3; fd < 256; fd++) {
        char link[64], path[1400];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, path, sizeof path - 1);
        if (size <= 0)
            continue;
        path[size] = '\0';
        if (strstr(path, "journal.lock") == NULL)
            continue;
        found++;
        ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
    ck_assert_uint_eq(found, 1);
    liveness_leave(self);
    harness_remove(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal/liveness");
    TCase *tcase = harness_case(suite, "liveness");
    tcase_add_test(tcase, test_alone_and_shared);
    tcase_add_test(tcase, test_sessions);
    tcase_add_test(tcase, test_read_only);
    tcase_add_test(tcase, test_death_is_noticed);
    tcase_add_test(tcase, test_fork);
    tcase_add_test(tcase, test_openers_race);
    tcase_add_test(harness_case(suite, "rules"), test_programs_inherit_nothing);
    return harness_run(suite);
}
