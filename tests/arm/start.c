/* Starts main on a Cortex-M that qemu emulates, and ends qemu with its result as exit status. RAM_END: where the stack
   begins. */
#include <stdint.h>

int main(void);

static void semihosting(uint32_t operation, const volatile void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const volatile void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

/* SYS_EXIT_EXTENDED: the reason that the program ended by itself, its status. */
static void leave(uint32_t status)
{
    const volatile uint32_t block[2] = {0x20026, status};
    semihosting(0x20, block);
    for (;;)
        ;
}

/* What the C library prints: SYS_WRITEC, a character. */
int _write(int file, const char *text, int length)
{
    (void)file;
    for (int i = 0; i < length; i++)
        semihosting(0x03, text + i);
    return length;
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
