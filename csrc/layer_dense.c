/* dense(units): y (m,n) = x (m,k) W (k,n) + b (n) */
#include "internal.h"

#include <math.h>
#include <string.h>

enum { UNITS, INIT };     /* arguments */
enum { WEIGHTS, BIASES }; /* parameters */
enum { LARGE = 1 << 15 }; /* weights, 128 kB: more than it costs to exchange activations */

static pn_status dense_shape(layer *l, char *err)
{
    const int64_t k = shape_size(&l->in), n = (int64_t)l->word.arg[UNITS];
    if (k * n > INT32_MAX)
        return fail(err, PN_ERR_SPEC,
                    "column %d: dense(%lld) after %lld features has %lld weights; accepted: at most %d", l->word.column,
                    (long long)n, (long long)k, (long long)(k * n), INT32_MAX);
    l->out = (shape){.rank = 1, .dim = {n}};
    l->n_params = 2;
    l->param[WEIGHTS] = (parameter){.name = "W", .rank = 2, .dim = {k, n}, .size = (size_t)(k * n)};
    l->param[BIASES] = (parameter){.name = "b", .rank = 1, .dim = {n}, .size = (size_t)n};
    l->scratch_size = (size_t)n * padded(k) + padded(n); /* W transposed, and the gradient of b */
    if (k * n >= LARGE)
        l->scratch_size += (size_t)(k * n); /* panels */
    return PN_OK;
}

static float *transposed(const layer *l)
{
    return l->scratch;
}

static float *bias_gradient(const layer *l)
{
    return l->scratch + (size_t)l->param[WEIGHTS].dim[1] * padded(l->param[WEIGHTS].dim[0]);
}

static void dense_init(layer *l, uint64_t seed, uint64_t stream)
{
    const parameter *W = &l->param[WEIGHTS];
    const double k = (double)W->dim[0], n = (double)W->dim[1];
    init_kind kind = (init_kind)l->word.arg[INIT];
    if (kind == INIT_AUTO)
        kind = l->after && l->after->word.kind == PN_RELU ? INIT_HE : INIT_XAVIER;
    double deviation = 1;
    if (kind == INIT_HE)
        deviation = sqrt(2 / k); /* He et al. 2015: ReLU halves the variance, the 2 gives it back */
    else if (kind == INIT_XAVIER)
        deviation = sqrt(2 / (k + n)); /* Glorot and Bengio 2010 */
    random_normal(W->data, W->size, (float)deviation, seed, stream);
}

/* Threads own large weights: each does some of the columns, forward and in the update, so that they never leave its core. */
static bool dense_by_columns(const layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    return !p->apart && W->size >= LARGE && W->dim[1] >= 2 * PAD * p->threads;
}

/* The part of W, or of its gradient, that this thread owns: rows [row, rows) and columns [column, columns). */
typedef struct {
    int row, rows, column, columns;
} patch;

static patch owned(const layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    patch own = {0, (int)W->dim[0], 0, (int)W->dim[1]};
    if (dense_by_columns(l, p))
        my_share(p, own.columns, PAD, &own.column, &own.columns);
    else
        my_share(p, own.rows, PAD, &own.row, &own.rows);
    return own;
}

/* Where those weights lie. In a row of W that belongs to several threads, what one writes next to what another reads
   would keep the cache lines moving between their cores. */
typedef struct {
    float *data;
    size_t ld;
} weights;

static weights own_weights(const layer *l, const pass *p, const patch *own)
{
    const size_t k = (size_t)l->param[WEIGHTS].dim[0], n = (size_t)l->param[WEIGHTS].dim[1];
    if (p->panels && dense_by_columns(l, p))
        return (weights){bias_gradient(l) + padded((int64_t)n) + k * (size_t)own->column,
                         (size_t)(own->columns - own->column)};
    return (weights){l->param[WEIGHTS].data + (size_t)own->row * n + own->column, n};
}

/* Copies this thread's columns of W to its panel, or back. */
static void copy_panel(const layer *l, const pass *p, bool back)
{
    if (!p->panels || !dense_by_columns(l, p))
        return;
    const patch own = owned(l, p);
    const weights panel = own_weights(l, p, &own);
    const size_t n = (size_t)l->param[WEIGHTS].dim[1];
    for (size_t i = 0; i < (size_t)l->param[WEIGHTS].dim[0]; i++) {
        float *W = l->param[WEIGHTS].data + i * n + own.column, *copy = panel.data + i * panel.ld;
        memcpy(back ? W : copy, back ? copy : W, panel.ld * sizeof *W);
    }
}

static void dense_begin(layer *l, const pass *p)
{
    copy_panel(l, p, false);
}

static void dense_end(layer *l, const pass *p)
{
    copy_panel(l, p, true);
}

