/* The gradient of parts of a batch, which add up to that of the batch when other calls or machines compute the others.

   The gradients of the parts are added in a fixed tree, parts i and i + parts / 2 first. Part k of the loop is that whose
   number has the bits of k in reverse, so that each new gradient is added to those just before it: a stack of partial
   sums, one more than k has bits set, is enough. */
#include "net/run.h"

#include <limits.h>
#include <string.h>

enum {
    MAX_LEVELS = 16, /* of the tree */
    ADDED = 4096     /* gradients added at a time: all partial sums of a segment fit the first-level cache */
};

typedef struct {
    job job;
    const pn_part *part;
    int parts, batch_rows;
} parts_job;

static int bits_reversed(int k, int parts)
{
    int reversed = 0;
    for (int bit = 1; bit < parts; bit *= 2)
        reversed = 2 * reversed + (k & bit ? 1 : 0);
    return reversed;
}

/* Level 0 of the stack of partial sums is where pn_net_update finds the gradients. */
static float *partial_sum(const pn_net *net, int level)
{
    return level ? net->partial_gradients + (size_t)(level - 1) * net->n_parameters : net->gradients;
}

/* Sets sum `level` - count to the sum of itself and the `count` sums above it, this thread's part of all. */
static void add_partial_sums(pn_net *net, const pass *p, int level, int count)
{
    size_t from, to;
    partition_array(p->id, p->threads, net->n_parameters, ADDED, &from, &to);
    for (; from < to; from += ADDED)
        for (int l = level; l > level - count; l--) {
            float *sum = partial_sum(net, l - 1) + from;
            kernels()->add(sum, sum, partial_sum(net, l) + from, to - from < ADDED ? to - from : ADDED);
        }
}

/* The gradient of one part, to where the parameters' gradients are now. False: a loss is not finite. */
static bool part_gradient(parts_job *all, const pn_part *part, const pass *p, bool *skip_barrier, pn_stats *stats)
{
    job *j = &all->job, rows = *j;
    rows.n = rows.batch = part->n;
    batch_run r = start_batch(&rows, p->id, p->threads, part->at);
    r.batch.fault = &j->fault;
    r.batch.n = part->at + part->n;
    r.pass.fuse = true;
    r.pass.batch_from = (int)part->first;
    r.pass.batch_rows = all->batch_rows;
    if (!run_to_gradients(j, &r, 0, skip_barrier, stats))
        return false;
    update(j->net, &r.pass, &r.batch);
    return true;
}

static void zero_gradient(pn_net *net, const pass *p, int level)
{
    size_t from, to;
    partition_array(p->id, p->threads, net->n_parameters, ADDED, &from, &to);
    memset(partial_sum(net, level) + from, 0, (to - from) * sizeof(float));
}

static void add_sums(pn_stats *to, const pn_stats *part)
{
    to->loss += part->loss;
    to->correct += part->correct;
    to->samples += part->samples;
}

static void gradient_job(void *arg, int id, int threads)
{
    parts_job *all = arg;
    pn_net *net = all->job.net;
    const pass p = {.id = id, .threads = threads};
    pn_stats stats[MAX_LEVELS + 1]; /* every thread adds up the same losses */
    bool finite = true, skip_barrier = false;
    int level = 0;
    begin_layers(net, &p);
    for (int k = 0; k < all->parts && finite; k++, level++) {
        const pn_part *part = &all->part[bits_reversed(k, all->parts)];
        stats[level] = (pn_stats){0};
        if (k) { /* all threads have added up the last gradients, and find the place of this one */
            pool_barrier(threads);
            if (id == 0)
                set_gradients(net, partial_sum(net, level));
            pool_barrier(threads);
        }
        if (part->n)
            finite = part_gradient(all, part, &p, &skip_barrier, &stats[level]);
        else
            zero_gradient(net, &p, level);
        const int count = __builtin_ctz(~(unsigned)k);
        if (count && finite)
            pool_barrier(threads);
        if (finite)
            add_partial_sums(net, &p, level, count);
        for (int i = 0; i < count; i++, level--)
            add_sums(&stats[level - 1], &stats[level]);
    }
    if (id == 0) {
        all->job.stats = stats[0];
        all->job.finite = finite;
        all->job.done = all->job.n;
    }
}

