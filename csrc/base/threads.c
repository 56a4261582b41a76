/* The worker pool: the only file that knows about threads. Workers spin for a few microseconds between pieces of work,
   since a step is shorter than waking a sleeper takes, then sleep. pool_policy.c decides when it is used. */
#define _GNU_SOURCE
#include "base/threads.h"
#include "base/base.h"
#include "base/pool_policy.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
    LINE = 64,    /* bytes: what threads write apart lies on cache lines apart */
    SPINS = 1000, /* until there is work, then sleep: about 25 us */
    ROUNDS = 200  /* of spins until all have arrived, then sleep: about 5 ms */
};

typedef struct {
    _Alignas(LINE) atomic_uint calls; /* changes when there is work */
    pthread_t thread;
    int id;
} worker;

static struct {
    pthread_mutex_t owner; /* held by the call that uses the pool */
    int workers;           /* running; worker[0] stands for the caller and never runs */
    worker worker[MAX_THREADS];
    pool_job job; /* of the call under way; NULL ends the workers */
    void *arg;
    int threads;
    int core;                          /* the caller's */
    _Alignas(LINE) atomic_int arrived; /* at the barrier */
    _Alignas(LINE) atomic_uint round;  /* changes when all have arrived */
    _Alignas(LINE) atomic_int sleepers;
    pthread_mutex_t sleep_lock;
    pthread_cond_t wake_up;
} pool = {
    .owner = PTHREAD_MUTEX_INITIALIZER, .sleep_lock = PTHREAD_MUTEX_INITIALIZER, .wake_up = PTHREAD_COND_INITIALIZER};

/* True if the number changed soon. */
static bool spin_until_change(atomic_uint *what, unsigned old)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(what, memory_order_acquire) != old)
            return true;
        cpu_pause();
    }
    return false;
}

static void sleep_until_change(atomic_uint *what, unsigned old)
{
    pthread_mutex_lock(&pool.sleep_lock);
    atomic_fetch_add(&pool.sleepers, 1); /* before the last look: who changes it sees us, or we see the change */
    while (atomic_load(what) == old)
        pthread_cond_wait(&pool.wake_up, &pool.sleep_lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.sleep_lock);
}

bool workers_awake(void)
{
    return atomic_load(&pool.sleepers) == 0;
}

static void wake_sleepers(void)
{
    if (workers_awake())
        return;
    pthread_mutex_lock(&pool.sleep_lock);
    pthread_cond_broadcast(&pool.wake_up);
    pthread_mutex_unlock(&pool.sleep_lock);
}

/* The same in so many rounds. Between them a thread that waits for this one's core has it: it may be the one waited for. */
static bool yield_until_change(atomic_uint *what, unsigned old, int rounds)
{
    for (; !spin_until_change(what, old); sched_yield())
        if (--rounds == 0)
            return false;
    return true;
}

/* Waits until all threads are here, awake as long as it may well be: a thread that sleeps is often woken on the core of the
   one it works with, and the two that take turns there are never both runnable, so that Linux does not part them. */
void pool_barrier(int threads)
{
    if (threads == 1)
        return;
    unsigned round = atomic_load_explicit(&pool.round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool.arrived, 1, memory_order_acq_rel) + 1 < threads) {
        if (!spin_until_change(&pool.round, round)) {
            const long long since = microseconds();
            if (!yield_until_change(&pool.round, round, ROUNDS))
                sleep_until_change(&pool.round, round);
            policy_add_wait(microseconds() - since);
        }
        return;
    }
    atomic_store_explicit(&pool.arrived, 0, memory_order_relaxed);
    atomic_fetch_add(&pool.round, 1);
    wake_sleepers();
}

#ifdef __linux__

/* Linux may wake a thread on the core of the one who calls it, though others are idle, and then again and again: there it
   waits until the caller sleeps. So it runs on others from now on. */
