/* Runs a network: forward, backward and update of a batch. Every thread of the pool runs the same code on its part of
   the outputs. The barriers (pool_barrier), and what each waits for:

   1. between gathering and forward: all updates of the last step. train.c skips it if each thread gathers its own
      inputs and reads, in the first layer, only weights that it has updated itself;
   2. between a layer split by columns (all rows, some outputs) and one split by rows: see switch_split();
   3. between backward and the updates, which sum over all rows of dy. Skipped if backward_is_private();
   4. when gradients are clipped by norm: all gradients, before their norm is computed; and all updates, before the
      weights are transposed for the next backward;
   5. the losses of all rows, before they are added up. In training 2 or 3 has waited for them already. */
#include "net/run.h"

#include <math.h>

/* ---- forward and backward ------------------------------------------------------------------------------------------ */

static row_range all_rows(const pass *p)
{
    return (row_range){0, (size_t)p->rows};
}

/* Runs forward or update of layer l on these rows of the batch: in pieces if l reads inputs that are gathered so. */
static void run_rows(const pn_net *net, layer *l, const pass *p, const batch *b, row_range rows,
                     void (*function)(layer *l, const pass *p))
{
    if (l->before || !gathers_in_pieces(net, p->rows) || !b) {
        function(l, p);
        return;
    }
    pass piece = *p;
    for (int from = (int)rows.from, to = (int)rows.to; from < to; from += INPUT_PIECE) {
        gather_own_inputs(net, &piece, b, from, min_int(to - from, INPUT_PIECE));
        function(l, &piece);
    }
}

/* Which part of the last layer's output this thread may read without a barrier. */
typedef enum { EVERYTHING, OWN_ROWS, OWN_COLUMNS } readable;

/* Waits for the other threads if the next layer reads what they have computed of the last one. Work split by rows reads
   only this thread's rows, work split by columns reads all of the last output. */
static void switch_split(readable *can_read, bool columns, const pass *p)
{
    if (columns ? *can_read != EVERYTHING : *can_read == OWN_COLUMNS)
        pool_barrier(p->threads);
    *can_read = columns ? OWN_COLUMNS : OWN_ROWS;
}

void forward(pn_net *net, const pass *p, const batch *b, int upto)
{
    readable can_read = EVERYTHING;
    for (int i = 0; i < upto; i++) {
        layer *l = net->graph.order[i];
        if (!l->ops->forward || (p->fuse && l->fused_forward))
            continue;
        if (l->copy_size) {
            switch_split(&can_read, false, p);
            copy_inputs(l, p);
        }
        const bool columns = l->ops->by_columns && l->ops->by_columns(l, p);
        switch_split(&can_read, columns, p);
        run_rows(net, l, p, b, columns ? all_rows(p) : my_rows(p), l->ops->forward);
    }
    if (can_read == OWN_COLUMNS)
        pool_barrier(p->threads);
}

void begin_layers(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.head; i++)
        if (net->graph.layers[i].ops->begin)
            net->graph.layers[i].ops->begin(&net->graph.layers[i], p);
}

void end_layers(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.head; i++)
        if (net->graph.layers[i].ops->end)
            net->graph.layers[i].ops->end(&net->graph.layers[i], p);
}

static bool runs_backward(const layer *l, const pass *p)
{
    return l->needs_dx && l->ops->backward && !(p->fuse && l->fused_backward);
}

static bool runs_backward_by_columns(const layer *l, const pass *p)
{
    return l->ops->backward_by_columns && l->ops->backward_by_columns(l, p);
}

void layer_backward(layer *l, const pass *p)
{
    l->ops->backward(l, p);
    if (l->copy_size)
        return_input_gradients(l, p);
}

void backward(pn_net *net, const pass *p)
{
    readable can_read = OWN_ROWS;
    for (int i = net->graph.head - 1; i >= 0; i--) {
        layer *l = &net->graph.layers[i];
        if (!runs_backward(l, p))
            continue;
        switch_split(&can_read, runs_backward_by_columns(l, p), p);
        layer_backward(l, p);
    }
}

bool backward_is_private(const pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.head; i++) {
        const layer *l = &net->graph.layers[i];
        if (runs_backward(l, p)) /* the last layer that backward() computes */
            return l->ops->backward_is_private && l->ops->backward_is_private(l, p);
    }
    return false;
}

/* ---- loss and update ----------------------------------------------------------------------------------------------- */

void loss(pn_net *net, const pass *p, const pn_data *given, bool gradient)
{
    const layer *source = net->graph.loss_input;
    const activation x = source ? source->y : p->inputs, dx = source ? source->dy : net->work.dx;
    const int features = (int)shape_size(&net->graph.last->out);
    const batch_targets a = {
        .labels = given->labels ? net->work.targets.labels : NULL,
        .weights = given->weights ? net->work.targets.weights : NULL,
        .targets = net->work.targets.targets,
        .ld = net->work.targets.ld,
    };
    const row_range own = my_rows(p);
    loss_rows(&net->text.loss, net->work.loss, net->work.correct, gradient ? dx.data : NULL, x.data, x.ld, features, &a,
              (int)own.from, (int)own.to, 1 / (float)p->batch_rows);
}

