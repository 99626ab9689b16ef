/* tensor.h - the parameter-server update under the benchmark: processes that add into one tensor,
 * beside the same by memcpy. */
#ifndef MLKV_BENCH_TENSOR_H
#define MLKV_BENCH_TENSOR_H

enum { TENSOR_PROCESSES = 4, TENSOR_BYTES = 1 << 20 };

/* One round each, by at most TENSOR_PROCESSES: wall-clock nanoseconds for one addition (one copy) of the whole tensor, all
 * processes together. The sum in the tensor is checked: no addition may be lost. 0 or -1 with a
 * line on stderr. */
int tensor_run(const char *folder, int processes, int additions_each, double *ret_add_ns,
               double *ret_copy_ns);

#endif
