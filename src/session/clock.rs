//! The clock of the debug port: slow enough to come in, then as fast as the wire is shown to carry words right.
//!
//! SWD's parity misses an even number of wrong bits, so a clock is believed after a test only: the DP's id again and again,
//! which touches nothing in the chip; above `TRUSTED_KHZ` a pattern to the chip and back too. A core that stands lends the
//! test its work area, which is put back; beside one that runs nothing but DCRDR, the debugger's own register, is written.

use super::{Session, State, attach, fatal};
use crate::adi::dp;
use crate::cortex_m::{self, DCRDR};
use crate::error::{Cause, Error, Kind, Result};
use crate::probe::{MemOp, Port, Width};

/// Needs no pattern: the fastest clock of a V2, which other hosts use untested.
pub(super) const TRUSTED_KHZ: u32 = 4000;
/// Bytes of the pattern.
const PATTERN: usize = 4096;
/// So many looks at DPIDR come first: a wire that cannot carry them is not written through.
const LOOKS: usize = 16;
/// Bytes for which the test, some 20 ms of a V3, is worth its time.
const WORTH: u64 = 8 * 1024;

/// What the user wants of the clock, and what is known of the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Upper bound, kHz.
    pub most: u32,
    /// That clock and no other.
    pub exact: bool,
    /// Nothing faster is left to try.
    pub settled: bool,
}

/// What lends itself to the test, and what is to be found again behind it.
struct Scratch {
    dpidr: u32,
    address: u32,
    found: Vec<u8>,
}

/// The next slower clock than the one that a probe takes for `most`.
pub(super) fn below(speeds: &[u32], most: u32) -> Option<u32> {
    let taken = speeds.iter().filter(|khz| **khz <= most).max()?;
    speeds.iter().copied().filter(|khz| khz < taken).max()
}

/// The clock that must be, if the probe has it and the chip bears it.
pub(super) fn check_exact(speeds: &[u32], khz: u32, most: u32) -> Result<()> {
    let list: Vec<String> = speeds.iter().filter(|khz| **khz <= most).map(u32::to_string).collect();
    match speeds.contains(&khz) && khz <= most {
        true => Ok(()),
        false => Err(Error::command(format!("there is no clock of exactly {khz} kHz with this probe and this chip"))
            .hint(format!("there is {} kHz; without `exact` the next slower one is taken", list.join(", ")))),
    }
}

/// Each word followed by its complement, so that every bit changes at every second word.
fn pattern() -> Vec<u8> {
    let noise = |n: u32| (n / 2 + 1).wrapping_mul(0x9E37_79B9) ^ if n & 1 == 0 { 0 } else { !0 };
    (0..PATTERN as u32 / 4).flat_map(|n| noise(n).to_le_bytes()).collect()
}

/// Where what came back differs from what was sent.
fn difference(sent: &[u8], back: &[u8]) -> Result<()> {
    match sent.iter().zip(back).position(|(sent, back)| sent != back) {
        None => Ok(()),
        Some(at) => Err(wrong(format!("byte {at} of a pattern came back as {:#04x}, not {:#04x}", back[at], sent[at]))),
    }
}

fn wrong(what: String) -> Error {
    Error::target(what).cause(Cause::Link)
}

impl Session {
    /// `bytes` are to be moved: take the fastest clock that the wire bears, if that is worth a test of it. Where no test
    /// can be made, because the core does not answer, the clock stays.
    pub fn hurry(&mut self, bytes: u64) -> Result<()> {
        let here = matches!(self.cores.first(), Some(Some(_)));
        if self.clock.settled || bytes < WORTH || self.clock.most <= self.khz || !here {
            return Ok(());
        }
        let scratch = match self.scratch() {
            Err(error) if fatal(&error) || error.kind == Kind::Probe => return Err(error),
            Err(_) => return Ok(()),
            Ok(scratch) => scratch,
        };
        self.clock.settled = true;
        let speeds = self.probe.speeds()?;
        let (slow, most) = (self.khz, self.clock.most);
        for khz in speeds.iter().copied().filter(|khz| (slow + 1..=most).contains(khz)) {
            let Err(error) = self.bears(khz, &scratch) else { break };
            if fatal(&error) || error.kind != Kind::Target {
                return Err(error);
            }
            self.come_in_again(slow)?;
            self.mem(0).write_width(Width::Word, scratch.address, &scratch.found)?;
            if self.clock.exact {
                return Err(error.during(format!("testing the link at {khz} kHz")).hint("shorter wires, or a slower clock"));
            }
            let next = below(&speeds, khz).unwrap_or(slow);
            self.ears.warn(format!("{khz} kHz is too fast for this wire ({}): going down to {next} kHz", error.message));
        }
        Ok(())
    }

