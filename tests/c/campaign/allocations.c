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
#include "pynet.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- allocations, those of the C library included -------------------------------------------------------------------- */

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
    errno = ENOMEM;
    return true;
}

/* Functions of AddressSanitizer, which those of the program replace, even for the C library. */
void *__interceptor_malloc(size_t size);
void *__interceptor_calloc(size_t count, size_t size);
void *__interceptor_realloc(void *block, size_t size);
void *__interceptor_aligned_alloc(size_t alignment, size_t size);
char *__interceptor_strdup(const char *s);
int __interceptor_pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*work)(void *), void *arg);

void *malloc(size_t size)
{
    return refuse() ? NULL : __interceptor_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __interceptor_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return refuse() ? NULL : __interceptor_realloc(block, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return refuse() ? NULL : __interceptor_aligned_alloc(alignment, size);
}

char *strdup(const char *s)
{
    return refuse() ? NULL : __interceptor_strdup(s);
}

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

/* ---- the scenario ---------------------------------------------------------------------------------------------------- */

enum { SAMPLES = 96, FEATURES = 64, CLASSES = 10, BATCH = 32, LARGEST = SAMPLES * 2048 };

static const char *const pictures =
    "input(1,8,8) conv(8,3,pad=same) batchnorm relu maxpool(2) residual(conv(8,3,pad=same) "
    "layernorm gelu) avgpool(2) dropout(0.2) dense(10) softmax";
static const char *const rows_text =
    "input(64) standardize dense(160) layernorm leaky_relu residual(dense(96) tanh) batchnorm dense(96) relu "
    "residual(dense(96) residual(sigmoid)) dense(10) rescale loss(huber)";

static pn_net *net[2]; /* of pictures, of rows */
static pn_net *loaded;
static pn_checkpoint more;
static uint8_t bytes[SAMPLES * FEATURES];
static float floats[SAMPLES * FEATURES], targets[SAMPLES * CLASSES], weights[SAMPLES], out[LARGEST];
static int32_t labels[SAMPLES], order[SAMPLES];
static pn_augment augment;
static pn_data of_pictures, of_rows;
static char path[64];
static char err[PN_ERRLEN];
static uint64_t hash; /* of all results */

static void add(const void *what, size_t size)
{
    const unsigned char *byte = what;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 1099511628211u; /* Fowler, Noll and Vo */
}

static void make_data(void)
{
    for (int i = 0; i < SAMPLES * FEATURES; i++) {
        bytes[i] = (uint8_t)(i * 7919 % 251);
        floats[i] = (float)((i * 104729 + 11) % 997) / 500 - 1;
    }
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i * 31 % CLASSES;
        weights[i] = (float)(i % 5) / 2;
        targets[i * CLASSES + labels[i]] = 1;
    }
    pn_shuffle(order, SAMPLES, 1, 2);
    pn_augment_default(&augment, 8, 8);
    of_pictures = (pn_data){
        .x = bytes, .dtype = PN_UINT8, .labels = labels, .weights = weights, .n = SAMPLES, .augment = &augment};
    of_rows = (pn_data){.x = floats, .dtype = PN_FLOAT32, .targets = targets, .n = SAMPLES};
}

static pn_status train(pn_net *which, const pn_data *data, pn_optim_kind kind)
{
    pn_optim opt;
    pn_stats stats = {0};
    pn_optim_default(&opt, kind);
    opt.learning_rate = 0.01;
    opt.clip_norm = 0.5;
    opt.l2 = 0.001;
    const pn_status status = pn_net_train(which, data, order, SAMPLES, BATCH, &opt, &stats);
    if (status == PN_OK)
        add(&stats.loss, sizeof stats.loss);
    return status;
}

static pn_status new_pictures(void)
{
    return pn_net_new(&net[0], pictures, 7, err);
}
static pn_status new_rows(void)
{
    return pn_net_new(&net[1], rows_text, 8, err);
}
static pn_status set_notes(void)
{
    return pn_net_set_meta(net[0], "colour", "blue");
}
static pn_status change_notes(void)
{
    return pn_net_set_meta(net[0], "colour", "red, and a longer note than before");
}
static pn_status more_notes(void)
{
    return pn_net_set_meta(net[0], "classes", "[\"zero\", \"one\"]");
}
static pn_status sgd(void)
{
    return train(net[0], &of_pictures, PN_SGD);
}
static pn_status momentum(void)
{
    return train(net[1], &of_rows, PN_MOMENTUM);
}
static pn_status nesterov(void)
{
    return train(net[1], &of_rows, PN_NESTEROV);
}
static pn_status rmsprop(void)
{
    return train(net[0], &of_pictures, PN_RMSPROP);
}
static pn_status adam(void)
{
    return train(net[1], &of_rows, PN_ADAM);
}
static pn_status adamw(void)
{
    return train(net[0], &of_pictures, PN_ADAMW);
}

static pn_status larger_batch(void)
{
    pn_optim opt;
    pn_optim_default(&opt, PN_ADAMW);
    opt.clip_value = 0.1;
    return pn_net_train(net[0], &of_pictures, NULL, SAMPLES, SAMPLES, &opt, NULL);
}

static pn_status adapt(void)
{
    return pn_net_adapt(net[1], &of_rows, order, SAMPLES);
}

static pn_status predict(void)
{
    const pn_status status = pn_net_predict(net[0], &of_pictures, SAMPLES, 2, out);
    add(out, status == PN_OK ? SAMPLES * CLASSES * sizeof *out : 0);
    return status;
}

