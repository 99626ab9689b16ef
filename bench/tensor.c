/* tensor.c - processes that add into one tensor, beside the same amount by memcpy.
 *
 * The parent opens the store and puts a tensor of zeros, then forks: the children use the handle
 * that they inherited. All begin behind a barrier in shared memory; each adds a tensor of ones many
 * times. The sum must be exact afterwards. The yardstick: as many processes copy as many bytes
 * between two private buffers.
 */
#include "tensor.h"

#include "measure.h"

#include <mlkv/mlkv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ELEMENTS = TENSOR_BYTES / 4,
    COPIES = 20 /* copies for each addition, so that both take about as long */
};

static const mlkv_tensor shape = {
    .dtype = MLKV_F32, .dimensions = 2, .shape = {256, ELEMENTS / 256}};
static const mlkv_slice tensor_key = {"parameters", 10};

static int report(const char *what, int result)
{
    fprintf(stderr, "tensor: %s: %s: %s\n", what, mlkv_error_name(result), mlkv_error_detail());
    return -1;
}

typedef int (*child_work)(mlkv *db, int times);

static int add_work(mlkv *db, int times)
{
    float *ones = malloc(TENSOR_BYTES);
    int result = ones == NULL ? MLKV_E_MEMORY : MLKV_OK;
    for (size_t i = 0; result == MLKV_OK && i < ELEMENTS; i++)
        ones[i] = 1;
    for (int i = 0; result == MLKV_OK && i < times; i++)
        result = mlkv_tensor_add(db, tensor_key, 1.0, &shape, ones);
    if (result != MLKV_OK)
        report("add", result);
    free(ones);
    return result;
}

static int copy_work(mlkv *db, int times)
{
    unsigned char *from = malloc(TENSOR_BYTES), *to = malloc(TENSOR_BYTES);
    unsigned sum = 0;
    (void)db;
    if (from != NULL && to != NULL) {
        memset(from, 1, TENSOR_BYTES);
        for (int i = 0; i < times; i++) {
            from[i % TENSOR_BYTES]++;
            memcpy(to, from, TENSOR_BYTES);
            __asm__ volatile("" : : "r"(to) : "memory"); /* every copy is made */
            sum += to[i % TENSOR_BYTES];
        }
    }
    free(from);
    free(to);
    return sum == 0;
}

/* In memory that all processes share: each notes its own times, because on a full machine the
 * parent may wake long after the barrier opened. */
typedef struct {
    pthread_barrier_t barrier;
    double begun[TENSOR_PROCESSES], ended[TENSOR_PROCESSES];
} meeting;

static meeting *meeting_create(int processes)
{
    meeting *self =
        mmap(NULL, sizeof *self, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t attributes;
    if (self == MAP_FAILED)
        return NULL;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&self->barrier, &attributes, (unsigned)processes);
    return self;
}

static void run_child(meeting *meet, int number, mlkv *db, child_work work, int times)
{
    if (db != NULL) { /* the child opens the store at its first call: not what is measured */
        mlkv_tensor_info info = {.size = sizeof info};
        mlkv_tensor_get_info(db, tensor_key, &info);
    }
    pthread_barrier_wait(&meet->barrier);
    meet->begun[number] = measure_seconds();
    int result = work(db, times);
    meet->ended[number] = measure_seconds();
    _exit(result == 0 ? 0 : 1);
}

/* Runs the work in all processes at once; the time from the first beginning to the last end. */
static int run_children(mlkv *db, int processes, child_work work, int times, double *ret_seconds)
{
    meeting *meet = meeting_create(processes);
    int result = meet == NULL ? -1 : 0, status;
    for (int number = 0; meet != NULL && number < processes; number++) {
        pid_t child = fork();
        if (child < 0) {
            perror("bench: fork");
            abort(); /* the others wait at the barrier for ever */
        }
        if (child == 0)
            run_child(meet, number, db, work, times);
    }
    for (int number = 0; meet != NULL && number < processes; number++) {
        if (wait(&status) < 0 || status != 0)
            result = -1;
    }
    if (meet == NULL)
        return -1;
    double begun = meet->begun[0], ended = meet->ended[0];
    for (int number = 1; number < processes; number++) {
        begun = meet->begun[number] < begun ? meet->begun[number] : begun;
        ended = meet->ended[number] > ended ? meet->ended[number] : ended;
    }
    *ret_seconds = ended - begun;
    munmap(meet, sizeof *meet);
    return result;
}

static int check_sum(mlkv *db, int additions)
{
    float *data = malloc(TENSOR_BYTES);
    int result = data == NULL ? MLKV_E_MEMORY : mlkv_tensor_get(db, tensor_key, data, TENSOR_BYTES);
    if (result != MLKV_OK)
        report("get", result);
    for (size_t i = 0; result == MLKV_OK && i < ELEMENTS; i++) {
        if (data[i] != (float)additions) {
            fprintf(stderr, "tensor: element %zu is %g after %d additions of 1\n", i,
                    (double)data[i], additions);
            result = MLKV_E_CORRUPT;
        }
    }
    free(data);
    return result == MLKV_OK ? 0 : -1;
}

int tensor_run(const char *folder, int processes, int additions_each, double *ret_add_ns,
               double *ret_copy_ns)
{
    mlkv *db = NULL;
    double seconds = 0;
    int all = processes * additions_each;
    float *zeros = calloc(ELEMENTS, sizeof *zeros);
    int result = zeros == NULL ? -1 : mlkv_open(folder, NULL, &db);
    if (result == MLKV_OK)
        result = mlkv_tensor_put(db, tensor_key, &shape, zeros, NULL);
    free(zeros);
    if (result != MLKV_OK)
        report("put", result);
    if (result == MLKV_OK)
        result = run_children(db, processes, add_work, additions_each, &seconds);
    *ret_add_ns = seconds * 1e9 / all;
    if (result == MLKV_OK)
        result = check_sum(db, all);
    int closed = mlkv_close(db);
    if (result == MLKV_OK)
        result = run_children(NULL, processes, copy_work, additions_each * COPIES, &seconds);
    *ret_copy_ns = seconds * 1e9 / all / COPIES;
    return result == MLKV_OK && closed == MLKV_OK ? 0 : -1;
}
