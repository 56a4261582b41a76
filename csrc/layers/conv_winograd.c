/* Convolutions by 3 by 3 kernels with stride 1 in Winograd's way, with 16 instead of 36 products for 2 by 2 outputs;
   formulas in kernels/winograd.inc. Tiles are transformed in blocks that stay in the second-level cache. */
#include "base/threads.h"
#include "layers/conv.h"

#include <string.h>

enum {
    COMPONENTS = 16,     /* of a transformed tile, in 4 rows */
    CHANNEL_GRAIN = 16,  /* kernels work on multiples of it */
    MIN_TILES = 4,       /* in an image: below, transforming the kernels takes longer than the products */
    BLOCK_FLOATS = 4096, /* of each component of a block, inputs and outputs */
    TILE_GRAIN = 8       /* rows of the tiles of the matrix product */
};

static int half_up(int64_t n)
{
    return (int)((n + 1) / 2);
}

bool winograd_pays(const layer *l)
{
    const sizes s = sizes_of(l);
    const image_padding z = l->padding;
    const int64_t tiles = (int64_t)half_up(s.out_height) * half_up(s.out_width);
    return s.kernel == 3 && s.stride == 1 && s.channels % CHANNEL_GRAIN == 0 && s.n % CHANNEL_GRAIN == 0 &&
           z.top <= 2 && z.bottom <= 2 && z.left <= 2 && z.right <= 2 && /* the padding of dy is 2 - z */
           tiles >= MIN_TILES && 16 * tiles <= 7 * (int64_t)s.positions; /* products: 16 tiles instead of 9 positions */
}

static size_t kernel_plane(const layer *l)
{
    return (size_t)l->in.dim[0] * (size_t)l->out.dim[0];
}

size_t winograd_scratch(const layer *l)
{
    return COMPONENTS * kernel_plane(l);
}

/* In update, their gradients. */
static float *transformed(const layer *l)
{
    return l->scratch.data + padded(l->out.dim[0]);
}

static float *transposed_kernels(const layer *l)
{
    return l->scratch.data + l->scratch.size - winograd_scratch(l);
}

/* Number of tiles in a block: the sums of a thread over tiles run in order, whatever it is. */
static size_t block_tiles(const layer *l)
{
    const size_t tiles = BLOCK_FLOATS / (size_t)(l->in.dim[0] + l->out.dim[0]) / TILE_GRAIN * TILE_GRAIN;
    return tiles > 2 * TILE_GRAIN ? tiles : 2 * TILE_GRAIN;
}

/* The distance from component to component of a block; not a power of 2, at which first-level caches have few lines. */
static size_t plane_of(const layer *l, int channels)
{
    return block_tiles(l) * (size_t)channels + PAD;
}

size_t winograd_thread_scratch(const layer *l)
{
    return COMPONENTS * (plane_of(l, (int)l->in.dim[0]) + plane_of(l, (int)l->out.dim[0]));
}

/* Images of `shape` in rows of `a`, in the tiles of images `tiled`, with patches for zero padding top and left. */
static tiled_images images_of(const shape *s, activation a, const shape *tiled, int top, int left)
{
    return (tiled_images){
        .height = (int)s->dim[1],
        .width = (int)s->dim[2],
        .channels = (int)s->dim[0],
        .tiles_down = half_up(tiled->dim[1]),
        .tiles_across = half_up(tiled->dim[2]),
        .top = top,
        .left = left,
        .pixel = (size_t)s->dim[0],
        .image = a.ld,
    };
}

static size_t tiles_in(const tiled_images *t)
{
    return (size_t)t->tiles_down * (size_t)t->tiles_across;
}

/* This thread's kernels: channels [from, to) of x. */
static void own_kernels(const layer *l, const pass *p, int *from, int *to)
{
    my_part(p, (int)l->in.dim[0], CHANNEL_GRAIN, from, to);
}

void winograd_begin(layer *l, const pass *p)
{
    const size_t n = (size_t)l->out.dim[0], plane = kernel_plane(l);
    int from, to;
    if (!l->winograd)
        return;
    own_kernels(l, p, &from, &to);
    float *U = transformed(l) + (size_t)from * n;
    kernels()->winograd_kernels(U, l->param[WEIGHTS].data + (size_t)from * n, plane, (size_t)(to - from) * n);
    for (size_t i = 0; i < COMPONENTS && !p->own_rows; i++) /* prediction has no backward */
        kernels()->transpose(transposed_kernels(l) + i * plane + from, (size_t)l->in.dim[0], U + i * plane, n,
                             to - from, (int)n);
}

/* y = convolution of x, for this thread's rows. U: the transformed kernels; component i of them is plane order[i]. */
static void convolve(layer *l, const pass *p, activation y, const tiled_images *out, activation x,
                     const tiled_images *in, const float *U, const int *order, const epilogue *epi)
{
    const row_range rows = my_rows(p);
    const size_t block = block_tiles(l), end = rows.to * tiles_in(out);
    const size_t plane_x = plane_of(l, in->channels), plane_y = plane_of(l, out->channels);
    float *V = l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size, *M = V + COMPONENTS * plane_x;
    gemm_args g = {
        .ldc = (size_t)out->channels,
        .row_a = (size_t)in->channels,
        .col_a = 1,
        .ldb = (size_t)out->channels,
        .n = out->channels,
        .k = in->channels,
    };
    for (size_t first = rows.from * tiles_in(out); first < end; first += block) {
        const size_t count = end - first < block ? end - first : block;
        g.m = (int)count;
        kernels()->winograd_patches(V, plane_x, x.data, in, first, count, 0, 4);
        for (size_t i = 0; i < COMPONENTS; i++) {
            g.A = V + i * plane_x;
            g.B = U + (size_t)(4 * order[i / 4] + order[i % 4]) * kernel_plane(l);
            g.C = M + i * plane_y;
            kernels()->gemm(&g);
        }
        kernels()->winograd_outputs(y.data, M, plane_y, out, first, count, epi);
    }
}

