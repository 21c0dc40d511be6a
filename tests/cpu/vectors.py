#!/usr/bin/env python3
"""Writes vectors.bin: single instructions of every row of the decode table, with what unicorn (QEMU's core) makes of them.

    vectors.py COUNT [SEED] [OUT]      COUNT vectors for each row; PyPI: unicorn (used here only, never linked)

The rows come from src/sim/cpu/decode.rs itself, so a row without vectors cannot hide: it is listed at the end.
A record is: flags (1 wide, 2 ARMv6-M), u16 first, u16 second, u32 seed of the state before, a count, then changes:
u8 place and u32 value (0-14 registers, 15 pc, 16 flags, 17-48 s0-s31, 49 FPSCR, 255: u16 offset and u32 word of memory).
The state before is made from the seed, here and in src/sim/cpu/tests/vectors.rs alike.
Left out: what the manual calls unpredictable, and the rows of SKIP, which tests of their own look at.
"""
import os, random, re, struct, sys
from unicorn import *
from unicorn.arm_const import *

COUNT = int(sys.argv[1]); random.seed(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
HERE = os.path.dirname(os.path.abspath(__file__))
OUT = sys.argv[3] if len(sys.argv) > 3 else HERE + '/vectors.bin'
CODE, DATA, SIZE = 0x11000, 0x20000000, 0x2000
SKIP = ('CPS', 'BKPT', 'NOP', 'IT ', 'UDF', 'SVC', 'MSR', 'MRS', '(un', '(co', 'CLREX', 'DSB', 'DMB', 'ISB', 'VMSR', 'PL')
EDGE = [0, 0x80000000, 1, 0xffffffff, 0x7fffffff, 0x80000001, 0xff, 0xffff, 0x8000, 0x7fff, 0x80008000, 0x7fff7fff]
FEDGE = [0, 0x80000000, 0x7f800000, 0xff800000, 0x3f800000, 0xbf800000, 1, 0x007fffff, 0x7f7fffff, 0x40490fdb, 0x4f000000,
         0xcf000000, 0x4f800000, 0x3f000000, 0xbfc00000, 0x7fc00000, 0x7ff00000, 0x41dfffff, 0xc1e00000]
MEMORY = b''.join(struct.pack('<I', (i * 0x9E3779B1 ^ i >> 3) & 0xffffffff) for i in range(SIZE // 4))

class Stream:
    def __init__(self, seed): self.x = seed
    def next(self):
        x = self.x; x ^= x << 13 & 0xffffffff; x ^= x >> 17; x ^= x << 5 & 0xffffffff; self.x = x; return x

def state(seed, m0):
    s = Stream(seed)
    def reg():
        kind, v = s.next() & 7, s.next()
        if kind == 0: return EDGE[v % len(EDGE)]
        if kind == 1: return v & 63
        if kind < 5: return DATA + 0x800 + v % 128 * 4
        if kind == 5: return DATA + 0x400 + v % 0x800
        return v
    def fp(k):
        kind, v = s.next() & 7, s.next()
        if kind < 2: return FEDGE[v % len(FEDGE)]
        if kind < 4: return v & 0x807fffff | 120 + (v >> 24 & 15) << 23
        if kind < 6 and k & 1: return v & 0x800fffff | 1016 + (v >> 24 & 15) << 20
        return v
    regs = [reg() for _ in range(15)]
    regs[13] = DATA + 0x800 + s.next() % 64 * 4
    psr = s.next() & (0xf0000000 if m0 else 0xf80f0000)
    return regs, psr, [fp(k) for k in range(32)]

class Machine:
    def __init__(self, kind):
        self.kind = kind
        if kind == 'fp':
            # unicorn's M7 has no double precision; an A-profile core with everything has the same instructions.
            uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB); uc.ctl_set_cpu_model(UC_CPU_ARM_MAX)
        else:
            uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS); uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M0 if kind == 'm0' else UC_CPU_ARM_CORTEX_M7)
        uc.mem_map(CODE & ~0xffff, 0x10000, UC_PROT_READ | UC_PROT_EXEC); uc.mem_map(DATA, SIZE)
        if kind == 'fp':
            uc.reg_write(UC_ARM_REG_C1_C0_2, uc.reg_read(UC_ARM_REG_C1_C0_2) | 0xf << 20); uc.reg_write(UC_ARM_REG_FPEXC, 0x40000000)
        self.uc = uc
    def run(self, code, regs, psr, s):
        uc = self.uc
        uc.ctl_flush_tb(); uc.mem_write(CODE, code + bytes(16)); uc.mem_write(DATA, MEMORY)
        if self.kind == 'fp': uc.reg_write(UC_ARM_REG_CPSR, psr | 0x1d3 | 0x20)
        else:
            uc.reg_write(UC_ARM_REG_XPSR, psr | 1 << 24)
            if self.kind == 'm7': uc.reg_write(UC_ARM_REG_APSR_NZCVQG, psr)
        for i, v in enumerate(regs): uc.reg_write(R[i], v)
        if self.kind == 'fp':
            for i, v in enumerate(s): uc.reg_write(UC_ARM_REG_S0 + i, v)
            uc.reg_write(UC_ARM_REG_FPSCR, 0)
        uc.emu_start(CODE | 1, 0xfffffffe, count=1)
        regs2 = [uc.reg_read(r) for r in R]
        flags = uc.reg_read(UC_ARM_REG_CPSR if self.kind == 'fp' else UC_ARM_REG_XPSR) & (0xf0000000 if self.kind == 'm0' else 0xf80f0000)
        s2 = [uc.reg_read(UC_ARM_REG_S0 + i) for i in range(32)] if self.kind == 'fp' else s
        # IXC and UFC are not unicorn's strength; the library that computes them has tests of its own.
        fpscr = uc.reg_read(UC_ARM_REG_FPSCR) & ~0x18 if self.kind == 'fp' else 0
        return regs2, uc.reg_read(UC_ARM_REG_PC) & ~1, flags, s2, fpscr, bytes(uc.mem_read(DATA, SIZE))

