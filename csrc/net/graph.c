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
    l->number = net->graph.n_layers;
    l->word = *w;
    l->ops = layer_kinds[w->kind];
    l->in = r->out;
    l->before = r->before;
    l->channels_last = net->graph.channels_last;
    l->uses = 1;
    if (w->kind == PN_FLATTEN && is_channels_last(l->channels_last, &l->in))
        l->ops = &flatten_channels_last_ops;
    l->text = net->graph.texts[net->graph.n_layers];
    writer to = {.at = net->graph.texts[net->graph.n_layers++], .left = sizeof *net->graph.texts};
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
        if (!status)
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
    int t = 0;
    for (int state = 0; state < 2; state++)
        for (int i = 0; i < net->graph.n_layers; i++)
            for (int k = 0; k < net->graph.layers[i].n_params; k++) {
                parameter *p = &net->graph.layers[i].param[k];
                if (p->running != state)
                    continue;
                net->tensors[t].layer = i;
                net->tensors[t].parameter = p;
                snprintf(net->tensors[t].name, sizeof net->tensors[t].name, "%s.%s", net->graph.layers[i].path,
                         p->name);
                t++;
            }
}

pn_status graph_build(pn_net *net, char *err)
{
    const word *next = net->text.words;
    size_t most = (size_t)net->text.n_words; /* and one for each residual, which may need a projection */
    int top_level = 0;
    for (int i = 0; i < net->text.n_words; i++)
        most += net->text.words[i].kind == PN_RESIDUAL;
    for (int i = 0; i < net->text.n_words; i++)
        top_level += !net->text.words[i].nested;
    net->graph.layers = memory_zeros(most, sizeof *net->graph.layers);
    net->graph.order = memory_zeros(most, sizeof *net->graph.order);
    net->graph.texts = memory_zeros(most, sizeof *net->graph.texts);
    if (!net->graph.layers || !net->graph.order || !net->graph.texts)
        return fail(err, PN_ERR_MEMORY, "no memory for a network of %d layers", net->text.n_words);

    for (int i = 0; i < net->text.n_words; i++)
        net->graph.channels_last = net->graph.channels_last || layer_kinds[net->text.words[i].kind]->on_images;
    sequence r = {.out = net->text.input};
    pn_status status = add_sequence(net, &next, top_level, &r, "", err);
    if (status)
        return status;
    int readers = 0; /* of the inputs */
    for (int i = 0; i < net->graph.n_layers; i++) {
        const layer *l = &net->graph.layers[i];
        fuse(&net->graph.layers[i]);
        net->graph.winograd = net->graph.winograd || l->winograd;
        readers += !l->before && l->ops->forward;
        net->graph.dense_first = net->graph.dense_first || (!l->before && l->word.kind == PN_DENSE && !l->copy_size);
    }
    net->graph.in_pieces = net->graph.dense_first && readers == 1;
    net->graph.last = net->graph.order[net->graph.n_layers - 1];
    if (net->text.words[0].kind == PN_STANDARDIZE)
        net->graph.standardize = &net->graph.layers[0];
    if (net->text.loss.rescaled)
        net->graph.rescale = net->graph.last;
    net->graph.head = /* the loss includes softmax or sigmoid, and reads x of rescale */
        net->graph.n_layers -
        (net->graph.rescale || net->text.loss.kind == PN_CROSS_ENTROPY || net->text.loss.kind == PN_BCE);
    net->graph.loss_input =
        net->graph.head < net->graph.n_layers ? net->graph.last->before : layer_source(net->graph.last);

    plan_inference(net);
    net->tensors = memory_zeros((size_t)net->n_tensors + 1, sizeof *net->tensors);
    if (!net->tensors)
        return fail(err, PN_ERR_MEMORY, "no memory for the list of %d tensors", net->n_tensors);
    list_tensors(net);
    return PN_OK;
}
