/* A network as a thing: built from its text, described, annotated, freed. run.c runs it. */
#include "internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- building ------------------------------------------------------------------------------------------------------ */

pn_status net_build(pn_net **out, const char *spec, char *err)
{
    pn_status status = PN_ERR_MEMORY;
    *out = NULL;
    fail(err, status, "no memory for a network");
    pn_net *net = calloc(1, sizeof *net);
    if (!net)
        return status;
    status = spec_parse(&net->text, spec, err);
    if (status)
        goto fail;

    fail(err, PN_ERR_MEMORY, "no memory for a network of %d layers", net->text.n_words);
    status = graph_build(net, err);
    if (status)
        goto fail;
    status = PN_ERR_MEMORY;
    net->spec = spec_print(&net->text);
    if (!net->spec)
        goto fail;
    for (int i = 0; i < 256; i++)
        kernels()->scale_u8(&net->byte_values[i], &(uint8_t){(uint8_t)i}, 1);
    err[0] = 0;
    *out = net;
    return PN_OK;
fail:
    pn_net_free(net);
    return status;
}

pn_status net_allocate(pn_net *net, char *err)
{
    net->parameters = aligned_zeros(net->n_parameters + net->n_state, sizeof *net->parameters);
    if (!net->parameters)
        return fail(err, PN_ERR_MEMORY, "no memory for %zu parameters", net->n_parameters + net->n_state);
    float *next = net->parameters;
    for (int t = 0; t < net->n_tensors; t++) {
        net->tensors[t].parameter->data = next;
        next += net->tensors[t].parameter->size;
    }
    return PN_OK;
}

pn_status pn_net_new(pn_net **out, const char *spec, uint64_t seed, char err[PN_ERRLEN])
{
    pn_status status = net_build(out, spec, err);
    if (status)
        return status;
    pn_net *net = *out;
    status = net_allocate(net, err);
    if (status) {
        pn_net_free(net);
        *out = NULL;
        return status;
    }
    net->seed = seed;
    const unsigned long fp = fp_enter();
    for (int i = 0; i < net->n_layers; i++)
        if (net->layers[i].ops->init)
            net->layers[i].ops->init(&net->layers[i], seed, (uint64_t)i);
    fp_leave(fp);
    return PN_OK;
}

void pn_net_free(pn_net *net)
{
    if (!net)
        return;
    for (int i = 0; i < net->n_notes; i++) {
        free(net->notes[i].key);
        free(net->notes[i].value);
    }
    free(net->notes);
    free(net->zeros);
    free(net->x);
    free(net->work);
    free(net->squares);
    free(net->memory);
    free(net->gradients);
    free(net->parameters);
    free(net->tensors);
    free(net->texts);
    free(net->order);
    free(net->layers);
    free(net->spec);
    spec_free(&net->text);
    free(net);
}

/* ---- describing ---------------------------------------------------------------------------------------------------- */

const char *pn_net_spec(const pn_net *net)
{
    return net->spec;
}

const char *pn_net_error(const pn_net *net)
{
    return net->error;
}

static void copy_shape(int *rank, int64_t dim[PN_MAXRANK], const shape *s)
{
    *rank = s->rank;
    memcpy(dim, s->dim, sizeof s->dim);
}

void pn_net_describe(const pn_net *net, pn_net_info *info)
{
    const shape *out = &net->last->out;
    *info = (pn_net_info){
        .layers = net->n_layers,
        .tensors = net->n_tensors,
        .parameters = (int64_t)net->n_parameters,
        .loss = net->text.loss.kind,
        .smoothing = net->text.loss.smoothing,
        .seed = net->seed,
        .updates = net->updates,
        .in_features = shape_size(&net->text.input),
        .out_features = shape_size(out),
    };
    copy_shape(&info->in_rank, info->in_shape, &net->text.input);
    copy_shape(&info->out_rank, info->out_shape, out);
}

void pn_net_set_updates(pn_net *net, uint64_t updates)
{
    net->updates = updates;
}

