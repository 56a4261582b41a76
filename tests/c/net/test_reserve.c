/* How much memory a network takes, by an allocator that counts: what pn_net_memory says; none after pn_net_reserve; and
   in inference a bound for any number of samples. Prints how many checks it made. */
#include "counting.h"

#include <stdbool.h>

enum { N = 600, FEATURES = 3 * 32 * 32, OUTPUTS = 400 };
static float x[N * FEATURES], targets[N * OUTPUTS], y[N * OUTPUTS];
static uint8_t bytes[N * FEATURES];
static int32_t labels[N];

static const char *const specs[] = {
    "input(2) dense(16) relu dense(2) softmax",
    "input(784) dense(128) relu dense(64) relu dense(10) softmax",
    "input(75) standardize dense(300,bias=no) batchnorm relu dropout(0.3) dense(40) layernorm tanh dense(3) rescale "
    "loss(mae)",
    "input(1,28,28) conv(8,5) relu maxpool(2) conv(16,3,pad=1) batchnorm relu maxpool(2) dense(32) relu dense(10) "
    "softmax",
    "input(3,9,7) residual(conv(9,3,pad=1) relu residual(conv(9,3,pad=1)) layernorm) relu globalavgpool dense(4) "
    "softmax",
    "input(784) dense(400) relu dense(400) sigmoid loss(bce)",
};
enum { SPECS = sizeof specs / sizeof *specs };

static pn_data data_of(const pn_net *net, bool of_bytes)
{
    pn_net_info info;
    pn_net_describe(net, &info);
    return (pn_data){.x = of_bytes ? (const void *)bytes : x,
                     .dtype = of_bytes ? PN_UINT8 : PN_FLOAT32,
                     .labels = info.loss == PN_CROSS_ENTROPY ? labels : NULL,
                     .targets = info.loss == PN_CROSS_ENTROPY ? NULL : targets,
                     .n = N};
}

static const pn_optim optimizers[] = {
    {.kind = PN_SGD, .learning_rate = 0.001},
    {.kind = PN_MOMENTUM, .learning_rate = 0.001, .momentum = 0.9},
    {.kind = PN_ADAM, .learning_rate = 0.001, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip_norm = 1},
};
enum { OPTIMIZERS = 3 };

/* Allocates `rows` and then uses them in every way that is promised to allocate nothing. */
static void uses_nothing_more(pn_net *net, int64_t rows, const pn_optim *opt)
{
    size_t size = 0, again = 0;
    pn_net_info info;
    pn_augment augment;
    pn_net_describe(net, &info);
    CHECK(pn_net_memory(net, rows, opt, &size) == PN_OK);
    CHECK(pn_net_reserve(net, rows, opt) == PN_OK && memory.bytes == size);
    if (memory.bytes != size)
        printf("%s, %d rows, optimizer %d: %zu bytes, not %zu\n", pn_net_spec(net), (int)rows,
               opt ? (int)opt->kind : -1, memory.bytes, size);
    CHECK(pn_net_memory(net, rows, opt, &again) == PN_OK && again == size);
    const long calls = memory.calls;
    for (int of_bytes = 0; of_bytes < 2; of_bytes++)
        for (int64_t n = rows; n > 0; n /= 5) {
            pn_data data = data_of(net, of_bytes);
            pn_stats stats = {0};
            CHECK(pn_net_predict(net, &data, n, 1, y) == PN_OK);
            CHECK(pn_net_evaluate(net, &data, NULL, n, &stats) == PN_OK);
            CHECK(!opt || n < 2 || pn_net_train(net, &data, NULL, n < rows ? n : n + n / 2, n, opt, &stats) == PN_OK);
            if (of_bytes || (info.in_features != 784 && info.in_rank != 3))
                continue;
            pn_augment_default(&augment, info.in_rank == 3 ? 0 : 28, info.in_rank == 3 ? 0 : 28);
            data.augment = &augment;
            CHECK(!opt || n < 2 || pn_net_train(net, &data, NULL, n, n, opt, &stats) == PN_OK);
        }
    CHECK(memory.calls == calls);
    if (memory.calls != calls)
        printf("%s, %d rows, optimizer %d: %ld allocations\n", pn_net_spec(net), (int)rows, opt ? (int)opt->kind : -1,
               memory.calls - calls);
}

