/* The most floating-point operations this CPU can do: fused multiply-adds that do not wait for each other.
 *
 *     peak THREADS     for each line on stdin, the seconds of 1e9 operations, as a line of JSON
 *
 * The Makefile compiles it for the widest vectors there are.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef __AVX512F__
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12 /* two units, four cycles: 8 fill them; 12 and two constants fit 16 registers */
#define ROUNDS 2000000

typedef float vec __attribute__((vector_size(BYTES)));

static void *chains(void *sum)
{
    vec c[CHAINS], a, b;
    for (size_t j = 0; j < BYTES / sizeof(float); j++) {
        a[j] = 0.999f;
        b[j] = 0.001f;
        for (int i = 0; i < CHAINS; i++)
            c[i][j] = (float)i; /* equal chains would be computed once */
    }
    for (int i = 0; i < ROUNDS; i++)
        for (int j = 0; j < CHAINS; j++)
            c[j] = c[j] * a + b;
    for (int j = 1; j < CHAINS; j++)
        c[0] += c[j];
    *(float *)sum = c[0][0];
    return NULL;
}

static double turn(int threads)
{
    struct timespec begin, end;
    pthread_t thread[64];
    float sum[64];
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, chains, &sum[i]))
            exit(1);
    chains(&sum[0]);
    for (int i = 1; i < threads; i++)
        pthread_join(thread[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (int i = 0; i < threads; i++)
        if (!(sum[i] > 0)) /* and so the sums are needed */
            exit(1);
    const double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    return seconds / (2e-9 * ROUNDS * CHAINS * (BYTES / sizeof(float)) * threads);
}

int main(int argc, char **argv)
{
    const int threads = argc == 2 ? atoi(argv[1]) : 0;
    if (threads < 1 || threads > 64)
        return 2;
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        printf("{\"seconds\": %.9g}\n", turn(threads));
        fflush(stdout);
    }
    return 0;
}
