/* The losses: the loss of each sample and the gradient of their mean, in one pass. */
#include "net/net.h"

/* Is the prediction of a sample right? Its largest output is the one of the label, or of the largest target. A single
   output, and all outputs under binary cross-entropy, are compared with 1/2, as are their targets. Rescaled
   outputs are quantities, which are never right. */
static bool is_right(const loss_rule *rule, const float *x, const batch_targets *a, int row, int features)
{
    const float *target = a->targets ? a->targets + (size_t)row * a->ld : NULL;
    const bool binary = rule->kind == PN_BCE;
    const float middle = binary ? 0 : 0.5f; /* binary cross-entropy gets logits: sigmoid(0) = 1/2 */
    if (rule->rescaled)
        return false;
    if (a->labels)
        return kernels()->argmax(x, features) == a->labels[row];
    if (features > 1 && !binary)
        return kernels()->argmax(x, features) == kernels()->argmax(target, features);
    for (int i = 0; i < features; i++)
        if ((x[i] > middle) != (target[i] > 0.5f))
            return false;
    return true;
}

void loss_rows(const loss_rule *rule, float *loss, int32_t *correct, float *dx, const float *x, size_t ld, int features,
               const batch_targets *a, int from, int to, float scale)
{
    const kernel_table *k = kernels();
    const size_t start = (size_t)from * ld;
    const float *targets = a->targets ? a->targets + (size_t)from * a->ld : NULL;
    const int m = to - from;
    x += start;
    dx = dx ? dx + start : NULL;
    loss += from;
    for (int i = from; i < to; i++) /* before dx, which may be x, is written */
        correct[i] = is_right(rule, x + (size_t)(i - from) * ld, a, i, features);
    if (rule->kind == PN_CROSS_ENTROPY)
        k->cross_entropy(loss, dx, ld, x, ld, a->labels + from, m, features, scale, (float)rule->smoothing);
    else if (rule->kind == PN_BCE)
        k->binary_cross_entropy(loss, dx, ld, x, ld, targets, a->ld, m, features, scale);
    else if (rule->kind == PN_MAE || rule->kind == PN_HUBER)
        k->robust_error(loss, dx, ld, x, ld, targets, a->ld, m, features, scale,
                        rule->kind == PN_HUBER ? (float)rule->delta : 0);
    else
        k->squared_error(loss, dx, ld, x, ld, targets, a->ld, m, features, scale);
    for (int i = 0; a->weights && i < m; i++) {
        loss[i] *= a->weights[from + i];
        if (dx)
            k->scale(dx + (size_t)i * ld, (size_t)features, a->weights[from + i]);
    }
}
