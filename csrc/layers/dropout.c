/* dropout(p): in training each number is zeroed with probability p and the others are divided by 1 - p; in inference it
   is the identity (Srivastava et al. 2014). The mask is a function of seed, layer, step, sample and feature: the same
   for any number of threads, and backward computes it again. Twin: Dropout in pynet/reference/norms.py. */
#include "layers/layer.h"

#include <string.h>

enum { DROPOUT_PROBABILITY }; /* argument */

/* In training to = from / (1 - p), or 0 where the mask drops it; in inference to = from. */
static void apply_mask(const layer *l, const pass *p, activation to_rows, activation from_rows)
{
    const size_t n = (size_t)shape_size(&l->in), channels = (size_t)l->in.dim[0];
    EACH_OWN_ROW (i, p) {
        float *y = row_of(to_rows, i);
        const float *x = row_of(from_rows, i);
        if (p->training) {
            dropout_mask mask = dropout_row(l->word.arg[DROPOUT_PROBABILITY].number, p->seed, l->number, p->step,
                                            p->batch_from + (int)i);
            if (is_channels_last(l->channels_last, &l->in)) /* the mask counts features in the caller's order */
                mask.stride = n / channels;
            for (size_t at = 0; at < n; at += mask.stride == 1 ? n : channels, mask.first++)
                kernels()->dropout(y + at, x + at, mask.stride == 1 ? n : channels, &mask);
        } else {
            memcpy(y, x, n * sizeof *y);
        }
    }
}

static void dropout_forward(layer *l, const pass *p)
{
    apply_mask(l, p, l->y, layer_input(l, p));
}

static void dropout_backward(layer *l, const pass *p)
{
    apply_mask(l, p, l->dx, l->dy);
}

const layer_ops dropout_ops = {
    .shape = keep_shape,
    .forward = dropout_forward,
    .backward = dropout_backward,
    .transparent = true,
};
