/* Invalid calls: NULL for every pointer, sizes that overflow, views of the state of another
   optimizer. Every call returns a status and a message. Prints how many checks it made. */
#define _GNU_SOURCE
#include "testing.h"

#include <math.h>

enum { ROWS = 5, IN = 4, CLASSES = 3 };

static float x[ROWS * IN], y[ROWS * CLASSES];
static int32_t labels[ROWS], order[] = {0, 1, 2, 3, 4};
static const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = ROWS};
static const pn_data no_x = {.dtype = PN_FLOAT32, .labels = labels, .n = ROWS};
static const pn_optim sgd = {.kind = PN_SGD, .learning_rate = 0.1};

static void missing_inputs(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 0);
    pn_stats stats = {0};
    double loss;
    float dx[ROWS * IN];
    const uint64_t before = hash(net);
    CHECK(pn_net_forward(net, &data, order, ROWS) == PN_OK);
    CHECK(pn_net_loss(net, &no_x, order, ROWS, &loss) == PN_OK); /* it reads labels only */
    REFUSED(pn_net_train(net, &no_x, order, ROWS, ROWS, &sgd, NULL), PN_ERR_ARGUMENT, "x of the data is NULL");
    REFUSED(pn_net_evaluate(net, &no_x, order, ROWS, &stats), PN_ERR_ARGUMENT, "x of the data is NULL");
    REFUSED(pn_net_predict(net, &no_x, ROWS, 1, y), PN_ERR_ARGUMENT, "x of the data is NULL");
    REFUSED(pn_net_input_gradient(net, &no_x, ROWS, 0, NULL, dx), PN_ERR_ARGUMENT, "x of the data is NULL");
    REFUSED(pn_net_forward(net, &no_x, order, ROWS), PN_ERR_ARGUMENT, "x of the data is NULL");
    CHECK(hash(net) == before);
    pn_net_free(net);
}

/* Functions without a status do nothing, fill in zeros or return NULL. */
static void null_without_status(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 0);
    pn_net_info info;
    pn_state_info state;
    memset(&info, 1, sizeof info);
    memset(&state, 1, sizeof state);
    pn_net_describe(NULL, &info);
    pn_net_state(NULL, &state);
    CHECK(!info.layers && !info.tensors && !info.parameters && !info.in_rank && !info.in_shape[3] &&
          !info.out_features);
    CHECK(!state.kind && !state.steps && !state.tensors);
    pn_net_describe(net, NULL);
    pn_net_describe(NULL, NULL);
    pn_net_state(net, NULL);
    pn_net_state(NULL, NULL);
    pn_net_set_updates(NULL, 1);
    pn_augment_default(NULL, 8, 8);
    pn_checkpoint_free(NULL);
    CHECK(pn_net_set_meta(net, "a", "1") == PN_OK);
    CHECK(!pn_net_spec(NULL) && !pn_net_meta(NULL, "a") && !pn_net_meta(net, NULL) && !pn_net_meta(NULL, NULL));
    CHECK(!pn_net_meta_key(NULL, 0) && !pn_net_meta_value(NULL, 0) && pn_net_error(NULL)[0]);
    CHECK(pn_optim_default(NULL, PN_ADAM) == PN_ERR_ARGUMENT && pn_set_allocator(NULL) == PN_ERR_ARGUMENT);
    pn_net_free(net);
}

static void messages(void)
{
    pn_net *net = created("input(4) dense(1) sigmoid loss(bce)", 0);
    const int32_t ones[ROWS] = {1, 1, 1, 1, 1};
    const pn_data one = {.x = x, .dtype = PN_FLOAT32, .labels = ones, .n = ROWS};
    const pn_optim large = {.kind = PN_SGD, .learning_rate = 1e300};
    REFUSED(pn_net_train(net, &one, order, ROWS, ROWS, &sgd, NULL), PN_ERR_ARGUMENT,
            "label of sample 0 is 1; this network takes 0 to 0: with one output, give targets instead");
    const pn_data zeros = {.x = x, .dtype = PN_FLOAT32, .labels = (int32_t[ROWS]){0}, .n = ROWS};
    REFUSED(pn_net_train(net, &zeros, order, ROWS, ROWS, &large, NULL), PN_ERR_ARGUMENT,
            "learning rate is 1e+300; accepted: a finite number above 0, 1.4e-45 to 3.4e38 (float32)");
    pn_net_free(net);
}