    /// Another upper bound, or the clock that must be; what is slower than now is taken at once.
    pub fn set_clock(&mut self, khz: u32, exact: bool) -> Result<u32> {
        if exact {
            check_exact(&self.probe.speeds()?, khz, self.target.khz)?;
        }
        let most = khz.min(self.target.khz);
        self.clock = Clock { most, exact, settled: false };
        if most < self.khz {
            self.khz = self.probe.set_khz(most)?;
            self.clock.settled = true;
        }
        self.hurry(u64::MAX)?;
        Ok(self.khz)
    }

    /// What was read until now was read through a wire that still carries a word right: the core's CPUID.
    pub fn check_link(&mut self) -> Result<()> {
        let Some(Some(core)) = self.cores.first() else { return Ok(()) };
        let cpuid = core.cpuid;
        cortex_m::check_link(&mut self.mem(0), cpuid)
    }

    /// Where the pattern goes, read while the clock is slow.
    fn scratch(&mut self) -> Result<Scratch> {
        let standing = matches!(self.state(0)?, State::Halted(_) | State::Lockup);
        let area = &self.target.cores[0].work_area;
        let (address, len) = if standing { (area.address, PATTERN.min(area.size as usize)) } else { (DCRDR, 4) };
        let mut found = vec![0; len];
        self.mem(0).read_width(Width::Word, address, &mut found)?;
        Ok(Scratch { dpidr: self.probe.read_reg(Port::Dp, dp::DPIDR)?, address, found })
    }

    /// Leaves the clock at `khz` if the wire carries everything right there.
    fn bears(&mut self, khz: u32, scratch: &Scratch) -> Result<()> {
        self.probe.set_khz(khz)?;
        for _ in 0..LOOKS {
            let (now, known) = (self.probe.read_reg(Port::Dp, dp::DPIDR)?, scratch.dpidr);
            if now != known {
                return Err(wrong(format!("DPIDR reads {now:#010x}, not {known:#010x}")));
            }
        }
        if khz > TRUSTED_KHZ {
            self.through(scratch)?;
        }
        self.khz = khz;
        Ok(())
    }

    /// The pattern there and back, in blocks or word by word; then what was there before, read once more.
    fn through(&mut self, scratch: &Scratch) -> Result<()> {
        let Scratch { address, found, .. } = scratch;
        let (sent, mut mem) = (pattern(), self.mem(0));
        if *address == DCRDR {
            let words = sent.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            let mut ops: Vec<MemOp> = words.flat_map(|word| [MemOp::write(DCRDR, word), MemOp::read(DCRDR)]).collect();
            mem.batch(&mut ops)?;
            let back: Vec<u8> = ops.iter().skip(1).step_by(2).flat_map(|op| op.value().to_le_bytes()).collect();
            difference(&sent, &back)?;
        }
        let blocks: &[&[u8]] = if *address == DCRDR { &[found] } else { &[&sent[..found.len()], found] };
        for bytes in blocks {
            let mut back = vec![0; bytes.len()];
            mem.write_width(Width::Word, *address, bytes)?;
            mem.read_width(Width::Word, *address, &mut back)?;
            difference(bytes, &back)?;
        }
        Ok(())
    }

    /// A wire that garbled addresses and selections leaves the debug port in a state that nobody knows: enter it anew.
    fn come_in_again(&mut self, khz: u32) -> Result<()> {
        self.khz = self.probe.connect(&attach::how(khz, false))?;
        attach::power_up(&mut *self.probe, &self.ears, &mut Default::default())
    }
}
