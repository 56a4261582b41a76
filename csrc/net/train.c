/* Training: many mini-batches in one call, and the four steps one at a time. */
#include "net/run.h"

enum {
    UPDATE_SPEED = 2000, /* parameters that one thread updates in a microsecond */
    PANEL_STEPS = 16 /* steps of a call above which panels save more time than copying the weights to them and back */
};

/* ---- many steps in one call ---------------------------------------------------------------------------------------- */

/* Gathers targets and inputs of the batch, unless run_rows() will gather those in pieces: all rows by each thread for
   itself, or some rows by each thread, for all. Then waits until all threads have ended the last step, unless
   skip_barrier. */
static void gather_step(job *j, batch_run *r, int64_t taken, bool skip_barrier)
{
    pass *p = &r->pass;
    const bool in_pieces = gathers_in_pieces(j->net, p->rows), together = j->augment && !in_pieces;
    if (together)
        gather_inputs_together(j->net, p, &r->batch, taken);
    else if (!in_pieces)
        gather_own_inputs(j->net, p, &r->batch, 0, p->rows);
    gather_targets(j->net, p, &r->batch);
    decide_end(j, p, r->batch.first);
    if (!skip_barrier || together)
        pool_barrier(p->threads);
    if (together && p->mask) {
        if (p->id == 0)
            mask_transpose(p->mask, p->rows);
        pool_barrier(p->threads);
    }
}

/* Computes the parameter gradients and applies them: each at once, or, when they are clipped by norm, all at the
   end. */
static void take_step(job *j, batch_run *r, int64_t taken)
{
    pn_net *net = j->net;
    pass *p = &r->pass;
    const bool clips_norm = j->opt->clip_norm > 0;
    const optim_step now = optim_step_of(j->opt, taken, net->optimizer.steps + taken + 1, 1);
    p->opt = clips_norm ? NULL : &now;
    update(net, p, &r->batch);
    if (clips_norm) {
        pool_barrier(p->threads);
        optim_apply_all(net, p, j->opt, taken);
        pool_barrier(p->threads);
        begin_layers(net, p); /* there are no panels */
    }
    after_step(net, p);
}

bool run_to_gradients(job *j, batch_run *r, int64_t taken, bool *skip_barrier, pn_stats *stats)
{
    pass *p = &r->pass;
    gather_step(j, r, taken, *skip_barrier);
    forward(j->net, p, &r->batch, j->net->graph.head);
    loss(j->net, p, j->data, true);
    backward(j->net, p);
    const bool private = backward_is_private(j->net, p);
    if (!private)
        pool_barrier(p->threads);
    /* then the first layer's forward reads only weights that this thread has updated */
    *skip_barrier = private && j->net->graph.in_pieces;
    return add_stats(j, r, stats);
}

static void train_job(void *arg, int id, int threads)
{
    job *j = arg;
    pn_net *net = j->net;
    const bool clips_norm = j->opt->clip_norm > 0;
    const bool panels = threads > 1 && !clips_norm && j->n / j->batch > PANEL_STEPS;
    const pass all = {.id = id, .threads = threads, .panels = panels, .mask = j->sparse ? &net->work.masks[0] : NULL};
    pn_stats stats = j->stats; /* every thread adds up the same losses, so that all see a loss that is not finite */
    int64_t first = j->done, taken = j->taken;
    bool finite = true, preempted = false, skip_barrier = false;
    begin_layers(net, &all);
    while (first < j->n && !preempted) {
        batch_run r = start_batch(j, id, threads, first);
        pass *p = &r.pass;
        p->fuse = true;
        p->panels = panels;
        p->step = net->updates + (uint64_t)taken;
        finite = run_to_gradients(j, &r, taken, &skip_barrier, &stats);
        if (!finite)
            break;
        take_step(j, &r, taken);
        skip_barrier = skip_barrier && !clips_norm;
        preempted = ends_at(j, first);
        taken++;
        stats.steps++;
        first += p->rows;
    }
    end_layers(net, &all);
    if (id == 0) {
        j->stats = stats;
        j->taken = taken;
        j->finite = finite;
        j->done = first;
    }
}

/* Checks the arguments of pn_net_train, in batches of so many rows, and reserves memory. */
static pn_status prepare_training(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int64_t rows,
                                  const pn_optim *opt)
{
    pn_status status = check_samples(net, data, order, n, NEEDS_INPUTS | NEEDS_TARGETS);
    if (!status)
        status = check_pointer(net, opt, "opt");
    if (status)
        return status;
    const int64_t steps = n > 0 ? (n - 1) / rows + 1 : 0;
    status = optim_check(opt, steps, net->error);
    if (!status && n > 0)
        status = check_batch(net, n / steps); /* rows of the smallest batch, see start_batch() */
    if (!status)
        status = net_check_parameters(net, net->error);
    if (!status)
        status = reserve_training(net, rows, opt);
    return status || n == 0 ? status : optim_reserve(net, opt);
}

pn_status pn_net_train(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int64_t batch_size,
                       const pn_optim *opt, pn_stats *stats)
{
    const int64_t rows = batch_size < n ? batch_size : n;
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (batch_size < 1)
        return fail(net->error, PN_ERR_ARGUMENT, "batch is %lld; accepted: 1 or more", (long long)batch_size);
    pn_status status = prepare_training(net, data, order, n, rows, opt);
    if (status || n == 0)
        return status;
    net->work.done = STEP_NONE;
    net->has_gradients = false;
    job j = {.net = net,
             .data = data,
             .order = order,
             .n = n,
             .batch = rows,
             .gathers = true,
             .own_inputs = true,
             .training = true,
             .opt = opt};
    status = net_augmenter(net, data->augment, net->work.used->copies, &j.augment);
    if (status)
        return status;
    if (stats) /* one running sum: the same bits, however an epoch is divided into calls */
        j.stats = *stats;
    status = run(train_job, &j);
    net->optimizer.steps += j.taken;
    net->updates += (uint64_t)j.taken;
    if (stats)
        *stats = j.stats;
    if (status)
        return status;
    if (!j.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss of step %lld is not finite; that step was not taken",
                    (long long)j.stats.steps + 1);
    return net_check_parameters(net, net->error); /* no loss follows the last step */
}

