/* The thread pool. */
#ifndef PN_THREADS_H
#define PN_THREADS_H

#include <stdbool.h>

enum { MAX_THREADS = 64 };

/* A job is called once on each of `threads` threads; id 0 is the caller's thread. */
typedef void (*pool_job)(void *arg, int id, int threads);

#ifndef PN_NO_THREADS
/* Runs a job on up to `most` threads and returns when all are done. If another call uses the pool, or threads cannot be
   started, it runs on fewer, at least the caller's: a job must give the same bits with any number of threads. */
void pool_run(pool_job job, void *arg, int most);
#endif

/* The same for a job that takes one thread about `length` microseconds, on as many threads as pay, up to `most`. */
void pool_run_if_worth(pool_job job, void *arg, double length, int most);

/* In a job, for thread 0: have threads of this call been preempted, because other programs use their cores? Then the
   job should end soon and be run again: it will get one thread. */
bool pool_is_preempted(int threads);

/* In a job: waits until all its threads have called this. */
void pool_barrier(int threads);

/* Between these two no other thread can fork the process: the child would see data that is partly changed. */
void fork_lock(void);
void fork_unlock(void);

/* An aligned buffer for packed matrices; NULL if none is free. Return it with scratch_give. */
#define SCRATCH_BYTES (1 << 20)
float *scratch_take(void);
void scratch_give(float *scratch);
void scratch_reserve(int buffers); /* allocates the first so many, if there is memory */
#ifndef PN_NO_THREADS
void scratch_after_fork(void); /* in the child process */
void scratch_free(void);       /* at exit */
#endif

#endif
