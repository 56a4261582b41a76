/* The network from C: what it describes, errors of each call, and what a failed call leaves. Prints how many checks it
   made. */
#define _GNU_SOURCE
#include "testing.h"

#include <fenv.h>

#include <math.h>
#include <string.h>

enum { N = 70, BATCH = 32, FEATURES = 40, CLASSES = 7 };

static const char spec[] = "input(40) dense(130) relu dense(50) tanh dense(7) softmax";
static const char spec_mse[] = "input(40) dense(130) sigmoid dense(50) relu dense(7) sigmoid";
static const int batches[] = {24, 23, 23}; /* what 70 samples make in batches of at most 32 */
static const pn_optim sgd = {.kind = PN_SGD, .learning_rate = 0.5f};

static uint8_t bytes[N * FEATURES];
static float floats[N * FEATURES];
static float targets[N * CLASSES];
static int32_t labels[N], order[N];

static pn_data data_of(pn_dtype dtype)
{
    return (pn_data){.x = dtype == PN_UINT8 ? (const void *)bytes : floats, .dtype = dtype, .labels = labels, .n = N};
}

static pn_status epochs(pn_net *net, const pn_data *data, int count)
{
    for (int epoch = 0; epoch < count; epoch++) {
        pn_stats stats = {0};
        pn_shuffle(order, N, 1, (uint64_t)epoch);
        pn_status status = pn_net_train(net, data, order, N, BATCH, &sgd, &stats);
        if (status)
            return status;
        CHECK(stats.samples == N && stats.steps == 3 && stats.loss > 0);
    }
    return PN_OK;
}

static void counts_threads(void)
{
    CHECK(pn_set_threads(4) == PN_OK && pn_threads() == (THREADED ? 4 : 1));
    CHECK(pn_set_threads(-1) == PN_ERR_ARGUMENT && pn_set_threads(65) == PN_ERR_ARGUMENT &&
          pn_threads() == (THREADED ? 4 : 1));
    CHECK(pn_set_threads(0) == PN_OK && pn_threads() >= 1);
    CHECK(pn_set_threads(3) == PN_OK);
}

static void describes_itself(void)
{
    pn_net *net = created("input(40)dense( 130 )relu dense(50,xavier) tanh dense(7,init=auto)softmax()", 5);
    pn_net_info info;
    pn_layer_info layer;
    pn_tensor tensor;
    pn_net_describe(net, &info);
    CHECK(strcmp(pn_net_spec(net), "input(40) dense(130) relu dense(50,init=xavier) tanh dense(7) softmax") == 0);
    CHECK(info.layers == 6 && info.tensors == 6 && info.loss == PN_CROSS_ENTROPY && info.seed == 5);
    CHECK(info.parameters == 40 * 130 + 130 + 130 * 50 + 50 + 50 * 7 + 7);
    CHECK(info.in_rank == 1 && info.in_shape[0] == 40 && info.in_features == 40 && info.out_features == 7);
    CHECK(pn_net_layer(net, 2, &layer) == PN_OK && strcmp(layer.text, "dense(50,init=xavier)") == 0);
    CHECK(strcmp(layer.path, "2") == 0 && strcmp(layer.kind, "dense") == 0 && layer.parameters == 130 * 50 + 50);
    CHECK(layer.in_shape[0] == 130 && layer.out_shape[0] == 50);
    CHECK(pn_net_tensor(net, 2, &tensor) == PN_OK && strcmp(tensor.name, "2.W") == 0 && tensor.layer == 2);
    CHECK(tensor.rank == 2 && tensor.shape[0] == 130 && tensor.shape[1] == 50 && tensor.size == 6500 && !tensor.grad);
    pn_net_free(net);
}

/* ---- errors -------------------------------------------------------------------------------------------------------- */

static void refuses_texts(void)
{
    static const char *const wrong[] = {"", "relu", "input(4)", "input(4) dens(3)", "input(4) dense(3", "\xff\xfe"};
    char err[PN_ERRLEN];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pn_net *net = (pn_net *)err;
        CHECK(pn_net_new(&net, wrong[i], 0, err) == PN_ERR_SPEC && net == NULL);
        CHECK(strncmp(err, "column ", 7) == 0);
    }
    for (int status = PN_OK; status <= PN_ERR_PARAMETER; status++)
        CHECK(strlen(pn_strerror((pn_status)status)) > 5);
    CHECK(strcmp(pn_strerror((pn_status)99), "unknown status") == 0);
    pn_net_free(NULL);
}

