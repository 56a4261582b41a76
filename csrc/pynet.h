/* pynet.h - train and run small neural networks on a CPU.
 *
 * The only public header of the library. A network is made from a line of text, "input(784) dense(128) relu dense(10)
 * softmax"; docs/reference.md lists all layers. Numbers are float32. Arrays are row-major with one row per sample, and
 * a dense layer computes y = x W + b with W (n_in, n_out).
 *
 * The shortest program that trains a network:
 *
 *     #include "pynet.h"
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         const float x[] = {0, 0, 0, 1, 1, 0, 1, 1};
 *         const int32_t labels[] = {0, 1, 1, 0};
 *         const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = 4};
 *         char err[PN_ERRLEN];
 *         pn_net *net;
 *         pn_optim adam;
 *         pn_optim_default(&adam, PN_ADAM);
 *         pn_status status = pn_net_new(&net, "input(2) dense(16) tanh dense(2) softmax", 1, err);
 *         for (int epoch = 0; epoch < 2000 && status == PN_OK; epoch++)
 *             status = pn_net_train(net, &data, NULL, 4, 4, &adam, NULL);
 *         if (status == PN_OK)
 *             status = pn_net_save(net, "xor.safetensors");
 *         if (status != PN_OK)
 *             fprintf(stderr, "%s\n", net ? pn_net_error(net) : err);
 *         pn_net_free(net);
 *         return status != PN_OK;
 *     }
 *
 * The shortest program that predicts:
 *
 *     #include "pynet.h"
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         const float x[] = {1, 0};
 *         const pn_data data = {.x = x, .dtype = PN_FLOAT32, .n = 1};
 *         char err[PN_ERRLEN];
 *         float p[2];
 *         pn_net *net;
 *         pn_status status = pn_net_load(&net, "xor.safetensors", err);
 *         if (status == PN_OK)
 *             status = pn_net_predict(net, &data, 1, 1, p);
 *         if (status == PN_OK)
 *             printf("probability of label 1: %.3f\n", (double)p[1]);
 *         else
 *             fprintf(stderr, "%s\n", net ? pn_net_error(net) : err);
 *         pn_net_free(net);
 *         return status != PN_OK;
 *     }
 *
 * Compile with: cc train.c libpynet.a -lm -pthread. The library can be built without threads, files and environment
 * variables: -DPN_NO_THREADS, where every call uses one thread; -DPN_NO_FILES, without the functions that take a path,
 * which the header then does not declare; -DPN_NO_ENV.
 *
 * Memory: a pn_net owns its memory, until pn_net_free. Arrays, structs and strings that the caller passes are copied or
 * used during the call only; they stay the caller's. Strings and tensors that pynet returns belong to the net.
 *
 * Threads: a net may be used by one thread at a time, different nets by different threads at once. Each call uses the
 * threads of a pool by itself. The kernels and pn_augmented may be called by any threads at once. fork() is safe.
 *
 * Failure: functions that can fail return a pn_status; each declaration names the ones it can return besides PN_OK. For
 * a function on a net, pn_net_error has a message with the wrong values; functions without a net write it to `err`,
 * which may be NULL. All other functions cannot fail. NULL for a net, or for a struct to fill, gives PN_ERR_ARGUMENT; the
 * functions on a net that return no status give NULL, fill in zeros or do nothing. The kernels alone check nothing.
 *
 * Bits: a seed gives the same bits for every number of threads and every kernel table that has fused multiply-add. Each
 * element of a matrix product is one chain of fused multiply-adds with ascending k; sums along a row use 16 lanes that
 * a fixed tree adds up. Convolutions by 3 by 3 kernels with stride 1, and channels in multiples of 16, take Winograd's
 * way (F(2x2,3x3), Lavin and Gray 2016): other sums, in one order, too. The shape of the layer alone decides; samples
 * give the same bits in every batch. Denormals are flushed to zero inside each call; the caller's floating-point state
 * is restored.
 */
#ifndef PYNET_H
#define PYNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#pragma push_macro("restrict")
#undef restrict
#define restrict /* no word of C++ */
#endif
#pragma GCC visibility push(default)

/* pynet/_build.py gives the part from this line to the closing mark to cffi: plain declarations, and PN_NO_FILES. */
/* [cffi */

#define PN_ERRLEN 256 /* bytes of an error message, the final zero included */
#define PN_MAXARGS 6  /* arguments of a word in the text of a network */
#define PN_MAXRANK 4  /* axes of a tensor: W of a convolution has most; a sample is (n) or (channels, height, width) */

