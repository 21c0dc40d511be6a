//! Why a program does not run: first everything is read that can be without disturbing the chip, then the core is halted for
//! a look and let go, and only if it is asked for the chip is reset. What was read is `Evidence`; what it means stands in one
//! table (causes.rs). Everything written for a look is put back, but for the reset flags of a chip that is reset again and again:
//! they are cleared once, to see which comes next.

mod causes;
mod evidence;
mod facts;

pub use causes::{CAUSES, Finding, Row as CauseRow};

use super::ladder::tolerated;
use super::{Session, State};
use crate::adi::MemAp;
use crate::cortex_m::faults::{ExcReturn, IPSR, sp_before};
use crate::cortex_m::{ICSR, Sample, VTOR};
use crate::desc::applies;
use crate::error::{Kind, Result};
use crate::image::Image;
use crate::probe::MemOp;
use evidence::{Evidence, Frame, OF_ALL, OF_V7M};
use std::time::Duration;

/// Samples of a running core, and the time between two: coprime with what a program does every ms.
const SAMPLES: usize = 64;
const BETWEEN: Duration = Duration::from_micros(4_700);
/// A chip that has been reset while it was looked at, or by a watchdog once, is looked at for longer: one may take so long.
const WATCH: Duration = Duration::from_secs(3);
const WATCH_BETWEEN: Duration = Duration::from_millis(20);
const HALT_WAIT: Duration = Duration::from_millis(100);
/// How much of flash is looked through for the address that an image was linked for.
const HEAD: usize = 16 << 10;
/// A frame may lie behind what its handler pushed: so many words are looked through.
const PUSHED: u32 = 64;

/// What is wrong, what is wrong besides, and what that was read from.
pub struct Report {
    /// The most probable first; more than one only if they do not follow from the same evidence.
    pub findings: Vec<Finding>,
    pub facts: Vec<(&'static str, String)>,
}

impl Report {
    /// The cause in the first line, what it was read from, what to do; then what else was seen, and the facts.
    pub fn lines(&self) -> Vec<String> {
        let told = self.findings.iter().enumerate().flat_map(|(n, finding)| {
            let Finding { cause, evidence, remedy, .. } = finding;
            [
                format!("{}{cause}", if n == 0 { "" } else { "Also seen: " }),
                format!("  evidence: {evidence}"),
                format!("  remedy: {remedy}"),
            ]
        });
        told.chain(self.facts.iter().map(|(name, text)| format!("{name}: {text}"))).collect()
    }
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Nothing is disturbed: memory, registers and debug registers are as they were.
    Passive,
    /// The core stands for some milliseconds.
    Halt,
    /// The chip is reset, and caught at its reset vector.
    Reset,
}

impl Session {
    /// Why core `core` does not do what it should. `image`: what flash should hold.
    pub fn doctor(&mut self, core: usize, image: Option<Image>, depth: Depth) -> Result<Report> {
        let _phase = self.ears.phase("look", "");
        let mut evidence = self.look_on(core)?;
        // In reset, most of a chip cannot be read, and no core be halted.
        let depth = if evidence.held() { Depth::Passive } else { depth };
        image.filter(|_| !evidence.held()).map_or(Ok(()), |image| self.compare_file(image, &mut evidence))?;
        if depth >= Depth::Halt {
            self.what_resets(&mut evidence)?;
            self.look_closely(core, &mut evidence)?;
        }
        if depth >= Depth::Reset {
            self.reset(super::ResetMode::Halt)?;
            let (core, mut mem, _) = self.parts(core)?;
            evidence.caught = Some((core.pc(&mut mem)?, mem.read32(VTOR)?));
            self.reset_chip(false)?;
            self.wanted_halted = false;
        }
        Ok(Report { findings: causes::find(&evidence), facts: facts::facts(&evidence) })
    }

    /// The cause and what to do in a line, of a core that is known not to do what it should; the chip's reset flags stay.
    /// `None`: it is not known. Only what ends any command is an error: an interruption, a probe that is lost.
    pub fn verdict(&mut self, core: usize) -> Result<Option<String>> {
        let looked = self.look_on(core).and_then(|mut evidence| self.look_closely(core, &mut evidence).map(|()| evidence));
        let found = tolerated(looked)?.and_then(|evidence| causes::find(&evidence).into_iter().next());
        let known = found.filter(|finding| ![0, 8].contains(&finding.number));
        Ok(known.map(|finding| format!("{} {}", finding.cause, finding.remedy)))
    }

