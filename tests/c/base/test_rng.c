/* Random numbers: the bits of SplitMix64 as published, independent streams, and the moments of the distributions.
   Prints how many checks it made. */
#include "base/base.h"
#include "testing.h"

#include <math.h>

/* SplitMix64 (Steele, Lea and Flood 2014) as published, sequential. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t nth(uint64_t state, uint64_t n)
{
    state += n * 0x9e3779b97f4a7c15u;
    return next(&state);
}

static void published_bits(void)
{
    /* its outputs from the states 1234567 and 0; the seeds of these states were found by inverting it */
    static const uint64_t known[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                     4593380528125082431u, 16408922859458223821u};
    for (uint64_t i = 0; i < 5; i++) {
        CHECK(random_bits(0xeea7aa9b917a943au, 0, i) == known[i]);
        CHECK(random_bits(0xfe59b150b94145dbu, 3, i) == known[i]);
        CHECK(nth(1234567, i) == known[i]);
    }
    CHECK(random_bits(0xc5deefb0344c1df5u, 0, 0) == 0xe220a8397b1dcdafu);
    CHECK(random_bits(0xc5deefb0344c1df5u, 0, 1) == 0x6e789e6aa1b965f4u);

    /* a stream is SplitMix64 from a state that was itself drawn by SplitMix64: from the seed, then from the stream */
    const uint64_t seeds[] = {0, 1, 42, UINT64_MAX};
    for (int s = 0; s < 4; s++)
        for (uint64_t stream = 0; stream < 4; stream++) {
            uint64_t state = nth(nth(seeds[s], 0), stream);
            for (uint64_t i = 0; i < 8; i++)
                CHECK(random_bits(seeds[s], stream, i) == next(&state));
        }
}

/* Each bit is 1 in half of the numbers, and changes in half of the cases when one bit of seed, stream or counter
   changes. */
static void balanced_bits(void)
{
    enum { NUMBERS = 1 << 13 };
    int ones[64] = {0}, changes[3] = {0};
    for (uint64_t i = 0; i < NUMBERS; i++) {
        const uint64_t bits = random_bits(3, 1, i), flip = (uint64_t)1 << i % 64;
        for (int b = 0; b < 64; b++)
            ones[b] += (int)(bits >> b & 1);
        changes[0] += __builtin_popcountll(bits ^ random_bits(3 ^ flip, 1, i));
        changes[1] += __builtin_popcountll(bits ^ random_bits(3, 1 ^ flip, i));
        changes[2] += __builtin_popcountll(bits ^ random_bits(3, 1, i ^ flip));
    }
    for (int b = 0; b < 64; b++)
        FIVE_ERRORS(ones[b], NUMBERS / 2.0, sqrt(NUMBERS) / 2);
    for (int k = 0; k < 3; k++)
        FIVE_ERRORS(changes[k], NUMBERS * 32.0, sqrt(NUMBERS * 64.0) / 2);
}

static void normal_numbers(void)
{
    enum { NUMBERS = 1 << 17 };
    static float w[NUMBERS], half[NUMBERS];
    /* sqrt(-2 log u) cos(2 pi v) in Python; log and cos of other libraries may round differently */
    static const double known[] = {-1.290306499746528, 1.0148732965521212, -1.7579585457726938, 0.533632391842725,
                                   -0.3824180354543981};
    random_normal(w, NUMBERS, 1, 7, 2);
    for (int i = 0; i < 5; i++)
        CHECK(fabs((double)w[i] - known[i]) < 1e-6);
    random_normal(half, 100, 0.5f, 7, 2);
    int same = 0;
    for (int i = 0; i < 100; i++)
        same += half[i] == 0.5f * w[i];
    CHECK(same == 100);

    double power[5] = {0}, neighbours = 0;
    int inside = 0, finite = 0;
    for (int i = 0; i < NUMBERS; i++) {
        const double x = (double)w[i];
        finite += isfinite(x) != 0;
        inside += fabs(x) < 1;
        neighbours += i ? x * (double)w[i - 1] : 0;
        for (int k = 1; k < 5; k++)
            power[k] += pow(x, k);
    }
    const double n = NUMBERS; /* the moments of the normal distribution up to the eighth: 1 3 15 105 */
    CHECK(finite == NUMBERS);
    FIVE_ERRORS(power[1] / n, 0, sqrt(1 / n));
    FIVE_ERRORS(power[2] / n, 1, sqrt((3 - 1) / n));
    FIVE_ERRORS(power[3] / n, 0, sqrt(15 / n));
    FIVE_ERRORS(power[4] / n, 3, sqrt((105 - 9) / n));
    FIVE_ERRORS(neighbours / n, 0, sqrt(1 / n));
    const double share = erf(sqrt(0.5));
    FIVE_ERRORS(inside / n, share, sqrt(share * (1 - share) / n));

    random_normal(half, NUMBERS, 1, 7, 3); /* another stream */
    double product = 0;
    for (int i = 0; i < NUMBERS; i++)
        product += (double)w[i] * (double)half[i];
    FIVE_ERRORS(product / n, 0, sqrt(1 / n));
}

