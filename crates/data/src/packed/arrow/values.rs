//! The bytes of single rows.

use std::io::{Read, Seek, SeekFrom};

use super::columns::{Column, Kind};
use crate::decode::{Decoded, MAX_BYTES};

/// Where the numbers of some rows are.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: usize,
    /// Start and length in the file of every buffer.
    pub(super) buffers: Vec<(u64, u64)>,
}

impl Kind {
    /// How many buffers of values there are.
    pub(super) fn buffers(self) -> usize {
        if let Self::Bytes(_) = self { 2 } else { 1 }
    }
}

impl Batch {
    /// The value of `row`; none where it has none.
    pub(super) fn value(
        &self,
        file: &mut (impl Read + Seek),
        length: u64,
        row: usize,
        column: &Column,
    ) -> Decoded<Option<Vec<u8>>> {
        let mut within = |buffer: usize, from: u64, size: usize| {
            let (start, own) = self.buffers[buffer];
            let inside = from.checked_add(size as u64).is_some_and(|end| end <= own);
            let wrong = || format!("row {row} lies outside of its buffer");
            inside.then_some(()).ok_or_else(wrong)?;
            bytes(file, start + from, size, length)
        };
        for &bits in &column.validity {
            // Without bits every row has a value.
            if self.buffers[bits].1 > 0 {
                let byte = within(bits, row as u64 / 8, 1)?;
                if byte[0] >> (row % 8) & 1 == 0 {
                    return Ok(None);
                }
            }
        }
        let at = |size: usize| (row * size) as u64;
        Ok(Some(match column.kind {
            Kind::Signed(size) => number(&within(column.values, at(size), size)?, true),
            Kind::Unsigned(size) => number(&within(column.values, at(size), size)?, false),
            Kind::Flags => {
                let byte = within(column.values, row as u64 / 8, 1)?;
                (byte[0] >> (row % 8) & 1).to_string().into_bytes()
            }
            Kind::Bytes(size) => {
                let ends = within(column.values, at(size), 2 * size)?;
                let [from, to] = [&ends[..size], &ends[size..]].map(wide);
                let count = to.checked_sub(from).filter(|&count| count <= MAX_BYTES);
                let count = count.ok_or_else(|| format!("row {row} from byte {from} to {to}"))?;
                within(column.values + 1, from, count as usize)?
            }
        }))
    }
}

/// A number of up to eight bytes, the lowest first.
fn wide(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// The digits of a number.
fn number(bytes: &[u8], signed: bool) -> Vec<u8> {
    let (value, unused) = (wide(bytes), 64 - 8 * bytes.len() as u32);
    match signed {
        true => (((value << unused) as i64) >> unused).to_string(),
        false => value.to_string(),
    }
    .into_bytes()
}

/// Part of a file whose length is known.
pub(super) fn bytes(
    file: &mut (impl Read + Seek),
    from: u64,
    size: usize,
    length: u64,
) -> Decoded<Vec<u8>> {
    if from.checked_add(size as u64).is_none_or(|end| end > length) {
        return Err(cut());
    }
    let mut bytes = vec![0; size];
    let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut bytes));
    read.map_err(|error| error.to_string())?;
    Ok(bytes)
}

pub(super) fn cut() -> String {
    "the file was cut off".to_owned()
}
