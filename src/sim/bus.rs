//! The system bus of one chip: RAM, ROM, flash, peripherals, and the debug bus (APB-D) beside it.
//!
//! The core's private bus (PPB) is the core's. `view` says how an access port sees the rest.

mod door;
mod second;

use super::chip::{BusError, Cause, Ns, Size};
use super::chips::Row;
use super::coresight::Components;
use super::flash::{Ecc, Master};
use super::flash_g0::{self, Boot, FlashG0};
use super::flash_h7::{self, FlashH7};
use super::periph::Periph;
use super::soc::{Hardware, Soc};

/// Which flash controller the chip has.
#[derive(Clone, Copy)]
pub enum Controller {
    H7(&'static flash_h7::H7),
    G0(&'static flash_g0::G0),
    /// Contents only, erased: size in bytes at 0x08000000 (the hidden chips).
    Plain(u32),
}

#[derive(Clone, Copy, Debug)]
pub struct Ram {
    pub base: u32,
    pub size: u32,
    /// More of it while RAM parity is off (G0 option RAM_PARITY_CHECK = 1).
    pub without_parity: u32,
    /// Read by the core and its own access port only.
    pub tightly_coupled: bool,
}

/// System memory: a stub that loops for ever, and words that ST writes at the factory.
#[derive(Clone, Copy, Debug)]
pub struct Rom {
    pub base: u32,
    pub size: u32,
    /// Where the boot loader's vectors are.
    pub vectors: Option<u32>,
    pub words: &'static [(u32, u32)],
}

pub enum Flash {
    H7(Box<FlashH7>),
    G0(Box<FlashG0>),
    Plain(Vec<u8>),
}

const FLASH: u32 = 0x0800_0000;
/// APB-D: as the debugger's AP2 sees it, and where the core finds it.
const DEBUG_BUS: u32 = 0xE00E_0000;
const DEBUG_BUS_ALIAS: u32 = 0x5C00_0000;
const DEBUG_BUS_SIZE: u32 = 0x2_0000;
const DBGMCU: u32 = 0xE00E_1000;
const SYSCFG_CFGR1: u32 = 0x4001_0000;
/// What the G0's own ROM table reads as while RCC_APBENR1.DBGEN is 0 (seen on G0B1).
const GARBAGE: u32 = 0x9090_9090;
/// `b .` twice.
const LOOP: [u8; 4] = [0xFE, 0xE7, 0xFE, 0xE7];

/// Addresses at which whoever has the bus finds a RAM; none lies below `Row::alias`.
struct Window {
    base: u32,
    size: u32,
    ram: usize,
}

pub struct Bus {
    row: &'static Row,
    ram: Vec<Vec<u8>>,
    /// Of the core that has the bus, and of the other.
    windows: Vec<Window>,
    other_windows: Vec<Window>,
    rom: Vec<Vec<u8>>,
    pub flash: Flash,
    pub periph: Periph,
    pub soc: Soc,
    debug: Components,
    /// NRST is low.
    pub held: bool,
    /// What the alias at address 0 shows (G0, F1); the H7 has ITCM there.
    pub boot: Boot,
    /// A flash operation began or ended.
    flash_changed: bool,
    /// Of such a change: the core that has the bus has yet to be told; the other one has.
    late: (bool, bool),
    /// The second core has the bus, or its access port.
    second: bool,
    now: Ns,
}

impl Bus {
    /// Unpowered: RAM holds nothing yet.
    pub fn new(row: &'static Row) -> Bus {
        let flash = match row.flash {
            Controller::H7(chip) => Flash::H7(Box::new(FlashH7::new(chip))),
            Controller::G0(chip) => Flash::G0(Box::new(FlashG0::new(chip))),
            Controller::Plain(size) => Flash::Plain(vec![0xFF; size as usize]),
        };
        let ram = row.ram.iter().map(|ram| vec![0; ram.size.max(ram.without_parity) as usize]).collect();
        let mut periph = Periph::new(row.blocks);
        periph.twin = row.second.map(|second| second.enables);
        let mut bus = Bus {
            row,
            ram,
            windows: Vec::new(),
            other_windows: Vec::new(),
            rom: row.rom.iter().map(rom_contents).collect(),
            flash,
            soc: Soc::new(row.name, &periph),
            periph,
            debug: Components::new(row.debug),
            held: false,
            boot: Boot::Flash,
            flash_changed: false,
            late: (false, false),
            second: false,
            now: 0,
        };
        bus.open_windows();
        bus
    }

    /// RAM comes up with noise (the same page over and over), so that nobody builds on zeros.
    pub fn power_on(&mut self) {
        let mut noise = 0x2545_F491u32;
        let page: [u8; 4096] = std::array::from_fn(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            noise as u8
        });
        for chunk in self.ram.iter_mut().flat_map(|ram| ram.chunks_mut(page.len())) {
            chunk.copy_from_slice(&page[..chunk.len()]);
        }
        self.debug.power_on();
    }

    pub fn reset(&mut self, cause: Cause, boot_pin: bool) {
        self.periph.reset(cause == Cause::Power);
        match &mut self.flash {
            Flash::H7(flash) => flash.reset(),
            Flash::G0(flash) => {
                flash.reset(cause);
                self.boot = flash.options.boot(boot_pin, flash.empty());
                self.periph.poke(SYSCFG_CFGR1, self.boot as u32);
            }
            Flash::Plain(_) => (),
        }
        self.open_windows();
        self.start_watchdogs(cause == Cause::Power);
    }

    /// What runs by itself starts anew; option bytes say whether a watchdog does.
    pub fn start_watchdogs(&mut self, power: bool) {
        let hardware = match &self.flash {
            Flash::H7(flash) => Hardware { independent: flash.hardware_watchdog(), window: false },
            Flash::G0(flash) => flash.options.hardware_watchdogs(),
            Flash::Plain(_) => Hardware::default(),
        };
        self.soc.reset(&mut self.periph, power, hardware);
    }

    /// The core's clock as RCC makes it, in Hz.
    pub fn core_hz(&self) -> u64 {
        let hz = if self.second { self.soc.bus_hz() } else { self.soc.core_hz() };
        hz.unwrap_or(self.row.core.hz)
    }

    /// The core stops or runs on.
    pub fn halt(&mut self, halted: bool) {
        self.soc.halt(&self.periph, halted);
    }

    /// When something happens by itself: a watchdog runs out, an interrupt comes, what the core read and waits for changes, a flash operation ends.
    pub fn next_event(&self) -> Option<Ns> {
        self.soc.next_event().into_iter().chain(self.flash_event()).min()
    }

    /// The reset that firmware asked for or let happen, other than through the core.
    pub fn wanted_reset(&self) -> Option<Cause> {
        match &self.flash {
            Flash::G0(flash) if flash.launch => Some(Cause::Options),
            _ => self.soc.bitten(),
        }
    }

    /// Time never goes back: a core that waits in the middle of an exception may be ahead of the board.
    pub fn advance(&mut self, now: Ns) {
        let now = self.now.max(now);
        self.now = now;
        self.soc.advance(&mut self.periph, now);
        self.flash_changed |= self.flash_event().is_some_and(|event| event <= now);
        match &mut self.flash {
            Flash::H7(flash) => flash.advance(now),
            Flash::G0(flash) => flash.advance(now),
            Flash::Plain(_) => (),
        }
    }

    fn flash_event(&self) -> Option<Ns> {
        match &self.flash {
            Flash::H7(flash) => flash.next_event(),
            Flash::G0(flash) => flash.next_event(),
            Flash::Plain(_) => None,
        }
    }

    /// True once after flash contents may have changed, or a bank got busy: instructions have to be fetched again.
    pub fn take_flash_change(&mut self) -> bool {
        let new = std::mem::take(&mut self.flash_changed);
        self.late.1 |= new;
        std::mem::take(&mut self.late.0) || new
    }

    /// True once after flash had an NMI for the core.
    pub fn take_nmi(&mut self) -> bool {
        if let Flash::G0(flash) = &mut self.flash { std::mem::take(&mut flash.nmi) } else { false }
    }

    /// As `wanted_reset`.
    pub fn wants_reset(&self) -> bool {
        self.wanted_reset().is_some()
    }

    /// May an instruction read at `address` be kept? `Some(true)`: until flash changes; `Some(false)`: until it is
    /// written. RAM behind the alias has two addresses, so nothing of it is kept.
    pub fn keeps_code(&self, address: u32) -> Option<bool> {
        let place = self.resolve(address);
        match self.ram_place(place) {
            Some(_) if place != address => None,
            Some((ram, _)) if self.second && self.second_alias().is_some_and(|(_, base)| self.row.ram[ram].base == base) => None,
            Some(_) => Some(false),
            None => Some(true),
        }
    }

    /// The core's short way into RAM: little-endian, `None` where no RAM is at this very address.
    #[inline]
    pub fn load_ram(&self, address: u32, size: Size) -> Option<u32> {
        let (place, offset) = self.ram_place(address)?;
        let bytes = self.ram[place].get(offset..offset + size as usize)?;
        Some(match *bytes {
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            [a, b] => u16::from_le_bytes([a, b]).into(),
            [a] => a.into(),
            _ => return None,
        })
    }

    /// Whether the store changed anything.
    #[inline]
    pub fn store_ram(&mut self, address: u32, size: Size, value: u32) -> Option<bool> {
        let (place, offset) = self.ram_place(address)?;
        let bytes = self.ram[place].get_mut(offset..offset + size as usize)?;
        let new = &value.to_le_bytes()[..size as usize];
        let changed = bytes != new;
        bytes.copy_from_slice(new);
        Some(changed)
    }

    /// Where the core that has the bus finds its vectors after reset.
    pub fn vectors(&self, boot_pin: bool) -> u32 {
        let Flash::H7(flash) = &self.flash else { return 0 };
        let address = if self.second { flash.second_boot_address(boot_pin) } else { flash.boot_address(boot_pin) };
        // The boot loader's table is not at the start of system memory, and VTOR says so (seen on real chips).
        let rom = self.row.rom.iter().find(|rom| rom.base == address);
        rom.and_then(|rom| rom.vectors).unwrap_or(address)
    }

    /// G0: SYSCFG_CFGR1.MEM_MODE chooses what is at 0; reset sets it to what boots (RM0444 2.5, 8.1.1).
    fn remap(&mut self) {
        if let (Flash::G0(_), Some(mode)) = (&self.flash, self.periph.peek(SYSCFG_CFGR1)) {
            let boot = match mode & 3 {
                1 => Boot::System,
                3 => Boot::Ram,
                _ => Boot::Flash,
            };
            self.flash_changed |= boot != self.boot;
            self.boot = boot;
        }
    }

    /// The address behind the alias at 0.
    pub fn resolve(&self, address: u32) -> u32 {
        if address >= self.row.alias {
            return address;
        }
        let system = self.row.rom.iter().find(|rom| rom.vectors.is_some());
        match (self.boot, system, self.row.ram.first()) {
            (Boot::System, Some(rom), _) if address < rom.size => rom.base + address,
            (Boot::Ram, _, Some(ram)) => ram.base + address,
            (Boot::Flash, ..) => FLASH + address,
            _ => address,
        }
    }

    /// Which RAM is there, and where in it.
    #[inline]
    fn ram_place(&self, address: u32) -> Option<(usize, usize)> {
        let window = self.windows.iter().find(|window| address.wrapping_sub(window.base) < window.size)?;
        Some((window.ram, address.wrapping_sub(window.base) as usize))
    }

    /// As the option bytes are now.
    fn open_windows(&mut self) {
        let (first, second) = (self.first_windows(), self.second_windows());
        (self.windows, self.other_windows) = if self.second { (second, first) } else { (first, second) };
    }

    fn first_windows(&self) -> Vec<Window> {
        let rams = self.row.ram.iter().enumerate();
        rams.map(|(ram, row)| Window { base: row.base, size: self.ram_size(row), ram }).collect()
    }

    fn ram_size(&self, ram: &Ram) -> u32 {
        match &self.flash {
            Flash::G0(flash) if flash.options.parity_off() => ram.without_parity.max(ram.size),
            _ => ram.size,
        }
    }

    fn rom_place(&self, address: u32) -> Option<(usize, usize)> {
        let place = self.row.rom.iter().position(|rom| address.wrapping_sub(rom.base) < rom.size)?;
        Some((place, (address - self.row.rom[place].base) as usize))
    }

    /// True where only the core and its own access port reach.
    pub fn tightly_coupled(&self, address: u32) -> bool {
        self.ram_place(address).is_some_and(|(place, _)| self.row.ram[place].tightly_coupled)
    }

    fn flash_holds(&self, address: u32) -> bool {
        match &self.flash {
            Flash::H7(flash) => flash.holds(address),
            Flash::G0(flash) => flash.holds(address),
            Flash::Plain(bytes) => address.wrapping_sub(FLASH) < bytes.len() as u32,
        }
    }

    /// The flash controller's registers: the offset.
    fn flash_register(&self, address: u32) -> Option<u32> {
        let (base, size) = match self.flash {
            Flash::H7(_) => (flash_h7::REGISTERS, 0x1000),
            Flash::G0(_) => (flash_g0::REGISTERS, 0x400),
            Flash::Plain(_) => return None,
        };
        let offset = address.wrapping_sub(base);
        (offset < size).then_some(offset & !3)
    }

    pub fn read(&mut self, address: u32, size: Size, by: Master) -> Result<u32, BusError> {
        let address = self.resolve(address);
        if self.held {
            return self.read_held();
        }
        if self.flash_holds(address) {
            return self.read_flash(address, size, by);
        }
        if let Some((place, offset)) = self.ram_place(address) {
            return Ok(little_endian(&self.ram[place][offset..offset + size as usize]));
        }
        if let Some((place, offset)) = self.rom_place(address) {
            return Ok(little_endian(&self.rom[place][offset..offset + size as usize]));
        }
        let word = match debug_address(address) {
            Some(debug) => self.read_debug(debug),
            None => self.read_register(address, by),
        };
        word.map(|word| lane(word, address, size)).ok_or(BusError::Fault)
    }

    /// H7 under NRST: the AXI bus is down and faults. G0: IDCODE was seen to read 0; the rest is assumed alike.
    fn read_held(&self) -> Result<u32, BusError> {
        match self.flash {
            Flash::H7(_) => Err(BusError::Fault),
            _ => Ok(0),
        }
    }

    fn read_flash(&mut self, address: u32, size: Size, by: Master) -> Result<u32, BusError> {
        match &mut self.flash {
            Flash::H7(flash) => flash.read(address, size, by),
            Flash::G0(flash) => flash.read(address, size, by),
            Flash::Plain(bytes) => {
                let offset = (address - FLASH) as usize;
                Ok(little_endian(&bytes[offset..offset + size as usize]))
            }
        }
    }

    fn read_register(&mut self, address: u32, by: Master) -> Option<u32> {
        let address = self.own(address);
        if let Some(offset) = self.flash_register(address) {
            return self.peek_flash_register(offset).or(Some(0));
        }
        if by == Master::Core {
            self.periph.count(address);
            self.soc.watch(&self.periph, address);
        }
        let plain = self.periph.read(address).map(|plain| self.soc.read(&self.periph, address, plain));
        self.soc.took(&mut self.periph, address);
        plain.or_else(|| self.peek_component(address))
    }

    fn write_register(&mut self, address: u32, value: u32, lanes: u32, by: Master) -> bool {
        let address = self.own(address);
        if by == Master::Core {
            self.periph.count(address);
        }
        let taken = self.periph.write(address, value, lanes);
        if taken {
            self.soc.wrote(&mut self.periph, address, value & lanes);
        }
        taken || self.debug.write(address, value)
    }

    fn peek_flash_register(&self, offset: u32) -> Option<u32> {
        match &self.flash {
            Flash::H7(flash) => flash.reg(offset),
            Flash::G0(flash) => flash.reg(offset),
            Flash::Plain(_) => None,
        }
    }

    /// A component that hangs on the system bus: the G0's ROM table, garbage until the debug clock runs.
    fn peek_component(&self, address: u32) -> Option<u32> {
        let word = self.debug.peek(address)?;
        let clocked = self.row.debug_clock.is_none_or(|(rcc, bit)| self.periph.peek(rcc).unwrap_or(0) >> bit & 1 == 1);
        Some(if clocked { word } else { GARBAGE })
    }

    /// APB-D, addresses as AP2 sees them. It answers under NRST too.
    pub fn read_debug(&mut self, address: u32) -> Option<u32> {
        match dbgmcu(address) {
            Some(dbgmcu) => self.periph.read(dbgmcu),
            None => self.debug.peek(address),
        }
    }

    pub fn write_debug(&mut self, address: u32, value: u32, lanes: u32) -> bool {
        match dbgmcu(address) {
            Some(dbgmcu) => self.write_register(dbgmcu, value, lanes, Master::Debugger),
            None => self.debug.write(address, value),
        }
    }

    pub fn write(&mut self, address: u32, size: Size, value: u32, by: Master) -> Result<(), BusError> {
        let address = self.resolve(address);
        if self.held {
            return self.read_held().map(drop);
        }
        if self.flash_holds(address) {
            return self.write_flash(address, size, value, by);
        }
        if let Some((place, offset)) = self.ram_place(address) {
            let len = size as usize;
            self.ram[place][offset..offset + len].copy_from_slice(&value.to_le_bytes()[..len]);
            return Ok(());
        }
        if let Some(offset) = self.flash_register(address) {
            return self.write_flash_register(offset, size, value);
        }
        let (value, lanes) = spread(value, address, size);
        let taken = match debug_address(address) {
            Some(debug) => self.write_debug(debug, value, lanes),
            None => self.write_register(address, value, lanes, by),
        };
        self.remap();
        if taken { Ok(()) } else { Err(BusError::Fault) }
    }

    fn write_flash(&mut self, address: u32, size: Size, value: u32, by: Master) -> Result<(), BusError> {
        let before = self.flash_event();
        let done = match &mut self.flash {
            Flash::H7(flash) => flash.write(address, size, value, by),
            Flash::G0(flash) => flash.write(address, size, value, by),
            Flash::Plain(_) => Err(BusError::Fault),
        };
        self.flash_changed |= self.flash_event() != before;
        done
    }

    /// Words only (assumed: the manuals allow narrower ones, nobody uses them).
    fn write_flash_register(&mut self, offset: u32, size: Size, value: u32) -> Result<(), BusError> {
        if size != Size::Word {
            return Err(BusError::Fault);
        }
        let before = self.flash_event();
        let done = match &mut self.flash {
            Flash::H7(flash) => flash.write_reg(offset, value).map(drop),
            Flash::G0(flash) => flash.write_reg(offset, value).map(drop),
            Flash::Plain(_) => Err(BusError::Fault),
        };
        self.flash_changed |= self.flash_event() != before;
        done
    }
}

/// From the core's address of the debug bus to the debugger's.
fn debug_address(address: u32) -> Option<u32> {
    let offset = address.wrapping_sub(DEBUG_BUS_ALIAS);
    (offset < DEBUG_BUS_SIZE).then(|| DEBUG_BUS + offset)
}

/// DBGMCU is a peripheral at the core's address.
fn dbgmcu(address: u32) -> Option<u32> {
    (address & !0xFFF == DBGMCU).then(|| address - DEBUG_BUS + DEBUG_BUS_ALIAS)
}

fn rom_contents(rom: &Rom) -> Vec<u8> {
    let filler = if rom.vectors.is_some() { LOOP } else { [0xFF; 4] };
    let mut bytes = filler.repeat(rom.size as usize / 4);
    let mut set = |address: u32, word: u32| {
        let at = (address - rom.base) as usize;
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    };
    if let Some(vectors) = rom.vectors {
        set(vectors, 0x2000_1000);
        (1..16).for_each(|vector| set(vectors + 4 * vector, vectors + 0x100 + 1));
    }
    rom.words.iter().for_each(|(address, word)| set(*address, *word));
    bytes
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | *byte as u32)
}

/// The bytes of a register that a narrow read carries, right-aligned.
pub fn lane(word: u32, address: u32, size: Size) -> u32 {
    match size {
        Size::Byte => word >> (8 * (address & 3)) & 0xFF,
        Size::Half => word >> (8 * (address & 2)) & 0xFFFF,
        Size::Word => word,
    }
}

/// A right-aligned value at its place in the word, and the mask of its bytes.
pub fn spread(value: u32, address: u32, size: Size) -> (u32, u32) {
    let (mask, shift) = match size {
        Size::Byte => (0xFF, 8 * (address & 3)),
        Size::Half => (0xFFFF, 8 * (address & 2)),
        Size::Word => (u32::MAX, 0),
    };
    ((value & mask) << shift, mask << shift)
}
