/* maxpool(size, stride), avgpool(size, stride), globalavgpool: maximum or mean of each window, for each channel. Only
   windows that fit the image count. No parameters. Twins: MaxPool and AvgPool in pynet/reference/layers.py. */
#include "layers/layer.h"

enum { POOL_SIZE, POOL_STRIDE }; /* arguments */

static windows windows_of(const layer *l)
{
    const bool whole = l->word.kind == PN_GLOBALAVGPOOL;
    const int size = (int)l->word.arg[POOL_SIZE].number, stride = (int)l->word.arg[POOL_STRIDE].number;
    return (windows){
        .height = (int)l->in.dim[1],
        .width = (int)l->in.dim[2],
        .channels = (int)l->in.dim[0],
        .out_height = (int)l->out.dim[1],
        .out_width = (int)l->out.dim[2],
        .window_height = whole ? (int)l->in.dim[1] : size,
        .window_width = whole ? (int)l->in.dim[2] : size,
        .stride = whole                      ? 1
                  : stride == STRIDE_OF_SIZE ? size
                                             : stride,
    };
}

static pn_status pool_shape(layer *l, char *err)
{
    pn_status status = needs_image(l, err);
    if (status)
        return status;
    const windows w = windows_of(l);
    return window_shape(l, w.channels, w.height, w.width, w.window_height, w.window_width, w.stride, err);
}

static void pool_rows(const layer *l, const pass *p, void (*kernel)(float *y, const float *x, const windows *w))
{
    const windows w = windows_of(l);
    const activation x = layer_input(l, p);
    EACH_OWN_ROW (i, p)
        kernel(row_of(l->y, i), row_of(x, i), &w);
}

/* y = maximum of each window; dx gets each dy at the position of the maximum, the first of equal ones. */
static void maxpool_forward(layer *l, const pass *p)
{
    pool_rows(l, p, kernels()->maxpool);
}

static void maxpool_backward(layer *l, const pass *p)
{
    const windows w = windows_of(l);
    const activation x = layer_input(l, p), dx = layer_input_gradient(l, p);
    EACH_OWN_ROW (i, p)
        kernels()->maxpool_grad(row_of(dx, i), row_of(l->dy, i), row_of(x, i), row_of(l->y, i), &w,
                                fuses_relu_grad(l, p));
}

/* y = mean of each window; dx += dy / window size. */
static void avgpool_forward(layer *l, const pass *p)
{
    pool_rows(l, p, kernels()->avgpool);
}

static void avgpool_backward(layer *l, const pass *p)
{
    const windows w = windows_of(l);
    const activation dx = layer_input_gradient(l, p);
    EACH_OWN_ROW (i, p)
        kernels()->avgpool_grad(row_of(dx, i), row_of(l->dy, i), &w);
}

const layer_ops maxpool_ops = {
    .on_images = true,
    .transparent = true,
    .fuses_backward = true,
    .shape = pool_shape,
    .forward = maxpool_forward,
    .backward = maxpool_backward,
};
const layer_ops avgpool_ops = {
    .on_images = true,
    .transparent = true,
    .shape = pool_shape,
    .forward = avgpool_forward,
    .backward = avgpool_backward,
};
