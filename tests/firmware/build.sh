#!/bin/sh
# Builds every .elf beside it. Debian: gcc-arm-none-eabi 12.2, binutils-arm-none-eabi 2.40. The output is the same on every
# machine with these versions; the built files are committed, so the tests need no compiler.
set -eu
cd "$(dirname "$0")"

CFLAGS="-mthumb -mfloat-abi=soft -O2 -g -std=c11 -Wall -Wextra -ffreestanding -fno-tree-loop-distribute-patterns
    -ffile-prefix-map=$PWD=. -ffile-prefix-map=/usr/lib/gcc=gcc -gno-record-gcc-switches"
LDFLAGS="-nostdlib -L. -Wl,--build-id=none -Wl,--no-warn-rwx-segments"
H743="-mcpu=cortex-m7 -DH743"
H745_M4="-mcpu=cortex-m4 -DH745_M4"
G071="-mcpu=cortex-m0plus -DG071"

# build OUTPUT CPU-FLAGS "LINKER-SCRIPTS" ARGUMENTS…
build() {
    out=$1 cpu=$2 scripts=$3
    shift 3
    for script in $scripts; do set -- "$@" -T "$script"; done
    # shellcheck disable=SC2086
    arm-none-eabi-gcc $cpu $CFLAGS $LDFLAGS -o "$out" startup.c "$@"
    chmod -x "$out"
}

# dense OUTPUT CPU-FLAGS MEMORY BYTES: an image of exactly BYTES.
dense() {
    build "$1" "$2 -DDENSE_BYTES=$(($4 - 0x400))" "$3 dense.ld" dense.c dense.S
}

# bare OUTPUT CPU-FLAGS…: debug.S of tests/debug by itself, from 0x08000000.
bare() {
    out=$1
    shift
    # shellcheck disable=SC2086
    arm-none-eabi-gcc "$@" -mthumb -nostdlib -Wl,--nmagic -Wl,--build-id=none -Wl,-Ttext=0x08000000 -Wl,-e,idle -o "$out" ../debug/debug.S
    chmod -x "$out"
}

# clear_paddr FILE: p_paddr = 0 in every program header (32 bytes each, from offset 52; p_paddr is its fourth word).
clear_paddr() {
    count=$(arm-none-eabi-readelf -h "$1" | sed -n 's/.*Number of program headers: *//p')
    for header in $(seq 0 $((count - 1))); do
        printf '\0\0\0\0' | dd of="$1" bs=1 seek=$((52 + 32 * header + 12)) conv=notrunc status=none
    done
}

build blinky-h743.elf "$H743" "h743.ld sections.ld" blinky.c
build blinky-g071.elf "$G071" "g071.ld sections.ld" blinky.c
build interrupts-h743.elf "$H743" "h743.ld sections.ld" interrupts.c -s
build interrupts-g071.elf "$G071" "g071.ld sections.ld" interrupts.c -s
build blinky-h745-m4.elf "$H745_M4" "h745-m4.ld sections.ld" blinky.c
build pair-h745-m7.elf "$H743" "h743.ld sections.ld" pair.c
build pair-h745-m4.elf "$H745_M4" "h745-m4.ld sections.ld" pair.c
build lma-h743.elf "$H743" "h743.ld sections.ld" lma.c
build header-h743.elf "$H743" "h743-header.ld sections.ld" blinky.c
build header-g071.elf "$G071" "g071-header.ld sections.ld" blinky.c
build offset-g071.elf "$G071" "g071-offset.ld sections.ld" offset.c -s
build ram-h743.elf "$H743" "h743.ld sections-ram.ld" blinky.c
build ramonly-h743.elf "$H743" "ramonly.ld sections.ld" blinky.c
build paddr0-h743.elf "$H743 -DNO_DATA" "h743.ld sections.ld" blinky.c
clear_paddr paddr0-h743.elf
dense dense-200k-h743.elf "$H743" h743.ld $((200 * 1024))
dense dense-1m-h743.elf "$H743" h743.ld $((1024 * 1024))
dense dense-64k-g071.elf "$G071" g071.ld $((64 * 1024))
dense dense-120k-g071.elf "$G071" g071.ld $((120 * 1024))
build bad-h743.elf "$H743" "h743.ld sections.ld" bad.c
build bad-g071.elf "$G071" "g071.ld sections.ld" bad.c
build semihosting-h743.elf "$H743" "h743.ld sections.ld" semihosting.c
build semihosting-g071.elf "$G071" "g071.ld sections.ld" semihosting.c
build rtt-h743.elf "$H743" "h743-axi.ld sections.ld" rtt.c -Wl,--strip-debug
build rtt-g071.elf "$G071" "g071.ld sections.ld" rtt.c -Wl,--strip-debug
build doctor-app-h743.elf "$H743" "h743-app.ld sections.ld" -g0 doctor.c
build doctor-app-g071.elf "$G071" "g071-app.ld sections.ld" -g0 doctor.c
build doctor-nodata-h743.elf "$H743" "h743.ld sections-ram.ld" -g0 doctor.c
build doctor-nodata-g071.elf "$G071" "g071.ld sections-ram.ld" -g0 doctor.c
build doctor-o2-h745-m4.elf "$H745_M4" "h745-m4.ld sections.ld" -g0 doctor.c
for level in 0 2; do
    build doctor-o$level-h743.elf "$H743" "h743.ld sections.ld" -O$level -g0 doctor.c
    build doctor-o$level-g071.elf "$G071" "g071.ld sections.ld" -O$level -g0 doctor.c
    build calls-o$level-h743.elf "$H743 -mfpu=fpv5-d16" "h743.ld sections.ld" -O$level -mfloat-abi=hard calls.c
    build calls-o$level-g071.elf "$G071" "g071.ld sections.ld" -O$level calls.c
done
bare ../debug/debug-v6m.elf -mcpu=cortex-m0plus
bare ../debug/debug-v7m.elf -mcpu=cortex-m3 -DV7M
bare ../debug/debug-m7.elf -mcpu=cortex-m7 -mfpu=fpv5-d16 -mfloat-abi=hard -DV7M -DFPU
