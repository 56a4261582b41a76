/* The layers of exported C files, in float: export_c copies those that a network needs. Paragraphs are copied whole, with
   those that they use. Sums run in the order of csrc/kernels: with fused multiply-add the results have the same bits. */
#include <math.h>
#include <stdint.h>

/* a * b + c, rounded once if the CPU can do that fast. */
#if defined FP_FAST_FMAF || defined __FP_FAST_FMAF || defined __FMA__ || defined __ARM_FEATURE_FMA
#define MULADD(a, b, c) fmaf(a, b, c)
#else
#define MULADD(a, b, c) ((a) * (b) + (c))
#endif

/* Stops compilers from fusing a product with the sum that it goes into. */
static float rounded(float x)
{
    const volatile float stored = x;
    return stored;
}

/* Denormal numbers count as 0. */
static float flushed(float x)
{
    return x > -1.17549435e-38f && x < 1.17549435e-38f ? 0 : x;
}

/* y (positions, channels) = x (channels, positions) / 255 */
static void pixels_of_bytes(float *y, const uint8_t *x, int32_t channels, int32_t positions)
{
    for (int32_t c = 0; c < channels; c++)
        for (int32_t p = 0; p < positions; p++)
            y[p * channels + c] = (float)x[c * positions + p] / 255.0f;
}

/* y = (x - mean) / scale, `run` numbers in a row are of one channel */
static void standardize(float *y, const float *x, const float *mean, const float *scale, int32_t n, int32_t run,
                        int32_t channels)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t c = i / run % channels;
        y[i] = (x[i] - mean[c]) / scale[c];
    }
}

/* y = x * scale + mean, `run` numbers in a row are of one channel */
static void rescale(float *y, const float *x, const float *mean, const float *scale, int32_t n, int32_t run,
                    int32_t channels)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t c = i / run % channels;
        y[i] = rounded(x[i] * scale[c]) + mean[c];
    }
}

/* y (n) = x W + b (n), W (channels, positions, n), x (positions, channels); without b 0. Zeros are skipped. */
static void dense(float *y, const float *x, const float *W, const float *b, int32_t channels, int32_t positions,
                  int32_t n)
{
    for (int32_t j = 0; j < n; j++)
        y[j] = 0;
    for (int32_t c = 0; c < channels; c++)
        for (int32_t p = 0; p < positions; p++, W += n) {
            const float v = x[p * channels + c];
            if (v != 0)
                for (int32_t j = 0; j < n; j++)
                    y[j] = MULADD(v, W[j], y[j]);
        }
    for (int32_t j = 0; b && j < n; j++)
        y[j] += b[j];
}

/* y (n) = x / 255 (k) W (k, n) + b (n); without b 0. Zeros are skipped. */
static void dense_of_bytes(float *y, const uint8_t *x, const float *W, const float *b, int32_t k, int32_t n)
{
    for (int32_t j = 0; j < n; j++)
        y[j] = 0;
    for (int32_t i = 0; i < k; i++, W += n) {
        const float v = (float)x[i] / 255.0f;
        if (x[i])
            for (int32_t j = 0; j < n; j++)
                y[j] = MULADD(v, W[j], y[j]);
    }
    for (int32_t j = 0; b && j < n; j++)
        y[j] += b[j];
}

/* y (out_height, out_width, n) = windows of x times W (window_height, window_width, channels, n) + b (n); without b 0.
   Zeros are skipped. */
static void conv(float *y, const float *x, const float *W, const float *b, const windows *w, int32_t n)
{
    const int32_t height = w->height, width = w->width, channels = w->channels;
    for (int32_t row = 0; row < w->out_height; row++)
        for (int32_t column = 0; column < w->out_width; column++, y += n) {
            const int32_t top = row * w->stride - w->top, left = column * w->stride - w->left;
            const float *factors = W;
            for (int32_t j = 0; j < n; j++)
                y[j] = 0;
            for (int32_t i = top; i < top + w->window_height; i++)
                for (int32_t k = left; k < left + w->window_width; k++, factors += channels * n) {
                    if (i < 0 || i >= height || k < 0 || k >= width)
                        continue;
                    const float *pixel = x + (i * width + k) * channels;
                    for (int32_t c = 0; c < channels; c++) {
                        const float v = pixel[c], *factor = factors + c * n;
                        if (v != 0)
                            for (int32_t j = 0; j < n; j++)
                                y[j] = MULADD(v, factor[j], y[j]);
                    }
                }
            for (int32_t j = 0; b && j < n; j++)
                y[j] += b[j];
        }
}

/* The maximum of each window, for each channel. y may be x. */
static void maxpool(float *y, const float *x, const windows *w)
{
    const int32_t channels = w->channels;
    for (int32_t row = 0; row < w->out_height; row++)
        for (int32_t column = 0; column < w->out_width; column++)
            for (int32_t c = 0; c < channels; c++) {
                const float *corner = x + (row * w->width + column) * w->stride * channels + c;
                float largest = *corner;
                for (int32_t i = 0; i < w->window_height; i++)
                    for (int32_t k = 0; k < w->window_width; k++) {
                        const float v = corner[(i * w->width + k) * channels];
                        if (v > largest || v != v)
                            largest = v;
                    }
                *y++ = largest;
            }
}

