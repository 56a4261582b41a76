/* The optimizers: which epilogue, and the same step for a gradient that was stored. */
#include "internal.h"

#include <math.h>

pn_status optim_check(const pn_optim *opt, char *err)
{
    if (opt->kind != PN_SGD)
        return fail(err, PN_ERR_ARGUMENT, "optimizer kind is %d; accepted: PN_SGD", (int)opt->kind);
    if (!(opt->learning_rate > 0) || isinf(opt->learning_rate))
        return fail(err, PN_ERR_ARGUMENT, "learning rate is %g; accepted: a finite number above 0",
                    (double)opt->learning_rate);
    return PN_OK;
}

epilogue optim_epilogue(const pn_optim *opt)
{
    return (epilogue){.kind = EPI_SGD, .learning_rate = opt->learning_rate};
}

void optim_apply(const pn_optim *opt, float *w, const float *dw, size_t n)
{
    kernels()->sgd(w, dw, n, opt->learning_rate);
}
