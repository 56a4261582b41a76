/* The public kernels on callers' arrays, and what the network needs of them. */
#ifndef PN_ARRAYS_H
#define PN_ARRAYS_H

#include "base/base.h"

/* ---- elementwise.c ------------------------------------------------------------------------------------------------ */

/* All of a batch of m samples, ld floats apart, whose places hold n channels each. */
channel_rows rows_of_channels(int m, size_t ld, int positions, int n);

/* ---- optimizers.c -------------------------------------------------------------------------------------------------- */

#define MAX_STATES 2 /* arrays that an optimizer keeps for each parameter */

/* Names of the arrays that this optimizer keeps, as "velocity"; returns how many. */
int optim_states(pn_optim_kind kind, const char *const **names);

pn_status optim_check_kind(pn_optim_kind kind, char *err);

/* Are these numbers accepted, for a call of so many steps? */
pn_status optim_check(const pn_optim *opt, int64_t steps, char *err);

/* One step of the optimizer, for tensors that decay and for the others. */
typedef struct {
    update_rule decayed, others;
} optim_step;

/* The constants of step t, from 1, before which `taken` others of this call went; gradients are multiplied by scale. */
optim_step optim_step_of(const pn_optim *opt, int64_t taken, int64_t t, float scale);

/* ---- augment.c: pictures changed at random on their way into training ------------------------------------------------ */

/* What is the same for all samples of a call, and work memory for each thread. */
typedef struct augmenter augmenter;

/* For samples of this shape and so many threads; *made is NULL if `options` is. Free with augmenter_free. */
pn_status augmenter_new(augmenter **out, const pn_augment *options, const shape *sample, int threads, char *err);
void augmenter_free(augmenter *a);

/* What training sees of a sample x (channels, height, width) as row `row` of the batch of step `when`; it lies in work memory of
   this thread until its next call. */
const float *augmented_sample(const augmenter *a, int thread, const void *x, pn_dtype dtype, uint64_t seed,
                              uint64_t step, uint32_t row);

#endif
