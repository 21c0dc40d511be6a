//! stdout and stderr. While others are served, a thread writes: whoever does not read what is printed holds up nobody.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
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
    /// By which its thread has ended.
    error: Arc<Mutex<Option<io::Error>>>,
    /// Lost since the last piece that had room.
    gap: usize,
}

impl Pen {
    pub fn new(write: fn(&[u8]) -> io::Result<()>) -> Pen {
        Pen { write, behind: RefCell::default(), lost: Cell::new(0) }
    }

    pub fn put(&self, bytes: &[u8]) -> io::Result<()> {
        self.failed()?;
        match self.behind.borrow_mut().as_mut() {
            None => return (self.write)(bytes),
            Some(behind) => self.lost.set(self.lost.get() + behind.put(bytes)),
        }
        Ok(())
    }

    /// `Err`, once: the thread could not write and has ended, so there is nobody to wait for.
    pub fn failed(&self) -> io::Result<()> {
        let mut behind = self.behind.borrow_mut();
        let error = behind.as_ref().and_then(|behind| behind.error.lock().ok()?.take());
        error.map_or(Ok(()), |error| {
            *behind = None;
            Err(error)
        })
    }

    /// From now on nobody waits for a reader; or everybody does again, once all is written that waits.
    pub fn serve(&self, on: bool) -> io::Result<()> {
        self.failed()?;
        let mut behind = self.behind.borrow_mut();
        match behind.as_ref() {
            None if on => *behind = Some(Behind::new(self.write)),
            Some(own) if !on && own.rest() == 0 => *behind = None,
            _ => {}
        }
        Ok(())
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
        let error = Arc::<Mutex<Option<io::Error>>>::default();
        let (left, why) = (waiting.clone(), error.clone());
        std::thread::spawn(move || {
            for piece in pieces {
                if let Err(error) = write(&piece) {
                    if let Ok(mut why) = why.lock() {
                        *why = Some(error);
                    }
                    return;
                }
                left.fetch_sub(piece.len(), Ordering::SeqCst);
            }
        });
        Behind { queue, waiting, error, gap: 0 }
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
