/* What core.js calls: pynet.h without structs and 64-bit integers, which JavaScript cannot pass. Statuses as in
   pynet.h; web_message has the reason. Only one call runs at a time, so arguments and results lie in static memory. */
#include "pynet.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

static char message[PN_ERRLEN];
static double numbers[10]; /* fields of pn_optim and pn_stats, in the order of their declaration */
static pn_data data;
static pn_optim optimizer;

EXPORT(web_message) const char *web_message(const pn_net *net)
{
    return net ? pn_net_error(net) : message;
}

EXPORT(web_numbers) double *web_numbers(void)
{
    return numbers;
}

EXPORT(web_alloc) void *web_alloc(size_t size)
{
    return malloc(size);
}

EXPORT(web_free) void web_free(void *block)
{
    free(block);
}

EXPORT(web_version) const char *web_version(void)
{
    return pn_version();
}

EXPORT(web_kernels) const char *web_kernels(void)
{
#ifdef __wasm_relaxed_simd__
    return "relaxed";
#else
    return "simd";
#endif
}

EXPORT(web_shuffle) void web_shuffle(int32_t *order, int32_t n, uint32_t seed_low, uint32_t seed_high, double epoch)
{
    pn_shuffle(order, n, (uint64_t)seed_high << 32 | seed_low, (uint64_t)epoch);
}

/* ---- parts of the C library that the core never comes to, but its other parts refer to ------------------------------ */

/* printf prints to it that long doubles are left out. It would import files. */
const char __stderr_FILE = 0;

int fputs(const char *restrict s, FILE *restrict to)
{
    (void)s;
    (void)to;
    return EOF;
}

/* For cos and sin of angles above 1.6 million; those of the core are below 2 pi. It would add 4 kB. */
int __rem_pio2_large(double *x, double *y, int e0, int nx, int prec)
{
    (void)x, (void)y, (void)e0, (void)nx, (void)prec;
    __builtin_trap();
}

/* ---- a network ------------------------------------------------------------------------------------------------------ */

/* NULL: numbers[0] is the status. */
EXPORT(web_new) pn_net *web_new(const char *spec, uint32_t seed_low, uint32_t seed_high)
{
    pn_net *net;
    numbers[0] = pn_net_new(&net, spec, (uint64_t)seed_high << 32 | seed_low, message);
    return net;
}

EXPORT(web_load) pn_net *web_load(const void *bytes, size_t size)
{
    pn_net *net;
    numbers[0] = pn_net_load_memory(&net, bytes, size, message);
    return net;
}

/* With buffer NULL only finds the size; numbers[0] is the size. */
EXPORT(web_save) pn_status web_save(pn_net *net, void *buffer, size_t room)
{
    size_t size = 0;
    const pn_status status = pn_net_save_memory(net, buffer, room, &size);
    numbers[0] = (double)size;
    return status;
}

EXPORT(web_free_net) void web_free_net(pn_net *net)
{
    pn_net_free(net);
}

EXPORT(web_spec) const char *web_spec(const pn_net *net)
{
    return pn_net_spec(net);
}

EXPORT(web_updates) double web_updates(const pn_net *net)
{
    pn_net_info info;
    pn_net_describe(net, &info);
    return (double)info.updates;
}

EXPORT(web_meta_key) const char *web_meta_key(const pn_net *net, int i)
{
    return pn_net_meta_key(net, i);
}

EXPORT(web_meta_value) const char *web_meta_value(const pn_net *net, int i)
{
    return pn_net_meta_value(net, i);
}

EXPORT(web_set_meta) pn_status web_set_meta(pn_net *net, const char *key, const char *value)
{
    return pn_net_set_meta(net, key, value);
}

/* ---- its description, as JSON ---------------------------------------------------------------------------------------- */

typedef struct {
    char *at; /* NULL: only counts */
    size_t used, room;
} text;

__attribute__((format(printf, 2, 3))) static void put(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    t->used += (size_t)vsnprintf(t->at ? t->at + t->used : NULL, t->at ? t->room - t->used : 0, format, args);
    va_end(args);
}

static void put_shape(text *t, const char *name, int rank, const int64_t *dim)
{
    put(t, ",\"%s\":[", name);
    for (int i = 0; i < rank; i++)
        put(t, i ? ",%lld" : "%lld", (long long)dim[i]);
    put(t, "]");
}

static void describe(text *t, pn_net *net)
{
    static const char *const losses[] = {"cross_entropy", "mse", "bce", "mae", "huber"};
    pn_net_info info;
    pn_net_describe(net, &info);
    put(t, "{\"lossName\":\"%s\",\"seed\":\"%llu\",\"parameters\":%lld", losses[info.loss],
        (unsigned long long)info.seed, (long long)info.parameters);
    put_shape(t, "inShape", info.in_rank, info.in_shape);
    put_shape(t, "outShape", info.out_rank, info.out_shape);
    put(t, ",\"layers\":[");
    for (int i = 0; i < info.layers; i++) {
        pn_layer_info l;
        pn_net_layer(net, i, &l);
        put(t, "%s{\"path\":\"%s\",\"kind\":\"%s\",\"text\":\"%s\",\"parameters\":%lld", i ? "," : "", l.path, l.kind,
            l.text, (long long)l.parameters);
        put_shape(t, "inShape", l.in_rank, l.in_shape);
        put_shape(t, "outShape", l.out_rank, l.out_shape);
        put(t, "}");
    }
    put(t, "],\"tensors\":[");
    for (int i = 0; i < info.tensors; i++) {
        pn_tensor p;
        pn_net_tensor(net, i, &p);
        put(t, "%s{\"name\":\"%s\",\"layer\":%d,\"trained\":%s,\"data\":%zu,\"size\":%lld", i ? "," : "", p.name,
            p.layer, p.trained ? "true" : "false", (size_t)p.data, (long long)p.size);
        put_shape(t, "shape", p.rank, p.shape);
        put(t, "}");
    }
    put(t, "]}");
}

