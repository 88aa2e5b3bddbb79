//! A file at an address as something to read and seek in.

use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::sync::Arc;

use super::client::Client;

/// Bytes of the first request, and of one behind a jump.
const LEAST_BLOCK: u64 = 64 << 10;
/// Bytes of the longest request.
pub(super) const MOST_BLOCK: u64 = 8 << 20;

/// Reads blocks, longer ones the longer it reads on.
pub(super) struct RangeReader {
    client: Arc<Client>,
    address: String,
    /// Bytes of the file.
    length: u64,
    place: u64,
    block: Vec<u8>,
    /// Where the block begins.
    start: u64,
}

impl RangeReader {
    pub(super) fn new(client: Arc<Client>, address: String, length: u64) -> Self {
        Self { client, address, length, place: 0, block: Vec::new(), start: 0 }
    }

    /// Length of the next block: twice that of the last one, or little where a jump was longer.
    fn next_length(&self) -> u64 {
        let last = self.block.len() as u64;
        let gap = self.place.checked_sub(self.start + last);
        let length = match gap {
            Some(gap) if gap <= last => (2 * last).clamp(LEAST_BLOCK, MOST_BLOCK),
            _ => LEAST_BLOCK,
        };
        length.min(self.length - self.place)
    }

    fn held(&self) -> Option<usize> {
        let ahead = usize::try_from(self.place.checked_sub(self.start)?).ok()?;
        (ahead < self.block.len()).then_some(ahead)
    }
}

impl Read for RangeReader {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        if self.place >= self.length || to.is_empty() {
            return Ok(0);
        }
        if self.held().is_none() {
            let block = self.client.range(&self.address, self.place, self.next_length());
            self.block = block.map_err(Error::other)?;
            self.start = self.place;
        }
        let held = &self.block[self.held().unwrap_or(self.block.len())..];
        let count = held.len().min(to.len());
        to[..count].copy_from_slice(&held[..count]);
        self.place += count as u64;
        Ok(count)
    }
}

impl Seek for RangeReader {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
        };
        self.place = place.ok_or_else(|| Error::other("a place before the file begins"))?;
        Ok(self.place)
    }
}
