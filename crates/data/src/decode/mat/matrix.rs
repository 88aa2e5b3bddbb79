//! Arrays of every class.

use std::collections::BTreeMap;

use super::element::{Elements, MATRIX, word};
use super::value::{Numbers, Value};
use crate::decode::bounds::Decoded;

/// Deepest nesting of cells and structures that is followed.
const MAX_DEPTH: usize = 16;
/// Bit of the flags that marks numbers with an imaginary part.
const COMPLEX: u32 = 0x0800;

/// Name of an array, whatever its class; none for those that have no such head.
pub(crate) fn name(data: &[u8], big: bool) -> Option<String> {
    let mut elements = Elements::new(data, big);
    let mut next = || elements.next().ok().flatten().map(|(_, data)| data);
    let (_flags, _sizes, name) = (next()?, next()?, next()?);
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Name and value of an array.
pub(crate) fn matrix(data: &[u8], big: bool, depth: usize) -> Decoded<(String, Value)> {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH} levels"));
    }
    let mut elements = Elements::new(data, big);
    if data.is_empty() {
        return Ok((String::new(), numeric(vec![0, 0], 9, big, &[])));
    }
    let (_, flags) = elements.require("flags")?;
    let flags = flags.get(..4).map(|bytes| word(bytes, big)).ok_or("flags are cut off")?;
    let (_, sizes) = elements.require("sizes")?;
    let shape: Vec<usize> = sizes.chunks_exact(4).map(|size| word(size, big) as usize).collect();
    let (_, name) = elements.require("name")?;
    let name = String::from_utf8_lossy(name).into_owned();
    let class = (flags & 0xff) as u8;
    let value = match class {
        1 => Value::Cell(parts(&mut elements, count(&shape)?, big, depth)?),
        2 => structure(&mut elements, count(&shape)?, big, depth)?,
        4 => text(&mut elements, big)?,
        6..=15 if flags & COMPLEX != 0 => return Err(format!("{name}: complex numbers")),
        6..=15 => {
            let (kind, data) = elements.require("numbers")?;
            numeric(shape, kind, big, data)
        }
        class => Value::Other(class),
    };
    Ok((name, value))
}

fn numeric(shape: Vec<usize>, kind: u32, big: bool, bytes: &[u8]) -> Value {
    Value::Numbers(Numbers { shape, kind, big, bytes: bytes.to_vec() })
}

fn count(shape: &[usize]) -> Decoded<usize> {
    let all = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
    all.ok_or_else(|| format!("shape {shape:?} is too large"))
}

/// The next `count` arrays.
fn parts(elements: &mut Elements, count: usize, big: bool, depth: usize) -> Decoded<Vec<Value>> {
    // Each array takes at least its tag, so a wrong count cannot ask for much memory.
    if count > elements.left() / 8 {
        return Err(format!("{count} parts do not fit {} bytes", elements.left()));
    }
    let mut part = || match elements.require("part")? {
        (MATRIX, data) => Ok(matrix(data, big, depth + 1)?.1),
        (kind, _) => Err(format!("a part of type {kind}, expected an array")),
    };
    (0..count).map(|_| part()).collect()
}

fn structure(elements: &mut Elements, count: usize, big: bool, depth: usize) -> Decoded<Value> {
    let (_, length) = elements.require("length of field names")?;
    let length = length.get(..4).map(|bytes| word(bytes, big) as usize);
    let length = length.filter(|&length| length > 0).ok_or("field names of no length")?;
    let (_, names) = elements.require("field names")?;
    let names: Vec<String> = names.chunks_exact(length).map(until_zero).collect();
    let all = count.checked_mul(names.len()).ok_or("too many fields")?;
    let values = parts(elements, all, big, depth)?;
    let mut fields: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (value, name) in values.into_iter().zip(names.iter().cycle()) {
        fields.entry(name.clone()).or_default().push(value);
    }
    Ok(Value::Struct(fields))
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
