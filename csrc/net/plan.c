/* Where inference keeps the outputs of layers: in a few slots that they share, since an output is not needed any more
   once the last layer that reads it has run. All slots have the width of the widest, so that the rows of the threads do
   not overlap. */
#include "net/net.h"

enum {
    MOST_SLOTS = MAX_NEST + 4, /* x, its copy and y; and x of each residual around them */
    LARGE_WEIGHTS = 1 << 17    /* 512 kB: half of a second-level cache */
};

/* The place in the order of computation from which each slot is free. */
typedef struct {
    int free_from[MOST_SLOTS];
} occupation;

/* A slot that is free at `place`, until the one after `last`. */
static int take_slot(net_graph *graph, occupation *o, int place, int last)
{
    int slot = 0;
    while (o->free_from[slot] > place)
        slot++;
    o->free_from[slot] = last + 1;
    if (slot >= graph->slots)
        graph->slots = slot + 1;
    return slot;
}

static void find_last_readers(const net_graph *graph)
{
    for (int i = 0; i < graph->n_ordered; i++) {
        layer *l = graph->order[i];
        layer *const reads[] = {l->residual.skip ? l->residual.skip : l->before, l->residual.inner};
        for (int k = 0; k < 2; k++)
            if (reads[k])
                reads[k]->last_reader = i;
    }
    layer *const results[] = {layer_source(graph->last), graph->loss_input};
    for (int k = 0; k < 2; k++)
        if (results[k])
            results[k]->last_reader = graph->n_ordered;
}

void plan_inference(net_graph *graph)
{
    occupation o = {0};
    find_last_readers(graph);
    for (int i = 0; i < graph->n_ordered; i++) {
        layer *l = graph->order[i];
        graph->large_weights =
            graph->large_weights || (l->n_params && l->uses == 1 && l->param[WEIGHTS].size > LARGE_WEIGHTS);
        if (!l->ops->forward) /* a view */
            continue;
        if (l->copy_size) {
            l->copy_slot = take_slot(graph, &o, i, i);
            if (l->before && l->before->last_reader == i)
                o.free_from[l->before->y_slot] = i; /* forward reads the copy */
        }
        const layer *computes = l->fused_forward ? l->before : NULL; /* y already */
        l->y_slot = computes ? computes->y_slot : take_slot(graph, &o, i, l->last_reader);
        if (computes)
            o.free_from[l->y_slot] = l->last_reader + 1;
        const size_t y = padded(shape_size(&l->out)), copy = padded((int64_t)l->copy_size);
        graph->slot_size = graph->slot_size > y ? graph->slot_size : y;
        graph->slot_size = graph->slot_size > copy ? graph->slot_size : copy;
    }
    graph->slot_size = row_distance((int64_t)graph->slot_size);
}
