/* layernorm: the features of each sample are normalised to mean 0 and variance 1 (Ba, Kiros and Hinton 2016), then
   y = gamma normal + beta with trained gamma and beta. Twin: LayerNorm in pynet/reference/norms.py. */
#include "layers/layer.h"

enum { LAYERNORM_EPSILON }; /* argument */

static pn_status layernorm_shape(layer *l, char *err)
{
    const int64_t n = shape_size(&l->in);
    (void)err;
    l->out = l->in;
    l->n_params = 2;
    l->param[GAMMA] = parameter_vector("gamma", n, false);
    l->param[BETA] = parameter_vector("beta", n, false);
    l->scratch.size = 2 * padded(n); /* gradients of gamma and beta */
    l->scratch.row_size = 2;         /* mean and 1 / standard deviation */
    if (is_channels_last(l->channels_last, &l->in))
        l->scratch.thread_size =
            2 * padded(n); /* gamma and beta channels-last, or their gradients in the caller's order */
    l->scratch.row_inference = l->scratch.thread_inference = true;
    return PN_OK;
}

static void layernorm_init(layer *l, uint64_t seed)
{
    (void)seed;
    parameter_fill(&l->param[GAMMA], 1);
}

/* Parameter k in the order of x in work memory. */
static const float *in_order(const layer *l, const pass *p, int k)
{
    if (!is_channels_last(l->channels_last, &l->in))
        return l->param[k].data;
    float *channels_last =
        l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size + (size_t)k * l->scratch.thread_size / 2;
    sample_load(true, &l->in, channels_last, l->param[k].data);
    return channels_last;
}

/* y = gamma normal + beta, normal = (x - mean) / sqrt(variance + epsilon) with mean and variance of each row. */
static void layernorm_forward(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    const row_range own = my_rows(p);
    const size_t i = own.from;
    kernels()->layernorm(l->y.data + i * l->y.ld, l->y.ld, x.data + i * x.ld, x.ld, in_order(l, p, GAMMA),
                         in_order(l, p, BETA), l->scratch.row_data + 2 * i, (int)(own.to - i), (int)shape_size(&l->in),
                         (float)l->word.arg[LAYERNORM_EPSILON].number);
}

/* dx = (d - mean of d - normal mean of (d normal)) / sqrt(variance + epsilon), d = gamma dy. */
static void layernorm_backward(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    const row_range own = my_rows(p);
    const size_t i = own.from;
    kernels()->layernorm_grad(l->dx.data + i * l->dx.ld, l->dx.ld, l->dy.data + i * l->dy.ld, l->dy.ld,
                              x.data + i * x.ld, x.ld, in_order(l, p, GAMMA), l->scratch.row_data + 2 * i,
                              (int)(own.to - i), (int)shape_size(&l->in));
}

static void layernorm_update(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    const int n = (int)shape_size(&l->in);
    const bool channels_last = is_channels_last(l->channels_last, &l->in);
    float *dgamma = l->scratch.data, *dbeta = l->scratch.data + padded(n);
    int from = 0, to = n;
    if (!channels_last)
        my_part(p, n, PAD, &from, &to);
    else if (p->id > 0) /* a range of channels-last sums is no range of the parameters: thread 0 computes all of them */
        return;
    kernels()->layernorm_sums(dgamma + from, dbeta + from, l->dy.data + from, l->dy.ld, x.data + from, x.ld,
                              l->scratch.row_data, p->rows, to - from);
    if (channels_last) {
        float *plain = l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size;
        sample_store(true, &l->in, plain, dgamma);
        sample_store(true, &l->in, plain + l->scratch.thread_size / 2, dbeta);
        dgamma = plain;
        dbeta = plain + l->scratch.thread_size / 2;
    }
    parameter_take_gradient(&l->param[GAMMA], p, dgamma, from, to);
    parameter_take_gradient(&l->param[BETA], p, dbeta, from, to);
}

const layer_ops layernorm_ops = {
    .shape = layernorm_shape,
    .init = layernorm_init,
    .forward = layernorm_forward,
    .backward = layernorm_backward,
    .update = layernorm_update,
    .transparent = true,
};
