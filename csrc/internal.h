/* Private structures: the text's words, tensors, layers, the net. */
#ifndef PN_INTERNAL_H
#define PN_INTERNAL_H

#include "kernels.h"
#include "pynet.h"

#include <stdbool.h>

#define ALIGN 64               /* bytes: a cache line, and the widest vector */
#define PAD 16                 /* floats: rows of work memory start on a cache line */
#define MAX_NEST 4             /* residuals within residuals */
#define MAX_PARAMS 4           /* tensors of a layer */
#define MAX_MEMORIES 2         /* tensors that an optimizer keeps for each parameter */
#define MAX_FEATURES (1 << 28) /* of a sample: the offsets within a row fit an int */

/* Writes a message and returns the status, so that `return fail(err, PN_ERR_SPEC, "...")` is one line. */
__attribute__((format(printf, 3, 4))) pn_status fail(char *err, pn_status status, const char *format, ...);

/* Memory on a cache line, zeroed; NULL when there is none. Free with free(). */
void *aligned_zeros(size_t count, size_t size);

/* Of one sample: (n), or (channels, height, width). */
typedef struct {
    int rank;
    int64_t dim[PN_MAXRANK];
} shape;
int64_t shape_size(const shape *s);
bool same_shape(const shape *a, const shape *b);

/* "(784)", "(8,24,24)" */
typedef struct {
    char text[64];
} shape_text;
shape_text show_shape(const shape *s);

/* n floats, and the padding that brings the next row to a cache line. */
size_t padded(int64_t n);

/* ---- rng.c: counter-based random numbers ------------------------------------------------------------------------- */

/* Number `counter` of the stream that seed and stream name: 64 random bits. */
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter);

/* Row `row` of the mask of layer number `number` in step `when`. */
dropout_mask dropout_row(double probability, uint64_t seed, int number, uint64_t when, int row);

/* u[0..n) = numbers from -1 to below 1, all equally likely, for row `row` of the batch of step `when`: augmentation's */
void random_uniform(float *u, size_t n, uint64_t seed, uint64_t when, uint32_t row);

/* w[0..n) = normal numbers of this standard deviation */
void random_normal(float *w, size_t n, float deviation, uint64_t seed, uint64_t stream);

/* ---- spec.c: the text of a network -------------------------------------------------------------------------------- */

typedef enum {
    PN_INPUT,
    PN_DENSE,
    PN_CONV,
    PN_MAXPOOL,
    PN_AVGPOOL,
    PN_GLOBALAVGPOOL,
    PN_RELU,
    PN_LEAKY_RELU,
    PN_GELU,
    PN_SIGMOID,
    PN_TANH,
    PN_SOFTMAX,
    PN_FLATTEN,
    PN_DROPOUT,
    PN_BATCHNORM,
    PN_LAYERNORM,
    PN_RESIDUAL,
    PN_LOSS,
    PN_WORDS
} word_kind;

typedef enum { YES, NO } answer; /* arguments that are on unless the text says no */
typedef enum { INIT_AUTO, INIT_HE, INIT_XAVIER, INIT_NORMAL } init_kind;

enum { PAD_SAME = -1, STRIDE_OF_SIZE = 0 }; /* values of conv's pad and of a pool's stride */

/* One word of the text with its arguments, in the order the word's definition lists them. */
typedef struct {
    word_kind kind;
    int column;   /* where it stands, from 1 */
    int n_args;   /* given, for words that take any number (input) */
    int children; /* words nested in this one, not counting those nested in them: they follow it in the list */
    bool nested;  /* in another */
    double arg[PN_MAXARGS];
} word;

/* What is minimised. */
typedef struct {
    pn_loss kind;
    double smoothing;
} loss_rule;

typedef struct {
    word *words; /* the layers in the order of the text, nested ones too, without input and loss */
    int n_words;
    shape input;
    loss_rule loss;
} network_text;

/* Parses text; on failure err names the column and nothing needs freeing. */
pn_status spec_parse(network_text *net, const char *text, char *err);
void spec_free(network_text *net);

/* Word with its arguments, defaults left out: "dense(128)". snprintf's rules. */
int spec_print_word(char *to, size_t size, const word *w);

/* The canonical text of all, allocated; NULL without memory. */
char *spec_print(const network_text *net);

/* Is the last layer, of those not nested, of this kind? */
bool spec_ends_in(const network_text *net, word_kind kind);

const char *spec_word_name(word_kind kind);

/* Names of the word's arguments; returns how many. */
int spec_arguments(word_kind kind, const char *names[PN_MAXARGS]);

/* ---- layers ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name; /* "W" */
    int rank;
    int64_t dim[PN_MAXRANK];
    size_t size;
    bool state;         /* in the file, but no optimizer's: the layer itself keeps it, as batchnorm its running mean */
    float *data, *grad; /* in the net's parameter block, and its twin for gradients (NULL until asked for) */
    float *memory[MAX_MEMORIES];        /* what the optimizer remembers, in the same layout; NULL: nothing */
    float *memory_panels[MAX_MEMORIES]; /* room for as much again, for layers that move it during a call */
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
void nonzeros_turn(const nonzeros *z, int samples);

