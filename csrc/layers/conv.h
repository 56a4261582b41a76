/* What the two ways to compute a convolution share. */
#ifndef PN_CONV_H
#define PN_CONV_H

#include "layers/layer.h"

/* Width of the padded image, sizes of the output, and of the matrix product: (positions, k) by (k, n). */
typedef struct {
    int kernel, stride, width, channels;
    int out_height, out_width, positions; /* positions = out_height out_width */
    int k, n;
} sizes;
sizes sizes_of(const layer *l);

/* b; without bias zeros. */
const float *conv_biases(const layer *l);

/* ---- conv_winograd.c ----------------------------------------------------------------------------------------------- */

/* Is Winograd's way faster for a layer of this shape? Its sums are other ones, so that nothing else may decide. */
bool winograd_pays(const layer *l);

/* Floats of scratch: for the transformed kernels, and for each thread. */
size_t winograd_scratch(const layer *l);
size_t winograd_thread_scratch(const layer *l);

/* Transforms the kernels, after W has changed, if the layer is computed so: each thread a part. */
void winograd_begin(layer *l, const pass *p);

void winograd_forward(layer *l, const pass *p);
void winograd_backward(layer *l, const pass *p);

/* This thread's part of dW, with the optimizer applied to W if there is one; and, after a barrier, all of db (n). */
void winograd_weight_gradient(layer *l, const pass *p, float *dW, float *db);

#endif
