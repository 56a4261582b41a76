/* The public kernels except the matrix product and the optimizers: each calls the kernel table, with denormals flushed.
   The most common ones partition large arrays among threads. */
#include "arrays/arrays.h"
#include "base/threads.h"

#include <string.h>

#define CALL(statement)                \
    do {                               \
        unsigned long fp = fp_enter(); \
        kernels()->statement;          \
        fp_leave(fp);                  \
    } while (0)

/* ---- partitioned among threads ------------------------------------------------------------------------------------- */

enum { GRAIN = 1024 /* elements, a page: each thread writes whole pages */ };

/* Elements per microsecond, roughly. */
enum {
    COPIES = 20000, /* kernels limited by memory: small arrays, which are in the caches, stay on one thread */
    EXPONENTIALS = 2000,
    SHORT_ROWS = 500
};

/* A kernel of one input array or of two, and its arguments. */
typedef struct {
    void (*of_one)(float *y, const float *x, size_t n);
    void (*of_two)(float *dx, const float *dy, const float *y, size_t n);
    float *y;
    const float *a, *b;
    size_t n;
    int speed;
} elements;

static void elements_part(void *arg, int id, int threads)
{
    const elements *e = arg;
    size_t from, to;
    partition_array(id, threads, e->n, GRAIN, &from, &to);
    if (from == to)
        return;
    if (e->of_two)
        e->of_two(e->y + from, e->a + from, e->b + from, to - from);
    else
        e->of_one(e->y + from, e->a + from, to - from);
}

static void each_element(elements e)
{
    unsigned long fp = fp_enter();
    pool_run_if_worth(elements_part, &e, (double)e.n / e.speed, MAX_THREADS);
    fp_leave(fp);
}

/* A kernel on rows, and its arguments: y, a, b (m,n); loss, labels (m). */
typedef struct rows rows;
struct rows {
    void (*of_rows)(const rows *r);
    float *y, *loss;
    const float *a, *b;
    const int32_t *labels;
    int m, n;
    float scale, smoothing; /* scale: for softmax the temperature */
};

static void rows_part(void *arg, int id, int threads)
{
    rows r = *(const rows *)arg;
    int from, to;
    partition(id, threads, r.m, GRAIN / r.n + 1, &from, &to);
    const size_t skipped = (size_t)from * (size_t)r.n;
    r.y = r.y ? r.y + skipped : NULL;
    r.a += skipped;
    r.b = r.b ? r.b + skipped : NULL;
    r.loss = r.loss ? r.loss + from : NULL;
    r.labels = r.labels ? r.labels + from : NULL;
    r.m = to - from;
    if (r.m > 0)
        r.of_rows(&r);
}

static void each_row(rows r)
{
    if (r.m <= 0 || r.n <= 0)
        return;
    unsigned long fp = fp_enter();
    pool_run_if_worth(rows_part, &r, (double)r.m * r.n / (double)SHORT_ROWS, MAX_THREADS);
    fp_leave(fp);
}

static void softmax_rows(const rows *r)
{
    kernels()->softmax(r->y, (size_t)r->n, r->a, (size_t)r->n, r->m, r->n, r->scale);
}

static void softmax_grad_rows(const rows *r)
{
    kernels()->softmax_grad(r->y, (size_t)r->n, r->a, (size_t)r->n, r->b, (size_t)r->n, r->m, r->n);
}

static void cross_entropy_rows(const rows *r)
{
    kernels()->cross_entropy(r->loss, r->y, (size_t)r->n, r->a, (size_t)r->n, r->labels, r->m, r->n, r->scale,
                             r->smoothing);
}

/* ---- the kernels --------------------------------------------------------------------------------------------------- */

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
    each_element((elements){.of_one = kernels()->relu, .y = y, .a = x, .n = n, .speed = COPIES});
}

void pn_relu_grad(float *dx, const float *dy, const float *y, size_t n)
{
    each_element((elements){.of_two = kernels()->relu_grad, .y = dx, .a = dy, .b = y, .n = n, .speed = COPIES});
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
    each_element((elements){.of_one = kernels()->gelu, .y = y, .a = x, .n = n, .speed = EXPONENTIALS});
}

void pn_gelu_grad(float *dx, const float *dy, const float *x, size_t n)
{
    each_element((elements){.of_two = kernels()->gelu_grad, .y = dx, .a = dy, .b = x, .n = n, .speed = EXPONENTIALS});
}

void pn_sigmoid(float *y, const float *x, size_t n)
{
    each_element((elements){.of_one = kernels()->sigmoid, .y = y, .a = x, .n = n, .speed = EXPONENTIALS});
}

