/* The kernel table: all arithmetic on arrays, compiled once for each instruction set. */
#ifndef PN_KERNELS_H
#define PN_KERNELS_H

#include "kernels/platform.h"

#include <stdint.h>

/* A step of an optimizer: g = scale dw, clipped to [-clip, clip]; g += l2 w; w *= keep; then, with its state a and
   b: */
typedef enum {
    UPDATE_SGD,      /* w -= rate g */
    UPDATE_MOMENTUM, /* a = momentum a + g; w -= rate a */
    UPDATE_NESTEROV, /* a = momentum a + g; w -= rate (momentum a + g) */
    UPDATE_RMSPROP,  /* a = beta2 a + rest2 g^2; w -= rate g / (sqrt(a) + epsilon) */
    UPDATE_ADAM      /* a += rest1 (g - a); b = beta2 b + rest2 g^2; w -= rate a / (root sqrt(b) + epsilon) */
} update_kind;

/* The constants of one step. */
typedef struct {
    update_kind kind;
    bool plain; /* scale and keep are 1, clip is infinite, l2 is 0 */
    float scale, clip, l2, keep;
    float rate, momentum, rest1, beta2, rest2, root, epsilon;
} update_rule;

/* What is done to a tile of sums before it is stored to C. */
typedef enum {
    EPI_STORE,     /* C = sum */
    EPI_BIAS,      /* C = sum + bias */
    EPI_BIAS_RELU, /* C = max(sum + bias, 0) */
    EPI_RELU_GRAD, /* C = sum where y > 0, else 0 */
    EPI_UPDATE     /* C holds weights, the sums are their gradients: a plain step of UPDATE_SGD or UPDATE_MOMENTUM */
} epilogue_kind;

typedef struct {
    epilogue_kind kind;
    const float *bias; /* (n) */
    const float *y;    /* (m,n), leading dimension ldy */
    size_t ldy;
    const update_rule *rule;
    float *state; /* a of the rule, leading dimension ldc */
} epilogue;

/* Weights w, optimizer state a and b (as far as the kind uses them), leading dimension ld; gradients dw; all (m,n). */
typedef struct {
    float *w, *a, *b;
    const float *dw;
    size_t ld, lddw;
    int m, n;
} update_args;

/* C (m,n) = A (m,k) B (k,n), then the epilogue. A[i][p] is A[i*row_a + p*col_a], so that A may be transposed.
   start, unless NULL: initial values of the sums, (m,n); may be C.
   mask, unless NULL: A[i][p] is not zero if bit p % 64 of mask[i*row_words + p/64] is set, p/64 < words; products with
   zeros are skipped.
   bytes, unless NULL: A in bytes, in the same layout; A[i][p] is byte_values[byte]. Needs a mask. */
typedef struct {
    float *C;
    const float *A, *B;
    size_t ldc, row_a, col_a, ldb;
    int m, n, k;
    const float *start;
    size_t ldstart;
    const uint64_t *mask;
    size_t row_words, words;
    const uint8_t *bytes;
    const float *byte_values;       /* (256) */
    const int32_t *row_at, *col_at; /* (m), (k); unless NULL, A[i][p] is A[row_at[i] + col_at[p]] */
    epilogue epi;
} gemm_args;

/* An array of rows of n channels: `runs` runs of `count` rows, with a stride from run to run and one from row to
   row. */
typedef struct {
    int runs, count, n;
    size_t run_stride, row_stride;
} channel_rows;

/* y = gamma (x - mean) / sqrt(variance + epsilon) + beta; all (n). count: the rows that mean and variance are of. */
typedef struct {
    const float *mean, *variance, *gamma, *beta;
    float epsilon, count;
} channel_norm;

/* Element i of a kernel's array is number first + i stride of its row: it is kept, times scale, if the random bits of
   that number under this key reach the threshold, else zeroed. */
typedef struct {
    uint64_t key;
    uint32_t threshold;
    float scale;
    size_t first, stride;
} dropout_mask;

