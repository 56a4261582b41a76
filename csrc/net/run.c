/* A network at work: batches through the layers, forward and back. Every thread of the team runs the same code on its
   share of the outputs, and waits for the others where the next piece needs all of the last one. */
#include "net/batch.h"
#include "net/run.h"

#include <math.h>
#include <stdatomic.h>

enum {
    PANEL_STEPS = 16 /* a call of more steps gains more by panels than it takes to copy the weights there and back */
};

/* ---- one batch, in the four steps ---------------------------------------------------------------------------------- */

/* What layer l does with rows [from, to) of the batch: if `inputs` cannot hold those that it reads, piece by piece. */
static void with_rows(const pn_net *net, layer *l, const pass *p, const batch *b, int from, int to,
                      void (*what)(layer *l, const pass *p))
{
    if (l->before || !gathers_in_pieces(net, p->rows) || !b) {
        what(l, p);
        return;
    }
    pass piece = *p;
    for (; from < to; from += PIECE) {
        gather_own_inputs(net, &piece, b, from, to - from < PIECE ? to - from : PIECE);
        what(l, &piece);
    }
}

/* What the threads have of the layer that was computed last. */
typedef enum { ALL, ROWS, COLUMNS } extent;

/* Work split by rows needs this thread's rows of what came before, work split by columns needs all of it: threads wait for
   each other only where one follows on the other. */
static void split_work(extent *have, bool columns, const pass *p)
{
    if (columns ? *have != ALL : *have == COLUMNS)
        pool_barrier(p->threads);
    *have = columns ? COLUMNS : ROWS;
}

/* The first `upto` layers to be computed. b: the batch, in training; its inputs may come piece by piece. */
static void forward(pn_net *net, const pass *p, const batch *b, int upto)
{
    extent have = ALL;
    for (int i = 0; i < upto; i++) {
        layer *l = net->graph.order[i];
        if (!l->ops->forward || (p->fuse && l->fused_forward))
            continue;
        if (l->copy_size) {
            split_work(&have, false, p);
            copy_inputs(l, p);
        }
        const bool columns = l->ops->by_columns && l->ops->by_columns(l, p);
        int from = 0, to = p->rows;
        split_work(&have, columns, p);
        if (!columns)
            my_part(p, p->rows, 1, &from, &to);
        with_rows(net, l, p, b, from, to, l->ops->forward);
    }
    if (have == COLUMNS)
        pool_barrier(p->threads);
}

/* After the parameters changed. */
static void prepare(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.head; i++)
        if (net->graph.layers[i].wants_dx && net->graph.layers[i].ops->prepare)
            net->graph.layers[i].ops->prepare(&net->graph.layers[i], p);
}

/* Before the first step: somebody may have changed the parameters. */
static void begin(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.head; i++)
        if (net->graph.layers[i].ops->begin)
            net->graph.layers[i].ops->begin(&net->graph.layers[i], p);
    prepare(net, p);
}

static void end(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.head; i++)
        if (net->graph.layers[i].ops->end)
            net->graph.layers[i].ops->end(&net->graph.layers[i], p);
}

/* What the loss looks at: the outputs, or the inputs of a closing softmax; and where its gradient goes. */
static activation outputs(const pn_net *net, const pass *p)
{
    return net->graph.loss_input ? net->graph.loss_input->y : p->inputs;
}

static activation output_gradient(const pn_net *net)
{
    return net->graph.loss_input ? net->graph.loss_input->dy : net->work.dx;
}

/* Loss and correctness of this thread's rows, and, unless dx is NULL, the gradient of the batch's mean loss. */
static void loss(pn_net *net, const pass *p, const pn_data *given, float *dx)
{
    const activation x = outputs(net, p);
    const int features = (int)shape_size(&net->graph.last->out);
    const batch_targets a = {
        .labels = given->labels ? net->work.targets.labels : NULL,
        .weights = given->weights ? net->work.targets.weights : NULL,
        .targets = net->work.targets.targets,
    };
    int from, to;
    my_part(p, p->rows, 1, &from, &to);
    loss_rows(&net->text.loss, net->work.loss, net->work.correct, dx, x.data, x.ld, features, &a, from, to,
              1 / (float)p->rows);
}

