#!/usr/bin/env python3
"""Vectors for every row of the decode table: short instruction sequences, and what unicorn (QEMU's core) makes of them.

    vectors.py COUNT [SEED [OUT]]      COUNT vectors of each row for each core that has it (PyPI: unicorn==2.1.4)
    vectors.py sweep [SEED [OUT]]      which encodings are undefined: every 16-bit one, and 24 of each first half word

tests/cpu/vectors.bin is `vectors.py 20`. The full run, 1,000 of each, is made live where python3 has unicorn, with its table
of counts:      cargo test --lib every_encoding_a_thousand_times -- --nocapture
The rows are read from src/sim/cpu/decode.rs itself, so none can be left out; a row with too few vectors fails there.

A record is: flags (1: ARMv6-M; 2: operands and no pointers), u8 instructions, u8 which of them is the row's, u8 half words,
the half words, u32 seed of the state before, u8 trap (0: none), u8 changes. A change is u8 place and u32 value (0-14
registers, 15 pc, 16 flags, 17-48 s0-s31, 49 FPSCR; 255: u16 offset and u32 word of memory). The state before is made from
the seed, here and in src/sim/cpu/tests/vectors.rs alike. Traps are numbered as in TRAPS there.

Rows whose effect one instruction does not show stand in a sequence (FRAMES). A quarter of the others stands in an IT block.
What the manual calls unpredictable is not made (`fill`). The oracle's quirks are met by name (QUIRKS), what it cannot
show is made anew (ANEW); how often is printed with the table, and nothing else is left out.
"""
import collections, multiprocessing, os, random, re, struct, sys
from unicorn import *
from unicorn.arm_const import *

HERE = os.path.dirname(os.path.abspath(__file__))
CODE, DATA, SIZE = 0x11000, 0x20000000, 0x2000
EDGE = [0, 0x80000000, 1, 0xffffffff, 0x7fffffff, 0x80000001, 0xff, 0xffff, 0x8000, 0x7fff, 0x80008000, 0x7fff7fff]
FEDGE = [0, 0x80000000, 0x7f800000, 0xff800000, 0x3f800000, 0xbf800000, 1, 0x007fffff, 0x7f7fffff, 0x40490fdb, 0x4f000000,
         0xcf000000, 0x4f800000, 0x3f000000, 0xbfc00000, 0x7fc00000, 0x7ff00000, 0x41dfffff, 0xc1e00000]
