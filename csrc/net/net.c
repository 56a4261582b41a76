/* The network: built from its text, described, annotated with notes, freed. run.c runs it. */
#include "net/net.h"

#include <stdio.h>
#include <string.h>

/* ---- building ------------------------------------------------------------------------------------------------------ */

/* Does the number of parameters, all together, fit a size_t? */
static pn_status check_total(const pn_net *net, char *err)
{
    uint64_t total = 0;
    for (int t = 0; t < net->n_tensors; t++)
        total += net->tensors[t].parameter->size;
    return total == (size_t)total
               ? PN_OK
               : fail(err, PN_ERR_MEMORY, "no memory for %llu parameters", (unsigned long long)total);
}

pn_status net_build(pn_net **out, const char *spec, char *err)
{
    *out = NULL;
    if (!spec)
        return fail(err, PN_ERR_ARGUMENT, "the text of the network is NULL");
    pn_net *net = memory_zeros(1, sizeof *net);
    if (!net)
        return fail(err, PN_ERR_MEMORY, "no memory for a network");
    pn_status status = spec_parse(&net->text, spec, err);
    if (!status)
        status = graph_build(net, err);
    if (!status)
        status = check_total(net, err);
    if (!status && !(net->spec = spec_print(&net->text)))
        status = fail(err, PN_ERR_MEMORY, "no memory for the text of a network");
    if (!status && strlen(net->spec) > MAX_TEXT)
        status = fail(err, PN_ERR_SPEC, "the text of the network takes %zu bytes; accepted: at most %d",
                      strlen(net->spec), MAX_TEXT);
    if (status) {
        pn_net_free(net);
        return status;
    }
    for (int i = 0; i < 256; i++)
        kernels()->scale_u8(&net->byte_values[i], &(uint8_t){(uint8_t)i}, 1);
    err[0] = 0;
    *out = net;
    return PN_OK;
}

pn_status net_allocate(pn_net *net, char *err)
{
    net->parameters = memory_zeros(net->n_parameters + net->n_running, sizeof *net->parameters);
    if (!net->parameters)
        return fail(err, PN_ERR_MEMORY, "no memory for %zu parameters", net->n_parameters + net->n_running);
    float *next = net->parameters;
    for (int t = 0; t < net->n_tensors; t++) {
        net->tensors[t].parameter->data = next;
        next += net->tensors[t].parameter->size;
    }
    return PN_OK;
}

pn_status pn_net_new(pn_net **out, const char *spec, uint64_t seed, char err[PN_ERRLEN])
{
    char unused[PN_ERRLEN];
    err = err ? err : unused;
    if (!out)
        return fail(err, PN_ERR_ARGUMENT, "the pointer for the network is NULL");
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
    for (int i = 0; i < net->graph.n_layers; i++)
        if (net->graph.layers[i].ops->init)
            net->graph.layers[i].ops->init(&net->graph.layers[i], seed);
    fp_leave(fp);
    return PN_OK;
}

void pn_net_free(pn_net *net)
{
    if (!net)
        return;
    for (int i = 0; i < net->n_notes; i++) {
        memory_free(net->notes[i].key);
        memory_free(net->notes[i].value);
    }
    memory_free(net->notes);
    for (int i = 0; i < PURPOSES; i++)
        memory_free(net->work.blocks[i].block);
    augmenter_free(net->augmenter);
    memory_free(net->optimizer.squares);
    memory_free(net->optimizer.state);
    memory_free(net->optimizer.old_state);
    memory_free(net->gradients);
    memory_free(net->partial_gradients);
    memory_free(net->parameters);
    memory_free(net->tensors);
    memory_free(net->graph.order);
    memory_free(net->graph.layers);
    memory_free(net->spec);
    spec_free(&net->text);
    memory_free(net);
}

/* ---- describing ---------------------------------------------------------------------------------------------------- */

const char *pn_net_spec(const pn_net *net)
{
    return net ? net->spec : NULL;
}

bool net_begin(pn_net *net)
{
    if (net)
        net->error[0] = 0;
    return net;
}

const char *pn_net_error(const pn_net *net)
{
    return net ? net->error : "the network is NULL";
}

