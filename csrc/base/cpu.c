/* The floating-point state, and the pause instruction. */
#include "base/base.h"

#if defined(__x86_64__)
#include <xmmintrin.h>

unsigned long fp_enter(void)
{
    /* the rest of the register zero: round to nearest */
    const unsigned flush_results = 0x8000, flush_inputs = 0x0040, no_traps = 0x1f80;
    unsigned state = _mm_getcsr();
    _mm_setcsr(flush_results | flush_inputs | no_traps);
    return state;
}

void fp_leave(unsigned long state)
{
    _mm_setcsr((unsigned)state);
}

#elif defined(__aarch64__)

unsigned long fp_enter(void)
{
    const unsigned long flush = 1ul << 24; /* FPCR.FZ; the rest zero: round to nearest, no traps */
    unsigned long state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state));
    __asm__ volatile("msr fpcr, %0" ::"r"(flush));
    return state;
}

void fp_leave(unsigned long state)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(state));
}

#else

unsigned long fp_enter(void)
{
    return 0;
}

void fp_leave(unsigned long state)
{
    (void)state;
}

#endif
