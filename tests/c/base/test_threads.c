/* The thread pool: every part of a job runs once; the barrier separates rounds; calls from several threads, from inside
   a job and after a fork return; partition() leaves no gaps. A job may get fewer threads than requested: no test needs
   more than one. Prints how many checks it made. */
#define _GNU_SOURCE
#include "base/threads.h"
#include "base/base.h"
#include "testing.h"

#include <limits.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64 }; /* threads: the limit in pynet.h */

static void parts_of(int n, int threads, int grain)
{
    int next = 0, least = INT_MAX, most = 0, ragged = 0;
    for (int id = 0; id < threads; id++) {
        int from = -1, to = -1;
        partition(id, threads, n, grain, &from, &to);
        ragged += from != next || to < from || (to < n && to % grain != 0);
        next = to;
        const int grains = (to - from) / grain + ((to - from) % grain > 0);
        least = grains < least ? grains : least;
        most = grains > most ? grains : most;
    }
    CHECK(ragged == 0);
    CHECK(next == n);
    CHECK(most - least <= 1);
}

static void partitions(void)
{
    static const int by_hand[][6] = {
        /* n, threads, grain, id, from, to */
        {10, 3, 4, 0, 0, 4},  {10, 3, 4, 1, 4, 8},      {10, 3, 4, 2, 8, 10}, {10, 4, 1, 0, 0, 2}, {10, 4, 1, 1, 2, 5},
        {10, 4, 1, 3, 7, 10}, {128, 2, 16, 1, 64, 128}, {5, 2, 16, 0, 0, 0},  {5, 2, 16, 1, 0, 5}, {0, 3, 8, 1, 0, 0}};
    for (size_t i = 0; i < sizeof by_hand / sizeof *by_hand; i++) {
        const int *c = by_hand[i];
        int from = -1, to = -1;
        partition(c[3], c[1], c[0], c[2], &from, &to);
        CHECK(from == c[4] && to == c[5]);
    }
    const int sizes[] = {0, 1, 7, 15, 16, 17, 63, 784, 4099, INT_MAX - 1, INT_MAX}, grains[] = {1, 2, 8, 16, 64};
    for (int s = 0; s < 11; s++)
        for (int threads = 1; threads <= MOST; threads = threads < 5 ? threads + 1 : 2 * threads - 1)
            for (int g = 0; g < 5; g++)
                parts_of(sizes[s], threads, grains[g]);
}

/* The results of a job; each thread writes its own element. */
typedef struct {
    int calls[MOST], threads[MOST];
    pthread_t ran_on[MOST];
} visits;

static void visit(void *arg, int id, int threads)
{
    visits *v = arg;
    v->calls[id]++;
    v->threads[id] = threads;
    v->ran_on[id] = pthread_self();
}

/* The number of threads that ran the job: each once, with the same number of threads, the caller among them. */
static int visited(const visits *v)
{
    const int threads = v->threads[0];
    int wrong = threads < 1 || threads > MOST;
    for (int id = 0; id < MOST; id++) {
        wrong += v->calls[id] != (id < threads) || (id < threads && v->threads[id] != threads);
        wrong += id > 0 && id < threads && pthread_equal(v->ran_on[id], v->ran_on[0]);
    }
    return wrong || !pthread_equal(v->ran_on[0], pthread_self()) ? 0 : threads;
}

static void each_part_once(void)
{
    for (int allowed = 1; allowed <= 5; allowed++) {
        CHECK(pn_set_threads(allowed) == PN_OK && pn_threads() == allowed);
        for (int wanted = 1; wanted <= 7; wanted++)
            for (int again = 0; again < 20; again++) {
                visits v = {0};
                pool_run(visit, &v, wanted);
                const int threads = visited(&v);
                CHECK(threads >= 1 && threads <= wanted && threads <= allowed);
            }
    }
    visits nothing = {0};
    pool_run(visit, &nothing, 0);
    CHECK(visited(&nothing) == 1);
    const double lengths[] = {0, 1, 7, 9, 100, 1e9}; /* microseconds; the first three: one thread */
    for (int i = 0; i < 6; i++) {
        visits v = {0};
        pool_run_if_worth(visit, &v, lengths[i], MAX_THREADS);
        CHECK(i < 3 ? visited(&v) == 1 : visited(&v) >= 1);
    }
    CHECK(pn_set_threads(1) == PN_OK);
    visits alone = {0};
    pool_run_if_worth(visit, &alone, 1e9, MAX_THREADS);
    CHECK(visited(&alone) == 1);
}

static void limits(void)
{
    CHECK(pn_set_threads(3) == PN_OK && pn_threads() == 3);
    CHECK(pn_set_threads(-1) == PN_ERR_ARGUMENT && pn_set_threads(MOST + 1) == PN_ERR_ARGUMENT && pn_threads() == 3);
    CHECK(pn_set_threads(MOST) == PN_OK && pn_threads() == MOST);
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() >= 1 && pn_threads() <= MOST);
}

