/* A network at work: batches through the layers, forward and back. Every thread of the team runs the same code on its
   share of the outputs, and waits for the others where the next piece needs all of the last one. */
#include "run.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANEL_STEPS = 16
}; /* a call of more steps gains more by panels than it takes to copy the weights there and back */

void my_share(const pass *p, int n, int grain, int *from, int *to)
{
    share(p->id, p->threads, n, grain, from, to);
}

/* ---- work memory --------------------------------------------------------------------------------------------------- */

/* Words of 64 bits for n bits. */
static size_t words(size_t n)
{
    return (n + 63) / 64;
}

/* Cuts the next piece off a block; with block NULL only counts. */
static float *cut(float *block, size_t *used, size_t floats)
{
    float *piece = block ? block + *used : NULL;
    *used += padded((int64_t)floats);
    return piece;
}

/* Lays out one copy of the inputs, and where they are not zero. */
static void lay_out_inputs(const pn_net *net, activation *x, nonzeros *z, float *block, size_t *used, size_t rows)
{
    *x = (activation){.ld = padded(shape_size(&net->text.input))};
    x->data = cut(block, used, rows * x->ld);
    *z = (nonzeros){.row_words = words(x->ld), .column_words = words(rows)};
    z->rows = (uint64_t *)cut(block, used, 2 * rows * z->row_words); /* a word is two floats */
    z->columns = (uint64_t *)cut(block, used, 2 * 64 * z->row_words * z->column_words);
}

/* Lays out activations, gradients and scratch for `rows` rows; returns the floats it takes. */
static size_t lay_out(pn_net *net, float *block, size_t rows, int copies)
{
    size_t used = 0;
    activation x, dx;
    nonzeros z;
    for (int c = 0; c < copies; c++)
        lay_out_inputs(net, block ? &net->x[c] : &x, block ? &net->zeros[c] : &z, block, &used, rows);
    x = (activation){0};
    dx = (activation){.ld = padded(shape_size(&net->text.input))};
    dx.data = net->input_gradient ? cut(block, &used, rows * dx.ld) : NULL;
    for (int i = 0; i < net->n_layers; i++) {
        layer *l = &net->layers[i];
        l->x = x;
        l->dx = dx;
        l->y.ld = l->dy.ld = padded(shape_size(&l->out));
        l->y.data = cut(block, &used, rows * l->y.ld);
        l->dy.data = i >= net->first || net->input_gradient ? cut(block, &used, rows * l->dy.ld) : NULL;
        l->scratch = cut(block, &used, l->scratch_size);
        x = l->y;
        dx = l->dy;
    }
    net->answers.targets = net->text.loss == PN_MSE ? cut(block, &used, rows * x.ld) : NULL;
    net->answers.labels = (int32_t *)cut(block, &used, rows);
    net->loss = cut(block, &used, rows);
    net->correct = (int32_t *)cut(block, &used, rows);
    return used;
}

/* Do so many copies of the inputs keep within 64 MB? One always may. */
static bool copies_fit(const pn_net *net, int64_t rows, int copies)
{
    return copies == 1 || (double)shape_size(&net->text.input) * (double)rows * copies <= 16e6;
}

int worthwhile_threads(const pn_net *net, int64_t rows)
{
    const double worth = 200e3; /* multiply-adds of a batch: below, waiting for each other costs more than it saves */
    int threads = (double)net->n_parameters * (double)rows < worth ? 1 : pn_threads();
    while (!copies_fit(net, rows, threads))
        threads--;
    return threads;
}