static void uniform_numbers(void)
{
    enum { NUMBERS = 1 << 16 };
    static float u[NUMBERS], other[NUMBERS];
    static const float known[] = {0.7100827693939209f, -0.6990631818771362f, -0.5637016296386719f,
                                  0.13777542114257812f}; /* exact: multiples of 2^-23 */
    random_uniform(u, NUMBERS, 9, 3, 2);
    for (int i = 0; i < 4; i++)
        CHECK(u[i] == known[i]);
    double sum = 0, squares = 0;
    int within = 0, tenths[10] = {0};
    for (int i = 0; i < NUMBERS; i++) {
        sum += (double)u[i];
        squares += (double)u[i] * (double)u[i];
        within += u[i] >= -1 && u[i] < 1 && u[i] * 0x1p23f == rintf(u[i] * 0x1p23f);
        tenths[(int)(((double)u[i] + 1) * 5)]++;
    }
    const double n = NUMBERS;
    CHECK(within == NUMBERS);
    FIVE_ERRORS(sum / n, 0, sqrt(1 / 3.0 / n));
    FIVE_ERRORS(squares / n, 1 / 3.0, sqrt((1 / 5.0 - 1 / 9.0) / n));
    for (int t = 0; t < 10; t++)
        FIVE_ERRORS(tenths[t] / n, 0.1, sqrt(0.09 / n));
    const uint64_t whens[] = {4, 3, 3};
    const uint32_t rows[] = {2, 3, 2};
    const uint64_t seeds[] = {9, 9, 10};
    for (int k = 0; k < 3; k++) { /* another step, row, seed */
        double product = 0;
        random_uniform(other, NUMBERS, seeds[k], whens[k], rows[k]);
        for (int i = 0; i < NUMBERS; i++)
            product += (double)u[i] * (double)other[i];
        FIVE_ERRORS(product / n, 0, sqrt(1 / 9.0 / n));
    }
}

