/* Runs a network: forward, backward and update of a batch. Every thread of the pool runs the same code on its part of
   the outputs. The barriers (pool_barrier), and what each waits for:

   1. between gathering and forward: all updates of the last step. train.c skips it if each thread gathers its own
      inputs and reads, in the first layer, only weights that it has updated itself;
   2. between a layer split by columns (all rows, some outputs) and one split by rows: see switch_split(). batchnorm of
      images is split both ways: sums of each image, then of all for each channel, then the outputs of each image;
   3. between backward and the updates, which sum over all rows of dy. Skipped if backward_is_private();
   4. when gradients are clipped by norm: all gradients, before their norm is computed; and all updates, before the
      weights are transposed for the next backward;
   5. the losses of all rows, before they are added up. In training 2 or 3 has waited for them already. */
#include "net/run.h"

#include <math.h>

/* ---- forward and backward ------------------------------------------------------------------------------------------ */

typedef void (*layer_function)(layer *l, const pass *p);

static row_range all_rows(const pass *p)
{
    return (row_range){0, (size_t)p->rows};
}

/* Runs forward or update of layer l on these rows of the batch: in pieces if l reads inputs that are gathered so. */
static void run_rows(const pn_net *net, layer *l, const pass *p, const batch *b, row_range rows,
                     layer_function function)
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

/* What runs of a layer, one after another. */
typedef enum { COPY_INPUTS, SUMS_OF_ROWS, SUMS_OF_BATCH, LAYER, STAGES } stage;

/* A pass through layers: item i is stage i % STAGES of layer i / STAGES in its order. */
typedef struct {
    pn_net *net;
    const pass *p;
    const batch *b;
    int items;
    bool is_backward;
} walk;

static layer *layer_at(const walk *w, int item)
{
    const int i = item / STAGES;
    return w->is_backward ? &w->net->graph.layers[w->items / STAGES - 1 - i] : w->net->graph.order[i];
}

static bool runs_backward(const layer *l, const pass *p)
{
    return l->needs_dx && l->ops->backward && !(p->fuse && l->fused_backward);
}

static bool layer_by_columns(const walk *w, const layer *l)
{
    bool (*const by_columns)(const layer *, const pass *) =
        w->is_backward ? l->ops->backward_by_columns : l->ops->by_columns;
    return by_columns && by_columns(l, w->p);
}

/* A layer that is split by columns needs no other's sums: it has all rows of its columns. */
static layer_function sums_if_by_rows(const walk *w, const layer *l, layer_function sums)
{
    return sums && w->p->training && !layer_by_columns(w, l) ? sums : NULL;
}

/* What the item calls; NULL: nothing. */
static layer_function function_of(const walk *w, int item)
{
    const layer *l = layer_at(w, item);
    if (w->is_backward ? !runs_backward(l, w->p) : !l->ops->forward || (w->p->fuse && l->fused_forward))
        return NULL;
    const batch_sums *sums = w->is_backward ? &l->ops->backward_sums : &l->ops->forward_sums;
    switch ((stage)(item % STAGES)) {
    case COPY_INPUTS:
        return l->copy_size && !w->is_backward ? copy_inputs : NULL;
    case SUMS_OF_ROWS:
        return sums_if_by_rows(w, l, sums->of_rows);
    case SUMS_OF_BATCH:
        return sums_if_by_rows(w, l, sums->of_batch);
    default:
        return w->is_backward ? layer_backward : l->ops->forward;
    }
}

static bool is_by_columns(const walk *w, int item)
{
    return item % STAGES == SUMS_OF_BATCH || (item % STAGES == LAYER && layer_by_columns(w, layer_at(w, item)));
}

/* Is it split by rows, which are images? */
static bool is_of_images(const walk *w, int item)
{
    const layer *l = layer_at(w, item);
    return l->in.rank == 3 && (l->out.rank == 3 || item % STAGES == COPY_INPUTS) && !is_by_columns(w, item) &&
           !w->p->own_rows;
}

/* Runs an item that is not NULL, and returns the number of the next. */
static int run_item(const walk *w, int item)
{
    if (w->is_backward || item % STAGES != LAYER)
        function_of(w, item)(layer_at(w, item), w->p);
    else
        run_rows(w->net, layer_at(w, item), w->p, w->b, is_by_columns(w, item) ? all_rows(w->p) : my_rows(w->p),
                 function_of(w, item));
    return item + 1;
}

/* Runs the items from `first` that compute images one by one. If one of them sums over images, that is done to a few
   images at a time, which are still in the second-level cache; else each item runs on all, which is as fast. */
static int run_images(const walk *w, int first)
{
    enum { FLOATS = 1 << 16 };
    const row_range own = my_rows(w->p);
    size_t largest = 1;
    bool sums = false;
    int end = first;
    for (; end < w->items && (!function_of(w, end) || is_of_images(w, end)); end++) {
        const layer *l = layer_at(w, end);
        const size_t in = (size_t)shape_size(&l->in), out = (size_t)shape_size(&l->out);
        largest = in > largest ? in : largest;
        largest = out > largest ? out : largest;
        sums = sums || (end % STAGES == SUMS_OF_ROWS && function_of(w, end));
    }
    const size_t rows = !sums ? own.to : largest < FLOATS ? FLOATS / largest : 1;
    pass few = *w->p;
    for (size_t from = own.from; from < own.to; from += rows) {
        few.own = (row_range){from, own.to - from < rows ? own.to : from + rows};
        for (int i = first; i < end; i++)
            if (function_of(w, i))
                function_of(w, i)(layer_at(w, i), &few);
    }
    return end;
}

static void run_walk(const walk *w, readable can_read)
{
    for (int i = 0; i < w->items;)
        if (function_of(w, i)) {
            switch_split(&can_read, is_by_columns(w, i), w->p);
            i = is_of_images(w, i) ? run_images(w, i) : run_item(w, i);
        } else {
            i++;
        }
    if (can_read == OWN_COLUMNS && !w->is_backward)
        pool_barrier(w->p->threads);
}

void forward(pn_net *net, const pass *p, const batch *b, int upto)
{
    run_walk(&(walk){.net = net, .p = p, .b = b, .items = STAGES * upto}, EVERYTHING);
}

void layer_backward(layer *l, const pass *p)
{
    l->ops->backward(l, p);
    if (l->copy_size)
        return_input_gradients(l, p);
}

void backward(pn_net *net, const pass *p)
{
    run_walk(&(walk){.net = net, .p = p, .items = STAGES * net->graph.head, .is_backward = true}, OWN_ROWS);
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
    j->fault = (batch_fault){-1, -1, -1};
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
    return j->fault.batch < 0 ? PN_OK : report_fault(j->net, j->data, &j->fault);
}
