/* Augmentation from C: its results, invalid arguments. */
#include "testing.h"

#include <math.h>

enum { N = 70, HEIGHT = 9, WIDTH = 7, PLACES = HEIGHT * WIDTH, CLASSES = 3, BATCH = 32 };
static uint8_t bytes[N * PLACES];
static float floats[N * PLACES];
static int32_t labels[N];
static const pn_optim sgd = {.kind = PN_SGD, .learning_rate = 0.1};
static const char *const flat = "input(63) dense(20) relu dense(3) softmax";

static void draw_samples(void)
{
    uint32_t state = 1;
    for (int i = 0; i < N * PLACES; i++) {
        bytes[i] = (uint8_t)(draw(&state) % 3 ? 0 : draw(&state));
        floats[i] = (float)bytes[i] / 255;
    }
    for (int i = 0; i < N; i++)
        labels[i] = (int32_t)(draw(&state) % CLASSES);
}

static float largest_difference(const float *a, const float *b)
{
    float most = 0;
    for (int i = 0; i < N * PLACES; i++)
        most = fmaxf(most, fabsf(a[i] - b[i]));
    return most;
}

static void shows(void)
{
    static float same[N * PLACES], once[N * PLACES], again[N * PLACES];
    char err[PN_ERRLEN];
    pn_augment how = {.height = HEIGHT, .width = WIDTH};
    CHECK(pn_augmented(same, bytes, PN_UINT8, N, 1, &how, 5, 0, err) == PN_OK);
    CHECK(largest_difference(same, floats) < 1e-6f); /* all strengths 0: the identity */
    pn_augment_default(&how, HEIGHT, WIDTH);
    CHECK(how.height == HEIGHT && how.width == WIDTH && how.shift == 16 / 56.0 && how.elastic == 16 / 80.0);
    CHECK(pn_augmented(once, bytes, PN_UINT8, N, 1, &how, 5, 8, err) == PN_OK);
    CHECK(pn_augmented(again, floats, PN_FLOAT32, N, 1, &how, 5, 8, err) == PN_OK);
    CHECK(largest_difference(once, floats) > 0.1f && largest_difference(once, again) < 1e-6f);
    for (int i = 0; i < N * PLACES; i++)
        CHECK(once[i] >= 0 && once[i] <= 1.00001f);
    for (int other = 0; other < 2; other++) { /* another seed, or another step: other images */
        CHECK(pn_augmented(again, bytes, PN_UINT8, N, 1, &how, other ? 6 : 5, other ? 8 : 9, err) == PN_OK);
        CHECK(largest_difference(once, again) > 0.1f);
    }
}

static void refuses(void)
{
    pn_net *net = created(flat, 5);
    const uint64_t before = hash(net);
    pn_augment how = {.rotate = 360, .height = HEIGHT, .width = WIDTH};
    const pn_data data = {.x = bytes, .dtype = PN_UINT8, .labels = labels, .n = N, .augment = &how};
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &sgd, NULL), PN_ERR_ARGUMENT, "rotate of the augmentation is 360");
    how = (pn_augment){.elastic = NAN, .height = HEIGHT, .width = WIDTH};
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &sgd, NULL), PN_ERR_ARGUMENT, "elastic of the augmentation is");
    how = (pn_augment){.shift = 1};
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &sgd, NULL), PN_ERR_ARGUMENT, "augmentation needs pictures");
    how = (pn_augment){.height = 8, .width = 8};
    REFUSED(pn_net_train(net, &data, NULL, N, BATCH, &sgd, NULL), PN_ERR_ARGUMENT, "augmentation of pictures 8 by 8");
    CHECK(hash(net) == before);
    pn_net_free(net);

    float y[PLACES];
    char err[PN_ERRLEN];
    CHECK(pn_augmented(y, bytes, PN_UINT8, 1, 0, &how, 0, 0, err) == PN_ERR_ARGUMENT &&
          strstr(err, "pictures (0, 8, 8)"));
    how.scale = -1;
    CHECK(pn_augmented(y, bytes, PN_UINT8, 1, 1, &how, 0, 0, err) == PN_ERR_ARGUMENT && strstr(err, "scale of the"));
}

int main(void)
{
    draw_samples();
    shows();
    refuses();
    printf("augment: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
