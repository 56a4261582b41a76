/* pn_net_adapt, and what C callers see of standardize and rescale. */
#include "testing.h"

#include <math.h>

enum { N = 5, FEATURES = 3, OUTPUTS = 2 };

static const float x[N * FEATURES] = {1, 7, -2, 3, 7, 0, 5, 7, 2, 7, 7, 4, 9, 7, 6};
static const float y[N * OUTPUTS] = {100, 1, 200, 1, 300, 1, 400, 1, 500, 1};
static const int32_t backward[N] = {4, 3, 2, 1, 0}, labels[N] = {0, 1, 0, 1, 0};

static const float *numbers(pn_net *net, const char *name)
{
    pn_tensor t = {0};
    pn_net_info info;
    pn_net_describe(net, &info);
    for (int i = 0; i < info.tensors; i++)
        if (pn_net_tensor(net, i, &t) == PN_OK && strcmp(t.name, name) == 0) {
            CHECK(!t.trained && t.grad == NULL);
            return t.data;
        }
    printf("no tensor %s\n", name);
    exit(1);
}

static void fits(void)
{
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .targets = y, .n = N};
    pn_net *net = created("input(3) standardize dense(2) rescale", 1);
    CHECK(pn_net_adapt(net, &data, backward, N) == PN_OK);
    const float *mean = numbers(net, "0.mean"), *scale = numbers(net, "0.scale");
    CHECK(mean[0] == 5 && mean[1] == 7 && mean[2] == 2);
    CHECK(scale[0] == (float)sqrt(8) && scale[1] == 1 && scale[2] == (float)sqrt(8));
    CHECK(numbers(net, "2.mean")[0] == 300 && numbers(net, "2.scale")[0] == (float)sqrt(20000));
    CHECK(numbers(net, "2.mean")[1] == 1 && numbers(net, "2.scale")[1] == 1);
    CHECK(pn_net_adapt(net, &(pn_data){.x = x, .dtype = PN_FLOAT32, .n = N}, NULL, 2) == PN_OK);
    CHECK(mean[0] == 2 && scale[0] == 1 && numbers(net, "2.mean")[0] == 300); /* the first two; no targets */

    const uint8_t bytes[] = {0, 255, 51, 51};
    pn_net *pixels = created("input(1,2,1) standardize dense(1)", 1);
    CHECK(pn_net_adapt(pixels, &(pn_data){.x = bytes, .dtype = PN_UINT8, .n = 2}, NULL, 2) == PN_OK);
    CHECK(fabsf(numbers(pixels, "0.mean")[0] - 0.35f) < 1e-7f); /* 0, 1, 0.2, 0.2: one channel */
    pn_net_free(pixels);
    pn_net_free(net);
}

static void refusals(void)
{
    pn_data data = {.x = x, .dtype = PN_FLOAT32, .targets = y, .n = N};
    pn_net *net = created("input(3) standardize dense(2) rescale", 1);
    const uint64_t before = hash(net);
    REFUSED(pn_net_adapt(net, NULL, NULL, N), PN_ERR_ARGUMENT, "data is NULL");
    REFUSED(pn_net_adapt(net, &data, NULL, N + 1), PN_ERR_ARGUMENT, "6 samples");
    REFUSED(pn_net_adapt(net, &data, (int32_t[]){5}, 1), PN_ERR_ARGUMENT, "order[0] is 5");
    CHECK(hash(net) == before);

    pn_stats stats = {0};
    pn_optim opt;
    CHECK(pn_optim_default(&opt, PN_SGD) == PN_OK);
    data.targets = NULL;
    data.labels = labels;
    REFUSED(pn_net_train(net, &data, NULL, N, N, &opt, &stats), PN_ERR_ARGUMENT,
            "a network with rescale takes targets");
    data.labels = NULL;
    REFUSED(pn_net_evaluate(net, &data, NULL, N, &stats), PN_ERR_ARGUMENT, "no targets");
    pn_net_free(net);
}

/* Outputs in the unit of the targets; a loss without unit; nothing right or wrong. */
static void quantities(void)
{
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .targets = y, .n = N};
    pn_net *net = created("input(3) standardize dense(2) rescale loss(huber,delta=0.5)", 1);
    pn_net_info info;
    pn_net_describe(net, &info);
    CHECK(info.loss == PN_HUBER && info.delta == 0.5 && info.layers == 3 && info.parameters == 8);
    CHECK(info.in_features == FEATURES && info.out_features == OUTPUTS);
    CHECK(pn_net_adapt(net, &data, NULL, N) == PN_OK);
    pn_optim opt;
    CHECK(pn_optim_default(&opt, PN_SGD) == PN_OK);
    for (int epoch = 0; epoch < 100; epoch++)
        CHECK(pn_net_train(net, &data, NULL, N, N, &opt, NULL) == PN_OK);
    pn_stats stats = {0};
    CHECK(pn_net_evaluate(net, &data, NULL, N, &stats) == PN_OK);
    CHECK(stats.samples == N && stats.correct == 0 && stats.loss < 0.01);
    float found[N * OUTPUTS];
    CHECK(pn_net_predict(net, &data, N, 1, found) == PN_OK);
    for (int i = 0; i < N; i++)
        CHECK(fabsf(found[2 * i] - y[2 * i]) < 20 && fabsf(found[2 * i + 1] - 1) < 0.2f);
    pn_net_free(net);
}

int main(void)
{
    fits();
    refusals();
    quantities();
    printf("scaling: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
