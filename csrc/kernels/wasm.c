/* WebAssembly with vectors of 4. Relaxed SIMD has a multiply-add that is fused where the CPU can. */
#if defined(__wasm_simd128__)
#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

#define TABLE wasm
#define V 4
#define TILE_ROWS 4 /* 4x2 sums; browsers keep them in the 16 registers of x86-64 */
#define TILE_VECTORS 2
#if defined(__wasm_relaxed_simd__)
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_relaxed_madd((v128_t)(a), (v128_t)(b), (v128_t)(c))
#else
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#endif
#define SQRT(v) wasm_f32x4_sqrt((v128_t)(v))
#define FLUSH(v) \
    (vf) wasm_v128_andnot((v128_t)(v), wasm_f32x4_lt(wasm_f32x4_abs((v128_t)(v)), wasm_f32x4_const_splat(FLT_MIN)))
#define NONZERO_BITS(v) wasm_i32x4_bitmask(wasm_f32x4_ne((v128_t)(v), wasm_f32x4_const_splat(0)))

static inline uint64_t nonzero_16_bytes(const uint8_t *p)
{
    return wasm_i8x16_bitmask(wasm_i8x16_ne(wasm_v128_load(p), wasm_i8x16_const_splat(0)));
}
#define NONZERO_BYTES(p)                                                                         \
    (nonzero_16_bytes(p) | nonzero_16_bytes((p) + 16) << 16 | nonzero_16_bytes((p) + 32) << 32 | \
     nonzero_16_bytes((p) + 48) << 48)

#include "kernels/table.inc"
#endif
