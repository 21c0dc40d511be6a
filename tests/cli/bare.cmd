A program on a bare chip: its output through semihosting, its exit code, and what does not end.

$ rocd sim run bare-m7 tests/cpu/p3_systick.m7.O2.elf
$ rocd sim run bare-m0 tests/cpu/p1_arith.m0.O0.elf 1
$ rocd sim run nosuch tests/cpu/p1_arith.m0.O0.elf
