/* Any CPU: vectors of 4, which GCC and Clang lower to SSE2, NEON or plain code. */
#define TABLE portable
#define V 4
#define TILE_ROWS 4 /* 4x2 sums, 2 of B and 1 broadcast fit the 16 registers of SSE2 */
#define TILE_VECTORS 2
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define SQRT(v) \
    ((vf){__builtin_sqrtf((v)[0]), __builtin_sqrtf((v)[1]), __builtin_sqrtf((v)[2]), __builtin_sqrtf((v)[3])})
#define NONZERO_BITS(v) (((v)[0] != 0) | ((v)[1] != 0) << 1 | ((v)[2] != 0) << 2 | ((v)[3] != 0) << 3)
#include "kernels/table.inc"
