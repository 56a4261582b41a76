/* The words of a network's text, with their arguments and defaults: the table `rules`. */
#include "spec/words.h"

#include <stdio.h>
#include <string.h>

enum { MAX_UNITS = 1 << 24, MAX_WINDOW = 1 << 12 };

static const char *const init_names[] = {"auto", "he", "xavier", "normal", NULL};
static const char *const pad_names[] = {"same", NULL};
static const char *const loss_names[] = {"cross_entropy", "mse", "bce", "mae", "huber", NULL};
static const char *const yes_no[] = {"yes", "no", NULL};

const word_rule rules[PN_WORDS] = {
    [PN_INPUT] = {"input",
                  "input(784)",
                  {{"size", 1, MAX_UNITS, .required = true},
                   {"height", 1, MAX_UNITS, .default_value = {.number = 0}},
                   {"width", 1, MAX_UNITS, .default_value = {.number = 0}}}},
    [PN_STANDARDIZE] = {"standardize", "standardize", {{0}}},
    [PN_DENSE] = {"dense",
                  "dense(128)",
                  {{"units", 1, MAX_UNITS, .required = true},
                   {"init", .choices = init_names, .default_value = {.is_choice = true, .choice = INIT_AUTO}},
                   {"bias", .choices = yes_no, .default_value = {.is_choice = true, .choice = YES}}}},
    [PN_CONV] = {"conv",
                 "conv(8,5)",
                 {{"channels", 1, MAX_UNITS, .required = true},
                  {"kernel", 1, MAX_WINDOW, .required = true},
                  {"stride", 1, MAX_WINDOW, .default_value = {.number = 1}},
                  {"pad", 0, MAX_WINDOW, .choices = pad_names},
                  {"init", .choices = init_names, .default_value = {.is_choice = true, .choice = INIT_AUTO}},
                  {"bias", .choices = yes_no, .default_value = {.is_choice = true, .choice = YES}}}},
    [PN_MAXPOOL] = {"maxpool",
                    "maxpool(2)",
                    {{"size", 1, MAX_WINDOW, .required = true},
                     {"stride", 1, MAX_WINDOW, .default_value = {.number = STRIDE_OF_SIZE}}}},
    [PN_AVGPOOL] = {"avgpool",
                    "avgpool(2)",
                    {{"size", 1, MAX_WINDOW, .required = true},
                     {"stride", 1, MAX_WINDOW, .default_value = {.number = STRIDE_OF_SIZE}}}},
    [PN_GLOBALAVGPOOL] = {"globalavgpool", "globalavgpool", {{0}}},
    [PN_RELU] = {"relu", "relu", {{0}}},
    [PN_LEAKY_RELU] = {"leaky_relu",
                       "leaky_relu(0.01)",
                       {{"slope", 0, 1, .real = true, .default_value = {.number = 0.01}}}},
    [PN_GELU] = {"gelu", "gelu", {{0}}},
    [PN_SIGMOID] = {"sigmoid", "sigmoid", {{0}}},
    [PN_TANH] = {"tanh", "tanh", {{0}}},
    [PN_SOFTMAX] = {"softmax", "softmax", {{0}}},
    [PN_FLATTEN] = {"flatten", "flatten", {{0}}},
    [PN_DROPOUT] = {"dropout", "dropout(0.5)", {{"p", 0, 1, .real = true, .below = true, .required = true}}},
    [PN_BATCHNORM] = {"batchnorm",
                      "batchnorm(eps=0.00001)",
                      {{"eps", 1e-12, 1, .real = true, .default_value = {.number = 1e-5}},
                       {"momentum", 0, 1, .real = true, .default_value = {.number = 0.1}}}},
    [PN_LAYERNORM] = {"layernorm",
                      "layernorm(eps=0.00001)",
                      {{"eps", 1e-12, 1, .real = true, .default_value = {.number = 1e-5}}}},
    [PN_RESIDUAL] = {"residual", "residual(dense(128) relu dense(128))", {{0}}},
    [PN_RESCALE] = {"rescale", "rescale", {{0}}},
    [PN_LOSS] = {"loss",
                 "loss(mse)",
                 {{"name", .choices = loss_names, .required = true},
                  {"smoothing", 0, 1, .real = true, .below = true},
                  {"delta", 1e-6, 1e6, .real = true, .default_value = {.number = 1}}}},
};

