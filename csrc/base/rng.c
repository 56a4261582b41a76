/* Counter-based random numbers: number i of a stream is computed without those before it, so results do not depend on
   the number of threads, and a resumed training continues exactly. */
#include "base/base.h"

#include <math.h>

/* The output function of SplitMix64 (Steele, Lea and Flood 2014): each bit of x changes about half of the result. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio: SplitMix64's step */
    uint64_t key = mix(mix(seed + golden) + golden * (stream + 1));
    return mix(key + golden * (counter + 1));
}

void random_normal(float *w, size_t n, float deviation, uint64_t seed, uint64_t stream)
{
    const double unit = 0x1p-53, two_pi = 6.283185307179586;
    /* Box and Muller 1958. log and cos are the system's: another math library may round differently */
    for (size_t i = 0; i < n; i++) {
        double u = (double)((random_bits(seed, stream, 2 * i) >> 11) + 1) * unit; /* (0, 1], for log */
        double v = (double)(random_bits(seed, stream, 2 * i + 1) >> 11) * unit;
        w[i] = (float)(sqrt(-2 * log(u)) * cos(two_pi * v)) * deviation;
    }
}

dropout_mask dropout_row(double probability, uint64_t seed, int number, uint64_t step, int row)
{
    const uint64_t stream =
        0x64726f706f7574u + (uint64_t)number; /* "dropout" in ASCII: not a stream of initial weights */
    return (dropout_mask){
        .key = random_bits(seed, stream, step << 32 | (uint32_t)row),
        .threshold = (uint32_t)(probability * 0x1p32),
        .scale = (float)(1 / (1 - probability)),
        .stride = 1,
    };
}

void random_uniform(float *u, size_t n, uint64_t seed, uint64_t step, uint32_t row)
{
    const uint64_t stream = 0x6175676d656e74u; /* "augment" in ASCII: not a stream of initial weights */
    const uint64_t key = random_bits(seed, stream, step << 32 | row);
    for (size_t i = 0; i < n; i++)
        u[i] = (float)(random_bits(key, stream, i) >> 40) * 0x1p-23f - 1;
}

void pn_shuffle(int32_t *order, int32_t n, uint64_t seed, uint64_t epoch)
{
    const uint64_t stream = 0x73687566666c65u + epoch; /* "shuffle" in ASCII: not a stream of initial weights */
    for (int32_t i = 0; i < n; i++)
        order[i] = i;
    for (int32_t i = n - 1; i > 0; i--) {
        uint64_t bits = random_bits(seed, stream, (uint64_t)i) >> 32;
        int32_t j = (int32_t)((bits * (uint64_t)(i + 1)) >> 32); /* 0..i, uniform to within 2^-32 */
        int32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}
