/* Gathering: copies the inputs and targets of the samples of a batch to work memory. */
#include "net/batch.h"

#include <float.h>
#include <string.h>

static void record_fault(const batch *b, int64_t nonfinite)
{
    if (!b->fault)
        return;
    int64_t first = atomic_read(&b->fault->nonfinite);
    while (nonfinite >= 0 && (first < 0 || nonfinite < first))
        if (atomic_replace(&b->fault->nonfinite, &first, nonfinite))
            break;
    atomic_write(&b->fault->batch, b->start);
}

/* The sample that is row i of the batch. The number is read once and then checked: another thread may change it. */
static size_t sample(const batch *b, int64_t i)
{
    if (!b->order)
        return (size_t)(b->first + i);
    const int32_t row = atomic_read(&b->order[b->first + i]);
    if (row >= 0 && row < b->data->n)
        return (size_t)row;
    record_fault(b, -1);
    return 0;
}

static int32_t label_of(const batch *b, size_t at, int64_t classes)
{
    const int32_t label = atomic_read(&b->data->labels[at]);
    if (label >= 0 && label < classes)
        return label;
    record_fault(b, -1);
    return 0;
}

static float weight_of(const batch *b, size_t at)
{
    const float weight = atomic_read_float(&b->data->weights[at]);
    if (weight >= 0 && weight <= FLT_MAX)
        return weight;
    record_fault(b, -1);
    return 0;
}

/* Prefetches the `rows` samples that follow, which may lie anywhere in memory, while the first `rows` are computed. */
static void prefetch_rows(const pn_net *net, const batch *b, int rows)
{
    const size_t size = (size_t)shape_size(&net->text.input) * (b->data->dtype == PN_UINT8 ? 1 : sizeof(float));
    for (int i = rows; i < 2 * rows && b->first + i < b->n && !b->data->starts; i++) {
        const char *row = (const char *)b->data->x + sample(b, i) * size;
        for (size_t at = 0; at < size; at += ALIGN)
            __builtin_prefetch(row + at, 0, 2); /* to the second-level cache: they do not fit the first */
    }
}

bool sparse_row(const pn_data *data, size_t i, int64_t *from, int64_t *to)
{
    *from = atomic_read(&data->starts[i]);
    *to = atomic_read(&data->starts[i + 1]);
    return *from >= 0 && *from <= *to && *to <= data->stored;
}

/* Copies sample `at` of sparse data to `row` (n); false if a number in it is not finite. */
static bool load_sparse(const batch *b, size_t at, float *row, size_t n)
{
    const float *values = b->data->x;
    int64_t from, to;
    memset(row, 0, n * sizeof(float));
    if (!sparse_row(b->data, at, &from, &to)) {
        record_fault(b, -1);
        return true;
    }
    for (int64_t k = from; k < to; k++) {
        const int32_t column = atomic_read(&b->data->columns[k]);
        if (column >= 0 && (size_t)column < n)
            row[column] += values[k];
        else
            record_fault(b, -1);
    }
    return kernels()->first_nonfinite(row, n) == n;
}

/* Copies sample x to `row`, row i of the batch; false if a number in it is not finite. */
static bool load_inputs(const pn_net *net, const pass *p, const batch *b, int i, float *row, const void *x)
{
    const shape *in = &net->text.input;
    const size_t n = (size_t)shape_size(in);
    if (b->augment) {
        const bool finite = b->data->dtype == PN_UINT8 || kernels()->first_nonfinite(x, n) == n;
        const float *seen = augmented_sample(b->augment, p->id, x, b->data->dtype, p->seed, p->step,
                                             (uint32_t)(p->batch_from + p->input_from + i));
        sample_load(net->graph.channels_last, in, row, seen);
        return finite;
    }
    if (b->data->dtype == PN_FLOAT32)
        return sample_load(net->graph.channels_last, in, row, x);
    if (p->byte_values)
        memcpy((uint8_t *)p->inputs.data + (size_t)i * p->inputs.ld, x, n);
    else
        sample_load_u8(net->graph.channels_last, in, row, x);
    return true;
}

