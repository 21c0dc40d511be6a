//! The chip's memory for cortex-m-rt's link.x.

fn main() {
    let target = std::env::var("TARGET").unwrap();
    // STM32G071 (RM0444 2.3), STM32H743 with its DTCM (RM0433 2.3)
    let (flash, ram) = if target.starts_with("thumbv6m") { ("128K", "32K") } else { ("2048K", "128K") };
    let out = std::env::var("OUT_DIR").unwrap();
    let memory = format!(
        "MEMORY {{ FLASH : ORIGIN = 0x08000000, LENGTH = {flash}\n RAM : ORIGIN = 0x20000000, LENGTH = {ram} }}\n"
    );
    std::fs::write(format!("{out}/memory.x"), memory).unwrap();
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-link-arg=-Tdefmt.x");
    println!("cargo:rustc-link-arg=--nmagic");
}
