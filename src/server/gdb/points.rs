//! Breakpoints and watchpoints of all gdbs. gdb takes its own away at each stop and sets them again before it goes on: what
//! nobody has set any more stays in place until the core is to run, so that most of this costs nothing.

use super::{Answer, Gdb, ok, pair, split, text};
use crate::error::{Error, Result};
use crate::server::Desk;
use crate::session::{Access, BreakKind, Session, Watchpoint};

/// Core, whether it watches data, address.
pub type Point = (usize, bool, u32);

#[derive(Default)]
pub struct Set {
    /// As often as clients have set them.
    points: Vec<Point>,
    /// In place, and nobody's.
    idle: Vec<Point>,
    /// The cores that clients are attached to.
    pub attached: Vec<usize>,
}

impl Set {
    pub fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    pub fn give_up(&mut self, point: Point) {
        if let Some(at) = self.points.iter().position(|set| *set == point) {
            self.points.swap_remove(at);
        }
        if !self.points.contains(&point) {
            self.idle.push(point);
        }
    }
}

impl Desk<'_> {
    /// Take away what is nobody's, but for a breakpoint at `here`. Before the core may run, and before anybody looks at them.
    pub fn settle(&self, here: Option<u32>) -> Result<()> {
        let Ok(mut session) = self.host.cx().session.try_borrow_mut() else { return Ok(()) };
        let idle = std::mem::take(&mut self.shared.borrow_mut().idle);
        let (mut stay, go): (Vec<Point>, Vec<Point>) = idle.into_iter().partition(|point| !point.1 && here == Some(point.2));
        let mut done = Ok(());
        for point in go {
            if let Err(error) = session.as_mut().map_or(Ok(()), |session| remove(session, point)) {
                stay.push(point);
                done = done.and(Err(error));
            }
        }
        self.shared.borrow_mut().idle = stay;
        done
    }
}

/// Somebody may have done it by a command.
fn remove(session: &mut Session, (core, watches, address): Point) -> Result<()> {
    match watches {
        true if session.watchpoints(core).iter().any(|set| set.address == address) => session.remove_watchpoint(core, Some(address)),
        false if session.breakpoints(core).iter().any(|set| set.address == address & !1) => session.remove_breakpoint(core, Some(address)),
        _ => Ok(()),
    }
}

/// What is set, by the letter behind `Z`, and the kinds that there are: an instruction's bytes, or any number of those that are watched.
const KINDS: &[(u8, Kind, &[u32])] = &[
    (b'0', Kind::Break(BreakKind::Auto), &[2, 3, 4]),
    (b'1', Kind::Break(BreakKind::Hardware), &[2, 3, 4]),
    (b'2', Kind::Watch(Access::Write), &[]),
    (b'3', Kind::Watch(Access::Read), &[]),
    (b'4', Kind::Watch(Access::Any), &[]),
];

#[derive(Clone, Copy)]
enum Kind {
    Break(BreakKind),
    Watch(Access),
}

/// `idle`: it is in place, though it may watch another kind of access.
fn add(session: &mut Session, kind: Kind, (core, watches, address): Point, len: u32, idle: bool) -> Result<()> {
    match kind {
        Kind::Break(kind) => session.add_breakpoint(core, address, len, kind).map(|_| ()),
        Kind::Watch(access) => {
            let same = |set: &Watchpoint| (set.address, set.length, set.access) == (address, len, access);
            if session.watchpoints(core).iter().any(same) {
                return Ok(());
            }
            if idle {
                remove(session, (core, watches, address))?;
            }
            session.add_watchpoint(core, address, len, access).map(|_| ())
        }
    }
}

/// `type,addr,kind[;…]`; conditions are gdb's own business. `None`: such points are not known here.
fn read(desk: &Desk, rest: &[u8]) -> Result<Option<(Kind, Point, u32)>> {
    let (letter, place) = split(rest, b',')?;
    let Some((_, kind, lens)) = KINDS.iter().find(|row| letter == [row.0]) else { return Ok(None) };
    let (address, len) = pair(place.split(|byte| *byte == b';').next().unwrap_or_default())?;
    if !lens.is_empty() && !lens.contains(&len) {
        return Err(Error::command(format!("{len:#x} is no kind of breakpoint: they are {lens:?}")));
    }
    Ok(Some((*kind, (desk.core.get(), matches!(kind, Kind::Watch(_)), address), len)))
}

impl Gdb {
    pub(super) fn set_point(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let Some((kind, point, len)) = read(desk, rest)? else { return text("") };
        let idle = desk.shared.borrow().idle.contains(&point);
        let added = add(&mut *desk.session()?, kind, point, len, idle);
        let added = added.or_else(|_| {
            // Comparators may be held by what is nobody's.
            desk.settle(None)?;
            add(&mut *desk.session()?, kind, point, len, false)
        });
        added.inspect_err(|error| desk.host.cx().ears.warn(error.remedy()))?;
        let mut shared = desk.shared.borrow_mut();
        shared.idle.retain(|idle| *idle != point);
        shared.points.push(point);
        self.points.push(point);
        ok()
    }

    pub(super) fn clear_point(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let Some((_, point, _)) = read(desk, rest)? else { return text("") };
        if let Some(at) = self.points.iter().position(|own| *own == point) {
            desk.shared.borrow_mut().give_up(self.points.swap_remove(at));
        }
        ok()
    }
}
