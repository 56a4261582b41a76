/* Small networks with every kind of layer: training, predictions, activations and gradients of the inputs have the same
   bits for every number of threads, and when the four steps are called one by one. Sizes are odd, so that the parts of
   the threads differ in size. Prints how many checks it made. */
#include "testing.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { N = 83, FEW = 19, FEATURES = 126, CLASSES = 7 };

static const char *const specs[] = {
    "input(126) dense(130) batchnorm relu dense(50) layernorm gelu dropout(0.3) dense(7) softmax",
    "input(126) dense(300) relu dense(290) leaky_relu(0.1) batchnorm dense(7) softmax",
    "input(126) batchnorm dense(290,bias=no) tanh dense(150) relu dense(7) sigmoid loss(mse)",
    "input(126) residual(dense(126) relu dense(126)) relu residual(dense(300) tanh) dropout(0.5) dense(7) softmax",
    "input(126) dense(131) residual(dense(260) relu residual(dense(260) batchnorm) dense(131)) relu dense(7) softmax",
    "input(2,9,7) conv(6,3,pad=1) batchnorm relu maxpool(2) conv(17,2) leaky_relu avgpool(2,1) flatten dropout(0.2) "
    "dense(31) sigmoid dense(7) softmax",
    "input(2,9,7) conv(9,3,pad=same,stride=2) layernorm gelu residual(conv(9,3,pad=1) batchnorm relu conv(9,3,pad=1)) "
    "relu residual(conv(12,3,pad=1,stride=2) relu) globalavgpool dense(7) softmax",
    "input(2,9,7) layernorm maxpool(3,2) relu conv(33,2,bias=no) dropout(0.4) batchnorm conv(20,2) relu dense(7)",
    "input(2,9,7) residual(conv(5,3,pad=1) relu) flatten dense(280) relu dense(7) loss(mse)",
    "input(126) standardize dense(300) relu dense(7) rescale loss(huber,delta=0.5)",
    "input(2,9,7) standardize conv(9,3,pad=1) relu dense(7) rescale loss(mae)",
};
enum { SPECS = sizeof specs / sizeof *specs };

static const int batch_sizes[] = {4, 42, N}; /* many steps; two; one, gathered in pieces */
static const pn_optim optimizers[] = {
    {.kind = PN_SGD, .learning_rate = 0.05},
    {.kind = PN_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.01},
    {.kind = PN_NESTEROV, .learning_rate = 0.01, .momentum = 0.9, .clip_norm = 0.5},
};
enum { BATCH_SIZES = 3, WIDEST = 800 };

static uint8_t bytes[N * FEATURES]; /* mostly zeros */
static float floats[N * FEATURES];
static float targets[N * CLASSES];
static int32_t labels[N], order[N];

/* Labels, or for a network that gives quantities targets. */
static pn_data data_of(pn_dtype dtype, bool quantities)
{
    return (pn_data){
        .x = dtype == PN_UINT8 ? (const void *)bytes : floats,
        .dtype = dtype,
        .labels = quantities ? NULL : labels,
        .targets = quantities ? targets : NULL,
        .n = N,
    };
}

static uint64_t hash_numbers(uint64_t h, const float *x, size_t n)
{
    size_t finite = 0;
    for (size_t i = 0; i < n; i++)
        finite += isfinite(x[i]) != 0;
    CHECK(finite == n);
    return hash_on(h, x, n * sizeof *x);
}

/* Predictions, in chunks that share slots of work memory, have the bits of the last layer in pn_net_infer, which keeps
   the outputs of all layers. */
static void same_in_chunks(pn_net *net, const pn_data *data)
{
    static float y[N * CLASSES], kept[N * CLASSES];
    pn_net_info info;
    pn_net_describe(net, &info);
    for (int n = N; n > 0; n -= 41) {
        CHECK(pn_net_predict(net, data, n, 1, y) == PN_OK && pn_net_infer(net, data, NULL, n) == PN_OK);
        CHECK(pn_net_activation(net, info.layers - 1, n, kept) == PN_OK);
        CHECK(memcmp(y, kept, (size_t)n * CLASSES * sizeof *y) == 0);
    }
}

/* The hash of predictions and evaluation. */
static uint64_t inference_results(pn_net *net, const pn_data *data)
{
    static float y[N * CLASSES];
    pn_stats stats = {0};
    CHECK(pn_net_evaluate(net, data, order, N, &stats) == PN_OK && stats.samples == N && stats.loss > 0);
    CHECK(pn_net_predict(net, data, N, 0.7f, y) == PN_OK);
    same_in_chunks(net, data);
    return hash_on(hash_numbers(no_bytes, y, N * CLASSES), &stats.loss, sizeof stats.loss);
}

/* The hash of the gradients of the inputs: of the loss, and of the output of each layer. */
static uint64_t input_gradients(pn_net *net, const pn_data *data)
{
    static float dx[FEW * FEATURES], dy[FEW * WIDEST];
    pn_net_info info;
    pn_net_describe(net, &info);
    for (int i = 0; i < FEW * WIDEST; i++)
        dy[i] = (float)(i % 13 - 6);
    CHECK(pn_net_input_gradient(net, data, FEW, -1, NULL, dx) == PN_OK);
    uint64_t h = hash_numbers(no_bytes, dx, FEW * FEATURES);
    for (int i = 0; i < info.layers; i++) {
        memset(dx, 0, sizeof dx);
        CHECK(pn_net_input_gradient(net, data, FEW, i, dy, dx) == PN_OK);
        h = hash_numbers(h, dx, FEW * FEATURES);
    }
    return h;
}

