/* Work memory: a block for training, with the outputs of all layers, their gradients and scratch, and one for inference.
   They are allocated anew for a larger batch. */
#include "net/run.h"

#include <limits.h>

enum {
    CHUNK = 256,          /* most rows that inference computes together */
    FEW_ROWS = 16,        /* up to so many, to read large weights is what takes time */
    CACHE = 1 << 20,      /* bytes of a thread's rows: about the second-level cache */
    MOST_BYTES = 15 << 20 /* of all threads' rows, if one row each takes less */
};

/* Takes the next `floats` of a block; with block NULL only counts them in *used: with 64 bits, where size_t has 32,
   because what does not fit must not become small. */
static float *cut(float *block, uint64_t *used, uint64_t floats)
{
    float *piece = block ? block + *used : NULL;
    *used += (floats + PAD - 1) / PAD * PAD;
    return piece;
}

/* Rows of each copy of the inputs after the first; only training uses those copies. */
static uint64_t copied_rows(const pn_net *net, uint64_t rows)
{
    return gathers_in_pieces(net, (int64_t)rows) ? INPUT_PIECE : rows;
}

/* Do so many copies of the inputs take at most 64 MB? One is always allowed. */
static bool copies_fit(const pn_net *net, int64_t rows, int copies)
{
    return copies == 1 ||
           (double)shape_size(&net->text.input) * (double)copied_rows(net, (uint64_t)rows) * copies <= 16e6;
}

/* Lays out one copy of the inputs, and the bits of those that are not zero; their columns only for training. */
static void lay_out_inputs(pn_net *net, int copy, float *block, uint64_t *used, uint64_t rows, bool training)
{
    activation x = {.ld = row_distance(shape_size(&net->text.input))};
    nonzero_mask z = {.row_words = bit_words(x.ld), .column_words = training ? bit_words((size_t)rows) : 0};
    x.data = cut(block, used, rows * x.ld);
    z.rows = (uint64_t *)cut(block, used, 2 * rows * z.row_words); /* a word is two floats */
    z.columns = (uint64_t *)cut(block, used, (uint64_t)2 * 64 * z.row_words * z.column_words);
    if (block) {
        net->work.x[copy] = x;
        net->work.masks[copy] = z;
    }
}

/* The lists of the copies, and the targets of `rows` rows. */
static void lay_out_work(pn_net *net, float *block, uint64_t *used, uint64_t rows, int copies)
{
    net_work *w = &net->work;
    w->x = (activation *)cut(block, used, (size_t)copies * sizeof *w->x / sizeof *block);
    w->masks = (nonzero_mask *)cut(block, used, (size_t)copies * sizeof *w->masks / sizeof *block);
    w->targets.ld = row_distance(shape_size(&net->graph.last->out));
    w->targets.targets = net->text.loss.kind != PN_CROSS_ENTROPY ? cut(block, used, rows * w->targets.ld) : NULL;
    w->targets.labels = (int32_t *)cut(block, used, rows);
    w->targets.weights = cut(block, used, rows);
    w->loss = cut(block, used, rows);
    w->correct = (int32_t *)cut(block, used, rows);
}

/* Lays out the memory of layer l. Its x and dx are y and dy of the layer before, or the network's inputs and their
   gradient. */
