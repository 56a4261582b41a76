/* Two nets at once, a fork between calls, and memory that another thread changes during a call. Prints how many checks
   it made. */
#define _GNU_SOURCE
#include "testing.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FEATURES = 4, CLASSES = 3, MANY = 2000, WIDE = 200 };

static const char spec[] = "input(4) dense(200) relu dense(200) relu dense(3) softmax";
static const pn_optim sgd = {.kind = PN_SGD, .learning_rate = 0.1};
static atomic_bool stop;

/* ---- two nets, two processes --------------------------------------------------------------------------------------- */

static float x[MANY * FEATURES];
static int32_t labels[MANY];

/* The second layer's weights after training. */
static void *train(void *result)
{
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = MANY};
    pn_net *net = created(spec, 5);
    pn_tensor t;
    const bool trained = pn_net_train(net, &data, NULL, MANY, 100, &sgd, NULL) == PN_OK;
    if (trained && pn_net_tensor(net, 2, &t) == PN_OK && t.size == WIDE * WIDE)
        memcpy(result, t.data, WIDE * WIDE * sizeof(float));
    pn_net_free(net);
    return trained ? result : NULL;
}

static float weights[3][WIDE * WIDE];

static void two_at_once(void)
{
    pthread_t threads[2];
    for (int round = 0; round < 3; round++) {
        memset(weights, 0, 2 * sizeof *weights);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_create(&threads[i], NULL, train, weights[i]) == 0);
        for (int i = 0; i < 2; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(memcmp(weights[0], weights[2], sizeof *weights) == 0);
        CHECK(memcmp(weights[1], weights[2], sizeof *weights) == 0);
    }
}

