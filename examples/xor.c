/* Trains a network from nothing to the exclusive or of two numbers. */
#include "pynet.h"

#include <stdio.h>

int main(void)
{
    const float x[] = {0, 0, 0, 1, 1, 0, 1, 1}; /* 4 samples of 2 numbers */
    const int32_t labels[] = {0, 1, 1, 0};
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .n = 4};
    char err[PN_ERRLEN];
    float p[4 * 2]; /* probabilities of labels 0 and 1 */
    pn_net *net;

    if (pn_net_new(&net, "input(2) dense(8) tanh dense(2) softmax", 1, err) != PN_OK) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    pn_optim adam;
    pn_optim_default(&adam, PN_ADAM);
    adam.learning_rate = 0.01f;

    pn_status status = PN_OK;
    for (int epoch = 1; epoch <= 500 && status == PN_OK; epoch++) {
        pn_stats stats = {0};
        status = pn_net_train(net, &data, NULL, 4, 4, &adam, &stats);
        if (epoch % 100 == 0)
            printf("epoch %d  loss %.4f\n", epoch, stats.loss / (double)stats.samples);
    }
    if (status == PN_OK)
        status = pn_net_predict(net, &data, 4, 1, p);
    if (status != PN_OK)
        fprintf(stderr, "%s\n", pn_net_error(net));
    for (int i = 0; i < 4 && status == PN_OK; i++)
        printf("%g xor %g: %d, with probability %.3f\n", (double)x[2 * i], (double)x[2 * i + 1],
               p[2 * i + 1] > p[2 * i], (double)(p[2 * i + 1] > p[2 * i] ? p[2 * i + 1] : p[2 * i]));
    pn_net_free(net);
    return status != PN_OK;
}