const char *spec_word_name(word_kind kind)
{
    return rules[kind].name;
}

bool accepts_numbers(const argument_rule *rule)
{
    return rule->max > 0;
}

int argument_count(const word_rule *r)
{
    int n = 0;
    while (n < PN_MAXARGS && r->arg[n].name)
        n++;
    return n;
}

int spec_arguments(const word *w, const char *names[PN_MAXARGS], double values[PN_MAXARGS])
{
    const word_rule *rule = &rules[w->kind];
    const int n = argument_count(rule);
    for (int i = 0; i < n; i++) {
        const argument *a = &w->arg[i];
        names[i] = rule->arg[i].name;
        values[i] = !a->is_choice ? a->number : accepts_numbers(&rule->arg[i]) ? -1 - a->choice : a->choice;
    }
    return n;
}

/* ---- messages ------------------------------------------------------------------------------------------------------ */

/* How many letters must be changed, added or dropped to make b of a (edit distance, Levenshtein 1966). */
static int distance(const char *a, const char *b)
{
    int row[MAX_NAME + 1];
    int n = 0;
    while (n < MAX_NAME && b[n])
        n++;
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

void suggest(char *err, const char *wrong, const char *const *names)
{
    size_t at = strlen(err);
    const char *nearest = NULL;
    int min = (int)strlen(wrong) / 2 + 1; /* a word this far away is not similar */
    for (int i = 0; names[i]; i++) {
        int d = distance(wrong, names[i]);
        if (d < min) {
            min = d;
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

/* ---- numbers: not by strtod and printf, whose decimal point depends on the locale ----------------------------------- */

/* Whole numbers of 15 digits and powers of ten up to 22 are exact as doubles: their product or quotient is rounded
   once. */
enum { MAX_DIGITS = 15 };

static double power_of_ten(int n)
{
    double x = 1;
    while (n-- > 0)
        x *= 10;
    return x;
}

bool read_number(const char **at, double *x)
{
    const char *p = *at;
    int64_t whole = 0;
    int digits = 0, seen = 0, scale = 0;
    for (bool fraction = false; is_digit(*p) || (*p == '.' && !fraction); p++) {
        if (*p == '.') {
            fraction = true;
            continue;
        }
        seen++;
        digits += digits || *p != '0';
        if (digits > MAX_DIGITS)
            return false;
        whole = 10 * whole + (*p - '0');
        scale -= fraction;
    }
    *at = p;
    if (!seen)
        return false;
    if (*p == 'e' || *p == 'E') {
        const bool minus = p[1] == '-';
        int exponent = 0;
        p += 1 + (minus || p[1] == '+');
        if (!is_digit(*p))
            return false;
        for (; is_digit(*p) && exponent < 1000; p++)
            exponent = 10 * exponent + (*p - '0');
        *at = p;
        scale += minus ? -exponent : exponent;
    }
    if (whole && (scale < -22 || scale > 22))
        return false;
    *x = scale < 0 ? (double)whole / power_of_ten(-scale) : (double)whole * power_of_ten(scale);
    return true;
}

number_text show_number(double x)
{
    number_text t;
    int places = 0; /* decimal places: the fewest that give x again */
    int64_t whole;
    for (;; places++) {
        const double scale = power_of_ten(places);
        whole = (int64_t)(x * scale + 0.5);
        if (places == 22 || x * scale > 1e15 || (double)whole / scale == x)
            break;
    }
    char digits[32];
    const int n = snprintf(digits, sizeof digits, "%0*lld", places + 1, (long long)whole), left = n - places;
    snprintf(t.text, sizeof t.text, "%.*s%s%s", left, digits, places ? "." : "", digits + left);
    return t;
}
