/* Every public kernel against naive loops in double, on every kernel table, at sizes around those of vectors and tiles;
   in place where the header allows it; nothing written outside the arrays. Prints how many checks it made. */
#include "kernels/kernels.h"
#include "pynet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 20000, CANARIES = 40 }; /* elements of an array, and canaries on both sides of it */

static const int sizes[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 100};
enum { SIZES = sizeof sizes / sizeof *sizes };
static const float canary = 1234.5f;
static const double unit = 0x1p-24, tiny = 0x1p-125; /* rounding of one operation; below: flushed to zero */

static long checks, failures;

static void check(int ok, const char *what, int m, int n, int k)
{
    checks++;
    if (!ok && failures++ < 20)
        printf("%s: %s wrong at %d x %d x %d\n", pn_cpu(), what, m, n, k);
}

/* ---- arrays ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    float all[CANARIES + MOST + CANARIES];
} framed;

static float *inside(framed *f)
{
    return f->all + CANARIES;
}

static uint32_t state = 1;

static uint32_t draw(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static float number(void)
{
    return (float)draw() / 8388608.0f - 1;
}

/* Random numbers in [-1, 1) in the first n, canaries around them. */
static float *filled(framed *f, int n)
{
    for (int i = 0; i < CANARIES; i++)
        f->all[i] = f->all[CANARIES + n + i] = canary;
    for (int i = 0; i < n; i++)
        inside(f)[i] = number();
    return inside(f);
}

static int framed_well(const framed *f, int n)
{
    for (int i = 0; i < CANARIES; i++)
        if (f->all[i] != canary || f->all[CANARIES + n + i] != canary)
            return 0;
    return 1;
}

static int near(float got, double expected, double bound)
{
    return fabs((double)got - expected) <= bound + tiny;
}

static int same(const framed *f, const framed *g, int n)
{
    return memcmp(f, g, (size_t)(CANARIES + n + CANARIES) * sizeof *f->all) == 0;
}

static framed fa, fb, fc, fd;
static double expected[MOST];

/* Is each y within `bound` times max(|expected|, 1) of the expected number, and are the canaries unchanged? */
static int as_expected(const framed *f, int n, double bound)
{
    const float *y = f->all + CANARIES;
    for (int i = 0; i < n; i++)
        if (!near(y[i], expected[i], bound * fmax(1, fabs(expected[i]))))
            return 0;
    return framed_well(f, n);
}

/* ---- the matrix product ----------------------------------------------------------------------------------------------- */

static void check_gemm(int m, int n, int k, int flags, int gap)
{
    const int ta = flags & PN_TRANS_A, tb = flags & PN_TRANS_B, add = flags & PN_ACCUMULATE;
    const int lda = (ta ? m : k) + gap, ldb = (tb ? k : n) + gap, ldc = n + gap;
    const float *a = filled(&fa, (ta ? k : m) * lda), *b = filled(&fb, (tb ? n : k) * ldb);
    const int size = m > 0 && n > 0 ? (m - 1) * ldc + n : 0;
    float *c = filled(&fc, size);
    for (int i = 0; i < size; i++)
        c[i] = canary;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            c[i * ldc + j] = add ? number() : NAN; /* unless it is added to, C is not read */
    static float before[MOST];
    memcpy(before, c, (size_t)size * sizeof *c);
    pn_gemm(c, ldc, a, lda, b, ldb, m, n, k, flags);
    int ok = framed_well(&fc, size);
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            double sum = add ? (double)before[i * ldc + j] : 0, magnitude = fabs(sum);
            for (int p = 0; p < k; p++) {
                double product = (double)a[ta ? p * lda + i : i * lda + p] * (double)b[tb ? j * ldb + p : p * ldb + j];
                sum += product;
                magnitude += fabs(product);
            }
            ok &= near(c[i * ldc + j], sum, (k + 1) * unit * magnitude); /* one chain of k roundings */
        }
        for (int j = n; i + 1 < m && j < ldc; j++)
            ok &= c[i * ldc + j] == canary;
    }
    check(ok, "gemm", m, n, k);
}

