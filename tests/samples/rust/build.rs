//! Where the linker finds the chip's memory: cortex-m-rt's link.x includes memory.x.

fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    // STM32G071 (RM0444 2.3), STM32H743 with its DTCM (RM0433 2.3)
    let [flash, ram] = if std::env::var("TARGET").unwrap().starts_with("thumbv6m") { [128, 32] } else { [2048, 128] };
    let memory = format!(
        "MEMORY\n{{\n    FLASH : ORIGIN = 0x08000000, LENGTH = {flash}K\n    RAM : ORIGIN = 0x20000000, LENGTH = {ram}K\n}}\n"
    );
    std::fs::write(format!("{out}/memory.x"), memory).unwrap();
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rerun-if-changed=build.rs");
}