static pn_status evaluate(void)
{
    pn_stats stats = {0};
    const pn_status status = pn_net_evaluate(net[1], &of_rows, order, SAMPLES, &stats);
    if (status == PN_OK)
        add(&stats, sizeof stats);
    return status;
}

static pn_status infer(void)
{
    return pn_net_infer(net[0], &of_pictures, order, SAMPLES);
}

static pn_status activation(void)
{
    const pn_status status = pn_net_activation(net[0], 0, SAMPLES, out);
    add(out, status == PN_OK ? SAMPLES * 8 * FEATURES * sizeof *out : 0);
    return status;
}

static pn_status gradient_of_loss(void)
{
    const pn_status status = pn_net_input_gradient(net[0], &of_pictures, SAMPLES, 0, NULL, out);
    add(out, status == PN_OK ? SAMPLES * FEATURES * sizeof *out : 0);
    return status;
}

static pn_status gradient_of_layer(void)
{
    static float dy[SAMPLES * 160];
    for (int i = 0; i < SAMPLES * 160; i++)
        dy[i] = i % 3 == 0;
    const pn_status status = pn_net_input_gradient(net[1], &of_rows, SAMPLES, 1, dy, out);
    add(out, status == PN_OK ? SAMPLES * FEATURES * sizeof *out : 0);
    return status;
}

static pn_status forward(void)
{
    return pn_net_forward(net[1], &of_rows, order, BATCH);
}
static pn_status loss(void)
{
    double mean;
    return pn_net_loss(net[1], &of_rows, order, BATCH, &mean);
}
static pn_status backward(void)
{
    return pn_net_backward(net[1]);
}
static pn_status update(void)
{
    pn_optim opt;
    pn_optim_default(&opt, PN_SGD);
    return pn_net_update(net[1], &opt);
}
static pn_status gradient(void)
{
    const pn_part parts[] = {{.n = BATCH}, {.n = BATCH, .first = BATCH}};
    return pn_net_gradient(net[1], &of_rows, order, parts, 2, 2 * BATCH, NULL);
}
static pn_status set_state(void)
{
    return pn_net_set_state(net[1], PN_ADAM, 3);
}
static pn_status save(void)
{
    return pn_net_save(net[0], path);
}

static pn_status load(void)
{
    pn_net_free(loaded);
    return pn_net_load(&loaded, path, err);
}

static pn_status save_checkpoint(void)
{
    pn_tensor state = {0}, given[2];
    const pn_status status = pn_net_state_tensor(net[1], 0, &state);
    if (status != PN_OK)
        return status;
    given[0] = given[1] = state;
    given[0].name = "optimizer.first";
    given[1].name = "optimizer.second";
    const pn_checkpoint checkpoint = {(char *)(uintptr_t)"{\"steps\": 3}", 2, given};
    return pn_net_save_checkpoint(net[1], &checkpoint, path);
}

static pn_status load_checkpoint(void)
{
    pn_net_free(loaded);
    pn_checkpoint_free(&more);
    return pn_net_load_checkpoint(&loaded, &more, path, err);
}

static pn_status augmented(void)
{
    const pn_status status = pn_augmented(out, bytes, PN_UINT8, SAMPLES, 1, &augment, 7, 9, err);
    add(out, status == PN_OK ? SAMPLES * FEATURES * sizeof *out : 0);
    return status;
}

typedef struct {
    const char *name;
    pn_status (*run)(void);
    pn_net **net; /* the net with the error message; NULL: it is in err */
} step;

static const step steps[] = {
    {"new (pictures)", new_pictures, NULL},
    {"new (rows)", new_rows, NULL},
    {"set a note", set_notes, &net[0]},
    {"change a note", change_notes, &net[0]},
    {"set another note", more_notes, &net[0]},
    {"adapt", adapt, &net[1]},
    {"train with sgd", sgd, &net[0]},
    {"train with momentum", momentum, &net[1]},
    {"train with nesterov", nesterov, &net[1]},
    {"train with rmsprop", rmsprop, &net[0]},
    {"train with adam", adam, &net[1]},
    {"train with adamw", adamw, &net[0]},
    {"train with a larger batch", larger_batch, &net[0]},
    {"predict", predict, &net[0]},
    {"evaluate", evaluate, &net[1]},
    {"infer", infer, &net[0]},
    {"activation", activation, &net[0]},
    {"gradient of the loss", gradient_of_loss, &net[0]},
    {"gradient of a layer", gradient_of_layer, &net[1]},
    {"forward", forward, &net[1]},
    {"loss", loss, &net[1]},
    {"backward", backward, &net[1]},
    {"update", update, &net[1]},
    {"gradient", gradient, &net[1]},
    {"set the optimizer's state", set_state, &net[1]},
    {"save", save, &net[0]},
    {"load", load, NULL},
    {"save a checkpoint", save_checkpoint, &net[1]},
    {"load a checkpoint", load_checkpoint, NULL},
    {"augment", augmented, NULL},
};
enum { STEPS = sizeof steps / sizeof *steps, MOST_NUMBERS = 1 << 16 };

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
    errno = 0;
    atomic_store(&armed, true);
    pn_status status = s->run();
    const int code = errno;
    atomic_store(&armed, false);
    if (status == PN_OK)
        return;
    if (atomic_load(&refusals) == refusals_before)
        fault(s->name, "failed though nothing was refused");
    if (status != PN_ERR_MEMORY && !(status == PN_ERR_IO && code == ENOMEM))
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
