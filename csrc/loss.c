/* The losses: value of each row and gradient of the batch mean in one pass. */
#include "internal.h"

/* Is the largest output the label, or the largest target? A single output: is it on the target's side of 1/2? */
static bool is_right(const float *x, const answers *a, int row, size_t ld, int features)
{
    const float *target = a->targets ? a->targets + (size_t)row * ld : NULL;
    if (features == 1 && target)
        return (*x > 0.5f) == (*target > 0.5f);
    return kernels()->argmax(x, features) == (a->labels ? a->labels[row] : kernels()->argmax(target, features));
}

void loss_rows(pn_loss kind, float *loss, int32_t *correct, float *dx, const float *x, size_t ld, int features,
               const answers *a, int from, int to, float scale)
{
    const kernel_table *k = kernels();
    const size_t start = (size_t)from * ld;
    x += start;
    dx = dx ? dx + start : NULL;
    for (int i = from; i < to; i++) /* before dx, which may be x, is written */
        correct[i] = is_right(x + (size_t)(i - from) * ld, a, i, ld, features);
    if (kind == PN_CROSS_ENTROPY)
        k->cross_entropy(loss + from, dx, ld, x, ld, a->labels + from, to - from, features, scale);
    else
        k->squared_error(loss + from, dx, ld, x, ld, a->targets + start, ld, to - from, features, scale);
}
