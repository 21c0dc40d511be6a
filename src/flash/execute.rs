//! Carrying out a plan, and erasing: the only places that drive a flash controller, always unlock → … → lock.

use super::controller::Controller;
use super::loader::{self, Help, Task, What};
use super::{Action, Bank, Erase, FlashDriver, Plan, Step};
use crate::adi::MemAp;
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::event::map::SectorMap;
use crate::event::{Ears, Event};

/// What `execute` did, in bytes and in the chip's time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    pub erased_sectors: u32,
    pub erased_bytes: u64,
    pub written_bytes: u64,
    pub skipped_sectors: u32,
    pub kept_bytes: u64,
    pub erase_seconds: f64,
    pub write_seconds: f64,
}

/// Would `execute` refuse? A bank that cannot be programmed now, a sector to be changed that is write protected. Changes nothing.
pub fn check_plan(plan: &Plan, banks: &[Bank], driver: &dyn FlashDriver, mem: &mut MemAp) -> Result<()> {
    for (bank, steps) in by_bank(plan, banks) {
        let mem = &mut MemAp::new(&mut *mem.probe, bank.ap);
        driver.check(mem, bank)?;
        let changed = steps.iter().filter(|step| step.action != Action::Skip).map(|step| step.sector);
        refuse_sectors(changed, bank, &driver.protection(mem, bank)?)?;
    }
    Ok(())
}

/// Less than this is written sooner than the loader is in RAM.
const WORTH_A_LOADER: u64 = 1024;

/// Carry out a plan: per bank unlock → erase and program → lock, lock also after an error. On error and Ctrl-C the trail
/// lists what is erased and written. All that `check_plan` refuses is refused before anything is changed.
pub fn execute(plan: &Plan, banks: &[Bank], driver: &dyn FlashDriver, mem: &mut MemAp, ears: &Ears, help: Option<Help>) -> Result<Done> {
    check_plan(plan, banks, driver, mem)?;
    let mut work = Work::new(plan, ears);
    let (done, changed): (Vec<_>, Vec<_>) =
        by_bank(plan, banks).into_iter().partition(|(_, steps)| steps.iter().all(|step| step.action == Action::Skip));
    for (bank, _) in done {
        // Another tool may have written it and left the chip unable to boot it (G0: EMPTY).
        driver.boot(&mut MemAp::new(&mut *mem.probe, bank.ap), bank)?;
    }
    let worth = plan.write_bytes() >= WORTH_A_LOADER;
    let result = match help.filter(|help| worth && help.ram.is_enough()) {
        Some(help) => {
            let banks: Vec<&Bank> = changed.iter().map(|(bank, _)| *bank).collect();
            let Help { core, ram } = help;
            all_unlocked(&banks, driver, mem, ears, &mut |mem| work.loaded(&changed, driver, mem, Help { core: &mut *core, ram }))
        }
        None => changed.iter().try_for_each(|(bank, steps)| {
            let mem = &mut MemAp::new(&mut *mem.probe, bank.ap);
            unlocked(bank, driver, mem, ears, |mem| steps.iter().try_for_each(|step| work.step(step, bank, driver, mem)))
        }),
    };
    result.map_err(|error| work.report(error))?;
    Ok(work.done)
}

fn all_unlocked(
    banks: &[&Bank],
    driver: &dyn FlashDriver,
    mem: &mut MemAp,
    ears: &Ears,
    work: &mut dyn FnMut(&mut MemAp) -> Result<()>,
) -> Result<()> {
    let Some((bank, others)) = banks.split_first() else { return work(mem) };
    let mem = &mut MemAp::new(&mut *mem.probe, bank.ap);
    unlocked(bank, driver, mem, ears, |mem| all_unlocked(others, driver, mem, ears, work))
}

/// Each bank that a plan concerns, with its steps.
pub fn by_bank<'p, 'b>(plan: &'p Plan, banks: &'b [Bank]) -> Vec<(&'b Bank, Vec<&'p Step>)> {
    let steps = |bank: &Bank| plan.steps.iter().filter(|step| step.bank == bank.number).collect::<Vec<_>>();
    banks.iter().map(|bank| (bank, steps(bank))).filter(|(_, steps)| !steps.is_empty()).collect()
}

