/* pynet.h - train and run small neural networks on a CPU.
 *
 * The only public header. Everything is float32, row-major, one row a sample: y = x W + b with W (n_in, n_out).
 * Two ways in: the kernels at the top work on plain arrays, allocate nothing and cannot fail; the network below owns
 * its memory, checks what it is given and answers with a status.
 *
 * Bits: each element of a matrix product is one chain of fused multiply-adds, k ascending; sums along a row run in 16
 * lanes that a fixed tree adds up. So every kernel table that has fused multiply-add gives the same bits. Denormals are
 * flushed to zero inside each call; the caller's floating-point state is put back.
 *
 * Threads: a pn_net may be used by one thread at a time; different nets by different threads at once.
 */
#ifndef PYNET_H
#define PYNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define restrict
#endif
#pragma GCC visibility push(default)

/* pynet/_build.py hands the part between this line and the closing mark to cffi: plain declarations only. */
/* [cffi */

#define PN_ERRLEN 256 /* bytes of an error message, the closing zero included */
#define PN_MAXARGS 6  /* arguments of a word */
#define PN_MAXRANK 4  /* a sample is (n), or (channels, height, width); W of a convolution has four axes */

typedef enum {
    PN_OK = 0,
    PN_ERR_MEMORY,    /* memory could not be had */
    PN_ERR_ARGUMENT,  /* a size, label, name or number that is not accepted */
    PN_ERR_SPEC,      /* the text of a network is wrong; the message names the column */
    PN_ERR_STATE,     /* calls in the wrong order: backward before forward and loss */
    PN_ERR_NONFINITE, /* a loss is infinite or NaN; in training its step was then not taken */
    PN_ERR_IO,        /* the operating system refused; errno tells why */
    PN_ERR_FORMAT,    /* the file is no model, or damaged */
    PN_ERR_PARAMETER  /* a parameter is infinite or NaN */
} pn_status;

/* A few words for a status. */
const char *pn_strerror(pn_status status);

/* The version of this library, "1.2.3". */
const char *pn_version(void);

/* ---- the kernel table ------------------------------------------------------------------------------------------- */

/* Name of the kernel table in use: "avx512", "avx2", "neon" or "portable". */
const char *pn_cpu(void);

/* Name of the i-th table this CPU can run, best first; NULL past the last. */
const char *pn_cpu_table(int i);

/* Changes the table for the whole process; NULL is the best one, or what PYNET_CPU names. Not while another thread is
   inside pynet. */
pn_status pn_set_cpu(const char *name);

/* ---- threads ----------------------------------------------------------------------------------------------------- */

/* How many threads a call may use: the cores of this process, unless PYNET_NUM_THREADS, OMP_NUM_THREADS or
   pn_set_threads says otherwise. The number changes no bit of any result. */
int pn_threads(void);

/* 1 to 64, for the whole process; 0 is the default again. */
pn_status pn_set_threads(int n);

/* ---- kernels: output first, inputs const, sizes last ------------------------------------------------------------- */

enum { PN_TRANS_A = 1, PN_TRANS_B = 2, PN_ACCUMULATE = 4 };

/* C (m,n) = op(A) op(B), op(A) is (m,k), op(B) is (k,n); row-major, lda ldb ldc floats from row to row.
   flags: PN_TRANS_A: A lies as (k,m); PN_TRANS_B: B lies as (n,k); PN_ACCUMULATE: each sum starts from C, not from zero.
   Each sum is one chain of fused multiply-adds, terms ascending; but in 16 lanes, added up at the end (then to C), where both
   factors lie along it: m is 1 with PN_TRANS_B, or n is 1 without PN_TRANS_A. */
void pn_gemm(float *restrict C, int ldc, const float *A, int lda, const float *B, int ldb, int m, int n, int k,
             int flags);

/* y (m,n) = x (m,n) + b (n) in every row; y may be x */
void pn_bias(float *y, const float *x, const float *b, int m, int n);

/* db (n) = column sums of dy (m,n), rows ascending; overwrites */
void pn_bias_grad(float *restrict db, const float *dy, int m, int n);

/* y = max(x, 0), NaN stays NaN; y may be x. Gradient: dx = dy where y > 0, else 0; dx may be dy. All (n). */
void pn_relu(float *y, const float *x, size_t n);
void pn_relu_grad(float *dx, const float *dy, const float *y, size_t n);

/* y = x where x > 0, else slope x; slope >= 0; y may be x. Gradient: dx = dy where y > 0, else slope dy; dx may be dy. All (n). */
void pn_leaky_relu(float *y, const float *x, size_t n, float slope);
void pn_leaky_relu_grad(float *dx, const float *dy, const float *y, size_t n, float slope);

