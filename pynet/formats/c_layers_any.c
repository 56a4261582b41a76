/* The layers of exported C files that are the same in float and in integers: export_c copies those that a network needs,
   with the type of their inputs in place of IN. */
#include <stdint.h>

/* An image (height, width, channels), the windows in it, the zeros above and left of it, and the size of the output. */
typedef struct {
    int32_t height, width, channels, window_height, window_width, stride, top, left, out_height, out_width;
} windows;

/* y (positions, channels) = x (channels, positions) */
static void pixels_IN(IN *y, const IN *x, int32_t channels, int32_t positions)
{
    for (int32_t c = 0; c < channels; c++)
        for (int32_t p = 0; p < positions; p++)
            y[p * channels + c] = x[c * positions + p];
}

/* y (channels, positions) = x (positions, channels) */
static void planes_IN(IN *y, const IN *x, int32_t channels, int32_t positions)
{
    for (int32_t c = 0; c < channels; c++)
        for (int32_t p = 0; p < positions; p++)
            y[c * positions + p] = x[p * channels + c];
}

/* y = max(x, 0) */
static void relu_IN(IN *y, const IN *x, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        y[i] = x[i] <= 0 ? 0 : x[i];
}
