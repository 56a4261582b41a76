/* The optimizers: defaults, checks, the constants of a step, and steps on plain arrays. */
#include "arrays/arrays.h"
#include "base/threads.h"

#include <math.h>
#include <stddef.h>

enum { KINDS = PN_ADAMW + 1 };

typedef struct {
    update_kind update;
    int states;
    const char *state[MAX_STATES];
    pn_optim defaults;
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
    if (!opt || !is_kind(kind))
        return PN_ERR_ARGUMENT;
    *opt = optimizers[kind].defaults;
    opt->kind = kind;
    return PN_OK;
}

int optim_states(pn_optim_kind kind, const char *const **names)
{
    *names = optimizers[kind].state;
    return optimizers[kind].states;
}

/* ---- checks of options --------------------------------------------------------------------------------------------- */

pn_status optim_check_kind(pn_optim_kind kind, char *err)
{
    return is_kind(kind) ? PN_OK
                         : fail(err, PN_ERR_ARGUMENT, "optimizer kind is %d; accepted: PN_SGD to PN_ADAMW", (int)kind);
}

/* Numbers are checked as float32, in which they are used: there one may be infinite, or zero. */
typedef enum { BELOW_ONE, FROM_ZERO, ABOVE_ZERO } accepted_range;

static bool is_accepted(double x, accepted_range range)
{
    if (range == BELOW_ONE)
        return x >= 0 && x < 1;
    return isfinite((float)x) && (range == FROM_ZERO ? x >= 0 : (float)x > 0);
}

static pn_status check_number(const char *name, double x, accepted_range range, char *err)
{
    static const char *const words[] = {
        [BELOW_ONE] = "a number from 0 to below 1",
        [FROM_ZERO] = "a finite number, 0 or more, up to 3.4e38 (float32)",
        [ABOVE_ZERO] = "a finite number above 0, 1.4e-45 to 3.4e38 (float32)",
    };
    return is_accepted(x, range) ? PN_OK : fail(err, PN_ERR_ARGUMENT, "%s is %g; accepted: %s", name, x, words[range]);
}

pn_status optim_check(const pn_optim *opt, int64_t steps, char *err)
{
    const struct {
        const char *name;
        double value;
        accepted_range range;
        bool unused;
    } numbers[] = {
        {"learning rate", opt->learning_rate, ABOVE_ZERO, opt->rates != NULL},
        {"momentum", opt->momentum, BELOW_ONE, false},
        {"beta1", opt->beta1, BELOW_ONE, false},
        {"beta2", opt->beta2, BELOW_ONE, false},
        {"epsilon", opt->epsilon, ABOVE_ZERO, opt->kind < PN_RMSPROP},
        {"l2", opt->l2, FROM_ZERO, false},
        {"weight decay", opt->weight_decay, FROM_ZERO, false},
        {"clip value", opt->clip_value, FROM_ZERO, false},
        {"clip norm", opt->clip_norm, FROM_ZERO, false},
    };
    pn_status status = optim_check_kind(opt->kind, err);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !status; i++)
        if (!numbers[i].unused)
            status = check_number(numbers[i].name, numbers[i].value, numbers[i].range, err);
    if (!status && opt->clip_value > 0 && opt->clip_norm > 0)
        status = fail(err, PN_ERR_ARGUMENT, "clip value is %g and clip norm %g; accepted: one of them", opt->clip_value,
                      opt->clip_norm);
    for (int64_t i = 0; opt->rates && i < steps && !status; i++)
        if (!is_accepted(opt->rates[i], FROM_ZERO))
            status =
                fail(err, PN_ERR_ARGUMENT,
                     "learning rate of step %lld is %g; accepted: a finite number, 0 or more, up to 3.4e38 (float32)",
                     (long long)i + 1, opt->rates[i]);
    return status;
}

/* ---- a step -------------------------------------------------------------------------------------------------------- */

/* x^n, n >= 0, by repeated squaring: the bits of pow depend on the math library. */
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
    if (r.kind == UPDATE_ADAM) { /* bias correction: the averages start at zero */
        r.rate = (float)(rate / (1 - power(opt->beta1, t)));
        r.root = (float)(1 / sqrt(1 - power(opt->beta2, t)));
    }
    return r;
}

static void set_plain(update_rule *r)
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
    set_plain(&s.decayed);
    set_plain(&s.others);
    return s;
}

void update_array(const update_rule *r, float *w, float *a, float *b, const float *dw, size_t n)
{
    const size_t most = 1 << 30; /* sizes in update_args are ints */
    for (size_t i = 0; i < n; i += most) {
        const update_args u = {
            .w = w + i,
            .a = a ? a + i : NULL,
            .b = b ? b + i : NULL,
            .dw = dw + i,
            .m = 1,
            .n = (int)(n - i < most ? n - i : most),
        };
        kernels()->update(r, &u);
    }
}

/* ---- the kernels on plain arrays ----------------------------------------------------------------------------------- */

/* A rule that does not use a or b gets w in its stead. */
typedef struct {
    const update_rule *rule;
    float *w, *a, *b;
    const float *dw;
    size_t n;
} array_step;

static void step_part(void *arg, int id, int threads)
{
    const array_step *s = arg;
    const size_t grain = 1024; /* a page: each thread writes whole pages */
    size_t i, end;
    partition_array(id, threads, s->n, grain, &i, &end);
    update_array(s->rule, s->w + i, s->a + i, s->b + i, s->dw + i, end - i);
}

static void step_on_array(const pn_optim *opt, int64_t t, float *w, float *a, float *b, const float *dw, size_t n)
{
    const double speed = 20000; /* elements per microsecond, roughly: limited by memory */
    const unsigned long fp = fp_enter();
    const optim_step s = optim_step_of(opt, 0, t, 1);
    pool_run_if_worth(step_part, &(array_step){&s.decayed, w, a, b, dw, n}, (double)n / speed, MAX_THREADS);
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