pn_status reserve(pn_net *net, int64_t rows, int copies)
{
    if (net->work && rows <= net->capacity && copies <= net->copies)
        return PN_OK;
    const int64_t most_rows = rows > net->capacity ? rows : net->capacity;
    const int most_copies = copies > net->copies ? copies : net->copies;
    if (copies_fit(net, most_rows, most_copies)) { /* room for what was asked for before, too */
        rows = most_rows;
        copies = most_copies;
    }
    const int64_t widest = 4 * (int64_t)MAX_FEATURES; /* bytes: rows times that stays far below 2^63 */
    float *block = NULL;
    activation *x = calloc((size_t)copies, sizeof *x);
    nonzeros *zeros = calloc((size_t)copies, sizeof *zeros);
    net->done = STEP_NONE;
    if (x && zeros && rows <= INT_MAX / 2 && rows < INT64_MAX / widest / (net->n_layers + copies + 2))
        block = aligned_zeros(lay_out(net, NULL, (size_t)rows, copies), sizeof *block);
    if (block) {
        free(net->work);
        free(net->x);
        free(net->zeros);
        net->work = block;
        net->x = x;
        net->zeros = zeros;
        net->capacity = (int)rows;
        net->copies = copies;
    } else {
        free(x);
        free(zeros);
    }
    if (net->work) /* counting has laid it out anew */
        lay_out(net, net->work, (size_t)net->capacity, net->copies);
    return block ? PN_OK : fail(net->error, PN_ERR_MEMORY, "no memory for a batch of %lld samples", (long long)rows);
}

/* ---- one batch, in the four steps ---------------------------------------------------------------------------------- */

/* The samples of one batch: rows order[first..first+rows) of data. */
typedef struct {
    const pn_data *data;
    const int32_t *order;
    int64_t first;
} batch;

static size_t sample(const batch *b, int i)
{
    return (size_t)(b->order ? b->order[b->first + i] : b->first + i);
}

/* Asks for the rows of the next batch, which lie anywhere in memory, while this one is computed. */
static void prefetch_rows(const pn_net *net, const pass *p, const batch *b, int64_t n)
{
    const size_t size = (size_t)shape_size(&net->text.input) * (b->data->dtype == PN_UINT8 ? 1 : sizeof(float));
    for (int i = p->rows; i < 2 * p->rows && b->first + i < n; i++) {
        const char *row = (const char *)b->data->x + sample(b, i) * size;
        for (size_t at = 0; at < size; at += ALIGN)
            __builtin_prefetch(row + at, 0, 2); /* to the second-level cache: the first would drop most of so many */
    }
}

/* Copies rows [from, to) of the batch to p->inputs, bytes as x/255, and notes where they are not zero. */
static void gather_rows(const pn_net *net, const pass *p, const batch *b, int from, int to)
{
    const size_t n = (size_t)shape_size(&net->text.input);
    for (int i = from; i < to; i++) {
        float *row = p->inputs.data + (size_t)i * p->inputs.ld;
        if (b->data->dtype == PN_UINT8)
            kernels()->scale_u8(row, (const uint8_t *)b->data->x + sample(b, i) * n, n);
        else
            memcpy(row, (const float *)b->data->x + sample(b, i) * n, n * sizeof *row);
        if (p->zeros)
            kernels()->nonzero(p->zeros->rows + (size_t)i * p->zeros->row_words, row, n);
    }
}

/* Are the inputs mostly zeros, so that skipping them pays? Up to 8 samples, spread over the job's, speak for all. */
static bool mostly_zeros(const job *j)
{
    const double worth = 0.4; /* the share of others above which the dense path is faster */
    const int64_t samples = j->n < 8 ? j->n : 8;
    const size_t n = (size_t)shape_size(&j->net->text.input);
    size_t others = 0;
    if (j->net->layers[0].word.kind != PN_DENSE)
        return false;
    for (int64_t i = 0; i < samples; i++) {
        const size_t at = sample(&(batch){j->data, j->order, j->n * i / samples}, 0) * n;
        if (j->data->dtype == PN_UINT8)
            for (size_t k = 0; k < n; k++)
                others += ((const uint8_t *)j->data->x)[at + k] != 0;
        else
            for (size_t k = 0; k < n; k++)
                others += ((const float *)j->data->x)[at + k] != 0;
    }
    return (double)others < worth * (double)n * (double)samples;
}