void update(pn_net *net, const pass *p, const batch *b)
{
    for (int i = net->graph.head - 1; i >= 0; i--) {
        layer *l = &net->graph.layers[i];
        if (l->ops->update)
            run_rows(net, l, p, b, all_rows(p), l->ops->update);
    }
}

void after_step(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.n_layers; i++)
        if (net->graph.layers[i].ops->after_step)
            net->graph.layers[i].ops->after_step(&net->graph.layers[i], p);
}

bool add_stats(const job *j, const batch_run *r, pn_stats *stats)
{
    const pn_net *net = j->net;
    const int rows = r->pass.rows;
    double sum = 0;
    int64_t correct = 0;
    for (int i = 0; i < rows; i++) {
        sum += (double)net->work.loss[i];
        correct += net->work.correct[i];
    }
    if (!isfinite(sum) || atomic_read(&j->fault.batch) == r->batch.first)
        return false;
    stats->loss += sum;
    stats->correct += correct;
    stats->samples += rows;
    return true;
}

/* ---- jobs ---------------------------------------------------------------------------------------------------------- */

batch_run start_batch(job *j, int id, int threads, int64_t first)
{
    const int copy = j->own_inputs ? id : 0; /* of the inputs in work memory */
    const int64_t batches = j->n ? (j->n + j->batch - 1) / j->batch : 1;
    const int64_t size = j->n / batches, larger = j->n % batches;
    const int rows = (int)(size + (first < larger * (size + 1)));
    return (batch_run){
        .pass =
            {
                .rows = rows,
                .batch_rows = rows,
                .input_rows = rows,
                .id = id,
                .threads = threads,
                .training = j->training,
                .seed = j->net->seed,
                .step = j->net->updates,
                .inputs = j->net->work.x[copy],
                .mask = j->sparse ? &j->net->work.masks[copy] : NULL,
                .byte_values = j->bytes ? j->net->byte_values : NULL,
            },
        .batch =
            {
                .data = j->data,
                .order = j->order,
                .augment = j->augment,
                .first = first,
                .start = first,
                .n = j->n,
                .fault = &j->fault,
            },
    };
}

void decide_end(job *j, const pass *p, int64_t first)
{
    if (p->id == 0 && pool_is_preempted(p->threads))
        atomic_write(&j->end, first);
}

bool ends_at(const job *j, int64_t first)
{
    return atomic_read(&j->end) == first;
}

bool continue_job(job *j, const pass *p, int64_t first)
{
    decide_end(j, p, first);
    pool_barrier(p->threads);
    return !ends_at(j, first);
}

/* Decides whether products skip zeros. A job that uses the inputs in work memory does as the job that gathered them. */
static void detect_zeros(job *j, int64_t rows)
{
    net_work *work = &j->net->work;
    const int64_t gathered = j->own_inputs && gathers_in_pieces(j->net, rows) ? INPUT_PIECE : rows;
    if (j->gathers)
        work->sparse = j->n && mostly_zeros(j->net, &(batch){.data = j->data, .order = j->order, .n = j->n});
    for (int c = 0; c < work->used->copies; c++)
        work->masks[c].column_words = bit_words((size_t)gathered);
    j->sparse = work->sparse;
    j->bytes = j->sparse && j->gathers && !j->keeps_inputs && j->net->graph.in_pieces && !j->augment &&
               j->data->dtype == PN_UINT8 && !j->net->graph.standardize;
}

/* About how many microseconds the job takes one thread. */
static double job_length(const job *j)
{
    const net_graph *graph = &j->net->graph;
    const double speed = 1e5, row = 0.015; /* multiply-adds per microsecond; a layer of one row, whatever its width */
    const double n = (double)j->n, read = 10; /* to read large weights takes as long as to multiply ten rows by them */
    const double rows = infers_together(j->net, j->n) && n < read ? read : n;
    return (rows * graph->multiplies / speed + n * row * graph->n_layers) * (j->opt ? 3 : 1);
}

pn_status run(pool_job function, job *j)
{
    const int64_t rows = j->batch < j->n ? j->batch : j->n;
    const pn_status bad_scaling = net_prepare_scaling(j->net);
    if (bad_scaling)
        return bad_scaling;
    const unsigned long fp = fp_enter();
    j->finite = true;
    j->fault.batch = j->fault.nonfinite = -1;
    detect_zeros(j, rows);
    const int most = j->own_inputs ? j->net->work.used->copies
                                   : j->net->work.used->threads; /* pn_set_threads may have raised the number since */
    const int worth = j->chunk ? inference_threads(j->net, rows) : worthwhile_threads(j->net, rows);
    const int threads = min_int(worth, most);
    do {
        j->end = -1;
        j->next = j->done;
        pool_run_if_worth(function, j, job_length(j), threads);
    } while (j->end >= 0 && j->done < j->n);
    fp_leave(fp);
    return j->fault.batch < 0 ? PN_OK : report_fault(j->net, j->data, j->fault.nonfinite);
}
