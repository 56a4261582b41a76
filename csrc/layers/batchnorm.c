/* batchnorm: each channel of a batch is normalised to mean 0 and variance 1 (Ioffe and Szegedy 2015), then
   y = gamma normal + beta with trained gamma and beta. Twin: BatchNorm in pynet/reference/norms.py. */
#include "layers/layer.h"

enum { BATCHNORM_EPSILON, BATCHNORM_MOMENTUM };     /* arguments */
enum { RUNNING_MEAN = BETA + 1, RUNNING_VARIANCE }; /* parameters */

/* Scratch: statistics and gradients of the batch, in training. */
typedef struct {
    float *mean, *variance, *dgamma, *dbeta;
} batch_statistics;

static batch_statistics statistics_of(const layer *l)
{
    const size_t n = padded(l->in.dim[0]);
    return (batch_statistics){l->scratch.data, l->scratch.data + n, l->scratch.data + 2 * n, l->scratch.data + 3 * n};
}

static int positions_of(const layer *l)
{
    return (int)(shape_size(&l->in) / l->in.dim[0]);
}

static pn_status batchnorm_shape(layer *l, char *err)
{
    const int64_t channels = l->in.dim[0];
    (void)err;
    l->out = l->in;
    l->n_params = 4;
    l->param[GAMMA] = parameter_vector("gamma", channels, false);
    l->param[BETA] = parameter_vector("beta", channels, false);
    l->param[RUNNING_MEAN] = parameter_vector("running_mean", channels, true);
    l->param[RUNNING_VARIANCE] = parameter_vector("running_var", channels, true);
    l->scratch.size = 4 * padded(channels);
    return PN_OK;
}

static pn_status batchnorm_check(const layer *l, int64_t rows, char *err)
{
    if (rows * positions_of(l) > 1)
        return PN_OK;
    return fail(err, PN_ERR_ARGUMENT,
                "column %d: layer %s, batchnorm, trains on batches of at least 2 samples; this one has %lld",
                l->word.column, l->path, (long long)rows);
}

static pn_status batchnorm_check_variance(const layer *l, char *err)
{
    const float *variance = l->param[RUNNING_VARIANCE].data;
    for (int64_t i = 0; i < l->in.dim[0]; i++)
        if (!(variance[i] >= 0))
            return fail(err, PN_ERR_PARAMETER,
                        "parameter %s.running_var holds %g at position %lld; accepted: finite numbers, 0 or more",
                        l->path, (double)variance[i], (long long)i);
    return PN_OK;
}

static void batchnorm_init(layer *l, uint64_t seed)
{
    (void)seed;
    parameter_fill(&l->param[GAMMA], 1);
    parameter_fill(&l->param[RUNNING_VARIANCE], 1);
}

/* In training each thread computes some channels: their sums run over the whole batch. */
static bool batchnorm_by_columns(const layer *l, const pass *p)
{
    (void)l;
    return p->training;
}

/* This thread's part of the work: its first channel, and the offset of its first number in x and y. */
typedef struct {
    channel_rows rows;
    channel_norm norm;
    size_t offset, channel;
} channel_part;

static channel_part own_channels(const layer *l, const pass *p)
{
    const batch_statistics f = statistics_of(l);
    const size_t ld = l->y.ld;
    const int channels = (int)l->in.dim[0], positions = positions_of(l);
    int row = 0, rows = p->rows, from = 0, to = channels;
    if (p->training)
        my_part(p, channels, PAD, &from, &to);
    else
        row = (int)my_rows(p).from, rows = (int)my_rows(p).to;
    channel_part own = {.offset = (size_t)row * ld + (size_t)from, .channel = (size_t)from};
    own.rows = rows_of_channels(rows - row, ld, positions, channels);
    own.rows.n = to - from;
    own.norm = (channel_norm){
        .mean = (p->training ? f.mean : l->param[RUNNING_MEAN].data) + from,
        .variance = (p->training ? f.variance : l->param[RUNNING_VARIANCE].data) + from,
        .gamma = l->param[GAMMA].data + from,
        .beta = l->param[BETA].data + from,
        .epsilon = (float)l->word.arg[BATCHNORM_EPSILON].number,
    };
    return own;
}

