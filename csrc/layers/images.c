/* The order of images in work memory. The caller's samples are (channels, height, width). Convolution and pooling work
   on (height, width, channels), because vectors of channels are full however small the image is. A network that has
   such a layer keeps all images channels-last (NHWC) and transposes its inputs and outputs. A layer that takes x flat
   in the caller's order, or with zero padding, works on a copy of x. */
#include "layers/layer.h"

#include <string.h>

bool is_channels_last(bool channels_last, const shape *s)
{
    return channels_last && s->rank == 3 && s->dim[0] > 1 && s->dim[1] * s->dim[2] > 1;
}

pn_status needs_image(const layer *l, char *err)
{
    if (l->in.rank == 3)
        return PN_OK;
    return fail(err, PN_ERR_SPEC,
                "column %d: layer %s, %s, takes images (channels, height, width); its input is (%lld)", l->word.column,
                l->path, l->text, (long long)l->in.dim[0]);
}

pn_status window_shape(layer *l, int64_t channels, int64_t height, int64_t width, int window_height, int window_width,
                       int stride, char *err)
{
    if (height < window_height || width < window_width)
        return fail(err, PN_ERR_SPEC,
                    "column %d: layer %s, %s, has windows of %d by %d; its input is only %lld by %lld", l->word.column,
                    l->path, l->text, window_height, window_width, (long long)height, (long long)width);
    if ((double)channels * (double)height * (double)width > MAX_FEATURES)
        return fail(err, PN_ERR_SPEC,
                    "column %d: layer %s, %s, has an input of (%lld, %lld, %lld); accepted: at most %d numbers",
                    l->word.column, l->path, l->text, (long long)channels, (long long)height, (long long)width,
                    MAX_FEATURES);
    l->out = (shape){.rank = 3,
                     .dim = {channels, (height - window_height) / stride + 1, (width - window_width) / stride + 1}};
    return PN_OK;
}

/* y (height, width, channels) = x (channels, height, width) */
static void to_pixels(float *y, const float *x, const shape *s)
{
    const size_t positions = (size_t)(s->dim[1] * s->dim[2]), channels = (size_t)s->dim[0];
    kernels()->transpose(y, channels, x, positions, (int)channels, (int)positions);
}

/* y (channels, height, width) = x (height, width, channels) */
static void to_planes(float *y, const float *x, const shape *s)
{
    const size_t positions = (size_t)(s->dim[1] * s->dim[2]), channels = (size_t)s->dim[0];
    kernels()->transpose(y, positions, x, channels, (int)positions, (int)channels);
}

/* The copy of x is padded with zeros, or else transposed to the caller's order. */
static bool is_framed(const layer *l)
{
    return l->padding.top || l->padding.bottom || l->padding.left || l->padding.right;
}

void plan_copy(layer *l)
{
    if (l->winograd)
        return;
    if (is_framed(l))
        l->copy_size = (size_t)l->in.dim[0] * (size_t)(l->in.dim[1] + l->padding.top + l->padding.bottom) *
                       (size_t)(l->in.dim[2] + l->padding.left + l->padding.right);
    else if (l->ops->flattens && is_channels_last(l->channels_last, &l->in))
        l->copy_size = (size_t)shape_size(&l->in);
}

/* Clears the frame: in inference the copy is in memory that other layers use, too. */
static void clear_frame(const layer *l, float *padded_image)
{
    const size_t channels = (size_t)l->in.dim[0], left = (size_t)l->padding.left * channels,
                 right = (size_t)l->padding.right * channels, row = (size_t)l->in.dim[2] * channels;
    const size_t stride = left + row + right, height = (size_t)l->in.dim[1];
    memset(padded_image, 0, (size_t)l->padding.top * stride * sizeof *padded_image);
    padded_image += (size_t)l->padding.top * stride;
    for (size_t y = 0; y < height; y++, padded_image += stride) {
        memset(padded_image, 0, left * sizeof *padded_image);
        memset(padded_image + left + row, 0, right * sizeof *padded_image);
    }
    memset(padded_image, 0, (size_t)l->padding.bottom * stride * sizeof *padded_image);
}

/* Copies the image to the middle of its padded copy, or back. */
static void copy_middle(const layer *l, float *image, float *padded_image, bool backward)
{
    const size_t row = (size_t)(l->in.dim[0] * l->in.dim[2]);
    const size_t stride = (size_t)(l->in.dim[0] * (l->in.dim[2] + l->padding.left + l->padding.right));
    float *middle = padded_image + (size_t)l->padding.top * stride + (size_t)l->padding.left * (size_t)l->in.dim[0];
    for (size_t y = 0; y < (size_t)l->in.dim[1]; y++) {
        float *a = image + y * row, *b = middle + y * stride;
        memcpy(backward ? a : b, backward ? b : a, row * sizeof *a);
    }
}

void copy_inputs(layer *l, const pass *p)
{
    const activation x = l->before ? l->x : p->inputs;
    EACH_OWN_ROW (i, p) {
        if (p->own_rows && is_framed(l))
            clear_frame(l, row_of(l->copy, i));
        if (is_framed(l))
            copy_middle(l, row_of(x, i), row_of(l->copy, i), false);
        else
            to_planes(row_of(l->copy, i), row_of(x, i), &l->in);
    }
}

void return_input_gradients(layer *l, const pass *p)
{
    EACH_OWN_ROW (i, p)
        if (is_framed(l))
            copy_middle(l, row_of(l->dx, i), row_of(l->dcopy, i), true);
        else
            to_pixels(row_of(l->dx, i), row_of(l->dcopy, i), &l->in);
}

bool sample_load(bool channels_last, const shape *s, float *row, const float *x)
{
    const size_t n = (size_t)shape_size(s);
    if (!is_channels_last(channels_last, s))
        return kernels()->copy_finite(row, x, n);
    to_pixels(row, x, s);
    return kernels()->first_nonfinite(row, n) == n;
}

void sample_load_u8(bool channels_last, const shape *s, float *row, const uint8_t *x)
{
    enum { PLANE_PIECE = 1024 };
    float piece[PLANE_PIECE];
    if (!is_channels_last(channels_last, s)) {
        kernels()->scale_u8(row, x, (size_t)shape_size(s));
        return;
    }
    const size_t channels = (size_t)s->dim[0], positions = (size_t)(s->dim[1] * s->dim[2]);
    for (size_t c = 0; c < channels; c++)
        for (size_t at = 0; at < positions; at += PLANE_PIECE) {
            const size_t n = positions - at < PLANE_PIECE ? positions - at : PLANE_PIECE;
            kernels()->scale_u8(piece, x + c * positions + at, n);
            for (size_t i = 0; i < n; i++)
                row[(at + i) * channels + c] = piece[i];
        }
}

void sample_store(bool channels_last, const shape *s, float *x, const float *row)
{
    if (is_channels_last(channels_last, s))
        to_planes(x, row, s);
    else
        memcpy(x, row, (size_t)shape_size(s) * sizeof *x);
}

int32_t output_index(bool channels_last, const shape *s, int32_t label)
{
    if (!is_channels_last(channels_last, s))
        return label;
    const int32_t positions = (int32_t)(s->dim[1] * s->dim[2]), channels = (int32_t)s->dim[0];
    return label % positions * channels + label / positions;
}
