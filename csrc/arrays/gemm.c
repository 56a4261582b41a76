/* Matrix products of any size: blocking and packing around the kernel of the table, and threads for the public one. */
#include "arrays/arrays.h"
#include "base/threads.h"

#include <string.h>

/* Tuned on a Zen 4 with 1 MB of second-level cache per core and on a Xeon with 2 MB: a packed block of B takes 512 kB,
   one of A 136 kB. */
enum {
    STRIP = 32,    /* columns of a strip: B is packed in strips, so that the kernel reads it as one stream */
    BLOCK_K = 512, /* large, because C is loaded and stored once per block */
    BLOCK_N = 256,
    BLOCK_M = 128,
    BLOCK_B = BLOCK_K * BLOCK_N, /* floats */
    LD_A = BLOCK_K / 2 + PAD,    /* not a multiple of 256: such rows share few sets of the first-level cache */
    SMALL_K = 256,               /* SMALL_K by STRIP floats, 32 kB, fit the stack */
    TALL = 16,                   /* rows of the left factor at a time in swapped(): a cache line of each row of C */
    PACKED_ROWS = 24,            /* rows of A from which packing pays */
    PACKED_LD = 256,             /* row distance of B from which it pays: shorter ones the hardware prefetches */
    DIRECT = 1 << 18,            /* elements of B, 1 MB, above which each of its rows is read as a whole */
    STRIPE_K = 16,               /* rows of B at a time; with more the hardware prefetcher fails: three times as slow */
    FEW = 8,                     /* rows of A below which memory is the limit and half as many rows of B are faster */
    SPEED = 50000                /* multiply-adds per microsecond, roughly */
};

_Static_assert((BLOCK_B + BLOCK_M * LD_A) * sizeof(float) <= SCRATCH_BYTES, "scratch too small");

/* The block of p at row i, column j and term k of the sums, of this size. The sums of a block continue those in C, so
   that each element is the same chain as in one product; the epilogue follows the last term. */
static matrix_product part(const matrix_product *p, int i, int j, int k, int rows, int columns, int terms)
{
    matrix_product q = *p;
    const size_t row = (size_t)i, column = (size_t)j;
    q.g.C += row * p->g.ldc + column;
    q.g.A += row * p->g.row_a + (size_t)k * p->g.col_a;
    q.g.B += p->trans_b ? column * p->g.ldb + (size_t)k : (size_t)k * p->g.ldb + column;
    q.g.m = min_int(rows, p->g.m - i);
    q.g.n = min_int(columns, p->g.n - j);
    q.g.k = min_int(terms, p->g.k - k);
    if (k > 0) {
        q.g.start = q.g.C;
        q.g.ldstart = q.g.ldc;
    } else if (p->g.start) {
        q.g.start += row * p->g.ldstart + column;
    }
    if (k + q.g.k < p->g.k)
        q.g.epi.kind = EPI_STORE;
    if (p->g.epi.bias)
        q.g.epi.bias += column;
    if (p->g.epi.y)
        q.g.epi.y += row * p->g.epi.ldy + column;
    return q;
}

/* Copies B to strips: strip s holds columns [s STRIP, (s + 1) STRIP) of all k rows. */
static void pack_b(float *strips, const matrix_product *p)
{
    const size_t ld = p->g.ldb, k = (size_t)p->g.k, n = (size_t)p->g.n;
    if (p->trans_b) {
        for (size_t j = 0; j < n; j += STRIP)
            kernels()->transpose(strips + j * k, STRIP, p->g.B + j * ld, ld, min_int(STRIP, (int)(n - j)), (int)k);
        return;
    }
    for (size_t i = 0; i < k; i++) {
        const float *row = p->g.B + i * ld;
        float *to = strips + i * STRIP;
        size_t j = 0;
        for (; j + STRIP <= n; j += STRIP)
            memcpy(to + j * k, row + j, STRIP * sizeof *row);
        memcpy(to + j * k, row + j, (n - j) * sizeof *row);
    }
}

/* The product with the strips of B. */
static void multiply_strips(const matrix_product *p, const float *strips)
{
    for (int j = 0; j < p->g.n; j += STRIP) {
        matrix_product q = part(p, 0, j, 0, p->g.m, STRIP, p->g.k);
        q.g.B = strips + (size_t)j * (size_t)p->g.k;
        q.g.ldb = STRIP;
        kernels()->gemm(&q.g);
    }
}

