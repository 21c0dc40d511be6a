//! What it may mean: one row for each cause, numbered as docs/doctor.md lists them, in the order in which the first of equal
//! strength wins. A row reads the evidence and nothing else, and gives its words, or nothing.

mod crashes;
mod parked;

use super::evidence::{BKPT, Evidence, Table};
use crate::cortex_m::{DFSR, State};
use crate::image::{Format, Image, Segment};
use std::cmp::Reverse;

/// What a finding was read from: two of one kind are the same trouble told twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    Supply,
    Flash,
    Boot,
    Debugger,
    Resets,
    Core,
    Clocks,
    File,
}

/// Nothing else looks like this; it fits, and little else does; it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Hint,
    Likely,
    Sure,
}

/// A cause that the evidence speaks for.
#[derive(Clone, Debug)]
pub struct Finding {
    pub number: u8,
    pub strength: Strength,
    pub cause: String,
    pub evidence: String,
    pub remedy: &'static str,
}

/// Cause and evidence.
type Words = Option<(Strength, String, String)>;

fn sure(cause: impl Into<String>, evidence: impl Into<String>) -> Words {
    Some((Strength::Sure, cause.into(), evidence.into()))
}

fn likely(cause: impl Into<String>, evidence: impl Into<String>) -> Words {
    Some((Strength::Likely, cause.into(), evidence.into()))
}

/// Number, name, what it is read from, how, and what to do.
pub struct Row(pub u8, pub &'static str, pub Basis, fn(&Evidence) -> Words, pub &'static str);

use Basis::{Boot, Clocks, Core, Debugger, File, Flash, Resets, Supply};

