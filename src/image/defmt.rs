//! defmt: a log whose program sends numbers and whose ELF has the words, by crate defmt-decoder.

use crate::error::{Error, Result};
use defmt_decoder::{DecodeError, Encoding, Frame, Locations, Table};

/// A frame without an end is none.
const LONGEST: usize = 16 << 10;

pub struct Defmt {
    table: Table,
    places: Locations,
    /// Of a frame that is not complete.
    rest: Vec<u8>,
}

impl Defmt {
    /// `None`: this ELF's program has no such log. Kind image: of a version that the crate does not know.
    pub fn of(elf: &[u8]) -> Result<Option<Defmt>> {
        let table = Table::parse(elf).map_err(|error| Error::image(format!("its defmt log cannot be read: {error}")))?;
        let places = |table: &Table| table.get_locations(elf).unwrap_or_default();
        Ok(table.map(|table| Defmt { places: places(&table), table, rest: Vec::new() }))
    }

    /// What follows is no continuation.
    pub fn begin(&mut self) {
        self.rest.clear();
    }

    /// A line for each frame that is complete with these bytes, and how many bytes were none and were skipped.
    pub fn decode(&mut self, bytes: &[u8]) -> (String, usize) {
        self.rest.extend(bytes);
        let (mut text, mut skipped) = (String::new(), 0);
        if self.table.encoding() == Encoding::Rzcobs {
            // A 0 ends each frame, whatever is in it.
            while let Some(end) = self.rest.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.rest.drain(..=end).collect();
                let mut decoder = self.table.new_stream_decoder();
                decoder.received(&frame[..frame.len().min(LONGEST)]);
                match decoder.decode() {
                    Ok(frame) => text += &self.line(&frame),
                    Err(DecodeError::UnexpectedEof) if end == 0 => {}
                    Err(_) => skipped += frame.len(),
                }
            }
        }
        while self.table.encoding() == Encoding::Raw && !self.rest.is_empty() {
            let used = match self.table.decode(&self.rest) {
                Ok((frame, used)) => {
                    text += &self.line(&frame);
                    used
                }
                Err(DecodeError::UnexpectedEof) if self.rest.len() < LONGEST => break,
                // Where the next one begins nobody knows: it is looked for.
                Err(_) => {
                    skipped += 1;
                    1
                }
            };
            self.rest.drain(..used);
        }
        if self.rest.len() > LONGEST {
            skipped += std::mem::take(&mut self.rest).len();
        }
        (text, skipped)
    }

    /// Time, level and text as the crate has them, and where it was said.
    fn line(&self, frame: &Frame) -> String {
        let place = self.places.get(&frame.index()).and_then(|place| Some((place.file.file_name()?.to_string_lossy(), place.line)));
        let place = place.map_or(String::new(), |(file, line)| format!(" ({file}:{line})"));
        format!("{}{place}\n", frame.display(false))
    }
}
