/* From the words of a text to linked layers: their shapes, which layer reads which, and the order of computation. */
#include "net/net.h"

#include <stdio.h>
#include <string.h>

/* The end of a sequence of layers while it is built. */
typedef struct {
    layer *before; /* the last layer with its own y; NULL: the inputs */
    layer *unread; /* the same, or NULL if a layer outside of the sequence also reads its y */
    shape out;
} sequence;

/* Appends a layer to the net's list. It reads the end of sequence r. */
static layer *add_layer(pn_net *net, const word *w, const sequence *r)
{
    layer *l = &net->graph.layers[net->graph.n_layers];
    l->number = net->graph.n_layers++;
    l->word = *w;
    l->ops = layer_kinds[w->kind];
    l->in = r->out;
    l->before = r->before;
    l->channels_last = net->graph.channels_last;
    l->uses = 1;
    if (w->kind == PN_FLATTEN && is_channels_last(l->channels_last, &l->in))
        l->ops = &flatten_channels_last_ops;
    writer to = {.at = l->text, .left = sizeof l->text};
    spec_print_word(&to, w);
    return l;
}

/* Once shape and parameters are known: counts them and appends l to sequence r. branches: layers nested in l read its
   x, so that l is not the only reader. */
static void finish_layer(pn_net *net, layer *l, sequence *r, bool branches)
{
    plan_copy(l);
    l->needs_dx = l->before && l->before->trainable;
    l->trainable = l->needs_dx || (l->residual.inner && l->residual.inner->trainable) ||
                   (l->residual.skip && l->residual.skip->trainable);
    for (int k = 0; k < l->n_params; k++) {
        const parameter *p = &l->param[k];
        l->trainable = l->trainable || !p->running;
        *(p->running ? &net->n_running : &net->n_parameters) += p->size;
        net->graph.multiplies += (double)p->size * (double)l->uses;
        net->n_tensors++;
        net->n_trained += !p->running;
    }
    net->graph.order[net->graph.n_ordered++] = l;
    r->out = l->out;
    if (!l->ops->forward) /* a view: the next layer reads the y of the one before it */
        return;
    if (r->unread && !branches)
        r->unread->after = l;
    r->unread = r->before = l;
}

/* The stride with which a convolution by a 1 by 1 kernel maps images of one size to the other; 0: there is none. */
static int skip_stride(const shape *from, const shape *to)
{
    const int64_t stride = (from->dim[1] + to->dim[1] - 1) / to->dim[1];
    for (int axis = 1; axis < 3; axis++)
        if ((from->dim[axis] - 1) / stride + 1 != to->dim[axis])
            return 0;
    return (int)stride;
}

/* Adds the projection of a residual whose input and output shapes differ: a dense layer without bias, or between images
   a 1 by 1 convolution (He et al. 2016). */
static pn_status add_skip(pn_net *net, layer *l, const sequence *from, char *err)
{
    const bool images = l->in.rank == 3 && l->out.rank == 3;
    const int stride = images ? skip_stride(&l->in, &l->out) : 0;
    const argument init = {.is_choice = true, .choice = INIT_AUTO}, no_bias = {.is_choice = true, .choice = NO};
    word projection = {
        .kind = PN_DENSE, .column = l->word.column, .arg = {{.number = (double)shape_size(&l->out)}, init, no_bias}};
    sequence r = *from;
    if (images)
        projection =
            (word){.kind = PN_CONV,
                   .column = l->word.column,
                   .arg = {{.number = (double)l->out.dim[0]}, {.number = 1}, {.number = stride}, {0}, init, no_bias}};
    if (images ? !stride : l->out.rank != 1)
        return fail(err, PN_ERR_SPEC,
                    "column %d: layer %s, residual, cannot add its input %s to the output %s of the layers in it",
                    l->word.column, l->path, show_shape(&l->in).text, show_shape(&l->out).text);
    r.unread = NULL;
    l->residual.skip = add_layer(net, &projection, &r);
    snprintf(l->residual.skip->path, sizeof l->residual.skip->path, "%.40s.skip", l->path);
    pn_status status = l->residual.skip->ops->shape(l->residual.skip, err);
    if (!status)
        finish_layer(net, l->residual.skip, &r, true);
    l->residual.skip->sum = l;
    return status;
}

