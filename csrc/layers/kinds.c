/* Every kind of layer by its word. */
#include "layers/layer.h"

const layer_ops *const layer_kinds[PN_WORDS] = {
    [PN_STANDARDIZE] = &standardize_ops,
    [PN_DENSE] = &dense_ops,
    [PN_RELU] = &relu_ops,
    [PN_LEAKY_RELU] = &leaky_relu_ops,
    [PN_GELU] = &gelu_ops,
    [PN_SIGMOID] = &sigmoid_ops,
    [PN_TANH] = &tanh_ops,
    [PN_SOFTMAX] = &softmax_ops,
    [PN_FLATTEN] = &flatten_ops,
    [PN_DROPOUT] = &dropout_ops,
    [PN_BATCHNORM] = &batchnorm_ops,
    [PN_LAYERNORM] = &layernorm_ops,
    [PN_RESCALE] = &rescale_ops,
    [PN_RESIDUAL] = &residual_ops,
    [PN_CONV] = &conv_ops,
    [PN_MAXPOOL] = &maxpool_ops,
    [PN_AVGPOOL] = &avgpool_ops,
    [PN_GLOBALAVGPOOL] = &avgpool_ops,
};
