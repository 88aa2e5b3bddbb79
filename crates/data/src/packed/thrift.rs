//! What the directory of a Parquet file claims, compared with its length.
//!
//! The directory is a structure in Thrift's compact protocol. Every element of a list takes one byte
//! or more there, so that no list is longer than what is left. Readers pass over truths in a list
//! without a byte, though: they would be busy for as many steps as such lists claim, and read the
//! truths as what follows them. No list of a directory has truths, so that those are refused.
//! Readers do not look at the kinds of fields that they know either: a field of another kind would
//! have them read something else than what is walked over here. So kinds are compared too.

/// Structures within one another.
const DEEPEST: usize = 32;

/// What a field of a structure, or every element of a list, holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// True or false.
    Truth,
    /// A number of 8 bits.
    Byte,
    /// A number of 16, 32 or 64 bits.
    Integer,
    /// A number of 64 bits with a fraction.
    Double,
    /// Bytes, or a text.
    Bytes,
    /// A list.
    List(&'static Kind),
    /// A structure.
    Structure(Fields),
}

/// Fields that a reader knows, by their numbers; it passes over all others.
pub(super) type Fields = &'static [(i16, Kind)];

/// Checks all lengths within one structure at the start of `bytes`, and the kinds of `known` fields.
///
/// # Errors
/// What is longer than what is left, or of another kind, in words.
pub(super) fn check(bytes: &[u8], known: Fields) -> Result<(), String> {
    Walk { rest: bytes }.structure(known, DEEPEST)
}

/// What the header of a page says, as far as it is read here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of the header itself.
    pub(super) length: usize,
    /// What the page is: [`DATA`], [`DICTIONARY`], [`DATA_V2`] or another one.
    pub(super) kind: i64,
    /// Bytes of the page once it is unpacked.
    pub(super) unpacked: i64,
    /// Bytes of the page as it is stored.
    pub(super) stored: i64,
    pub(super) values: i64,
}

/// A page of values.
pub(super) const DATA: i64 = 0;
/// A page of the values that other pages number.
pub(super) const DICTIONARY: i64 = 2;
/// A page of values, version 2.
pub(super) const DATA_V2: i64 = 3;

/// The header of a page at the start of `bytes`.
///
/// # Errors
/// What is longer than what is left, in words.
pub(super) fn page(bytes: &[u8]) -> Result<PageHeader, String> {
    let mut walk = Walk { rest: bytes };
    let mut page = PageHeader::default();
    walk.fields(DEEPEST, &mut |walk, field, kind, deeper| match (field, kind) {
        (1, INTEGER) => walk.integer(&mut page.kind),
        (2, INTEGER) => walk.integer(&mut page.unpacked),
        (3, INTEGER) => walk.integer(&mut page.stored),
        (5 | 7 | 8, STRUCTURE) => {
            walk.fields(deeper, &mut |walk, field, kind, deeper| match (field, kind) {
                (1, INTEGER) => walk.integer(&mut page.values),
                _ => walk.value(kind, deeper),
            })
        }
        _ => walk.value(kind, deeper),
    })?;
    page.length = bytes.len() - walk.rest.len();
    Ok(page)
}

/// A number of 32 bits.
const INTEGER: u8 = 5;
const STRUCTURE: u8 = 12;

struct Walk<'a> {
    rest: &'a [u8],
}

/// What becomes of a field, by its number and the kind of its value.
type Field<'f, 'a> = &'f mut dyn FnMut(&mut Walk<'a>, i16, u8, usize) -> Result<(), String>;

impl<'a> Walk<'a> {
    fn structure(&mut self, known: Fields, deeper: usize) -> Result<(), String> {
        self.fields(deeper, &mut |walk, field, kind, deeper| {
            let expected = known.iter().find(|(number, _)| *number == field);
            walk.element(expected.map(|(_, expected)| *expected), kind, deeper)
        })
    }

    /// A value of a kind, which has to be the expected one where there is one.
    fn element(&mut self, wanted: Option<Kind>, kind: u8, deeper: usize) -> Result<(), String> {
        match (wanted, kind) {
            (Some(Kind::Structure(known)), STRUCTURE) => self.structure(known, deeper),
            (Some(Kind::List(of)), 9 | 10) => self.list(Some(*of), deeper),
            (None, _)
            | (Some(Kind::Truth), 1 | 2)
            | (Some(Kind::Byte), 3)
            | (Some(Kind::Integer), 4..=6)
            | (Some(Kind::Double), 7)
            | (Some(Kind::Bytes), 8) => self.value(kind, deeper),
            (Some(wanted), _) => Err(format!("expected {wanted:?}, found the kind {kind}")),
        }
    }

