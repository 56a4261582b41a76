/* Inference: predictions, evaluation, activations, gradients of the inputs. */
#include "net/run.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- chunks of rows ------------------------------------------------------------------------------------------------ */

/* Chunks of equal size, as many for each thread. */
static int chunk_size(const pn_net *net, int64_t n)
{
    const work_block *b = net->work.used;
    const int64_t threads = min_int(inference_threads(net, n), b->threads), most = threads * b->capacity;
    const int64_t chunks = threads * ((n + most - 1) / most);
    return (int)((n + chunks - 1) / chunks);
}

/* Gathers the next chunk of samples, before `end`, that no thread has taken. False: there is none. No thread waits for
   others: each has its own rows of work memory, through all layers. */
static bool gather_chunk(job *j, int id, int threads, int64_t end, batch_run *r)
{
    const work_block *b = j->net->work.used;
    const int64_t first = atomic_add(&j->next, (int64_t)j->chunk);
    if (first >= end)
        return false;
    const int from = id * b->capacity, rows = (int)(end - first < j->chunk ? end - first : j->chunk);
    *r = start_batch(j, id, threads, first);
    r->batch.first = first - from;
    pass *p = &r->pass;
    p->rows = p->batch_rows = p->input_rows = b->capacity * b->threads;
    p->own = (row_range){(size_t)from, (size_t)(from + rows)};
    p->fuse = p->own_rows = true;
    gather_rows(j->net, p, &r->batch, p->own);
    return true;
}

/* Transforms kernels that every chunk uses; the only time that threads wait for each other. */
static void begin_inference(pn_net *net, int id, int threads)
{
    if (!net->graph.winograd)
        return;
    begin_layers(net, &(pass){.id = id, .threads = threads, .own_rows = true});
    pool_barrier(threads);
}

/* ---- predictions --------------------------------------------------------------------------------------------------- */

/* Computes and stores the outputs of this thread's rows. */
static void predict_rows(job *j, const batch_run *r)
{
    const net_graph *graph = &j->net->graph;
    const pass *p = &r->pass;
    const size_t n = (size_t)shape_size(&graph->last->out);
    const bool softmax = graph->last->word.kind == PN_SOFTMAX;
    forward(j->net, p, NULL, graph->n_layers - softmax); /* a last softmax is computed below, at the temperature */
    const layer *source = layer_source(graph->last);
    const activation out = softmax ? layer_input(graph->last, p) : source ? source->y : p->inputs;
    EACH_OWN_ROW (i, p) {
        float *row = row_of(out, i);
        if (softmax)
            kernels()->softmax(row, out.ld, row, out.ld, 1, (int)n, j->temperature);
        sample_store(graph->channels_last, &graph->last->out, j->y + (size_t)(r->batch.first + (int64_t)i) * n, row);
    }
}

static void predict_job(void *arg, int id, int threads)
{
    job *j = arg;
    if (j->together) {
        batch_run r = start_batch(j, id, threads, 0);
        r.pass.fuse = true;
        gather_rows(j->net, &r.pass, &r.batch, my_rows(&r.pass));
        pool_barrier(threads);
        predict_rows(j, &r);
        return;
    }
    begin_inference(j->net, id, threads);
    for (batch_run r; gather_chunk(j, id, threads, j->n, &r);)
        predict_rows(j, &r);
}

/* Fails if a result y (n, width) is NaN, for which a parameter or an overflow is the reason; infinite ones are right
   where a sum is beyond float32. */
static pn_status check_results(pn_net *net, const float *y, int64_t n, int64_t width)
{
    const size_t size = (size_t)n * (size_t)width;
    size_t i = kernels()->first_nonfinite(y, size);
    while (i < size && !isnan(y[i]))
        i++;
    if (i == size)
        return PN_OK;
    const pn_status status = net_check_parameters(net, net->error);
    return status ? status
                  : fail(net->error, PN_ERR_NONFINITE, "result %zu of sample %zu is NaN: sums are beyond float32",
                         i % (size_t)width, i / (size_t)width);
}

pn_status pn_net_predict(pn_net *net, const pn_data *data, int64_t n, float temperature, float *y)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (!(temperature >= FLT_MIN) || isinf(temperature)) /* 1/temperature must be finite and normal */
        return fail(net->error, PN_ERR_ARGUMENT, "temperature is %g; accepted: 1.2e-38 to 3e38", (double)temperature);
    pn_status status = check_samples(net, data, NULL, n, NEEDS_INPUTS);
    if (!status && n > 0)
        status = check_pointer(net, y, "y");
    if (!status && n > 0)
        status = reserve_inference(net, n);
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    job j = {.net = net,
             .data = data,
             .n = n,
             .batch = n,
             .chunk = chunk_size(net, n),
             .together = infers_together(net, n) && n <= (int64_t)net->work.used->capacity * net->work.used->threads,
             .gathers = true,
             .temperature = temperature,
             .y = y};
    status = run(predict_job, &j);
    return status ? status : check_results(net, y, n, shape_size(&net->graph.last->out));
}

/* ---- evaluation ---------------------------------------------------------------------------------------------------- */

/* Sums of the losses of consecutive samples, up to `end`. The sums of these parts are added up: the same bits for any
   number of threads and any chunks. */
enum { SUMMED = 256 };
typedef struct {
    double loss;
    int64_t correct, samples, end;
} loss_sums;

