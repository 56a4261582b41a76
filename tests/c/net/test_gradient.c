/* pn_net_gradient: the gradients of the parts of a batch add up to that of the batch, whatever its dropout, augmentation
   and threads; the gradient of a whole batch has the bits of backward; invalid parts are refused. Prints how many
   checks it made. */
#include "testing.h"

#include <math.h>

enum { SAMPLES = 220, PIXELS = 36, CLASSES = 3, PARTS = 4 };

static uint8_t x[SAMPLES * PIXELS];
static int32_t labels[SAMPLES], order[SAMPLES];
static float weights[SAMPLES];
static const char *const texts[] = {
    "input(36) dense(40) relu dropout(0.4) dense(9) tanh dense(3) softmax",
    "input(1,6,6) conv(5,3) relu maxpool(2) dropout(0.3) dense(3) softmax",
    "input(36) layernorm residual(dense(36) gelu dense(36)) dense(3) sigmoid loss(mse)",
};

static pn_data data_with(const pn_augment *augment)
{
    return (pn_data){.x = x, .dtype = PN_UINT8, .labels = labels, .weights = weights, .n = SAMPLES, .augment = augment};
}

static const float *block_of(pn_net *net, int64_t *n)
{
    float *block = NULL;
    CHECK(pn_net_gradient_block(net, &block, n) == PN_OK && block);
    return block;
}

static pn_status gradient_of_part(pn_net *net, const pn_data *data, int64_t n, int64_t first, int64_t rows,
                                  pn_stats *stats)
{
    const pn_part part = {.at = first, .n = n, .first = first};
    return pn_net_gradient(net, data, order, &part, 1, rows, stats);
}

/* The sum of the gradients of a batch's parts, which have different sizes; one is empty. Then all in one call. */
static void sum_of_parts(pn_net *net, const pn_data *data, int rows, double *sum, pn_stats *stats)
{
    int64_t n;
    const float *block = block_of(net, &n);
    float *tree = calloc((size_t)n, PARTS * sizeof *tree);
    pn_part parts[PARTS];
    pn_stats together = {0}, added[PARTS] = {{0}};
    CHECK(tree);
    for (int i = 0, first = 0; i < PARTS; i++) {
        const int end = i == PARTS - 1 ? rows : rows * i * i / 16;
        parts[i] = (pn_part){.at = first, .n = end - first, .first = first};
        CHECK(gradient_of_part(net, data, end - first, first, rows, stats) == PN_OK);
        CHECK(pn_net_gradient(net, data, order, &parts[i], 1, rows, &added[i]) == PN_OK);
        for (int64_t at = 0; at < n; at++)
            sum[at] += (double)(tree[i * n + at] = block[at]);
        first = end;
    }
    for (int half = PARTS / 2; half; half /= 2)
        for (int i = 0; i < half; i++) {
            added[i].loss += added[i + half].loss;
            for (int64_t at = 0; at < n; at++)
                tree[i * n + at] += tree[(i + half) * n + at];
        }
    for (int threads = 1; threads <= 3; threads++) {
        CHECK(pn_set_threads(threads) == PN_OK);
        together = (pn_stats){0};
        CHECK(pn_net_gradient(net, data, order, parts, PARTS, rows, &together) == PN_OK);
        CHECK(memcmp(block, tree, (size_t)n * sizeof *block) == 0);
        CHECK(memcmp(&together.loss, &added[0].loss, sizeof together.loss) == 0 && together.samples == rows);
    }
    free(tree);
}

static void parts_add_up(const char *text, const pn_augment *augment, int rows)
{
    pn_net *net = created(text, 3);
    const pn_data data = data_with(augment);
    int64_t n;
    pn_stats whole = {0}, parts = {0};
    const float *block = block_of(net, &n);
    double *sum = calloc((size_t)n, sizeof *sum), loss = 0, largest = 0;
    float *gradient = malloc((size_t)n * sizeof *gradient);
    CHECK(sum && gradient);
    pn_net_set_updates(net, 5);
    CHECK(pn_net_forward(net, &data, order, rows) == PN_OK && pn_net_loss(net, &data, order, rows, &loss) == PN_OK);
    CHECK(pn_net_backward(net) == PN_OK);
    memcpy(gradient, block, (size_t)n * sizeof *gradient);
    for (int threads = 1; threads <= 3; threads++) {
        CHECK(pn_set_threads(threads) == PN_OK);
        CHECK(gradient_of_part(net, &data, rows, 0, rows, &whole) == PN_OK);
        CHECK(memcmp(gradient, block, (size_t)n * sizeof *gradient) == 0);
    }
    CHECK(fabs(whole.loss / 3 / rows - loss) < 1e-9 && whole.samples == 3 * rows && whole.steps == 0);
    sum_of_parts(net, &data, rows, sum, &parts);
    CHECK(fabs(parts.loss - loss * rows) < 1e-9 * rows && parts.samples == rows && 3 * parts.correct == whole.correct);
    for (int64_t i = 0; i < n; i++)
        largest = fabs((double)gradient[i]) > largest ? fabs((double)gradient[i]) : largest;
    for (int64_t i = 0; i < n; i++)
        CHECK(fabs(sum[i] - (double)gradient[i]) < 1e-5 * largest);
    CHECK(largest > 0);
    free(sum);
    free(gradient);
    pn_net_free(net);
}

