/* The layer type that all kinds share. Each kind has a file of its own; kinds.c maps each word to its functions. */
#ifndef PN_LAYER_H
#define PN_LAYER_H

#include "arrays/arrays.h"
#include "spec/spec.h"

#define MAX_PARAMS 4 /* parameter tensors of a layer */

typedef struct {
    const char *name; /* "W" */
    int rank;
    int64_t dim[PN_MAXRANK];
    size_t size;
    bool running;             /* no optimizer changes it: a running statistic, or a mean or scale of scaling.c */
    float *data, *grad;       /* in the net's block of parameters, and of gradients (NULL until those are needed) */
    float *state[MAX_STATES]; /* optimizer state, laid out as data; NULL: none */
    float *state_panels[MAX_STATES]; /* memory for copies of the state, see dense_owner.c */
} parameter;

/* Which inputs of a batch are not zero. Feature p of sample i is bit p % 64 of rows[i * row_words + p / 64], and bit i
   % 64 of columns[p * column_words + i / 64]. */
typedef struct {
    uint64_t *rows, *columns;
    size_t row_words, column_words;
} nonzero_mask;

/* 64-bit words that n bits take. */
static inline size_t bit_words(size_t n)
{
    return (n + 63) / 64;
}

/* Fills columns from rows, for a batch of this many samples. */
void mask_transpose(const nonzero_mask *mask, int samples);

/* A (rows, features) matrix with leading dimension ld; the padding of each row is zero. */
typedef struct {
    float *data;
    size_t ld;
} activation;

/* Rows [from, to) of a batch. */
typedef struct {
    size_t from, to;
} row_range;

/* The arguments of a forward or backward pass. `threads` threads run it together; thread `id` computes its part of the
   outputs. */
typedef struct {
    int rows;                   /* of this pass */
    int batch_from, batch_rows; /* they are rows [batch_from, batch_from + rows) of a batch of so many */
    int input_from, input_rows; /* first row and number of rows in `inputs`: large batches are gathered in pieces */
    int id, threads;
    bool training;         /* false: dropout is the identity, batchnorm uses its running statistics */
    uint64_t seed;         /* the net's */
    uint64_t step;         /* net->updates before this step */
    bool fuse;             /* layers also compute the ReLU next to them, where they can */
    bool panels;           /* each thread has its columns of large weights in a panel, see dense_owner.c */
    bool own_rows;         /* inference: each thread computes the rows `own` through all layers, without barriers */
    row_range own;         /* unless it is empty, this thread's rows; else its part of all */
    const optim_step *opt; /* applied to each gradient at once; NULL: gradients are stored */
    activation inputs;     /* of the network: x of the first layer */
    /* (256); unless NULL, `inputs` holds bytes, ld of them from row to row, and byte b stands for byte_values[b] */
    const float *byte_values;
    const nonzero_mask *mask; /* which inputs are not zero, if most are zero; else NULL */
} pass;

/* This thread's part [from, to) of n items, in multiples of `grain`. */
void my_part(const pass *p, int n, int grain, int *from, int *to);

/* The rows that this thread computes. */
row_range my_rows(const pass *p);
#define EACH_OWN_ROW(i, p) for (size_t i = my_rows(p).from, i##_end = my_rows(p).to; i < i##_end; i++)

static inline float *row_of(activation a, size_t i)
{
    return a.data + i * a.ld;
}

typedef struct layer layer;

/* Zero padding of an image, in pixels. */
typedef struct {
    int top, bottom, left, right;
} image_padding;

/* Sums over a batch that a layer split by rows needs in training, before it computes any: each thread's of its rows, then
   of all rows, for its columns; either may be NULL. */
typedef struct {
    void (*of_rows)(layer *l, const pass *p);
    void (*of_batch)(layer *l, const pass *p);
} batch_sums;