/* Targets that are not finite are named as inputs are; nothing is trained. */
static void targets_that_are_not_finite(void)
{
    static const char *const losses[] = {"", " loss(mae)", " loss(huber)", " rescale"};
    for (int i = 0; i < 4; i++) {
        char text[64];
        snprintf(text, sizeof text, "input(4) dense(3)%s", losses[i]);
        pn_net *net = created(text, 0);
        float targets[ROWS * CLASSES] = {0}, dx[ROWS * IN];
        const pn_data bad = {.x = x, .dtype = PN_FLOAT32, .targets = targets, .n = ROWS};
        const char *const message = "targets hold inf in sample 3, output 1; accepted: finite numbers";
        pn_stats stats = {0};
        double loss;
        targets[3 * CLASSES + 1] = INFINITY;
        targets[4 * CLASSES] = NAN;
        REFUSED(pn_net_train(net, &bad, NULL, ROWS, 2, &sgd, &stats), PN_ERR_ARGUMENT, message);
        CHECK(stats.steps == 1); /* samples 0 and 1 */
        REFUSED(pn_net_evaluate(net, &bad, NULL, ROWS, &stats), PN_ERR_ARGUMENT, message);
        REFUSED(pn_net_input_gradient(net, &bad, ROWS, 0, NULL, dx), PN_ERR_ARGUMENT, message);
        CHECK(pn_net_forward(net, &bad, NULL, ROWS) == PN_OK);
        REFUSED(pn_net_loss(net, &bad, NULL, ROWS, &loss), PN_ERR_ARGUMENT, message);
        if (i == 3) {
            pn_tensor scale;
            CHECK(pn_net_tensor(net, 3, &scale) == PN_OK);
            scale.data[1] = 1e-30f;
            targets[3 * CLASSES + 1] = 1e30f;
            REFUSED(pn_net_loss(net, &bad, NULL, ROWS, &loss), PN_ERR_ARGUMENT,
                    "a target of sample 3, standardised, is beyond float32");
        }
        pn_net_free(net);
    }
}

/* NaN is never a result. */
static void results_that_are_not_numbers(void)
{
    pn_net *net = created("input(4) dense(3)", 0);
    float in[ROWS * IN] = {0}, dx[ROWS * IN], dy[ROWS * CLASSES] = {0};
    const pn_data one = {.x = in, .dtype = PN_FLOAT32, .labels = labels, .n = ROWS};
    pn_tensor W;
    CHECK(pn_net_tensor(net, 0, &W) == PN_OK);
    const float good = W.data[4];
    for (int i = 0; i < IN; i++)
        in[i] = 1; /* a zero contributes nothing */
    W.data[4] = NAN;
    REFUSED(pn_net_predict(net, &one, ROWS, 1, y), PN_ERR_PARAMETER, "parameter 0.W holds nan at position 4");
    CHECK(pn_net_infer(net, &one, NULL, ROWS) == PN_OK); /* for the search of the reason */
    CHECK(pn_net_activation(net, 0, ROWS, y) == PN_OK && isnan(y[1]));
    dy[1] = 1;
    REFUSED(pn_net_input_gradient(net, &one, ROWS, 0, dy, dx), PN_ERR_PARAMETER, "parameter 0.W holds nan");
    W.data[4] = good;
    dy[2] = INFINITY;
    REFUSED(pn_net_input_gradient(net, &one, ROWS, 0, dy, dx), PN_ERR_ARGUMENT, "dy holds inf at position 2");
    W.data[0] = W.data[1] = 3e38f, W.data[3] = -3e38f;
    for (int i = 2 * IN; i < 3 * IN; i++)
        in[i] = 10;
    CHECK(pn_net_predict(net, &one, 2, 1, y) == PN_OK); /* zeros */
    CHECK(pn_net_predict(net, &one, ROWS, 1, y) == PN_OK && isinf(y[2 * CLASSES + 1]));
    pn_net_free(net);
    net = created("input(4) dense(3) dense(3)", 0);
    for (int t = 0; t < 3; t += 2) {
        CHECK(pn_net_tensor(net, t, &W) == PN_OK);
        for (int i = 0; i < W.size; i++)
            W.data[i] = t == 2 || i % 2 ? 3e38f : -3e38f;
    }
    REFUSED(pn_net_predict(net, &one, ROWS, 1, y), PN_ERR_NONFINITE, " of sample 2 is NaN: sums are beyond float32");
    pn_net_free(net);
}

