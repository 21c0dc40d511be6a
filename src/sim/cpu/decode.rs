//! Decoding: one row per encoding, written as the architecture manual draws it (ARM DDI0403E A5 and A7, DDI0419 A5).
//!
//! A pattern lists the bits from the most significant; 0 and 1 must match, a letter names the field the bit belongs to,
//! and a field's bits are gathered in the order they stand. The first row that matches wins, so the narrower stands first.

use super::exec::Exec;
use super::{fp, int, mem, system};

/// The cores that have an encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// ARMv6-M: Cortex-M0+.
    V6M,
    /// ARMv7-M with the DSP extension: Cortex-M4 and M7.
    V7EM,
    /// Single precision, FPv4-SP and up.
    FpSingle,
    /// FPv5: double precision and the new instructions.
    Fp5,
}

/// What becomes of the bits named `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imm {
    /// Zero-extended and shifted left by this much.
    Scaled(u32),
    /// Sign-extended from this many bits, then doubled: branches.
    Signed(u32),
    /// imm5 with the type in `y`: DDI0403 A7.4.2 DecodeImmShift.
    Shift,
    /// i:imm3:imm8: DDI0403 A5.3.2 ThumbExpandImm_C.
    Expand,
    /// B T4 and BL: S:imm10:imm11 with J1 and J2 turned by S.
    Branch24,
}

/// When the flags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    Keep,
    Set,
    /// 16-bit data processing: only outside an IT block.
    OutsideIt,
}

pub struct Row {
    pub pattern: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "names the encoding to readers and to tests"))]
    pub name: &'static str,
    pub arch: Arch,
    pub exec: Exec,
    pub imm: Imm,
    pub flags: Flags,
}

const fn row(arch: Arch, pattern: &'static str, name: &'static str, exec: Exec) -> Row {
    Row { pattern, name, arch, exec, imm: Imm::Scaled(0), flags: Flags::Keep }
}

impl Row {
    const fn imm(mut self, imm: Imm) -> Row {
        self.imm = imm;
        self
    }

    const fn flags(mut self, flags: Flags) -> Row {
        self.flags = flags;
        self
    }

    const fn outside(self) -> Row {
        self.flags(Flags::OutsideIt)
    }
}

/// One instruction, ready to execute.
#[derive(Clone, Copy)]
pub struct Insn {
    pub exec: Exec,
    pub raw: u32,
    pub imm: u32,
    /// Rd, Rn, Rm, Rt, and Ra (also Rt2, RdHi).
    pub d: u8,
    pub n: u8,
    pub m: u8,
    pub t: u8,
    pub a: u8,
    /// Condition (B, IT's first), width, saturation bit, rotation: what the row calls `x`.
    pub x: u8,
    /// Shift type 0..3, 4 = RRX; the amount is `imm`.
    pub y: u8,
    /// ThumbExpandImm's carry: 0 unchanged, else 2 | carry.
    pub carry: u8,
    pub flags: Flags,
    /// P, U, W of loads and stores.
    pub index: bool,
    pub add: bool,
    pub wback: bool,
    /// Double precision.
    pub double: bool,
    /// 2 or 4 bytes.
    pub len: u8,
}

use Arch::{Fp5, FpSingle, V6M, V7EM};