static void refuses_samples(void)
{
    pn_net *net = created(spec, 5);
    const uint64_t before = hash(net);
    const pn_data data = data_of(PN_UINT8);
    const int32_t past[] = {0, 1, N}, negative[] = {0, -1};
    pn_stats stats = {0};
    float y[3 * CLASSES];
    REFUSED(pn_net_train(net, &data, past, 3, 2, &sgd, &stats), PN_ERR_ARGUMENT,
            "order[2] is 70; the data has samples 0 to 69");
    REFUSED(pn_net_train(net, &data, negative, 2, 2, &sgd, &stats), PN_ERR_ARGUMENT, "order[1] is -1");
    REFUSED(pn_net_forward(net, &data, past, 3), PN_ERR_ARGUMENT, "order[2] is 70");
    REFUSED(pn_net_evaluate(net, &data, past, 3, &stats), PN_ERR_ARGUMENT, "order[2] is 70");
    REFUSED(pn_net_train(net, &data, NULL, N + 1, 2, &sgd, &stats), PN_ERR_ARGUMENT,
            "71 samples asked for; the data has 70");
    REFUSED(pn_net_train(net, &data, NULL, -1, 2, &sgd, &stats), PN_ERR_ARGUMENT, "-1 samples asked for");
    REFUSED(pn_net_predict(net, &data, N + 1, 1, y), PN_ERR_ARGUMENT, "71 samples");
    REFUSED(pn_net_train(net, &data, NULL, N, 0, &sgd, &stats), PN_ERR_ARGUMENT, "batch is 0; accepted: 1 or more");
    REFUSED(pn_net_predict(net, &data, 3, 0, y), PN_ERR_ARGUMENT, "temperature is 0");
    REFUSED(pn_net_predict(net, &data, 3, NAN, y), PN_ERR_ARGUMENT, "temperature is");

    const pn_optim unknown = {.kind = (pn_optim_kind)9, .learning_rate = 1};
    REFUSED(pn_net_train(net, &data, NULL, N, 2, &unknown, &stats), PN_ERR_ARGUMENT, "optimizer kind is 9");

    pn_data other = data;
    other.dtype = (pn_dtype)5;
    REFUSED(pn_net_forward(net, &other, NULL, 3), PN_ERR_ARGUMENT, "dtype is 5");
    other = data;
    other.labels = NULL;
    REFUSED(pn_net_evaluate(net, &other, NULL, 3, &stats), PN_ERR_ARGUMENT, "no labels: cross-entropy needs them");
    other.targets = targets;
    REFUSED(pn_net_evaluate(net, &other, NULL, 3, &stats), PN_ERR_ARGUMENT, "no labels: cross-entropy needs them");
    const int32_t bad[] = {0, CLASSES, -1};
    other.labels = bad;
    REFUSED(pn_net_train(net, &other, NULL, 3, 3, &sgd, &stats), PN_ERR_ARGUMENT,
            "label of sample 1 is 7; this network takes 0 to 6");
    const int32_t last[] = {2};
    REFUSED(pn_net_train(net, &other, last, 1, 1, &sgd, &stats), PN_ERR_ARGUMENT, "label of sample 2 is -1");
    CHECK(hash(net) == before && stats.samples == 0 && stats.steps == 0 && stats.loss == 0);
    CHECK(pn_net_train(net, &data, NULL, 0, 1, &sgd, &stats) == PN_OK && hash(net) == before);
    pn_net_free(net);

    net = created(spec_mse, 5);
    other = (pn_data){.x = bytes, .dtype = PN_UINT8, .n = N};
    REFUSED(pn_net_evaluate(net, &other, NULL, 3, &stats), PN_ERR_ARGUMENT, "squared error needs them");
    pn_net_free(net);
}

static void refuses_order_of_calls(void)
{
    pn_net *net = created(spec, 5);
    const pn_data data = data_of(PN_FLOAT32);
    double loss;
    float y[3 * 130];
    pn_layer_info layer;
    pn_tensor tensor;
    REFUSED(pn_net_loss(net, &data, NULL, 3, &loss), PN_ERR_STATE, "loss comes after forward");
    REFUSED(pn_net_backward(net), PN_ERR_STATE, "backward comes after forward and loss");
    REFUSED(pn_net_update(net, &sgd), PN_ERR_STATE, "update comes after");
    REFUSED(pn_net_activation(net, 0, 3, y), PN_ERR_STATE, "activations exist after forward");
    CHECK(pn_net_forward(net, &data, NULL, 3) == PN_OK && strcmp(pn_net_error(net), "") == 0);
    REFUSED(pn_net_loss(net, &data, NULL, 4, &loss), PN_ERR_ARGUMENT, "4 samples; the last forward had 3");
    REFUSED(pn_net_activation(net, 0, 2, y), PN_ERR_ARGUMENT, "room for 2 samples; the last forward had 3");
    REFUSED(pn_net_activation(net, 6, 3, y), PN_ERR_ARGUMENT, "layer 6; this network has 0 to 5");
    REFUSED(pn_net_layer(net, -1, &layer), PN_ERR_ARGUMENT, "layer -1; this network has 0 to 5");
    REFUSED(pn_net_tensor(net, 6, &tensor), PN_ERR_ARGUMENT, "tensor 6; this network has 6");
    CHECK(pn_net_activation(net, 0, 3, y) == PN_OK);
    CHECK(pn_net_loss(net, &data, NULL, 3, &loss) == PN_OK && pn_net_backward(net) == PN_OK);
    CHECK(pn_net_tensor(net, 0, &tensor) == PN_OK && tensor.grad);
    const pn_optim zero = {.kind = PN_SGD};
    REFUSED(pn_net_update(net, &zero), PN_ERR_ARGUMENT, "learning rate is 0");
    CHECK(pn_net_forward(net, &data, NULL, N) == PN_OK); /* a larger batch: new work memory */
    REFUSED(pn_net_backward(net), PN_ERR_STATE, "backward comes after forward and loss");
    pn_net_free(net);
}

