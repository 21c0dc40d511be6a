/* The two cores of an STM32H745 meet as ST's dual-core templates do: the M4 stops until the M7 frees a semaphore; then
 * they pass a number to and fro in SRAM4, and each switches its LED on. RM0399. */
#include "chip.h"

#define RCC_CR REG(0x58024400)
#define D2CKRDY (1u << 15)
#define AHB4ENR REG(0x580244E0)
#define HSEMEN (1u << 25)
#define HSEM_RLR0 REG(0x58026480)
#define HSEM_R0 REG(0x58026400)
#define HSEM_C2IER REG(0x58026510)
#define HSEM_C2ICR REG(0x58026514)
#define SCB_SCR REG(0xE000ED10)
#define SLEEPDEEP (1u << 2)
#define ROUNDS 100

struct shared {
    uint32_t ping, pong, stage;
};
#define SHARED ((volatile struct shared *)0x38000000)

static void led_on(void)
{
    AHB4ENR |= GPIO_CLOCK;
    (void)AHB4ENR;
    GPIO_MODER = (GPIO_MODER & ~(3u << (2 * LED))) | 1u << (2 * LED);
    GPIO_BSRR = 1u << LED;
}

#if defined(H745_M4)
int main(void)
{
    AHB4ENR |= HSEMEN;
    (void)AHB4ENR;
    HSEM_C2IER = 1;
    SCB_SCR |= SLEEPDEEP;
    __asm__ volatile("wfe");
    SCB_SCR &= ~SLEEPDEEP;
    HSEM_C2ICR = 1;
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        while (SHARED->ping != n) {
        }
        SHARED->pong = n;
    }
    led_on();
    /* SEV is to wake this core, too. */
    for (;;) {
        __asm__ volatile("wfe");
        SHARED->stage++;
    }
}
#else
int main(void)
{
    SHARED->ping = SHARED->pong = SHARED->stage = 0;
    while (RCC_CR & D2CKRDY) {
    }
    AHB4ENR |= HSEMEN;
    (void)AHB4ENR;
    (void)HSEM_RLR0;
    HSEM_R0 = 3u << 8;
    while (!(RCC_CR & D2CKRDY)) {
    }
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        SHARED->ping = n;
        while (SHARED->pong != n) {
        }
    }
    led_on();
    for (volatile int i = 0; i < 1000; i++) {
    }
    __asm__ volatile("sev");
    for (;;)
        __asm__ volatile("wfi");
}
#endif