static void from_environment(void)
{
    unsetenv("PYNET_NUM_THREADS");
    unsetenv("OMP_NUM_THREADS");
    CHECK(pn_set_threads(0) == PN_OK);
    const int cores = pn_threads();
    setenv("PYNET_NUM_THREADS", "5", 1);
    setenv("OMP_NUM_THREADS", "7,2", 1);
#ifdef PN_NO_ENV
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() == cores);
#else
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() == 5);
    unsetenv("PYNET_NUM_THREADS");
    CHECK(pn_threads() == 5); /* the environment is read once */
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() == 7);
    setenv("PYNET_NUM_THREADS", "1000", 1);
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() == MOST);
    setenv("PYNET_NUM_THREADS", "many", 1);
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() == 7);
#endif
    unsetenv("PYNET_NUM_THREADS");
    unsetenv("OMP_NUM_THREADS");
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() == cores);
}

/* Waits until a call gets this many threads, in all about 4 seconds: if other programs keep the cores busy, the pool
   pauses for up to 1.6 seconds. On a machine that never gives them, the tests after this check less but still pass. */
static void gather(int wanted)
{
    static int tries = 4000;
    while (tries-- > 0) {
        visits v = {0};
        pool_run(visit, &v, wanted);
        if (visited(&v) == wanted)
            return;
        usleep(1000);
    }
}

/* Rounds in which each element takes the old value of its neighbour. */
enum { PLACES = 61, ROUNDS = 200 };
typedef struct {
    int x[2][PLACES];
} ring;

static void turn_ring(void *arg, int id, int threads)
{
    ring *r = arg;
    int from, to;
    partition(id, threads, PLACES, 1, &from, &to);
    for (int round = 0; round < ROUNDS; round++) {
        const int *old = r->x[round % 2];
        for (int i = from; i < to; i++)
            r->x[(round + 1) % 2][i] = old[(i + PLACES - 1) % PLACES];
        pool_barrier(threads);
    }
}

static int rings_turned(void)
{
    int right = 0;
    ring r = {0};
    for (int i = 0; i < PLACES; i++)
        r.x[0][i] = i;
    pool_run(turn_ring, &r, MOST);
    for (int i = 0; i < PLACES; i++)
        right += r.x[ROUNDS % 2][i] == (i + 4 * PLACES - ROUNDS) % PLACES;
    return right == PLACES;
}

static void barriers(void)
{
    pool_barrier(1); /* returns at once */
    CHECK(!pool_is_preempted(1));
    for (int threads = 1; threads <= 4; threads++) {
        CHECK(pn_set_threads(threads) == PN_OK);
        gather(threads);
        for (int i = 0; i < 5; i++)
            CHECK(rings_turned());
    }
}

/* A job inside a job runs on one thread. */
static void nest(void *arg, int id, int threads)
{
    visits *inner = arg;
    (void)threads;
    pool_run(visit, &inner[id], MOST);
}

static void *turn_many(void *right)
{
    for (int i = 0; i < 20; i++)
        *(int *)right += rings_turned();
    return NULL;
}

static void several_callers(void)
{
    static visits inner[MOST];
    CHECK(pn_set_threads(3) == PN_OK);
    gather(3);
    pool_run(nest, inner, 3);
    int calls = 0, alone = 0;
    for (int id = 0; id < MOST; id++) {
        calls += inner[id].calls[0];
        alone += inner[id].calls[0] == 1 && inner[id].threads[0] == 1 && inner[id].calls[1] == 0;
    }
    /* with one thread the outer call does not use the pool: the inner call may */
    CHECK(calls >= 1 && calls <= 3 && (calls == 1 || alone == calls));

    pthread_t callers[3];
    int right[3] = {0};
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&callers[i], NULL, turn_many, &right[i]) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_join(callers[i], NULL) == 0);
        CHECK(right[i] == 20);
    }
}

static void forks(void)
{
    gather(3); /* starts workers */
    float *taken = scratch_take();
    fflush(stdout); /* the child ends with a buffer of its own */
    const pid_t child = fork();
    if (child == 0) {
        alarm(60); /* kills a child that hangs */
        gather(3); /* starts its own workers */
        const int good = scratch_take() && rings_turned();
        exit(good ? 0 : 1); /* stops its workers: valgrind takes those that still run for leaks */
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(rings_turned());
    scratch_give(taken);
}

static void scratch_memory(void)
{
    float *taken[MOST + 1];
    const size_t floats = SCRATCH_BYTES / sizeof(float);
    scratch_give(NULL);
    for (int i = 0; i <= MOST; i++) {
        taken[i] = scratch_take();
        CHECK((taken[i] != NULL) == (i < MOST)); /* there is one for each possible thread */
        CHECK((uintptr_t)taken[i] % ALIGN == 0);
        for (size_t k = 0; taken[i] && k < floats; k += 1024 - 1)
            taken[i][k] = (float)i;
        if (taken[i])
            taken[i][floats - 1] = (float)i;
    }
    int wrong = 0; /* numbers that the user of another buffer has overwritten */
    for (int i = 0; i < MOST; i++)
        wrong += !taken[i] || taken[i][0] != (float)i || taken[i][floats - 1] != (float)i;
    CHECK(wrong == 0);
    scratch_give(taken[5]);
    CHECK(scratch_take() == taken[5]); /* is used again */
    for (int i = 0; i < MOST; i++)
        scratch_give(taken[i]);
}

int main(void)
{
    partitions();
    limits();
    from_environment();
    each_part_once();
    barriers();
    several_callers();
    forks();
    scratch_memory();
    printf("threads: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
