/* Writes a model file. */
#include "file/file.h"

/* Checks text and names of a checkpoint as loading does. Those of the network were checked when they were set. */
static pn_status check_extras(const pn_checkpoint *more, char *err)
{
    if (more->text && !utf8_valid(more->text))
        return fail(err, PN_ERR_ARGUMENT, "the text of the checkpoint is not UTF-8");
    for (int i = 0; i < more->tensors; i++)
        if (!more->tensor[i].name || !is_checkpoint_name(more->tensor[i].name))
            return fail(err, PN_ERR_ARGUMENT,
                        "tensor %s of a checkpoint; its name begins with a letter, then come "
                        "letters, digits, dots and _",
                        more->tensor[i].name ? show(more->tensor[i].name).text : "without a name");
    return PN_OK;
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
    more = more ? more : &nothing;
    pn_status status = check_extras(more, err);
    if (status)
        return status;
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
