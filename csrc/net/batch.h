/* One batch on its way into work memory. */
#ifndef PN_BATCH_H
#define PN_BATCH_H

#include "net/net.h"

/* What is wrong with the samples, found while they are gathered. What is used instead is harmless. */
typedef struct {
    _Atomic int64_t batch; /* first sample of the batch it was last seen in; -1: nothing is wrong */
    _Atomic int64_t
        nonfinite; /* a row of data whose inputs are not all finite; -1: the order, a label or a weight is no longer
                                  what it was when the call began */
} batch_fault;

/* The samples of one batch: rows order[first..first+rows) of data. */
typedef struct {
    const pn_data *data;
    const int32_t *order;
    const augmenter *augment;
    int64_t first, n;   /* of n in the whole job */
    int64_t start;      /* `first` of the whole batch, where this is a piece of it */
    batch_fault *fault; /* may be NULL */
} batch;

/* Copies rows [from, to) of the batch to p->inputs, bytes as x/255, augmented if it is to be, and notes where they are not zero. */
void gather_rows(const pn_net *net, const pass *p, const batch *b, int from, int to);

/* Does training gather the inputs of batches of this many rows piece by piece? */
enum { INPUT_PIECE = 64 }; /* rows of inputs, which stay in the second-level cache beside the weights */
bool gathers_in_pieces(const pn_net *net, int64_t rows);

/* For one thread that trains: rows [from, from + rows) of the batch, to the beginning of p->inputs; and asks for as many
   behind them. */
void gather_own_inputs(const pn_net *net, pass *p, const batch *b, int from, int rows);

/* The same for all rows, augmented: each thread makes some, for all. taken: steps before this one. */
void gather_inputs_together(const pn_net *net, pass *p, const batch *b, int64_t taken);

/* Labels, targets and weights of this thread's rows. */
void gather_targets(pn_net *net, const pass *p, const batch *b);

/* Are the inputs mostly zeros, so that skipping them pays? Up to 8 of all->n samples speak for all. */
bool mostly_zeros(const pn_net *net, const batch *all);

#endif
