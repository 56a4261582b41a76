/* The optimizers: what a step of each does to a parameter, and what it remembers. */
#include "layers/layer.h"
#include "base/threads.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KINDS = PN_ADAMW + 1, SEGMENT = 4096 /* gradients whose squares are added up in one go */ };

typedef struct {
    update_kind update;
    int memories;
    const char *memory[MAX_MEMORIES];
    pn_optim usual;
} optimizer_rule;

static const optimizer_rule optimizers[KINDS] = {
    [PN_SGD] = {UPDATE_SGD, 0, {NULL}, {.learning_rate = 0.1}},
    [PN_MOMENTUM] = {UPDATE_MOMENTUM, 1, {"velocity"}, {.learning_rate = 0.01, .momentum = 0.9}},
    [PN_NESTEROV] = {UPDATE_NESTEROV, 1, {"velocity"}, {.learning_rate = 0.01, .momentum = 0.9}},
    [PN_RMSPROP] = {UPDATE_RMSPROP, 1, {"square"}, {.learning_rate = 0.001, .beta2 = 0.99, .epsilon = 1e-8}},
    [PN_ADAM] = {UPDATE_ADAM,
                 2,
                 {"mean", "square"},
                 {.learning_rate = 0.001, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}},
    [PN_ADAMW] = {UPDATE_ADAM,
                  2,
                  {"mean", "square"},
                  {.learning_rate = 0.001, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01}},
};

static bool is_kind(pn_optim_kind kind)
{
    return (unsigned)kind < KINDS;
}

pn_status pn_optim_default(pn_optim *opt, pn_optim_kind kind)
{
    if (!is_kind(kind))
        return PN_ERR_ARGUMENT;
    *opt = optimizers[kind].usual;
    opt->kind = kind;
    return PN_OK;
}

/* ---- what callers say is checked ----------------------------------------------------------------------------------- */

static pn_status check_kind(pn_optim_kind kind, char *err)
{
    return is_kind(kind) ? PN_OK
                         : fail(err, PN_ERR_ARGUMENT, "optimizer kind is %d; accepted: PN_SGD to PN_ADAMW", (int)kind);
}

static pn_status check_share(const char *name, double x, char *err)
{
    return x >= 0 && x < 1 ? PN_OK
                           : fail(err, PN_ERR_ARGUMENT, "%s is %g; accepted: a number from 0 to below 1", name, x);
}

/* Numbers are used as float32: one that is infinite, or zero, there is refused, too. */
static pn_status check_from_zero(const char *name, double x, char *err)
{
    return x >= 0 && isfinite((float)x)
               ? PN_OK
               : fail(err, PN_ERR_ARGUMENT, "%s is %g; accepted: a finite number, 0 or more", name, x);
}

static pn_status check_above_zero(const char *name, double x, char *err)
{
    return (float)x > 0 && isfinite((float)x)
               ? PN_OK
               : fail(err, PN_ERR_ARGUMENT, "%s is %g; accepted: a finite number above 0", name, x);
}