static void check_products(void)
{
    static const int rows[] = {1, 3, 4, 5, 6, 7, 8, 9, 12, 13}, depths[] = {0, 1, 9};
    for (int flags = 0; flags < 8; flags++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            for (size_t j = 0; j < SIZES; j++)
                for (size_t p = 0; p < sizeof depths / sizeof *depths; p++)
                    check_gemm(rows[i], sizes[j], depths[p], flags, (int)(i + j) % 3);
        for (int k = 255; k <= 257; k++) /* a panel of B is 256 deep and 32 wide */
            for (int n = 31; n <= 33; n++)
                check_gemm(9, n, k, flags, 2);
        check_gemm(7, 9, 600, flags, 0);
        check_gemm(100, 7, 33, flags, 5);
        check_gemm(0, 5, 3, flags, 0);
        check_gemm(5, 0, 3, flags, 0);
        check_gemm(0, 0, 0, flags, 0);
    }
}

/* ---- for each element -------------------------------------------------------------------------------------------------- */

typedef void (*unary)(float *y, const float *x, size_t n);
typedef void (*binary)(float *dx, const float *dy, const float *y, size_t n);

static double relu(double x)
{
    return x > 0 ? x : 0;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double relu_slope(double y)
{
    return y > 0;
}

static double sigmoid_slope(double y)
{
    return y * (1 - y);
}

static double tanh_slope(double y)
{
    return 1 - y * y;
}

static const struct {
    const char *name;
    unary forward;
    binary backward;
    double (*f)(double), (*slope)(double);
} activations[] = {
    {"relu", pn_relu, pn_relu_grad, relu, relu_slope},
    {"sigmoid", pn_sigmoid, pn_sigmoid_grad, sigmoid, sigmoid_slope},
    {"tanh", pn_tanh, pn_tanh_grad, tanh, tanh_slope},
};

static void check_activations(int n)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        const char *name = activations[i].name;
        float *x = filled(&fa, n), *y = filled(&fb, n);
        for (int j = 0; j < n; j++) {
            x[j] *= 8;
            expected[j] = activations[i].f((double)x[j]);
        }
        activations[i].forward(y, x, (size_t)n);
        check(as_expected(&fb, n, 5 * unit), name, 1, n, 0);
        activations[i].forward(x, x, (size_t)n);
        check(same(&fa, &fb, n), "activation in place", 1, n, (int)i);

        float *dy = filled(&fc, n), *dx = filled(&fd, n);
        for (int j = 0; j < n; j++)
            expected[j] = (double)dy[j] * activations[i].slope((double)y[j]);
        activations[i].backward(dx, dy, y, (size_t)n);
        check(as_expected(&fd, n, 4 * unit), name, 2, n, 0);
        activations[i].backward(dy, dy, y, (size_t)n);
        check(same(&fc, &fd, n), "gradient in place", 1, n, (int)i);
    }
}

static void check_sgd(int n)
{
    float *w = filled(&fa, n), *dw = filled(&fb, n);
    for (int j = 0; j < n; j++)
        expected[j] = (double)w[j] - (double)0.3f * (double)dw[j];
    pn_sgd(w, dw, (size_t)n, 0.3f);
    check(as_expected(&fa, n, 2 * unit), "sgd", 1, n, 0);
}

/* ---- rows and columns -------------------------------------------------------------------------------------------------- */

static void check_bias(int m, int n)
{
    float *x = filled(&fa, m * n), *b = filled(&fb, n), *y = filled(&fc, m * n), *db = filled(&fd, n);
    for (int i = 0; i < m * n; i++)
        expected[i] = (double)x[i] + (double)b[i % n];
    pn_bias(y, x, b, m, n);
    check(as_expected(&fc, m * n, unit), "bias", m, n, 0);
    for (int j = 0; j < n; j++) {
        expected[j] = 0;
        for (int i = 0; i < m; i++)
            expected[j] += (double)x[i * n + j];
    }
    pn_bias_grad(db, x, m, n);
    check(as_expected(&fd, n, m * m * unit), "bias_grad", m, n, 0);
    pn_bias(x, x, b, m, n);
    check(same(&fa, &fc, m * n), "bias in place", m, n, 0);
}