static void null_pointers(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 0), *other = net;
    pn_stats stats = {0};
    char err[PN_ERRLEN];
    CHECK(pn_net_new(&other, NULL, 0, err) == PN_ERR_ARGUMENT && !other && strstr(err, "text"));
    CHECK(pn_net_new(&other, "input(4) dense(3", 0, NULL) == PN_ERR_SPEC && !other);
    CHECK(pn_net_new(&other, "input(4) dens(3)", 0, NULL) == PN_ERR_SPEC && !other);
    CHECK(pn_net_load_memory(&other, NULL, 8, err) == PN_ERR_ARGUMENT && !other && strstr(err, "NULL"));
    REFUSED(pn_net_save_memory(net, y, sizeof y, NULL), PN_ERR_ARGUMENT, "size is NULL");
    REFUSED(pn_net_set_meta(net, NULL, "a"), PN_ERR_ARGUMENT, "key");
    REFUSED(pn_net_train(net, NULL, order, ROWS, ROWS, &sgd, NULL), PN_ERR_ARGUMENT, "data is NULL");
    REFUSED(pn_net_train(net, &data, order, ROWS, ROWS, NULL, NULL), PN_ERR_ARGUMENT, "opt is NULL");
    REFUSED(pn_net_evaluate(net, &data, order, ROWS, NULL), PN_ERR_ARGUMENT, "stats is NULL");
    REFUSED(pn_net_evaluate(net, NULL, order, ROWS, &stats), PN_ERR_ARGUMENT, "data is NULL");
    REFUSED(pn_net_predict(net, &data, ROWS, 1, NULL), PN_ERR_ARGUMENT, "y is NULL");
    REFUSED(pn_net_input_gradient(net, &data, ROWS, 0, NULL, NULL), PN_ERR_ARGUMENT, "dx is NULL");
    CHECK(pn_net_forward(net, &data, order, ROWS) == PN_OK);
    REFUSED(pn_net_activation(net, 0, ROWS, NULL), PN_ERR_ARGUMENT, "y is NULL");
    REFUSED(pn_net_loss(net, &data, order, ROWS, NULL), PN_ERR_ARGUMENT, "loss is NULL");
    pn_net_free(net);
}

static void no_network(void)
{
    const pn_optim opt = {.kind = PN_SGD, .learning_rate = 0.1};
    pn_layer_info layer;
    pn_tensor tensor;
    pn_stats stats = {0};
    char err[PN_ERRLEN] = "";
    double mean;
    size_t size;
    CHECK(pn_net_new(NULL, "input(4) dense(3)", 0, err) == PN_ERR_ARGUMENT && strstr(err, "is NULL"));
    CHECK(pn_net_load_memory(NULL, y, sizeof y, err) == PN_ERR_ARGUMENT && strstr(err, "is NULL"));
    const pn_status statuses[] = {
        pn_net_layer(NULL, 0, &layer),
        pn_net_tensor(NULL, 0, &tensor),
        pn_net_train(NULL, &data, order, ROWS, ROWS, &opt, NULL),
        pn_net_forward(NULL, &data, order, ROWS),
        pn_net_infer(NULL, &data, order, ROWS),
        pn_net_loss(NULL, &data, order, ROWS, &mean),
        pn_net_backward(NULL),
        pn_net_update(NULL, &opt),
        pn_net_adapt(NULL, &data, order, ROWS),
        pn_net_state_tensor(NULL, 0, &tensor),
        pn_net_set_state(NULL, PN_SGD, 0),
        pn_net_predict(NULL, &data, ROWS, 1, y),
        pn_net_evaluate(NULL, &data, order, ROWS, &stats),
        pn_net_activation(NULL, 0, ROWS, y),
        pn_net_input_gradient(NULL, &data, ROWS, 0, NULL, y),
        pn_net_reserve(NULL, ROWS, &opt),
        pn_net_memory(NULL, ROWS, &opt, &size),
        pn_net_set_meta(NULL, "a", "b"),
        pn_net_save_memory(NULL, y, sizeof y, &size),
    };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        CHECK(statuses[i] == PN_ERR_ARGUMENT);
    SAME_TEXT(pn_net_error(NULL), "the network is NULL");
    pn_net_free(NULL);
    pn_net *net = created("input(4) dense(3) softmax", 0);
    REFUSED(pn_net_layer(net, 0, NULL), PN_ERR_ARGUMENT, "info is NULL");
    REFUSED(pn_net_tensor(net, 0, NULL), PN_ERR_ARGUMENT, "tensor is NULL");
    pn_net_free(net);
}