static void copy_shape(int *rank, int64_t dim[PN_MAXRANK], const shape *s)
{
    *rank = s->rank;
    memcpy(dim, s->dim, sizeof s->dim);
}

void pn_net_describe(const pn_net *net, pn_net_info *info)
{
    if (info)
        *info = (pn_net_info){0};
    if (!net || !info)
        return;
    const shape *out = &net->graph.last->out;
    *info = (pn_net_info){
        .layers = net->graph.n_layers,
        .tensors = net->n_tensors,
        .parameters = (int64_t)net->n_parameters,
        .loss = net->text.loss.kind,
        .smoothing = net->text.loss.smoothing,
        .delta = net->text.loss.kind == PN_HUBER ? net->text.loss.delta : 0,
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
    if (net)
        net->updates = updates;
}

pn_status pn_net_layer(pn_net *net, int i, pn_layer_info *info)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    pn_status status = check_layer(net, i);
    if (!status)
        status = check_pointer(net, info, "info");
    if (status)
        return status;
    const layer *l = &net->graph.layers[i];
    *info = (pn_layer_info){.path = l->path, .kind = spec_word_name(l->word.kind), .text = l->text};
    copy_shape(&info->in_rank, info->in_shape, &l->in);
    copy_shape(&info->out_rank, info->out_shape, &l->out);
    info->args = spec_arguments(&l->word, info->arg_name, info->arg);
    for (int k = 0; k < l->n_params; k++)
        info->parameters += l->param[k].running ? 0 : (int64_t)l->param[k].size;
    return PN_OK;
}

pn_tensor net_tensor(const pn_net *net, int i)
{
    const tensor_entry *t = &net->tensors[i];
    const parameter *p = t->parameter;
    pn_tensor tensor = {
        .name = t->name,
        .layer = t->layer,
        .rank = p->rank,
        .size = (int64_t)p->size,
        .data = p->data,
        .grad = net->has_gradients ? p->grad : NULL,
        .trained = !p->running,
    };
    memcpy(tensor.shape, p->dim, sizeof p->dim);
    return tensor;
}

pn_status pn_net_tensor(pn_net *net, int i, pn_tensor *tensor)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (i < 0 || i >= net->n_tensors)
        return fail(net->error, PN_ERR_ARGUMENT, "tensor %d; this network has %d", i, net->n_tensors);
    const pn_status status = check_pointer(net, tensor, "tensor");
    if (!status)
        *tensor = net_tensor(net, i);
    return status;
}

/* The tensor that holds element `at` of the parameters, and the element's index in it. */
static const tensor_entry *tensor_at(const pn_net *net, size_t at, size_t *place)
{
    const tensor_entry *t = net->tensors;
    while (at >= (size_t)(t->parameter->data - net->parameters) + t->parameter->size)
        t++;
    *place = at - (size_t)(t->parameter->data - net->parameters);
    return t;
}

static pn_status check_ranges(const pn_net *net, char *err)
{
    pn_status status = PN_OK;
    for (const layer *l = net->graph.layers, *end = l + net->graph.n_layers; l < end && !status; l++)
        if (l->ops->check_parameters)
            status = l->ops->check_parameters(l, err);
    return status;
}

pn_status net_check_parameters(const pn_net *net, char *err)
{
    const size_t n = net->n_parameters + net->n_running, bad = kernels()->first_nonfinite(net->parameters, n);
    size_t place;
    if (bad == n)
        return check_ranges(net, err);
    const char *name = tensor_at(net, bad, &place)->name;
    return fail(err, PN_ERR_PARAMETER, "parameter %s holds %g at position %zu; accepted: finite numbers", name,
                (double)net->parameters[bad], place);
}

pn_status net_prepare_scaling(pn_net *net)
{
    layer *first = net->graph.standardize, *last = net->graph.rescale;
    const pn_status status = check_ranges(net, net->error);
    if (!status && first)
        scaling_prepare(first);
    if (!status && last)
        scaling_prepare(last);
    return status;
}

