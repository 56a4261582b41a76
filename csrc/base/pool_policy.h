/* When the pool is used: between threads.c, which runs it, and pool_policy.c, which watches it. */
#ifndef PN_POOL_POLICY_H
#define PN_POOL_POLICY_H

#include <stdbool.h>

long long microseconds(void);

/* How many this process may use. */
int usable_cores(void);

/* What follows, policy_add_wait aside, is for the thread that owns the pool. */

/* Begins a call; false: it had better run on the caller's thread alone. */
bool policy_begin(void);

/* A thread of this call waited so long at a barrier, beyond spinning. */
void policy_add_wait(long long length);

/* The call has ended; the caller's own part of it was done at this time. */
void policy_end(int threads, long long part_done);

#endif
