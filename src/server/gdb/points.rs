//! Breakpoints and watchpoints of all gdbs. gdb takes its own away at each stop and sets them again before it goes on: what
//! nobody has set any more stays in place until the core is to run, so that most of this costs nothing.

use super::{Answer, Gdb, malformed, ok, pair};
use crate::error::Result;
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

/// `idle`: it is in place, though it may watch another kind of access.
fn add(session: &mut Session, kind: u8, (core, watches, address): Point, len: u32, idle: bool) -> Result<()> {
    const ACCESSES: &[(u8, Access)] = &[(b'2', Access::Write), (b'3', Access::Read), (b'4', Access::Any)];
    match kind {
        b'0' => session.add_breakpoint(core, address, len, BreakKind::Auto).map(|_| ()),
        b'1' => session.add_breakpoint(core, address, len, BreakKind::Hardware).map(|_| ()),
        _ => {
            let access = ACCESSES.iter().find(|row| row.0 == kind).ok_or_else(malformed)?.1;
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

fn read(desk: &Desk, rest: &[u8]) -> Result<(u8, Point, u32)> {
    let kind = *rest.first().ok_or_else(malformed)?;
    let place = rest.get(2..).unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default();
    let (address, len) = pair(place)?;
    Ok((kind, (desk.core.get(), kind > b'1', address), len))
}

impl Gdb {
    /// `type,addr,kind`; conditions are gdb's own business.
    pub(super) fn set_point(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (kind, point, len) = read(desk, rest)?;
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
        let (_, point, _) = read(desk, rest)?;
        if let Some(at) = self.points.iter().position(|own| *own == point) {
            desk.shared.borrow_mut().give_up(self.points.swap_remove(at));
        }
        ok()
    }
}
