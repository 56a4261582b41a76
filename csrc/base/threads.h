/* The pool of worker threads. */
#ifndef PN_THREADS_H
#define PN_THREADS_H

#include <stdbool.h>

enum { MAX_THREADS = 64 };

/* One call of a job on each of `threads` threads, id 0 being the caller's own. */
typedef void (*pool_job)(void *arg, int id, int threads);

/* Runs the job on up to `wanted` threads and returns when all are done. It gets fewer, down to the caller's own alone,
   when another call uses the pool or no thread can be started: the job must give the same bits with any number. */
void pool_run(pool_job job, void *arg, int most);

/* Runs on as many threads as pay a job that takes one thread about `length` microseconds. */
void pool_run_if_worth(pool_job job, void *arg, double length);

/* Is no worker asleep? */
bool workers_awake(void);

/* Inside a job, for thread 0: do the others keep this call waiting, because their cores are busy with something else? The
   job had better end soon; run again, it gets one thread. */
bool pool_is_preempted(int threads);

/* Inside a job: waits until all its threads are here. */
void pool_barrier(int threads);

/* Between these two no other thread forks the process: a child would see what is changed half done. */
void fork_lock(void);
void fork_unlock(void);

/* Part id of `threads` of n things, in multiples of `grain`: [from, to). */
void partition(int id, int threads, int n, int grain, int *from, int *to);

/* Memory to pack matrices in, on a cache line, for one user at a time; NULL when none is left. Give it back. */
#define SCRATCH_BYTES (1 << 20)
float *scratch_take(void);
void scratch_give(float *scratch);
void scratch_after_fork(void); /* in the child */
void scratch_free(void);       /* when the program ends */

#endif