pn_status optim_check(const pn_optim *opt, int64_t steps, char *err)
{
    pn_status status = check_kind(opt->kind, err);
    if (!status && !opt->rates)
        status = check_above_zero("learning rate", opt->learning_rate, err);
    if (!status)
        status = check_share("momentum", opt->momentum, err);
    if (!status)
        status = check_share("beta1", opt->beta1, err);
    if (!status)
        status = check_share("beta2", opt->beta2, err);
    if (!status && opt->kind >= PN_RMSPROP)
        status = check_above_zero("epsilon", opt->epsilon, err);
    if (!status)
        status = check_from_zero("l2", opt->l2, err);
    if (!status)
        status = check_from_zero("weight decay", opt->weight_decay, err);
    if (!status)
        status = check_from_zero("clip value", opt->clip_value, err);
    if (!status)
        status = check_from_zero("clip norm", opt->clip_norm, err);
    if (!status && opt->clip_value > 0 && opt->clip_norm > 0)
        status = fail(err, PN_ERR_ARGUMENT, "clip value is %g and clip norm %g; accepted: one of them", opt->clip_value,
                      opt->clip_norm);
    for (int64_t i = 0; opt->rates && i < steps && !status; i++)
        if (check_from_zero("", opt->rates[i], err))
            status =
                fail(err, PN_ERR_ARGUMENT, "learning rate of step %lld is %g; accepted: a finite number, 0 or more",
                     (long long)i + 1, opt->rates[i]);
    return status;
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

static bool same_memory(pn_optim_kind a, pn_optim_kind b)
{
    const optimizer_rule *x = &optimizers[a], *y = &optimizers[b];
    return x->memories == y->memories && (!x->memories || strcmp(x->memory[0], y->memory[0]) == 0);
}

/* What memory m holds of the parameters at `data`; as much room for panels lies one n_parameters further. */
static float *memory_of(const pn_net *net, int m, const float *data)
{
    return net->memory + 2 * (size_t)m * net->n_parameters + (data - net->parameters);
}

/* All begins anew: zeros, and no step taken. */
static pn_status forget(pn_net *net, pn_optim_kind kind)
{
    const int memories = optimizers[kind].memories;
    if (memories > net->most_memories) {
        float *block = aligned_zeros(2 * (size_t)memories * net->n_parameters, sizeof *block);
        if (!block)
            return fail(net->error, PN_ERR_MEMORY, "no memory for what the optimizer remembers of %zu parameters",
                        net->n_parameters);
        free(net->memory);
        net->memory = block;
        net->most_memories = memories;
    } else if (memories) {
        memset(net->memory, 0, 2 * (size_t)memories * net->n_parameters * sizeof *net->memory);
    }
    for (int t = 0; t < net->n_trained; t++) {
        parameter *p = net->tensors[t].parameter;
        for (int m = 0; m < MAX_MEMORIES; m++) {
            p->memory[m] = m < memories ? memory_of(net, m, p->data) : NULL;
            p->memory_panels[m] = m < memories ? p->memory[m] + net->n_parameters : NULL;
        }
    }
    net->optimizer = kind;
    net->steps = 0;
    return PN_OK;
}

pn_status optim_reserve(pn_net *net, const pn_optim *opt)
{
    const bool missing = optimizers[opt->kind].memories > net->most_memories;
    if (missing || !same_memory(net->optimizer, opt->kind)) {
        pn_status status = forget(net, opt->kind);
        if (status)
            return status;
    }
    net->optimizer = opt->kind;
    if (opt->clip_norm > 0 && !net->squares) {
        net->squares = aligned_zeros(net->n_parameters / SEGMENT + 1, sizeof *net->squares);
        if (!net->squares)
            return fail(net->error, PN_ERR_MEMORY, "no memory for the norm of the gradients");
    }
    return PN_OK;
}

void pn_net_state(const pn_net *net, pn_state_info *info)
{
    *info = (pn_state_info){
        .kind = net->optimizer,
        .steps = net->steps,
        .tensors = net->memory ? net->n_trained * optimizers[net->optimizer].memories : 0,
    };
}

pn_status pn_net_state_tensor(pn_net *net, int i, pn_tensor *tensor)
{
    pn_state_info info;
    net->error[0] = 0;
    pn_net_state(net, &info);
    if (i < 0 || i >= info.tensors)
        return fail(net->error, PN_ERR_ARGUMENT, "state tensor %d; the optimizer remembers %d", i, info.tensors);
    const int m = i / net->n_trained;
    pn_net_tensor(net, i % net->n_trained, tensor);
    tensor->data = memory_of(net, m, tensor->data);
    snprintf(net->memory_name, sizeof net->memory_name, "%s.%s", tensor->name, optimizers[net->optimizer].memory[m]);
    tensor->name = net->memory_name;
    tensor->grad = NULL;
    return PN_OK;
}

pn_status pn_net_set_state(pn_net *net, pn_optim_kind kind, int64_t steps)
{
    net->error[0] = 0;
    pn_status status = check_kind(kind, net->error);
    if (!status && steps < 0)
        status = fail(net->error, PN_ERR_ARGUMENT, "steps is %lld; accepted: 0 or more", (long long)steps);
    if (!status)
        status = forget(net, kind);
    if (!status)
        net->steps = steps;
    return status;
}

/* ---- a step -------------------------------------------------------------------------------------------------------- */

/* x^n, n >= 0, in an order of products that no libm decides. */
static double power(double x, int64_t n)
{
    double y = 1;
    for (; n; n /= 2, x *= x)
        if (n % 2)
            y *= x;
    return y;
}

/* The constants of step t, from 1, at this learning rate. */
static update_rule rule_of(const pn_optim *opt, double rate, int64_t t)
{
    update_rule r = {
        .kind = optimizers[opt->kind].update,
        .scale = 1,
        .clip = opt->clip_value > 0 ? (float)opt->clip_value : INFINITY,
        .l2 = (float)opt->l2,
        .keep = (float)(1 - rate * opt->weight_decay),
        .rate = (float)rate,
        .momentum = (float)opt->momentum,
        .rest1 = (float)(1 - opt->beta1),
        .beta2 = (float)opt->beta2,
        .rest2 = (float)(1 - opt->beta2),
        .epsilon = (float)opt->epsilon,
    };
    if (r.kind == UPDATE_ADAM) { /* means that began at zero are too small by these factors */
        r.rate = (float)(rate / (1 - power(opt->beta1, t)));
        r.root = (float)(1 / sqrt(1 - power(opt->beta2, t)));
    }
    return r;
}

static void note_plain(update_rule *r)
{
    r->plain = r->scale == 1 && isinf(r->clip) && r->l2 == 0 && r->keep == 1;
}

optim_step optim_step_of(const pn_optim *opt, int64_t taken, int64_t t, float scale)
{
    optim_step s = {.decayed = rule_of(opt, opt->rates ? opt->rates[taken] : opt->learning_rate, t)};
    s.decayed.scale = scale;
    s.others = s.decayed;
    if (!opt->decay_all) {
        s.others.l2 = 0;
        s.others.keep = 1;
    }
    note_plain(&s.decayed);
    note_plain(&s.others);
    return s;
}

const update_rule *optim_rule(const optim_step *s, const parameter *p)
{
    return p->rank > 1 ? &s->decayed : &s->others;
}

void optim_apply(const optim_step *s, const parameter *p, size_t from, const float *dw, size_t n)
{
    const update_args u = {
        .w = p->data + from,
        .a = p->memory[0] ? p->memory[0] + from : NULL,
        .b = p->memory[1] ? p->memory[1] + from : NULL,
        .dw = dw,
        .m = 1,
        .n = (int)n,
    };
    kernels()->update(optim_rule(s, p), &u);
}

/* The root of the sum of the squares of all gradients. Segments are added up by one thread or another, their sums by each
   in the same order. */
static double gradient_norm(pn_net *net, const pass *p)
{
    const size_t n = net->n_parameters;
    const int segments = (int)((n + SEGMENT - 1) / SEGMENT);
    int from, to;
    my_share(p, segments, PAD, &from, &to);
    for (size_t i = (size_t)from; i < (size_t)to; i++) {
        const size_t at = i * SEGMENT, left = n - at;
        net->squares[i] = kernels()->sum_squares(net->gradients + at, left < SEGMENT ? left : SEGMENT);
    }
    team_sync(p->threads);
    double sum = 0;
    for (int i = 0; i < segments; i++)
        sum += (double)net->squares[i];
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
    const optim_step s = optim_step_of(opt, taken, net->steps + taken + 1, scale);
    for (int t = 0; t < net->n_trained; t++) {
        const parameter *w = net->tensors[t].parameter;
        int from, to;
        my_share(p, (int)w->size, PAD, &from, &to);
        optim_apply(&s, w, (size_t)from, w->grad + from, (size_t)(to - from));
    }
}

/* ---- the kernels on plain arrays ----------------------------------------------------------------------------------- */

typedef struct {
    const update_rule *rule;
    float *w, *a, *b;
    const float *dw;
    size_t n;
} array_step;

static void step_share(void *arg, int id, int threads)
{
    const array_step *s = arg;
    const size_t grain = 1024,
                 most = 1 << 30; /* threads write to pages apart, but for one; the kernel counts in ints */
    int first, last;
    share(id, threads, (int)((s->n + grain - 1) / grain), 1, &first, &last);
    const size_t end = (size_t)last * grain < s->n ? (size_t)last * grain : s->n;
    for (size_t i = (size_t)first * grain; i < end; i += most) {
        const int n = (int)(end - i < most ? end - i : most);
        const update_args u = {
            .w = s->w + i,
            .a = s->a ? s->a + i : NULL,
            .b = s->b ? s->b + i : NULL,
            .dw = s->dw + i,
            .m = 1,
            .n = n,
        };
        kernels()->update(s->rule, &u);
    }
}

static void step_on_array(const pn_optim *opt, int64_t t, float *w, float *a, float *b, const float *dw, size_t n)
{
    const double speed = 20000; /* elements in a microsecond, about: as fast as memory */
    const unsigned long fp = fp_enter();
    const optim_step s = optim_step_of(opt, 0, t, 1);
    team_share(step_share, &(array_step){&s.decayed, w, a, b, dw, n}, (double)n / speed);
    fp_leave(fp);
}

void pn_sgd(float *restrict w, const float *dw, size_t n, double learning_rate)
{
    step_on_array(&(pn_optim){.kind = PN_SGD, .learning_rate = learning_rate}, 1, w, w, w, dw, n);
}

void pn_momentum(float *restrict w, float *restrict velocity, const float *dw, size_t n, double learning_rate,
                 double momentum, int nesterov)
{
    const pn_optim opt = {
        .kind = nesterov ? PN_NESTEROV : PN_MOMENTUM, .learning_rate = learning_rate, .momentum = momentum};
    step_on_array(&opt, 1, w, velocity, w, dw, n);
}

void pn_rmsprop(float *restrict w, float *restrict square, const float *dw, size_t n, double learning_rate,
                double beta2, double epsilon)
{
    const pn_optim opt = {.kind = PN_RMSPROP, .learning_rate = learning_rate, .beta2 = beta2, .epsilon = epsilon};
    step_on_array(&opt, 1, w, square, w, dw, n);
}

void pn_adam(float *restrict w, float *restrict mean, float *restrict square, const float *dw, size_t n, int64_t t,
             double learning_rate, double beta1, double beta2, double epsilon, double weight_decay)
{
    const pn_optim opt = {
        .kind = PN_ADAM,
        .learning_rate = learning_rate,
        .beta1 = beta1,
        .beta2 = beta2,
        .epsilon = epsilon,
        .weight_decay = weight_decay,
    };
    step_on_array(&opt, t, w, mean, square, dw, n);
}