/// 16-bit encodings, DDI0403E A5.2.
pub const T16: &[Row] = &[
    // A5.2.1 shift (immediate), add, subtract, move, compare
    row(V6M, "0001100_mmm_nnn_ddd", "ADD (register) T1", int::add_reg).outside(),
    row(V6M, "0001101_mmm_nnn_ddd", "SUB (register) T1", int::sub_reg).outside(),
    row(V6M, "0001110_iii_nnn_ddd", "ADD (immediate) T1", int::add_imm).outside(),
    row(V6M, "0001111_iii_nnn_ddd", "SUB (immediate) T1", int::sub_imm).outside(),
    row(V6M, "000_yy_iiiii_mmm_ddd", "LSL, LSR, ASR (immediate) T1", int::shift_imm).imm(Imm::Shift).outside(),
    row(V6M, "00100_ddd_iiiiiiii", "MOV (immediate) T1", int::mov_imm).outside(),
    row(V6M, "00101_nnn_iiiiiiii", "CMP (immediate) T1", int::cmp_imm),
    row(V6M, "00110_ddd_iiiiiiii", "ADD (immediate) T2", int::add_imm8).outside(),
    row(V6M, "00111_ddd_iiiiiiii", "SUB (immediate) T2", int::sub_imm8).outside(),
    // A5.2.2 data processing; Rdn is both operand and destination
    row(V6M, "0100000000_mmm_ddd", "AND (register) T1", int::and_rdn).outside(),
    row(V6M, "0100000001_mmm_ddd", "EOR (register) T1", int::eor_rdn).outside(),
    row(V6M, "0100000010_mmm_ddd", "LSL (register) T1", int::lsl_rdn).outside(),
    row(V6M, "0100000011_mmm_ddd", "LSR (register) T1", int::lsr_rdn).outside(),
    row(V6M, "0100000100_mmm_ddd", "ASR (register) T1", int::asr_rdn).outside(),
    row(V6M, "0100000101_mmm_ddd", "ADC (register) T1", int::adc_rdn).outside(),
    row(V6M, "0100000110_mmm_ddd", "SBC (register) T1", int::sbc_rdn).outside(),
    row(V6M, "0100000111_mmm_ddd", "ROR (register) T1", int::ror_rdn).outside(),
    row(V6M, "0100001000_mmm_nnn", "TST (register) T1", int::tst_reg),
    row(V6M, "0100001001_nnn_ddd", "RSB (immediate) T1", int::rsb_imm).outside(),
    row(V6M, "0100001010_mmm_nnn", "CMP (register) T1", int::cmp_reg),
    row(V6M, "0100001011_mmm_nnn", "CMN (register) T1", int::cmn_reg),
    row(V6M, "0100001100_mmm_ddd", "ORR (register) T1", int::orr_rdn).outside(),
    row(V6M, "0100001101_nnn_ddd", "MUL T1", int::mul_rdn).outside(),
    row(V6M, "0100001110_mmm_ddd", "BIC (register) T1", int::bic_rdn).outside(),
    row(V6M, "0100001111_mmm_ddd", "MVN (register) T1", int::mvn_reg).outside(),
    // A5.2.3 special data instructions and branch and exchange
    row(V6M, "01000100_d_mmmm_ddd", "ADD (register) T2", int::add_high),
    row(V6M, "01000101_n_mmmm_nnn", "CMP (register) T2", int::cmp_reg),
    row(V6M, "01000110_d_mmmm_ddd", "MOV (register) T1", int::mov_high),
    row(V6M, "010001110_mmmm_000", "BX T1", int::bx),
    row(V6M, "010001111_mmmm_000", "BLX (register) T1", int::blx),
    // A5.2.4 loads and stores
    row(V6M, "01001_ttt_iiiiiiii", "LDR (literal) T1", mem::ldr_literal16).imm(Imm::Scaled(2)),
    row(V6M, "0101000_mmm_nnn_ttt", "STR (register) T1", mem::str_reg),
    row(V6M, "0101001_mmm_nnn_ttt", "STRH (register) T1", mem::strh_reg),
    row(V6M, "0101010_mmm_nnn_ttt", "STRB (register) T1", mem::strb_reg),
    row(V6M, "0101011_mmm_nnn_ttt", "LDRSB (register) T1", mem::ldrsb_reg),
    row(V6M, "0101100_mmm_nnn_ttt", "LDR (register) T1", mem::ldr_reg),
    row(V6M, "0101101_mmm_nnn_ttt", "LDRH (register) T1", mem::ldrh_reg),
    row(V6M, "0101110_mmm_nnn_ttt", "LDRB (register) T1", mem::ldrb_reg),
    row(V6M, "0101111_mmm_nnn_ttt", "LDRSH (register) T1", mem::ldrsh_reg),
    row(V6M, "01100_iiiii_nnn_ttt", "STR (immediate) T1", mem::str_off).imm(Imm::Scaled(2)),
    row(V6M, "01101_iiiii_nnn_ttt", "LDR (immediate) T1", mem::ldr_off).imm(Imm::Scaled(2)),
    row(V6M, "01110_iiiii_nnn_ttt", "STRB (immediate) T1", mem::strb_off),
    row(V6M, "01111_iiiii_nnn_ttt", "LDRB (immediate) T1", mem::ldrb_off),
    row(V6M, "10000_iiiii_nnn_ttt", "STRH (immediate) T1", mem::strh_off).imm(Imm::Scaled(1)),
    row(V6M, "10001_iiiii_nnn_ttt", "LDRH (immediate) T1", mem::ldrh_off).imm(Imm::Scaled(1)),
    row(V6M, "10010_ttt_iiiiiiii", "STR (immediate) T2", mem::str_sp).imm(Imm::Scaled(2)),
    row(V6M, "10011_ttt_iiiiiiii", "LDR (immediate) T2", mem::ldr_sp).imm(Imm::Scaled(2)),
    row(V6M, "10100_ddd_iiiiiiii", "ADR T1", int::adr_add).imm(Imm::Scaled(2)),
    row(V6M, "10101_ddd_iiiiiiii", "ADD (SP plus immediate) T1", int::add_sp).imm(Imm::Scaled(2)),
    // A5.2.5 miscellaneous
    row(V6M, "101100000_iiiiiii", "ADD (SP plus immediate) T2", int::sp_add).imm(Imm::Scaled(2)),
    row(V6M, "101100001_iiiiiii", "SUB (SP minus immediate) T1", int::sp_sub).imm(Imm::Scaled(2)),
    row(V7EM, "101100_i_1_iiiii_nnn", "CBZ T1", int::cbz).imm(Imm::Scaled(1)),
    row(V7EM, "101110_i_1_iiiii_nnn", "CBNZ T1", int::cbnz).imm(Imm::Scaled(1)),
    row(V6M, "1011001000_mmm_ddd", "SXTH T1", int::sxth),
    row(V6M, "1011001001_mmm_ddd", "SXTB T1", int::sxtb),
    row(V6M, "1011001010_mmm_ddd", "UXTH T1", int::uxth),
    row(V6M, "1011001011_mmm_ddd", "UXTB T1", int::uxtb),
    row(V6M, "1011010_m_iiiiiiii", "PUSH T1", mem::push),
    row(V6M, "10110110011_x_00_ii", "CPS T1", system::cps),
    row(V6M, "1011101000_mmm_ddd", "REV T1", int::rev),
    row(V6M, "1011101001_mmm_ddd", "REV16 T1", int::rev16),
    row(V6M, "1011101011_mmm_ddd", "REVSH T1", int::revsh),
    row(V6M, "1011110_m_iiiiiiii", "POP T1", mem::pop),
    row(V6M, "10111110_iiiiiiii", "BKPT T1", system::bkpt),
    row(V6M, "10111111_iiii_0000", "NOP, YIELD, WFE, WFI, SEV T1", system::hint),
    row(V7EM, "10111111_iiiiiiii", "IT T1", system::it),
    row(V6M, "11000_nnn_iiiiiiii", "STM T1", mem::stm16),
    row(V6M, "11001_nnn_iiiiiiii", "LDM T1", mem::ldm16),
    // A5.2.6 conditional branch and supervisor call
    row(V6M, "11011110_iiiiiiii", "UDF T1", system::udf),
    row(V6M, "11011111_iiiiiiii", "SVC T1", system::svc),
    row(V6M, "1101_xxxx_iiiiiiii", "B T1", int::b_cond).imm(Imm::Signed(8)),
    row(V6M, "11100_iiiiiiiiiii", "B T2", int::b).imm(Imm::Signed(11)),
];