    /// What disturbs nothing.
    fn look_on(&mut self, core: usize) -> Result<Evidence> {
        let mut found = Evidence { names: self.names.clone(), ..Evidence::default() };
        let evidence = &mut found;
        evidence.core = core;
        evidence.take_chip(&self.die, &self.banks, self.volts);
        evidence.ram.extend(self.target.cores.get(core).into_iter().flat_map(|row| row.own_ram.clone()));
        let roms = self.target.areas.iter().filter(|area| area.name == "system memory" && applies(&area.dev_ids, self.dev_id));
        evidence.rom = roms.map(|area| area.address..area.address + area.size).collect();
        evidence.by_user = self.wanted_halted || self.cores.get(core).and_then(Option::as_ref).is_some_and(|core| core.own_halt);
        let dev_id = self.dev_id;
        let target = self.target.clone();
        let ap = super::core_ap(&self.target, core);
        let mem = &mut MemAp::new(&mut *self.probe, ap);
        for row in target.signs.iter().filter(|row| applies(&row.dev_ids, dev_id)) {
            let Some(value) = word(mem, row.address)? else { continue };
            evidence.pages.insert(row.register.clone(), row.address);
            evidence.signs.extend(row.fields.iter().map(|(name, bits)| (name.clone(), bits.of(value))));
        }
        self.sample(core, evidence)?;
        if evidence.dual && core == 0 {
            evidence.other = Some(self.state(1)?);
        }
        let mem = &mut MemAp::new(&mut *self.probe, ap);
        let registers = OF_ALL.iter().chain(OF_V7M.iter().filter(|_| !evidence.v6m));
        for address in registers.copied().chain([ICSR]) {
            evidence.registers.extend(word(mem, address)?.map(|value| (address, value)));
        }
        let options = tolerated(self.options())?.unwrap_or_default();
        evidence.signs.extend(options.into_iter().map(|option| (format!("option.{}", option.field.name), option.value)));
        let mem = &mut MemAp::new(&mut *self.probe, ap);
        if evidence.v6m {
            evidence.zero = word(mem, 0)?.zip(word(mem, 4)?).map(|(sp, pc)| [sp, pc]);
        }
        let table = evidence.get(VTOR);
        let starts: Vec<u32> = evidence.flash.iter().map(|bank| bank.start).chain([table]).collect();
        for start in starts {
            evidence.tables.extend(words::<16>(mem, start)?.map(|words| (start, words)));
        }
        let around = evidence.pc();
        code_around(mem, evidence, around)?;
        let log = evidence.symbol("_SEGGER_RTT");
        for at in log.into_iter().flat_map(|log| (0..12).map(move |n| log.wrapping_add(4 * n))) {
            evidence.memory.extend(word(mem, at)?.map(|value| (at, value)));
        }
        Ok(found)
    }

    /// A running core's pc, and whether it is reset meanwhile.
    fn sample(&mut self, core: usize, evidence: &mut Evidence) -> Result<()> {
        let state = self.state(core)?;
        let (core, mut mem, ears) = self.parts(core)?;
        evidence.state = Some(state);
        (evidence.v6m, evidence.part) = (core.part.v6m, core.part.name);
        evidence.at_first = core.at_first();
        let found = core.open_samples(&mut mem)?;
        let mut take = || -> Result<()> {
            let start = mem.now();
            loop {
                // `None`: in the middle of a reset.
                evidence.samples.extend(tolerated(core.sample(&mut mem))?);
                let resets = evidence.resets().0 > 0 || evidence.reset_flags().iter().any(|flag| flag.contains("WDG"));
                let done =
                    if resets { mem.now() - start >= WATCH } else { evidence.samples.len() >= SAMPLES || mem.now() - start >= WATCH };
                if done || matches!(state, State::Halted(_) | State::Unavailable) && !evidence.samples.is_empty() {
                    return Ok(());
                }
                (ears.breathe)()?;
                mem.sleep(if resets { WATCH_BETWEEN } else { BETWEEN });
            }
        };
        let taken = take();
        taken.and(core.close_samples(&mut mem, found))
    }