    fn fields(&mut self, deeper: usize, each: Field<'_, 'a>) -> Result<(), String> {
        let deeper = deeper.checked_sub(1).ok_or("structures are too deep")?;
        let mut field = 0_i16;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(());
            }
            match header >> 4 {
                0 => {
                    let mut number = 0;
                    self.integer(&mut number)?;
                    // Readers take what fits.
                    field = number as i16;
                }
                step => {
                    let next = field.checked_add(i16::from(step));
                    field = next.ok_or("expected fields up to 32767, found more")?;
                }
            }
            each(self, field, header & 15, deeper)?;
        }
    }

    /// A number with a sign, which is its lowest bit.
    fn integer(&mut self, to: &mut i64) -> Result<(), String> {
        let number = self.number()?;
        *to = (number >> 1) as i64 ^ -((number & 1) as i64);
        Ok(())
    }

    fn value(&mut self, kind: u8, deeper: usize) -> Result<(), String> {
        match kind {
            // The truth of a field stands in its header.
            1 | 2 => Ok(()),
            3 => self.take(1),
            4..=6 => self.number().map(drop),
            7 => self.take(8),
            8 => {
                let length = self.number()?;
                self.take(length)
            }
            9 | 10 => self.list(None, deeper),
            11 => self.map(deeper),
            STRUCTURE => self.structure(&[], deeper),
            other => Err(format!("expected a kind of value from 1 to 12, found {other}")),
        }
    }

    fn list(&mut self, of: Option<Kind>, deeper: usize) -> Result<(), String> {
        let header = self.byte()?;
        let count = match header >> 4 {
            15 => self.number()?,
            few => u64::from(few),
        };
        self.fits(count)?;
        no_truths(header & 15)?;
        let deeper = deeper.checked_sub(1).ok_or("lists are too deep")?;
        (0..count).try_for_each(|_| self.element(of, header & 15, deeper))
    }

    fn map(&mut self, deeper: usize) -> Result<(), String> {
        let count = self.number()?;
        if count == 0 {
            return Ok(());
        }
        self.fits(count)?;
        let kinds = self.byte()?;
        no_truths(kinds >> 4)?;
        no_truths(kinds & 15)?;
        let deeper = deeper.checked_sub(1).ok_or("maps are too deep")?;
        (0..count).try_for_each(|_| {
            self.value(kinds >> 4, deeper)?;
            self.value(kinds & 15, deeper)
        })
    }

    fn fits(&self, count: u64) -> Result<(), String> {
        let left = self.rest.len() as u64;
        match count <= left {
            true => Ok(()),
            false => Err(format!("{count} values are claimed, {left} bytes are left")),
        }
    }

    fn take(&mut self, length: u64) -> Result<(), String> {
        self.fits(length)?;
        self.rest = &self.rest[length as usize..];
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let (&first, rest) = self.rest.split_first().ok_or("the file was cut off")?;
        self.rest = rest;
        Ok(first)
    }

    /// Seven bits in each byte, the least first.
    fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err("expected a number of ten bytes or fewer".into())
    }
}

fn no_truths(kind: u8) -> Result<(), String> {
    match kind {
        1 | 2 => Err("expected no list of truths, found one".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_claims_more_than_it_holds_is_refused() {
        // A field of one number, a text of two letters, a list of two numbers, the end.
        let whole = [0x15, 0x04, 0x18, 2, b'a', b'b', 0x19, 0x25, 1, 2, 0];
        let check = |bytes: &[u8]| check(bytes, &[]);
        assert_eq!(check(&whole), Ok(()));
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length}");
        }
        // A list of 300 million truths, which take no room in a careless reader.
        let truths = [0x19, 0xf1, 0x80, 0xc6, 0x86, 0x8f, 0x01, 1, 0];
        let message = check(&truths).unwrap_err();
        assert_eq!(message, "300000000 values are claimed, 2 bytes are left");
        let few = [0x19, 0x21, 1, 1, 0];
        assert_eq!(check(&few).unwrap_err(), "expected no list of truths, found one");
        let keys = [0x1b, 1, 0x15, 1, 4, 0];
        assert_eq!(check(&keys).unwrap_err(), "expected no list of truths, found one");
        assert_eq!(check(&[0x1c; 40]).unwrap_err(), "structures are too deep");
        assert_eq!(check(&[0x1d]).unwrap_err(), "expected a kind of value from 1 to 12, found 13");
    }

    #[test]
    fn fields_of_another_kind_than_readers_take_are_refused() {
        use Kind::*;
        const INNER: Fields = &[(1, Truth), (2, Byte)];
        const KNOWN: Fields = &[
            (1, Integer),
            (2, Bytes),
            (3, List(&Structure(INNER))),
            (4, List(&Integer)),
            (5, Double),
        ];
        // A number, a text, a list of one structure of a truth and a byte, an empty list of no
        // kind, a field that is not known.
        let whole = [0x15, 4, 0x18, 1, b'a', 0x19, 0x1c, 0x11, 0x13, 7, 0, 0x19, 0, 0x58, 0, 0];
        assert_eq!(check(&whole, KNOWN), Ok(()));
        let message = |bytes: &[u8]| check(bytes, KNOWN).unwrap_err();
        // The kinds of field 1, of field 2, and of a field of the list's structure.
        assert_eq!(message(&[0x11, 4, 0]), "expected Integer, found the kind 1");
        assert_eq!(message(&[0x28, 0, 0x08, 2, 0, 0]), "expected Integer, found the kind 8");
        assert_eq!(message(&[0x39, 0x1c, 0x15, 2, 0, 0]), "expected Truth, found the kind 5");
        assert!(message(&[0x39, 0x15, 2, 0]).starts_with("expected Structure("));
        // 65537 is 1 in 16 bits.
        assert_eq!(message(&[0x08, 0x82, 0x80, 8, 0, 0]), "expected Integer, found the kind 8");
        let many = [[0xf3, 1]; 2185].concat();
        assert_eq!(message(&many), "expected fields up to 32767, found more");
    }

    #[test]
    fn the_header_of_a_page_is_read() {
        // Kind 3, 300 bytes unpacked, 100 stored, a checksum, and a structure of 5 values.
        let header = [0x15, 6, 0x15, 0xd8, 4, 0x15, 0xc8, 1, 0x15, 1, 0x4c, 0x15, 10, 0, 0, 9, 9];
        let expected =
            PageHeader { length: 15, kind: DATA_V2, unpacked: 300, stored: 100, values: 5 };
        assert_eq!(page(&header).unwrap(), expected);
        assert!((0..15).all(|length| page(&header[..length]).is_err()));
    }
}
