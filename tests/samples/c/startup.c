/* Vectors, and the way from reset to newlib's start, which asks semihosting for heap, stack and arguments and calls main. */
#include <stdint.h>

extern uint32_t stack_top, data_load, data_start, data_end;
void _start(void);

void Reset_Handler(void)
{
    const uint32_t *from = &data_load;
    for (uint32_t *to = &data_start; to < &data_end; to++)
        *to = *from++;
    _start();
}

void Default_Handler(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) void (*const vectors[16])(void) = {
    (void (*)(void))&stack_top, Reset_Handler,   Default_Handler, Default_Handler, Default_Handler, Default_Handler, Default_Handler, 0, 0, 0, 0,
    Default_Handler,            Default_Handler, 0,               Default_Handler, Default_Handler,
};
