/* The thread pool. Workers that wait spin for some microseconds before they sleep: most of the work that follows comes
   sooner than a sleeping thread can be woken. pool_policy.c decides when the pool is used. */
#define _GNU_SOURCE
#include "base/threads.h"
#include "base/base.h"

#ifndef PN_NO_THREADS

#include "base/pool_policy.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE = 64,    /* bytes of a cache line: against false sharing */
    SPINS = 1000, /* before a worker without work sleeps: about 25 us */
    ROUNDS = 200  /* of so many spins before a thread at a barrier sleeps: about 5 ms */
};

typedef struct {
    _Alignas(LINE) atomic_uint calls; /* incremented when there is work */
    pthread_t thread;
    int id;
} worker;

static struct {
    pthread_mutex_t owner;      /* held by the call that uses the pool */
    int workers;                /* number of running workers */
    worker worker[MAX_THREADS]; /* from 1: thread 0 is the caller */
    pool_job job;               /* of the current call; NULL stops the workers */
    void *arg;
    int threads;
    int core;                          /* of the caller */
    _Alignas(LINE) atomic_int arrived; /* number of threads at the barrier */
    _Alignas(LINE) atomic_uint round;  /* incremented when all have arrived */
    _Alignas(LINE) atomic_int sleepers;
    pthread_mutex_t sleep_lock;
    pthread_cond_t wake_up;
} pool = {
    .owner = PTHREAD_MUTEX_INITIALIZER, .sleep_lock = PTHREAD_MUTEX_INITIALIZER, .wake_up = PTHREAD_COND_INITIALIZER};

/* Leaves the core to its other thread for a moment. */
static void pause_spinning(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Did the number change within SPINS spins? */
static bool spin_until_change(atomic_uint *what, unsigned old)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(what, memory_order_acquire) != old)
            return true;
        pause_spinning();
    }
    return false;
}

static void sleep_until_change(atomic_uint *what, unsigned old)
{
    pthread_mutex_lock(&pool.sleep_lock);
    atomic_fetch_add(&pool.sleepers,
                     1); /* before the check: the thread that changes it sees us, or we see the change */
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

/* Did it change within so many rounds of spins? Between rounds yields the core, which the awaited thread may need. */
static bool yield_until_change(atomic_uint *what, unsigned old, int rounds)
{
    for (; !spin_until_change(what, old); sched_yield())
        if (--rounds == 0)
            return false;
    return true;
}

/* Spins for long before it sleeps: Linux often wakes a thread on the core of the thread that wakes it. Two threads that
   alternate on one core are never both runnable, so the scheduler does not move one of them to an idle core. */
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

/* Linux may wake a worker on the core of the caller although others are idle, and keep it there: it then runs only
   while the caller sleeps. So the worker leaves that core for good. */
static void leave_core(int core, const cpu_set_t *allowed)
{
    cpu_set_t others = *allowed;
    CPU_CLR((size_t)core, &others);
    sched_setaffinity(0, sizeof others, &others); /* fails if there are no others */
}
#endif

static void *work(void *arg)
{
    worker *self = arg;
    unsigned seen = 0;
    fp_enter();
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

/* Starts workers 1..threads-1 on pool.job. */
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

/* A fork copies only the calling thread. So the workers are stopped before it; both processes start new ones on
   demand. */
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

/* When the library is loaded: at the first call it could be too late for a fork in another thread. */
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

/* At exit, or when the library is unloaded: no worker may run its code any more. */
__attribute__((destructor)) static void stop_at_exit(void)
{
    if (pthread_mutex_trylock(&pool.owner) != 0)
        return; /* another thread is in a call, which still needs the workers */
    stop_workers();
    pthread_mutex_unlock(&pool.owner);
    scratch_free();
}

/* Starts workers for `threads` threads; returns how many there are, the caller included, at most `threads`. */
static int start_workers(int threads)
{
    sigset_t all, before; /* workers block all signals: the program's own threads handle them */
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

long long microseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1000000ll * now.tv_sec + now.tv_nsec / 1000;
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

#endif