/* ---- the four steps, one at a time --------------------------------------------------------------------------------- */

void forward_job(void *arg, int id, int threads)
{
    job *j = arg;
    const batch_run r = start_batch(j, id, threads, 0);
    gather_rows(j->net, &r.pass, &r.batch, my_rows(&r.pass));
    begin_layers(j->net, &r.pass);
    pool_barrier(threads);
    if (id == 0 && r.pass.mask)
        mask_transpose(r.pass.mask, r.pass.rows);
    forward(j->net, &r.pass, NULL, j->net->graph.n_layers);
}

static void loss_job(void *arg, int id, int threads)
{
    job *j = arg;
    const batch_run r = start_batch(j, id, threads, 0);
    gather_targets(j->net, &r.pass, &r.batch);
    loss(j->net, &r.pass, j->data, true);
    pool_barrier(threads);
    if (id == 0)
        j->finite = add_stats(j, &r, &j->stats);
}

static void backward_job(void *arg, int id, int threads)
{
    job *j = arg;
    const batch_run r = start_batch(j, id, threads, 0);
    backward(j->net, &r.pass);
    pool_barrier(threads);
    update(j->net, &r.pass, NULL);
}

static pn_status forward_only(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, bool training)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = check_samples(net, data, order, n, NEEDS_INPUTS);
    if (!status && training)
        status = check_batch(net, n);
    if (!status)
        status = reserve(net, n, 1, worthwhile_threads(net, n));
    if (status)
        return status;
    const augmenter *augment = NULL;
    if (training)
        status = net_augmenter(net, data->augment, net->work.used->threads, &augment);
    if (status)
        return status;
    job j = {.net = net,
             .data = data,
             .order = order,
             .n = n,
             .batch = n,
             .gathers = true,
             .keeps_inputs = true,
             .training = training,
             .augment = augment};
    net->work.done = STEP_NONE;
    status = run(forward_job, &j);
    if (status)
        return status;
    net->work.rows = (int)n;
    net->work.done = training ? STEP_FORWARD : STEP_INFERRED;
    return PN_OK;
}

pn_status pn_net_forward(pn_net *net, const pn_data *data, const int32_t *order, int64_t n)
{
    return forward_only(net, data, order, n, true);
}

pn_status pn_net_infer(pn_net *net, const pn_data *data, const int32_t *order, int64_t n)
{
    return forward_only(net, data, order, n, false);
}

pn_status pn_net_loss(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, double *loss_mean)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (net->work.done < STEP_FORWARD)
        return fail(net->error, PN_ERR_STATE, "loss comes after forward");
    if (n != net->work.rows)
        return fail(net->error, PN_ERR_ARGUMENT, "%lld samples; the last forward had %d", (long long)n, net->work.rows);
    pn_status status = check_samples(net, data, order, n, NEEDS_TARGETS);
    if (!status)
        status = check_pointer(net, loss_mean, "loss");
    if (status)
        return status;
    net->work.done = STEP_FORWARD; /* in case this fails after an earlier loss */
    job j = {.net = net, .data = data, .order = order, .n = n, .batch = n};
    status = run(loss_job, &j);
    if (status)
        return status;
    *loss_mean = n ? j.stats.loss / (double)n : 0;
    if (!j.finite)
        return fail(net->error, PN_ERR_NONFINITE, "the loss of this batch is not finite");
    net->work.done = STEP_LOSS;
    return PN_OK;
}

pn_status pn_net_backward(pn_net *net)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (net->work.done < STEP_LOSS)
        return fail(net->error, PN_ERR_STATE, "backward comes after forward and loss");
    pn_status status = reserve_gradients(net);
    if (status)
        return status;
    job j = {.net = net, .n = net->work.rows, .batch = net->work.rows, .training = true};
    status = run(backward_job, &j);
    if (status)
        return status;
    net->has_gradients = true;
    net->work.done = STEP_BACKWARD;
    return PN_OK;
}

static void update_job(void *arg, int id, int threads)
{
    const job *j = arg;
    optim_apply_all(j->net, &(pass){.id = id, .threads = threads}, j->opt, 0);
}

pn_status pn_net_update(pn_net *net, const pn_optim *opt)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (net->work.done < STEP_BACKWARD && net->work.done != STEP_GRADIENT)
        return fail(net->error, PN_ERR_STATE, "update comes after forward, loss and backward");
    pn_status status = check_pointer(net, opt, "opt");
    if (!status)
        status = optim_check(opt, 1, net->error);
    if (!status) /* gradients may be infinite where the loss is finite: tanh of an infinite input is 1 */
        status = net_check_gradients(net);
    if (!status)
        status = optim_reserve(net, opt);
    if (status)
        return status;
    const unsigned long fp = fp_enter();
    pool_run_if_worth(update_job, &(job){.net = net, .opt = opt}, (double)net->n_parameters / UPDATE_SPEED,
                      MAX_THREADS);
    after_step(net, &(pass){.rows = net->work.rows, .threads = 1});
    fp_leave(fp);
    net->optimizer.steps++;
    net->updates++;
    return PN_OK;
}