/* y = x P(x), P(x) the share of a normal distribution below x: the exact form, with erf. Gradient, from x, not from y: dx = dy (P(x)
   + x exp(-x^2 / 2) / sqrt(2 pi)); dx may be dy. All (n). */
void pn_gelu(float *y, const float *x, size_t n);
void pn_gelu_grad(float *dx, const float *dy, const float *x, size_t n);

/* y = 1 / (1 + exp(-x)); y may be x. Gradient: dx = dy y (1 - y); dx may be dy. All (n). */
void pn_sigmoid(float *y, const float *x, size_t n);
void pn_sigmoid_grad(float *dx, const float *dy, const float *y, size_t n);

/* y (m,n) = x / (1 - p), or 0 with probability p < 1; y may be x. Which ones depends on seed, layer (its index in a network)
   and step (updates before it) alone. Gradient: the same of dy. */
void pn_dropout(float *y, const float *x, int m, int n, double p, uint64_t seed, int layer, uint64_t step);

/* mean, variance (c) of each channel of x (m, places, c), its variance divided by m places; y = gamma (x - mean) /
   sqrt(variance + epsilon) + beta, gamma and beta (c). Gradients: dx, with those through mean and variance, dgamma and
   dbeta. */
void pn_batchnorm(float *restrict y, float *restrict mean, float *restrict variance, const float *x, const float *gamma,
                  const float *beta, int m, int positions, int c, float epsilon);
void pn_batchnorm_grad(float *restrict dx, float *restrict dgamma, float *restrict dbeta, const float *dy,
                       const float *x, const float *mean, const float *variance, const float *gamma, int m,
                       int positions, int c, float epsilon);

/* y (m,n) = gamma (x - mean) / sqrt(variance + epsilon) + beta with mean and variance (divided by n) of each row of x, gamma
   and beta (n); stats (m,2): mean and 1 / sqrt(variance + epsilon) of each row, which the gradients take. */
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
   it the gradient of the mean loss. labels (m) in [0, n). dx may be x, or NULL. smoothing, from 0 to below 1, gives that
   share of the one in one-hot to all outputs alike (Szegedy et al. 2016): the loss is the cross-entropy with that. */
void pn_cross_entropy(float *restrict loss, float *dx, const float *x, const int32_t *labels, int m, int n, float scale,
                      float smoothing);

/* loss (m): the sum over each row of -y log p - (1 - y) log(1 - p), p = sigmoid(x); x (m,n), y (m,n) in [0, 1].
   dx (m,n) = (p - y) * scale; dx may be x, or NULL. */
void pn_binary_cross_entropy(float *restrict loss, float *dx, const float *x, const float *y, int m, int n,
                             float scale);

/* loss (m): half the sum over each row of (p - y)^2; p, y (m,n). dp (m,n) = (p - y) * scale; dp may be p, or NULL. */
void pn_squared_error(float *restrict loss, float *dp, const float *p, const float *y, int m, int n, float scale);

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

/* mean = beta1 * mean + (1 - beta1) * dw; square = beta2 * square + (1 - beta2) * dw^2;
   w -= learning_rate * (mean / (1 - beta1^t) / (sqrt(square / (1 - beta2^t)) + epsilon) + weight_decay * w)
   (Kingma and Ba 2015; the decay is that of Loshchilov and Hutter 2019). All (n); t counts the steps from 1. */
void pn_adam(float *restrict w, float *restrict mean, float *restrict square, const float *dw, size_t n, int64_t t,
             double learning_rate, double beta1, double beta2, double epsilon, double weight_decay);

/* y (m,n) = 1 at each row's label, else 0; labels (m) in [0, n) */
void pn_one_hot(float *restrict y, const int32_t *labels, int m, int n);

/* y (m,n) = rows index[0..m) of x (.., n) / 255; index NULL is 0, 1, 2 ... */
void pn_gather(float *restrict y, const uint8_t *x, const int32_t *index, int m, int n);

/* order[0..n) = the numbers 0..n-1 in the order of this seed and epoch (Fisher and Yates 1938) */
void pn_shuffle(int32_t *order, int32_t n, uint64_t seed, uint64_t epoch);

/* ---- the network ------------------------------------------------------------------------------------------------- */

typedef struct pn_net pn_net;

/* Creates a network from its text, for example "input(784) dense(128) relu dense(10) softmax". Free with pn_net_free.
   On failure *net is NULL and err says why and where. */
pn_status pn_net_new(pn_net **net, const char *spec, uint64_t seed, char err[PN_ERRLEN]);

