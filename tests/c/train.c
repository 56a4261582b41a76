/* Trains a network from C alone: train TEXT SEED EPOCHS BATCH X Y N MODEL
   X holds N rows of bytes, Y N labels of 4 bytes. */
#include "pynet.h"

#include <stdio.h>
#include <stdlib.h>

static void *read_file(const char *path, size_t size)
{
    void *content = malloc(size);
    FILE *file = fopen(path, "rb");
    if (!content || !file || fread(content, 1, size, file) != size) {
        fprintf(stderr, "cannot read %zu bytes from %s\n", size, path);
        exit(1);
    }
    fclose(file);
    return content;
}

int main(int argc, char **argv)
{
    if (argc != 9)
        return 2;
    char err[PN_ERRLEN];
    pn_net *net;
    pn_net_info info;
    const uint64_t seed = strtoull(argv[2], NULL, 10);
    const uint64_t epochs = strtoull(argv[3], NULL, 10);
    const int32_t batch = atoi(argv[4]), n = atoi(argv[7]);

    if (pn_net_new(&net, argv[1], seed, err) != PN_OK) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    pn_net_describe(net, &info);
    uint8_t *x = read_file(argv[5], (size_t)n * (size_t)info.in_features);
    int32_t *y = read_file(argv[6], (size_t)n * sizeof *y);
    int32_t *order = malloc((size_t)n * sizeof *order);
    if (!order)
        return 1;

    const pn_data data = {.x = x, .dtype = PN_UINT8, .labels = y, .n = n};
    const pn_optim sgd = {.kind = PN_SGD, .learning_rate = 0.1f};
    for (uint64_t epoch = 0; epoch < epochs; epoch++) {
        pn_stats stats = {0};
        pn_shuffle(order, n, seed, epoch);
        if (pn_net_train(net, &data, order, n, batch, &sgd, &stats) != PN_OK) {
            fprintf(stderr, "%s\n", pn_net_error(net));
            return 1;
        }
        printf("epoch %llu  loss %.4f\n", (unsigned long long)epoch + 1, stats.loss / (double)stats.samples);
    }
    if (pn_net_save(net, argv[8]) != PN_OK) {
        fprintf(stderr, "%s\n", pn_net_error(net));
        return 1;
    }
    free(order);
    free(y);
    free(x);
    pn_net_free(net);
    return 0;
}
