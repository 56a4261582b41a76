/* aarch64: NEON and fused multiply-add are always there. */
#if defined(__aarch64__)
#define TABLE neon
#define V 4
#define TILE_ROWS 8 /* 8x2 sums, 2 columns and 1 broadcast: 19 of 32 registers */
#define TILE_VECTORS 2
#include "kernels.inc"
#endif
