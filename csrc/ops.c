/* The public kernels other than the matrix product: one call of the table each, denormals flushed. */
#include "internal.h"

#include <string.h>

#define CALL(statement)                \
    do {                               \
        unsigned long fp = fp_enter(); \
        kernels()->statement;          \
        fp_leave(fp);                  \
    } while (0)

void pn_bias(float *y, const float *x, const float *b, int m, int n)
{
    if (n > 0)
        CALL(bias(y, (size_t)n, x, (size_t)n, b, m, n));
}

void pn_bias_grad(float *restrict db, const float *dy, int m, int n)
{
    if (n > 0)
        CALL(column_sums(db, dy, (size_t)n, m, n, false));
}

void pn_relu(float *y, const float *x, size_t n)
{
    CALL(relu(y, x, n));
}

void pn_relu_grad(float *dx, const float *dy, const float *y, size_t n)
{
    CALL(relu_grad(dx, dy, y, n));
}

void pn_leaky_relu(float *y, const float *x, size_t n, float slope)
{
    CALL(leaky_relu(y, x, n, slope));
}

void pn_leaky_relu_grad(float *dx, const float *dy, const float *y, size_t n, float slope)
{
    CALL(leaky_relu_grad(dx, dy, y, n, slope));
}

void pn_gelu(float *y, const float *x, size_t n)
{
    CALL(gelu(y, x, n));
}

void pn_gelu_grad(float *dx, const float *dy, const float *x, size_t n)
{
    CALL(gelu_grad(dx, dy, x, n));
}

void pn_sigmoid(float *y, const float *x, size_t n)
{
    CALL(sigmoid(y, x, n));
}

void pn_sigmoid_grad(float *dx, const float *dy, const float *y, size_t n)
{
    CALL(sigmoid_grad(dx, dy, y, n));
}

void pn_dropout(float *y, const float *x, int m, int n, double p, uint64_t seed, int layer_number, uint64_t when)
{
    for (int i = 0; i < m && n > 0; i++) {
        const dropout_mask mask = dropout_row(p, seed, layer_number, when, i);
        CALL(dropout(y + (size_t)i * (size_t)n, x + (size_t)i * (size_t)n, (size_t)n, &mask));
    }
}

void pn_batchnorm(float *restrict y, float *restrict mean, float *restrict variance, const float *x, const float *gamma,
                  const float *beta, int m, int places, int c, float epsilon)
{
    const channel_rows r = rows_of_channels(m, (size_t)places * (size_t)c, places, c);
    const channel_norm norm = {mean, variance, gamma, beta, epsilon};
    CALL(channel_moments(mean, variance, x, &r));
    CALL(channel_normalise(y, x, &norm, &r));
}

void pn_batchnorm_grad(float *restrict dx, float *restrict dgamma, float *restrict dbeta, const float *dy,
                       const float *x, const float *mean, const float *variance, const float *gamma, int m, int places,
                       int c, float epsilon)
{
    const channel_rows r = rows_of_channels(m, (size_t)places * (size_t)c, places, c);
    const channel_norm norm = {mean, variance, gamma, gamma, epsilon};
    CALL(channel_sums(dgamma, dbeta, dy, x, &norm, &r));
    CALL(channel_grad(dx, dy, x, &norm, dgamma, dbeta, &r));
}

void pn_layernorm(float *restrict y, float *restrict stats, const float *x, const float *gamma, const float *beta,
                  int m, int n, float epsilon)
{
    if (n > 0)
        CALL(layernorm(y, (size_t)n, x, (size_t)n, gamma, beta, stats, m, n, epsilon));
}

void pn_layernorm_grad(float *restrict dx, float *restrict dgamma, float *restrict dbeta, const float *dy,
                       const float *x, const float *stats, const float *gamma, int m, int n)
{
    const size_t ld = (size_t)n;
    if (n <= 0)
        return;
    CALL(layernorm_grad(dx, ld, dy, ld, x, ld, gamma, stats, m, n));
    CALL(layernorm_sums(dgamma, dbeta, dy, ld, x, ld, stats, m, n));
}

void pn_tanh(float *y, const float *x, size_t n)
{
    CALL(tanh(y, x, n));
}

void pn_tanh_grad(float *dx, const float *dy, const float *y, size_t n)
{
    CALL(tanh_grad(dx, dy, y, n));
}

void pn_softmax(float *p, const float *x, int m, int n, float temperature)
{
    if (n > 0)
        CALL(softmax(p, (size_t)n, x, (size_t)n, m, n, temperature));
}

void pn_softmax_grad(float *dx, const float *dp, const float *p, int m, int n)
{
    if (n > 0)
        CALL(softmax_grad(dx, (size_t)n, dp, (size_t)n, p, (size_t)n, m, n));
}

void pn_cross_entropy(float *restrict loss, float *dx, const float *x, const int32_t *labels, int m, int n, float scale,
                      float smoothing)
{
    if (n > 0)
        CALL(cross_entropy(loss, dx, (size_t)n, x, (size_t)n, labels, m, n, scale, smoothing));
}

void pn_binary_cross_entropy(float *restrict loss, float *dx, const float *x, const float *y, int m, int n, float scale)
{
    if (n > 0)
        CALL(binary_cross_entropy(loss, dx, (size_t)n, x, (size_t)n, y, (size_t)n, m, n, scale));
}

void pn_squared_error(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale)
{
    if (n > 0)
        CALL(squared_error(loss, dp, (size_t)n, p, (size_t)n, y, (size_t)n, m, n, scale));
}

void pn_one_hot(float *restrict y, const int32_t *labels, int m, int n)
{
    if (m <= 0 || n <= 0)
        return;
    memset(y, 0, (size_t)m * (size_t)n * sizeof *y);
    for (int i = 0; i < m; i++)
        y[(size_t)i * (size_t)n + (size_t)labels[i]] = 1;
}

void pn_gather(float *restrict y, const uint8_t *x, const int32_t *index, int m, int n)
{
    if (n <= 0)
        return;
    const size_t width = (size_t)n;
    for (int i = 0; i < m; i++)
        CALL(scale_u8(y + (size_t)i * width, x + (size_t)(index ? index[i] : i) * width, width));
}
