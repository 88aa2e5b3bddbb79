//! Levels of a page: which of its values begin rows, and which are there.
//!
//! A repetition level of 0 begins a row. Levels are packed as runs of one level and as groups of
//! eight (<https://parquet.apache.org/docs/file-format/data-pages/encodings/>).

use parquet::basic::Encoding;
use parquet::column::page::Page;
use parquet::schema::types::ColumnDescriptor;

use crate::decode::Decoded;
use crate::packed::numbers::wide;

/// What a page of values consists of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Repetition levels, where the column has any.
    repeated: &'a [u8],
    /// Definition levels, where the column has any.
    defined: &'a [u8],
    pub(super) values: &'a [u8],
    count: usize,
    deepest: [i16; 2],
}

/// Rows of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rows {
    /// Rows that begin in the page.
    pub(super) begun: usize,
    /// Whether the page begins within a row.
    pub(super) within: bool,
}

impl<'a> Parts<'a> {
    /// The parts of a page of a column.
    ///
    /// # Errors
    /// A page of no values, and levels that are longer than it or of a kind that is not read.
    pub(super) fn of(page: &'a Page, column: &ColumnDescriptor) -> Decoded<Self> {
        let deepest = [column.max_rep_level(), column.max_def_level()];
        let count = page.num_values() as usize;
        let (repeated, defined, values) = match page {
            Page::DataPage { buf, def_level_encoding, rep_level_encoding, .. } => {
                let (repeated, rest) = sized(buf, deepest[0], *rep_level_encoding)?;
                let (defined, values) = sized(rest, deepest[1], *def_level_encoding)?;
                (repeated, defined, values)
            }
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let (repeated, rest) = split(buf, *rep_levels_byte_len)?;
                let (defined, values) = split(rest, *def_levels_byte_len)?;
                (repeated, defined, values)
            }
            Page::DictionaryPage { .. } => return Err("a dictionary among pages".to_owned()),
        };
        Ok(Self { repeated, defined, values, count, deepest })
    }

    /// How many values are there.
    pub(super) fn present(&self) -> Decoded<usize> {
        let deepest = self.deepest[1];
        if deepest == 0 {
            return Ok(self.count);
        }
        let mut present = 0;
        runs(self.defined, self.count, deepest, |level, run| {
            present += if level == u64::from(deepest.unsigned_abs()) { run } else { 0 };
        })?;
        Ok(present)
    }

    pub(super) fn rows(&self) -> Decoded<Rows> {
        rows(self.repeated, self.count, self.deepest[0])
    }
}

fn rows(levels: &[u8], count: usize, deepest: i16) -> Decoded<Rows> {
    let (mut begun, mut first) = (0, None);
    runs(levels, count, deepest, |level, run| {
        first = first.or(Some(level));
        begun += if level == 0 { run } else { 0 };
    })?;
    Ok(Rows { begun, within: first.is_some_and(|level| level > 0) })
}

/// Levels behind their own length, and the rest; without levels, all is the rest.
fn sized(bytes: &[u8], deepest: i16, encoding: Encoding) -> Decoded<(&[u8], &[u8])> {
    match (deepest, encoding) {
        (0, _) => Ok((&[], bytes)),
        (_, Encoding::RLE) => {
            let (size, rest) = bytes.split_first_chunk().ok_or(CUT)?;
            split(rest, u32::from_le_bytes(*size))
        }
        _ => Err(format!("levels in the encoding {encoding}, which is not read")),
    }
}

fn split(bytes: &[u8], size: u32) -> Decoded<(&[u8], &[u8])> {
    Ok(bytes.split_at_checked(size as usize).ok_or(CUT)?)
}

const CUT: &str = "levels that are longer than their page";

/// Calls `each` with every run of one level among `count` levels of up to `deepest`.
fn runs(
    mut levels: &[u8],
    count: usize,
    deepest: i16,
    mut each: impl FnMut(u64, usize),
) -> Decoded<()> {
    let few = || format!("fewer than {count} levels");
    let bits = (u16::BITS - deepest.unsigned_abs().leading_zeros()) as usize;
    if bits > 8 {
        return Err(format!("levels of up to {deepest}, expected at most 255"));
    }
    let mut left = count;
    while left > 0 {
        let header = number(&mut levels).ok_or_else(few)?;
        let run = usize::try_from(header >> 1).map_err(|_| few())?;
        if header & 1 == 0 {
            let (&level, rest) = levels.split_first().ok_or_else(few)?;
            levels = rest;
            let run = run.min(left);
            if run > 0 {
                each(u64::from(level), run);
            }
            left -= run;
            continue;
        }
        let (groups, rest) = levels.split_at(run.saturating_mul(bits).min(levels.len()));
        levels = rest;
        for group in groups.chunks(bits) {
            let (word, held) = (wide(group), 8 * group.len() / bits);
            let whole = held.min(left);
            (0..whole).for_each(|n| each(word >> (n * bits) & ((1 << bits) - 1), 1));
            left -= whole;
        }
    }
    Ok(())
}

/// Seven bits in each byte, the least first.
pub(super) fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_of_runs_and_groups_are_rows() {
        // Three of level 0, eight of the bits 0b0110_0101, five of level 1.
        let levels = [6, 0, 3, 0b0110_0101, 10, 1];
        assert_eq!(rows(&levels, 16, 1).unwrap(), Rows { begun: 7, within: false });
        assert_eq!(rows(&levels, 4, 1).unwrap(), Rows { begun: 3, within: false });
        assert_eq!(rows(&levels[2..], 13, 1).unwrap(), Rows { begun: 4, within: true });
        // Levels 2, 0, 1, 0 and 0, 0, 0, 3, with two bits each.
        let levels = [3, 0b0001_0010, 0b1100_0000];
        assert_eq!(rows(&levels, 8, 3).unwrap(), Rows { begun: 5, within: true });
        assert_eq!(rows(&levels, 9, 3).unwrap_err(), "fewer than 9 levels");
        assert!((0..6).all(|cut| rows(&[6, 0, 3, 0b0110_0101, 10, 1][..cut], 16, 1).is_err()));
    }

    #[test]
    fn wide_levels_straddle_bytes() {
        // Levels 0 to 7 of three bits each.
        let packed = (0..8_u64).fold(0, |word, level| word | level << (3 * level)).to_le_bytes();
        let levels = [&[3][..], &packed[..3], &[4, 5]].concat();
        let mut found = Vec::new();
        runs(&levels, 10, 5, |level, run| found.extend(vec![level; run])).unwrap();
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6, 7, 5, 5]);
    }
}
