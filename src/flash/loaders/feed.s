@ Feed the watchdogs whose addresses stand at IWDG (KR) and WWDG (CR) of the block in this register; 0: there is none.
@ Takes r0 to r3.
        .macro  feed block
        ldr     r0, [\block, #IWDG]
        cmp     r0, #0
        beq     1f
        ldr     r1, =0xAAAA
        str     r1, [r0]
1:      ldr     r0, [\block, #WWDG]
        cmp     r0, #0
        beq     2f
        ldr     r1, [r0]        @ CR: WDGA is bit 7, T is 6:0
        lsls    r2, r1, #24
        bpl     2f
        ldr     r2, [r0, #4]    @ CFR: W is 6:0; feeding it before T <= W is a reset
        movs    r3, #0x7F
        ands    r1, r3
        ands    r2, r3
        cmp     r1, r2
        bhi     2f
        movs    r1, #0xFF
        str     r1, [r0]
2:
        .endm
