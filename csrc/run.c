/* A network at work: batches through the layers, forward and back. Every thread of the team runs the same code on its
   share of the outputs, and waits for the others where the next piece needs all of the last one. */
#include "run.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void share(const pass *p, int n, int grain, int *from, int *to)
{
    const int64_t grains = (n + grain - 1) / grain;
    const int64_t start = grains * p->id / p->threads * grain, end = grains * (p->id + 1) / p->threads * grain;
    *from = start < n ? (int)start : n;
    *to = end < n ? (int)end : n;
}

/* ---- work memory --------------------------------------------------------------------------------------------------- */

static size_t padded(int64_t n)
{
    return ((size_t)n + PAD - 1) / PAD * PAD;
}

/* Cuts the next piece off a block; with block NULL only counts. */
static float *cut(float *block, size_t *used, size_t floats)
{
    float *piece = block ? block + *used : NULL;
    *used += padded((int64_t)floats);
    return piece;
}

/* Lays out activations, gradients and scratch for `rows` rows; returns the floats it takes. */
static size_t lay_out(pn_net *net, float *block, size_t rows)
{
    size_t used = 0;
    activation x = {.ld = padded(shape_size(&net->text.input))}, dx = {0};
    x.data = cut(block, &used, rows * x.ld);
    for (int i = 0; i < net->n_layers; i++) {
        layer *l = &net->layers[i];
        l->x = x;
        l->dx = dx;
        l->y.ld = l->dy.ld = padded(shape_size(&l->out));
        l->y.data = cut(block, &used, rows * l->y.ld);
        l->dy.data = i >= net->first ? cut(block, &used, rows * l->dy.ld) : NULL;
        l->scratch = cut(block, &used, l->scratch_size);
        x = l->y;
        dx = l->dy;
    }
    net->answers.targets = net->text.loss == PN_MSE ? cut(block, &used, rows * x.ld) : NULL;
    net->answers.labels = (int32_t *)cut(block, &used, rows);
    net->loss = cut(block, &used, rows);
    net->correct = (uint8_t *)cut(block, &used, rows);
    return used;
}