R = [UC_ARM_REG_R0 + i for i in range(13)] + [UC_ARM_REG_R13, UC_ARM_REG_R14]

def rows():
    source = open(HERE + '/../../src/sim/cpu/decode.rs').read()
    found = []
    for arch, pattern, name, rest in re.findall(r'row\((\w+), "([^"]+)", "([^"]+)", (.*)', source):
        bits = pattern.replace('_', '')
        found.append((arch, bits, name, rest))
    return found

def fits(bits, raw):
    return all(c not in '01' or int(c) == raw >> len(bits) - 1 - k & 1 for k, c in enumerate(bits))

def field(bits, raw, letter):
    v = 0
    for k, c in enumerate(bits):
        if c == letter: v = v << 1 | raw >> len(bits) - 1 - k & 1
    return v

def fill(bits, name, rest):
    """A random encoding of the row, or None where the manual promises nothing."""
    wide = len(bits) == 32
    values = {}
    regs = list(range(13)) + [14]
    random.shuffle(regs)
    for letter in 'dnmta':
        if bits.count(letter) == 4: values[letter] = regs.pop()
    raw, used = 0, {}
    for c in bits:
        if c in '01': bit = int(c)
        elif c in values and bits.count(c) == 4:
            used[c] = used.get(c, 0) + 1; bit = values[c] >> 4 - used[c] & 1
        else: bit = random.getrandbits(1)
        raw = raw << 1 | bit
    f = lambda letter: field(bits, raw, letter)
    imm = f('i')
    if 'z' in bits and f('z') and (f('D') or f('N') or f('M')): return None
    if 'VCVT (between' in name and raw >> (5 if f('z') else 22) & 1: return None
    if 'puw' in bits and not f('p') and not f('w'): return None
    if 'Expand' in rest and imm >> 8 in (1, 2, 3) and imm & 0xff == 0: return None
    if name.startswith(('BFI',)) and f('x') < imm: return None
    if name.startswith(('SBFX', 'UBFX')) and imm + f('x') > 31: return None
    if name.startswith(('SSAT T', 'USAT T')) and f('y') and imm == 0: return None
    if name.startswith(('VLDM', 'VSTM')):
        n = (imm & 0xff) // 2 if f('z') else imm & 0xff
        first = f('d') if f('z') else f('d') << 1 | f('D')
        if n == 0 or n > 16 or first + n > (16 if f('z') else 32) or f('z') and imm & 1: return None
    if name.startswith(('VMOV (two', 'VMOV (S or')) and not f('z') and (raw & 15) == 15 and raw >> 5 & 1: return None
    if name.startswith(('LDM', 'STM', 'PUSH', 'POP')):
        mask = raw & (0xffff if wide else 0xff)
        if bin(mask).count('1') < 2 or mask >> f('n') & 1 and 'n' in bits or wide and mask >> 14 == 3: return None
    if not wide and bits.count('d') == 4 and f('d') == 15 and f('m') == 15: return None
    if name.startswith(('CMP (register) T2',)) and (f('n') == 15 or f('m') == 15): return None
    if name.startswith('BLX') and f('m') == 15: return None
    return raw

everything = rows()
machines = {kind: Machine(kind) for kind in ('m0', 'm7', 'fp')}
counts, out, wanted = {}, open(OUT, 'wb'), []
for index, (arch, bits, name, rest) in enumerate(everything):
    if name.startswith(SKIP): continue
    kinds = ['fp'] if arch in ('FpSingle', 'Fp5') else ['m0', 'm7'] if arch == 'V6M' else ['m7']
    for kind in kinds:
        wanted.append((name, kind)); done = tries = 0
        while done < COUNT and tries < COUNT * 200 + 2000:
            tries += 1
            raw = fill(bits, name, rest)
            if raw is None: continue
            wide = len(bits) == 32
            earlier = [e for e in everything[:index] if len(e[1]) == len(bits)]
            if any(fits(e[1], raw) and (kind != 'm0' or e[0] == 'V6M') for e in earlier): continue
            first, second = (raw >> 16, raw & 0xffff) if wide else (raw, 0)
            code = struct.pack('<HH', first, second) if wide else struct.pack('<H', first)
            seed = random.getrandbits(31) + 1
            regs, psr, s = state(seed, kind == 'm0')
            try: regs2, pc, flags, s2, fpscr, memory = machines[kind].run(code, regs, psr, s)
            except UcError: machines[kind] = Machine(kind); continue
            changes = [(i, v) for i, v in enumerate(regs2) if v != regs[i]] + [(15, pc), (16, flags)]
            changes += [(17 + i, v) for i, v in enumerate(s2) if v != s[i]] + [(49, fpscr)]
            words = [(o, struct.unpack_from('<I', memory, o)[0]) for o in range(0, SIZE, 4) if memory[o:o + 4] != MEMORY[o:o + 4]]
            if len(changes) + len(words) > 60: continue
            out.write(struct.pack('<BHHIB', wide | (kind == 'm0') << 1, first, second, seed, len(changes) + len(words)))
            for place, v in changes: out.write(struct.pack('<BI', place, v))
            for offset, v in words: out.write(struct.pack('<BHI', 255, offset, v))
            done += 1
        counts[name, kind] = done
short = [(key, counts[key]) for key in wanted if counts[key] < COUNT]
print(sum(counts.values()), 'vectors of', len(counts), 'rows,', out.tell(), 'bytes; too few:', short)
