/* dense(units): y (m,n) = x (m,k) W (k,n) + b (n) */
#include "layers/layer.h"

#include <string.h>

enum { DENSE_UNITS, DENSE_INIT, DENSE_BIAS }; /* arguments */
enum { LARGE = 1 << 15 };                     /* weights, 128 kB: more than it costs to exchange activations */

static pn_status dense_shape(layer *l, char *err)
{
    const int64_t k = shape_size(&l->in), n = (int64_t)l->word.arg[DENSE_UNITS];
    if (k * n > INT32_MAX)
        return fail(err, PN_ERR_SPEC,
                    "column %d: dense(%lld) after %lld features has %lld weights; accepted: at most %d", l->word.column,
                    (long long)n, (long long)k, (long long)(k * n), INT32_MAX);
    l->out = (shape){.rank = 1, .dim = {n}};
    l->n_params = l->word.arg[DENSE_BIAS] == NO ? 1 : 2;
    l->param[WEIGHTS] = (parameter){.name = "W", .rank = 2, .dim = {k, n}, .size = (size_t)(k * n)};
    l->param[BIASES] = (parameter){.name = "b", .rank = 1, .dim = {n}, .size = (size_t)n};
    l->scratch.size = padded(n); /* the gradient of b, or zeros for b */
    if (k * n >= LARGE)
        l->scratch.size += padded(k * n) + (size_t)n * padded(k); /* panels, and W transposed */
    else
        l->scratch.thread_size = (size_t)n * padded(k);
    return PN_OK;
}

static float *bias_gradient(const layer *l)
{
    return l->scratch.data;
}

static float *panels(const layer *l)
{
    return l->scratch.data + padded(l->param[WEIGHTS].dim[1]);
}

/* W^T, which all threads make together where it is large; a small one each makes for itself, rather than fetch half of it
   from another core. */
static float *transposed(const layer *l, const pass *p)
{
    return l->scratch.thread_size ? l->scratch.thread_data + (size_t)p->id * l->scratch.thread_size
                                  : panels(l) + padded((int64_t)l->param[WEIGHTS].size);
}

static const float *biases(const layer *l)
{
    return l->n_params > BIASES ? l->param[BIASES].data : bias_gradient(l); /* which nobody writes to: zeros */
}

static void dense_init(layer *l, uint64_t seed, uint64_t stream)
{
    const parameter *W = &l->param[WEIGHTS];
    init_weights(l, (double)W->dim[0], (double)W->dim[1], (init_kind)l->word.arg[DENSE_INIT], seed, stream);
}

/* Threads own large weights: each does some of the columns, forward and in the update, so that they never leave its core. */
static bool dense_by_columns(const layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    return !p->own_rows && W->size >= LARGE && W->dim[1] >= 2 * PAD * p->threads;
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
        my_part(p, own.columns, PAD, &own.column, &own.columns);
    else
        my_part(p, own.rows, PAD, &own.row, &own.rows);
    return own;
}

/* Where those weights lie, and what the optimizer remembers of them. In a row of W that belongs to several threads, what
   one writes next to what another reads would keep the cache lines moving between their cores. */
typedef struct {
    float *data, *state[MAX_STATES];
    size_t ld;
} weights;

/* The same place in another array of k rows: in its panel, or as it lies. */
static float *own_part(float *array, const patch *own, size_t k, size_t n, bool panel)
{
    if (!array)
        return NULL;
    return array + (panel ? k * (size_t)own->column : (size_t)own->row * n + (size_t)own->column);
}

static weights own_weights(const layer *l, const pass *p, const patch *own)
{
    const parameter *W = &l->param[WEIGHTS];
    const size_t k = (size_t)W->dim[0], n = (size_t)W->dim[1];
    const bool panel = p->panels && dense_by_columns(l, p);
    weights w = {.ld = panel ? (size_t)(own->columns - own->column) : n};
    w.data = own_part(panel ? panels(l) : W->data, own, k, n, panel);
    for (int m = 0; m < MAX_STATES; m++)
        w.state[m] = own_part(panel ? W->state_panels[m] : W->state[m], own, k, n, panel);
    return w;
}

/* Copies this thread's columns of an array to their panel, or back. */
static void copy_columns(float *array, float *panel, const patch *own, size_t n, bool back)
{
    const size_t width = (size_t)(own->columns - own->column);
    for (int i = own->row; array && i < own->rows; i++) {
        float *row = array + (size_t)i * n + own->column, *copy = panel + (size_t)i * width;
        memcpy(back ? row : copy, back ? copy : row, width * sizeof *row);
    }
}