typedef struct {
    job job;
    loss_sums sums;
} evaluation;

/* Adds the losses of samples [from, to). A part whose loss is not finite does not count. */
static void add_losses(evaluation *e, int64_t from, int64_t to)
{
    const int64_t parts = (e->job.n + SUMMED - 1) / SUMMED, size = e->job.n / parts, larger = e->job.n % parts;
    const net_work *w = &e->job.net->work;
    loss_sums *s = &e->sums;
    for (int64_t i = from; i < to; i++) {
        if (i == s->end)
            *s = (loss_sums){.end = i + size + (i < larger * (size + 1))};
        s->loss += (double)w->round_loss[i - from];
        s->correct += w->round_correct[i - from];
        s->samples++;
        if (i + 1 < s->end)
            continue;
        if (isfinite(s->loss)) {
            e->job.stats.loss += s->loss;
            e->job.stats.correct += s->correct;
            e->job.stats.samples += s->samples;
        } else {
            e->job.finite = false;
        }
    }
}

static void evaluate_job(void *arg, int id, int threads)
{
    job *j = arg;
    const net_work *w = &j->net->work;
    const int64_t round = (int64_t)w->used->capacity * w->used->threads * ROUND;
    int64_t first = j->done;
    begin_inference(j->net, id, threads);
    for (bool go_on = true; first < j->n && go_on;) {
        const int64_t end = j->n - first < round ? j->n : first + round;
        for (batch_run r; gather_chunk(j, id, threads, end, &r);) {
            const size_t from = r.pass.own.from, rows = r.pass.own.to - from,
                         at = (size_t)(r.batch.first + (int64_t)from - first);
            gather_targets(j->net, &r.pass, &r.batch);
            forward(j->net, &r.pass, NULL, j->net->graph.head);
            loss(j->net, &r.pass, j->data, false);
            memcpy(w->round_loss + at, w->loss + from, rows * sizeof *w->loss);
            memcpy(w->round_correct + at, w->correct + from, rows * sizeof *w->correct);
        }
        go_on = continue_job(j, &(pass){.id = id, .threads = threads}, first); /* a barrier: all losses are there */
        if (id == 0) {
            add_losses(arg, first, end);
            atomic_write(&j->next, end);
        }
        pool_barrier(threads);
        first = end;
    }
    if (id == 0)
        j->done = first;
}

pn_status pn_net_evaluate(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, pn_stats *stats)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = check_samples(net, data, order, n, NEEDS_INPUTS | NEEDS_TARGETS);
    if (!status)
        status = check_pointer(net, stats, "stats");
    if (!status && n > 0)
        status = reserve_inference(net, n);
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    evaluation e = {.job = {.net = net,
                            .data = data,
                            .order = order,
                            .n = n,
                            .batch = n,
                            .chunk = chunk_size(net, n),
                            .gathers = true,
                            .stats = *stats}};
    status = run(evaluate_job, &e.job);
    if (status)
        return status;
    *stats = e.job.stats;
    if (!e.job.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss on this data is not finite");
    return PN_OK;
}

/* ---- activations --------------------------------------------------------------------------------------------------- */

pn_status pn_net_activation(pn_net *net, int i, int64_t n, float *y)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
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
static void load_output_gradient(const job *j, const pass *p)
{
    const layer *l = &j->net->graph.layers[j->layer];
    const size_t n = (size_t)shape_size(&l->out);
    EACH_OWN_ROW (i, p)
        sample_load(j->net->graph.channels_last, &l->out, row_of(l->dy, i), j->dy + i * n);
}

/* After forward_job: backward from the output of a layer, or from the loss, to the inputs. */
static void input_gradient_job(void *arg, int id, int threads)
{
    job *j = arg;
    pn_net *net = j->net;
    layer *layers = net->graph.layers;
    const activation dx = net->work.dx;
    const batch_run r = start_batch(j, id, threads, 0);
    const pass *p = &r.pass;
    if (j->dy) {
        load_output_gradient(j, p);
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
    EACH_OWN_ROW (i, p) {
        if (net->graph.standardize)
            standardize_gradient(net->graph.standardize, row_of(dx, i));
        sample_store(net->graph.channels_last, &layers[0].in, j->y + i * n, row_of(dx, i));
    }
}

pn_status pn_net_input_gradient(pn_net *net, const pn_data *data, int64_t n, int i, const float *dy, float *dx)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    net->work.done = STEP_NONE;
    pn_status status = dy ? check_layer(net, i) : PN_OK;
    if (!status)
        status = check_samples(net, data, NULL, n, dy ? NEEDS_INPUTS : NEEDS_INPUTS | NEEDS_TARGETS);
    if (!status && n > 0)
        status = check_pointer(net, dx, "dx");
    const size_t given = dy && !status ? (size_t)n * (size_t)shape_size(&net->graph.layers[i].out) : 0;
    const size_t bad = kernels()->first_nonfinite(dy, given);
    if (bad < given)
        return fail(net->error, PN_ERR_ARGUMENT, "dy holds %g at position %zu; accepted: finite numbers",
                    (double)dy[bad], bad);
    if (!status && !net->work.input_gradient) {
        drop_training_memory(net);
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
    status = run(input_gradient_job, &j);
    return status ? status : check_results(net, dx, n, shape_size(&net->text.input));
}
