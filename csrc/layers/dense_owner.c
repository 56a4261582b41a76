/* Which thread owns which weights of a dense layer. A large W is partitioned by columns, in forward and in the update
   alike, so that each weight stays in the cache of one core. But the columns of two threads share cache lines in each
   row of W: what one writes evicts the line from the other's core (false sharing). So during a call of many steps each
   thread keeps its columns in a panel, a copy of its own. */
#include "layers/dense.h"

#include <string.h>

enum { LARGE = 1 << 15 }; /* weights, 128 kB: above this it is cheaper to exchange activations between cores */

bool dense_is_large(const layer *l)
{
    return l->param[WEIGHTS].size >= LARGE;
}

/* In the layer's scratch. */
static float *dense_panels(const layer *l)
{
    return l->scratch.data + padded(l->param[WEIGHTS].dim[1]);
}

bool dense_by_columns(const layer *l, const pass *p)
{
    const int narrowest =
        p->mask && !l->before ? 4 * PAD : 2 * PAD; /* a sparse product of fewer columns waits for its sums */
    return !p->own_rows && dense_is_large(l) && l->param[WEIGHTS].dim[1] >= narrowest * p->threads;
}

matrix_block dense_owned(const layer *l, const pass *p)
{
    const parameter *W = &l->param[WEIGHTS];
    matrix_block own = {0, (int)W->dim[0], 0, (int)W->dim[1]};
    if (dense_by_columns(l, p))
        my_part(p, own.columns, PAD, &own.column, &own.columns);
    else
        my_part(p, own.rows, PAD, &own.row, &own.rows);
    return own;
}

/* The first element of the block: in `array`, which has W's layout, or in the thread's panel. */
static float *block_start(float *array, const matrix_block *own, size_t k, size_t n, bool panel)
{
    if (!array)
        return NULL;
    return array + (panel ? k * (size_t)own->column : (size_t)own->row * n + (size_t)own->column);
}

/* Backward reads W itself, not panels. */
static bool in_panel(const layer *l, const pass *p)
{
    return p->panels && dense_by_columns(l, p) && !l->needs_dx;
}

weight_block dense_owned_weights(const layer *l, const pass *p, const matrix_block *own)
{
    const parameter *W = &l->param[WEIGHTS];
    const size_t k = (size_t)W->dim[0], n = (size_t)W->dim[1];
    const bool panel = in_panel(l, p);
    weight_block w = {.ld = panel ? (size_t)(own->columns - own->column) : n};
    w.data = block_start(panel ? dense_panels(l) : W->data, own, k, n, panel);
    for (int m = 0; m < MAX_STATES; m++)
        w.state[m] = block_start(panel ? W->state_panels[m] : W->state[m], own, k, n, panel);
    return w;
}

/* Copies this thread's columns of an array to their panel, or back. */
static void copy_columns(float *array, float *panel, const matrix_block *own, size_t n, bool backward)
{
    const size_t width = (size_t)(own->columns - own->column);
    for (int i = own->row; array && i < own->rows; i++) {
        float *row = array + (size_t)i * n + own->column, *copy = panel + (size_t)i * width;
        memcpy(backward ? row : copy, backward ? copy : row, width * sizeof *row);
    }
}

static void copy_panels(const layer *l, const pass *p, bool backward)
{
    if (!in_panel(l, p))
        return;
    const matrix_block own = dense_owned(l, p);
    const weight_block panel = dense_owned_weights(l, p, &own);
    const parameter *W = &l->param[WEIGHTS];
    copy_columns(W->data, panel.data, &own, (size_t)W->dim[1], backward);
    for (int m = 0; m < MAX_STATES; m++)
        copy_columns(W->state[m], panel.state[m], &own, (size_t)W->dim[1], backward);
}

void dense_begin(layer *l, const pass *p)
{
    copy_panels(l, p, false);
}

void dense_end(layer *l, const pass *p)
{
    copy_panels(l, p, true);
}
