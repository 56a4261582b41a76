/* Parses the text of a network to a list of words, and prints such a list as text. */
#include "spec/words.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* ---- parsing ------------------------------------------------------------------------------------------------------- */

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

/* Skips blanks, then c; false: something else comes next. */
static bool take(reader *r, char c)
{
    skip_blanks(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

/* Reads a name of letters, digits and underscores, "" if there is none. Longer ones are cut: no rule has such a
   name. */
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

static pn_status unexpected(const reader *r, const char *expected)
{
    unsigned char c = (unsigned char)*r->at;
    if (!c)
        return fail(r->err, PN_ERR_SPEC, "column %d: the text ends where %s is expected", column(r), expected);
    if (c < 32 || c > 126)
        return fail(r->err, PN_ERR_SPEC, "column %d: byte 0x%02x where %s is expected", column(r), c, expected);
    return fail(r->err, PN_ERR_SPEC, "column %d: '%c' where %s is expected", column(r), c, expected);
}

/* Reads a number in its range. All characters that could belong to a number are read, for the message. */
static pn_status read_argument_number(reader *r, const char *of, const argument_rule *rule, argument *value)
{
    const int start = column(r);
    const char *number = r->at;
    if (!isdigit((unsigned char)number[*number && strchr("+-.", *number)]))
        return unexpected(r, rule->name);
    r->at += *number == '+';
    double x = 0;
    bool good = read_number(&r->at, &x);
    for (; isalnum((unsigned char)*r->at) || (*r->at && strchr("+-.", *r->at)); r->at++)
        good = false;
    const int length = (int)(r->at - number);
    const size_t digits = strspn(number + (*number == '+'), "0123456789");
    good = good && (rule->real || (int)digits + (*number == '+') == length) && x >= rule->min &&
           (rule->below ? x < rule->max : x <= rule->max);
    if (!good)
        return fail(r->err, PN_ERR_SPEC, "column %d: %s of %s is %.*s; accepted: a %snumber from %s to %s%s%s%s", start,
                    rule->name, of, length > 30 ? 30 : length, number, rule->real ? "" : "whole ",
                    show_number(rule->min).text, rule->below ? "below " : "", show_number(rule->max).text,
                    rule->choices ? ", or " : "", rule->choices ? rule->choices[0] : "");
    *value = (argument){.number = x};
    return PN_OK;
}

/* Reads the value of one argument: a number or a choice. */
static pn_status read_value(reader *r, const char *of, const argument_rule *rule, argument *value)
{
    skip_blanks(r);
    int start = column(r);
    if (rule->choices && !(accepts_numbers(rule) && strchr("+-.0123456789", *r->at))) {
        char name[MAX_NAME];
        read_name(r, name);
        if (!name[0])
            return unexpected(r, rule->name);
        for (int i = 0; rule->choices[i]; i++)
            if (strcmp(name, rule->choices[i]) == 0) {
                *value = (argument){.is_choice = true, .choice = i};
                return PN_OK;
            }
        fail(r->err, PN_ERR_SPEC, "column %d: %s has no %s \"%s\"", start, of, rule->name, name);
        suggest(r->err, name, rule->choices);
        return PN_ERR_SPEC;
    }
    return read_argument_number(r, of, rule, value);
}

/* If `name=` comes next, reads it and sets *index to that argument. */
static pn_status read_argument_name(reader *r, const word_rule *rule, int *index)
{
    reader ahead = *r;
    char name[MAX_NAME];
    const char *names[PN_MAXARGS + 1] = {NULL};
    skip_blanks(&ahead);
    int start = column(&ahead);
    read_name(&ahead, name);
    if (!name[0] || !take(&ahead, '='))
        return PN_OK;
    *r = ahead;
    for (int i = 0; i < argument_count(rule); i++) {
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
    const int max = argument_count(rule);
    if (w->kind == PN_RESIDUAL) /* spec_parse reads the words inside */
        return take(r, '(') ? PN_OK : unexpected(r, "the '(' of residual");
    bool given[PN_MAXARGS] = {false};
    for (int i = 0; i < max; i++)
        w->arg[i] = rule->arg[i].default_value;

    if (*r->at == '(') {
        r->at++;
        for (int position = 0; !take(r, ')'); position++) {
            int index = position;
            if (position && !take(r, ','))
                return unexpected(r, "',' or ')'");
            skip_blanks(r);
            int start = column(r);
            pn_status status = read_argument_name(r, rule, &index);
            if (status)
                return status;
            if (index >= max)
                return fail(r->err, PN_ERR_SPEC, "column %d: %s takes %s%d argument%s, as in %s", start, rule->name,
                            max ? "at most " : "", max, max == 1 ? "" : "s", rule->example);
            if (given[index])
                return fail(r->err, PN_ERR_SPEC, "column %d: %s of %s is given twice", start, rule->arg[index].name,
                            rule->name);
            given[index] = true;
            w->n_args++;
            status = read_value(r, rule->name, &rule->arg[index], &w->arg[index]);
            if (status)
                return status;
        }
    }
    for (int i = 0; i < max; i++)
        if (!given[i] && rule->arg[i].required)
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
        net->input.dim[i] = (int64_t)w->arg[i].number;
        size *= w->arg[i].number;
    }
    if (w->n_args == 2)
        return fail(err, PN_ERR_SPEC, "column %d: input takes (n) or (channels, height, width)", w->column);
    if (size > MAX_FEATURES)
        return fail(err, PN_ERR_SPEC, "column %d: input has %.0f features; accepted: at most %d", w->column, size,
                    MAX_FEATURES);
    return PN_OK;
}

bool spec_ends_in(const network_text *net, word_kind kind)
{
    const word *last = net->n_words ? &net->words[net->n_words - 1] : NULL;
    return last && last->kind == kind && !last->nested;
}

static pn_loss default_loss(const network_text *net)
{
    return spec_ends_in(net, PN_SOFTMAX) ? PN_CROSS_ENTROPY : PN_MSE;
}

static pn_status set_loss(network_text *net, const word *w, char *err)
{
    net->loss =
        (loss_rule){.kind = (pn_loss)w->arg[0].choice, .smoothing = w->arg[1].number, .delta = w->arg[2].number};
    if (net->loss.kind == PN_CROSS_ENTROPY && !spec_ends_in(net, PN_SOFTMAX))
        return fail(err, PN_ERR_SPEC, "column %d: loss(cross_entropy) needs softmax as the last layer", w->column);
    if (net->loss.kind == PN_BCE && !spec_ends_in(net, PN_SIGMOID))
        return fail(err, PN_ERR_SPEC, "column %d: loss(bce) needs sigmoid as the last layer", w->column);
    if (net->loss.smoothing > 0 && net->loss.kind != PN_CROSS_ENTROPY)
        return fail(err, PN_ERR_SPEC, "column %d: smoothing is for loss(cross_entropy)", w->column);
    if (net->loss.delta != 1 && net->loss.kind != PN_HUBER)
        return fail(err, PN_ERR_SPEC, "column %d: delta is for loss(huber)", w->column);
    return PN_OK;
}

/* standardize follows the input, rescale comes last. */
static pn_status check_scaling(const network_text *net, const word *w, char *err)
{
    if (w->kind == PN_STANDARDIZE && (w->nested || net->n_words > 0))
        return fail(err, PN_ERR_SPEC, "column %d: standardize is %s; it follows the input, as in %s", w->column,
                    w->nested ? "inside a residual" : "after another layer", "input(784) standardize dense(10)");
    if (w->kind == PN_RESCALE && w->nested)
        return fail(err, PN_ERR_SPEC, "column %d: rescale is inside a residual; it is the last layer", w->column);
    if (spec_ends_in(net, PN_RESCALE))
        return fail(err, PN_ERR_SPEC, "column %d: %s comes after rescale, which must be last", w->column,
                    rules[w->kind].name);
    return PN_OK;
}

/* Appends a word to the network, if it is in the right place: input first and once, layers, loss last. */
static pn_status place_word(network_text *net, const word *w, bool *finished, char *err)
{
    const char *name = rules[w->kind].name;
    if (w->nested && (w->kind == PN_INPUT || w->kind == PN_LOSS))
        return fail(err, PN_ERR_SPEC, "column %d: %s is inside a residual, which takes layers", w->column, name);
    if ((w->kind == PN_INPUT) != (net->input.rank == 0))
        return fail(err, PN_ERR_SPEC,
                    net->input.rank ? "column %d: %s appears a second time"
                                    : "column %d: %s is before the input; a network begins with it, as in input(784)",
                    w->column, name);
    if (*finished)
        return fail(err, PN_ERR_SPEC, "column %d: %s comes after the loss, which must be last", w->column, name);
    if (w->kind == PN_INPUT)
        return set_input(net, w, err);
    if (w->kind == PN_LOSS) {
        *finished = true;
        return set_loss(net, w, err);
    }
    const pn_status misplaced = check_scaling(net, w, err);
    if (misplaced)
        return misplaced;
    word *words = memory_grow(net->words, (size_t)net->n_words, sizeof *words);
    if (!words)
        return fail(err, PN_ERR_MEMORY, "no memory for %d layers", net->n_words + 1);
    net->words = words;
    net->words[net->n_words++] = *w;
    return PN_OK;
}

/* Closes the innermost of the open residuals, which are words[open[0..*depth)]. */
static pn_status close_residual(network_text *net, const int *open, int *depth, const reader *r)
{
    const word *w = &net->words[open[--*depth]];
    if (w->children)
        return PN_OK;
    return fail(r->err, PN_ERR_SPEC, "column %d: residual has nothing inside, as in %s", w->column,
                rules[PN_RESIDUAL].example);
}

pn_status spec_parse(network_text *net, const char *text, char *err)
{
    reader r = {.text = text, .at = text, .err = err};
    pn_status status = PN_OK;
    bool finished = false;
    int open[MAX_NEST], depth = 0;
    *net = (network_text){0};
    for (skip_blanks(&r); *r.at && !status; skip_blanks(&r)) {
        if (depth > 0 && take(&r, ')')) {
            status = close_residual(net, open, &depth, &r);
            continue;
        }
        word w;
        status = read_word(&r, &w);
        w.nested = depth > 0;
        if (!status)
            status = place_word(net, &w, &finished, err);
        if (!status && depth > 0)
            net->words[open[depth - 1]].children++;
        if (!status && w.kind == PN_RESIDUAL && depth == MAX_NEST)
            status = fail(err, PN_ERR_SPEC, "column %d: residual is nested %d deep; accepted: %d", w.column, depth,
                          MAX_NEST - 1);
        else if (!status && w.kind == PN_RESIDUAL)
            open[depth++] = net->n_words - 1;
    }
    if (!status && depth > 0)
        status = unexpected(&r, "the ')' of residual");
    if (!status && !net->n_words)
        status = fail(err, PN_ERR_SPEC,
                      "column %d: the network has no layers; for example: input(784) dense(10) softmax", column(&r));
    if (status)
        spec_free(net);
    else if (!finished)
        net->loss.kind = default_loss(net);
    net->loss.rescaled = spec_ends_in(net, PN_RESCALE);
    return status;
}

void spec_free(network_text *net)
{
    memory_free(net->words);
    *net = (network_text){0};
}

/* ---- printing ------------------------------------------------------------------------------------------------------ */

static bool same_argument(const argument *a, const argument *b)
{
    return a->is_choice == b->is_choice && (a->is_choice ? a->choice == b->choice : a->number == b->number);
}

void spec_print_word(writer *to, const word *w)
{
    const word_rule *rule = &rules[w->kind];
    const char *before = "(";
    print(to, w->kind == PN_RESIDUAL ? "%s(...)" : "%s", rule->name);
    for (int i = 0; i < argument_count(rule); i++) {
        const argument_rule *arg = &rule->arg[i];
        const argument *value = &w->arg[i];
        if (!arg->required && same_argument(value, &arg->default_value))
            continue;
        const char *label = arg->required ? "" : arg->name, *is = *label ? "=" : "";
        print(to, "%s%s%s%s", before, label, is,
              value->is_choice ? arg->choices[value->choice] : show_number(value->number).text);
        before = ",";
    }
    if (*before == ',')
        print(to, ")");
}

/* Prints n words, with those nested in them, separated by blanks. */
static void print_words(writer *to, const word **next, int n)
{
    for (int i = 0; i < n; i++) {
        const word *w = (*next)++;
        if (i)
            print(to, " ");
        if (w->kind != PN_RESIDUAL) {
            spec_print_word(to, w);
            continue;
        }
        print(to, "%s(", rules[w->kind].name);
        print_words(to, next, w->children);
        print(to, ")");
    }
}

static void print_network(writer *to, const network_text *net)
{
    const word *next = net->words;
    int top_level = 0;
    print(to, "input(");
    for (int i = 0; i < net->input.rank; i++)
        print(to, "%s%d", i ? "," : "", (int)net->input.dim[i]);
    print(to, ") ");
    for (int i = 0; i < net->n_words; i++)
        top_level += !net->words[i].nested;
    print_words(to, &next, top_level);
    if (net->loss.kind != default_loss(net) || net->loss.smoothing > 0) {
        const word end = {.kind = PN_LOSS,
                          .arg = {{.is_choice = true, .choice = (int)net->loss.kind},
                                  {.number = net->loss.smoothing},
                                  {.number = net->loss.delta}}};
        print(to, " ");
        spec_print_word(to, &end);
    }
}

char *spec_print(const network_text *net)
{
    writer to = {0};
    print_network(&to, net); /* to.at is NULL: counts */
    char *text = memory_take(to.used + 1);
    if (text) {
        to = (writer){.at = text, .left = to.used + 1};
        print_network(&to, net);
    }
    return text;
}
