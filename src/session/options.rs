//! Option bytes by name, as the target file lays them out.

use super::identify::{self, Ahead};
use super::{Session, core_ap, fatal};
use crate::desc::{DANGERS, Danger, OptionField, OptionRegister, Target, on_die};
use crate::error::{Cause, Context, Error, Kind, Result, excerpt};
use crate::flash::{self, Bank};
use crate::near;
use crate::probe::MemOp;
use std::collections::BTreeMap;
use std::rc::Rc;

const LOADING: &str = "loading the option bytes";

/// A field of the chip's option bytes, as loaded last.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionValue {
    pub field: OptionField,
    pub value: u32,
    /// Where its addresses count from.
    pub base: u32,
    /// What changing it may bring.
    pub dangers: Vec<Danger>,
    /// Its register's word, and where that is written.
    word: u32,
    write: u32,
}

/// A field, what it is to become, and the worst that comes of it.
pub type OptionChange<'o> = (&'o OptionValue, u32, Option<&'o Danger>);

impl OptionValue {
    /// A number, and in words what it means here.
    pub fn says(&self, value: u32) -> String {
        match self.field.meaning(value, self.base) {
            text if text.is_empty() => format!("{value:#x}"),
            text => format!("{value:#x} ({text})"),
        }
    }

    /// The worst of the dangers that come with `value`, while `holds` says what other fields hold then.
    pub fn danger(&self, value: u32, holds: impl Fn(&str) -> Option<u32>) -> Option<&Danger> {
        let comes = |danger: &&Danger| {
            danger.to.is_none_or(|to| to == value) && danger.unless.iter().all(|(name, other)| holds(name) != Some(*other))
        };
        self.dangers.iter().filter(comes).min_by_key(|danger| DANGERS.iter().position(|row| row.0 == danger.kind))
    }
}