/* Frees a network; NULL is legal. */
void pn_net_free(pn_net *net);

/* The canonical text: parsing it gives the same network. Lives as long as the net. */
const char *pn_net_spec(const pn_net *net);

/* Why the last call on this net failed, with the offending values; "" if none did. */
const char *pn_net_error(const pn_net *net);

typedef enum { PN_CROSS_ENTROPY, PN_MSE, PN_BCE } pn_loss;

typedef struct {
    int layers;         /* how many, nested ones included; `input` and `loss` do not count */
    int tensors;        /* weights, biases, running statistics */
    int64_t parameters; /* numbers in those that are trained */
    pn_loss loss;
    double smoothing; /* of the labels, for cross-entropy */
    uint64_t seed;
    uint64_t updates; /* steps trained so far, by any optimizer: dropout counts them */
    int in_rank, out_rank;
    int64_t in_shape[PN_MAXRANK], out_shape[PN_MAXRANK];
    int64_t in_features, out_features; /* products of the shapes */
} pn_net_info;

void pn_net_describe(const pn_net *net, pn_net_info *info);

typedef struct {
    const char
        *path; /* place in the text: "0", or "3.0" for a nested layer; "3.skip" is the projection of residual 3 */
    const char *kind; /* its word: "dense" */
    const char *text; /* its word with arguments: "dense(128)" */
    int in_rank, out_rank;
    int64_t in_shape[PN_MAXRANK], out_shape[PN_MAXRANK];
    int64_t parameters;
    int args; /* of the word, defaults included: "units", 128; a choice is the index of its word */
    const char *arg_name[PN_MAXARGS];
    double arg[PN_MAXARGS];
} pn_layer_info;

/* Layer i of pn_net_describe's `layers`, in the order of the text. */
pn_status pn_net_layer(pn_net *net, int i, pn_layer_info *info);

typedef struct {
    const char *name; /* "0.W", as in files */
    int layer;        /* index for pn_net_layer */
    int rank;
    int64_t shape[PN_MAXRANK];
    int64_t size;      /* product of shape */
    float *data;       /* live: writing changes the network; valid until pn_net_free */
    const float *grad; /* same shape; NULL until pn_net_backward has filled it */
    int trained;       /* 0: running statistics, which the layer itself keeps; no gradient */
} pn_tensor;

/* Tensor i of pn_net_describe's `tensors`: the trained ones first. All of them lie one after another, tensor 0 first. */
pn_status pn_net_tensor(pn_net *net, int i, pn_tensor *tensor);

typedef enum { PN_UINT8, PN_FLOAT32 } pn_dtype;

/* Pictures changed at random: each sample of each step of training shows a new one. Its place p, (x, y) from the middle, shows
   place R S Z p + t + e(p) of the old picture, between the four pixels around, outside of which there are zeros. All random
   numbers are uniform: R turns by up to `rotate` degrees either way; S leans x by tan(up to `shear` degrees) times y; Z
   divides x and y, each for itself, by 1 + up to `scale`; t is up to `shift` pixels on each axis. e bends (Simard, Steinkraus and
   Platt 2003): random numbers, smoothed by a bell curve of deviation (height + width) / 14 pixels, with deviation `elastic`
   pixels on each axis; they are drawn on a grid with nodes that far apart. The numbers depend on the net's seed, its updates so far
   and the row of the batch alone. */
typedef struct {
    double shift;      /* 0 to below 1e6 */
    double rotate;     /* 0 to below 360 */
    double scale;      /* 0 to below 1 */
    double shear;      /* 0 to below 90 */
    double elastic;    /* 0 to below 1e6 */
    int height, width; /* of the pictures in a sample (channels, height, width); 0: as the network's text has it */
} pn_augment;

/* The usual strengths for pictures of this size: shift (height + width) / 56, rotate 8, scale 0.08, shear 4, elastic
   (height + width) / 80. Stronger ones (2 pixels, 10, 0.1, 5, 1 pixel) were worse on validation samples of MNIST, for dense
   networks and for convolutions. */
void pn_augment_default(pn_augment *options, int height, int width);

/* y (n, channels, height, width) = what a step of training sees of x, a batch of n, after `step` updates of a net with this
   seed. Sizes are those in `options`. On failure err says why. */
pn_status pn_augmented(float *y, const void *x, pn_dtype dtype, int64_t n, int channels, const pn_augment *options,
                       uint64_t seed, uint64_t step, char err[PN_ERRLEN]);

