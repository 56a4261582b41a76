/* x86-64 with AVX2 and FMA. */
#if defined(__x86_64__)
#include "target.h"
TARGET_BEGIN("avx2,fma")

#include <immintrin.h>
#include <stddef.h>

#define TABLE avx2
#define V 8
#define TILE_ROWS 4 /* 4x3 sums, 3 columns and 1 broadcast fit 16 registers */
#define TILE_VECTORS 3

static const int part_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
#define PART(n) _mm256_loadu_si256((const __m256i *)(part_masks + 8 - (n)))
#define LOAD_PART(p, n) _mm256_maskload_ps(p, PART(n))
#define STORE_PART(p, v, n) _mm256_maskstore_ps(p, PART(n), (__m256)(v))

#include "kernels.inc"

TARGET_END
#endif
