/* The public calls that train and use a network: what callers say is checked here, then run.c does the work. */
#include "net/batch.h"
#include "net/run.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PREDICT_ROWS = 256 }; /* at a time: a few hundred kB of activations, which stay in the cache */

/* ---- what callers say is checked ------------------------------------------------------------------------------------ */

static pn_status check_label(pn_net *net, const pn_data *data, int64_t i)
{
    const int64_t classes = shape_size(&net->graph.last->out);
    int32_t label = data->labels[i];
    if (label >= 0 && label < classes)
        return PN_OK;
    return fail(net->error, PN_ERR_ARGUMENT, "label of sample %lld is %d; this network takes 0 to %lld", (long long)i,
                label, (long long)classes - 1);
}

static pn_status check_weight(pn_net *net, const pn_data *data, int64_t i)
{
    const float weight = data->weights[i];
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

static pn_status check_layer(pn_net *net, int i)
{
    if (i >= 0 && i < net->graph.n_layers)
        return PN_OK;
    return fail(net->error, PN_ERR_ARGUMENT, "layer %d; this network has 0 to %d", i, net->graph.n_layers - 1);
}

/* Samples order[0..n) exist, and, where answers are wanted, have some that suit the loss. */
static pn_status check_samples(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, bool needs_targets)
{
    if (!data->x && !(needs_targets && net->work.done >= STEP_FORWARD) && n > 0)
        return fail(net->error, PN_ERR_ARGUMENT, "x of the data is NULL; it must hold %lld samples", (long long)n);
    if (n < 0 || (!order && n > data->n))
        return fail(net->error, PN_ERR_ARGUMENT, "%lld samples asked for; the data has %lld", (long long)n,
                    (long long)data->n);
    if (data->dtype != PN_UINT8 && data->dtype != PN_FLOAT32)
        return fail(net->error, PN_ERR_ARGUMENT, "dtype is %d; accepted: PN_UINT8, PN_FLOAT32", (int)data->dtype);
    static const char *const losses[] = {"cross-entropy", "squared error", "binary cross-entropy"};
    const pn_loss loss = net->text.loss.kind;
    if (needs_targets && !data->labels && (loss == PN_CROSS_ENTROPY || !data->targets))
        return fail(net->error, PN_ERR_ARGUMENT, "no %s: %s needs them",
                    loss == PN_CROSS_ENTROPY ? "labels" : "labels and no targets", losses[loss]);
    const bool labels = needs_targets && data->labels, weights = needs_targets && data->weights,
               shares = needs_targets && loss == PN_BCE && data->targets;
    for (int64_t i = 0; i < n && (order || labels || weights || shares); i++) {
        int64_t row = order ? order[i] : i;
        if (row < 0 || row >= data->n)
            return fail(net->error, PN_ERR_ARGUMENT, "order[%lld] is %lld; the data has samples 0 to %lld",
                        (long long)i, (long long)row, (long long)data->n - 1);
        pn_status status = labels ? check_label(net, data, row) : PN_OK;
        if (!status && weights)
            status = check_weight(net, data, row);
        if (!status && shares)
            status = check_probabilities(net, data, row);
        if (status)
            return status;
    }
    return PN_OK;
}

/* Can every layer train on batches as small as this? */
static pn_status check_batch(pn_net *net, int64_t rows)
{
    pn_status status = PN_OK;
    for (int i = 0; i < net->graph.n_layers && !status && rows > 0; i++)
        if (net->graph.layers[i].ops->check_batch)
            status = net->graph.layers[i].ops->check_batch(&net->graph.layers[i], rows, net->error);
    return status;
}

/* Room for the gradients of all parameters, once somebody asks to see them, the optimizer wants them all first, or they
   are summed up piece by piece. */
static pn_status reserve_gradients(pn_net *net)
{
    if (net->gradients)
        return PN_OK;
    net->gradients = aligned_zeros(net->n_parameters, sizeof *net->gradients);
    if (!net->gradients)
        return fail(net->error, PN_ERR_MEMORY, "no memory for the gradients of %zu parameters", net->n_parameters);
    for (int t = 0; t < net->n_trained; t++) {
        parameter *p = net->tensors[t].parameter;
        p->grad = net->gradients + (p->data - net->parameters);
    }
    return PN_OK;
}

/* ---- the public calls ---------------------------------------------------------------------------------------------- */

pn_status pn_net_train(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int64_t batch_size,
                       const pn_optim *opt, pn_stats *stats)
{
    net->error[0] = 0;
    if (batch_size < 1)
        return fail(net->error, PN_ERR_ARGUMENT, "batch is %lld; accepted: 1 or more", (long long)batch_size);
    const int64_t rows = batch_size < n ? batch_size : n;
    pn_status status = optim_check(opt, n > 0 ? (n + rows - 1) / rows : 0, net->error);
    if (!status)
        status = check_samples(net, data, order, n, true);
    if (!status && n > 0)
        status = check_batch(net, n / ((n + rows - 1) / rows)); /* the smallest: see start() */
    if (!status)
        status = net_check_finite(net);
    if (!status)
        status = reserve(net, rows, input_copies(net, rows), input_copies(net, rows));
    if (!status && (opt->clip_norm > 0 || gathers_in_pieces(net, rows)))
        status = reserve_gradients(net);
    if (!status && n > 0)
        status = optim_reserve(net, opt);
    if (status || n == 0)
        return status;

    net->work.done = STEP_NONE;
    net->has_gradients = false;
    job j = {.net = net, .data = data, .order = order, .n = n, .batch = rows, .training = true, .opt = opt};
    augmenter *augment;
    status = augmenter_new(&augment, data->augment, &net->text.input, net->work.copies, net->error);
    if (status)
        return status;
    j.augment = augment;
    if (stats) /* the sums go on batch by batch: the same bits, however an epoch is cut into calls */
        j.stats = *stats;
    run(train_job, &j);
    augmenter_free(augment);
    net->optimizer.steps += j.taken;
    net->updates += (uint64_t)j.taken;
    if (stats)
        *stats = j.stats;
    if (!j.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss of step %lld is not finite; that step was not taken",
                    (long long)j.stats.steps + 1);
    return net_check_finite(net); /* after the last step no loss tells */
}

static pn_status forward(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, bool training)
{
    net->error[0] = 0;
    pn_status status = check_samples(net, data, order, n, false);
    if (!status && training)
        status = check_batch(net, n);
    if (!status)
        status = reserve(net, n, 1, worthwhile_threads(net, n));
    if (status)
        return status;
    augmenter *augment = NULL;
    if (training)
        status = augmenter_new(&augment, data->augment, &net->text.input, net->work.threads, net->error);
    if (status)
        return status;
    job j = {.net = net, .data = data, .order = order, .n = n, .batch = n, .training = training, .augment = augment};
    run(forward_job, &j);
    augmenter_free(augment);
    net->work.rows = (int)n;
    net->work.done = training ? STEP_FORWARD : STEP_INFERRED;
    return PN_OK;
}

pn_status pn_net_forward(pn_net *net, const pn_data *data, const int32_t *order, int64_t n)
{
    return forward(net, data, order, n, true);
}

pn_status pn_net_infer(pn_net *net, const pn_data *data, const int32_t *order, int64_t n)
{
    return forward(net, data, order, n, false);
}

pn_status pn_net_loss(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, double *loss_mean)
{
    net->error[0] = 0;
    if (net->work.done < STEP_FORWARD)
        return fail(net->error, PN_ERR_STATE, "loss comes after forward");
    if (n != net->work.rows)
        return fail(net->error, PN_ERR_ARGUMENT, "%lld answers; the last forward had %d samples", (long long)n,
                    net->work.rows);
    pn_status status = check_samples(net, data, order, n, true);
    if (status)
        return status;
    net->work.done = STEP_FORWARD; /* what an earlier loss prepared is gone */
    job j = {.net = net, .data = data, .order = order, .n = n, .batch = n};
    run(loss_job, &j);
    *loss_mean = n ? j.stats.loss / (double)n : 0;
    if (!j.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss of this batch is not finite");
    net->work.done = STEP_LOSS;
    return PN_OK;
}

pn_status pn_net_backward(pn_net *net)
{
    net->error[0] = 0;
    if (net->work.done < STEP_LOSS)
        return fail(net->error, PN_ERR_STATE, "backward comes after forward and loss");
    pn_status status = reserve_gradients(net);
    if (status)
        return status;
    job j = {.net = net, .n = net->work.rows, .batch = net->work.rows, .training = true};
    run(backward_job, &j);
    net->has_gradients = true;
    net->work.done = STEP_BACKWARD;
    return PN_OK;
}

pn_status pn_net_update(pn_net *net, const pn_optim *opt)
{
    net->error[0] = 0;
    if (net->work.done < STEP_BACKWARD)
        return fail(net->error, PN_ERR_STATE, "update comes after forward, loss and backward");
    pn_status status = optim_check(opt, 1, net->error);
    if (!status)
        status = optim_reserve(net, opt);
    if (status)
        return status;
    const unsigned long fp = fp_enter();
    optim_apply_all(net, &(pass){.threads = 1}, opt, 0);
    after_step(net, &(pass){.rows = net->work.rows, .threads = 1});
    fp_leave(fp);
    net->optimizer.steps++;
    net->updates++;
    return PN_OK;
}

pn_status pn_net_activation(pn_net *net, int i, int64_t n, float *y)
{
    net->error[0] = 0;
    pn_status status = check_layer(net, i);
    if (status)
        return status;
    if (net->work.done < STEP_INFERRED)
        return fail(net->error, PN_ERR_STATE,
                    "activations are there after forward, until the next call that trains or predicts");
    if (n != net->work.rows)
        return fail(net->error, PN_ERR_ARGUMENT, "room for %lld samples; the last forward had %d", (long long)n,
                    net->work.rows);
    const layer *source = layer_source(&net->graph.layers[i]);
    const activation a = source ? source->y : net->work.x[0];
    const size_t width = (size_t)shape_size(&net->graph.layers[i].out);
    for (size_t r = 0; r < (size_t)n; r++)
        sample_store(net->graph.channels_last, &net->graph.layers[i].out, y + r * width, a.data + r * a.ld);
    return PN_OK;
}

pn_status pn_net_predict(pn_net *net, const pn_data *data, int64_t n, float temperature, float *y)
{
    net->error[0] = 0;
    if (!(temperature >= FLT_MIN) || isinf(temperature)) /* the kernel multiplies by 1/temperature, denormals flushed */
        return fail(net->error, PN_ERR_ARGUMENT, "temperature is %g; accepted: 1.2e-38 to 3e38", (double)temperature);
    const int64_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS;
    pn_status status = check_samples(net, data, NULL, n, false);
    if (!status)
        status = reserve(net, rows, 1, worthwhile_threads(net, rows));
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    job j = {.net = net, .data = data, .n = n, .batch = rows, .temperature = temperature, .y = y};
    run(predict_job, &j);
    return PN_OK;
}

pn_status pn_net_evaluate(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, pn_stats *stats)
{
    net->error[0] = 0;
    const int64_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS;
    pn_status status = check_samples(net, data, order, n, true);
    if (!status)
        status = reserve(net, rows, 1, worthwhile_threads(net, rows));
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    job j = {.net = net, .data = data, .order = order, .n = n, .batch = rows, .stats = *stats};
    run(evaluate_job, &j);
    *stats = j.stats;
    if (!j.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss on this data is not finite");
    return PN_OK;
}

pn_status pn_net_input_gradient(pn_net *net, const pn_data *data, int64_t n, int i, const float *dy, float *dx)
{
    net->error[0] = 0;
    net->work.done = STEP_NONE;
    pn_status status = dy ? check_layer(net, i) : PN_OK;
    if (!status)
        status = check_samples(net, data, NULL, n, !dy);
    if (!status && !net->work.input_gradient) { /* lay out anew, with room for it */
        free(net->work.block);
        net->work.block = NULL;
        net->work.capacity = 0;
        net->work.input_gradient = true;
    }
    if (!status)
        status = reserve(net, n, 1, worthwhile_threads(net, n));
    if (status || n == 0)
        return status;
    job j = {.net = net, .data = data, .n = n, .batch = n, .y = dx, .dy = dy, .layer = i};
    run(forward_job, &j);
    run(input_gradient_job, &j);
    return PN_OK;
}
