//! Why an attach failed: from the supply up to memory, step by step, each with what it showed (`-d`). The first row of `CAUSES`
//! that fits what was seen names the one cause and the one remedy; where none fits, the attach's own error says it.
//!
//! Only an attach that failed comes here. Most of it only looks; where nothing answers on SWD at any clock, NRST is held low
//! for a look too, which resets the chip. What keeps answering WAIT costs a second a look, so it is looked at once: with the
//! pauses the whole stays below 3 s.

use super::attach::{self, Found, how};
use super::{AttachOptions, core_ap, fatal, identify};
use crate::adi::{MemAp, dp};
use crate::desc::Target;
use crate::error::{Cause, Error, Kind, Result};
use crate::event::Ears;
use crate::probe::{Port, Probe};
use std::time::Duration;

/// DDI0403E C1.6.2
const DHCSR: u32 = 0xE000_EDF0;
const S_RETIRE_ST: u32 = 1 << 24;
const S_RESET_ST: u32 = 1 << 25;
/// Below this there is no supply, only what leaks in through other pins; no STM32 runs below 1.6 V.
const NO_SUPPLY: f32 = 1.0;
/// A program that resets its chip over and over shows it this often in this time.
const RESETS: (usize, Duration) = (2, Duration::from_millis(200));
const LOOK: Duration = Duration::from_millis(1);

/// What the steps showed.
#[derive(Default)]
struct Seen {
    volts: Option<f32>,
    /// DPIDR at the usual clock, at the slowest, and with NRST low; each is asked for only if those before gave none.
    dpidr: Option<u32>,
    slow: Option<u32>,
    held: Option<u32>,
    /// Another AP of the target file answers.
    others: bool,
    /// The first core's AP says WAIT.
    waits: bool,
    /// DHCSR, looked at again and again, and how many of the looks saw a reset that was over, or one that was not.
    dhcsr: Option<u32>,
    resets: usize,
    looks: usize,
    /// One of them saw that an instruction was executed.
    runs: bool,
    /// NRST was held low, and the core did not notice.
    deaf: bool,
    /// A program of this family chooses the core's supply.
    chooses: bool,
}

struct Step {
    fits: fn(&Seen) -> bool,
    says: fn(&Seen) -> String,
    remedy: &'static str,
}

const CAUSES: &[Step] = &[
    Step {
        fits: |seen| !seen.answers() && seen.held.is_none() && seen.volts.is_some_and(|volts| volts < NO_SUPPLY),
        says: |seen| format!("no voltage on the target ({:.2} V)", seen.volts.unwrap_or(0.0)),
        remedy: "power the board, and connect the probe's VREF to its supply",
    },
    Step {
        fits: |seen| !seen.answers() && seen.held.is_some(),
        says: |_| "the program turns SWD off: the debug port answers only while NRST is low".into(),
        remedy: "`connect under_reset`, then program something that leaves PA13 and PA14 alone",
    },
    Step {
        fits: |seen| !seen.answers() && seen.chooses,
        says: Seen::silent,
        remedy: "check SWDIO, SWCLK and ground; a chip closed by RDP 2 is as silent, and one whose program chose a supply that the \
                 board does not have: BOOT0 high, power off and on",
    },
    Step { fits: |seen| !seen.answers(), says: Seen::silent, remedy: "check SWDIO, SWCLK and ground; a chip closed by RDP 2 is as silent" },
    Step {
        fits: |seen| seen.dpidr.is_none() && seen.slow.is_some(),
        says: |_| format!("the debug port answers at {} kHz, and not at the clock asked for", attach::SLOWEST_KHZ),
        remedy: "shorter wires, or a slower clock: `adapter speed 100`",
    },
    Step {
        fits: |seen| seen.looks > 1 && seen.resets == seen.looks && !seen.runs,
        says: |seen| format!("the chip is held in reset: S_RESET_ST stays set (DHCSR = {:#010x})", seen.dhcsr.unwrap_or(0)),
        remedy: "look at NRST: a button, a supervisor, a short",
    },
    RESET_LOOP,
    Step {
        fits: |seen| seen.deaf,
        says: |_| "the chip sleeps (AP 0 answers WAIT), and NRST does not wake it".into(),
        remedy: "wire the probe's NRST to the chip's, or press its reset button while connecting",
    },
    Step {
        fits: |seen| seen.waits && seen.others,
        says: |_| "the core's domain is off: AP 0 answers WAIT, the chip's debug bus answers".into(),
        remedy: "`connect under_reset`",
    },
    Step {
        fits: |seen| seen.waits,
        says: |_| "the chip sleeps: AP 0 answers WAIT".into(),
        remedy: "`connect under_reset`; while it is developed, let DBGMCU keep the clocks on in sleep",
    },
];