typedef enum {
    PN_OK = 0,
    PN_ERR_MEMORY,    /* out of memory */
    PN_ERR_ARGUMENT,  /* an argument, or a number in the data, is not accepted */
    PN_ERR_SPEC,      /* the text of a network is invalid; the message names the column */
    PN_ERR_STATE,     /* calls in the wrong order, such as backward before loss */
    PN_ERR_NONFINITE, /* a loss or gradient is infinite or NaN; its step was not taken */
    PN_ERR_IO,        /* input or output failed; errno has the reason */
    PN_ERR_FORMAT,    /* the file is not a model, or it is damaged */
    PN_ERR_PARAMETER  /* a parameter is infinite or NaN, a scale is not above 0, a running variance is below 0 */
} pn_status;

/* A short description of a status. A constant string. */
const char *pn_strerror(pn_status status);

/* Where all memory comes from, of the whole process; malloc and free if it is not set. Any threads call the functions at
   once, until the process ends. */
typedef struct {
    void *(*alloc)(void *context, size_t bytes, size_t align); /* align is a power of two; NULL: there is none */
    void (*free)(void *context, void *block);                  /* a block of alloc, not NULL */
    void *context;
} pn_allocator;

/* Copies *allocator. PN_ERR_STATE: after the first net, or another call that took memory; PN_ERR_ARGUMENT. */
pn_status pn_set_allocator(const pn_allocator *allocator);

/* The version of this header; and of the library, "1.2.3", a constant string. */
#define PN_VERSION_MAJOR 0
#define PN_VERSION_MINOR 2
#define PN_VERSION_PATCH 0
const char *pn_version(void);

/* ---- the network: create, describe, free ------------------------------------------------------------------------- */

typedef struct pn_net pn_net;

/* Creates a network from its text; the seed determines the initial weights. Free it with pn_net_free.
   On failure *net is NULL. PN_ERR_SPEC; PN_ERR_ARGUMENT: spec is NULL; PN_ERR_MEMORY. */
pn_status pn_net_new(pn_net **net, const char *spec, uint64_t seed, char err[PN_ERRLEN]);

/* Frees a network, which no other thread may be using. NULL is allowed. */
void pn_net_free(pn_net *net);

/* Why the last call on this net failed; "" if it did not. Valid until the next call on the net. */
const char *pn_net_error(const pn_net *net);

/* The canonical text of the network, from which pn_net_new makes the same network. Valid until pn_net_free. */
const char *pn_net_spec(const pn_net *net);

typedef enum { PN_CROSS_ENTROPY, PN_MSE, PN_BCE, PN_MAE, PN_HUBER } pn_loss;

typedef struct {
    int layers;         /* number of layers, nested ones included; `input` and `loss` are not layers */
    int tensors;        /* number of weights, biases and running statistics */
    int64_t parameters; /* number of elements in trained tensors */
    pn_loss loss;
    double smoothing; /* label smoothing, of cross-entropy */
    double delta;     /* of PN_HUBER, else 0 */
    uint64_t seed;
    uint64_t updates; /* steps trained so far, by any optimizer; dropout and augmentation depend on it */
    int in_rank, out_rank;
    int64_t in_shape[PN_MAXRANK], out_shape[PN_MAXRANK]; /* of one sample */
    /* Products of the shapes. A model of a table takes its columns as numbers, each category of a column as one of its
       own: in_features counts them after that. Its notes, see pn_net_meta, name the columns. */
    int64_t in_features, out_features;
} pn_net_info;

/* Fills *info. */
void pn_net_describe(const pn_net *net, pn_net_info *info);

/* Its strings are valid until pn_net_free. */
typedef struct {
    const char *path; /* "0", "3.0" for a layer nested in layer 3, "3.skip" for the projection of residual 3 */
    const char *kind; /* "dense" */
    const char *text; /* "dense(128)" */
    int in_rank, out_rank;
    int64_t in_shape[PN_MAXRANK], out_shape[PN_MAXRANK];
    int64_t parameters;
    int args; /* number of arguments, defaults included; "units" has the value 128, a choice its index */
    const char *arg_name[PN_MAXARGS];
    double arg[PN_MAXARGS];
} pn_layer_info;

/* Describes layer i of pn_net_info.layers, in the order of the text. PN_ERR_ARGUMENT: there is no such layer. */
pn_status pn_net_layer(pn_net *net, int i, pn_layer_info *info);

typedef struct {
    const char *name; /* "0.W", as in files */
    int layer;        /* index for pn_net_layer */
    int rank;
    int64_t shape[PN_MAXRANK];
    int64_t size;      /* product of shape */
    float *data;       /* the network's own memory: writing changes the network; valid until pn_net_free */
    const float *grad; /* same shape; NULL until pn_net_backward has computed it */
    int trained;       /* 0: a running statistic, which the layer updates; it has no gradient */
} pn_tensor;

