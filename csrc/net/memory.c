/* Work memory: one block for activations, their gradients and scratch, allocated anew for a larger batch. */
#include "net/run.h"

#include <limits.h>

/* Takes the next `floats` of a block; with block NULL only counts them in *used. */
static float *cut(float *block, size_t *used, size_t floats)
{
    float *piece = block ? block + *used : NULL;
    *used += padded((int64_t)floats);
    return piece;
}

/* Rows of each copy of the inputs after the first; only training uses those copies. */
static size_t copied_rows(const pn_net *net, size_t rows)
{
    return gathers_in_pieces(net, (int64_t)rows) ? INPUT_PIECE : rows;
}

/* Do so many copies of the inputs take at most 64 MB? One is always allowed. */
static bool copies_fit(const pn_net *net, int64_t rows, int copies)
{
    return copies == 1 ||
           (double)shape_size(&net->text.input) * (double)copied_rows(net, (size_t)rows) * copies <= 16e6;
}

/* Lays out one copy of the inputs, and the bits of those that are not zero. */
static void lay_out_inputs(const pn_net *net, activation *x, nonzero_mask *z, float *block, size_t *used, size_t rows)
{
    *x = (activation){.ld = row_distance(shape_size(&net->text.input))};
    x->data = cut(block, used, rows * x->ld);
    *z = (nonzero_mask){.row_words = bit_words(x->ld), .column_words = bit_words(rows)};
    z->rows = (uint64_t *)cut(block, used, 2 * rows * z->row_words); /* a word is two floats */
    z->columns = (uint64_t *)cut(block, used, 2 * 64 * z->row_words * z->column_words);
}

/* Lays out the memory of layer l. Its x and dx are y and dy of the layer before, or the network's inputs and their
   gradient. */
static void lay_out_layer(const pn_net *net, layer *l, float *block, size_t *used, size_t rows, int threads)
{
    const bool back = l->trainable || net->work.input_gradient;
    l->scratch.data = cut(block, used, l->scratch.size);
    l->scratch.thread_data = cut(block, used, l->scratch.thread_size * (size_t)threads);
    l->scratch.row_data = cut(block, used, rows * l->scratch.row_size);
    l->x = l->before ? l->before->y : (activation){0};
    l->dx = l->before ? l->before->dy : net->work.dx;
    if (!l->ops->forward) { /* a view */
        l->y = l->x;
        l->dy = l->dx;
        return;
    }
    l->y.ld = l->dy.ld = row_distance(shape_size(&l->out));
    l->y.data = cut(block, used, rows * l->y.ld);
    if (l->sum) /* the gradient of a sum is that of both branches */
        l->dy = l->sum->dy;
    else
        l->dy.data = back ? cut(block, used, rows * l->dy.ld) : NULL;
    if (l->sum && l == l->sum->residual.skip &&
        (l->needs_dx || net->work.input_gradient)) /* its own dx, which the residual adds to that of the other branch */
        l->dx.data = cut(block, used, rows * l->dx.ld);
    l->copy.ld = l->dcopy.ld = padded((int64_t)l->copy_size);
    l->copy.data = cut(block, used, rows * l->copy.ld);
    l->dcopy.data = l->needs_dx || net->work.input_gradient ? cut(block, used, rows * l->dcopy.ld) : NULL;
}

/* Lays out all work memory for `rows` rows in a block; returns how many floats it takes. With block NULL only
   counts. */
