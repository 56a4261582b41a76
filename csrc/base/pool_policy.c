/* How many threads a call gets, and when the pool is left alone. Where other programs keep the cores busy, a thread that waits
   for one that has lost its core waits for milliseconds: two threads are then slower than one.

       shared  --- more than LOST wasted over the last calls, or one call held up ---->  alone, for `pause`
       alone   --- `pause` is over ------------------------------------------------->  shared again

   A pause is 10 times what was lost, or twice the last pause, up to LONGEST_PAUSE; calls that go well take their own length
   off the pause that would follow. */
#include "base/pool_policy.h"
#include "base/base.h"
#include "base/threads.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

/* Microseconds. */
enum {
    PATIENCE = 12000, /* waited in vain before a call goes on alone: a passing process may take a core for 4000 */
    LOST = 1000,      /* by calls that had better worked alone, until they do */
    LONGEST_PAUSE = 1600000, /* before the pool is tried again */
    SHORT = 8, /* work that no pool pays for: to call it and to move what it reads and writes takes some */
    LONG = 60, /* work that waking the pool pays for, which takes 50 */
    SOON = 25  /* after the last work: had the pool done that, it would still be awake */
};

static struct {
    atomic_llong waited; /* by all threads of this call, beyond spinning */
    atomic_llong ended;  /* the last call of pool_run_if_worth */
    long long started;   /* this call; this and the following belong to the pool's owner */
    long long alone_until;
    long long lost;
    long long pause;
} policy;

static atomic_int configured_threads; /* by pn_set_threads; 0: not asked yet */

long long microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1000000ll * now.tv_sec + now.tv_nsec / 1000;
}

/* ---- shared or alone ----------------------------------------------------------------------------------------------- */

bool policy_begin(void)
{
    policy.started = microseconds();
    atomic_store_explicit(&policy.waited, 0, memory_order_relaxed);
    return policy.started >= policy.alone_until;
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
    const long long once = 10 * (policy.lost > waited ? policy.lost : waited), again = 2 * policy.pause;
    if (once > again)
        return once;
    return again < LONGEST_PAUSE ? again : LONGEST_PAUSE;
}

void policy_end(int threads, long long part_done)
{
    const long long now = microseconds(), length = now - policy.started;
    policy.lost += (now - part_done) - (part_done - policy.started); /* who waits as long as it works loses nothing */
    if (policy.lost < 0)
        policy.lost = 0;
    if (policy.lost > LOST || pool_is_preempted(threads)) {
        policy.pause = next_pause();
        policy.alone_until = now + policy.pause;
        policy.lost = 0;
    } else {
        policy.pause = policy.pause > length ? policy.pause - length : 0;
    }
}

void pool_run_if_worth(pool_job job, void *arg, double length)
{
    if (length < SHORT || pn_threads() == 1) {
        job(arg, 0, 1);
        return;
    }
    /* Shorter work that follows closely wakes the pool for what will follow it. */
    const bool soon = microseconds() - atomic_load_explicit(&policy.ended, memory_order_relaxed) < SOON;
    pool_run(job, arg, length >= LONG || soon || workers_awake() ? MAX_THREADS : 1);
    atomic_store_explicit(&policy.ended, microseconds(), memory_order_relaxed);
}

/* ---- how many threads ---------------------------------------------------------------------------------------------- */

static int environment_number(const char *name)
{
    const char *text = getenv(name);
    return text ? (int)strtol(text, NULL, 10) : 0; /* OMP_NUM_THREADS may be a list: its first number counts */
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