/* A step with the gradient of a whole batch is that of pn_net_train; another gradient can be written to the block. */
static void steps(void)
{
    pn_optim adam;
    CHECK(pn_optim_default(&adam, PN_ADAM) == PN_OK);
    pn_net *a = created(texts[0], 3), *b = created(texts[0], 3);
    const pn_data data = data_with(NULL);
    for (int i = 0; i < 3; i++) {
        CHECK(pn_net_train(a, &data, order, 100, 100, &adam, NULL) == PN_OK);
        CHECK(gradient_of_part(b, &data, 100, 0, 100, NULL) == PN_OK && pn_net_update(b, &adam) == PN_OK);
        CHECK(hash(a) == hash(b));
    }
    float *block = NULL;
    int64_t n = 0;
    CHECK(gradient_of_part(b, &data, 50, 0, 100, NULL) == PN_OK && pn_net_gradient_block(b, &block, &n) == PN_OK);
    memset(block, 0, (size_t)n * sizeof *block);
    pn_optim sgd;
    CHECK(pn_optim_default(&sgd, PN_SGD) == PN_OK && pn_net_update(b, &sgd) == PN_OK && hash(a) == hash(b));
    pn_net_free(a);
    pn_net_free(b);
}

static void refusals(void)
{
    pn_net *net = created(texts[0], 0), *norm = created("input(36) dense(3) batchnorm softmax", 0);
    const pn_data data = data_with(NULL);
    pn_optim sgd;
    float *block, y[9 * 40];
    int64_t n;
    double loss;
    CHECK(pn_optim_default(&sgd, PN_SGD) == PN_OK);
    const pn_part part = {.n = 8}, negative = {.at = -1, .n = 8}, far = {.at = INT64_MAX, .n = 8};
    REFUSED(gradient_of_part(net, &data, 8, 8, 15, NULL), PN_ERR_ARGUMENT,
            "part 0 has 8 samples from 8 as rows from 8 of a");
    REFUSED(gradient_of_part(net, &data, 8, -1, 15, NULL), PN_ERR_ARGUMENT, "rows from -1 of a batch of 15");
    REFUSED(gradient_of_part(net, &data, 0, 0, 0, NULL), PN_ERR_ARGUMENT, "batch_rows is 0");
    REFUSED(gradient_of_part(net, &data, 8, 0, INT64_MAX, NULL), PN_ERR_ARGUMENT, "batch_rows is 9223372036854775807");
    REFUSED(gradient_of_part(net, &data, 8, INT64_MAX, 9, NULL), PN_ERR_ARGUMENT, "of a batch of 9");
    REFUSED(gradient_of_part(net, &data, -1, 0, 9, NULL), PN_ERR_ARGUMENT, "part 0 has -1 samples");
    REFUSED(gradient_of_part(net, NULL, 8, 0, 9, NULL), PN_ERR_ARGUMENT, "data is NULL");
    REFUSED(pn_net_gradient(net, &data, order, NULL, 1, 9, NULL), PN_ERR_ARGUMENT, "part is NULL");
    REFUSED(pn_net_gradient(net, &data, order, &part, 3, 9, NULL), PN_ERR_ARGUMENT, "parts is 3");
    REFUSED(pn_net_gradient(net, &data, order, &part, 0, 9, NULL), PN_ERR_ARGUMENT, "parts is 0");
    REFUSED(pn_net_gradient(net, &data, order, &part, 1 << 20, 9, NULL), PN_ERR_ARGUMENT, "parts is 1048576");
    REFUSED(pn_net_gradient(net, &data, order, &negative, 1, 9, NULL), PN_ERR_ARGUMENT, "8 samples from -1");
    REFUSED(pn_net_gradient(net, &data, order, &far, 1, 9, NULL), PN_ERR_ARGUMENT,
            "8 samples from 9223372036854775807");
    REFUSED(pn_net_gradient(net, &data, NULL, &(pn_part){.at = SAMPLES - 3, .n = 8}, 1, 9, NULL), PN_ERR_ARGUMENT,
            "the data has 220");
    REFUSED(pn_net_gradient_block(net, NULL, &n), PN_ERR_ARGUMENT, "block is NULL");
    REFUSED(pn_net_gradient_block(net, &block, NULL), PN_ERR_ARGUMENT, "n is NULL");
    REFUSED(pn_net_update(net, &sgd), PN_ERR_STATE, "update comes after");
    CHECK(gradient_of_part(norm, &data, 8, 0, 9, NULL) == PN_ERR_ARGUMENT);
    CHECK(strstr(pn_net_error(norm), "layer 1, batchnorm"));
    CHECK(gradient_of_part(norm, &data, 9, 0, 9, NULL) == PN_OK);

    CHECK(gradient_of_part(net, &data, 9, 0, 9, NULL) == PN_OK); /* its activations are not those of forward */
    REFUSED(pn_net_backward(net), PN_ERR_STATE, "backward comes after");
    REFUSED(pn_net_loss(net, &data, order, 9, &loss), PN_ERR_STATE, "loss comes after");
    REFUSED(pn_net_activation(net, 0, 9, y), PN_ERR_STATE, "");

    pn_tensor W;
    CHECK(pn_net_tensor(net, 0, &W) == PN_OK && W.grad);
    W.data[3] = NAN;
    REFUSED(gradient_of_part(net, &data, 9, 0, 9, NULL), PN_ERR_PARAMETER, "parameter 0.W");
    W.data[3] = 0;
    labels[order[2]] = 7;
    REFUSED(gradient_of_part(net, &data, 9, 0, 9, NULL), PN_ERR_ARGUMENT, "is 7");
    labels[order[2]] = 0;

    /* without an order */
    const pn_part past[] = {{.at = SAMPLES - 4, .n = 8}, {.n = 8}}, last[] = {{.at = SAMPLES - 8, .n = 8}, {.n = 8}};
    REFUSED(pn_net_gradient(net, &data, NULL, past, 2, 9, NULL), PN_ERR_ARGUMENT, "224 samples asked for");
    CHECK(pn_net_gradient(net, &data, NULL, last, 2, 9, NULL) == PN_OK);
    labels[SAMPLES - 1] = 7;
    REFUSED(pn_net_gradient(net, &data, NULL, last, 2, 9, NULL), PN_ERR_ARGUMENT, "is 7");
    labels[SAMPLES - 1] = 0;
    pn_net_free(net);
    pn_net_free(norm);
}

