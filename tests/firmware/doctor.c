/* Programs that do not do what they should, each for one of the causes of docs/doctor.md: which is a word in RAM that a reset
 * leaves, the cause's number, with hundreds for another way. 8 and 108 are healthy. */
#include "chip.h"

#if defined(H745_M4) /* it has no tightly coupled memory, and SRAM1 to 3 at an address of its own (RM0399 2.3) */
#define RAM 0x10000000u
#define NOTHING 0x20000000u
#else
#define RAM 0x20000000u
#define NOTHING 0x10000000u
#endif
#define WHICH REG(RAM + 0x4000)
#define SCB_ICSR REG(0xE000ED04)
#define SCB_AIRCR REG(0xE000ED0C)
#define SCB_SCR REG(0xE000ED10)
#define SCB_CPACR REG(0xE000ED88)
#define MPU_CTRL REG(0xE000ED94)
#define MPU_RNR REG(0xE000ED98)
#define MPU_RBAR REG(0xE000ED9C)
#define MPU_RASR REG(0xE000EDA0)
#define NOINLINE __attribute__((noinline))

#if !defined(G071) /* RM0433, RM0399 */
#define IWDG 0x58004800u
#define RCC_CR REG(0x58024400)
#define RCC_CFGR REG(0x58024410)
#define PLL_SET() (REG(0x58024428) = 0x02020040, REG(0x58024430) = 0x01010210) /* HSI / 4 * 17 / 1 */
#define PWR_CR3 REG(0x5802480C)
#define PWR_CSR1 REG(0x58024804)
#define PLL_SOURCE 3u
#define IRQ 37u
#else /* RM0444 */
#define IWDG 0x40003000u
#define RCC_CR REG(0x40021000)
#define RCC_CFGR REG(0x40021008)
#define PLL_SET() (REG(0x4002100C) = 0x30000802) /* HSI * 8 / 2 */
#define PLL_SOURCE 2u
#define IRQ 27u
#endif
#if defined(H745_M4)
#define DAMAGED 0x08110000u
#else
#define DAMAGED 0x08010000u
#endif

volatile uint32_t count, ticks;
static void work(void);
void (*volatile callback)(void) = work;

typedef void (*vector)(void);
extern const vector vectors[16];
void Default_Handler(void);
static vector table[16 + 64] __attribute__((aligned(512)));

/* As SEGGER's, with one channel. */
struct {
    char id[16];
    uint32_t up, down;
    const char *name;
    char *buffer;
    volatile uint32_t size, write, read, flags;
} _SEGGER_RTT;
static char log_buffer[16];

NOINLINE void Error_Handler(void)
{
    __asm__ volatile("cpsid i");
    for (;;)
        ;
}

static NOINLINE void work(void)
{
    for (;;)
        count++;
}

static void tick_on(void)
{
    SYST_RVR = CORE_HZ / 1000 - 1;
    SYST_CVR = 0;
    SYST_CSR = 7;
}

NOINLINE void HAL_Delay(uint32_t ms)
{
    uint32_t from = ticks;
    while (ticks - from < ms)
        ;
}

NOINLINE void SystemClock_Config(void)
{
    RCC_CR |= 1u << 16;
    for (uint32_t n = 0; !(RCC_CR & 1u << 17); n++)
        if (WHICH == 109 && n == 1000)
            Error_Handler();
}