/* Appends the layers of n words, nested ones not counted, to sequence r. Their paths begin with `path`. */
static pn_status add_sequence(pn_net *net, const word **next, int n, sequence *r, const char *path, char *err)
{
    for (int i = 0; i < n; i++) {
        const word *w = (*next)++;
        const sequence from = *r;
        layer *l = add_layer(net, w, r);
        snprintf(l->path, sizeof l->path, "%s%s%d", path, *path ? "." : "", i);
        pn_status status = PN_OK;
        if (w->children) {
            sequence inside = {.before = from.before, .out = from.out};
            status = add_sequence(net, next, w->children, &inside, l->path, err);
            l->residual.inner = inside.before;
            l->out = inside.out;
            if (!status && l->residual.inner == from.before)
                status = fail(err, PN_ERR_SPEC, "column %d: residual has only views inside", w->column);
            if (!status)
                l->residual.inner->sum = l;
            if (!status && !same_shape(&l->in, &l->out))
                status = add_skip(net, l, &from, err);
            l->residual.span = (int)(&net->graph.layers[net->graph.n_layers] - l) - 1;
        }
        if (!status && l->ops->shape)
            status = l->ops->shape(l, err);
        if (status)
            return status;
        finish_layer(net, l, r, w->children > 0);
    }
    return PN_OK;
}

/* Marks a ReLU that the layer before it computes in forward, and one that the layer after it computes in backward. */
static void fuse(layer *l)
{
    if (l->word.kind != PN_RELU)
        return;
    l->fused_forward = l->before && l->before->ops->fuses_forward && l->before->after == l;
    l->fused_backward = l->after && (l->after->ops->fuses_backward || l->after->winograd) && !l->after->copy_size;
}

/* The tensors in the order of memory and of files: trained parameters, then running statistics. */
static void list_tensors(pn_net *net)
{
    tensor_entry *t = net->tensors;
    for (int running = 0; running < 2; running++)
        for (int i = 0; i < net->graph.n_layers; i++)
            for (int k = 0; k < net->graph.layers[i].n_params; k++) {
                layer *l = &net->graph.layers[i];
                if (l->param[k].running != running)
                    continue;
                *t = (tensor_entry){.layer = i, .parameter = &l->param[k]};
                snprintf(t->name, sizeof t->name, "%s.%s", l->path, l->param[k].name);
                t++;
            }
}

/* Marks fused layers, and finds the layers that are special to the net: first, last, at the loss. */
static void find_roles(net_graph *graph, const network_text *text)
{
    int readers = 0; /* of the inputs */
    for (int i = 0; i < graph->n_layers; i++) {
        layer *l = &graph->layers[i];
        fuse(l);
        graph->winograd = graph->winograd || l->winograd;
        readers += !l->before && l->ops->forward;
        graph->dense_first = graph->dense_first || (!l->before && l->word.kind == PN_DENSE && !l->copy_size);
    }
    graph->in_pieces = graph->dense_first && readers == 1;
    graph->last = graph->order[graph->n_layers - 1];
    graph->standardize = text->words[0].kind == PN_STANDARDIZE ? &graph->layers[0] : NULL;
    graph->rescale = text->loss.rescaled ? graph->last : NULL;
    /* the loss includes softmax or sigmoid, and reads x of rescale */
    const bool includes_last = graph->rescale || text->loss.kind == PN_CROSS_ENTROPY || text->loss.kind == PN_BCE;
    graph->head = graph->n_layers - includes_last;
    graph->loss_input = includes_last ? graph->last->before : layer_source(graph->last);
}

pn_status graph_build(pn_net *net, char *err)
{
    net_graph *graph = &net->graph;
    const network_text *text = &net->text;
    const word *next = text->words;
    size_t most = (size_t)text->n_words; /* and one for each residual, which may need a projection */
    int top_level = 0;
    for (int i = 0; i < text->n_words; i++) {
        most += text->words[i].kind == PN_RESIDUAL;
        top_level += !text->words[i].nested;
        graph->channels_last = graph->channels_last || layer_kinds[text->words[i].kind]->on_images;
    }
    graph->layers = memory_zeros(most, sizeof *graph->layers);
    graph->order = memory_zeros(most, sizeof *graph->order);
    if (!graph->layers || !graph->order)
        return fail(err, PN_ERR_MEMORY, "no memory for a network of %d layers", text->n_words);
    sequence r = {.out = text->input};
    const pn_status status = add_sequence(net, &next, top_level, &r, "", err);
    if (status)
        return status;
    find_roles(graph, text);
    plan_inference(graph);
    net->tensors = memory_zeros((size_t)net->n_tensors + 1, sizeof *net->tensors);
    if (!net->tensors)
        return fail(err, PN_ERR_MEMORY, "no memory for the list of %d tensors", net->n_tensors);
    list_tensors(net);
    return PN_OK;
}
