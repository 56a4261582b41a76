/* The layers of exported C files, in integers: export_c copies those that a network needs, with the types of their
   inputs and outputs, uint8, int8 or int16, in place of IN and OUT. */
#include <stdint.h>

/* sum * multiplier / 2^shift, rounded to the nearest, halves away from 0, and limited to low..high */
static int32_t scaled(int32_t sum, int32_t multiplier, uint8_t shift, int32_t low, int32_t high)
{
    const int64_t product = (int64_t)sum * multiplier, half = (int64_t)1 << (shift - 1);
    const int64_t value = product < 0 ? -((half - product) >> shift) : (product + half) >> shift;
    return value < low ? low : value > high ? high : (int32_t)value;
}

/* sum / n, rounded to the nearest, halves away from 0 */
static int32_t mean_of(int32_t sum, int32_t n)
{
    return (sum < 0 ? sum - n / 2 : sum + n / 2) / n;
}

/* y (out_height, out_width, n) = windows of x times W (window_height, window_width, channels, n) + b (n), each output
   with its multiplier and shift. A dense layer has one window. Zeros are skipped. */
static void conv_IN_OUT(OUT *y, const IN *x, const int8_t *W, const int32_t *b, const int32_t *multiplier,
                        const uint8_t *shift, const windows *w, int32_t n, int32_t low, int32_t high)
{
    const int32_t channels = w->channels;
    int32_t sums[16];
    for (int32_t row = 0; row < w->out_height; row++)
        for (int32_t column = 0; column < w->out_width; column++, y += n)
            for (int32_t first = 0; first < n; first += 16) {
                const int32_t top = row * w->stride - w->top, left = column * w->stride - w->left;
                const int32_t outputs = n - first < 16 ? n - first : 16;
                const int8_t *factors = W + first;
                for (int32_t j = 0; j < outputs; j++)
                    sums[j] = b[first + j];
                for (int32_t i = top; i < top + w->window_height; i++)
                    for (int32_t k = left; k < left + w->window_width; k++, factors += channels * n) {
                        if (i < 0 || i >= w->height || k < 0 || k >= w->width)
                            continue;
                        const IN *pixel = x + (i * w->width + k) * channels;
                        for (int32_t c = 0; c < channels; c++) {
                            const int8_t *factor = factors + c * n;
                            const int32_t v = pixel[c];
                            for (int32_t j = 0; v && j < outputs; j++)
                                sums[j] += v * factor[j];
                        }
                    }
                for (int32_t j = first; j < first + outputs; j++)
                    y[j] = (OUT)scaled(sums[j - first], multiplier[j], shift[j], low, high);
            }
}

/* The maximum of each window, for each channel. y may be x. */
static void maxpool_IN(IN *y, const IN *x, const windows *w)
{
    const int32_t channels = w->channels;
    for (int32_t row = 0; row < w->out_height; row++)
        for (int32_t column = 0; column < w->out_width; column++)
            for (int32_t c = 0; c < channels; c++) {
                const IN *corner = x + (row * w->width + column) * w->stride * channels + c;
                IN largest = *corner;
                for (int32_t i = 0; i < w->window_height; i++)
                    for (int32_t k = 0; k < w->window_width; k++) {
                        const IN v = corner[(i * w->width + k) * channels];
                        largest = v > largest ? v : largest;
                    }
                *y++ = largest;
            }
}

/* The mean of each window, for each channel. y may be x. */
static void avgpool_IN(IN *y, const IN *x, const windows *w)
{
    const int32_t channels = w->channels;
    for (int32_t row = 0; row < w->out_height; row++)
        for (int32_t column = 0; column < w->out_width; column++)
            for (int32_t c = 0; c < channels; c++) {
                const IN *corner = x + (row * w->width + column) * w->stride * channels + c;
                int32_t sum = 0;
                for (int32_t i = 0; i < w->window_height; i++)
                    for (int32_t k = 0; k < w->window_width; k++)
                        sum += corner[(i * w->width + k) * channels];
                *y++ = (IN)mean_of(sum, w->window_height * w->window_width);
            }
}
