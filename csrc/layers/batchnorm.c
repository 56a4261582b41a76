/* batchnorm: each channel of a batch shifted and scaled to mean 0 and variance 1 (Ioffe and Szegedy 2015), layernorm: the
   features of each sample (Ba, Kiros and Hinton 2016); then y = gamma normal + beta with parameters of its own. */
#include "layers/layer.h"

#include <string.h>

enum { EPSILON, MOMENTUM };                           /* arguments */
enum { GAMMA, BETA, RUNNING_MEAN, RUNNING_VARIANCE }; /* parameters */

static void fill(parameter *p, float value)
{
    for (size_t i = 0; i < p->size; i++)
        p->data[i] = value;
}

static parameter vector_of(const char *name, int64_t n, bool state)
{
    return (parameter){.name = name, .rank = 1, .dim = {n}, .size = (size_t)n, .state = state};
}

/* Elements [from, to) of the gradients of gamma and beta: stored, or handed to the optimizer. */
static void deliver(layer *l, const pass *p, const float *dgamma, const float *dbeta, int from, int to)
{
    const float *gradients[] = {[GAMMA] = dgamma, [BETA] = dbeta};
    for (int k = GAMMA; k <= BETA; k++) {
        const parameter *to_move = &l->param[k];
        const size_t n = (size_t)(to - from);
        if (p->opt)
            optim_apply(p->opt, to_move, (size_t)from, gradients[k] + from, n);
        else
            memcpy(to_move->grad + from, gradients[k] + from, n * sizeof **gradients);
    }
}

/* ---- batchnorm ----------------------------------------------------------------------------------------------------- */

/* Work memory: of the batch in training. */
typedef struct {
    float *mean, *variance, *dgamma, *dbeta;
} batch_figures;

static batch_figures figures_of(const layer *l)
{
    const size_t n = padded(l->in.dim[0]);
    return (batch_figures){l->scratch, l->scratch + n, l->scratch + 2 * n, l->scratch + 3 * n};
}

static int places_of(const layer *l)
{
    return (int)(shape_size(&l->in) / l->in.dim[0]);
}

static pn_status batchnorm_shape(layer *l, char *err)
{
    const int64_t channels = l->in.dim[0];
    (void)err;
    l->out = l->in;
    l->n_params = 4;
    l->param[GAMMA] = vector_of("gamma", channels, false);
    l->param[BETA] = vector_of("beta", channels, false);
    l->param[RUNNING_MEAN] = vector_of("running_mean", channels, true);
    l->param[RUNNING_VARIANCE] = vector_of("running_var", channels, true);
    l->scratch_size = 4 * padded(channels);
    return PN_OK;
}

static pn_status batchnorm_check(const layer *l, int64_t rows, char *err)
{
    if (rows * places_of(l) > 1)
        return PN_OK;
    return fail(err, PN_ERR_ARGUMENT,
                "column %d: layer %s, batchnorm, trains on batches of at least 2 samples; this one has %lld",
                l->word.column, l->path, (long long)rows);
}

static void batchnorm_init(layer *l, uint64_t seed, uint64_t stream)
{
    (void)seed;
    (void)stream;
    fill(&l->param[GAMMA], 1);
    fill(&l->param[RUNNING_VARIANCE], 1);
}

/* In training a thread owns channels, since their sums run over the batch. */
static bool batchnorm_by_columns(const layer *l, const pass *p)
{
    (void)l;
    return p->training;
}

/* This thread's part: channels from `channel` on, of the rows that lie from `offset` on. */
typedef struct {
    channel_rows rows;
    channel_norm norm;
    size_t offset, channel;
} part;

static part own_part(const layer *l, const pass *p)
{
    const batch_figures f = figures_of(l);
    const size_t ld = l->y.ld;
    const int channels = (int)l->in.dim[0], places = places_of(l);
    int row = 0, rows = p->rows, from = 0, to = channels;
    if (p->training)
        my_share(p, channels, PAD, &from, &to);
    else
        my_share(p, p->rows, 1, &row, &rows);
    part own = {.offset = (size_t)row * ld + (size_t)from, .channel = (size_t)from};
    own.rows = rows_of_channels(rows - row, ld, places, channels);
    own.rows.n = to - from;
    own.norm = (channel_norm){
        .mean = (p->training ? f.mean : l->param[RUNNING_MEAN].data) + from,
        .variance = (p->training ? f.variance : l->param[RUNNING_VARIANCE].data) + from,
        .gamma = l->param[GAMMA].data + from,
        .beta = l->param[BETA].data + from,
        .epsilon = (float)l->word.arg[EPSILON],
    };
    return own;
}

static void batchnorm_forward(layer *l, const pass *p)
{
    const part own = own_part(l, p);
    const batch_figures f = figures_of(l);
    const float *x = layer_input(l, p).data + own.offset;
    if (p->rows == 0)
        return;
    if (p->training)
        kernels()->channel_moments(f.mean + own.channel, f.variance + own.channel, x, &own.rows);
    kernels()->channel_normalise(l->y.data + own.offset, x, &own.norm, &own.rows);
}

static void sum_gradients(layer *l, const pass *p, const part *own)
{
    const batch_figures f = figures_of(l);
    kernels()->channel_sums(f.dgamma + own->channel, f.dbeta + own->channel, l->dy.data + own->offset,
                            layer_input(l, p).data + own->offset, &own->norm, &own->rows);
}

