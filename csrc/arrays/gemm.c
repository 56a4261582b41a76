/* The public matrix product: threads, blocking and packing around the kernel of the table. */
#include "arrays/arrays.h"
#include "base/threads.h"

#include <string.h>

/* Tuned on a Zen 4 with 1 MB of second-level cache per core, which holds a packed block of B (512 kB) and one of A (256
   kB). Blocks have long rows: in a large matrix each row is on another page, and a TLB miss costs more than copying the
   row. */
enum {
    BLOCK_K = 512, /* large, because C is loaded and stored once per block */
    BLOCK_N = 256,
    BLOCK_M = 128,
    DIRECT = 1 << 18, /* elements of B, 1 MB, up to which it is not packed */
    STRIPE_K = 16,    /* rows of B at a time; with more the hardware prefetcher fails: three times as slow */
    FEW = 8,          /* rows of A below which memory is the limit and half as many rows of B are faster */
    PANEL_K = 256,
    PANEL_N = 32, /* PANEL_K by PANEL_N floats, 32 kB, fit the stack */
    SPEED = 50000 /* multiply-adds per microsecond, roughly */
};

_Static_assert((BLOCK_K * BLOCK_N + BLOCK_M * BLOCK_K) * sizeof(float) <= SCRATCH_BYTES, "scratch too small");

typedef struct {
    gemm_args g;
    bool trans_b; /* B is stored as (n,k) */
} product;

/* The block of p at row i, column j and term k of the sums, of this size. The sums of a block continue those in C, so
   that each element is the same chain as in one product. */
static product part(const product *p, int i, int j, int k, int rows, int columns, int terms)
{
    product q = *p;
    q.g.C += (size_t)i * p->g.ldc + (size_t)j;
    q.g.A += (size_t)i * p->g.row_a + (size_t)k * p->g.col_a;
    q.g.B += p->trans_b ? (size_t)j * p->g.ldb + (size_t)k : (size_t)k * p->g.ldb + (size_t)j;
    q.g.m = min_int(rows, p->g.m - i);
    q.g.n = min_int(columns, p->g.n - j);
    q.g.k = min_int(terms, p->g.k - k);
    if (k > 0 || p->g.start) { /* start is NULL or C */
        q.g.start = q.g.C;
        q.g.ldstart = q.g.ldc;
    }
    return q;
}

/* Packs B (k,n): copies its rows to a block. */
static void pack_b(product *p, float *block, size_t ld)
{
    if (p->trans_b)
        kernels()->transpose(block, ld, p->g.B, p->g.ldb, p->g.n, p->g.k);
    else
        for (int k = 0; k < p->g.k; k++)
            memcpy(block + (size_t)k * ld, p->g.B + (size_t)k * p->g.ldb, (size_t)p->g.n * sizeof *block);
    p->g.B = block;
    p->g.ldb = ld;
    p->trans_b = false;
}

/* Packs a transposed A: copies the rows of (k,m) to a block. */
static void pack_a(product *p, float *block)
{
    for (int k = 0; k < p->g.k; k++)
        memcpy(block + (size_t)k * BLOCK_M, p->g.A + (size_t)k * p->g.col_a, (size_t)p->g.m * sizeof *block);
    p->g.A = block;
    p->g.col_a = BLOCK_M;
}

/* In blocks that fit the second-level cache: packs B, and A if it is transposed. */
static void blocked(const product *p, float *scratch)
{
    float *const block_b = scratch, *const block_a = scratch + BLOCK_K * BLOCK_N;
    for (int j = 0; j < p->g.n; j += BLOCK_N)
        for (int k = 0; k < p->g.k; k += BLOCK_K) {
            product columns = part(p, 0, j, k, p->g.m, BLOCK_N, BLOCK_K);
            pack_b(&columns, block_b, BLOCK_N);
            for (int i = 0; i < p->g.m; i += BLOCK_M) {
                product block = part(&columns, i, 0, 0, BLOCK_M, BLOCK_N, BLOCK_K);
                if (block.g.col_a != 1)
                    pack_a(&block, block_a);
                kernels()->gemm(&block.g);
            }
        }
}

/* Without scratch: transposes B panel by panel on the stack. */
static void in_panels(const product *p)
{
    float panel[PANEL_K * PANEL_N];
    for (int j = 0; j < p->g.n; j += PANEL_N)
        for (int k = 0; k < p->g.k; k += PANEL_K) {
            product q = part(p, 0, j, k, p->g.m, PANEL_N, PANEL_K);
            pack_b(&q, panel, PANEL_N);
            kernels()->gemm(&q.g);
        }
}

/* A few whole rows of B at a time: each row of a large B is on pages of its own. */
static void in_stripes(const product *p)
{
    const int terms = p->g.m < FEW ? STRIPE_K / 2 : STRIPE_K;
    for (int k = 0; k < p->g.k; k += terms) {
        product q = part(p, 0, 0, k, p->g.m, p->g.n, terms);
        kernels()->gemm(&q.g);
    }
}

static void multiply(const product *p)
{
    const bool large = (int64_t)p->g.k * p->g.n > DIRECT, packed = large && p->g.m >= BLOCK_M / 4;
    float *scratch = packed ? scratch_take() : NULL; /* packing pays if A has many rows */
    if (scratch)
        blocked(p, scratch);
    else if (p->trans_b && p->g.k > 0)
        in_panels(p);
    else if (large)
        in_stripes(p);
    else
        kernels()->gemm(&p->g);
    scratch_give(scratch);
}

/* Partitions the columns, or the rows if there are more, among the threads. */
static void multiply_part(void *arg, int id, int threads)
{
    const product *p = arg;
    const bool by_rows = p->g.m > p->g.n;
    const int grain = 16, n = by_rows ? p->g.m : p->g.n;
    int from, to;
    partition(id, threads, n, grain, &from, &to);
    const product mine =
        by_rows ? part(p, from, 0, 0, to - from, p->g.n, p->g.k) : part(p, 0, from, 0, p->g.m, to - from, p->g.k);
    if (from < to)
        multiply(&mine);
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
static product transposed_product(const product *p)
{
    product q = *p;
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
    product p = {
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
        pool_run_if_worth(dots_part, &d, length);
    } else {
        if (n == 1 && ldc == 1)
            p = transposed_product(&p);
        pool_run_if_worth(multiply_part, &p, length);
    }
    fp_leave(fp);
}
