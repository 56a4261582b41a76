/* Inference: predictions, evaluation, activations, gradients of the inputs. */
#include "net/run.h"

#include <float.h>
#include <math.h>

enum { PREDICT_ROWS = 256 }; /* rows of a batch: a few hundred kB of activations, which fit the cache */

static void predict_job(void *arg, int id, int threads)
{
    job *j = arg;
    const net_graph *graph = &j->net->graph;
    const size_t n = (size_t)shape_size(&graph->last->out);
    const bool softmax = graph->last->word.kind == PN_SOFTMAX;
    int64_t first = j->done;
    while (first < j->n) {
        batch_run r = start_batch(j, id, threads, first, 0);
        pass *p = &r.pass;
        p->fuse = p->own_rows = true;
        if (!continue_job(j, p, first)) /* a barrier: all threads have read j->done and finished the last batch */
            break;
        gather_rows(j->net, p, &r.batch, r.from, r.to);
        forward(j->net, p, NULL, graph->n_layers - softmax); /* a last softmax is computed below, at the temperature */
        const layer *source = layer_source(graph->last);
        const activation out = softmax ? layer_input(graph->last, p) : source ? source->y : p->inputs;
        for (size_t i = (size_t)r.from; i < (size_t)r.to; i++) {
            float *row = out.data + i * out.ld;
            if (softmax)
                kernels()->softmax(row, out.ld, row, out.ld, 1, (int)n, j->temperature);
            sample_store(graph->channels_last, &graph->last->out, j->y + ((size_t)first + i) * n, row);
        }
        first += p->rows;
    }
    if (id == 0)
        j->done = first;
}

pn_status pn_net_predict(pn_net *net, const pn_data *data, int64_t n, float temperature, float *y)
{
    net->error[0] = 0;
    if (!(temperature >= FLT_MIN) || isinf(temperature)) /* 1/temperature must be finite and normal */
        return fail(net->error, PN_ERR_ARGUMENT, "temperature is %g; accepted: 1.2e-38 to 3e38", (double)temperature);
    const int64_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS;
    pn_status status = check_samples(net, data, NULL, n, NEEDS_INPUTS);
    if (!status && n > 0)
        status = check_pointer(net, y, "y");
    if (!status)
        status = reserve(net, rows, 1, worthwhile_threads(net, rows));
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    job j = {.net = net, .data = data, .n = n, .batch = rows, .gathers = true, .temperature = temperature, .y = y};
    return run(predict_job, &j);
}

static void evaluate_job(void *arg, int id, int threads)
{
    job *j = arg;
    int64_t first = j->done;
    while (first < j->n) {
        batch_run r = start_batch(j, id, threads, first, 0);
        pass *p = &r.pass;
        p->fuse = p->own_rows = true;
        gather_rows(j->net, p, &r.batch, r.from, r.to);
        gather_targets(j->net, p, &r.batch);
        forward(j->net, p, NULL, j->net->graph.head);
        loss(j->net, p, j->data, false);
        if (!continue_job(j, p, first)) /* a barrier: the losses of all rows are computed */
            break;
        if (id == 0 && !add_stats(j, &r, &j->stats))
            j->finite = false;
        pool_barrier(threads);
        first += p->rows;
    }
    if (id == 0)
        j->done = first;
}

pn_status pn_net_evaluate(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, pn_stats *stats)
{
    net->error[0] = 0;
    const int64_t rows = n < PREDICT_ROWS ? n : PREDICT_ROWS;
    pn_status status = check_samples(net, data, order, n, NEEDS_INPUTS | NEEDS_TARGETS);
    if (!status)
        status = check_pointer(net, stats, "stats");
    if (!status)
        status = reserve(net, rows, 1, worthwhile_threads(net, rows));
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    job j = {.net = net, .data = data, .order = order, .n = n, .batch = rows, .gathers = true, .stats = *stats};
    status = run(evaluate_job, &j);
    if (status)
        return status;
    *stats = j.stats;
    if (!j.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss on this data is not finite");
    return PN_OK;
}

pn_status pn_net_activation(pn_net *net, int i, int64_t n, float *y)
{
    net->error[0] = 0;
    pn_status status = check_layer(net, i);
    if (!status && n > 0)
        status = check_pointer(net, y, "y");
    if (status)
        return status;
    if (net->work.done < STEP_INFERRED)
        return fail(net->error, PN_ERR_STATE,
                    "activations exist after forward, until the next call that trains or predicts");
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

/* ---- the gradient of the inputs ------------------------------------------------------------------------------------ */

/* Copies the caller's gradient of a layer's output to work memory. */
static void load_output_gradient(const job *j, const batch_run *r)
{
    const layer *l = &j->net->graph.layers[j->layer];
    const size_t n = (size_t)shape_size(&l->out);
    for (size_t i = (size_t)r->from; i < (size_t)r->to; i++)
        sample_load(j->net->graph.channels_last, &l->out, l->dy.data + i * l->dy.ld, j->dy + i * n);
}

/* After forward_job: backward from the output of a layer, or from the loss, to the inputs. */
static void input_gradient_job(void *arg, int id, int threads)
{
    job *j = arg;
    pn_net *net = j->net;
    layer *layers = net->graph.layers;
    const activation dx = net->work.dx;
    const batch_run r = start_batch(j, id, threads, 0, 0);
    const pass *p = &r.pass;
    if (j->dy) {
        load_output_gradient(j, &r);
    } else {
        gather_targets(net, p, &r.batch);
        loss(net, p, j->data, true);
    }
    pool_barrier(threads);
    const int last = j->dy ? j->layer + layers[j->layer].residual.span : net->graph.head - 1;
    for (int i = last; i >= 0; i--) {
        const bool around =
            j->dy && i < j->layer && i + layers[i].residual.span >= j->layer; /* residual i contains it */
        if (layers[i].ops->backward && !around)
            layer_backward(&layers[i], p);
    }
    const size_t n = (size_t)shape_size(&layers[0].in);
    for (size_t i = (size_t)r.from; i < (size_t)r.to; i++) {
        if (net->graph.standardize)
            standardize_gradient(net->graph.standardize, dx.data + i * dx.ld);
        sample_store(net->graph.channels_last, &layers[0].in, j->y + i * n, dx.data + i * dx.ld);
    }
}

pn_status pn_net_input_gradient(pn_net *net, const pn_data *data, int64_t n, int i, const float *dy, float *dx)
{
    net->error[0] = 0;
    net->work.done = STEP_NONE;
    pn_status status = dy ? check_layer(net, i) : PN_OK;
    if (!status)
        status = check_samples(net, data, NULL, n, dy ? NEEDS_INPUTS : NEEDS_INPUTS | NEEDS_TARGETS);
    if (!status && n > 0)
        status = check_pointer(net, dx, "dx");
    if (!status && !net->work.input_gradient) { /* allocate anew, with memory for it */
        memory_free(net->work.block);
        net->work.block = NULL;
        net->work.capacity = 0;
        net->work.input_gradient = true;
    }
    if (!status)
        status = reserve(net, n, 1, worthwhile_threads(net, n));
    if (status || n == 0)
        return status;
    job j = {.net = net, .data = data, .n = n, .batch = n, .gathers = true, .keeps_inputs = true};
    status = run(forward_job, &j);
    if (status)
        return status;
    j = (job){.net = net, .data = data, .n = n, .batch = n, .y = dx, .dy = dy, .layer = i};
    return run(input_gradient_job, &j);
}