MEMORY = b''.join(struct.pack('<I', (i * 0x9E3779B1 ^ i >> 3) & 0xffffffff) for i in range(SIZE // 4))
UNDEFINED, SUPERVISOR, BREAKPOINT, NOCP, UNALIGNED = range(1, 6)
# unicorn's interrupt numbers (QEMU's EXCP_*)
INTERRUPTS = {1: UNDEFINED, 2: SUPERVISOR, 7: BREAKPOINT, 17: NOCP}
# Rows that address memory: their registers are pointers; the others get operands.
MEMORY_ROWS = ('LDR', 'STR', 'LDM', 'STM', 'PUSH', 'POP', 'TB', 'VLD', 'VST', 'PL', 'CLREX')
# Never unaligned, whatever CCR says (DDI0403E A3.2.1).
ALIGNED = ('LDM', 'STM', 'PUSH', 'POP', 'LDRD', 'STRD', 'LDREX', 'STREX', 'VLD', 'VST')
# Not allowed in an IT block, or looked at in a frame.
OUTSIDE = ('B T1', 'B T3', 'CBZ', 'CBNZ', 'CPS', 'IT ', 'BX', 'BLX', 'BL ', 'B T', 'TB')
QUIRKS = {
    'fp': 'FP rows run on an A-profile model (unicorn has no M-profile core with double precision): reserved FPSCR bits are kept 0',
    'm0': 'v6-M rows run on the M33 that unicorn always is: what only v8-M has is not made',
    'align': 'unicorn makes no alignment faults: expected from the addresses it accesses (DDI0403E A3.2.1, DDI0419 A3.2.1)',
    'exclusive': 'unicorn looks at the monitor before the alignment, the manual after it (DDI0403E B2.3.7): expected from Rn',
    'sp': 'unicorn keeps the low bits of SP: written as 0',
    'hint': 'unicorn stops at WFE and YIELD as at an invalid instruction, but behind it: taken as done',
    'flags': 'IXC and UFC are left out of FPSCR: the library that computes them has tests of its own',
    'basepri': 'unicorn has 8 priority bits, an STM32 4: BASEPRI is written with its low bits 0',
    'fixed': 'unicorn rounds fixed point to FP by FPSCR.RMode, the manual to nearest (DDI0403E A7.7.229): made with RMode 0',
    'nocp': "unicorn's UNDEFINSTR for a coprocessor that is not there is NOCP (DDI0403E A5.3.18)",
}

# Those that all vectors are made by, so that there is no count.
EVERY = ('sp', 'flags', 'basepri', 'fixed')
# Why a vector was made anew.
ANEW = {
    'nowhere': 'it accessed what is no memory',
    'unknown': 'an exception of unicorn that none of TRAPS is',
    'changes': 'it changed more than 60 places, which a record does not hold',
}

class Stream:
    def __init__(self, seed): self.x = seed
    def next(self):
        x = self.x; x ^= x << 13 & 0xffffffff; x ^= x >> 17; x ^= x << 5 & 0xffffffff; self.x = x; return x

def registers(s, operands):
    regs = []
    for _ in range(15):
        kind, v = s.next() & 7, s.next()
        if kind == 0 or operands and 2 <= kind < 5: v = EDGE[v % len(EDGE)]
        elif kind == 1: v &= 63
        elif kind < 5: v = DATA + 0x800 + v % 128 * 4
        elif kind == 5: v = DATA + 0x400 + v % 0x800
        regs.append(v)
    regs[13] = DATA + 0x800 + s.next() % 64 * 4
    return regs

def state(seed, m0, operands, floating):
    s = Stream(seed)
    regs = registers(s, operands)
    psr = s.next() & (0xf0000000 if m0 else 0xf80f0000)
    def fp(k):
        kind, v = s.next() & 7, s.next()
        if kind < 2: return FEDGE[v % len(FEDGE)]
        if kind < 4: return v & 0x807fffff | 120 + (v >> 24 & 15) << 23
        if kind < 6 and k & 1: return v & 0x800fffff | 1016 + (v >> 24 & 15) << 20
        return v
    single = [fp(k) for k in range(32)] if floating else []
    return regs, psr, single, s.next() & 0xf7c00000 if seed & 1 else 0

class Machine:
    def __init__(self, kind):
        self.kind = kind
        if kind == 'fp':
            uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB); uc.ctl_set_cpu_model(UC_CPU_ARM_MAX)
        else:
            uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS); uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M0 if kind == 'm0' else UC_CPU_ARM_CORTEX_M7)
        uc.mem_map(CODE & ~0xffff, 0x10000, UC_PROT_READ | UC_PROT_EXEC); uc.mem_map(DATA, SIZE)
        uc.mem_write(DATA, MEMORY)
        if kind == 'fp':
            uc.reg_write(UC_ARM_REG_C1_C0_2, uc.reg_read(UC_ARM_REG_C1_C0_2) | 0xf << 20); uc.reg_write(UC_ARM_REG_FPEXC, 0x40000000)
        self.uc, self.dirty, self.raised, self.accesses = uc, False, [], []
        uc.hook_add(UC_HOOK_INTR, lambda uc, number, _: (self.raised.append(number), uc.emu_stop()))
        uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, lambda uc, access, address, size, value, _: self.accesses.append((address, size)))
        self.context = uc.context_save()
        self.flags = UC_ARM_REG_CPSR if kind == 'fp' else UC_ARM_REG_XPSR
        self.all = R + [UC_ARM_REG_PC, self.flags] + ([UC_ARM_REG_S0 + i for i in range(32)] + [UC_ARM_REG_FPSCR] if kind == 'fp' else [])

    def run(self, code, count, before):
        """Trap, places 0-49, memory; None: an access to nowhere."""
        uc, (regs, psr, single, fpscr) = self.uc, before
        uc.context_restore(self.context)
        if self.dirty: uc.mem_write(DATA, MEMORY); self.dirty = False
        uc.ctl_flush_tb(); uc.mem_write(CODE, code + bytes(8))
        writes = [(R[i], v) for i, v in enumerate(regs)]
        if self.kind == 'fp':
            writes += [(UC_ARM_REG_CPSR, psr | 0x1d3 | 0x20), (UC_ARM_REG_FPSCR, fpscr)] + [(UC_ARM_REG_S0 + i, v) for i, v in enumerate(single)]
        else:
            writes += [(UC_ARM_REG_XPSR, psr | 1 << 24)] + ([(UC_ARM_REG_APSR_NZCVQG, psr)] if self.kind == 'm7' else [])
        for register, value in writes[15:]: uc.reg_write(register, value)
        uc.reg_write_batch(writes[:15])
        self.raised.clear(); self.accesses.clear()
        trap, self.hint = 0, False
        try: uc.emu_start(CODE | 1, CODE + len(code), count=count)
        except UcError as error:
            pc = uc.reg_read(UC_ARM_REG_PC)
            if error.errno == UC_ERR_INSN_INVALID: self.hint = pc >= CODE + len(code); trap = 0 if self.hint else UNDEFINED
            elif error.errno != UC_ERR_FETCH_UNMAPPED: self.dirty = True; return None
        if self.raised: trap = INTERRUPTS.get(self.raised[0])
        values = list(uc.reg_read_batch(self.all))
        values[15] &= ~1; values[16] &= 0xf0000000 if self.kind == 'm0' else 0xf80f0000
        if self.kind == 'fp': values[49] &= ~0x18
        memory = bytes(uc.mem_read(DATA, SIZE)); self.dirty = memory != MEMORY
        return trap, values, memory

