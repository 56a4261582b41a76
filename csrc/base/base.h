/* What every folder may need: messages, memory, shapes, random numbers, the floating-point state. */
#ifndef PN_BASE_H
#define PN_BASE_H

#include "kernels/kernels.h"
#include "pynet.h"

#include <stdbool.h>

#define ALIGN 64               /* bytes: a cache line, and the widest vector */
#define PAD 16                 /* floats: rows of work memory start on a cache line */
#define MAX_FEATURES (1 << 28) /* of a sample: the offsets within a row fit an int */

/* Writes a message, unless err is NULL, and returns the status, so that `return fail(err, PN_ERR_SPEC, "...")` is one line. */
__attribute__((format(printf, 3, 4))) pn_status fail(char *err, pn_status status, const char *format, ...);

/* Memory on a cache line, zeroed; NULL when there is none. Free with free(). */
void *aligned_zeros(size_t count, size_t size);

/* Of one sample: (n), or (channels, height, width). */
typedef struct {
    int rank;
    int64_t dim[PN_MAXRANK];
} shape;
int64_t shape_size(const shape *s);
bool same_shape(const shape *a, const shape *b);

/* "(784)", "(8,24,24)" */
typedef struct {
    char text[64];
} shape_text;
shape_text show_shape(const shape *s);

static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* n floats, and the padding that brings the next row to a cache line. */
size_t padded(int64_t n);

/* ---- utf8.c ------------------------------------------------------------------------------------------------------ */

/* Bytes of the character at s, which ends in a zero byte; 0 when it is none (overlong, a surrogate, past U+10FFFF). */
size_t utf8_length(const char *s);
bool utf8_valid(const char *s);

/* Bytes of s as a JSON string, with its quotes. */
size_t json_size(const char *s);

/* ---- rng.c: counter-based random numbers ------------------------------------------------------------------------- */

/* Number `counter` of the stream that seed and stream name: 64 random bits. */
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter);

/* Row `row` of the mask of layer number `number` in step `when`. */
dropout_mask dropout_row(double probability, uint64_t seed, int number, uint64_t step, int row);

/* u[0..n) = numbers from -1 to below 1, all equally likely, for row `row` of the batch of step `when`: augmentation's */
void random_uniform(float *u, size_t n, uint64_t seed, uint64_t step, uint32_t row);

/* w[0..n) = normal numbers of this standard deviation */
void random_normal(float *w, size_t n, float deviation, uint64_t seed, uint64_t stream);

/* ---- cpu.c ------------------------------------------------------------------------------------------------------ */

/* A moment in a loop that waits for another thread. */
void cpu_pause(void);

/* Denormals flushed, rounding to nearest on this thread; returns the state to give back to fp_leave. */
unsigned long fp_enter(void);
void fp_leave(unsigned long state);

#endif
