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
    l->scratch.row_size = positions_of(l) > 1 ? 4 * padded(channels) : 0;
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

/* In training each thread computes some channels of vectors: their sums run over the whole batch. */
static bool batchnorm_by_columns(const layer *l, const pass *p)
{
    return p->training && positions_of(l) == 1;
}

/* The sums of image i. */
static batch_statistics statistics_of_row(const layer *l, size_t i)
{
    const size_t n = padded(l->in.dim[0]);
    float *row = l->scratch.row_data + i * l->scratch.row_size;
    return (batch_statistics){row, row + n, row + 2 * n, row + 3 * n};
}

static channel_norm norm_of(const layer *l, const pass *p, size_t channel)
{
    const batch_statistics f = statistics_of(l);
    return (channel_norm){
        .mean = (p->training ? f.mean : l->param[RUNNING_MEAN].data) + channel,
        .variance = (p->training ? f.variance : l->param[RUNNING_VARIANCE].data) + channel,
        .gamma = l->param[GAMMA].data + channel,
        .beta = l->param[BETA].data + channel,
        .epsilon = (float)l->word.arg[BATCHNORM_EPSILON].number,
        .count = (float)((double)p->rows * positions_of(l)),
    };
}

/* Some rows and channels: the first channel, and the offset of the first number in x and y. */
typedef struct {
    channel_rows rows;
    channel_norm norm;
    size_t offset, channel;
} channel_part;

static channel_part part_of(const layer *l, const pass *p, row_range rows, int from, int to)
{
    const size_t ld = l->y.ld, channel = (size_t)from;
    channel_part part = {.offset = rows.from * ld + channel, .channel = channel, .norm = norm_of(l, p, channel)};
    part.rows = rows_of_channels((int)(rows.to - rows.from), ld, positions_of(l), (int)l->in.dim[0]);
    part.rows.n = to - from;
    return part;
}

/* This thread's channels of all rows, or all channels of its rows. */
static channel_part own_channels(const layer *l, const pass *p)
{
    int from, to;
    my_part(p, (int)l->in.dim[0], PAD, &from, &to);
    return part_of(l, p, (row_range){0, (size_t)p->rows}, from, to);
}

static channel_part own_part(const layer *l, const pass *p)
{
    return batchnorm_by_columns(l, p) ? own_channels(l, p) : part_of(l, p, my_rows(p), 0, (int)l->in.dim[0]);
}

/* Mean and variance of each image. Not called for vectors, whose batch batchnorm_forward sums. */
static void sum_image(layer *l, const pass *p)
{
    const channel_rows image = rows_of_channels(1, 0, positions_of(l), (int)l->in.dim[0]);
    EACH_OWN_ROW (i, p) {
        const batch_statistics row = statistics_of_row(l, i);
        kernels()->channel_moments(row.mean, row.variance, row_of(layer_input(l, p), i), &image);
    }
}

/* Those of all: the mean of the means, and the mean of the variances plus the variance of the means. */
static void sum_batch(layer *l, const pass *p)
{
    const channel_part own = own_channels(l, p);
    const batch_statistics f = statistics_of(l), row = statistics_of_row(l, 0);
    const size_t c = own.channel;
    if (p->rows == 0)
        return;
    const channel_rows sums = {.runs = 1, .count = p->rows, .row_stride = l->scratch.row_size, .n = own.rows.n};
    kernels()->channel_moments(f.dgamma + c, f.dbeta + c, row.variance + c, &sums); /* only the mean is used */
    kernels()->channel_moments(f.mean + c, f.variance + c, row.mean + c, &sums);
    kernels()->add(f.variance + c, f.variance + c, f.dgamma + c, (size_t)own.rows.n);
}

/* y = gamma normal + beta, normal = (x - mean) / sqrt(variance + epsilon); in inference with the running statistics. */
static void batchnorm_forward(layer *l, const pass *p)
{
    const channel_part own = own_part(l, p);
    const batch_statistics f = statistics_of(l);
    const bool relu = fuses_relu(l, p);
    const activation x = layer_input(l, p), y = layer_output(l, p);
    if (p->rows == 0)
        return;
    if (batchnorm_by_columns(l, p))
        kernels()->channel_moments(f.mean + own.channel, f.variance + own.channel, x.data + own.offset, &own.rows);
    if (x.ld == y.ld)
        kernels()->channel_normalise(y.data + own.offset, x.data + own.offset, &own.norm, &own.rows, relu);
    else /* in inference */
        EACH_OWN_ROW (i, p) {
            const channel_rows row = rows_of_channels(1, 0, positions_of(l), (int)l->in.dim[0]);
            kernels()->channel_normalise(row_of(y, i), row_of(x, i), &own.norm, &row, relu);
        }
}

/* dgamma = sum of dy normal, dbeta = sum of dy of these channels, of each of these images. */
static void sum_image_gradients(layer *l, const pass *p, row_range rows, int from, int to)
{
    for (size_t i = rows.from; i < rows.to; i++) {
        const channel_part image = part_of(l, p, (row_range){i, i + 1}, from, to);
        const batch_statistics row = statistics_of_row(l, i);
        kernels()->channel_sums(row.dgamma + from, row.dbeta + from, l->dy.data + image.offset,
                                layer_input(l, p).data + image.offset, &image.norm, &image.rows);
    }
}

static void sum_own_gradients(layer *l, const pass *p)
{
    sum_image_gradients(l, p, my_rows(p), 0, (int)l->in.dim[0]);
}

/* And of the batch, for this thread's channels. */
static void sum_batch_gradients(layer *l, const pass *p)
{
    const channel_part own = own_channels(l, p);
    const batch_statistics f = statistics_of(l), row = statistics_of_row(l, 0);
    const size_t c = own.channel;
    if (positions_of(l) == 1) {
        kernels()->channel_sums(f.dgamma + c, f.dbeta + c, l->dy.data + own.offset, layer_input(l, p).data + own.offset,
                                &own.norm, &own.rows);
        return;
    }
    kernels()->column_sums(f.dgamma + c, row.dgamma + c, l->scratch.row_size, p->rows, own.rows.n, false);
    kernels()->column_sums(f.dbeta + c, row.dbeta + c, l->scratch.row_size, p->rows, own.rows.n, false);
}

/* dx = gamma / sqrt(variance + epsilon) (dy - dbeta / n - normal dgamma / n), n numbers in a channel; in inference,
   where the statistics are constants, gamma / sqrt(variance + epsilon) dy. */
static void batchnorm_backward(layer *l, const pass *p)
{
    const channel_part own = own_part(l, p);
    const batch_statistics f = statistics_of(l);
    if (batchnorm_by_columns(l, p))
        sum_batch_gradients(l, p);
    kernels()->channel_grad(l->dx.data + own.offset, l->dy.data + own.offset, layer_input(l, p).data + own.offset,
                            &own.norm, p->training ? f.dgamma + own.channel : NULL,
                            p->training ? f.dbeta + own.channel : NULL, &own.rows);
}

static void batchnorm_update(layer *l, const pass *p)
{
    const channel_part own = own_channels(l, p);
    const batch_statistics f = statistics_of(l);
    const int from = (int)own.channel, to = from + own.rows.n;
    if (!l->needs_dx) { /* backward has not been called */
        if (positions_of(l) > 1)
            sum_image_gradients(l, p, (row_range){0, (size_t)p->rows}, from, to);
        sum_batch_gradients(l, p);
    }
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
    .forward_sums = {sum_image, sum_batch},
    .backward_sums = {sum_own_gradients, sum_batch_gradients},
    .on_images = true,
    .fuses_forward = true,
    .transparent = true,
};
