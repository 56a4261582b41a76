/* From words to linked layers: which layer reads which, the order of computation, residuals and their projections,
   fused ReLUs, shapes, names of tensors, and shapes that do not fit. Prints how many checks it made. */
#include "net/net.h"
#include "testing.h"

static void put(char **at, const char *text)
{
    *at += sprintf(*at, "%s", text);
}

/* The layers in the order of computation, separated by blanks: path<source, where source is the layer whose y is x, or
   "in"; then "=" for a view, "+path" for the residual that adds this y, "f" for a ReLU that the layer before it
   computes in forward, "b" for one that the layer after it computes in backward, and "d" if dx is needed. */
static const char *sketch(const pn_net *net)
{
    static char text[2048];
    char *at = text;
    *at = 0;
    for (int i = 0; i < net->graph.n_ordered; i++) {
        const layer *l = net->graph.order[i];
        put(&at, i ? " " : "");
        put(&at, l->path);
        put(&at, "<");
        put(&at, l->before ? l->before->path : "in");
        put(&at, l->ops->forward ? "" : "=");
        if (l->sum) {
            put(&at, "+");
            put(&at, l->sum->path);
        }
        put(&at, l->fused_forward ? "f" : "");
        put(&at, l->fused_backward ? "b" : "");
        put(&at, l->needs_dx ? "d" : "");
    }
    return text;
}

/* The only layer that reads y of l. A residual that adds its x is a reader, a view is not. */
static const layer *only_reader(const pn_net *net, const layer *l)
{
    const layer *reader = NULL;
    int readers = 0;
    for (int i = 0; i < net->graph.n_layers; i++) {
        const layer *other = &net->graph.layers[i];
        if (other->before == l && other->ops->forward) {
            reader = other;
            readers++;
        }
    }
    return readers == 1 && l->ops->forward ? reader : NULL;
}