/* Packs a transposed A: transposes it to a block, of which a tile reads a few rows as streams. */
static void pack_a(matrix_product *p, float *block)
{
    kernels()->transpose(block, LD_A, p->g.A, p->g.col_a, p->g.k, p->g.m);
    p->g.A = block;
    p->g.row_a = LD_A;
    p->g.col_a = 1;
}

/* In blocks that fit the second-level cache: packs B, and A if it is transposed; then for twice as many columns. */
static void blocked(const matrix_product *p, float *scratch)
{
    float *const strips = scratch, *const block_a = scratch + BLOCK_B;
    const bool transposed = p->g.col_a != 1;
    const int terms = transposed ? BLOCK_K / 2 : BLOCK_K, width = BLOCK_B / terms;
    for (int j = 0; j < p->g.n; j += width)
        for (int k = 0; k < p->g.k; k += terms) {
            const matrix_product columns = part(p, 0, j, k, p->g.m, width, terms);
            pack_b(strips, &columns);
            for (int i = 0; i < p->g.m; i += BLOCK_M) {
                matrix_product block = part(&columns, i, 0, 0, BLOCK_M, width, terms);
                if (transposed)
                    pack_a(&block, block_a);
                multiply_strips(&block, strips);
            }
        }
}

/* Without scratch: packs B strip by strip on the stack. */
static void in_strips(const matrix_product *p)
{
    float strip[SMALL_K * STRIP];
    for (int j = 0; j < p->g.n; j += STRIP)
        for (int k = 0; k < p->g.k; k += SMALL_K) {
            const matrix_product q = part(p, 0, j, k, p->g.m, STRIP, SMALL_K);
            pack_b(strip, &q);
            multiply_strips(&q, strip);
        }
}

/* Is it cheaper to transpose C, and A unless it is stored transposed, than B, which is? */
static bool swapping_pays(const matrix_product *p)
{
    const int64_t m = p->g.m, n = p->g.n, k = p->g.k;
    return p->trans_b && m >= STRIP / 2 && (p->g.col_a == 1 ? m * (k + n) < k * n : k * n >= DIRECT && m <= n);
}

/* C^T = B^T A^T for B stored as (n,k), which is read in its own order: only A and C are transposed. */
static void swapped(const matrix_product *p, float *scratch)
{
    const int terms = min_int(p->g.k, BLOCK_B / STRIP), width = min_int(BLOCK_N, BLOCK_B / terms / STRIP * STRIP);
    float tile[TALL * BLOCK_N];
    for (int i = 0; i < p->g.m; i += width)
        for (int k = 0; k < p->g.k; k += terms) {
            const matrix_product rows = part(p, i, 0, k, width, p->g.n, terms);
            const size_t ld = (size_t)rows.g.m;
            matrix_product q = {.trans_b = p->g.col_a == 1};
            q.g = (gemm_args){
                .B = rows.g.A, .ldb = q.trans_b ? rows.g.row_a : rows.g.col_a, .n = rows.g.m, .k = rows.g.k};
            pack_b(scratch, &q);
            for (int j = 0; j < p->g.n; j += TALL) {
                const matrix_product block = part(&rows, 0, j, 0, rows.g.m, TALL, rows.g.k);
                if (block.g.start)
                    kernels()->transpose(tile, ld, block.g.start, block.g.ldstart, block.g.m, block.g.n);
                q.g.C = tile;
                q.g.ldc = q.g.ldstart = ld;
                q.g.start = block.g.start ? tile : NULL;
                q.g.A = block.g.B;
                q.g.row_a = block.g.ldb;
                q.g.col_a = 1;
                q.g.m = block.g.n;
                multiply_strips(&q, scratch);
                kernels()->transpose(block.g.C, block.g.ldc, tile, ld, block.g.n, block.g.m);
            }
        }
    for (size_t i = 0; i < (size_t)p->g.m && p->g.epi.kind == EPI_RELU_GRAD; i++) {
        float *row = p->g.C + i * p->g.ldc;
        kernels()->relu_grad(row, row, p->g.epi.y + i * p->g.epi.ldy, (size_t)p->g.n);
    }
}

/* A few whole rows of B at a time: each row of a large B is on pages of its own. */
static void in_stripes(const matrix_product *p)
{
    const int terms = p->g.m < FEW ? STRIPE_K / 2 : STRIPE_K;
    for (int k = 0; k < p->g.k; k += terms) {
        matrix_product q = part(p, 0, 0, k, p->g.m, p->g.n, terms);
        kernels()->gemm(&q.g);
    }
}

