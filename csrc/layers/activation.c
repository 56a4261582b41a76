/* Activations: ReLU and variants, sigmoid, tanh on each element; softmax on each row. No parameters; same shape.
   Twins: ReLU, LeakyReLU, GELU, Sigmoid, Tanh and Softmax in pynet/reference/layers.py. */
#include "layers/layer.h"

enum { LEAKY_RELU_SLOPE }; /* argument of leaky_relu */

typedef void (*forward_kernel)(float *y, const float *x, size_t n);
typedef void (*backward_kernel)(float *dx, const float *dy, const float *y, size_t n);

/* Row by row, to leave the padding zero: sigmoid(0) is not 0. */
static void activate_rows(const layer *l, const pass *p, forward_kernel kernel)
{
    const activation x = layer_input(l, p);
    const size_t n = (size_t)shape_size(&l->in);
    EACH_OWN_ROW (i, p)
        kernel(row_of(l->y, i), row_of(x, i), n);
}

/* The kernels compute the slope from y, or from x: `from_rows`. */
static void activate_rows_backward(const layer *l, const pass *p, backward_kernel kernel, activation from_rows)
{
    const size_t n = (size_t)shape_size(&l->in);
    EACH_OWN_ROW (i, p)
        kernel(row_of(l->dx, i), row_of(l->dy, i), row_of(from_rows, i), n);
}

/* y = max(x, 0); dx = dy where y > 0, else 0. */
static void relu_forward(layer *l, const pass *p)
{
    activate_rows(l, p, kernels()->relu);
}

static void relu_backward(layer *l, const pass *p)
{
    activate_rows_backward(l, p, kernels()->relu_grad, l->y);
}

/* y = x where x > 0, else slope x; dx = dy, or slope dy. */
static void leaky_relu_forward(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    const size_t n = (size_t)shape_size(&l->in);
    EACH_OWN_ROW (i, p)
        kernels()->leaky_relu(row_of(l->y, i), row_of(x, i), n, (float)l->word.arg[LEAKY_RELU_SLOPE].number);
}

static void leaky_relu_backward(layer *l, const pass *p)
{
    const size_t n = (size_t)shape_size(&l->in);
    EACH_OWN_ROW (i, p)
        kernels()->leaky_relu_grad(row_of(l->dx, i), row_of(l->dy, i), row_of(l->y, i), n,
                                   (float)l->word.arg[LEAKY_RELU_SLOPE].number);
}

/* y = x P(x), P the cumulative normal distribution; dx = dy (P(x) + x P'(x)), from x: two different x have the same
   y. */
static void gelu_forward(layer *l, const pass *p)
{
    activate_rows(l, p, kernels()->gelu);
}

static void gelu_backward(layer *l, const pass *p)
{
    activate_rows_backward(l, p, kernels()->gelu_grad, layer_input(l, p));
}

/* y = 1 / (1 + exp(-x)); dx = dy y (1 - y). */
static void sigmoid_forward(layer *l, const pass *p)
{
    activate_rows(l, p, kernels()->sigmoid);
}

static void sigmoid_backward(layer *l, const pass *p)
{
    activate_rows_backward(l, p, kernels()->sigmoid_grad, l->y);
}

/* y = tanh(x); dx = dy (1 - y^2). */
static void tanh_forward(layer *l, const pass *p)
{
    activate_rows(l, p, kernels()->tanh);
}

static void tanh_backward(layer *l, const pass *p)
{
    activate_rows_backward(l, p, kernels()->tanh_grad, l->y);
}

/* y = exp(x) / the sum of exp(x) over the row; dx = y (dy - the sum over the row of dy y). */
static void softmax_forward(layer *l, const pass *p)
{
    const row_range own = my_rows(p);
    const activation x = layer_input(l, p);
    const size_t i = own.from;
    kernels()->softmax(l->y.data + i * l->y.ld, l->y.ld, x.data + i * x.ld, x.ld, (int)(own.to - i),
                       (int)shape_size(&l->in), 1);
}

static void softmax_backward(layer *l, const pass *p)
{
    const row_range own = my_rows(p);
    const size_t i = own.from;
    kernels()->softmax_grad(l->dx.data + i * l->dx.ld, l->dx.ld, l->dy.data + i * l->dy.ld, l->dy.ld,
                            l->y.data + i * l->y.ld, l->y.ld, (int)(own.to - i), (int)shape_size(&l->in));
}

const layer_ops relu_ops = {.shape = keep_shape, .forward = relu_forward, .backward = relu_backward, .rectifies = true};
const layer_ops leaky_relu_ops = {
    .shape = keep_shape, .forward = leaky_relu_forward, .backward = leaky_relu_backward, .rectifies = true};
const layer_ops gelu_ops = {.shape = keep_shape, .forward = gelu_forward, .backward = gelu_backward, .rectifies = true};
const layer_ops sigmoid_ops = {.shape = keep_shape, .forward = sigmoid_forward, .backward = sigmoid_backward};
const layer_ops tanh_ops = {.shape = keep_shape, .forward = tanh_forward, .backward = tanh_backward};
const layer_ops softmax_ops = {.shape = keep_shape, .forward = softmax_forward, .backward = softmax_backward};
