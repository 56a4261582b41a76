/* conv(channels, kernel, stride, pad): each position of the output is a dense layer on one patch of the image, kernel
   by kernel pixels of all channels: y (positions, n) = patches (positions, k) W (k, n) + b (n), k = kernel kernel
   channels. W is (kernel, kernel, channels_in, channels_out). A matrix of all patches (im2col) would take k/channels
   times the memory of the images; instead the matrix product reads the patches from the images through two tables of
   offsets (implicit GEMM, Chetlur et al. 2014). Twin: Conv in pynet/reference/layers.py. */
#include "layers/conv.h"

#include <string.h>

enum { CONV_CHANNELS, CONV_KERNEL, CONV_STRIDE, CONV_PADDING, CONV_INIT, CONV_BIAS }; /* arguments */
enum { CONV_GRAIN = 4 }; /* threads share the rows of W in multiples of this: half a tile */

sizes sizes_of(const layer *l)
{
    sizes s = {
        .kernel = (int)l->word.arg[CONV_KERNEL].number,
        .stride = (int)l->word.arg[CONV_STRIDE].number,
        .width = (int)l->in.dim[2] + l->padding.left + l->padding.right,
        .channels = (int)l->in.dim[0],
        .out_height = (int)l->out.dim[1],
        .out_width = (int)l->out.dim[2],
        .n = (int)l->out.dim[0],
    };
    s.positions = s.out_height * s.out_width;
    s.k = s.kernel * s.kernel * s.channels;
    return s;
}

/* Zeros that pad=same adds to an axis for ceil(in / stride) outputs: half on each side, an odd one at the end. */
static int same_padding(int64_t in, int kernel, int stride)
{
    const int64_t zeros = ((in + stride - 1) / stride - 1) * stride + kernel - in;
    return zeros > 0 ? (int)zeros : 0;
}

static pn_status conv_shape(layer *l, char *err)
{
    const int64_t n = (int64_t)l->word.arg[CONV_CHANNELS].number;
    const int kernel = (int)l->word.arg[CONV_KERNEL].number, stride = (int)l->word.arg[CONV_STRIDE].number;
    const argument padding = l->word.arg[CONV_PADDING];
    pn_status status = needs_image(l, err);
    if (status)
        return status;
    const int64_t channels = l->in.dim[0];
    if (padding.is_choice) { /* pad=same */
        const int rows = same_padding(l->in.dim[1], kernel, stride),
                  columns = same_padding(l->in.dim[2], kernel, stride);
        l->padding = (image_padding){rows / 2, rows - rows / 2, columns / 2, columns - columns / 2};
    } else {
        const int pad = (int)padding.number;
        l->padding = (image_padding){pad, pad, pad, pad};
    }
    const int64_t height = l->in.dim[1] + l->padding.top + l->padding.bottom;
    const int64_t width = l->in.dim[2] + l->padding.left + l->padding.right;
    status = window_shape(l, channels, height, width, kernel, kernel, stride, err);
    if (status)
        return status;
    l->out.dim[0] = n;
    const double weights = (double)kernel * kernel * (double)channels * (double)n;
    const double out = (double)n * (double)l->out.dim[1] * (double)l->out.dim[2];
    if (weights > INT32_MAX)
        return fail(err, PN_ERR_SPEC, "column %d: layer %s, %s, has %.0f weights; accepted: at most %d", l->word.column,
                    l->path, l->text, weights, (int)INT32_MAX);
    if (out > MAX_FEATURES)
        return fail(err, PN_ERR_SPEC, "column %d: layer %s, %s, has %.0f outputs; accepted: at most %d", l->word.column,
                    l->path, l->text, out, MAX_FEATURES);

    const int64_t k = kernel * kernel * channels;
    l->n_params = l->word.arg[CONV_BIAS].choice == NO ? 1 : 2;
    l->param[WEIGHTS] =
        (parameter){.name = "W", .rank = 4, .dim = {kernel, kernel, channels, n}, .size = (size_t)(k * n)};
    l->param[BIASES] = (parameter){.name = "b", .rank = 1, .dim = {n}, .size = (size_t)n};
    l->uses = l->out.dim[1] * l->out.dim[2];
    l->winograd = winograd_pays(l);
    l->scratch.inference_size = padded(n) + (l->winograd ? winograd_scratch(l) : padded(k) + padded(l->uses));
    l->scratch.size = l->scratch.inference_size + padded(k * n) + (l->winograd ? winograd_scratch(l) : 0);
    l->scratch.thread_size = l->winograd ? winograd_thread_scratch(l) : (uint64_t)n * padded(k); /* W transposed */
    l->scratch.thread_inference = l->winograd;
    return PN_OK;
}

/* Scratch: the gradient of b; two tables of offsets: of each number of a patch from the patch's first one, and of the
   patch of each output position from the start of the image; and the gradient of W. Or, in Winograd's way, the transformed
   kernels instead of the tables, and after the gradient of W once more, transposed. */
static float *conv_bias_gradient(const layer *l)
{
    return l->scratch.data;
}

static int32_t *tap_offsets(const layer *l)
{
    return (int32_t *)(conv_bias_gradient(l) + padded(l->out.dim[0]));
}

static int32_t *position_offsets(const layer *l)
{
    return tap_offsets(l) + padded(sizes_of(l).k);
}

static float *conv_weight_gradient(const layer *l)
{
    return l->scratch.data + l->scratch.inference_size;
}

static void conv_fill_tables(layer *l)
{
    const sizes s = sizes_of(l);
    if (l->winograd)
        return;
    int32_t *tap = tap_offsets(l), *position = position_offsets(l);
    for (int y = 0; y < s.kernel; y++)
        for (int i = 0; i < s.kernel * s.channels; i++)
            *tap++ = y * s.width * s.channels + i;
    for (int y = 0; y < s.out_height; y++)
        for (int x = 0; x < s.out_width; x++)
            *position++ = (y * s.width + x) * s.stride * s.channels;
}