void winograd_forward(layer *l, const pass *p)
{
    static const int order[] = {0, 1, 2, 3};
    const activation x = layer_input(l, p), y = layer_output(l, p);
    const tiled_images in = images_of(&l->in, x, &l->out, l->padding.top, l->padding.left);
    const tiled_images out = images_of(&l->out, y, &l->out, 0, 0);
    const epilogue epi = {.kind = fuses_relu(l, p) ? EPI_BIAS_RELU : EPI_BIAS, .bias = conv_biases(l)};
    convolve(l, p, y, &out, x, &in, transformed(l), order, &epi);
}

/* dx is the convolution of dy with rotated kernels, which changes the first and the last row and column of the
   transformed ones. */
void winograd_backward(layer *l, const pass *p)
{
    static const int order[] = {3, 1, 2, 0};
    const tiled_images in = images_of(&l->out, l->dy, &l->in, 2 - l->padding.top, 2 - l->padding.left);
    const bool relu = fuses_relu_grad(l, p);
    const activation dx = layer_input_gradient(l, p);
    const tiled_images out = images_of(&l->in, dx, &l->in, 0, 0);
    const epilogue epi = {.kind = relu ? EPI_RELU_GRAD : EPI_STORE, .y = relu ? layer_input(l, p).data : NULL};
    convolve(l, p, dx, &out, l->dy, &in, transposed_kernels(l), order, &epi);
}

/* The transformed gradients of this thread's part of the kernels, in place of the transformed kernels: sums over all
   tiles of the products of patches of x and gradients dy. Its part are rows [from, to) of the four rows of components,
   one after another. Whoever has the first channel of row 1, in which is the sum of the gradients of each tile, also
   computes db (n). */
static void sum_tiles(layer *l, const pass *p, float *db, int from, int to)
{
    const activation x = layer_input(l, p);
    const int channels = (int)l->in.dim[0], n = (int)l->out.dim[0];
    tiled_images in = images_of(&l->in, x, &l->out, l->padding.top, l->padding.left);
    const tiled_images out = images_of(&l->out, l->dy, &l->out, 0, 0);
    const size_t block = block_tiles(l), end = (size_t)p->rows * tiles_in(&out);
    const size_t plane_x = plane_of(l, channels), plane_y = plane_of(l, n), plane = kernel_plane(l);
    float *V = l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size, *Z = V + COMPONENTS * plane_x;
    gemm_args g = {.ldc = (size_t)n, .ldstart = (size_t)n, .row_a = 1, .ldb = (size_t)n, .n = n};
    for (int rows; from < to; from += rows * g.m) { /* whole rows of components, or some channels of one */
        const int row = from / channels, c = from % channels, left = min_int(channels - c, to - from);
        rows = left == channels ? (to - from) / channels : 1;
        in.channels = g.m = left;
        g.col_a = (size_t)left;
        const size_t components = 4 * (size_t)rows;
        const bool sums_biases = db && row <= 1 && row + rows > 1 && c == 0;
        float *S = transformed(l) + (size_t)(4 * row) * plane + (size_t)c * (size_t)n;
        for (size_t i = 0; i < components; i++)
            memset(S + i * plane, 0, (size_t)left * (size_t)n * sizeof *S);
        if (sums_biases)
            memset(db, 0, (size_t)n * sizeof *db);
        for (size_t first = 0; first < end; first += block) {
            const size_t count = end - first < block ? end - first : block;
            kernels()->winograd_patches(V, plane_x, x.data + c, &in, first, count, row, row + rows);
            kernels()->winograd_gradients(Z, plane_y, l->dy.data, &out, first, count, row, row + rows);
            g.k = (int)count;
            for (size_t i = 0; i < components; i++) {
                g.A = V + i * plane_x;
                g.B = Z + i * plane_y;
                g.C = S + i * plane;
                g.start = g.C;
                kernels()->gemm(&g);
            }
            if (sums_biases)
                kernels()->column_sums(db, Z + (size_t)(4 * (1 - row) + 1) * plane_y, (size_t)n, (int)count, n, true);
        }
    }
}

void winograd_weight_gradient(layer *l, const pass *p, float *dW, float *db)
{
    const size_t n = (size_t)l->out.dim[0], plane = kernel_plane(l);
    int from, to;
    my_part(p, 4 * (int)l->in.dim[0], CHANNEL_GRAIN, &from, &to);
    sum_tiles(l, p, db, from, to);
    pool_barrier(p->threads);
    own_kernels(l, p, &from, &to);
    const size_t at = (size_t)from * n, count = (size_t)(to - from) * n;
    kernels()->winograd_kernel_gradients(dW + at, transformed(l) + at, plane, count);
    if (!p->opt)
        return;
    for (size_t i = 0; i < 9; i++)
        optim_apply(p->opt, &l->param[WEIGHTS], i * plane + at, dW + i * plane + at, count);
    winograd_begin(l, p);
}
