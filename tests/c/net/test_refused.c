/* Each allocation fails once alone, and once together with all that follow: creating, reserving, training, predicting,
   saving and loading return PN_ERR_MEMORY with a message, leave the network as it was, and work as soon as there is
   memory. Nothing leaks. Prints how many checks it made. */
#include "counting.h"

#include <stdbool.h>

enum { N = 80, FEATURES = 36, CLASSES = 3 };
static float x[N * FEATURES], y[N * CLASSES];
static int32_t labels[N];
static char saved[1 << 14];
static size_t saved_size;
static pn_net *net, *loaded;
static char err[PN_ERRLEN];
static pn_augment augment;

static pn_data data_of(const pn_augment *distortions)
{
    return (pn_data){.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = N, .augment = distortions};
}

static pn_optim optimizer(pn_optim_kind kind)
{
    pn_optim opt;
    CHECK(pn_optim_default(&opt, kind) == PN_OK);
    opt.clip_norm = 1;
    return opt;
}

static pn_status train(pn_optim_kind kind, int64_t batch, const pn_augment *distortions)
{
    const pn_optim opt = optimizer(kind);
    const pn_data data = data_of(distortions);
    return pn_net_train(net, &data, NULL, N, batch, &opt, NULL);
}

static pn_status create(void)
{
    return pn_net_new(&net,
                      "input(1,6,6) conv(4,3,pad=1) relu residual(conv(4,3,pad=1) batchnorm) maxpool(2) dense(20) relu "
                      "dense(3) softmax",
                      1, err);
}
static pn_status note(void)
{
    return pn_net_set_meta(net, "a", "1");
}
static pn_status reserve(void)
{
    const pn_optim opt = optimizer(PN_MOMENTUM);
    return pn_net_reserve(net, 8, &opt);
}
static pn_status momentum(void)
{
    return train(PN_MOMENTUM, 10, NULL);
}
static pn_status adam(void)
{
    return train(PN_ADAM, 70, &augment);
}
static pn_status predict(void)
{
    const pn_data data = data_of(NULL);
    return pn_net_predict(net, &data, N, 1, y);
}
static pn_status save(void)
{
    return pn_net_save_memory(net, saved, sizeof saved, &saved_size);
}
static pn_status load(void)
{
    return pn_net_load_memory(&loaded, saved, saved_size, err);
}

static pn_status (*const steps[])(void) = {create, note, predict, reserve, momentum, adam, predict, save, load};
enum { STEPS = sizeof steps / sizeof *steps };

/* Returns the hash of the loaded network and the predictions. from, to: the allocations that fail; *failed: a step
   did. */
static uint64_t run(long from, long to, bool *failed)
{
    memory.calls = 0;
    memory.refused_from = from;
    memory.refused_to = to;
    for (int i = 0; i < STEPS; i++) {
        const uint64_t before = net ? hash(net) : 0;
        err[0] = 0;
        pn_status status = steps[i]();
        if (status == PN_OK)
            continue;
        *failed = true;
        CHECK(status == PN_ERR_MEMORY && strstr(i == 0 || i == STEPS - 1 ? err : pn_net_error(net), "no memory"));
        CHECK(i == 0 ? !net : hash(net) == before);
        memory.refused_from = 0, memory.refused_to = -1;
        CHECK(steps[i]() == PN_OK);
    }
    const uint64_t result = hash_on(hash(loaded), y, sizeof y);
    pn_net_free(net);
    pn_net_free(loaded);
    net = loaded = NULL;
    CHECK(memory.bytes == 0);
    return result;
}

int main(void)
{
    uint32_t state = 1;
    bool failed = false;
    count_memory();
    pn_augment_default(&augment, 0, 0);
    augment = (pn_augment){.shift = 1, .elastic = 0.5};
    for (int i = 0; i < N * FEATURES; i++)
        x[i] = (float)draw(&state) / 8388608.0f - 1;
    for (int i = 0; i < N; i++)
        labels[i] = i % CLASSES;
    CHECK(pn_set_threads(2) == PN_OK);
    const uint64_t expected = run(0, -1, &failed);
    const long all = memory.calls;
    CHECK(!failed && all > 30);
    for (long n = 1; n <= all; n++)
        for (int rest = 0; rest < 2; rest++) {
            failed = false;
            CHECK(run(n, rest ? 1L << 30 : n, &failed) == expected && failed);
        }
    printf("refused: %d checks, %ld allocations, %d failures\n", checks, all, failures);
    return failures != 0;
}
