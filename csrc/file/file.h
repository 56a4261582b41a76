/* What reading and writing a model file share. The file is safetensors: 8 bytes of header length, a JSON header, then the
 * tensors: the parameters as they lie in memory, and in a checkpoint what it holds besides.
 *
 * {"__metadata__": {"pynet": the network's text, "pynet.seed": "0", notes ...},
 *  "0.W": {"dtype": "F32", "shape": [784, 128], "data_offsets": [0, 401408]}, ...}
 */
#ifndef PN_FILE_H
#define PN_FILE_H

#include "file/json.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "floats are read and written as they lie in memory; safetensors wants them little-endian"
#endif

#define MAX_HEADER (32 << 20) /* bytes, of which MAX_NOTE_BYTES may be notes; a file that lies takes no more memory */
/* The most tensors that a file can need: in a text, "batchnorm " has four, of which a checkpoint holds as many again and
   four of the optimizer's, 1.2 for each byte. */
#define MAX_ENTRIES (2 * MAX_TEXT)

#define MAX_PAIRS (MAX_NOTES + 4) /* four of the pairs are the file's own: */
#define TEXT_KEY "pynet"
#define SEED_KEY "pynet.seed"
#define UPDATES_KEY "pynet.updates"
#define CHECKPOINT_KEY "pynet.checkpoint"

/* Where the bytes of a model file come from. */
typedef struct source source;
struct source {
    uint64_t size;
    pn_status (*read)(const source *from, void *to, size_t size, uint64_t offset, char *err); /* exactly `size` bytes */
    int fd;
};

/* Reads a model; nothing that its bytes say is trusted. Of a checkpoint the model alone, unless `more` asks for the rest. On
   failure what *net and *more hold must be freed. */
pn_status parse_model(pn_net **net, pn_checkpoint *more, const source *from, char *err);

/* The header of a model file and the 8 bytes before it. Allocated. */
pn_status make_header(pn_net *net, const pn_checkpoint *more, char **head, size_t *size, char *err);

/* Keys that are the file's own, now or in a later version. */
bool is_reserved(const char *key);

/* May a tensor of a checkpoint be called so? It cannot clash with those of a network, "0.W". */
bool is_checkpoint_name(const char *name);

#endif