static void layer_backward(layer *l, const pass *p)
{
    l->ops->backward(l, p);
    if (l->copy_size)
        return_input_gradients(l, p);
}

/* From the last layer down: dx, as far as a layer below has parameters. True if each thread made itself what its update of
   the first layer with parameters needs; else waits for all. */
static bool backward(pn_net *net, const pass *p)
{
    extent have = ROWS;
    bool for_owner = false;
    for (int i = net->graph.head - 1; i >= 0; i--) {
        layer *l = &net->graph.layers[i];
        if (!l->wants_dx || !l->ops->backward || (p->fuse && l->fused_backward))
            continue;
        const bool columns = l->ops->backward_by_columns && l->ops->backward_by_columns(l, p);
        split_work(&have, columns, p);
        layer_backward(l, p);
        for_owner = columns && l->ops->for_owner && l->ops->for_owner(l);
    }
    if (!for_owner)
        pool_barrier(p->threads);
    return for_owner;
}

/* The gradients of all parameters from x and dy, all rows of them: applied, or stored. */
static void update(pn_net *net, const pass *p, const batch *b)
{
    for (int i = net->graph.head - 1; i >= 0; i--) {
        layer *l = &net->graph.layers[i];
        if (l->ops->update)
            with_rows(net, l, p, b, 0, p->rows, l->ops->update);
        if (p->opt && l->wants_dx && l->ops->prepare)
            l->ops->prepare(l, p);
    }
}

/* The optimizer's step for all parameters, from stored gradients. */
static void update_all(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken)
{
    pool_barrier(p->threads);
    optim_apply_all(net, p, opt, taken);
    pool_barrier(p->threads);
    prepare(net, p);
}

void after_step(pn_net *net, const pass *p)
{
    for (int i = 0; i < net->graph.n_layers; i++)
        if (net->graph.layers[i].ops->after_step)
            net->graph.layers[i].ops->after_step(&net->graph.layers[i], p);
}

/* Adds the batch in work memory to stats; false, and nothing added, if its loss is not finite. Rows in their order, so
   that every number of threads gives the same sum. */
static bool add_stats(const pn_net *net, int rows, pn_stats *stats)
{
    double sum = 0;
    int64_t correct = 0;
    for (int i = 0; i < rows; i++) {
        sum += (double)net->work.loss[i];
        correct += net->work.correct[i];
    }
    if (!isfinite(sum))
        return false;
    stats->loss += sum;
    stats->correct += correct;
    stats->samples += rows;
    return true;
}

/* ---- jobs of the team ---------------------------------------------------------------------------------------------- */

/* The batch that begins at sample `first` of the job, with inputs in copy `copy`. */
static pass start(const job *j, int id, int threads, int64_t first, int copy, batch *b)
{
    const int64_t batches = j->n ? (j->n + j->batch - 1) / j->batch : 1;
    const int64_t size = j->n / batches, larger = j->n % batches;
    *b = (batch){.data = j->data, .order = j->order, .augment = j->augment, .first = first, .n = j->n};
    const int rows = (int)(size + (first < larger * (size + 1)));
    return (pass){
        .rows = rows,
        .input_rows = rows,
        .id = id,
        .threads = threads,
        .training = j->training,
        .seed = j->net->seed,
        .step = j->net->updates,
        .inputs = j->net->work.x[copy],
        .zeros = j->sparse ? &j->net->work.zeros[copy] : NULL,
        .byte_values = j->bytes ? j->net->byte_values : NULL,
    };
}

/* Is the job to end with the batch at sample `first`? Thread 0 decides, before a pool_barrier, and all look after it. One that
   is late may find the decision of the next batch, which is about another sample. */
static void decide_end(job *j, const pass *p, int64_t first)
{
    if (p->id == 0 && pool_is_held_up(p->threads))
        atomic_store_explicit(&j->end, first, memory_order_relaxed);
}

static bool ends(const job *j, int64_t first)
{
    return atomic_load_explicit(&j->end, memory_order_relaxed) == first;
}

/* Waits for all threads; false when the job is to end there. */
static bool go_on(job *j, const pass *p, int64_t first)
{
    decide_end(j, p, first);
    pool_barrier(p->threads);
    return !ends(j, first);
}

