/* What callers of the public functions say is checked here, before anything is done. */
#ifndef PN_CHECK_H
#define PN_CHECK_H

#include "net/net.h"

/* Samples order[0..n) exist, and, where targets are needed, have some that suit the loss. */
pn_status check_samples(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, bool needs_targets);

/* Can every layer train on batches as small as this? */
pn_status check_batch(pn_net *net, int64_t rows);

/* Is there a layer i? */
pn_status check_layer(pn_net *net, int i);

#endif
