/* What train.c and predict.c make the public calls of: memory, checks, and a batch on its way through the layers. */
#ifndef PN_RUN_H
#define PN_RUN_H

#include "base/threads.h"
#include "net/batch.h"

/* ---- memory.c ------------------------------------------------------------------------------------------------------ */

/* Makes room for batches of this many rows, with so many copies of the inputs, and layers' own memory for so many threads.
   What an earlier call left there is gone when it grows. */
pn_status reserve(pn_net *net, int64_t rows, int copies, int threads);

/* How many threads the work on a batch is worth, and how many of them can have a copy of its inputs, as training wants. */
int worthwhile_threads(const pn_net *net, int64_t rows);
int input_copies(const pn_net *net, int64_t rows);

/* Makes room for the gradients of all parameters, once somebody asks to see them, the optimizer wants them all first, or they
   are summed up piece by piece. */
pn_status reserve_gradients(pn_net *net);

/* ---- check.c: what callers of the public functions say, checked before anything is done ------------------------------ */

/* Samples order[0..n) exist, have inputs, and targets that suit the loss: as far as these are needed. */
enum { NEEDS_INPUTS = 1, NEEDS_TARGETS = 2 };
pn_status check_samples(pn_net *net, const pn_data *data, const int32_t *order, int64_t n, int needs);

/* Can every layer train on batches as small as this? */
pn_status check_batch(pn_net *net, int64_t rows);

/* Is a pointer of the caller there? */
pn_status check_pointer(pn_net *net, const void *pointer, const char *name);

/* Is there a layer i? */
pn_status check_layer(pn_net *net, int i);

/* ---- run.c: jobs --------------------------------------------------------------------------------------------------- */

/* A piece of work on samples order[0..n) of data, in batches. */
typedef struct {
    pn_net *net;
    const pn_data *data;
    const int32_t *order; /* NULL: as they lie */
    int64_t n, batch;
    bool gathers;             /* takes inputs from data; else those in work memory */
    bool keeps_inputs;        /* for a call that follows */
    bool training;            /* mode of the layers; else inference */
    const augmenter *augment; /* of the inputs, in training; NULL: none */
    const pn_optim *opt;      /* train; else NULL */
    int64_t taken;            /* train: steps of this call */
    float temperature;        /* predict */
    float *y;                 /* predict: (n, features); input gradient: (n, in_features) */
    const float *dy;          /* input gradient: at the output of this layer; NULL: of the loss */
    int layer;
    bool sparse;  /* the samples are mostly zeros */
    bool bytes;   /* and stay bytes: only a dense layer that skips the zeros reads them */
    int64_t done; /* samples finished: a job that other programs hold up ends early */
    batch_fault fault;
    _Atomic int64_t end; /* thread 0 says at which sample it does so, before a pool_barrier; -1: it goes on */
    pn_stats stats;      /* found */
    bool finite;         /* found: no loss was infinite or NaN */
} job;

/* Runs a job on as many threads as its work is worth, denormals flushed. PN_ERR_ARGUMENT, with a message: a fault of its samples. */
pn_status run(pool_job function, job *j);

/* One batch of a job on one thread, and which rows of it are this thread's: [from, to). */
typedef struct {
    pass pass;
    batch batch;
    int from, to;
} batch_run;

/* The batch that begins at sample `first` of the job, with inputs in copy `copy`. */
batch_run start_batch(job *j, int id, int threads, int64_t first, int copy);

/* ---- when a job ends early ----------------------------------------------------------------------------------------- */

/* Thread 0 decides before a pool_barrier whether the job is to end with the batch at sample `first`; all look after it. A
   thread that comes late may find the decision about the next batch, which names another sample. */
void decide_end(job *j, const pass *p, int64_t first);
bool ends_at(const job *j, int64_t first);

/* Decides, waits for all threads; false when the job is to end there. */
bool continue_job(job *j, const pass *p, int64_t first);

/* ---- the steps of a batch; where threads wait is said in run.c ------------------------------------------------------- */

/* Before the first forward of a call: somebody may have changed the parameters. And after the last update. */
void begin_layers(pn_net *net, const pass *p);
void end_layers(pn_net *net, const pass *p);

/* The first `upto` layers to be computed. b: the batch, in training; its inputs may come piece by piece. */
void forward(pn_net *net, const pass *p, const batch *b, int upto);

/* Loss and correctness of this thread's rows, and with `gradient` the gradient of the batch's mean loss. */
void loss(pn_net *net, const pass *p, const pn_data *given, bool gradient);

/* From the last layer down: dx, as far as a layer below has parameters. Does not wait at its end. */
void backward(pn_net *net, const pass *p);
void layer_backward(layer *l, const pass *p);

/* May a thread's update of the first layer with parameters begin while others are still at their backward? */
bool backward_is_private(const pn_net *net, const pass *p);

/* The gradients of all parameters from x and dy, all rows of them: applied, or stored. */
void update(pn_net *net, const pass *p, const batch *b);

/* The optimizer's step for all parameters from the stored gradients. */
void update_from_gradients(pn_net *net, const pass *p, const pn_optim *opt, int64_t taken);

/* What a step changes besides the parameters: running statistics. */
void after_step(pn_net *net, const pass *p);

/* Adds the batch in work memory to stats; false, and nothing added, if its loss is not finite, or its samples have a fault. Rows in their order, so
   that every number of threads gives the same sum. */
bool add_stats(const job *j, const batch_run *r, pn_stats *stats);

/* The job of pn_net_forward; other calls begin with it, too. */
void forward_job(void *arg, int id, int threads);

#endif