/* Activations are (rows, features) with ld floats from row to row, the padding zero. */
typedef struct {
    float *data;
    size_t ld;
} activation;

/* One step of the optimizer, for tensors that decay and for the others. */
typedef struct {
    update_rule decayed, others;
} optim_step;

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
    bool apart;            /* each thread runs its own rows through all layers */
    const optim_step *opt; /* the optimizer's step to apply to a gradient at once; NULL: store the gradient */
    activation inputs;     /* of the network: x of the first layer */
    /* (256); unless NULL, the inputs lie there as bytes, ld of them from row to row, and mean these */
    const float *byte_values;
    const nonzeros *zeros; /* where they are not zero, if most are; else NULL */
} pass;

/* This thread's part [from, to) of n things, in multiples of `grain`. */
void my_share(const pass *p, int n, int grain, int *from, int *to);

typedef struct layer layer;

/* Zeros around an image, in places. */
typedef struct {
    int top, bottom, left, right;
} frame;

typedef struct {
    pn_status (*shape)(layer *l, char *err); /* out, parameters and scratch, from in and the arguments */
    pn_status (*check_batch)(const layer *l, int64_t rows, char *err); /* can it train on so few rows? may be NULL */
    void (*place)(layer *l);                                           /* fills tables in new scratch; may be NULL */
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
    bool (*for_owner)(const layer *l); /* and then, does each thread make what it needs itself, from what is its own? */
    bool on_images;                    /* needs pixels, see images.c */
    bool flattens;                     /* needs a flat x in the order outside */
    bool fuses_forward, fuses_backward; /* a ReLU behind it, or on the way back before it */
    bool rectifies;                     /* y loses about half of x: weights before it start larger (He) */
    bool transparent;                   /* weights before it start as the layer behind it wants them */
} layer_ops;

extern const layer_ops dense_ops, conv_ops, maxpool_ops, avgpool_ops, flatten_pixels_ops, relu_ops, leaky_relu_ops,
    gelu_ops, sigmoid_ops, tanh_ops, softmax_ops, flatten_ops, dropout_ops, batchnorm_ops, layernorm_ops, residual_ops;

struct layer {
    const layer_ops *ops;
    word word;
    char path[48];    /* "0", "3.0" */
    const char *text; /* "dense(128)" */
    int number;       /* among the net's layers */
    shape in, out;
    bool pixels;      /* images come and go pixel by pixel: see images.c */
    frame frame;      /* to be put around x */
    size_t copy_size; /* floats of this layer's own copy of a sample of x; 0: x is used as it comes */
    parameter param[MAX_PARAMS];
    int n_params;
    int64_t uses;        /* of each weight by a sample */
    size_t scratch_size; /* floats of work memory besides the activations */
    size_t row_scratch;  /* and for each row of the batch */
    float *scratch, *row_data;
    size_t own_size; /* and of each thread's own: thread id's begins at own + id * own_size */
    float *own;
    layer *before;                      /* whose y is x; NULL: the network's inputs */
    layer *after;                       /* the only layer that reads y; NULL if there is none such */
    layer *inner, *skip;                /* residual: y = inner's y + skip's y, or without a skip + x */
    int span;                           /* residual: how many layers behind this one belong to it */
    layer *sum;                         /* the residual that adds this y to another */
    bool wants_dx, learns;              /* are there parameters below? in it or below? */
    bool fused_forward, fused_backward; /* a ReLU whose work the layer before, or after it does in a fused pass */
    activation copy, dcopy;             /* of x, and the gradient of that */
    activation x, y, dx, dy;            /* y and dy are the x and dx of the layer after; x of the first is in pass */
};

/* x of this layer, or its copy; the first one's belongs to the pass. */
activation layer_input(const layer *l, const pass *p);

/* Where this layer's dx goes: to the layer before, or to the copy's, which return_gradients() takes there. */
activation layer_input_gradient(const layer *l);

/* The layer with its own y that l's output is: l itself, or what lies below a flatten; NULL: the network's inputs. */
layer *layer_source(layer *l);

/* All of a batch of m samples, ld floats apart, whose places hold n channels each. */
channel_rows rows_of_channels(int m, size_t ld, int places, int n);

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
bool is_turned(bool pixels, const shape *s);

/* Settles copy_size. */
void plan_copy(layer *l);

/* For this thread's rows: copy from x; dx from dcopy. */
void copy_inputs(layer *l, const pass *p);
void return_gradients(layer *l, const pass *p);

