/* What spec.c and words.c share: the rules for each word, numbers, messages. */
#ifndef PN_WORDS_H
#define PN_WORDS_H

#include "spec/spec.h"

enum { MAX_NAME = 24 };

/* One argument: a whole number or, with `real`, any number in [least, most], without `most` itself if `below`; or one of
   the words in choices, ended by NULL. Numbers are accepted if `most` is above 0. */
typedef struct {
    const char *name;
    double min, max;
    const char *const *choices;
    argument default_value; /* if it is left out, unless it is required */
    bool required, real, below;
} argument_rule;

typedef struct {
    const char *name, *example;
    argument_rule arg[PN_MAXARGS];
} word_rule;

extern const word_rule rules[PN_WORDS];

int argument_count(const word_rule *r);
bool accepts_numbers(const argument_rule *rule);

/* Appends "; did you mean X?", or all the names where none is near. */
void suggest(char *err, const char *wrong, const char *const *names);

/* A number at *at, "0.25" or "1e-05", of at most 15 digits; false, and *at somewhere, if there is none. */
bool read_number(const char **at, double *x);

/* x as read_number reads it. */
typedef struct {
    char text[32];
} number_text;
number_text show_number(double x);

#endif