static void batchnorm_backward(layer *l, const pass *p)
{
    const part own = own_part(l, p);
    const batch_figures f = figures_of(l);
    if (p->training)
        sum_gradients(l, p, &own);
    kernels()->channel_grad(l->dx.data + own.offset, l->dy.data + own.offset, layer_input(l, p).data + own.offset,
                            &own.norm, p->training ? f.dgamma + own.channel : NULL,
                            p->training ? f.dbeta + own.channel : NULL, &own.rows);
}

static void batchnorm_update(layer *l, const pass *p)
{
    const part own = own_part(l, p);
    const batch_figures f = figures_of(l);
    if (!l->wants_dx) /* then backward has not been called */
        sum_gradients(l, p, &own);
    deliver(l, p, f.dgamma, f.dbeta, (int)own.channel, (int)own.channel + own.rows.n);
}

/* Running mean and variance: what inference goes by. The variance as the samples estimate it, with n - 1. */
static void batchnorm_after_step(layer *l, const pass *p)
{
    const batch_figures f = figures_of(l);
    const double n = (double)p->rows * places_of(l);
    const float share = (float)l->word.arg[MOMENTUM];
    int from, to;
    my_share(p, (int)l->in.dim[0], PAD, &from, &to);
    if (p->rows == 0)
        return;
    kernels()->blend(l->param[RUNNING_MEAN].data + from, f.mean + from, (size_t)(to - from), share, 1);
    kernels()->blend(l->param[RUNNING_VARIANCE].data + from, f.variance + from, (size_t)(to - from), share,
                     (float)(n / (n - 1)));
}

const layer_ops batchnorm_ops = {
    .shape = batchnorm_shape,
    .check_batch = batchnorm_check,
    .init = batchnorm_init,
    .by_columns = batchnorm_by_columns,
    .forward = batchnorm_forward,
    .backward = batchnorm_backward,
    .update = batchnorm_update,
    .after_step = batchnorm_after_step,
    .backward_by_columns = batchnorm_by_columns,
    .on_images = true,
    .transparent = true,
};

/* ---- layernorm ----------------------------------------------------------------------------------------------------- */

static pn_status layernorm_shape(layer *l, char *err)
{
    const int64_t n = shape_size(&l->in);
    (void)err;
    l->out = l->in;
    l->n_params = 2;
    l->param[GAMMA] = vector_of("gamma", n, false);
    l->param[BETA] = vector_of("beta", n, false);
    l->scratch_size = 2 * padded(n); /* their gradients */
    l->row_scratch = 2;              /* mean and inverse deviation */
    if (is_turned(l->pixels, &l->in))
        l->own_size = 2 * padded(n); /* the parameters in the order of the image, or their gradients in the other */
    return PN_OK;
}

static void layernorm_init(layer *l, uint64_t seed, uint64_t stream)
{
    (void)seed;
    (void)stream;
    fill(&l->param[GAMMA], 1);
}

/* A parameter in the order in which x lies. */
static const float *in_order(const layer *l, const pass *p, int k)
{
    if (!is_turned(l->pixels, &l->in))
        return l->param[k].data;
    float *turned = l->own + (size_t)p->id * l->own_size + (size_t)k * l->own_size / 2;
    sample_in(true, &l->in, turned, l->param[k].data);
    return turned;
}

static void layernorm_forward(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    int from, to;
    my_share(p, p->rows, 1, &from, &to);
    const size_t i = (size_t)from;
    kernels()->layernorm(l->y.data + i * l->y.ld, l->y.ld, x.data + i * x.ld, x.ld, in_order(l, p, GAMMA),
                         in_order(l, p, BETA), l->row_data + 2 * i, to - from, (int)shape_size(&l->in),
                         (float)l->word.arg[EPSILON]);
}

static void layernorm_backward(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    int from, to;
    my_share(p, p->rows, 1, &from, &to);
    const size_t i = (size_t)from;
    kernels()->layernorm_grad(l->dx.data + i * l->dx.ld, l->dx.ld, l->dy.data + i * l->dy.ld, l->dy.ld,
                              x.data + i * x.ld, x.ld, in_order(l, p, GAMMA), l->row_data + 2 * i, to - from,
                              (int)shape_size(&l->in));
}

static void layernorm_update(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    const int n = (int)shape_size(&l->in);
    const bool turned = is_turned(l->pixels, &l->in);
    float *dgamma = l->scratch, *dbeta = l->scratch + padded(n);
    int from = 0, to = n;
    if (!turned)
        my_share(p, n, PAD, &from, &to);
    else if (p->id > 0) /* a part of the sums is no part of the parameters: one thread does all */
        return;
    kernels()->layernorm_sums(dgamma + from, dbeta + from, l->dy.data + from, l->dy.ld, x.data + from, x.ld,
                              l->row_data, p->rows, to - from);
    if (turned) {
        float *plain = l->own + (size_t)p->id * l->own_size;
        sample_out(true, &l->in, plain, dgamma);
        sample_out(true, &l->in, plain + l->own_size / 2, dbeta);
        dgamma = plain;
        dbeta = plain + l->own_size / 2;
    }
    deliver(l, p, dgamma, dbeta, from, to);
}

const layer_ops layernorm_ops = {
    .shape = layernorm_shape,
    .init = layernorm_init,
    .forward = layernorm_forward,
    .backward = layernorm_backward,
    .update = layernorm_update,
    .transparent = true,
};
