/* memory.c - the folder of an in-memory store: a fresh one in /dev/shm or TMPDIR, removed by the
 * process that made it. */
#include "engine/engine.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int engine_memory_folder(char *ret_path, size_t size)
{
    const char *temporary =
        secure_getenv("TMPDIR"); /* a set-uid program does not put its data where its caller says */
    const char *const places[] = {
        "/dev/shm", temporary != NULL && temporary[0] == '/' ? temporary : "/tmp", "/tmp"};
    int number = ENOENT;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        int written = snprintf(ret_path, size, "%s/mlkv-XXXXXX", places[i]);
        if (written < 0 || (size_t)written >= size)
            continue;
        if (mkdtemp(ret_path) != NULL)
            return MLKV_OK;
        number = errno;
    }
    return error_set_system(number,
                            "no folder for an in-memory store (tried /dev/shm, TMPDIR, /tmp)");
}

void engine_remove_folder(const char *path)
{
    static const char *const names[] = {"data.mdb",     "lock.mdb",    "journal.head",
                                        "journal.ring", "journal.log", "journal.lock"};
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlinkat(folder, names[i], 0);
    (void)close(folder);
    (void)rmdir(path);
}