void gather_rows(const pn_net *net, const pass *p, const batch *b, int from, int to)
{
    const layer *standardize = net->graph.standardize;
    const size_t n = (size_t)shape_size(&net->text.input), bytes = n * (b->data->dtype == PN_UINT8 ? 1 : sizeof(float));
    const bool bytes_tell_zeros = b->data->dtype == PN_UINT8 && !b->augment && !standardize;
    for (int i = from; i < to; i++) {
        float *row = p->inputs.data + (size_t)i * p->inputs.ld;
        uint64_t *mask = p->mask ? p->mask->rows + (size_t)i * p->mask->row_words : NULL;
        const size_t at = sample(b, i);
        const void *x = b->data->starts ? NULL : (const char *)b->data->x + at * bytes;
        bool finite = b->data->starts ? load_sparse(b, at, row, n) : load_inputs(net, p, b, i, row, x);
        if (standardize)
            finite = standardize_row(standardize, row) && finite;
        if (!finite)
            record_fault(b, (int64_t)at);
        if (mask && bytes_tell_zeros)
            kernels()->nonzero_u8(mask, x, n);
        else if (mask)
            kernels()->nonzero(mask, row, n);
    }
}

void gather_own_inputs(const pn_net *net, pass *p, const batch *b, int from, int rows)
{
    batch rest = *b;
    rest.first += from;
    p->input_from = from;
    p->input_rows = rows;
    gather_rows(net, p, &rest, 0, rows);
    prefetch_rows(net, &rest, rows);
    if (p->mask)
        mask_transpose(p->mask, rows);
}

/* Augmenting costs more than moving the result between cores, so each input is augmented once, for all threads. Even
   and odd steps use two copies of the inputs: other threads may still read those of the last step for its update. */
void gather_inputs_together(const pn_net *net, pass *p, const batch *b, int64_t taken)
{
    const int copy = p->threads > 1 ? (int)(taken % 2) : 0;
    int from, to;
    p->inputs = net->work.x[copy];
    p->mask = p->mask ? &net->work.masks[copy] : NULL;
    my_part(p, p->rows, 1, &from, &to);
    gather_rows(net, p, b, from, to);
}

bool gathers_in_pieces(const pn_net *net, int64_t rows)
{
    return net->graph.in_pieces && rows > INPUT_PIECE;
}

bool mostly_zeros(const pn_net *net, const batch *all)
{
    const double worth = 0.4; /* fraction of nonzero inputs above which the dense product is faster */
    const int64_t samples = all->n < 8 ? all->n : 8;
    const size_t n = (size_t)shape_size(&net->text.input);
    const layer *standardize = net->graph.standardize;
    size_t nonzero = 0;
    if (!net->graph.dense_first) /* only a dense layer skips zeros; it reads the caller's order */
        return false;
    for (int64_t i = 0; i < samples && all->data->starts; i++) {
        int64_t from, to;
        if (sparse_row(all->data, sample(all, all->n * i / samples), &from, &to))
            nonzero += (size_t)(to - from);
    }
    for (int64_t i = 0; i < samples && !all->data->starts; i++) {
        const size_t at = sample(all, all->n * i / samples) * n;
        const uint8_t *bytes = (const uint8_t *)all->data->x + at;
        const float *numbers = (const float *)all->data->x + at;
        const bool are_bytes = all->data->dtype == PN_UINT8;
        for (size_t k = 0; k < n && standardize; k++)
            nonzero += (are_bytes ? net->byte_values[bytes[k]] : numbers[k]) != scaling_mean(standardize, k);
        for (size_t k = 0; k < n && !standardize; k++)
            nonzero += are_bytes ? bytes[k] != 0 : numbers[k] != 0;
    }
    return (double)nonzero < worth * (double)n * (double)samples;
}

void gather_targets(pn_net *net, const pass *p, const batch *b)
{
    const shape *out = &net->graph.last->out;
    const size_t n = (size_t)shape_size(out), ld = net->work.targets.ld;
    const row_range own = my_rows(p);
    for (int i = (int)own.from; i < (int)own.to; i++) {
        float *target = net->work.targets.targets ? net->work.targets.targets + (size_t)i * ld : NULL;
        const size_t at = sample(b, i);
        if (b->data->labels)
            net->work.targets.labels[i] = output_index(net->graph.channels_last, out, label_of(b, at, (int64_t)n));
        if (b->data->weights)
            net->work.targets.weights[i] = weight_of(b, at);
        if (target && b->data->targets)
            sample_load(net->graph.channels_last, out, target, b->data->targets + at * n);
        else if (target)
            pn_one_hot(target, &net->work.targets.labels[i], 1, (int)n);
        if (net->graph.rescale)
            standardize_row(net->graph.rescale, target);
    }
}
