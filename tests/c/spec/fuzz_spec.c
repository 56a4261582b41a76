/* Fuzzes the text of networks: a text that is accepted has a canonical text that is its own, sizes that have not
   overflowed, and if it is small enough trains a step, predicts and computes gradients of the inputs. */
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) ((condition) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #condition), abort()))

enum { ROWS = 3, SMALL = 1 << 16, MOST_LAYERS = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static double product(const int64_t *dim, int rank)
{
    double n = 1;
    for (int i = 0; i < rank; i++)
        n *= (double)dim[i];
    return n;
}

/* Every size equals the product in double. Returns the numbers that all layers hold for a sample. */
static double check_sizes(const pn_net *net)
{
    double numbers = product(net->text.input.dim, net->text.input.rank), parameters = 0;
    for (int i = 0; i < net->graph.n_layers; i++) {
        const layer *l = &net->graph.layers[i];
        const double out = product(l->out.dim, l->out.rank);
        CHECK(out >= 1 && out <= MAX_FEATURES && (double)shape_size(&l->out) == out);
        numbers += out + (double)l->copy_size + (double)l->scratch.size + (double)l->scratch.thread_size +
                   (double)l->scratch.row_size;
        for (int k = 0; k < l->n_params; k++) {
            const parameter *p = &l->param[k];
            CHECK(product(p->dim, p->rank) == (double)p->size && p->size <= INT32_MAX);
            parameters += (double)p->size;
        }
    }
    CHECK(parameters == (double)net->n_parameters + (double)net->n_running);
    return numbers + parameters;
}

static void check_text(const pn_net *net)
{
    char err[PN_ERRLEN];
    pn_net *again;
    CHECK(net_build(&again, net->spec, err) == PN_OK);
    CHECK(strcmp(again->spec, net->spec) == 0 && again->graph.n_layers == net->graph.n_layers);
    pn_net_free(again);
}

/* Statuses are ignored: a loss may be infinite. */
static void use(const char *text)
{
    static float x[ROWS * SMALL], y[ROWS * SMALL], targets[ROWS * SMALL];
    const int32_t labels[ROWS] = {0};
    const pn_data data = {.x = x, .dtype = PN_FLOAT32, .labels = labels, .targets = targets, .n = ROWS};
    const pn_optim opt = {.kind = PN_ADAM, .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-8};
    char err[PN_ERRLEN];
    pn_net *net;
    for (int i = 0; i < ROWS * SMALL; i++)
        x[i] = (float)(i % 5 - 2);
    CHECK(pn_net_new(&net, text, 1, err) == PN_OK);
    pn_net_predict(net, &data, ROWS, 1, y);
    const pn_status status = pn_net_train(net, &data, NULL, ROWS, ROWS, &opt, NULL);
    CHECK(status == PN_OK || net->error[0]);
    for (int i = 0; i < net->graph.n_layers; i++)
        CHECK(pn_net_input_gradient(net, &data, ROWS, i, x, y) == PN_OK);
    pn_net_free(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pn_net *net;
    char err[PN_ERRLEN] = "", *text = malloc(size + 1);
    CHECK(text);
    memcpy(text, data, size);
    text[size] = 0;
    const pn_status status = net_build(&net, text, err);
    CHECK((status == PN_OK) == (net != NULL) && (status == PN_OK || err[0]));
    if (status == PN_OK) {
        const bool small = check_sizes(net) < SMALL && net->graph.n_layers < MOST_LAYERS;
        check_text(net);
        pn_net_free(net);
        if (small)
            use(text);
    }
    free(text);
    return 0;
}