static void sizes(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 0);
    pn_data vast = data;
    pn_augment options;
    char err[PN_ERRLEN];
    float out[64];
    REFUSED(pn_net_train(net, &data, order, INT64_MAX, 5, &sgd, NULL), PN_ERR_ARGUMENT, "accepted: at most");
    CHECK(pn_net_train(net, &data, order, ROWS, INT64_MAX, &sgd, NULL) == PN_OK);
    vast.n = INT64_MAX;
    REFUSED(pn_net_predict(net, &vast, ROWS, 1, y), PN_ERR_ARGUMENT, "accepted: at most");
    REFUSED(pn_net_set_state(net, PN_ADAM, INT64_MAX), PN_ERR_ARGUMENT, "steps is");
    pn_augment_default(&options, 4, 4);
    CHECK(pn_augmented(out, x, PN_FLOAT32, -1, 1, &options, 0, 0, err) == PN_ERR_ARGUMENT);
    CHECK(pn_augmented(out, x, PN_FLOAT32, INT64_MAX, 1, &options, 0, 0, err) == PN_ERR_ARGUMENT);
    CHECK(pn_augmented(out, x, (pn_dtype)9, 1, 1, &options, 0, 0, err) == PN_ERR_ARGUMENT && strstr(err, "dtype is 9"));
    CHECK(pn_augmented(out, x, PN_FLOAT32, 1, 1, NULL, 0, 0, NULL) == PN_ERR_ARGUMENT);
    CHECK(pn_augmented(NULL, x, PN_FLOAT32, 1, 1, &options, 0, 0, NULL) == PN_ERR_ARGUMENT);
    pn_net_free(net);
}

/* A note that could not be saved cannot be set. */
static void notes(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 0);
    const size_t long_text = (size_t)65 << 20;
    char *vast = malloc(long_text + 1);
    REFUSED(pn_net_set_meta(net, "a\xff", "b"), PN_ERR_ARGUMENT, "UTF-8");
    REFUSED(pn_net_set_meta(net, "a", "\xed\xa0\x80"), PN_ERR_ARGUMENT, "UTF-8");
    CHECK(vast);
    memset(vast, 'a', long_text);
    vast[long_text] = 0;
    REFUSED(pn_net_set_meta(net, "a", vast), PN_ERR_ARGUMENT, "accepted: at most");
    free(vast);
    pn_net_free(net);
}

