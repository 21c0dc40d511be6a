//! Names of debug port and access port registers (ARM IHI 0031, ADIv5.2), re-exported by `adi`.

/// Debug port, ADIv5.2 B2.2. Bits 7:4 of an address are the bank that SELECT.DPBANKSEL chooses, bits 3:0 the register.
pub mod dp {
    /// Read: who the port is.
    pub const DPIDR: u16 = 0x00;
    /// Write: abort and clear sticky errors.
    pub const ABORT: u16 = 0x00;
    /// Power requests and their acknowledges, sticky errors.
    pub const CTRL_STAT: u16 = 0x04;
    /// SWD line settings, turnaround.
    pub const DLCR: u16 = 0x14;
    /// Who the chip is; DPv2.
    pub const TARGETID: u16 = 0x24;
    /// AP and bank selection, write only.
    pub const SELECT: u16 = 0x08;
    /// Result of the last posted AP read.
    pub const RDBUFF: u16 = 0x0C;
}

/// MEM-AP, ADIv5.2 C2.6.
pub mod ap {
    /// Size, increment, protection of transfers.
    pub const CSW: u16 = 0x00;
    /// Address of the transfer.
    pub const TAR: u16 = 0x04;
    /// The transfer itself.
    pub const DRW: u16 = 0x0C;
    /// Banked data: four words around TAR, BD0 to BD3.
    pub const BD0: u16 = 0x10;
    pub const BD3: u16 = 0x1C;
    /// Kind of AP; zero where there is none; every AP has it, C1.3.
    pub const IDR: u16 = 0xFC;

    /// Bits of CSW for an AHB-AP (ADIv5.2 E1): HPROT[3], the transfer may be answered by a cache.
    pub const CSW_CACHEABLE: u32 = 1 << 27;
}