static void gives_input_gradients(void)
{
    pn_net *net = created(spec, 5);
    pn_data data = data_of(PN_FLOAT32);
    static float dx[N * FEATURES], again[N * FEATURES], dy[N * CLASSES];
    double loss;
    for (int i = 0; i < N * CLASSES; i++)
        dy[i] = (float)(i % 11) - 5;
    CHECK(pn_net_input_gradient(net, &data, N, 5, dy, dx) == PN_OK);
    CHECK(pn_set_threads(3) == PN_OK && pn_net_input_gradient(net, &data, N, 5, dy, again) == PN_OK);
    CHECK(pn_set_threads(0) == PN_OK && memcmp(dx, again, sizeof dx) == 0);
    CHECK(pn_net_input_gradient(net, &data, N, -1, NULL, again) == PN_OK && memcmp(dx, again, sizeof dx) != 0);
    CHECK(pn_net_forward(net, &data, NULL, 3) == PN_OK && pn_net_loss(net, &data, NULL, 3, &loss) == PN_OK);
    REFUSED(pn_net_input_gradient(net, &data, 3, 6, dy, dx), PN_ERR_ARGUMENT, "layer 6; this network has 0 to 5");
    REFUSED(pn_net_backward(net), PN_ERR_STATE, "backward comes after");
    REFUSED(pn_net_input_gradient(net, &data, N + 1, 0, dy, dx), PN_ERR_ARGUMENT, "71 samples asked for");
    CHECK(pn_net_input_gradient(net, &data, 0, 0, dy, dx) == PN_OK);
    CHECK(pn_net_infer(net, &data, NULL, 3) == PN_OK && pn_net_activation(net, 0, 3, dx) == PN_OK);
    REFUSED(pn_net_loss(net, &data, NULL, 3, &loss), PN_ERR_STATE, "loss comes after forward");
    data.labels = NULL;
    REFUSED(pn_net_input_gradient(net, &data, 3, 0, NULL, dx), PN_ERR_ARGUMENT, "no labels");
    pn_net_free(net);
}

static void an_empty_batch(void)
{
    pn_net *net = created(spec, 5);
    const pn_data data = data_of(PN_UINT8);
    double loss = -1;
    CHECK(pn_net_forward(net, &data, NULL, 0) == PN_OK); /* without work memory */
    CHECK(epochs(net, &data, 1) == PN_OK);               /* biases of 0 would be 0 - 0, which valgrind makes -0 */
    const uint64_t before = hash(net);
    CHECK(pn_net_forward(net, &data, NULL, 0) == PN_OK);
    CHECK(pn_net_loss(net, &data, NULL, 0, &loss) == PN_OK && loss == 0);
    CHECK(pn_net_backward(net) == PN_OK && pn_net_update(net, &sgd) == PN_OK);
    CHECK(pn_net_predict(net, &data, 0, 1, NULL) == PN_OK);
    CHECK(hash(net) == before);
    pn_net_free(net);
}