/* Describes tensor i of pn_net_info.tensors: trained ones first, contiguous in memory. Its name is valid until
   pn_net_free. PN_ERR_ARGUMENT: there is no such tensor. */
pn_status pn_net_tensor(pn_net *net, int i, pn_tensor *tensor);

/* ---- the network: data ------------------------------------------------------------------------------------------- */

typedef enum { PN_UINT8, PN_FLOAT32 } pn_dtype;

/* Random distortions of images in training, new ones for each sample in each step. Output pixel p, relative to the
   center of the image, shows the input at R S Z p + t + e(p), interpolated bilinearly; outside of the image are zeros.
   R rotates by up to `rotate` degrees either way, S shears: it adds y tan(up to `shear` degrees) to x, Z divides x and
   y by 1 + up to `scale`, independently, and t shifts by up to `shift` pixels along each axis; all uniform and of
   either sign. e is an elastic distortion (Simard, Steinkraus and Platt 2003): uniform random offsets, smoothed by a
   Gaussian of standard deviation (height + width) / 14 pixels, scaled to standard deviation `elastic` pixels along each
   axis, and drawn on a grid of that spacing. The random numbers depend only on the net's seed, its updates and the row
   in the batch. */
typedef struct {
    double shift;      /* 0 to below 1e6 */
    double rotate;     /* 0 to below 360 */
    double scale;      /* 0 to below 1 */
    double shear;      /* 0 to below 90 */
    double elastic;    /* 0 to below 1e6 */
    int height, width; /* of the images in a sample (channels, height, width); 0: those of the network's input */
} pn_augment;

/* Fills *options with the defaults for images of this size: shift (height + width) / 56, rotate 8, scale 0.08, shear 4,
   elastic (height + width) / 80. Stronger ones (2 pixels, 10, 0.1, 5, 1 pixel) were worse on validation samples of
   MNIST, for dense networks and for convolutions. */
void pn_augment_default(pn_augment *options, int height, int width);

/* y (n, channels, height, width) = the batch x as a training step sees it, after `step` updates of a net with this
   seed. Height and width are those of `options`. PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_augmented(float *y, const void *x, pn_dtype dtype, int64_t n, int channels, const pn_augment *options,
                       uint64_t seed, uint64_t step, char err[PN_ERRLEN]);

/* A data set in the caller's arrays, which pynet only reads, and only during the call it is passed to. The rows of a
   batch are gathered and converted by pynet. */
typedef struct {
    const void *x;         /* (n, in_features), contiguous */
    pn_dtype dtype;        /* of x; PN_UINT8 means x/255, PN_FLOAT32 is not scaled */
    const int32_t *labels; /* (n) in [0, out_features), or NULL */
    const float *targets;  /* (n, out_features), or NULL: one-hot labels. Cross-entropy needs labels; a final rescale
                              targets in the unit of the outputs; of binary cross-entropy they are in [0, 1] */
    const float *weights;  /* (n), 0 or more: factors of each sample's loss in the mean over all samples; NULL: 1 */
    int64_t n;
    const pn_augment *augment; /* used by pn_net_train and pn_net_forward; NULL: no augmentation */
    /* Compressed sparse rows (CSR), if starts is not NULL, for networks of rows without standardize: row i has x[k],
       PN_FLOAT32, in columns[k] for k in [starts[i], starts[i + 1]), and zeros elsewhere; values of one column add up.
       The results have the bits of those of dense rows. */
    const int64_t *starts;  /* (n + 1) */
    const int32_t *columns; /* (stored) in [0, in_features) */
    int64_t stored;         /* number of values in x */
} pn_data;

/* ---- the network: training --------------------------------------------------------------------------------------- */

typedef enum { PN_SGD, PN_MOMENTUM, PN_NESTEROV, PN_RMSPROP, PN_ADAM, PN_ADAMW } pn_optim_kind;

/* An optimizer: w is a parameter, g its gradient. A step does, in this order: clips g to [-clip_value, clip_value], or
   scales all gradients down by one factor so that their norm, the root of the sum of all squares, is at most clip_norm
   (Pascanu, Mikolov and Bengio 2013); g += l2 * w (coupled weight decay); w -= learning_rate * weight_decay * w
   (decoupled weight decay; Loshchilov and Hutter 2019); then the step of pn_sgd, pn_momentum, pn_rmsprop or pn_adam
   below. Decay applies to tensors with two axes or more, the weights; with decay_all also to biases and norms. */
