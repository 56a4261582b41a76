/* x86-64 with AVX-512 F, BW, DQ and VL: every one since Skylake-X and Zen 4. */
#if defined(__x86_64__)
#include "kernels/target.h"
TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")

#include <immintrin.h>
#include <stddef.h>

#define TABLE avx512
#define V 16
#define TILE_ROWS 8 /* 8x2 sums, 2 of B and 1 broadcast take 19 of 32 registers; 16 chains hide the latency */
#define TILE_VECTORS 2
#define NARROW_TABLE kernels_avx2

#define SQRT(v) _mm512_sqrt_ps((__m512)(v))
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#ifndef NO_MASKED_MOVES /* AddressSanitizer does not know how far masked moves reach */
#define PART(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD_PART(p, n) _mm512_maskz_loadu_ps(PART(n), p)
#define STORE_PART(p, v, n) _mm512_mask_storeu_ps(p, PART(n), (__m512)(v))
#endif
#define NONZERO_BITS(v) _mm512_cmp_ps_mask((__m512)(v), _mm512_setzero_ps(), _CMP_NEQ_UQ)
#define NONZERO_BYTES(p) _mm512_test_epi8_mask(_mm512_loadu_si512(p), _mm512_set1_epi8(-1))

#include "kernels/table.inc"

TARGET_END
#endif