fn refuse_sectors(sectors: impl Iterator<Item = u32>, bank: &Bank, protection: &[bool]) -> Result<()> {
    let refused: Vec<u32> = sectors.filter(|sector| protection.get(*sector as usize) == Some(&true)).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("write protected by option bytes: {} of {}; nothing was changed", sectors_text(&refused), bank.name);
    Err(Error::new(Kind::Protected, message)
        .hint("`option unprotect` lets them be written, and so does `unlock` among the words of this command"))
}

/// Would `erase` refuse? A bank that cannot be erased now, a sector that is write protected. Changes nothing.
pub fn check_erase(parts: &[(Bank, Erase)], driver: &dyn FlashDriver, mem: &mut MemAp) -> Result<()> {
    for group in one_bank_each(parts) {
        let bank = &group[0].0;
        let mem = &mut MemAp::new(&mut *mem.probe, bank.ap);
        driver.check(mem, bank)?;
        refuse_sectors(group.iter().flat_map(|(_, what)| what.sectors(bank)), bank, &driver.protection(mem, bank)?)?;
    }
    Ok(())
}

/// Erase parts of banks, in order: per bank unlock → erase → lock, lock also after an error. All that `check_erase`
/// refuses is refused before anything is changed. On error and Ctrl-C the trail says how much is erased.
pub fn erase(parts: &[(Bank, Erase)], driver: &dyn FlashDriver, mem: &mut MemAp, ears: &Ears) -> Result<()> {
    check_erase(parts, driver, mem)?;
    let total = parts.iter().map(|(bank, what)| what.bytes(bank)).sum();
    let mut done = 0;
    ears.progress("erase", 0, total);
    for group in one_bank_each(parts) {
        let bank = &group[0].0;
        let mem = &mut MemAp::new(&mut *mem.probe, bank.ap);
        let erased = unlocked(bank, driver, mem, ears, |mem| {
            group.iter().try_for_each(|(_, what)| {
                (ears.breathe)()?;
                let _phase = ears.phase("erase", &bank.name);
                let result = driver.erase(mem, bank, *what, ears).during(what.text(bank));
                if was_erased(&result) {
                    done += what.bytes(bank);
                    ears.progress("erase", done, total);
                }
                result
            })
        });
        erased.during(format_args!("erasing flash ({} of {} KiB erased so far)", done / 1024, total / 1024))?;
    }
    Ok(())
}

fn one_bank_each(parts: &[(Bank, Erase)]) -> impl Iterator<Item = &[(Bank, Erase)]> {
    parts.chunk_by(|(a, _), (b, _)| a.number == b.number)
}

/// An erase that an interrupt met was waited for: what was to be erased is.
fn was_erased(result: &Result<()>) -> bool {
    !matches!(result, Err(error) if !matches!(error.cause, Cause::Interrupted(_)))
}

/// unlock → `work` → lock; the first error is the one that is told.
fn unlocked(
    bank: &Bank,
    driver: &dyn FlashDriver,
    mem: &mut MemAp,
    ears: &Ears,
    work: impl FnOnce(&mut MemAp) -> Result<()>,
) -> Result<()> {
    if let Some(remark) = driver.remark(bank) {
        ears.warn(remark);
    }
    let unlocked = driver.unlock(mem, bank).during(format_args!("unlocking {}", bank.name));
    let result = unlocked.and_then(|()| work(mem));
    if matches!(&result, Err(error) if matches!(error.cause, Cause::Abandoned(_))) {
        // A busy bank cannot be locked; the reset on leaving does it.
        return result;
    }
    let locked = driver.lock(mem, bank).and_then(|()| driver.boot(mem, bank));
    match (result, locked) {
        (Err(error), Err(lock)) if error.cause != lock.cause => {
            Err(error.during(format_args!("locking {} again: {}", bank.name, lock.message)))
        }
        (Err(error), _) => Err(error),
        (Ok(()), locked) => locked.during(format_args!("locking {}", bank.name)),
    }
}

