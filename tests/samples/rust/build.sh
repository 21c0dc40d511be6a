#!/bin/sh
# Builds every *-h743.elf and *-g071.elf beside it, which are committed: build.sh [OUTPUT FOLDER]
# Where the toolchain has no such target, its own core library is built: RUSTC names a rustc whose sysroot has rust-src
# (Debian: rustc-web, cargo-web, rust-web-src, binutils-arm-none-eabi).
set -eu
cd "$(dirname "$0")"
out=$(realpath "${1:-.}")
rustc=${RUSTC:-rustc}
# No path of the machine that built them.
remap() { printf '"--remap-path-prefix=%s=%s",' "$(realpath "$1")" "$2"; }
paths=$(remap . sample && remap "${CARGO_HOME:-$HOME/.cargo}/registry/src" registry && remap "$("$rustc" --print sysroot)" rust)

for row in thumbv7em-none-eabihf:h743 thumbv6m-none-eabi:g071; do
    target=${row%%:*} chip=${row##*:}
    set -- --release --target "$target" --config "target.$target.rustflags=[$paths]"
    if [ ! -d "$("$rustc" --print sysroot)/lib/rustlib/$target" ]; then
        export RUSTC_BOOTSTRAP=1
        export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER=arm-none-eabi-ld CARGO_TARGET_THUMBV6M_NONE_EABI_LINKER=arm-none-eabi-ld
        set -- "$@" -Z build-std=core
    fi
    cargo build "$@"
    test=$(cargo test "$@" --no-run --message-format=json | sed -n 's/.*"executable":"\([^"]*on_target[^"]*\)".*/\1/p')
    cp "target/$target/release/sample" "$out/sample-$chip.elf"
    cp "$test" "$out/on_target-$chip.elf"
    chmod -x "$out"/*-$chip.elf
done