/// For `connect under_reset`, to whoever has done that.
const NOT_STARTED: &str = "under reset it fails, too: keep the program from starting (BOOT0 high, power off and on), then `connect`";

const RESET_LOOP: Step = Step {
    fits: |seen| seen.resets >= RESETS.0,
    says: |seen| format!("the chip resets itself: {} times in {} ms", seen.resets, RESETS.1.as_millis()),
    remedy: "`connect under_reset` catches it before its first instruction",
};

impl Step {
    fn remedy_after(&self, under_reset: bool) -> &'static str {
        if under_reset && self.remedy.contains("`connect under_reset`") { NOT_STARTED } else { self.remedy }
    }
}

impl Seen {
    fn answers(&self) -> bool {
        self.dpidr.or(self.slow).is_some()
    }

    fn silent(&self) -> String {
        let volts = self.volts.map_or(String::new(), |volts| format!(" (target voltage {volts:.2} V)"));
        format!("nothing answers on SWD, at any clock, with NRST high or low{volts}")
    }
}

/// The attach's error, in the words of the first step that failed.
pub(super) fn explain(probe: &mut dyn Probe, target: &Target, options: &AttachOptions, ears: &Ears, error: Error) -> Error {
    if fatal(&error) || error.kind != Kind::Target {
        return error;
    }
    let mut seen = Seen { waits: matches!(error.cause, Cause::Wait { .. }), ..Seen::default() };
    seen.chooses = target.signs.iter().any(|row| row.fields.contains_key("supply.ready"));
    let mut found = Found::default();
    let climbed = climb(probe, target, options, ears, &mut seen, &mut found);
    let _ = probe.drive_nrst(false);
    let _ = found.put_back(probe);
    let _ = probe.detach();
    match (climbed, CAUSES.iter().find(|row| (row.fits)(&seen))) {
        (Err(fatal), _) => fatal,
        (Ok(()), Some(row)) => {
            let remedy = row.remedy_after(options.under_reset);
            Error { trail: Vec::new(), hint: None, message: (row.says)(&seen), ..error }.hint(remedy)
        }
        (Ok(()), None) => error,
    }
}

/// `Err`: what ends any attempt.
fn climb(probe: &mut dyn Probe, target: &Target, options: &AttachOptions, ears: &Ears, seen: &mut Seen, found: &mut Found) -> Result<()> {
    seen.volts = tolerated(probe.voltage())?.flatten();
    ears.debug(1, || format!("ladder: target voltage {:?}", seen.volts));
    let usual = options.khz.unwrap_or(target.khz).min(target.khz).min(super::clock::TRUSTED_KHZ);
    seen.dpidr = dpidr(probe, usual, false, ears)?;
    if seen.dpidr.is_none() {
        seen.slow = dpidr(probe, attach::SLOWEST_KHZ, false, ears)?;
    }
    if !seen.answers() {
        seen.held = dpidr(probe, attach::SLOWEST_KHZ, true, ears)?;
        return Ok(());
    }
    if tolerated(attach::power_up(probe, ears, found))?.is_none()
        || tolerated(identify::check_dpidr(probe, target, seen.dpidr.or(seen.slow).unwrap_or(0)))?.is_none()
    {
        return Ok(());
    }
    for place in target.idcode.iter().filter(|place| place.ap != target.cores[0].ap) {
        let idcode = tolerated(MemAp::new(probe, identify::ap_of(target, place.ap)).read32(place.address))?;
        ears.debug(1, || format!("ladder: IDCODE through AP {}: {idcode:08x?}", place.ap));
        seen.others |= idcode.is_some();
    }
    if !seen.waits {
        watch(probe, target, ears, seen)?;
    }
    if options.under_reset && seen.waits {
        probe.drive_nrst(true)?;
        probe.sleep(Duration::from_millis(target.reset.hold_ms));
        seen.deaf = matches!(dhcsr(probe, target), Err(error) if matches!(error.cause, Cause::Wait { .. }));
        ears.debug(1, || format!("ladder: NRST low {} the core", if seen.deaf { "does not reach" } else { "reaches" }));
    }
    Ok(())
}