#[rustfmt::skip]
pub const CAUSES: &[Row] = &[
    Row(19, "supply too low, or brown-out", Supply, supply, "Power the board itself, and check its regulator and the VCAP capacitors."),
    Row(4, "linked for another address", Flash, other_address, "Put it where it was linked for, with the boot loader that goes before it; or link it for the start of flash."),
    Row(5, "no program in flash", Flash, no_program, "Program the .elf, or what objcopy makes of it; keep the vector table (.isr_vector) in the linker script."),
    Row(14, "stack outside this chip's RAM", Flash, stack_outside, "Use the linker script for this chip: the size of its RAM is wrong."),
    Row(3, "stale EMPTY flag", Boot, stale_empty, "Switch the power off and on once (a reset does not help), or clear FLASH_ACR.EMPTY and reset."),
    Row(29, "boot options", Boot, boot_options, "Restore the option bytes (`option write`), then switch the power off and on."),
    Row(1, "ST's loader runs", Boot, boot_pin, "Pull BOOT0 to ground, then reset; if the program itself jumps to system memory, look at why."),
    Row(12, "halted by a debugger", Debugger, left_halted, "`resume`, or `reset`: rocd takes away what the other left; a reset button alone does not."),
    Row(40, "reset from outside", Resets, from_outside, "By `pin`, look at NRST: a button, a supervisor, a short, another probe; by `options` or `low-power`, at the program and the options. Where reset flags may be old, `doctor` (not `passive`) tells what resets it."),
    Row(17, "watchdog reset loop", Resets, watchdog, "Feed it in time, also while the program starts; or do not start it."),
    Row(37, "resets itself", Resets, self_reset, "Break where it writes AIRCR: often a panic handler, or a boot loader that finds no program."),
    Row(25, "damaged flash word", Core, crashes::damaged, "Erase that sector and program it again; if it comes back, look at the supply while programming."),
    Row(36, "NMI", Core, crashes::nmi, "Look at the crystal, and handle the NMI: clock failure, RAM parity, flash ECC."),
    Row(6, "vector table of another program", Core, crashes::other_table, "Set VTOR at the start of the program, to its own table (VECT_TAB_OFFSET, USER_VECT_TAB_ADDRESS)."),
    Row(13, "waits for a debugger", Core, crashes::bkpt, "Build without semihosting (rdimon.specs), or `run` it; of another BKPT, an assertion or panic, look at what comes before."),
    Row(18, "FPU off", Core, crashes::fpu_off, "Enable CPACR first thing in the reset handler (SystemInit), or build with -mfloat-abi=soft."),
    Row(15, "stack overflow", Core, crashes::stack_overflow, "Give the stack more room, or use less of it: recursion, large local arrays."),
    Row(20, "RAM without clock", Core, crashes::dark_ram, "Switch on SRAM1EN to SRAM3EN first thing in the reset handler, or put the section elsewhere."),
    Row(21, "external memory not set up", Core, crashes::external, "Set up QSPI or FMC before it is used, in code that is in internal flash; and program the external part, too."),
    Row(22, "misaligned access", Core, crashes::misaligned, "Copy bytes (memcpy, a packed struct) instead of casting a pointer."),
    Row(32, "refused by the MPU", Core, crashes::mpu, "Look at the MPU's regions: address, size, access rights, XN."),
    Row(24, ".data not copied", Core, crashes::no_data, "Give .data a place in flash in the linker script: `> RAM AT > FLASH`."),
    Row(23, "call to where no code is", Core, crashes::wild_call, "Check the function pointer, callback or weak function that was called, and what may have overwritten it."),
    Row(28, "built for another core", Core, crashes::other_core, "Set -mcpu and -mthumb for compiling and linking, libraries too; in Rust the right target."),
    Row(35, "fault in the fault handler", Core, crashes::double_fault, "Do less in the handler: it may have no stack left."),
    Row(11, "crash", Core, crashes::crash, "Look at that line and at who called it (`lr` of the frame)."),
    Row(34, "stalled bus access", Core, parked::stalled, "Often a speculative read of QSPI or FMC: let the MPU forbid 0x60000000 to 0x9fffffff until they are set up."),
    Row(16, "waits for a tick", Core, parked::no_tick, "Enable interrupts after the jump from a boot loader; do not wait for the tick in an interrupt of the same or a higher priority."),
    Row(7, "interrupt without handler", Core, parked::no_handler, "Define its handler by the name that the startup file has (extern \"C\" in C++), or do not enable it."),
    Row(9, "clock not ready", Clocks, parked::no_clock, "Check the crystal and its capacitors, or use bypass or the internal clock; HSE_VALUE must be the real frequency."),
    Row(2, "core supply setting", Clocks, parked::core_supply, "Build for the board's supply (LDO, SMPS, bypass). To recover: BOOT0 high, power off and on, erase."),
    Row(33, "PLL on already", Clocks, parked::pll_on, "Put the clocks back (HAL_RCC_DeInit) before the boot loader jumps."),
    Row(31, "waits for the second core", Core, parked::second_core, "Program the M4's image, too, or build without waiting for it."),
    Row(30, "log that nobody reads", Core, parked::log, "Read it (RTT), or set the channel not to block."),
    Row(10, "stopped itself", Core, parked::stopped_itself, "Look at what that call found wrong."),
    Row(27, "sleeps for good", Core, parked::asleep, "Enable what is to wake it, in its block and in the NVIC."),
    Row(39, "file for another chip", File, misfit, "Give the file that was built for this chip, and the address it was linked for."),
    Row(38, "flash is not the file", File, changed, "Program it again; if it comes back, the program or a boot loader writes there."),
];

/// All that is found, the most probable first, and of each kind of evidence only the first. Where nothing is wrong: 8, it
/// runs; 0: unknown.
pub fn find(e: &Evidence) -> Vec<Finding> {
    let row = |Row(number, _, basis, look, remedy): &Row| {
        let (strength, cause, evidence) = look(e)?;
        Some((*basis, Finding { number: *number, strength, cause, evidence, remedy }))
    };
    let mut found: Vec<(Basis, Finding)> = CAUSES.iter().filter_map(row).collect();
    found.sort_by_key(|(_, finding)| Reverse(finding.strength));
    let mut seen = Vec::new();
    found.retain(|(basis, _)| {
        let new = !seen.contains(basis);
        seen.push(*basis);
        new
    });
    if found.is_empty() { vec![runs(e)] } else { found.into_iter().map(|(_, finding)| finding).collect() }
}

