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
    let mut values = parts.values;
    match encoding {
        Encoding::PLAIN if bytes => require(texts(values), present),
        Encoding::PLAIN | Encoding::RLE => Ok(()),
        Encoding::BYTE_STREAM_SPLIT => require(values.len() / width(column), present),
        Encoding::DELTA_BINARY_PACKED => match number(&mut values) {
            Some(0..=MOST_BLOCK) => Ok(()),
            _ => Err(format!("expected blocks of at most {MOST_BLOCK} values")),
        },
        numbers if is_by_dictionary(numbers) && dictionary => Ok(()),
        numbers if is_by_dictionary(numbers) => Err("a page without its dictionary".to_owned()),
        other => Err(format!("values in the encoding {other}, which is not read")),
    }
}

fn require(found: usize, expected: usize) -> Decoded<()> {
    let few = || format!("expected {expected} values in a page, found {found}");
    (found >= expected).then_some(()).ok_or_else(few)
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
    fn whole_texts_are_counted() {
        let bytes = [2, 0, 0, 0, 7, 7, 0, 0, 0, 0, 1, 0, 0, 0, 9];
        assert_eq!(texts(&bytes), 3);
        assert_eq!(texts(&bytes[..14]), 2);
        assert_eq!(texts(&bytes[..9]), 1);
        let message = require(2, 3).unwrap_err();
        assert_eq!(message, "expected 3 values in a page, found 2");
    }
}