typedef struct {
    pn_status (*shape)(layer *l, char *err); /* sets l->out, parameters and scratch sizes; NULL: graph.c sets l->out */
    pn_status (*check_batch)(const layer *l, int64_t rows, char *err); /* enough rows to train? may be NULL */
    pn_status (*check_parameters)(const layer *l, char *err); /* in their range, at the start of each call? or NULL */
    void (*fill_tables)(layer *l);         /* fills constant tables in newly allocated scratch; may be NULL */
    void (*init)(layer *l, uint64_t seed); /* initial parameters; they are zero before */
    bool (*by_columns)(const layer *l, const pass *p); /* is forward split by columns of y? NULL: by rows */
    void (*forward)(layer *l, const pass *p);          /* y from x; NULL: y is a view of x in another shape */
    void (*begin)(layer *l, const pass *p);            /* copies weights, transforms kernels; may be NULL */
    void (*end)(layer *l, const pass *p);              /* copies them back */
    void (*backward)(layer *l, const pass *p);         /* dx from dy; called where dx is needed */
    void (*update)(layer *l, const pass *p);           /* parameter gradients from x and dy: stored, or applied */
    void (*after_step)(layer *l, const pass *p);       /* updates running statistics; may be NULL */
    batch_sums forward_sums, backward_sums;            /* before forward, of x; before backward, of dy */
    bool (*backward_by_columns)(const layer *l, const pass *p); /* is it split by columns of dx? NULL: rows */
    bool (*backward_is_private)(const layer *l,
                                const pass *p); /* does it read only weights that this thread updates? */
    bool on_images;                             /* works on images channels-last, see images.c */
    bool flattens;                              /* reads x flattened in the caller's order */
    bool fuses_forward, fuses_backward;         /* can compute the ReLU after it in forward, before it in backward */
    bool rectifies;                             /* ReLU and variants: weights before it get He initialisation */
    bool transparent;                           /* the layer after it decides how weights before it are initialised */
} layer_ops;

extern const layer_ops dense_ops, conv_ops, maxpool_ops, avgpool_ops, flatten_channels_last_ops, relu_ops,
    leaky_relu_ops, gelu_ops, sigmoid_ops, tanh_ops, softmax_ops, flatten_ops, dropout_ops, batchnorm_ops,
    layernorm_ops, residual_ops, standardize_ops, rescale_ops;

/* Indices into layer.param: of dense and conv; of batchnorm and layernorm; of standardize and rescale. */
enum { WEIGHTS, BIASES };
enum { GAMMA, BETA };
enum { MEAN, SCALE };

/* The functions of each word's layer; NULL for input and loss. */
extern const layer_ops *const layer_kinds[PN_WORDS];

/* Work memory besides the activations: ops.shape sets the sizes, in floats; memory.c the pointers. */
typedef struct {
    size_t size, row_size;                /* of data, of row_data per row of the batch */
    uint64_t thread_size;                 /* of thread_data per thread */
    size_t inference_size;                /* the first of data, which inference needs, too */
    bool row_inference, thread_inference; /* does inference need row_data, thread_data? */
    float *data, *row_data, *thread_data; /* that of thread id starts at thread_data + id * thread_size */
} layer_scratch;

/* The two branches of a residual: y = inner->y + skip->y, or inner->y + x without a projection. */
typedef struct {
    layer *inner, *skip;
    int span; /* number of layers nested in it: they follow it in the net's list */
} layer_branches;

struct layer {
    const layer_ops *ops;
    word word;
    char path[48]; /* "0", "3.0" */
    char text[96]; /* "dense(128)" */
    int number;    /* among the net's layers: stream of random numbers, too */

    shape in, out;
    bool channels_last; /* images are (height, width, channels) in work memory, see images.c */
    parameter param[MAX_PARAMS];
    int n_params;
    int64_t uses; /* multiply-adds of each weight for one sample */

    layer *before; /* its y is this layer's x; NULL: x are the network's inputs */
    layer *after;  /* the only layer that reads y; NULL: none, or more than one */
    layer_branches residual;
    layer *sum;                         /* the residual of which this is the last layer of a branch; else NULL */
    bool needs_dx, trainable;           /* are there trained parameters before it? before or in it? */
    bool fused_forward, fused_backward; /* a ReLU: does a neighbour compute it in a fused pass? */

