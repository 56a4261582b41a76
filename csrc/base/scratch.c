/* Buffers for packed matrices. Any thread can take one without blocking; they are kept for the next thread. */
#include "base/base.h"
#include "base/threads.h"

static struct {
    bool taken;
    float *memory;
} scratch[MAX_THREADS];

float *scratch_take(void)
{
    for (int i = 0; i < MAX_THREADS; i++)
        if (atomic_take(&scratch[i].taken)) {
            if (!scratch[i].memory)
                atomic_write(&scratch[i].memory, memory_take(SCRATCH_BYTES));
            if (!scratch[i].memory)
                atomic_clear(&scratch[i].taken);
            return scratch[i].memory;
        }
    return NULL;
}

void scratch_give(float *memory)
{
    for (int i = 0; memory && i < MAX_THREADS; i++)
        if (atomic_read(&scratch[i].memory) == memory) {
            atomic_clear(&scratch[i].taken);
            return;
        }
}

void scratch_reserve(int buffers)
{
    float *taken[MAX_THREADS];
    for (int i = 0; i < buffers; i++)
        taken[i] = scratch_take();
    for (int i = 0; i < buffers; i++)
        scratch_give(taken[i]);
}

#ifndef PN_NO_THREADS

void scratch_after_fork(void)
{
    for (int i = 0; i < MAX_THREADS; i++) /* the threads that had taken them do not exist in the child */
        atomic_clear(&scratch[i].taken);
}

void scratch_free(void)
{
    for (int i = 0; i < MAX_THREADS && memory_is_default(); i++) /* another allocator may not exist any more */
        if (atomic_take(&scratch[i].taken))                      /* a thread that still uses one keeps it */
            memory_free(scratch[i].memory);
}

#endif