static void gather_answers(pn_net *net, const pass *p, const batch *b)
{
    const layer *last = &net->layers[net->n_layers - 1];
    const size_t n = (size_t)shape_size(&last->out), ld = last->y.ld;
    int from, to;
    my_share(p, p->rows, 1, &from, &to);
    for (int i = from; i < to; i++) {
        float *target = net->answers.targets ? net->answers.targets + (size_t)i * ld : NULL;
        if (b->data->labels)
            net->answers.labels[i] = b->data->labels[sample(b, i)];
        if (target && b->data->targets)
            memcpy(target, b->data->targets + sample(b, i) * n, n * sizeof *target);
        else if (target)
            pn_one_hot(target, &net->answers.labels[i], 1, (int)n);
    }
}

/* Layers [0, upto). Work split by rows needs this thread's rows of the layer below, work split by columns needs all of
   it: threads wait for each other only where one follows on the other. */
static void forward(pn_net *net, const pass *p, int upto)
{
    enum { ALL, ROWS, COLUMNS } have = ALL;
    for (int i = 0; i < upto; i++) {
        layer *l = &net->layers[i];
        if (p->fuse && l->fused_forward)
            continue;
        const bool columns = l->ops->by_columns && l->ops->by_columns(l, p);
        if (columns ? have != ALL : have == COLUMNS) {
            team_sync(p->threads);
            have = ALL;
        }
        l->ops->forward(l, p);
        have = columns ? COLUMNS : ROWS;
    }
    if (have == COLUMNS)
        team_sync(p->threads);
}

/* After the parameters changed. */
static void prepare(pn_net *net, const pass *p)
{
    for (int i = net->first + 1; i < net->head; i++)
        if (net->layers[i].ops->prepare)
            net->layers[i].ops->prepare(&net->layers[i], p);
}

/* Before the first step: somebody may have changed the parameters. */
static void begin(pn_net *net, const pass *p)
{
    for (int i = net->first; i < net->head; i++)
        if (net->layers[i].ops->begin)
            net->layers[i].ops->begin(&net->layers[i], p);
    prepare(net, p);
}

static void end(pn_net *net, const pass *p)
{
    for (int i = net->first; i < net->head; i++)
        if (net->layers[i].ops->end)
            net->layers[i].ops->end(&net->layers[i], p);
}

/* What the loss looks at: the outputs, or the inputs of a closing softmax; and where its gradient goes. */
static activation outputs(const pn_net *net, const pass *p)
{
    return net->head > 0 ? net->layers[net->head - 1].y : p->inputs;
}

static activation output_gradient(const pn_net *net)
{
    return net->head > 0 ? net->layers[net->head - 1].dy : net->layers[0].dx;
}

/* Loss and correctness of this thread's rows, and, unless dx is NULL, the gradient of the batch's mean loss. */
static void loss(pn_net *net, const pass *p, bool with_labels, float *dx)
{
    const activation x = outputs(net, p);
    const int features = (int)shape_size(&net->layers[net->n_layers - 1].out);
    const answers a = {with_labels ? net->answers.labels : NULL, net->answers.targets};
    int from, to;
    my_share(p, p->rows, 1, &from, &to);
    loss_rows(net->text.loss, net->loss, net->correct, dx, x.data, x.ld, features, &a, from, to, 1 / (float)p->rows);
}

/* From the last layer down: dx, this thread's rows of it, as far as a layer below has parameters. */
static void backward(pn_net *net, const pass *p)
{
    for (int i = net->head - 1; i > net->first; i--) {
        layer *l = &net->layers[i];
        if (!(p->fuse && l->fused_backward))
            l->ops->backward(l, p);
    }
}

/* The gradients of all parameters from x and dy, all rows of them: applied, or stored. */
static void update(pn_net *net, const pass *p)
{
    for (int i = net->head - 1; i >= net->first; i--) {
        layer *l = &net->layers[i];
        if (l->ops->update)
            l->ops->update(l, p);
        if (p->opt && i > net->first && l->ops->prepare)
            l->ops->prepare(l, p);
    }
}

