/* What train.c and predict.c share: work memory, checks of arguments, and the steps of a batch. */
#ifndef PN_RUN_H
#define PN_RUN_H

#include "base/threads.h"
#include "net/batch.h"

/* ---- memory.c ------------------------------------------------------------------------------------------------------ */

/* Allocates work memory for batches of this many rows, with this many copies of the inputs, and scratch for this many
   threads. Its contents are lost if it must grow. */
pn_status reserve(pn_net *net, int64_t rows, int copies, int threads);

/* Frees the block for training, which must be laid out in another way. */
void drop_training_memory(pn_net *net);

enum { ROUND = 16 }; /* chunks of each thread whose losses are added up together */

/* Allocates work memory for inference on so many samples: for a chunk of rows of each thread. */
pn_status reserve_inference(pn_net *net, int64_t n);

/* Bytes of work memory after pn_net_reserve. */
uint64_t work_size(pn_net *net, int64_t rows, const pn_optim *opt);

/* Sets *augment for a call with these options on so many threads; NULL: no augmentation. */
pn_status net_augmenter(pn_net *net, const pn_augment *options, int threads, const augmenter **augment);

/* How many threads are worth using for a batch of this many rows; and how many of them can have a copy of the inputs,
   in training. */
int worthwhile_threads(const pn_net *net, int64_t rows);
int inference_threads(const pn_net *net, int64_t n); /* at most one a row, unless they compute it together */
int input_copies(const pn_net *net, int64_t rows);

/* Do all threads compute so few rows together, each its columns of large weights, which it alone reads? */
bool infers_together(const pn_net *net, int64_t n);

/* Does training store gradients: to clip them by norm, or since inputs are gathered in pieces? Most applies each at
   once. */
bool stores_gradients(const pn_net *net, int64_t rows, const pn_optim *opt);

/* Allocates the gradients of all parameters; and has them stored in another block instead. */
pn_status reserve_gradients(pn_net *net);
void set_gradients(pn_net *net, float *block);

/* Work memory for many steps in one call; and the gradients, if it stores them. */
pn_status reserve_training(pn_net *net, int64_t rows, const pn_optim *opt);

/* ---- check.c: the arguments of public functions --------------------------------------------------------------------- */

/* Do samples order[0..n) exist, with inputs if those are needed, and with targets that suit the loss if those are? */
enum { NEEDS_INPUTS = 1, NEEDS_TARGETS = 2 };
pn_status check_samples(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int needs);

/* Can every layer train on so few rows? */
pn_status check_batch(pn_net *net, int64_t rows);

/* ---- run.c: jobs --------------------------------------------------------------------------------------------------- */

/* Work on samples order[0..n) of data, in batches. */
typedef struct {
    pn_net *net;
    const pn_data *data;
    const int32_t *order; /* NULL: 0, 1, 2 ... */
    int64_t n, batch;
    bool gathers;             /* gathers inputs from data; false: uses those in work memory */
    bool own_inputs;          /* each thread gathers inputs for itself, to a copy of its own */
    bool keeps_inputs;        /* a later job uses the inputs that this one gathers */
    bool training;            /* mode of the layers */
    const augmenter *augment; /* of the inputs, in training; NULL: none */
    const pn_optim *opt;      /* train; else NULL */
    int64_t taken;            /* train: steps taken by this call */
    float temperature;        /* predict */
    float *y;                 /* predict: (n, features); input gradient: (n, in_features) */
    const float *dy;          /* input gradient: of the output of `layer`; NULL: of the loss */
    int layer;
    bool sparse;   /* skip products with zero inputs */
    bool bytes;    /* inputs stay bytes: their only reader is a dense layer that skips zeros */
    int64_t next;  /* inference: the first sample that no thread has taken */
    int chunk;     /* and how many it takes */
    bool together; /* predict: all threads compute each row */
    int64_t done;  /* samples finished: a preempted job ends early and is started again for the rest */
    batch_fault fault;
    int64_t end;    /* the job ends early with the batch at this sample, see decide_end(); -1: it does not */
    pn_stats stats; /* result */
    bool finite;    /* result: no loss was infinite or NaN */
} job;

/* Runs a job on as many threads as pay, denormals flushed. PN_ERR_ARGUMENT, with a message, if gathering found a
   fault. */
pn_status run(pool_job function, job *j);

/* One batch of a job on one thread. */
typedef struct {
    pass pass;
    batch batch;
} batch_run;

/* The batch that starts at sample `first` of the job. */
batch_run start_batch(job *j, int id, int threads, int64_t first);

/* ---- ending a job early -------------------------------------------------------------------------------------------- */

/* Thread 0 calls decide_end() before a barrier: if the pool is preempted it stores `first` in job.end. After the
   barrier each thread compares job.end with its own `first`. By then thread 0 may have stored the number of a later
   batch; that differs from `first`, so a slow thread does not end one batch too early. */
void decide_end(job *j, const pass *p, int64_t first);
bool ends_at(const job *j, int64_t first);

/* Calls decide_end(), waits for all threads and returns !ends_at(). */
bool continue_job(job *j, const pass *p, int64_t first);

/* ---- the steps of a batch; run.c lists the barriers ----------------------------------------------------------------- */

/* Before the first forward of a call: fills panels, transforms kernels. A barrier must follow. */
void begin_layers(pn_net *net, const pass *p);

/* After the last update of a call: copies panels back. */
void end_layers(pn_net *net, const pass *p);

/* Computes the first `upto` layers of graph.order. b: in training, the batch, for inputs that are gathered in
   pieces. */
void forward(pn_net *net, const pass *p, const batch *b, int upto);

/* Loss and correctness of this thread's rows; if `gradient`, also the gradient of the mean loss of the batch. */
void loss(pn_net *net, const pass *p, const pn_data *given, bool gradient);

/* dx of each layer that needs it, from the last to the first. No barrier at its end. */
void backward(pn_net *net, const pass *p);
void layer_backward(layer *l, const pass *p);

/* May a thread start its updates while others still run backward? */
bool backward_is_private(const pn_net *net, const pass *p);

/* Parameter gradients of all layers, from all rows of x and dy: applied if p->opt is set, else stored. */
void update(pn_net *net, const pass *p, const batch *b);

/* Updates running statistics. */
void after_step(pn_net *net, const pass *p);

/* Adds loss and correct predictions of the batch in work memory to stats, row by row: the same bits for any number of
   threads. Returns false, and adds nothing, if the loss is not finite or gathering found a fault. */
bool add_stats(const job *j, const batch_run *r, pn_stats *stats);

/* ---- train.c: for gradient.c, too ----------------------------------------------------------------------------------- */

/* All of a step before its update: gathers the batch, computes losses and adds them to stats, runs backward. taken:
   steps of this call before it. skip_barrier: this thread reads nothing that others may still write; after it, may the
   next step skip it, as far as backward is concerned? False: a loss is not finite. */
bool run_to_gradients(job *j, batch_run *r, int64_t taken, bool *skip_barrier, pn_stats *stats);

/* The job of pn_net_forward, which pn_net_input_gradient also runs. */
void forward_job(void *arg, int id, int threads);

#endif
