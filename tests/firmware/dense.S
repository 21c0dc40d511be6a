@ Thumb-like half words without end: common 16-bit encodings (DDI0403 A5.2) with register and immediate fields from a
@ linear congruential generator (Numerical Recipes' 1664525 and 1013904223), so that they are as dense as code and always the same.
@ DENSE_BYTES is a multiple of 8.
    .syntax unified
    .file "dense.S"
    .section .dense, "a"
    .global dense, dense_end
    .balign 8
    .type dense, %object
    .set .Lx, 0x2545F491
dense:
    .rept DENSE_BYTES / 2
    .set .Lx, (.Lx * 1664525 + 1013904223) & 0xFFFFFFFF
    .set .Lfield, (.Lx >> 12) & 0x7FF
    .set .Lchoice, (.Lx >> 24) & 15
    .if .Lchoice < 3
    .hword 0x2000 | .Lfield               @ movs rd, #imm8
    .elseif .Lchoice < 5
    .hword 0x3000 | .Lfield               @ adds rd, #imm8
    .elseif .Lchoice < 8
    .hword 0x6800 | .Lfield               @ ldr rt, [rn, #imm5]
    .elseif .Lchoice < 10
    .hword 0x6000 | .Lfield               @ str rt, [rn, #imm5]
    .elseif .Lchoice < 11
    .hword 0x9800 | .Lfield               @ ldr rt, [sp, #imm8]
    .elseif .Lchoice < 12
    .hword 0x4000 | (.Lfield & 0x3FF)     @ data processing
    .elseif .Lchoice < 13
    .hword 0x1800 | (.Lfield & 0x1FF)     @ adds rd, rn, rm
    .elseif .Lchoice < 14
    .hword .Lfield                        @ lsls rd, rm, #imm5
    .elseif .Lchoice < 15
    .hword 0xD000 | (.Lfield % 0xD00)     @ b<cond>
    .else
    .hword 0x7800 | .Lfield               @ ldrb rt, [rn, #imm5]
    .endif
    .endr
dense_end:
    .size dense, . - dense
