/* The loops of bench/training.py and bench/inference.py in C: what Python costs is the difference.
 *
 *     loop train   OPTIMIZER SPEC BATCH EPOCHS X Y N     seconds of one of so many epochs
 *     loop predict SPEC CALLS X                          seconds of one of so many predictions of a single row
 *
 * A line on stdin is a turn; the answer is a line of JSON. X holds rows of bytes, Y labels of 4 bytes.
 */
#include "pynet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(const char *message)
{
    fprintf(stderr, "loop: %s\n", message);
    exit(1);
}

static void *read_file(const char *path, size_t size)
{
    void *content = malloc(size);
    FILE *file = fopen(path, "rb");
    if (!content || !file || fread(content, 1, size, file) != size)
        fail(path);
    fclose(file);
    return content;
}

static pn_net *create(const char *spec)
{
    char err[PN_ERRLEN];
    pn_net *net;
    if (pn_net_new(&net, spec, 0, err) != PN_OK)
        fail(err);
    return net;
}

/* One answer for each line. */
static void serve(double (*turn)(void *), void *state)
{
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        printf("{\"seconds\": %.9g}\n", turn(state));
        fflush(stdout);
    }
}

/* ---- training ---- */

struct training {
    pn_net *net;
    pn_data data;
    int32_t *order, batch;
    int epochs;
    pn_optim optimizer;
    uint64_t epoch;
};

static double train(void *state)
{
    struct training *t = state;
    const double begin = now();
    for (int i = 0; i < t->epochs; i++) {
        pn_stats stats = {0};
        pn_shuffle(t->order, (int32_t)t->data.n, 0, t->epoch++);
        if (pn_net_train(t->net, &t->data, t->order, t->data.n, t->batch, &t->optimizer, &stats) != PN_OK)
            fail(pn_net_error(t->net));
    }
    return (now() - begin) / t->epochs;
}

/* As it is by default. */
static pn_optim optimizer_named(const char *name)
{
    static const struct {
        const char *name;
        pn_optim_kind kind;
    } known[] = {{"sgd", PN_SGD}, {"momentum", PN_MOMENTUM}, {"adam", PN_ADAM}};
    pn_optim found = {0};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(known[i].name, name) && pn_optim_default(&found, known[i].kind) == PN_OK)
            return found;
    fail("OPTIMIZER is one of sgd, momentum, adam");
    return found;
}

/* ---- one row ---- */

struct prediction {
    pn_net *net;
    const uint8_t *x;
    int calls;
};

static double predict(void *state)
{
    struct prediction *t = state;
    float p[1024];
    const pn_data data = {.x = t->x, .dtype = PN_UINT8, .n = 1};
    const double begin = now();
    for (int i = 0; i < t->calls; i++)
        if (pn_net_predict(t->net, &data, 1, 1.0f, p) != PN_OK)
            fail(pn_net_error(t->net));
    return (now() - begin) / t->calls;
}

/* ---- */

int main(int argc, char **argv)
{
    if (argc == 9 && !strcmp(argv[1], "train")) {
        struct training t = {.net = create(argv[3]), .batch = atoi(argv[4]), .epochs = atoi(argv[5])};
        t.optimizer = optimizer_named(argv[2]);
        const size_t n = strtoull(argv[8], NULL, 10);
        pn_net_info info;
        pn_net_describe(t.net, &info);
        t.data = (pn_data){.dtype = PN_UINT8, .n = (int64_t)n};
        t.data.x = read_file(argv[6], n * (size_t)info.in_features);
        t.data.labels = read_file(argv[7], n * sizeof(int32_t));
        t.order = malloc(n * sizeof *t.order);
        if (!t.order)
            fail("no memory");
        serve(train, &t);
    } else if (argc == 5 && !strcmp(argv[1], "predict")) {
        struct prediction t = {.net = create(argv[2]), .calls = atoi(argv[3])};
        pn_net_info info;
        pn_net_describe(t.net, &info);
        if (info.out_features > 1024)
            fail("more than 1024 outputs");
        t.x = read_file(argv[4], (size_t)info.in_features);
        serve(predict, &t);
    } else {
        fail("usage: loop train OPTIMIZER SPEC BATCH EPOCHS X Y N | loop predict SPEC CALLS X");
    }
    return 0; /* the system takes the memory back */
}