    /// Is flash what the image says, and is that all there is to it?
    fn compare_file(&mut self, mut image: Image, evidence: &mut Evidence) -> Result<()> {
        evidence.misfit = tolerated(self.misfit(&image))?.flatten();
        let to_ram = |address: &u32| evidence.ram_of(address | 1).is_some();
        evidence.for_ram = image.segments.iter().map(|segment| segment.address).find(to_ram);
        image.segments.retain(|segment| evidence.in_flash(segment.address));
        evidence.unread = match evidence.sign("option.RDP") {
            _ if image.segments.is_empty() => Some("none of it is in flash"),
            Some(level) if level != 0xAA => Some("readout protection"),
            _ => None,
        };
        if evidence.unread.is_some() {
            return Ok(());
        }
        match self.verify(&image) {
            Err(error) if error.kind == Kind::Mismatch || error.is_fault() => evidence.differs = Some(error.message),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        Ok(())
    }

    /// With the core halted; it goes on as it was.
    fn look_closely(&mut self, core: usize, evidence: &mut Evidence) -> Result<()> {
        let debugged = evidence.samples.last().is_some_and(Sample::debugged);
        let halted = matches!(evidence.state, Some(State::Halted(_)));
        let (core, mut mem, ears) = self.parts(core)?;
        if tolerated(core.halt(&mut mem, ears, HALT_WAIT))?.is_none() {
            return core.let_go(&mut mem, debugged);
        }
        let looked = core.stood(&mut mem).and_then(|stood| {
            evidence.stood = Some(stood);
            find_frame(&mut mem, evidence)?;
            let places = [Some(stood.pc()), evidence.frame.map(|frame| frame.pc())];
            places.into_iter().try_for_each(|at| code_around(&mut mem, evidence, at))?;
            if evidence.faulted() || evidence.booted_rom() {
                look_for_tables(&mut mem, evidence)
            } else {
                nearest_table(&mut mem, evidence)
            }
        });
        let gone = if halted { Ok(()) } else { core.let_go(&mut mem, debugged) };
        // A chip that is reset meanwhile runs again: what was read before counts.
        tolerated(looked)?;
        gone
    }

    /// Of a chip that is reset again and again: its old reset flags are cleared, and those read that the next reset sets.
    fn what_resets(&mut self, evidence: &mut Evidence) -> Result<()> {
        if evidence.resets().0 < 2 {
            return Ok(());
        }
        let flags = self.target.signs.iter().find(|row| row.fields.contains_key("reset.clear") && applies(&row.dev_ids, self.dev_id));
        let Some(flags) = flags.cloned() else { return Ok(()) };
        let clear = flags.fields["reset.clear"].place().0;
        let mut mem = MemAp::new(&mut *self.probe, super::core_ap(&self.target, 0));
        // The bit itself stays set on a G0, and holds the flags down.
        for value in [1 << clear, 0] {
            tolerated(mem.update(flags.address, 1 << clear, value))?;
        }
        let start = mem.now();
        while evidence.again.values().all(|flag| *flag == 0) && mem.now() - start < WATCH {
            (self.ears.breathe)()?;
            mem.sleep(WATCH_BETWEEN);
            let Some(value) = tolerated(mem.read32(flags.address))? else { continue };
            evidence.again = flags
                .fields
                .iter()
                .filter(|(name, _)| name.starts_with("reset."))
                .map(|(name, bits)| (name.clone(), bits.of(value)))
                .collect();
        }
        Ok(())
    }
}

/// `None`: nothing answers there.
fn word(mem: &mut MemAp, address: u32) -> Result<Option<u32>> {
    Ok(words::<1>(mem, address)?.map(|[word]| word))
}

fn words<const N: usize>(mem: &mut MemAp, address: u32) -> Result<Option<[u32; N]>> {
    let mut ops: [MemOp; N] = std::array::from_fn(|n| MemOp::read(address.wrapping_add(4 * n as u32) & !3));
    Ok(tolerated(mem.batch(&mut ops))?.map(|()| ops.map(|op| op.value())))
}

/// Code before and behind a place in flash, or another memory where code may be, with what it loads from its literal pool.
fn code_around(mem: &mut MemAp, evidence: &mut Evidence, place: Option<u32>) -> Result<()> {
    let Some(place) = place.filter(|pc| evidence.code(*pc)) else { return Ok(()) };
    let from = place.saturating_sub(32) & !3;
    let mut wanted: Vec<u32> = (0..17).map(|n| from + 4 * n).collect();
    for at in wanted.clone() {
        evidence.memory.extend(word(mem, at)?.map(|value| (at, value)));
    }
    wanted = wanted
        .into_iter()
        .flat_map(|at| [at, at + 2])
        .filter_map(|at| {
            let op = evidence.opcode(at)?[0];
            (op >> 11 == 0b01001).then(|| ((at + 4) & !3) + 4 * u32::from(op & 0xFF))
        })
        .collect();
    for at in wanted {
        evidence.memory.extend(word(mem, at)?.map(|value| (at, value)));
    }
    Ok(())
}

/// What the last exception pushed, by EXC_RETURN or by looking for it.
fn find_frame(mem: &mut MemAp, evidence: &mut Evidence) -> Result<()> {
    let Some(stood) = evidence.stood else { return Ok(()) };
    if stood.xpsr() & IPSR == 0 {
        evidence.no_frame = "no exception is being handled".into();
        return Ok(());
    }
    let link = ExcReturn::from(stood.lr());
    let on_psp = link.valid && link.psp;
    let starts: Vec<(u32, bool)> = match on_psp {
        true => vec![(stood.psp(), true)],
        false => (0..PUSHED).map(|n| (stood.msp().wrapping_add(4 * n), n == 0 && link.valid)).collect(),
    };
    for (at, sure) in starts {
        if evidence.ram_of(at.wrapping_add(32)).is_none_or(|ram| at < ram.start) {
            if evidence.no_frame.is_empty() {
                evidence.no_frame = format!("the stack pointer {at:#010x} is in no RAM of this chip");
            }
            return Ok(());
        }
        let Some(words) = words::<8>(mem, at)? else { continue };
        let frame = Frame { at, words, sp: sp_before(at, link.valid && link.extended, words[7]), on_psp };
        if evidence.believes(&frame, sure) {
            evidence.frame = Some(frame);
            evidence.no_frame.clear();
            return Ok(());
        }
    }
    evidence.no_frame = format!("nothing on the stack at {:#010x} looks like one", stood.msp());
    Ok(())
}

/// Where a vector table may be that is not the one in use: every KiB of the first 64, every sector of the first 16, and
/// behind a header of 0x200 bytes.
fn look_for_tables(mem: &mut MemAp, evidence: &mut Evidence) -> Result<()> {
    let Some(bank) = evidence.bank().cloned() else { return Ok(()) };
    let sectors = (1..16).map(|n| n << 17).flat_map(|at| [at, at + 0x200]);
    let places: Vec<u32> = (1..64).map(|n| n << 10).chain(sectors).map(|at| bank.start + at).filter(|at| evidence.in_flash(*at)).collect();
    for group in places.chunks(32) {
        let mut ops: Vec<MemOp> = group.iter().flat_map(|at| [*at, *at + 4]).map(MemOp::read).collect();
        // `None`: a damaged word, or protected flash.
        let Some(()) = tolerated(mem.batch(&mut ops))? else { continue };
        for (at, pair) in group.iter().zip(ops.chunks_exact(2)) {
            let (sp, reset) = (pair[0].value(), pair[1].value());
            // Its code is behind it, and not far.
            let own = reset.wrapping_sub(*at) < 1 << 20;
            if evidence.sp_fits(sp) && evidence.reset_fits(reset) && own {
                evidence.tables.extend(words::<16>(mem, *at)?.map(|words| (*at, words)));
            }
        }
    }
    let reset = evidence.vectors().map(|table| table[1]).filter(|reset| evidence.in_flash(*reset));
    code_around(mem, evidence, reset)?;
    let mut head = vec![0; HEAD];
    evidence.head = tolerated(mem.read(bank.start, &mut head))?.map_or(Vec::new(), |()| head);
    Ok(())
}

/// A program that is far behind the table in use may have one of its own.
fn nearest_table(mem: &mut MemAp, evidence: &mut Evidence) -> Result<()> {
    let table = evidence.get(VTOR);
    match evidence.frame.map(|frame| frame.pc()).or(evidence.pc()).filter(|pc| evidence.in_flash(*pc)) {
        Some(pc) if pc.wrapping_sub(table) >= 1 << 10 => look_for_tables(mem, evidence),
        _ => Ok(()),
    }
}
