//! What the columns of tables become: bytes, digits, lines of text or arrays.
//!
//! Lists of texts or whole numbers are lines; lists of lists of numbers, as `Array2D` and `Array3D`
//! of Hugging Face's `datasets` are kept, are arrays of NumPy's.

use super::numbers::Number;
use crate::decode::{Decoded, MAX_BYTES};
use crate::npy::npy;

/// Most values of one row.
pub(super) const MOST_VALUES: usize = 1 << 24;

/// What a column holds, within its lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Bytes,
    Text,
    Number(Number),
}

impl Content {
    /// Whether it is read within so many lists.
    pub(super) fn is_read(self, depth: usize) -> bool {
        match (self, depth) {
            (_, 0) | (Self::Text, 1) | (Self::Number(_), 2 | 3) => true,
            (Self::Number(number), 1) => !matches!(number, Number::Float(_)),
            _ => false,
        }
    }

    /// As Arrow calls it.
    pub(super) fn name(self) -> String {
        match self {
            Self::Bytes => "binary".to_owned(),
            Self::Text => "string".to_owned(),
            Self::Number(number) => number.name(),
        }
    }
}

/// A type within so many lists, as Arrow calls it.
pub(super) fn nested(name: &str, depth: usize) -> String {
    format!("{}{name}{}", "list<".repeat(depth), ">".repeat(depth))
}

/// Texts as lines. One that is not there is no line; ends of lines within a text become spaces.
pub(super) fn lines(texts: impl Iterator<Item = Option<impl AsRef<[u8]>>>) -> Decoded<Vec<u8>> {
    let mut lines = Vec::new();
    for text in texts.flatten() {
        let text = text.as_ref();
        if (lines.len() + text.len()) as u64 >= MAX_BYTES {
            return Err(format!("lists of more than {MAX_BYTES} bytes"));
        }
        let plain = |&byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte };
        lines.extend(text.iter().map(plain));
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The numbers of a row by their bytes, in order: lines where they stand in one list, else an
/// array. `lengths` are those of the lists of each depth.
pub(super) fn numbers<'a>(
    number: Number,
    lengths: &[Vec<usize>],
    items: impl Iterator<Item = Option<&'a [u8]>>,
) -> Decoded<Vec<u8>> {
    if lengths.len() < 2 {
        return lines(items.map(|item| item.map(|bytes| number.digits(bytes))));
    }
    let shape = shape(lengths)?;
    let missing = number.missing();
    let mut bytes = Vec::new();
    for item in items {
        let item = item.or(missing.as_deref());
        bytes.extend_from_slice(item.ok_or("a null within an array of whole numbers")?);
    }
    Ok(npy(&number.numpy(), &shape, bytes))
}

/// The sides of an array whose lists have these lengths.
fn shape(lengths: &[Vec<usize>]) -> Decoded<Vec<usize>> {
    let side = |lengths: &Vec<usize>| {
        let first = lengths.first().copied().unwrap_or(0);
        match lengths.iter().find(|&&length| length != first) {
            Some(other) => Err(format!(
                "expected lists of one length within a list, found {first} and {other} values"
            )),
            None => Ok(first),
        }
    };
    lengths.iter().map(side).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::npy::array;

    #[test]
    fn one_list_is_lines_and_more_are_an_array() {
        let values: Vec<[u8; 2]> = (1..=6_i16).map(i16::to_le_bytes).collect();
        let items = || values.iter().map(|bytes| Some(&bytes[..]));
        let number = Number::Signed(2);
        assert_eq!(numbers(number, &[vec![6]], items()).unwrap(), b"1\n2\n3\n4\n5\n6\n");
        let file = numbers(number, &[vec![2], vec![3, 3]], items()).unwrap();
        let expected = ndarray::arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).into_dyn();
        assert_eq!(array(&file).unwrap(), expected);
        let ragged = numbers(number, &[vec![2], vec![2, 4]], items()).unwrap_err();
        assert!(ragged.ends_with("found 2 and 4 values"), "{ragged}");
        let with_a_null = || items().take(3).chain([None]);
        let lengths = [vec![2], vec![2, 2]];
        let message = numbers(number, &lengths, with_a_null()).unwrap_err();
        assert_eq!(message, "a null within an array of whole numbers");
        assert_eq!(numbers(number, &lengths[..1], with_a_null()).unwrap(), b"1\n2\n3\n");
        let halves = numbers(Number::Float(2), &lengths, with_a_null()).unwrap();
        assert!(array(&halves).unwrap()[[1, 1]].is_nan());
    }

    #[test]
    fn a_text_of_two_lines_is_one() {
        let texts = [Some(&b"a\r\nb"[..]), None, Some(b"c")];
        assert_eq!(lines(texts.into_iter()).unwrap(), b"a  b\nc\n");
        assert_eq!(nested(&Content::Number(Number::Float(4)).name(), 2), "list<list<float>>");
    }
}
