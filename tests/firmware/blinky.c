/* The LED changes every 250 ms, by the SysTick interrupt: 500 ms from one rising edge to the next. */
#include "chip.h"

#define HALF_PERIOD_MS 250

#if defined(NO_DATA)
static const uint32_t half_period_ms = HALF_PERIOD_MS;
#else
volatile uint32_t half_period_ms = HALF_PERIOD_MS; /* in .data: wrong if the startup code did not copy it */
#endif

volatile uint32_t milliseconds; /* since the LED changed, in .bss */

void SysTick_Handler(void)
{
    if (++milliseconds < half_period_ms)
        return;
    milliseconds = 0;
    GPIO_BSRR = (GPIO_ODR & (1u << LED)) ? 1u << (LED + 16) : 1u << LED;
}

int main(void)
{
    GPIO_CLOCKS |= GPIO_CLOCK;
    (void)GPIO_CLOCKS; /* the block answers two cycles later (RM0433 8.5.10) */
    GPIO_MODER = (GPIO_MODER & ~(3u << (2 * LED))) | 1u << (2 * LED);
    SYST_RVR = CORE_HZ / 1000 - 1;
    SYST_CVR = 0;
    SYST_CSR = 7;
    for (;;)
        __asm__ volatile("wfi");
}