static void reserved(void)
{
    static const int64_t sizes[] = {1, 7, 90, 290}; /* the last: gathered in pieces, or in several chunks */
    for (int s = 0; s < SPECS; s++)
        for (int r = 0; r < 4; r++)
            for (int o = -1; o < OPTIMIZERS; o++) {
                pn_net *net = created(specs[s], 1);
                CHECK(pn_net_set_meta(net, "a", "1") == PN_OK && pn_net_set_meta(net, "b", "22") == PN_OK);
                CHECK(pn_net_set_meta(net, "c", "3") == PN_OK && pn_net_set_meta(net, "b", NULL) == PN_OK);
                uses_nothing_more(net, sizes[r], o < 0 ? NULL : &optimizers[o]);
                if (o == OPTIMIZERS - 1) /* in one net after the other */
                    for (int k = 0; k < 3; k++)
                        uses_nothing_more(net, sizes[3 - k], &optimizers[k]);
                pn_net_free(net);
                CHECK(memory.bytes == 0);
            }
}

/* The state of an optimizer survives a reservation for another. */
static void keeps_state(void)
{
    pn_net *net = created(specs[1], 1), *twin = created(specs[1], 1);
    const pn_data data = data_of(net, false);
    for (int i = 0; i < 2; i++) {
        CHECK(pn_net_train(net, &data, NULL, 100, 10, &optimizers[1], NULL) == PN_OK);
        CHECK(pn_net_train(twin, &data, NULL, 100, 10, &optimizers[1], NULL) == PN_OK);
        CHECK(pn_net_reserve(net, 200, &optimizers[2]) == PN_OK);
    }
    CHECK(hash(net) == hash(twin));
    pn_net_free(net);
    pn_net_free(twin);
}

/* Work memory is then laid out for inference: the results of an earlier forward, loss or backward are out of reach. */
static void ends_a_batch(void)
{
    pn_net *net = created("input(784) dense(32) batchnorm relu dense(2) softmax", 1);
    const pn_data data = data_of(net, false);
    double loss;
    size_t size;
    for (int steps = 1; steps <= 3; steps++) {
        CHECK(pn_net_predict(net, &data, N, 1, y) == PN_OK); /* allocates what inference needs */
        CHECK(pn_net_forward(net, &data, NULL, N) == PN_OK);
        CHECK(pn_net_memory(net, 8, &optimizers[0], &size) == PN_OK); /* counts: the results stay */
        CHECK(steps < 2 || pn_net_loss(net, &data, NULL, N, &loss) == PN_OK);
        CHECK(steps < 3 || pn_net_backward(net) == PN_OK);
        CHECK(pn_net_reserve(net, 8, NULL) == PN_OK);
        REFUSED(pn_net_loss(net, &data, NULL, N, &loss), PN_ERR_STATE, "loss comes after");
        REFUSED(pn_net_backward(net), PN_ERR_STATE, "backward comes after");
        REFUSED(pn_net_update(net, &optimizers[0]), PN_ERR_STATE, "update comes after");
        REFUSED(pn_net_activation(net, 0, N, y), PN_ERR_STATE, "activations exist after");
    }
    pn_net_free(net);
}

/* Counting leaves a batch as it is: here one of fewer rows than there is memory for, whose zeros are skipped. */
static void counts_between_steps(void)
{
    pn_net *net = created(specs[1], 1), *twin = created(specs[1], 1);
    const pn_data data = data_of(net, true);
    double loss;
    size_t size;
    CHECK(pn_net_reserve(net, N, &optimizers[0]) == PN_OK);
    CHECK(pn_net_forward(net, &data, NULL, 70) == PN_OK);
    CHECK(pn_net_memory(net, 8, &optimizers[1], &size) == PN_OK);
    CHECK(pn_net_loss(net, &data, NULL, 70, &loss) == PN_OK);
    CHECK(pn_net_memory(net, 2 * N, NULL, &size) == PN_OK);
    CHECK(pn_net_backward(net) == PN_OK && pn_net_update(net, &optimizers[0]) == PN_OK);
    CHECK(pn_net_train(twin, &data, NULL, 70, 70, &optimizers[0], NULL) == PN_OK);
    CHECK(hash(net) == hash(twin));
    pn_net_free(net);
    pn_net_free(twin);
}

/* Sums of the gradients of parts count, too. */
static void counts_partial_sums(void)
{
    pn_net *net = created(specs[1], 1);
    const pn_data data = data_of(net, false);
    const pn_part parts[] = {{0, 5, 0}, {5, 5, 5}, {10, 5, 10}, {15, 5, 15}};
    CHECK(pn_net_gradient(net, &data, NULL, parts, 4, 20, NULL) == PN_OK);
    uses_nothing_more(net, 90, &optimizers[2]);
    pn_net_free(net);
}