typedef struct {
    pn_optim_kind kind;
    double learning_rate; /* above 0; unused with rates */
    double momentum;      /* PN_MOMENTUM, PN_NESTEROV; 0 to below 1, of other kinds, too, as the next two */
    double beta1;         /* PN_ADAM, PN_ADAMW */
    double beta2;         /* these and PN_RMSPROP */
    double epsilon;       /* these: above 0 */
    double l2;            /* 0: none */
    double weight_decay;  /* 0: none */
    int decay_all;        /* not 0: biases and norms decay, too */
    double clip_value;    /* 0: none */
    double clip_norm;     /* 0: none */
    const double
        *rates; /* learning rate of each step of a call, 0 or more; NULL: learning_rate. Read during the call */
} pn_optim;

/* Fills *opt with the defaults of this kind: learning rate 0.1 for PN_SGD, 0.01 for PN_MOMENTUM and PN_NESTEROV, 0.001
   for the others; momentum 0.9; beta1 0.9; beta2 0.999, for PN_RMSPROP 0.99; epsilon 1e-8; weight decay 0.01 for
   PN_ADAMW, which otherwise is PN_ADAM. PN_ERR_ARGUMENT: there is no such kind, opt is NULL. */
pn_status pn_optim_default(pn_optim *opt, pn_optim_kind kind);

/* Sums over samples. The caller zeroes them before the first call that adds to them. */
typedef struct {
    double loss;     /* divide by samples for the mean */
    int64_t correct; /* the largest output is that of the label or of the largest target; a single output, and all
                        outputs under binary cross-entropy, are on the same side of 1/2 as the target. 0 with a final
                        rescale, whose outputs are quantities */
    int64_t samples;
    int64_t steps; /* pn_net_train only */
} pn_stats;

/* Trains on samples order[0..n) of data in ceil(n / batch) mini-batches, each a step of forward, loss, backward,
   update. order may be NULL: the first n samples. If batch does not divide n, batches differ in size by at most one,
   larger ones first: a small last batch would take as large a step as the others with a noisier gradient. Adds to
   *stats, which may be NULL. Steps that were taken before a failure stay. PN_ERR_NONFINITE: the batch after
   stats->steps had a loss that is not finite; PN_ERR_PARAMETER: a parameter is not finite, before or after;
   PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_train(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int64_t batch,
                       const pn_optim *opt, pn_stats *stats);

/* The four steps of a batch one by one; together they give the same bits as pn_net_train with n = batch.
   Computes the activations of samples order[0..n) in training mode and keeps them. order may be NULL: the first n
   samples. PN_ERR_ARGUMENT, PN_ERR_PARAMETER, PN_ERR_MEMORY. */
pn_status pn_net_forward(pn_net *net, const pn_data *data, const int32_t *order, int64_t n);

/* *loss = mean loss of that batch, from labels or targets of the same samples of data. order as in pn_net_forward.
   PN_ERR_STATE: no forward before; PN_ERR_NONFINITE, PN_ERR_ARGUMENT. */
pn_status pn_net_loss(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, double *loss);

/* Computes the gradient of that loss for every parameter; overwrites the last ones. PN_ERR_STATE: no loss before;
   PN_ERR_MEMORY. */
pn_status pn_net_backward(pn_net *net);

/* Takes one step of the optimizer with those gradients. PN_ERR_STATE: no backward before; PN_ERR_NONFINITE: a gradient
   is not finite; PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_update(pn_net *net, const pn_optim *opt);

/* Samples order[at..at + n), or without an order samples [at, at + n) of data: rows [first, first + n) of a batch. */
typedef struct {
    int64_t at, n, first;
} pn_part;

/* Forward, loss and backward of parts of a batch of `batch_rows` rows, whose other parts are on other machines, say. The
   gradients become those of the sum of these rows' losses divided by batch_rows, so that they add up to that of the
   batch's mean loss; those of one part that is the whole batch have the bits of pn_net_backward. `parts` is a power of
   two; the gradients of parts i and i + parts / 2 are added first, then the sums whose numbers differ by parts / 4, and
   so on. Dropout and augmentation count rows within the batch. Adds to *stats, which may be NULL, losses in the same
   order. PN_ERR_NONFINITE: the loss of a row is not finite; PN_ERR_ARGUMENT: also if the network has batchnorm, which
   needs all rows, and a part is not the whole batch; PN_ERR_PARAMETER, PN_ERR_MEMORY. */
pn_status pn_net_gradient(pn_net *net, const pn_data *data, const int32_t *order, const pn_part *part, int parts,
                          int64_t batch_rows, pn_stats *stats);

/* *block = all gradients, in the order of the trained tensors, one after the other without gaps: the caller may change
   them between pn_net_gradient or pn_net_backward and pn_net_update. *n = their number, pn_net_info.parameters. Valid
   until pn_net_free. PN_ERR_MEMORY; PN_ERR_ARGUMENT: a pointer is NULL. */
