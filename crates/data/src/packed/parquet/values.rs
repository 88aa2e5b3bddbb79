//! The value of a row from the levels and values of its column.

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray};
use parquet::errors::{ParquetError, Result};

use super::schema::Leaf;
use crate::decode::Decoded;
use crate::packed::lists::{self, Content};

/// The value behind `skip` rows; none where there is none.
pub(super) fn value(column: ColumnReader, skip: usize, leaf: &Leaf) -> Result<Option<Vec<u8>>> {
    match column {
        ColumnReader::ByteArrayColumnReader(column) => found(column, skip, leaf),
        ColumnReader::BoolColumnReader(column) => found(column, skip, leaf),
        ColumnReader::Int32ColumnReader(column) => found(column, skip, leaf),
        ColumnReader::Int64ColumnReader(column) => found(column, skip, leaf),
        ColumnReader::FloatColumnReader(column) => found(column, skip, leaf),
        ColumnReader::DoubleColumnReader(column) => found(column, skip, leaf),
        ColumnReader::FixedLenByteArrayColumnReader(column) => found(column, skip, leaf),
        ColumnReader::Int96ColumnReader(_) => Ok(None),
    }
}

fn found<T: DataType>(
    column: ColumnReaderImpl<T>,
    skip: usize,
    leaf: &Leaf,
) -> Result<Option<Vec<u8>>>
where
    T::T: Plain,
{
    let row = Row::read(column, skip)?;
    row.value(leaf).map_err(ParquetError::General)
}

/// The levels and values of one row.
struct Row<T> {
    defined: Vec<i16>,
    repeated: Vec<i16>,
    values: Vec<T>,
}

/// The lists of a row.
#[derive(Debug, Default, PartialEq, Eq)]
struct Laid {
    /// Lengths of the lists of each depth.
    lengths: Vec<Vec<usize>>,
    /// Whether each value is there.
    present: Vec<bool>,
}

impl<T: Plain> Row<T> {
    fn read<D: DataType<T = T>>(mut column: ColumnReaderImpl<D>, skip: usize) -> Result<Self> {
        let mut row = Self { defined: Vec::new(), repeated: Vec::new(), values: Vec::new() };
        let skipped = column.skip_records(skip)?;
        let levels = (Some(&mut row.defined), Some(&mut row.repeated));
        let (read, ..) = column.read_records(1, levels.0, levels.1, &mut row.values)?;
        if (skipped, read) != (skip, 1) {
            let reason = format!("expected {} more rows in a page, found {skipped}", skip + 1);
            return Err(ParquetError::EOF(reason));
        }
        Ok(row)
    }

    fn value(&self, leaf: &Leaf) -> Decoded<Option<Vec<u8>>> {
        if leaf.lists.is_empty() {
            return Ok(self.values.first().map(|value| single(&value.plain(), leaf.content)));
        }
        let Some(laid) = laid(&self.defined, &self.repeated, leaf)? else { return Ok(None) };
        let values: Vec<T::Bytes<'_>> = self.values.iter().map(Plain::plain).collect();
        let mut values = values.iter().map(|bytes| bytes.as_ref());
        let items = laid.present.iter().map(|&there| if there { values.next() } else { None });
        match leaf.content {
            Content::Number(number) => lists::numbers(number, &laid.lengths, items).map(Some),
            Content::Bytes | Content::Text => lists::lines(items).map(Some),
        }
    }
}

fn single(bytes: &impl AsRef<[u8]>, content: Content) -> Vec<u8> {
    match content {
        Content::Number(number) => number.digits(bytes.as_ref()).into_bytes(),
        Content::Bytes | Content::Text => bytes.as_ref().to_vec(),
    }
}

/// The lists that the levels of a row describe; none where the outermost one is null.
fn laid(defined: &[i16], repeated: &[i16], leaf: &Leaf) -> Decoded<Option<Laid>> {
    let depth = leaf.lists.len();
    let mut laid = Laid { lengths: vec![Vec::new(); depth], present: Vec::new() };
    if defined.first().is_none_or(|&level| level < leaf.lists[0] - 1) {
        return Ok(None);
    }
    for (&level, &again) in defined.iter().zip(repeated) {
        let again = usize::try_from(again).unwrap_or(0).min(depth);
        if let Some(length) = again.checked_sub(1).and_then(|k| laid.lengths[k].last_mut()) {
            *length += 1;
        }
        // Lists that begin here.
        for (list, &from) in leaf.lists.iter().enumerate().skip(again) {
            if level < from - 1 {
                return Err("a null list within a list".to_owned());
            }
            laid.lengths[list].push(usize::from(level >= from));
            if level < from {
                break;
            }
        }
        if leaf.lists.last().is_some_and(|&from| level >= from) {
            laid.present.push(level == leaf.defined);
        }
    }
    Ok(Some(laid))
}

/// What lies as plain bytes.
trait Plain {
    type Bytes<'a>: AsRef<[u8]>
    where
        Self: 'a;

    /// The bytes of a value, those of numbers with the lowest first.
    fn plain(&self) -> Self::Bytes<'_>;
}

macro_rules! plain {
    ($($number:ty),*) => {$(
        impl Plain for $number {
            type Bytes<'a> = [u8; size_of::<$number>()];

            fn plain(&self) -> Self::Bytes<'_> {
                self.to_le_bytes()
            }
        }
    )*};
}

plain!(i32, i64, f32, f64);

impl Plain for bool {
    type Bytes<'a> = [u8; 1];

    fn plain(&self) -> Self::Bytes<'_> {
        [u8::from(*self)]
    }
}

impl Plain for ByteArray {
    type Bytes<'a> = &'a [u8];

    fn plain(&self) -> Self::Bytes<'_> {
        self.data()
    }
}

impl Plain for FixedLenByteArray {
    type Bytes<'a> = &'a [u8];

    fn plain(&self) -> Self::Bytes<'_> {
        self.data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::numbers::Number;

    /// Levels of `[[a, null], []]`, `[]`, a null and `[[a], null]`, each list and value optional.
    #[test]
    fn levels_give_the_lengths_of_lists() {
        let content = Content::Number(Number::Float(4));
        let leaf = Leaf { column: 0, content, lists: vec![2, 4], defined: 5 };
        let found = laid(&[5, 4, 3], &[0, 2, 1], &leaf).unwrap().unwrap();
        assert_eq!(found.lengths, [vec![2], vec![2, 0]]);
        assert_eq!(found.present, [true, false]);
        let empty = laid(&[1], &[0], &leaf).unwrap().unwrap();
        assert_eq!(empty.lengths, [vec![0], vec![]]);
        assert_eq!(laid(&[0], &[0], &leaf).unwrap(), None);
        let message = laid(&[5, 2], &[0, 1], &leaf).unwrap_err();
        assert_eq!(message, "a null list within a list");
    }
}
