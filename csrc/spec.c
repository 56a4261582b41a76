/* The text of a network <-> a list of words. Every word, its arguments and their defaults stand in `rules`. */
#include "internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAME = 24, MAX_UNITS = 1 << 24 };

typedef struct {
    const char *name;
    int least, most;            /* a whole number in this range, or */
    const char *const *choices; /* one of these words, ended by NULL */
    double standard;            /* left unsaid; NEEDED: cannot be */
} argument_rule;

#define NEEDED (-1e300)

typedef struct {
    const char *name, *example;
    argument_rule arg[MAX_ARGS];
} word_rule;

static const char *const init_names[] = {"auto", "he", "xavier", "normal", NULL};
static const char *const loss_names[] = {"cross_entropy", "mse", NULL};

static const word_rule rules[PN_WORDS] = {
    [PN_INPUT] = {"input",
                  "input(784)",
                  {{"size", 1, MAX_UNITS, NULL, NEEDED},
                   {"height", 1, MAX_UNITS, NULL, 0},
                   {"width", 1, MAX_UNITS, NULL, 0}}},
    [PN_DENSE] = {"dense",
                  "dense(128)",
                  {{"units", 1, MAX_UNITS, NULL, NEEDED}, {"init", 0, 0, init_names, INIT_AUTO}}},
    [PN_RELU] = {"relu", "relu", {{0}}},
    [PN_SIGMOID] = {"sigmoid", "sigmoid", {{0}}},
    [PN_TANH] = {"tanh", "tanh", {{0}}},
    [PN_SOFTMAX] = {"softmax", "softmax", {{0}}},
    [PN_LOSS] = {"loss", "loss(mse)", {{"name", 0, 0, loss_names, NEEDED}}},
};

const char *spec_word_name(word_kind kind)
{
    return rules[kind].name;
}