/* The mean of each window, for each channel. y may be x. */
static void avgpool(float *y, const float *x, const windows *w)
{
    const int32_t channels = w->channels;
    for (int32_t row = 0; row < w->out_height; row++)
        for (int32_t column = 0; column < w->out_width; column++)
            for (int32_t c = 0; c < channels; c++) {
                const float *corner = x + (row * w->width + column) * w->stride * channels + c;
                float sum = 0;
                for (int32_t i = 0; i < w->window_height; i++)
                    for (int32_t k = 0; k < w->window_width; k++)
                        sum += corner[(i * w->width + k) * channels];
                *y++ = sum / (float)(w->window_height * w->window_width);
            }
}

/* y = a + b */
static void add(float *y, const float *a, const float *b, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

/* y = (x - mean) * scale + shift, for each channel */
static void batchnorm(float *y, const float *x, const float *mean, const float *scale, const float *shift, int32_t n,
                      int32_t channels)
{
    for (int32_t i = 0; i < n; i++) {
        const int32_t c = i % channels;
        y[i] = MULADD(x[i] - mean[c], scale[c], shift[c]);
    }
}

/* y = x where x > 0, else slope * x */
static void leaky_relu(float *y, const float *x, int32_t n, float slope)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] <= 0 ? x[i] * slope : x[i];
}

/* exp(x), relative error below 1.2e-7; exp(88) above 88, 0 below -87.3. Adding 1.5 * 2^23 rounds to a whole number,
   which -ffast-math would leave out. */
#ifdef __FAST_MATH__
#error "compile this file without -ffast-math and -Ofast"
#endif
static float exp_of(float x)
{
    union {
        float number;
        uint32_t bits;
    } shifted, power;
    if (x < -87.3f)
        return 0;
    if (x > 88.0f)
        x = 88.0f;
    shifted.number = MULADD(x, 1.44269504f, 12582912.0f);
    power.bits = (shifted.bits - 0x4b400000u + 127u) << 23;
    const float n = shifted.number - 12582912.0f;
    float r = MULADD(n, -0.69314575f, x);
    r = MULADD(n, -1.4286068e-06f, r);
    float p = 0.00138145f;
    p = MULADD(p, r, 0.00836878f);
    p = MULADD(p, r, 0.04166839f);
    p = MULADD(p, r, 0.1666652f);
    p = MULADD(p, r, 0.49999994f);
    p = MULADD(p, r * r, r);
    return (p + 1) * power.number;
}

/* y = 1 / (1 + exp(-x)) */
static void sigmoid(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = flushed(1 / (1 + exp_of(-x[i])));
}

/* y = tanh(x), relative error below 2.5e-7 */
static void tanh_of(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const float v = x[i], s = v * v, size = v < 0 ? -v : v;
        const float far = 1 - 2 / (exp_of(size + size) + 1);
        float p = -0.00570499f;
        p = MULADD(p, s, 0.02063909f);
        p = MULADD(p, s, -0.05373972f);
        p = MULADD(p, s, 0.13331442f);
        p = MULADD(p, s, -0.3333328f);
        y[i] = size < 0.625f ? MULADD(p, s * v, v) : v < 0 ? -far : far;
    }
}

/* y = x P(x), P the cumulative normal distribution: for x < 0 it is exp(-x^2 / 2) times a polynomial in
   1 / (1 + 0.3 |x|), relative error 1.2e-7 */
static void gelu(float *y, const float *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        const float v = x[i], size = v < 0 ? -v : v;
        const float t = 1 / MULADD(0.3f, size, 1);
        float p = 0.036197715f;
        p = MULADD(p, t, -0.15939073f);
        p = MULADD(p, t, 0.21014066f);
        p = MULADD(p, t, -0.05718866f);
        p = MULADD(p, t, 0.13042815f);
        p = MULADD(p, t, 0.09934345f);
        p = MULADD(p, t, 0.12084614f);
        p = MULADD(p, t, 0.11962322f);
        const float tail = flushed(rounded(p * t * exp_of(size * size * -0.5f)));
        y[i] = v * (v < 0 ? tail : 1 - tail);
    }
}

/* The sum of 16 numbers, in pynet's order: number i of a row is added to sums[i % 16]. */
static float lanes_sum(const float *sums)
{
    float four[4];
    for (int32_t i = 0; i < 4; i++)
        four[i] = (sums[i] + sums[i + 8]) + (sums[i + 4] + sums[i + 12]);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* y = exp(x) / the sum of exp(x) */
static void softmax(float *y, const float *x, int32_t n)
{
    float sums[16] = {0}, largest = x[0];
    for (int32_t i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (int32_t i = 0; i < n; i++) {
        y[i] = exp_of(x[i] - largest);
        sums[i % 16] += y[i];
    }
    const float factor = 1 / lanes_sum(sums);
    for (int32_t i = 0; i < n; i++)
        y[i] = flushed(y[i] * factor);
}

/* y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, with mean and variance of x */
static void layernorm(float *y, const float *x, const float *gamma_of, const float *beta, int32_t n, float epsilon)
{
    float sums[16] = {0}, squares[16] = {0};
    for (int32_t i = 0; i < n; i++)
        sums[i % 16] += x[i];
    const float mean = lanes_sum(sums) / (float)n;
    for (int32_t i = 0; i < n; i++)
        squares[i % 16] = MULADD(x[i] - mean, x[i] - mean, squares[i % 16]);
    const float root = 1 / sqrtf(lanes_sum(squares) / (float)n + epsilon);
    for (int32_t i = 0; i < n; i++)
        y[i] = MULADD((x[i] - mean) * root, gamma_of[i], beta[i]);
}