/* Every call that reads inputs names one that is not finite, and changes nothing. */
static void infinite_inputs(void)
{
    static const char *const texts[] = {"input(4) dense(6) tanh dense(3) softmax",
                                        "input(1,2,2) conv(2,2) relu flatten dense(3) softmax",
                                        "input(2,2,1) conv(2,1) flatten dense(3) softmax"};
    static const float values[] = {INFINITY, -INFINITY, NAN};
    for (int k = 0; k < 9; k++) {
        pn_net *net = created(texts[k / 3], 1);
        pn_stats stats = {0};
        float dx[ROWS * IN];
        for (int i = 0; i < ROWS * IN; i++)
            x[i] = i % 3 ? 0 : 0.5f;
        x[3 * IN + 2] = values[k % 3];
        const uint64_t before = hash(net);
        const char *const message = "x holds ", *const place = " in sample 3, feature 2; accepted: finite numbers";
        REFUSED(pn_net_train(net, &data, order, ROWS, 2, &sgd, NULL), PN_ERR_ARGUMENT, message);
        CHECK(strstr(pn_net_error(net), place));
        CHECK(pn_net_train(net, &data, order, ROWS, ROWS, &sgd, NULL) == PN_ERR_ARGUMENT);
        REFUSED(pn_net_evaluate(net, &data, NULL, ROWS, &stats), PN_ERR_ARGUMENT, place);
        REFUSED(pn_net_predict(net, &data, ROWS, 1, y), PN_ERR_ARGUMENT, place);
        REFUSED(pn_net_forward(net, &data, NULL, ROWS), PN_ERR_ARGUMENT, place);
        REFUSED(pn_net_infer(net, &data, NULL, ROWS), PN_ERR_ARGUMENT, place);
        REFUSED(pn_net_input_gradient(net, &data, ROWS, 0, NULL, dx), PN_ERR_ARGUMENT, place);
        CHECK(pn_net_predict(net, &data, 3, 1, y) == PN_OK);
        pn_net_free(net);
        net = created(texts[k / 3], 1);
        CHECK(hash(net) == before);
        REFUSED(pn_net_train(net, &data, order, ROWS, ROWS, &sgd, NULL), PN_ERR_ARGUMENT, message);
        CHECK(hash(net) == before); /* the step was not taken */
        pn_net_free(net);
    }
    memset(x, 0, sizeof x);
}

/* A finite loss with an infinite gradient: the largest float as an input, times a weight of zero. */
static void infinite_gradient(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 1);
    float weights[ROWS];
    pn_data weighted = data;
    pn_tensor W;
    double loss;
    weighted.weights = weights;
    CHECK(pn_net_tensor(net, 0, &W) == PN_OK);
    memset(W.data + 9, 0, 3 * sizeof *W.data);
    for (int i = 0; i < ROWS; i++) {
        weights[i] = 100;
        x[i * IN + 3] = 3e38f;
    }
    const uint64_t before = hash(net);
    CHECK(pn_net_forward(net, &weighted, order, ROWS) == PN_OK);
    CHECK(pn_net_loss(net, &weighted, order, ROWS, &loss) == PN_OK);
    CHECK(pn_net_backward(net) == PN_OK);
    REFUSED(pn_net_update(net, &sgd), PN_ERR_NONFINITE, "the gradient of 0.W");
    CHECK(hash(net) == before);
    memset(x, 0, sizeof x);
    pn_net_free(net);
}

/* The state tensors of momentum can still be read after a step of Adam. */
static void state_under_a_view(void)
{
    pn_net *net = created("input(4) dense(3) softmax", 0);
    pn_optim opt;
    pn_tensor velocity;
    CHECK(pn_optim_default(&opt, PN_MOMENTUM) == PN_OK);
    CHECK(pn_net_train(net, &data, order, ROWS, ROWS, &opt, NULL) == PN_OK);
    CHECK(pn_net_state_tensor(net, 0, &velocity) == PN_OK);
    CHECK(pn_optim_default(&opt, PN_ADAM) == PN_OK);
    CHECK(pn_net_train(net, &data, order, ROWS, ROWS, &opt, NULL) == PN_OK);
    float sum = 0;
    for (int64_t i = 0; i < velocity.size; i++)
        sum += velocity.data[i];
    CHECK(isfinite(sum));
    pn_net_free(net);
}

int main(void)
{
    missing_inputs();
    null_pointers();
    null_without_status();
    messages();
    targets_that_are_not_finite();
    results_that_are_not_numbers();
    no_network();
    sizes();
    notes();
    infinite_inputs();
    infinite_gradient();
    state_under_a_view();
    printf("calls: %d checks, %d failures\n", checks, failures);
    return failures > 0;
}
