/* flatten: (channels, height, width) as (n). The numbers lie in that order already, so nothing is done: who reads this layer
   reads the one before. */
#include "internal.h"

static pn_status flatten_shape(layer *l, char *err)
{
    (void)err;
    l->out = (shape){.rank = 1, .dim = {shape_size(&l->in)}};
    return PN_OK;
}

const layer_ops flatten_ops = {.shape = flatten_shape};
