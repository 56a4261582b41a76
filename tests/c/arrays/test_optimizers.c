/* Optimizers and losses from C: each optimizer trains, with the same bits by any API and from a copied state; weights
   of samples and label smoothing have their effect; invalid arguments fail with a message. Prints how many checks it
   made. */
#include "testing.h"

#include <math.h>
#include <string.h>

enum { N = 60, BATCH = 20, SIDE = 9, FEATURES = SIDE * SIDE, CLASSES = 3, EPOCHS = 7 };

/* dense: large enough for panels and two threads */
static const char *const specs[] = {
    "input(81) dense(400) relu dense(3) softmax",
    "input(1,9,9) conv(4,3,bias=no) batchnorm relu maxpool(2) residual(conv(4,3,pad=same)) dropout(0.1) "
    "dense(3) softmax loss(cross_entropy,smoothing=0.1)",
};

static const pn_optim optimizers[] = {
    {.kind = PN_SGD, .learning_rate = 0.1},
    {.kind = PN_SGD, .learning_rate = 0.1, .l2 = 1e-4, .clip_value = 0.5},
    {.kind = PN_MOMENTUM, .learning_rate = 0.02, .momentum = 0.9},
    {.kind = PN_NESTEROV, .learning_rate = 0.02, .momentum = 0.9, .clip_norm = 1},
    {.kind = PN_RMSPROP, .learning_rate = 0.002, .beta2 = 0.99, .epsilon = 1e-6},
    {.kind = PN_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6, .clip_norm = 1},
    {.kind = PN_ADAMW, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.01},
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static float x[N * FEATURES];
static int32_t labels[N];
static const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = N};

/* Vertical, horizontal or diagonal bars at random positions in noise. */
static void draw_samples(void)
{
    uint32_t state = 7;
    for (int i = 0; i < N; i++) {
        labels[i] = i % CLASSES;
        const int at = (int)(draw(&state) % SIDE);
        for (int j = 0; j < FEATURES; j++) {
            const int row = j / SIDE, column = j % SIDE;
            const int along[] = {row, column, (row + column) % SIDE};
            const float noise = (float)(draw(&state) >> 16) / 1024;
            x[i * FEATURES + j] = along[labels[i]] == at ? 1 - noise : noise > 0.15f ? noise : 0;
        }
    }
}

/* The hash of all tensors and of the optimizer state. */
static uint64_t hash_all(pn_net *net)
{
    uint64_t h = hash(net);
    pn_state_info state;
    pn_tensor t;
    pn_net_state(net, &state);
    for (int i = 0; i < state.tensors; i++) {
        CHECK(pn_net_state_tensor(net, i, &t) == PN_OK);
        h = hash_on(h, t.data, (size_t)t.size * sizeof *t.data);
    }
    return hash_on(h, &state.steps, sizeof state.steps);
}

static void train(pn_net *net, const pn_optim *opt, int epochs)
{
    for (int i = 0; i < epochs; i++)
        CHECK(pn_net_train(net, &data, NULL, N, BATCH, opt, NULL) == PN_OK);
}

static void train_by_hand(pn_net *net, const pn_optim *opt)
{
    for (int at = 0; at < N; at += BATCH) {
        int32_t order[BATCH];
        double loss = -1;
        for (int i = 0; i < BATCH; i++)
            order[i] = at + i;
        CHECK(pn_net_forward(net, &data, order, BATCH) == PN_OK);
        CHECK(pn_net_loss(net, &data, order, BATCH, &loss) == PN_OK && loss > 0);
        CHECK(pn_net_backward(net) == PN_OK && pn_net_update(net, opt) == PN_OK);
    }
}

static void learns(const char *spec, const pn_optim *opt)
{
    pn_net *net = created(spec, 3);
    pn_stats before = {0}, after = {0};
    CHECK(pn_net_evaluate(net, &data, NULL, N, &before) == PN_OK);
    train(net, opt, 30);
    CHECK(pn_net_evaluate(net, &data, NULL, N, &after) == PN_OK);
    CHECK(after.loss < before.loss / 2 && after.correct >= N * 9 / 10);
    pn_net_free(net);
}

/* Many steps in one call, which uses panels; few steps; or the four functions one by one. */
static void same_bits(const char *spec, const pn_optim *opt)
{
    uint64_t expected = 0;
    int32_t order[EPOCHS * N];
    for (int i = 0; i < EPOCHS * N; i++)
        order[i] = i % N;
    for (int threads = 1; threads <= 3; threads++) {
        pn_net *at_once = created(spec, 3), *singly = created(spec, 3), *by_hand = created(spec, 3);
        CHECK(pn_set_threads(threads) == PN_OK);
        CHECK(pn_net_train(at_once, &data, order, EPOCHS * N, BATCH, opt, NULL) == PN_OK);
        train(singly, opt, EPOCHS);
        for (int i = 0; i < EPOCHS; i++)
            train_by_hand(by_hand, opt);
        expected = expected ? expected : hash_all(at_once);
        CHECK(hash_all(at_once) == expected && hash_all(singly) == expected && hash_all(by_hand) == expected);
        pn_net_free(at_once);
        pn_net_free(singly);
        pn_net_free(by_hand);
    }
    CHECK(pn_set_threads(0) == PN_OK);
}

/* With tensors and state copied from another net, training gives the same bits in both. Without dropout, which depends
   on the number of updates, too. */