static void softmax(double *p, const float *x, int n, double temperature)
{
    double most = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++)
        most = fmax(most, (double)x[j]);
    for (int j = 0; j < n; j++)
        sum += p[j] = exp(((double)x[j] - most) / temperature);
    for (int j = 0; j < n; j++)
        p[j] /= sum;
}

static void check_softmax(int m, int n)
{
    float *x = filled(&fa, m * n), *p = filled(&fb, m * n);
    for (int i = 0; i < m; i++)
        softmax(expected + i * n, x + i * n, n, 0.5);
    pn_softmax(p, x, m, n, 0.5f);
    check(as_expected(&fb, m * n, 30 * unit), "softmax", m, n, 0);
    pn_softmax(x, x, m, n, 0.5f);
    check(same(&fa, &fb, m * n), "softmax in place", m, n, 0);

    float *dp = filled(&fc, m * n), *dx = filled(&fd, m * n);
    for (int i = 0; i < m; i++) {
        double dot = 0;
        for (int j = 0; j < n; j++)
            dot += (double)dp[i * n + j] * (double)p[i * n + j];
        for (int j = 0; j < n; j++)
            expected[i * n + j] = (double)p[i * n + j] * ((double)dp[i * n + j] - dot);
    }
    pn_softmax_grad(dx, dp, p, m, n);
    check(as_expected(&fd, m * n, (n + 4) * unit), "softmax_grad", m, n, 0);
    pn_softmax_grad(dp, dp, p, m, n);
    check(same(&fc, &fd, m * n), "softmax_grad in place", m, n, 0);
}

static void check_cross_entropy(int m, int n)
{
    static framed alone;
    static int32_t labels[200];
    static double losses[200];
    float *x = filled(&fa, m * n), *dx = filled(&fb, m * n), *loss = filled(&fc, m);
    for (int i = 0; i < m; i++) {
        labels[i] = (int32_t)(draw() % (uint32_t)n);
        softmax(expected + i * n, x + i * n, n, 1);
        losses[i] = -log(expected[i * n + labels[i]]);
        expected[i * n + labels[i]] -= 1;
    }
    for (int i = 0; i < m * n; i++)
        expected[i] *= 0.25;
    pn_cross_entropy(loss, dx, x, labels, m, n, 0.25f, 0);
    check(as_expected(&fb, m * n, 20 * unit), "cross_entropy's gradient", m, n, 0);
    memcpy(expected, losses, (size_t)m * sizeof *losses);
    check(as_expected(&fc, m, (n + 20) * unit), "cross_entropy", m, n, 0);
    pn_cross_entropy(filled(&alone, m), NULL, x, labels, m, n, 0.25f, 0);
    check(same(&alone, &fc, m), "cross_entropy without gradient", m, n, 0);
    pn_cross_entropy(filled(&alone, m), x, x, labels, m, n, 0.25f, 0);
    check(same(&alone, &fc, m) && same(&fa, &fb, m * n), "cross_entropy in place", m, n, 0);

    pn_one_hot(filled(&alone, m * n), labels, m, n);
    for (int i = 0; i < m * n; i++)
        expected[i] = i % n == labels[i / n];
    check(as_expected(&alone, m * n, 0), "one_hot", m, n, 0);
}

static void check_squared_error(int m, int n)
{
    static framed alone;
    float *p = filled(&fa, m * n), *y = filled(&fb, m * n), *dp = filled(&fc, m * n), *loss = filled(&fd, m);
    double losses[200] = {0};
    for (int i = 0; i < m * n; i++) {
        double d = (double)p[i] - (double)y[i];
        losses[i / n] += 0.5 * d * d;
        expected[i] = 3 * d;
    }
    pn_squared_error(loss, dp, p, y, m, n, 3);
    check(as_expected(&fc, m * n, 3 * unit), "squared_error's gradient", m, n, 0);
    memcpy(expected, losses, (size_t)m * sizeof *losses);
    check(as_expected(&fd, m, (n + 4) * unit), "squared_error", m, n, 0);
    pn_squared_error(filled(&alone, m), NULL, p, y, m, n, 3);
    check(same(&alone, &fd, m), "squared_error without gradient", m, n, 0);
    pn_squared_error(filled(&alone, m), p, p, y, m, n, 3);
    check(same(&alone, &fd, m) && same(&fa, &fc, m * n), "squared_error in place", m, n, 0);
}

