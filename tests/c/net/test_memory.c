/* Work memory: its pieces are aligned to cache lines in one block, do not overlap, have the right sizes, and never
   shrink; if an allocation fails the old ones stay in use. Prints how many checks it made. */
#include "net/run.h"
#include "testing.h"

#include <stdint.h>

/* Lets malloc return NULL under a sanitizer, too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

enum { MOST_PIECES = 200 };

/* A piece of the block: where it begins, and its floats. */
typedef struct {
    float *data;
    size_t size;
} piece;

/* The pieces that net/memory.c should have made, computed from the shapes. */
typedef struct {
    piece of[MOST_PIECES];
    int n;
    size_t floats; /* of all pieces, each padded to a cache line */
} pieces;

static void add(pieces *p, const void *data, size_t size)
{
    p->of[p->n++] = (piece){(float *)(uintptr_t)data, size};
    p->floats += (size + 15) / 16 * 16;
}

static size_t wide(int64_t features)
{
    return ((size_t)features + 15) / 16 * 16;
}

static void add_rows(pieces *p, const activation *a, int64_t features, size_t rows)
{
    if (!a->data)
        return;
    CHECK(a->ld == wide(features));
    add(p, a->data, rows * a->ld);
}

static pieces pieces_of(const pn_net *net)
{
    const net_work *w = &net->work;
    const work_block *b = &w->blocks[FOR_TRAINING];
    const size_t rows = (size_t)b->capacity;
    const int64_t inputs = shape_size(&net->text.input), outputs = shape_size(&net->graph.last->out);
    pieces p = {0};
    add(&p, w->x, (size_t)b->copies * sizeof *w->x / sizeof(float));
    add(&p, w->masks, (size_t)b->copies * sizeof *w->masks / sizeof(float));
    for (int c = 0; c < b->copies; c++) { /* of large batches the later copies hold 64 rows, one piece of the batch */
        const size_t copied = c > 0 && net->graph.in_pieces && rows > 64 ? 64 : rows;
        const size_t row_words = (wide(inputs) + 63) / 64, column_words = (copied + 63) / 64;
        add_rows(&p, &w->x[c], inputs, copied);
        CHECK(w->masks[c].row_words == row_words && w->masks[c].column_words == column_words);
        add(&p, w->masks[c].rows, 2 * copied * row_words); /* a 64-bit word is two floats */
        add(&p, w->masks[c].columns, 2 * 64 * row_words * column_words);
    }
    CHECK((w->dx.data != NULL) == w->input_gradient);
    add_rows(&p, &w->dx, inputs, rows);
    for (int i = 0; i < net->graph.n_layers; i++) {
        const layer *l = &net->graph.layers[i];
        add(&p, l->scratch.data, l->scratch.size);
        add(&p, l->scratch.thread_data, l->scratch.thread_size * (size_t)b->threads);
        add(&p, l->scratch.row_data, l->scratch.row_size * rows);
        if (!l->ops->forward)
            continue;
        add_rows(&p, &l->y, shape_size(&l->out), rows);
        if (!l->sum)
            add_rows(&p, &l->dy, shape_size(&l->out), rows);
        if (l->dx.data && l->sum && l == l->sum->residual.skip)
            add_rows(&p, &l->dx, shape_size(&l->in), rows);
        if (l->copy_size) {
            add_rows(&p, &l->copy, (int64_t)l->copy_size, rows);
            add_rows(&p, &l->dcopy, (int64_t)l->copy_size, rows);
        }
    }
    CHECK((w->targets.targets != NULL) == (net->text.loss.kind != PN_CROSS_ENTROPY));
    if (w->targets.targets)
        add(&p, w->targets.targets, rows * wide(outputs));
    add(&p, w->targets.labels, rows);
    add(&p, w->targets.weights, rows);
    add(&p, w->loss, rows);
    add(&p, w->correct, rows);
    return p;
}

