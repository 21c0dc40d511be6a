//! DP and AP registers through an ST-Link: READ_DAP_REG and WRITE_DAP_REG, and the access ports it keeps open.

use super::tables::*;
use super::{Block, StLink, word};
use crate::error::{Context, Error, Result};
use crate::probe::dap::{ap, dp};
use crate::probe::{Ap, MemOp, Port};

/// What READALLREGS is known to tell, in order of their selectors: r0 to r15, xPSR, msp, psp. Two words more are not understood.
const ALL_REGS: u32 = 19;
/// DP CTRL/STAT: the firmware cannot work with it.
const ORUNDETECT: u32 = 1 << 0;

impl StLink {
    /// An AP has to be opened once before its first use (V2J28 and later). V3 keeps eight open.
    pub(super) fn open_ap(&mut self, index: u8) -> Result<()> {
        if self.open_aps.contains(&index) {
            return Ok(());
        }
        if !self.has(Feature::INIT_AP) {
            return if index == 0 { Ok(()) } else { self.need(Feature::INIT_AP) };
        }
        if self.open_aps.len() >= self.limits.open_aps {
            let oldest = self.open_aps.remove(0);
            self.close_ap(oldest)?;
        }
        self.command(&Block::new(INIT_AP).u8(index), &format_args!(" AP {index}"))?;
        self.open_aps.push(index);
        Ok(())
    }

    pub(super) fn close_ap(&mut self, index: u8) -> Result<()> {
        if !self.has(Feature::CLOSE_AP) {
            return Ok(());
        }
        self.command(&Block::new(CLOSE_AP).u8(index), &format_args!(" AP {index}"))
    }

    pub(super) fn dap_read(&mut self, port: Port, address: u16) -> Result<u32> {
        let mut reply = [0; 8];
        self.ask(&register_block(READ_DAP_REG, port, address), &register_name(port, address), &mut reply)?;
        Ok(word(&reply[4..]))
    }

    pub(super) fn dap_write(&mut self, port: Port, address: u16, value: u32) -> Result<()> {
        let block = register_block(WRITE_DAP_REG, port, address).u32(value);
        self.ask(&block, &format_args!("{} = {value:#010x}", register_name(port, address)), &mut [0; 2])
    }

    fn dap_read_patiently(&mut self, port: Port, address: u16) -> Result<u32> {
        let mut value = 0;
        let read = |link: &mut StLink| link.dap_read(port, address).map(|read| value = read);
        self.patiently(is_repeatable(port, address), read)?;
        Ok(value)
    }

    fn ready_register(&mut self, port: Port, address: u16) -> Result<()> {
        if address > 0xff || !address.is_multiple_of(4) {
            return Err(Error::command(format!("there is no register{}", register_name(port, address)))
                .hint("register addresses are 0x00 to 0xfc in steps of 4"));
        }
        match port {
            Port::Dp if address > 0x0f => self.need(Feature::BANKED_DP),
            Port::Dp => Ok(()),
            Port::Ap(index) => self.open_ap(index),
        }
    }

    pub(super) fn read_register(&mut self, port: Port, address: u16) -> Result<u32> {
        self.ready_register(port, address)?;
        self.dap_read_patiently(port, address)
    }

    pub(super) fn write_register(&mut self, port: Port, address: u16, value: u32) -> Result<()> {
        self.ready_register(port, address)?;
        match (port, address) {
            (Port::Dp, dp::SELECT) => {
                return Err(Error::command("DP SELECT belongs to the ST-Link's firmware")
                    .hint("the bank is part of the register's address: 0x24 is register 4 of bank 2"));
            }
            (Port::Dp, dp::CTRL_STAT) if value & ORUNDETECT != 0 => {
                return Err(Error::command(format!("CTRL/STAT = {value:#010x}: an ST-Link cannot work with ORUNDETECT (bit 0) set")));
            }
            _ => self.patiently(is_repeatable(port, address), |link| link.dap_write(port, address, value))?,
        }
        if port == Port::Dp {
            return Ok(());
        }
        // An AP write is posted: whether it succeeded shows at the next access (ADIv5.2 B4.2), which is this one.
        let flushed = self.dap_read_patiently(Port::Dp, dp::RDBUFF);
        flushed.map(drop).during(format_args!("{}{}", WRITE_DAP_REG.name, register_name(port, address)))
    }
}

/// Core registers by READREG, WRITEREG and READALLREGS: one command each, where there are no batches.
impl StLink {
    pub(super) fn own_registers(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<bool> {
        if self.batches() || ap.index != 0 {
            return Ok(false);
        }
        let plain = ops.iter().filter(|op| !op.write && op.address < ALL_REGS).count();
        let mut all = [0; 88];
        if plain > 1 {
            self.patiently(true, |link| link.ask(&Block::new(READALLREGS), &"", &mut all))?;
        }
        for op in ops {
            let (about, selector) = (format!(" {:#x}", op.address), op.address as u8);
            match op.write {
                true => self.command(&Block::new(WRITEREG).u8(selector).u32(op.value), &about)?,
                false if plain > 1 && op.address < ALL_REGS => op.value = word(&all[4 + 4 * op.address as usize..]),
                false => {
                    let mut reply = [0; 8];
                    self.patiently(true, |link| link.ask(&Block::new(READREG).u8(selector), &about, &mut reply))?;
                    op.value = word(&reply[4..]);
                }
            }
        }
        Ok(true)
    }
}

/// DRW and the banked data registers move TAR or the target; everything else may be read and written again.
fn is_repeatable(port: Port, address: u16) -> bool {
    port == Port::Dp || !(address == ap::DRW || (ap::BD0..=ap::BD3).contains(&address))
}

/// The DP is port 0xffff; an AP is its number.
fn register_block(op: Op, port: Port, address: u16) -> Block {
    let port = match port {
        Port::Dp => 0xffff,
        Port::Ap(index) => u16::from(index),
    };
    Block::new(op).u16(port).u16(address)
}

fn register_name(port: Port, address: u16) -> String {
    match port {
        Port::Dp => format!(" DP {address:#04x}"),
        Port::Ap(index) => format!(" AP {index} {address:#04x}"),
    }
}