/* b; without bias zeros. */
const float *conv_biases(const layer *l)
{
    return l->n_params > BIASES ? l->param[BIASES].data : conv_bias_gradient(l);
}

static void conv_init(layer *l, uint64_t seed)
{
    const sizes s = sizes_of(l);
    init_weights(l, s.k, (double)s.n * s.kernel * s.kernel, (init_kind)l->word.arg[CONV_INIT].choice, seed);
}

/* y (positions, n) = patches (positions, k) W (k, n) + b (n), image by image. */
static void conv_forward(layer *l, const pass *p)
{
    if (l->winograd) {
        winograd_forward(l, p);
        return;
    }
    const sizes s = sizes_of(l);
    const activation x = layer_input(l, p), y = layer_output(l, p);
    gemm_args g = {
        .ldc = (size_t)s.n,
        .B = l->param[WEIGHTS].data,
        .ldb = (size_t)s.n,
        .m = s.positions,
        .n = s.n,
        .k = s.k,
        .row_at = position_offsets(l),
        .col_at = tap_offsets(l),
        .epi = {.kind = fuses_relu(l, p) ? EPI_BIAS_RELU : EPI_BIAS, .bias = conv_biases(l)},
    };
    EACH_OWN_ROW (i, p) {
        g.A = row_of(x, i);
        g.C = row_of(y, i);
        kernels()->gemm(&g);
    }
}

/* dx += dy W^T, patch by patch. Each product handles one row of the kernel and one column of the output: those parts of
   the patches do not overlap, so its rows of C are independent. */
static void conv_backward(layer *l, const pass *p)
{
    if (l->winograd) {
        winograd_backward(l, p);
        return;
    }
    const sizes s = sizes_of(l);
    const activation dx = layer_input_gradient(l, p);
    float *W_transposed = l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size;
    const size_t row = (size_t)s.kernel * (size_t)s.channels, image_row = (size_t)s.width * (size_t)s.channels;
    const size_t image = l->copy_size ? l->copy_size : (size_t)shape_size(&l->in);
    gemm_args g = {
        .ldc = (size_t)s.stride * image_row,
        .row_a = (size_t)s.out_width * (size_t)s.n,
        .col_a = 1,
        .ldb = padded(s.k),
        .m = s.out_height,
        .n = (int)row,
        .k = s.n,
        .ldstart = (size_t)s.stride * image_row,
    };
    kernels()->transpose(W_transposed, padded(s.k), l->param[WEIGHTS].data, (size_t)s.n, s.k, s.n);
    EACH_OWN_ROW (i, p) {
        memset(row_of(dx, i), 0, image * sizeof *dx.data);
        for (size_t y = 0; y < (size_t)s.kernel; y++)
            for (size_t x = 0; x < (size_t)s.out_width; x++) {
                g.C = row_of(dx, i) + y * image_row + x * (size_t)s.stride * (size_t)s.channels;
                g.start = g.C;
                g.A = row_of(l->dy, i) + x * (size_t)s.n;
                g.B = W_transposed + y * row;
                kernels()->gemm(&g);
            }
    }
}

/* dW (k,n) = patches^T dy and db (n) = column sums of dy, this thread's part: each element is one chain of sums over all
   positions of all images in order. */
static void weight_gradient(layer *l, const pass *p, float *dW, float *db)
{
    const sizes s = sizes_of(l);
    const activation x = layer_input(l, p);
    const size_t n = (size_t)s.n;
    int from, to;
    my_part(p, s.k, CONV_GRAIN, &from, &to);
    dW += (size_t)from * n;
    gemm_args g = {
        .C = dW,
        .start = dW,
        .ldc = n,
        .ldstart = n,
        .ldb = n,
        .m = to - from,
        .n = s.n,
        .k = s.positions,
        .row_at = tap_offsets(l) + from,
        .col_at = position_offsets(l),
    };
    memset(dW, 0, (size_t)(to - from) * n * sizeof *dW);
    for (size_t i = 0; i < (size_t)p->rows; i++) {
        g.A = row_of(x, i);
        g.B = row_of(l->dy, i);
        kernels()->gemm(&g);
    }
    if (p->opt)
        optim_apply(p->opt, &l->param[WEIGHTS], (size_t)from * n, dW, (size_t)(to - from) * n);
    if (!db)
        return;
    my_part(p, s.n, PAD, &from, &to);
    memset(db + from, 0, (size_t)(to - from) * sizeof *db);
    for (size_t i = 0; i < (size_t)p->rows; i++)
        kernels()->column_sums(db + from, row_of(l->dy, i) + from, n, s.positions, to - from, true);
}

static void conv_update(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS], *b = l->n_params > BIASES ? &l->param[BIASES] : NULL;
    float *dW = p->opt ? conv_weight_gradient(l) : W->grad, *db = b ? conv_bias_gradient(l) : NULL;
    if (l->winograd)
        winograd_weight_gradient(l, p, dW, db);
    else
        weight_gradient(l, p, dW, db);
    int from, to;
    my_part(p, (int)l->out.dim[0], PAD, &from, &to);
    if (b)
        parameter_take_gradient(b, p, db, from, to);
}

const layer_ops conv_ops = {
    .on_images = true,
    .fuses_forward = true,
    .shape = conv_shape,
    .fill_tables = conv_fill_tables,
    .init = conv_init,
    .forward = conv_forward,
    .begin = winograd_begin,
    .backward = conv_backward,
    .update = conv_update,
};
