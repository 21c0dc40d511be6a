/* Semihosting without a library: the second word of the command line says what to do. Results are lines. */
#include "chip.h"

enum {
    OPEN = 0x01, CLOSE, WRITEC, WRITE0, WRITE, READ, READC, ISERROR, ISTTY, SEEK, FLEN = 0x0C, TMPNAM, REMOVE, RENAME, CLOCK, TIME,
    SYSTEM, ERRNO, GET_CMDLINE = 0x15, HEAPINFO, EXIT = 0x18, EXIT_EXTENDED = 0x20, ELAPSED = 0x30, TICKFREQ
};

#define SCB_ICSR REG(0xE000ED04)
#define NOWHERE 0x70000000u /* where nothing answers on either chip */

static char line[256], buffer[64];

static uint32_t call(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

#define CALL(operation, ...) call(operation, (uint32_t)(uintptr_t)(uint32_t[]){__VA_ARGS__})
#define AT(pointer) (uint32_t)(uintptr_t)(pointer)

static uint32_t length(const char *text)
{
    uint32_t n = 0;
    while (text[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void say(const char *text)
{
    call(WRITE0, AT(text));
}

static void number(const char *name, uint32_t value)
{
    char digits[12] = " 00000000\n";
    for (int at = 8; at > 0; at--, value >>= 4)
        digits[at] = "0123456789abcdef"[value & 15];
    say(name);
    say(digits);
}

/* A result, and errno behind it if it is an error. */
static uint32_t result(const char *name, uint32_t value)
{
    number(name, value);
    if (value == 0xFFFFFFFFu)
        number("  errno", call(ERRNO, 0));
    return value;
}

static uint32_t open(const char *name, uint32_t mode)
{
    return CALL(OPEN, AT(name), mode, length(name));
}

static void console(void)
{
    uint32_t in = open(":tt", 0), out = open(":tt", 4), err = open(":tt", 8), features = open(":semihosting-features", 0);
    char c = '*';
    call(WRITEC, AT(&c));
    say("write0\n");
    number("left", CALL(WRITE, out, AT("stdout\n"), 7));
    number("left", CALL(WRITE, err, AT("stderr\n"), 7));
    number("input", CALL(READ, in, AT(buffer), 8));
    result("readc", call(READC, 0));
    number("tty", CALL(ISTTY, out));
    number("tty", CALL(ISTTY, features));
    number("flen", CALL(FLEN, features));
    number("left", CALL(READ, features, AT(buffer), 8));
    number("features", *(uint32_t *)buffer);
    number("flags", (uint8_t)buffer[4]);
    result("close", CALL(CLOSE, features));
    result("close", CALL(CLOSE, features));
    number("iserror", CALL(ISERROR, 0xFFFFFFFEu));
    number("iserror", CALL(ISERROR, 1));
    result("system", CALL(SYSTEM, AT("true"), 4));
    result("unknown", call(0x99, 0));
}

static void files(void)
{
    uint32_t file = result("open", open("one.txt", 4));
    number("left", CALL(WRITE, file, AT("0123456789"), 10));
    number("flen", CALL(FLEN, file));
    result("close", CALL(CLOSE, file));
    file = result("append", open("one.txt", 8));
    number("left", CALL(WRITE, file, AT("abc"), 3));
    result("close", CALL(CLOSE, file));
    file = result("update", open("one.txt", 2));
    number("flen", CALL(FLEN, file));
    number("seek", CALL(SEEK, file, 8));
    number("left", CALL(READ, file, AT(buffer), 8));
    buffer[5] = 0;
    say(buffer);
    say("\n");
    number("seek", CALL(SEEK, file, 1));
    number("left", CALL(WRITE, file, AT("X"), 1));
    number("tty", CALL(ISTTY, file));
    result("close", CALL(CLOSE, file));
    result("rename", CALL(RENAME, AT("one.txt"), 7, AT("two.txt"), 7));
    result("gone", open("one.txt", 0));
    file = open("three.txt", 4);
    CALL(CLOSE, file);
    result("remove", CALL(REMOVE, AT("three.txt"), 9));
    result("tmpnam", CALL(TMPNAM, AT(buffer), 7, sizeof buffer));
    say(buffer);
    say("\n");
    result("tmpnam", CALL(TMPNAM, AT(buffer), 7, 3));
}

/* What makes no sense; none of it may hurt the host. */
static void bad(void)
{
    uint32_t out = open(":tt", 4), huge = 0xFFFFFFFFu;
    for (uint32_t operation = OPEN; operation <= TICKFREQ; operation++) {
        if (operation == EXIT || operation == EXIT_EXTENDED)
            continue;
        number("operation", operation);
        result("nowhere", call(operation, NOWHERE));
        result("wrapped", call(operation, 0xFFFFFFF0u));
    }
    result("name", CALL(OPEN, NOWHERE, 0, 5));
    result("long name", CALL(OPEN, AT("x"), 0, huge));
    result("mode", CALL(OPEN, AT("x"), 99, 1));
    number("write nowhere", CALL(WRITE, out, NOWHERE, 16));
    number("write 4 GiB", CALL(WRITE, out, AT(buffer), huge));
    number("write past the end", CALL(WRITE, out, 0xFFFFFFF0u, 64));
    number("read to nowhere", CALL(READ, open(":semihosting-features", 0), NOWHERE, 16));
    number("read no handle", CALL(READ, 77, AT(buffer), 4));
    result("seek no handle", CALL(SEEK, huge, 0));
    result("rename", CALL(RENAME, AT("x"), huge, NOWHERE, huge));
    result("short command line", CALL(GET_CMDLINE, AT(buffer), 3));
    result("command line nowhere", CALL(GET_CMDLINE, NOWHERE, 64));
    for (int handles = 0; handles < 100; handles++)
        if (open(":tt", 0) == huge) {
            number("handles", handles);
            break;
        }
    say("alive\n");
}

void NMI_Handler(void)
{
    (void)REG(NOWHERE);
}

__attribute__((noinline)) void faulty(void)
{
    REG(NOWHERE) = 1;
    while (REG(NOWHERE)) {
    }
}

int main(void)
{
    char *words[3] = {"", "", ""};
    uint32_t block[2] = {AT(line), sizeof line};
    int count = 0;
    if (call(GET_CMDLINE, AT(block)))
        say("no command line\n");
    for (char *at = line; *at && count < 3; count++) {
        words[count] = at;
        while (*at && *at != ' ')
            at++;
        while (*at == ' ')
            *at++ = 0;
    }
    const char *what = words[1];
    uint32_t value = 0;
    for (const char *digit = words[2]; *digit >= '0' && *digit <= '9'; digit++)
        value = value * 10 + (uint32_t)(*digit - '0');
    if (same(what, "console"))
        console();
    else if (same(what, "files"))
        files();
    else if (same(what, "open"))
        result("read", open(words[2], 0)), result("write", open(words[2], 4)),
            result("remove", CALL(REMOVE, AT(words[2]), length(words[2])));
    else if (same(what, "bad"))
        bad();
    else if (same(what, "fail"))
        call(EXIT, 0x20020 + value);
    else if (same(what, "exit"))
        call(EXIT, 0x20026);
    else if (same(what, "fault"))
        faulty();
    else if (same(what, "lockup"))
        SCB_ICSR = 1u << 31; /* NMIPENDSET: a fault in there has nowhere to go */
    else if (same(what, "bkpt"))
        __asm__ volatile("bkpt 1");
    else if (same(what, "hang"))
        for (;;) {
        }
    else if (same(what, "ticks"))
        for (uint32_t tick = 0;; tick++) {
            number("tick", tick);
            for (volatile uint32_t wait = 0; wait < CORE_HZ / 1000; wait++) {
            }
        }
    else if (same(what, "time")) {
        uint32_t elapsed[2], later[2];
        call(ELAPSED, AT(elapsed));
        for (volatile uint32_t wait = 0; wait < CORE_HZ / 500; wait++) {
        }
        call(ELAPSED, AT(later));
        number("frequency", call(TICKFREQ, 0));
        number("ms", (later[0] - elapsed[0]) >> 20);
        number("cs", call(CLOCK, 0));
        number("time", call(TIME, 0));
    } else if (same(what, "heap")) {
        uint32_t heap[4];
        CALL(HEAPINFO, AT(heap));
        for (int at = 0; at < 4; at++)
            number("heap", heap[at]);
    }
    CALL(EXIT_EXTENDED, 0x20026, value); /* "code": the number behind it */
    return 0;
}
