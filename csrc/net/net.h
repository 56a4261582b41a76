/* The network: its graph, parameters, optimizer state and work memory. */
#ifndef PN_NET_H
#define PN_NET_H

#include "layers/layer.h"

/* ---- loss.c ------------------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t *labels; /* (rows), or NULL */
    float *weights;  /* (rows), or NULL: all 1 */
    float *targets;  /* (rows, features); one-hot if the caller gave labels to another loss than cross-entropy */
    size_t ld;       /* of targets */
} batch_targets;

/* For rows [from, to) of the outputs x: loss of each, whether its prediction is right, and in dx, unless NULL, scale
   times the gradient of the sum of their losses. */
void loss_rows(const loss_rule *rule, float *loss, int32_t *correct, float *dx, const float *x, size_t ld, int features,
               const batch_targets *a, int from, int to, float scale);

/* ---- net.c -------------------------------------------------------------------------------------------------------- */

/* Limits of a model file; the network takes nothing that could not be saved. */
#define MAX_TEXT (1 << 16)        /* bytes of the network's text */
#define MAX_NOTES 4092            /* each new one is compared with those before it */
#define MAX_NOTE_BYTES (24 << 20) /* of all notes as JSON */

typedef struct {
    char *key, *value;
} note;

/* What the last call left in work memory: the last of forward, loss, backward. STEP_GRADIENT: gradients alone. */
typedef enum { STEP_NONE, STEP_GRADIENT, STEP_INFERRED, STEP_FORWARD, STEP_LOSS, STEP_BACKWARD } step;

typedef struct {
    int layer;
    parameter *parameter;
    char name[64];
} tensor_entry;

/* The layers and how they depend on each other. */
typedef struct {
    layer *layers; /* in the order of the text; the projection of a residual follows the layers in it */
    int n_layers;
    layer **order; /* in the order of computation: a residual follows the layers in it */
    int n_ordered;
    layer *last;        /* its y is the output */
    layer *loss_input;  /* the loss reads its y: cross-entropy includes the last softmax; NULL: the inputs */
    int head;           /* number of layers before the loss */
    layer *standardize; /* the first layer if it is standardize, else NULL */
    layer *rescale;     /* the last layer if it is rescale, else NULL */
    bool channels_last;
    bool winograd;     /* layers transform their kernels at the start of a call */
    bool dense_first;  /* a dense layer reads the inputs, not a copy of them */
    bool in_pieces;    /* and no other layer reads them, so that those of a large batch can be gathered in pieces */
    double multiplies; /* multiply-adds of one sample in forward */
    int slots;         /* in inference, of `slot_size` floats a row, see plan.c */
    size_t slot_size;
    bool large_weights; /* is there a dense matrix that takes much of the second-level cache? */
} net_graph;

/* The optimizer of the last step, and its state. */
typedef struct {
    pn_optim_kind kind;
    int64_t steps;    /* taken with this state */
    float *state;     /* (most_states, 2, n_parameters): each state tensor, then memory for its panels */
    float *old_state; /* a smaller block before it, freed with the net: the caller may hold its tensors */
    int most_states;
    float *squares;      /* sums of squares of the gradients, for their norm */
    char state_name[96]; /* name of the state tensor last asked for */
} net_optimizer;

/* What a block of work memory is for. Inference keeps no output of a layer longer than until it has been read. */
typedef enum { FOR_TRAINING, FOR_INFERENCE, PURPOSES } purpose;

typedef struct {
    float *block;
    int capacity; /* rows of a batch; in inference of the rows of one thread */
    int copies;   /* of the inputs: in training each thread gathers its own, faster than another core's; inference: 0 */
    int threads;  /* number of threads that have scratch */
    int reserved; /* calls on so few rows make do with it, see pn_net_reserve */
} work_block;