void pn_sigmoid_grad(float *dx, const float *dy, const float *y, size_t n)
{
    each_element((elements){.of_two = kernels()->sigmoid_grad, .y = dx, .a = dy, .b = y, .n = n, .speed = COPIES});
}

void pn_dropout(float *y, const float *x, int m, int n, double p, uint64_t seed, int layer_number, uint64_t step)
{
    for (int i = 0; i < m && n > 0; i++) {
        const dropout_mask mask = dropout_row(p, seed, layer_number, step, i);
        CALL(dropout(y + (size_t)i * (size_t)n, x + (size_t)i * (size_t)n, (size_t)n, &mask));
    }
}

channel_rows rows_of_channels(int m, size_t ld, int positions, int n)
{
    if (positions == 1) /* one run of m rows is faster than m runs of one */
        return (channel_rows){.runs = 1, .count = m, .row_stride = ld, .n = n};
    return (channel_rows){.runs = m, .run_stride = ld, .count = positions, .row_stride = (size_t)n, .n = n};
}

void pn_batchnorm(float *restrict y, float *restrict mean, float *restrict variance, const float *x, const float *gamma,
                  const float *beta, int m, int positions, int c, float epsilon)
{
    const channel_rows r = rows_of_channels(m, (size_t)positions * (size_t)c, positions, c);
    const channel_norm norm = {mean, variance, gamma, beta, epsilon, (float)((double)m * positions)};
    CALL(channel_moments(mean, variance, x, &r));
    CALL(channel_normalise(y, x, &norm, &r, false));
}

void pn_batchnorm_grad(float *restrict dx, float *restrict dgamma, float *restrict dbeta, const float *dy,
                       const float *x, const float *mean, const float *variance, const float *gamma, int m,
                       int positions, int c, float epsilon)
{
    const channel_rows r = rows_of_channels(m, (size_t)positions * (size_t)c, positions, c);
    const channel_norm norm = {mean, variance, gamma, gamma, epsilon, (float)((double)m * positions)};
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

static void scale_rows(float *y, const float *x, const float *mean, const float *scale, int m, int n, bool rescales)
{
    const size_t width = n > 0 ? (size_t)n : 0;
    const unsigned long fp = fp_enter();
    for (int i = 0; i < m; i++, y += width, x += width)
        if (rescales)
            kernels()->rescale(y, x, mean, scale, width);
        else
            kernels()->standardize(y, x, mean, scale, width);
    fp_leave(fp);
}

void pn_standardize(float *y, const float *x, const float *mean, const float *scale, int m, int n)
{
    scale_rows(y, x, mean, scale, m, n, false);
}

void pn_standardize_grad(float *dx, const float *dy, const float *scale, int m, int n)
{
    scale_rows(dx, dy, NULL, scale, m, n, false);
}

void pn_rescale(float *y, const float *x, const float *mean, const float *scale, int m, int n)
{
    scale_rows(y, x, mean, scale, m, n, true);
}

void pn_rescale_grad(float *dx, const float *dy, const float *scale, int m, int n)
{
    scale_rows(dx, dy, NULL, scale, m, n, true);
}

void pn_tanh(float *y, const float *x, size_t n)
{
    each_element((elements){.of_one = kernels()->tanh, .y = y, .a = x, .n = n, .speed = EXPONENTIALS});
}

void pn_tanh_grad(float *dx, const float *dy, const float *y, size_t n)
{
    each_element((elements){.of_two = kernels()->tanh_grad, .y = dx, .a = dy, .b = y, .n = n, .speed = COPIES});
}

void pn_softmax(float *p, const float *x, int m, int n, float temperature)
{
    each_row((rows){.of_rows = softmax_rows, .y = p, .a = x, .m = m, .n = n, .scale = temperature});
}

void pn_softmax_grad(float *dx, const float *dp, const float *p, int m, int n)
{
    each_row((rows){.of_rows = softmax_grad_rows, .y = dx, .a = dp, .b = p, .m = m, .n = n});
}

void pn_cross_entropy(float *restrict loss, float *dx, const float *x, const int32_t *labels, int m, int n, float scale,
                      float smoothing)
{
    each_row((rows){.of_rows = cross_entropy_rows,
                    .y = dx,
                    .loss = loss,
                    .a = x,
                    .labels = labels,
                    .m = m,
                    .n = n,
                    .scale = scale,
                    .smoothing = smoothing});
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

void pn_huber(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale, float delta)
{
    if (n > 0)
        CALL(robust_error(loss, dp, (size_t)n, p, (size_t)n, y, (size_t)n, m, n, scale, delta));
}

void pn_absolute_error(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale)
{
    pn_huber(loss, dp, p, y, m, n, scale, 0);
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
