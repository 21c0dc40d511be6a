#!/bin/sh
# Builds log-h743.elf (encoding rzcobs) and log-g071.elf (raw). cargo and rustc are those of PATH: 1.96 with the
# sources of the library where `rustc --print sysroot` has them, since thumb targets may not be installed (Debian: cargo-web,
# rustc-web, rust-web-src; binutils-arm-none-eabi).
set -eu
cd "$(dirname "$0")"
export RUSTC_BOOTSTRAP=1 DEFMT_LOG=trace CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
sources=$(rustc --print sysroot)/lib/rustlib/src/rust
export RUSTFLAGS="-C linker=arm-none-eabi-ld -C linker-flavor=ld --remap-path-prefix=$PWD=. \
    --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo --remap-path-prefix=$sources=rust"

build() {
    cargo build --release -Z build-std=core --target "$1" ${3:+--features "$3"}
    cp "$CARGO_TARGET_DIR/$1/release/rust-log" "$2"
    chmod -x "$2"
}

build thumbv7em-none-eabihf log-h743.elf
build thumbv6m-none-eabi log-g071.elf raw
