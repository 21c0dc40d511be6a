//! Coming in: connect, power up, identify, the target file's attach writes; under reset the cores are caught first.

use super::clock::{self, Clock, TRUSTED_KHZ};
use super::identify::{self, Ahead};
use super::{AttachOptions, Ran, Reason, Session, State, asleep, core_ap, fatal, ladder};
use crate::adi::{MemAp, dp};
use crate::cortex_m::{self, Armed, Core};
use crate::desc::{self, CoreRow, Target, Write};
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::event::Ears;
use crate::probe::{Ap, Connect, Deadline, MemOp, Port, Probe};
use std::rc::Rc;
use std::time::Duration;

/// DP ABORT: ORUNERRCLR, WDERRCLR, STKERRCLR, STKCMPCLR (ADIv5.2 B2.2.1)
const CLEAR_STICKY: u32 = 0x1E;
/// DP CTRL/STAT (ADIv5.2 B2.2.2): CSYSPWRUPREQ and CDBGPWRUPREQ. CORUNDETECT (bit 0) stays 0: ST-Link firmware does not bear it.
const POWER_REQUESTS: u32 = 1 << 30 | 1 << 28;
/// CSYSPWRUPACK and CDBGPWRUPACK
const POWER_ACKS: u32 = 1 << 31 | 1 << 29;
const POWER_WAIT: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(1);
/// A core whose NRST rose long ago has halted by now, or never will.
const CATCH_WAIT: Duration = Duration::from_millis(100);

/// A wire that does not bear this is broken.
pub(super) const SLOWEST_KHZ: u32 = 100;

/// ST's tools speak of a missing target below this, and no STM32 runs below 1.6 V.
const LOW_VOLTS: f32 = 1.5;

/// What attach changed outside the cores, and what was there before.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// DP CTRL/STAT; `None` where nothing was asked for.
    ctrl_stat: Option<u32>,
    /// The target file's writes that changed something, in the order they were made.
    writes: Vec<Saved>,
    /// Cores that were caught under reset, by number.
    armed: Vec<(usize, Armed)>,
    under_reset: bool,
}

#[derive(Debug)]
struct Saved {
    name: String,
    ap: Ap,
    address: u32,
    mask: u32,
    original: u32,
}

impl Session {
    /// Connect, identify, apply the attach writes. Neither halts nor resets (under reset: halted at the reset vector).
    pub fn attach(mut probe: Box<dyn Probe>, target: Rc<Target>, options: &AttachOptions, ears: Ears) -> Result<Session> {
        let mut found = Found { under_reset: options.under_reset, ..Found::default() };
        let most = options.khz.map_or(target.khz, |khz| khz.min(target.khz));
        if let Some(khz) = options.khz.filter(|_| options.exact) {
            clock::check_exact(&probe.speeds()?, khz, target.khz)?;
        }
        let came = come_down(&mut *probe, &target, options, &ears, &mut found, most);
        let ((khz, most), chip) = came.map_err(|error| ladder::explain(&mut *probe, &target, options, &ears, error))?;
        let clock = Clock { most, exact: options.exact, settled: false };
        let Chip { die, dev_id, rev_id, volts, banks, cores } = chip;
        let mut session = Session {
            probe,
            target,
            die,
            dev_id,
            rev_id,
            khz,
            volts,
            banks,
            ears,
            names: Rc::default(),
            ran: vec![Ran::default(); cores.len()],
            cores,
            found,
            clock,
            flash_changed: false,
            semihosting: Default::default(),
            no_guest: false,
            wanted_halted: false,
            rtt: None,
        };
        let hurried = if options.exact { session.hurry(u64::MAX) } else { Ok(()) };
        if let Err(error) = hurried.and_then(|()| session.catch_at_vector()) {
            // The reason to give up is the one to report.
            let _ = session.detach();
            return Err(error);
        }
        Ok(session)
    }

