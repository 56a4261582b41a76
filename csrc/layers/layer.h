/* A layer: what is the same for all kinds. A kind has a file of its own, and its functions stand in the table of kinds.c. */
#ifndef PN_LAYER_H
#define PN_LAYER_H

#include "arrays/arrays.h"
#include "spec/spec.h"

#define MAX_PARAMS 4 /* tensors of a layer */

typedef struct {
    const char *name; /* "W" */
    int rank;
    int64_t dim[PN_MAXRANK];
    size_t size;
    bool running;       /* statistics that the layer itself keeps, as batchnorm its running mean: no optimizer's */
    float *data, *grad; /* in the net's parameter block, and its twin for gradients (NULL until asked for) */
    float *state[MAX_STATES];        /* of the optimizer, in the same layout; NULL: none */
    float *state_panels[MAX_STATES]; /* room for as much again, for layers that move it during a call */
} parameter;

/* Which inputs of a batch are not zero: bit p % 64 of rows[i * row_words + p / 64] for feature p of sample i, and the
   same by columns, bit i % 64 of columns[p * column_words + i / 64]. */
typedef struct {
    uint64_t *rows, *columns;
    size_t row_words, column_words;
} nonzeros;

/* Words of 64 bits for n bits. */
static inline size_t bit_words(size_t n)
{
    return (n + 63) / 64;
}

/* columns from rows, for a batch of this many samples */
void nonzeros_transpose(const nonzeros *z, int samples);

/* Activations are (rows, features) with ld floats from row to row, the padding zero. */
typedef struct {
    float *data;
    size_t ld;
} activation;

/* What a layer is told when it runs. A pass is shared by `threads` threads; this one does part `id` of the outputs. */
typedef struct {
    int rows;                   /* of this batch */
    int input_from, input_rows; /* of them, those that `inputs` holds: a large batch is gathered piece by piece */
    int id, threads;
    bool training;         /* else inference: dropout passes all, batchnorm uses what it remembers */
    uint64_t seed;         /* the net's */
    uint64_t step;         /* net->updates when it began */
    bool fuse;             /* a dense layer also does the work of the ReLU next to it */
    bool panels;           /* large weights are in panels, one for each thread, between begin and end */
    bool own_rows;         /* each thread runs its own rows through all layers */
    const optim_step *opt; /* the optimizer's step to apply to a gradient at once; NULL: store the gradient */
    activation inputs;     /* of the network: x of the first layer */
    /* (256); unless NULL, the inputs lie there as bytes, ld of them from row to row, and mean these */
    const float *byte_values;
    const nonzeros *zeros; /* where they are not zero, if most are; else NULL */
} pass;

/* This thread's part [from, to) of n things, in multiples of `grain`. */
void my_part(const pass *p, int n, int grain, int *from, int *to);

/* This thread's rows of the batch, one by one. */
typedef struct {
    size_t from, to;
} row_range;
row_range my_rows(const pass *p);
#define EACH_OWN_ROW(i, p) for (size_t i = my_rows(p).from, i##_end = my_rows(p).to; i < i##_end; i++)

static inline float *row_of(activation a, size_t i)
{
    return a.data + i * a.ld;
}

typedef struct layer layer;

/* Zeros around an image, in places. */
typedef struct {
    int top, bottom, left, right;
} image_padding;

typedef struct {
    pn_status (*shape)(layer *l, char *err); /* out, parameters and scratch, from in and the arguments */
    pn_status (*check_batch)(const layer *l, int64_t rows, char *err); /* can it train on so few rows? may be NULL */
    void (*fill_tables)(layer *l);                                     /* fills tables in new scratch; may be NULL */
    void (*init)(layer *l, uint64_t seed, uint64_t stream);            /* fills the parameters, which are zero */
    bool (*by_columns)(const layer *l, const pass *p); /* split forward by outputs? NULL, or no: by rows */
    void (*forward)(layer *l, const pass *p);          /* y from x; NULL: y is x, in another shape */
    void (*begin)(layer *l, const pass *p);            /* takes the weights to panels; may be NULL */
    void (*end)(layer *l, const pass *p);              /* brings them back */
    void (*prepare)(layer *l, const pass *p);          /* from the parameters, what backward needs; may be NULL */
    void (*backward)(layer *l, const pass *p);         /* dx from dy; called where dx is wanted */
    void (*update)(layer *l, const pass *p);           /* parameter gradients from x and dy: applied, or stored */
    void (*after_step)(layer *l, const pass *p);       /* what a step changes besides the parameters; may be NULL */
    bool (*backward_by_columns)(const layer *l, const pass *p); /* split backward by features? NULL, or no: by rows */
    bool (*backward_is_private)(const layer *l); /* and then, from memory that no other thread writes to? */
    bool on_images;                              /* needs pixels, see images.c */
    bool flattens;                               /* needs a flat x in the order outside */
    bool fuses_forward, fuses_backward;          /* a ReLU behind it, or on the way back before it */
    bool rectifies;                              /* y loses about half of x: weights before it start larger (He) */
    bool transparent;                            /* weights before it start as the layer behind it wants them */
} layer_ops;

