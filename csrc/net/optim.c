/* The optimizer state of a network, and the step on all its parameters. */
#include "base/threads.h"
#include "net/net.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SEGMENT = 4096 /* gradients in one partial sum of squares */ };

static const int64_t MAX_STEPS = (int64_t)1 << 53; /* whole numbers up to here are exact as doubles and in JSON */

static int states_of(pn_optim_kind kind)
{
    const char *const *names;
    return optim_states(kind, &names);
}

static bool same_states(pn_optim_kind a, pn_optim_kind b)
{
    const char *const *x, *const *y;
    const int n = optim_states(a, &x);
    return n == optim_states(b, &y) && (!n || strcmp(x[0], y[0]) == 0);
}

/* State tensor m of the parameter at `data`; memory for its panels lies n_parameters further. */
static float *state_of(const pn_net *net, int m, const float *data)
{
    return net->optimizer.state + 2 * (size_t)m * net->n_parameters + (data - net->parameters);
}

static uint64_t state_bytes(const pn_net *net, int states)
{
    return 2 * (uint64_t)states * net->n_parameters * sizeof(float);
}

static size_t squares_bytes(const pn_net *net)
{
    return (net->n_parameters / SEGMENT + 1) * sizeof(float);
}

static void point_to_states(pn_net *net)
{
    const int states = states_of(net->optimizer.kind);
    for (int t = 0; t < net->n_trained && net->optimizer.most_states >= states; t++) {
        parameter *p = net->tensors[t].parameter;
        for (int m = 0; m < MAX_STATES; m++) {
            p->state[m] = m < states ? state_of(net, m, p->data) : NULL;
            p->state_panels[m] = m < states ? p->state[m] + net->n_parameters : NULL;
        }
    }
}

/* Memory for so many states; those that are there keep their numbers. */
static pn_status grow_state(pn_net *net, int states)
{
    net_optimizer *o = &net->optimizer;
    if (states <= o->most_states)
        return PN_OK;
    float *block = memory_zeros(state_bytes(net, states), 1);
    if (!block)
        return fail(net->error, PN_ERR_MEMORY, "no memory for the optimizer state of %zu parameters",
                    net->n_parameters);
    if (o->state)
        memcpy(block, o->state, (size_t)state_bytes(net, o->most_states));
    fork_lock();             /* a child process would free the block twice */
    o->old_state = o->state; /* at most once: MAX_STATES is 2 */
    o->state = block;
    fork_unlock();
    o->most_states = states;
    point_to_states(net);
    return PN_OK;
}

/* Zero state, no step taken. */
static pn_status reset_state(pn_net *net, pn_optim_kind kind)
{
    const int states = states_of(kind);
    const pn_status status = grow_state(net, states);
    if (status)
        return status;
    if (states)
        memset(net->optimizer.state, 0, (size_t)state_bytes(net, states));
    net->optimizer.kind = kind;
    net->optimizer.steps = 0;
    point_to_states(net);
    return PN_OK;
}

pn_status optim_allocate(pn_net *net, const pn_optim *opt)
{
    const pn_status status = grow_state(net, states_of(opt->kind));
    if (!status && opt->clip_norm > 0 && !net->optimizer.squares) {
        net->optimizer.squares = memory_zeros(1, squares_bytes(net));
        if (!net->optimizer.squares)
            return fail(net->error, PN_ERR_MEMORY, "no memory for the norm of the gradients");
    }
    return status;
}

pn_status optim_reserve(pn_net *net, const pn_optim *opt)
{
    pn_status status = PN_OK;
    if (!same_states(net->optimizer.kind, opt->kind))
        status = reset_state(net, opt->kind);
    if (!status)
        status = optim_allocate(net, opt);
    if (!status)
        net->optimizer.kind = opt->kind;
    return status;
}

uint64_t optim_size(const pn_net *net, const pn_optim *opt)
{
    const net_optimizer *o = &net->optimizer;
    const int states = opt && states_of(opt->kind) > o->most_states ? states_of(opt->kind) : o->most_states;
    const int old = o->old_state || (o->state && states > o->most_states); /* of one state */
    return (states ? memory_size(state_bytes(net, states)) : 0) + (old ? memory_size(state_bytes(net, 1)) : 0) +
           (o->squares || (opt && opt->clip_norm > 0) ? memory_size(squares_bytes(net)) : 0);
}

void pn_net_state(const pn_net *net, pn_state_info *info)
{
    if (info)
        *info = (pn_state_info){0};
    if (!net || !info)
        return;
    *info = (pn_state_info){
        .kind = net->optimizer.kind,
        .steps = net->optimizer.steps,
        .tensors = net->optimizer.state ? net->n_trained * states_of(net->optimizer.kind) : 0,
    };
}

pn_status pn_net_state_tensor(pn_net *net, int i, pn_tensor *tensor)
{
    pn_state_info info;
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_net_state(net, &info);
    if (i < 0 || i >= info.tensors)
        return fail(net->error, PN_ERR_ARGUMENT, "state tensor %d; the optimizer has %d", i, info.tensors);
    const pn_status status = check_pointer(net, tensor, "tensor");
    if (status)
        return status;
    const int m = i / net->n_trained;
    *tensor = net_tensor(net, i % net->n_trained);
    tensor->data = state_of(net, m, tensor->data);
    const char *const *names;
    optim_states(net->optimizer.kind, &names);
    snprintf(net->optimizer.state_name, sizeof net->optimizer.state_name, "%s.%s", tensor->name, names[m]);
    tensor->name = net->optimizer.state_name;
    tensor->grad = NULL;
    return PN_OK;
}

pn_status pn_net_set_state(pn_net *net, pn_optim_kind kind, int64_t steps)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = optim_check_kind(kind, net->error);
    if (!status && (steps < 0 || steps > MAX_STEPS))
        status = fail(net->error, PN_ERR_ARGUMENT, "steps is %lld; accepted: 0 to %lld", (long long)steps,
                      (long long)MAX_STEPS);
    if (!status)
        status = reset_state(net, kind);
    if (!status)
        net->optimizer.steps = steps;
    return status;
}

/* The norm of all gradients. Each segment is summed by one thread, then every thread adds up the sums in the same
   order: the same bits for any number of threads. */
static double gradient_norm(pn_net *net, const pass *p)
{
    const size_t n = net->n_parameters;
    const int segments = (int)((n + SEGMENT - 1) / SEGMENT);
    int from, to;
    my_part(p, segments, PAD, &from, &to);
    for (size_t i = (size_t)from; i < (size_t)to; i++) {
        const size_t at = i * SEGMENT, left = n - at;
        net->optimizer.squares[i] = kernels()->sum_squares(net->gradients + at, left < SEGMENT ? left : SEGMENT);
    }
    pool_barrier(p->threads);
    double sum = 0;
    for (int i = 0; i < segments; i++)
        sum += (double)net->optimizer.squares[i];
    return sqrt(sum);
}

void optim_apply_all(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken)
{
    float scale = 1;
    if (opt->clip_norm > 0) {
        const double norm = gradient_norm(net, p);
        if (norm > opt->clip_norm)
            scale = (float)(opt->clip_norm / norm);
    }
    const optim_step s = optim_step_of(opt, taken, net->optimizer.steps + taken + 1, scale);
    for (int t = 0; t < net->n_trained; t++) {
        const parameter *w = net->tensors[t].parameter;
        int from, to;
        my_part(p, (int)w->size, PAD, &from, &to);
        optim_apply(&s, w, (size_t)from, w->grad + from, (size_t)(to - from));
    }
}
