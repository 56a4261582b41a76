/* A build without threads: every job runs on the caller's. */
#include "base/base.h"
#include "base/threads.h"

#ifdef PN_NO_THREADS

void pool_run_if_worth(pool_job job, void *arg, double length, int most)
{
    (void)length;
    (void)most;
    job(arg, 0, 1);
}

bool pool_is_preempted(int threads)
{
    (void)threads;
    return false;
}

void pool_barrier(int threads)
{
    (void)threads;
}

void fork_lock(void) {}
void fork_unlock(void) {}

int pn_threads(void)
{
    return 1;
}

pn_status pn_set_threads(int n)
{
    return n < 0 || n > MAX_THREADS ? PN_ERR_ARGUMENT : PN_OK;
}

#endif
