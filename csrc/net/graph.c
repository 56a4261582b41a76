/* From the words of a text to linked layers: their shapes, who reads whom, and in which order they are computed. */
#include "layers/layer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const layer_ops *const all_ops[PN_WORDS] = {
    [PN_DENSE] = &dense_ops,
    [PN_RELU] = &relu_ops,
    [PN_LEAKY_RELU] = &leaky_relu_ops,
    [PN_GELU] = &gelu_ops,
    [PN_SIGMOID] = &sigmoid_ops,
    [PN_TANH] = &tanh_ops,
    [PN_SOFTMAX] = &softmax_ops,
    [PN_FLATTEN] = &flatten_ops,
    [PN_DROPOUT] = &dropout_ops,
    [PN_BATCHNORM] = &batchnorm_ops,
    [PN_LAYERNORM] = &layernorm_ops,
    [PN_RESIDUAL] = &residual_ops,
    [PN_CONV] = &conv_ops,
    [PN_MAXPOOL] = &maxpool_ops,
    [PN_AVGPOOL] = &avgpool_ops,
    [PN_GLOBALAVGPOOL] = &avgpool_ops,
};

layer *layer_source(layer *l)
{
    return l && !l->ops->forward ? l->before : l;
}

bool layer_feeds_relu(const layer *l)
{
    const layer *next = l->after;
    while (next && next->ops->transparent)
        next = next->after;
    return next && next->ops->rectifies;
}

/* What the layers in a row have in common while it is built. */
typedef struct {
    layer *before; /* the last one with its own y; NULL: the inputs */
    layer *reader; /* the last one of the row, whose reader is not known yet */
    shape out;
} row;

/* The next layer of the network, a word that reads from `r`. */
static layer *add_layer(pn_net *net, const word *w, const row *r)
{
    layer *l = &net->layers[net->n_layers];
    l->number = net->n_layers;
    l->word = *w;
    l->ops = all_ops[w->kind];
    l->in = r->out;
    l->before = r->before;
    l->pixels = net->pixels;
    l->uses = 1;
    if (w->kind == PN_FLATTEN && is_turned(l->pixels, &l->in))
        l->ops = &flatten_pixels_ops;
    l->text = net->texts[net->n_layers];
    spec_print_word(net->texts[net->n_layers++], sizeof *net->texts, w);
    return l;
}

/* Its shape and parameters are known: counts it in. `branches`: what is nested in it reads x, too. */
static void finish_layer(pn_net *net, layer *l, row *r, bool branches)
{
    plan_copy(l);
    l->wants_dx = l->before && l->before->learns;
    l->learns = l->wants_dx || (l->inner && l->inner->learns) || (l->skip && l->skip->learns);
    for (int k = 0; k < l->n_params; k++) {
        const parameter *p = &l->param[k];
        l->learns = l->learns || !p->state;
        *(p->state ? &net->n_state : &net->n_parameters) += p->size;
        net->multiplies += (double)p->size * (double)l->uses;
        net->n_tensors++;
        net->n_trained += !p->state;
    }
    net->order[net->n_ordered++] = l;
    r->out = l->out;
    if (!l->ops->forward) /* a view: who reads it reads what it shows */
        return;
    if (r->reader && !branches)
        r->reader->after = l;
    r->reader = r->before = l;
}

/* The stride by which a convolution with a window of 1 by 1 takes images of one shape to the size of the other; 0: none. */
static int skip_stride(const shape *from, const shape *to)
{
    const int64_t stride = (from->dim[1] + to->dim[1] - 1) / to->dim[1];
    for (int axis = 1; axis < 3; axis++)
        if ((from->dim[axis] - 1) / stride + 1 != to->dim[axis])
            return 0;
    return (int)stride;
}

/* Where the shapes at both ends of a residual differ, a layer without bias takes x to the shape of the sum: dense, or
   between images a convolution with a window of 1 by 1 (He et al. 2016). */
static pn_status add_skip(pn_net *net, layer *l, const row *from, char *err)
{
    const bool images = l->in.rank == 3 && l->out.rank == 3;
    const int stride = images ? skip_stride(&l->in, &l->out) : 0;
    word projection = {.kind = PN_DENSE, .column = l->word.column, .arg = {(double)shape_size(&l->out), INIT_AUTO, NO}};
    row r = *from;
    if (images)
        projection = (word){
            .kind = PN_CONV, .column = l->word.column, .arg = {(double)l->out.dim[0], 1, stride, 0, INIT_AUTO, NO}};
    if (images ? !stride : l->out.rank != 1)
        return fail(err, PN_ERR_SPEC, "column %d: layer %s, residual, cannot add its input %s to what is inside, %s",
                    l->word.column, l->path, show_shape(&l->in).text, show_shape(&l->out).text);
    r.reader = NULL;
    l->skip = add_layer(net, &projection, &r);
    snprintf(l->skip->path, sizeof l->skip->path, "%.40s.skip", l->path);
    pn_status status = l->skip->ops->shape(l->skip, err);
    if (!status)
        finish_layer(net, l->skip, &r, true);
    l->skip->sum = l;
    return status;
}

