/* The text of a network, parsed to a list of words. */
#ifndef PN_SPEC_H
#define PN_SPEC_H

#include "base/base.h"

#define MAX_NEST 4 /* depth of nested residuals */

typedef enum {
    PN_INPUT,
    PN_STANDARDIZE,
    PN_DENSE,
    PN_CONV,
    PN_MAXPOOL,
    PN_AVGPOOL,
    PN_GLOBALAVGPOOL,
    PN_RELU,
    PN_LEAKY_RELU,
    PN_GELU,
    PN_SIGMOID,
    PN_TANH,
    PN_SOFTMAX,
    PN_FLATTEN,
    PN_DROPOUT,
    PN_BATCHNORM,
    PN_LAYERNORM,
    PN_RESIDUAL,
    PN_RESCALE,
    PN_LOSS,
    PN_WORDS
} word_kind;

typedef enum { YES, NO } yes_or_no; /* values of bias: yes is the default */
typedef enum { INIT_AUTO, INIT_HE, INIT_XAVIER, INIT_NORMAL } init_kind;

enum { STRIDE_OF_SIZE = 0 }; /* default stride of a pool: the size of its window */

/* The value of an argument: a number, or one of the choices of its rule. */
typedef struct {
    double number;
    bool is_choice;
    int choice; /* its index */
} argument;

/* One word of the text, such as dense(128). */
typedef struct {
    word_kind kind;
    int column;               /* in the text, from 1 */
    int n_args;               /* number of arguments in the text: the rank of input */
    int children;             /* number of words directly nested in this one; they follow it in the list */
    bool nested;              /* is it nested in another word? */
    argument arg[PN_MAXARGS]; /* in the order of its rule, defaults included */
} word;

typedef struct {
    pn_loss kind;
    double smoothing, delta; /* of cross-entropy; of Huber's loss */
    bool rescaled;           /* is the last layer rescale? Outputs are then quantities, which are not right or wrong */
} loss_rule;

typedef struct {
    word *words; /* the layers, nested ones included, in the order of the text */
    int n_words;
    shape input;
    loss_rule loss;
} network_text;

/* Parses text; on failure err names the column and nothing needs freeing. */
pn_status spec_parse(network_text *net, const char *text, char *err);
void spec_free(network_text *net);

/* Prints a word without arguments that have their default: "dense(128)". */
void spec_print_word(writer *to, const word *w);

/* The canonical text of the network, to be freed; NULL if there is no memory. */
char *spec_print(const network_text *net);

/* Is the last layer of this kind, and not nested? */
bool spec_ends_in(const network_text *net, word_kind kind);

const char *spec_word_name(word_kind kind);

/* Names and values of a word's arguments, as pn_layer_info has them; returns their number. The value of a choice is its
   index, or -1 - index if the argument also accepts numbers. */
int spec_arguments(const word *w, const char *names[PN_MAXARGS], double values[PN_MAXARGS]);

#endif
