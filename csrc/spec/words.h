/* The rule of each word: its arguments and their defaults. Numbers and suggestions in text. */
#ifndef PN_WORDS_H
#define PN_WORDS_H

#include "spec/spec.h"

enum { MAX_NAME = 24 };

/* One argument: a number, a choice, or either of them. */
typedef struct {
    const char *name;
    double min, max;            /* of a number; max 0: numbers are not accepted */
    const char *const *choices; /* ended by NULL; NULL: numbers only */
    argument default_value;
    bool required; /* there is no default */
    bool real;     /* false: whole numbers only */
    bool below;    /* numbers must be below max */
} argument_rule;

typedef struct {
    const char *name, *example;
    argument_rule arg[PN_MAXARGS];
} word_rule;

extern const word_rule rules[PN_WORDS];

int argument_count(const word_rule *r);
bool accepts_numbers(const argument_rule *rule);

/* Appends "; did you mean X?" to a message, or all names if none is similar. */
void suggest(char *err, const char *wrong, const char *const *names);

/* Reads a number at *at, "0.25" or "1e-05", of at most 15 digits, and moves *at past it; false: there is none. */
bool read_number(const char **at, double *x);

/* Prints x so that read_number gives x again. */
typedef struct {
    char text[32];
} number_text;
number_text show_number(double x);

#endif
