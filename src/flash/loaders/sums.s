@ Sums of flash by the CRC calculation unit, for chips whose flash controller makes none. The host writes where the unit
@ is and which parts are to be summed; each sum is put where its part's length was, and its address becomes 0. A part
@ that faults, or of which ECCR tells a damaged word, keeps its address.
@
@ Made into sums.bin by `sh src/flash/loaders/build`; a test does the same and compares.

        .syntax unified
        .cpu    cortex-m0plus
        .thumb
        .include "feed.s"

@ At r7 (src/flash/sums.rs writes it).
        .equ    UNIT, 0         @ CRC_DR
        .equ    PAST, 4         @ behind the last part
        .equ    ECCR, 8         @ written back as read, which clears the flag that an NMI comes from
        .equ    IWDG, 12        @ watchdogs to be fed before each part
        .equ    WWDG, 16
        .equ    PARTS, 24       @ address and length, a multiple of 16; 8 bytes each

        .equ    CRC_CR, 8
        .equ    RESET, 1
        .equ    STACKED_PC, 24

        .section .text
vectors:
        .word   0               @ the host sets SP
        .word   start + 1
        .rept   14
        .word   exception + 1
        .endr

exception:
        mov     r0, r9
        ldr     r0, [r0, #ECCR]
        ldr     r2, [r0]
        str     r2, [r0]
        adr     r0, next
        str     r0, [sp, #STACKED_PC]
        bx      lr

start:
        mov     r9, r7
        ldr     r0, [r7, #ECCR]
        ldr     r2, [r0]
        str     r2, [r0]
        ldr     r0, [r7, #PAST]
        mov     r8, r0
        adds    r7, #PARTS
part:
        cmp     r7, r8
        beq     done
        mov     r4, r9
        feed    r4
        ldr     r1, [r4, #UNIT]
        movs    r0, #RESET
        str     r0, [r1, #CRC_CR]
        ldr     r0, [r7]
        ldr     r2, [r7, #4]
        adds    r2, r2, r0
1:      ldmia   r0!, {r3, r4, r5, r6}
        str     r3, [r1]
        str     r4, [r1]
        str     r5, [r1]
        str     r6, [r1]
        cmp     r0, r2
        bne     1b
        mov     r0, r9
        ldr     r0, [r0, #ECCR]
        ldr     r2, [r0]
        str     r2, [r0]
        cmp     r2, #0          @ ECCD is bit 31
        bmi     next
        ldr     r0, [r1]
        str     r0, [r7, #4]
        movs    r0, #0
        str     r0, [r7]
        .balign 4
next:
        adds    r7, #8
        b       part
done:
        bkpt    #0
        b       .
