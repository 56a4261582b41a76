/* The header of a model file. */
#include "file/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is there nothing that loading would refuse? */
static pn_status check_texts(const pn_net *net, const pn_checkpoint *more, char *err)
{
    if (strlen(net->spec) > MAX_TEXT)
        return fail(err, PN_ERR_ARGUMENT, "the network's text takes %zu bytes, a file takes %d", strlen(net->spec),
                    MAX_TEXT);
    if (net->n_notes > MAX_NOTES)
        return fail(err, PN_ERR_ARGUMENT, "%d notes are too many, a file takes %d", net->n_notes, MAX_NOTES);
    for (int i = 0; i < net->n_notes; i++) {
        const note *n = &net->notes[i];
        if (is_reserved(n->key))
            return fail(err, PN_ERR_ARGUMENT, "note %s: keys that begin with " TEXT_KEY " are reserved",
                        show(n->key).text);
        if (!utf8_valid(n->key) || !utf8_valid(n->value))
            return fail(err, PN_ERR_ARGUMENT, "note %s is not UTF-8 text", show(n->key).text);
    }
    if (more->text && !utf8_valid(more->text))
        return fail(err, PN_ERR_ARGUMENT, "the text of the checkpoint is not UTF-8");
    for (int i = 0; i < more->tensors; i++)
        if (!is_checkpoint_name(more->tensor[i].name))
            return fail(err, PN_ERR_ARGUMENT,
                        "tensor %s of a checkpoint; its name begins with a letter, then come "
                        "letters, digits, dots and _",
                        show(more->tensor[i].name).text);
    return PN_OK;
}

/* The entry of a tensor that begins at byte `at` of the data; returns where it ends. */
static uint64_t write_entry(FILE *to, const pn_tensor *t, uint64_t at)
{
    const uint64_t end = at + (uint64_t)t->size * sizeof(float);
    fprintf(to, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", t->name);
    for (int d = 0; d < t->rank; d++)
        fprintf(to, d ? ",%" PRId64 : "%" PRId64, t->shape[d]);
    fprintf(to, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
    return end;
}

/* Padded so that the data starts at a multiple of 8. */
pn_status make_header(pn_net *net, const pn_checkpoint *more, char **head, size_t *size, char *err)
{
    uint64_t at = 0;
    pn_status status = check_texts(net, more, err);
    if (status != PN_OK)
        return status;
    FILE *to = open_memstream(head, size);
    if (!to)
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    fprintf(to, "12345678{\"__metadata__\":{\"" TEXT_KEY "\":");
    json_write_string(to, net->spec);
    fprintf(to, ",\"" SEED_KEY "\":\"%" PRIu64 "\"", net->seed);
    if (net->updates)
        fprintf(to, ",\"" UPDATES_KEY "\":\"%" PRIu64 "\"", net->updates);
    if (more->text) {
        fputs(",\"" CHECKPOINT_KEY "\":", to);
        json_write_string(to, more->text);
    }
    for (int i = 0; i < net->n_notes; i++) {
        fputc(',', to);
        json_write_string(to, net->notes[i].key);
        fputc(':', to);
        json_write_string(to, net->notes[i].value);
    }
    fputc('}', to);
    for (int i = 0; i < net->n_tensors && status == PN_OK; i++) {
        pn_tensor t;
        if ((status = pn_net_tensor(net, i, &t)) == PN_OK)
            at = write_entry(to, &t, at);
    }
    for (int i = 0; i < more->tensors; i++)
        at = write_entry(to, &more->tensor[i], at);
    fputc('}', to);
    for (long blanks = -ftell(to) & 7; blanks > 0; blanks--)
        fputc(' ', to);
    bool bad = ferror(to) != 0;
    if (fclose(to) != 0 || bad)
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    if (*size - 8 > MAX_HEADER)
        return fail(err, PN_ERR_ARGUMENT, "its notes make a header of %zu bytes, the format takes %d", *size - 8,
                    MAX_HEADER);
    for (int i = 0; i < 8; i++)
        (*head)[i] = (char)((uint64_t)(*size - 8) >> 8 * i);
    return status;
}