pn_status pn_net_gradient_block(pn_net *net, float **block, int64_t *n);

/* Fits `standardize` and `rescale` to samples order[0..n) of data: sets mean and scale of `standardize` from x, unless
   x is NULL, and those of `rescale` from the targets, unless those are NULL. They are the mean and the standard
   deviation, divided by n, of each feature, or of each channel of images; the scale is 1 where that is 0. Call it
   before training. order may be NULL: the first n samples. After a failure nothing has changed. The loss of a network
   that ends in `rescale` compares standardised outputs and targets: neither it nor the learning rate depends on their
   unit. PN_ERR_ARGUMENT: a number is not finite, or there is nothing to fit; PN_ERR_MEMORY. */
pn_status pn_net_adapt(pn_net *net, const pn_data *data, const int32_t *order, int64_t n);

/* The optimizer state belongs to the network. It is zeroed when an optimizer of another kind takes its first step;
   PN_ADAM and PN_ADAMW count as one kind, as do PN_MOMENTUM and PN_NESTEROV. */
typedef struct {
    pn_optim_kind kind; /* of the last step */
    int64_t steps;      /* taken with this state */
    int tensors;        /* number of state tensors: none, one or two for each trained tensor */
} pn_state_info;

/* Fills *info. */
void pn_net_state(const pn_net *net, pn_state_info *info);

/* Describes tensor i of pn_state_info.tensors: "0.W.velocity", "0.W.mean", "0.W.square". Its data is the network's own
   memory, valid until an optimizer of another kind takes a step; its name until the next call of this function; grad is
   NULL. PN_ERR_ARGUMENT: there is no such tensor. */
pn_status pn_net_state_tensor(pn_net *net, int i, pn_tensor *tensor);

/* Sets the optimizer state to that of this kind after so many steps. Its tensors are zero, for the caller to fill.
   PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_set_state(pn_net *net, pn_optim_kind kind, int64_t steps);

/* Sets pn_net_info.updates, to resume a training. */
void pn_net_set_updates(pn_net *net, uint64_t updates);

/* ---- the network: inference -------------------------------------------------------------------------------------- */

/* y (n, out_features) = outputs for the first n samples of data; a final softmax uses this temperature, above 0, where
   1 is the plain softmax. After a failure y may hold anything. Of the parameters only means, scales and running variances
   are checked before: a program that writes weights through pn_net_tensor checks them itself, or by pn_net_save_memory
   with buffer NULL; an infinite one may give finite outputs. PN_ERR_PARAMETER: one of those is invalid, or an output is
   NaN and a parameter not finite; PN_ERR_NONFINITE: an output is NaN and all parameters are finite, since sums were beyond
   float32. Infinite outputs are no failure. PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_predict(pn_net *net, const pn_data *data, int64_t n, float temperature, float *y);

/* Adds loss and correct predictions of samples order[0..n) to *stats. order may be NULL: the first n samples.
   PN_ERR_NONFINITE: a loss is not finite; PN_ERR_ARGUMENT, PN_ERR_PARAMETER, PN_ERR_MEMORY. */
pn_status pn_net_evaluate(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, pn_stats *stats);

/* As pn_net_forward, in inference mode: for pn_net_activation, not for pn_net_loss. Both keep the outputs of all layers
   for all n samples, NaN, too, and check the parameters that pn_net_predict does; it and pn_net_evaluate take at most
   16 MB for any n, or if one sample needs more, about three times its widest layer for each thread. */
pn_status pn_net_infer(pn_net *net, const pn_data *data, const int32_t *order, int64_t n);

/* y (n, shape of its output) = outputs of layer i in the last forward or infer, a batch of n. PN_ERR_STATE: no forward
   or infer before; PN_ERR_ARGUMENT. */
pn_status pn_net_activation(pn_net *net, int i, int64_t n, float *y);

/* dx (n, in_features) = gradient with respect to the inputs of the first n samples of data, in inference mode: of the
   sum of dy times the outputs of layer i, dy (n, shape of its output); or if dy is NULL of the mean loss, from labels
   or targets of data. Parameters and NaN as in pn_net_predict. PN_ERR_ARGUMENT, PN_ERR_PARAMETER, PN_ERR_NONFINITE,
   PN_ERR_MEMORY. */
pn_status pn_net_input_gradient(pn_net *net, const pn_data *data, int64_t n, int i, const float *dy, float *dx);

/* ---- the network: its memory -------------------------------------------------------------------------------------- */