static void refusals(void)
{
    pn_net *net = created(specs[0], 1);
    const pn_optim wrong = {.kind = PN_SGD, .learning_rate = -1};
    size_t size;
    REFUSED(pn_net_reserve(net, 0, NULL), PN_ERR_ARGUMENT, "rows is 0; accepted: 1 to");
    REFUSED(pn_net_reserve(net, -5, NULL), PN_ERR_ARGUMENT, "rows is -5");
    REFUSED(pn_net_reserve(net, INT64_MAX, NULL), PN_ERR_ARGUMENT, "rows is 9223372036854775807");
    REFUSED(pn_net_reserve(net, 5, &wrong), PN_ERR_ARGUMENT, "learning rate is -1");
    REFUSED(pn_net_memory(net, 0, NULL, &size), PN_ERR_ARGUMENT, "rows is 0");
    REFUSED(pn_net_memory(net, 5, &wrong, &size), PN_ERR_ARGUMENT, "learning rate is -1");
    REFUSED(pn_net_memory(net, 5, NULL, NULL), PN_ERR_ARGUMENT, "bytes is NULL");
    pn_net_free(net);
}

/* ---- inference ----------------------------------------------------------------------------------------------------- */

/* The most bytes of a call besides those of the net before it. */
static size_t work_of(pn_net *net, int64_t n, bool evaluates)
{
    const pn_data data = data_of(net, false);
    const size_t before = memory.bytes;
    pn_stats stats = {0};
    memory.most = memory.bytes;
    if (evaluates)
        CHECK(pn_net_evaluate(net, &data, NULL, n, &stats) == PN_OK);
    else
        CHECK(pn_net_predict(net, &data, n, 1, y) == PN_OK);
    return memory.most - before;
}

static void bounded(void)
{
    static const struct {
        const char *spec;
        size_t row, all; /* most bytes */
    } rows[] = {
        {"input(784) dense(128) relu dense(64) relu dense(10) softmax", 16 << 10, 16 << 20},
        {"input(784) dense(400) relu dense(400) relu dense(10) softmax", 16 << 10, 16 << 20},
        {"input(3,32,32) conv(32,3,pad=1) batchnorm relu conv(32,3,pad=1) relu maxpool(2) conv(64,3,pad=1) relu "
         "dense(10) "
         "softmax",
         1 << 20, 16 << 20},
        /* a sample takes 3.2 MB in its widest layer, 64 (112 + 2)^2 with the padding */
        {"input(3,32,32) conv(16,1,pad=40) conv(64,3,pad=1) relu conv(64,3,pad=1) relu residual(conv(64,3,pad=1) relu) "
         "globalavgpool dense(10) softmax",
         12 << 20, 4 * 12 << 20},
    };
    for (int i = 0; i < 4; i++)
        for (int evaluates = 0; evaluates < 2; evaluates++) {
            pn_net *net = created(rows[i].spec, 1);
            const size_t one = work_of(net, 1, evaluates);
            CHECK(one > 0 && one <= rows[i].row);
            if (one > rows[i].row)
                printf("%s: %zu bytes for one row\n", rows[i].spec, one);
            pn_net_free(net);
            net = created(rows[i].spec, 1);
            const size_t all = work_of(net, i < 2 ? N : i < 3 ? 20 : 2, evaluates);
            CHECK(all >= one && all <= rows[i].all);
            if (all > rows[i].all)
                printf("%s: %zu bytes for many rows\n", rows[i].spec, all);
            CHECK(work_of(net, i < 2 ? N : i < 3 ? 20 : 2, evaluates) == 0);
            pn_net_free(net);
        }
}

int main(void)
{
    uint32_t state = 1;
    count_memory();
    for (int i = 0; i < N * FEATURES; i++) {
        bytes[i] = (uint8_t)(draw(&state) % 5 ? 0 : draw(&state));
        x[i] = (float)draw(&state) / 8388608.0f - 1;
    }
    for (int i = 0; i < N; i++)
        labels[i] = i % 2;
    for (int i = 0; i < N * OUTPUTS; i++)
        targets[i] = (float)(i % 2);
    CHECK(pn_set_threads(2) == PN_OK);
    reserved();
    bounded();
    keeps_state();
    ends_a_batch();
    counts_between_steps();
    counts_partial_sums();
    refusals();
    CHECK(memory.bytes == 0);
    printf("reserve: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
