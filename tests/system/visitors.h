/* visitors.h - what the tests that use visitor.c share. */
#ifndef MLKV_TESTS_SYSTEM_VISITORS_H
#define MLKV_TESTS_SYSTEM_VISITORS_H

#include "processes.h"
#include "steps.h"

#include <linux/magic.h>
#include <sys/vfs.h>

/* From here on process_start starts the visitor (its path is in MLKV_VISITOR, set by meson). */
static inline void use_visitor(void)
{
    const char *program = getenv("MLKV_VISITOR");
    ck_assert_msg(program != NULL && setenv("MLKV_VICTIM", program, 1) == 0,
                  "MLKV_VISITOR is not set: run the tests through meson");
}

/* Whether the folder's files are in memory only, where durability `sync` means `store`. */
static inline bool folder_is_in_memory(const char *path)
{
    struct statfs status;
    return statfs(path, &status) == 0 && (unsigned long)status.f_type == TMPFS_MAGIC;
}

/* The number that a string holds; 0 if there is none. */
static inline int64_t number_of(mlkv *view, const char *key)
{
    mlkv_buffer value = {0};
    char text[24] = {0};
    int result = mlkv_string_get(view, slice_of_text(key), &value);
    if (result == MLKV_OK)
        memcpy(text, value.data, value.size < 23 ? value.size : 23);
    else
        MUST(MLKV_ABSENT, result);
    mlkv_buffer_free(&value);
    return strtoll(text, NULL, 10);
}

#endif
