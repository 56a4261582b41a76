/* Writes the header of a model file. */
#include "file/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static uint64_t write_entry(FILE *to, const pn_tensor *t, uint64_t at)
{
    const uint64_t end = at + (uint64_t)t->size * sizeof(float);
    fprintf(to, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", t->name);
    for (int d = 0; d < t->rank; d++)
        fprintf(to, d ? ",%" PRId64 : "%" PRId64, t->shape[d]);
    fprintf(to, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
    return end;
}

/* The header is padded so that the data starts at a multiple of 8 bytes. */
pn_status make_header(pn_net *net, const pn_checkpoint *more, char **head, size_t *size, char *err)
{
    uint64_t at = 0;
    pn_status status = check_extras(more, err);
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
    const long end = ftell(to); /* without memory the stream loses data but reports no error: *size is then smaller */
    const bool bad = ferror(to) != 0;
    if (fclose(to) != 0 || bad || end < 8 || *size != (size_t)end)
        return fail(err, PN_ERR_MEMORY, "no memory for its header");
    if (*size - 8 > MAX_HEADER)
        return fail(err, PN_ERR_ARGUMENT, "its notes make a header of %zu bytes, the format takes %d", *size - 8,
                    MAX_HEADER);
    for (int i = 0; i < 8; i++)
        (*head)[i] = (char)((uint64_t)(*size - 8) >> 8 * i);
    return status;
}
