/* Checks of the arguments of public functions, before anything is done. */
#include "net/run.h"

#include <math.h>

static pn_status check_label(pn_net *net, const pn_data *data, int64_t i)
{
    const int64_t classes = shape_size(&net->graph.last->out);
    const int32_t label = atomic_read(&data->labels[i]); /* other threads may write to it: see sample() */
    if (label >= 0 && label < classes)
        return PN_OK;
    return fail(net->error, PN_ERR_ARGUMENT, "label of sample %lld is %d; this network takes 0 to %lld%s", (long long)i,
                (int)label, (long long)classes - 1, classes == 1 ? ": with one output, give targets instead" : "");
}

static pn_status check_weight(pn_net *net, const pn_data *data, int64_t i)
{
    const float weight = atomic_read_float(&data->weights[i]);
    if (weight >= 0 && !isinf(weight))
        return PN_OK;
    return fail(net->error, PN_ERR_ARGUMENT, "weight of sample %lld is %g; accepted: a finite number, 0 or more",
                (long long)i, (double)weight);
}

/* Targets of binary cross-entropy are probabilities. */
static pn_status check_probabilities(pn_net *net, const pn_data *data, int64_t i)
{
    const int64_t n = shape_size(&net->graph.last->out);
    for (const float *y = data->targets + i * n, *end = y + n; y < end; y++)
        if (!(*y >= 0 && *y <= 1))
            return fail(net->error, PN_ERR_ARGUMENT, "target of sample %lld is %g; binary cross-entropy takes 0 to 1",
                        (long long)i, (double)*y);
    return PN_OK;
}

/* Row i of sparse data: its place among the stored values, and their columns. */
static pn_status check_row(pn_net *net, const pn_data *data, int64_t i)
{
    const int64_t features = shape_size(&net->text.input);
    int64_t from, to;
    if (!sparse_row(data, (size_t)i, &from, &to))
        return fail(net->error, PN_ERR_ARGUMENT,
                    "starts of sample %lld are %lld and %lld; accepted: 0 to %lld, ascending", (long long)i,
                    (long long)from, (long long)to, (long long)data->stored);
    for (int64_t k = from; k < to; k++) {
        const int32_t column = atomic_read(&data->columns[k]);
        if (column < 0 || column >= features)
            return fail(net->error, PN_ERR_ARGUMENT, "a column of sample %lld is %d; this network takes 0 to %lld",
                        (long long)i, (int)column, (long long)features - 1);
    }
    return PN_OK;
}

/* Sparse rows are for networks that take rows as they are. */
static pn_status check_sparse(pn_net *net, const pn_data *data)
{
    const char *what = data->dtype != PN_FLOAT32        ? "bytes"
                       : data->augment                  ? "augmentation"
                       : net->text.input.rank != 1      ? "a network of images"
                       : net->graph.standardize         ? "standardize"
                       : data->stored && !data->columns ? "no columns"
                                                        : NULL;
    return what ? fail(net->error, PN_ERR_ARGUMENT, "sparse x with %s; accepted: dense x", what) : PN_OK;
}

pn_status check_layer(pn_net *net, int i)
{
    if (i >= 0 && i < net->graph.n_layers)
        return PN_OK;
    return fail(net->error, PN_ERR_ARGUMENT, "layer %d; this network has 0 to %d", i, net->graph.n_layers - 1);
}

pn_status check_pointer(pn_net *net, const void *pointer, const char *name)
{
    return pointer ? PN_OK : fail(net->error, PN_ERR_ARGUMENT, "%s is NULL", name);
}

/* Are there n samples, and do their bytes fit the address space? */
static pn_status check_sizes(pn_net *net, const pn_data *data, const int32_t *order, int64_t n)
{
    const int64_t in = shape_size(&net->text.input), out = shape_size(&net->graph.last->out);
    const int64_t most = PTRDIFF_MAX / (int64_t)sizeof(float) / (in > out ? in : out);
    if (n < 0 || (!order && n > data->n))
        return fail(net->error, PN_ERR_ARGUMENT, "%lld samples asked for; the data has %lld", (long long)n,
                    (long long)data->n);
    if (n > most || data->n > most)
        return fail(net->error, PN_ERR_ARGUMENT, "%lld samples; accepted: at most %lld of this network's size",
                    (long long)(n > most ? n : data->n), (long long)most);
    return PN_OK;
}

pn_status check_samples(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int needs)
{
    const bool needs_targets = needs & NEEDS_TARGETS;
    pn_status wrong = check_pointer(net, data, "data");
    if (!wrong)
        wrong = check_sizes(net, data, order, n);
    if (wrong)
        return wrong;
    const bool sparse = data->starts && (needs & NEEDS_INPUTS);
    if (data->starts && (wrong = check_sparse(net, data)))
        return wrong;
    if (!data->x && (needs & NEEDS_INPUTS) && n > 0 && !(sparse && !data->stored))
        return fail(net->error, PN_ERR_ARGUMENT, "x of the data is NULL; it must hold %lld samples", (long long)n);
    if (data->dtype != PN_UINT8 && data->dtype != PN_FLOAT32)
        return fail(net->error, PN_ERR_ARGUMENT, "dtype is %d; accepted: PN_UINT8, PN_FLOAT32", (int)data->dtype);
    static const char *const losses[] = {"cross-entropy", "squared error", "binary cross-entropy", "absolute error",
                                         "Huber's loss"};
    const pn_loss loss = net->text.loss.kind;
    if (needs_targets && data->labels && net->graph.rescale && n > 0)
        return fail(net->error, PN_ERR_ARGUMENT, "the data has labels; a network with rescale takes targets");
    if (needs_targets && !data->labels && (loss == PN_CROSS_ENTROPY || !data->targets))
        return fail(net->error, PN_ERR_ARGUMENT, "no %s: %s needs them",
                    loss == PN_CROSS_ENTROPY ? "labels" : "labels and no targets", losses[loss]);
    const bool labels = needs_targets && data->labels, weights = needs_targets && data->weights,
               probabilities = needs_targets && loss == PN_BCE && data->targets;
    for (int64_t i = 0; i < n && (order || labels || weights || probabilities || sparse); i++) {
        const int64_t row = order ? atomic_read(&order[i]) : i;
        if (row < 0 || row >= data->n)
            return fail(net->error, PN_ERR_ARGUMENT, "order[%lld] is %lld; the data has samples 0 to %lld",
                        (long long)i, (long long)row, (long long)data->n - 1);
        pn_status status = labels ? check_label(net, data, row) : PN_OK;
        if (!status && sparse)
            status = check_row(net, data, row);
        if (!status && weights)
            status = check_weight(net, data, row);
        if (!status && probabilities)
            status = check_probabilities(net, data, row);
        if (status)
            return status;
    }
    return PN_OK;
}

pn_status check_batch(pn_net *net, int64_t rows)
{
    pn_status status = PN_OK;
    for (int i = 0; i < net->graph.n_layers && !status && rows > 0; i++)
        if (net->graph.layers[i].ops->check_batch)
            status = net->graph.layers[i].ops->check_batch(&net->graph.layers[i], rows, net->error);
    return status;
}
