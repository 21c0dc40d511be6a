/* A program behind a boot loader of 8 KiB, long enough that its vectors alone would fit the start of flash as well: which
   address it is linked for is seen by its pointers to functions. */
#include "chip.h"

volatile uint32_t seen;

static __attribute__((noinline)) void note(uint32_t value)
{
    seen += value;
}

#define STEP(n)                                 \
    static void step##n(uint32_t value)         \
    {                                           \
        note(value + n);                        \
        note(value * (n + 3));                  \
    }
STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8)

void (*const steps[])(uint32_t) = {step1, step2, step3, step4, step5, step6, step7, step8};

/* 8 KiB of constants, as a font or a table of sines is. */
__asm__(".section .rodata.constants, \"a\"\n.global constants\nconstants:\n.set value, 1\n.rept 2048\n.word (value * 0x9e3779b9) & 0xffffffff\n"
        ".set value, value + 1\n.endr\n.text");
extern const uint32_t constants[2048];

int main(void)
{
    for (uint32_t n = 0;; n++) {
        note(constants[n % 2048]);
        steps[n % 8](n);
    }
}