/* delta 0: absolute error. */
static void robust_error(float *loss, float *dp, const float *p, const float *y, int m, int n, float delta)
{
    if (delta > 0)
        pn_huber(loss, dp, p, y, m, n, 3, delta);
    else
        pn_absolute_error(loss, dp, p, y, m, n, 3);
}

static void check_robust_error(int m, int n, float delta)
{
    static framed alone;
    float *p = filled(&fa, m * n), *y = filled(&fb, m * n), *dp = filled(&fc, m * n), *loss = filled(&fd, m);
    double losses[200] = {0};
    y[0] = p[0];
    for (int i = 0; i < m * n; i++) {
        const double d = (double)p[i] - (double)y[i], size = fabs(d), line = (double)delta;
        const double slope = delta > 0 ? fmin(size, line) : size > 0;
        losses[i / n] += delta > 0 ? slope * (size - slope / 2) : size;
        expected[i] = 3 * copysign(slope, d);
    }
    robust_error(loss, dp, p, y, m, n, delta);
    check(as_expected(&fc, m * n, 3 * unit), "robust error's gradient", m, n, delta > 0);
    memcpy(expected, losses, (size_t)m * sizeof *losses);
    check(as_expected(&fd, m, (n + 8) * unit), "robust error", m, n, delta > 0);
    robust_error(filled(&alone, m), NULL, p, y, m, n, delta);
    check(same(&alone, &fd, m), "robust error without gradient", m, n, delta > 0);
    robust_error(filled(&alone, m), p, p, y, m, n, delta);
    check(same(&alone, &fd, m) && same(&fa, &fc, m * n), "robust error in place", m, n, delta > 0);
}

static void check_scaling(int m, int n)
{
    float *x = filled(&fa, m * n), *mean = filled(&fb, n), *scale = filled(&fc, n), *y = filled(&fd, m * n);
    for (int i = 0; i < n; i++)
        scale[i] = 1.5f + scale[i];
    for (int i = 0; i < m * n; i++)
        expected[i] = (double)(x[i] - mean[i % n]) / (double)scale[i % n];
    pn_standardize(y, x, mean, scale, m, n);
    check(as_expected(&fd, m * n, unit), "standardize", m, n, 0);
    for (int i = 0; i < m * n; i++)
        expected[i] = (double)(y[i] * scale[i % n]) + (double)mean[i % n];
    pn_rescale(y, y, mean, scale, m, n);
    check(as_expected(&fd, m * n, unit), "rescale in place", m, n, 0);
    for (int i = 0; i < m * n; i++)
        expected[i] = (double)x[i] / (double)scale[i % n];
    pn_standardize_grad(y, x, scale, m, n);
    check(as_expected(&fd, m * n, unit), "standardize's gradient", m, n, 0);
    for (int i = 0; i < m * n; i++)
        expected[i] = (double)x[i] * (double)scale[i % n];
    pn_rescale_grad(x, x, scale, m, n);
    check(as_expected(&fa, m * n, unit), "rescale's gradient in place", m, n, 0);
}

static void check_gather(int m, int n)
{
    uint8_t *x = malloc((size_t)(m + 1) * (size_t)n); /* no larger, so that the sanitizer detects reads past it */
    int32_t *index = malloc((size_t)m * sizeof *index);
    if (!x || !index)
        abort();
    for (int i = 0; i < (m + 1) * n; i++)
        x[i] = (uint8_t)(i * 7 % 256);
    for (int i = 0; i < m; i++)
        index[i] = (int32_t)(draw() % (uint32_t)(m + 1));
    for (int plain = 0; plain < 2; plain++) {
        float *y = filled(&fa, m * n);
        pn_gather(y, x, plain ? NULL : index, m, n);
        int ok = framed_well(&fa, m * n);
        for (int i = 0; i < m * n; i++)
            ok &= y[i] == (float)x[(plain ? i / n : index[i / n]) * n + i % n] / 255.0f; /* correctly rounded */
        check(ok, "gather", m, n, plain);
    }
    free(index);
    free(x);
}

