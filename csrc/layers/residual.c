/* residual(f): y = x + f(x), or y = x P + f(x) where f changes the shape (He et al. 2016). f and the projection P are
   layers of their own that graph.c links and that run before this one, which only adds. Twin: Residual in
   pynet/reference/layers.py. */
#include "layers/layer.h"

/* y = x + f(x) */
static void residual_forward(layer *l, const pass *p)
{
    const activation a = l->residual.skip ? l->residual.skip->y : layer_input(l, p), b = l->residual.inner->y;
    const size_t n = (size_t)shape_size(&l->out);
    EACH_OWN_ROW (i, p)
        kernels()->add(row_of(l->y, i), row_of(a, i), row_of(b, i), n);
}

/* dx holds the gradient through f already; adds dy, or the gradient through the projection. */
static void residual_backward(layer *l, const pass *p)
{
    const activation d = l->residual.skip ? l->residual.skip->dx : l->dy;
    const size_t n = (size_t)shape_size(&l->in);
    EACH_OWN_ROW (i, p) {
        float *dx = row_of(l->dx, i);
        kernels()->add(dx, dx, row_of(d, i), n);
    }
}

const layer_ops residual_ops = {.forward = residual_forward, .backward = residual_backward};
