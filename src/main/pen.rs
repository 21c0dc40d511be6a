//! stdout and stderr. While others are served, a thread writes: whoever does not read what is printed holds up nobody.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// Bytes that wait for a reader; what comes behind them is lost.
const MOST: usize = 1 << 20;
/// For what still waits when nobody is served any more.
const PATIENCE: Duration = Duration::from_millis(200);

pub struct Pen {
    write: fn(&[u8]) -> io::Result<()>,
    behind: RefCell<Option<Behind>>,
    lost: Cell<usize>,
}

/// What its thread has not written yet.
struct Behind {
    queue: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    /// Lost since the last piece that had room.
    gap: usize,
}

impl Pen {
    pub fn new(write: fn(&[u8]) -> io::Result<()>) -> Pen {
        Pen { write, behind: RefCell::default(), lost: Cell::new(0) }
    }

    pub fn put(&self, bytes: &[u8]) -> io::Result<()> {
        match self.behind.borrow_mut().as_mut() {
            None => return (self.write)(bytes),
            Some(behind) => self.lost.set(self.lost.get() + behind.put(bytes)),
        }
        Ok(())
    }

    /// From now on nobody waits for a reader; or everybody does again, once all is written that waits.
    pub fn serve(&self, on: bool) {
        let mut behind = self.behind.borrow_mut();
        match behind.as_ref() {
            None if on => *behind = Some(Behind::new(self.write)),
            Some(own) if !on && own.rest() == 0 => *behind = None,
            _ => {}
        }
    }

    /// Bytes that nobody has read.
    pub fn lost(&self) -> usize {
        self.lost.get() + self.behind.borrow().as_ref().map_or(0, Behind::rest)
    }
}

impl Behind {
    fn new(write: fn(&[u8]) -> io::Result<()>) -> Behind {
        let (queue, pieces) = channel::<Vec<u8>>();
        let waiting = Arc::<AtomicUsize>::default();
        let left = waiting.clone();
        std::thread::spawn(move || {
            for piece in pieces {
                // What could not be written waits for ever, and is told as lost.
                if write(&piece).is_err() {
                    return;
                }
                left.fetch_sub(piece.len(), Ordering::SeqCst);
            }
        });
        Behind { queue, waiting, gap: 0 }
    }

    /// How much was lost. Few large gaps are better than many small ones.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let room = if self.gap > 0 { MOST / 2 } else { MOST };
        if self.waiting.load(Ordering::SeqCst) + bytes.len() > room {
            self.gap += bytes.len();
            return bytes.len();
        }
        match std::mem::take(&mut self.gap) {
            0 => {}
            gap => self.send(format!("\n[rocd: {gap} bytes are lost here: nobody read them]\n").as_bytes()),
        }
        self.send(bytes);
        0
    }

    fn send(&self, bytes: &[u8]) {
        self.waiting.fetch_add(bytes.len(), Ordering::SeqCst);
        let _ = self.queue.send(bytes.to_vec());
    }

    /// What waits in vain.
    fn rest(&self) -> usize {
        let began = Instant::now();
        loop {
            match self.waiting.load(Ordering::SeqCst) {
                rest if rest == 0 || began.elapsed() >= PATIENCE => return rest,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}
