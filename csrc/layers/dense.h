/* Dense weights W (k,n) and the threads: which block of W a thread owns, and where that block lies. */
#ifndef PN_DENSE_H
#define PN_DENSE_H

#include "layers/layer.h"

/* Rows [row, rows) and columns [column, columns) of a matrix. */
typedef struct {
    int row, rows, column, columns;
} matrix_block;

/* Where a block of W and its optimizer state lie, ld floats from row to row. */
typedef struct {
    float *data, *state[MAX_STATES];
    size_t ld;
} weight_block;

/* Floats of scratch that panels take, if any: they lie at `panels`. */
bool dense_is_large(const layer *l);
float *dense_panels(const layer *l);

/* Does each thread compute some of the columns of y, all rows of them? */
bool dense_by_columns(const layer *l, const pass *p);

/* The block of W, and of its gradient, that this thread owns. */
matrix_block dense_owned(const layer *l, const pass *p);
weight_block dense_owned_weights(const layer *l, const pass *p, const matrix_block *own);

/* Copies what this thread owns of W and of its optimizer state to its panels before a call of many steps, and back after. */
void dense_begin(layer *l, const pass *p);
void dense_end(layer *l, const pass *p);

#endif