pn_status pn_net_layer(pn_net *net, int i, pn_layer_info *info)
{
    net->error[0] = 0;
    if (i < 0 || i >= net->n_layers)
        return fail(net->error, PN_ERR_ARGUMENT, "layer %d; this network has 0 to %d", i, net->n_layers - 1);
    const layer *l = &net->layers[i];
    *info = (pn_layer_info){.path = l->path, .kind = spec_word_name(l->word.kind), .text = net->texts[i]};
    copy_shape(&info->in_rank, info->in_shape, &l->in);
    copy_shape(&info->out_rank, info->out_shape, &l->out);
    info->args = spec_arguments(l->word.kind, info->arg_name);
    memcpy(info->arg, l->word.arg, sizeof l->word.arg);
    for (int k = 0; k < l->n_params; k++)
        info->parameters += l->param[k].state ? 0 : (int64_t)l->param[k].size;
    return PN_OK;
}

pn_status pn_net_tensor(pn_net *net, int i, pn_tensor *tensor)
{
    net->error[0] = 0;
    if (i < 0 || i >= net->n_tensors)
        return fail(net->error, PN_ERR_ARGUMENT, "tensor %d; this network has %d", i, net->n_tensors);
    const tensor_entry *t = &net->tensors[i];
    const parameter *p = t->parameter;
    *tensor = (pn_tensor){
        .name = t->name,
        .layer = t->layer,
        .rank = p->rank,
        .size = (int64_t)p->size,
        .data = p->data,
        .grad = net->has_gradients ? p->grad : NULL,
        .trained = !p->state,
    };
    memcpy(tensor->shape, p->dim, sizeof p->dim);
    return PN_OK;
}

pn_status net_check_finite(pn_net *net)
{
    const size_t n = net->n_parameters + net->n_state, bad = kernels()->first_nonfinite(net->parameters, n);
    if (bad == n)
        return PN_OK;
    const tensor_entry *t = net->tensors;
    while (bad >= (size_t)(t->parameter->data - net->parameters) + t->parameter->size)
        t++;
    return fail(net->error, PN_ERR_PARAMETER, "parameter %s holds %g at position %zu; training takes finite numbers",
                t->name, (double)net->parameters[bad], bad - (size_t)(t->parameter->data - net->parameters));
}

/* ---- notes --------------------------------------------------------------------------------------------------------- */

static void remove_note(pn_net *net, int i)
{
    free(net->notes[i].key);
    free(net->notes[i].value);
    net->n_notes--;
    memmove(&net->notes[i], &net->notes[i + 1], (size_t)(net->n_notes - i) * sizeof *net->notes);
}

pn_status pn_net_set_meta(pn_net *net, const char *key, const char *value)
{
    net->error[0] = 0;
    if (strncmp(key, "pynet", 5) == 0)
        return fail(net->error, PN_ERR_ARGUMENT, "key \"%.40s\" is the core's own: keys that begin with pynet are",
                    key);
    int i = 0;
    while (i < net->n_notes && strcmp(net->notes[i].key, key) != 0)
        i++;
    if (!value) {
        if (i < net->n_notes)
            remove_note(net, i);
        return PN_OK;
    }
    char *text = strdup(value);
    if (!text)
        goto fail;
    if (i < net->n_notes) {
        free(net->notes[i].value);
        net->notes[i].value = text;
        return PN_OK;
    }
    note *more = realloc(net->notes, (size_t)(net->n_notes + 1) * sizeof *more);
    if (!more)
        goto fail;
    net->notes = more;
    char *name = strdup(key);
    if (!name)
        goto fail;
    net->notes[net->n_notes++] = (note){.key = name, .value = text};
    return PN_OK;
fail:
    free(text);
    return fail(net->error, PN_ERR_MEMORY, "no memory for the note \"%.40s\"", key);
}

const char *pn_net_meta_key(const pn_net *net, int i)
{
    return i >= 0 && i < net->n_notes ? net->notes[i].key : NULL;
}

const char *pn_net_meta_value(const pn_net *net, int i)
{
    return i >= 0 && i < net->n_notes ? net->notes[i].value : NULL;
}
