//! Tagged stretches of bytes, of which the whole format is made.

use std::io::Read;

use flate2::read::ZlibDecoder;

use crate::decode::bounds::Decoded;

/// Type of an element that holds an array.
pub(crate) const MATRIX: u32 = 14;
/// Type of an element that holds a zlib stream of one element.
pub(crate) const COMPRESSED: u32 = 15;

/// The elements in a stretch of bytes, one after the other.
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    big: bool,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(rest: &'a [u8], big: bool) -> Self {
        Self { rest, big }
    }

    /// Type and data of the next element; `None` at the end.
    pub(crate) fn next(&mut self) -> Decoded<Option<(u32, &'a [u8])>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let word = self.word(0)?;
        // A short element keeps its length in the upper half of the type and its data in the tag.
        let (kind, start, length, padded) = match word >> 16 {
            0 => {
                let length = self.word(4)? as usize;
                let padding = if word == COMPRESSED { 0 } else { length.wrapping_neg() % 8 };
                (word, 8, length, length.saturating_add(padding))
            }
            length => (word & 0xffff, 4, length as usize, 4),
        };
        let rest = &self.rest[start..];
        let cut = || format!("an element of {length} bytes is cut off, {} are left", rest.len());
        let data = rest.get(..length).filter(|_| length <= padded).ok_or_else(cut)?;
        self.rest = &rest[padded.min(rest.len())..];
        Ok(Some((kind, data)))
    }

    /// The next element, which must be there.
    pub(crate) fn require(&mut self, what: &str) -> Decoded<(u32, &'a [u8])> {
        self.next()?.ok_or_else(|| format!("no {what} in an array"))
    }

    /// Bytes not yet read.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    fn word(&self, place: usize) -> Decoded<u32> {
        let bytes = self.rest.get(place..place + 4).ok_or("a tag is cut off")?;
        Ok(word(bytes, self.big))
    }
}

/// The number in the first four bytes.
pub(crate) fn word(bytes: &[u8], big: bool) -> u32 {
    let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
    if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// Longest array once it is inflated: it is held beside its bytes, and a byte may be a double.
const MOST_INFLATED: u64 = 256 << 20;

/// What a compressed element holds.
pub(crate) fn inflate(data: &[u8]) -> Decoded<Vec<u8>> {
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(data).take(MOST_INFLATED + 1).read_to_end(&mut inflated);
    read.map_err(|error| format!("damaged compression: {error}"))?;
    let long = || format!("more than {MOST_INFLATED} bytes once inflated");
    (inflated.len() as u64 <= MOST_INFLATED).then_some(inflated).ok_or_else(long)
}

/// Longest stretch that holds an array's flags, sizes and name.
const HEAD: u64 = 4096;

/// The first bytes of the array that a compressed element holds, behind its tag.
pub(crate) fn inflate_head(data: &[u8]) -> Decoded<Vec<u8>> {
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(data).take(HEAD).read_to_end(&mut inflated);
    // What is damaged after it matters to its own reader alone.
    match read {
        Err(error) if inflated.len() < 64 => Err(format!("damaged compression: {error}")),
        _ => Ok(inflated.split_off(inflated.len().min(8))),
    }
}
