/* Used by every folder: messages, memory, shapes, random numbers, the floating-point state. */
#ifndef PN_BASE_H
#define PN_BASE_H

#include "kernels/kernels.h"
#include "pynet.h"

#include <stdbool.h>

#define ALIGN 64               /* bytes: a cache line, and the widest vector */
#define PAD 16                 /* floats in a cache line: rows of work memory are padded to a multiple */
#define MAX_FEATURES (1 << 28) /* of a sample, so that offsets in a row fit an int */

/* Prints a message to err, unless that is NULL, and returns the status. */
__attribute__((format(printf, 3, 4))) pn_status fail(char *err, pn_status status, const char *format, ...);

/* Prints to `at`, where `left` bytes are, or only counts if `at` is NULL. */
typedef struct {
    char *at;
    size_t left, used;
} writer;
void write_bytes(writer *to, const char *bytes, size_t n);
__attribute__((format(printf, 2, 3))) void print(writer *to, const char *format, ...); /* and a zero byte, if it fits */

/* The shape of one sample: (n), or (channels, height, width). */
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

/* Part id of `threads` equal parts of n items, in multiples of `grain`: [from, to). */
void partition(int id, int threads, int n, int grain, int *from, int *to);
void partition_array(int id, int threads, size_t n, size_t grain, size_t *from, size_t *to);

/* n rounded up to a multiple of PAD. */
size_t padded(int64_t n);

/* The leading dimension of a matrix with n columns in work memory: not a multiple of 1 kB, since elements of a column
   would then share few sets of the first-level cache. */
size_t row_distance(int64_t n);

/* ---- allocator.c ------------------------------------------------------------------------------------------------- */

/* Memory aligned to a cache line; NULL: there is none. memory_zeros clears it. Sizes have 64 bits: where size_t has 32,
   what does not fit must not become small. */
void *memory_take(uint64_t bytes);
void *memory_zeros(uint64_t count, size_t size);
void memory_free(void *block); /* NULL is allowed */

/* What the allocator is asked for: bytes, at least 1, up to a multiple of ALIGN. */
uint64_t memory_size(uint64_t bytes);

#ifndef PN_NO_THREADS
/* Is it malloc()? */
bool memory_is_default(void);
#endif

/* Makes room for element n of an array whose capacity doubles; NULL: no memory, and the array is unchanged. */
void *memory_grow(void *array, size_t n, size_t size);

/* A copy of a string. */
char *memory_copy(const char *text);

/* ---- utf8.c ------------------------------------------------------------------------------------------------------ */

/* Number of bytes of the character at s, a string; 0 if it is not valid UTF-8 (overlong, a surrogate, past
   U+10FFFF). */
size_t utf8_length(const char *s);
bool utf8_valid(const char *s);

/* Writes s, valid UTF-8, as a JSON string; and the number of bytes of that. */
void json_write(writer *to, const char *s);
size_t json_size(const char *s);

/* ---- rng.c: counter-based random numbers ------------------------------------------------------------------------- */

/* 64 random bits: number `counter` of stream `stream` of this seed. */
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t counter);

/* The dropout mask of layer `number` for row `row` of the batch of this step. */
dropout_mask dropout_row(double probability, uint64_t seed, int number, uint64_t step, int row);

/* u[0..n) = uniform numbers in [-1, 1), for the augmentation of row `row` of the batch of this step. */
void random_uniform(float *u, size_t n, uint64_t seed, uint64_t step, uint32_t row);

/* w[0..n) = normal numbers with mean 0 and this standard deviation. */
void random_normal(float *w, size_t n, float deviation, uint64_t seed, uint64_t stream);

/* ---- cpu.c ------------------------------------------------------------------------------------------------------ */

/* Sets this thread to flush denormals and to round to nearest; returns the old state, for fp_leave. */
unsigned long fp_enter(void);
void fp_leave(unsigned long state);

#endif
