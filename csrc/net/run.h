/* What run.c does for the public calls. */
#ifndef PN_RUN_H
#define PN_RUN_H

#include "net/net.h"
#include "base/threads.h"

/* A piece of work on samples order[0..n) of data, in batches. */
typedef struct {
    pn_net *net;
    const pn_data *data;
    const int32_t *order; /* NULL: as they lie */
    int64_t n, batch;
    bool training;            /* mode of the layers; else inference */
    const augmenter *augment; /* of the inputs, in training; NULL: none */
    const pn_optim *opt;      /* train */
    int64_t taken;            /* train: steps of this call */
    float temperature;        /* predict */
    float *y;                 /* predict: (n, features); input gradient: (n, in_features) */
    const float *dy;          /* input gradient: at the output of this layer; NULL: of the loss */
    int layer;
    bool sparse;         /* the samples are mostly zeros */
    bool bytes;          /* and stay bytes: only a dense layer that skips the zeros reads them */
    int64_t done;        /* samples finished: a job that other programs hold up ends early */
    _Atomic int64_t end; /* thread 0 says at which sample it does so, before a pool_barrier; -1: it goes on */
    pn_stats stats;      /* found */
    bool finite;         /* found: no loss was infinite or NaN */
} job;

/* Makes room for batches of this many rows, with so many copies of the inputs, and layers' own memory for so many threads.
   What an earlier call left there is gone when it grows. */
pn_status reserve(pn_net *net, int64_t rows, int copies, int threads);

/* How many threads the work on a batch is worth, and how many of them can have a copy of its inputs, as training wants. */
int worthwhile_threads(const pn_net *net, int64_t rows);
int input_copies(const pn_net *net, int64_t rows);

/* What a step changes besides the parameters: running statistics. */
void after_step(pn_net *net, const pass *p);

/* Runs one of the jobs below on as many threads as its work is worth, denormals flushed. */
void run(pool_job what, job *j);

void train_job(void *arg, int id, int threads);
void evaluate_job(void *arg, int id, int threads);
void predict_job(void *arg, int id, int threads);
void forward_job(void *arg, int id, int threads);
void loss_job(void *arg, int id, int threads);
void backward_job(void *arg, int id, int threads);
void input_gradient_job(void *arg, int id, int threads);

#endif
