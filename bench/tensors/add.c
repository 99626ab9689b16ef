/* add.c - 1, 2 and 4 processes that add into one tensor of 1 MiB, beside as many that copy as much (tensor.c). The sum is checked. */
#include "tensor.h"
#include "tensors/tensors.h"

int add_run(tensors_bench *bench)
{
    static const int counts[] = {1, 2, TENSOR_PROCESSES};
    int result = 0, times = (int)bench_pick(bench, 100, 30, 3);
    for (size_t i = 0; i < sizeof counts / sizeof *counts && result == 0; i++) {
        rate_row *add = rates_add(&bench->rates, "add", "mlkv", "f32", "ones", TENSOR_BYTES,
                                  counts[i]),
                 *copy = rates_add(&bench->rates, "add", "memcpy", "f32", "ones", TENSOR_BYTES,
                                   counts[i]);
        for (int round = 0; round < bench->rounds && result == 0; round++) {
            char folder[PATH_MAX_BYTES];
            double add_ns = 0, copy_ns = 0;
            snprintf(folder, sizeof folder, "%s/add", bench->folder);
            result = tensor_run(folder, counts[i], times, &add_ns, &copy_ns);
            bench_remove(bench, "add");
            rates_note(add, round, TENSOR_BYTES, 1e-9 * add_ns, 0);
            rates_note(copy, round, TENSOR_BYTES, 1e-9 * copy_ns, 1e-9 * copy_ns);
        }
        rates_end(&bench->rates, copy, 0);
    }
    return result;
}
