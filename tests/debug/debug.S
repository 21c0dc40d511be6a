/* What a debugger steps over, breaks at and watches: one label for each, found by name. Runs on every core here (ARMv6-M), and
   with V7M=1 has what ARMv7-M adds. Vectors and code at 0x08000000, RAM at 0x20000000; the tests choose where it starts. */
    .file "debug.S"
    .syntax unified
    .thumb

    .equ counter, 0x20000100        /* `loop` counts here */
    .equ ticks, 0x20000104          /* entries of SysTick_Handler */
    .equ stack_top, 0x20000800

    .macro label name
    .global \name
    .thumb_func
\name:
    .endm

    .section .text
    .word stack_top
    .word idle, nmi, hard_fault, mem_manage, bus_fault, usage_fault
    .word 0, 0, 0, 0
    .word svcall, debug_monitor
    .word 0
    .word pendsv, systick
    .word irq0

label idle
    nop
    nop
    b idle

/* ---- one instruction each, and where it leads ---- */
label straight
    adds r0, #1
label straight_end
    nop

label branch
    b branch_to
    nop
label branch_to
    nop

label not_taken
    beq branch_to                   /* with Z = 0 */
label not_taken_end
    nop

label call
    bl leaf
label call_back
    nop

label leaf
    push {r4, lr}
label leaf_body
    adds r0, #1
label leaf_pop
    pop {r4, pc}

label back
    bx lr

label load_many
    ldm r0!, {r1, r2, r3}
label load_many_end
    stm r0!, {r1, r2, r3}
label store_many_end
    nop

label sleep
    wfi
label sleep_end
    nop
    b sleep

label service
    svc #7
label service_end
    nop

label stop
    bkpt #0xAB
label stop_end
    b stop_end

label mask
    cpsid i
label unmask
    cpsie i
label unmask_end
    nop

label wide
    dsb                             /* 32 bits */
label wide_end
    nop
    b wide

/* ---- for breakpoints: four half words in a row, run through over and over ---- */
label loop
    ldr r0, =counter
label loop_load
    ldr r1, [r0]
label loop_add
    adds r1, #1
label loop_store
    str r1, [r0]
label loop_end
    b loop_load

/* ---- for watchpoints: r0 is the address; an access, then a way to see where pc stands ---- */
    .macro access name, insn
    label at_\name
    \insn
    label after_\name
    nop
    nop
    b .
    .endm

    access str, "str r1, [r0]"
    access strh, "strh r1, [r0]"
    access strb, "strb r1, [r0]"
    access ldr, "ldr r1, [r0]"
    access ldrh, "ldrh r1, [r0]"
    access ldrb, "ldrb r1, [r0]"
    access stm, "stm r0!, {r1, r2, r3, r4}"
    access ldm, "ldm r0!, {r1, r2, r3, r4}"
    access push, "push {r1, r2, r3}"
    access svc, "svc #0"

/* ---- faults ---- */
label undefined
    udf #0
label no_state                      /* r0 even: out of Thumb state */
    bx r0
    nop
label hang
    b hang

#ifdef V7M
label conditional
    ite eq
label conditional_then
    moveq r1, #1
label conditional_else
    movne r1, #2
label conditional_end
    nop

label compare_branch
    cbz r0, 1f
    nop
label compare_branch_to
1:  nop

label table
    tbb [pc, r0]                    /* r0 = 0 or 1 */
label table_data
    .byte (table_0 - table_data) / 2, (table_1 - table_data) / 2
label table_0
    nop
label table_1
    nop

label divide
    udiv r0, r0, r1
label divide_end
    nop

    access strd, "strd r1, r2, [r0]"
    access ldrd, "ldrd r1, r2, [r0]"
    access unaligned, "str.w r1, [r0, #1]"
#endif

#ifdef FPU
label float
    vmov s0, r0
label float_end
    nop
#endif

    .ltorg

    .macro handler name
    label \name
    nop
    label \name\()_end
    b \name\()_end
    .endm

    handler nmi
    handler hard_fault
    handler mem_manage
    handler bus_fault
    handler usage_fault
    handler debug_monitor
    handler pendsv

label svcall
    nop
label svcall_end
    bx lr

label irq0
    nop
    bx lr

label systick
    ldr r2, =ticks
    ldr r3, [r2]
    adds r3, #1
    str r3, [r2]
label systick_end
    bx lr
    .ltorg
