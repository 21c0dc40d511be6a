/* Sums the dense data over and over: `checksum` of a whole round, `rounds` finished. */
#include "chip.h"

extern const uint32_t dense[], dense_end[];

volatile uint32_t checksum, rounds;

int main(void)
{
    for (;;) {
        uint32_t sum = 0;
        for (const uint32_t *word = dense; word < dense_end; word++)
            sum += *word;
        checksum = sum;
        rounds++;
    }
}