static void leave_core(int core, const cpu_set_t *allowed)
{
    cpu_set_t others = *allowed;
    CPU_CLR((size_t)core, &others);
    sched_setaffinity(0, sizeof others, &others); /* refused where there are no others */
}
#endif

static void *work(void *arg)
{
    worker *self = arg;
    unsigned seen = 0;
    fp_enter(); /* for good: this thread is the core's own */
#ifdef __linux__
    cpu_set_t allowed;
    const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
#endif
    for (;;) {
        if (!spin_until_change(&self->calls, seen))
            sleep_until_change(&self->calls, seen);
        seen++;
        if (!pool.job)
            return NULL;
#ifdef __linux__
        if (known && pool.core == sched_getcpu())
            leave_core(pool.core, &allowed);
#endif
        pool.job(pool.arg, self->id, pool.threads);
        pool_barrier(pool.threads);
    }
}

/* Sends workers 1..threads-1 to the job that stands in the pool. */
static void call_workers(int threads)
{
    for (int i = 1; i < threads; i++)
        atomic_fetch_add(&pool.worker[i].calls, 1);
    wake_sleepers();
}

static void stop_workers(void)
{
    pool.job = NULL;
    call_workers(pool.workers + 1);
    for (int i = 1; i <= pool.workers; i++)
        pthread_join(pool.worker[i].thread, NULL);
    pool.workers = 0;
}

/* A fork copies only the calling thread: the workers are ended before, and both sides start it anew when they need it. */
static pthread_mutex_t fork_mutex = PTHREAD_MUTEX_INITIALIZER;

void fork_lock(void)
{
    pthread_mutex_lock(&fork_mutex);
}

void fork_unlock(void)
{
    pthread_mutex_unlock(&fork_mutex);
}

static void before_fork(void)
{
    pthread_mutex_lock(&pool.owner);
    fork_lock();
    stop_workers();
}

static void after_fork(void)
{
    fork_unlock();
    pthread_mutex_unlock(&pool.owner);
}

static void after_fork_in_child(void)
{
    scratch_after_fork();
    after_fork();
}

/* When the library is loaded: registered at the first use, it could come too late for a fork that has begun. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

/* The program ends, or unloads the library: no worker may be left in its code. */
__attribute__((destructor)) static void stop_at_exit(void)
{
    if (pthread_mutex_trylock(&pool.owner) != 0)
        return; /* a call is under way on another thread: the process is being torn down around it */
    stop_workers();
    pthread_mutex_unlock(&pool.owner);
    scratch_free();
}

/* As many of `threads` as can be had, the caller's included. */
static int start_workers(int threads)
{
    sigset_t all, before; /* signals are the program's own threads' business */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers + 1 < threads) {
        worker *w = &pool.worker[pool.workers + 1];
        w->id = pool.workers + 1;
        atomic_store(&w->calls, 0);
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            break;
        pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pool.workers + 1 < threads ? pool.workers + 1 : threads;
}

void pool_run(pool_job job, void *arg, int most)
{
    int threads = most < pn_threads() ? most : pn_threads();
    if (threads <= 1 || pthread_mutex_trylock(&pool.owner) != 0) {
        job(arg, 0, 1);
        return;
    }
    if (!policy_begin()) {
        pthread_mutex_unlock(&pool.owner);
        job(arg, 0, 1);
        return;
    }
    threads = start_workers(threads);
    pool.job = job;
    pool.arg = arg;
    pool.threads = threads;
#ifdef __linux__
    pool.core = sched_getcpu();
#endif
    call_workers(threads);
    job(arg, 0, threads);
    const long long done = microseconds();
    pool_barrier(threads);
    policy_end(threads, done);
    pthread_mutex_unlock(&pool.owner);
}

void partition(int id, int threads, int n, int grain, int *from, int *to)
{
    const int64_t grains = ((int64_t)n + grain - 1) / grain;
    const int64_t start = grains * id / threads * grain, end = grains * (id + 1) / threads * grain;
    *from = start < n ? (int)start : n;
    *to = end < n ? (int)end : n;
}

int usable_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}