/* ---- numerics ---------------------------------------------------------------------------------------------------------- */

static void check_extremes(void)
{
    float x[] = {1e4f, -1e4f, 1e4f, 1e4f}, p[4], loss[2], dx[4];
    const int32_t labels[] = {1, 0};
    pn_softmax(p, x, 2, 2, 1);
    check(p[0] == 1 && p[1] == 0 && p[2] == 0.5f && p[3] == 0.5f, "softmax of +-1e4", 2, 2, 0);
    pn_cross_entropy(loss, dx, x, labels, 2, 2, 1, 0);
    check(loss[0] == 2e4f && near(loss[1], log(2), 1e-7), "loss at probability 0", 2, 2, 0);
    check(dx[0] == 1 && dx[1] == -1, "gradient at probability 0", 2, 2, 0);

    for (int n = 1; n < 40; n++)
        for (int at = 0; at < n; at++) {
            float *a = filled(&fa, n), *y = filled(&fb, n);
            a[at] = NAN;
            pn_relu(y, a, (size_t)n);
            check(isnan(y[at]), "relu of NaN", 1, n, at);
            pn_softmax(y, a, 1, n, 1);
            check(isnan(y[at]), "softmax of NaN", 1, n, at);
        }

    volatile float small = 0x1p-130f, half = 0.5f;
    float big[] = {0x1p-70f}, product[] = {1};
    pn_gemm(product, 1, big, 1, big, 1, 1, 1, 1, 0);
    const char *preloaded = getenv("LD_PRELOAD"); /* valgrind cannot flush denormals */
    if (!preloaded || !strstr(preloaded, "vgpreload"))
        check(product[0] == 0, "denormal product", 1, 1, 1);
    check(small * half > 0, "the caller's denormals", 1, 1, 1);
}

/* The first of several maxima; negative numbers, which are below the zeros past the end; NaN at each place. */
static void check_argmax(int n)
{
    float x[100];
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < n; i++)
            x[i] = (float)(draw() % 8) - 20;
        if (round % 2)
            x[draw() % (unsigned)n] = NAN;
        int best = 0;
        for (int i = 1; i < n; i++)
            best = x[i] > x[best] ? i : best;
        check(kernels()->argmax(x, n) == best, "argmax", 1, n, 0);
    }
}

int main(void)
{
    const char *name;
    check(pn_set_cpu("none") == PN_ERR_ARGUMENT && pn_cpu_table(-1) == NULL, "unknown table", 0, 0, 0);
    for (int t = 0; (name = pn_cpu_table(t)); t++) {
        check(pn_set_cpu(name) == PN_OK && strcmp(pn_cpu(), name) == 0, "pn_set_cpu", 0, 0, 0);
        check_products();
        for (size_t i = 0; i < SIZES; i++) {
            check_activations(sizes[i]);
            check_sgd(sizes[i]);
            check_argmax(sizes[i]);
            for (int m = 1; m <= 17; m += 4) {
                check_bias(m, sizes[i]);
                check_softmax(m, sizes[i]);
                check_cross_entropy(m, sizes[i]);
                check_squared_error(m, sizes[i]);
                check_robust_error(m, sizes[i], 0);
                check_robust_error(m, sizes[i], 0.4f);
                check_scaling(m, sizes[i]);
                check_gather(m, sizes[i]);
            }
        }
        check_extremes();
    }
    check(pn_set_cpu(NULL) == PN_OK && strcmp(pn_cpu(), pn_cpu_table(0)) == 0, "the best table", 0, 0, 0);
    printf("kernels: %ld checks, %ld failures, tables", checks, failures);
    for (int t = 0; (name = pn_cpu_table(t)); t++)
        printf(" %s", name);
    printf("\n");
    return failures != 0;
}
