/* The public matrix product: threads, blocking and packing. Knows no architecture; all arithmetic is the table's. */
#include "arrays/arrays.h"
#include "base/threads.h"

#include <string.h>

/* Tuned on a Zen 4 with 1 MB of second-level cache a core: a packed block of B (512 kB) and one of A (256 kB) fit it. Rows of
   a block are long, since in a large matrix each lies on a page of its own, which costs more than the copying. */
enum {
    BLOCK_K = 512, /* long sums, so that C is seldom put down and taken up again */
    BLOCK_N = 256,
    BLOCK_M = 128,
    DIRECT = 1 << 18, /* numbers in B up to which it is used where it lies: 1 MB */
    STRIPE_K = 16,    /* more rows of B at once than the CPU follows, and the product is three times as slow */
    FEW = 8,          /* rows of A below which it waits for memory alone, and half as many rows of B are faster */
    PANEL_K = 256,
    PANEL_N = 32, /* a panel on the stack, where there is no scratch memory: 32 kB */
    SPEED = 50000 /* multiply-adds in a microsecond, about */
};

_Static_assert((BLOCK_K * BLOCK_N + BLOCK_M * BLOCK_K) * sizeof(float) <= SCRATCH_BYTES, "scratch too small");

typedef struct {
    gemm_args g;
    bool trans_b; /* B lies as (n,k) */
} product;

/* The part of p that begins at row i, column j and term k of the sums, and has this size. Sums go on from what the part
   before left in C, so they are the same chains as without parts. */
static product part(const product *p, int i, int j, int k, int rows, int columns, int terms)
{
    product q = *p;
    q.g.C += (size_t)i * p->g.ldc + (size_t)j;
    q.g.A += (size_t)i * p->g.row_a + (size_t)k * p->g.col_a;
    q.g.B += p->trans_b ? (size_t)j * p->g.ldb + (size_t)k : (size_t)k * p->g.ldb + (size_t)j;
    q.g.m = min_int(rows, p->g.m - i);
    q.g.n = min_int(columns, p->g.n - j);
    q.g.k = min_int(terms, p->g.k - k);
    if (k > 0 || p->g.start) { /* start is C, if any */
        q.g.start = q.g.C;
        q.g.ldstart = q.g.ldc;
    }
    return q;
}

/* Copies B (k,n) to a packed block, row after row. */
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

/* Copies a transposed A to a packed block, (k,m) as it is. */
static void pack_a(product *p, float *block)
{
    for (int k = 0; k < p->g.k; k++)
        memcpy(block + (size_t)k * BLOCK_M, p->g.A + (size_t)k * p->g.col_a, (size_t)p->g.m * sizeof *block);
    p->g.A = block;
    p->g.col_a = BLOCK_M;
}

/* In blocks that stay in the second-level cache: B packed, and A where it is transposed. */
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

/* Without scratch memory: a panel of a transposed B at a time is turned over on the stack. */
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

/* A few rows of B at a time, in all their length: of a large B each row lies on pages of its own. */
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
    float *scratch = packed ? scratch_take() : NULL; /* packing pays from so many uses on */
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

/* Each thread does some of the columns, or of the rows where those are more. */
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

/* C' = op(B)' op(A)' for a product of one column: it is then one of one row, if C lies like one. */
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
    const double length = (double)m * n * k / SPEED;
    const bool row = m == 1 && p.trans_b, column = n == 1 && !(flags & PN_TRANS_A);
    if (row || column) { /* both factors lie along the sums. Shape and flags alone decide, for the sake of the bits */
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
