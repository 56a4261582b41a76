/* The worker pool: the only file that knows about threads. Workers spin for a few microseconds between pieces of work,
   since a step is shorter than waking a sleeper takes, then sleep. */
#define _GNU_SOURCE
#include "threads.h"
#include "kernels.h"
#include "pynet.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    MAX_THREADS = 64,
    LINE = 64,   /* bytes: what threads write apart lies on cache lines apart */
    SPINS = 1000 /* about 25 us */
};

typedef struct {
    _Alignas(LINE) atomic_uint calls; /* changes when there is work */
    pthread_t thread;
    int id;
} worker;

static struct {
    pthread_mutex_t owner; /* held by the call that uses the team */
    int workers;           /* running; worker[0] stands for the caller and never runs */
    worker worker[MAX_THREADS];
    atomic_int wanted; /* by pn_set_threads; 0: not asked yet */
    team_job job;      /* of the call under way; NULL sends the workers home */
    void *arg;
    int threads;
    _Alignas(LINE) atomic_int arrived; /* at the barrier */
    _Alignas(LINE) atomic_uint round;  /* changes when all have arrived */
    _Alignas(LINE) atomic_int sleepers;
    pthread_mutex_t bed;
    pthread_cond_t morning;
} pool = {.owner = PTHREAD_MUTEX_INITIALIZER, .bed = PTHREAD_MUTEX_INITIALIZER, .morning = PTHREAD_COND_INITIALIZER};

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void wait_for_change(atomic_uint *what, unsigned old)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(what, memory_order_acquire) != old)
            return;
        pause_briefly();
    }
    pthread_mutex_lock(&pool.bed);
    atomic_fetch_add(&pool.sleepers, 1); /* before the last look, so that change() sees us or we see the change */
    while (atomic_load(what) == old)
        pthread_cond_wait(&pool.morning, &pool.bed);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.bed);
}

static void wake_sleepers(void)
{
    if (atomic_load(&pool.sleepers) == 0)
        return;
    pthread_mutex_lock(&pool.bed);
    pthread_cond_broadcast(&pool.morning);
    pthread_mutex_unlock(&pool.bed);
}

void team_sync(int threads)
{
    if (threads == 1)
        return;
    unsigned round = atomic_load_explicit(&pool.round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool.arrived, 1, memory_order_acq_rel) + 1 < threads) {
        wait_for_change(&pool.round, round);
        return;
    }
    atomic_store_explicit(&pool.arrived, 0, memory_order_relaxed);
    atomic_fetch_add(&pool.round, 1);
    wake_sleepers();
}

static void *work(void *arg)
{
    worker *self = arg;
    unsigned seen = 0;
    fp_enter(); /* for good: this thread is the core's own */
    for (;;) {
        wait_for_change(&self->calls, seen);
        seen++;
        if (!pool.job)
            return NULL;
        pool.job(pool.arg, self->id, pool.threads);
        team_sync(pool.threads);
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

/* A fork copies only the calling thread: the pool is sent home before, and both sides start it anew when they need it. */
static void before_fork(void)
{
    pthread_mutex_lock(&pool.owner);
    stop_workers();
}

static void after_fork(void)
{
    pthread_mutex_unlock(&pool.owner);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork);
}

/* As many of `threads` as can be had, the caller's included. */
static int start_workers(int threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    while (pool.workers + 1 < threads) {
        worker *w = &pool.worker[pool.workers + 1];
        w->id = pool.workers + 1;
        atomic_store(&w->calls, 0);
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            break;
        pool.workers++;
    }
    return pool.workers + 1 < threads ? pool.workers + 1 : threads;
}

void team_run(team_job job, void *arg, int wanted)
{
    int threads = wanted < pn_threads() ? wanted : pn_threads();
    if (threads <= 1 || pthread_mutex_trylock(&pool.owner) != 0) {
        job(arg, 0, 1);
        return;
    }
    threads = start_workers(threads);
    pool.job = job;
    pool.arg = arg;
    pool.threads = threads;
    call_workers(threads);
    job(arg, 0, threads);
    team_sync(threads);
    pthread_mutex_unlock(&pool.owner);
}

/* ---- how many ------------------------------------------------------------------------------------------------------ */

static int from_environment(const char *name)
{
    const char *text = getenv(name);
    return text ? atoi(text) : 0; /* OMP_NUM_THREADS may be a list: its first number counts */
}

/* The cores this process may use. */
static int cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return CPU_COUNT(&set);
#endif
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int pn_threads(void)
{
    int n = atomic_load_explicit(&pool.wanted, memory_order_relaxed);
    if (n == 0) {
        n = from_environment("PYNET_NUM_THREADS");
        if (n <= 0)
            n = from_environment("OMP_NUM_THREADS");
        if (n <= 0)
            n = cores();
        n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
        atomic_store_explicit(&pool.wanted, n, memory_order_relaxed);
    }
    return n;
}

pn_status pn_set_threads(int n)
{
    if (n < 0 || n > MAX_THREADS)
        return PN_ERR_ARGUMENT;
    atomic_store_explicit(&pool.wanted, n, memory_order_relaxed);
    return PN_OK;
}