/* A whole data set where it lies; the core gathers the rows of a batch itself. Nothing here is written to. */
typedef struct {
    const void *x;         /* (n, in_features), row after row */
    pn_dtype dtype;        /* of x: PN_UINT8 means x/255, PN_FLOAT32 is taken as it is */
    const int32_t *labels; /* (n) in [0, out_features), or NULL */
    const float *targets;  /* (n, out_features), or NULL: then one-hot labels. Cross-entropy takes labels alone, binary
                              cross-entropy targets in [0, 1] */
    const float *weights; /* (n), 0 or more: what each sample's loss counts, in the mean over all samples; or NULL: 1 */
    int64_t n;
    const pn_augment *augment; /* for pn_net_train and pn_net_forward, which train on x changed so; or NULL */
} pn_data;

typedef enum { PN_SGD, PN_MOMENTUM, PN_NESTEROV, PN_RMSPROP, PN_ADAM, PN_ADAMW } pn_optim_kind;

/* An optimizer: w is a parameter, g its gradient. A step does, in this order: g is cut to [-clip_value, clip_value], or
   all gradients are scaled down together so that the root of the sum of their squares is at most clip_norm (Pascanu,
   Mikolov and Bengio 2013); g += l2 * w (weight decay coupled to the gradient); w -= learning_rate * weight_decay * w
   (decoupled; Loshchilov and Hutter 2019); then what pn_sgd, pn_momentum, pn_rmsprop or pn_adam above says.
   Decay is for tensors of two axes and more, the weights; biases and the like take part only with decay_all. */
typedef struct {
    pn_optim_kind kind;
    double learning_rate; /* above 0 */
    double momentum;      /* PN_MOMENTUM, PN_NESTEROV: 0 to below 1 */
    double beta1;         /* PN_ADAM, PN_ADAMW: 0 to below 1 */
    double beta2;         /* these and PN_RMSPROP: 0 to below 1 */
    double epsilon;       /* these: above 0 */
    double l2;            /* 0: none */
    double weight_decay;  /* 0: none */
    int decay_all;        /* not 0: biases and norms decay, too */
    double clip_value;    /* 0: none */
    double clip_norm;     /* 0: none */
    const double *rates;  /* the learning rate of each step of the call this is given to; NULL: learning_rate */
} pn_optim;

/* The usual values of this kind: learning rate 0.1 for PN_SGD, 0.01 for PN_MOMENTUM and PN_NESTEROV, 0.001 for the others;
   momentum 0.9; beta1 0.9; beta2 0.999, for PN_RMSPROP 0.99; epsilon 1e-8; weight decay 0.01 for PN_ADAMW alone, which is
   PN_ADAM otherwise. PN_ERR_ARGUMENT: there is no such kind. */
pn_status pn_optim_default(pn_optim *opt, pn_optim_kind kind);

/* Sums since the caller zeroed it; divide by samples for means. */
typedef struct {
    double loss;
    int64_t
        correct; /* the largest output is the label's, or the largest target's; a single one is on its side of 1/2. With
                    a closing rescale 0: its outputs are quantities, which are not right or wrong */
    int64_t samples;
    int64_t steps;
} pn_stats;

/* Trains on samples order[0..n) of data in ceil(n / batch) mini-batches: forward, loss, backward, update. Where batch does
   not divide n they are made as equal as can be, the larger ones first: a last batch of a few samples would take as large a
   step as the others, in a direction as noisy as it is small. n <= batch is one step. Adds to stats (may be NULL).
   PN_ERR_NONFINITE: the batch after stats->steps had a loss that is not finite; its step was not taken. PN_ERR_PARAMETER:
   a parameter is not finite, before or after. */
pn_status pn_net_train(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int64_t batch,
                       const pn_optim *opt, pn_stats *stats);

/* The four steps one at a time; together they give the same bits as pn_net_train with n = batch.
   Forward runs samples order[0..n) (order NULL: the first n) in training mode and keeps the activations. */
pn_status pn_net_forward(pn_net *net, const pn_data *data, const int32_t *order, int64_t n);
/* Mean loss of that batch, from the labels or targets of the same samples of data; prepares backward. */
pn_status pn_net_loss(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, double *loss);
/* The gradient of that loss for every parameter; overwrites the last one. */
pn_status pn_net_backward(pn_net *net);
/* One optimizer step with that gradient. */
pn_status pn_net_update(pn_net *net, const pn_optim *opt);

/* What the optimizer remembers from step to step belongs to the network. It begins with zeros when one of another kind
   takes its first step; PN_ADAM and PN_ADAMW are one kind, PN_MOMENTUM and PN_NESTEROV, too. */
