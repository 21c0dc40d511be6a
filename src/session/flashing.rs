//! Flash and images: read what is there, plan, carry out, verify.

use super::survey::Sector;
use super::{Session, State, fatal};
use crate::adi::MemAp;
use crate::cortex_m::Core;
use crate::error::{Context, Error, Kind, Result};
use crate::flash::{self, Bank, Done, Erase, FlashDriver, Help, Manner, Plan, Policy, Ram};
use crate::image::Image;
use std::time::Duration;

/// Between two looks at Ctrl-C: some 40 ms on a V2 at 4 MHz.
const CHUNK: usize = 8192;
const HALT_WAIT: Duration = Duration::from_secs(1);

impl Session {
    /// Look at the sectors an image touches and plan; a plan that `execute` would refuse is an error. Changes nothing.
    pub fn plan(&mut self, image: &Image, policy: Policy) -> Result<Plan> {
        let touched = flash::touched(image, &self.banks)?;
        let sectors: Vec<Sector> = touched.iter().map(|(bank, sector)| (self.banks[*bank].clone(), *sector)).collect();
        for one_bank in sectors.chunk_by(|(a, _), (b, _)| a.number == b.number) {
            self.check(&one_bank[0].0)?;
        }
        let driver = flash::driver(&self.target.driver)?;
        self.hurry(sectors.iter().map(|(bank, _)| u64::from(bank.sector)).sum())?;
        let mut there = self.survey(image, &sectors, policy)?;
        let mut plan = flash::plan(image, &self.banks, &there, policy)?;
        let others = self.beside(&plan, driver)?;
        if !others.is_empty() {
            there.extend(self.blank(&others)?);
            plan = flash::plan(image, &self.banks, &there, policy)?;
        }
        self.check_link()?;
        let banks = self.banks.clone();
        flash::check_plan(&plan, &banks, driver, &mut self.mem(0))?;
        Ok(plan)
    }

    /// A plan that is going to be carried out: cores that run are halted for the look at flash, and let go if there is
    /// nothing to do.
    pub fn plan_to_write(&mut self, image: &Image, policy: Policy, manner: Manner) -> Result<Plan> {
        self.no_guest = manner.noloader;
        let held = self.hold()?;
        let plan = self.plan(image, policy);
        let freed = if plan.as_ref().map_or(true, Plan::is_done) { self.let_go(&held) } else { Ok(()) };
        plan.and_then(|plan| freed.map(|()| plan))
    }

    /// Halt the cores that run, for rocd's own purposes: these. One that cannot be halted runs on.
    fn hold(&mut self) -> Result<Vec<usize>> {
        let mut held = Vec::new();
        for core in self.available() {
            match self.state(core) {
                Ok(State::Running) => {}
                Err(error) if fatal(&error) || error.kind == Kind::Probe => return Err(error),
                _ => continue,
            }
            let (found, mut mem, ears) = self.parts(core)?;
            match found.halt(&mut mem, ears, HALT_WAIT) {
                Ok(()) => {
                    found.own_halt = true;
                    held.push(core);
                }
                Err(error) if fatal(&error) || error.kind == Kind::Probe => return Err(error),
                Err(_) => {}
            }
        }
        Ok(held)
    }

    fn let_go(&mut self, held: &[usize]) -> Result<()> {
        held.iter().try_for_each(|core| self.go_on(*core, None).map(drop))
    }

    /// The sectors without a step of banks that are erased sooner as a whole, if these sectors are blank.
    fn beside(&self, plan: &Plan, driver: &dyn FlashDriver) -> Result<Vec<Sector>> {
        let mut others = Vec::new();
        for (bank, steps) in flash::by_bank(plan, &self.banks) {
            if flash::worth_whole(bank, &steps, driver)? {
                let without = (0..bank.sectors()).filter(|sector| steps.iter().all(|step| step.sector != *sector));
                others.extend(without.map(|sector| (bank.clone(), sector)));
            }
        }
        Ok(others)
    }

    /// What can be neither read nor programmed (readout protection, swapped banks) is said before flash is read.
    pub fn check(&mut self, bank: &Bank) -> Result<()> {
        flash::driver(&self.target.driver)?.check(&mut self.mem(0), bank)
    }

    /// Reset-halt (unless `noreset`: only halt), carry out the plan, note that flash changed.
    pub fn execute(&mut self, plan: &Plan, manner: Manner) -> Result<Done> {
        let work = |session: &mut Session, driver: &dyn FlashDriver| {
            let banks = session.banks.clone();
            let ram = session.loader_ram().filter(|_| !manner.noreset && !manner.noloader);
            let (core, mut mem, ears) = session.parts(0)?;
            let help = ram.map(|ram| Help { core, ram });
            flash::execute(plan, &banks, driver, &mut mem, ears, help)
        };
        match plan.is_done() {
            // Nothing to do is done without stopping the program.
            true => work(self, flash::driver(&self.target.driver)?),
            false => self.change_flash(manner.noreset, work),
        }
    }

