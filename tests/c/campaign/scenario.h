/* Two networks, and steps with every function that allocates memory or starts threads. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "pynet.h"

#include <stdio.h>
#include <string.h>

enum { SAMPLES = 96, FEATURES = 64, CLASSES = 10, BATCH = 32, LARGEST = SAMPLES * 2048 };

static const char *const pictures =
    "input(1,8,8) conv(8,3,pad=same) batchnorm relu maxpool(2) residual(conv(8,3,pad=same) "
    "layernorm gelu) avgpool(2) dropout(0.2) dense(10) softmax";
static const char *const rows_text =
    "input(64) standardize dense(160) layernorm leaky_relu residual(dense(96) tanh) dense(96) relu "
    "residual(dense(96) residual(sigmoid)) dense(10) rescale loss(huber)";

static pn_net *net[2]; /* of pictures, of rows */
static pn_net *loaded;
static pn_checkpoint more;
static uint8_t bytes[SAMPLES * FEATURES];
static float floats[SAMPLES * FEATURES], targets[SAMPLES * CLASSES], weights[SAMPLES], out[LARGEST];
static int32_t labels[SAMPLES], order[SAMPLES];
static pn_augment augment;
static pn_data of_pictures, of_rows;
static char path[64];
static char err[PN_ERRLEN];
static uint64_t hash; /* of all results */

static void add(const void *what, size_t size)
{
    const unsigned char *byte = what;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ byte[i]) * 1099511628211u; /* Fowler, Noll and Vo */
}

static void make_data(void)
{
    for (int i = 0; i < SAMPLES * FEATURES; i++) {
        bytes[i] = (uint8_t)(i * 7919 % 251);
        floats[i] = (float)((i * 104729 + 11) % 997) / 500 - 1;
    }
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i * 31 % CLASSES;
        weights[i] = (float)(i % 5) / 2;
        targets[i * CLASSES + labels[i]] = 1;
    }
    pn_shuffle(order, SAMPLES, 1, 2);
    pn_augment_default(&augment, 8, 8);
    of_pictures = (pn_data){
        .x = bytes, .dtype = PN_UINT8, .labels = labels, .weights = weights, .n = SAMPLES, .augment = &augment};
    of_rows = (pn_data){.x = floats, .dtype = PN_FLOAT32, .targets = targets, .n = SAMPLES};
}

static pn_status train(pn_net *which, const pn_data *data, pn_optim_kind kind)
{
    pn_optim opt;
    pn_stats stats = {0};
    pn_optim_default(&opt, kind);
    opt.learning_rate = 0.01;
    opt.clip_norm = 0.5;
    opt.l2 = 0.001;
    const pn_status status = pn_net_train(which, data, order, SAMPLES, BATCH, &opt, &stats);
    if (status == PN_OK)
        add(&stats.loss, sizeof stats.loss);
    return status;
}

static pn_status new_pictures(void)
{
    return pn_net_new(&net[0], pictures, 7, err);
}
static pn_status new_rows(void)
{
    return pn_net_new(&net[1], rows_text, 8, err);
}
static pn_status set_notes(void)
{
    return pn_net_set_meta(net[0], "colour", "blue");
}
static pn_status change_notes(void)
{
    return pn_net_set_meta(net[0], "colour", "red, and a longer note than before");
}
static pn_status more_notes(void)
{
    return pn_net_set_meta(net[0], "classes", "[\"zero\", \"one\"]");
}
static pn_status sgd(void)
{
    return train(net[0], &of_pictures, PN_SGD);
}
static pn_status momentum(void)
{
    return train(net[1], &of_rows, PN_MOMENTUM);
}
static pn_status nesterov(void)
{
    return train(net[1], &of_rows, PN_NESTEROV);
}
static pn_status rmsprop(void)
{
    return train(net[0], &of_pictures, PN_RMSPROP);
}
static pn_status adam(void)
{
    return train(net[1], &of_rows, PN_ADAM);
}
static pn_status adamw(void)
{
    return train(net[0], &of_pictures, PN_ADAMW);
}

static pn_status larger_batch(void)
{
    pn_optim opt;
    pn_optim_default(&opt, PN_ADAMW);
    opt.clip_value = 0.1;
    return pn_net_train(net[0], &of_pictures, NULL, SAMPLES, SAMPLES, &opt, NULL);
}

static pn_status adapt(void)
{
    return pn_net_adapt(net[1], &of_rows, order, SAMPLES);
}

static pn_status predict(void)
{
    const pn_status status = pn_net_predict(net[0], &of_pictures, SAMPLES, 2, out);
    add(out, status == PN_OK ? SAMPLES * CLASSES * sizeof *out : 0);
    return status;
}

static pn_status evaluate(void)
{
    pn_stats stats = {0};
    const pn_status status = pn_net_evaluate(net[1], &of_rows, order, SAMPLES, &stats);
    if (status == PN_OK)
        add(&stats, sizeof stats);
    return status;
}

static pn_status infer(void)
{
    return pn_net_infer(net[0], &of_pictures, order, SAMPLES);
}

static pn_status activation(void)
{
    const pn_status status = pn_net_activation(net[0], 0, SAMPLES, out);
    add(out, status == PN_OK ? SAMPLES * 8 * FEATURES * sizeof *out : 0);
    return status;
}