/// 32-bit encodings, DDI0403E A5.3.
pub const T32: &[Row] = &[
    // A5.3.5 load and store multiple
    row(V7EM, "1110_100010_w0_nnnn_0i0i_iiii_iiii_iiii", "STM T2", mem::stmia),
    row(V7EM, "1110_100010_w1_nnnn_ii0i_iiii_iiii_iiii", "LDM T2, POP T2", mem::ldmia),
    row(V7EM, "1110_100100_w0_nnnn_0i0i_iiii_iiii_iiii", "STMDB T1, PUSH T2", mem::stmdb),
    row(V7EM, "1110_100100_w1_nnnn_ii0i_iiii_iiii_iiii", "LDMDB T1", mem::ldmdb),
    // A5.3.6 load and store dual or exclusive, table branch
    row(V7EM, "1110_10000100_nnnn_tttt_dddd_iiii_iiii", "STREX T1", mem::strex).imm(Imm::Scaled(2)),
    row(V7EM, "1110_10000101_nnnn_tttt_1111_iiii_iiii", "LDREX T1", mem::ldrex).imm(Imm::Scaled(2)),
    row(V7EM, "1110_10001100_nnnn_tttt_1111_0100_dddd", "STREXB T1", mem::strexb),
    row(V7EM, "1110_10001100_nnnn_tttt_1111_0101_dddd", "STREXH T1", mem::strexh),
    row(V7EM, "1110_10001101_nnnn_1111_0000_0000_mmmm", "TBB T1", mem::tbb),
    row(V7EM, "1110_10001101_nnnn_1111_0000_0001_mmmm", "TBH T1", mem::tbh),
    row(V7EM, "1110_10001101_nnnn_tttt_1111_0100_1111", "LDREXB T1", mem::ldrexb),
    row(V7EM, "1110_10001101_nnnn_tttt_1111_0101_1111", "LDREXH T1", mem::ldrexh),
    row(V7EM, "1110_1000_u110_nnnn_tttt_aaaa_iiii_iiii", "STRD (immediate) T1, post-indexed", mem::strd_post).imm(Imm::Scaled(2)),
    row(V7EM, "1110_1000_u111_nnnn_tttt_aaaa_iiii_iiii", "LDRD (immediate) T1, post-indexed", mem::ldrd_post).imm(Imm::Scaled(2)),
    row(V7EM, "1110_1001_u1w0_nnnn_tttt_aaaa_iiii_iiii", "STRD (immediate) T1", mem::strd).imm(Imm::Scaled(2)),
    row(V7EM, "1110_1001_u1w1_nnnn_tttt_aaaa_iiii_iiii", "LDRD (immediate) T1, LDRD (literal) T1", mem::ldrd).imm(Imm::Scaled(2)),
    // A5.3.11 data processing (shifted register); Rd = 15 or Rn = 15 name other instructions
    row(V7EM, "1110_1010000_1_nnnn_0iii_1111_iiyy_mmmm", "TST (register) T2", int::tst_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010000_s_nnnn_0iii_dddd_iiyy_mmmm", "AND (register) T2", int::and_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010001_s_nnnn_0iii_dddd_iiyy_mmmm", "BIC (register) T2", int::bic_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010010_s_1111_0iii_dddd_iiyy_mmmm", "MOV (register) T3, LSL, LSR, ASR, ROR (immediate) T2, RRX", int::mov_shift)
        .imm(Imm::Shift),
    row(V7EM, "1110_1010010_s_nnnn_0iii_dddd_iiyy_mmmm", "ORR (register) T2", int::orr_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010011_s_1111_0iii_dddd_iiyy_mmmm", "MVN (register) T2", int::mvn_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010011_s_nnnn_0iii_dddd_iiyy_mmmm", "ORN (register) T1", int::orn_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010100_1_nnnn_0iii_1111_iiyy_mmmm", "TEQ (register) T1", int::teq_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010100_s_nnnn_0iii_dddd_iiyy_mmmm", "EOR (register) T2", int::eor_shift).imm(Imm::Shift),
    row(V7EM, "1110_1010110_0_nnnn_0iii_dddd_iiy0_mmmm", "PKHBT, PKHTB T1", int::pkh),
    row(V7EM, "1110_1011000_1_nnnn_0iii_1111_iiyy_mmmm", "CMN (register) T2", int::cmn_shift).imm(Imm::Shift),
    row(V7EM, "1110_1011000_s_nnnn_0iii_dddd_iiyy_mmmm", "ADD (register) T3", int::add_shift).imm(Imm::Shift),
    row(V7EM, "1110_1011010_s_nnnn_0iii_dddd_iiyy_mmmm", "ADC (register) T2", int::adc_shift).imm(Imm::Shift),
    row(V7EM, "1110_1011011_s_nnnn_0iii_dddd_iiyy_mmmm", "SBC (register) T2", int::sbc_shift).imm(Imm::Shift),
    row(V7EM, "1110_1011101_1_nnnn_0iii_1111_iiyy_mmmm", "CMP (register) T3", int::cmp_shift).imm(Imm::Shift),
    row(V7EM, "1110_1011101_s_nnnn_0iii_dddd_iiyy_mmmm", "SUB (register) T2", int::sub_shift).imm(Imm::Shift),
    row(V7EM, "1110_1011110_s_nnnn_0iii_dddd_iiyy_mmmm", "RSB (register) T1", int::rsb_shift).imm(Imm::Shift),
    // A5.3.1 data processing (modified immediate)
    row(V7EM, "1111_0i00000_1_nnnn_0iii_1111_iiii_iiii", "TST (immediate) T1", int::tst_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00000_s_nnnn_0iii_dddd_iiii_iiii", "AND (immediate) T1", int::and_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00001_s_nnnn_0iii_dddd_iiii_iiii", "BIC (immediate) T1", int::bic_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00010_s_1111_0iii_dddd_iiii_iiii", "MOV (immediate) T2", int::mov_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00010_s_nnnn_0iii_dddd_iiii_iiii", "ORR (immediate) T1", int::orr_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00011_s_1111_0iii_dddd_iiii_iiii", "MVN (immediate) T1", int::mvn_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00011_s_nnnn_0iii_dddd_iiii_iiii", "ORN (immediate) T1", int::orn_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00100_1_nnnn_0iii_1111_iiii_iiii", "TEQ (immediate) T1", int::teq_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i00100_s_nnnn_0iii_dddd_iiii_iiii", "EOR (immediate) T1", int::eor_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01000_1_nnnn_0iii_1111_iiii_iiii", "CMN (immediate) T1", int::cmn_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01000_s_nnnn_0iii_dddd_iiii_iiii", "ADD (immediate) T3", int::add_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01010_s_nnnn_0iii_dddd_iiii_iiii", "ADC (immediate) T1", int::adc_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01011_s_nnnn_0iii_dddd_iiii_iiii", "SBC (immediate) T1", int::sbc_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01101_1_nnnn_0iii_1111_iiii_iiii", "CMP (immediate) T2", int::cmp_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01101_s_nnnn_0iii_dddd_iiii_iiii", "SUB (immediate) T3", int::sub_exp).imm(Imm::Expand),
    row(V7EM, "1111_0i01110_s_nnnn_0iii_dddd_iiii_iiii", "RSB (immediate) T2", int::rsb_exp).imm(Imm::Expand),
    // A5.3.3 data processing (plain binary immediate)
    row(V7EM, "1111_0i100000_1111_0iii_dddd_iiii_iiii", "ADR T3", int::adr_add),
    row(V7EM, "1111_0i100000_nnnn_0iii_dddd_iiii_iiii", "ADD (immediate) T4", int::add_imm),
    row(V7EM, "1111_0i100100_iiii_0iii_dddd_iiii_iiii", "MOV (immediate) T3", int::movw),
    row(V7EM, "1111_0i101010_1111_0iii_dddd_iiii_iiii", "ADR T2", int::adr_sub),
    row(V7EM, "1111_0i101010_nnnn_0iii_dddd_iiii_iiii", "SUB (immediate) T4", int::sub_imm),
    row(V7EM, "1111_0i101100_iiii_0iii_dddd_iiii_iiii", "MOVT T1", int::movt),
    row(V7EM, "1111_00110010_nnnn_0000_dddd_0000_xxxx", "SSAT16 T1", int::ssat16),
    row(V7EM, "1111_001100y0_nnnn_0iii_dddd_ii0x_xxxx", "SSAT T1", int::ssat),
    row(V7EM, "1111_00110100_nnnn_0iii_dddd_ii0x_xxxx", "SBFX T1", int::sbfx),
    row(V7EM, "1111_00110110_nnnn_0iii_dddd_ii0x_xxxx", "BFI, BFC T1", int::bfi),
    row(V7EM, "1111_00111010_nnnn_0000_dddd_0000_xxxx", "USAT16 T1", int::usat16),
    row(V7EM, "1111_001110y0_nnnn_0iii_dddd_ii0x_xxxx", "USAT T1", int::usat),
    row(V7EM, "1111_00111100_nnnn_0iii_dddd_ii0x_xxxx", "UBFX T1", int::ubfx),
    // A5.3.4 branches and miscellaneous control
    row(V6M, "1111_00111000_nnnn_1000_xx00_iiii_iiii", "MSR T1", system::msr),
    row(V7EM, "1111_001110101111_1000_0000_iiii_iiii", "NOP, YIELD, WFE, WFI, SEV, DBG T2", system::hint),
    row(V7EM, "1111_001110111111_1000_1111_0010_1111", "CLREX T1", system::clrex),
    row(V6M, "1111_001110111111_1000_1111_0100_xxxx", "DSB T1", system::barrier),
    row(V6M, "1111_001110111111_1000_1111_0101_xxxx", "DMB T1", system::barrier),
    row(V6M, "1111_001110111111_1000_1111_0110_xxxx", "ISB T1", system::barrier),
    row(V6M, "1111_001111101111_1000_dddd_iiii_iiii", "MRS T1", system::mrs),
    row(V6M, "1111_01111111_iiii_1010_iiii_iiii_iiii", "UDF T2", system::udf),
    row(V7EM, "1111_0_i_111_xxxxxxx_10_x_0_x_xxxxxxxxxxx", "(unallocated)", system::udf),
    row(V7EM, "1111_0_i_xxxx_iiiiii_10_i_0_i_iiiiiiiiiii", "B T3", int::b_cond_wide),
    row(V7EM, "1111_0_i_iiiiiiiiii_10_i_1_i_iiiiiiiiiii", "B T4", int::b).imm(Imm::Branch24),
    row(V6M, "1111_0_i_iiiiiiiiii_11_i_1_i_iiiiiiiiiii", "BL T1", int::bl).imm(Imm::Branch24),
    // A5.3.10 store single
    row(V7EM, "1111_10001000_nnnn_tttt_iiii_iiii_iiii", "STRB (immediate) T2", mem::strb_off),
    row(V7EM, "1111_10001010_nnnn_tttt_iiii_iiii_iiii", "STRH (immediate) T2", mem::strh_off),
    row(V7EM, "1111_10001100_nnnn_tttt_iiii_iiii_iiii", "STR (immediate) T3", mem::str_off),
    row(V7EM, "1111_10000000_nnnn_tttt_1puw_iiii_iiii", "STRB (immediate) T3", mem::strb_idx),
    row(V7EM, "1111_10000010_nnnn_tttt_1puw_iiii_iiii", "STRH (immediate) T3", mem::strh_idx),
    row(V7EM, "1111_10000100_nnnn_tttt_1puw_iiii_iiii", "STR (immediate) T4, PUSH T3", mem::str_idx),
    row(V7EM, "1111_10000000_nnnn_tttt_0000_00ii_mmmm", "STRB (register) T2", mem::strb_reg),
    row(V7EM, "1111_10000010_nnnn_tttt_0000_00ii_mmmm", "STRH (register) T2", mem::strh_reg),
    row(V7EM, "1111_10000100_nnnn_tttt_0000_00ii_mmmm", "STR (register) T2", mem::str_reg),
    // A5.3.7 to A5.3.9 loads and memory hints (Rt = 15)
    row(V7EM, "1111_1000_u001_1111_1111_iiii_iiii_iiii", "PLD (literal) T1", system::nop),
    row(V7EM, "1111_10001001_nnnn_1111_iiii_iiii_iiii", "PLD (immediate) T1", system::nop),
    row(V7EM, "1111_10000001_nnnn_1111_1100_iiii_iiii", "PLD (immediate) T2", system::nop),
    row(V7EM, "1111_10000001_nnnn_1111_0000_00ii_mmmm", "PLD (register) T1", system::nop),
    row(V7EM, "1111_1001_u001_1111_1111_iiii_iiii_iiii", "PLI (literal) T3", system::nop),
    row(V7EM, "1111_10011001_nnnn_1111_iiii_iiii_iiii", "PLI (immediate) T1", system::nop),
    row(V7EM, "1111_10010001_nnnn_1111_1100_iiii_iiii", "PLI (immediate) T2", system::nop),
    row(V7EM, "1111_10010001_nnnn_1111_0000_00ii_mmmm", "PLI (register) T1", system::nop),
    row(V7EM, "1111_1000_u001_1111_tttt_iiii_iiii_iiii", "LDRB (literal) T1", mem::ldrb_lit),
    row(V7EM, "1111_1000_u011_1111_tttt_iiii_iiii_iiii", "LDRH (literal) T1", mem::ldrh_lit),
    row(V7EM, "1111_1000_u101_1111_tttt_iiii_iiii_iiii", "LDR (literal) T2", mem::ldr_lit),
    row(V7EM, "1111_1001_u001_1111_tttt_iiii_iiii_iiii", "LDRSB (literal) T1", mem::ldrsb_lit),
    row(V7EM, "1111_1001_u011_1111_tttt_iiii_iiii_iiii", "LDRSH (literal) T1", mem::ldrsh_lit),
    row(V7EM, "1111_10001001_nnnn_tttt_iiii_iiii_iiii", "LDRB (immediate) T2", mem::ldrb_off),
    row(V7EM, "1111_10001011_nnnn_tttt_iiii_iiii_iiii", "LDRH (immediate) T2", mem::ldrh_off),
    row(V7EM, "1111_10001101_nnnn_tttt_iiii_iiii_iiii", "LDR (immediate) T3", mem::ldr_off),
    row(V7EM, "1111_10011001_nnnn_tttt_iiii_iiii_iiii", "LDRSB (immediate) T1", mem::ldrsb_off),
    row(V7EM, "1111_10011011_nnnn_tttt_iiii_iiii_iiii", "LDRSH (immediate) T1", mem::ldrsh_off),
    row(V7EM, "1111_10000001_nnnn_tttt_1puw_iiii_iiii", "LDRB (immediate) T3", mem::ldrb_idx),
    row(V7EM, "1111_10000011_nnnn_tttt_1puw_iiii_iiii", "LDRH (immediate) T3", mem::ldrh_idx),
    row(V7EM, "1111_10000101_nnnn_tttt_1puw_iiii_iiii", "LDR (immediate) T4, POP T3", mem::ldr_idx),
    row(V7EM, "1111_10010001_nnnn_tttt_1puw_iiii_iiii", "LDRSB (immediate) T2", mem::ldrsb_idx),
    row(V7EM, "1111_10010011_nnnn_tttt_1puw_iiii_iiii", "LDRSH (immediate) T2", mem::ldrsh_idx),
    row(V7EM, "1111_10000001_nnnn_tttt_0000_00ii_mmmm", "LDRB (register) T2", mem::ldrb_reg),
    row(V7EM, "1111_10000011_nnnn_tttt_0000_00ii_mmmm", "LDRH (register) T2", mem::ldrh_reg),
    row(V7EM, "1111_10000101_nnnn_tttt_0000_00ii_mmmm", "LDR (register) T2", mem::ldr_reg),
    row(V7EM, "1111_10010001_nnnn_tttt_0000_00ii_mmmm", "LDRSB (register) T2", mem::ldrsb_reg),
    row(V7EM, "1111_10010011_nnnn_tttt_0000_00ii_mmmm", "LDRSH (register) T2", mem::ldrsh_reg),
    // A5.3.12 data processing (register)
    row(V7EM, "1111_1010000_s_nnnn_1111_dddd_0000_mmmm", "LSL (register) T2", int::lsl_reg),
    row(V7EM, "1111_1010001_s_nnnn_1111_dddd_0000_mmmm", "LSR (register) T2", int::lsr_reg),
    row(V7EM, "1111_1010010_s_nnnn_1111_dddd_0000_mmmm", "ASR (register) T2", int::asr_reg),
    row(V7EM, "1111_1010011_s_nnnn_1111_dddd_0000_mmmm", "ROR (register) T2", int::ror_reg),
    row(V7EM, "1111_10100000_nnnn_1111_dddd_10xx_mmmm", "SXTAH T1, SXTH T2", int::sxtah),
    row(V7EM, "1111_10100001_nnnn_1111_dddd_10xx_mmmm", "UXTAH T1, UXTH T2", int::uxtah),
    row(V7EM, "1111_10100010_nnnn_1111_dddd_10xx_mmmm", "SXTAB16, SXTB16 T1", int::sxtab16),
    row(V7EM, "1111_10100011_nnnn_1111_dddd_10xx_mmmm", "UXTAB16, UXTB16 T1", int::uxtab16),
    row(V7EM, "1111_10100100_nnnn_1111_dddd_10xx_mmmm", "SXTAB T1, SXTB T2", int::sxtab),
    row(V7EM, "1111_10100101_nnnn_1111_dddd_10xx_mmmm", "UXTAB T1, UXTB T2", int::uxtab),
    // A5.3.13, A5.3.14 parallel addition and subtraction; x: 0 wrap, 1 saturate, 2 halve
    row(V7EM, "1111_10101001_nnnn_1111_dddd_00xx_mmmm", "SADD16, QADD16, SHADD16 T1", int::sadd16),
    row(V7EM, "1111_10101010_nnnn_1111_dddd_00xx_mmmm", "SASX, QASX, SHASX T1", int::sasx),
    row(V7EM, "1111_10101110_nnnn_1111_dddd_00xx_mmmm", "SSAX, QSAX, SHSAX T1", int::ssax),
    row(V7EM, "1111_10101101_nnnn_1111_dddd_00xx_mmmm", "SSUB16, QSUB16, SHSUB16 T1", int::ssub16),
    row(V7EM, "1111_10101000_nnnn_1111_dddd_00xx_mmmm", "SADD8, QADD8, SHADD8 T1", int::sadd8),
    row(V7EM, "1111_10101100_nnnn_1111_dddd_00xx_mmmm", "SSUB8, QSUB8, SHSUB8 T1", int::ssub8),
    row(V7EM, "1111_10101001_nnnn_1111_dddd_01xx_mmmm", "UADD16, UQADD16, UHADD16 T1", int::uadd16),
    row(V7EM, "1111_10101010_nnnn_1111_dddd_01xx_mmmm", "UASX, UQASX, UHASX T1", int::uasx),
    row(V7EM, "1111_10101110_nnnn_1111_dddd_01xx_mmmm", "USAX, UQSAX, UHSAX T1", int::usax),
    row(V7EM, "1111_10101101_nnnn_1111_dddd_01xx_mmmm", "USUB16, UQSUB16, UHSUB16 T1", int::usub16),
    row(V7EM, "1111_10101000_nnnn_1111_dddd_01xx_mmmm", "UADD8, UQADD8, UHADD8 T1", int::uadd8),
    row(V7EM, "1111_10101100_nnnn_1111_dddd_01xx_mmmm", "USUB8, UQSUB8, UHSUB8 T1", int::usub8),
    // A5.3.15 miscellaneous operations
    row(V7EM, "1111_10101000_nnnn_1111_dddd_1000_mmmm", "QADD T1", int::qadd),
    row(V7EM, "1111_10101000_nnnn_1111_dddd_1001_mmmm", "QDADD T1", int::qdadd),
    row(V7EM, "1111_10101000_nnnn_1111_dddd_1010_mmmm", "QSUB T1", int::qsub),
    row(V7EM, "1111_10101000_nnnn_1111_dddd_1011_mmmm", "QDSUB T1", int::qdsub),
    row(V7EM, "1111_10101001_nnnn_1111_dddd_1000_mmmm", "REV T2", int::rev),
    row(V7EM, "1111_10101001_nnnn_1111_dddd_1001_mmmm", "REV16 T2", int::rev16),
    row(V7EM, "1111_10101001_nnnn_1111_dddd_1010_mmmm", "RBIT T1", int::rbit),
    row(V7EM, "1111_10101001_nnnn_1111_dddd_1011_mmmm", "REVSH T2", int::revsh),
    row(V7EM, "1111_10101010_nnnn_1111_dddd_1000_mmmm", "SEL T1", int::sel),
    row(V7EM, "1111_10101011_nnnn_1111_dddd_1000_mmmm", "CLZ T1", int::clz),
    // A5.3.16 multiply, multiply accumulate, absolute difference
    row(V7EM, "1111_10110000_nnnn_1111_dddd_0000_mmmm", "MUL T2", int::mul),
    row(V7EM, "1111_10110000_nnnn_aaaa_dddd_0000_mmmm", "MLA T1", int::mla),
    row(V7EM, "1111_10110000_nnnn_aaaa_dddd_0001_mmmm", "MLS T1", int::mls),
    row(V7EM, "1111_10110001_nnnn_aaaa_dddd_00xx_mmmm", "SMLABB …TT, SMULBB …TT T1", int::smlaxy),
    row(V7EM, "1111_10110010_nnnn_aaaa_dddd_000x_mmmm", "SMLAD, SMLADX, SMUAD, SMUADX T1", int::smlad),
    row(V7EM, "1111_10110011_nnnn_aaaa_dddd_000x_mmmm", "SMLAWB, SMLAWT, SMULWB, SMULWT T1", int::smlaw),
    row(V7EM, "1111_10110100_nnnn_aaaa_dddd_000x_mmmm", "SMLSD, SMLSDX, SMUSD, SMUSDX T1", int::smlsd),
    row(V7EM, "1111_10110101_nnnn_aaaa_dddd_000x_mmmm", "SMMLA, SMMLAR, SMMUL, SMMULR T1", int::smmla),
    row(V7EM, "1111_10110110_nnnn_aaaa_dddd_000x_mmmm", "SMMLS, SMMLSR T1", int::smmls),
    row(V7EM, "1111_10110111_nnnn_aaaa_dddd_0000_mmmm", "USAD8, USADA8 T1", int::usada8),
    // A5.3.17 long multiply, long multiply accumulate, divide; RdLo is t, RdHi is d
    row(V7EM, "1111_10111000_nnnn_tttt_dddd_0000_mmmm", "SMULL T1", int::smull),
    row(V7EM, "1111_10111001_nnnn_1111_dddd_1111_mmmm", "SDIV T1", int::sdiv),
    row(V7EM, "1111_10111010_nnnn_tttt_dddd_0000_mmmm", "UMULL T1", int::umull),
    row(V7EM, "1111_10111011_nnnn_1111_dddd_1111_mmmm", "UDIV T1", int::udiv),
    row(V7EM, "1111_10111100_nnnn_tttt_dddd_0000_mmmm", "SMLAL T1", int::smlal),
    row(V7EM, "1111_10111100_nnnn_tttt_dddd_10xx_mmmm", "SMLALBB …TT T1", int::smlalxy),
    row(V7EM, "1111_10111100_nnnn_tttt_dddd_110x_mmmm", "SMLALD, SMLALDX T1", int::smlald),
    row(V7EM, "1111_10111101_nnnn_tttt_dddd_110x_mmmm", "SMLSLD, SMLSLDX T1", int::smlsld),
    row(V7EM, "1111_10111110_nnnn_tttt_dddd_0000_mmmm", "UMLAL T1", int::umlal),
    row(V7EM, "1111_10111110_nnnn_tttt_dddd_0110_mmmm", "UMAAL T1", int::umaal),
    // A6.4 floating point; z is the size bit, D N M the extra bit of a register of that size, S that of a single one
    row(FpSingle, "1110_11000100_aaaa_tttt_101z_00M1_mmmm", "VMOV (two core registers to S or D) T1", fp::vmov_from_core2),
    row(FpSingle, "1110_11000101_aaaa_tttt_101z_00M1_mmmm", "VMOV (S or D to two core registers) T1", fp::vmov_to_core2),
    row(FpSingle, "1110_1100_1Dw0_nnnn_dddd_101z_iiii_iiii", "VSTM T1, increment after", fp::vstm_ia),
    row(FpSingle, "1110_1100_1Dw1_nnnn_dddd_101z_iiii_iiii", "VLDM T1, VPOP T1", fp::vldm_ia),
    row(FpSingle, "1110_1101_uD00_nnnn_dddd_101z_iiii_iiii", "VSTR T1", fp::vstr),
    row(FpSingle, "1110_1101_uD01_nnnn_dddd_101z_iiii_iiii", "VLDR T1", fp::vldr),
    row(FpSingle, "1110_1101_0D10_nnnn_dddd_101z_iiii_iiii", "VSTM T1, VPUSH T1, decrement before", fp::vstm_db),
    row(FpSingle, "1110_1101_0D11_nnnn_dddd_101z_iiii_iiii", "VLDM T1, decrement before", fp::vldm_db),
    row(FpSingle, "1110_11100000_nnnn_tttt_1010_N001_0000", "VMOV (core register to S) T1", fp::vmov_from_core),
    row(FpSingle, "1110_11100001_nnnn_tttt_1010_N001_0000", "VMOV (S to core register) T1", fp::vmov_to_core),
    row(FpSingle, "1110_111000x0_nnnn_tttt_1011_0001_0000", "VMOV (core register to half of D) T1", fp::vmov_from_core_half),
    row(FpSingle, "1110_111000x1_nnnn_tttt_1011_0001_0000", "VMOV (half of D to core register) T1", fp::vmov_to_core_half),
    row(FpSingle, "1110_1110_1110_0001_tttt_1010_0001_0000", "VMSR T1", fp::vmsr),
    row(FpSingle, "1110_1110_1111_0001_tttt_1010_0001_0000", "VMRS T1", fp::vmrs),
    row(FpSingle, "1110_1110_0D00_nnnn_dddd_101z_Nx_M0_mmmm", "VMLA, VMLS T1", fp::vmla),
    row(FpSingle, "1110_1110_0D01_nnnn_dddd_101z_Nx_M0_mmmm", "VNMLS, VNMLA T1", fp::vnmla),
    row(FpSingle, "1110_1110_0D10_nnnn_dddd_101z_N0_M0_mmmm", "VMUL T1", fp::vmul),
    row(FpSingle, "1110_1110_0D10_nnnn_dddd_101z_N1_M0_mmmm", "VNMUL T2", fp::vnmul),
    row(FpSingle, "1110_1110_0D11_nnnn_dddd_101z_N0_M0_mmmm", "VADD T1", fp::vadd),
    row(FpSingle, "1110_1110_0D11_nnnn_dddd_101z_N1_M0_mmmm", "VSUB T1", fp::vsub),
    row(FpSingle, "1110_1110_1D00_nnnn_dddd_101z_N0_M0_mmmm", "VDIV T1", fp::vdiv),
    row(FpSingle, "1110_1110_1D01_nnnn_dddd_101z_Nx_M0_mmmm", "VFNMS, VFNMA T1", fp::vfnma),
    row(FpSingle, "1110_1110_1D10_nnnn_dddd_101z_Nx_M0_mmmm", "VFMA, VFMS T1", fp::vfma),
    row(FpSingle, "1110_1110_1D11_iiii_dddd_101z_0000_iiii", "VMOV (immediate) T1", fp::vmov_imm),
    row(FpSingle, "1110_1110_1D11_0000_dddd_101z_01M0_mmmm", "VMOV (register) T1", fp::vmov),
    row(FpSingle, "1110_1110_1D11_0000_dddd_101z_11M0_mmmm", "VABS T1", fp::vabs),
    row(FpSingle, "1110_1110_1D11_0001_dddd_101z_01M0_mmmm", "VNEG T1", fp::vneg),
    row(FpSingle, "1110_1110_1D11_0001_dddd_101z_11M0_mmmm", "VSQRT T1", fp::vsqrt),
    row(FpSingle, "1110_1110_1D11_0010_dddd_101z_x1S0_mmmm", "VCVTB, VCVTT (half to S or D) T1", fp::vcvt_from_half),
    row(FpSingle, "1110_1110_1S11_0011_dddd_101z_x1M0_mmmm", "VCVTB, VCVTT (S or D to half) T1", fp::vcvt_to_half),
    row(FpSingle, "1110_1110_1D11_0100_dddd_101z_x1M0_mmmm", "VCMP, VCMPE T1", fp::vcmp),
    row(FpSingle, "1110_1110_1D11_0101_dddd_101z_x100_0000", "VCMP, VCMPE (zero) T2", fp::vcmp_zero),
    row(Fp5, "1110_1110_1D11_0110_dddd_101z_x1M0_mmmm", "VRINTR, VRINTZ T1", fp::vrint),
    row(Fp5, "1110_1110_1D11_0111_dddd_101z_01M0_mmmm", "VRINTX T1", fp::vrintx),
    row(Fp5, "1110_1110_1S11_0111_dddd_101z_11S0_mmmm", "VCVT (between S and D) T1", fp::vcvt_size),
    row(FpSingle, "1110_1110_1D11_1000_dddd_101z_x1S0_mmmm", "VCVT (integer to S or D) T1", fp::vcvt_from_int),
    row(FpSingle, "1110_1110_1D11_1x1x_dddd_101z_x1i0_iiii", "VCVT (fixed point) T1", fp::vcvt_fixed),
    row(FpSingle, "1110_1110_1S11_110x_dddd_101z_x1M0_mmmm", "VCVT, VCVTR (S or D to integer) T1", fp::vcvt_to_int),
    row(Fp5, "1111_1110_0Dxx_nnnn_dddd_101z_N0M0_mmmm", "VSEL T1", fp::vsel),
    row(Fp5, "1111_1110_1D00_nnnn_dddd_101z_NxM0_mmmm", "VMAXNM, VMINNM T1", fp::vmaxnm),
    row(Fp5, "1111_1110_1D11_10xx_dddd_101z_01M0_mmmm", "VRINTA, VRINTN, VRINTP, VRINTM T1", fp::vrint_mode),
    row(Fp5, "1111_1110_1S11_11xx_dddd_101z_x1M0_mmmm", "VCVTA, VCVTN, VCVTP, VCVTM T1", fp::vcvt_mode),
    // A5.3.18 what is left of the coprocessor instructions
    row(V7EM, "111x_110x_xxxx_xxxx_xxxx_iiii_xxxx_xxxx", "(coprocessor)", fp::coprocessor),
    row(V7EM, "111x_1110_xxxx_xxxx_xxxx_iiii_xxxx_xxxx", "(coprocessor)", fp::coprocessor),
];

/// What decodes to nothing.
pub const UNDEFINED: Insn = Insn {
    exec: system::udf,
    raw: 0,
    imm: 0,
    d: 0,
    n: 0,
    m: 0,
    t: 0,
    a: 0,
    x: 0,
    y: 0,
    carry: 0,
    flags: Flags::Keep,
    index: false,
    add: false,
    wback: false,
    double: false,
    len: 2,
};

/// Stands for an instruction on which a comparator sits; like BKPT it heeds no condition.
pub const COMPARATOR: Insn = Insn { exec: system::comparator, raw: 0xBE00, ..UNDEFINED };

impl Insn {
    pub fn is_bkpt(&self) -> bool {
        self.len == 2 && self.raw & 0xFF00 == 0xBE00
    }
}

/// What a core can execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Model {
    pub v7m: bool,
    pub single: bool,
    pub double: bool,
}

