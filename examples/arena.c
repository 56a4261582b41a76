/* No malloc: the core takes its memory from a static array, as on a machine without a heap. Trains, and predicts. */
#include "pynet.h"

#include <stdatomic.h>
#include <stdio.h>

/* An arena hands out one piece after another and takes none back, so a program makes its networks once. */
static _Alignas(64) unsigned char arena[32 << 10];
static atomic_size_t used; /* threads may ask at the same time */

static void *take(void *context, size_t bytes, size_t align)
{
    (void)context;
    size_t from, start = used;
    do {
        from = (start + align - 1) / align * align;
        if (bytes > sizeof arena - from)
            return NULL; /* the call ends with PN_ERR_MEMORY */
    } while (!atomic_compare_exchange_weak(&used, &start, from + bytes));
    return arena + from;
}

static void keep(void *context, void *block)
{
    (void)context;
    (void)block;
}

int main(void)
{
    const pn_allocator allocator = {.alloc = take, .free = keep};
    const float x[] = {0, 0, 0, 1, 1, 0, 1, 1}, targets[] = {0, 1, 1, 0};
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .targets = targets, .n = 4};
    char err[PN_ERRLEN];
    float p[4];
    pn_net *net = NULL;
    pn_optim adam;

    pn_optim_default(&adam, PN_ADAM);
    adam.learning_rate = 0.02f;
    pn_status status = pn_set_allocator(&allocator);
    if (status == PN_OK)
        status = pn_net_new(&net, "input(2) dense(8) tanh dense(1) sigmoid loss(bce)", 1, err);
    if (status == PN_OK)
        status = pn_net_reserve(net, 4, &adam); /* the calls below take no memory */
    const size_t reserved = used;
    for (int epoch = 0; epoch < 500 && status == PN_OK; epoch++)
        status = pn_net_train(net, &data, NULL, 4, 4, &adam, NULL);
    if (status == PN_OK)
        status = pn_net_predict(net, &data, 4, 1, p);
    if (status != PN_OK) {
        fprintf(stderr, "%s\n", net ? pn_net_error(net) : err);
        return 1;
    }
    for (int i = 0; i < 4; i++)
        printf("%g xor %g: %.3f\n", (double)x[2 * i], (double)x[2 * i + 1], (double)p[i]);
    printf("reserved %d of %d bytes, then took %d\n", (int)reserved, (int)sizeof arena, (int)(used - reserved));
    return 0;
}