static void resumes(const pn_optim *opt)
{
    pn_net *net = created(specs[0], 3), *twin = created(specs[0], 3);
    pn_net_info info;
    pn_state_info state;
    pn_tensor from, to;
    train(net, opt, 2);
    pn_net_describe(net, &info);
    pn_net_state(net, &state);
    CHECK(state.kind == opt->kind && state.steps == 2 * (N / BATCH));
    CHECK(pn_net_set_state(twin, state.kind, state.steps) == PN_OK);
    for (int i = 0; i < info.tensors; i++)
        if (pn_net_tensor(net, i, &from) == PN_OK && pn_net_tensor(twin, i, &to) == PN_OK)
            memcpy(to.data, from.data, (size_t)to.size * sizeof(float));
    for (int i = 0; i < state.tensors; i++) {
        CHECK(pn_net_state_tensor(net, i, &from) == PN_OK && pn_net_state_tensor(twin, i, &to) == PN_OK);
        CHECK(to.size == from.size && to.data[0] == 0 && !to.grad);
        memcpy(to.data, from.data, (size_t)to.size * sizeof(float));
    }
    CHECK(hash_all(net) == hash_all(twin));
    train(net, opt, 2);
    CHECK(hash_all(net) != hash_all(twin));
    train(twin, opt, 2);
    CHECK(hash_all(net) == hash_all(twin));
    pn_net_free(net);
    pn_net_free(twin);
}

static double mean_loss(pn_net *net, const pn_data *of)
{
    pn_stats stats = {0};
    CHECK(pn_net_evaluate(net, of, NULL, of->n, &stats) == PN_OK && stats.samples == of->n);
    return stats.loss / (double)stats.samples;
}

/* Weight 2 is a sample twice, weight 0 none; smoothing adds the loss of a uniform distribution. */
static void losses(void)
{
    static float weights[N];
    pn_net *net = created(specs[0], 3);
    pn_net *smooth = created("input(81) dense(400) relu dense(3) softmax loss(cross_entropy,smoothing=0.3)", 3);
    pn_data weighted = data, half = data;
    for (int i = 0; i < N; i++)
        weights[i] = i < N / 2 ? 2 : 0;
    weighted.weights = weights;
    half.n = N / 2;
    CHECK(fabs(mean_loss(net, &weighted) - mean_loss(net, &half)) < 1e-6);

    float p[N * CLASSES];
    CHECK(pn_net_predict(net, &data, N, 1, p) == PN_OK);
    double expected = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < CLASSES; k++)
            expected -= (0.3 / CLASSES + (k == labels[i] ? 0.7 : 0)) * log((double)p[i * CLASSES + k]) / N;
    CHECK(fabs(mean_loss(smooth, &data) - expected) < 1e-5); /* the same seed, the same weights */

    weights[7] = -1;
    REFUSED(pn_net_train(net, &weighted, NULL, N, BATCH, &optimizers[0], NULL), PN_ERR_ARGUMENT,
            "weight of sample 7 is -1");
    pn_net_free(net);
    pn_net_free(smooth);
}

static void refuses(void)
{
    pn_net *net = created(specs[0], 3);
    const pn_optim adam = optimizers[5];
    const double not_a_number = fabs((double)NAN); /* printed as nan, not -nan */
    pn_optim o, usual;
    pn_tensor tensor;
    train(net, &adam, 1);
    pn_net *twin = created(specs[0], 3);
    train(twin, &adam, 1);

/* Trains with the defaults of Adam, except one field. */
#define REFUSED_WITH(field, value, message) \
    (o = adam, o.field = (value));          \
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &o, NULL), PN_ERR_ARGUMENT, message)

    REFUSED_WITH(momentum, 1, "momentum is 1;");
    REFUSED_WITH(momentum, -0.1, "momentum is -0.1;");
    REFUSED_WITH(beta1, 1, "beta1 is 1;");
    REFUSED_WITH(beta2, not_a_number, "beta2 is nan;");
    REFUSED_WITH(epsilon, 0, "epsilon is 0;");
    REFUSED_WITH(epsilon, INFINITY, "epsilon is inf;");
    REFUSED_WITH(l2, -1, "l2 is -1;");
    REFUSED_WITH(weight_decay, INFINITY, "weight decay is inf;");
    REFUSED_WITH(clip_value, -2, "clip value is -2;");
    REFUSED_WITH(clip_norm, not_a_number, "clip norm is nan;");
    REFUSED_WITH(clip_value, 2, "clip value is 2 and clip norm 1;");
    REFUSED_WITH(learning_rate, 0, "learning rate is 0;");

    const double rates[] = {0.1, 0, -0.5};
    pn_optim scheduled = adam;
    scheduled.rates = rates;
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &scheduled, NULL), PN_ERR_ARGUMENT,
            "learning rate of step 3 is -0.5;");
    REFUSED(pn_net_set_state(net, (pn_optim_kind)17, 0), PN_ERR_ARGUMENT, "optimizer kind is 17;");
    REFUSED(pn_net_set_state(net, PN_SGD, -1), PN_ERR_ARGUMENT, "steps is -1;");
    REFUSED(pn_net_state_tensor(net, 8, &tensor), PN_ERR_ARGUMENT, "state tensor 8; the optimizer has 8");
    REFUSED(pn_net_state_tensor(net, -1, &tensor), PN_ERR_ARGUMENT, "state tensor -1;");
    CHECK(pn_optim_default(&usual, (pn_optim_kind)-1) == PN_ERR_ARGUMENT);
    CHECK(pn_optim_default(&usual, PN_ADAMW) == PN_OK && usual.kind == PN_ADAMW && usual.weight_decay > 0);
    CHECK(hash_all(net) == hash_all(twin));
    pn_net_free(net);
    pn_net_free(twin);
}

int main(void)
{
    draw_samples();
    for (size_t i = 0; i < COUNT(optimizers); i++) {
        for (size_t j = 0; j < COUNT(specs); j++) {
            learns(specs[j], &optimizers[i]);
            same_bits(specs[j], &optimizers[i]);
        }
        resumes(&optimizers[i]);
    }
    losses();
    refuses();
    printf("optim: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