/* JSON, for web_free; NULL: no memory. Strings of the core need no escapes. */
EXPORT(web_describe) char *web_describe(pn_net *net)
{
    text t = {0};
    describe(&t, net);
    t.room = t.used + 1;
    t.used = 0;
    t.at = malloc(t.room);
    if (t.at)
        describe(&t, net);
    return t.at;
}

/* ---- data and optimizer of the calls that follow ----------------------------------------------------------------------- */

EXPORT(web_data) void web_data(const void *x, int bytes, const int32_t *labels, const float *targets, int n)
{
    data = (pn_data){.x = x, .dtype = bytes ? PN_UINT8 : PN_FLOAT32, .labels = labels, .targets = targets, .n = n};
}

/* Fills numbers with the defaults of this kind. */
EXPORT(web_optimizer) pn_status web_optimizer(int kind)
{
    const pn_status status = pn_optim_default(&optimizer, (pn_optim_kind)kind);
    const double fields[] = {optimizer.learning_rate, optimizer.momentum, optimizer.beta1,        optimizer.beta2,
                             optimizer.epsilon,       optimizer.l2,       optimizer.weight_decay, optimizer.decay_all,
                             optimizer.clip_value,    optimizer.clip_norm};
    memcpy(numbers, fields, sizeof fields);
    return status;
}

/* The optimizer of the last web_optimizer, with the fields that numbers now has. */
static const pn_optim *changed_optimizer(void)
{
    optimizer.learning_rate = numbers[0];
    optimizer.momentum = numbers[1];
    optimizer.beta1 = numbers[2];
    optimizer.beta2 = numbers[3];
    optimizer.epsilon = numbers[4];
    optimizer.l2 = numbers[5];
    optimizer.weight_decay = numbers[6];
    optimizer.decay_all = numbers[7] != 0;
    optimizer.clip_value = numbers[8];
    optimizer.clip_norm = numbers[9];
    return &optimizer;
}

static void give_stats(const pn_stats *stats)
{
    numbers[0] = stats->loss;
    numbers[1] = (double)stats->correct;
    numbers[2] = (double)stats->samples;
    numbers[3] = (double)stats->steps;
}

/* ---- learning ------------------------------------------------------------------------------------------------------- */

EXPORT(web_train) pn_status web_train(pn_net *net, const int32_t *order, int n, int batch)
{
    pn_stats stats = {0};
    const pn_status status = pn_net_train(net, &data, order, n, batch, changed_optimizer(), &stats);
    give_stats(&stats);
    return status;
}

EXPORT(web_forward) pn_status web_forward(pn_net *net)
{
    return pn_net_forward(net, &data, NULL, data.n);
}

EXPORT(web_loss) pn_status web_loss(pn_net *net)
{
    return pn_net_loss(net, &data, NULL, data.n, &numbers[0]);
}

EXPORT(web_backward) pn_status web_backward(pn_net *net)
{
    return pn_net_backward(net);
}

/* Of tensor i; NULL: there is none. */
EXPORT(web_gradient) const float *web_gradient(pn_net *net, int i)
{
    pn_tensor tensor;
    return pn_net_tensor(net, i, &tensor) ? NULL : tensor.grad;
}

EXPORT(web_update) pn_status web_update(pn_net *net)
{
    return pn_net_update(net, changed_optimizer());
}

/* ---- answers -------------------------------------------------------------------------------------------------------- */

EXPORT(web_predict) pn_status web_predict(pn_net *net, float temperature, float *y)
{
    return pn_net_predict(net, &data, data.n, temperature, y);
}

EXPORT(web_evaluate) pn_status web_evaluate(pn_net *net)
{
    pn_stats stats = {0};
    const pn_status status = pn_net_evaluate(net, &data, NULL, data.n, &stats);
    give_stats(&stats);
    return status;
}

EXPORT(web_infer) pn_status web_infer(pn_net *net)
{
    return pn_net_infer(net, &data, NULL, data.n);
}

EXPORT(web_activation) pn_status web_activation(pn_net *net, int layer, int n, float *y)
{
    return pn_net_activation(net, layer, n, y);
}

EXPORT(web_input_gradient) pn_status web_input_gradient(pn_net *net, int layer, const float *dy, float *dx)
{
    return pn_net_input_gradient(net, &data, data.n, layer, dy, dx);
}

/* numbers[0] = bytes that the net takes for batches of so many rows, to train with the optimizer if `trains`. */
EXPORT(web_memory) pn_status web_memory(pn_net *net, int rows, int trains)
{
    size_t bytes = 0;
    const pn_status status = pn_net_memory(net, rows, trains ? changed_optimizer() : NULL, &bytes);
    numbers[0] = (double)bytes;
    return status;
}
