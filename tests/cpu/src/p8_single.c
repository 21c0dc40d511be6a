/* Cortex-M4F: single precision, FP registers kept over exceptions by lazy stacking, and that nothing else is there. */
#include "util.h"
#include <math.h>

#define CFSR REG(0xE000ED28)

static uint32_t bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
static float from(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

static volatile uint32_t ticks, faults, last_fault;
static volatile float sum = 1.0f;

/* Writes every caller-saved FP register. */
void SysTick_Handler(void)
{
    ticks++;
    sum = sum * 0.5f + 1.0f;
    __asm__ volatile("vmov s0,%0\n vmov s1,%0\n vmov s7,%0\n vmov s15,%0\n vmsr fpscr,%0" ::"r"(0x40000000) : "s0", "s1", "s7", "s15");
}

/* Notes why, and goes on behind the instruction. */
__attribute__((used)) void note(uint32_t *frame)
{
    faults++;
    last_fault = CFSR >> 16;
    CFSR = CFSR;
    frame[6] += 4;
}

__attribute__((naked)) void UsageFault_Handler(void) { __asm__ volatile("mrs r0,msp\n b note"); }

#define TRIES(name, instruction) { uint32_t before = faults; last_fault = 0; __asm__ volatile(instruction ::: "s0", "s1", "s2", "s3", "s4", "s5"); \
    hex(name, (faults - before) << 16 | last_fault); }

int main(void)
{
    uint32_t seed = 0x1357;
    uint64_t h = 0;
    for (int i = 0; i < 300; i++) {
        float a = (float)(int32_t)rng(&seed) / 65536.0f, b = (float)rng(&seed) / 1024.0f + 0.5f, d = a;
        h = h * 31 + bits(a + b); h ^= bits(a - b); h = h * 31 + bits(a * b); h ^= bits(a / b); h = h * 31 + bits(sqrtf(b));
        h += (int32_t)a; h += (uint32_t)b; h += (a < b) + 2 * (a >= b);
        __asm__ volatile("vfma.f32 %0,%1,%2" : "+t"(d) : "t"(a), "t"(b)); h = h * 31 + bits(d);
        __asm__ volatile("vfnms.f32 %0,%1,%2" : "+t"(d) : "t"(a), "t"(b)); h = h * 31 + bits(d);
        __asm__ volatile("vcvtb.f16.f32 %0,%1" : "+t"(d) : "t"(a)); h = h * 31 + bits(d);
        __asm__ volatile("vcvt.s32.f32 %0,%0,#7" : "+t"(a)); h = h * 31 + bits(a);
    }
    hex64("single", h);
    static const uint32_t special[] = {0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 1, 0x007FFFFF, 0x3F800000, 0xBFC00000, 0x4F000000, 0xCF000001};
    h = 0;
    for (int i = 0; i < 11; i++) for (int j = 0; j < 11; j++) {
        volatile float x = from(special[i]), y = from(special[j]);
        float r = x + y; h = h * 31 + (r != r ? 1 : bits(r));
        r = x * y; h = h * 31 + (r != r ? 1 : bits(r));
        r = x / y; h = h * 31 + (r != r ? 1 : bits(r));
        h = h * 31 + (x < y) + 2 * (x <= y) + 4 * (x == y) + (uint32_t)(int32_t)x;
    }
    hex64("special", h);

    REG(0xE000E014) = 3000; REG(0xE000E018) = 0; REG(0xE000E010) = 7;
    uint32_t wrong = 0, rounds = 0;
    while (ticks < 40) {
        register uint32_t r, s;
        __asm__ volatile("vmov s0,%2\n vmov s15,%3\n vmov s20,%2\n mov r3,#50\n 1: subs r3,#1\n bne 1b\n vmov %0,s0\n vmov %1,s15\n"
                         : "=&r"(r), "=&r"(s) : "r"(rounds * 3), "r"(~rounds) : "r3", "s0", "s15", "s20", "cc");
        wrong += r != rounds * 3 || s != ~rounds;
        rounds++;
    }
    REG(0xE000E010) = 0;
    hex("wrong", wrong); hex("enough", rounds > 40); hex("sum", bits(sum) == bits(2.0f));

    REG(0xE000ED24) |= 1u << 18;
    TRIES("vadd.f64", ".inst.w 0xEE310B02\n")   /* vadd.f64 d0,d1,d2 */
    TRIES("vsqrt.f64", ".inst.w 0xEEB10BC1\n")
    TRIES("vcvt.f64.f32", ".inst.w 0xEEB70AC0\n")
    TRIES("vrintz.f32", ".inst.w 0xEEB60AE0\n") /* FPv5 */
    TRIES("vselgt.f32", ".inst.w 0xFE300A81\n")
    TRIES("vmaxnm.f32", ".inst.w 0xFE800A81\n")
    TRIES("vadd.f32", ".inst.w 0xEE300A81\n")
    TRIES("vldr.64", "sub sp,#8\n .inst.w 0xED9D0B00\n add sp,#8\n")
    REG(0xE000ED88) &= ~0xF00000u;
    __asm__ volatile("dsb\n isb");
    TRIES("off", ".inst.w 0xEE300A81\n")
    REG(0xE000ED88) |= 0xF00000u;
    puts0("P8 DONE\n");
    return 0;
}
