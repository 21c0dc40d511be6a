//! Going out: how rocd leaves the chip.

use super::{Left, ResetMode, Session};
use crate::cortex_m::State;
use crate::error::{Context, Result};
use std::rc::Rc;

impl Session {
    /// Put back everything attach found, leave the chip as DESIGN says, leave the debug port. Always tries every step;
    /// the first error is the result, but that a program does not run is said only if all else is in order.
    pub fn detach(&mut self) -> Result<Left> {
        // Ctrl-C is why some come here: the waits on the way out are short, and no step may be left out.
        self.ears.breathe = Rc::new(|| Ok(()));
        // Nobody answers any more; a core that stands at a call goes on, as far as that can be helped.
        let _ = self.attend();
        self.semihosting.on = false;
        self.cores.iter_mut().flatten().for_each(|core| core.debugged = false);
        let (left, told) = match self.flash_changed && !self.wanted_halted {
            true => (Left::Started, self.start_afresh()),
            false => self.where_halted(),
        };
        let cores = self.put_cores_back().during("leaving the cores");
        let found = self.found.put_back(&mut *self.probe);
        let nrst = self.probe.drive_nrst(false).during("releasing NRST");
        let probe = self.probe.detach().during("leaving the debug port");
        [cores, found, nrst, probe, told].into_iter().collect::<Result<()>>().map(|()| left)
    }

    /// What was programmed runs as it will without us: no breakpoint of ours is in its way.
    fn start_afresh(&mut self) -> Result<()> {
        let mut results = Vec::new();
        for core in self.available() {
            results.push(self.remove_points(core));
        }
        results.push(self.reset(ResetMode::Run));
        results.into_iter().collect::<Result<()>>().during("starting what was programmed")
    }

    fn remove_points(&mut self, core: usize) -> Result<()> {
        let (core, mut mem, _) = self.parts(core)?;
        core.remove_breakpoints(&mut mem, None).and(core.remove_watchpoints(&mut mem, None))
    }

    /// The first core that stays halted: found so, or halted by the user or his breakpoint, but not by rocd for itself.
    fn where_halted(&mut self) -> (Left, Result<()>) {
        let mut told = Ok(());
        for core in self.available() {
            match self.halted_pc(core) {
                Ok(Some((core, pc))) => return (Left::Halted { core, pc }, told),
                Ok(None) => {}
                Err(error) => told = told.and(Err(error)),
            }
        }
        (Left::AsFound, told)
    }

    fn halted_pc(&mut self, core: usize) -> Result<Option<(String, u32)>> {
        let (core, mut mem, _) = self.parts(core)?;
        match core.state(&mut mem)? {
            State::Halted(_) if !core.own_halt => Ok(Some((core.name.clone(), core.pc(&mut mem)?))),
            _ => Ok(None),
        }
    }

    fn put_cores_back(&mut self) -> Result<()> {
        let mut results = Vec::new();
        for core in self.available() {
            results.push(self.put_core_back(core));
        }
        results.into_iter().collect()
    }

    fn put_core_back(&mut self, core: usize) -> Result<()> {
        let (core, mut mem, _) = self.parts(core)?;
        let state = core.state(&mut mem);
        let stays = !core.own_halt && matches!(state, Ok(State::Halted(_)));
        core.put_back(&mut mem, stays).and(state.map(|_| ()))
    }
}
