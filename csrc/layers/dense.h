/* Which block of the dense weights W (k,n) each thread owns, and where that block lies: see dense_owner.c. */
#ifndef PN_DENSE_H
#define PN_DENSE_H

#include "layers/layer.h"

/* Rows [row, rows) and columns [column, columns) of a matrix. */
typedef struct {
    int row, rows, column, columns;
} matrix_block;

/* A block of W and of its optimizer state, both with leading dimension ld. */
typedef struct {
    float *data, *state[MAX_STATES];
    size_t ld;
} weight_block;

/* Is W large enough that threads share it by columns? */
bool dense_is_large(const layer *l);

/* Does each thread compute some columns of y, for all rows? Else some rows, all columns. */
bool dense_by_columns(const layer *l, const pass *p);

/* The block of W that this thread owns: it alone computes its gradient and updates it. */
matrix_block dense_owned(const layer *l, const pass *p);
weight_block dense_owned_weights(const layer *l, const pass *p, const matrix_block *own);

/* Copies this thread's block of W and of its optimizer state to its panels before a call of many steps; back after
   it. */
void dense_begin(layer *l, const pass *p);
void dense_end(layer *l, const pass *p);

#endif