/// A warning if the chip resets itself over and over: an attach that looked at it in between goes on.
pub(super) fn resets(probe: &mut dyn Probe, target: &Target, ears: &Ears) -> Result<()> {
    let mut seen = Seen::default();
    watch(probe, target, ears, &mut seen)?;
    if seen.resets >= RESETS.0 {
        ears.warn(format!("{}; {}", (RESET_LOOP.says)(&seen), RESET_LOOP.remedy));
    }
    Ok(())
}

/// Looks at DHCSR for as long as a reset loop may need to show itself; its first look only clears what is old.
fn watch(probe: &mut dyn Probe, target: &Target, ears: &Ears, seen: &mut Seen) -> Result<()> {
    match dhcsr(probe, target) {
        Err(error) if fatal(&error) => return Err(error),
        Err(error) => {
            seen.waits = matches!(error.cause, Cause::Wait { .. });
            ears.debug(1, || format!("ladder: DHCSR cannot be read: {}", error.message));
            return Ok(());
        }
        Ok(_) => {}
    }
    let until = probe.now() + RESETS.1;
    while probe.now() < until {
        probe.sleep(LOOK);
        if let Some(now) = tolerated(dhcsr(probe, target))? {
            seen.dhcsr = Some(now);
            seen.looks += 1;
            seen.runs |= now & S_RETIRE_ST != 0;
            seen.resets += usize::from(now & S_RESET_ST != 0);
        }
        (ears.breathe)()?;
    }
    ears.debug(1, || format!("ladder: DHCSR = {:08x?}, {} of {} looks saw a reset", seen.dhcsr, seen.resets, seen.looks));
    Ok(())
}

fn dhcsr(probe: &mut dyn Probe, target: &Target) -> Result<u32> {
    MemAp::new(probe, core_ap(target, 0)).read32(DHCSR)
}

/// DPIDR as a fresh connection finds it; `None`: nobody answers.
fn dpidr(probe: &mut dyn Probe, khz: u32, low: bool, ears: &Ears) -> Result<Option<u32>> {
    let found = match tolerated(probe.connect(&how(khz, low)))? {
        None => None,
        Some(_) => match probe.read_reg(Port::Dp, dp::DPIDR) {
            // Somebody answered this firmware, which keeps to itself who.
            Err(error) if error.cause == Cause::TooOld => Some(0),
            read => tolerated(read)?,
        },
    };
    ears.debug(1, || format!("ladder: DPIDR at {khz} kHz{}: {found:08x?}", if low { ", NRST low" } else { "" }));
    Ok(found)
}

/// `None`: it went wrong, and not so that nothing else can be tried.
pub(super) fn tolerated<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if fatal(&error) || error.kind == Kind::Probe && error.cause != Cause::TooOld => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_do_what_he_has_just_done() {
        for row in CAUSES {
            assert!(!row.remedy_after(true).contains("`connect under_reset`"));
            assert_eq!(row.remedy_after(false), row.remedy);
        }
    }
}