/* Allocates memory in advance: predicting and evaluating up to `rows` samples in a call and, unless opt is NULL, training
   with this optimizer at batches of up to `rows` then allocate nothing, on the number of threads there is now.
   Augmentation, too, of pictures of the input's size, or in flat inputs of square ones of 1 or 3 channels; of others
   from the second call. Optimizer state keeps its numbers, but moves; the results of an earlier forward are lost.
   PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_reserve(pn_net *net, int64_t rows, const pn_optim *opt);

/* *bytes = what the network takes from the allocator after pn_net_reserve with these arguments, in all. Besides,
   dense layers may use buffers of 1 MB a thread, which all networks share and the process keeps: in training on 16 rows
   or more, and with 256 units or over 262,144 weights in any call on 24 rows or more. Without memory for them calls are
   slower, and pn_net_reserve succeeds. PN_ERR_ARGUMENT. */
pn_status pn_net_memory(pn_net *net, int64_t rows, const pn_optim *opt, size_t *bytes);

/* ---- the model file: safetensors, which other programs can read -------------------------------------------------- */

/* Sets a note, which is saved with the model, such as class names: copies UTF-8 text under a key; value NULL removes
   the key. Keys that begin with "pynet" are reserved. PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_set_meta(pn_net *net, const char *key, const char *value);

/* The value of this key; NULL: there is none. Valid until the next pn_net_set_meta. */
const char *pn_net_meta(const pn_net *net, const char *key);

/* Key and value of note i, in the order they were set; NULL past the last. Valid until the next pn_net_set_meta. */
const char *pn_net_meta_key(const pn_net *net, int i);
const char *pn_net_meta_value(const pn_net *net, int i);

#ifndef PN_NO_FILES
/* Saves the model: writes a temporary file beside path, fsync, rename, fsync of the folder. After a failure the file at
   path is unchanged. What pn_net_load would refuse is not saved. PN_ERR_PARAMETER, PN_ERR_IO, PN_ERR_ARGUMENT,
   PN_ERR_MEMORY. */
pn_status pn_net_save(pn_net *net, const char *path);

/* Loads a model; free it with pn_net_free. The file is checked completely and may come from anyone. On failure *net is
   NULL. PN_ERR_IO, PN_ERR_FORMAT, PN_ERR_ARGUMENT, PN_ERR_MEMORY. */
pn_status pn_net_load(pn_net **net, const char *path, char err[PN_ERRLEN]);
#endif

/* As pn_net_load and pn_net_save, from and to memory. *size = the bytes the model takes; buffer NULL: only that.
   PN_ERR_FORMAT; PN_ERR_ARGUMENT: room, the bytes of the buffer, is too small; PN_ERR_PARAMETER, PN_ERR_MEMORY. */
pn_status pn_net_load_memory(pn_net **net, const void *bytes, size_t size, char err[PN_ERRLEN]);
pn_status pn_net_save_memory(pn_net *net, void *buffer, size_t room, size_t *size);

/* What a checkpoint holds besides the model, to resume a training: any UTF-8 text, and tensors, of which name, rank,
   shape, size and data are used. A name begins with a letter; letters, digits, dots and _ follow. */
typedef struct {
    char *text;
    int tensors; /* their number */
    pn_tensor *tensor;
} pn_checkpoint;

#ifndef PN_NO_FILES
/* As pn_net_save, with *more, which stays the caller's. pn_net_load loads the file as a model. PN_ERR_ARGUMENT also: more,
   its text or the data of a tensor is NULL, a size is not the product of the shape, a name is there twice. The numbers of
   its tensors may be any. */
pn_status pn_net_save_checkpoint(pn_net *net, const pn_checkpoint *more, const char *path);

/* As pn_net_load, and fills *more: free it with pn_checkpoint_free. PN_ERR_FORMAT also if the file is not a checkpoint.
   After a failure nothing must be freed. */
pn_status pn_net_load_checkpoint(pn_net **net, pn_checkpoint *more, const char *path, char err[PN_ERRLEN]);
#endif

/* Frees what pn_net_load_checkpoint allocated in *more. NULL is allowed. */
void pn_checkpoint_free(pn_checkpoint *more);

/* ---- threads and CPU, for the whole process ---------------------------------------------------------------------- */

/* The number of threads a call may use: that of pn_set_threads, else PYNET_NUM_THREADS, else OMP_NUM_THREADS, else the
   cores of this process. The number changes no bit of any result. */
int pn_threads(void);

/* Sets it: 1 to 64; 0: the default again. PN_ERR_ARGUMENT. */
pn_status pn_set_threads(int n);

/* Name of the kernel table in use: "avx512", "avx2", "neon" or "portable". A constant string. */
const char *pn_cpu(void);

/* Name of the i-th table that this CPU can run, best first; NULL past the last. A constant string. */
const char *pn_cpu_table(int i);

/* Changes the table; NULL: the best one, or that of PYNET_CPU. No other thread may be inside pynet. PN_ERR_ARGUMENT:
   this CPU cannot run it. */
