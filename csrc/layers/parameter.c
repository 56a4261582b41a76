/* One parameter: its initial values, and the optimizer step on it. */
#include "layers/layer.h"

#include <string.h>

const update_rule *optim_rule(const optim_step *s, const parameter *p)
{
    return p->rank > 1 ? &s->decayed : &s->others;
}

void optim_apply(const optim_step *s, const parameter *p, size_t from, const float *dw, size_t n)
{
    float *const a = p->state[0], *const b = p->state[1];
    update_array(optim_rule(s, p), p->data + from, a ? a + from : NULL, b ? b + from : NULL, dw, n);
}

void parameter_fill(parameter *p, float value)
{
    for (size_t i = 0; i < p->size; i++)
        p->data[i] = value;
}

parameter parameter_vector(const char *name, int64_t n, bool running)
{
    return (parameter){.name = name, .rank = 1, .dim = {n}, .size = (size_t)n, .running = running};
}

void parameter_take_gradient(const parameter *w, const pass *p, const float *gradient, int from, int to)
{
    const size_t n = (size_t)(to - from);
    if (p->opt)
        optim_apply(p->opt, w, (size_t)from, gradient + from, n);
    else
        memcpy(w->grad + from, gradient + from, n * sizeof *gradient);
}
