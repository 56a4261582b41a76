/* Fits standardize and rescale to data: mean and standard deviation of each feature, or of each channel of images. They
   are summed in double and in the order of the samples, on one thread: the same bits for every kernel table. */
#include "net/run.h"

#include <float.h>
#include <math.h>

/* The moments of the inputs of samples, or of their targets. */
typedef struct {
    pn_net *net;
    const pn_data *data;
    const int32_t *order;
    int64_t n;
    layer *to; /* standardize or rescale; NULL: these moments are not needed */
    bool of_targets;
    size_t size, channels, positions; /* of a sample; size = channels positions */
    double *mean, *deviation;         /* (channels) */
    float *bytes;                     /* (size): a sample of bytes as x / 255 */
} moments;

/* Sample i; NULL, with a message, if a number in it is not finite, or another thread has changed the order. */
static const float *sample_of_moments(const moments *m, int64_t i)
{
    const int64_t sample = m->order ? atomic_read(&m->order[i]) : i;
    const size_t row = (size_t)sample;
    if (sample < 0 || sample >= m->data->n) {
        fail(m->net->error, PN_ERR_ARGUMENT, "the order of the samples changed while the call read it");
        return NULL;
    }
    if (!m->of_targets && m->data->dtype == PN_UINT8) {
        kernels()->scale_u8(m->bytes, (const uint8_t *)m->data->x + row * m->size, m->size);
        return m->bytes;
    }
    const float *x = (m->of_targets ? m->data->targets : (const float *)m->data->x) + row * m->size;
    const size_t bad = kernels()->first_nonfinite(x, m->size);
    if (bad == m->size)
        return x;
    fail(m->net->error, PN_ERR_ARGUMENT, "%s %g in sample %zu, %s %zu; accepted: finite numbers",
         m->of_targets ? "targets hold" : "x holds", (double)x[bad], row, m->of_targets ? "output" : "feature", bad);
    return NULL;
}

/* sums[c] += x - mean[c], or its square, for all numbers x of channel c */
static bool add_up(const moments *m, double *sums, bool squares)
{
    for (int64_t i = 0; i < m->n; i++) {
        const float *x = sample_of_moments(m, i);
        if (!x)
            return false;
        for (size_t c = 0; c < m->channels; c++)
            for (size_t k = 0; k < m->positions; k++) {
                const double d = (double)x[c * m->positions + k] - m->mean[c];
                sums[c] += squares ? d * d : d;
            }
    }
    return true;
}

/* Means, then standard deviations. The first number of each channel is subtracted before summing, so that equal numbers
   have exactly that mean and a deviation of exactly 0. */
static bool find_moments(moments *m)
{
    const double count = (double)m->n * (double)m->positions;
    const float *first = sample_of_moments(m, 0);
    for (size_t c = 0; first && c < m->channels; c++)
        m->mean[c] = (double)first[c * m->positions];
    if (!first || !add_up(m, m->deviation, false))
        return false;
    for (size_t c = 0; c < m->channels; c++) {
        m->mean[c] += m->deviation[c] / count;
        m->deviation[c] = 0;
    }
    if (!add_up(m, m->deviation, true))
        return false;
    for (size_t c = 0; c < m->channels; c++)
        m->deviation[c] = sqrt(m->deviation[c] / count);
    return true;
}

static pn_status moments_of(moments *m)
{
    if (!m->to)
        return PN_OK;
    m->size = (size_t)shape_size(&m->to->in);
    m->channels = (size_t)m->to->in.dim[0];
    m->positions = m->size / m->channels;
    m->mean = memory_zeros(m->channels, sizeof *m->mean);
    m->deviation = memory_zeros(m->channels, sizeof *m->deviation);
    m->bytes = memory_zeros(m->size, sizeof *m->bytes);
    if (!m->mean || !m->deviation || !m->bytes)
        return fail(m->net->error, PN_ERR_MEMORY, "no memory for the moments of %zu features", m->channels);
    return find_moments(m) ? PN_OK : PN_ERR_ARGUMENT;
}

/* The scale of a channel that does not vary is 1. */
static void take_moments(const moments *m)
{
    for (size_t c = 0; m->to && c < m->channels; c++) {
        const float deviation = (float)m->deviation[c];
        m->to->param[MEAN].data[c] = (float)m->mean[c];
        m->to->param[SCALE].data[c] = deviation >= FLT_MIN ? deviation : 1;
    }
}

static void moments_free(moments *m)
{
    memory_free(m->mean);
    memory_free(m->deviation);
    memory_free(m->bytes);
}

static pn_status nothing_to_adapt(pn_net *net)
{
    const net_graph *graph = &net->graph;
    return fail(net->error, PN_ERR_ARGUMENT, "nothing to adapt: %s",
                graph->standardize ? "standardize needs x, which is NULL"
                : graph->rescale   ? "rescale needs targets, which are NULL"
                                   : "the network has neither standardize after its input nor rescale at its end");
}

pn_status pn_net_adapt(pn_net *net, const pn_data *data, const int32_t *order, int64_t n)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = check_samples(net, data, order, n, 0);
    if (status)
        return status;
    moments inputs = {.net = net, .data = data, .order = order, .n = n}, targets = inputs;
    inputs.to = data->x ? net->graph.standardize : NULL;
    targets.to = data->targets ? net->graph.rescale : NULL;
    targets.of_targets = true;
    if (!inputs.to && !targets.to)
        return nothing_to_adapt(net);
    if (n == 0)
        return fail(net->error, PN_ERR_ARGUMENT, "no samples to adapt to; accepted: 1 or more");
    const unsigned long fp = fp_enter();
    status = moments_of(&inputs);
    if (!status)
        status = moments_of(&targets);
    if (!status) {
        take_moments(&inputs);
        take_moments(&targets);
        net->work.done = STEP_NONE; /* activations in work memory are of the old means and scales */
    }
    fp_leave(fp);
    moments_free(&inputs);
    moments_free(&targets);
    return status;
}
