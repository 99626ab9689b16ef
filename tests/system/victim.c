/* victim.c - the program that system tests start and kill.
 *
 *   victim steps FOLDER DURABILITY COUNTERS POINT PASS COUNT PAUSE BACKUP
 *                      runs COUNT steps of steps.h from where the store stands, PAUSE us apart, and
 *                      says the number of each that returned; dies at the PASS-th passing of fault
 *                      point POINT (-1: none). COUNTERS: a file to map for the fault counters.
 *                      BACKUP: the folder that a backup goes to after some steps, after which
 *                      the store is compacted (-: neither)
 *   victim add FOLDER KEY COUNT    adds 1 to the string KEY, COUNT times
 *   victim hold FOLDER             takes the writer lock in a transaction, says so, and waits to be
 *                                  killed
 *   victim idle FOLDER             opens, says so, and waits until stdin ends
 *   victim get FOLDER KEY          prints the string
 */
#include "steps.h"

#include "base/fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BACKUP_AFTER = 3 }; /* steps */

static int complain(const char *what, int result)
{
    fprintf(stderr, "victim: %s: %d %s: %s\n", what, result, mlkv_error_name(result),
            mlkv_error_detail());
    return 3;
}

static int say(uint64_t number)
{
    char line[32];
    int size = snprintf(line, sizeof line, "%llu\n", (unsigned long long)number);
    return write(STDOUT_FILENO, line, (size_t)size) == size ? 0 : -1;
}

static void place_counters(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    size_t size = (FAULT_COUNT + 1) * sizeof(uint64_t);
    void *memory =
        file < 0 ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
        exit(complain("counters", -1));
    (void)close(file);
    fault_counters_place(memory);
}

static int run_steps(char **arguments)
{
    mlkv *db = NULL;
    mlkv_options options = steps_options(atoi(arguments[1]));
    int point = atoi(arguments[3]);
    uint64_t held = 0, count = strtoull(arguments[5], NULL, 10);
    useconds_t pause_us = (useconds_t)strtoul(arguments[6], NULL, 10);
    place_counters(arguments[2]);
    if (point >= 0)
        fault_arm((fault_point)point, FAULT_KILL, strtoull(arguments[4], NULL, 10), 0);
    int result = mlkv_open(arguments[0], &options, &db);
    if (result != MLKV_OK)
        return complain("open", result);
    result = steps_count(db, &held);
    if (result != MLKV_OK)
        return complain("count", result);
    for (uint64_t i = held + 1; i <= held + count; i++) {
        if (pause_us != 0)
            (void)usleep(pause_us);
        if (i == held + BACKUP_AFTER && strcmp(arguments[7], "-") != 0) {
            result = mlkv_backup(db, arguments[7]);
            if (result == MLKV_OK)
                result = mlkv_compact(db, NULL);
            if (result != MLKV_OK && result != MLKV_E_PLATFORM) /* no holes in this file system */
                return complain("backup, compaction", result);
        }
        result = steps_run(db, i);
        if (result != MLKV_OK)
            return complain("step", result);
        if (say(i) != 0)
            return complain("say", -1);
    }
    result = mlkv_close(db);
    return result == MLKV_OK ? 0 : complain("close", result);
}

static int run_add(mlkv *db, const char *key, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int64_t value;
        int result = mlkv_string_add(db, (mlkv_slice){key, strlen(key)}, 1, &value);
        if (result != MLKV_OK)
            return complain("add", result);
    }
    return 0;
}

static int run_hold(mlkv *db)
{
    mlkv *tx;
    int64_t value;
    int result = mlkv_begin(db, &tx);
    if (result == MLKV_OK)
        result = mlkv_string_add(tx, (mlkv_slice){"held", 4}, 1, &value);
    if (result != MLKV_OK)
        return complain("begin", result);
    (void)say(1);
    for (;;)
        (void)pause();
}

static int run_get(mlkv *db, const char *key)
{
    mlkv_buffer value = {0};
    int result = mlkv_string_get(db, (mlkv_slice){key, strlen(key)}, &value);
    if (result != MLKV_OK)
        return complain("get", result);
    (void)fwrite(value.data, 1, value.size, stdout);
    mlkv_buffer_free(&value);
    return 0;
}

int main(int count, char **arguments)
{
    if (count == 10 && strcmp(arguments[1], "steps") == 0)
        return run_steps(arguments + 2);
    if (count < 3)
        return 2;
    mlkv *db = NULL;
    mlkv_options options = steps_options(MLKV_JOURNAL);
    int status = 2, result = mlkv_open(arguments[2], &options, &db);
    if (result != MLKV_OK)
        return complain("open", result);
    if (count == 5 && strcmp(arguments[1], "add") == 0)
        status = run_add(db, arguments[3], strtoull(arguments[4], NULL, 10));
    else if (count == 3 && strcmp(arguments[1], "hold") == 0)
        status = run_hold(db);
    else if (count == 4 && strcmp(arguments[1], "get") == 0)
        status = run_get(db, arguments[3]);
    else if (count == 3 && strcmp(arguments[1], "idle") == 0) {
        char byte;
        (void)say(1);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            ;
        status = 0;
    }
    result = mlkv_close(db);
    return result == MLKV_OK ? status : complain("close", result);
}