void matrix_product_compute(const matrix_product *p)
{
    const bool large = (int64_t)p->g.k * p->g.n > DIRECT, swap = swapping_pays(p);
    const bool packed = p->g.m >= PACKED_ROWS && (large || (!p->trans_b && p->g.ldb >= PACKED_LD));
    float *scratch = p->g.k > 0 && !p->g.mask && (swap || packed) ? scratch_take() : NULL;
    if (scratch && swap)
        swapped(p, scratch);
    else if (scratch)
        blocked(p, scratch);
    else if (p->trans_b && p->g.k > 0)
        in_strips(p);
    else if (large && !p->g.mask)
        in_stripes(p);
    else
        kernels()->gemm(&p->g);
    scratch_give(scratch);
}

bool product_may_pack(int64_t m, int64_t n, int64_t k, bool backward)
{
    const bool swaps = backward && m >= STRIP / 2 && STRIP / 2 * (k + n) < k * n;
    return swaps || (m >= PACKED_ROWS && (k * n > DIRECT || n >= PACKED_LD));
}

/* Partitions the columns, or the rows if there are more, among the threads. */
static void multiply_part(void *arg, int id, int threads)
{
    const matrix_product *p = arg;
    const bool by_rows = p->g.m > p->g.n;
    const int grain = 16, n = by_rows ? p->g.m : p->g.n;
    int from, to;
    partition(id, threads, n, grain, &from, &to);
    const matrix_product mine =
        by_rows ? part(p, from, 0, 0, to - from, p->g.n, p->g.k) : part(p, 0, from, 0, p->g.m, to - from, p->g.k);
    if (from < to)
        matrix_product_compute(&mine);
}

static void dots_part(void *arg, int id, int threads)
{
    dots_args mine = *(const dots_args *)arg;
    int from, to;
    partition(id, threads, mine.m, 16, &from, &to);
    mine.y += (size_t)from * mine.stride_y;
    mine.A += (size_t)from * mine.lda;
    mine.m = to - from;
    kernels()->dots(&mine);
}

/* A product of one column as one of one row: C^T = op(B)^T op(A)^T. C must be contiguous. */
static matrix_product transposed_product(const matrix_product *p)
{
    matrix_product q = *p;
    q.g.A = p->g.B;
    q.g.col_a = p->trans_b ? 1 : p->g.ldb;
    q.g.B = p->g.A;
    q.g.ldb = p->g.col_a;
    q.g.m = 1;
    q.g.n = p->g.m;
    q.trans_b = false;
    return q;
}

void pn_gemm(float *restrict C, int ldc, const float *A, int lda, const float *B, int ldb, int m, int n, int k,
             int flags)
{
    if (m <= 0 || n <= 0)
        return;
    unsigned long fp = fp_enter();
    matrix_product p = {
        .g =
            {
                .C = C,
                .ldc = (size_t)ldc,
                .A = A,
                .row_a = flags & PN_TRANS_A ? 1 : (size_t)lda,
                .col_a = flags & PN_TRANS_A ? (size_t)lda : 1,
                .B = B,
                .ldb = (size_t)ldb,
                .m = m,
                .n = n,
                .k = k,
                .start = flags & PN_ACCUMULATE ? C : NULL,
                .ldstart = (size_t)ldc,
            },
        .trans_b = flags & PN_TRANS_B,
    };
    const double length = (double)m * n * k / (double)SPEED;
    const bool row = m == 1 && p.trans_b, column = n == 1 && !(flags & PN_TRANS_A);
    if (row || column) { /* both factors are contiguous along k. Only shape and flags decide: the bits depend on it */
        dots_args d = {.y = C,
                       .stride_y = row ? 1 : p.g.ldc,
                       .A = row ? B : A,
                       .lda = row ? p.g.ldb : p.g.row_a,
                       .x = row ? A : B,
                       .stride_x = row         ? p.g.col_a
                                   : p.trans_b ? 1
                                               : p.g.ldb,
                       .m = row ? n : m,
                       .k = k,
                       .accumulate = flags & PN_ACCUMULATE};
        pool_run_if_worth(dots_part, &d, length, MAX_THREADS);
    } else {
        if (n == 1 && ldc == 1)
            p = transposed_product(&p);
        pool_run_if_worth(multiply_part, &p, length, MAX_THREADS);
    }
    fp_leave(fp);
}
