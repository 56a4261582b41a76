/* The text of a network: the parsed words, its canonical form, and for every mistake the whole message, with its
   column. Prints how many checks it made. */
#include "spec/spec.h"
#include "testing.h"

/* The canonical text of `text`, or the message if it is invalid. */
static const char *printed(const char *text)
{
    static char result[4096];
    network_text net;
    char err[PN_ERRLEN] = "";
    if (spec_parse(&net, text, err) != PN_OK) {
        CHECK(net.words == NULL && net.n_words == 0); /* nothing to free */
        snprintf(result, sizeof result, "%s", err);
        return result;
    }
    CHECK(err[0] == 0);
    char *canonical = spec_print(&net);
    CHECK(canonical && strlen(canonical) < sizeof result);
    snprintf(result, sizeof result, "%s", canonical);
    memory_free(canonical);
    spec_free(&net);
    return result;
}

#define ALL_LAYERS                                                                                              \
    "input, standardize, dense, conv, maxpool, avgpool, globalavgpool, relu, leaky_relu, gelu, sigmoid, tanh, " \
    "softmax, flatten, "                                                                                        \
    "dropout, batchnorm, layernorm, residual, rescale, loss"

static void canonical_forms(void)
{
    static const char *const pairs[][2] = {
        /* blanks, names, order and defaults */
        {"input(4)dense(3)relu\tdense(2)", "input(4) dense(3) relu dense(2)"},
        {"\n input( 1 , 2 ,\t3 )\n dense( units = 3 )\r\f\v", "input(1,2,3) dense(3)"},
        {"input(4) dense(init=he,units=3)", "input(4) dense(3,init=he)"},
        {"input(4) dense(3,he,no) relu()", "input(4) dense(3,init=he,bias=no) relu"},
        {"input(4) dense(3,init=auto,bias=yes)", "input(4) dense(3)"},
        {"input(5,width=3,height=2) relu( )", "input(5,2,3) relu"},
        {"input(4) dense(+007)", "input(4) dense(7)"},
        {"input(16777216) dense(16777216)", "input(16777216) dense(16777216)"},
        {"input(1,28,28) conv(8,5,1,0)", "input(1,28,28) conv(8,5)"},
        {"input(1,28,28) conv(8,5,2,same,normal,no)", "input(1,28,28) conv(8,5,stride=2,pad=same,init=normal,bias=no)"},
        {"input(1,28,28) conv(kernel=5,channels=8,pad=2)", "input(1,28,28) conv(8,5,pad=2)"},
        {"input(1,8,8) maxpool(2,2) avgpool(2,stride=1)", "input(1,8,8) maxpool(2,stride=2) avgpool(2,stride=1)"},
        {"input(4) leaky_relu(0.01) leaky_relu(0.2)", "input(4) leaky_relu leaky_relu(slope=0.2)"},
        {"input(4) batchnorm(0.00001,0.1) layernorm(eps=1e-6)", "input(4) batchnorm layernorm(eps=0.000001)"},
        /* numbers: rounded once when parsed, printed with the fewest decimal places that give them again */
        {"input(4) dropout(0)", "input(4) dropout(0)"},
        {"input(4) dropout(.5) dropout(5e-1) dropout(0.5000)", "input(4) dropout(0.5) dropout(0.5) dropout(0.5)"},
        {"input(4) dropout(0.1) dropout(3E-1)", "input(4) dropout(0.1) dropout(0.3)"},
        {"input(4) dropout(0.999999999999999)", "input(4) dropout(0.999999999999999)"},
        {"input(4) leaky_relu(1.) leaky_relu(0.0)", "input(4) leaky_relu(slope=1) leaky_relu(slope=0)"},
        {"input(4) batchnorm(1e-12)", "input(4) batchnorm(eps=0.000000000001)"},
        /* the default loss, and others */
        {"input(4) softmax loss(cross_entropy)", "input(4) softmax"},
        {"input(4) dense(2) loss(name=mse)", "input(4) dense(2)"},
        {"input(4) softmax loss(mse)", "input(4) softmax loss(mse)"},
        {"input(4) sigmoid loss(bce)", "input(4) sigmoid loss(bce)"},
        {"input(4) standardize rescale loss(mse)", "input(4) standardize rescale"},
        {"input(4) relu loss(mae,0,1)", "input(4) relu loss(mae)"},
        {"input(4) relu loss(huber,delta=1)", "input(4) relu loss(huber)"},
        {"input(4) relu loss(huber,0,.25)", "input(4) relu loss(huber,delta=0.25)"},
        {"input(4) softmax loss(cross_entropy,0.1)", "input(4) softmax loss(cross_entropy,smoothing=0.1)"},
        {"input(4) softmax loss(cross_entropy,smoothing=0)", "input(4) softmax"},
        /* nested words */
        {"input(4) residual( dense(4)\nrelu ) relu", "input(4) residual(dense(4) relu) relu"},
        {"input(4) residual(residual(residual(residual(relu))tanh))softmax",
         "input(4) residual(residual(residual(residual(relu)) tanh)) softmax"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        SAME_TEXT(printed(pairs[i][0]), pairs[i][1]);
        SAME_TEXT(printed(pairs[i][1]), pairs[i][1]); /* the canonical form of a canonical form is itself */
    }
}

#define UNITS "accepted: a whole number from 1 to 16777216"

static void messages(void)
{
    static const char *const pairs[][2] = {
        /* order of words */
        {"", "column 1: the network has no layers; for example: input(784) dense(10) softmax"},
        {"input(4)  ", "column 11: the network has no layers; for example: input(784) dense(10) softmax"},
        {"input(4) loss(mse)", "column 19: the network has no layers; for example: input(784) dense(10) softmax"},
        {" relu", "column 2: relu is before the input; a network begins with it, as in input(784)"},
        {"input(4) relu input(4)", "column 15: input appears a second time"},
        {"input(4) relu loss(mse) relu", "column 25: relu comes after the loss, which must be last"},
        {"input(4) relu loss(mse) loss(mse)", "column 25: loss comes after the loss, which must be last"},
        {"input(4) residual(input(4))", "column 19: input is inside a residual, which takes layers"},
        {"input(4) residual(relu loss(mse))", "column 24: loss is inside a residual, which takes layers"},
        {"input(4) tanh residual( )",
         "column 15: residual has nothing inside, as in residual(dense(128) relu dense(128))"},
        {"input(4) residual(relu", "column 23: the text ends where the ')' of residual is expected"},
        {"input(4) residual", "column 18: the text ends where the '(' of residual is expected"},
        {"input(4) residual(residual(residual(residual(residual(relu)))))",
         "column 46: residual is nested 4 deep; accepted: 3"},
        {"input(4) softmax relu loss(cross_entropy)", "column 23: loss(cross_entropy) needs softmax as the last layer"},
        {"input(4) residual(softmax) loss(cross_entropy)",
         "column 28: loss(cross_entropy) needs softmax as the last layer"},
        {"input(4) softmax loss(bce)", "column 18: loss(bce) needs sigmoid as the last layer"},
        {"input(4) softmax loss(mse,0.1)", "column 18: smoothing is for loss(cross_entropy)"},
        {"input(4) dense(2) loss(mae,delta=2)", "column 19: delta is for loss(huber)"},
        {"input(4) relu standardize", "column 15: standardize is after another layer; it follows the input, as in "
                                      "input(784) standardize dense(10)"},
        {"input(4) standardize standardize", "column 22: standardize is after another layer; it follows the input, as "
                                             "in input(784) standardize dense(10)"},
        {"input(4) residual(standardize)", "column 19: standardize is inside a residual; it follows the input, as "
                                           "in input(784) standardize dense(10)"},
        {"input(4) residual(rescale)", "column 19: rescale is inside a residual; it is the last layer"},
        {"input(4) rescale rescale", "column 18: rescale comes after rescale, which must be last"},
        /* unknown names */
        {"input(4) dens(3)", "column 10: unknown layer \"dens\"; did you mean dense?"},
        {"inptu(4) relu", "column 1: unknown layer \"inptu\"; did you mean input?"},
        {"input(4) x", "column 10: unknown layer \"x\"; accepted: " ALL_LAYERS},
        {"input(4) dense(3,init=hee)", "column 23: dense has no init \"hee\"; did you mean he?"},
        {"input(4) dense(3,init=lecun)", "column 23: dense has no init \"lecun\"; accepted: auto, he, xavier, normal"},
        {"input(4) relu loss(hinge)",
         "column 20: loss has no name \"hinge\"; accepted: cross_entropy, mse, bce, mae, huber"},
        {"input(1,9,9) conv(2,3,pad=some)", "column 27: conv has no pad \"some\"; did you mean same?"},
        {"input(4) dense(3,int=he)", "column 18: dense has no argument \"int\"; did you mean init?"},
        {"input(4) dense( alpha=3)", "column 17: dense has no argument \"alpha\"; accepted: units, init, bias"},
        {"input(4) relu(slope=1)", "column 15: relu has no argument \"slope\""},
        /* arguments */
        {"input relu", "column 1: input needs its size, as in input(784)"},
        {"input(height=3) relu", "column 1: input needs its size, as in input(784)"},
        {"input(4) dense (3)", "column 10: dense needs its units, as in dense(128)"},
        {"input(1,9,9) conv(8)", "column 14: conv needs its kernel, as in conv(8,5)"},
        {"input(4) relu loss", "column 15: loss needs its name, as in loss(mse)"},
        {"input(4,5) relu", "column 1: input takes (n) or (channels, height, width)"},
        {"input(4,5,6,7) relu", "column 13: input takes at most 3 arguments, as in input(784)"},
        {"input(4) relu(3)", "column 15: relu takes 0 arguments, as in relu"},
        {"input(4) dropout(0, 1)", "column 21: dropout takes at most 1 argument, as in dropout(0.5)"},
        {"input(4) dense(3, units=4)", "column 19: units of dense is given twice"},
        {"input(4) dense(a)", "column 16: 'a' where units is expected"},
        {"input(4) dense(-)", "column 16: '-' where units is expected"},
        {"input(4) dense(3,init=3)", "column 23: '3' where init is expected"},
        {"input(4) dense(3 4)", "column 18: '4' where ',' or ')' is expected"},
        {"input(4", "column 8: the text ends where ',' or ')' is expected"},
        {"input(4) dense(3,", "column 18: the text ends where init is expected"},
        {"input(4), relu", "column 9: ',' where a layer is expected"},
        {"input(4) relu )", "column 15: ')' where a layer is expected"},
        {"input(4) relu \xc3\xa9", "column 15: byte 0xc3 where a layer is expected"},
        {"input(4) dense(\x01)", "column 16: byte 0x01 where units is expected"},
        /* numbers */
        {"input(0) relu", "column 7: size of input is 0; " UNITS},
        {"input(4) dense(0)", "column 16: units of dense is 0; " UNITS},
        {"input(4) dense( -3)", "column 17: units of dense is -3; " UNITS},
        {"input(4) dense(3.5)", "column 16: units of dense is 3.5; " UNITS},
        {"input(4) dense(3.)", "column 16: units of dense is 3.; " UNITS},
        {"input(4) dense(3e2)", "column 16: units of dense is 3e2; " UNITS},
        {"input(4) dense(0x10)", "column 16: units of dense is 0x10; " UNITS},
        {"input(4) dense(16777217)", "column 16: units of dense is 16777217; " UNITS},
        {"input(4) dense(9999999999999999999999999999999999)",
         "column 16: units of dense is 999999999999999999999999999999; " UNITS},
        {"input(1,9,9) maxpool(0)", "column 22: size of maxpool is 0; accepted: a whole number from 1 to 4096"},
        {"input(1,9,9) conv(2,3,pad=-1)",
         "column 27: pad of conv is -1; accepted: a whole number from 0 to 4096, or same"},
        {"input(1,9,9) conv(2,3,pad=4097)",
         "column 27: pad of conv is 4097; accepted: a whole number from 0 to 4096, or same"},
        {"input(4) dropout(1)", "column 18: p of dropout is 1; accepted: a number from 0 to below 1"},
        {"input(4) dropout(0.1234567890123456)",
         "column 18: p of dropout is 0.1234567890123456; accepted: a number from 0 to below 1"},
        {"input(4) dropout(1e)", "column 18: p of dropout is 1e; accepted: a number from 0 to below 1"},
        {"input(4) dropout(1e-23)", "column 18: p of dropout is 1e-23; accepted: a number from 0 to below 1"},
        {"input(4) leaky_relu(1.01)", "column 21: slope of leaky_relu is 1.01; accepted: a number from 0 to 1"},
        {"input(4) relu loss(huber,delta=0)",
         "column 32: delta of loss is 0; accepted: a number from 0.000001 to 1000000"},
        {"input(4) softmax loss(cross_entropy,1)",
         "column 37: smoothing of loss is 1; accepted: a number from 0 to below 1"},
        {"input(4) dropout(0.1.2)", "column 18: p of dropout is 0.1.2; accepted: a number from 0 to below 1"},
        {"input(4) batchnorm(0)", "column 20: eps of batchnorm is 0; accepted: a number from 0.000000000001 to 1"},
        {"input(256,1024,1025) relu", "column 1: input has 268697600 features; accepted: at most 268435456"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        SAME_TEXT(printed(pairs[i][0]), pairs[i][1]);
    char text[6000] = "input(4) ", name[301]; /* a long name: messages are cut to PN_ERRLEN */
    for (size_t length = 20; length <= 300; length += 1 + length / 10) {
        memset(name, 'a', length);
        name[length] = 0;
        snprintf(text, sizeof text, "input(4) %s(3)", name);
        CHECK(strncmp(printed(text), "column 10: unknown layer \"aaa", 28) == 0);
        snprintf(text, sizeof text, "input(4) dense(3, %s=3)", name);
        CHECK(strncmp(printed(text), "column 19: dense has no argument \"aaa", 36) == 0);
    }
}

static void lists_of_words(void)
{
    network_text net;
    char err[PN_ERRLEN] = "";
    CHECK(spec_parse(&net, "input(3,9,8) residual(conv(3,3,pad=same) residual(relu)) dense(5) softmax loss(mse)",
                     err) == PN_OK);
    static const word_kind kinds[] = {PN_RESIDUAL, PN_CONV, PN_RESIDUAL, PN_RELU, PN_DENSE, PN_SOFTMAX};
    static const int columns[] = {14, 23, 42, 51, 58, 67}, children[] = {2, 0, 1, 0, 0, 0},
                     nested[] = {0, 1, 1, 1, 0, 0};
    CHECK(net.n_words == 6);
    for (int i = 0; i < 6 && i < net.n_words; i++) {
        const word *w = &net.words[i];
        CHECK(w->kind == kinds[i] && w->column == columns[i]);
        CHECK(w->children == children[i] && w->nested == nested[i]);
    }
    CHECK(net.input.rank == 3 && shape_size(&net.input) == 3 * 9 * 8);
    SAME_TEXT(show_shape(&net.input).text, "(3,9,8)");
    CHECK(net.loss.kind == PN_MSE && net.loss.smoothing == 0);
    CHECK(spec_ends_in(&net, PN_SOFTMAX) && !spec_ends_in(&net, PN_DENSE));

    /* one word in a buffer of any size, as snprintf */
    const char *const whole = "conv(3,3,pad=same)";
    for (size_t room = 0; room < 25; room++) {
        char to[32], wanted[32] = "";
        memset(to, '#', sizeof to);
        writer w = {.at = to, .left = room};
        spec_print_word(&w, &net.words[1]);
        CHECK(w.used == strlen(whole));
        snprintf(wanted, room ? room : 1, "%s", whole);
        CHECK(room ? strcmp(to, wanted) == 0 : to[0] == '#');
        CHECK(to[room] == '#');
    }
    char nested_text[32];
    spec_print_word(&(writer){.at = nested_text, .left = sizeof nested_text}, &net.words[0]);
    SAME_TEXT(nested_text, "residual(...)");
    spec_free(&net);
    CHECK(!net.words && !net.n_words);
    CHECK(spec_parse(&net, "input(4) residual(softmax)", err) == PN_OK && !spec_ends_in(&net, PN_SOFTMAX));
    CHECK(net.loss.kind == PN_MSE);
    spec_free(&net);
    CHECK(spec_parse(&net, "input(4) softmax loss(cross_entropy,0.25)", err) == PN_OK);
    CHECK(net.loss.kind == PN_CROSS_ENTROPY && net.loss.smoothing == 0.25);
    spec_free(&net);

    /* The value of a choice is its index, or -1 - index if numbers are also accepted. */
    const char *names[PN_MAXARGS] = {NULL};
    double values[PN_MAXARGS];
    CHECK(spec_parse(&net, "input(1,9,9) conv(8,5,pad=same,init=he,bias=no) relu conv(3,2) dropout(0.25)", err) ==
          PN_OK);
    CHECK(spec_arguments(&net.words[0], names, values) == 6);
    SAME_TEXT(names[5], "bias");
    CHECK(values[0] == 8 && values[1] == 5 && values[2] == 1 && values[3] == -1 && values[4] == 1 && values[5] == 1);
    CHECK(spec_arguments(&net.words[1], names, values) == 0 && spec_arguments(&net.words[2], names, values) == 6);
    CHECK(values[3] == 0 && values[4] == 0 && values[5] == 0);
    CHECK(spec_arguments(&net.words[3], names, values) == 1 && values[0] == 0.25);
    SAME_TEXT(names[0], "p");
    spec_free(&net);
    SAME_TEXT(spec_word_name(PN_INPUT), "input");
    SAME_TEXT(spec_word_name(PN_LOSS), "loss");
}

/* Every decimal in [0, 1) with up to three places is parsed as by C and printed as it was. */
static void numbers(void)
{
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        char text[64], digits[8];
        snprintf(digits, sizeof digits, "0.%03d", i);
        for (size_t n = strlen(digits); n > 1 && (digits[n - 1] == '0' || digits[n - 1] == '.'); n--)
            digits[n - 1] = 0;
        snprintf(text, sizeof text, "input(4) softmax loss(cross_entropy%s%s)", i ? ",smoothing=" : "",
                 i ? digits : "");
        network_text net;
        char err[PN_ERRLEN] = "";
        CHECK(spec_parse(&net, text, err) == PN_OK);
        CHECK(net.loss.smoothing == strtod(digits, NULL));
        spec_free(&net);
        same += strcmp(printed(text), i ? text : "input(4) softmax") == 0;
    }
    CHECK(same == 1000);
}

/* A text truncated anywhere is a shorter network, or an error in one of its columns. */
static void every_prefix(void)
{
    const char *const whole =
        "input(1,28,28) residual(conv(1,3,pad=same) relu) dropout(0.25) dense(10) softmax loss(mse)";
    int networks = 0;
    for (size_t n = 0; n <= strlen(whole); n++) {
        char *text = strndup(whole, n); /* its own block, so that the sanitizer detects reads past it */
        int column = 0;
        const char *result = printed(text);
        if (sscanf(result, "column %d: ", &column) == 1)
            CHECK(column >= 1 && column <= (int)n + 1);
        else
            networks += strncmp(result, "input(1,28,28) residual(conv(1,3,pad=same) relu)", 48) == 0;
        free(text);
    }
    /* after residual: itself and a blank; dropout(0.25), a blank; dense(10), a blank; softmax, a blank; the loss */
    CHECK(networks == 9);
}

int main(void)
{
    canonical_forms();
    messages();
    lists_of_words();
    numbers();
    every_prefix();
    printf("spec: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
