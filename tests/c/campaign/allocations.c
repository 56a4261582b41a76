/* Lets allocations fail. A scenario uses every function that allocates memory or starts threads. It is run many times,
 * and each time another allocation fails: that one only, or all from there on. The function must return a status and a
 * message, leave the network unchanged, and succeed when it is called again with memory: the final bits are the same.
 * Each run is a process under AddressSanitizer and LeakSanitizer. `make campaign` runs it.
 *
 *     allocations SECONDS SEED    in a random order, until all have failed or the time is over
 *     allocations one N           allocation N only, in this process, for a debugger
 *     allocations from N          allocation N and all after it
 */
#define _GNU_SOURCE
#include "scenario.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- allocations ------------------------------------------------------------------------------------------------------ */

typedef enum { NONE, ONE, FROM_THERE_ON } refusal;

static refusal mode;
static long refused_at; /* the first allocation is number 1 */
static atomic_bool armed;
static atomic_long asked, refusals;
static _Thread_local bool ours; /* false while a thread is created: the sanitizer's own allocations must not fail */

static bool refuse(void)
{
    if (!atomic_load(&armed) || !ours)
        return false;
    const long n = atomic_fetch_add(&asked, 1) + 1;
    if (mode == NONE || n < refused_at || (mode == ONE && n > refused_at))
        return false;
    atomic_fetch_add(&refusals, 1);
    return true;
}

static void *take(void *context, size_t size, size_t align)
{
    (void)context;
    return refuse() ? NULL : aligned_alloc(align, size);
}

static void give_back(void *context, void *block)
{
    (void)context;
    free(block);
}

/* AddressSanitizer's function, which that of the program replaces. */
int __interceptor_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*work)(void *), void *arg);

/* The start function of a new thread, the same for all threads of the core. */
static void *(*work_to_do)(void *);

static void *do_our_work(void *arg)
{
    ours = true;
    return work_to_do(arg);
}

int pthread_create(pthread_t *restrict thread, const pthread_attr_t *restrict how, void *(*work)(void *),
                   void *restrict arg)
{
    if (refuse())
        return EAGAIN;
    work_to_do = work;
    return __interceptor_pthread_create(thread, how, do_our_work, arg);
}

/* ---- a run ------------------------------------------------------------------------------------------------------------ */

/* The number of elements of all tensors, which are contiguous. */
static size_t numbers_of(pn_net *which, float **first)
{
    pn_net_info info;
    pn_tensor t;
    size_t n = 0;
    pn_net_describe(which, &info);
    for (int i = 0; i < info.tensors; i++) {
        pn_net_tensor(which, i, &t);
        *first = i == 0 ? t.data : *first;
        n += (size_t)t.size;
    }
    return n;
}

static void fault(const char *step_name, const char *what)
{
    printf("finding: request %ld refused%s, step \"%s\": %s\n", refused_at, mode == ONE ? "" : " and all that followed",
           step_name, what);
    fflush(stdout);
    _exit(1);
}

/* Copies of the numbers of both networks. */
static size_t snapshot(float *to)
{
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        float *first = NULL;
        const size_t size = net[i] ? numbers_of(net[i], &first) : 0;
        if (n + size > MOST_NUMBERS)
            abort();
        if (size > 0)
            memcpy(to + n, first, size * sizeof *to);
        n += size;
    }
    return n;
}

static void run_step(const step *s)
{
    static float before[MOST_NUMBERS], after[MOST_NUMBERS];
    const size_t n = snapshot(before);
    const uint64_t hash_before = hash;
    const long refusals_before = atomic_load(&refusals);
    err[0] = '\0';
    atomic_store(&armed, true);
    pn_status status = s->run();
    atomic_store(&armed, false);
    if (status == PN_OK)
        return;
    if (atomic_load(&refusals) == refusals_before)
        fault(s->name, "failed though nothing was refused");
    if (status != PN_ERR_MEMORY)
        fault(s->name, (s->net ? pn_net_error(*s->net) : err));
    if (!(s->net ? pn_net_error(*s->net) : err)[0])
        fault(s->name, "failed without a message");
    if (hash != hash_before || snapshot(after) != n || memcmp(before, after, n * sizeof *before) != 0)
        fault(s->name, "failed and changed the network");
    if ((status = s->run()) != PN_OK)
        fault(s->name, "failed, and again with memory at hand");
}

