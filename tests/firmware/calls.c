/* What a C program gives a debugger to stop at: calls that come back, a global written in a loop, interrupts, SVC, sleep, and at
   the end a semihosting call. Built with -O0 and -O2. */
#include "chip.h"

#define SCB_CPACR REG(0xE000ED88)

volatile uint32_t written; /* 1 to 10, one after the other */
volatile uint32_t ticks;
volatile uint32_t services;
volatile uint32_t result;

__attribute__((noinline)) uint32_t fibonacci(uint32_t n)
{
    if (n < 2)
        return n;
    return fibonacci(n - 1) + fibonacci(n - 2);
}

#if defined(H743)
volatile float low = 4.0f, high = 8.0f;

__attribute__((noinline)) uint32_t mean(void)
{
    return (uint32_t)((low + high) / 2.0f);
}
#endif

void SysTick_Handler(void)
{
    ticks++;
}

void SVC_Handler(void)
{
    services++;
}

__attribute__((noinline)) void semihosting(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

int main(void)
{
    SYST_RVR = CORE_HZ / 1000 - 1;
    SYST_CVR = 0;
    SYST_CSR = 7;
    for (uint32_t n = 1; n <= 10; n++)
        written = n;
    result = fibonacci(6);
    __asm__ volatile("svc #1");
    __asm__ volatile("svc #2");
#if defined(H743)
    SCB_CPACR = 0xFu << 20;
    __asm__ volatile("dsb\n isb" : : : "memory");
    result += mean();
#endif
    while (ticks < 3)
        __asm__ volatile("wfi");
    semihosting(0x18, result); /* SYS_EXIT */
    for (;;)
        __asm__ volatile("wfi");
}