/* dgamma = sum of dy normal, dbeta = sum of dy, over the rows of each channel. */
static void sum_gradients(layer *l, const pass *p, const channel_part *own)
{
    const batch_statistics f = statistics_of(l);
    kernels()->channel_sums(f.dgamma + own->channel, f.dbeta + own->channel, l->dy.data + own->offset,
                            layer_input(l, p).data + own->offset, &own->norm, &own->rows);
}

/* y = gamma normal + beta, normal = (x - mean) / sqrt(variance + epsilon); in inference with the running statistics. */
static void batchnorm_forward(layer *l, const pass *p)
{
    const channel_part own = own_channels(l, p);
    const batch_statistics f = statistics_of(l);
    const bool relu = p->fuse && l->after && l->after->fused_forward;
    const float *x = layer_input(l, p).data + own.offset;
    const activation y = relu ? l->after->y : l->y;
    if (p->rows == 0)
        return;
    if (p->training)
        kernels()->channel_moments(f.mean + own.channel, f.variance + own.channel, x, &own.rows);
    if (layer_input(l, p).ld == y.ld)
        kernels()->channel_normalise(y.data + own.offset, x, &own.norm, &own.rows, relu);
    else /* in inference */
        EACH_OWN_ROW (i, p) {
            const channel_rows row = rows_of_channels(1, 0, positions_of(l), (int)l->in.dim[0]);
            kernels()->channel_normalise(row_of(y, i), row_of(layer_input(l, p), i), &own.norm, &row, relu);
        }
}

/* dx = gamma / sqrt(variance + epsilon) (dy - dbeta / n - normal dgamma / n), n numbers in a channel; in inference,
   where the statistics are constants, gamma / sqrt(variance + epsilon) dy. */
static void batchnorm_backward(layer *l, const pass *p)
{
    const channel_part own = own_channels(l, p);
    const batch_statistics f = statistics_of(l);
    if (p->training)
        sum_gradients(l, p, &own);
    kernels()->channel_grad(l->dx.data + own.offset, l->dy.data + own.offset, layer_input(l, p).data + own.offset,
                            &own.norm, p->training ? f.dgamma + own.channel : NULL,
                            p->training ? f.dbeta + own.channel : NULL, &own.rows);
}

static void batchnorm_update(layer *l, const pass *p)
{
    const channel_part own = own_channels(l, p);
    const batch_statistics f = statistics_of(l);
    if (!l->needs_dx) /* backward has not been called */
        sum_gradients(l, p, &own);
    const int from = (int)own.channel, to = from + own.rows.n;
    parameter_take_gradient(&l->param[GAMMA], p, f.dgamma, from, to);
    parameter_take_gradient(&l->param[BETA], p, f.dbeta, from, to);
}

/* Running averages of mean and variance, for inference; the variance is the unbiased estimate, divided by n - 1. */
static void batchnorm_after_step(layer *l, const pass *p)
{
    const batch_statistics f = statistics_of(l);
    const double n = (double)p->rows * positions_of(l);
    const float momentum = (float)l->word.arg[BATCHNORM_MOMENTUM].number;
    int from, to;
    my_part(p, (int)l->in.dim[0], PAD, &from, &to);
    if (p->rows == 0)
        return;
    kernels()->blend(l->param[RUNNING_MEAN].data + from, f.mean + from, (size_t)(to - from), momentum, 1);
    kernels()->blend(l->param[RUNNING_VARIANCE].data + from, f.variance + from, (size_t)(to - from), momentum,
                     (float)(n / (n - 1)));
}

const layer_ops batchnorm_ops = {
    .shape = batchnorm_shape,
    .check_batch = batchnorm_check,
    .check_parameters = batchnorm_check_variance,
    .init = batchnorm_init,
    .by_columns = batchnorm_by_columns,
    .forward = batchnorm_forward,
    .backward = batchnorm_backward,
    .update = batchnorm_update,
    .after_step = batchnorm_after_step,
    .backward_by_columns = batchnorm_by_columns,
    .on_images = true,
    .fuses_forward = true,
    .transparent = true,
};
