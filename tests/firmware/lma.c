/* Initial values and a function that lie in flash and live in RAM: `result` says whether the startup code moved them. */
#include "chip.h"

#define WORDS 256

struct pattern {
    uint32_t words[WORDS];
};

#define W1(n) (0x9E3779B9u * ((n) + 1))
#define W4(n) W1(n), W1((n) + 1), W1((n) + 2), W1((n) + 3)
#define W16(n) W4(n), W4((n) + 4), W4((n) + 8), W4((n) + 12)
#define W64(n) W16(n), W16((n) + 16), W16((n) + 32), W16((n) + 48)

struct pattern table = {{W64(0), W64(64), W64(128), W64(192)}};

/* 1 good, 2 bad; 0 means that main was not reached. */
volatile uint32_t result;

__attribute__((section(".ramfunc"), noinline, long_call)) static uint32_t check(void)
{
    for (uint32_t n = 0; n < WORDS; n++)
        if (table.words[n] != 0x9E3779B9u * (n + 1))
            return 2;
    return 1;
}

int main(void)
{
    result = check();
    for (;;)
        __asm__ volatile("wfi");
}
