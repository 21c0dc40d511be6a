//! What is typed for the program in the chip, read by a thread as soon as the program asks for it: who waits for it can be interrupted.

use std::cell::RefCell;
use std::io::Read;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

/// Read at once.
const CHUNK: usize = 1024;

#[derive(Clone)]
pub struct Input(Rc<RefCell<Source>>);

struct Source {
    /// Until it is asked for.
    unread: Option<Box<dyn Read + Send>>,
    pieces: Option<Receiver<Vec<u8>>>,
    left: Vec<u8>,
}

impl Input {
    pub fn new(from: impl Read + Send + 'static) -> Input {
        Input(Rc::new(RefCell::new(Source { unread: Some(Box::new(from)), pieces: None, left: Vec::new() })))
    }

    /// At most so many bytes, none at the end; `None`: nothing has come yet.
    pub(super) fn take(&self, most: usize) -> Option<Vec<u8>> {
        let Source { unread, pieces, left } = &mut *self.0.borrow_mut();
        if let Some(mut from) = unread.take() {
            let (sender, receiver) = sync_channel(1);
            *pieces = Some(receiver);
            std::thread::spawn(move || {
                let mut buffer = [0; CHUNK];
                while let Ok(count @ 1..) = from.read(&mut buffer) {
                    if sender.send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
            });
        }
        if left.is_empty() {
            match pieces.as_ref()?.try_recv() {
                Ok(bytes) => *left = bytes,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => {}
            }
        }
        Some(left.drain(..most.min(left.len())).collect())
    }

    /// What could not be handed over is there to be taken again.
    pub(super) fn give_back(&self, bytes: &[u8]) {
        self.0.borrow_mut().left.splice(..0, bytes.iter().copied());
    }
}