R = [UC_ARM_REG_R0 + i for i in range(13)] + [UC_ARM_REG_R13, UC_ARM_REG_R14]

def rows():
    source = open(HERE + '/../../src/sim/cpu/decode.rs').read()
    return [(arch, pattern.replace('_', ''), name, rest)
            for arch, pattern, name, rest in re.findall(r'row\((\w+), "([^"]+)", "([^"]+)", (.*)', source)]

EVERYTHING = rows()
# width, fixed bits and their value, in v6-M too
FIXED = [(len(bits), int(re.sub('[^01]', '0', bits.replace('0', '1')), 2), int(re.sub('[^1]', '0', bits), 2), arch == 'V6M')
         for arch, bits, name, rest in EVERYTHING]

def field(bits, raw, letter):
    v = 0
    for k, c in enumerate(bits):
        if c == letter: v = v << 1 | raw >> len(bits) - 1 - k & 1
    return v

def fill(rng, row, low=False):
    """A random encoding of the row, or None where the manual promises nothing or an earlier row has it."""
    arch, bits, name, rest = row
    wide, values, used, raw = len(bits) == 32, {}, {}, 0
    regs = list(range(8)) if low else list(range(13)) + [14]
    rng.shuffle(regs)
    for letter in 'dnmta':
        if bits.count(letter) == 4: values[letter] = regs.pop()
    for c in bits:
        if c in '01': bit = int(c)
        elif c in values and bits.count(c) == 4:
            used[c] = used.get(c, 0) + 1; bit = values[c] >> 4 - used[c] & 1
        else: bit = rng.getrandbits(1)
        raw = raw << 1 | bit
    f = lambda letter: field(bits, raw, letter)
    imm = f('i')
    if 'z' in bits and f('z') and (f('D') or f('N') or f('M')): return None
    if 'VCVT (between' in name and raw >> (5 if f('z') else 22) & 1: return None
    if 'puw' in bits and not f('p') and not f('w'): return None
    if 'Expand' in rest and imm >> 8 in (1, 2, 3) and imm & 0xff == 0: return None
    if name.startswith('BFI') and f('x') < imm: return None
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
    if name.startswith('CMP (register) T2') and (f('n') == 15 or f('m') == 15 or f('n') < 8 and f('m') < 8): return None
    if name.startswith('BLX') and f('m') == 15: return None
    if name.startswith('CPS') and not imm: return None
    if name == '(coprocessor)' and imm in (10, 11): return None
    return raw

def own(row, raw, m0):
    """No earlier row has this encoding."""
    width = len(row[1])
    return not any(bits == width and raw & mask == value and (v6m or not m0) for bits, mask, value, v6m in FIXED[:EVERYTHING.index(row)])

# ---- instructions of the frames ----
mrs = lambda d, number: 0xf3ef8000 | d << 8 | number
msr = lambda number, n, mask=2: 0xf3808000 | n << 16 | mask << 10 | number
bic = lambda r, imm12: 0xf0200000 | (imm12 >> 11) << 26 | r << 16 | (imm12 >> 8 & 7) << 12 | r << 8 | imm12 & 0xff
ldrex = lambda t, n, imm: 0xe8500f00 | n << 16 | t << 12 | imm