/* One sample between work memory, `row`, and the order outside; and the place of an output in work memory. */
void sample_in(bool pixels, const shape *s, float *row, const float *x);
void sample_in_u8(bool pixels, const shape *s, float *row, const uint8_t *x); /* x / 255 */
void sample_out(bool pixels, const shape *s, float *x, const float *row);
int32_t output_index(bool pixels, const shape *s, int32_t label);

/* ---- loss.c ------------------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t *labels; /* (rows), or NULL */
    float *weights;  /* (rows), or NULL: all 1 */
    float *
        targets; /* (rows, features), laid out as the outputs; one-hot labels where the loss compares and was given labels */
} answers;

/* For rows [from, to) of outputs x: the loss of each, whether the answer was right, and in dx, unless NULL, the gradient
   of the losses' sum times scale. */
void loss_rows(const loss_rule *rule, float *loss, int32_t *correct, float *dx, const float *x, size_t ld, int features,
               const answers *a, int from, int to, float scale);

/* ---- optim.c ------------------------------------------------------------------------------------------------------ */

/* Are these numbers accepted, for a call of so many steps? */
pn_status optim_check(const pn_optim *opt, int64_t steps, char *err);

/* Makes room for what this optimizer remembers, and begins with zeros if the last one was of another kind. */
pn_status optim_reserve(pn_net *net, const pn_optim *opt);

/* The constants of step t, from 1, before which `taken` others of this call went; gradients are multiplied by scale. */
optim_step optim_step_of(const pn_optim *opt, int64_t taken, int64_t t, float scale);

/* What the step does to this parameter. */
const update_rule *optim_rule(const optim_step *s, const parameter *p);

/* Applies the step to elements [from, from + n) of p, whose gradient is dw (n). */
void optim_apply(const optim_step *s, const parameter *p, size_t from, const float *dw, size_t n);

/* Applies the step that follows `taken` others of this call to this thread's share of every parameter, from the stored
   gradients, which all threads have finished. */
void optim_apply_all(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken);

/* ---- net.c -------------------------------------------------------------------------------------------------------- */

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

struct pn_net {
    network_text text;
    char *spec;
    uint64_t seed;
    uint64_t updates; /* of the parameters so far: no two drop the same units */
    layer *layers;    /* in the order of the text; a projection that a residual needs follows what is in it */
    int n_layers;
    bool pixels; /* images lie pixel by pixel in work memory: see images.c */
    int n_ordered;
    layer **order;     /* in the order of computation: a residual follows what is in it */
    layer *last;       /* whose y is the output */
    layer *judged;     /* whose y the loss looks at: a closing softmax belongs to the cross-entropy; NULL: the inputs */
    char (*texts)[96]; /* each layer's word with arguments */
    tensor_entry *tensors; /* the trained ones, then the state */
    int n_tensors;
    int n_trained;
    float *parameters, *gradients; /* (n_parameters + n_state), (n_parameters) */
    bool has_gradients;            /* of the last backward */
    size_t n_parameters, n_state;
    double multiplies;       /* multiply-adds of a sample, forward */
    pn_optim_kind optimizer; /* of the last step */
    int64_t steps;           /* it has taken */
    float *memory;           /* its, most_memories times n_parameters, and as much again for panels */
    int most_memories;
    float *squares;       /* sums of gradients' squares, for the norm */
    char memory_name[96]; /* of the state tensor last asked for */
    note *notes;
    int n_notes;
    char error[PN_ERRLEN];

    /* work memory, run.c: one block for batches of up to `capacity` rows */
    float *work;
    int capacity;
    int head;         /* layers before the loss */
    bool dense_first; /* a dense layer reads the inputs as they lie */
    bool in_pieces;   /* no other layer does, so that it can take those of a large batch piece by piece */
    int rows;         /* of the batch in work memory */
    step done;
    bool
        input_gradient; /* work memory has room for the gradients of the inputs, and of layers with nothing to learn below */
    bool sparse;        /* net->zeros is about the batch of the last forward */
    int copies;         /* of the inputs: each thread that trains gathers its own, which is faster than to share */
    int threads;        /* for which layers have memory of their own */
    activation *x;      /* (copies) */
    activation dx;      /* gradient of the inputs, if input_gradient */
    nonzeros *zeros;        /* (copies) */
    float byte_values[256]; /* x / 255 */
    answers answers;
    float *loss;      /* (capacity) */
    int32_t *correct; /* (capacity); not bytes: the rows of two threads would share a cache line */
};

/* ---- graph.c ----- */

/* From net->text: layers, order of computation, tensors, sizes. */
pn_status graph_build(pn_net *net, char *err);

/* ---- net.c ----- */

/* A network that knows its shapes and sizes but has no parameters yet; net_allocate gives it zeros. Loading compares
   the sizes with the file's in between. */
pn_status net_build(pn_net **net, const char *spec, char *err);
pn_status net_allocate(pn_net *net, char *err);

/* PN_ERR_PARAMETER and a message that names it if a parameter is infinite or NaN. */
pn_status net_check_finite(pn_net *net);

#endif