void train_job(void *arg, int id, int threads)
{
    job *j = arg;
    pn_net *net = j->net;
    pn_stats mine = j->stats; /* every thread sums up the same: all notice a loss that is not finite without a signal */
    bool finite = true, held_up = false;
    int64_t first = j->done;
    int64_t taken = j->taken;
    const bool all_first = j->opt->clip_norm > 0; /* which takes all gradients before the first update */
    const bool panels = threads > 1 && !all_first && j->n / j->batch > PANEL_STEPS;
    bool skip_barrier = false; /* does a thread's part of the first layer need nothing of the others' last update? */
    begin(net, &(pass){.id = id, .threads = threads, .panels = panels});
    while (first < j->n && finite && !held_up) {
        batch b;
        pass p = start(j, id, threads, first, id, &b);
        p.fuse = true;
        p.panels = panels;
        p.step = net->updates + (uint64_t)taken;
        const bool shared = j->augment && !gathers_in_pieces(net, p.rows);
        if (shared)
            gather_inputs_together(net, &p, &b, taken);
        else if (!gathers_in_pieces(net, p.rows))
            gather_own_inputs(net, &p, &b, 0, p.rows);
        gather_targets(net, &p, &b);
        decide_end(j, &p, first);
        if (!skip_barrier || shared)
            pool_barrier(threads); /* the last step's updates are done */
        if (shared && p.zeros) {
            if (id == 0)
                nonzeros_transpose(p.zeros, p.rows);
            pool_barrier(threads);
        }
        forward(net, &p, &b, net->graph.head);
        loss(net, &p, j->data, output_gradient(net).data);
        skip_barrier = backward(net, &p) && net->graph.in_pieces && !all_first;
        finite = add_stats(net, p.rows, &mine);
        if (finite) {
            const optim_step now = optim_step_of(j->opt, taken, net->optimizer.steps + taken + 1, 1);
            p.opt = all_first ? NULL : &now;
            update(net, &p, &b);
            if (all_first)
                update_all(net, &p, j->opt, taken);
            after_step(net, &p);
            held_up = ends(j, first);
            taken++;
            mine.steps++;
            first += p.rows;
        }
    }
    end(net, &(pass){.id = id, .threads = threads, .panels = panels});
    if (id == 0) {
        j->stats = mine;
        j->taken = taken;
        j->finite = finite;
        j->done = first;
    }
}

void evaluate_job(void *arg, int id, int threads)
{
    job *j = arg;
    int64_t first = j->done;
    while (first < j->n) {
        batch b;
        int from, to;
        pass p = start(j, id, threads, first, 0, &b);
        p.fuse = p.own_rows = true;
        my_part(&p, p.rows, 1, &from, &to);
        gather_rows(j->net, &p, &b, from, to);
        gather_targets(j->net, &p, &b);
        forward(j->net, &p, NULL, j->net->graph.head);
        loss(j->net, &p, j->data, NULL);
        if (!go_on(j, &p, first)) /* all rows have their loss */
            break;
        if (id == 0 && !add_stats(j->net, p.rows, &j->stats))
            j->finite = false;
        pool_barrier(threads);
        first += p.rows;
    }
    if (id == 0)
        j->done = first;
}

void predict_job(void *arg, int id, int threads)
{
    job *j = arg;
    const layer *last = j->net->graph.last;
    const size_t n = (size_t)shape_size(&last->out);
    const bool softmax = last->word.kind == PN_SOFTMAX;
    const int upto = j->net->graph.n_layers - softmax; /* a closing softmax writes to y itself, at its temperature */
    int64_t first = j->done;
    while (first < j->n) {
        batch b;
        int from, to;
        pass p = start(j, id, threads, first, 0, &b);
        p.fuse = p.own_rows = true;
        my_part(&p, p.rows, 1, &from, &to);
        if (!go_on(j, &p, first)) /* all have read j->done, and are through with the last batch */
            break;
        gather_rows(j->net, &p, &b, from, to);
        forward(j->net, &p, NULL, upto);
        const layer *source = layer_source(j->net->graph.last);
        const activation out = softmax ? layer_input(last, &p) : source ? source->y : p.inputs;
        for (size_t i = (size_t)from; i < (size_t)to; i++) {
            float *y = j->y + ((size_t)first + i) * n;
            float *row = out.data + i * out.ld;
            if (softmax)
                kernels()->softmax(row, out.ld, row, out.ld, 1, (int)n, j->temperature);
            sample_store(j->net->graph.channels_last, &last->out, y, row);
        }
        first += p.rows;
    }
    if (id == 0)
        j->done = first;
}

