/* Gathering: copies the samples of a batch from the caller's arrays to work memory. */
#ifndef PN_BATCH_H
#define PN_BATCH_H

#include "net/net.h"

/* A fault of the samples, found while they are gathered. The call then fails; until it ends, it uses
   sample, label or weight 0 instead. */
typedef struct {
    int64_t batch;     /* first sample of the batch in which it was last found; -1: no fault */
    int64_t nonfinite; /* first sample of data with an input that is not finite; and with a target. Both -1: another
                          thread has changed the order, a label, a weight or a sparse row since the call checked them */
    int64_t nonfinite_target;
} batch_fault;

/* The samples of one batch: rows order[first..first+rows) of data. */
typedef struct {
    const pn_data *data;
    const int32_t *order;
    const augmenter *augment;
    int64_t first, n;   /* n: of the whole job */
    int64_t start;      /* `first` of the whole batch, if this is a piece of it */
    batch_fault *fault; /* may be NULL */
} batch;

/* Row i of sparse data has the stored values [*from, *to). False: they are not in ascending order in [0, stored]. Each
   reader asks again, as another thread may change them. */
bool sparse_row(const pn_data *data, size_t i, int64_t *from, int64_t *to);

/* Copies these rows of the batch to p->inputs, bytes as x/255, augmented if b->augment is set, and fills p->mask. */
void gather_rows(const pn_net *net, const pass *p, const batch *b, row_range rows);

/* Does training gather the inputs of a batch of this many rows in pieces? */
enum { INPUT_PIECE = 64 }; /* rows of a piece: they fit the second-level cache together with the weights */
bool gathers_in_pieces(const pn_net *net, int64_t rows);

/* One thread gathers rows [from, from + rows) of the batch for itself, to the start of p->inputs, and prefetches as
   many after them. */
void gather_own_inputs(const pn_net *net, pass *p, const batch *b, int from, int rows);

/* The threads gather all rows together, augmented: each thread augments its share of the rows. taken: steps of this
   call before this one. */
void gather_inputs_together(const pn_net *net, pass *p, const batch *b, int64_t taken);

/* Copies labels, targets and weights of this thread's rows to net->work.targets. */
void gather_targets(pn_net *net, const pass *p, const batch *b);

/* Fails with a message that names the fault. */
pn_status report_fault(pn_net *net, const pn_data *data, const batch_fault *fault);

/* Are enough inputs zero for skipping them to pay? Looks at up to 8 of the all->n samples. */
bool mostly_zeros(const pn_net *net, const batch *all);

#endif