/* Are these parts of a batch that every layer can train on? Sets *rows to those of the largest. */
static pn_status check_parts(pn_net *net, const pn_part *part, int parts, int64_t batch_rows, int64_t *rows)
{
    if (parts < 1 || parts > 1 << MAX_LEVELS || (parts & (parts - 1)))
        return fail(net->error, PN_ERR_ARGUMENT, "parts is %d; accepted: a power of two, up to %d", parts,
                    1 << MAX_LEVELS);
    if (batch_rows < 1 || batch_rows > INT_MAX)
        return fail(net->error, PN_ERR_ARGUMENT, "batch_rows is %lld; accepted: 1 to %d", (long long)batch_rows,
                    INT_MAX);
    *rows = 0;
    for (int i = 0; i < parts; i++) {
        const int64_t n = part[i].n, first = part[i].first;
        if (n < 0 || n > batch_rows || first < 0 || first > batch_rows - n || part[i].at < 0 ||
            part[i].at > INT64_MAX - n)
            return fail(net->error, PN_ERR_ARGUMENT,
                        "part %d has %lld samples from %lld as rows from %lld of a batch of %lld; accepted: rows of it",
                        i, (long long)n, (long long)part[i].at, (long long)first, (long long)batch_rows);
        for (int l = 0; l < net->graph.n_layers && n < batch_rows; l++)
            if (net->graph.layers[l].ops->after_step)
                return fail(net->error, PN_ERR_ARGUMENT,
                            "layer %s, %s, needs all rows of a batch; accepted: networks without it, or whole batches",
                            net->graph.layers[l].path, net->graph.layers[l].text);
        *rows = n > *rows ? n : *rows;
    }
    return check_batch(net, *rows);
}

/* Without an order the samples up to the last of all parts, once. */
static pn_status check_part_samples(pn_net *net, const pn_data *data, const int32_t *order, const pn_part *part,
                                    int parts)
{
    int64_t end = 0;
    pn_status status = PN_OK;
    for (int i = 0; i < parts && !status; i++) {
        if (order)
            status = check_samples(net, data, order + part[i].at, part[i].n, NEEDS_INPUTS | NEEDS_TARGETS);
        else if (part[i].at + part[i].n > end)
            end = part[i].at + part[i].n;
    }
    return order ? status : check_samples(net, data, NULL, end, NEEDS_INPUTS | NEEDS_TARGETS);
}

static pn_status reserve_partial_sums(pn_net *net, int parts)
{
    const int levels = __builtin_ctz((unsigned)parts);
    const pn_status status = reserve_gradients(net);
    if (status || levels <= net->partial_sums)
        return status;
    float *sums = memory_zeros((uint64_t)levels * net->n_parameters, sizeof *sums);
    if (!sums)
        return fail(net->error, PN_ERR_MEMORY, "no memory for %d gradients of %zu parameters", levels,
                    net->n_parameters);
    fork_lock(); /* a child process must not see a pointer to freed memory */
    memory_free(net->partial_gradients);
    net->partial_gradients = sums;
    net->partial_sums = levels;
    fork_unlock();
    return PN_OK;
}

pn_status pn_net_gradient(pn_net *net, const pn_data *data, const int32_t *order, const pn_part *part, int parts,
                          int64_t batch_rows, pn_stats *stats)
{
    int64_t rows = 0;
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = check_pointer(net, part, "part");
    if (!status)
        status = check_parts(net, part, parts, batch_rows, &rows);
    if (!status)
        status = check_part_samples(net, data, order, part, parts);
    if (!status)
        status = net_check_parameters(net, net->error);
    if (!status)
        status = reserve(net, rows, input_copies(net, rows), input_copies(net, rows));
    if (!status)
        status = reserve_partial_sums(net, parts);
    if (status)
        return status;
    net->work.done = STEP_NONE;
    net->has_gradients = false;
    parts_job all = {.job = {.net = net,
                             .data = data,
                             .order = order,
                             .n = rows,
                             .batch = rows,
                             .gathers = true,
                             .own_inputs = true,
                             .training = true},
                     .part = part,
                     .parts = parts,
                     .batch_rows = (int)batch_rows};
    status = net_augmenter(net, data->augment, net->work.used->copies, &all.job.augment);
    if (status)
        return status;
    status = run(gradient_job, &all.job);
    set_gradients(net, net->gradients);
    if (status)
        return status;
    if (!all.job.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss of a row of this batch is not finite");
    if (stats)
        add_sums(stats, &all.job.stats);
    net->work.rows = (int)rows;
    net->work.done = STEP_GRADIENT;
    net->has_gradients = true;
    return PN_OK;
}

pn_status pn_net_gradient_block(pn_net *net, float **block, int64_t *n)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = check_pointer(net, block, "block");
    if (!status)
        status = check_pointer(net, n, "n");
    if (!status)
        status = reserve_gradients(net);
    if (status)
        return status;
    *block = net->gradients;
    *n = (int64_t)net->n_parameters;
    return PN_OK;
}
