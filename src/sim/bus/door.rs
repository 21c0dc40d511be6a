//! The board's own door: memory and registers as they are, by no rule of the chip.

use super::{Bus, Ecc, FLASH, Flash, Size, dbgmcu, debug_address, lane, spread};

impl Bus {
    /// Memory from this address to the end of its array, as it is.
    pub fn memory(&self, address: u32) -> Option<&[u8]> {
        let address = self.resolve(address);
        if let Some((place, offset)) = self.ram_place(address) {
            let size = self.ram_size(&self.row.ram[place]) as usize;
            return Some(&self.ram[place][offset..size]);
        }
        if let Some((place, offset)) = self.rom_place(address) {
            return Some(&self.rom[place][offset..]);
        }
        match &self.flash {
            Flash::H7(flash) => flash.memory(address),
            Flash::G0(flash) => flash.memory(address),
            Flash::Plain(bytes) => bytes.get(address.wrapping_sub(FLASH) as usize..).filter(|rest| !rest.is_empty()),
        }
    }

    pub fn peek(&self, address: u32) -> Option<u8> {
        let memory = self.memory(address).and_then(|memory| memory.first().copied());
        memory.or_else(|| self.peek_word(address).map(|word| lane(word, address, Size::Byte) as u8))
    }

    fn peek_word(&self, address: u32) -> Option<u32> {
        if let Some(offset) = self.flash_register(address) {
            return self.peek_flash_register(offset).or(Some(0));
        }
        match debug_address(address) {
            Some(debug) => dbgmcu(debug).map_or_else(|| self.debug.peek(debug), |at| self.periph.peek(at)),
            None => {
                let plain = self.periph.peek(address).map(|plain| self.soc.read(&self.periph, address, plain));
                plain.or_else(|| self.peek_component(address))
            }
        }
    }

    /// How many of the bytes found a place: up to the end of a memory array, one where a register is.
    pub fn poke(&mut self, address: u32, bytes: &[u8]) -> usize {
        self.flash_changed = true;
        let Some(first) = bytes.first() else { return 0 };
        let address = self.resolve(address);
        if let Some((place, offset)) = self.ram_place(address) {
            let size = self.ram_size(&self.row.ram[place]) as usize;
            return overwrite(&mut self.ram[place][offset..size], bytes);
        }
        if let Some((place, offset)) = self.rom_place(address) {
            return overwrite(&mut self.rom[place][offset..], bytes);
        }
        let taken = match &mut self.flash {
            Flash::H7(flash) => flash.poke(address, bytes),
            Flash::G0(flash) => flash.poke(address, bytes),
            Flash::Plain(cells) => overwrite(cells.get_mut(address.wrapping_sub(FLASH) as usize..).unwrap_or_default(), bytes),
        };
        if taken > 0 { taken } else { self.poke_register(address, *first) as usize }
    }

    fn poke_register(&mut self, address: u32, byte: u8) -> bool {
        let Some(old) = self.peek_word(address) else { return false };
        let (value, lanes) = spread(byte as u32, address, Size::Byte);
        let word = old & !lanes | value;
        match (self.flash_register(address), &mut self.flash) {
            (Some(offset), Flash::H7(flash)) => flash.poke_reg(offset, word),
            (Some(offset), Flash::G0(flash)) => {
                let taken = flash.poke_reg(offset, word);
                self.open_windows();
                taken
            }
            _ => self.periph.poke(debug_address(address).and_then(dbgmcu).unwrap_or(address), word),
        }
    }

    /// Damages one flash word's ECC, by the board's own door.
    pub fn set_ecc(&mut self, address: u32, ecc: Ecc) -> bool {
        match &mut self.flash {
            Flash::H7(flash) => flash.set_ecc(address, ecc),
            Flash::G0(flash) => flash.set_ecc(address, ecc),
            Flash::Plain(_) => false,
        }
    }
}

fn overwrite(place: &mut [u8], bytes: &[u8]) -> usize {
    let len = place.len().min(bytes.len());
    place[..len].copy_from_slice(&bytes[..len]);
    len
}