static void dropped_units(void)
{
    enum { ROWS = 61, UNITS = 301 };
    static float x[ROWS * UNITS], y[ROWS * UNITS], first[ROWS * UNITS];
    const dropout_mask mask = dropout_row(0.3, 5, 3, 11, 4);
    CHECK(mask.key == 0xb240e982400d6dccu && mask.threshold == 0x4cccccccu && mask.scale == (float)(1 / 0.7));
    CHECK(dropout_row(0, 5, 3, 11, 4).threshold == 0 && dropout_row(0, 5, 3, 11, 4).scale == 1);
    CHECK(dropout_row(0.5, 5, 3, 11, 4).threshold == 1u << 31 && dropout_row(0.5, 5, 3, 11, 4).scale == 2);
    for (int i = 0; i < ROWS * UNITS; i++)
        x[i] = (float)(i % 17 + 1);
    const double n = ROWS * UNITS, chances[] = {0.001, 0.3, 0.5, 0.99};
    for (int c = 0; c < 4; c++) {
        const double p = chances[c];
        const char *table;
        for (int t = 0; (table = pn_cpu_table(t)); t++) {
            int dropped = 0, kept = 0;
            CHECK(pn_set_cpu(table) == PN_OK);
            pn_dropout(y, x, ROWS, UNITS, p, 5, 3, 11);
            for (int i = 0; i < ROWS * UNITS; i++) {
                dropped += y[i] == 0;
                kept += y[i] == x[i] * (float)(1 / (1 - p));
            }
            CHECK(dropped + kept == ROWS * UNITS);
            FIVE_ERRORS(dropped / n, p, sqrt(p * (1 - p) / n));
            if (t == 0)
                memcpy(first, y, sizeof y);
            CHECK(memcmp(first, y, sizeof y) == 0);
        }
        CHECK(pn_set_cpu(NULL) == PN_OK);
        const uint64_t seeds[] = {6, 5, 5}, steps[] = {11, 11, 12};
        const int layers[] = {3, 4, 3};
        for (int k = 0; k < 3; k++) { /* another seed, layer, step: masks are independent */
            int both = 0;
            pn_dropout(y, x, ROWS, UNITS, p, seeds[k], layers[k], steps[k]);
            for (int i = 0; i < ROWS * UNITS; i++)
                both += y[i] == 0 && first[i] == 0;
            FIVE_ERRORS(both / n, p * p, sqrt(p * p * (1 - p * p) / n));
        }
    }
    pn_dropout(y, x, ROWS, UNITS, 0, 5, 3, 11);
    CHECK(memcmp(x, y, sizeof y) == 0);
}

static void shuffled_orders(void)
{
    /* Fisher and Yates's from the last element down, with number i of the stream for element i; from Python */
    static const int32_t golden[][10] = {
        {5, 7, 6, 3, 2, 0, 9, 8, 4, 1}, {5, 3, 1, 4, 6, 0, 2, 9, 7, 8}, {3, 0, 9, 4, 5, 1, 2, 6, 7, 8}};
    static const int32_t longer[] = {9, 6, 5, 11, 15, 13, 10, 1, 3, 8, 16, 4, 12, 14, 2, 7, 0};
    static int32_t order[1000];
    pn_shuffle(order, 10, 1, 0);
    CHECK(memcmp(order, golden[0], sizeof golden[0]) == 0);
    pn_shuffle(order, 10, 1, 1);
    CHECK(memcmp(order, golden[1], sizeof golden[1]) == 0);
    pn_shuffle(order, 10, 2, 0);
    CHECK(memcmp(order, golden[2], sizeof golden[2]) == 0);
    pn_shuffle(order, 17, UINT64_MAX, 5);
    CHECK(memcmp(order, longer, sizeof longer) == 0);

    const int32_t sizes[] = {0, 1, 2, 3, 17, 999};
    for (int s = 0; s < 6; s++)
        for (uint64_t epoch = 0; epoch < 5; epoch++) {
            char seen[1000] = {0};
            int missing = sizes[s];
            order[sizes[s]] = -7;
            pn_shuffle(order, sizes[s], 3, epoch);
            for (int i = 0; i < sizes[s]; i++)
                if (order[i] >= 0 && order[i] < sizes[s] && !seen[order[i]]++)
                    missing--;
            CHECK(missing == 0 && order[sizes[s]] == -7);
        }

    enum {
        EPOCHS = 24000
    }; /* all 24 orders of four are equally frequent: Pearson's chi-square, 23 degrees of freedom */
    int count[256] = {0};
    double chi = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        pn_shuffle(order, 4, 8, epoch);
        count[order[0] << 6 | order[1] << 4 | order[2] << 2 | order[3]]++;
    }
    int orders = 0;
    for (int i = 0; i < 256; i++)
        if (count[i]) {
            orders++;
            chi += pow(count[i] - EPOCHS / 24, 2) / (EPOCHS / 24);
        }
    CHECK(orders == 24);
    FIVE_ERRORS(chi, 23, sqrt(2 * 23));
}

int main(void)
{
    published_bits();
    balanced_bits();
    normal_numbers();
    uniform_numbers();
    dropped_units();
    shuffled_orders();
    printf("rng: %d checks, %d failures\n", checks, failures);
    return failures != 0;
}