pn_status reserve(pn_net *net, int64_t rows)
{
    if (rows <= net->capacity)
        return PN_OK;
    const int64_t widest = 4 * (int64_t)MAX_FEATURES; /* bytes: rows times that stays far below 2^63 */
    float *block = NULL;
    if (rows <= INT_MAX / 2 && rows < INT64_MAX / widest / (net->n_layers + 2))
        block = aligned_zeros(lay_out(net, NULL, (size_t)rows), sizeof *block);
    if (!block) {
        lay_out(net, net->work, (size_t)net->capacity);
        return fail(net->error, PN_ERR_MEMORY, "no memory for a batch of %lld samples", (long long)rows);
    }
    free(net->work);
    net->work = block;
    net->capacity = (int)rows;
    net->done = STEP_NONE;
    lay_out(net, block, (size_t)rows);
    return PN_OK;
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

/* Copies this thread's rows of the batch to work memory; bytes become x/255. */
static void gather_rows(pn_net *net, const pass *p, const batch *b)
{
    const size_t n = (size_t)shape_size(&net->text.input);
    const activation *x = &net->layers[0].x;
    int from, to;
    share(p, p->rows, 1, &from, &to);
    for (int i = from; i < to; i++) {
        float *row = x->data + (size_t)i * x->ld;
        if (b->data->dtype == PN_UINT8)
            kernels()->scale_u8(row, (const uint8_t *)b->data->x + sample(b, i) * n, n);
        else
            memcpy(row, (const float *)b->data->x + sample(b, i) * n, n * sizeof *row);
    }
}

static void gather_answers(pn_net *net, const pass *p, const batch *b)
{
    const layer *last = &net->layers[net->n_layers - 1];
    const size_t n = (size_t)shape_size(&last->out), ld = last->y.ld;
    int from, to;
    share(p, p->rows, 1, &from, &to);
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

/* Layers [0, upto). */
static void forward(pn_net *net, const pass *p, int upto)
{
    for (int i = 0; i < upto; i++) {
        layer *l = &net->layers[i];
        if (p->fuse && l->fused_forward)
            continue;
        l->ops->forward(l, p);
        if (p->training && i > net->first && l->ops->before_backward)
            l->ops->before_backward(l, p);
        team_sync(p->threads);
    }
}

/* What the loss looks at: the outputs, or the inputs of a closing softmax; and where its gradient goes. */
static activation outputs(const pn_net *net)
{
    return net->head > 0 ? net->layers[net->head - 1].y : net->layers[0].x;
}

static activation output_gradient(const pn_net *net)
{
    return net->head > 0 ? net->layers[net->head - 1].dy : (activation){0};
}

/* Loss and correctness of each row, and with p->training the gradient of their mean. */
static void loss(pn_net *net, const pass *p, bool with_labels)
{
    const activation x = outputs(net);
    const int features = (int)shape_size(&net->layers[net->n_layers - 1].out);
    const answers a = {with_labels ? net->answers.labels : NULL, net->answers.targets};
    int from, to;
    share(p, p->rows, 1, &from, &to);
    loss_rows(net->text.loss, net->loss, net->correct, p->training ? output_gradient(net).data : NULL, x.data, x.ld,
              features, &a, from, to, 1 / (float)p->rows);
    team_sync(p->threads);
}

/* From the last layer down to the first with parameters: dx for the layer below, and this layer's own gradients. A
   layer's update may run beside its backward, which reads the transposed copy of the weights. */
static void backward(pn_net *net, const pass *p)
{
    for (int i = net->head - 1; i >= net->first; i--) {
        layer *l = &net->layers[i];
        if (p->fuse && l->fused_backward)
            continue;
        if (i > net->first)
            l->ops->backward(l, p);
        if (l->ops->update)
            l->ops->update(l, p);
        team_sync(p->threads);
    }
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

/* The batch that begins at sample `first` of the job. */
static pass start(const job *j, int id, int threads, int64_t first, batch *b)
{
    *b = (batch){.data = j->data, .order = j->order, .first = first};
    int64_t rows = j->n - first < j->batch ? j->n - first : j->batch;
    return (pass){.rows = (int)rows, .id = id, .threads = threads};
}

void train_job(void *arg, int id, int threads)
{
    job *j = arg;
    pn_stats mine = {0}; /* every thread sums up the same, so all notice a loss that is not finite without a signal */
    bool finite = true;
    for (int64_t first = 0; first < j->n && finite; first += j->batch) {
        batch b;
        pass p = start(j, id, threads, first, &b);
        p.training = p.fuse = true;
        p.opt = j->opt;
        gather_rows(j->net, &p, &b);
        gather_answers(j->net, &p, &b);
        team_sync(threads);
        forward(j->net, &p, j->net->head);
        loss(j->net, &p, j->data->labels);
        finite = add_stats(j->net, p.rows, &mine);
        if (finite) {
            backward(j->net, &p);
            mine.steps++;
        }
    }
    if (id == 0) {
        j->stats = mine;
        j->finite = finite;
    }
}

void evaluate_job(void *arg, int id, int threads)
{
    job *j = arg;
    for (int64_t first = 0; first < j->n; first += j->batch) {
        batch b;
        pass p = start(j, id, threads, first, &b);
        p.fuse = true;
        gather_rows(j->net, &p, &b);
        gather_answers(j->net, &p, &b);
        team_sync(threads);
        forward(j->net, &p, j->net->head);
        loss(j->net, &p, j->data->labels);
        if (id == 0 && !add_stats(j->net, p.rows, &j->stats))
            j->finite = false;
        team_sync(threads);
    }
}

void predict_job(void *arg, int id, int threads)
{
    job *j = arg;
    const layer *last = &j->net->layers[j->net->n_layers - 1];
    const size_t n = (size_t)shape_size(&last->out);
    const bool softmax = last->word.kind == PN_SOFTMAX;
    const int upto = j->net->n_layers - softmax; /* a closing softmax writes to y itself, at its temperature */
    const activation out = softmax ? last->x : last->y;
    for (int64_t first = 0; first < j->n; first += j->batch) {
        batch b;
        pass p = start(j, id, threads, first, &b);
        p.fuse = true;
        gather_rows(j->net, &p, &b);
        team_sync(threads);
        forward(j->net, &p, upto);
        int from, to;
        share(&p, p.rows, 1, &from, &to);
        for (size_t i = (size_t)from; i < (size_t)to; i++) {
            float *y = j->y + ((size_t)first + i) * n;
            if (softmax)
                kernels()->softmax(y, n, out.data + i * out.ld, out.ld, 1, (int)n, j->temperature);
            else
                memcpy(y, out.data + i * out.ld, n * sizeof *y);
        }
        team_sync(threads);
    }
}

void forward_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    pass p = start(j, id, threads, 0, &b);
    p.training = true;
    gather_rows(j->net, &p, &b);
    team_sync(threads);
    forward(j->net, &p, j->net->n_layers);
}

void loss_job(void *arg, int id, int threads)
{
    job *j = arg;
    batch b;
    pass p = start(j, id, threads, 0, &b);
    p.training = true;
    gather_answers(j->net, &p, &b);
    loss(j->net, &p, j->data->labels);
    if (id == 0)
        j->finite = add_stats(j->net, p.rows, &j->stats);
}

void backward_job(void *arg, int id, int threads)
{
    job *j = arg;
    backward(j->net, &(pass){.rows = j->net->rows, .id = id, .threads = threads, .training = true});
}

void run(team_job what, job *j)
{
    const double worth = 200e3; /* multiply-adds of a batch: below, waiting for each other costs more than it saves */
    const double work = (double)j->net->n_parameters * (double)(j->batch < j->n ? j->batch : j->n);
    unsigned long fp = fp_enter();
    j->finite = true;
    team_run(what, j, work < worth ? 1 : INT_MAX);
    fp_leave(fp);
}