/// Would erasing the bank as a whole be sooner, and take nothing that is to stay, where what has no step is blank?
pub fn worth_whole(bank: &Bank, steps: &[&Step], driver: &dyn FlashDriver) -> Result<bool> {
    let controller = driver.controller(bank)?;
    let erased = steps.iter().filter(|step| step.action == Action::Replace).count() as u32;
    let sooner = controller.erase_bits(Erase::Bank).1 < controller.erase_bits(Erase::Sector(0)).1 * erased;
    Ok(sooner && steps.iter().all(|step| step.action != Action::Skip))
}

/// What the loader is to do in a bank.
fn tasks<'p>(bank: &'p Bank, steps: &[&'p Step], whole: bool) -> Vec<Task<'p>> {
    let mut tasks = Vec::new();
    for step in steps {
        let own = step.action == Action::Replace && !whole;
        let first = if whole && tasks.is_empty() { Some(Erase::Bank) } else { own.then_some(Erase::Sector(step.sector)) };
        tasks.extend(first.map(|erase| Task { bank, step, what: What::Erase(erase), last: false }));
        tasks.extend(step.runs.iter().map(|(address, data)| Task { bank, step, what: What::Write(*address, data), last: false }));
        if let Some(task) = tasks.last_mut() {
            task.last = true;
        }
    }
    tasks
}

/// What `execute` has done so far, and how it says so.
struct Work<'a> {
    ears: &'a Ears,
    blank_beside: &'a [usize],
    erase_total: u64,
    write_total: u64,
    done: Done,
    /// (bank's name, sectors), in the order of work; two banks are worked at in turns.
    erased: Vec<(String, Vec<u32>)>,
    /// First and last address, in the order of work.
    written: Vec<(u32, u32)>,
    /// Sectors whose erase took bytes outside the image that are not back yet.
    lost: Vec<Step>,
}

