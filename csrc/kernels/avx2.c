/* x86-64 with AVX2 and FMA. */
#if defined(__x86_64__)
#include "kernels/target.h"
TARGET_BEGIN("avx2,fma")

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE avx2
#define V 8
#define TILE_ROWS 6 /* 6x2 sums, 2 of B and 1 broadcast take 15 of 16 registers; GCC 12 spills one of 4x3 */
#define TILE_VECTORS 2

#define SQRT(v) _mm256_sqrt_ps((__m256)(v))
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))

#ifndef NO_MASKED_MOVES /* AddressSanitizer does not know how far masked moves reach */
static const int part_masks[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
#define PART(n) _mm256_loadu_si256((const __m256i *)(part_masks + 8 - (n)))
#define LOAD_PART(p, n) _mm256_maskload_ps(p, PART(n))
#define STORE_PART(p, v, n) _mm256_maskstore_ps(p, PART(n), (__m256)(v))
#endif
#define NONZERO_BITS(v) (unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)(v), _mm256_setzero_ps(), _CMP_NEQ_UQ))

static inline uint64_t zero_bytes(const uint8_t *p) /* of 32 */
{
    const __m256i zero = _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)p), _mm256_setzero_si256());
    return (unsigned)_mm256_movemask_epi8(zero);
}
#define NONZERO_BYTES(p) ~(zero_bytes(p) | zero_bytes((p) + 32) << 32)

#include "kernels/table.inc"

TARGET_END
#endif