void forward_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    int from, to;
    pass p = start(j, id, threads, 0, 0, &b);
    my_part(&p, p.rows, 1, &from, &to);
    gather_rows(j->net, &p, &b, from, to);
    begin(j->net, &p);
    pool_barrier(threads);
    if (id == 0 && p.zeros)
        nonzeros_transpose(p.zeros, p.rows);
    forward(j->net, &p, NULL, j->net->graph.n_layers);
}

void loss_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    pass p = start(j, id, threads, 0, 0, &b);
    gather_targets(j->net, &p, &b);
    loss(j->net, &p, j->data, output_gradient(j->net).data);
    pool_barrier(threads);
    if (id == 0)
        j->finite = add_stats(j->net, p.rows, &j->stats);
}

void backward_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    pass p = start(j, id, threads, 0, 0, &b);
    backward(j->net, &p);
    update(j->net, &p, NULL);
}

/* After forward_job: from the gradient at a layer's output, or from the loss, down to the inputs. */
void input_gradient_job(void *arg, int id, int threads)
{
    job *j = arg;
    layer *layers = j->net->graph.layers;
    batch b;
    int from, to;
    const pass p = start(j, id, threads, 0, 0, &b);
    my_part(&p, p.rows, 1, &from, &to);
    for (int i = 0; i < j->net->graph.head; i++)
        if (!layers[i].wants_dx && layers[i].ops->prepare) /* training has no use for its dx */
            layers[i].ops->prepare(&layers[i], &p);
    if (j->dy) {
        const activation dy = layers[j->layer].dy;
        const shape *out = &layers[j->layer].out;
        const size_t n = (size_t)shape_size(out);
        for (size_t i = (size_t)from; i < (size_t)to; i++)
            sample_load(j->net->graph.channels_last, out, dy.data + i * dy.ld, j->dy + i * n);
    } else {
        gather_targets(j->net, &p, &b);
        loss(j->net, &p, j->data, output_gradient(j->net).data);
    }
    pool_barrier(threads);
    const int last = j->dy ? j->layer + layers[j->layer].residual.span : j->net->graph.head - 1;
    for (int i = last; i >= 0; i--) {
        const bool around =
            j->dy && i < j->layer && i + layers[i].residual.span >= j->layer; /* a residual that holds it */
        if (layers[i].ops->backward && !around)
            layer_backward(&layers[i], &p);
    }
    const size_t n = (size_t)shape_size(&layers[0].in);
    for (size_t i = (size_t)from; i < (size_t)to; i++)
        sample_store(j->net->graph.channels_last, &layers[0].in, j->y + i * n,
                     j->net->work.dx.data + i * j->net->work.dx.ld);
}

void run(pool_job what, job *j)
{
    const int64_t rows = j->batch < j->n ? j->batch : j->n;
    unsigned long fp = fp_enter();
    j->finite = true;
    j->sparse = j->net->work.sparse; /* of the batch that is there, or of the samples that come */
    if (what != loss_job && what != backward_job && what != input_gradient_job) {
        j->sparse = j->net->work.sparse =
            j->n && mostly_zeros(j->net, &(batch){.data = j->data, .order = j->order, .n = j->n});
        for (int c = 0; c < j->net->work.copies; c++)
            j->net->work.zeros[c].column_words =
                bit_words((size_t)(what == train_job && gathers_in_pieces(j->net, rows) ? PIECE : rows));
    }
    /* where no other call goes on with the inputs */
    const bool alone = what == train_job || what == evaluate_job || what == predict_job;
    j->bytes = alone && j->sparse && j->net->graph.in_pieces && !j->augment && j->data->dtype == PN_UINT8;
    const int most =
        what == train_job ? j->net->work.copies : j->net->work.threads; /* pn_set_threads may have come between */
    const int worth = worthwhile_threads(j->net, rows), threads = worth < most ? worth : most;
    do {
        j->end = -1;
        pool_run(what, j, threads);
    } while (j->end >= 0 && j->done < j->n);
    fp_leave(fp);
}
