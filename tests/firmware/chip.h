/* The few registers that the test firmware touches. RM0433 (STM32H743), RM0399 (STM32H745) and RM0444 (STM32G071); DDI0403, DDI0419. */
#ifndef CHIP_H
#define CHIP_H

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))

#define SYST_CSR REG(0xE000E010) /* ENABLE 0, TICKINT 1, CLKSOURCE 2 (1: core clock) */
#define SYST_RVR REG(0xE000E014)
#define SYST_CVR REG(0xE000E018)
#define SCB_VTOR REG(0xE000ED08)

#if defined(H743)
#define CORE_HZ 64000000u               /* HSI, as after reset (RM0433 8.5) */
#define GPIO_CLOCKS REG(0x580244E0)     /* RCC_AHB4ENR */
#define GPIO_CLOCK (1u << 1)            /* GPIOBEN */
#define GPIO 0x58020400u                /* GPIOB */
#define LED 0                           /* NUCLEO-H743ZI2 LD1, PB0, on when high */
#elif defined(H745_M4)
#define CORE_HZ 64000000u               /* HCLK, as after reset */
#define GPIO_CLOCKS REG(0x580244E0)     /* RCC_AHB4ENR */
#define GPIO_CLOCK (1u << 4)            /* GPIOEEN */
#define GPIO 0x58021000u                /* GPIOE */
#define LED 1                           /* NUCLEO-H745ZI-Q LD2, PE1, on when high */
#elif defined(G071)
#define CORE_HZ 16000000u               /* HSI16, as after reset (RM0444 5.2) */
#define GPIO_CLOCKS REG(0x40021034)     /* RCC_IOPENR */
#define GPIO_CLOCK (1u << 0)            /* GPIOAEN */
#define GPIO 0x50000000u                /* GPIOA */
#define LED 5                           /* NUCLEO-G071RB LD4, PA5, on when high */
#else
#error "-DH743, -DH745_M4 or -DG071"
#endif

#define GPIO_MODER REG(GPIO + 0x00)
#define GPIO_ODR REG(GPIO + 0x14)
#define GPIO_BSRR REG(GPIO + 0x18)

#endif
