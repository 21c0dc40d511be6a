/* A program that `rocd run` runs as if it were one of this machine: arguments, output, an exit code, and what goes wrong. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void greet(int count, char **names)
{
    for (int at = 0; at < count; at++)
        printf("hello, %s\n", names[at]);
}

/* How many lines a file of the host has. */
static int count_lines(const char *name)
{
    FILE *file = fopen(name, "r");
    if (!file) {
        perror(name);
        return 1;
    }
    int lines = 0;
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    printf("%s: %d lines\n", name, lines);
    return fclose(file);
}

__attribute__((noinline)) static void stray(void)
{
    *(volatile uint32_t *)0x70000000 = 1; /* nothing answers there */
    while (*(volatile uint32_t *)0x70000000) {
    }
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (!strcmp(word, "greet"))
        greet(argc - 2, argv + 2);
    else if (!strcmp(word, "lines") && argc == 3)
        return count_lines(argv[2]);
    else if (!strcmp(word, "exit") && argc == 3)
        return atoi(argv[2]);
    else if (!strcmp(word, "assert"))
        assert(argc > 100);
    else if (!strcmp(word, "fault"))
        stray();
    else {
        fprintf(stderr, "usage: %s greet NAME… | lines FILE | exit N | assert | fault\n", argv[0]);
        return 2;
    }
    return 0;
}
