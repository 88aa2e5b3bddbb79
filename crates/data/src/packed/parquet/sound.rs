//! Whether a page holds what it claims, which decoders of the crate take for granted.

use parquet::basic::{Encoding, Type};
use parquet::column::page::Page;
use parquet::schema::types::ColumnDescriptor;

use super::levels::{Parts, number};
use crate::decode::Decoded;

/// Most values of a block of `DELTA_BINARY_PACKED`; writers have 128.
const MOST_BLOCK: u64 = 1 << 20;

/// Whether values are numbers of a dictionary's.
pub(super) fn is_by_dictionary(encoding: Encoding) -> bool {
    matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
}

/// Checks a page of a column, which may have a dictionary.
///
/// # Errors
/// Fewer levels or values than the page claims, values without their dictionary, and encodings
/// that are not read.
pub(super) fn require_sound(
    page: &Page,
    column: &ColumnDescriptor,
    dictionary: bool,
) -> Decoded<()> {
    let bytes = column.physical_type() == Type::BYTE_ARRAY;
    let encoding = match page {
        Page::DictionaryPage { buf, num_values, .. } if bytes => {
            return require(texts(buf), *num_values as usize);
        }
        Page::DictionaryPage { .. } => return Ok(()),
        Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. } => *encoding,
    };
    let parts = Parts::of(page, column)?;
    let present = parts.present()?;
    let values = parts.values;
    match encoding {
        Encoding::PLAIN if bytes => require(texts(values), present),
        Encoding::PLAIN => Ok(()),
        // Truths behind the length of their runs.
        Encoding::RLE => runs(values.get(4..).unwrap_or_default(), 1, present),
        Encoding::BYTE_STREAM_SPLIT => require(values.len() / width(column), present),
        Encoding::DELTA_BINARY_PACKED => blocks(values),
        numbers if is_by_dictionary(numbers) && dictionary => match values.split_first() {
            Some((&width, values)) => runs(values, width, present),
            None => Ok(()),
        },
        numbers if is_by_dictionary(numbers) => Err("a page without its dictionary".to_owned()),
        other => Err(format!("values in the encoding {other}, which is not read")),
    }
}

fn require(found: usize, expected: usize) -> Decoded<()> {
    let few = || format!("expected {expected} values in a page, found {found}");
    (found >= expected).then_some(()).ok_or_else(few)
}

/// Checks runs and groups of eight, of `count` numbers of `width` bits, as far as there are bytes:
/// the crate panics where the length of a run takes more than ten bytes.
fn runs(mut bytes: &[u8], width: u8, count: usize) -> Decoded<()> {
    let (width, mut left) = (usize::from(width), count);
    // The decoder reads the first run even where no value is present.
    while let Some(header) = length(&mut bytes)?.filter(|&header| header > 0) {
        let run = usize::try_from(header >> 1).unwrap_or(usize::MAX);
        let (run, size) = match header & 1 {
            0 => (run, width.div_ceil(8)),
            _ => (run.saturating_mul(8), run.saturating_mul(width)),
        };
        bytes = bytes.get(size..).unwrap_or_default();
        left = left.saturating_sub(run);
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Checks blocks of differences of `DELTA_BINARY_PACKED`, as [`runs`] does.
fn blocks(mut bytes: &[u8]) -> Decoded<()> {
    let bytes = &mut bytes;
    let mut next = || Ok::<_, String>(length(bytes)?.unwrap_or_default());
    let [block, parts, values, _first] = [next()?, next()?, next()?, next()?];
    if block > MOST_BLOCK {
        return Err(format!("expected blocks of at most {MOST_BLOCK} values"));
    }
    let each = block.checked_div(parts).ok_or("blocks of no parts")?;
    let mut left = values.saturating_sub(1);
    while left > 0 && each > 0 && length(bytes)?.is_some() {
        let parts = usize::try_from(parts).unwrap_or(usize::MAX).min(bytes.len());
        let (widths, rest) = bytes.split_at(parts);
        *bytes = rest;
        for &width in widths.iter().take(left.div_ceil(each) as usize) {
            let size = (u64::from(width) * each).div_ceil(8) as usize;
            *bytes = bytes.get(size..).unwrap_or_default();
        }
        left = left.saturating_sub(each.saturating_mul(parts as u64));
    }
    Ok(())
}

/// A number of at most ten bytes; none where the bytes end before it does.
fn length(bytes: &mut &[u8]) -> Decoded<Option<u64>> {
    match number(bytes) {
        None if !bytes.is_empty() => Err("a length of more than ten bytes".to_owned()),
        length => Ok(length),
    }
}

/// Bytes of a value.
fn width(column: &ColumnDescriptor) -> usize {
    match column.physical_type() {
        Type::INT32 | Type::FLOAT => 4,
        Type::FIXED_LEN_BYTE_ARRAY => column.type_length().unsigned_abs().max(1) as usize,
        _ => 8,
    }
}

/// How many bytes or texts, each behind its length, are whole.
fn texts(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some((size, rest)) = bytes.split_first_chunk() {
        let Some(rest) = rest.get(u32::from_le_bytes(*size) as usize..) else { break };
        (bytes, count) = (rest, count + 1);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_more_than_ten_bytes_are_refused() {
        let long = [0x81; 11];
        let message = "a length of more than ten bytes";
        assert_eq!(runs(&long, 1, 0).unwrap_err(), message);
        assert_eq!(runs(&long[..10], 1, 9), Ok(()));
        // Three of one number, eight of three bits each, the end of what counts.
        let counted = [&[6, 5, 3, 1, 2, 3][..], &long].concat();
        assert_eq!(runs(&counted, 3, 11), Ok(()));
        assert_eq!(runs(&counted, 3, 12).unwrap_err(), message);
        // Padding ends the runs.
        assert_eq!(runs(&[&[6, 5, 0][..], &long].concat(), 3, 12), Ok(()));
        // Blocks of 32 numbers in two parts of 16, 34 numbers in all, and the first.
        let block = |second: u8| [1, 4, second, 0, 0, 0, 0, 0, 0, 0, 0];
        let blocks_of = |rest: &[u8]| blocks(&[&[32, 2, 34, 0][..], &block(0), rest].concat());
        assert_eq!(blocks_of(&[]), Ok(()));
        assert_eq!(blocks_of(&[1, 0, 0]), Ok(()));
        assert_eq!(blocks_of(&long).unwrap_err(), message);
        assert_eq!(blocks(&long).unwrap_err(), message);
        assert_eq!(blocks(&[32, 0, 5, 0]).unwrap_err(), "blocks of no parts");
    }

    #[test]
    fn whole_texts_are_counted() {
        let bytes = [2, 0, 0, 0, 7, 7, 0, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(texts(&bytes), 3);
        assert_eq!(texts(&bytes[..14]), 2);
        assert_eq!(texts(&bytes[..9]), 1);
        let message = require(2, 3).unwrap_err();
        assert_eq!(message, "expected 3 values in a page, found 2");
    }
}