/* The windows of a pooling layer on an image (height, width, channels); all lie inside the image. */
typedef struct {
    int height, width, channels;
    int out_height, out_width;
    int window_height, window_width, stride;
} windows;

/* Images cut into tiles of 2 by 2 pixels, numbered along rows, down, then from image to image. `pixel` and `image` are
   the distances in floats from one to the next; `channels` of each pixel are used. A patch starts `top` rows above its
   tile and `left` columns before it; outside of the image are zeros. */
typedef struct {
    int height, width, channels;
    int tiles_down, tiles_across;
    int top, left;
    size_t pixel, image;
} tiled_images;

/* y (m) = A (m,k) x (k), plus y with accumulate; y and x have strides. Each sum uses the 16 lanes of rows.inc. */
typedef struct {
    float *y;
    const float *A, *x;
    size_t stride_y, lda, stride_x;
    int m, k;
    bool accumulate;
} dots_args;

/* A map for resampling an image (height, width): output pixel (row, column) is the input at y = yx column + yy row +
   y0, x = xx column + xy row + x0, plus the offsets dy and dx (height, width) of that pixel unless they are NULL. The
   input has a border of zeros: one pixel on the left and at the top, BORDER - 1 on the right and at the bottom. */
enum { BORDER = 3 };
typedef struct {
    int height, width;
    float xx, xy, x0, yx, yy, y0;
    const float *dx, *dy;
} resampling;

