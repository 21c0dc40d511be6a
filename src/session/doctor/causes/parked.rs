//! No fault: the program runs, and does not get on.

use super::super::evidence::{Evidence, SCR, SYST_CSR};
use super::{Words, likely, shares, sure};
use crate::cortex_m::{State, exception_name};

/// ICSR, DDI0403 B3.2.4
const PENDSTSET: u32 = 1 << 26;

pub fn stalled(e: &Evidence) -> Words {
    let still = e.samples.len() >= 8 && e.samples.iter().skip(1).all(|sample| !sample.retired() && !sample.rests() && !sample.reset());
    let evidence = "it executes nothing, and is neither halted nor asleep (S_RETIRE_ST)";
    if still && e.state == Some(State::Running) { sure("The core hangs in a bus access that never ends.", evidence) } else { None }
}

pub fn no_tick(e: &Evidence) -> Words {
    let waits = e.samples.len() >= 8 && e.samples.iter().all(|sample| sample.icsr & PENDSTSET != 0);
    let handled = e.exception();
    let pending = || format!("SysTick is pending all the time, in {}", shares(e));
    if waits && handled >= 11 && !e.pc().is_some_and(|pc| e.endless(pc)) {
        return sure(format!("The handler of exception {handled} waits, and keeps the tick from coming."), pending());
    }
    if waits && e.stood.is_some_and(|stood| stood.masked()) {
        return sure("The program waits for the tick, but interrupts are masked (PRIMASK = 1).", pending());
    }
    let off = e.get(SYST_CSR) & 3 != 3 && e.tight().is_some() && handled == 0;
    let delay = e.within(|name| ["HAL_Delay", "HAL_GetTick", "delay", "osDelay"].contains(&name)).filter(|_| off)?;
    likely(format!("The program waits in {delay} for a tick that is not switched on."), format!("SysTick's CTRL = {:#x}", e.get(SYST_CSR)))
}

pub fn no_handler(e: &Evidence) -> Words {
    let handled = e.exception();
    let pc = e.pc().filter(|_| handled >= 7 && e.tight().is_some())?;
    let parked = e.endless(pc) || e.function(pc).is_some_and(|name| name.starts_with("Default"));
    let what = exception_name(handled).map_or_else(|| format!("Interrupt {}", handled.saturating_sub(16)), str::to_string);
    let evidence = format!("the core is in exception {handled} and in an endless loop at {}", e.at(pc));
    if parked { sure(format!("{what} came and has no handler of its own."), evidence) } else { None }
}

/// Functions of programs that have given up.
const GIVEN_UP: &[&str] =
    &["Error_Handler", "__assert_func", "assert_failed", "abort", "_exit", "rust_begin_unwind", "panic", "__cxa_pure_virtual"];

fn given_up(name: &str) -> bool {
    GIVEN_UP.iter().any(|known| name.contains(known))
}

/// It waits for a register of this block, or is in a function of such a name, or was called from one.
fn about(e: &Evidence, page: u32, names: &[&str]) -> bool {
    let named = e.within(|name| names.iter().any(|word| name.contains(word))).is_some();
    e.exception() == 0
        && !e.samples.iter().any(|sample| sample.asleep())
        && !e.faulted()
        && (named || e.tight().is_some() && e.looks_at(page))
}

pub fn no_clock(e: &Evidence) -> Words {
    let page = e.page("RCC_CR").filter(|page| about(e, *page, &["Clock", "RCC", "clock"]));
    let waits = |name: &&str| e.sign(&format!("ready.{name}")) == Some(0);
    let silent: Vec<&str> = e.signs("on.").filter(|(_, on)| *on == 1 && page.is_some()).map(|(name, _)| name).filter(waits).collect();
    // A PLL without its input is not ready either: the oscillator is the cause.
    let name = silent.iter().find(|name| !name.starts_with("PLL")).or(silent.first())?;
    let bypass = if e.sign(&format!("bypass.{name}")) == Some(1) { " (bypass is on)" } else { "" };
    let evidence = format!("its enable bit is 1 and its ready bit 0, in {}", shares(e));
    sure(format!("The clock {name} was switched on and never became ready{bypass}."), evidence)
}

