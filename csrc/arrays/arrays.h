/* The parts of the public kernels that the network uses, too. */
#ifndef PN_ARRAYS_H
#define PN_ARRAYS_H

#include "base/base.h"

/* ---- gemm.c --------------------------------------------------------------------------------------------------------- */

/* A product whose B may be stored transposed, as (n,k). */
typedef struct {
    gemm_args g;
    bool trans_b;
} matrix_product;

/* Computes it on this thread. Any epilogue but EPI_UPDATE; with trans_b only EPI_STORE or EPI_RELU_GRAD. */
void matrix_product_compute(const matrix_product *p);

/* Could it take scratch for up to m rows by W (k,n), or for m rows by W transposed? */
bool product_may_pack(int64_t m, int64_t n, int64_t k, bool backward);

/* ---- elementwise.c ------------------------------------------------------------------------------------------------ */

/* The channels of a batch (m, positions, n) with ld floats from sample to sample. */
channel_rows rows_of_channels(int m, size_t ld, int positions, int n);

/* ---- optimizers.c -------------------------------------------------------------------------------------------------- */

#define MAX_STATES 2 /* state tensors of an optimizer for each parameter */

/* Names of the state tensors of this optimizer, such as "velocity"; returns their number. */
int optim_states(pn_optim_kind kind, const char *const **names);

pn_status optim_check_kind(pn_optim_kind kind, char *err);

/* Are the options of the optimizer valid for a call of this many steps? */
pn_status optim_check(const pn_optim *opt, int64_t steps, char *err);

/* One step of the optimizer: the rule for tensors with weight decay, and for the others. */
typedef struct {
    update_rule decayed, others;
} optim_step;

/* The rules of step t, from 1, which is step `taken` of this call, from 0. Gradients are multiplied by scale. */
optim_step optim_step_of(const pn_optim *opt, int64_t taken, int64_t t, float scale);

/* One step of n numbers w, their gradients dw and their states a and b, as far as the rule uses them. */
void update_array(const update_rule *r, float *w, float *a, float *b, const float *dw, size_t n);

/* ---- augment.c ----------------------------------------------------------------------------------------------------- */

/* Options and tables for all samples of a call, and scratch for each thread. */
typedef struct augmenter augmenter;

/* Sets *a, which may be NULL, to these options, for samples of this shape and this many threads. Memory is allocated only
   for the first pictures of a size. Free with augmenter_free. */
pn_status augmenter_set(augmenter **a, const pn_augment *options, const shape *sample, int threads, char *err);
void augmenter_free(augmenter *a);

const pn_augment *augmenter_options(const augmenter *a);

/* Bytes of *a after augmenter_set; options NULL: of *a as it is. */
uint64_t augmenter_size(const augmenter *a, const pn_augment *options, const shape *sample, int threads);

/* Sample x (channels, height, width) augmented as row `row` of the batch of this step. The result is in the thread's
   scratch, until its next call. */
const float *augmented_sample(const augmenter *a, int thread, const void *x, pn_dtype dtype, uint64_t seed,
                              uint64_t step, uint32_t row);

#endif
