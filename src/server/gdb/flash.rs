//! What gdb's `load` and `flash-erase` send: gathered, then planned and written as one image.

use super::{Answer, Gdb, number, ok, pair, reset, split};
use crate::flash::{self, Erase, Manner, Policy};
use crate::image::{Format, Image, Segment};
use crate::server::Desk;

impl Gdb {
    pub(super) fn flash_erase(&mut self, _: &Desk, rest: &[u8]) -> Answer {
        self.erases.push(pair(rest.get(1..).unwrap_or_default())?);
        ok()
    }

    /// `:addr:data`, in order of address
    pub(super) fn flash_write(&mut self, _: &Desk, rest: &[u8]) -> Answer {
        let (address, data) = split(rest.get(1..).unwrap_or_default(), b':')?;
        let address = number(address)?;
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
