//! What the program and its test share.
#![no_std]

use cortex_m_semihosting::{debug, nr, syscall1};
use panic_semihosting as _;

/// The command line that the host tells.
pub fn command_line(buffer: &mut [u8; 256]) -> &str {
    let mut block = [buffer.as_mut_ptr() as usize, buffer.len()];
    // SAFETY: the host writes a string into the buffer, and its length into the block.
    let told = unsafe { syscall1(nr::GET_CMDLINE, block.as_mut_ptr() as usize) };
    let length = if told == 0 { block[1] } else { 0 };
    core::str::from_utf8(buffer.get(..length).unwrap_or_default()).unwrap_or_default()
}

/// To the host, with an exit code.
pub fn exit(code: u32) -> ! {
    /// ADP_Stopped_ApplicationExit
    const APPLICATION_EXIT: u32 = 0x2_0026;
    const SYS_EXIT_EXTENDED: usize = 0x20;
    let block = [APPLICATION_EXIT, code];
    // SAFETY: it only reads the block.
    unsafe { syscall1(SYS_EXIT_EXTENDED, block.as_ptr() as usize) };
    loop {
        debug::exit(debug::EXIT_SUCCESS);
    }
}
