/* Model files in memory. */
#include "file/file.h"

#include <string.h>

static pn_status read_bytes(const source *from, void *to, size_t size, uint64_t offset, char *err)
{
    (void)err;
    memcpy(to, from->bytes + offset, size);
    return PN_OK;
}

pn_status pn_net_load_memory(pn_net **net, const void *bytes, size_t size, char err[PN_ERRLEN])
{
    char why[PN_ERRLEN] = "";
    const source from = {.size = size, .read = read_bytes, .bytes = bytes};
    if (!net)
        return fail(err, PN_ERR_ARGUMENT, "the pointer for the network is NULL");
    *net = NULL;
    if (!bytes)
        return fail(err, PN_ERR_ARGUMENT, "the bytes of the model are NULL");
    const pn_status status = read_model(net, NULL, &from, why);
    return status ? fail(err, status, "cannot read the model: %s", why) : PN_OK;
}

/* With to->bytes NULL only counts. */
static pn_status store_bytes(sink *to, const void *from, size_t size, char *err)
{
    (void)err;
    if (to->bytes)
        memcpy(to->bytes + to->size, from, size);
    to->size += size;
    return PN_OK;
}

pn_status pn_net_save_memory(pn_net *net, void *buffer, size_t room, size_t *size)
{
    char why[PN_ERRLEN] = "";
    sink to = {.write = store_bytes};
    if (!net_begin(net))
        return PN_ERR_ARGUMENT;
    if (!size)
        return fail(net->error, PN_ERR_ARGUMENT, "size is NULL");
    pn_status status = write_model(net, NULL, &to, why);
    *size = status ? 0 : (size_t)to.size;
    if (!status && buffer && room < *size)
        return fail(net->error, PN_ERR_ARGUMENT, "the buffer has %zu bytes; the model takes %zu", room, *size);
    if (!status && buffer) {
        to = (sink){.write = store_bytes, .bytes = buffer};
        status = write_model(net, NULL, &to, why);
    }
    return status ? fail(net->error, status, "cannot save the model: %s", why) : PN_OK;
}