static pn_status gradient_of_loss(void)
{
    const pn_status status = pn_net_input_gradient(net[0], &of_pictures, SAMPLES, 0, NULL, out);
    add(out, status == PN_OK ? SAMPLES * FEATURES * sizeof *out : 0);
    return status;
}

static pn_status gradient_of_layer(void)
{
    static float dy[SAMPLES * 160];
    for (int i = 0; i < SAMPLES * 160; i++)
        dy[i] = i % 3 == 0;
    const pn_status status = pn_net_input_gradient(net[1], &of_rows, SAMPLES, 1, dy, out);
    add(out, status == PN_OK ? SAMPLES * FEATURES * sizeof *out : 0);
    return status;
}

static pn_status forward(void)
{
    return pn_net_forward(net[1], &of_rows, order, BATCH);
}
static pn_status loss(void)
{
    double mean;
    return pn_net_loss(net[1], &of_rows, order, BATCH, &mean);
}
static pn_status backward(void)
{
    return pn_net_backward(net[1]);
}
static pn_status update(void)
{
    pn_optim opt;
    pn_optim_default(&opt, PN_SGD);
    return pn_net_update(net[1], &opt);
}
static pn_status gradient(void)
{
    const pn_part parts[] = {{.n = BATCH}, {.n = BATCH, .first = BATCH}};
    return pn_net_gradient(net[1], &of_rows, order, parts, 2, 2 * BATCH, NULL);
}
static pn_status set_state(void)
{
    return pn_net_set_state(net[1], PN_ADAM, 3);
}
static pn_status reserve(void)
{
    pn_optim opt;
    pn_optim_default(&opt, PN_ADAM);
    return pn_net_reserve(net[1], 2 * SAMPLES, &opt);
}
static pn_status save(void)
{
    return pn_net_save(net[0], path);
}

static char saved[1 << 18];
static size_t saved_size;

static pn_status save_to_memory(void)
{
    const pn_status status = pn_net_save_memory(net[1], saved, sizeof saved, &saved_size);
    add(saved, status == PN_OK ? saved_size : 0);
    return status;
}

static pn_status load_from_memory(void)
{
    pn_net_free(loaded);
    return pn_net_load_memory(&loaded, saved, saved_size, err);
}

static pn_status load(void)
{
    pn_net_free(loaded);
    return pn_net_load(&loaded, path, err);
}

static pn_status save_checkpoint(void)
{
    pn_tensor state = {0}, given[2];
    const pn_status status = pn_net_state_tensor(net[1], 0, &state);
    if (status != PN_OK)
        return status;
    given[0] = given[1] = state;
    given[0].name = "optimizer.first";
    given[1].name = "optimizer.second";
    const pn_checkpoint checkpoint = {(char *)(uintptr_t)"{\"steps\": 3}", 2, given};
    return pn_net_save_checkpoint(net[1], &checkpoint, path);
}

static pn_status load_checkpoint(void)
{
    pn_net_free(loaded);
    pn_checkpoint_free(&more);
    return pn_net_load_checkpoint(&loaded, &more, path, err);
}

static pn_status augmented(void)
{
    const pn_status status = pn_augmented(out, bytes, PN_UINT8, SAMPLES, 1, &augment, 7, 9, err);
    add(out, status == PN_OK ? SAMPLES * FEATURES * sizeof *out : 0);
    return status;
}

typedef struct {
    const char *name;
    pn_status (*run)(void);
    pn_net **net; /* the net with the error message; NULL: it is in err */
} step;

static const step steps[] = {
    {"new (pictures)", new_pictures, NULL},
    {"new (rows)", new_rows, NULL},
    {"set a note", set_notes, &net[0]},
    {"change a note", change_notes, &net[0]},
    {"set another note", more_notes, &net[0]},
    {"adapt", adapt, &net[1]},
    {"train with sgd", sgd, &net[0]},
    {"train with momentum", momentum, &net[1]},
    {"train with nesterov", nesterov, &net[1]},
    {"train with rmsprop", rmsprop, &net[0]},
    {"train with adam", adam, &net[1]},
    {"train with adamw", adamw, &net[0]},
    {"train with a larger batch", larger_batch, &net[0]},
    {"predict", predict, &net[0]},
    {"evaluate", evaluate, &net[1]},
    {"infer", infer, &net[0]},
    {"activation", activation, &net[0]},
    {"gradient of the loss", gradient_of_loss, &net[0]},
    {"gradient of a layer", gradient_of_layer, &net[1]},
    {"forward", forward, &net[1]},
    {"loss", loss, &net[1]},
    {"backward", backward, &net[1]},
    {"update", update, &net[1]},
    {"gradient", gradient, &net[1]},
    {"set the optimizer's state", set_state, &net[1]},
    {"reserve", reserve, &net[1]},
    {"save to memory", save_to_memory, &net[1]},
    {"load from memory", load_from_memory, NULL},
    {"save", save, &net[0]},
    {"load", load, NULL},
    {"save a checkpoint", save_checkpoint, &net[1]},
    {"load a checkpoint", load_checkpoint, NULL},
    {"augment", augmented, NULL},
};
enum { STEPS = sizeof steps / sizeof *steps, MOST_NUMBERS = 1 << 16 };

#endif