typedef struct {
    pn_optim_kind kind; /* of the last step */
    int64_t steps;      /* taken by it */
    int tensors;        /* of its memory: none, one or two for each parameter */
} pn_state_info;

void pn_net_state(const pn_net *net, pn_state_info *info);

/* Tensor i of pn_net_state's `tensors`: live, "0.W.velocity", "0.W.mean", "0.W.square". Valid until an optimizer of
   another kind takes a step; grad is NULL. */
pn_status pn_net_state_tensor(pn_net *net, int i, pn_tensor *tensor);

/* Goes on as if an optimizer of this kind had taken so many steps: its memory is zero, for the caller to fill. */
pn_status pn_net_set_state(pn_net *net, pn_optim_kind kind, int64_t steps);

/* Goes on as if the network had been trained for so many steps, which is what dropout counts. */
void pn_net_set_updates(pn_net *net, uint64_t updates);

/* As forward, but in the mode of predict: the activations can be looked at, no loss follows. */
pn_status pn_net_infer(pn_net *net, const pn_data *data, const int32_t *order, int64_t n);

/* Copies what layer i put out in the last forward or infer, a batch of n, into y (n, its out_shape). */
pn_status pn_net_activation(pn_net *net, int i, int64_t n, float *y);

/* y (n, out_features) = the network's output for the first n samples of data; with a closing softmax, at this
   temperature (> 0; 1 is the plain one). */
pn_status pn_net_predict(pn_net *net, const pn_data *data, int64_t n, float temperature, float *y);

/* Fits the network's scaling to samples order[0..n) of data (order NULL: the first n): mean and scale of `standardize` to x,
   unless that is NULL, and those of `rescale` to the targets, unless those are. They are the mean and the standard deviation,
   divided by n, of each feature, or channel of images, in double; the scale of one that does not vary is 1. Weights are not
   looked at. PN_ERR_ARGUMENT: a number is not finite, or there is nothing to fit; nothing has changed then. */
pn_status pn_net_adapt(pn_net *net, const pn_data *data, const int32_t *order, int64_t n);

/* Adds loss and correct answers for samples order[0..n) (order NULL: the first n) to stats; changes nothing. */
pn_status pn_net_evaluate(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, pn_stats *stats);

/* dx (n, in_features) = the gradient with respect to the inputs of the first n samples of data, in the network as predict
   uses it: which way each input would raise the sum of dy times the output of layer i. dy (n, its out_shape); NULL: the
   mean loss instead, from the labels or targets of data; i is then ignored. */
pn_status pn_net_input_gradient(pn_net *net, const pn_data *data, int64_t n, int i, const float *dy, float *dx);

/* ---- the model file: safetensors, opens in any reader of that format ---------------------------------------------- */

/* Notes that travel with the model, UTF-8 text under a key: class names, training facts. value NULL removes the key.
   Keys that begin with "pynet" are the core's own and cannot be set. */
pn_status pn_net_set_meta(pn_net *net, const char *key, const char *value);

/* The value under this key; NULL if there is none. Valid until the next pn_net_set_meta. */
const char *pn_net_meta(const pn_net *net, const char *key);

/* Key and value of note i, in the order they were set; NULL past the last. Valid until the next pn_net_set_meta. */
const char *pn_net_meta_key(const pn_net *net, int i);
const char *pn_net_meta_value(const pn_net *net, int i);

/* Writes the model: a temporary file beside path, fsync, rename, fsync of the folder. On failure what was at path is
   untouched. */
pn_status pn_net_save(pn_net *net, const char *path);

/* Reads a model. Nothing the file says is trusted. On failure *net is NULL and err says why. */
pn_status pn_net_load(pn_net **net, const char *path, char err[PN_ERRLEN]);

/* What a checkpoint, from which a training goes on, holds besides the model: a text in the caller's own words, and tensors, of
   which name, rank, shape, size and data count. A name begins with a letter; letters, digits, dots and _ follow. */
typedef struct {
    char *text;
    int tensors;
    pn_tensor *tensor;
} pn_checkpoint;

/* As pn_net_save, with all of this. To pn_net_load the file is a model. */
pn_status pn_net_save_checkpoint(pn_net *net, const pn_checkpoint *more, const char *path);

/* As pn_net_load; PN_ERR_FORMAT if the file is no checkpoint. Free with pn_checkpoint_free; after a failure there is nothing. */
pn_status pn_net_load_checkpoint(pn_net **net, pn_checkpoint *more, const char *path, char err[PN_ERRLEN]);
void pn_checkpoint_free(pn_checkpoint *more);

/* cffi] */

#pragma GCC visibility pop
#ifdef __cplusplus
#undef restrict
}
#endif
#endif