def clear(m0, r, mask, spare):
    """Clears low bits of a register: mask < 256."""
    return [(16, 0x2000 | spare << 8 | mask), (16, 0x4380 | spare << 3 | r)] if m0 else [(32, bic(r, mask))]

def write_special(rng, m0, number, r, spare):
    """MSR that leaves what is reserved, and what only v8-M or another count of priority bits has, at 0."""
    keep = {8: 3, 9: 3, 17: 15, 18: 15, 20: 0xfc if m0 else 0xf8}.get(number)
    before = clear(m0, r, keep, spare) if keep else []
    if number == 20 and m0: before = [(16, 0x2000 | r << 8 | rng.getrandbits(2))]
    elif number == 20: before = [(32, 0xf0000007 | r << 16 | r << 8)]
    return before

def special(rng, m0):
    return rng.choice([0, 1, 2, 3, 8, 9, 16, 20] + ([] if m0 else [17, 18, 19]))

def frame_msr(rng, row, m0):
    number, low = special(rng, m0), list(range(8)); rng.shuffle(low)
    n, spare, d, k = low[:4]
    mask = rng.choice([1, 2, 3]) if number < 4 and not m0 else 2
    before = write_special(rng, m0, number, n, spare)
    if number == 18: before = clear(m0, k, 15, spare) + [(32, msr(17, k))] + before
    # v6-M has no Q flag: MOVS spare, #1; LSLS spare, #27; BICS n, spare
    if m0 and number < 4: before = [(16, 0x2001 | spare << 8), (16, 0x06c0 | spare << 3 | spare), (16, 0x4380 | spare << 3 | n)]
    return before, msr(number, n, mask), [(32, mrs(d, 17 if number == 18 else number))]

def frame_mrs(rng, row, m0):
    number, low = rng.choice([special(rng, m0), 5, 6, 7]), list(range(8)); rng.shuffle(low)
    n, spare, d = low[:3]
    before = write_special(rng, m0, number, n, spare) + [(32, msr(number, n))] if number >= 8 and rng.getrandbits(1) else []
    return before, mrs(d, number), []

def frame_cps(rng, row, m0):
    kinds = [2] if m0 else [1, 2, 3]
    cps = lambda: 0xb660 | rng.getrandbits(1) << 4 | rng.choice(kinds)
    d, e = rng.sample(range(8), 2)
    after = [(32, mrs(d, 16))] + ([] if m0 else [(32, mrs(e, 19))])
    return [(16, cps())] * rng.getrandbits(1), cps(), after

def frame_clrex(rng, row, m0):
    t, n, d = rng.sample(range(13), 3)
    return [(32, ldrex(t, n, 0))] * rng.getrandbits(1), 0xf3bf8f2f, [(32, 0xe8400000 | n << 16 | t << 12 | d << 8)]

def frame_strex(rng, row, m0):
    raw = fill(rng, row)
    n, spare = raw >> 16 & 15, rng.choice([r for r in range(13) if r != raw >> 16 & 15])
    load = ldrex(spare, n, raw & 0xff) if row[2].startswith('STREX T') else 0xe8d00f0f | n << 16 | spare << 12 | raw & 0xf0
    return [(32, load)] if rng.randrange(4) else [], raw, []

def frame_vmsr(rng, row, m0):
    t, d = rng.sample(range(13), 2)
    # QC, LEN, STRIDE, FZ16 and the trap enables are A-profile's (QUIRKS fp)
    before = [(32, bic(t, imm)) for imm in FPSCR_CLEARS]
    return before, 0xeee10a10 | t << 12, [(32, 0xeef10a10 | d << 12)]

def expand(value):
    """ThumbExpandImm: the i:imm3:imm8 of a value of eight bits in a row."""
    for turn in range(8, 32):
        byte = (value << turn | value >> 32 - turn) & 0xffffffff
        if 0x80 <= byte < 0x100: return turn << 7 | byte & 0x7f
    raise ValueError(value)

FPSCR_CLEARS = [expand(v) for v in (0x08000000, 0x003f0000, 0x0000ff00)] + [0x60]

SIMPLE = ('ADD (immediate) T2', 'SUB (immediate) T2', 'MOV (immediate) T1', 'CMP (immediate) T1', 'AND (register) T1', 'LSL (register) T1',
          'ADC (register) T1', 'MOV (register) T1', 'ADD (immediate) T3', 'EOR (register) T2', 'SXTB T1', 'MUL T1')

