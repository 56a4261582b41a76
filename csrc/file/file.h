/* The model file, in the safetensors format: 8 bytes of header length, a JSON header, then the data of the tensors: the
 * parameters as in memory, and in a checkpoint further tensors.
 *
 * {"__metadata__": {"pynet": the network's text, "pynet.seed": "0", notes ...},
 *  "0.W": {"dtype": "F32", "shape": [784, 128], "data_offsets": [0, 401408]}, ...}
 */
#ifndef PN_FILE_H
#define PN_FILE_H

#include "file/json.h"

#define MAX_HEADER (32 << 20) /* bytes, MAX_NOTE_BYTES of notes included: a damaged file cannot ask for more memory */
/* Tensors in a file. A batchnorm, 10 bytes of text, needs most for its length: 4, which a checkpoint may hold twice,
   and 4 of optimizer state. That is 1.2 per byte of text. */
#define MAX_ENTRIES (2 * MAX_TEXT)

#define MAX_PAIRS (MAX_NOTES + 4) /* notes, and these: */
#define TEXT_KEY "pynet"
#define SEED_KEY "pynet.seed"
#define UPDATES_KEY "pynet.updates"
#define CHECKPOINT_KEY "pynet.checkpoint"

/* The bytes of a model file to read, on disk or in memory. */
typedef struct source source;
struct source {
    uint64_t size;
    pn_status (*read)(const source *from, void *to, size_t size, uint64_t offset, char *err); /* exactly `size` bytes */
    int fd;
    const char *bytes;
};

/* Where the bytes of a model file go. */
typedef struct sink sink;
struct sink {
    uint64_t size;                                                          /* of what was written */
    pn_status (*write)(sink *to, const void *from, size_t size, char *err); /* all bytes */
    int fd;
    char *bytes;
};

/* Reads a model, and if `more` is not NULL the rest of a checkpoint. Everything is checked. On failure *net is NULL and
   *more empty. */
pn_status read_model(pn_net **net, pn_checkpoint *more, const source *from, char *err);

/* Writes a model, or with `more` a checkpoint: nothing that could not be read again. */
pn_status write_model(const pn_net *net, const pn_checkpoint *more, sink *to, char *err);

/* Is this a valid name for a tensor of a checkpoint? It starts with a letter, those of a network with a digit. */
bool is_checkpoint_name(const char *name);

/* Have these n tensors different names? */
pn_status check_names(const pn_tensor *t, int n, char *err);

#endif