/* The optimizer's step for all parameters, from stored gradients. */
static void update_all(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken)
{
    team_sync(p->threads);
    optim_apply_all(net, p, opt, taken);
    team_sync(p->threads);
    prepare(net, p);
}

/* Adds the batch in work memory to stats; false, and nothing added, if its loss is not finite. Rows in their order, so
   that every number of threads gives the same sum. */
static bool add_stats(const pn_net *net, int rows, pn_stats *stats)
{
    double sum = 0;
    int64_t correct = 0;
    for (int i = 0; i < rows; i++) {
        sum += (double)net->loss[i];
        correct += net->correct[i];
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
    *b = (batch){.data = j->data, .order = j->order, .first = first};
    return (pass){
        .rows = (int)(size + (first < larger * (size + 1))),
        .id = id,
        .threads = threads,
        .inputs = j->net->x[copy],
        .zeros = j->sparse ? &j->net->zeros[copy] : NULL,
    };
}

/* Waits for all threads, at sample `first`; false when the job is to end there. A thread that is late to read j->end may
   find the decision of the next batch in it, which is about another sample. */
static bool go_on(job *j, const pass *p, int64_t first)
{
    if (p->id == 0 && team_held_up(p->threads))
        atomic_store_explicit(&j->end, first, memory_order_relaxed);
    team_sync(p->threads);
    return atomic_load_explicit(&j->end, memory_order_relaxed) != first;
}

void train_job(void *arg, int id, int threads)
{
    job *j = arg;
    pn_net *net = j->net;
    pn_stats mine = j->stats; /* every thread sums up the same: all notice a loss that is not finite without a signal */
    bool finite = true;
    int64_t first = j->done;
    int64_t taken = j->taken;
    const bool all_first = j->opt->clip_norm > 0; /* which takes all gradients before the first update */
    const bool panels = threads > 1 && !all_first && j->n / j->batch > PANEL_STEPS;
    begin(net, &(pass){.id = id, .threads = threads, .panels = panels});
    while (first < j->n && finite) {
        batch b;
        pass p = start(j, id, threads, first, id, &b);
        p.fuse = true;
        p.panels = panels;
        gather_rows(net, &p, &b, 0, p.rows);
        gather_answers(net, &p, &b);
        prefetch_rows(net, &p, &b, j->n);
        if (p.zeros)
            nonzeros_turn(p.zeros, p.rows);
        if (!go_on(j, &p, first)) /* the last step's updates are done */
            break;
        forward(net, &p, net->head);
        loss(net, &p, j->data->labels, output_gradient(net).data);
        backward(net, &p);
        team_sync(threads);
        finite = add_stats(net, p.rows, &mine);
        if (finite) {
            const optim_step now = optim_step_of(j->opt, taken, net->steps + taken + 1, 1);
            p.opt = all_first ? NULL : &now;
            update(net, &p);
            if (all_first)
                update_all(net, &p, j->opt, taken);
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
        p.fuse = p.apart = true;
        my_share(&p, p.rows, 1, &from, &to);
        gather_rows(j->net, &p, &b, from, to);
        gather_answers(j->net, &p, &b);
        forward(j->net, &p, j->net->head);
        loss(j->net, &p, j->data->labels, NULL);
        if (!go_on(j, &p, first)) /* all rows have their loss */
            break;
        if (id == 0 && !add_stats(j->net, p.rows, &j->stats))
            j->finite = false;
        team_sync(threads);
        first += p.rows;
    }
    if (id == 0)
        j->done = first;
}

void predict_job(void *arg, int id, int threads)
{
    job *j = arg;
    const layer *last = &j->net->layers[j->net->n_layers - 1];
    const size_t n = (size_t)shape_size(&last->out);
    const bool softmax = last->word.kind == PN_SOFTMAX;
    const int upto = j->net->n_layers - softmax; /* a closing softmax writes to y itself, at its temperature */
    int64_t first = j->done;
    while (first < j->n) {
        batch b;
        int from, to;
        pass p = start(j, id, threads, first, 0, &b);
        p.fuse = p.apart = true;
        my_share(&p, p.rows, 1, &from, &to);
        if (!go_on(j, &p, first)) /* all have read j->done, and are through with the last batch */
            break;
        gather_rows(j->net, &p, &b, from, to);
        forward(j->net, &p, upto);
        const activation out = upto ? j->net->layers[upto - 1].y : p.inputs;
        for (size_t i = (size_t)from; i < (size_t)to; i++) {
            float *y = j->y + ((size_t)first + i) * n;
            if (softmax)
                kernels()->softmax(y, n, out.data + i * out.ld, out.ld, 1, (int)n, j->temperature);
            else
                memcpy(y, out.data + i * out.ld, n * sizeof *y);
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
    my_share(&p, p.rows, 1, &from, &to);
    gather_rows(j->net, &p, &b, from, to);
    begin(j->net, &p);
    team_sync(threads);
    if (id == 0 && p.zeros)
        nonzeros_turn(p.zeros, p.rows);
    forward(j->net, &p, j->net->n_layers);
}

void loss_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    pass p = start(j, id, threads, 0, 0, &b);
    gather_answers(j->net, &p, &b);
    loss(j->net, &p, j->data->labels, output_gradient(j->net).data);
    team_sync(threads);
    if (id == 0)
        j->finite = add_stats(j->net, p.rows, &j->stats);
}

void backward_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    const pass p = start(j, id, threads, 0, 0, &b);
    backward(j->net, &p);
    team_sync(threads);
    update(j->net, &p);
}

/* After forward_job: from the gradient at a layer's output, or from the loss, down to the inputs. */
void input_gradient_job(void *arg, int id, int threads)
{
    job *j = arg;
    layer *layers = j->net->layers, *lowest = &layers[j->net->first];
    batch b;
    int from, to;
    const pass p = start(j, id, threads, 0, 0, &b);
    my_share(&p, p.rows, 1, &from, &to);
    if (j->net->first < j->net->n_layers && lowest->ops->prepare) /* training has no use for its dx */
        lowest->ops->prepare(lowest, &p);
    if (j->dy) {
        const activation dy = layers[j->layer].dy;
        const size_t n = (size_t)shape_size(&layers[j->layer].out);
        for (size_t i = (size_t)from; i < (size_t)to; i++)
            memcpy(dy.data + i * dy.ld, j->dy + i * n, n * sizeof *dy.data);
    } else {
        gather_answers(j->net, &p, &b);
        loss(j->net, &p, j->data->labels, output_gradient(j->net).data);
    }
    team_sync(threads);
    for (int i = j->dy ? j->layer : j->net->head - 1; i >= 0; i--)
        layers[i].ops->backward(&layers[i], &p);
    const size_t n = (size_t)shape_size(&layers[0].in);
    for (size_t i = (size_t)from; i < (size_t)to; i++)
        memcpy(j->y + i * n, layers[0].dx.data + i * layers[0].dx.ld, n * sizeof *j->y);
}

void run(team_job what, job *j)
{
    const int64_t rows = j->batch < j->n ? j->batch : j->n;
    unsigned long fp = fp_enter();
    j->finite = true;
    j->sparse = j->net->sparse; /* of the batch that is there, or of the samples that come */
    if (what != loss_job && what != backward_job && what != input_gradient_job) {
        j->sparse = j->net->sparse = j->n && mostly_zeros(j);
        for (int c = 0; c < j->net->copies; c++)
            j->net->zeros[c].column_words = words((size_t)rows);
    }
    int threads = worthwhile_threads(j->net, rows);
    if (what == train_job && threads > j->net->copies) /* pn_set_threads may have come between */
        threads = j->net->copies;
    do {
        j->end = -1;
        team_run(what, j, threads);
    } while (j->end >= 0);
    fp_leave(fp);
}
