/* What all kinds of layers share: their part of the work, where their input lies, initial weights. */
#include "base/threads.h"
#include "layers/layer.h"

#include <math.h>

void my_part(const pass *p, int n, int grain, int *from, int *to)
{
    partition(p->id, p->threads, n, grain, from, to);
}

row_range my_rows(const pass *p)
{
    int from, to;
    if (p->own.to)
        return p->own;
    my_part(p, p->rows, 1, &from, &to);
    return (row_range){(size_t)from, (size_t)to};
}

activation layer_input(const layer *l, const pass *p)
{
    return l->copy_size ? l->copy : l->before ? l->x : p->inputs;
}

bool fuses_relu(const layer *l, const pass *p)
{
    return p->fuse && l->after && l->after->fused_forward;
}

bool fuses_relu_grad(const layer *l, const pass *p)
{
    return p->fuse && l->before && l->before->fused_backward;
}

activation layer_output(const layer *l, const pass *p)
{
    return fuses_relu(l, p) ? l->after->y : l->y;
}

activation layer_input_gradient(const layer *l, const pass *p)
{
    return l->copy_size ? l->dcopy : fuses_relu_grad(l, p) ? l->before->dx : l->dx;
}

pn_status keep_shape(layer *l, char *err)
{
    (void)err;
    l->out = l->in;
    return PN_OK;
}

layer *layer_source(layer *l)
{
    return l && !l->ops->forward ? l->before : l;
}

/* Is the next layer a ReLU or a variant, transparent ones skipped? */
static bool feeds_relu(const layer *l)
{
    const layer *next = l->after;
    while (next && next->ops->transparent)
        next = next->after;
    return next && next->ops->rectifies;
}

void init_weights(const layer *l, double fan_in, double fan_out, init_kind kind, uint64_t seed)
{
    const parameter *W = &l->param[0];
    double deviation = 1;
    if (kind == INIT_AUTO)
        kind = feeds_relu(l) ? INIT_HE : INIT_XAVIER;
    if (kind == INIT_HE)
        deviation = sqrt(2 / fan_in); /* He et al. 2015: ReLU halves the variance, the 2 gives it back */
    else if (kind == INIT_XAVIER)
        deviation = sqrt(2 / (fan_in + fan_out)); /* Glorot and Bengio 2010 */
    random_normal(W->data, W->size, (float)deviation, seed, (uint64_t)l->number);
}

/* Four of five pixels of a handwritten digit are black: products with zero are skipped. */
void mask_transpose(const nonzero_mask *mask, int samples)
{
    for (size_t w = 0; w < mask->row_words; w++)
        for (size_t c = 0; c < mask->column_words; c++) {
            uint64_t bits[64] = {0};
            for (size_t i = 0; i < 64 && 64 * c + i < (size_t)samples; i++)
                bits[i] = mask->rows[(64 * c + i) * mask->row_words + w];
            kernels()->transpose_bits(bits);
            for (size_t i = 0; i < 64; i++)
                mask->columns[(64 * w + i) * mask->column_words + c] = bits[i];
        }
}