/* A loss that is not finite: no gradient remains that a step could use. */
static void nonfinite(void)
{
    pn_net *net = created("input(36) dense(3) loss(mse)", 0);
    pn_data data = data_with(NULL);
    float targets[9 * CLASSES] = {0};
    pn_stats stats = {0};
    pn_optim sgd;
    CHECK(pn_optim_default(&sgd, PN_SGD) == PN_OK);
    targets[4] = 3e38f; /* finite, not its square */
    for (int i = 0; i < SAMPLES; i++)
        order[i] = i;
    data.labels = NULL;
    data.targets = targets;
    data.n = 9;
    CHECK(gradient_of_part(net, &data, 1, 0, 9, &stats) == PN_OK && stats.samples == 1);
    REFUSED(gradient_of_part(net, &data, 9, 0, 9, &stats), PN_ERR_NONFINITE, "the loss of a row of this batch");
    CHECK(stats.samples == 1);
    REFUSED(pn_net_update(net, &sgd), PN_ERR_STATE, "update comes after");
    pn_net_free(net);
}

int main(void)
{
    uint32_t state = 1;
    pn_augment augment;
    pn_augment_default(&augment, 6, 6);
    augment.elastic = 1;
    for (int i = 0; i < SAMPLES * PIXELS; i++)
        x[i] = (uint8_t)(draw(&state) % 256);
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = (int32_t)(draw(&state) % CLASSES);
        weights[i] = 0.5f + (float)(draw(&state) % 4);
    }
    pn_shuffle(order, SAMPLES, 1, 0);
    for (int t = 0; t < 3; t++) {
        parts_add_up(texts[t], NULL, 30);
        parts_add_up(texts[t], &augment, SAMPLES); /* more than are gathered at once */
    }
    steps();
    refusals();
    nonfinite();
    printf("gradient: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