    /// After a connect under reset every core stands at its reset vector.
    fn catch_at_vector(&mut self) -> Result<()> {
        if !self.found.under_reset {
            return Ok(());
        }
        let armed: Vec<usize> = self.found.armed.iter().map(|(core, _)| *core).collect();
        let caught = self.available().iter().all(|core| armed.contains(core)) && self.caught(&armed).unwrap_or(false);
        if !caught {
            // It could not be caught in the first reset, so it is in a second one.
            self.reset_chip(true).during("halting at the reset vector")?;
            if self.found.armed.iter().any(|(_, armed)| armed.deaf) {
                self.ears.warn("NRST did not reset the chip, SYSRESETREQ did: wire the probe's NRST to the chip's");
            }
        }
        for core in self.cores.iter_mut().flatten() {
            core.own_halt = true;
        }
        Ok(())
    }

    /// Did all of these stop at their vector? One that was halted in a hurry after NRST rose stands somewhere else.
    fn caught(&mut self, cores: &[usize]) -> Result<bool> {
        for core in cores {
            let (core, mut mem, ears) = self.parts(*core)?;
            core.halted_by_reset(&mut mem, ears, CATCH_WAIT)?;
            if core.state(&mut mem)? != State::Halted(Reason::VectorCatch) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A reset takes these away on some families: write them again. What was found at attach stays what was found.
    pub(super) fn apply_again(&mut self) -> Result<()> {
        power_up(&mut *self.probe, &self.ears, &mut Found::default())?;
        for write in self.target.attach.iter().filter(|write| desc::applies(&write.dev_ids, self.dev_id)) {
            change(&mut *self.probe, &self.target, write, &self.ears, &mut Vec::new())?;
        }
        Ok(())
    }
}

pub(super) fn how(khz: u32, under_reset: bool) -> Connect {
    Connect { khz, under_reset }
}

/// Come in and identify, at slower and slower clocks where that looks like the wire's fault: the chip's ids are the test of
/// a clock that needs no pattern. What two clocks say alike is the truth. The
/// clock taken, and the bound that is left, for what the wire did not bear is not tried again.
fn come_down(
    probe: &mut dyn Probe,
    target: &Target,
    options: &AttachOptions,
    ears: &Ears,
    found: &mut Found,
    most: u32,
) -> Result<((u32, u32), Chip)> {
    let (mut khz, mut first) = (most.min(TRUSTED_KHZ), None::<Error>);
    loop {
        let came =
            come_in(probe, target, options, ears, found, khz).and_then(|khz| Ok((khz, examine_chip(probe, target, ears, found, khz)?)));
        let error = match came {
            Ok((khz, chip)) => {
                if let Some(error) = &first {
                    ears.warn(format!("the clock is down to {khz} kHz; above it: {}", error.message));
                }
                return Ok(((khz, if first.is_some() { khz } else { most }), chip));
            }
            Err(error) => error,
        };
        leave_early(probe, target, found);
        let wire = error.kind == Kind::Target && matches!(error.cause, Cause::Link | Cause::Fault { .. } | Cause::None);
        let alike = error.cause == Cause::None && first.as_ref().is_some_and(|first| first.message == error.message);
        let slower = match wire && !alike && !options.exact {
            true => clock::below(&probe.speeds()?, khz).filter(|khz| *khz >= SLOWEST_KHZ),
            false => None,
        };
        match slower {
            Some(slower) => khz = slower,
            None => return Err(if wire { first.unwrap_or(error) } else { error }),
        }
        first.get_or_insert(error);
    }
}

/// Into the debug port; under reset up to cores that are caught. The clock taken, kHz.
fn come_in(probe: &mut dyn Probe, target: &Target, options: &AttachOptions, ears: &Ears, found: &mut Found, khz: u32) -> Result<u32> {
    let khz = probe.connect(&how(khz, options.under_reset))?;
    if options.under_reset {
        probe.drive_nrst(true)?;
        probe.sleep(Duration::from_millis(target.reset.hold_ms));
    }
    if options.under_reset {
        identified_port(probe, target, ears, found)?;
        release_reset(probe, target, found)?;
    }
    (ears.breathe)()?;
    Ok(khz)
}

/// The debug port powered, and of the right family.
fn identified_port(probe: &mut dyn Probe, target: &Target, ears: &Ears, found: &mut Found) -> Result<()> {
    let dpidr = probe.read_reg(Port::Dp, dp::DPIDR).during("reading DPIDR")?;
    power_up(probe, ears, found)?;
    identify::check_dpidr(probe, target, dpidr)
}

/// Clear sticky errors, ask for power, wait for it. What CTRL/STAT was is noted before it is written: the end may be an error.
pub(super) fn power_up(probe: &mut dyn Probe, ears: &Ears, found: &mut Found) -> Result<()> {
    let was = probe.read_reg(Port::Dp, dp::CTRL_STAT).during("reading DP CTRL/STAT")?;
    probe.write_reg(Port::Dp, dp::ABORT, CLEAR_STICKY)?;
    if was & POWER_REQUESTS == POWER_REQUESTS && was & POWER_ACKS == POWER_ACKS {
        return Ok(());
    }
    found.ctrl_stat.get_or_insert(was);
    probe.write_reg(Port::Dp, dp::CTRL_STAT, POWER_REQUESTS)?;
    let deadline = Deadline::after(probe, POWER_WAIT);
    loop {
        let late = deadline.passed(probe);
        let now = probe.read_reg(Port::Dp, dp::CTRL_STAT)?;
        if now & POWER_ACKS == POWER_ACKS {
            return Ok(());
        }
        if late {
            let what = format!("the debug port does not power up (DP CTRL/STAT = {now:#010x})");
            return Err(Error::target(what).cause(Cause::Timeout).hint("switch the board off and on, or connect under reset"));
        }
        (ears.breathe)()?;
        probe.sleep(POLL);
    }
}

/// Catch every core that can be, release NRST, and catch the others as they come up.
fn release_reset(probe: &mut dyn Probe, target: &Target, found: &mut Found) -> Result<()> {
    arm_cores(probe, target, found, false)?;
    probe.drive_nrst(false)?;
    let deadline = Deadline::after(probe, Duration::from_millis(target.reset.settle_ms));
    while !deadline.passed(probe) {
        arm_cores(probe, target, found, true)?;
        probe.sleep(POLL);
    }
    Ok(())
}

fn arm_cores(probe: &mut dyn Probe, target: &Target, found: &mut Found, hurry: bool) -> Result<()> {
    for core in 0..target.cores.len() {
        if found.armed.iter().any(|(armed, _)| *armed == core) || !identify::ap_answers(probe, target.cores[core].ap)? {
            continue;
        }
        match cortex_m::arm(&mut MemAp::new(probe, core_ap(target, core)), hurry) {
            Ok(armed) => found.armed.push((core, armed)),
            Err(error) if fatal(&error) => return Err(error),
            // The H7's AP0 does not answer while D1 is held in reset: there is a next time.
            Err(_) => {}
        }
    }
    Ok(())
}

/// What `examine_chip` learns.
struct Chip {
    die: crate::desc::Die,
    dev_id: u32,
    rev_id: u32,
    volts: Option<f32>,
    banks: Vec<crate::flash::Bank>,
    cores: Vec<Option<Core>>,
}

/// DEV_ID first: before the chip is known to be the target file's, nothing in it is written. The attach writes come
/// before the cores, because a sleeping H7 core's AP answers only after them.
fn examine_chip(probe: &mut dyn Probe, target: &Target, ears: &Ears, found: &mut Found, khz: u32) -> Result<Chip> {
    let volts = probe.voltage()?;
    let quick = if found.under_reset { None } else { at_once(probe, target, ears, found)? };
    let (idcode, ahead) = match quick {
        Some(quick) => quick,
        None => (slowly(probe, target, ears, found)?, Ahead::new()),
    };
    let (dev_id, rev_id) = (idcode & 0xFFF, idcode >> 16);
    let die = identify::find_die(probe, target, &ahead, dev_id)?;
    let mut cores = Vec::new();
    for row in target.cores.iter().take(die.cores) {
        let looked = Core::look(row.part).map(|address| ahead.get(&(row.ap, address)).copied());
        cores.push(match looked {
            [Some(cpuid), Some(demcr), Some(mvfr0), Some(dhcsr)] => {
                Some(Core::found(&row.name, row.part, [cpuid, demcr, mvfr0, dhcsr], probe.now())?)
            }
            _ => examine(probe, row)?,
        });
    }
    if !ahead.is_empty() && cores.iter().flatten().any(|core| core.reset_seen) {
        ladder::resets(probe, target, ears)?;
    }
    for (core, armed) in &found.armed {
        if let Some(core) = cores.get_mut(*core).and_then(Option::as_mut) {
            core.found_before(armed);
        }
    }
    let kib = identify::flash_kib(probe, target, &ahead, &die, ears)?;
    let banks = identify::banks(&die, kib, core_ap(target, 0), volts);
    if let Some(volts) = volts.filter(|volts| *volts < LOW_VOLTS) {
        ears.warn(format!("the chip answers, but the target voltage reads {volts:.2} V: VREF is not wired to its supply"));
    }
    ears.debug(1, || format!("{} (DEV_ID {dev_id:#05x}, REV_ID {rev_id:#06x}), {kib} KiB flash, {khz} kHz", die.name));
    Ok(Chip { die, dev_id, rev_id, volts, banks, cores })
}

/// Step by step, which works under reset and for a core that sleeps, and whose errors say what is wrong. IDCODE.
fn slowly(probe: &mut dyn Probe, target: &Target, ears: &Ears, found: &mut Found) -> Result<u32> {
    if !found.under_reset {
        identified_port(probe, target, ears, found)?;
    }
    let (dev_id, rev_id) = identify::read_idcode(probe, target)?;
    let mut left = Vec::new();
    for write in target.attach.iter().filter(|write| desc::applies(&write.dev_ids, dev_id)) {
        left.extend(change(probe, target, write, ears, &mut found.writes)?.map(|error| (write.name.as_str(), error.message)));
    }
    if let Some((_, why)) = left.first() {
        let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
        ears.warn(format!("{} stay as they are, so a core that sleeps may not answer: {why}", names.join(", ")));
    }
    Ok(dev_id | rev_id << 16)
}

/// A chip that is awake, through AP 0, which is open: who it is in one batch, in another the attach writes, what tells its
/// variants apart, and the first core. `None`: it is not so, and nothing tells why; the long way will.
fn at_once(probe: &mut dyn Probe, target: &Target, ears: &Ears, found: &mut Found) -> Result<Option<(u32, Ahead)>> {
    match try_at_once(probe, target, ears, found) {
        Err(error) if fatal(&error) || error.kind != Kind::Target => Err(error),
        Err(_) => Ok(None),
        done => done,
    }
}

fn try_at_once(probe: &mut dyn Probe, target: &Target, ears: &Ears, found: &mut Found) -> Result<Option<(u32, Ahead)>> {
    let (Some(core), Some(place)) = (target.cores.first(), target.idcode.iter().find(|place| place.ap == 0)) else { return Ok(None) };
    let near = |write: &Write| write.alias.or((write.ap == 0).then_some(write.address));
    let all: Option<Vec<u32>> = target.attach.iter().map(near).collect();
    let Some(all) = all.filter(|_| core.ap == 0) else { return Ok(None) };
    let (ap, look) = (core_ap(target, 0), Core::look(core.part));
    // Twice, so that a wire that garbles words is not taken for a chip that is written to.
    // DHCSR, so that a reset which its next look shows was one of now.
    let who = [place.address, look[0], place.address, look[0], look[3]];
    let mut ops: Vec<MemOp> = who.into_iter().chain(all.iter().copied()).map(MemOp::read).collect();
    probe.batch(ap, &mut ops)?;
    let [idcode, cpuid] = [ops[0].value(), ops[1].value()];
    let (dev_id, same) = (idcode & 0xFFF, [ops[2].value(), ops[3].value()] == [idcode, cpuid]);
    if !same || !target.dies.iter().any(|die| die.dev_id == dev_id) || cpuid >> 4 & 0xFFF != core.part {
        return Ok(None);
    }
    let due = target
        .attach
        .iter()
        .zip(&all)
        .zip(&ops[who.len()..])
        .filter(|((write, _), op)| desc::applies(&write.dev_ids, dev_id) && op.value() & write.mask != write.value);
    let due: Vec<(&Write, u32, u32)> = due.map(|((write, address), op)| (write, *address, op.value())).collect();
    let mut ops = Vec::new();
    for (write, address, original) in &due {
        found.writes.push(Saved { name: write.name.clone(), ap, address: *address, mask: write.mask, original: *original });
        // Once more: what was read while the register had no clock is not what is in it.
        ops.extend([MemOp::read(*address), MemOp::write(*address, original & !write.mask | write.value), MemOp::read(*address)]);
    }
    ops.extend(identify::asked(target, dev_id).into_iter().chain(look).map(MemOp::read));
    probe.batch(ap, &mut ops)?;
    let first = found.writes.len() - due.len();
    for ((n, (write, address, assumed)), ops) in due.iter().enumerate().zip(ops.chunks_exact(3)) {
        let (original, now) = (ops[0].value(), ops[2].value());
        found.writes[first + n].original = original;
        if (original ^ assumed) & !write.mask != 0 {
            MemAp::new(probe, ap).write32(*address, original & !write.mask | write.value)?;
        }
        kept(write, now, ears);
    }
    Ok(Some((idcode, ops[3 * due.len()..].iter().map(|op| ((0, op.address), op.value())).collect())))
}

fn kept(write: &Write, now: u32, ears: &Ears) {
    let Write { name, mask, value, .. } = write;
    if now & mask != *value {
        ears.warn(format!("{name} reads {now:#010x} after {value:#010x} was written with mask {mask:#010x}"));
    }
}

/// `None`: its AP is not there or does not answer, which is a state and no error.
pub(super) fn examine(probe: &mut dyn Probe, row: &CoreRow) -> Result<Option<Core>> {
    if !identify::ap_answers(probe, row.ap)? {
        return Ok(None);
    }
    match Core::examine(&row.name, row.part, &mut MemAp::new(probe, Ap { index: row.ap, csw: row.csw })) {
        Ok(core) => Ok(Some(core)),
        Err(error) if matches!(error.cause, Cause::Wait { .. } | Cause::Fault { .. } | Cause::Timeout) => Ok(None),
        // The wire, or something that answered and is not this core.
        Err(error) => Err(error),
    }
}

/// One attach write, read back. What there is to put back is noted before it is made: its end may be an error. `Some`:
/// the probe's firmware is too old to make it.
fn change(probe: &mut dyn Probe, target: &Target, write: &Write, ears: &Ears, saved: &mut Vec<Saved>) -> Result<Option<Error>> {
    let ap = identify::ap_of(target, write.ap);
    let mem = &mut MemAp::new(probe, ap);
    let doing = || format!("setting {} at {:#010x} (AP{})", write.name, write.address, write.ap);
    let original = match mem.read32(write.address) {
        Err(Error { cause: Cause::TooOld, .. }) if write.alias.is_some() && write.ap != 0 => {
            let near = Write { ap: 0, address: write.alias.unwrap_or(write.address), alias: None, ..write.clone() };
            return change(probe, target, &near, ears, saved);
        }
        // Without it a sleeping core may not answer; the probe can do all else.
        Err(error) if error.cause == Cause::TooOld => return Ok(Some(error)),
        read => read.map_err(asleep).during(doing())?,
    };
    if original & write.mask == write.value {
        return Ok(None);
    }
    saved.push(Saved { name: write.name.clone(), ap, address: write.address, mask: write.mask, original });
    mem.write32(write.address, original & !write.mask | write.value).map_err(asleep).during(doing())?;
    let now = mem.read32(write.address).during(doing())?;
    kept(write, now, ears);
    Ok(None)
}

impl Found {
    /// Attach writes in reverse, then the power requests. Every step is tried; the first error is the result.
    pub(super) fn put_back(&mut self, probe: &mut dyn Probe) -> Result<()> {
        let mut results = Vec::new();
        for saved in self.writes.drain(..).rev() {
            let back = MemAp::new(probe, saved.ap).update(saved.address, saved.mask, saved.original & saved.mask);
            results.push(back.map(|_| ()).during(format!("putting back {}", saved.name)));
        }
        if let Some(found) = self.ctrl_stat.take().filter(|found| found & POWER_REQUESTS != POWER_REQUESTS) {
            results.push(probe.write_reg(Port::Dp, dp::CTRL_STAT, found & POWER_REQUESTS).during("putting back DP CTRL/STAT"));
        }
        results.into_iter().collect()
    }
}

/// An attach that failed leaves what it found. The error that ended it is the one to report.
fn leave_early(probe: &mut dyn Probe, target: &Target, found: &mut Found) {
    let _ = probe.drive_nrst(false);
    for (core, armed) in std::mem::take(&mut found.armed) {
        let _ = cortex_m::disarm(&mut MemAp::new(probe, core_ap(target, core)), &armed);
    }
    let _ = found.put_back(probe);
    let _ = probe.detach();
}