fn runs(e: &Evidence) -> Finding {
    let (number, cause, evidence, remedy) = match e.state {
        Some(State::Running | State::Sleeping) if !e.faulted() => (
            8,
            format!("The program is running: {}.", shares(e)),
            "no fault, no reset, no wait without end was seen",
            "Check the pins of what you watch (LED, serial port, baud rate) for this board; nothing is wrong with the start.",
        ),
        Some(State::Halted(_)) => {
            let place = e.pc().map_or(String::new(), |pc| format!(" at {}", e.at(pc)));
            (
                0,
                format!("Unknown: the core is halted{place}, and no known cause fits."),
                "see below",
                "`resume`, and ask again while it runs.",
            )
        }
        _ => (
            0,
            "Unknown: the core does not run, and no known cause fits.".into(),
            "see below",
            "`doctor reset` also looks at how the chip starts.",
        ),
    };
    Finding { number, strength: Strength::Hint, cause, evidence: evidence.into(), remedy }
}

/// "62 % main, 30 % asleep"
pub fn shares(e: &Evidence) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for sample in &e.samples {
        let place = match sample.asleep() {
            true => "asleep".to_string(),
            false => e.function(sample.pc).unwrap_or_else(|| format!("{:#010x}", sample.pc & !0xFF)),
        };
        match counts.iter_mut().find(|(known, _)| *known == place) {
            Some((_, count)) => *count += 1,
            None => counts.push((place, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| Reverse(*count));
    let shown = counts.iter().take(3).map(|(place, count)| format!("{} % {place}", 100 * count / e.samples.len().max(1)));
    shown.collect::<Vec<_>>().join(", ")
}

// ---- the supply, and what is in flash ----

const POWER: &[&str] = &["brown-out", "power-on"];

/// Reset flags of what the program does, or forgets.
fn by_itself(flag: &&str) -> bool {
    flag.starts_with("software") || flag.contains("WDG")
}

fn supply(e: &Evidence) -> Words {
    // No STM32H7 runs below 1.62 V, no G0 below 1.7 V (DS12110, DS12232: operating conditions).
    if let Some(volts) = e.volts.filter(|volts| *volts < 1.62) {
        return sure(format!("The supply is too low: {volts:.2} V."), "VREF as the probe measures it");
    }
    let (count, time, flags) = e.reset_by()?;
    let power = flags.iter().find(|flag| POWER.contains(flag)).filter(|_| !flags.iter().any(by_itself))?;
    let cause = format!("The supply drops: {count} resets by {power} in {:.1} s.", time.as_secs_f64());
    sure(cause, format!("reset flags: {}", flags.join(", ")))
}

/// In no state that a program could be in by itself.
fn dead(e: &Evidence) -> bool {
    !e.held() && (e.faulted() || e.booted_rom() || e.state == Some(State::Reset))
}

fn says(at: u32, table: &Table) -> String {
    format!("the words at {at:#010x} are sp = {:#010x}, reset = {:#010x}", table[0], table[1])
}

fn other_address(e: &Evidence) -> Words {
    let (base, table) = (e.base(), e.vectors().filter(|_| dead(e))?);
    if !e.table_fits(table) && contents(table).is_none_or(|what| what == "blank") {
        let (at, other) = e.tables.iter().find(|(at, other)| **at > base && e.in_flash(**at) && e.table_fits(other))?;
        let cause = format!("The program is at {at:#010x}, and the core starts at {base:#010x}, where there is none.");
        return sure(cause, format!("{}; {}", says(base, table), says(*at, other)));
    }
    let used = e.head.iter().rposition(|byte| *byte != 0xFF).map_or(0, |last| last + 1);
    let head = Image::new("flash", Format::Bin, vec![Segment { address: base, data: e.head[..used].to_vec() }]);
    let linked = head.linked_for(e.bank()?.clone()).filter(|linked| linked.base != base);
    if let Some(linked) = linked {
        let (how, probably): (fn(String, String) -> Words, _) = if linked.is_weak() { (likely, "probably ") } else { (sure, "") };
        let cause = format!("This image was {probably}linked for {:#010x}, but it is at {base:#010x}.", linked.base);
        return how(cause, format!("{} of its pointers are functions there, {} here; {}", linked.score, linked.here, says(base, table)));
    }
    let blank = e.reset_fits(table[1]) && e.opcode(table[1]) == Some([0xFFFF, 0xFFFF]);
    let to = if blank { table[1] } else { return None };
    likely(
        format!("This image was probably linked for another address: its reset vector {to:#010x} leads to blank flash."),
        says(base, table),
    )
}

/// What the first words are, if they are something known.
fn contents(table: &Table) -> Option<String> {
    let bytes: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
    let printable = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    if table.iter().all(|word| *word == u32::MAX) {
        return Some("blank".into());
    }
    if bytes.starts_with(b"\x7FELF") {
        return Some("the start of an ELF file".into());
    }
    if !bytes.iter().all(printable) {
        return None;
    }
    let start: String = bytes.iter().take(12).map(|byte| char::from(*byte)).collect();
    Some(match bytes[..2] {
        [b':', b'0'..=b'9'] => "Intel HEX, as text".into(),
        [b'S', b'0'..=b'9'] => "S-records, as text".into(),
        _ => format!("text: {start:?}"),
    })
}

fn no_program(e: &Evidence) -> Words {
    // Of a core that somebody has halted the words alone must say it.
    let halted = |table: &Table| matches!(e.state, Some(State::Halted(_))) && contents(table).is_some();
    let (at, table) = (e.base(), e.vectors().filter(|table| (dead(e) || halted(table)) && !e.table_fits(table))?);
    let state = if e.locked() { ", and the core is locked up" } else { "" };
    match contents(table) {
        Some(what) if what == "blank" => sure(format!("Flash is blank at {at:#010x}: there is no program{state}."), says(at, table)),
        Some(what) => sure(format!("What is in flash is no program: its vector table is {what}{state}."), says(at, table)),
        None if e.reset_fits(table[1]) => None,
        None => {
            let why =
                if table[1] & 1 == 0 { "the reset vector is even, so it is no Thumb code" } else { "the reset vector leads to no memory" };
            sure(format!("What is in flash begins with no vector table{state}."), format!("{}: {why}", says(at, table)))
        }
    }
}

fn stack_outside(e: &Evidence) -> Words {
    let table = e.vectors().filter(|table| dead(e) && e.reset_fits(table[1]) && !e.sp_fits(table[0]))?;
    let sp = table[0];
    let below = e.ram.iter().filter(|ram| ram.address < sp).max_by_key(|ram| ram.address);
    let end = |ram: &crate::desc::Region| ram.address + ram.up_to.unwrap_or(ram.size);
    let ends = below.map_or("has RAM elsewhere".into(), |ram| format!("has {} up to {:#010x}", ram.name, end(ram)));
    sure(format!("The stack starts at {sp:#010x}, and this chip {ends}."), says(e.base(), table))
}

// ---- where the chip starts ----

fn stale_empty(e: &Evidence) -> Words {
    let table = e.vectors().filter(|table| e.booted_rom() && e.sign("empty") == Some(1) && table[0] != u32::MAX)?;
    let evidence = format!("FLASH_ACR.EMPTY is 1, and {}", says(e.base(), table));
    sure("The chip still believes that its flash is empty, so it starts ST's loader.", evidence)
}

/// The option that lets the core of a pair wait for the other, if it does.
fn kept(e: &Evidence) -> Option<&'static str> {
    let option = *["option.BCM7", "option.BCM4"].get(e.core)?;
    (e.held() && e.sign(option) == Some(0)).then(|| option.trim_start_matches("option."))
}

fn boot_options(e: &Evidence) -> Words {
    if let Some(option) = kept(e) {
        return sure("The option bytes hold this core in reset until the other one starts it.", format!("{option} = 0"));
    }
    let set = |name: &str, value: u32| e.sign(name) == Some(value);
    if set("option.nBOOT_SEL", 1) && set("option.nBOOT0", 0) && !set("option.BOOT_LOCK", 1) && !set("empty", 1) {
        let what = if set("option.nBOOT1", 1) { "ST's loader" } else { "RAM" };
        return sure(format!("The option bytes start {what}, not the program."), "nBOOT_SEL = 1 and nBOOT0 = 0");
    }
    let option = if e.core == 0 { "BOOT_ADD0" } else { "BOOT_CM4_ADD0" };
    let first = e.sign(&format!("option.{option}")).map(|add| add << 16)?;
    // Its own place has no program, and in another bank is one that leads there: no other core's.
    let own = e.bank()?;
    let mut tables = e.flash.iter().filter_map(|bank| e.tables.get(&bank.start)).filter(|table| e.table_fits(table));
    let away = !e.vectors().is_some_and(|table| e.table_fits(table)) && tables.any(|table| own.contains(&table[1]));
    if set("option.SWAP_BANK_OPT", 1) && dead(e) && away {
        return sure("The banks are swapped: the program is in the one that the chip does not start.", "SWAP_BANK_OPT = 1");
    }
    let cause = format!("The option bytes start the core at {first:#010x}, not at {:#010x}.", e.base());
    if first != e.base() && (e.in_rom(first) || dead(e)) { sure(cause, format!("{option} = {:#06x}", first >> 16)) } else { None }
}

fn boot_pin(e: &Evidence) -> Words {
    let table = e.vectors().filter(|table| e.booted_rom() && e.table_fits(table))?;
    if let Some((pc, _)) = e.caught.filter(|(pc, _)| !e.in_rom(*pc)) {
        return likely("The program itself went to ST's loader.", format!("the chip starts at {}, and is in the loader later", e.at(pc)));
    }
    let evidence = format!("pc is in system memory, and flash has a program: {}", says(e.base(), table));
    match e.sign("option.nBOOT_SEL").is_none_or(|select| select == 0) {
        true => sure("The chip runs ST's loader, not the program: BOOT0 is high.", evidence),
        false => likely("The chip runs ST's loader, not the program: BOOT0 was high, or the program went there.", evidence),
    }
}

// ---- debuggers, resets, files ----

fn left_halted(e: &Evidence) -> Words {
    let pc = e.pc()?;
    let at_bkpt = e.get(DFSR) & 2 != 0 && e.opcode(pc).is_some_and(|[op, _]| op >> 8 == BKPT);
    let (dhcsr, demcr) = e.at_first;
    let evidence = format!("DHCSR = {dhcsr:#010x}, DEMCR = {demcr:#010x} when rocd came");
    // S_HALT
    let halted = matches!(e.state, Some(State::Halted(_))) && dhcsr & 1 << 17 != 0 && !e.by_user && !at_bkpt;
    if halted { sure(format!("A debugger left the core halted at {}.", e.at(pc)), evidence) } else { None }
}

fn from_outside(e: &Evidence) -> Words {
    if kept(e).is_some() {
        return None;
    }
    if e.held() {
        return sure("The chip is held in reset.", "in every look S_RESET_ST is set, and no instruction was executed");
    }
    let (count, time) = e.resets();
    let often = format!("{count} times in {:.1} s", time.as_secs_f64());
    let flags = format!("reset flags: {}", e.reset_flags().join(", "));
    match e.reset_by() {
        None if count >= 2 => likely(format!("The chip is reset again and again: {often}."), format!("{flags}, which may be old")),
        Some((.., by)) if by == ["pin"] => sure(format!("The chip is reset from outside again and again: {often}."), flags),
        Some((.., by)) if !by.iter().any(|flag| by_itself(flag) || POWER.contains(flag)) => {
            likely(format!("The chip is reset again and again: {often}."), flags)
        }
        _ => None,
    }
}

fn watchdog(e: &Evidence) -> Words {
    let (count, time, mut dogs) = e.reset_by()?;
    dogs.retain(|flag| flag.contains("WDG"));
    let every = 1e3 * time.as_secs_f64() / count as f64;
    let by_option = dogs.iter().find_map(|dog| e.hardware_watchdog(dog));
    let by_option = by_option.map_or(String::new(), |option| format!("; the option bytes start it ({option} = 0)"));
    let evidence = format!("{count} resets in {:.1} s, about every {every:.0} ms{by_option}", time.as_secs_f64());
    if dogs.is_empty() { None } else { sure(format!("The watchdog ({}) resets the chip again and again.", dogs.join(", ")), evidence) }
}

fn self_reset(e: &Evidence) -> Words {
    let (count, time, flags) = e.reset_by()?;
    let by_software = flags.iter().any(by_itself) && !flags.iter().any(|flag| flag.contains("WDG"));
    let evidence = format!("{count} resets by software in {:.1} s", time.as_secs_f64());
    if by_software { sure("The program resets the chip again and again.", evidence) } else { None }
}

fn misfit(e: &Evidence) -> Words {
    let why = e.misfit.as_ref()?;
    let same = || e.unread.map_or("flash holds that file".into(), |why| format!("not compared: {why}"));
    sure(format!("The file does not fit this chip: {why}."), e.differs.clone().unwrap_or_else(same))
}

/// Of an empty chip all is said.
fn changed(e: &Evidence) -> Words {
    let blank = e.vectors().and_then(contents).is_some_and(|what| what == "blank");
    let differs = e.differs.clone().filter(|_| !blank || e.tables.iter().any(|(at, table)| e.in_flash(*at) && e.table_fits(table)))?;
    likely("Flash is not what the file says.", differs)
}

/// What the board cannot do: evidence as a chip would give it.
#[cfg(test)]
mod tests {
    use super::super::evidence::Frame;
    use super::*;
    use crate::cortex_m::faults::{BFAR, BFARVALID, CFSR, PRECISERR};
    use crate::cortex_m::{Sample, VTOR};
    use crate::desc::Region;

    const FLASH: u32 = 0x0800_0000;

    fn chip(state: State) -> Evidence {
        Evidence { state: Some(state), flash: std::iter::once(FLASH..FLASH + 0x20_0000).collect(), ..Evidence::default() }
    }

    #[test]
    fn ram_whose_clock_is_off_is_told_from_an_access_that_is_wrong() {
        for (clock, number) in [(0, 20), (1, 11)] {
            let words = [0, 0, 0, 0, 0, FLASH + 0x101, FLASH + 0x200, 1 << 24];
            let e = Evidence {
                ram: vec![Region { name: "SRAM1".into(), address: 0x3000_0000, size: 0x8000, up_to: None }],
                registers: [(CFSR, PRECISERR | BFARVALID), (BFAR, 0x3000_0100), (VTOR, FLASH)].into(),
                signs: [("ram.0x30000000".to_string(), clock)].into(),
                frame: Some(Frame { at: 0x2000_0000, words, sp: 0x2000_0020, on_psp: false }),
                ..chip(State::Lockup)
            };
            let found = find(&e);
            assert_eq!(found[0].number, number, "{found:?}");
            assert!(found[0].cause.contains("0x30000100"), "{found:?}");
        }
    }

    #[test]
    fn a_core_that_executes_nothing_hangs_in_an_access() {
        const S_RETIRE_ST: u32 = 1 << 24;
        for (dhcsr, number) in [(0, 34), (S_RETIRE_ST, 8)] {
            let e = Evidence { samples: vec![Sample::made(dhcsr, FLASH + 0x200); 64], ..chip(State::Running) };
            assert_eq!(find(&e)[0].number, number);
        }
    }
}
