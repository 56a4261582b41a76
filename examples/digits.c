/* Loads a model that Python trained and prints the probability of each digit for an image: digits MODEL IMAGE
   IMAGE holds one byte a pixel, 0 black to 255 white, as many as the model takes. */
#include "pynet.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    char err[PN_ERRLEN];
    pn_net *net;
    pn_net_info info;

    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL IMAGE\n", argv[0]);
        return 2;
    }
    if (pn_net_load(&net, argv[1], err) != PN_OK) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    pn_net_describe(net, &info);

    uint8_t *image = malloc((size_t)info.in_features);
    float *p = malloc((size_t)info.out_features * sizeof *p);
    FILE *file = fopen(argv[2], "rb");
    if (!image || !p || !file || fread(image, 1, (size_t)info.in_features, file) != (size_t)info.in_features) {
        fprintf(stderr, "cannot read %lld pixels from %s\n", (long long)info.in_features, argv[2]);
        return 1;
    }

    pn_data data = {.x = image, .dtype = PN_UINT8, .n = 1};
    if (pn_net_predict(net, &data, 1, 1.0f, p) != PN_OK) {
        fprintf(stderr, "%s\n", pn_net_error(net));
        return 1;
    }
    for (int64_t i = 0; i < info.out_features; i++)
        printf("%lld  %.9g\n", (long long)i, (double)p[i]);

    fclose(file);
    free(p);
    free(image);
    pn_net_free(net);
    return 0;
}
