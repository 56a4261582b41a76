/* Buffers for packed matrices. Any thread can take one without blocking; they are kept for the next thread. */
#include "base/base.h"
#include "base/threads.h"

#include <stdatomic.h>
#include <stdlib.h>

static struct {
    atomic_flag taken;
    _Atomic(float *) memory;
} scratch[MAX_THREADS];

float *scratch_take(void)
{
    for (int i = 0; i < MAX_THREADS; i++)
        if (!atomic_flag_test_and_set(&scratch[i].taken)) {
            if (!scratch[i].memory)
                scratch[i].memory = aligned_alloc(ALIGN, SCRATCH_BYTES);
            if (!scratch[i].memory)
                atomic_flag_clear(&scratch[i].taken);
            return scratch[i].memory;
        }
    return NULL;
}

void scratch_give(float *memory)
{
    for (int i = 0; memory && i < MAX_THREADS; i++)
        if (scratch[i].memory == memory) {
            atomic_flag_clear(&scratch[i].taken);
            return;
        }
}

void scratch_after_fork(void)
{
    for (int i = 0; i < MAX_THREADS; i++) /* the threads that had taken them do not exist in the child */
        atomic_flag_clear(&scratch[i].taken);
}

void scratch_free(void)
{
    for (int i = 0; i < MAX_THREADS; i++)
        if (!atomic_flag_test_and_set(&scratch[i].taken)) /* a thread that still uses one keeps it */
            free(scratch[i].memory);
}
