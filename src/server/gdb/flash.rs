//! What gdb's `load` and `flash-erase` send: gathered, then planned and written as one image.

use super::{Answer, Gdb, number, ok, pair, reset, split};
use crate::error::{Error, Result};
use crate::flash::{self, Erase, Manner, Policy};
use crate::image::{Format, Image, Segment};
use crate::server::Desk;

/// From its first to its last byte.
fn in_flash(desk: &Desk, start: u32, len: u32) -> Result<()> {
    let session = desk.session()?;
    let ends = [Some(start), len.checked_sub(1).and_then(|more| start.checked_add(more))];
    match ends.iter().all(|end| end.is_some_and(|end| session.banks.iter().any(|bank| bank.contains(end)))) {
        true => Ok(()),
        false => Err(Error::command(format!("{len:#x} bytes from {start:#010x} on are not flash"))),
    }
}

impl Gdb {
    /// What is refused ends gdb's `load`: nothing of it stays.
    fn or_forget<T>(&mut self, taken: Result<T>) -> Result<T> {
        taken.inspect_err(|_| (self.erases, self.writes) = Default::default())
    }

    pub(super) fn flash_erase(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (start, len) = pair(rest)?;
        self.or_forget(in_flash(desk, start, len))?;
        // gdb erases first, then writes: what is still there is of a `load` that it gave up.
        if !self.writes.is_empty() {
            (self.erases, self.writes) = Default::default();
        }
        self.erases.push((start, len));
        ok()
    }

    /// `addr:data`, in order of address
    pub(super) fn flash_write(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (address, data) = split(rest, b':')?;
        let address = number(address)?;
        self.or_forget(in_flash(desk, address, data.len() as u32))?;
        let held: usize = self.writes.iter().map(|segment| segment.data.len()).sum();
        if held + data.len() > desk.session()?.banks.iter().map(|bank| bank.size as usize).sum() {
            return self.or_forget(Err(Error::command("more is to be written than flash holds")));
        }
        match self.writes.last_mut() {
            Some(last) if last.end() == u64::from(address) => last.data.extend(data),
            _ => self.writes.push(Segment { address, data: data.to_vec() }),
        }
        ok()
    }

    /// Everything at once, the fast way; then the chip stands at what was loaded.
    pub(super) fn flash_done(&mut self, desk: &Desk, _: &[u8]) -> Answer {
        let (erases, writes) = (std::mem::take(&mut self.erases), std::mem::take(&mut self.writes));
        let image = Image::new("gdb's load", Format::Bin, writes);
        let mut session = desk.session()?;
        let touched = if image.is_empty() { Vec::new() } else { flash::touched(&image, &session.banks)? };
        let mut only_erased = Vec::new();
        for bank in &session.banks {
            let in_range = |sector: &u32| {
                erases.iter().any(|(start, len)| bank.sector_address(*sector).wrapping_sub(*start) < *len)
                    && !touched.contains(&(bank.number, *sector))
            };
            only_erased.extend((0..bank.sectors()).filter(in_range).map(|sector| (bank.clone(), Erase::Sector(sector))));
        }
        if !image.is_empty() {
            session.precheck(&image, |_| false)?;
            let plan = session.plan(&image, Policy::Erase)?;
            session.execute(&plan, Manner::default())?;
        }
        if !only_erased.is_empty() {
            session.erase(&only_erased, true)?;
        }
        reset(&mut session, desk.core.get())?;
        ok()
    }
}