static int arguments_of(const word_rule *r)
{
    int n = 0;
    while (n < MAX_ARGS && r->arg[n].name)
        n++;
    return n;
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

/* How many letters to change, add or drop to turn a into b (Levenshtein 1966). */
static int distance(const char *a, const char *b)
{
    int row[MAX_NAME + 1];
    int n = (int)strnlen(b, MAX_NAME);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

/* Appends "; did you mean X?", or all the names where none is near. */
static void suggest(char *err, const char *wrong, const char *const *names)
{
    size_t at = strlen(err);
    const char *nearest = NULL;
    int least = (int)strlen(wrong) / 2 + 1; /* more changes than that is another word */
    for (int i = 0; names[i]; i++) {
        int d = distance(wrong, names[i]);
        if (d < least) {
            least = d;
            nearest = names[i];
        }
    }
    if (nearest) {
        snprintf(err + at, PN_ERRLEN - at, "; did you mean %s?", nearest);
        return;
    }
    for (int i = 0; names[i] && at < PN_ERRLEN; i++)
        at += (size_t)snprintf(err + at, PN_ERRLEN - at, "%s%s", i ? ", " : "; accepted: ", names[i]);
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const char *text, *at;
    char *err;
} reader;

static int column(const reader *r)
{
    return (int)(r->at - r->text) + 1;
}

static void skip_blanks(reader *r)
{
    while (isspace((unsigned char)*r->at))
        r->at++;
}

/* Takes c if it comes next, after blanks. */
static bool take(reader *r, char c)
{
    skip_blanks(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

/* A name of letters, digits and underscores; longer ones are cut, no rule has such a name. "" if there is none. */
static void read_name(reader *r, char name[MAX_NAME])
{
    size_t n = 0;
    skip_blanks(r);
    if (!isalpha((unsigned char)*r->at)) {
        name[0] = 0;
        return;
    }
    for (; isalnum((unsigned char)*r->at) || *r->at == '_'; r->at++)
        if (n < MAX_NAME - 1)
            name[n++] = *r->at;
    name[n] = 0;
}

static pn_status unexpected(const reader *r, const char *wanted)
{
    unsigned char c = (unsigned char)*r->at;
    if (!c)
        return fail(r->err, PN_ERR_SPEC, "column %d: the text ends where %s should stand", column(r), wanted);
    if (c < 32 || c > 126)
        return fail(r->err, PN_ERR_SPEC, "column %d: byte 0x%02x where %s should stand", column(r), c, wanted);
    return fail(r->err, PN_ERR_SPEC, "column %d: '%c' where %s should stand", column(r), c, wanted);
}

/* The value of one argument: a whole number in its range, or the index of one of its words. */
static pn_status read_value(reader *r, const char *of, const argument_rule *rule, double *value)
{
    skip_blanks(r);
    int start = column(r);
    if (rule->choices) {
        char name[MAX_NAME];
        read_name(r, name);
        if (!name[0])
            return unexpected(r, rule->name);
        for (int i = 0; rule->choices[i]; i++)
            if (strcmp(name, rule->choices[i]) == 0) {
                *value = i;
                return PN_OK;
            }
        fail(r->err, PN_ERR_SPEC, "column %d: %s has no %s \"%s\"", start, of, rule->name, name);
        suggest(r->err, name, rule->choices);
        return PN_ERR_SPEC;
    }
    const char *number = r->at;
    if (!isdigit((unsigned char)number[*number == '-' || *number == '+']))
        return unexpected(r, rule->name);
    r->at += *number == '+';
    int64_t x = 0;
    bool whole = true; /* digits alone; what else looks like a number is taken along, so that the message shows it */
    for (; isalnum((unsigned char)*r->at) || (*r->at && strchr("+-.", *r->at)); r->at++) {
        whole = whole && isdigit((unsigned char)*r->at);
        if (whole && x <= rule->most)
            x = 10 * x + (*r->at - '0');
    }
    const int length = (int)(r->at - number);
    if (!whole || x < rule->least || x > rule->most)
        return fail(r->err, PN_ERR_SPEC, "column %d: %s of %s is %.*s; accepted: a whole number from %d to %d", start,
                    rule->name, of, length > 30 ? 30 : length, number, rule->least, rule->most);
    *value = (double)x;
    return PN_OK;
}

/* If `name=` comes next, takes it and finds the argument: *index. */
static pn_status read_argument_name(reader *r, const word_rule *rule, int *index)
{
    reader ahead = *r;
    char name[MAX_NAME];
    const char *names[MAX_ARGS + 1] = {NULL};
    skip_blanks(&ahead);
    int start = column(&ahead);
    read_name(&ahead, name);
    if (!name[0] || !take(&ahead, '='))
        return PN_OK;
    *r = ahead;
    for (int i = 0; i < arguments_of(rule); i++) {
        names[i] = rule->arg[i].name;
        if (strcmp(name, names[i]) == 0) {
            *index = i;
            return PN_OK;
        }
    }
    fail(r->err, PN_ERR_SPEC, "column %d: %s has no argument \"%s\"", start, rule->name, name);
    suggest(r->err, name, names);
    return PN_ERR_SPEC;
}

static pn_status read_arguments(reader *r, word *w)
{
    const word_rule *rule = &rules[w->kind];
    const int most = arguments_of(rule);
    bool given[MAX_ARGS] = {false};
    for (int i = 0; i < most; i++)
        w->arg[i] = rule->arg[i].standard;

    if (*r->at == '(') {
        r->at++;
        if (take(r, ')'))
            goto complete;
        for (int position = 0;; position++) {
            int index = position;
            skip_blanks(r);
            int start = column(r);
            pn_status status = read_argument_name(r, rule, &index);
            if (status)
                return status;
            if (index >= most)
                return fail(r->err, PN_ERR_SPEC, "column %d: %s takes %s%d argument%s, as in %s", start, rule->name,
                            most ? "at most " : "", most, most == 1 ? "" : "s", rule->example);
            if (given[index])
                return fail(r->err, PN_ERR_SPEC, "column %d: %s of %s is given twice", start, rule->arg[index].name,
                            rule->name);
            given[index] = true;
            w->n_args++;
            status = read_value(r, rule->name, &rule->arg[index], &w->arg[index]);
            if (status)
                return status;
            if (take(r, ')'))
                break;
            if (!take(r, ','))
                return unexpected(r, "',' or ')'");
        }
    }
complete:
    for (int i = 0; i < most; i++)
        if (!given[i] && rule->arg[i].standard == NEEDED)
            return fail(r->err, PN_ERR_SPEC, "column %d: %s needs its %s, as in %s", w->column, rule->name,
                        rule->arg[i].name, rule->example);
    return PN_OK;
}

static pn_status read_word(reader *r, word *w)
{
    char name[MAX_NAME];
    const char *names[PN_WORDS + 1] = {NULL};
    skip_blanks(r);
    *w = (word){.column = column(r)};
    read_name(r, name);
    if (!name[0])
        return unexpected(r, "a layer");
    for (int i = 0; i < PN_WORDS; i++) {
        names[i] = rules[i].name;
        if (strcmp(name, names[i]) == 0) {
            w->kind = (word_kind)i;
            return read_arguments(r, w);
        }
    }
    fail(r->err, PN_ERR_SPEC, "column %d: unknown layer \"%s\"", w->column, name);
    suggest(r->err, name, names);
    return PN_ERR_SPEC;
}

static pn_status set_input(network_text *net, const word *w, char *err)
{
    double size = 1;
    net->input.rank = w->n_args;
    for (int i = 0; i < w->n_args; i++) {
        net->input.dim[i] = (int64_t)w->arg[i];
        size *= w->arg[i];
    }
    if (w->n_args == 2)
        return fail(err, PN_ERR_SPEC, "column %d: input takes (n) or (channels, height, width)", w->column);
    if (size > MAX_FEATURES)
        return fail(err, PN_ERR_SPEC, "column %d: input has %.0f features; accepted: at most %d", w->column, size,
                    MAX_FEATURES);
    return PN_OK;
}

static pn_loss usual_loss(const network_text *net)
{
    return net->n_words && net->words[net->n_words - 1].kind == PN_SOFTMAX ? PN_CROSS_ENTROPY : PN_MSE;
}

/* Where a word may stand: input first and once, loss last, layers between. */
static pn_status place_word(network_text *net, const word *w, bool *finished, char *err)
{
    const char *name = rules[w->kind].name;
    if ((w->kind == PN_INPUT) != (net->input.rank == 0))
        return fail(err, PN_ERR_SPEC,
                    net->input.rank
                        ? "column %d: %s stands a second time"
                        : "column %d: %s stands before the input; a network begins with it, as in input(784)",
                    w->column, name);
    if (*finished)
        return fail(err, PN_ERR_SPEC, "column %d: %s stands behind the loss, which comes last", w->column, name);
    if (w->kind == PN_INPUT)
        return set_input(net, w, err);
    if (w->kind == PN_LOSS) {
        *finished = true;
        net->loss = (pn_loss)w->arg[0];
        if (net->loss == PN_CROSS_ENTROPY && usual_loss(net) != PN_CROSS_ENTROPY)
            return fail(err, PN_ERR_SPEC, "column %d: loss(cross_entropy) needs softmax as the last layer", w->column);
        return PN_OK;
    }
    if ((net->n_words & (net->n_words - 1)) == 0) { /* full: the room is the next power of two */
        word *more = realloc(net->words, (size_t)(net->n_words ? 2 * net->n_words : 1) * sizeof *more);
        if (!more)
            return fail(err, PN_ERR_MEMORY, "no memory for %d layers", net->n_words + 1);
        net->words = more;
    }
    net->words[net->n_words++] = *w;
    return PN_OK;
}

pn_status spec_parse(network_text *net, const char *text, char *err)
{
    reader r = {.text = text, .at = text, .err = err};
    pn_status status = PN_OK;
    bool finished = false;
    *net = (network_text){0};
    for (skip_blanks(&r); *r.at && !status; skip_blanks(&r)) {
        word w;
        status = read_word(&r, &w);
        if (!status)
            status = place_word(net, &w, &finished, err);
    }
    if (!status && !net->n_words)
        status = fail(err, PN_ERR_SPEC,
                      "column %d: the network has no layers; for example: input(784) dense(10) softmax", column(&r));
    if (status)
        spec_free(net);
    else if (!finished)
        net->loss = usual_loss(net);
    return status;
}

void spec_free(network_text *net)
{
    free(net->words);
    *net = (network_text){0};
}

/* ---- writing ------------------------------------------------------------------------------------------------------- */

int spec_print_word(char *to, size_t size, const word *w)
{
    const word_rule *rule = &rules[w->kind];
    const char *before = "(";
    int used = snprintf(to, size, "%s", rule->name);
    for (int i = 0; i < arguments_of(rule); i++) {
        const argument_rule *arg = &rule->arg[i];
        if (w->arg[i] == arg->standard)
            continue;
        char *at = (size_t)used < size ? to + used : NULL;
        size_t left = at ? size - (size_t)used : 0;
        const char *label = arg->standard == NEEDED ? "" : arg->name, *is = *label ? "=" : "";
        if (arg->choices)
            used += snprintf(at, left, "%s%s%s%s", before, label, is, arg->choices[(int)w->arg[i]]);
        else
            used += snprintf(at, left, "%s%s%s%d", before, label, is, (int)w->arg[i]);
        before = ",";
    }
    if (*before == ',')
        used += (size_t)used < size ? snprintf(to + used, size - (size_t)used, ")") : 1;
    return used;
}

char *spec_print(const network_text *net)
{
    const size_t size = 64 * ((size_t)net->n_words + 2); /* no word is longer than 62 letters */
    char *text = malloc(size);
    size_t at = 0;
    if (!text)
        return NULL;
    at += (size_t)snprintf(text, size, "input(");
    for (int i = 0; i < net->input.rank; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%d", i ? "," : "", (int)net->input.dim[i]);
    at += (size_t)snprintf(text + at, size - at, ")");
    for (int i = 0; i < net->n_words; i++) {
        text[at++] = ' ';
        at += (size_t)spec_print_word(text + at, size - at, &net->words[i]);
    }
    if (net->loss != usual_loss(net)) {
        text[at++] = ' ';
        word w = {.kind = PN_LOSS, .arg = {net->loss}};
        spec_print_word(text + at, size - at, &w);
    }
    return text;
}