impl Model {
    fn has(self, arch: Arch) -> bool {
        match arch {
            V6M => true,
            V7EM => self.v7m,
            FpSingle => self.single,
            Fp5 => self.double,
        }
    }
}

fn rows(wide: bool) -> &'static [Row] {
    if wide { T32 } else { T16 }
}

/// A pattern's fixed bits: (mask, value), right-aligned.
const fn fixed(pattern: &str) -> (u32, u32) {
    let (bytes, mut mask, mut value, mut k) = (pattern.as_bytes(), 0, 0, 0);
    while k < bytes.len() {
        if bytes[k] != b'_' {
            mask = mask << 1 | matches!(bytes[k], b'0' | b'1') as u32;
            value = value << 1 | (bytes[k] == b'1') as u32;
        }
        k += 1;
    }
    (mask, value)
}

/// The fixed bits of every row, computed when the program is built.
const fn fixed_bits<const N: usize>(rows: &[Row]) -> [(u32, u32); N] {
    let (mut bits, mut k) = ([(0, 0); N], 0);
    while k < N {
        bits[k] = fixed(rows[k].pattern);
        k += 1;
    }
    bits
}

const T16_BITS: [(u32, u32); T16.len()] = fixed_bits(T16);
const T32_BITS: [(u32, u32); T32.len()] = fixed_bits(T32);