NOINLINE void HAL_RCC_OscConfig(void)
{
    if ((RCC_CFGR >> 3 & 7) == PLL_SOURCE) /* as HAL: it is in use and cannot be changed */
        Error_Handler();
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static NOINLINE uint32_t recurse(uint32_t depth)
{
    volatile uint32_t here[8];
    here[0] = depth;
    return recurse(depth + 1) + here[0];
}

NOINLINE void RTT_Write(const char *text)
{
    for (; *text; text++) {
        while ((_SEGGER_RTT.write + 1) % sizeof log_buffer == _SEGGER_RTT.read)
            ;
        _SEGGER_RTT.buffer[_SEGGER_RTT.write] = *text;
        _SEGGER_RTT.write = (_SEGGER_RTT.write + 1) % sizeof log_buffer;
    }
}

static NOINLINE uint32_t read_at(uint32_t address)
{
    return REG(address);
}

static NOINLINE void write_at(uint32_t address)
{
    REG(address) = 1;
}

static void call(uint32_t address)
{
    ((vector)(uintptr_t)address)();
}

static void blink(void)
{
    GPIO_CLOCKS |= GPIO_CLOCK;
    (void)GPIO_CLOCKS;
    GPIO_MODER = (GPIO_MODER & ~(3u << (2 * LED))) | 1u << (2 * LED);
    tick_on();
    for (;;) {
        HAL_Delay(100);
        GPIO_BSRR = (GPIO_ODR & (1u << LED)) ? 1u << (LED + 16) : 1u << LED;
    }
}

static void watchdog(void)
{
    REG(IWDG + 0) = 0xCCCC;
    REG(IWDG + 0) = 0x5555;
    REG(IWDG + 4) = WHICH == 117 ? 1 : 0;
    REG(IWDG + 8) = 100;
    REG(IWDG + 0) = 0xAAAA;
    if (WHICH == 217)
        __asm__ volatile("udf #0");
    work();
}

void HardFault_Handler(void)
{
    if (WHICH == 35)
        __asm__ volatile("udf #1");
    for (;;)
        ;
}

void SysTick_Handler(void)
{
    ticks++;
}

void PendSV_Handler(void)
{
    HAL_Delay(10);
}

int main(void)
{
    switch (WHICH) {
#if !defined(G071)
    case 2:
        PWR_CR3 = 2; /* LDOEN */
        while (!(PWR_CSR1 & 1u << 13))
            ;
        break;
    case 18: __asm__ volatile(".short 0xee00, 0x0a10"); break;   /* vmov s0, r0 */
    case 118: __asm__ volatile(".short 0xed2d, 0x8b02"); break;  /* vpush {d8} */
    case 20: write_at(0x30000100); break;
    case 120: read_at(0x30000100); break;
    case 21: call(0x90000001); break;
    case 121: read_at(0x90000000); break;
    case 22: __asm__ volatile("movs r0, #1\n ldm r0, {r1, r2}" : : : "r0", "r1", "r2"); break;
    case 28: __asm__ volatile(".short 0xfbd0, 0xf0f0"); break;
#else
    case 22: read_at(0x20000001); break;
    case 28: __asm__ volatile(".short 0xfbb0, 0xf0f0"); break;   /* udiv r0, r0, r0 */
#endif
    case 6:
        SCB_VTOR = 0x08000000;
        tick_on();
        HAL_Delay(10);
        break;
    case 7:
        for (int i = 0; i < 16 + 64; i++)
            table[i] = i < 16 ? vectors[i] : Default_Handler;
        SCB_VTOR = (uint32_t)(uintptr_t)table;
        REG(0xE000E100 + IRQ / 32 * 4) = 1u << (IRQ % 32);
        REG(0xE000E200 + IRQ / 32 * 4) = 1u << (IRQ % 32);
        work();
        break;
    case 107: __asm__ volatile("svc #0"); break;
    case 8: blink(); break;
    case 108: /* everything in interrupts, nothing in the main loop */
        tick_on();
        for (;;)
            ;
    case 9:
    case 109: SystemClock_Config(); break;
    case 10: Error_Handler(); break;
    case 11: read_at(NOTHING); break;
    case 111: write_at(NOTHING); break;
    case 211: __asm__ volatile("udf #0"); break;
    case 13: __asm__ volatile("movs r0, #4\n bkpt 0xab" : : : "r0"); break;
    case 113: __asm__ volatile("bkpt 0"); break;
    case 15: recurse(0); break;
    case 16:
        __asm__ volatile("cpsid i");
        tick_on();
        HAL_Delay(10);
        break;
    case 116:
        tick_on();
        SCB_ICSR = 1u << 28;
        work();
        break;
    case 216: HAL_Delay(10); break;
    case 17:
    case 117:
    case 217: watchdog(); break;
    case 23: call(0); break;
    case 123: call(0xF0000001); break;
    case 223: call(0x08000100); break;
    case 24: callback(); break;
    case 25: read_at(DAMAGED); break;
    case 27: __asm__ volatile("wfi"); break;
    case 127: SCB_SCR = 4; break;
    case 30:
        _SEGGER_RTT.size = sizeof log_buffer;
        _SEGGER_RTT.buffer = log_buffer;
        _SEGGER_RTT.up = 1;
        _SEGGER_RTT.flags = 2;
        RTT_Write("more than there is room for");
        break;
    case 32:
        MPU_RNR = 0;
        MPU_RBAR = RAM + 0x6000;
        MPU_RASR = 1u << 28 | 7u << 1 | 1; /* XN, no access, 256 bytes */
        MPU_CTRL = 5;
        __asm__ volatile("dsb\n isb" : : : "memory");
        read_at(RAM + 0x6000);
        break;
    case 33:
        PLL_SET();
        RCC_CR |= 1u << 24;
        RCC_CFGR = PLL_SOURCE;
        HAL_RCC_OscConfig();
        break;
    case 35: __asm__ volatile("udf #0"); break;
    case 36: SCB_ICSR = 1u << 31; break;
    case 37:
        HAL_Delay(0);
        SCB_AIRCR = 0x05FA0004;
        break;
    }
    for (;;)
        __asm__ volatile("wfi");
}