    bool winograd;           /* conv: computed in Winograd's way, which needs no padded copy of x */
    image_padding padding;   /* around x, in the layer's copy of it */
    size_t copy_size;        /* floats of this layer's copy of one sample of x; 0: it reads x itself */
    activation copy, dcopy;  /* the copy of x, and its gradient */
    activation x, y, dx, dy; /* x and dx are y and dy of the layer before; x of the first is pass.inputs */
    layer_scratch scratch;

    /* in inference y and the copy are in slots of work memory, which layers share: see plan.c */
    int last_reader; /* place in the order of computation of the last layer that reads y */
    int y_slot, copy_slot;
};

/* ops.shape of a layer without parameters whose output has the shape of its input. */
pn_status keep_shape(layer *l, char *err);

/* What this layer reads: its copy of x, x, or the inputs of the pass. */
activation layer_input(const layer *l, const pass *p);

/* Does forward also compute the ReLU after this layer, backward that before it? */
bool fuses_relu(const layer *l, const pass *p);
bool fuses_relu_grad(const layer *l, const pass *p);

/* Where forward writes: y, or that of the ReLU. Where backward writes: dx, that of the ReLU, or dcopy, which
   return_input_gradients() copies to dx. */
activation layer_output(const layer *l, const pass *p);
activation layer_input_gradient(const layer *l, const pass *p);

/* The layer whose y holds the output of l: l itself, or the one before a view; NULL: the network's inputs hold it. */
layer *layer_source(layer *l);

/* Fills param[0] with normal random numbers; `kind` derives their standard deviation from fan_in and fan_out. */
void init_weights(const layer *l, double fan_in, double fan_out, init_kind kind, uint64_t seed);

/* ---- images.c ------------------------------------------------------------------------------------------------------ */

/* Fails unless the input of l is an image. */
pn_status needs_image(const layer *l, char *err);

/* Sets l->out to (channels, windows down, windows across) of an image; fails if it is smaller than one window. */
pn_status window_shape(layer *l, int64_t channels, int64_t height, int64_t width, int window_height, int window_width,
                       int stride, char *err);

/* Does an image of this shape lie in another order in work memory than in the caller's arrays? */
bool is_channels_last(bool channels_last, const shape *s);

/* Sets l->copy_size. */
void plan_copy(layer *l);

/* For this thread's rows: copies x to l->copy; l->dcopy to dx. */
void copy_inputs(layer *l, const pass *p);
void return_input_gradients(layer *l, const pass *p);

/* Copies one sample x, in the caller's order, to a row of work memory, or back. */
bool sample_load(bool channels_last, const shape *s, float *row, const float *x);      /* are all numbers finite? */
void sample_load_u8(bool channels_last, const shape *s, float *row, const uint8_t *x); /* x / 255 */
void sample_store(bool channels_last, const shape *s, float *x, const float *row);

/* The index in a row of work memory of output `label` in the caller's order. */
int32_t output_index(bool channels_last, const shape *s, int32_t label);

/* ---- scaling.c ----------------------------------------------------------------------------------------------------- */

/* Copies mean and scale to scratch for each number of a sample. At the start of each call: the caller may change
   them. */
void scaling_prepare(layer *l);

/* For a sample in work memory: row = (row - mean) / scale, are all numbers finite? And the gradient: row = row /
   scale. */
bool standardize_row(const layer *l, float *row);
void standardize_gradient(const layer *l, float *row);

/* The mean of number i of a sample in work memory; and (x - mean) / scale for one x of this channel. */
float scaling_mean(const layer *l, size_t i);
float scaling_value(const layer *l, size_t channel, float x);

/* ---- parameter.c --------------------------------------------------------------------------------------------------- */

/* The update rule of the step for this parameter: with weight decay, or without. */
const update_rule *optim_rule(const optim_step *s, const parameter *p);

/* Applies the step to elements [from, from + n) of p; dw (n) is their gradient. */
void optim_apply(const optim_step *s, const parameter *p, size_t from, const float *dw, size_t n);

/* Stores elements [from, to) of a complete gradient, or applies the optimizer to them. */
void parameter_take_gradient(const parameter *w, const pass *p, const float *gradient, int from, int to);

/* A parameter of shape (n); and a value for all its elements. */
parameter parameter_vector(const char *name, int64_t n, bool running);
void parameter_fill(parameter *p, float value);

#endif