static size_t lay_out(pn_net *net, float *block, size_t rows, int copies, int threads)
{
    size_t used = 0;
    activation x;
    nonzero_mask z;
    for (int c = 0; c < copies; c++) /* calls that gather whole batches use the first copy */
        lay_out_inputs(net, block ? &net->work.x[c] : &x, block ? &net->work.masks[c] : &z, block, &used,
                       c ? copied_rows(net, rows) : rows);
    net->work.dx = (activation){.ld = row_distance(shape_size(&net->text.input))};
    net->work.dx.data = net->work.input_gradient ? cut(block, &used, rows * net->work.dx.ld) : NULL;
    for (int i = 0; i < net->graph.n_layers; i++)
        lay_out_layer(net, &net->graph.layers[i], block, &used, rows, threads);
    const size_t targets = rows * row_distance(shape_size(&net->graph.last->out));
    net->work.targets.targets = net->text.loss.kind != PN_CROSS_ENTROPY ? cut(block, &used, targets) : NULL;
    net->work.targets.labels = (int32_t *)cut(block, &used, rows);
    net->work.targets.weights = cut(block, &used, rows);
    net->work.loss = cut(block, &used, rows);
    net->work.correct = (int32_t *)cut(block, &used, rows);
    return used;
}

int worthwhile_threads(const pn_net *net, int64_t rows)
{
    const double worth = 200e3; /* multiply-adds of a batch: below, barriers cost more than a second thread saves */
    return net->graph.multiplies * (double)rows < worth ? 1 : pn_threads();
}

int input_copies(const pn_net *net, int64_t rows)
{
    int copies = worthwhile_threads(net, rows);
    while (!copies_fit(net, rows, copies))
        copies--;
    return copies;
}

pn_status reserve(pn_net *net, int64_t rows, int copies, int threads)
{
    if (net->work.block && rows <= net->work.capacity && copies <= net->work.copies && threads <= net->work.threads)
        return PN_OK;
    const int64_t most_rows = rows > net->work.capacity ? rows : net->work.capacity;
    const int most_copies = copies > net->work.copies ? copies : net->work.copies;
    if (copies_fit(net, most_rows, most_copies)) { /* keep the sizes of earlier calls: those may alternate */
        rows = most_rows;
        copies = most_copies;
    }
    threads = threads > net->work.threads ? threads : net->work.threads;
    const int64_t widest = 4 * (int64_t)MAX_FEATURES; /* bytes of a row */
    float *block = NULL;
    activation *x = memory_zeros((size_t)copies, sizeof *x);
    nonzero_mask *masks = memory_zeros((size_t)copies, sizeof *masks);
    net->work.done = STEP_NONE;
    if (x && masks && rows <= INT_MAX / 2 && rows < INT64_MAX / widest / (net->graph.n_layers + copies + 2))
        block = memory_zeros(lay_out(net, NULL, (size_t)rows, copies, threads), sizeof *block);
    if (block) {
        fork_lock(); /* a child process must not see pointers to freed memory */
        memory_free(net->work.block);
        memory_free(net->work.x);
        memory_free(net->work.masks);
        net->work.block = block;
        net->work.x = x;
        net->work.masks = masks;
        net->work.capacity = (int)rows;
        net->work.copies = copies;
        net->work.threads = threads;
        fork_unlock();
    } else {
        memory_free(x);
        memory_free(masks);
    }
    if (net->work.block) /* counting has set all pointers to NULL */
        lay_out(net, net->work.block, (size_t)net->work.capacity, net->work.copies, net->work.threads);
    for (int i = 0; block && i < net->graph.n_layers; i++)
        if (net->graph.layers[i].ops->fill_tables)
            net->graph.layers[i].ops->fill_tables(&net->graph.layers[i]);
    return block ? PN_OK : fail(net->error, PN_ERR_MEMORY, "no memory for a batch of %lld samples", (long long)rows);
}

pn_status reserve_gradients(pn_net *net)
{
    if (net->gradients)
        return PN_OK;
    net->gradients = memory_zeros(net->n_parameters, sizeof *net->gradients);
    if (!net->gradients)
        return fail(net->error, PN_ERR_MEMORY, "no memory for the gradients of %zu parameters", net->n_parameters);
    for (int t = 0; t < net->n_trained; t++) {
        parameter *p = net->tensors[t].parameter;
        p->grad = net->gradients + (p->data - net->parameters);
    }
    return PN_OK;
}
