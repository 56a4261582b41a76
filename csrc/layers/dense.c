/* dense(units): y (m,n) = x (m,k) W (k,n) + b (n). Twin: Dense in pynet/reference/layers.py. */
#include "layers/dense.h"

enum { DENSE_UNITS, DENSE_INIT, DENSE_BIAS }; /* arguments */

enum {
    PIECE = 1 << 12, /* weights whose gradient is computed and applied together: 16 kB, at least 8 rows */
    WIDEST = 1 << 9, /* columns of a piece */
    CACHED = 1 << 17 /* weights, 512 kB, that stay in the second-level cache from step to step */
};

static pn_status dense_shape(layer *l, char *err)
{
    const int64_t k = shape_size(&l->in), n = (int64_t)l->word.arg[DENSE_UNITS].number;
    if (k * n > INT32_MAX)
        return fail(err, PN_ERR_SPEC,
                    "column %d: dense(%lld) after %lld features has %lld weights; accepted: at most %d", l->word.column,
                    (long long)n, (long long)k, (long long)(k * n), (int)INT32_MAX);
    l->out = (shape){.rank = 1, .dim = {n}};
    l->n_params = l->word.arg[DENSE_BIAS].choice == NO ? 1 : 2;
    l->param[WEIGHTS] = (parameter){.name = "W", .rank = 2, .dim = {k, n}, .size = (size_t)(k * n)};
    l->param[BIASES] = (parameter){.name = "b", .rank = 1, .dim = {n}, .size = (size_t)n};
    l->scratch.size = padded(n); /* the gradient of b; without b zeros in its stead */
    l->scratch.inference_size = l->n_params > BIASES ? 0 : padded(n);
    if (dense_is_large(l))
        l->scratch.size += padded(k * n); /* panels */
    return PN_OK;
}

static float *dense_bias_gradient(const layer *l)
{
    return l->scratch.data;
}

static const float *dense_biases(const layer *l)
{
    return l->n_params > BIASES ? l->param[BIASES].data : dense_bias_gradient(l); /* never written: zeros */
}

static void dense_init(layer *l, uint64_t seed)
{
    const parameter *W = &l->param[WEIGHTS];
    init_weights(l, (double)W->dim[0], (double)W->dim[1], (init_kind)l->word.arg[DENSE_INIT].choice, seed);
}

static const nonzero_mask *mask_of(const layer *l, const pass *p)
{
    return l->before || l->copy_size ? NULL : p->mask;
}

/* Sets the left factor of g to x from offset `at`: floats, or bytes. */
static void set_left(gemm_args *g, const layer *l, const pass *p, size_t at)
{
    const float *x = layer_input(l, p).data;
    g->byte_values = l->before ? NULL : p->byte_values;
    if (g->byte_values)
        g->bytes = (const uint8_t *)x + at;
    else
        g->A = x + at;
}

/* The rows of the batch that are in memory: all, or of the inputs the piece that has been gathered. */
static void loaded_rows(const layer *l, const pass *p, int *from, int *rows)
{
    *from = l->before ? 0 : p->input_from;
    *rows = l->before ? p->rows : p->input_rows;
}

/* By columns if the layer before it is: each thread then computes those columns of dx that its update there reads. */
static bool dense_backward_by_columns(const layer *l, const pass *p)
{
    const layer *below = l->before && l->before->fused_backward ? l->before->before : l->before;
    return p->fuse && below && below->ops == &dense_ops && dense_by_columns(below, p) &&
           below->dy.data == layer_input_gradient(l, p).data;
}

/* Does a thread update only weights that no other reads in backward? */
static bool dense_backward_is_private(const layer *l, const pass *p)
{
    return dense_backward_by_columns(l, p) && !dense_by_columns(l, p);
}

/* y (m,n) = x (m,k) W (k,n) + b (n), then the ReLU after it if that is fused. */
static void dense_forward(layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    const activation x = layer_input(l, p), y = layer_output(l, p);
    const nonzero_mask *mask = mask_of(l, p);
    int first, loaded, row = 0, rows = p->rows, column = 0, columns = (int)W->dim[1];
    weight_block w = {.data = W->data, .ld = (size_t)columns};
    if (dense_by_columns(l, p)) {
        const matrix_block own = dense_owned(l, p);
        w = dense_owned_weights(l, p, &own);
        column = own.column;
        columns = own.columns;
    } else {
        row = (int)my_rows(p).from, rows = (int)my_rows(p).to;
    }
    loaded_rows(l, p, &first, &loaded);
    row = row > first ? row : first;
    rows = min_int(rows, first + loaded);
    const size_t at = (size_t)(row - first); /* row of x */
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
        .mask = mask ? mask->rows + at * mask->row_words : NULL,
        .row_words = mask ? mask->row_words : 0,
        .words = mask ? mask->row_words : 0,
        .epi = {.kind = fuses_relu(l, p) ? EPI_BIAS_RELU : EPI_BIAS, .bias = dense_biases(l) + column},
    };
    set_left(&g, l, p, at * x.ld);
    matrix_product_compute(&(matrix_product){.g = g});
}

