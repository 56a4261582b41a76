/* Gathering: copies the inputs and targets of the samples of a batch to work memory. */
#include "net/batch.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* The samples changed during the call. */
static void record_change(const batch *b)
{
    if (b->fault)
        atomic_write(&b->fault->batch, b->start);
}

/* Sample `at` is not finite: *first becomes the first of them. */
static void record_nonfinite(const batch *b, int64_t *first, int64_t at)
{
    int64_t old = atomic_read(first);
    while (old < 0 || at < old)
        if (atomic_replace(first, &old, at))
            break;
    record_change(b);
}

/* The sample that is row i of the batch. The number is read once and then checked: another thread may change it. */
static size_t sample(const batch *b, int64_t i)
{
    if (!b->order)
        return (size_t)(b->first + i);
    const int32_t row = atomic_read(&b->order[b->first + i]);
    if (row >= 0 && row < b->data->n)
        return (size_t)row;
    record_change(b);
    return 0;
}

static int32_t label_of(const batch *b, size_t at, int64_t classes)
{
    const int32_t label = atomic_read(&b->data->labels[at]);
    if (label >= 0 && label < classes)
        return label;
    record_change(b);
    return 0;
}

static float weight_of(const batch *b, size_t at)
{
    const float weight = atomic_read_float(&b->data->weights[at]);
    if (weight >= 0 && weight <= FLT_MAX)
        return weight;
    record_change(b);
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
        record_change(b);
        return true;
    }
    for (int64_t k = from; k < to; k++) {
        const int32_t column = atomic_read(&b->data->columns[k]);
        if (column >= 0 && (size_t)column < n)
            row[column] += values[k];
        else
            record_change(b);
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

void gather_rows(const pn_net *net, const pass *p, const batch *b, row_range rows)
{
    const layer *standardize = net->graph.standardize;
    const size_t n = (size_t)shape_size(&net->text.input), bytes = n * (b->data->dtype == PN_UINT8 ? 1 : sizeof(float));
    const bool bytes_tell_zeros = b->data->dtype == PN_UINT8 && !b->augment && !standardize;
    for (int i = (int)rows.from; i < (int)rows.to; i++) {
        float *row = p->inputs.data + (size_t)i * p->inputs.ld;
        uint64_t *mask = p->mask ? p->mask->rows + (size_t)i * p->mask->row_words : NULL;
        const size_t at = sample(b, i);
        const void *x = b->data->starts ? NULL : (const char *)b->data->x + at * bytes;
        bool finite = b->data->starts ? load_sparse(b, at, row, n) : load_inputs(net, p, b, i, row, x);
        if (standardize)
            finite = standardize_row(standardize, row) && finite;
        if (!finite && b->fault)
            record_nonfinite(b, &b->fault->nonfinite, (int64_t)at);
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
    gather_rows(net, p, &rest, (row_range){0, (size_t)rows});
    prefetch_rows(net, &rest, rows);
    if (p->mask)
        mask_transpose(p->mask, rows);
}

/* Augmenting costs more than moving the result between cores, so each input is augmented once, for all threads. Even
   and odd steps use two copies of the inputs: other threads may still read those of the last step for its update. */
void gather_inputs_together(const pn_net *net, pass *p, const batch *b, int64_t taken)
{
    const int copy = p->threads > 1 ? (int)(taken % 2) : 0;
    p->inputs = net->work.x[copy];
    p->mask = p->mask ? &net->work.masks[copy] : NULL;
    gather_rows(net, p, b, my_rows(p));
}

bool gathers_in_pieces(const pn_net *net, int64_t rows)
{
    return net->graph.in_pieces && rows > INPUT_PIECE;
}

/* Number i of dense data. */
static float number_of(const pn_net *net, const pn_data *data, size_t i)
{
    return data->dtype == PN_UINT8 ? net->byte_values[((const uint8_t *)data->x)[i]] : ((const float *)data->x)[i];
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
    for (int64_t i = 0; i < samples; i++) {
        const size_t row = sample(all, all->n * i / samples), at = row * n;
        const uint8_t *bytes = all->data->x;
        const float *numbers = all->data->x;
        int64_t from, to;
        if (all->data->starts)
            nonzero += sparse_row(all->data, row, &from, &to) ? (size_t)(to - from) : 0;
        else if (standardize)
            for (size_t k = 0; k < n; k++)
                nonzero += number_of(net, all->data, at + k) != scaling_mean(standardize, k);
        else if (all->data->dtype == PN_UINT8)
            for (size_t k = 0; k < n; k++)
                nonzero += bytes[at + k] != 0;
        else
            for (size_t k = 0; k < n; k++)
                nonzero += numbers[at + k] != 0;
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
        bool finite = true;
        if (target && b->data->targets)
            finite = sample_load(net->graph.channels_last, out, target, b->data->targets + at * n);
        else if (target)
            pn_one_hot(target, &net->work.targets.labels[i], 1, (int)n);
        if (net->graph.rescale)
            finite = standardize_row(net->graph.rescale, target) && finite;
        if (!finite && b->fault)
            record_nonfinite(b, &b->fault->nonfinite_target, (int64_t)at);
    }
}

/* ---- the message of a fault ---------------------------------------------------------------------------------------- */

static pn_status report_number(pn_net *net, int64_t row, int64_t feature, float x)
{
    return fail(net->error, PN_ERR_ARGUMENT, "x holds %g in sample %lld, feature %lld; accepted: finite numbers",
                (double)x, (long long)row, (long long)feature);
}

static pn_status report_sparse(pn_net *net, const pn_data *data, int64_t row)
{
    const float *values = data->x;
    int64_t from, to;
    const bool valid = sparse_row(data, (size_t)row, &from, &to);
    for (int64_t k = from; valid && k < to; k++)
        if (!isfinite(values[k]))
            return report_number(net, row, data->columns[k], values[k]);
    return fail(net->error, PN_ERR_ARGUMENT, "x of sample %lld, values of one column added, is beyond float32",
                (long long)row);
}

/* Of a sample that is finite, or has become so since. */
static pn_status report_overflow(pn_net *net, const pn_data *data, int64_t row)
{
    const layer *l = net->graph.standardize;
    const size_t n = (size_t)shape_size(&l->in), positions = n / (size_t)l->in.dim[0];
    for (size_t k = 0; k < n; k++) {
        const float x = number_of(net, data, (size_t)row * n + k);
        if (!isfinite(scaling_value(l, k / positions, x)))
            return fail(net->error, PN_ERR_ARGUMENT,
                        "x holds %g in sample %lld, feature %zu: standardised, it is beyond float32", (double)x,
                        (long long)row, k);
    }
    return fail(net->error, PN_ERR_ARGUMENT, "x of sample %lld, standardised, is beyond float32", (long long)row);
}

static pn_status report_inputs(pn_net *net, const pn_data *data, int64_t row)
{
    const size_t n = (size_t)shape_size(&net->text.input);
    if (data->starts)
        return report_sparse(net, data, row);
    const float *x = data->dtype == PN_FLOAT32 ? (const float *)data->x + (size_t)row * n : NULL;
    const size_t place = x ? kernels()->first_nonfinite(x, n) : n;
    if (place == n && net->graph.standardize)
        return report_overflow(net, data, row);
    return report_number(net, row, (int64_t)place, place < n ? x[place] : NAN);
}

static pn_status report_targets(pn_net *net, const pn_data *data, int64_t row)
{
    const size_t n = (size_t)shape_size(&net->graph.last->out);
    const float *y = data->targets + (size_t)row * n;
    const size_t place = kernels()->first_nonfinite(y, n);
    if (place == n)
        return fail(net->error, PN_ERR_ARGUMENT, "a target of sample %lld, standardised, is beyond float32",
                    (long long)row);
    return fail(net->error, PN_ERR_ARGUMENT, "targets hold %g in sample %lld, output %zu; accepted: finite numbers",
                (double)y[place], (long long)row, place);
}

pn_status report_fault(pn_net *net, const pn_data *data, const batch_fault *fault)
{
    if (fault->nonfinite >= 0)
        return report_inputs(net, data, fault->nonfinite);
    if (fault->nonfinite_target >= 0)
        return report_targets(net, data, fault->nonfinite_target);
    return fail(net->error, PN_ERR_ARGUMENT,
                "the order, labels, weights or sparse rows of the samples changed while the call read them");
}