pn_status net_check_gradients(pn_net *net)
{
    const size_t n = net->n_parameters, bad = kernels()->first_nonfinite(net->gradients, n);
    size_t place;
    if (bad == n)
        return PN_OK;
    const char *name = tensor_at(net, bad, &place)->name;
    return fail(net->error, PN_ERR_NONFINITE, "the gradient of %s is %g at position %zu; no step was taken", name,
                (double)net->gradients[bad], place);
}

/* ---- notes --------------------------------------------------------------------------------------------------------- */

static void remove_note(pn_net *net, int i)
{
    memory_free(net->notes[i].key);
    memory_free(net->notes[i].value);
    net->n_notes--;
    memmove(&net->notes[i], &net->notes[i + 1], (size_t)(net->n_notes - i) * sizeof *net->notes);
}

static int find_note(const pn_net *net, const char *key)
{
    int i = 0;
    while (i < net->n_notes && strcmp(net->notes[i].key, key) != 0)
        i++;
    return i;
}

/* As JSON, with a colon and a comma. */
static size_t note_size(const char *key, const char *value)
{
    return json_size(key) + json_size(value) + 2;
}

/* Could the network still be saved with this note instead of note i, when all take so many bytes? */
static pn_status check_note(pn_net *net, int i, const char *key, const char *value, size_t bytes)
{
    if (!utf8_valid(key) || !utf8_valid(value))
        return fail(net->error, PN_ERR_ARGUMENT, "note \"%.40s\" is not UTF-8 text", utf8_valid(key) ? key : "?");
    if (i == MAX_NOTES)
        return fail(net->error, PN_ERR_ARGUMENT, "note \"%.40s\" is one too many; accepted: %d", key, MAX_NOTES);
    if (bytes > MAX_NOTE_BYTES)
        return fail(net->error, PN_ERR_ARGUMENT, "with note \"%.40s\" all notes take %zu bytes; accepted: at most %d",
                    key, bytes, MAX_NOTE_BYTES);
    return PN_OK;
}

pn_status pn_net_set_meta(pn_net *net, const char *key, const char *value)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (!key)
        return fail(net->error, PN_ERR_ARGUMENT, "the key of a note is NULL");
    if (strncmp(key, "pynet", 5) == 0)
        return fail(net->error, PN_ERR_ARGUMENT,
                    "key \"%.40s\" is reserved: keys that begin with pynet belong to the core", key);
    const int i = find_note(net, key);
    const size_t before = i < net->n_notes ? note_size(key, net->notes[i].value) : 0;
    const size_t bytes = net->note_bytes - before + (value ? note_size(key, value) : 0);
    pn_status status = value ? check_note(net, i, key, value, bytes) : PN_OK;
    if (status)
        return status;
    if (!value) {
        if (i < net->n_notes)
            remove_note(net, i);
        net->note_bytes = bytes;
        return PN_OK;
    }
    char *text = memory_copy(value);
    if (!text)
        goto fail;
    if (i < net->n_notes) {
        memory_free(net->notes[i].value);
        net->notes[i].value = text;
        net->note_bytes = bytes;
        return PN_OK;
    }
    if (net->n_notes == net->most_notes) {
        note *more = memory_grow(net->notes, (size_t)net->n_notes, sizeof *more);
        if (!more)
            goto fail;
        net->notes = more;
        net->most_notes = net->n_notes ? 2 * net->n_notes : 1;
    }
    char *name = memory_copy(key);
    if (!name)
        goto fail;
    net->notes[net->n_notes++] = (note){.key = name, .value = text};
    net->note_bytes = bytes;
    return PN_OK;
fail:
    memory_free(text);
    return fail(net->error, PN_ERR_MEMORY, "no memory for the note \"%.40s\"", key);
}

const char *pn_net_meta(const pn_net *net, const char *key)
{
    return net && key ? pn_net_meta_value(net, find_note(net, key)) : NULL;
}

const char *pn_net_meta_key(const pn_net *net, int i)
{
    return net && i >= 0 && i < net->n_notes ? net->notes[i].key : NULL;
}

const char *pn_net_meta_value(const pn_net *net, int i)
{
    return net && i >= 0 && i < net->n_notes ? net->notes[i].value : NULL;
}
