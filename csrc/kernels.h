/* The kernel table: every function that does float arithmetic on tensors, once per instruction set. */
#ifndef PN_KERNELS_H
#define PN_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens to a finished tile of sums before it is stored to C. */
typedef enum {
    EPI_STORE,     /* C = sum */
    EPI_BIAS,      /* C = sum + bias */
    EPI_BIAS_RELU, /* C = max(sum + bias, 0) */
    EPI_RELU_GRAD, /* C = sum where y > 0, else 0 */
    EPI_SGD        /* C = C - learning_rate * sum: C is the weight, the sum its gradient */
} epilogue_kind;

typedef struct {
    epilogue_kind kind;
    const float *bias; /* (n) */
    const float *y;    /* (m,n), ldy floats from row to row */
    size_t ldy;
    float learning_rate;
} epilogue;

/* How an optimizer moves weights: g = scale dw, cut to [-clip, clip], plus l2 w; w *= keep; then, with its memory a and b, */
typedef enum {
    UPDATE_SGD,      /* w -= rate g */
    UPDATE_MOMENTUM, /* a = momentum a + g; w -= rate a */
    UPDATE_NESTEROV, /* a = momentum a + g; w -= rate (momentum a + g) */
    UPDATE_RMSPROP,  /* a = beta2 a + rest2 g^2; w -= rate g / (sqrt(a) + epsilon) */
    UPDATE_ADAM      /* a += rest1 (g - a); b = beta2 b + rest2 g^2; w -= rate a / (root sqrt(b) + epsilon) */
} update_kind;

/* The constants of one step, worked out once. */
typedef struct {
    update_kind kind;
    bool plain; /* scale and keep are 1, clip is infinite, l2 is 0 */
    float scale, clip, l2, keep;
    float rate, momentum, rest1, beta2, rest2, root, epsilon;
} update_rule;

/* Weights, a and b as far as the kind has them, all with ld floats from row to row, and gradients; (m,n). */
typedef struct {
    float *w, *a, *b;
    const float *dw;
    size_t ld, lddw;
    int m, n;
} update_args;

/* C (m,n) = A (m,k) B (k,n), then the epilogue. A[i][p] lies at A[i*row_a + p*col_a], so a transposed A costs nothing.
   start, unless NULL: where each sum starts, (m,n), may be C. mask, unless NULL: bit p % 64 of mask[i*row_words + p/64],
   p/64 < words, tells whether A[i][p] is not zero; other products are not computed. */
typedef struct {
    float *C;
    const float *A, *B;
    size_t ldc, row_a, col_a, ldb;
    int m, n, k;
    const float *start;
    size_t ldstart;
    const uint64_t *mask;
    size_t row_words, words;
    epilogue epi;
} gemm_args;

typedef struct {
    const char *name;
    void (*gemm)(const gemm_args *g);
    void (*transpose)(float *y, size_t ldy, const float *x, size_t ldx, int m, int n); /* y (n,m) = x (m,n) */
    void (*bias)(float *y, size_t ldy, const float *x, size_t ldx, const float *b, int m, int n);
    void (*column_sums)(float *db, const float *dy, size_t ldy, int m, int n);
    void (*relu)(float *y, const float *x, size_t n);
    void (*relu_grad)(float *dx, const float *dy, const float *y, size_t n);
    void (*leaky_relu)(float *y, const float *x, size_t n, float slope);
    void (*leaky_relu_grad)(float *dx, const float *dy, const float *y, size_t n, float slope);
    void (*sigmoid)(float *y, const float *x, size_t n);
    void (*sigmoid_grad)(float *dx, const float *dy, const float *y, size_t n);
    void (*tanh)(float *y, const float *x, size_t n);
    void (*tanh_grad)(float *dx, const float *dy, const float *y, size_t n);
    void (*softmax)(float *p, size_t ldp, const float *x, size_t ldx, int m, int n, float temperature);
    void (*softmax_grad)(float *dx, size_t lddx, const float *dp, size_t lddp, const float *p, size_t ldp, int m,
                         int n);
    void (*cross_entropy)(float *loss, float *dx, size_t lddx, const float *x, size_t ldx, const int32_t *labels, int m,
                          int n, float scale);
    void (*squared_error)(float *loss, float *dp, size_t lddp, const float *p, size_t ldp, const float *y, size_t ldy,
                          int m, int n, float scale);
    void (*add)(float *y, const float *a, const float *b, size_t n);
    void (*update)(const update_rule *r, const update_args *u);
    float (*sum_squares)(const float *x, size_t n);
    void (*scale_u8)(float *y, const uint8_t *x, size_t n);    /* y = x / 255 */
    void (*nonzero)(uint64_t *mask, const float *x, size_t n); /* bit i: x[i] is not 0; NaN is not */
    void (*nonzero_u8)(uint64_t *mask, const uint8_t *x, size_t n);
    size_t (*first_nonfinite)(const float *x, size_t n); /* index, or n */
    int (*argmax)(const float *x, int n);                /* the first of the largest */
} kernel_table;

extern const kernel_table kernels_portable;
#if defined(__x86_64__)
extern const kernel_table kernels_avx2, kernels_avx512;
#elif defined(__aarch64__)
extern const kernel_table kernels_neon;
#endif

/* The table in use. */
const kernel_table *kernels(void);

/* A moment in a loop that waits for another thread. */
void cpu_pause(void);

/* Denormals flushed, rounding to nearest on this thread; returns the state to give back to fp_leave. */
unsigned long fp_enter(void);
void fp_leave(unsigned long state);

#endif
