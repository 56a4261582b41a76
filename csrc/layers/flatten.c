/* flatten: (channels, height, width) as (n). A view of the layer before, unless images are channels-last in work
   memory. Twin: Flatten in pynet/reference/layers.py. */
#include "layers/layer.h"

static pn_status flatten_shape(layer *l, char *err)
{
    (void)err;
    l->out = (shape){.rank = 1, .dim = {shape_size(&l->in)}};
    return PN_OK;
}

const layer_ops flatten_ops = {.shape = flatten_shape};

/* ---- of channels-last images -------------------------------------------------------------------------------------- */

static void reorder_rows(const layer *l, const pass *p, activation to, activation from, bool backward)
{
    EACH_OWN_ROW (i, p)
        if (backward)
            sample_load(true, &l->in, row_of(to, i), row_of(from, i));
        else
            sample_store(true, &l->in, row_of(to, i), row_of(from, i));
}

static void flatten_forward(layer *l, const pass *p)
{
    reorder_rows(l, p, l->y, layer_input(l, p), false);
}

static void flatten_backward(layer *l, const pass *p)
{
    reorder_rows(l, p, l->dx, l->dy, true);
}

const layer_ops flatten_channels_last_ops = {
    .shape = flatten_shape, .forward = flatten_forward, .backward = flatten_backward};