static void sketches(void)
{
    static const char *const pairs[][2] = {
        {"input(4) dense(5) relu dense(3) softmax", "0<in 1<0fbd 2<1d 3<2d"},
        {"input(4) relu dense(5) tanh dense(3)", "0<inb 1<0 2<1d 3<2d"},   /* no layer before it that could */
        {"input(4) dense(5) relu tanh", "0<in 1<0fd 2<1d"},                /* none after it */
        {"input(4) dense(5) relu relu dense(3)", "0<in 1<0fd 2<1bd 3<2d"}, /* one each */
        {"input(4) dense(5) leaky_relu dense(3)", "0<in 1<0d 2<1d"},       /* only plain ones are fused */
        {"input(4) tanh relu", "0<in 1<0"},                                /* no parameters: no gradients */
        {"input(4) tanh dense(3) relu sigmoid dense(2)", "0<in 1<0 2<1fd 3<2d 4<3d"},
        /* flatten is a view: the layer after it reads the one before it */
        {"input(1,2,2) flatten dense(3) flatten relu dense(2)", "0<in= 1<in 2<1=d 3<1fbd 4<3d"},
        /* residuals come after the layers in them; their x has two readers: no fused ReLU in backward */
        {"input(4) residual(relu)", "0.0<in+0 0<in"},
        {"input(4) dense(4) relu residual(dense(4) relu) tanh", "0<in 1<0fd 2.0<1d 2.1<2.0+2fd 2<1d 3<2d"},
        {"input(4) dense(4) residual(relu dense(4)) relu dense(3)", "0<in 1.0<0bd 1.1<1.0+1d 1<0d 2<1bd 3<2d"},
        {"input(4) residual(residual(dense(4)) relu) dense(2)", "0.0.0<in+0.0 0.0<in 0.1<0.0+0d 0<in 1<0d"},
        /* a projection where shapes differ; gradients of the inputs are not needed */
        {"input(4) residual(dense(6))", "0.0<in+0 0.skip<in+0 0<in"},
        {"input(4) dense(6) residual(dense(7) relu) relu", "0<in 1.0<0d 1.1<1.0+1fd 1.skip<0+1d 1<0d 2<1d"},
        {"input(4) residual(residual(dense(6)) tanh)",
         "0.0.0<in+0.0 0.0.skip<in+0.0 0.0<in 0.1<0.0+0d 0.skip<in+0 0<in"},
        /* a dense layer with a copy of x does not fuse the ReLU before it; an image of one channel needs no copy */
        {"input(2,5,5) conv(3,3) relu dense(2)", "0<in 1<0fd 2<1d"},
        {"input(2,5,5) conv(1,3) relu dense(2)", "0<in 1<0fbd 2<1d"},
        {"input(2,5,5) conv(3,3) relu maxpool(3) dense(2)", "0<in 1<0fbd 2<1d 3<2d"},
        {"input(2,5,5) conv(3,3) relu conv(3,1) relu conv(3,2,pad=same)", "0<in 1<0fd 2<1d 3<2fd 4<3d"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        pn_net *net = created(pairs[i][0], 1);
        SAME_TEXT(sketch(net), pairs[i][1]);
        CHECK(net->graph.n_ordered == net->graph.n_layers);
        CHECK(net->graph.last == net->graph.order[net->graph.n_layers - 1]);
        for (int k = 0; k < net->graph.n_layers; k++) {
            CHECK(net->graph.layers[k].number == k);
            CHECK(net->graph.layers[k].after == only_reader(net, &net->graph.layers[k]));
        }
        pn_net_free(net);
    }
}

/* "path kind (in)>(out)" of each layer in the order of the text, ended by ";" */
static const char *shapes(pn_net *net)
{
    static char text[2048];
    char *at = text;
    pn_net_info info;
    pn_net_describe(net, &info);
    *at = 0;
    for (int i = 0; i < info.layers; i++) {
        pn_layer_info l;
        CHECK(pn_net_layer(net, i, &l) == PN_OK);
        shape in = {.rank = l.in_rank}, out = {.rank = l.out_rank};
        memcpy(in.dim, l.in_shape, sizeof in.dim);
        memcpy(out.dim, l.out_shape, sizeof out.dim);
        at += sprintf(at, "%s%s %s %s>%s", i ? "; " : "", l.path, l.kind, show_shape(&in).text, show_shape(&out).text);
    }
    return text;
}

/* "name(shape)", separated by blanks, with a ~ before running statistics. Checks that their memory is contiguous. */
static const char *tensors(pn_net *net)
{
    static char text[2048];
    char *at = text;
    const float *end = NULL;
    pn_net_info info;
    int64_t trained = 0;
    pn_net_describe(net, &info);
    *at = 0;
    for (int i = 0; i < info.tensors; i++) {
        pn_tensor t;
        CHECK(pn_net_tensor(net, i, &t) == PN_OK);
        shape s = {.rank = t.rank};
        memcpy(s.dim, t.shape, sizeof s.dim);
        CHECK(shape_size(&s) == t.size && (!end || t.data == end));
        end = t.data + t.size;
        trained += t.trained ? t.size : 0;
        at += sprintf(at, "%s%s%s%s", i ? " " : "", t.trained ? "" : "~", t.name, show_shape(&s).text);
    }
    CHECK(trained == info.parameters);
    return text;
}

static void shapes_and_tensors(void)
{
    static const char *const rows[][3] = {
        {"input(784) dense(128) relu dense(10,bias=no) softmax",
         "0 dense (784)>(128); 1 relu (128)>(128); 2 dense (128)>(10); 3 softmax (10)>(10)",
         "0.W(784,128) 0.b(128) 2.W(128,10)"},
        {"input(3,9,7) conv(5,3,2,pad=1) batchnorm maxpool(2) flatten dense(4)",
         "0 conv (3,9,7)>(5,5,4); 1 batchnorm (5,5,4)>(5,5,4); 2 maxpool (5,5,4)>(5,2,2); 3 flatten (5,2,2)>(20); "
         "4 dense (20)>(4)",
         "0.W(3,3,3,5) 0.b(5) 1.gamma(5) 1.beta(5) 4.W(20,4) 4.b(4) ~1.running_mean(5) ~1.running_var(5)"},
        {"input(6) residual(dense(8) residual(dense(3)) layernorm) dense(2)",
         "0 residual (6)>(3); 0.0 dense (6)>(8); 0.1 residual (8)>(3); 0.1.0 dense (8)>(3); 0.1.skip dense (8)>(3); "
         "0.2 layernorm (3)>(3); 0.skip dense (6)>(3); 1 dense (3)>(2)",
         "0.0.W(6,8) 0.0.b(8) 0.1.0.W(8,3) 0.1.0.b(3) 0.1.skip.W(8,3) 0.2.gamma(3) 0.2.beta(3) 0.skip.W(6,3) 1.W(3,2) "
         "1.b(2)"},
        {"input(2,5,4) standardize conv(3,2) rescale",
         "0 standardize (2,5,4)>(2,5,4); 1 conv (2,5,4)>(3,4,3); 2 rescale (3,4,3)>(3,4,3)",
         "1.W(2,2,2,3) 1.b(3) ~0.mean(2) ~0.scale(2) ~2.mean(3) ~2.scale(3)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pn_net *net = created(rows[i][0], 1);
        SAME_TEXT(shapes(net), rows[i][1]);
        SAME_TEXT(tensors(net), rows[i][2]);
        pn_net_free(net);
    }
    pn_net *net = created("input(2,8,8) residual(conv(4,3,2,1) relu)", 1);
    pn_layer_info skip;
    CHECK(pn_net_layer(net, 3, &skip) == PN_OK);
    SAME_TEXT(skip.text, "conv(4,1,stride=2,bias=no)");
    SAME_TEXT(tensors(net), "0.0.W(3,3,2,4) 0.0.b(4) 0.skip.W(1,1,2,4)");
    SAME_TEXT(pn_net_spec(net), "input(2,8,8) residual(conv(4,3,stride=2,pad=1) relu)"); /* without the projection */
    pn_net_free(net);
}

/* The input of the loss, and the multiplications for a sample. */
static void facts(void)
{
    static const struct {
        const char *text, *loss_input;
        int head;
        double multiplies;
        int channels_last, dense_first, in_pieces;
    } rows[] = {
        {"input(784) dense(128) relu dense(10) softmax", "2", 3, 784 * 128 + 128 + 128 * 10 + 10, 0, 1, 1},
        {"input(784) dense(10) softmax loss(mse)", "1", 2, 784 * 10 + 10, 0, 1, 1},
        {"input(5) dense(1) sigmoid loss(bce)", "0", 1, 5 + 1, 0, 1, 1},
        {"input(5) dense(1) flatten", "0", 2, 5 + 1, 0, 1, 1},
        {"input(5) tanh dense(1)", "1", 2, 5 + 1, 0, 0, 0},
        {"input(5) residual(dense(5,bias=no))", "0", 2, 25, 0, 1, 0}, /* two readers of the inputs */
        {"input(5) softmax", NULL, 0, 0, 0, 0, 0},
        {"input(2,6,6) conv(3,3) dense(4)", "1", 2, 16 * (2 * 9 + 1) * 3 + 3 * 16 * 4 + 4, 1, 0, 0},
        {"input(2,3,3) dense(4)", "0", 1, 18 * 4 + 4, 0, 1, 1},
        {"input(2,3,3) residual(dense(4)) relu", "1", 4, 18 * 4 + 4 + 18 * 4, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        pn_net *net = created(rows[i].text, 1);
        SAME_TEXT(net->graph.loss_input ? net->graph.loss_input->path : "in",
                  rows[i].loss_input ? rows[i].loss_input : "in");
        CHECK(net->graph.head == rows[i].head);
        if (net->graph.multiplies != rows[i].multiplies)
            printf("%s: %.0f multiplications, not %.0f\n", rows[i].text, net->graph.multiplies, rows[i].multiplies);
        CHECK(net->graph.multiplies == rows[i].multiplies);
        CHECK(net->graph.channels_last == rows[i].channels_last);
        CHECK(net->graph.dense_first == rows[i].dense_first && net->graph.in_pieces == rows[i].in_pieces);
        pn_net_free(net);
    }
}

static void misfits(void)
{
    static const char *const pairs[][2] = {
        {"input(4) dense(16777216) dense(128)",
         "column 26: dense(128) after 16777216 features has 2147483648 weights; accepted: at most 2147483647"},
        {"input(4) relu maxpool(2)",
         "column 15: layer 1, maxpool(2), takes images (channels, height, width); its input is (4)"},
        {"input(1,4,5) conv(2,5)", "column 14: layer 0, conv(2,5), has windows of 5 by 5; its input is only 4 by 5"},
        {"input(4) residual(flatten)", "column 10: residual has only views inside"},
        {"input(1,7,7) residual(conv(2,3))",
         "column 14: layer 0, residual, cannot add its input (1,7,7) to the output (2,5,5) of the layers in it"},
        {"input(4) tanh residual(relu residual(maxpool(2)))",
         "column 38: layer 1.1.0, maxpool(2), takes images (channels, height, width); its input is (4)"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char err[PN_ERRLEN] = "";
        pn_net *net = (pn_net *)err;
        CHECK(pn_net_new(&net, pairs[i][0], 1, err) == PN_ERR_SPEC && !net);
        SAME_TEXT(err, pairs[i][1]);
    }
}

int main(void)
{
    sketches();
    shapes_and_tensors();
    facts();
    misfits();
    printf("graph: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
