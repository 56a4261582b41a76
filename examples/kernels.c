/* The kernels alone, on the program's own arrays: fits a plane to points by gradient descent, without a network. */
#include "pynet.h"

#include <stdio.h>

enum { N = 200, FEATURES = 2, STEPS = 60 };

static float x[N * FEATURES], y[N], p[N], dp[N], loss[N];

int main(void)
{
    float w[FEATURES] = {0, 0}, dw[FEATURES], b = 0, db; /* p = x w + b */

    for (int i = 0; i < N; i++) { /* points on the plane y = 3 x0 - 2 x1 + 1/2 */
        x[2 * i] = (float)(i * 37 % 101) / 101;
        x[2 * i + 1] = (float)(i * 53 % 89) / 89;
        y[i] = 3 * x[2 * i] - 2 * x[2 * i + 1] + 0.5f;
    }
    for (int step = 1; step <= STEPS; step++) {
        pn_gemm(p, 1, x, FEATURES, w, 1, N, 1, FEATURES, 0); /* p (N,1) = x (N,FEATURES) w (FEATURES,1) */
        pn_bias(p, p, &b, N, 1);
        pn_squared_error(loss, dp, p, y, N, 1, 1.0f / N);               /* dp = (p - y) / N */
        pn_gemm(dw, 1, x, FEATURES, dp, 1, FEATURES, 1, N, PN_TRANS_A); /* dw = x^T dp */
        pn_bias_grad(&db, dp, N, 1);                                    /* db = sum of dp */
        pn_sgd(w, dw, FEATURES, 1.0);
        pn_sgd(&b, &db, 1, 1.0);
        if (step % 20 == 0) {
            float mean = 0;
            for (int i = 0; i < N; i++)
                mean += loss[i] / N;
            printf("step %d  loss %.6f  y = %.3f x0 %+.3f x1 %+.3f\n", step, (double)mean, (double)w[0], (double)w[1],
                   (double)b);
        }
    }
    printf("computed with the kernels for %s\n", pn_cpu());
    return 0;
}