extern const layer_ops dense_ops, conv_ops, maxpool_ops, avgpool_ops, flatten_channels_last_ops, relu_ops,
    leaky_relu_ops, gelu_ops, sigmoid_ops, tanh_ops, softmax_ops, flatten_ops, dropout_ops, batchnorm_ops,
    layernorm_ops, residual_ops;

/* The parameters by their place: of dense and conv, of batchnorm and layernorm. */
enum { WEIGHTS, BIASES };
enum { GAMMA, BETA };

/* By word; NULL for input and loss. */
extern const layer_ops *const layer_kinds[PN_WORDS];

/* Work memory besides the activations, in floats: how much, which shape() settles, and where it lies. */
typedef struct {
    size_t size, row_size, thread_size;   /* in all, for each row of the batch, for each thread */
    float *data, *row_data, *thread_data; /* thread id's begins at thread_data + id * thread_size */
} layer_scratch;

/* Of a residual: y = inner's y + skip's y, or without a skip + x. */
typedef struct {
    layer *inner, *skip;
    int span; /* how many layers behind this one belong to it */
} layer_branches;

struct layer {
    const layer_ops *ops;
    word word;
    char path[48];    /* "0", "3.0" */
    const char *text; /* "dense(128)" */
    int number;       /* among the net's layers */

    shape in, out;
    bool channels_last; /* images come and go so: see images.c */
    parameter param[MAX_PARAMS];
    int n_params;
    int64_t uses; /* of each weight by a sample */

    layer *before; /* whose y is x; NULL: the network's inputs */
    layer *after;  /* the only layer that reads y; NULL if there is none such */
    layer_branches residual;
    layer *sum;                         /* the residual that adds this y to another */
    bool needs_dx, trainable;           /* are there parameters below? in it or below? */
    bool fused_forward, fused_backward; /* a ReLU whose work the layer before, or after it does in a fused pass */

    image_padding padding;   /* to be put around x, in a copy */
    size_t copy_size;        /* floats of this layer's own copy of a sample of x; 0: x is used as it comes */
    activation copy, dcopy;  /* of x, and the gradient of that */
    activation x, y, dx, dy; /* y and dy are the x and dx of the layer after; x of the first is in pass */
    layer_scratch scratch;
};

/* A kind's `shape` where the output has the shape of the input and there are no parameters. */
pn_status keep_shape(layer *l, char *err);

/* x of this layer, or its copy; the first one's belongs to the pass. */
activation layer_input(const layer *l, const pass *p);

/* Where this layer's dx goes: to the layer before, or to the copy's, which return_input_gradients() takes there. */
activation layer_input_gradient(const layer *l);

/* The layer with its own y that l's output is: l itself, or what lies below a flatten; NULL: the network's inputs. */
layer *layer_source(layer *l);

/* Do the weights of this layer feed a ReLU or its kin, as far as one can see? */
bool layer_feeds_relu(const layer *l);

/* Fills the first parameter with random numbers as large as so many inputs and outputs of a unit want them. */
void init_weights(const layer *l, double fan_in, double fan_out, init_kind kind, uint64_t seed, uint64_t stream);

/* ---- images.c ------------------------------------------------------------------------------------------------------ */

/* Is the input an image? Does a window of this size fit it, and what is then the shape of all windows? */
pn_status needs_image(const layer *l, char *err);
pn_status window_shape(layer *l, int64_t channels, int64_t height, int64_t width, int window_height, int window_width,
                       int stride, char *err);

/* Do images of this shape lie in another order in work memory than outside? */
bool is_channels_last(bool channels_last, const shape *s);

/* Settles copy_size. */
void plan_copy(layer *l);

/* For this thread's rows: copy from x; dx from dcopy. */
void copy_inputs(layer *l, const pass *p);
void return_input_gradients(layer *l, const pass *p);

/* One sample between work memory, `row`, and the order outside; and the place of an output in work memory. */
bool sample_load(bool channels_last, const shape *s, float *row, const float *x);      /* true: all of it is finite */
void sample_load_u8(bool channels_last, const shape *s, float *row, const uint8_t *x); /* x / 255 */
void sample_store(bool channels_last, const shape *s, float *x, const float *row);
int32_t output_index(bool channels_last, const shape *s, int32_t label);

/* ---- parameter.c --------------------------------------------------------------------------------------------------- */

/* What the step does to this parameter. */
const update_rule *optim_rule(const optim_step *s, const parameter *p);

/* Applies the step to elements [from, from + n) of p, whose gradient is dw (n). */
void optim_apply(const optim_step *s, const parameter *p, size_t from, const float *dw, size_t n);

/* Elements [from, to) of a finished gradient: stored, or handed to the optimizer. */
void parameter_take_gradient(const parameter *w, const pass *p, const float *gradient, int from, int to);

/* A parameter of one axis; and its first values, all the same. */
parameter parameter_vector(const char *name, int64_t n, bool state);
void parameter_fill(parameter *p, float value);

#endif