pn_status pn_set_cpu(const char *name);

/* ---- the kernels -------------------------------------------------------------------------------------------------
   Functions on the caller's arrays, output first, inputs const, sizes last. They allocate nothing that the caller must
   free, keep no pointer, cannot fail and check nothing. Any threads may call them at once. */

enum { PN_TRANS_A = 1, PN_TRANS_B = 2, PN_ACCUMULATE = 4 };

/* C (m,n) = op(A) op(B), op(A) is (m,k), op(B) is (k,n); lda, ldb, ldc are leading dimensions. flags: PN_TRANS_A: A is
   stored as (k,m); PN_TRANS_B: B is stored as (n,k); PN_ACCUMULATE: adds to C. Each element is one chain of fused
   multiply-adds with ascending k, starting from C or zero. Except where both factors are contiguous along k, m = 1 with
   PN_TRANS_B or n = 1 without PN_TRANS_A: there 16 lanes are summed, then C added. */
void pn_gemm(float *restrict C, int ldc, const float *A, int lda, const float *B, int ldb, int m, int n, int k,
             int flags);

/* y (m,n) = x (m,n) + b (n), added to each row; y may be x */
void pn_bias(float *y, const float *x, const float *b, int m, int n);

/* db (n) = column sums of dy (m,n), rows ascending; overwrites */
void pn_bias_grad(float *restrict db, const float *dy, int m, int n);

/* y = max(x, 0), NaN for NaN; y may be x. Gradient: dx = dy where y > 0, else 0; dx may be dy. All (n). */
void pn_relu(float *y, const float *x, size_t n);
void pn_relu_grad(float *dx, const float *dy, const float *y, size_t n);

/* y = x where x > 0, else slope x; slope >= 0; y may be x. Gradient: dx = dy where y > 0, else slope dy; dx may be dy.
   All (n). */
void pn_leaky_relu(float *y, const float *x, size_t n, float slope);
void pn_leaky_relu_grad(float *dx, const float *dy, const float *y, size_t n, float slope);

/* y = x P(x), P the cumulative normal distribution (the exact GELU, not its tanh approximation). Gradient, from x
   instead of y: dx = dy (P(x) + x exp(-x^2 / 2) / sqrt(2 pi)); dx may be dy. All (n). */
void pn_gelu(float *y, const float *x, size_t n);
void pn_gelu_grad(float *dx, const float *dy, const float *x, size_t n);

/* y = 1 / (1 + exp(-x)); y may be x. Gradient: dx = dy y (1 - y); dx may be dy. All (n). */
void pn_sigmoid(float *y, const float *x, size_t n);
void pn_sigmoid_grad(float *dx, const float *dy, const float *y, size_t n);

/* y (m,n) = x / (1 - p), or 0 with probability p < 1; y may be x. The mask depends only on seed, layer (its
   index in the network), step (updates before it), row and column. Gradient: the same function of dy. */
void pn_dropout(float *y, const float *x, int m, int n, double p, uint64_t seed, int layer, uint64_t step);

/* mean, variance (c) of each channel of x (m, positions, c), the squared deviations divided by m positions;
   y = gamma (x - mean) / sqrt(variance + epsilon) + beta with gamma, beta (c). The gradient dx includes the paths
   through mean and variance; dgamma, dbeta (c). */
void pn_batchnorm(float *restrict y, float *restrict mean, float *restrict variance, const float *x, const float *gamma,
                  const float *beta, int m, int positions, int c, float epsilon);
void pn_batchnorm_grad(float *restrict dx, float *restrict dgamma, float *restrict dbeta, const float *dy,
                       const float *x, const float *mean, const float *variance, const float *gamma, int m,
                       int positions, int c, float epsilon);

/* y (m,n) = gamma (x - mean) / sqrt(variance + epsilon) + beta with mean and variance (divided by n) of each row of x,
   gamma and beta (n). stats (m,2) = mean and 1 / sqrt(variance + epsilon) of each row, an input of the gradients. */
void pn_layernorm(float *restrict y, float *restrict stats, const float *x, const float *gamma, const float *beta,
                  int m, int n, float epsilon);
void pn_layernorm_grad(float *restrict dx, float *restrict dgamma, float *restrict dbeta, const float *dy,
                       const float *x, const float *stats, const float *gamma, int m, int n);

/* y = tanh(x); y may be x. Gradient: dx = dy (1 - y^2); dx may be dy. All (n). */
void pn_tanh(float *y, const float *x, size_t n);
void pn_tanh_grad(float *dx, const float *dy, const float *y, size_t n);

