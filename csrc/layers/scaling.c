/* standardize: y = (x - mean) / scale; rescale: y = x scale + mean. One mean and one scale for each feature, or for each channel
   of images: state of the network, which no optimizer moves; pn_net_adapt fills it.
   standardize follows the input and has run when the first layer begins: rows are standardised where they are gathered, so that
   augmentation sees the pictures as they are, and padding and the skipping of zeros what the layers see. To the layers behind
   it it is a view. rescale comes last, and the loss looks at its x, against targets standardised alike: learning rates then mean
   the same in every unit. Twins: Standardize and Rescale in pynet/reference/scaling.py. */
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
    l->scratch.size = 2 * padded(shape_size(&l->in)); /* one for each number of a sample: see scaling_prepare() */
    return PN_OK;
}

static void scaling_init(layer *l, uint64_t seed, uint64_t stream)
{
    (void)seed;
    (void)stream;
    parameter_fill(&l->param[SCALE], 1);
}

pn_status scaling_check(const layer *l, char *err)
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

/* to: the number of its channel for each place of a sample, in the order of work memory */
static void spread_channels(const layer *l, float *to, const float *from)
{
    const size_t channels = (size_t)l->in.dim[0], places = (size_t)shape_size(&l->in) / channels;
    if (places == 1 || is_channels_last(l->channels_last, &l->in)) {
        for (size_t i = 0; i < places; i++)
            memcpy(to + i * channels, from, channels * sizeof *to);
        return;
    }
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < places; i++)
            to[c * places + i] = from[c];
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

const layer_ops standardize_ops = {.shape = scaling_shape, .init = scaling_init};
const layer_ops rescale_ops = {
    .shape = scaling_shape, .init = scaling_init, .forward = rescale_forward, .backward = rescale_backward};
