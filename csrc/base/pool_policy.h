/* The interface between pool_policy.c, which decides when the thread pool is used, and threads.c, which runs it. */
#ifndef PN_POOL_POLICY_H
#define PN_POOL_POLICY_H

#include <stdbool.h>

long long microseconds(void);

/* The number of cores that this process may use. */
int usable_cores(void);

/* Are all workers awake? */
bool workers_awake(void);

/* The next functions, but for policy_add_wait, are for the thread that owns the pool. */

/* Starts a call; false: it should run on the caller's thread only. */
bool policy_begin(void);

/* A thread of this call waited so long at a barrier, after its spinning. In microseconds. */
void policy_add_wait(long long length);

/* Ends a call, whose part on the caller's thread ended at time part_done. */
void policy_end(int threads, long long part_done);

#endif
