/* All memory comes from the program's allocator, and goes back to it. Prints how many checks it made. */
#include "testing.h"

#include <stdbool.h>

enum { BLOCKS = 1000 };
static struct {
    void *block[BLOCKS];
    size_t bytes;
    int held, calls;
    bool empty; /* there is no memory */
} arena;

static void *take(void *context, size_t bytes, size_t align)
{
    CHECK(context == &arena && bytes > 0 && bytes % align == 0 && (align & (align - 1)) == 0);
    arena.calls++;
    if (arena.empty || arena.held == BLOCKS)
        return NULL;
    void *block = aligned_alloc(align, bytes);
    return arena.block[arena.held++] = memset(block, 0xAA, bytes); /* so that reading it unwritten shows */
}

static void give_back(void *context, void *block)
{
    int i = 0;
    while (i < arena.held && arena.block[i] != block)
        i++;
    CHECK(context == &arena && i < arena.held);
    arena.block[i] = arena.block[--arena.held];
    free(block);
}

static uint64_t trained(void)
{
    static float x[40 * 6];
    static int32_t labels[40];
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = 40};
    pn_optim adam;
    uint32_t state = 1;
    for (int i = 0; i < 40 * 6; i++)
        x[i] = (float)draw(&state) / 8388608.0f - 1;
    for (int i = 0; i < 40; i++)
        labels[i] = i % 3;
    pn_net *net = created("input(6) dense(40) relu dense(3) softmax", 1);
    CHECK(pn_optim_default(&adam, PN_ADAM) == PN_OK);
    CHECK(pn_net_train(net, &data, NULL, 40, 7, &adam, NULL) == PN_OK);
    CHECK(pn_net_set_meta(net, "a", "b") == PN_OK && pn_net_set_meta(net, "a", NULL) == PN_OK);
    pn_net *again = saved_and_loaded(net);
    const uint64_t h = hash(again);
    pn_net_free(net);
    pn_net_free(again);
    return h;
}

int main(void)
{
    const pn_allocator mine = {take, give_back, &arena};
    CHECK(pn_set_allocator(NULL) == PN_ERR_ARGUMENT);
    CHECK(pn_set_allocator(&(pn_allocator){.alloc = take}) == PN_ERR_ARGUMENT);
    CHECK(pn_set_allocator(&(pn_allocator){.free = give_back}) == PN_ERR_ARGUMENT);
    CHECK(pn_set_allocator(&mine) == PN_OK && pn_set_allocator(&mine) == PN_OK && arena.calls == 0);
    const uint64_t h = trained();
    CHECK(arena.calls > 10 && arena.held == 0);
    CHECK(trained() == h && arena.held == 0);
    CHECK(pn_set_allocator(&mine) == PN_ERR_STATE);

    char err[PN_ERRLEN] = "";
    pn_net *net;
    arena.empty = true;
    CHECK(pn_net_new(&net, "input(2) dense(2)", 1, err) == PN_ERR_MEMORY && !net && strstr(err, "no memory"));
    CHECK(arena.held == 0);
    printf("allocator: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
