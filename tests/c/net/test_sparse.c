/* Compressed sparse rows: the bits of dense rows, and what is refused. Prints how many checks it made. */
#include "testing.h"

#include <math.h>

enum { N = 5, FEATURES = 4, STORED = 7 };

/* Row 1 is empty; row 2 is not sorted; the values of a column of row 3 add up. */
static const float dense[N * FEATURES] = {0, 1.5f, 0, -2, 0, 0, 0, 0, 3, 0, 0, 4, 0, 0, 0.75f, 0, 0, 0, 0, 0};
static const float values[STORED] = {1.5f, -2, 4, 3, 0.25f, 0.5f, 0};
static const int32_t columns[STORED] = {1, 3, 3, 0, 2, 2, 0}, labels[N] = {0, 1, 2, 1, 0}, order[] = {4, 2, 2, 0, 3, 1};
static const int64_t starts[N + 1] = {0, 2, 2, 4, 6, 7};
static const pn_optim sgd = {.kind = PN_SGD, .learning_rate = 0.1};

static pn_data sparse(void)
{
    return (pn_data){.x = values,
                     .dtype = PN_FLOAT32,
                     .labels = labels,
                     .n = N,
                     .starts = starts,
                     .columns = columns,
                     .stored = STORED};
}

/* The hash of all that calls on these data return, and of the network after them. */
static uint64_t outcome(const char *text, const pn_data *data)
{
    float y[N * 3], dx[N * FEATURES];
    pn_stats stats = {0};
    pn_net *net = created(text, 1);
    CHECK(pn_net_train(net, data, order, 6, 4, &sgd, &stats) == PN_OK);
    CHECK(pn_net_evaluate(net, data, order, 6, &stats) == PN_OK);
    CHECK(pn_net_predict(net, data, N, 1, y) == PN_OK);
    CHECK(pn_net_input_gradient(net, data, N, 0, NULL, dx) == PN_OK);
    CHECK(pn_net_train(net, data, NULL, 0, 4, &sgd, NULL) == PN_OK);
    uint64_t h = hash_on(hash(net), &stats.loss, sizeof stats.loss);
    h = hash_on(hash_on(h, y, sizeof y), dx, sizeof dx);
    pn_net_free(net);
    return h;
}

static void same_bits(void)
{
    const pn_data rows = sparse(), same = {.x = dense, .dtype = PN_FLOAT32, .labels = labels, .n = N};
    CHECK(outcome("input(4) dense(3) softmax", &rows) == outcome("input(4) dense(3) softmax", &same));
    CHECK(outcome("input(4) tanh dense(3) softmax", &rows) == outcome("input(4) tanh dense(3) softmax", &same));

    const float zeros[N * FEATURES] = {0};
    const int64_t none[N + 1] = {0};
    const pn_data empty = {.dtype = PN_FLOAT32, .labels = labels, .n = N, .starts = none},
                  full = {.x = zeros, .dtype = PN_FLOAT32, .labels = labels, .n = N};
    CHECK(outcome("input(4) dense(3) softmax", &empty) == outcome("input(4) dense(3) softmax", &full));
}

static void refused(pn_data data, const char *message)
{
    float y[N * 3];
    pn_stats stats = {0};
    pn_net *net = created("input(4) dense(3) softmax", 1);
    const uint64_t before = hash(net);
    REFUSED(pn_net_train(net, &data, NULL, N, N, &sgd, NULL), PN_ERR_ARGUMENT, message);
    REFUSED(pn_net_forward(net, &data, NULL, N), PN_ERR_ARGUMENT, message);
    REFUSED(pn_net_evaluate(net, &data, NULL, N, &stats), PN_ERR_ARGUMENT, message);
    REFUSED(pn_net_predict(net, &data, N, 1, y), PN_ERR_ARGUMENT, message);
    CHECK(hash(net) == before);
    pn_net_free(net);
}

static pn_data with_starts(const int64_t *wrong)
{
    pn_data data = sparse();
    data.starts = wrong;
    return data;
}

static pn_data with_columns(const int32_t *wrong)
{
    pn_data data = sparse();
    data.columns = wrong;
    return data;
}

static pn_data with_values(const float *wrong)
{
    pn_data data = sparse();
    data.x = wrong;
    return data;
}

static void refusals(void)
{
    refused(with_starts((int64_t[]){-1, 2, 2, 4, 6, 7}),
            "starts of sample 0 are -1 and 2; accepted: 0 to 7, ascending");
    refused(with_starts((int64_t[]){0, 2, 1, 4, 6, 7}), "starts of sample 1 are 2 and 1");
    refused(with_starts((int64_t[]){0, 2, 2, 4, 6, 8}), "starts of sample 4 are 6 and 8");
    refused(with_starts((int64_t[]){0, 2, 2, 4, INT64_MAX, 7}), "starts of sample 3 are 4 and 9223372036854775807");
    refused(with_columns((int32_t[]){1, 3, 4, 0, 2, 2, 0}), "a column of sample 2 is 4; this network takes 0 to 3");
    refused(with_columns((int32_t[]){-1, 3, 3, 0, 2, 2, 0}), "a column of sample 0 is -1");
    refused(with_columns(NULL), "sparse x with no columns");
    refused(with_values(NULL), "x of the data is NULL");
    refused(with_values((float[]){1, 1, 1, 1, NAN, 1, 1}), "x holds nan in sample 3, feature 2");
    refused(with_values((float[]){1, 1, 1, 1, 3e38f, 3e38f, 1}), "x of sample 3, values of one column added");
    pn_data data = sparse();
    data.stored = -1;
    refused(data, "starts of sample 0 are 0 and 2; accepted: 0 to -1");
    data = sparse();
    data.dtype = PN_UINT8;
    refused(data, "sparse x with bytes");
}

int main(void)
{
    same_bits();
    refusals();
    printf("sparse rows: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
