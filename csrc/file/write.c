/* Writes a model file. */
#include "file/file.h"

/* Can this tensor of a checkpoint be loaded again? */
static pn_status check_tensor(const pn_tensor *t, char *err)
{
    int64_t size = 1;
    if (!t->name || !is_checkpoint_name(t->name))
        return fail(err, PN_ERR_ARGUMENT,
                    "tensor %s of a checkpoint; its name begins with a letter, then come letters, digits, dots and _",
                    t->name ? show(t->name).text : "without a name");
    if (t->rank < 0 || t->rank > PN_MAXRANK)
        return fail(err, PN_ERR_ARGUMENT, "tensor %s has rank %d; accepted: 0 to %d", show(t->name).text, t->rank,
                    PN_MAXRANK);
    for (int d = 0; d < t->rank; d++)
        if (t->shape[d] < 0 || __builtin_mul_overflow(size, t->shape[d], &size))
            return fail(err, PN_ERR_ARGUMENT, "tensor %s has %lld at axis %d of its shape; accepted: 0 to what fits",
                        show(t->name).text, (long long)t->shape[d], d);
    if (t->size != size || size > PTRDIFF_MAX / (int64_t)sizeof(float))
        return fail(err, PN_ERR_ARGUMENT, "tensor %s has size %lld; its shape has %lld numbers", show(t->name).text,
                    (long long)t->size, (long long)size);
    if (size > 0 && !t->data)
        return fail(err, PN_ERR_ARGUMENT, "the data of tensor %s is NULL", show(t->name).text);
    return PN_OK;
}

/* Checks a checkpoint as loading does. */
static pn_status check_extras(const pn_net *net, const pn_checkpoint *more, char *err)
{
    const int most = MAX_ENTRIES - net->n_tensors;
    if (!more->text || !utf8_valid(more->text))
        return fail(err, PN_ERR_ARGUMENT, "the text of the checkpoint is %s", more->text ? "not UTF-8" : "NULL");
    if (more->tensors < 0 || more->tensors > most)
        return fail(err, PN_ERR_ARGUMENT, "%d tensors in the checkpoint; accepted: 0 to %d", more->tensors, most);
    if (more->tensors > 0 && !more->tensor)
        return fail(err, PN_ERR_ARGUMENT, "the list of %d tensors in the checkpoint is NULL", more->tensors);
    for (int i = 0; i < more->tensors; i++) {
        const pn_status status = check_tensor(&more->tensor[i], err);
        if (status)
            return status;
    }
    return check_names(more->tensor, more->tensors, err);
}

/* Writes the entry of a tensor that begins at byte `at` of the data; returns the byte after its end. */
static unsigned long long write_entry(writer *to, const pn_tensor *t, unsigned long long at)
{
    const unsigned long long end = at + (uint64_t)t->size * sizeof(float);
    print(to, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", t->name);
    for (int d = 0; d < t->rank; d++)
        print(to, d ? ",%lld" : "%lld", (long long)t->shape[d]);
    print(to, "],\"data_offsets\":[%llu,%llu]}", at, end);
    return end;
}

/* Writes the header, padded so that the data starts at a multiple of 8 bytes. */
static void write_header(writer *to, const pn_net *net, const pn_checkpoint *more)
{
    unsigned long long at = 0;
    print(to, "{\"__metadata__\":{\"" TEXT_KEY "\":");
    json_write(to, net->spec);
    print(to, ",\"" SEED_KEY "\":\"%llu\"", (unsigned long long)net->seed);
    if (net->updates)
        print(to, ",\"" UPDATES_KEY "\":\"%llu\"", (unsigned long long)net->updates);
    if (more->text) {
        print(to, ",\"" CHECKPOINT_KEY "\":");
        json_write(to, more->text);
    }
    for (int i = 0; i < net->n_notes; i++) {
        print(to, ",");
        json_write(to, net->notes[i].key);
        print(to, ":");
        json_write(to, net->notes[i].value);
    }
    print(to, "}");
    for (int i = 0; i < net->n_tensors; i++) {
        const pn_tensor t = net_tensor(net, i);
        at = write_entry(to, &t, at);
    }
    for (int i = 0; i < more->tensors; i++)
        at = write_entry(to, &more->tensor[i], at);
    write_bytes(to, "}       ", 1 + (-(to->used + 1) & 7));
}

pn_status write_model(const pn_net *net, const pn_checkpoint *more, sink *to, char *err)
{
    static const pn_checkpoint nothing = {0};
    writer head = {0};
    pn_status status = net_check_parameters(net, err);
    if (!status && more)
        status = check_extras(net, more, err);
    if (status)
        return status;
    more = more ? more : &nothing;
    write_header(&head, net, more); /* counts */
    const size_t size = head.used;
    if (size > MAX_HEADER)
        return fail(err, PN_ERR_ARGUMENT, "its notes make a header of %zu bytes, the format takes %d", size,
                    MAX_HEADER);
    unsigned char length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)size >> 8 * i);
    char *text = memory_take(size);
    if (!text)
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    head = (writer){.at = text, .left = size};
    write_header(&head, net, more);
    status = to->write(to, length, sizeof length, err);
    if (!status)
        status = to->write(to, text, size, err);
    if (!status)
        status = to->write(to, net->parameters, (net->n_parameters + net->n_running) * sizeof(float), err);
    for (int i = 0; i < more->tensors && !status; i++)
        status = to->write(to, more->tensor[i].data, (size_t)more->tensor[i].size * sizeof(float), err);
    memory_free(text);
    return status;
}
