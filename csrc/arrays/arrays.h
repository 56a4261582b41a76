/* Pictures changed at random on their way into training. */
#ifndef PN_AUGMENT_H
#define PN_AUGMENT_H

#include "layers/layer.h"

/* What is the same for all samples of a call, and work memory for each thread. */
typedef struct augmenter augmenter;

/* For samples of this shape and so many threads; *made is NULL if `how` is. Free with augmenter_free. */
pn_status augmenter_new(augmenter **made, const pn_augment *how, const shape *sample, int threads, char *err);
void augmenter_free(augmenter *a);

/* What training sees of a sample x (channels, height, width) as row `row` of the batch of step `when`; it lies in work memory of
   this thread until its next call. */
const float *augmented_sample(const augmenter *a, int thread, const void *x, pn_dtype dtype, uint64_t seed,
                              uint64_t when, uint32_t row);

#endif
