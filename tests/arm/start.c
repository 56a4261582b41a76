/* Starts main on a Cortex-M that qemu emulates, and ends qemu with its result as exit status. RAM_END: where the stack
   begins. */
#include <stdint.h>

int main(void);

/* Semihosting: SYS_EXIT_EXTENDED, the reason that the program ended by itself, its status. */
static void leave(uint32_t status)
{
    const volatile uint32_t block[2] = {0x20026, status};
    register uint32_t operation __asm__("r0") = 0x20;
    register const volatile uint32_t *argument __asm__("r1") = block;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
    for (;;)
        ;
}

static void start(void)
{
#ifdef __ARM_FP
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20; /* CPACR: coprocessors 10 and 11 are the FPU */
    __asm__ volatile("dsb\n isb");
#endif
    leave((uint32_t)main());
}

static void fault(void)
{
    leave(99);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {(void (*)(void))RAM_END, start,
                                                                                   fault, fault};