static const nonzeros *zeros_of(const layer *l, const pass *p)
{
    return l->before ? NULL : p->zeros;
}

static void dense_forward(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    const bool relu = p->fuse && l->after && l->after->fused_forward;
    const activation x = layer_input(l, p), y = relu ? l->after->y : l->y;
    const nonzeros *zeros = zeros_of(l, p);
    int row = 0, rows = p->rows, column = 0, columns = (int)W->dim[1];
    weights w = {W->data, (size_t)columns};
    if (dense_by_columns(l, p)) {
        const patch own = owned(l, p);
        w = own_weights(l, p, &own);
        column = own.column;
        columns = own.columns;
    } else {
        my_share(p, p->rows, 1, &row, &rows);
    }
    const gemm_args g = {
        .C = y.data + (size_t)row * y.ld + column,
        .ldc = y.ld,
        .A = x.data + (size_t)row * x.ld,
        .row_a = x.ld,
        .col_a = 1,
        .B = w.data,
        .ldb = w.ld,
        .m = rows - row,
        .n = columns - column,
        .k = (int)W->dim[0],
        .mask = zeros ? zeros->rows + (size_t)row * zeros->row_words : NULL,
        .row_words = zeros ? zeros->row_words : 0,
        .words = zeros ? zeros->row_words : 0,
        .epi = {.kind = relu ? EPI_BIAS_RELU : EPI_BIAS, .bias = l->param[BIASES].data + column},
    };
    kernels()->gemm(&g);
}

/* Turns W over for dense_backward, this thread's part. */
static void dense_prepare(layer *l, const pass *p)
{
    const patch own = owned(l, p);
    const weights w = own_weights(l, p, &own);
    const size_t ld = padded(l->param[WEIGHTS].dim[0]);
    kernels()->transpose(transposed(l) + (size_t)own.column * ld + own.row, ld, w.data, w.ld, own.rows - own.row,
                         own.columns - own.column);
}

/* dx (m,k) = dy (m,n) W^T */
static void dense_backward(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    const bool relu = p->fuse && l->before && l->before->fused_backward;
    const activation *dx = relu ? &l->before->dx : &l->dx;
    int row, rows;
    my_share(p, p->rows, 1, &row, &rows);
    const gemm_args g = {
        .C = dx->data + (size_t)row * dx->ld,
        .ldc = dx->ld,
        .A = l->dy.data + (size_t)row * l->dy.ld,
        .row_a = l->dy.ld,
        .col_a = 1,
        .B = transposed(l),
        .ldb = padded(W->dim[0]),
        .m = rows - row,
        .n = (int)W->dim[0],
        .k = (int)W->dim[1],
        .epi = {.kind = relu ? EPI_RELU_GRAD : EPI_STORE, .y = l->x.data + (size_t)row * l->x.ld, .ldy = l->x.ld},
    };
    kernels()->gemm(&g);
}

/* dW (k,n) = x^T dy and db (n) = the column sums of dy, stored or handed to the optimizer as they leave the registers. */
static void dense_update(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS], *b = &l->param[BIASES];
    const int n = (int)W->dim[1];
    const patch own = owned(l, p);
    weights w = own_weights(l, p, &own);
    if (!p->opt)
        w = (weights){W->grad + (size_t)own.row * (size_t)n + own.column, (size_t)n};
    const activation x = layer_input(l, p);
    const nonzeros *zeros = zeros_of(l, p);
    const gemm_args g = {
        .C = w.data,
        .ldc = w.ld,
        .A = x.data + own.row,
        .row_a = 1,
        .col_a = x.ld,
        .B = l->dy.data + own.column,
        .ldb = l->dy.ld,
        .m = own.rows - own.row,
        .n = own.columns - own.column,
        .k = p->rows,
        .mask = zeros ? zeros->columns + (size_t)own.row * zeros->column_words : NULL,
        .row_words = zeros ? zeros->column_words : 0,
        .words = zeros ? zeros->column_words : 0,
        .epi = p->opt ? optim_epilogue(p->opt) : (epilogue){.kind = EPI_STORE},
    };
    kernels()->gemm(&g);

    int from, to;
    my_share(p, n, PAD, &from, &to);
    float *db = (p->opt ? bias_gradient(l) : b->grad) + from;
    kernels()->column_sums(db, l->dy.data + from, l->dy.ld, p->rows, to - from);
    if (p->opt)
        optim_apply(p->opt, b->data + from, db, (size_t)(to - from));
}

const layer_ops dense_ops = {
    .shape = dense_shape,
    .init = dense_init,
    .by_columns = dense_by_columns,
    .forward = dense_forward,
    .begin = dense_begin,
    .end = dense_end,
    .prepare = dense_prepare,
    .backward = dense_backward,
    .update = dense_update,
};
