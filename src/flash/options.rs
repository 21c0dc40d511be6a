//! Option bytes: how they are unlocked, changed and loaded, the same on both families but for what is data here.
//! Which there are, and what they mean, is the target file's.

use super::controller::{AGAIN, Busy, Flag, decode};
use super::{Bank, FlashDriver};
use crate::adi::MemAp;
use crate::error::{Error, Result};
use crate::event::Ears;

/// The same on both families (RM0433 4.5.1, RM0444 3.4.2).
const KEYS: [u32; 2] = [0x0819_2A3B, 0x4C5D_6E7F];

/// Where a family has what, from bank 1's registers on, and the bits there.
pub struct OptionBytes {
    /// OPTKEYR opens only behind FLASH_CR's lock (G0).
    pub(super) behind_cr: bool,
    pub(super) keyr: u32,
    /// The register with the bits that lock them, start a change and load them.
    pub(super) control: u32,
    pub(super) lock: u32,
    pub(super) start: u32,
    /// It resets the chip. 0: a change is loaded when it ends, and acts after any reset.
    pub(super) launch: u32,
    pub(super) status: (&'static str, u32),
    pub(super) busy: u32,
    pub(super) errors: &'static [Flag],
    /// Those that tell of the options that are loaded.
    pub(super) stands: u32,
    /// The register, and the bits written to it, that clear them.
    pub(super) clear: (u32, u32),
}

/// Write these words to these registers, and have them programmed; `bank` is the first. They act once loaded: `launch`, or
/// a reset, which locks them too; else it is `lock_options` that does.
pub fn write_options(driver: &dyn FlashDriver, mem: &mut MemAp, bank: &Bank, words: &[(u32, u32)], ears: &Ears) -> Result<()> {
    let (options, controller) = (driver.options(), driver.controller(bank)?);
    let [control, keyr, clear] = [options.control, options.keyr, options.clear.0].map(|register| bank.registers + register);
    if options.behind_cr {
        controller.unlock(mem)?;
    }
    if mem.read32(control)? & options.lock != 0 {
        KEYS.iter().try_for_each(|key| mem.write32(keyr, *key))?;
    }
    let open = mem.read32(control)?;
    if open & options.lock != 0 {
        return Err(Error::target(format!("the option bytes stay locked ({control:#010x} holds {open:#010x})")).hint(AGAIN));
    }
    mem.write32(clear, options.clear.1)?;
    words.iter().try_for_each(|(address, word)| mem.write32(*address, *word))?;
    mem.write32(control, open | options.start)?;
    let (found, interrupted) = busy(driver, bank)?.wait_long(mem, ears)?;
    mem.update(control, options.start, 0)?;
    decode(options.errors, found, options.status.0).and(interrupted)
}

fn busy(driver: &dyn FlashDriver, bank: &Bank) -> Result<Busy> {
    let options = driver.options();
    let (name, status) = options.status;
    // Going from RDP level 1 to 0 erases every bank.
    let limit = driver.controller(bank)?.times[2] * 4;
    Ok(Busy { name: name.into(), address: bank.registers + status, mask: options.busy, limit })
}

/// Shut what `write_options` opened, once a change that was begun is over: until then CR takes nothing.
pub fn lock_options(driver: &dyn FlashDriver, mem: &mut MemAp, bank: &Bank, ears: &Ears) -> Result<()> {
    let options = driver.options();
    let (_, interrupted) = busy(driver, bank)?.wait_long(mem, ears)?;
    mem.update(bank.registers + options.control, options.lock, options.lock)?;
    driver.controller(bank)?.lock(mem)?;
    interrupted
}

/// Load what was programmed, if that needs more than a reset; the chip resets. False: it needs a reset.
pub fn launch(driver: &dyn FlashDriver, mem: &mut MemAp, bank: &Bank) -> Result<bool> {
    let options = driver.options();
    if options.launch != 0 {
        mem.update(bank.registers + options.control, options.launch, options.launch)?;
    }
    Ok(options.launch != 0)
}

/// What the chip says of the option bytes it has loaded.
pub fn check_options(driver: &dyn FlashDriver, mem: &mut MemAp, bank: &Bank) -> Result<()> {
    let options = driver.options();
    decode(options.errors, mem.read32(bank.registers + options.status.1)? & options.stands, options.status.0)
}
