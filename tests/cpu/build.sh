#!/bin/bash
# Builds the programs of tests/cpu: build.sh [OUTPUT FOLDER]   (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi)
# Each program for three cores (m0 = cortex-m0plus, m7 = cortex-m7 with fpv5-d16, m7s = cortex-m7 without FPU) at -O0, -O2
# and -Os, three for m4 (cortex-m4 with fpv4-sp-d16); text comes out by semihosting (newlib's rdimon). p*.ELF.txt is what qemu-system-arm 7.2 prints (-M microbit for
# m0, mps2-an500 for the others), then rc= and its exit code.
set -eu
here=$(cd "$(dirname "$0")" && pwd); out=${1:-$here}; src=$here/src; mkdir -p "$out"
flags() {
  case $1 in
    m0) echo "-mcpu=cortex-m0plus -mthumb" ;;
    m7) echo "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16" ;;
    m4) echo "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16" ;;
    m7s) echo "-mcpu=cortex-m7 -mthumb -mfloat-abi=soft" ;;
  esac
}
# build CORE LEVEL SOURCE OUTPUT [MORE FLAGS]
build() {
  local f="$(flags "$1")"; local ld=m7.ld; [ "$1" = m0 ] && ld=m0.ld
  crt() { arm-none-eabi-gcc $f --specs=rdimon.specs -print-file-name="$1"; }
  arm-none-eabi-gcc $f "-$2" ${5:-} -g -ffunction-sections -Wl,--gc-sections --specs=rdimon.specs -nostartfiles -I"$src" -L"$src" \
    "$src/startup.c" "$(crt crti.o)" "$3" -T "$src/$ld" -o "$4" "$(crt rdimon-crt0.o)" -lm "$(crt crtn.o)"
  arm-none-eabi-strip "$4"
}
for level in O0 O2 Os; do for source in "$src"/p[1-7]_*.c; do for core in m0 m7 m7s; do
  build $core $level "$source" "$out/$(basename "$source" .c).$core.$level.elf"
done; done; done
for level in O0 O2 Os; do for name in p4_ctxsw p5_dsp p8_single; do
  build m4 $level "$src/$name.c" "$out/$name.m4.$level.elf"
done; done
build m7 O2 "$src/bench.c" "$out/bench.m7.elf" -DNR=400
build m7 O2 "$src/benchfp.c" "$out/benchfp.m7.elf" -DNR=100
