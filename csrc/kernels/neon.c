/* aarch64: NEON and fused multiply-add are always there. */
#if defined(__aarch64__)
#include <arm_neon.h>

#define TABLE neon
#define V 4
#define TILE_ROWS 8 /* 8x2 sums, 2 of B and 1 broadcast take 19 of 32 registers */
#define TILE_VECTORS 2
#define MULTIPLY_ADD(a, b, c) vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#define SQRT(v) vsqrtq_f32((float32x4_t)(v))
#define NONZERO_BITS(v) (((v)[0] != 0) | ((v)[1] != 0) << 1 | ((v)[2] != 0) << 2 | ((v)[3] != 0) << 3)
#include "kernels/table.inc"
#endif
