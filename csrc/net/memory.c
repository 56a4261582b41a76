/* Work memory: one block for activations, their gradients and scratch, laid out anew when a larger batch comes. */
#include "net/net.h"
#include "net/batch.h"

#include <limits.h>
#include <stdlib.h>

/* Cuts the next piece off a block; with block NULL only counts. */
static float *cut(float *block, size_t *used, size_t floats)
{
    float *piece = block ? block + *used : NULL;
    *used += padded((int64_t)floats);
    return piece;
}

/* Rows of the copies of the inputs that only training uses. */
static size_t copied_rows(const pn_net *net, size_t rows)
{
    return takes_pieces(net, (int64_t)rows) ? PIECE : rows;
}

/* Do so many copies of the inputs keep within 64 MB? One always may. */
static bool copies_fit(const pn_net *net, int64_t rows, int copies)
{
    return copies == 1 ||
           (double)shape_size(&net->text.input) * (double)copied_rows(net, (size_t)rows) * copies <= 16e6;
}

/* Lays out one copy of the inputs, and where they are not zero. */
static void lay_out_inputs(const pn_net *net, activation *x, nonzeros *z, float *block, size_t *used, size_t rows)
{
    *x = (activation){.ld = padded(shape_size(&net->text.input))};
    x->data = cut(block, used, rows * x->ld);
    *z = (nonzeros){.row_words = bit_words(x->ld), .column_words = bit_words(rows)};
    z->rows = (uint64_t *)cut(block, used, 2 * rows * z->row_words); /* a word is two floats */
    z->columns = (uint64_t *)cut(block, used, 2 * 64 * z->row_words * z->column_words);
}

/* Lays out what layer l needs. Its x and dx are the y and dy of the layer before, or belong to the network. */
static void lay_out_layer(const pn_net *net, layer *l, float *block, size_t *used, size_t rows, int threads)
{
    const bool back = l->learns || net->input_gradient;
    l->x = l->before ? l->before->y : (activation){0};
    l->dx = l->before ? l->before->dy : net->dx;
    if (!l->ops->forward) { /* a view */
        l->y = l->x;
        l->dy = l->dx;
        return;
    }
    l->y.ld = l->dy.ld = padded(shape_size(&l->out));
    l->y.data = cut(block, used, rows * l->y.ld);
    if (l->sum) /* the sum's gradient is that of each of its terms */
        l->dy = l->sum->dy;
    else
        l->dy.data = back ? cut(block, used, rows * l->dy.ld) : NULL;
    if (l->sum && l == l->sum->skip &&
        (l->wants_dx || net->input_gradient)) /* x has two readers: the residual adds up what they say */
        l->dx.data = cut(block, used, rows * l->dx.ld);
    l->copy.ld = l->dcopy.ld = padded((int64_t)l->copy_size);
    l->copy.data = cut(block, used, rows * l->copy.ld);
    l->dcopy.data = l->wants_dx || net->input_gradient ? cut(block, used, rows * l->dcopy.ld) : NULL;
    l->scratch = cut(block, used, l->scratch_size);
    l->own = cut(block, used, l->own_size * (size_t)threads);
    l->row_data = cut(block, used, rows * l->row_scratch);
}

/* Lays out activations, gradients and scratch for `rows` rows; returns the floats it takes. */
static size_t lay_out(pn_net *net, float *block, size_t rows, int copies, int threads)
{
    size_t used = 0;
    activation x;
    nonzeros z;
    for (int c = 0; c < copies; c++) /* the first copy serves the calls that take a batch in one piece, too */
        lay_out_inputs(net, block ? &net->x[c] : &x, block ? &net->zeros[c] : &z, block, &used,
                       c ? copied_rows(net, rows) : rows);
    net->dx = (activation){.ld = padded(shape_size(&net->text.input))};
    net->dx.data = net->input_gradient ? cut(block, &used, rows * net->dx.ld) : NULL;
    for (int i = 0; i < net->n_layers; i++)
        lay_out_layer(net, &net->layers[i], block, &used, rows, threads);
    const size_t targets = rows * padded(shape_size(&net->last->out));
    net->answers.targets = net->text.loss.kind != PN_CROSS_ENTROPY ? cut(block, &used, targets) : NULL;
    net->answers.labels = (int32_t *)cut(block, &used, rows);
    net->answers.weights = cut(block, &used, rows);
    net->loss = cut(block, &used, rows);
    net->correct = (int32_t *)cut(block, &used, rows);
    return used;
}

int worthwhile_threads(const pn_net *net, int64_t rows)
{
    const double worth = 200e3; /* multiply-adds of a batch: below, waiting for each other costs more than it saves */
    return net->multiplies * (double)rows < worth ? 1 : pn_threads();
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
    if (net->work && rows <= net->capacity && copies <= net->copies && threads <= net->threads)
        return PN_OK;
    const int64_t most_rows = rows > net->capacity ? rows : net->capacity;
    const int most_copies = copies > net->copies ? copies : net->copies;
    if (copies_fit(net, most_rows, most_copies)) { /* room for what was asked for before, too */
        rows = most_rows;
        copies = most_copies;
    }
    threads = threads > net->threads ? threads : net->threads;
    const int64_t widest = 4 * (int64_t)MAX_FEATURES; /* bytes: rows times that stays far below 2^63 */
    float *block = NULL;
    activation *x = calloc((size_t)copies, sizeof *x);
    nonzeros *zeros = calloc((size_t)copies, sizeof *zeros);
    net->done = STEP_NONE;
    if (x && zeros && rows <= INT_MAX / 2 && rows < INT64_MAX / widest / (net->n_layers + copies + 2))
        block = aligned_zeros(lay_out(net, NULL, (size_t)rows, copies, threads), sizeof *block);
    if (block) {
        free(net->work);
        free(net->x);
        free(net->zeros);
        net->work = block;
        net->x = x;
        net->zeros = zeros;
        net->capacity = (int)rows;
        net->copies = copies;
        net->threads = threads;
    } else {
        free(x);
        free(zeros);
    }
    if (net->work) /* counting has laid it out anew */
        lay_out(net, net->work, (size_t)net->capacity, net->copies, net->threads);
    for (int i = 0; block && i < net->n_layers; i++)
        if (net->layers[i].ops->place)
            net->layers[i].ops->place(&net->layers[i]);
    return block ? PN_OK : fail(net->error, PN_ERR_MEMORY, "no memory for a batch of %lld samples", (long long)rows);
}