impl<'a> Work<'a> {
    fn new(plan: &'a Plan, ears: &'a Ears) -> Work<'a> {
        let skipped = plan.with(Action::Skip).count() as u32;
        let work = Work {
            ears,
            blank_beside: &plan.blank_beside,
            erase_total: plan.erase_bytes(),
            write_total: plan.write_bytes(),
            done: Done { skipped_sectors: skipped, ..Done::default() },
            erased: Vec::new(),
            written: Vec::new(),
            lost: Vec::new(),
        };
        work.show("write", 0, work.write_total);
        work.show("erase", 0, work.erase_total);
        work
    }

    /// A phase without work has no progress.
    fn show(&self, phase: &'static str, done: u64, total: u64) {
        if total > 0 {
            self.ears.progress(phase, done, total);
        }
    }

    fn step(&mut self, step: &Step, bank: &Bank, driver: &dyn FlashDriver, mem: &mut MemAp) -> Result<()> {
        if step.action == Action::Skip {
            return Ok(());
        }
        (self.ears.breathe)()?;
        if step.action == Action::Replace {
            self.erase(step, bank, driver, mem)?;
        }
        let started = mem.now();
        let written = step.runs.iter().try_for_each(|(address, data)| self.write(*address, data, bank, driver, mem));
        self.done.write_seconds += (mem.now() - started).as_secs_f64();
        written?;
        self.note_whole(step);
        Ok(())
    }

    /// All of a sector is written, what it keeps included.
    fn note_whole(&mut self, step: &Step) {
        self.lost.retain(|lost| lost.address != step.address);
        self.ears.sink.emit(Event::Sector(step.address, SectorMap::WRITTEN));
        self.done.kept_bytes += u64::from(step.kept);
    }

    /// By the loader, every bank's controller at once.
    fn loaded(&mut self, banks: &[(&Bank, Vec<&Step>)], driver: &dyn FlashDriver, mem: &mut MemAp, help: Help) -> Result<()> {
        let ears = self.ears;
        let mut help = help;
        let mut channels: Vec<(Controller, Vec<Task>)> = Vec::new();
        if let Some((bank, _)) = banks.first().filter(|_| help.ram.watchdogs != [0; 2])
            && !driver.watchdog(mem, bank)?
        {
            help.ram.watchdogs = [0; 2];
        }
        for (bank, steps) in banks {
            let controller = driver.controller(bank)?;
            let whole = self.blank_beside.contains(&bank.number)
                && worth_whole(bank, steps, driver)?
                && !driver.protection(&mut MemAp::new(&mut *mem.probe, bank.ap), bank)?.contains(&true);
            let tasks = tasks(bank, steps, whole);
            match channels.iter_mut().find(|(there, _)| there.at(there.sr) == controller.at(controller.sr)) {
                Some((_, all)) => all.extend(tasks),
                None => channels.push((controller, tasks)),
            }
        }
        let mut last = mem.now();
        loader::run(help, mem, channels, ears, &mut |task, now| {
            let seconds = (now - last).as_secs_f64();
            last = now;
            match task.what {
                What::Erase(what) => {
                    self.done.erase_seconds += seconds;
                    let all = banks.iter().filter(|(bank, _)| bank.number == task.bank.number).flat_map(|(_, steps)| steps);
                    all.filter(|step| what.sectors(task.bank).contains(&step.sector)).for_each(|step| self.note_erased(step, task.bank));
                }
                What::Write(address, data) => {
                    self.done.write_seconds += seconds;
                    self.note_written(address, data.len() as u32);
                    if task.last {
                        self.note_whole(task.step);
                    }
                }
            }
        })
    }

    fn erase(&mut self, step: &Step, bank: &Bank, driver: &dyn FlashDriver, mem: &mut MemAp) -> Result<()> {
        let started = mem.now();
        let what = Erase::Sector(step.sector);
        let _phase = self.ears.phase("erase", &bank.name);
        let result = driver.erase(mem, bank, what, self.ears);
        self.done.erase_seconds += (mem.now() - started).as_secs_f64();
        if was_erased(&result) {
            self.note_erased(step, bank);
        }
        result.during(what.text(bank))
    }

    fn note_erased(&mut self, step: &Step, bank: &Bank) {
        self.ears.sink.emit(Event::Sector(step.address, SectorMap::ERASED));
        if step.kept > 0 {
            self.lost.push(step.clone());
        }
        match self.erased.iter_mut().find(|(name, _)| *name == bank.name) {
            Some((_, sectors)) => sectors.push(step.sector),
            None => self.erased.push((bank.name.clone(), vec![step.sector])),
        }
        self.done.erased_sectors += 1;
        self.done.erased_bytes += u64::from(step.size);
        self.show("erase", self.done.erased_bytes, self.erase_total);
    }

    fn write(&mut self, address: u32, data: &[u8], bank: &Bank, driver: &dyn FlashDriver, mem: &mut MemAp) -> Result<()> {
        let ears = self.ears;
        let _phase = ears.phase("program", &bank.name);
        let mut at = address;
        driver.program(mem, bank, address, data, ears, &mut |bytes| {
            self.note_written(at, bytes as u32);
            at += bytes as u32;
            (ears.breathe)()
        })
    }

    fn note_written(&mut self, address: u32, bytes: u32) {
        let last = address + (bytes - 1);
        match self.written.iter_mut().find(|(_, end)| end.checked_add(1) == Some(address)) {
            Some((_, end)) => *end = last,
            None => self.written.push((address, last)),
        }
        self.done.written_bytes += u64::from(bytes);
        self.show("write", self.done.written_bytes, self.write_total);
    }

    /// The trail's line on what flash holds now.
    fn report(&self, error: Error) -> Error {
        let erased: Vec<String> = self.erased.iter().map(|(bank, sectors)| format!("{} of {bank}", sectors_text(sectors))).collect();
        let written: Vec<String> = self.written.iter().map(|(first, last)| format!("{first:#010x}..{last:#010x}")).collect();
        let or_none = |parts: Vec<String>| if parts.is_empty() { "nothing".to_string() } else { parts.join(", ") };
        error.during(format_args!(
            "programming flash (erased so far: {}; written so far: {}, {} of {} bytes{})",
            or_none(erased),
            or_none(written),
            self.done.written_bytes,
            self.write_total,
            self.lost
                .iter()
                .map(|step| format!("; not put back: {} bytes of sector {} of {}", step.kept, step.sector, step.bank_name))
                .collect::<String>()
        ))
    }
}

