/* Programs that go wrong, each in its own way. Which one runs is a word in RAM that a reset leaves: 0 is none. */
#include "chip.h"

#define WHICH REG(0x20004000)

#define SCB_ICSR REG(0xE000ED04)
#define SCB_AIRCR REG(0xE000ED0C)
#define SCB_SCR REG(0xE000ED10) /* SLEEPDEEP 2 */
#define SCB_CCR REG(0xE000ED14) /* DIV_0_TRP 4 */
#define MPU_CTRL REG(0xE000ED94)

#if defined(H743) /* RM0433 */
#define IWDG 0x58004800u
#define RCC_CR REG(0x58024400)
#define RCC_CFGR REG(0x58024410)
#define FLASH_ACR REG(0x52002000)
#define FLASH_KEYR REG(0x52002004)
#define FLASH_CR REG(0x5200200C)
#define FLASH_ERASE 0x000000B8u /* PSIZE 5:4, BER 3, START 7 (4.9.4) */
#define PWR_STANDBY() (REG(0x58024810) = 7)              /* CPUCR: PDDS of every domain (6.8.5) */
#define DEBUG_OFF() (REG(0x58020000) |= 0xFu << 26, REG(0x5C001004) = 0) /* PA13, PA14 analog; DBGMCU_CR */
#else /* RM0444 */
#define IWDG 0x40003000u
#define RCC_CR REG(0x40021000)
#define RCC_CFGR REG(0x40021008)
#define FLASH_ACR REG(0x40022000)
#define FLASH_KEYR REG(0x40022008)
#define FLASH_CR REG(0x40022014)
#define FLASH_ERASE 0x00010004u /* MER1 2, STRT 16 (3.7.5) */
#define PWR_STANDBY() (REG(0x4002103C) |= 1u << 28, REG(0x40007000) = 3) /* APBENR1.PWREN; CR1.LPMS */
#define DEBUG_OFF() (FLASH_ACR &= ~(1u << 18))           /* DBG_SWEN (3.7.1) */
#endif

volatile uint32_t count;

static void jump(uint32_t to)
{
    __asm__ volatile("bx %0" : : "r"(to));
}

static void stack_at(uint32_t sp)
{
    __asm__ volatile("mov sp, %0\n push {r0-r3}\n push {r0-r3}\n b ." : : "r"(sp));
}

static void erased_code(void)
{
    __asm__ volatile(".short 0xffff, 0xffff");
}

static void spin(void)
{
    for (;;)
        count++;
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"
__attribute__((noinline)) static uint32_t recurse(uint32_t depth)
{
    volatile uint32_t here[8];
    here[0] = depth;
    return recurse(depth + 1) + here[0];
}

static void reset_loop(void)
{
    count++;
    SCB_AIRCR = 0x05FA0004;
    for (;;)
        ;
}

static void watchdog_loop(void)
{
    REG(IWDG + 0) = 0xCCCC;
    REG(IWDG + 0) = 0x5555;
    REG(IWDG + 4) = 0; /* a quarter of 32 kHz */
    REG(IWDG + 8) = 1;
    spin();
}

static void lost_vectors(void)
{
    SCB_VTOR = 0x20004800; /* whatever RAM holds */
    for (uint32_t n = 0; n < 48; n++)
        REG(0x20004800 + 4 * n) = 0;
    __asm__ volatile("svc #0");
}

static void sleep_for_ever(void)
{
    __asm__ volatile("cpsid i");
    for (;;)
        __asm__ volatile("wfi");
}

static void deep_sleep(void)
{
    SCB_SCR = 4;
    sleep_for_ever();
}

static void standby(void)
{
    PWR_STANDBY();
    deep_sleep();
}

static void clock_off(void)
{
    RCC_CR = 0;
    RCC_CFGR = 7; /* a source that is not on, or is none */
    RCC_CFGR = 1;
    spin();
}

static void storm(void)
{
    SYST_RVR = 1;
    SYST_CSR = 7;
    SCB_ICSR = 1u << 28;
    spin();
}

static void fpu_off(void)
{
    __asm__ volatile(".short 0xee00, 0x0a10"); /* vmov s0, r0 */
}

static void unaligned(void)
{
    uint32_t odd = 0x20000001;
    __asm__ volatile("ldm %0!, {r1, r2}" : "+l"(odd) : : "r1", "r2");
}

static void divide_by_zero(void)
{
    SCB_CCR |= 1u << 4;
    __asm__ volatile("movs r0, #0\n .short 0xfbb0, 0xf0f0" : : : "r0"); /* udiv r0, r0, r0 */
}

static void service_in_hardfault(void)
{
    __asm__ volatile("udf #0");
}

static void locked_out(void)
{
    MPU_CTRL = 1; /* on, without a region and without the default map */
    spin();
}

static void erase_itself(void)
{
    FLASH_KEYR = 0x45670123;
    FLASH_KEYR = 0xCDEF89AB;
    FLASH_CR = FLASH_ERASE;
    spin();
}

void HardFault_Handler(void)
{
    if (WHICH == 20)
        __asm__ volatile("svc #0");
    if (WHICH == 21)
        erased_code();
    for (;;)
        ;
}

void SysTick_Handler(void)
{
    count++;
}

void PendSV_Handler(void)
{
    SCB_ICSR = 1u << 28;
}

int main(void)
{
    switch (WHICH) {
    case 1: jump(0xF0000001); break;
    case 2: jump(0x40000001); break;
    case 3: jump(0xFFFFFFFF); break;
    case 4: jump(0x08000100); break; /* without the Thumb bit */
    case 5: stack_at(0); break;
    case 6: stack_at(0x08001000); break;
    case 7: stack_at(0x40000100); break;
    case 8: erased_code(); break;
    case 9: spin(); break;
    case 10: recurse(0); break;
    case 11: reset_loop(); break;
    case 12: watchdog_loop(); break;
    case 13: lost_vectors(); break;
    case 14: DEBUG_OFF(); spin(); break;
    case 15: sleep_for_ever(); break;
    case 16: deep_sleep(); break;
    case 17: standby(); break;
    case 18: clock_off(); break;
    case 19: storm(); break;
    case 20: service_in_hardfault(); break;
    case 21: service_in_hardfault(); break; /* and an undefined instruction there */
    case 22: fpu_off(); break;
    case 23: unaligned(); break;
    case 24: divide_by_zero(); break;
    case 25: locked_out(); break;
    case 26: erase_itself(); break;
    }
    for (;;)
        __asm__ volatile("wfi");
}