impl Session {
    /// Those that this die has.
    fn option_registers<'t>(&self, target: &'t Target) -> impl Iterator<Item = &'t OptionRegister> + use<'t> {
        let (die, banks) = (self.die.name.clone(), self.banks.len());
        target.options.iter().filter(move |row| on_die(&row.dies, &die) && row.bank.is_none_or(|bank| bank < banks))
    }

    /// Every field that this die has.
    pub fn options(&mut self) -> Result<Vec<OptionValue>> {
        let (target, die) = (Rc::clone(&self.target), self.die.name.clone());
        let rows: Vec<_> = self.option_registers(&target).collect();
        let mut words: Vec<MemOp> = rows.iter().map(|row| MemOp::read(row.address)).collect();
        self.mem(0).batch(&mut words).map_err(super::asleep).during("reading the option bytes")?;
        let mut found = Vec::new();
        for (row, word) in rows.iter().zip(words.iter().map(MemOp::value)) {
            let (base, write) = (row.bank.map_or(0, |bank| self.banks[bank].address), row.write.unwrap_or(row.address));
            found.extend(row.fields.iter().filter(|field| on_die(&field.dies, &die)).cloned().map(|field| {
                let dangers = row.dangers.iter().filter(|danger| danger.fields.contains(&field.name)).cloned().collect();
                OptionValue { value: field.of(word), field, base, dangers, word, write }
            }));
        }
        Ok(found)
    }

    /// Write option bytes, load them, which resets the chip, and read them back. False: after a change that is for ever the
    /// chip does not answer any more, as RDP level 2 means.
    pub fn change_options(&mut self, changes: &[OptionChange]) -> Result<bool> {
        let mut words = BTreeMap::new();
        for (option, to, _) in changes {
            let word = words.entry(option.write).or_insert(option.word);
            *word = option.field.put(*word, *to);
        }
        if let Err(error) = self.write_options(&words.into_iter().collect::<Vec<_>>()) {
            let closes = changes.iter().any(|(.., danger)| danger.is_some_and(|danger| danger.kind == DANGERS[0].0));
            return if closes && error.trail == [LOADING] && !fatal(&error) { Ok(false) } else { Err(error) };
        }
        let now = self.options()?;
        for (option, to, _) in changes {
            let (name, found) = (&option.field.name, find_option(&now, &option.field.name)?.value);
            if found != *to {
                let what = format!("{name} reads {} after {} was written", option.says(found), option.says(*to));
                return Err(Error::new(Kind::Mismatch, what).hint("the chip refused it, or has no such option"));
            }
        }
        Ok(true)
    }

    /// Protect these sectors of a bank from being written, and no others.
    pub fn protect(&mut self, bank: &Bank, sectors: &[bool]) -> Result<()> {
        self.write_options(&flash::driver(&self.target.driver)?.protect(bank, sectors)?)?;
        match self.protection(bank)? == sectors {
            true => Ok(()),
            false => Err(Error::new(Kind::Mismatch, format!("{} is not protected as was written", bank.name))),
        }
    }

    /// What the chip says of the option bytes it loaded, and of which words it may be.
    pub fn check_options(&mut self) -> Result<()> {
        let (bank, target) = (self.banks[0].clone(), Rc::clone(&self.target));
        let Err(mut error) = flash::check_options(flash::driver(&target.driver)?, &mut self.mem(0), &bank) else { return Ok(()) };
        for (register, at) in self.option_registers(&target).filter_map(|row| Some((&row.register, row.stored?))).collect::<Vec<_>>() {
            // What cannot be read takes nothing from what is known.
            if let [Ok(word), Ok(complement)] = [at, at + 4].map(|at| self.mem(0).read32(at))
                && word != !complement
            {
                error.message += &format!("; {register} is stored at {at:#010x} as {word:#010x} beside {complement:#010x}");
            }
        }
        Err(error)
    }

    /// Write them and load them. The reset shuts what was opened for that; behind an error it is shut here.
    fn write_options(&mut self, words: &[(u32, u32)]) -> Result<()> {
        let bank = self.banks[0].clone();
        let done = self.program_options(&bank, words);
        // A second Ctrl-C does not wait for the lock, either.
        if done.as_ref().is_err_and(|error| !matches!(error.cause, Cause::Abandoned(_))) {
            let (driver, ears) = (flash::driver(&self.target.driver)?, self.ears.clone());
            flash::lock_options(driver, &mut self.mem(0), &bank, &ears).ok();
        }
        done
    }

    fn program_options(&mut self, bank: &Bank, words: &[(u32, u32)]) -> Result<()> {
        let written = self.change_flash(false, |session, driver| {
            let ears = session.ears.clone();
            flash::write_options(driver, &mut session.mem(0), bank, words, &ears)
        });
        written.during("writing the option bytes")?;
        let load = |session: &mut Session| match flash::launch(flash::driver(&session.target.driver)?, &mut session.mem(0), bank) {
            Ok(false) => session.system_reset(),
            Err(error) if fatal(&error) => Err(error),
            // The answer may be lost in the reset.
            _ => session.reset_seen(0),
        };
        self.reset_chip_by(true, load).during(LOADING)?;
        // With other options it may be another die, and have other banks.
        self.die = identify::find_die(&mut *self.probe, &self.target, &Ahead::new(), self.dev_id)?;
        let kib = identify::flash_kib(&mut *self.probe, &self.target, &Ahead::new(), &self.die, &self.ears)?;
        self.banks = identify::banks(&self.die, kib, core_ap(&self.target, 0), self.volts);
        Ok(())
    }
}

/// By its name, whatever its letters' case.
pub fn find_option<'o>(options: &'o [OptionValue], name: &str) -> Result<&'o OptionValue> {
    options.iter().find(|option| option.field.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let hint = near::hint(name, options.iter().map(|option| option.field.name.as_str()), "`option read` lists them");
        Error::usage(format!("this chip has no option `{}`", excerpt(name))).hint(hint)
    })
}
