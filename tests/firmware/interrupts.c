/* Everything by interrupts, nothing in the main loop. A timer changes the LED every 50 ms; the button makes an EXTI edge,
 * whose handler stops or starts the blinking and has "pressed N\n" sent by the console's TXE interrupt; what the console
 * receives is sent back. */
#include "chip.h"

#if defined(H743)
#define RCC_TIMER REG(0x580244E8) /* APB1LENR: TIM6EN 4, USART3EN 18 */
#define RCC_UART RCC_TIMER
#define UART_CLOCK (1u << 18)
#define TIM6_IRQ 54
#define BUTTON_IRQ 40 /* EXTI15_10 */
#define UART_IRQ 39
#define UART 0x40004800u      /* USART3 */
#define BUTTON_CLOCK (1u << 2)
#define BUTTON_PORT 0x58020800u
#define EXTI 0x58000000u
#define EXTI_EDGE REG(EXTI + 0x00)    /* RTSR1: the button pulls PC13 up */
#define EXTI_PENDING REG(EXTI + 0x88) /* CPUPR1 */
#define EXTICR4 REG(0x58000414)       /* SYSCFG */
#define EXTICR4_PC13 (2u << 4)
#elif defined(G071)
#define RCC_TIMER REG(0x4002103C) /* APBENR1: TIM6EN 4, USART2EN 17 */
#define RCC_UART RCC_TIMER
#define UART_CLOCK (1u << 17)
#define TIM6_IRQ 17 /* TIM6_DAC_LPTIM1 */
#define BUTTON_IRQ 7 /* EXTI4_15 */
#define UART_IRQ 28
#define UART 0x40004400u      /* USART2 */
#define BUTTON_CLOCK (1u << 2)
#define BUTTON_PORT 0x50000800u
#define EXTI 0x40021800u
#define EXTI_EDGE REG(EXTI + 0x04)    /* FTSR1: the button pulls PC13 down */
#define EXTI_PENDING REG(EXTI + 0x10) /* FPR1 */
#define EXTICR4 REG(EXTI + 0x6C)
#define EXTICR4_PC13 (2u << 8)
#endif

#define EXTI_IMR1 REG(EXTI + 0x80)
#define BUTTON (1u << 13)

#define TIM6 0x40001000u
#define TIM6_CR1 REG(TIM6 + 0x00)
#define TIM6_DIER REG(TIM6 + 0x0C)
#define TIM6_SR REG(TIM6 + 0x10)
#define TIM6_EGR REG(TIM6 + 0x14)
#define TIM6_PSC REG(TIM6 + 0x28)
#define TIM6_ARR REG(TIM6 + 0x2C)

#define UART_CR1 REG(UART + 0x00)
#define UART_BRR REG(UART + 0x0C)
#define UART_ISR REG(UART + 0x1C)
#define UART_RDR REG(UART + 0x24)
#define UART_TDR REG(UART + 0x28)
#define UE (1u << 0)
#define RE (1u << 2)
#define TE (1u << 3)
#define RXNE (1u << 5) /* and RXNEIE in CR1 */
#define TXE (1u << 7)  /* and TXEIE */

static volatile char queue[64];
static volatile uint32_t queued, sent, presses;

static void enable(uint32_t irq)
{
    REG(0xE000E100 + irq / 32 * 4) = 1u << (irq % 32);
}

/* Only from handlers, which are all of the same priority. */
static void say(char c)
{
    queue[queued++ % sizeof queue] = c;
    UART_CR1 |= TXE;
}

static void timer_handler(void)
{
    TIM6_SR = 0;
    GPIO_BSRR = (GPIO_ODR & (1u << LED)) ? 1u << (LED + 16) : 1u << LED;
}

static void button_handler(void)
{
    EXTI_PENDING = BUTTON;
    TIM6_CR1 ^= 1;
    for (const char *c = "pressed "; *c; c++)
        say(*c);
    presses = presses == 9 ? 0 : presses + 1;
    say('0' + presses);
    say('\n');
}

static void uart_handler(void)
{
    if (UART_ISR & RXNE)
        say(UART_RDR);
    if (sent != queued)
        UART_TDR = queue[sent++ % sizeof queue];
    if (sent == queued)
        UART_CR1 &= ~TXE;
}

/* The vector table of startup.c ends with SysTick; this one, in RAM, goes on. */
typedef void (*vector)(void);
static vector table[16 + 64] __attribute__((aligned(512)));
extern const vector vectors[16];

int main(void)
{
    for (int i = 0; i < 16; i++)
        table[i] = vectors[i];
    table[16 + TIM6_IRQ] = timer_handler;
    table[16 + BUTTON_IRQ] = button_handler;
    table[16 + UART_IRQ] = uart_handler;
    SCB_VTOR = (uint32_t)(uintptr_t)table;

    GPIO_CLOCKS |= GPIO_CLOCK | BUTTON_CLOCK;
    RCC_TIMER |= 1u << 4;
    RCC_UART |= UART_CLOCK;
    (void)RCC_UART;
    GPIO_MODER = (GPIO_MODER & ~(3u << (2 * LED))) | 1u << (2 * LED);
    REG(BUTTON_PORT) &= ~(3u << 26);
    EXTICR4 = EXTICR4_PC13;
    EXTI_EDGE |= BUTTON;
    EXTI_IMR1 |= BUTTON;

    TIM6_PSC = CORE_HZ / 10000 - 1;
    TIM6_ARR = 500 - 1;
    TIM6_EGR = 1;
    TIM6_SR = 0;
    TIM6_DIER = 1;
    TIM6_CR1 = 1;

    UART_BRR = CORE_HZ / 115200;
    UART_CR1 = UE | RE | TE | RXNE;

    enable(TIM6_IRQ);
    enable(BUTTON_IRQ);
    enable(UART_IRQ);
    for (;;)
        __asm__ volatile("wfi");
}