/* The hash of the outputs of all layers, in training and in inference mode. */
static uint64_t activations(pn_net *net, const pn_data *data)
{
    static float y[FEW * WIDEST];
    uint64_t h = no_bytes;
    pn_net_info info;
    pn_net_describe(net, &info);
    for (int training = 0; training < 2; training++) {
        CHECK((training ? pn_net_forward : pn_net_infer)(net, data, order, FEW) == PN_OK);
        for (int i = 0; i < info.layers; i++) {
            pn_layer_info layer;
            CHECK(pn_net_layer(net, i, &layer) == PN_OK && pn_net_activation(net, i, FEW, y) == PN_OK);
            size_t size = FEW;
            for (int axis = 0; axis < layer.out_rank; axis++)
                size *= (size_t)layer.out_shape[axis];
            h = hash_numbers(h, y, size);
        }
    }
    return h;
}

static uint64_t results_after_loading(pn_net *net, const pn_data *data)
{
    pn_net *again = saved_and_loaded(net);
    CHECK(hash(again) == hash(net));
    const uint64_t h = inference_results(again, data);
    pn_net_free(again);
    return h;
}

/* Step by step, in the batches that pn_net_train makes. */
static void train_by_hand(pn_net *net, const pn_data *data, int batch, const pn_optim *opt)
{
    const int batches = (N + batch - 1) / batch;
    for (int i = 0, at = 0; i < batches; i++) {
        const int n = N / batches + (i < N % batches);
        double loss;
        CHECK(pn_net_forward(net, data, order + at, n) == PN_OK);
        CHECK(pn_net_loss(net, data, order + at, n, &loss) == PN_OK && loss > 0);
        CHECK(pn_net_backward(net) == PN_OK && pn_net_update(net, opt) == PN_OK);
        at += n;
    }
}

/* The hash of all results of a network. Predictions come first, with the work memory of a new network. */
static uint64_t results(const char *spec, pn_dtype dtype, int batch, const pn_optim *opt)
{
    const bool scales = strstr(spec, "rescale") != NULL;
    const pn_data data = data_of(dtype, scales);
    pn_net *net = created(spec, 5), *twin = created(spec, 5);
    if (scales)
        CHECK(pn_net_adapt(net, &data, NULL, N) == PN_OK && pn_net_adapt(twin, &data, NULL, N) == PN_OK);
    pn_shuffle(order, N, 1, 2);
    uint64_t h = inference_results(net, &data);
    for (int epoch = 0; epoch < 2; epoch++) {
        pn_stats stats = {0};
        pn_shuffle(order, N, 1, (uint64_t)epoch);
        CHECK(pn_net_train(net, &data, order, N, batch, opt, &stats) == PN_OK && stats.samples == N);
        h = hash_on(h, &stats.loss, sizeof stats.loss);
        train_by_hand(twin, &data, batch, opt);
    }
    CHECK(hash(net) == hash(twin));
    const uint64_t expected = inference_results(net, &data);
    CHECK(inference_results(twin, &data) == expected);
    CHECK(results_after_loading(net, &data) == expected);
    const uint64_t parts[] = {h, hash(net), expected, activations(net, &data), input_gradients(net, &data)};
    /* with memory for the gradients of the inputs */
    CHECK(pn_net_train(net, &data, NULL, N, batch, opt, NULL) == PN_OK);
    CHECK(pn_net_train(twin, &data, NULL, N, batch, opt, NULL) == PN_OK && hash(net) == hash(twin));
    pn_net_free(net);
    pn_net_free(twin);
    return hash_on(no_bytes, parts, sizeof parts);
}

static void same_bits(void)
{
    for (int s = 0; s < SPECS; s++)
        for (int dtype = PN_UINT8; dtype <= PN_FLOAT32; dtype++) {
            const int b = (s + dtype) % BATCH_SIZES;
            const pn_optim *opt = &optimizers[(s / BATCH_SIZES + s + dtype) % BATCH_SIZES];
            CHECK(pn_set_threads(1) == PN_OK);
            const uint64_t expected = results(specs[s], (pn_dtype)dtype, batch_sizes[b], opt);
            for (int threads = 2; threads <= 3; threads++) {
                const int before = failures;
                CHECK(pn_set_threads(threads) == PN_OK);
                CHECK(results(specs[s], (pn_dtype)dtype, batch_sizes[b], opt) == expected);
                if (failures > before)
                    printf("%s, dtype %d, batch %d, %d threads\n", specs[s], dtype, batch_sizes[b], threads);
            }
        }
}

int main(void)
{
    uint32_t state = 1;
    for (int i = 0; i < N * FEATURES; i++) {
        const uint32_t number = draw(&state);
        bytes[i] = number % 4 ? 0 : (uint8_t)(number >> 16);
        floats[i] = (float)draw(&state) / 8388608.0f - 1;
    }
    for (int i = 0; i < N; i++)
        labels[i] = i * i % CLASSES;
    for (int i = 0; i < N * CLASSES; i++)
        targets[i] = 1000 + (float)(i % 50);
    same_bits();
    printf("layers: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