typedef struct {
    const char *name;
    void (*gemm)(const gemm_args *g);
    void (*dots)(const dots_args *d);
    /* Winograd's convolution, see winograd.inc; `plane` is the distance from one component to the next */
    void (*winograd_patches)(float *patches, size_t plane, const float *x, const tiled_images *t, size_t first,
                             size_t count, int from_row, int to_row);
    void (*winograd_gradients)(float *gradients, size_t plane, const float *dy, const tiled_images *t, size_t first,
                               size_t count, int from_row, int to_row);
    void (*winograd_outputs)(float *y, const float *M, size_t plane, const tiled_images *t, size_t first, size_t count,
                             const epilogue *e);
    void (*winograd_kernels)(float *U, const float *g, size_t plane, size_t n);
    void (*winograd_kernel_gradients)(float *dg, const float *S, size_t plane, size_t n);
    void (*transpose)(float *y, size_t ldy, const float *x, size_t ldx, int m, int n); /* y (n,m) = x (m,n) */
    void (*bias)(float *y, size_t ldy, const float *x, size_t ldx, const float *b, int m, int n);
    void (*column_sums)(float *db, const float *dy, size_t ldy, int m, int n, bool accumulate);
    void (*relu)(float *y, const float *x, size_t n);
    void (*relu_grad)(float *dx, const float *dy, const float *y, size_t n);
    void (*leaky_relu)(float *y, const float *x, size_t n, float slope);
    void (*leaky_relu_grad)(float *dx, const float *dy, const float *y, size_t n, float slope);
    void (*gelu)(float *y, const float *x, size_t n);
    void (*gelu_grad)(float *dx, const float *dy, const float *x, size_t n);
    void (*sigmoid)(float *y, const float *x, size_t n);
    void (*sigmoid_grad)(float *dx, const float *dy, const float *y, size_t n);
    void (*tanh)(float *y, const float *x, size_t n);
    void (*tanh_grad)(float *dx, const float *dy, const float *y, size_t n);
    void (*softmax)(float *p, size_t ldp, const float *x, size_t ldx, int m, int n, float temperature);
    void (*softmax_grad)(float *dx, size_t lddx, const float *dp, size_t lddp, const float *p, size_t ldp, int m,
                         int n);
    void (*cross_entropy)(float *loss, float *dx, size_t lddx, const float *x, size_t ldx, const int32_t *labels, int m,
                          int n, float scale, float smoothing);
    void (*binary_cross_entropy)(float *loss, float *dx, size_t lddx, const float *x, size_t ldx, const float *y,
                                 size_t ldy, int m, int n, float scale);
    void (*scale)(float *y, size_t n, float factor); /* y *= factor */
    void (*squared_error)(float *loss, float *dp, size_t lddp, const float *p, size_t ldp, const float *y, size_t ldy,
                          int m, int n, float scale);
    /* Huber's loss; delta 0: absolute error */
    void (*robust_error)(float *loss, float *dp, size_t lddp, const float *p, size_t ldp, const float *y, size_t ldy,
                         int m, int n, float scale, float delta);
    void (*channel_moments)(float *mean, float *variance, const float *x, const channel_rows *r);
    /* relu: then y = max(y, 0) */
    void (*channel_normalise)(float *y, const float *x, const channel_norm *c, const channel_rows *r, bool relu);
    /* sums over the rows: dgamma of dy times normalised x, dbeta of dy */
    void (*channel_sums)(float *dgamma, float *dbeta, const float *dy, const float *x, const channel_norm *c,
                         const channel_rows *r);
    /* dgamma NULL: mean and variance are constants, as in inference */
    void (*channel_grad)(float *dx, const float *dy, const float *x, const channel_norm *c, const float *dgamma,
                         const float *dbeta, const channel_rows *r);
    void (*blend)(float *y, const float *x, size_t n, float weight, float factor); /* y += weight (factor x - y) */
    /* stats (m,2): mean and 1 / standard deviation of each row; layernorm writes them, the others read them */
    void (*layernorm)(float *y, size_t ldy, const float *x, size_t ldx, const float *gamma, const float *beta,
                      float *stats, int m, int n, float epsilon);
    void (*layernorm_grad)(float *dx, size_t lddx, const float *dy, size_t lddy, const float *x, size_t ldx,
                           const float *gamma, const float *stats, int m, int n);
    void (*layernorm_sums)(float *dgamma, float *dbeta, const float *dy, size_t lddy, const float *x, size_t ldx,
                           const float *stats, int m, int n);
    void (*dropout)(float *y, const float *x, size_t n, const dropout_mask *mask);
    void (*add)(float *y, const float *a, const float *b, size_t n);
    void (*update)(const update_rule *r, const update_args *u);
    float (*sum_squares)(const float *x, size_t n);
    void (*maxpool)(float *y, const float *x, const windows *w); /* one image, as the next three */
    void (*maxpool_grad)(float *dx, const float *dy, const float *x, const float *y, const windows *w, bool relu);
    void (*avgpool)(float *y, const float *x, const windows *w);
    void (*avgpool_grad)(float *dx, const float *dy, const windows *w);
    void (*resample)(float *y, const float *bordered, const resampling *r); /* bilinear */
    void (*scale_u8)(float *y, const uint8_t *x, size_t n);                 /* y = x / 255 */
    void (*nonzero)(uint64_t *mask, const float *x, size_t n);              /* bit i: x[i] != 0; true for NaN */
    void (*nonzero_u8)(uint64_t *mask, const uint8_t *x, size_t n);
    void (*transpose_bits)(uint64_t bits[64]);               /* swaps bit j of bits[i] and bit i of bits[j] */
    bool (*copy_finite)(float *y, const float *x, size_t n); /* y = x; are all of them finite? */
    /* y = (x - mean) / scale, or with mean NULL x / scale; are all of them finite? y may be x */
    bool (*standardize)(float *y, const float *x, const float *mean, const float *scale, size_t n);
    /* y = x scale + mean, or with mean NULL x scale; y may be x */
    void (*rescale)(float *y, const float *x, const float *mean, const float *scale, size_t n);
    size_t (*first_nonfinite)(const float *x, size_t n); /* its index, or n */
    int (*argmax)(const float *x, int n);                /* index of the first maximum */
} kernel_table;

extern const kernel_table kernels_portable;
#if defined(__x86_64__)
extern const kernel_table kernels_avx2, kernels_avx512;
#elif defined(__aarch64__)
extern const kernel_table kernels_neon;
#elif defined(__wasm_simd128__)
extern const kernel_table kernels_wasm;
#endif

/* The table in use. */
const kernel_table *kernels(void);

#endif
