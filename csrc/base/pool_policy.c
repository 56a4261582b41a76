/* How many threads a call gets, and when it does not use the pool. If other programs keep the cores busy, threads are
   preempted, and those that wait for them at a barrier wait for milliseconds: two threads are then slower than one.

       parallel  --- recent calls lost more than LOST, or one was preempted ------------>  single, for `pause`
       single    --- `pause` is over ------------------------------------------------>  parallel

   A pause is 10 times the time lost, up to FIRST_PAUSE, or twice the last pause, up to LONGEST_PAUSE. Each call that is
   not preempted shortens the next pause by its own length. */
#include "base/base.h"
#include "base/threads.h"

#ifndef PN_NO_THREADS

#include "base/pool_policy.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Microseconds. */
enum {
    PATIENCE = 12000,     /* waited in one call before it counts as preempted: a short process takes a core for 4000 */
    LOST = 1000,          /* time lost by recent calls after which the next ones do not use the pool */
    FIRST_PAUSE = 100000, /* at the most, if the last calls lost nothing: the process may have been stopped */
    LONGEST_PAUSE = 1600000, /* before the pool is used again */
    SHORT = 8,               /* work too short for the pool, even if it is awake */
    LONG = 120,              /* work long enough to wake the pool: its half starts 50 late */
    SOON = 25                /* since the last work: how long the pool stays awake */
};

static struct {
    atomic_llong waited; /* by all threads of this call, after spinning */
    atomic_llong ended;  /* when the last call of pool_run_if_worth ended */
    long long started;   /* when this call started; this and the next are for the thread that owns the pool */
    long long single_until;
    long long lost;
    long long pause;
} policy;

static atomic_int configured_threads; /* 0: not determined yet */

/* ---- parallel or single -------------------------------------------------------------------------------------------- */

bool policy_begin(void)
{
    policy.started = microseconds();
    atomic_store_explicit(&policy.waited, 0, memory_order_relaxed);
    return policy.started >= policy.single_until;
}

void policy_add_wait(long long length)
{
    atomic_fetch_add_explicit(&policy.waited, length, memory_order_relaxed);
}

bool pool_is_preempted(int threads)
{
    if (threads == 1)
        return false;
    const long long waited = atomic_load_explicit(&policy.waited, memory_order_relaxed);
    return waited > PATIENCE && 3 * waited / (threads - 1) > microseconds() - policy.started;
}

static long long next_pause(void)
{
    const long long waited = atomic_load_explicit(&policy.waited, memory_order_relaxed);
    const long long lost = 10 * (policy.lost > waited ? policy.lost : waited), again = 2 * policy.pause;
    const long long once = lost < FIRST_PAUSE ? lost : FIRST_PAUSE, pause = once > again ? once : again;
    return pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
}

void policy_end(int threads, long long part_done)
{
    const long long now = microseconds(), length = now - policy.started;
    policy.lost += (now - part_done) - (part_done - policy.started); /* beyond the two parts of a single thread */
    if (policy.lost < 0)
        policy.lost = 0;
    if (policy.lost > LOST || pool_is_preempted(threads)) {
        policy.pause = next_pause();
        policy.single_until = now + policy.pause;
        policy.lost = 0;
    } else {
        policy.pause = policy.pause > length ? policy.pause - length : 0;
    }
}

void pool_run_if_worth(pool_job job, void *arg, double length, int most)
{
    if (length < (double)SHORT || most <= 1 || pn_threads() == 1) {
        job(arg, 0, 1);
        return;
    }
    /* shorter work, soon after the last, wakes the pool for the work that is likely to follow */
    const bool soon = microseconds() - atomic_load_explicit(&policy.ended, memory_order_relaxed) < SOON;
    pool_run(job, arg, length >= (double)LONG || soon || workers_awake() ? most : 1);
    atomic_store_explicit(&policy.ended, microseconds(), memory_order_relaxed);
}

/* ---- how many threads ---------------------------------------------------------------------------------------------- */

static int environment_number(const char *name)
{
    const char *text = environment(name);
    return text ? (int)strtol(text, NULL, 10) : 0; /* OMP_NUM_THREADS may be a list: the first number */
}

int pn_threads(void)
{
    int n = atomic_load_explicit(&configured_threads, memory_order_relaxed);
    if (n == 0) {
        n = environment_number("PYNET_NUM_THREADS");
        if (n <= 0)
            n = environment_number("OMP_NUM_THREADS");
        if (n <= 0)
            n = usable_cores();
        n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
        atomic_store_explicit(&configured_threads, n, memory_order_relaxed);
    }
    return n;
}

pn_status pn_set_threads(int n)
{
    if (n < 0 || n > MAX_THREADS)
        return PN_ERR_ARGUMENT;
    atomic_store_explicit(&configured_threads, n, memory_order_relaxed);
    return PN_OK;
}

#endif