/* Takes W, and what the optimizer remembers of it, to panels, or back. */
static void copy_panel(const layer *l, const pass *p, bool back)
{
    if (!p->panels || !dense_by_columns(l, p))
        return;
    const patch own = owned(l, p);
    const weights panel = own_weights(l, p, &own);
    const parameter *W = &l->param[WEIGHTS];
    copy_columns(W->data, panel.data, &own, (size_t)W->dim[1], back);
    for (int m = 0; m < MAX_STATES; m++)
        copy_columns(W->state[m], panel.state[m], &own, (size_t)W->dim[1], back);
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
    return l->before || l->copy_size ? NULL : p->zeros;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* x of the product g, from this place: floats, or bytes. */
static void set_x(gemm_args *g, const layer *l, const pass *p, size_t at)
{
    const float *x = layer_input(l, p).data;
    g->byte_values = l->before ? NULL : p->byte_values;
    if (g->byte_values)
        g->bytes = (const uint8_t *)x + at;
    else
        g->A = x + at;
}

/* The rows of the batch whose x is there. */
static void rows_there(const layer *l, const pass *p, int *from, int *rows)
{
    *from = l->before ? 0 : p->input_from;
    *rows = l->before ? p->rows : p->input_rows;
}

static void dense_forward(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    const bool relu = p->fuse && l->after && l->after->fused_forward;
    const activation x = layer_input(l, p), y = relu ? l->after->y : l->y;
    const nonzeros *zeros = zeros_of(l, p);
    int first, there, row = 0, rows = p->rows, column = 0, columns = (int)W->dim[1];
    weights w = {.data = W->data, .ld = (size_t)columns};
    if (dense_by_columns(l, p)) {
        const patch own = owned(l, p);
        w = own_weights(l, p, &own);
        column = own.column;
        columns = own.columns;
    } else {
        my_part(p, p->rows, 1, &row, &rows);
    }
    rows_there(l, p, &first, &there);
    row = row > first ? row : first;
    rows = min_int(rows, first + there);
    const size_t at = (size_t)(row - first); /* in x */
    gemm_args g = {
        .C = y.data + (size_t)row * y.ld + column,
        .ldc = y.ld,
        .row_a = x.ld,
        .col_a = 1,
        .B = w.data,
        .ldb = w.ld,
        .m = rows - row,
        .n = columns - column,
        .k = (int)W->dim[0],
        .mask = zeros ? zeros->rows + at * zeros->row_words : NULL,
        .row_words = zeros ? zeros->row_words : 0,
        .words = zeros ? zeros->row_words : 0,
        .epi = {.kind = relu ? EPI_BIAS_RELU : EPI_BIAS, .bias = biases(l) + column},
    };
    set_x(&g, l, p, at * x.ld);
    kernels()->gemm(&g);
}

/* Turns a large W over for dense_backward, this thread's part. */
static void dense_prepare(layer *l, const pass *p)
{
    if (l->scratch.thread_size)
        return;
    const patch own = owned(l, p);
    const weights w = own_weights(l, p, &own);
    const size_t ld = padded(l->param[WEIGHTS].dim[0]);
    kernels()->transpose(transposed(l, p) + (size_t)own.column * ld + own.row, ld, w.data, w.ld, own.rows - own.row,
                         own.columns - own.column);
}

/* Does backward the work of the ReLU before it, too? */
static bool does_relu(const layer *l, const pass *p)
{
    return p->fuse && l->before && l->before->fused_backward;
}

static activation backward_target(const layer *l, const pass *p)
{
    return does_relu(l, p) ? l->before->dx : layer_input_gradient(l);
}

/* Where a thread owns columns of the weights below, it makes the columns of their gradient itself. */
static bool dense_backward_by_columns(const layer *l, const pass *p)
{
    const layer *below = l->before && l->before->fused_backward ? l->before->before : l->before;
    return p->fuse && below && below->ops == &dense_ops && dense_by_columns(below, p) &&
           below->dy.data == backward_target(l, p).data;
}

/* Large weights are turned over for all threads: the next to do so must wait until all have read this turn's. */
static bool dense_for_owner(const layer *l)
{
    return l->scratch.thread_size > 0;
}

/* dx (m,k) = dy (m,n) W^T */
static void dense_backward(layer *l, const pass *p)
{
    const activation dx = backward_target(l, p);
    const int n = (int)l->param[WEIGHTS].dim[1];
    const size_t ld = padded(l->param[WEIGHTS].dim[0]);
    patch part = {0, p->rows, 0, (int)l->param[WEIGHTS].dim[0]}; /* of dx */
    if (dense_backward_by_columns(l, p))
        my_part(p, part.columns, PAD, &part.column, &part.columns);
    else
        my_part(p, part.rows, 1, &part.row, &part.rows);
    float *turned = transposed(l, p) + part.column;
    if (l->scratch.thread_size)
        kernels()->transpose(turned, ld, l->param[WEIGHTS].data + (size_t)part.column * (size_t)n, (size_t)n,
                             part.columns - part.column, n);
    gemm_args g = {
        .C = dx.data + (size_t)part.row * dx.ld + part.column,
        .ldc = dx.ld,
        .A = l->dy.data + (size_t)part.row * l->dy.ld,
        .row_a = l->dy.ld,
        .col_a = 1,
        .B = turned,
        .ldb = ld,
        .m = part.rows - part.row,
        .n = part.columns - part.column,
        .k = n,
    };
    if (does_relu(l, p))
        g.epi = (epilogue){
            .kind = EPI_RELU_GRAD, .y = l->x.data + (size_t)part.row * l->x.ld + part.column, .ldy = l->x.ld};
    kernels()->gemm(&g);
}

/* The product that gives a patch of dW (k,n) = x^T dy, for the rows that are there and those before; the caller says where
   to. */
static gemm_args weight_gradient(const layer *l, const pass *p, const patch *of)
{
    const activation x = layer_input(l, p);
    const nonzeros *zeros = zeros_of(l, p);
    const size_t n = (size_t)l->param[WEIGHTS].dim[1];
    int from, rows;
    rows_there(l, p, &from, &rows);
    gemm_args g = {
        .row_a = 1,
        .col_a = x.ld,
        .B = l->dy.data + (size_t)from * l->dy.ld + of->column,
        .ldb = l->dy.ld,
        .m = of->rows - of->row,
        .n = of->columns - of->column,
        .k = rows,
        .start = from > 0 ? l->param[WEIGHTS].grad + (size_t)of->row * n + of->column : NULL,
        .ldstart = n,
        .mask = zeros ? zeros->columns + (size_t)of->row * zeros->column_words : NULL,
        .row_words = zeros ? zeros->column_words : 0,
        .words = zeros ? zeros->column_words : 0,
    };
    set_x(&g, l, p, (size_t)of->row);
    return g;
}

/* Hands dW to the optimizer piece by piece, while it is in the cache. */
static void apply_in_pieces(const layer *l, const pass *p, const patch *own)
{
    enum { PIECE = 1 << 13, WIDEST = 256 }; /* 32 kB, at least 32 rows */
    float piece[PIECE];
    const parameter *W = &l->param[WEIGHTS];
    const weights w = own_weights(l, p, own);
    const int width = min_int(own->columns - own->column, WIDEST);
    const int height = width > 0 ? PIECE / width & ~7 : 0; /* in whole tiles */
    for (int j = own->column; j < own->columns; j += width)
        for (int i = own->row; i < own->rows; i += height) {
            const patch part = {i, min_int(i + height, own->rows), j, min_int(j + width, own->columns)};
            gemm_args g = weight_gradient(l, p, &part);
            g.C = piece;
            g.ldc = (size_t)width;
            kernels()->gemm(&g);
            const size_t at = (size_t)(i - own->row) * w.ld + (size_t)(j - own->column);
            const update_args u = {
                .w = w.data + at,
                .a = w.state[0] ? w.state[0] + at : NULL,
                .b = w.state[1] ? w.state[1] + at : NULL,
                .dw = piece,
                .ld = w.ld,
                .lddw = (size_t)width,
                .m = g.m,
                .n = g.n,
            };
            kernels()->update(optim_rule(p->opt, W), &u);
        }
}

/* Are the rows that are there the last of the batch? */
static bool rows_complete(const layer *l, const pass *p)
{
    int from, rows;
    rows_there(l, p, &from, &rows);
    return from + rows == p->rows;
}

/* dW (k,n) = x^T dy, stored, or handed to the optimizer: plain gradient descent and momentum take it as it leaves the
   registers. */
static void update_weights(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    const update_rule *rule = p->opt && rows_complete(l, p) ? optim_rule(p->opt, W) : NULL;
    const patch own = owned(l, p);
    if (rule && !(rule->plain && rule->kind <= UPDATE_MOMENTUM)) {
        apply_in_pieces(l, p, &own);
        return;
    }
    const size_t n = (size_t)W->dim[1];
    const weights to =
        rule ? own_weights(l, p, &own) : (weights){.data = W->grad + (size_t)own.row * n + own.column, .ld = n};
    gemm_args g = weight_gradient(l, p, &own);
    g.C = to.data;
    g.ldc = to.ld;
    if (rule)
        g.epi = (epilogue){.kind = EPI_UPDATE, .rule = rule, .state = to.state[0]};
    kernels()->gemm(&g);
}

/* db (n) = the column sums of dy, stored, or handed to the optimizer. */
static void update_biases(layer *l, const pass *p)
{
    if (l->n_params <= BIASES)
        return;
    const parameter *b = &l->param[BIASES];
    int from, to;
    my_part(p, (int)b->size, PAD, &from, &to);
    float *db = (p->opt ? bias_gradient(l) : b->grad) + from;
    kernels()->column_sums(db, l->dy.data + from, l->dy.ld, p->rows, to - from, false);
    if (p->opt)
        optim_apply(p->opt, b, (size_t)from, db, (size_t)(to - from));
}

static void dense_update(layer *l, const pass *p)
{
    update_weights(l, p);
    if (rows_complete(l, p))
        update_biases(l, p);
}

const layer_ops dense_ops = {
    .flattens = true,
    .fuses_forward = true,
    .fuses_backward = true,
    .shape = dense_shape,
    .init = dense_init,
    .by_columns = dense_by_columns,
    .forward = dense_forward,
    .begin = dense_begin,
    .end = dense_end,
    .prepare = dense_prepare,
    .backward = dense_backward,
    .backward_by_columns = dense_backward_by_columns,
    .for_owner = dense_for_owner,
    .update = dense_update,
};
