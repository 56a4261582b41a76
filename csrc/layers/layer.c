/* The first weights. Biases start at zero. */
#include "layers/layer.h"

#include <math.h>

void init_weights(const layer *l, double fan_in, double fan_out, init_kind kind, uint64_t seed, uint64_t stream)
{
    const parameter *W = &l->param[0];
    double deviation = 1;
    if (kind == INIT_AUTO)
        kind = layer_feeds_relu(l) ? INIT_HE : INIT_XAVIER;
    if (kind == INIT_HE)
        deviation = sqrt(2 / fan_in); /* He et al. 2015: ReLU halves the variance, the 2 gives it back */
    else if (kind == INIT_XAVIER)
        deviation = sqrt(2 / (fan_in + fan_out)); /* Glorot and Bengio 2010 */
    random_normal(W->data, W->size, (float)deviation, seed, stream);
}