/* p (m,n) = softmax of each row of x (m,n) / temperature; temperature > 0; p may be x */
void pn_softmax(float *p, const float *x, int m, int n, float temperature);

/* y (m,n) = (x - mean) / scale, mean and scale (n); y may be x. Gradient: dx = dy / scale; dx may be dy. */
void pn_standardize(float *y, const float *x, const float *mean, const float *scale, int m, int n);
void pn_standardize_grad(float *dx, const float *dy, const float *scale, int m, int n);

/* y (m,n) = x scale + mean, mean and scale (n); y may be x. Gradient: dx = dy scale; dx may be dy. */
void pn_rescale(float *y, const float *x, const float *mean, const float *scale, int m, int n);
void pn_rescale_grad(float *dx, const float *dy, const float *scale, int m, int n);

/* dx (m,n) = gradient through p = softmax(x): p (dp - sum over the row of dp p); dx may be dp */
void pn_softmax_grad(float *dx, const float *dp, const float *p, int m, int n);

/* loss (m): -log softmax(x)[label] of each row of x (m,n). dx (m,n) = (softmax(x) - one-hot) * scale; scale 1/m makes
   it the gradient of the mean loss. labels (m) in [0, n). dx may be x, or NULL. smoothing, from 0 to
   below 1, replaces one-hot by (1 - smoothing) one-hot + smoothing / n (Szegedy et al. 2016). */
void pn_cross_entropy(float *restrict loss, float *dx, const float *x, const int32_t *labels, int m, int n, float scale,
                      float smoothing);

/* loss (m): the sum over each row of -y log p - (1 - y) log(1 - p), p = sigmoid(x); x (m,n), y (m,n) in [0, 1].
   dx (m,n) = (p - y) * scale; dx may be x, or NULL. */
void pn_binary_cross_entropy(float *restrict loss, float *dx, const float *x, const float *y, int m, int n,
                             float scale);

/* loss (m): half the sum over each row of (p - y)^2; p, y (m,n). dp (m,n) = (p - y) * scale; dp may be p, or NULL. */
void pn_squared_error(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale);

/* loss (m): the sum over each row of |p - y|; p, y (m,n). dp (m,n) = sign(p - y) * scale, 0 where p = y; dp may be p,
   or NULL. */
void pn_absolute_error(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale);

/* loss (m): the sum over each row of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), with d = p - y (Huber
   1964); p, y (m,n), delta > 0. dp (m,n) = d clipped to [-delta, delta], times scale; dp may be p, or NULL. */
void pn_huber(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale, float delta);

/* w (n) -= learning_rate * dw (n) (Robbins and Monro 1951) */
void pn_sgd(float *restrict w, const float *dw, size_t n, double learning_rate);

/* velocity = momentum * velocity + dw; w -= learning_rate * velocity (Polyak 1964). With nesterov (1983; in this form
   Sutskever et al. 2013) w -= learning_rate * (momentum * velocity + dw). All (n). */
void pn_momentum(float *restrict w, float *restrict velocity, const float *dw, size_t n, double learning_rate,
                 double momentum, int nesterov);

/* square = beta2 * square + (1 - beta2) * dw^2; w -= learning_rate * dw / (sqrt(square) + epsilon) (Tieleman and Hinton
   2012). All (n). */
void pn_rmsprop(float *restrict w, float *restrict square, const float *dw, size_t n, double learning_rate,
                double beta2, double epsilon);

/* mean = beta1 * mean + (1 - beta1) * dw; square = beta2 * square + (1 - beta2) * dw^2; w -= learning_rate * (mean / (1
   - beta1^t) / (sqrt(square / (1 - beta2^t)) + epsilon) + weight_decay * w) (Kingma and Ba 2015; the decay is that of
   Loshchilov and Hutter 2019). All (n); t is the number of this step, from 1. */
void pn_adam(float *restrict w, float *restrict mean, float *restrict square, const float *dw, size_t n, int64_t t,
             double learning_rate, double beta1, double beta2, double epsilon, double weight_decay);

/* y (m,n) = 1 at each row's label, else 0; labels (m) in [0, n) */
void pn_one_hot(float *restrict y, const int32_t *labels, int m, int n);

/* y (m,n) = rows index[0..m) of x (.., n) / 255; index NULL: 0, 1, 2 ... */
void pn_gather(float *restrict y, const uint8_t *x, const int32_t *index, int m, int n);

/* order[0..n) = a random permutation of 0..n-1, a function of seed and epoch (Fisher and Yates 1938) */
void pn_shuffle(int32_t *order, int32_t n, uint64_t seed, uint64_t epoch);

/* cffi] */

#pragma GCC visibility pop
#ifdef __cplusplus
#pragma pop_macro("restrict")
}
#endif
#endif
