/* Trains a classifier of pictures in C and saves it for Python: train_mnist IMAGES LABELS MODEL
   The first two are MNIST's files without .gz: train-images-idx3-ubyte, train-labels-idx1-ubyte. */
#include "pynet.h"

#include <stdio.h>
#include <stdlib.h>

enum { EPOCHS = 3, BATCH = 64, SEED = 0 };

/* Bytes of an IDX file after its header, a number of 4 bytes for each of these dimensions, which it also gives. */
static uint8_t *read_idx(const char *path, int dimensions, int32_t *dims)
{
    uint8_t header[16];
    const size_t length = 4 + 4 * (size_t)dimensions;
    FILE *file = fopen(path, "rb");
    if (!file || fread(header, 1, length, file) != length || header[2] != 8 || header[3] != dimensions) {
        fprintf(stderr, "%s is not an IDX file of bytes with %d dimensions\n", path, dimensions);
        exit(1);
    }
    size_t size = 1;
    for (int d = 0; d < dimensions; d++) {
        const uint8_t *p = header + 4 + 4 * d;
        dims[d] = p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        if (dims[d] <= 0 || (size *= (size_t)dims[d]) > (1u << 31) - 1) {
            fprintf(stderr, "%s is empty or larger than 2 GB\n", path);
            exit(1);
        }
    }
    uint8_t *bytes = malloc(size);
    if (!bytes || fread(bytes, 1, size, file) != size) {
        fprintf(stderr, "cannot read %zu bytes from %s\n", size, path);
        exit(1);
    }
    fclose(file);
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s IMAGES LABELS MODEL\n", argv[0]);
        return 2;
    }
    int32_t dims[3], n;
    uint8_t *x = read_idx(argv[1], 3, dims), *digits = read_idx(argv[2], 1, &n);
    int32_t *labels = malloc((size_t)n * sizeof *labels), *order = malloc((size_t)n * sizeof *order);
    if (n != dims[0] || !labels || !order) {
        fprintf(stderr, "%d images, %d labels\n", dims[0], n);
        return 1;
    }
    for (int32_t i = 0; i < n; i++)
        labels[i] = digits[i];
    const pn_data data = {.x = x, .dtype = PN_UINT8, .labels = labels, .n = n};

    char text[100], err[PN_ERRLEN];
    snprintf(text, sizeof text, "input(%d) dense(128) relu dense(64) relu dense(10) softmax", dims[1] * dims[2]);
    pn_net *net;
    pn_status status = pn_net_new(&net, text, SEED, err);
    pn_optim sgd;
    pn_optim_default(&sgd, PN_SGD);
    for (uint64_t epoch = 0; epoch < EPOCHS && status == PN_OK; epoch++) {
        pn_stats stats = {0};
        pn_shuffle(order, n, SEED, epoch);
        status = pn_net_train(net, &data, order, n, BATCH, &sgd, &stats);
        printf("epoch %d  loss %.4f\n", (int)epoch + 1, stats.loss / (double)stats.samples);
    }
    if (status == PN_OK)
        status = pn_net_save(net, argv[3]);
    if (status != PN_OK)
        fprintf(stderr, "%s\n", net ? pn_net_error(net) : err);
    pn_net_free(net);
    free(order);
    free(labels);
    free(digits);
    free(x);
    return status != PN_OK;
}