/// "sector 3", "sectors 0..7", "sectors 1, 3..5"
fn sectors_text(sectors: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &sector in sectors {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == sector => *last = sector,
            _ => ranges.push((sector, sector)),
        }
    }
    let text = |(first, last): &(u32, u32)| if first == last { first.to_string() } else { format!("{first}..{last}") };
    let list: Vec<String> = ranges.iter().map(text).collect();
    format!("{} {}", if sectors.len() == 1 { "sector" } else { "sectors" }, list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Heard};
    use crate::flash::controller::Controller;
    use crate::flash::fake::{AP, Fake, bank, image};
    use crate::flash::{Found, OptionBytes, Policy, plan};
    use std::cell::{Cell, RefCell};
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::time::Duration;

    #[test]
    fn sectors_read_as_ranges() {
        assert_eq!(sectors_text(&[3]), "sector 3");
        assert_eq!(sectors_text(&[1, 3, 4, 5, 9]), "sectors 1, 3..5, 9");
    }

    /// A driver that writes down what it is told, and can be made to fail.
    #[derive(Default)]
    struct Scribe {
        calls: RefCell<Vec<String>>,
        fail: Option<&'static str>,
        protected: Vec<bool>,
    }

    impl Scribe {
        fn note(&self, call: impl Into<String>) -> Result<()> {
            let call = call.into();
            let failed = self.fail.is_some_and(|fail| call.starts_with(fail));
            self.calls.borrow_mut().push(call);
            if failed { Err(Error::target("it failed")) } else { Ok(()) }
        }

        fn calls(&self) -> String {
            self.calls.borrow().join("; ")
        }
    }

    impl FlashDriver for Scribe {
        fn controller<'a>(&self, _: &'a Bank) -> Result<Controller<'a>> {
            unreachable!("it does everything itself")
        }
        fn check(&self, _: &mut MemAp, _: &Bank) -> Result<()> {
            Ok(())
        }
        fn remark(&self, _: &Bank) -> Option<String> {
            Some("slow".into())
        }
        fn unlock(&self, _: &mut MemAp, bank: &Bank) -> Result<()> {
            self.note(format!("unlock {}", bank.name))
        }
        fn erase(&self, mem: &mut MemAp, _: &Bank, what: Erase, _: &Ears) -> Result<()> {
            mem.sleep(Duration::from_secs(1));
            self.note(format!("erase {what:?}"))
        }
        fn program(
            &self,
            mem: &mut MemAp,
            _: &Bank,
            address: u32,
            data: &[u8],
            _: &Ears,
            done: &mut dyn FnMut(u64) -> Result<()>,
        ) -> Result<()> {
            mem.sleep(Duration::from_millis(10));
            self.note(format!("program {address:#x}+{}", data.len()))?;
            done(data.len() as u64)
        }
        fn lock(&self, _: &mut MemAp, bank: &Bank) -> Result<()> {
            self.note(format!("lock {}", bank.name))
        }
        fn boot(&self, _: &mut MemAp, bank: &Bank) -> Result<()> {
            self.note(format!("boot {}", bank.name))
        }
        fn protection(&self, _: &mut MemAp, _: &Bank) -> Result<Vec<bool>> {
            Ok(self.protected.clone())
        }
        fn protect(&self, _: &Bank, _: &[bool]) -> Result<Vec<(u32, u32)>> {
            unreachable!("its option bytes stay")
        }
        fn options(&self) -> OptionBytes {
            unreachable!("its option bytes stay")
        }
        fn describe(&self, _: &mut MemAp, _: &Bank) -> Result<String> {
            Ok(String::new())
        }
    }

    fn banks() -> Vec<Bank> {
        vec![bank(0, 0x0800_0000, 0x200, 0x100, 16), bank(1, 0x0800_0800, 0x200, 0x100, 16)]
    }

    /// Sector 0 and 1 of bank 1 are used and blank, sector 0 of bank 2 is used, sector 1 of it holds the image's bytes.
    fn a_plan() -> Plan {
        let there = BTreeMap::from([
            (0x0800_0000, Found::Bytes(vec![0; 0x100])),
            (0x0800_0100, Found::Bytes(vec![0xFF; 0x100])),
            (0x0800_0800, Found::Bytes(vec![0; 0x100])),
            (0x0800_0900, Found::Bytes(vec![7; 0x100])),
        ]);
        let image = image(&[(0x0800_0000, vec![7; 0x110]), (0x0800_0800, vec![7; 0x200])]);
        plan(&image, &banks(), &there, Policy::Erase).unwrap()
    }

    fn run(driver: &Scribe, ears: &Ears) -> Result<Done> {
        execute(&a_plan(), &banks(), driver, &mut MemAp::new(&mut Fake::default(), AP), ears, None)
    }

    #[test]
    fn a_plan_is_carried_out_bank_by_bank_between_unlock_and_lock() {
        let driver = Scribe::default();
        let done = run(&driver, &Ears::none()).unwrap();
        assert_eq!(
            driver.calls(),
            "unlock bank1; erase Sector(0); program 0x8000000+256; program 0x8000100+16; lock bank1; boot bank1; \
             unlock bank2; erase Sector(0); program 0x8000800+256; lock bank2; boot bank2"
        );
        assert_eq!((done.erased_sectors, done.erased_bytes, done.skipped_sectors), (2, 512, 1));
        assert_eq!((done.written_bytes, done.kept_bytes), (528, 0));
        assert_eq!((done.erase_seconds, done.write_seconds), (2.0, 0.03));
    }

    #[test]
    fn progress_begins_at_nothing_and_ends_at_all() {
        let heard = Rc::new(Heard::default());
        run(&Scribe::default(), &Ears { sink: heard.clone(), breathe: Rc::new(|| Ok(())) }).unwrap();
        let of = |wanted: &str| -> Vec<(u64, u64)> {
            let events = heard.0.borrow();
            let progress = events.iter().filter_map(|event| match event {
                Event::Progress { phase, done, total } if *phase == wanted => Some((*done, *total)),
                _ => None,
            });
            progress.collect()
        };
        assert_eq!(of("erase"), [(0, 512), (256, 512), (512, 512)]);
        assert_eq!(of("write"), [(0, 528), (256, 528), (272, 528), (528, 528)]);
        assert_eq!(heard.0.borrow().iter().filter(|event| **event == Event::Warning("slow".into())).count(), 2);
    }

    #[test]
    fn after_an_error_the_bank_is_locked_and_the_trail_says_what_flash_holds() {
        let driver = Scribe { fail: Some("program 0x8000100"), ..Scribe::default() };
        let error = run(&driver, &Ears::none()).unwrap_err();
        assert!(driver.calls().ends_with("program 0x8000100+16; lock bank1; boot bank1"), "{}", driver.calls());
        assert_eq!(
            error.trail,
            ["programming flash (erased so far: sector 0 of bank1; written so far: 0x08000000..0x080000ff, 256 of 528 bytes)"]
        );
    }

    #[test]
    fn bytes_outside_the_image_that_could_not_be_put_back_are_named() {
        let there = BTreeMap::from([(0x0800_0000, Found::Bytes(vec![5; 0x100]))]);
        let plan = plan(&image(&[(0x0800_0000, vec![7; 0x20])]), &banks(), &there, Policy::Erase).unwrap();
        let driver = Scribe { fail: Some("program"), ..Scribe::default() };
        let error = execute(&plan, &banks(), &driver, &mut MemAp::new(&mut Fake::default(), AP), &Ears::none(), None).unwrap_err();
        assert!(error.trail[0].ends_with("0 of 256 bytes; not put back: 224 bytes of sector 0 of bank1)"), "{error}");
    }

    #[test]
    fn a_failed_erase_is_not_reported_as_erased() {
        let driver = Scribe { fail: Some("erase"), ..Scribe::default() };
        let error = run(&driver, &Ears::none()).unwrap_err();
        assert_eq!(
            error.trail,
            [
                "erasing sector 0 of bank1, 0x08000000",
                "programming flash (erased so far: nothing; written so far: nothing, 0 of 528 bytes)"
            ]
        );
    }

    #[test]
    fn a_failing_unlock_is_followed_by_lock() {
        let driver = Scribe { fail: Some("unlock"), ..Scribe::default() };
        assert_eq!(run(&driver, &Ears::none()).unwrap_err().trail[0], "unlocking bank1");
        assert_eq!(driver.calls(), "unlock bank1; lock bank1; boot bank1");
    }

    #[test]
    fn an_interrupt_stops_between_chunks_and_locks() {
        let calls = Rc::new(Cell::new(0));
        let counted = calls.clone();
        let breathe = move || {
            counted.set(counted.get() + 1);
            if counted.get() == 2 { Err(Error::command("interrupted").cause(Cause::Interrupted(2))) } else { Ok(()) }
        };
        let driver = Scribe::default();
        let error = run(&driver, &Ears { sink: Rc::new(crate::event::Silent), breathe: Rc::new(breathe) }).unwrap_err();
        assert_eq!(error.cause, Cause::Interrupted(2));
        assert_eq!(driver.calls(), "unlock bank1; erase Sector(0); program 0x8000000+256; lock bank1; boot bank1");
        assert!(error.trail[0].contains("written so far: 0x08000000..0x080000ff, 256 of 528"), "{error}");
    }

    #[test]
    fn a_protected_sector_is_refused_before_anything_is_changed() {
        let driver = Scribe { protected: vec![true, false], ..Scribe::default() };
        let error = run(&driver, &Ears::none()).unwrap_err();
        assert_eq!((error.kind, driver.calls().as_str()), (Kind::Protected, ""));
        assert_eq!(error.message, "write protected by option bytes: sector 0 of bank1; nothing was changed");
    }

    #[test]
    fn a_protected_sector_that_needs_no_change_is_no_hindrance() {
        let driver = Scribe { protected: vec![true; 2], ..Scribe::default() };
        let there = BTreeMap::from([(0x0800_0000, Found::Bytes(vec![7; 0x100]))]);
        let plan = plan(&image(&[(0x0800_0000, vec![7; 4])]), &banks(), &there, Policy::Erase).unwrap();
        execute(&plan, &banks(), &driver, &mut MemAp::new(&mut Fake::default(), AP), &Ears::none(), None).unwrap();
        assert_eq!(driver.calls(), "boot bank1");
    }

    #[test]
    fn erasing_is_done_between_unlock_and_lock_too() {
        let driver = Scribe::default();
        let mem = &mut Fake::default();
        let bank = &banks()[0];
        let sectors = [0, 1].map(|sector| (bank.clone(), Erase::Sector(sector)));
        erase(&sectors, &driver, &mut MemAp::new(mem, AP), &Ears::none()).unwrap();
        assert_eq!(driver.calls(), "unlock bank1; erase Sector(0); erase Sector(1); lock bank1; boot bank1");
        let driver = Scribe { protected: vec![false, true], ..Scribe::default() };
        let error = erase(&[(bank.clone(), Erase::Bank)], &driver, &mut MemAp::new(mem, AP), &Ears::none()).unwrap_err();
        assert_eq!((error.kind, driver.calls().as_str()), (Kind::Protected, ""));
    }
}
