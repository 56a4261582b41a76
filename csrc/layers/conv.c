/* conv(channels, kernel, stride, pad): every place of the output sees a patch of the image, kernel by kernel places of all
   channels, through the same weights: y (places, n) = patches (places, k) W (k, n) + b (n) with k = kernel kernel channels.
   So W is (kernel, kernel, channels_in, channels_out), dense's (n_in, n_out) with the patch as input. The patches of a
   batch would be k/channels times its size; the matrix product reads them from the images instead, through two tables
   (Chetlur et al. 2014 call it implicit). Twin: Conv in pynet/reference/layers.py. */
#include "layers/layer.h"

#include <string.h>

enum { CONV_CHANNELS, CONV_KERNEL, CONV_STRIDE, CONV_PADDING, CONV_INIT, CONV_BIAS }; /* arguments */
enum { CONV_GRAIN = 4 }; /* rows of W that a thread owns: half a tile's */

/* Sizes of the image with its frame, in places, and of the sums. */
typedef struct {
    int kernel, stride, width, channels;
    int out_height, out_width, positions; /* places = out_height out_width */
    int k, n;
} sizes;

static sizes sizes_of(const layer *l)
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

/* pad=same: ceil(in / stride) places, the zeros for it shared by both sides, an odd one at the end. */
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
                    l->path, l->text, weights, INT32_MAX);
    if (out > MAX_FEATURES)
        return fail(err, PN_ERR_SPEC, "column %d: layer %s, %s, puts out %.0f features; accepted: at most %d",
                    l->word.column, l->path, l->text, out, MAX_FEATURES);

    const int64_t k = kernel * kernel * channels;
    l->n_params = l->word.arg[CONV_BIAS].choice == NO ? 1 : 2;
    l->param[WEIGHTS] =
        (parameter){.name = "W", .rank = 4, .dim = {kernel, kernel, channels, n}, .size = (size_t)(k * n)};
    l->param[BIASES] = (parameter){.name = "b", .rank = 1, .dim = {n}, .size = (size_t)n};
    l->uses = l->out.dim[1] * l->out.dim[2];
    l->scratch.size = padded(k * n) + padded(n) + padded(k) + padded(l->uses);
    l->scratch.thread_size = (size_t)n * padded(k); /* W transposed */
    return PN_OK;
}

/* Scratch: the gradients of W and b, and the tables of offsets in an image: of the patch at each place of the output, and
   of each place in a patch. */
static float *conv_weight_gradient(const layer *l)
{
    return l->scratch.data;
}

static float *conv_bias_gradient(const layer *l)
{
    return conv_weight_gradient(l) + padded((int64_t)l->param[WEIGHTS].size);
}

static int32_t *tap_offsets(const layer *l)
{
    return (int32_t *)(conv_bias_gradient(l) + padded(l->out.dim[0]));
}

static int32_t *position_offsets(const layer *l)
{
    return tap_offsets(l) + padded(sizes_of(l).k);
}

static void conv_fill_tables(layer *l)
{
    const sizes s = sizes_of(l);
    int32_t *tap = tap_offsets(l), *fill_tables = position_offsets(l);
    for (int y = 0; y < s.kernel; y++)
        for (int i = 0; i < s.kernel * s.channels; i++)
            *tap++ = y * s.width * s.channels + i;
    for (int y = 0; y < s.out_height; y++)
        for (int x = 0; x < s.out_width; x++)
            *fill_tables++ = (y * s.width + x) * s.stride * s.channels;
}

/* b, or zeros. */
static const float *conv_biases(const layer *l)
{
    return l->n_params > BIASES ? l->param[BIASES].data : conv_bias_gradient(l);
}

static void conv_init(layer *l, uint64_t seed, uint64_t stream)
{
    const sizes s = sizes_of(l);
    init_weights(l, s.k, (double)s.n * s.kernel * s.kernel, (init_kind)l->word.arg[CONV_INIT].choice, seed, stream);
}

/* y (places, n) = patches (places, k) W (k, n) + b (n), image by image. */
static void conv_forward(layer *l, const pass *p)
{
    const sizes s = sizes_of(l);
    const bool relu = p->fuse && l->after && l->after->fused_forward;
    const activation x = layer_input(l, p), y = relu ? l->after->y : l->y;
    gemm_args g = {
        .ldc = (size_t)s.n,
        .B = l->param[WEIGHTS].data,
        .ldb = (size_t)s.n,
        .m = s.positions,
        .n = s.n,
        .k = s.k,
        .row_at = position_offsets(l),
        .col_at = tap_offsets(l),
        .epi = {.kind = relu ? EPI_BIAS_RELU : EPI_BIAS, .bias = conv_biases(l)},
    };
    EACH_OWN_ROW (i, p) {
        g.A = row_of(x, i);
        g.C = row_of(y, i);
        kernels()->gemm(&g);
    }
}

/* dx += dy W^T, patch by patch. The patches of one column of the output, the rows of C here, overlap by whole rows of the
   kernel only: taken one row of the kernel at a time, they do not. */
static void conv_backward(layer *l, const pass *p)
{
    const sizes s = sizes_of(l);
    const activation dx = layer_input_gradient(l);
    float *W_transposed =
        l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size; /* by each thread for itself */
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

/* dW (k,n) = patches^T dy and db (n) = the column sums of dy: one chain an element over the places of one image after the
   other. */
static void conv_update(layer *l, const pass *p)
{
    const sizes s = sizes_of(l);
    const parameter *W = &l->param[WEIGHTS], *b = &l->param[BIASES];
    const activation x = layer_input(l, p);
    const size_t n = (size_t)s.n;
    int from, to;
    my_part(p, s.k, CONV_GRAIN, &from, &to);
    float *dW = (p->opt ? conv_weight_gradient(l) : W->grad) + (size_t)from * n;
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
        optim_apply(p->opt, W, (size_t)from * n, dW, (size_t)(to - from) * n);

    if (l->n_params <= BIASES)
        return;
    my_part(p, s.n, PAD, &from, &to);
    float *db = (p->opt ? conv_bias_gradient(l) : b->grad) + from;
    memset(db, 0, (size_t)(to - from) * sizeof *db);
    for (size_t i = 0; i < (size_t)p->rows; i++)
        kernels()->column_sums(db, row_of(l->dy, i) + from, n, s.positions, to - from, true);
    if (p->opt)
        optim_apply(p->opt, b, (size_t)from, db, (size_t)(to - from));
}

const layer_ops conv_ops = {
    .on_images = true,
    .fuses_forward = true,
    .shape = conv_shape,
    .fill_tables = conv_fill_tables,
    .init = conv_init,
    .forward = conv_forward,
    .backward = conv_backward,
    .update = conv_update,
};