/* A call that fails between the four steps does not spoil them, nor do sizes that would overflow. */
static void nothing_is_left_over(void)
{
    pn_net *net = created(spec, 5);
    pn_data data = data_of(PN_UINT8), nothing = {.dtype = PN_FLOAT32, .n = N};
    pn_stats stats = {0};
    double loss;
    float y[CLASSES];
    CHECK(pn_net_train(net, &data, NULL, 10, INT64_MAX, &sgd, &stats) == PN_OK && stats.steps == 1);
    CHECK(pn_net_forward(net, &nothing, NULL, 4) == PN_ERR_ARGUMENT);
    CHECK(pn_net_predict(net, &nothing, 4, 1, y) == PN_ERR_ARGUMENT);
    CHECK(pn_net_predict(net, &data, 1, 1e-38f, y) == PN_ERR_ARGUMENT);
    CHECK(pn_net_forward(net, &data, NULL, 4) == PN_OK && pn_net_loss(net, &data, NULL, 4, &loss) == PN_OK);
    CHECK(pn_net_forward(net, &(pn_data){.x = bytes, .n = (int64_t)1 << 40}, NULL, (int64_t)1 << 40) == PN_ERR_MEMORY);
    CHECK(pn_net_backward(net) == PN_ERR_STATE);
    CHECK(pn_net_forward(net, &data, NULL, 4) == PN_OK && pn_net_loss(net, &data, NULL, 4, &loss) == PN_OK);
    data.labels = NULL;
    CHECK(pn_net_loss(net, &data, NULL, 4, &loss) == PN_ERR_ARGUMENT);
    CHECK(pn_net_backward(net) == PN_OK);
    pn_net_free(net);
}

/* The caller's rounding mode is neither used nor changed. */
static void rounds_to_nearest(void)
{
    pn_net *net = created(spec, 5);
    const pn_data data = data_of(PN_FLOAT32);
    CHECK(epochs(net, &data, 2) == PN_OK);
    const int before = fegetround();
    CHECK(fesetround(FE_UPWARD) == 0);
    pn_net *twin = created(spec, 5);
    CHECK(epochs(twin, &data, 2) == PN_OK);
    CHECK(fegetround() == FE_UPWARD);
    fesetround(before);
    CHECK(hash(twin) == hash(net));
    pn_net_free(net);
    pn_net_free(twin);
}

static void notices_what_is_not_finite(void)
{
    static float x[N * FEATURES];
    static const char plain[] = "input(40) dense(7) softmax";
    pn_net *net = created(plain, 5), *twin = created(plain, 5);
    pn_data data = data_of(PN_FLOAT32);
    pn_stats stats = {0};
    memcpy(x, floats, sizeof x);
    for (int i = 0; i < FEATURES; i++) /* in the second batch: sums overflow */
        x[batches[0] * FEATURES + i] = 3e38f;
    CHECK(pn_net_train(twin, &data, NULL, batches[0], BATCH, &sgd, NULL) == PN_OK);
    data.x = x;
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &sgd, &stats), PN_ERR_NONFINITE,
            "the loss of step 2 is not finite");
    CHECK(stats.steps == 1 && stats.samples == batches[0] && isfinite(stats.loss));
    CHECK(hash(net) == hash(twin));
    REFUSED(pn_net_evaluate(net, &data, NULL, N, &stats), PN_ERR_NONFINITE, "the loss on this data is not finite");

    pn_tensor tensor;
    CHECK(pn_net_tensor(net, 1, &tensor) == PN_OK);
    tensor.data[4] = INFINITY;
    data = data_of(PN_FLOAT32);
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &sgd, &stats), PN_ERR_PARAMETER,
            "parameter 0.b holds inf at position 4");
    pn_net_free(net);
    pn_net_free(twin);
}

static void keeps_notes(void)
{
    pn_net *net = created(spec, 5);
    CHECK(pn_net_set_meta(net, "a", "1") == PN_OK && pn_net_set_meta(net, "b", "2") == PN_OK);
    CHECK(pn_net_set_meta(net, "a", "3") == PN_OK && pn_net_set_meta(net, "b", NULL) == PN_OK);
    CHECK(strcmp(pn_net_meta_key(net, 0), "a") == 0 && strcmp(pn_net_meta_value(net, 0), "3") == 0);
    CHECK(strcmp(pn_net_meta(net, "a"), "3") == 0 && !pn_net_meta(net, "b"));
    CHECK(!pn_net_meta_key(net, 1) && !pn_net_meta_value(net, -1));
    REFUSED(pn_net_set_meta(net, "pynet", "x"), PN_ERR_ARGUMENT, "is reserved");
    pn_net_free(net);
}

int main(void)
{
    uint32_t state = 1;
    for (int i = 0; i < N * FEATURES; i++) {
        bytes[i] = (uint8_t)(draw(&state) >> 16);
        floats[i] = (float)bytes[i] / 255.0f;
    }
    for (int i = 0; i < N; i++) {
        labels[i] = i * i % CLASSES;
        targets[i * CLASSES + labels[i]] = 1;
    }
    describes_itself();
    counts_threads();
    refuses_texts();
    refuses_samples();
    refuses_order_of_calls();
    gives_input_gradients();
    an_empty_batch();
    nothing_is_left_over();
    rounds_to_nearest();
    notices_what_is_not_finite();
    keeps_notes();
    printf("net: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
