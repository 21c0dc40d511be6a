@ The loader: an interpreter of two queues of jobs, one for each flash controller, that works while the host puts more
@ jobs and their data into RAM. ARMv6-M, so the same bytes serve Cortex-M0+ and M7. What register is where, and which
@ bits mean what, the host writes into the mailbox: this code knows no chip.
@
@ Made into jobs.bin by `sh src/flash/loaders/build`; a test does the same and compares.

        .syntax unified
        .cpu    cortex-m0plus
        .thumb
        .include "feed.s"

@ The mailbox, at r7 (src/flash/loader.rs writes it).
        .equ    IWDG, 0         @ KR of a watchdog to be fed; 0: none
        .equ    WWDG, 4         @ CR of the window watchdog; 0: none
        .equ    FAULT, 12       @ not 0: an exception came, IPSR
        .equ    CHANNELS, 16

@ A channel, at r6. What the host looks at comes first.
        .equ    HEAD, 0         @ offset of the job under way, or of the next
        .equ    PHASE, 4
        .equ    STATUS, 8       @ SR, if it failed
        .equ    AT, 12          @ next flash address
        .equ    TAIL, 16        @ host: offset behind the last job
        .equ    LEFT, 20        @ bytes
        .equ    FROM, 24        @ RAM address
        .equ    SR, 28          @ 0: no controller here
        .equ    CR, 32
        .equ    BUSY, 36        @ bits of SR
        .equ    ERRORS, 40
        .equ    REST, 44        @ CR when nothing is done
        .equ    PG, 48          @ CR while words are written
        .equ    WORD, 52        @ bytes of a flash word
        .equ    QUEUE, 56       @ address of the jobs, 16 bytes each
        .equ    MASK, 60        @ what keeps HEAD inside the queue
        .equ    FAST, 64        @ CR while a row is written fast; 0: not here, or the chip refused
        .equ    CHANNEL, 80     @ bytes of a channel

@ PHASE
        .equ    IDLE, 0
        .equ    ERASES, 1
        .equ    WRITES, 2
        .equ    FAILED, 3
        .equ    ROWS, 4

@ Jobs: ERASE cr, cr with start. PROGRAM and FASTROWS: address, bytes, RAM address; the latter whole rows without a word of ones.
        .equ    ERASE, 1
        .equ    FASTROWS, 3

        .section .text
vectors:
        .word   0               @ the host sets SP
        .word   start + 1
        .rept   14
        .word   exception + 1
        .endr

start:
        feed    r7
        mov     r6, r7
        adds    r6, #CHANNELS
        bl      step
        adds    r6, #CHANNEL
        bl      step
        b       start