static void lay_out_layer(const pn_net *net, layer *l, float *block, uint64_t *used, uint64_t rows, int threads)
{
    const bool back = l->trainable || net->work.input_gradient;
    l->scratch.data = cut(block, used, l->scratch.size);
    l->scratch.thread_data = cut(block, used, l->scratch.thread_size * (uint64_t)threads);
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

static uint64_t lay_out_training(pn_net *net, float *block, uint64_t rows, int copies, int threads)
{
    uint64_t used = 0;
    lay_out_work(net, block, &used, rows, copies);
    for (int c = 0; c < copies; c++) /* calls that gather whole batches use the first copy */
        lay_out_inputs(net, c, block, &used, c ? copied_rows(net, rows) : rows, true);
    net->work.dx = (activation){.ld = row_distance(shape_size(&net->text.input))};
    net->work.dx.data = net->work.input_gradient ? cut(block, &used, rows * net->work.dx.ld) : NULL;
    for (int i = 0; i < net->graph.n_layers; i++)
        lay_out_layer(net, &net->graph.layers[i], block, &used, rows, threads);
    return used;
}

/* Each thread has `rows` rows: thread id those from id rows. */
static uint64_t lay_out_inference(pn_net *net, float *block, uint64_t rows, int threads)
{
    const net_graph *graph = &net->graph;
    const uint64_t all = rows * (uint64_t)threads, size = all * graph->slot_size;
    uint64_t used = 0;
    lay_out_work(net, block, &used, all, 1);
    net->work.round_loss = cut(block, &used, all * ROUND);
    net->work.round_correct = (int32_t *)cut(block, &used, all * ROUND);
    lay_out_inputs(net, 0, block, &used, all, false);
    float *const slots = cut(block, &used, (uint64_t)graph->slots * size);
    for (int i = 0; i < graph->n_layers; i++) {
        layer *l = &graph->layers[i];
        l->scratch.data = cut(block, &used, l->scratch.inference_size);
        l->scratch.thread_data =
            cut(block, &used, l->scratch.thread_inference ? l->scratch.thread_size * (uint64_t)threads : 0);
        l->scratch.row_data = cut(block, &used, l->scratch.row_inference ? all * l->scratch.row_size : 0);
        l->dx = l->dy = l->dcopy = (activation){0};
    }
    for (int i = 0; i < graph->n_ordered && block; i++) {
        layer *l = graph->order[i];
        l->x = l->before ? l->before->y : (activation){0};
        l->y = l->x;
        if (l->ops->forward)
            l->y = (activation){slots + (size_t)l->y_slot * (size_t)size, graph->slot_size};
        l->copy = (activation){slots + (size_t)l->copy_slot * (size_t)size, graph->slot_size};
    }
    return used;
}

/* Lays out work memory in a block; returns how many floats it takes. With block NULL only counts. */
static uint64_t lay_out(pn_net *net, const work_block *b)
{
    const uint64_t rows = (uint64_t)b->capacity;
    return b->copies ? lay_out_training(net, b->block, rows, b->copies, b->threads)
                     : lay_out_inference(net, b->block, rows, b->threads);
}

int worthwhile_threads(const pn_net *net, int64_t rows)
{
    const double worth = 200e3; /* multiply-adds of a batch: below, barriers cost more than a second thread saves */
    return net->graph.multiplies * (double)rows < worth ? 1 : pn_threads();
}

bool infers_together(const pn_net *net, int64_t n)
{
    return n <= FEW_ROWS && net->graph.large_weights && net->text.input.rank == 1;
}

int inference_threads(const pn_net *net, int64_t n)
{
    const int threads = worthwhile_threads(net, n);
    return n < threads && !infers_together(net, n) ? (int)n : threads;
}

int input_copies(const pn_net *net, int64_t rows)
{
    int copies = worthwhile_threads(net, rows);
    while (!copies_fit(net, rows, copies))
        copies--;
    return copies;
}

/* In another layout the results of the last call are out of reach. */
static void use(pn_net *net, work_block *b)
{
    if (net->work.used == b)
        return;
    lay_out(net, b);
    net->work.used = b;
    net->work.done = STEP_NONE;
}

/* Uses block b, after replacing it by `new` if that has no memory yet; if there is none for it, b stays in use. */
static pn_status provide_block(pn_net *net, work_block *b, work_block new, int64_t rows)
{
    const int64_t widest = 4 * (int64_t)MAX_FEATURES; /* bytes of a row */
    if (new.block) {
        use(net, b);
        return PN_OK;
    }
    net->work.done = STEP_NONE;
    if (rows <= INT_MAX / 2 && rows < INT64_MAX / widest / (net->graph.n_layers + new.copies + 2))
        new.block = memory_zeros(lay_out(net, &new), sizeof *new.block);
    net->work.used = NULL; /* counting has set all pointers to NULL */
    if (new.block) {
        fork_lock(); /* a child process must not see pointers to freed memory */
        memory_free(b->block);
        *b = new;
        fork_unlock();
    }
    if (b->block)
        use(net, b);
    for (int i = 0; new.block && i < net->graph.n_layers; i++)
        if (net->graph.layers[i].ops->fill_tables)
            net->graph.layers[i].ops->fill_tables(&net->graph.layers[i]);
    return new.block ? PN_OK
                     : fail(net->error, PN_ERR_MEMORY, "no memory for a batch of %lld samples", (long long)rows);
}

/* The block for training on so many rows: the present one, or one to allocate. */
static work_block training_block(const pn_net *net, int64_t rows, int copies, int threads)
{
    const work_block *b = &net->work.blocks[FOR_TRAINING];
    const bool fits = copies <= b->copies && threads <= b->threads;
    if (b->block && rows <= b->capacity && (fits || rows <= b->reserved))
        return *b;
    const int64_t most_rows = rows > b->capacity ? rows : b->capacity;
    const int most_copies = copies > b->copies ? copies : b->copies;
    if (copies_fit(net, most_rows, most_copies)) { /* keep the sizes of earlier calls: those may alternate */
        rows = most_rows;
        copies = most_copies;
    }
    return (work_block){.capacity = (int)rows,
                        .copies = copies,
                        .threads = threads > b->threads ? threads : b->threads,
                        .reserved = b->reserved};
}

pn_status reserve(pn_net *net, int64_t rows, int copies, int threads)
{
    const work_block want = training_block(net, rows, copies, threads);
    return provide_block(net, &net->work.blocks[FOR_TRAINING], want, want.capacity > rows ? want.capacity : rows);
}

void drop_training_memory(pn_net *net)
{
    fork_lock();
    memory_free(net->work.blocks[FOR_TRAINING].block);
    net->work.blocks[FOR_TRAINING].block = NULL;
    fork_unlock();
    net->work.used = NULL;
}

/* How many rows a thread computes together: they fit its cache, unless a matrix of weights does not; it is then read
   from memory once for all rows. */
static int most_chunk(const pn_net *net, int threads)
{
    const net_graph *graph = &net->graph;
    const size_t inputs = row_distance(shape_size(&net->text.input)), outputs = padded(shape_size(&graph->last->out));
    const uint64_t floats = inputs + inputs / 16 + (uint64_t)graph->slots * graph->slot_size + outputs + 48,
                   row = floats * sizeof(float);
    const size_t most = MOST_BYTES / (size_t)threads, bytes = graph->large_weights || most < CACHE ? most : CACHE;
    return bytes / row > CHUNK ? CHUNK : bytes > row ? (int)(bytes / row) : 1;
}

static work_block inference_block(const pn_net *net, int64_t n)
{
    const work_block *b = &net->work.blocks[FOR_INFERENCE];
    int threads = inference_threads(net, n);
    const int64_t each = (n + threads - 1) / threads;
    if (b->block && ((each <= b->capacity && threads <= b->threads) || n <= b->reserved))
        return *b;
    const int most = most_chunk(net, threads), rows = each < most ? (int)each : most;
    if (b->block && rows <= b->capacity && threads <= b->threads)
        return *b;
    threads = threads > b->threads ? threads : b->threads;
    return (work_block){.capacity = min_int(rows > b->capacity ? rows : b->capacity, most_chunk(net, threads)),
                        .threads = threads,
                        .reserved = b->reserved};
}

pn_status reserve_inference(pn_net *net, int64_t n)
{
    const work_block want = inference_block(net, n);
    return provide_block(net, &net->work.blocks[FOR_INFERENCE], want, want.capacity);
}

uint64_t work_size(pn_net *net, int64_t rows, const pn_optim *opt)
{
    const int copies = input_copies(net, rows);
    work_block blocks[PURPOSES] = {[FOR_INFERENCE] = inference_block(net, rows),
                                   [FOR_TRAINING] = net->work.blocks[FOR_TRAINING]};
    uint64_t bytes = 0;
    if (opt)
        blocks[FOR_TRAINING] = training_block(net, rows, copies, copies);
    for (int i = 0; i < PURPOSES; i++) {
        blocks[i].block = NULL; /* counts */
        bytes += blocks[i].capacity ? memory_size(lay_out(net, &blocks[i]) * sizeof(float)) : 0;
    }
    if (net->work.used)
        lay_out(net, net->work.used);
    return bytes;
}

bool stores_gradients(const pn_net *net, int64_t rows, const pn_optim *opt)
{
    return opt->clip_norm > 0 || gathers_in_pieces(net, rows);
}

void set_gradients(pn_net *net, float *block)
{
    for (int t = 0; t < net->n_trained; t++)
        net->tensors[t].parameter->grad = block + (net->tensors[t].parameter->data - net->parameters);
}

pn_status reserve_gradients(pn_net *net)
{
    if (net->gradients)
        return PN_OK;
    net->gradients = memory_zeros(net->n_parameters, sizeof *net->gradients);
    if (!net->gradients)
        return fail(net->error, PN_ERR_MEMORY, "no memory for the gradients of %zu parameters", net->n_parameters);
    set_gradients(net, net->gradients);
    return PN_OK;
}

pn_status reserve_training(pn_net *net, int64_t rows, const pn_optim *opt)
{
    const int copies = input_copies(net, rows);
    const pn_status status = reserve(net, rows, copies, copies);
    return status || !stores_gradients(net, rows, opt) ? status : reserve_gradients(net);
}

pn_status net_augmenter(pn_net *net, const pn_augment *options, int threads, const augmenter **augment)
{
    const pn_status status =
        options ? augmenter_set(&net->augmenter, options, &net->text.input, threads, net->error) : PN_OK;
    *augment = options && !status ? net->augmenter : NULL;
    return status;
}