def frame_it(rng, row, m0):
    condition, slots = rng.randrange(15), rng.randrange(1, 5)
    # each further slot is Then or Else; AL has no Else
    steps = [0 if condition == 14 else rng.getrandbits(1) for _ in range(slots - 1)]
    mask = 0
    for step in steps: mask = mask << 1 | (condition & 1) ^ step
    mask = (mask << 1 | 1) << 4 - slots
    after, simple = [], [r for r in EVERYTHING if r[2] in SIMPLE]
    while len(after) < slots:
        other = rng.choice(simple); raw = fill(rng, other, low=True)
        if raw is not None and own(other, raw, False): after.append((len(other[1]), raw))
    return [], 0xbf00 | condition << 4 | mask, after

FRAMES = {'MSR T1': frame_msr, 'MRS T1': frame_mrs, 'CPS T1': frame_cps, 'CLREX T1': frame_clrex, 'STREX T1': frame_strex,
          'STREXB T1': frame_strex, 'STREXH T1': frame_strex, 'VMSR T1': frame_vmsr, 'IT T1': frame_it}

def sequence(rng, row, kind):
    """Instructions as (bits, raw), and which of them is the row's; None: try again."""
    name, width = row[2], len(row[1])
    if name in FRAMES:
        before, raw, after = FRAMES[name](rng, row, kind == 'm0')
        return before + [(width, raw)] + after, len(before)
    raw = fill(rng, row)
    if raw is None or not own(row, raw, kind == 'm0'): return None
    v5 = row[1].startswith('11111110')
    if kind != 'm0' and not v5 and not name.startswith(OUTSIDE) and not rng.randrange(4):
        return [(16, 0xbf08 | rng.randrange(15) << 4), (width, raw)], 1
    return [(width, raw)], 0

def encoded(width, raw):
    return struct.pack('<HH', raw >> 16, raw & 0xffff) if width == 32 else struct.pack('<H', raw)

def seeds(rng, row, raw, operands):
    """A seed; for rows that address memory by Rn, one in which Rn is a pointer."""
    while True:
        seed = rng.getrandbits(31) + 1
        if row[2] == 'VCVT (fixed point) T1' and not raw >> 18 & 1: seed &= ~1
        n = field(row[1], raw, 'n')
        if operands or 'n' not in row[1] or n >= 13: return seed
        if DATA <= registers(Stream(seed), False)[n] < DATA + SIZE: return seed

def exclusive_access(instruction):
    """Rn, offset and size of an exclusive access; `None`: another instruction."""
    width, raw = instruction
    if width == 16: return None
    if raw & 0xffe00000 == 0xe8400000: return raw >> 16 & 15, (raw & 0xff) * 4, 4
    if raw & 0xffe000e0 == 0xe8c00040 and raw >> 4 & 15 in (4, 5): return raw >> 16 & 15, 0, 1 << (raw >> 4 & 1)

def expected_trap(row, kind, done, machine, before, code):
    """The trap that the manual wants where unicorn makes none, and what unicorn's own is called here; by which quirk."""
    trap, name = done[0], row[2]
    if name == '(coprocessor)' and trap == UNDEFINED: return NOCP, 'nocp'
    exclusive = [i for i in map(exclusive_access, code) if i] if name.startswith(('STREX', 'CLREX')) else []
    if exclusive: bad = any((before[0][n] + offset) % size for n, offset, size in exclusive)
    elif kind == 'm0': bad = any(address % size for address, size in machine.accesses)
    else: bad = name.startswith(ALIGNED) and any(address % min(size, 4) for address, size in machine.accesses)
    return (UNALIGNED, 'exclusive' if exclusive else 'align') if bad else (trap, 'hint' if machine.hint else kind)