/* Returns the hash of all results. */
static uint64_t run(void)
{
    ours = true;
    snprintf(path, sizeof path, "/tmp/pynet-allocations-%ld", (long)getpid());
    pn_set_allocator(&(pn_allocator){take, give_back, NULL});
    pn_set_threads(3);
    make_data();
    for (int i = 0; i < STEPS; i++)
        run_step(&steps[i]);
    static float end[MOST_NUMBERS];
    add(end, snapshot(end) * sizeof *end);
    add(pn_net_spec(loaded), strlen(pn_net_spec(loaded)));
    add(more.text, strlen(more.text));
    for (int i = 0; i < 2; i++)
        pn_net_free(net[i]);
    pn_net_free(loaded);
    pn_checkpoint_free(&more);
    unlink(path);
    return hash;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

static struct result {
    uint64_t hash;
    long asked, refusals;
} *result; /* of a child; shared with it */

/* Runs the scenario in a child process; true: no fault was found. */
static bool run_in_child(refusal how, long at)
{
    int status = 0;
    *result = (struct result){0};
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        mode = how;
        refused_at = at;
        const uint64_t all = run();
        *result = (struct result){all, atomic_load(&asked), atomic_load(&refusals)};
        exit(0);
    }
    waitpid(child, &status, 0);
    char left[64]; /* of a child that found a fault */
    snprintf(left, sizeof left, "/tmp/pynet-allocations-%ld", (long)child);
    unlink(left);
    if (status == 0)
        return true;
    printf("finding: the run of `allocations %s %ld` ended with %s %d\n", how == FROM_THERE_ON ? "from" : "one", at,
           WIFSIGNALED(status) ? "signal" : "status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int campaign(double length, uint64_t seed)
{
    const double end = seconds() + length;
    result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (result == MAP_FAILED || !run_in_child(NONE, 0))
        return 1;
    const struct result whole = *result;
    const int32_t cases = 2 * (int32_t)whole.asked;
    int32_t *mixed = calloc((size_t)cases, sizeof *mixed);
    if (!mixed)
        return 1;
    pn_shuffle(mixed, cases, seed, 0);
    int done[2] = {0}, findings = 0;
    long refused = 0;
    for (int32_t i = 0; i < cases && seconds() < end; i++) {
        const bool rest = mixed[i] % 2;
        const long at = 1 + mixed[i] / 2;
        bool good = run_in_child(rest ? FROM_THERE_ON : ONE, at);
        if (good && result->hash != whole.hash) {
            printf("finding: `allocations %s %ld` came to another end\n", rest ? "from" : "one", at);
            good = false;
        }
        refused += result->refusals;
        findings += !good;
        done[rest]++;
    }
    free(mixed);
    printf(
        "allocations: %d steps ask for memory or threads %ld times; %d refused singly, %d from there on (%ld refusals, "
        "seed %llu): %d findings\n",
        STEPS, whole.asked, done[0], done[1], refused, (unsigned long long)seed, findings);
    return findings > 0;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: allocations SECONDS SEED, or allocations one|from N\n");
        return 2;
    }
    if (strcmp(argv[1], "one") != 0 && strcmp(argv[1], "from") != 0)
        return campaign(strtod(argv[1], NULL), strtoull(argv[2], NULL, 10));
    mode = strcmp(argv[1], "one") == 0 ? ONE : FROM_THERE_ON;
    refused_at = strtol(argv[2], NULL, 10);
    run();
    printf("%ld requests, %ld refused\n", atomic_load(&asked), atomic_load(&refusals));
    return 0;
}
