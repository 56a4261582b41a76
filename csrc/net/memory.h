/* Work memory, and how many threads and copies of the inputs a batch is worth. */
#ifndef PN_MEMORY_H
#define PN_MEMORY_H

#include "net/net.h"

/* Makes room for batches of this many rows, with so many copies of the inputs, and layers' own memory for so many threads.
   What an earlier call left there is gone when it grows. */
pn_status reserve(pn_net *net, int64_t rows, int copies, int threads);

/* How many threads the work on a batch is worth, and how many of them can have a copy of its inputs, as training wants. */
int worthwhile_threads(const pn_net *net, int64_t rows);
int input_copies(const pn_net *net, int64_t rows);

/* Makes room for the gradients of all parameters, once somebody asks to see them, the optimizer wants them all first, or they
   are summed up piece by piece. */
pn_status reserve_gradients(pn_net *net);

#endif
