//! Arrays of every class.

use std::collections::BTreeMap;

use super::element::{Elements, MATRIX, word};
use super::value::{Numbers, Value};
use crate::decode::bounds::Decoded;

/// Deepest nesting of cells and structures that is followed.
const MAX_DEPTH: usize = 16;
/// Most arrays of a variable, a structure counted as eight: half a gigabyte as they are held.
const MOST_ARRAYS: usize = 1 << 22;
/// Bit of the flags that marks numbers with an imaginary part.
const COMPLEX: u32 = 0x0800;

/// Name of an array, whatever its class; none for those that have no such head.
pub(crate) fn name(data: &[u8], big: bool) -> Option<String> {
    let mut elements = Elements::new(data, big);
    let mut next = || elements.next().ok().flatten().map(|(_, data)| data);
    let (_flags, _sizes, name) = (next()?, next()?, next()?);
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Value of an array.
pub(crate) fn matrix(data: &[u8], big: bool) -> Decoded<Value> {
    Reader { big, left: MOST_ARRAYS }.matrix(data, 0)
}

/// Reads an array and those within it.
struct Reader {
    big: bool,
    /// How many arrays may still come.
    left: usize,
}

impl Reader {
    fn matrix(&mut self, data: &[u8], depth: usize) -> Decoded<Value> {
        let big = self.big;
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.note(1)?;
        let mut elements = Elements::new(data, big);
        if data.is_empty() {
            return Ok(numeric(vec![0, 0], 9, big, &[]));
        }
        let (_, flags) = elements.require("flags")?;
        let flags = flags.get(..4).map(|bytes| word(bytes, big)).ok_or("flags are cut off")?;
        let (_, sizes) = elements.require("sizes")?;
        let shape: Vec<usize> =
            sizes.chunks_exact(4).map(|size| word(size, big) as usize).collect();
        let (_, name) = elements.require("name")?;
        let class = (flags & 0xff) as u8;
        Ok(match class {
            1 => Value::Cell(self.parts(&mut elements, count(&shape)?, depth)?),
            2 => self.structure(&mut elements, count(&shape)?, depth)?,
            4 => text(&mut elements, big)?,
            6..=15 if flags & COMPLEX != 0 => {
                return Err(format!("{}: complex numbers", String::from_utf8_lossy(name)));
            }
            6..=15 => {
                let (kind, data) = elements.require("numbers")?;
                numeric(shape, kind, big, data)
            }
            class => Value::Other(class),
        })
    }

    /// Notes that so many arrays are held.
    fn note(&mut self, arrays: usize) -> Decoded<()> {
        let many = || format!("expected at most {MOST_ARRAYS} parts within an array, found more");
        self.left = self.left.checked_sub(arrays).ok_or_else(many)?;
        Ok(())
    }

    /// The next `count` arrays.
    fn parts(
        &mut self,
        elements: &mut Elements,
        count: usize,
        depth: usize,
    ) -> Decoded<Vec<Value>> {
        // Each array takes at least its tag, so a wrong count cannot ask for much memory.
        if count > elements.left() / 8 {
            return Err(format!("{count} parts do not fit {} bytes", elements.left()));
        }
        let mut part = || match elements.require("part")? {
            (MATRIX, data) => self.matrix(data, depth + 1),
            (kind, _) => Err(format!("a part of type {kind}, expected an array")),
        };
        (0..count).map(|_| part()).collect()
    }

    fn structure(&mut self, elements: &mut Elements, count: usize, depth: usize) -> Decoded<Value> {
        let (_, length) = elements.require("length of field names")?;
        let length = length.get(..4).map(|bytes| word(bytes, self.big) as usize);
        let length = length.filter(|&length| length > 0).ok_or("field names of no length")?;
        let (_, names) = elements.require("field names")?;
        // Beside its parts, their names and lists.
        self.note((names.len() / length).saturating_add(8))?;
        let names: Vec<String> = names.chunks_exact(length).map(until_zero).collect();
        let all = count.checked_mul(names.len()).ok_or("too many fields")?;
        let values = self.parts(elements, all, depth)?;
        let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (value, name) in values.into_iter().zip(names.iter().cycle()) {
            fields.entry(name.clone()).or_default().push(value);
        }
        Ok(Value::Struct(fields))
    }
}

fn numeric(shape: Vec<usize>, kind: u32, big: bool, bytes: &[u8]) -> Value {
    Value::Numbers(Numbers { shape, kind, big, bytes: bytes.to_vec() })
}

fn count(shape: &[usize]) -> Decoded<usize> {
    let all = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
    all.ok_or_else(|| format!("shape {shape:?} is too large"))
}

fn text(elements: &mut Elements, big: bool) -> Decoded<Value> {
    let (kind, data) = elements.require("characters")?;
    let pair = |pair: &[u8]| {
        let pair = [pair[0], pair[1]];
        if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
    };
    Ok(Value::Text(match kind {
        // Types of two bytes: unsigned numbers and UTF-16.
        4 | 17 => String::from_utf16_lossy(&data.chunks_exact(2).map(pair).collect::<Vec<_>>()),
        _ => String::from_utf8_lossy(data).into_owned(),
    }))
}

fn until_zero(name: &[u8]) -> String {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}