static void fork_between(void)
{
    fflush(stdout); /* the child ends with a buffer of its own */
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        /* not _exit(): workers that still run are leaks to valgrind */
        exit(train(weights[0]) && memcmp(weights[0], weights[2], sizeof *weights) == 0 ? 0 : 1);
    CHECK(train(weights[1]) && memcmp(weights[1], weights[2], sizeof *weights) == 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* ---- memory that changes during a call ------------------------------------------------------------------------------- */

static int32_t moving_labels[MANY], moving_order[MANY];
static float moving_weights[MANY], still[MANY * FEATURES];

static void *change_labels(void *arg)
{
    static const int32_t values[] = {1 << 30, -5, 1};
    (void)arg;
    for (unsigned k = 0; !atomic_load(&stop); k++)
        for (int i = 0; i < MANY; i++) {
            __atomic_store_n(&moving_labels[i], values[k % 3], __ATOMIC_RELAXED);
            __atomic_store_n(&moving_order[i], values[k % 3], __ATOMIC_RELAXED);
        }
    return NULL;
}

static void moving_labels_and_order(void)
{
    pn_net *net = created("input(4) dense(200) relu dense(200) relu dense(3) softmax", 0);
    const pn_data moving = {
        .x = still, .dtype = PN_FLOAT32, .labels = moving_labels, .weights = moving_weights, .n = MANY};
    pthread_t thread;
    int refused = 0;
    for (int i = 0; i < MANY; i++)
        moving_weights[i] = 1;
    atomic_store(&stop, false);
    CHECK(pthread_create(&thread, NULL, change_labels, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        pn_stats stats = {0};
        const pn_status status = i % 2 ? pn_net_train(net, &moving, moving_order, MANY, 100, &sgd, NULL)
                                       : pn_net_evaluate(net, &moving, moving_order, MANY, &stats);
        CHECK(status == PN_OK || status == PN_ERR_ARGUMENT);
        refused += status != PN_OK;
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    CHECK(refused > 0);
    pn_net_free(net);
}

static int64_t moving_starts[MANY + 1];
static int32_t moving_columns[MANY], zeros[MANY];
static float moving_values[MANY];

/* Sets a start or a column, every few microseconds, to one that is out of bounds or descending. */
static void *change_rows(void *arg)
{
    const int64_t wrong_starts[] = {INT64_MAX, -1, 0};
    const int32_t wrong_columns[] = {INT32_MAX, -1, FEATURES};
    (void)arg;
    for (int k = 0; !atomic_load(&stop); k++) {
        if (k % 3)
            __atomic_store_n(&moving_starts[MANY - k % 2], wrong_starts[k % 4 % 3], __ATOMIC_RELAXED);
        else
            __atomic_store_n(&moving_columns[MANY / 2], wrong_columns[k % 4 % 3], __ATOMIC_RELAXED);
        usleep(20);
    }
    return NULL;
}

static void make_rows_valid(void)
{
    for (int i = 0; i <= MANY; i++)
        __atomic_store_n(&moving_starts[i], i, __ATOMIC_RELAXED);
    __atomic_store_n(&moving_columns[MANY / 2], 0, __ATOMIC_RELAXED);
}

static void moving_rows(void)
{
    const pn_data data = {.x = moving_values,
                          .dtype = PN_FLOAT32,
                          .labels = zeros,
                          .n = MANY,
                          .starts = moving_starts,
                          .columns = moving_columns,
                          .stored = MANY};
    pn_net *net = created("input(4) dense(3) softmax", 1);
    pthread_t thread;
    int calls_refused = 0;
    atomic_store(&stop, false);
    CHECK(pthread_create(&thread, NULL, change_rows, NULL) == 0);
    for (int i = 0; i < 300; i++) {
        moving_values[MANY - 1] = i < 200 ? 0 : INFINITY; /* whose message reads the row again */
        make_rows_valid();
        pn_stats stats = {0};
        const pn_status status = i % 2 ? pn_net_train(net, &data, NULL, MANY, 100, &sgd, NULL)
                                       : pn_net_evaluate(net, &data, NULL, MANY, &stats);
        CHECK(status == PN_OK || status == PN_ERR_ARGUMENT);
        calls_refused += i < 200 && status != PN_OK;
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    CHECK(calls_refused > 0);
    pn_net_free(net);
}

/* Threads of embedded programs have small stacks; docs/embedding.md names this one. Sanitizers make frames larger. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STACK = 1 << 20 };
#else
enum { STACK = 128 << 10 };
#endif

static void *learn_and_predict(void *result)
{
    static float y[MANY * CLASSES];
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = MANY};
    pn_net *net = created(spec, 5);
    pn_stats stats = {0};
    for (int kind = PN_SGD; kind <= PN_ADAMW; kind++) {
        pn_optim opt;
        CHECK(pn_optim_default(&opt, (pn_optim_kind)kind) == PN_OK);
        CHECK(pn_net_train(net, &data, NULL, MANY, 100, &opt, &stats) == PN_OK);
    }
    *(int *)result = (int)stats.steps;
    pn_net *again = saved_and_loaded(net);
    CHECK(pn_net_predict(again, &data, MANY, 1, y) == PN_OK);
    pn_net_free(again);
    pn_net_free(net);
    return NULL;
}

static void small_stack(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int steps = 0;
    CHECK(pthread_attr_init(&attributes) == 0 && pthread_attr_setstacksize(&attributes, STACK) == 0);
    const bool ran = pthread_create(&thread, &attributes, learn_and_predict, &steps) == 0 &&
                     pthread_join(thread, NULL) == 0; /* it counts checks, too */
    CHECK(ran && steps == 6 * MANY / 100);
    pthread_attr_destroy(&attributes);
}

int main(void)
{
    uint32_t state = 1;
    for (int i = 0; i < MANY * FEATURES; i++)
        x[i] = (float)(draw(&state) >> 16) / 255.0f;
    for (int i = 0; i < MANY; i++)
        labels[i] = i * i % CLASSES;
    CHECK(pn_set_threads(3) == PN_OK && train(weights[2]));
    two_at_once();
    fork_between();
    CHECK(pn_set_threads(0) == PN_OK);
    moving_labels_and_order();
    moving_rows();
    small_stack();
    printf("net in threads: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