/* Builds the layers of n words, nested ones not counted, that follow one another from `r`, whose paths begin alike. */
static pn_status add_row(pn_net *net, const word **next, int n, row *r, const char *path, char *err)
{
    for (int i = 0; i < n; i++) {
        const word *w = (*next)++;
        const row from = *r;
        layer *l = add_layer(net, w, r);
        snprintf(l->path, sizeof l->path, "%s%s%d", path, *path ? "." : "", i);
        pn_status status = PN_OK;
        if (w->children) {
            row inside = {.before = from.before, .out = from.out};
            status = add_row(net, next, w->children, &inside, l->path, err);
            l->inner = inside.before;
            l->out = inside.out;
            if (!status && l->inner == from.before)
                status = fail(err, PN_ERR_SPEC, "column %d: residual has nothing inside that computes", w->column);
            if (!status)
                l->inner->sum = l;
            if (!status && !same_shape(&l->in, &l->out))
                status = add_skip(net, l, &from, err);
            l->span = (int)(&net->layers[net->n_layers] - l) - 1;
        }
        if (!status)
            status = l->ops->shape(l, err);
        if (status)
            return status;
        finish_layer(net, l, r, w->children > 0);
    }
    return PN_OK;
}

/* A ReLU is done by the layer before it, and on the way back by the one behind it, where those can. */
static void fuse(layer *l)
{
    if (l->word.kind != PN_RELU)
        return;
    l->fused_forward = l->before && l->before->ops->fuses_forward && l->before->after == l;
    l->fused_backward = l->after && l->after->ops->fuses_backward && !l->after->copy_size;
}

/* The tensors in the order of memory and of files: those that an optimizer moves, then the layers' own. */
static void list_tensors(pn_net *net)
{
    int t = 0;
    for (int state = 0; state < 2; state++)
        for (int i = 0; i < net->n_layers; i++)
            for (int k = 0; k < net->layers[i].n_params; k++) {
                parameter *p = &net->layers[i].param[k];
                if (p->state != state)
                    continue;
                net->tensors[t].layer = i;
                net->tensors[t].parameter = p;
                snprintf(net->tensors[t].name, sizeof net->tensors[t].name, "%s.%s", net->layers[i].path, p->name);
                t++;
            }
}

pn_status graph_build(pn_net *net, char *err)
{
    const word *next = net->text.words;
    size_t most = (size_t)net->text.n_words; /* a residual may need a projection, too */
    int in_row = 0;
    for (int i = 0; i < net->text.n_words; i++)
        most += net->text.words[i].kind == PN_RESIDUAL;
    for (int i = 0; i < net->text.n_words; i++)
        in_row += !net->text.words[i].nested;
    net->layers = calloc(most, sizeof *net->layers);
    net->order = calloc(most, sizeof *net->order);
    net->texts = calloc(most, sizeof *net->texts);
    if (!net->layers || !net->order || !net->texts)
        return PN_ERR_MEMORY;

    for (int i = 0; i < net->text.n_words; i++)
        net->pixels = net->pixels || all_ops[net->text.words[i].kind]->on_images;
    row r = {.out = net->text.input};
    pn_status status = add_row(net, &next, in_row, &r, "", err);
    if (status)
        return status;
    int readers = 0; /* of the inputs */
    for (int i = 0; i < net->n_layers; i++) {
        const layer *l = &net->layers[i];
        fuse(&net->layers[i]);
        readers += !l->before;
        net->dense_first = net->dense_first || (!l->before && l->word.kind == PN_DENSE && !l->copy_size);
    }
    net->in_pieces = net->dense_first && readers == 1;
    net->last = net->order[net->n_layers - 1];
    net->head = net->n_layers - (net->text.loss.kind != PN_MSE); /* the closing softmax or sigmoid is the loss's */
    net->judged = net->head < net->n_layers ? net->last->before : layer_source(net->last);

    net->tensors = calloc((size_t)net->n_tensors + 1, sizeof *net->tensors);
    if (!net->tensors)
        return PN_ERR_MEMORY;
    list_tensors(net);
    return PN_OK;
}