    /// RAM for the loader: the first core's work area, and for data the largest that every part of this die has.
    pub(super) fn loader_ram(&self) -> Option<Ram> {
        let work = &self.target.cores.first()?.work_area;
        let data = self.die.ram.iter().max_by_key(|region| region.size)?;
        let dogs = self.target.watchdogs;
        let up_to = data.up_to.unwrap_or(data.size);
        Some(Ram { work: (work.address, work.size), data: (data.address, data.size), up_to, watchdogs: [dogs.iwdg, dogs.wwdg] })
    }

    /// Would `erase` refuse? Changes nothing.
    pub fn check_erase(&mut self, parts: &[(Bank, Erase)]) -> Result<()> {
        flash::check_erase(parts, flash::driver(&self.target.driver)?, &mut self.mem(0))
    }

    /// Reset-halt (unless `noreset`: only halt) and erase. What is refused is refused before that.
    pub fn erase(&mut self, parts: &[(Bank, Erase)], noreset: bool) -> Result<()> {
        self.check_erase(parts)?;
        self.change_flash(noreset, |session, driver| {
            let ears = session.ears.clone();
            flash::erase(parts, driver, &mut session.mem(0), &ears)
        })
    }

    /// What every change of flash needs around it: a quiet core, caches out of the way, and the note for `detach`.
    pub(super) fn change_flash<T>(&mut self, noreset: bool, work: impl FnOnce(&mut Session, &dyn FlashDriver) -> Result<T>) -> Result<T> {
        let driver = flash::driver(&self.target.driver)?;
        self.quieten(noreset).during("halting before flash is changed")?;
        let (core, mut mem, _) = self.parts(0)?;
        let ccr = core.caches_off(&mut mem)?;
        self.flash_changed = true;
        self.wanted_halted = false;
        let worked = work(self, driver);
        self.cores.iter_mut().flatten().for_each(Core::memory_changed);
        let back = match ccr {
            Some(ccr) => self.parts(0).and_then(|(core, mut mem, _)| core.caches_back(&mut mem, ccr)),
            None => Ok(()),
        };
        worked.and_then(|done| back.map(|()| done))
    }

    /// Every core halted, for rocd's own purposes unless it already was.
    fn quieten(&mut self, noreset: bool) -> Result<()> {
        for core in self.available() {
            match self.state(core) {
                Ok(State::Halted(_)) => {}
                Err(error) if fatal(&error) => return Err(error),
                // Asleep or unreachable: a reset may mend that, and if not, the halt below says what is wrong.
                _ => self.parts(core)?.0.own_halt = true,
            }
        }
        if !noreset {
            self.reset_chip(true)?;
        }
        for core in self.available() {
            let (core, mut mem, ears) = self.parts(core)?;
            core.halt(&mut mem, ears, HALT_WAIT)?;
        }
        Ok(())
    }

    /// One flag per sector: write protected.
    pub fn protection(&mut self, bank: &Bank) -> Result<Vec<bool>> {
        flash::driver(&self.target.driver)?.protection(&mut self.mem(0), bank)
    }

    /// The flash controller's state in words.
    pub fn describe(&mut self, bank: &Bank) -> Result<String> {
        flash::driver(&self.target.driver)?.describe(&mut self.mem(0), bank)
    }

    /// Flash as its cells hold it, everything else as the core sees it.
    fn as_it_is(&mut self, address: u32) -> MemAp<'_> {
        match self.banks.iter().find(|bank| bank.contains(address)) {
            Some(bank) => MemAp::new(&mut *self.probe, bank.ap),
            None => self.mem(0),
        }
    }

    /// Compare memory with an image; kind mismatch names the first bad address, expected and actual. The bytes compared.
    pub fn verify(&mut self, image: &Image) -> Result<u64> {
        let _phase = self.ears.phase("verify", "");
        let total = image.len();
        self.hurry(total)?;
        let mut done = 0;
        for segment in &image.segments {
            for (address, wanted) in self.unproven(segment.address, &segment.data)? {
                for (index, wanted) in wanted.chunks(CHUNK).enumerate() {
                    let address = address.wrapping_add((index * CHUNK) as u32);
                    self.ears.progress("verify", done, total);
                    self.compare(address, wanted)?;
                    done += wanted.len() as u64;
                    (self.ears.breathe)()?;
                }
            }
        }
        self.ears.progress("verify", total, total);
        Ok(total)
    }

    fn compare(&mut self, address: u32, wanted: &[u8]) -> Result<()> {
        let mut is = vec![0; wanted.len()];
        self.as_it_is(address).read(address, &mut is).during(format!("verifying at {address:#010x}"))?;
        match is.iter().zip(wanted).position(|(is, wanted)| is != wanted) {
            Some(at) => Err(mismatch(address + at as u32, is[at], wanted[at])),
            None => Ok(()),
        }
    }
}

fn mismatch(address: u32, is: u8, wanted: u8) -> Error {
    Error::new(Kind::Mismatch, format!("{address:#010x} reads {is:#04x}, the image has {wanted:#04x} there"))
}