/// The instruction at two half words; the second counts only for a 32-bit one.
pub fn decode(model: Model, first: u16, second: u16) -> Insn {
    let wide = first >= 0xE800;
    let raw = if wide { u32::from(first) << 16 | u32::from(second) } else { first.into() };
    let len = if wide { 4 } else { 2 };
    match find(model, wide, raw) {
        Some(row) => fill(row, raw, len),
        None => Insn { raw, len, ..UNDEFINED },
    }
}

/// The row of an encoding.
pub fn find(model: Model, wide: bool, raw: u32) -> Option<&'static Row> {
    let bits: &[(u32, u32)] = if wide { &T32_BITS } else { &T16_BITS };
    let found = (0..bits.len()).find(|&k| raw & bits[k].0 == bits[k].1 && model.has(rows(wide)[k].arch));
    found.map(|k| &rows(wide)[k])
}

/// Gathers the fields that the row's letters name.
fn fill(row: &Row, raw: u32, len: u8) -> Insn {
    let mut insn = Insn { exec: row.exec, raw, len, flags: row.flags, add: !row.pattern.contains('u'), ..UNDEFINED };
    let (mut left, mut high) = (8 * u32::from(len), false);
    for letter in row.pattern.bytes().filter(|&letter| letter != b'_') {
        left -= 1;
        let bit = raw >> left & 1;
        let gather = |field: &mut u8| *field = *field << 1 | bit as u8;
        match letter {
            b'd' => gather(&mut insn.d),
            b'n' => gather(&mut insn.n),
            b'm' => gather(&mut insn.m),
            b't' => gather(&mut insn.t),
            b'a' => gather(&mut insn.a),
            b'x' => gather(&mut insn.x),
            b'y' => gather(&mut insn.y),
            b'i' => insn.imm = insn.imm << 1 | bit,
            b's' => insn.flags = if bit != 0 { Flags::Set } else { Flags::Keep },
            b'p' => insn.index = bit != 0,
            b'u' => insn.add = bit != 0,
            b'w' => insn.wback = bit != 0,
            b'z' => insn.double = bit != 0,
            b'D' | b'N' | b'M' => high |= bit != 0,
            _ => {}
        }
    }
    // D16 to D31 are not there.
    if high && insn.double {
        insn.exec = fp::coprocessor;
        insn.imm = 0xB;
        return insn;
    }
    shape_immediate(&mut insn, row.imm);
    insn
}

