/* Memory in advance, for calls that then allocate none, and how much a network takes. */
#include "net/run.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* The pictures for whose augmentation to reserve memory: those of the last call, those of the input, or square ones of
   one or three channels. False: there are none. */
static bool likely_pictures(const pn_net *net, pn_augment *options)
{
    const shape *in = &net->text.input;
    if (net->augmenter) {
        *options = *augmenter_options(net->augmenter);
        return true;
    }
    if (in->rank == 3) {
        pn_augment_default(options, (int)in->dim[1], (int)in->dim[2]);
        return true;
    }
    for (int channels = 1; channels <= 3; channels += 2) {
        const int side = (int)(sqrt((double)in->dim[0] / channels) + 0.5);
        pn_augment_default(options, side, side);
        if ((int64_t)side * side * channels == in->dim[0])
            return true;
    }
    return false;
}

/* Does a product of a dense layer on at most so many rows take a buffer of the process? */
static bool takes_scratch(const pn_net *net, int64_t rows, bool training)
{
    for (int i = 0; i < net->graph.n_layers; i++) {
        const layer *l = &net->graph.layers[i];
        if (l->word.kind == PN_DENSE &&
            product_may_pack(rows, l->param[WEIGHTS].dim[1], l->param[WEIGHTS].dim[0], training && l->needs_dx))
            return true;
    }
    return false;
}

static pn_status check_reserve(pn_net *net, int64_t rows, const pn_optim *opt)
{
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (rows < 1 || rows > INT_MAX / 2)
        return fail(net->error, PN_ERR_ARGUMENT, "rows is %lld; accepted: 1 to %d", (long long)rows, INT_MAX / 2);
    return opt ? optim_check(opt, 1, net->error) : PN_OK;
}

static pn_status reserve_steps(pn_net *net, int64_t rows, const pn_optim *opt)
{
    pn_augment pictures;
    pn_status status = reserve_training(net, rows, opt);
    if (!status)
        status = optim_allocate(net, opt);
    if (!status && likely_pictures(net, &pictures))
        status = augmenter_set(&net->augmenter, &pictures, &net->text.input, input_copies(net, rows), net->error);
    return status;
}

pn_status pn_net_reserve(pn_net *net, int64_t rows, const pn_optim *opt)
{
    pn_status status = check_reserve(net, rows, opt);
    if (!status)
        status = reserve_inference(net, rows);
    if (!status && opt)
        status = reserve_steps(net, rows, opt);
    if (status)
        return status;
    work_block *blocks = net->work.blocks;
    for (int i = 0; i < PURPOSES; i++)
        if ((opt || i == FOR_INFERENCE) && rows > blocks[i].reserved)
            blocks[i].reserved = (int)rows;
    if (takes_scratch(net, rows, opt))
        scratch_reserve(worthwhile_threads(net, rows)); /* without them products are slower, but the same */
    return PN_OK;
}

/* All but what the calls above allocate. */
static uint64_t structure_size(const pn_net *net)
{
    const network_text *text = &net->text;
    size_t words = 1, layers = (size_t)text->n_words;
    uint64_t bytes = net->most_notes ? memory_size((size_t)net->most_notes * sizeof(note)) : 0;
    while (words < (size_t)text->n_words)
        words *= 2;
    for (int i = 0; i < net->n_notes; i++)
        bytes += memory_size(strlen(net->notes[i].key) + 1) + memory_size(strlen(net->notes[i].value) + 1);
    for (int i = 0; i < text->n_words; i++)
        layers += text->words[i].kind == PN_RESIDUAL;
    return bytes + memory_size(sizeof *net) + memory_size(words * sizeof *text->words) +
           memory_size(strlen(net->spec) + 1) + memory_size(layers * sizeof *net->graph.layers) +
           memory_size(layers * sizeof *net->graph.order) +
           memory_size(((size_t)net->n_tensors + 1) * sizeof *net->tensors) +
           memory_size((uint64_t)(net->n_parameters + net->n_running) * sizeof *net->parameters);
}

pn_status pn_net_memory(pn_net *net, int64_t rows, const pn_optim *opt, size_t *bytes)
{
    pn_augment pictures;
    pn_status status = check_reserve(net, rows, opt);
    if (!status)
        status = check_pointer(net, bytes, "bytes");
    if (status)
        return status;
    const bool gradients = net->gradients || (opt && stores_gradients(net, rows, opt));
    const bool augments = opt && likely_pictures(net, &pictures);
    const uint64_t all =
        structure_size(net) + work_size(net, rows, opt) + optim_size(net, opt) +
        (gradients ? memory_size((uint64_t)net->n_parameters * sizeof *net->gradients) : 0) +
        (net->partial_sums ? memory_size((uint64_t)net->partial_sums * net->n_parameters * sizeof(float)) : 0) +
        augmenter_size(net->augmenter, augments ? &pictures : NULL, &net->text.input, input_copies(net, rows));
    *bytes = all < SIZE_MAX ? (size_t)all : SIZE_MAX; /* where addresses have 32 bits */
    return PN_OK;
}
