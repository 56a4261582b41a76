/* The public matrix product: transposition, blocking. Knows no architecture; all arithmetic is the table's. */
#include "kernels.h"
#include "pynet.h"

#include <string.h>

enum {
    PANEL_K = 256, /* a panel of B of 256 by 32 floats is 32 kB: it fits the stack and the first-level cache */
    PANEL_N = 32
};

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* B lies as (n,k): a panel at a time is turned over on the stack. Each sum goes on from what the last panel stored, so
   it is the same chain as without panels. */
static void gemm_trans_b(gemm_args g, const float *B, int n, int k)
{
    float panel[PANEL_K * PANEL_N];
    float *C = g.C;
    const float *A = g.A;
    const size_t ldb = g.ldb;
    const bool accumulate = g.accumulate;
    g.B = panel;
    g.ldb = PANEL_N;
    for (int j = 0; j < n; j += PANEL_N)
        for (int p = 0; p < k; p += PANEL_K) {
            g.n = least(PANEL_N, n - j);
            g.k = least(PANEL_K, k - p);
            g.C = C + j;
            g.A = A + (size_t)p * g.col_a;
            g.accumulate = accumulate || p > 0;
            kernels()->transpose(panel, PANEL_N, B + (size_t)j * ldb + p, ldb, g.n, g.k);
            kernels()->gemm(&g);
        }
}

void pn_gemm(float *restrict C, int ldc, const float *A, int lda, const float *B, int ldb, int m, int n, int k,
             int flags)
{
    if (m <= 0 || n <= 0)
        return;
    unsigned long fp = fp_enter();
    gemm_args g = {
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
        .accumulate = flags & PN_ACCUMULATE,
    };
    if (flags & PN_TRANS_B && k > 0)
        gemm_trans_b(g, B, n, k);
    else
        kernels()->gemm(&g);
    fp_leave(fp);
}
