/* Speaks over rings in RAM that a debugger empties and fills (SEGGER's RTT; the control block's layout is that of UM08001,
 * the code our own). What it does is told by characters that come down channel 0:
 *   0 1  the channel up that lines with a number are for, from now on
 *   s    NUMBERS lines, one after the other; where there is no room it waits
 *   p    every millisecond as many lines as make 100 KiB/s, for 5 s; a line that finds no room is left out and counted
 *   r    lines without end, and after 40 ms a reset of the chip
 *   e    lines without end
 *   b    calls `stop`
 *   else, save the end of a line: is said again on channel 0, in quotes
 * On the M7 the rings are in cached memory. */
#include "chip.h"

#define AIRCR REG(0xE000ED0C)
#define AIRCR_SYSRESETREQ 0x05FA0004u

#define LINE 16u
#define NUMBERS 0x2000u
#define LINES_PER_MS 7u /* 112,000 bytes/s = 109 KiB/s */
#define PACED_MS 5000u

enum mode { SKIP, TRIM, BLOCK };

struct ring {
    const char *name;
    char *buffer;
    uint32_t size;
    volatile uint32_t write;
    volatile uint32_t read;
    uint32_t flags;
};

struct control {
    char id[16];
    uint32_t up_count;
    uint32_t down_count;
    struct ring up[2];
    struct ring down[1];
};

volatile struct control _SEGGER_RTT;
static char terminal[4096], data[2048], keys[16];
volatile uint32_t ticks, reset_at, sent, left_out;
static volatile struct ring *out;

#if defined(H743)
#define SCB_CCR REG(0xE000ED14)
#define CCR_IC_DC (3u << 16)
#define ICIALLU REG(0xE000EF50)
#define DCISW REG(0xE000EF60)

/* DDI0403 B2.2.7: what is in them after a reset is unknown. 4 ways of 128 sets of 32 bytes. */
static void caches_on(void)
{
    for (uint32_t way = 0; way < 4; way++)
        for (uint32_t set = 0; set < 128; set++)
            DCISW = way << 30 | set << 5;
    ICIALLU = 0;
    __asm__ volatile("dsb; isb" ::: "memory");
    SCB_CCR |= CCR_IC_DC;
    __asm__ volatile("dsb; isb" ::: "memory");
}
#else
static void caches_on(void)
{
}
#endif

void SysTick_Handler(void)
{
    if (++ticks == reset_at)
        AIRCR = AIRCR_SYSRESETREQ;
}

/* For a breakpoint. */
__attribute__((noinline)) void stop(void)
{
    __asm__ volatile("");
}

/* What is in a ring is there before its offset says so. */
static void barrier(void)
{
    __asm__ volatile("dmb" ::: "memory");
}

/* Set up, the id last: a debugger that looks earlier finds none. */
static void start(void)
{
    static const char id[] = "TTR REGGES";
    volatile struct control *block = &_SEGGER_RTT;

    block->up_count = 2;
    block->down_count = 1;
    block->up[0] = (struct ring){"Terminal", terminal, sizeof terminal, 0, 0, SKIP};
    block->up[1] = (struct ring){"Data", data, sizeof data, 0, 0, SKIP};
    block->down[0] = (struct ring){"Terminal", keys, sizeof keys, 0, 0, SKIP};
    barrier();
    for (uint32_t i = 0; i < sizeof id - 1; i++)
        block->id[i] = id[sizeof id - 2 - i];
    barrier();
}

static uint32_t room(volatile struct ring *ring)
{
    uint32_t read = ring->read, write = ring->write;
    return (read > write ? read : read + ring->size) - write - 1;
}

/* All or nothing, as its flags say. */
static int put(volatile struct ring *ring, const char *text, uint32_t count)
{
    while (room(ring) < count)
        if (ring->flags != BLOCK)
            return 0;
    uint32_t at = ring->write;
    for (uint32_t i = 0; i < count; i++) {
        ring->buffer[at] = text[i];
        at = at + 1 == ring->size ? 0 : at + 1;
    }
    barrier();
    ring->write = at;
    return 1;
}

static void say(const char *text)
{
    uint32_t count = 0;
    while (text[count])
        count++;
    put(&_SEGGER_RTT.up[0], text, count);
}

/* "0000002a ...... \n" */
static int put_number(uint32_t number)
{
    char line[LINE];
    for (uint32_t i = 0; i < 8; i++)
        line[i] = "0123456789abcdef"[number >> (28 - 4 * i) & 15];
    for (uint32_t i = 8; i < LINE - 1; i++)
        line[i] = 'A' + ((number + i) & 15);
    line[LINE - 1] = '\n';
    return put(out, line, LINE);
}

static void paced(void)
{
    uint32_t now = ticks, end = ticks + PACED_MS;
    out->flags = SKIP;
    while (now != end) {
        while (now == ticks)
            __asm__ volatile("wfi");
        now++;
        for (uint32_t i = 0; i < LINES_PER_MS; i++)
            if (put_number(sent))
                sent++;
            else
                left_out++;
    }
}

static void unpaced(uint32_t count)
{
    out->flags = BLOCK;
    for (uint32_t i = 0; i < count; i++)
        put_number(i);
}

static void obey(char key)
{
    char echo[] = "'?'\n";
    switch (key) {
    case '\n':
        break;
    case '0':
    case '1':
        out = &_SEGGER_RTT.up[key - '0'];
        break;
    case 's':
        unpaced(NUMBERS);
        break;
    case 'p':
        paced();
        break;
    case 'r':
        reset_at = ticks + 40;
        unpaced(0xFFFFFFFF);
        break;
    case 'e':
        unpaced(0xFFFFFFFF);
        break;
    case 'b':
        stop();
        break;
    default:
        echo[1] = key;
        say(echo);
    }
}

int main(void)
{
    volatile struct ring *down = &_SEGGER_RTT.down[0];

    caches_on();
    start();
    out = &_SEGGER_RTT.up[0];
    say("hello\n");
    SYST_RVR = CORE_HZ / 1000 - 1;
    SYST_CVR = 0;
    SYST_CSR = 7;
    for (;;) {
        while (down->read == down->write)
            __asm__ volatile("wfi");
        char key = down->buffer[down->read];
        down->read = down->read + 1 == down->size ? 0 : down->read + 1;
        obey(key);
    }
}
