//! Noise as a program: whatever it does, the core can be halted afterwards, its registers can be read, and it can be reset.

use crate::bench::*;

/// xorshift32: the same noise in every run.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A register's value: a small number, or an address in RAM, flash, peripherals or the core's own space.
    fn value(&mut self) -> u32 {
        let bases = [0, 0x2000_0400, 0x0800_0100, 0x4000_0000, 0x4002_1000, 0x5800_0000, 0xE000_E000, 0xF000_0000];
        bases[self.next() as usize % bases.len()] + (self.next() & 0xFFF)
    }
}

#[test]
fn whatever_noise_does_the_core_is_halted_read_stepped_and_reset() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let vectors = bench.at("idle");
        let mut halts = 0;
        for seed in 1..150u32 {
            let mut noise = Noise(seed.wrapping_mul(0x9E37_79B9));
            let code: Vec<u8> = (0..256).flat_map(|_| noise.next().to_le_bytes()).collect();
            bench.mem().write(RAM, &code).unwrap();
            (0..13).for_each(|number| bench.set_reg(number, noise.value()));
            bench.stand_at(RAM + 4 * (noise.next() % 64));
            for _ in 0..8 {
                bench.control(C_DEBUGEN | C_STEP);
            }
            bench.set(DHCSR, 0xA05F_0000);
            bench.pass_us(u64::from(noise.next() % 2000));
            // The debug port of a G0 can be closed by its program; then the reset button opens it again.
            let Ok(_) = bench.mem().write32(DHCSR, 0xA05F_0000 | C_DEBUGEN | C_HALT) else {
                bench.board.press_reset();
                bench.halt();
                continue;
            };
            assert!(bench.is_halted(), "{chip}: seed {seed}: {:#010x}", bench.state());
            halts += 1;
            let (pc, xpsr) = (bench.pc(), bench.reg(XPSR));
            assert!(pc & 1 == 0 && xpsr & 0x1FF < 16 + 256, "{chip}: seed {seed}: pc {pc:#010x}, xPSR {xpsr:#010x}");
            bench.set(DEMCR, 1);
            bench.reset();
            assert_eq!((bench.is_halted(), bench.pc()), (true, vectors), "{chip}: seed {seed}");
        }
        assert!(halts > 100, "{chip}: {halts}");
    }
}