/* Work memory: its blocks; where things are in the one in use; and their contents after the last call. */
typedef struct {
    work_block blocks[PURPOSES];
    work_block *used;
    bool input_gradient; /* is there memory for all gradients down to the inputs, also for those training skips? */
    activation *x;       /* (copies) */
    activation dx;       /* gradient of the inputs, if input_gradient */
    nonzero_mask *masks; /* (copies) */
    batch_targets targets;
    float *loss;       /* of each row */
    int32_t *correct;  /* not bytes, which would put the rows of two threads on one cache line */
    float *round_loss; /* in inference: of the rows of several chunks */
    int32_t *round_correct;
    int rows; /* of the batch in it */
    step done;
    bool sparse; /* were masks filled for that batch? */
} net_work;

struct pn_net {
    network_text text;
    char *spec;
    uint64_t seed;
    uint64_t updates; /* steps so far: dropout and augmentation count them */
    net_graph graph;
    tensor_entry *tensors; /* the trained ones, then the running statistics */
    int n_tensors;
    int n_trained;
    float *parameters, *gradients; /* (n_parameters + n_running), (n_parameters) */
    bool has_gradients;            /* gradients are those of the last backward */
    float *partial_gradients;      /* (partial_sums, n_parameters), see gradient.c */
    int partial_sums;
    size_t n_parameters, n_running;
    net_optimizer optimizer;
    net_work work;
    augmenter *augmenter;   /* of the last call with augmentation, or NULL */
    float byte_values[256]; /* x / 255 */
    note *notes;
    int n_notes, most_notes; /* most: that the list has memory for */
    size_t note_bytes;       /* of all notes as JSON */
    char error[PN_ERRLEN];
};

/* A network without memory for parameters; net_allocate adds it, zeroed. Loading compares the sizes with those of the
   file in between. */
pn_status net_build(pn_net **net, const char *spec, char *err);
pn_status net_allocate(pn_net *net, char *err);

/* Describes tensor i, which must exist. */
pn_tensor net_tensor(const pn_net *net, int i);

/* At the start of a call: clears its message. False: net is NULL. */
bool net_begin(pn_net *net);

/* PN_ERR_PARAMETER, with a message that names it, if a parameter is infinite or NaN, a scale is not above zero or a
   running variance below. */
pn_status net_check_parameters(const pn_net *net, char *err);

/* scaling_prepare() for standardize and rescale, at the start of each call. PN_ERR_PARAMETER: a mean, a scale or a
   running variance is invalid. */
pn_status net_prepare_scaling(pn_net *net);

/* PN_ERR_NONFINITE, with a message that names it, if a stored gradient is infinite or NaN. */
pn_status net_check_gradients(pn_net *net);

/* ---- graph.c ------------------------------------------------------------------------------------------------------ */

/* Builds layers, order of computation, tensors and sizes from net->text. */
pn_status graph_build(pn_net *net, char *err);

/* ---- plan.c ------------------------------------------------------------------------------------------------------- */

/* Gives each layer its slots for inference. */
void plan_inference(net_graph *graph);

/* ---- check.c: arguments of public functions; others are in run.h ----------------------------------------------------- */

/* Is the pointer not NULL? */
pn_status check_pointer(pn_net *net, const void *pointer, const char *name);

/* Does layer i exist? */
pn_status check_layer(pn_net *net, int i);

/* ---- optim.c ------------------------------------------------------------------------------------------------------ */

/* Allocates the state of this optimizer; zeroes it if the last step was by one with other state. */
pn_status optim_reserve(pn_net *net, const pn_optim *opt);

/* The same, but keeps the state of another optimizer. And the bytes of all that afterwards; opt NULL: as it is. */
pn_status optim_allocate(pn_net *net, const pn_optim *opt);
uint64_t optim_size(const pn_net *net, const pn_optim *opt);

/* Applies step `taken` of this call, from 0, to this thread's part of every parameter. All gradients are stored. */
void optim_apply_all(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken);

#endif
