/* The gradient of a part of a batch: parts that several calls or machines compute add up to that of the batch. */
#include "net/run.h"

#include <limits.h>
#include <string.h>

typedef struct {
    job job;
    int first, batch_rows; /* the rows are [first, first + job.n) of a batch of so many */
} part_job;

static void gradient_job(void *arg, int id, int threads)
{
    job *j = arg;
    const part_job *part = arg;
    batch_run r = start_batch(j, id, threads, 0, id);
    r.pass.fuse = true;
    r.pass.batch_from = part->first;
    r.pass.batch_rows = part->batch_rows;
    pn_stats stats = {0}; /* every thread adds up the same losses */
    bool skip_barrier = false;
    begin_layers(j->net, &r.pass);
    const bool finite = run_to_gradients(j, &r, 0, &skip_barrier, &stats);
    if (finite)
        update(j->net, &r.pass, &r.batch);
    if (id == 0) {
        j->stats = stats;
        j->finite = finite;
        j->done = j->n;
    }
}

/* Is this a part of a batch that every layer can train on? */
static pn_status check_part(pn_net *net, int64_t n, int64_t first, int64_t batch_rows)
{
    if (batch_rows < 1 || batch_rows > INT_MAX || first < 0 || first > batch_rows - n)
        return fail(net->error, PN_ERR_ARGUMENT, "rows %lld to %lld of a batch of %lld; accepted: rows of the batch",
                    (long long)first, (long long)first + (long long)n - 1, (long long)batch_rows);
    for (int i = 0; i < net->graph.n_layers && n < batch_rows; i++)
        if (net->graph.layers[i].ops->after_step)
            return fail(net->error, PN_ERR_ARGUMENT,
                        "layer %s, %s, needs all rows of a batch; accepted: networks without it, or whole batches",
                        net->graph.layers[i].path, net->graph.layers[i].text);
    return check_batch(net, n);
}

pn_status pn_net_gradient(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int64_t first,
                          int64_t batch_rows, pn_stats *stats)
{
    net->error[0] = 0;
    pn_status status = check_samples(net, data, order, n, NEEDS_INPUTS | NEEDS_TARGETS);
    if (!status)
        status = check_part(net, n, first, batch_rows);
    if (!status)
        status = net_check_parameters(net);
    if (!status)
        status = reserve(net, n, input_copies(net, n), input_copies(net, n));
    if (!status)
        status = reserve_gradients(net);
    if (status)
        return status;
    net->work.done = STEP_NONE;
    net->has_gradients = false;
    part_job part = {.job = {.net = net,
                             .data = data,
                             .order = order,
                             .n = n,
                             .batch = n,
                             .gathers = true,
                             .own_inputs = true,
                             .training = true,
                             .finite = true},
                     .first = (int)first,
                     .batch_rows = (int)batch_rows};
    augmenter *augment;
    status = augmenter_new(&augment, data->augment, &net->text.input, net->work.copies, net->error);
    if (status)
        return status;
    part.job.augment = augment;
    if (n > 0)
        status = run(gradient_job, &part.job);
    else
        memset(net->gradients, 0, net->n_parameters * sizeof *net->gradients);
    augmenter_free(augment);
    if (status)
        return status;
    if (!part.job.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss of rows %lld to %lld is not finite", (long long)first,
                    (long long)(first + n) - 1);
    if (stats) {
        stats->loss += part.job.stats.loss;
        stats->correct += part.job.stats.correct;
        stats->samples += part.job.stats.samples;
    }
    net->work.rows = (int)n;
    net->work.done = STEP_GRADIENT;
    net->has_gradients = true;
    return PN_OK;
}

pn_status pn_net_gradient_block(pn_net *net, float **block, int64_t *n)
{
    net->error[0] = 0;
    pn_status status = check_pointer(net, block, "block");
    if (!status)
        status = check_pointer(net, n, "n");
    if (!status)
        status = reserve_gradients(net);
    if (status)
        return status;
    *block = net->gradients;
    *n = (int64_t)net->n_parameters;
    return PN_OK;
}