@ One flash word or one change of job of the channel at r6, if its controller is idle.
step:
        ldr     r0, [r6, #SR]
        cmp     r0, #0
        beq     out
        ldr     r0, [r0]
        ldr     r1, [r6, #BUSY]
        tst     r0, r1
        bne     out
        ldr     r2, [r6, #PHASE]
        cmp     r2, #FAILED
        beq     out
        cmp     r2, #IDLE
        beq     next
        ldr     r1, [r6, #ERRORS]
        tst     r0, r1
        bne     failed
        cmp     r2, #WRITES
        beq     words
        cmp     r2, #ROWS
        beq     rows
done:
        ldr     r0, [r6, #CR]
        ldr     r1, [r6, #REST]
        str     r1, [r0]
        movs    r0, #IDLE
        str     r0, [r6, #PHASE]
        ldr     r0, [r6, #HEAD]
        adds    r0, #16
        ldr     r1, [r6, #MASK]
        ands    r0, r1
        str     r0, [r6, #HEAD]
out:    bx      lr

failed:
        str     r0, [r6, #STATUS]
        cmp     r2, #ROWS
        beq     refused
        movs    r0, #FAILED
        str     r0, [r6, #PHASE]
        bx      lr

next:
        ldr     r0, [r6, #HEAD]
        ldr     r1, [r6, #TAIL]
        cmp     r0, r1
        beq     out
        ldr     r1, [r6, #QUEUE]
        adds    r1, r1, r0
        ldmia   r1!, {r0, r2, r3, r4}
        ldr     r1, [r6, #CR]
        cmp     r0, #ERASE
        bne     1f
        str     r2, [r1]
        str     r3, [r1]
        dsb
        movs    r0, #ERASES
        str     r0, [r6, #PHASE]
        bx      lr
1:      str     r2, [r6, #AT]
        str     r3, [r6, #LEFT]
        str     r4, [r6, #FROM]
        cmp     r0, #FASTROWS
        bne     start_words
        ldr     r0, [r6, #FAST]
        cmp     r0, #0
        beq     start_words
        movs    r0, #ROWS
        str     r0, [r6, #PHASE]
        bx      lr
start_words:
        ldr     r0, [r6, #PG]
        str     r0, [r1]
        dsb
        movs    r0, #WRITES
        str     r0, [r6, #PHASE]
        bx      lr

words:
        ldr     r3, [r6, #LEFT]
        cmp     r3, #0
        beq     done
        ldr     r2, [r6, #WORD]
        subs    r3, r3, r2
        str     r3, [r6, #LEFT]
        ldr     r0, [r6, #FROM]
        adds    r3, r0, r2
        str     r3, [r6, #FROM]
        ldr     r1, [r6, #AT]
        adds    r3, r1, r2
        str     r3, [r6, #AT]
        movs    r3, #0          @ a word of ones stays unprogrammed
        mvns    r3, r3
        movs    r5, r2
1:      subs    r5, #4
        ldr     r4, [r0, r5]
        ands    r3, r4
        cmp     r5, #0
        bne     1b
        adds    r3, #1
        beq     words
2:      ldr     r4, [r0, r5]    @ ascending
        str     r4, [r1, r5]
        adds    r5, #4
        cmp     r5, r2
        bne     2b
        dsb
        bx      lr

@ One row of 256 bytes, all at once (RM0444 3.3.8, fast programming).
rows:
        ldr     r3, [r6, #LEFT]
        cmp     r3, #0
        beq     done
        ldr     r1, [r6, #CR]
        ldr     r0, [r6, #REST]
        str     r0, [r1]
        ldr     r0, [r6, #FAST]
        str     r0, [r1]
        dsb
        ldr     r0, [r6, #FROM]
        ldr     r1, [r6, #AT]
        movs    r2, #1
        lsls    r2, r2, #8
        subs    r3, r3, r2
        str     r3, [r6, #LEFT]
        adds    r3, r0, r2
        str     r3, [r6, #FROM]
        adds    r3, r1, r2
        str     r3, [r6, #AT]
        mov     r12, r3
1:      ldmia   r0!, {r2, r3, r4, r5}
        stmia   r1!, {r2, r3, r4, r5}
        cmp     r1, r12
        bne     1b
        dsb
        bx      lr

@ The chip took a row amiss, and wrote nothing of it: that one and all that come, word by word.
refused:
        movs    r0, #0
        str     r0, [r6, #FAST]
        movs    r2, #1
        lsls    r2, r2, #8
        ldr     r0, [r6, #LEFT]
        adds    r0, r0, r2
        str     r0, [r6, #LEFT]
        ldr     r0, [r6, #FROM]
        subs    r0, r0, r2
        str     r0, [r6, #FROM]
        ldr     r0, [r6, #AT]
        subs    r0, r0, r2
        str     r0, [r6, #AT]
        ldr     r0, [r6, #CR]
        ldr     r1, [r6, #REST]
        str     r1, [r0]
        ldr     r0, [r6, #SR]
        ldr     r1, [r6, #ERRORS]
        str     r1, [r0]        @ cleared by writing 1
        ldr     r1, [r6, #CR]
        b       start_words

exception:
        mrs     r0, ipsr
        str     r0, [r7, #FAULT]
        bkpt    #0
        b       .

        .ltorg