fn shape_immediate(insn: &mut Insn, imm: Imm) {
    match imm {
        Imm::Scaled(shift) => insn.imm <<= shift,
        Imm::Signed(bits) => insn.imm = ((insn.imm << (32 - bits)) as i32 >> (31 - bits)) as u32,
        Imm::Shift => match (insn.y, insn.imm) {
            (1 | 2, 0) => insn.imm = 32,
            (3, 0) => insn.y = 4,
            _ => {}
        },
        Imm::Expand => (insn.imm, insn.carry) = expand(insn.imm),
        Imm::Branch24 => {
            // The gathered bits are S, imm10, J1, J2, imm11; I1 = !(J1 ^ S), I2 = !(J2 ^ S).
            let s = insn.imm >> 23 & 1;
            let (i1, i2) = (!(insn.imm >> 12 ^ s) & 1, !(insn.imm >> 11 ^ s) & 1);
            let offset = s << 23 | i1 << 22 | i2 << 21 | (insn.imm >> 13 & 0x3FF) << 11 | insn.imm & 0x7FF;
            insn.imm = ((offset << 8) as i32 >> 7) as u32;
        }
    }
}

/// ThumbExpandImm_C: the value, and its carry (0: unchanged, else 2 | carry).
fn expand(imm12: u32) -> (u32, u8) {
    let byte = imm12 & 0xFF;
    match imm12 >> 8 {
        0 => (byte, 0),
        1 => (byte << 16 | byte, 0),
        2 => (byte << 24 | byte << 8, 0),
        3 => (byte * 0x0101_0101, 0),
        _ => {
            let value = (0x80 | imm12 & 0x7F).rotate_right(imm12 >> 7);
            (value, 2 | (value >> 31) as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_is_16_or_32_bits_long() {
        let length = |row: &Row| row.pattern.bytes().filter(|&letter| letter != b'_').count();
        T16.iter().for_each(|row| assert_eq!(length(row), 16, "{}", row.name));
        T32.iter().for_each(|row| assert_eq!(length(row), 32, "{}", row.name));
    }

    #[test]
    fn no_row_hides_behind_an_earlier_one() {
        for (rows, bits) in [(T16, &T16_BITS[..]), (T32, &T32_BITS[..])] {
            for (k, &(mask, value)) in bits.iter().enumerate() {
                let hidden = bits[..k].iter().position(|&(m, v)| m & mask == m && value & m == v);
                assert_eq!(hidden.map(|h| rows[h].name), None, "{}", rows[k].name);
            }
        }
    }
}
