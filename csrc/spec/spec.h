/* The text of a network as a list of words. */
#ifndef PN_SPEC_H
#define PN_SPEC_H

#include "base/base.h"

#define MAX_NEST 4 /* residuals within residuals */

typedef enum {
    PN_INPUT,
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
    PN_LOSS,
    PN_WORDS
} word_kind;

typedef enum { YES, NO } yes_or_no; /* arguments that are on unless the text says no */
typedef enum { INIT_AUTO, INIT_HE, INIT_XAVIER, INIT_NORMAL } init_kind;

enum { STRIDE_OF_SIZE = 0 }; /* a pool's stride: as large as its window */

/* The value of an argument: a number, or one of the words that its rule lists. */
typedef struct {
    double number;
    bool is_choice;
    int choice; /* index of the word */
} argument;

/* One word of the text with its arguments, in the order the word's definition lists them. */
typedef struct {
    word_kind kind;
    int column;   /* where it stands, from 1 */
    int n_args;   /* given, for words that take any number (input) */
    int children; /* words nested in this one, not counting those nested in them: they follow it in the list */
    bool nested;  /* in another */
    argument arg[PN_MAXARGS];
} word;

/* What is minimised. */
typedef struct {
    pn_loss kind;
    double smoothing;
} loss_rule;

typedef struct {
    word *words; /* the layers in the order of the text, nested ones too, without input and loss */
    int n_words;
    shape input;
    loss_rule loss;
} network_text;

/* Parses text; on failure err names the column and nothing needs freeing. */
pn_status spec_parse(network_text *net, const char *text, char *err);
void spec_free(network_text *net);

/* Word with its arguments, defaults left out: "dense(128)". snprintf's rules. */
int spec_print_word(char *to, size_t size, const word *w);

/* The canonical text of all, allocated; NULL without memory. */
char *spec_print(const network_text *net);

/* Is the last layer, of those not nested, of this kind? */
bool spec_ends_in(const network_text *net, word_kind kind);

const char *spec_word_name(word_kind kind);

/* Names of a word's arguments, and their values as pn_layer_info has them: the index of a choice, where numbers are accepted
   besides -1 - index. Returns how many. */
int spec_arguments(const word *w, const char *names[PN_MAXARGS], double values[PN_MAXARGS]);

#endif