pub fn core_supply(e: &Evidence) -> Words {
    let page = e.page("PWR_CSR1").filter(|_| e.sign("supply.ready") == Some(0))?;
    let set: Vec<&str> = e.signs("supply.").filter(|(name, on)| *name != "ready" && *on == 1).map(|(name, _)| name).collect();
    let cause = format!("The core supply that the program chose ({}) is not how the board is wired.", set.join(", "));
    let evidence = format!("PWR_CSR1.ACTVOSRDY stays 0, in {}", shares(e));
    if about(e, page, &["PWR", "Supply"]) { sure(cause, evidence) } else { None }
}

pub fn pll_on(e: &Evidence) -> Words {
    let driven = e.signs("on.").any(|(name, on)| name.starts_with("PLL") && on == 1) && e.sign("source") == Some(if e.v6m { 2 } else { 3 });
    let in_setup = e.within(|name| name.contains("SystemClock_Config") || name.contains("RCC_OscConfig"));
    let name = in_setup.filter(|_| driven && e.exception() == 0 && e.within(given_up).is_some())?;
    let cause = "The PLL was on already when the program set up its clocks: a boot loader left it so.";
    sure(cause, format!("the PLL drives the core, and {name} gave up"))
}

pub fn second_core(e: &Evidence) -> Words {
    let blank = e.flash.get(1).and_then(|bank| e.tables.get(&bank.start)).is_some_and(|table| table[0] == u32::MAX);
    let down = matches!(e.other, Some(State::Lockup | State::Unavailable | State::Reset));
    // RCC_CR.D2CKRDY tells that the M4's domain runs (RM0399 8.7.2).
    let waits = e.stood.is_some() && e.page("RCC_CR").is_some_and(|page| about(e, page, &[]));
    let evidence = "the M4 does not run, bank 2 is blank, and RCC_CR is read in a tight loop";
    if e.dual && blank && down && waits { likely("The M7 waits for the M4, whose flash is empty.", evidence) } else { None }
}

pub fn log(e: &Evidence) -> Words {
    let at = e.symbol("_SEGGER_RTT")?;
    let word = |offset: u32| e.memory.get(&at.wrapping_add(offset)).copied();
    // SEGGER_RTT.h: acID[16], two counts, then of the first channel up name, buffer, size, WrOff, RdOff, Flags.
    let (size, write, read, mode) = (word(32)?, word(36)?, word(40)?, word(44)?);
    let full = size > 0 && write.wrapping_add(1) % size == read && mode & 3 == 2;
    let name = e.within(|name| ["RTT", "rtt", "Write"].iter().any(|part| name.contains(part))).filter(|_| full)?;
    sure("The program waits for somebody to read its log.", format!("RTT's buffer is full and set to block, in {name}"))
}

pub fn stopped_itself(e: &Evidence) -> Words {
    let pc = e.pc().filter(|_| e.exception() == 0 && !matches!(e.state, Some(State::Halted(_))))?;
    let endless = e.endless(pc) || e.tight().is_some_and(|range| range.len() <= 8);
    let named = e.function(pc).is_some_and(|name| given_up(&name));
    let masked = e.stood.is_some_and(|stood| stood.masked());
    if !endless || !named && !masked {
        return None;
    }
    let caller = e.stood.map(|stood| stood.lr()).filter(|lr| lr & 1 == 1 && e.in_flash(*lr));
    let from = caller.map_or(String::new(), |lr| format!(", called from {}", e.at((lr & !1) - 2)));
    let cause = format!("The program stopped itself at {}{from}.", e.at(pc));
    let evidence = format!("an endless loop{}", if masked { " with interrupts masked" } else { "" });
    if named { sure(cause, evidence) } else { likely(cause, evidence) }
}

pub fn asleep(e: &Evidence) -> Words {
    let all = !e.samples.is_empty() && e.samples.iter().all(|sample| sample.asleep());
    let deep = if e.get(SCR) & 4 != 0 { " (SLEEPDEEP)" } else { "" };
    let place = e.pc().map_or(String::new(), |pc| e.at(pc));
    let evidence = format!("asleep in every look, at {place}; no interrupt line is enabled in the NVIC");
    if all && !e.wakes() { sure(format!("The core sleeps{deep}, and nothing that is enabled can wake it."), evidence) } else { None }
}