def vectors(job):
    """The records of one row for one core, and how often each quirk was met and a vector made anew."""
    index, kind, count, seed = job
    row = EVERYTHING[index]; rng = random.Random('%s %s %s' % (seed, row[2], kind)); machine = Machine(kind)
    operands = not row[2].startswith(MEMORY_ROWS)
    out, done, tries, met = [], 0, 0, collections.Counter()
    while done < count and tries < 100 * count + 1000:
        tries += 1
        made = sequence(rng, row, kind)
        if not made: continue
        instructions, which = made
        code = b''.join(encoded(*i) for i in instructions)
        number = seeds(rng, row, instructions[which][1], operands)
        before = state(number, kind == 'm0', operands, kind == 'fp')
        result = machine.run(code, len(instructions), before)
        if result is None or result[0] is None: met['nowhere' if result is None else 'unknown'] += 1; continue
        trap, quirk = expected_trap(row, kind, result, machine, before, instructions)
        changes = b''; places = 0
        if not trap:
            _, values, memory = result
            # pc, flags and FPSCR always; without an FP row the FP registers stay, and are compared
            old = before[0] + [None, None] + before[2] + [None]
            changed = [(i, v) for i, v in enumerate(values) if v != old[i]]
            words = [(o, struct.unpack_from('<I', memory, o)[0]) for o in range(0, SIZE, 4) if memory[o:o + 4] != MEMORY[o:o + 4]] if memory != MEMORY else []
            places = len(changed) + len(words)
            if places > 60: met['changes'] += 1; continue
            changes = b''.join(struct.pack('<BI', *c) for c in changed) + b''.join(struct.pack('<BHI', 255, *w) for w in words)
        out.append(struct.pack('<BBBB', (kind == 'm0') | operands << 1, len(instructions), which, len(code) // 2) + code
                   + struct.pack('<IBB', number, trap, places) + changes)
        met[quirk] += 1; done += not trap or row[2] in TRAPPING
    return b''.join(out), row[2], kind, done, met

# Rows that do nothing but raise their exception.
TRAPPING = ('BKPT T1', 'SVC T1', 'UDF T1', 'UDF T2', '(unallocated)', '(coprocessor)')

def jobs(count, seed):
    for index, (arch, bits, name, rest) in enumerate(EVERYTHING):
        kinds = ('fp',) if arch.startswith('F') else ('m7', 'm0') if arch == 'V6M' else ('m7',)
        yield from ((index, kind, count, seed) for kind in kinds)

def undefined(machine, code):
    """Registers point into RAM; a fetch from nowhere is a branch, an access to nowhere a load or store."""
    uc = machine.uc
    uc.context_restore(machine.context); uc.ctl_flush_tb(); uc.mem_write(CODE, code + bytes(8))
    uc.reg_write_batch([(r, DATA + 0x800) for r in R])
    machine.raised.clear(); machine.accesses.clear()
    try: uc.emu_start(CODE | 1, CODE + len(code), count=1)
    except UcError as error:
        if error.errno == UC_ERR_INSN_INVALID: return uc.reg_read(UC_ARM_REG_PC) < CODE + len(code)
    return any(INTERRUPTS.get(number) in (UNDEFINED, NOCP) for number in machine.raised)

def sweep(job):
    """u32 encoding, u8 half words, u8 undefined. FP encodings are asked of the A-profile model, as in the vectors."""
    firsts, seed = job; rng = random.Random('%s %s' % (seed, firsts)); machines = {kind: Machine(kind) for kind in ('m7', 'fp')}; out = []
    for first in firsts:
        for k in range(24 if first >= 0xe800 else 1):
            second = rng.getrandbits(16) & (rng.getrandbits(16) if k % 2 else 0xffff)
            raw = first << 16 | second if first >= 0xe800 else first
            floating = first >= 0xe800 and first & 0xec00 == 0xec00 and second & 0x0e00 == 0x0a00
            code = encoded(32 if first >= 0xe800 else 16, raw)
            out.append(struct.pack('<IBB', raw, len(code) // 2, undefined(machines['fp' if floating else 'm7'], code)))
    return b''.join(out)

if __name__ == '__main__':
    if sys.argv[1] == 'sweep':
        with multiprocessing.Pool(2) as pool, open(sys.argv[3], 'wb') as out:
            for records in pool.imap(sweep, [(range(first, first + 0x400), sys.argv[2]) for first in range(0, 0x10000, 0x400)]): out.write(records)
        sys.exit()
    count = int(sys.argv[1]); seed = sys.argv[2] if len(sys.argv) > 2 else '1'
    path = sys.argv[3] if len(sys.argv) > 3 else HERE + '/vectors.bin'
    with multiprocessing.Pool(2) as pool, open(path, 'wb') as out:
        made, met = 0, collections.Counter()
        for records, name, kind, done, new in pool.imap(vectors, jobs(count, seed), chunksize=4):
            out.write(records); made += done; met += new
            if done < count: print('too few:', name, kind, done, 'of', count)
        print(made, 'vectors,', out.tell(), 'bytes')
    for name, text in QUIRKS.items(): print('quirk %s, %s: %s' % (name, 'every vector' if name in EVERY else '%d vectors' % met[name], text))
    for name, text in ANEW.items(): print('made anew %s, %d vectors: %s' % (name, met[name], text))
