/* A network as a thing: its graph, parameters, optimizer state and work memory. */
#ifndef PN_NET_H
#define PN_NET_H

#include "layers/layer.h"

/* ---- loss.c ------------------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t *labels; /* (rows), or NULL */
    float *weights;  /* (rows), or NULL: all 1 */
    float *targets;  /* (rows, features), laid out as the outputs; one-hot where the loss compares and got labels */
} batch_targets;

/* For rows [from, to) of outputs x: the loss of each, whether the prediction was right, and in dx, unless NULL, the gradient
   of the losses' sum times scale. */
void loss_rows(const loss_rule *rule, float *loss, int32_t *correct, float *dx, const float *x, size_t ld, int features,
               const batch_targets *a, int from, int to, float scale);

/* ---- net.c -------------------------------------------------------------------------------------------------------- */

/* What a model file holds; nothing is accepted that could not be saved. */
#define MAX_TEXT (1 << 16)        /* bytes of the network's text */
#define MAX_NOTES 4092            /* each new one is compared with those before it */
#define MAX_NOTE_BYTES (24 << 20) /* of all notes as JSON */

typedef struct {
    char *key, *value;
} note;

/* What the last call left in work memory: how far the four steps by hand have come. */
typedef enum { STEP_NONE, STEP_INFERRED, STEP_FORWARD, STEP_LOSS, STEP_BACKWARD } step;

typedef struct {
    int layer;
    parameter *parameter;
    char name[64];
} tensor_entry;

/* The layers and how they depend on each other. */
typedef struct {
    layer *layers; /* in the order of the text; a projection that a residual needs follows what is in it */
    int n_layers;
    layer **order; /* in the order of computation: a residual follows what is in it */
    int n_ordered;
    char (*texts)[96]; /* each layer's word with arguments */
    layer *last;       /* whose y is the output */
    layer *loss_input; /* whose y the loss takes: a closing softmax is part of the cross-entropy; NULL: the inputs */
    int head;          /* layers before the loss */
    bool channels_last;
    bool dense_first;  /* a dense layer reads the inputs as they lie */
    bool in_pieces;    /* no other layer does, so that it can take those of a large batch piece by piece */
    double multiplies; /* multiply-adds of a sample, forward */
} net_graph;

/* The optimizer of the last step. */
typedef struct {
    pn_optim_kind kind;
    int64_t steps; /* it has taken */
    float *state;  /* most_states times n_parameters, and as much again for panels */
    float *
        old_state; /* the smaller block before that, kept for those who hold its tensors; at most one, as MAX_STATES is 2 */
    int most_states;
    float *squares;      /* sums of gradients' squares, for the norm */
    char state_name[96]; /* of the state tensor last asked for */
} net_optimizer;

/* Work memory: one block for batches of up to `capacity` rows, and what the last call left in it. */
typedef struct {
    float *block;
    int capacity;
    int copies;          /* of the inputs: each thread that trains gathers its own, which is faster than to share */
    int threads;         /* for which layers have memory of their own */
    bool input_gradient; /* room for the gradients of the inputs, and of layers with nothing to learn below */
    activation *x;       /* (copies) */
    activation dx;       /* gradient of the inputs, if input_gradient */
    nonzeros *zeros;     /* (copies) */
    batch_targets targets;
    float *loss;      /* (capacity) */
    int32_t *correct; /* (capacity); not bytes: the rows of two threads would share a cache line */
    int rows;         /* of the batch in it */
    step done;
    bool sparse; /* zeros is about the batch of the last forward */
} net_work;

struct pn_net {
    network_text text;
    char *spec;
    uint64_t seed;
    uint64_t updates; /* of the parameters so far: no two drop the same units */
    net_graph graph;
    tensor_entry *tensors; /* the trained ones, then the running statistics */
    int n_tensors;
    int n_trained;
    float *parameters, *gradients; /* (n_parameters + n_running), (n_parameters) */
    bool has_gradients;            /* of the last backward */
    size_t n_parameters, n_running;
    net_optimizer optimizer;
    net_work work;
    float byte_values[256]; /* x / 255 */
    note *notes;
    int n_notes;
    char error[PN_ERRLEN];
};

/* ---- graph.c ------------------------------------------------------------------------------------------------------ */

/* From net->text: layers, order of computation, tensors, sizes. */
pn_status graph_build(pn_net *net, char *err);

/* ---- net.c ---- */

/* A network that knows its shapes and sizes but has no parameters yet; net_allocate gives it zeros. Loading compares
   the sizes with the file's in between. */
pn_status net_build(pn_net **net, const char *spec, char *err);
pn_status net_allocate(pn_net *net, char *err);

/* PN_ERR_PARAMETER and a message that names it if a parameter is infinite or NaN. */
pn_status net_check_finite(pn_net *net);

/* PN_ERR_NONFINITE, and a message, for a gradient of a trained parameter, all of which have been stored. */
pn_status net_check_gradients(pn_net *net);

/* ---- optim.c ------------------------------------------------------------------------------------------------------ */

/* Makes room for what this optimizer remembers, and begins with zeros if the last one was of another kind. */
pn_status optim_reserve(pn_net *net, const pn_optim *opt);

/* Applies the step that follows `taken` others of this call to this thread's share of every parameter, from the stored
   gradients, which all threads have finished. */
void optim_apply_all(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken);

#endif
