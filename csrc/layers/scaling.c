/* standardize: y = (x - mean) / scale; rescale: y = x scale + mean. Each feature, or each channel of images, has a mean
   and a scale: parameters that pn_net_adapt sets and no optimizer changes. standardize is computed while inputs are
   gathered, after augmentation; to the next layer it is a view of the inputs. So zero padding and the skipping of zeros
   apply to standardised numbers. rescale is the last layer. The loss compares its x with targets standardised by the
   same mean and scale, so that the size of gradients does not depend on the unit of the targets. Twins: Standardize and
   Rescale in pynet/reference/scaling.py. */
#include "layers/layer.h"

#include <float.h>
#include <math.h>
#include <string.h>

static pn_status scaling_shape(layer *l, char *err)
{
    (void)err;
    l->out = l->in;
    l->n_params = 2;
    l->param[MEAN] = parameter_vector("mean", l->in.dim[0], true);
    l->param[SCALE] = parameter_vector("scale", l->in.dim[0], true);
    l->scratch.size = l->scratch.inference_size =
        2 * padded(shape_size(&l->in)); /* mean and scale of each number of a sample */
    return PN_OK;
}

static void scaling_init(layer *l, uint64_t seed)
{
    (void)seed;
    parameter_fill(&l->param[SCALE], 1);
}

static pn_status scaling_check(const layer *l, char *err)
{
    for (int64_t i = 0; i < l->in.dim[0]; i++) {
        const float mean = l->param[MEAN].data[i], scale = l->param[SCALE].data[i];
        if (!isfinite(mean))
            return fail(err, PN_ERR_PARAMETER, "parameter %s.mean holds %g at position %lld; accepted: finite numbers",
                        l->path, (double)mean, (long long)i);
        if (!(scale >= FLT_MIN && scale <= FLT_MAX)) /* denormals are flushed to zero */
            return fail(err, PN_ERR_PARAMETER,
                        "parameter %s.scale holds %g at position %lld; accepted: numbers from 1.2e-38 to 3e38", l->path,
                        (double)scale, (long long)i);
    }
    return PN_OK;
}

/* to[i] = from[channel of number i of a sample in work memory] */
static void spread_channels(const layer *l, float *to, const float *from)
{
    const size_t channels = (size_t)l->in.dim[0], positions = (size_t)shape_size(&l->in) / channels;
    if (positions == 1 || is_channels_last(l->channels_last, &l->in)) {
        for (size_t i = 0; i < positions; i++)
            memcpy(to + i * channels, from, channels * sizeof *to);
        return;
    }
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < positions; i++)
            to[c * positions + i] = from[c];
}

static const float *means_of(const layer *l)
{
    return l->scratch.data;
}

static const float *scales_of(const layer *l)
{
    return l->scratch.data + padded(shape_size(&l->in));
}

void scaling_prepare(layer *l)
{
    spread_channels(l, l->scratch.data, l->param[MEAN].data);
    spread_channels(l, l->scratch.data + padded(shape_size(&l->in)), l->param[SCALE].data);
}

bool standardize_row(const layer *l, float *row)
{
    return kernels()->standardize(row, row, means_of(l), scales_of(l), (size_t)shape_size(&l->in));
}

void standardize_gradient(const layer *l, float *row)
{
    kernels()->standardize(row, row, NULL, scales_of(l), (size_t)shape_size(&l->in));
}

float scaling_mean(const layer *l, size_t i)
{
    return means_of(l)[i];
}

float scaling_value(const layer *l, size_t channel, float x)
{
    return (x - l->param[MEAN].data[channel]) / l->param[SCALE].data[channel];
}

/* y = x scale + mean; dx = dy scale. */
static void rescale_forward(layer *l, const pass *p)
{
    const activation x = layer_input(l, p);
    EACH_OWN_ROW (i, p)
        kernels()->rescale(row_of(l->y, i), row_of(x, i), means_of(l), scales_of(l), (size_t)shape_size(&l->in));
}

static void rescale_backward(layer *l, const pass *p)
{
    EACH_OWN_ROW (i, p)
        kernels()->rescale(row_of(l->dx, i), row_of(l->dy, i), NULL, scales_of(l), (size_t)shape_size(&l->in));
}

const layer_ops standardize_ops = {.shape = scaling_shape, .check_parameters = scaling_check, .init = scaling_init};
const layer_ops rescale_ops = {
    .shape = scaling_shape,
    .check_parameters = scaling_check,
    .init = scaling_init,
    .forward = rescale_forward,
    .backward = rescale_backward,
};