/* dx (m,k) = dy (m,n) W^T, then the gradient of the ReLU before it if that is fused. */
static void dense_backward(layer *l, const pass *p)
{
    const activation dx = layer_input_gradient(l, p);
    const int n = (int)l->param[WEIGHTS].dim[1];
    matrix_block part = {0, p->rows, 0, (int)l->param[WEIGHTS].dim[0]}; /* this thread's block of dx */
    if (dense_backward_by_columns(l, p))
        my_part(p, part.columns, PAD, &part.column, &part.columns);
    else
        my_part(p, part.rows, 1, &part.row, &part.rows);
    matrix_product dy_W = {
        .g =
            {
                .C = dx.data + (size_t)part.row * dx.ld + part.column,
                .ldc = dx.ld,
                .A = l->dy.data + (size_t)part.row * l->dy.ld,
                .row_a = l->dy.ld,
                .col_a = 1,
                .B = l->param[WEIGHTS].data + (size_t)part.column * (size_t)n,
                .ldb = (size_t)n,
                .m = part.rows - part.row,
                .n = part.columns - part.column,
                .k = n,
            },
        .trans_b = true,
    };
    if (fuses_relu_grad(l, p))
        dy_W.g.epi = (epilogue){
            .kind = EPI_RELU_GRAD, .y = l->x.data + (size_t)part.row * l->x.ld + part.column, .ldy = l->x.ld};
    matrix_product_compute(&dy_W);
}

/* The product for a block of dW (k,n) = x^T dy: the sum over the rows that are loaded, added to that of the rows before
   them. The caller sets C. */
static gemm_args dense_weight_gradient(const layer *l, const pass *p, const matrix_block *of)
{
    const activation x = layer_input(l, p);
    const nonzero_mask *mask = mask_of(l, p);
    const size_t n = (size_t)l->param[WEIGHTS].dim[1];
    int from, rows;
    loaded_rows(l, p, &from, &rows);
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
        .mask = mask ? mask->columns + (size_t)of->row * mask->column_words : NULL,
        .row_words = mask ? mask->column_words : 0,
        .words = mask ? mask->column_words : 0,
    };
    set_left(&g, l, p, (size_t)of->row);
    return g;
}

/* Has the last row of the batch been loaded? */
static bool rows_complete(const layer *l, const pass *p)
{
    int from, rows;
    loaded_rows(l, p, &from, &rows);
    return from + rows == p->rows;
}

/* The first element of a piece of the block `own`. */
static float *piece_of(float *block, size_t ld, const matrix_block *own, const matrix_block *part)
{
    return block ? block + (size_t)(part->row - own->row) * ld + (size_t)(part->column - own->column) : NULL;
}

/* Is dW stored, or applied while it is in registers: plain gradient descent and momentum? */
static bool in_registers(const update_rule *rule)
{
    return !rule || (rule->plain && rule->kind <= UPDATE_MOMENTUM);
}

/* A piece of dW (k,n) = x^T dy: stored, or applied. */
static void update_piece(const layer *l, const pass *p, const matrix_block *own, const matrix_block *part,
                         const update_rule *rule)
{
    const parameter *W = &l->param[WEIGHTS];
    const size_t n = (size_t)W->dim[1];
    const weight_block all =
        rule ? dense_owned_weights(l, p, own)
             : (weight_block){.data = W->grad + (size_t)own->row * n + (size_t)own->column, .ld = n};
    float sums[PIECE], *w = piece_of(all.data, all.ld, own, part), *a = piece_of(all.state[0], all.ld, own, part),
                       *b = piece_of(all.state[1], all.ld, own, part);
    const bool separate = !in_registers(rule);
    gemm_args g = dense_weight_gradient(l, p, part);
    g.C = separate ? sums : w;
    g.ldc = separate ? (size_t)g.n : all.ld;
    if (rule && !separate)
        g.epi = (epilogue){.kind = EPI_UPDATE, .rule = rule, .state = a};
    kernels()->gemm(&g);
    if (separate)
        kernels()->update(
            rule,
            &(update_args){.w = w, .a = a, .b = b, .dw = sums, .ld = all.ld, .lddw = (size_t)g.n, .m = g.m, .n = g.n});
}

/* All of this thread's dW, piece by piece. */
static void update_weights(layer *l, const pass *p)
{
    const update_rule *rule = p->opt && rows_complete(l, p) ? optim_rule(p->opt, &l->param[WEIGHTS]) : NULL;
    const matrix_block own = dense_owned(l, p);
    const bool whole = l->param[WEIGHTS].size <= CACHED && in_registers(rule);
    const int width = min_int(own.columns - own.column, WIDEST);
    const int height = whole ? own.rows : width > 0 ? PIECE / width & ~7 : 0; /* in whole tiles */
    for (int i = own.row; i < own.rows; i += height)
        for (int j = own.column; j < own.columns; j += width) {
            const matrix_block part = {i, min_int(i + height, own.rows), j, min_int(j + width, own.columns)};
            update_piece(l, p, &own, &part, rule);
        }
}

/* db (n) = column sums of dy: stored, or applied. */
static void update_biases(layer *l, const pass *p)
{
    if (l->n_params <= BIASES)
        return;
    const parameter *b = &l->param[BIASES];
    int from, to;
    my_part(p, (int)b->size, PAD, &from, &to);
    float *db = dense_bias_gradient(l);
    kernels()->column_sums(db + from, l->dy.data + from, l->dy.ld, p->rows, to - from, false);
    parameter_take_gradient(b, p, db, from, to);
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
    .backward = dense_backward,
    .backward_by_columns = dense_backward_by_columns,
    .backward_is_private = dense_backward_is_private,
    .update = dense_update,
};