static int by_place(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

/* Checks that the pieces fill the block without gaps. Returns its number of floats. */
static size_t check_layout(const pn_net *net)
{
    pieces p = pieces_of(net);
    const float *next = net->work.blocks[0].block;
    int misplaced = 0;
    CHECK((uintptr_t)net->work.blocks[0].block % ALIGN == 0);
    qsort(p.of, (size_t)p.n, sizeof *p.of, by_place);
    for (int i = 0; i < p.n; i++) {
        misplaced += p.of[i].data != next;
        next += (p.of[i].size + 15) / 16 * 16;
    }
    CHECK(misplaced == 0);
    CHECK((size_t)(next - net->work.blocks[0].block) == p.floats);
    if (misplaced == 0) /* under a sanitizer: all of it is there */
        memset(net->work.blocks[0].block + 2 * 16, 0, (p.floats - 2 * 16) * sizeof(float));
    return p.floats;
}

static const char *const specs[] = {
    "input(784) dense(128) relu dense(10) softmax",
    "input(126) batchnorm dense(290,bias=no) tanh dense(7) loss(mse)",
    "input(20) residual(dense(33) relu residual(dense(5)) layernorm) relu residual(tanh) dense(3) sigmoid loss(bce)",
    "input(2,9,7) layernorm conv(5,3,pad=same) relu maxpool(2) flatten dropout(.5) residual(dense(9)) dense(4) softmax",
    "input(2,9,7) residual(conv(9,3,pad=1,stride=2)) batchnorm globalavgpool dense(4) softmax",
    "input(2,9,7) standardize conv(5,3) relu dense(4) rescale loss(huber)",
};
enum { SPECS = sizeof specs / sizeof *specs };

static void layouts(void)
{
    for (int s = 0; s < SPECS; s++)
        for (int gradient = 0; gradient < 2; gradient++) {
            pn_net *net = created(specs[s], 1);
            CHECK(!net->work.blocks[0].block &&
                  net->work.blocks[0].capacity == 0); /* nothing is allocated before the first call */
            net->work.input_gradient = gradient;
            size_t floats = 0;
            const int sizes[][3] = {
                {1, 1, 1}, {7, 1, 2}, {7, 2, 2}, {65, 3, 3}, {128, 3, 3}}; /* rows, copies, threads */
            for (int i = 0; i < 5; i++) {
                CHECK(reserve(net, sizes[i][0], sizes[i][1], sizes[i][2]) == PN_OK);
                CHECK(net->work.blocks[0].capacity == sizes[i][0] && net->work.blocks[0].copies == sizes[i][1] &&
                      net->work.blocks[0].threads == sizes[i][2]);
                const size_t more = check_layout(net);
                CHECK(more > floats);
                floats = more;
            }
            pn_net_free(net);
        }
}

/* The sizes for one network, computed by hand. */
static void by_hand(void)
{
    pn_net *net = created("input(20) dense(33) relu dense(3) softmax", 1);
    CHECK(reserve(net, 10, 1, 2) == PN_OK);
    /* x 10 rows of 32; its masks: 10 words and 64 words of 64 bits, the first padded from 20 floats to 32 */
    const size_t inputs = 10 * 32 + 32 + 128;
    /* y and dy, 48 wide; b */
    const size_t first = 2 * 10 * 48 + 48;
    const size_t relu = 2 * 10 * 48;
    const size_t second = 2 * 10 * 16 + 16;
    const size_t softmax = 2 * 10 * 16;
    CHECK(check_layout(net) ==
          inputs + first + relu + second + softmax + 6 * 16); /* copies, masks, labels, weights, loss, correct */
    pn_net_free(net);
}

/* x and dx of a layer are y and dy of the one before; y and dy of a view are its x and dx; branches share dy of their
   sum. */
static void shared(void)
{
    pn_net *net = created(specs[2], 1);
    CHECK(reserve(net, 9, 1, 1) == PN_OK);
    for (int i = 0; i < net->graph.n_layers; i++) {
        const layer *l = &net->graph.layers[i];
        if (l->before)
            CHECK(l->x.data == l->before->y.data && l->x.ld == l->before->y.ld);
        else
            CHECK(!l->x.data); /* it is in the pass */
        if (l->before && !(l->sum && l == l->sum->residual.skip))
            CHECK(l->dx.data == l->before->dy.data);
        if (l->sum)
            CHECK(l->dy.data == l->sum->dy.data && l->dy.ld == l->sum->dy.ld);
        CHECK((l->dy.data != NULL) == l->trainable || (l->sum && l->sum->trainable));
    }
    pn_net_free(net);
    net = created("input(2,3,3) flatten dense(4) flatten tanh dense(2)", 1);
    CHECK(reserve(net, 9, 1, 1) == PN_OK);
    const layer *l = net->graph.layers;
    CHECK(!l[0].y.data && !l[1].before);
    CHECK(l[2].y.data == l[1].y.data && l[2].dy.data == l[1].dy.data && l[3].x.data == l[1].y.data);
    pn_net_free(net);
}

static void growth(void)
{
    pn_net *net = created(specs[0], 1);
    CHECK(reserve(net, 32, 1, 1) == PN_OK);
    float *block = net->work.blocks[0].block;
    net->work.done = STEP_LOSS;
    CHECK(reserve(net, 32, 1, 1) == PN_OK && reserve(net, 1, 1, 1) == PN_OK);
    CHECK(net->work.blocks[0].block == block && net->work.blocks[0].capacity == 32 &&
          net->work.done == STEP_LOSS); /* unchanged */
    CHECK(reserve(net, 33, 1, 1) == PN_OK && net->work.blocks[0].capacity == 33 && net->work.done == STEP_NONE);
    CHECK(reserve(net, 5, 2, 1) == PN_OK && net->work.blocks[0].capacity == 33 && net->work.blocks[0].copies == 2);
    CHECK(reserve(net, 5, 1, 3) == PN_OK && net->work.blocks[0].capacity == 33 && net->work.blocks[0].copies == 2 &&
          net->work.blocks[0].threads == 3);
    check_layout(net);

    /* an allocation that fails: the message has the number of samples, and the old memory stays in use */
    block = net->work.blocks[0].block;
    const int64_t refused[] = {INT64_MAX, (int64_t)1 << 40, INT32_MAX, INT32_MAX / 2 + 1};
    for (int i = 0; i < 4; i++) {
        char message[64];
        snprintf(message, sizeof message, "no memory for a batch of %lld samples", (long long)refused[i]);
        net->work.done = STEP_LOSS;
        CHECK(reserve(net, refused[i], 1, 1) == PN_ERR_MEMORY);
        SAME_TEXT(net->error, message);
        CHECK(net->work.blocks[0].block == block && net->work.blocks[0].capacity == 33 &&
              net->work.blocks[0].copies == 2 && net->work.blocks[0].threads == 3);
        CHECK(net->work.done == STEP_NONE);
        check_layout(net);
    }
    CHECK(reserve(net, 33, 2, 3) == PN_OK && net->work.blocks[0].block == block);
    pn_net_free(net);

    net = created("input(1000000) tanh",
                  1); /* 2^30 rows of 3 million floats: counted, but past all that can be addressed */
    CHECK(reserve(net, 2, 1, 1) == PN_OK && reserve(net, INT32_MAX / 2, 1, 1) == PN_ERR_MEMORY);
    SAME_TEXT(net->error, "no memory for a batch of 1073741823 samples");
    CHECK(net->work.blocks[0].capacity == 2);
    check_layout(net);
    pn_net_free(net);

    net = created(specs[0], 1); /* with nothing there yet */
    CHECK(reserve(net, INT64_MAX, 1, 1) == PN_ERR_MEMORY && !net->work.blocks[0].block &&
          net->work.blocks[0].capacity == 0);
    CHECK(reserve(net, 3, 1, 1) == PN_OK && net->work.blocks[0].capacity == 3);
    check_layout(net);
    pn_net_free(net);
}

static void threads_and_copies(void)
{
    CHECK(pn_set_threads(4) == PN_OK);
    pn_net *net = created("input(100) dense(99)", 1); /* 100 * 99 weights and 99 biases: 9999 multiply-adds a sample */
    CHECK(worthwhile_threads(net, 20) == 1 &&
          worthwhile_threads(net, 21) == 4); /* 200,000 in a batch pay for a second thread */
    CHECK(worthwhile_threads(net, INT64_MAX) == 4 && worthwhile_threads(net, 0) == 1);
    CHECK(input_copies(net, 20) == 1 && input_copies(net, 21) == 4);
    CHECK(pn_set_threads(1) == PN_OK && worthwhile_threads(net, 1000) == 1 && input_copies(net, 1000) == 1);
    CHECK(pn_set_threads(4) == PN_OK);
    pn_net_free(net);

    net = created("input(100000) batchnorm dense(2)", 1); /* copies hold all rows: 16 million floats are 160 rows */
    CHECK(input_copies(net, 40) == 4 && input_copies(net, 41) == 3);
    CHECK(input_copies(net, 53) == 3 && input_copies(net, 54) == 2);
    CHECK(input_copies(net, 80) == 2 && input_copies(net, 81) == 1 && input_copies(net, 1000) == 1);
    CHECK(reserve(net, 40, 4, 4) == PN_OK && net->work.blocks[0].copies == 4);
    /* forty rows for four copies, or a hundred for one, but not a hundred for four */
    CHECK(reserve(net, 100, 1, 1) == PN_OK && net->work.blocks[0].copies == 1 && net->work.blocks[0].capacity == 100);
    CHECK(net->work.blocks[0].threads == 4);
    check_layout(net);
    pn_net_free(net);

    net = created("input(100000) dense(2)", 1); /* only this layer reads the inputs: 64 rows at a time are enough */
    CHECK(input_copies(net, 40) == 4 && input_copies(net, 41) == 3 && input_copies(net, 64) == 2);
    CHECK(input_copies(net, 65) == 2 && input_copies(net, 100000) == 2); /* 2 copies of 64 rows keep within 160 */
    pn_net_free(net);
    CHECK(pn_set_threads(0) == PN_OK);
}

/* A batchnorm of images keeps sums of each row in training alone: predicting takes as much as with relu. */
static void many_batchnorms(void)
{
    size_t with[2];
    for (int i = 0; i < 2; i++) {
        char text[1000] = "input(64,2,2)";
        for (int k = 0; k < 20; k++)
            strcat(text, i ? " relu" : " batchnorm");
        pn_net *net = created(strcat(text, " dense(3)"), 1);
        pn_net_info info;
        pn_net_describe(net, &info);
        CHECK(pn_net_memory(net, 100000, NULL, &with[i]) == PN_OK);
        with[i] -= (size_t)info.parameters * sizeof(float);
        pn_net_free(net);
    }
    CHECK(with[0] < with[1] + 100000);
}

int main(void)
{
    layouts();
    by_hand();
    shared();
    growth();
    many_batchnorms();
    if (THREADED)
        threads_and_copies();
    printf("memory: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
